/* SPDX-License-Identifier: Apache-2.0 */
#ifndef VHOST_VDUSE_H
#define VHOST_VDUSE_H

#include "base/loop.h"
#include "base/parcel.h"
#include "mem/guest_mem.h"
#include "vring/device.h"

/*
 * VDUSE (linux/vduse.h): a virtio network device made in user space, on the host's vDPA bus. Its
 * driver is the host's own virtio-net (module virtio_vdpa), or whoever opens /dev/vhost-vdpa-N
 * (module vhost_vdpa). The counterpart of vhost/backend.h, with the kernel in the front-end's place;
 * what is said there of threads and of queues that are started and stopped holds here too.
 *
 * The device is made here and put on the bus by the administrator: `vdpa dev add name NAME mgmtdev
 * vduse`. It has one queue pair, because more of them need a control queue, which VDUSE forbids.
 */
#define VDUSE_QUEUES   2
#define VDUSE_RING_MAX 1024

struct vduse;

/** Queue 0 carries frames to the driver, queue 1 from it. Belongs to the device. */
struct vduse_queue {
	struct vduse *dev;
	unsigned index;
	struct vq *vq; /* vq_pop() may fail as vhost_backend_queue's: vduse_attention() then */
	int kick_fd;   /* to be watched edge-triggered, never read */
};

/** What the owner is told. */
struct vduse_ops {
	/** As those of struct vhost_backend_ops. */
	int (*queue_start)(void *opaque, struct vduse_queue *q, struct error *err);
	void (*queue_stop)(void *opaque, struct vduse_queue *q);
	/** The features that the driver has taken; no queue is running. */
	void (*features)(void *opaque, uint64_t features);
};

struct vduse_params {
	const char *name;  /* of the device; copied */
	uint64_t features; /* offered: of those of vduse_features; what VDUSE demands is added */
	uint8_t mac[6];	   /* in the config space where VIRTIO_NET_F_MAC is offered */
	uint16_t mtu;	   /* … VIRTIO_NET_F_MTU */
	struct loop *loop;
	const struct vduse_ops *ops;
	void *opaque;
	/** What vduse_save() of another process put, or NULL: then it is that device, and held. */
	struct parcel_in *inherit;
};

/** Virtio features that such a device can have, and that its owner can carry. */
extern const uint64_t vduse_features;

/** Whether this host has VDUSE; if not, err says what to do. */
int vduse_probe(struct error *err);

/**
 * Makes the device, or goes on with one of that name which a process that has ended left on the bus, with
 * its driver and from where its rings stand. NULL with err set.
 */
struct vduse *vduse_create(const struct vduse_params *params, struct error *err);

/** Stops it, and removes it if it is not on the bus any more; if it is, the log says what to do. */
void vduse_destroy(struct vduse *v);

struct vduse_info {
	uint8_t status; /* virtio's device status, as the driver has set it */
	unsigned queues_running;
};
void vduse_info(const struct vduse *v, struct vduse_info *info);

/*
 * Handing the device to another process: as that of vhost/backend.h. From save on the kernel's messages
 * wait; it does so for 30 s.
 */
void vduse_save(struct vduse *v, struct parcel_out *p);
void vduse_hold(struct vduse *v);
void vduse_save_rings(const struct vduse *v, struct parcel_out *p);
int vduse_restore_rings(struct vduse *v, struct parcel_in *p, struct error *err);
void vduse_resume(struct vduse *v);

/** Worker: signals the driver. */
void vduse_call(struct vduse_queue *q);

/** Worker: vq_pop() has returned -EPROTO or -EAGAIN. Cheap when it is repeated. */
void vduse_attention(struct vduse_queue *q);

#endif
