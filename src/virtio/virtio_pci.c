// SPDX-License-Identifier: Apache-2.0
/*
 * virtio-pci: the PCI function, its capabilities, and its kicks.
 *
 * Locks. (pages_lock is a leaf: the control thread takes it with the PCI device's held, at a reset,
 * or without.) BAR handlers run without the PCI device's lock (pci_bar.unlocked), so that they can wait
 * for the control thread in virtio_settle(); registers are under vdev->lock. The same registers can
 * be reached through the pci-cfg capability in config space (virtio 1.2, 4.1.4.9): those accesses
 * come with the PCI device's lock held and wait in the settle op, after it is released.
 *
 * Kicks. Each queue has a doorbell of its own in the BAR, at which an ioeventfd signals the
 * queue's kick eventfd; they follow the BAR. Where there is no ioeventfd the write comes to
 * virtio_pci_bar_write(), which signals. With page_doorbells a doorbell can also be a page of
 * somebody else's, which lies over it: the guest's writes then stay there, unseen by us.
 */
#include "virtio/virtio_pci_internal.h"

#include <errno.h>
#include <linux/pci_regs.h>
#include <linux/virtio_pci.h>
#include <stdlib.h>

#include "base/log.h"
#include "bus/msix.h"
#include "virtio/transport.h"

#define VENDOR_VIRTIO	0x1af4
#define CFG_DATA_OFFSET (sizeof(struct virtio_pci_cap))

static struct virtio_pci *vp_of(struct pci_dev *pci)
{
	return pci->opaque;
}

static uint64_t bar_read(void *opaque, uint64_t offset, unsigned size)
{
	return virtio_pci_bar_read(vp_of(opaque), offset, size);
}

static void bar_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
	struct virtio_pci *vp = vp_of(opaque);

	virtio_pci_bar_write(vp, offset, value, size);
	if (offset < VPCI_ISR)
		virtio_settle(vp->vdev);
}

static const struct bus_range_ops bar_ops = {.read = bar_read, .write = bar_write};

/*
 * The window in config space.
 */

/* What the driver's cap.bar, cap.offset and cap.length name, if the BAR has it. */
static bool window_target(const struct virtio_pci *vp, uint32_t *offset, uint32_t *len)
{
	const uint8_t *cap = vp->pci->config + vp->cfg_cap;

	*offset = load_le32(cap + offsetof(struct virtio_pci_cap, offset));
	*len = load_le32(cap + offsetof(struct virtio_pci_cap, length));
	return cap[offsetof(struct virtio_pci_cap, bar)] == VPCI_BAR &&
	       (*len == 1 || *len == 2 || *len == 4) && *offset % *len == 0 &&
	       *offset <= vp->pci->bars[VPCI_BAR].size - *len;
}

static bool window_touched(const struct virtio_pci *vp, unsigned offset, unsigned size)
{
	unsigned data = vp->cfg_cap + CFG_DATA_OFFSET;

	return offset < data + 4 && data < offset + size;
}

static bool config_read(struct pci_dev *pci, unsigned offset, unsigned size, uint32_t *value)
{
	struct virtio_pci *vp = vp_of(pci);
	uint32_t target, len;

	if (window_touched(vp, offset, size) && window_target(vp, &target, &len))
		store_le32(pci->config + vp->cfg_cap + CFG_DATA_OFFSET,
			   (uint32_t)virtio_pci_bar_read(vp, target, len));
	return false; /* the generic read now finds it there */
}

static void config_written(struct pci_dev *pci, unsigned offset, unsigned size)
{
	struct virtio_pci *vp = vp_of(pci);
	uint32_t target, len;

	if (window_touched(vp, offset, size) && window_target(vp, &target, &len))
		virtio_pci_bar_write(vp, target,
				     load_le32(pci->config + vp->cfg_cap + CFG_DATA_OFFSET), len);
	pthread_mutex_lock(&vp->vdev->lock);
	virtio_set_dma(vp->vdev, pci_dev_bus_master(pci));
	pthread_mutex_unlock(&vp->vdev->lock);
}

static void settle(struct pci_dev *pci)
{
	virtio_settle(vp_of(pci)->vdev);
}

/*
 * Kicks.
 */

static uint64_t doorbell_addr(const struct virtio_pci *vp, unsigned index)
{
	return vp->notify_addr + index * (uint64_t)vpci_multiplier(vp->page_doorbells);
}

