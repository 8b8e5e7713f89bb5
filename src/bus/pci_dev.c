// SPDX-License-Identifier: Apache-2.0
/*
 * One PCI function: its header and capabilities, reads and writes of its config space, its INTx
 * line.
 *
 * Config space is three arrays: the bytes, which bits of them the guest may write, and which it
 * clears by writing ones. Only what has consequences is code: the command register and BARs
 * (pci_bar.c), MSI-X's control word (msix.c), MSI (msi.c), and what the device adds.
 *
 * INTx. Four lines are shared by all functions. intx_level is what a device wants, intx_driven
 * what reaches the line: nothing while the command register's disable bit is set or MSI or MSI-X is on
 * (PCI 3.0, 6.2.2 and 6.8.2). A line is high while any function drives it.
 */
#include "bus/pci_internal.h"
#include "bus/msi.h"
#include "bus/msix.h"

#define EXPRESS_CAP_LEN 0x3c

void pci_dev_init(struct pci_dev *dev, const struct pci_ids *ids)
{
	uint16_t command = PCI_COMMAND_IO | PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER |
			   PCI_COMMAND_PARITY | PCI_COMMAND_SERR | PCI_COMMAND_INTX_DISABLE;

	pthread_mutex_init(&dev->lock, NULL);
	store_le16(dev->config + PCI_VENDOR_ID, ids->vendor);
	store_le16(dev->config + PCI_DEVICE_ID, ids->device);
	store_le16(dev->config + PCI_SUBSYSTEM_VENDOR_ID, ids->subsystem_vendor);
	store_le16(dev->config + PCI_SUBSYSTEM_ID, ids->subsystem);
	store_le32(dev->config + PCI_CLASS_REVISION, ids->class_code << 8 | ids->revision);
	store_le16(dev->writable + PCI_COMMAND, command);
	store_le16(dev->write1clear + PCI_STATUS, 0xf900);
	dev->writable[PCI_CACHE_LINE_SIZE] = 0xff;
	dev->writable[PCI_INTERRUPT_LINE] = 0xff;
	dev->next_cap = PCI_STD_HEADER_SIZEOF;
}

void pci_dev_fini(struct pci_dev *dev)
{
	msix_destroy(dev);
	msi_destroy(dev);
	pthread_mutex_destroy(&dev->lock);
}

unsigned pci_dev_add_cap(struct pci_dev *dev, uint8_t cap_id, unsigned len)
{
	unsigned at = dev->next_cap;

	if (at + len > PCI_LEGACY_CONFIG_SIZE)
		return 0;
	dev->next_cap = (unsigned)ALIGN_UP(at + len, 4);
	dev->config[at] = cap_id;
	dev->config[dev->last_cap ? dev->last_cap + 1 : PCI_CAPABILITY_LIST] = (uint8_t)at;
	dev->last_cap = at;
	dev->config[PCI_STATUS] |= PCI_STATUS_CAP_LIST;
	return at;
}

unsigned pci_dev_add_express(struct pci_dev *dev)
{
	unsigned at = pci_dev_add_cap(dev, PCI_CAP_ID_EXP, EXPRESS_CAP_LEN);

	if (!at)
		return 0;
	dev->express = true;
	store_le16(dev->config + at + PCI_EXP_FLAGS, 2 | PCI_EXP_TYPE_RC_END << 4);
	store_le32(dev->config + at + PCI_EXP_DEVCAP, PCI_EXP_DEVCAP_RBER);
	store_le16(dev->writable + at + PCI_EXP_DEVCTL,
		   PCI_EXP_DEVCTL_CERE | PCI_EXP_DEVCTL_NFERE | PCI_EXP_DEVCTL_FERE |
			   PCI_EXP_DEVCTL_URRE | PCI_EXP_DEVCTL_RELAX_EN | PCI_EXP_DEVCTL_PAYLOAD |
			   PCI_EXP_DEVCTL_NOSNOOP_EN | PCI_EXP_DEVCTL_READRQ);
	store_le16(dev->write1clear + at + PCI_EXP_DEVSTA, 0x000f);
	return at;
}

void pci_dev_use_intx(struct pci_dev *dev)
{
	dev->config[PCI_INTERRUPT_PIN] = 1; /* pci_bus_add chooses which */
}

bool pci_dev_bus_master(const struct pci_dev *dev)
{
	return READ_ONCE(dev->config[PCI_COMMAND]) & PCI_COMMAND_MASTER;
}

