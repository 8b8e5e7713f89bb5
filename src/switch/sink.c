/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Frames into a ring's receive buffers.
 *
 * Chains are popped for the whole burst and their first lines asked for, then filled one after
 * another; what is left over is given back at the end, and the caller publishes once.
 *
 * The common frame is one chain of one part that it fits into: that is decided by a few compares on
 * what the pop has checked. Everything else (scattered buffers, mergeable buffers, small headers)
 * takes the general way below it. A frame whose receiver cannot finish it is finished here, by
 * net_gso_finish(), which calls back with what the wire would carry.
 */
#include "base/iov.h"
#include "net/gso.h"
#include "switch/worker.h"

#include <errno.h>

/* Pops what fits into the arrays. Returns how many, or -EPROTO. */
static int more(struct sink *s, unsigned want)
{
	struct sw_worker *w = s->w;
	struct vq_buf *at = &w->sink_bufs[s->got];
	struct iovec *iov = &w->sink_iov[s->iov_used];
	unsigned max = MIN(want, SINK_BUFS - s->got);
	int n = 0;

	if (max && s->iov_used < SINK_IOV)
		n = vq_pop(s->vq, at, max, iov, SINK_IOV - s->iov_used);
	if (unlikely(n == -EAGAIN)) { /* it is as if there were none, until it is known */
		s->untranslated = true;
		return 0;
	}
	if (n <= 0)
		return n;
	for (int i = 0; i < n; i++) {
		const struct iovec *first = &at[i].iov[at[i].out_n];

		s->iov_used += at[i].out_n + at[i].in_n;
		if (unlikely(!at[i].in_n))
			continue;
		prefetch_write(first->iov_base);
		prefetch_write((char *)first->iov_base + CACHE_LINE);
	}
	s->got += (unsigned)n;
	return n;
}

void sink_open(struct sink *s, struct sw_worker *w, struct vq *vq, const struct sw_dest *d,
	       unsigned expected)
{
	*s = (struct sink){
		.vq = vq,
		.w = w,
		.offloads = d->offloads_to,
		.max_len = d->max_len,
		.hdr_len = d->hdr_len,
		.mergeable = d->mergeable,
	};
	more(s, expected);
}

/* Completes the chains that were filled, all but those given to the ring before. */
static void push_filled(struct sink *s)
{
	struct sw_worker *w = s->w;

	vq_push_burst(s->vq, &w->sink_bufs[s->pushed], &w->sink_lens[s->pushed],
		      s->next - s->pushed);
	s->pushed = s->next;
}

void sink_close(struct sink *s)
{
	push_filled(s);
	if (s->got > s->next)
		vq_unpop(s->vq, &s->w->sink_bufs[s->next], s->got - s->next);
	s->got = s->next = s->pushed = 0;
}

/* Chain number `nth` from the next on, or NULL with *rc set. */
static struct vq_buf *chain(struct sink *s, unsigned nth, int *rc)
{
	while (s->next + nth >= s->got) {
		*rc = more(s, nth ? 16 : BURST);
		if (*rc > 0)
			continue;
		if (*rc < 0)
			return NULL;
		if (!s->next || !vq_available(s->vq)) {
			*rc = -ENOSPC;
			return NULL;
		}
		/* The arrays are full, or their rest is too small: begin them anew. */
		push_filled(s);
		vq_unpop(s->vq, &s->w->sink_bufs[s->next], s->got - s->next);
		s->got = s->next = s->pushed = s->iov_used = 0;
		*rc = -EAGAIN;
		return NULL;
	}
	return &s->w->sink_bufs[s->next + nth];
}

/* A chain that cannot even hold the header: back to the driver, empty. */
static void skip_chain(struct sink *s)
{
	s->w->sink_lens[s->next++] = 0;
}

/* How many chains it takes for `need` bytes, from the next one on; or a negative errno. */
static int gather(struct sink *s, uint32_t need)
{
	uint64_t room = 0;
	unsigned n = 0;
	int rc = 0;

	while (room < need) {
		struct vq_buf *b = chain(s, n, &rc);

		if (!b && rc == -EAGAIN) {
			room = n = 0;
			continue;
		}
		if (!b)
			return rc;
		if (!n && unlikely(b->in_len < s->hdr_len)) {
			skip_chain(s);
			continue;
		}
		room += b->in_len;
		n++;
		if (!s->mergeable && room < need)
			return -EMSGSIZE;
		if (n > SINK_BUFS / 2)
			return -EMSGSIZE;
	}
	return (int)n;
}

