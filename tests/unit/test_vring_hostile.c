/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rings that no honest peer makes, written by hand: each way of being malformed is named rightly,
 * what the specification allows is not called malformed, and memory that changes while it is being
 * read leads to a fault at worst.
 */
#include "vring_bed.h"

#include <errno.h>
#include <pthread.h>

#define SIZE	   4U
#define BUF	   BED_BUF_GPA
#define READONLY   0x5000000000ULL
#define LARGE	   0x6000000000ULL /* LARGE_SIZE bytes that nobody touches */
#define LARGE_SIZE (6 * GIB)

/* Marks in .addr that stand for the table of the case, and for part of it. */
#define TABLE 0x7000000000ULL

#define N     DESC_NEXT
#define W     DESC_WRITE
#define I     DESC_INDIRECT

struct hostile_case {
	const char *name;
	enum { SPLIT = 1, PACKED = 2, BOTH = 3 } rings;
	bool no_indirect; /* not negotiated */
	struct desc desc[SIZE + 1];
	struct desc table[SIZE + 1];
	enum vring_fault fault;
	unsigned parts; /* if VRING_OK */
};

/* A number that ends a split chain's list: link is what follows in .link; packed ignores it. */
static const struct hostile_case cases[] = {
	/* What is allowed. */
	{"one part", BOTH, .desc = {{BUF, 8, 0}}, .parts = 1},
	{"all the ring", BOTH,
	 .desc = {{BUF, 8, N, 1}, {BUF, 8, N, 2}, {BUF, 8, N | W, 3}, {BUF, 8, W}}, .parts = 4},
	{"no data, no address", BOTH, .desc = {{0, 0, N, 1}, {BUF, 8, N, 2}, {1, 0, W}},
	 .parts = 1},
	{"nothing at all", BOTH, .desc = {{0, 0, 0}}, .parts = 0},
	{"unknown flags", BOTH, .desc = {{BUF, 8, 0x7f78}}, .parts = 1},
	{"table marked writable", BOTH, .desc = {{TABLE, 32, I | W}},
	 .table = {{BUF, 8, N, 1}, {BUF, 8, W}}, .parts = 2},
	{"chain that ends in a table", SPLIT, .desc = {{BUF, 8, N, 1}, {TABLE, 16, I}},
	 .table = {{BUF, 8, W}}, .parts = 2},
	{"table not used to its end", SPLIT, .desc = {{TABLE, 64, I}}, .table = {{BUF, 8, 0}},
	 .parts = 1},
	{"table not in sequence", SPLIT, .desc = {{TABLE, 48, I}},
	 .table = {{BUF, 8, N, 2}, {BUF, 8, W}, {BUF, 8, N, 1}}, .parts = 3},
	{"flags in a packed table", PACKED, .desc = {{TABLE, 32, I}},
	 .table = {{BUF, 8, I, 99}, {BUF, 8, N | W, 99}}, .parts = 2},
	{"4 GiB less one", BOTH, .desc = {{LARGE, 0xffffff00, N, 1}, {LARGE, 0xff, W}}, .parts = 2},

	/* What is not. */
	{"address 0", BOTH, .desc = {{0, 1, 0}}, .fault = VRING_BAD_ADDRESS},
	{"over the end", BOTH, .desc = {{BUF + SIZE * 64 - 7, 8, 0}}, .fault = VRING_BAD_ADDRESS},
	{"before the start", BOTH, .desc = {{BUF - 1, 8, 0}}, .fault = VRING_BAD_ADDRESS},
	{"wraps around", BOTH, .desc = {{UINT64_MAX - 3, 8, 0}}, .fault = VRING_BAD_ADDRESS},
	{"huge", BOTH, .desc = {{BUF, UINT32_MAX, 0}}, .fault = VRING_BAD_ADDRESS},
	{"second part", BOTH, .desc = {{BUF, 8, N, 1}, {0, 8, W}}, .fault = VRING_BAD_ADDRESS},
	{"readonly", BOTH, .desc = {{READONLY, 8, W}}, .fault = VRING_BAD_ADDRESS},
	{"table nowhere", BOTH, .desc = {{16, 16, I}}, .fault = VRING_BAD_ADDRESS},
	{"part in a table", BOTH, .desc = {{TABLE, 16, I}}, .table = {{0, 8, 0}},
	 .fault = VRING_BAD_ADDRESS},
	{"next outside", SPLIT, .desc = {{BUF, 8, N, SIZE}}, .fault = VRING_BAD_HEAD},
	{"next outside the table", SPLIT, .desc = {{TABLE, 32, I}}, .table = {{BUF, 8, N, 2}},
	 .fault = VRING_BAD_HEAD},
	{"loop of one", SPLIT, .desc = {{BUF, 8, N, 0}}, .fault = VRING_CHAIN_LOOP},
	{"loop of two", SPLIT, .desc = {{BUF, 8, N, 1}, {BUF, 8, N, 0}}, .fault = VRING_CHAIN_LOOP},
	{"loop without data", SPLIT, .desc = {{BUF, 0, N, 0}}, .fault = VRING_CHAIN_LOOP},
	{"longer than the ring", PACKED,
	 .desc = {{BUF, 8, N}, {BUF, 8, N}, {BUF, 8, N}, {BUF, 8, N}}, .fault = VRING_CHAIN_LOOP},
	{"loop in a table", SPLIT, .desc = {{TABLE, 32, I}},
	 .table = {{BUF, 0, N, 1}, {BUF, 8, N, 0}}, .fault = VRING_CHAIN_LOOP},
	{"table's last goes on", SPLIT, .desc = {{TABLE, 16, I}}, .table = {{BUF, 8, N, 0}},
	 .fault = VRING_CHAIN_LOOP},
	{"table not negotiated", BOTH, .no_indirect = true, .desc = {{TABLE, 16, I}},
	 .table = {{BUF, 8, 0}}, .fault = VRING_BAD_INDIRECT},
	{"empty table", BOTH, .desc = {{TABLE, 0, I}}, .fault = VRING_BAD_INDIRECT},
	{"odd table", BOTH, .desc = {{TABLE, 24, I}}, .fault = VRING_BAD_INDIRECT},
	{"vast table", BOTH, .desc = {{LARGE, 32769 * 16, I}}, .fault = VRING_BAD_INDIRECT},
	{"table that goes on", BOTH, .desc = {{TABLE, 16, I | N, 1}, {BUF, 8, W}},
	 .table = {{BUF, 8, 0}}, .fault = VRING_BAD_INDIRECT},
	{"table in a packed chain", PACKED, .desc = {{BUF, 8, N}, {TABLE, 16, I}},
	 .table = {{BUF, 8, 0}}, .fault = VRING_BAD_INDIRECT},
	{"table in a table", SPLIT, .desc = {{TABLE, 16, I}}, .table = {{TABLE, 16, I}},
	 .fault = VRING_BAD_INDIRECT},
	{"readable after writable", BOTH, .desc = {{BUF, 8, N | W, 1}, {BUF, 8, 0}},
	 .fault = VRING_BAD_ORDER},
	{"the same, without data", BOTH, .desc = {{BUF, 0, N | W, 1}, {BUF, 8, 0}},
	 .fault = VRING_BAD_ORDER},
	{"the same in a table", BOTH, .desc = {{TABLE, 32, I}},
	 .table = {{BUF, 8, N | W, 1}, {BUF, 8, 0}}, .fault = VRING_BAD_ORDER},
	{"4 GiB", BOTH, .desc = {{LARGE, 0xffffff00, N, 1}, {LARGE, 0x100, W}},
	 .fault = VRING_BAD_LENGTH},
};

