/* SPDX-License-Identifier: Apache-2.0 */
#include "unit.h"

#include "pcapng_reader.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <signal.h>
#include <unistd.h>

static void test_write(void **state)
{
	uint8_t a[5] = "hello", b[60] = {7};
	struct iovec iov[2] = {{a, 5}, {b, 60}};
	struct timespec before;
	struct pcapng *cap;
	struct error err;
	struct seen s;

	clock_gettime(CLOCK_REALTIME, &before);
	assert_int_equal(pcapng_open(path, &cap, &err), 0);
	assert_int_equal(pcapng_add_interface(cap, "net0", 0), 0);
	assert_int_equal(pcapng_add_interface(cap, "net1/rx", 16), 1);
	pcapng_write(cap, 0, PCAPNG_INBOUND, iov, 2, NULL);
	pcapng_flush(cap);
	s = read_file(path);
	assert_int_equal(s.sections, 1);
	assert_int_equal(s.interfaces, 2);
	assert_string_equal(s.names[0], "net0");
	assert_string_equal(s.names[1], "net1/rx");
	assert_int_equal(s.packets, 1);
	assert_int_equal(s.last_captured, 65);
	assert_int_equal(s.last_flags, 1);
	assert_memory_equal(s.last_data, "hello\7", 6);
	assert_true(s.last_ns >= (uint64_t)before.tv_sec * NSEC_PER_SEC);
	assert_true(s.last_ns < (uint64_t)(before.tv_sec + 100) * NSEC_PER_SEC);
	pcapng_write(cap, 1, PCAPNG_OUTBOUND, iov, 2, "no receive buffer");
	assert_int_equal(pcapng_close(cap), 0);
	s = read_file(path);
	assert_int_equal(s.packets, 2);
	assert_int_equal(s.last_interface, 1);
	assert_int_equal(s.last_captured, 16);
	assert_int_equal(s.last_length, 65);
	assert_int_equal(s.last_flags, 2);
	assert_string_equal(s.last_comment, "no receive buffer");
}

/* More than the buffer, and frames of all lengths. */
static void test_many(void **state)
{
	static uint8_t big[70000];
	uint64_t packets, lost;
	struct pcapng *cap;
	unsigned n = 0;

	assert_int_equal(pcapng_open(path, &cap, NULL), 0);
	pcapng_add_interface(cap, "net0", 0);
	for (unsigned len = 0; len < sizeof(big); len += 1 + len / 8, n++) {
		struct iovec iov = {big, len};

		pcapng_write(cap, 0, PCAPNG_UNKNOWN, &iov, 1, n % 2 ? "odd" : NULL);
	}
	pcapng_counters(cap, &packets, &lost);
	assert_int_equal(packets, n);
	assert_int_equal(lost, 0);
	pcapng_write(cap, 7, PCAPNG_UNKNOWN, NULL, 0, NULL); /* no such interface */
	pcapng_counters(cap, &packets, &lost);
	assert_int_equal(lost, 1);
	assert_int_equal(pcapng_close(cap), 0);
	assert_int_equal(read_file(path).packets, n);
}

/* A file that may not grow: what is lost is counted, and the file still ends with a whole block. */
static void test_full(void **state)
{
	struct rlimit old, small = {64 * 1024, RLIM_INFINITY};
	uint8_t frame[1500] = {0};
	struct iovec iov = {frame, sizeof(frame)};
	uint64_t packets, lost;
	struct pcapng *cap;

	assert_int_equal(pcapng_open(path, &cap, NULL), 0);
	pcapng_add_interface(cap, "net0", 0);
	signal(SIGXFSZ, SIG_IGN);
	getrlimit(RLIMIT_FSIZE, &old);
	setrlimit(RLIMIT_FSIZE, &small);
	for (unsigned i = 0; i < 100; i++) {
		pcapng_write(cap, 0, PCAPNG_UNKNOWN, &iov, 1, NULL);
		if (i % 10 == 9)
			pcapng_flush(cap);
	}
	pcapng_counters(cap, &packets, &lost);
	assert_int_equal(packets + lost, 100);
	assert_true(lost >= 50);
	setrlimit(RLIMIT_FSIZE, &old);
	pcapng_write(cap, 0, PCAPNG_UNKNOWN, &iov, 1, NULL);
	assert_int_equal(pcapng_close(cap), -EFBIG);
	assert_int_equal(read_file(path).packets, packets + 1);
}

static void test_cannot_open(void **state)
{
	struct pcapng *cap = NULL;
	struct error err;

	assert_int_equal(pcapng_open("/nonexistent/x.pcapng", &cap, &err), -ENOENT);
	assert_text(err, "/nonexistent/x.pcapng: cannot be created");
	assert_int_equal(pcapng_open("/dev/full", &cap, &err), -ENOSPC);
	assert_text(err, "/dev/full");
	assert_int_equal(pcapng_close(NULL), 0);
}

struct writer {
	struct pcapng *cap;
	unsigned interface;
};

static void *write_some(void *arg)
{
	struct writer *w = arg;
	uint8_t frame[300] = {0};
	struct iovec iov = {frame, sizeof(frame)};

	for (unsigned i = 0; i < 2000; i++)
		pcapng_write(w->cap, w->interface, PCAPNG_INBOUND, &iov, 1, "x");
	return NULL;
}

static void test_threads(void **state)
{
	struct writer w[2];
	pthread_t thread[2];
	struct pcapng *cap;

	assert_int_equal(pcapng_open(path, &cap, NULL), 0);
	for (unsigned i = 0; i < 2; i++) {
		w[i] = (struct writer){cap, (unsigned)pcapng_add_interface(cap, "n", 0)};
		pthread_create(&thread[i], NULL, write_some, &w[i]);
	}
	for (unsigned i = 0; i < 2; i++)
		pthread_join(thread[i], NULL);
	assert_int_equal(pcapng_close(cap), 0);
	assert_int_equal(read_file(path).packets, 4000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_write, make_path, drop_path),
		cmocka_unit_test_setup_teardown(test_many, make_path, drop_path),
		cmocka_unit_test_setup_teardown(test_full, make_path, drop_path),
		cmocka_unit_test_setup_teardown(test_threads, make_path, drop_path),
		cmocka_unit_test(test_cannot_open),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
