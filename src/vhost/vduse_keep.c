/* SPDX-License-Identifier: Apache-2.0 */
#include "vhost/vduse_internal.h"

#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/vduse.h>
#include <linux/virtio_config.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/*
 * A VDUSE device outlives who made it: while it is on the vDPA bus the kernel keeps it, its driver's
 * features and its rings' addresses, and gives it to the next one that opens it. What the kernel does not
 * tell is the device's status, and which chains had been taken off a ring and not used. For these there
 * is a file in memory, which is all that is left of a process that was killed. Without it (another user's
 * file is in its place) a device goes on all the same, but a burst of frames may be sent twice.
 *
 * The second half of this file hands a device to another process (vhost/vduse.h).
 */
#define KEEP_PATH  "/dev/shm/viaduct-vduse-%s"
#define KEEP_MAGIC 0x5644554b

struct vduse_keep {
	_Atomic uint32_t magic, status;
	uint8_t pad[56];
	uint8_t tracks[];
};

static size_t keep_bytes(void)
{
	return sizeof(struct vduse_keep) + VDUSE_QUEUES * vq_track_bytes(VDUSE_RING_MAX);
}

static void keep_path(const struct vduse *v, char *path, size_t size)
{
	snprintf(path, size, KEEP_PATH, v->name);
}

static int open_file(const char *path)
{
	int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600), ret = 0;
	struct stat st;

	if (fd < 0)
		return -errno;
	if (fstat(fd, &st) < 0 || ftruncate(fd, (off_t)keep_bytes()) < 0)
		ret = -errno;
	else if (!S_ISREG(st.st_mode) || st.st_uid != geteuid())
		ret = -EPERM;
	if (!ret)
		return fd;
	close(fd);
	return ret;
}

