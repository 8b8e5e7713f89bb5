/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The in-process data plane: the VMM's own worker threads move frames between a virtio-net's rings
 * and a frame back-end. This file is the control thread's side of it. See inprocess.h for who may
 * touch what.
 */
#include "dataplane/inprocess.h"

#include "base/log.h"
#include "base/thread.h"
#include "net/announce.h"
#include "vring/features.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

static struct inproc *from_plane(struct plane *plane)
{
	return container_of(plane, struct inproc, plane);
}

static bool inproc_serves(const char *backend)
{
	return hostnet_find(backend) != NULL;
}

static int inproc_probe(struct error *err)
{
	return 0; /* what it needs, the back-end needs: that one is asked when it is opened */
}

static struct inproc_queue *queue_of(struct inproc *p, unsigned index)
{
	struct inproc_pair *pair = p->pairs[index / 2];

	return index % 2 ? &pair->tx : &pair->rx;
}

/* A queue's ring goes into service. The worker is parked. */
static int queue_start(struct inproc_pair *pair, struct inproc_queue *q,
		       const struct plane_queue *queue, struct error *err)
{
	int ret;

	/* Before anything else: the pair's view of memory and configuration may be old. */
	inproc_reload(pair);
	ret = vq_start(q->vq, &queue->cfg, &queue->state, guest_mem_table(pair->p->mem), err);
	if (ret)
		return error_prefix(err, ret, "%s: queue %u", pair->p->id, q->index);
	q->kick_fd = queue->kick_fd;
	q->call_fd = queue->call_fd;
	ret = inproc_watch_kick(pair, q, true);
	if (ret) {
		vq_stop(q->vq, NULL);
		return error_set(err, ret, "%s: queue %u: watching its kick eventfd: %s",
				 pair->p->id, q->index, error_name(ret));
	}
	q->size = queue->cfg.size;
	q->held = 0;
	q->due = 0;
	q->kicks_on = true;
	q->broken_told = false;
	q->epoch++;
	q->started = q->running = true;
	/* Frames may have come while nobody looked. */
	pair->net_ready = true;
	pair->net_dead_until = 0;
	return 0;
}

/* A queue's ring goes out of service; state may be NULL. The worker is parked. */
static void queue_stop(struct inproc_pair *pair, struct inproc_queue *q, struct vring_state *state)
{
	/* Also when it is not started: other pairs may have steered frames here. */
	if (q == &pair->rx)
		inproc_rx_drain(pair);
	if (!q->started)
		return;
	if (q == &pair->tx) {
		inproc_reload(pair);
		pair->tx_full_since = 0;
	}
	if (q->due && q->running)
		inproc_call_held(q);
	q->due = 0;
	vq_stop(q->vq, state);
	inproc_watch_kick(pair, q, false);
	q->started = q->running = false;
}

static void stop_all(struct inproc *p, struct plane_queue *queues, unsigned nqueues)
{
	for (unsigned i = 0; i < p->npairs; i++)
		inproc_park(p->pairs[i]);
	for (unsigned i = 0; i < 2 * p->npairs; i++)
		queue_stop(p->pairs[i / 2], queue_of(p, i),
			   queues && i < nqueues ? &queues[i].state : NULL);
	p->started = false;
	for (unsigned i = 0; i < p->npairs; i++)
		inproc_watch_net(p->pairs[i]);
}

static int start_all(struct inproc *p, const struct plane_start *start, struct error *err)
{
	unsigned n = MIN(start->nqueues, 2 * p->npairs);

	for (unsigned i = 0; i < n; i++) {
		int ret;

		if (!start->queues[i].enabled)
			continue;
		ret = queue_start(p->pairs[i / 2], queue_of(p, i), &start->queues[i], err);
		if (ret)
			return ret;
	}
	return 0;
}

static int inproc_start(struct plane *plane, const struct plane_start *start, struct error *err)
{
	struct inproc *p = from_plane(plane);
	int ret;

	if (p->started)
		return error_set(err, -EBUSY, "%s: data plane already started", p->id);
	ret = inproc_take_features(p, &start->features, err);
	if (ret)
		return ret;
	ret = inproc_take_config(p, start->config);
	if (ret)
		return error_set(err, ret, "%s: configuring %s: %s", p->id, p->hn->ops->name,
				 error_name(ret));
	ret = start_all(p, start, err);
	if (ret) {
		stop_all(p, NULL, 0);
		return ret;
	}
	p->started = true;
	for (unsigned i = 0; i < p->npairs; i++)
		inproc_unpark(p->pairs[i]);
	return 0;
}

static void inproc_stop(struct plane *plane, struct plane_queue *queues, unsigned nqueues)
{
	struct inproc *p = from_plane(plane);

	if (p->started)
		stop_all(p, queues, nqueues);
}

static int inproc_configure(struct plane *plane, const struct plane_net_config *config)
{
	struct inproc *p = from_plane(plane);
	int ret = inproc_take_config(p, config);

	if (p->started)
		for (unsigned i = 0; i < p->npairs; i++)
			if (p->pairs[i]->has_thread)
				inproc_wake(p->pairs[i]);
	return ret;
}

