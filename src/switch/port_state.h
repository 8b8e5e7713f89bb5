/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SWITCH_PORT_STATE_H
#define SWITCH_PORT_STATE_H

#include "switch/port.h"
#include "vhost/device_state.h"

/* What goes along with a guest that moves to another port: the addresses that were learnt behind it. */

/** Those of the port, but static entries, which are the operator's; at most max. Returns how many. */
unsigned sw_port_save_addresses(struct sw_port *port, struct device_state_address *list,
				unsigned max);

/**
 * Learns them as if frames from the port had brought them, as long ago as they say: not those that its
 * settings do not allow, nor those that a static entry has elsewhere.
 */
void sw_port_load_addresses(struct sw_port *port, const struct device_state_address *list,
			    unsigned n);

#endif
