/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CMD_CMDLINE_H
#define CMD_CMDLINE_H

#include "args.h"
#include "base/log.h"
#include "vmm/machine.h"

#define CMDLINE_NETS_MAX 31 /* slots of the PCI bus, less the host bridge */

/** What the command line says. */
struct cmdline {
	enum { CMDLINE_RUN, CMDLINE_HELP, CMDLINE_VERSION } what;
	struct machine_config config;
	const char *nets[CMDLINE_NETS_MAX];
	const char *devices[CMDLINE_NETS_MAX];
	const char *api_socket; /* NULL: none */
	const char *disks[MACHINE_DISKS_MAX];
	enum log_level log_level;
};

/** Parses argv; strings stay in it. 0 or -EINVAL with err set. */
int cmdline_parse(struct cmdline *cmdline, int argc, char **argv, struct error *err);

/** The whole usage text, from the tables of options, NIC models, back-ends and planes. */
void cmdline_help(void);

extern const struct arg_option cmdline_options[]; /* ends with name NULL */

#endif
