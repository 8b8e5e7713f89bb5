// SPDX-License-Identifier: Apache-2.0
#include "guest_virtio.h"

#include <linux/pci_regs.h>
#include <linux/virtio_pci.h>
#include <stdlib.h>

static uint64_t bar_addr(struct gv *gv, unsigned bar)
{
	unsigned reg = PCI_BASE_ADDRESS_0 + 4 * bar;
	uint64_t low = fake_config_read(gv->h, gv->slot, reg, 4);

	if (low & PCI_BASE_ADDRESS_MEM_TYPE_64)
		low |= (uint64_t)fake_config_read(gv->h, gv->slot, reg + 4, 4) << 32;
	return low & ~0xfULL;
}

static void vendor_cap(struct gv *gv, unsigned at)
{
	struct fake_host *h = gv->h;
	unsigned type = fake_config_read(h, gv->slot, at + 3, 1);
	unsigned bar = fake_config_read(h, gv->slot, at + 4, 1);
	uint64_t addr = bar_addr(gv, bar) + fake_config_read(h, gv->slot, at + 8, 4);

	if (type == VIRTIO_PCI_CAP_COMMON_CFG)
		gv->common = addr;
	else if (type == VIRTIO_PCI_CAP_ISR_CFG)
		gv->isr = addr;
	else if (type == VIRTIO_PCI_CAP_DEVICE_CFG)
		gv->device = addr;
	else if (type == VIRTIO_PCI_CAP_PCI_CFG)
		gv->cfg_cap = at;
	if (type != VIRTIO_PCI_CAP_NOTIFY_CFG)
		return;
	gv->notify = addr;
	gv->multiplier = fake_config_read(h, gv->slot, at + 16, 4);
}

