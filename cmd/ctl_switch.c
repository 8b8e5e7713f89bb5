/* SPDX-License-Identifier: Apache-2.0 */
/* viaductctl: commands on a viaduct-switch. */
#include "ctl.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

static const json_t *at(const json_t *array, size_t i)
{
	return json_array_get(array, i);
}

static json_int_t sum(const json_t *object)
{
	json_t *all = (json_t *)(uintptr_t)object, *value; /* the iterator changes nothing */
	json_int_t total = 0;
	const char *key;

	json_object_foreach(all, key, value) total += json_integer_value(value);
	return total;
}

static void print_ports(const json_t *ports)
{
	struct ctl_table table = {.ncolumns = 7};

	ctl_table_row(&table,
		      (const char *[]){"PORT", "TYPE", "IN", "OUT", "DROPPED", "EXTRA", "STATUS"});
	for (size_t i = 0; i < json_array_size(ports); i++) {
		const json_t *in = json_object_get(at(ports, i), "in");
		const json_t *out = json_object_get(at(ports, i), "out");
		char a[32], b[32], c[32], d[32], e[32], f[32], drops[32];

		snprintf(drops, sizeof(drops), "%lld",
			 (long long)sum(json_object_get(in, "drops")));
		ctl_table_row(&table, (const char *[]){ctl_cell(at(ports, i), "id", a),
						       ctl_cell(at(ports, i), "type", b),
						       ctl_cell(in, "frames", c),
						       ctl_cell(out, "frames", d), drops,
						       ctl_cell(in, "extra", e),
						       ctl_cell(at(ports, i), "status", f)});
	}
	ctl_table_print(&table);
}

/* GET path, printed by fn or as JSON. */
static int show(struct ctl *ctl, const char *path, void (*fn)(const json_t *), struct error *err)
{
	json_t *reply;
	int ret = ctl_call(ctl, "GET", path, NULL, &reply, err);

	if (ret)
		return ret;
	if (ctl->json)
		ctl_print_json(reply);
	else
		fn(reply);
	json_decref(reply);
	return 0;
}

static int run_list(struct ctl *ctl, char **args, struct error *err)
{
	return show(ctl, "/api/v1/switch.ports", print_ports, err);
}

/* PUT path {…}, which it takes over. */
static int put(struct ctl *ctl, const char *path, json_t *body, struct error *err)
{
	int ret = ctl_do(ctl, "PUT", path, body, err);

	json_decref(body);
	return ret;
}

static int run_add(struct ctl *ctl, char **args, struct error *err)
{
	return put(ctl, "/api/v1/switch.add-port", json_pack("{s:s}", "options", args[0]), err);
}

static int port_path(char path[128], const char *id, const char *what, struct error *err)
{
	if (!*id || strspn(id, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
			       "0123456789-_.") != strlen(id))
		return error_set(err, -EINVAL, "'%.40s' is no port's name", id);
	snprintf(path, 128, "/api/v1/ports/%.60s/%s", id, what);
	return 0;
}

static int run_remove(struct ctl *ctl, char **args, struct error *err)
{
	char path[128];
	int ret = port_path(path, args[0], "remove", err);

	return ret ? ret : ctl_do(ctl, "PUT", path, NULL, err);
}

static int run_set(struct ctl *ctl, char **args, struct error *err)
{
	char path[128];
	int ret = port_path(path, args[0], "configure", err);

	return ret ? ret : put(ctl, path, json_pack("{s:s}", "options", args[1]), err);
}

static void print_drops(const char *pair, const json_t *drops, struct ctl_table *table)
{
	json_t *all = (json_t *)(uintptr_t)drops, *value;
	const char *cause;
	char buf[32];

	json_object_foreach(all, cause, value)
	{
		snprintf(buf, sizeof(buf), "dropped %s", cause);
		ctl_table_row(table,
			      (const char *[]){pair, buf, ctl_cell(drops, cause, (char[32]){0})});
	}
}

