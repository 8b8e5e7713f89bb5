/* SPDX-License-Identifier: Apache-2.0 */
#include "unit.h"

#include "guest_virtio.h"
#include "bus/msix.h"

#include <errno.h>
#include <linux/pci_regs.h>
#include <linux/virtio_pci.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>

#define QUEUES	    3
#define TOY_FEATURE 100 /* beyond 64 */

/* A device that does nothing but remember. Feature 1 needs feature 0. */
struct toy {
	struct pci_dev pci;
	struct virtio_dev vdev;
	struct virtio_pci vpci;
	unsigned starts, stops, resets, queue_starts, queue_stops, config_writes;
	int start_result, queue_result;
	unsigned active; /* queues that were enabled at start */
};

struct rig {
	struct fake_host h;
	struct toy *toy;
	struct gv gv;
};

static struct toy *toy_of(struct virtio_dev *vdev)
{
	return container_of(vdev, struct toy, vdev);
}

static int toy_check(const struct virtio_dev *vdev, const struct virtio_features *acked,
		     struct error *err)
{
	if (features_has(acked, 1) && !features_has(acked, 0))
		return error_set(err, -EINVAL, "1 without 0");
	return 0;
}

static void toy_config_written(struct virtio_dev *vdev, unsigned offset, unsigned len)
{
	toy_of(vdev)->config_writes++;
}

static int toy_start(struct virtio_dev *vdev, struct error *err)
{
	struct toy *toy = toy_of(vdev);
	struct vring_config cfg;

	assert_true(pthread_equal(pthread_self(), vdev->control));
	toy->starts++;
	if (toy->start_result)
		return error_set(err, toy->start_result, "told to fail");
	toy->active = 0;
	for (unsigned i = 0; i < QUEUES; i++)
		toy->active += virtio_queue_config(vdev, i, &cfg);
	return 0;
}

static void toy_stop(struct virtio_dev *vdev)
{
	assert_true(pthread_equal(pthread_self(), vdev->control));
	toy_of(vdev)->stops++;
	/* As a plane does, and also while the function is reset. */
	for (unsigned i = 0; i < QUEUES; i++)
		assert_int_equal(vdev->transport->queue_doorbell(vdev, i, NULL), 0);
}

static int toy_queue_start(struct virtio_dev *vdev, unsigned index, struct error *err)
{
	struct vring_config cfg;

	assert_true(virtio_queue_config(vdev, index, &cfg));
	toy_of(vdev)->queue_starts++;
	return toy_of(vdev)->queue_result;
}

static int toy_queue_stop(struct virtio_dev *vdev, unsigned index)
{
	toy_of(vdev)->queue_stops++;
	return toy_of(vdev)->queue_result;
}

static void toy_reset(struct virtio_dev *vdev)
{
	toy_of(vdev)->resets++;
}

static void toy_destroy(struct virtio_dev *vdev)
{
	struct toy *toy = toy_of(vdev);

	virtio_pci_fini(&toy->vpci);
	virtio_fini(vdev);
	free(toy);
}

static const struct virtio_ops toy_ops = {
	.check_features = toy_check,
	.config_written = toy_config_written,
	.start = toy_start,
	.stop = toy_stop,
	.queue_start = toy_queue_start,
	.queue_stop = toy_queue_stop,
	.reset = toy_reset,
	.destroy = toy_destroy,
};

static struct toy *toy_new(struct fake_host *h, bool pages)
{
	static const uint16_t sizes[QUEUES] = {64, 256, 8};
	struct virtio_params params = {"toy", 42, &toy_ops, h->host.loop, h->mem, QUEUES, sizes};
	struct toy *toy = calloc(1, sizeof(*toy));
	struct error err;

	snprintf(toy->pci.id, sizeof(toy->pci.id), "toy");
	toy->pci.host = &h->host;
	assert_int_equal(virtio_init(&toy->vdev, &params, &err), 0);
	features_set(&toy->vdev.offered, 0, true);
	features_set(&toy->vdev.offered, 1, true);
	features_set(&toy->vdev.offered, VIRTIO_RING_F_EVENT_IDX, true);
	features_set(&toy->vdev.offered, VIRTIO_F_RING_PACKED, true);
	features_set(&toy->vdev.offered, VIRTIO_F_RING_RESET, true);
	features_set(&toy->vdev.offered, TOY_FEATURE, true);
	toy->vdev.config_len = 10;
	for (unsigned i = 0; i < 10; i++)
		toy->vdev.config[i] = (uint8_t)(0x10 + i);
	toy->vdev.config_writable[9] = 0x0f;
	toy->vpci.page_doorbells = pages;
	assert_int_equal(virtio_pci_init(&toy->vpci, &toy->pci, &toy->vdev, 0xff0000, &err), 0);
	return toy;
}

static int setup_with(void **state, bool pages)
{
	struct rig *r = calloc(1, sizeof(*r));
	struct error err;

	fake_host_init(&r->h);
	r->toy = toy_new(&r->h, pages);
	assert_int_equal(pci_bus_add(r->h.pci, &r->toy->pci, 1, 0, &err), 0);
	gv_probe(&r->gv, &r->h, 1);
	*state = r;
	return 0;
}

