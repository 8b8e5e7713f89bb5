// SPDX-License-Identifier: Apache-2.0
/*
 * Requests to an NBD server.
 *
 * Theory of operation. A queue has one connection and lives in one thread. What that thread polls
 * is an epoll set of the connection's socket and a timer. The connection is down, coming up,
 * replaying, or up; requests are sent only when it is up, and otherwise wait, without limit of
 * time. When it is lost, for whatever reason, the commands that were under way go back to the
 * front of those that wait (reads and writes can be carried out twice), and the timer tries again,
 * every 50 ms at first and every 2 s at last. A server that came back is first given the writes
 * that it may have forgotten: nbd_log.c says which. If it refuses one, or the log could not keep
 * one, the next flush fails, because the guest must not take for stable what may be lost.
 *
 * libnbd takes data in one piece. Writes are copied into one, which the log then keeps; reads into
 * several parts go through one. Long requests go in chunks, one after the other.
 */
#include "block/nbd.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "base/iov.h"
#include "base/log.h"

#define CHUNK	    MIB /* of data */
#define CHUNK_FREE  GIB /* of a range without data: lengths have 32 bits */
#define RETRY_MIN   (50 * NSEC_PER_MSEC)
#define RETRY_MAX   (2 * NSEC_PER_SEC)
#define CONNECT_MAX (10 * NSEC_PER_SEC)
#define PATIENCE    (10 * NSEC_PER_SEC) /* with a server that says nothing, when cancelling */
#define LOG_MAX	    (16 * MIB)		/* then a flush of our own; at four times that, wait */

enum state { DOWN, CONNECTING, REPLAYING, UP };

struct nbd_cmd {
	struct nbd_queue *nq;
	struct block_request *req; /* NULL: a flush or a replay of our own */
	enum block_op op;
	uint64_t len;
	void *buf;     /* a copy of the data; NULL: the request's own memory */
	uint64_t mark; /* BLOCK_FLUSH: what the log ended with */
	bool replay;
	bool active;
	struct nbd_cmd *next;
};

struct nbd_queue {
	struct block_queue q; /* first */
	struct nbd *nbd;
	struct nbd_handle *h;
	enum state state;
	int epoll_fd, timer_fd, sock_fd;
	uint32_t events; /* that sock_fd is watched for */
	uint64_t retry;	 /* nanoseconds before the next attempt */
	uint64_t heard;	 /* when the server last completed something */
	bool told_lost;
	bool leaving; /* the server says that it shuts down */
	struct block_request_list waiting, done;
	struct nbd_cmd *cmds, *free;
	unsigned ncmds;
	struct nbd_log log;
	struct nbd_write *replaying; /* the next to be written again */
	bool flushing;		     /* for the log's sake */
	bool uncertain; /* something acknowledged may be lost: the next flush says so */
};

static struct nbd_queue *nq_of(struct block_queue *queue)
{
	return container_of(queue, struct nbd_queue, q);
}

static void set_timer(struct nbd_queue *nq, uint64_t ns)
{
	struct itimerspec ts = {.it_value = {.tv_sec = (time_t)(ns / NSEC_PER_SEC),
					     .tv_nsec = (long)(ns % NSEC_PER_SEC)}};

	(void)timerfd_settime(nq->timer_fd, 0, &ts, NULL);
}

static void finish(struct nbd_queue *nq, struct block_request *req, int result)
{
	req->result = result;
	request_list_add(&nq->done, req);
}

static void put_first(struct block_request_list *list, struct block_request *req)
{
	req->next = list->first;
	list->first = req;
	if (!req->next)
		list->last = &req->next;
}

static void release(struct nbd_cmd *cmd)
{
	free(cmd->buf);
	cmd->buf = NULL;
	cmd->active = false;
	cmd->next = cmd->nq->free;
	cmd->nq->free = cmd;
}

static bool is_lost(int error)
{
	return error == ENOTCONN || error == EPIPE || error == ECONNRESET || error == ESHUTDOWN;
}

/*
 * Completion.
 */

