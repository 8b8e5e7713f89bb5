/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The control socket against clients that are silent, slow, greedy, wrong, or gone. What must hold
 * each time: the main loop is never held up, and whoever behaves is served afterwards.
 */
#include "unit/unit.h"

#include "base/thread.h"
#include "base/unix_socket.h"
#include "control/client.h"
#include "control/control.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#define TICK_NS	 (5 * NSEC_PER_MSEC)
#define LATE_MAX (5 * NSEC_PER_SEC) /* of a tick, on a machine that has other things to do */

struct server {
	char dir[32], path[64];
	struct loop *loop;
	struct loop_timer tick;
	struct control *control;
	pthread_t thread;
	_Atomic unsigned calls;
	_Atomic uint64_t latest; /* how late a tick was at most */
};

static int run_call(void *opaque, const struct control_request *request, json_t **reply,
		    struct error *err)
{
	struct server *s = opaque;

	*reply = json_pack("{s:i}", "calls", (int)++s->calls);
	return 0;
}

static void on_tick(struct loop_timer *timer)
{
	struct server *s = timer->opaque;
	uint64_t late = clock_ns() - timer->deadline;

	if (late > s->latest)
		s->latest = late;
	loop_timer_set(s->loop, timer, clock_ns() + TICK_NS);
}

static void *run_loop(void *arg)
{
	assert_int_equal(loop_run(arg), 0);
	return NULL;
}

static const struct control_command commands[] = {{"PUT", "/call", run_call}, {NULL}};

static int setup(void **state)
{
	struct server *s = calloc(1, sizeof(*s));
	struct error err = {0};

	snprintf(s->dir, sizeof(s->dir), "/tmp/hostile-XXXXXX");
	assert_non_null(mkdtemp(s->dir));
	snprintf(s->path, sizeof(s->path), "%s/sock", s->dir);
	s->loop = loop_create(&err);
	assert_int_equal(control_open(s->path, s->loop, &s->control, &err), 0);
	assert_int_equal(control_register(s->control, commands, s), 0);
	s->tick = (struct loop_timer){.fn = on_tick, .opaque = s};
	loop_timer_set(s->loop, &s->tick, clock_ns() + TICK_NS);
	assert_int_equal(thread_start(&s->thread, "loop", THREAD_ANY_CPU, run_loop, s->loop, &err),
			 0);
	*state = s;
	return 0;
}

static void end(void *arg)
{
	struct server *s = arg;

	loop_timer_cancel(s->loop, &s->tick);
	control_close(s->control);
	loop_stop(s->loop);
}

static int teardown(void **state)
{
	struct server *s = *state;
	uint64_t began = clock_ns();

	loop_post(s->loop, end, s);
	pthread_join(s->thread, NULL);
	/* It waits a second for what is on its way, and no longer for anybody. */
	assert_true(clock_ns() - began < (CONTROL_TIMEOUT_S - 1) * NSEC_PER_SEC);
	assert_true(s->latest < LATE_MAX);
	loop_destroy(s->loop);
	rmdir(s->dir);
	free(s);
	return 0;
}

static int dial(struct server *s)
{
	int fd = -1;

	/* The queue of those who wait to be accepted may be full for a moment. */
	for (int i = 0; i < PATIENCE_MS / 10 && fd < 0; i++) {
		fd = unix_connect(s->path, NULL);
		if (fd < 0)
			usleep(10000);
	}
	assert_true(fd >= 0);
	return fd;
}

/* Sends what the peer takes at once. */
static void say(int fd, const void *data, size_t len)
{
	(void)!send(fd, data, len, MSG_NOSIGNAL | MSG_DONTWAIT);
}

static void say_text(int fd, const char *text)
{
	say(fd, text, strlen(text));
}

