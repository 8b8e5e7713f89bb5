/* SPDX-License-Identifier: Apache-2.0 */
#include "unit.h"

#include "base/thread.h"
#include "mem/dirty_log.h"
#include "mem/guest_mem.h"
#include "mem/quiesce.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static uint8_t low[8192], high[4096], rom[4096];

static struct mem_table *small_table(void)
{
	const struct mem_region regions[] = {
		{.gpa = 0x10000, .size = 8192, .hva = low, .fd = 5, .user_addr = 0x7000},
		{.gpa = UINT64_MAX - 4095, .size = 4096, .hva = high, .fd = -1},
		{.gpa = 0x12000,
		 .size = 4096,
		 .hva = rom,
		 .fd = 5,
		 .fd_offset = 8192,
		 .user_addr = 0x20000,
		 .readonly = true},
	};
	struct mem_table *table;

	assert_int_equal(mem_table_new(regions, 3, &table, NULL), 0);
	return table;
}

static void test_translate(void **state)
{
	struct mem_table *table = small_table();
	const struct mem_region *hit = NULL;

	assert_ptr_equal(mem_translate(table, 0x10000, 8192, MEM_WRITE), low);
	assert_ptr_equal(mem_translate(table, 0x11fff, 1, MEM_WRITE), low + 8191);
	assert_ptr_equal(mem_translate(table, 0x11fff, 0, MEM_WRITE), low + 8191);
	assert_null(mem_translate(table, 0x11fff, 2, MEM_READ));
	assert_null(mem_translate(table, 0xffff, 1, MEM_READ));
	assert_null(mem_translate(table, 0xffff, 2, MEM_READ));
	assert_null(mem_translate(table, 0x10000, UINT64_MAX, MEM_READ));
	assert_null(mem_translate(table, 0x10001, UINT64_MAX - 0x10000, MEM_READ));
	assert_ptr_equal(mem_translate(table, 0x12000, 4096, MEM_READ), rom);
	assert_null(mem_translate(table, 0x12000, 1, MEM_WRITE));
	assert_null(mem_translate(table, 0x13000, 1, MEM_READ));
	assert_null(mem_translate(table, 0x13000, 0, MEM_READ));
	assert_ptr_equal(mem_translate(table, UINT64_MAX, 1, MEM_READ), high + 4095);
	assert_ptr_equal(mem_translate(table, UINT64_MAX - 4095, 4096, MEM_READ), high);
	assert_null(mem_translate(table, UINT64_MAX, 2, MEM_READ));
	/* The last hit first, and still the right one. */
	assert_ptr_equal(mem_translate_hit(table, &hit, 0x12000, 1, MEM_READ), rom);
	assert_ptr_equal(mem_translate_hit(table, &hit, 0x10000, 1, MEM_WRITE), low);
	assert_null(mem_translate_hit(table, &hit, 0x9000, 1, MEM_WRITE));
	assert_ptr_equal(mem_translate_hit(table, &hit, UINT64_MAX, 1, MEM_WRITE), high + 4095);
	mem_table_free(table);
	assert_int_equal(mem_table_new(NULL, 0, &table, NULL), 0);
	assert_null(mem_translate(table, 0, 1, MEM_READ));
	mem_table_free(table);
}

static void test_find(void **state)
{
	struct mem_table *table = small_table();

	assert_ptr_equal(mem_find_user(table, 0x7000, 8192)->hva, low);
	assert_null(mem_find_user(table, 0x7001, 8192));
	assert_ptr_equal(mem_find_user(table, 0x20fff, 1)->hva, rom);
	assert_ptr_equal(mem_find_file(table, 5, 8191, 1)->hva, low);
	assert_ptr_equal(mem_find_file(table, 5, 8192, 4096)->hva, rom);
	assert_null(mem_find_file(table, 5, 8191, 2));
	assert_null(mem_find_file(table, 6, 0, 1));
	assert_ptr_equal(mem_find_host(table, low + 4, 8)->hva, low);
	assert_null(mem_find_host(table, low + 8190, 8));
	mem_table_free(table);
}

