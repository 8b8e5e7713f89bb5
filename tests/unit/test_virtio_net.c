/* SPDX-License-Identifier: Apache-2.0 */
#include "net_rig.h"
#include "net/offload.h"

#include <errno.h>
#include <linux/pci_regs.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>

/*
 * Offers.
 */

static const struct {
	uint8_t bit;
	const char *off; /* the option that takes it away */
} all_features[] = {
	{VIRTIO_NET_F_CSUM, "csum=off"},
	{VIRTIO_NET_F_GUEST_CSUM, "guest-csum=off"},
	{VIRTIO_NET_F_GUEST_TSO4, "guest-tso=off"},
	{VIRTIO_NET_F_GUEST_TSO6, "guest-tso=off"},
	{VIRTIO_NET_F_GUEST_ECN, "ecn=off"},
	{VIRTIO_NET_F_GUEST_UFO, "ufo=off"},
	{VIRTIO_NET_F_GUEST_USO4, "uso=off"},
	{VIRTIO_NET_F_GUEST_USO6, "uso=off"},
	{VIRTIO_NET_F_HOST_TSO4, "tso=off"},
	{VIRTIO_NET_F_HOST_TSO6, "tso=off"},
	{VIRTIO_NET_F_HOST_ECN, "ecn=off"},
	{VIRTIO_NET_F_HOST_UFO, "ufo=off"},
	{VIRTIO_NET_F_HOST_USO, "uso=off"},
	{VIRTIO_NET_F_MRG_RXBUF, "mrg-rxbuf=off"},
	{VIRTIO_NET_F_MTU, NULL},
	{VIRTIO_NET_F_MAC, NULL},
	{VIRTIO_NET_F_STATUS, "status=off"},
	{VIRTIO_NET_F_SPEED_DUPLEX, NULL},
	{VIRTIO_NET_F_CTRL_VQ, "ctrl-vq=off"},
	{VIRTIO_NET_F_CTRL_RX, "ctrl-rx=off"},
	{VIRTIO_NET_F_CTRL_RX_EXTRA, "ctrl-rx=off"},
	{VIRTIO_NET_F_CTRL_VLAN, "ctrl-vlan=off"},
	{VIRTIO_NET_F_CTRL_MAC_ADDR, "ctrl-mac=off"},
	{VIRTIO_NET_F_MQ, "mq=off"},
	{VIRTIO_NET_F_GUEST_ANNOUNCE, "announce=off"},
	{VIRTIO_NET_F_CTRL_GUEST_OFFLOADS, "guest-offloads=off"},
	{VIRTIO_NET_F_NOTF_COAL, "coalesce=off"},
	{VIRTIO_NET_F_RSS, "rss=off"},
	{VIRTIO_NET_F_HASH_REPORT, "hash-report=off"},
	{VIRTIO_RING_F_INDIRECT_DESC, "indirect=off"},
	{VIRTIO_RING_F_EVENT_IDX, "event-idx=off"},
	{VIRTIO_F_RING_PACKED, "packed=off"},
	{VIRTIO_F_IN_ORDER, "in-order=off"},
	{VIRTIO_F_RING_RESET, "ring-reset=off"},
	{VIRTIO_F_VERSION_1, NULL},
};

#define EVERYTHING "queues=4,mtu=1400,packed=on,hash-report=on"

static void test_offers(void **state)
{
	struct rig *r = rig_with(EVERYTHING);
	struct virtio_features f = gv_offered(&r->gv);

	for (unsigned i = 0; i < ARRAY_SIZE(all_features); i++) {
		assert_true(features_has(&f, all_features[i].bit));
		features_set(&f, all_features[i].bit, false);
	}
	assert_true(!f.w[0] && !f.w[1]); /* and nothing else */
	assert_true(gv_negotiate_all(&r->gv));
	rig_free(r);
}

/* Each is gone without its option, or when the plane cannot carry it. */
static void test_takes_away(void **state)
{
	for (unsigned i = 0; i < ARRAY_SIZE(all_features); i++) {
		char text[128] = "queues=4,mtu=1400";
		struct rig *r;

		if (!all_features[i].off)
			continue;
		if (all_features[i].bit != VIRTIO_F_RING_PACKED)
			strcat(text, ",packed=on");
		if (all_features[i].bit != VIRTIO_NET_F_HASH_REPORT)
			strcat(text, ",hash-report=on");
		strcat(strcat(text, ","), all_features[i].off);
		r = rig_with(text);
		assert_false(offered(r, all_features[i].bit));
		assert_true(gv_negotiate_all(&r->gv));
		rig_free(r);
	}
	for (unsigned i = 0; i < ARRAY_SIZE(all_features); i++) {
		struct rig *r;
		struct error err;

		if (!all_features[i].off)
			continue;
		r = rig_new();
		features_set(&fake_plane.features, all_features[i].bit, false);
		assert_int_equal(make(r, EVERYTHING, &err), 0);
		assert_false(features_has(&r->net->vdev.offered, all_features[i].bit));
		assert_int_equal(pci_bus_add(r->h.pci, &r->net->nic.pci, 1, 0, &err), 0);
		rig_free(r);
	}
}

