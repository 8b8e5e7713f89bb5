/* SPDX-License-Identifier: Apache-2.0 */
#include "dataplane/vhost_user.h"

#include "base/log.h"
#include "base/thread.h"

#include <errno.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

/*
 * The connection to a vhost-user back-end: how it is made, lost, and made again.
 *
 * Theory of operation. There are three states. DOWN: as a client we call connect() (it never waits)
 * when the socket's file is made, and now and then, from a timer, because that is not always seen; as
 * a server we watch the listening socket. MEETING: there is a
 * connection, and a helper thread holds the conversation that makes the other end a back-end,
 * because that end may be slow or hang. UP: the connection is watched for its end.
 *
 * The invariant: while MEETING, the helper alone touches the front-end and the rings' records, and
 * the control thread touches nothing of the plane before vu_link_settle() has joined the helper; if
 * that takes long, it shuts the socket down first, which makes whatever the helper waits for fail
 * at once. Every plane op and the memory listener begin with that. So the helper may use the current memory table, which is
 * replaced by the control thread, and needs no lock.
 *
 * The kernel closes a killed process's sockets only after the last of its threads has let go of
 * its memory. So when the connection's end is seen, the rings are at rest, and what they say of
 * where they stand is final. A back-end that is hung up on, because it did not answer in time, may
 * go on until it notices, so where its rings stand is looked at again when one is met (hung_up).
 */
#define RETRY_MIN_MS	 1
#define RETRY_CONNECT_MS 50   /* connect() costs microseconds, and somebody is waiting */
#define RETRY_MEET_MS	 2000 /* somebody answers but does not suit: no hurry */
#define MEET_MS		 2000
#define SETTLE_MS	 300

static void vu_try(struct loop_timer *timer);

static void retry_in(struct vu_plane *p, unsigned ms)
{
	loop_timer_set(p->loop, &p->retry, clock_ns() + ms * NSEC_PER_MSEC);
}

/* Doubles the time to the next attempt, up to max. */
static void back_off(struct vu_plane *p, unsigned max)
{
	retry_in(p, p->retry_ms);
	p->retry_ms = MIN(MAX(2 * p->retry_ms, RETRY_MIN_MS), max);
}

static void *vu_helper(void *arg)
{
	struct vu_plane *p = arg;

	p->helper_rc = vu_meet(p, p->meeting_fd, &p->helper_err);
	eventfd_write(p->helper_done.fd, 1);
	return NULL;
}

/* Looks for a back-end: by watch and timer as a client, by the listening socket as a server. */
static void vu_look_out(struct vu_plane *p)
{
	p->state = VU_DOWN;
	if (p->server) {
		loop_add(p->loop, &p->listener_fd, EPOLLIN);
		return;
	}
	path_watch_start(p->loop, &p->socket_watch, p->path);
	back_off(p, RETRY_CONNECT_MS);
}

/* A connection: the helper takes over. */
static void vu_connected(struct vu_plane *p, int fd)
{
	struct error err;

	if (p->server)
		loop_remove(p->loop, &p->listener_fd);
	path_watch_stop(p->loop, &p->socket_watch);
	vhost_user_within(&p->fe, MEET_MS);
	p->meeting_fd = fd;
	p->met_at = clock_ns();
	p->state = VU_MEETING;
	if (thread_start(&p->helper, "vhost-user", THREAD_ANY_CPU, vu_helper, p, &err) == 0)
		return;
	log_warn("%s: %s", p->id, err.text);
	close(fd);
	p->retry_ms = RETRY_MEET_MS;
	vu_look_out(p);
}

static void vu_try(struct loop_timer *timer)
{
	struct vu_plane *p = timer->opaque;
	struct error err;
	int fd;

	if (p->state != VU_DOWN)
		return;
	if (p->server) { /* a pause after one that did not suit */
		vu_look_out(p);
		return;
	}
	fd = vhost_user_connect(p->path, &err);
	if (fd >= 0)
		vu_connected(p, fd);
	else
		back_off(p, RETRY_CONNECT_MS);
}

/* Its file has been made: somebody listens there now, or does in a moment. */
static void vu_socket_made(struct path_watch *watch)
{
	struct vu_plane *p = watch->opaque;

	p->retry_ms = 0;
	vu_try(&p->retry);
}

static void vu_accept(struct loop_fd *watch, uint32_t events)
{
	struct vu_plane *p = watch->opaque;
	int fd = vhost_user_accept(watch->fd);

	if (fd >= 0)
		vu_connected(p, fd);
}

