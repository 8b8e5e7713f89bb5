/* SPDX-License-Identifier: Apache-2.0 */
#include "plane_tap.h"

#include "dataplane/vhost_planes.h"

/*
 * vhost-net with a driver of our own in front and a packet socket behind: needs /dev/vhost-net and
 * root, and is skipped with the reason where they are missing.
 */
#define TAP "vdtest0"

static int skip_unless_there(void **state)
{
	struct error err = {0};

	if (vhost_kernel_ops.probe(&err) == 0)
		return 0;
	print_message("skip: %s\n", err.text);
	return 1;
}

static void test_frames(void **state)
{
	struct plane_queue_counters c;
	uint64_t seq = 0;
	struct pb pb;
	int host;

	if (skip_unless_there(state))
		skip();
	pb_init(&pb, 1, 256, false);
	pb_open(&pb, "vhost-net", "ifname=" TAP ",busy-poll-us=20");
	host = host_socket(TAP);
	exchange(&pb, host, &seq, 20000);
	pb.plane->ops->counters(pb.plane, 1, &c);
	assert_true(c.frames_out >= 20000);
	pb.plane->ops->counters(pb.plane, 0, &c);
	assert_true(c.frames_out >= 20000);
	assert_int_equal(pb.broken, 0);
	close(host);
	pb_stop(&pb);
	pb_close(&pb);
	pb_done(&pb);
}

/* Stopping gives a state from which it goes on, many times, with frames waiting in the ring. */
static void test_stop_and_go(void **state)
{
	uint64_t seq = 0;
	struct error err;
	struct pb pb;
	int host;

	if (skip_unless_there(state))
		skip();
	pb_init(&pb, 1, 128, false);
	pb_open(&pb, "vhost-net", "ifname=" TAP);
	host = host_socket(TAP);
	for (unsigned i = 0; i < 200; i++) {
		uint64_t s, want = seq;

		exchange(&pb, host, &seq, 100);
		want = seq;
		for (unsigned n = 0; n < 50; n++)
			assert_true(pb_send(&pb, 0, seq++));
		pb_stop(&pb);
		assert_true((uint16_t)(pb.queues[1].state.avail_idx -
				       pb.queues[1].state.used_idx) == 0);
		assert_int_equal(pb_start(&pb, pb.plane, &err), 0);
		for (uint64_t end = clock_ns() + PATIENCE_NS; want < seq && clock_ns() < end;)
			if (host_get(host, &s)) {
				assert_int_equal(s, want);
				want++;
			}
		assert_int_equal(want, seq);
	}
	close(host);
	pb_stop(&pb);
	pb_close(&pb);
	pb_done(&pb);
}

static void test_memory_changes(void **state)
{
	uint64_t seq = 0;
	struct error err;
	struct pb pb;
	int host;

	if (skip_unless_there(state))
		skip();
	pb_init(&pb, 1, 256, false);
	pb_open(&pb, "vhost-net", "ifname=" TAP);
	host = host_socket(TAP);
	for (unsigned i = 0; i < 10; i++) {
		assert_int_equal(guest_mem_add_ram(pb.gm, "more", 4 * GIB, 2 * MIB, NULL, &err), 0);
		exchange(&pb, host, &seq, 100);
		assert_int_equal(guest_mem_remove_ram(pb.gm, 4 * GIB, &err), 0);
		exchange(&pb, host, &seq, 100);
	}
	close(host);
	pb_stop(&pb);
	pb_close(&pb);
	pb_done(&pb);
}

/* A descriptor outside memory: the queue is told broken, with the reason found. */
static void test_broken_ring(void **state)
{
	struct vdrv_sg sg = {1ULL << 40, 100};
	struct pb pb;

	if (skip_unless_there(state))
		skip();
	pb_init(&pb, 1, 64, false);
	pb_open(&pb, "vhost-net", "ifname=" TAP);
	assert_int_equal(vdrv_add(pb.q[1].drv, &sg, 1, 0, false, 0, NULL), 0);
	pb_kick(&pb, 1);
	for (unsigned i = 0; i < PATIENCE_MS / 10 && !pb.broken; i++)
		pb_run(&pb, 10);
	assert_int_equal(pb.broken, 2);
	assert_int_equal(pb.fault, VRING_BAD_ADDRESS);
	pb_stop(&pb);
	pb_close(&pb);
	pb_done(&pb);
}

static void test_queues(void **state)
{
	struct error err;
	struct pb pb;
	uint64_t seq = 0, s;
	unsigned got = 0;
	int host;

	if (skip_unless_there(state))
		skip();
	pb_init(&pb, 4, 256, false);
	pb_open(&pb, "vhost-net", "ifname=" TAP);
	host = host_socket(TAP);
	for (unsigned i = 0; i < 400; i++)
		assert_true(pb_send(&pb, i % 4, seq++));
	for (uint64_t end = clock_ns() + PATIENCE_NS; got < 400 && clock_ns() < end;)
		got += host_get(host, &s);
	assert_int_equal(got, 400);
	pb.config.active_pairs = 1;
	assert_int_equal(pb.plane->ops->configure(pb.plane, &pb.config), 0);
	pb_stop(&pb);
	pb.config.active_pairs = 4;
	assert_int_equal(pb_start(&pb, pb.plane, &err), 0);
	/* Queue reset and re-enable of one. */
	pb.queues[3].enabled = false;
	assert_int_equal(pb.plane->ops->queue_set(pb.plane, 3, &pb.queues[3]), 0);
	pb.queues[3].enabled = true;
	assert_int_equal(pb.plane->ops->queue_set(pb.plane, 3, &pb.queues[3]), 0);
	for (unsigned i = 0; i < 100; i++)
		assert_true(pb_send(&pb, 1, seq++));
	for (uint64_t end = clock_ns() + PATIENCE_NS; got < 500 && clock_ns() < end;)
		got += host_get(host, &s);
	assert_int_equal(got, 500);
	close(host);
	pb_stop(&pb);
	pb_close(&pb);
	pb_done(&pb);
}

static void test_refusals(void **state)
{
	struct error err;
	struct plane *plane;
	struct pb pb;

	pb_init(&pb, 1, 64, false);
	if (skip_unless_there(state)) {
		/* Where it cannot be had, opening says so too. */
		assert_true(pb_open_plane(&pb, "vhost-net", "ifname=" TAP, &plane, &err) < 0);
		assert_text(err, "/dev/vhost-net");
		pb_done(&pb);
		return;
	}
	assert_int_equal(pb_open_plane(&pb, "vhost-net", "ifname=" TAP, &plane, &err), 0);
	features_set(&pb.features, VIRTIO_NET_F_RSS, true);
	assert_int_equal(pb_start(&pb, plane, &err), -ENOTSUP);
	assert_text(err, "VIRTIO_NET_F_RSS");
	plane->ops->close(plane);
	assert_true(pb_open_plane(&pb, "vhost-net", "busy-poll-us=x", &plane, &err) < 0);
	assert_text(err, "busy-poll-us");
	pb_done(&pb);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_frames),	       cmocka_unit_test(test_stop_and_go),
		cmocka_unit_test(test_memory_changes), cmocka_unit_test(test_broken_ring),
		cmocka_unit_test(test_queues),	       cmocka_unit_test(test_refusals),
	};

	own_network();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