static void test_bad_tables(void **state)
{
	struct mem_region r[2] = {{.gpa = 0x1000, .size = 0x1000, .hva = low},
				  {.gpa = 0x1fff, .size = 1, .hva = high}};
	struct mem_table *table;
	struct error err = {0};

	assert_int_equal(mem_table_new(r, 2, &table, &err), -EINVAL);
	assert_text(err, "overlap");
	r[1].gpa = 0x2000;
	r[1].size = 0;
	assert_int_equal(mem_table_new(r, 2, &table, &err), -EINVAL);
	r[1].size = UINT64_MAX - 0x1000;
	assert_int_equal(mem_table_new(r, 2, &table, &err), -EINVAL);
	assert_text(err, "wraps around");
}

/* Copies go across regions that adjoin, and copy nothing when any of it is out of bounds. */
static void test_copy(void **state)
{
	struct mem_table *table = small_table();
	uint8_t buf[64], back[64];

	table->dirty = dirty_log_create(0x14000, NULL);
	for (unsigned i = 0; i < sizeof(buf); i++)
		buf[i] = (uint8_t)(i + 1);
	memcpy(low + 8192 - 32, buf, 32);
	memcpy(rom, buf + 32, 32);
	assert_int_equal(mem_read(table, 0x12000 - 32, back, 64), 0);
	assert_memory_equal(buf, back, 64);
	assert_int_equal(mem_write(table, 0x12000 - 32, back, 64), -EFAULT);
	assert_int_equal(mem_read(table, 0x13000 - 32, back, 64), -EFAULT);
	assert_int_equal(mem_write(table, UINT64_MAX - 31, buf, 32), 0);
	assert_memory_equal(high + 4096 - 32, buf, 32);
	assert_int_equal(mem_read(table, UINT64_MAX - 30, back, 32), -EFAULT);
	assert_int_equal(mem_read(table, 1, back, 0), 0);
	assert_int_equal(dirty_log_collect(table->dirty, (uint64_t *)(void *)back), 0);
	assert_int_equal(mem_write(table, 0x10ff0, buf, 32), 0);
	assert_int_equal(dirty_log_collect(table->dirty, (uint64_t *)(void *)back), 2);
	dirty_log_free(table->dirty);
	mem_table_free(table);
}

static void test_dirty_log(void **state)
{
	uint64_t words[4], outside[2] = {0};
	struct dirty_log *log = dirty_log_create(130 * 4096 - 1, NULL);
	struct error err = {0};

	assert_int_equal(dirty_log_words(log), 3);
	dirty_log_mark(log, 4096 * 63 + 4095, 2);
	dirty_log_mark(log, 4096 * 129, 1 << 20);
	dirty_log_mark(log, 4096 * 130, 1);
	dirty_log_mark(log, 4096 * 5, 0);
	dirty_log_mark(log, UINT64_MAX, UINT64_MAX);
	assert_int_equal(dirty_log_collect(log, words), 3);
	assert_int_equal(words[0], 1ULL << 63);
	assert_int_equal(words[1], 1);
	assert_int_equal(words[2], 2);
	assert_int_equal(dirty_log_collect(log, words), 0);
	dirty_log_mark(log, 4096, UINT64_MAX);
	assert_int_equal(dirty_log_collect(log, words), 129);
	dirty_log_free(log);

	assert_null(dirty_log_wrap((char *)outside + 1, 8, &err));
	log = dirty_log_wrap(outside, 15, NULL);
	dirty_log_mark(log, 0, UINT64_MAX);
	assert_int_equal(outside[0], UINT64_MAX);
	assert_int_equal(outside[1], 0);
	dirty_log_free(log);
	dirty_log_free(NULL);
	log = dirty_log_create(0, NULL);
	dirty_log_mark(log, 0, 1);
	dirty_log_free(log);
}

