/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BASE_UNIX_SOCKET_H
#define BASE_UNIX_SOCKET_H

#include "base/error.h"

/*
 * Stream sockets that have a place in the file system. All are close-on-exec and non-blocking.
 */

/** Connects to whoever listens at path. A descriptor, or negative errno with err set. */
int unix_connect(const char *path, struct error *err);

/**
 * Listens at path, up to backlog connections waiting. The file gets mode (less the umask) from the
 * start. One that a dead process left is replaced; -EADDRINUSE if somebody listens there, -EEXIST
 * if it is no socket. A descriptor, or negative errno with err set.
 */
int unix_listen(const char *path, unsigned mode, int backlog, struct error *err);

/**
 * Waits for events of poll() on fd. 0, -ETIMEDOUT at the deadline (clock_ns()), or what poll() says;
 * who does not answer then, for the message: "peer".
 */
int unix_wait(int fd, short events, uint64_t deadline, const char *who, struct error *err);

#endif
