/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An MC146818 (Motorola's data sheet; the register letters are its). Time is computed from the
 * host's clock when it is read, plus an offset that the guest moves by setting it; nothing ticks
 * unless the guest enabled an interrupt, when a timer in the main loop is set for the next event.
 *
 * Update in progress (UIP) is the data sheet's 244 µs before each second; the time read is always
 * consistent anyway, so a driver loses nothing if it does not look.
 *
 * Threads. Ports are accessed by vCPUs, the timer fires in the main loop; `lock` guards all. Only
 * the loop's own thread may set a timer, so a vCPU posts rearm() to it.
 */
#include "device/rtc.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

enum {
	RTC_SEC = 0,
	RTC_SEC_ALARM = 1,
	RTC_MIN = 2,
	RTC_MIN_ALARM = 3,
	RTC_HOUR = 4,
	RTC_HOUR_ALARM = 5,
	RTC_WDAY = 6,
	RTC_MDAY = 7,
	RTC_MONTH = 8,
	RTC_YEAR = 9,
	RTC_A = 10,
	RTC_B = 11,
	RTC_C = 12,
	RTC_D = 13,
	RTC_CENTURY = 0x32,
	RTC_BYTES = 128,
};

enum { A_UIP = 0x80, A_RATE = 0x0f, A_DIVIDER = 0x20 };
enum { B_SET = 0x80, B_PIE = 0x40, B_AIE = 0x20, B_UIE = 0x10, B_BINARY = 0x04, B_24H = 0x02 };
enum { C_IRQF = 0x80, C_PF = 0x40, C_AF = 0x20, C_UF = 0x10 };
enum { D_VALID = 0x80 };

#define UIP_NS	  244000ULL
#define DONT_CARE 0xc0 /* an alarm byte from here on matches anything */
#define PM_BIT	  0x80 /* of the hour in 12-hour mode */

struct rtc {
	struct bus_host *host;
	struct bus *pio;
	uint16_t port;
	unsigned gsi;
	pthread_mutex_t lock;
	uint8_t index;
	uint8_t cmos[RTC_BYTES]; /* also A, B, C, the alarm, and the time while SET is on */
	int64_t offset;		 /* seconds, guest minus host */
	bool level, posted;
	struct loop_timer timer;
	uint64_t next_periodic; /* clock_ns() */
	int64_t told_second;	/* the last guest second that UF and AF were worked out for */
};

static uint64_t host_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	return (uint64_t)ts.tv_sec * NSEC_PER_SEC + (uint64_t)ts.tv_nsec;
}

static int64_t guest_second(const struct rtc *rtc, uint64_t now)
{
	return (int64_t)(now / NSEC_PER_SEC) + rtc->offset;
}

static uint8_t encode(const struct rtc *rtc, int value)
{
	if (rtc->cmos[RTC_B] & B_BINARY)
		return (uint8_t)value;
	return (uint8_t)(value / 10 % 10 << 4 | value % 10);
}

static int decode(const struct rtc *rtc, uint8_t value)
{
	if (rtc->cmos[RTC_B] & B_BINARY)
		return value;
	return (value >> 4) * 10 + (value & 15);
}

static uint8_t encode_hour(const struct rtc *rtc, int hour)
{
	if (rtc->cmos[RTC_B] & B_24H)
		return encode(rtc, hour);
	return encode(rtc, hour % 12 ? hour % 12 : 12) | (hour >= 12 ? PM_BIT : 0);
}

static int decode_hour(const struct rtc *rtc, uint8_t value)
{
	if (rtc->cmos[RTC_B] & B_24H)
		return decode(rtc, value);
	return decode(rtc, value & ~PM_BIT) % 12 + (value & PM_BIT ? 12 : 0);
}

static void put_time(struct rtc *rtc, int64_t second)
{
	time_t t = (time_t)second;
	struct tm tm;
	int year;

	if (!gmtime_r(&t, &tm))
		return;
	rtc->cmos[RTC_SEC] = encode(rtc, tm.tm_sec);
	rtc->cmos[RTC_MIN] = encode(rtc, tm.tm_min);
	rtc->cmos[RTC_HOUR] = encode_hour(rtc, tm.tm_hour);
	rtc->cmos[RTC_WDAY] = encode(rtc, tm.tm_wday + 1);
	rtc->cmos[RTC_MDAY] = encode(rtc, tm.tm_mday);
	rtc->cmos[RTC_MONTH] = encode(rtc, tm.tm_mon + 1);
	/* A guest can set month 0 of year 0. */
	year = (tm.tm_year + 1900 + 10000) % 10000;
	rtc->cmos[RTC_YEAR] = encode(rtc, year % 100);
	rtc->cmos[RTC_CENTURY] = encode(rtc, year / 100);
}

