/* SPDX-License-Identifier: Apache-2.0 */
#include "vhost/back_internal.h"

#include "base/log.h"
#include "vring/features.h"

#include <errno.h>
#include <unistd.h>

/*
 * What is agreed on (features, protocol features), the device's status and config space, and what
 * a front-end says of the network: MTU and announcements.
 */
#define BIT(n)	    (1ULL << (n))
#define STATUS_LINK 1 /* VIRTIO_NET_S_LINK_UP */
#define VHOST_BITS  (BIT(VHOST_USER_F_LOG_ALL) | BIT(VHOST_USER_F_PROTOCOL_FEATURES))
#define CONFIG_LIVE 1U /* flags of SET_CONFIG: live migration, read-only fields too */

const uint64_t vhost_backend_features =
	BIT(VIRTIO_NET_F_CSUM) | BIT(VIRTIO_NET_F_GUEST_CSUM) |
	BIT(VIRTIO_NET_F_CTRL_GUEST_OFFLOADS) | BIT(VIRTIO_NET_F_MTU) | BIT(VIRTIO_NET_F_MAC) |
	BIT(VIRTIO_NET_F_GUEST_TSO4) | BIT(VIRTIO_NET_F_GUEST_TSO6) | BIT(VIRTIO_NET_F_GUEST_ECN) |
	BIT(VIRTIO_NET_F_GUEST_UFO) | BIT(VIRTIO_NET_F_HOST_TSO4) | BIT(VIRTIO_NET_F_HOST_TSO6) |
	BIT(VIRTIO_NET_F_HOST_ECN) | BIT(VIRTIO_NET_F_HOST_UFO) | BIT(VIRTIO_NET_F_MRG_RXBUF) |
	BIT(VIRTIO_NET_F_STATUS) | BIT(VIRTIO_NET_F_CTRL_VQ) | BIT(VIRTIO_NET_F_CTRL_RX) |
	BIT(VIRTIO_NET_F_CTRL_VLAN) | BIT(VIRTIO_NET_F_CTRL_RX_EXTRA) |
	BIT(VIRTIO_NET_F_GUEST_ANNOUNCE) | BIT(VIRTIO_NET_F_MQ) | BIT(VIRTIO_NET_F_CTRL_MAC_ADDR) |
	BIT(VIRTIO_NET_F_GUEST_USO4) | BIT(VIRTIO_NET_F_GUEST_USO6) | BIT(VIRTIO_NET_F_HOST_USO) |
	BIT(VIRTIO_RING_F_INDIRECT_DESC) | BIT(VIRTIO_RING_F_EVENT_IDX) | BIT(VIRTIO_F_VERSION_1) |
	BIT(VIRTIO_F_ACCESS_PLATFORM) | BIT(VIRTIO_F_RING_PACKED) | BIT(VIRTIO_F_IN_ORDER) |
	BIT(VIRTIO_F_ORDER_PLATFORM);

void back_config_init(struct vhost_backend *be, const struct vhost_backend_params *params)
{
	be->offered = params->features | VHOST_BITS;
	be->mtu_max = params->mtu;
	memcpy(be->config, params->mac, sizeof(params->mac));
	store_le16(be->config + BACK_CONFIG_STATUS, STATUS_LINK);
	store_le16(be->config + BACK_CONFIG_PAIRS, (uint16_t)params->queue_pairs);
	store_le16(be->config + BACK_CONFIG_MTU, params->mtu);
	store_le32(be->config + BACK_CONFIG_SPEED, UINT32_MAX); /* not known */
	be->config[BACK_CONFIG_DUPLEX] = 0xff;
}

static int reply_u64(struct vhost_user_msg *msg, uint64_t value)
{
	msg->payload.u64 = value;
	msg->hdr.size = sizeof(value);
	return 0;
}

int back_get_features(struct vhost_backend *be, struct vhost_user_msg *msg, struct error *err)
{
	return reply_u64(msg, be->offered);
}

static unsigned running(const struct vhost_backend *be)
{
	unsigned n = 0;

	for (unsigned i = 0; i < be->nqueues; i++)
		n += be->queues[i].running;
	return n;
}

