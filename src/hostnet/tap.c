/* SPDX-License-Identifier: Apache-2.0 */
#include "hostnet/tap.h"

#include "base/iov.h"
#include "base/log.h"
#include "hostnet/netif.h"
#include "hostnet/ovs.h"
#include "net/ether.h"

#include <errno.h>
#include <limits.h>
#include <linux/if_tun.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <unistd.h>

/*
 * Theory of operation. Each queue is a descriptor of its own; a frame is one writev or readv whose
 * first element is the struct net_offload, so that the kernel copies straight from and to the
 * caller's buffers. A queue's transmit and receive sides may be two threads: each writes counters
 * on cache lines of its own.
 *
 * A detached queue (set_queues) polls as an error for ever. So with several queues poll_fd is an
 * epoll descriptor of the queue's own, which the queue is in only while it is attached.
 */
#ifndef TUN_F_USO4
#define TUN_F_USO4 0x20
#define TUN_F_USO6 0x40
#endif

#define TAP_IOV_MAX (IOV_MAX - 2) /* beside the header and the byte that shows a frame is cut */

struct tap_side {
	uint64_t frames, bytes, syscalls;
	uint64_t drops[HOSTNET_DROP_COUNT];
} __cacheline_al;

struct tap_queue {
	int fd;
	int poll_fd;
	_Atomic bool attached;
	struct tap_side tx, rx;
};

struct tap {
	struct hostnet hn;
	char ifname[IFNAMSIZ];
	bool header;
	struct tap_queue queues[];
};

static struct tap *to_tap(struct hostnet *hn)
{
	return container_of(hn, struct tap, hn);
}

int tap_queue_fd(struct hostnet *hn, unsigned queue)
{
	return to_tap(hn)->queues[queue].fd;
}

const char *tap_ifname(struct hostnet *hn)
{
	return to_tap(hn)->ifname;
}

static const char *tap_attachment(struct hostnet *hn)
{
	return to_tap(hn)->ifname;
}

bool tap_has_header(struct hostnet *hn)
{
	return to_tap(hn)->header;
}

/* TUN_F_* for what the guest takes. The kernel knows USO for both IP versions or none. */
static unsigned tun_offloads(uint32_t offloads)
{
	unsigned f = 0;

	if (!(offloads & NET_OFFLOAD_CSUM))
		return 0;
	f = TUN_F_CSUM;
	if (offloads & NET_OFFLOAD_TSO4)
		f |= TUN_F_TSO4;
	if (offloads & NET_OFFLOAD_TSO6)
		f |= TUN_F_TSO6;
	if ((offloads & NET_OFFLOAD_ECN) && (f & (TUN_F_TSO4 | TUN_F_TSO6)))
		f |= TUN_F_TSO_ECN;
	if (offloads & NET_OFFLOAD_UFO)
		f |= TUN_F_UFO;
	if ((offloads & NET_OFFLOAD_USO4) && (offloads & NET_OFFLOAD_USO6))
		f |= TUN_F_USO4 | TUN_F_USO6;
	return f;
}

static int tap_set_offloads(struct hostnet *hn, uint32_t offloads)
{
	struct tap *tap = to_tap(hn);

	if (!tap->header)
		return offloads ? -ENOTSUP : 0;
	if (ioctl(tap->queues[0].fd, TUNSETOFFLOAD, (unsigned long)tun_offloads(offloads)) < 0)
		return -errno;
	return 0;
}

/* Finds out what this kernel's TAP can do, by asking for it. */
static void tap_find_offloads(struct tap *tap)
{
	static const uint32_t optional[] = {
		NET_OFFLOAD_UFO,
		NET_OFFLOAD_USO4 | NET_OFFLOAD_USO6,
	};
	uint32_t set = NET_OFFLOAD_CSUM | NET_OFFLOAD_TSO4 | NET_OFFLOAD_TSO6 | NET_OFFLOAD_ECN;

	if (!tap->header || tap_set_offloads(&tap->hn, set) < 0)
		return;
	for (unsigned i = 0; i < ARRAY_SIZE(optional); i++) {
		if (tap_set_offloads(&tap->hn, set | optional[i]) == 0)
			set |= optional[i];
	}
	tap->hn.offloads_rx = tap->hn.offloads_tx = set;
}

