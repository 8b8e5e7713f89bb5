/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BLOCK_BLOCK_H
#define BLOCK_BLOCK_H

#include "base/loop.h"
#include "base/options.h"

#include <stdatomic.h>
#include <sys/uio.h>

/*
 * Block back-ends: where a disk's bytes are. A back-end is one file and one line in block_table[];
 * it knows nothing of virtio, SCSI or ATA: a request is a range of bytes and an iovec.
 *
 * A struct block is the image: its size and what it can do. Requests go through a struct
 * block_queue of it, used by one thread at a time: submit any number, then block_queue_start()
 * once for the burst, then block_queue_reap() what is done. fd becomes readable when something
 * may be done. Requests are carried out in any order, several at a time; a flush covers what had
 * completed, through any queue, when it was submitted.
 *
 * An error of the storage is the request's result and never the queue's end. A back-end whose
 * store is away for a time (a network) keeps requests until it is back.
 */
enum block_op { BLOCK_READ, BLOCK_WRITE, BLOCK_FLUSH, BLOCK_DISCARD, BLOCK_WRITE_ZEROES };
#define BLOCK_OPS 5

struct block_request {
	enum block_op op;
	bool unmap;	 /* BLOCK_WRITE_ZEROES: may deallocate */
	bool fua;	 /* writes: complete only when on stable storage */
	uint64_t offset; /* bytes, as len: within the image, multiples of block_size (the caller) */
	uint64_t len;
	struct iovec *iov; /* exactly len bytes; the caller's, untouched until it is done */
	unsigned niov;
	int result; /* 0 or negative errno, when reaped */

	/* The back-end's, until reaped. */
	uint64_t done;	    /* bytes carried out so far */
	struct iovec *rest; /* what is left of iov after a short transfer */
	unsigned nrest;
	void *bounce; /* a copy of the data, where the caller's memory cannot be used */
	int64_t cookie;
	struct block_request *next;
};

struct block_request_list {
	struct block_request *first, **last;
};

struct block;
struct block_queue;

/** What a block tells its owner; called in the main loop's thread. */
struct block_events {
	/** Its size is another now (block->size). May be NULL. */
	void (*resized)(void *opaque);
	void *opaque;
};

struct block_ops {
	const char *name;
	const char *asked; /* how a user asks for it: "format=raw" */
	const char *help;
	const struct option_key *keys; /* besides the common ones */

	/** Opens the image that block->opts describe, fills in the fields of *block. */
	int (*open)(const struct options *opts, const char *id, struct loop *loop,
		    struct block **out, struct error *err);
	void (*close)(struct block *block);

	/** Changes an image's size, where that can be done; bytes. -ENOTSUP. Main thread. */
	int (*resize)(struct block *block, uint64_t size, struct error *err);

	/** A queue for at most depth requests at a time. */
	int (*queue_open)(struct block *block, unsigned depth, struct block_queue **out,
			  struct error *err);
	/** Nothing may be in flight. */
	void (*queue_close)(struct block_queue *queue);
	void (*submit)(struct block_queue *queue, struct block_request *req);
	void (*start)(struct block_queue *queue);
	unsigned (*reap)(struct block_queue *queue, struct block_request **done, unsigned max);
	/**
	 * Gives up on requests that cannot be carried out now: they complete with -ECANCELED, at
	 * once or soon. Those that the storage works on are not touched.
	 */
	void (*cancel)(struct block_queue *queue);
};

struct block {
	const struct block_ops *ops;
	const char *id; /* the disk's, for messages */
	_Atomic uint64_t size;
	uint32_t block_size;	/* the unit of offset and len: 512 to 4096 */
	uint32_t physical_size; /* what is written without reading: a hint */
	uint32_t optimal_size;	/* 0: unknown */
	unsigned max_queues;	/* that may be open at a time */
	bool readonly;
	bool can_discard, can_zero;
	struct block_events events;
};

struct block_queue {
	struct block *block;
	int fd;
	unsigned in_flight; /* submitted and not reaped */
};

extern const struct block_ops *const block_table[];
extern const struct option_key block_common_keys[];

/** The back-end that options ask for (path= with format=, or nbd=). NULL with err set. */
const struct block_ops *block_for_options(const struct options *opts, struct error *err);

/**
 * Opens the image of a disk. id is kept. -EINVAL and -ERANGE: the options are wrong; else what the
 * host said.
 */
int block_open(const struct options *opts, const char *id, struct loop *loop, struct block **out,
	       struct error *err);
/** All queues must be closed. Harmless with NULL. */
void block_close(struct block *block);

int block_queue_open(struct block *block, unsigned depth, struct block_queue **out,
		     struct error *err);
void block_queue_close(struct block_queue *queue);

/**
 * Adds a request to the burst. One that the image cannot carry out as it is (out of range, on a
 * read-only image, no such operation) completes with an error like any other.
 */
void block_queue_submit(struct block_queue *queue, struct block_request *req);
/** Hands the burst on. */
static inline void block_queue_start(struct block_queue *queue)
{
	queue->block->ops->start(queue);
}
/** Takes up to max completed requests. */
unsigned block_queue_reap(struct block_queue *queue, struct block_request **done, unsigned max);
static inline void block_queue_cancel(struct block_queue *queue)
{
	queue->block->ops->cancel(queue);
}

/** Whether [offset, offset + len) is in the image and in whole blocks. */
static inline bool block_range_ok(const struct block *block, uint64_t offset, uint64_t len)
{
	uint64_t size = atomic_load_explicit(&block->size, memory_order_relaxed);

	return offset <= size && len <= size - offset && !((offset | len) % block->block_size);
}

/* For back-ends. */
static inline void request_list_init(struct block_request_list *list)
{
	list->first = NULL;
	list->last = &list->first;
}

static inline void request_list_add(struct block_request_list *list, struct block_request *req)
{
	req->next = NULL;
	*list->last = req;
	list->last = &req->next;
}

static inline struct block_request *request_list_take(struct block_request_list *list)
{
	struct block_request *req = list->first;

	if (req) {
		list->first = req->next;
		if (!list->first)
			list->last = &list->first;
	}
	return req;
}

#endif
