// SPDX-License-Identifier: Apache-2.0
/*
 * What a driver may do to a device's registers, and when (virtio 1.2, 2.1, 2.2, 2.5, 3.1, 4.1.4.3).
 * Everything here runs with dev->lock held and only changes registers; virtio.c acts on them.
 */
#include "virtio/transport.h"

#include <errno.h>

#include "base/log.h"
#include "mem/quiesce.h"

/* Asks the control thread to look. */
static void ask(struct virtio_dev *dev)
{
	dev->asked++;
}

uint32_t virtio_offered_word(const struct virtio_dev *dev, uint32_t select)
{
	if (select >= 2 * VIRTIO_FEATURE_WORDS)
		return 0;
	return (uint32_t)(dev->offered.w[select / 2] >> (select % 2 * 32));
}

uint32_t virtio_acked_word(const struct virtio_dev *dev, uint32_t select)
{
	if (select >= 2 * VIRTIO_FEATURE_WORDS)
		return 0;
	return (uint32_t)(dev->acked.w[select / 2] >> (select % 2 * 32));
}

void virtio_ack_word(struct virtio_dev *dev, uint32_t select, uint32_t value)
{
	unsigned shift = select % 2 * 32;
	uint64_t *word;

	if (dev->reset_wanted || dev->status & VIRTIO_STATUS_FEATURES_OK)
		return;
	if (select >= 2 * VIRTIO_FEATURE_WORDS)
		return;
	word = &dev->acked.w[select / 2];
	*word = (*word & ~(0xffffffffULL << shift)) | (uint64_t)value << shift;
}

static bool features_acceptable(const struct virtio_dev *dev)
{
	struct error err = {0};

	if (!features_within(&dev->acked, &dev->offered)) {
		log_warn_limited("%s: the driver accepted features that were not offered", dev->id);
		return false;
	}
	if (!virtio_has(dev, VIRTIO_F_VERSION_1)) {
		log_warn_limited("%s: the driver does not speak virtio 1.0 or later", dev->id);
		return false;
	}
	if (dev->ops->check_features && dev->ops->check_features(dev, &dev->acked, &err)) {
		log_warn_limited("%s: features refused: %s", dev->id, err.text);
		return false;
	}
	return true;
}

/* The bits of added that may be set now. Each needs those before it (virtio 1.2, 3.1.1). */
static uint8_t status_allowed(const struct virtio_dev *dev, uint8_t added)
{
	uint8_t status = dev->status;

	if (added & VIRTIO_STATUS_ACKNOWLEDGE)
		status |= VIRTIO_STATUS_ACKNOWLEDGE;
	if (added & VIRTIO_STATUS_DRIVER)
		status |= VIRTIO_STATUS_DRIVER;
	if (added & VIRTIO_STATUS_FEATURES_OK && status & VIRTIO_STATUS_DRIVER &&
	    features_acceptable(dev))
		status |= VIRTIO_STATUS_FEATURES_OK;
	if (added & VIRTIO_STATUS_DRIVER_OK && status & VIRTIO_STATUS_FEATURES_OK)
		status |= VIRTIO_STATUS_DRIVER_OK;
	if (added & VIRTIO_STATUS_FAILED)
		status |= VIRTIO_STATUS_FAILED;
	return status;
}

void virtio_status_write(struct virtio_dev *dev, uint8_t value)
{
	if (dev->reset_wanted)
		return;
	ask(dev);
	if (!value) {
		dev->reset_wanted = true;
		return;
	}
	/* A driver must not clear bits one by one (2.1.1); those it leaves out stay. */
	dev->status = status_allowed(dev, (uint8_t)(value & ~dev->status));
}

void virtio_config_read(struct virtio_dev *dev, unsigned offset, void *buf, unsigned len)
{
	memset(buf, 0, len);
	if (offset < dev->config_len)
		memcpy(buf, dev->config + offset, MIN(len, dev->config_len - offset));
}

