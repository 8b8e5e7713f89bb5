/* SPDX-License-Identifier: Apache-2.0 */
#include "net_rig.h"

#include "device/nic_chip.h"
#include "hostnet/tap.h"

#include <errno.h>
#include <stdio.h>
#include <unistd.h>

/*
 * The NIC's part in a live switch: from a plane that records to the real in-process one, and what
 * holds when that cannot be, when the guest is not ready, and when the machine is paused.
 */
static struct virtio_features carried_by_none(void)
{
	struct virtio_features f = {{0}};

	features_set(&f, VIRTIO_F_VERSION_1, true);
	features_set(&f, VIRTIO_NET_F_STATUS, true);
	features_set(&f, VIRTIO_NET_F_CTRL_VQ, true);
	features_set(&f, VIRTIO_NET_F_GUEST_ANNOUNCE, true);
	features_set(&f, VIRTIO_NET_F_MAC, true);
	return f;
}

static void start_driver(struct rig *r)
{
	struct virtio_features f = carried_by_none();

	assert_true(gv_negotiate(&r->gv, &f));
	for (unsigned i = 0; i <= CTRL; i++)
		gv_queue(&r->gv, i, 0, 0xffff);
	gv_driver_ok(&r->gv);
}

static struct nic *nic_of(struct rig *r)
{
	return &r->net->nic;
}

struct seen {
	unsigned count[8];
	char text[256];
};

static void on_event(void *opaque, struct nic *nic, enum nic_event event, const char *text)
{
	struct seen *seen = opaque;

	seen->count[event]++;
	snprintf(seen->text, sizeof(seen->text), "%s", text);
}

static void test_moves(void **state)
{
	struct rig *r = rig_with("");
	struct nic_switch result;
	struct seen seen = {{0}};
	const struct nic_observer observer = {on_event, &seen};
	struct nic_state now;
	struct error err;

	nic_of(r)->observer = &observer;
	start_driver(r);
	assert_true(fake_plane.running);
	fake_plane.leave = (struct vring_state){0};
	assert_int_equal(nic_set_backend(nic_of(r), "backend=none", &result, &err), 0);
	assert_false(fake_plane.running);
	assert_false(fake_plane.open);
	assert_true(result.moved);
	assert_false(result.stopped);
	assert_string_equal(result.from.plane, "fake");
	assert_string_equal(result.to.plane, "inprocess");
	nic_get_state(nic_of(r), &now);
	assert_string_equal(now.backend, "none");
	assert_true(now.running);
	/* The driver is asked to announce itself, and everybody is told. */
	assert_true(config(r, VNET_CONFIG_STATUS, 2) & VNET_STATUS_ANNOUNCE);
	assert_int_equal(seen.count[NIC_EVENT_SWITCHED], 1);
	assert_int_equal(seen.count[NIC_EVENT_LINK], 0);
	assert_non_null(strstr(seen.text, "fake"));
	/* To where it is already: the same kind of thing once more. */
	assert_int_equal(nic_set_backend(nic_of(r), "backend=none", NULL, &err), 0);
	/* A reset and a new driver find it in order. */
	start_driver(r);
	nic_get_state(nic_of(r), &now);
	assert_true(now.running);
	rig_free(r);
}

/* Whatever is wrong with what was asked: the old plane has not so much as paused. */
static void test_refused(void **state)
{
	static const struct {
		const char *text;
		int error;
		const char *says;
	} bad[] = {
		{"", -EINVAL, "backend=NAME is missing"},
		{"backend=nome", -EINVAL, "none"},
		{"backend=none,ifname=tap0", -EINVAL, "ifname"},
		{"backend=vhost-user", -EINVAL, "socket"},
		{"backend=vhost-user,socket=/nonexistent/socket", 0, "stays on fake"},
		{"backend=vdpa,path=/nonexistent", 0, "stays on fake"},
	};
	struct rig *r = rig_with("planes=fake+inprocess+vhost-user+vdpa");

	start_driver(r);
	for (unsigned i = 0; i < ARRAY_SIZE(bad); i++) {
		struct nic_switch result;
		struct error err = {0};
		int ret = nic_set_backend(nic_of(r), bad[i].text, &result, &err);

		assert_true(ret < 0);
		if (bad[i].error)
			assert_int_equal(ret, bad[i].error);
		if (!strstr(err.text, bad[i].says))
			fail_msg("%s: %s", bad[i].text, err.text);
		assert_false(result.stopped);
		assert_string_equal(result.to.plane, "fake");
		assert_true(fake_plane.running);
		assert_int_equal(fake_plane.stops, 0);
	}
	rig_free(r);
}

