// SPDX-License-Identifier: Apache-2.0
/*
 * Images behind an NBD server: opening one. Each queue has a connection of its own; there is one
 * queue, because what several connections may assume about each other's writes when a server
 * comes back is nothing.
 */
#include "block/nbd.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/log.h"

#define FIRST_CONNECT_NS (10 * NSEC_PER_SEC)

static struct nbd *nbd_of(struct block *block)
{
	return container_of(block, struct nbd, block);
}

struct nbd_handle *nbd_make_handle(const struct nbd *nbd, struct error *err)
{
	struct nbd_handle *h = libnbd.nbd_create();

	if (!h) {
		error_set(err, -ENOMEM, "%s: libnbd: %s", nbd->block.id, libnbd.nbd_get_error());
		return NULL;
	}
	/* A user's own URI may name a file with keys. */
	(void)libnbd.nbd_set_uri_allow_local_file(h, true);
	(void)libnbd.nbd_set_pread_initialize(h, false);
	return h;
}

int nbd_begin_connect(const struct nbd *nbd, struct nbd_handle *h)
{
	if (nbd->server)
		return libnbd.nbd_aio_connect_unix(h, qemu_nbd_socket(nbd->server));
	return libnbd.nbd_aio_connect_uri(h, nbd->uri);
}

int nbd_read_abilities(struct nbd *nbd, struct nbd_handle *h, struct error *err)
{
	struct block *block = &nbd->block;
	int64_t size = libnbd.nbd_get_size(h),
		min = libnbd.nbd_get_block_size(h, LIBNBD_SIZE_MINIMUM);
	int64_t preferred = libnbd.nbd_get_block_size(h, LIBNBD_SIZE_PREFERRED);

	if (size < 0)
		return error_set(err, -EIO, "%s: the server does not tell the size: %s", block->id,
				 libnbd.nbd_get_error());
	block->block_size = min > 512 ? (uint32_t)min : 512;
	if (block->block_size > 4096 || !is_pow2(block->block_size))
		return error_set(err, -ENOTSUP, "%s: the server wants blocks of %lld bytes",
				 block->id, (long long)min);
	block->physical_size = block->block_size;
	if (preferred > block->physical_size && preferred <= 4096 && is_pow2((uint64_t)preferred))
		block->physical_size = (uint32_t)preferred;
	block->size = (uint64_t)size - (uint64_t)size % block->block_size;
	block->max_queues = 1;
	nbd->can_flush = libnbd.nbd_can_flush(h) > 0;
	nbd->can_fua = libnbd.nbd_can_fua(h) > 0;
	nbd->can_zero = libnbd.nbd_can_zero(h) > 0;
	if (libnbd.nbd_is_read_only(h) > 0 && !block->readonly)
		return error_set(err, -EROFS,
				 "%s: the server lets it only be read: use readonly=on", block->id);
	block->can_discard = !block->readonly && libnbd.nbd_can_trim(h) > 0;
	block->can_zero = !block->readonly && nbd->can_zero;
	if (!block->size)
		return error_set(err, -EINVAL, "%s: the image is empty", block->id);
	return 0;
}

/* Why the first connection failed: the server's own words if it is ours, else libnbd's. */
static int connect_error(struct nbd *nbd, const char *why, struct error *err)
{
	const char *words = nbd->server ? qemu_nbd_words(nbd->server) : "";

	if (*words)
		return error_set(err, -EINVAL, "%s", words);
	if (nbd->server)
		return error_set(err, -ENOENT, "qemu-nbd: %s: is it installed (qemu-utils)?", why);
	return error_set(err, -EHOSTUNREACH, "cannot connect to %s: %s", nbd->uri, why);
}

