/* SPDX-License-Identifier: Apache-2.0 */
#include "vhost/back_internal.h"

#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

/*
 * The connection: requests come in, are checked against the codec's table, go to their handlers,
 * and are answered.
 *
 * What an error costs depends on what was agreed on. A request that is well-formed but cannot be
 * carried out is answered "no" where its sender asked for an acknowledgement (REPLY_ACK and
 * NEED_REPLY), and the connection goes on; where nobody would hear the no, it is closed, as the
 * specification allows, because front-end and back-end would no longer mean the same. A message
 * that is no vhost-user closes it always.
 *
 * Nothing waits for the front-end: a reply that does not fit in the socket's buffer means that it
 * does not read its replies, and it is let go. One round of the loop takes a bounded number of
 * messages, so that a front-end that talks without end does not keep the others' from being heard.
 */
#define MESSAGES_A_ROUND 64

static back_handler *const handlers[VHOST_USER_REQUEST_MAX] = {
	[VHOST_USER_GET_FEATURES] = back_get_features,
	[VHOST_USER_SET_FEATURES] = back_set_features,
	[VHOST_USER_SET_OWNER] = back_set_owner,
	[VHOST_USER_RESET_OWNER] = back_reset_owner,
	[VHOST_USER_SET_MEM_TABLE] = back_set_mem_table,
	[VHOST_USER_SET_LOG_BASE] = back_set_log_base,
	[VHOST_USER_SET_LOG_FD] = back_set_log_fd,
	[VHOST_USER_SET_VRING_NUM] = back_set_vring_num,
	[VHOST_USER_SET_VRING_ADDR] = back_set_vring_addr,
	[VHOST_USER_SET_VRING_BASE] = back_set_vring_base,
	[VHOST_USER_GET_VRING_BASE] = back_get_vring_base,
	[VHOST_USER_SET_VRING_KICK] = back_set_vring_kick,
	[VHOST_USER_SET_VRING_CALL] = back_set_vring_call,
	[VHOST_USER_SET_VRING_ERR] = back_set_vring_err,
	[VHOST_USER_GET_PROTOCOL_FEATURES] = back_get_protocol_features,
	[VHOST_USER_SET_PROTOCOL_FEATURES] = back_set_protocol_features,
	[VHOST_USER_GET_QUEUE_NUM] = back_get_queue_num,
	[VHOST_USER_SET_VRING_ENABLE] = back_set_vring_enable,
	[VHOST_USER_SEND_RARP] = back_send_rarp,
	[VHOST_USER_NET_SET_MTU] = back_set_mtu,
	[VHOST_USER_SET_BACKEND_REQ_FD] = back_set_request_fd,
	[VHOST_USER_IOTLB_MSG] = back_iotlb_msg,
	[VHOST_USER_GET_CONFIG] = back_get_config,
	[VHOST_USER_SET_CONFIG] = back_set_config,
	[VHOST_USER_POSTCOPY_ADVISE] = back_postcopy_advise,
	[VHOST_USER_POSTCOPY_LISTEN] = back_postcopy_listen,
	[VHOST_USER_POSTCOPY_END] = back_postcopy_end,
	[VHOST_USER_GET_INFLIGHT_FD] = back_get_inflight_fd,
	[VHOST_USER_SET_INFLIGHT_FD] = back_set_inflight_fd,
	[VHOST_USER_RESET_DEVICE] = back_reset_device,
	[VHOST_USER_GET_MAX_MEM_SLOTS] = back_get_max_mem_slots,
	[VHOST_USER_ADD_MEM_REG] = back_add_mem_reg,
	[VHOST_USER_REM_MEM_REG] = back_rem_mem_reg,
	[VHOST_USER_SET_STATUS] = back_set_status,
	[VHOST_USER_GET_STATUS] = back_get_status,
	[VHOST_USER_SET_DEVICE_STATE_FD] = back_set_device_state_fd,
	[VHOST_USER_CHECK_DEVICE_STATE] = back_check_device_state,
};

int back_take_fd(struct vhost_user_msg *msg)
{
	int fd = msg->fds[0];

	msg->nfds--;
	memmove(msg->fds, msg->fds + 1, msg->nfds * sizeof(msg->fds[0]));
	return fd;
}

int back_request(struct vhost_backend *be, const struct vhost_user_msg *msg)
{
	struct error err;

	if (be->request_fd < 0)
		return -ENOTCONN;
	if (vhost_user_send(be->request_fd, msg, 0, &err) == 0)
		return 0;
	log_warn_limited("%s: %s: %s", be->name,
			 vhost_user_request_name(VHOST_USER_CHANNEL_BACKEND, msg->hdr.request),
			 err.text);
	close(be->request_fd);
	be->request_fd = -1;
	return -ENOTCONN;
}

static int reply(struct vhost_backend *be, struct vhost_user_msg *msg, struct error *err)
{
	msg->hdr.flags = VHOST_USER_VERSION | VHOST_USER_REPLY;
	return vhost_user_send(be->conn.fd, msg, 0, err);
}

