/* SPDX-License-Identifier: Apache-2.0 */
#include "switch/takeover.h"

#include "base/log.h"
#include "switch/switch_internal.h"

#include <errno.h>
#include <stdlib.h>

/*
 * What is saved: the ports, each with its number, so that the forwarding database's entries stay true;
 * its settings; and what its type adds. Then the database. Then, when nothing runs any more, counters
 * and positions, in the order of the ports. Nothing of it is believed: it comes from a process.
 */
#define OPTIONS_MAX 8192

enum how { HANDED, ANEW };

struct heir_port {
	bool anew;
	char id[SW_ID_MAX];
	char *options;
	unsigned index;
	struct sw_port_config config;
};

struct sw_heir {
	struct sw *sw;
	unsigned nports;
	struct heir_port ports[SW_PORTS_MAX];
};

static void save_config(const struct sw_port_config *c, struct parcel_out *p)
{
	parcel_put_u64(p, c->vlan_mode);
	parcel_put_u64(p, c->access_vid);
	parcel_put(p, c->trunk, sizeof(c->trunk));
	parcel_put_u64(p, c->nmacs);
	parcel_put(p, c->macs, c->nmacs * sizeof(c->macs[0]));
	parcel_put_u64(p, c->isolated);
	parcel_put_u64(p, c->no_flood);
	parcel_put_u64(p, c->rate_in);
	parcel_put_u64(p, c->rate_out);
	parcel_put_u64(p, c->storm);
	parcel_put_text(p, c->mirror_to);
}

static void restore_config(struct sw_port_config *c, struct parcel_in *p)
{
	c->vlan_mode = (enum sw_vlan_mode)parcel_get_range(p, SW_VLAN_NONE, SW_VLAN_TRUNK);
	c->access_vid = (uint16_t)parcel_get_range(p, 0, 4094);
	parcel_get(p, c->trunk, sizeof(c->trunk));
	c->nmacs = (unsigned)parcel_get_range(p, 0, SW_MACS_MAX);
	parcel_get(p, c->macs, c->nmacs * sizeof(c->macs[0]));
	c->isolated = parcel_get_bool(p);
	c->no_flood = parcel_get_bool(p);
	c->rate_in = parcel_get_u64(p);
	c->rate_out = parcel_get_u64(p);
	c->storm = parcel_get_u64(p);
	parcel_get_text(p, c->mirror_to, sizeof(c->mirror_to));
}

static int save_port(struct sw_port *port, struct parcel_out *p, struct error *err)
{
	uint64_t how = ANEW;
	size_t at;
	int ret;

	parcel_put_text(p, port->id);
	parcel_put_text(p, port->options);
	parcel_put_u64(p, port->index);
	save_config(port->config, p);
	at = p->len;
	parcel_put_u64(p, HANDED);
	ret = port->ops->save ? port->ops->save(port, p, err) : -ENOTSUP;
	if (ret == -ENOTSUP && !p->failed)
		memcpy(p->data + at, &how, sizeof(how));
	port->anew = ret == -ENOTSUP;
	return ret == -ENOTSUP ? 0 : ret;
}

static bool save_entry(const struct fdb_entry *e, void *arg)
{
	parcel_put_u64(arg, e->key);
	parcel_put_u64(arg, e->port | (uint64_t)e->seen << 16 | (uint64_t)e->is_static << 32);
	return true;
}

int sw_takeover_save(struct sw *sw, struct parcel_out *p, struct error *err)
{
	unsigned n = 0;
	int ret = 0;

	sw->saved = sw->changes;
	for (unsigned i = 0; i < SW_PORTS_MAX; i++)
		n += sw->ports[i] != NULL;
	parcel_put_u64(p, n);
	for (unsigned i = 0; i < SW_PORTS_MAX && !ret; i++)
		if (sw->ports[i])
			ret = save_port(sw->ports[i], p, err);
	fdb_each(sw->fdb, save_entry, p);
	parcel_put_u64(p, 0); /* no key */
	if (!ret && p->failed)
		ret = error_set(err, -ENOMEM, "out of memory");
	return ret;
}

bool sw_takeover_is_stale(const struct sw *sw)
{
	return sw->changes != sw->saved;
}

static void save_counters(const struct sw_port *port, struct parcel_out *p)
{
	parcel_put_u64(p, port->pairs);
	for (unsigned i = 0; i < port->pairs; i++) {
		parcel_put(p, &port->in[i]->c, sizeof(port->in[i]->c));
		parcel_put(p, &port->out[i]->c, sizeof(port->out[i]->c));
	}
}

void sw_takeover_hold(struct sw *sw, struct parcel_out *p)
{
	sw_stop_all(sw);
	sw->held = true;
	for (unsigned i = 0; i < SW_PORTS_MAX; i++) {
		struct sw_port *port = sw->ports[i];

		if (!port || port->anew)
			continue;
		if (port->ops->hold)
			port->ops->hold(port);
		if (port->ops->save_rings)
			port->ops->save_rings(port, p);
		save_counters(port, p);
	}
}

static void resume(struct sw *sw)
{
	for (unsigned i = 0; i < SW_PORTS_MAX; i++) {
		struct sw_port *port = sw->ports[i];

		if (port && port->ops->resume)
			port->ops->resume(port);
		else if (port && port->hn && !port->in[0]->started && sw_port_start_frames(port))
			log_error("%s: its queues cannot be started again", port->id);
	}
	sw->held = false;
	sw_publish(sw);
}

void sw_takeover_roll_back(struct sw *sw)
{
	resume(sw);
}

