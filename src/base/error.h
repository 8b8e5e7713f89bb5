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
int error_set(struct error *err, int code, const char *fmt, ...) __printf(3, 4);

/** Puts "prefix: " before the text already in *err; returns err's code. err may be NULL. */
int error_prefix(struct error *err, int code, const char *fmt, ...) __printf(3, 4);

/** A thread-safe strerror() that takes either sign. */
const char *error_name(int code);

#endif
