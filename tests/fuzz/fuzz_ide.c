/* SPDX-License-Identifier: Apache-2.0 */
/* IDE: any access to its ports, in any order, with any descriptors for the bus master. */
#include "fuzz_disk.h"

#include "device/ide.h"

#include <linux/pci_regs.h>

static struct fuzz_disk d;

static void access_port(uint16_t port, struct fuzz_input *in)
{
	uint8_t how = fuzz_u8(in);
	uint32_t value = fuzz_u16(in);
	unsigned size = how & 1 ? 1 : how & 2 ? 2 : 4;

	if (how & 4)
		bus_read(d.host.pio, port, &value, size);
	else
		bus_write(d.host.pio, port, &value, size);
}

/* A command with its registers; data in and out as far as it goes. */
static void command(struct fuzz_input *in)
{
	uint32_t words = fuzz_u8(in) * 8u;

	for (uint16_t reg = 1; reg < 8; reg++) {
		uint8_t value = fuzz_u8(in);

		bus_write(d.host.pio, 0x1f0 + reg, &value, 1);
	}
	for (uint32_t value = 0; words; words--)
		bus_write(d.host.pio, 0x1f0, &value, 4);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_input in = {data, size};
	struct ide_channel *ch;
	uint16_t bm;

	if (!d.disk) {
		fuzz_disk_make(&d, "model=ide");
		fake_config_write(&d.host, 1, PCI_COMMAND, 2, PCI_COMMAND_IO | PCI_COMMAND_MASTER);
	}
	ch = container_of(d.pci, struct ide, pci)->channels[0];
	disk_worker_park(&ch->worker);
	pthread_mutex_lock(&ch->lock);
	ide_control(ch, ATA_C_SRST);
	ide_control(ch, 0);
	ch->bm_command = ch->bm_status = 0;
	pthread_mutex_unlock(&ch->lock);
	bm = (uint16_t)(fake_config_read(&d.host, 1, PCI_BASE_ADDRESS_4, 4) & ~3u);
	while (in.left) {
		uint8_t what = fuzz_u8(&in), bytes[16];

		if (what < 0x40) {
			access_port((uint16_t)(0x1f0 + what % 8), &in);
		} else if (what < 0x60) {
			access_port((uint16_t)(bm + what % 8), &in);
		} else if (what < 0x68) {
			access_port(0x3f6, &in);
		} else if (what < 0xa0) {
			fuzz_bytes(&in, bytes, sizeof(bytes));
			(void)mem_write(guest_mem_table(d.host.mem), fuzz_u8(&in) * 8u, bytes,
					sizeof(bytes));
		} else {
			command(&in);
		}
		fuzz_disk_run(&ch->worker);
		fuzz_assert(ch->len <= IDE_BUFFER);
		if (ch->phase == IDE_PIO_IN || ch->phase == IDE_PIO_OUT)
			fuzz_assert(ch->at < ch->end && ch->end <= ch->len);
	}
	fuzz_assert(lseek(d.image, 0, SEEK_END) == FUZZ_IMAGE);
	return 0;
}