void sw_takeover_leave(struct sw *sw)
{
	for (unsigned i = 0; i < SW_PORTS_MAX; i++)
		if (sw->ports[i] && sw->ports[i]->anew)
			sw_remove_port(sw->ports[i]);
}

static int restore_port(struct sw_heir *heir, struct heir_port *hp, struct parcel_in *p,
			struct error *err)
{
	struct sw_adopted from = {.id = hp->id, .inherit = p};
	char options[OPTIONS_MAX];
	struct sw_port *port;

	parcel_get_text(p, hp->id, sizeof(hp->id));
	parcel_get_text(p, options, sizeof(options));
	hp->index = (unsigned)parcel_get_range(p, 0, SW_PORTS_MAX - 1);
	restore_config(&hp->config, p);
	hp->anew = parcel_get_range(p, HANDED, ANEW) == ANEW;
	if (p->bad)
		return error_set(err, -EPROTO, "it ends too early, or is not understood");
	hp->options = strdup(options);
	if (!hp->options)
		return error_set(err, -ENOMEM, "out of memory");
	heir->nports++;
	from.options = hp->options;
	from.index = hp->index;
	from.config = &hp->config;
	return hp->anew ? 0 : sw_adopt_port(heir->sw, &from, &port, err);
}

static int restore_fdb(struct sw *sw, struct parcel_in *p, struct error *err)
{
	uint64_t key;

	while ((key = parcel_get_u64(p)) && !p->bad) {
		uint64_t value = parcel_get_u64(p);
		unsigned port = value & 0xffff;

		if (p->bad || key >> 60 || port >= SW_PORTS_MAX)
			return error_set(err, -EPROTO, "an address is not understood");
		if (!sw->ports[port])
			continue; /* of one that is made anew */
		if (value >> 32)
			fdb_set_static(sw->fdb, key, port);
		else
			fdb_learn(sw->fdb, key, port, (uint16_t)(value >> 16));
	}
	return p->bad ? error_set(err, -EPROTO, "the addresses end too early") : 0;
}

struct sw_heir *sw_takeover_restore(struct sw *sw, struct parcel_in *p, struct error *err)
{
	struct sw_heir *heir = calloc(1, sizeof(*heir));
	uint64_t n = parcel_get_u64(p);
	int ret = 0;

	if (!heir) {
		error_set(err, -ENOMEM, "out of memory");
		return NULL;
	}
	heir->sw = sw;
	sw->held = true;
	if (n > SW_PORTS_MAX || p->bad)
		ret = error_set(err, -EPROTO, "%llu ports", (unsigned long long)n);
	for (unsigned i = 0; i < n && !ret; i++)
		ret = restore_port(heir, &heir->ports[i], p, err);
	if (!ret)
		ret = restore_fdb(sw, p, err);
	if (ret) {
		sw_takeover_free(heir);
		return NULL;
	}
	return heir;
}

static int restore_counters(struct sw_port *port, struct parcel_in *p, struct error *err)
{
	uint64_t pairs = parcel_get_range(p, 0, SW_PAIRS_MAX);
	int ret = sw_port_pairs(port, (unsigned)pairs);

	if (ret)
		return error_set(err, ret, "%s: %s", port->id, error_name(ret));
	for (unsigned i = 0; i < pairs; i++) {
		parcel_get(p, &port->in[i]->c, sizeof(port->in[i]->c));
		parcel_get(p, &port->out[i]->c, sizeof(port->out[i]->c));
	}
	return p->bad ? error_set(err, -EPROTO, "%s: counters are missing", port->id) : 0;
}

int sw_takeover_restore_rings(struct sw_heir *heir, struct parcel_in *p, struct error *err)
{
	int ret = 0;

	for (unsigned i = 0; i < SW_PORTS_MAX && !ret; i++) {
		struct sw_port *port = heir->sw->ports[i];

		if (!port)
			continue;
		if (port->ops->restore_rings)
			ret = port->ops->restore_rings(port, p, err);
		if (!ret)
			ret = restore_counters(port, p, err);
	}
	return ret;
}

void sw_takeover_resume(struct sw_heir *heir)
{
	resume(heir->sw);
}

int sw_takeover_remake(struct sw_heir *heir, struct error *err)
{
	int first = 0;

	for (unsigned i = 0; i < heir->nports; i++) {
		const struct heir_port *hp = &heir->ports[i];
		const struct sw_adopted from = {hp->id, hp->options, hp->index, &hp->config, NULL};
		struct error why = {0};
		int ret = hp->anew ? sw_adopt_port(heir->sw, &from, NULL, &why) : 0;

		if (ret && !first)
			first = error_set(err, ret, "port %s could not be made anew: %s", hp->id,
					  why.text);
	}
	return first;
}

bool sw_takeover_has(const struct sw_heir *heir, const char *options)
{
	struct options opts;
	bool has = false;

	if (!heir)
		return false;
	/* What cannot be parsed is for sw_add_port() to say. */
	if (options_parse(&opts, options, NULL)) {
		options_free(&opts);
		return false;
	}
	for (unsigned i = 0; i < heir->nports && !has; i++) {
		const char *id = options_get(&opts, "id");

		has = id ? !strcmp(id, heir->ports[i].id)
			 : !strcmp(options, heir->ports[i].options);
	}
	options_free(&opts);
	return has;
}

void sw_takeover_free(struct sw_heir *heir)
{
	if (!heir)
		return;
	for (unsigned i = 0; i < heir->nports; i++)
		free(heir->ports[i].options);
	free(heir);
}
