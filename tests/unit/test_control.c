/* SPDX-License-Identifier: Apache-2.0 */
/* The control socket's commands, events and metrics, over its socket. */
#include "unit.h"

#include "base/thread.h"
#include "base/unix_socket.h"
#include "control/control.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

struct fixture {
	char dir[32], path[64];
	struct loop *loop;
	struct control *control;
	pthread_t thread;
	unsigned calls;
	char reply[256 * 1024];
};

static int run_ping(void *opaque, const struct control_request *request, json_t **reply,
		    struct error *err)
{
	struct fixture *f = opaque;

	assert_true(pthread_equal(pthread_self(), f->thread));
	assert_string_equal(request->id, "");
	f->calls++;
	*reply = json_pack("{s:s}", "version", "7");
	return 0;
}

static int run_link(void *opaque, const struct control_request *request, json_t **reply,
		    struct error *err)
{
	struct fixture *f = opaque;
	int up, ret;

	f->calls++;
	ret = control_unpack(request, err, "{s:b !}", "up", &up);
	if (ret)
		return ret;
	if (strcmp(request->id, "net0") != 0)
		return error_set(err, -ENODEV, "%s: no NIC has this id", request->id);
	return up ? 0 : error_set(err, -EBUSY, "net0: is busy");
}

static const struct control_command commands[] = {
	{"GET", "/api/v1/vmm.ping", run_ping},
	{"PUT", "/api/v1/net/{id}/link", run_link},
	{NULL},
};

static void collect(void *opaque, struct control_metrics *out)
{
	control_metric_begin(out, "viaduct_frames_total", "counter", "frames");
	control_metric_sample(out, 3, "nic", "a\"b\\c\nd", "queue", "0", CONTROL_LABELS_END);
	control_metric_sample(out, UINT64_MAX, CONTROL_LABELS_END);
}

static void *run_loop(void *arg)
{
	assert_int_equal(loop_run(arg), 0);
	return NULL;
}

static void close_control(void *arg)
{
	struct fixture *f = arg;

	control_close(f->control);
	loop_stop(f->loop);
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	struct error err = {0};

	snprintf(f->dir, sizeof(f->dir), "/tmp/control-XXXXXX");
	assert_non_null(mkdtemp(f->dir));
	snprintf(f->path, sizeof(f->path), "%s/sock", f->dir);
	f->loop = loop_create(&err);
	assert_int_equal(control_open(f->path, f->loop, &f->control, &err), 0);
	assert_int_equal(control_register(f->control, commands, f), 0);
	assert_int_equal(control_metric(f->control, collect, f), 0);
	assert_int_equal(thread_start(&f->thread, "loop", THREAD_ANY_CPU, run_loop, f->loop, &err),
			 0);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	loop_post(f->loop, close_control, f);
	pthread_join(f->thread, NULL);
	assert_int_equal(access(f->path, F_OK), -1);
	loop_destroy(f->loop);
	rmdir(f->dir);
	free(f);
	return 0;
}

static void send_text(int fd, const char *text)
{
	assert_int_equal(send(fd, text, strlen(text), MSG_NOSIGNAL), strlen(text));
}

/* What comes within ms, until stop appears in it or the peer closes; its length. */
static size_t receive(struct fixture *f, int fd, const char *stop, int ms)
{
	uint64_t deadline = clock_ns() + (uint64_t)ms * NSEC_PER_MSEC;
	size_t n = 0;

	f->reply[0] = '\0';
	while (clock_ns() < deadline && n < sizeof(f->reply) - 1) {
		struct pollfd p = {.fd = fd, .events = POLLIN};
		ssize_t got;

		if (stop && strstr(f->reply, stop))
			break;
		if (poll(&p, 1, 50) <= 0)
			continue;
		got = recv(fd, f->reply + n, sizeof(f->reply) - 1 - n, 0);
		if (got <= 0)
			break;
		n += (size_t)got;
		f->reply[n] = '\0';
	}
	return n;
}

