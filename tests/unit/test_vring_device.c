/* SPDX-License-Identifier: Apache-2.0 */
/* What the random test cannot see: the exact rules of starting, calls, bounds and logging. */
#include "vring_bed.h"

#include "mem/dirty_log.h"

#include <errno.h>

static void test_start(void **state)
{
	struct vring_state init = VRING_STATE_INIT, bad;
	struct vring_config cfg = {.size = 8, .packed = *state}, c;
	struct error err = {0};
	struct bed bed;

	bed_init(&bed, &cfg, 64);
	c = bed.cfg;
	c.size = 0;
	assert_int_equal(vq_start(bed.vq, &c, &init, bed.table, &err), -EINVAL);
	assert_text(err, "size 0");
	c.size = 32769;
	assert_int_equal(vq_start(bed.vq, &c, &init, bed.table, &err), -EINVAL);
	c.size = 6;
	assert_int_equal(vq_start(bed.vq, &c, &init, bed.table, &err), cfg.packed ? 0 : -EINVAL);
	c = bed.cfg;
	c.desc += 8;
	assert_int_equal(vq_start(bed.vq, &c, &init, bed.table, &err), -EINVAL);
	assert_text(err, "misaligned");
	c = bed.cfg;
	c.driver++;
	assert_int_equal(vq_start(bed.vq, &c, &init, bed.table, &err), -EINVAL);
	c = bed.cfg;
	c.device += 2;
	assert_int_equal(vq_start(bed.vq, &c, &init, bed.table, &err), -EINVAL);
	c = bed.cfg;
	c.device = BED_RING_GPA + bed.ring_bytes;
	assert_int_equal(vq_start(bed.vq, &c, &init, bed.table, &err), -EFAULT);
	assert_text(err, "device area");
	c = bed.cfg;
	c.desc = BED_RING_GPA + bed.ring_bytes - 112; /* all but the last descriptor */
	assert_int_equal(vq_start(bed.vq, &c, &init, bed.table, &err), -EFAULT);
	bad = (struct vring_state){9, 0, true, true};
	assert_int_equal(vq_start(bed.vq, &bed.cfg, &bad, bed.table, &err), -EINVAL);
	bad = (struct vring_state){0, 1, true, true};
	assert_int_equal(vq_start(bed.vq, &bed.cfg, &bad, bed.table, &err), -EINVAL);
	assert_text(err, "further apart");
	assert_int_equal(vq_pop(bed.vq, NULL, 1, NULL, 1), 0);
	bed.table->regions[0].readonly = true; /* the ring's */
	assert_int_equal(vq_start(bed.vq, &bed.cfg, &init, bed.table, &err), -EFAULT);
	bed_done(&bed);
}

static void pop_n(struct bed *bed, struct vq_buf *bufs, struct iovec *iov, unsigned n)
{
	assert_int_equal(vq_pop(bed->vq, bufs, n, iov, 2 * n), (int)n);
}

/* With EVENT_IDX: one call for each time that one was asked for, whatever the bursts. */
static void test_calls(void **state)
{
	struct vring_config cfg = {.size = 16, .packed = *state, .event_idx = true};
	struct vq_buf buf;
	struct iovec iov[2];
	struct bed bed;
	void *cookie;
	uint32_t len;

	bed_init(&bed, &cfg, 64);
	for (unsigned i = 0; i < 200000; i++) {
		bool asked = i % 1000 == 0;

		if (asked)
			assert_false(vdrv_enable_calls(bed.drv));
		else
			vdrv_disable_calls(bed.drv);
		bed_give(&bed, 0, 10, 0);
		pop_n(&bed, &buf, iov, 1);
		vq_push(bed.vq, &buf, 0);
		assert_int_equal(vq_flush(bed.vq), asked);
		assert_false(vq_flush(bed.vq));
		assert_int_equal(vdrv_get(bed.drv, &cookie, &len), 1);
	}
	bed_done(&bed);
}