static int inproc_queue_set(struct plane *plane, unsigned index, struct plane_queue *queue)
{
	struct inproc *p = from_plane(plane);
	struct inproc_pair *pair;
	struct inproc_queue *q;
	struct error err;
	int ret = 0;

	if (!p->started || index >= 2 * p->npairs)
		return -EINVAL;
	pair = p->pairs[index / 2];
	q = queue_of(p, index);
	inproc_park(pair);
	queue_stop(pair, q, queue->enabled ? NULL : &queue->state);
	if (queue->enabled) {
		ret = queue_start(pair, q, queue, &err);
		if (ret)
			log_warn("%s", err.text);
	}
	inproc_unpark(pair);
	return ret;
}

static void inproc_counters(struct plane *plane, unsigned queue, struct plane_queue_counters *out)
{
	struct inproc *p = from_plane(plane);
	const uint64_t *from;
	uint64_t *to = (uint64_t *)out;

	_Static_assert(sizeof(*out) % sizeof(*to) == 0, "nothing but uint64_t");
	memset(out, 0, sizeof(*out));
	if (queue >= 2 * p->npairs)
		return;
	from = (const uint64_t *)&queue_of(p, queue)->c;
	for (unsigned i = 0; i < sizeof(*out) / sizeof(*to); i++)
		to[i] = __atomic_load_n(&from[i], __ATOMIC_RELAXED);
}

void inproc_announce_now(struct inproc_pair *pair)
{
	struct inproc *p = pair->p;
	uint8_t bytes[ETHER_MIN_LEN];
	struct iovec iov = {bytes, sizeof(bytes)};
	struct net_frame frame = {.iov = &iov, .niov = 1, .len = sizeof(bytes)};

	atomic_store(&pair->announce, false);
	net_announce_rarp(bytes, p->mac);
	if (p->hn->ops->send(p->hn, pair->index, &frame, 1) != 1)
		log_warn("%s: %s is full: the network was not told where the guest is now", p->id,
			 p->hn->ops->name);
}

static int inproc_announce(struct plane *plane)
{
	struct inproc *p = from_plane(plane);
	struct inproc_pair *pair = p->pairs[0];

	/* The back-end's queue belongs to the worker while it runs. */
	atomic_store(&pair->announce, true);
	if (p->started && pair->has_thread)
		inproc_wake(pair);
	else
		inproc_announce_now(pair);
	return 0;
}

static void pair_free(struct inproc_pair *pair)
{
	if (!pair)
		return;
	inproc_worker_end(pair);
	if (pair->rx.vq)
		vq_free(pair->rx.vq);
	if (pair->tx.vq)
		vq_free(pair->tx.vq);
	free(pair->stash);
	free(pair->spill);
	free(pair);
}

static struct inproc_pair *pair_new(struct inproc *p, unsigned index)
{
	size_t size = ALIGN_UP(sizeof(struct inproc_pair), CACHE_LINE);
	struct inproc_pair *pair = aligned_alloc(CACHE_LINE, size);

	if (!pair)
		return NULL;
	memset(pair, 0, size);
	pair->p = p;
	pair->index = index;
	pair->epoll_fd = pair->wake_fd = -1;
	pair->rx_want = RX_WANT_MIN;
	pair->rx.index = 2 * index;
	pair->tx.index = 2 * index + 1;
	pair->rx.vq = vq_create();
	pair->tx.vq = vq_create();
	pair->stash = calloc(1, sizeof(*pair->stash));
	pair->spill = malloc(RX_ROOM);
	if (!pair->rx.vq || !pair->tx.vq || !pair->stash || !pair->spill) {
		pair_free(pair);
		return NULL;
	}
	return pair;
}

static void inproc_close(struct plane *plane)
{
	struct inproc *p = from_plane(plane);

	inproc_stop(plane, NULL, 0);
	netif_watch_stop(&p->watch);
	for (unsigned i = 0; p->pairs && i < p->npairs; i++)
		pair_free(p->pairs[i]);
	free(p->pairs);
	if (p->mailbox) {
		p->mailbox->p = NULL;
		mailbox_put(p->mailbox);
	}
	hostnet_close(p->hn);
	steer_free(atomic_load(&p->steer));
	inproc_config_free(p);
	free(p);
}

/* Everything but the threads. */
static int inproc_init(struct inproc *p, const struct plane_params *params, struct error *err)
{
	p->npairs = MIN(params->queue_pairs ? params->queue_pairs : 1, p->hn->queues);
	if (p->npairs > INPROC_PAIRS_MAX)
		return error_set(err, -EINVAL, "%s: queues=%u: at most %u here", p->id, p->npairs,
				 INPROC_PAIRS_MAX);
	p->pairs = calloc(p->npairs, sizeof(struct inproc_pair *));
	p->mailbox = calloc(1, sizeof(*p->mailbox));
	if (!p->pairs || !p->mailbox)
		return error_set(err, -ENOMEM, "%s: no memory for the data plane", p->id);
	p->mailbox->p = p;
	atomic_store(&p->mailbox->refs, 1);
	for (unsigned i = 0; i < p->npairs; i++) {
		p->pairs[i] = pair_new(p, i);
		if (!p->pairs[i])
			return error_set(err, -ENOMEM, "%s: no memory for queue pair %u", p->id, i);
	}
	return inproc_config_init(p, err);
}

