/* SPDX-License-Identifier: Apache-2.0 */
#ifndef VFIO_IOMMU_H
#define VFIO_IOMMU_H

#include "vfio/device.h"

/*
 * The address space in which a guest's devices do their DMA: guest-physical addresses, mapped to
 * the guest's memory by the host's IOMMU. One for each guest memory, shared by all its devices,
 * there as long as any is. There are two ways to it in Linux, and the first that this host has for
 * the device is taken:
 *
 * iommufd: /dev/iommu has address spaces, the device's own node (/dev/vfio/devices/vfioN) is
 * attached to one.
 * type1: the device's IOMMU group (/dev/vfio/GROUP) is put into a container (/dev/vfio/vfio).
 *
 * Theory of operation. The memory is pinned by the kernel when it is mapped. mem/guest_mem.h calls
 * the listener before anybody uses new memory and after nobody was told to stay away from old, so
 * a device may still write to a page while it is unmapped: the IOMMU then stops it, not us.
 */
struct vfio_iommu_ops {
	const char *name;
	/** Whether this host offers it for the device: 0, or a negative errno. */
	int (*probe)(const struct vfio_sys *sys, const struct hostpci *host);
	int (*open)(struct vfio_iommu *iommu, struct error *err);
	/** Sets dev->fd. */
	int (*attach)(struct vfio_iommu *iommu, const struct hostpci *host, struct vfio_device *dev,
		      struct error *err);
	void (*detach)(struct vfio_iommu *iommu, struct vfio_device *dev);
	int (*map)(struct vfio_iommu *iommu, const struct mem_region *region);
	int (*unmap)(struct vfio_iommu *iommu, uint64_t gpa, uint64_t size);
	void (*close)(struct vfio_iommu *iommu);
};

extern const struct vfio_iommu_ops vfio_iommufd_ops, vfio_type1_ops;

/* An IOMMU group that is open; only type1 has them. */
struct vfio_group {
	int number, fd;
	unsigned devices;
	struct vfio_group *next;
};

struct vfio_iommu {
	const struct vfio_iommu_ops *ops;
	const struct vfio_sys *sys;
	struct guest_mem *mem;
	struct vfio_track track;
	struct mem_listener listener;
	unsigned devices;
	int fd;
	uint32_t ioas;		   /* iommufd */
	struct vfio_group *groups; /* type1 */
	struct vfio_iommu *next;
};

/** Puts the device into mem's address space, made here for the first; sets dev->fd, dev->iommu. */
int vfio_iommu_join(struct vfio_device *dev, const struct hostpci *host, struct guest_mem *mem,
		    const struct vfio_track *track, struct error *err);
/** Closes dev->fd; the address space goes with its last device. */
void vfio_iommu_leave(struct vfio_device *dev);

/** Whether address spaces made from now on may be iommufd's (they may); else containers serve. */
void vfio_iommufd_allow(bool allowed);

/** Tells the owner of the machine of a file that comes or goes. */
void vfio_iommu_track(struct vfio_iommu *iommu, bool add, int fd);

#endif
