/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The control socket: the main loop's side.
 *
 * Theory of operation. The HTTP thread (http.c) puts each complete request in a queue and suspends
 * its connection; an eventfd wakes the main loop, which takes one request a round, so that its
 * other work gets its turn, runs the command, and resumes the connection. Between suspension and
 * resumption the request belongs to the main loop, before and after to the HTTP thread.
 *
 * Connections have a deadline. libmicrohttpd's own timeout is one of inactivity, which a client
 * that sends a byte a second never meets.
 */
#include "control/control_internal.h"
#include "base/log.h"
#include "base/unix_socket.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#define CLOSE_WAIT_NS NSEC_PER_SEC

void control_wake(struct control *control)
{
	uint64_t one = 1;

	/* EAGAIN: the counter is at its limit, so the loop is awake anyway. */
	if (write(control->wake.fd, &one, sizeof(one)) < 0 && errno != EAGAIN)
		log_error("control socket: cannot wake the event loop: %s", error_name(errno));
}

/* Gives a call back to the HTTP thread. */
static void give_back(struct control_call *call)
{
	call->state = CALL_ANSWERED;
	microhttpd.MHD_resume_connection(call->http);
}

static struct control_call *take_call(struct control *control)
{
	struct control_call *call;

	pthread_mutex_lock(&control->lock);
	call = control->first;
	if (call) {
		control->first = call->next;
		if (!control->first)
			control->last = &control->first;
		else
			control_wake(control);
	}
	pthread_mutex_unlock(&control->lock);
	return call;
}

/* Cuts off connections past their deadline; says whether any are left. */
static bool sweep_connections(struct control *control)
{
	uint64_t now = clock_ns();
	bool any;

	pthread_mutex_lock(&control->lock);
	any = control->conns;
	for (struct control_conn *conn = control->conns; conn; conn = conn->next) {
		if (conn->deadline && conn->deadline <= now) {
			shutdown(conn->fd, SHUT_RDWR);
			conn->deadline = 0;
		}
	}
	pthread_mutex_unlock(&control->lock);
	return any;
}

static void sweep(struct loop_timer *timer)
{
	struct control *control = timer->opaque;

	if (sweep_connections(control))
		loop_timer_set(control->loop, timer, clock_ns() + NSEC_PER_SEC);
}

static void woken(struct loop_fd *watch, uint32_t events)
{
	struct control *control = watch->opaque;
	struct control_call *call;
	uint64_t count;

	if (read(watch->fd, &count, sizeof(count)) < 0 && errno != EAGAIN)
		log_error("control socket: cannot read its wake-up: %s", error_name(errno));
	control_subscribers_reap(control);
	if (!control->sweep.active)
		loop_timer_set(control->loop, &control->sweep, clock_ns() + NSEC_PER_SEC);
	call = take_call(control);
	if (!call)
		return;
	control_dispatch(control, call);
	give_back(call);
}

static int add_route(struct control *control, enum control_kind kind,
		     const struct control_command *command, void *opaque)
{
	struct control_route *routes =
		realloc(control->routes, (control->nroutes + 1) * sizeof(*routes));

	if (!routes)
		return -ENOMEM;
	control->routes = routes;
	routes[control->nroutes++] = (struct control_route){kind, command, opaque};
	return 0;
}

int control_register(struct control *control, const struct control_command *table, void *opaque)
{
	int ret = 0;

	for (const struct control_command *c = table; c->method && !ret; c++)
		ret = add_route(control, CONTROL_COMMAND, c, opaque);
	return ret;
}

int control_metric(struct control *control,
		   void (*collect)(void *opaque, struct control_metrics *out), void *opaque)
{
	struct control_collector *collectors =
		realloc(control->collectors, (control->ncollectors + 1) * sizeof(*collectors));

	if (!collectors)
		return -ENOMEM;
	control->collectors = collectors;
	collectors[control->ncollectors++] = (struct control_collector){collect, opaque};
	return 0;
}