/* The general way: any frame, as scattered as it may be, into any chains. */
static int put_any(struct sink *s, const struct net_offload *off, const struct iovec *iov,
		   unsigned niov, uint32_t len)
{
	struct net_offload hdr = *off;
	uint32_t left = len + s->hdr_len;
	int n = gather(s, left);
	size_t skip = s->hdr_len, from = 0; /* skip: room of the chain that is the header's */

	if (n < 0)
		return n;
	hdr.num_buffers = (uint16_t)n;
	for (int i = 0; i < n; i++) {
		struct vq_buf *b = &s->w->sink_bufs[s->next++];
		struct iovec *to = b->iov + b->out_n;
		uint32_t want = MIN(left, b->in_len), done = 0;

		if (!i)
			iov_write(to, b->in_n, 0, &hdr, s->hdr_len);
		while (skip + done < want) {
			/* One piece of the source at a time, scattered as the target is. */
			size_t off_in = from, piece;
			unsigned k = 0;

			while (off_in >= iov[k].iov_len)
				off_in -= iov[k++].iov_len;
			piece = MIN(iov[k].iov_len - off_in, want - skip - done);
			iov_write(to, b->in_n, skip + done, (char *)iov[k].iov_base + off_in,
				  piece);
			from += piece;
			done += (uint32_t)piece;
		}
		s->w->sink_lens[b - s->w->sink_bufs] = want;
		left -= want;
		skip = 0;
	}
	s->frames++;
	s->bytes += len;
	return 0;
}

struct finish {
	struct sink *s;
	unsigned made;
};

static int put_finished(void *opaque, const struct iovec *iov, unsigned niov, uint32_t len)
{
	static const struct net_offload nothing;
	struct finish *f = opaque;
	int rc = len > f->s->max_len ? -EMSGSIZE : put_any(f->s, &nothing, iov, niov, len);

	if (!rc)
		f->made++;
	return rc;
}

/* The frame as an iovec, in w->parts or, if it does not fit, not at all (0). */
static unsigned frame_iov(struct sw_worker *w, const struct frame *f)
{
	if (f->nrest >= OUT_PARTS)
		return 0;
	w->parts[0] = (struct iovec){f->head, f->head_len};
	memcpy(&w->parts[1], f->rest, f->nrest * sizeof(struct iovec));
	return f->nrest + 1U;
}

static __attribute__((noinline)) int put_slow(struct sink *s, const struct frame *f, unsigned *made)
{
	struct sw_worker *w = s->w;
	struct net_offload off = f->off;
	unsigned niov = frame_iov(w, f);
	struct finish finish = {.s = s};
	struct frame whole;
	int rc;

	if (!f->off.gso_type && f->len > s->max_len)
		return -EMSGSIZE;
	if (!niov) { /* too scattered: in one piece then */
		whole = *f;
		frame_make_private(&whole, w->copy);
		w->parts[0] = (struct iovec){f->head, f->head_len};
		w->parts[1] = whole.one;
		niov = 2;
	}
	if (!(frame_needs(&off) & ~s->offloads)) {
		if (!(s->offloads & NET_OFFLOAD_CSUM))
			off = (struct net_offload){0}; /* what it did not ask to hear of */
		rc = put_any(s, &off, w->parts, niov, f->len);
		*made = !rc;
		return rc;
	}
	rc = net_gso_finish(&(struct net_frame){w->parts, niov, f->len, off}, put_finished,
			    &finish);
	*made = finish.made;
	return rc < 0 ? rc : 0;
}

int sink_put(struct sink *s, const struct frame *f, unsigned *made)
{
	struct vq_buf *b = &s->w->sink_bufs[s->next];
	uint32_t need = f->len + FRAME_HDR;
	const struct iovec *to;
	uint8_t *at;

	if (unlikely(s->next == s->got || b->in_n != 1 || b->in_len < need || f->len > s->max_len ||
		     s->hdr_len != FRAME_HDR || f->nrest > 1 || f->off.flags | f->off.gso_type))
		return put_slow(s, f, made);
	to = &b->iov[b->out_n];
	at = to->iov_base;
	store_le64(at, 0);
	store_le32(at + 8, 1 << 16); /* num_buffers */
	at += FRAME_HDR;
	if (likely(f->head_len == SNAP_LEN))
		memcpy(at, f->head, SNAP_LEN);
	else if (f->head_len < SNAP_LEN)
		copy_64(at, f->head, f->head_len);
	else
		memcpy(at, f->head, f->head_len);
	if (f->nrest)
		memcpy(at + f->head_len, f->rest->iov_base, f->rest->iov_len);
	s->w->sink_lens[s->next++] = need;
	s->frames++;
	s->bytes += f->len;
	*made = 1;
	return 0;
}
