/* SPDX-License-Identifier: Apache-2.0 */
#include "unit.h"

#include "mem/guest_mem.h"
#include "vhost/ring_base.h"
#include "vring/driver.h"
#include "vring/device.h"

#include <stdlib.h>

/*
 * Devices that die at any point, and successors that know no more than the ring and the record.
 * Every buffer comes back to the driver exactly once, and none is served twice.
 */
#define RAM   (1U << 20)
#define SIZE  32U
#define BUFS  20000U
#define BURST 8U

static uint8_t ram[RAM] __attribute__((aligned(4096)));
static uint64_t area[4096];
static struct mem_table *table;

struct bed {
	struct vring_config cfg;
	struct vdrv *drv;
	struct vq *vq;
	uint8_t served[BUFS], back[BUFS];
	unsigned sent, returned, completed;
	unsigned seed;
	bool stale; /* the front-end knows only where the ring began */
};

static unsigned draw(struct bed *b, unsigned below)
{
	b->seed = b->seed * 1103515245U + 12345U;
	return (b->seed >> 16) % below;
}

static void drive(struct bed *b)
{
	void *cookie;
	uint32_t len;
	int rc;

	while (b->sent < BUFS) {
		unsigned parts = 1 + draw(b, 3);
		struct vdrv_sg sg[3];

		/* A frame's number is in its length: the device has only that to go by. */
		for (unsigned i = 0; i < parts; i++)
			sg[i] = (struct vdrv_sg){0x40000 + 64 * i, i ? 16 : 1 + b->sent % 60000};
		if (vdrv_free_slots(b->drv) < parts ||
		    vdrv_add(b->drv, sg, parts, 0, false, 0, (void *)(uintptr_t)b->sent))
			break;
		b->sent++;
	}
	vdrv_publish(b->drv);
	while ((rc = vdrv_get(b->drv, &cookie, &len)) == 1) {
		assert_int_equal(b->back[(uintptr_t)cookie]++, 0);
		b->returned++;
	}
	assert_int_equal(rc, 0);
}

/* A successor: told the base by a front-end that looked at the ring, as ours does. */
static void succeed(struct bed *b)
{
	const struct vring_state fresh = VRING_STATE_INIT;
	struct vring_state state = fresh;
	struct error err;

	vq_free(b->vq);
	b->vq = vq_create();
	if (!b->cfg.packed || !b->stale)
		assert_int_equal(vhost_base_recover(&b->cfg, table, &fresh, &state), 0);
	assert_int_equal(vq_start(b->vq, &b->cfg, &state, table, &err), 0);
	b->completed += vq_track(b->vq, (struct vq_track *)area, SIZE, false);
}

/* Serves a burst and may die on the way; true if it did. */
static bool serve(struct bed *b)
{
	struct vq_buf bufs[BURST];
	struct iovec iov[64];
	int n = vq_pop(b->vq, bufs, BURST, iov, 64);
	unsigned die = draw(b, 40), give_back;

	assert_true(n >= 0);
	if (n == 0)
		return false;
	if (die == 0)
		return true; /* taken, and not served */
	give_back = die == 1 ? draw(b, (unsigned)n) : 0;
	vq_unpop(b->vq, bufs + n - give_back, give_back);
	for (int i = 0; i < n - (int)give_back; i++) {
		unsigned seq = (unsigned)bufs[i].iov[0].iov_len - 1;

		assert_int_equal(b->served[seq]++, 0);
		vq_push(b->vq, &bufs[i], 0);
		if (die == 2 && draw(b, 4) == 0)
			return true; /* in the middle of the burst */
	}
	if (die == 3)
		return true; /* before it publishes */
	vq_flush(b->vq);
	return die == 4;
}

static void run(bool packed, bool in_order, bool stale)
{
	struct mem_region r = {.gpa = 0, .size = RAM, .hva = ram, .fd = -1};
	static struct bed b;
	struct error err;
	unsigned deaths = 0;

	memset(ram, 0, sizeof(ram));
	memset(area, 0, sizeof(area));
	assert_true(vq_track_bytes(SIZE) <= sizeof(area));
	assert_int_equal(mem_table_new(&r, 1, &table, &err), 0);
	b = (struct bed){
		.cfg = {.size = SIZE,
			.packed = packed,
			.in_order = in_order,
			.desc = 0x1000,
			.driver = 0x4000,
			.device = 0x6000},
		.drv = vdrv_create(),
		.vq = vq_create(),
		.seed = 7,
		.stale = stale,
	};
	assert_int_equal(vdrv_start(b.drv, &b.cfg, table, &err), 0);
	succeed(&b);
	while (b.returned < BUFS) {
		drive(&b);
		if (serve(&b)) {
			succeed(&b);
			deaths++;
		}
	}
	assert_true(deaths > 50);
	assert_true(b.completed > 50);
	for (unsigned i = 0; i < BUFS; i++)
		assert_int_equal(b.back[i], 1);
	vdrv_free(b.drv);
	vq_free(b.vq);
	mem_table_free(table);
}

static void test_split(void **state)
{
	run(false, false, false);
	run(false, true, false);
}

static void test_packed(void **state)
{
	run(true, false, true);
	run(true, true, true);
}

/* A record that makes no sense, or is another ring's, changes nothing. */
static void test_lies(void **state)
{
	struct mem_region r = {.gpa = 0, .size = RAM, .hva = ram, .fd = -1};
	const struct vring_state init = VRING_STATE_INIT;
	struct vring_state at;
	struct error err;

	assert_int_equal(mem_table_new(&r, 1, &table, &err), 0);
	for (unsigned seed = 0; seed < 20000; seed++) {
		struct vring_config cfg = {.size = SIZE,
					   .packed = seed & 1,
					   .desc = 0x1000,
					   .driver = 0x4000,
					   .device = 0x6000};
		struct vq *vq = vq_create();
		uint32_t *words = (uint32_t *)area;

		srandom(seed);
		memset(ram, 0, 0x8000);
		for (unsigned i = 0; i < 64; i++)
			words[i] = (uint32_t)random() >> random() % 32;
		words[2] = 0x5644;
		words[3] = SIZE;
		assert_int_equal(vq_start(vq, &cfg, &init, table, &err), 0);
		assert_int_equal(vq_track(vq, (struct vq_track *)area, SIZE, seed & 2), 0);
		vq_stop(vq, &at);
		assert_true(at.avail_idx == at.used_idx && at.avail_wrap == at.used_wrap);
		vq_free(vq);
	}
	mem_table_free(table);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_split),
		cmocka_unit_test(test_packed),
		cmocka_unit_test(test_lies),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