/* One request on a connection of its own; returns the status. */
static int request(struct fixture *f, const char *method, const char *path, const char *body)
{
	int fd = unix_connect(f->path, NULL), status = 0;
	char text[512];

	assert_true(fd >= 0);
	snprintf(text, sizeof(text),
		 "%s %s HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: %zu\r\n\r\n%s",
		 method, path, strlen(body), body);
	send_text(fd, text);
	receive(f, fd, NULL, PATIENCE_MS);
	close(fd);
	sscanf(f->reply, "HTTP/1.1 %d", &status);
	return status;
}

#define assert_reply(f, part) assert_non_null(strstr((f)->reply, part))

static void test_commands(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(request(f, "GET", "/api/v1/vmm.ping", ""), 200);
	assert_reply(f, "{\"version\":\"7\"}");
	assert_reply(f, "application/json");
	assert_int_equal(request(f, "PUT", "/api/v1/net/net0/link", "{\"up\": true}"), 204);
	assert_int_equal(request(f, "PUT", "/api/v1/net/net0/link", "{\"up\": false}"), 409);
	assert_reply(f, "{\"error\":\"net0: is busy\"}");
	assert_int_equal(request(f, "PUT", "/api/v1/net/net7/link", "{\"up\": true}"), 404);
	assert_reply(f, "net7: no NIC has this id");
	assert_int_equal(f->calls, 4);
}

static void test_wrong(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(request(f, "PUT", "/api/v1/vmm.ping", ""), 405);
	assert_reply(f, "Allow: GET");
	assert_int_equal(request(f, "GET", "/api/v1/vmm.pin", ""), 404);
	assert_int_equal(request(f, "GET", "/api/v1/vmm.pingx", ""), 404);
	assert_int_equal(request(f, "GET", "/\xff\"%22", ""), 404);
	assert_int_equal(request(f, "PUT", "/api/v1/net//link", "{}"), 404);
	assert_int_equal(request(f, "PUT", "/api/v1/net/a/b/link", "{}"), 404);
	assert_int_equal(f->calls, 0);
	assert_int_equal(request(f, "PUT", "/api/v1/net/net0/link", "{\"up\": tru"), 400);
	assert_reply(f, "is not JSON");
	assert_int_equal(request(f, "PUT", "/api/v1/net/net0/link", "[1]"), 400);
	assert_reply(f, "is not a JSON object");
	assert_int_equal(f->calls, 0);
	assert_int_equal(request(f, "PUT", "/api/v1/net/net0/link", "{\"up\": 1}"), 400);
	assert_int_equal(request(f, "PUT", "/api/v1/net/net0/link", "{}"), 400);
	assert_int_equal(request(f, "PUT", "/api/v1/net/net0/link", "{\"up\": true, \"x\": 1}"),
			 400);
}

static void test_list(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(request(f, "GET", "/api/v1", ""), 200);
	assert_reply(f, "{\"method\":\"PUT\",\"path\":\"/api/v1/net/{id}/link\"}");
	assert_reply(f, "/metrics");
}

static void test_metrics(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(request(f, "GET", "/metrics", ""), 200);
	assert_reply(f, "text/plain");
	assert_reply(f, "# HELP viaduct_frames_total frames\n"
			"# TYPE viaduct_frames_total counter\n"
			"viaduct_frames_total{nic=\"a\\\"b\\\\c\\nd\",queue=\"0\"} 3\n"
			"viaduct_frames_total 18446744073709551615\n");
}

/* Two requests on one connection, the second while the first is under way. */
static void test_keep_alive(void **state)
{
	struct fixture *f = *state;
	int fd = unix_connect(f->path, NULL);
	const char *one = "GET /api/v1/vmm.ping HTTP/1.1\r\nHost: x\r\n\r\n";

	send_text(fd, one);
	send_text(fd, one);
	receive(f, fd, "}HTTP/1.1 200", PATIENCE_MS);
	assert_reply(f, "}HTTP/1.1 200");
	close(fd);
}

static int subscribe(struct fixture *f)
{
	int fd = unix_connect(f->path, NULL);

	assert_true(fd >= 0);
	send_text(fd, "GET /api/v1/events HTTP/1.1\r\nHost: x\r\n\r\n");
	receive(f, fd, "\r\n\r\n", PATIENCE_MS);
	return fd;
}