/* Whether the peer closes within ms; what it says is thrown away. */
static bool closes(int fd, int ms)
{
	uint64_t deadline = clock_ns() + (uint64_t)ms * NSEC_PER_MSEC;
	char buf[4096];

	while (clock_ns() < deadline) {
		struct pollfd p = {.fd = fd, .events = POLLIN};

		if (poll(&p, 1, MIN(ms, 100)) > 0 && recv(fd, buf, sizeof(buf), 0) <= 0)
			return true;
	}
	return false;
}

/* Somebody who behaves is served. */
static void assert_serves(struct server *s)
{
	struct error err = {0};
	json_t *reply = NULL;
	int ret = -1;

	for (int i = 0; i < PATIENCE_S * 10 && ret; i++) {
		ret = control_client_call(s->path, "PUT", "/call", NULL, 30, &reply, &err);
		if (ret)
			usleep(100000);
	}
	if (ret)
		fail_msg("not served: %s", err.text);
	assert_true(json_is_integer(json_object_get(reply, "calls")));
	json_decref(reply);
}

/* All connections are taken by clients that say nothing, or not all of it, however slowly. */
static void test_silent(void **state)
{
	struct server *s = *state;
	int fds[CONTROL_CONNECTIONS];
	const char *start = "PUT /call HTTP/1.1\r\nHost: x\r\nX: ";
	unsigned gone = 0;

	for (unsigned i = 0; i < CONTROL_CONNECTIONS; i++) {
		fds[i] = dial(s);
		if (i % 2)
			say_text(fds[i], start);
	}
	/* A byte now and then keeps nobody in. */
	for (unsigned n = 0; gone < CONTROL_CONNECTIONS && n < PATIENCE_S * 10; n++) {
		for (unsigned i = 0; i < CONTROL_CONNECTIONS; i++) {
			if (fds[i] < 0)
				continue;
			if (i % 2)
				say_text(fds[i], "x");
			if (closes(fds[i], 1)) {
				close(fds[i]);
				fds[i] = -1;
				gone++;
			}
		}
		usleep(100000);
	}
	assert_int_equal(gone, CONTROL_CONNECTIONS);
	assert_serves(s);
}

static void test_giant(void **state)
{
	struct server *s = *state;
	static char much[1 << 20];
	int fd;

	memset(much, 'x', sizeof(much));
	/* A body that is too long, announced, or in chunks without end. */
	fd = dial(s);
	say_text(fd,
		 "PUT /call HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999999999999\r\n\r\n");
	say(fd, much, sizeof(much));
	assert_true(closes(fd, PATIENCE_MS));
	close(fd);
	fd = dial(s);
	say_text(fd, "PUT /call HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n");
	for (unsigned i = 0; i < 64; i++) {
		say_text(fd, "8000\r\n");
		say(fd, much, 0x8000);
		say_text(fd, "\r\n");
	}
	assert_true(closes(fd, PATIENCE_MS));
	close(fd);
	/* Headers, a path. */
	fd = dial(s);
	say_text(fd, "PUT /call HTTP/1.1\r\nX: ");
	say(fd, much, sizeof(much));
	assert_true(closes(fd, PATIENCE_MS));
	close(fd);
	fd = dial(s);
	say_text(fd, "PUT /");
	say(fd, much, sizeof(much));
	assert_true(closes(fd, PATIENCE_MS));
	close(fd);
	assert_int_equal(s->calls, 0);
	assert_serves(s);
}

static void test_deep(void **state)
{
	struct server *s = *state;
	static char body[CONTROL_BODY_MAX + 1];
	char head[128];
	int fd = dial(s);

	memset(body, '[', CONTROL_BODY_MAX);
	snprintf(head, sizeof(head),
		 "PUT /call HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
		 "Content-Length: %u\r\n\r\n",
		 CONTROL_BODY_MAX);
	say_text(fd, head);
	for (size_t at = 0; at < CONTROL_BODY_MAX; at += 4096) {
		say(fd, body + at, 4096);
		usleep(1000);
	}
	assert_true(closes(fd, PATIENCE_MS));
	close(fd);
	assert_int_equal(s->calls, 0);
	assert_serves(s);
}