/* Makes the line what intx_level, the disable bit and MSI-X say. The interrupt lock is held. */
static void intx_drive(struct pci_dev *dev)
{
	struct pci_bus *bus = dev->bus;
	uint16_t command = load_le16(dev->config + PCI_COMMAND);
	bool level = dev->intx_level && !(command & PCI_COMMAND_INTX_DISABLE) &&
		     !msix_enabled(dev) && !msi_enabled(dev);
	unsigned *line = &bus->lines[dev->intx_index];

	if (level == dev->intx_driven)
		return;
	dev->intx_driven = level;
	if (level && (*line)++ == 0)
		bus->host->ops->irq_line(bus->host, dev->intx_gsi, true);
	if (!level && --*line == 0)
		bus->host->ops->irq_line(bus->host, dev->intx_gsi, false);
}

void pci_dev_intx(struct pci_dev *dev, bool level)
{
	if (!dev->bus || !dev->config[PCI_INTERRUPT_PIN])
		return;
	pthread_mutex_lock(&dev->bus->intx_lock);
	dev->intx_level = level;
	intx_drive(dev);
	pthread_mutex_unlock(&dev->bus->intx_lock);
}

void pci_intx_update(struct pci_dev *dev)
{
	if (!dev->bus || !dev->config[PCI_INTERRUPT_PIN])
		return;
	pthread_mutex_lock(&dev->bus->intx_lock);
	intx_drive(dev);
	pthread_mutex_unlock(&dev->bus->intx_lock);
}

static bool config_reachable(const struct pci_dev *dev, unsigned offset, unsigned size)
{
	unsigned limit = dev->express ? PCI_CONFIG_SIZE : PCI_LEGACY_CONFIG_SIZE;

	return size <= 4 && offset <= limit - size;
}

static bool intx_pending(struct pci_dev *dev)
{
	bool level;

	pthread_mutex_lock(&dev->bus->intx_lock);
	level = dev->intx_level;
	pthread_mutex_unlock(&dev->bus->intx_lock);
	return level;
}

uint32_t pci_dev_config_read(struct pci_dev *dev, unsigned offset, unsigned size)
{
	uint8_t bytes[4] = {0};
	uint32_t value;

	if (!config_reachable(dev, offset, size))
		return UINT32_MAX;
	pthread_mutex_lock(&dev->lock);
	if (!dev->ops->config_read || !dev->ops->config_read(dev, offset, size, &value)) {
		memcpy(bytes, dev->config + offset, size);
		if (touches(offset, size, PCI_STATUS, 1) && dev->bus && intx_pending(dev))
			bytes[PCI_STATUS - offset] |= PCI_STATUS_INTERRUPT;
		value = load_le32(bytes);
	}
	pthread_mutex_unlock(&dev->lock);
	return value;
}

static void config_store(struct pci_dev *dev, unsigned offset, unsigned size, uint32_t value)
{
	for (unsigned i = 0; i < size; i++) {
		uint8_t byte = (uint8_t)(value >> (8 * i));
		uint8_t mask = dev->writable[offset + i];
		uint8_t old = dev->config[offset + i];

		old = (uint8_t)((old & ~mask) | (byte & mask));
		dev->config[offset + i] = (uint8_t)(old & ~(byte & dev->write1clear[offset + i]));
	}
}

void pci_dev_config_write(struct pci_dev *dev, unsigned offset, unsigned size, uint32_t value)
{
	if (!config_reachable(dev, offset, size))
		return;
	pthread_mutex_lock(&dev->lock);
	if (touches(offset, size, PCI_COMMAND, 2)) {
		/* intx_drive() reads the command register under the interrupt lock. */
		pthread_mutex_lock(&dev->bus->intx_lock);
		config_store(dev, offset, size, value);
		pthread_mutex_unlock(&dev->bus->intx_lock);
		pci_intx_update(dev);
	} else {
		config_store(dev, offset, size, value);
	}
	if (touches(offset, size, PCI_COMMAND, 2) ||
	    touches(offset, size, PCI_BASE_ADDRESS_0, 4 * PCI_BARS))
		pci_bars_update(dev);
	msix_config_written(dev, offset, size);
	msi_config_written(dev, offset, size);
	if (dev->ops->config_written)
		dev->ops->config_written(dev, offset, size);
	pthread_mutex_unlock(&dev->lock);
	if (dev->ops->settle)
		dev->ops->settle(dev);
}

void pci_dev_reset(struct pci_dev *dev)
{
	if (dev->ops->reset)
		dev->ops->reset(dev);
	pci_dev_intx(dev, false);
	pci_bars_unmap(dev);
	msix_reset(dev);
	msi_reset(dev);
	pthread_mutex_lock(&dev->bus->intx_lock);
	memcpy(dev->config, dev->initial, sizeof(dev->config));
	pthread_mutex_unlock(&dev->bus->intx_lock);
}