static void test_planes(void **state)
{
	struct rig *r = rig_with("planes=fake+vhost-net");
	struct error err;

	start_driver(r);
	assert_int_equal(nic_set_backend(nic_of(r), "backend=none", NULL, &err), -EPERM);
	assert_non_null(strstr(err.text, "planes=fake+vhost-net+inprocess"));
	assert_true(fake_plane.running);
	rig_free(r);
	r = rig_with("planes=inprocess+fake");
	start_driver(r);
	assert_int_equal(nic_set_backend(nic_of(r), "backend=none", NULL, &err), 0);
	rig_free(r);
}

/* What the guest uses and the other cannot carry is named. */
static void test_missing(void **state)
{
	struct rig *r = rig_with("");
	struct virtio_features f = carried_by_none();
	struct error err;

	features_set(&f, VIRTIO_F_ACCESS_PLATFORM, true);
	features_set(&r->net->may_offer, VIRTIO_F_ACCESS_PLATFORM, true);
	virtio_net_offer(r->net);
	assert_true(gv_negotiate(&r->gv, &f));
	for (unsigned i = 0; i <= CTRL; i++)
		gv_queue(&r->gv, i, 0, 0xffff);
	gv_driver_ok(&r->gv);
	assert_int_equal(nic_set_backend(nic_of(r), "backend=none", NULL, &err), -ENOTSUP);
	assert_non_null(strstr(err.text, "VIRTIO_F_ACCESS_PLATFORM"));
	assert_null(strstr(err.text, "VIRTIO_NET_F_STATUS"));
	assert_true(fake_plane.running);
	assert_int_equal(fake_plane.stops, 0);
	rig_free(r);
}

/* The new plane does not start: the old one goes on from where it was. */
static void test_rolls_back(void **state)
{
	struct rig *r = rig_with("");
	struct nic_switch result;
	struct error err;

	start_driver(r);
	/* More in flight than the ring has: workers do not take that. */
	fake_plane.leave = (struct vring_state){.avail_idx = 5000, .used_idx = 5};
	assert_true(nic_set_backend(nic_of(r), "backend=none", &result, &err) < 0);
	assert_non_null(strstr(err.text, "stays on fake"));
	assert_true(fake_plane.running);
	assert_int_equal(fake_plane.stops, 1);
	assert_int_equal(fake_plane.starts, 2);
	assert_int_equal(fake_plane.queues[1].state.avail_idx, 5000);
	assert_int_equal(fake_plane.queues[1].state.used_idx, 5);
	assert_false(result.stopped);
	assert_false(result.moved);
	assert_false(gv_status(&r->gv) & VIRTIO_STATUS_NEEDS_RESET);
	/* Neither starts: that is for the driver to know, and a reset mends it. */
	fake_plane.start_result = -EIO;
	assert_true(nic_set_backend(nic_of(r), "backend=none", &result, &err) < 0);
	assert_true(result.stopped);
	assert_true(gv_status(&r->gv) & VIRTIO_STATUS_NEEDS_RESET);
	assert_false(fake_plane.running);
	fake_plane.start_result = 0;
	start_driver(r);
	assert_true(fake_plane.running);
	rig_free(r);
}

static void test_before_driver(void **state)
{
	struct rig *r = rig_with("");
	struct nic_state now;
	struct error err;

	/* What is offered must still be carried, since the driver may yet choose it. */
	features_set(&r->net->may_offer, VIRTIO_F_ACCESS_PLATFORM, true);
	virtio_net_offer(r->net);
	gv_put(&r->gv, VPCI_COMMON_STATUS, 1, VIRTIO_STATUS_ACKNOWLEDGE);
	assert_int_equal(nic_set_backend(nic_of(r), "backend=none", NULL, &err), -ENOTSUP);
	/* Without a driver, the next one is simply offered what there is. */
	gv_put(&r->gv, VPCI_COMMON_STATUS, 1, 0);
	assert_true(offered(r, VIRTIO_F_ACCESS_PLATFORM));
	assert_int_equal(nic_set_backend(nic_of(r), "backend=none", NULL, &err), 0);
	assert_int_equal(fake_plane.starts, 0);
	assert_false(offered(r, VIRTIO_F_ACCESS_PLATFORM));
	nic_get_state(nic_of(r), &now);
	assert_false(now.running);
	start_driver(r);
	nic_get_state(nic_of(r), &now);
	assert_true(now.running);
	rig_free(r);
}

