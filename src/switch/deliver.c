/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Theory of operation.
 *
 * An out queue is written by one worker at a time. Where there are as many queues as workers, each
 * worker has queues of its own (plan.c). Where there are not, a worker takes the queue for the
 * frames of one step, with an exchange that it does not wait for: it tries a bounded number of
 * times, and then the frames stay where they are, as below, for CONTENDED_US at most; after that
 * they are dropped and counted.
 *
 * A receiver without buffers. The frames at the end of the sender's burst are left where they are,
 * in the sender's own queue, and come again in the next step; nothing is kept here. From the moment
 * on that a queue was first found full this goes on for retry_cycles, and then frames are dropped
 * until it has room again: a receiver that has died holds up a sender once, for that long. Only
 * frames with one destination are held back, so flooding never waits for anybody.
 */
#include "net/gso.h"
#include "switch/worker.h"

#include <errno.h>

#define LOCK_TRIES   1000
#define CONTENDED_US 20000 /* longer than a worker that holds a queue is likely not to be run */

static bool out_lock(struct sw_out *out)
{
	for (unsigned i = 0; i < LOCK_TRIES; i++) {
		if (!atomic_load_explicit(&out->busy, memory_order_relaxed) &&
		    !atomic_exchange_explicit(&out->busy, true, memory_order_acquire))
			return true;
		cpu_relax();
	}
	return false;
}

static void out_unlock(struct sw_out *out)
{
	atomic_store_explicit(&out->busy, false, memory_order_release);
}

static enum sw_drop drop_of(int rc)
{
	switch (rc) {
	case -ENOSPC:
		return SW_DROP_NO_BUFFER;
	case -EMSGSIZE:
		return SW_DROP_OVERSIZE;
	case -EPROTO:
		return SW_DROP_BROKEN;
	default:
		return SW_DROP_MALFORMED;
	}
}

/* How many of the last of idx[0 … n) are the last of the burst, and could stay in their queue. */
static unsigned tail(const struct sw_worker *w, const uint8_t *idx, unsigned n)
{
	unsigned k = 0;

	while (k < n && idx[n - 1 - k] == w->burst - 1 - k)
		k++;
	return k;
}

/* How many of the frames idx[0 … n), which found no buffers, may stay in their queue. */
static unsigned hold_back(struct sw_worker *w, struct sw_out *out, const uint8_t *idx, unsigned n)
{
	if (!out->full_since)
		out->full_since = w->step_cycles;
	if (w->step_cycles - out->full_since >= w->plan->retry_cycles)
		return 0;
	return tail(w, idx, n);
}

static void drop_all(struct sw_worker *w, struct sw_in *in, const uint8_t *idx, unsigned n,
		     enum sw_drop why)
{
	for (unsigned i = 0; i < n; i++)
		drop(w, in, &w->frames[idx[i]], why);
}

static void deliver_ring(struct sw_worker *w, struct sw_in *in, const struct sw_dest *d,
			 struct sw_out *out, const uint8_t *idx, unsigned n, bool may_hold_back)
{
	uint64_t extra = 0;
	struct sink s;

	if (!out->kicks_off) {
		vq_disable_kicks(out->ring.vq);
		out->kicks_off = true;
	}
	sink_open(&s, w, out->ring.vq, d, n);
	for (unsigned i = 0; i < n; i++) {
		unsigned made = 0;
		int rc = sink_put(&s, &w->frames[idx[i]], &made);

		extra += made;
		if (likely(!rc)) {
			extra--;
			if (unlikely(w->plan->capture))
				sw_capture_out(w->plan->capture, d->port, &w->frames[idx[i]]);
			continue;
		}
		if (rc == -ENOSPC && !made) {
			unsigned stay = 0;

			if (may_hold_back)
				stay = w->held_back = hold_back(w, out, idx + i, n - i);
			else if (!out->full_since)
				out->full_since = w->step_cycles;
			drop_all(w, in, idx + i, n - i - stay, SW_DROP_NO_BUFFER);
			break;
		}
		drop(w, in, &w->frames[idx[i]], drop_of(rc));
		if (rc == -EPROTO && out->ring.attention)
			out->ring.attention(out->ring.opaque);
	}
	sink_close(&s);
	if (unlikely(s.untranslated) && out->ring.attention)
		out->ring.attention(out->ring.opaque);
	if (extra)
		count(&in->c.extra, extra);
	if (!s.frames)
		return;
	if (s.frames == n)
		out->full_since = 0;
	count(&in->c.forwarded, s.frames);
	count(&out->c.frames, s.frames);
	count(&out->c.bytes, s.bytes);
	vq_flush_quiet(out->ring.vq);
	if (!d->shared) {
		sw_call_later(w, &out->ring, &out->c.calls);
	} else if (vq_should_call(out->ring.vq)) {
		count(&out->c.calls, 1);
		out->ring.call(out->ring.opaque);
	}
}

struct finish {
	const struct sw_dest *d;
	unsigned queue;
};

static int send_finished(void *opaque, const struct iovec *iov, unsigned niov, uint32_t len)
{
	struct finish *f = opaque;
	struct net_frame frame = {iov, niov, len, {0}};

	return f->d->hn->ops->send(f->d->hn, f->queue, &frame, 1) ? 0 : -ENOSPC;
}

