/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Theory of operation: network to guest.
 *
 * A frame is received straight into guest memory, before anybody knows how long it is or whether
 * the guest wants it. So chains are popped ahead into a pool, and stay there from visit to visit:
 * each is popped once. A frame is received into the pool's chains from the first on, behind the
 * room for its header; the chains it needs are pushed, and the others, or all of them if the frame
 * is not delivered after all (filtered, link down, steered to another queue), take the next one.
 * The pool is given back (vq_unpop) when the queue stops, when the memory table changes, and when
 * its arrays have no room behind the last chain: then it is popped again to their start.
 *
 * How many chains? For the largest frame that can come it would be dozens, and the kernel looks at
 * every part. So the pool holds what the frames of late needed, and behind its last part comes
 * pair->spill, a buffer of our own with room for the rest: a frame never loses its tail. What
 * spilled is put together there, and copied to chains popped when its length is known. If the ring
 * does not have as many just then, the frame waits in the stash, and the back-end is left alone
 * until the guest gives buffers. A guest may not give any before it gets used ones back, though:
 * a frame that waits longer than WAIT_NS is dropped, and one that can never fit at once. And so
 * that this remains the exception: when the guest has most of its buffers and large frames came
 * lately, receiving waits up to REFILL_NS for it to give some.
 *
 * Without MRG_RXBUF each frame takes one chain, whatever does not fit is dropped (virtio 1.2,
 * 5.1.6.3.1 has the driver give chains that are large enough).
 */
#include "dataplane/inprocess.h"

#include "base/iov.h"
#include "base/log.h"
#include "net/checksum.h"

#include <errno.h>

#define WAIT_NS	     (20 * NSEC_PER_MSEC)
#define NET_DEAD_NS  (100 * NSEC_PER_MSEC)
#define REFILL_NS    NSEC_PER_MSEC
#define FILTER_LEN   18 /* addresses, VLAN tag, type */
#define ONES_TRUST   4	/* visits with one frame, after which the next is not asked for */
#define ONES_RECHECK 16 /* … but on every so many visits */

static void drop(struct inproc_pair *pair, uint32_t len, enum plane_drop why)
{
	count_in(&pair->rx, len);
	count_drop(&pair->rx, why);
}

/* The same for a frame in our own memory. */
static void drop_bytes(struct inproc_pair *pair, uint8_t *data, uint32_t len, enum plane_drop why)
{
	struct iovec iov = {data, len};

	drop(pair, len, why);
	if (unlikely(pair->capture))
		inproc_record(pair, PCAPNG_INBOUND, &iov, 1, why);
}

static void drop_copied(struct inproc_pair *pair, const struct rx_frame *frame, enum plane_drop why)
{
	drop_bytes(pair, (uint8_t *)(uintptr_t)frame->data, frame->len, why);
}

int inproc_rx_copy(struct inproc_pair *pair, const struct rx_frame *frame)
{
	struct inproc_queue *q = &pair->rx;
	const struct rx_pool *pool = &pair->pool;
	uint32_t room;

	if (!q->running) {
		drop_copied(pair, frame, PLANE_DROP_BROKEN);
		return 1;
	}
	room = rx_pool_fill(pair, frame->len);
	if (!q->running) {
		drop_copied(pair, frame, PLANE_DROP_BROKEN);
		return 1;
	}
	if (room < frame->len) {
		/* Will it ever fit? Not if every buffer of the ring is in hand. */
		bool full = pool->tail - pool->head >= q->size ||
			    (!pool->head && pool->tail + RX_POP > RX_BUFS);

		if (pool->tail == pool->head || (pair->p->mergeable && !full))
			return 0;
		drop_copied(pair, frame, PLANE_DROP_OVERSIZE);
		return 1;
	}
	rx_pool_prepare(pair);
	iov_write(pool->first, (unsigned)(&pool->iov[pool->iov_tail] - pool->first), 0, frame->data,
		  frame->len);
	count_in(q, frame->len);
	if (unlikely(pair->capture)) {
		struct iovec iov = {(uint8_t *)(uintptr_t)frame->data, frame->len};

		inproc_record(pair, PCAPNG_INBOUND, &iov, 1, PLANE_DROP_COUNT);
	}
	rx_pool_deliver(pair, &frame->meta, frame->len);
	return 1;
}

