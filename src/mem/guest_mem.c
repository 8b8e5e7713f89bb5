/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Theory of operation.
 *
 * The current table is one pointer. A change makes a new table beside it, offers it to every
 * listener in turn (KVM slots, vhost tables: those who must know of memory before it is used),
 * and only when all have accepted stores the pointer. Readers load the pointer once a round and
 * use what they got until their next quiescent point; after quiesce_wait() nobody can hold the old
 * table, and it is freed, and with it mappings that only it had. If a listener refuses, those
 * before it are told of the way back and the new table is dropped: readers never saw it.
 *
 * One thread, the control path's, makes changes; no lock is needed for that.
 */
#include "mem/guest_mem.h"

#include "mem/quiesce.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/memfd.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif

#define HUGE_PAGE (2 * MIB)

struct guest_mem {
	_Atomic(struct mem_table *) table;
	struct mem_listener *listeners; /* in the order added */
	struct guest_mem *base;		/* whose regions are here too; NULL: none */
	struct mem_listener base_changed;
};

struct guest_mem *guest_mem_create(struct error *err)
{
	struct guest_mem *gm = calloc(1, sizeof(*gm));
	struct mem_table *table;

	if (!gm) {
		error_set(err, -ENOMEM, "guest memory: out of memory");
		return NULL;
	}
	if (mem_table_new(NULL, 0, &table, err)) {
		free(gm);
		return NULL;
	}
	atomic_init(&gm->table, table);
	return gm;
}

static void region_unmap(const struct mem_region *region)
{
	munmap(region->hva, region->size);
	close(region->fd);
}

void guest_mem_destroy(struct guest_mem *gm)
{
	struct mem_table *table;

	if (!gm)
		return;
	table = atomic_load(&gm->table);
	if (gm->base)
		guest_mem_unlisten(gm->base, &gm->base_changed);
	for (unsigned i = 0; i < table->count; i++)
		if (!gm->base || !mem_table_has(guest_mem_table(gm->base), &table->regions[i]))
			region_unmap(&table->regions[i]);
	mem_table_free(table);
	free(gm);
}

const struct mem_table *guest_mem_table(struct guest_mem *gm)
{
	return atomic_load_explicit(&gm->table, memory_order_acquire);
}

/* Tells the listeners before end, last one first, that table is old again. */
static void take_back(struct guest_mem *gm, const struct mem_listener *end,
		      const struct mem_table *old, const struct mem_table *table)
{
	while (end != gm->listeners) {
		struct mem_listener *l = gm->listeners;

		while (l->next != end)
			l = l->next;
		l->changed(l, table, old, NULL);
		end = l;
	}
}

/* Puts table in the place of the current one, which it frees; frees table if a listener refuses. */
static int guest_mem_publish(struct guest_mem *gm, struct mem_table *table, struct error *err)
{
	struct mem_table *old = atomic_load(&gm->table);

	table->generation = old->generation + 1;
	for (struct mem_listener *l = gm->listeners; l; l = l->next) {
		int ret = l->changed(l, old, table, err);

		if (ret) {
			take_back(gm, l, old, table);
			mem_table_free(table);
			return error_prefix(err, ret, "guest memory: %s", l->name);
		}
	}
	atomic_store(&gm->table, table);
	quiesce_wait();
	mem_table_free(old);
	return 0;
}

/* The base's regions are now those of table instead of those of old: the others stay. */
static int base_changed(struct mem_listener *listener, const struct mem_table *old,
			const struct mem_table *table, struct error *err)
{
	struct guest_mem *gm = listener->opaque;
	const struct mem_table *now = guest_mem_table(gm);
	struct mem_region *all = calloc(now->count + table->count + 1, sizeof(*all));
	struct mem_table *next = NULL;
	unsigned n = table->count;
	int ret;

	if (!all)
		return error_set(err, -ENOMEM, "guest memory: out of memory");
	memcpy(all, table->regions, n * sizeof(*all));
	for (unsigned i = 0; i < now->count; i++)
		if (!mem_table_has(old, &now->regions[i]))
			all[n++] = now->regions[i];
	ret = mem_table_new(all, n, &next, err);
	free(all);
	return ret ? ret : guest_mem_publish(gm, next, err);
}

struct guest_mem *guest_mem_create_over(struct guest_mem *base, struct error *err)
{
	struct guest_mem *gm = guest_mem_create(err);