struct listened {
	struct mem_listener listener;
	unsigned calls;
	unsigned regions;
	int refuse;
};

static int listened_fn(struct mem_listener *listener, const struct mem_table *old,
		       const struct mem_table *table, struct error *err)
{
	struct listened *l = listener->opaque;

	l->calls++;
	if (l->refuse)
		return error_set(err, l->refuse, "no more slots");
	assert_int_equal(old ? old->count : 0, l->regions);
	l->regions = table->count;
	return 0;
}

static void listened_init(struct listened *l, const char *name)
{
	*l = (struct listened){.listener = {.name = name, .changed = listened_fn, .opaque = l}};
}

static void test_guest_mem(void **state)
{
	struct guest_mem *gm = guest_mem_create(NULL);
	struct listened a, b, c;
	const struct mem_region *r;
	struct error err = {0};
	struct stat st;

	listened_init(&a, "first");
	listened_init(&b, "kvm");
	listened_init(&c, "last");
	assert_int_equal(guest_mem_table(gm)->count, 0);
	assert_int_equal(guest_mem_listen(gm, &a.listener, &err), 0);
	assert_int_equal(guest_mem_listen(gm, &b.listener, &err), 0);
	assert_int_equal(guest_mem_listen(gm, &c.listener, &err), 0);
	assert_int_equal(guest_mem_add_ram(gm, "low", 0, 2 * MIB, NULL, &err), 0);
	assert_int_equal(guest_mem_add_ram(gm, "high", 4 * GIB, 1 * MIB,
					   &(struct mem_ram_options){.prealloc = true}, &err),
			 0);
	assert_int_equal(a.regions, 2);
	r = mem_find(guest_mem_table(gm), 4 * GIB, MIB);
	assert_non_null(r);
	assert_int_equal(fstat(r->fd, &st), 0);
	assert_int_equal(st.st_size, MIB);
	assert_int_equal(st.st_blocks * 512, MIB); /* all there */
	assert_true(ftruncate(r->fd, 0) < 0);	   /* and it stays */
	assert_ptr_equal(mem_find_file(guest_mem_table(gm), r->fd, 0, MIB), r);

	/* Refused: everybody is back where they were, readers too. */
	b.refuse = -ENOSPC;
	assert_int_equal(guest_mem_add_ram(gm, "more", 8 * GIB, MIB, NULL, &err), -ENOSPC);
	assert_text(err, "kvm: no more slots");
	assert_int_equal(a.regions, 2);
	assert_int_equal(c.regions, 2);
	assert_int_equal(c.calls, 3);
	assert_int_equal(guest_mem_table(gm)->count, 2);
	assert_int_equal(guest_mem_remove_ram(gm, 0, &err), -ENOSPC);
	assert_ptr_equal(mem_find(guest_mem_table(gm), 4 * GIB, MIB), r);
	b.refuse = 0;

	assert_int_equal(guest_mem_add_ram(gm, "over", MIB, 2 * MIB, NULL, &err), -EINVAL);
	assert_text(err, "overlap");
	assert_int_equal(guest_mem_add_ram(gm, "odd", 0x800, 4096, NULL, &err), -EINVAL);
	assert_int_equal(guest_mem_add_ram(gm, "none", 16 * MIB, 0, NULL, &err), -EINVAL);
	assert_int_equal(guest_mem_remove_ram(gm, 0, &err), 0);
	assert_int_equal(guest_mem_remove_ram(gm, 0, &err), -ENOENT);
	assert_int_equal(a.regions, 1);
	guest_mem_unlisten(gm, &b.listener);
	assert_int_equal(guest_mem_set_dirty_log(gm, NULL, &err), 0);
	assert_int_equal(b.calls, 6); /* of them two refused, and none since */
	guest_mem_destroy(gm);
	guest_mem_destroy(NULL);
}