static void tell(struct vu_plane *p, bool there, const char *why)
{
	if (p->events && p->events->backend_changed)
		p->events->backend_changed(p->events->opaque, there, why);
}

static void lost(struct vu_plane *p, bool by_us, const char *why)
{
	log_warn("%s: %s: %s; waiting for it to come back", p->id, p->path, why);
	loop_remove(p->loop, &p->conn);
	loop_remove(p->loop, &p->requests);
	vhost_user_hang_up(&p->fe);
	vu_rings_lost(p);
	p->hung_up = by_us;
	p->config_changed = false;
	p->lost_at = clock_ns();
	tell(p, false, why);
	p->retry_ms = 0;
	loop_timer_set(p->loop, &p->link_timer, p->lost_at + p->link_down_after * NSEC_PER_MSEC);
	vu_look_out(p);
}

void vu_link_lost(struct vu_plane *p, const char *why)
{
	if (p->state == VU_UP)
		lost(p, true, why);
}

/* The end of the connection, or something that nobody asked for. */
static void vu_conn_event(struct loop_fd *watch, uint32_t events)
{
	struct vu_plane *p = watch->opaque;
	char byte;

	if (p->state != VU_UP)
		return;
	if (recv(watch->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) > 0)
		vu_link_lost(p, "the back-end sends what nobody asked for");
	else
		lost(p, false, "the back-end has closed the connection");
}

/* The conversation went well: from here on the rings are the back-end's. */
static void vu_up(struct vu_plane *p)
{
	p->state = VU_UP;
	p->conn.fd = p->fe.fd;
	p->requests.fd = p->fe.backend_fd;
	loop_add(p->loop, &p->conn, EPOLLIN | EPOLLRDHUP);
	if (p->requests.fd >= 0)
		loop_add(p->loop, &p->requests, EPOLLIN);
	p->plane.link_up = true;
	p->retry_ms = 0;
	p->reported = p->hung_up = false;
	loop_timer_cancel(p->loop, &p->link_timer);
	if (p->lost_at) {
		tell(p, true, "it is there again");
		p->reconnects++;
		log_info("%s: %s: the back-end is back after %llu ms, %llu of them to introduce "
			 "ourselves",
			 p->id, p->path,
			 (unsigned long long)((clock_ns() - p->lost_at) / NSEC_PER_MSEC),
			 (unsigned long long)((clock_ns() - p->met_at) / NSEC_PER_MSEC));
		p->lost_at = 0;
	}
	vu_nudge(p);
	if (p->config_changed)
		vu_config_change(p);
	if (!p->link_told_down)
		return;
	if (p->events)
		p->events->link_changed(p->events->opaque, true);
	p->link_told_down = false;
	if (p->state == VU_UP && p->started)
		vu_sync_rings(p); /* in case the NIC's link is down for another reason as well */
}

/* What the helper has come to, once it has ended. */
static void vu_met(struct vu_plane *p)
{
	pthread_join(p->helper, NULL);
	eventfd_read(p->helper_done.fd, &(eventfd_t){0});
	if (p->helper_rc == 0) {
		vu_up(p);
		return;
	}
	if (!p->reported)
		log_warn("%s: %s", p->id, p->helper_err.text);
	p->reported = true;
	vu_rings_lost(p);
	vhost_user_hang_up(&p->fe);
	p->hung_up = true;
	p->state = VU_DOWN;
	if (!p->server)
		path_watch_start(p->loop, &p->socket_watch, p->path);
	if (p->helper_rc == -ECONNRESET && !p->server)
		p->retry_ms = MIN(p->retry_ms, RETRY_CONNECT_MS); /* the last gasp of one killed */
	else
		p->retry_ms = MAX(p->retry_ms, RETRY_CONNECT_MS);
	back_off(p, RETRY_MEET_MS);
}

static void vu_helper_done(struct loop_fd *watch, uint32_t events)
{
	struct vu_plane *p = watch->opaque;

	if (p->state == VU_MEETING)
		vu_met(p);
}

void vu_link_settle(struct vu_plane *p)
{
	struct pollfd done = {.fd = p->helper_done.fd, .events = POLLIN};

	if (p->state != VU_MEETING)
		return;
	/* It takes milliseconds with a peer that answers; one that does not has had its time. */
	if (poll(&done, 1, SETTLE_MS) <= 0)
		shutdown(p->meeting_fd, SHUT_RDWR);
	vu_met(p);
}

