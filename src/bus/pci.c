// SPDX-License-Identifier: Apache-2.0
/*
 * The PCI bus: the two ways into config space, slots, and the host bridge at 00:00.0.
 *
 * Theory of operation. A config access finds its device under the bus's lock, counts itself among
 * the device's users, lets the lock go, and then calls the device under the device's own lock:
 * a device whose handler takes its time holds up nobody else. pci_bus_remove() takes the device
 * out of the slots, waits until it has no users, takes its BARs off the buses, and waits with
 * bus_drain() for handlers on their way; from there on nobody can reach it.
 */
#include "bus/pci_internal.h"
#include "bus/msix.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#define ECAM_SIZE     MIB /* one bus */
#define PORT_ADDRESS  0xcf8
#define PORT_DATA     0xcfc
#define PORT_RESET    0xcf9
#define ADDRESS_VALID 0x80000000u

static struct pci_dev *dev_get(struct pci_bus *bus, unsigned devfn)
{
	struct pci_dev *dev;

	pthread_mutex_lock(&bus->lock);
	dev = bus->devs[devfn];
	if (dev)
		dev->users++;
	pthread_mutex_unlock(&bus->lock);
	return dev;
}

static void dev_put(struct pci_bus *bus, struct pci_dev *dev)
{
	pthread_mutex_lock(&bus->lock);
	if (--dev->users == 0)
		pthread_cond_broadcast(&bus->idle);
	pthread_mutex_unlock(&bus->lock);
}

static uint32_t config_read(struct pci_bus *bus, unsigned devfn, unsigned offset, unsigned size)
{
	struct pci_dev *dev = dev_get(bus, devfn);
	uint32_t value;

	if (!dev)
		return UINT32_MAX;
	value = pci_dev_config_read(dev, offset, size);
	dev_put(bus, dev);
	return value;
}

static void config_write(struct pci_bus *bus, unsigned devfn, unsigned offset, unsigned size,
			 uint32_t value)
{
	struct pci_dev *dev = dev_get(bus, devfn);

	if (!dev)
		return;
	pci_dev_config_write(dev, offset, size, value);
	dev_put(bus, dev);
}

/* ECAM: bits 27:20 bus, 19:15 slot, 14:12 function, 11:0 register (PCIe 3.0, 7.2.2). */
static uint64_t ecam_read(void *opaque, uint64_t offset, unsigned size)
{
	unsigned devfn = (unsigned)(offset >> 12) & 0xff, reg = offset & 0xfff;
	uint64_t value = config_read(opaque, devfn, reg, MIN(size, 4u));

	if (size == 8)
		value |= (uint64_t)config_read(opaque, devfn, reg + 4, 4) << 32;
	return value;
}

static void ecam_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
	unsigned devfn = (unsigned)(offset >> 12) & 0xff, reg = offset & 0xfff;

	config_write(opaque, devfn, reg, MIN(size, 4u), (uint32_t)value);
	if (size == 8)
		config_write(opaque, devfn, reg + 4, 4, (uint32_t)(value >> 32));
}

static bool is_reset_port(const struct pci_bus *bus, uint64_t offset, unsigned size)
{
	return bus->windows.reset_ops && size == 1 && offset == PORT_RESET - PORT_ADDRESS;
}

/* Only a whole dword reaches the address register (PCI 3.0, 3.2.2.3.2). */
static uint64_t address_read(void *opaque, uint64_t offset, unsigned size)
{
	struct pci_bus *bus = opaque;
	uint64_t value = UINT64_MAX;

	if (is_reset_port(bus, offset, size))
		return bus->windows.reset_ops->read(bus->windows.reset_opaque, 0, size);
	pthread_mutex_lock(&bus->lock);
	if (size == 4)
		value = bus->address;
	pthread_mutex_unlock(&bus->lock);
	return value;
}

static void address_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
	struct pci_bus *bus = opaque;

	if (is_reset_port(bus, offset, size)) {
		bus->windows.reset_ops->write(bus->windows.reset_opaque, 0, value, size);
		return;
	}
	pthread_mutex_lock(&bus->lock);
	if (size == 4)
		bus->address = (uint32_t)value & ~3u;
	pthread_mutex_unlock(&bus->lock);
}

/* The address register's view of a data port access. Returns false if it names nothing here. */
static bool data_target(struct pci_bus *bus, uint64_t offset, unsigned *devfn, unsigned *reg)
{
	uint32_t address;

	pthread_mutex_lock(&bus->lock);
	address = bus->address;
	pthread_mutex_unlock(&bus->lock);
	*devfn = address >> 8 & 0xff;
	*reg = (address & 0xfc) + (unsigned)offset;
	return address & ADDRESS_VALID && !(address >> 16 & 0xff);
}

