/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Theory of operation.
 *
 * A burst is gone through three times, so that what one pass asks the memory for is there when the
 * next one needs it: sw_take() snapshots the headers and asks for the forwarding database's lines;
 * sw_forward() decides, puts each frame's number into the outbox of its port, and then gives each
 * port its frames at once.
 *
 * What has one receiver is copied once, from the sender's buffer to the receiver's. What has
 * several (flooding, mirrors) is copied into private memory first and handed to each from there:
 * the sender may change its buffer at any time, and all receivers are to get the same frame. Before
 * it goes out the outboxes are emptied, so that no frame overtakes another of the same sender.
 *
 * Every frame is counted when it is taken, and ends in exactly one of: forwarded, or dropped by a
 * cause; each further copy is counted as extra first. Frames that are held back (deliver.c) have
 * not been taken.
 */
#include "switch/limit.h"
#include "switch/vlan.h"
#include "switch/worker.h"

#define TO_MANY	  (-1)
#define TO_NOBODY (-2)	/* dropped and counted */
#define BURST_US  10000 /* of a rate that may pass at once */

/* Cycles that `units` take at `rate` of them a second. */
static uint64_t limit_cost(uint64_t units, uint64_t rate)
{
	return units * sw_cycles_per_us() * 1000000 / rate;
}

static bool within(struct sw_worker *w, _Atomic uint64_t *tat, uint64_t units, uint64_t rate)
{
	return limit_pass(tat, w->step_cycles, limit_cost(units, rate),
			  BURST_US * sw_cycles_per_us());
}

/* Whether the source's settings let the frame in. */
static __attribute__((noinline)) bool admit(struct sw_worker *w, struct sw_in *in,
					    const struct sw_dest *src, unsigned i)
{
	const struct sw_port_config *c = src->config;
	struct frame *f = &w->frames[i];
	bool known = !c->nmacs;

	for (unsigned k = 0; k < c->nmacs && !known; k++)
		known = !memcmp(c->macs[k], f->head + 6, 6);
	if (!known) {
		drop(w, in, f, SW_DROP_SPOOFED);
		return false;
	}
	if (c->rate_in && !within(w, &in->port->tat_in, f->len * 8ULL, c->rate_in)) {
		drop(w, in, f, SW_DROP_RATE_IN);
		return false;
	}
	return true;
}

/* Whether the pair of ports and the receiver's settings let it out; makes its tag right. */
static enum sw_drop emerge(struct sw_worker *w, const struct sw_dest *src, const struct sw_dest *d,
			   struct frame *f)
{
	const struct sw_port_config *c = d->config;

	if (c->isolated && src->config->isolated)
		return SW_DROP_ISOLATED;
	if (!vlan_member(c, f->vid))
		return SW_DROP_VLAN_OUT;
	if (!d->nouts)
		return SW_DROP_DOWN;
	if (c->rate_out && !within(w, &d->port->tat_out, f->len * 8ULL, c->rate_out))
		return SW_DROP_RATE_OUT;
	vlan_leave(c, f);
	return SW_DROP_COUNT;
}

static void learn(struct sw_worker *w, struct sw_in *in, uint64_t key)
{
	if (!fdb_learn(w->fdb, key, in->port->index, w->now))
		return;
	in->cached_src = key;
	in->cached_now = w->now;
}

static int look_up(struct sw_worker *w, struct sw_in *in, uint64_t key)
{
	int port = fdb_lookup(w->fdb, key);

	if (port == FDB_NONE || (unsigned)port >= w->plan->ndests || !w->work->dests[port].port)
		return TO_MANY;
	in->cached_dst = key;
	in->cached_port = (uint16_t)port;
	return port;
}

/* A frame without a source: what became of it when it was taken. */
static enum sw_drop why_not(uint64_t dkey)
{
	if (dkey == KEY_MALFORMED)
		return SW_DROP_MALFORMED;
	return dkey == KEY_BAD_VLAN ? SW_DROP_VLAN_IN : SW_DROP_SOURCE;
}