static int setup(void **state)
{
	return setup_with(state, false);
}

static int setup_pages(void **state)
{
	return setup_with(state, true);
}

static int teardown(void **state)
{
	struct rig *r = *state;

	gv_fini(&r->gv);
	fake_host_fini(&r->h);
	free(r);
	return 0;
}

/* Features without RING_PACKED, so that queues are split. */
static struct virtio_features split_features(struct gv *gv)
{
	struct virtio_features f = gv_offered(gv);

	features_set(&f, VIRTIO_F_RING_PACKED, false);
	return f;
}

static void go(struct rig *r)
{
	struct virtio_features f = split_features(&r->gv);

	assert_true(gv_negotiate(&r->gv, &f));
	gv_queue(&r->gv, 0, 0, 0);
	gv_queue(&r->gv, 1, 128, 1);
	gv_driver_ok(&r->gv);
	assert_int_equal(r->toy->starts - r->toy->stops, 1);
}

static void test_identity(void **state)
{
	struct rig *r = *state;

	assert_int_equal(fake_config_read(&r->h, 1, PCI_VENDOR_ID, 4),
			 (0x1040 + 42) << 16 | 0x1af4);
	assert_int_equal(fake_config_read(&r->h, 1, PCI_REVISION_ID, 1), 1);
	assert_true(fake_config_read(&r->h, 1, PCI_SUBSYSTEM_ID, 2) >= 0x40);
	assert_int_not_equal(r->gv.common, 0);
	assert_int_not_equal(r->gv.isr, 0);
	assert_int_not_equal(r->gv.device, 0);
	assert_int_not_equal(r->gv.notify, 0);
	assert_int_equal(r->gv.multiplier, 4);
	assert_int_equal(gv_get(&r->gv, VPCI_COMMON_NUMQ, 2), QUEUES);
	/* Extended config space can be reached: an Express function. */
	assert_int_equal(fake_config_read(&r->h, 1, 0x100, 4), 0);
}

static void test_features(void **state)
{
	struct rig *r = *state;
	struct virtio_features all = gv_offered(&r->gv), f;

	assert_true(features_has(&all, VIRTIO_F_VERSION_1));
	assert_true(features_has(&all, TOY_FEATURE));
	assert_true(gv_negotiate(&r->gv, &all));
	assert_true(virtio_has(&r->toy->vdev, TOY_FEATURE));
	gv_put(&r->gv, VPCI_COMMON_DFSELECT, 4, 0xffffffff);
	assert_int_equal(gv_get(&r->gv, VPCI_COMMON_DF, 4), 0);
	gv_put(&r->gv, VPCI_COMMON_DFSELECT, 4, 4);
	assert_int_equal(gv_get(&r->gv, VPCI_COMMON_DF, 4), 0);
	/* Frozen after FEATURES_OK. */
	gv_put(&r->gv, VPCI_COMMON_GFSELECT, 4, 0);
	gv_put(&r->gv, VPCI_COMMON_GF, 4, 0);
	assert_true(virtio_has(&r->toy->vdev, 0));
	/* Refused: without VERSION_1, not offered, without what it needs. */
	f = all;
	features_set(&f, VIRTIO_F_VERSION_1, false);
	assert_false(gv_negotiate(&r->gv, &f));
	f = all;
	features_set(&f, 99, true);
	assert_false(gv_negotiate(&r->gv, &f));
	f = all;
	features_set(&f, 0, false);
	assert_false(gv_negotiate(&r->gv, &f));
	features_set(&f, 1, false);
	assert_true(gv_negotiate(&r->gv, &f));
	/* Written to nowhere. */
	gv_put(&r->gv, VPCI_COMMON_STATUS, 1, 0);
	gv_put(&r->gv, VPCI_COMMON_GFSELECT, 4, 0x80000000);
	gv_put(&r->gv, VPCI_COMMON_GF, 4, 0xffffffff);
	assert_int_equal(gv_get(&r->gv, VPCI_COMMON_GF, 4), 0);
}

