// SPDX-License-Identifier: Apache-2.0
/*
 * virtio-scsi's control and event queues (virtio 1.2, 5.6.6.2 and 5.6.6.3), served by the main loop.
 *
 * Task management. A command that the storage works on cannot be taken back from it, so each
 * function that ends commands waits until those under way have completed, which they then have
 * before the function does; no command of before it completes after it. The wait is bounded as
 * each stop of a queue is (disk_worker.c).
 */
#include "device/virtio_scsi.h"

#include <errno.h>
#include <sys/eventfd.h>

#include "base/iov.h"
#include "base/log.h"

#define IOV	  16
#define ROUND	  64 /* commands, then the loop's other business has its turn */
#define EVENT_LEN 16

enum { CTRL_TMF = 0, CTRL_AN_QUERY = 1, CTRL_AN_SUBSCRIBE = 2 };
enum {
	TMF_ABORT_TASK,
	TMF_ABORT_TASK_SET,
	TMF_CLEAR_ACA,
	TMF_CLEAR_TASK_SET,
	TMF_I_T_NEXUS_RESET,
	TMF_LOGICAL_UNIT_RESET,
	TMF_QUERY_TASK,
	TMF_QUERY_TASK_SET,
};

enum { EVENT_PARAM_CHANGE = 3, EVENT_MISSED = 0x80 };

static void end_commands(struct virtio_scsi *vs)
{
	for (unsigned i = 0; i < vs->nqueues; i++) {
		if (!vs->queues[i].running)
			continue;
		disk_worker_park(&vs->queues[i].worker);
		disk_worker_unpark(&vs->queues[i].worker);
	}
}

static void was_reset(struct scsi_disk *unit)
{
	atomic_fetch_or(&unit->attention, SCSI_ATTENTION_RESET);
}

static uint8_t task_management(struct virtio_scsi *vs, uint32_t function, const uint8_t lun[8])
{
	bool target;
	struct scsi_disk *unit = virtio_scsi_unit(vs, lun, &target);

	if (!target)
		return VSCSI_S_BAD_TARGET;
	if (!unit && function != TMF_I_T_NEXUS_RESET)
		return VSCSI_S_INCORRECT_LUN;
	switch (function) {
	case TMF_ABORT_TASK:
	case TMF_ABORT_TASK_SET:
	case TMF_CLEAR_TASK_SET:
	case TMF_QUERY_TASK: /* none is left after this, whatever was asked about */
	case TMF_QUERY_TASK_SET:
		end_commands(vs);
		return VSCSI_S_OK;
	case TMF_LOGICAL_UNIT_RESET:
		end_commands(vs);
		was_reset(unit);
		return VSCSI_S_OK;
	case TMF_I_T_NEXUS_RESET:
		end_commands(vs);
		for (unsigned i = 0; i < vs->nunits; i++)
			was_reset(&vs->units[i]);
		return VSCSI_S_OK;
	default:
		return VSCSI_S_FUNCTION_REJECTED;
	}
}

/* Carries out one command of len bytes; returns the answer's length. */
static unsigned control_command(struct virtio_scsi *vs, const uint8_t *cmd, size_t len,
				uint8_t answer[5])
{
	uint32_t type = len >= 4 ? load_le32(cmd) : UINT32_MAX;

	memset(answer, 0, 5);
	if (type == CTRL_TMF && len >= 24) {
		answer[0] = task_management(vs, load_le32(cmd + 4), cmd + 8);
		return 1;
	}
	/* Asynchronous notification: none of the media events are ever there. */
	if ((type == CTRL_AN_QUERY || type == CTRL_AN_SUBSCRIBE) && len >= 16) {
		answer[4] = VSCSI_S_OK;
		return 5;
	}
	answer[0] = VSCSI_S_FAILURE;
	return 1;
}

static void queue_call(struct virtio_scsi *vs, struct virtio_scsi_simple *s, unsigned index)
{
	if (vq_flush(s->vq))
		(void)eventfd_write(vs->vdev.queues[index].call_fd, 1);
}

static void queue_broken(struct virtio_scsi *vs, struct virtio_scsi_simple *s, unsigned index)
{
	log_warn_limited("%s: queue %u is broken until the guest resets the device: %s", vs->pci.id,
			 index, vring_fault_name(vq_fault(s->vq)));
	if (s->kick.active)
		loop_remove(vs->vdev.loop, &s->kick);
	virtio_needs_reset(&vs->vdev);
}

/* One command from the queue: 1, 0 if there was none, or -EPROTO. */
static int serve_one(struct virtio_scsi *vs)
{
	struct iovec iov[IOV];
	struct vq_buf buf;
	uint8_t cmd[32], answer[5];
	unsigned n;
	int ret = vq_pop(vs->control.vq, &buf, 1, iov, IOV);

	if (ret <= 0)
		return ret;
	n = control_command(vs, cmd, iov_read(buf.iov, buf.out_n, 0, cmd, sizeof(cmd)), answer);
	n = (unsigned)iov_write(buf.iov + buf.out_n, buf.in_n, 0, answer, n);
	vq_push(vs->control.vq, &buf, n);
	return 1;
}

