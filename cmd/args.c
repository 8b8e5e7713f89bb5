/* SPDX-License-Identifier: Apache-2.0 */
#include "args.h"

#include "base/util.h"

#include <errno.h>
#include <stdio.h>

#define NAMES_MAX   64
#define HELP_COLUMN 28
#define HELP_WIDTH  100

static int unknown_option(const struct arg_option *options, const char *text, struct error *err)
{
	const char *names[NAMES_MAX + 1] = {0};
	const char *near;
	char name[64];

	snprintf(name, sizeof(name), "%.*s", (int)strcspn(text + 2, "="), text + 2);
	for (unsigned i = 0; i < NAMES_MAX && options[i].name; i++)
		names[i] = options[i].name;
	near = option_nearest(name, names);
	if (near)
		return error_set(err, -EINVAL, "option --%s is unknown: did you mean --%s?", name,
				 near);
	return error_set(err, -EINVAL, "option --%s is unknown: see --help", name);
}

static const struct arg_option *find_option(const struct arg_option *options, const char *text,
					    size_t len)
{
	for (const struct arg_option *o = options; o->name; o++) {
		if (strlen(o->name) == len && !memcmp(o->name, text, len))
			return o;
	}
	return NULL;
}

int args_parse(const struct arg_option *options, void *to, int argc, char **argv, struct error *err)
{
	int ret = 0;

	for (int i = 1; i < argc && !ret; i++) {
		const char *name = argv[i] + 2, *value = NULL;
		const struct arg_option *option;
		size_t len;

		if (strncmp(argv[i], "--", 2) != 0)
			return error_set(err, -EINVAL, "'%s' is no option: see --help", argv[i]);
		len = strcspn(name, "=");
		option = find_option(options, name, len);
		if (!option)
			return unknown_option(options, argv[i], err);
		if (name[len] == '=')
			value = name + len + 1;
		if (value && !option->value)
			return error_set(err, -EINVAL, "option --%s takes no value", option->name);
		if (!value && option->value && i + 1 < argc && strncmp(argv[i + 1], "--", 2) != 0)
			value = argv[++i];
		if (!value && option->value && !option->alone)
			return error_set(err, -EINVAL, "option --%s needs a value: %s",
					 option->name, option->value);
		ret = option->set(to, value ? value : "", err);
	}
	return ret;
}

void args_entry(const char *head, const char *text)
{
	int at = printf("  %s", head);

	if (at >= HELP_COLUMN) {
		putchar('\n');
		at = 0;
	}
	at += printf("%*s", HELP_COLUMN - at, "");
	while (*text) {
		size_t word = strcspn(text, " ");

		if (at + (int)word > HELP_WIDTH)
			at = printf("\n%*s", HELP_COLUMN, "") - 1;
		at += printf("%.*s ", (int)word, text);
		text += word + (text[word] == ' ');
	}
	putchar('\n');
}

void args_keys(const char *title, const char *about, const struct option_key *key)
{
	char head[128];

	printf("\n%s%s%s\n", title, about ? ": " : "", about ? about : "");
	for (; key && key->name; key++) {
		snprintf(head, sizeof(head), "  %s=%s", key->name, key->value);
		args_entry(head, key->help);
	}
}

void args_help(const struct arg_option *options)
{
	char head[128];

	for (const struct arg_option *o = options; o->name; o++) {
		snprintf(head, sizeof(head), "--%s%s%s", o->name, o->value ? " " : "",
			 o->value ? o->value : "");
		args_entry(head, o->help);
	}
}