static bool wants_ack(const struct vhost_backend *be, const struct vhost_user_msg *msg)
{
	return back_has(be, VHOST_USER_PROTOCOL_F_REPLY_ACK) &&
	       (msg->hdr.flags & VHOST_USER_NEED_REPLY);
}

static int acknowledge(struct vhost_backend *be, const struct vhost_user_msg *request,
		       uint64_t value, struct error *err)
{
	struct vhost_user_msg msg = {.hdr = {.request = request->hdr.request, .size = 8}};

	msg.payload.u64 = value;
	return reply(be, &msg, err);
}

/* Those are answered with the regions' addresses while post-copy lasts, and not acknowledged. */
static bool answers_memory(const struct vhost_backend *be, uint32_t request)
{
	return back_postcopy_on(be) &&
	       (request == VHOST_USER_SET_MEM_TABLE || request == VHOST_USER_ADD_MEM_REG);
}

/* A request whose form is right. */
static int carry_out(struct vhost_backend *be, struct vhost_user_msg *msg, struct error *err)
{
	uint32_t request = msg->hdr.request;
	bool replies = vhost_user_replies(VHOST_USER_CHANNEL_FRONTEND, request, be->protocol);
	bool memory = answers_memory(be, request), ack = !replies && !memory && wants_ack(be, msg);
	int rc = handlers[request](be, msg, err);

	if (rc && !ack)
		return rc;
	if (rc)
		log_warn_limited("%s: refused: %s", be->name, err->text);
	if (ack)
		return acknowledge(be, msg, rc ? 1 : 0, err);
	if (memory)
		back_postcopy_answer(be, msg);
	return replies || memory ? reply(be, msg, err) : 0;
}

int back_carry_out(struct vhost_backend *be, struct vhost_user_msg *msg, struct error *err)
{
	int rc = vhost_user_check_header(VHOST_USER_CHANNEL_FRONTEND, &msg->hdr, err);

	if (rc == 0)
		rc = vhost_user_check_request(VHOST_USER_CHANNEL_FRONTEND, msg,
					      back_protocol_offered(be), err);
	return rc ? rc : handlers[msg->hdr.request](be, msg, err);
}

static int handle(struct vhost_backend *be, struct error *err)
{
	struct vhost_user_msg *msg = &be->rx.msg;
	int rc;

	if (back_postcopy_registered(be, msg))
		return back_rings_resume(be, err);
	rc = vhost_user_check_request(VHOST_USER_CHANNEL_FRONTEND, msg, be->protocol, err);
	if (rc == 0) {
		log_debug("%s: %s", be->name,
			  vhost_user_request_name(VHOST_USER_CHANNEL_FRONTEND, msg->hdr.request));
		rc = carry_out(be, msg, err);
	}
	if (rc)
		error_prefix(
			err, rc, "%s",
			vhost_user_request_name(VHOST_USER_CHANNEL_FRONTEND, msg->hdr.request));
	return rc;
}

/* One message, if there is a whole one: 1. */
static int step(struct vhost_backend *be, struct error *err)
{
	int rc = vhost_user_rx_step(&be->rx, VHOST_USER_CHANNEL_FRONTEND, be->conn.fd, err);

	if (rc == -ENOTSUP) {
		/* Known to others perhaps; it says itself whether it must be answered. */
		log_debug("%s: %s", be->name, err->text);
		rc = wants_ack(be, &be->rx.msg) ? acknowledge(be, &be->rx.msg, 1, err) : 0;
	} else if (rc == 1) {
		rc = handle(be, err);
	} else {
		return rc;
	}
	if (be->conn.fd < 0)
		return 0;
	vhost_user_rx_drop(&be->rx);
	return rc ? rc : 1;
}

static void on_message(struct loop_fd *watch, uint32_t events)
{
	struct vhost_backend *be = watch->opaque;
	struct error err = {0};
	int rc = 1;

	for (unsigned i = 0; i < MESSAGES_A_ROUND && rc > 0 && be->conn.fd >= 0; i++)
		rc = step(be, &err);
	if (rc < 0 && be->conn.fd >= 0)
		vhost_backend_hang_up(be, err.text);
}

static void on_attention(struct loop_fd *watch, uint32_t events)
{
	struct vhost_backend *be = watch->opaque;
	struct error err;

	eventfd_read(watch->fd, &(eventfd_t){0});
	if (atomic_exchange(&be->blocked, false)) {
		vhost_backend_hang_up(be, "it held up whoever signalled it");
		return;
	}
	if (back_mem_lost(be)) {
		vhost_backend_hang_up(be, "it took memory away that was in use");
		return;
	}
	if (back_postcopy_arrived(be, &err)) {
		vhost_backend_hang_up(be, err.text);
		return;
	}
	for (unsigned i = 0; i < be->nqueues && be->conn.fd >= 0; i++)
		if (atomic_exchange(&be->queues[i].attention, false))
			back_ring_attention(be, &be->queues[i]);
}

void vhost_backend_attention(struct vhost_backend_queue *q)
{
	struct back_queue *bq = container_of(q, struct back_queue, pub);

	if (!atomic_exchange(&bq->attention, true))
		eventfd_write(q->backend->attention.fd, 1);
}

