/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The vhost-user back-end, its whole state machine, against a front-end that sends anything in any
 * order, with real descriptors: memory, memory that is cut short, eventfds, things that are
 * neither. Input: words that choose a request, its payload and its descriptors. The owner pops and
 * pushes whatever runs, after every message, as a worker would. Nothing may crash or be left open. In
 * post-copy nobody brings a page but the guest that writes to it.
 */
#include "fuzz.h"

#include "base/log.h"
#include "vhost/backend.h"
#include "vhost/user_io.h"
#include "vring/features.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#define RAM   (64 * KIB)
#define GPA   0x10000ULL
#define USER  0x7000000ULL
#define PAIRS 2

struct bed {
	struct loop *loop;
	struct vhost_backend *be;
	struct vhost_backend_queue *queues[2 * PAIRS];
	int fd;
	uint64_t protocol; /* what it offers */
	int ram, small, event, null, pipe[2];
	uint8_t *host;
};
static struct bed b;

static int queue_start(void *opaque, struct vhost_backend_queue *q, struct error *err)
{
	fuzz_assert(!b.queues[q->index]);
	b.queues[q->index] = q;
	return 0;
}

static void queue_stop(void *opaque, struct vhost_backend_queue *q)
{
	fuzz_assert(b.queues[q->index] == q);
	b.queues[q->index] = NULL;
}

static int set_mtu(void *opaque, uint16_t mtu)
{
	return mtu > 9000 ? -EINVAL : 0;
}

static void announce(void *opaque, const uint8_t mac[6])
{
}

static unsigned save_state(void *opaque, struct device_state_address *list, unsigned max)
{
	list[0] = (struct device_state_address){.mac = {2, 0, 0, 0, 0, 1}};
	return max;
}

static void load_state(void *opaque, const struct device_state_address *list, unsigned n)
{
	fuzz_assert(n <= DEVICE_STATE_MAX);
}

static void make_bed(void)
{
	static const struct vhost_backend_ops ops = {
		.queue_start = queue_start,
		.queue_stop = queue_stop,
		.mtu = set_mtu,
		.announce = announce,
		.save_state = save_state,
		.load_state = load_state,
	};
	struct vhost_backend_params params = {
		.name = "fuzz",
		.features = vhost_backend_features,
		.queue_pairs = PAIRS,
		.mtu = 1500,
		.ops = &ops,
	};

	log_set_level(LOG_LEVEL_ERROR);
	signal(SIGPIPE, SIG_IGN);
	b.loop = params.loop = loop_create(NULL);
	b.be = vhost_backend_create(&params, NULL);
	b.event = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	b.null = open("/dev/null", O_RDWR | O_CLOEXEC);
	fuzz_assert(b.loop && b.be && b.event >= 0 && b.null >= 0);
}

static void make_memory(void)
{
	b.ram = memfd_create("ram", MFD_CLOEXEC);
	b.small = memfd_create("small", MFD_CLOEXEC);
	fuzz_assert(pipe2(b.pipe, O_CLOEXEC | O_NONBLOCK) == 0);
	fuzz_assert(b.ram >= 0 && b.small >= 0 && ftruncate(b.ram, RAM) == 0 &&
		    ftruncate(b.small, 8192) == 0);
	b.host = mmap(NULL, RAM, PROT_READ | PROT_WRITE, MAP_SHARED, b.ram, 0);
	fuzz_assert(b.host != MAP_FAILED);
}

static void drop_memory(void)
{
	munmap(b.host, RAM);
	close(b.ram);
	close(b.small);
	close(b.pipe[0]);
	close(b.pipe[1]);
}

static void worker(void)
{
	struct iovec iov[32];
	struct vq_buf bufs[8];

	for (unsigned i = 0; i < 2 * PAIRS; i++) {
		struct vhost_backend_queue *q = b.queues[i];
		int n;

		if (!q)
			continue;
		n = vq_pop(q->vq, bufs, ARRAY_SIZE(bufs), iov, ARRAY_SIZE(iov));
		if (n < 0)
			vhost_backend_attention(q);
		for (int k = 0; k < n; k++) {
			struct iovec *to = bufs[k].iov + bufs[k].out_n;

			if (bufs[k].in_n)
				memset(to->iov_base, k, MIN(to->iov_len, 64));
			vq_push(q->vq, &bufs[k], bufs[k].in_len);
		}
		if (vq_flush(q->vq))
			vhost_backend_call(q);
	}
}

static int choose_fd(uint8_t which)
{
	switch (which & 3) {
	case 0:
		return b.ram;
	case 1:
		return b.event;
	case 2:
		return b.small;
	default:
		return b.null;
	}
}

