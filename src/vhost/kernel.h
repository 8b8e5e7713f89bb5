/* SPDX-License-Identifier: Apache-2.0 */
#ifndef VHOST_KERNEL_H
#define VHOST_KERNEL_H

#include "mem/guest_mem.h"
#include "vring/vring.h"

#ifndef VHOST_F_LOG_ALL
#define VHOST_F_LOG_ALL 26 /* linux/vhost_types.h */
#endif

/*
 * The kernel's vhost (linux/vhost.h): one descriptor, one worker thread of the kernel, its rings.
 * Thin: each function is an ioctl or two with errors that can be read. Control thread only.
 * /dev/vhost-net and /dev/vhost-vdpa-N share most of it.
 */
struct vhost_kernel {
	int fd;
	char name[32];		   /* "/dev/vhost-net", for messages */
	uint64_t features;	   /* what it offers */
	uint64_t backend_features; /* VHOST_BACKEND_F_* bits that were agreed on */
};

/** One ring as it is handed to the kernel; descriptors are borrowed (the kernel keeps its own). */
struct vhost_ring {
	unsigned index; /* within this descriptor */
	const struct vring_config *cfg;
	const struct vring_state *state;
	int kick_fd;
	int call_fd;
	int err_fd; /* -1: none */
};

/** Whether path can be opened; if not, err says what is missing and what to do. */
int vhost_kernel_probe(const char *path, struct error *err);

/** Opens path, takes ownership, reads the features and agrees on back-end features in want. */
int vhost_kernel_open(struct vhost_kernel *vk, const char *path, uint64_t want, struct error *err);
void vhost_kernel_close(struct vhost_kernel *vk);

/** Acknowledges features, which must be among those offered (plus VHOST_F_LOG_ALL). */
int vhost_kernel_set_features(struct vhost_kernel *vk, uint64_t features, struct error *err);

/**
 * Gives it the memory table (VHOST_SET_MEM_TABLE). Read-only regions are left out: vhost knows
 * no permissions, and what it cannot see it cannot write. May be called while rings run.
 */
int vhost_kernel_set_memory(struct vhost_kernel *vk, const struct mem_table *table,
			    struct error *err);

/** Has writes logged in the table's dirty log (VHOST_SET_LOG_BASE); see set_features too. */
int vhost_kernel_set_log(struct vhost_kernel *vk, const struct mem_table *table, struct error *err);

/** Size, base, addresses (iova: guest-physical, else host-virtual) and eventfds of a ring. */
int vhost_kernel_set_ring(struct vhost_kernel *vk, const struct vhost_ring *ring,
			  const struct mem_table *table, bool iova, struct error *err);

/** The addresses alone again, with or without logging of the used ring; also while it runs. */
int vhost_kernel_set_addresses(struct vhost_kernel *vk, const struct vhost_ring *ring,
			       const struct mem_table *table, bool iova, struct error *err);

/** Where a ring stands, once it was stopped. 0 or negative errno, *state set in any case. */
int vhost_kernel_get_base(struct vhost_kernel *vk, const struct vhost_ring *ring,
			  const struct mem_table *table, struct vring_state *state);

/** Takes the eventfds away again, so that nothing of the kernel's signals them. */
void vhost_kernel_clear_ring(struct vhost_kernel *vk, unsigned index);

/** Microseconds to poll before sleeping (VHOST_SET_VRING_BUSYLOOP_TIMEOUT). */
int vhost_kernel_set_busy_poll(struct vhost_kernel *vk, unsigned index, unsigned usecs,
			       struct error *err);

/**
 * Starts a ring on a TAP queue, or with fd -1 stops it: on return the kernel has finished with
 * what it had taken, zero-copy transmissions included (VHOST_NET_SET_BACKEND).
 */
int vhost_net_set_backend(struct vhost_kernel *vk, unsigned index, int fd, struct error *err);

/** Prefixes err with the name and what was attempted; for callers with ioctls of their own. */
int vhost_kernel_fail(const struct vhost_kernel *vk, struct error *err, const char *what);

#endif
