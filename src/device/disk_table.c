// SPDX-License-Identifier: Apache-2.0
#include "device/disk.h"
#include "device/ide.h"
#include "device/virtio_blk.h"
#include "device/virtio_scsi.h"

/* In the order of the usage text; the first is the default. */
const struct disk_ops *const disk_table[] = {
	&virtio_blk_disk_ops,
	&virtio_scsi_disk_ops,
	&ide_disk_ops,
	NULL,
};
