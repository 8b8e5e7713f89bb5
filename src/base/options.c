/* SPDX-License-Identifier: Apache-2.0 */
#include "base/options.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#define OPTION_NAME_MAX 64 /* longer ones have no near name */

/* Takes one entry from *text up to a single comma; ",," stands for a comma. *text moves past it. */
static char *option_cut(const char **text)
{
	char *out = malloc(strlen(*text) + 1);
	const char *p = *text;
	size_t n = 0;

	if (!out)
		return NULL;
	for (; *p; p++) {
		if (*p == ',') {
			if (p[1] != ',')
				break;
			p++;
		}
		out[n++] = *p;
	}
	out[n] = '\0';
	*text = *p ? p + 1 : p;
	return out;
}

static int options_append(struct options *opts, char *key, char *value)
{
	struct option_entry *more;

	more = realloc(opts->entries, (opts->count + 1) * sizeof(*more));
	if (!more)
		return -ENOMEM;
	more[opts->count++] = (struct option_entry){.key = key, .value = value};
	opts->entries = more;
	return 0;
}

static int options_parse_one(struct options *opts, char *entry, struct error *err)
{
	char *eq = strchr(entry, '=');
	char *value;

	if (!eq)
		return error_set(err, -EINVAL, "'%s' has no value: write KEY=VALUE", entry);
	if (eq == entry)
		return error_set(err, -EINVAL, "'%s' has no name: write KEY=VALUE", entry);
	value = strdup(eq + 1);
	if (!value || options_append(opts, entry, value) < 0) {
		free(value);
		return error_set(err, -ENOMEM, "options: out of memory");
	}
	*eq = '\0';
	return 0;
}

int options_parse(struct options *opts, const char *text, struct error *err)
{
	*opts = (struct options){0};
	/* The entry belongs to opts from options_append on. */
	while (text && *text) { // NOLINT(clang-analyzer-unix.Malloc)
		char *entry = option_cut(&text);
		int rc;

		if (!entry)
			return error_set(err, -ENOMEM, "options: out of memory");
		rc = options_parse_one(opts, entry, err);
		if (rc < 0) {
			free(entry);
			return rc;
		}
	}
	return 0;
}

void options_free(struct options *opts)
{
	for (unsigned i = 0; i < opts->count; i++) {
		free(opts->entries[i].key);
		free(opts->entries[i].value);
	}
	free(opts->entries);
	*opts = (struct options){0};
}

const char *options_get_nth(const struct options *opts, const char *key, unsigned n)
{
	for (unsigned i = 0; i < opts->count; i++) {
		if (!strcmp(opts->entries[i].key, key) && n-- == 0)
			return opts->entries[i].value;
	}
	return NULL;
}

const char *options_get(const struct options *opts, const char *key)
{
	return options_get_nth(opts, key, 0);
}

int options_set(struct options *opts, const char *key, const char *value)
{
	char *new_value = strdup(value);
	char *new_key;

	if (!new_value)
		return -ENOMEM;
	for (unsigned i = 0; i < opts->count; i++) {
		if (!strcmp(opts->entries[i].key, key)) {
			free(opts->entries[i].value);
			opts->entries[i].value = new_value;
			return 0;
		}
	}
	new_key = strdup(key);
	if (!new_key || options_append(opts, new_key, new_value) < 0) {
		free(new_key);
		free(new_value);
		return -ENOMEM;
	}
	return 0;
}

/*
 * Edit distance: insertions, deletions, replacements, and two neighbours swapped count one each.
 * Three rows of the usual table are enough. Both strings are shorter than OPTION_NAME_MAX.
 */
static unsigned option_distance(const char *a, const char *b)
{
	unsigned rows[3][OPTION_NAME_MAX + 1];
	unsigned *before = rows[0], *last = rows[1], *row = rows[2];
	size_t la = strlen(a), lb = strlen(b);

	for (unsigned j = 0; j <= lb; j++)
		last[j] = j;
	for (unsigned i = 1; i <= la; i++) {
		unsigned *spare = before;

		row[0] = i;
		for (unsigned j = 1; j <= lb; j++) {
			unsigned best = last[j - 1] + (a[i - 1] != b[j - 1]);

			best = MIN(best, last[j] + 1);
			best = MIN(best, row[j - 1] + 1);
			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
				best = MIN(best, before[j - 2] + 1);
			row[j] = best;
		}
		before = last;
		last = row;
		row = spare;
	}
	return last[lb];
}

/* How far name is from text, for choosing the nearest; UINT_MAX when it is not near at all. */
static unsigned option_farness(const char *text, const char *name)
{
	size_t lt = strlen(text), ln = strlen(name);
	unsigned distance;

	if (lt == 0 || lt >= OPTION_NAME_MAX || ln >= OPTION_NAME_MAX)
		return UINT32_MAX;
	distance = option_distance(text, name);
	if (distance <= MAX(lt, ln) / 3 || (distance == 1 && MAX(lt, ln) > 1))
		return distance;
	/* "if" for "ifname", "queues-size" for "queues": one begins with the other. */
	if (MIN(lt, ln) >= 2 && !strncmp(text, name, MIN(lt, ln)))
		return OPTION_NAME_MAX + distance;
	return UINT32_MAX;
}

static void option_consider(const char *text, const char *name, const char **best, unsigned *least)
{
	unsigned far = option_farness(text, name);

	if (far < *least) {
		*least = far;
		*best = name;
	}
}

