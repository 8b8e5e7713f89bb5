/* SPDX-License-Identifier: Apache-2.0 */
#include "unit.h"

#include "device/hotplug.h"
#include "fake_host.h"

#include <stdlib.h>

#define PORT 0x620
#define GSI  20

struct rig {
	struct fake_host h;
	struct hotplug *hotplug;
	uint32_t ejected;
	unsigned ejections;
};

static void ejected(void *opaque, uint32_t slots)
{
	struct rig *r = opaque;

	r->ejected |= slots;
	r->ejections++;
}

static void put(struct rig *r, unsigned reg, uint32_t value, unsigned size)
{
	uint8_t bytes[4];

	store_le32(bytes, value);
	assert_true(bus_write(r->h.pio, PORT + reg, bytes, size));
}

static uint32_t get(struct rig *r, unsigned reg, unsigned size)
{
	uint8_t bytes[4] = {0};

	assert_true(bus_read(r->h.pio, PORT + reg, bytes, size));
	return load_le32(bytes);
}

static int setup(void **state)
{
	struct rig *r = calloc(1, sizeof(*r));
	const struct hotplug_events events = {ejected, r};

	fake_host_init(&r->h);
	assert_int_equal(
		hotplug_create(&r->h.host, r->h.pio, PORT, GSI, &events, &r->hotplug, NULL), 0);
	*state = r;
	return 0;
}

static int teardown(void **state)
{
	struct rig *r = *state;

	hotplug_destroy(r->hotplug);
	fake_host_fini(&r->h);
	free(r);
	return 0;
}

/* The line is on until the guest has taken note of all slots. */
static void test_added(void **state)
{
	struct rig *r = *state;

	assert_false(r->h.lines[GSI]);
	hotplug_added(r->hotplug, 3);
	hotplug_added(r->hotplug, 31);
	assert_true(r->h.lines[GSI]);
	assert_int_equal(get(r, HOTPLUG_ADDED, 4), 1U << 3 | 1U << 31);
	put(r, HOTPLUG_ADDED, 1U << 3, 4);
	assert_true(r->h.lines[GSI]);
	put(r, HOTPLUG_ADDED, 1U << 31, 4);
	assert_int_equal(get(r, HOTPLUG_ADDED, 4), 0);
	assert_false(r->h.lines[GSI]);
}

static void test_removed(void **state)
{
	struct rig *r = *state;

	hotplug_remove(r->hotplug, 5);
	assert_true(r->h.lines[GSI]);
	assert_int_equal(get(r, HOTPLUG_REMOVE, 4), 1U << 5);
	put(r, HOTPLUG_REMOVE, UINT32_MAX, 4);
	assert_false(r->h.lines[GSI]);
	assert_int_equal(get(r, HOTPLUG_EJECTED, 4), 1U << 5);
	/* Asked once more, as the guest takes its time. */
	hotplug_remove(r->hotplug, 5);
	assert_true(r->h.lines[GSI]);
	put(r, HOTPLUG_EJECTED, 1U << 5, 4);
	assert_int_equal(r->ejections, 1);
	assert_int_equal(r->ejected, 1U << 5);
	hotplug_gone(r->hotplug, 1U << 5);
	assert_false(r->h.lines[GSI]);
	assert_int_equal(get(r, HOTPLUG_EJECTED, 4), 0);
}

static void test_reset(void **state)
{
	struct rig *r = *state;

	hotplug_added(r->hotplug, 1);
	hotplug_remove(r->hotplug, 2);
	put(r, HOTPLUG_REMOVE, 1U << 2, 4);
	assert_int_equal(hotplug_reset(r->hotplug), 1U << 2);
	assert_false(r->h.lines[GSI]);
	assert_int_equal(get(r, HOTPLUG_ADDED, 4) | get(r, HOTPLUG_EJECTED, 4), 0);
	assert_int_equal(hotplug_reset(r->hotplug), 0);
}

/* Accesses that are not the whole of a register do nothing; neither does ejecting nothing. */
static void test_odd(void **state)
{
	struct rig *r = *state;

	hotplug_added(r->hotplug, 3);
	assert_int_equal(get(r, HOTPLUG_ADDED, 1), 0);
	assert_int_equal(get(r, HOTPLUG_ADDED + 1, 1), 0);
	put(r, HOTPLUG_ADDED, 0xff, 1);
	put(r, HOTPLUG_ADDED + 2, 0xffff, 2);
	put(r, HOTPLUG_EJECTED, 0xff, 2);
	put(r, HOTPLUG_EJECTED, 0, 4);
	assert_int_equal(get(r, HOTPLUG_ADDED, 4), 1U << 3);
	assert_int_equal(r->ejections, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_added, setup, teardown),
		cmocka_unit_test_setup_teardown(test_removed, setup, teardown),
		cmocka_unit_test_setup_teardown(test_reset, setup, teardown),
		cmocka_unit_test_setup_teardown(test_odd, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
