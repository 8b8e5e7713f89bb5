/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The pool of receive chains: popped ahead, filled by whoever has a frame, pushed when one lies in
 * them, given back when the queue stops or memory changes. inprocess_rx.c tells why.
 *
 * bufs[head … tail) are the chains in hand, in the ring's order, and their parts adjoin in iov, so
 * that a frame can be received across chains with one call. The head chain may be "prepared": the
 * room of its header is cut off its first parts, which are kept in saved[] and put back before the
 * chain is pushed (the dirty log looks at them then).
 */
#include "dataplane/inprocess.h"

static uint32_t pool_room(const struct inproc_pair *pair)
{
	const struct rx_pool *pool = &pair->pool;

	return pool->tail > pool->head ? (uint32_t)pool->bytes - pair->p->hdr_len : 0;
}

static void pool_reset(struct rx_pool *pool)
{
	pool->head = pool->tail = pool->iov_tail = 0;
	pool->bytes = 0;
	pool->prepared = false;
}

void inproc_rx_unpop(struct inproc_pair *pair)
{
	struct rx_pool *pool = &pair->pool;

	if (pool->tail > pool->head)
		vq_unpop(pair->rx.vq, &pool->bufs[pool->head], pool->tail - pool->head);
	pool_reset(pool);
}

/* A receive chain that cannot even take the header, or has parts that are not ours to write. */
static bool chain_bad(const struct inproc_pair *pair, const struct vq_buf *buf)
{
	return buf->out_n || buf->in_len < pair->p->hdr_len + !pair->p->mergeable;
}

/*
 * The first chain in the ring is bad: it goes back empty. Only when the pool is empty, so that
 * IN_ORDER is kept.
 */
static void return_bad(struct inproc_pair *pair, const struct vq_buf *buf)
{
	vq_push(pair->rx.vq, buf, 0);
	pair->rx_pushed++;
	count(&pair->rx.c.bad_buffers, 1);
}

/* Pops more chains into the pool. How many; 0: there are none or the ring broke. */
static unsigned pool_pop(struct inproc_pair *pair)
{
	struct inproc_queue *q = &pair->rx;
	struct rx_pool *pool = &pair->pool;
	struct vq_buf *bufs;
	int n, good;

	if (pool->tail + RX_POP > RX_BUFS || pool->iov_tail + RX_CHAIN > RX_IOV) {
		if (!pool->head)
			return 0; /* as much as one frame may take */
		inproc_rx_unpop(pair);
	}
	/* What was delivered must not be lost if the next chain breaks the ring. */
	if (pair->rx_pushed)
		vq_flush_quiet(q->vq);
	bufs = &pool->bufs[pool->tail];
	n = vq_pop(q->vq, bufs, RX_POP, &pool->iov[pool->iov_tail], RX_IOV - pool->iov_tail);
	if (unlikely(n < 0)) {
		pool_reset(pool);
		inproc_broken(pair, q);
		return 0;
	}
	if (n && unlikely(q->kicks_on)) {
		vq_disable_kicks(q->vq);
		q->kicks_on = false;
	}
	for (good = 0; good < n && likely(!chain_bad(pair, &bufs[good])); good++) {
		pool->iov_tail += bufs[good].in_n;
		pool->bytes += bufs[good].in_len;
	}
	pool->tail += (unsigned)good;
	if (likely(good == n))
		return (unsigned)n;
	vq_unpop(q->vq, &bufs[good], (unsigned)(n - good));
	if (pool->tail > pool->head)
		return (unsigned)good; /* the bad one's turn comes when it is the first */
	n = vq_pop(q->vq, bufs, 1, &pool->iov[pool->iov_tail], RX_IOV - pool->iov_tail);
	if (n == 1)
		return_bad(pair, bufs);
	return (unsigned)n;
}