void vduse_keep_open(struct vduse *v)
{
	char path[sizeof(KEEP_PATH) + VDUSE_NAME_MAX];
	void *at = MAP_FAILED;
	int fd;

	keep_path(v, path, sizeof(path));
	fd = open_file(path);
	if (fd >= 0) {
		at = mmap(NULL, keep_bytes(), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
		close(fd);
	}
	if (at == MAP_FAILED) {
		log_warn("%s: %s: %s: after a crash a few frames may be sent twice", v->name, path,
			 error_name(fd < 0 ? fd : -ENOMEM));
		return;
	}
	v->keep = at;
	if (v->found && atomic_load(&v->keep->magic) == KEEP_MAGIC)
		return;
	memset(at, 0, keep_bytes());
	atomic_store(&v->keep->status, VDUSE_STATUS_UNKNOWN);
	atomic_store(&v->keep->magic, KEEP_MAGIC);
}

void vduse_keep_close(struct vduse *v, bool forget)
{
	char path[sizeof(KEEP_PATH) + VDUSE_NAME_MAX];

	if (!v->keep)
		return;
	munmap(v->keep, keep_bytes());
	v->keep = NULL;
	keep_path(v, path, sizeof(path));
	if (forget)
		unlink(path);
}

void vduse_keep_status(struct vduse *v)
{
	if (v->keep)
		atomic_store(&v->keep->status, v->status);
}

unsigned vduse_keep_track(struct vduse *v, unsigned index)
{
	struct vduse_ring *r = &v->rings[index];
	uint8_t *at;
	unsigned n;

	if (!v->keep)
		return 0;
	at = v->keep->tracks + index * vq_track_bytes(VDUSE_RING_MAX);
	n = vq_track(r->pub.vq, (struct vq_track *)(void *)at, VDUSE_RING_MAX, index == 0);
	if (n)
		log_info("%s: queue %u: %u buffers that were in flight when its last server ended "
			 "are given back",
			 v->name, index, n);
	return n;
}

/* A driver makes its rings ready just before it says DRIVER_OK. */
static uint8_t guess_status(const struct vduse *v)
{
	struct vduse_vq_info info = {0};

	if (ioctl(v->dev.fd, VDUSE_VQ_GET_INFO, &info) < 0 || !info.ready)
		return 0;
	return VIRTIO_CONFIG_S_ACKNOWLEDGE | VIRTIO_CONFIG_S_DRIVER | VIRTIO_CONFIG_S_FEATURES_OK |
	       VIRTIO_CONFIG_S_DRIVER_OK;
}

/* Takes what the driver has agreed on, if it is among what is offered now. */
static int take_features(struct vduse *v, struct error *err)
{
	if (ioctl(v->dev.fd, VDUSE_DEV_GET_FEATURES, &v->features) < 0)
		return error_set(err, -errno, "%s: its driver's features: %s", v->name,
				 error_name(errno));
	if (v->features & ~v->offered)
		return error_set(
			err, -EBUSY,
			"the device's driver uses features %#llx, which these options do not "
			"offer: start with those it was made with, or take it off the bus "
			"(vdpa dev del %s)",
			(unsigned long long)(v->features & ~v->offered), v->name);
	if (v->status & VIRTIO_CONFIG_S_DRIVER_OK)
		v->ops->features(v->opaque, v->features);
	return 0;
}

int vduse_go_on(struct vduse *v, struct error *err)
{
	uint32_t status = v->keep ? atomic_load(&v->keep->status) : VDUSE_STATUS_UNKNOWN;
	int ret;

	v->status = status == VDUSE_STATUS_UNKNOWN ? guess_status(v) : (uint8_t)status;
	ret = take_features(v, err);
	if (ret)
		return ret;
	vduse_keep_status(v);
	for (unsigned i = 0; i < VDUSE_QUEUES; i++) {
		v->rings[i].left = v->status & VIRTIO_CONFIG_S_DRIVER_OK;
		/* What was used may not have been told. */
		atomic_store(&v->rings[i].uncalled, v->rings[i].left);
	}
	log_info("%s: goes on with the device that was there, %s", v->name,
		 v->status & VIRTIO_CONFIG_S_DRIVER_OK ? "and its driver" : "which has no driver");
	vduse_rings_start(v);
	return 0;
}

void vduse_save(struct vduse *v, struct parcel_out *p)
{
	loop_remove(v->loop, &v->dev);
	loop_remove(v->loop, &v->attention);
	loop_timer_cancel(v->loop, &v->again);
	parcel_put_fd(p, v->dev.fd);
	parcel_put_u64(p, v->status);
}

int vduse_inherit(struct vduse *v, struct parcel_in *p, struct error *err)
{
	int ret;

	v->held = v->found = true;
	v->dev.fd = parcel_get_fd(p);
	v->status = (uint8_t)parcel_get_range(p, 0, UINT8_MAX);
	if (p->bad || v->dev.fd < 0)
		return error_set(err, -EPROTO, "its descriptor is missing");
	ret = take_features(v, err);
	if (!ret && v->status & VIRTIO_CONFIG_S_DRIVER_OK && vduse_map(v, err))
		log_info("%s: its memory: %s", v->name, err->text); /* it is tried again */
	return ret;
}

void vduse_hold(struct vduse *v)
{
	v->held = true;
	vduse_rings_stop(v);
}

void vduse_save_rings(const struct vduse *v, struct parcel_out *p)
{
	for (unsigned i = 0; i < VDUSE_QUEUES; i++) {
		const struct vduse_ring *r = &v->rings[i];

		parcel_put_u64(p, r->has_run);
		parcel_put_u64(p, r->broken);
		parcel_put_u64(p, r->state.avail_idx);
		parcel_put_u64(p, r->state.avail_wrap);
		parcel_put_u64(p, r->state.used_idx);
		parcel_put_u64(p, r->state.used_wrap);
	}
}

int vduse_restore_rings(struct vduse *v, struct parcel_in *p, struct error *err)
{
	for (unsigned i = 0; i < VDUSE_QUEUES; i++) {
		struct vduse_ring *r = &v->rings[i];

		r->has_run = parcel_get_bool(p);
		r->broken = parcel_get_bool(p);
		r->state.avail_idx = (uint16_t)parcel_get_range(p, 0, UINT16_MAX);
		r->state.avail_wrap = parcel_get_bool(p);
		r->state.used_idx = (uint16_t)parcel_get_range(p, 0, UINT16_MAX);
		r->state.used_wrap = parcel_get_bool(p);
	}
	return p->bad ? error_set(err, -EPROTO, "%s: positions are missing", v->name) : 0;
}

void vduse_resume(struct vduse *v)
{
	v->held = false;
	if ((!v->dev.active && loop_add(v->loop, &v->dev, EPOLLIN)) ||
	    (!v->attention.active && loop_add(v->loop, &v->attention, EPOLLIN)))
		log_error("%s: the kernel cannot be listened to any more", v->name);
	for (unsigned i = 0; i < VDUSE_QUEUES; i++)
		atomic_store(&v->rings[i].uncalled, v->rings[i].has_run);
	vduse_rings_start(v);
}
