/* SPDX-License-Identifier: Apache-2.0 */
#ifndef HOSTNET_AFXDP_H
#define HOSTNET_AFXDP_H

#include "hostnet/hostnet.h"

/*
 * AF_XDP: the frames of some queues of an interface, past the host's stack. A frame lies in memory
 * that is shared with the kernel (zero-copy: with the device), and is lent from there.
 */
extern const struct hostnet_ops afxdp_ops;

/** Whether this process may open AF_XDP sockets at all. */
int afxdp_probe(struct error *err);

/** How it moves frames: "copy mode, generic XDP". */
const char *afxdp_mode(struct hostnet *hn);

/** Frames that the kernel received and could not hand over; a system call a queue. */
uint64_t afxdp_rx_lost(struct hostnet *hn);

/**
 * Looks at the interface again, for its MTU and whether it is up. Returns 0, or -ENODEV: it is
 * gone, or is another one now, and this back-end is to be closed. Control thread.
 */
int afxdp_refresh(struct hostnet *hn);

#endif
