/* SPDX-License-Identifier: Apache-2.0 */
#include "vfio/device.h"
#include "vfio/iommu.h"
#include "base/log.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define INFO_MAX 4096 /* bytes that a region's or reset's description may have */

static int host_check(const struct hostpci *host, const char *sysfs, struct error *err)
{
	char others[256];

	if (host->bridge)
		return error_set(err, -EINVAL, "%s is a bridge: only endpoints can be passed on",
				 host->addr);
	if (host->group == HOSTPCI_NO_GROUP)
		return error_set(err, -ENODEV,
				 "%s is in no IOMMU group, so its DMA cannot be confined: enable "
				 "VT-d or AMD-Vi in the firmware and boot with intel_iommu=on or "
				 "amd_iommu=on",
				 host->addr);
	if (!hostpci_is_vfio(host->driver))
		return error_set(
			err, -EBUSY,
			"%s is bound to %s: bind it to vfio-pci (viaductctl sriov bind %s)",
			host->addr, host->driver[0] ? host->driver : "no driver", host->addr);
	if (hostpci_group_blockers(sysfs, host->group, NULL, others, sizeof(others)))
		return error_set(err, -EPERM,
				 "%s shares IOMMU group %d with devices that the host uses: %s: "
				 "unbind these from their drivers or bind them to vfio-pci too",
				 host->addr, host->group, others);
	return 0;
}

static void region_areas(struct vfio_region *r, const struct vfio_region_info *info,
			 const struct vfio_region_info_cap_sparse_mmap *sparse)
{
	const char *end = (const char *)info + INFO_MAX;

	r->nareas = 0;
	if (!sparse) {
		r->areas[r->nareas++] = (struct vfio_area){0, r->size};
		return;
	}
	for (unsigned i = 0; i < sparse->nr_areas && r->nareas < VFIO_AREAS_MAX; i++) {
		struct vfio_area a;

		if ((const char *)&sparse->areas[i + 1] > end)
			break;
		a = (struct vfio_area){sparse->areas[i].offset, sparse->areas[i].size};
		if (a.size && a.offset < r->size && a.size <= r->size - a.offset)
			r->areas[r->nareas++] = a;
	}
}

/* The capability of this id in a region's description, or NULL. */
static const void *region_cap(const struct vfio_region_info *info, unsigned id)
{
	uint32_t at = info->flags & VFIO_REGION_INFO_FLAG_CAPS ? info->cap_offset : 0;

	for (unsigned i = 0; at && i < 32; i++) {
		const struct vfio_info_cap_header *cap;

		if (at > INFO_MAX - sizeof(struct vfio_region_info_cap_sparse_mmap))
			return NULL;
		cap = (const void *)((const char *)info + at);
		if (cap->id == id)
			return cap;
		at = cap->next;
	}
	return NULL;
}

static int region_read_info(struct vfio_device *dev, unsigned index)
{
	struct vfio_region *r = &dev->regions[index];
	struct vfio_region_info *info = calloc(1, INFO_MAX);
	int ret;

	if (!info)
		return -ENOMEM;
	info->argsz = INFO_MAX;
	info->index = index;
	ret = dev->sys->ioctl(dev->fd, VFIO_DEVICE_GET_REGION_INFO, info);
	if (!ret) {
		r->size = info->size;
		r->offset = info->offset;
		r->mappable = info->flags & VFIO_REGION_INFO_FLAG_MMAP;
		if (r->mappable)
			region_areas(r, info, region_cap(info, VFIO_REGION_INFO_CAP_SPARSE_MMAP));
	}
	free(info);
	return ret;
}

static void irq_read_info(struct vfio_device *dev, unsigned kind)
{
	struct vfio_irq_info info = {.argsz = sizeof(info), .index = kind};

	if (dev->sys->ioctl(dev->fd, VFIO_DEVICE_GET_IRQ_INFO, &info) ||
	    !(info.flags & VFIO_IRQ_INFO_EVENTFD))
		return;
	dev->irqs[kind] = info.count;
	dev->irqs_grow[kind] = !(info.flags & VFIO_IRQ_INFO_NORESIZE);
}