struct hostile {
	struct bed bed;
	struct mem_table *table;
	void *large;
};

/* The bed's memory, a read-only region, and a large one. */
static void hostile_init(struct hostile *h, const struct vring_config *cfg)
{
	struct mem_region regions[4] = {0};
	struct vring_state init = VRING_STATE_INIT;

	bed_init(&h->bed, cfg, 64);
	h->large = mmap(NULL, LARGE_SIZE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
			-1, 0);
	assert_ptr_not_equal(h->large, MAP_FAILED);
	memcpy(regions, h->bed.table->regions, 2 * sizeof(regions[0]));
	regions[2] = (struct mem_region){READONLY, 4096, h->large, -1, .readonly = true};
	regions[3] = (struct mem_region){LARGE, LARGE_SIZE, h->large, -1};
	assert_int_equal(mem_table_new(regions, 4, &h->table, NULL), 0);
	assert_int_equal(vq_start(h->bed.vq, &h->bed.cfg, &init, h->table, NULL), 0);
}

static void hostile_done(struct hostile *h)
{
	mem_table_free(h->table);
	munmap(h->large, LARGE_SIZE);
	bed_done(&h->bed);
}

static void put_desc(struct bed *bed, struct ring_desc *at, const struct desc *d)
{
	uint64_t addr = d->addr == TABLE ? bed->tables : d->addr;

	at->addr = addr;
	at->meta = bed->cfg.packed ? packed_meta(d->len, d->link, d->flags)
				   : split_meta(d->len, d->flags, d->link);
}

