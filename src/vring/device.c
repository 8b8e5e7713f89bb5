/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Theory of operation.
 *
 * A queue has two positions in the ring: `avail`, the next chain to pop, and `used`, the next used
 * entry to write. Popping moves the first, pushing the second, and `busy` is what lies between the
 * first and what is published, in slots; it never exceeds the ring's size, which is checked when
 * popping: a driver that makes more available than it can have finds its queue broken. Giving back
 * (vq_unpop) moves `avail` backwards: the chains are read and checked afresh when popped again.
 *
 * What is pushed becomes visible in vq_flush(). A split ring's used index is stored last, with
 * release semantics; a packed ring's first entry is, the driver not looking past it. Then comes
 * the decision about a call: the driver enables calls and looks at the ring again, we publish and
 * look at whether calls are enabled, and a full barrier between the two on both sides makes sure
 * that at least one sees the other. Kicks are the mirror image, in vq_enable_kicks().
 *
 * EVENT_IDX: a call is due when the used position passes the driver's event index. `undecided`
 * counts the slots published since the last decision, however many publications that was, so the
 * range that is asked about is the `undecided` slots before the published position; once that
 * could have come round, the answer is yes.
 *
 * IN_ORDER lets one used entry stand for several chains (2.7.9, 2.8.8), and then the driver learns
 * the written length of the last one only. So a chain is left out when its length can only be 0,
 * because it has no writable part: transmit queues become one entry a burst, and receive queues
 * keep an entry for each. The last chain pushed is held until it is known whether the next may
 * stand for it too.
 *
 * One thread uses a queue at a time. The other side of the shared memory is the driver, which may
 * write anything anywhere at any moment: see layout.h for how that memory is read.
 */
#include "vring/device.h"

#include "mem/barrier.h"
#include "mem/dirty_log.h"
#include "vring/packed_dev.h"
#include "vring/split_dev.h"

#include <errno.h>
#include <stdlib.h>

struct vq *vq_create(void)
{
	struct vq *vq = aligned_alloc(CACHE_LINE, ALIGN_UP(sizeof(*vq), CACHE_LINE));

	if (vq) {
		memset(vq, 0, sizeof(*vq));
		vq->dead = true;
	}
	return vq;
}

void vq_free(struct vq *vq)
{
	free(vq);
}

static int vq_break(struct vq *vq, enum vring_fault fault)
{
	vq->fault = fault;
	vq->dead = true;
	return -EPROTO;
}

enum vring_fault vq_fault(const struct vq *vq)
{
	return vq->fault;
}

/* Slots from the used position to the available one, more than size if that makes no sense. */
static uint32_t state_distance(const struct vring_config *cfg, const struct vring_state *state)
{
	if (!cfg->packed)
		return (uint16_t)(state->avail_idx - state->used_idx);
	if (state->avail_idx >= cfg->size || state->used_idx >= cfg->size)
		return UINT32_MAX;
	return state->avail_idx + (state->avail_wrap != state->used_wrap ? cfg->size : 0) -
	       state->used_idx;
}

int vq_start(struct vq *vq, const struct vring_config *cfg, const struct vring_state *state,
	     const struct mem_table *table, struct error *err)
{
	uint32_t busy = state_distance(cfg, state);
	int ret;

	memset(vq, 0, sizeof(*vq));
	vq->dead = true;
	ret = ring_check(cfg, err);
	if (ret)
		return ret;
	if (busy > cfg->size)
		return error_set(err, -EINVAL,
				 "virtqueue: state: available %u and used %u are further apart "
				 "than the ring's size %u",
				 state->avail_idx, state->used_idx, cfg->size);
	ret = ring_map(cfg, table, false, &vq->ring, err);
	if (ret)
		return ret;
	vq->cfg = *cfg;
	vq->table = table;
	vq->size = cfg->size;
	vq->packed = cfg->packed;
	vq->event_idx = cfg->event_idx;
	vq->indirect = cfg->indirect;
	vq->in_order = cfg->in_order;
	vq->avail = vq->avail_seen = state->avail_idx;
	vq->used = state->used_idx;
	vq->avail_wrap = state->avail_wrap;
	vq->used_wrap = state->used_wrap;
	vq->busy = busy;
	vq->call_unknown = true;
	vq->dead = false;
	vq_enable_kicks(vq);
	return 0;
}

