/* SPDX-License-Identifier: Apache-2.0 */
#include "vhost/ring_base.h"
#include "vhost/user_request.h"

#include <errno.h>
#include <unistd.h>

#define VRING_BYTES sizeof(struct vhost_user_vring_state)

int vhost_user_set_features(struct vhost_user_frontend *fe, uint64_t features, bool log,
			    struct error *err)
{
	if (features & ~fe->features)
		return error_set(err, -ENOTSUP, "%s: the back-end does not offer features %#llx",
				 fe->name, (unsigned long long)(features & ~fe->features));
	if (fe->protocol_ok)
		features |= 1ULL << VHOST_USER_F_PROTOCOL_FEATURES;
	if (log)
		features |= 1ULL << VHOST_USER_F_LOG_ALL;
	return vhost_user_tell_u64(fe, VHOST_USER_SET_FEATURES, features, err);
}

int vhost_user_set_ring_addr(struct vhost_user_frontend *fe, const struct vhost_user_ring *ring,
			     const struct mem_table *table, struct error *err)
{
	struct vhost_user_msg msg =
		vhost_user_message(VHOST_USER_SET_VRING_ADDR, sizeof(struct vhost_user_vring_addr));
	const struct vring_config *cfg = ring->cfg;
	const struct {
		uint64_t gpa, len, *out;
	} parts[] = {
		{cfg->desc, vring_desc_bytes(cfg), &msg.payload.addr.desc},
		{cfg->driver, vring_driver_bytes(cfg), &msg.payload.addr.avail},
		{cfg->device, vring_device_bytes(cfg), &msg.payload.addr.used},
	};

	for (unsigned i = 0; i < ARRAY_SIZE(parts); i++) {
		const struct mem_region *r = mem_find(table, parts[i].gpa, parts[i].len);

		if (!r)
			return error_set(err, -EFAULT,
					 "%s: ring %u does not lie inside guest memory", fe->name,
					 ring->index);
		*parts[i].out = r->user_addr + (parts[i].gpa - r->gpa);
	}
	msg.payload.addr.index = ring->index;
	if (table->dirty) {
		msg.payload.addr.flags = VHOST_USER_VRING_F_LOG;
		msg.payload.addr.log = cfg->device;
	}
	return vhost_user_transmit(fe, &msg, err);
}

static int send_vring_fd(struct vhost_user_frontend *fe, enum vhost_user_request request,
			 unsigned index, int fd, struct error *err)
{
	struct vhost_user_msg msg = vhost_user_message(request, sizeof(uint64_t));

	msg.payload.u64 = index;
	if (fd < 0)
		msg.payload.u64 |= VHOST_USER_NO_FD;
	else
		msg.fds[msg.nfds++] = fd;
	return vhost_user_transmit(fe, &msg, err);
}

static int send_state(struct vhost_user_frontend *fe, enum vhost_user_request request,
		      unsigned index, uint32_t num, struct error *err)
{
	struct vhost_user_msg msg = vhost_user_message(request, VRING_BYTES);

	msg.payload.state.index = index;
	msg.payload.state.num = num;
	return vhost_user_transmit(fe, &msg, err);
}

/* None of these is waited for: the barrier after the last ring waits for them all. */
int vhost_user_set_ring(struct vhost_user_frontend *fe, const struct vhost_user_ring *ring,
			const struct mem_table *table, struct error *err)
{
	unsigned i = ring->index;
	int rc = send_state(fe, VHOST_USER_SET_VRING_NUM, i, ring->cfg->size, err);

	if (rc == 0)
		rc = send_state(fe, VHOST_USER_SET_VRING_BASE, i,
				vhost_base_encode(ring->cfg, ring->state), err);
	if (rc == 0)
		rc = vhost_user_set_ring_addr(fe, ring, table, err);
	if (rc == 0 && ring->err_fd >= 0)
		rc = send_vring_fd(fe, VHOST_USER_SET_VRING_ERR, i, ring->err_fd, err);
	if (rc == 0)
		rc = send_vring_fd(fe, VHOST_USER_SET_VRING_CALL, i, ring->call_fd, err);
	if (rc == 0)
		rc = send_vring_fd(fe, VHOST_USER_SET_VRING_KICK, i, ring->kick_fd, err);
	return rc;
}

int vhost_user_enable_ring(struct vhost_user_frontend *fe, unsigned index, bool on,
			   struct error *err)
{
	if (!fe->protocol_ok)
		return 0; /* "Ring states": it is enabled from its start */
	return send_state(fe, VHOST_USER_SET_VRING_ENABLE, index, on, err);
}

int vhost_user_stop_ring(struct vhost_user_frontend *fe, const struct vhost_user_ring *ring,
			 const struct mem_table *table, struct vring_state *state,
			 struct error *err)
{
	struct vhost_user_msg msg = vhost_user_message(VHOST_USER_GET_VRING_BASE, VRING_BYTES);
	int rc;

