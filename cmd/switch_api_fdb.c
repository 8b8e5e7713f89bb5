/* SPDX-License-Identifier: Apache-2.0 */
/* The control socket of viaduct-switch: the forwarding database, and what /metrics tells. */
#include "switch_api.h"

#include "switch/counters.h"

#include <errno.h>
#include <stdio.h>

#define ENTRIES_MAX 10000 /* of one answer */

struct listing {
	struct sw *sw;
	json_t *entries;
	const char *port;
	unsigned left;
};

static bool list_entry(const struct fdb_entry *entry, void *arg)
{
	struct listing *l = arg;
	const struct sw_port *port = sw_port_at(l->sw, entry->port);
	uint8_t mac[6];
	char text[18];

	if (!port || (l->port && strcmp(l->port, port->id) != 0))
		return true;
	fdb_key_mac(entry->key, mac);
	snprintf(text, sizeof(text), "%02x:%02x:%02x:%02x:%02x:%02x", mac[0], mac[1], mac[2],
		 mac[3], mac[4], mac[5]);
	json_array_append_new(
		l->entries,
		json_pack("{s:s, s:i, s:s, s:b, s:i}", "mac", text, "vlan",
			  (int)fdb_key_vid(entry->key), "port", port->id, "static",
			  (int)entry->is_static, "age",
			  entry->is_static ? 0 : (int)(uint16_t)(sw_now(l->sw) - entry->seen)));
	return --l->left > 0;
}

static int get_fdb(void *opaque, const struct control_request *request, json_t **reply,
		   struct error *err)
{
	struct listing l = {.sw = opaque, .left = ENTRIES_MAX, .entries = json_array()};
	struct fdb_stats stats;

	fdb_each(sw_fdb(opaque), list_entry, &l);
	fdb_stats(sw_fdb(opaque), &stats);
	*reply = json_pack("{s:I, s:I, s:I, s:I, s:I, s:o}", "count", (json_int_t)stats.entries,
			   "learned", (json_int_t)stats.learned, "moved", (json_int_t)stats.moved,
			   "aged", (json_int_t)stats.aged, "full", (json_int_t)stats.full,
			   "entries", l.entries);
	return 0;
}

/* {"mac": …, "vlan": …} as a key. */
static int take_key(const struct control_request *request, uint64_t *key, const char **port,
		    struct error *err)
{
	const char *text;
	uint8_t mac[6];
	int vlan = 0, ret;

	*port = NULL;
	ret = control_unpack(request, err, "{s:s, s?:i, s?:s !}", "mac", &text, "vlan", &vlan,
			     "port", port);
	if (!ret)
		ret = option_mac("mac", text, mac, err);
	if (!ret && (vlan < 0 || vlan > 4094))
		ret = error_set(err, -EINVAL, "vlan: use 0 (none) to 4094");
	if (!ret)
		*key = fdb_key(mac, (uint16_t)vlan);
	return ret;
}

static int add_entry(void *opaque, const struct control_request *request, json_t **reply,
		     struct error *err)
{
	const struct sw_port *port;
	const char *id;
	uint64_t key;
	int ret = take_key(request, &key, &id, err);

	if (ret)
		return ret;
	port = id ? sw_find_port(opaque, id) : NULL;
	if (!port)
		return error_set(err, -ENOENT, "there is no port %.40s", id ? id : "");
	ret = fdb_set_static(sw_fdb(opaque), key, port->index);
	sw_note_change(opaque);
	return ret ? error_set(err, ret, "the forwarding database has no room for it") : 0;
}

static int remove_entry(void *opaque, const struct control_request *request, json_t **reply,
			struct error *err)
{
	const char *id;
	uint64_t key;
	int ret = take_key(request, &key, &id, err);

	sw_note_change(opaque);
	if (!ret && fdb_remove(sw_fdb(opaque), key))
		ret = error_set(err, -ENOENT, "the forwarding database has no such entry");
	return ret;
}

static int flush(void *opaque, const struct control_request *request, json_t **reply,
		 struct error *err)
{
	sw_note_change(opaque);
	*reply = json_pack("{s:i}", "removed", (int)fdb_flush(sw_fdb(opaque), -1));
	return 0;
}

const struct control_command switch_fdb_commands[] = {
	{"GET", "/api/v1/switch.fdb", get_fdb},
	{"PUT", "/api/v1/switch.fdb-add", add_entry},
	{"PUT", "/api/v1/switch.fdb-remove", remove_entry},
	{"PUT", "/api/v1/switch.fdb-flush", flush},
	{NULL},
};

