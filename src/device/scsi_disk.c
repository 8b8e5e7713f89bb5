// SPDX-License-Identifier: Apache-2.0
/*
 * A SCSI disk's commands: one function each, in a table by operation code.
 */
#include "device/scsi_disk.h"

#include <errno.h>

void scsi_sense(uint8_t sense[SCSI_SENSE_LEN], uint8_t key, uint8_t asc, uint8_t ascq)
{
	memset(sense, 0, SCSI_SENSE_LEN);
	sense[0] = 0x70; /* about this command, fixed format */
	sense[2] = key;
	sense[7] = SCSI_SENSE_LEN - 8;
	sense[12] = asc;
	sense[13] = ascq;
}

enum scsi_next scsi_fail(struct scsi_cmd *cmd, uint8_t key, uint8_t asc, uint8_t ascq)
{
	cmd->status = SCSI_CHECK_CONDITION;
	cmd->sense_len = SCSI_SENSE_LEN;
	cmd->moved = cmd->response_len = 0;
	scsi_sense(cmd->sense, key, asc, ascq);
	return SCSI_DONE;
}

static enum scsi_next bad_field(struct scsi_cmd *cmd)
{
	return scsi_fail(cmd, SENSE_ILLEGAL_REQUEST, 0x24, 0);
}

enum scsi_next scsi_respond(struct scsi_cmd *cmd, uint32_t len, uint32_t allocation)
{
	cmd->response_len = MIN(MIN(len, allocation), cmd->in_len);
	cmd->moved = cmd->response_len;
	return SCSI_DONE;
}

static const struct block *block_of(const struct scsi_cmd *cmd)
{
	return cmd->unit->disk->block;
}

/*
 * Reading, writing, and what has no data.
 */

/* A range of blocks as the different lengths of CDB have it. */
static void range_of(const uint8_t *cdb, uint64_t *lba, uint64_t *count)
{
	switch (cdb[0] >> 5) {
	case 0:
		*lba = load_be32(cdb) & 0x1fffff;
		*count = cdb[4] ? cdb[4] : 256;
		break;
	case 4:
		*lba = load_be64(cdb + 2);
		*count = load_be32(cdb + 10);
		break;
	case 5:
		*lba = load_be32(cdb + 2);
		*count = load_be32(cdb + 6);
		break;
	default:
		*lba = load_be32(cdb + 2);
		*count = load_be16(cdb + 7);
	}
}

/* Makes it a request's range; false: it is not on the disk. */
static bool set_range(const struct scsi_cmd *cmd, struct block_request *req, uint64_t lba,
		      uint64_t count)
{
	const struct block *block = block_of(cmd);
	uint64_t blocks = block->size / block->block_size;

	if (lba > blocks || count > blocks - lba)
		return false;
	req->offset = lba * block->block_size;
	req->len = count * block->block_size;
	return true;
}

static enum scsi_next outside(struct scsi_cmd *cmd)
{
	return scsi_fail(cmd, SENSE_ILLEGAL_REQUEST, 0x21, 0);
}

static enum scsi_next transfer(struct scsi_cmd *cmd, struct block_request *req, bool write)
{
	uint64_t lba, count;

	range_of(cmd->cdb, &lba, &count);
	if (cmd->cdb[0] >> 5 && cmd->cdb[1] & 0xe0)
		return bad_field(cmd); /* protection information, which there is none of */
	if (write && block_of(cmd)->readonly)
		return scsi_fail(cmd, SENSE_DATA_PROTECT, 0x27, 0);
	if (!set_range(cmd, req, lba, count))
		return outside(cmd);
	if (req->len > (write ? cmd->out_len : cmd->in_len)) {
		cmd->overrun = true;
		return SCSI_DONE;
	}
	req->op = write ? BLOCK_WRITE : BLOCK_READ;
	req->fua = write && cmd->cdb[0] >> 5 && cmd->cdb[1] & 8;
	return SCSI_IO;
}

static enum scsi_next do_read(struct scsi_cmd *cmd, struct block_request *req, uint8_t *p)
{
	return transfer(cmd, req, false);
}

static enum scsi_next do_write(struct scsi_cmd *cmd, struct block_request *req, uint8_t *p)
{
	return transfer(cmd, req, true);
}