int back_conn_start(struct vhost_backend *be, int fd, struct error *err)
{
	int rc;

	if (be->conn.fd >= 0) {
		close(fd);
		return error_set(err, -EBUSY, "%s: a front-end is connected already", be->name);
	}
	fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
	be->conn = (struct loop_fd){.fd = fd, .fn = on_message, .opaque = be};
	rc = loop_add(be->loop, &be->conn, EPOLLIN);
	if (rc) {
		close(fd);
		be->conn.fd = -1;
		return error_set(err, rc, "%s: cannot watch the connection: %s", be->name,
				 error_name(rc));
	}
	be->connections++;
	be->last_error[0] = 0;
	log_info("%s: a front-end is connected", be->name);
	if (be->ops->connection)
		be->ops->connection(be->opaque, true, "");
	return 0;
}

int vhost_backend_attach(struct vhost_backend *be, int fd, struct error *err)
{
	return back_conn_start(be, fd, err);
}

/* Back to how it was before the first front-end came. */
static void forget_front_end(struct vhost_backend *be)
{
	back_rings_reset(be);
	back_iotlb_drop(be);
	back_mem_drop(be);
	back_postcopy_drop(be);
	back_state_drop(be);
	back_log_drop(be);
	back_inflight_drop(be);
	if (be->request_fd >= 0)
		close(be->request_fd);
	be->request_fd = -1;
	be->features = be->protocol = 0;
	be->features_set = be->owned = false;
	atomic_store(&be->blocked, false);
	be->status = 0;
	store_le16(be->config + BACK_CONFIG_MTU, be->mtu_max);
	be->mtu_told = 0;
}

void vhost_backend_hang_up(struct vhost_backend *be, const char *why)
{
	if (be->conn.fd < 0)
		return;
	snprintf(be->last_error, sizeof(be->last_error), "%s", why);
	loop_remove(be->loop, &be->conn);
	close(be->conn.fd);
	be->conn.fd = -1;
	vhost_user_rx_drop(&be->rx);
	forget_front_end(be);
	log_info("%s: the front-end is gone: %s", be->name, why);
	if (be->ops->connection)
		be->ops->connection(be->opaque, false, be->last_error);
	back_socket_next(be);
}

static int open_attention(struct vhost_backend *be, struct error *err)
{
	int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK), rc;

	if (fd < 0)
		return error_set(err, -errno, "%s: eventfd: %s", be->name, error_name(errno));
	be->attention = (struct loop_fd){.fd = fd, .fn = on_attention, .opaque = be};
	rc = loop_add(be->loop, &be->attention, EPOLLIN);
	if (rc)
		error_set(err, rc, "%s: cannot watch an eventfd: %s", be->name, error_name(rc));
	return rc;
}

static int check_params(const struct vhost_backend_params *p, struct error *err)
{
	uint64_t unknown = p->features & ~vhost_backend_features;

	if (p->queue_pairs == 0 || p->queue_pairs > VHOST_BACKEND_PAIRS_MAX)
		return error_set(err, -EINVAL, "%s: between 1 and %d queue pairs", p->name,
				 VHOST_BACKEND_PAIRS_MAX);
	if (unknown)
		return error_set(err, -EINVAL, "%s: features %#llx cannot be carried", p->name,
				 (unsigned long long)unknown);
	return 0;
}

struct vhost_backend *vhost_backend_create(const struct vhost_backend_params *params,
					   struct error *err)
{
	struct vhost_backend *be;

	if (check_params(params, err))
		return NULL;
	be = calloc(1, sizeof(*be));
	if (!be) {
		error_set(err, -ENOMEM, "%s: out of memory", params->name);
		return NULL;
	}
	be->loop = params->loop;
	be->ops = params->ops;
	be->opaque = params->opaque;
	be->server = params->server;
	be->state.pipe.fd = -1;
	be->listener.fd = be->conn.fd = be->attention.fd = be->request_fd = -1;
	be->name = strdup(params->name);
	be->path = params->path ? strdup(params->path) : NULL;
	if (!be->name || (params->path && !be->path)) {
		error_set(err, -ENOMEM, "%s: out of memory", params->name);
		goto fail;
	}
	back_config_init(be, params);
	if (back_rings_init(be, 2 * params->queue_pairs, err) || open_attention(be, err) ||
	    back_watch_add(be, err))
		goto fail;
	back_socket_init(be);
	if (params->inherit ? back_restore(be, params->inherit, err)
			    : be->path && back_socket_open(be, err))
		goto fail;
	return be;
fail:
	vhost_backend_destroy(be);
	return NULL;
}

void vhost_backend_destroy(struct vhost_backend *be)
{
	if (!be)
		return;
	back_socket_close(be);
	vhost_backend_hang_up(be, "the port is removed");
	if (be->attention.fd >= 0) {
		loop_remove(be->loop, &be->attention);
		close(be->attention.fd);
	}
	back_watch_remove(be);
	back_rings_free(be);
	free(be->name);
	free(be->path);
	free(be);
}
