// SPDX-License-Identifier: Apache-2.0
/*
 * BARs: declaring them, finding room for them before the guest starts, and following them where
 * the guest moves them.
 *
 * A BAR is on the bus when the command register enables its kind of decoding. A guest may move one
 * onto something else, even if only between two of its writes: bus_add() refuses that, the BAR
 * then answers nowhere, and each later change to this device's BARs tries again.
 */
#include "bus/pci_internal.h"

#include <errno.h>
#include <stdio.h>

#include "base/log.h"

void pci_dev_bar(struct pci_dev *dev, unsigned bar, enum pci_bar_kind kind, uint64_t size,
		 const struct bus_range_ops *ops)
{
	unsigned reg = PCI_BASE_ADDRESS_0 + 4 * bar;
	uint64_t mask = ~(size - 1);
	uint32_t flags = 0;

	dev->bars[bar].kind = kind;
	dev->bars[bar].size = size;
	dev->bars[bar].ops = ops;
	if (kind == PCI_BAR_IO)
		flags = PCI_BASE_ADDRESS_SPACE_IO;
	if (kind == PCI_BAR_MEM64)
		flags = PCI_BASE_ADDRESS_MEM_TYPE_64;
	if (kind != PCI_BAR_IO && dev->bars[bar].prefetch)
		flags |= PCI_BASE_ADDRESS_MEM_PREFETCH;
	store_le32(dev->config + reg, flags);
	store_le32(dev->writable + reg, (uint32_t)mask);
	if (kind == PCI_BAR_MEM64)
		store_le32(dev->writable + reg + 4, (uint32_t)(mask >> 32));
}

/* Where config space says the BAR is. */
static uint64_t bar_address(const struct pci_dev *dev, unsigned bar)
{
	unsigned reg = PCI_BASE_ADDRESS_0 + 4 * bar;
	uint64_t addr = load_le32(dev->config + reg);

	if (dev->bars[bar].kind == PCI_BAR_MEM64)
		addr |= (uint64_t)load_le32(dev->config + reg + 4) << 32;
	return addr & ~(dev->bars[bar].size - 1);
}

static void bar_store(const struct pci_bar *bar, uint8_t *reg, uint64_t addr)
{
	uint32_t flags = load_le32(reg) & (uint32_t)(bar->size - 1) & 0xf;

	store_le32(reg, (uint32_t)addr | flags);
	if (bar->kind == PCI_BAR_MEM64)
		store_le32(reg + 4, (uint32_t)(addr >> 32));
}

void pci_bars_send_home(struct pci_dev *dev, uint8_t *buf)
{
	for (unsigned i = 0; i < PCI_BARS; i++)
		if (dev->bars[i].kind != PCI_BAR_NONE)
			bar_store(&dev->bars[i], buf + PCI_BASE_ADDRESS_0 + 4 * i,
				  dev->bars[i].home);
}

static bool same_space(const struct pci_bar *a, const struct pci_bar *b)
{
	return (a->kind == PCI_BAR_IO) == (b->kind == PCI_BAR_IO);
}

/* The BAR already placed that overlaps [addr, addr + bar->size), if any. */
static const struct pci_bar *home_taken(struct pci_bus *bus, const struct pci_dev *self,
					const struct pci_bar *bar, uint64_t addr)
{
	for (unsigned i = 0; i <= ARRAY_SIZE(bus->devs); i++) {
		const struct pci_dev *dev = i < ARRAY_SIZE(bus->devs) ? bus->devs[i] : self;

		for (unsigned j = 0; dev && j < PCI_BARS; j++) {
			const struct pci_bar *b = &dev->bars[j];

			if (b->kind == PCI_BAR_NONE || !b->home || b == bar || !same_space(b, bar))
				continue;
			if (b->home < addr + bar->size && addr < b->home + b->size)
				return b;
		}
	}
	return NULL;
}