static void test_dependencies(void **state)
{
	static const struct {
		uint8_t with, without;
	} bad[] = {
		{VIRTIO_NET_F_GUEST_TSO4, VIRTIO_NET_F_GUEST_CSUM},
		{VIRTIO_NET_F_GUEST_TSO6, VIRTIO_NET_F_GUEST_CSUM},
		{VIRTIO_NET_F_GUEST_UFO, VIRTIO_NET_F_GUEST_CSUM},
		{VIRTIO_NET_F_GUEST_USO4, VIRTIO_NET_F_GUEST_CSUM},
		{VIRTIO_NET_F_GUEST_USO6, VIRTIO_NET_F_GUEST_CSUM},
		{VIRTIO_NET_F_GUEST_ECN, VIRTIO_NET_F_GUEST_TSO4},
		{VIRTIO_NET_F_HOST_TSO4, VIRTIO_NET_F_CSUM},
		{VIRTIO_NET_F_HOST_TSO6, VIRTIO_NET_F_CSUM},
		{VIRTIO_NET_F_HOST_ECN, VIRTIO_NET_F_HOST_TSO4},
		{VIRTIO_NET_F_HOST_UFO, VIRTIO_NET_F_CSUM},
		{VIRTIO_NET_F_HOST_USO, VIRTIO_NET_F_CSUM},
		{VIRTIO_NET_F_CTRL_RX, VIRTIO_NET_F_CTRL_VQ},
		{VIRTIO_NET_F_CTRL_VLAN, VIRTIO_NET_F_CTRL_VQ},
		{VIRTIO_NET_F_GUEST_ANNOUNCE, VIRTIO_NET_F_CTRL_VQ},
		{VIRTIO_NET_F_MQ, VIRTIO_NET_F_CTRL_VQ},
		{VIRTIO_NET_F_CTRL_MAC_ADDR, VIRTIO_NET_F_CTRL_VQ},
		{VIRTIO_NET_F_CTRL_GUEST_OFFLOADS, VIRTIO_NET_F_CTRL_VQ},
		{VIRTIO_NET_F_NOTF_COAL, VIRTIO_NET_F_CTRL_VQ},
		{VIRTIO_NET_F_RSS, VIRTIO_NET_F_CTRL_VQ},
	};
	struct rig *r = rig_with(EVERYTHING);

	for (unsigned i = 0; i < ARRAY_SIZE(bad); i++) {
		struct virtio_features f = {0};

		features_set(&f, VIRTIO_F_VERSION_1, true);
		assert_true(gv_negotiate(&r->gv, &f));
		features_set(&f, bad[i].with, true);
		assert_false(gv_negotiate(&r->gv, &f));
		features_set(&f, bad[i].without, true);
		/* What is needed may itself need something. */
		features_set(&f, VIRTIO_NET_F_CSUM, true);
		features_set(&f, VIRTIO_NET_F_GUEST_CSUM, true);
		assert_true(gv_negotiate(&r->gv, &f));
	}
	rig_free(r);
	/* ECN goes with either TSO. */
	r = rig_with("csum=off,guest-csum=off");
	assert_false(offered(r, VIRTIO_NET_F_HOST_TSO4));
	assert_false(offered(r, VIRTIO_NET_F_HOST_ECN));
	assert_false(offered(r, VIRTIO_NET_F_GUEST_ECN));
	rig_free(r);
}

static void test_config_space(void **state)
{
	struct rig *r = rig_with("queues=4,mtu=1400,speed=2500");
	uint8_t got[6];

	for (unsigned i = 0; i < 6; i++)
		got[i] = (uint8_t)config(r, i, 1);
	assert_memory_equal(got, mac, 6);
	assert_int_equal(config(r, VNET_CONFIG_STATUS, 2), VNET_STATUS_LINK_UP);
	assert_int_equal(config(r, VNET_CONFIG_MAX_PAIRS, 2), 4);
	assert_int_equal(config(r, VNET_CONFIG_MTU, 2), 1400);
	assert_int_equal(config(r, VNET_CONFIG_SPEED, 4), 2500);
	assert_int_equal(config(r, VNET_CONFIG_DUPLEX, 1), 1);
	assert_int_equal(config(r, VNET_CONFIG_RSS_KEY, 1), RSS_KEY_MAX);
	assert_int_equal(config(r, VNET_CONFIG_RSS_TABLE, 2), RSS_TABLE_MAX);
	assert_int_equal(config(r, VNET_CONFIG_HASH_TYPES, 4), RSS_ALL);
	/* The driver cannot write it. */
	fake_write(&r->h, r->gv.device, 0, 4);
	assert_int_equal(config(r, 0, 1), mac[0]);
	assert_int_equal(gv_get(&r->gv, VPCI_COMMON_NUMQ, 2), 9);
	rig_free(r);
	/* The attachment point's MTU, unless it is what a guest assumes anyway. */
	r = rig_with("");
	assert_false(offered(r, VIRTIO_NET_F_MTU));
	rig_free(r);
}

