// SPDX-License-Identifier: Apache-2.0
/*
 * ATA: the task file, commands, and the guest's side of data transfers (ATA/ATAPI-7, volumes 1 and
 * 2). Everything here runs in a vCPU's thread or the worker's, with the channel's lock; what takes
 * time is the worker's (ide_io.c), and the channel is busy meanwhile.
 */
#include "device/ide.h"

/* Task file registers. */
enum {
	REG_DATA,
	REG_FEATURE,
	REG_COUNT,
	REG_LBA_LOW,
	REG_LBA_MID,
	REG_LBA_HIGH,
	REG_DEVICE,
	REG_COMMAND
};

void ide_set_irq(struct ide_channel *ch, bool on)
{
	struct bus_host *host = ch->ide->pci.host;

	if (on && ch->control & ATA_C_NIEN)
		return;
	if (ch->irq == on)
		return;
	ch->irq = on;
	if (on)
		ch->bm_status |= BM_INTERRUPT;
	host->ops->irq_line(host, ch->gsi, on);
}

void ide_end(struct ide_channel *ch, uint8_t error)
{
	ch->phase = IDE_IDLE;
	ch->op = IDE_NONE;
	ch->error = error;
	ch->status = ATA_DRDY | ATA_DSC | (error ? ATA_ERR : 0);
	ch->bm_status &= (uint8_t)~BM_ACTIVE;
	if (error)
		count_add(&ide_selected(ch)->c.errors, 1);
	ide_set_irq(ch, true);
}

void ide_present(struct ide_channel *ch, bool interrupt)
{
	ch->end = MIN(ch->at + ch->block, ch->len);
	ch->status = ATA_DRDY | ATA_DSC | ATA_DRQ;
	if (interrupt)
		ide_set_irq(ch, true);
}

/* What a drive's registers are after a reset: its signature (9.12). */
static void signature(struct ide_channel *ch)
{
	memset(ch->count, 0, sizeof(ch->count));
	memset(ch->lba, 0, sizeof(ch->lba));
	ch->count[0] = ch->lba[0][0] = 1;
	ch->device = 0;
	ch->error = 1; /* diagnostics passed */
	ch->status = ATA_DRDY | ATA_DSC;
}

void ide_reset_channel(struct ide_channel *ch)
{
	ch->epoch++;
	ch->phase = IDE_IDLE;
	ch->op = IDE_NONE;
	ch->feature = 0;
	signature(ch);
	for (unsigned i = 0; i < 2; i++) {
		if (!ch->disks[i])
			continue;
		ch->disks[i]->multi = 0;
		ch->disks[i]->write_through = false;
	}
	ide_set_irq(ch, false);
}

/* Begins a transfer with what is in the buffer. */
static void begin_buffer(struct ide_channel *ch, enum ide_phase phase, uint32_t len, bool interrupt)
{
	ch->phase = phase;
	ch->at = 0;
	ch->len = len;
	ide_present(ch, interrupt);
}

static void busy(struct ide_channel *ch)
{
	ch->phase = IDE_IO;
	ch->status = ATA_BSY;
	ide_kick(ch);
}

/*
 * Commands.
 */

/* The sectors that the task file names: 28 or 48 bits, or cylinder, head and sector. */
static void read_range(struct ide_channel *ch)
{
	uint64_t low = ch->lba[0][0] | ch->lba[1][0] << 8 | ch->lba[2][0] << 16;
	uint64_t high = ch->lba[0][1] | ch->lba[1][1] << 8 | ch->lba[2][1] << 16;

	if (ch->lba48) {
		ch->sector = low | high << 24;
		ch->left = ch->count[0] | (uint32_t)ch->count[1] << 8;
		ch->left = ch->left ? ch->left : 65536;
		return;
	}
	ch->left = ch->count[0] ? ch->count[0] : 256;
	if (ch->device & ATA_D_LBA)
		ch->sector = low | (uint64_t)(ch->device & 0xf) << 24;
	else if (!ch->lba[0][0])
		ch->sector = UINT64_MAX; /* sectors are counted from 1 */
	else
		ch->sector = ((low >> 8) * 16 + (ch->device & 0xf)) * 63 + ch->lba[0][0] - 1;
}

static bool range_ok(const struct ide_channel *ch)
{
	const struct block *block = ide_selected(ch)->disk.block;

	return ch->sector < INT64_MAX / IDE_SECTOR &&
	       block_range_ok(block, ch->sector * IDE_SECTOR, (uint64_t)ch->left * IDE_SECTOR);
}

struct ata_command {
	uint8_t code;
	enum ide_op op;
	bool dma, lba48, multiple, fua;
};

