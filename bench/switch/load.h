/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BENCH_SWITCH_LOAD_H
#define BENCH_SWITCH_LOAD_H

#include "lean.h"
#include "vhost/user_frontend.h"
#include "vring/driver.h"

#include <sys/eventfd.h>

/*
 * One end of the load: a vhost-user front-end and a driver with one queue pair, in memory of its
 * own. Frames carry a sequence number, a time stamp and a pattern, so that loss, reordering and
 * corruption are seen.
 */

#define END_RING   1024U
#define END_STRIDE 2176U  /* as far apart as DPDK's buffers of 2 KiB */
#define END_BIG	   66688U /* a frame with TSO fits: virtio 1.3, 5.1.6.3.1 */
#define END_ROOM   116U	  /* so that the frame behind the header begins at a cache line */
#define END_HDR	   12U
#define LAT_BUCKET 20 /* of nanoseconds; the histogram's last bucket has all beyond */
#define LAT_COUNT  50000

struct end_setup {
	const char *path;
	bool packed, in_order, mergeable, tso;
	bool listen;	     /* it is the switch that connects */
	unsigned ring, size; /* buffers; bytes of a frame */
};

/* One queue. Its driver is the lean one, or with IN_ORDER vring/driver.h. */
struct end_queue {
	struct vdrv *drv; /* NULL: lean */
	struct lean lean;
	struct vring_config cfg;
	int kick, call;
	uint64_t gpa;	   /* of the buffers */
	uint8_t *base;	   /* the same, mapped */
	uint32_t stride;   /* from one to the next */
	struct vdrv_sg sg; /* the first */
	bool writable;
};

struct end {
	struct vhost_user_frontend fe;
	struct end_setup setup;
	struct guest_mem *mem;
	struct end_queue tx, rx;
	unsigned nbufs;
	unsigned free[END_RING], nfree; /* transmit buffers, last in, first out: warm */

	uint32_t next_seq, want_seq;
	unsigned from_mac, to_mac; /* of the next frame */
	uint64_t sent, received, bytes, lost, reordered, corrupt, stray;
	uint32_t *latency; /* LAT_COUNT buckets */
};

/** Connects and starts the queues. 0, or a negative errno with err set. */
int end_open(struct end *e, const struct end_setup *setup, struct error *err);
void end_close(struct end *e);

/** Takes a buffer back: false if there is none. */
static inline bool end_get(struct end_queue *q, unsigned *buf, uint32_t *len)
{
	void *cookie;

	if (likely(!q->drv))
		return lean_get(&q->lean, buf, len);
	if (vdrv_get(q->drv, &cookie, len) != 1)
		return false;
	*buf = (unsigned)(uintptr_t)cookie - 1;
	return true;
}

/** Gives the device a frame, or a receive buffer. */
static inline void end_put(struct end_queue *q, unsigned buf)
{
	struct vdrv_sg sg = q->sg;

	if (likely(!q->drv)) {
		lean_put(&q->lean, buf);
		return;
	}
	sg.gpa += (uint64_t)buf * q->stride;
	vdrv_add(q->drv, &sg, !q->writable, q->writable, false, 0, (void *)(uintptr_t)(buf + 1));
}

static inline void end_publish(struct end_queue *q)
{
	if (q->drv ? vdrv_publish(q->drv) : lean_publish(&q->lean))
		eventfd_write(q->kick, 1);
}

/** The frame in buffer n. */
static inline uint8_t *end_frame(const struct end_queue *q, unsigned n)
{
	return q->base + (uint64_t)n * q->stride + END_ROOM + END_HDR;
}

#define FRAME_SEQ  0U /* from where frames_fill() says: a sequence number, the time it was sent */
#define FRAME_TIME 6U
#define FRAME_HEAD 14U
#define FRAME_MIN  28U	  /* of Ethernet, without and */
#define FRAME_TSO  65214U /* with segmentation left to do: 45 segments of 1448 */

/**
 * Writes the frames of an end (0 or 1) into its transmit buffers: Ethernet and a pattern, or, with
 * tso, TCP over IPv4 with checksum and segmentation left to do. Returns where FRAME_SEQ counts from.
 */
unsigned frames_fill(struct end *e, unsigned which);

/** MAC address n, below 2^24, of an end. */
static inline void frames_put_mac(uint8_t *mac, unsigned which, unsigned n)
{
	store_be16(mac, (uint16_t)(0x0200 | which));
	store_be32(mac + 2, n);
}

/** Whether the pattern stands in the frame from at on, and its virtio header is as it was sent. */
bool frames_whole(const struct end *e, const uint8_t *frame, unsigned at, uint32_t len);

/** Whether it is one of our frames at all. */
static inline bool frames_ours(const struct end *e, const uint8_t *frame)
{
	return load_be16(frame + 12) == (e->setup.tso ? 0x0800 : 0x88b5);
}

#endif
