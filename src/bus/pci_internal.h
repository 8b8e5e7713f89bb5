/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BUS_PCI_INTERNAL_H
#define BUS_PCI_INTERNAL_H

/* What pci.c, pci_dev.c, pci_bar.c and msix.c share and nobody else needs. */
#include "bus/pci.h"

#include <linux/pci_regs.h>

#define PCI_SLOTS     32
#define PCI_FUNCTIONS 8

struct pci_bus {
	struct bus_host *host;
	struct bus *mmio, *pio;
	struct pci_windows windows;

	pthread_mutex_t lock; /* devs, their users, address */
	pthread_cond_t idle;  /* a device's users became 0 */
	struct pci_dev *devs[PCI_SLOTS * PCI_FUNCTIONS];
	uint32_t address; /* port 0xcf8 */

	pthread_mutex_t intx_lock; /* the devices' intx_*, lines */
	unsigned lines[4];	   /* functions that assert each */
};

/* Whether the n bytes at offset touch the len bytes at what. */
static inline bool touches(unsigned offset, unsigned n, unsigned what, unsigned len)
{
	return offset < what + len && what < offset + n;
}

/** Finds room for dev's BARs in the windows. The bus's lock is held. */
int pci_bars_assign(struct pci_bus *bus, struct pci_dev *dev, struct error *err);
/** Maps, moves or unmaps BARs as config space now says. The device's lock is held. */
void pci_bars_update(struct pci_dev *dev);
/** Takes all BARs off the bus. The device's lock is held. */
void pci_bars_unmap(struct pci_dev *dev);
/** Writes the BARs' home addresses into buf, laid out as config space. */
void pci_bars_send_home(struct pci_dev *dev, uint8_t *buf);

/** Drives the line anew after the command register or MSI-X's enable bit changed. */
void pci_intx_update(struct pci_dev *dev);

/** Back to the state in which the device was added. The device's lock is held. */
void pci_dev_reset(struct pci_dev *dev);

/** The guest wrote config space where MSI's capability is. The device's lock is held. */
void msi_config_written(struct pci_dev *dev, unsigned offset, unsigned size);

/** The guest wrote config space where MSI-X's capability is. The device's lock is held. */
void msix_config_written(struct pci_dev *dev, unsigned offset, unsigned size);

#endif
