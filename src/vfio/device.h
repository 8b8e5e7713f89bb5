/* SPDX-License-Identifier: Apache-2.0 */
#ifndef VFIO_DEVICE_H
#define VFIO_DEVICE_H

#include "hostpci/pci.h"
#include "mem/guest_mem.h"
#include "vfio/sys.h"

#include <linux/vfio.h>

/*
 * One PCI device of the host in this process's hands: its regions (BARs, config space), its
 * interrupts, its reset. Which of the two ways to the IOMMU it was opened by (iommu.h) makes no
 * difference here. Opening and closing are for the control thread; all else for whoever holds the
 * owner's lock.
 */
#define VFIO_AREAS_MAX 8

struct vfio_area {
	uint64_t offset, size; /* in the region; multiples of the page size */
};

struct vfio_region {
	uint64_t offset, size; /* offset: in the device's file */
	bool mappable;
	struct vfio_area areas[VFIO_AREAS_MAX]; /* what of it may be mapped */
	unsigned nareas;
};

/** Told of each VFIO file that guest memory depends on, for KVM. May be NULL. */
struct vfio_track {
	void (*file)(void *opaque, bool add, int fd);
	void *opaque;
};

struct vfio_iommu;
struct vfio_group;

struct vfio_device {
	const struct vfio_sys *sys;
	char addr[HOSTPCI_ADDR_LEN];
	int fd;
	bool can_reset;
	struct vfio_region regions[VFIO_PCI_NUM_REGIONS];
	unsigned irqs[VFIO_PCI_NUM_IRQS];  /* how many of each kind */
	bool irqs_grow[VFIO_PCI_NUM_IRQS]; /* more can be enabled while some are */
	struct vfio_iommu *iommu;
	struct vfio_group *group; /* type1's */
};

/**
 * Opens the device at addr (as hostpci_parse() gives it) and lets it reach all of mem, now and
 * after each change of it. Devices with the same mem share one address space. err names what is
 * missing and the remedy: no such device, no IOMMU, another driver, a group that is not viable, a
 * device in use, the limit of locked memory.
 */
int vfio_device_open(struct vfio_device *dev, const struct vfio_sys *sys, const char *addr,
		     struct guest_mem *mem, const struct vfio_track *track, struct error *err);
/** Also of one whose opening failed. The kernel resets the device when its last file is closed. */
void vfio_device_close(struct vfio_device *dev);

/**
 * Accesses to a region: 0, or a negative errno, then reads have given all ones. size is 1, 2, 4 or
 * 8 bytes; what is beyond the region is refused.
 */
int vfio_read(const struct vfio_device *dev, unsigned region, uint64_t offset, uint64_t *value,
	      unsigned size);
int vfio_write(const struct vfio_device *dev, unsigned region, uint64_t offset, uint64_t value,
	       unsigned size);

/**
 * Has interrupts start … start + n - 1 of a kind (VFIO_PCI_*_IRQ_INDEX) signal the eventfds (-1:
 * none); enables the kind if it was off.
 */
int vfio_irqs_set(const struct vfio_device *dev, unsigned kind, unsigned start, const int32_t *fds,
		  unsigned n);
/** Disables all of the kind. */
int vfio_irqs_off(const struct vfio_device *dev, unsigned kind);
/** INTx is masked each time that it fires: unmasks it, or has a signal of fd do that (-1: no more). */
int vfio_intx_unmask(const struct vfio_device *dev);
int vfio_intx_unmask_by(const struct vfio_device *dev, int32_t fd);

/** The best reset there is: of the function, else of its bus if all on it is ours. */
int vfio_device_reset(const struct vfio_device *dev);

#endif