static int device_read_info(struct vfio_device *dev, struct error *err)
{
	struct vfio_device_info info = {.argsz = sizeof(info)};
	int ret = dev->sys->ioctl(dev->fd, VFIO_DEVICE_GET_INFO, &info);

	if (ret)
		return error_set(err, ret, "%s: VFIO does not describe it: %s", dev->addr,
				 error_name(ret));
	if (!(info.flags & VFIO_DEVICE_FLAGS_PCI))
		return error_set(err, -EINVAL, "%s: VFIO says that it is not PCI", dev->addr);
	dev->can_reset = info.flags & VFIO_DEVICE_FLAGS_RESET;
	for (unsigned i = 0; i < ARRAY_SIZE(dev->regions) && i < info.num_regions; i++) {
		/* Only a VGA device has the last. */
		ret = i == VFIO_PCI_VGA_REGION_INDEX ? 0 : region_read_info(dev, i);
		if (ret)
			return error_set(err, ret, "%s: VFIO does not describe region %u: %s",
					 dev->addr, i, error_name(ret));
	}
	for (unsigned i = 0; i < ARRAY_SIZE(dev->irqs) && i < info.num_irqs; i++)
		irq_read_info(dev, i);
	if (dev->regions[VFIO_PCI_CONFIG_REGION_INDEX].size < 64)
		return error_set(err, -EIO, "%s has no config space", dev->addr);
	return 0;
}

int vfio_device_open(struct vfio_device *dev, const struct vfio_sys *sys, const char *addr,
		     struct guest_mem *mem, const struct vfio_track *track, struct error *err)
{
	struct hostpci host;
	int ret;

	*dev = (struct vfio_device){.sys = sys, .fd = -1};
	snprintf(dev->addr, sizeof(dev->addr), "%s", addr);
	ret = hostpci_read(sys->sysfs, addr, &host, err);
	if (!ret)
		ret = host_check(&host, sys->sysfs, err);
	if (!ret)
		ret = vfio_iommu_join(dev, &host, mem, track, err);
	if (!ret)
		ret = device_read_info(dev, err);
	if (ret)
		vfio_device_close(dev);
	return ret;
}

void vfio_device_close(struct vfio_device *dev)
{
	vfio_iommu_leave(dev);
	dev->fd = -1;
}

int vfio_read(const struct vfio_device *dev, unsigned region, uint64_t offset, uint64_t *value,
	      unsigned size)
{
	const struct vfio_region *r = &dev->regions[region];
	uint8_t bytes[8] = {0};
	ssize_t n;

	*value = size >= 8 ? UINT64_MAX : (1ULL << (8 * size)) - 1;
	if (dev->fd < 0)
		return -ENODEV;
	if (offset >= r->size || size > r->size - offset || size > sizeof(bytes))
		return -ERANGE;
	n = dev->sys->pread(dev->fd, bytes, size, r->offset + offset);
	if (n != (ssize_t)size)
		return n < 0 ? (int)n : -EIO;
	*value = load_le64(bytes);
	return 0;
}

int vfio_write(const struct vfio_device *dev, unsigned region, uint64_t offset, uint64_t value,
	       unsigned size)
{
	const struct vfio_region *r = &dev->regions[region];
	uint8_t bytes[8];
	ssize_t n;

	if (dev->fd < 0)
		return -ENODEV;
	if (offset >= r->size || size > r->size - offset || size > sizeof(bytes))
		return -ERANGE;
	store_le64(bytes, value);
	n = dev->sys->pwrite(dev->fd, bytes, size, r->offset + offset);
	return n == (ssize_t)size ? 0 : n < 0 ? (int)n : -EIO;
}

