/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CONTROL_CLIENT_H
#define CONTROL_CLIENT_H

#include "base/error.h"

#include <jansson.h>

/*
 * The other end of a control socket: for viaductctl and for tests. Blocking.
 */

/**
 * Makes one request; body may be NULL. *reply is a new reference, or NULL where there is no
 * content. Errors: -ENOTCONN if nobody can be reached at socket, -EPROTO if what comes is not
 * understood, -ETIMEDOUT after timeout_s without an answer; and what the program answered, with its
 * own words in err: -EINVAL for status 400, -EACCES 403, -ENOENT 404, -EBUSY 409, -EOPNOTSUPP 501,
 * else -EIO.
 */
int control_client_call(const char *socket, const char *method, const char *path,
			const json_t *body, unsigned timeout_s, json_t **reply, struct error *err);

/**
 * GETs path and calls line() with each line of the reply, without its newline, as it comes, until
 * line() returns false or the stream ends. Errors as above; there is no timeout.
 */
int control_client_lines(const char *socket, const char *path,
			 bool (*line)(void *arg, const char *text), void *arg, struct error *err);

/**
 * Reads one HTTP reply from fd, each line of its body with line(). *status is set as soon as it is
 * known. 0, or negative errno with err set. For the two above, and for fuzzing.
 */
int control_client_read(int fd, int timeout_ms, unsigned *status,
			bool (*line)(void *arg, const char *text), void *arg, struct error *err);

#endif
