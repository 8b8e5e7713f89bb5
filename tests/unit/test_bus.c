/* SPDX-License-Identifier: Apache-2.0 */
#include "unit.h"

#include "bus/bus.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

/* A range of bytes that remembers the sizes it was accessed by. */
struct ram {
	uint8_t bytes[64];
	unsigned sizes[16], n;
};

static uint64_t ram_read(void *opaque, uint64_t offset, unsigned size)
{
	struct ram *ram = opaque;
	uint64_t value = 0;

	ram->sizes[ram->n++ % 16] = size;
	memcpy(&value, ram->bytes + offset, size);
	return value;
}

static void ram_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
	struct ram *ram = opaque;

	ram->sizes[ram->n++ % 16] = size;
	memcpy(ram->bytes + offset, &value, size);
}

static const struct bus_range_ops ram_ops = {ram_read, ram_write};

static struct bus *new_bus(void)
{
	struct error err;
	struct bus *bus = bus_create("test", &err);

	assert_non_null(bus);
	return bus;
}

static int add(struct bus *bus, const char *name, uint64_t base, uint64_t size, void *opaque,
	       struct error *err)
{
	struct bus_range range = {name, base, size, &ram_ops, opaque, NULL};

	return bus_add(bus, &range, err);
}

static void test_dispatch(void **state)
{
	struct ram a = {0}, b = {0};
	struct bus *bus = new_bus();
	uint32_t v = 0x11223344;
	struct error err;

	assert_int_equal(add(bus, "b", 0x2000, 64, &b, &err), 0);
	assert_int_equal(add(bus, "a", 0x1000, 64, &a, &err), 0);
	assert_true(bus_write(bus, 0x1004, &v, 4));
	assert_int_equal(a.bytes[4], 0x44);
	assert_int_equal(b.n, 0);
	v = 0;
	assert_true(bus_read(bus, 0x1004, &v, 4));
	assert_int_equal(v, 0x11223344);
	assert_false(bus_read(bus, 0x1040, &v, 4));
	assert_int_equal(v, 0xffffffff);
	assert_false(bus_read(bus, 0xfff, &v, 1));
	assert_false(bus_write(bus, 0x3000, &v, 4));
	bus_destroy(bus);
}

static void test_overlap(void **state)
{
	struct bus *bus = new_bus();
	struct ram a = {0};
	struct error err = {0};

	assert_int_equal(add(bus, "first", 0x1000, 0x100, &a, &err), 0);
	assert_int_equal(add(bus, "second", 0x10ff, 1, &a, &err), -EEXIST);
	assert_text(err, "first");
	assert_text(err, "second");
	assert_int_equal(add(bus, "second", 0xfff, 2, &a, &err), -EEXIST);
	assert_int_equal(add(bus, "second", 0, UINT64_MAX, &a, &err), -EEXIST);
	assert_int_equal(add(bus, "before", 0xfff, 1, &a, &err), 0);
	assert_int_equal(add(bus, "after", 0x1100, 1, &a, &err), 0);
	assert_int_equal(add(bus, "empty", 0x5000, 0, &a, &err), -EINVAL);
	assert_int_equal(add(bus, "wraps", UINT64_MAX, 2, &a, &err), -EINVAL);
	assert_int_equal(add(bus, "last", UINT64_MAX, 1, &a, &err), 0);
	bus_destroy(bus);
}

static void test_splitting(void **state)
{
	struct bus *bus = new_bus();
	struct ram a = {0}, b = {0};
	uint8_t data[8] = {1, 2, 3, 4, 5, 6, 7, 8}, back[8] = {0};
	struct error err;

	add(bus, "a", 0x1000, 6, &a, &err);
	add(bus, "b", 0x1006, 8, &b, &err);
	/* Misaligned, and across the two: 1 + 2 + 2 and then b's. */
	assert_true(bus_write(bus, 0x1001, data, 8));
	assert_memory_equal(a.bytes + 1, data, 5);
	assert_memory_equal(b.bytes, data + 5, 3);
	for (unsigned i = 0; i < a.n; i++)
		assert_true(a.sizes[i] <= 2 || a.sizes[i] == 4);
	assert_true(bus_read(bus, 0x1001, back, 8));
	assert_memory_equal(back, data, 8);
	/* An odd size. */
	memset(back, 0, sizeof(back));
	assert_true(bus_read(bus, 0x1008, back, 3));
	/* Beyond the end: what is there is read, the rest is ones. */
	assert_false(bus_read(bus, 0x100c, back, 4));
	assert_int_equal(back[2], 0xff);
	bus_destroy(bus);
}

