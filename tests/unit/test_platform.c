/* SPDX-License-Identifier: Apache-2.0 */
/* ACPI's fixed registers and the one-register ports. */
#include "unit.h"

#include "device/pm.h"
#include "device/ports.h"
#include "fake_host.h"

#include <stdlib.h>
#include <unistd.h>

#define PM  0x600
#define SCI 9

struct rig {
	struct fake_host h;
	struct pm *pm;
	struct ports *ports;
	unsigned offs, resets, crashes;
	const char *how;
};

static void power_off(void *opaque)
{
	((struct rig *)opaque)->offs++;
}

static void reset(void *opaque, const char *how)
{
	struct rig *r = opaque;

	r->resets++;
	r->how = how;
}

static void crashed(void *opaque, const char *how)
{
	((struct rig *)opaque)->crashes++;
}

static void put(struct rig *r, uint16_t port, uint32_t value, unsigned size)
{
	uint8_t bytes[4];

	store_le32(bytes, value);
	assert_true(bus_write(r->h.pio, port, bytes, size));
}

static uint32_t get(struct rig *r, uint16_t port, unsigned size)
{
	uint8_t bytes[4] = {0};

	assert_true(bus_read(r->h.pio, port, bytes, size));
	return load_le32(bytes);
}

static int setup(void **state)
{
	struct rig *r = calloc(1, sizeof(*r));
	const struct platform_events events = {power_off, reset, crashed, r};
	const struct ports_config config = {.keyboard = 0x64, .pvpanic = 0x505};
	struct error err;

	fake_host_init(&r->h);
	assert_int_equal(pm_create(&r->h.host, r->h.pio, PM, SCI, &events, &r->pm, &err), 0);
	assert_int_equal(ports_create(r->h.pio, &config, &events, &r->ports, &err), 0);
	*state = r;
	return 0;
}

static int teardown(void **state)
{
	struct rig *r = *state;

	ports_destroy(r->ports);
	pm_destroy(r->pm);
	fake_host_fini(&r->h);
	free(r);
	return 0;
}

static void power_button(void **state)
{
	struct rig *r = *state;

	assert_false(pm_power_button(r->pm));
	assert_false(r->h.lines[SCI]);
	assert_int_equal(get(r, PM, 2), 0x0100);
	put(r, PM + 2, 0x0100, 2); /* a press from before is told once it is asked for */
	assert_true(r->h.lines[SCI]);
	put(r, PM, 0x0100, 2);
	assert_false(r->h.lines[SCI]);
	assert_int_equal(get(r, PM, 2), 0);
	assert_true(pm_power_button(r->pm));
	assert_true(r->h.lines[SCI]);
	pm_reset(r->pm);
	assert_false(r->h.lines[SCI]);
	assert_int_equal(get(r, PM, 4), 0);
}

static void control(void **state)
{
	struct rig *r = *state;

	assert_int_equal(get(r, PM + 4, 2), 1); /* SCI_EN: ACPI is on */
	put(r, PM + 4, 1 << 13 | 1 << 10, 2);	/* S1 is not offered */
	assert_int_equal(r->offs, 0);
	put(r, PM + 4, 5 << 10, 2);
	assert_int_equal(r->offs, 0);
	put(r, PM + 4, 5 << 10 | 1 << 13, 2);
	assert_int_equal(r->offs, 1);
	assert_int_equal(get(r, PM + 4, 2), 5 << 10 | 1); /* SLP_EN reads as 0 */
	put(r, PM + 2, 0xffff, 2);
	assert_int_equal(get(r, PM + 2, 2), 0x0721);
	put(r, PM, 0xffffffff, 4); /* both at once: status cleared, enable kept */
	assert_int_equal(get(r, PM, 4), 0x07210000);
}

static void timer(void **state)
{
	struct rig *r = *state;
	uint32_t a = get(r, PM + 8, 4), b;

	usleep(10000);
	b = get(r, PM + 8, 4);
	assert_in_range(b - a, 35795, 3579545);
	put(r, PM + 8, 0, 4); /* read-only */
	assert_true(get(r, PM + 8, 4) >= b);
}

static void resets(void **state)
{
	struct rig *r = *state;

	put(r, 0x64, 0xd1, 1);
	put(r, 0x64, 0xff, 1);
	assert_int_equal(r->resets, 0);
	assert_int_equal(get(r, 0x64, 1), 0);
	put(r, 0x64, 0xfe, 1);
	assert_int_equal(r->resets, 1);
	assert_string_equal(r->how, "the keyboard controller");
	ports_reset_ops.write(r->ports, 0, 0x02, 1);
	assert_int_equal(r->resets, 1);
	assert_int_equal(ports_reset_ops.read(r->ports, 0, 1), 0x02);
	ports_reset_ops.write(r->ports, 0, 0x06, 1);
	assert_int_equal(r->resets, 2);
	assert_string_equal(r->how, "port 0xcf9");
}

static void panic(void **state)
{
	struct rig *r = *state;

	assert_int_equal(get(r, 0x505, 1), 3);
	put(r, 0x505, 2, 1); /* a crash kernel takes over: let it */
	assert_int_equal(r->crashes, 0);
	put(r, 0x505, 1, 1);
	assert_int_equal(r->crashes, 1);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {T(power_button), T(control), T(timer), T(resets),
					   T(panic)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
