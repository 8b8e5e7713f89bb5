/* SPDX-License-Identifier: Apache-2.0 */
#ifndef VRING_DRIVER_H
#define VRING_DRIVER_H

#include "vring/vring.h"

/*
 * The driver side of a virtqueue: what a guest's driver does, for tests, load generators, and for
 * driving a vhost back-end without a virtual machine. The ring lives in memory that the caller
 * laid out (vring_*_bytes) and described by a mem_table; buffers are named by guest-physical
 * address. Used by one thread at a time. The device is not trusted either: a used entry that names
 * a buffer that is not out breaks the queue.
 */
struct vdrv;

struct vdrv_sg {
	uint64_t gpa;
	uint32_t len;
};

struct vdrv *vdrv_create(void);
void vdrv_free(struct vdrv *drv);

/**
 * Starts on an empty ring, in zeroed memory, whatever drv was before. Calls are enabled. Returns 0,
 * -EINVAL, -EFAULT or -ENOMEM with err set, and then it is not started.
 */
int vdrv_start(struct vdrv *drv, const struct vring_config *cfg, const struct mem_table *table,
	       struct error *err);

/**
 * Adds a buffer of out_n readable then in_n writable parts; cookie comes back with it. With
 * use_indirect (needs cfg.indirect) the parts go into the table at indirect_gpa, which has room
 * for out_n + in_n descriptors of 16 bytes and stays the driver's until the buffer is back.
 * Returns 0, -ENOSPC when the ring is full, -EPROTO when broken. Not visible until vdrv_publish().
 */
int vdrv_add(struct vdrv *drv, const struct vdrv_sg *sg, unsigned out_n, unsigned in_n,
	     bool use_indirect, uint64_t indirect_gpa, void *cookie);

/** Makes what was added available. Returns whether the device wants a kick. */
bool vdrv_publish(struct vdrv *drv);

/** Takes one used buffer: 1 with *cookie and *len set, 0 if none, -EPROTO when broken. */
int vdrv_get(struct vdrv *drv, void **cookie, uint32_t *len);

void vdrv_disable_calls(struct vdrv *drv);
/** Asks for calls again; true if used buffers came meanwhile. */
bool vdrv_enable_calls(struct vdrv *drv);

unsigned vdrv_free_slots(const struct vdrv *drv);
enum vring_fault vdrv_fault(const struct vdrv *drv);

#endif
