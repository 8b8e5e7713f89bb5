/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Config space of a passed-through device. Each byte is one of two kinds. Most are the device's:
 * reads and writes go through VFIO, which itself guards what a guest must not have. The others, of
 * which `emulated` has the bits, are kept in pci.config, and the device never sees writes to them:
 * the BARs, which are where the guest put them and not where the host did; MSI and MSI-X, which
 * vfio_pci_irq.c enables through VFIO; header and links of capabilities, so that some can be left
 * out. The command register is both: kept, and passed on.
 *
 * Capabilities that are shown are listed here; what is not known not to be harmful is left out: SR-IOV
 * (a guest cannot make VFs), ATS, PRI and PASID (there is no IOMMU in the guest), ARI and ACS (a
 * matter of bridges), resizable BARs.
 */
#include "device/vfio_pci.h"
#include "base/log.h"
#include "bus/msi.h"
#include "bus/msix.h"

#include <errno.h>
#include <linux/pci_regs.h>

#define CAPS_MAX     48	 /* that fit in 192 bytes */
#define EXT_CAPS_MAX 480 /* in 3840 */

static bool touches(unsigned offset, unsigned n, unsigned what, unsigned len)
{
	return offset < what + len && what < offset + n;
}

static bool cap_shown(uint8_t id)
{
	switch (id) {
	case PCI_CAP_ID_PM:
	case PCI_CAP_ID_VPD:
	case PCI_CAP_ID_MSI:
	case PCI_CAP_ID_VNDR:
	case PCI_CAP_ID_SSVID:
	case PCI_CAP_ID_EXP:
	case PCI_CAP_ID_MSIX:
	case PCI_CAP_ID_AF:
		return true;
	default:
		return false;
	}
}

static bool ext_cap_shown(unsigned id)
{
	switch (id) {
	case PCI_EXT_CAP_ID_ERR:
	case PCI_EXT_CAP_ID_VC:
	case PCI_EXT_CAP_ID_DSN:
	case PCI_EXT_CAP_ID_PWR:
	case PCI_EXT_CAP_ID_VNDR:
	case PCI_EXT_CAP_ID_LTR:
		return true;
	default:
		return false;
	}
}

static void emulate(struct vfio_pci *v, unsigned offset, unsigned len)
{
	memset(v->emulated + offset, 0xff, len);
	memset(v->nic.pci.writable + offset, 0, len);
	memset(v->nic.pci.write1clear + offset, 0, len);
}

/*
 * On the root bus, where the guest has it, a device is an integrated endpoint, which has no link
 * (PCIe 3.0, 7.8.2): drivers and kernels look for the port at its other end else.
 */
static void init_express(struct vfio_pci *v, unsigned at)
{
	uint8_t *config = v->nic.pci.config;
	uint16_t flags = load_le16(config + at + PCI_EXP_FLAGS);
	unsigned type = (flags & PCI_EXP_FLAGS_TYPE) >> 4;

	v->cap_exp = at;
	v->nic.pci.express = v->config_size == PCI_CONFIG_SIZE;
	if (type != PCI_EXP_TYPE_ENDPOINT && type != PCI_EXP_TYPE_LEG_END)
		return;
	emulate(v, at + PCI_EXP_FLAGS, 2);
	flags &= (uint16_t) ~(PCI_EXP_FLAGS_TYPE | PCI_EXP_FLAGS_SLOT);
	store_le16(config + at + PCI_EXP_FLAGS, flags | PCI_EXP_TYPE_RC_END << 4);
	emulate(v, at + PCI_EXP_LNKCAP, 8);
	memset(config + at + PCI_EXP_LNKCAP, 0, 8);
	if ((flags & PCI_EXP_FLAGS_VERS) < 2 || at + 0x34 > PCI_LEGACY_CONFIG_SIZE)
		return;
	emulate(v, at + PCI_EXP_LNKCAP2, 8);
	memset(config + at + PCI_EXP_LNKCAP2, 0, 8);
}

