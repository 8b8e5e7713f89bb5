/* SPDX-License-Identifier: Apache-2.0 */
#include "vhost/back_internal.h"

#include "base/log.h"

#include <errno.h>
#include <sys/mman.h>
#include <unistd.h>

/*
 * Inflight tracking: memory that the front-end keeps for us across our end, in which each ring
 * leaves what it has taken and not used (vring/device.h, vq_track()). It is made here when it is
 * asked for, empty, and used from the moment the front-end gives it back; that it is the same, or
 * contains what we wrote, is not relied on.
 */
static uint64_t queue_bytes(unsigned queue_size)
{
	return vq_track_bytes(queue_size);
}

int back_get_inflight_fd(struct vhost_backend *be, struct vhost_user_msg *msg, struct error *err)
{
	struct vhost_user_inflight *in = &msg->payload.inflight;
	int fd;

	if (in->queues > be->nqueues)
		return error_set(err, -EINVAL, "%u queues, where there are %u", in->queues,
				 be->nqueues);
	fd = memfd_create("vhost-inflight", MFD_CLOEXEC);
	if (fd < 0)
		return error_set(err, -errno, "memfd: %s", error_name(errno));
	in->mmap_offset = 0;
	in->mmap_size = in->queues * queue_bytes(in->queue_size);
	if (ftruncate(fd, (off_t)in->mmap_size) < 0) {
		close(fd);
		return error_set(err, -errno, "memfd of %llu bytes: %s",
				 (unsigned long long)in->mmap_size, error_name(errno));
	}
	msg->fds[0] = fd;
	msg->nfds = 1; /* closed once it is sent */
	return 0;
}

int back_set_inflight_fd(struct vhost_backend *be, struct vhost_user_msg *msg, struct error *err)
{
	const struct vhost_user_inflight *in = &msg->payload.inflight;
	struct back_map map = {0};
	void *at = NULL;
	int rc;

	if (in->mmap_size < in->queues * queue_bytes(in->queue_size) || in->mmap_offset % 64)
		return error_set(err, -EINVAL, "%llu bytes at %llu for %u queues of %u",
				 (unsigned long long)in->mmap_size,
				 (unsigned long long)in->mmap_offset, in->queues, in->queue_size);
	rc = back_map_file(be, msg->fds[0], in->mmap_offset, in->mmap_size, &map, &at, err);
	if (rc)
		return rc;
	back_rings_stop(be);
	back_inflight_drop(be);
	be->inflight_map = map;
	be->inflight = at;
	be->inflight_queues = in->queues;
	be->inflight_size = in->queue_size;
	return back_rings_resume(be, err);
}

void back_inflight_drop(struct vhost_backend *be)
{
	back_unmap(&be->inflight_map);
	be->inflight = NULL;
	be->inflight_queues = be->inflight_size = 0;
}

void back_inflight_start(struct vhost_backend *be, struct back_queue *q)
{
	unsigned i = q->pub.index, n;
	uint64_t at = i * queue_bytes(be->inflight_size);

	if (i >= be->inflight_queues || q->size > be->inflight_size)
		return;
	n = vq_track(q->pub.vq, (struct vq_track *)(be->inflight + at), be->inflight_size,
		     i % 2 == 0);
	if (!n)
		return;
	log_info("%s: queue %u: %u buffers that were in flight when its last server ended are "
		 "given back",
		 be->name, i, n);
	vhost_backend_call(&q->pub);
}