static void test_bad_options(void **state)
{
	static const struct {
		const char *text, *says;
	} bad[] = {
		{"queues=0", "queues"},
		{"queues=17", "16"},
		{"queue-size=100", "power of two"},
		{"queue-size=8", "queue-size"},
		{"queue-size=65536", "32768"},
		{"csum=maybe", "on or off"},
		{"planes=fake+nonsuch", "nonsuch"},
		{"planes=inprocess", "fake"},
		{"speed=fast", "speed"},
	};

	for (unsigned i = 0; i < ARRAY_SIZE(bad); i++) {
		struct rig *r = rig_new();
		struct error err = {0};

		assert_true(make(r, bad[i].text, &err) < 0);
		assert_text(err, bad[i].says);
		rig_free(r);
	}
}

/*
 * The plane.
 */

static void test_start_stop(void **state)
{
	struct rig *r = rig_with("queue-size=512,packed=off");
	const struct plane_queue *q = fake_plane.queues;

	go(r, 1, CTRL);
	assert_int_equal(fake_plane.pairs, 1);
	assert_int_equal(fake_plane.nqueues, 2);
	assert_true(q[0].enabled && q[1].enabled);
	assert_int_equal(q[0].cfg.size, 512);
	assert_true(q[0].cfg.event_idx && q[0].cfg.indirect && q[0].cfg.in_order);
	assert_false(q[0].cfg.packed);
	assert_int_equal(q[1].cfg.desc, r->gv.cfg[1].desc);
	assert_int_equal(q[1].cfg.driver, r->gv.cfg[1].driver);
	assert_int_equal(q[1].cfg.device, r->gv.cfg[1].device);
	assert_true(features_has(&fake_plane.acked, VIRTIO_NET_F_MRG_RXBUF));
	assert_int_equal(fake_plane.config.active_pairs, 1);
	assert_int_equal(fake_plane.config.guest_offloads, NET_OFFLOAD_CSUM | NET_OFFLOAD_GSO);
	assert_true(fake_plane.config.link_up);
	assert_true(fake_plane.config.filter.vlan_filter);
	/* A pause keeps where the rings stand; a reset does not. */
	fake_plane.leave = (struct vring_state){7, 9, false, true};
	virtio_pause(&r->net->vdev, true);
	virtio_pause(&r->net->vdev, false);
	assert_int_equal(fake_plane.starts, 2);
	assert_int_equal(q[0].state.avail_idx, 7);
	assert_int_equal(q[0].state.used_idx, 9);
	assert_false(q[0].state.avail_wrap);
	go(r, 1, CTRL);
	assert_int_equal(fake_plane.stops, 2);
	assert_int_equal(q[0].state.avail_idx, 0);
	assert_true(q[0].state.avail_wrap);
	/* The control queue goes on, too. */
	assert_int_equal(cmd(r, 0, 0, "\1", 1), 0);
	virtio_pause(&r->net->vdev, true);
	virtio_pause(&r->net->vdev, false);
	assert_int_equal(cmd(r, 0, 0, "\0", 1), 0);
	assert_false(fake_plane.config.filter.promisc);
	rig_free(r);
}

static void test_packed(void **state)
{
	struct rig *r = rig_with("packed=on");

	go(r, 1, CTRL);
	assert_true(fake_plane.queues[0].cfg.packed);
	assert_int_equal(cmd(r, 0, 1, "\1", 1), 0);
	virtio_pause(&r->net->vdev, true);
	virtio_pause(&r->net->vdev, false);
	for (unsigned i = 0; i < 200; i++)
		assert_int_equal(cmd(r, 0, 1, "\1", 1), 0);
	rig_free(r);
}

/* A driver that takes only what it must: no control queue, everything received. */
static void test_plain_driver(void **state)
{
	struct virtio_features f = {0};
	struct rig *r = rig_with("queues=2");

	features_set(&f, VIRTIO_F_VERSION_1, true);
	assert_true(gv_negotiate(&r->gv, &f));
	gv_queue(&r->gv, 0, 0, 0xffff);
	gv_queue(&r->gv, 1, 0, 0xffff);
	gv_queue(&r->gv, 2, 0, 0xffff); /* a control queue that nobody asked for */
	gv_queue(&r->gv, 3, 0, 0xffff);
	gv_driver_ok(&r->gv);
	assert_true(fake_plane.queues[0].enabled && fake_plane.queues[1].enabled);
	assert_false(fake_plane.queues[2].enabled || fake_plane.queues[3].enabled);
	assert_true(fake_plane.config.filter.promisc);
	assert_false(fake_plane.config.filter.vlan_filter);
	assert_int_equal(fake_plane.config.guest_offloads, 0);
	rig_free(r);
}

