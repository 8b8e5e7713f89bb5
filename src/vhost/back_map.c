/* SPDX-License-Identifier: Apache-2.0 */
#include "vhost/back_internal.h"

#include "mem/guard.h"
#include "vhost/file_check.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

/*
 * Mapping a file that a front-end passed. It can be anything, and can change under us:
 *
 *   - on a file system that somebody else serves (FUSE, a network's) a page fault takes as long as
 *     they like, and a worker would wait with all its other ports: only memory is taken (tmpfs,
 *     which memfds are on too, ramfs, hugetlbfs);
 *   - it must have all bytes now: a range beyond its end is refused here;
 *   - it may be cut short, or have holes punched, at any time: mem/guard.h.
 *
 * What a size is worth is only address space: pages come when they are touched.
 */
int back_map_range(const struct back_range *range, int event_fd, struct back_map *map, void **at,
		   struct error *err)
{
	int prot = range->readonly ? PROT_READ : PROT_READ | PROT_WRITE;
	uint64_t start = ALIGN_DOWN(range->offset, range->grain);
	uint64_t len = ALIGN_UP(range->offset - start + range->size, range->grain);
	void *p = mmap(NULL, len, prot, MAP_SHARED | MAP_NORESERVE, range->fd, (off_t)start);

	if (p == MAP_FAILED)
		return error_set(err, -errno, "cannot map %llu bytes: %s", (unsigned long long)len,
				 error_name(errno));
	madvise(p, len, MADV_DONTDUMP);
	*map = (struct back_map){
		.at = p, .len = len, .fd = -1, .offset = range->offset, .size = range->size};
	map->guard = mem_guard_add(p, len, event_fd, err);
	if (!map->guard) {
		back_unmap(map);
		return -ENOMEM;
	}
	*at = (uint8_t *)p + (range->offset - start);
	return 0;
}

int back_map_file(struct vhost_backend *be, int fd, uint64_t offset, uint64_t size,
		  struct back_map *map, void **at, struct error *err)
{
	struct back_range range = {.fd = fd, .offset = offset, .size = size};
	int rc = memory_file_check(fd, offset, size, &range.grain, err);

	if (rc == 0)
		rc = back_map_range(&range, be->attention.fd, map, at, err);
	if (rc)
		return rc;
	map->fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	if (map->fd < 0) {
		rc = error_set(err, -errno, "cannot keep the file: %s", error_name(errno));
		back_unmap(map);
	}
	return rc;
}

void back_unmap(struct back_map *map)
{
	mem_guard_remove(map->guard);
	if (map->at)
		munmap(map->at, map->len);
	if (map->at && map->fd >= 0)
		close(map->fd);
	*map = (struct back_map){0};
}
