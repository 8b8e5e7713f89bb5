/* SPDX-License-Identifier: Apache-2.0 */
#include "vhost/user_io.h"

#include "base/unix_socket.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

/*
 * Theory of operation.
 *
 * The stream has no boundaries but those that headers state, and descriptors ride on bytes: they
 * come with the first byte of the message they belong to. So each read asks for no more than is
 * missing of the header, then of the payload, and what descriptors come belong to this message.
 * Nothing is read that could be the next one's.
 *
 * A sender that is given less room than a message takes has sent its descriptors with the first
 * part; the rest follows without.
 */

static int take_fds(struct vhost_user_rx *rx, struct msghdr *mh, struct error *err)
{
	int fds[VHOST_USER_FDS_MAX];

	for (struct cmsghdr *c = CMSG_FIRSTHDR(mh); c; c = CMSG_NXTHDR(mh, c)) {
		size_t n;

		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		n = MIN(n, (size_t)VHOST_USER_FDS_MAX); /* there was no room for more */
		memcpy(fds, CMSG_DATA(c), n * sizeof(int));
		for (size_t i = 0; i < n; i++) {
			if (rx->msg.nfds < VHOST_USER_FDS_MAX)
				rx->msg.fds[rx->msg.nfds++] = fds[i];
			else
				close(fds[i]);
		}
	}
	if (mh->msg_flags & MSG_CTRUNC)
		return error_set(err, -EPROTO, "more than %d descriptors in one message",
				 VHOST_USER_FDS_MAX);
	return 0;
}

/* Reads up to len bytes at the message's byte rx->have. Bytes read, 0 if none are there. */
static ssize_t rx_read(struct vhost_user_rx *rx, int fd, void *to, size_t len, struct error *err)
{
	char control[CMSG_SPACE(sizeof(int) * VHOST_USER_FDS_MAX)];
	struct iovec iov = {.iov_base = to, .iov_len = len};
	struct msghdr mh = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control,
		.msg_controllen = sizeof(control),
	};
	ssize_t n;
	int rc;

	do {
		n = recvmsg(fd, &mh, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	} while (n < 0 && errno == EINTR);
	if (n < 0 && errno == EAGAIN)
		return 0;
	if (n < 0 && errno != ECONNRESET)
		return error_set(err, -errno, "receive: %s", error_name(errno));
	if (n <= 0)
		return error_set(err, -ECONNRESET, "the peer has closed the connection");
	rc = take_fds(rx, &mh, err);
	if (rc)
		return rc;
	rx->have += (size_t)n;
	return n;
}

static int rx_header(struct vhost_user_rx *rx, enum vhost_user_channel channel, int fd,
		     struct error *err)
{
	ssize_t n = rx_read(rx, fd, (uint8_t *)&rx->msg.hdr + rx->have,
			    sizeof(rx->msg.hdr) - rx->have, err);
	int rc;

	if (n <= 0)
		return (int)n;
	if (rx->have < sizeof(rx->msg.hdr))
		return 0;
	rc = vhost_user_check_header(channel, &rx->msg.hdr, err);
	rx->unknown = rc == -ENOTSUP;
	return rc == 0 || rx->unknown ? 1 : rc;
}

int vhost_user_rx_step(struct vhost_user_rx *rx, enum vhost_user_channel channel, int fd,
		       struct error *err)
{
	const size_t head = sizeof(rx->msg.hdr);

	if (rx->have < head) {
		int rc = rx_header(rx, channel, fd, err);

		if (rc <= 0)
			return rc;
	}
	while (rx->have < head + rx->msg.hdr.size) {
		size_t at = rx->have - head;
		ssize_t n = rx_read(rx, fd, (uint8_t *)&rx->msg.payload + at, rx->msg.hdr.size - at,
				    err);

		if (n <= 0)
			return (int)n;
	}
	if (!rx->unknown)
		return 1;
	vhost_user_close_fds(&rx->msg);
	return error_set(err, -ENOTSUP, "request %u is not known", rx->msg.hdr.request);
}

void vhost_user_rx_next(struct vhost_user_rx *rx)
{
	memset(rx, 0, sizeof(*rx));
}

void vhost_user_rx_drop(struct vhost_user_rx *rx)
{
	vhost_user_close_fds(&rx->msg);
	vhost_user_rx_next(rx);
}

int vhost_user_recv(struct vhost_user_rx *rx, enum vhost_user_channel channel, int fd,
		    uint64_t deadline, struct error *err)
{
	for (;;) {
		int rc = vhost_user_rx_step(rx, channel, fd, err);

		if (rc == 0)
			rc = unix_wait(fd, POLLIN, deadline, "peer", err);
		if (rc != 0)
			return rc;
	}
}

static void put_fds(struct msghdr *mh, void *control, const struct vhost_user_msg *msg)
{
	struct cmsghdr *c;

	mh->msg_control = control;
	mh->msg_controllen = CMSG_SPACE(sizeof(int) * msg->nfds);
	c = CMSG_FIRSTHDR(mh);
	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(sizeof(int) * msg->nfds);
	memcpy(CMSG_DATA(c), msg->fds, sizeof(int) * msg->nfds);
}

int vhost_user_send(int fd, const struct vhost_user_msg *msg, uint64_t deadline, struct error *err)
{
	char control[CMSG_SPACE(sizeof(int) * VHOST_USER_FDS_MAX)] = {0};
	uint8_t wire[sizeof(msg->hdr) + sizeof(msg->payload)];
	size_t len = sizeof(msg->hdr) + msg->hdr.size, done = 0;

	if (msg->hdr.size > sizeof(msg->payload))
		return error_set(err, -EINVAL, "a payload of %u bytes", msg->hdr.size);
	memcpy(wire, &msg->hdr, sizeof(msg->hdr));
	memcpy(wire + sizeof(msg->hdr), &msg->payload, msg->hdr.size);
	while (done < len) {
		struct iovec iov = {wire + done, len - done};
		struct msghdr mh = {.msg_iov = &iov, .msg_iovlen = 1};
		ssize_t n;

		if (done == 0 && msg->nfds)
			put_fds(&mh, control, msg);
		n = sendmsg(fd, &mh, MSG_DONTWAIT | MSG_NOSIGNAL);
		if (n > 0) {
			done += (size_t)n;
			continue;
		}
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && (errno == EPIPE || errno == ECONNRESET))
			return error_set(err, -ECONNRESET, "the peer has closed the connection");
		if (n < 0 && errno != EAGAIN)
			return error_set(err, -errno, "send: %s", error_name(errno));
		if (unix_wait(fd, POLLOUT, deadline, "peer", err))
			return -ETIMEDOUT;
	}
	return 0;
}

int vhost_user_connect(const char *path, struct error *err)
{
	int rc = unix_connect(path, err);

	if (rc >= 0)
		return rc;
	switch (rc) {
	case -ENOENT:
	case -ECONNREFUSED:
		return error_set(err, rc,
				 "%s: nobody listens there (%s): start the back-end first, or "
				 "give server=on if it connects to us",
				 path, error_name(rc));
	case -EAGAIN:
		return error_set(err, rc, "%s: the back-end does not take connections", path);
	case -EACCES:
		return error_set(err, rc,
				 "%s: permission denied: give this user access to the socket and "
				 "its folder",
				 path);
	default:
		return rc; /* its text is right */
	}
}

int vhost_user_listen(const char *path, struct error *err)
{
	return unix_listen(path, 0777, 1, err);
}

int vhost_user_accept(int listener)
{
	int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	return fd < 0 ? -errno : fd;
}
