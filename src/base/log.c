/* SPDX-License-Identifier: Apache-2.0 */
#include "base/log.h"

#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

#define LOG_LIMIT_PER_WINDOW 10

static const char *log_name = "viaduct";
static _Atomic int log_level = LOG_LEVEL_WARN;
static _Atomic uint64_t log_lost_lines;
static _Atomic bool log_raw;

static const char *const log_level_names[] = {"error", "warn", "info", "debug"};

void log_set_name(const char *name)
{
	log_name = name;
}

void log_set_level(enum log_level level)
{
	log_level = level;
}

enum log_level log_get_level(void)
{
	return (enum log_level)log_level;
}

void log_set_raw_terminal(bool raw)
{
	log_raw = raw;
}

int log_level_parse(const char *text, enum log_level *level, struct error *err)
{
	for (size_t i = 0; i < ARRAY_SIZE(log_level_names); i++) {
		if (!strcmp(text, log_level_names[i])) {
			*level = (enum log_level)i;
			return 0;
		}
	}
	return error_set(err, -EINVAL, "log level '%s' is unknown: use error, warn, info or debug",
			 text);
}

void log_msg(enum log_level level, const char *fmt, ...)
{
	struct pollfd pfd = {.fd = STDERR_FILENO, .events = POLLOUT};
	char line[1024];
	int saved = errno;
	va_list ap;
	ssize_t put;
	int n, m;

	if ((int)level > log_level)
		return;
	n = snprintf(line, sizeof(line), "%s: %s: ", log_name, log_level_names[level]);
	va_start(ap, fmt);
	m = vsnprintf(line + n, sizeof(line) - (size_t)n - 2, fmt, ap);
	va_end(ap);
	if (m > 0)
		n = MIN(n + m, (int)sizeof(line) - 3);
	if (log_raw)
		line[n++] = '\r';
	line[n++] = '\n';
	/* A pipe that nobody empties must not stop the machine. */
	if (poll(&pfd, 1, 0) == 1 && (pfd.revents & POLLOUT))
		put = write(STDERR_FILENO, line, (size_t)n);
	else
		put = -1;
	if (put != n)
		log_lost_lines++;
	errno = saved;
}

uint64_t log_lost(void)
{
	return log_lost_lines;
}

bool log_limited(struct log_limit *limit)
{
	uint64_t window = clock_ns() / NSEC_PER_SEC;
	uint32_t count;

	if (limit->window != window) {
		uint32_t old = limit->count;

		limit->window = window;
		limit->count = 0;
		if (old > LOG_LIMIT_PER_WINDOW)
			log_warn("(%u more messages like the next were left out)",
				 old - LOG_LIMIT_PER_WINDOW);
	}
	count = ++limit->count;
	return count > LOG_LIMIT_PER_WINDOW;
}
