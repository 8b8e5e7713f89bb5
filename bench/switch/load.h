/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BENCH_SWITCH_LOAD_H
#define BENCH_SWITCH_LOAD_H

#include "vhost/user_frontend.h"
#include "vring/driver.h"

/*
 * One end of the load: a vhost-user front-end and a driver with one queue pair, in memory of its
 * own. Frames carry a sequence number, a time stamp and a pattern, so that loss, reordering and
 * corruption are seen.
 */
#define END_GPA	   0x100000ULL
#define END_RING   1024U
#define END_STRIDE 2176U /* as far apart as DPDK's buffers of 2 KiB */
#define END_ROOM   116U	 /* so that the frame behind the header begins at a cache line */
#define END_HDR	   12U
#define LAT_BUCKET 20 /* of nanoseconds; the histogram's last bucket has all beyond */
#define LAT_COUNT  50000

struct end_setup {
	const char *path;
	bool packed, in_order, mergeable;
	unsigned ring;
};

struct end {
	struct vhost_user_frontend fe;
	struct end_setup setup;
	struct guest_mem *mem;
	struct vdrv *tx, *rx;
	struct vring_config tx_cfg, rx_cfg;
	int tx_kick, tx_call, rx_kick, rx_call;
	uint64_t tx_gpa, rx_gpa;
	uint8_t *tx_base, *rx_base; /* the same, mapped */
	unsigned nbufs;
	unsigned free[END_RING], free_at, nfree; /* transmit buffers, first in, first out */

	uint32_t next_seq, want_seq;
	uint64_t sent, received, bytes, lost, reordered, corrupt, stray;
	uint32_t *latency; /* LAT_COUNT buckets */
};

/** Connects and starts the queues. 0, or a negative errno with err set. */
int end_open(struct end *e, const struct end_setup *setup, struct error *err);
void end_close(struct end *e);

/** The frame of transmit buffer n, and of receive buffer n. */
static inline uint8_t *end_tx_frame(struct end *e, unsigned n)
{
	return e->tx_base + (uint64_t)n * END_STRIDE + END_ROOM + END_HDR;
}

static inline uint8_t *end_rx_frame(struct end *e, unsigned n)
{
	return e->rx_base + (uint64_t)n * END_STRIDE + END_ROOM + END_HDR;
}

#endif
