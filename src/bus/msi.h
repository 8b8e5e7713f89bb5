/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BUS_MSI_H
#define BUS_MSI_H

#include "bus/pci.h"

/*
 * MSI (PCI 3.0, 6.8.1), for functions whose config space has the capability already (passthrough).
 * Eventfds are bound to vectors as with MSI-X (bus/msix.h), with the same rules for masks.
 */
#define MSI_VECTORS_MAX 32

/** Takes over the capability at cap in dev->config. dev->host must be set. 0 or negative errno. */
int msi_adopt(struct pci_dev *dev, unsigned cap, struct error *err);
/** Nothing if there is none. */
void msi_destroy(struct pci_dev *dev);
/** Off, nothing pending; what is bound stays bound. */
void msi_reset(struct pci_dev *dev);

bool msi_enabled(const struct pci_dev *dev);
/** How many vectors the guest has enabled of those there are; 0 while MSI is off. */
unsigned msi_vectors(const struct pci_dev *dev);
/** The capability's length, which its own flags say. */
unsigned msi_cap_len(uint16_t flags);

/** As msix_bind() and msix_unbind(). */
int msi_bind(struct pci_dev *dev, unsigned vector, int eventfd);
void msi_unbind(struct pci_dev *dev, int eventfd);

/**
 * Puts the pending bits into config space, for a read of [offset, offset + size) to find them. The
 * device's lock is held.
 */
void msi_show_pending(struct pci_dev *dev, unsigned offset, unsigned size);

#endif
