// SPDX-License-Identifier: Apache-2.0
/*
 * virtio-scsi: the controller, and the disks on it.
 *
 * The first disk makes the controller, with its options for queues; the following ones join it
 * before the machine starts. So the units do not change while a worker looks at them.
 */
#include "device/virtio_scsi.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

struct scsi_disk *virtio_scsi_unit(struct virtio_scsi *vs, const uint8_t lun[8], bool *target)
{
	unsigned number = load_be16(lun + 2) & 0x3fff;

	/* 5.6.6.1: 1, the target, and a LUN in the flat or the peripheral format. */
	*target = (lun[0] == 1 && lun[1] == 0) || lun[0] == 0xc1; /* REPORT LUNS' own */
	if (!*target || lun[0] != 1 || (lun[2] >> 6 != 1 && lun[2]))
		return NULL;
	for (unsigned i = 0; i < vs->nunits; i++)
		if (vs->units[i].lun == number)
			return &vs->units[i];
	return NULL;
}

/* The config lock is held, or nobody else is there yet. */
static void take_sizes(struct virtio_scsi *vs)
{
	uint32_t sense = load_le32(vs->vdev.config + VSCSI_CONFIG_SENSE_SIZE);
	uint32_t cdb = load_le32(vs->vdev.config + VSCSI_CONFIG_CDB_SIZE);

	atomic_store(&vs->sense_size, MIN(sense, VIRTIO_SCSI_SENSE_MAX));
	atomic_store(&vs->cdb_size, cdb > 255 ? 255 : cdb);
}

static int start_queue(struct virtio_scsi *vs, unsigned index, struct error *err)
{
	return index < VSCSI_QUEUE_FIRST
		       ? virtio_scsi_ctrl_start(vs, index, err)
		       : disk_vq_start(&vs->queues[index - VSCSI_QUEUE_FIRST], err);
}

static void stop_queue(struct virtio_scsi *vs, unsigned index)
{
	if (index < VSCSI_QUEUE_FIRST)
		virtio_scsi_ctrl_stop(vs, index);
	else
		disk_vq_stop(&vs->queues[index - VSCSI_QUEUE_FIRST]);
}

static void vs_stop(struct virtio_dev *vdev)
{
	for (unsigned i = 0; i < vdev->nqueues; i++)
		stop_queue(virtio_scsi_of(vdev), i);
}

static int vs_start(struct virtio_dev *vdev, struct error *err)
{
	struct virtio_scsi *vs = virtio_scsi_of(vdev);
	int ret = 0;

	pthread_mutex_lock(&vdev->lock);
	take_sizes(vs);
	pthread_mutex_unlock(&vdev->lock);
	for (unsigned i = 0; i < vdev->nqueues && !ret; i++)
		ret = start_queue(vs, i, err);
	if (ret)
		vs_stop(vdev);
	return ret;
}

static int vs_queue_start(struct virtio_dev *vdev, unsigned index, struct error *err)
{
	return start_queue(virtio_scsi_of(vdev), index, err);
}

static int vs_queue_stop(struct virtio_dev *vdev, unsigned index)
{
	stop_queue(virtio_scsi_of(vdev), index);
	return 0;
}

static void vs_reset(struct virtio_dev *vdev)
{
	struct virtio_scsi *vs = virtio_scsi_of(vdev);

	pthread_mutex_lock(&vdev->lock);
	store_le32(vdev->config + VSCSI_CONFIG_SENSE_SIZE, VIRTIO_SCSI_SENSE);
	store_le32(vdev->config + VSCSI_CONFIG_CDB_SIZE, VIRTIO_SCSI_CDB);
	pthread_mutex_unlock(&vdev->lock);
	for (unsigned i = 0; i < vs->nunits; i++)
		atomic_store(&vs->units[i].attention, SCSI_ATTENTION_RESET);
}

static struct virtio_scsi_disk *disk_new(unsigned nqueues)
{
	struct virtio_scsi_disk *disk = calloc(1, sizeof(*disk));
	size_t size = nqueues * sizeof(*disk->c);

	if (!disk)
		return NULL;
	disk->c = aligned_alloc(CACHE_LINE, size);
	if (!disk->c) {
		free(disk);
		return NULL;
	}
	memset(disk->c, 0, size);
	return disk;
}

static void disk_free(struct virtio_scsi_disk *disk)
{
	free(disk->c);
	free(disk);
}

static void vs_destroy(struct virtio_dev *vdev)
{
	struct virtio_scsi *vs = virtio_scsi_of(vdev);

	for (unsigned i = 0; vs->queues && i < vs->nqueues; i++)
		disk_vq_fini(&vs->queues[i]);
	free(vs->queues);
	for (unsigned i = 0; i < vs->nunits; i++) {
		block_close(vs->disks[i]->disk.block);
		disk_free(vs->disks[i]);
	}
	virtio_scsi_ctrl_fini(vs);
	virtio_pci_fini(&vs->vpci);
	virtio_fini(vdev);
	free(vs);
}