static void rewind_slots(struct vq *vq, uint32_t slots)
{
	if (vq->packed)
		packed_rewind(vq, slots);
	else
		split_rewind(vq, slots);
	vq->busy -= slots;
	vq->inflight -= slots;
}

void vq_stop(struct vq *vq, struct vring_state *state)
{
	if (!vq->dead) {
		vq_flush_quiet(vq);
		rewind_slots(vq, vq->inflight);
		if (vq->track)
			track_stopped(vq);
	}
	vq->dead = true;
	if (state)
		*state = (struct vring_state){
			.avail_idx = vq->avail,
			.used_idx = vq->used,
			.avail_wrap = vq->avail_wrap,
			.used_wrap = vq->used_wrap,
		};
}

int vq_set_memory(struct vq *vq, const struct mem_table *table)
{
	struct ring_parts parts;

	if (vq->dead)
		return 0;
	if (ring_map(&vq->cfg, table, false, &parts, NULL)) {
		vq_break(vq, VRING_BAD_RING);
		return -EFAULT;
	}
	if (vq->pending && vq->packed)
		vq->first = parts.desc + (vq->first - vq->ring.desc);
	vq->ring = parts;
	vq->table = table;
	vq->hit = NULL;
	return 0;
}

int vq_pop(struct vq *vq, struct vq_buf *bufs, unsigned max, struct iovec *iov, unsigned iov_max)
{
	uint16_t from = vq->avail;
	enum vring_fault fault;
	unsigned n = 0;

	if (unlikely(vq->dead || !max || !iov_max))
		return vq->fault ? -EPROTO : 0;
	if (vq->packed)
		fault = packed_pop(vq, bufs, max, iov, iov_max, &n);
	else
		fault = split_pop(vq, bufs, max, iov, iov_max, &n);
	if (unlikely(fault))
		return fault == VRING_MISS ? -EAGAIN : vq_break(vq, fault);
	if (unlikely(vq->track))
		track_taken(vq, bufs, n, from);
	return (int)n;
}

struct vq_miss vq_miss(const struct vq *vq)
{
	return vq->miss;
}

void vq_adopt(struct vq *vq, uint32_t slots)
{
	vq->busy += slots;
	vq->inflight += slots;
}

void vq_unpop(struct vq *vq, const struct vq_buf *bufs, unsigned n)
{
	uint32_t slots = 0;

	if (unlikely(vq->dead))
		return;
	for (unsigned i = 0; i < n; i++)
		slots += bufs[i].slots;
	rewind_slots(vq, slots);
	if (unlikely(vq->track))
		track_position(vq);
}

/* Marks len bytes at a host address. What the log is of is the memory underneath an IOMMU. */
static void log_host(struct vq *vq, const void *at, uint64_t len)
{
	const struct mem_table *table = vq->table->physical ? vq->table->physical : vq->table;
	const struct mem_region *r = mem_find_host(table, at, len);

	if (r)
		dirty_log_mark(vq->table->dirty, r->gpa + (uint64_t)((const uint8_t *)at - r->hva),
			       len);
}

/* Marks the first `written` bytes of a buffer's writable parts. */
static __attribute__((noinline)) void log_buffer(struct vq *vq, const struct vq_buf *buf,
						 uint32_t written)
{
	const struct iovec *iov = buf->iov + buf->out_n;

	for (; written; iov++) {
		uint32_t len = (uint32_t)MIN(written, iov->iov_len);

		log_host(vq, iov->iov_base, len);
		written -= len;
	}
}

static inline void put(struct vq *vq, uint16_t id, uint32_t len, uint32_t slots)
{
	if (vq->packed)
		packed_put(vq, id, len, slots);
	else
		split_put(vq, id, len, slots);
	vq->pending += slots;
}

void vq_push(struct vq *vq, const struct vq_buf *buf, uint32_t written)
{
	if (unlikely(vq->dead))
		return;
	written = MIN(written, buf->in_len);
	vq->inflight -= buf->slots;
	if (unlikely(vq->table->dirty) && written)
		log_buffer(vq, buf, written);
	if (!vq->in_order) {
		put(vq, buf->id, written, buf->slots);
		return;
	}
	if (vq->held_slots && vq->held_in_len) {
		put(vq, vq->held_id, vq->held_len, vq->held_slots);
		vq->held_slots = 0;
	}
	vq->held_id = buf->id;
	vq->held_len = written;
	vq->held_in_len = buf->in_len;
	vq->held_slots += buf->slots;
}

