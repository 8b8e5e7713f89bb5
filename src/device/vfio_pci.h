/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DEVICE_VFIO_PCI_H
#define DEVICE_VFIO_PCI_H

#include "device/nic.h"
#include "vfio/device.h"

/*
 * A PCI device of the host, passed through. The guest's own driver drives it:
 *
 * - its BARs are mapped into the guest, but for the pages of MSI-X's table and pending bits and for
 *   what is smaller than a page, which are handlers here (vfio_pci_bar.c);
 * - its config space is read and written through VFIO, but for what the guest must see otherwise:
 *   BARs, interrupts, the chains of capabilities (vfio_pci_config.c);
 * - its interrupts are eventfds from the kernel's VFIO to the kernel's KVM (vfio_pci_irq.c);
 * - its DMA goes through the IOMMU into the guest's memory (vfio/iommu.h).
 *
 * Everything here is under the PCI device's lock, but for what is said to be the control thread's.
 */
#define VFIO_PCI_AREAS_MAX (PCI_BARS * (VFIO_AREAS_MAX + 2))

/* A piece of a BAR that the guest reaches without an exit. */
struct vfio_pci_area {
	unsigned bar;
	uint64_t offset, size;
	void *hva;
	uint64_t gpa; /* where it is in the guest; valid while in_guest */
	bool in_guest;
};

/* Where in the BARs MSI-X's table or pending bits are. */
struct vfio_pci_place {
	unsigned bar;
	uint32_t offset, size; /* size 0: there is none */
};

enum vfio_pci_irq_mode {
	VFIO_PCI_NO_IRQ,
	VFIO_PCI_INTX,
	VFIO_PCI_MSI,
	VFIO_PCI_MSIX,
};

struct vfio_pci_counters {
	uint64_t config_reads, config_writes; /* those that reached the device */
	uint64_t bar_reads, bar_writes;	      /* those that left the guest */
	uint64_t table_accesses;	      /* of the latter: MSI-X's table and pending bits */
	uint64_t resets;
};

struct vfio_pci {
	struct nic nic; /* first */
	struct vfio_device dev;
	struct loop *loop;
	bool gone; /* the host has taken it back */

	unsigned config_size;
	uint8_t emulated[PCI_CONFIG_SIZE]; /* bits that the guest reads from pci.config */
	unsigned cap_pm, cap_exp;	   /* offsets, 0: none */

	struct vfio_pci_place table, pba;
	struct vfio_pci_area areas[VFIO_PCI_AREAS_MAX];
	unsigned nareas;

	enum vfio_pci_irq_mode irq_mode;
	int32_t *vectors; /* eventfds, -1: not used yet */
	unsigned nvectors;
	unsigned armed; /* vectors that the host has enabled */
	int intx_fd, intx_resample_fd;
	bool intx_irqfd;	      /* by KVM; else the loop pulses the line */
	int intx_epoll;		      /* of intx_fd, where the loop does */
	struct loop_fd intx_watch;    /* … which watches this */
	struct loop_timer intx_timer; /* to unmask it again */
	uint64_t intx_rest;	      /* … after so many ns */

	struct loop_fd request, failure; /* the host wants it back; it has failed */
	struct vfio_pci_counters counters;
};

static inline struct vfio_pci *vfio_pci_of(struct pci_dev *dev)
{
	return container_of(dev, struct vfio_pci, nic.pci);
}

struct vfio_pci_params {
	const char *id;
	const char *addr; /* as hostpci_parse() gives it */
	struct bus_host *host;
	struct guest_mem *mem;
	struct loop *loop;
	const struct vfio_sys *sys;
};

/**
 * Opens the device and makes it a PCI function, not yet on a bus. Control thread. 0 or negative
 * errno with err set.
 */
int vfio_pci_create(const struct vfio_pci_params *params, struct vfio_pci **out, struct error *err);

/**
 * Makes a device from the value of a --device option: `host=ADDRESS`, `id=NAME` (dev<index>). The
 * bus will own it. -EINVAL for a wrong option.
 */
int vfio_pci_from_option(const char *text, unsigned index, struct bus_host *host,
			 struct guest_mem *mem, struct loop *loop, struct pci_dev **out,
			 struct error *err);
extern const struct option_key vfio_pci_device_keys[];
extern const struct nic_ops vfio_pci_nic_ops;

/* vfio_pci_config.c */
int vfio_pci_config_init(struct vfio_pci *v, struct error *err);
bool vfio_pci_config_read(struct pci_dev *dev, unsigned offset, unsigned size, uint32_t *value);
void vfio_pci_config_written(struct pci_dev *dev, unsigned offset, unsigned size);
/** Has the device follow the command register as the guest sees it. */
void vfio_pci_forward_command(struct vfio_pci *v);
/** Stops DMA and decoding, and wakes the device up: before a reset. */
void vfio_pci_quiet(struct vfio_pci *v);

/* vfio_pci_bar.c */
int vfio_pci_bars_init(struct vfio_pci *v, struct error *err);
/** After config and MSI-X are known: maps what may be mapped into this process. */
void vfio_pci_areas_init(struct vfio_pci *v);
void vfio_pci_areas_fini(struct vfio_pci *v);
void vfio_pci_bar_moved(struct pci_dev *dev, unsigned bar, bool mapped);

/* vfio_pci_irq.c */
int vfio_pci_irq_init(struct vfio_pci *v, struct error *err);
/** Not with the lock held. Control thread. */
void vfio_pci_irq_fini(struct vfio_pci *v);
/** Brings the host's interrupts in line with what the guest has enabled. */
void vfio_pci_irq_update(struct vfio_pci *v);
void vfio_pci_irq_off(struct vfio_pci *v);

#endif
