/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_GUEST_VIRTIO_H
#define TESTS_GUEST_VIRTIO_H

#include "fake_host.h"
#include "virtio/virtio_pci.h"
#include "vring/driver.h"

/* A guest's virtio-pci driver, on a fake host: it knows the device by its registers only. */
#define GV_QUEUES 40

struct gv {
	struct fake_host *h;
	unsigned slot;
	uint64_t common, isr, device, notify;
	unsigned multiplier, cfg_cap, msix_cap;
	uint64_t msix_table;
	uint64_t next_gpa; /* memory handed out so far */
	struct virtio_features features;
	struct vdrv *drv[GV_QUEUES];
	struct vring_config cfg[GV_QUEUES];
};

/** Finds the structures by the capabilities and switches decoding and bus mastering on. */
void gv_probe(struct gv *gv, struct fake_host *h, unsigned slot);
void gv_fini(struct gv *gv);

uint64_t gv_get(struct gv *gv, unsigned reg, unsigned size);
void gv_put(struct gv *gv, unsigned reg, unsigned size, uint64_t value);
uint8_t gv_status(struct gv *gv);

struct virtio_features gv_offered(struct gv *gv);

/** Reset, ACKNOWLEDGE, DRIVER, features, FEATURES_OK. Whether the device took them. */
bool gv_negotiate(struct gv *gv, const struct virtio_features *features);
/** As above, with all that is offered. */
bool gv_negotiate_all(struct gv *gv);

/** Lays a queue out, fresh, and enables it. size 0: as the device has it. */
void gv_queue(struct gv *gv, unsigned index, unsigned size, uint16_t vector);
void gv_driver_ok(struct gv *gv);
void gv_kick(struct gv *gv, unsigned index);

/** Zeroed guest memory. */
uint64_t gv_alloc(struct gv *gv, uint64_t size);
void *gv_hva(struct gv *gv, uint64_t gpa);

/** Unmasks MSI-X vector n with this data; MSI-X is switched on. */
void gv_vector(struct gv *gv, unsigned n, uint32_t data);

/** A control command; its answer, or -1 if none came. */
int gv_command(struct gv *gv, unsigned queue, uint8_t class, uint8_t command, const void *data,
	       unsigned len);

#endif