static bool needs_log(const struct nbd_queue *nq, const struct nbd_cmd *cmd)
{
	return nq->nbd->can_flush && cmd->op != BLOCK_READ && cmd->op != BLOCK_FLUSH &&
	       !(cmd->req->fua && nq->nbd->can_fua);
}

static void flushed(struct nbd_queue *nq, struct nbd_cmd *cmd, int error)
{
	struct block_request *req = cmd->req;

	if (!error || !req)
		nbd_log_flushed(&nq->log, cmd->mark);
	if (!req) {
		nq->flushing = false;
		nq->uncertain |= error != 0;
		return;
	}
	if (!error && nq->uncertain) {
		nq->uncertain = false;
		error = EIO;
	}
	finish(nq, req, -error);
}

/* A chunk of a request was carried out. */
static void advanced(struct nbd_queue *nq, struct nbd_cmd *cmd)
{
	struct block_request *req = cmd->req;

	if (cmd->op == BLOCK_READ && cmd->buf)
		iov_write(req->iov, req->niov, req->done, cmd->buf, cmd->len);
	if (needs_log(nq, cmd)) {
		if (nbd_log_add(&nq->log, cmd->op, req->unmap, req->offset + req->done, cmd->len,
				cmd->buf))
			nq->uncertain = true;
		else
			cmd->buf = NULL;
	}
	req->done += cmd->len;
	if (req->done < req->len || (req->fua && !nq->nbd->can_fua && nq->nbd->can_flush))
		put_first(&nq->waiting, req);
	else
		finish(nq, req, 0);
}

static void replayed(struct nbd_queue *nq, int error)
{
	if (error) {
		log_warn_limited("%s: the server that came back refuses a write again: %s",
				 nq->q.block->id, error_name(error));
		nq->uncertain = true;
	}
	nq->replaying = nq->replaying->next;
}

/* libnbd calls this once for each command, also when the connection dies. */
static int completed(void *opaque, int *perror)
{
	struct nbd_cmd *cmd = opaque;
	struct nbd_queue *nq = cmd->nq;
	int error = *perror;

	if (is_lost(error)) {
		nq->leaving = true;
		return 1; /* lost() sees to it */
	}
	nq->heard = clock_ns();
	if (cmd->replay)
		replayed(nq, error);
	else if (cmd->op == BLOCK_FLUSH)
		flushed(nq, cmd, error);
	else if (error)
		finish(nq, cmd->req, -error);
	else
		advanced(nq, cmd);
	release(cmd);
	return 1;
}

/*
 * Sending.
 */

static struct nbd_cmd *take_cmd(struct nbd_queue *nq, enum block_op op, struct block_request *req)
{
	struct nbd_cmd *cmd = nq->free;

	if (!cmd)
		return NULL;
	nq->free = cmd->next;
	*cmd = (struct nbd_cmd){.nq = nq, .req = req, .op = op, .active = true};
	return cmd;
}

/* Where the data of a chunk is, in one piece. */
static void *chunk_data(struct nbd_queue *nq, struct nbd_cmd *cmd)
{
	struct block_request *req = cmd->req;

	if (req->niov == 1 && (cmd->op == BLOCK_READ || !needs_log(nq, cmd)))
		return (char *)req->iov->iov_base + req->done;
	cmd->buf = malloc(cmd->len);
	if (cmd->buf && cmd->op == BLOCK_WRITE)
		iov_read(req->iov, req->niov, req->done, cmd->buf, cmd->len);
	return cmd->buf;
}

/* Hands a command to libnbd. 0, or a positive errno. */
static int issue(struct nbd_queue *nq, struct nbd_cmd *cmd, void *data, uint64_t offset, bool unmap,
		 bool fua)
{
	nbd_completion_callback cb = {.callback = completed, .user_data = cmd};
	uint32_t flags = fua && nq->nbd->can_fua ? LIBNBD_CMD_FLAG_FUA : 0;
	int64_t ret = -1;

	switch (cmd->op) {
	case BLOCK_READ:
		ret = libnbd.nbd_aio_pread(nq->h, data, cmd->len, offset, cb, 0);
		break;
	case BLOCK_WRITE:
		ret = libnbd.nbd_aio_pwrite(nq->h, data, cmd->len, offset, cb, flags);
		break;
	case BLOCK_FLUSH:
		cmd->mark = nq->log.number;
		ret = libnbd.nbd_aio_flush(nq->h, cb, 0);
		break;
	case BLOCK_DISCARD:
		ret = libnbd.nbd_aio_trim(nq->h, cmd->len, offset, cb, flags);
		break;
	case BLOCK_WRITE_ZEROES:
		ret = libnbd.nbd_aio_zero(nq->h, cmd->len, offset, cb,
					  flags | (unmap ? 0 : LIBNBD_CMD_FLAG_NO_HOLE));
		break;
	}
	if (ret >= 0 || !cmd->active)
		return 0;
	return libnbd.nbd_get_errno() ? libnbd.nbd_get_errno() : EIO;
}

