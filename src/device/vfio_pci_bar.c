/* SPDX-License-Identifier: Apache-2.0 */
/*
 * BARs of a passed-through device. What VFIO lets a process map is mapped once, when the device is
 * made, and handed to the machine as guest memory wherever the guest puts the BAR. The pages that hold
 * MSI-X's table or pending bits are left out: the guest's accesses there, and to what cannot be
 * mapped (port I/O, BARs smaller than a page), come to the handlers below, as exits.
 */
#include "device/vfio_pci.h"
#include "base/log.h"
#include "bus/msix.h"

#include <errno.h>
#include <linux/pci_regs.h>
#include <sys/mman.h>

#define PAGE (4 * KIB)

/* Finds where in the place an access is. */
static bool in_place(const struct vfio_pci_place *p, unsigned bar, uint64_t offset, unsigned size,
		     uint64_t *at)
{
	*at = offset - p->offset;
	return p->size && p->bar == bar && offset >= p->offset && *at + size <= p->size;
}

static uint64_t bar_read(struct pci_dev *dev, unsigned bar, uint64_t offset, unsigned size)
{
	struct vfio_pci *v = vfio_pci_of(dev);
	uint64_t at, value;

	v->counters.bar_reads++;
	if (in_place(&v->table, bar, offset, size, &at)) {
		v->counters.table_accesses++;
		return msix_table_read(dev, at, size);
	}
	if (in_place(&v->pba, bar, offset, size, &at)) {
		v->counters.table_accesses++;
		return msix_pba_read(dev, at, size);
	}
	(void)vfio_read(&v->dev, bar, offset, &value, size);
	return value;
}

static void bar_write(struct pci_dev *dev, unsigned bar, uint64_t offset, uint64_t value,
		      unsigned size)
{
	struct vfio_pci *v = vfio_pci_of(dev);
	uint64_t at;

	v->counters.bar_writes++;
	if (in_place(&v->table, bar, offset, size, &at)) {
		v->counters.table_accesses++;
		msix_table_write(dev, at, value, size);
		vfio_pci_irq_update(v);
	} else if (!in_place(&v->pba, bar, offset, size, &at)) {
		(void)vfio_write(&v->dev, bar, offset, value, size);
	}
}

/* A BAR's handlers are not told which it is. */
#define BAR_HANDLERS(n)                                                                          \
	static uint64_t bar##n##_read(void *opaque, uint64_t offset, unsigned size)              \
	{                                                                                        \
		return bar_read(opaque, n, offset, size);                                        \
	}                                                                                        \
	static void bar##n##_write(void *opaque, uint64_t offset, uint64_t value, unsigned size) \
	{                                                                                        \
		bar_write(opaque, n, offset, value, size);                                       \
	}
BAR_HANDLERS(0)
BAR_HANDLERS(1)
BAR_HANDLERS(2)
BAR_HANDLERS(3)
BAR_HANDLERS(4)
BAR_HANDLERS(5)

static const struct bus_range_ops bar_ops[PCI_BARS] = {
	{bar0_read, bar0_write}, {bar1_read, bar1_write}, {bar2_read, bar2_write},
	{bar3_read, bar3_write}, {bar4_read, bar4_write}, {bar5_read, bar5_write},
};

int vfio_pci_bars_init(struct vfio_pci *v, struct error *err)
{
	struct pci_dev *pci = &v->nic.pci;
	uint32_t flags[PCI_BARS];

	for (unsigned i = 0; i < PCI_BARS; i++) {
		flags[i] = load_le32(pci->config + PCI_BASE_ADDRESS_0 + 4 * i);
		store_le32(pci->config + PCI_BASE_ADDRESS_0 + 4 * i, 0);
	}
	for (unsigned i = 0; i < PCI_BARS; i++) {
		uint64_t size = v->dev.regions[i].size;
		bool io = flags[i] & PCI_BASE_ADDRESS_SPACE_IO;
		bool wide = !io && (flags[i] & PCI_BASE_ADDRESS_MEM_TYPE_MASK) ==
					   PCI_BASE_ADDRESS_MEM_TYPE_64;

		if (!size)
			continue;
		if (!is_pow2(size) || size < (io ? 4 : 16) || (wide && i == PCI_BARS - 1) ||
		    (io && size > 256))
			return error_set(err, -EINVAL, "%s: BAR %u of %llu bytes makes no sense",
					 v->dev.addr, i, (unsigned long long)size);
		pci->bars[i].prefetch = !io && flags[i] & PCI_BASE_ADDRESS_MEM_PREFETCH;
		pci_dev_bar(pci, i,
			    io	   ? PCI_BAR_IO
			    : wide ? PCI_BAR_MEM64
				   : PCI_BAR_MEM32,
			    size, &bar_ops[i]);
		if (wide)
			i++;
	}
	return 0;
}

