/* SPDX-License-Identifier: Apache-2.0 */
#include "back_session.h"

#include "hostnet/hostnet.h"
#include "net/capture.h"
#include "unit/pcapng_reader.h"
#include "unit/plane_relay.h"

/*
 * A relay in front of the vhost-user plane, under traffic that a back-end sends back: it comes and
 * goes on one connection, with nothing lost, doubled or out of order; the back-end goes and comes
 * meanwhile; the guest resets; and what it records is what went by.
 */
/* As session_open(), for a guest that takes frames for any address: what it sends comes back. */
static void open_session(struct session *s, unsigned pairs, bool packed, bool mergeable)
{
	session_open(s, pairs, packed, true);
	pb_stop(&s->pb);
	s->pb.config.filter.promisc = true;
	features_set(&s->pb.features, VIRTIO_NET_F_MRG_RXBUF, mergeable);
	assert_int_equal(pb_start(&s->pb, s->pb.plane, NULL), 0);
	flow_until(&s->pb, &s->f, 100);
}

static uint64_t relayed(struct pb *pb, unsigned queue)
{
	struct plane_queue_counters c;
	uint64_t drops = 0;

	pb->plane->ops->counters(pb->plane, queue, &c);
	for (unsigned i = 0; i < PLANE_DROP_COUNT; i++)
		drops += c.drops[i];
	assert_int_equal(drops, 0);
	return c.frames_in;
}

/* Sends a frame of that many bytes, all of them its number, and takes one that comes back, in order. */
static bool send_sized(struct pb *pb, uint8_t number, unsigned len)
{
	uint8_t *frame = pb_room(pb, 0, len);

	if (!frame)
		return false;
	memset(frame, number, len);
	pb_send_room(pb, 0, len);
	return true;
}

static bool recv_sized(struct pb *pb, uint8_t number, unsigned len)
{
	struct pb_queue *q = &pb->q[0];
	void *cookie;
	uint32_t got;
	uint8_t *p;

	if (vdrv_get(q->drv, &cookie, &got) != 1)
		return false;
	assert_int_equal(got, PB_HDR + len);
	p = pb_host(pb, q->bufs + (uintptr_t)cookie * PB_BUF, PB_BUF);
	for (unsigned i = 0; i < len; i++)
		assert_int_equal(p[PB_HDR + i], number);
	memset(p, 0, PB_BUF);
	pb_post(pb, 0, (unsigned)(uintptr_t)cookie);
	pb_kick(pb, 0);
	return true;
}

static unsigned size_of(unsigned number)
{
	return 60 + number * 977 % (PB_BUF - PB_HDR - 59);
}

/* Frames of all sizes arrive whole, and nothing else of the guest's memory is written to. */
static void test_sizes(void **state)
{
	unsigned sent = 0, got = 0, goal = rounds(40, 8) * 500;
	uint64_t end = clock_ns() + PATIENCE_NS;
	struct session s;
	uint8_t *ram;

	open_session(&s, 1, false, true);
	while (s.f.next[0] < s.f.sent[0] && clock_ns() < end)
		if (pb_recv(&s.pb, 0, &s.f.next[0]))
			s.f.next[0]++;
	while (got < goal && clock_ns() < end) {
		while (sent < goal && sent - got < 100 &&
		       send_sized(&s.pb, (uint8_t)sent, size_of(sent)))
			sent++;
		while (recv_sized(&s.pb, (uint8_t)got, size_of(got)))
			if (++got % 250 == 0)
				(got % 500 ? relay_begin : relay_end)(&s.pb);
		loop_run_once(s.pb.loop, 0);
		sched_yield();
	}
	assert_int_equal(got, goal);
	ram = pb_host(&s.pb, 0, PB_RAM);
	for (size_t i = 0; i < PB_RAM; i++) {
		uint64_t in = (i - MIB) % (2 * MIB); /* as pb_queue_init() has it */

		if (i < MIB || i >= 5 * MIB || in >= 256 * KIB + 256 * PB_BUF)
			assert_int_equal(ram[i], 0);
	}
	session_close(&s);
}

