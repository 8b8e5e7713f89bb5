/* SPDX-License-Identifier: Apache-2.0 */
#ifndef VHOST_VDUSE_INTERNAL_H
#define VHOST_VDUSE_INTERNAL_H

#include "vhost/back_map.h"
#include "vhost/vduse.h"

/* A VDUSE device from inside: vduse.c makes it and answers the kernel, vduse_ring.c has its queues,
 * vduse_map.c its address space, vduse_keep.c what a successor needs. */
#define VDUSE_REGIONS_MAX    256
#define VDUSE_STATUS_UNKNOWN 0x100U

struct vduse_ring {
	struct vduse_queue pub;
	struct vring_config cfg;
	struct vring_state state; /* where it stands while it does not run, if it has run */
	bool has_run, running;
	bool broken; /* until the driver resets the device */
	bool left;   /* by a predecessor, which did not say where it stands */
	_Atomic bool attention;
	_Atomic bool uncalled; /* a call could not be made */
};

struct vduse {
	char *name;
	struct loop *loop;
	const struct vduse_ops *ops;
	void *opaque;
	int control_fd;
	struct loop_fd dev;	  /* messages; fd -1: none */
	struct loop_fd attention; /* an eventfd: of workers, and of guards */
	struct loop_timer again;  /* what cannot run yet, or any more, is tried again */
	uint64_t offered;
	uint64_t features; /* taken by the driver */
	uint8_t status;
	struct vduse_ring rings[VDUSE_QUEUES];
	struct vduse_keep *keep; /* for a successor; NULL: there is none */
	bool found;		 /* it was there before this process */
	bool held;		 /* on its way to another process, or from one: nothing runs */

	struct back_map *maps; /* one for each region of table */
	unsigned nmaps;
	struct mem_table *table; /* NULL: nothing is mapped */
};

/* vduse_map.c */
/** Maps all that the address space has now. */
int vduse_map(struct vduse *v, struct error *err);
/** No queue runs. */
void vduse_unmap(struct vduse *v);
/** Memory was taken away under us (mem/guard.h). */
bool vduse_map_lost(const struct vduse *v);

/* vduse_keep.c */
/** Opens the file, and makes it anew unless the device was found. A warning if it cannot be had. */
void vduse_keep_open(struct vduse *v);
void vduse_keep_close(struct vduse *v, bool forget);
/** Notes the device's status. */
void vduse_keep_status(struct vduse *v);
/** The ring has just been started: as vq_track(). */
unsigned vduse_keep_track(struct vduse *v, unsigned index);
/** Goes on with a device that was found. */
int vduse_go_on(struct vduse *v, struct error *err);
/** Takes what vduse_save() put. Nothing runs. */
int vduse_inherit(struct vduse *v, struct parcel_in *p, struct error *err);

/* vduse_ring.c */
int vduse_rings_init(struct vduse *v, struct error *err);
void vduse_rings_free(struct vduse *v);
/** Starts what the driver's status and readiness let run; what cannot yet is tried again later. */
void vduse_rings_start(struct vduse *v);
void vduse_rings_stop(struct vduse *v);
/** Forgets where they stood: the device was reset. */
void vduse_rings_reset(struct vduse *v);
/** Where one stands, running or not. */
int vduse_ring_state(struct vduse *v, unsigned index, struct vring_state *state);
/** What workers and guards have met. */
void vduse_rings_look(struct vduse *v);

#endif
