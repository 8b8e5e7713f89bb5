/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Theory of operation: what a successor must know.
 *
 * A device that dies has taken chains off its rings and not used them. For a receive queue that is
 * of no consequence: the driver has seen nothing, and the buffers can be filled again. The frames
 * of a transmit queue may have been sent or not, and sending them again could send them twice; they
 * are completed unsent, as if lost on the wire. To do so the successor has to know how far the
 * queue was popped, and of which chains each slot was the first: that is all that is recorded, once
 * a burst but for one word a chain, in memory that the front-end keeps. It is enough because chains
 * are completed in the order popped.
 *
 * Order of stores. The available position is recorded before a chain is handed out. A publication
 * is recorded in two steps, where it will lead before, and that it was made after; a successor
 * that finds it between the two looks at the ring itself. (A process that is killed has made all its
 * stores in program order, as other processes on the machine see them; the compiler is kept from
 * changing that order by release stores.)
 *
 * The front-end could have changed every bit. Whatever is read is checked to make sense for the
 * ring, and what does not is not there: the worst that comes of a lie is a wrong completion in the
 * liar's own ring.
 *
 * The layout is not the one that the vhost-user specification suggests, which serves devices that
 * complete in any order at a price for each descriptor; its version field, where they overlap, says
 * so.
 */
#include "vring/packed_dev.h"
#include "vring/split_dev.h"

#define TRACK_VERSION 0x5644 /* the specification's own is 1 */

struct vq_track {
	uint64_t features; /* 0 */
	uint16_t version;
	uint16_t reserved;
	uint32_t size;	/* of the ring; 0: never used */
	uint32_t avail; /* positions: index, and a packed ring's wrap counter in bit 16 */
	uint32_t used;
	uint32_t next;	   /* where a publication leads */
	uint8_t pad[36];   /* the header has a line of its own */
	uint32_t chains[]; /* for each slot that begins one: its id and slots */
};

uint64_t vq_track_bytes(uint32_t size)
{
	return ALIGN_UP(sizeof(struct vq_track) + size * sizeof(uint32_t), 64);
}

static uint32_t position(uint16_t idx, bool wrap)
{
	return idx | (uint32_t)wrap << 16;
}

static uint32_t avail_position(const struct vq *vq)
{
	return position(vq->avail, vq->packed && vq->avail_wrap);
}

static uint32_t used_position(const struct vq *vq)
{
	return position(vq->used, vq->packed && vq->used_wrap);
}

void track_position(struct vq *vq)
{
	ring_release(&vq->track->avail, avail_position(vq));
}

static uint32_t slot_of(const struct vq *vq, uint16_t idx)
{
	return vq->packed ? idx : idx & (vq->size - 1);
}

void track_taken(struct vq *vq, const struct vq_buf *bufs, unsigned n, uint16_t from)
{
	uint32_t at = from;

	for (unsigned i = 0; i < n; i++) {
		ring_store(&vq->track->chains[slot_of(vq, (uint16_t)at)],
			   bufs[i].id | (uint32_t)bufs[i].slots << 16);
		at += bufs[i].slots;
		if (vq->packed && at >= vq->size)
			at -= vq->size;
	}
	track_position(vq);
}

void track_publishing(struct vq *vq)
{
	ring_release(&vq->track->next, used_position(vq));
}

void track_published(struct vq *vq)
{
	ring_release(&vq->track->used, used_position(vq));
}

/* Nothing is left behind, and where the ring will start next is for others to say. */
void track_stopped(struct vq *vq)
{
	ring_release(&vq->track->size, 0U);
}

/* Slots from one position to another, more than size if that makes no sense. */
static uint32_t distance(const struct vq *vq, uint32_t from, uint32_t to)
{
	uint32_t a = from & UINT16_MAX, b = to & UINT16_MAX;

	if (!vq->packed)
		return (from | to) >> 16 ? UINT32_MAX : (uint16_t)(b - a);
	if (a >= vq->size || b >= vq->size || (from | to) >> 17)
		return UINT32_MAX;
	b += (from ^ to) >> 16 ? vq->size : 0;
	return b < a ? UINT32_MAX : b - a;
}

/*
 * The chain at a recorded position, which is moved past it. 0 slots if there cannot be one; left:
 * slots that there are.
 */
