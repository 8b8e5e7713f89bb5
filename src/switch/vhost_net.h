/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SWITCH_VHOST_NET_H
#define SWITCH_VHOST_NET_H

#include "hostnet/hostnet.h"

/** Whether /dev/vhost-net can be used; if not, err says why. */
int vhost_net_probe(struct error *err);

/**
 * A frame back-end that has the kernel's vhost move the frames of tap, a TAP with headers, which it
 * takes over: closed with it, also on failure. id is for messages.
 */
int vhost_net_open(struct hostnet *tap, const char *id, struct hostnet **out, struct error *err);

/** Whether the kernel still serves it. */
bool vhost_net_works(struct hostnet *hn);

#endif
