/* SPDX-License-Identifier: Apache-2.0 */
#ifndef HOSTNET_TAP_H
#define HOSTNET_TAP_H

#include "hostnet/hostnet.h"

#include <net/if.h>

/* What the TAP back-end tells those who know that it is one. */

extern const struct hostnet_ops tap_ops;

/**
 * The descriptor of one queue, for whoever moves its frames in our place (vhost-net); it belongs
 * to the back-end. Frames on it have a 12-byte header (struct net_offload) before them.
 */
int tap_queue_fd(struct hostnet *hn, unsigned queue);

/** The interface's name, which the kernel may have chosen. */
const char *tap_ifname(struct hostnet *hn);

/** Whether frames have the header at all: a descriptor given with fd= may be one without. */
bool tap_has_header(struct hostnet *hn);

/* Between tap.c and tap_open.c. */
#define TAP_QUEUES_MAX 256 /* the kernel's own limit */

/** Open descriptors of one interface, its queues. */
struct tap_fds {
	char ifname[IFNAMSIZ];
	unsigned count;
	int fd[TAP_QUEUES_MAX];
	bool header;	 /* IFF_VNET_HDR */
	bool multiqueue; /* IFF_MULTI_QUEUE */
};

/** Creates or attaches ifname (NULL: the kernel picks a name) with the given queues. */
int tap_open_named(struct tap_fds *tap, const char *ifname, unsigned queues, struct error *err);

/**
 * Takes the descriptors in list ("5", "5+6", "5:6"), one a queue. They are the caller's still when
 * this fails. id is for messages.
 */
int tap_open_fds(struct tap_fds *tap, const char *list, unsigned queues, const char *id,
		 struct error *err);

/** Whether /dev/net/tun can be used. */
int tap_probe(struct error *err);

#endif
