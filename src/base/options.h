/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BASE_OPTIONS_H
#define BASE_OPTIONS_H

#include "base/error.h"

/*
 * KEY=VALUE,KEY=VALUE lists: the form of --net, --disk, --port and of the control socket's
 * set-backend. A module states its keys in a table; the usage text, the man page's list and the
 * message for an unknown key come from that table. A comma inside a value is written twice.
 */
struct option_key {
	const char *name;  /* "ifname" */
	const char *value; /* what the value looks like: "NAME", "on|off" */
	const char *help;  /* one line */
	bool repeat;	   /* may be given more than once */
};

struct option_entry {
	char *key;
	char *value;
};

struct options {
	struct option_entry *entries;
	unsigned count;
};

/** A null-terminated (name == NULL) table of keys, several of which together are legal. */
#define OPTION_TABLES_MAX 8

/**
 * Splits text into entries; *opts is initialised and must be freed with options_free() also after
 * an error. text may be NULL or "". A key without '=' or with no name, or given twice although its
 * table does not say repeat (checked in options_check), is an error.
 */
int options_parse(struct options *opts, const char *text, struct error *err);
void options_free(struct options *opts);

/** The value of key, or NULL when it was not given. The string belongs to opts. */
const char *options_get(const struct options *opts, const char *key);

/** The nth (from 0) value of a key that may repeat, or NULL. */
const char *options_get_nth(const struct options *opts, const char *key, unsigned n);

/** Sets key to a copy of value, replacing a first value or adding one. Returns 0 or -ENOMEM. */
int options_set(struct options *opts, const char *key, const char *value);

/**
 * Checks that every key is in one of the tables (each ends with name == NULL; tables ends with
 * NULL). what names the object in messages ("--net net0"). The message for an unknown key names
 * the nearest known one.
 */
int options_check(const struct options *opts, const struct option_key *const *tables,
		  const char *what, struct error *err);

/* Values. Each leaves *out alone when it fails and says in err what was wrong with which key. */
int option_bool(const char *key, const char *text, bool *out, struct error *err);
int option_u64(const char *key, const char *text, uint64_t min, uint64_t max, uint64_t *out,
	       struct error *err);
/** A size in bytes with K, M, G or T (powers of 1024), and none meaning MiB when mib is set. */
int option_size(const char *key, const char *text, bool mib, uint64_t *out, struct error *err);
/** A unicast, non-zero MAC address as aa:bb:cc:dd:ee:ff. */
int option_mac(const char *key, const char *text, uint8_t out[6], struct error *err);

/** The element of names (NULL-terminated) that is nearest to text, or NULL if none is near. */
const char *option_nearest(const char *text, const char *const *names);

#endif
