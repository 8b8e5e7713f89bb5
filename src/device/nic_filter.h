/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DEVICE_NIC_FILTER_H
#define DEVICE_NIC_FILTER_H

#include "base/util.h"

/*
 * What receive filters of real chips are made of: the Ethernet CRC (IEEE 802.3, 3.2.9), of which
 * many use some bits as a multicast hash, and bitmaps.
 */

#define NIC_CRC_INIT UINT32_MAX

/**
 * The CRC register after len more bytes, least significant bit first. The frame check sequence is
 * its complement, stored little-endian.
 */
uint32_t nic_crc32(uint32_t crc, const void *data, size_t len);

/** The hash that RTL8139 and i82559 use: the top six bits of the CRC sent most significant first. */
unsigned nic_hash6(const uint8_t mac[6]);

static inline bool nic_bitmap_has(const uint32_t *words, unsigned bit)
{
	return words[bit / 32] >> (bit % 32) & 1;
}

#endif
