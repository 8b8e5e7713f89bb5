/* SPDX-License-Identifier: Apache-2.0 */
#ifndef HOSTNET_XDP_REDIRECT_H
#define HOSTNET_XDP_REDIRECT_H

#include "base/error.h"

/*
 * The XDP program that hands an interface's frames to AF_XDP sockets: those of a queue that has one
 * go there, all others to the host's stack. It is attached by a BPF link, so that it goes with the
 * process, however that ends.
 */
struct xdp_redirect {
	int map_fd, prog_fd, link_fd; /* -1: none */
	bool native;		      /* in the driver, not in the generic hook behind it */
};

/** Loads it, with room for `queues` sockets. Needs CAP_BPF and CAP_NET_ADMIN. */
int xdp_redirect_load(struct xdp_redirect *x, unsigned queues, struct error *err);

/** The frames of queue number `queue` go to the AF_XDP socket fd from now on. */
int xdp_redirect_set(struct xdp_redirect *x, unsigned queue, int fd, struct error *err);

/** Attaches it to the interface, native or generic. */
int xdp_redirect_attach(struct xdp_redirect *x, unsigned ifindex, bool native, struct error *err);

/** Detaches and unloads it. */
void xdp_redirect_close(struct xdp_redirect *x);

#endif