static void control_kicked(struct loop_fd *watch, uint32_t events)
{
	struct virtio_scsi *vs = watch->opaque;
	unsigned served = 0;
	eventfd_t count;
	int n;

	(void)eventfd_read(watch->fd, &count);
	do {
		while ((n = serve_one(vs)) > 0 && ++served < ROUND)
			;
	} while (!n && vq_enable_kicks(vs->control.vq));
	if (n > 0)
		(void)eventfd_write(watch->fd, 1);
	queue_call(vs, &vs->control, VSCSI_QUEUE_CONTROL);
	if (n < 0)
		queue_broken(vs, &vs->control, VSCSI_QUEUE_CONTROL);
}

/* Buffers for events are taken when there is an event. */
static void event_kicked(struct loop_fd *watch, uint32_t events)
{
	eventfd_t count;

	(void)eventfd_read(watch->fd, &count);
}

void virtio_scsi_event_changed(struct virtio_scsi *vs, const struct scsi_disk *unit, uint8_t asc,
			       uint8_t ascq)
{
	uint8_t event[EVENT_LEN] = {0};
	struct iovec iov[IOV];
	struct vq_buf buf;
	int n;

	if (!vs->event.running || !virtio_has(&vs->vdev, VIRTIO_SCSI_F_CHANGE))
		return;
	n = vq_pop(vs->event.vq, &buf, 1, iov, IOV);
	if (n < 0)
		queue_broken(vs, &vs->event, VSCSI_QUEUE_EVENT);
	if (n <= 0) {
		vs->events_missed++;
		return;
	}
	store_le32(event, EVENT_PARAM_CHANGE | (vs->events_missed ? 1u << 31 : 0));
	vs->events_missed = 0;
	event[4] = 1; /* a LUN's first byte */
	event[6] = (uint8_t)(0x40 | unit->lun >> 8);
	event[7] = (uint8_t)unit->lun;
	event[12] = asc;
	event[13] = ascq;
	vq_push(vs->event.vq, &buf,
		(uint32_t)iov_write(buf.iov + buf.out_n, buf.in_n, 0, event, sizeof(event)));
	queue_call(vs, &vs->event, VSCSI_QUEUE_EVENT);
}

static struct virtio_scsi_simple *simple_of(struct virtio_scsi *vs, unsigned index)
{
	return index == VSCSI_QUEUE_CONTROL ? &vs->control : &vs->event;
}

static int memory_changed(struct mem_listener *listener, const struct mem_table *old,
			  const struct mem_table *table, struct error *err)
{
	struct virtio_scsi *vs = listener->opaque;

	for (unsigned i = 0; i < VSCSI_QUEUE_FIRST; i++) {
		struct virtio_scsi_simple *s = simple_of(vs, i);

		if (s->running && vq_set_memory(s->vq, table))
			queue_broken(vs, s, i);
	}
	return 0;
}

int virtio_scsi_ctrl_init(struct virtio_scsi *vs, struct error *err)
{
	int ret;

	vs->control.kick = (struct loop_fd){.fn = control_kicked, .opaque = vs};
	vs->event.kick = (struct loop_fd){.fn = event_kicked, .opaque = vs};
	vs->control.vq = vq_create();
	vs->event.vq = vq_create();
	if (!vs->control.vq || !vs->event.vq)
		return error_set(err, -ENOMEM, "%s: out of memory", vs->pci.id);
	vs->listener = (struct mem_listener){
		.name = "virtio-scsi", .changed = memory_changed, .opaque = vs};
	ret = guest_mem_listen(vs->vdev.mem, &vs->listener, err);
	vs->listening = !ret;
	return ret;
}

void virtio_scsi_ctrl_fini(struct virtio_scsi *vs)
{
	if (vs->listening)
		guest_mem_unlisten(vs->vdev.mem, &vs->listener);
	vs->listening = false;
	vq_free(vs->control.vq);
	vq_free(vs->event.vq);
	vs->control.vq = vs->event.vq = NULL;
}

int virtio_scsi_ctrl_start(struct virtio_scsi *vs, unsigned index, struct error *err)
{
	struct virtio_scsi_simple *s = simple_of(vs, index);
	struct virtio_queue *q = &vs->vdev.queues[index];
	struct vring_config cfg;
	int ret;

	if (s->running || !virtio_queue_config(&vs->vdev, index, &cfg))
		return 0;
	ret = vq_start(s->vq, &cfg, &q->state, guest_mem_table(vs->vdev.mem), err);
	if (ret)
		return ret;
	s->kick.fd = q->kick_fd;
	ret = loop_add(vs->vdev.loop, &s->kick, EPOLLIN);
	if (ret) {
		vq_stop(s->vq, &q->state);
		return error_set(err, ret, "%s: cannot watch queue %u: %s", vs->pci.id, index,
				 error_name(ret));
	}
	s->running = true;
	(void)eventfd_write(q->kick_fd, 1); /* an earlier run may have taken a kick */
	return 0;
}

void virtio_scsi_ctrl_stop(struct virtio_scsi *vs, unsigned index)
{
	struct virtio_scsi_simple *s = simple_of(vs, index);

	if (!s->running)
		return;
	if (s->kick.active)
		loop_remove(vs->vdev.loop, &s->kick);
	vq_stop(s->vq, &vs->vdev.queues[index].state);
	s->running = false;
}
