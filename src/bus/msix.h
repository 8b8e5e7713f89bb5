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
/** Nothing if there is none. */
void msix_destroy(struct pci_dev *dev);
/** Off, all vectors masked, nothing pending; what is bound stays bound. */
void msix_reset(struct pci_dev *dev);

bool msix_enabled(const struct pci_dev *dev);
unsigned msix_vectors(const struct pci_dev *dev);

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