	msg.payload.state.index = ring->index;
	rc = vhost_user_ask(fe, &msg, err);
	if (rc == 0 && msg.payload.state.index != ring->index)
		rc = vhost_user_give_up(fe,
					error_set(err, -EPROTO,
						  "GET_VRING_BASE: answered for ring %u, not %u",
						  msg.payload.state.index, ring->index),
					err);
	if (rc) {
		vhost_base_recover(ring->cfg, table, ring->state, state);
		return rc;
	}
	/* Back-ends that stop with nothing in flight may leave the used half of it out. */
	if (ring->cfg->packed && !(msg.payload.state.num >> 16))
		msg.payload.state.num |= msg.payload.state.num << 16;
	rc = vhost_base_decode(ring->cfg, table, msg.payload.state.num, state);
	if (rc)
		return error_set(err, rc,
				 "%s: ring %u: the back-end stopped it at %#x, where it "
				 "cannot be",
				 fe->name, ring->index, msg.payload.state.num);
	return 0;
}

int vhost_user_barrier(struct vhost_user_frontend *fe, struct error *err)
{
	uint64_t features;

	return vhost_user_ask_u64(fe, VHOST_USER_GET_FEATURES, &features, err);
}

int vhost_user_set_inflight(struct vhost_user_frontend *fe,
			    struct vhost_user_inflight_region *region, unsigned queues,
			    unsigned queue_size, struct error *err)
{
	struct vhost_user_msg msg =
		vhost_user_message(VHOST_USER_GET_INFLIGHT_FD, VHOST_USER_INFLIGHT_BYTES);
	int rc;

	if (!vhost_user_has(fe, VHOST_USER_PROTOCOL_F_INFLIGHT_SHMFD))
		return 0;
	if (region->fd < 0) {
		msg.payload.inflight.queues = (uint16_t)queues;
		msg.payload.inflight.queue_size = (uint16_t)queue_size;
		rc = vhost_user_ask(fe, &msg, err);
		if (rc || msg.nfds == 0 || msg.payload.inflight.mmap_size == 0) {
			vhost_user_close_fds(&msg);
			return rc; /* a back-end may have nothing to keep */
		}
		region->fd = msg.fds[0];
		region->desc = msg.payload.inflight;
	}
	msg = vhost_user_message(VHOST_USER_SET_INFLIGHT_FD, VHOST_USER_INFLIGHT_BYTES);
	msg.payload.inflight = region->desc;
	msg.fds[0] = region->fd;
	msg.nfds = 1;
	return vhost_user_tell(fe, &msg, err);
}

void vhost_user_inflight_free(struct vhost_user_inflight_region *region)
{
	if (region->fd >= 0)
		close(region->fd);
	region->fd = -1;
}

int vhost_user_set_status(struct vhost_user_frontend *fe, uint8_t status, struct error *err)
{
	struct vhost_user_msg reset = vhost_user_message(VHOST_USER_RESET_DEVICE, 0);

	if (vhost_user_has(fe, VHOST_USER_PROTOCOL_F_STATUS))
		return vhost_user_tell_u64(fe, VHOST_USER_SET_STATUS, status, err);
	if (status == 0 && vhost_user_has(fe, VHOST_USER_PROTOCOL_F_RESET_DEVICE))
		return vhost_user_tell(fe, &reset, err);
	return 0;
}

int vhost_user_set_mtu(struct vhost_user_frontend *fe, unsigned mtu, struct error *err)
{
	if (!vhost_user_has(fe, VHOST_USER_PROTOCOL_F_NET_MTU))
		return 0;
	return vhost_user_tell_u64(fe, VHOST_USER_NET_SET_MTU, mtu, err);
}

int vhost_user_send_rarp(struct vhost_user_frontend *fe, const uint8_t mac[6], struct error *err)
{
	uint64_t value = 0;

	if (!vhost_user_has(fe, VHOST_USER_PROTOCOL_F_RARP))
		return error_set(err, -ENOTSUP, "%s: the back-end cannot announce (RARP)",
				 fe->name);
	memcpy(&value, mac, 6);
	return vhost_user_tell_u64(fe, VHOST_USER_SEND_RARP, value, err);
}

int vhost_user_get_config(struct vhost_user_frontend *fe, unsigned offset, void *to, unsigned len,
			  struct error *err)
{
	struct vhost_user_msg msg = vhost_user_message(VHOST_USER_GET_CONFIG,
						       (uint32_t)(VHOST_USER_CONFIG_HEADER + len));
	int rc;

	if (!vhost_user_has(fe, VHOST_USER_PROTOCOL_F_CONFIG))
		return error_set(err, -ENOTSUP, "%s: the back-end has no config space (CONFIG)",
				 fe->name);
	if (len > VHOST_USER_CONFIG_MAX || offset > VHOST_USER_CONFIG_MAX - len)
		return error_set(err, -EINVAL, "%s: outside the config space", fe->name);
	msg.payload.config.offset = offset;
	msg.payload.config.size = len;
	rc = vhost_user_ask(fe, &msg, err);
	if (rc)
		return rc;
	if (msg.hdr.size != VHOST_USER_CONFIG_HEADER + len || msg.payload.config.size != len)
		return error_set(err, -EIO, "%s: the back-end has no config bytes %u+%u", fe->name,
				 offset, len);
	memcpy(to, msg.payload.config.bytes, len);
	return 0;
}
