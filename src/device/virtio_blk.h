/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DEVICE_VIRTIO_BLK_H
#define DEVICE_VIRTIO_BLK_H

#include "device/disk_virtio.h"
#include "device/disk_vq.h"
#include "virtio/virtio_pci.h"

/*
 * virtio-blk (virtio 1.2, 5.2). Private to src/device/virtio_blk*.c, the table and their tests.
 */
#define VIRTIO_BLK_TYPE		  2
#define VIRTIO_BLK_CLASS	  0x018000

#define VIRTIO_BLK_F_SIZE_MAX	  1
#define VIRTIO_BLK_F_SEG_MAX	  2
#define VIRTIO_BLK_F_RO		  5
#define VIRTIO_BLK_F_BLK_SIZE	  6
#define VIRTIO_BLK_F_FLUSH	  9
#define VIRTIO_BLK_F_TOPOLOGY	  10
#define VIRTIO_BLK_F_CONFIG_WCE	  11
#define VIRTIO_BLK_F_MQ		  12
#define VIRTIO_BLK_F_DISCARD	  13
#define VIRTIO_BLK_F_WRITE_ZEROES 14

/* struct virtio_blk_config (5.2.4): offsets. */
enum {
	VBLK_CONFIG_CAPACITY = 0, /* in sectors of 512 bytes, as everything below but *_size */
	VBLK_CONFIG_SIZE_MAX = 8,
	VBLK_CONFIG_SEG_MAX = 12,
	VBLK_CONFIG_BLK_SIZE = 20,
	VBLK_CONFIG_PHYSICAL_EXP = 24,
	VBLK_CONFIG_ALIGN_OFFSET = 25,
	VBLK_CONFIG_MIN_IO = 26,
	VBLK_CONFIG_OPT_IO = 28,
	VBLK_CONFIG_WRITEBACK = 32,
	VBLK_CONFIG_NUM_QUEUES = 34,
	VBLK_CONFIG_MAX_DISCARD = 36,
	VBLK_CONFIG_MAX_DISCARD_SEG = 40,
	VBLK_CONFIG_DISCARD_ALIGN = 44,
	VBLK_CONFIG_MAX_ZEROES = 48,
	VBLK_CONFIG_MAX_ZEROES_SEG = 52,
	VBLK_CONFIG_ZEROES_UNMAP = 56,
	VBLK_CONFIG_LEN = 60,
};

/* Request types and status (5.2.6). */
enum {
	VIRTIO_BLK_T_IN = 0,
	VIRTIO_BLK_T_OUT = 1,
	VIRTIO_BLK_T_FLUSH = 4,
	VIRTIO_BLK_T_GET_ID = 8,
	VIRTIO_BLK_T_DISCARD = 11,
	VIRTIO_BLK_T_WRITE_ZEROES = 13,
};
enum { VIRTIO_BLK_S_OK, VIRTIO_BLK_S_IOERR, VIRTIO_BLK_S_UNSUPP };

#define VIRTIO_BLK_HEADER	16
#define VIRTIO_BLK_ID_BYTES	20
#define VIRTIO_BLK_RANGE	16		      /* bytes of a range to discard or zero */
#define VIRTIO_BLK_RANGES_MAX	256		      /* of them in a request */
#define VIRTIO_BLK_FREE_SECTORS (4 * MIB / 512 * 256) /* of a range: 1 GiB */
#define VIRTIO_BLK_F_UNMAP	1		      /* a range's flag */

struct virtio_blk {
	struct disk disk; /* first */
	struct pci_dev pci;
	struct virtio_dev vdev;
	struct virtio_pci vpci;
	unsigned nqueues;
	struct disk_vq *queues;
	_Atomic bool write_through; /* each write is on stable storage when it completes */
};

/* What a slot's model[] holds. */
struct blk_slot {
	uint32_t type;
	uint32_t range, ranges; /* discard, write zeroes: the one under way, how many there are */
};

static inline struct virtio_blk *virtio_blk_of(struct virtio_dev *vdev)
{
	return container_of(vdev, struct virtio_blk, vdev);
}

extern const struct disk_ops virtio_blk_disk_ops;

/* virtio_blk_io.c: the workers' side. */
extern const struct disk_vq_ops virtio_blk_vq_ops;

#endif