static void test_remove(void **state)
{
	struct bus *bus = new_bus();
	struct ram a = {0};
	struct error err;
	uint8_t v;

	add(bus, "a", 0x1000, 64, &a, &err);
	bus_remove(bus, 0x1000, &err); /* somebody else's opaque */
	assert_true(bus_read(bus, 0x1000, &v, 1));
	bus_remove(bus, 0x1000, &a);
	assert_false(bus_read(bus, 0x1000, &v, 1));
	bus_remove(bus, 0x1000, &a);
	bus_drain(bus, &a);
	assert_int_equal(add(bus, "a", 0x1000, 64, &a, &err), 0);
	bus_destroy(bus);
}

/* A handler that removes itself and adds another range. */
struct mover {
	struct bus *bus;
	struct ram ram;
};

static void mover_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
	struct mover *m = opaque;
	struct bus_range range = {"moved", value, 64, &ram_ops, &m->ram, NULL};

	bus_remove(m->bus, 0x1000, m);
	bus_add(m->bus, &range, NULL);
}

static void test_from_handler(void **state)
{
	static const struct bus_range_ops mover_ops = {NULL, mover_write};
	struct mover m = {.bus = new_bus()};
	pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
	struct bus_range range = {"mover", 0x1000, 8, &mover_ops, &m, &lock};
	uint32_t to = 0x4000;
	uint8_t v = 7;

	assert_int_equal(bus_add(m.bus, &range, NULL), 0);
	assert_true(bus_write(m.bus, 0x1000, &to, 4));
	assert_false(bus_write(m.bus, 0x1000, &to, 4));
	assert_true(bus_write(m.bus, 0x4000, &v, 1));
	assert_int_equal(m.ram.bytes[0], 7);
	bus_drain(m.bus, &m);
	bus_destroy(m.bus);
}

/* Threads access a range while it comes and goes; its memory goes with it. */
struct race {
	struct bus *bus;
	atomic_bool stop;
};

struct victim {
	pthread_mutex_t lock;
	uint64_t magic;
};

static uint64_t victim_read(void *opaque, uint64_t offset, unsigned size)
{
	struct victim *v = opaque;

	assert_true(v->magic == 0x600d600d600d600dULL);
	return 1;
}

static const struct bus_range_ops victim_ops = {victim_read, NULL};

static void *race_reader(void *arg)
{
	struct race *race = arg;
	uint32_t v;

	while (!race->stop)
		bus_read(race->bus, 0x1000, &v, 4);
	return NULL;
}

static void test_race(void **state)
{
	struct race race = {.bus = new_bus()};
	pthread_t threads[3];

	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, race_reader, &race), 0);
	for (unsigned i = 0; i < 2000; i++) {
		struct victim *v = calloc(1, sizeof(*v));
		struct bus_range range = {"victim", 0x1000, 4, &victim_ops, v, NULL};

		pthread_mutex_init(&v->lock, NULL);
		v->magic = 0x600d600d600d600dULL;
		range.lock = i % 2 ? &v->lock : NULL;
		assert_int_equal(bus_add(race.bus, &range, NULL), 0);
		if (i % 16 == 0)
			usleep(50);
		bus_remove(race.bus, 0x1000, v);
		bus_drain(race.bus, v);
		v->magic = 0;
		pthread_mutex_destroy(&v->lock);
		free(v);
	}
	race.stop = true;
	for (unsigned i = 0; i < 3; i++)
		pthread_join(threads[i], NULL);
	bus_destroy(race.bus);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_dispatch),     cmocka_unit_test(test_overlap),
		cmocka_unit_test(test_splitting),    cmocka_unit_test(test_remove),
		cmocka_unit_test(test_from_handler), cmocka_unit_test(test_race),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
