/* SPDX-License-Identifier: Apache-2.0 */
#include "dataplane/relay.h"

#include "base/log.h"
#include "dataplane/inprocess.h"
#include "dataplane/relay_port.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

/*
 * Theory of operation. The plane behind does what it always does (its connection, its device, losing
 * and finding its back-end), only with other rings: those of the relay's port. So that its back-end
 * sees them, the memory that it gives is the guest's and the port's (guest_mem_create_over()); it
 * changes while the plane runs, before the rings move and after they have moved back. There is no
 * second connection, which many back-ends would not take.
 *
 * In front are workers (inprocess*.c) with the port as their frame back-end.
 *
 * Stopping loses nothing as long as both sides do their part: first the guest's transmit queues stop
 * and what is in the port's goes out; then the plane behind stops, and what has come in goes to the
 * guest; then the workers stop. Nobody is waited for longer than DRAIN_MS.
 */
#define DRAIN_MS 300
#define ROUND_UP (1ULL << 30) /* the port's memory begins at a multiple of it, behind the guest's */

struct relay {
	struct plane plane;
	char id[32];
	struct plane *behind;
	struct plane *front; /* workers; owns port */
	struct relay_port *port;
	struct guest_mem *base, *mem; /* the guest's, and what the plane behind has */
	struct plane_queue *queues;   /* the port's */
	unsigned nqueues;
	unsigned active; /* pairs that workers look at */
	bool started;
};

static const struct plane_ops relay_ops;

static struct relay *to_relay(struct plane *plane)
{
	return container_of(plane, struct relay, plane);
}

struct plane *plane_relay_behind(struct plane *plane)
{
	return plane->ops == &relay_ops ? to_relay(plane)->behind : NULL;
}

static void relay_features(struct plane *plane, struct virtio_features *out)
{
	struct plane *behind = to_relay(plane)->behind;

	behind->ops->features(behind, out);
}

static int relay_start(struct plane *plane, const struct plane_start *start, struct error *err)
{
	struct relay *r = to_relay(plane);
	struct plane_start behind = *start;
	int rc;

	if (start->nqueues > r->nqueues)
		return error_set(err, -EINVAL, "%s: %u queues, the relay has %u", r->id,
				 start->nqueues, r->nqueues);
	behind.queues = r->queues;
	behind.relayed = true;
	rc = relay_port_renew(r->port, start, r->queues, err);
	if (rc == 0)
		rc = r->behind->ops->start(r->behind, &behind, err);
	if (rc)
		return rc;
	rc = r->front->ops->start(r->front, start, err);
	if (rc)
		r->behind->ops->stop(r->behind, r->queues, start->nqueues);
	r->active = MAX(start->config->active_pairs, 1U);
	r->started = rc == 0;
	return rc;
}

/* Frames from the guest: no more are taken, and those that were go out. */
static unsigned stop_sending(struct relay *r, struct plane_queue *queues, unsigned nqueues)
{
	for (unsigned i = 1; i < nqueues; i += 2) {
		struct plane_queue q = queues[i];

		q.enabled = false;
		if (queues[i].enabled && r->front->ops->queue_set(r->front, i, &q) == 0)
			queues[i].state = q.state;
	}
	return relay_port_drain_sent(r->port, DRAIN_MS);
}

static void relay_stop(struct plane *plane, struct plane_queue *queues, unsigned nqueues)
{
	struct relay *r = to_relay(plane);
	unsigned lost, more;

	if (!r->started)
		return;
	lost = stop_sending(r, queues, nqueues);
	r->behind->ops->stop(r->behind, r->queues, nqueues);
	relay_port_drain_received(r->port, r->active, DRAIN_MS);
	r->front->ops->stop(r->front, queues, nqueues);
	more = relay_port_discard(r->port);
	if (lost || more)
		log_warn("%s: lost with the relay: %u frames that its back-end did not take, %u "
			 "that the guest had no buffers for",
			 r->id, lost, more);
	r->started = false;
}

static int relay_configure(struct plane *plane, const struct plane_net_config *config)
{
	struct relay *r = to_relay(plane);
	int rc = r->behind->ops->configure(r->behind, config);

	if (rc == 0)
		rc = r->front->ops->configure(r->front, config);
	if (rc == 0)
		r->active = MAX(config->active_pairs, 1U);
	return rc;
}

/* The port's ring runs on while the guest's does not. */
static int relay_queue_set(struct plane *plane, unsigned index, struct plane_queue *queue)
{
	struct relay *r = to_relay(plane);

	if (index >= r->nqueues || (queue->enabled && !r->queues[index].enabled))
		return -ENOTSUP;
	return r->front->ops->queue_set(r->front, index, queue);
}

