/* SPDX-License-Identifier: Apache-2.0 */
#include "vhost/file_check.h"

#include <errno.h>
#include <linux/magic.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

static bool is_memory(int fd)
{
	struct statfs fs;

	if (fstatfs(fd, &fs) < 0)
		return false;
	switch ((uint64_t)fs.f_type) {
	case TMPFS_MAGIC:
	case RAMFS_MAGIC:
	case HUGETLBFS_MAGIC:
		return true;
	default:
		return false;
	}
}

/* A mapping's granularity: hugetlbfs gives its page size as the block size. */
static uint64_t granularity(const struct stat *st)
{
	uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE), block = (uint64_t)st->st_blksize;

	return block > page && is_pow2(block) ? block : page;
}

int memory_file_check(int fd, uint64_t offset, uint64_t size, uint64_t *grain, struct error *err)
{
	struct stat st;

	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || !is_memory(fd))
		return error_set(err, -EINVAL,
				 "the file is not memory (a memfd, or on tmpfs or hugetlbfs)");
	if (size > (uint64_t)st.st_size || offset > (uint64_t)st.st_size - size)
		return error_set(err, -EINVAL,
				 "the file has %llu bytes, which %llu at %llu are not among",
				 (unsigned long long)st.st_size, (unsigned long long)size,
				 (unsigned long long)offset);
	*grain = granularity(&st);
	return 0;
}
