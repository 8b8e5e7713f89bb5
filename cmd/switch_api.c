/* SPDX-License-Identifier: Apache-2.0 */
/* The control socket of viaduct-switch: ports, workers, capture. */
#include "switch_api.h"

#include "switch/capture.h"
#include "switch/counters.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

struct switch_api {
	struct control *control;
};

static json_t *number(uint64_t n)
{
	return json_integer((json_int_t)n);
}

static int find(struct sw *sw, const char *id, struct sw_port **port, struct error *err)
{
	*port = sw_find_port(sw, id);
	return *port ? 0 : error_set(err, -ENOENT, "there is no port %.40s", id);
}

static json_t *in_json(const struct sw_in_counters *c)
{
	json_t *drops = json_object();

	for (unsigned i = 0; i < SW_DROP_COUNT; i++)
		if (c->drops[i])
			json_object_set_new(drops, sw_drop_name(i), number(c->drops[i]));
	return json_pack("{s:o, s:o, s:o, s:o, s:o}", "frames", number(c->frames), "bytes",
			 number(c->bytes), "extra", number(c->extra), "forwarded",
			 number(c->forwarded), "drops", drops);
}

static json_t *out_json(const struct sw_out_counters *c)
{
	return json_pack("{s:o, s:o, s:o}", "frames", number(c->frames), "bytes", number(c->bytes),
			 "calls", number(c->calls));
}

static json_t *port_json(struct sw_port *port)
{
	struct sw_in_counters in;
	struct sw_out_counters out;
	char status[256] = "";

	if (port->ops->status)
		port->ops->status(port, status, sizeof(status));
	sw_port_totals(port, &in, &out);
	return json_pack("{s:s, s:s, s:i, s:s, s:s, s:o, s:o}", "id", port->id, "type",
			 port->ops->name, "index", (int)port->index, "status", status, "options",
			 port->options, "in", in_json(&in), "out", out_json(&out));
}

static int switch_ping(void *opaque, const struct control_request *request, json_t **reply,
		       struct error *err)
{
	*reply = json_pack("{s:s, s:s, s:I}", "build_version", "viaduct-switch " VIADUCT_VERSION,
			   "version", VIADUCT_VERSION, "pid", (json_int_t)getpid());
	return 0;
}

static int list_ports(void *opaque, const struct control_request *request, json_t **reply,
		      struct error *err)
{
	*reply = json_array();
	for (unsigned i = 0; i < SW_PORTS_MAX; i++)
		if (sw_port_at(opaque, i))
			json_array_append_new(*reply, port_json(sw_port_at(opaque, i)));
	return 0;
}

static int add_port(void *opaque, const struct control_request *request, json_t **reply,
		    struct error *err)
{
	struct sw_port *port;
	const char *options;
	int ret = control_unpack(request, err, "{s:s !}", "options", &options);

	if (!ret)
		ret = sw_add_port(opaque, options, &port, err);
	if (!ret)
		*reply = port_json(port);
	return ret;
}

static int remove_port(void *opaque, const struct control_request *request, json_t **reply,
		       struct error *err)
{
	struct sw_port *port;
	int ret = find(opaque, request->id, &port, err);

	if (!ret)
		sw_remove_port(port);
	return ret;
}

/* Settings that are not named are as if the port were made anew. */
static int configure_port(void *opaque, const struct control_request *request, json_t **reply,
			  struct error *err)
{
	const struct option_key *const tables[] = {sw_port_keys, NULL};
	struct sw_port_config config = {0};
	struct options opts = {0};
	struct sw_port *port;
	const char *text;
	int ret = find(opaque, request->id, &port, err);

	if (!ret)
		ret = control_unpack(request, err, "{s:s !}", "options", &text);
	if (ret)
		return ret;
	ret = options_parse(&opts, text, err);
	if (!ret)
		ret = options_check(&opts, tables, port->id, err);
	if (!ret && (options_get(&opts, "id") || options_get(&opts, "type")))
		ret = error_set(err, -EINVAL, "%s: id and type cannot be changed", port->id);
	if (!ret)
		ret = sw_port_config_parse(&config, &opts, err);
	if (!ret)
		ret = sw_configure_port(port, &config, err);
	options_free(&opts);
	return ret;
}

static int port_queues(void *opaque, const struct control_request *request, json_t **reply,
		       struct error *err)
{
	struct sw_port *port;
	int ret = find(opaque, request->id, &port, err);

