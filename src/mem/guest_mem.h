/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MEM_GUEST_MEM_H
#define MEM_GUEST_MEM_H

#include "base/error.h"
#include "base/util.h"

/*
 * Guest memory.
 *
 * A mem_table is an immutable, sorted list of regions. Whoever moves packets holds a pointer to
 * one and translates through it; nothing else dereferences a guest-physical address. The table
 * is replaced as a whole (guest_mem_publish), and the old one is freed only after every
 * registered reader has passed a quiescent point (mem/quiesce.h), so that a hot path translates
 * with neither lock nor reference count.
 *
 * Each region is a piece of a file mapped shared (a memfd for the VMM's own guests, whatever a
 * front-end passed for the switch), so that it can be handed to any other plane at any time.
 */
#define MEM_PAGE_SIZE 4096ULL

struct mem_region {
	uint64_t gpa;	    /* guest-physical address of the first byte */
	uint64_t size;	    /* bytes */
	uint8_t *hva;	    /* where it is mapped here */
	int fd;		    /* the file it is a piece of; -1 if none */
	uint64_t fd_offset; /* of the first byte in fd */
	uint64_t user_addr; /* the owner's own address of it: vhost-user's userspace_addr */
	bool readonly;	    /* the guest may not have us write there */
	/*
	 * Where pages are still on their way, those that have come: a bit each, counted from the page that
	 * hva is in, which only ever get set. NULL: all are there.
	 */
	const uint64_t *arrived;
};

/** Memory whose pages are still on their way; see mem_table. */
struct mem_late {
	/**
	 * Told of each page that is missing, which is then passed over as if it were there. For finding
	 * out, not for access. NULL: what is missing is a miss.
	 */
	void (*missing)(const struct mem_late *late, const struct mem_region *region, uint64_t gpa);
	void *opaque;
};

struct mem_table {
	unsigned count;
	uint64_t generation;
	struct dirty_log *dirty; /* where device writes are marked; NULL when nobody asks */
	/*
	 * Translations through an IOMMU: the regions' addresses are I/O virtual, whoever made it can
	 * be asked for those that are missing, and the log is of the memory underneath, described by
	 * this table. NULL: the addresses are guest-physical and all there are.
	 */
	const struct mem_table *physical;
	/*
	 * Not all pages are there yet. Then this table has no regions of its own: `physical` has them, and
	 * each access goes the long way and looks first. NULL: all are.
	 */
	const struct mem_late *late;
	struct mem_region regions[];
};

enum mem_access { MEM_READ, MEM_WRITE };

/**
 * Makes a table of count regions (in any order; copied). Returns 0 and the table in *out, or
 * -EINVAL when a region is empty, wraps around or overlaps another (err says which), or -ENOMEM.
 * The regions' mappings and files stay the caller's.
 */
int mem_table_new(const struct mem_region *regions, unsigned count, struct mem_table **out,
		  struct error *err);
void mem_table_free(struct mem_table *table);
/** Whether the table (NULL: an empty one) has this very region: address, size, memory, access. */
bool mem_table_has(const struct mem_table *table, const struct mem_region *region);

/** Whether all of [gpa, gpa + len) is in region; a len of 0 is treated as 1. Overflow-safe. */
static inline bool mem_region_holds(const struct mem_region *region, uint64_t gpa, uint64_t len)
{
	uint64_t off = gpa - region->gpa; /* huge when gpa is below the region */

	return off < region->size && len <= region->size - off;
}

/** The region that holds all of [gpa, gpa + len), or NULL. */
const struct mem_region *mem_find(const struct mem_table *table, uint64_t gpa, uint64_t len);

/** The first address in [gpa, gpa + len), which region holds, whose page is missing; or gpa + len. */
uint64_t mem_find_missing(const struct mem_region *region, uint64_t gpa, uint64_t len);

/** The region that holds all of [user, user + len) of its owner's addresses, or NULL. */
const struct mem_region *mem_find_user(const struct mem_table *table, uint64_t user, uint64_t len);

/** The region that holds bytes [offset, offset + len) of file fd (as given to us), or NULL. */
const struct mem_region *mem_find_file(const struct mem_table *table, int fd, uint64_t offset,
				       uint64_t len);

/** The region that has the host address [hva, hva + len), or NULL. */
const struct mem_region *mem_find_host(const struct mem_table *table, const void *hva, size_t len);

