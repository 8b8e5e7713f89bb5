/* SPDX-License-Identifier: Apache-2.0 */
#include "vhost/back_internal.h"

#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

/*
 * From one process to another. What a back-end is was told to it in messages; so it is handed over as
 * messages, a few that say all that is so now, and the one that takes it over does as they say. What
 * comes from the other process is thereby checked as what comes from front-ends is.
 */
#define NO_REQUEST   0 /* ends them */
#define MESSAGES_MAX (16 + BACK_SLOTS_MAX + 4096 + 8 * VHOST_BACKEND_QUEUES_MAX)

struct saving {
	struct parcel_out *p;
	uint64_t count;
};

static void save_msg(struct saving *s, uint32_t request, const void *payload, size_t size, int fd)
{
	parcel_put_u64(s->p, request);
	parcel_put_u64(s->p, size);
	parcel_put(s->p, payload, size);
	parcel_put_fd(s->p, fd);
}

static void save_u64(struct saving *s, uint32_t request, uint64_t value, int fd)
{
	save_msg(s, request, &value, sizeof(value), fd);
}

static void save_agreed(struct saving *s, const struct vhost_backend *be)
{
	struct vhost_user_config config = {.size = BACK_CONFIG_BYTES, .flags = 1};

	if (be->owned)
		save_msg(s, VHOST_USER_SET_OWNER, NULL, 0, -1);
	save_u64(s, VHOST_USER_SET_PROTOCOL_FEATURES, be->protocol, -1);
	if (be->features_set)
		save_u64(s, VHOST_USER_SET_FEATURES, be->features, -1);
	if (be->status)
		save_u64(s, VHOST_USER_SET_STATUS, be->status, -1);
	memcpy(config.bytes, be->config, BACK_CONFIG_BYTES);
	save_msg(s, VHOST_USER_SET_CONFIG, &config, VHOST_USER_CONFIG_HEADER + BACK_CONFIG_BYTES,
		 -1);
	if (be->mtu_told)
		save_u64(s, VHOST_USER_NET_SET_MTU, be->mtu_told, -1);
	if (be->request_fd >= 0)
		save_msg(s, VHOST_USER_SET_BACKEND_REQ_FD, NULL, 0, be->request_fd);
}

static void save_translation(const struct vhost_user_iotlb *io, void *arg)
{
	save_msg(arg, VHOST_USER_IOTLB_MSG, io, VHOST_USER_IOTLB_BYTES, -1);
}

static void save_memory(struct saving *s, const struct vhost_backend *be)
{
	for (unsigned i = 0; i < be->nregions; i++) {
		const struct vhost_user_single_region single = {.region = be->regions[i].wire};

		save_msg(s, VHOST_USER_ADD_MEM_REG, &single, sizeof(single), be->regions[i].map.fd);
	}
	if (be->log) {
		const struct vhost_user_log log = {be->log_map.size, be->log_map.offset};

		save_msg(s, VHOST_USER_SET_LOG_BASE, &log, sizeof(log), be->log_map.fd);
	}
	if (be->inflight) {
		const struct vhost_user_inflight in = {
			.mmap_size = be->inflight_map.size,
			.mmap_offset = be->inflight_map.offset,
			.queues = (uint16_t)be->inflight_queues,
			.queue_size = (uint16_t)be->inflight_size,
		};

		save_msg(s, VHOST_USER_SET_INFLIGHT_FD, &in, VHOST_USER_INFLIGHT_BYTES,
			 be->inflight_map.fd);
	}
	back_iotlb_each(be, save_translation, s);
}

static void save_fd(struct saving *s, uint32_t request, unsigned index, int fd)
{
	save_u64(s, request, index | (fd < 0 ? VHOST_USER_NO_FD : 0), fd);
}

static void save_queue(struct saving *s, const struct vhost_backend *be, const struct back_queue *q)
{
	const struct vhost_user_vring_state num = {q->pub.index, q->size};
	const struct vhost_user_vring_state on = {q->pub.index, q->enabled};

	if (q->size)
		save_msg(s, VHOST_USER_SET_VRING_NUM, &num, sizeof(num), -1);
	if (q->addr_set)
		save_msg(s, VHOST_USER_SET_VRING_ADDR, &q->addr, sizeof(q->addr), -1);
	if (q->call_fd >= 0)
		save_fd(s, VHOST_USER_SET_VRING_CALL, q->pub.index, q->call_fd);
	if (q->err_fd >= 0)
		save_fd(s, VHOST_USER_SET_VRING_ERR, q->pub.index, q->err_fd);
	if (q->kick_set)
		save_fd(s, VHOST_USER_SET_VRING_KICK, q->pub.index, q->pub.kick_fd);
	if (!be->features_set || back_feature(be, VHOST_USER_F_PROTOCOL_FEATURES))
		save_msg(s, VHOST_USER_SET_VRING_ENABLE, &on, sizeof(on), -1);
}

/*
 * From save on nothing may change of what was saved. Queues run on, but nobody is listened to: what
 * front-ends, workers and new connections have to say waits where it is.
 */
static void freeze(struct vhost_backend *be)
{
	loop_remove(be->loop, &be->listener);
	loop_remove(be->loop, &be->conn);
	loop_remove(be->loop, &be->attention);
	loop_timer_cancel(be->loop, &be->retry);
	loop_timer_cancel(be->loop, &be->iotlb_timer);
	be->frozen = true;
}