static void run_case(const struct hostile_case *c, bool packed)
{
	struct vring_config cfg = {.size = SIZE, .packed = packed, .indirect = !c->no_indirect};
	struct iovec iov[SIZE + 1];
	struct hostile h;
	struct vq_buf buf;
	int ret;

	hostile_init(&h, &cfg);
	for (unsigned i = 0; i <= SIZE; i++) {
		struct ring_desc *table = (void *)(h.bed.ring + (h.bed.tables - BED_RING_GPA));
		struct ring_desc *ring = (void *)h.bed.ring;
		struct desc d = c->desc[i];

		put_desc(&h.bed, &table[i], &c->table[i]);
		if (packed)
			d.flags |= DESC_AVAIL;
		if (i < SIZE)
			put_desc(&h.bed, &ring[i], &d);
	}
	if (!packed)
		((struct split_avail *)(void *)(h.bed.ring + (h.bed.cfg.driver - BED_RING_GPA)))
			->idx = 1;
	ret = vq_pop(h.bed.vq, &buf, 1, iov, ARRAY_SIZE(iov));
	if (ret != (c->fault ? -EPROTO : 1) || vq_fault(h.bed.vq) != c->fault)
		fail_msg("%s, %s: returned %d: %s", c->name, packed ? "packed" : "split", ret,
			 vring_fault_name(vq_fault(h.bed.vq)));
	if (!c->fault)
		assert_int_equal(buf.out_n + buf.in_n, c->parts);
	hostile_done(&h);
}

static void test_cases(void **state)
{
	for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
		if (cases[i].rings & SPLIT)
			run_case(&cases[i], false);
		if (cases[i].rings & PACKED)
			run_case(&cases[i], true);
	}
}

/* Split: the available ring itself. */
static void test_split_index(void **state)
{
	static const struct {
		uint16_t idx, head;
		enum vring_fault fault;
	} tries[] = {
		{1, SIZE, VRING_BAD_HEAD},	{1, 0xffff, VRING_BAD_HEAD},
		{SIZE + 1, 0, VRING_BAD_INDEX}, {0xffff, 0, VRING_BAD_INDEX},
		{0x8000, 0, VRING_BAD_INDEX},
	};
	struct vring_config cfg = {.size = SIZE};
	struct vring_state init = VRING_STATE_INIT;
	struct iovec iov[SIZE];
	struct vq_buf buf;
	struct split_avail *avail;
	struct bed bed;

	bed_init(&bed, &cfg, 64);
	avail = (void *)(bed.ring + (bed.cfg.driver - BED_RING_GPA));
	for (unsigned i = 0; i < ARRAY_SIZE(tries); i++) {
		avail->idx = tries[i].idx;
		avail->ring[0] = tries[i].head;
		assert_int_equal(vq_start(bed.vq, &bed.cfg, &init, bed.table, NULL), 0);
		assert_int_equal(vq_pop(bed.vq, &buf, 1, iov, SIZE), -EPROTO);
		assert_int_equal(vq_fault(bed.vq), tries[i].fault);
	}
	bed_done(&bed);
}