static void test_paused(void **state)
{
	struct rig *r = rig_with("");
	struct nic_state now;
	struct error err;

	start_driver(r);
	fake_plane.leave = (struct vring_state){0};
	virtio_pause(&r->net->vdev, true);
	assert_int_equal(fake_plane.stops, 1);
	assert_int_equal(nic_set_backend(nic_of(r), "backend=none", NULL, &err), 0);
	assert_int_equal(fake_plane.starts, 1);
	nic_get_state(nic_of(r), &now);
	assert_false(now.running);
	virtio_pause(&r->net->vdev, false);
	nic_get_state(nic_of(r), &now);
	assert_true(now.running);
	assert_false(gv_status(&r->gv) & VIRTIO_STATUS_NEEDS_RESET);
	rig_free(r);
}

/* A plane that is being left says something: a second request from there is turned away. */
static int second_error;

static void ask_again(void *opaque, struct nic *nic, enum nic_event event, const char *text)
{
	struct error err;

	if (event == NIC_EVENT_QUEUE_BROKEN)
		second_error = nic_set_backend(nic, "backend=none", NULL, &err);
}

static void test_second(void **state)
{
	const struct nic_observer observer = {ask_again, NULL};
	struct rig *r = rig_with("");
	struct nic_state now;
	struct error err;

	nic_of(r)->observer = &observer;
	start_driver(r);
	fake_plane.break_at_stop = true;
	fake_plane.leave = (struct vring_state){0};
	assert_int_equal(nic_set_backend(nic_of(r), "backend=none", NULL, &err), 0);
	assert_int_equal(second_error, -EBUSY);
	nic_get_state(nic_of(r), &now);
	assert_string_equal(now.plane, "inprocess");
	rig_free(r);
}

/* Hops: those from the guest in their order, then those to it; sums that agree. */
struct walk {
	char order[256];
	unsigned hops;
};

static void on_hop(void *arg, const struct nic_hop *hop)
{
	struct walk *walk = arg;
	uint64_t drops = 0;

	walk->hops++;
	strcat(walk->order, hop->direction == NIC_TX ? "tx " : "rx ");
	strcat(strcat(walk->order, hop->name), ",");
	assert_non_null(hop->what);
	for (unsigned i = 0; i < hop->ndrops; i++)
		drops += hop->drops[i].count;
	if (hop->counted)
		assert_int_equal(hop->frames_in, hop->frames_out + drops);
}

static void test_hops(void **state)
{
	struct rig *r = rig_with("queues=2");
	struct walk walk = {0};
	struct error err;

	assert_int_equal(nic_set_backend(nic_of(r), "backend=none", NULL, &err), 0);
	nic_hops(nic_of(r), on_hop, &walk);
	assert_string_equal(walk.order, "tx ring,tx plane,tx backend,rx backend,rx plane,rx ring,"
					"tx ring,tx plane,tx backend,rx backend,rx plane,rx ring,");
	rig_free(r);
}

static void count_tx(void *arg, const char *name, uint64_t value)
{
	if (!strcmp(name, "tx0_frames_in"))
		*(uint64_t *)arg = value;
}

/* What the old plane counted stays counted. */
static void test_past(void **state)
{
	struct rig *r = rig_with("");
	uint64_t frames = 0;
	struct error err;

	start_driver(r);
	fake_plane.leave = (struct vring_state){0};
	assert_int_equal(nic_set_backend(nic_of(r), "backend=none", NULL, &err), 0);
	nic_of(r)->nic_ops->counters(nic_of(r), count_tx, &frames);
	assert_int_equal(frames, 101);
	rig_free(r);
}