static void test_queue_reset(void **state)
{
	struct rig *r = rig_with("");

	go(r, 1, CTRL);
	gv_put(&r->gv, VPCI_COMMON_Q_SELECT, 2, 1);
	gv_put(&r->gv, VPCI_COMMON_Q_RESET, 2, 1);
	assert_false(fake_plane.queues[1].enabled);
	gv_queue(&r->gv, 1, 64, 0xffff);
	assert_true(fake_plane.queues[1].enabled);
	assert_int_equal(fake_plane.queues[1].cfg.size, 64);
	/* The control queue can be reset as well. */
	gv_put(&r->gv, VPCI_COMMON_Q_SELECT, 2, CTRL);
	gv_put(&r->gv, VPCI_COMMON_Q_RESET, 2, 1);
	gv_queue(&r->gv, CTRL, 16, 0xffff);
	assert_int_equal(cmd(r, 0, 0, "\1", 1), 0);
	/* A plane that cannot: it is restarted, with its state. */
	fake_plane.queue_result = -ENOTSUP;
	fake_plane.leave.used_idx = 5;
	gv_put(&r->gv, VPCI_COMMON_Q_SELECT, 2, 1);
	gv_put(&r->gv, VPCI_COMMON_Q_RESET, 2, 1);
	assert_int_equal(fake_plane.starts, 2);
	assert_int_equal(fake_plane.queues[0].state.used_idx, 5);
	assert_false(fake_plane.queues[1].enabled);
	gv_queue(&r->gv, 1, 0, 0xffff);
	assert_int_equal(fake_plane.starts, 3);
	assert_true(fake_plane.queues[1].enabled);
	assert_int_equal(fake_plane.queues[1].state.used_idx, 0);
	rig_free(r);
}

static void test_broken_queue(void **state)
{
	struct rig *r = rig_with("");

	gv_vector(&r->gv, 3, 0x33);
	go(r, 1, CTRL);
	gv_put(&r->gv, VPCI_COMMON_MSIX, 2, 3);
	fake_plane.events->queue_broken(fake_plane.events->opaque, 0, VRING_BAD_HEAD);
	assert_true(gv_status(&r->gv) & VIRTIO_STATUS_NEEDS_RESET);
	assert_int_equal(fake_sent(&r->h, 0x33), 1);
	assert_true(fake_plane.running); /* the others are not disturbed */
	go(r, 1, CTRL);
	assert_false(gv_status(&r->gv) & VIRTIO_STATUS_NEEDS_RESET);
	rig_free(r);
}

static void test_start_fails(void **state)
{
	struct rig *r = rig_with("");

	fake_plane.start_result = -EIO;
	assert_true(gv_negotiate_all(&r->gv));
	gv_driver_ok(&r->gv);
	assert_true(gv_status(&r->gv) & VIRTIO_STATUS_NEEDS_RESET);
	fake_plane.start_result = 0;
	go(r, 1, CTRL);
	rig_free(r);
}

static void test_link(void **state)
{
	struct rig *r = rig_with("");
	struct nic *nic = &r->net->nic;

	gv_vector(&r->gv, 3, 0x33);
	go(r, 1, CTRL);
	gv_put(&r->gv, VPCI_COMMON_MSIX, 2, 3);
	assert_int_equal(nic->nic_ops->set_link(nic, false), 0);
	assert_int_equal(config(r, VNET_CONFIG_STATUS, 2), 0);
	assert_int_equal(fake_sent(&r->h, 0x33), 1);
	assert_false(fake_plane.config.link_up);
	assert_int_equal(nic->nic_ops->set_link(nic, true), 0);
	assert_int_equal(config(r, VNET_CONFIG_STATUS, 2),
			 VNET_STATUS_LINK_UP | VNET_STATUS_ANNOUNCE);
	assert_int_equal(fake_sent(&r->h, 0x33), 2);
	assert_true(fake_plane.config.link_up);
	assert_int_equal(cmd(r, 3, 0, NULL, 0), 0);
	assert_int_equal(config(r, VNET_CONFIG_STATUS, 2), VNET_STATUS_LINK_UP);
	assert_int_equal(fake_sent(&r->h, 0x33), 2);
	/* The other end's carrier counts as well. */
	fake_plane.events->link_changed(fake_plane.events->opaque, false);
	assert_int_equal(config(r, VNET_CONFIG_STATUS, 2), 0);
	assert_int_equal(nic->nic_ops->set_link(nic, true), 0);
	assert_int_equal(config(r, VNET_CONFIG_STATUS, 2), 0);
	fake_plane.events->link_changed(fake_plane.events->opaque, true);
	assert_true(config(r, VNET_CONFIG_STATUS, 2) & VNET_STATUS_LINK_UP);
	rig_free(r);
	/* Down before there is a driver. */
	r = rig_with("");
	r->net->nic.nic_ops->set_link(&r->net->nic, false);
	go(r, 1, CTRL);
	assert_false(fake_plane.config.link_up);
	assert_int_equal(config(r, VNET_CONFIG_STATUS, 2), 0);
	rig_free(r);
}

