/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DEVICE_NIC_HEAD_H
#define DEVICE_NIC_HEAD_H

#include "net/ether.h"
#include "net/offload.h"

/*
 * The headers of a frame that a chip changes on its way out. The frame's data lies in guest memory
 * and stays there; the headers move into a private copy that becomes the first part of its iovec.
 * A frame here is a net_frame whose iov is an array of the caller's with room for two parts more.
 */
#define NIC_HEAD_MAX 256 /* bytes in a private copy, a tag that is inserted included */

/** Whether the frame's headers are a private copy already. */
static inline bool nic_head_taken(const struct net_frame *frame, const uint8_t *head)
{
	return frame->niov && frame->iov[0].iov_base == head;
}

/**
 * Makes the first n bytes of the frame a private copy in head (NIC_HEAD_MAX). False if the frame is
 * shorter, or they do not fit.
 */
bool nic_head_take(struct net_frame *frame, struct iovec *iov, uint8_t *head, unsigned n);

/** Inserts an 802.1Q tag behind the addresses; takes the headers if need be. */
bool nic_head_tag(struct net_frame *frame, struct iovec *iov, uint8_t *head, uint16_t ethertype,
		  uint16_t tci);

/**
 * Leaves the TCP or UDP checksum of a frame with these (private) headers to be completed: the
 * pseudo header's sum into the field, frame->off set.
 */
void nic_head_csum(struct net_frame *frame, uint8_t *head, const struct net_headers *h);

/**
 * Prepares headers for segmentation: lengths and checksums of the whole, as a receiver of the
 * unsegmented frame expects them.
 */
void nic_head_tso(uint8_t *head, const struct net_headers *h, uint32_t frame_len);

#endif
