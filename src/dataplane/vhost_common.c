/* SPDX-License-Identifier: Apache-2.0 */
#include "dataplane/vhost_planes.h"

#include "vhost/ring_base.h"
#include "vring/device.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

static const struct {
	uint8_t bit;
	const char *name;
} feature_names[] = {
	{VIRTIO_NET_F_CSUM, "VIRTIO_NET_F_CSUM"},
	{VIRTIO_NET_F_GUEST_CSUM, "VIRTIO_NET_F_GUEST_CSUM"},
	{VIRTIO_NET_F_CTRL_GUEST_OFFLOADS, "VIRTIO_NET_F_CTRL_GUEST_OFFLOADS"},
	{VIRTIO_NET_F_MTU, "VIRTIO_NET_F_MTU"},
	{VIRTIO_NET_F_MAC, "VIRTIO_NET_F_MAC"},
	{VIRTIO_NET_F_GUEST_TSO4, "VIRTIO_NET_F_GUEST_TSO4"},
	{VIRTIO_NET_F_GUEST_TSO6, "VIRTIO_NET_F_GUEST_TSO6"},
	{VIRTIO_NET_F_GUEST_ECN, "VIRTIO_NET_F_GUEST_ECN"},
	{VIRTIO_NET_F_GUEST_UFO, "VIRTIO_NET_F_GUEST_UFO"},
	{VIRTIO_NET_F_HOST_TSO4, "VIRTIO_NET_F_HOST_TSO4"},
	{VIRTIO_NET_F_HOST_TSO6, "VIRTIO_NET_F_HOST_TSO6"},
	{VIRTIO_NET_F_HOST_ECN, "VIRTIO_NET_F_HOST_ECN"},
	{VIRTIO_NET_F_HOST_UFO, "VIRTIO_NET_F_HOST_UFO"},
	{VIRTIO_NET_F_MRG_RXBUF, "VIRTIO_NET_F_MRG_RXBUF"},
	{VIRTIO_NET_F_STATUS, "VIRTIO_NET_F_STATUS"},
	{VIRTIO_NET_F_CTRL_VQ, "VIRTIO_NET_F_CTRL_VQ"},
	{VIRTIO_NET_F_CTRL_RX, "VIRTIO_NET_F_CTRL_RX"},
	{VIRTIO_NET_F_CTRL_VLAN, "VIRTIO_NET_F_CTRL_VLAN"},
	{VIRTIO_NET_F_CTRL_RX_EXTRA, "VIRTIO_NET_F_CTRL_RX_EXTRA"},
	{VIRTIO_NET_F_GUEST_ANNOUNCE, "VIRTIO_NET_F_GUEST_ANNOUNCE"},
	{VIRTIO_NET_F_MQ, "VIRTIO_NET_F_MQ"},
	{VIRTIO_NET_F_CTRL_MAC_ADDR, "VIRTIO_NET_F_CTRL_MAC_ADDR"},
	{VIRTIO_RING_F_INDIRECT_DESC, "VIRTIO_F_INDIRECT_DESC"},
	{VIRTIO_RING_F_EVENT_IDX, "VIRTIO_F_EVENT_IDX"},
	{VIRTIO_F_VERSION_1, "VIRTIO_F_VERSION_1"},
	{VIRTIO_F_ACCESS_PLATFORM, "VIRTIO_F_ACCESS_PLATFORM"},
	{VIRTIO_F_RING_PACKED, "VIRTIO_F_RING_PACKED"},
	{VIRTIO_F_IN_ORDER, "VIRTIO_F_IN_ORDER"},
	{VIRTIO_F_ORDER_PLATFORM, "VIRTIO_F_ORDER_PLATFORM"},
	{VIRTIO_F_NOTIFICATION_DATA, "VIRTIO_F_NOTIFICATION_DATA"},
	{VIRTIO_F_RING_RESET, "VIRTIO_F_RING_RESET"},
	{VIRTIO_NET_F_VQ_NOTF_COAL, "VIRTIO_NET_F_VQ_NOTF_COAL"},
	{VIRTIO_NET_F_NOTF_COAL, "VIRTIO_NET_F_NOTF_COAL"},
	{VIRTIO_NET_F_GUEST_USO4, "VIRTIO_NET_F_GUEST_USO4"},
	{VIRTIO_NET_F_GUEST_USO6, "VIRTIO_NET_F_GUEST_USO6"},
	{VIRTIO_NET_F_HOST_USO, "VIRTIO_NET_F_HOST_USO"},
	{VIRTIO_NET_F_HASH_REPORT, "VIRTIO_NET_F_HASH_REPORT"},
	{VIRTIO_NET_F_GUEST_HDRLEN, "VIRTIO_NET_F_GUEST_HDRLEN"},
	{VIRTIO_NET_F_RSS, "VIRTIO_NET_F_RSS"},
	{VIRTIO_NET_F_STANDBY, "VIRTIO_NET_F_STANDBY"},
	{VIRTIO_NET_F_SPEED_DUPLEX, "VIRTIO_NET_F_SPEED_DUPLEX"},
};

const char *vhost_feature_name(unsigned bit)
{
	static _Thread_local char other[24];

	for (unsigned i = 0; i < ARRAY_SIZE(feature_names); i++)
		if (feature_names[i].bit == bit)
			return feature_names[i].name;
	snprintf(other, sizeof(other), "feature bit %u", bit);
	return other;
}

