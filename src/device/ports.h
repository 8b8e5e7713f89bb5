/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DEVICE_PORTS_H
#define DEVICE_PORTS_H

#include "bus/bus.h"
#include "device/platform.h"

/*
 * Ports of a PC that are one register each: the keyboard controller's command port as far as it
 * resets the machine, and the panic device.
 */
struct ports;

struct ports_config {
	uint16_t keyboard; /* 0x64 */
	uint16_t pvpanic;  /* 0x505 */
};

int ports_create(struct bus *pio, const struct ports_config *config,
		 const struct platform_events *events, struct ports **out, struct error *err);
void ports_destroy(struct ports *ports);

/**
 * The reset control register, port 0xcf9. It lies within PCI's address register, so the PCI bus
 * passes it on (struct pci_windows); opaque is the struct ports.
 */
extern const struct bus_range_ops ports_reset_ops;

#endif
