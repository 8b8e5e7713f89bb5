/* SPDX-License-Identifier: Apache-2.0 */
/* Frames out of in queues: snapshots, keys, and what was taken given back to its driver. */
#include "mem/barrier.h"
#include "net/announce.h"
#include "switch/switch_internal.h"
#include "switch/vlan.h"

#include <errno.h>

#define FRAME_LOOK_US 20    /* a quiet frame port is asked again after this */
#define FAULT_LOOK_US 10000 /* a broken queue too */

static inline void look(const void *at)
{
	__builtin_prefetch(at);
	__builtin_prefetch((const char *)at + CACHE_LINE);
}

/* What the last burst found out holds as long as neither the plan nor an entry has changed. */
static void check_cache(struct sw_worker *w, struct sw_in *in)
{
	uint32_t generation = fdb_generation(w->fdb);

	if (likely(in->cached_generation == generation && in->cached_plan == w->plan->generation))
		return;
	in->cached_generation = generation;
	in->cached_plan = w->plan->generation;
	in->cached_dst = in->cached_src = 0;
}

/* The keys of frame i, and the lines of the forwarding database that they will need. */
static inline void classify(struct sw_worker *w, struct sw_in *in, const struct sw_port_config *c,
			    unsigned i)
{
	struct frame *f = &w->frames[i];

	if (unlikely(!vlan_enter(c, f))) {
		w->skey[i] = 0;
		w->dkey[i] = KEY_BAD_VLAN;
		return;
	}
	w->dkey[i] = fdb_key(f->head, f->vid);
	w->skey[i] = fdb_key(f->head + 6, f->vid);
	if (unlikely(w->dkey[i] != in->cached_dst))
		fdb_prefetch(w->fdb, w->dkey[i]);
	if (unlikely(w->skey[i] != in->cached_src))
		fdb_prefetch(w->fdb, w->skey[i]);
}

static void malformed(struct sw_worker *w, unsigned i)
{
	w->frames[i].len = 0;
	w->skey[i] = 0;
	w->dkey[i] = KEY_MALFORMED;
}

static void broken(struct sw_worker *w, struct sw_in *in)
{
	in->next_look = w->step_cycles + FAULT_LOOK_US * sw_cycles_per_us();
	if (in->ring.attention)
		in->ring.attention(in->ring.opaque);
}

/* The receive queue that the last burst went to is likely to be the one of this. */
static void prefetch_out(struct sw_worker *w, const struct sw_in *in)
{
	const struct sw_dest *d = &w->work->dests[in->cached_port];

	/* Where others write it too, its state is not ours to look at. */
	if (in->cached_port < w->plan->ndests && d->nouts && !d->hn && !d->shared)
		vq_prefetch(d->outs[in->pair % d->nouts]->ring.vq);
}

/* The general way for n chains. How many were taken. */
static unsigned take_rest(struct sw_worker *w, struct sw_in *in, const struct sw_dest *src,
			  struct vq_buf *bufs, unsigned n)
{
	if (likely(!n))
		return 0;
	for (unsigned i = 0; i < n; i++) {
		if (likely(frame_take(&w->frames[i], &bufs[i], src->hdr_len)))
			classify(w, in, src->config, i);
		else
			malformed(w, i);
	}
	return sw_forward(w, in, n, true);
}

static unsigned take_ring(struct sw_worker *w, struct sw_in *in)
{
	const struct sw_dest *src = &w->work->dests[in->port->index];
	int got = vq_pop(in->ring.vq, w->bufs, BURST, w->iov, BURST_IOV);
	uint64_t bytes = 0;
	unsigned n, fast, taken;

	if (unlikely(in->kicks_on)) {
		vq_disable_kicks(in->ring.vq);
		in->kicks_on = false;
	}
	if (got <= 0) {
		if (unlikely(got < 0))
			broken(w, in);
		return 0;
	}
	n = (unsigned)got;
	prefetch_out(w, in);
	for (unsigned i = 0; i < n; i++)
		if (likely(w->bufs[i].out_n))
			look(w->bufs[i].iov[0].iov_base);
	check_cache(w, in);
	fast = sw_fast(w, in, src, n);
	taken = fast + take_rest(w, in, src, &w->bufs[fast], n - fast);
	for (unsigned i = 0; i < taken; i++)
		bytes += w->bufs[i].out_len;
	vq_push_burst(in->ring.vq, w->bufs, NULL, taken);
	if (taken < n)
		vq_unpop(in->ring.vq, &w->bufs[taken], n - taken);
	count(&in->c.bytes, bytes - (uint64_t)taken * src->hdr_len);
	vq_flush_quiet(in->ring.vq);
	sw_call_later(w, &in->ring, NULL);
	return n;
}

