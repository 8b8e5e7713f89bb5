// SPDX-License-Identifier: Apache-2.0
/*
 * Raw images: requests, by io_uring.
 *
 * Each queue has a ring of its own, which its thread alone uses; the ring's descriptor is what is
 * polled for completions. A burst is one system call. Requests that end in the call itself (what
 * is in the page cache) are found by the reap that follows it, without a wakeup.
 *
 * A transfer may come back short, at a signal or an odd place of a file: the rest is submitted
 * again. One that comes back empty has met the end of a file that was cut under us: -EIO. With
 * O_DIRECT, memory that is not aligned as the file wants it is replaced by a copy.
 */
#include "block/raw.h"

#include <errno.h>
#include <fcntl.h>
#include <liburing.h>
#include <linux/falloc.h>
#include <stdlib.h>

#include "base/iov.h"

#define RAW_DEPTH_MAX 4096

struct raw_queue {
	struct block_queue q; /* first */
	struct io_uring ring;
	struct block_request_list refused; /* complete already, without the kernel */
};

static struct raw *raw_of(struct block_queue *queue)
{
	return container_of(queue->block, struct raw, block);
}

static struct raw_queue *rq_of(struct block_queue *queue)
{
	return container_of(queue, struct raw_queue, q);
}

int raw_queue_open(struct block *block, unsigned depth, struct block_queue **out, struct error *err)
{
	struct raw_queue *rq = calloc(1, sizeof(*rq));
	/* Completions need not interrupt the thread: it comes to the ring by itself. */
	struct io_uring_params params = {.flags = IORING_SETUP_COOP_TASKRUN};
	int ret;

	if (!rq)
		return error_set(err, -ENOMEM, "%s: out of memory", block->id);
	if (depth > RAW_DEPTH_MAX)
		depth = RAW_DEPTH_MAX;
	ret = io_uring_queue_init_params(depth, &rq->ring, &params);
	if (ret == -EINVAL) { /* before Linux 5.19 */
		params = (struct io_uring_params){0};
		ret = io_uring_queue_init_params(depth, &rq->ring, &params);
	}
	if (ret) {
		free(rq);
		return error_set(
			err, ret, "%s: cannot make an io_uring: %s%s", block->id, error_name(ret),
			ret == -EPERM || ret == -ENOSYS ? ": see /proc/sys/kernel/io_uring_disabled"
							: "");
	}
	rq->q.block = block;
	rq->q.fd = rq->ring.ring_fd;
	request_list_init(&rq->refused);
	*out = &rq->q;
	return 0;
}

void raw_queue_close(struct block_queue *queue)
{
	struct raw_queue *rq = rq_of(queue);

	io_uring_queue_exit(&rq->ring);
	free(rq);
}

/* Data through a copy, where the caller's memory does not suit O_DIRECT. */
static bool aligned(const struct raw *raw, const struct block_request *req)
{
	if (!raw->direct)
		return true;
	for (unsigned i = 0; i < req->niov; i++)
		if (((uintptr_t)req->iov[i].iov_base | req->iov[i].iov_len) % raw->mem_align)
			return false;
	return true;
}

/* The part of the data that is still to be moved, as an iovec of the request's own. */
static int make_rest(struct raw *raw, struct block_request *req)
{
	if (!req->rest)
		req->rest = calloc(req->niov + 1, sizeof(*req->rest));
	if (!req->rest)
		return -ENOMEM;
	if (!aligned(raw, req)) {
		if (!req->bounce && posix_memalign(&req->bounce, raw->mem_align, req->len)) {
			req->bounce = NULL;
			return -ENOMEM;
		}
		if (req->op == BLOCK_WRITE)
			iov_read(req->iov, req->niov, 0, req->bounce, req->len);
		req->rest[0] =
			(struct iovec){(char *)req->bounce + req->done, req->len - req->done};
		req->nrest = 1;
	} else {
		req->nrest = iov_slice(req->iov, req->niov, req->done, req->len - req->done,
				       req->rest, req->niov);
	}
	return 0;
}

static void prepare_transfer(struct raw *raw, struct io_uring_sqe *sqe, struct block_request *req)
{
	const struct iovec *iov = req->rest ? req->rest : req->iov;
	unsigned niov = req->rest ? req->nrest : req->niov;
	uint64_t offset = req->offset + req->done;

	if (req->op == BLOCK_READ && niov == 1)
		io_uring_prep_read(sqe, raw->fd, iov->iov_base, (unsigned)iov->iov_len, offset);
	else if (req->op == BLOCK_READ)
		io_uring_prep_readv(sqe, raw->fd, iov, niov, offset);
	else if (niov == 1 && !req->fua)
		io_uring_prep_write(sqe, raw->fd, iov->iov_base, (unsigned)iov->iov_len, offset);
	else
		io_uring_prep_writev2(sqe, raw->fd, iov, niov, offset, req->fua ? RWF_DSYNC : 0);
}

