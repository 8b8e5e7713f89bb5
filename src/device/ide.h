/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DEVICE_IDE_H
#define DEVICE_IDE_H

#include "device/disk.h"
#include "device/disk_worker.h"
#include "mem/quiesce.h"

/*
 * The IDE half of a PIIX3 (Intel 82371SB) with up to four ATA disks: two channels at the ports and
 * interrupts of old, PIO and bus-master DMA, LBA28 and LBA48. For guests without virtio drivers.
 * Private to src/device/ide*.c, the table and their tests.
 */
#define IDE_CONTROLLER "ide0"
#define IDE_VENDOR     0x8086
#define IDE_DEVICE     0x7010
#define IDE_CLASS      0x010180 /* compatibility mode, bus master */
#define IDE_BM_BAR     4
#define IDE_BM_SIZE    16
#define IDE_SECTOR     512
#define IDE_BUFFER     (256 * IDE_SECTOR)
#define IDE_MULTI_MAX  16
#define IDE_PRDS_MAX   8192 /* what 64 KiB hold */

enum { IDE_PRIMARY_GSI = 14, IDE_SECONDARY_GSI = 15 };

/* Status, error and device control bits (ATA/ATAPI-7). */
enum {
	ATA_ERR = 0x01,
	ATA_DRQ = 0x08,
	ATA_DSC = 0x10,
	ATA_DF = 0x20,
	ATA_DRDY = 0x40,
	ATA_BSY = 0x80,
	ATA_E_ABRT = 0x04,
	ATA_E_IDNF = 0x10,
	ATA_E_UNC = 0x40,
	ATA_C_NIEN = 0x02,
	ATA_C_SRST = 0x04,
	ATA_C_HOB = 0x80,
	ATA_D_DEV = 0x10,
	ATA_D_LBA = 0x40,
};

enum { BM_START = 1, BM_TO_MEMORY = 8 };		/* command */
enum { BM_ACTIVE = 1, BM_ERROR = 2, BM_INTERRUPT = 4 }; /* status */

struct ide;

struct ide_disk {
	struct disk disk; /* first */
	struct block_queue *io;
	unsigned multi; /* sectors of a block in READ and WRITE MULTIPLE; 0: not set */
	bool write_through;
	struct disk_counters c; /* written with the channel's lock */
};

enum ide_op { IDE_NONE, IDE_READ, IDE_WRITE, IDE_FLUSH };

/* Where a command stands. */
enum ide_phase {
	IDE_IDLE,
	IDE_IO,	     /* the worker has it: busy */
	IDE_PIO_IN,  /* the guest reads the buffer */
	IDE_PIO_OUT, /* the guest fills it */
	IDE_DMA,     /* waits for the bus master to be started */
};

struct ide_channel {
	struct disk_worker worker; /* first */
	struct ide *ide;
	unsigned index;
	unsigned gsi;
	struct ide_disk *disks[2];

	pthread_mutex_t lock; /* everything below */
	uint8_t feature, error, status, device, control;
	uint8_t count[2], lba[3][2]; /* as written, and as written before (LBA48) */
	bool irq;

	enum ide_phase phase;
	enum ide_op op;
	bool dma, lba48, fua;
	uint64_t epoch;	  /* another after each reset: what began before is forgotten */
	uint64_t sector;  /* the next */
	uint32_t left;	  /* sectors, those in the buffer excepted */
	uint32_t block;	  /* bytes between two interrupts of a PIO transfer */
	uint32_t len, at; /* of the buffer: bytes in it, the guest's position */
	uint32_t end;	  /* of the block at which the guest is */

	/* Bus master. */
	uint8_t bm_command, bm_status;
	uint32_t prdt;
	uint32_t prd; /* entries taken */
	uint32_t prd_addr, prd_left;
	bool prd_last;

	/* The worker's. */
	struct block_request req;
	struct iovec iov;
	uint64_t req_epoch; /* written with the lock, as in_flight */
	bool in_flight;
	struct quiesce_reader reader;
	uint8_t buffer[IDE_BUFFER] __attribute__((aligned(4096)));
};

struct ide {
	struct pci_dev pci;
	struct guest_mem *mem;
	struct bus *pio;
	struct ide_channel *channels[2];
	bool on_bus[2][2]; /* the port ranges that are there */
};

static inline struct ide_disk *ide_selected(const struct ide_channel *ch)
{
	return ch->disks[ch->device & ATA_D_DEV ? 1 : 0];
}

extern const struct disk_ops ide_disk_ops;

/* ide_ata.c: registers and commands. All with the channel's lock held. */
uint8_t ide_read(struct ide_channel *ch, unsigned reg);
void ide_write(struct ide_channel *ch, unsigned reg, uint8_t value);
uint32_t ide_read_data(struct ide_channel *ch, unsigned size);
void ide_write_data(struct ide_channel *ch, uint32_t value, unsigned size);
void ide_control(struct ide_channel *ch, uint8_t value);
/** Power-on state, or that after a software reset. */
void ide_reset_channel(struct ide_channel *ch);
void ide_set_irq(struct ide_channel *ch, bool on);
/** The command ended; error: bits of the error register, 0 for success. */
void ide_end(struct ide_channel *ch, uint8_t error);
/** The buffer's next block is the guest's to read or to fill. */
void ide_present(struct ide_channel *ch, bool interrupt);

/* ide_identify.c */
void ide_identify(const struct ide_disk *disk, uint8_t out[IDE_SECTOR]);

/* ide_io.c: the worker and the bus master. */
extern const struct disk_worker_ops ide_worker_ops;
uint8_t ide_bm_read(struct ide_channel *ch, unsigned reg);
void ide_bm_write(struct ide_channel *ch, unsigned reg, uint8_t value);
/** With the lock: the worker is to go on with the command. */
void ide_kick(struct ide_channel *ch);

#endif