/* Decisions put off: also for so long that a 16-bit index has come round. */
static void test_quiet(void **state)
{
	static const unsigned rounds[] = {1, 2, 100, 65535, 65536, 65537, 131072};
	struct vring_config cfg = {.size = 16, .packed = *state, .event_idx = true};
	struct vq_buf buf;
	struct iovec iov[2];
	struct bed bed;
	void *cookie;
	uint32_t len;

	bed_init(&bed, &cfg, 64);
	for (unsigned i = 0; i < ARRAY_SIZE(rounds); i++) {
		assert_false(vdrv_enable_calls(bed.drv));
		for (unsigned n = rounds[i]; n; n--) {
			bed_give(&bed, 0, 10, 0);
			pop_n(&bed, &buf, iov, 1);
			vq_push(bed.vq, &buf, 0);
			vq_flush_quiet(bed.vq);
			assert_int_equal(vdrv_get(bed.drv, &cookie, &len), 1);
		}
		assert_true(vq_should_call(bed.vq));
		assert_false(vq_should_call(bed.vq));
	}
	bed_done(&bed);
}

/* What the one before did not decide, the one who goes on from its state does. */
static void test_call_after_restart(void **state)
{
	struct vring_config cfg = {.size = 16, .packed = *state, .event_idx = true};
	struct vring_state where;
	struct vq_buf buf;
	struct iovec iov[2];
	struct bed bed;

	bed_init(&bed, &cfg, 64);
	assert_false(vdrv_enable_calls(bed.drv));
	for (unsigned i = 0; i < 2; i++) {
		bed_give(&bed, i, 10, 0);
		pop_n(&bed, &buf, iov, 1);
		vq_push(bed.vq, &buf, 0);
		if (i)
			break;
		vq_flush_quiet(bed.vq);
		vq_stop(bed.vq, &where);
		assert_int_equal(vq_start(bed.vq, &bed.cfg, &where, bed.table, NULL), 0);
	}
	assert_true(vq_flush(bed.vq));
	bed_done(&bed);
}

/* Kicks: none while disabled, one when the device asked, and a last look. */
static void test_kicks(void **state)
{
	struct vring_config cfg = {.size = 16, .packed = *state};
	struct vdrv_sg sg = {BED_BUF_GPA, 10};
	struct vq_buf bufs[16];
	struct iovec iov[32];
	struct bed bed;

	for (int event_idx = 0; event_idx < 2; event_idx++) {
		cfg.event_idx = event_idx;
		bed_init(&bed, &cfg, 64);
		for (int i = 0; i < 5; i++) {
			assert_int_equal(vdrv_add(bed.drv, &sg, 1, 0, false, 0, NULL), 0);
			assert_int_equal(vdrv_publish(bed.drv), !i || !event_idx);
		}
		assert_true(vq_enable_kicks(bed.vq));
		pop_n(&bed, bufs, iov, 5);
		assert_false(vq_enable_kicks(bed.vq));
		assert_int_equal(vdrv_add(bed.drv, &sg, 1, 0, false, 0, NULL), 0);
		assert_true(vdrv_publish(bed.drv));
		vq_disable_kicks(bed.vq);
		assert_int_equal(vdrv_add(bed.drv, &sg, 1, 0, false, 0, NULL), 0);
		assert_false(vdrv_publish(bed.drv));
		bed_done(&bed);
	}
}