static uint64_t data_read(void *opaque, uint64_t offset, unsigned size)
{
	unsigned devfn, reg;

	if (size > 4 || !data_target(opaque, offset, &devfn, &reg))
		return UINT64_MAX;
	return config_read(opaque, devfn, reg, size);
}

static void data_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
	unsigned devfn, reg;

	if (size <= 4 && data_target(opaque, offset, &devfn, &reg))
		config_write(opaque, devfn, reg, size, (uint32_t)value);
}

static const struct bus_range_ops ecam_ops = {.read = ecam_read, .write = ecam_write};
static const struct bus_range_ops address_ops = {.read = address_read, .write = address_write};
static const struct bus_range_ops data_ops = {.read = data_read, .write = data_write};

static void bridge_destroy(struct pci_dev *dev)
{
	pci_dev_fini(dev);
	free(dev);
}

static const struct pci_dev_ops bridge_ops = {.destroy = bridge_destroy};

static int add_bridge(struct pci_bus *bus, struct error *err)
{
	/* The generic PCI Express host bridge that Linux takes as it is. */
	static const struct pci_ids ids = {
		.vendor = 0x1b36, .device = 0x0008, .class_code = 0x060000};
	struct pci_dev *dev = calloc(1, sizeof(*dev));
	int ret;

	if (!dev)
		return error_set(err, -ENOMEM, "PCI host bridge: out of memory");
	snprintf(dev->id, sizeof(dev->id), "host-bridge");
	dev->ops = &bridge_ops;
	dev->host = bus->host;
	pci_dev_init(dev, &ids);
	ret = pci_bus_add(bus, dev, 0, 0, err);
	if (ret)
		bridge_destroy(dev);
	return ret;
}

static int add_ranges(struct pci_bus *bus, struct error *err)
{
	const struct bus_range ecam = {
		"PCI ECAM", bus->windows.ecam_base, ECAM_SIZE, &ecam_ops, bus, NULL};
	const struct bus_range address = {"PCI address port", PORT_ADDRESS, 4,
					  &address_ops,	      bus,	    NULL};
	const struct bus_range data = {"PCI data port", PORT_DATA, 4, &data_ops, bus, NULL};
	int ret = bus_add(bus->mmio, &ecam, err);

	if (!ret)
		ret = bus_add(bus->pio, &address, err);
	if (!ret)
		ret = bus_add(bus->pio, &data, err);
	return ret;
}

struct pci_bus *pci_bus_create(struct bus_host *host, struct bus *mmio, struct bus *pio,
			       const struct pci_windows *windows, struct error *err)
{
	struct pci_bus *bus = calloc(1, sizeof(*bus));

	if (!bus) {
		error_set(err, -ENOMEM, "PCI bus: out of memory");
		return NULL;
	}
	bus->host = host;
	bus->mmio = mmio;
	bus->pio = pio;
	bus->windows = *windows;
	pthread_mutex_init(&bus->lock, NULL);
	pthread_mutex_init(&bus->intx_lock, NULL);
	pthread_cond_init(&bus->idle, NULL);
	if (add_ranges(bus, err) || add_bridge(bus, err)) {
		pci_bus_destroy(bus);
		return NULL;
	}
	return bus;
}

void pci_bus_destroy(struct pci_bus *bus)
{
	if (!bus)
		return;
	for (unsigned i = ARRAY_SIZE(bus->devs); i-- > 0;)
		if (bus->devs[i])
			pci_bus_remove(bus, bus->devs[i]);
	bus_remove(bus->mmio, bus->windows.ecam_base, bus);
	bus_remove(bus->pio, PORT_ADDRESS, bus);
	bus_remove(bus->pio, PORT_DATA, bus);
	bus_drain(bus->mmio, bus);
	bus_drain(bus->pio, bus);
	pthread_cond_destroy(&bus->idle);
	pthread_mutex_destroy(&bus->intx_lock);
	pthread_mutex_destroy(&bus->lock);
	free(bus);
}

static bool slot_empty(const struct pci_bus *bus, unsigned slot)
{
	for (unsigned i = 0; i < PCI_FUNCTIONS; i++)
		if (bus->devs[slot * PCI_FUNCTIONS + i])
			return false;
	return true;
}