/* Sends a request's next chunk. False: not now. */
static bool send_request(struct nbd_queue *nq, struct block_request *req)
{
	bool data = req->op == BLOCK_READ || req->op == BLOCK_WRITE;
	bool flush = req->op == BLOCK_FLUSH || (req->len && req->done == req->len);
	struct nbd_cmd *cmd = take_cmd(nq, flush ? BLOCK_FLUSH : req->op, req);
	void *at = NULL;
	int error;

	if (!cmd)
		return false;
	cmd->len = MIN(req->len - req->done, data ? CHUNK : CHUNK_FREE);
	if (data && !flush)
		at = chunk_data(nq, cmd);
	if (data && !flush && !at)
		error = ENOMEM;
	else
		error = issue(nq, cmd, at, req->offset + req->done, req->unmap, req->fua);
	if (!error)
		return true;
	if (libnbd.nbd_aio_is_dead(nq->h) || libnbd.nbd_aio_is_closed(nq->h) || is_lost(error))
		return false; /* still active: lost() takes the request back */
	release(cmd);
	finish(nq, req, -error);
	return true;
}

/* A flush of our own, when the log is long. */
static void flush_log(struct nbd_queue *nq)
{
	struct nbd_cmd *cmd = nq->flushing ? NULL : take_cmd(nq, BLOCK_FLUSH, NULL);

	if (!cmd)
		return;
	nq->flushing = true;
	if (issue(nq, cmd, NULL, 0, false, false)) {
		nq->flushing = false;
		release(cmd);
	}
}

static void send_waiting(struct nbd_queue *nq)
{
	while (nq->state == UP && nq->waiting.first && nq->free) {
		struct block_request *req = nq->waiting.first;

		if (nq->log.bytes > LOG_MAX)
			flush_log(nq);
		if (nq->log.bytes > 4 * LOG_MAX && req->op != BLOCK_READ && nq->flushing)
			break;
		request_list_take(&nq->waiting);
		if (!send_request(nq, req))
			break;
	}
}

static void send_replay(struct nbd_queue *nq)
{
	struct nbd_write *w = nq->replaying;
	struct nbd_cmd *cmd;

	if (!w) {
		nq->state = UP;
		return;
	}
	for (unsigned i = 0; i < nq->ncmds; i++)
		if (nq->cmds[i].active)
			return; /* one at a time */
	cmd = take_cmd(nq, w->op, NULL);
	cmd->replay = true;
	cmd->len = w->len;
	if (issue(nq, cmd, w->data, w->offset, w->unmap, false) && libnbd.nbd_aio_is_ready(nq->h)) {
		release(cmd);
		replayed(nq, EIO);
	}
}

/*
 * The connection.
 */

static void unwatch(struct nbd_queue *nq)
{
	if (nq->sock_fd >= 0)
		(void)epoll_ctl(nq->epoll_fd, EPOLL_CTL_DEL, nq->sock_fd, NULL);
	nq->sock_fd = -1;
	nq->events = 0;
}

