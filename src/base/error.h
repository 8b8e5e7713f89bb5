/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BASE_ERROR_H
#define BASE_ERROR_H

#include "base/util.h"

/*
 * Errors that a person will read. A function that can fail returns 0 or a negative errno; where
 * the reason is worth telling it takes a struct error * as its last argument and leaves there one
 * sentence that says what failed, on which object, why, and what to do about it.
 */
struct error {
	int code; /* negative errno, 0 when nothing was set */
	char text[512];
};

/**
 * Sets *err (which may be NULL) and returns code, so that `return error_set(err, -EINVAL, …)`
 * is the usual form. code is a negative errno.
 */
#define error_set(err, code, ...)                                \
	({                                                       \
		const int error_code_ = (code);                  \
		error_set_text((err), error_code_, __VA_ARGS__); \
		error_code_;                                     \
	})

/** Puts "prefix: " before the text already in *err; returns code. err may be NULL. */
#define error_prefix(err, code, ...)                                \
	({                                                          \
		const int error_code_ = (code);                     \
		error_prefix_text((err), error_code_, __VA_ARGS__); \
		error_code_;                                        \
	})

/* What the two above call; macros around them, so that every caller's flow analysis sees that the
 * code given is the code returned. */
void error_set_text(struct error *err, int code, const char *fmt, ...) __printf(3, 4);
void error_prefix_text(struct error *err, int code, const char *fmt, ...) __printf(3, 4);

/** A thread-safe strerror() that takes either sign. */
const char *error_name(int code);

#endif
