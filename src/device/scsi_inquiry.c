// SPDX-License-Identifier: Apache-2.0
/* What a SCSI disk says about itself: INQUIRY with its vital product data, and mode pages. */
#include "device/scsi_disk.h"

#include <stdio.h>

enum {
	VPD_SUPPORTED = 0x00,
	VPD_SERIAL = 0x80,
	VPD_IDENTIFICATION = 0x83,
	VPD_BLOCK_LIMITS = 0xb0,
	VPD_CHARACTERISTICS = 0xb1,
	VPD_PROVISIONING = 0xb2,
};

enum { MODE_CACHING = 0x08, MODE_CONTROL = 0x0a, MODE_ALL = 0x3f };

/* Text padded with blanks. */
static void put_text(uint8_t *p, const char *text, size_t len)
{
	size_t n = strnlen(text, len);

	memcpy(p, text, n);
	memset(p + n, ' ', len - n);
}

/* SPC-4, 7.8.6: the serial number after our name, which makes it unique. */
static uint32_t identification(const struct disk *disk, uint8_t *p)
{
	size_t len = strlen(disk->serial);

	p[0] = 2; /* ASCII */
	p[1] = 1; /* the logical unit's, T10 vendor identification */
	p[3] = (uint8_t)(8 + len);
	put_text(p + 4, "VIADUCT", 8);
	memcpy(p + 12, disk->serial, len);
	return (uint32_t)(12 + len);
}

/* SBC-3, 6.6.4. */
static uint32_t block_limits(const struct block *block, uint8_t *p)
{
	p[1] = 0; /* WSNZ: a WRITE SAME of 0 blocks is "to the end", which we refuse by its length */
	store_be16(p + 2, (uint16_t)(block->physical_size / block->block_size));
	store_be32(p + 8, block->optimal_size / block->block_size);
	if (block->can_discard) {
		store_be32(p + 16, SCSI_FREE_BLOCKS_MAX);
		store_be32(p + 20, SCSI_UNMAP_MAX);
		store_be32(p + 24, block->physical_size / block->block_size);
	}
	if (block->can_zero)
		store_be64(p + 32, SCSI_FREE_BLOCKS_MAX);
	return 60;
}

static uint32_t vpd(const struct disk *disk, uint8_t page, uint8_t *p)
{
	static const uint8_t pages[] = {VPD_SUPPORTED,	  VPD_SERIAL,	       VPD_IDENTIFICATION,
					VPD_BLOCK_LIMITS, VPD_CHARACTERISTICS, VPD_PROVISIONING};
	const struct block *block = disk->block;
	uint32_t len = (uint32_t)strlen(disk->serial);

	switch (page) {
	case VPD_SUPPORTED:
		memcpy(p, pages, sizeof(pages));
		return sizeof(pages);
	case VPD_SERIAL:
		memcpy(p, disk->serial, len);
		return len;
	case VPD_IDENTIFICATION:
		return identification(disk, p);
	case VPD_BLOCK_LIMITS:
		return block_limits(block, p);
	case VPD_CHARACTERISTICS:
		store_be16(p, 1); /* it does not rotate */
		return 60;
	case VPD_PROVISIONING:
		p[1] = (uint8_t)((block->can_discard ? 0x80 : 0) | (block->can_zero ? 0x60 : 0));
		p[2] = block->can_discard ? 2 : 0; /* thin */
		return 4;
	default:
		return 0;
	}
}

enum scsi_next scsi_inquiry(struct scsi_cmd *cmd, uint8_t *p)
{
	uint32_t allocation = load_be16(cmd->cdb + 3), len;

	if (cmd->cdb[1] & 1) {
		if (!cmd->unit)
			return scsi_fail(cmd, SENSE_ILLEGAL_REQUEST, 0x25, 0);
		len = vpd(cmd->unit->disk, cmd->cdb[2], p + 4);
		if (!len)
			return scsi_fail(cmd, SENSE_ILLEGAL_REQUEST, 0x24, 0);
		p[1] = cmd->cdb[2];
		store_be16(p + 2, (uint16_t)len);
		return scsi_respond(cmd, len + 4, allocation);
	}
	if (cmd->cdb[2])
		return scsi_fail(cmd, SENSE_ILLEGAL_REQUEST, 0x24, 0);
	p[0] = cmd->unit ? 0x00 : 0x7f; /* a disk; or nothing, nor could there be */
	p[2] = 6;			/* SPC-4 */
	p[3] = 0x12;			/* hierarchical LUNs, this format */
	p[4] = 36 - 5;
	p[7] = 2; /* command queuing */
	put_text(p + 8, "VIADUCT", 8);
	put_text(p + 16, "DISK", 16);
	put_text(p + 32, VIADUCT_VERSION, 4);
	return scsi_respond(cmd, 36, allocation);
}

/* One page at p. Those values that may be changed (page control 1) are none. */
static uint32_t mode_page(const struct block *block, uint8_t page, bool changeable, uint8_t *p)
{
	uint8_t len = page == MODE_CACHING ? 18 : 10;

	p[0] = page;
	p[1] = len;
	if (!changeable && page == MODE_CACHING)
		p[2] = block->readonly ? 0 : 4; /* a write cache is enabled */
	if (!changeable && page == MODE_CONTROL)
		p[3] = 0x10; /* commands may be reordered without limit */
	return 2u + len;
}

enum scsi_next scsi_mode_sense(struct scsi_cmd *cmd, uint8_t *p)
{
	const struct block *block = cmd->unit->disk->block;
	bool ten = cmd->cdb[0] == 0x5a, descriptor = !(cmd->cdb[1] & 8);
	uint8_t page = cmd->cdb[2] & 0x3f, control = cmd->cdb[2] >> 6;
	uint32_t header = ten ? 8 : 4, at = header + (descriptor ? 8 : 0);
	uint8_t specific =
		(uint8_t)((block->readonly ? 0x80 : 0) | 0x10); /* DPO and FUA are known */
	uint64_t blocks = block->size / block->block_size;

	if (control == 3)
		return scsi_fail(cmd, SENSE_ILLEGAL_REQUEST, 0x39, 0);
	if (page != MODE_ALL && page != MODE_CACHING && page != MODE_CONTROL)
		return scsi_fail(cmd, SENSE_ILLEGAL_REQUEST, 0x24, 0);
	if (descriptor) {
		store_be32(p + header, blocks > UINT32_MAX ? UINT32_MAX : (uint32_t)blocks);
		store_be32(p + header + 4, block->block_size);
	}
	if (page != MODE_CONTROL)
		at += mode_page(block, MODE_CACHING, control == 1, p + at);
	if (page != MODE_CACHING)
		at += mode_page(block, MODE_CONTROL, control == 1, p + at);
	if (ten) {
		store_be16(p, (uint16_t)(at - 2));
		p[3] = specific;
		store_be16(p + 6, descriptor ? 8 : 0);
	} else {
		p[0] = (uint8_t)(at - 1);
		p[2] = specific;
		p[3] = descriptor ? 8 : 0;
	}
	return scsi_respond(cmd, at, ten ? load_be16(cmd->cdb + 7) : cmd->cdb[4]);
}
