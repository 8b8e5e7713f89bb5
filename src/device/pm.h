/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DEVICE_PM_H
#define DEVICE_PM_H

#include "bus/bus.h"
#include "device/platform.h"

/*
 * ACPI's fixed hardware: the PM1 event and control registers and the power management timer
 * (ACPI 6.4, 4.8.3 and 4.8.2.1), with a power button and nothing else.
 */
#define PM_SIZE 0x0c

struct pm;

/** Puts it on the ports [port, port + PM_SIZE); sci_gsi is its interrupt. */
int pm_create(struct bus_host *host, struct bus *pio, uint16_t port, unsigned sci_gsi,
	      const struct platform_events *events, struct pm **out, struct error *err);
void pm_destroy(struct pm *pm);
void pm_reset(struct pm *pm);

/**
 * Presses the power button. Returns whether the guest has asked to be told of it; if not, the
 * press stays noted and is told when it asks. Any thread.
 */
bool pm_power_button(struct pm *pm);

#endif