/* The frame in the pool's parts up to end, and in the spill, becomes one in dst->data. */
static void gather(struct inproc_pair *pair, const struct rx_meta *meta, const struct iovec *end,
		   uint32_t room, uint32_t len, struct rx_frame *dst)
{
	const struct rx_pool *pool = &pair->pool;
	uint32_t head = MIN(len, room);

	iov_read(pool->first, (unsigned)(end - pool->first), 0, dst->data, head);
	memcpy(dst->data + head, pair->spill, len - head);
	dst->meta = *meta;
	dst->len = len;
}

/* A frame as it was received: where it lies and what is known of it. */
struct received {
	struct rx_meta meta;
	uint32_t len;
	uint32_t room; /* of it in the pool, the rest in the spill */
	const struct iovec *end;
	uint8_t look[LOOK_LEN];
	unsigned look_len;
};

/* Records a frame where it lies. */
static void record(struct inproc_pair *pair, const struct received *r, enum plane_drop why)
{
	struct iovec iov[RX_PARTS + 1];
	uint32_t in_pool = MIN(r->len, r->room);
	unsigned n = iov_slice(pair->pool.first, (unsigned)(r->end - pair->pool.first), 0, in_pool,
			       iov, RX_PARTS);

	if (r->len > in_pool)
		iov[n++] = (struct iovec){pair->spill, r->len - in_pool};
	inproc_record(pair, PCAPNG_INBOUND, iov, n, why);
}

static void lose(struct inproc_pair *pair, const struct received *r, enum plane_drop why)
{
	drop(pair, r->len, why);
	if (unlikely(pair->capture))
		record(pair, r, why);
}

static void look_at(struct inproc_pair *pair, struct received *r, unsigned max)
{
	unsigned pool_part = MIN(r->len, r->room);

	r->look_len = MIN(r->len, max);
	pool_part = MIN(pool_part, r->look_len);
	iov_read(pair->pool.first, (unsigned)(r->end - pair->pool.first), 0, r->look, pool_part);
	memcpy(r->look + pool_part, pair->spill, r->look_len - pool_part);
	/* The guest can write there: from here on only the copy counts. */
	__asm__ volatile("" ::: "memory");
}

/* Hash, and the pair that the frame belongs to. */
static unsigned steer(struct inproc_pair *pair, struct received *r)
{
	const struct rss_config *rss = &pair->config->net.rss;
	enum rss_report report = rss_hash(rss, r->look, r->look_len, &r->meta.hash);

	r->meta.report = (uint16_t)report;
	if (!pair->config->steer)
		return pair->index;
	return rss_queue(rss, report, r->meta.hash);
}

static void steer_away(struct inproc_pair *pair, const struct received *r, unsigned to)
{
	struct rx_frame *frame = steer_frame(pair);

	if (!frame) {
		lose(pair, r, PLANE_DROP_STEER);
		return;
	}
	gather(pair, &r->meta, r->end, r->room, r->len, frame);
	steer_give(pair, frame, to);
}

/* The largest set of offloads that this frame can need; see net_offload_check(). */
static bool offload_fits(struct inproc_pair *pair, const struct net_offload *off)
{
	uint32_t allowed = pair->config->net.guest_offloads & pair->p->rx_offloads;
	uint8_t type = off->gso_type & (uint8_t)~NET_GSO_ECN;

	switch (type) {
	case NET_GSO_NONE:
		return true;
	case NET_GSO_TCPV4:
		return allowed & NET_OFFLOAD_TSO4;
	case NET_GSO_TCPV6:
		return allowed & NET_OFFLOAD_TSO6;
	case NET_GSO_UDP:
		return allowed & NET_OFFLOAD_UFO;
	case NET_GSO_UDP_L4:
		return allowed & (NET_OFFLOAD_USO4 | NET_OFFLOAD_USO6);
	default:
		return false;
	}
}

