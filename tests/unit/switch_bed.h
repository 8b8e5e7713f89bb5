/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_SWITCH_BED_H
#define TESTS_SWITCH_BED_H

#include "unit.h"

#include "switch/switch.h"
#include "vring/driver.h"

/*
 * A switch with ring ports whose drivers are in this process: what a guest would be, without a
 * socket. Each has memory of its own, as guests have.
 */
#define BED_PAIRS   2
#define BED_GPA	    0x200000ULL
#define BED_BYTES   (16 * MIB)
#define BED_RX_BUFS 256
#define BED_TX_BUFS 256
#define BED_TX_LEN  4096U /* a frame's buffer; larger ones take several parts */

struct bed_setup {
	bool packed, mergeable, event_idx, in_order, legacy;
	bool kicks;	   /* an eventfd tells of frames sent; otherwise the switch must look */
	unsigned pairs;	   /* 0: 1 */
	unsigned ring;	   /* 0: 256 */
	unsigned rx_len;   /* bytes a receive buffer; 0: 2048 */
	unsigned rx_parts; /* descriptors of a receive buffer; 0: 1 */
	unsigned tx_parts; /* of a frame; 0: 1 */
	unsigned rx_bufs;  /* posted at start; 0: all; BED_NO_RX: none */
	uint32_t offloads; /* both ways */
};
#define BED_NO_RX UINT32_MAX

struct bed_pair {
	struct vdrv *tx, *rx;
	struct vq *in, *out;
	struct vring_config in_cfg, out_cfg;
	struct sw_ring ring_in, ring_out; /* as they were handed to the switch */
	int kick_fd;
	uint64_t tx_base, rx_base; /* guest-physical */
	unsigned tx_free[BED_TX_BUFS], ntx_free;
	unsigned calls_in, calls_out; /* written by workers */
};

struct bed_port {
	struct sw_port *port;
	struct bed_setup setup;
	uint8_t *mem;
	struct mem_table *table;
	struct bed_pair pairs[BED_PAIRS];
};

/** A switch stepped by hand, or with threads. */
struct sw *bed_switch(unsigned workers, bool threads);

/** Adds a port; options as for --port, without type. */
struct bed_port *bed_add(struct sw *sw, const char *options, const struct bed_setup *setup);

/** Frees a port's memory, after the switch has let go of it. */
void bed_free(struct bed_port *bed);

/** Removes the port and frees it. */
void bed_remove(struct bed_port *bed);

/** Hands a frame to the switch. Returns 0, or -ENOSPC. */
int bed_send(struct bed_port *bed, unsigned pair, const void *frame, unsigned len,
	     const struct net_offload *off);

/** Adds a frame without telling the switch yet; bed_publish() does. */
int bed_add_frame(struct bed_port *bed, unsigned pair, const void *frame, unsigned len,
		  const struct net_offload *off);
void bed_publish(struct bed_port *bed, unsigned pair);

/** Takes a frame: its length, with its header in *off (may be NULL), or 0. */
unsigned bed_recv(struct bed_port *bed, unsigned pair, void *frame, struct net_offload *off);

/** Posts n receive buffers (0 … of them). */
void bed_post(struct bed_port *bed, unsigned pair, unsigned first, unsigned n);

/** The byte where transmit buffer n's frame begins. */
uint8_t *bed_tx_frame(struct bed_port *bed, unsigned pair, unsigned n);

/** The sum of an in queue's drops. */
uint64_t bed_drops(const struct sw_in *in);

/** Fails the test unless the first worker, which has nothing to do, comes to rest. */
void bed_check_asleep(struct sw *sw);

/** Fails the test unless what went in came out or was dropped, at each queue and in sum. */
void bed_check_balance(struct sw *sw);

/** An Ethernet frame of len bytes with a pattern that `mark` chooses. */
void bed_frame(uint8_t *frame, unsigned len, unsigned dst, unsigned src, unsigned mark);

#endif
