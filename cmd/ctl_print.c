/* SPDX-License-Identifier: Apache-2.0 */
/* What viaductctl's commands share: requests, options, tables. */
#include "ctl.h"

#include "base/options.h"
#include "control/client.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

int ctl_call(struct ctl *ctl, const char *method, const char *path, const json_t *body,
	     json_t **reply, struct error *err)
{
	json_t *unused;
	int ret;

	ctl->asked = true;
	ret = control_client_call(ctl->socket, method, path, body, CTL_TIMEOUT_S,
				  reply ? reply : &unused, err);

	if (!reply)
		json_decref(unused);
	return ret;
}

int ctl_do(struct ctl *ctl, const char *method, const char *path, const json_t *body,
	   struct error *err)
{
	json_t *reply = NULL;
	int ret = ctl_call(ctl, method, path, body, &reply, err);

	if (ctl->json && reply)
		ctl_print_json(reply);
	json_decref(reply);
	return ret;
}

void ctl_print_json(const json_t *json)
{
	json_dumpf(json, stdout, JSON_INDENT(2) | JSON_ENCODE_ANY | JSON_REAL_PRECISION(16));
	putchar('\n');
}

static void add_option(json_t *object, const char *key, const char *value)
{
	json_t *before = json_object_get(object, key);

	if (!before) {
		json_object_set_new(object, key, json_string(value));
	} else if (json_is_array(before)) {
		json_array_append_new(before, json_string(value));
	} else {
		json_t *both = json_array();

		json_array_append(both, before);
		json_array_append_new(both, json_string(value));
		json_object_set_new(object, key, both);
	}
}

json_t *ctl_options(const char *text, struct error *err)
{
	struct options opts;
	json_t *object = NULL;

	if (!options_parse(&opts, text, err)) {
		object = json_object();
		for (unsigned i = 0; i < opts.count; i++)
			add_option(object, opts.entries[i].key, opts.entries[i].value);
	}
	options_free(&opts);
	return object;
}

int ctl_path(char path[128], const char *id, const char *what, struct error *err)
{
	size_t len = strlen(id);

	for (size_t i = 0; i < len; i++)
		if (!isalnum((unsigned char)id[i]) && !strchr("_.-", id[i]))
			len = 0;
	if (!len || len > 63)
		return error_set(err, -EINVAL, "'%.80s': is not the name of a NIC", id);
	snprintf(path, 128, "/api/v1/net/%s%s%s", id, *what ? "/" : "", what);
	return 0;
}

void ctl_table_row(struct ctl_table *table, const char *const *cells)
{
	size_t n = (size_t)table->nrows * table->ncolumns;
	char **all = realloc(table->cells, (n + table->ncolumns) * sizeof(*all));

	if (!all) {
		table->failed = true;
		return;
	}
	table->cells = all;
	for (unsigned i = 0; i < table->ncolumns; i++) {
		all[n + i] = strdup(cells[i] && *cells[i] ? cells[i] : "-");
		table->failed |= !all[n + i];
	}
	table->nrows++;
}

static bool is_number(const char *cell)
{
	return isdigit((unsigned char)*cell) && strspn(cell, "0123456789.") == strlen(cell);
}

static void print_cell(const char *cell, unsigned width, bool last)
{
	if (is_number(cell))
		printf("%*s", (int)width, cell);
	else if (last)
		printf("%s", cell);
	else
		printf("%-*s", (int)width, cell);
	fputs(last ? "\n" : "  ", stdout);
}

void ctl_table_print(struct ctl_table *table)
{
	unsigned width[CTL_COLUMNS] = {0}, n = table->ncolumns;

	for (unsigned i = 0; i < table->nrows * n && !table->failed; i++)
		width[i % n] = MAX(width[i % n], (unsigned)strlen(table->cells[i]));
	for (unsigned i = 0; i < table->nrows * n; i++) {
		if (!table->failed)
			print_cell(table->cells[i], width[i % n], i % n == n - 1);
		free(table->cells[i]);
	}
	free(table->cells);
	*table = (struct ctl_table){0};
}

const char *ctl_cell(const json_t *object, const char *member, char buf[32])
{
	const json_t *value = json_object_get(object, member);

	buf[0] = '\0';
	if (json_is_string(value))
		return json_string_value(value);
	if (json_is_integer(value))
		snprintf(buf, 32, "%lld", (long long)json_integer_value(value));
	else if (json_is_boolean(value))
		snprintf(buf, 32, "%s", json_is_true(value) ? "yes" : "no");
	return buf;
}

const char *ctl_amount(double value, const char *unit, char buf[32])
{
	static const char *const prefixes[] = {"", "k", "M", "G", "T"};
	unsigned i = 0;

	while (value >= 1000 && i < ARRAY_SIZE(prefixes) - 1) {
		value /= 1000;
		i++;
	}
	snprintf(buf, 32, "%.*f %s%s", i || value != (double)(int)value ? 1 : 0, value, prefixes[i],
		 unit);
	return buf;
}
