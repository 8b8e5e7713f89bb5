// SPDX-License-Identifier: Apache-2.0
/* MSI-X's capability, and its table (msix_table.c) and pending bits as the guest reaches them. */
#include "bus/msix.h"
#include "bus/msix_table.h"
#include "bus/pci_internal.h"

#include <errno.h>

uint64_t msix_table_read(struct pci_dev *dev, uint64_t offset, unsigned size)
{
	return dev->msix ? msix_table_get(dev->msix, offset, size) : 0;
}

void msix_table_write(struct pci_dev *dev, uint64_t offset, uint64_t value, unsigned size)
{
	if (dev->msix)
		msix_table_put(dev->msix, offset, value, size);
}

uint64_t msix_pba_read(struct pci_dev *dev, uint64_t offset, unsigned size)
{
	if (!dev->msix || offset + size > (dev->msix->n + 63) / 64 * 8)
		return 0;
	return msix_table_pending(dev->msix, (unsigned)offset / 8) >> (offset % 8 * 8);
}

static uint64_t bar_read(void *opaque, uint64_t offset, unsigned size)
{
	struct pci_dev *dev = opaque;
	uint32_t pba = dev->msix->pba_offset;

	return offset < pba ? msix_table_read(dev, offset, size)
			    : msix_pba_read(dev, offset - pba, size);
}

static void bar_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
	msix_table_write(opaque, offset, value, size);
}

static const struct bus_range_ops bar_ops = {.read = bar_read, .write = bar_write};

static int add_capability(struct pci_dev *dev, struct msix *m, unsigned bar, struct error *err)
{
	uint64_t size = 4096;
	unsigned cap = pci_dev_add_cap(dev, PCI_CAP_ID_MSIX, PCI_CAP_MSIX_SIZEOF);

	if (!cap)
		return error_set(err, -ENOSPC, "%s: no room for the MSI-X capability", dev->id);
	m->cap = cap;
	m->pba_offset = (uint32_t)ALIGN_UP(m->n * PCI_MSIX_ENTRY_SIZE, 2048);
	while (size < m->pba_offset + (m->n + 63) / 64 * 8)
		size *= 2;
	pci_dev_bar(dev, bar, PCI_BAR_MEM32, size, &bar_ops);
	store_le16(dev->config + cap + PCI_MSIX_FLAGS, (uint16_t)(m->n - 1));
	store_le16(dev->writable + cap + PCI_MSIX_FLAGS,
		   PCI_MSIX_FLAGS_ENABLE | PCI_MSIX_FLAGS_MASKALL);
	store_le32(dev->config + cap + PCI_MSIX_TABLE, bar);
	store_le32(dev->config + cap + PCI_MSIX_PBA, m->pba_offset | bar);
	return 0;
}

int msix_init(struct pci_dev *dev, unsigned n, unsigned bar, struct error *err)
{
	struct msix *m;
	int ret = msix_table_new(dev, n, &m, err);

	if (ret)
		return ret;
	ret = add_capability(dev, m, bar, err);
	if (ret)
		msix_table_free(m);
	else
		dev->msix = m;
	return ret;
}

int msix_adopt(struct pci_dev *dev, unsigned cap, struct error *err)
{
	uint16_t flags = load_le16(dev->config + cap + PCI_MSIX_FLAGS);
	int ret = msix_table_new(dev, (flags & PCI_MSIX_FLAGS_QSIZE) + 1U, &dev->msix, err);

	if (ret)
		return ret;
	dev->msix->cap = cap;
	store_le16(dev->config + cap + PCI_MSIX_FLAGS, flags & PCI_MSIX_FLAGS_QSIZE);
	store_le16(dev->writable + cap + PCI_MSIX_FLAGS,
		   PCI_MSIX_FLAGS_ENABLE | PCI_MSIX_FLAGS_MASKALL);
	return 0;
}

void msix_destroy(struct pci_dev *dev)
{
	struct msix *m = dev->msix;

	if (!m)
		return;
	dev->msix = NULL;
	msix_table_free(m);
}

void msix_reset(struct pci_dev *dev)
{
	if (dev->msix)
		msix_table_reset(dev->msix);
}

void msix_config_written(struct pci_dev *dev, unsigned offset, unsigned size)
{
	struct msix *m = dev->msix;
	uint16_t flags;
	bool enabled;

	if (!m || !touches(offset, size, m->cap + PCI_MSIX_FLAGS, 2))
		return;
	flags = load_le16(dev->config + m->cap + PCI_MSIX_FLAGS);
	enabled = flags & PCI_MSIX_FLAGS_ENABLE;
	if (!msix_table_enable(m, enabled, flags & PCI_MSIX_FLAGS_MASKALL))
		return;
	pci_intx_update(dev);
	if (dev->ops->msix_changed)
		dev->ops->msix_changed(dev, enabled);
}

bool msix_enabled(const struct pci_dev *dev)
{
	return dev->msix && dev->msix->enabled;
}

unsigned msix_vectors(const struct pci_dev *dev)
{
	return dev->msix ? dev->msix->n : 0;
}

bool msix_live(const struct pci_dev *dev, unsigned vector)
{
	return dev->msix && msix_table_live(dev->msix, vector);
}

int msix_bind(struct pci_dev *dev, unsigned vector, int eventfd)
{
	return dev->msix ? msix_table_bind(dev->msix, vector, eventfd) : -EINVAL;
}

void msix_unbind(struct pci_dev *dev, int eventfd)
{
	if (dev->msix)
		msix_table_unbind(dev->msix, eventfd);
}

void msix_notify(struct pci_dev *dev, unsigned vector)
{
	if (dev->msix)
		msix_table_notify(dev->msix, vector);
}
