/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CMD_SWITCH_API_H
#define CMD_SWITCH_API_H

#include "control/control.h"
#include "switch/switch.h"

/* The switch's control socket: what viaduct-switch registers with src/control/. */
struct switch_api;

/** Opens the socket at path. */
int switch_api_open(const char *path, struct loop *loop, struct sw *sw, struct switch_api **out,
		    struct error *err);
/** NULL is allowed. */
void switch_api_close(struct switch_api *api);

/* Tables of commands, each of which gets the struct sw as opaque; they end with method NULL. */
extern const struct control_command switch_port_commands[];
extern const struct control_command switch_fdb_commands[];

/** Everything that is counted, for /metrics; opaque is the struct sw. */
void switch_metrics(void *opaque, struct control_metrics *out);

/**
 * Reads a configuration file, {"workers": [{"cpu": 0}], "ports": [{"type": "tap", …}], …}, into
 * options and ports, an array of "KEY=VALUE,…" strings that the caller frees.
 */
struct switch_config {
	char **ports;
	unsigned nports;
	unsigned nworkers;
	char *api_socket;
	char *takeover;
};
int switch_config_read(const char *path, struct sw_options *options, struct switch_config *config,
		       struct error *err);
/** The same from text, which is called name in messages. */
int switch_config_parse(const char *name, const char *text, size_t len, struct sw_options *options,
			struct switch_config *config, struct error *err);
void switch_config_free(struct switch_config *config);

#endif