static const struct virtio_ops vs_virtio_ops = {
	.start = vs_start,
	.stop = vs_stop,
	.queue_start = vs_queue_start,
	.queue_stop = vs_queue_stop,
	.reset = vs_reset,
	.destroy = vs_destroy,
};

/*
 * The controller.
 */

static void fill_config(struct virtio_scsi *vs)
{
	uint8_t *config = vs->vdev.config;

	vs->vdev.config_len = VSCSI_CONFIG_LEN;
	store_le32(config + VSCSI_CONFIG_NUM_QUEUES, vs->nqueues);
	store_le32(config + VSCSI_CONFIG_SEG_MAX, vs->options.seg_max);
	store_le32(config + VSCSI_CONFIG_MAX_SECTORS, 65535);
	store_le32(config + VSCSI_CONFIG_CMD_PER_LUN, MIN(vs->options.queue_size, 128));
	store_le32(config + VSCSI_CONFIG_EVENT_SIZE, 16);
	store_le32(config + VSCSI_CONFIG_SENSE_SIZE, VIRTIO_SCSI_SENSE);
	store_le32(config + VSCSI_CONFIG_CDB_SIZE, VIRTIO_SCSI_CDB);
	store_le32(config + VSCSI_CONFIG_MAX_LUN, 0x3fff);
	memset(vs->vdev.config_writable + VSCSI_CONFIG_SENSE_SIZE, 0xff, 8);
	take_sizes(vs);
}

static int make_queues(struct virtio_scsi *vs, struct disk_home *home, struct error *err)
{
	uint16_t sizes[VSCSI_QUEUE_FIRST + DISK_VIRTIO_QUEUES_MAX];
	const struct virtio_params vp = {
		.id = vs->pci.id,
		.type = VIRTIO_SCSI_TYPE,
		.ops = &vs_virtio_ops,
		.loop = home->loop,
		.mem = home->mem,
		.nqueues = VSCSI_QUEUE_FIRST + vs->options.queues,
		.queue_sizes = sizes,
	};
	struct disk_vq_params qp = {
		.ops = &virtio_scsi_vq_ops,
		.vdev = &vs->vdev,
		.size = vs->options.queue_size,
		.segments = vs->options.seg_max,
		.opaque = vs,
	};
	int ret;

	sizes[VSCSI_QUEUE_CONTROL] = sizes[VSCSI_QUEUE_EVENT] = VIRTIO_SCSI_SIMPLE_SIZE;
	for (unsigned i = VSCSI_QUEUE_FIRST; i < vp.nqueues; i++)
		sizes[i] = (uint16_t)vs->options.queue_size;
	ret = virtio_init(&vs->vdev, &vp, err);
	if (ret)
		return ret;
	vs->queues = aligned_alloc(CACHE_LINE, vs->options.queues * sizeof(*vs->queues));
	if (!vs->queues)
		return error_set(err, -ENOMEM, "%s: out of memory", vs->pci.id);
	memset(vs->queues, 0, vs->options.queues * sizeof(*vs->queues));
	vs->nqueues = vs->options.queues;
	for (unsigned i = 0; i < vs->nqueues && !ret; i++) {
		qp.index = VSCSI_QUEUE_FIRST + i;
		qp.worker = i;
		qp.cpu = disk_virtio_cpu(&vs->options, i);
		ret = disk_vq_init(&vs->queues[i], &qp, err);
	}
	return ret;
}

static int make_controller(const struct disk_params *params, struct virtio_scsi **out,
			   struct error *err)
{
	struct virtio_scsi *vs = calloc(1, sizeof(*vs));
	int ret;

	if (!vs)
		return error_set(err, -ENOMEM, "%s: out of memory", params->id);
	snprintf(vs->pci.id, sizeof(vs->pci.id), VIRTIO_SCSI_CONTROLLER);
	vs->pci.host = params->home->host;
	ret = disk_virtio_options(params->opts, &vs->options, err);
	if (!ret)
		ret = make_queues(vs, params->home, err);
	if (!ret)
		ret = virtio_scsi_ctrl_init(vs, err);
	if (!ret) {
		vs->vdev.offered = vs->options.features;
		features_set(&vs->vdev.offered, VIRTIO_SCSI_F_CHANGE, true);
		fill_config(vs);
		ret = virtio_pci_init(&vs->vpci, &vs->pci, &vs->vdev, VIRTIO_SCSI_CLASS, err);
	}
	if (ret) {
		vs_destroy(&vs->vdev);
		return ret;
	}
	*out = vs;
	return 0;
}

