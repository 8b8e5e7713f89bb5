/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ACPI's fixed hardware. The system control interrupt (SCI) is a level: it is on while a status
 * bit and its enable bit are both set, and goes off when the guest writes the status bit back.
 * There is no switch between legacy and ACPI mode: SCI_EN is always set (4.8.3.2).
 */
#include "device/pm.h"

#include <errno.h>
#include <stdlib.h>

enum {
	PM1_STATUS = 0,
	PM1_ENABLE = 2,
	PM1_CONTROL = 4,
	PM_TIMER = 8,
};

enum {
	STS_TIMER = 1 << 0,
	STS_GLOBAL = 1 << 5,
	STS_POWER_BUTTON = 1 << 8,
	STS_SLEEP_BUTTON = 1 << 9,
	STS_RTC = 1 << 10,
	/* Enable bits a driver expects to read back, whether the event can happen or not. */
	EN_ALL = STS_TIMER | STS_GLOBAL | STS_POWER_BUTTON | STS_SLEEP_BUTTON | STS_RTC,
};

enum {
	CNT_SCI_EN = 1 << 0,
	CNT_SLP_TYP_SHIFT = 10,
	CNT_SLP_EN = 1 << 13,
	SLP_TYP_S5 = 5, /* what the DSDT's \_S5 says */
};

#define PM_TIMER_HZ 3579545ULL

struct pm {
	struct bus_host *host;
	struct bus *pio;
	struct platform_events events;
	uint16_t port;
	unsigned gsi;
	pthread_mutex_t lock;
	uint16_t status, enable, control;
	bool level;
	uint64_t epoch; /* clock_ns() when the timer was 0 */
};

static void update_sci(struct pm *pm)
{
	bool level = pm->status & pm->enable & EN_ALL;

	if (level == pm->level)
		return;
	pm->level = level;
	pm->host->ops->irq_line(pm->host, pm->gsi, level);
}

static uint32_t timer_value(const struct pm *pm)
{
	uint64_t ns = clock_ns() - pm->epoch;

	/* In two steps: ns times the frequency overflows after an hour and a half. */
	return (uint32_t)(ns / NSEC_PER_SEC * PM_TIMER_HZ +
			  ns % NSEC_PER_SEC * PM_TIMER_HZ / NSEC_PER_SEC);
}

/* All registers as bytes, so that accesses of any size work, also two 16-bit ones as one of 32. */
static uint8_t read_byte(struct pm *pm, unsigned offset, uint32_t timer)
{
	unsigned shift = offset % 2 * 8;

	switch (offset & ~1u) {
	case PM1_STATUS:
		return (uint8_t)(pm->status >> shift);
	case PM1_ENABLE:
		return (uint8_t)(pm->enable >> shift);
	case PM1_CONTROL:
		return (uint8_t)((pm->control | CNT_SCI_EN) >> shift);
	case PM_TIMER:
	case PM_TIMER + 2:
		return (uint8_t)(timer >> (offset - PM_TIMER) * 8);
	default:
		return 0;
	}
}

static uint64_t pm_read(void *opaque, uint64_t offset, unsigned size)
{
	struct pm *pm = opaque;
	uint32_t timer = timer_value(pm);
	uint64_t value = 0;

	pthread_mutex_lock(&pm->lock);
	for (unsigned i = 0; i < size; i++)
		value |= (uint64_t)read_byte(pm, (unsigned)offset + i, timer) << 8 * i;
	pthread_mutex_unlock(&pm->lock);
	return value;
}

static void write_byte(struct pm *pm, unsigned offset, uint8_t value)
{
	unsigned shift = offset % 2 * 8;
	uint16_t keep = (uint16_t)(0xff00 >> shift), bits = (uint16_t)(value << shift);

	switch (offset & ~1u) {
	case PM1_STATUS:
		pm->status &= (uint16_t)~bits;
		break;
	case PM1_ENABLE:
		pm->enable = (uint16_t)((pm->enable & keep) | (bits & EN_ALL));
		break;
	case PM1_CONTROL:
		pm->control = (uint16_t)((pm->control & keep) | bits);
		break;
	}
}

static void pm_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
	struct pm *pm = opaque;
	bool sleep, off;

	pthread_mutex_lock(&pm->lock);
	for (unsigned i = 0; i < size; i++)
		write_byte(pm, (unsigned)offset + i, (uint8_t)(value >> 8 * i));
	/* SLP_EN is write-only and reads as 0. Other sleeping states are not offered. */
	sleep = pm->control & CNT_SLP_EN;
	off = sleep && (pm->control >> CNT_SLP_TYP_SHIFT & 7) == SLP_TYP_S5;
	pm->control &= (uint16_t)~CNT_SLP_EN;
	update_sci(pm);
	pthread_mutex_unlock(&pm->lock);
	if (off)
		pm->events.power_off(pm->events.opaque);
}

static const struct bus_range_ops pm_range_ops = {.read = pm_read, .write = pm_write};

bool pm_power_button(struct pm *pm)
{
	bool told;

	pthread_mutex_lock(&pm->lock);
	pm->status |= STS_POWER_BUTTON;
	told = pm->enable & STS_POWER_BUTTON;
	update_sci(pm);
	pthread_mutex_unlock(&pm->lock);
	return told;
}

void pm_reset(struct pm *pm)
{
	pthread_mutex_lock(&pm->lock);
	pm->status = pm->enable = pm->control = 0;
	pm->epoch = clock_ns();
	update_sci(pm);
	pthread_mutex_unlock(&pm->lock);
}

int pm_create(struct bus_host *host, struct bus *pio, uint16_t port, unsigned sci_gsi,
	      const struct platform_events *events, struct pm **out, struct error *err)
{
	struct bus_range range = {
		.name = "ACPI registers", .base = port, .size = PM_SIZE, .ops = &pm_range_ops};
	struct pm *pm = calloc(1, sizeof(*pm));
	int ret;

	if (!pm)
		return error_set(err, -ENOMEM, "ACPI registers: out of memory");
	pm->host = host;
	pm->pio = pio;
	pm->events = *events;
	pm->port = port;
	pm->gsi = sci_gsi;
	pm->epoch = clock_ns();
	pthread_mutex_init(&pm->lock, NULL);
	range.opaque = pm;
	ret = bus_add(pio, &range, err);
	if (ret) {
		pthread_mutex_destroy(&pm->lock);
		free(pm);
		return ret;
	}
	*out = pm;
	return 0;
}

void pm_destroy(struct pm *pm)
{
	if (!pm)
		return;
	bus_remove(pm->pio, pm->port, pm);
	pthread_mutex_destroy(&pm->lock);
	free(pm);
}
