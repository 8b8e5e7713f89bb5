/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Address filters, and the receive unit: a list of receive frame descriptors in memory, linked, each
 * with its data behind it (simplified mode, 6.4.3).
 *
 * No resources. The unit leaves the ready state behind a descriptor with the EL or S bit, and when a
 * frame comes and the next descriptor has EL and no room at all: that is how a driver marks the end
 * of what it has given, and it moves the mark on as it refills. A driver is quick at that, and a
 * unit that stopped has to be started again, so the frame is kept for a while first (HOLD_NS), and
 * the descriptor looked at again. In the other states frames wait in the back-end for the driver to
 * start the unit, as far as that has room; before the first start they are dropped.
 */
#include "device/i82559.h"
#include "device/nic_filter.h"
#include "base/iov.h"

#include <errno.h>

#define HOLD_NS (5 * NSEC_PER_MSEC)

struct rfd {
	uint64_t at;
	uint16_t command, size;
	uint32_t link;
};

/* The descriptor's status bits for this address; *wanted: whether it is for us. */
static uint16_t classify(const struct i82559 *i, const uint8_t *dst, bool *wanted)
{
	bool listed = nic_bitmap_has(i->hash, nic_hash6(dst));

	*wanted = true;
	if (ether_equal(dst, i->ia))
		return 0;
	if (ether_is_broadcast(dst)) {
		if (!(i->config[15] & CFG15_NO_BROADCAST))
			return RFD_NOT_IA;
	} else if (ether_is_multicast(dst)) {
		if ((i->config[21] & CFG21_MC_ALL) || listed)
			return RFD_NOT_IA;
	} else if ((i->config[20] & CFG20_MULTI_IA) && listed) {
		return 0;
	}
	*wanted = i->config[15] & CFG15_PROMISCUOUS;
	return RFD_NOT_IA | RFD_NOMATCH;
}

static bool accepts(void *opaque, const uint8_t *hdr, uint32_t len)
{
	struct i82559 *i = opaque;
	bool wanted;

	if (len < ETHER_HLEN) {
		i->chip.rx_flow.drops[NIC_DROP_UNDERSIZE]++;
		return false;
	}
	(void)classify(i, hdr, &wanted);
	if (!wanted)
		i->chip.rx_flow.drops[NIC_DROP_FILTERED]++;
	return wanted;
}

static bool fetch(struct i82559 *i, struct rfd *rfd)
{
	uint64_t at = (uint64_t)i->ru.base + i->ru.at;
	const uint8_t *p = nic_dma_read_ptr(&i->chip.dma, at, RFD_BYTES);

	if (!p || at > UINT32_MAX)
		return false;
	rfd->at = at;
	/* The driver gives the descriptor by its size, or by clearing EL. */
	rfd->size = (uint16_t)(i82559_load(p + 12) >> 16) & RFD_SIZE;
	rfd->command = (uint16_t)(i82559_load(p) >> 16);
	rfd->link = i82559_load(p + 4);
	return true;
}

static void leave_ready(struct i82559 *i, enum i559_ru_state state)
{
	i82559_set_ru(i, state);
	i->ru.causes |= ACK_RNR;
}

static bool has_room(struct nic_chip *chip)
{
	struct i82559 *i = container_of(chip, struct i82559, chip);
	struct rfd rfd;

	if (i->ru.state != RU_READY)
		return false;
	if (!fetch(i, &rfd)) {
		leave_ready(i, RU_NO_RESOURCES);
		return false;
	}
	return rfd.size;
}

/* Writes the descriptor: what is in it, then that it is done. */
static void finish(struct i82559 *i, const struct rfd *rfd, uint32_t n, uint16_t status)
{
	uint8_t *p = nic_dma_write_ptr(&i->chip.dma, rfd->at, RFD_BYTES);

	if (!p)
		return;
	store_le16(p + 12, (uint16_t)(n | RFD_EOF | RFD_F));
	__atomic_store_n((uint16_t *)(void *)p, htole16(status | RFD_C), __ATOMIC_RELEASE);
	nic_dma_wrote(&i->chip.dma, rfd->at, RFD_BYTES);
	i->ru.at = rfd->link;
	i->ru.causes |= ACK_FR;
	if (rfd->command & RFD_EL)
		leave_ready(i, RU_NO_RESOURCES);
	else if (rfd->command & RFD_S)
		leave_ready(i, RU_SUSPENDED);
}

static bool too_long(const struct i82559 *i, uint32_t len)
{
	uint32_t max = i->config[18] & CFG18_LONG ? RFD_SIZE : 1518;

	return len + NIC_CHIP_FCS > max;
}

static int drop(struct i82559 *i, enum nic_drop cause)
{
	i->chip.rx_flow.drops[cause]++;
	return 0;
}