/* A chain that does not fit what is left waits for the next burst; one that never could breaks. */
static void test_bounds(void **state)
{
	struct vring_config cfg = {.size = 16, .packed = *state, .indirect = true};
	struct vdrv_sg sg[20];
	struct vq_buf bufs[8];
	struct iovec iov[20];
	struct bed bed;

	bed_init(&bed, &cfg, 64);
	for (unsigned i = 0; i < ARRAY_SIZE(sg); i++)
		sg[i] = (struct vdrv_sg){BED_BUF_GPA + 10 * i, 10};
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(vdrv_add(bed.drv, sg, 2, 3, i == 1, bed.tables, NULL), 0);
	vdrv_publish(bed.drv);
	assert_int_equal(vq_pop(bed.vq, bufs, 8, iov, 0), 0);
	assert_int_equal(vq_pop(bed.vq, bufs, 0, iov, 8), 0);
	assert_int_equal(vq_pop(bed.vq, bufs, 8, iov, 14), 2);
	assert_int_equal(vq_pop(bed.vq, bufs + 2, 8, iov, 5), 1);
	for (unsigned i = 0; i < 3; i++)
		vq_push(bed.vq, &bufs[i], 1000); /* more than is there: cut */
	vq_flush(bed.vq);
	for (unsigned i = 0; i < 3; i++) {
		void *cookie;
		uint32_t len;

		assert_int_equal(vdrv_get(bed.drv, &cookie, &len), 1);
		assert_int_equal(len, 30);
	}
	/* A table with more entries than the ring is what Linux makes for a small ring. */
	assert_int_equal(vdrv_add(bed.drv, sg, 20, 0, true, bed.tables, NULL), 0);
	assert_int_equal(vdrv_add(bed.drv, sg, 20, 0, true, bed.tables, NULL), 0);
	vdrv_publish(bed.drv);
	assert_int_equal(vq_pop(bed.vq, bufs, 1, iov, 20), 1);
	assert_int_equal(bufs[0].out_n, 20);
	assert_int_equal(vq_pop(bed.vq, bufs, 1, iov, 19), -EPROTO);
	assert_int_equal(vq_fault(bed.vq), VRING_CHAIN_TOO_LONG);
	bed_done(&bed);
}

/* A table whose first part says that it is to be written, and whose second does not. */
static void test_transmit(void **state)
{
	const struct vdrv_sg sg[2] = {{BED_BUF_GPA, 12}, {BED_BUF_GPA + 12, 20}};

	for (unsigned transmit = 0; transmit < 2; transmit++) {
		struct vring_config cfg = {
			.size = 16, .packed = *state, .indirect = true, .transmit = transmit};
		struct vq_buf buf;
		struct iovec iov[4];
		struct bed bed;
		uint8_t *table;

		bed_init(&bed, &cfg, 64);
		assert_int_equal(vdrv_add(bed.drv, sg, 2, 0, true, bed.tables, NULL), 0);
		table = mem_translate(bed.table, bed.tables, 32, MEM_WRITE);
		table[cfg.packed ? 14 : 12] |= 2; /* VRING_DESC_F_WRITE */
		vdrv_publish(bed.drv);
		assert_int_equal(vq_pop(bed.vq, &buf, 1, iov, 4), transmit ? 1 : -EPROTO);
		if (transmit) {
			assert_int_equal(buf.out_n, 2);
			assert_int_equal(buf.out_len, 32);
			assert_int_equal(buf.in_len, 0);
			vq_push(bed.vq, &buf, 0);
		} else {
			assert_int_equal(vq_fault(bed.vq), VRING_BAD_ORDER);
		}
		bed_done(&bed);
	}
}

/* IN_ORDER: a burst without lengths is one used entry; one with lengths has them all. */
static void test_in_order_batch(void **state)
{
	struct vring_config cfg = {.size = 16, .packed = *state, .in_order = true};
	struct vq_buf bufs[4];
	struct iovec iov[8];
	struct bed bed;
	void *cookie;
	uint32_t len;

	bed_init(&bed, &cfg, 64);
	for (unsigned in = 0; in < 2; in++) {
		uint16_t first;

		for (unsigned i = 0; i < 4; i++)
			bed_give(&bed, i, 10, 20 * in);
		pop_n(&bed, bufs, iov, 4);
		for (unsigned i = 0; i < 4; i++)
			vq_push(bed.vq, &bufs[i], i);
		vq_flush(bed.vq);
		if (cfg.packed) {
			const struct ring_desc *d = (void *)(bed.ring + in * 4 * 16);

			first = desc_from_packed(d->addr, d->meta).link;
		} else {
			const struct split_used *used =
				(void *)(bed.ring + (bed.cfg.device - BED_RING_GPA));

			first = (uint16_t)used->ring[in * 4].id;
		}
		assert_int_equal(first, bufs[in ? 0 : 3].id);
		for (unsigned i = 0; i < 4; i++) {
			assert_int_equal(vdrv_get(bed.drv, &cookie, &len), 1);
			assert_int_equal((uintptr_t)cookie, i);
			assert_int_equal(len, in * i);
		}
		assert_int_equal(vdrv_get(bed.drv, &cookie, &len), 0);
	}
	bed_done(&bed);
}

