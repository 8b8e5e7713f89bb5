/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The way to the IOMMU that all kernels have: groups in a container. A group can be opened once in
 * the whole host, so the devices of a group share the file. The container becomes an address space
 * (VFIO_SET_IOMMU) when the first group is in it, and is none any more when the last has left.
 */
#include "vfio/iommu.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

static int type1_probe(const struct vfio_sys *sys, const struct hostpci *host)
{
	return host->group == HOSTPCI_NO_GROUP ? -ENODEV : 0;
}

static int type1_open(struct vfio_iommu *iommu, struct error *err)
{
	const struct vfio_sys *sys = iommu->sys;
	int ret;

	iommu->fd = sys->open("/dev/vfio/vfio");
	if (iommu->fd == -EACCES || iommu->fd == -EPERM)
		return error_set(err, iommu->fd,
				 "/dev/vfio/vfio: permission denied: run as root or open it to "
				 "this user");
	if (iommu->fd < 0)
		return error_set(err, iommu->fd,
				 "/dev/vfio/vfio: %s: load VFIO with: modprobe vfio-pci",
				 error_name(iommu->fd));
	ret = sys->ioctl(iommu->fd, VFIO_GET_API_VERSION, NULL);
	if (ret != VFIO_API_VERSION)
		ret = error_set(err, -ENOTSUP, "/dev/vfio/vfio: API version %d is unknown", ret);
	else if (sys->ioctl(iommu->fd, VFIO_CHECK_EXTENSION, (void *)VFIO_TYPE1v2_IOMMU) <= 0)
		ret = error_set(err, -ENOTSUP,
				"/dev/vfio/vfio: no type 1 IOMMU: modprobe vfio_iommu_type1");
	else
		return 0;
	sys->close(iommu->fd);
	return ret;
}

static int group_open_error(int code, const struct hostpci *host, const char *path,
			    struct error *err)
{
	if (code == -EBUSY)
		return error_set(err, code,
				 "%s is in use: another process has IOMMU group %d open (see: "
				 "fuser -v %s)",
				 host->addr, host->group, path);
	if (code == -ENOENT)
		return error_set(
			err, code,
			"%s: %s is not there: the device must be bound to vfio-pci (viaductctl "
			"sriov bind %s)",
			host->addr, path, host->addr);
	if (code == -EACCES || code == -EPERM)
		return error_set(
			err, code,
			"%s: %s: %s: run as root, or let this user own it; if the kernel "
			"log names unsafe interrupts, the IOMMU has no interrupt remapping",
			host->addr, path, error_name(code));
	return error_set(err, code, "%s: cannot open %s: %s", host->addr, path, error_name(code));
}

static int group_check(struct vfio_iommu *iommu, int fd, const struct hostpci *host,
		       struct error *err)
{
	struct vfio_group_status status = {.argsz = sizeof(status)};
	int ret = iommu->sys->ioctl(fd, VFIO_GROUP_GET_STATUS, &status);
	char others[256];

	if (ret)
		return error_set(err, ret, "%s: IOMMU group %d: %s", host->addr, host->group,
				 error_name(ret));
	if (status.flags & VFIO_GROUP_FLAGS_VIABLE)
		return 0;
	hostpci_group_blockers(iommu->sys->sysfs, host->group, NULL, others, sizeof(others));
	return error_set(
		err, -EPERM,
		"%s shares IOMMU group %d with devices that the host uses: %s: unbind these "
		"from their drivers or bind them to vfio-pci too",
		host->addr, host->group, others);
}

static int group_join(struct vfio_iommu *iommu, struct vfio_group *g, const struct hostpci *host,
		      struct error *err)
{
	const struct vfio_sys *sys = iommu->sys;
	int ret = group_check(iommu, g->fd, host, err);

	if (ret)
		return ret;
	ret = sys->ioctl(g->fd, VFIO_GROUP_SET_CONTAINER, &iommu->fd);
	if (ret)
		return error_set(err, ret, "%s: IOMMU group %d does not go into the container: %s",
				 host->addr, host->group, error_name(ret));
	if (iommu->groups)
		return 0;
	ret = sys->ioctl(iommu->fd, VFIO_SET_IOMMU, (void *)VFIO_TYPE1v2_IOMMU);
	if (!ret)
		return 0;
	sys->ioctl(g->fd, VFIO_GROUP_UNSET_CONTAINER, NULL);
	return error_set(err, ret,
			 "%s: the container gets no IOMMU: %s; if the kernel log names interrupt "
			 "remapping, this host lacks it",
			 host->addr, error_name(ret));
}