/* While rings run only logging can change: they are stopped for it and go on. */
int back_set_features(struct vhost_backend *be, struct vhost_user_msg *msg, struct error *err)
{
	uint64_t features = msg->payload.u64, changed = features ^ be->features;
	int rc;

	if (features & ~be->offered)
		return error_set(err, -EINVAL, "features %#llx were not offered",
				 (unsigned long long)(features & ~be->offered));
	if (be->features_set && !changed)
		return 0;
	if ((changed & ~BIT(VHOST_USER_F_LOG_ALL)) && running(be))
		return error_set(err, -EBUSY, "features %#llx change while queues run",
				 (unsigned long long)changed);
	back_rings_stop(be);
	be->features = features;
	be->features_set = true;
	back_log_apply(be);
	if (!back_iotlb_on(be))
		back_iotlb_drop(be);
	rc = back_iotlb_renew(be, err);
	if (rc)
		return rc;
	if ((changed & ~VHOST_BITS) && be->ops->features)
		be->ops->features(be->opaque, features & ~VHOST_BITS);
	return back_rings_resume(be, err);
}

uint64_t back_protocol_offered(const struct vhost_backend *be)
{
	static const uint8_t always[] = {
		VHOST_USER_PROTOCOL_F_MQ,	    VHOST_USER_PROTOCOL_F_LOG_SHMFD,
		VHOST_USER_PROTOCOL_F_REPLY_ACK,    VHOST_USER_PROTOCOL_F_BACKEND_REQ,
		VHOST_USER_PROTOCOL_F_CONFIG,	    VHOST_USER_PROTOCOL_F_INFLIGHT_SHMFD,
		VHOST_USER_PROTOCOL_F_RESET_DEVICE, VHOST_USER_PROTOCOL_F_CONFIGURE_MEM_SLOTS,
		VHOST_USER_PROTOCOL_F_STATUS,
	};
	uint64_t bits = 0;

	for (unsigned i = 0; i < ARRAY_SIZE(always); i++)
		bits |= BIT(always[i]);
	if (back_postcopy_possible())
		bits |= BIT(VHOST_USER_PROTOCOL_F_PAGEFAULT);
	if (be->ops->announce)
		bits |= BIT(VHOST_USER_PROTOCOL_F_RARP);
	if (be->ops->save_state)
		bits |= BIT(VHOST_USER_PROTOCOL_F_DEVICE_STATE);
	if (be->ops->mtu)
		bits |= BIT(VHOST_USER_PROTOCOL_F_NET_MTU);
	return bits;
}

int back_get_protocol_features(struct vhost_backend *be, struct vhost_user_msg *msg,
			       struct error *err)
{
	return reply_u64(msg, back_protocol_offered(be));
}

int back_set_protocol_features(struct vhost_backend *be, struct vhost_user_msg *msg,
			       struct error *err)
{
	uint64_t unknown = msg->payload.u64 & ~back_protocol_offered(be);

	if (unknown)
		return error_set(err, -EINVAL, "protocol features %#llx were not offered",
				 (unsigned long long)unknown);
	be->protocol = msg->payload.u64;
	return 0;
}

int back_set_owner(struct vhost_backend *be, struct vhost_user_msg *msg, struct error *err)
{
	be->owned = true;
	return 0;
}

/* Deprecated; "use it to disable all rings". */
int back_reset_owner(struct vhost_backend *be, struct vhost_user_msg *msg, struct error *err)
{
	back_rings_stop(be);
	for (unsigned i = 0; i < be->nqueues; i++)
		be->queues[i].enabled = be->queues[i].kick_set = false;
	return 0;
}

static void reset(struct vhost_backend *be)
{
	back_rings_reset(be);
	be->features = 0;
	be->features_set = false;
	be->status = 0;
	back_iotlb_drop(be);
	back_log_apply(be);
	store_le16(be->config + BACK_CONFIG_MTU, be->mtu_max);
	be->mtu_told = 0;
	if (be->ops->features)
		be->ops->features(be->opaque, 0);
}

/* Memory and what the protocol agreed on stay. */
int back_reset_device(struct vhost_backend *be, struct vhost_user_msg *msg, struct error *err)
{
	reset(be);
	return 0;
}

/* In pairs for a net device, as all its implementations have it. */
int back_get_queue_num(struct vhost_backend *be, struct vhost_user_msg *msg, struct error *err)
{
	return reply_u64(msg, be->nqueues / 2);
}

