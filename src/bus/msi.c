/* SPDX-License-Identifier: Apache-2.0 */
/*
 * MSI: up to 32 vectors that share one address and differ in the low bits of one data word. Behind
 * the registers is a table of vectors as MSI-X has it; each write of the guest is carried over to it.
 */
#include "bus/msi.h"
#include "bus/msix_table.h"
#include "bus/pci_internal.h"

#include <errno.h>
#include <stdlib.h>

struct msi {
	struct msix *table;
	unsigned cap, n;
	unsigned data, mask, pending; /* offsets in config space; mask and pending: 0 if none */
	unsigned enabled;	      /* vectors */
};

unsigned msi_cap_len(uint16_t flags)
{
	unsigned len = flags & PCI_MSI_FLAGS_64BIT ? 14 : 10;

	return flags & PCI_MSI_FLAGS_MASKBIT ? (flags & PCI_MSI_FLAGS_64BIT ? 24 : 20) : len;
}

int msi_adopt(struct pci_dev *dev, unsigned cap, struct error *err)
{
	uint16_t flags = load_le16(dev->config + cap + PCI_MSI_FLAGS);
	unsigned log2 = MIN((flags & PCI_MSI_FLAGS_QMASK) >> 1, 5);
	struct msi *msi;
	int ret;

	if (cap + msi_cap_len(flags) > PCI_LEGACY_CONFIG_SIZE)
		return error_set(err, -EINVAL, "%s: its MSI capability does not fit", dev->id);
	msi = calloc(1, sizeof(*msi));
	if (!msi)
		return error_set(err, -ENOMEM, "%s: out of memory", dev->id);
	msi->cap = cap;
	msi->n = 1U << log2;
	ret = msix_table_new(dev, msi->n, &msi->table, err);
	if (ret) {
		free(msi);
		return ret;
	}
	msi->data = cap + (flags & PCI_MSI_FLAGS_64BIT ? PCI_MSI_DATA_64 : PCI_MSI_DATA_32);
	flags &= PCI_MSI_FLAGS_QMASK | PCI_MSI_FLAGS_64BIT | PCI_MSI_FLAGS_MASKBIT;
	memset(dev->config + cap + 2, 0, msi_cap_len(flags) - 2);
	store_le16(dev->config + cap + PCI_MSI_FLAGS, flags);
	store_le16(dev->writable + cap + PCI_MSI_FLAGS, PCI_MSI_FLAGS_ENABLE | PCI_MSI_FLAGS_QSIZE);
	store_le32(dev->writable + cap + PCI_MSI_ADDRESS_LO, ~3U);
	if (flags & PCI_MSI_FLAGS_64BIT)
		store_le32(dev->writable + cap + PCI_MSI_ADDRESS_HI, UINT32_MAX);
	store_le16(dev->writable + msi->data, UINT16_MAX);
	if (flags & PCI_MSI_FLAGS_MASKBIT) {
		msi->mask = msi->data + 4;
		msi->pending = msi->data + 8;
		store_le32(dev->writable + msi->mask, (uint32_t)((1ULL << msi->n) - 1));
	}
	dev->msi = msi;
	return 0;
}

void msi_destroy(struct pci_dev *dev)
{
	if (!dev->msi)
		return;
	msix_table_free(dev->msi->table);
	free(dev->msi);
	dev->msi = NULL;
}

void msi_reset(struct pci_dev *dev)
{
	if (!dev->msi)
		return;
	dev->msi->enabled = 0;
	msix_table_reset(dev->msi->table);
}

bool msi_enabled(const struct pci_dev *dev)
{
	return dev->msi && READ_ONCE(dev->msi->enabled);
}

unsigned msi_vectors(const struct pci_dev *dev)
{
	return dev->msi ? READ_ONCE(dev->msi->enabled) : 0;
}

static struct msi_msg message(const struct pci_dev *dev, const struct msi *msi, unsigned vector,
			      unsigned count)
{
	const uint8_t *cap = dev->config + msi->cap;
	struct msi_msg msg = {.addr = load_le32(cap + PCI_MSI_ADDRESS_LO)};

	if (load_le16(cap + PCI_MSI_FLAGS) & PCI_MSI_FLAGS_64BIT)
		msg.addr |= (uint64_t)load_le32(cap + PCI_MSI_ADDRESS_HI) << 32;
	msg.data = (load_le16(dev->config + msi->data) & ~(count - 1)) | vector;
	return msg;
}

void msi_config_written(struct pci_dev *dev, unsigned offset, unsigned size)
{
	struct msi *msi = dev->msi;
	uint32_t masked = 0;
	unsigned count;
	uint16_t flags;

	if (!msi)
		return;
	flags = load_le16(dev->config + msi->cap + PCI_MSI_FLAGS);
	if (!touches(offset, size, msi->cap, msi_cap_len(flags)))
		return;
	/* More than there are is not for the guest to ask (6.8.1.3). */
	count = MIN(1U << MIN((flags & PCI_MSI_FLAGS_QSIZE) >> 4, 5), msi->n);
	if (msi->mask)
		masked = load_le32(dev->config + msi->mask);
	for (unsigned i = 0; i < msi->n; i++) {
		struct msi_msg msg = message(dev, msi, i, count);

		msix_table_set(msi->table, i, &msg, i >= count || masked >> i & 1);
	}
	WRITE_ONCE(msi->enabled, flags & PCI_MSI_FLAGS_ENABLE ? count : 0);
	if (msix_table_enable(msi->table, msi->enabled, false))
		pci_intx_update(dev);
}

int msi_bind(struct pci_dev *dev, unsigned vector, int eventfd)
{
	return dev->msi ? msix_table_bind(dev->msi->table, vector, eventfd) : -EINVAL;
}

void msi_unbind(struct pci_dev *dev, int eventfd)
{
	if (dev->msi)
		msix_table_unbind(dev->msi->table, eventfd);
}

void msi_show_pending(struct pci_dev *dev, unsigned offset, unsigned size)
{
	struct msi *msi = dev->msi;

	if (msi && msi->pending && touches(offset, size, msi->pending, 4))
		store_le32(dev->config + msi->pending, (uint32_t)msix_table_pending(msi->table, 0));
}