static void ioeventfd_set(struct virtio_pci *vp, unsigned index, bool add)
{
	struct bus_host *host = vp->pci->host;
	uint64_t addr = doorbell_addr(vp, index);
	int ret;

	if (!host->ops->ioeventfd || vp->ioeventfds[index] == add)
		return;
	ret = host->ops->ioeventfd(host, add, BUS_MMIO, addr, 0, vp->vdev->queues[index].kick_fd);
	if (ret && ret != -ENOTSUP)
		log_warn_limited("%s: ioeventfd of queue %u: %s: kicks go through the VMM",
				 vp->vdev->id, index, error_name(ret));
	vp->ioeventfds[index] = add && !ret;
}

/* Has the page in the guest, or not: where it is not, the ioeventfd behind it hears the kicks. */
static int page_put(struct virtio_pci *vp, unsigned index, bool in_guest)
{
	struct bus_host *host = vp->pci->host;
	struct vpci_page *page = &vp->pages[index];
	uint64_t addr = doorbell_addr(vp, index);
	int ret;

	if (page->in_guest) {
		ret = host->ops->unmap_memory(host, page->in_guest);
		if (ret && ret != -ENOENT) /* it was gone, and taken back */
			return ret;
		page->in_guest = 0;
	}
	if (!page->hva || !in_guest)
		return 0;
	ret = host->ops->lend_memory(host, addr, VPCI_PAGE, page->hva);
	if (ret)
		log_warn_limited("%s: the doorbell of queue %u is not mapped (%s): kicks take the "
				 "long way",
				 vp->vdev->id, index, error_name(ret));
	else
		page->in_guest = addr;
	return ret;
}

static int queue_doorbell(struct virtio_dev *vdev, unsigned index, void *hva)
{
	struct virtio_pci *vp = vdev->transport_data;
	const struct bus_host_ops *ops = vp->pci->host->ops;
	int ret;

	if (!vp->pages || !ops->lend_memory)
		return hva ? -ENOTSUP : 0;
	if (index >= vdev->nqueues)
		return -EINVAL;
	pthread_mutex_lock(&vp->pages_lock);
	vp->pages[index].hva = NULL;
	ret = page_put(vp, index, false);
	if (!ret && hva) {
		vp->pages[index].hva = hva;
		ret = page_put(vp, index, vp->pages_mapped);
		if (ret)
			vp->pages[index].hva = NULL;
	}
	pthread_mutex_unlock(&vp->pages_lock);
	return ret;
}

static void bar_moved(struct pci_dev *pci, unsigned bar, bool mapped)
{
	struct virtio_pci *vp = vp_of(pci);

	if (bar != VPCI_BAR)
		return;
	pthread_mutex_lock(&vp->pages_lock);
	if (mapped)
		vp->notify_addr = pci->bars[bar].addr + VPCI_NOTIFY;
	vp->pages_mapped = mapped;
	for (unsigned i = 0; i < vp->vdev->nqueues; i++) {
		ioeventfd_set(vp, i, mapped);
		if (vp->pages)
			page_put(vp, i, mapped);
	}
	pthread_mutex_unlock(&vp->pages_lock);
	/* Whoever unmaps it may be about to wait for those who wait for the control thread. */
	virtio_no_waiting(vp->vdev, !mapped);
}

static void msix_changed(struct pci_dev *pci, bool enabled)
{
	virtio_pci_irq_mode(vp_of(pci), enabled);
}

static void reset(struct pci_dev *pci)
{
	struct virtio_pci *vp = vp_of(pci);

	virtio_reset(vp->vdev);
	pthread_mutex_lock(&vp->vdev->lock);
	vp->vdev->dma_allowed = false;
	pthread_mutex_unlock(&vp->vdev->lock);
	virtio_pci_irq_mode(vp, false);
}

static void pause_device(struct pci_dev *pci, bool paused)
{
	virtio_pause(vp_of(pci)->vdev, paused);
}

static void destroy(struct pci_dev *pci)
{
	struct virtio_pci *vp = vp_of(pci);

	virtio_reset(vp->vdev);
	vp->vdev->ops->destroy(vp->vdev);
}

static const struct pci_dev_ops pci_ops = {
	.config_written = config_written,
	.config_read = config_read,
	.settle = settle,
	.bar_moved = bar_moved,
	.msix_changed = msix_changed,
	.reset = reset,
	.pause = pause_device,
	.destroy = destroy,
};

/*
 * Making one.
 */

static unsigned add_cap(struct virtio_pci *vp, uint8_t type, unsigned len, uint32_t offset,
			uint32_t size)
{
	unsigned at = pci_dev_add_cap(vp->pci, PCI_CAP_ID_VNDR, len);
	uint8_t *cap = vp->pci->config + at;

	if (!at)
		return 0;
	cap[offsetof(struct virtio_pci_cap, cap_len)] = (uint8_t)len;
	cap[offsetof(struct virtio_pci_cap, cfg_type)] = type;
	cap[offsetof(struct virtio_pci_cap, bar)] = VPCI_BAR;
	store_le32(cap + offsetof(struct virtio_pci_cap, offset), offset);
	store_le32(cap + offsetof(struct virtio_pci_cap, length), size);
	return at;
}

