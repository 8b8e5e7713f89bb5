// SPDX-License-Identifier: Apache-2.0
/* IDENTIFY DEVICE (ATA/ATAPI-7, 6.17). */
#include "device/ide.h"

static void put(uint8_t *out, unsigned word, uint64_t value, unsigned words)
{
	for (unsigned i = 0; i < words; i++)
		store_le16(out + 2 * (word + i), (uint16_t)(value >> (16 * i)));
}

/* ASCII, its bytes swapped in each word, padded with blanks. */
static void put_text(uint8_t *out, unsigned word, unsigned words, const char *text)
{
	for (unsigned i = 0; i < 2 * words; i++)
		out[2 * word + (i ^ 1)] = *text ? (uint8_t)*text++ : ' ';
}

void ide_identify(const struct ide_disk *disk, uint8_t out[IDE_SECTOR])
{
	const struct block *block = disk->disk.block;
	uint64_t sectors = block->size / IDE_SECTOR;
	uint64_t cylinders = MIN(sectors / (16 * 63), 16383);
	unsigned exp = 0;

	while ((uint32_t)IDE_SECTOR << exp < block->physical_size)
		exp++;
	memset(out, 0, IDE_SECTOR);
	put(out, 0, 0x0040, 1);
	put(out, 1, cylinders, 1);
	put(out, 3, 16, 1);
	put(out, 6, 63, 1);
	put_text(out, 10, 10, disk->disk.serial);
	put_text(out, 23, 4, VIADUCT_VERSION);
	put_text(out, 27, 20, "VIADUCT DISK");
	put(out, 47, 0x8000 | IDE_MULTI_MAX, 1);
	put(out, 49, 0x0f00, 1); /* LBA, DMA, IORDY */
	put(out, 50, 0x4000, 1);
	put(out, 53, 7, 1);
	put(out, 54, cylinders, 1);
	put(out, 55, 16, 1);
	put(out, 56, 63, 1);
	put(out, 57, cylinders * 16 * 63, 2);
	put(out, 59, disk->multi ? 0x100 | disk->multi : 0, 1);
	put(out, 60, MIN(sectors, 0x0fffffff), 2);
	put(out, 63, 0x0407, 1); /* multiword DMA 0 to 2, and 2 is chosen */
	put(out, 64, 3, 1);	 /* PIO 3 and 4 */
	for (unsigned word = 65; word <= 68; word++)
		put(out, word, 120, 1); /* nanoseconds a word */
	put(out, 80, 0x00f0, 1);	/* ATA-4 to ATA-7 */
	put(out, 82, 0x4020, 1);	/* write cache */
	put(out, 83, 0x7400, 1);	/* FLUSH CACHE, FLUSH CACHE EXT, LBA48 */
	put(out, 84, 0x4040, 1);	/* WRITE DMA FUA EXT */
	put(out, 85, disk->write_through ? 0x4000 : 0x4020, 1);
	put(out, 86, 0x3400, 1);
	put(out, 87, 0x4040, 1);
	put(out, 100, sectors, 4);
	put(out, 106, 0x4000 | (exp ? 0x2000 | exp : 0), 1);
	put(out, 217, 1, 1); /* does not rotate */
}