const char *option_nearest(const char *text, const char *const *names)
{
	unsigned least = UINT32_MAX;
	const char *best = NULL;

	for (; *names; names++)
		option_consider(text, *names, &best, &least);
	return best;
}

static const struct option_key *option_find(const struct option_key *const *tables, const char *key)
{
	for (; *tables; tables++) {
		for (const struct option_key *k = *tables; k->name; k++) {
			if (!strcmp(k->name, key))
				return k;
		}
	}
	return NULL;
}

static int option_unknown(const struct option_key *const *tables, const char *what, const char *key,
			  struct error *err)
{
	const struct option_key *const *table;
	unsigned least = UINT32_MAX;
	const char *best = NULL;
	char list[256] = "";

	for (table = tables; *table; table++) {
		for (const struct option_key *k = *table; k->name; k++) {
			size_t n = strlen(list);

			option_consider(key, k->name, &best, &least);
			snprintf(list + n, sizeof(list) - n, "%s%s", n ? ", " : "", k->name);
		}
	}
	if (best)
		return error_set(err, -EINVAL, "%s: unknown key '%s': did you mean '%s'?", what,
				 key, best);
	return error_set(err, -EINVAL, "%s: unknown key '%s': the keys are %s", what, key, list);
}

int options_check(const struct options *opts, const struct option_key *const *tables,
		  const char *what, struct error *err)
{
	for (unsigned i = 0; i < opts->count; i++) {
		const char *key = opts->entries[i].key;
		const struct option_key *known = option_find(tables, key);

		if (!known)
			return option_unknown(tables, what, key, err);
		if (!known->repeat && options_get_nth(opts, key, 1))
			return error_set(err, -EINVAL, "%s: %s= is given twice: give it once", what,
					 key);
	}
	return 0;
}

int option_bool(const char *key, const char *text, bool *out, struct error *err)
{
	if (!strcmp(text, "on"))
		*out = true;
	else if (!strcmp(text, "off"))
		*out = false;
	else
		return error_set(err, -EINVAL, "%s=%s: use on or off", key, text);
	return 0;
}

/* Decimal or 0x… digits at *text, moved past them. Signs and blanks are refused. */
static int option_digits(const char **text, uint64_t *out)
{
	char *end;

	if (!isdigit((unsigned char)**text))
		return -EINVAL;
	errno = 0;
	*out = strtoull(*text, &end, (*text)[0] == '0' && ((*text)[1] | 0x20) == 'x' ? 16 : 10);
	*text = end;
	return errno ? -ERANGE : 0;
}

int option_u64(const char *key, const char *text, uint64_t min, uint64_t max, uint64_t *out,
	       struct error *err)
{
	const char *p = text;
	uint64_t value = 0;
	int rc = option_digits(&p, &value);

	if (rc == -EINVAL || (rc == 0 && *p))
		return error_set(err, -EINVAL, "%s=%s: not a number: use %llu to %llu", key, text,
				 (unsigned long long)min, (unsigned long long)max);
	if (rc < 0 || value < min || value > max)
		return error_set(err, -ERANGE, "%s=%s: out of range: use %llu to %llu", key, text,
				 (unsigned long long)min, (unsigned long long)max);
	*out = value;
	return 0;
}

int option_size(const char *key, const char *text, bool mib, uint64_t *out, struct error *err)
{
	static const char units[] = "kmgt";
	const char *p = text;
	uint64_t value = 0;
	unsigned shift = 0;
	int rc = option_digits(&p, &value);

	if (rc == 0) {
		const char *unit = *p ? strchr(units, tolower((unsigned char)*p)) : NULL;

		if (unit) {
			shift = 10 * (unsigned)(unit - units + 1);
			p++;
		} else if (mib) {
			shift = 20;
		}
	}
	if (rc == -EINVAL || *p)
		return error_set(err, -EINVAL,
				 "%s=%s: not a size: use a number followed by K, M, G or T%s", key,
				 text, mib ? " (none: M)" : "");
	if (rc < 0 || value > UINT64_MAX >> shift)
		return error_set(err, -ERANGE, "%s=%s: too large: sizes are below 16E", key, text);
	*out = value << shift;
	return 0;
}

int option_mac(const char *key, const char *text, uint8_t out[6], struct error *err)
{
	static const uint8_t zero[6];
	uint8_t mac[6];
	bool ok = strlen(text) == 17;

	for (unsigned i = 0; ok && i < 6; i++) {
		char pair[3] = {text[3 * i], text[3 * i + 1], '\0'};

		ok = isxdigit((unsigned char)pair[0]) && isxdigit((unsigned char)pair[1]) &&
		     text[3 * i + 2] == (i < 5 ? ':' : '\0');
		mac[i] = ok ? (uint8_t)strtoul(pair, NULL, 16) : 0;
	}
	if (!ok)
		return error_set(err, -EINVAL,
				 "%s=%s: not a MAC address: write it as 52:54:00:12:34:56", key,
				 text);
	if (mac[0] & 1)
		return error_set(err, -EINVAL,
				 "%s=%s: a multicast address: the first byte must be even", key,
				 text);
	if (!memcmp(mac, zero, 6))
		return error_set(err, -EINVAL, "%s=%s: the zero address: give another", key, text);
	memcpy(out, mac, 6);
	return 0;
}
