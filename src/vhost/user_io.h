/* SPDX-License-Identifier: Apache-2.0 */
#ifndef VHOST_USER_IO_H
#define VHOST_USER_IO_H

#include "vhost/user_msg.h"

/*
 * vhost-user messages over a Unix stream socket, with their descriptors. Sockets are non-blocking;
 * who wants to wait says until when (clock_ns() time), so that no peer can hold anybody up longer.
 */

/** A message being received: reads never go beyond its end. Zero-initialise. */
struct vhost_user_rx {
	struct vhost_user_msg msg;
	size_t have; /* bytes of header and payload so far */
	bool unknown;
};

/**
 * Reads what there is. Returns 1 when rx->msg is a whole message, whose descriptors are then the
 * caller's (call vhost_user_rx_next() before reading on); 0 when more must come; -ENOTSUP when it
 * is whole but its request is not known (skipped, its descriptors closed); -ECONNRESET when the
 * peer is gone; -EPROTO when what it sends is no vhost-user, or another errno, with err set.
 */
int vhost_user_rx_step(struct vhost_user_rx *rx, enum vhost_user_channel channel, int fd,
		       struct error *err);

/** Forgets the message that was received, ready for the next. Does not close descriptors. */
void vhost_user_rx_next(struct vhost_user_rx *rx);

/** Closes what descriptors an unfinished message brought. */
void vhost_user_rx_drop(struct vhost_user_rx *rx);

/** Waits for one whole message; as vhost_user_rx_step(), and -ETIMEDOUT. */
int vhost_user_recv(struct vhost_user_rx *rx, enum vhost_user_channel channel, int fd,
		    uint64_t deadline, struct error *err);

/** Sends msg with its descriptors (which stay the caller's). 0, -ETIMEDOUT, -ECONNRESET, … */
int vhost_user_send(int fd, const struct vhost_user_msg *msg, uint64_t deadline, struct error *err);

/**
 * Connects to a listening socket, without waiting. Returns the descriptor, or -ENOENT or
 * -ECONNREFUSED (nobody listens), -EAGAIN (its queue is full), or another errno, with err set.
 */
int vhost_user_connect(const char *path, struct error *err);

/**
 * Listens at path. A socket left there that nobody answers any more is replaced; one that is
 * answered is -EADDRINUSE, another kind of file -EEXIST.
 */
int vhost_user_listen(const char *path, struct error *err);

/** Takes one connection, or -EAGAIN. */
int vhost_user_accept(int listener);

#endif