	if (!gm)
		return NULL;
	gm->base_changed = (struct mem_listener){
		.name = "what lies over it", .changed = base_changed, .opaque = gm};
	if (guest_mem_listen(base, &gm->base_changed, err)) {
		guest_mem_destroy(gm);
		return NULL;
	}
	gm->base = base;
	return gm;
}

/* A number in a sysfs or procfs file; 0 if it cannot be read. */
static unsigned long read_number(const char *path)
{
	unsigned long value = 0;
	FILE *f = fopen(path, "re");

	if (f) {
		if (fscanf(f, "%lu", &value) != 1)
			value = 0;
		fclose(f);
	}
	return value;
}

static int huge_error(const char *name, int code, uint64_t size, struct error *err)
{
	unsigned long need = size / HUGE_PAGE;
	unsigned long have =
		read_number("/sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages");

	return error_set(err, code,
			 "guest memory %s: %lu huge pages of 2 MiB are needed and %lu are free: "
			 "reserve them (add %lu to /proc/sys/vm/nr_hugepages) or leave out "
			 "hugepages=on",
			 name, need, have, need > have ? need - have : need);
}

/* Writes to each page without changing it, where the kernel has no MADV_POPULATE_WRITE. */
static void touch(uint8_t *at, uint64_t size, uint64_t page)
{
	for (uint64_t off = 0; off < size; off += page)
		__atomic_fetch_or(at + off, 0, __ATOMIC_RELAXED);
}

static int prealloc(const char *name, uint8_t *at, uint64_t size, bool huge, struct error *err)
{
	if (!madvise(at, size, MADV_POPULATE_WRITE))
		return 0;
	if (errno == EINVAL) { /* before Linux 5.14 */
		touch(at, size, huge ? HUGE_PAGE : 4 * KIB);
		return 0;
	}
	if (huge)
		return huge_error(name, -ENOMEM, size, err);
	return error_set(err, -ENOMEM,
			 "guest memory %s: this host cannot give %llu MiB now (%s): lower "
			 "--memory or leave out prealloc=on",
			 name, size / MIB, error_name(errno));
}

/*
 * Maps the file at a multiple of 2 MiB, which the kernel does by itself only for what it already
 * knows to be huge: a huge page can be mapped, here and by KVM, only where addresses and file
 * offset agree in their low 21 bits.
 */
