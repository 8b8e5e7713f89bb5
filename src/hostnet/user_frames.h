/* SPDX-License-Identifier: Apache-2.0 */
#ifndef HOSTNET_USER_FRAMES_H
#define HOSTNET_USER_FRAMES_H

#include "net/gso.h"

/*
 * Frames on their way between a guest with offloads and libslirp, which has none but takes and
 * gives TCP segments of any size. See user_frames.c.
 */
struct user_shape {
	unsigned mtu;
	uint32_t offloads;   /* NET_OFFLOAD_* the guest takes now */
	uint16_t mss4, mss6; /* the smallest the guest's connections asked for */
};

/*
 * The MTU libslirp is told, whatever the guest's: it makes TCP segments of 11 times the usual
 * size. Not larger: libslirp tells the guest of room in its buffer only when that is two segments,
 * and its window ends at 64 KiB.
 */
#define USER_SEGMENT_MTU (11 * 1460 + 40)

/* What libslirp takes in one piece: an IP datagram of any size behind an Ethernet header. */
#define USER_FRAME_MAX (14 + 65535)

void user_shape_init(struct user_shape *shape, unsigned mtu);

/**
 * Finishes a frame of the guest, copied into buf (USER_FRAME_MAX bytes): checksums, and the
 * maximum segment size in a SYN. Returns its length, -EMSGSIZE when it is too long, -EINVAL when
 * headers and offload fields do not fit.
 */
ssize_t user_from_guest(struct user_shape *shape, const struct net_frame *frame, uint8_t *buf);

/** Takes a frame for the guest. */
typedef int (*user_deliver_fn)(void *opaque, const struct iovec *iov, unsigned niov, uint32_t len,
			       const struct net_offload *off);

/**
 * Hands libslirp's frame, whose checksums are right, to deliver in the form the guest takes: whole
 * with offload fields, or cut into segments or fragments. Returns 0, or what deliver failed with,
 * or -EMSGSIZE when there is no way to cut it.
 */
int user_to_guest(const struct user_shape *shape, const uint8_t *data, uint32_t len,
		  user_deliver_fn deliver, void *opaque);

#endif