/* A range that must be there, and nothing more is looked at: there is no medium that could be bad. */
static enum scsi_next do_verify(struct scsi_cmd *cmd, struct block_request *req, uint8_t *p)
{
	uint64_t lba, count;

	range_of(cmd->cdb, &lba, &count);
	if (cmd->cdb[1] & 6) /* compare with data */
		return bad_field(cmd);
	return set_range(cmd, req, lba, count) ? SCSI_DONE : outside(cmd);
}

static enum scsi_next do_flush(struct scsi_cmd *cmd, struct block_request *req, uint8_t *p)
{
	req->op = BLOCK_FLUSH;
	req->fua = false;
	req->offset = req->len = 0;
	return SCSI_IO;
}

/* Power conditions and the tray's: started is what it is. Stopping makes it stable first. */
static enum scsi_next do_start_stop(struct scsi_cmd *cmd, struct block_request *req, uint8_t *p)
{
	return cmd->cdb[4] & 1 ? SCSI_DONE : do_flush(cmd, req, p);
}

static enum scsi_next do_nothing(struct scsi_cmd *cmd, struct block_request *req, uint8_t *p)
{
	return SCSI_DONE;
}

/*
 * Freeing and zeroing.
 */

/* The next descriptor of an UNMAP (SBC-3, 5.28). */
static enum scsi_next next_unmap(struct scsi_cmd *cmd, struct block_request *req)
{
	uint8_t d[16];
	uint64_t count;

	if (cmd->range == cmd->ranges)
		return SCSI_DONE;
	cmd->read_data(cmd, 8 + 16u * cmd->range, d, sizeof(d));
	cmd->range++;
	count = load_be32(d + 8);
	if (count > SCSI_FREE_BLOCKS_MAX)
		return scsi_fail(cmd, SENSE_ILLEGAL_REQUEST, 0x26, 0);
	if (!set_range(cmd, req, load_be64(d), count))
		return outside(cmd);
	req->op = BLOCK_DISCARD;
	req->fua = false;
	return SCSI_IO;
}

static enum scsi_next do_unmap(struct scsi_cmd *cmd, struct block_request *req, uint8_t *p)
{
	uint32_t len = MIN(load_be16(cmd->cdb + 7), cmd->out_len), bytes;
	uint8_t header[8];

	if (!block_of(cmd)->can_discard)
		return scsi_fail(cmd, SENSE_ILLEGAL_REQUEST, 0x20, 0);
	if (cmd->cdb[1] & 1)
		return bad_field(cmd); /* anchored */
	if (!len)
		return SCSI_DONE;
	if (len < sizeof(header))
		return scsi_fail(cmd, SENSE_ILLEGAL_REQUEST, 0x1a, 0);
	cmd->read_data(cmd, 0, header, sizeof(header));
	bytes = load_be16(header + 2);
	if (bytes % 16 || bytes > len - 8 || bytes / 16 > SCSI_UNMAP_MAX)
		return scsi_fail(cmd, SENSE_ILLEGAL_REQUEST, 0x26, 0);
	cmd->range = 0;
	cmd->ranges = (uint16_t)(bytes / 16);
	cmd->moved = len;
	return next_unmap(cmd, req);
}

static bool all_zero(struct scsi_cmd *cmd, uint32_t len)
{
	uint8_t block[4096];

	cmd->read_data(cmd, 0, block, len);
	for (uint32_t i = 0; i < len; i++)
		if (block[i])
			return false;
	return true;
}

/* WRITE SAME, of zeroes (SBC-3, 5.43): what it is used for. */
static enum scsi_next do_write_same(struct scsi_cmd *cmd, struct block_request *req, uint8_t *p)
{
	const struct block *block = block_of(cmd);
	bool no_data = cmd->cdb[0] == 0x93 && cmd->cdb[1] & 1;
	uint64_t lba, count;

