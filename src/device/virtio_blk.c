// SPDX-License-Identifier: Apache-2.0
/*
 * virtio-blk: the device. What a worker does with a queue is in virtio_blk_io.c.
 */
#include "device/virtio_blk.h"

#include <errno.h>
#include <stdlib.h>

/* A driver that did not accept flushes cannot ask for them: every write must be stable (5.2.5.2).
 * One that sees the writeback field says by it which way it wants it. */
static void update_write_through(struct virtio_blk *blk)
{
	bool through = !virtio_has(&blk->vdev, VIRTIO_BLK_F_FLUSH);

	if (virtio_has(&blk->vdev, VIRTIO_BLK_F_CONFIG_WCE))
		through = !blk->vdev.config[VBLK_CONFIG_WRITEBACK];
	atomic_store(&blk->write_through, through);
}

static int blk_start(struct virtio_dev *vdev, struct error *err)
{
	struct virtio_blk *blk = virtio_blk_of(vdev);
	int ret = 0;

	pthread_mutex_lock(&vdev->lock);
	update_write_through(blk);
	pthread_mutex_unlock(&vdev->lock);
	for (unsigned i = 0; i < blk->nqueues && !ret; i++)
		ret = disk_vq_start(&blk->queues[i], err);
	for (unsigned i = 0; i < blk->nqueues && ret; i++)
		disk_vq_stop(&blk->queues[i]);
	return ret;
}

static void blk_stop(struct virtio_dev *vdev)
{
	struct virtio_blk *blk = virtio_blk_of(vdev);

	for (unsigned i = 0; i < blk->nqueues; i++)
		disk_vq_stop(&blk->queues[i]);
}

static int blk_queue_start(struct virtio_dev *vdev, unsigned index, struct error *err)
{
	return disk_vq_start(&virtio_blk_of(vdev)->queues[index], err);
}

static int blk_queue_stop(struct virtio_dev *vdev, unsigned index)
{
	disk_vq_stop(&virtio_blk_of(vdev)->queues[index]);
	return 0;
}

static void blk_reset(struct virtio_dev *vdev)
{
	pthread_mutex_lock(&vdev->lock);
	vdev->config[VBLK_CONFIG_WRITEBACK] = 1;
	pthread_mutex_unlock(&vdev->lock);
}

/* The lock is held. */
static void blk_config_written(struct virtio_dev *vdev, unsigned offset, unsigned len)
{
	update_write_through(virtio_blk_of(vdev));
}

static int blk_check_features(const struct virtio_dev *vdev, const struct virtio_features *acked,
			      struct error *err)
{
	if (features_has(acked, VIRTIO_BLK_F_CONFIG_WCE) &&
	    !features_has(acked, VIRTIO_BLK_F_FLUSH))
		return error_set(err, -EINVAL,
				 "VIRTIO_BLK_F_CONFIG_WCE without VIRTIO_BLK_F_FLUSH");
	return 0;
}

static void blk_destroy(struct virtio_dev *vdev)
{
	struct virtio_blk *blk = virtio_blk_of(vdev);

	for (unsigned i = 0; blk->queues && i < blk->nqueues; i++)
		disk_vq_fini(&blk->queues[i]);
	free(blk->queues);
	block_close(blk->disk.block);
	virtio_pci_fini(&blk->vpci);
	virtio_fini(vdev);
	free(blk);
}

static const struct virtio_ops blk_virtio_ops = {
	.check_features = blk_check_features,
	.config_written = blk_config_written,
	.start = blk_start,
	.stop = blk_stop,
	.queue_start = blk_queue_start,
	.queue_stop = blk_queue_stop,
	.reset = blk_reset,
	.destroy = blk_destroy,
};

/*
 * disk_ops.
 */

static void blk_resized(struct disk *disk)
{
	struct virtio_blk *blk = container_of(disk, struct virtio_blk, disk);
	uint8_t capacity[8];

	store_le64(capacity, disk->block->size / 512);
	virtio_config_update(&blk->vdev, VBLK_CONFIG_CAPACITY, capacity, sizeof(capacity));
}

