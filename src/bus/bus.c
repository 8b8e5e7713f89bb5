// SPDX-License-Identifier: Apache-2.0
/*
 * The dispatcher of MMIO and port accesses.
 *
 * Theory of operation. The ranges are kept in one array sorted by base, of pointers to entries,
 * guarded by a reader/writer lock that is held only to search or to change the array, never while
 * a handler runs: handlers may therefore add and remove ranges, and take as long as they like.
 * What keeps an entry alive meanwhile is its count of users, taken under the reader lock.
 *
 * Removal marks the entry dead and takes it out of the array. A thread that found it before then
 * takes the range's lock and looks at the mark once more; so, for whoever removes a range while
 * holding that lock, removal is final at once. The entry itself goes to a list of dead entries
 * and is freed by its last user; bus_drain() waits until that list has none of a given opaque,
 * which is when the memory behind opaque and lock may go.
 *
 * Lock order: range lock, then bus lock. Neither is held when a user count is dropped last.
 */
#include "bus/bus.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>

struct entry {
	struct bus_range range;
	atomic_uint users;
	atomic_bool dead;
	struct entry *next; /* in bus->dead */
};

struct bus {
	const char *name;
	pthread_rwlock_t lock;
	struct entry **entries; /* sorted by base */
	size_t count, room;

	pthread_mutex_t dead_lock;
	pthread_cond_t dead_gone;
	struct entry *dead;
};

struct bus *bus_create(const char *name, struct error *err)
{
	struct bus *bus = calloc(1, sizeof(*bus));

	if (!bus) {
		error_set(err, -ENOMEM, "%s bus: out of memory", name);
		return NULL;
	}
	bus->name = name;
	pthread_rwlock_init(&bus->lock, NULL);
	pthread_mutex_init(&bus->dead_lock, NULL);
	pthread_cond_init(&bus->dead_gone, NULL);
	return bus;
}

void bus_destroy(struct bus *bus)
{
	if (!bus)
		return;
	for (size_t i = 0; i < bus->count; i++)
		free(bus->entries[i]);
	free(bus->entries);
	pthread_cond_destroy(&bus->dead_gone);
	pthread_mutex_destroy(&bus->dead_lock);
	pthread_rwlock_destroy(&bus->lock);
	free(bus);
}

/* The index of the first entry whose base is above addr. */
static size_t upper_bound(const struct bus *bus, uint64_t addr)
{
	size_t low = 0, high = bus->count;

	while (low < high) {
		size_t mid = (low + high) / 2;

		if (bus->entries[mid]->range.base > addr)
			high = mid;
		else
			low = mid + 1;
	}
	return low;
}

static uint64_t range_last(const struct bus_range *range)
{
	return range->base + (range->size - 1);
}

/* The entry that overlaps *range, if any. The lock is held. */
static struct entry *overlapping(struct bus *bus, const struct bus_range *range, size_t at)
{
	if (at > 0 && range_last(&bus->entries[at - 1]->range) >= range->base)
		return bus->entries[at - 1];
	if (at < bus->count && bus->entries[at]->range.base <= range_last(range))
		return bus->entries[at];
	return NULL;
}

static int insert(struct bus *bus, struct entry *entry, struct error *err)
{
	const struct bus_range *range = &entry->range;
	size_t at = upper_bound(bus, range->base);
	struct entry *other = overlapping(bus, range, at);

	if (other)
		return error_set(
			err, -EEXIST,
			"%s bus: %s at %#llx (size %#llx) overlaps %s at %#llx (size %#llx)",
			bus->name, range->name, (unsigned long long)range->base,
			(unsigned long long)range->size, other->range.name,
			(unsigned long long)other->range.base,
			(unsigned long long)other->range.size);
	if (bus->count == bus->room) {
		size_t room = bus->room ? 2 * bus->room : 16;
		struct entry **entries = realloc(bus->entries, room * sizeof(struct entry *));

		if (!entries)
			return error_set(err, -ENOMEM, "%s bus: out of memory", bus->name);
		bus->entries = entries;
		bus->room = room;
	}
	memmove(&bus->entries[at + 1], &bus->entries[at],
		(bus->count - at) * sizeof(struct entry *));
	bus->entries[at] = entry;
	bus->count++;
	return 0;
}

int bus_add(struct bus *bus, const struct bus_range *range, struct error *err)
{
	struct entry *entry;
	int ret;

	if (!range->size || range_last(range) < range->base)
		return error_set(err, -EINVAL, "%s bus: %s: bad range at %#llx, size %#llx",
				 bus->name, range->name, (unsigned long long)range->base,
				 (unsigned long long)range->size);
	entry = calloc(1, sizeof(*entry));
	if (!entry)
		return error_set(err, -ENOMEM, "%s bus: out of memory", bus->name);
	entry->range = *range;
	atomic_init(&entry->users, 1); /* the array's own */

	pthread_rwlock_wrlock(&bus->lock);
	ret = insert(bus, entry, err);
	pthread_rwlock_unlock(&bus->lock);
	if (ret)
		free(entry);
	return ret;
}