static uint32_t usual_size(uint32_t request)
{
	switch (request) {
	case VHOST_USER_GET_FEATURES:
	case VHOST_USER_SET_OWNER:
	case VHOST_USER_RESET_OWNER:
	case VHOST_USER_GET_PROTOCOL_FEATURES:
	case VHOST_USER_GET_QUEUE_NUM:
	case VHOST_USER_RESET_DEVICE:
	case VHOST_USER_GET_MAX_MEM_SLOTS:
	case VHOST_USER_GET_STATUS:
	case VHOST_USER_POSTCOPY_ADVISE:
	case VHOST_USER_POSTCOPY_LISTEN:
	case VHOST_USER_POSTCOPY_END:
	case VHOST_USER_CHECK_DEVICE_STATE:
		return 0;
	case VHOST_USER_SET_VRING_ADDR:
		return sizeof(struct vhost_user_vring_addr);
	case VHOST_USER_SET_LOG_BASE:
		return sizeof(struct vhost_user_log);
	case VHOST_USER_IOTLB_MSG:
		return sizeof(struct vhost_user_iotlb);
	case VHOST_USER_GET_INFLIGHT_FD:
	case VHOST_USER_SET_INFLIGHT_FD:
		return VHOST_USER_INFLIGHT_BYTES;
	case VHOST_USER_GET_CONFIG:
	case VHOST_USER_SET_CONFIG:
		return VHOST_USER_CONFIG_HEADER + 8;
	default:
		return sizeof(uint64_t);
	}
}

/* Likely values: otherwise nothing would ever run. */
static void set_up(struct vhost_user_msg *m, uint8_t how)
{
	switch (m->hdr.request) {
	case VHOST_USER_SET_FEATURES:
		m->payload.u64 &= vhost_backend_features | 1ULL << VHOST_USER_F_LOG_ALL |
				  1ULL << VHOST_USER_F_PROTOCOL_FEATURES;
		break;
	case VHOST_USER_SET_PROTOCOL_FEATURES:
		m->payload.u64 &= b.protocol;
		break;
	case VHOST_USER_SET_MEM_TABLE:
		m->payload.memory.count = m->nfds = 1;
		m->payload.memory.regions[0] = (struct vhost_user_region){GPA, RAM, USER, 0};
		m->fds[0] = b.ram;
		m->hdr.size = 8 + sizeof(m->payload.memory.regions[0]);
		if (!(how & 0x20))
			break;
		m->payload.u64 = m->nfds = 0; /* post-copy: the addresses are known */
		m->hdr.size = sizeof(m->payload.u64);
		break;
	case VHOST_USER_SET_VRING_NUM:
		m->payload.state = (struct vhost_user_vring_state){how & 3, 1U << (how >> 4)};
		break;
	case VHOST_USER_SET_VRING_ADDR:
		m->payload.addr.index = how & 3;
		m->payload.addr.desc = USER + (m->payload.addr.desc & 0xfff0);
		m->payload.addr.avail = USER + (m->payload.addr.avail & 0xfff0);
		m->payload.addr.used = USER + (m->payload.addr.used & 0xfff0);
		break;
	case VHOST_USER_SET_VRING_BASE:
	case VHOST_USER_GET_VRING_BASE:
	case VHOST_USER_SET_VRING_ENABLE:
		m->payload.state.index = how & 3;
		m->payload.state.num &= m->hdr.request == VHOST_USER_SET_VRING_ENABLE ? 1 : 0xffff;
		break;
	case VHOST_USER_SET_VRING_KICK:
	case VHOST_USER_SET_VRING_CALL:
	case VHOST_USER_SET_VRING_ERR:
		m->payload.u64 = how & 3;
		m->nfds = 1;
		m->fds[0] = b.event;
		break;
	case VHOST_USER_GET_CONFIG:
	case VHOST_USER_SET_CONFIG:
		m->payload.config.offset = how & 31;
		m->payload.config.size = 8;
		break;
	case VHOST_USER_IOTLB_MSG: /* the identity, in pages; or what the input says */
		m->payload.iotlb.type =
			how & 0x10 ? VHOST_USER_IOTLB_INVALIDATE : VHOST_USER_IOTLB_UPDATE;
		m->payload.iotlb.iova = USER + (how & 15) * 4096U;
		m->payload.iotlb.user_addr = m->payload.iotlb.iova;
		m->payload.iotlb.size = 4096U << (how >> 6);
		m->payload.iotlb.perm = how & 0x20 ? 1 : 3;
		break;
	case VHOST_USER_GET_INFLIGHT_FD:
	case VHOST_USER_SET_INFLIGHT_FD: /* what the rings find there is the input's too */
		m->payload.inflight = (struct vhost_user_inflight){RAM / 2, RAM / 2, 4, 64};
		m->nfds = m->hdr.request == VHOST_USER_SET_INFLIGHT_FD;
		m->fds[0] = b.ram;
		break;
	case VHOST_USER_SET_DEVICE_STATE_FD:
		m->payload.transfer = (struct vhost_user_transfer){how & 1, 0};
		m->nfds = 1;
		m->fds[0] = b.pipe[!(how & 1)];
		break;
	case VHOST_USER_SET_LOG_BASE:
		m->payload.log = (struct vhost_user_log){4096, 0};
		m->nfds = 1;
		m->fds[0] = b.small;
		break;
	}
}

