/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DEVICE_SCSI_DISK_H
#define DEVICE_SCSI_DISK_H

#include "device/disk.h"

/*
 * A SCSI disk (SPC-4, SBC-3) without a transport: a command descriptor block comes in; what comes
 * out is a status with sense data, data for the initiator, or a block request to carry out, after
 * which scsi_finish() says how it ended. Nothing here touches guest memory but through the iovecs
 * given.
 */
#define SCSI_CDB_MAX	  32
#define SCSI_SENSE_LEN	  18
#define SCSI_RESPONSE_MAX 1024
#define SCSI_LUNS_MAX	  64

enum { SCSI_GOOD = 0x00, SCSI_CHECK_CONDITION = 0x02 };

struct scsi_disk {
	struct disk *disk;
	unsigned lun;
	/* Unit attentions that the initiator was not told of yet: bits. */
	_Atomic unsigned attention;
};
#define SCSI_ATTENTION_RESET	1u /* power on, or reset */
#define SCSI_ATTENTION_CAPACITY 2u

enum scsi_next {
	SCSI_DONE, /* status, sense and response are the answer */
	SCSI_IO,   /* *req is to be carried out; then scsi_finish() */
};

struct scsi_cmd {
	/* In. */
	const struct scsi_disk *luns; /* the target's, for REPORT LUNS */
	unsigned nluns;
	struct scsi_disk *unit; /* addressed; NULL: there is none */
	uint8_t cdb[SCSI_CDB_MAX];
	uint32_t out_len, in_len; /* of the data, as the initiator has room or brings it */
	/* Brings len bytes of the initiator's data from offset; for parameter lists. */
	void (*read_data)(struct scsi_cmd *cmd, uint32_t offset, void *buf, uint32_t len);

	/* Out. */
	uint8_t status;
	uint8_t sense_len;
	uint8_t sense[SCSI_SENSE_LEN];
	uint32_t moved; /* bytes of data that go either way */
	bool overrun;	/* the command moves more than the initiator has room for */
	uint32_t response_len;

	/* UNMAP: descriptors done and in all. */
	uint16_t range, ranges;
};

/** Begins a command. response: SCSI_RESPONSE_MAX bytes, filled up to response_len. */
enum scsi_next scsi_begin(struct scsi_cmd *cmd, struct block_request *req, uint8_t *response);
/** The request of SCSI_IO is done. SCSI_IO again if another one is needed. */
enum scsi_next scsi_finish(struct scsi_cmd *cmd, struct block_request *req);

/* For the files of scsi_*.c. */
enum scsi_next scsi_fail(struct scsi_cmd *cmd, uint8_t key, uint8_t asc, uint8_t ascq);
/** Fixed-format sense data (SPC-4, 4.5.3). */
void scsi_sense(uint8_t sense[SCSI_SENSE_LEN], uint8_t key, uint8_t asc, uint8_t ascq);
/** Answers with len bytes of response, cut to the allocation length. */
enum scsi_next scsi_respond(struct scsi_cmd *cmd, uint32_t len, uint32_t allocation);
enum scsi_next scsi_inquiry(struct scsi_cmd *cmd, uint8_t *response);
enum scsi_next scsi_mode_sense(struct scsi_cmd *cmd, uint8_t *response);

enum {
	SENSE_NONE = 0,
	SENSE_NOT_READY = 2,
	SENSE_MEDIUM_ERROR = 3,
	SENSE_ILLEGAL_REQUEST = 5,
	SENSE_UNIT_ATTENTION = 6,
	SENSE_DATA_PROTECT = 7,
	SENSE_ABORTED = 0xb,
};

#define SCSI_FREE_BLOCKS_MAX (GIB / 512) /* of a range, with blocks of any size */
#define SCSI_UNMAP_MAX	     256	 /* descriptors of an UNMAP */

#endif
