/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_VDUSE_NET_H
#define TESTS_VDUSE_NET_H

/*
 * A VDUSE network device (linux/vduse.h) served by a thread: what stands in for vDPA hardware. It
 * sends back what it gets or, with a TAP's descriptor (12-byte headers), moves frames from and to
 * that. Needs root, the modules vduse and vhost_vdpa, and the vdpa tool.
 */
#include "vring/device.h"
#include "vring/features.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/vduse.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <unistd.h>

#define VDUSE_NAME    "vdtest"
#define VDUSE_REGIONS 16

struct vduse_net {
	uint64_t features;
	int control, fd;
	int tap; /* -1: frames come back */
	int kick[2];
	struct vq *vq[2];
	struct mem_region regions[VDUSE_REGIONS];
	unsigned nregions;
	struct mem_table *table;
	bool running;
	bool packed;
	pthread_t thread;
	_Atomic bool stop;
	_Atomic uint64_t frames;
};

static inline void vduse_unmap(struct vduse_net *v)
{
	for (unsigned i = 0; i < v->nregions; i++) {
		munmap(v->regions[i].hva, v->regions[i].size);
		close(v->regions[i].fd);
	}
	v->nregions = 0;
	mem_table_free(v->table);
	v->table = NULL;
}

/* Maps all that the address space has, from 0 up. */
static inline void vduse_map(struct vduse_net *v)
{
	struct vduse_iotlb_entry e = {.start = 0, .last = UINT64_MAX};
	int fd;

	while (v->nregions < VDUSE_REGIONS && (fd = ioctl(v->fd, VDUSE_IOTLB_GET_FD, &e)) >= 0) {
		struct mem_region *r = &v->regions[v->nregions++];

		*r = (struct mem_region){.gpa = e.start, .size = e.last - e.start + 1, .fd = fd};
		r->hva = mmap(NULL, r->size, PROT_READ | PROT_WRITE, MAP_SHARED, fd,
			      (off_t)e.offset);
		if (r->hva == MAP_FAILED)
			abort();
		if (e.last == UINT64_MAX)
			break;
		e = (struct vduse_iotlb_entry){.start = e.last + 1, .last = UINT64_MAX};
	}
	if (mem_table_new(v->regions, v->nregions, &v->table, NULL))
		abort();
}

/* Without a driver what comes is lost, as in any NIC; what waited would be news of long ago. */
static inline void vduse_discard(struct vduse_net *v)
{
	uint8_t frame[2048];

	while (read(v->tap, frame, sizeof(frame)) > 0)
		;
}

static inline void vduse_go(struct vduse_net *v)
{
	uint64_t driver = 0;

	if (v->tap >= 0)
		vduse_discard(v);
	ioctl(v->fd, VDUSE_DEV_GET_FEATURES, &driver);
	v->packed = driver >> VIRTIO_F_RING_PACKED & 1;
	vduse_map(v);
	for (unsigned i = 0; i < 2; i++) {
		struct vduse_vq_info info = {.index = i};
		struct vduse_vq_eventfd kick = {.index = i, .fd = v->kick[i]};
		struct vring_state state = VRING_STATE_INIT;
		struct vring_config cfg = {
			.packed = v->packed,
			.event_idx = driver >> VIRTIO_RING_F_EVENT_IDX & 1,
			.indirect = driver >> VIRTIO_RING_F_INDIRECT_DESC & 1,
		};
		struct error err = {0};

		ioctl(v->fd, VDUSE_VQ_GET_INFO, &info);
		ioctl(v->fd, VDUSE_VQ_SETUP_KICKFD, &kick);
		cfg.size = info.num;
		cfg.desc = info.desc_addr;
		cfg.driver = info.driver_addr;
		cfg.device = info.device_addr;
		state.avail_idx = state.used_idx = info.split.avail_index;
		if (v->packed)
			state = (struct vring_state){
				info.packed.last_avail_idx,
				info.packed.last_used_idx,
				info.packed.last_avail_counter,
				info.packed.last_used_counter,
			};
		if (vq_start(v->vq[i], &cfg, &state, v->table, &err))
			fprintf(stderr, "vduse: queue %u: %s\n", i, err.text);
	}
	v->running = true;
}

static inline void vduse_halt(struct vduse_net *v)
{
	for (unsigned i = 0; v->running && i < 2; i++) {
		struct vduse_vq_eventfd kick = {.index = i, .fd = VDUSE_EVENTFD_DEASSIGN};

		vq_stop(v->vq[i], NULL);
		ioctl(v->fd, VDUSE_VQ_SETUP_KICKFD, &kick);
	}
	if (v->running)
		vduse_unmap(v);
	v->running = false;
}

