/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_NET_RIG_H
#define TESTS_NET_RIG_H

#include "unit.h"

#include "device/virtio_net.h"
#include "fake_plane.h"
#include "guest_virtio.h"

#include <stdlib.h>

/* A virtio-net on a plane that records, its guest's driver, and the machine around it. */
#define CTRL 2 /* with one pair */

static const uint8_t mac[6] = {0x52, 0x54, 0, 1, 2, 3};

struct rig {
	struct fake_host h;
	struct virtio_net *net;
	struct gv gv;
};

static inline int make(struct rig *r, const char *text, struct error *err)
{
	struct nic_params params = {
		.id = "net0",
		.backend = "fake",
		.host = &r->h.host,
		.mem = r->h.mem,
		.loop = r->h.host.loop,
	};
	struct options opts;
	struct nic *nic = NULL;
	int ret = options_parse(&opts, text, err);

	assert_int_equal(ret, 0);
	/* Not to have the host's planes limit what is offered. */
	if (!options_get(&opts, "planes"))
		assert_int_equal(options_set(&opts, "planes", "fake+inprocess"), 0);
	params.opts = &opts;
	memcpy(params.mac, mac, 6);
	if (options_get(&opts, "mtu"))
		params.mtu = (unsigned)atoi(options_get(&opts, "mtu"));
	ret = virtio_net_create_on(&fake_plane_ops, &params, &nic, err);
	options_free(&opts);
	r->net = (struct virtio_net *)nic;
	return ret;
}

static inline struct rig *rig_new(void)
{
	struct rig *r = calloc(1, sizeof(*r));

	fake_plane_reset();
	fake_host_init(&r->h);
	return r;
}

/* A NIC with these options, plugged in. */
static inline struct rig *rig_with(const char *text)
{
	struct rig *r = rig_new();
	struct error err = {0};

	assert_int_equal(make(r, text, &err), 0);
	assert_int_equal(pci_bus_add(r->h.pci, &r->net->nic.pci, 1, 0, &err), 0);
	gv_probe(&r->gv, &r->h, 1);
	return r;
}

static inline void rig_free(struct rig *r)
{
	gv_fini(&r->gv);
	fake_host_fini(&r->h);
	assert_false(fake_plane.open);
	free(r);
}

/* A driver that takes everything; the control queue comes after the pairs. */
static inline void go(struct rig *r, unsigned pairs, unsigned ctrl)
{
	assert_true(gv_negotiate_all(&r->gv));
	for (unsigned i = 0; i < 2 * pairs; i++)
		gv_queue(&r->gv, i, 0, 0xffff);
	gv_queue(&r->gv, ctrl, 0, 0xffff);
	gv_driver_ok(&r->gv);
	assert_true(fake_plane.running);
}

static inline uint32_t config(struct rig *r, unsigned offset, unsigned size)
{
	return (uint32_t)fake_read(&r->h, r->gv.device + offset, size);
}

static inline bool offered(struct rig *r, unsigned bit)
{
	struct virtio_features f = gv_offered(&r->gv);

	return features_has(&f, bit);
}

static inline int cmd(struct rig *r, uint8_t class, uint8_t command, const void *data, unsigned len)
{
	return gv_command(&r->gv, CTRL, class, command, data, len);
}

#endif
