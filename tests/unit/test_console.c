/* SPDX-License-Identifier: Apache-2.0 */
/* The console's output: a reader that is slow, one that is gone, a disk that is full. */
#include "unit.h"

#include "vmm/console_out.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

struct rig {
	struct loop *loop;
	struct console_out out;
	char dir[64], path[96];
	int reader;
	unsigned readies;
};

static void on_ready(void *opaque)
{
	((struct rig *)opaque)->readies++;
}

static int setup(void **state)
{
	struct rig *r = calloc(1, sizeof(*r));
	struct error err;

	signal(SIGPIPE, SIG_IGN);
	snprintf(r->dir, sizeof(r->dir), "/tmp/viaduct-console-XXXXXX");
	assert_non_null(mkdtemp(r->dir));
	snprintf(r->path, sizeof(r->path), "%s/fifo", r->dir);
	assert_int_equal(mkfifo(r->path, 0600), 0);
	r->reader = open(r->path, O_RDONLY | O_NONBLOCK);
	r->loop = loop_create(&err);
	r->out.ready = on_ready;
	r->out.opaque = r;
	assert_int_equal(console_out_file(&r->out, r->path, r->loop, &err), 0);
	*state = r;
	return 0;
}

static int teardown(void **state)
{
	struct rig *r = *state;

	if (r->out.loop)
		console_out_close(&r->out, 0);
	close(r->reader);
	unlink(r->path);
	rmdir(r->dir);
	loop_destroy(r->loop);
	free(r);
	return 0;
}

static void write_text(struct rig *r, size_t len)
{
	uint8_t text[1000];

	while (len) {
		size_t n = len < sizeof(text) ? len : sizeof(text);

		memset(text, 'a', n);
		console_out_write(&r->out, text, n);
		len -= n;
	}
}

static size_t read_all(struct rig *r)
{
	char buf[4096];
	size_t sum = 0;

	for (unsigned idle = 0; idle < 3;) {
		ssize_t n = read(r->reader, buf, sizeof(buf));

		idle = n > 0 ? 0 : idle + 1;
		sum += n > 0 ? (size_t)n : 0;
		loop_run_once(r->loop, 1);
	}
	return sum;
}

static void reader_in_time(void **state)
{
	struct rig *r = *state;

	write_text(r, 5000);
	assert_int_equal(read_all(r), 5000);
	assert_int_equal(r->out.lost, 0);
}

/* A full pipe, then a full ring, then a second of patience, then loss: counted to the byte. */
static void slow_reader(void **state)
{
	struct rig *r = *state;
	size_t written = 0;
	uint64_t began = 0;

	while (console_out_ready(&r->out)) {
		began = clock_ns();
		write_text(r, 500);
		written += 500;
	}
	assert_int_equal(r->out.lost, 0);
	while (!r->readies && clock_ns() - began < PATIENCE_NS)
		loop_run_once(r->loop, 100);
	assert_int_equal(r->readies, 1);
	assert_true(clock_ns() - began >= NSEC_PER_SEC / 2);
	assert_true(console_out_ready(&r->out));
	write_text(r, 2000); /* more than is left of the ring */
	assert_in_range(r->out.lost, 1, 2000);
	assert_int_equal(read_all(r) + r->out.lost, written + 2000);
	assert_true(r->readies >= 2);
	written = r->out.lost;
	write_text(r, 7);
	assert_int_equal(read_all(r), 7);
	assert_int_equal(r->out.lost, written);
}

static void reader_gone(void **state)
{
	struct rig *r = *state;

	close(r->reader);
	write_text(r, 100);
	assert_int_equal(r->out.lost, 100);
	assert_true(r->out.broken);
	assert_true(console_out_ready(&r->out));
	r->reader = open(r->path, O_RDONLY | O_NONBLOCK);
}

static void full_disk(void **state)
{
	struct rig *r = *state;
	struct console_out full = {0};
	struct error err;
	uint8_t text[10] = {0};

	assert_int_equal(console_out_file(&full, "/dev/full", r->loop, &err), 0);
	console_out_write(&full, text, sizeof(text));
	assert_int_equal(full.lost, 10);
	assert_false(full.broken); /* there may be room again */
	assert_true(console_out_ready(&full));
	console_out_close(&full, 0);
	assert_int_equal(console_out_file(&full, "/nowhere/log", r->loop, &err), -ENOENT);
	assert_text(err, "--serial file=/nowhere/log");
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {T(reader_in_time), T(slow_reader), T(reader_gone),
					   T(full_disk)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
