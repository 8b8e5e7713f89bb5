/* SPDX-License-Identifier: Apache-2.0 */
#include "vhost/user_request.h"

#include "base/log.h"

#include <errno.h>
#include <sys/socket.h>

/* The back-end's requests, on the channel of SET_BACKEND_REQ_FD ("Back-end communication"). */

static int answer_backend(struct vhost_user_frontend *fe, const struct vhost_user_msg *request,
			  uint64_t result, struct error *err)
{
	struct vhost_user_msg reply = {
		.hdr = {request->hdr.request, VHOST_USER_VERSION | VHOST_USER_REPLY,
			sizeof(uint64_t)},
		.payload.u64 = result,
	};

	if (!(request->hdr.flags & VHOST_USER_NEED_REPLY))
		return 0;
	return vhost_user_send(fe->backend_fd, &reply, clock_ns() + 100 * NSEC_PER_MSEC, err);
}

/* Errors are of this one request: the back-end is told no, and goes on with its eventfd. */
static int take_notifier(struct vhost_user_frontend *fe, const struct vhost_user_msg *msg,
			 struct error *err)
{
	const struct vhost_user_area *area = &msg->payload.area;
	unsigned queue = area->queue & VHOST_USER_VRING_MASK;
	bool none = area->queue & VHOST_USER_NO_FD;

	if (area->queue & ~(uint64_t)(VHOST_USER_VRING_MASK | VHOST_USER_NO_FD))
		return error_set(err, -EINVAL, "queue %#llx", (unsigned long long)area->queue);
	if (none != (msg->nfds == 0))
		return error_set(err, -EINVAL,
				 "queue %u: %u descriptors, where it says there is %s", queue,
				 msg->nfds, none ? "none" : "one");
	if (!none && area->offset > UINT64_MAX - area->size)
		return error_set(err, -EINVAL, "queue %u: no possible range", queue);
	if (!fe->notifier)
		return error_set(err, -ENOTSUP, "queue %u: nobody takes them", queue);
	return fe->notifier(fe->opaque, queue, none ? -1 : msg->fds[0], area, err);
}

/* What the request asks for; the result for the back-end. */
static uint64_t carry_out(struct vhost_user_frontend *fe, const struct vhost_user_msg *msg)
{
	struct error why = {0};

	if (msg->hdr.request == VHOST_USER_BACKEND_CONFIG_CHANGE_MSG && fe->config_change)
		fe->config_change(fe->opaque);
	if (msg->hdr.request != VHOST_USER_BACKEND_VRING_HOST_NOTIFIER_MSG ||
	    take_notifier(fe, msg, &why) == 0)
		return 0;
	log_warn_limited("%s: the back-end's notifier is refused: %s", fe->name, why.text);
	return 1;
}

int vhost_user_backend_request(struct vhost_user_frontend *fe, struct error *err)
{
	struct vhost_user_msg *msg = &fe->backend_rx.msg;
	uint32_t request;
	int rc;

	if (fe->backend_fd < 0)
		return 0;
	if (fe->backend_broken)
		return -ECONNRESET;
	rc = vhost_user_rx_step(&fe->backend_rx, VHOST_USER_CHANNEL_BACKEND, fe->backend_fd, err);
	if (rc == 0)
		return 0;
	if (rc == 1)
		rc = vhost_user_check_request(VHOST_USER_CHANNEL_BACKEND, msg, fe->protocol, err);
	else if (rc == -ENOTSUP)
		rc = answer_backend(fe, msg, 1, err) ?: -ENOTSUP;
	request = msg->hdr.request;
	if (rc == 0)
		rc = answer_backend(fe, msg, carry_out(fe, msg), err);
	vhost_user_rx_drop(&fe->backend_rx);
	if (rc == -ENOTSUP)
		return 0;
	if (rc == 0)
		return (int)request;
	fe->backend_broken = true;
	shutdown(fe->backend_fd, SHUT_RDWR); /* it need not wait for answers */
	return error_prefix(err, rc, "%s: the back-end's requests", fe->name);
}