static int add_builtin(struct control *control)
{
	static const struct {
		enum control_kind kind;
		struct control_command command;
	} builtin[] = {
		{CONTROL_LIST, {.method = "GET", .path = "/api/v1"}},
		{CONTROL_EVENTS, {.method = "GET", .path = "/api/v1/events"}},
		{CONTROL_METRICS, {.method = "GET", .path = "/metrics"}},
	};
	int ret = 0;

	for (unsigned i = 0; i < ARRAY_SIZE(builtin) && !ret; i++)
		ret = add_route(control, builtin[i].kind, &builtin[i].command, NULL);
	return ret;
}

static int open_socket(struct control *control, const char *path, struct error *err)
{
	struct stat st;

	control->path = strdup(path);
	if (!control->path)
		return error_set(err, -ENOMEM, "out of memory");
	control->listener = unix_listen(path, 0600, CONTROL_CONNECTIONS, err);
	if (control->listener < 0)
		return control->listener;
	if (!stat(path, &st)) {
		control->dev = st.st_dev;
		control->ino = st.st_ino;
	}
	return 0;
}

static int start(struct control *control, const char *path, struct error *err)
{
	int ret;

	control->wake.fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (control->wake.fd < 0)
		return error_set(err, -errno, "cannot make an eventfd: %s", error_name(errno));
	ret = loop_add(control->loop, &control->wake, EPOLLIN);
	if (ret)
		return error_set(err, ret, "cannot watch an eventfd: %s", error_name(ret));
	ret = add_builtin(control);
	if (ret)
		return error_set(err, ret, "out of memory");
	ret = open_socket(control, path, err);
	return ret ? ret : control_http_start(control, err);
}

int control_open(const char *path, struct loop *loop, struct control **out, struct error *err)
{
	struct control *control = calloc(1, sizeof(*control));
	int ret;

	if (!control)
		return error_set(err, -ENOMEM, "control socket: out of memory");
	/* jansson's hash seed, before there is a second thread. */
	json_object_seed(0);
	control->loop = loop;
	control->listener = -1;
	control->last = &control->first;
	control->wake = (struct loop_fd){.fd = -1, .fn = woken, .opaque = control};
	control->sweep = (struct loop_timer){.fn = sweep, .opaque = control};
	pthread_mutex_init(&control->lock, NULL);
	pthread_cond_init(&control->idle, NULL);
	ret = start(control, path, err);
	if (ret) {
		error_prefix(err, ret, "control socket");
		control_close(control);
		return ret;
	}
	*out = control;
	return 0;
}

/* Waits until every request begun is done with, at most for a second. */
static void drain(struct control *control)
{
	struct control_call *call;
	struct timespec until;

	pthread_mutex_lock(&control->lock);
	control->closing = true;
	pthread_mutex_unlock(&control->lock);
	control_http_quiesce(control);
	while ((call = take_call(control))) {
		control_call_fail(call, 503, "the program is ending");
		give_back(call);
	}
	control_subscribers_end(control);
	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += CLOSE_WAIT_NS / NSEC_PER_SEC;
	pthread_mutex_lock(&control->lock);
	while (control->busy) {
		if (pthread_cond_timedwait(&control->idle, &control->lock, &until))
			break;
	}
	pthread_mutex_unlock(&control->lock);
}

static void remove_socket(struct control *control)
{
	struct stat st;

	if (control->listener < 0)
		return;
	/* Unless it is somebody else's by now. */
	if (!stat(control->path, &st) && st.st_dev == control->dev && st.st_ino == control->ino)
		unlink(control->path);
	close(control->listener);
}

void control_close(struct control *control)
{
	if (!control)
		return;
	if (control->http) {
		drain(control);
		control_http_stop(control);
	}
	control_subscribers_reap(control);
	loop_timer_cancel(control->loop, &control->sweep);
	loop_remove(control->loop, &control->wake);
	if (control->wake.fd >= 0)
		close(control->wake.fd);
	remove_socket(control);
	pthread_cond_destroy(&control->idle);
	pthread_mutex_destroy(&control->lock);
	free(control->routes);
	free(control->collectors);
	free(control->path);
	free(control);
}