/* Finds the range that holds addr, for a handler to be called. */
static struct entry *entry_get(struct bus *bus, uint64_t addr)
{
	struct entry *found = NULL;
	size_t at;

	pthread_rwlock_rdlock(&bus->lock);
	at = upper_bound(bus, addr);
	if (at > 0 && addr <= range_last(&bus->entries[at - 1]->range)) {
		found = bus->entries[at - 1];
		atomic_fetch_add(&found->users, 1);
	}
	pthread_rwlock_unlock(&bus->lock);
	return found;
}

/* The last user of an entry finds it on the list of dead ones, frees it and tells bus_drain(). */
static void entry_put(struct bus *bus, struct entry *entry)
{
	struct entry **link;

	if (atomic_fetch_sub(&entry->users, 1) != 1)
		return;
	pthread_mutex_lock(&bus->dead_lock);
	for (link = &bus->dead; *link != entry; link = &(*link)->next)
		;
	*link = entry->next;
	pthread_cond_broadcast(&bus->dead_gone);
	pthread_mutex_unlock(&bus->dead_lock);
	free(entry);
}

void bus_remove(struct bus *bus, uint64_t base, const void *opaque)
{
	struct entry *entry = NULL;
	size_t at;

	pthread_rwlock_wrlock(&bus->lock);
	at = upper_bound(bus, base);
	if (at > 0 && bus->entries[at - 1]->range.base == base &&
	    bus->entries[at - 1]->range.opaque == opaque) {
		entry = bus->entries[--at];
		bus->count--;
		memmove(&bus->entries[at], &bus->entries[at + 1],
			(bus->count - at) * sizeof(struct entry *));
		atomic_store(&entry->dead, true);
		pthread_mutex_lock(&bus->dead_lock);
		entry->next = bus->dead;
		bus->dead = entry;
		pthread_mutex_unlock(&bus->dead_lock);
	}
	pthread_rwlock_unlock(&bus->lock);
	if (entry)
		entry_put(bus, entry);
}

void bus_drain(struct bus *bus, const void *opaque)
{
	pthread_mutex_lock(&bus->dead_lock);
	for (;;) {
		const struct entry *e = bus->dead;

		while (e && e->range.opaque != opaque)
			e = e->next;
		if (!e)
			break;
		pthread_cond_wait(&bus->dead_gone, &bus->dead_lock);
	}
	pthread_mutex_unlock(&bus->dead_lock);
}

/* One aligned access of 1, 2, 4 or 8 bytes. */
struct access {
	uint64_t addr;
	unsigned size;
	bool write;
	uint64_t value;
};

/* Calls the handler. Returns false if the range was removed meanwhile. */
static bool entry_access(struct entry *entry, struct access *a)
{
	const struct bus_range *range = &entry->range;
	uint64_t offset = a->addr - range->base;
	bool alive;

	if (range->lock)
		pthread_mutex_lock(range->lock);
	alive = !atomic_load(&entry->dead);
	if (alive && a->write) {
		if (range->ops->write)
			range->ops->write(range->opaque, offset, a->value, a->size);
	} else if (alive) {
		a->value = range->ops->read ? range->ops->read(range->opaque, offset, a->size) : 0;
	}
	if (range->lock)
		pthread_mutex_unlock(range->lock);
	return alive;
}

/* Does an access whole if its range has room for it; *too_big says that it has not. */
static bool access_one(struct bus *bus, struct access *a, bool *too_big)
{
	struct entry *entry = entry_get(bus, a->addr);
	bool done = false;

	*too_big = false;
	if (!entry)
		return false;
	if (a->size - 1 > range_last(&entry->range) - a->addr)
		*too_big = true;
	else
		done = entry_access(entry, a);
	entry_put(bus, entry);
	return done;
}

static bool bus_access(struct bus *bus, uint64_t addr, uint8_t *data, unsigned size, bool write)
{
	bool all = true;

	while (size) {
		struct access a = {.addr = addr, .size = 8, .write = write};
		uint8_t bytes[8];
		bool too_big;

		while (a.size > size || addr % a.size)
			a.size /= 2;
		for (;;) {
			memset(bytes, 0, sizeof(bytes));
			memcpy(bytes, data, a.size);
			a.value = write ? load_le64(bytes) : UINT64_MAX;
			if (!access_one(bus, &a, &too_big) && !too_big)
				all = false;
			if (!too_big)
				break;
			a.size /= 2;
		}
		if (!write) {
			store_le64(bytes, a.value);
			memcpy(data, bytes, a.size);
		}
		addr += a.size;
		data += a.size;
		size -= a.size;
	}
	return all;
}

bool bus_read(struct bus *bus, uint64_t addr, void *data, unsigned size)
{
	return bus_access(bus, addr, data, size, false);
}

bool bus_write(struct bus *bus, uint64_t addr, const void *data, unsigned size)
{
	uint8_t copy[8] = {0};

	size = MIN(size, sizeof(copy));
	memcpy(copy, data, size);
	return bus_access(bus, addr, copy, size, true);
}