static void test_garbage(void **state)
{
	struct server *s = *state;
	unsigned seed = 1;

	for (unsigned i = 0; i < 500; i++) {
		uint8_t bytes[200];
		int fd = dial(s);

		for (unsigned j = 0; j < sizeof(bytes); j++)
			bytes[j] = (uint8_t)rand_r(&seed);
		if (i % 2)
			say_text(fd, "PUT /call HTTP/1.1\r\n");
		say(fd, bytes, sizeof(bytes));
		if (i % 3)
			shutdown(fd, SHUT_WR);
		close(fd);
	}
	assert_serves(s);
}

/* Requests without end, and nobody reads the answers. */
static void test_greedy(void **state)
{
	struct server *s = *state;
	const char *one = "PUT /call HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n";
	int fds[8];

	for (unsigned i = 0; i < ARRAY_SIZE(fds); i++)
		fds[i] = dial(s);
	for (unsigned n = 0; n < 20000; n++)
		say_text(fds[n % ARRAY_SIZE(fds)], one);
	assert_serves(s);
	for (unsigned i = 0; i < ARRAY_SIZE(fds); i++)
		close(fds[i]);
	assert_serves(s);
}

/* Gone before the answer. */
static void test_gone(void **state)
{
	struct server *s = *state;

	for (unsigned i = 0; i < 300; i++) {
		int fd = dial(s);

		say_text(fd, "PUT /call HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n");
		close(fd);
	}
	assert_serves(s);
}

struct reading {
	_Atomic unsigned lines;
	_Atomic bool begun;
	struct server *server;
	pthread_t thread;
};

static bool count_line(void *arg, const char *line)
{
	struct reading *r = arg;

	r->begun |= strstr(line, "\"event\":\"first\"") != NULL;
	r->lines += strstr(line, "\"event\":\"flood\"") != NULL;
	return !strstr(line, "\"event\":\"last\"");
}

static void *read_events(void *arg)
{
	struct reading *r = arg;

	assert_int_equal(
		control_client_lines(r->server->path, "/api/v1/events", count_line, r, NULL), 0);
	return NULL;
}

/* A reader of events that does not read is cut off; one that does gets all of them. */
static void test_deaf(void **state)
{
	struct server *s = *state;
	struct reading good = {.server = s};
	int deaf = dial(s);
	char text[256];

	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	say_text(deaf, "GET /api/v1/events HTTP/1.1\r\nHost: x\r\n\r\n");
	assert_int_equal(
		thread_start(&good.thread, "reader", THREAD_ANY_CPU, read_events, &good, NULL), 0);
	for (unsigned i = 0; i < PATIENCE_S * 20 && !good.begun; i++) {
		control_event(s->control, "first", NULL);
		usleep(50000);
	}
	for (unsigned i = 0; i < 5000; i++) {
		control_event(s->control, "flood", json_pack("{s:s}", "text", text));
		/* At a pace that the reader keeps. */
		for (unsigned n = 0; n < PATIENCE_MS && good.lines + 50 < i; n++)
			usleep(1000);
	}
	control_event(s->control, "last", NULL);
	pthread_join(good.thread, NULL);
	assert_int_equal(good.lines, 5000);
	assert_true(closes(deaf, PATIENCE_MS));
	close(deaf);
	assert_serves(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_silent, setup, teardown),
		cmocka_unit_test_setup_teardown(test_giant, setup, teardown),
		cmocka_unit_test_setup_teardown(test_deep, setup, teardown),
		cmocka_unit_test_setup_teardown(test_garbage, setup, teardown),
		cmocka_unit_test_setup_teardown(test_greedy, setup, teardown),
		cmocka_unit_test_setup_teardown(test_gone, setup, teardown),
		cmocka_unit_test_setup_teardown(test_deaf, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
