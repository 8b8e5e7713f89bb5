/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BUS_BUS_H
#define BUS_BUS_H

#include "bus/host.h"

#include <pthread.h>

/*
 * The two address spaces a vCPU's accesses leave the kernel in: MMIO and port I/O. A bus is a
 * sorted list of ranges with handlers. Handlers are called in the thread of the vCPU that made the
 * access, several at a time; each range may name a lock that the bus takes around its handlers
 * (usually its device's). Ranges may be added and removed at any time, from handlers too, except
 * that a handler must not wait for its own removal (bus_drain).
 */
struct bus_range_ops {
	/**
	 * size is 1, 2, 4 or 8 bytes; the address is a multiple of size; offset is within the
	 * range, offset + size too.
	 */
	uint64_t (*read)(void *opaque, uint64_t offset, unsigned size);
	void (*write)(void *opaque, uint64_t offset, uint64_t value, unsigned size);
};

struct bus_range {
	const char *name; /* kept, not copied */
	uint64_t base;
	uint64_t size;
	const struct bus_range_ops *ops;
	void *opaque;
	pthread_mutex_t *lock; /* NULL: the handlers do their own locking */
};

struct bus;

struct bus *bus_create(const char *name, struct error *err);
/** No handler may be running. */
void bus_destroy(struct bus *bus);

/**
 * Adds a copy of *range. -EEXIST if it overlaps another (err names both), -EINVAL if it is empty
 * or wraps, -ENOMEM.
 */
int bus_add(struct bus *bus, const struct bus_range *range, struct error *err);

/**
 * Removes the range that starts at base and has this opaque. If the caller holds the range's lock,
 * none of its handlers begins after this; without a lock one that was already on its way may still
 * run: see bus_drain().
 */
void bus_remove(struct bus *bus, uint64_t base, const void *opaque);

/**
 * Waits until no thread is in, or on its way to, a handler of a removed range of this opaque: after
 * that opaque and its lock may be freed. Not from such a handler, nor with the range's lock held.
 */
void bus_drain(struct bus *bus, const void *opaque);

/**
 * An access of size bytes (any size up to 8; KVM may give odd ones). data is little-endian guest
 * bytes. Where no range answers, reads give all ones, writes are ignored, and false is returned.
 * An access that is misaligned, of an odd size or across the end of a range is taken apart.
 */
bool bus_read(struct bus *bus, uint64_t addr, void *data, unsigned size);
bool bus_write(struct bus *bus, uint64_t addr, const void *data, unsigned size);

#endif
