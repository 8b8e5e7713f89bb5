/* SPDX-License-Identifier: Apache-2.0 */
#include "plane_tap.h"

#include "dataplane/handover.h"
#include "dataplane/vhost_planes.h"
#include "hostnet/tap.h"

/*
 * Rings moved between planes under traffic: every frame arrives once and in order while the
 * interface stays the same, whoever moves it. Needs root; takes vhost-net into the round where the
 * host has it.
 */
#define TAP   "hotest0"
#define OTHER "hotest1"

static bool have_tap(void)
{
	struct error err = {0};

	if (tap_ops.probe(&err) == 0 && geteuid() == 0)
		return true;
	print_message("skip: %s\n", err.text[0] ? err.text : "needs root, to make interfaces");
	return false;
}

static bool have_vhost(void)
{
	struct error err = {0};

	return vhost_kernel_ops.probe(&err) == 0;
}

static int move(struct pb *pb, const char *backend, const char *text, struct plane_handover *ho,
		struct error *err)
{
	struct plane_params params = pb_params(pb);
	struct plane_start start = pb_plane_start(pb);
	struct options opts;
	int rc;

	assert_int_equal(options_parse(&opts, text, err), 0);
	*ho = (struct plane_handover){
		.backend = backend,
		.opts = &opts,
		.params = &params,
		.need = pb->features,
		.start = &start,
		.plane = pb->plane,
	};
	rc = plane_handover(ho, err);
	pb->plane = ho->plane;
	options_free(&opts);
	return rc;
}

/* Frames under way in both directions while it moves; then all must be there, in order. */
static void move_loaded(struct pb *pb, int host, uint64_t *seq, const char *backend,
			struct plane_handover *ho)
{
	uint64_t to_host = *seq, to_guest = *seq, s, end;
	struct error err;

	for (unsigned i = 0; i < 60; i++) {
		assert_true(pb_send(pb, 0, *seq));
		host_put(host, (*seq)++);
		if (i == 30 && move(pb, backend, "", ho, &err))
			fail_msg("%s", err.text);
	}
	for (end = clock_ns() + PATIENCE_NS; clock_ns() < end;) {
		while (host_get(host, &s))
			assert_int_equal(s, to_host++);
		while (pb_recv(pb, 0, &s))
			assert_int_equal(s, to_guest++);
		if (to_host == *seq && to_guest == *seq)
			break;
		pb_run(pb, 1);
	}
	assert_int_equal(to_host, *seq);
	assert_int_equal(to_guest, *seq);
}

static void round_trip(unsigned pairs, bool packed, unsigned times)
{
	const char *const backends[] = {"tap", "vhost-net"};
	unsigned choice = have_vhost() && !packed ? 2 : 1;
	uint64_t seq = 0, worst[2][2] = {{0}};
	struct plane_handover ho;
	unsigned seed = 1, from = 0;
	struct pb pb;
	int host;

	pb_init(&pb, pairs, 256, packed);
	pb_open(&pb, "tap", "ifname=" TAP);
	host = host_socket(TAP);
	exchange(&pb, host, &seq, 200);
	for (unsigned i = 0; i < times; i++) {
		unsigned to = (unsigned)rand_r(&seed) % choice;

		move_loaded(&pb, host, &seq, backends[to], &ho);
		assert_false(ho.moved);
		worst[from][to] = MAX(worst[from][to], ho.stop_ns + ho.start_ns);
		from = to;
	}
	for (unsigned i = 0; i < 4; i++)
		if (worst[i / 2][i % 2])
			print_message("%s to %s: longest gap %llu us\n", backends[i / 2],
				      backends[i % 2],
				      (unsigned long long)worst[i / 2][i % 2] / 1000);
	assert_int_equal(pb.broken, 0);
	close(host);
	pb_stop(&pb);
	pb_close(&pb);
	pb_done(&pb);
}

static void test_same_tap(void **state)
{
	if (!have_tap())
		skip();
	round_trip(1, false, 300);
}

static void test_same_tap_packed(void **state)
{
	if (!have_tap())
		skip();
	round_trip(1, true, 100);
}

/* Pairs beyond the active ones are detached from the interface, and stay so. */
static void test_same_tap_pairs(void **state)
{
	struct plane_handover ho;
	uint64_t seq = 0;
	struct pb pb;
	int host;

	if (!have_tap())
		skip();
	pb_init(&pb, 4, 256, false);
	pb.config.active_pairs = 1;
	pb_open(&pb, "tap", "ifname=" TAP);
	host = host_socket(TAP);
	for (unsigned i = 0; i < 20; i++)
		move_loaded(&pb, host, &seq, i % 2 || !have_vhost() ? "tap" : "vhost-net", &ho);
	close(host);
	pb_stop(&pb);
	pb_close(&pb);
	pb_done(&pb);
}

static void test_other_tap(void **state)
{
	struct plane_handover ho;
	uint64_t seq = 0, s = 0;
	struct error err;
	struct pb pb;
	int host, other;

	if (!have_tap())
		skip();
	pb_init(&pb, 1, 256, false);
	pb_open(&pb, "tap", "ifname=" TAP);
	host = host_socket(TAP);
	exchange(&pb, host, &seq, 100);
	assert_int_equal(move(&pb, "tap", "ifname=" OTHER, &ho, &err), 0);
	assert_true(ho.moved);
	other = host_socket(OTHER);
	exchange(&pb, other, &seq, 100);
	assert_false(host_get(host, &s));
	close(host);
	close(other);
	pb_stop(&pb);
	pb_close(&pb);
	pb_done(&pb);
}

/* What cannot be: the old plane has not so much as paused. */
static void test_refused(void **state)
{
	struct plane_handover ho;
	struct error err = {0};
	uint64_t seq = 0;
	struct pb pb;
	int host;

	if (!have_tap())
		skip();
	pb_init(&pb, 1, 256, false);
	pb_open(&pb, "tap", "ifname=" TAP);
	host = host_socket(TAP);
	assert_true(move(&pb, "vhost-user", "socket=/tmp/ho-nobody", &ho, &err) < 0);
	assert_text(err, "stays on inprocess");
	assert_text(err, "nobody listens");
	assert_true(move(&pb, "nonsense", "", &ho, &err) < 0);
	assert_text(err, "nonsense");
	assert_int_equal(ho.stop_ns, 0);
	features_set(&pb.features, VIRTIO_F_NOTIFICATION_DATA, true);
	assert_int_equal(move(&pb, "tap", "", &ho, &err), -ENOTSUP);
	assert_text(err, "VIRTIO_F_NOTIFICATION_DATA");
	features_set(&pb.features, VIRTIO_F_NOTIFICATION_DATA, false);
	exchange(&pb, host, &seq, 100);
	close(host);
	pb_stop(&pb);
	pb_close(&pb);
	pb_done(&pb);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_same_tap),       cmocka_unit_test(test_same_tap_packed),
		cmocka_unit_test(test_same_tap_pairs), cmocka_unit_test(test_other_tap),
		cmocka_unit_test(test_refused),
	};

	own_network();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
