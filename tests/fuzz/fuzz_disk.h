/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_FUZZ_DISK_H
#define TESTS_FUZZ_DISK_H

#include "fuzz.h"

#include "../unit/fake_host.h"
#include "../unit/guest_virtio.h"
#include "base/log.h"
#include "device/disk.h"
#include "device/disk_vq.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

/*
 * A disk on a memory file, made once and reset for each input. Its workers are parked, and the
 * target takes their steps itself, so that an input does the same each time.
 */
#define FUZZ_IMAGE MIB
#define FUZZ_AREA  (256 * KIB) /* of guest memory, where requests are */

struct fuzz_disk {
	struct fake_host host;
	struct disk_home home;
	struct disk *disk;
	struct pci_dev *pci;
	int image;
};

static inline void fuzz_disk_make(struct fuzz_disk *d, const char *options)
{
	struct error err = {0};
	char text[128];

	log_set_level(LOG_LEVEL_ERROR);
	fake_host_init(&d->host);
	d->image = memfd_create("fuzz", MFD_CLOEXEC);
	fuzz_assert(d->image >= 0 && !ftruncate(d->image, FUZZ_IMAGE));
	d->home = (struct disk_home){.host = &d->host.host,
				     .mem = d->host.mem,
				     .loop = d->host.host.loop,
				     .pio = d->host.pio};
	snprintf(text, sizeof(text), "path=/proc/self/fd/%d,%s", d->image, options);
	if (disk_create(text, 0, &d->home, &d->disk, &d->pci, &err)) {
		fprintf(stderr, "%s\n", err.text);
		abort();
	}
	fuzz_assert(!pci_bus_add(d->host.pci, d->pci, 1, 0, &err));
}

/* Takes the worker's steps until there is nothing left to do. */
static inline void fuzz_disk_run(struct disk_worker *w)
{
	/* The kernel's own threads carry some out, when they come to it. */
	for (unsigned idle = 0; idle < 200000;) {
		if (w->ops->step(w, true))
			continue;
		if (!w->ops->busy(w))
			return;
		if (idle++ > 100)
			usleep(100);
	}
	fuzz_assert(!"a request never ends");
}

/* The driver starts afresh, with features as the input has it. */
static inline void fuzz_disk_start(struct fuzz_disk *d, struct gv *gv, unsigned queues,
				   struct disk_vq *q, struct fuzz_input *in)
{
	struct virtio_features f;

	gv_fini(gv);
	gv_probe(gv, &d->host, 1);
	gv->next_gpa = 2 * MIB;
	f = gv_offered(gv);
	for (uint8_t n = fuzz_u8(in) % 4; n; n--)
		features_set(&f, fuzz_u8(in) % 41, false);
	features_set(&f, VIRTIO_F_VERSION_1, true);
	if (!gv_negotiate(gv, &f))
		return;
	for (unsigned i = 0; i < queues; i++)
		gv_queue(gv, i, 16, VIRTIO_NO_VECTOR);
	gv_driver_ok(gv);
	disk_worker_park(&q->worker);
}

/* A chain of the input's, on any layout, with head bytes of it put where the chain begins. */
static inline void fuzz_disk_chain(struct gv *gv, unsigned queue, struct fuzz_input *in)
{
	const struct mem_table *table = guest_mem_table(gv->h->mem);
	struct vdrv_sg sg[12];
	uint8_t head[96], parts = fuzz_u8(in);
	unsigned out = parts % 6, ins = parts / 6 % 6, len = fuzz_u8(in) % sizeof(head), at = 0;

	for (unsigned i = 0; i < out + ins; i++) {
		sg[i].gpa = fuzz_u16(in) % (FUZZ_AREA - 0x10000);
		sg[i].len = fuzz_u8(in) & 1 ? fuzz_u16(in) : fuzz_u8(in);
	}
	fuzz_bytes(in, head, len);
	for (unsigned i = 0; i < out && at < len; i++) {
		unsigned n = MIN(sg[i].len, len - at);

		(void)mem_write(table, sg[i].gpa, head + at, n);
		at += n;
	}
	if (out + ins && !vdrv_add(gv->drv[queue], sg, out, ins, false, 0, gv))
		(void)vdrv_publish(gv->drv[queue]);
}

static inline void fuzz_disk_drain(struct gv *gv, unsigned queue)
{
	void *cookie;
	uint32_t len;

	while (vdrv_get(gv->drv[queue], &cookie, &len) > 0)
		;
}

#endif