/* The guest set the clock: what the registers say is now. */
static void take_time(struct rtc *rtc, uint64_t now)
{
	struct tm tm = {
		.tm_sec = decode(rtc, rtc->cmos[RTC_SEC]),
		.tm_min = decode(rtc, rtc->cmos[RTC_MIN]),
		.tm_hour = decode_hour(rtc, rtc->cmos[RTC_HOUR]),
		.tm_mday = decode(rtc, rtc->cmos[RTC_MDAY]),
		.tm_mon = decode(rtc, rtc->cmos[RTC_MONTH]) - 1,
		.tm_year = decode(rtc, rtc->cmos[RTC_YEAR]) +
			   decode(rtc, rtc->cmos[RTC_CENTURY]) * 100 - 1900,
	};

	rtc->offset = (int64_t)timegm(&tm) - (int64_t)(now / NSEC_PER_SEC);
	rtc->told_second = guest_second(rtc, now);
}

static void update_irq(struct rtc *rtc)
{
	uint8_t *c = &rtc->cmos[RTC_C];
	bool level = *c & rtc->cmos[RTC_B] & (C_PF | C_AF | C_UF);

	*c = (uint8_t)(level ? *c | C_IRQF : *c & ~C_IRQF);
	if (level == rtc->level)
		return;
	rtc->level = level;
	rtc->host->ops->irq_line(rtc->host, rtc->gsi, level);
}

static uint64_t period_ns(const struct rtc *rtc)
{
	unsigned rate = rtc->cmos[RTC_A] & A_RATE;

	if (!rate)
		return 0;
	if (rate < 3)
		rate += 7; /* the data sheet's table 5, for a 32.768 kHz crystal */
	return NSEC_PER_SEC * (1u << (rate - 1)) / 32768;
}

static bool alarm_field(const struct rtc *rtc, uint8_t alarm, int value, bool hour)
{
	if (alarm >= DONT_CARE)
		return true;
	return (hour ? decode_hour(rtc, alarm) : decode(rtc, alarm)) == value;
}

static bool alarm_matches(const struct rtc *rtc, int64_t second)
{
	int64_t day = second % 86400;

	return alarm_field(rtc, rtc->cmos[RTC_SEC_ALARM], (int)(day % 60), false) &&
	       alarm_field(rtc, rtc->cmos[RTC_MIN_ALARM], (int)(day / 60 % 60), false) &&
	       alarm_field(rtc, rtc->cmos[RTC_HOUR_ALARM], (int)(day / 3600), true);
}

/* Sets the flags of what has happened since last time, however long ago that is. */
static void catch_up(struct rtc *rtc, uint64_t now)
{
	int64_t second = guest_second(rtc, now);
	uint64_t mono = clock_ns(), period = period_ns(rtc);

	if (!(rtc->cmos[RTC_B] & B_SET) && second != rtc->told_second) {
		rtc->cmos[RTC_C] |= C_UF;
		/* After a long sleep one day of seconds covers every possible match. */
		if (second < rtc->told_second || second - rtc->told_second > 86400)
			rtc->told_second = second - 86400;
		while (rtc->told_second < second) {
			if (alarm_matches(rtc, ++rtc->told_second))
				rtc->cmos[RTC_C] |= C_AF;
		}
	}
	if (rtc->cmos[RTC_B] & B_PIE && period && mono >= rtc->next_periodic) {
		rtc->cmos[RTC_C] |= C_PF;
		rtc->next_periodic = mono - mono % period + period;
	}
	update_irq(rtc);
}

/* In the main loop's thread: sets the timer for the next event that somebody wants. */
static void set_timer(struct rtc *rtc, uint64_t now)
{
	uint8_t b = rtc->cmos[RTC_B];
	uint64_t next = UINT64_MAX;

	/* An alarm is looked for every second: simple, and rarely on. */
	if (b & (B_AIE | B_UIE) && !(b & B_SET))
		next = clock_ns() + NSEC_PER_SEC - now % NSEC_PER_SEC;
	if (b & B_PIE && period_ns(rtc))
		next = MIN(next, rtc->next_periodic);
	if (next == UINT64_MAX)
		loop_timer_cancel(rtc->host->loop, &rtc->timer);
	else
		loop_timer_set(rtc->host->loop, &rtc->timer, next);
}

static void timer_fired(struct loop_timer *timer)
{
	struct rtc *rtc = timer->opaque;
	uint64_t now = host_ns();

	pthread_mutex_lock(&rtc->lock);
	catch_up(rtc, now);
	set_timer(rtc, now);
	pthread_mutex_unlock(&rtc->lock);
}

static void rearm(void *arg)
{
	struct rtc *rtc = arg;

	pthread_mutex_lock(&rtc->lock);
	rtc->posted = false;
	set_timer(rtc, host_ns());
	pthread_mutex_unlock(&rtc->lock);
}

/* Register A or B changed; the lock is held. */
static void post_rearm(struct rtc *rtc)
{
	if (rtc->cmos[RTC_B] & B_PIE && !rtc->next_periodic)
		rtc->next_periodic = clock_ns() + period_ns(rtc);
	if (!rtc->posted && rtc->host->loop)
		rtc->posted = !loop_post(rtc->host->loop, rearm, rtc);
}