int back_set_status(struct vhost_backend *be, struct vhost_user_msg *msg, struct error *err)
{
	if (msg->payload.u64 > UINT8_MAX)
		return error_set(err, -EINVAL, "status %#llx",
				 (unsigned long long)msg->payload.u64);
	if (msg->payload.u64 == 0)
		reset(be);
	be->status = (uint8_t)msg->payload.u64;
	return 0;
}

int back_get_status(struct vhost_backend *be, struct vhost_user_msg *msg, struct error *err)
{
	return reply_u64(msg, be->status);
}

/* Bytes that are not there are answered with an empty payload, as the specification says. */
int back_get_config(struct vhost_backend *be, struct vhost_user_msg *msg, struct error *err)
{
	struct vhost_user_config *c = &msg->payload.config;

	if (c->offset + c->size > BACK_CONFIG_BYTES) {
		msg->hdr.size = 0;
		return 0;
	}
	memcpy(c->bytes, be->config + c->offset, c->size);
	return 0;
}

/*
 * A driver may write only the address, and that only where it is not a modern one (5.1.4). What a
 * migration brings is taken: it is the front-end's to keep.
 */
int back_set_config(struct vhost_backend *be, struct vhost_user_msg *msg, struct error *err)
{
	const struct vhost_user_config *c = &msg->payload.config;
	bool legacy_mac = !back_feature(be, VIRTIO_F_VERSION_1) && c->offset + c->size <= 6;

	if (c->offset + c->size > BACK_CONFIG_BYTES)
		return error_set(err, -EINVAL, "there are %d bytes", BACK_CONFIG_BYTES);
	if (c->flags != CONFIG_LIVE && !legacy_mac)
		return error_set(err, -EACCES, "bytes %u+%u are read-only", c->offset, c->size);
	memcpy(be->config + c->offset, c->bytes, c->size);
	return 0;
}

int back_set_mtu(struct vhost_backend *be, struct vhost_user_msg *msg, struct error *err)
{
	uint64_t mtu = msg->payload.u64;
	int rc;

	if (mtu < BACK_MTU_MIN || mtu > UINT16_MAX)
		return error_set(err, -EINVAL, "an MTU of %llu", (unsigned long long)mtu);
	rc = be->ops->mtu(be->opaque, (uint16_t)mtu);
	if (rc)
		return error_set(err, rc, "an MTU of %llu is more than the port takes",
				 (unsigned long long)mtu);
	store_le16(be->config + BACK_CONFIG_MTU, (uint16_t)mtu);
	be->mtu_told = (uint16_t)mtu;
	return 0;
}

int back_send_rarp(struct vhost_backend *be, struct vhost_user_msg *msg, struct error *err)
{
	uint8_t mac[sizeof(uint64_t)];

	memcpy(mac, &msg->payload.u64, sizeof(mac));
	be->ops->announce(be->opaque, mac);
	return 0;
}

int back_set_request_fd(struct vhost_backend *be, struct vhost_user_msg *msg, struct error *err)
{
	if (be->request_fd >= 0)
		close(be->request_fd);
	be->request_fd = back_take_fd(msg);
	return 0;
}

void vhost_backend_set_link(struct vhost_backend *be, bool up)
{
	struct vhost_user_msg msg = {
		.hdr = {VHOST_USER_BACKEND_CONFIG_CHANGE_MSG, VHOST_USER_VERSION, 0}};
	uint16_t status = up ? STATUS_LINK : 0;

	if (load_le16(be->config + BACK_CONFIG_STATUS) == status)
		return;
	store_le16(be->config + BACK_CONFIG_STATUS, status);
	if (back_has(be, VHOST_USER_PROTOCOL_F_CONFIG))
		back_request(be, &msg);
}

void vhost_backend_info(const struct vhost_backend *be, struct vhost_backend_info *info)
{
	*info = (struct vhost_backend_info){
		.connected = be->conn.fd >= 0,
		.features = be->features & ~VHOST_BITS,
		.protocol = be->protocol,
		.status = be->status,
		.regions = be->nregions,
		.queues_running = running(be),
		.connections = be->connections,
	};
	for (unsigned i = 0; i < be->nregions; i++)
		info->memory += be->regions[i].wire.size;
	memcpy(info->last_error, be->last_error, sizeof(info->last_error));
}