/**
 * mem_translate() for a hot path: looks first where it found something the last time. *hit is the
 * caller's, and NULL or a region of this very table.
 */
static inline void *mem_translate_hit(const struct mem_table *table, const struct mem_region **hit,
				      uint64_t gpa, uint64_t len, enum mem_access access)
{
	const struct mem_region *region = *hit;

	if (unlikely(!region || !mem_region_holds(region, gpa, len))) {
		region = mem_find(table, gpa, len);
		if (!region)
			return NULL;
		*hit = region;
	}
	if (unlikely(access == MEM_WRITE && region->readonly))
		return NULL;
	return region->hva + (gpa - region->gpa);
}

/**
 * The host address of guest-physical [gpa, gpa + len), or NULL when that range does not lie
 * inside one region or may not be accessed so. A len of 0 is treated as 1. Overflow-safe.
 */
static inline void *mem_translate(const struct mem_table *table, uint64_t gpa, uint64_t len,
				  enum mem_access access)
{
	const struct mem_region *hit = table->count ? &table->regions[0] : NULL;

	return mem_translate_hit(table, &hit, gpa, len, access);
}

/**
 * Copies between guest memory and buf; the range may span adjacent regions. 0 or -EFAULT, and
 * then nothing was copied. mem_write() marks the dirty log.
 */
int mem_read(const struct mem_table *table, uint64_t gpa, void *buf, size_t len);
int mem_write(const struct mem_table *table, uint64_t gpa, const void *buf, size_t len);

/** Told of each new table, with the old one still valid (NULL the first time). */
struct mem_listener {
	const char *name;
	/**
	 * Returns 0, or a negative errno with err set: the change is then taken back, by calling
	 * the listeners that had accepted it, last one first, with old and table exchanged.
	 */
	int (*changed)(struct mem_listener *listener, const struct mem_table *old,
		       const struct mem_table *table, struct error *err);
	void *opaque;
	struct mem_listener *next;
};

/* All functions below but guest_mem_table() are for one thread, the control path's. */
struct guest_mem;

struct guest_mem *guest_mem_create(struct error *err);

/**
 * One that has all that base has, always, and what is added to it alone: for somebody who is to see
 * more memory than the guest. It goes before base does. Its tables have no dirty log.
 */
struct guest_mem *guest_mem_create_over(struct guest_mem *base, struct error *err);
/** Unmaps and frees everything; no reader may be left. */
void guest_mem_destroy(struct guest_mem *gm);

struct mem_ram_options {
	bool hugepages; /* MFD_HUGETLB, 2 MiB pages */
	bool prealloc;	/* touch every page now, so that lack of memory shows at start */
};

/**
 * Adds size bytes of new RAM at gpa from a memfd named name and publishes the new table. opts may
 * be NULL. gpa and size are multiples of 4 KiB (2 MiB with hugepages). Errors name the remedy
 * (huge pages missing: how many to reserve and where).
 */
int guest_mem_add_ram(struct guest_mem *gm, const char *name, uint64_t gpa, uint64_t size,
		      const struct mem_ram_options *opts, struct error *err);

/**
 * Takes the RAM that was added at gpa away again: publishes a table without it, waits until no
 * reader can have the old one, and unmaps it. -ENOENT if there is none.
 */
int guest_mem_remove_ram(struct guest_mem *gm, uint64_t gpa, struct error *err);

/**
 * Starts marking what devices write in log (NULL: stops). When it returns every registered reader
 * uses it, so after stopping log may be freed.
 */
int guest_mem_set_dirty_log(struct guest_mem *gm, struct dirty_log *log, struct error *err);

/** The current table, never NULL; valid until the calling thread's next quiescent point. */
const struct mem_table *guest_mem_table(struct guest_mem *gm);

/** Adds a listener and calls it once with the current table. It belongs to the caller. */
int guest_mem_listen(struct guest_mem *gm, struct mem_listener *listener, struct error *err);
void guest_mem_unlisten(struct guest_mem *gm, struct mem_listener *listener);

/**
 * Moves a listener from one to another, of which it is told as of a change. Returns what it says to
 * that; it has been moved even if it refuses, and may be moved back.
 */
int guest_mem_move_listener(struct guest_mem *from, struct guest_mem *to,
			    struct mem_listener *listener, struct error *err);

#endif
