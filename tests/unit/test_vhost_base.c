/* SPDX-License-Identifier: Apache-2.0 */
#include "vring_bed.h"

#include "vhost/ring_base.h"

#include <errno.h>

/*
 * Where a ring stands, in vhost's form, and found again from the ring alone: compared with what the
 * device side says, after random traffic that completes in order.
 */
static uint32_t rnd(uint32_t *seed)
{
	*seed = *seed * 1103515245 + 12345;
	return *seed >> 8;
}

struct traffic {
	bool parts; /* chains of several parts, without INDIRECT */
	unsigned rounds;
};

static void compare(struct bed *bed)
{
	struct vring_state at, found, decoded, fresh = VRING_STATE_INIT;
	struct error err;
	uint32_t base;

	vq_stop(bed->vq, &at);
	assert_int_equal(vhost_base_recover(&bed->cfg, bed->table, &fresh, &found), 0);
	if (found.used_idx != at.used_idx || (bed->cfg.packed && found.used_wrap != at.used_wrap))
		fail_msg("at %u.%d, found %u.%d", at.used_idx, at.used_wrap, found.used_idx,
			 found.used_wrap);
	assert_int_equal(found.avail_idx, found.used_idx);
	base = vhost_base_encode(&bed->cfg, &at);
	assert_int_equal(vhost_base_decode(&bed->cfg, bed->table, base, &decoded), 0);
	assert_int_equal(decoded.avail_idx, at.avail_idx);
	assert_int_equal(decoded.used_idx, at.used_idx);
	assert_int_equal(vq_start(bed->vq, &bed->cfg, &found, bed->table, &err), 0);
}

static void run(const struct vring_config *cfg, const struct traffic *t, uint32_t seed)
{
	struct vq_buf bufs[64];
	struct iovec iov[64 * BED_PARTS];
	unsigned *ids = calloc(cfg->size, sizeof(*ids)), nids = 0;
	struct bed bed;

	bed_init(&bed, cfg, 512);
	for (unsigned i = 0; i < cfg->size; i++)
		ids[nids++] = i;
	compare(&bed);
	for (unsigned i = 0; i < t->rounds; i++) {
		unsigned add = rnd(&seed) % (cfg->size + 1), use = rnd(&seed) % 64;
		void *cookie;
		uint32_t len;
		int n;

		while (add-- && nids) {
			unsigned parts = t->parts ? 1 + rnd(&seed) % 3 : 1;
			uint64_t gpa = bed_buf_gpa(&bed, ids[nids - 1]);
			struct vdrv_sg sg[3] = {{gpa, 64}, {gpa + 64, 64}, {gpa + 128, 64}};

			if (vdrv_add(bed.drv, sg, parts, 0, false, 0,
				     (void *)(uintptr_t)ids[nids - 1]))
				break;
			nids--;
		}
		vdrv_publish(bed.drv);
		n = vq_pop(bed.vq, bufs, use, iov, ARRAY_SIZE(iov));
		assert_true(n >= 0);
		for (int b = 0; b < n; b++)
			vq_push(bed.vq, &bufs[b], 0);
		vq_flush(bed.vq);
		compare(&bed);
		for (use = rnd(&seed) % 64; use && vdrv_get(bed.drv, &cookie, &len) == 1; use--)
			ids[nids++] = (unsigned)(uintptr_t)cookie;
	}
	bed_done(&bed);
	free(ids);
}

static void test_recover_split(void **state)
{
	for (unsigned i = 0; i < 20; i++)
		run(&(struct vring_config){.size = 1U << (1 + i % 8)},
		    &(struct traffic){true, 2000}, i);
}

static void test_recover_packed(void **state)
{
	/* One slot a chain, as drivers with INDIRECT have it; sizes that are no powers of two. */
	for (unsigned i = 0; i < 40; i++)
		run(&(struct vring_config){.size = 1 + i * 7, .packed = true, .indirect = true},
		    &(struct traffic){false, 2000}, i);
}