static void test_status(void **state)
{
	struct rig *r = *state;
	struct gv *gv = &r->gv;
	struct virtio_features f = split_features(gv);

	/* DRIVER_OK without FEATURES_OK does not take. */
	gv_put(gv, VPCI_COMMON_STATUS, 1, 0);
	gv_put(gv, VPCI_COMMON_STATUS, 1, 1);
	gv_put(gv, VPCI_COMMON_STATUS, 1, 3);
	gv_put(gv, VPCI_COMMON_STATUS, 1, 7);
	assert_int_equal(gv_status(gv), 3);
	assert_int_equal(r->toy->starts, 0);
	/* FEATURES_OK needs DRIVER. */
	gv_put(gv, VPCI_COMMON_STATUS, 1, 0);
	gv_put(gv, VPCI_COMMON_STATUS, 1, VIRTIO_STATUS_FEATURES_OK);
	assert_int_equal(gv_status(gv), 0);
	go(r);
	assert_int_equal(gv_status(gv), 0x0f);
	/* Bits are not cleared one by one; NEEDS_RESET is not the driver's. */
	gv_put(gv, VPCI_COMMON_STATUS, 1, 0x41);
	assert_int_equal(gv_status(gv), 0x0f);
	gv_put(gv, VPCI_COMMON_STATUS, 1, 0);
	assert_int_equal(gv_status(gv), 0);
	assert_int_equal(r->toy->stops, 1);
	assert_false(virtio_has(&r->toy->vdev, 0));
	gv_put(gv, VPCI_COMMON_Q_SELECT, 2, 1);
	assert_int_equal(gv_get(gv, VPCI_COMMON_Q_ENABLE, 2), 0);
	assert_int_equal(gv_get(gv, VPCI_COMMON_Q_SIZE, 2), 256);
	assert_int_equal(gv_get(gv, VPCI_COMMON_Q_DESC, 8), 0);
	assert_int_equal(gv_get(gv, VPCI_COMMON_Q_MSIX, 2), 0xffff);
	/* FAILED stops it. */
	go(r);
	gv_put(gv, VPCI_COMMON_STATUS, 1, 0x8f);
	assert_int_equal(r->toy->stops, 2);
	assert_true(gv_negotiate(gv, &f));
}

static void test_queue_registers(void **state)
{
	struct rig *r = *state;
	struct gv *gv = &r->gv;
	struct virtio_features f = split_features(gv);

	gv_negotiate(gv, &f);
	gv_put(gv, VPCI_COMMON_Q_SELECT, 2, 0);
	assert_int_equal(gv_get(gv, VPCI_COMMON_Q_SIZE, 2), 64);
	gv_put(gv, VPCI_COMMON_Q_SIZE, 2, 128); /* more than offered */
	gv_put(gv, VPCI_COMMON_Q_SIZE, 2, 0);
	assert_int_equal(gv_get(gv, VPCI_COMMON_Q_SIZE, 2), 64);
	gv_put(gv, VPCI_COMMON_Q_SIZE, 2, 32);
	assert_int_equal(gv_get(gv, VPCI_COMMON_Q_SIZE, 2), 32);
	gv_put(gv, VPCI_COMMON_Q_DESC, 8, 0x123456789abcdef0);
	gv_put(gv, VPCI_COMMON_Q_DESC + 4, 4, 0x11);
	assert_int_equal(gv_get(gv, VPCI_COMMON_Q_DESC, 8), 0x119abcdef0);
	assert_int_equal(gv_get(gv, VPCI_COMMON_Q_DESC, 4), 0x9abcdef0);
	gv_put(gv, VPCI_COMMON_Q_DESC, 2, 0xffff); /* not a size to write it by */
	gv_put(gv, VPCI_COMMON_Q_DESC, 1, 0xff);
	assert_int_equal(gv_get(gv, VPCI_COMMON_Q_DESC, 8), 0x119abcdef0);
	/* Any part can be read by any size. */
	assert_int_equal(gv_get(gv, VPCI_COMMON_Q_SELECT, 4), 32 << 16);
	/* A queue that is not there. */
	for (unsigned i = QUEUES; i < 0x10000; i += 0x3fff) {
		gv_put(gv, VPCI_COMMON_Q_SELECT, 2, i);
		assert_int_equal(gv_get(gv, VPCI_COMMON_Q_SIZE, 2), 0);
		gv_put(gv, VPCI_COMMON_Q_SIZE, 2, 8);
		gv_put(gv, VPCI_COMMON_Q_DESC, 8, 0x1000);
		gv_put(gv, VPCI_COMMON_Q_MSIX, 2, 0);
		assert_int_equal(gv_get(gv, VPCI_COMMON_Q_MSIX, 2), 0xffff);
		gv_put(gv, VPCI_COMMON_Q_RESET, 2, 1);
		gv_put(gv, VPCI_COMMON_Q_ENABLE, 2, 1);
		assert_int_equal(gv_get(gv, VPCI_COMMON_Q_ENABLE, 2), 0);
	}
	/* Once enabled, nothing of it changes. */
	gv_queue(gv, 1, 16, 0xffff);
	gv_put(gv, VPCI_COMMON_Q_SIZE, 2, 8);
	gv_put(gv, VPCI_COMMON_Q_DESC, 8, 0);
	gv_put(gv, VPCI_COMMON_Q_ENABLE, 2, 0);
	assert_int_equal(gv_get(gv, VPCI_COMMON_Q_SIZE, 2), 16);
	assert_int_equal(gv_get(gv, VPCI_COMMON_Q_DESC, 8), gv->cfg[1].desc);
	assert_int_equal(gv_get(gv, VPCI_COMMON_Q_ENABLE, 2), 1);
}