/*
 * Everything the previous owner of a persistent TAP may have left behind that changes how its
 * frames look is set here.
 */
static int tap_set_up_header(struct tap *tap, uint32_t offloads, struct error *err)
{
	int size = sizeof(struct net_offload), little = 1, sndbuf = INT_MAX;
	int rc;

	// cppcheck-suppress nullPointerRedundantCheck ; tap_open() has returned if there is none
	if (tap->header) {
		for (unsigned i = 0; i < tap->hn.queues; i++) {
			int fd = tap->queues[i].fd;

			/* A kernel without TUNSETVNETLE uses the host's order: this one. */
			ioctl(fd, TUNSETVNETLE, &little);
			ioctl(fd, TUNSETSNDBUF, &sndbuf);
			if (ioctl(fd, TUNSETVNETHDRSZ, &size) < 0)
				return error_set(err, -errno,
						 "%s: the kernel refuses headers of %d bytes: %s",
						 tap->ifname, size, error_name(errno));
		}
	}
	tap_find_offloads(tap);
	rc = tap_set_offloads(&tap->hn, offloads & tap->hn.offloads_rx);
	if (rc < 0)
		return error_set(err, rc, "%s: cannot set its offloads: %s", tap->ifname,
				 error_name(rc));
	return 0;
}

static int tap_watch(struct tap *tap, unsigned queue, bool on)
{
	struct epoll_event ev = {.events = EPOLLIN};
	struct tap_queue *q = &tap->queues[queue];

	if (q->poll_fd == q->fd)
		return 0;
	if (epoll_ctl(q->poll_fd, on ? EPOLL_CTL_ADD : EPOLL_CTL_DEL, q->fd, &ev) < 0)
		return -errno;
	return 0;
}

static int tap_set_up_polling(struct tap *tap, struct error *err)
{
	for (unsigned i = 0; i < tap->hn.queues; i++) {
		struct tap_queue *q = &tap->queues[i];
		int rc;

		q->attached = true;
		if (tap->hn.queues > 1)
			q->poll_fd = epoll_create1(EPOLL_CLOEXEC);
		else
			q->poll_fd = q->fd;
		rc = q->poll_fd < 0 ? -errno : tap_watch(tap, i, true);
		if (rc < 0)
			return error_set(err, rc, "%s: cannot watch queue %u: %s", tap->ifname, i,
					 error_name(rc));
	}
	return 0;
}

/* MTU, bridge, up: the interface as the host sees it. */
static int tap_set_up_link(struct tap *tap, const char *bridge, unsigned mtu, struct error *err)
{
	struct error down = {0};
	int rc;

	if (mtu) {
		rc = netif_set_mtu(tap->ifname, mtu, err);
		if (rc < 0)
			return rc;
	}
	if (bridge) {
		rc = netif_join_bridge(tap->ifname, bridge, err);
		if (rc < 0)
			return rc;
	}
	/* Without the privilege for it, it may be brought up later by who has it. */
	if (netif_up(tap->ifname, &down) < 0)
		log_warn("%s", down.text);
	rc = netif_mtu(tap->ifname);
	tap->hn.mtu = rc > 0 ? (unsigned)rc : 0;
	return 0;
}

static void tap_free(struct tap *tap, bool close_queues)
{
	for (unsigned i = 0; i < tap->hn.queues; i++) {
		struct tap_queue *q = &tap->queues[i];

		if (q->poll_fd >= 0 && q->poll_fd != q->fd)
			close(q->poll_fd);
		if (close_queues)
			close(q->fd);
	}
	free(tap);
}

static struct tap *tap_alloc(const struct tap_fds *fds)
{
	size_t size = sizeof(struct tap) + fds->count * sizeof(struct tap_queue);
	struct tap *tap = aligned_alloc(CACHE_LINE, ALIGN_UP(size, CACHE_LINE));

	if (!tap)
		return NULL;
	memset(tap, 0, size);
	tap->hn.ops = &tap_ops;
	tap->hn.queues = fds->count;
	tap->header = fds->header;
	memcpy(tap->ifname, fds->ifname, IFNAMSIZ);
	for (unsigned i = 0; i < fds->count; i++) {
		tap->queues[i].fd = fds->fd[i];
		tap->queues[i].poll_fd = -1;
	}
	return tap;
}

