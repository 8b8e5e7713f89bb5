/* SPDX-License-Identifier: Apache-2.0 */
/* Ports and their queues, as the control thread sees them. */
#include "switch/switch_internal.h"

#include "base/thread.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

static void *line_alloc(size_t size)
{
	void *p = aligned_alloc(CACHE_LINE, ALIGN_UP(size, CACHE_LINE));

	if (p)
		memset(p, 0, size);
	return p;
}

int sw_port_pairs(struct sw_port *port, unsigned n)
{
	if (n > SW_PAIRS_MAX)
		return -E2BIG;
	while (port->pairs < n) {
		struct sw_in *in = line_alloc(sizeof(*in));
		struct sw_out *out = line_alloc(sizeof(*out));

		if (!in || !out) {
			free(in);
			free(out);
			return -ENOMEM;
		}
		in->port = out->port = port;
		in->pair = out->pair = port->pairs;
		port->in[port->pairs] = in;
		port->out[port->pairs++] = out;
	}
	return 0;
}

static void free_port(struct sw_port *port)
{
	for (unsigned i = 0; i < port->pairs; i++) {
		free(port->in[i]);
		free(port->out[i]);
	}
	free((void *)(uintptr_t)port->config);
	free(port->options);
	free(port);
}

void sw_port_announce(struct sw_port *port, const uint8_t mac[6])
{
	uint64_t word = SW_ANNOUNCE | fdb_key(mac, (uint16_t)port->index);

	if (!port->pairs || !port->in[0]->started)
		return;
	atomic_store(&port->sw->announce, word);
	sw_worker_wake(port->sw->workers[port->in[0]->worker]);
}

void sw_port_set_mtu(struct sw_port *port, unsigned mtu)
{
	if (port->mtu == mtu)
		return;
	port->mtu = mtu;
	sw_publish(port->sw);
}

struct loop *sw_port_loop(const struct sw_port *port)
{
	return port->sw->loop;
}

/* The worker with the fewest queues. */
static unsigned idlest(const struct sw *sw)
{
	unsigned queues[SW_WORKERS_MAX] = {0}, best = 0;

	for (unsigned i = 0; i < SW_PORTS_MAX; i++) {
		const struct sw_port *port = sw->ports[i];

		for (unsigned p = 0; port && p < port->pairs; p++)
			if (port->in[p]->started)
				queues[port->in[p]->worker]++;
	}
	for (unsigned w = 1; w < sw->nworkers; w++)
		if (queues[w] < queues[best])
			best = w;
	return best;
}

static int in_fd(const struct sw_in *in)
{
	const struct sw_port *port = in->port;

	return port->hn ? port->hn->ops->poll_fd(port->hn, in->pair) : in->ring.kick_fd;
}

static int start_at(struct sw_in *in, unsigned worker)
{
	struct sw *sw = in->port->sw;
	int ret, fd;

	in->worker = worker;
	in->cached_generation = 0;
	in->cached_plan = 0;
	in->next_look = 0;
	in->kicks_on = true;
	in->started = true;
	fd = in_fd(in);
	ret = fd < 0 ? 0 : sw_worker_watch(sw->workers[in->worker], fd);
	if (!ret)
		ret = sw_publish(sw);
	if (ret)
		sw_in_stop(in->port, in->pair);
	return ret;
}

int sw_in_start(struct sw_port *port, unsigned pair, const struct sw_ring *ring)
{
	struct sw_in *in = port->in[pair];

	in->ring = ring ? *ring : (struct sw_ring){.kick_fd = -1};
	return start_at(in, idlest(port->sw));
}

int sw_in_move(struct sw_in *in, unsigned worker)
{
	sw_in_stop(in->port, in->pair);
	return start_at(in, worker);
}

int sw_out_start(struct sw_port *port, unsigned pair, const struct sw_ring *ring)
{
	struct sw_out *out = port->out[pair];
	int ret;

	out->ring = ring ? *ring : (struct sw_ring){.kick_fd = -1};
	out->kicks_off = false;
	out->full_since = 0;
	out->started = true;
	ret = sw_publish(port->sw);
	if (ret)
		sw_out_stop(port, pair);
	return ret;
}

