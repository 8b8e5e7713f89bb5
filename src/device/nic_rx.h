/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DEVICE_NIC_RX_H
#define DEVICE_NIC_RX_H

#include "device/nic_tx.h"
#include "net/capture.h"

/*
 * From a frame back-end to an emulated NIC. The back-end may hand over what is not finished
 * (TSO frames of 64 KiB, checksums left out): one system call then brings what the wire would
 * carry in 45 frames. Here each becomes the frames a chip would have seen, with their checksums in
 * place, and the model's deliver function puts them into its descriptors.
 *
 * Nothing is read from the back-end while frames are held, so a guest without receive buffers
 * leaves its frames in the back-end's queue, not here: at most one back-end frame is held.
 */
enum {
	NIC_RX_CSUM_GOOD = 1, /* TCP/UDP checksum computed here or verified by the host */
};

struct nic_rx_ops {
	/** Whether the model wants a frame that begins with these bytes; else it counted a drop. */
	bool (*accepts)(void *opaque, const uint8_t *hdr, uint32_t len);
	/**
	 * Takes one frame: 0 when it was delivered, or dropped and counted; -EAGAIN when there is
	 * no room for it now.
	 */
	int (*deliver)(void *opaque, const struct iovec *iov, unsigned niov, uint32_t len,
		       unsigned flags);
};

struct nic_rx {
	struct hostnet *hn;
	const struct nic_rx_ops *ops;
	void *opaque;
	struct nic_flow *flow;
	uint8_t *bounce; /* NET_FRAME_MAX: a frame as the back-end gave it */
	/* Frames that found no room: each a length and flags, then its bytes. */
	uint8_t *held;
	size_t held_at, held_end;
	unsigned held_frames;
	unsigned flags;		 /* of the frame being segmented */
	struct capture *capture; /* NULL: none */
};

/** 0 or -ENOMEM. hn may be NULL. */
int nic_rx_init(struct nic_rx *rx, struct hostnet *hn, const struct nic_rx_ops *ops, void *opaque,
		struct nic_flow *flow);
void nic_rx_fini(struct nic_rx *rx);

/**
 * Handles one frame of the back-end, or delivers what is held. 1: there may be more. 0: nothing
 * there. -EAGAIN: the model has no room. Another negative errno: the back-end is broken.
 */
int nic_rx_pull(struct nic_rx *rx);

/** Reads one frame and drops it with that cause; returns as nic_rx_pull(). */
int nic_rx_discard(struct nic_rx *rx, enum nic_drop cause);

/** Forgets what is held, counted with that cause. */
void nic_rx_flush(struct nic_rx *rx, enum nic_drop cause);

static inline bool nic_rx_holds(const struct nic_rx *rx)
{
	return rx->held_frames;
}

#endif
