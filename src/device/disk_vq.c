// SPDX-License-Identifier: Apache-2.0
/*
 * Serving a virtqueue of storage requests.
 *
 * There are as many slots as the ring has entries, and the ring code bounds what a driver can have
 * outstanding by that, so a chain always finds a slot. A slot's iovec stays as vq_pop() filled it
 * until vq_push(), which marks what was written by it.
 *
 * The memory table may be replaced while requests are in flight; the worker is parked for that
 * moment, so that nothing in flight points into memory that is going away.
 */
#include "device/disk_vq.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/eventfd.h>

#include "base/iov.h"
#include "base/log.h"

#define BURST 64 /* chains taken before they are handed on */
#define SPARE 8	 /* parts of a chain for headers, beyond the data's */

static struct disk_vq *dq_of(const struct disk_worker *w)
{
	return (struct disk_vq *)(uintptr_t)w; /* first */
}

static size_t slot_size(unsigned niov)
{
	return sizeof(struct disk_slot) + niov * sizeof(struct iovec);
}

bool disk_vq_data(struct disk_slot *slot, bool writable, size_t offset, size_t len)
{
	struct iovec *iov = slot->buf.iov + (writable ? slot->buf.out_n : 0);
	unsigned n = writable ? slot->buf.in_n : slot->buf.out_n;
	size_t have = 0;

	while (n && offset >= iov->iov_len) {
		offset -= iov->iov_len;
		iov++;
		n--;
	}
	for (unsigned i = 0; i < n && !offset; i++) {
		have += iov[i].iov_len;
		if (have == len) { /* the usual: whole parts */
			slot->req.iov = iov;
			slot->req.niov = i + 1;
			return true;
		}
	}
	slot->own = calloc(n + 1, sizeof(*slot->own));
	if (!slot->own)
		return false;
	slot->req.iov = slot->own;
	slot->req.niov = iov_slice(iov, n, offset, len, slot->own, n);
	return true;
}

void disk_vq_submit(struct disk_vq *q, struct disk_slot *slot)
{
	q->in_flight++;
	block_queue_submit(slot->io, &slot->req);
}

void disk_vq_done(struct disk_vq *q, struct disk_slot *slot, uint32_t written)
{
	vq_push(q->vq, &slot->buf, written);
	q->pushed++;
	free(slot->own);
	slot->own = NULL;
	slot->next = q->free;
	q->free = slot;
}

static void broken(struct disk_vq *q)
{
	q->broken = true;
	log_warn_limited("%s: queue %u is broken until the guest resets the device: %s",
			 q->worker.id, q->index, vring_fault_name(vq_fault(q->vq)));
	virtio_needs_reset(q->vdev);
}

static unsigned take(struct disk_vq *q)
{
	unsigned taken = 0;

	while (taken < BURST && q->free) {
		struct disk_slot *slot = q->free;
		int n = vq_pop(q->vq, &slot->buf, 1, slot->iov, q->niov);

		if (n < 0)
			broken(q);
		if (n <= 0)
			break;
		q->free = slot->next;
		taken++;
		q->ops->handle(q, slot);
	}
	return taken;
}

static unsigned reap(struct disk_vq *q)
{
	struct block_request *done[BURST];
	unsigned all = 0;

	for (unsigned i = 0; i < q->nios; i++) {
		unsigned n = block_queue_reap(q->ios[i], done, BURST);

		q->in_flight -= n;
		all += n;
		for (unsigned j = 0; j < n; j++)
			q->ops->complete(q, container_of(done[j], struct disk_slot, req));
	}
	return all;
}

static void start_ios(struct disk_vq *q)
{
	for (unsigned i = 0; i < q->nios; i++)
		if (q->ios[i]->in_flight)
			block_queue_start(q->ios[i]);
}

static void publish(struct disk_vq *q)
{
	if (!q->pushed)
		return;
	q->pushed = 0;
	if (vq_flush(q->vq)) {
		count_add(&q->c.calls, 1);
		(void)eventfd_write(q->call_fd, 1);
	}
}

static bool dq_step(struct disk_worker *w, bool accept)
{
	struct disk_vq *q = dq_of(w);
	unsigned done, taken = 0;

	if (!q->running)
		return false;
	done = reap(q);
	if (accept && !q->broken)
		taken = take(q);
	if (taken || done) {
		start_ios(q);
		count_add(&q->c.bursts, 1);
		if (taken && q->in_flight)
			done += reap(q); /* what was in the page cache is done already */
	}
	publish(q);
	return taken || done;
}

static bool dq_arm(struct disk_worker *w)
{
	struct disk_vq *q = dq_of(w);

	return q->running && !q->broken && q->free && vq_enable_kicks(q->vq);
}

static unsigned dq_busy(const struct disk_worker *w)
{
	return dq_of(w)->in_flight;
}

static void dq_cancel(struct disk_worker *w)
{
	struct disk_vq *q = dq_of(w);

	for (unsigned i = 0; i < q->nios; i++)
		block_queue_cancel(q->ios[i]);
}

