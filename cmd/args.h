/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CMD_ARGS_H
#define CMD_ARGS_H

#include "base/options.h"

/* Command lines of --NAME VALUE, and their usage text: what the programs have in common. */
struct arg_option {
	const char *name;
	const char *value; /* NULL: takes none */
	const char *help;
	int (*set)(void *to, const char *value, struct error *err);
	bool alone; /* the value may be left out */
};

/**
 * Parses --NAME VALUE or --NAME=VALUE, names in full: an abbreviation that works today would be
 * ambiguous with the next option, which is why this is not getopt_long(). options ends with name
 * NULL. 0, or -EINVAL with err set.
 */
int args_parse(const struct arg_option *options, void *to, int argc, char **argv,
	       struct error *err);

/** Prints "  head   help", the help wrapped and indented. */
void args_entry(const char *head, const char *text);

/** Prints a table of keys under a title. about and key may be NULL. */
void args_keys(const char *title, const char *about, const struct option_key *key);

/** Prints the options. */
void args_help(const struct arg_option *options);

#endif