/* A table of MSI-X that makes no sense is left out, and MSI or INTx are used. */
static bool place_ok(const struct vfio_pci *v, const struct vfio_pci_place *p)
{
	const struct pci_bar *bar = p->bar < PCI_BARS ? &v->nic.pci.bars[p->bar] : NULL;

	return bar && (bar->kind == PCI_BAR_MEM32 || bar->kind == PCI_BAR_MEM64) &&
	       (uint64_t)p->offset + p->size <= bar->size;
}

static int init_msix(struct vfio_pci *v, unsigned at, bool *shown, struct error *err)
{
	const uint8_t *cap = v->nic.pci.config + at;
	unsigned n = (load_le16(cap + PCI_MSIX_FLAGS) & PCI_MSIX_FLAGS_QSIZE) + 1U;
	uint32_t table = load_le32(cap + PCI_MSIX_TABLE), pba = load_le32(cap + PCI_MSIX_PBA);

	v->table = (struct vfio_pci_place){table & 7, table & ~7U, n * PCI_MSIX_ENTRY_SIZE};
	v->pba = (struct vfio_pci_place){pba & 7, pba & ~7U, (n + 63) / 64 * 8};
	*shown = v->dev.irqs[VFIO_PCI_MSIX_IRQ_INDEX] && place_ok(v, &v->table) &&
		 place_ok(v, &v->pba);
	if (!*shown) {
		v->table.size = v->pba.size = 0;
		return 0;
	}
	emulate(v, at, PCI_CAP_MSIX_SIZEOF);
	return msix_adopt(&v->nic.pci, at, err);
}

static int init_msi(struct vfio_pci *v, unsigned at, bool *shown, struct error *err)
{
	unsigned len = msi_cap_len(load_le16(v->nic.pci.config + at + PCI_MSI_FLAGS));

	*shown = v->dev.irqs[VFIO_PCI_MSI_IRQ_INDEX] && at + len <= PCI_LEGACY_CONFIG_SIZE;
	if (!*shown)
		return 0;
	emulate(v, at, len);
	return msi_adopt(&v->nic.pci, at, err);
}

static int init_cap(struct vfio_pci *v, unsigned at, bool *shown, struct error *err)
{
	static const uint8_t sizes[] = {[PCI_CAP_ID_PM] = PCI_PM_SIZEOF,
					[PCI_CAP_ID_MSIX] = PCI_CAP_MSIX_SIZEOF,
					[PCI_CAP_ID_EXP] = PCI_CAP_EXP_ENDPOINT_SIZEOF_V1};
	struct pci_dev *pci = &v->nic.pci;
	uint8_t id = pci->config[at];
	unsigned size = id < ARRAY_SIZE(sizes) && sizes[id] ? sizes[id] : 2;

	*shown = cap_shown(id) && at + size <= PCI_LEGACY_CONFIG_SIZE;
	/* A second one of a kind that there can be but once is not shown either. */
	if (!*shown || (id == PCI_CAP_ID_MSIX && pci->msix) || (id == PCI_CAP_ID_MSI && pci->msi)) {
		*shown = false;
		return 0;
	}
	switch (id) {
	case PCI_CAP_ID_MSIX:
		return init_msix(v, at, shown, err);
	case PCI_CAP_ID_MSI:
		return init_msi(v, at, shown, err);
	case PCI_CAP_ID_EXP:
		init_express(v, at);
		return 0;
	case PCI_CAP_ID_PM:
		v->cap_pm = at;
		return 0;
	default:
		return 0;
	}
}

static int init_caps(struct vfio_pci *v, struct error *err)
{
	uint8_t *config = v->nic.pci.config;
	unsigned at = config[PCI_CAPABILITY_LIST] & ~3U, last = PCI_CAPABILITY_LIST;
	int ret = 0;

	emulate(v, PCI_CAPABILITY_LIST, 1);
	config[PCI_CAPABILITY_LIST] = 0;
	if (!(load_le16(config + PCI_STATUS) & PCI_STATUS_CAP_LIST))
		return 0;
	for (unsigned i = 0; i < CAPS_MAX && at >= PCI_STD_HEADER_SIZEOF && !ret; i++) {
		unsigned next = config[at + 1] & ~3U;
		bool shown;

		ret = init_cap(v, at, &shown, err);
		if (shown) {
			emulate(v, at, 2);
			/* MSI's and MSI-X's writable bits begin at 2. */
			config[at + 1] = 0;
			config[last] = (uint8_t)at;
			last = at + 1;
		}
		at = next;
	}
	return ret;
}

