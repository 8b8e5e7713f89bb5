/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CMD_CTL_H
#define CMD_CTL_H

#include "base/error.h"

#include <jansson.h>

/*
 * viaductctl's parts. A group of commands is a table in a file of its own, and one line in
 * ctl_tables[] (viaductctl.c).
 */
#define CTL_TIMEOUT_S 60

struct ctl {
	const char *socket;
	bool json;  /* print what the program answered, not a table */
	bool asked; /* a request was made */
};

struct ctl_command {
	const char *name; /* one or two words: "info", "net list" */
	const char *args; /* "ID up|down"; NULL: none */
	const char *help; /* one line */
	int min, max;	  /* arguments; max -1: any number */
	/** 0, or negative errno with err set; -EINVAL before anything was sent is a usage error. */
	int (*run)(struct ctl *ctl, char **args, struct error *err);
	bool local; /* asks no running program: needs no socket */
};

/** End with name NULL. */
extern const struct ctl_command ctl_vm_commands[];
extern const struct ctl_command ctl_net_commands[];
extern const struct ctl_command ctl_disk_commands[];
extern const struct ctl_command ctl_sriov_commands[];
extern const struct ctl_command ctl_switch_commands[];

/** A live view of the switch, until it is interrupted; args[0]: seconds between two looks. */
int ctl_top(struct ctl *ctl, char **args, struct error *err);

int ctl_net_explain(struct ctl *ctl, char **args, struct error *err);

/** One request. *reply is a new reference, or NULL; reply may be NULL. */
int ctl_call(struct ctl *ctl, const char *method, const char *path, const json_t *body,
	     json_t **reply, struct error *err);

/** For a request whose answer is of no interest. */
int ctl_do(struct ctl *ctl, const char *method, const char *path, const json_t *body,
	   struct error *err);

/** Prints JSON, indented. */
void ctl_print_json(const json_t *json);

/** "KEY=VALUE,…" as an object of strings, a key given twice as an array. NULL with err set. */
json_t *ctl_options(const char *text, struct error *err);

/** "/api/v1/net/ID/what" into path; -EINVAL with err set if it is no name. what may be "". */
int ctl_path(char path[128], const char *id, const char *what, struct error *err);

/*
 * Tables: columns as wide as what is in them, numbers to the right. A cell that has no value is
 * "-".
 */
#define CTL_COLUMNS 12
struct ctl_table {
	unsigned ncolumns, nrows;
	char **cells;
	bool failed; /* no memory: nothing is printed */
};
/** Adds a row (the first one is the heading) of ncolumns strings. */
void ctl_table_row(struct ctl_table *table, const char *const *cells);
/** Prints it and frees it. */
void ctl_table_print(struct ctl_table *table);

/** Members of a reply, for cells: a string in buf where it is no string already; never NULL. */
const char *ctl_cell(const json_t *object, const char *member, char buf[32]);

/** A number as people read it: "12.3k", with the unit behind. */
const char *ctl_amount(double value, const char *unit, char buf[32]);

#endif
