/* SPDX-License-Identifier: Apache-2.0 */
#include "base/error.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

void error_set_text(struct error *err, int code, const char *fmt, ...)
{
	va_list ap;

	if (!err)
		return;
	err->code = code;
	va_start(ap, fmt);
	vsnprintf(err->text, sizeof(err->text), fmt, ap);
	va_end(ap);
}

void error_prefix_text(struct error *err, int code, const char *fmt, ...)
{
	char old[sizeof(err->text)];
	va_list ap;
	int n;

	if (!err)
		return;
	memcpy(old, err->text, sizeof(old));
	va_start(ap, fmt);
	n = vsnprintf(err->text, sizeof(err->text), fmt, ap);
	va_end(ap);
	if (n >= 0 && (size_t)n < sizeof(err->text) - 3) {
		size_t room = sizeof(err->text) - (size_t)n - 3;
		size_t len = strnlen(old, room);

		memcpy(err->text + n, ": ", 2);
		memcpy(err->text + n + 2, old, len);
		err->text[(size_t)n + 2 + len] = '\0';
	}
	err->code = code;
}

const char *error_name(int code)
{
	static _Thread_local char buf[64];
	const char *text = strerrordesc_np(abs(code));

	if (text)
		return text;
	snprintf(buf, sizeof(buf), "error %d", abs(code));
	return buf;
}
