/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DEVICE_VIRTIO_SCSI_H
#define DEVICE_VIRTIO_SCSI_H

#include "device/disk_virtio.h"
#include "device/disk_vq.h"
#include "device/scsi_disk.h"
#include "virtio/virtio_pci.h"

/*
 * virtio-scsi (virtio 1.2, 5.6): one controller, whose target 0 has all disks as logical units.
 * Private to src/device/virtio_scsi*.c, the table and their tests.
 */
#define VIRTIO_SCSI_TYPE	  8
#define VIRTIO_SCSI_CLASS	  0x010000
#define VIRTIO_SCSI_CONTROLLER	  "scsi0"
#define VIRTIO_SCSI_SENSE	  96
#define VIRTIO_SCSI_CDB		  32
#define VIRTIO_SCSI_SENSE_MAX	  252
#define VIRTIO_SCSI_F_CHANGE	  2
#define VIRTIO_SCSI_SIMPLE_SIZE	  64 /* of the control and event queues */
#define VIRTIO_SCSI_REQUEST_HEAD  19 /* before the CDB */
#define VIRTIO_SCSI_RESPONSE_HEAD 12 /* before the sense data */

/* struct virtio_scsi_config (5.6.4): offsets. */
enum {
	VSCSI_CONFIG_NUM_QUEUES = 0,
	VSCSI_CONFIG_SEG_MAX = 4,
	VSCSI_CONFIG_MAX_SECTORS = 8,
	VSCSI_CONFIG_CMD_PER_LUN = 12,
	VSCSI_CONFIG_EVENT_SIZE = 16,
	VSCSI_CONFIG_SENSE_SIZE = 20,
	VSCSI_CONFIG_CDB_SIZE = 24,
	VSCSI_CONFIG_MAX_CHANNEL = 28,
	VSCSI_CONFIG_MAX_TARGET = 30,
	VSCSI_CONFIG_MAX_LUN = 32,
	VSCSI_CONFIG_LEN = 36,
};

enum { VSCSI_QUEUE_CONTROL, VSCSI_QUEUE_EVENT, VSCSI_QUEUE_FIRST };

/* Responses (5.6.6.1, 5.6.6.2). */
enum {
	VSCSI_S_OK = 0,
	VSCSI_S_OVERRUN = 1,
	VSCSI_S_BAD_TARGET = 3,
	VSCSI_S_FAILURE = 9,
	VSCSI_S_FUNCTION_REJECTED = 11,
	VSCSI_S_INCORRECT_LUN = 12,
};

struct virtio_scsi;

/* One logical unit: a disk of the user's. */
struct virtio_scsi_disk {
	struct disk disk; /* first */
	struct virtio_scsi *controller;
	struct disk_counters *c; /* one for each request queue, written by its worker */
};

/* A queue that the main loop serves. */
struct virtio_scsi_simple {
	struct vq *vq;
	bool running;
	struct loop_fd kick;
};

struct virtio_scsi {
	struct pci_dev pci;
	struct virtio_dev vdev;
	struct virtio_pci vpci;
	struct disk_virtio_options options;

	struct scsi_disk units[SCSI_LUNS_MAX];
	struct virtio_scsi_disk *disks[SCSI_LUNS_MAX];
	unsigned nunits;

	unsigned nqueues; /* of requests */
	struct disk_vq *queues;
	_Atomic uint32_t sense_size, cdb_size; /* as the driver chose; read when a queue starts */

	struct virtio_scsi_simple control, event;
	struct mem_listener listener;
	bool listening;
	uint64_t events_missed; /* no buffer of the driver's */
};

static inline struct virtio_scsi *virtio_scsi_of(struct virtio_dev *vdev)
{
	return container_of(vdev, struct virtio_scsi, vdev);
}

/** The unit that a LUN field of 8 bytes names; *target says whether the target is there. */
struct scsi_disk *virtio_scsi_unit(struct virtio_scsi *vs, const uint8_t lun[8], bool *target);

extern const struct disk_ops virtio_scsi_disk_ops;

/* virtio_scsi_io.c: the workers' side. */
extern const struct disk_vq_ops virtio_scsi_vq_ops;

/* virtio_scsi_ctrl.c: task management and events, in the main loop. */
int virtio_scsi_ctrl_init(struct virtio_scsi *vs, struct error *err);
void virtio_scsi_ctrl_fini(struct virtio_scsi *vs);
int virtio_scsi_ctrl_start(struct virtio_scsi *vs, unsigned index, struct error *err);
void virtio_scsi_ctrl_stop(struct virtio_scsi *vs, unsigned index);
/** Tells the driver that a unit's parameters changed, if it listens and there is a buffer. */
void virtio_scsi_event_changed(struct virtio_scsi *vs, const struct scsi_disk *unit, uint8_t asc,
			       uint8_t ascq);

#endif
