/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DEVICE_HOTPLUG_H
#define DEVICE_HOTPLUG_H

#include "bus/bus.h"

/*
 * The registers by which ACPI code in the guest (dsdt.asl) plugs PCI functions in and out: the slots
 * in which something is new, the slots whose device the guest is asked to let go of, and where the
 * guest writes which slots it has let go of. A bit stands for a slot. The interrupt is a level, on
 * while the guest has not taken note of everything.
 */
#define HOTPLUG_SIZE 0x0c

enum {
	HOTPLUG_ADDED = 0,   /* read; writing 1 clears */
	HOTPLUG_REMOVE = 4,  /* likewise */
	HOTPLUG_EJECTED = 8, /* write; reads as the slots asked for and not yet ejected */
};

struct hotplug;

/**
 * ejected is called in the thread of the vCPU that lets go of slots, whether it was asked to or
 * not; the vCPU does not go on from there until the machine has acted.
 */
struct hotplug_events {
	void (*ejected)(void *opaque, uint32_t slots);
	void *opaque;
};

int hotplug_create(struct bus_host *host, struct bus *pio, uint16_t port, unsigned gsi,
		   const struct hotplug_events *events, struct hotplug **out, struct error *err);
void hotplug_destroy(struct hotplug *hotplug);

/** Tells the guest that there is something new in slot. Any thread. */
void hotplug_added(struct hotplug *hotplug, unsigned slot);

/** Asks the guest to let go of what is in slot, again if it was asked already. Any thread. */
void hotplug_remove(struct hotplug *hotplug, unsigned slot);

/** What was in slots is gone: nothing is asked of the guest there any more. Any thread. */
void hotplug_gone(struct hotplug *hotplug, uint32_t slots);

/** The machine is reset. Returns the slots that were asked for and never let go of. */
uint32_t hotplug_reset(struct hotplug *hotplug);

#endif
