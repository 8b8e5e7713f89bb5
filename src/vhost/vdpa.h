/* SPDX-License-Identifier: Apache-2.0 */
#ifndef VHOST_VDPA_H
#define VHOST_VDPA_H

#include "vhost/kernel.h"

/*
 * What /dev/vhost-vdpa-N has beyond vhost/kernel.h (linux/vhost.h, "VHOST_VDPA specific"): a whole
 * virtio device with status and config space, and an address space that is filled region by region.
 * Addresses on it are guest-physical. Control thread only.
 */
struct vhost_vdpa {
	struct vhost_kernel vk; /* what vhost_kernel_*() take */
	uint32_t device_id;
	unsigned queues;
	uint16_t ring_max; /* entries */
	uint32_t config_size;
	uint64_t iova_first, iova_last;
	bool can_suspend;
};

/** Opens path and reads what it is. */
int vhost_vdpa_open(struct vhost_vdpa *vdpa, const char *path, struct error *err);
void vhost_vdpa_close(struct vhost_vdpa *vdpa);

/** Device status (virtio 1.2, 2.1); 0 resets, and the device is at rest when it returns. */
int vhost_vdpa_set_status(struct vhost_vdpa *vdpa, uint8_t status, struct error *err);
int vhost_vdpa_get_status(struct vhost_vdpa *vdpa, uint8_t *status, struct error *err);

int vhost_vdpa_get_config(struct vhost_vdpa *vdpa, uint32_t offset, void *to, uint32_t len,
			  struct error *err);

/** The eventfd signalled when its config space changes; -1: none. */
int vhost_vdpa_set_config_call(struct vhost_vdpa *vdpa, int fd, struct error *err);

int vhost_vdpa_enable_ring(struct vhost_vdpa *vdpa, unsigned index, bool on, struct error *err);

/** Stops all rings with their state kept, where can_suspend. */
int vhost_vdpa_suspend(struct vhost_vdpa *vdpa, struct error *err);

/**
 * Makes the address space what table says, given that it is what old says (NULL: empty): takes
 * away and adds whole regions, in one batch where the device has that.
 */
int vhost_vdpa_map(struct vhost_vdpa *vdpa, const struct mem_table *old,
		   const struct mem_table *table, struct error *err);

#endif
