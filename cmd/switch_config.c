/* SPDX-License-Identifier: Apache-2.0 */
/* The configuration file of viaduct-switch: JSON whose members are the command line's options. */
#include "switch_api.h"
#include "switch_cmdline.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#define FILE_MAX (1024 * 1024)

/* {"key": value, …} as "key=value,…": strings, numbers, and true and false as on and off. */
static char *as_options(const json_t *object)
{
	json_t *all = (json_t *)(uintptr_t)object, *value; /* the iterator changes nothing */
	size_t size = 0;
	char *text = NULL;
	const char *key;
	FILE *out = open_memstream(&text, &size);
	const char *comma = "";
	bool good = out;

	if (!out)
		return NULL;
	json_object_foreach(all, key, value)
	{
		fprintf(out, "%s%s=", comma, key);
		comma = ",";
		if (json_is_boolean(value))
			fputs(json_is_true(value) ? "on" : "off", out);
		else if (json_is_integer(value))
			fprintf(out, "%lld", (long long)json_integer_value(value));
		else if (json_is_string(value))
			for (const char *c = json_string_value(value); *c; c++)
				fputs(*c == ',' ? ",," : (char[]){*c, '\0'}, out);
		else
			good = false;
	}
	if (fclose(out) || !good) {
		free(text);
		return NULL;
	}
	return text;
}

static int take_numbers(const json_t *root, struct sw_options *options, struct error *err)
{
	const struct {
		const char *name;
		unsigned *to;
		json_int_t min, max;
	} numbers[] = {
		{"poll-us", &options->poll_us, 0, 1000000},
		{"retry-us", &options->retry_us, 0, 100000},
		{"fdb-max", &options->fdb_max, 16, 16777216},
		{"fdb-age", &options->fdb_age_s, 1, 30000},
		{"rebalance", &options->rebalance, 0, 100},
	};

	for (unsigned i = 0; i < ARRAY_SIZE(numbers); i++) {
		const json_t *value = json_object_get(root, numbers[i].name);
		json_int_t n = json_integer_value(value);

		if (!value)
			continue;
		if (!json_is_integer(value) || n < numbers[i].min || n > numbers[i].max)
			return error_set(err, -EINVAL, "%s: use a number from %lld to %lld",
					 numbers[i].name, (long long)numbers[i].min,
					 (long long)numbers[i].max);
		*numbers[i].to = (unsigned)n;
	}
	return 0;
}

static int take_workers(const json_t *list, struct sw_options *options,
			struct switch_config *config, struct error *err)
{
	for (size_t i = 0; i < json_array_size(list); i++) {
		const json_t *one = json_array_get(list, i);
		char *text = json_is_object(one) ? as_options(one) : NULL;
		int ret;

		if (!text)
			return error_set(err, -EINVAL,
					 "workers: each is an object like {\"cpu\": 1}");
		ret = switch_add_worker(options, &config->nworkers, text, err);
		free(text);
		if (ret)
			return ret;
	}
	return 0;
}

static int take_ports(const json_t *list, struct switch_config *config, struct error *err)
{
	size_t n = json_array_size(list);

	if (n > SW_PORTS_MAX)
		return error_set(err, -EINVAL, "ports: there is room for %d", SW_PORTS_MAX);
	config->ports = calloc(n + 1, sizeof(*config->ports));
	if (!config->ports)
		return error_set(err, -ENOMEM, "out of memory");
	for (size_t i = 0; i < n; i++) {
		const json_t *one = json_array_get(list, i);
		char *text = json_is_object(one) ? as_options(one) : NULL;

		if (!text)
			return error_set(err, -EINVAL,
					 "ports: each is an object like {\"type\": \"tap\"}");
		config->ports[config->nports++] = text;
	}
	return 0;
}

static int take_path(const json_t *root, const char *name, char **to, struct error *err)
{
	const json_t *value = json_object_get(root, name);

	if (!value)
		return 0;
	if (!json_is_string(value))
		return error_set(err, -EINVAL, "%s: a path is expected", name);
	*to = strdup(json_string_value(value));
	return *to ? 0 : error_set(err, -ENOMEM, "out of memory");
}

static int check_members(const json_t *root, struct error *err)
{
	static const char *const known[] = {"workers",	"ports",   "poll-us",	"retry-us",
					    "fdb-max",	"fdb-age", "rebalance", "api-socket",
					    "takeover", NULL};
	json_t *all = (json_t *)(uintptr_t)root, *value;
	const char *key;

	if (!json_is_object(root))
		return error_set(err, -EINVAL, "it is no JSON object");
	json_object_foreach(all, key, value)
	{
		const char *near;
		unsigned i = 0;

		while (known[i] && strcmp(known[i], key) != 0)
			i++;
		if (known[i])
			continue;
		near = option_nearest(key, known);
		return error_set(err, -EINVAL, "unknown member '%.40s'%s%s%s", key,
				 near ? ": did you mean '" : "", near ? near : "",
				 near ? "'?" : "");
	}
	if (json_object_get(root, "ports") && !json_is_array(json_object_get(root, "ports")))
		return error_set(err, -EINVAL, "ports: an array is expected");
	if (json_object_get(root, "workers") && !json_is_array(json_object_get(root, "workers")))
		return error_set(err, -EINVAL, "workers: an array is expected");
	return 0;
}

int switch_config_parse(const char *name, const char *text, size_t len, struct sw_options *options,
			struct switch_config *config, struct error *err)
{
	json_error_t where;
	json_t *root = json_loadb(text, len, JSON_REJECT_DUPLICATES, &where);
	int ret;

	*config = (struct switch_config){0};
	if (!root)
		return error_set(err, -EINVAL, "%s:%d: %s", name, where.line, where.text);
	ret = check_members(root, err);
	if (!ret)
		ret = take_numbers(root, options, err);
	if (!ret)
		ret = take_workers(json_object_get(root, "workers"), options, config, err);
	if (!ret)
		ret = take_ports(json_object_get(root, "ports"), config, err);
	if (!ret)
		ret = take_path(root, "api-socket", &config->api_socket, err);
	if (!ret)
		ret = take_path(root, "takeover", &config->takeover, err);
	json_decref(root);
	return ret ? error_prefix(err, ret, "%s", name) : 0;
}

int switch_config_read(const char *path, struct sw_options *options, struct switch_config *config,
		       struct error *err)
{
	FILE *file = fopen(path, "re");
	char *text = malloc(FILE_MAX);
	size_t len = 0;
	int ret = 0;

	*config = (struct switch_config){0};
	if (!file)
		ret = error_set(err, -errno, "--config %s: %s", path, error_name(errno));
	else if (!text)
		ret = error_set(err, -ENOMEM, "--config %s: out of memory", path);
	if (!ret)
		len = fread(text, 1, FILE_MAX, file);
	if (!ret && (ferror(file) || len == FILE_MAX))
		ret = error_set(err, -EINVAL, "--config %s: cannot be read, or is larger than 1M",
				path);
	if (!ret)
		ret = switch_config_parse(path, text, len, options, config, err);
	if (file)
		fclose(file);
	free(text);
	return ret;
}

void switch_config_free(struct switch_config *config)
{
	for (unsigned i = 0; i < config->nports; i++)
		free(config->ports[i]);
	free(config->ports);
	free(config->api_socket);
	free(config->takeover);
}