static void count(void *arg, const char *name, uint64_t value)
{
	if (!strcmp(name, "tx1_frames_in"))
		*(uint64_t *)arg = value;
}

static void test_counters(void **state)
{
	struct rig *r = rig_with("queues=2");
	uint64_t found = 0;

	r->net->nic.nic_ops->counters(&r->net->nic, count, &found);
	assert_int_equal(found, 103);
	rig_free(r);
}

/*
 * The control queue.
 */

static void test_rx_modes(void **state)
{
	struct rig *r = rig_with("");
	const struct rx_filter *f = &fake_plane.config.filter;
	const bool *flags[] = {&f->promisc, &f->allmulti, &f->alluni,
			       &f->nomulti, &f->nouni,	  &f->nobcast};

	go(r, 1, CTRL);
	for (uint8_t i = 0; i < ARRAY_SIZE(flags); i++) {
		assert_int_equal(cmd(r, 0, i, "\1", 1), 0);
		assert_true(*flags[i]);
		assert_int_equal(cmd(r, 0, i, "\0", 1), 0);
		assert_false(*flags[i]);
		assert_int_equal(cmd(r, 0, i, NULL, 0), 1);
		assert_int_equal(cmd(r, 0, i, "\1\1", 2), 1);
		assert_false(*flags[i]);
	}
	assert_int_equal(cmd(r, 0, 6, "\1", 1), 1);
	assert_int_equal(cmd(r, 0xff, 0, "\1", 1), 1);
	rig_free(r);
}

static unsigned mac_table(uint8_t *buf, unsigned uni, unsigned multi)
{
	unsigned at = 0;

	store_le32(buf, uni);
	at = 4;
	for (unsigned i = 0; i < uni; i++, at += 6)
		memcpy(buf + at, (uint8_t[]){2, 0, 0, 0, 0, (uint8_t)i}, 6);
	store_le32(buf + at, multi);
	at += 4;
	for (unsigned i = 0; i < multi; i++, at += 6)
		memcpy(buf + at, (uint8_t[]){3, 0, 0, 0, 0, (uint8_t)i}, 6);
	return at;
}

static void test_mac_table(void **state)
{
	struct rig *r = rig_with("");
	const struct rx_filter *f = &fake_plane.config.filter;
	static uint8_t buf[8192];
	unsigned len;

	go(r, 1, CTRL);
	len = mac_table(buf, 3, 5);
	assert_int_equal(cmd(r, 1, 0, buf, len), 0);
	assert_int_equal(f->uni_count, 3);
	assert_int_equal(f->multi_count, 5);
	assert_int_equal(f->macs[2][0], 2);
	assert_int_equal(f->macs[3][0], 3);
	assert_int_equal(f->macs[7][5], 4);
	/* Too long, too short, a lie about the count. */
	assert_int_equal(cmd(r, 1, 0, buf, len + 1), 1);
	assert_int_equal(cmd(r, 1, 0, buf, len - 1), 1);
	assert_int_equal(cmd(r, 1, 0, buf, 3), 1);
	store_le32(buf, 0xffffffff);
	assert_int_equal(cmd(r, 1, 0, buf, len), 1);
	store_le32(buf, 0x2aaaaaab); /* times 6 overflows */
	assert_int_equal(cmd(r, 1, 0, buf, len), 1);
	assert_int_equal(f->uni_count, 3);
	/* More than fit: all of that kind. */
	len = mac_table(buf, 10, 60);
	assert_int_equal(cmd(r, 1, 0, buf, len), 0);
	assert_int_equal(f->uni_count, 10);
	assert_int_equal(f->multi_count, 0);
	assert_true(f->mac_overflow_multi && !f->mac_overflow_uni);
	len = mac_table(buf, 65, 64);
	assert_int_equal(cmd(r, 1, 0, buf, len), 0);
	assert_true(!f->mac_overflow_multi && f->mac_overflow_uni);
	assert_int_equal(f->multi_count, 64);
	assert_int_equal(f->macs[63][5], 63);
	len = mac_table(buf, 0, 0);
	assert_int_equal(cmd(r, 1, 0, buf, len), 0);
	assert_true(!f->mac_overflow_multi && !f->mac_overflow_uni);
	rig_free(r);
}