	range_of(cmd->cdb, &lba, &count);
	if (!block->can_zero)
		return scsi_fail(cmd, SENSE_ILLEGAL_REQUEST, 0x20, 0);
	if (cmd->cdb[1] & (no_data ? 0xf6 : 0xf7) || !count || count > SCSI_FREE_BLOCKS_MAX)
		return bad_field(cmd);
	if (!set_range(cmd, req, lba, count))
		return outside(cmd);
	if (!no_data && cmd->out_len < block->block_size) {
		cmd->overrun = true;
		return SCSI_DONE;
	}
	if (!no_data && !all_zero(cmd, block->block_size))
		return scsi_fail(cmd, SENSE_ILLEGAL_REQUEST, 0x26, 0);
	req->op = BLOCK_WRITE_ZEROES;
	req->unmap = cmd->cdb[1] & 8;
	req->fua = false;
	cmd->moved = no_data ? 0 : block->block_size;
	return SCSI_IO;
}

/*
 * What the disk is.
 */

static enum scsi_next do_inquiry(struct scsi_cmd *cmd, struct block_request *req, uint8_t *p)
{
	return scsi_inquiry(cmd, p);
}

static enum scsi_next do_mode_sense(struct scsi_cmd *cmd, struct block_request *req, uint8_t *p)
{
	return scsi_mode_sense(cmd, p);
}

static enum scsi_next do_capacity_10(struct scsi_cmd *cmd, struct block_request *req, uint8_t *p)
{
	uint64_t last = block_of(cmd)->size / block_of(cmd)->block_size - 1;

	if (!(cmd->cdb[8] & 1) && load_be32(cmd->cdb + 2))
		return bad_field(cmd);
	store_be32(p, last > UINT32_MAX ? UINT32_MAX : (uint32_t)last);
	store_be32(p + 4, block_of(cmd)->block_size);
	return scsi_respond(cmd, 8, 8);
}

/* SERVICE ACTION IN(16), of which there is READ CAPACITY(16). */
static enum scsi_next do_service_in(struct scsi_cmd *cmd, struct block_request *req, uint8_t *p)
{
	const struct block *block = block_of(cmd);
	unsigned exp = 0;

	if ((cmd->cdb[1] & 0x1f) != 0x10)
		return bad_field(cmd);
	while (block->block_size << exp < block->physical_size)
		exp++;
	store_be64(p, block->size / block->block_size - 1);
	store_be32(p + 8, block->block_size);
	p[13] = (uint8_t)exp;
	p[14] = block->can_discard ? 0x80 : 0; /* provisioning is managed */
	return scsi_respond(cmd, 32, load_be32(cmd->cdb + 10));
}

static enum scsi_next do_report_luns(struct scsi_cmd *cmd, struct block_request *req, uint8_t *p)
{
	if (cmd->cdb[2] > 2)
		return bad_field(cmd);
	for (unsigned i = 0; i < cmd->nluns && cmd->cdb[2] != 1; i++)
		store_be16(p + 8 + 8 * i, (uint16_t)cmd->luns[i].lun);
	store_be32(p, cmd->cdb[2] == 1 ? 0 : 8 * cmd->nluns);
	return scsi_respond(cmd, 8 + load_be32(p), load_be32(cmd->cdb + 6));
}

static unsigned take_attention(struct scsi_disk *unit)
{
	unsigned bits = atomic_load(&unit->attention), one = bits & (~bits + 1);

	while (bits && !atomic_compare_exchange_weak(&unit->attention, &bits, bits & ~one))
		one = bits & (~bits + 1);
	return bits ? one : 0;
}

static uint8_t attention_asc(unsigned bit)
{
	return bit == SCSI_ATTENTION_CAPACITY ? 0x2a : 0x29;
}

static uint8_t attention_ascq(unsigned bit)
{
	return bit == SCSI_ATTENTION_CAPACITY ? 0x09 : 0x00;
}

/* Sense goes with each status, so what is left to be asked for is a unit attention. */
static enum scsi_next do_request_sense(struct scsi_cmd *cmd, struct block_request *req, uint8_t *p)
{
	unsigned bit = cmd->unit ? take_attention(cmd->unit) : 0;

	if (cmd->cdb[1] & 1)
		return bad_field(cmd); /* descriptor format */
	if (!cmd->unit)
		scsi_sense(p, SENSE_ILLEGAL_REQUEST, 0x25, 0);
	else if (bit)
		scsi_sense(p, SENSE_UNIT_ATTENTION, attention_asc(bit), attention_ascq(bit));
	else
		scsi_sense(p, SENSE_NONE, 0, 0);
	return scsi_respond(cmd, SCSI_SENSE_LEN, cmd->cdb[4]);
}

