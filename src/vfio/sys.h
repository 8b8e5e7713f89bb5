/* SPDX-License-Identifier: Apache-2.0 */
#ifndef VFIO_SYS_H
#define VFIO_SYS_H

#include "base/util.h"

#include <sys/types.h>

/*
 * The kernel's interface as operations, so that everything above it is tested and fuzzed without
 * /dev/vfio. All return 0 or more, or a negative errno.
 */
struct vfio_sys {
	/** Opens a device node for reading and writing. */
	int (*open)(const char *path);
	void (*close)(int fd);
	int (*ioctl)(int fd, unsigned long request, void *arg);
	ssize_t (*pread)(int fd, void *buf, size_t len, uint64_t offset);
	ssize_t (*pwrite)(int fd, const void *buf, size_t len, uint64_t offset);
	/** Maps shared, for what of reading and writing prot says; NULL if it cannot. */
	void *(*mmap)(int fd, size_t size, int prot, uint64_t offset);
	void (*munmap)(void *at, size_t size);
	const char *sysfs; /* where it is mounted */
};

extern const struct vfio_sys vfio_sys_linux;

#endif
