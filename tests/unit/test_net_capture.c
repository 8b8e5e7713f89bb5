/* SPDX-License-Identifier: Apache-2.0 */
#include "inproc_bed.h"
#include "pcapng_reader.h"

#include "net/capture.h"

#include <fcntl.h>
#include <sys/stat.h>

/*
 * Captures: what goes into the lanes comes out in the file, what does not fit is counted, and the
 * in-process plane records every frame once, with why it was dropped if it was.
 */
static struct capture *start(unsigned lanes, uint32_t snaplen)
{
	const struct capture_params params = {
		.path = path, .name = "net0", .lanes = lanes, .snaplen = snaplen};
	struct capture *cap = NULL;
	struct error err;

	if (capture_start(&params, &cap, &err))
		fail_msg("%s", err.text);
	return cap;
}

struct source {
	pthread_t thread;
	struct capture *cap;
	unsigned lane;
};

#define EACH 3000

static void *write_many(void *arg)
{
	struct source *src = arg;
	uint8_t data[300] = {0};
	struct iovec iov[2] = {{data, 100}, {data + 100, 200}};

	for (unsigned i = 0; i < EACH; i++) {
		capture_frame(src->cap, src->lane, i % 2 ? PCAPNG_INBOUND : PCAPNG_OUTBOUND, iov, 2,
			      i % 3 ? NULL : "a cause");
		if (i % 100 == 0)
			usleep(1000);
	}
	return NULL;
}

static void test_lanes(void **state)
{
	struct capture *cap = start(4, 64);
	uint64_t frames, lost;
	struct source src[4];
	struct seen s;

	for (unsigned i = 0; i < 4; i++) {
		src[i] = (struct source){.cap = cap, .lane = i};
		assert_int_equal(pthread_create(&src[i].thread, NULL, write_many, &src[i]), 0);
	}
	for (unsigned i = 0; i < 4; i++)
		pthread_join(src[i].thread, NULL);
	capture_counters(cap, &frames, &lost);
	assert_int_equal(frames, 4 * EACH);
	assert_int_equal(lost, 0);
	assert_int_equal(capture_stop(cap), 0);
	s = read_file(path);
	assert_int_equal(s.packets, 4 * EACH);
	assert_int_equal(s.inbound, 2 * EACH);
	assert_int_equal(s.outbound, 2 * EACH);
	assert_int_equal(s.commented, 4 * EACH / 3);
	assert_int_equal(s.last_captured, 64);
	assert_int_equal(s.last_length, 300);
	assert_string_equal(s.names[0], "net0");
}

/* More than a lane holds while nobody writes: counted, and the rest is whole. */
static void test_full(void **state)
{
	struct capture *cap = start(1, 0);
	static uint8_t data[64 * 1024];
	struct iovec iov = {data, sizeof(data)};
	uint64_t frames, lost, total = 0;
	struct seen s;

	do {
		capture_frame(cap, 0, PCAPNG_INBOUND, &iov, 1, NULL);
		capture_counters(cap, &frames, &lost);
		total++;
	} while (!lost && total < 1000000);
	assert_int_equal(lost, 1);
	assert_int_equal(frames, total - 1);
	assert_int_equal(capture_stop(cap), 0);
	/* Read in parts: the file may be larger than the reader. */
	if (frames < 100) {
		s = read_file(path);
		assert_int_equal(s.packets, frames);
	}
}

static void test_refused(void **state)
{
	struct capture_params params = {.path = "/nonexistent/file", .name = "net0", .lanes = 1};
	struct capture *cap = NULL;
	struct error err;
	int fds[2];

	assert_int_equal(capture_start(&params, &cap, &err), -ENOENT);
	params.path = "/dev/null";
	assert_int_equal(capture_start(&params, &cap, &err), -EINVAL);
	assert_non_null(strstr(err.text, "regular file"));
	/* A pipe without a reader must not hold anybody. */
	unlink(path);
	assert_int_equal(mkfifo(path, 0600), 0);
	params.path = path;
	assert_true(capture_start(&params, &cap, &err) < 0);
	assert_int_equal(pipe(fds), 0);
	params.path = NULL;
	params.fd = fds[1];
	assert_int_equal(capture_start(&params, &cap, &err), -EINVAL);
	assert_int_equal(fcntl(fds[1], F_GETFD), -1); /* taken over all the same */
	close(fds[0]);
}

static void test_fd(void **state)
{
	struct capture_params params = {.name = "net0", .lanes = 1, .fd = open(path, O_RDWR)};
	struct capture *cap = NULL;
	struct error err;

	assert_int_equal(capture_start(&params, &cap, &err), 0);
	assert_int_equal(capture_stop(cap), 0);
	assert_int_equal(read_file(path).interfaces, 1);
}

/* Every frame of a plane, both ways, once. */
static void plane_frames(const struct variant *v)
{
	struct bed bed = {0};
	struct capture *cap;
	struct guest_frame *got = malloc(sizeof(*got));
	uint8_t frame[1500], other[6] = {2, 0, 0, 0, 0, 9};
	struct net_offload bad = {.gso_type = 2, .gso_size = 1};
	struct seen s;

	bed_init(&bed, v, 1, 64);
	bed.config.filter.promisc = false;
	bed_start(&bed);
	cap = start(1, 0);
	assert_int_equal(bed.plane->ops->capture(bed.plane, cap), 0);
	guest_post(&bed, 0, 32, 2048, NULL);
	for (unsigned i = 0; i < 10; i++) {
		make_frame(frame, 700, bed_mac, i);
		assert_true(guest_send(&bed, 1, i == 4 ? &bad : NULL, frame, 700, NULL));
		make_frame(frame, 900, i == 7 ? other : bed_mac, i);
		wire_put(bed.wire, 0, frame, 900, NULL);
	}
	bed_step(&bed);
	for (unsigned i = 0; i < 9; i++)
		assert_true(guest_recv(&bed, 0, got));
	bed.config.link_up = false;
	bed_configure(&bed);
	assert_true(guest_send(&bed, 1, NULL, frame, 700, NULL));
	wire_put(bed.wire, 0, frame, 900, NULL);
	bed_step(&bed);
	bed.plane->ops->capture(bed.plane, NULL);
	assert_true(guest_send(&bed, 1, NULL, frame, 700, NULL));
	bed_step(&bed);
	assert_int_equal(capture_stop(cap), 0);
	s = read_file(path);
	assert_int_equal(s.packets, 22);
	assert_int_equal(s.outbound, 11);
	assert_int_equal(s.inbound, 11);
	assert_int_equal(s.commented, 4); /* malformed, filtered, link down both ways */
	assert_true(s.in_order);
	assert_int_equal(s.last_length, 900);
	assert_memory_equal(s.last_data, frame, 64);
	assert_non_null(strstr(s.last_comment, "link is down"));
	bed_done(&bed);
	free(got);
}

static void test_plane(void **state)
{
	for (unsigned i = 0; i < ARRAY_SIZE(bed_variants); i++)
		plane_frames(&bed_variants[i]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_lanes, make_path, drop_path),
		cmocka_unit_test_setup_teardown(test_full, make_path, drop_path),
		cmocka_unit_test_setup_teardown(test_refused, make_path, drop_path),
		cmocka_unit_test_setup_teardown(test_fd, make_path, drop_path),
		cmocka_unit_test_setup_teardown(test_plane, make_path, drop_path),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