/* The one at 0x100 stays where it is, as nothing if it is not shown: the chain begins there. */
static void init_ext_caps(struct vfio_pci *v)
{
	uint8_t *config = v->nic.pci.config;
	unsigned at = PCI_CFG_SPACE_SIZE, last = 0;

	if (!v->nic.pci.express)
		return;
	for (unsigned i = 0; i < EXT_CAPS_MAX && at >= PCI_CFG_SPACE_SIZE; i++) {
		uint32_t header = load_le32(config + at);
		unsigned next = PCI_EXT_CAP_NEXT(header) & ~3U;
		bool shown = ext_cap_shown(PCI_EXT_CAP_ID(header));

		if (shown || !last) {
			emulate(v, at, 4);
			store_le32(config + at, shown ? header & 0xfffff : 0);
			if (last)
				store_le32(config + last,
					   load_le32(config + last) | (uint32_t)at << 20);
			last = at;
		}
		at = next;
	}
}

static int read_all(struct vfio_pci *v, struct error *err)
{
	struct vfio_device *dev = &v->dev;
	uint64_t size = dev->regions[VFIO_PCI_CONFIG_REGION_INDEX].size, value;
	int ret = 0;

	v->config_size = size >= PCI_CONFIG_SIZE ? PCI_CONFIG_SIZE : PCI_LEGACY_CONFIG_SIZE;
	for (unsigned i = 0; i + 4 <= MIN(size, (uint64_t)v->config_size) && !ret; i += 4) {
		ret = vfio_read(dev, VFIO_PCI_CONFIG_REGION_INDEX, i, &value, 4);
		store_le32(v->nic.pci.config + i, (uint32_t)value);
	}
	return ret ? error_set(err, ret, "%s: cannot read its config space: %s", dev->addr,
			       error_name(ret))
		   : 0;
}

int vfio_pci_config_init(struct vfio_pci *v, struct error *err)
{
	struct pci_dev *pci = &v->nic.pci;
	uint16_t command = load_le16(pci->writable + PCI_COMMAND);
	int ret = read_all(v, err);
	bool intx;

	if (ret)
		return ret;
	if ((pci->config[PCI_HEADER_TYPE] & 0x7f) != PCI_HEADER_TYPE_NORMAL)
		return error_set(err, -EINVAL, "%s is a bridge: only endpoints can be passed on",
				 v->dev.addr);
	/* What is the device's is passed on as it was written. */
	memset(pci->writable, 0xff, v->config_size);
	memset(pci->write1clear, 0, v->config_size);
	emulate(v, PCI_COMMAND, 2);
	store_le16(pci->config + PCI_COMMAND, 0);
	/* A virtual function has no INTx (SR-IOV 1.1, 3.4.1.18), whatever its registers say, and so
	 * nothing to disable. */
	intx = pci->config[PCI_INTERRUPT_PIN] && v->dev.irqs[VFIO_PCI_INTX_IRQ_INDEX];
	if (!intx)
		command &= (uint16_t)~PCI_COMMAND_INTX_DISABLE;
	store_le16(pci->writable + PCI_COMMAND, command);
	emulate(v, PCI_HEADER_TYPE, 1);
	pci->config[PCI_HEADER_TYPE] = PCI_HEADER_TYPE_NORMAL;
	emulate(v, PCI_INTERRUPT_LINE, 2);
	pci->writable[PCI_INTERRUPT_LINE] = 0xff;
	pci->config[PCI_INTERRUPT_PIN] = 0;
	if (intx)
		pci_dev_use_intx(pci);
	emulate(v, PCI_ROM_ADDRESS, 4);
	store_le32(pci->config + PCI_ROM_ADDRESS, 0);
	emulate(v, PCI_BASE_ADDRESS_0, 4 * PCI_BARS);
	ret = vfio_pci_bars_init(v, err);
	if (!ret)
		ret = init_caps(v, err);
	if (!ret)
		init_ext_caps(v);
	return ret;
}

