/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DEVICE_RTC_H
#define DEVICE_RTC_H

#include "bus/bus.h"

/* The real-time clock and its memory: an MC146818 at an index and a data port. */
#define RTC_SIZE 2

struct rtc;

/** Its interrupts need host->loop (main loop); the clock starts at the host's time, in UTC. */
int rtc_create(struct bus_host *host, struct bus *pio, uint16_t port, unsigned gsi,
	       struct rtc **out, struct error *err);
void rtc_destroy(struct rtc *rtc);
/** Interrupts off; the clock and its memory go on, as they do on a battery. */
void rtc_reset(struct rtc *rtc);

#endif
