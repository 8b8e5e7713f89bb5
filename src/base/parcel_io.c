/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Parcels over a stream socket: a header with both lengths; the descriptors, FDS_AT_ONCE with each byte
 * of a row of bytes (the kernel takes 253 at once); the data.
 */
#include "base/parcel.h"
#include "base/unix_socket.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#define MAGIC	    0x6c65637261705649ULL
#define FDS_AT_ONCE 200U

struct header {
	uint64_t magic, len, nfds;
};

/* After a call that returned n: 1 go on, 0 try again, or an error. */
static int came(int sock, ssize_t n, short events, uint64_t deadline, struct error *err)
{
	if (n > 0)
		return 1;
	if (n < 0 && errno == EINTR)
		return 0;
	if (n < 0 && errno == EAGAIN)
		return unix_wait(sock, events, deadline, "other process", err);
	if (n == 0 || errno == EPIPE || errno == ECONNRESET)
		return error_set(err, -ECONNRESET, "the other process has closed the connection");
	return error_set(err, -errno, "%s", error_name(errno));
}

/* Sends len bytes at data, or receives them into it. */
static int move_all(int sock, short events, void *data, size_t len, uint64_t deadline,
		    struct error *err)
{
	uint8_t *at = data;

	while (len) {
		ssize_t n = events == POLLOUT ? send(sock, at, len, MSG_DONTWAIT | MSG_NOSIGNAL)
					      : recv(sock, at, len, MSG_DONTWAIT);
		int rc = came(sock, n, events, deadline, err);

		if (rc < 0)
			return rc;
		if (rc) {
			at += n;
			len -= (size_t)n;
		}
	}
	return 0;
}

static int send_fds(int sock, const int *fds, unsigned n, uint64_t deadline, struct error *err)
{
	union {
		char room[CMSG_SPACE(sizeof(int) * FDS_AT_ONCE)];
		struct cmsghdr align;
	} control = {0};
	uint8_t byte = 0;
	struct iovec iov = {&byte, 1};
	struct msghdr mh = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = &control,
		.msg_controllen = CMSG_SPACE(sizeof(int) * n),
	};
	struct cmsghdr *c = CMSG_FIRSTHDR(&mh);
	int rc;

	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(sizeof(int) * n);
	memcpy(CMSG_DATA(c), fds, sizeof(int) * n);
	do {
		rc = came(sock, sendmsg(sock, &mh, MSG_DONTWAIT | MSG_NOSIGNAL), POLLOUT, deadline,
			  err);
	} while (rc == 0);
	return MIN(rc, 0);
}

int parcel_send(int sock, const struct parcel_out *p, uint64_t deadline, struct error *err)
{
	struct header head = {MAGIC, p->len, p->nfds};
	int rc;

	if (p->failed)
		return error_set(err, -ENOMEM, "out of memory");
	if (p->len > PARCEL_BYTES_MAX || p->nfds > PARCEL_FDS_MAX)
		return error_set(err, -E2BIG, "%zu bytes and %u descriptors are too many", p->len,
				 p->nfds);
	rc = move_all(sock, POLLOUT, &head, sizeof(head), deadline, err);
	for (unsigned i = 0; i < p->nfds && rc == 0; i += FDS_AT_ONCE)
		rc = send_fds(sock, p->fds + i, MIN(FDS_AT_ONCE, p->nfds - i), deadline, err);
	return rc ? rc : move_all(sock, POLLOUT, p->data, p->len, deadline, err);
}

/* Takes n descriptors, those that go with the next byte. */
static int recv_fds(int sock, struct parcel_in *p, unsigned n, uint64_t deadline, struct error *err)
{
	union {
		char room[CMSG_SPACE(sizeof(int) * FDS_AT_ONCE)];
		struct cmsghdr align;
	} control;
	uint8_t byte;
	struct iovec iov = {&byte, 1};
	struct msghdr mh;
	unsigned before = p->nfds;
	int rc;

	do {
		mh = (struct msghdr){
			.msg_iov = &iov,
			.msg_iovlen = 1,
			.msg_control = &control,
			.msg_controllen = CMSG_SPACE(sizeof(int) * n),
		};
		rc = came(sock, recvmsg(sock, &mh, MSG_DONTWAIT | MSG_CMSG_CLOEXEC), POLLIN,
			  deadline, err);
	} while (rc == 0);
	if (rc < 0)
		return rc;
	for (struct cmsghdr *c = CMSG_FIRSTHDR(&mh); c; c = CMSG_NXTHDR(&mh, c)) {
		size_t got = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);

		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		memcpy(p->fds + p->nfds, CMSG_DATA(c), got * sizeof(int));
		p->nfds += (unsigned)got;
	}
	if (p->nfds - before != n || (mh.msg_flags & MSG_CTRUNC))
		return error_set(err, -EMFILE,
				 "%u of %u descriptors came: allow this process more (ulimit -n)",
				 p->nfds - before, n);
	return 0;
}

int parcel_recv(int sock, struct parcel_in *p, uint64_t deadline, struct error *err)
{
	struct header head;
	int rc;

	*p = (struct parcel_in){0};
	rc = move_all(sock, POLLIN, &head, sizeof(head), deadline, err);
	if (rc)
		return rc;
	if (head.magic != MAGIC || head.len > PARCEL_BYTES_MAX || head.nfds > PARCEL_FDS_MAX)
		return error_set(err, -EPROTO, "what the other process sends is not understood");
	p->data = malloc(head.len + 1);
	/* Room for one message more than is expected: a sender may put in too many. */
	p->fds = calloc(head.nfds + FDS_AT_ONCE, sizeof(*p->fds));
	if (!p->data || !p->fds)
		return error_set(err, -ENOMEM, "out of memory");
	while (p->nfds < head.nfds && rc == 0)
		rc = recv_fds(sock, p, (unsigned)MIN(FDS_AT_ONCE, head.nfds - p->nfds), deadline,
			      err);
	p->len = head.len;
	return rc ? rc : move_all(sock, POLLIN, p->data, head.len, deadline, err);
}
