// SPDX-License-Identifier: Apache-2.0
/* Which back-end a disk's options mean, and what holds for all of them. */
#include "block/block.h"
#include "block/nbd.h"
#include "block/raw.h"

#include <errno.h>

const struct block_ops *const block_table[] = {
	&raw_block_ops,
	&qemu_block_ops,
	&nbd_block_ops,
	NULL,
};

const struct option_key block_common_keys[] = {
	{"path", "FILE", "the image: a file or a block device"},
	{"nbd", "URI",
	 "or the NBD server that has it: nbd://HOST[:PORT][/NAME], nbd+unix:///?socket=PATH"},
	{"format", "NAME", "how the file is laid out: raw, qcow2, vmdk, vhdx, … (raw)"},
	{"readonly", "on|off", "the guest cannot write (off)"},
	{0},
};

const struct block_ops *block_for_options(const struct options *opts, struct error *err)
{
	const char *format = options_get(opts, "format"), *path = options_get(opts, "path");

	if (options_get(opts, "nbd")) {
		if (!path && !format)
			return &nbd_block_ops;
		error_set(err, -EINVAL,
			  "nbd= and %s= exclude each other: the server knows its image",
			  path ? "path" : "format");
		return NULL;
	}
	if (!path) {
		error_set(err, -EINVAL, "path= is missing (or nbd=): which file is the disk?");
		return NULL;
	}
	return !format || !strcmp(format, "raw") ? &raw_block_ops : &qemu_block_ops;
}

int block_open(const struct options *opts, const char *id, struct loop *loop, struct block **out,
	       struct error *err)
{
	const struct block_ops *ops = block_for_options(opts, err);

	return ops ? ops->open(opts, id, loop, out, err) : -EINVAL;
}

void block_close(struct block *block)
{
	if (block)
		block->ops->close(block);
}

int block_queue_open(struct block *block, unsigned depth, struct block_queue **out,
		     struct error *err)
{
	return block->ops->queue_open(block, depth, out, err);
}

void block_queue_close(struct block_queue *queue)
{
	if (queue)
		queue->block->ops->queue_close(queue);
}

static bool is_write(enum block_op op)
{
	return op == BLOCK_WRITE || op == BLOCK_DISCARD || op == BLOCK_WRITE_ZEROES;
}

/* 0, or why the image cannot do it. */
static int refuse(const struct block *block, const struct block_request *req)
{
	if (block->readonly && is_write(req->op))
		return -EROFS;
	if (req->op == BLOCK_DISCARD && !block->can_discard)
		return -ENOTSUP;
	if (req->op == BLOCK_WRITE_ZEROES && !block->can_zero)
		return -ENOTSUP;
	return req->op != BLOCK_FLUSH && !block_range_ok(block, req->offset, req->len) ? -EINVAL
										       : 0;
}

void block_queue_submit(struct block_queue *queue, struct block_request *req)
{
	req->result = refuse(queue->block, req);
	req->done = 0;
	req->rest = NULL;
	req->bounce = NULL;
	queue->in_flight++;
	queue->block->ops->submit(queue, req);
}

unsigned block_queue_reap(struct block_queue *queue, struct block_request **done, unsigned max)
{
	unsigned n = queue->block->ops->reap(queue, done, max);

	queue->in_flight -= n;
	return n;
}
