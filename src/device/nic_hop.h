/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DEVICE_NIC_HOP_H
#define DEVICE_NIC_HOP_H

#include "device/nic.h"
#include "hostnet/hostnet.h"

/* Filling in hops, for models. */

/** Adds a number to a hop; one too many is left out. */
void nic_hop_more(struct nic_hop *hop, const char *name, uint64_t value);

/** Adds a cause of drops, if it ever happened. */
void nic_hop_drop(struct nic_hop *hop, const char *cause, const char *text, uint64_t count);

/** One direction of a frame back-end, from its counters. name: as nic_hop.name. */
void nic_hop_backend(struct nic_hop *hop, const char *name, enum nic_direction direction, int queue,
		     const struct hostnet_counters *c);

#endif