void vq_push_burst(struct vq *vq, const struct vq_buf *bufs, const uint32_t *written, unsigned n)
{
	if (unlikely(vq->dead))
		return;
	if (unlikely(vq->table->dirty || vq->in_order)) {
		for (unsigned i = 0; i < n; i++)
			vq_push(vq, &bufs[i], written ? written[i] : 0);
		return;
	}
	if (!vq->packed) {
		split_put_burst(vq, bufs, written, n);
		vq->inflight -= n;
		vq->pending += n;
		return;
	}
	for (unsigned i = 0; i < n; i++) {
		uint32_t len = written ? MIN(written[i], bufs[i].in_len) : 0;

		vq->inflight -= bufs[i].slots;
		put(vq, bufs[i].id, len, bufs[i].slots);
	}
}

/* Marks what publishing has written: the last `pending` used entries, and a split ring's index. */
static __attribute__((noinline)) void log_published(struct vq *vq)
{
	uint64_t bytes = vq->packed ? sizeof(struct ring_desc) : sizeof(struct split_used_elem);
	uint8_t *base = vq->packed ? (uint8_t *)vq->ring.desc
				   : (uint8_t *)vq->ring.device + sizeof(struct split_used);
	uint32_t end = vq->packed ? vq->used : vq->used & (vq->size - 1);
	uint32_t before = MIN(vq->pending, end); /* of them, those in this round */

	if (before)
		log_host(vq, base + (end - before) * bytes, before * bytes);
	before = vq->pending - before;
	if (before)
		log_host(vq, base + (vq->size - before) * bytes, before * bytes);
	if (!vq->packed)
		log_host(vq, vq->ring.device, sizeof(struct split_used));
}

void vq_flush_quiet(struct vq *vq)
{
	if (unlikely(vq->dead))
		return;
	if (vq->held_slots) {
		put(vq, vq->held_id, vq->held_len, vq->held_slots);
		vq->held_slots = 0;
	}
	if (!vq->pending)
		return;
	if (unlikely(vq->track))
		track_publishing(vq);
	if (vq->packed)
		packed_publish(vq);
	else
		split_publish(vq);
	if (unlikely(vq->track))
		track_published(vq);
	if (unlikely(vq->table->dirty))
		log_published(vq);
	if (vq->undecided <= UINT16_MAX) /* beyond, it only has to stay beyond */
		vq->undecided += vq->pending;
	vq->busy -= vq->pending;
	vq->pending = 0;
}

bool vq_should_call(struct vq *vq)
{
	if (unlikely(vq->dead) || !vq->undecided)
		return false;
	full_barrier(); /* the publication before the look at what the driver asks for */
	return vq_decide_call(vq);
}

bool vq_decide_call(struct vq *vq)
{
	bool call;

	if (unlikely(vq->dead) || !vq->undecided)
		return false;
	call = vq->packed ? packed_wants_call(vq) : split_wants_call(vq);
	vq->undecided = 0;
	vq->call_unknown = false;
	return call;
}

bool vq_flush(struct vq *vq)
{
	vq_flush_quiet(vq);
	return vq_should_call(vq);
}

static void set_kicks(struct vq *vq, bool on)
{
	uint64_t end = vring_device_bytes(&vq->cfg);

	if (vq->packed)
		packed_kicks(vq, on);
	else
		split_kicks(vq, on);
	vq->kicks_off = !on;
	if (unlikely(vq->table->dirty)) {
		log_host(vq, vq->ring.device, sizeof(struct split_used));
		log_host(vq, (uint8_t *)vq->ring.device + end - 2, 2);
	}
}

void vq_disable_kicks(struct vq *vq)
{
	if (!vq->dead && !vq->kicks_off)
		set_kicks(vq, false);
}

bool vq_enable_kicks(struct vq *vq)
{
	if (unlikely(vq->dead))
		return false;
	set_kicks(vq, true);
	full_barrier(); /* asking before the last look */
	return vq_available(vq);
}

void vq_prefetch(const struct vq *vq)
{
	const struct split_avail *avail = vq->ring.driver;

	if (unlikely(vq->dead))
		return;
	if (vq->packed) {
		__builtin_prefetch(&vq->ring.desc[vq->avail]);
		return;
	}
	__builtin_prefetch(&avail->idx);
	__builtin_prefetch(&avail->ring[vq->avail & (vq->size - 1)]);
}

bool vq_available(struct vq *vq)
{
	if (unlikely(vq->dead))
		return false;
	return vq->packed ? packed_available(vq) : split_available(vq);
}