static void test_mac_and_vlan(void **state)
{
	struct rig *r = rig_with("");
	const struct rx_filter *f = &fake_plane.config.filter;
	static const uint8_t other[7] = {2, 9, 9, 9, 9, 9};

	go(r, 1, CTRL);
	assert_int_equal(cmd(r, 1, 1, other, 6), 0);
	assert_memory_equal(f->mac, other, 6);
	assert_int_equal(config(r, 1, 1), 9);
	assert_int_equal(cmd(r, 1, 1, other, 7), 1);
	assert_int_equal(cmd(r, 1, 1, other, 5), 1);
	assert_int_equal(cmd(r, 2, 0, "\x64\0", 2), 0);
	assert_int_equal(f->vlans[100 / 8], 1 << 100 % 8);
	assert_int_equal(cmd(r, 2, 0, "\xff\x0f", 2), 0);
	assert_int_equal(f->vlans[511], 0x80);
	assert_int_equal(cmd(r, 2, 0, "\0\x10", 2), 1);
	assert_int_equal(cmd(r, 2, 1, "\x64\0", 2), 0);
	assert_int_equal(f->vlans[100 / 8], 0);
	/* A reset brings the permanent address back. */
	go(r, 1, CTRL);
	assert_memory_equal(f->mac, mac, 6);
	assert_int_equal(config(r, 1, 1), mac[1]);
	assert_int_equal(f->vlans[511], 0);
	rig_free(r);
}

static void test_offloads_and_coalescing(void **state)
{
	struct rig *r = rig_with("");
	const struct plane_net_config *c = &fake_plane.config;
	uint8_t data[9] = {0};

	go(r, 1, CTRL);
	store_le64(data, 1ULL << VIRTIO_NET_F_GUEST_CSUM | 1ULL << VIRTIO_NET_F_GUEST_TSO4 |
				 1ULL << VIRTIO_NET_F_GUEST_USO6);
	assert_int_equal(cmd(r, 5, 0, data, 8), 0);
	assert_int_equal(c->guest_offloads, NET_OFFLOAD_CSUM | NET_OFFLOAD_TSO4 | NET_OFFLOAD_USO6);
	assert_int_equal(cmd(r, 5, 0, data, 9), 1);
	store_le64(data, 1ULL << VIRTIO_NET_F_MRG_RXBUF);
	assert_int_equal(cmd(r, 5, 0, data, 8), 1);
	store_le64(data, 0);
	assert_int_equal(cmd(r, 5, 0, data, 8), 0);
	assert_int_equal(c->guest_offloads, 0);
	store_le32(data, 32);
	store_le32(data + 4, 50);
	assert_int_equal(cmd(r, 6, 0, data, 8), 0);
	assert_int_equal(c->tx_coalesce.max_packets, 32);
	assert_int_equal(c->tx_coalesce.max_usecs, 50);
	assert_int_equal(cmd(r, 6, 1, data, 8), 0);
	assert_int_equal(c->rx_coalesce.max_usecs, 50);
	assert_int_equal(cmd(r, 6, 1, data, 7), 1);
	/* The plane's refusal is the command's. */
	fake_plane.configure_result = -EIO;
	store_le32(data, 1);
	assert_int_equal(cmd(r, 6, 0, data, 8), 1);
	fake_plane.configure_result = 0;
	assert_int_equal(cmd(r, 0, 0, "\1", 1), 0);
	assert_int_equal(c->tx_coalesce.max_packets, 32);
	rig_free(r);
}

static void test_multiqueue(void **state)
{
	struct rig *r = rig_with("queues=4");
	const struct plane_net_config *c = &fake_plane.config;
	unsigned ctrl = 8;

	go(r, 4, ctrl);
	assert_int_equal(fake_plane.nqueues, 8);
	assert_true(fake_plane.queues[7].enabled);
	assert_int_equal(c->active_pairs, 1);
	assert_int_equal(gv_command(&r->gv, ctrl, 4, 0, "\4\0", 2), 0);
	assert_int_equal(c->active_pairs, 4);
	assert_int_equal(gv_command(&r->gv, ctrl, 4, 0, "\5\0", 2), 1);
	assert_int_equal(gv_command(&r->gv, ctrl, 4, 0, "\0\0", 2), 1);
	assert_int_equal(gv_command(&r->gv, ctrl, 4, 0, "\1", 1), 1);
	assert_int_equal(c->active_pairs, 4);
	rig_free(r);
}

struct rss_cmd {
	uint32_t types;
	uint16_t mask, unclassified;
	uint16_t table[256];
	uint16_t max_tx;
	uint8_t key_len;
};

static unsigned rss_encode(const struct rss_cmd *c, uint8_t *buf)
{
	unsigned at = 8;

	store_le32(buf, c->types);
	store_le16(buf + 4, c->mask);
	store_le16(buf + 6, c->unclassified);
	for (unsigned i = 0; i <= c->mask && i < 256; i++, at += 2)
		store_le16(buf + at, c->table[i]);
	store_le16(buf + at, c->max_tx);
	buf[at + 2] = c->key_len;
	memset(buf + at + 3, 0x6d, c->key_len);
	return at + 3 + c->key_len;
}

