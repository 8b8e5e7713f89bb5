/* SPDX-License-Identifier: Apache-2.0 */
#include "vhost/ring_base.h"

#include <errno.h>
#include <linux/virtio_ring.h>

/*
 * Theory of operation: finding one's place in a packed ring that somebody else left.
 *
 * A packed ring keeps no index in memory; the position is in its owner, and went with it. What is
 * left are the two flags of each slot (virtio 1.2, 2.8.1). With p the wrap counter of a lap, a
 * slot is
 *
 *	available in lap p	AVAIL == p, USED != p
 *	used in lap p		AVAIL == p, USED == p
 *
 * Devices that complete in order (all net back-ends do) leave, from slot 0 on, one of
 *
 *	used p … used p | whatever is not "used p"	the position is at the bar, in lap p
 *	avail p … | used !p … | avail !p …		at the second bar, in lap !p: the driver
 *							has gone round and is ahead
 *	avail p … | used !p …				at slot 0, in lap p
 *	used p everywhere				at slot 0, in lap !p (a fresh ring has p = 0)
 *
 * A device may publish a burst by writing all slots but the first, and the first last. If it ends
 * in between, the slots behind the position are used already while the one at it is not, which no
 * device can go on from: vhost_base_mend() makes good what is missing. Such a burst may go round the
 * ring's end, so in the first case, too, slots still available in lap !p come first.
 *
 * Of a used chain only the first slot is written; the others still look available. A chain's
 * length was in the first one's NEXT flag and is gone. With INDIRECT negotiated drivers put every
 * chain of several parts in one slot, so one slot a chain is assumed; without it, the slots that
 * follow belong to the chain if the last of them carries its buffer id.
 */
enum slot_kind { SLOT_AVAIL, SLOT_USED };

struct slot {
	enum slot_kind kind;
	bool lap;
	bool next;
	uint16_t id;
};

static uint32_t encode_half(uint16_t idx, bool wrap)
{
	return (idx & 0x7fffU) | (uint32_t)wrap << 15;
}

uint32_t vhost_base_encode(const struct vring_config *cfg, const struct vring_state *state)
{
	if (!cfg->packed)
		return state->avail_idx;
	return encode_half(state->avail_idx, state->avail_wrap) |
	       encode_half(state->used_idx, state->used_wrap) << 16;
}

/* The used index of a split ring (virtio 1.2, 2.7.8). */
static int read_used_idx(const struct vring_config *cfg, const struct mem_table *table,
			 uint16_t *idx)
{
	uint8_t le[2];
	int rc = mem_read(table, cfg->device + 2, le, sizeof(le));

	if (rc == 0)
		*idx = load_le16(le);
	return rc;
}

static int decode_packed(const struct vring_config *cfg, uint32_t base, struct vring_state *state)
{
	*state = (struct vring_state){
		.avail_idx = base & 0x7fff,
		.avail_wrap = base >> 15 & 1,
		.used_idx = base >> 16 & 0x7fff,
		.used_wrap = base >> 31,
	};
	if (state->avail_idx < cfg->size && state->used_idx < cfg->size)
		return 0;
	state->avail_idx %= cfg->size;
	state->used_idx %= cfg->size;
	return -ERANGE;
}

int vhost_base_decode(const struct vring_config *cfg, const struct mem_table *table, uint32_t base,
		      struct vring_state *state)
{
	int rc;

	if (cfg->packed)
		return decode_packed(cfg, base, state);
	*state = VRING_STATE_INIT;
	state->avail_idx = (uint16_t)base;
	state->used_idx = state->avail_idx;
	rc = read_used_idx(cfg, table, &state->used_idx);
	if (rc)
		return rc;
	if (base <= UINT16_MAX && (uint16_t)(state->avail_idx - state->used_idx) <= cfg->size)
		return 0;
	state->avail_idx = state->used_idx;
	return -ERANGE;
}

static int read_slot(const struct vring_config *cfg, const struct mem_table *table, uint32_t at,
		     struct slot *slot)
{
	struct vring_packed_desc d;
	uint16_t flags;
	bool avail, used;
	int rc = mem_read(table, cfg->desc + (uint64_t)at * sizeof(d), &d, sizeof(d));

	if (rc)
		return rc;
	flags = le16toh(d.flags);
	avail = flags >> VRING_PACKED_DESC_F_AVAIL & 1;
	used = flags >> VRING_PACKED_DESC_F_USED & 1;
	*slot = (struct slot){
		.kind = avail == used ? SLOT_USED : SLOT_AVAIL,
		.lap = avail,
		.next = flags & VRING_DESC_F_NEXT,
		.id = le16toh(d.id),
	};
	return 0;
}

/* The slots of the used chain that begins at `at`, within the lap: see the top. */
static int used_chain(const struct vring_config *cfg, const struct mem_table *table, uint32_t at,
		      const struct slot *head, uint32_t *len)
{
	struct slot s = {.next = true};
	uint32_t i;
	int rc;

	*len = 1;
	if (cfg->indirect)
		return 0;
	for (i = at + 1; s.next && i < cfg->size; i++) {
		rc = read_slot(cfg, table, i, &s);
		if (rc)
			return rc;
		if (s.kind != SLOT_AVAIL || s.lap != head->lap)
			return 0;
	}
	if (!s.next && s.id == head->id)
		*len = i - at;
	return 0;
}

