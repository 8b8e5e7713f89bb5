// SPDX-License-Identifier: Apache-2.0
/*
 * The IDE controller: a PCI function in compatibility mode, its ports, and the disks on it.
 *
 * The first disk makes the controller, the next three join it before the machine starts. Each
 * channel has a worker, which is parked while disks join and when the machine is reset.
 */
#include "device/ide.h"

#include <errno.h>
#include <linux/pci_regs.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/thread.h"

static const struct {
	uint16_t command, control;
	unsigned gsi;
} places[2] = {{0x1f0, 0x3f6, IDE_PRIMARY_GSI}, {0x170, 0x376, IDE_SECONDARY_GSI}};

static uint64_t command_read(void *opaque, uint64_t offset, unsigned size)
{
	struct ide_channel *ch = opaque;
	uint64_t value;

	if (!offset)
		return ide_read_data(ch, size);
	value = ide_read(ch, (unsigned)offset);
	for (unsigned i = 1; i < size; i++)
		value |= (uint64_t)ide_read(ch, (unsigned)offset + i) << (8 * i);
	return value;
}

static void command_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
	struct ide_channel *ch = opaque;

	if (!offset) {
		ide_write_data(ch, (uint32_t)value, size);
		return;
	}
	for (unsigned i = 0; i < size; i++)
		ide_write(ch, (unsigned)offset + i, (uint8_t)(value >> (8 * i)));
}

static uint64_t control_read(void *opaque, uint64_t offset, unsigned size)
{
	return ide_read(opaque, 8); /* the alternate status */
}

static void control_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
	ide_control(opaque, (uint8_t)value);
}

static const struct bus_range_ops command_ops = {.read = command_read, .write = command_write};
static const struct bus_range_ops control_ops = {.read = control_read, .write = control_write};

static struct ide *ide_of(struct pci_dev *pci)
{
	return container_of(pci, struct ide, pci);
}

static uint64_t bm_read(void *opaque, uint64_t offset, unsigned size)
{
	struct ide_channel *ch = ide_of(opaque)->channels[offset / 8];
	uint64_t value = 0;

	pthread_mutex_lock(&ch->lock);
	for (unsigned i = 0; i < size; i++)
		value |= (uint64_t)ide_bm_read(ch, (offset + i) % 8) << (8 * i);
	pthread_mutex_unlock(&ch->lock);
	return value;
}

static void bm_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
	struct ide_channel *ch = ide_of(opaque)->channels[offset / 8];

	pthread_mutex_lock(&ch->lock);
	for (unsigned i = 0; i < size; i++)
		ide_bm_write(ch, (offset + i) % 8, (uint8_t)(value >> (8 * i)));
	pthread_mutex_unlock(&ch->lock);
}

static const struct bus_range_ops bm_ops = {.read = bm_read, .write = bm_write};

/* The machine's reset: nothing of before it may reach memory or disk afterwards. */
static void ide_reset(struct pci_dev *pci)
{
	struct ide *ide = ide_of(pci);

	for (unsigned i = 0; i < 2; i++) {
		struct ide_channel *ch = ide->channels[i];

		disk_worker_park(&ch->worker);
		pthread_mutex_lock(&ch->lock);
		ide_reset_channel(ch);
		ch->control = ch->bm_command = ch->bm_status = 0;
		ch->prdt = 0;
		pthread_mutex_unlock(&ch->lock);
		disk_worker_unpark(&ch->worker);
	}
}

/* The machine stands still, or goes on. */
static void ide_pause(struct pci_dev *pci, bool paused)
{
	struct ide *ide = ide_of(pci);

	for (unsigned i = 0; i < 2; i++) {
		if (paused)
			disk_worker_park(&ide->channels[i]->worker);
		else
			disk_worker_unpark(&ide->channels[i]->worker);
	}
}

