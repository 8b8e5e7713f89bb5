/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SWITCH_RING_FEATURES_H
#define SWITCH_RING_FEATURES_H

#include "switch/port.h"

/* What all ports whose queues are a driver's rings have in common: virtio-net's features. */
#define RING_FEATURES_KEYS                                                               \
	{"offloads", "on|off", "offer checksum and segmentation offloads (default on)"}, \
		{"packed", "on|off", "offer packed rings (default on)"},                 \
		{"mergeable", "on|off", "offer mergeable receive buffers (default on)"}, \
	{                                                                                \
		"in-order", "on|off", "offer to use buffers in order (default on)"       \
	}

/** Takes those out of *features that one of the keys above says no to. */
int ring_features_offered(const struct options *opts, uint64_t *features, struct error *err);

/** Sets what the port's forwarding has to know of what was agreed on; no queue is started. */
void ring_features_agreed(struct sw_port *port, uint64_t agreed);

#endif
