/* SPDX-License-Identifier: Apache-2.0 */
#include "vfio/sys.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

static int sys_open(const char *path)
{
	int fd = open(path, O_RDWR | O_CLOEXEC);

	/* It is the caller's. */
	/* cppcheck-suppress resourceLeak */
	return fd < 0 ? -errno : fd;
}

static void sys_close(int fd)
{
	close(fd);
}

static int sys_ioctl(int fd, unsigned long request, void *arg)
{
	int ret = ioctl(fd, request, arg);

	return ret < 0 ? -errno : ret;
}

static ssize_t sys_pread(int fd, void *buf, size_t len, uint64_t offset)
{
	ssize_t n = pread(fd, buf, len, (off_t)offset);

	return n < 0 ? -errno : n;
}

static ssize_t sys_pwrite(int fd, const void *buf, size_t len, uint64_t offset)
{
	ssize_t n = pwrite(fd, buf, len, (off_t)offset);

	return n < 0 ? -errno : n;
}

static void *sys_mmap(int fd, size_t size, int prot, uint64_t offset)
{
	void *at = mmap(NULL, size, prot, MAP_SHARED, fd, (off_t)offset);

	/* It is the caller's. */
	/* cppcheck-suppress memleak */
	return at == MAP_FAILED ? NULL : at;
}

static void sys_munmap(void *at, size_t size)
{
	munmap(at, size);
}

const struct vfio_sys vfio_sys_linux = {
	.open = sys_open,
	.close = sys_close,
	.ioctl = sys_ioctl,
	.pread = sys_pread,
	.pwrite = sys_pwrite,
	.mmap = sys_mmap,
	.munmap = sys_munmap,
	.sysfs = "/sys",
};