/*
 * A frame whose checksum is left to a guest that does not take that (virtio 1.2, 5.1.6.4.1): it is
 * finished where it lies. Happens when the guest has just turned the offload off.
 */
static int finish_csum(struct inproc_pair *pair, struct received *r)
{
	struct net_offload *off = &r->meta.off;
	uint32_t at = (uint32_t)le16toh(off->csum_start) + le16toh(off->csum_offset);
	struct iovec iov[RX_PARTS];
	uint16_t value;
	unsigned n;

	if (r->len > r->room)
		return -EINVAL;
	/* No more of the buffers than the frame: the sum is over all that is given. */
	n = iov_slice(pair->pool.first, (unsigned)(r->end - pair->pool.first), 0, r->len, iov,
		      RX_PARTS);
	if (!n || net_csum_value(iov, n, off, &value))
		return -EINVAL;
	iov_write(iov, n, at, &value, sizeof(value));
	off->flags = 0;
	return 0;
}

/* Settles what the guest will be told of checksums and segmentation. */
static int fit_offload(struct inproc_pair *pair, struct received *r)
{
	struct net_offload *off = &r->meta.off;
	uint32_t allowed = pair->config->net.guest_offloads & pair->p->rx_offloads;

	off->flags &= NET_NEEDS_CSUM | NET_DATA_VALID;
	if (unlikely(off->gso_type && !offload_fits(pair, off)))
		return -EINVAL;
	if (likely(!off->flags || (allowed & NET_OFFLOAD_CSUM)))
		return 0;
	if (off->flags & NET_NEEDS_CSUM)
		return finish_csum(pair, r);
	off->flags = 0;
	return 0;
}

/* What spilled is put together in the stash and copied into buffers as soon as there are enough. */
static void spilled(struct inproc_pair *pair, const struct received *r)
{
	if (!pair->p->mergeable) {
		lose(pair, r, PLANE_DROP_OVERSIZE);
		return;
	}
	gather(pair, &r->meta, r->end, r->room, r->len, pair->stash);
	pair->stash->since = 0;
	pair->rx_stashed = true;
}

static void received(struct inproc_pair *pair, struct received *r)
{
	const struct inproc_config *config = pair->config;

	if (unlikely(r->len < ETHER_HLEN || r->len > NET_FRAME_MAX)) {
		lose(pair, r, r->len < ETHER_HLEN ? PLANE_DROP_MALFORMED : PLANE_DROP_OVERSIZE);
		return;
	}
	if (config->filter || config->hash) {
		look_at(pair, r, config->hash ? LOOK_LEN : FILTER_LEN);
		if (config->filter &&
		    !rx_filter_accepts(&config->net.filter, r->look, r->look_len)) {
			lose(pair, r, PLANE_DROP_RX_FILTER);
			return;
		}
	}
	if (unlikely(fit_offload(pair, r))) {
		lose(pair, r, PLANE_DROP_OFFLOAD);
		return;
	}
	if (unlikely(config->hash)) {
		unsigned to = steer(pair, r);

		if (to != pair->index && to < pair->p->npairs) {
			steer_away(pair, r, to);
			return;
		}
	}
	if (unlikely(r->len > r->room)) {
		spilled(pair, r);
		return;
	}
	count_in(&pair->rx, r->len);
	if (unlikely(pair->capture))
		record(pair, r, PLANE_DROP_COUNT);
	rx_pool_deliver(pair, &r->meta, r->len);
}

/* The back-end failed for good or for a while; it says so itself. */
static void net_failed(struct inproc_pair *pair, ssize_t ret)
{
	log_warn_limited("%s: receiving from %s: %s", pair->p->id, pair->p->hn->ops->name,
			 error_name((int)ret));
	pair->net_ready = false;
	pair->net_dead_until = clock_ns() + NET_DEAD_NS;
}

