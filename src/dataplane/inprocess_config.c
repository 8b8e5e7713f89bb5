/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the in-process plane is told: options, features, and the configuration, which changes while
 * the workers run. A change makes a new immutable copy and exchanges the pointer; the old one is
 * freed when every worker has passed a quiescent point since (mem/quiesce.h).
 */
#include "dataplane/inprocess.h"

#include "base/thread.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

const struct option_key inproc_keys[] = {
	{"poll-us", "N", "how long a worker spins before it sleeps, in microseconds (0: never)"},
	{"worker-cpus", "CPU[+CPU]…", "the CPUs workers are bound to, in turn (not bound)"},
	{NULL},
};

static int parse_cpus(struct inproc *p, const char *text, struct error *err)
{
	for (;; text++) {
		size_t len = strcspn(text, "+");
		char one[16];
		uint64_t cpu;
		int ret;

		if (p->ncpus == INPROC_PAIRS_MAX || len >= sizeof(one))
			return error_set(err, -EINVAL, "worker-cpus=: \"%s\" is too long", text);
		memcpy(one, text, len);
		one[len] = 0;
		ret = option_u64("worker-cpus", one, 0, 65535, &cpu, err);
		if (ret)
			return ret;
		if (!thread_cpu_usable((int)cpu))
			return error_set(err, -EINVAL,
					 "worker-cpus=: this process may not run on CPU %d: see "
					 "taskset -p %d",
					 (int)cpu, (int)getpid());
		p->cpus[p->ncpus++] = (int)cpu;
		text += len;
		if (!*text)
			return 0;
	}
}

int inproc_take_options(struct inproc *p, const struct options *opts, struct error *err)
{
	const char *poll_us = opts ? options_get(opts, "poll-us") : NULL;
	const char *cpus = opts ? options_get(opts, "worker-cpus") : NULL;
	uint64_t us = POLL_US_DEFAULT;
	int ret = 0;

	if (poll_us)
		ret = option_u64("poll-us", poll_us, 0, POLL_US_MAX, &us, err);
	p->poll_ns = us * NSEC_PER_USEC;
	if (!ret && cpus)
		ret = parse_cpus(p, cpus, err);
	return ret ? error_prefix(err, ret, "%s", p->id) : 0;
}

/* Feature bits that stand for an offload of the back-end. */
static const struct {
	uint8_t bit;
	bool guest; /* the guest receives such frames; else it sends them */
	uint32_t offload;
} offload_bits[] = {
	{VIRTIO_NET_F_CSUM, false, NET_OFFLOAD_CSUM},
	{VIRTIO_NET_F_HOST_TSO4, false, NET_OFFLOAD_TSO4},
	{VIRTIO_NET_F_HOST_TSO6, false, NET_OFFLOAD_TSO6},
	{VIRTIO_NET_F_HOST_ECN, false, NET_OFFLOAD_ECN},
	{VIRTIO_NET_F_HOST_UFO, false, NET_OFFLOAD_UFO},
	{VIRTIO_NET_F_HOST_USO, false, NET_OFFLOAD_USO4 | NET_OFFLOAD_USO6},
	{VIRTIO_NET_F_GUEST_CSUM, true, NET_OFFLOAD_CSUM},
	{VIRTIO_NET_F_GUEST_TSO4, true, NET_OFFLOAD_TSO4},
	{VIRTIO_NET_F_GUEST_TSO6, true, NET_OFFLOAD_TSO6},
	{VIRTIO_NET_F_GUEST_ECN, true, NET_OFFLOAD_ECN},
	{VIRTIO_NET_F_GUEST_UFO, true, NET_OFFLOAD_UFO},
	{VIRTIO_NET_F_GUEST_USO4, true, NET_OFFLOAD_USO4},
	{VIRTIO_NET_F_GUEST_USO6, true, NET_OFFLOAD_USO6},
};

/* Those that any back-end can carry, and those that are the NIC's own affair. */
static const uint8_t plain_bits[] = {
	VIRTIO_RING_F_INDIRECT_DESC,
	VIRTIO_RING_F_EVENT_IDX,
	VIRTIO_F_VERSION_1,
	VIRTIO_F_RING_PACKED,
	VIRTIO_F_IN_ORDER,
	VIRTIO_F_ORDER_PLATFORM,
	VIRTIO_F_RING_RESET,
	VIRTIO_NET_F_CTRL_GUEST_OFFLOADS,
	VIRTIO_NET_F_MTU,
	VIRTIO_NET_F_MAC,
	VIRTIO_NET_F_MRG_RXBUF,
	VIRTIO_NET_F_STATUS,
	VIRTIO_NET_F_CTRL_VQ,
	VIRTIO_NET_F_CTRL_RX,
	VIRTIO_NET_F_CTRL_VLAN,
	VIRTIO_NET_F_CTRL_RX_EXTRA,
	VIRTIO_NET_F_GUEST_ANNOUNCE,
	VIRTIO_NET_F_CTRL_MAC_ADDR,
	VIRTIO_NET_F_NOTF_COAL,
	VIRTIO_NET_F_HASH_REPORT,
	VIRTIO_NET_F_RSS,
	VIRTIO_NET_F_SPEED_DUPLEX,
};

