/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SWITCH_VHOST_NET_H
#define SWITCH_VHOST_NET_H

#include "base/parcel.h"
#include "hostnet/hostnet.h"

/** Whether /dev/vhost-net can be used; if not, err says why. */
int vhost_net_probe(struct error *err);

/**
 * A frame back-end that has the kernel's vhost move the frames of tap, a TAP with headers, which it
 * takes over: closed with it, also on failure. id is for messages. held: the TAP is another process's
 * still, and nothing is taken from it before vhost_net_resume().
 */
int vhost_net_open(struct hostnet *tap, const char *id, bool held, struct hostnet **out,
		   struct error *err);

/** The TAP behind it; NULL: hn is none of these. */
struct hostnet *vhost_net_tap(struct hostnet *hn);

/*
 * Another process takes its place on the same TAP; no worker is at its queues. hold has the kernel send
 * what it was given, and leave the TAP; what it has received by then is saved. resume: there; or here,
 * when it came to nothing.
 */
void vhost_net_hold(struct hostnet *hn);
void vhost_net_save_rings(struct hostnet *hn, struct parcel_out *p);
int vhost_net_restore_rings(struct hostnet *hn, struct parcel_in *p, struct error *err);
void vhost_net_resume(struct hostnet *hn);

/** Whether the kernel still serves it. */
bool vhost_net_works(struct hostnet *hn);

#endif