static void thaw(struct vhost_backend *be)
{
	int rc = loop_add(be->loop, &be->attention, EPOLLIN);

	be->frozen = false;
	if (be->conn.fd < 0) {
		back_socket_next(be);
	} else {
		rc |= loop_add(be->loop, &be->conn, EPOLLIN);
		if (back_iotlb_on(be))
			back_iotlb_retry(be);
	}
	if (rc)
		log_error("%s: its front-end cannot be listened to any more", be->name);
}

int vhost_backend_can_save(const struct vhost_backend *be, struct error *err)
{
	if (back_postcopy_begun(be))
		return error_set(err, -EBUSY, "%s: a guest is on its way to it (post-copy)",
				 be->name);
	return 0;
}

void vhost_backend_save(struct vhost_backend *be, struct parcel_out *p)
{
	struct saving s = {.p = p};

	if (be->rx.have)
		vhost_backend_hang_up(be, "it was in the middle of a message when the switch was "
					  "handed over");
	freeze(be);
	parcel_put_fd(p, be->listener.fd);
	parcel_put_fd(p, be->conn.fd);
	if (be->conn.fd < 0)
		return;
	save_agreed(&s, be);
	save_memory(&s, be);
	for (unsigned i = 0; i < be->nqueues; i++)
		save_queue(&s, be, &be->queues[i]);
	save_msg(&s, NO_REQUEST, NULL, 0, -1);
}

void vhost_backend_hold(struct vhost_backend *be)
{
	be->held = true;
	back_rings_stop(be);
}

void vhost_backend_resume(struct vhost_backend *be)
{
	struct error err = {0};

	be->held = false;
	if (be->frozen)
		thaw(be);
	if (be->conn.fd >= 0 && back_rings_resume(be, &err))
		vhost_backend_hang_up(be, err.text);
}

void vhost_backend_save_rings(const struct vhost_backend *be, struct parcel_out *p)
{
	parcel_put_u64(p, be->nqueues);
	for (unsigned i = 0; i < be->nqueues; i++)
		parcel_put_u64(p, be->queues[i].base);
}

int vhost_backend_restore_rings(struct vhost_backend *be, struct parcel_in *p, struct error *err)
{
	if (parcel_get_u64(p) != be->nqueues)
		return error_set(err, -EPROTO, "%s: another number of queues", be->name);
	for (unsigned i = 0; i < be->nqueues; i++)
		be->queues[i].base = (uint32_t)parcel_get_u64(p);
	return p->bad ? error_set(err, -EPROTO, "%s: positions are missing", be->name) : 0;
}

/* Does what one of the messages says. 1: it was the last. */
static int restore_one(struct vhost_backend *be, struct parcel_in *p, struct error *err)
{
	struct vhost_user_msg msg = {.hdr = {.flags = VHOST_USER_VERSION}};
	int rc;

	msg.hdr.request = (uint32_t)parcel_get_range(p, 0, VHOST_USER_REQUEST_MAX - 1);
	msg.hdr.size = (uint32_t)parcel_get_range(p, 0, sizeof(msg.payload));
	parcel_get(p, &msg.payload, msg.hdr.size);
	msg.fds[0] = parcel_get_fd(p);
	msg.nfds = msg.fds[0] >= 0;
	if (p->bad) {
		vhost_user_close_fds(&msg);
		return error_set(err, -EPROTO, "it ends too early");
	}
	if (msg.hdr.request == NO_REQUEST && !msg.nfds)
		return 1;
	rc = back_carry_out(be, &msg, err);
	vhost_user_close_fds(&msg);
	return rc ? error_prefix(
			    err, rc, "%s",
			    vhost_user_request_name(VHOST_USER_CHANNEL_FRONTEND, msg.hdr.request))
		  : 0;
}

static bool is_socket(int fd, bool listens)
{
	int type = 0, on = 0;
	socklen_t len = sizeof(type), len2 = sizeof(on);

	return getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len) == 0 && type == SOCK_STREAM &&
	       getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &on, &len2) == 0 && !on == !listens;
}

static int restore_sockets(struct vhost_backend *be, struct parcel_in *p, struct error *err)
{
	int listener = parcel_get_fd(p), conn = parcel_get_fd(p);

	if (listener >= 0)
		back_socket_take(be, listener);
	if (p->bad || (listener >= 0) != be->server ||
	    (listener >= 0 && !is_socket(listener, true)) ||
	    (conn >= 0 && !is_socket(conn, false))) {
		if (conn >= 0)
			close(conn);
		return error_set(err, -EPROTO, "the sockets are not what they should be");
	}
	if (listener >= 0)
		fcntl(listener, F_SETFL, fcntl(listener, F_GETFL) | O_NONBLOCK);
	return conn >= 0 ? back_conn_start(be, conn, err) : 0;
}

int back_restore(struct vhost_backend *be, struct parcel_in *p, struct error *err)
{
	int rc;

	be->held = true;
	rc = restore_sockets(be, p, err);
	if (rc == 0 && be->conn.fd < 0) {
		back_socket_next(be);
		return 0;
	}
	for (unsigned n = 0; rc == 0 && n < MESSAGES_MAX; n++)
		rc = restore_one(be, p, err);
	if (rc == 1)
		return 0;
	if (rc == 0)
		rc = error_set(err, -EPROTO, "too many messages");
	return error_prefix(err, rc, "%s: cannot be taken over", be->name);
}