/* More made available than there is, while all of it is taken. */
static void test_overfull(void **state)
{
	struct vring_config cfg = {.size = SIZE, .packed = *state};
	struct iovec iov[SIZE];
	struct vq_buf bufs[SIZE];
	struct bed bed;

	bed_init(&bed, &cfg, 64);
	for (unsigned i = 0; i < SIZE; i++)
		bed_give(&bed, i, 10, 0);
	assert_int_equal(vq_pop(bed.vq, bufs, SIZE, iov, SIZE), SIZE);
	if (cfg.packed)
		((struct ring_desc *)(void *)bed.ring)[0].meta =
			packed_meta(10, 0, packed_avail_flags(false));
	else
		((struct split_avail *)(void *)(bed.ring + (bed.cfg.driver - BED_RING_GPA)))->idx++;
	assert_int_equal(vq_pop(bed.vq, bufs, 1, iov, SIZE), -EPROTO);
	assert_int_equal(vq_fault(bed.vq), VRING_BAD_INDEX);
	bed_done(&bed);
}

/* Driver side: puts a used entry in place n (split: without the index). */
static void forge_used(struct bed *bed, unsigned n, uint32_t id, uint32_t len)
{
	struct split_used *used = (void *)(bed->ring + (bed->cfg.device - BED_RING_GPA));
	struct ring_desc *d = (void *)bed->ring;

	if (bed->cfg.packed) {
		d[n].meta = packed_meta(len, (uint16_t)id, packed_used_flags(true) | W);
	} else {
		used->ring[n] = (struct split_used_elem){id, len};
		used->idx = (uint16_t)(n + 1);
	}
}

static void test_bad_used(void **state)
{
	struct vring_config cfg = {.size = SIZE, .packed = *state};
	struct vdrv_sg sg = {BUF, 4};
	struct bed bed;
	void *cookie;
	uint32_t len;

	for (int kind = 0; kind < 6; kind++) {
		bed_init(&bed, &cfg, 64);
		bed_give(&bed, 1, 0, 10); /* takes id 0 */
		bed_give(&bed, 2, 0, 10); /* takes id 1 */
		switch (kind) {
		case 0: /* never out */
			forge_used(&bed, 0, 3, 0);
			break;
		case 1: /* none there is */
			forge_used(&bed, 0, SIZE, 0);
			break;
		case 2: /* twice */
			forge_used(&bed, 0, 1, 99);
			assert_int_equal(vdrv_get(bed.drv, &cookie, &len), 1);
			assert_int_equal(len, 10); /* no more than there was */
			assert_int_equal((uintptr_t)cookie, 2);
			forge_used(&bed, 1, 1, 0);
			break;
		case 3: /* added, not published */
			assert_int_equal(vdrv_add(bed.drv, &sg, 1, 0, false, 0, NULL), 0);
			forge_used(&bed, 0, 2, 0);
			break;
		case 4:
			forge_used(&bed, 0, 0xffff, 0);
			break;
		case 5: /* an index that is ahead */
			if (cfg.packed)
				forge_used(&bed, 0, 2, 0);
			else
				forge_used(&bed, 2, 0, 0);
			break;
		}
		assert_int_equal(vdrv_get(bed.drv, &cookie, &len), -EPROTO);
		assert_int_equal(vdrv_get(bed.drv, &cookie, &len), -EPROTO);
		assert_int_equal(vdrv_fault(bed.drv), VRING_BAD_USED);
		assert_int_equal(vdrv_add(bed.drv, &sg, 1, 0, false, 0, NULL), -EPROTO);
		assert_false(vdrv_publish(bed.drv));
		bed_done(&bed);
	}
}