static bool is_dirty(const uint64_t *words, uint64_t gpa)
{
	return words[gpa >> 18] >> (gpa >> 12 & 63) & 1;
}

static void test_dirty(void **state)
{
	struct vring_config cfg = {.size = 512, .packed = *state};
	struct vq_buf bufs[4];
	struct iovec iov[8];
	struct bed bed;
	uint64_t *words, used;

	bed_init(&bed, &cfg, 8192);
	bed.table->dirty = dirty_log_create(BED_BUF_GPA + GIB, NULL);
	words = calloc(dirty_log_words(bed.table->dirty), sizeof(*words));
	used = cfg.packed ? bed.cfg.desc : bed.cfg.device;
	for (unsigned i = 0; i < 4; i++)
		bed_give(&bed, i, i == 3 ? 0 : 4096, 4096);
	pop_n(&bed, bufs, iov, 4);
	assert_int_equal(dirty_log_collect(bed.table->dirty, words), 0);
	vq_push(bed.vq, &bufs[0], 1);
	vq_push(bed.vq, &bufs[1], 0);
	vq_push(bed.vq, &bufs[3], 4096);
	vq_flush(bed.vq);
	dirty_log_collect(bed.table->dirty, words);
	assert_true(is_dirty(words, bed_buf_gpa(&bed, 0) + 4096));
	assert_false(is_dirty(words, bed_buf_gpa(&bed, 0)));
	assert_false(is_dirty(words, bed_buf_gpa(&bed, 1) + 4096));
	assert_true(is_dirty(words, bed_buf_gpa(&bed, 3)));
	assert_false(is_dirty(words, bed_buf_gpa(&bed, 3) + 4096));
	assert_true(is_dirty(words, used));
	vq_enable_kicks(bed.vq);
	dirty_log_collect(bed.table->dirty, words);
	assert_true(is_dirty(words, bed.cfg.device));
	dirty_log_free(bed.table->dirty);
	free(words);
	bed_done(&bed);
}

/* The same ring mapped elsewhere, with used entries written and not published. */
static void test_set_memory(void **state)
{
	struct vring_config cfg = {.size = 16, .packed = *state};
	struct mem_table *moved, *lost;
	struct mem_region regions[2];
	struct vq_buf bufs[2];
	struct iovec iov[4];
	struct bed bed;
	void *cookie;
	uint32_t len;
	uint8_t *ring;

	bed_init(&bed, &cfg, 64);
	bed_give(&bed, 0, 10, 10);
	bed_give(&bed, 1, 10, 10);
	pop_n(&bed, bufs, iov, 2);
	vq_push(bed.vq, &bufs[0], 5);
	vq_push(bed.vq, &bufs[1], 6);

	ring = bed_map(bed.ring_bytes);
	memcpy(ring, bed.ring, bed.ring_bytes);
	memcpy(regions, bed.table->regions, sizeof(regions));
	regions[0].hva = ring;
	assert_int_equal(mem_table_new(regions, 2, &moved, NULL), 0);
	assert_int_equal(mem_table_new(regions + 1, 1, &lost, NULL), 0);
	assert_int_equal(vq_set_memory(bed.vq, moved), 0);
	vq_flush(bed.vq);
	assert_int_equal(vdrv_get(bed.drv, &cookie, &len), 0);
	memcpy(bed.ring, ring, bed.ring_bytes);
	assert_int_equal(vdrv_get(bed.drv, &cookie, &len), 1);
	assert_int_equal(len, 5);
	assert_int_equal(vdrv_get(bed.drv, &cookie, &len), 1);
	assert_int_equal(len, 6);
	assert_int_equal(vq_set_memory(bed.vq, lost), -EFAULT);
	assert_int_equal(vq_fault(bed.vq), VRING_BAD_RING);
	munmap(ring, bed.ring_bytes);
	mem_table_free(moved);
	mem_table_free(lost);
	bed_done(&bed);
}

