/* SPDX-License-Identifier: Apache-2.0 */
#include "vhost/user_request.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

void vhost_user_frontend_init(struct vhost_user_frontend *fe, const char *name)
{
	*fe = (struct vhost_user_frontend){.fd = -1, .backend_fd = -1};
	snprintf(fe->name, sizeof(fe->name), "%s", name);
}

void vhost_user_within(struct vhost_user_frontend *fe, unsigned msecs)
{
	fe->deadline = clock_ns() + msecs * NSEC_PER_MSEC;
}

int vhost_user_give_up(struct vhost_user_frontend *fe, int rc, struct error *err)
{
	fe->broken = true;
	return error_prefix(err, rc, "%s", fe->name);
}

int vhost_user_transmit(struct vhost_user_frontend *fe, const struct vhost_user_msg *msg,
			struct error *err)
{
	int rc;

	if (fe->broken || fe->fd < 0)
		return error_set(err, -ENOTCONN, "%s: not connected", fe->name);
	rc = vhost_user_send(fe->fd, msg, fe->deadline, err);
	if (rc == 0)
		return 0;
	error_prefix(err, rc, "%s",
		     vhost_user_request_name(VHOST_USER_CHANNEL_FRONTEND, msg->hdr.request));
	return vhost_user_give_up(fe, rc, err);
}

/* Until there is more of the reply; what the back-end asks for meanwhile is answered. */
static int wait_for_reply(struct vhost_user_frontend *fe, struct error *err)
{
	for (;;) {
		struct pollfd p[] = {
			{.fd = fe->fd, .events = POLLIN},
			{.fd = fe->backend_broken ? -1 : fe->backend_fd, .events = POLLIN}};
		uint64_t now = clock_ns(), left = fe->deadline > now ? fe->deadline - now : 0;
		int ms = (int)MIN((left + NSEC_PER_MSEC - 1) / NSEC_PER_MSEC, 60000);
		int n = poll(p, ARRAY_SIZE(p), ms);

		if (n < 0 && errno != EINTR)
			return error_set(err, -errno, "poll: %s", error_name(errno));
		if (n > 0 && p[0].revents)
			return 0;
		if (n > 0)
			vhost_user_backend_request(fe, NULL); /* who watches it hears of errors */
		if (clock_ns() >= fe->deadline)
			return error_set(err, -ETIMEDOUT, "the peer does not answer in time");
	}
}

/* Waits for the reply to `request`, into *reply, whose descriptors are then the caller's. */
static int receive(struct vhost_user_frontend *fe, uint32_t request, struct vhost_user_msg *reply,
		   struct error *err)
{
	int rc;

	while ((rc = vhost_user_rx_step(&fe->rx, VHOST_USER_CHANNEL_FRONTEND, fe->fd, err)) == 0) {
		rc = wait_for_reply(fe, err);
		if (rc)
			break;
	}
	if (rc < 0) {
		error_prefix(err, rc, "%s",
			     vhost_user_request_name(VHOST_USER_CHANNEL_FRONTEND, request));
		vhost_user_rx_drop(&fe->rx);
		return vhost_user_give_up(fe, rc, err);
	}
	*reply = fe->rx.msg;
	vhost_user_rx_next(&fe->rx);
	rc = vhost_user_check_reply(VHOST_USER_CHANNEL_FRONTEND, request, reply, err);
	if (rc) {
		vhost_user_close_fds(reply);
		return vhost_user_give_up(fe, rc, err);
	}
	return 0;
}

int vhost_user_ask(struct vhost_user_frontend *fe, struct vhost_user_msg *msg, struct error *err)
{
	uint32_t request = msg->hdr.request;
	int rc = vhost_user_transmit(fe, msg, err);

	return rc ? rc : receive(fe, request, msg, err);
}

int vhost_user_ask_u64(struct vhost_user_frontend *fe, enum vhost_user_request request,
		       uint64_t *out, struct error *err)
{
	struct vhost_user_msg msg = vhost_user_message(request, 0);
	int rc = vhost_user_ask(fe, &msg, err);

	if (rc == 0)
		*out = msg.payload.u64;
	return rc;
}

int vhost_user_tell(struct vhost_user_frontend *fe, struct vhost_user_msg *msg, struct error *err)
{
	uint32_t request = msg->hdr.request;
	bool ack = vhost_user_has(fe, VHOST_USER_PROTOCOL_F_REPLY_ACK);
	struct vhost_user_msg reply = {0};
	int rc;

	if (ack)
		msg->hdr.flags |= VHOST_USER_NEED_REPLY;
	rc = vhost_user_transmit(fe, msg, err);
	if (rc || !ack)
		return rc;
	rc = receive(fe, request, &reply, err);
	if (rc)
		return rc;
	if (reply.payload.u64 != 0)
		return error_set(err, -EIO, "%s: the back-end refused %s", fe->name,
				 vhost_user_request_name(VHOST_USER_CHANNEL_FRONTEND, request));
	return 0;
}

