/* SPDX-License-Identifier: Apache-2.0 */
#include "vhost/back_internal.h"

#include "base/log.h"

#include <errno.h>
#include <unistd.h>

/*
 * Where front-ends come from. A server listens all the time but accepts only while it has no
 * front-end: the next one's connect() succeeds and waits in the socket's queue. A client connects,
 * and again after a pause that doubles from 10 ms up to 500 ms, without end; after a connection
 * that was made the pause starts over.
 */
#define RETRY_MIN_MS 10
#define RETRY_MAX_MS 500

static void retry_later(struct vhost_backend *be)
{
	loop_timer_set(be->loop, &be->retry, clock_ns() + be->retry_ms * NSEC_PER_MSEC);
	be->retry_ms = MIN(2 * be->retry_ms, RETRY_MAX_MS);
}

static void connect_now(struct vhost_backend *be)
{
	struct error err;
	int fd = vhost_user_connect(be->path, &err);

	if (fd >= 0 && back_conn_start(be, fd, &err) == 0) {
		be->retry_ms = RETRY_MIN_MS;
		return;
	}
	log_debug("%s: %s", be->name, err.text);
	retry_later(be);
}

static void on_retry(struct loop_timer *timer)
{
	connect_now(timer->opaque);
}

static void on_listener(struct loop_fd *watch, uint32_t events)
{
	struct vhost_backend *be = watch->opaque;
	struct error err;
	int fd = vhost_user_accept(watch->fd);

	if (fd < 0)
		return;
	loop_remove(be->loop, watch);
	if (back_conn_start(be, fd, &err)) {
		log_warn("%s: %s", be->name, err.text);
		back_socket_next(be);
	}
}

void back_socket_next(struct vhost_backend *be)
{
	if (!be->path)
		return;
	if (!be->server) {
		retry_later(be);
		return;
	}
	if (be->listener.fd >= 0 && loop_add(be->loop, &be->listener, EPOLLIN))
		log_error("%s: %s: cannot listen any more", be->name, be->path);
}

void back_socket_init(struct vhost_backend *be)
{
	be->retry = (struct loop_timer){.fn = on_retry, .opaque = be};
	be->retry_ms = RETRY_MIN_MS;
}

void back_socket_take(struct vhost_backend *be, int fd)
{
	be->listener = (struct loop_fd){.fd = fd, .fn = on_listener, .opaque = be};
}

int back_socket_open(struct vhost_backend *be, struct error *err)
{
	int fd, rc;

	if (!be->server) {
		/* Not from here: the owner is not ready to be called yet. */
		loop_timer_set(be->loop, &be->retry, clock_ns());
		return 0;
	}
	fd = vhost_user_listen(be->path, err);
	if (fd < 0)
		return fd;
	back_socket_take(be, fd);
	rc = loop_add(be->loop, &be->listener, EPOLLIN);
	if (rc)
		error_set(err, rc, "%s: cannot watch the socket: %s", be->path, error_name(rc));
	return rc;
}

void back_socket_close(struct vhost_backend *be)
{
	loop_timer_cancel(be->loop, &be->retry);
	if (be->listener.fd >= 0) {
		loop_remove(be->loop, &be->listener);
		close(be->listener.fd);
		if (!be->held) /* otherwise it is the other process's */
			unlink(be->path);
	}
	be->listener.fd = -1;
	/* Nobody is looked for any more, also not when the present one goes. */
	be->server = true;
}
