// SPDX-License-Identifier: Apache-2.0
/*
 * Raw images: opening one, and what it can do.
 *
 * A file whose first bytes are another format's is refused unless format=raw is said: a guest that
 * can write the first sector of a raw disk must not be able to choose what the host makes of it,
 * and a user who forgot format=qcow2 must not have the image's tables overwritten.
 *
 * The image is locked as long as it is open (an open file description lock on the whole file:
 * shared when read-only), so that two machines do not write one disk.
 */
#include "block/raw.h"
#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#ifndef STATX_DIOALIGN
#define STATX_DIOALIGN 0x2000u
#endif
#define DIRECT_ALIGN   4096 /* where the kernel does not say */
#define BLOCK_SIZE_MAX 4096

static struct raw *raw_of(struct block *block)
{
	return container_of(block, struct raw, block);
}

static const char *format_of(int fd)
{
	static const struct {
		const char *magic;
		unsigned len;
		const char *name;
	} known[] = {
		{"QFI\xfb", 4, "qcow2"}, {"KDMV", 4, "vmdk"}, {"vhdxfile", 8, "vhdx"},
		{"conectix", 8, "vpc"},	 {"QED\0", 4, "qed"},
	};
	char head[8];

	if (pread(fd, head, sizeof(head), 0) != sizeof(head))
		return NULL;
	for (unsigned i = 0; i < ARRAY_SIZE(known); i++)
		if (!memcmp(head, known[i].magic, known[i].len))
			return known[i].name;
	return NULL;
}

static int lock(const struct raw *raw, const char *path, struct error *err)
{
	struct flock fl = {.l_type = raw->block.readonly ? F_RDLCK : F_WRLCK, .l_whence = SEEK_SET};

	if (!fcntl(raw->fd, F_OFD_SETLK, &fl))
		return 0;
	if (errno != EAGAIN && errno != EACCES)
		return 0; /* a file system without locks */
	return error_set(err, -EBUSY,
			 "%s: another process uses it: end that one, or use readonly=on in both",
			 path);
}

/* A block device's size, and how it likes to be accessed. */
static int device_limits(struct raw *raw, const char *path, struct error *err)
{
	struct block *block = &raw->block;
	uint64_t size = 0;
	int logical = 512;
	unsigned physical = 512, optimal = 0;

	if (ioctl(raw->fd, BLKGETSIZE64, &size) || ioctl(raw->fd, BLKSSZGET, &logical))
		return error_set(err, -errno, "%s: cannot learn the device's size: %s", path,
				 error_name(errno));
	(void)ioctl(raw->fd, BLKPBSZGET, &physical);
	(void)ioctl(raw->fd, BLKIOOPT, &optimal);
	block->size = size;
	if (raw->direct)
		block->block_size = (uint32_t)logical;
	raw->mem_align = (uint32_t)logical;
	block->physical_size = physical;
	block->optimal_size = optimal;
	return 0;
}

/* What O_DIRECT asks of a file (statx since Linux 6.1). */
static void file_align(struct raw *raw)
{
	struct {
		struct statx stx;
		uint32_t room[32];
	} buf = {0};
	const uint32_t *dio = (const uint32_t *)(const void *)((const char *)&buf.stx + 0x98);
	uint32_t mem = 0, offset = 0;

	if (!statx(raw->fd, "", AT_EMPTY_PATH, STATX_DIOALIGN, &buf.stx) &&
	    buf.stx.stx_mask & STATX_DIOALIGN) {
		mem = dio[0];
		offset = dio[1];
	}
	raw->mem_align = mem ? mem : DIRECT_ALIGN;
	raw->block.block_size = offset ? offset : DIRECT_ALIGN;
	if (raw->block.block_size < 512)
		raw->block.block_size = 512;
}

/* A number that the kernel tells of a block device's queue; 0 where it does not. */
static uint64_t queue_limit(const struct stat *st, const char *name)
{
	unsigned long long value = 0;
	char path[128];
	FILE *f;

	snprintf(path, sizeof(path), "/sys/dev/block/%u:%u/queue/%s", major(st->st_rdev),
		 minor(st->st_rdev), name);
	f = fopen(path, "re");
	if (!f)
		return 0;
	if (fscanf(f, "%llu", &value) != 1)
		value = 0;
	fclose(f);
	return value;
}

/* Whether blocks can be freed: in a file, tried beyond its end, where it changes nothing. */
static void can_free(struct raw *raw, const struct stat *st)
{
	struct block *block = &raw->block;

	if (block->readonly)
		return;
	if (S_ISBLK(st->st_mode)) {
		block->can_discard = queue_limit(st, "discard_max_bytes") != 0;
		block->can_zero = true; /* the kernel writes them where the device cannot */
		return;
	}
	block->can_discard =
		!fallocate(raw->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
			   (off_t)ALIGN_UP(st->st_size, BLOCK_SIZE_MAX), BLOCK_SIZE_MAX);
	block->can_zero = block->can_discard;
}