static int tap_open(const struct options *opts, const struct hostnet_params *params,
		    struct hostnet **out, struct error *err)
{
	const char *given = options_get(opts, "fd"), *ifname = options_get(opts, "ifname");
	const char *bridge = options_get(opts, "bridge");
	unsigned queues = MAX(params->queues, 1u);
	struct tap_fds fds;
	struct tap *tap;
	int rc;

	if (given && ifname)
		return error_set(err, -EINVAL,
				 "%s: fd= and ifname= exclude each other: an open tap has its name",
				 params->id);
	if (given)
		rc = tap_open_fds(&fds, given, queues, params->id, err);
	else
		rc = tap_open_named(&fds, ifname, queues, err);
	if (rc < 0)
		return rc;
	tap = tap_alloc(&fds);
	if (!tap) {
		for (unsigned i = 0; !given && i < fds.count; i++)
			close(fds.fd[i]);
		return error_set(err, -ENOMEM, "%s: out of memory", fds.ifname);
	}
	rc = tap_set_up_header(tap, params->offloads, err);
	if (rc == 0)
		rc = tap_set_up_link(tap, bridge, params->mtu, err);
	if (rc == 0)
		rc = tap_set_up_polling(tap, err);
	if (rc < 0) {
		tap_free(tap, !given);
		return rc;
	}
	*out = &tap->hn;
	return 0;
}

/* Counts a frame that the kernel did not take. */
static void tap_count_tx_error(struct tap *tap, struct tap_side *tx, int error)
{
	switch (error) {
	case EIO: /* the interface is down */
	case EBADFD:
	case ENODEV:
		tx->drops[HOSTNET_DROP_DOWN]++;
		break;
	case EAGAIN:
	case ENOBUFS:
	case ENOMEM:
		tx->drops[HOSTNET_DROP_FULL]++;
		break;
	case EINVAL:
		tx->drops[HOSTNET_DROP_MALFORMED]++;
		break;
	case EMSGSIZE:
	case E2BIG:
		tx->drops[HOSTNET_DROP_OVERSIZE]++;
		break;
	default:
		tx->drops[HOSTNET_DROP_ERROR]++;
		log_warn_limited("%s: cannot send a frame: %s", tap->ifname, error_name(error));
	}
}

static void tap_send_one(struct tap *tap, struct tap_queue *q, const struct net_frame *frame)
{
	struct iovec iov[IOV_MAX];
	unsigned n = 0;
	ssize_t put;

	if (frame->len < ETHER_HLEN || frame->niov > TAP_IOV_MAX) {
		q->tx.drops[HOSTNET_DROP_MALFORMED]++;
		return;
	}
	if (tap->header) {
		const void *header = &frame->off;

		iov[n++] = (struct iovec){(void *)(uintptr_t)header, sizeof(frame->off)};
	}
	memcpy(iov + n, frame->iov, frame->niov * sizeof(*iov));
	do {
		put = writev(q->fd, iov, (int)(n + frame->niov));
		q->tx.syscalls++;
	} while (put < 0 && errno == EINTR);
	if (put < 0) {
		tap_count_tx_error(tap, &q->tx, errno);
		return;
	}
	q->tx.frames++;
	q->tx.bytes += frame->len;
}

/* The kernel's queue takes every frame or drops it, so there is never anything to wait for. */
static unsigned tap_send(struct hostnet *hn, unsigned queue, const struct net_frame *frames,
			 unsigned n)
{
	struct tap *tap = to_tap(hn);

	for (unsigned i = 0; i < n; i++)
		tap_send_one(tap, &tap->queues[queue], &frames[i]);
	return n;
}

static ssize_t tap_recv(struct hostnet *hn, unsigned queue, const struct iovec *iov, unsigned niov,
			struct net_offload *off)
{
	struct tap *tap = to_tap(hn);
	struct tap_queue *q = &tap->queues[queue];
	size_t head = tap->header ? sizeof(*off) : 0, room;
	struct iovec all[IOV_MAX];
	unsigned n = 0;
	uint8_t beyond;
	ssize_t got;