/* One step of connecting: waits for the socket, or the end of a server of ours. */
static int connect_step(struct nbd *nbd, struct nbd_handle *h, uint64_t until, struct error *err)
{
	unsigned dir = libnbd.nbd_aio_get_direction(h);
	uint64_t now = clock_ns();
	struct pollfd fds[2] = {
		{.fd = libnbd.nbd_aio_get_fd(h),
		 .events = (short)((dir & LIBNBD_AIO_DIRECTION_READ ? POLLIN : 0) |
				   (dir & LIBNBD_AIO_DIRECTION_WRITE ? POLLOUT : 0))},
		{.fd = nbd->server ? qemu_nbd_pidfd(nbd->server) : -1, .events = POLLIN},
	};
	int ret = 0;

	if (now >= until)
		return connect_error(nbd, "it does not answer", err);
	if (poll(fds, 2, (int)((until - now) / NSEC_PER_MSEC) + 1) < 0 && errno != EINTR)
		return error_set(err, -errno, "poll: %s", error_name(errno));
	if (fds[1].revents)
		return connect_error(nbd, "it ended", err);
	if (fds[0].revents & (POLLIN | POLLHUP | POLLERR) && dir & LIBNBD_AIO_DIRECTION_READ)
		ret = libnbd.nbd_aio_notify_read(h);
	else if (fds[0].revents & (POLLOUT | POLLHUP | POLLERR) && dir & LIBNBD_AIO_DIRECTION_WRITE)
		ret = libnbd.nbd_aio_notify_write(h);
	return ret < 0 ? connect_error(nbd, libnbd.nbd_get_error(), err) : 0;
}

/* Connects once, to learn what there is. */
static int first_connect(struct nbd *nbd, struct error *err)
{
	uint64_t until = clock_ns() + FIRST_CONNECT_NS;
	struct nbd_handle *h = nbd_make_handle(nbd, err);
	int ret = 0;

	if (!h)
		return -ENOMEM;
	if (nbd_begin_connect(nbd, h) < 0)
		ret = connect_error(nbd, libnbd.nbd_get_error(), err);
	while (!ret && !libnbd.nbd_aio_is_ready(h)) {
		if (libnbd.nbd_aio_is_dead(h) || libnbd.nbd_aio_is_closed(h))
			ret = connect_error(
				nbd, libnbd.nbd_get_error() ? libnbd.nbd_get_error() : "it hung up",
				err);
		else
			ret = connect_step(nbd, h, until, err);
	}
	if (!ret)
		ret = nbd_read_abilities(nbd, h, err);
	if (!ret)
		(void)libnbd.nbd_shutdown(h, 0);
	libnbd.nbd_close(h);
	return ret;
}

static void nbd_close_block(struct block *block)
{
	struct nbd *nbd = nbd_of(block);

	qemu_nbd_stop(nbd->server);
	free(nbd->uri);
	free(nbd);
}

static int open_with(const struct block_ops *ops, const struct options *opts, const char *id,
		     struct loop *loop, struct block **out, struct error *err)
{
	const char *readonly = options_get(opts, "readonly"), *uri = options_get(opts, "nbd");
	struct nbd *nbd = calloc(1, sizeof(*nbd));
	int ret;

	if (!nbd)
		return error_set(err, -ENOMEM, "%s: out of memory", id);
	nbd->block.ops = ops;
	nbd->block.id = id;
	nbd->loop = loop;
	nbd->uri = uri ? strdup(uri) : NULL;
	ret = readonly ? option_bool("readonly", readonly, &nbd->block.readonly, err) : 0;
	if (!ret)
		ret = libnbd_load(err);
	if (!ret && !uri)
		ret = qemu_nbd_start(opts, nbd->block.readonly, id, loop, &nbd->server, err);
	if (!ret)
		ret = first_connect(nbd, err);
	if (ret) {
		nbd_close_block(&nbd->block);
		return ret;
	}
	*out = &nbd->block;
	return 0;
}

static int nbd_open(const struct options *opts, const char *id, struct loop *loop,
		    struct block **out, struct error *err)
{
	return open_with(&nbd_block_ops, opts, id, loop, out, err);
}

static int qemu_open(const struct options *opts, const char *id, struct loop *loop,
		     struct block **out, struct error *err)
{
	return open_with(&qemu_block_ops, opts, id, loop, out, err);
}

static const struct option_key qemu_keys[] = {
	{"cache", "writeback|none", "none: past the host's page cache (writeback)"},
	{0},
};

#define NBD_OPS                                                                                 \
	.close = nbd_close_block, .queue_open = nbd_queue_open, .queue_close = nbd_queue_close, \
	.submit = nbd_submit, .start = nbd_start, .reap = nbd_reap, .cancel = nbd_cancel

const struct block_ops nbd_block_ops = {
	.name = "nbd",
	.asked = "nbd=URI",
	.help = "what an NBD server has, wherever it is (nbd=URI)",
	.open = nbd_open,
	NBD_OPS,
};

const struct block_ops qemu_block_ops = {
	.name = "qcow2",
	.asked = "format=qcow2",
	.help = "and vmdk, vhdx, vpc, qed, … with their chains of backing images, by qemu-nbd",
	.keys = qemu_keys,
	.open = qemu_open,
	NBD_OPS,
};