	if (ret)
		return ret;
	*reply = json_array();
	for (unsigned p = 0; p < port->pairs; p++) {
		struct sw_in_counters in;
		struct sw_out_counters out;

		sw_in_read(port->in[p], &in);
		sw_out_read(port->out[p], &out);
		json_array_append_new(*reply,
				      json_pack("{s:i, s:b, s:b, s:i, s:o, s:o}", "pair", (int)p,
						"in_started", (int)port->in[p]->started,
						"out_started", (int)port->out[p]->started, "worker",
						(int)port->in[p]->worker, "in", in_json(&in), "out",
						out_json(&out)));
	}
	return 0;
}

static int list_workers(void *opaque, const struct control_request *request, json_t **reply,
			struct error *err)
{
	*reply = json_array();
	for (unsigned i = 0; i < sw_workers(opaque); i++) {
		json_t *loop = json_array();
		struct sw_worker_stats s;

		sw_worker_read(sw_worker_at(opaque, i), &s);
		for (unsigned b = 0; b < LOOP_BUCKETS; b++)
			json_array_append_new(loop, number(s.loop[b]));
		json_array_append_new(
			*reply,
			json_pack("{s:i, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o}",
				  "worker", (int)i, "load_percent", number(s.load_percent),
				  "queues", number(s.queues), "moved", number(s.moved),
				  "busy_cycles", number(s.busy_cycles), "idle_cycles",
				  number(s.idle_cycles), "steps", number(s.steps), "busy_steps",
				  number(s.busy_steps), "sleeps", number(s.sleeps), "frames",
				  number(s.frames), "cycles_per_us", number(sw_cycles_per_us()),
				  "loop_cycles_log2", loop));
	}
	return 0;
}

static int start_capture(void *opaque, const struct control_request *request, json_t **reply,
			 struct error *err)
{
	struct sw_capture_options options = {0};
	int ret = control_unpack(request, err, "{s:s, s?:s, s?:s !}", "file", &options.path, "port",
				 &options.port, "drop", &options.drop);

	return ret ? ret : sw_capture_start(opaque, &options, err);
}

static int stop_capture(void *opaque, const struct control_request *request, json_t **reply,
			struct error *err)
{
	uint64_t packets, lost;
	int ret = sw_capture_stop(opaque, &packets, &lost, err);

	if (!ret)
		*reply = json_pack("{s:o, s:o}", "packets", number(packets), "lost", number(lost));
	return ret;
}

const struct control_command switch_port_commands[] = {
	{"GET", "/api/v1/switch.ping", switch_ping},
	{"GET", "/api/v1/switch.ports", list_ports},
	{"PUT", "/api/v1/switch.add-port", add_port},
	{"GET", "/api/v1/ports/{id}/queues", port_queues},
	{"PUT", "/api/v1/ports/{id}/remove", remove_port},
	{"PUT", "/api/v1/ports/{id}/configure", configure_port},
	{"GET", "/api/v1/switch.workers", list_workers},
	{"PUT", "/api/v1/switch.capture-start", start_capture},
	{"PUT", "/api/v1/switch.capture-stop", stop_capture},
	{NULL},
};

static const struct control_command *const tables[] = {switch_port_commands, switch_fdb_commands};

static int register_commands(struct switch_api *api, struct sw *sw)
{
	int ret = 0;

	for (unsigned i = 0; i < ARRAY_SIZE(tables) && !ret; i++)
		ret = control_register(api->control, tables[i], sw);
	return ret;
}

int switch_api_open(const char *path, struct loop *loop, struct sw *sw, struct switch_api **out,
		    struct error *err)
{
	struct switch_api *api = calloc(1, sizeof(*api));
	int ret;

	if (!api)
		return error_set(err, -ENOMEM, "control socket: out of memory");
	ret = control_open(path, loop, &api->control, err);
	if (ret) {
		free(api);
		return ret;
	}
	ret = register_commands(api, sw);
	if (!ret)
		ret = control_metric(api->control, switch_metrics, sw);
	if (ret) {
		switch_api_close(api);
		return error_set(err, ret, "control socket: out of memory");
	}
	*out = api;
	return 0;
}

void switch_api_close(struct switch_api *api)
{
	if (!api)
		return;
	control_close(api->control);
	free(api);
}