static bool mark_in(struct sw_in *in)
{
	int fd;

	if (!in->started)
		return false;
	fd = in_fd(in);
	if (fd >= 0)
		sw_worker_unwatch(in->port->sw->workers[in->worker], fd);
	in->started = false;
	return true;
}

void sw_in_stop(struct sw_port *port, unsigned pair)
{
	if (pair < port->pairs && mark_in(port->in[pair]))
		sw_publish(port->sw);
}

void sw_out_stop(struct sw_port *port, unsigned pair)
{
	if (pair >= port->pairs || !port->out[pair]->started)
		return;
	port->out[pair]->started = false;
	sw_publish(port->sw);
}

/* Whether a queue of the port was started; none is then, from the next plan on. */
static bool mark_port(struct sw_port *port)
{
	bool any = false;

	for (unsigned p = 0; p < port->pairs; p++) {
		any |= mark_in(port->in[p]) | port->out[p]->started;
		port->out[p]->started = false;
	}
	return any;
}

void sw_port_stop(struct sw_port *port)
{
	if (mark_port(port))
		sw_publish(port->sw);
}

void sw_stop_all(struct sw *sw)
{
	for (unsigned i = 0; i < SW_PORTS_MAX; i++)
		if (sw->ports[i])
			mark_port(sw->ports[i]);
	sw_publish(sw);
}

void sw_port_stop_frames(struct sw_port *port)
{
	port->sw->changes++;
	sw_port_stop(port);
	hostnet_close(port->hn);
	port->hn = NULL;
}

int sw_port_start_frames(struct sw_port *port)
{
	unsigned n = port->hn->queues;
	int ret = sw_port_pairs(port, n);

	port->sw->changes++;
	for (unsigned i = 0; i < n && !ret; i++) {
		ret = sw_out_start(port, i, NULL);
		if (!ret)
			ret = sw_in_start(port, i, NULL);
	}
	if (ret)
		sw_port_stop_frames(port);
	return ret;
}

struct sw_port *sw_find_port(struct sw *sw, const char *id)
{
	for (unsigned i = 0; i < SW_PORTS_MAX; i++)
		if (sw->ports[i] && !strcmp(sw->ports[i]->id, id))
			return sw->ports[i];
	return NULL;
}

struct sw_port *sw_port_at(struct sw *sw, unsigned index)
{
	return index < SW_PORTS_MAX ? sw->ports[index] : NULL;
}

#define SW_ID_CHARS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_."

/* Takes the id, or makes one of the type's name and a number. */
static int name_port(struct sw_port *port, const char *id, struct error *err)
{
	if (id) {
		if (!*id || strlen(id) >= SW_ID_MAX || strspn(id, SW_ID_CHARS) != strlen(id))
			return error_set(err, -EINVAL,
					 "--port: id=%s: use 1 to %d letters, digits, '-', '_' "
					 "and '.'",
					 id, SW_ID_MAX - 1);
		if (sw_find_port(port->sw, id))
			return error_set(err, -EEXIST, "--port: there is a port %s already", id);
		snprintf(port->id, sizeof(port->id), "%s", id);
		return 0;
	}
	for (unsigned n = 0; n <= SW_PORTS_MAX; n++) {
		snprintf(port->id, sizeof(port->id), "%s%u", port->ops->name, n);
		if (!sw_find_port(port->sw, port->id))
			break;
	}
	return 0;
}

static int find_type(const struct options *opts, const struct port_ops **ops, struct error *err)
{
	const char *type = options_get(opts, "type");
	const char *names[16] = {NULL};
	char all[128] = "";

	for (unsigned i = 0; i < ARRAY_SIZE(names) - 1 && port_table[i]; i++) {
		names[i] = port_table[i]->name;
		snprintf(all + strlen(all), sizeof(all) - strlen(all), "%s%s", i ? ", " : "",
			 names[i]);
	}
	if (!type)
		return error_set(err, -EINVAL, "--port: type= is missing: use one of %s", all);
	*ops = port_find(type);
	return *ops ? 0
		    : error_set(err, -EINVAL, "--port: type=%s is unknown: use one of %s", type,
				all);
}