/* A slot for the device, or -EBUSY, -ENOSPC, -EINVAL. The bus's lock is held. */
static int choose_slot(const struct pci_bus *bus, const struct pci_dev *dev, int slot,
		       unsigned function, struct error *err)
{
	if (slot >= PCI_SLOTS || function >= PCI_FUNCTIONS)
		return error_set(err, -EINVAL, "%s: there is no PCI slot %02x.%u", dev->id,
				 (unsigned)slot, function);
	if (slot >= 0) {
		if (bus->devs[slot * PCI_FUNCTIONS + (int)function])
			return error_set(err, -EBUSY, "%s: PCI slot %02x.%u is taken by %s",
					 dev->id, (unsigned)slot, function,
					 bus->devs[slot * PCI_FUNCTIONS + (int)function]->id);
		return slot;
	}
	for (slot = 1; slot < PCI_SLOTS; slot++)
		if (slot_empty(bus, (unsigned)slot))
			return slot;
	return error_set(err, -ENOSPC, "%s: all PCI slots are taken: use fewer devices", dev->id);
}

/* Function 0 says whether there are others (PCI 3.0, 6.2.1). */
static void mark_multifunction(struct pci_bus *bus, unsigned slot)
{
	struct pci_dev *first = bus->devs[slot * PCI_FUNCTIONS];
	uint8_t type = 0;

	for (unsigned i = 1; i < PCI_FUNCTIONS; i++)
		if (bus->devs[slot * PCI_FUNCTIONS + i])
			type = 0x80;
	if (!first)
		return;
	WRITE_ONCE(first->config[PCI_HEADER_TYPE], (first->config[PCI_HEADER_TYPE] & 0x7f) | type);
	first->initial[PCI_HEADER_TYPE] = first->config[PCI_HEADER_TYPE];
}

static void wire_intx(struct pci_bus *bus, struct pci_dev *dev)
{
	unsigned pin = dev->function % 4;

	if (!dev->config[PCI_INTERRUPT_PIN])
		return;
	dev->config[PCI_INTERRUPT_PIN] = (uint8_t)(pin + 1);
	dev->intx_index = (dev->slot + pin) % 4;
	dev->intx_gsi = bus->windows.intx_gsi[dev->intx_index];
	dev->config[PCI_INTERRUPT_LINE] = (uint8_t)dev->intx_gsi;
}

int pci_bus_add(struct pci_bus *bus, struct pci_dev *dev, int slot, unsigned function,
		struct error *err)
{
	int ret;

	pthread_mutex_lock(&bus->lock);
	ret = choose_slot(bus, dev, slot, function, err);
	if (ret < 0)
		goto out;
	dev->slot = (uint8_t)ret;
	dev->function = (uint8_t)function;
	ret = pci_bars_assign(bus, dev, err);
	if (ret)
		goto out;
	dev->bus = bus;
	dev->host = bus->host;
	wire_intx(bus, dev);
	memcpy(dev->initial, dev->config, sizeof(dev->initial));
	bus->devs[dev->slot * PCI_FUNCTIONS + function] = dev;
	mark_multifunction(bus, dev->slot);
out:
	pthread_mutex_unlock(&bus->lock);
	return ret < 0 ? ret : 0;
}

void pci_bus_remove(struct pci_bus *bus, struct pci_dev *dev)
{
	pthread_mutex_lock(&bus->lock);
	bus->devs[dev->slot * PCI_FUNCTIONS + dev->function] = NULL;
	mark_multifunction(bus, dev->slot);
	while (dev->users)
		pthread_cond_wait(&bus->idle, &bus->lock);
	pthread_mutex_unlock(&bus->lock);

	pthread_mutex_lock(&dev->lock);
	pci_bars_unmap(dev);
	pthread_mutex_unlock(&dev->lock);
	bus_drain(bus->mmio, dev);
	bus_drain(bus->pio, dev);
	pci_dev_intx(dev, false);
	dev->ops->destroy(dev);
}

struct pci_dev *pci_bus_find(struct pci_bus *bus, const char *id)
{
	struct pci_dev *found = NULL;

	pthread_mutex_lock(&bus->lock);
	for (unsigned i = 0; i < ARRAY_SIZE(bus->devs) && !found; i++)
		if (bus->devs[i] && !strcmp(bus->devs[i]->id, id))
			found = bus->devs[i];
	pthread_mutex_unlock(&bus->lock);
	return found;
}

void pci_bus_for_each(struct pci_bus *bus, void (*fn)(struct pci_dev *dev, void *arg), void *arg)
{
	for (unsigned i = 0; i < ARRAY_SIZE(bus->devs); i++) {
		struct pci_dev *dev = dev_get(bus, i);

		if (!dev)
			continue;
		fn(dev, arg);
		dev_put(bus, dev);
	}
}

static void reset_one(struct pci_dev *dev, void *arg)
{
	pthread_mutex_lock(&dev->lock);
	pci_dev_reset(dev);
	pthread_mutex_unlock(&dev->lock);
}

void pci_bus_reset(struct pci_bus *bus)
{
	pthread_mutex_lock(&bus->lock);
	bus->address = 0;
	pthread_mutex_unlock(&bus->lock);
	pci_bus_for_each(bus, reset_one, NULL);
}
