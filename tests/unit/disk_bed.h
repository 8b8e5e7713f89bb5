/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_DISK_BED_H
#define TESTS_DISK_BED_H

#include "unit.h"

#include "device/disk.h"
#include "guest_virtio.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* A disk on a file of its own, in a machine without KVM, and a guest's driver for it. */
#define BED_SIZE (4 * MIB)

struct disk_bed {
	struct fake_host h;
	struct disk_home home;
	struct disk *disk;
	struct pci_dev *pci;
	struct gv gv;
	char path[64];
	int fd; /* the image, past the disk */
	unsigned next_slot;
};

/* Data that depend on a seed. */
static inline void fill(uint8_t *p, size_t len, uint8_t seed)
{
	for (size_t i = 0; i < len; i++)
		p[i] = (uint8_t)(seed + i * 7 + i / 251);
}

static inline void bed_image(struct disk_bed *b, uint64_t size)
{
	snprintf(b->path, sizeof(b->path), "/tmp/viaduct-disk.XXXXXX");
	b->fd = mkstemp(b->path);
	assert_true(b->fd >= 0);
	assert_int_equal(ftruncate(b->fd, (off_t)size), 0);
}

static inline int bed_try(struct disk_bed *b, const char *options, struct error *err)
{
	char text[512];

	snprintf(text, sizeof(text), "path=%s%s%s", b->path, *options ? "," : "", options);
	b->home.host = &b->h.host;
	b->home.mem = b->h.mem;
	b->home.loop = b->h.host.loop;
	b->home.pio = b->h.pio;
	return disk_create(text, 0, &b->home, &b->disk, &b->pci, err);
}

static inline struct disk_bed *bed_new(void)
{
	struct disk_bed *b = calloc(1, sizeof(*b));

	assert_non_null(b);
	fake_host_init(&b->h);
	b->next_slot = 1;
	bed_image(b, BED_SIZE);
	return b;
}

/* A disk with these options, plugged in. */
static inline struct disk_bed *bed_with(const char *options)
{
	struct disk_bed *b = bed_new();
	struct error err = {0};

	if (bed_try(b, options, &err))
		fail_msg("%s", err.text);
	assert_int_equal(pci_bus_add(b->h.pci, b->pci, (int)b->next_slot++, 0, &err), 0);
	gv_probe(&b->gv, &b->h, 1);
	return b;
}

static inline void bed_free(struct disk_bed *b)
{
	gv_fini(&b->gv);
	fake_host_fini(&b->h);
	if (b->fd >= 0)
		close(b->fd);
	unlink(b->path);
	free(b);
}

/* The driver starts: these features but these, nqueues queues. */
static inline void bed_start(struct disk_bed *b, unsigned nqueues, const unsigned *without)
{
	struct virtio_features f = gv_offered(&b->gv);

	for (; without && *without; without++)
		features_set(&f, *without, false);
	assert_true(gv_negotiate(&b->gv, &f));
	for (unsigned i = 0; i < nqueues; i++)
		gv_queue(&b->gv, i, 0, VIRTIO_NO_VECTOR);
	gv_driver_ok(&b->gv);
	fake_pump(&b->h);
}

/* Waits for one used buffer of a queue. Returns what was written. */
static inline uint32_t bed_wait(struct disk_bed *b, unsigned queue, void **cookie)
{
	uint32_t written = 0;
	void *which = NULL;

	for (unsigned i = 0; i < PATIENCE_MS; i++) {
		int n = vdrv_get(b->gv.drv[queue], &which, &written);

		assert_true(n >= 0);
		if (n == 1) {
			if (cookie)
				*cookie = which;
			return written;
		}
		usleep(1000);
	}
	fail_msg("the request was not answered");
	return 0;
}

static inline void bed_send(struct disk_bed *b, unsigned queue, const struct vdrv_sg *sg,
			    unsigned out, unsigned in, void *cookie)
{
	assert_int_equal(vdrv_add(b->gv.drv[queue], sg, out, in, false, 0, cookie), 0);
	if (vdrv_publish(b->gv.drv[queue]))
		gv_kick(&b->gv, queue);
}

/* One chain, and its answer. */
static inline uint32_t bed_chain(struct disk_bed *b, unsigned queue, const struct vdrv_sg *sg,
				 unsigned out, unsigned in)
{
	bed_send(b, queue, sg, out, in, b);
	return bed_wait(b, queue, NULL);
}

#endif
