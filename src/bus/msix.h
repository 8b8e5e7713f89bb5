/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BUS_MSIX_H
#define BUS_MSIX_H

#include "bus/pci.h"

/*
 * MSI-X (PCI 3.0, 6.8.2), with eventfds as the source of interrupts.
 *
 * A vector may have an eventfd bound to it. While the vector is enabled and unmasked, the eventfd
 * is attached to the machine (irqfd) and a signal is an interrupt without this process. While it
 * is masked it is detached, so a signal stays in the eventfd: that count *is* the pending bit, and
 * attaching again delivers it. Where the machine has no irqfds the loop watches the eventfd and
 * sends the message; the rule for masking is the same.
 *
 * All but msix_init() and msix_destroy(), which are for the control thread, may be called from any
 * thread.
 */

/**
 * Gives dev an MSI-X capability of n vectors, table and PBA in the given BAR (made here). dev->host
 * must be set. 0 or negative errno.
 */
int msix_init(struct pci_dev *dev, unsigned n, unsigned bar, struct error *err);

/**
 * The same for a function whose config space has the capability already, at cap, and whose BARs
 * have the table and PBA somewhere (passthrough): the number of vectors is what it says. No BAR is
 * made; the owner of the BAR passes accesses to table and PBA on to the three functions below.
 */
int msix_adopt(struct pci_dev *dev, unsigned cap, struct error *err);
/** Accesses as bus_range_ops has them, at an offset in the table or in the PBA. */
uint64_t msix_table_read(struct pci_dev *dev, uint64_t offset, unsigned size);
void msix_table_write(struct pci_dev *dev, uint64_t offset, uint64_t value, unsigned size);
uint64_t msix_pba_read(struct pci_dev *dev, uint64_t offset, unsigned size);

/** Nothing if there is none. */
void msix_destroy(struct pci_dev *dev);
/** Off, all vectors masked, nothing pending; what is bound stays bound. */
void msix_reset(struct pci_dev *dev);

bool msix_enabled(const struct pci_dev *dev);
unsigned msix_vectors(const struct pci_dev *dev);
/** Whether a signal of the vector would be an interrupt now: on, and masked nowhere. */
bool msix_live(const struct pci_dev *dev, unsigned vector);

/**
 * Binds eventfd (borrowed, non-blocking) to vector, replacing nothing: several eventfds may share
 * a vector. eventfd must be bound at most once. 0, -EINVAL (no such vector) or -ENOMEM.
 */
int msix_bind(struct pci_dev *dev, unsigned vector, int eventfd);
/** From here on signals stay in the eventfd. Nothing if it is not bound. */
void msix_unbind(struct pci_dev *dev, int eventfd);

/** Injects a vector now, or sets its pending bit if masked; nothing if MSI-X is off. */
void msix_notify(struct pci_dev *dev, unsigned vector);

/** Tests and the fallback's own test: do without irqfds even where the machine has them. */
void msix_force_fallback(bool on);

#endif