/* IN_ORDER from a device that lets one entry stand for buffers it wrote to. */
static void test_driver_batch(void **state)
{
	struct vring_config cfg = {.size = SIZE, .packed = *state, .in_order = true};
	struct bed bed;
	void *cookie;
	uint32_t len;

	bed_init(&bed, &cfg, 64);
	for (unsigned i = 0; i < 3; i++)
		bed_give(&bed, i, 0, 10 + i);
	forge_used(&bed, 0, 2, 5);
	if (!cfg.packed) {
		struct split_used *used = (void *)(bed.ring + (bed.cfg.device - BED_RING_GPA));

		/* The index must count all three. */
		assert_int_equal(vdrv_get(bed.drv, &cookie, &len), -EPROTO);
		bed_done(&bed);
		bed_init(&bed, &cfg, 64);
		for (unsigned i = 0; i < 3; i++)
			bed_give(&bed, i, 0, 10 + i);
		forge_used(&bed, 0, 2, 5);
		used = (void *)(bed.ring + (bed.cfg.device - BED_RING_GPA));
		used->idx = 3;
	}
	for (unsigned i = 0; i < 3; i++) {
		assert_true(vdrv_enable_calls(bed.drv));
		assert_int_equal(vdrv_get(bed.drv, &cookie, &len), 1);
		assert_int_equal((uintptr_t)cookie, i);
		assert_int_equal(len, i == 2 ? 5 : 10 + i);
	}
	assert_false(vdrv_enable_calls(bed.drv));
	assert_int_equal(vdrv_get(bed.drv, &cookie, &len), 0);
	assert_int_equal(vdrv_free_slots(bed.drv), SIZE);
	bed_done(&bed);
}

/*
 * A thread writes interesting values all over the ring and its tables while the device works. The
 * memory is fenced by pages that may not be touched.
 */
#define RACE_SIZE 64U

struct race {
	struct bed bed;
	uint8_t *fenced;
	bool stop;
};

static void *race_fn(void *arg)
{
	struct race *r = arg;
	uint64_t seed = 12345, *words = (uint64_t *)(void *)r->bed.ring;
	uint16_t *avail = (void *)(r->bed.ring + (r->bed.cfg.driver - BED_RING_GPA));

	while (!__atomic_load_n(&r->stop, __ATOMIC_RELAXED)) {
		static const uint64_t addrs[] = {BUF,	     BUF + 4000, BUF - 1,     0,
						 BUF + 4095, UINT64_MAX, BED_RING_GPA};
		static const uint32_t lens[] = {0, 1, 16, 64, 160, 96, 0xffffffff, 24};
		bool table = bed_below(&seed, 2);
		uint64_t *at = words + 2 * bed_below(&seed, RACE_SIZE);
		uint32_t len = lens[bed_below(&seed, 8)];
		uint16_t flags = (uint16_t)bed_below(&seed, 8),
			 link = (uint16_t)bed_below(&seed, 80);
		uint64_t addr = addrs[bed_below(&seed, 7)];

		if (table)
			at += (r->bed.tables - BED_RING_GPA) / 8;
		if (bed_below(&seed, 8)) {
			flags &= DESC_NEXT | DESC_WRITE;
			addr = BUF + bed_below(&seed, 3000);
			len &= 0xff;
		}
		if (flags & DESC_INDIRECT && bed_below(&seed, 4))
			addr = r->bed.tables + 16 * bed_below(&seed, 8);
		if (r->bed.cfg.packed)
			flags |= packed_avail_flags(bed_below(&seed, 2));
		switch (bed_below(&seed, 3)) {
		case 0:
			ring_store(&at[0], addr);
			break;
		case 1:
			ring_store(&at[1], r->bed.cfg.packed ? packed_meta(len, link, flags)
							     : split_meta(len, flags, link));
			break;
		case 2:
			if (!r->bed.cfg.packed) {
				ring_store(&avail[2 + bed_below(&seed, RACE_SIZE)],
					   (uint16_t)bed_below(&seed, RACE_SIZE + 1));
				ring_store(&avail[1], (uint16_t)(avail[1] + bed_below(&seed, 9)));
			}
			break;
		}
	}
	return NULL;
}

/* Every iovec lies in memory, and writing there is what a device may do. */
static void race_use(struct race *r, const struct vq_buf *buf)
{
	uint64_t out = 0, in = 0;

	for (unsigned i = 0; i < buf->out_n + buf->in_n; i++) {
		const struct iovec *v = &buf->iov[i];

		assert_non_null(mem_find_host(r->bed.table, v->iov_base, v->iov_len));
		*(i < buf->out_n ? &out : &in) += v->iov_len;
		if (i >= buf->out_n && (uint8_t *)v->iov_base >= r->bed.bufs &&
		    (uint8_t *)v->iov_base < r->bed.bufs + 4096)
			memset(v->iov_base, 0x55, v->iov_len);
	}
	assert_int_equal(out, buf->out_len);
	assert_int_equal(in, buf->in_len);
}