static void carrier_changed(void *opaque, bool up)
{
	struct inproc *p = opaque;

	p->plane.link_up = up;
	if (p->events && p->events->link_changed)
		p->events->link_changed(p->events->opaque, up);
}

/* Without it the link is what it was at the beginning: no reason to do without the plane. */
static void watch_carrier(struct inproc *p)
{
	const char *name = p->hn->ops->attachment ? p->hn->ops->attachment(p->hn) : NULL;
	int ret;

	if (!name || !p->hn->ops->link_up || !p->loop)
		return;
	ret = netif_watch_start(&p->watch, p->loop, name, carrier_changed, p);
	/* One that cannot be found is in another network namespace: it counts as up. */
	p->plane.link_up = p->watch.up;
	if (ret)
		log_info("%s: whether %s is up is not watched: %s", p->id, name, error_name(ret));
}

int inproc_new(struct hostnet *hn, const struct options *opts, const struct plane_params *params,
	       bool threads, struct plane **out, struct error *err)
{
	struct inproc *p = calloc(1, sizeof(*p));
	int ret;

	if (!p) {
		hostnet_close(hn);
		return error_set(err, -ENOMEM, "%s: no memory for the data plane", params->id);
	}
	p->plane.ops = &inprocess_ops;
	p->plane.mtu = hn->mtu;
	p->plane.link_up = hn->ops->link_up ? hn->ops->link_up(hn) : true;
	snprintf(p->id, sizeof(p->id), "%s", params->id);
	p->hn = hn;
	p->mem = params->mem;
	p->loop = params->loop;
	p->events = params->events;
	p->threads = threads;
	if (params->mac)
		memcpy(p->mac, params->mac, sizeof(p->mac));
	ret = inproc_take_options(p, opts, err);
	if (!ret)
		ret = inproc_init(p, params, err);
	for (unsigned i = 0; !ret && threads && i < p->npairs; i++)
		ret = inproc_worker_start(p->pairs[i],
					  p->ncpus ? p->cpus[i % p->ncpus] : THREAD_ANY_CPU, err);
	if (ret) {
		inproc_close(&p->plane);
		return ret;
	}
	watch_carrier(p);
	*out = &p->plane;
	return 0;
}

static struct hostnet *inproc_frames(struct plane *plane)
{
	return from_plane(plane)->hn;
}

static void inproc_attachment(struct plane *plane, char *out, size_t size)
{
	struct hostnet *hn = from_plane(plane)->hn;

	snprintf(out, size, "%s", hn->ops->attachment ? hn->ops->attachment(hn) : "");
}

static bool inproc_attachment_counters(struct plane *plane, unsigned pair,
				       struct hostnet_counters *out, bool *whole)
{
	struct hostnet *hn = from_plane(plane)->hn;

	*out = (struct hostnet_counters){0};
	*whole = false;
	if (pair >= hn->queues)
		return false;
	hn->ops->counters(hn, pair, out);
	return true;
}

static int inproc_open(const char *backend, const struct options *opts,
		       const struct plane_params *params, struct plane **out, struct error *err)
{
	const struct hostnet_ops *ops = hostnet_find(backend);
	struct hostnet_params hp = {
		.id = params->id,
		.queues = params->queue_pairs ? params->queue_pairs : 1,
		.mtu = params->mtu,
		.offloads = NET_OFFLOAD_CSUM | NET_OFFLOAD_GSO,
		.mac = params->mac,
		.loop = params->loop,
	};
	struct hostnet *hn;
	int ret;

	if (!ops)
		return error_set(err, -ENOENT, "%s: there is no frame back-end \"%s\"", params->id,
				 backend);
	if (params->frames)
		return inproc_new(hostnet_share(params->frames), opts, params, true, out, err);
	ret = ops->open(opts, &hp, &hn, err);
	if (ret)
		return ret;
	return inproc_new(hn, opts, params, true, out, err);
}

const struct plane_ops inprocess_ops = {
	.name = "inprocess",
	.help = "worker threads of this process",
	.keys = inproc_keys,
	.serves = inproc_serves,
	.probe = inproc_probe,
	.open = inproc_open,
	.features = inproc_features,
	.carries = inproc_carries,
	.could = inproc_could,
	.start = inproc_start,
	.stop = inproc_stop,
	.configure = inproc_configure,
	.queue_set = inproc_queue_set,
	.counters = inproc_counters,
	.attachment = inproc_attachment,
	.attachment_counters = inproc_attachment_counters,
	.announce = inproc_announce,
	.capture = inproc_capture,
	.frames = inproc_frames,
	.close = inproc_close,
};