static void there_and_back(unsigned pairs, bool packed, bool mergeable)
{
	struct session s;

	open_session(&s, pairs, packed, mergeable);
	for (unsigned i = rounds(20, 5); i; i--) {
		struct hostnet_counters c;
		bool whole;

		relay_begin(&s.pb);
		flow_until(&s.pb, &s.f, 200);
		for (unsigned q = 0; q < 2 * pairs; q++)
			while (!relayed(&s.pb, q))
				flow_until(&s.pb, &s.f, 10);
		assert_true(s.pb.plane->ops->attachment_counters(s.pb.plane, 0, &c, &whole));
		assert_true(c.tx_frames > 0 && c.rx_frames > 0);
		relay_end(&s.pb);
		flow_until(&s.pb, &s.f, 200);
	}
	assert_int_equal(s.f.lost, 0);
	assert_int_equal(s.echo.connections, 1);
	assert_int_equal(s.pb.broken, 0);
	pb_check_rings(&s.pb);
	session_close(&s);
}

static void test_split(void **state)
{
	there_and_back(1, false, true);
	there_and_back(1, false, false);
}

static void test_packed(void **state)
{
	there_and_back(1, true, true);
	there_and_back(1, true, false);
}

static void test_pairs(void **state)
{
	there_and_back(4, false, true);
}

/* Nobody waits at the end for pairs that are not in use. */
static void test_unused_pairs(void **state)
{
	uint64_t least = UINT64_MAX;
	struct session s;

	open_session(&s, 4, false, true);
	s.pb.config.active_pairs = 1;
	assert_int_equal(s.pb.plane->ops->configure(s.pb.plane, &s.pb.config), 0);
	for (unsigned i = 0; i < 5; i++) {
		uint64_t begin;

		relay_begin(&s.pb);
		flow_until(&s.pb, &s.f, 50);
		begin = clock_ns();
		relay_end(&s.pb);
		least = MIN(least, clock_ns() - begin);
		flow_until(&s.pb, &s.f, 50);
	}
	assert_true(least < 250 * NSEC_PER_MSEC);
	session_close(&s);
}

/* It goes and comes, before the relay does, while it is there, and while it ends. */
static void test_comes_and_goes(void **state)
{
	struct session s;

	open_session(&s, 2, false, true);
	for (unsigned i = rounds(6, 3); i; i--) {
		if (i % 3 == 0)
			echo_down(&s.echo);
		relay_begin(&s.pb);
		flow_run(&s.pb, &s.f, 10);
		if (i % 3 == 0)
			echo_up(&s.echo);
		flow_resume(&s.pb, &s.f);
		echo_down(&s.echo);
		flow_run(&s.pb, &s.f, 700); /* its frames wait: nobody gives up */
		if (i % 3 != 1)
			echo_up(&s.echo);
		if (i % 3 != 1)
			flow_until(&s.pb, &s.f, 200);
		relay_end(&s.pb);
		if (i % 3 == 1)
			echo_up(&s.echo);
		flow_resume(&s.pb, &s.f);
		if (i % 3 != 1)
			assert_int_equal(s.f.lost, 0);
		s.f.lost = 0; /* at the end of a relay without a back-end, what was its to send */
	}
	assert_int_equal(s.pb.broken, 0);
	pb_check_rings(&s.pb);
	session_close(&s);
}