static inline void vduse_answer(struct vduse_net *v)
{
	struct vduse_dev_request q;
	struct vduse_dev_response a = {0};

	if (read(v->fd, &q, sizeof(q)) != sizeof(q))
		return;
	a.request_id = q.request_id;
	a.result = VDUSE_REQ_RESULT_OK;
	switch (q.type) {
	case VDUSE_SET_STATUS:
		if (q.s.status & 4 && !v->running)
			vduse_go(v);
		else if (q.s.status == 0)
			vduse_halt(v);
		break;
	case VDUSE_UPDATE_IOTLB:
		if (v->running) {
			vduse_unmap(v);
			vduse_map(v);
			for (unsigned i = 0; i < 2; i++)
				vq_set_memory(v->vq[i], v->table);
		}
		break;
	default:
		a.result = VDUSE_REQ_RESULT_FAILED;
	}
	if (write(v->fd, &a, sizeof(a)) != sizeof(a))
		perror("vduse: answer");
}

static inline void vduse_push(struct vduse_net *v, unsigned i)
{
	uint32_t index = i;

	if (vq_flush(v->vq[i]))
		ioctl(v->fd, VDUSE_VQ_INJECT_IRQ, &index);
}

/* One frame from the transmit queue into the receive queue. */
static inline bool vduse_loop_back(struct vduse_net *v)
{
	struct iovec out[16], in[16];
	struct vq_buf tx, rx;
	uint8_t frame[2048];
	uint32_t len = 0;

	if (vq_pop(v->vq[0], &rx, 1, in, 16) != 1)
		return false;
	if (vq_pop(v->vq[1], &tx, 1, out, 16) != 1) {
		vq_unpop(v->vq[0], &rx, 1);
		return false;
	}
	for (unsigned i = 0; i < tx.out_n && len + tx.iov[i].iov_len <= sizeof(frame); i++) {
		memcpy(frame + len, tx.iov[i].iov_base, tx.iov[i].iov_len);
		len += (uint32_t)tx.iov[i].iov_len;
	}
	frame[10] = 1; /* num_buffers */
	memcpy(rx.iov[0].iov_base, frame, MIN(len, rx.iov[0].iov_len));
	vq_push(v->vq[1], &tx, 0);
	vq_push(v->vq[0], &rx, len);
	v->frames++;
	return true;
}

/* One frame from the transmit queue to the TAP. */
static inline bool vduse_to_tap(struct vduse_net *v)
{
	struct iovec iov[64];
	struct vq_buf tx;

	if (vq_pop(v->vq[1], &tx, 1, iov, 64) != 1)
		return false;
	if (writev(v->tap, tx.iov, tx.out_n) < 0)
		perror("vduse: tap");
	vq_push(v->vq[1], &tx, 0);
	v->frames++;
	return true;
}

/* One frame from the TAP into a receive buffer, which holds any without offloads. */
static inline bool vduse_from_tap(struct vduse_net *v)
{
	struct iovec iov[64];
	struct vq_buf rx;
	uint8_t *header;
	ssize_t n;

	if (vq_pop(v->vq[0], &rx, 1, iov, 64) != 1)
		return false;
	n = readv(v->tap, rx.iov, rx.in_n);
	if (n < 12) {
		vq_unpop(v->vq[0], &rx, 1);
		return false;
	}
	header = rx.iov[0].iov_base;
	store_le16(header + 10, 1); /* num_buffers */
	vq_push(v->vq[0], &rx, (uint32_t)n);
	return true;
}

static inline void vduse_serve(struct vduse_net *v)
{
	do {
		if (v->tap < 0) {
			while (vduse_loop_back(v))
				;
		} else {
			while (vduse_to_tap(v))
				;
			while (vduse_from_tap(v))
				;
		}
		vduse_push(v, 1);
		vduse_push(v, 0);
	} while (vq_enable_kicks(v->vq[1]));
}

static inline void *vduse_run(void *arg)
{
	struct vduse_net *v = arg;

	while (!v->stop) {
		struct pollfd p[] = {{v->fd, POLLIN, 0},
				     {v->kick[0], POLLIN, 0},
				     {v->kick[1], POLLIN, 0},
				     {v->tap, POLLIN, 0}};

		if (!v->running && v->tap >= 0)
			vduse_discard(v);
		poll(p, v->running ? 4 : 1, 20);
		if (p[0].revents & POLLIN)
			vduse_answer(v);
		if (!v->running)
			continue;
		for (unsigned i = 0; i < 2; i++)
			if (p[1 + i].revents & POLLIN)
				eventfd_read(v->kick[i], &(eventfd_t){0});
		vduse_serve(v);
	}
	return NULL;
}