static struct vq_buf next_chain(const struct vq *vq, const struct vq_track *t, uint16_t *idx,
				bool *wrap, uint32_t left)
{
	uint32_t chain = ring_load(&t->chains[slot_of(vq, *idx)]);
	struct vq_buf buf = {
		.id = (uint16_t)chain,
		.slots = (uint16_t)(chain >> 16),
		.in_len = 1, /* perhaps: no other entry may stand for it (IN_ORDER) */
	};

	if (buf.slots > left || (!vq->packed && buf.id >= vq->size))
		buf.slots = 0;
	if (vq->packed)
		packed_advance(idx, wrap, buf.slots, vq->size);
	else
		*idx = (uint16_t)(*idx + buf.slots);
	return buf;
}

/* Not available any more in the lap given: used, and perhaps made available again since. */
static bool slot_is_passed(const struct vq *vq, uint16_t slot, bool wrap)
{
	return !packed_flags_match(ring_load(&vq->ring.desc[slot].meta), packed_avail_flags(wrap));
}

/*
 * Where a packed ring stands: it cannot say it itself, and what the front-end said may be old. From
 * the last publication recorded, go over what is used in the ring: a publication that was made and
 * not recorded, or one that was made in part and that the front-end completed (vhost_base_mend()).
 * With IN_ORDER one entry stands for many, and where there is the first there are all.
 */
static bool find_used_packed(struct vq *vq, const struct vq_track *t)
{
	uint32_t used = ring_load(&t->used), next = ring_load(&t->next);
	uint32_t left = distance(vq, used, ring_load(&t->avail));
	uint16_t at = used & UINT16_MAX;
	bool wrap = used >> 16;

	if (left > vq->size || distance(vq, used, next) > left)
		return false;
	if (vq->in_order && next != used && slot_is_passed(vq, at, wrap)) {
		at = next & UINT16_MAX;
		wrap = next >> 16;
		left = 0;
	}
	while (left && slot_is_passed(vq, at, wrap)) {
		struct vq_buf buf = next_chain(vq, t, &at, &wrap, left);

		if (!buf.slots)
			return false;
		left -= buf.slots;
	}
	vq->used = vq->avail = at;
	vq->used_wrap = vq->avail_wrap = wrap;
	return true;
}

/* A split ring's used index is in the ring: it must be one that was recorded. */
static bool find_used(struct vq *vq, const struct vq_track *t)
{
	if (vq->packed)
		return find_used_packed(vq, t);
	return used_position(vq) == ring_load(&t->used) || used_position(vq) == ring_load(&t->next);
}

/* Whether a driver has made available what was taken, as far as a split ring tells. */
static bool was_available(const struct vq *vq, uint32_t slots)
{
	const struct split_avail *avail = vq->ring.driver;

	return vq->packed || slots <= (uint16_t)(ring_load(&avail->idx) - vq->used);
}

/* Completes the chains of the next `slots` slots. Their sum must be just that. */
static unsigned complete(struct vq *vq, const struct vq_track *t, uint32_t slots)
{
	uint16_t at = vq->used;
	bool wrap = vq->used_wrap;
	struct vq_buf buf;
	uint32_t left = slots;
	unsigned n = 0;

	/* First whether it works out: then nothing is done by halves. */
	for (; left; left -= buf.slots, n++) {
		buf = next_chain(vq, t, &at, &wrap, left);
		if (!buf.slots)
			return 0;
	}
	vq->avail = vq->avail_seen = at;
	vq->avail_wrap = wrap;
	vq_adopt(vq, slots);
	at = vq->used;
	wrap = vq->used_wrap;
	for (left = slots; left; left -= buf.slots) {
		buf = next_chain(vq, t, &at, &wrap, left);
		if (!buf.slots)
			break; /* it changed since: the liar's own ring */
		vq_push(vq, &buf, 0);
	}
	vq_flush_quiet(vq);
	return n;
}

unsigned vq_track(struct vq *vq, struct vq_track *area, uint32_t size, bool redo)
{
	bool known =
		ring_load(&area->version) == TRACK_VERSION && ring_load(&area->size) == vq->size;
	unsigned completed = 0;

	if (vq->dead || size < vq->size)
		return 0;
	if (known && (!redo || vq->packed) && find_used(vq, area)) {
		uint32_t slots = distance(vq, used_position(vq), ring_load(&area->avail));

		if (slots <= vq->size && was_available(vq, slots))
			completed = complete(vq, area, slots);
	}
	area->version = TRACK_VERSION;
	area->features = 0;
	ring_store(&area->size, vq->size);
	vq->track = area;
	track_position(vq);
	track_publishing(vq);
	track_published(vq);
	return completed;
}