/* Describes frames for the back-end, as many as find room in w->parts and need nothing done. */
static unsigned describe(struct sw_worker *w, const struct sw_dest *d, const uint8_t *idx,
			 unsigned n, struct net_frame *frames)
{
	unsigned used = 0, i;

	for (i = 0; i < n; i++) {
		const struct frame *f = &w->frames[idx[i]];

		if (used + 1 + f->nrest > OUT_PARTS || (frame_needs(&f->off) & ~d->offloads_to))
			break;
		w->parts[used] = (struct iovec){f->head, f->head_len};
		memcpy(&w->parts[used + 1], f->rest, f->nrest * sizeof(struct iovec));
		frames[i] = (struct net_frame){&w->parts[used], f->nrest + 1U, f->len, f->off};
		used += 1 + f->nrest;
	}
	return i;
}

/* One frame that describe() left: finished here. A negative errno when its fields do not fit. */
static int send_one(struct sw_worker *w, const struct sw_dest *d, unsigned queue,
		    const struct frame *f)
{
	struct finish finish = {d, queue};
	struct frame whole = *f;

	if (f->nrest >= OUT_PARTS)
		frame_make_private(&whole, w->copy);
	w->parts[0] = (struct iovec){whole.head, whole.head_len};
	memcpy(&w->parts[1], whole.rest, whole.nrest * sizeof(struct iovec));
	return net_gso_finish(&(struct net_frame){w->parts, whole.nrest + 1U, f->len, f->off},
			      send_finished, &finish);
}

/*
 * Gives the back-end frames idx[0 … n) as long as it takes them. Returns how many it took; *bad: of
 * them, those whose offload fields do not fit.
 */
static unsigned send_frames(struct sw_worker *w, const struct sw_dest *d, unsigned queue,
			    const uint8_t *idx, unsigned n, unsigned *bad)
{
	struct net_frame frames[BURST];
	unsigned done = 0;

	*bad = 0;
	while (done < n) {
		unsigned some = describe(w, d, idx + done, n - done, frames), took = 1;

		if (some)
			took = d->hn->ops->send(d->hn, queue, frames, some);
		else if (send_one(w, d, queue, &w->frames[idx[done]]) == -EINVAL)
			(*bad)++;
		for (unsigned k = 0; w->plan->capture && k < took; k++)
			sw_capture_out(w->plan->capture, d->port, &w->frames[idx[done + k]]);
		done += took;
		if (took < some)
			break;
	}
	return done;
}

/*
 * What the back-end takes and does not send it has counted itself, by cause; here it is one cause.
 * It is one worker at a time that sends to a queue, so the difference of its counters is ours.
 */
static void deliver_frames(struct sw_worker *w, struct sw_in *in, const struct sw_dest *d,
			   struct sw_out *out, const uint8_t *idx, unsigned n, bool may_hold_back)
{
	struct hostnet_counters before, after;
	unsigned done, bad, stay = 0;
	uint64_t sent;

	d->hn->ops->counters(d->hn, out->pair, &before);
	done = send_frames(w, d, out->pair, idx, n, &bad);
	d->hn->ops->counters(d->hn, out->pair, &after);
	sent = after.tx_frames - before.tx_frames;
	if (sent + bad > done)
		count(&in->c.extra, sent + bad - done);
	else
		count_drop(in, SW_DROP_BACKEND, done - bad - sent);
	count_drop(in, SW_DROP_MALFORMED, bad);
	count(&in->c.forwarded, sent);
	count(&out->c.frames, sent);
	count(&out->c.bytes, after.tx_bytes - before.tx_bytes);
	if (likely(done == n)) {
		out->full_since = 0;
		return;
	}
	if (may_hold_back)
		stay = w->held_back = hold_back(w, out, idx + done, n - done);
	else if (!out->full_since)
		out->full_since = w->step_cycles;
	drop_all(w, in, idx + done, n - done - stay, SW_DROP_NO_BUFFER);
}

/* The queue's holder was perhaps not run for a while: the frames stay, for a bounded time. */
static void contended(struct sw_worker *w, struct sw_in *in, const uint8_t *idx, unsigned n,
		      bool may_hold_back)
{
	unsigned stay = 0;

	if (!in->contended_since)
		in->contended_since = w->step_cycles;
	if (may_hold_back &&
	    w->step_cycles - in->contended_since < CONTENDED_US * sw_cycles_per_us())
		stay = w->held_back = tail(w, idx, n);
	drop_all(w, in, idx, n - stay, SW_DROP_CONTENDED);
}

void sw_deliver(struct sw_worker *w, struct sw_in *in, const struct sw_dest *d, const uint8_t *idx,
		unsigned n, bool may_hold_back)
{
	struct sw_out *out = d->outs[in->pair % d->nouts];

	if (d->shared && unlikely(!out_lock(out))) {
		contended(w, in, idx, n, may_hold_back);
		return;
	}
	in->contended_since = 0;
	if (d->hn)
		deliver_frames(w, in, d, out, idx, n, may_hold_back);
	else
		deliver_ring(w, in, d, out, idx, n, may_hold_back);
	if (d->shared)
		out_unlock(out);
}
