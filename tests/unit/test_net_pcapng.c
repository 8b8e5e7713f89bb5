/* SPDX-License-Identifier: Apache-2.0 */
#include "unit.h"

#include "base/util.h"
#include "net/pcapng.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <signal.h>
#include <unistd.h>

/* A reader of our own: walks the blocks, checks every length, keeps what the tests ask about. */
struct seen {
	unsigned sections, interfaces, packets;
	char names[4][32];
	uint32_t last_interface, last_captured, last_length, last_flags;
	uint64_t last_ns;
	char last_comment[300];
	uint8_t last_data[64];
};

static uint32_t get32(const uint8_t *p)
{
	uint32_t v;

	memcpy(&v, p, 4);
	return v;
}

static uint16_t get16(const uint8_t *p)
{
	uint16_t v;

	memcpy(&v, p, 2);
	return v;
}

static void read_options(struct seen *s, uint32_t type, const uint8_t *p, const uint8_t *end)
{
	while (p < end) {
		uint16_t code = get16(p), len = get16(p + 2);

		p += 4;
		assert_true(p + len <= end);
		if (code == 0) {
			assert_int_equal(len, 0);
			assert_ptr_equal(p, end);
			return;
		}
		if (type == 1 && code == 2)
			snprintf(s->names[s->interfaces], 32, "%.*s", len, (const char *)p);
		if (type == 1 && code == 9)
			assert_int_equal(*p, 9);
		if (type == 6 && code == 1)
			snprintf(s->last_comment, sizeof(s->last_comment), "%.*s", len,
				 (const char *)p);
		if (type == 6 && code == 2)
			s->last_flags = get32(p);
		p += (len + 3) & ~3u;
	}
	fail_msg("options without an end");
}

static void read_block(struct seen *s, const uint8_t *p, uint32_t len)
{
	const uint8_t *body = p + 8, *end = p + len - 4;
	uint32_t type = get32(p);

	switch (type) {
	case 0x0a0d0d0a:
		assert_int_equal(get32(body), 0x1a2b3c4d);
		assert_int_equal(get16(body + 4), 1);
		read_options(s, type, body + 16, end);
		s->sections++;
		break;
	case 1:
		assert_int_equal(get16(body), 1);
		read_options(s, type, body + 8, end);
		s->interfaces++;
		break;
	case 6:
		s->last_interface = get32(body);
		assert_true(s->last_interface < s->interfaces);
		s->last_ns = (uint64_t)get32(body + 4) << 32 | get32(body + 8);
		s->last_captured = get32(body + 12);
		s->last_length = get32(body + 16);
		s->last_comment[0] = '\0';
		memcpy(s->last_data, body + 20, MIN(s->last_captured, 64u));
		read_options(s, type, body + 20 + ((s->last_captured + 3) & ~3u), end);
		s->packets++;
		break;
	default:
		fail_msg("block of type %#x", type);
	}
}

static struct seen read_file(const char *path)
{
	static uint8_t buf[8 << 20];
	FILE *f = fopen(path, "r");
	struct seen s = {0};
	size_t n, at = 0;

	assert_non_null(f);
	n = fread(buf, 1, sizeof(buf), f);
	fclose(f);
	while (at < n) {
		uint32_t len;

		assert_true(at + 12 <= n);
		len = get32(buf + at + 4);
		assert_true(len >= 12 && len % 4 == 0 && at + len <= n);
		assert_int_equal(get32(buf + at + len - 4), len);
		read_block(&s, buf + at, len);
		at += len;
	}
	return s;
}

static char path[64];

static int make_path(void **state)
{
	int fd;

	snprintf(path, sizeof(path), "/tmp/pcapng-XXXXXX");
	fd = mkstemp(path);
	return fd < 0 ? -1 : close(fd);
}

static int drop_path(void **state)
{
	return unlink(path);
}

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
