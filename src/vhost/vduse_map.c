/* SPDX-License-Identifier: Apache-2.0 */
#include "vhost/file_check.h"
#include "vhost/vduse_internal.h"

#include "mem/guard.h"

#include <errno.h>
#include <linux/magic.h>
#include <linux/vduse.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/vfs.h>
#include <unistd.h>

/*
 * The address space of a VDUSE device. With virtio_vdpa its regions are the kernel's own: a large one
 * of bounce buffers, whose pages are there while the driver has mapped something on them, and one
 * for each ring. With vhost_vdpa they are what the process behind it has mapped, any file of its
 * choice, which is treated as a vhost-user front-end's.
 */
static bool is_kernels(int fd)
{
	struct statfs fs;

	return fstatfs(fd, &fs) == 0 && (uint64_t)fs.f_type == ANON_INODE_FS_MAGIC;
}

static int map_region(struct vduse *v, const struct vduse_iotlb_entry *e, int fd,
		      struct mem_region *region, struct error *err)
{
	struct back_range range = {
		.fd = fd,
		.offset = e->offset,
		.size = e->last - e->start + 1,
		.grain = (uint64_t)sysconf(_SC_PAGESIZE),
		.readonly = e->perm == VDUSE_ACCESS_RO,
	};
	void *at;
	int ret = 0;

	if (!range.size)
		return error_set(err, -EINVAL, "a region is all of the address space");
	if (!is_kernels(fd))
		ret = memory_file_check(fd, range.offset, range.size, &range.grain, err);
	if (!ret)
		ret = back_map_range(&range, v->attention.fd, &v->maps[v->nmaps], &at, err);
	if (ret)
		return error_prefix(err, ret, "region at %#llx", (unsigned long long)e->start);
	v->nmaps++;
	*region = (struct mem_region){
		.gpa = e->start,
		.size = range.size,
		.hva = at,
		.fd = -1,
		.readonly = range.readonly,
	};
	return 0;
}

static int map_all(struct vduse *v, struct mem_region *regions, struct error *err)
{
	uint64_t from = 0;

	while (v->nmaps < VDUSE_REGIONS_MAX) {
		struct vduse_iotlb_entry e = {.start = from, .last = UINT64_MAX};
		int fd = ioctl(v->dev.fd, VDUSE_IOTLB_GET_FD, &e), ret;

		if (fd < 0)
			return 0; /* no more */
		ret = e.last < e.start || e.start < from
			      ? error_set(err, -EPROTO, "the kernel's regions have no order")
			      : map_region(v, &e, fd, &regions[v->nmaps], err);
		close(fd);
		if (ret)
			return ret;
		if (e.last == UINT64_MAX)
			return 0;
		from = e.last + 1;
	}
	return error_set(err, -E2BIG, "more than %d regions", VDUSE_REGIONS_MAX);
}

int vduse_map(struct vduse *v, struct error *err)
{
	struct mem_region *regions = calloc(VDUSE_REGIONS_MAX, sizeof(*regions));
	int ret = 0;

	v->maps = calloc(VDUSE_REGIONS_MAX, sizeof(*v->maps));
	if (!regions || !v->maps)
		ret = error_set(err, -ENOMEM, "out of memory");
	if (!ret)
		ret = map_all(v, regions, err);
	if (!ret)
		ret = mem_table_new(regions, v->nmaps, &v->table, err);
	free(regions);
	if (ret)
		vduse_unmap(v);
	else
		v->table->physical = v->table; /* what it lacks may be mapped by now: -EAGAIN */
	return ret;
}

void vduse_unmap(struct vduse *v)
{
	for (unsigned i = 0; i < v->nmaps; i++)
		back_unmap(&v->maps[i]);
	free(v->maps);
	v->maps = NULL;
	v->nmaps = 0;
	mem_table_free(v->table);
	v->table = NULL;
}

bool vduse_map_lost(const struct vduse *v)
{
	for (unsigned i = 0; i < v->nmaps; i++)
		if (mem_guard_hit(v->maps[i].guard))
			return true;
	return false;
}
