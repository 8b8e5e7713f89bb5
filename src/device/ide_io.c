// SPDX-License-Identifier: Apache-2.0
/*
 * What takes time in an IDE channel: storage and DMA, in the channel's worker.
 *
 * Theory of operation. All data go through the channel's buffer: a transfer is cut into pieces of
 * up to 128 KiB, one after the other. While storage works on a piece the lock is free, so that the
 * guest can look at the status and reset the channel; a reset takes another epoch, and a piece that
 * was begun in an earlier one changes nothing more when it is done. Guest memory is touched only
 * between pieces, with the lock held, through a table that the reader's registration keeps alive.
 * A physical region descriptor is read once, when its turn comes.
 */
#include "device/ide.h"

#include <errno.h>

static struct ide_channel *ch_of(const struct disk_worker *w)
{
	return (struct ide_channel *)(uintptr_t)w; /* first */
}

void ide_kick(struct ide_channel *ch)
{
	disk_worker_wake(&ch->worker);
}

/*
 * The bus master.
 */

/* The next descriptor. False: there is none, or it cannot be read. */
static bool next_prd(struct ide_channel *ch, const struct mem_table *table)
{
	uint8_t prd[8];
	uint32_t count;

	if (ch->prd_last || ch->prd == IDE_PRDS_MAX ||
	    mem_read(table, (uint64_t)ch->prdt + 8ull * ch->prd, prd, sizeof(prd)))
		return false;
	ch->prd++;
	count = load_le16(prd + 4) & 0xfffeu;
	ch->prd_addr = load_le32(prd) & ~1u;
	ch->prd_left = count ? count : 65536;
	ch->prd_last = prd[7] & 0x80;
	return true;
}

/* Moves the whole buffer to or from guest memory. False: the regions end too early. */
static bool move_buffer(struct ide_channel *ch)
{
	const struct mem_table *table;
	uint32_t at = 0;
	bool ok = true;

	quiesce_online(&ch->reader);
	table = guest_mem_table(ch->ide->mem);
	while (at < ch->len && ok) {
		uint32_t n;

		if (!ch->prd_left && !next_prd(ch, table)) {
			ok = false;
			break;
		}
		n = MIN(ch->len - at, ch->prd_left);
		if (ch->op == IDE_READ)
			ok = !mem_write(table, ch->prd_addr, ch->buffer + at, n);
		else
			ok = !mem_read(table, ch->prd_addr, ch->buffer + at, n);
		at += n;
		ch->prd_addr += n;
		ch->prd_left -= n;
	}
	quiesce_offline(&ch->reader);
	return ok;
}

static void dma_failed(struct ide_channel *ch)
{
	ch->bm_status |= BM_ERROR;
	ide_end(ch, ATA_E_ABRT);
}

uint8_t ide_bm_read(struct ide_channel *ch, unsigned reg)
{
	if (reg == 0)
		return ch->bm_command;
	if (reg == 2)
		return ch->bm_status;
	return reg >= 4 ? (uint8_t)(ch->prdt >> (8 * (reg - 4))) : 0;
}

void ide_bm_write(struct ide_channel *ch, unsigned reg, uint8_t value)
{
	bool started = value & BM_START && !(ch->bm_command & BM_START);

	if (reg == 2) {
		ch->bm_status &= (uint8_t) ~(value & (BM_ERROR | BM_INTERRUPT));
		ch->bm_status = (uint8_t)((ch->bm_status & ~0x60) | (value & 0x60));
	} else if (reg >= 4) {
		ch->prdt &= ~(0xffu << (8 * (reg - 4)));
		ch->prdt |= (uint32_t)value << (8 * (reg - 4));
		ch->prdt &= ~3u;
	}
	if (reg)
		return;
	ch->bm_command = value & (BM_START | BM_TO_MEMORY);
	if (!(value & BM_START))
		ch->bm_status &= (uint8_t)~BM_ACTIVE;
	if (!started)
		return;
	ch->prd = ch->prd_left = 0;
	ch->prd_last = false;
	ch->bm_status |= BM_ACTIVE;
	if (ch->phase == IDE_DMA) {
		ch->phase = IDE_IO;
		ch->status = ATA_BSY;
		ide_kick(ch);
	}
}

/*
 * The worker. With the lock, but for submitting and reaping.
 */