static int add_caps(struct virtio_pci *vp, struct error *err)
{
	const unsigned len = sizeof(struct virtio_pci_cap);
	struct pci_dev *pci = vp->pci;
	unsigned notify, cfg;

	add_cap(vp, VIRTIO_PCI_CAP_COMMON_CFG, len, VPCI_COMMON, VPCI_COMMON_SIZE);
	add_cap(vp, VIRTIO_PCI_CAP_ISR_CFG, len, VPCI_ISR, 1);
	if (vp->vdev->config_len)
		add_cap(vp, VIRTIO_PCI_CAP_DEVICE_CFG, len, VPCI_DEVICE,
			(uint32_t)ALIGN_UP(vp->vdev->config_len, 4));
	notify = add_cap(vp, VIRTIO_PCI_CAP_NOTIFY_CFG, len + 4, VPCI_NOTIFY,
			 vp->vdev->nqueues * vpci_multiplier(vp->page_doorbells));
	cfg = add_cap(vp, VIRTIO_PCI_CAP_PCI_CFG, len + 4, 0, 0);
	if (!notify || !cfg)
		return error_set(err, -ENOSPC, "%s: no room for the virtio capabilities",
				 vp->vdev->id);
	store_le32(pci->config + notify + len, vpci_multiplier(vp->page_doorbells));
	vp->cfg_cap = cfg;
	pci->config[cfg + offsetof(struct virtio_pci_cap, bar)] = 0;
	pci->writable[cfg + offsetof(struct virtio_pci_cap, bar)] = 0xff;
	memset(pci->writable + cfg + offsetof(struct virtio_pci_cap, offset), 0xff, 12);
	return 0;
}

static const struct virtio_transport transport = {
	.config_changed = virtio_pci_config_changed,
	.queue_doorbell = queue_doorbell,
	.queue_forgotten = virtio_pci_queue_forgotten,
};

int virtio_pci_init(struct virtio_pci *vp, struct pci_dev *pci, struct virtio_dev *vdev,
		    uint32_t class_code, struct error *err)
{
	/* 4.1.2.1: device id 0x1040 + type; a revision and subsystem id of modern devices. */
	struct pci_ids ids = {
		.vendor = VENDOR_VIRTIO,
		.device = (uint16_t)(0x1040 + vdev->type),
		.subsystem_vendor = VENDOR_VIRTIO,
		.subsystem = (uint16_t)(0x1040 + vdev->type),
		.class_code = class_code,
		.revision = 1,
	};
	uint64_t size = VPCI_BAR_SIZE;
	int ret;

	vp->pci = pci;
	vp->vdev = vdev;
	vp->epoll_fd = -1;
	pci->ops = &pci_ops;
	pci->opaque = vp;
	pthread_mutex_init(&vp->pages_lock, NULL);
	pci_dev_init(pci, &ids);
	while (size - VPCI_NOTIFY < vdev->nqueues * (uint64_t)vpci_multiplier(vp->page_doorbells))
		size *= 2;
	vp->ioeventfds = calloc(vdev->nqueues, sizeof(*vp->ioeventfds));
	if (vp->page_doorbells)
		vp->pages = calloc(vdev->nqueues, sizeof(*vp->pages));
	if (!vp->ioeventfds || (vp->page_doorbells && !vp->pages))
		return error_set(err, -ENOMEM, "%s: out of memory", vdev->id);
	vdev->transport = &transport;
	vdev->transport_data = vp;
	pci_dev_add_express(pci);
	ret = msix_init(pci, vdev->nqueues + 1, VPCI_MSIX_BAR, err);
	if (!ret)
		ret = add_caps(vp, err);
	if (!ret)
		ret = virtio_pci_irq_init(vp, err);
	if (ret)
		return ret;
	pci->bars[VPCI_BAR].unlocked = true;
	pci->bars[VPCI_BAR].prefetch = true;
	pci_dev_bar(pci, VPCI_BAR, PCI_BAR_MEM64, size, &bar_ops);
	pci_dev_use_intx(pci);
	return 0;
}

void virtio_pci_fini(struct virtio_pci *vp)
{
	if (!vp->pci)
		return;
	virtio_pci_irq_fini(vp);
	free(vp->ioeventfds);
	free(vp->pages);
	pthread_mutex_destroy(&vp->pages_lock);
	pci_dev_fini(vp->pci);
	vp->pci = NULL;
}