static void *map_aligned(int fd, uint64_t size)
{
	uint8_t *hole = mmap(NULL, size + HUGE_PAGE, PROT_NONE,
			     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	uint8_t *at;
	size_t before;

	if (hole == MAP_FAILED)
		return MAP_FAILED;
	at = (uint8_t *)ALIGN_UP((uintptr_t)hole, HUGE_PAGE);
	before = (size_t)(at - hole);
	if (mmap(at, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd, 0) == MAP_FAILED) {
		int code = errno;

		munmap(hole, size + HUGE_PAGE);
		errno = code;
		return MAP_FAILED;
	}
	if (before)
		munmap(hole, before);
	munmap(at + size, HUGE_PAGE - before);
	return at;
}

/* Makes region->hva and ->fd: size bytes of a new memfd. */
static int ram_map(const char *name, const struct mem_ram_options *opts, struct mem_region *region,
		   struct error *err)
{
	unsigned flags = MFD_CLOEXEC | MFD_ALLOW_SEALING;
	int ret;

	if (opts->hugepages)
		flags |= MFD_HUGETLB | MFD_HUGE_2MB;
	region->fd = memfd_create(name, flags);
	if (region->fd < 0 && opts->hugepages)
		return error_set(err, -errno,
				 "guest memory %s: huge pages of 2 MiB: %s: leave out hugepages=on",
				 name, error_name(errno));
	if (region->fd < 0)
		return error_set(err, -errno, "guest memory %s: memfd: %s", name,
				 error_name(errno));
	if (ftruncate(region->fd, (off_t)region->size) < 0) {
		ret = error_set(err, -errno, "guest memory %s: %llu MiB: %s: lower --memory", name,
				region->size / MIB, error_name(errno));
		goto fail;
	}
	/* Whoever is given the file cannot pull pages from under us by making it smaller. */
	(void)fcntl(region->fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW);
	region->hva = map_aligned(region->fd, region->size);
	if (region->hva == MAP_FAILED) {
		ret = -errno;
		if (opts->hugepages)
			huge_error(name, ret, region->size, err);
		else
			error_set(err, ret, "guest memory %s: mapping %llu MiB: %s: lower --memory",
				  name, region->size / MIB, error_name(ret));
		goto fail;
	}
	(void)madvise(region->hva, region->size, MADV_DONTDUMP);
	region->user_addr = (uintptr_t)region->hva;
	if (!opts->prealloc)
		return 0;
	ret = prealloc(name, region->hva, region->size, opts->hugepages, err);
	if (!ret)
		return 0;
	munmap(region->hva, region->size);
fail:
	close(region->fd);
	return ret;
}

int guest_mem_add_ram(struct guest_mem *gm, const char *name, uint64_t gpa, uint64_t size,
		      const struct mem_ram_options *opts, struct error *err)
{
	static const struct mem_ram_options plain;
	const struct mem_table *old = guest_mem_table(gm);
	struct mem_region region = {.gpa = gpa, .size = size, .fd = -1};
	struct mem_region *all;
	struct mem_table *table = NULL;
	uint64_t page;
	int ret;

	opts = opts ? opts : &plain;
	page = opts->hugepages ? HUGE_PAGE : 4 * KIB;
	if (!size || gpa % page || size % page)
		return error_set(err, -EINVAL,
				 "guest memory %s: 0x%" PRIx64 " bytes at 0x%" PRIx64
				 ": size and address must be multiples of %llu KiB",
				 name, size, gpa, page / KIB);
	ret = ram_map(name, opts, &region, err);
	if (ret)
		return ret;
	all = calloc(old->count + 1, sizeof(*all));
	if (!all) {
		ret = error_set(err, -ENOMEM, "guest memory %s: out of memory", name);
		goto fail;
	}
	memcpy(all, old->regions, old->count * sizeof(*all));
	all[old->count] = region;
	ret = mem_table_new(all, old->count + 1, &table, err);
	free(all);
	if (ret)
		goto fail;
	table->dirty = old->dirty;
	ret = guest_mem_publish(gm, table, err);
	if (!ret)
		return 0;
fail:
	region_unmap(&region);
	return ret;
}

int guest_mem_remove_ram(struct guest_mem *gm, uint64_t gpa, struct error *err)
{
	const struct mem_table *old = guest_mem_table(gm);
	struct mem_region gone;
	struct mem_table *table;
	unsigned i = 0;
	int ret;

	while (i < old->count && old->regions[i].gpa != gpa)
		i++;
	if (i == old->count)
		return error_set(err, -ENOENT, "guest memory: none was added at 0x%" PRIx64, gpa);
	gone = old->regions[i];
	ret = mem_table_new(old->regions, old->count, &table, err);
	if (ret)
		return ret;
	table->count--;
	memmove(&table->regions[i], &table->regions[i + 1],
		(table->count - i) * sizeof(table->regions[0]));
	table->dirty = old->dirty;
	ret = guest_mem_publish(gm, table, err);
	if (!ret)
		region_unmap(&gone);
	return ret;
}

int guest_mem_set_dirty_log(struct guest_mem *gm, struct dirty_log *log, struct error *err)
{
	const struct mem_table *old = guest_mem_table(gm);
	struct mem_table *table;
	int ret = mem_table_new(old->regions, old->count, &table, err);

	if (ret)
		return ret;
	table->dirty = log;
	return guest_mem_publish(gm, table, err);
}

static void append(struct guest_mem *gm, struct mem_listener *listener)
{
	struct mem_listener **end = &gm->listeners;

	while (*end)
		end = &(*end)->next;
	listener->next = NULL;
	*end = listener;
}

int guest_mem_listen(struct guest_mem *gm, struct mem_listener *listener, struct error *err)
{
	int ret = listener->changed(listener, NULL, guest_mem_table(gm), err);

	if (ret)
		return error_prefix(err, ret, "guest memory: %s", listener->name);
	append(gm, listener);
	return 0;
}

int guest_mem_move_listener(struct guest_mem *from, struct guest_mem *to,
			    struct mem_listener *listener, struct error *err)
{
	int ret = listener->changed(listener, guest_mem_table(from), guest_mem_table(to), err);

	guest_mem_unlisten(from, listener);
	append(to, listener);
	return ret ? error_prefix(err, ret, "guest memory: %s", listener->name) : 0;
}

void guest_mem_unlisten(struct guest_mem *gm, struct mem_listener *listener)
{
	for (struct mem_listener **p = &gm->listeners; *p; p = &(*p)->next) {
		if (*p == listener) {
			*p = listener->next;
			return;
		}
	}
}
