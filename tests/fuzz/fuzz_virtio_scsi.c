/* SPDX-License-Identifier: Apache-2.0 */
/* virtio-scsi's requests and its control queue: any chain, any bytes, sizes as the driver likes. */
#include "fuzz_disk.h"

#include "device/virtio_scsi.h"

static struct fuzz_disk d;
static struct gv gv;

static void well_formed(struct fuzz_input *in)
{
	struct vdrv_sg sg[4] = {{0, 51}, {0x1000, 108}};
	uint8_t head[51] = {1, 0, 0x40};
	bool out = fuzz_u8(in) & 1;
	uint16_t len = fuzz_u16(in);

	fuzz_bytes(in, head + 19, 16);
	(void)mem_write(guest_mem_table(gv.h->mem), 0, head, sizeof(head));
	if (len && out) {
		sg[2] = sg[1];
		sg[1] = (struct vdrv_sg){0x2000, len};
	} else if (len) {
		sg[2] = (struct vdrv_sg){0x2000, len};
	}
	if (!vdrv_add(gv.drv[VSCSI_QUEUE_FIRST], sg, len && out ? 2 : 1, len && !out ? 2 : 1, false,
		      0, &gv))
		(void)vdrv_publish(gv.drv[VSCSI_QUEUE_FIRST]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_input in = {data, size};
	struct disk_vq *q;

	if (!d.disk)
		fuzz_disk_make(&d, "model=virtio-scsi,queue-size=16,seg-max=8");
	q = container_of(d.pci, struct virtio_scsi, pci)->queues;
	fuzz_disk_start(&d, &gv, 3, q, &in);
	while (in.left && q->running) {
		uint8_t what = fuzz_u8(&in);

		if (what < 0x10) {
			fake_write(&d.host, gv.device + 20 + fuzz_u8(&in) % 8, fuzz_u8(&in), 1);
		} else if (what < 0x30) {
			fuzz_disk_chain(&gv, VSCSI_QUEUE_CONTROL, &in);
			gv_kick(&gv, VSCSI_QUEUE_CONTROL);
			fake_pump(&d.host);
			disk_worker_park(&q->worker); /* task management lets it go */
			fuzz_disk_drain(&gv, VSCSI_QUEUE_CONTROL);
		} else if (what < 0xa0) {
			well_formed(&in);
		} else {
			fuzz_disk_chain(&gv, VSCSI_QUEUE_FIRST, &in);
		}
		if (!q->running)
			break;
		fuzz_disk_run(&q->worker);
		fuzz_disk_drain(&gv, VSCSI_QUEUE_FIRST);
	}
	fuzz_assert(d.disk->block->size == FUZZ_IMAGE);
	fuzz_assert(lseek(d.image, 0, SEEK_END) == FUZZ_IMAGE);
	return 0;
}
