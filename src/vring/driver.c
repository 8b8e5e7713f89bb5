/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Theory of operation.
 *
 * What the driver knows of its buffers it keeps to itself, in bufs[] by id; from shared memory it
 * takes used entries only, each read once. An id that is not out breaks the queue, as does a used
 * index that is ahead of what was added; a written length is cut to what the buffer can hold.
 * Publication and notifications mirror the device side: see device.c.
 *
 * IN_ORDER: a used entry may stand for all buffers up to the one it names (2.7.9, 2.8.8). It is
 * taken apart one vdrv_get() at a time: order[] has the ids in the order they were added. The
 * device does not say how much it wrote to those before the last, so they come back as full.
 */
#include "vring/driver.h"

#include "vring/packed_drv.h"
#include "vring/split_drv.h"

#include <errno.h>
#include <stdlib.h>

struct vdrv *vdrv_create(void)
{
	struct vdrv *drv = aligned_alloc(CACHE_LINE, ALIGN_UP(sizeof(*drv), CACHE_LINE));

	if (drv) {
		memset(drv, 0, sizeof(*drv));
		drv->dead = true;
	}
	return drv;
}

static void forget(struct vdrv *drv)
{
	free(drv->next);
	free(drv->order);
	free(drv->bufs);
	memset(drv, 0, sizeof(*drv));
	drv->dead = true;
}

void vdrv_free(struct vdrv *drv)
{
	if (drv)
		forget(drv);
	free(drv);
}

int vdrv_start(struct vdrv *drv, const struct vring_config *cfg, const struct mem_table *table,
	       struct error *err)
{
	int ret;

	forget(drv);
	ret = ring_check(cfg, err);
	if (!ret)
		ret = ring_map(cfg, table, true, &drv->ring, err);
	if (ret)
		return ret;
	drv->next = calloc(cfg->size, sizeof(*drv->next));
	drv->order = calloc(cfg->size, sizeof(*drv->order));
	drv->bufs = calloc(cfg->size, sizeof(*drv->bufs));
	if (!drv->next || !drv->order || !drv->bufs) {
		forget(drv);
		return error_set(err, -ENOMEM, "virtqueue: out of memory");
	}
	drv->cfg = *cfg;
	drv->table = table;
	drv->size = cfg->size;
	drv->packed = cfg->packed;
	drv->event_idx = cfg->event_idx;
	drv->indirect = cfg->indirect;
	drv->in_order = cfg->in_order;
	drv->avail_wrap = drv->used_wrap = true;
	drv->free = cfg->size;
	if (drv->packed)
		packed_drv_start(drv);
	else
		split_drv_start(drv);
	drv->dead = false;
	return 0;
}

static int drv_break(struct vdrv *drv)
{
	drv->fault = VRING_BAD_USED;
	drv->dead = true;
	return -EPROTO;
}

enum vring_fault vdrv_fault(const struct vdrv *drv)
{
	return drv->fault;
}

unsigned vdrv_free_slots(const struct vdrv *drv)
{
	return drv->free;
}

static uint32_t next_in_order(const struct vdrv *drv, uint32_t at)
{
	return at + 1 == drv->size ? 0 : at + 1;
}

int vdrv_add(struct vdrv *drv, const struct vdrv_sg *sg, unsigned out_n, unsigned in_n,
	     bool use_indirect, uint64_t indirect_gpa, void *cookie)
{
	struct drv_add a = {.sg = sg, .out_n = out_n, .n = out_n + in_n};
	uint32_t slots = use_indirect ? 1 : a.n;
	struct drv_buf *buf;
	uint16_t id;

	if (unlikely(drv->dead))
		return -EPROTO;
	if (!a.n || (use_indirect && (!drv->indirect || a.n > VRING_SIZE_MAX)))
		return -EINVAL;
	if (slots > drv->free)
		return -ENOSPC;
	if (use_indirect) {
		a.table_gpa = indirect_gpa;
		a.table = mem_translate(drv->table, indirect_gpa, a.n * sizeof(struct ring_desc),
					MEM_WRITE);
		if (!a.table)
			return -EFAULT;
	}
	id = drv->packed ? packed_drv_add(drv, &a) : split_drv_add(drv, &a);
	buf = &drv->bufs[id];
	*buf = (struct drv_buf){
		.cookie = cookie, .seq = drv->seq_added, .slots = (uint16_t)slots, .out = true};
	for (unsigned i = out_n; i < a.n; i++)
		buf->in_len += sg[i].len;
	drv->order[drv->order_end] = id;
	drv->order_end = next_in_order(drv, drv->order_end);
	drv->seq_added++;
	drv->free -= slots;
	return 0;
}

bool vdrv_publish(struct vdrv *drv)
{
	bool kick;

	if (unlikely(drv->dead) || !drv->added)
		return false;
	kick = drv->packed ? packed_drv_publish(drv) : split_drv_publish(drv);
	drv->added = 0;
	drv->seq_published = drv->seq_added;
	return kick;
}

/* Takes buffer id back. */
static void drv_return(struct vdrv *drv, uint16_t id, void **cookie)
{
	struct drv_buf *buf = &drv->bufs[id];

	if (drv->packed)
		packed_drv_release(drv, id);
	else
		split_drv_release(drv, id);
	drv->free += buf->slots;
	drv->seq_returned++;
	drv->order_first = next_in_order(drv, drv->order_first);
	buf->out = false;
	*cookie = buf->cookie;
}

/* Whether the used entry just read is one the device may have written. */
static bool used_ok(const struct vdrv *drv, uint32_t id)
{
	if (id >= drv->size || !drv->bufs[id].out)
		return false;
	/* What was not published yet is not the device's to return. */
	if ((int32_t)(drv->bufs[id].seq - drv->seq_published) >= 0)
		return false;
	if (!drv->in_order || drv->packed)
		return true;
	/* The used index counts every buffer of a batch. */
	return drv->bufs[id].seq - drv->seq_returned < (uint16_t)(drv->used_seen - drv->used);
}

int vdrv_get(struct vdrv *drv, void **cookie, uint32_t *len)
{
	uint32_t id;
	int ret;

	if (unlikely(drv->dead))
		return drv->fault ? -EPROTO : 0;
	if (!drv->batch) {
		ret = drv->packed ? packed_drv_used(drv, &id, len) : split_drv_used(drv, &id, len);
		if (!ret)
			return 0;
		if (unlikely(ret < 0 || !used_ok(drv, id)))
			return drv_break(drv);
		drv->batch_id = (uint16_t)id;
		drv->batch_len = *len;
		drv->batch = true;
	}
	id = drv->in_order ? drv->order[drv->order_first] : drv->batch_id;
	if (id == drv->batch_id) {
		drv->batch = false;
		*len = MIN(drv->batch_len, drv->bufs[id].in_len);
	} else {
		*len = drv->bufs[id].in_len;
	}
	drv_return(drv, (uint16_t)id, cookie);
	return 1;
}

void vdrv_disable_calls(struct vdrv *drv)
{
	if (drv->dead)
		return;
	if (drv->packed)
		packed_drv_calls(drv, false);
	else
		split_drv_calls(drv, false);
}

bool vdrv_enable_calls(struct vdrv *drv)
{
	if (drv->dead)
		return false;
	if (drv->packed)
		packed_drv_calls(drv, true);
	else
		split_drv_calls(drv, true);
	full_barrier(); /* asking before the last look */
	return drv->batch || (drv->packed ? packed_drv_has_used(drv) : split_drv_has_used(drv));
}
