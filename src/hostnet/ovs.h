/* SPDX-License-Identifier: Apache-2.0 */
#ifndef HOSTNET_OVS_H
#define HOSTNET_OVS_H

#include "base/error.h"

#include <stdbool.h>

/*
 * Ports of Open vSwitch's bridges in the kernel. Its ports are records of a database, not only an
 * interface's master, so ovs-vsctl makes and removes them; it finds the database as ever (OVS_RUNDIR).
 */

/** Whether an interface is one of Open vSwitch's own: a bridge, or the master of its ports. */
bool ovs_owns(const char *ifname);

/**
 * Makes the interface a port of the bridge, unless it is that already. Waits for ovs-vswitchd, ten
 * seconds at most. Returns 0 or a negative errno.
 */
int ovs_add_port(const char *bridge, const char *ifname, struct error *err);

/** Whether it is a port of one of the bridges. */
bool ovs_has_port(const char *ifname);

/** Removes the record of a port whose interface is gone. A failure is logged. */
void ovs_forget_port(const char *ifname);

#endif
