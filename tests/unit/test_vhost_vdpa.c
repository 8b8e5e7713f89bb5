/* SPDX-License-Identifier: Apache-2.0 */
#include "plane_bed.h"
#include "vduse_net.h"

#include "dataplane/vhost_planes.h"

/*
 * The vDPA plane on a VDUSE device of this process, with a driver of our own in front. Where the
 * host has no VDUSE, only what must be refused is tested.
 */
static bool have_vduse(struct vduse_net *v, char path[64])
{
	struct error err = {0};

	int ret = vduse_start(v, -1, path, &err);

	if (ret && ret != -ENODEV)
		fail_msg("%s", err.text);
	if (ret)
		print_message("skip: %s\n", err.text);
	return ret == 0;
}

/* n frames there and back, each once and in order. */
static void there_and_back(struct pb *pb, uint64_t *seq, unsigned n)
{
	uint64_t sent = *seq, got = *seq, s, end = clock_ns() + PATIENCE_NS;

	while (got < *seq + n && clock_ns() < end) {
		while (sent < *seq + n && sent - got < 64 && pb_send(pb, 0, sent))
			sent++;
		while (pb_recv(pb, 0, &s))
			assert_int_equal(s, got++);
		loop_run_once(pb->loop, 0);
	}
	assert_int_equal(got, *seq + n);
	*seq += n;
}

static void session(bool packed)
{
	struct vduse_net v;
	char path[64], opts[80];
	uint64_t seq = 0;
	struct error err;
	struct pb pb;

	if (!have_vduse(&v, path))
		skip();
	snprintf(opts, sizeof(opts), "path=%s", path);
	pb_init(&pb, 2, 256, packed);
	assert_int_equal(pb_open_plane(&pb, "vdpa", opts, &pb.plane, &err), -ENOTSUP);
	assert_text(err, "one queue pair of a vDPA device can be used");
	pb.plane = NULL;
	pb_done(&pb);
	pb_init(&pb, 1, 256, packed);
	pb_open(&pb, "vdpa", opts);
	assert_int_equal(pb.plane->mtu, 1500);
	assert_true(pb.plane->link_up);
	there_and_back(&pb, &seq, 5000);
	for (unsigned i = 0; i < 50; i++) {
		there_and_back(&pb, &seq, 100);
		pb_stop(&pb);
		assert_int_equal(pb_start(&pb, pb.plane, &err), 0);
	}
	for (unsigned i = 0; i < 5; i++) {
		assert_int_equal(guest_mem_add_ram(pb.gm, "more", 4 * GIB, 2 * MIB, NULL, &err), 0);
		there_and_back(&pb, &seq, 100);
		assert_int_equal(guest_mem_remove_ram(pb.gm, 4 * GIB, &err), 0);
		there_and_back(&pb, &seq, 100);
	}
	assert_int_equal(pb.broken, 0);
	assert_true(v.frames >= seq);
	pb_stop(&pb);
	pb_close(&pb);
	pb_done(&pb);
	vduse_end(&v);
}

static void test_split(void **state)
{
	session(false);
}

static void test_packed(void **state)
{
	session(true);
}

static void test_refused(void **state)
{
	struct plane *plane;
	struct error err;
	struct pb pb;

	pb_init(&pb, 1, 256, false);
	assert_true(pb_open_plane(&pb, "vdpa", "", &plane, &err) < 0);
	assert_text(err, "path=/dev/vhost-vdpa-N");
	assert_true(pb_open_plane(&pb, "vdpa", "path=/dev/vhost-vdpa-99", &plane, &err) < 0);
	assert_text(err, "/dev/vhost-vdpa-99");
	assert_true(pb_open_plane(&pb, "vdpa", "path=/dev/null", &plane, &err) < 0);
	assert_text(err, "/dev/null");
	if (vhost_vdpa_ops.probe(&err))
		assert_text(err, "modprobe");
	pb_done(&pb);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_split),
		cmocka_unit_test(test_packed),
		cmocka_unit_test(test_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