static void print_queues(const json_t *queues)
{
	static const struct {
		const char *side, *member, *text;
	} rows[] = {
		{"in", "frames", "frames in"},	   {"in", "bytes", "bytes in"},
		{"in", "extra", "frames made"},	   {"in", "forwarded", "frames forwarded"},
		{"out", "frames", "frames out"},   {"out", "bytes", "bytes out"},
		{"out", "calls", "notifications"},
	};
	struct ctl_table table = {.ncolumns = 3};

	ctl_table_row(&table, (const char *[]){"QUEUE", "COUNTER", "VALUE"});
	for (size_t i = 0; i < json_array_size(queues); i++) {
		char pair[32], buf[32];
		const json_t *q = at(queues, i);

		ctl_cell(q, "pair", pair);
		for (size_t k = 0; k < sizeof(rows) / sizeof(rows[0]); k++)
			ctl_table_row(&table,
				      (const char *[]){pair, rows[k].text,
						       ctl_cell(json_object_get(q, rows[k].side),
								rows[k].member, buf)});
		print_drops(pair, json_object_get(json_object_get(q, "in"), "drops"), &table);
	}
	ctl_table_print(&table);
}

static int run_queues(struct ctl *ctl, char **args, struct error *err)
{
	char path[128];
	int ret = port_path(path, args[0], "queues", err);

	return ret ? ret : show(ctl, path, print_queues, err);
}

static void print_fdb(const json_t *reply)
{
	const json_t *entries = json_object_get(reply, "entries");
	struct ctl_table table = {.ncolumns = 4};

	ctl_table_row(&table, (const char *[]){"MAC", "VLAN", "PORT", "AGE"});
	for (size_t i = 0; i < json_array_size(entries); i++) {
		const json_t *e = at(entries, i);
		char a[32], b[32], c[32], d[32];

		ctl_table_row(&table,
			      (const char *[]){ctl_cell(e, "mac", a), ctl_cell(e, "vlan", b),
					       ctl_cell(e, "port", c),
					       json_is_true(json_object_get(e, "static"))
						       ? "static"
						       : ctl_cell(e, "age", d)});
	}
	ctl_table_print(&table);
}

static int run_fdb(struct ctl *ctl, char **args, struct error *err)
{
	return show(ctl, "/api/v1/switch.fdb", print_fdb, err);
}

static int run_fdb_flush(struct ctl *ctl, char **args, struct error *err)
{
	return ctl_do(ctl, "PUT", "/api/v1/switch.fdb-flush", NULL, err);
}

static int run_fdb_add(struct ctl *ctl, char **args, struct error *err)
{
	return put(ctl, "/api/v1/switch.fdb-add",
		   json_pack("{s:s, s:s, s:i}", "mac", args[0], "port", args[1], "vlan",
			     args[2] ? atoi(args[2]) : 0),
		   err);
}

static int run_fdb_remove(struct ctl *ctl, char **args, struct error *err)
{
	return put(ctl, "/api/v1/switch.fdb-remove",
		   json_pack("{s:s, s:i}", "mac", args[0], "vlan", args[1] ? atoi(args[1]) : 0),
		   err);
}

static int run_capture(struct ctl *ctl, char **args, struct error *err)
{
	json_t *body;

	if (!strcmp(args[0], "stop"))
		return ctl_do(ctl, "PUT", "/api/v1/switch.capture-stop", NULL, err);
	body = args[1] ? ctl_options(args[1], err) : json_object();
	if (!body)
		return -EINVAL;
	json_object_set_new(body, "file", json_string(args[0]));
	return put(ctl, "/api/v1/switch.capture-start", body, err);
}

const struct ctl_command ctl_switch_commands[] = {
	{"port list", NULL, "a switch's ports and their counters", 0, 0, run_list},
	{"port add", "KEY=VALUE,...", "add a port, as --port does", 1, 1, run_add},
	{"port remove", "ID", "remove a port", 1, 1, run_remove},
	{"port set", "ID KEY=VALUE,...", "replace a port's settings", 2, 2, run_set},
	{"port queues", "ID", "a port's counters by queue and cause of drops", 1, 1, run_queues},
	{"fdb list", NULL, "where addresses are", 0, 0, run_fdb},
	{"fdb add", "MAC PORT [VLAN]", "a static entry", 2, 3, run_fdb_add},
	{"fdb remove", "MAC [VLAN]", "remove an entry", 1, 2, run_fdb_remove},
	{"fdb flush", NULL, "forget what was learnt", 0, 0, run_fdb_flush},
	{"capture", "FILE.pcapng|stop [port=ID,drop=CAUSE|any]",
	 "a switch's frames, or those dropped", 1, 2, run_capture},
	{"top", "[SECONDS]", "a switch's ports, rates, drops and workers, live", 0, 1, ctl_top},
	{NULL},
};
