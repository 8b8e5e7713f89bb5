/* SPDX-License-Identifier: Apache-2.0 */
/* virtio-blk's requests: any chain, any bytes. */
#include "fuzz_disk.h"

#include "device/virtio_blk.h"

static struct fuzz_disk d;
static struct gv gv;

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_input in = {data, size};
	struct disk_vq *q;

	if (!d.disk)
		fuzz_disk_make(&d, "queue-size=16,seg-max=8");
	q = ((struct virtio_blk *)d.disk)->queues;
	fuzz_disk_start(&d, &gv, 1, q, &in);
	while (in.left && q->running) {
		if (fuzz_u8(&in) < 0x08)
			fake_write(&d.host, gv.device + fuzz_u8(&in) % 64, fuzz_u8(&in), 1);
		fuzz_disk_chain(&gv, 0, &in);
		fuzz_disk_run(&q->worker);
		fuzz_disk_drain(&gv, 0);
	}
	fuzz_assert(d.disk->block->size == FUZZ_IMAGE);
	fuzz_assert(lseek(d.image, 0, SEEK_END) == FUZZ_IMAGE);
	return 0;
}