/* Rings that are nowhere, misaligned, or of a bad size: the device asks for a reset. */
static void test_bad_rings(void **state)
{
	static const struct {
		uint16_t size;
		uint64_t desc, driver, device;
		bool packed;
	} bad[] = {
		{64, FAKE_RAM, 0x2000, 0x3000},	      {64, 0x1000, FAKE_RAM - 16, 0x3000},
		{64, 0x1000, 0x2000, UINT64_MAX - 3}, {64, 0x1008, 0x2000, 0x3000},
		{64, 0x1000, 0x2001, 0x3000},	      {64, 0x1000, 0x2000, 0x3002},
		{63, 0x1000, 0x2000, 0x3000},	      {64, 0x1000, 0x2002, 0x3000, true},
	};
	struct rig *r = *state;
	struct gv *gv = &r->gv;

	for (unsigned i = 0; i < ARRAY_SIZE(bad); i++) {
		struct virtio_features f = split_features(gv);

		features_set(&f, VIRTIO_F_RING_PACKED, bad[i].packed);
		assert_true(gv_negotiate(gv, &f));
		gv_put(gv, VPCI_COMMON_Q_SELECT, 2, 0);
		gv_put(gv, VPCI_COMMON_Q_SIZE, 2, bad[i].size);
		gv_put(gv, VPCI_COMMON_Q_DESC, 8, bad[i].desc);
		gv_put(gv, VPCI_COMMON_Q_DRIVER, 8, bad[i].driver);
		gv_put(gv, VPCI_COMMON_Q_DEVICE, 8, bad[i].device);
		gv_put(gv, VPCI_COMMON_Q_ENABLE, 2, 1);
		assert_int_equal(gv_get(gv, VPCI_COMMON_Q_ENABLE, 2), 0);
		assert_true(gv_status(gv) & VIRTIO_STATUS_NEEDS_RESET);
	}
	go(r);
	assert_int_equal(r->toy->active, 2);
}

static void test_start_fails(void **state)
{
	struct rig *r = *state;
	struct virtio_features f = split_features(&r->gv);

	r->toy->start_result = -EIO;
	assert_true(gv_negotiate(&r->gv, &f));
	gv_vector(&r->gv, 0, 0x77);
	gv_put(&r->gv, VPCI_COMMON_MSIX, 2, 0);
	gv_driver_ok(&r->gv);
	assert_int_equal(r->toy->starts, 1);
	assert_true(gv_status(&r->gv) & VIRTIO_STATUS_NEEDS_RESET);
	assert_int_equal(fake_sent(&r->h, 0x77), 1);
	r->toy->start_result = 0;
	r->toy->starts = 0;
	gv_put(&r->gv, VPCI_COMMON_STATUS, 1, 0);
	assert_int_equal(r->toy->stops, 0);
	go(r);
}