static void vu_link_overdue(struct loop_timer *timer)
{
	struct vu_plane *p = timer->opaque;

	vu_link_settle(p);
	if (p->state == VU_UP)
		return; /* just in time */
	p->link_told_down = true;
	p->plane.link_up = false;
	if (p->events)
		p->events->link_changed(p->events->opaque, false);
}

int vu_link_init(struct vu_plane *p, struct error *err)
{
	int rc;

	p->conn = (struct loop_fd){.fd = -1, .fn = vu_conn_event, .opaque = p};
	p->requests = (struct loop_fd){.fd = -1, .fn = vu_requests, .opaque = p};
	p->listener_fd = (struct loop_fd){.fd = -1, .fn = vu_accept, .opaque = p};
	p->helper_done = (struct loop_fd){.fd = -1, .fn = vu_helper_done, .opaque = p};
	p->retry = (struct loop_timer){.fn = vu_try, .opaque = p};
	path_watch_init(&p->socket_watch);
	p->socket_watch.fn = vu_socket_made;
	p->socket_watch.opaque = p;
	p->link_timer = (struct loop_timer){.fn = vu_link_overdue, .opaque = p};
	p->config_timer = (struct loop_timer){.fn = vu_config_look, .opaque = p};
	vhost_user_frontend_init(&p->fe, p->path);
	p->fe.config_change = vu_config_change;
	p->fe.notifier = vu_notifier;
	p->fe.opaque = p;
	p->helper_done.fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	rc = p->helper_done.fd < 0 ? -errno : loop_add(p->loop, &p->helper_done, EPOLLIN);
	if (rc)
		return error_set(err, rc, "%s: cannot watch the connection: %s", p->id,
				 error_name(rc));
	return 0;
}

/* As a server, waits for the first connection. */
static int wait_for_client(struct vu_plane *p, unsigned wait_ms, struct error *err)
{
	struct pollfd pfd = {.events = POLLIN};
	int fd = vhost_user_listen(p->path, err);

	if (fd < 0)
		return fd;
	p->listener_fd.fd = pfd.fd = fd;
	if (poll(&pfd, 1, (int)wait_ms) <= 0)
		return error_set(err, -ETIMEDOUT,
				 "%s: no back-end has connected within %u ms: start it, or give it "
				 "more time with wait=",
				 p->path, wait_ms);
	fd = vhost_user_accept(p->listener_fd.fd);
	return fd >= 0 ? fd : error_set(err, fd, "%s: cannot accept: %s", p->path, error_name(fd));
}

static int call_server(struct vu_plane *p, unsigned wait_ms, struct error *err)
{
	uint64_t deadline = clock_ns() + wait_ms * NSEC_PER_MSEC;

	for (;;) {
		int fd = vhost_user_connect(p->path, err);
		bool absent = fd == -ENOENT || fd == -ECONNREFUSED || fd == -EAGAIN;

		if (!absent || clock_ns() >= deadline)
			return fd;
		poll(NULL, 0, 5);
	}
}

int vu_link_open(struct vu_plane *p, unsigned wait_ms, struct error *err)
{
	int fd = p->server ? wait_for_client(p, wait_ms, err) : call_server(p, wait_ms, err);
	int rc;

	if (fd < 0)
		return fd;
	vhost_user_within(&p->fe, MEET_MS);
	rc = vu_meet(p, fd, err);
	if (rc == 0)
		vu_up(p);
	return rc;
}

void vu_link_close(struct vu_plane *p)
{
	vu_link_settle(p);
	loop_remove(p->loop, &p->conn);
	loop_remove(p->loop, &p->requests);
	loop_remove(p->loop, &p->listener_fd);
	loop_remove(p->loop, &p->helper_done);
	path_watch_stop(p->loop, &p->socket_watch);
	loop_timer_cancel(p->loop, &p->config_timer);
	loop_timer_cancel(p->loop, &p->retry);
	loop_timer_cancel(p->loop, &p->link_timer);
	for (unsigned i = 0; i < 2 * p->npairs; i++)
		vu_doorbell_drop(&p->rings[i]);
	vhost_user_hang_up(&p->fe);
	if (p->listener_fd.fd >= 0) {
		close(p->listener_fd.fd);
		unlink(p->path);
	}
	if (p->helper_done.fd >= 0)
		close(p->helper_done.fd);
}
