/* SPDX-License-Identifier: Apache-2.0 */
#ifndef HOSTNET_NETIF_WATCH_H
#define HOSTNET_NETIF_WATCH_H

#include "base/loop.h"

#include <net/if.h>

/*
 * Whether an interface of this host is up, told when it changes. Embedded in its owner; control
 * thread.
 */
struct netif_watch {
	struct loop *loop;
	struct loop_fd events;
	char name[IFNAMSIZ];
	bool up;
	void (*changed)(void *opaque, bool up);
	void *opaque;
};

/**
 * Begins; watch->up is then what holds now. An interface that cannot be found (one that is in
 * another network namespace, given by descriptor) counts as up, for ever. Returns 0, or a negative
 * errno: then nothing will be told.
 */
int netif_watch_start(struct netif_watch *watch, struct loop *loop, const char *name,
		      void (*changed)(void *opaque, bool up), void *opaque);

/** Ends; harmless on one that is zeroed. */
void netif_watch_stop(struct netif_watch *watch);

#endif