/* More than the base has, and always what it has; a listener is moved from one to the other. */
static void test_over(void **state)
{
	struct guest_mem *gm = guest_mem_create(NULL), *over;
	struct listened a, b;
	struct error err = {0};
	const uint8_t *lower;

	assert_int_equal(guest_mem_add_ram(gm, "low", 0, 2 * MIB, NULL, &err), 0);
	lower = mem_translate(guest_mem_table(gm), 0, 1, MEM_READ);
	over = guest_mem_create_over(gm, &err);
	assert_non_null(over);
	assert_int_equal(guest_mem_add_ram(over, "more", 8 * GIB, MIB, NULL, &err), 0);
	assert_int_equal(guest_mem_table(over)->count, 2);
	assert_int_equal(guest_mem_table(gm)->count, 1);
	assert_ptr_equal(mem_translate(guest_mem_table(over), 0, 1, MEM_READ), lower);

	listened_init(&a, "moves");
	listened_init(&b, "stays");
	assert_int_equal(guest_mem_listen(gm, &a.listener, &err), 0);
	assert_int_equal(guest_mem_listen(gm, &b.listener, &err), 0);
	assert_int_equal(guest_mem_move_listener(gm, over, &a.listener, &err), 0);
	assert_int_equal(a.regions, 2);
	assert_int_equal(b.regions, 1);
	assert_int_equal(guest_mem_add_ram(gm, "high", 4 * GIB, MIB, NULL, &err), 0);
	assert_int_equal(a.regions, 3);
	assert_int_equal(b.regions, 2);
	assert_int_equal(guest_mem_table(over)->count, 3);
	/* It has a say in what changes underneath. */
	a.refuse = -ENOSPC;
	assert_int_equal(guest_mem_remove_ram(gm, 0, &err), -ENOSPC);
	assert_int_equal(guest_mem_table(gm)->count, 2);
	assert_int_equal(guest_mem_table(over)->count, 3);
	a.refuse = 0;
	assert_int_equal(guest_mem_add_ram(gm, "same", 8 * GIB, MIB, NULL, &err), -EINVAL);
	assert_int_equal(guest_mem_remove_ram(gm, 0, &err), 0);
	assert_int_equal(a.regions, 2);
	assert_null(mem_translate(guest_mem_table(over), 0, 1, MEM_READ));
	/* Moved, although it refuses; and back. */
	a.refuse = -EIO;
	assert_int_equal(guest_mem_move_listener(over, gm, &a.listener, &err), -EIO);
	a.refuse = 0;
	a.regions = 1;
	assert_int_equal(guest_mem_add_ram(gm, "low", 0, MIB, NULL, &err), 0);
	assert_int_equal(a.regions, 2);
	guest_mem_destroy(over);
	assert_non_null(mem_translate(guest_mem_table(gm), 4 * GIB, MIB, MEM_WRITE));
	guest_mem_destroy(gm);
}

/* Whatever this machine has of huge pages, the outcome is memory or a remedy. */
static void test_hugepages(void **state)
{
	struct mem_ram_options opts = {.hugepages = true, .prealloc = true};
	struct guest_mem *gm = guest_mem_create(NULL);
	struct error err = {0};
	int ret = guest_mem_add_ram(gm, "huge", 0, 2 * MIB, &opts, &err);

	if (ret)
		assert_text(err, "hugepages=on");
	assert_int_equal(guest_mem_add_ram(gm, "odd", 0x1000, 2 * MIB, &opts, &err), -EINVAL);
	assert_text(err, "2048 KiB");
	assert_true(guest_mem_add_ram(gm, "vast", 1ULL << 40, 1ULL << 46, &opts, &err) < 0);
	assert_text(err, "hugepages=on");
	guest_mem_destroy(gm);
}

/* Readers translate while the table is replaced under them; ASan or a fault would tell. */
struct reader {
	struct guest_mem *gm;
	bool stop;
	_Atomic uint64_t rounds;
	uint64_t found;
};

