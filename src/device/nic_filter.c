/* SPDX-License-Identifier: Apache-2.0 */
#include "device/nic_filter.h"

/* Remainders of four bits at a time, for the polynomial 0x04c11db7 read backwards. */
static const uint32_t crc_nibble[16] = {
	0x00000000, 0x1db71064, 0x3b6e20c8, 0x26d930ac, 0x76dc4190, 0x6b6b51f4,
	0x4db26158, 0x5005713c, 0xedb88320, 0xf00f9344, 0xd6d6a3e8, 0xcb61b38c,
	0x9b64c2b0, 0x86d3d2d4, 0xa00ae278, 0xbdbdf21c,
};

uint32_t nic_crc32(uint32_t crc, const void *data, size_t len)
{
	const uint8_t *p = data;

	for (size_t i = 0; i < len; i++) {
		crc ^= p[i];
		crc = crc >> 4 ^ crc_nibble[crc & 15];
		crc = crc >> 4 ^ crc_nibble[crc & 15];
	}
	return crc;
}

unsigned nic_hash6(const uint8_t mac[6])
{
	uint32_t crc = nic_crc32(NIC_CRC_INIT, mac, 6);
	unsigned hash = 0;

	/* The top bits of the mirrored register are the low ones of this, in reverse. */
	for (unsigned i = 0; i < 6; i++)
		hash = hash << 1 | (crc >> i & 1);
	return hash;
}