static void test_rss(void **state)
{
	struct rig *r = rig_with("queues=4,hash-report=on");
	const struct rss_config *rss = &fake_plane.config.rss;
	struct rss_cmd good = {RSS_TCPV4 | RSS_IPV4, 3, 0, {0, 1, 2, 1}, 2, 40}, c;
	struct {
		unsigned what;
	} bad[8];
	static uint8_t buf[1024];
	unsigned ctrl = 8, len;

	go(r, 4, ctrl);
	assert_true(rss->hash_report);
	assert_false(rss->enabled);
	len = rss_encode(&good, buf);
	assert_int_equal(gv_command(&r->gv, ctrl, 4, 1, buf, len), 0);
	assert_true(rss->enabled);
	assert_int_equal(rss->table_len, 4);
	assert_int_equal(rss->table[2], 2);
	assert_int_equal(rss->types, RSS_TCPV4 | RSS_IPV4);
	assert_int_equal(rss->key[39], 0x6d);
	assert_int_equal(fake_plane.config.active_pairs, 3);
	for (unsigned i = 0; i < ARRAY_SIZE(bad); i++) {
		c = good;
		if (i == 0)
			c.types = 0x200;
		else if (i == 1)
			c.mask = 2;
		else if (i == 2)
			c.mask = 255;
		else if (i == 3)
			c.unclassified = 4;
		else if (i == 4)
			c.table[3] = 4;
		else if (i == 5)
			c.max_tx = 0;
		else if (i == 6)
			c.max_tx = 5;
		else
			c.key_len = 41;
		len = rss_encode(&c, buf);
		assert_int_equal(gv_command(&r->gv, ctrl, 4, 1, buf, len), 1);
	}
	len = rss_encode(&good, buf);
	assert_int_equal(gv_command(&r->gv, ctrl, 4, 1, buf, len - 1), 1);
	assert_int_equal(gv_command(&r->gv, ctrl, 4, 1, buf, len + 4), 1);
	assert_int_equal(gv_command(&r->gv, ctrl, 4, 1, buf, len + 1), 0); /* padding */
	assert_int_equal(rss->types, RSS_TCPV4 | RSS_IPV4);
	/* The number of pairs ends steering by hash. */
	assert_int_equal(gv_command(&r->gv, ctrl, 4, 0, "\2\0", 2), 0);
	assert_false(rss->enabled);
	/* HASH_CONFIG: types, 8 reserved bytes, a key. */
	memset(buf, 0, sizeof(buf));
	store_le32(buf, RSS_UDPV6);
	buf[12] = 16;
	assert_int_equal(gv_command(&r->gv, ctrl, 4, 2, buf, 13 + 16), 0);
	assert_int_equal(rss->types, RSS_UDPV6);
	assert_int_equal(rss->key_len, 16);
	assert_int_equal(gv_command(&r->gv, ctrl, 4, 2, buf, 13 + 15), 1);
	rig_free(r);
}

/* Commands whose feature was not negotiated. */
static void test_not_negotiated(void **state)
{
	static const uint8_t commands[][2] = {{0, 0}, {0, 2}, {1, 0}, {1, 1}, {2, 0}, {3, 0},
					      {4, 0}, {4, 1}, {4, 2}, {5, 0}, {6, 0}, {6, 1}};
	struct virtio_features f = {0};
	struct rig *r = rig_with(EVERYTHING);
	uint8_t data[16] = {1};

	features_set(&f, VIRTIO_F_VERSION_1, true);
	features_set(&f, VIRTIO_NET_F_CTRL_VQ, true);
	assert_true(gv_negotiate(&r->gv, &f));
	/* Without MQ the control queue is the third, whatever the device could do (5.1.2). */
	gv_queue(&r->gv, CTRL, 0, 0xffff);
	gv_driver_ok(&r->gv);
	for (unsigned i = 0; i < ARRAY_SIZE(commands); i++)
		for (unsigned len = 0; len < sizeof(data); len++)
			assert_int_equal(cmd(r, commands[i][0], commands[i][1], data, len), 1);
	assert_int_equal(fake_plane.configures, 0);
	rig_free(r);
}

