/* SPDX-License-Identifier: Apache-2.0 */
#include "scripted_backend.h"

#include "dataplane/handover.h"
#include "vring/device.h"

/* The vhost-user plane against back-ends that hang, lie, refuse, or go away at the worst moment. */

/* Opening fails, says why, and takes no longer than this. */
static void refused(const struct script *script, const char *why, unsigned limit_ms)
{
	struct error err = {0};
	struct plane *plane;
	struct backend b;
	struct pb pb;
	uint64_t start;

	backend_start(&b, script);
	pb_init(&pb, 1, 64, false);
	start = clock_ns();
	assert_true(try_open(&pb, &b, &plane, &err) < 0);
	assert_text(err, why);
	assert_text(err, b.sock);
	assert_true(clock_ns() - start < limit_ms * NSEC_PER_MSEC);
	pb_done(&pb);
	backend_done(&b);
}

static void test_refused(void **state)
{
	refused(&(struct script){.hang_at = VHOST_USER_GET_FEATURES}, "in time", 8000);
	refused(&(struct script){.hang_at = VHOST_USER_SET_MEM_TABLE}, "in time", 8000);
	refused(&(struct script){.refuse = VHOST_USER_SET_MEM_TABLE}, "refused SET_MEM_TABLE",
		8000);
	refused(&(struct script){.lie_at = VHOST_USER_GET_QUEUE_NUM}, "answered with", 8000);
	refused(&(struct script){.close_at = VHOST_USER_SET_OWNER}, "closed", 8000);
	refused(&(struct script){.features = 1ULL << VHOST_USER_F_PROTOCOL_FEATURES},
		"VIRTIO_F_VERSION_1", 8000);
}