static void blk_counters(struct disk *disk, struct disk_counters *sum)
{
	struct virtio_blk *blk = container_of(disk, struct virtio_blk, disk);

	for (unsigned i = 0; i < blk->nqueues; i++)
		disk_counters_add(sum, &blk->queues[i].c);
}

static const struct option_key keys[] = {
	DISK_VIRTIO_KEYS,
	{"size-max", "BYTES", "the largest data part, 4096 at least (no limit)"},
	{"discard", "on|off", "the guest can free blocks (where the image can)"},
	{"write-zeroes", "on|off", "the guest can zero blocks without writing (likewise)"},
	{"wce", "on|off", "the guest can switch its write cache off (on)"},
	{0},
};

static unsigned log2_of(uint32_t x)
{
	unsigned n = 0;

	while (x >>= 1)
		n++;
	return n;
}

static void fill_config(struct virtio_blk *blk, const struct disk_virtio_options *o,
			unsigned size_max)
{
	const struct block *block = blk->disk.block;
	uint8_t *config = blk->vdev.config;

	blk->vdev.config_len = VBLK_CONFIG_LEN;
	store_le64(config + VBLK_CONFIG_CAPACITY, block->size / 512);
	store_le32(config + VBLK_CONFIG_SIZE_MAX, size_max);
	store_le32(config + VBLK_CONFIG_SEG_MAX, o->seg_max);
	store_le32(config + VBLK_CONFIG_BLK_SIZE, block->block_size);
	config[VBLK_CONFIG_PHYSICAL_EXP] =
		(uint8_t)log2_of(block->physical_size / block->block_size);
	store_le16(config + VBLK_CONFIG_MIN_IO,
		   (uint16_t)(block->physical_size / block->block_size));
	store_le32(config + VBLK_CONFIG_OPT_IO, block->optimal_size / block->block_size);
	config[VBLK_CONFIG_WRITEBACK] = 1;
	blk->vdev.config_writable[VBLK_CONFIG_WRITEBACK] = 1;
	store_le16(config + VBLK_CONFIG_NUM_QUEUES, (uint16_t)blk->nqueues);
	store_le32(config + VBLK_CONFIG_MAX_DISCARD, VIRTIO_BLK_FREE_SECTORS);
	store_le32(config + VBLK_CONFIG_MAX_DISCARD_SEG, VIRTIO_BLK_RANGES_MAX);
	store_le32(config + VBLK_CONFIG_DISCARD_ALIGN, block->block_size / 512);
	store_le32(config + VBLK_CONFIG_MAX_ZEROES, VIRTIO_BLK_FREE_SECTORS);
	store_le32(config + VBLK_CONFIG_MAX_ZEROES_SEG, VIRTIO_BLK_RANGES_MAX);
	config[VBLK_CONFIG_ZEROES_UNMAP] = 1;
}

static int offer(struct virtio_blk *blk, const struct options *opts,
		 const struct disk_virtio_options *o, unsigned size_max, struct error *err)
{
	const struct block *block = blk->disk.block;
	struct virtio_features *f = &blk->vdev.offered;
	int ret;

	*f = o->features;
	features_set(f, VIRTIO_BLK_F_SIZE_MAX, size_max != 0);
	features_set(f, VIRTIO_BLK_F_SEG_MAX, true);
	features_set(f, VIRTIO_BLK_F_RO, block->readonly);
	features_set(f, VIRTIO_BLK_F_BLK_SIZE, true);
	features_set(f, VIRTIO_BLK_F_FLUSH, true);
	features_set(f, VIRTIO_BLK_F_TOPOLOGY, true);
	features_set(f, VIRTIO_BLK_F_MQ, blk->nqueues > 1);
	ret = disk_virtio_feature(opts, "wce", VIRTIO_BLK_F_CONFIG_WCE, true, f, err);
	if (!ret)
		ret = disk_virtio_feature(opts, "discard", VIRTIO_BLK_F_DISCARD, block->can_discard,
					  f, err);
	if (!ret)
		ret = disk_virtio_feature(opts, "write-zeroes", VIRTIO_BLK_F_WRITE_ZEROES,
					  block->can_zero, f, err);
	if (!ret && features_has(f, VIRTIO_BLK_F_DISCARD) && !block->can_discard)
		ret = error_set(err, -EINVAL, "discard=on: the image cannot do that");
	if (!ret && features_has(f, VIRTIO_BLK_F_WRITE_ZEROES) && !block->can_zero)
		ret = error_set(err, -EINVAL, "write-zeroes=on: the image cannot do that");
	return ret;
}

