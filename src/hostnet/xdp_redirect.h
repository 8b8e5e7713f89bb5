/* SPDX-License-Identifier: Apache-2.0 */
#ifndef HOSTNET_XDP_REDIRECT_H
#define HOSTNET_XDP_REDIRECT_H

#include "base/error.h"

/*
 * The XDP program that hands an interface's frames to AF_XDP sockets: those of a queue that has one
 * go there, all others to the host's stack. It is attached by a BPF link, so that it goes with the
 * process, however that ends. An interface takes one program: those who open it for the same interface
 * share it, each with queues of its own. One thread.
 */
struct xdp_redirect;

/**
 * Loads it for an interface, to be attached native (in the driver) or generic (in the hook behind it).
 * -EOPNOTSUPP: it is attached in the other way already. Needs CAP_BPF and CAP_NET_ADMIN.
 */
int xdp_redirect_open(struct xdp_redirect **out, unsigned ifindex, bool native, struct error *err);

/** The frames of queue number `queue` go to the AF_XDP socket fd from now on, until that is closed. */
int xdp_redirect_set(struct xdp_redirect *x, unsigned queue, int fd, struct error *err);

/** Attaches it to the interface, if it is not yet. */
int xdp_redirect_attach(struct xdp_redirect *x, struct error *err);

/** The last one who has it detaches and unloads it. NULL is allowed. */
void xdp_redirect_close(struct xdp_redirect *x);

#endif