static void prepare(struct raw *raw, struct io_uring_sqe *sqe, struct block_request *req)
{
	int mode = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;

	switch (req->op) {
	case BLOCK_READ:
	case BLOCK_WRITE:
		prepare_transfer(raw, sqe, req);
		break;
	case BLOCK_FLUSH:
		io_uring_prep_fsync(sqe, raw->fd, IORING_FSYNC_DATASYNC);
		break;
	case BLOCK_WRITE_ZEROES:
		/* done: ZERO_RANGE was refused, where a hole is all that can be had (tmpfs) */
		if (!req->unmap && !req->done)
			mode = FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE;
		__attribute__((fallthrough));
	case BLOCK_DISCARD:
		io_uring_prep_fallocate(sqe, raw->fd, mode, (off_t)req->offset, (off_t)req->len);
		break;
	}
	io_uring_sqe_set_data(sqe, req);
}

static void put(struct raw_queue *rq, struct block_request *req)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(&rq->ring);

	if (!sqe) {
		io_uring_submit(&rq->ring);
		sqe = io_uring_get_sqe(&rq->ring);
	}
	if (sqe) {
		prepare(raw_of(&rq->q), sqe, req);
		return;
	}
	req->result = -EAGAIN;
	request_list_add(&rq->refused, req);
}

static bool moves_data(const struct block_request *req)
{
	return req->op == BLOCK_READ || req->op == BLOCK_WRITE;
}

void raw_submit(struct block_queue *queue, struct block_request *req)
{
	struct raw_queue *rq = rq_of(queue);
	struct raw *raw = raw_of(queue);

	/* Nothing was written since it was opened: nothing to flush, and it might be refused. */
	bool nothing = raw->block.readonly && req->op == BLOCK_FLUSH;

	if (!req->result && moves_data(req) && unlikely(!aligned(raw, req)))
		req->result = make_rest(raw, req);
	if (unlikely(req->result || nothing || (req->op != BLOCK_FLUSH && !req->len)))
		request_list_add(&rq->refused, req);
	else
		put(rq, req);
}

void raw_start(struct block_queue *queue)
{
	struct raw_queue *rq = rq_of(queue);

	/* What the kernel cannot take now (-EAGAIN, -EBUSY) stays and goes with the next burst. */
	if (io_uring_sq_ready(&rq->ring))
		(void)io_uring_submit(&rq->ring);
}

static void finish(struct block_request *req)
{
	if (req->bounce && req->op == BLOCK_READ && !req->result)
		iov_write(req->iov, req->niov, 0, req->bounce, req->len);
	free(req->bounce);
	free(req->rest);
	req->bounce = NULL;
	req->rest = NULL;
}

/* What the kernel said about a request. Whether it is complete; if not it is in the ring again. */
static bool completed(struct raw_queue *rq, struct block_request *req, int res)
{
	if (res == -EINTR || res == -EAGAIN) {
		put(rq, req);
		return false;
	}
	if (res == -EOPNOTSUPP && req->op == BLOCK_WRITE_ZEROES && !req->unmap && !req->done) {
		req->done = req->len;
		put(rq, req);
		return false;
	}
	if (res < 0 || !moves_data(req)) {
		req->result = res < 0 ? res : 0;
		return true;
	}
	if (!res) {
		req->result = -EIO;
		return true;
	}
	req->done += (uint64_t)res;
	if (likely(req->done >= req->len)) {
		req->result = 0;
		return true;
	}
	req->result = make_rest(raw_of(&rq->q), req);
	if (req->result)
		return true;
	put(rq, req);
	return false;
}

unsigned raw_reap(struct block_queue *queue, struct block_request **done, unsigned max)
{
	struct raw_queue *rq = rq_of(queue);
	struct io_uring_cqe *cqe;
	unsigned n = 0;

	while (n < max && rq->refused.first) {
		done[n] = request_list_take(&rq->refused);
		finish(done[n++]);
	}
	while (n < max && !io_uring_peek_cqe(&rq->ring, &cqe)) {
		struct block_request *req = io_uring_cqe_get_data(cqe);
		int res = cqe->res;

		io_uring_cqe_seen(&rq->ring, cqe);
		if (completed(rq, req, res)) {
			if (unlikely(req->bounce || req->rest))
				finish(req);
			done[n++] = req;
		}
	}
	raw_start(queue); /* what is to be done again */
	return n;
}

void raw_cancel(struct block_queue *queue)
{
	/* A local disk's requests end by themselves, sooner or later; there is nothing to give up. */
}
