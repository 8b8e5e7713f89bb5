// SPDX-License-Identifier: Apache-2.0
/*
 * virtio-scsi's request queues (virtio 1.2, 5.6.6.1): readable, a header with the unit and the CDB,
 * then data; writable, a response with sense data, then data. The sizes of CDB and sense data are
 * the driver's choice in config space, as they were when the queue was started.
 */
#include "device/virtio_scsi.h"

#include "base/iov.h"

struct scsi_slot {
	struct scsi_cmd cmd;
	struct disk_slot *slot;
	uint32_t head_out, head_in; /* where the data begins */
	uint8_t tag;		    /* of the response: VSCSI_S_* */
};

_Static_assert(sizeof(struct scsi_slot) <= sizeof(((struct disk_slot *)0)->model),
	       "a slot has room for what is known of a command");

static struct scsi_slot *scsi_of(struct disk_slot *slot)
{
	return (struct scsi_slot *)(void *)slot->model;
}

/* Where a queue counts what it did for a unit, or for none. */
static struct disk_counters *counters_of(struct disk_vq *q, const struct scsi_cmd *cmd)
{
	const struct virtio_scsi *vs = q->opaque;

	return cmd->unit ? &vs->disks[cmd->unit - cmd->luns]->c[q->index - VSCSI_QUEUE_FIRST]
			 : &q->c;
}

static void read_data(struct scsi_cmd *cmd, uint32_t offset, void *buf, uint32_t len)
{
	struct scsi_slot *s = container_of(cmd, struct scsi_slot, cmd);
	const struct vq_buf *vb = &s->slot->buf;

	memset(buf, 0, len);
	iov_read(vb->iov, vb->out_n, s->head_out + offset, buf, len);
}

/* The response, and the chain back to the driver. */
static void answer(struct disk_vq *q, struct disk_slot *slot, uint8_t response)
{
	struct scsi_slot *s = scsi_of(slot);
	const struct vq_buf *buf = &slot->buf;
	uint8_t head[VIRTIO_SCSI_RESPONSE_HEAD + VIRTIO_SCSI_SENSE_MAX] = {0};
	uint32_t room = s->cmd.in_len ? s->cmd.in_len : s->cmd.out_len;
	uint32_t sense = MIN(s->cmd.sense_len, s->head_in - VIRTIO_SCSI_RESPONSE_HEAD);

	if (response != VSCSI_S_OK || s->cmd.status != SCSI_GOOD)
		count_add(&counters_of(q, &s->cmd)->errors, 1);
	if (response == VSCSI_S_OK) {
		store_le32(head, sense);
		store_le32(head + 4, room - MIN(s->cmd.moved, room));
		head[10] = s->cmd.status;
		memcpy(head + VIRTIO_SCSI_RESPONSE_HEAD, s->cmd.sense, sense);
	}
	head[11] = response;
	iov_write(buf->iov + buf->out_n, buf->in_n, 0, head, s->head_in);
	disk_vq_done(q, slot, s->head_in + (s->cmd.in_len ? s->cmd.moved : 0));
}

/* What the SCSI disk said is to be done next. */
static void go_on(struct disk_vq *q, struct disk_slot *slot, enum scsi_next next)
{
	struct scsi_slot *s = scsi_of(slot);
	bool data = slot->req.op == BLOCK_READ || slot->req.op == BLOCK_WRITE;
	bool read = slot->req.op == BLOCK_READ;

	if (next == SCSI_DONE) {
		answer(q, slot, s->cmd.overrun ? VSCSI_S_OVERRUN : VSCSI_S_OK);
		return;
	}
	if (data && !disk_vq_data(slot, read, read ? s->head_in : s->head_out, slot->req.len)) {
		answer(q, slot, VSCSI_S_FAILURE);
		return;
	}
	slot->io = q->ios[s->cmd.unit - s->cmd.luns];
	disk_vq_submit(q, slot);
}

static void begin(struct disk_vq *q, struct disk_slot *slot)
{
	uint8_t response[SCSI_RESPONSE_MAX];
	struct scsi_slot *s = scsi_of(slot);
	const struct vq_buf *buf = &slot->buf;
	enum scsi_next next = scsi_begin(&s->cmd, &slot->req, response);

	if (next == SCSI_DONE && s->cmd.response_len)
		iov_write(buf->iov + buf->out_n, buf->in_n, s->head_in, response,
			  s->cmd.response_len);
	go_on(q, slot, next);
}

static void handle(struct disk_vq *q, struct disk_slot *slot)
{
	struct virtio_scsi *vs = q->opaque;
	struct scsi_slot *s = scsi_of(slot);
	const struct vq_buf *buf = &slot->buf;
	uint8_t head[VIRTIO_SCSI_REQUEST_HEAD];
	uint32_t cdb = atomic_load_explicit(&vs->cdb_size, memory_order_relaxed);
	bool target;

	memset(s, 0, sizeof(*s));
	s->slot = slot;
	s->head_out = VIRTIO_SCSI_REQUEST_HEAD + cdb;
	s->head_in = VIRTIO_SCSI_RESPONSE_HEAD +
		     atomic_load_explicit(&vs->sense_size, memory_order_relaxed);
	if (buf->out_len < s->head_out || buf->in_len < s->head_in) {
		count_add(&q->c.bad_requests, 1);
		disk_vq_done(q, slot, 0);
		return;
	}
	iov_read(buf->iov, buf->out_n, 0, head, sizeof(head));
	iov_read(buf->iov, buf->out_n, sizeof(head), s->cmd.cdb, MIN(cdb, SCSI_CDB_MAX));
	s->cmd.out_len = buf->out_len - s->head_out;
	s->cmd.in_len = buf->in_len - s->head_in;
	s->cmd.luns = vs->units;
	s->cmd.nluns = vs->nunits;
	s->cmd.unit = virtio_scsi_unit(vs, head, &target);
	s->cmd.read_data = read_data;
	if (!target)
		answer(q, slot, VSCSI_S_BAD_TARGET);
	else if (s->cmd.in_len && s->cmd.out_len) /* both ways: was not offered */
		answer(q, slot, VSCSI_S_FAILURE);
	else
		begin(q, slot);
}

static void complete(struct disk_vq *q, struct disk_slot *slot)
{
	const struct block_request *req = &slot->req;
	struct disk_counters *c = counters_of(q, &scsi_of(slot)->cmd);

	count_add(&c->ops[req->op], 1);
	count_add(&c->bytes[req->op], req->len);
	go_on(q, slot, scsi_finish(&scsi_of(slot)->cmd, &slot->req));
}

const struct disk_vq_ops virtio_scsi_vq_ops = {.handle = handle, .complete = complete};
