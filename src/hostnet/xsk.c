/* SPDX-License-Identifier: Apache-2.0 */
#include "hostnet/xsk.h"

#include "base/iov.h"
#include "base/log.h"
#include "hostnet/xsk_ring.h"
#include "net/ether.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

/*
 * Theory of operation.
 *
 * Receiving: descriptors in the receive ring name frames of the UMEM that the kernel has filled.
 * They are lent where they lie. Given back, a frame goes into the fill ring, which has a place for
 * each frame that there is for receiving, so this never fails.
 *
 * Sending: the frame is copied into a free frame of the UMEM and named in the transmit ring. The
 * kernel says in the completion ring which ones are free again; it is looked at before each burst.
 * With no frame free the burst ends early and its sender keeps the rest.
 *
 * The kernel is told of work only where it says that it wants to be (need_wakeup): in copy mode for
 * each burst that is sent, since this call is what sends; in zero-copy mode when its NAPI thread
 * sleeps. It takes up to 32 frames a call unless told to take more, which newer kernels can be.
 */
#ifndef XDP_MAX_TX_SKB_BUDGET
#define XDP_MAX_TX_SKB_BUDGET 9 /* of newer kernels */
#endif
#define TX_BUDGET 64 /* frames that one call sends */
#define TX_CALLS  3  /* for a burst, when the kernel's budget is less */

struct xsk_side {
	uint64_t frames, bytes, syscalls;
	uint64_t drops[HOSTNET_DROP_COUNT];
} __cacheline_al;

struct xsk {
	struct xsk_umem umem;
	struct xsk_ring rx, fill;
	struct xsk_ring tx __cacheline_al;
	struct xsk_ring done;
	unsigned nfree;
	uint32_t *free; /* numbers of frames to send from */
	struct xsk_side sent, received;
	int fd;
	_Atomic bool down; /* the kernel refused to send: see xsk_set_up() */
};

int xsk_fd(const struct xsk *x)
{
	return x->fd;
}

static void fill_all(struct xsk *x)
{
	for (uint32_t i = 0; i < XSK_RING; i++)
		*xsk_ring_addr(&x->fill, i) = (uint64_t)i * XSK_FRAME_BYTES;
	xsk_ring_produce(&x->fill, XSK_RING);
	for (uint32_t i = 0; i < XSK_RING; i++)
		x->free[x->nfree++] = XSK_RING + i;
}

static int open_rings(struct xsk *x, struct error *err)
{
	const struct xsk_ring_spec specs[] = {
		{&x->fill, XDP_UMEM_FILL_RING, "fill"},
		{&x->done, XDP_UMEM_COMPLETION_RING, "completion"},
		{&x->rx, XDP_RX_RING, "receive"},
		{&x->tx, XDP_TX_RING, "transmit"},
	};
	int budget = TX_BUDGET, ret = xsk_umem_register(&x->umem, x->fd, err);

	for (unsigned i = 0; i < ARRAY_SIZE(specs) && !ret; i++)
		ret = xsk_ring_map(&specs[i], x->fd, err);
	/* A kernel that does not know it sends 32 a call. */
	setsockopt(x->fd, SOL_XDP, XDP_MAX_TX_SKB_BUDGET, &budget, sizeof(budget));
	return ret;
}

int xsk_open(struct xsk **out, unsigned ifindex, unsigned queue, bool zero_copy, struct error *err)
{
	struct xsk *x = aligned_alloc(CACHE_LINE, ALIGN_UP(sizeof(*x), CACHE_LINE));
	int ret;

	if (!x)
		return error_set(err, -ENOMEM, "out of memory");
	memset(x, 0, sizeof(*x));
	x->free = calloc(XSK_RING, sizeof(*x->free));
	x->fd = socket(AF_XDP, SOCK_RAW | SOCK_CLOEXEC, 0);
	if (!x->free)
		ret = error_set(err, -ENOMEM, "out of memory");
	else if (x->fd < 0)
		ret = error_set(err, -errno, "cannot open an AF_XDP socket: %s", error_name(errno));
	else
		ret = open_rings(x, err);
	if (!ret) {
		fill_all(x);
		ret = xsk_bind(x->fd, ifindex, queue, zero_copy, err);
	}
	if (ret)
		xsk_close(x);
	else
		*out = x;
	return ret;
}

void xsk_close(struct xsk *x)
{
	xsk_ring_unmap(&x->rx);
	xsk_ring_unmap(&x->fill);
	xsk_ring_unmap(&x->tx);
	xsk_ring_unmap(&x->done);
	if (x->fd >= 0)
		close(x->fd);
	xsk_umem_free(&x->umem);
	free(x->free);
	free(x);
}

/* Frames that the kernel has sent are free again. */
static void reclaim(struct xsk *x)
{
	uint32_t n = xsk_ring_ready(&x->done, XSK_RING - x->nfree);

	for (uint32_t i = 0; i < n; i++) {
		uint64_t frame = *xsk_ring_addr(&x->done, i) / XSK_FRAME_BYTES;

		if (likely(frame >= XSK_RING && frame < 2 * XSK_RING))
			x->free[x->nfree++] = (uint32_t)frame;
	}
	xsk_ring_consume(&x->done, n);
}

void xsk_set_up(struct xsk *x)
{
	atomic_store_explicit(&x->down, false, memory_order_relaxed);
}