uint32_t rx_pool_fill(struct inproc_pair *pair, uint32_t want)
{
	struct rx_pool *pool = &pair->pool;
	bool one = !pair->p->mergeable; /* chains do not add up */

	for (unsigned tries = 0; tries < RX_BUFS; tries++) {
		if (pool->tail > pool->head && (one || pool_room(pair) >= want))
			break;
		if (!pair->rx.running || !pool_pop(pair))
			break;
	}
	if (pool->tail == pool->head)
		return 0;
	return one ? pool->bufs[pool->head].in_len - pair->p->hdr_len : pool_room(pair);
}

void rx_pool_prepare(struct inproc_pair *pair)
{
	struct rx_pool *pool = &pair->pool;
	struct iovec *iov = pool->bufs[pool->head].iov;
	size_t left = pair->p->hdr_len;

	if (pool->prepared)
		return;
	pool->prepared = true;
	for (pool->saved_n = 0; left; iov++) {
		size_t piece = MIN(left, iov->iov_len);

		pool->saved[pool->saved_n++] = *iov;
		left -= piece;
		if (piece < iov->iov_len) {
			iov->iov_base = (char *)iov->iov_base + piece;
			iov->iov_len -= piece;
			break;
		}
	}
	pool->first = iov;
}

struct iovec *rx_pool_end(struct inproc_pair *pair, uint32_t *room)
{
	struct rx_pool *pool = &pair->pool;
	const struct vq_buf *head = &pool->bufs[pool->head];
	bool mergeable = pair->p->mergeable;
	struct iovec *end = mergeable ? &pool->iov[pool->iov_tail] : head->iov + head->in_n;
	uint64_t want = mergeable ? pair->rx_want : NET_FRAME_MAX, have = 0;
	struct iovec *iov;

	if (end - pool->first > RX_PARTS)
		end = pool->first + RX_PARTS;
	for (iov = pool->first; iov < end && have < want; iov++)
		have += iov->iov_len;
	*room = (uint32_t)MIN(have, UINT32_MAX);
	return iov;
}

/* Writes the header into the room that was cut off, and makes the head chain whole again. */
static void put_header(struct inproc_pair *pair, const struct rx_meta *meta, unsigned chains)
{
	struct rx_pool *pool = &pair->pool;
	struct net_offload off = meta->off;
	uint8_t hdr[HDR_LEN_HASH];
	unsigned len = pair->p->hdr_len;

	off.num_buffers = htole16((uint16_t)chains);
	memcpy(hdr, &off, sizeof(off));
	if (len == HDR_LEN_HASH) {
		store_le32(hdr + 12, meta->hash);
		store_le16(hdr + 16, meta->report);
		store_le16(hdr + 18, 0);
	}
	for (unsigned i = 0, done = 0; i < pool->saved_n; i++) {
		size_t piece = MIN(pool->saved[i].iov_len, (size_t)(len - done));

		memcpy(pool->saved[i].iov_base, hdr + done, piece);
		done += (unsigned)piece;
		pool->bufs[pool->head].iov[i] = pool->saved[i];
	}
	pool->prepared = false;
}

/* The chains that a frame of len bytes takes, which the pool has. */
static unsigned chains_for(const struct inproc_pair *pair, uint32_t len)
{
	const struct rx_pool *pool = &pair->pool;
	uint64_t need = (uint64_t)len + pair->p->hdr_len, have = 0;
	unsigned n = 0;

	while (have < need && pool->head + n < pool->tail)
		have += pool->bufs[pool->head + n++].in_len;
	return n;
}

void rx_pool_deliver(struct inproc_pair *pair, const struct rx_meta *meta, uint32_t len)
{
	struct inproc_queue *q = &pair->rx;
	struct rx_pool *pool = &pair->pool;
	unsigned chains = chains_for(pair, len);
	uint64_t left = (uint64_t)len + pair->p->hdr_len;

	put_header(pair, meta, chains);
	for (unsigned i = 0; i < chains; i++) {
		const struct vq_buf *buf = &pool->bufs[pool->head++];
		uint32_t piece = (uint32_t)MIN(left, buf->in_len);

		vq_push(q->vq, buf, piece);
		pool->bytes -= buf->in_len;
		left -= piece;
	}
	if (pool->head == pool->tail)
		pool_reset(pool);
	count_out(q, len);
	pair->rx_pushed++;
}