/* The guest stops and starts, with other features, or one queue; and is changed around. */
static void test_guest_changes(void **state)
{
	struct session s;
	struct plane_queue *q;
	struct error err;

	open_session(&s, 2, false, true);
	relay_begin(&s.pb);
	flow_until(&s.pb, &s.f, 200);
	pb_stop(&s.pb);
	features_set(&s.pb.features, VIRTIO_NET_F_MRG_RXBUF, false);
	assert_int_equal(pb_start(&s.pb, s.pb.plane, &err), 0);
	flow_until(&s.pb, &s.f, 200);
	q = &s.pb.queues[3];
	q->enabled = false;
	assert_int_equal(s.pb.plane->ops->queue_set(s.pb.plane, 3, q), 0);
	flow_run(&s.pb, &s.f, 5);
	q->enabled = true;
	assert_int_equal(s.pb.plane->ops->queue_set(s.pb.plane, 3, q), 0);
	flow_until(&s.pb, &s.f, 200);
	s.pb.config.active_pairs = 1;
	assert_int_equal(s.pb.plane->ops->configure(s.pb.plane, &s.pb.config), 0);
	s.pb.config.active_pairs = 2;
	assert_int_equal(s.pb.plane->ops->configure(s.pb.plane, &s.pb.config), 0);
	flow_until(&s.pb, &s.f, 200);
	relay_end(&s.pb);
	flow_until(&s.pb, &s.f, 200);
	/* A NIC that goes with its relay takes all with it. */
	relay_begin(&s.pb);
	flow_until(&s.pb, &s.f, 10);
	session_close(&s);
}

/* Where it cannot be had, nothing has happened. */
static void test_refused(void **state)
{
	struct plane_params params;
	struct plane *relay = NULL;
	struct error err = {0};
	struct session s;
	struct pb pb;

	open_session(&s, 2, false, true);
	params = pb_params(&s.pb);
	params.queue_pairs = 1; /* less than there are: it does not start */
	assert_int_equal(plane_relay_open(s.pb.plane, &params, &relay, &err), 0);
	assert_int_equal(relay_hand_over(&s.pb, relay, &err), -EINVAL);
	plane_relay_leave(relay);
	flow_until(&s.pb, &s.f, 200);
	assert_int_equal(s.f.lost, 0);
	session_close(&s);
	pb_init(&pb, 1, 256, false);
	pb_open(&pb, "none", "");
	params = pb_params(&pb);
	assert_int_equal(plane_relay_open(pb.plane, &params, &relay, &err), -ENOTSUP);
	pb_stop(&pb);
	pb_close(&pb);
	pb_done(&pb);
}

static void test_capture(void **state)
{
	struct capture_params cp = {.path = path, .fd = -1, .name = "net0", .lanes = 2};
	uint64_t packets, lost, in_all = 0;
	struct plane_queue_counters c;
	struct capture *capture;
	struct session s;
	struct error err;
	struct seen seen;

	open_session(&s, 2, false, true);
	assert_int_equal(capture_start(&cp, &capture, &err), 0);
	relay_begin(&s.pb);
	assert_int_equal(s.pb.plane->ops->capture(s.pb.plane, capture), 0);
	flow_until(&s.pb, &s.f, 500);
	assert_int_equal(s.pb.plane->ops->capture(s.pb.plane, NULL), 0);
	for (unsigned i = 0; i < 4; i++) {
		s.pb.plane->ops->counters(s.pb.plane, i, &c);
		in_all += c.frames_in;
	}
	relay_end(&s.pb);
	capture_counters(capture, &packets, &lost);
	assert_int_equal(capture_stop(capture), 0);
	assert_int_equal(lost, 0);
	/* (Some had been sent, or had come, before it began.) */
	assert_true(packets >= 600 && packets <= in_all);
	seen = read_file(path);
	assert_int_equal(seen.packets, packets);
	assert_true(seen.inbound >= 300 && seen.outbound >= 300);
	assert_true(seen.in_order);
	flow_until(&s.pb, &s.f, 200);
	assert_int_equal(s.f.lost, 0);
	session_close(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sizes),
		cmocka_unit_test(test_split),
		cmocka_unit_test(test_packed),
		cmocka_unit_test(test_pairs),
		cmocka_unit_test(test_unused_pairs),
		cmocka_unit_test(test_comes_and_goes),
		cmocka_unit_test(test_guest_changes),
		cmocka_unit_test(test_refused),
		cmocka_unit_test_setup_teardown(test_capture, make_path, drop_path),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