static int open_port(struct sw_port *port, const struct options *opts,
		     const struct sw_port_config *settings, struct error *err)
{
	const struct option_key *const tables[] = {sw_port_keys, port->ops->keys, NULL};
	struct sw_port_config *config = calloc(1, sizeof(*config));
	char what[SW_ID_MAX + 16];
	int ret;

	if (!config)
		return error_set(err, -ENOMEM, "--port: out of memory");
	port->config = config;
	snprintf(what, sizeof(what), "--port %s", port->id);
	ret = options_check(opts, tables, what, err);
	if (ret)
		return ret;
	ret = sw_port_config_parse(config, opts, err);
	if (ret)
		return error_prefix(err, ret, "%s", what);
	if (settings)
		*config = *settings;
	if (port->ops->probe && (ret = port->ops->probe(err)))
		return error_prefix(err, ret, "%s", what);
	return port->ops->open(port, opts, err);
}

static int free_index(const struct sw *sw)
{
	for (unsigned i = 0; i < SW_PORTS_MAX; i++)
		if (!sw->ports[i])
			return (int)i;
	return -ENOSPC;
}

static int add_parsed(struct sw *sw, const struct port_ops *ops, const struct options *opts,
		      const struct sw_adopted *from, struct sw_port **out, struct error *err)
{
	int ret = ops ? 0 : find_type(opts, &ops, err);
	int index = from->id ? (int)from->index : free_index(sw);
	struct sw_port *port;

	if (!ret && from->inherit && !ops->heritable)
		ret = error_set(err, -EPROTO, "port %s: a %s cannot be handed over", from->id,
				ops->name);
	if (ret)
		return ret;
	if (index < 0)
		return error_set(err, index, "--port: there is room for %u ports", SW_PORTS_MAX);
	port = line_alloc(sizeof(*port));
	if (!port)
		return error_set(err, -ENOMEM, "--port: out of memory");
	port->sw = sw;
	port->ops = ops;
	port->index = (unsigned)index;
	port->hdr_len = SW_HDR_LEN;
	port->options = strdup(from->options);
	port->inherit = from->inherit;
	ret = name_port(port, from->id ? from->id : options_get(opts, "id"), err);
	if (!ret) {
		sw->ports[index] = port;
		ret = open_port(port, opts, from->config, err);
	}
	port->inherit = NULL;
	sw->changes++;
	if (ret) {
		sw->ports[index] = NULL;
		free_port(port);
		return ret;
	}
	sw_publish(sw);
	if (out)
		*out = port;
	return 0;
}

int sw_add_port(struct sw *sw, const char *options, struct sw_port **out, struct error *err)
{
	return sw_add_port_of(sw, NULL, options, out, err);
}

int sw_add_port_of(struct sw *sw, const struct port_ops *ops, const char *options,
		   struct sw_port **out, struct error *err)
{
	const struct sw_adopted from = {.options = options};
	struct options opts;
	int ret = options_parse(&opts, options, err);

	if (!ret)
		ret = add_parsed(sw, ops, &opts, &from, out, err);
	else
		error_prefix(err, ret, "--port");
	options_free(&opts);
	return ret;
}

int sw_adopt_port(struct sw *sw, const struct sw_adopted *from, struct sw_port **out,
		  struct error *err)
{
	struct options opts;
	int ret = options_parse(&opts, from->options, err);

	if (!ret && (from->index >= SW_PORTS_MAX || sw->ports[from->index]))
		ret = error_set(err, -EPROTO, "port number %u is taken", from->index);
	if (!ret)
		ret = add_parsed(sw, NULL, &opts, from, out, err);
	options_free(&opts);
	return ret;
}

void sw_remove_port(struct sw_port *port)
{
	struct sw *sw = port->sw;

	sw->changes++;
	sw_port_stop(port);
	port->ops->close(port);
	sw->ports[port->index] = NULL;
	sw_publish(sw);
	fdb_flush(sw->fdb, (int)port->index);
	free_port(port);
}

int sw_configure_port(struct sw_port *port, const struct sw_port_config *config, struct error *err)
{
	struct sw_port_config *fresh = malloc(sizeof(*fresh));
	const struct sw_port_config *old = port->config;
	int ret;

	if (!fresh)
		return error_set(err, -ENOMEM, "port %s: out of memory", port->id);
	*fresh = *config;
	port->config = fresh;
	port->sw->changes++;
	ret = sw_publish(port->sw);
	free((void *)(uintptr_t)old);
	return ret ? error_set(err, ret, "port %s: out of memory", port->id) : 0;
}