static void submit(struct ide_channel *ch, enum block_op op)
{
	bool data = op != BLOCK_FLUSH;

	ch->iov = (struct iovec){ch->buffer, ch->len};
	ch->req = (struct block_request){
		.op = op,
		.fua = op == BLOCK_WRITE && ch->fua,
		.offset = data ? ch->sector * IDE_SECTOR : 0,
		.len = data ? ch->len : 0,
		.iov = &ch->iov,
		.niov = 1,
	};
	ch->req_epoch = ch->epoch;
	ch->in_flight = true;
}

/* Begins the next piece of the command. Whether there is a request to hand on. */
static bool begin_piece(struct ide_channel *ch)
{
	if (ch->op == IDE_FLUSH) {
		submit(ch, BLOCK_FLUSH);
		return true;
	}
	if (ch->dma || ch->op == IDE_READ)
		ch->len = MIN(ch->left * IDE_SECTOR, IDE_BUFFER);
	if (ch->dma && !pci_dev_bus_master(&ch->ide->pci)) {
		dma_failed(ch);
		return false;
	}
	if (ch->op == IDE_READ) {
		submit(ch, BLOCK_READ);
		return true;
	}
	if (ch->dma && !move_buffer(ch)) {
		dma_failed(ch);
		return false;
	}
	submit(ch, BLOCK_WRITE);
	return true;
}

static uint8_t error_of(const struct block_request *req)
{
	if (req->result == -EINVAL)
		return ATA_E_IDNF; /* it was made smaller */
	return req->op == BLOCK_READ && req->result != -ECANCELED ? ATA_E_UNC : ATA_E_ABRT;
}

/* A piece is done, by this disk, which the guest may have turned from with a reset. */
static void piece_done(struct ide_channel *ch, struct ide_disk *disk)
{
	count_add(&disk->c.ops[ch->req.op], 1);
	count_add(&disk->c.bytes[ch->req.op], ch->req.len);
	if (ch->req_epoch != ch->epoch)
		return;
	if (ch->req.result) {
		ide_end(ch, error_of(&ch->req));
		return;
	}
	ch->sector += ch->len / IDE_SECTOR;
	ch->left -= ch->op == IDE_FLUSH ? 0 : ch->len / IDE_SECTOR;
	if (ch->op == IDE_READ && ch->dma && !move_buffer(ch)) {
		dma_failed(ch);
	} else if (ch->op == IDE_READ && !ch->dma) {
		ch->phase = IDE_PIO_IN;
		ch->at = 0;
		ide_present(ch, true);
	} else if (!ch->left || ch->op == IDE_FLUSH) {
		ide_end(ch, 0);
	} else if (!ch->dma) {
		ch->phase = IDE_PIO_OUT;
		ch->at = 0;
		ch->len = MIN(ch->left * IDE_SECTOR, IDE_BUFFER);
		ide_present(ch, true);
	}
}

static bool reap(struct ide_channel *ch)
{
	bool any = false;

	for (unsigned i = 0; i < 2; i++) {
		struct block_request *done;

		if (!ch->disks[i] || !block_queue_reap(ch->disks[i]->io, &done, 1))
			continue;
		pthread_mutex_lock(&ch->lock);
		ch->in_flight = false;
		piece_done(ch, ch->disks[i]);
		pthread_mutex_unlock(&ch->lock);
		any = true;
	}
	return any;
}

static bool ide_step(struct disk_worker *w, bool accept)
{
	struct ide_channel *ch = ch_of(w);
	struct block_queue *io = NULL;
	bool any = reap(ch);

	if (!accept || ch->in_flight)
		return any;
	pthread_mutex_lock(&ch->lock);
	if (ch->phase == IDE_IO) {
		any = true;
		if (begin_piece(ch))
			io = ide_selected(ch)->io;
	}
	pthread_mutex_unlock(&ch->lock);
	if (io) {
		block_queue_submit(io, &ch->req);
		block_queue_start(io);
	}
	return any;
}

static unsigned ide_busy(const struct disk_worker *w)
{
	return ch_of(w)->in_flight;
}

static void ide_cancel(struct disk_worker *w)
{
	struct ide_channel *ch = ch_of(w);

	for (unsigned i = 0; i < 2; i++)
		if (ch->disks[i])
			block_queue_cancel(ch->disks[i]->io);
}

const struct disk_worker_ops ide_worker_ops = {
	.step = ide_step, .busy = ide_busy, .cancel = ide_cancel};