typedef enum scsi_next command_fn(struct scsi_cmd *cmd, struct block_request *req, uint8_t *p);

static const struct {
	uint8_t code;
	bool no_unit;	   /* answered where there is no such unit */
	bool no_attention; /* answered past a unit attention */
	command_fn *fn;
} commands[] = {
	{0x00, .fn = do_nothing}, /* TEST UNIT READY */
	{0x03, true, true, do_request_sense},
	{0x08, .fn = do_read},
	{0x0a, .fn = do_write},
	{0x12, true, true, do_inquiry},
	{0x1a, .fn = do_mode_sense},
	{0x1b, .fn = do_start_stop},
	{0x1e, .fn = do_nothing}, /* PREVENT ALLOW MEDIUM REMOVAL */
	{0x25, .fn = do_capacity_10},
	{0x28, .fn = do_read},
	{0x2a, .fn = do_write},
	{0x2f, .fn = do_verify},
	{0x35, .fn = do_flush},
	{0x41, .fn = do_write_same},
	{0x42, .fn = do_unmap},
	{0x5a, .fn = do_mode_sense},
	{0x88, .fn = do_read},
	{0x8a, .fn = do_write},
	{0x8f, .fn = do_verify},
	{0x91, .fn = do_flush},
	{0x93, .fn = do_write_same},
	{0x9e, .fn = do_service_in},
	{0xa0, true, true, do_report_luns},
	{0xa8, .fn = do_read},
	{0xaa, .fn = do_write},
	{0xaf, .fn = do_verify},
};

enum scsi_next scsi_begin(struct scsi_cmd *cmd, struct block_request *req, uint8_t *response)
{
	unsigned i = 0, bit;

	cmd->status = SCSI_GOOD;
	cmd->sense_len = 0;
	cmd->moved = cmd->response_len = 0;
	cmd->overrun = false;
	cmd->range = cmd->ranges = 0;
	memset(response, 0, SCSI_RESPONSE_MAX);
	while (i < ARRAY_SIZE(commands) && commands[i].code != cmd->cdb[0])
		i++;
	if (!cmd->unit && (i == ARRAY_SIZE(commands) || !commands[i].no_unit))
		return scsi_fail(cmd, SENSE_ILLEGAL_REQUEST, 0x25, 0);
	if (cmd->unit && (i == ARRAY_SIZE(commands) || !commands[i].no_attention)) {
		bit = take_attention(cmd->unit);
		if (bit)
			return scsi_fail(cmd, SENSE_UNIT_ATTENTION, attention_asc(bit),
					 attention_ascq(bit));
	}
	if (i == ARRAY_SIZE(commands))
		return scsi_fail(cmd, SENSE_ILLEGAL_REQUEST, 0x20, 0);
	return commands[i].fn(cmd, req, response);
}

/* How a request's failure is told. */
static enum scsi_next io_failed(struct scsi_cmd *cmd, const struct block_request *req)
{
	switch (req->result) {
	case -ENOSPC:
		return scsi_fail(cmd, SENSE_DATA_PROTECT, 0x27, 0x07);
	case -EROFS:
		return scsi_fail(cmd, SENSE_DATA_PROTECT, 0x27, 0);
	case -ECANCELED:
		return scsi_fail(cmd, SENSE_ABORTED, 0, 0);
	case -EINVAL: /* it was made smaller meanwhile */
		return outside(cmd);
	case -ENOTSUP:
		return scsi_fail(cmd, SENSE_ILLEGAL_REQUEST, 0x20, 0);
	default:
		if (req->op == BLOCK_READ)
			return scsi_fail(cmd, SENSE_MEDIUM_ERROR, 0x11, 0);
		return scsi_fail(cmd, SENSE_MEDIUM_ERROR, 0x0c, 0);
	}
}

enum scsi_next scsi_finish(struct scsi_cmd *cmd, struct block_request *req)
{
	if (req->result)
		return io_failed(cmd, req);
	if (req->op == BLOCK_READ || req->op == BLOCK_WRITE)
		cmd->moved = (uint32_t)req->len;
	return req->op == BLOCK_DISCARD ? next_unmap(cmd, req) : SCSI_DONE;
}
