/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CMD_SWITCH_CMDLINE_H
#define CMD_SWITCH_CMDLINE_H

#include "args.h"
#include "base/log.h"
#include "switch/switch.h"

/** What viaduct-switch's command line says. Strings stay in argv. */
struct switch_cmdline {
	enum { SWITCH_RUN, SWITCH_HELP, SWITCH_VERSION } what;
	struct sw_options options;
	const char *config;
	const char *api_socket;
	const char *takeover;
	char *ports[SW_PORTS_MAX];
	unsigned nports, nworkers;
	enum log_level log_level;
};

/** 0, or -EINVAL with err set. */
int switch_cmdline_parse(struct switch_cmdline *cmdline, int argc, char **argv, struct error *err);

/** Takes a --worker's KEY=VALUE,… */
int switch_add_worker(struct sw_options *options, unsigned *nworkers, const char *text,
		      struct error *err);

/** The usage text, from the tables. */
void switch_help(void);

extern const struct arg_option switch_options[]; /* ends with name NULL */
extern const struct option_key switch_worker_keys[];

#endif