/* A burst of which all but the first was published: mended, the driver gets it all back. */
static void mend(uint32_t size, unsigned before, unsigned burst)
{
	const struct vring_config cfg = {.size = size, .packed = true, .indirect = true};
	struct vring_state fresh = VRING_STATE_INIT, found;
	struct vq_buf bufs[64];
	struct iovec iov[64];
	struct error err;
	unsigned mended, got = 0;
	struct bed bed;
	uint32_t len;
	void *cookie;

	bed_init(&bed, &cfg, 64);
	for (unsigned i = 0; i < before + burst; i++) {
		if (i == before)
			vdrv_publish(bed.drv);
		if (i < before) {
			bed_give(&bed, i % size, 16, 0);
			assert_int_equal(vq_pop(bed.vq, bufs, 1, iov, 64), 1);
			vq_push(bed.vq, &bufs[0], 0);
			vq_flush(bed.vq);
			assert_int_equal(vdrv_get(bed.drv, &cookie, &len), 1);
		} else {
			bed_give(&bed, i % size, 16, 0);
		}
	}
	/* The device's stores to the slots behind the first. */
	for (unsigned i = before + 1; i < before + burst; i++) {
		uint8_t *slot = bed.ring + (uint64_t)(i % size) * 16;

		store_le16(slot + 14, i / size % 2 ? 0 : 0x8080);
	}
	assert_int_equal(vdrv_get(bed.drv, &cookie, &len), 0);
	assert_int_equal(vhost_base_recover(&bed.cfg, bed.table, &fresh, &found), 0);
	assert_int_equal(vhost_base_mend(&bed.cfg, bed.table, &found, &mended), 0);
	assert_int_equal(mended, burst > 1);
	while (vdrv_get(bed.drv, &cookie, &len) == 1)
		got++;
	assert_int_equal(got, burst > 1 ? burst : 0);
	assert_int_equal(found.used_idx, (before + got) % size);
	assert_int_equal(found.used_wrap, (before + got) / size % 2 == 0);
	/* And on from there. */
	assert_int_equal(vq_start(bed.vq, &bed.cfg, &found, bed.table, &err), 0);
	if (burst > 1) {
		bed_give(&bed, 0, 16, 0);
		assert_int_equal(vq_pop(bed.vq, bufs, 1, iov, 64), 1);
	}
	bed_done(&bed);
}

static void test_mend(void **state)
{
	for (uint32_t size = 3; size < 40; size += 12)
		for (unsigned before = 0; before < 2 * size; before++)
			for (unsigned burst = 1; burst <= size; burst++)
				mend(size, before, burst);
}

static void test_refused(void **state)
{
	struct vring_config cfg = {.size = 64};
	struct vring_state state_out;
	struct bed bed;

	bed_init(&bed, &cfg, 64);
	assert_int_equal(vhost_base_decode(&bed.cfg, bed.table, 65, &state_out), -ERANGE);
	assert_int_equal(state_out.avail_idx, 0);
	assert_int_equal(vhost_base_decode(&bed.cfg, bed.table, 0x10000, &state_out), -ERANGE);
	bed.cfg.device = 1ULL << 50;
	assert_int_equal(vhost_base_decode(&bed.cfg, bed.table, 0, &state_out), -EFAULT);
	cfg.packed = true;
	assert_int_equal(vhost_base_decode(&cfg, bed.table, 64, &state_out), -ERANGE);
	assert_int_equal(vhost_base_decode(&cfg, bed.table, 0x80028003, &state_out), 0);
	assert_int_equal(state_out.avail_idx, 3);
	assert_int_equal(state_out.used_idx, 2);
	assert_true(state_out.used_wrap && state_out.avail_wrap);
	bed_done(&bed);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_recover_split),
		cmocka_unit_test(test_recover_packed),
		cmocka_unit_test(test_mend),
		cmocka_unit_test(test_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
