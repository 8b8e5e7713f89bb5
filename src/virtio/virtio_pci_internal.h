/* SPDX-License-Identifier: Apache-2.0 */
#ifndef VIRTIO_VIRTIO_PCI_INTERNAL_H
#define VIRTIO_VIRTIO_PCI_INTERNAL_H

#include "virtio/virtio_pci.h"

/* virtio_pci_regs.c: the BAR. Accesses are naturally aligned; vdev->lock is not held. */
uint64_t virtio_pci_bar_read(struct virtio_pci *vp, uint64_t offset, unsigned size);
/** The caller calls virtio_settle() when it holds no lock. */
void virtio_pci_bar_write(struct virtio_pci *vp, uint64_t offset, uint64_t value, unsigned size);

/* virtio_pci_irq.c: interrupts. */
int virtio_pci_irq_init(struct virtio_pci *vp, struct error *err);
void virtio_pci_irq_fini(struct virtio_pci *vp);
/** MSI-X went on or off. */
void virtio_pci_irq_mode(struct virtio_pci *vp, bool msix);
/** vdev->lock is held for these. */
void virtio_pci_set_config_vector(struct virtio_pci *vp, uint16_t vector);
void virtio_pci_set_queue_vector(struct virtio_pci *vp, unsigned index, uint16_t vector);
void virtio_pci_config_changed(struct virtio_dev *vdev);
void virtio_pci_queue_forgotten(struct virtio_dev *vdev, unsigned index);
uint8_t virtio_pci_isr_read(struct virtio_pci *vp);

#endif
