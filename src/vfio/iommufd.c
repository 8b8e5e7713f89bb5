/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The way to the IOMMU of Linux 6.6 and newer, where it is configured (CONFIG_IOMMUFD,
 * CONFIG_VFIO_DEVICE_CDEV): an address space of /dev/iommu, and the device's own node, which sysfs
 * names in the device's folder: vfio-dev/vfioN.
 */
#include "vfio/abi.h"
#include "vfio/iommu.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <unistd.h>

/* The device's node; -ENOENT if there is none. */
static int device_node(const struct vfio_sys *sys, const char *addr, char *path, size_t room)
{
	char folder[PATH_MAX];
	const struct dirent *entry;
	int ret = -ENOENT;
	DIR *dir;

	snprintf(folder, sizeof(folder), "%s/bus/pci/devices/%s/vfio-dev", sys->sysfs, addr);
	dir = opendir(folder);
	if (!dir)
		return -ENOENT;
	while (ret && (entry = readdir(dir))) {
		if (strncmp(entry->d_name, "vfio", 4) || strlen(entry->d_name) > 16)
			continue;
		snprintf(path, room, "/dev/vfio/devices/%.16s", entry->d_name);
		ret = 0;
	}
	closedir(dir);
	return ret;
}

/* Both nodes are opened to see whether they can be: udev may hide either from this user. */
static int iommufd_probe(const struct vfio_sys *sys, const struct hostpci *host)
{
	char path[64];
	int fd, ret = device_node(sys, host->addr, path, sizeof(path));

	if (ret)
		return ret;
	fd = sys->open("/dev/iommu");
	if (fd < 0)
		return fd;
	sys->close(fd);
	fd = sys->open(path);
	if (fd < 0)
		return fd;
	sys->close(fd);
	return 0;
}

static int iommufd_open(struct vfio_iommu *iommu, struct error *err)
{
	struct iommufd_ioas_alloc alloc = {.size = sizeof(alloc)};
	int ret;

	iommu->fd = iommu->sys->open("/dev/iommu");
	if (iommu->fd < 0)
		return error_set(err, iommu->fd, "/dev/iommu: %s", error_name(iommu->fd));
	ret = iommu->sys->ioctl(iommu->fd, IOMMUFD_IOAS_ALLOC, &alloc);
	if (ret) {
		iommu->sys->close(iommu->fd);
		return error_set(err, ret, "/dev/iommu gives no address space: %s",
				 error_name(ret));
	}
	iommu->ioas = alloc.out_ioas_id;
	return 0;
}

static int bind_error(const struct vfio_iommu *iommu, int code, const struct hostpci *host,
		      struct error *err)
{
	char others[256];

	if (code == -EBUSY)
		return error_set(err, code, "%s is in use by another process", host->addr);
	if (code != -EPERM && code != -EINVAL)
		return error_set(err, code, "%s does not bind to /dev/iommu: %s", host->addr,
				 error_name(code));
	hostpci_group_blockers(iommu->sys->sysfs, host->group, NULL, others, sizeof(others));
	return error_set(err, code,
			 "%s shares IOMMU group %d with devices that the host uses (%s), or the "
			 "IOMMU has no interrupt remapping: %s",
			 host->addr, host->group, others[0] ? others : "none found",
			 error_name(code));
}

static int iommufd_attach(struct vfio_iommu *iommu, const struct hostpci *host,
			  struct vfio_device *dev, struct error *err)
{
	struct vfio_device_bind_iommufd bind = {.argsz = sizeof(bind), .iommufd = iommu->fd};
	struct vfio_device_attach_iommufd_pt attach = {.argsz = sizeof(attach),
						       .pt_id = iommu->ioas};
	const struct vfio_sys *sys = iommu->sys;
	char path[64];
	int ret = device_node(sys, host->addr, path, sizeof(path));

	if (ret)
		return error_set(err, ret, "%s has no VFIO node: bind it to vfio-pci", host->addr);
	dev->fd = sys->open(path);
	if (dev->fd < 0)
		return error_set(err, dev->fd, "%s: cannot open %s: %s", host->addr, path,
				 error_name(dev->fd));
	vfio_iommu_track(iommu, true, dev->fd);
	ret = sys->ioctl(dev->fd, VFIO_DEVICE_BIND_IOMMUFD, &bind);
	if (ret) {
		bind_error(iommu, ret, host, err);
		goto fail;
	}
	ret = sys->ioctl(dev->fd, VFIO_DEVICE_ATTACH_IOMMUFD_PT, &attach);
	if (!ret)
		return 0;
	error_set(err, ret, "%s does not go into the guest's address space: %s", host->addr,
		  error_name(ret));
fail:
	vfio_iommu_track(iommu, false, dev->fd);
	sys->close(dev->fd);
	dev->fd = -1;
	return ret;
}

static void iommufd_detach(struct vfio_iommu *iommu, struct vfio_device *dev)
{
	struct vfio_device_detach_iommufd_pt detach = {.argsz = sizeof(detach)};

	iommu->sys->ioctl(dev->fd, VFIO_DEVICE_DETACH_IOMMUFD_PT, &detach);
	vfio_iommu_track(iommu, false, dev->fd);
	iommu->sys->close(dev->fd);
	dev->fd = -1;
}

static int iommufd_map(struct vfio_iommu *iommu, const struct mem_region *region)
{
	struct iommufd_ioas_map map = {
		.size = sizeof(map),
		.flags = IOMMUFD_MAP_FIXED | IOMMUFD_MAP_READ |
			 (region->readonly ? 0 : IOMMUFD_MAP_WRITE),
		.ioas_id = iommu->ioas,
		.user_va = (uintptr_t)region->hva,
		.length = region->size,
		.iova = region->gpa,
	};

	return iommu->sys->ioctl(iommu->fd, IOMMUFD_IOAS_MAP, &map);
}

static int iommufd_unmap(struct vfio_iommu *iommu, uint64_t gpa, uint64_t size)
{
	struct iommufd_ioas_unmap unmap = {
		.size = sizeof(unmap), .ioas_id = iommu->ioas, .iova = gpa, .length = size};

	return iommu->sys->ioctl(iommu->fd, IOMMUFD_IOAS_UNMAP, &unmap);
}

static void iommufd_close(struct vfio_iommu *iommu)
{
	struct iommufd_destroy destroy = {.size = sizeof(destroy), .id = iommu->ioas};

	iommu->sys->ioctl(iommu->fd, IOMMUFD_DESTROY, &destroy);
	iommu->sys->close(iommu->fd);
}

const struct vfio_iommu_ops vfio_iommufd_ops = {
	.name = "iommufd",
	.probe = iommufd_probe,
	.open = iommufd_open,
	.attach = iommufd_attach,
	.detach = iommufd_detach,
	.map = iommufd_map,
	.unmap = iommufd_unmap,
	.close = iommufd_close,
};