static void add_area(struct vfio_pci *v, unsigned bar, uint64_t offset, uint64_t end)
{
	const struct vfio_sys *sys = v->dev.sys;
	struct vfio_pci_area *a = &v->areas[v->nareas];

	if (offset >= end || v->nareas == VFIO_PCI_AREAS_MAX)
		return;
	*a = (struct vfio_pci_area){.bar = bar, .offset = offset, .size = end - offset};
	a->hva = sys->mmap(v->dev.fd, a->size, PROT_READ | PROT_WRITE,
			   v->dev.regions[bar].offset + offset);
	if (a->hva)
		v->nareas++;
	else
		log_warn("%s: BAR %u cannot be mapped at %#llx: the guest's accesses will be slow",
			 v->nic.pci.id, bar, (unsigned long long)offset);
}

/* Leaves out the pages of the place, if it is in this piece of this BAR; returns where to go on. */
static uint64_t add_before(struct vfio_pci *v, const struct vfio_pci_place *p, unsigned bar,
			   uint64_t offset, uint64_t end)
{
	uint64_t first = ALIGN_DOWN((uint64_t)p->offset, PAGE);
	uint64_t last = ALIGN_UP((uint64_t)p->offset + p->size, PAGE);

	if (!p->size || p->bar != bar || first >= end || last <= offset)
		return offset;
	add_area(v, bar, offset, MIN(first, end));
	return last;
}

void vfio_pci_areas_init(struct vfio_pci *v)
{
	const struct vfio_pci_place *low = &v->table, *high = &v->pba;

	if (v->pba.offset < v->table.offset) {
		low = &v->pba;
		high = &v->table;
	}
	for (unsigned bar = 0; bar < PCI_BARS; bar++) {
		const struct vfio_region *r = &v->dev.regions[bar];

		if (v->nic.pci.bars[bar].kind == PCI_BAR_NONE ||
		    v->nic.pci.bars[bar].kind == PCI_BAR_IO || !r->mappable)
			continue;
		for (unsigned i = 0; i < r->nareas; i++) {
			uint64_t offset = ALIGN_UP(r->areas[i].offset, PAGE);
			uint64_t end = ALIGN_DOWN(r->areas[i].offset + r->areas[i].size, PAGE);

			offset = add_before(v, low, bar, offset, end);
			offset = add_before(v, high, bar, offset, end);
			add_area(v, bar, offset, end);
		}
	}
}

void vfio_pci_areas_fini(struct vfio_pci *v)
{
	for (unsigned i = 0; i < v->nareas; i++)
		v->dev.sys->munmap(v->areas[i].hva, v->areas[i].size);
	v->nareas = 0;
}

static void area_put(struct vfio_pci *v, struct vfio_pci_area *a, bool in_guest)
{
	struct bus_host *host = v->nic.pci.host;
	int ret;

	if (a->in_guest && !in_guest) {
		ret = host->ops->unmap_memory(host, a->gpa);
		if (ret)
			log_warn_limited("%s: BAR %u stays mapped at %#llx: %s", v->nic.pci.id,
					 a->bar, (unsigned long long)a->gpa, error_name(ret));
		a->in_guest = false;
	}
	if (!a->in_guest && in_guest) {
		a->gpa = v->nic.pci.bars[a->bar].addr + a->offset;
		ret = host->ops->map_memory(host, a->gpa, a->size, a->hva, false);
		if (ret) /* the guest has put it onto its memory, or has too many */
			log_warn_limited(
				"%s: BAR %u is not mapped at %#llx (%s): accesses are slow",
				v->nic.pci.id, a->bar, (unsigned long long)a->gpa, error_name(ret));
		a->in_guest = !ret;
	}
}

void vfio_pci_bar_moved(struct pci_dev *dev, unsigned bar, bool mapped)
{
	struct vfio_pci *v = vfio_pci_of(dev);

	/* The device is to decode before the guest can reach it, and as long as it can. */
	if (mapped)
		vfio_pci_forward_command(v);
	for (unsigned i = 0; i < v->nareas; i++)
		if (v->areas[i].bar == bar)
			area_put(v, &v->areas[i], mapped);
}