/* Nothing is offered that a plane in planes= could not carry; what is asked for is. */
static void test_offer(void **state)
{
	struct rig *r = rig_with("queues=2,planes=fake+inprocess");

	assert_true(offered(r, VIRTIO_NET_F_NOTF_COAL));
	assert_true(offered(r, VIRTIO_NET_F_RSS));
	rig_free(r);
	r = rig_with("queues=2,planes=fake+vhost-user");
	assert_false(offered(r, VIRTIO_NET_F_NOTF_COAL));
	assert_false(offered(r, VIRTIO_NET_F_RSS));
	assert_false(offered(r, VIRTIO_NET_F_HOST_USO));
	assert_true(offered(r, VIRTIO_NET_F_HOST_TSO6));
	assert_true(offered(r, VIRTIO_NET_F_GUEST_USO6));
	assert_true(offered(r, VIRTIO_NET_F_CTRL_GUEST_OFFLOADS));
	assert_true(offered(r, VIRTIO_NET_F_MQ));
	assert_true(offered(r, VIRTIO_F_RING_RESET));
	rig_free(r);
	r = rig_with("queues=2,rss=on,planes=fake+vhost-user");
	assert_false(offered(r, VIRTIO_NET_F_RSS));
	rig_free(r);
}

/* A capture belongs to a NIC, whose planes it keeps from changing; without one, nothing to end. */
static void test_capture(void **state)
{
	struct rig *r = rig_with("");
	struct nic_capture what = {.path = "/dev/null", .fd = -1};
	struct nic_capture_stats stats;
	char path[] = "/tmp/capture-XXXXXX";
	int fd = mkstemp(path);
	struct nic_state now;
	struct error err;

	assert_true(fd >= 0);
	close(fd);
	start_driver(r);
	assert_int_equal(nic_capture_stop(nic_of(r), &stats, &err), -ENOENT);
	assert_int_equal(nic_capture_start(nic_of(r), &what, &err), -EINVAL);
	what.path = path;
	fake_plane.memory_result = -ENOSPC;
	assert_int_equal(nic_capture_start(nic_of(r), &what, &err), -ENOSPC);
	assert_true(fake_plane.running);
	assert_ptr_equal(fake_plane.mem, r->net->vdev.mem);
	fake_plane.leave = (struct vring_state){0};
	assert_int_equal(nic_set_backend(nic_of(r), "backend=none", NULL, &err), 0);
	assert_int_equal(nic_capture_start(nic_of(r), &what, &err), 0);
	nic_get_state(nic_of(r), &now);
	assert_true(now.capturing);
	assert_int_equal(nic_capture_start(nic_of(r), &what, &err), -EBUSY);
	assert_int_equal(nic_set_backend(nic_of(r), "backend=none", NULL, &err), -EBUSY);
	nic_capture_get_stats(nic_of(r), &stats);
	assert_false(stats.moved);
	assert_int_equal(nic_capture_stop(nic_of(r), &stats, &err), 0);
	assert_int_equal(stats.lost, 0);
	/* One that is running when the NIC goes ends with it. */
	assert_int_equal(nic_capture_start(nic_of(r), &what, &err), 0);
	rig_free(r);
	unlink(path);
}

static void plane_is(struct rig *r, const char *name)
{
	struct nic_state now;

	nic_get_state(nic_of(r), &now);
	assert_string_equal(now.plane, name);
}

/* Whether the plane has the guest's rings. */
static bool guests_rings(struct rig *r)
{
	return fake_plane.queues[1].cfg.desc == r->net->pq[1].cfg.desc &&
	       fake_plane.queues[1].kick_fd == r->net->pq[1].kick_fd;
}

static bool relays_rings(struct rig *r)
{
	const struct vring_config *cfg = &fake_plane.queues[1].cfg;

	return !guests_rings(r) && cfg->size == r->net->pq[1].cfg.size &&
	       mem_find(guest_mem_table(fake_plane.mem), cfg->desc, cfg->size * 16) &&
	       !mem_find(guest_mem_table(r->net->vdev.mem), cfg->desc, 1);
}