static void watch(struct nbd_queue *nq)
{
	unsigned dir = libnbd.nbd_aio_get_direction(nq->h);
	struct epoll_event ev = {.events = (dir & LIBNBD_AIO_DIRECTION_READ ? EPOLLIN : 0u) |
					   (dir & LIBNBD_AIO_DIRECTION_WRITE ? EPOLLOUT : 0u)};
	int fd = libnbd.nbd_aio_get_fd(nq->h);

	if (fd != nq->sock_fd)
		unwatch(nq);
	if (fd < 0 || (fd == nq->sock_fd && ev.events == nq->events))
		return;
	(void)epoll_ctl(nq->epoll_fd, nq->sock_fd < 0 ? EPOLL_CTL_ADD : EPOLL_CTL_MOD, fd, &ev);
	nq->sock_fd = fd;
	nq->events = ev.events;
}

/* The connection is gone: what it was doing waits, and the timer will try again. */
static void lost(struct nbd_queue *nq, const char *why)
{
	if (!nq->told_lost)
		log_warn("%s: the NBD server is away%s%s: requests wait until it is back",
			 nq->q.block->id, why ? ": " : "", why ? why : "");
	nq->told_lost = true;
	unwatch(nq);
	libnbd.nbd_close(nq->h);
	nq->h = NULL;
	nq->state = DOWN;
	nq->flushing = nq->leaving = false;
	nq->replaying = NULL;
	for (unsigned i = 0; i < nq->ncmds; i++) {
		struct nbd_cmd *cmd = &nq->cmds[i];

		if (!cmd->active)
			continue;
		if (cmd->req)
			put_first(&nq->waiting, cmd->req);
		release(cmd);
	}
	set_timer(nq, nq->retry);
	nq->retry = MIN(2 * nq->retry, RETRY_MAX);
}

static void connect_now(struct nbd_queue *nq)
{
	struct error err = {0};

	nq->h = nbd_make_handle(nq->nbd, &err);
	if (!nq->h) {
		set_timer(nq, RETRY_MAX);
		return;
	}
	nq->state = CONNECTING;
	set_timer(nq, CONNECT_MAX);
	if (nbd_begin_connect(nq->nbd, nq->h) < 0)
		lost(nq, libnbd.nbd_get_error());
}

static void tell_resized(void *arg)
{
	struct block *block = arg;

	if (block->events.resized)
		block->events.resized(block->events.opaque);
}

static void connected(struct nbd_queue *nq)
{
	struct block *block = nq->q.block;
	int64_t size = libnbd.nbd_get_size(nq->h);
	uint64_t whole = size < 0 ? 0 : (uint64_t)size - (uint64_t)size % block->block_size;

	if (nq->told_lost)
		log_warn("%s: the NBD server is back", block->id);
	nq->told_lost = false;
	nq->retry = RETRY_MIN;
	nq->heard = clock_ns();
	set_timer(nq, 0);
	if (whole && whole != block->size) {
		block->size = whole;
		(void)loop_post(nq->nbd->loop, tell_resized, block);
	}
	nq->replaying = nq->log.first;
	nq->state = REPLAYING;
}

/* Lets libnbd do what its socket is ready for. */
static void notify(struct nbd_queue *nq)
{
	for (unsigned i = 0; i < 16; i++) {
		unsigned dir = libnbd.nbd_aio_get_direction(nq->h);
		struct pollfd p = {.fd = libnbd.nbd_aio_get_fd(nq->h)};

		if (libnbd.nbd_aio_is_dead(nq->h) || libnbd.nbd_aio_is_closed(nq->h))
			return;
		if (dir & LIBNBD_AIO_DIRECTION_READ)
			p.events |= POLLIN;
		if (dir & LIBNBD_AIO_DIRECTION_WRITE)
			p.events |= POLLOUT;
		if (poll(&p, 1, 0) < 1)
			return;
		if (dir & LIBNBD_AIO_DIRECTION_READ && p.revents & (POLLIN | POLLHUP | POLLERR))
			(void)libnbd.nbd_aio_notify_read(nq->h);
		else if (dir & LIBNBD_AIO_DIRECTION_WRITE)
			(void)libnbd.nbd_aio_notify_write(nq->h);
		else
			return;
	}
}

static void timer(struct nbd_queue *nq)
{
	uint64_t count;

	if (read(nq->timer_fd, &count, sizeof(count)) != sizeof(count))
		return;
	if (nq->state == DOWN)
		connect_now(nq);
	else if (nq->state == CONNECTING)
		lost(nq, "it does not answer");
}