/* First fit. 0: no room. */
static uint64_t find_room(struct pci_bus *bus, const struct pci_dev *dev, const struct pci_bar *bar,
			  uint64_t base, uint64_t size)
{
	uint64_t addr = MAX(ALIGN_UP(base, bar->size), bar->size);

	while (addr >= base && addr - base < size && bar->size <= size - (addr - base)) {
		const struct pci_bar *taken = home_taken(bus, dev, bar, addr);

		if (!taken)
			return addr;
		addr = ALIGN_UP(taken->home + taken->size, bar->size);
	}
	return 0;
}

int pci_bars_assign(struct pci_bus *bus, struct pci_dev *dev, struct error *err)
{
	const struct pci_windows *w = &bus->windows;

	for (unsigned i = 0; i < PCI_BARS; i++)
		dev->bars[i].home = 0;
	for (unsigned i = 0; i < PCI_BARS; i++) {
		struct pci_bar *bar = &dev->bars[i];

		if (bar->kind == PCI_BAR_NONE)
			continue;
		if (bar->kind == PCI_BAR_IO)
			bar->home = find_room(bus, dev, bar, w->io_base, w->io_size);
		if (bar->kind == PCI_BAR_MEM64)
			bar->home = find_room(bus, dev, bar, w->mem64_base, w->mem64_size);
		if (bar->kind != PCI_BAR_IO && !bar->home)
			bar->home = find_room(bus, dev, bar, w->mem32_base, w->mem32_size);
		if (!bar->home)
			return error_set(err, -ENOSPC,
					 "%s: no room for BAR %u of %llu bytes in the PCI windows: "
					 "use fewer devices",
					 dev->id, i, (unsigned long long)bar->size);
	}
	pci_bars_send_home(dev, dev->config);
	return 0;
}

static struct bus *bar_bus(const struct pci_dev *dev, unsigned i)
{
	return dev->bars[i].kind == PCI_BAR_IO ? dev->bus->pio : dev->bus->mmio;
}

static void bar_unmap(struct pci_dev *dev, unsigned i)
{
	if (!dev->bars[i].mapped)
		return;
	if (dev->ops->bar_moved)
		dev->ops->bar_moved(dev, i, false);
	bus_remove(bar_bus(dev, i), dev->bars[i].addr, dev);
	dev->bars[i].mapped = false;
}

static void bar_map(struct pci_dev *dev, unsigned i, uint64_t addr)
{
	struct pci_bar *bar = &dev->bars[i];
	struct bus_range range = {
		.name = dev->id,
		.base = addr,
		.size = bar->size,
		.ops = bar->ops,
		.opaque = dev,
		.lock = bar->unlocked ? NULL : &dev->lock,
	};
	struct error err;

	bar->addr = addr;
	if (bus_add(bar_bus(dev, i), &range, &err)) {
		log_debug("%s: BAR %u answers nowhere: %s", dev->id, i, err.text);
		return;
	}
	bar->mapped = true;
	if (dev->ops->bar_moved)
		dev->ops->bar_moved(dev, i, true);
}

void pci_bars_update(struct pci_dev *dev)
{
	uint16_t command = load_le16(dev->config + PCI_COMMAND);
	bool wanted[PCI_BARS];

	for (unsigned i = 0; i < PCI_BARS; i++) {
		struct pci_bar *bar = &dev->bars[i];
		bool io = bar->kind == PCI_BAR_IO;

		wanted[i] = bar->kind != PCI_BAR_NONE && !dev->asleep &&
			    command & (io ? PCI_COMMAND_IO : PCI_COMMAND_MEMORY) &&
			    !(io && bar_address(dev, i) > UINT16_MAX);
		if (bar->mapped && (!wanted[i] || bar_address(dev, i) != bar->addr))
			bar_unmap(dev, i);
	}
	for (unsigned i = 0; i < PCI_BARS; i++)
		if (wanted[i] && !dev->bars[i].mapped)
			bar_map(dev, i, bar_address(dev, i));
}

void pci_dev_sleep(struct pci_dev *dev, bool asleep)
{
	dev->asleep = asleep;
	pci_bars_update(dev);
}

void pci_bars_unmap(struct pci_dev *dev)
{
	for (unsigned i = 0; i < PCI_BARS; i++)
		bar_unmap(dev, i);
}