static uint8_t read_byte(struct rtc *rtc, uint64_t now)
{
	uint8_t i = rtc->index, value;

	switch (i) {
	case RTC_A:
		value = rtc->cmos[RTC_A] & ~A_UIP;
		if (!(rtc->cmos[RTC_B] & B_SET) && now % NSEC_PER_SEC >= NSEC_PER_SEC - UIP_NS)
			value |= A_UIP;
		return value;
	case RTC_C: /* reading it is how the interrupt is acknowledged */
		catch_up(rtc, now);
		value = rtc->cmos[RTC_C];
		rtc->cmos[RTC_C] = 0;
		update_irq(rtc);
		return value;
	case RTC_D:
		return D_VALID;
	default:
		if ((i <= RTC_YEAR || i == RTC_CENTURY) && !(rtc->cmos[RTC_B] & B_SET))
			put_time(rtc, guest_second(rtc, now));
		return rtc->cmos[i];
	}
}

static void write_b(struct rtc *rtc, uint8_t value, uint64_t now)
{
	uint8_t old = rtc->cmos[RTC_B];

	catch_up(rtc, now);
	/* The registers hold the time only while SET is on; take it with the old format bits. */
	if (value & ~old & B_SET)
		put_time(rtc, guest_second(rtc, now));
	rtc->cmos[RTC_B] = value;
	if (old & ~value & B_SET)
		take_time(rtc, now);
	if (value & ~old & (B_AIE | B_UIE | B_PIE))
		rtc->told_second = guest_second(rtc, now);
	if (!(value & B_PIE))
		rtc->next_periodic = 0;
	update_irq(rtc);
	post_rearm(rtc);
}

static void write_byte(struct rtc *rtc, uint8_t value, uint64_t now)
{
	uint8_t i = rtc->index;

	switch (i) {
	case RTC_A:
		rtc->cmos[RTC_A] = value & ~A_UIP;
		post_rearm(rtc);
		break;
	case RTC_B:
		write_b(rtc, value, now);
		break;
	case RTC_C:
	case RTC_D:
		break; /* read-only */
	default:
		if (!(rtc->cmos[RTC_B] & B_SET) && (i <= RTC_YEAR || i == RTC_CENTURY)) {
			/* One register set while the clock runs. */
			put_time(rtc, guest_second(rtc, now));
			rtc->cmos[i] = value;
			if (i != RTC_SEC_ALARM && i != RTC_MIN_ALARM && i != RTC_HOUR_ALARM)
				take_time(rtc, now);
		}
		rtc->cmos[i] = value;
	}
}

static uint64_t rtc_read(void *opaque, uint64_t offset, unsigned size)
{
	struct rtc *rtc = opaque;
	uint8_t value = 0xff; /* the index port is write-only */

	if (offset != 1)
		return value;
	pthread_mutex_lock(&rtc->lock);
	value = read_byte(rtc, host_ns());
	pthread_mutex_unlock(&rtc->lock);
	return value;
}

static void rtc_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
	struct rtc *rtc = opaque;

	pthread_mutex_lock(&rtc->lock);
	if (offset == 0)
		rtc->index = value & (RTC_BYTES - 1); /* bit 7 masks the NMI */
	else
		write_byte(rtc, (uint8_t)value, host_ns());
	pthread_mutex_unlock(&rtc->lock);
}

static const struct bus_range_ops rtc_range_ops = {.read = rtc_read, .write = rtc_write};

void rtc_reset(struct rtc *rtc)
{
	pthread_mutex_lock(&rtc->lock);
	rtc->index = 0;
	rtc->cmos[RTC_B] &= (uint8_t) ~(B_PIE | B_AIE | B_UIE);
	rtc->cmos[RTC_C] = 0;
	rtc->next_periodic = 0;
	update_irq(rtc);
	post_rearm(rtc);
	pthread_mutex_unlock(&rtc->lock);
}

int rtc_create(struct bus_host *host, struct bus *pio, uint16_t port, unsigned gsi,
	       struct rtc **out, struct error *err)
{
	struct bus_range range = {
		.name = "real-time clock", .base = port, .size = RTC_SIZE, .ops = &rtc_range_ops};
	struct rtc *rtc = calloc(1, sizeof(*rtc));
	int ret;

	if (!rtc)
		return error_set(err, -ENOMEM, "real-time clock: out of memory");
	rtc->host = host;
	rtc->pio = pio;
	rtc->port = port;
	rtc->gsi = gsi;
	rtc->cmos[RTC_A] = A_DIVIDER | 6; /* 1024 Hz, were it enabled */
	rtc->cmos[RTC_B] = B_24H;
	rtc->timer.fn = timer_fired;
	rtc->timer.opaque = rtc;
	rtc->told_second = guest_second(rtc, host_ns());
	pthread_mutex_init(&rtc->lock, NULL);
	range.opaque = rtc;
	ret = bus_add(pio, &range, err);
	if (ret) {
		pthread_mutex_destroy(&rtc->lock);
		free(rtc);
		return ret;
	}
	*out = rtc;
	return 0;
}

void rtc_destroy(struct rtc *rtc)
{
	if (!rtc)
		return;
	bus_remove(rtc->pio, rtc->port, rtc);
	if (rtc->host->loop)
		loop_timer_cancel(rtc->host->loop, &rtc->timer);
	pthread_mutex_destroy(&rtc->lock);
	free(rtc);
}
