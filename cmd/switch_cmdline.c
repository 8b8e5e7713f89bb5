/* SPDX-License-Identifier: Apache-2.0 */
/* The options of viaduct-switch, and its usage text. */
#include "switch_cmdline.h"

#include "base/thread.h"

#include <errno.h>
#include <stdio.h>

const struct option_key switch_worker_keys[] = {
	{"cpu", "N", "the CPU it is bound to (default: none)"},
	{NULL},
};

int switch_add_worker(struct sw_options *options, unsigned *nworkers, const char *text,
		      struct error *err)
{
	const struct option_key *const tables[] = {switch_worker_keys, NULL};
	struct options opts;
	uint64_t cpu = 0;
	int ret = options_parse(&opts, text, err);
	const char *value;

	if (!ret)
		ret = options_check(&opts, tables, "--worker", err);
	value = options_get(&opts, "cpu");
	if (!ret && value)
		ret = option_u64("--worker: cpu", value, 0, 4095, &cpu, err);
	if (!ret && value && !thread_cpu_usable((int)cpu))
		ret = error_set(err, -EINVAL, "--worker: cpu=%s: this process may not run on it",
				value);
	if (!ret && *nworkers == SW_WORKERS_MAX)
		ret = error_set(err, -EINVAL, "--worker: there is room for %d", SW_WORKERS_MAX);
	if (!ret) {
		options->cpus[(*nworkers)++] = value ? (int)cpu : THREAD_ANY_CPU;
		options->nworkers = *nworkers;
	}
	options_free(&opts);
	return ret;
}

static int set_port(void *to, const char *value, struct error *err)
{
	struct switch_cmdline *c = to;

	if (c->nports == SW_PORTS_MAX)
		return error_set(err, -EINVAL, "--port: there is room for %d ports", SW_PORTS_MAX);
	c->ports[c->nports++] = (char *)(uintptr_t)value; /* read only */
	return 0;
}

static int set_worker(void *to, const char *value, struct error *err)
{
	struct switch_cmdline *c = to;

	return switch_add_worker(&c->options, &c->nworkers, value, err);
}

static int set_config(void *to, const char *value, struct error *err)
{
	struct switch_cmdline *c = to;

	c->config = value;
	return 0;
}

static int set_api_socket(void *to, const char *value, struct error *err)
{
	struct switch_cmdline *c = to;

	c->api_socket = value;
	return 0;
}

static int set_takeover(void *to, const char *value, struct error *err)
{
	struct switch_cmdline *c = to;

	c->takeover = value;
	return 0;
}

static int set_number(const char *name, const char *value, uint64_t min, uint64_t max,
		      unsigned *out, struct error *err)
{
	uint64_t n;
	int ret = option_u64(name, value, min, max, &n, err);

	if (!ret)
		*out = (unsigned)n;
	return ret;
}

static int set_poll(void *to, const char *value, struct error *err)
{
	struct switch_cmdline *c = to;

	return set_number("--poll-us", value, 0, 1000000, &c->options.poll_us, err);
}

static int set_retry(void *to, const char *value, struct error *err)
{
	struct switch_cmdline *c = to;

	return set_number("--retry-us", value, 0, 100000, &c->options.retry_us, err);
}

static int set_fdb_max(void *to, const char *value, struct error *err)
{
	struct switch_cmdline *c = to;

	return set_number("--fdb-max", value, 16, 16777216, &c->options.fdb_max, err);
}

static int set_fdb_age(void *to, const char *value, struct error *err)
{
	struct switch_cmdline *c = to;

	return set_number("--fdb-age", value, 1, 30000, &c->options.fdb_age_s, err);
}

static int set_rebalance(void *to, const char *value, struct error *err)
{
	struct switch_cmdline *c = to;

	return set_number("--rebalance", value, 0, 100, &c->options.rebalance, err);
}

static int set_log_level(void *to, const char *value, struct error *err)
{
	struct switch_cmdline *c = to;

	return log_level_parse(value, &c->log_level, err);
}

static int set_help(void *to, const char *value, struct error *err)
{
	struct switch_cmdline *c = to;

	c->what = SWITCH_HELP;
	return 0;
}

static int set_version(void *to, const char *value, struct error *err)
{
	struct switch_cmdline *c = to;

	c->what = SWITCH_VERSION;
	return 0;
}

const struct arg_option switch_options[] = {
	{"config", "FILE", "a JSON file with what the options below say", set_config},
	{"port", "KEY=VALUE,...", "a port, see below; repeatable", set_port},
	{"worker", "cpu=N",
	 "a thread that moves frames, bound to CPU N; repeatable (one, on any CPU)", set_worker,
	 .alone = true},
	{"poll-us", "N", "how long a worker without work polls before it sleeps (50)", set_poll},
	{"retry-us", "N",
	 "how long frames wait in their sender's queue when the receiver has no buffers (100)",
	 set_retry},
	{"fdb-max", "N", "addresses that can be learnt (131072)", set_fdb_max},
	{"fdb-age", "SECONDS", "when an address that is not seen is forgotten (300)", set_fdb_age},
	{"rebalance", "PERCENT",
	 "move queues between workers whose loads are further apart than this; 0: never (25)",
	 set_rebalance},
	{"api-socket", "PATH", "where viaductctl and other clients reach this switch (nowhere)",
	 set_api_socket},
	{"takeover", "PATH",
	 "take the place of the switch that runs with this option, under its guests; and give way "
	 "to the next one that is started so (nowhere)",
	 set_takeover},
	{"log-level", "LEVEL", "error, warn, info or debug (warn)", set_log_level},
	{"help", NULL, "this text", set_help},
	{"version", NULL, "the version", set_version},
	{0},
};

int switch_cmdline_parse(struct switch_cmdline *c, int argc, char **argv, struct error *err)
{
	*c = (struct switch_cmdline){.log_level = LOG_LEVEL_WARN};
	sw_options_init(&c->options);
	return args_parse(switch_options, c, argc, argv, err);
}

void switch_help(void)
{
	char head[128];

	printf("usage: viaduct-switch [OPTION...]\n"
	       "Switches Ethernet frames between guests and the host. docs/viaduct-switch.1 has "
	       "the whole story.\n\n");
	args_help(switch_options);
	args_keys("--worker", "keys", switch_worker_keys);
	args_keys("--port", "keys of every port", sw_port_keys);
	for (const struct port_ops *const *ops = port_table; *ops; ops++) {
		snprintf(head, sizeof(head), "--port type=%s", (*ops)->name);
		args_keys(head, (*ops)->help, (*ops)->keys);
	}
	printf("\nExit status: 0 it was told to end, 2 bad command line or configuration, 3 this "
	       "host cannot do\nit, 1 anything else.\n");
}
