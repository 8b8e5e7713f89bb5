/* SPDX-License-Identifier: Apache-2.0 */
#ifndef VIRTIO_TRANSPORT_H
#define VIRTIO_TRANSPORT_H

#include "virtio/virtio.h"

/*
 * What a driver does to a device, for transports. All take dev->lock held, from any thread, unless
 * said otherwise; none of them waits. After the accesses, and without any lock, the transport
 * calls virtio_settle().
 */

/** 32 feature bits; select beyond the last word reads 0. */
uint32_t virtio_offered_word(const struct virtio_dev *dev, uint32_t select);
uint32_t virtio_acked_word(const struct virtio_dev *dev, uint32_t select);
/** Ignored after FEATURES_OK. Bits that were not offered are remembered and refused there. */
void virtio_ack_word(struct virtio_dev *dev, uint32_t select, uint32_t value);

/** A write of the status register, by the rules of virtio 1.2, 2.1.2 and 3.1.1. */
void virtio_status_write(struct virtio_dev *dev, uint8_t value);

/** Config space; bytes beyond its end read 0, writes there are ignored. */
void virtio_config_read(struct virtio_dev *dev, unsigned offset, void *buf, unsigned len);
void virtio_config_write(struct virtio_dev *dev, unsigned offset, const void *buf, unsigned len);
uint8_t virtio_config_generation(struct virtio_dev *dev);

/* Queue registers; index may be anything. Writes to an enabled queue's are ignored. */
enum virtio_queue_addr { VIRTIO_QUEUE_DESC, VIRTIO_QUEUE_DRIVER, VIRTIO_QUEUE_DEVICE };
void virtio_queue_set_size(struct virtio_dev *dev, unsigned index, uint16_t size);
void virtio_queue_set_addr(struct virtio_dev *dev, unsigned index, enum virtio_queue_addr which,
			   uint64_t mask, uint64_t value);
void virtio_queue_enable(struct virtio_dev *dev, unsigned index);
void virtio_queue_reset(struct virtio_dev *dev, unsigned index);

/** virtio_needs_reset() for who has the lock. */
void virtio_needs_reset_locked(struct virtio_dev *dev);

/** The transport allows or forbids DMA (bus master). */
void virtio_set_dma(struct virtio_dev *dev, bool allowed);

/**
 * Without locks: has what the accesses asked for done by the control thread and waits for it, but
 * not for ever (virtio.c says why).
 */
void virtio_settle(struct virtio_dev *dev);

/** Lets go of whoever waits in virtio_settle(), now and (until false) later. */
void virtio_no_waiting(struct virtio_dev *dev, bool on);

#endif
