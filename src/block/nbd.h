/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BLOCK_NBD_H
#define BLOCK_NBD_H

#include "block/block.h"
#include "block/nbd_library.h"

#include <sys/types.h>

/*
 * Images behind an NBD server, by libnbd: one that the user names (nbd=URI), or a qemu-nbd of our
 * own for image formats (path=FILE,format=…). Private to src/block/ and its tests.
 */
struct qemu_nbd; /* qemu_nbd.c */

struct nbd {
	struct block block; /* first */
	char *uri;	    /* NULL: the socket of server */
	struct qemu_nbd *server;
	struct loop *loop;
	bool can_flush, can_fua, can_zero; /* of the server, when it was first seen */
};

extern const struct block_ops nbd_block_ops, qemu_block_ops;

/* nbd.c */

/** A new handle, told what to ask for. NULL with err set. */
struct nbd_handle *nbd_make_handle(const struct nbd *nbd, struct error *err);
/** Begins to connect; 0 or -1 as libnbd's functions. */
int nbd_begin_connect(const struct nbd *nbd, struct nbd_handle *h);
/** Reads the server's size and abilities into *block. 0 or negative errno. */
int nbd_read_abilities(struct nbd *nbd, struct nbd_handle *h, struct error *err);

/* nbd_queue.c: the per-queue half of the ops. */
int nbd_queue_open(struct block *block, unsigned depth, struct block_queue **out,
		   struct error *err);
void nbd_queue_close(struct block_queue *queue);
void nbd_submit(struct block_queue *queue, struct block_request *req);
void nbd_start(struct block_queue *queue);
unsigned nbd_reap(struct block_queue *queue, struct block_request **done, unsigned max);
void nbd_cancel(struct block_queue *queue);

/* nbd_log.c: writes that the server has acknowledged but not yet been asked to make stable. */
struct nbd_write {
	enum block_op op;
	bool unmap;
	uint64_t offset, len;
	void *data; /* BLOCK_WRITE: len bytes, the log's */
	uint64_t number;
	struct nbd_write *next;
};

struct nbd_log {
	struct nbd_write *first, **last;
	uint64_t number; /* of the last entry */
	uint64_t bytes;	 /* kept */
};

void nbd_log_init(struct nbd_log *log);
/** Adds an acknowledged write; data becomes the log's. -ENOMEM, and then it is the caller's still. */
int nbd_log_add(struct nbd_log *log, enum block_op op, bool unmap, uint64_t offset, uint64_t len,
		void *data);
/** A flush that was sent when the last entry was this number has succeeded. */
void nbd_log_flushed(struct nbd_log *log, uint64_t number);
void nbd_log_clear(struct nbd_log *log);

/* qemu_nbd.c */

/**
 * Starts qemu-nbd on an image, listening on a socket that only this user can reach; it is started
 * again whenever it dies, until qemu_nbd_stop(). -EINVAL: an image or format it does not take.
 */
int qemu_nbd_start(const struct options *opts, bool readonly, const char *id, struct loop *loop,
		   struct qemu_nbd **out, struct error *err);
void qemu_nbd_stop(struct qemu_nbd *server);
const char *qemu_nbd_socket(const struct qemu_nbd *server);
/** Becomes readable when the process now running ends. */
int qemu_nbd_pidfd(const struct qemu_nbd *server);
/** What it has said, for an error message; reads all there is. */
const char *qemu_nbd_words(struct qemu_nbd *server);

#endif