void vhost_nic_features(struct virtio_features *f)
{
	static const uint8_t bits[] = {
		VIRTIO_NET_F_MTU,	    VIRTIO_NET_F_MAC,
		VIRTIO_NET_F_STATUS,	    VIRTIO_NET_F_CTRL_VQ,
		VIRTIO_NET_F_CTRL_RX,	    VIRTIO_NET_F_CTRL_VLAN,
		VIRTIO_NET_F_CTRL_RX_EXTRA, VIRTIO_NET_F_GUEST_ANNOUNCE,
		VIRTIO_NET_F_CTRL_MAC_ADDR, VIRTIO_NET_F_SPEED_DUPLEX,
		VIRTIO_F_RING_RESET,	    VIRTIO_NET_F_CTRL_GUEST_OFFLOADS,
	};

	/* Receive filters are a device's best effort (virtio 1.2, 5.1.6.5.2): none is one too. */
	for (unsigned i = 0; i < ARRAY_SIZE(bits); i++)
		features_set(f, bits[i], true);
}

void vhost_offload_features(struct virtio_features *f, uint32_t tx, uint32_t rx)
{
	static const struct {
		uint32_t offload;
		uint8_t host, guest;
	} map[] = {
		{NET_OFFLOAD_CSUM, VIRTIO_NET_F_CSUM, VIRTIO_NET_F_GUEST_CSUM},
		{NET_OFFLOAD_TSO4, VIRTIO_NET_F_HOST_TSO4, VIRTIO_NET_F_GUEST_TSO4},
		{NET_OFFLOAD_TSO6, VIRTIO_NET_F_HOST_TSO6, VIRTIO_NET_F_GUEST_TSO6},
		{NET_OFFLOAD_ECN, VIRTIO_NET_F_HOST_ECN, VIRTIO_NET_F_GUEST_ECN},
		{NET_OFFLOAD_UFO, VIRTIO_NET_F_HOST_UFO, VIRTIO_NET_F_GUEST_UFO},
		{NET_OFFLOAD_USO4, VIRTIO_NET_F_HOST_USO, VIRTIO_NET_F_GUEST_USO4},
		{NET_OFFLOAD_USO6, VIRTIO_NET_F_HOST_USO, VIRTIO_NET_F_GUEST_USO6},
	};
	bool uso = (tx & NET_OFFLOAD_USO4) && (tx & NET_OFFLOAD_USO6);

	for (unsigned i = 0; i < ARRAY_SIZE(map); i++) {
		features_set(f, map[i].host, tx & map[i].offload);
		features_set(f, map[i].guest, rx & map[i].offload);
	}
	features_set(f, VIRTIO_NET_F_HOST_USO, uso);
}

void vhost_usual_features(struct virtio_features *f)
{
	*f = (struct virtio_features){{VHOST_RING_FEATURES | VHOST_FRAME_FEATURES}};
	vhost_nic_features(f);
	features_set(f, VIRTIO_NET_F_MQ, true);
	features_set(f, VIRTIO_NET_F_HOST_USO, false); /* neither DPDK nor most hardware */
}

uint64_t vhost_agreed(uint64_t acked, uint32_t guest_offloads)
{
	struct virtio_features off = {{0}};

	vhost_offload_features(&off, 0, ~guest_offloads);
	return acked & ~(off.w[0] & PLANE_OPTIONAL_FEATURES);
}

int vhost_missing_features(const char *id, const char *who, const struct virtio_features *want,
			   const struct virtio_features *can, struct error *err)
{
	char names[256] = "";
	size_t len = 0;

	for (unsigned bit = 0; bit < VIRTIO_FEATURE_BITS; bit++) {
		if (!features_has(want, bit) || features_has(can, bit) || len >= sizeof(names))
			continue;
		if (bit < 64 && (PLANE_OPTIONAL_FEATURES >> bit & 1))
			continue;
		len += (size_t)snprintf(names + len, sizeof(names) - len, "%s%s", len ? ", " : "",
					vhost_feature_name(bit));
	}
	return error_set(err, -ENOTSUP,
			 "%s: the guest uses what %s does not have: %s; name the planes that it "
			 "may move to with planes=",
			 id, who, names);
}

int vhost_check_start(const char *id, const char *who, const struct plane_start *start,
		      const struct virtio_features *can, unsigned max, struct error *err)
{
	if (!plane_carries(can, &start->features))
		return vhost_missing_features(id, who, &start->features, can, err);
	if (!features_has(&start->features, VIRTIO_F_VERSION_1))
		return error_set(err, -ENOTSUP,
				 "%s: the driver is a legacy one (no VIRTIO_F_VERSION_1)", id);
	if (start->nqueues > max)
		return error_set(err, -EINVAL, "%s: %u queues, %s has %u", id, start->nqueues, who,
				 max);
	if (start->config->rss.enabled)
		return error_set(err, -ENOTSUP, "%s: %s cannot steer by hash (RSS)", id, who);
	return 0;
}

enum vring_fault vhost_ring_diagnose(const struct vring_config *cfg, const struct vring_state *last,
				     const struct mem_table *table)
{
	enum vring_fault fault = VRING_BAD_RING;
	struct vq *vq = vq_create();
	struct vring_state state;
	struct vq_buf bufs[16];
	struct iovec *iov = calloc(1024, sizeof(*iov));
	int n;

	if (!vq || !iov || vhost_base_recover(cfg, table, last, &state) ||
	    vq_start(vq, cfg, &state, table, NULL))
		goto out;
	do {
		n = vq_pop(vq, bufs, ARRAY_SIZE(bufs), iov, 1024);
	} while (n > 0);
	if (vq_fault(vq) != VRING_OK)
		fault = vq_fault(vq);
out:
	free(iov);
	vq_free(vq);
	return fault;
}
