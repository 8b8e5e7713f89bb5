/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a guest can do to PCI: config space by both ways in, BARs moved anywhere, MSI-X tables and
 * masks, beside a device that signals and drives INTx. The host aborts on a detach that was never
 * attached, a line that is set to what it is, and anything left behind.
 */
#include "fuzz.h"

#include "../unit/fake_host.h"
#include "base/log.h"
#include "bus/msix.h"

#include <linux/pci_regs.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define DEVICES 3
#define FDS	4

static struct fake_host host;
static struct pci_dev *devices[DEVICES];
static int fds[FDS];

static uint64_t bar_read(void *opaque, uint64_t offset, unsigned size)
{
	struct pci_dev *dev = opaque;

	fuzz_assert(offset + size <= dev->bars[2].size || offset + size <= dev->bars[4].size);
	return offset;
}

static void bar_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
	(void)bar_read(opaque, offset, size);
}

static const struct bus_range_ops bar_ops = {bar_read, bar_write};

static void destroy(struct pci_dev *dev)
{
	pci_dev_fini(dev);
	free(dev);
}

static const struct pci_dev_ops ops = {.destroy = destroy};

static struct pci_dev *add(unsigned n)
{
	static const struct pci_ids ids = {0x1234, 0x5678, 0, 0, 0x020000, 0};
	struct pci_dev *dev = calloc(1, sizeof(*dev));
	struct error err;

	fuzz_assert(dev);
	snprintf(dev->id, sizeof(dev->id), "dev%u", n);
	dev->ops = &ops;
	dev->host = &host.host;
	pci_dev_init(dev, &ids);
	pci_dev_use_intx(dev);
	pci_dev_add_express(dev);
	pci_dev_bar(dev, 2, n % 2 ? PCI_BAR_MEM32 : PCI_BAR_MEM64, 0x1000, &bar_ops);
	pci_dev_bar(dev, 4, PCI_BAR_IO, 0x40, &bar_ops);
	fuzz_assert(!msix_init(dev, 3 + 64 * n, 1, &err));
	/* Slots 1 and 5 share an interrupt line, and the third is a second function. */
	fuzz_assert(!pci_bus_add(host.pci, dev, n == 1 ? 5 : 1, n == 2, &err));
	return dev;
}

static unsigned access_size(struct fuzz_input *in)
{
	return 1u << fuzz_u8(in) % 4;
}

static void config_access(struct fuzz_input *in)
{
	static const uint8_t devfns[] = {0, 1 << 3, 1 << 3 | 1, 5 << 3, 31 << 3};
	uint64_t devfn = devfns[fuzz_u8(in) % sizeof(devfns)];
	uint64_t addr = FAKE_ECAM + (devfn << 12) + fuzz_u16(in) % 0x110;
	uint32_t value = fuzz_u16(in) | (uint32_t)fuzz_u16(in) << 16;
	unsigned size = access_size(in);
	uint64_t bytes = value;

	if (value & 1)
		bus_write(host.mmio, addr, &bytes, size);
	else
		bus_read(host.mmio, addr, &bytes, size);
}

/* The registers that matter most, by their meaning. */
static void likely_config(struct fuzz_input *in)
{
	struct pci_dev *dev = devices[fuzz_u8(in) % DEVICES];
	uint8_t what = fuzz_u8(in);
	uint32_t value = fuzz_u16(in);

	if (what < 0x60)
		pci_dev_config_write(dev, PCI_COMMAND, 2, value);
	else if (what < 0xb0)
		pci_dev_config_write(dev, PCI_BASE_ADDRESS_0 + what % 6 * 4, 4, value << 12);
	else
		pci_dev_config_write(dev, dev->last_cap + PCI_MSIX_FLAGS, 2, value);
}

static void port_access(struct fuzz_input *in)
{
	uint8_t port = fuzz_u8(in) % 10;
	uint32_t value = 0x80000000 | fuzz_u16(in);

	if (fuzz_u8(in) & 1)
		bus_write(host.pio, 0xcf8 + port, &value, access_size(in) & 7);
	else
		bus_read(host.pio, 0xcf8 + port, &value, access_size(in) & 7);
}

static void bar_access(struct fuzz_input *in)
{
	struct pci_dev *dev = devices[fuzz_u8(in) % DEVICES];
	unsigned bar = fuzz_u8(in) % PCI_BARS;
	uint64_t addr = dev->bars[bar].addr + fuzz_u16(in) % 0x1004;
	struct bus *bus = dev->bars[bar].kind == PCI_BAR_IO ? host.pio : host.mmio;
	uint64_t value = fuzz_u16(in);
	unsigned size = access_size(in);

	if (fuzz_u8(in) & 1)
		bus_write(bus, addr, &value, size);
	else
		bus_read(bus, addr, &value, size);
}

static void device_acts(struct fuzz_input *in)
{
	struct pci_dev *dev = devices[fuzz_u8(in) % DEVICES];
	uint8_t what = fuzz_u8(in), arg = fuzz_u8(in);

	if (what < 0x40)
		pci_dev_intx(dev, arg & 1);
	else if (what < 0x80)
		msix_notify(dev, arg);
	else if (what < 0xc0)
		(void)eventfd_write(fds[arg % FDS], 1);
	else if (what < 0xf0)
		fake_pump(&host);
	else if (what < 0xf8)
		pci_bus_reset(host.pci);
	else
		msix_force_fallback(arg & 1);
}

/* An eventfd belongs to one device at a time. */
static void bind_fds(void)
{
	for (unsigned i = 0; i < FDS; i++)
		fuzz_assert(!msix_bind(devices[i % DEVICES], i / DEVICES, fds[i]));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static void (*const steps[])(struct fuzz_input *) = {config_access, likely_config,
							     port_access, bar_access, device_acts};
	struct fuzz_input in = {data, size};

	log_set_level(LOG_LEVEL_ERROR);
	fake_host_init(&host);
	host.no_irqfd = fuzz_u8(&in) & 1;
	for (unsigned i = 0; i < DEVICES; i++)
		devices[i] = add(i);
	for (unsigned i = 0; i < FDS; i++)
		fds[i] = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	bind_fds();
	while (in.left)
		steps[fuzz_u8(&in) % (sizeof(steps) / sizeof(steps[0]))](&in);
	fake_host_fini(&host);
	for (unsigned i = 0; i < FDS; i++)
		close(fds[i]);
	msix_force_fallback(false);
	return 0;
}