/*
 * The disks.
 */

static int choose_lun(const struct virtio_scsi *vs, const struct options *opts, unsigned *lun,
		      struct error *err)
{
	int ret = disk_option(opts, "lun", 0, 255, lun, err);

	for (unsigned i = 0; i < vs->nunits && !ret; i++) {
		if (vs->units[i].lun != *lun)
			continue;
		if (options_get(opts, "lun"))
			return error_set(err, -EINVAL, "lun=%u: another disk has it", *lun);
		++*lun;
		i = UINT32_MAX; /* from the first again */
	}
	return ret;
}

static int join(struct virtio_scsi *vs, const struct disk_params *params, struct disk **out,
		struct error *err)
{
	struct virtio_scsi_disk *disk;
	unsigned lun = 0;
	int ret = choose_lun(vs, params->opts, &lun, err);

	if (ret)
		return ret;
	if (vs->nunits == SCSI_LUNS_MAX)
		return error_set(err, -EINVAL, "%s has room for %u disks", vs->pci.id,
				 SCSI_LUNS_MAX);
	if (vs->nqueues > params->block->max_queues)
		return error_set(err, -EINVAL, "queues=%u: this image can have %u", vs->nqueues,
				 params->block->max_queues);
	disk = disk_new(vs->nqueues);
	if (!disk)
		return error_set(err, -ENOMEM, "%s: out of memory", params->id);
	disk_init(&disk->disk, &virtio_scsi_disk_ops, params);
	disk->controller = vs;
	for (unsigned i = 0; i < vs->nqueues && !ret; i++)
		ret = disk_vq_add_block(&vs->queues[i], params->block, vs->options.queue_size, err);
	if (ret) {
		for (unsigned i = 0; i < vs->nqueues; i++)
			disk_vq_drop_block(&vs->queues[i], params->block);
		disk_free(disk);
		return ret;
	}
	vs->units[vs->nunits] = (struct scsi_disk){
		.disk = &disk->disk, .lun = lun, .attention = SCSI_ATTENTION_RESET};
	vs->disks[vs->nunits++] = disk;
	*out = &disk->disk;
	return 0;
}

static int vs_create(const struct disk_params *params, struct disk **out, struct pci_dev **pci,
		     struct error *err)
{
	struct pci_dev *made = disk_home_controller(params->home, VIRTIO_SCSI_CONTROLLER);
	struct virtio_scsi *vs;
	int ret;

	if (made) {
		vs = container_of(made, struct virtio_scsi, pci);
		if (options_get(params->opts, "queues") || options_get(params->opts, "queue-size"))
			return error_set(err, -EINVAL,
					 "queues= and queue-size= are the controller's: give them "
					 "with the first disk on it");
		return join(vs, params, out, err);
	}
	ret = make_controller(params, &vs, err);
	if (ret)
		return ret;
	ret = join(vs, params, out, err);
	if (ret) {
		vs_destroy(&vs->vdev);
		return ret;
	}
	*pci = &vs->pci;
	disk_home_add(params->home, &vs->pci);
	return 0;
}

static void vs_resized(struct disk *disk)
{
	struct virtio_scsi *vs = container_of(disk, struct virtio_scsi_disk, disk)->controller;

	for (unsigned i = 0; i < vs->nunits; i++) {
		if (vs->units[i].disk != disk)
			continue;
		atomic_fetch_or(&vs->units[i].attention, SCSI_ATTENTION_CAPACITY);
		virtio_scsi_event_changed(vs, &vs->units[i], 0x2a, 0x09);
	}
}

/* What the queues counted for no unit is told with the first one. */
static void vs_counters(struct disk *disk, struct disk_counters *sum)
{
	const struct virtio_scsi_disk *d = container_of(disk, struct virtio_scsi_disk, disk);
	const struct virtio_scsi *vs = d->controller;

	for (unsigned i = 0; i < vs->nqueues; i++) {
		disk_counters_add(sum, &d->c[i]);
		if (disk == vs->units[0].disk)
			disk_counters_add(sum, &vs->queues[i].c);
	}
}

static const struct option_key keys[] = {
	{"lun", "N", "its logical unit number, 0 to 255 (the first that is free)"},
	DISK_VIRTIO_KEYS,
	{0},
};

const struct disk_ops virtio_scsi_disk_ops = {
	.name = "virtio-scsi",
	.help = "a SCSI disk; all of them are on one virtio 1.2 controller, whose queues the first "
		"one's options describe",
	.keys = keys,
	.create = vs_create,
	.resized = vs_resized,
	.counters = vs_counters,
};
