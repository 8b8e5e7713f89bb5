// SPDX-License-Identifier: Apache-2.0
/*
 * virtio-blk's requests (virtio 1.2, 5.2.6): a 16-byte header, data to or from the guest, and a
 * status byte, which is the last of the writable bytes; how they are cut into descriptors is the
 * driver's business (2.7.4). A request too small for a header and a status cannot even be
 * answered: its chain is given back with nothing written, and counted.
 *
 * Ranges to discard or to zero are read from guest memory one at a time, each once, when their
 * turn comes.
 */
#include "device/virtio_blk.h"

#include <errno.h>

#include "base/iov.h"

_Static_assert(sizeof(struct blk_slot) <= sizeof(((struct disk_slot *)0)->model),
	       "a slot has room for what is known of a request");

static struct blk_slot *blk_of(struct disk_slot *slot)
{
	return (struct blk_slot *)(void *)slot->model;
}

static const struct virtio_blk *device_of(const struct disk_vq *q)
{
	return q->opaque;
}

/*
 * Writes the status byte, the last of all, and gives the chain back. All of the writable part is
 * said to be written, whatever was, so that the dirty log marks the status.
 */
static void answer(struct disk_vq *q, struct disk_slot *slot, uint8_t status)
{
	const struct vq_buf *buf = &slot->buf;

	if (status != VIRTIO_BLK_S_OK)
		count_add(&q->c.errors, 1);
	iov_write(buf->iov + buf->out_n, buf->in_n, buf->in_len - 1, &status, 1);
	disk_vq_done(q, slot, buf->in_len);
}

static void transfer(struct disk_vq *q, struct disk_slot *slot, uint64_t sector)
{
	const struct vq_buf *buf = &slot->buf;
	bool read = blk_of(slot)->type == VIRTIO_BLK_T_IN;
	uint32_t len = read ? buf->in_len - 1 : buf->out_len - VIRTIO_BLK_HEADER;

	if (sector > INT64_MAX / 512 ||
	    !disk_vq_data(slot, read, read ? 0 : VIRTIO_BLK_HEADER, len)) {
		answer(q, slot, VIRTIO_BLK_S_IOERR);
		return;
	}
	slot->req.op = read ? BLOCK_READ : BLOCK_WRITE;
	slot->req.fua =
		!read && atomic_load_explicit(&device_of(q)->write_through, memory_order_relaxed);
	slot->req.offset = sector * 512;
	slot->req.len = len;
	disk_vq_submit(q, slot);
}

/* The next range of a discard or write-zeroes request. */
static void next_range(struct disk_vq *q, struct disk_slot *slot)
{
	struct blk_slot *blk = blk_of(slot);
	bool discard = blk->type == VIRTIO_BLK_T_DISCARD;
	uint8_t range[VIRTIO_BLK_RANGE];
	uint64_t sector;
	uint32_t sectors, flags;

	iov_read(slot->buf.iov, slot->buf.out_n,
		 VIRTIO_BLK_HEADER + (size_t)blk->range * VIRTIO_BLK_RANGE, range, sizeof(range));
	blk->range++;
	sector = load_le64(range);
	sectors = load_le32(range + 8);
	flags = load_le32(range + 12);
	/* 5.2.6.2: unknown flags, and unmap where that is what is asked for anyway. */
	if (flags & ~(discard ? 0u : (uint32_t)VIRTIO_BLK_F_UNMAP)) {
		answer(q, slot, VIRTIO_BLK_S_UNSUPP);
		return;
	}
	if (sector > INT64_MAX / 512 || sectors > VIRTIO_BLK_FREE_SECTORS) {
		answer(q, slot, VIRTIO_BLK_S_IOERR);
		return;
	}
	slot->req.op = discard ? BLOCK_DISCARD : BLOCK_WRITE_ZEROES;
	slot->req.unmap = flags & VIRTIO_BLK_F_UNMAP;
	slot->req.fua = false;
	slot->req.offset = sector * 512;
	slot->req.len = (uint64_t)sectors * 512;
	disk_vq_submit(q, slot);
}