void gv_probe(struct gv *gv, struct fake_host *h, unsigned slot)
{
	unsigned at;

	memset(gv, 0, sizeof(*gv));
	gv->h = h;
	gv->slot = slot;
	gv->next_gpa = MIB;
	for (at = fake_config_read(h, slot, PCI_CAPABILITY_LIST, 1); at;
	     at = fake_config_read(h, slot, at + 1, 1)) {
		unsigned id = fake_config_read(h, slot, at, 1);

		if (id == PCI_CAP_ID_VNDR)
			vendor_cap(gv, at);
		if (id == PCI_CAP_ID_MSIX)
			gv->msix_cap = at;
	}
	at = fake_config_read(h, slot, gv->msix_cap + PCI_MSIX_TABLE, 4);
	gv->msix_table = bar_addr(gv, at & 7) + (at & ~7u);
	fake_config_write(h, slot, PCI_COMMAND, 2, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
}

void gv_fini(struct gv *gv)
{
	for (unsigned i = 0; i < GV_QUEUES; i++)
		vdrv_free(gv->drv[i]);
}

uint64_t gv_get(struct gv *gv, unsigned reg, unsigned size)
{
	return fake_read(gv->h, gv->common + reg, size);
}

void gv_put(struct gv *gv, unsigned reg, unsigned size, uint64_t value)
{
	fake_write(gv->h, gv->common + reg, value, size);
}

uint8_t gv_status(struct gv *gv)
{
	return (uint8_t)gv_get(gv, VPCI_COMMON_STATUS, 1);
}

static void add_status(struct gv *gv, uint8_t bits)
{
	gv_put(gv, VPCI_COMMON_STATUS, 1, gv_status(gv) | bits);
}

struct virtio_features gv_offered(struct gv *gv)
{
	struct virtio_features f = {0};

	for (unsigned i = 0; i < 2 * VIRTIO_FEATURE_WORDS; i++) {
		gv_put(gv, VPCI_COMMON_DFSELECT, 4, i);
		f.w[i / 2] |= gv_get(gv, VPCI_COMMON_DF, 4) << (i % 2 * 32);
	}
	return f;
}

bool gv_negotiate(struct gv *gv, const struct virtio_features *features)
{
	gv_put(gv, VPCI_COMMON_STATUS, 1, 0);
	add_status(gv, VIRTIO_STATUS_ACKNOWLEDGE);
	add_status(gv, VIRTIO_STATUS_DRIVER);
	for (unsigned i = 0; i < 2 * VIRTIO_FEATURE_WORDS; i++) {
		gv_put(gv, VPCI_COMMON_GFSELECT, 4, i);
		gv_put(gv, VPCI_COMMON_GF, 4, (uint32_t)(features->w[i / 2] >> (i % 2 * 32)));
	}
	add_status(gv, VIRTIO_STATUS_FEATURES_OK);
	gv->features = *features;
	return gv_status(gv) & VIRTIO_STATUS_FEATURES_OK;
}

bool gv_negotiate_all(struct gv *gv)
{
	struct virtio_features all = gv_offered(gv);

	return gv_negotiate(gv, &all);
}

uint64_t gv_alloc(struct gv *gv, uint64_t size)
{
	uint64_t gpa = gv->next_gpa;

	gv->next_gpa = ALIGN_UP(gpa + size, 4096);
	if (gv->next_gpa > FAKE_RAM)
		abort();
	memset(gv_hva(gv, gpa), 0, size);
	return gpa;
}

void *gv_hva(struct gv *gv, uint64_t gpa)
{
	return mem_translate(guest_mem_table(gv->h->mem), gpa, 1, MEM_WRITE);
}

void gv_queue(struct gv *gv, unsigned index, unsigned size, uint16_t vector)
{
	struct vring_config *cfg = &gv->cfg[index];
	struct error err = {0};

	gv_put(gv, VPCI_COMMON_Q_SELECT, 2, index);
	if (size)
		gv_put(gv, VPCI_COMMON_Q_SIZE, 2, size);
	*cfg = (struct vring_config){
		.size = (uint32_t)gv_get(gv, VPCI_COMMON_Q_SIZE, 2),
		.packed = features_has(&gv->features, VIRTIO_F_RING_PACKED),
		.event_idx = features_has(&gv->features, VIRTIO_RING_F_EVENT_IDX),
		.indirect = features_has(&gv->features, VIRTIO_RING_F_INDIRECT_DESC),
		.in_order = features_has(&gv->features, VIRTIO_F_IN_ORDER),
	};
	cfg->desc = gv_alloc(gv, vring_desc_bytes(cfg));
	cfg->driver = gv_alloc(gv, vring_driver_bytes(cfg));
	cfg->device = gv_alloc(gv, vring_device_bytes(cfg));
	vdrv_free(gv->drv[index]);
	gv->drv[index] = vdrv_create();
	if (vdrv_start(gv->drv[index], cfg, guest_mem_table(gv->h->mem), &err))
		abort();
	gv_put(gv, VPCI_COMMON_Q_MSIX, 2, vector);
	/* One by halves, as 32-bit drivers do. */
	gv_put(gv, VPCI_COMMON_Q_DESC, 4, (uint32_t)cfg->desc);
	gv_put(gv, VPCI_COMMON_Q_DESC + 4, 4, cfg->desc >> 32);
	gv_put(gv, VPCI_COMMON_Q_DRIVER, 8, cfg->driver);
	gv_put(gv, VPCI_COMMON_Q_DEVICE, 8, cfg->device);
	gv_put(gv, VPCI_COMMON_Q_ENABLE, 2, 1);
}

void gv_driver_ok(struct gv *gv)
{
	add_status(gv, VIRTIO_STATUS_DRIVER_OK);
}

void gv_kick(struct gv *gv, unsigned index)
{
	uint64_t off;

	gv_put(gv, VPCI_COMMON_Q_SELECT, 2, index);
	off = gv_get(gv, VPCI_COMMON_Q_NOFF, 2);
	fake_write(gv->h, gv->notify + off * gv->multiplier, index, 2);
}

void gv_vector(struct gv *gv, unsigned n, uint32_t data)
{
	uint64_t entry = gv->msix_table + 16 * n;

	fake_config_write(gv->h, gv->slot, gv->msix_cap + PCI_MSIX_FLAGS, 2, PCI_MSIX_FLAGS_ENABLE);
	fake_write(gv->h, entry, 0xfee00000, 8);
	fake_write(gv->h, entry + 8, data, 4);
	fake_write(gv->h, entry + 12, 0, 4);
}

int gv_command(struct gv *gv, unsigned queue, uint8_t class, uint8_t command, const void *data,
	       unsigned len)
{
	uint64_t base = gv_alloc(gv, len + 64);
	uint8_t *p = gv_hva(gv, base);
	struct vdrv_sg sg[3] = {{base + 32, 2}, {base + 64, len}, {base, 1}};
	unsigned out = len ? 2 : 1;
	void *cookie;
	uint32_t written = 0;

	p[0] = 0xee;
	p[32] = class;
	p[33] = command;
	if (len)
		memcpy(p + 64, data, len);
	else
		sg[1] = sg[2];
	if (vdrv_add(gv->drv[queue], sg, out, 1, false, 0, gv))
		return -1;
	if (vdrv_publish(gv->drv[queue]))
		gv_kick(gv, queue);
	fake_pump(gv->h);
	if (vdrv_get(gv->drv[queue], &cookie, &written) != 1 || written != 1)
		return -1;
	gv->next_gpa = base; /* and again */
	return p[0];
}
