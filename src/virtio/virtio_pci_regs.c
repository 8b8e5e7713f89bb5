// SPDX-License-Identifier: Apache-2.0
/*
 * The structures in virtio-pci's BAR: common configuration, ISR, device configuration and
 * notifications (virtio 1.2, 4.1.4).
 *
 * Reads of any size are served from an image of the common configuration. Writes are taken only
 * as the specification has drivers make them (4.1.3.1): each field by its own size, the 64-bit
 * ones also by halves; anything else is ignored.
 */
#include "virtio/virtio_pci_internal.h"

#include <sys/eventfd.h>

#include "virtio/transport.h"

static void common_image(struct virtio_pci *vp, uint8_t *image)
{
	struct virtio_dev *vdev = vp->vdev;
	const struct virtio_queue *q = NULL;

	memset(image, 0, VPCI_COMMON_SIZE);
	store_le32(image + VPCI_COMMON_DFSELECT, vp->device_select);
	store_le32(image + VPCI_COMMON_DF, virtio_offered_word(vdev, vp->device_select));
	store_le32(image + VPCI_COMMON_GFSELECT, vp->driver_select);
	store_le32(image + VPCI_COMMON_GF, virtio_acked_word(vdev, vp->driver_select));
	store_le16(image + VPCI_COMMON_MSIX, vp->config_vector);
	store_le16(image + VPCI_COMMON_NUMQ, (uint16_t)vdev->nqueues);
	image[VPCI_COMMON_STATUS] = vdev->status;
	store_le16(image + VPCI_COMMON_Q_SELECT, vp->queue_select);
	store_le16(image + VPCI_COMMON_Q_MSIX, VIRTIO_NO_VECTOR);
	if (vp->queue_select < vdev->nqueues)
		q = &vdev->queues[vp->queue_select];
	if (!q)
		return; /* a queue that is not there has size 0 (4.1.4.3.1) */
	store_le16(image + VPCI_COMMON_Q_SIZE, q->size);
	store_le16(image + VPCI_COMMON_Q_MSIX, q->vector);
	store_le16(image + VPCI_COMMON_Q_ENABLE, q->enabled);
	store_le16(image + VPCI_COMMON_Q_NOFF, vp->queue_select);
	store_le64(image + VPCI_COMMON_Q_DESC, q->desc);
	store_le64(image + VPCI_COMMON_Q_DRIVER, q->driver);
	store_le64(image + VPCI_COMMON_Q_DEVICE, q->device);
	store_le16(image + VPCI_COMMON_Q_NDATA, vp->queue_select);
	store_le16(image + VPCI_COMMON_Q_RESET, q->resetting);
}

static uint64_t common_read(struct virtio_pci *vp, unsigned offset, unsigned size)
{
	uint8_t image[VPCI_COMMON_SIZE + 8] = {0};
	uint8_t bytes[8] = {0};

	if (offset >= VPCI_COMMON_SIZE)
		return 0;
	common_image(vp, image);
	if (offset <= VPCI_COMMON_CFGGENERATION && offset + size > VPCI_COMMON_CFGGENERATION)
		image[VPCI_COMMON_CFGGENERATION] = virtio_config_generation(vp->vdev);
	memcpy(bytes, image + offset, size);
	return load_le64(bytes);
}

/* One of the three 64-bit addresses, whole or by halves. */
static void addr_write(struct virtio_pci *vp, unsigned offset, uint64_t value, unsigned size)
{
	enum virtio_queue_addr which = (offset - VPCI_COMMON_Q_DESC) / 8;
	uint64_t mask = size == 8 ? UINT64_MAX : UINT32_MAX;

	if (size != 8 && size != 4)
		return;
	if (offset % 8) {
		mask <<= 32;
		value <<= 32;
	}
	virtio_queue_set_addr(vp->vdev, vp->queue_select, which, mask, value);
}

static void common_write16(struct virtio_pci *vp, unsigned offset, uint16_t value)
{
	struct virtio_dev *vdev = vp->vdev;

	switch (offset) {
	case VPCI_COMMON_MSIX:
		virtio_pci_set_config_vector(vp, value);
		break;
	case VPCI_COMMON_Q_SELECT:
		vp->queue_select = value;
		break;
	case VPCI_COMMON_Q_SIZE:
		virtio_queue_set_size(vdev, vp->queue_select, value);
		break;
	case VPCI_COMMON_Q_MSIX:
		virtio_pci_set_queue_vector(vp, vp->queue_select, value);
		break;
	case VPCI_COMMON_Q_ENABLE:
		if (value == 1)
			virtio_queue_enable(vdev, vp->queue_select);
		break;
	case VPCI_COMMON_Q_RESET:
		if (value == 1)
			virtio_queue_reset(vdev, vp->queue_select);
		break;
	default:
		break;
	}
}

static void common_write(struct virtio_pci *vp, unsigned offset, uint64_t value, unsigned size)
{
	if (offset >= VPCI_COMMON_Q_DESC && offset < VPCI_COMMON_Q_NDATA)
		addr_write(vp, offset, value, size);
	else if (size == 1 && offset == VPCI_COMMON_STATUS)
		virtio_status_write(vp->vdev, (uint8_t)value);
	else if (size == 2)
		common_write16(vp, offset, (uint16_t)value);
	else if (size == 4 && offset == VPCI_COMMON_DFSELECT)
		vp->device_select = (uint32_t)value;
	else if (size == 4 && offset == VPCI_COMMON_GFSELECT)
		vp->driver_select = (uint32_t)value;
	else if (size == 4 && offset == VPCI_COMMON_GF)
		virtio_ack_word(vp->vdev, vp->driver_select, (uint32_t)value);
}

/* A kick that no ioeventfd took: the address says which queue, as the value would. */
static void notify_write(struct virtio_pci *vp, unsigned offset)
{
	unsigned index = offset / vpci_multiplier(vp->page_doorbells);

	if (index < vp->vdev->nqueues)
		(void)eventfd_write(vp->vdev->queues[index].kick_fd, 1);
}

uint64_t virtio_pci_bar_read(struct virtio_pci *vp, uint64_t offset, unsigned size)
{
	uint8_t bytes[8] = {0};
	uint64_t value = 0;

	pthread_mutex_lock(&vp->vdev->lock);
	if (offset < VPCI_ISR) {
		value = common_read(vp, (unsigned)offset, size);
	} else if (offset == VPCI_ISR) {
		value = virtio_pci_isr_read(vp);
	} else if (offset >= VPCI_DEVICE && offset < VPCI_NOTIFY) {
		virtio_config_read(vp->vdev, (unsigned)offset - VPCI_DEVICE, bytes, size);
		value = load_le64(bytes);
	}
	pthread_mutex_unlock(&vp->vdev->lock);
	return value;
}

void virtio_pci_bar_write(struct virtio_pci *vp, uint64_t offset, uint64_t value, unsigned size)
{
	uint8_t bytes[8];

	if (offset >= VPCI_NOTIFY) {
		notify_write(vp, (unsigned)offset - VPCI_NOTIFY);
		return;
	}
	store_le64(bytes, value);
	pthread_mutex_lock(&vp->vdev->lock);
	if (offset < VPCI_ISR)
		common_write(vp, (unsigned)offset, value, size);
	else if (offset >= VPCI_DEVICE)
		virtio_config_write(vp->vdev, (unsigned)offset - VPCI_DEVICE, bytes, size);
	pthread_mutex_unlock(&vp->vdev->lock);
}