static int irqs_ioctl(const struct vfio_device *dev, unsigned kind, uint32_t flags, unsigned start,
		      const int32_t *fds, unsigned n)
{
	struct vfio_irq_set *set;
	size_t size = sizeof(*set) + (fds ? n * sizeof(*fds) : 0);
	int ret;

	if (dev->fd < 0)
		return -ENODEV;
	set = calloc(1, size);
	if (!set)
		return -ENOMEM;
	set->argsz = (uint32_t)size;
	set->flags = flags | (fds ? VFIO_IRQ_SET_DATA_EVENTFD : VFIO_IRQ_SET_DATA_NONE);
	set->index = kind;
	set->start = start;
	set->count = n;
	if (fds)
		memcpy(set->data, fds, n * sizeof(*fds));
	ret = dev->sys->ioctl(dev->fd, VFIO_DEVICE_SET_IRQS, set);
	free(set);
	return ret;
}

int vfio_irqs_set(const struct vfio_device *dev, unsigned kind, unsigned start, const int32_t *fds,
		  unsigned n)
{
	return irqs_ioctl(dev, kind, VFIO_IRQ_SET_ACTION_TRIGGER, start, fds, n);
}

int vfio_irqs_off(const struct vfio_device *dev, unsigned kind)
{
	return irqs_ioctl(dev, kind, VFIO_IRQ_SET_ACTION_TRIGGER, 0, NULL, 0);
}

int vfio_intx_unmask(const struct vfio_device *dev)
{
	return irqs_ioctl(dev, VFIO_PCI_INTX_IRQ_INDEX, VFIO_IRQ_SET_ACTION_UNMASK, 0, NULL, 1);
}

int vfio_intx_unmask_by(const struct vfio_device *dev, int32_t fd)
{
	return irqs_ioctl(dev, VFIO_PCI_INTX_IRQ_INDEX, VFIO_IRQ_SET_ACTION_UNMASK, 0, &fd, 1);
}

/* The open groups that a reset of the bus would affect; their number, or negative errno. */
static int reset_groups(const struct vfio_device *dev, struct vfio_pci_hot_reset_info *info,
			int32_t *fds, unsigned room)
{
	unsigned n = 0, most;
	int ret;

	info->argsz = INFO_MAX;
	ret = dev->sys->ioctl(dev->fd, VFIO_DEVICE_GET_PCI_HOT_RESET_INFO, info);
	if (ret)
		return ret;
	most = (unsigned)((INFO_MAX - sizeof(*info)) / sizeof(info->devices[0]));
	for (const struct vfio_group *g = dev->iommu->groups; g; g = g->next) {
		bool affected = false;

		for (unsigned i = 0; i < info->count && i < most; i++)
			affected |= info->devices[i].group_id == (uint32_t)g->number;
		if (affected && n < room)
			fds[n++] = g->fd;
	}
	return (int)n;
}

static int bus_reset(const struct vfio_device *dev)
{
	enum { GROUPS_MAX = 32 };
	struct vfio_pci_hot_reset_info *info = calloc(1, INFO_MAX);
	struct vfio_pci_hot_reset *reset;
	int ret = -ENOMEM;

	reset = calloc(1, sizeof(*reset) + GROUPS_MAX * sizeof(reset->group_fds[0]));
	if (info && reset && dev->iommu->groups)
		ret = reset_groups(dev, info, reset->group_fds, GROUPS_MAX);
	else if (info && reset)
		ret = 0; /* iommufd: the kernel knows what is ours */
	if (ret >= 0) {
		reset->count = (uint32_t)ret;
		reset->argsz =
			(uint32_t)(sizeof(*reset) + reset->count * sizeof(reset->group_fds[0]));
		ret = dev->sys->ioctl(dev->fd, VFIO_DEVICE_PCI_HOT_RESET, reset);
	}
	free(info);
	free(reset);
	return ret;
}

int vfio_device_reset(const struct vfio_device *dev)
{
	int ret;

	if (dev->fd < 0)
		return -ENODEV;
	if (dev->can_reset) {
		ret = dev->sys->ioctl(dev->fd, VFIO_DEVICE_RESET, NULL);
		if (!ret)
			return 0;
	}
	return bus_reset(dev);
}
