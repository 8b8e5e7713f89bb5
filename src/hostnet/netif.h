/* SPDX-License-Identifier: Apache-2.0 */
#ifndef HOSTNET_NETIF_H
#define HOSTNET_NETIF_H

#include "base/error.h"

#include <net/if.h>

/* The host's network interfaces, by name: what ioctls and rtnetlink say of them. */

/** The interface's flags (IFF_UP…), or a negative errno (-ENODEV: there is none). */
int netif_flags(const char *name);

/** Brings it up; an interface that is up already is left alone, and needs no privilege. */
int netif_up(const char *name, struct error *err);

/** The MTU in bytes, or a negative errno. */
int netif_mtu(const char *name);

/** Sets the MTU, unless it is that already. */
int netif_set_mtu(const char *name, unsigned mtu, struct error *err);

/** Its hardware address. Returns 0 or a negative errno. */
int netif_mac(const char *name, uint8_t mac[6]);

/** Sets its hardware address. Returns 0 or a negative errno. */
int netif_set_mac(const char *name, const uint8_t mac[6]);

/**
 * Has it take frames for any address, as a switch needs. Returns a descriptor, as long as which is
 * open this holds, or a negative errno.
 */
int netif_promiscuous(unsigned ifindex);

/**
 * The driver's name and bus ("tun" and "tap" for a TAP), each in IFNAMSIZ or more bytes. Returns 0
 * or a negative errno.
 */
int netif_driver(const char *name, char driver[32], char bus[32]);

/** The index of the bridge (or bond) it is a port of, 0 for none, or a negative errno. */
int netif_master(const char *name);

/** Makes it a port of the bridge, the kernel's own or Open vSwitch's, unless it is that already. */
int netif_join_bridge(const char *name, const char *bridge, struct error *err);

#endif