/* The first slot from `from` on that is still available in the lap before, or size. */
static int find_older(const struct vring_config *cfg, const struct mem_table *table, uint32_t from,
		      bool lap, uint32_t *at)
{
	struct slot s;
	int rc;

	for (*at = from; *at < cfg->size; ++*at) {
		rc = read_slot(cfg, table, *at, &s);
		if (rc)
			return rc;
		if (s.kind == SLOT_AVAIL && s.lap != lap)
			break;
	}
	return 0;
}

static void set_position(const struct vring_config *cfg, struct vring_state *state, uint32_t at,
			 bool lap)
{
	state->used_idx = (uint16_t)(at < cfg->size ? at : 0);
	state->used_wrap = at < cfg->size ? lap : !lap;
}

static int recover_packed(const struct vring_config *cfg, const struct mem_table *table,
			  struct vring_state *state)
{
	uint32_t at = 0, len, older = cfg->size;
	struct slot s;
	bool lap;
	int rc = read_slot(cfg, table, 0, &s);

	if (rc)
		return rc;
	lap = s.lap;
	while (s.kind == SLOT_USED && s.lap == lap) {
		rc = used_chain(cfg, table, at, &s, &len);
		if (rc)
			return rc;
		at += len;
		if (at >= cfg->size)
			break;
		rc = read_slot(cfg, table, at, &s);
		if (rc)
			return rc;
	}
	/* Without INDIRECT, behind a used chain's first slot there are such slots at all times. */
	if (at == 0 || cfg->indirect)
		rc = find_older(cfg, table, at, lap, &older);
	if (older < cfg->size)
		set_position(cfg, state, older, !lap);
	else
		set_position(cfg, state, at, lap);
	return rc;
}

/* The state of the slot `ahead` slots behind the position: used out of turn, or not. */
static int slot_ahead(const struct vring_config *cfg, const struct mem_table *table,
		      const struct vring_state *state, uint32_t ahead, uint32_t *at, bool *lap,
		      struct slot *s)
{
	*at = (state->used_idx + ahead) % cfg->size;
	*lap = state->used_wrap ^ (state->used_idx + ahead >= cfg->size);
	return read_slot(cfg, table, *at, s);
}

/* Makes an available slot used, with nothing written into its buffer. */
static int use_empty(const struct vring_config *cfg, const struct mem_table *table, uint32_t at,
		     bool lap)
{
	uint64_t slot = cfg->desc + (uint64_t)at * sizeof(struct vring_packed_desc);
	uint16_t flags = lap ? 1U << VRING_PACKED_DESC_F_AVAIL | 1U << VRING_PACKED_DESC_F_USED : 0;
	uint8_t le[4] = {0};
	int rc = mem_write(table, slot + offsetof(struct vring_packed_desc, len), le, 4);

	if (rc)
		return rc;
	__atomic_thread_fence(__ATOMIC_RELEASE);
	store_le16(le, flags);
	return mem_write(table, slot + offsetof(struct vring_packed_desc, flags), le, 2);
}

int vhost_base_mend(const struct vring_config *cfg, const struct mem_table *table,
		    struct vring_state *state, unsigned *mended)
{
	uint32_t at, end = 0;
	struct slot s;
	bool lap;
	int rc;

	*mended = 0;
	if (!cfg->packed || !cfg->indirect)
		return 0;
	for (uint32_t i = 0; i < cfg->size; i++) {
		rc = slot_ahead(cfg, table, state, i, &at, &lap, &s);
		if (rc)
			return rc;
		if (s.kind == SLOT_USED && s.lap == lap)
			end = i + 1;
	}
	/* Backwards: the driver must not see the first before all the others are there. */
	for (uint32_t i = end; i-- > 0;) {
		rc = slot_ahead(cfg, table, state, i, &at, &lap, &s);
		if (rc == 0 && s.kind == SLOT_AVAIL) {
			rc = use_empty(cfg, table, at, lap);
			++*mended;
		}
		if (rc)
			return rc;
	}
	end += state->used_idx;
	if (end >= cfg->size) {
		end -= cfg->size;
		state->used_wrap = !state->used_wrap;
	}
	state->used_idx = (uint16_t)end;
	state->avail_idx = state->used_idx;
	state->avail_wrap = state->used_wrap;
	return 0;
}

int vhost_base_recover(const struct vring_config *cfg, const struct mem_table *table,
		       const struct vring_state *last, struct vring_state *state)
{
	int rc;

	*state = *last;
	rc = cfg->packed ? recover_packed(cfg, table, state)
			 : read_used_idx(cfg, table, &state->used_idx);
	if (rc)
		return rc;
	state->avail_idx = state->used_idx;
	state->avail_wrap = state->used_wrap;
	return 0;
}