/*
 * How much room to have ready: what the largest of the recent frames needed. Grows at once, and
 * halves every 64 frames that would have done with half.
 */
static void learn_want(struct inproc_pair *pair, uint32_t len)
{
	if (len > pair->rx_want) {
		pair->rx_want = MIN(2 * len, NET_FRAME_MAX);
		pair->rx_small = 0;
	} else if (len > pair->rx_want / 2 || pair->rx_want <= RX_WANT_MIN) {
		pair->rx_small = 0;
	} else if (++pair->rx_small == 64) {
		pair->rx_want /= 2;
		pair->rx_small = 0;
	}
}

/*
 * Whether to receive into the pool now. With less room than the frames of late needed, while the
 * guest has most of the ring's buffers, it is better to wait for those for a moment than to copy
 * what spills.
 */
static bool room_enough(struct inproc_pair *pair)
{
	const struct rx_pool *pool = &pair->pool;
	uint32_t room = rx_pool_fill(pair, pair->rx_want);

	if (likely(room >= pair->rx_want)) {
		pair->rx_refill_until = 0;
		pair->rx_refill_over = false;
		return true;
	}
	if (!room)
		return false;
	if (pair->rx_want <= RX_WANT_MIN || !pair->p->mergeable ||
	    pool->tail - pool->head >= pair->rx.size / 2 || pair->rx_refill_over)
		return true;
	if (!pair->rx_refill_until)
		pair->rx_refill_until = clock_ns() + REFILL_NS;
	return false;
}

/* Receives one frame: 1, or 0 when there is none, or no room for one. */
static int receive(struct inproc_pair *pair)
{
	struct hostnet *hn = pair->p->hn;
	struct rx_pool *pool = &pair->pool;
	struct received r;
	struct iovec *end, save;
	ssize_t len;

	if (!room_enough(pair)) {
		pair->rx_starved = true;
		return 0;
	}
	rx_pool_prepare(pair);
	end = rx_pool_end(pair, &r.room);
	/* The element behind the last part belongs to the next chain, or is the spare one. */
	save = *end;
	*end = (struct iovec){pair->spill, RX_ROOM - MIN(r.room, NET_FRAME_MAX)};
	len = hn->ops->recv(hn, pair->index, pool->first, (unsigned)(end - pool->first) + 1,
			    &r.meta.off);
	*end = save;
	if (len <= 0) {
		if (len == -EAGAIN)
			pair->net_ready = false;
		else if (len != -EMSGSIZE && len)
			net_failed(pair, len);
		return len == -EMSGSIZE || !len;
	}
	r.len = (uint32_t)len;
	r.end = end;
	r.meta.hash = 0;
	r.meta.report = RSS_REPORT_NONE;
	learn_want(pair, r.len);
	received(pair, &r);
	return 1;
}

/* With the link down frames are taken from the back-end, so that none is there when it is up. */
static int receive_link_down(struct inproc_pair *pair)
{
	struct hostnet *hn = pair->p->hn;
	struct iovec iov = {pair->spill, RX_ROOM};
	struct net_offload off;
	ssize_t len = hn->ops->recv(hn, pair->index, &iov, 1, &off);

	if (len > 0)
		drop_bytes(pair, pair->spill, (uint32_t)len, PLANE_DROP_LINK_DOWN);
	else if (len == -EAGAIN)
		pair->net_ready = false;
	else if (len < 0 && len != -EMSGSIZE)
		net_failed(pair, len);
	return len >= 0 || len == -EMSGSIZE;
}

/* Tries to be rid of a frame that is in our own memory; false: it must wait on. */
static bool settle(struct inproc_pair *pair, struct rx_frame *frame)
{
	if (unlikely(!pair->config->link_up)) {
		drop_copied(pair, frame, PLANE_DROP_LINK_DOWN);
		return true;
	}
	if (likely(inproc_rx_copy(pair, frame)))
		return true;
	if (!frame->since)
		frame->since = clock_ns();
	pair->rx_wait_until = frame->since + WAIT_NS;
	if (clock_ns() < pair->rx_wait_until)
		return false;
	drop_copied(pair, frame, PLANE_DROP_NO_RX_BUFFER);
	return true;
}