static void race_bed(struct race *r, bool packed)
{
	struct vring_config cfg = {
		.size = RACE_SIZE, .packed = packed, .indirect = true, .event_idx = true};
	struct mem_region regions[2];

	memset(r, 0, sizeof(*r));
	bed_init(&r->bed, &cfg, 64);
	r->fenced = mmap(NULL, 3 * 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	assert_ptr_not_equal(r->fenced, MAP_FAILED);
	assert_int_equal(mprotect(r->fenced + 4096, 4096, PROT_READ | PROT_WRITE), 0);
	munmap(r->bed.bufs, RACE_SIZE * 64);
	r->bed.bufs = r->fenced + 4096;
	memcpy(regions, r->bed.table->regions, sizeof(regions));
	regions[1].hva = r->bed.bufs;
	mem_table_free(r->bed.table);
	assert_int_equal(mem_table_new(regions, 2, &r->bed.table, NULL), 0);
}

static void test_race(void **state)
{
	uint64_t faults[VRING_FAULT_COUNT] = {0}, taken = 0, end;
	struct vq_buf bufs[32];
	struct iovec iov[40];
	uint16_t *avail_idx;
	pthread_t thread;
	struct race r;

	if (BED_TSAN)
		skip(); /* a race on purpose */
	race_bed(&r, *state);
	avail_idx = (uint16_t *)(void *)(r.bed.ring + (r.bed.cfg.driver - BED_RING_GPA)) + 1;
	assert_int_equal(pthread_create(&thread, NULL, race_fn, &r), 0);
	for (end = clock_ns() + NSEC_PER_SEC; clock_ns() < end;) {
		struct vring_state start = VRING_STATE_INIT;
		int n;

		/* Something is there at once, also while the other thread is not running. */
		if (!r.bed.cfg.packed)
			start.avail_idx = start.used_idx =
				(uint16_t)(ring_load(avail_idx) - RACE_SIZE / 2);
		assert_int_equal(vq_start(r.bed.vq, &r.bed.cfg, &start, r.bed.table, NULL), 0);
		for (unsigned idle = 0; idle < 1000; idle++) {
			n = vq_pop(r.bed.vq, bufs, 32, iov, ARRAY_SIZE(iov));
			if (n < 0)
				break;
			taken += (unsigned)n;
			for (int i = 0; i < n; i++)
				race_use(&r, &bufs[i]);
			vq_unpop(r.bed.vq, bufs + n / 2, (unsigned)(n - n / 2));
			for (int i = 0; i < n / 2; i++)
				vq_push(r.bed.vq, &bufs[i], UINT32_MAX);
			vq_flush(r.bed.vq);
			vq_enable_kicks(r.bed.vq);
		}
		faults[vq_fault(r.bed.vq)]++;
	}
	__atomic_store_n(&r.stop, true, __ATOMIC_RELAXED);
	pthread_join(thread, NULL);
	assert_true(taken > 0);
	for (unsigned i = 1; i < VRING_FAULT_COUNT; i++)
		print_message("%8llu × %s\n", (unsigned long long)faults[i], vring_fault_name(i));
	munmap(r.fenced, 3 * 4096);
	r.bed.bufs = bed_map(RACE_SIZE * 64);
	bed_done(&r.bed);
}

#define BOTH_RINGS(fn)                                 \
	{#fn " split", fn, NULL, NULL, NULL},          \
	{                                              \
#fn " packed", fn, NULL, NULL, &packed \
	}

int main(void)
{
	static int packed;
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_cases),  cmocka_unit_test(test_split_index),
		BOTH_RINGS(test_overfull),     BOTH_RINGS(test_bad_used),
		BOTH_RINGS(test_driver_batch), BOTH_RINGS(test_race),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
