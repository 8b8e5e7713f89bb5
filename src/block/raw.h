/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BLOCK_RAW_H
#define BLOCK_RAW_H

#include "block/block.h"

/*
 * A raw image: a file's or block device's own bytes, by io_uring. Private to src/block/raw*.c and
 * the table.
 */
struct raw {
	struct block block; /* first */
	int fd;
	bool direct;	    /* O_DIRECT */
	uint32_t mem_align; /* of buffers, where direct */
};

extern const struct block_ops raw_block_ops;

/* raw_queue.c: the per-queue half of raw_block_ops. */
int raw_queue_open(struct block *block, unsigned depth, struct block_queue **out,
		   struct error *err);
void raw_queue_close(struct block_queue *queue);
void raw_submit(struct block_queue *queue, struct block_request *req);
void raw_start(struct block_queue *queue);
unsigned raw_reap(struct block_queue *queue, struct block_request **done, unsigned max);
void raw_cancel(struct block_queue *queue);

#endif
