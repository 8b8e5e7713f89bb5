/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Building plans.
 *
 * In queues are spread over the workers (ports.c chooses). Out queues are dealt out by number:
 * with as many queues as workers or more, worker w writes queues w, w + W, w + 2W … of the port
 * and nobody else does. With fewer, several workers write one queue and take turns (deliver.c).
 * Within what a worker may write, the number of the sender's queue decides, so that a flow, which
 * its sender keeps in one queue, stays in order.
 *
 * A plan is one allocation. Stopping a queue must not fail, so when there is no memory for a plan
 * without it, the workers get none at all, which stops everything until there is memory again.
 */
#include "base/log.h"
#include "mem/quiesce.h"
#include "net/offload.h"
#include "switch/switch_internal.h"

#include <errno.h>
#include <stdlib.h>

static bool is_plain(const struct sw_port_config *c)
{
	return c->vlan_mode == SW_VLAN_NONE && !c->nmacs && !c->isolated && !c->rate_in &&
	       !c->rate_out && !c->mirror_to[0];
}

struct sizes {
	unsigned ndests, nins, nouts;
};

static struct sizes measure(const struct sw *sw)
{
	struct sizes n = {0};

	for (unsigned i = 0; i < SW_PORTS_MAX; i++) {
		const struct sw_port *port = sw->ports[i];

		if (!port)
			continue;
		n.ndests = i + 1;
		for (unsigned p = 0; p < port->pairs; p++) {
			n.nins += port->in[p]->started;
			n.nouts += port->out[p]->started;
		}
	}
	return n;
}

/* The queues of the port that worker w writes to, into outs. */
static unsigned deal(const struct sw_port *port, unsigned w, unsigned nworkers,
		     struct sw_out **outs, bool *shared)
{
	struct sw_out *all[SW_PAIRS_MAX];
	unsigned n = 0, mine = 0;

	for (unsigned p = 0; p < port->pairs; p++)
		if (port->out[p]->started)
			all[n++] = port->out[p];
	*shared = n < nworkers && nworkers > 1;
	for (unsigned i = 0; i < n; i++)
		if (*shared || i % nworkers == w)
			outs[mine++] = all[i];
	return mine;
}

static void fill_dest(struct sw *sw, struct sw_dest *d, struct sw_port *port, unsigned w,
		      struct sw_out **outs)
{
	const struct sw_port *mirror = NULL;

	d->port = port;
	d->config = port->config;
	d->hn = port->hn;
	d->outs = outs;
	d->nouts = (uint16_t)deal(port, w, sw->nworkers, outs, &d->shared);
	d->plain = is_plain(port->config) && d->nouts;
	d->mergeable = port->mergeable;
	d->hdr_len = (uint8_t)port->hdr_len;
	d->max_len = net_frame_max(0, port->mtu);
	d->offloads_to = port->offloads_to;
	d->offloads_from = port->offloads_from;
	if (port->config->mirror_to[0])
		mirror = sw_find_port(sw, port->config->mirror_to);
	d->mirror = mirror && mirror != port ? (int)mirror->index : -1;
	for (unsigned i = 0; i < SW_PORTS_MAX && !d->mirror_only; i++)
		d->mirror_only = sw->ports[i] && !strcmp(sw->ports[i]->config->mirror_to, port->id);
}

static struct sw_plan *build(struct sw *sw)
{
	struct sizes n = measure(sw);
	unsigned W = sw->nworkers;
	size_t bytes = sizeof(struct sw_plan) +
		       W * (sizeof(struct sw_work) + n.ndests * sizeof(struct sw_dest) +
			    (n.nins + n.nouts) * sizeof(void *));
	struct sw_plan *plan = calloc(1, bytes);
	struct sw_dest *dests;
	void **pointers;

	if (!plan)
		return NULL;
	plan->ndests = n.ndests;
	plan->nworkers = W;
	plan->retry_cycles = sw->options.retry_us * sw_cycles_per_us();
	plan->generation = ++sw->generation;
	plan->capture = sw->capture;
	dests = (struct sw_dest *)(void *)&plan->work[W];
	pointers = (void **)(void *)&dests[(size_t)W * n.ndests];
	for (unsigned w = 0; w < W; w++) {
		struct sw_work *work = &plan->work[w];

		work->dests = &dests[(size_t)w * n.ndests];
		work->ins = (struct sw_in **)pointers;
		for (unsigned i = 0; i < n.ndests; i++) {
			struct sw_port *port = sw->ports[i];

			for (unsigned p = 0; port && p < port->pairs; p++)
				if (port->in[p]->started && port->in[p]->worker == w)
					work->ins[work->nins++] = port->in[p];
		}
		pointers += work->nins;
		for (unsigned i = 0; i < n.ndests; i++) {
			work->dests[i].mirror = -1;
			if (!sw->ports[i])
				continue;
			fill_dest(sw, &work->dests[i], sw->ports[i], w, (struct sw_out **)pointers);
			pointers += work->dests[i].nouts;
		}
	}
	return plan;
}

int sw_publish(struct sw *sw)
{
	struct sw_plan *plan, *old;

	if (sw->held)
		return 0;
	plan = build(sw);
	if (!plan)
		log_error("no memory for the workers' plan: all forwarding stops");
	old = atomic_exchange(&sw->plan, plan);
	quiesce_wait();
	free(old);
	for (unsigned w = 0; w < sw->nworkers; w++)
		sw_worker_wake(sw->workers[w]);
	return plan ? 0 : -ENOMEM;
}