static void test_events(void **state)
{
	struct fixture *f = *state;
	int a = subscribe(f), b = subscribe(f);

	assert_reply(f, "200 OK");
	assert_reply(f, "application/x-ndjson");
	control_event(f->control, "link", json_pack("{s:s}", "id", "net0"));
	receive(f, a, "}}\n", PATIENCE_MS);
	assert_reply(f, "\"event\":\"link\",\"detail\":{\"id\":\"net0\"}}\n");
	close(a);
	control_event(f->control, "paused", NULL);
	receive(f, b, "paused", PATIENCE_MS);
	assert_reply(f, "\"event\":\"link\"");
	assert_reply(f, "\"event\":\"paused\",\"detail\":{}}\n");
	close(b);
}

/* Readers that leave make room for others, also when nothing is ever sent. */
static void test_subscribers(void **state)
{
	struct fixture *f = *state;
	int fds[CONTROL_SUBSCRIBERS], fd = -1;

	for (unsigned i = 0; i < CONTROL_SUBSCRIBERS; i++) {
		fds[i] = subscribe(f);
		assert_reply(f, "200 OK");
	}
	assert_int_equal(request(f, "GET", "/api/v1/events", ""), 503);
	for (unsigned i = 0; i < CONTROL_SUBSCRIBERS; i++)
		close(fds[i]);
	for (unsigned i = 0; i < PATIENCE_S * 20; i++) {
		fd = subscribe(f);
		if (strstr(f->reply, "200 OK"))
			break;
		close(fd);
		fd = -1;
		usleep(50000);
	}
	assert_true(fd >= 0);
	close(fd);
}

/* The end of the program ends the stream in order, after the last event. */
static void test_end(void **state)
{
	struct fixture *f = *state;
	int fd = subscribe(f);

	control_event(f->control, "ended", NULL);
	loop_post(f->loop, close_control, f);
	receive(f, fd, NULL, PATIENCE_MS);
	assert_reply(f, "\"event\":\"ended\"");
	assert_reply(f, "\r\n0\r\n");
	close(fd);
	pthread_join(f->thread, NULL);
	f->control = NULL;
	assert_int_equal(thread_start(&f->thread, "loop", THREAD_ANY_CPU, run_loop, f->loop, NULL),
			 0);
}

static void test_socket_file(void **state)
{
	struct fixture *f = *state;
	struct control *other = NULL;
	struct loop *loop = loop_create(NULL);
	struct error err = {0};
	char path[96];
	struct stat st;
	FILE *file;
	int fd;

	assert_int_equal(stat(f->path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	assert_int_equal(control_open(f->path, loop, &other, &err), -EADDRINUSE);
	assert_text(err, "another process listens there");
	assert_int_equal(request(f, "GET", "/api/v1/vmm.ping", ""), 200);
	/* One that a dead process left. */
	snprintf(path, sizeof(path), "%s/stale", f->dir);
	fd = unix_listen(path, 0600, 1, &err);
	close(fd);
	assert_int_equal(control_open(path, loop, &other, &err), 0);
	/* A file that is somebody else's by now stays. */
	unlink(path);
	file = fopen(path, "w");
	fclose(file);
	control_close(other);
	assert_int_equal(access(path, F_OK), 0);
	assert_int_equal(control_open(path, loop, &other, &err), -EEXIST);
	assert_text(err, "is no socket");
	unlink(path);
	assert_int_equal(control_open("/nonexistent/sock", loop, &other, &err), -ENOENT);
	loop_destroy(loop);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_commands, setup, teardown),
		cmocka_unit_test_setup_teardown(test_wrong, setup, teardown),
		cmocka_unit_test_setup_teardown(test_list, setup, teardown),
		cmocka_unit_test_setup_teardown(test_metrics, setup, teardown),
		cmocka_unit_test_setup_teardown(test_keep_alive, setup, teardown),
		cmocka_unit_test_setup_teardown(test_events, setup, teardown),
		cmocka_unit_test_setup_teardown(test_subscribers, setup, teardown),
		cmocka_unit_test_setup_teardown(test_end, setup, teardown),
		cmocka_unit_test_setup_teardown(test_socket_file, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