/* Chains that are no commands. */
static void test_hostile_chains(void **state)
{
	struct rig *r = rig_with("");
	struct vdrv_sg sg[8];
	uint64_t base;
	uint32_t written;
	void *cookie;

	go(r, 1, CTRL);
	base = gv_alloc(&r->gv, 256 * KIB);
	/* Too long to be one. */
	sg[0] = (struct vdrv_sg){base, 100 * 1024};
	sg[1] = (struct vdrv_sg){base + 128 * KIB, 1};
	assert_int_equal(vdrv_add(r->gv.drv[CTRL], sg, 1, 1, false, 0, &base), 0);
	/* No answer wanted; nothing asked; a header of one byte. */
	sg[0] = (struct vdrv_sg){base, 2};
	assert_int_equal(vdrv_add(r->gv.drv[CTRL], sg, 1, 0, false, 0, &base), 0);
	sg[0] = (struct vdrv_sg){base + 129 * KIB, 1};
	assert_int_equal(vdrv_add(r->gv.drv[CTRL], sg, 0, 1, false, 0, &base), 0);
	sg[0] = (struct vdrv_sg){base, 1};
	sg[1] = (struct vdrv_sg){base + 130 * KIB, 1};
	assert_int_equal(vdrv_add(r->gv.drv[CTRL], sg, 1, 1, false, 0, &base), 0);
	/* Byte by byte, the answer too. */
	memcpy(gv_hva(&r->gv, base + 8), "\0\0\1", 3);
	for (unsigned i = 0; i < 3; i++)
		sg[i] = (struct vdrv_sg){base + 8 + i, 1};
	sg[3] = (struct vdrv_sg){base + 131 * KIB, 1};
	sg[4] = (struct vdrv_sg){base + 132 * KIB, 100};
	assert_int_equal(vdrv_add(r->gv.drv[CTRL], sg, 3, 2, false, 0, &base), 0);
	vdrv_publish(r->gv.drv[CTRL]);
	gv_kick(&r->gv, CTRL);
	fake_pump(&r->h);
	for (unsigned i = 0; i < 5; i++) {
		assert_int_equal(vdrv_get(r->gv.drv[CTRL], &cookie, &written), 1);
		assert_int_equal(written, i == 1 ? 0 : 1);
	}
	for (unsigned i = 0; i < 4; i++)
		if (i != 1 - 1 + 1)
			assert_int_equal(*(uint8_t *)gv_hva(&r->gv, base + (128 + i) * KIB),
					 i < 3 ? 1 : 0);
	assert_true(fake_plane.config.filter.promisc);
	/* A buffer that is nowhere breaks the queue, and the device says so. */
	sg[0] = (struct vdrv_sg){FAKE_RAM - 1, 2};
	assert_int_equal(vdrv_add(r->gv.drv[CTRL], sg, 1, 1, false, 0, &base), 0);
	vdrv_publish(r->gv.drv[CTRL]);
	gv_kick(&r->gv, CTRL);
	fake_pump(&r->h);
	assert_true(gv_status(&r->gv) & VIRTIO_STATUS_NEEDS_RESET);
	assert_true(fake_plane.running);
	go(r, 1, CTRL);
	assert_int_equal(cmd(r, 0, 0, "\1", 1), 0);
	rig_free(r);
}

/* More commands than are served at once; then a reset in the middle. */
static void test_many_commands(void **state)
{
	struct rig *r = rig_with("");
	uint64_t base;
	struct vdrv_sg sg[3];
	uint32_t written;
	void *cookie;
	unsigned done = 0;

	go(r, 1, CTRL);
	base = gv_alloc(&r->gv, 4096);
	for (unsigned round = 0; round < 20; round++) {
		for (unsigned i = 0; i < 21; i++) {
			sg[0] = (struct vdrv_sg){base, 2};
			sg[1] = (struct vdrv_sg){base + 2, 1};
			sg[2] = (struct vdrv_sg){base + 3, 1};
			assert_int_equal(vdrv_add(r->gv.drv[CTRL], sg, 2, 1, false, 0, &base), 0);
		}
		vdrv_publish(r->gv.drv[CTRL]);
		gv_kick(&r->gv, CTRL);
		fake_pump(&r->h);
		while (vdrv_get(r->gv.drv[CTRL], &cookie, &written) == 1)
			done++;
	}
	assert_int_equal(done, 20 * 21);
	for (unsigned i = 0; i < 21; i++)
		assert_int_equal(vdrv_add(r->gv.drv[CTRL], sg, 2, 1, false, 0, &base), 0);
	vdrv_publish(r->gv.drv[CTRL]);
	gv_kick(&r->gv, CTRL);
	gv_put(&r->gv, VPCI_COMMON_STATUS, 1, 0); /* before the loop had a look */
	fake_pump(&r->h);
	assert_int_equal(vdrv_get(r->gv.drv[CTRL], &cookie, &written), 0);
	rig_free(r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_offers),
		cmocka_unit_test(test_takes_away),
		cmocka_unit_test(test_dependencies),
		cmocka_unit_test(test_config_space),
		cmocka_unit_test(test_bad_options),
		cmocka_unit_test(test_start_stop),
		cmocka_unit_test(test_packed),
		cmocka_unit_test(test_plain_driver),
		cmocka_unit_test(test_queue_reset),
		cmocka_unit_test(test_broken_queue),
		cmocka_unit_test(test_start_fails),
		cmocka_unit_test(test_link),
		cmocka_unit_test(test_counters),
		cmocka_unit_test(test_rx_modes),
		cmocka_unit_test(test_mac_table),
		cmocka_unit_test(test_mac_and_vlan),
		cmocka_unit_test(test_offloads_and_coalescing),
		cmocka_unit_test(test_multiqueue),
		cmocka_unit_test(test_rss),
		cmocka_unit_test(test_not_negotiated),
		cmocka_unit_test(test_hostile_chains),
		cmocka_unit_test(test_many_commands),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
