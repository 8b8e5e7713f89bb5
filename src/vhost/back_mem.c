/* SPDX-License-Identifier: Apache-2.0 */
#include "vhost/back_internal.h"

#include "base/log.h"
#include "mem/guard.h"

#include <errno.h>
#include <stdlib.h>

/*
 * The front-end's memory: its regions, mapped, and the mem_table made of them. A change prepares
 * everything beside what is there, so that one that is refused changes nothing; then all queues are
 * stopped, the new table put in place, and they go on from where they stood.
 */
static struct mem_table *make_table(struct vhost_backend *be, const struct back_region *regions,
				    unsigned n, struct error *err)
{
	struct mem_region list[BACK_SLOTS_MAX];
	struct mem_table *table;

	for (unsigned i = 0; i < n; i++)
		list[i] = (struct mem_region){
			.gpa = regions[i].wire.gpa,
			.size = regions[i].wire.size,
			.hva = regions[i].at,
			.fd = -1,
			.user_addr = regions[i].wire.user_addr,
			.arrived = regions[i].late ? regions[i].late->arrived : NULL,
		};
	if (mem_table_new(list, n, &table, err))
		return NULL;
	return table;
}

/* Takes over what is in regions; be's former ones are the caller's, to be unmapped or kept. */
static int exchange(struct vhost_backend *be, struct back_region *regions, unsigned n,
		    struct error *err)
{
	struct mem_table *table = make_table(be, regions, n, err);
	struct error why;

	if (!table)
		return -EINVAL;
	back_rings_stop(be);
	mem_table_free(be->table);
	be->table = table;
	be->regions = regions;
	be->nregions = n;
	if (back_postcopy_renew(be, err))
		log_warn_limited("%s: %s", be->name, err->text); /* no ring runs until it can */
	back_log_apply(be);
	/* What rings there are then wait for their translations to be told anew. */
	if (back_iotlb_renew(be, &why))
		back_iotlb_drop(be);
	return 0;
}

static void unmap(struct vhost_backend *be, struct back_region *region)
{
	back_postcopy_remove(be, region);
	back_unmap(&region->map);
}

static void unmap_all(struct vhost_backend *be, struct back_region *regions, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		unmap(be, &regions[i]);
	free(regions);
}

void back_mem_drop(struct vhost_backend *be)
{
	mem_table_free(be->table);
	be->table = NULL;
	unmap_all(be, be->regions, be->nregions);
	be->regions = NULL;
	be->nregions = 0;
}

static int map_region(struct vhost_backend *be, const struct vhost_user_region *wire, int fd,
		      struct back_region *region, struct error *err)
{
	int rc = back_map_file(be, fd, wire->mmap_offset, wire->size, &region->map, &region->at,
			       err);

	region->wire = *wire;
	if (rc == 0)
		rc = back_postcopy_add(be, region, err);
	if (rc)
		error_prefix(err, rc, "region at %#llx", (unsigned long long)wire->gpa);
	return rc;
}

int back_set_mem_table(struct vhost_backend *be, struct vhost_user_msg *msg, struct error *err)
{
	const struct vhost_user_memory *m = &msg->payload.memory;
	struct back_region *regions = calloc(m->count + 1, sizeof(*regions));
	struct back_region *old = be->regions;
	unsigned old_n = be->nregions, i;
	int rc = 0;

	if (!regions)
		return error_set(err, -ENOMEM, "out of memory");
	for (i = 0; i < m->count && rc == 0; i++)
		rc = map_region(be, &m->regions[i], msg->fds[i], &regions[i], err);
	if (rc == 0)
		rc = exchange(be, regions, m->count, err);
	if (rc) {
		unmap_all(be, regions, i);
		return rc;
	}
	unmap_all(be, old, old_n);
	return back_rings_resume(be, err);
}

int back_get_max_mem_slots(struct vhost_backend *be, struct vhost_user_msg *msg, struct error *err)
{
	msg->payload.u64 = BACK_SLOTS_MAX;
	msg->hdr.size = sizeof(msg->payload.u64);
	return 0;
}

int back_add_mem_reg(struct vhost_backend *be, struct vhost_user_msg *msg, struct error *err)
{
	struct back_region *regions, *old = be->regions;
	int rc;

	if (be->nregions == BACK_SLOTS_MAX)
		return error_set(err, -ENOSPC, "no more than %d regions", BACK_SLOTS_MAX);
	regions = calloc(be->nregions + 1, sizeof(*regions));
	if (!regions)
		return error_set(err, -ENOMEM, "out of memory");
	if (be->nregions)
		memcpy(regions, be->regions, be->nregions * sizeof(*regions));
	rc = map_region(be, &msg->payload.single.region, msg->fds[0], &regions[be->nregions], err);
	if (rc == 0)
		rc = exchange(be, regions, be->nregions + 1, err);
	if (rc) {
		unmap(be, &regions[be->nregions]);
		free(regions);
		return rc;
	}
	free(old);
	return back_rings_resume(be, err);
}

static int find_region(const struct vhost_backend *be, const struct vhost_user_region *wire)
{
	for (unsigned i = 0; i < be->nregions; i++) {
		const struct vhost_user_region *r = &be->regions[i].wire;

		if (r->gpa == wire->gpa && r->user_addr == wire->user_addr && r->size == wire->size)
			return (int)i;
	}
	return -ENOENT;
}

int back_rem_mem_reg(struct vhost_backend *be, struct vhost_user_msg *msg, struct error *err)
{
	int at = find_region(be, &msg->payload.single.region), rc;
	struct back_region *regions, *old = be->regions;
	struct back_region gone;

	if (at < 0)
		return error_set(err, at, "there is no such region");
	regions = calloc(be->nregions, sizeof(*regions));
	if (!regions)
		return error_set(err, -ENOMEM, "out of memory");
	memcpy(regions, old, (size_t)at * sizeof(*regions));
	memcpy(regions + at, old + at + 1, (be->nregions - (size_t)at - 1) * sizeof(*regions));
	gone = old[at];
	rc = exchange(be, regions, be->nregions - 1, err);
	if (rc) {
		free(regions);
		return rc;
	}
	unmap(be, &gone);
	free(old);
	return back_rings_resume(be, err);
}

int back_mem_arrived(struct vhost_backend *be, struct error *err)
{
	back_rings_stop(be);
	for (unsigned i = 0; be->table && i < be->table->count; i++)
		be->table->regions[i].arrived = NULL;
	for (unsigned i = 0; i < be->nregions; i++)
		back_postcopy_remove(be, &be->regions[i]);
	back_postcopy_drop(be);
	for (unsigned i = 0; i < be->nqueues; i++)
		be->queues[i].waiting = false;
	return back_rings_resume(be, err);
}

bool back_mem_lost(const struct vhost_backend *be)
{
	for (unsigned i = 0; i < be->nregions; i++)
		if (mem_guard_hit(be->regions[i].map.guard))
			return true;
	if (be->log_map.guard && mem_guard_hit(be->log_map.guard))
		return true;
	return be->inflight_map.guard && mem_guard_hit(be->inflight_map.guard);
}
