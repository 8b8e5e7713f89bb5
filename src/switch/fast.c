/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The shortest way through the switch, for the frames at the beginning of a burst that are like
 * those before them: to the same port, one part, nothing left to be done to them, between two ring
 * ports without settings. Their snapshot is compared with what the last burst found out and goes
 * straight into the receiver's buffer; addresses that are others than then are looked up and learnt
 * on the way. The first frame that differs in anything else ends it, and that frame and all behind
 * it take the general way; so this decides nothing that forward.c would decide otherwise.
 */
#include "net/ether.h"
#include "switch/worker.h"

/* Where the last burst went, if it may be asked for again without a look at anything; or NULL. */
static const struct sw_dest *same_again(const struct sw_worker *w, const struct sw_in *in,
					const struct sw_dest *src)
{
	const struct sw_dest *d = &w->work->dests[in->cached_port];

	if (!in->cached_dst || !in->cached_src || in->cached_now != w->now || !src->plain ||
	    !d->plain || d == src || d->hn || d->shared || w->plan->capture ||
	    src->hdr_len != FRAME_HDR || d->hdr_len != FRAME_HDR)
		return NULL;
	return d;
}

/* Whether a frame with these addresses is for the port where the last burst went. */
static bool goes_there(struct sw_worker *w, struct sw_in *in, uint64_t dst, uint64_t src)
{
	in->spread = true;
	if (dst != in->cached_dst &&
	    (fdb_key_is_group(dst) || fdb_lookup(w->fdb, dst) != in->cached_port))
		return false;
	if (src == in->cached_src)
		return true;
	return src && !fdb_key_is_group(src) && fdb_learn(w->fdb, src, in->port->index, w->now);
}

/* Asks for the lines of the forwarding database that a burst of other addresses will need. */
static void look_ahead(const struct sw_worker *w, const struct sw_in *in, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		const uint8_t *at;
		uint64_t dst, src;

		if (unlikely(w->bufs[i].out_n != 1 || w->bufs[i].out_len < FRAME_HDR + SNAP_LEN))
			continue;
		/* Only a hint: the frame may be another when its snapshot is taken. */
		at = (const uint8_t *)w->bufs[i].iov->iov_base + FRAME_HDR;
		dst = fdb_key(at, 0);
		src = fdb_key(at + 6, 0);
		if (dst != in->cached_dst)
			fdb_prefetch(w->fdb, dst);
		if (src != in->cached_src)
			fdb_prefetch(w->fdb, src);
	}
}

/* Copies one frame. False: it is not of this kind, and nothing was done. */
static inline bool copy_one(struct sw_worker *w, struct sw_in *in, const struct vq_buf *from,
			    const struct vq_buf *to, uint32_t max)
{
	uint64_t dst, src;
	uint32_t len = from->out_len;
	const uint8_t *at;
	uint8_t snap[SNAP_LEN], *into;

	if (unlikely(from->out_n != 1 || len < FRAME_HDR + SNAP_LEN || len > max || to->in_n != 1 ||
		     to->out_n || to->in_len < len))
		return false;
	at = from->iov->iov_base;
	memcpy(snap, at + FRAME_HDR, SNAP_LEN);
	dst = fdb_key(snap, 0);
	src = fdb_key(snap + 6, 0);
	if (unlikely(load_le16(at) /* flags and gso_type */ || load_be16(snap + 12) == ETHER_VLAN))
		return false;
	if ((dst != in->cached_dst || src != in->cached_src) && !goes_there(w, in, dst, src))
		return false;
	into = to->iov->iov_base;
	store_le64(into, 0);
	store_le32(into + 8, 1 << 16); /* num_buffers */
	memcpy(into + FRAME_HDR, snap, SNAP_LEN);
	if (len > FRAME_HDR + SNAP_LEN)
		memcpy(into + FRAME_HDR + SNAP_LEN, at + FRAME_HDR + SNAP_LEN,
		       len - FRAME_HDR - SNAP_LEN);
	return true;
}

unsigned sw_fast(struct sw_worker *w, struct sw_in *in, const struct sw_dest *src, unsigned n)
{
	const struct sw_dest *d = same_again(w, in, src);
	uint64_t bytes = 0;
	unsigned done = 0;
	uint32_t max;
	struct sw_out *out;
	int got;

	if (!d)
		return 0;
	if (in->spread) {
		in->spread = false;
		look_ahead(w, in, n);
	}
	max = FRAME_HDR + d->max_len;
	out = d->outs[d->nouts > 1 ? in->pair % d->nouts : 0];
	got = vq_pop(out->ring.vq, w->sink_bufs, n, w->sink_iov, SINK_IOV);
	if (got <= 0 || !out->kicks_off) {
		if (got > 0)
			vq_unpop(out->ring.vq, w->sink_bufs, (unsigned)got);
		return 0;
	}
	for (int i = 0; i < got; i++) {
		const char *at;

		if (unlikely(!w->sink_bufs[i].in_n))
			continue;
		at = w->sink_bufs[i].iov->iov_base;
		prefetch_write(at);
		prefetch_write(at + CACHE_LINE);
	}
	for (; done < (unsigned)got; done++) {
		if (!copy_one(w, in, &w->bufs[done], &w->sink_bufs[done], max))
			break;
		w->sink_lens[done] = w->bufs[done].out_len;
		bytes += w->bufs[done].out_len;
	}
	vq_push_burst(out->ring.vq, w->sink_bufs, w->sink_lens, done);
	if (done < (unsigned)got)
		vq_unpop(out->ring.vq, &w->sink_bufs[done], (unsigned)got - done);
	if (!done)
		return 0;
	out->full_since = 0;
	vq_flush_quiet(out->ring.vq);
	sw_call_later(w, &out->ring, &out->c.calls);
	bytes -= (uint64_t)done * FRAME_HDR;
	count(&in->c.frames, done);
	count(&in->c.forwarded, done);
	count(&out->c.frames, done);
	count(&out->c.bytes, bytes);
	return done;
}