static void channel_free(struct ide *ide, unsigned index)
{
	struct ide_channel *ch = ide->channels[index];

	if (!ch)
		return;
	if (ide->on_bus[index][0])
		bus_remove(ide->pio, places[index].command, ch);
	if (ide->on_bus[index][1])
		bus_remove(ide->pio, places[index].control, ch);
	bus_drain(ide->pio, ch);
	disk_worker_end(&ch->worker);
	for (unsigned i = 0; i < 2; i++) {
		if (!ch->disks[i])
			continue;
		block_queue_close(ch->disks[i]->io);
		block_close(ch->disks[i]->disk.block);
		free(ch->disks[i]);
	}
	quiesce_unregister(&ch->reader);
	pthread_mutex_destroy(&ch->lock);
	free(ch);
}

static void ide_destroy(struct pci_dev *pci)
{
	struct ide *ide = ide_of(pci);

	for (unsigned i = 0; i < 2; i++)
		channel_free(ide, i);
	pci_dev_fini(pci);
	free(ide);
}

static const struct pci_dev_ops ide_pci_ops = {
	.reset = ide_reset, .pause = ide_pause, .destroy = ide_destroy};

static int add_ports(struct ide *ide, unsigned index, struct error *err)
{
	struct ide_channel *ch = ide->channels[index];
	const struct bus_range ranges[2] = {
		{.name = "IDE",
		 .base = places[index].command,
		 .size = 8,
		 .ops = &command_ops,
		 .opaque = ch,
		 .lock = &ch->lock},
		{.name = "IDE control",
		 .base = places[index].control,
		 .size = 1,
		 .ops = &control_ops,
		 .opaque = ch,
		 .lock = &ch->lock},
	};
	int ret = 0;

	for (unsigned i = 0; i < 2 && !ret; i++) {
		ret = bus_add(ide->pio, &ranges[i], err);
		ide->on_bus[index][i] = !ret;
	}
	return ret;
}

static int channel_new(struct ide *ide, unsigned index, struct error *err)
{
	struct ide_channel *ch = aligned_alloc(4096, ALIGN_UP(sizeof(*ch), 4096));
	int ret;

	if (!ch)
		return error_set(err, -ENOMEM, "%s: out of memory", ide->pci.id);
	memset(ch, 0, sizeof(*ch));
	ide->channels[index] = ch;
	ch->ide = ide;
	ch->index = index;
	ch->gsi = places[index].gsi;
	pthread_mutex_init(&ch->lock, NULL);
	quiesce_register(&ch->reader);
	quiesce_offline(&ch->reader);
	ide_reset_channel(ch);
	ch->worker = (struct disk_worker){.ops = &ide_worker_ops, .id = ide->pci.id};
	ret = disk_worker_start(&ch->worker, index, THREAD_ANY_CPU, err);
	return ret ? ret : add_ports(ide, index, err);
}

static int make_controller(struct disk_home *home, struct ide **out, struct error *err)
{
	const struct pci_ids ids = {
		.vendor = IDE_VENDOR, .device = IDE_DEVICE, .class_code = IDE_CLASS};
	struct ide *ide = calloc(1, sizeof(*ide));
	int ret;

	if (!ide)
		return error_set(err, -ENOMEM, "%s: out of memory", IDE_CONTROLLER);
	snprintf(ide->pci.id, sizeof(ide->pci.id), IDE_CONTROLLER);
	ide->pci.host = home->host;
	ide->pci.ops = &ide_pci_ops;
	ide->mem = home->mem;
	ide->pio = home->pio;
	pci_dev_init(&ide->pci, &ids);
	pci_dev_bar(&ide->pci, IDE_BM_BAR, PCI_BAR_IO, IDE_BM_SIZE, &bm_ops);
	ide->pci.bars[IDE_BM_BAR].unlocked = true;
	/* Timing: both channels decode; the values mean nothing here but are kept. */
	ide->pci.config[0x41] = ide->pci.config[0x43] = 0x80;
	memset(ide->pci.writable + 0x40, 0xff, 12);
	ret = channel_new(ide, 0, err);
	if (!ret)
		ret = channel_new(ide, 1, err);
	if (ret) {
		ide_destroy(&ide->pci);
		return ret;
	}
	*out = ide;
	return 0;
}