/*
 * Takes the device off the bus and removes it. The kernel holds on to it until the last one who
 * looks at it, udev for one, has let it go.
 */
static inline int vduse_remove(int control)
{
	char name[VDUSE_NAME_MAX] = VDUSE_NAME;

	/* It is off the bus already where this fails. */
	if (system("vdpa dev del " VDUSE_NAME " 2>/dev/null"))
		errno = 0;
	for (unsigned n = 0; n < 250; n++) {
		if (ioctl(control, VDUSE_DESTROY_DEV, name) == 0 || errno != EBUSY)
			break;
		usleep(20000);
	}
	return access("/dev/vduse/" VDUSE_NAME, F_OK) == 0 ? -EBUSY : 0;
}

/* Makes the device and puts it on the vDPA bus; its /dev/vhost-vdpa-N is in path. */
static inline int vduse_start(struct vduse_net *v, int tap, char path[64], struct error *err)
{
	struct {
		struct vduse_dev_config config;
		uint8_t space[12];
	} dev = {0};
	const uint8_t space[12] = {0x52, 0x54, 0, 1, 2, 3, 1, 0, 1, 0, 0xdc, 0x05};
	uint64_t version = VDUSE_API_VERSION;

	*v = (struct vduse_net){.fd = -1, .tap = tap};
	v->features = 1ULL << VIRTIO_F_VERSION_1 | 1ULL << VIRTIO_F_ACCESS_PLATFORM |
		      1ULL << VIRTIO_F_RING_PACKED | 1ULL << VIRTIO_RING_F_EVENT_IDX |
		      1ULL << VIRTIO_RING_F_INDIRECT_DESC | 1ULL << VIRTIO_NET_F_MRG_RXBUF |
		      1ULL << VIRTIO_NET_F_STATUS | 1ULL << VIRTIO_NET_F_MTU |
		      1ULL << VIRTIO_NET_F_MAC;
	if (system("modprobe -a vduse vhost_vdpa 2>/dev/null") ||
	    (v->control = open("/dev/vduse/control", O_RDWR | O_CLOEXEC)) < 0)
		return error_set(err, -ENODEV,
				 "no /dev/vduse/control: needs root and the module vduse");
	ioctl(v->control, VDUSE_SET_API_VERSION, &version);
	snprintf(dev.config.name, sizeof(dev.config.name), VDUSE_NAME);
	dev.config.device_id = 1;
	dev.config.features = v->features;
	dev.config.vq_num = 2;
	dev.config.vq_align = 4096;
	dev.config.config_size = sizeof(space);
	memcpy(dev.config.config, space, sizeof(space));
	/* One that a process before this one left behind because it was killed. */
	if (access("/dev/vduse/" VDUSE_NAME, F_OK) == 0)
		vduse_remove(v->control);
	if (ioctl(v->control, VDUSE_CREATE_DEV, &dev) < 0)
		return error_set(err, -errno, "VDUSE_CREATE_DEV: %s", error_name(errno));
	v->fd = open("/dev/vduse/" VDUSE_NAME, O_RDWR | O_CLOEXEC);
	if (v->fd < 0)
		return error_set(err, -errno, "/dev/vduse/" VDUSE_NAME ": %s", error_name(errno));
	for (unsigned i = 0; i < 2; i++) {
		struct vduse_vq_config vq = {.index = i, .max_size = 256};

		ioctl(v->fd, VDUSE_VQ_SETUP, &vq);
		v->kick[i] = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
		v->vq[i] = vq_create();
	}
	pthread_create(&v->thread, NULL, vduse_run, v);
	if (system("vdpa dev add name " VDUSE_NAME " mgmtdev vduse"))
		return error_set(err, -EIO, "vdpa dev add failed");
	for (unsigned n = 0; n < 100; n++) {
		snprintf(path, 64, "/dev/vhost-vdpa-%u", n % 4);
		if (access(path, F_OK) == 0)
			return 0;
		usleep(20000);
	}
	return error_set(err, -ETIMEDOUT, "no /dev/vhost-vdpa-N appeared");
}

static inline void vduse_end(struct vduse_net *v)
{
	if (system("vdpa dev del " VDUSE_NAME))
		fprintf(stderr, "vdpa dev del " VDUSE_NAME " failed\n");
	v->stop = true;
	pthread_join(v->thread, NULL);
	vduse_halt(v);
	for (unsigned i = 0; i < 2; i++) {
		vq_free(v->vq[i]);
		close(v->kick[i]);
	}
	close(v->fd);
	if (vduse_remove(v->control))
		fprintf(stderr, "/dev/vduse/" VDUSE_NAME " cannot be removed\n");
	close(v->control);
}

#endif