static void *reader_fn(void *arg)
{
	struct reader *r = arg;
	struct quiesce_reader q = {0};
	unsigned n = 0;

	quiesce_register(&q);
	while (!__atomic_load_n(&r->stop, __ATOMIC_RELAXED)) {
		const struct mem_table *table = guest_mem_table(r->gm);

		for (unsigned i = 0; i < 10; i++) {
			uint8_t *p = mem_translate(table, MIB + 17, 8, MEM_READ);

			if (p && !READ_ONCE(*p))
				r->found++;
		}
		r->rounds++;
		if (++n % 64)
			quiesce_pass(&q);
		else {
			quiesce_offline(&q);
			usleep(10);
			quiesce_online(&q);
		}
	}
	quiesce_unregister(&q);
	return NULL;
}

static void test_quiesce(void **state)
{
	struct reader readers[2];
	struct guest_mem *gm = guest_mem_create(NULL);
	pthread_t threads[2];
	uint64_t changes = 0;

	assert_int_equal(guest_mem_add_ram(gm, "fixed", 0, MIB, NULL, NULL), 0);
	for (unsigned i = 0; i < 2; i++) {
		readers[i] = (struct reader){.gm = gm};
		assert_int_equal(thread_start(&threads[i], "reader", THREAD_ANY_CPU, reader_fn,
					      &readers[i], NULL),
				 0);
	}
	for (uint64_t end = clock_ns() + NSEC_PER_SEC;
	     clock_ns() < end || !readers[0].rounds || !readers[1].rounds; changes++) {
		assert_int_equal(guest_mem_add_ram(gm, "comes", MIB, MIB, NULL, NULL), 0);
		assert_int_equal(guest_mem_remove_ram(gm, MIB, NULL), 0);
	}
	for (unsigned i = 0; i < 2; i++) {
		__atomic_store_n(&readers[i].stop, true, __ATOMIC_RELAXED);
		pthread_join(threads[i], NULL);
		assert_true(readers[i].rounds > 0);
	}
	assert_true(changes > 0);
	guest_mem_destroy(gm);
}

/* Of memory that is on its way: bits are of pages, whatever addresses regions begin at. */
static void test_arrived(void **state)
{
	uint64_t bits[2] = {0};
	struct mem_region r = {.gpa = 0x10800, .size = 70 * MEM_PAGE_SIZE, .arrived = bits};

	r.hva = (uint8_t *)(uintptr_t)0x40000800; /* never touched */
	assert_int_equal(mem_find_missing(&r, r.gpa, 1), r.gpa);
	bits[0] = ~0ULL;
	bits[1] = 0x3d; /* all but page 65 */
	assert_int_equal(mem_find_missing(&r, r.gpa, 65 * MEM_PAGE_SIZE - 0x800),
			 r.gpa + 65 * MEM_PAGE_SIZE - 0x800);
	assert_int_equal(mem_find_missing(&r, r.gpa + 5, r.size - 5), 0x10000 + 65 * MEM_PAGE_SIZE);
	assert_int_equal(mem_find_missing(&r, 0x10000 + 65 * MEM_PAGE_SIZE + 7, 1),
			 0x10000 + 65 * MEM_PAGE_SIZE + 7);
	assert_int_equal(mem_find_missing(&r, 0x10000 + 66 * MEM_PAGE_SIZE, 100),
			 0x10000 + 66 * MEM_PAGE_SIZE + 100);
	r.arrived = NULL;
	assert_int_equal(mem_find_missing(&r, r.gpa, r.size), r.gpa + r.size);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_arrived),	  cmocka_unit_test(test_translate),
		cmocka_unit_test(test_find),	  cmocka_unit_test(test_bad_tables),
		cmocka_unit_test(test_copy),	  cmocka_unit_test(test_dirty_log),
		cmocka_unit_test(test_guest_mem), cmocka_unit_test(test_over),
		cmocka_unit_test(test_hugepages), cmocka_unit_test(test_quiesce),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