static void converse(struct fuzz_input *in)
{
	struct vhost_user_msg m = {0};
	uint8_t how = fuzz_u8(in), kind = fuzz_u8(in);

	if (kind >> 6 == 3) { /* the guest writes into its memory */
		unsigned at = fuzz_u8(in) << 8 | fuzz_u8(in);
		uint8_t bytes[32];

		fuzz_bytes(in, bytes, sizeof(bytes));
		memcpy(b.host + MIN(at, RAM - sizeof(bytes)), bytes, sizeof(bytes));
		return;
	}
	if (kind == 0x80) {
		fuzz_assert(ftruncate(b.small, 0) == 0);
		return;
	}
	m.hdr.request = kind & 63;
	m.hdr.flags = VHOST_USER_VERSION | (how & 4 ? VHOST_USER_NEED_REPLY : 0);
	m.hdr.size = fuzz_u8(in) % 80;
	m.nfds = how & 8 ? 1 : 0;
	m.fds[0] = choose_fd(how);
	fuzz_bytes(in, &m.payload, m.hdr.size);
	if (!(kind & 0x80)) {
		m.hdr.size = usual_size(m.hdr.request);
		m.nfds = 0;
		set_up(&m, how);
	}
	vhost_user_send(b.fd, &m, 0, NULL);
}

/* Asks for it, as any front-end does first. */
static void learn_protocol(void)
{
	struct vhost_user_msg m = {
		.hdr = {VHOST_USER_GET_PROTOCOL_FEATURES, VHOST_USER_VERSION, 0}};
	struct vhost_user_rx rx = {0};

	fuzz_assert(vhost_user_send(b.fd, &m, 0, NULL) == 0);
	loop_run_once(b.loop, 0);
	fuzz_assert(vhost_user_rx_step(&rx, VHOST_USER_CHANNEL_FRONTEND, b.fd, NULL) == 1);
	b.protocol = rx.msg.payload.u64;
}

/* Reads what came, so that the back-end need not end this for that. */
static void listen_to(void)
{
	uint8_t drain[512];
	char control[256];

	for (;;) {
		struct iovec iov = {drain, sizeof(drain)};
		struct msghdr mh = {.msg_iov = &iov,
				    .msg_iovlen = 1,
				    .msg_control = control,
				    .msg_controllen = sizeof(control)};

		if (recvmsg(b.fd, &mh, MSG_DONTWAIT | MSG_CMSG_CLOEXEC) <= 0)
			return;
		for (struct cmsghdr *c = CMSG_FIRSTHDR(&mh); c; c = CMSG_NXTHDR(&mh, c)) {
			size_t n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);

			for (size_t i = 0; i < n; i++) {
				int fd;

				memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof(int));
				close(fd);
			}
		}
	}
}

static int lowest_free(void)
{
	int fd = dup(b.null);

	close(fd);
	return fd;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_input in = {data, size};
	int pair[2], before;

	if (!b.be)
		make_bed();
	before = lowest_free();
	make_memory();
	fuzz_assert(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) == 0);
	b.fd = pair[0];
	fuzz_assert(vhost_backend_attach(b.be, pair[1], NULL) == 0);
	learn_protocol();
	for (unsigned i = 0; in.left && i < 400; i++) {
		converse(&in);
		loop_run_once(b.loop, 0);
		worker();
		listen_to();
	}
	close(b.fd);
	for (unsigned i = 0; i < 10; i++)
		loop_run_once(b.loop, 0);
	vhost_backend_hang_up(b.be, "the end");
	drop_memory();
	for (unsigned i = 0; i < 2 * PAIRS; i++)
		fuzz_assert(!b.queues[i]);
	fuzz_assert(lowest_free() == before);
	return 0;
}