static const struct ata_command transfers[] = {
	{0x20, IDE_READ},
	{0x21, IDE_READ},
	{0x24, IDE_READ, .lba48 = true},
	{0x25, IDE_READ, .dma = true, .lba48 = true},
	{0x29, IDE_READ, .multiple = true, .lba48 = true},
	{0x30, IDE_WRITE},
	{0x31, IDE_WRITE},
	{0x34, IDE_WRITE, .lba48 = true},
	{0x35, IDE_WRITE, .dma = true, .lba48 = true},
	{0x39, IDE_WRITE, .multiple = true, .lba48 = true},
	{0x3d, IDE_WRITE, .dma = true, .lba48 = true, .fua = true},
	{0xc4, IDE_READ, .multiple = true},
	{0xc5, IDE_WRITE, .multiple = true},
	{0xc8, IDE_READ, .dma = true},
	{0xc9, IDE_READ, .dma = true},
	{0xca, IDE_WRITE, .dma = true},
	{0xcb, IDE_WRITE, .dma = true},
};

static void begin_transfer(struct ide_channel *ch, const struct ata_command *c)
{
	const struct ide_disk *disk = ide_selected(ch);

	ch->op = c->op;
	ch->dma = c->dma;
	ch->lba48 = c->lba48;
	ch->fua = c->fua || disk->write_through;
	ch->block = IDE_SECTOR * (c->multiple ? disk->multi : 1);
	read_range(ch);
	if (c->multiple && !disk->multi) {
		ide_end(ch, ATA_E_ABRT);
	} else if (!range_ok(ch)) {
		ide_end(ch, ATA_E_IDNF);
	} else if (c->dma) {
		ch->phase = IDE_DMA;
		ch->status = ATA_DRDY | ATA_DSC | ATA_DRQ;
		if (ch->bm_command & BM_START)
			busy(ch);
	} else if (c->op == IDE_READ) {
		busy(ch);
	} else {
		begin_buffer(ch, IDE_PIO_OUT, MIN(ch->left * IDE_SECTOR, IDE_BUFFER), false);
	}
}

static void set_features(struct ide_channel *ch)
{
	struct ide_disk *disk = ide_selected(ch);

	switch (ch->feature) {
	case 0x02:
	case 0x82:
		disk->write_through = ch->feature == 0x82;
		ide_end(ch, 0);
		break;
	case 0x03: /* transfer mode: all are the same here */
	case 0xaa: /* read look-ahead */
	case 0x55:
	case 0x66: /* defaults kept over a reset */
	case 0xcc:
		ide_end(ch, 0);
		break;
	default:
		ide_end(ch, ATA_E_ABRT);
	}
}

static void set_multiple(struct ide_channel *ch)
{
	unsigned n = ch->count[0];

	if (n > IDE_MULTI_MAX || (n && !is_pow2(n))) {
		ide_end(ch, ATA_E_ABRT);
		return;
	}
	ide_selected(ch)->multi = n;
	ide_end(ch, 0);
}

/* READ NATIVE MAX ADDRESS [EXT]: the last sector, in the task file. */
static void native_max(struct ide_channel *ch, bool ext)
{
	uint64_t last = ide_selected(ch)->disk.block->size / IDE_SECTOR - 1;

	if (!ext)
		last = MIN(last, 0x0fffffff);
	for (unsigned i = 0; i < 3; i++) {
		ch->lba[i][0] = (uint8_t)(last >> (8 * i));
		ch->lba[i][1] = (uint8_t)(last >> (8 * i + 24));
	}
	if (!ext)
		ch->device = (uint8_t)((ch->device & 0xf0) | (last >> 24 & 0xf));
	ide_end(ch, 0);
}

static void verify(struct ide_channel *ch, bool ext)
{
	ch->lba48 = ext;
	read_range(ch);
	ide_end(ch, range_ok(ch) ? 0 : ATA_E_IDNF);
}

/* Those without data, or with little. */
static void simple_command(struct ide_channel *ch, uint8_t code)
{
	switch (code) {
	case 0xec: /* IDENTIFY DEVICE */
		ide_identify(ide_selected(ch), ch->buffer);
		ch->op = IDE_READ;
		ch->left = 0;
		ch->block = IDE_SECTOR;
		begin_buffer(ch, IDE_PIO_IN, IDE_SECTOR, true);
		break;
	case 0xe7: /* FLUSH CACHE */
	case 0xea:
		ch->op = IDE_FLUSH;
		ch->left = 0;
		busy(ch);
		break;
	case 0xef:
		set_features(ch);
		break;
	case 0xc6:
		set_multiple(ch);
		break;
	case 0xf8:
	case 0x27:
		native_max(ch, code == 0x27);
		break;
	case 0x40: /* READ VERIFY SECTOR(S) */
	case 0x41:
	case 0x42:
		verify(ch, code == 0x42);
		break;
	case 0xe5: /* CHECK POWER MODE */
	case 0x98:
		ch->count[0] = 0xff; /* active */
		ide_end(ch, 0);
		break;
	case 0x10: /* RECALIBRATE */
	case 0x70: /* SEEK */
	case 0x91: /* INITIALIZE DEVICE PARAMETERS: the translation is what it is */
	case 0xe0: /* STANDBY and IDLE, now or later */
	case 0xe1:
	case 0xe2:
	case 0xe3:
	case 0xe6:
		ide_end(ch, 0);
		break;
	default:
		ide_end(ch, ATA_E_ABRT);
	}
}

