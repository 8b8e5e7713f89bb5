/* SPDX-License-Identifier: Apache-2.0 */
/* Prometheus' text format, version 0.0.4. */
#include "control/control_internal.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>

struct control_metrics {
	FILE *out;
	const char *name; /* of the family begun last */
};

/* Backslash, newline and, in a label's value, double quote are quoted. */
static void put_quoted(FILE *out, const char *text)
{
	for (; *text; text++) {
		if (*text == '\n')
			fputs("\\n", out);
		else if (*text == '\\' || *text == '"')
			fprintf(out, "\\%c", *text);
		else
			putc(*text, out);
	}
}

void control_metric_begin(struct control_metrics *m, const char *name, const char *type,
			  const char *help)
{
	m->name = name;
	fprintf(m->out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

void control_metric_sample(struct control_metrics *m, uint64_t value, ...)
{
	const char *label, *before = "{";
	va_list args;

	fputs(m->name, m->out);
	va_start(args, value);
	while ((label = va_arg(args, const char *))) {
		fprintf(m->out, "%s%s=\"", before, label);
		put_quoted(m->out, va_arg(args, const char *));
		putc('"', m->out);
		before = ",";
	}
	va_end(args);
	fprintf(m->out, "%s %" PRIu64 "\n", *before == ',' ? "}" : "", value);
}

char *control_metrics_text(struct control *control)
{
	struct control_metrics m = {0};
	char *text = NULL;
	size_t len;

	m.out = open_memstream(&text, &len);
	if (!m.out)
		return NULL;
	for (unsigned i = 0; i < control->ncollectors; i++)
		control->collectors[i].collect(control->collectors[i].opaque, &m);
	if (fclose(m.out)) {
		free(text);
		return NULL;
	}
	return text;
}