	if (niov > TAP_IOV_MAX)
		return -EINVAL;
	*off = (struct net_offload){0};
	if (head)
		all[n++] = (struct iovec){off, head};
	memcpy(all + n, iov, niov * sizeof(*iov));
	n += niov;
	all[n++] = (struct iovec){&beyond, 1};
	got = readv(q->fd, all, (int)n);
	q->rx.syscalls++;
	if (got < 0) {
		if (errno == EINTR || !q->attached)
			return -EAGAIN;
		return -errno;
	}
	room = iov_len(iov, niov);
	if ((size_t)got > head + room) {
		q->rx.drops[HOSTNET_DROP_OVERSIZE]++;
		return -EMSGSIZE;
	}
	if ((size_t)got < head + ETHER_HLEN) {
		q->rx.drops[HOSTNET_DROP_MALFORMED]++;
		return -EAGAIN;
	}
	off->num_buffers = 0;
	got -= (ssize_t)head;
	q->rx.frames++;
	q->rx.bytes += (uint64_t)got;
	return got;
}

static int tap_poll_fd(struct hostnet *hn, unsigned queue)
{
	return to_tap(hn)->queues[queue].poll_fd;
}

static int tap_set_queue(struct tap *tap, unsigned queue, bool attach)
{
	struct ifreq ifr = {.ifr_flags = attach ? IFF_ATTACH_QUEUE : IFF_DETACH_QUEUE};
	struct tap_queue *q = &tap->queues[queue];

	if (q->attached == attach)
		return 0;
	if (!attach) {
		q->attached = false;
		tap_watch(tap, queue, false);
	}
	if (ioctl(q->fd, TUNSETQUEUE, &ifr) < 0) {
		int rc = -errno;

		if (!attach) {
			q->attached = true;
			tap_watch(tap, queue, true);
		}
		return rc;
	}
	if (!attach)
		return 0;
	q->attached = true;
	return tap_watch(tap, queue, true);
}

static int tap_set_queues(struct hostnet *hn, unsigned n)
{
	struct tap *tap = to_tap(hn);
	int rc = 0;

	if (n < 1 || n > hn->queues)
		return -EINVAL;
	for (unsigned i = 0; i < hn->queues && rc == 0; i++)
		rc = tap_set_queue(tap, i, i < n);
	return rc;
}

static bool tap_link_up(struct hostnet *hn)
{
	int flags = netif_flags(to_tap(hn)->ifname);

	return flags >= 0 && (flags & IFF_UP);
}

static void tap_counters(struct hostnet *hn, unsigned queue, struct hostnet_counters *out)
{
	const struct tap_queue *q = &to_tap(hn)->queues[queue];

	out->tx_frames = READ_ONCE(q->tx.frames);
	out->tx_bytes = READ_ONCE(q->tx.bytes);
	out->rx_frames = READ_ONCE(q->rx.frames);
	out->rx_bytes = READ_ONCE(q->rx.bytes);
	out->syscalls = READ_ONCE(q->tx.syscalls) + READ_ONCE(q->rx.syscalls);
	for (unsigned i = 0; i < HOSTNET_DROP_COUNT; i++) {
		out->rx_drops[i] = READ_ONCE(q->rx.drops[i]);
		out->drops[i] = READ_ONCE(q->tx.drops[i]) + out->rx_drops[i];
	}
}

static void tap_close(struct hostnet *hn)
{
	struct tap *tap = to_tap(hn);
	bool in_ovs = ovs_has_port(tap->ifname);
	char ifname[IFNAMSIZ];

	memcpy(ifname, tap->ifname, sizeof(ifname));
	tap_free(tap, true);
	/* One that went with its descriptors would leave a record behind. */
	if (in_ovs && !if_nametoindex(ifname))
		ovs_forget_port(ifname);
}

static const struct option_key tap_keys[] = {
	{"ifname", "NAME", "the TAP interface; made if it is not there (default: a new tapN)"},
	{"bridge", "NAME", "the bridge, also of Open vSwitch, to make it a port of"},
	{"fd", "N[+N…]", "open TAP descriptors, one a queue pair, instead of ifname="},
	{NULL},
};

const struct hostnet_ops tap_ops = {
	.name = "tap",
	.help = "a TAP interface of the host",
	.keys = tap_keys,
	.probe = tap_probe,
	.open = tap_open,
	.send = tap_send,
	.recv = tap_recv,
	.poll_fd = tap_poll_fd,
	.set_offloads = tap_set_offloads,
	.set_queues = tap_set_queues,
	.attachment = tap_attachment,
	.link_up = tap_link_up,
	.counters = tap_counters,
	.close = tap_close,
};
