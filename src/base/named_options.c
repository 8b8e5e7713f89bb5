/* SPDX-License-Identifier: Apache-2.0 */
#include "base/named_options.h"

#include <stdio.h>
#include <string.h>

int named_options_parse(struct named_options *n, const char *option, const char *kind,
			unsigned index, const char *text, struct error *err)
{
	int ret = options_parse(&n->opts, text, err);

	n->option = option;
	snprintf(n->made, sizeof(n->made), "%s%u", kind, index);
	n->id = ret ? NULL : options_get(&n->opts, "id");
	if (!n->id)
		n->id = n->made;
	snprintf(n->what, sizeof(n->what), "%s %s", option, n->id);
	return ret;
}

static void name_error(const struct named_options *n, struct error *err)
{
	size_t len = strlen(n->id);

	if (!strncmp(err->text, n->option, strlen(n->option)))
		return;
	if (!strncmp(err->text, n->id, len) && !strncmp(err->text + len, ": ", 2))
		memmove(err->text, err->text + len + 2, strlen(err->text + len + 2) + 1);
	error_prefix(err, err->code, "%s", n->what);
}

int named_options_end(struct named_options *n, int ret, struct error *err)
{
	if (ret && err)
		name_error(n, err);
	options_free(&n->opts);
	return ret;
}