/* Puts the frame into the descriptor, as much of it as there is room. */
static int fill(struct i82559 *i, const struct rfd *rfd, const struct nic_chip_in *in,
		uint16_t status)
{
	uint32_t whole = in->len + (i->config[18] & CFG18_CRC ? NIC_CHIP_FCS : 0);
	uint32_t room = rfd->size, n;
	uint8_t *data;

	if ((rfd->command & RFD_H) && i->ru.header_size)
		room = MIN(room, i->ru.header_size);
	n = MIN(whole, room);
	data = nic_dma_write_ptr(&i->chip.dma, rfd->at + RFD_BYTES, n);
	if (!data) {
		leave_ready(i, RU_NO_RESOURCES);
		return drop(i, NIC_DROP_BAD_ADDRESS);
	}
	nic_chip_copy_out(in, 0, data, n);
	nic_dma_wrote(&i->chip.dma, rfd->at + RFD_BYTES, n);
	if (n < whole && !(rfd->command & RFD_H)) {
		finish(i, rfd, n, status | RFD_NO_ROOM);
		i->stats[STAT_RX_RESOURCE]++;
		return drop(i, NIC_DROP_OVERSIZE);
	}
	finish(i, rfd, n, status | RFD_OK);
	i->stats[STAT_RX_GOOD]++;
	i->chip.rx_flow.out++;
	i->chip.rx_flow.bytes_out += in->len;
	return 0;
}

static int deliver(void *opaque, const struct iovec *iov, unsigned niov, uint32_t len,
		   unsigned flags)
{
	uint8_t hdr[ETHER_HLEN] = {0};
	struct i82559 *i = opaque;
	struct nic_chip_in in;
	uint16_t status;
	struct rfd rfd;
	bool wanted;

	if (too_long(i, len))
		return drop(i, NIC_DROP_OVERSIZE);
	if (i->ru.state != RU_READY)
		return -EAGAIN;
	if (!fetch(i, &rfd)) {
		leave_ready(i, RU_NO_RESOURCES);
		return -EAGAIN;
	}
	if (!rfd.size)
		return -EAGAIN;
	iov_read(iov, niov, 0, hdr, sizeof(hdr));
	status = classify(i, hdr, &wanted);
	if (load_be16(hdr + 12) > 1500)
		status |= RFD_TYPE;
	nic_chip_in(&i->chip, &in, iov, niov, len);
	return fill(i, &rfd, &in, status);
}

const struct nic_rx_ops i82559_rx_ops = {
	.accepts = accepts,
	.deliver = deliver,
};

/* Why frames cannot be received at all now; NIC_DROP_COUNT: they can. */
static enum nic_drop deaf(const struct i82559 *i)
{
	if (!mii_link(&i->phy))
		return NIC_DROP_LINK_DOWN;
	if (i->ru.state == RU_IDLE || !nic_dma_allowed(&i->chip.dma) || i82559_loopback(i))
		return NIC_DROP_DISABLED;
	return NIC_DROP_COUNT;
}

static void raise_causes(struct i82559 *i, uint64_t now)
{
	uint32_t causes = i->ru.causes;

	i->ru.causes = 0;
	if (causes)
		i82559_raise(i, causes, now);
}

void i82559_rx_loopback(struct i82559 *i, const struct net_frame *frame)
{
	bool can = i->ru.state != RU_IDLE && nic_dma_allowed(&i->chip.dma);

	if (nic_chip_loop_back(&i->chip, frame, can ? NIC_DROP_COUNT : NIC_DROP_DISABLED)) {
		i->stats[STAT_RX_RESOURCE]++;
		if (i->ru.state == RU_READY)
			leave_ready(i, RU_NO_RESOURCES);
	}
	raise_causes(i, i->chip.clock());
}

bool i82559_rx_run(struct i82559 *i, unsigned budget, uint64_t now)
{
	bool more = nic_chip_receive(&i->chip, budget, now, deaf(i), has_room);

	/* Not an error to be counted: the frame is not lost. */
	if (i->chip.stalled && i->ru.state == RU_READY && now - i->chip.stalled_at >= HOLD_NS)
		leave_ready(i, RU_NO_RESOURCES);
	raise_causes(i, now);
	return more;
}

void i82559_rx_reset(struct i82559 *i)
{
	nic_rx_flush(&i->chip.rx, NIC_DROP_DISABLED);
	i->chip.stalled = false;
	i->ru.state = RU_IDLE;
	i->ru.causes = 0;
}

void i82559_ru_command(struct i82559 *i, unsigned command, uint32_t pointer)
{
	switch (command) {
	case RU_START:
		/* One that is ready has its place (6.3.2.2.2). */
		if (i->ru.state == RU_READY)
			break;
		i->ru.at = pointer;
		i82559_set_ru(i, RU_READY);
		break;
	case RU_RESUME:
		if (i->ru.state == RU_SUSPENDED)
			i82559_set_ru(i, RU_READY);
		break;
	case RU_ABORT:
		nic_rx_flush(&i->chip.rx, NIC_DROP_DISABLED);
		i82559_set_ru(i, RU_IDLE);
		break;
	case RU_HEADER_SIZE:
		i->ru.header_size = (uint16_t)(pointer & RFD_SIZE);
		break;
	case RU_BASE:
		i->ru.base = pointer;
		break;
	}
	nic_chip_look(&i->chip);
}
