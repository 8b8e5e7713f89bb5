/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The control socket of a machine, over its socket: the input is what a client sends. Where its
 * first byte is odd, the rest is instead what a program answers to viaductctl's client.
 */
#include "fuzz.h"

#include "api.h"
#include "base/unix_socket.h"
#include "control/client.h"
#include "fake_machine.h"

#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

static struct machine *machine;
static struct loop *loop;
static char dir[32], path[64];

static void clean_up(void)
{
	unlink(path);
	rmdir(dir);
}

static struct api *serve(void)
{
	struct api *api;

	if (!loop) {
		loop = loop_create(NULL);
		snprintf(dir, sizeof(dir), "/tmp/fuzz-XXXXXX");
		fuzz_assert(mkdtemp(dir));
		snprintf(path, sizeof(path), "%s/sock", dir);
		atexit(clean_up);
	}
	fuzz_assert(!api_open(path, loop, machine, &api, NULL));
	return api;
}

/* A machine for many inputs; what they leave behind is forgotten now and then. */
static void fresh_machine(void)
{
	static struct api *api;
	static unsigned runs;

	if (api && runs++ % 1000)
		return;
	api_close(api);
	fake_machine_destroy(machine);
	machine = fake_machine_create();
	api = serve();
}

static void ask(const uint8_t *data, size_t size)
{
	static char reply[4096];
	int fd = unix_connect(path, NULL);
	unsigned idle = 0;
	size_t got = 0;
	ssize_t n = -1;

	fuzz_assert(fd >= 0);
	(void)!send(fd, data, size, MSG_NOSIGNAL | MSG_DONTWAIT);
	shutdown(fd, SHUT_WR);
	/* What is not a whole request is left unanswered until its time is over. */
	while (n && idle < 8) {
		struct pollfd p = {.fd = fd, .events = POLLIN};

		loop_run_once(loop, 0);
		if (poll(&p, 1, 1) <= 0) {
			idle++;
			continue;
		}
		n = recv(fd, reply + got, sizeof(reply) - 1 - got, MSG_DONTWAIT);
		if (n <= 0)
			break;
		got += (size_t)n;
		reply[got] = '\0';
		/* Events have no end; and enough is enough. */
		if (strstr(reply, "ndjson") || got > sizeof(reply) / 2)
			break;
	}
	fuzz_assert(!got || got < 9 || !memcmp(reply, "HTTP/1.", 7));
	close(fd);
}

static bool take_line(void *arg, const char *line)
{
	fuzz_assert(strlen(line) < 1 << 20);
	return ++*(unsigned *)arg < 1000;
}

static void answer(const uint8_t *data, size_t size)
{
	unsigned status = 0, lines = 0;
	struct error err = {0};
	int fds[2];

	fuzz_assert(!socketpair(AF_UNIX, SOCK_STREAM, 0, fds));
	(void)!send(fds[0], data, size, MSG_NOSIGNAL | MSG_DONTWAIT);
	shutdown(fds[0], SHUT_WR);
	if (control_client_read(fds[1], 1000, &status, take_line, &lines, &err))
		fuzz_assert(err.code && err.text[0]);
	else
		fuzz_assert(status >= 200);
	close(fds[0]);
	close(fds[1]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (!size)
		return 0;
	if (data[0] & 1) {
		answer(data + 1, size - 1);
		return 0;
	}
	fresh_machine();
	ask(data + 1, size - 1);
	return 0;
}