static bool gone(const struct nbd_queue *nq)
{
	return nq->leaving || libnbd.nbd_aio_is_dead(nq->h) || libnbd.nbd_aio_is_closed(nq->h);
}

static void advance(struct nbd_queue *nq)
{
	if (!nq->h)
		return;
	notify(nq);
	if (gone(nq)) {
		lost(nq, NULL);
		return;
	}
	if (nq->state == CONNECTING && libnbd.nbd_aio_is_ready(nq->h))
		connected(nq);
	if (nq->state == REPLAYING)
		send_replay(nq);
	send_waiting(nq);
	if (gone(nq))
		lost(nq, NULL);
	else
		watch(nq);
}

/*
 * The ops.
 */

static void nbd_queue_free(struct nbd_queue *nq)
{
	if (nq->h)
		libnbd.nbd_close(nq->h);
	if (nq->timer_fd >= 0)
		close(nq->timer_fd);
	if (nq->epoll_fd >= 0)
		close(nq->epoll_fd);
	nbd_log_clear(&nq->log);
	free(nq->cmds);
	free(nq);
}

int nbd_queue_open(struct block *block, unsigned depth, struct block_queue **out, struct error *err)
{
	struct nbd_queue *nq = calloc(1, sizeof(*nq));
	struct epoll_event ev = {.events = EPOLLIN};

	if (!nq)
		return error_set(err, -ENOMEM, "%s: out of memory", block->id);
	nq->q.block = block;
	nq->nbd = container_of(block, struct nbd, block);
	nq->sock_fd = -1;
	nq->retry = RETRY_MIN;
	request_list_init(&nq->waiting);
	request_list_init(&nq->done);
	nbd_log_init(&nq->log);
	nq->epoll_fd = nq->q.fd = epoll_create1(EPOLL_CLOEXEC);
	nq->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	nq->ncmds = depth + 1; /* one for the log's flush */
	nq->cmds = calloc(nq->ncmds, sizeof(*nq->cmds));
	if (!nq->cmds || nq->epoll_fd < 0 || nq->timer_fd < 0 ||
	    epoll_ctl(nq->epoll_fd, EPOLL_CTL_ADD, nq->timer_fd, &ev)) {
		nbd_queue_free(nq);
		return error_set(err, -EMFILE, "%s: no memory or descriptors for a connection",
				 block->id);
	}
	for (unsigned i = 0; i < nq->ncmds; i++) {
		nq->cmds[i].nq = nq;
		release(&nq->cmds[i]);
	}
	set_timer(nq, 1);
	*out = &nq->q;
	return 0;
}

void nbd_queue_close(struct block_queue *queue)
{
	struct nbd_queue *nq = nq_of(queue);

	if (nq->state == UP)
		(void)libnbd.nbd_shutdown(nq->h, 0);
	nbd_queue_free(nq);
}

void nbd_submit(struct block_queue *queue, struct block_request *req)
{
	struct nbd_queue *nq = nq_of(queue);

	if (req->result)
		finish(nq, req, req->result);
	else if (req->op == BLOCK_FLUSH ? !nq->nbd->can_flush : !req->len)
		finish(nq, req, 0);
	else
		request_list_add(&nq->waiting, req);
}

void nbd_start(struct block_queue *queue)
{
	struct nbd_queue *nq = nq_of(queue);

	if (nq->state == UP && nq->waiting.first)
		advance(nq);
}

unsigned nbd_reap(struct block_queue *queue, struct block_request **done, unsigned max)
{
	struct nbd_queue *nq = nq_of(queue);
	unsigned n = 0;

	if (nq->state != UP)
		timer(nq);
	advance(nq);
	while (n < max && nq->done.first)
		done[n++] = request_list_take(&nq->done);
	return n;
}

void nbd_cancel(struct block_queue *queue)
{
	struct nbd_queue *nq = nq_of(queue);
	struct block_request *req;

	if (nq->state == UP && clock_ns() - nq->heard < PATIENCE)
		return;
	if (nq->state == UP)
		lost(nq, "it does not answer");
	while ((req = request_list_take(&nq->waiting)))
		finish(nq, req, -ECANCELED);
}