static int limits(struct raw *raw, const char *path, struct error *err)
{
	struct block *block = &raw->block;
	struct stat st;
	int ret = 0;

	block->block_size = block->physical_size = 512;
	block->max_queues = UINT32_MAX;
	raw->mem_align = 1;
	if (fstat(raw->fd, &st))
		return error_set(err, -errno, "%s: %s", path, error_name(errno));
	if (S_ISBLK(st.st_mode)) {
		ret = device_limits(raw, path, err);
	} else if (S_ISREG(st.st_mode)) {
		block->size = (uint64_t)st.st_size;
		block->physical_size = BLOCK_SIZE_MAX;
		if (raw->direct)
			file_align(raw);
	} else {
		return error_set(err, -EINVAL, "%s: neither a file nor a block device", path);
	}
	if (ret)
		return ret;
	if (block->block_size > BLOCK_SIZE_MAX)
		return error_set(err, -ENOTSUP,
				 "%s: its blocks of %u bytes are too large: use "
				 "cache=writeback",
				 path, block->block_size);
	if (block->size % block->block_size)
		log_warn(
			"%s: %s: its last %llu bytes are not a whole block: the guest does not see "
			"them",
			block->id, path, (unsigned long long)(block->size % block->block_size));
	block->size -= block->size % block->block_size;
	if (!block->size)
		return error_set(err, -EINVAL, "%s: it is empty: make it with truncate -s 10G %s",
				 path, path);
	block->physical_size = MAX(block->physical_size, block->block_size);
	can_free(raw, &st);
	return 0;
}

static int read_options(struct raw *raw, const struct options *opts, struct error *err)
{
	const char *readonly = options_get(opts, "readonly"), *cache = options_get(opts, "cache");
	int ret = readonly ? option_bool("readonly", readonly, &raw->block.readonly, err) : 0;

	if (!ret && cache && strcmp(cache, "none") != 0 && strcmp(cache, "writeback") != 0)
		ret = error_set(err, -EINVAL, "cache=%s: use writeback or none", cache);
	raw->direct = cache && !strcmp(cache, "none");
	return ret;
}

static int open_file(struct raw *raw, const struct options *opts, const char *path,
		     struct error *err)
{
	int flags = O_CLOEXEC | O_NOCTTY | O_NONBLOCK | (raw->direct ? O_DIRECT : 0);
	const char *format;

	raw->fd = open(path, flags | (raw->block.readonly ? O_RDONLY : O_RDWR));
	if (raw->fd < 0 && errno == EINVAL && raw->direct)
		return error_set(err, -ENOTSUP,
				 "%s: its file system has no direct I/O: use cache=writeback",
				 path);
	if (raw->fd < 0)
		return error_set(err, -errno, "%s: cannot open it: %s%s", path, error_name(errno),
				 errno == EACCES || errno == EROFS
					 ? ": if it is only to be read, use readonly=on"
					 : "");
	/* It was there so that a FIFO would not hold us; an io_uring would take it as "never wait". */
	(void)fcntl(raw->fd, F_SETFL, raw->direct ? O_DIRECT : 0);
	if (options_get(opts, "format"))
		return 0;
	format = raw->direct ? NULL : format_of(raw->fd);
	if (raw->direct) {
		int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);

		format = fd < 0 ? NULL : format_of(fd);
		if (fd >= 0)
			close(fd);
	}
	return format ? error_set(
				err, -EINVAL,
				"%s: it looks like a %s image: say format=%s, or format=raw if its "
				"bytes are the disk's",
				path, format, format)
		      : 0;
}

static void raw_close(struct block *block)
{
	struct raw *raw = raw_of(block);

	if (raw->fd >= 0)
		close(raw->fd);
	free(raw);
}

static int raw_open(const struct options *opts, const char *id, struct loop *loop,
		    struct block **out, struct error *err)
{
	const char *path = options_get(opts, "path");
	struct raw *raw = calloc(1, sizeof(*raw));
	int ret;

	if (!raw)
		return error_set(err, -ENOMEM, "%s: out of memory", id);
	raw->block.ops = &raw_block_ops;
	raw->block.id = id;
	raw->fd = -1;
	ret = read_options(raw, opts, err);
	if (!ret)
		ret = open_file(raw, opts, path, err);
	if (!ret)
		ret = lock(raw, path, err);
	if (!ret)
		ret = limits(raw, path, err);
	if (ret) {
		raw_close(&raw->block);
		return ret;
	}
	*out = &raw->block;
	return 0;
}

static int raw_resize(struct block *block, uint64_t size, struct error *err)
{
	struct raw *raw = raw_of(block);
	struct stat st;

	if (fstat(raw->fd, &st))
		return error_set(err, -errno, "%s: %s", block->id, error_name(errno));
	if (!size || size % block->block_size)
		return error_set(err, -EINVAL, "%s: a size is a multiple of %u bytes", block->id,
				 block->block_size);
	if (block->readonly)
		return error_set(err, -EROFS, "%s: it is read-only", block->id);
	if (S_ISREG(st.st_mode) && ftruncate(raw->fd, (off_t)size))
		return error_set(err, -errno, "%s: cannot make it %llu bytes: %s", block->id,
				 (unsigned long long)size, error_name(errno));
	if (S_ISBLK(st.st_mode)) {
		uint64_t now = 0;

		if (ioctl(raw->fd, BLKGETSIZE64, &now) || now < size)
			return error_set(err, -ENOSPC,
					 "%s: the device has %llu bytes: enlarge it "
					 "first",
					 block->id, (unsigned long long)now);
	}
	block->size = size;
	if (block->events.resized)
		block->events.resized(block->events.opaque);
	return 0;
}

static const struct option_key raw_keys[] = {
	{"cache", "writeback|none", "none: past the host's page cache (writeback)"},
	{0},
};

const struct block_ops raw_block_ops = {
	.name = "raw",
	.asked = "format=raw",
	.help = "a file's or block device's own bytes, by io_uring",
	.keys = raw_keys,
	.open = raw_open,
	.close = raw_close,
	.resize = raw_resize,
	.queue_open = raw_queue_open,
	.queue_close = raw_queue_close,
	.submit = raw_submit,
	.start = raw_start,
	.reap = raw_reap,
	.cancel = raw_cancel,
};