static void command(struct ide_channel *ch, uint8_t code)
{
	if (code == 0x90) { /* EXECUTE DEVICE DIAGNOSTIC: both drives do */
		signature(ch);
		ide_set_irq(ch, true);
		return;
	}
	if (!ide_selected(ch))
		return;
	ide_set_irq(ch, false);
	ch->error = 0;
	for (unsigned i = 0; i < ARRAY_SIZE(transfers); i++) {
		if (transfers[i].code == code) {
			begin_transfer(ch, &transfers[i]);
			return;
		}
	}
	simple_command(ch, code);
}

/*
 * Registers.
 */

/* What a reset found with the storage still has the buffer: the drive is busy until it is done. */
static bool resetting(const struct ide_channel *ch)
{
	return ch->in_flight && ch->req_epoch != ch->epoch;
}

static bool absent(const struct ide_channel *ch)
{
	return !ide_selected(ch);
}

uint8_t ide_read(struct ide_channel *ch, unsigned reg)
{
	bool before = ch->control & ATA_C_HOB;

	if (!ch->disks[0] && !ch->disks[1])
		return 0xff; /* nothing drives the bus */
	if (absent(ch))
		return reg == REG_DEVICE ? ch->device | 0xa0 : 0;
	switch (reg) {
	case REG_FEATURE:
		return ch->error;
	case REG_COUNT:
		return ch->count[before];
	case REG_LBA_LOW:
	case REG_LBA_MID:
	case REG_LBA_HIGH:
		return ch->lba[reg - REG_LBA_LOW][before];
	case REG_DEVICE:
		return ch->device | 0xa0;
	case REG_COMMAND:
		ide_set_irq(ch, false);
		return resetting(ch) ? ATA_BSY : ch->status;
	default: /* the alternate one */
		return resetting(ch) ? ATA_BSY : ch->status;
	}
}

void ide_write(struct ide_channel *ch, unsigned reg, uint8_t value)
{
	ch->control &= (uint8_t)~ATA_C_HOB;
	if (ch->status & (ATA_BSY | ATA_DRQ) && reg != REG_COMMAND)
		return;
	switch (reg) {
	case REG_FEATURE:
		ch->feature = value;
		break;
	case REG_COUNT:
		ch->count[1] = ch->count[0];
		ch->count[0] = value;
		break;
	case REG_LBA_LOW:
	case REG_LBA_MID:
	case REG_LBA_HIGH:
		ch->lba[reg - REG_LBA_LOW][1] = ch->lba[reg - REG_LBA_LOW][0];
		ch->lba[reg - REG_LBA_LOW][0] = value;
		break;
	case REG_DEVICE:
		ch->device = value & 0x5f;
		break;
	case REG_COMMAND:
		if (!(ch->status & ATA_BSY) && ch->phase == IDE_IDLE && !resetting(ch))
			command(ch, value);
		break;
	default:
		break;
	}
}

void ide_control(struct ide_channel *ch, uint8_t value)
{
	uint8_t old = ch->control;

	ch->control = value;
	if (value & ATA_C_NIEN)
		ide_set_irq(ch, false);
	if (value & ATA_C_SRST && !(old & ATA_C_SRST)) {
		ide_reset_channel(ch);
		ch->status = ATA_BSY;
	} else if (!(value & ATA_C_SRST) && old & ATA_C_SRST) {
		signature(ch);
	}
}

/* The guest came to the end of a block. */
static void block_moved(struct ide_channel *ch)
{
	if (ch->at < ch->len)
		ide_present(ch, true);
	else if (ch->phase == IDE_PIO_OUT || ch->left)
		busy(ch);
	else {
		ch->phase = IDE_IDLE;
		ch->op = IDE_NONE;
		ch->status = ATA_DRDY | ATA_DSC;
	}
}

uint32_t ide_read_data(struct ide_channel *ch, unsigned size)
{
	uint8_t bytes[4] = {0};
	unsigned n;

	if (ch->phase != IDE_PIO_IN)
		return UINT32_MAX;
	n = MIN(size, ch->end - ch->at);
	memcpy(bytes, ch->buffer + ch->at, n);
	ch->at += n;
	if (ch->at == ch->end)
		block_moved(ch);
	return load_le32(bytes);
}

void ide_write_data(struct ide_channel *ch, uint32_t value, unsigned size)
{
	uint8_t bytes[4];
	unsigned n;

	if (ch->phase != IDE_PIO_OUT)
		return;
	store_le32(bytes, value);
	n = MIN(size, ch->end - ch->at);
	memcpy(ch->buffer + ch->at, bytes, n);
	ch->at += n;
	if (ch->at == ch->end)
		block_moved(ch);
}