static void test_nobody_there(void **state)
{
	char dir[] = "/tmp/vu-hostile-XXXXXX", path[64], text[128];
	struct error err = {0};
	struct plane *plane;
	struct pb pb;

	pb_init(&pb, 1, 64, false);
	assert_true(pb_open_plane(&pb, "vhost-user", "socket=/tmp/vu-nobody", &plane, &err) < 0);
	assert_text(err, "nobody listens");
	assert_true(pb_open_plane(&pb, "vhost-user", "server=on", &plane, &err) < 0);
	assert_text(err, "socket=PATH");
	assert_non_null(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/s", dir);
	snprintf(text, sizeof(text), "socket=%s,server=on,wait=50", path);
	assert_true(pb_open_plane(&pb, "vhost-user", text, &plane, &err) < 0);
	assert_text(err, "no back-end has connected");
	assert_int_equal(access(path, F_OK), -1);
	rmdir(dir);
	pb_done(&pb);
}

/* The longest that one turn of the main loop took in so many milliseconds. */
static unsigned longest_turn(struct pb *pb, unsigned ms)
{
	uint64_t end = clock_ns() + ms * NSEC_PER_MSEC, worst = 0, start;

	while ((start = clock_ns()) < end) {
		loop_run_once(pb->loop, 1);
		worst = MAX(worst, clock_ns() - start);
	}
	return (unsigned)(worst / NSEC_PER_MSEC);
}

static void test_hangs_at_stop(void **state)
{
	struct running r;
	uint64_t start;

	run_with(&r, &(struct script){.hang_at = VHOST_USER_GET_VRING_BASE}, 2);
	start = clock_ns();
	pb_stop(&r.pb);
	assert_true(clock_ns() - start < 8 * NSEC_PER_SEC);
	for (unsigned i = 0; i < 4; i++)
		assert_int_equal(r.pb.queues[i].state.avail_idx, 0);
	run_done(&r);
}

/*
 * It does not answer in time, is hung up on, and has gone on with the ring until it saw that. When
 * it is met again it is told where the ring stands by then.
 */
static void slow_at_stop(bool packed)
{
	struct script script = {.hang_at = VHOST_USER_GET_VRING_BASE};
	struct vring_state start = VRING_STATE_INIT;
	struct vring_config *c;
	struct error err = {0};
	struct vq *vq = vq_create();
	struct vq_buf bufs[5];
	struct iovec iov[5];
	struct running r;

	script.features = FEATURES | 1ULL << VIRTIO_F_RING_PACKED;
	run_with_ring(&r, &script, 1, packed);
	for (unsigned i = 0; i < 5; i++)
		assert_true(pb_send(&r.pb, 0, i));
	pb_stop(&r.pb);
	assert_int_equal(r.pb.queues[1].state.avail_idx, 0);
	c = &r.pb.queues[1].cfg;
	assert_int_equal(vq_start(vq, c, &start, guest_mem_table(r.pb.gm), &err), 0);
	assert_int_equal(vq_pop(vq, bufs, 5, iov, 5), 5);
	for (unsigned i = 0; i < 5; i++)
		vq_push(vq, &bufs[i], 0);
	vq_flush(vq);
	vq_free(vq);
	backend_stop(&r.b);
	r.b.script.hang_at = 0;
	assert_int_equal(pb_start(&r.pb, r.pb.plane, &err), 0);
	backend_listen(&r.b);
	run_until(&r, 2, -1);
	/* Packed: both halves of the number, each with its wrap counter. */
	assert_int_equal(r.b.base[1], packed ? 0x80058005 : 5);
	run_done(&r);
}

static void test_slow_at_stop(void **state)
{
	slow_at_stop(false);
	slow_at_stop(true);
}

/* It stopped where it cannot have: the ring's own word is taken. */
static void test_lies_about_base(void **state)
{
	struct running r;

	run_with(&r, &(struct script){.base = 0xffff}, 1);
	pb_stop(&r.pb);
	assert_int_equal(r.pb.queues[0].state.avail_idx, 0);
	assert_int_equal(r.pb.queues[1].state.avail_idx, 0);
	run_done(&r);
}

static void test_comes_back(void **state)
{
	struct running r;

	run_with(&r, &(struct script){0}, 1);
	r.b.script.shout = true;
	run_until(&r, 2, -1); /* too short to be told */

	backend_stop(&r.b);
	run_until(&r, 2, 0);
	assert_false(r.pb.plane->link_up);
	backend_listen(&r.b);
	run_until(&r, 3, 1);
	assert_true(r.pb.plane->link_up);
	run_done(&r);
}

/* Those that come back hanging or poorer do not hold the main loop up, nor are they taken. */
static void test_comes_back_wrong(void **state)
{
	struct running r;
	unsigned turn, tries = 0;

	run_with(&r, &(struct script){0}, 1);
	backend_stop(&r.b);
	pb_run(&r.pb, 20);
	r.b.script.hang_at = VHOST_USER_SET_FEATURES;
	backend_listen(&r.b);
	/* It is 1 on a machine at rest, and each attempt with it is a hang of 2000. */
	do {
		turn = longest_turn(&r.pb, 3000);
	} while (turn > 1000 && tries++ < 10);
	if (turn > 1000)
		fail_msg("the main loop stood still for %u ms", turn);
	backend_stop(&r.b);
	r.b.script.hang_at = 0;
	r.b.script.features &= ~(1ULL << VIRTIO_NET_F_MRG_RXBUF);
	backend_listen(&r.b);
	pb_run(&r.pb, 3000);
	assert_int_equal(r.b.met, 1);
	assert_int_equal(r.pb.link, 0);
	backend_stop(&r.b);
	r.b.script.features = FEATURES;
	backend_listen(&r.b);
	run_until(&r, 2, 1);
	run_done(&r);
}

/* Plane ops and memory changes at any moment of losing and meeting. */
static void test_ops_meanwhile(void **state)
{
	struct running r;
	struct error err;

	run_with(&r, &(struct script){0}, 1);
	for (unsigned i = 0; i < 60; i++) {
		if (i % 3 == 0) {
			backend_stop(&r.b);
			pb_run(&r.pb, i % 7);
			backend_listen(&r.b);
		}
		pb_run(&r.pb, i % 5);
		switch (i % 4) {
		case 0:
			pb_stop(&r.pb);
			assert_int_equal(pb_start(&r.pb, r.pb.plane, &err), 0);
			break;
		case 1:
			assert_int_equal(
				guest_mem_add_ram(r.pb.gm, "m", 4 * GIB, 2 * MIB, NULL, &err), 0);
			assert_int_equal(guest_mem_remove_ram(r.pb.gm, 4 * GIB, &err), 0);
			break;
		case 2:
			r.pb.config.link_up = !r.pb.config.link_up;
			r.pb.plane->ops->configure(r.pb.plane, &r.pb.config);
			break;
		default:
			r.pb.plane->ops->announce(r.pb.plane);
			break;
		}
	}
	run_done(&r);
}

/*
 * A live switch to a back-end that fails once it is given the rings: the old plane, itself a
 * vhost-user one, goes on from the same state.
 */
static void test_handover_back(void **state)
{
	static const struct script bad[] = {
		{.close_at = VHOST_USER_SET_VRING_NUM},
		{.close_at = VHOST_USER_SET_STATUS},
		{.hang_at = VHOST_USER_SET_VRING_ADDR},
		{.refuse = VHOST_USER_SET_FEATURES},
	};
	struct plane_params params = {.id = "net0", .queue_pairs = 1, .mac = pb_guest_mac};
	struct plane_start start = {.nqueues = 2};
	struct plane_handover ho;
	struct options opts;
	struct backend b;
	struct running r;
	struct error err;
	char text[128];

	run_with(&r, &(struct script){0}, 1);
	params.mem = r.pb.gm;
	params.loop = r.pb.loop;
	params.events = &r.pb.events;
	start.features = r.pb.features;
	start.queues = r.pb.queues;
	start.config = &r.pb.config;
	for (unsigned i = 0; i < ARRAY_SIZE(bad); i++) {
		backend_start(&b, &bad[i]);
		snprintf(text, sizeof(text), "socket=%s", b.sock);
		assert_int_equal(options_parse(&opts, text, &err), 0);
		ho = (struct plane_handover){
			.backend = "vhost-user",
			.opts = &opts,
			.params = &params,
			.need = r.pb.features,
			.start = &start,
			.plane = r.pb.plane,
		};
		assert_true(plane_handover(&ho, &err) < 0);
		assert_text(err, "stays on vhost-user");
		assert_ptr_equal(ho.plane, r.pb.plane);
		assert_false(ho.stopped);
		assert_true(ho.stop_ns > 0);
		assert_int_equal(r.b.met, 2 + i);
		options_free(&opts);
		backend_done(&b);
	}
	run_done(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_refused),		 cmocka_unit_test(test_nobody_there),
		cmocka_unit_test(test_hangs_at_stop),	 cmocka_unit_test(test_slow_at_stop),
		cmocka_unit_test(test_lies_about_base),	 cmocka_unit_test(test_comes_back),
		cmocka_unit_test(test_comes_back_wrong), cmocka_unit_test(test_ops_meanwhile),
		cmocka_unit_test(test_handover_back),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
