/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BASE_LOG_H
#define BASE_LOG_H

#include "base/error.h"

enum log_level { LOG_LEVEL_ERROR, LOG_LEVEL_WARN, LOG_LEVEL_INFO, LOG_LEVEL_DEBUG };

/** The program's name, put before each line. The string is kept, not copied. */
void log_set_name(const char *name);

/** Messages above this level are not written. Default: LOG_LEVEL_WARN. */
void log_set_level(enum log_level level);
enum log_level log_get_level(void);

/** Parses "error", "warn", "info" or "debug". Returns 0 or -EINVAL with err set. */
int log_level_parse(const char *text, enum log_level *level, struct error *err);

/**
 * Writes one line to standard error in a single write(2), so that lines of several threads do not
 * mix. Never blocks on a full pipe and never fails: a line that cannot be written (disk full,
 * reader gone, would block) is counted, see log_lost(). Not for hot paths.
 */
void log_msg(enum log_level level, const char *fmt, ...) __printf(2, 3);

/** Lines that could not be written so far. */
uint64_t log_lost(void);

/**
 * A hook called with each line before it is written; the serial console uses it to put its
 * terminal's cursor in column 0 while in raw mode (lines then end in \r\n).
 */
void log_set_raw_terminal(bool raw);

#define log_error(...) log_msg(LOG_LEVEL_ERROR, __VA_ARGS__)
#define log_warn(...)  log_msg(LOG_LEVEL_WARN, __VA_ARGS__)
#define log_info(...)  log_msg(LOG_LEVEL_INFO, __VA_ARGS__)
#define log_debug(...)                                         \
	do {                                                   \
		if (log_get_level() >= LOG_LEVEL_DEBUG)        \
			log_msg(LOG_LEVEL_DEBUG, __VA_ARGS__); \
	} while (0)

/*
 * For faults a guest or a peer can cause over and over: writes at most 10 lines a second from one
 * place, then says how many it left out.
 */
struct log_limit {
	_Atomic uint64_t window;
	_Atomic uint32_t count;
};
bool log_limited(struct log_limit *limit);
#define log_warn_limited(...)                                 \
	do {                                                  \
		static struct log_limit limit_;               \
		if (!log_limited(&limit_))                    \
			log_msg(LOG_LEVEL_WARN, __VA_ARGS__); \
	} while (0)

#endif