/* The capture's plane while it lasts: what it shows, and what goes through it. */
static void use_relay(struct rig *r)
{
	struct walk walk = {0};
	struct error err;

	plane_is(r, "relay");
	assert_true(fake_plane.running && relays_rings(r));
	nic_hops(nic_of(r), on_hop, &walk);
	assert_string_equal(walk.order, "tx ring,tx plane,tx backend,rx backend,rx plane,rx ring,"
					"tx ring,tx plane,tx backend,rx backend,rx plane,rx ring,");
	assert_int_equal(nic_set_backend(nic_of(r), "backend=none", NULL, &err), -EBUSY);
	assert_int_equal(nic_set_link(nic_of(r), false, &err), 0);
	assert_false(fake_plane.config.link_up);
	assert_int_equal(nic_set_link(nic_of(r), true, &err), 0);
	gv_put(&r->gv, VPCI_COMMON_STATUS, 1, 0);
	assert_false(fake_plane.running);
	start_driver(r);
	assert_true(fake_plane.running && relays_rings(r));
	plane_is(r, "relay");
}

/* On a plane that sees no frames, workers relay to it meanwhile. */
static void test_capture_relayed(void **state)
{
	struct rig *r = rig_with("queues=2");
	struct nic_capture what = {.fd = -1};
	struct nic_capture_stats stats = {0};
	char path[] = "/tmp/capture-XXXXXX";
	struct error err = {0};

	what.path = path;
	close(mkstemp(path));
	start_driver(r);
	fake_plane.leave = (struct vring_state){0};
	/* It does not start on other rings: it goes on with those it had. */
	fake_plane.lost_once = true;
	assert_int_equal(nic_capture_start(nic_of(r), &what, &err), -ENOTCONN);
	plane_is(r, "fake");
	assert_true(fake_plane.running && guests_rings(r));
	assert_ptr_equal(fake_plane.mem, r->net->vdev.mem);

	assert_int_equal(nic_capture_start(nic_of(r), &what, &err), 0);
	use_relay(r);
	/* Its back-end goes away at the very end. */
	fake_plane.lost_once = true;
	assert_int_equal(nic_capture_stop(nic_of(r), &stats, &err), 0);
	assert_true(stats.moved);
	plane_is(r, "fake");
	assert_true(fake_plane.running && guests_rings(r));
	assert_ptr_equal(fake_plane.mem, r->net->vdev.mem);

	/* While the driver is away; and there when the NIC goes. */
	gv_put(&r->gv, VPCI_COMMON_STATUS, 1, 0);
	assert_int_equal(nic_capture_start(nic_of(r), &what, &err), 0);
	plane_is(r, "relay");
	assert_false(fake_plane.running);
	start_driver(r);
	assert_true(fake_plane.running && relays_rings(r));
	rig_free(r);
	assert_false(fake_plane.open);
	unlink(path);
}

/* Where there is no vhost, the same TAP is served in this process, if planes= permits. */
static void test_falls_back(void **state)
{
	const char *wanted = "backend=vhost-net,ifname=fbtest0,planes=vhost-net+inprocess";
	struct fake_host *h = calloc(1, sizeof(*h));
	struct error err = {0};
	struct nic_state now;
	struct nic *nic;

	fake_host_init(h);
	if (access("/dev/vhost-net", F_OK) == 0 || tap_ops.probe(&err) || geteuid() != 0) {
		print_message("skip: needs root, a TAP, and no /dev/vhost-net\n");
		fake_host_fini(h);
		free(h);
		skip();
	}
	assert_true(nic_create("backend=vhost-net,ifname=fbtest0", 0, &h->host, h->mem,
			       h->host.loop, &nic, &err) < 0);
	assert_non_null(strstr(err.text, "/dev/vhost-net"));
	assert_int_equal(nic_create(wanted, 0, &h->host, h->mem, h->host.loop, &nic, &err), 0);
	nic_get_state(nic, &now);
	assert_string_equal(now.plane, "inprocess");
	assert_string_equal(now.backend, "tap");
	assert_string_equal(now.attachment, "fbtest0");
	nic->pci.ops->destroy(&nic->pci);
	fake_host_fini(h);
	free(h);
}

static void set_up(const char *ifname, bool up)
{
	char command[64];

	snprintf(command, sizeof(command), "ip link set %s %s", ifname, up ? "up" : "down");
	assert_int_equal(system(command), 0);
}