static unsigned take_frames(struct sw_worker *w, struct sw_in *in)
{
	const struct sw_dest *src = &w->work->dests[in->port->index];
	uint64_t bytes = 0;
	unsigned n = 0;
	ssize_t len = 0;

	if (w->step_cycles < in->next_look)
		return 0;
	for (; n < FRAME_BURST; n++) {
		struct iovec *iov = &w->iov[n];
		struct net_offload off;

		*iov = (struct iovec){w->frame_bufs + n * FRAME_BUF_LEN, FRAME_BUF_LEN};
		len = src->hn->ops->recv(src->hn, in->pair, iov, 1, &off);
		if (len < 0)
			break;
		iov->iov_len = (size_t)len;
		bytes += (uint64_t)len;
		if (likely(frame_take_private(&w->frames[n], iov, 1, &off)))
			classify(w, in, src->config, n);
		else
			malformed(w, n);
	}
	if (n < FRAME_BURST)
		in->next_look =
			w->step_cycles + sw_cycles_per_us() * (len == -EAGAIN || len == -EMSGSIZE
								       ? FRAME_LOOK_US
								       : FAULT_LOOK_US);
	if (!n)
		return 0;
	check_cache(w, in);
	count(&in->c.bytes, bytes);
	return sw_forward(w, in, n, false);
}

/* Frames that a back-end lends: looked at and copied from where they lie. */
static unsigned take_lent(struct sw_worker *w, struct sw_in *in, struct hostnet *hn)
{
	const struct sw_dest *src = &w->work->dests[in->port->index];
	struct net_offload off[BURST];
	uint64_t bytes = 0;
	unsigned n, taken;

	if (unlikely(in->kicks_on)) {
		if (hn->ops->notify)
			hn->ops->notify(hn, in->pair, false);
		in->kicks_on = false;
	}
	n = hn->ops->borrow(hn, in->pair, w->iov, off, BURST);
	if (!n)
		return 0;
	prefetch_out(w, in);
	for (unsigned i = 0; i < n; i++)
		look(w->iov[i].iov_base);
	check_cache(w, in);
	for (unsigned i = 0; i < n; i++) {
		w->bufs[i].out_len = (uint32_t)w->iov[i].iov_len;
		if (likely(frame_take_private(&w->frames[i], &w->iov[i], 1, &off[i])))
			classify(w, in, src->config, i);
		else
			malformed(w, i);
	}
	taken = sw_forward(w, in, n, true);
	hn->ops->give_back(hn, in->pair, taken);
	for (unsigned i = 0; i < taken; i++)
		bytes += w->bufs[i].out_len;
	count(&in->c.bytes, bytes);
	return n;
}

void sw_announce(struct sw_worker *w, uint64_t word)
{
	unsigned port = fdb_key_vid(word) & FDB_PORT_MAX;
	struct sw_in *in = NULL;
	struct net_offload off = {0};
	uint8_t frame[ETHER_MIN_LEN], mac[6];
	struct iovec iov = {frame, sizeof(frame)};

	for (unsigned i = 0; i < w->work->nins && !in; i++)
		if (w->work->ins[i]->port->index == port && !w->work->ins[i]->pair)
			in = w->work->ins[i];
	if (!in || !atomic_compare_exchange_strong(&w->sw->announce, &word, 0))
		return; /* another worker's */
	fdb_key_mac(word, mac);
	net_announce_rarp(frame, mac);
	if (!frame_take_private(&w->frames[0], &iov, 1, &off))
		return;
	check_cache(w, in);
	classify(w, in, w->work->dests[port].config, 0);
	count(&in->c.bytes, sizeof(frame));
	sw_forward(w, in, 1, false);
}

void sw_call_later(struct sw_worker *w, const struct sw_ring *ring, uint64_t *calls)
{
	if (w->nflushed == FLUSHED_MAX)
		sw_calls(w);
	w->flushed[w->nflushed++] = (struct flushed){ring, calls};
}

void sw_calls(struct sw_worker *w)
{
	if (!w->nflushed)
		return;
	full_barrier(); /* all publications before the looks at what the drivers ask for */
	for (unsigned i = 0; i < w->nflushed; i++) {
		const struct flushed *f = &w->flushed[i];

		if (likely(!vq_decide_call(f->ring->vq)))
			continue;
		f->ring->call(f->ring->opaque);
		if (f->calls)
			count(f->calls, 1);
	}
	w->nflushed = 0;
}

unsigned sw_take(struct sw_worker *w, struct sw_in *in)
{
	if (!in->ring.vq) {
		struct hostnet *hn = w->work->dests[in->port->index].hn;

		return hn->ops->borrow ? take_lent(w, in, hn) : take_frames(w, in);
	}
	if (unlikely(w->step_cycles < in->next_look))
		return 0;
	return take_ring(w, in);
}