void virtio_config_write(struct virtio_dev *dev, unsigned offset, const void *buf, unsigned len)
{
	const uint8_t *bytes = buf;
	bool changed = false;

	if (dev->reset_wanted || offset >= dev->config_len)
		return;
	len = MIN(len, dev->config_len - offset);
	for (unsigned i = 0; i < len; i++) {
		uint8_t mask = dev->config_writable[offset + i];
		uint8_t *byte = &dev->config[offset + i];

		changed |= mask != 0;
		*byte = (uint8_t)((*byte & ~mask) | (bytes[i] & mask));
	}
	if (changed && dev->ops->config_written)
		dev->ops->config_written(dev, offset, len);
}

uint8_t virtio_config_generation(struct virtio_dev *dev)
{
	dev->generation_seen = true;
	return dev->generation;
}

/* The queue, if its registers may be written. */
static struct virtio_queue *queue_open(struct virtio_dev *dev, unsigned index)
{
	struct virtio_queue *q;

	if (index >= dev->nqueues || dev->reset_wanted)
		return NULL;
	q = &dev->queues[index];
	return q->enabled || q->resetting ? NULL : q;
}

void virtio_queue_set_size(struct virtio_dev *dev, unsigned index, uint16_t size)
{
	struct virtio_queue *q = queue_open(dev, index);

	if (q && size && size <= q->size_max)
		q->size = size;
}

void virtio_queue_set_addr(struct virtio_dev *dev, unsigned index, enum virtio_queue_addr which,
			   uint64_t mask, uint64_t value)
{
	struct virtio_queue *q = queue_open(dev, index);
	uint64_t *addr;

	if (!q)
		return;
	addr = which == VIRTIO_QUEUE_DESC     ? &q->desc
	       : which == VIRTIO_QUEUE_DRIVER ? &q->driver
					      : &q->device;
	*addr = (*addr & ~mask) | (value & mask);
}

/* Whether [gpa, gpa + len) is memory the device may use, aligned as it must be (2.6, 2.8). */
static bool part_fits(const struct mem_table *table, uint64_t gpa, uint64_t len, unsigned align)
{
	return gpa % align == 0 && mem_find(table, gpa, len);
}

static const char *queue_refused(const struct virtio_dev *dev, const struct virtio_queue *q)
{
	struct vring_config cfg = {
		.size = q->size,
		.packed = virtio_has(dev, VIRTIO_F_RING_PACKED),
		.event_idx = virtio_has(dev, VIRTIO_RING_F_EVENT_IDX),
	};
	const struct mem_table *table = guest_mem_table(dev->mem);

	if (!cfg.packed && !is_pow2(q->size))
		return "its size is not a power of two";
	if (!table || !part_fits(table, q->desc, vring_desc_bytes(&cfg), 16))
		return "its descriptors are not in memory or misaligned";
	if (!part_fits(table, q->driver, vring_driver_bytes(&cfg), cfg.packed ? 4 : 2))
		return "its driver area is not in memory or misaligned";
	if (!part_fits(table, q->device, vring_device_bytes(&cfg), 4))
		return "its device area is not in memory or misaligned";
	return NULL;
}

void virtio_queue_enable(struct virtio_dev *dev, unsigned index)
{
	struct virtio_queue *q = queue_open(dev, index);
	struct quiesce_reader reader = {0}; /* for the memory table */
	const char *why;

	if (!q || !(dev->status & VIRTIO_STATUS_FEATURES_OK))
		return;
	ask(dev);
	quiesce_register(&reader);
	why = queue_refused(dev, q);
	quiesce_unregister(&reader);
	if (!why) {
		q->enabled = true;
		return;
	}
	log_warn_limited("%s: the driver's queue %u cannot be used: %s", dev->id, index, why);
	virtio_needs_reset_locked(dev);
}

void virtio_queue_reset(struct virtio_dev *dev, unsigned index)
{
	if (index >= dev->nqueues || dev->reset_wanted || !virtio_has(dev, VIRTIO_F_RING_RESET) ||
	    !dev->queues[index].enabled)
		return;
	ask(dev);
	dev->queues[index].resetting = true;
}

void virtio_set_dma(struct virtio_dev *dev, bool allowed)
{
	if (dev->dma_allowed == allowed)
		return;
	dev->dma_allowed = allowed;
	ask(dev);
}
