/* SPDX-License-Identifier: Apache-2.0 */
#include "api_config.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

static void put_key(FILE *out, const char *key)
{
	if (ftell(out) > 0)
		putc(',', out);
	for (; *key; key++)
		putc(*key == '_' ? '-' : *key, out);
	putc('=', out);
}

/* A comma inside a value is written twice. */
static void put_string(FILE *out, const char *key, const char *value)
{
	put_key(out, key);
	for (; *value; value++) {
		if (*value == ',')
			putc(',', out);
		putc(*value, out);
	}
}

static int put_value(FILE *out, const char *key, const json_t *value, struct error *err)
{
	switch (json_typeof(value)) {
	case JSON_NULL:
		return 0;
	case JSON_STRING:
		put_string(out, key, json_string_value(value));
		return 0;
	case JSON_INTEGER:
		put_key(out, key);
		fprintf(out, "%lld", (long long)json_integer_value(value));
		return 0;
	case JSON_TRUE:
	case JSON_FALSE:
		put_string(out, key, json_is_true(value) ? "on" : "off");
		return 0;
	default:
		return error_set(err, -EINVAL, "%s: is neither a string, an integer nor a boolean",
				 key);
	}
}

static int put_generic(FILE *out, const char *key, const json_t *value, struct error *err)
{
	const json_t *one;
	size_t i;
	int ret = 0;

	if (!*key || strspn(key, "abcdefghijklmnopqrstuvwxyz0123456789-_") != strlen(key))
		return error_set(err, -EINVAL, "'%.40s': is not a key: see viaduct --help", key);
	if (!json_is_array(value))
		return put_value(out, key, value, err);
	json_array_foreach(value, i, one)
	{
		ret = put_value(out, key, one, err);
		if (ret)
			break;
	}
	return ret;
}

static int put_tap(FILE *out, const json_t *value, struct error *err)
{
	put_string(out, "backend", "tap");
	return put_value(out, "ifname", value, err);
}

/* Cloud Hypervisor counts both directions. */
static int put_num_queues(FILE *out, const json_t *value, struct error *err)
{
	json_int_t n = json_integer_value(value);

	if (n < 2 || n % 2)
		return error_set(err, -EINVAL, "num_queues: is not two for each pair of queues");
	put_key(out, "queues");
	fprintf(out, "%lld", (long long)n / 2);
	return 0;
}

static int put_vhost_user(FILE *out, const json_t *value, struct error *err)
{
	if (!json_is_boolean(value))
		return error_set(err, -EINVAL, "vhost_user: is not a boolean");
	if (json_is_true(value))
		put_string(out, "backend", "vhost-user");
	return 0;
}

static int put_vhost_socket(FILE *out, const json_t *value, struct error *err)
{
	return put_value(out, "socket", value, err);
}

static int put_vhost_mode(FILE *out, const json_t *value, struct error *err)
{
	const char *mode = json_string_value(value);

	if (!mode || (strcmp(mode, "Client") != 0 && strcmp(mode, "Server") != 0))
		return error_set(err, -EINVAL, "vhost_mode: is neither Client nor Server");
	if (!strcmp(mode, "Server"))
		put_string(out, "server", "on");
	return 0;
}

static int put_iommu(FILE *out, const json_t *value, struct error *err)
{
	return json_is_false(value) ? 0 : error_set(err, -EINVAL, "iommu: the guest gets none");
}

static int put_segment(FILE *out, const json_t *value, struct error *err)
{
	return json_is_integer(value) && !json_integer_value(value)
		       ? 0
		       : error_set(err, -EINVAL, "pci_segment: there is only segment 0");
}

/* Members of Cloud Hypervisor's NetConfig that are not keys of --net. */
static const struct {
	const char *name;
	int (*put)(FILE *out, const json_t *value, struct error *err);
} translated[] = {
	{"tap", put_tap},
	{"num_queues", put_num_queues},
	{"vhost_user", put_vhost_user},
	{"vhost_socket", put_vhost_socket},
	{"vhost_mode", put_vhost_mode},
	{"iommu", put_iommu},
	{"pci_segment", put_segment},
};

static int put_member(FILE *out, const char *key, const json_t *value, struct error *err)
{
	if (json_is_null(value))
		return 0;
	for (unsigned i = 0; i < ARRAY_SIZE(translated); i++) {
		if (!strcmp(key, translated[i].name))
			return translated[i].put(out, value, err);
	}
	return put_generic(out, key, value, err);
}

int api_net_text(const json_t *config, char **out, struct error *err)
{
	size_t len = 0;
	FILE *text = open_memstream(out, &len);
	/* jansson's iterators want it so, and change nothing. */
	json_t *object = (json_t *)(uintptr_t)config;
	const char *key;
	json_t *value;
	int ret = 0;

	if (!text)
		return error_set(err, -ENOMEM, "out of memory");
	json_object_foreach(object, key, value)
	{
		ret = put_member(text, key, value, err);
		if (ret)
			break;
	}
	if (fclose(text) && !ret)
		ret = error_set(err, -ENOMEM, "out of memory");
	if (ret) {
		free(*out);
		*out = NULL;
	}
	return ret;
}