static bool becomes(struct fake_host *h, struct nic *nic, bool carrier)
{
	uint64_t end = clock_ns() + PATIENCE_NS;
	struct nic_state now;

	do {
		loop_run_once(h->host.loop, 100);
		nic_get_state(nic, &now);
	} while (now.carrier != carrier && clock_ns() < end);
	return now.carrier == carrier;
}

/* The guest's link follows the interface behind it, on whichever plane. */
static void test_carrier(void **state)
{
	const char *const how[] = {"backend=tap,ifname=cartest0",
				   "backend=vhost-net,ifname=cartest0"};
	struct fake_host *h = calloc(1, sizeof(*h));
	struct seen seen = {{0}};
	const struct nic_observer observer = {on_event, &seen};
	struct error err = {0};
	struct nic *nic;

	fake_host_init(h);
	for (unsigned i = 0; i < ARRAY_SIZE(how) && geteuid() == 0 && !tap_ops.probe(&err); i++) {
		if (i && access("/dev/vhost-net", F_OK))
			break;
		assert_int_equal(nic_create(how[i], 0, &h->host, h->mem, h->host.loop, &nic, &err),
				 0);
		nic->observer = &observer;
		seen.count[NIC_EVENT_LINK] = 0;
		assert_true(becomes(h, nic, true));
		set_up("cartest0", false);
		assert_true(becomes(h, nic, false));
		set_up("cartest0", true);
		assert_true(becomes(h, nic, true));
		assert_int_equal(seen.count[NIC_EVENT_LINK], 2);
		nic->pci.ops->destroy(&nic->pci);
	}
	fake_host_fini(h);
	free(h);
}

/* Emulated chips change their frame back-end, and keep it when they cannot have the other. */
static void test_chips(void **state)
{
	struct fake_host *h = calloc(1, sizeof(*h));
	bool taps = geteuid() == 0 && tap_ops.probe(NULL) == 0;

	fake_host_init(h);
	for (unsigned i = 1; nic_table[i]; i++) {
		struct nic_switch result;
		struct error err = {0};
		struct walk walk = {0};
		struct nic *nic;
		char text[64];

		if (nic_table[i]->set_backend != nic_chip_set_backend)
			continue;
		snprintf(text, sizeof(text), "backend=none,model=%s", nic_table[i]->name);
		assert_int_equal(nic_create(text, 0, &h->host, h->mem, h->host.loop, &nic, &err),
				 0);
		assert_int_equal(nic_set_backend(nic, "backend=user", &result, &err), 0);
		assert_string_equal(result.from.backend, "none");
		assert_string_equal(result.to.backend, "user");
		assert_true(result.moved);
		assert_int_equal(
			nic_set_backend(nic, "backend=vhost-user,socket=/x", &result, &err),
			-EINVAL);
		assert_string_equal(result.to.backend, "user");
		for (unsigned k = 0; k < 20 && taps; k++) {
			assert_int_equal(
				nic_set_backend(nic, "backend=tap,ifname=chiptest0", &result, &err),
				0);
			assert_string_equal(result.to.attachment, "chiptest0");
			assert_int_equal(result.moved, k == 0);
		}
		nic_hops(nic, on_hop, &walk);
		assert_string_equal(walk.order, "tx chip,tx backend,rx backend,rx chip,");
		assert_int_equal(nic_set_link(nic, false, &err), 0);
		nic_get_state(nic, &result.to);
		assert_false(result.to.admin_up);
		nic->pci.ops->destroy(&nic->pci);
	}
	fake_host_fini(h);
	free(h);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_moves),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_planes),
		cmocka_unit_test(test_missing),
		cmocka_unit_test(test_rolls_back),
		cmocka_unit_test(test_before_driver),
		cmocka_unit_test(test_paused),
		cmocka_unit_test(test_second),
		cmocka_unit_test(test_hops),
		cmocka_unit_test(test_past),
		cmocka_unit_test(test_offer),
		cmocka_unit_test(test_capture),
		cmocka_unit_test(test_capture_relayed),
		cmocka_unit_test(test_carrier),
		cmocka_unit_test(test_chips),
		cmocka_unit_test(test_falls_back),
	};

	own_network();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
