/* SPDX-License-Identifier: Apache-2.0 */
#ifndef VFIO_ABI_H
#define VFIO_ABI_H

#include "base/util.h"

#include <linux/vfio.h>

/*
 * What VFIO and iommufd have had since Linux 6.6, which older kernel headers do not know. The
 * numbers and layouts are the kernel's.
 */
#ifndef VFIO_DEVICE_BIND_IOMMUFD
#define VFIO_DEVICE_BIND_IOMMUFD      _IO(VFIO_TYPE, VFIO_BASE + 18)
#define VFIO_DEVICE_ATTACH_IOMMUFD_PT _IO(VFIO_TYPE, VFIO_BASE + 19)
#define VFIO_DEVICE_DETACH_IOMMUFD_PT _IO(VFIO_TYPE, VFIO_BASE + 20)

struct vfio_device_bind_iommufd {
	uint32_t argsz, flags;
	int32_t iommufd;
	uint32_t out_devid;
};

struct vfio_device_attach_iommufd_pt {
	uint32_t argsz, flags, pt_id;
};

struct vfio_device_detach_iommufd_pt {
	uint32_t argsz, flags;
};
#endif

/* Requests to /dev/iommu: ioctl type ';', numbers from 0x80. */
#define IOMMUFD_DESTROY	   _IO(';', 0x80)
#define IOMMUFD_IOAS_ALLOC _IO(';', 0x81)
#define IOMMUFD_IOAS_MAP   _IO(';', 0x85)
#define IOMMUFD_IOAS_UNMAP _IO(';', 0x86)

#define IOMMUFD_MAP_FIXED  1
#define IOMMUFD_MAP_WRITE  2
#define IOMMUFD_MAP_READ   4

struct iommufd_destroy {
	uint32_t size, id;
};

struct iommufd_ioas_alloc {
	uint32_t size, flags, out_ioas_id;
};

struct iommufd_ioas_map {
	uint32_t size, flags, ioas_id, reserved;
	uint64_t user_va, length, iova;
};

struct iommufd_ioas_unmap {
	uint32_t size, ioas_id;
	uint64_t iova, length;
};

#endif
