/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SWITCH_FRAME_H
#define SWITCH_FRAME_H

#include "net/offload.h"
#include "switch/drops.h"
#include "vring/device.h"

/*
 * A frame on its way through one step of a worker.
 *
 * Its first bytes are copied from the sender's buffer into `snap`, once, before anybody looks at
 * them; they are what is classified and what is given to the receiver. The rest is not looked at
 * and stays in the sender's buffer until it is copied into the receiver's. So whatever the sender
 * does to its buffer meanwhile, no receiver gets a header other than the one that was checked.
 */
#define SNAP_LEN  64
#define SNAP_ROOM 4  /* in front, for a VLAN tag to be put in */
#define FRAME_HDR 12 /* struct virtio_net_hdr_v1, as struct net_offload */

struct frame {
	uint8_t *head;		  /* where the frame begins: in or just before snap */
	const struct iovec *rest; /* what follows head's bytes; changes owner with the chain */
	struct iovec one;	  /* rest may point here */
	struct net_offload off;
	uint32_t len; /* bytes, head and rest */
	uint16_t head_len;
	uint16_t nrest;
	uint16_t vid;	 /* 0: in no VLAN */
	bool tagged;	 /* there is a tag in it now */
	uint8_t room[9]; /* so that a tag can be put in before the snapshot */
	uint8_t snap[SNAP_LEN];
} __cacheline_al;
_Static_assert(sizeof(struct frame) == 128 && offsetof(struct frame, snap) == 64,
	       "two lines, of which the second is the snapshot");
_Static_assert(offsetof(struct frame, snap) - offsetof(struct frame, room) >= SNAP_ROOM,
	       "a tag finds room before the snapshot");

/** n bytes, 1 to 64, as a few moves that may overlap each other. */
static inline void copy_64(uint8_t *to, const uint8_t *from, unsigned n)
{
	uint8_t a[32], b[32];

	if (likely(n >= 32)) {
		memcpy(a, from, 32);
		memcpy(b, from + n - 32, 32);
		memcpy(to, a, 32);
		memcpy(to + n - 32, b, 32);
	} else if (n >= 16) {
		memcpy(a, from, 16);
		memcpy(b, from + n - 16, 16);
		memcpy(to, a, 16);
		memcpy(to + n - 16, b, 16);
	} else {
		for (unsigned i = 0; i < n; i++)
			to[i] = from[i];
	}
}

/**
 * Takes a driver's chain apart: header, snapshot, rest. buf's readable iovecs are cut to the rest.
 * Returns false when it is no frame: too short, or longer than any frame.
 */
bool frame_take_any(struct frame *f, struct vq_buf *buf, unsigned hdr_len);

static inline bool frame_take(struct frame *f, struct vq_buf *buf, unsigned hdr_len)
{
	uint8_t *at;
	bool all;

	if (unlikely(hdr_len != FRAME_HDR || !buf->out_n ||
		     buf->iov[0].iov_len < FRAME_HDR + SNAP_LEN ||
		     buf->out_len > FRAME_HDR + 65536))
		return frame_take_any(f, buf, hdr_len);
	at = buf->iov[0].iov_base;
	memcpy(&f->off, at, FRAME_HDR);
	memcpy(f->snap, at + FRAME_HDR, SNAP_LEN);
	f->head = f->snap;
	f->head_len = SNAP_LEN;
	f->len = buf->out_len - FRAME_HDR;
	buf->iov[0].iov_base = at + FRAME_HDR + SNAP_LEN;
	buf->iov[0].iov_len -= FRAME_HDR + SNAP_LEN;
	all = !buf->iov[0].iov_len; /* of the first part */
	f->rest = buf->iov + all;
	f->nrest = (uint16_t)(buf->out_n - all);
	return true;
}

/** The same for a frame that lies in private memory, iov[0 … niov), with *off beside it. */
bool frame_take_private(struct frame *f, struct iovec *iov, unsigned niov,
			const struct net_offload *off);

/**
 * Copies the frame's rest into buf (room for f->len bytes), which it refers to from then on: for
 * several receivers, so that all of them get the same.
 */
void frame_make_private(struct frame *f, uint8_t *buf);

/** Puts a tag with vid in, or takes the tag out. */
void frame_tag(struct frame *f, uint16_t vid);
void frame_untag(struct frame *f);

/** The NET_OFFLOAD_* that a receiver must have for this frame to be given to it as it is. */
uint32_t frame_needs(const struct net_offload *off);

#endif
