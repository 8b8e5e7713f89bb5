/* SPDX-License-Identifier: Apache-2.0 */
#include "switch/balance.h"

#include "base/log.h"
#include "switch/switch_internal.h"

#include <errno.h>

/*
 * Queues are given to workers when they start, and what they will have to carry is not known then. So
 * once a second it is looked at how long each queue kept its worker busy, and if one worker had more
 * to do than another by more than the threshold, the queue that brings the two closest together is
 * moved. One at a time, and the second after it is not judged: it was neither one way nor the other.
 *
 * A queue is moved as it is stopped and started: in between there is a plan without it, so two workers
 * never have it at once.
 */
int sw_balance_pick(const struct sw_load *loads, unsigned n, unsigned nworkers, uint64_t threshold,
		    unsigned *to)
{
	uint64_t sums[SW_WORKERS_MAX] = {0}, best = 0, gap;
	unsigned busiest = 0, idlest = 0;
	int found = -1;

	for (unsigned i = 0; i < n; i++)
		sums[loads[i].worker] += loads[i].cycles;
	for (unsigned w = 1; w < nworkers; w++) {
		busiest = sums[w] > sums[busiest] ? w : busiest;
		idlest = sums[w] < sums[idlest] ? w : idlest;
	}
	gap = sums[busiest] - sums[idlest];
	if (gap <= threshold)
		return -1;
	for (unsigned i = 0; i < n; i++) {
		uint64_t c = loads[i].cycles;
		/* How much less the busier of the two will have to do. */
		uint64_t gain = c < gap ? MIN(c, gap - c) : 0;

		if (loads[i].worker != busiest || gain < best)
			continue;
		/* Of two that do as well, the one with less under way. */
		if (gain > best || (found >= 0 && c < loads[found].cycles)) {
			best = gain;
			found = (int)i;
		}
	}
	*to = idlest;
	return best >= gap / 8 ? found : -1;
}

/* What each queue has cost since the last look. */
static unsigned measure(struct sw *sw, struct sw_in **ins, struct sw_load *loads)
{
	unsigned n = 0;

	for (unsigned i = 0; i < SW_PORTS_MAX; i++) {
		struct sw_port *port = sw->ports[i];

		for (unsigned p = 0; port && p < port->pairs; p++) {
			struct sw_in *in = port->in[p];
			uint64_t now = counted(&in->busy_cycles);

			if (in->started && n < SW_BALANCED_MAX) {
				ins[n] = in;
				loads[n++] = (struct sw_load){in->worker, now - in->seen_cycles};
			}
			in->seen_cycles = now;
		}
	}
	return n;
}

static void show(struct sw *sw, const struct sw_load *loads, unsigned n, uint64_t elapsed)
{
	uint64_t sums[SW_WORKERS_MAX] = {0}, queues[SW_WORKERS_MAX] = {0};

	for (unsigned i = 0; i < n; i++) {
		sums[loads[i].worker] += loads[i].cycles;
		queues[loads[i].worker]++;
	}
	for (unsigned w = 0; w < sw->nworkers; w++) {
		struct sw_worker_stats *s = &sw->workers[w]->stats;

		count(&s->load_percent, sums[w] * 100 / elapsed - s->load_percent);
		count(&s->queues, queues[w] - s->queues);
	}
}

bool sw_balance(struct sw *sw, uint64_t elapsed)
{
	static struct sw_in *ins[SW_BALANCED_MAX];
	static struct sw_load loads[SW_BALANCED_MAX];
	unsigned n = measure(sw, ins, loads), to = 0;
	unsigned percent = sw->options.rebalance;
	int which;

	if (!elapsed)
		return false;
	show(sw, loads, n, elapsed);
	if (sw->balance_pause) {
		sw->balance_pause = false;
		return false;
	}
	if (!percent || sw->nworkers < 2 || sw->held)
		return false;
	which = sw_balance_pick(loads, n, sw->nworkers, elapsed / 100 * percent, &to);
	if (which < 0)
		return false;
	log_info("%s: queue %u moves from worker %u to %u", ins[which]->port->id, ins[which]->pair,
		 ins[which]->worker, to);
	if (sw_in_move(ins[which], to))
		return false;
	count(&sw->workers[to]->stats.moved, 1);
	sw->balance_pause = true;
	return true;
}