/* Frames that wait in our own memory. False: there is one that must wait on. */
static bool rx_waiting(struct inproc_pair *pair, unsigned *frames)
{
	struct rx_frame *frame;
	unsigned from;

	pair->rx_wait_until = 0;
	if (unlikely(pair->rx_stashed)) {
		if (!settle(pair, pair->stash))
			return false;
		pair->rx_stashed = false;
		(*frames)++;
	}
	if (likely(!atomic_load_explicit(&pair->p->steer, memory_order_acquire)))
		return true;
	while (*frames < RX_BURST && (frame = steer_peek(pair, &from))) {
		if (!settle(pair, frame))
			return false;
		steer_done(pair, from);
		(*frames)++;
	}
	return true;
}

/*
 * Whether the back-end is asked for another frame after n of this visit. When it had one at a
 * time lately it is not: epoll will say if there is another, and is asked anyway before sleeping.
 */
static bool ask_again(const struct inproc_pair *pair, unsigned n)
{
	return n != 1 || pair->rx_ones < ONES_TRUST || pair->rx_ones % ONES_RECHECK == 0;
}

static unsigned rx_from_net(struct inproc_pair *pair)
{
	unsigned n = 0;

	while (n < RX_BURST) {
		if (!ask_again(pair, n)) {
			pair->net_ready = false;
			break;
		}
		if (!(likely(pair->config->link_up) ? receive(pair) : receive_link_down(pair)))
			break;
		n++;
		if (unlikely(pair->rx_stashed) && !rx_waiting(pair, &n)) {
			pair->rx_starved = true;
			break;
		}
	}
	if (n == 1 && !pair->net_ready)
		pair->rx_ones++;
	else if (n > 1)
		pair->rx_ones = 0;
	return n;
}

unsigned inproc_rx(struct inproc_pair *pair)
{
	struct inproc_queue *q = &pair->rx;
	unsigned n = 0;

	if (unlikely(pair->net_dead_until && pair->net_dead_until <= clock_ns())) {
		pair->net_dead_until = 0;
		pair->net_ready = true;
	}
	if (unlikely(pair->rx_refill_until && pair->rx_refill_until <= clock_ns())) {
		pair->rx_refill_until = 0;
		pair->rx_refill_over = true;
	}
	pair->rx_starved = false;
	if (!rx_waiting(pair, &n))
		pair->rx_starved = true;
	else if (likely(q->running && pair->net_ready && !pair->net_dead_until))
		n += rx_from_net(pair);
	if (pair->rx_pushed) {
		inproc_publish(pair, q, &pair->config->net.rx_coalesce, pair->rx_pushed);
		pair->rx_pushed = 0;
	}
	count(n ? &q->c.bursts : &q->c.polls, 1);
	return n;
}

void inproc_rx_drain(struct inproc_pair *pair)
{
	struct rx_frame *frame;
	unsigned from;

	inproc_reload(pair);
	if (pair->rx_stashed && !inproc_rx_copy(pair, pair->stash))
		drop_copied(pair, pair->stash, PLANE_DROP_NO_RX_BUFFER);
	pair->rx_stashed = false;
	while (atomic_load(&pair->p->steer) && (frame = steer_peek(pair, &from))) {
		if (!inproc_rx_copy(pair, frame))
			drop_copied(pair, frame, PLANE_DROP_NO_RX_BUFFER);
		steer_done(pair, from);
	}
	pair->rx_wait_until = 0;
	inproc_rx_unpop(pair);
	if (pair->rx_pushed && vq_flush(pair->rx.vq))
		inproc_call(&pair->rx);
	pair->rx_pushed = 0;
}
