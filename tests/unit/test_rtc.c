/* SPDX-License-Identifier: Apache-2.0 */
#include "unit.h"

#include "device/rtc.h"
#include "fake_host.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define PORT 0x70
#define GSI  8

enum { SEC = 0, SEC_ALARM = 1, MIN_ALARM = 3, HOUR = 4, HOUR_ALARM = 5, WDAY = 6 };
enum { MDAY = 7, MONTH = 8, YEAR = 9, A = 10, B = 11, C = 12, D = 13, CENTURY = 0x32 };

struct rig {
	struct fake_host h;
	struct rtc *rtc;
};

static void put(struct rig *r, uint8_t reg, uint8_t value)
{
	assert_true(bus_write(r->h.pio, PORT, &reg, 1));
	assert_true(bus_write(r->h.pio, PORT + 1, &value, 1));
}

static uint8_t get(struct rig *r, uint8_t reg)
{
	uint8_t value = 0;

	assert_true(bus_write(r->h.pio, PORT, &reg, 1));
	assert_true(bus_read(r->h.pio, PORT + 1, &value, 1));
	return value;
}

static int bcd(uint8_t v)
{
	assert_true((v & 15) < 10 && v >> 4 < 10);
	return (v >> 4) * 10 + (v & 15);
}

/* The clock's time, read until it did not change in between. */
static time_t clock_time(struct rig *r)
{
	struct tm tm;
	int sec;

	do {
		sec = get(r, SEC);
		tm = (struct tm){
			.tm_sec = bcd((uint8_t)sec),
			.tm_min = bcd(get(r, 2)),
			.tm_hour = bcd(get(r, HOUR)),
			.tm_mday = bcd(get(r, MDAY)),
			.tm_mon = bcd(get(r, MONTH)) - 1,
			.tm_year = bcd(get(r, YEAR)) + bcd(get(r, CENTURY)) * 100 - 1900,
		};
	} while (get(r, SEC) != sec);
	return timegm(&tm);
}

static int setup(void **state)
{
	struct rig *r = calloc(1, sizeof(*r));
	struct error err;

	fake_host_init(&r->h);
	assert_int_equal(rtc_create(&r->h.host, r->h.pio, PORT, GSI, &r->rtc, &err), 0);
	*state = r;
	return 0;
}

static int teardown(void **state)
{
	struct rig *r = *state;

	fake_pump(&r->h); /* what was posted refers to it */
	rtc_destroy(r->rtc);
	fake_host_fini(&r->h);
	free(r);
	return 0;
}

static void tells_time(void **state)
{
	struct rig *r = *state;
	time_t before = time(NULL), told = clock_time(r);

	assert_true(told >= before && told <= time(NULL) + 1);
	assert_int_equal(get(r, D), 0x80);
	assert_int_equal(get(r, B), 0x02); /* BCD, 24 hours */
	assert_int_equal(get(r, WDAY), gmtime(&told)->tm_wday + 1);
}

static void set_time(struct rig *r, uint8_t hour)
{
	put(r, B, 0x82);
	put(r, SEC, 0x58);
	put(r, 2, 0x59);
	put(r, HOUR, hour);
	put(r, MDAY, 0x29);
	put(r, MONTH, 0x02);
	put(r, YEAR, 0x24);
	put(r, CENTURY, 0x20);
	put(r, B, 0x02);
}

static void can_be_set(void **state)
{
	struct rig *r = *state;
	struct tm tm = {.tm_sec = 58,
			.tm_min = 59,
			.tm_hour = 23,
			.tm_mday = 29,
			.tm_mon = 1,
			.tm_year = 124};
	time_t want = timegm(&tm), got;

	set_time(r, 0x23);
	got = clock_time(r);
	assert_true(got >= want && got <= want + PATIENCE_S);
}

static void formats(void **state)
{
	struct rig *r = *state;

	set_time(r, 0x23);
	put(r, B, 0x00); /* 12 hours: 11 p.m. */
	assert_int_equal(get(r, HOUR), 0x91);
	put(r, B, 0x06); /* binary, 24 hours */
	assert_int_equal(get(r, HOUR), 23);
	assert_int_equal(get(r, MDAY), 29);
	put(r, B, 0x02);
	set_time(r, 0x00);
	put(r, B, 0x00);
	assert_int_equal(get(r, HOUR), 0x12); /* midnight */
}

/* Runs the loop until the line is up, at most ms. */
static bool wait_line(struct rig *r, unsigned ms)
{
	uint64_t end = clock_ns() + ms * NSEC_PER_MSEC;

	fake_pump(&r->h);
	while (!r->h.lines[GSI] && clock_ns() < end)
		loop_run_once(r->h.host.loop, 20);
	return r->h.lines[GSI];
}

static void update_interrupt(void **state)
{
	struct rig *r = *state;

	get(r, C);
	put(r, B, 0x12);
	assert_true(wait_line(r, PATIENCE_MS));
	assert_int_equal(get(r, C) & 0x90, 0x90);
	assert_false(r->h.lines[GSI]);
	put(r, B, 0x02);
	fake_pump(&r->h);
	assert_false(wait_line(r, 1200));
}

static void alarm_interrupt(void **state)
{
	struct rig *r = *state;

	set_time(r, 0x22); /* 22:59:58 */
	put(r, SEC_ALARM, 0x00);
	put(r, MIN_ALARM, 0x00);
	put(r, HOUR_ALARM, 0x23);
	get(r, C);
	put(r, B, 0x22);
	assert_true(wait_line(r, PATIENCE_MS));
	assert_int_equal(get(r, C) & 0xa0, 0xa0);
	assert_int_equal(get(r, HOUR), 0x23);
	put(r, B, 0x02);
}

static void periodic_interrupt(void **state)
{
	struct rig *r = *state;

	put(r, A, 0x2c); /* 16 Hz */
	put(r, B, 0x42);
	for (unsigned i = 0; i < 3; i++) {
		assert_true(wait_line(r, PATIENCE_MS));
		assert_int_equal(get(r, C) & 0xc0, 0xc0);
	}
	rtc_reset(r->rtc);
	assert_false(r->h.lines[GSI]);
	assert_int_equal(get(r, B) & 0x70, 0);
}

/* Its memory keeps what is put there, over a reset too; the index's top bit is not part of it. */
static void memory(void **state)
{
	struct rig *r = *state;

	put(r, 0x50, 0xa5);
	rtc_reset(r->rtc);
	assert_int_equal(get(r, 0x50), 0xa5);
	assert_int_equal(get(r, 0xd0), 0xa5);
	assert_int_equal(get(r, 0x7f), 0);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(tells_time),	    T(can_be_set),	   T(formats), T(update_interrupt),
		T(alarm_interrupt), T(periodic_interrupt), T(memory)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
