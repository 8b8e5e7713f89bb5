/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vhost-user from a peer that sends anything. The input is what the peer sends, descriptors with
 * it where a byte says so, then its end. Read once as a back-end reads requests, once as a
 * front-end in the middle of its conversation reads replies, and once as the back-end's requests.
 * Nothing may be accepted that does not fit its rules, and no descriptor may be left open.
 */
#include "fuzz.h"

#include "vhost/user_frontend.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#define RAM (1ULL << 20)

struct bed {
	struct mem_table *table;
	uint8_t *ram;
	int null;
};

static struct bed *bed(void)
{
	static struct bed b;
	struct mem_region r = {.gpa = 0x10000, .size = RAM, .fd = 0, .user_addr = 0x7000000};

	if (b.table)
		return &b;
	b.ram = calloc(1, RAM);
	b.null = open("/dev/null", O_RDWR | O_CLOEXEC);
	r.hva = b.ram;
	r.fd = b.null;
	fuzz_assert(b.ram && b.null >= 0 && mem_table_new(&r, 1, &b.table, NULL) == 0);
	return &b;
}

/* The peer's end: writes the input, in pieces where byte 0 of each says so, and closes. */
static void speak(int fd, struct fuzz_input in)
{
	while (in.left) {
		uint8_t how = fuzz_u8(&in);
		uint8_t bytes[64];
		size_t n = MIN((size_t)(how & 63) + 1, in.left);
		struct iovec iov = {bytes, n};
		_Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(int) * 12)] = {0};
		struct msghdr mh = {.msg_iov = &iov, .msg_iovlen = 1};

		fuzz_bytes(&in, bytes, n);
		if (how & 64) {
			unsigned nfds = how & 128 ? 12 : 1 + (how & 3);
			int fds[12];
			struct cmsghdr *c;

			mh.msg_control = control;
			mh.msg_controllen = CMSG_SPACE(sizeof(int) * nfds);
			c = CMSG_FIRSTHDR(&mh);
			c->cmsg_level = SOL_SOCKET;
			c->cmsg_type = SCM_RIGHTS;
			c->cmsg_len = CMSG_LEN(sizeof(int) * nfds);
			for (unsigned i = 0; i < nfds; i++)
				fds[i] = bed()->null;
			memcpy(CMSG_DATA(c), fds, sizeof(int) * nfds);
		}
		if (sendmsg(fd, &mh, MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
			break;
	}
	close(fd);
}

static int talk_to(struct fuzz_input in)
{
	int pair[2];

	fuzz_assert(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) == 0);
	speak(pair[1], in);
	return pair[0];
}

static void check_accepted(const struct vhost_user_msg *msg)
{
	fuzz_assert(msg->nfds <= VHOST_USER_FDS_MAX);
	fuzz_assert(msg->hdr.size <= VHOST_USER_PAYLOAD_MAX);
	if (msg->hdr.request == VHOST_USER_SET_MEM_TABLE)
		fuzz_assert(msg->payload.memory.count == msg->nfds);
	if (msg->hdr.request == VHOST_USER_SET_CONFIG)
		fuzz_assert(msg->payload.config.offset + msg->payload.config.size <= 256);
}

static void as_receiver(struct fuzz_input in, enum vhost_user_channel channel, uint64_t protocol)
{
	struct vhost_user_rx rx = {0};
	struct error err;
	int fd = talk_to(in), rc;

	while ((rc = vhost_user_rx_step(&rx, channel, fd, &err)) >= 0 || rc == -ENOTSUP) {
		if (rc == 0)
			continue; /* a part of it; more can be read, or the end */
		if (rc == 1 && vhost_user_check_request(channel, &rx.msg, protocol, &err) == 0 &&
		    channel == VHOST_USER_CHANNEL_FRONTEND)
			check_accepted(&rx.msg);
		vhost_user_rx_drop(&rx);
	}
	fuzz_assert(rc < 0);
	vhost_user_rx_drop(&rx);
	close(fd);
}

static void as_frontend(struct fuzz_input in)
{
	struct vring_config cfg = {
		.size = 16, .desc = 0x10000, .driver = 0x11000, .device = 0x12000};
	struct vring_state state = VRING_STATE_INIT;
	struct vhost_user_ring ring = {.cfg = &cfg, .state = &state, .err_fd = -1};
	struct vhost_user_inflight_region inflight = {.fd = -1};
	struct vhost_user_frontend fe;
	struct error err;
	uint8_t config[8];

	ring.kick_fd = ring.call_fd = bed()->null;
	vhost_user_frontend_init(&fe, "fuzz");
	vhost_user_greet(&fe, talk_to(in), &err);
	vhost_user_set_features(&fe, fe.features, false, &err);
	vhost_user_set_memory(&fe, bed()->table, &err);
	vhost_user_set_inflight(&fe, &inflight, 2, 16, &err);
	vhost_user_set_ring(&fe, &ring, bed()->table, &err);
	vhost_user_enable_ring(&fe, 0, true, &err);
	vhost_user_set_status(&fe, 15, &err);
	vhost_user_get_config(&fe, 0, config, sizeof(config), &err);
	vhost_user_barrier(&fe, &err);
	vhost_user_stop_ring(&fe, &ring, bed()->table, &state, &err);
	fuzz_assert((uint16_t)(state.avail_idx - state.used_idx) <= cfg.size);
	vhost_user_inflight_free(&inflight);
	vhost_user_hang_up(&fe);
}

/* Only what makes sense by itself comes this far. */
static int notifier(void *opaque, unsigned queue, int fd, const struct vhost_user_area *area,
		    struct error *err)
{
	struct vhost_user_frontend *fe = opaque;

	fuzz_assert(fe->protocol >> VHOST_USER_PROTOCOL_F_HOST_NOTIFIER & 1);
	fuzz_assert(queue <= VHOST_USER_VRING_MASK);
	if (fd < 0)
		return 0;
	fuzz_assert(fcntl(fd, F_GETFD) >= 0 && area->offset + area->size >= area->offset);
	return queue % 2 ? error_set(err, -EINVAL, "no") : 0;
}

static void as_backend_channel(struct fuzz_input in, uint64_t protocol)
{
	struct vhost_user_frontend fe;
	struct error err;

	vhost_user_frontend_init(&fe, "fuzz");
	fe.protocol = protocol;
	fe.backend_fd = talk_to(in);
	fe.notifier = notifier;
	fe.opaque = &fe;
	for (unsigned i = 0; i < 1000 && !fe.backend_broken; i++)
		vhost_user_backend_request(&fe, &err);
	fuzz_assert(fe.backend_broken);
	vhost_user_hang_up(&fe);
}

static int lowest_free(void)
{
	int fd = dup(bed()->null);

	close(fd);
	return fd;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_input in = {data, size};
	uint64_t protocol;
	int before = lowest_free();

	fuzz_bytes(&in, &protocol, sizeof(protocol));
	as_receiver(in, VHOST_USER_CHANNEL_FRONTEND, protocol);
	as_receiver(in, VHOST_USER_CHANNEL_BACKEND, protocol);
	as_frontend(in);
	as_backend_channel(in, protocol);
	fuzz_assert(lowest_free() == before);
	return 0;
}
