/* SPDX-License-Identifier: Apache-2.0 */
#include "mem/dirty_log.h"
#include "vhost/user_request.h"

#include <errno.h>
#include <stdlib.h>

/*
 * Guest memory, as a vhost-user back-end is told of it: the whole table at once, at most eight
 * regions (SET_MEM_TABLE), or a region at a time where CONFIGURE_MEM_SLOTS was agreed on. Regions
 * without a file cannot be shared and read-only ones must not be written; both are left out.
 */
static bool shared(const struct mem_region *r)
{
	return r->fd >= 0 && !r->readonly;
}

static struct vhost_user_region to_wire(const struct mem_region *r)
{
	return (struct vhost_user_region){
		.gpa = r->gpa,
		.size = r->size,
		.user_addr = r->user_addr,
		.mmap_offset = r->fd_offset,
	};
}

static int set_table(struct vhost_user_frontend *fe, const struct mem_region *regions, unsigned n,
		     struct error *err)
{
	struct vhost_user_msg msg = vhost_user_message(
		VHOST_USER_SET_MEM_TABLE, (uint32_t)(8 + n * sizeof(struct vhost_user_region)));

	msg.payload.memory.count = n;
	for (unsigned i = 0; i < n; i++) {
		msg.payload.memory.regions[i] = to_wire(&regions[i]);
		msg.fds[msg.nfds++] = regions[i].fd;
	}
	return vhost_user_tell(fe, &msg, err);
}

static int change_slot(struct vhost_user_frontend *fe, enum vhost_user_request request,
		       const struct mem_region *region, struct error *err)
{
	struct vhost_user_msg msg =
		vhost_user_message(request, sizeof(struct vhost_user_single_region));

	msg.payload.single.region = to_wire(region);
	if (request == VHOST_USER_ADD_MEM_REG)
		msg.fds[msg.nfds++] = region->fd;
	return vhost_user_tell(fe, &msg, err);
}

static bool listed(const struct mem_region *region, const struct mem_region *list, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		if (list[i].gpa == region->gpa && list[i].size == region->size &&
		    list[i].user_addr == region->user_addr && list[i].fd == region->fd &&
		    list[i].fd_offset == region->fd_offset)
			return true;
	return false;
}

/* Takes away what is no longer there, then adds what is new. */
static int change_slots(struct vhost_user_frontend *fe, const struct mem_region *regions,
			unsigned n, struct error *err)
{
	int rc;

	for (unsigned i = 0; i < fe->nregions; i++) {
		if (listed(&fe->regions[i], regions, n))
			continue;
		rc = change_slot(fe, VHOST_USER_REM_MEM_REG, &fe->regions[i], err);
		if (rc)
			return rc;
	}
	for (unsigned i = 0; i < n; i++) {
		if (fe->memory_given && listed(&regions[i], fe->regions, fe->nregions))
			continue;
		rc = change_slot(fe, VHOST_USER_ADD_MEM_REG, &regions[i], err);
		if (rc)
			return rc;
	}
	return 0;
}

static bool unchanged(const struct vhost_user_frontend *fe, const struct mem_region *regions,
		      unsigned n)
{
	if (!fe->memory_given || n != fe->nregions)
		return false;
	for (unsigned i = 0; i < n; i++)
		if (!listed(&regions[i], fe->regions, fe->nregions))
			return false;
	return true;
}

int vhost_user_set_memory(struct vhost_user_frontend *fe, const struct mem_table *table,
			  struct error *err)
{
	bool slots = vhost_user_has(fe, VHOST_USER_PROTOCOL_F_CONFIGURE_MEM_SLOTS);
	struct mem_region *regions = calloc(table->count + 1, sizeof(*regions));
	unsigned n = 0;
	int rc = 0;

	if (!regions)
		return error_set(err, -ENOMEM, "%s: memory table: out of memory", fe->name);
	for (unsigned i = 0; i < table->count; i++)
		if (shared(&table->regions[i]))
			regions[n++] = table->regions[i];
	if (n > fe->slots_max) {
		rc = error_set(err, -E2BIG,
			       "%s: guest memory has %u regions, the back-end takes %u", fe->name,
			       n, fe->slots_max);
		goto out;
	}
	if (!unchanged(fe, regions, n))
		rc = slots ? change_slots(fe, regions, n, err) : set_table(fe, regions, n, err);
	if (rc)
		goto out;
	free(fe->regions);
	fe->regions = regions;
	fe->nregions = n;
	fe->memory_given = true;
	return 0;
out:
	free(regions);
	return rc;
}

int vhost_user_set_log(struct vhost_user_frontend *fe, const struct mem_table *table,
		       struct error *err)
{
	struct vhost_user_msg msg =
		vhost_user_message(VHOST_USER_SET_LOG_BASE, sizeof(struct vhost_user_log));

	if (!table->dirty)
		return 0;
	if (!vhost_user_has(fe, VHOST_USER_PROTOCOL_F_LOG_SHMFD) || table->dirty->fd < 0 ||
	    !(fe->features >> VHOST_USER_F_LOG_ALL & 1))
		return error_set(err, -ENOTSUP,
				 "%s: the back-end cannot log what it writes (LOG_SHMFD)",
				 fe->name);
	msg.payload.log.size = dirty_log_words(table->dirty) * sizeof(uint64_t);
	msg.fds[0] = table->dirty->fd;
	msg.nfds = 1;
	return vhost_user_ask(fe, &msg, err);
}