int inproc_could(struct virtio_features *out, struct error *err)
{
	*out = (struct virtio_features){0};
	for (unsigned i = 0; i < ARRAY_SIZE(plain_bits); i++)
		features_set(out, plain_bits[i], true);
	for (unsigned i = 0; i < ARRAY_SIZE(offload_bits); i++)
		features_set(out, offload_bits[i].bit, true);
	features_set(out, VIRTIO_NET_F_MQ, true);
	return 0;
}

/* What it does without effort of its own. It can carry more: see inproc_carries(). */
void inproc_features(struct plane *plane, struct virtio_features *out)
{
	struct inproc *p = container_of(plane, struct inproc, plane);

	inproc_could(out, NULL);
	features_set(out, VIRTIO_NET_F_MQ, p->npairs > 1);
	for (unsigned i = 0; i < ARRAY_SIZE(offload_bits); i++) {
		uint32_t need = offload_bits[i].offload;
		uint32_t have = offload_bits[i].guest ? p->hn->offloads_rx : p->hn->offloads_tx;

		features_set(out, offload_bits[i].bit, (have & need) == need);
	}
}

/* Workers finish frames for a back-end that does not. */
void inproc_carries(struct plane *plane, struct virtio_features *out)
{
	inproc_could(out, NULL);
	features_set(out, VIRTIO_NET_F_MQ, container_of(plane, struct inproc, plane)->npairs > 1);
}

int inproc_take_features(struct inproc *p, const struct virtio_features *features,
			 struct error *err)
{
	struct virtio_features can;

	inproc_carries(&p->plane, &can);
	for (unsigned bit = 0; bit < VIRTIO_FEATURE_BITS; bit++)
		if (features_has(features, bit) && !features_has(&can, bit))
			return error_set(err, -ENOTSUP,
					 "%s: the driver uses feature bit %u, which workers with "
					 "back-end %s cannot carry",
					 p->id, bit, p->hn->ops->name);
	p->tx_offloads = p->rx_offloads = 0;
	for (unsigned i = 0; i < ARRAY_SIZE(offload_bits); i++) {
		if (!features_has(features, offload_bits[i].bit))
			continue;
		if (offload_bits[i].guest)
			p->rx_offloads |= offload_bits[i].offload;
		else
			p->tx_offloads |= offload_bits[i].offload;
	}
	p->tx_finish = p->tx_offloads & ~p->hn->offloads_tx;
	p->mergeable = features_has(features, VIRTIO_NET_F_MRG_RXBUF);
	p->hdr_len = features_has(features, VIRTIO_NET_F_HASH_REPORT) ? HDR_LEN_HASH : HDR_LEN;
	return 0;
}

/* The old configuration is freed when no worker can have it any more. */
static void publish(struct inproc *p, struct inproc_config *config)
{
	struct inproc_config *old =
		atomic_exchange_explicit(&p->config, config, memory_order_acq_rel);

	if (p->threads)
		quiesce_wait();
	free(old);
}

static struct inproc_config *config_new(const struct inproc *p, const struct plane_net_config *net)
{
	struct inproc_config *c = calloc(1, sizeof(*c));
	const struct rx_filter *f;

	if (!c)
		return NULL;
	c->net = *net;
	f = &c->net.filter;
	c->link_up = net->link_up;
	c->filter = !f->promisc || f->nomulti || f->nouni || f->nobcast || f->vlan_filter;
	c->hash = net->rss.enabled || net->rss.hash_report;
	c->steer = net->rss.enabled && p->npairs > 1;
	c->active = MIN(MAX(net->active_pairs, 1u), p->npairs);
	return c;
}

int inproc_config_init(struct inproc *p, struct error *err)
{
	struct plane_net_config net = {.active_pairs = 1, .link_up = true};
	struct inproc_config *c;

	rx_filter_init(&net.filter, p->mac);
	c = config_new(p, &net);
	if (!c)
		return error_set(err, -ENOMEM, "%s: no memory for the data plane", p->id);
	atomic_store(&p->config, c);
	for (unsigned i = 0; i < p->npairs; i++)
		p->pairs[i]->config = c;
	return 0;
}

void inproc_config_free(struct inproc *p)
{
	free(atomic_load(&p->config));
}

int inproc_take_config(struct inproc *p, const struct plane_net_config *net)
{
	const struct inproc_config *now = atomic_load(&p->config);
	struct inproc_config *next = config_new(p, net);
	unsigned before = now->active, after;
	struct hostnet *hn = p->hn;
	int ret = 0, ret2;

	if (!next)
		return -ENOMEM;
	after = next->active;
	if (next->steer && !atomic_load(&p->steer)) {
		struct steer *steer = steer_new(p->npairs);

		if (!steer) {
			free(next);
			return -ENOMEM;
		}
		atomic_store(&p->steer, steer);
	}
	/* A queue is attached before its worker looks at it, and detached after it stopped to. */
	if (hn->ops->set_queues && (after > before || !p->started))
		ret = hn->ops->set_queues(hn, after);
	publish(p, next);
	if (hn->ops->set_queues && after < before && p->started)
		ret = hn->ops->set_queues(hn, after);
	ret2 = hn->ops->set_offloads(hn, net->guest_offloads & p->rx_offloads & hn->offloads_rx);
	return ret ? ret : ret2;
}