static int group_get(struct vfio_iommu *iommu, const struct hostpci *host, struct vfio_group **out,
		     struct error *err)
{
	struct vfio_group *g = iommu->groups;
	char path[32];
	int ret;

	while (g && g->number != host->group)
		g = g->next;
	if (g) {
		*out = g;
		return 0;
	}
	g = calloc(1, sizeof(*g));
	if (!g)
		return error_set(err, -ENOMEM, "out of memory");
	snprintf(path, sizeof(path), "/dev/vfio/%d", host->group);
	g->number = host->group;
	g->fd = iommu->sys->open(path);
	if (g->fd < 0) {
		ret = group_open_error(g->fd, host, path, err);
		free(g);
		return ret;
	}
	ret = group_join(iommu, g, host, err);
	if (ret) {
		iommu->sys->close(g->fd);
		free(g);
		return ret;
	}
	vfio_iommu_track(iommu, true, g->fd);
	g->next = iommu->groups;
	iommu->groups = g;
	*out = g;
	return 0;
}

static void group_put(struct vfio_iommu *iommu, struct vfio_group *g)
{
	struct vfio_group **link = &iommu->groups;

	if (g->devices)
		return;
	while (*link != g)
		link = &(*link)->next;
	*link = g->next;
	vfio_iommu_track(iommu, false, g->fd);
	iommu->sys->ioctl(g->fd, VFIO_GROUP_UNSET_CONTAINER, NULL);
	iommu->sys->close(g->fd);
	free(g);
}

static int type1_attach(struct vfio_iommu *iommu, const struct hostpci *host,
			struct vfio_device *dev, struct error *err)
{
	char addr[HOSTPCI_ADDR_LEN];
	int ret = group_get(iommu, host, &dev->group, err);

	if (ret)
		return ret;
	memcpy(addr, host->addr, sizeof(addr));
	dev->fd = iommu->sys->ioctl(dev->group->fd, VFIO_GROUP_GET_DEVICE_FD, addr);
	if (dev->fd >= 0) {
		dev->group->devices++;
		return 0;
	}
	ret = dev->fd;
	group_put(iommu, dev->group);
	if (ret == -ENODEV)
		return error_set(
			err, ret,
			"%s is bound to %s: bind it to vfio-pci (viaductctl sriov bind %s)",
			host->addr, host->driver[0] ? host->driver : "no driver", host->addr);
	return error_set(err, ret, "%s: VFIO does not give the device: %s", host->addr,
			 error_name(ret));
}

static void type1_detach(struct vfio_iommu *iommu, struct vfio_device *dev)
{
	iommu->sys->close(dev->fd);
	dev->fd = -1;
	dev->group->devices--;
	group_put(iommu, dev->group);
	dev->group = NULL;
}

static int type1_map(struct vfio_iommu *iommu, const struct mem_region *region)
{
	struct vfio_iommu_type1_dma_map map = {
		.argsz = sizeof(map),
		.flags = VFIO_DMA_MAP_FLAG_READ | (region->readonly ? 0 : VFIO_DMA_MAP_FLAG_WRITE),
		.vaddr = (uintptr_t)region->hva,
		.iova = region->gpa,
		.size = region->size,
	};

	return iommu->sys->ioctl(iommu->fd, VFIO_IOMMU_MAP_DMA, &map);
}

static int type1_unmap(struct vfio_iommu *iommu, uint64_t gpa, uint64_t size)
{
	struct vfio_iommu_type1_dma_unmap unmap = {
		.argsz = sizeof(unmap), .iova = gpa, .size = size};

	return iommu->sys->ioctl(iommu->fd, VFIO_IOMMU_UNMAP_DMA, &unmap);
}

static void type1_close(struct vfio_iommu *iommu)
{
	iommu->sys->close(iommu->fd);
}

const struct vfio_iommu_ops vfio_type1_ops = {
	.name = "VFIO type 1",
	.probe = type1_probe,
	.open = type1_open,
	.attach = type1_attach,
	.detach = type1_detach,
	.map = type1_map,
	.unmap = type1_unmap,
	.close = type1_close,
};
