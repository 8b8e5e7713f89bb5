/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Theory of operation: one visit to a queue pair, with or without a thread around it.
 *
 * A step begins at a quiescent point: its caller holds no pointer into the memory table or the
 * configuration, except chains in the receive pool, which are addresses that nobody looks at
 * before they were given back: if the table changed, everything popped goes back into the rings
 * first, and is popped again through the new table.
 *
 * Calls. inproc_publish() makes completions visible once for a burst and decides on the call
 * once. With interrupt moderation (virtio 1.2, 5.1.6.5.10) it only publishes, and the decision is
 * made when max_packets frames are together or max_usecs after the first of them, whatever comes
 * first, or at once when the guest has no receive buffers left, since nothing more could come
 * together then. max_usecs of 0 means no moderation: a packet count alone could hold the last
 * frames of a burst for ever. max_packets of 0 means no limit but the time.
 */
#include "dataplane/inprocess.h"

#include "base/log.h"

#include <stdlib.h>
#include <unistd.h>

void inproc_call(struct inproc_queue *q)
{
	const uint64_t one = 1;

	/* It fails only when the counter is full: then a call is pending anyway. */
	if (q->call_fd >= 0 && write(q->call_fd, &one, sizeof(one)) == sizeof(one))
		count(&q->c.calls, 1);
}

void inproc_call_held(struct inproc_queue *q)
{
	q->held = 0;
	q->due = 0;
	if (vq_should_call(q->vq))
		inproc_call(q);
}

void inproc_publish(struct inproc_pair *pair, struct inproc_queue *q,
		    const struct plane_coalesce *coalesce, unsigned n)
{
	if (likely(!coalesce->max_usecs && !q->due)) {
		if (vq_flush(q->vq))
			inproc_call(q);
		return;
	}
	vq_flush_quiet(q->vq);
	q->held += n;
	if (!q->due)
		q->due = clock_ns() + coalesce->max_usecs * NSEC_PER_USEC;
	if (!coalesce->max_usecs || (coalesce->max_packets && q->held >= coalesce->max_packets) ||
	    (q == &pair->rx && pair->rx_starved))
		inproc_call_held(q);
}

struct broken_note {
	struct inproc_mailbox *mailbox;
	struct inproc_queue *q; /* lives as long as the plane */
	unsigned epoch;		/* which start of the queue it is about */
	enum vring_fault fault;
};

void mailbox_put(struct inproc_mailbox *mailbox)
{
	if (atomic_fetch_sub(&mailbox->refs, 1) == 1)
		free(mailbox);
}

/* In the control thread: the plane may have been closed since, or the queue started anew. */
static void broken_told(void *arg)
{
	struct broken_note *note = arg;
	struct inproc *p = note->mailbox->p;

	if (p && p->started && note->epoch == note->q->epoch && p->events &&
	    p->events->queue_broken)
		p->events->queue_broken(p->events->opaque, note->q->index, note->fault);
	mailbox_put(note->mailbox);
	free(note);
}

void inproc_broken(struct inproc_pair *pair, struct inproc_queue *q)
{
	struct inproc *p = pair->p;
	enum vring_fault fault = vq_fault(q->vq);
	struct broken_note *note;

	q->running = false;
	if (q->broken_told)
		return;
	q->broken_told = true;
	log_warn_limited("%s: queue %u is broken: %s", p->id, q->index, vring_fault_name(fault));
	note = malloc(sizeof(*note));
	if (!note)
		return;
	*note = (struct broken_note){p->mailbox, q, q->epoch, fault};
	atomic_fetch_add(&p->mailbox->refs, 1);
	if (!p->loop)
		broken_told(note);
	else if (loop_post(p->loop, broken_told, note)) {
		mailbox_put(p->mailbox);
		free(note);
	}
}

void inproc_reload(struct inproc_pair *pair)
{
	struct inproc *p = pair->p;
	const struct mem_table *table = guest_mem_table(p->mem);

	pair->config = atomic_load_explicit(&p->config, memory_order_acquire);
	pair->capture = atomic_load_explicit(&p->capture, memory_order_acquire);
	if (likely(table->generation == pair->mem_generation))
		return;
	inproc_rx_unpop(pair);
	if (pair->rx.running && vq_set_memory(pair->rx.vq, table))
		inproc_broken(pair, &pair->rx);
	if (pair->tx.running && vq_set_memory(pair->tx.vq, table))
		inproc_broken(pair, &pair->tx);
	pair->mem_generation = table->generation;
}

static void call_due(struct inproc_queue *q, uint64_t now)
{
	if (q->due && q->due <= now)
		inproc_call_held(q);
}

unsigned inproc_step(struct inproc_pair *pair)
{
	unsigned found;

	inproc_reload(pair);
	found = inproc_tx(pair);
	/* What was sent is often answered at once; and nobody else asks while there is work. */
	if (found || !pair->p->threads)
		pair->net_ready = true;
	found += inproc_rx(pair);
	if (unlikely(pair->tx.due || pair->rx.due)) {
		uint64_t now = clock_ns();

		call_due(&pair->tx, now);
		call_due(&pair->rx, now);
	}
	return found;
}

static uint64_t sooner(uint64_t a, uint64_t b)
{
	if (!a || !b)
		return a | b;
	return MIN(a, b);
}

uint64_t inproc_deadline(const struct inproc_pair *pair)
{
	uint64_t when = sooner(pair->rx.due, pair->tx.due);

	when = sooner(when, pair->net_dead_until);
	when = sooner(when, pair->rx_wait_until);
	when = sooner(when, pair->rx_refill_until);
	if (pair->tx_full_since)
		when = sooner(when, pair->tx_retry);
	return when;
}