static const struct disk_worker_ops worker_ops = {
	.step = dq_step, .arm = dq_arm, .busy = dq_busy, .cancel = dq_cancel};

static int memory_changed(struct mem_listener *listener, const struct mem_table *old,
			  const struct mem_table *table, struct error *err)
{
	struct disk_vq *q = listener->opaque;

	if (!q->running)
		return 0;
	disk_worker_park(&q->worker);
	if (!q->broken && vq_set_memory(q->vq, table))
		broken(q);
	disk_worker_unpark(&q->worker);
	return 0;
}

static int make_slots(struct disk_vq *q, unsigned size)
{
	size_t bytes = ALIGN_UP(slot_size(q->niov), 16);

	q->slots = calloc(size, bytes);
	if (!q->slots)
		return -ENOMEM;
	for (unsigned i = 0; i < size; i++) {
		struct disk_slot *slot =
			(struct disk_slot *)(void *)((char *)q->slots + (size - 1 - i) * bytes);

		slot->next = q->free;
		q->free = slot;
	}
	return 0;
}

int disk_vq_add_block(struct disk_vq *q, struct block *block, unsigned depth, struct error *err)
{
	struct block_queue **more = realloc(q->ios, (q->nios + 1) * sizeof(struct block_queue *));
	int ret;

	if (!more)
		return error_set(err, -ENOMEM, "%s: out of memory", q->worker.id);
	q->ios = more;
	ret = block_queue_open(block, depth, &q->ios[q->nios], err);
	if (ret)
		return ret;
	ret = disk_worker_watch(&q->worker, q->ios[q->nios]->fd, false);
	if (!ret) {
		q->nios++;
		return 0;
	}
	block_queue_close(q->ios[q->nios]);
	return error_set(err, ret, "%s: cannot watch its storage: %s", q->worker.id,
			 error_name(ret));
}

void disk_vq_drop_block(struct disk_vq *q, const struct block *block)
{
	for (unsigned i = 0; i < q->nios; i++) {
		if (q->ios[i]->block != block)
			continue;
		disk_worker_unwatch(&q->worker, q->ios[i]->fd);
		block_queue_close(q->ios[i]);
		memmove(q->ios + i, q->ios + i + 1, (--q->nios - i) * sizeof(struct block_queue *));
		return;
	}
}

int disk_vq_init(struct disk_vq *q, const struct disk_vq_params *p, struct error *err)
{
	int ret;

	q->ops = p->ops;
	q->vdev = p->vdev;
	q->index = p->index;
	q->opaque = p->opaque;
	q->niov = p->segments + SPARE;
	q->worker = (struct disk_worker){.ops = &worker_ops, .id = p->vdev->id};
	q->vq = vq_create();
	if (!q->vq || make_slots(q, p->size))
		return error_set(err, -ENOMEM, "%s: no memory for a queue of %u", p->vdev->id,
				 p->size);
	ret = disk_worker_start(&q->worker, p->worker, p->cpu, err);
	if (ret)
		return ret;
	q->listener =
		(struct mem_listener){.name = "disk queue", .changed = memory_changed, .opaque = q};
	ret = guest_mem_listen(q->vdev->mem, &q->listener, err);
	q->listening = !ret;
	return ret;
}

void disk_vq_fini(struct disk_vq *q)
{
	if (q->listening)
		guest_mem_unlisten(q->vdev->mem, &q->listener);
	q->listening = false;
	disk_worker_end(&q->worker);
	for (unsigned i = 0; i < q->nios; i++)
		block_queue_close(q->ios[i]);
	free(q->ios);
	free(q->slots);
	vq_free(q->vq);
	*q = (struct disk_vq){0};
}

int disk_vq_start(struct disk_vq *q, struct error *err)
{
	struct virtio_queue *vqueue = &q->vdev->queues[q->index];
	struct vring_config cfg;
	int ret;

	if (q->running || !virtio_queue_config(q->vdev, q->index, &cfg))
		return 0;
	ret = vq_start(q->vq, &cfg, &vqueue->state, guest_mem_table(q->vdev->mem), err);
	if (ret)
		return ret;
	q->kick_fd = vqueue->kick_fd;
	q->call_fd = vqueue->call_fd;
	ret = disk_worker_watch(&q->worker, q->kick_fd, true);
	if (ret) {
		vq_stop(q->vq, NULL);
		return error_set(err, ret, "%s: cannot watch queue %u: %s", q->worker.id, q->index,
				 error_name(ret));
	}
	q->broken = false;
	q->running = true;
	disk_worker_unpark(&q->worker);
	return 0;
}

void disk_vq_stop(struct disk_vq *q)
{
	if (!q->running)
		return;
	disk_worker_park(&q->worker);
	disk_worker_unwatch(&q->worker, q->kick_fd);
	vq_stop(q->vq, &q->vdev->queues[q->index].state);
	q->running = false;
}