/* The first place that is free, or unit=. */
static int choose_unit(const struct ide *ide, const struct options *opts, unsigned *unit,
		       struct error *err)
{
	int ret;

	*unit = 0;
	ret = disk_option(opts, "unit", 0, 3, unit, err);
	if (ret)
		return ret;
	if (options_get(opts, "unit"))
		return ide->channels[*unit / 2]->disks[*unit % 2]
			       ? error_set(err, -EINVAL, "unit=%u: another disk is there", *unit)
			       : 0;
	while (*unit < 4 && ide->channels[*unit / 2]->disks[*unit % 2])
		++*unit;
	return *unit < 4
		       ? 0
		       : error_set(
				 err, -EINVAL,
				 "there is room for four IDE disks: use virtio-blk or virtio-scsi");
}

static int join(struct ide *ide, const struct disk_params *params, struct disk **out,
		struct error *err)
{
	struct ide_disk *disk;
	struct ide_channel *ch;
	unsigned unit;
	int ret = choose_unit(ide, params->opts, &unit, err);

	if (ret)
		return ret;
	if (params->block->readonly)
		return error_set(err, -EINVAL,
				 "an IDE disk cannot be read-only: use another model");
	if (params->block->block_size != IDE_SECTOR)
		return error_set(err, -EINVAL,
				 "an IDE disk has sectors of 512 bytes, this image of %u: use "
				 "cache=writeback, or another model",
				 params->block->block_size);
	disk = aligned_alloc(CACHE_LINE, sizeof(*disk));
	if (!disk)
		return error_set(err, -ENOMEM, "%s: out of memory", params->id);
	memset(disk, 0, sizeof(*disk));
	ch = ide->channels[unit / 2];
	ret = block_queue_open(params->block, 1, &disk->io, err);
	if (!ret)
		ret = disk_worker_watch(&ch->worker, disk->io->fd, false);
	if (ret) {
		block_queue_close(disk->io);
		free(disk);
		return ret;
	}
	disk_init(&disk->disk, &ide_disk_ops, params);
	disk_worker_park(&ch->worker);
	ch->disks[unit % 2] = disk;
	disk_worker_unpark(&ch->worker);
	*out = &disk->disk;
	return 0;
}

static int ide_create(const struct disk_params *params, struct disk **out, struct pci_dev **pci,
		      struct error *err)
{
	struct pci_dev *made = disk_home_controller(params->home, IDE_CONTROLLER);
	struct ide *ide;
	int ret;

	if (made)
		return join(ide_of(made), params, out, err);
	ret = make_controller(params->home, &ide, err);
	if (ret)
		return ret;
	ret = join(ide, params, out, err);
	if (ret) {
		ide_destroy(&ide->pci);
		return ret;
	}
	*pci = &ide->pci;
	disk_home_add(params->home, &ide->pci);
	return 0;
}

/* There is no word of ATA for it: the guest sees it when it identifies the disk again. */
static void ide_resized(struct disk *disk)
{
}

static void ide_counters(struct disk *disk, struct disk_counters *sum)
{
	disk_counters_add(sum, &container_of(disk, struct ide_disk, disk)->c);
}

static const struct option_key keys[] = {
	{"unit", "N", "0, 1: master and slave of the first channel; 2, 3: of the second"},
	{0},
};

const struct disk_ops ide_disk_ops = {
	.name = "ide",
	.help = "an ATA disk on a PIIX3, for guests without virtio drivers; four at most",
	.keys = keys,
	.create = ide_create,
	.resized = ide_resized,
	.counters = ide_counters,
};
