/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a guest can do to a passed-through device: config space by ECAM, BARs and MSI-X's table,
 * power states, resets, beside a device that raises interrupts and a host that takes it back. The
 * first bytes of the input go into the device's own config space, as a device may say anything. The
 * fakes abort on what a kernel would refuse, and on anything left behind.
 */
#include "fuzz.h"

#include "../unit/fake_host.h"
#include "../unit/fake_vfio.h"
#include "base/log.h"
#include "device/vfio_pci.h"

#include <linux/pci_regs.h>
#include <stdlib.h>
#include <sys/eventfd.h>

#define SLOT 3
#define ADDR "0000:01:00.0"

static struct fake_host host;
static struct fake_vfio_dev pristine, *fake;
static struct vfio_pci *vp;

static uint32_t fuzz_u32(struct fuzz_input *in)
{
	return fuzz_u16(in) | (uint32_t)fuzz_u16(in) << 16;
}

static void config_access(struct fuzz_input *in)
{
	unsigned reg = fuzz_u16(in) % 0x1c0, size = 1U << fuzz_u8(in) % 3;
	uint32_t value = fuzz_u32(in);

	if (value & 1)
		fake_config_write(&host, SLOT, reg & ~(size - 1), size, value);
	else
		fake_config_read(&host, SLOT, reg & ~(size - 1), size);
}

/* The registers that matter most, by their meaning. */
static void likely_config(struct fuzz_input *in)
{
	static const struct {
		uint16_t reg;
		uint8_t size;
	} likely[] = {{PCI_COMMAND, 2},
		      {PCI_BASE_ADDRESS_0, 4},
		      {PCI_BASE_ADDRESS_3, 4},
		      {0x44, 2},
		      {0x52, 2},
		      {0x54, 4},
		      {0x5c, 2},
		      {0x60, 4},
		      {0x72, 2},
		      {0xa8, 2}};
	unsigned i = fuzz_u8(in) % ARRAY_SIZE(likely);
	uint32_t value = fuzz_u16(in);

	if (likely[i].size == 4)
		value = value << 16 | (value & 0xf);
	fake_config_write(&host, SLOT, likely[i].reg, likely[i].size, value);
}

static void bar_access(struct fuzz_input *in)
{
	unsigned bar = fuzz_u8(in) % 4, size = 1U << fuzz_u8(in) % 4;
	uint64_t at = vp->nic.pci.bars[bar].addr + fuzz_u16(in), value = fuzz_u32(in);
	struct bus *bus = vp->nic.pci.bars[bar].kind == PCI_BAR_IO ? host.pio : host.mmio;

	if (!at || fake_mapped(&host, at, size))
		return;
	if (value & 1)
		bus_write(bus, at, &value, size);
	else
		bus_read(bus, at, &value, size);
}

static void table_access(struct fuzz_input *in)
{
	uint64_t at = vp->nic.pci.bars[3].addr + fuzz_u8(in) % 11 * 16;

	if (!vp->nic.pci.bars[3].mapped || fake_mapped(&host, at, 16))
		return;
	fake_write(&host, at, 0xfee00000 | fuzz_u16(in), 8);
	fake_write(&host, at + 8, fuzz_u16(in) | (uint64_t)(fuzz_u8(in) & 1) << 32, 8);
}

static void something_else(struct fuzz_input *in)
{
	uint8_t what = fuzz_u8(in);

	if (what < 0xa0)
		fake_vfio_raise(fake, what % 12);
	else if (what < 0xe0)
		fake_pump(&host);
	else if (what < 0xf8)
		pci_bus_reset(host.pci);
	else if (fake->request_fd >= 0 && !vp->gone)
		(void)eventfd_write(fake->request_fd, 1);
}

static void begin(struct fuzz_input *in)
{
	uint8_t flags = fuzz_u8(in);

	fake_host_init(&host);
	host.no_irqfd = flags & 1;
	host.no_map = flags & 2;
	host.has_irqfd_line = flags & 4;
	*fake = pristine;
	fake->irqs_grow = flags & 8;
	for (unsigned n = flags >> 4; n; n--) {
		uint16_t at = fuzz_u16(in) % sizeof(fake->config);

		/* The fake takes BARs from its own description. */
		if (at < PCI_BASE_ADDRESS_0 || at > PCI_BASE_ADDRESS_5 + 3)
			fake->config[at] = fuzz_u8(in);
	}
}

/* Takes the made-up sysfs away. */
static void end(void)
{
	fake_vfio_fini();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static void (*const steps[])(struct fuzz_input *) = {config_access, likely_config,
							     likely_config, bar_access,
							     table_access,  something_else};
	struct vfio_pci_params params = {.id = "dev0", .addr = ADDR, .sys = &fake_vfio_sys};
	struct fuzz_input in = {data, size};
	struct error err;

	log_set_level(LOG_LEVEL_ERROR);
	if (!fake) {
		fake_vfio_init();
		fake = fake_vfio_add(ADDR, FAKE_PF, 7);
		pristine = *fake;
		(void)atexit(end);
	}
	begin(&in);
	params.host = &host.host;
	params.mem = host.mem;
	params.loop = host.host.loop;
	if (!vfio_pci_create(&params, &vp, &err)) {
		fuzz_assert(!pci_bus_add(host.pci, &vp->nic.pci, SLOT, 0, &err));
		while (in.left)
			steps[fuzz_u8(&in) % ARRAY_SIZE(steps)](&in);
	}
	fake_host_fini(&host);
	fuzz_assert(!fake_vfio.open_files);
	return 0;
}