static void relay_counters(struct plane *plane, unsigned queue, struct plane_queue_counters *out)
{
	struct plane *front = to_relay(plane)->front;

	front->ops->counters(front, queue, out);
}

static void relay_attachment(struct plane *plane, char *out, size_t size)
{
	struct plane *behind = to_relay(plane)->behind;

	behind->ops->attachment(behind, out, size);
}

static bool relay_attachment_counters(struct plane *plane, unsigned pair,
				      struct hostnet_counters *out, bool *whole)
{
	struct plane *front = to_relay(plane)->front;

	return front->ops->attachment_counters(front, pair, out, whole);
}

static int relay_capture(struct plane *plane, struct capture *capture)
{
	struct plane *front = to_relay(plane)->front;

	return front->ops->capture(front, capture);
}

/* All but the plane behind, which has its own memory again. */
static void relay_free(struct relay *r)
{
	struct error err;

	if (r->front)
		r->front->ops->close(r->front);
	else if (r->port)
		hostnet_close(&r->port->hn);
	if (r->mem && r->behind->ops->use_memory(r->behind, r->base, &err))
		log_error("%s: %s", r->id, err.text);
	guest_mem_destroy(r->mem);
	free(r->queues);
	free(r);
}

void plane_relay_leave(struct plane *relay)
{
	struct relay *r = to_relay(relay);

	r->behind->link_up = relay->link_up;
	relay_free(r);
}

static void relay_close(struct plane *plane)
{
	struct relay *r = to_relay(plane);
	struct plane *behind = r->behind;

	relay_stop(plane, r->queues, 0);
	relay_free(r);
	behind->ops->close(behind);
}

/* Room for the port in the memory of the plane behind. */
static int add_memory(struct relay *r, const struct mem_region **region, struct error *err)
{
	const struct mem_table *table = guest_mem_table(r->base);
	uint64_t gpa = 0;
	int rc;

	for (unsigned i = 0; i < table->count; i++)
		gpa = MAX(gpa, table->regions[i].gpa + table->regions[i].size);
	gpa = ALIGN_UP(gpa, ROUND_UP);
	r->mem = guest_mem_create_over(r->base, err);
	if (!r->mem)
		return -ENOMEM;
	rc = guest_mem_add_ram(r->mem, "relay", gpa,
			       ALIGN_UP(relay_port_bytes(r->nqueues / 2), 2 * MIB), NULL, err);
	if (rc == 0)
		rc = r->behind->ops->use_memory(r->behind, r->mem, err);
	*region = mem_find(guest_mem_table(r->mem), gpa, 1);
	return rc;
}

static int set_up(struct relay *r, const struct plane_params *params, struct error *err)
{
	const struct mem_region *region;
	int rc;

	r->queues = calloc(r->nqueues, sizeof(*r->queues));
	if (!r->queues)
		return error_set(err, -ENOMEM, "%s: out of memory", r->id);
	rc = add_memory(r, &region, err);
	if (rc == 0)
		rc = relay_port_new(r->id, params->queue_pairs, region, &r->port, err);
	if (rc == 0) {
		r->port->hn.mtu = r->behind->mtu;
		rc = inproc_new(&r->port->hn, NULL, params, true, &r->front, err);
		if (rc)
			r->port = NULL; /* it is gone */
	}
	return rc;
}

int plane_relay_open(struct plane *behind, const struct plane_params *params, struct plane **out,
		     struct error *err)
{
	struct relay *r;
	int rc;

	if (!behind->ops->use_memory)
		return error_set(err, -ENOTSUP, "%s: %s cannot be behind a relay", params->id,
				 behind->ops->name);
	r = calloc(1, sizeof(*r));
	if (!r)
		return error_set(err, -ENOMEM, "%s: out of memory", params->id);
	snprintf(r->id, sizeof(r->id), "%s", params->id);
	r->plane =
		(struct plane){.ops = &relay_ops, .mtu = behind->mtu, .link_up = behind->link_up};
	r->behind = behind;
	r->base = params->mem;
	r->nqueues = 2 * params->queue_pairs;
	rc = set_up(r, params, err);
	if (rc) {
		relay_free(r);
		return rc;
	}
	*out = &r->plane;
	return 0;
}

static const struct plane_ops relay_ops = {
	.name = "relay",
	.help = "worker threads of this process, which relay to the back-end",
	.features = relay_features,
	.start = relay_start,
	.stop = relay_stop,
	.configure = relay_configure,
	.queue_set = relay_queue_set,
	.counters = relay_counters,
	.attachment = relay_attachment,
	.attachment_counters = relay_attachment_counters,
	.capture = relay_capture,
	.close = relay_close,
};