bool vfio_pci_config_read(struct pci_dev *dev, unsigned offset, unsigned size, uint32_t *value)
{
	struct vfio_pci *v = vfio_pci_of(dev);
	uint32_t ours, mask;
	uint64_t theirs = 0;
	uint8_t bytes[4] = {0}, bits[4] = {0};

	if (v->gone) {
		*value = UINT32_MAX;
		return true;
	}
	msi_show_pending(dev, offset, size);
	memcpy(bytes, dev->config + offset, size);
	memcpy(bits, v->emulated + offset, size);
	ours = load_le32(bytes);
	mask = load_le32(bits);
	if (mask != (uint32_t)((1ULL << (8 * size)) - 1)) {
		v->counters.config_reads++;
		(void)vfio_read(&v->dev, VFIO_PCI_CONFIG_REGION_INDEX, offset, &theirs, size);
	}
	*value = ((uint32_t)theirs & ~mask) | (ours & mask);
	return true;
}

static void forward(struct vfio_pci *v, unsigned offset, unsigned size)
{
	uint8_t bytes[4] = {0};

	memcpy(bytes, v->nic.pci.config + offset, size);
	v->counters.config_writes++;
	(void)vfio_write(&v->dev, VFIO_PCI_CONFIG_REGION_INDEX, offset, load_le32(bytes), size);
}

static bool forwarded(const struct vfio_pci *v, unsigned offset)
{
	return !v->emulated[offset] || offset == PCI_COMMAND || offset == PCI_COMMAND + 1;
}

/* The bytes of a write that are the device's, in the largest accesses that are aligned. */
static void forward_write(struct vfio_pci *v, unsigned offset, unsigned size)
{
	unsigned end = offset + size;

	while (offset < end) {
		unsigned n = 0, piece = 4;

		while (offset + n < end && n < 4 && forwarded(v, offset + n))
			n++;
		if (!n) {
			offset++;
			continue;
		}
		while (piece > n || offset % piece)
			piece /= 2;
		forward(v, offset, piece);
		offset += piece;
	}
}

void vfio_pci_forward_command(struct vfio_pci *v)
{
	forward(v, PCI_COMMAND, 2);
}

/*
 * Memory that the device does not decode must not be mapped into the guest: an access would fault
 * in this process's mapping. So BARs go before the device falls asleep, and come after it woke up.
 */
static void power_written(struct vfio_pci *v, unsigned offset, unsigned size)
{
	bool asleep = v->nic.pci.config[v->cap_pm + PCI_PM_CTRL] & PCI_PM_CTRL_STATE_MASK;

	if (asleep)
		pci_dev_sleep(&v->nic.pci, true);
	forward_write(v, offset, size);
	if (!asleep)
		pci_dev_sleep(&v->nic.pci, false);
}

void vfio_pci_config_written(struct pci_dev *dev, unsigned offset, unsigned size)
{
	struct vfio_pci *v = vfio_pci_of(dev);

	if (v->gone)
		return;
	if (v->cap_pm && touches(offset, size, v->cap_pm + PCI_PM_CTRL, 1))
		power_written(v, offset, size);
	else
		forward_write(v, offset, size);
	vfio_pci_irq_update(v);
}

void vfio_pci_quiet(struct vfio_pci *v)
{
	uint64_t control = 0;

	(void)vfio_write(&v->dev, VFIO_PCI_CONFIG_REGION_INDEX, PCI_COMMAND, 0, 2);
	if (!v->cap_pm)
		return;
	if (!vfio_read(&v->dev, VFIO_PCI_CONFIG_REGION_INDEX, v->cap_pm + PCI_PM_CTRL, &control,
		       2) &&
	    control & PCI_PM_CTRL_STATE_MASK)
		(void)vfio_write(&v->dev, VFIO_PCI_CONFIG_REGION_INDEX, v->cap_pm + PCI_PM_CTRL,
				 control & ~(uint64_t)PCI_PM_CTRL_STATE_MASK, 2);
}