/* Has the kernel send what is in the ring, where it wants to be told. */
static void kick(struct xsk *x)
{
	for (unsigned i = 0; i < TX_CALLS && xsk_ring_wants_wakeup(&x->tx); i++) {
		ssize_t ret = send(x->fd, "", 0, MSG_DONTWAIT);

		x->sent.syscalls++;
		if (ret >= 0)
			return;
		/* Down or gone, and not only full: what follows is dropped until it is up again. */
		if (errno == ENETDOWN || errno == ENXIO || errno == ENODEV)
			atomic_store_explicit(&x->down, true, memory_order_relaxed);
		if (errno != EAGAIN) /* there was more than it takes in one call */
			return;
	}
}

static bool sendable(struct xsk *x, const struct net_frame *frame, uint32_t max_len)
{
	if (unlikely(frame->len > max_len)) {
		x->sent.drops[HOSTNET_DROP_OVERSIZE]++;
		return false;
	}
	if (unlikely(frame->len < ETHER_HLEN)) {
		x->sent.drops[HOSTNET_DROP_MALFORMED]++;
		return false;
	}
	return true;
}

unsigned xsk_send(struct xsk *x, const struct net_frame *frames, unsigned n, uint32_t max_len)
{
	unsigned taken, put = 0;
	uint64_t bytes = 0;

	if (unlikely(!max_len || atomic_load_explicit(&x->down, memory_order_relaxed))) {
		WRITE_ONCE(x->sent.drops[HOSTNET_DROP_DOWN], x->sent.drops[HOSTNET_DROP_DOWN] + n);
		return n;
	}
	if (x->nfree < n)
		reclaim(x);
	for (taken = 0; taken < n && x->nfree; taken++) {
		const struct net_frame *f = &frames[taken];
		struct xdp_desc *d;

		if (!sendable(x, f, max_len))
			continue;
		d = xsk_ring_desc(&x->tx, put);
		*d = (struct xdp_desc){
			.addr = (uint64_t)x->free[--x->nfree] * XSK_FRAME_BYTES,
			.len = f->len,
		};
		iov_read(f->iov, f->niov, 0, x->umem.at + d->addr, f->len);
		bytes += f->len;
		put++;
	}
	WRITE_ONCE(x->sent.frames, x->sent.frames + put);
	WRITE_ONCE(x->sent.bytes, x->sent.bytes + bytes);
	xsk_ring_produce(&x->tx, put);
	/* Also with nothing new: what a full device left in the ring is tried again. */
	if (put || taken < n)
		kick(x);
	return taken;
}

unsigned xsk_borrow(struct xsk *x, struct iovec *iov, unsigned n)
{
	n = xsk_ring_ready(&x->rx, n);
	for (unsigned i = 0; i < n; i++) {
		const struct xdp_desc *d = xsk_ring_desc(&x->rx, i);
		bool inside = d->addr < x->umem.bytes && d->len <= x->umem.bytes - d->addr;

		iov[i] = (struct iovec){x->umem.at + (inside ? d->addr : 0), inside ? d->len : 0};
	}
	return n;
}

void xsk_give_back(struct xsk *x, unsigned n)
{
	uint64_t bytes = 0;

	for (unsigned i = 0; i < n; i++) {
		const struct xdp_desc *d = xsk_ring_desc(&x->rx, i);

		bytes += d->len;
		*xsk_ring_addr(&x->fill, i) = ALIGN_DOWN(d->addr, XSK_FRAME_BYTES);
	}
	xsk_ring_consume(&x->rx, n);
	xsk_ring_produce(&x->fill, n);
	WRITE_ONCE(x->received.frames, x->received.frames + n);
	WRITE_ONCE(x->received.bytes, x->received.bytes + bytes);
	if (unlikely(n && xsk_ring_wants_wakeup(&x->fill))) {
		recv(x->fd, &(char){0}, 0, MSG_DONTWAIT);
		x->received.syscalls++;
	}
}

int xsk_prove(struct xsk *x, const uint8_t mac[6], unsigned timeout_ms)
{
	uint64_t end = clock_ns() + timeout_ms * NSEC_PER_MSEC;
	uint8_t frame[ETHER_MIN_LEN] = {0};
	const struct iovec iov = {frame, sizeof(frame)};
	const struct net_frame one = {&iov, 1, sizeof(frame), {0}};
	unsigned was;

	memcpy(frame, mac, 6);
	memcpy(frame + 6, mac, 6);
	store_be16(frame + 12, 0x9000);
	xsk_send(x, &one, 1, sizeof(frame));
	for (was = x->nfree; x->nfree == was; reclaim(x)) {
		if (clock_ns() > end)
			return -ETIMEDOUT;
		usleep(1000);
		kick(x);
	}
	x->sent = (struct xsk_side){0};
	return 0;
}

void xsk_counters(const struct xsk *x, struct hostnet_counters *out)
{
	out->tx_frames = READ_ONCE(x->sent.frames);
	out->tx_bytes = READ_ONCE(x->sent.bytes);
	out->rx_frames = READ_ONCE(x->received.frames);
	out->rx_bytes = READ_ONCE(x->received.bytes);
	out->syscalls = READ_ONCE(x->sent.syscalls) + READ_ONCE(x->received.syscalls);
	for (unsigned i = 0; i < HOSTNET_DROP_COUNT; i++) {
		out->rx_drops[i] = READ_ONCE(x->received.drops[i]);
		out->drops[i] = READ_ONCE(x->sent.drops[i]) + out->rx_drops[i];
	}
}

uint64_t xsk_rx_lost(const struct xsk *x)
{
	struct xdp_statistics s = {0};
	socklen_t len = sizeof(s);

	if (getsockopt(x->fd, SOL_XDP, XDP_STATISTICS, &s, &len) < 0)
		return 0;
	return s.rx_dropped + s.rx_ring_full + s.rx_invalid_descs;
}
