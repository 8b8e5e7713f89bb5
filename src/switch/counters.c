/* SPDX-License-Identifier: Apache-2.0 */
#include "switch/switch_internal.h"

void sw_in_read(const struct sw_in *in, struct sw_in_counters *out)
{
	out->frames = counted(&in->c.frames);
	out->bytes = counted(&in->c.bytes);
	out->extra = counted(&in->c.extra);
	out->forwarded = counted(&in->c.forwarded);
	for (unsigned i = 0; i < SW_DROP_COUNT; i++)
		out->drops[i] = counted(&in->c.drops[i]);
}

void sw_out_read(const struct sw_out *queue, struct sw_out_counters *out)
{
	out->frames = counted(&queue->c.frames);
	out->bytes = counted(&queue->c.bytes);
	out->calls = counted(&queue->c.calls);
}

void sw_port_totals(const struct sw_port *port, struct sw_in_counters *in,
		    struct sw_out_counters *out)
{
	*in = (struct sw_in_counters){0};
	*out = (struct sw_out_counters){0};
	for (unsigned p = 0; p < port->pairs; p++) {
		struct sw_in_counters i;
		struct sw_out_counters o;

		sw_in_read(port->in[p], &i);
		sw_out_read(port->out[p], &o);
		in->frames += i.frames;
		in->bytes += i.bytes;
		in->extra += i.extra;
		in->forwarded += i.forwarded;
		for (unsigned d = 0; d < SW_DROP_COUNT; d++)
			in->drops[d] += i.drops[d];
		out->frames += o.frames;
		out->bytes += o.bytes;
		out->calls += o.calls;
	}
}

void sw_worker_read(const struct sw_worker *w, struct sw_worker_stats *out)
{
	out->busy_cycles = counted(&w->stats.busy_cycles);
	out->idle_cycles = counted(&w->stats.idle_cycles);
	out->steps = counted(&w->stats.steps);
	out->busy_steps = counted(&w->stats.busy_steps);
	out->sleeps = counted(&w->stats.sleeps);
	out->frames = counted(&w->stats.frames);
	out->load_percent = counted(&w->stats.load_percent);
	out->queues = counted(&w->stats.queues);
	out->moved = counted(&w->stats.moved);
	for (unsigned i = 0; i < LOOP_BUCKETS; i++)
		out->loop[i] = counted(&w->stats.loop[i]);
}