static void ranges(struct disk_vq *q, struct disk_slot *slot)
{
	struct blk_slot *blk = blk_of(slot);
	uint32_t bytes = slot->buf.out_len - VIRTIO_BLK_HEADER;
	unsigned bit = blk->type == VIRTIO_BLK_T_DISCARD ? VIRTIO_BLK_F_DISCARD
							 : VIRTIO_BLK_F_WRITE_ZEROES;

	if (!virtio_has(q->vdev, bit)) {
		answer(q, slot, VIRTIO_BLK_S_UNSUPP);
		return;
	}
	blk->range = 0;
	blk->ranges = bytes / VIRTIO_BLK_RANGE;
	if (!bytes || bytes % VIRTIO_BLK_RANGE || blk->ranges > VIRTIO_BLK_RANGES_MAX)
		answer(q, slot, VIRTIO_BLK_S_IOERR);
	else
		next_range(q, slot);
}

static void flush(struct disk_vq *q, struct disk_slot *slot)
{
	slot->req.op = BLOCK_FLUSH;
	slot->req.fua = false;
	slot->req.offset = slot->req.len = 0;
	disk_vq_submit(q, slot);
}

/* 5.2.6: 20 bytes, which need not end in a zero. */
static void get_id(struct disk_vq *q, struct disk_slot *slot)
{
	const struct vq_buf *buf = &slot->buf;
	char id[VIRTIO_BLK_ID_BYTES] = {0};
	size_t len = MIN(buf->in_len - 1, sizeof(id));

	memcpy(id, device_of(q)->disk.serial, strnlen(device_of(q)->disk.serial, sizeof(id)));
	iov_write(buf->iov + buf->out_n, buf->in_n, 0, id, len);
	answer(q, slot, VIRTIO_BLK_S_OK);
}

static void handle(struct disk_vq *q, struct disk_slot *slot)
{
	const struct vq_buf *buf = &slot->buf;
	uint8_t header[VIRTIO_BLK_HEADER];

	if (buf->out_len < VIRTIO_BLK_HEADER || !buf->in_len) {
		count_add(&q->c.bad_requests, 1);
		disk_vq_done(q, slot, 0);
		return;
	}
	iov_read(buf->iov, buf->out_n, 0, header, sizeof(header));
	slot->io = q->ios[0];
	blk_of(slot)->type = load_le32(header);
	switch (blk_of(slot)->type) {
	case VIRTIO_BLK_T_IN:
	case VIRTIO_BLK_T_OUT:
		transfer(q, slot, load_le64(header + 8));
		break;
	case VIRTIO_BLK_T_FLUSH:
		flush(q, slot);
		break;
	case VIRTIO_BLK_T_GET_ID:
		get_id(q, slot);
		break;
	case VIRTIO_BLK_T_DISCARD:
	case VIRTIO_BLK_T_WRITE_ZEROES:
		ranges(q, slot);
		break;
	default:
		answer(q, slot, VIRTIO_BLK_S_UNSUPP);
	}
}

static void complete(struct disk_vq *q, struct disk_slot *slot)
{
	const struct block_request *req = &slot->req;
	struct blk_slot *blk = blk_of(slot);

	count_add(&q->c.ops[req->op], 1);
	count_add(&q->c.bytes[req->op], req->len);
	if (req->result)
		answer(q, slot, req->result == -ENOTSUP ? VIRTIO_BLK_S_UNSUPP : VIRTIO_BLK_S_IOERR);
	else if ((req->op == BLOCK_DISCARD || req->op == BLOCK_WRITE_ZEROES) &&
		 blk->range < blk->ranges)
		next_range(q, slot);
	else
		answer(q, slot, VIRTIO_BLK_S_OK);
}

const struct disk_vq_ops virtio_blk_vq_ops = {.handle = handle, .complete = complete};
