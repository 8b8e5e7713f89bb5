/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_CHIP_THREADS_H
#define TESTS_CHIP_THREADS_H

/*
 * A chip with its worker as a thread, the test as its driver, and a network that never stops. Made
 * for ThreadSanitizer: what the driver writes after it has stopped the chip must not meet what the
 * worker still does.
 */
#include "chip_bed.h"

/* The interrupt, as the vCPU would see it. */
static inline bool wait_line(struct bed *b)
{
	uint64_t end = clock_ns() + PATIENCE_NS;
	bool up = false;

	while (!up && clock_ns() < end) {
		pthread_mutex_lock(&b->host.lock);
		up = line(b);
		pthread_mutex_unlock(&b->host.lock);
		if (!up)
			sched_yield();
	}
	return up;
}

struct flood {
	struct bed *b;
	pthread_t thread;
	_Atomic bool end;
	uint64_t latest;
};

static inline void *flood_main(void *arg)
{
	struct flood *f = arg;
	uint8_t frame[600];

	make_frame(frame, sizeof(frame), bed_mac);
	while (!f->end) {
		if (wire_waiting(f->b->wire, 0) < 32)
			wire_put(f->b->wire, 0, frame, sizeof(frame), NULL);
		else
			usleep(20);
	}
	return NULL;
}

/* From here on the wire takes what it is sent and always has frames. */
static inline void flood_start(struct flood *f, struct bed *b)
{
	b->wire->queues[0].loop = false;
	b->wire->queues[0].discard = true;
	f->b = b;
	f->end = false;
	f->latest = clock_ns() + PATIENCE_NS;
	assert_int_equal(pthread_create(&f->thread, NULL, flood_main, f), 0);
}

/* Whether to go on with the flood: for n rounds, and until something of it has come. */
static inline bool flood_lasts(struct flood *f, unsigned round, unsigned n)
{
	return round < n || (!counter(f->b, "rx_out_frames") && clock_ns() < f->latest);
}

static inline void flood_stop(struct flood *f)
{
	f->end = true;
	pthread_join(f->thread, NULL);
	assert_true(counter(f->b, "rx_out_frames") > 0);
}

/* A thread that pulls the cable in and out, and reads a counter. */
static inline void *toggle(void *arg)
{
	struct bed *b = arg;

	for (unsigned i = 0; i < 300; i++) {
		b->nic->nic_ops->set_link(b->nic, i & 1);
		(void)counter(b, "tx_in_frames");
		usleep(200);
	}
	return NULL;
}

static inline void bed_bus_master(struct bed *b, bool on)
{
	fake_config_write(&b->host, b->slot, PCI_COMMAND, 2,
			  PCI_COMMAND_IO | PCI_COMMAND_MEMORY | (on ? PCI_COMMAND_MASTER : 0));
}

/* The chip has been stopped, and [gpa, gpa + len) is the driver's again: it stays as it is left. */
static inline void expect_untouched(struct bed *b, uint64_t gpa, uint32_t len)
{
	uint8_t *p = ram(b, gpa);

	memset(p, 0xa5, len);
	usleep(100);
	for (uint32_t i = 0; i < len; i++)
		if (p[i] != 0xa5)
			fail_msg("%#llx was written after the stop", (unsigned long long)(gpa + i));
}

#endif