/* Where frame i goes: a port's number, or one of the above. */
static inline int decide(struct sw_worker *w, struct sw_in *in, const struct sw_dest *src,
			 unsigned i)
{
	struct frame *f = &w->frames[i];
	uint64_t skey = w->skey[i], dkey = w->dkey[i];

	if (unlikely(fdb_key_is_group(skey) || !(skey << 16))) {
		drop(w, in, f, why_not(dkey));
		return TO_NOBODY;
	}
	if (unlikely(f->off.flags | f->off.gso_type)) {
		if (net_offload_check(&f->off, f->len, src->offloads_from)) {
			drop(w, in, f, SW_DROP_MALFORMED);
			return TO_NOBODY;
		}
	}
	if (unlikely(!src->plain) && !admit(w, in, src, i))
		return TO_NOBODY;
	if (unlikely(skey != in->cached_src || in->cached_now != w->now))
		learn(w, in, skey);
	if (likely(dkey == in->cached_dst))
		return in->cached_port;
	return fdb_key_is_group(dkey) ? TO_MANY : look_up(w, in, dkey);
}

/* Gives every port what is in its outbox. */
static void empty_boxes(struct sw_worker *w, struct sw_in *in, bool may_hold_back)
{
	for (unsigned i = 0; i < w->ntouched; i++) {
		struct outbox *box = &w->boxes[w->touched[i]];

		sw_deliver(w, in, &w->work->dests[w->touched[i]], box->idx, box->n, may_hold_back);
		box->n = 0;
	}
	w->ntouched = 0;
}

/* Frames [from, to), at least one, are for the port. */
static inline void to_box(struct sw_worker *w, unsigned port, unsigned from, unsigned to)
{
	struct outbox *box = &w->boxes[port];
	unsigned n = box->n;

	if (!n)
		w->touched[w->ntouched++] = (uint16_t)port;
	for (unsigned i = from; i < to; i++)
		box->idx[n++] = (uint8_t)i;
	box->n = (uint16_t)n;
}

/* The ports that a flooded frame is for, in w->list. */
static unsigned flood_list(struct sw_worker *w, const struct sw_dest *src, const struct frame *f,
			   bool unknown)
{
	unsigned n = 0;

	for (unsigned p = 0; p < w->plan->ndests; p++) {
		const struct sw_dest *d = &w->work->dests[p];

		if (!d->port || d == src || !d->nouts || !vlan_member(d->config, f->vid) ||
		    (d->config->isolated && src->config->isolated) ||
		    (unknown && d->config->no_flood) || d->mirror_only)
			continue;
		w->list[n++] = (uint16_t)p;
	}
	return n;
}

/* Whether the frame may be flooded at all. */
static bool floodable(struct sw_worker *w, struct sw_in *in, const struct sw_dest *src,
		      const struct frame *f, uint64_t dkey)
{
	static const uint8_t reserved[5] = {0x01, 0x80, 0xc2, 0, 0};

	if (!memcmp(f->head, reserved, 5) && (dkey >> 40 & 0xf0) == 0) {
		drop(w, in, f, SW_DROP_RESERVED);
		return false;
	}
	if (src->config->storm && !within(w, &in->port->tat_storm, 1, src->config->storm)) {
		drop(w, in, f, SW_DROP_STORM);
		return false;
	}
	return true;
}

/* A copy of the frame for one port of several; what cannot go is counted. */
static void give_copy(struct sw_worker *w, struct sw_in *in, const struct sw_dest *src,
		      const struct frame *whole, unsigned port, unsigned slot, bool mirrored)
{
	const struct sw_dest *d = &w->work->dests[port];
	struct frame *f = &w->frames[slot];
	enum sw_drop why = SW_DROP_COUNT;
	const uint8_t idx = (uint8_t)slot;

	*f = *whole;
	f->head = f->snap + (whole->head - whole->snap);
	f->rest = &f->one;
	if (!mirrored)
		why = emerge(w, src, d, f);
	else if (!d->nouts)
		why = SW_DROP_DOWN;
	if (why != SW_DROP_COUNT)
		drop(w, in, f, why);
	else
		sw_deliver(w, in, d, &idx, 1, false);
}