int vhost_user_tell_u64(struct vhost_user_frontend *fe, enum vhost_user_request request,
			uint64_t value, struct error *err)
{
	struct vhost_user_msg msg = vhost_user_message(request, sizeof(uint64_t));

	msg.payload.u64 = value;
	return vhost_user_tell(fe, &msg, err);
}

/* Gives the back-end one end of a socket pair for requests of its own ("Back-end communication"). */
static int open_backend_channel(struct vhost_user_frontend *fe, struct error *err)
{
	struct vhost_user_msg msg = vhost_user_message(VHOST_USER_SET_BACKEND_REQ_FD, 0);
	int pair[2];
	int rc;

	if (!vhost_user_has(fe, VHOST_USER_PROTOCOL_F_BACKEND_REQ))
		return 0;
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
		return error_set(err, -errno, "%s: cannot make a channel for the back-end: %s",
				 fe->name, error_name(errno));
	msg.fds[0] = pair[1];
	msg.nfds = 1;
	rc = vhost_user_tell(fe, &msg, err);
	close(pair[1]);
	if (rc) {
		close(pair[0]);
		return rc;
	}
	fe->backend_fd = pair[0];
	return 0;
}

static int agree_on_protocol(struct vhost_user_frontend *fe, struct error *err)
{
	struct vhost_user_msg msg =
		vhost_user_message(VHOST_USER_SET_PROTOCOL_FEATURES, sizeof(uint64_t));
	uint64_t offered;
	int rc = vhost_user_ask_u64(fe, VHOST_USER_GET_PROTOCOL_FEATURES, &offered, err);

	if (rc)
		return rc;
	msg.payload.u64 = offered & VHOST_USER_FRONTEND_PROTOCOL;
	rc = vhost_user_transmit(fe, &msg, err);
	if (rc)
		return rc;
	fe->protocol = msg.payload.u64;
	return 0;
}

static int read_limits(struct vhost_user_frontend *fe, struct error *err)
{
	uint64_t n;
	int rc;

	fe->queues_max = 2;
	fe->slots_max = VHOST_USER_REGIONS_MAX;
	if (vhost_user_has(fe, VHOST_USER_PROTOCOL_F_MQ)) {
		/* In pairs for a net device, as all its implementations have it. */
		rc = vhost_user_ask_u64(fe, VHOST_USER_GET_QUEUE_NUM, &n, err);
		if (rc)
			return rc;
		fe->queues_max = 2 * (unsigned)MIN(n, VHOST_USER_VRING_MASK / 2);
	}
	if (vhost_user_has(fe, VHOST_USER_PROTOCOL_F_CONFIGURE_MEM_SLOTS)) {
		rc = vhost_user_ask_u64(fe, VHOST_USER_GET_MAX_MEM_SLOTS, &n, err);
		if (rc)
			return rc;
		fe->slots_max = (unsigned)MIN(n, 32768);
	}
	return 0;
}

int vhost_user_greet(struct vhost_user_frontend *fe, int fd, struct error *err)
{
	struct vhost_user_msg owner = vhost_user_message(VHOST_USER_SET_OWNER, 0);
	int rc;

	fe->fd = fd;
	fe->broken = fe->backend_broken = false;
	fe->protocol = 0;
	fe->memory_given = false;
	rc = vhost_user_ask_u64(fe, VHOST_USER_GET_FEATURES, &fe->features, err);
	if (rc)
		return rc;
	fe->protocol_ok = fe->features >> VHOST_USER_F_PROTOCOL_FEATURES & 1;
	if (fe->protocol_ok)
		rc = agree_on_protocol(fe, err);
	if (rc == 0)
		rc = vhost_user_transmit(fe, &owner, err);
	if (rc == 0)
		rc = read_limits(fe, err);
	if (rc == 0)
		rc = open_backend_channel(fe, err);
	return rc;
}

void vhost_user_hang_up(struct vhost_user_frontend *fe)
{
	if (fe->fd >= 0)
		close(fe->fd);
	if (fe->backend_fd >= 0)
		close(fe->backend_fd);
	vhost_user_rx_drop(&fe->rx);
	vhost_user_rx_drop(&fe->backend_rx);
	free(fe->regions);
	fe->regions = NULL;
	fe->nregions = 0;
	fe->memory_given = false;
	fe->fd = fe->backend_fd = -1;
	fe->broken = true;
}
