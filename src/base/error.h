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

/*
 * Calls fn and is worth code: a macro, so that every caller's flow analysis sees that the code
 * given is the code returned. cppcheck does not look into one, and takes it for a function.
 */
#ifdef __cppcheck__
int ERROR_CALL(void (*fn)(struct error *, int, const char *, ...), struct error *err, int code,
	       const char *fmt, ...);
#else
#define ERROR_CALL(fn, err, code, ...)               \
	({                                           \
		const int error_code_ = (code);      \
		fn((err), error_code_, __VA_ARGS__); \
		error_code_;                         \
	})
#endif

/**
 * Sets *err (which may be NULL) and returns code, so that `return error_set(err, -EINVAL, …)`
 * is the usual form. code is a negative errno.
 */
#define error_set(err, code, ...) ERROR_CALL(error_set_text, err, code, __VA_ARGS__)

/** Puts "prefix: " before the text already in *err; returns code. err may be NULL. */
#define error_prefix(err, code, ...) ERROR_CALL(error_prefix_text, err, code, __VA_ARGS__)

/* What the two above call. */
void error_set_text(struct error *err, int code, const char *fmt, ...) __printf(3, 4);
void error_prefix_text(struct error *err, int code, const char *fmt, ...) __printf(3, 4);

/** A thread-safe strerror() that takes either sign. */
const char *error_name(int code);

#endif