/* A frame for list[0 … n) and then the mirrors: copied into private memory, then to each. */
static void to_many(struct sw_worker *w, struct sw_in *in, const struct sw_dest *src, unsigned i,
		    unsigned n, bool was_unknown)
{
	struct frame whole = w->frames[i];
	unsigned mirrors = n;

	whole.head = whole.snap + (w->frames[i].head - w->frames[i].snap);
	if (src->mirror >= 0)
		w->list[mirrors++] = (uint16_t)src->mirror;
	for (unsigned k = 0; k < n; k++) {
		int m = w->work->dests[w->list[k]].mirror;

		if (m >= 0 && m != src->mirror && mirrors < SW_PORTS_MAX + SW_MIRRORS)
			w->list[mirrors++] = (uint16_t)m;
	}
	empty_boxes(w, in, false);
	if (!n)
		drop(w, in, &w->frames[i], was_unknown ? SW_DROP_UNKNOWN : SW_DROP_NO_RECEIVERS);
	if (!mirrors)
		return;
	frame_make_private(&whole, w->copy);
	whole.rest = &whole.one;
	count(&in->c.extra, mirrors - (n ? 1 : 0));
	for (unsigned k = 0; k < mirrors; k++)
		give_copy(w, in, src, &whole, w->list[k], i, k >= n);
}

/* Frame i goes to port number `port`, or is flooded. */
static __attribute__((noinline)) void forward_any(struct sw_worker *w, struct sw_in *in,
						  const struct sw_dest *src, unsigned i, int port)
{
	struct frame *f = &w->frames[i];
	const struct sw_dest *d = NULL;
	bool unknown = port == TO_MANY && !fdb_key_is_group(w->dkey[i]);
	enum sw_drop why;

	if (port == TO_MANY) {
		if (floodable(w, in, src, f, w->dkey[i]))
			to_many(w, in, src, i, flood_list(w, src, f, unknown), unknown);
		return;
	}
	d = &w->work->dests[port];
	if (d == src) {
		drop(w, in, f, SW_DROP_HAIRPIN);
		return;
	}
	if (src->mirror >= 0 || d->mirror >= 0) {
		w->list[0] = (uint16_t)port;
		to_many(w, in, src, i, 1, false);
		return;
	}
	why = emerge(w, src, d, f);
	if (why == SW_DROP_COUNT)
		to_box(w, (unsigned)port, i, i + 1);
	else
		drop(w, in, f, why);
}

unsigned sw_forward(struct sw_worker *w, struct sw_in *in, unsigned n, bool may_hold_back)
{
	const struct sw_dest *src = &w->work->dests[in->port->index];

	unsigned run_from = 0;
	int run_port = TO_NOBODY;

	w->burst = n;
	w->held_back = 0;
	if (unlikely(w->plan->capture))
		for (unsigned i = 0; i < n; i++)
			sw_capture_in(w->plan->capture, in->port, &w->frames[i]);
	for (unsigned i = 0; i < n; i++) {
		int port = decide(w, in, src, i);

		if (likely(port == run_port && port >= 0))
			continue;
		/* A run of frames for one port has ended before this one. */
		if (run_port >= 0)
			to_box(w, (unsigned)run_port, run_from, i);
		run_port = TO_NOBODY;
		if (unlikely(port == TO_NOBODY))
			continue;
		if (likely(port >= 0 && src->plain && w->work->dests[port].plain &&
			   &w->work->dests[port] != src)) {
			run_from = i;
			run_port = port;
		} else {
			forward_any(w, in, src, i, port);
		}
	}
	if (run_port >= 0)
		to_box(w, (unsigned)run_port, run_from, n);
	empty_boxes(w, in, may_hold_back);
	n -= w->held_back;
	count(&in->c.frames, n);
	return n;
}