static int make_queues(struct virtio_blk *blk, const struct disk_virtio_options *o,
		       struct disk_home *home, struct error *err)
{
	uint16_t sizes[DISK_VIRTIO_QUEUES_MAX];
	const struct virtio_params vp = {
		.id = blk->disk.id,
		.type = VIRTIO_BLK_TYPE,
		.ops = &blk_virtio_ops,
		.loop = home->loop,
		.mem = home->mem,
		.nqueues = o->queues,
		.queue_sizes = sizes,
	};
	struct disk_vq_params qp = {
		.ops = &virtio_blk_vq_ops,
		.vdev = &blk->vdev,
		.size = o->queue_size,
		.segments = o->seg_max,
		.opaque = blk,
	};
	int ret;

	if (o->queues > blk->disk.block->max_queues)
		return error_set(err, -EINVAL, "queues=%u: this image can have %u", o->queues,
				 blk->disk.block->max_queues);
	for (unsigned i = 0; i < o->queues; i++)
		sizes[i] = (uint16_t)o->queue_size;
	ret = virtio_init(&blk->vdev, &vp, err);
	if (ret)
		return ret;
	blk->queues = aligned_alloc(CACHE_LINE, o->queues * sizeof(*blk->queues));
	if (!blk->queues)
		return error_set(err, -ENOMEM, "%s: out of memory", blk->disk.id);
	memset(blk->queues, 0, o->queues * sizeof(*blk->queues));
	blk->nqueues = o->queues;
	for (qp.index = 0; qp.index < o->queues && !ret; qp.index++) {
		qp.worker = qp.index;
		qp.cpu = disk_virtio_cpu(o, qp.index);
		ret = disk_vq_init(&blk->queues[qp.index], &qp, err);
		if (!ret)
			ret = disk_vq_add_block(&blk->queues[qp.index], blk->disk.block,
						o->queue_size, err);
	}
	return ret;
}

static int blk_create(const struct disk_params *params, struct disk **out, struct pci_dev **pci,
		      struct error *err)
{
	struct virtio_blk *blk = calloc(1, sizeof(*blk));
	struct disk_virtio_options o;
	unsigned size_max = 0;
	int ret;

	if (!blk)
		return error_set(err, -ENOMEM, "%s: out of memory", params->id);
	disk_init(&blk->disk, &virtio_blk_disk_ops, params);
	memcpy(blk->pci.id, blk->disk.id, sizeof(blk->pci.id));
	blk->pci.host = params->home->host;
	ret = disk_virtio_options(params->opts, &o, err);
	if (!ret)
		ret = disk_option(params->opts, "size-max", 4096, UINT32_MAX, &size_max, err);
	if (!ret)
		ret = make_queues(blk, &o, params->home, err);
	if (!ret)
		ret = offer(blk, params->opts, &o, size_max, err);
	if (!ret) {
		fill_config(blk, &o, size_max);
		ret = virtio_pci_init(&blk->vpci, &blk->pci, &blk->vdev, VIRTIO_BLK_CLASS, err);
	}
	if (ret) {
		blk->disk.block = NULL; /* the caller's still */
		blk_destroy(&blk->vdev);
		return ret;
	}
	*out = &blk->disk;
	*pci = &blk->pci;
	return 0;
}

const struct disk_ops virtio_blk_disk_ops = {
	.name = "virtio-blk",
	.help = "paravirtualized: virtio 1.2 over PCI",
	.keys = keys,
	.create = blk_create,
	.resized = blk_resized,
	.counters = blk_counters,
};
