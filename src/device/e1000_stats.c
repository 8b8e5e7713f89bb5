/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Statistics (13.7): 32-bit counters that stop at their maximum and are cleared by reading, and four
 * 64-bit octet counters, cleared by reading their upper half. Lengths count the FCS.
 */
#include "device/e1000.h"
#include "net/ether.h"

#define STAT_PRC64 0x405c
#define STAT_GPRC  0x4074
#define STAT_BPRC  0x4078
#define STAT_MPRC  0x407c
#define STAT_GPTC  0x4080
#define STAT_GORCL 0x4088
#define STAT_GOTCL 0x4090
#define STAT_TORL  0x40c0
#define STAT_TOTL  0x40c8
#define STAT_TPR   0x40d0
#define STAT_TPT   0x40d4
#define STAT_PTC64 0x40d8
#define STAT_MPTC  0x40f0
#define STAT_BPTC  0x40f4

#define FCS_LEN	   4

void e1000_stats_reset(struct e1000 *e)
{
	memset(&E1000_REG(e, REG_STATS), 0, 0x100);
	e->octets_rx_good = e->octets_tx_good = e->octets_rx = e->octets_tx = 0;
}

void e1000_stats_add(struct e1000 *e, uint32_t offset, uint64_t n)
{
	uint32_t *counter = &E1000_REG(e, offset);

	*counter = n > UINT32_MAX - *counter ? UINT32_MAX : *counter + (uint32_t)n;
}

/* The octet counter that the register is a half of; false if it is none. */
static bool octets(struct e1000 *e, uint32_t offset, uint64_t **counter)
{
	switch (offset & ~4U) {
	case STAT_GORCL:
		*counter = &e->octets_rx_good;
		return true;
	case STAT_GOTCL:
		*counter = &e->octets_tx_good;
		return true;
	case STAT_TORL:
		*counter = &e->octets_rx;
		return true;
	case STAT_TOTL:
		*counter = &e->octets_tx;
		return true;
	default:
		return false;
	}
}

uint32_t e1000_stats_read(struct e1000 *e, uint32_t offset)
{
	uint64_t *wide;
	uint32_t value;

	if (!octets(e, offset, &wide)) {
		value = E1000_REG(e, offset);
		E1000_REG(e, offset) = 0;
		return value;
	}
	if (!(offset & 4))
		return (uint32_t)*wide;
	value = (uint32_t)(*wide >> 32);
	*wide = 0;
	return value;
}

/* 64, 65-127, 128-255, 256-511, 512-1023, 1024 and more. */
static unsigned size_class(uint32_t len)
{
	unsigned i = 0;

	for (uint32_t limit = 64; i < 5 && len > limit; i++)
		limit = i ? limit * 2 + 1 : 127;
	return i;
}

void e1000_stats_rx(struct e1000 *e, const uint8_t *dst, uint32_t len)
{
	len += FCS_LEN;
	e1000_stats_add(e, STAT_TPR, 1);
	e1000_stats_add(e, STAT_GPRC, 1);
	e1000_stats_add(e, STAT_PRC64 + 4 * size_class(len), 1);
	if (ether_is_broadcast(dst))
		e1000_stats_add(e, STAT_BPRC, 1);
	else if (ether_is_multicast(dst))
		e1000_stats_add(e, STAT_MPRC, 1);
	e->octets_rx += len;
	e->octets_rx_good += len;
}

void e1000_stats_tx(struct e1000 *e, const uint8_t *dst, uint32_t len, unsigned n)
{
	len += FCS_LEN;
	e1000_stats_add(e, STAT_TPT, n);
	e1000_stats_add(e, STAT_GPTC, n);
	e1000_stats_add(e, STAT_PTC64 + 4 * size_class(len), n);
	if (ether_is_broadcast(dst))
		e1000_stats_add(e, STAT_BPTC, n);
	else if (ether_is_multicast(dst))
		e1000_stats_add(e, STAT_MPTC, n);
	e->octets_tx += (uint64_t)len * n;
	e->octets_tx_good += (uint64_t)len * n;
}
