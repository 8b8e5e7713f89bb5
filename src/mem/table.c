/* SPDX-License-Identifier: Apache-2.0 */
#include "mem/dirty_log.h"
#include "mem/guest_mem.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

static int by_gpa(const void *a, const void *b)
{
	const struct mem_region *x = a, *y = b;

	return x->gpa < y->gpa ? -1 : x->gpa > y->gpa;
}

int mem_table_new(const struct mem_region *regions, unsigned count, struct mem_table **out,
		  struct error *err)
{
	struct mem_table *table = calloc(1, sizeof(*table) + count * sizeof(table->regions[0]));

	if (!table)
		return error_set(err, -ENOMEM, "memory table: out of memory");
	table->count = count;
	if (count) {
		memcpy(table->regions, regions, count * sizeof(table->regions[0]));
		qsort(table->regions, count, sizeof(table->regions[0]), by_gpa);
	}
	for (unsigned i = 0; i < count; i++) {
		const struct mem_region *r = &table->regions[i];

		if (!r->size || r->size - 1 > UINT64_MAX - r->gpa ||
		    r->size - 1 > UINTPTR_MAX - (uintptr_t)r->hva) {
			error_set(err, -EINVAL,
				  "memory region 0x%" PRIx64 " of 0x%" PRIx64
				  " bytes: empty or wraps around",
				  r->gpa, r->size);
			goto bad;
		}
		if (i && mem_region_holds(r - 1, r->gpa, 1)) {
			error_set(err, -EINVAL,
				  "memory regions 0x%" PRIx64 " and 0x%" PRIx64 " overlap",
				  (r - 1)->gpa, r->gpa);
			goto bad;
		}
	}
	*out = table;
	return 0;
bad:
	free(table);
	return -EINVAL;
}

void mem_table_free(struct mem_table *table)
{
	free(table);
}

bool mem_table_has(const struct mem_table *table, const struct mem_region *region)
{
	for (unsigned i = 0; table && i < table->count; i++) {
		const struct mem_region *r = &table->regions[i];

		if (r->gpa == region->gpa && r->size == region->size && r->hva == region->hva &&
		    r->readonly == region->readonly)
			return true;
	}
	return false;
}

const struct mem_region *mem_find(const struct mem_table *table, uint64_t gpa, uint64_t len)
{
	unsigned low = 0, high = table->count;

	while (low < high) {
		unsigned mid = low + (high - low) / 2;
		const struct mem_region *r = &table->regions[mid];

		if (gpa < r->gpa)
			high = mid;
		else if (gpa - r->gpa >= r->size)
			low = mid + 1;
		else
			return mem_region_holds(r, gpa, len) ? r : NULL;
	}
	return NULL;
}

/* Whether [at, at + len) lies in the size bytes from start; as mem_region_holds(). */
static bool holds(uint64_t start, uint64_t size, uint64_t at, uint64_t len)
{
	return at - start < size && len <= size - (at - start);
}

uint64_t mem_find_missing(const struct mem_region *region, uint64_t gpa, uint64_t len)
{
	uint64_t end = gpa + len, at = gpa;

	while (region->arrived && at < end) {
		uint64_t in = (uintptr_t)region->hva % MEM_PAGE_SIZE + (at - region->gpa);
		uint64_t page = in / MEM_PAGE_SIZE;

		if (!(__atomic_load_n(&region->arrived[page / 64], __ATOMIC_ACQUIRE) >> page % 64 &
		      1))
			return at;
		if (end - at <= MEM_PAGE_SIZE - in % MEM_PAGE_SIZE)
			break;
		at += MEM_PAGE_SIZE - in % MEM_PAGE_SIZE;
	}
	return end;
}

const struct mem_region *mem_find_user(const struct mem_table *table, uint64_t user, uint64_t len)
{
	for (unsigned i = 0; i < table->count; i++) {
		if (holds(table->regions[i].user_addr, table->regions[i].size, user, len))
			return &table->regions[i];
	}
	return NULL;
}

const struct mem_region *mem_find_file(const struct mem_table *table, int fd, uint64_t offset,
				       uint64_t len)
{
	for (unsigned i = 0; i < table->count; i++) {
		const struct mem_region *r = &table->regions[i];

		if (r->fd == fd && holds(r->fd_offset, r->size, offset, len))
			return r;
	}
	return NULL;
}

const struct mem_region *mem_find_host(const struct mem_table *table, const void *hva, size_t len)
{
	for (unsigned i = 0; i < table->count; i++) {
		const struct mem_region *r = &table->regions[i];

		if (holds((uintptr_t)r->hva, r->size, (uintptr_t)hva, len))
			return r;
	}
	return NULL;
}

/*
 * One piece of a copy that may span regions: the host address of gpa and, in *len, how much of
 * the len asked for is there. NULL if nothing is.
 */
static uint8_t *piece(const struct mem_table *table, uint64_t gpa, size_t *len,
		      enum mem_access access)
{
	const struct mem_region *r = mem_find(table, gpa, 1);

	if (!r || (access == MEM_WRITE && r->readonly))
		return NULL;
	*len = MIN(*len, r->size - (gpa - r->gpa));
	return r->hva + (gpa - r->gpa);
}

static int check_span(const struct mem_table *table, uint64_t gpa, size_t len,
		      enum mem_access access)
{
	if (len && len - 1 > UINT64_MAX - gpa)
		return -EFAULT;
	while (len) {
		size_t n = len;

		if (!piece(table, gpa, &n, access))
			return -EFAULT;
		gpa += n;
		len -= n;
	}
	return 0;
}

int mem_read(const struct mem_table *table, uint64_t gpa, void *buf, size_t len)
{
	uint8_t *to = buf;
	int ret = check_span(table, gpa, len, MEM_READ);

	while (!ret && len) {
		size_t n = len;
		const uint8_t *from = piece(table, gpa, &n, MEM_READ);

		memcpy(to, from, n);
		to += n;
		gpa += n;
		len -= n;
	}
	return ret;
}

int mem_write(const struct mem_table *table, uint64_t gpa, const void *buf, size_t len)
{
	const uint8_t *from = buf;
	int ret = check_span(table, gpa, len, MEM_WRITE);

	while (!ret && len) {
		size_t n = len;
		uint8_t *to = piece(table, gpa, &n, MEM_WRITE);

		memcpy(to, from, n);
		if (table->dirty)
			dirty_log_mark(table->dirty, gpa, n);
		from += n;
		gpa += n;
		len -= n;
	}
	return ret;
}