/* No DMA without bus mastering. */
static void test_bus_master(void **state)
{
	struct rig *r = *state;

	fake_config_write(&r->h, 1, PCI_COMMAND, 2, PCI_COMMAND_MEMORY);
	{
		struct virtio_features f = split_features(&r->gv);

		assert_true(gv_negotiate(&r->gv, &f));
		gv_driver_ok(&r->gv);
	}
	assert_int_equal(r->toy->starts, 0);
	fake_config_write(&r->h, 1, PCI_COMMAND, 2, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
	assert_int_equal(r->toy->starts, 1);
	fake_config_write(&r->h, 1, PCI_COMMAND, 2, PCI_COMMAND_MEMORY);
	assert_int_equal(r->toy->stops, 1);
	virtio_pause(&r->toy->vdev, true);
	fake_config_write(&r->h, 1, PCI_COMMAND, 2, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
	assert_int_equal(r->toy->starts, 1);
	virtio_pause(&r->toy->vdev, false);
	assert_int_equal(r->toy->starts, 2);
}

static void test_kicks(void **state)
{
	struct rig *r = *state;
	struct virtio_queue *q = r->toy->vdev.queues;
	eventfd_t count;

	assert_int_equal(fake_ioeventfds(&r->h), QUEUES);
	go(r);
	gv_kick(&r->gv, 1);
	assert_int_equal(eventfd_read(q[0].kick_fd, &count), -1);
	assert_int_equal(eventfd_read(q[1].kick_fd, &count), 0);
	/* Of any length, and a doorbell of no queue. */
	fake_write(&r->h, r->gv.notify, 0, 1);
	fake_write(&r->h, r->gv.notify + 4 * QUEUES, 0, 2);
	assert_int_equal(eventfd_read(q[0].kick_fd, &count), 0);
	/* They follow the BAR. */
	fake_config_write(&r->h, 1, PCI_COMMAND, 2, PCI_COMMAND_MASTER);
	assert_int_equal(fake_ioeventfds(&r->h), 0);
	fake_config_write(&r->h, 1, PCI_BASE_ADDRESS_5, 4, 0x55);
	fake_config_write(&r->h, 1, PCI_COMMAND, 2, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
	assert_int_equal(fake_ioeventfds(&r->h), QUEUES);
	gv_fini(&r->gv);
	gv_probe(&r->gv, &r->h, 1);
	gv_kick(&r->gv, 2);
	assert_int_equal(eventfd_read(q[2].kick_fd, &count), 0);
	assert_int_equal(r->toy->stops, 0);
}

static uint64_t doorbell(const struct rig *r, unsigned index)
{
	return r->gv.notify + index * (uint64_t)r->gv.multiplier;
}

/* A page of somebody's over a doorbell, wherever the BAR is. */
static void test_page_doorbells(void **state)
{
	static uint8_t pages[2][VPCI_PAGE];
	struct rig *r = *state;
	struct virtio_dev *vdev = &r->toy->vdev;
	const struct virtio_transport *t = vdev->transport;
	eventfd_t count;

	assert_int_equal(r->gv.multiplier, VPCI_PAGE);
	assert_int_equal(r->gv.notify % VPCI_PAGE, 0);
	assert_int_equal(fake_ioeventfds(&r->h), QUEUES);
	go(r);
	gv_kick(&r->gv, 1);
	assert_int_equal(eventfd_read(vdev->queues[1].kick_fd, &count), 0);
	assert_int_equal(t->queue_doorbell(vdev, QUEUES, pages[0]), -EINVAL);
	assert_int_equal(t->queue_doorbell(vdev, 1, pages[0]), 0);
	assert_ptr_equal(fake_mapped(&r->h, doorbell(r, 1), VPCI_PAGE), pages[0]);
	assert_null(fake_mapped(&r->h, doorbell(r, 0), 1));
	assert_null(fake_mapped(&r->h, doorbell(r, 2), 1));
	assert_int_equal(t->queue_doorbell(vdev, 1, pages[1]), 0);
	assert_ptr_equal(fake_mapped(&r->h, doorbell(r, 1), VPCI_PAGE), pages[1]);
	/* It follows the BAR. */
	fake_config_write(&r->h, 1, PCI_COMMAND, 2, PCI_COMMAND_MASTER);
	assert_null(fake_mapped(&r->h, doorbell(r, 1), 1));
	fake_config_write(&r->h, 1, PCI_BASE_ADDRESS_5, 4, 0x55);
	assert_int_equal(t->queue_doorbell(vdev, 2, pages[0]), 0); /* in time for when it is back */
	fake_config_write(&r->h, 1, PCI_COMMAND, 2, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
	gv_fini(&r->gv);
	gv_probe(&r->gv, &r->h, 1);
	assert_ptr_equal(fake_mapped(&r->h, doorbell(r, 1), VPCI_PAGE), pages[1]);
	assert_ptr_equal(fake_mapped(&r->h, doorbell(r, 2), VPCI_PAGE), pages[0]);
	/* The machine took one back; the other goes. */
	r->h.host.ops->unmap_memory(&r->h.host, doorbell(r, 2));
	assert_int_equal(t->queue_doorbell(vdev, 2, NULL), 0);
	assert_int_equal(t->queue_doorbell(vdev, 1, NULL), 0);
	assert_null(fake_mapped(&r->h, doorbell(r, 1), 1));
	/* Where nothing can be mapped there is none. */
	r->h.no_map = true;
	assert_int_equal(t->queue_doorbell(vdev, 1, pages[0]), -ENOTSUP);
	r->h.no_map = false;
	assert_int_equal(t->queue_doorbell(vdev, 1, pages[0]), 0);
	pci_bus_reset(r->h.pci);
	assert_null(fake_mapped(&r->h, doorbell(r, 1), 1));
}

/* Small doorbells share a page, which nobody else's can take the place of. */
static void test_no_page_doorbells(void **state)
{
	static uint8_t page[VPCI_PAGE];
	struct rig *r = *state;
	struct virtio_dev *vdev = &r->toy->vdev;

	assert_int_equal(r->gv.multiplier, VPCI_MULTIPLIER);
	assert_int_equal(vdev->transport->queue_doorbell(vdev, 1, page), -ENOTSUP);
	assert_int_equal(vdev->transport->queue_doorbell(vdev, 1, NULL), 0);
}

static void test_kicks_without_ioeventfd(void **state)
{
	struct rig *r = *state;
	eventfd_t count;

	fake_config_write(&r->h, 1, PCI_COMMAND, 2, 0);
	r->h.no_ioeventfd = true;
	fake_config_write(&r->h, 1, PCI_COMMAND, 2, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
	go(r);
	gv_kick(&r->gv, 1);
	assert_int_equal(eventfd_read(r->toy->vdev.queues[1].kick_fd, &count), 0);
	fake_write(&r->h, r->gv.notify + 4 * QUEUES, 0, 2);
	fake_write(&r->h, r->gv.notify + 4, 1, 4);
	assert_int_equal(eventfd_read(r->toy->vdev.queues[1].kick_fd, &count), 0);
}

static void test_vectors(void **state)
{
	struct rig *r = *state;
	struct gv *gv = &r->gv;

	gv_vector(gv, 0, 0x100);
	gv_vector(gv, 1, 0x101);
	gv_vector(gv, 2, 0x102);
	go(r); /* queue 0 on vector 0, queue 1 on vector 1 */
	assert_int_equal(fake_irqfds(&r->h), 2);
	eventfd_write(r->toy->vdev.queues[1].call_fd, 1);
	fake_pump(&r->h);
	assert_int_equal(fake_sent(&r->h, 0x101), 1);
	assert_int_equal(r->h.nsent, 1);
	/* Another vector, none, one that is not there. */
	gv_put(gv, VPCI_COMMON_Q_SELECT, 2, 1);
	gv_put(gv, VPCI_COMMON_Q_MSIX, 2, 2);
	eventfd_write(r->toy->vdev.queues[1].call_fd, 1);
	fake_pump(&r->h);
	assert_int_equal(fake_sent(&r->h, 0x102), 1);
	gv_put(gv, VPCI_COMMON_Q_MSIX, 2, QUEUES + 1);
	assert_int_equal(gv_get(gv, VPCI_COMMON_Q_MSIX, 2), 0xffff);
	assert_int_equal(fake_irqfds(&r->h), 1);
	gv_put(gv, VPCI_COMMON_MSIX, 2, QUEUES + 1);
	assert_int_equal(gv_get(gv, VPCI_COMMON_MSIX, 2), 0xffff);
	gv_put(gv, VPCI_COMMON_MSIX, 2, 0);
	assert_int_equal(gv_get(gv, VPCI_COMMON_MSIX, 2), 0);
	virtio_config_update(&r->toy->vdev, 0, "zz", 2);
	assert_int_equal(fake_sent(&r->h, 0x100), 1);
	/* Nothing is raised as INTx meanwhile. */
	assert_int_equal(fake_read(&r->h, gv->isr, 1), 0);
	assert_int_equal(r->h.line_changes, 0);
	/* Reset lets go of the vectors. */
	gv_put(gv, VPCI_COMMON_STATUS, 1, 0);
	assert_int_equal(fake_irqfds(&r->h), 0);
	assert_int_equal(gv_get(gv, VPCI_COMMON_MSIX, 2), 0xffff);
}

static void test_intx(void **state)
{
	struct rig *r = *state;
	struct gv *gv = &r->gv;

	go(r);
	eventfd_write(r->toy->vdev.queues[0].call_fd, 1);
	fake_pump(&r->h);
	assert_true(r->h.lines[17]);
	assert_int_equal(fake_read(&r->h, gv->isr, 1), VPCI_ISR_QUEUE);
	assert_false(r->h.lines[17]);
	assert_int_equal(fake_read(&r->h, gv->isr, 1), 0);
	virtio_config_update(&r->toy->vdev, 0, "yy", 2);
	eventfd_write(r->toy->vdev.queues[1].call_fd, 1);
	fake_pump(&r->h);
	assert_int_equal(fake_read(&r->h, gv->isr, 1), VPCI_ISR_QUEUE | VPCI_ISR_CONFIG);
	/* Raised, then reset. */
	virtio_needs_reset(&r->toy->vdev);
	assert_true(r->h.lines[17]);
	gv_put(gv, VPCI_COMMON_STATUS, 1, 0);
	assert_false(r->h.lines[17]);
	/* From INTx to MSI-X and back. */
	go(r);
	gv_vector(gv, 0, 0x90);
	eventfd_write(r->toy->vdev.queues[0].call_fd, 1);
	fake_pump(&r->h);
	assert_int_equal(fake_sent(&r->h, 0x90), 1);
	assert_false(r->h.lines[17]);
	fake_config_write(&r->h, 1, gv->msix_cap + PCI_MSIX_FLAGS, 2, 0);
	eventfd_write(r->toy->vdev.queues[0].call_fd, 1);
	fake_pump(&r->h);
	assert_true(r->h.lines[17]);
	assert_int_equal(fake_read(&r->h, gv->isr, 1), VPCI_ISR_QUEUE);
}

static void test_config_space(void **state)
{
	struct rig *r = *state;
	struct gv *gv = &r->gv;
	uint64_t gen;

	go(r);
	assert_int_equal(fake_read(&r->h, gv->device, 4), 0x13121110);
	assert_int_equal(fake_read(&r->h, gv->device + 8, 8), 0x1918);
	assert_int_equal(fake_read(&r->h, gv->device + 0x800, 8), 0);
	fake_write(&r->h, gv->device + 8, 0xffff, 2);
	assert_int_equal(fake_read(&r->h, gv->device + 8, 2), 0x1f18);
	assert_int_equal(r->toy->config_writes, 1);
	fake_write(&r->h, gv->device + 0x900, 0xffff, 2);
	/* The generation changes between two looks iff config did. */
	gen = gv_get(gv, VPCI_COMMON_CFGGENERATION, 1);
	assert_int_equal(gv_get(gv, VPCI_COMMON_CFGGENERATION, 1), gen);
	virtio_config_update(&r->toy->vdev, 2, "ab", 2);
	assert_int_not_equal(gv_get(gv, VPCI_COMMON_CFGGENERATION, 1), gen);
	gen = gv_get(gv, VPCI_COMMON_CFGGENERATION, 1);
	virtio_config_update(&r->toy->vdev, 2, "ab", 2);
	assert_int_equal(gv_get(gv, VPCI_COMMON_CFGGENERATION, 1), gen);
}

static void window(struct rig *r, unsigned bar, uint32_t offset, uint32_t len)
{
	fake_config_write(&r->h, 1, r->gv.cfg_cap + 4, 1, bar);
	fake_config_write(&r->h, 1, r->gv.cfg_cap + 8, 4, offset);
	fake_config_write(&r->h, 1, r->gv.cfg_cap + 12, 4, len);
}

/* The same registers by way of config space (4.1.4.9). */
static void test_window(void **state)
{
	struct rig *r = *state;
	unsigned data = r->gv.cfg_cap + 16;
	uint32_t common = (uint32_t)(r->gv.common - r->toy->pci.bars[VPCI_BAR].addr);

	go(r);
	window(r, VPCI_BAR, common + VPCI_COMMON_STATUS, 1);
	assert_int_equal(fake_config_read(&r->h, 1, data, 1), 0x0f);
	fake_config_write(&r->h, 1, data, 1, 0);
	assert_int_equal(r->toy->stops, 1); /* it has happened when the write returns */
	assert_int_equal(fake_config_read(&r->h, 1, data, 4) & 0xff, 0);
	window(r, VPCI_BAR, common + VPCI_COMMON_NUMQ, 2);
	assert_int_equal(fake_config_read(&r->h, 1, data, 2), QUEUES);
	/* Nonsense is ignored. */
	window(r, 0, common, 4);
	fake_config_write(&r->h, 1, data, 4, 1);
	window(r, VPCI_BAR, common + 1, 4);
	fake_config_write(&r->h, 1, data, 4, 1);
	window(r, VPCI_BAR, VPCI_BAR_SIZE, 4);
	fake_config_write(&r->h, 1, data, 4, 1);
	fake_config_read(&r->h, 1, data, 4);
	window(r, VPCI_BAR, 0xfffffffc, 4);
	fake_config_read(&r->h, 1, data, 4);
	window(r, VPCI_BAR, common, 3);
	fake_config_read(&r->h, 1, data, 4);
}

static void test_queue_reset(void **state)
{
	struct rig *r = *state;
	struct gv *gv = &r->gv;
	struct virtio_features f;

	go(r);
	gv_put(gv, VPCI_COMMON_Q_SELECT, 2, 1);
	gv_put(gv, VPCI_COMMON_Q_RESET, 2, 1);
	assert_int_equal(gv_get(gv, VPCI_COMMON_Q_RESET, 2), 0);
	assert_int_equal(gv_get(gv, VPCI_COMMON_Q_ENABLE, 2), 0);
	assert_int_equal(gv_get(gv, VPCI_COMMON_Q_SIZE, 2), 256);
	assert_int_equal(r->toy->queue_stops, 1);
	/* And enabled again, with another size. */
	gv_queue(gv, 1, 32, 1);
	assert_int_equal(r->toy->queue_starts, 1);
	/* A device that cannot do it one by one is restarted. */
	r->toy->queue_result = -ENOTSUP;
	gv_put(gv, VPCI_COMMON_Q_RESET, 2, 1);
	assert_int_equal(gv_get(gv, VPCI_COMMON_Q_ENABLE, 2), 0);
	assert_int_equal(r->toy->starts, 2);
	assert_int_equal(r->toy->active, 1);
	gv_queue(gv, 1, 32, 1);
	assert_int_equal(r->toy->starts, 3);
	assert_int_equal(r->toy->active, 2);
	assert_int_equal(gv_status(gv), 0x0f);
	/* Not without the feature, and not a queue that is not enabled. */
	f = split_features(gv);
	features_set(&f, VIRTIO_F_RING_RESET, false);
	assert_true(gv_negotiate(gv, &f));
	gv_queue(gv, 0, 0, 0xffff);
	gv_put(gv, VPCI_COMMON_Q_RESET, 2, 1);
	assert_int_equal(gv_get(gv, VPCI_COMMON_Q_ENABLE, 2), 1);
}

/* A queue that is enabled only after DRIVER_OK. */
static void test_late_queue(void **state)
{
	struct rig *r = *state;

	go(r);
	gv_queue(&r->gv, 2, 0, 0xffff);
	assert_int_equal(r->toy->queue_starts, 1);
	r->toy->queue_result = 0;
	gv_put(&r->gv, VPCI_COMMON_STATUS, 1, 0);
	assert_int_equal(r->toy->stops, 1);
}

static void test_machine_reset(void **state)
{
	struct rig *r = *state;

	go(r);
	pci_bus_reset(r->h.pci);
	assert_int_equal(r->toy->stops, 1);
	assert_int_equal(fake_ioeventfds(&r->h), 0);
	gv_fini(&r->gv);
	gv_probe(&r->gv, &r->h, 1);
	assert_int_equal(gv_status(&r->gv), 0);
	go(r);
}

/*
 * vCPUs in threads of their own, the control thread in the loop.
 */

struct guest_thread {
	struct rig *r;
	atomic_bool done;
	unsigned rounds;
};

static void *driver_thread(void *arg)
{
	struct guest_thread *t = arg;

	for (unsigned i = 0; i < t->rounds; i++) {
		struct gv *gv = &t->r->gv;
		struct virtio_features f = split_features(gv);

		assert_true(gv_negotiate(gv, &f));
		gv_queue(gv, 0, 0, 0);
		gv_driver_ok(gv);
		assert_true(READ_ONCE(t->r->toy->starts) == i + 1);
		gv_put(gv, VPCI_COMMON_Q_SELECT, 2, 0);
		gv_put(gv, VPCI_COMMON_Q_RESET, 2, 1);
		assert_int_equal(gv_get(gv, VPCI_COMMON_Q_ENABLE, 2), 0);
		gv_put(gv, VPCI_COMMON_STATUS, 1, 0);
		assert_int_equal(gv_status(gv), 0);
		assert_true(READ_ONCE(t->r->toy->stops) == i + 1);
		gv->next_gpa = MIB;
	}
	t->done = true;
	loop_stop(t->r->h.host.loop);
	return NULL;
}

static void test_vcpu_waits(void **state)
{
	struct rig *r = *state;
	struct guest_thread t = {.r = r, .rounds = 200};
	pthread_t thread;

	assert_int_equal(pthread_create(&thread, NULL, driver_thread, &t), 0);
	while (!t.done)
		loop_run_once(r->h.host.loop, 100);
	pthread_join(thread, NULL);
	assert_int_equal(r->toy->stops, t.rounds);
}

/* Two vCPUs write whatever they like, the control thread takes part. */
static void *hostile_thread(void *arg)
{
	struct guest_thread *t = arg;
	unsigned seed = (unsigned)(uintptr_t)&seed;

	for (unsigned i = 0; i < t->rounds; i++) {
		unsigned reg = (unsigned)rand_r(&seed) % VPCI_COMMON_SIZE;
		static const uint8_t status[] = {0, 1, 3, 0x0b, 0x0f, 0x8f};
		unsigned size = 1u << (unsigned)rand_r(&seed) % 4;

		if (i % 7 == 0)
			gv_put(&t->r->gv, VPCI_COMMON_STATUS, 1,
			       status[(unsigned)rand_r(&seed) % sizeof(status)]);
		else if (i % 2)
			gv_put(&t->r->gv, reg & ~(size - 1), size, (uint64_t)rand_r(&seed) % 4);
		else
			gv_get(&t->r->gv, reg & ~(size - 1), size);
		if (i % 101 == 0)
			fake_config_write(&t->r->h, 1, PCI_COMMAND, 2, (uint32_t)rand_r(&seed) % 8);
	}
	return NULL;
}

static void *finish(void *arg)
{
	struct guest_thread *t = arg;
	pthread_t threads[2];

	for (unsigned i = 0; i < 2; i++)
		pthread_create(&threads[i], NULL, hostile_thread, t);
	for (unsigned i = 0; i < 2; i++)
		pthread_join(threads[i], NULL);
	t->done = true;
	return NULL;
}

static void test_hostile_threads(void **state)
{
	struct rig *r = *state;
	struct guest_thread t = {.r = r, .rounds = 3000};
	pthread_t thread;

	assert_int_equal(pthread_create(&thread, NULL, finish, &t), 0);
	while (!t.done) {
		loop_run_once(r->h.host.loop, 1);
		virtio_config_update(&r->toy->vdev, 0, r->toy->starts % 2 ? "a" : "b", 1);
		if (r->toy->starts % 5 == 0)
			virtio_needs_reset(&r->toy->vdev);
	}
	pthread_join(thread, NULL);
}

/* The device is taken away while a vCPU waits for the control thread. */
static void *reset_thread(void *arg)
{
	struct guest_thread *t = arg;

	gv_put(&t->r->gv, VPCI_COMMON_STATUS, 1, 0);
	t->done = true;
	return NULL;
}

static void test_remove_while_waiting(void **state)
{
	struct rig *r = *state;
	struct guest_thread t = {.r = r};
	uint64_t start = clock_ns();
	bool waiting;
	pthread_t thread;

	go(r);
	assert_int_equal(pthread_create(&thread, NULL, reset_thread, &t), 0);
	do {
		pthread_mutex_lock(&r->toy->vdev.lock);
		waiting = r->toy->vdev.reset_wanted;
		pthread_mutex_unlock(&r->toy->vdev.lock);
	} while (!waiting);
	pci_bus_remove(r->h.pci, &r->toy->pci);
	pthread_join(thread, NULL);
	assert_true(t.done);
	assert_true(clock_ns() - start < 500 * NSEC_PER_MSEC);
}

#define T(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_identity),
		T(test_features),
		T(test_status),
		T(test_queue_registers),
		T(test_bad_rings),
		T(test_start_fails),
		T(test_bus_master),
		T(test_kicks),
		T(test_no_page_doorbells),
		cmocka_unit_test_setup_teardown(test_page_doorbells, setup_pages, teardown),
		T(test_kicks_without_ioeventfd),
		T(test_vectors),
		T(test_intx),
		T(test_config_space),
		T(test_window),
		T(test_queue_reset),
		T(test_late_queue),
		T(test_machine_reset),
		T(test_vcpu_waits),
		T(test_hostile_threads),
		T(test_remove_while_waiting),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