struct family {
	const char *name, *help;
	size_t offset;
	bool out;
};

static const struct family families[] = {
	{"viaduct_switch_in_frames_total", "Frames taken from a port",
	 offsetof(struct sw_in_counters, frames), false},
	{"viaduct_switch_in_bytes_total", "Bytes taken from a port",
	 offsetof(struct sw_in_counters, bytes), false},
	{"viaduct_switch_extra_frames_total", "Copies and segments made of a port's frames",
	 offsetof(struct sw_in_counters, extra), false},
	{"viaduct_switch_forwarded_frames_total", "A port's frames that were handed to others",
	 offsetof(struct sw_in_counters, forwarded), false},
	{"viaduct_switch_out_frames_total", "Frames given to a port",
	 offsetof(struct sw_out_counters, frames), true},
	{"viaduct_switch_out_bytes_total", "Bytes given to a port",
	 offsetof(struct sw_out_counters, bytes), true},
	{"viaduct_switch_calls_total", "Notifications sent to a port's driver",
	 offsetof(struct sw_out_counters, calls), true},
};

static void queue_metrics(struct sw *sw, struct control_metrics *out, const struct family *f)
{
	for (unsigned i = 0; i < SW_PORTS_MAX; i++) {
		const struct sw_port *port = sw_port_at(sw, i);

		for (unsigned p = 0; port && p < port->pairs; p++) {
			struct sw_in_counters ic;
			struct sw_out_counters oc;
			uint64_t value;
			char pair[12];

			sw_in_read(port->in[p], &ic);
			sw_out_read(port->out[p], &oc);
			memcpy(&value, (f->out ? (char *)&oc : (char *)&ic) + f->offset,
			       sizeof(value));
			snprintf(pair, sizeof(pair), "%u", p);
			control_metric_sample(out, value, "port", port->id, "queue", pair,
					      CONTROL_LABELS_END);
		}
	}
}

static void drop_metrics(struct sw *sw, struct control_metrics *out)
{
	control_metric_begin(out, "viaduct_switch_dropped_frames_total", "counter",
			     "A port's frames that were dropped, by cause");
	for (unsigned i = 0; i < SW_PORTS_MAX; i++) {
		const struct sw_port *port = sw_port_at(sw, i);
		struct sw_in_counters in;
		struct sw_out_counters unused;

		if (!port)
			continue;
		sw_port_totals(port, &in, &unused);
		for (unsigned d = 0; d < SW_DROP_COUNT; d++)
			control_metric_sample(out, in.drops[d], "port", port->id, "cause",
					      sw_drop_name(d), CONTROL_LABELS_END);
	}
}

static void worker_metric(struct sw *sw, struct control_metrics *out, const char *name,
			  const char *help, size_t offset)
{
	control_metric_begin(out, name, "counter", help);
	for (unsigned i = 0; i < sw_workers(sw); i++) {
		struct sw_worker_stats stats;
		uint64_t value;
		char worker[12];

		sw_worker_read(sw_worker_at(sw, i), &stats);
		memcpy(&value, (char *)&stats + offset, sizeof(value));
		snprintf(worker, sizeof(worker), "%u", i);
		control_metric_sample(out, value, "worker", worker, CONTROL_LABELS_END);
	}
}

void switch_metrics(void *opaque, struct control_metrics *out)
{
	struct sw *sw = opaque;
	struct fdb_stats fdb;

	for (unsigned i = 0; i < ARRAY_SIZE(families); i++) {
		control_metric_begin(out, families[i].name, "counter", families[i].help);
		queue_metrics(sw, out, &families[i]);
	}
	drop_metrics(sw, out);
	worker_metric(sw, out, "viaduct_switch_busy_cycles_total", "Cycles spent on frames",
		      offsetof(struct sw_worker_stats, busy_cycles));
	worker_metric(sw, out, "viaduct_switch_idle_cycles_total", "Cycles polled in vain",
		      offsetof(struct sw_worker_stats, idle_cycles));
	worker_metric(sw, out, "viaduct_switch_queues_moved_total",
		      "Queues that a worker took over from others",
		      offsetof(struct sw_worker_stats, moved));
	worker_metric(sw, out, "viaduct_switch_sleeps_total", "Times a worker went to sleep",
		      offsetof(struct sw_worker_stats, sleeps));
	fdb_stats(sw_fdb(sw), &fdb);
	control_metric_begin(out, "viaduct_switch_fdb_entries", "gauge",
			     "Addresses in the forwarding database");
	control_metric_sample(out, fdb.entries, CONTROL_LABELS_END);
}