/* A broken queue does nothing more, and is as new after a reset. */
static void test_reset(void **state)
{
	struct vring_config cfg = {.size = 4, .packed = *state};
	struct vring_state init = VRING_STATE_INIT, out;
	struct vdrv_sg sg = {0x123, 4};
	struct vq_buf buf;
	struct iovec iov[4];
	struct bed bed;
	uint8_t *before;

	bed_init(&bed, &cfg, 64);
	bed_give(&bed, 0, 10, 0);
	pop_n(&bed, &buf, iov, 1);
	assert_int_equal(vdrv_add(bed.drv, &sg, 1, 0, false, 0, NULL), 0);
	vdrv_publish(bed.drv);
	assert_int_equal(vq_pop(bed.vq, &buf, 1, iov, 4), -EPROTO);
	assert_int_equal(vq_pop(bed.vq, &buf, 1, iov, 4), -EPROTO);
	before = malloc(bed.ring_bytes);
	memcpy(before, bed.ring, bed.ring_bytes);
	vq_push(bed.vq, &buf, 0);
	assert_false(vq_flush(bed.vq));
	vq_unpop(bed.vq, &buf, 1);
	vq_disable_kicks(bed.vq);
	assert_false(vq_enable_kicks(bed.vq));
	assert_false(vq_available(bed.vq));
	vq_stop(bed.vq, &out);
	vq_stop(bed.vq, NULL);
	assert_memory_equal(before, bed.ring, bed.ring_bytes);
	free(before);
	memset(bed.ring, 0, bed.ring_bytes);
	assert_int_equal(vq_start(bed.vq, &bed.cfg, &init, bed.table, NULL), 0);
	assert_int_equal(vq_fault(bed.vq), VRING_OK);
	assert_int_equal(vdrv_start(bed.drv, &bed.cfg, bed.table, NULL), 0);
	bed_give(&bed, 0, 10, 0);
	pop_n(&bed, &buf, iov, 1);
	bed_done(&bed);
}

static void test_used_idx(void **state)
{
	struct vring_config cfg = {.size = 4};
	struct vq_buf bufs[2];
	struct iovec iov[4];
	struct bed bed;
	uint16_t idx = 9;

	bed_init(&bed, &cfg, 64);
	bed_give(&bed, 0, 10, 0);
	bed_give(&bed, 1, 10, 0);
	pop_n(&bed, bufs, iov, 2);
	vq_push(bed.vq, &bufs[1], 0);
	assert_int_equal(vring_used_idx(&bed.cfg, bed.table, &idx), 0);
	assert_int_equal(idx, 0);
	vq_flush(bed.vq);
	assert_int_equal(vring_used_idx(&bed.cfg, bed.table, &idx), 0);
	assert_int_equal(idx, 1);
	bed.cfg.device = 0;
	assert_int_equal(vring_used_idx(&bed.cfg, bed.table, &idx), -EFAULT);
	bed_done(&bed);
}

static void test_names(void **state)
{
	for (int i = 0; i < VRING_FAULT_COUNT; i++)
		assert_non_null(vring_fault_name(i));
	assert_non_null(vring_fault_name(VRING_FAULT_COUNT));
}

#define BOTH(fn)                                       \
	{#fn " split", fn, NULL, NULL, NULL},          \
	{                                              \
#fn " packed", fn, NULL, NULL, &packed \
	}

int main(void)
{
	static int packed;
	const struct CMUnitTest tests[] = {
		BOTH(test_start),
		BOTH(test_calls),
		BOTH(test_quiet),
		BOTH(test_kicks),
		BOTH(test_bounds),
		BOTH(test_transmit),
		BOTH(test_in_order_batch),
		BOTH(test_dirty),
		BOTH(test_set_memory),
		BOTH(test_reset),
		BOTH(test_call_after_restart),
		cmocka_unit_test(test_used_idx),
		cmocka_unit_test(test_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
