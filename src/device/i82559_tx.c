/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Transmit command blocks to frames (6.4.2.5). Simplified: the data follows the block. Flexible: an
 * array of buffer descriptors says where it is, after data in the block if there is some; of an
 * extended block the first two descriptors are in the block itself. The data stays in guest memory,
 * and each descriptor is read once.
 */
#include "device/i82559.h"

#define LEN_MAX	      2600 /* of a frame */
#define TBD_BYTES     8
#define EXTENDED_TBDS 2

static enum nic_drop add_part(struct i82559 *i, struct net_frame *out, struct iovec *iov,
			      uint64_t addr, uint32_t len)
{
	if (!len)
		return NIC_DROP_COUNT;
	if (out->len + len > LEN_MAX + NIC_CHIP_FCS || out->niov == I559_TX_PARTS)
		return NIC_DROP_OVERSIZE;
	if (!nic_dma_iov(&i->chip.dma, addr, len, &iov[out->niov]))
		return NIC_DROP_BAD_ADDRESS;
	out->niov++;
	out->len += len;
	return NIC_DROP_COUNT;
}

/* Where buffer descriptor n is. */
static uint64_t tbd_address(const struct i82559 *i, const struct i559_cb *cb, unsigned n)
{
	bool extended = !(i->config[6] & CFG6_STANDARD_TCB);

	if (!extended)
		return (uint64_t)cb->array + n * TBD_BYTES;
	if (n < EXTENDED_TBDS)
		return cb->at + TCB_BYTES + n * TBD_BYTES;
	return (uint64_t)cb->array + (n - EXTENDED_TBDS) * TBD_BYTES;
}

static enum nic_drop gather(struct i82559 *i, const struct i559_cb *cb, struct net_frame *out,
			    struct iovec *iov)
{
	enum nic_drop drop = add_part(i, out, iov, cb->at + TCB_BYTES, cb->count & TCB_COUNT);

	if (!(cb->command & CB_SF) || cb->array == CB_NO_ADDR)
		return drop;
	for (unsigned n = 0; n < cb->number && drop == NIC_DROP_COUNT; n++) {
		uint8_t tbd[TBD_BYTES];

		if (!nic_dma_read(&i->chip.dma, tbd_address(i, cb, n), tbd, sizeof(tbd)))
			return NIC_DROP_BAD_ADDRESS;
		drop = add_part(i, out, iov, load_le32(tbd), load_le16(tbd + 4) & TBD_SIZE);
		if (tbd[6] & TBD_EL)
			break;
	}
	return drop;
}

/* The driver's own CRC at the end is not for the back-end. */
static void cut_crc(struct net_frame *out, struct iovec *iov)
{
	uint32_t left = NIC_CHIP_FCS;

	while (left && out->niov) {
		struct iovec *last = &iov[out->niov - 1];
		uint32_t n = (uint32_t)MIN(left, last->iov_len);

		last->iov_len -= n;
		out->len -= n;
		left -= n;
		if (!last->iov_len)
			out->niov--;
	}
}

enum nic_drop i82559_tx_build(struct i82559 *i, const struct i559_cb *cb)
{
	static uint8_t zeros[ETHER_MIN_LEN];
	struct net_frame *out = &i->cu.out[i->cu.nframes];
	uint8_t *head = i->cu.heads[i->cu.nframes];
	struct iovec *iov = i->cu.iov + i->cu.niov;
	enum nic_drop drop;

	*out = (struct net_frame){.iov = iov};
	drop = gather(i, cb, out, iov);
	if (drop != NIC_DROP_COUNT)
		return drop;
	if (cb->command & CB_NC)
		cut_crc(out, iov);
	if (out->len < ETHER_HLEN)
		return NIC_DROP_UNDERSIZE;
	if (out->len > LEN_MAX)
		return NIC_DROP_OVERSIZE;
	if (!(cb->command & CB_NC) && !(i->config[10] & CFG10_NSAI)) {
		if (!nic_head_take(out, iov, head, ETHER_HLEN))
			return NIC_DROP_UNDERSIZE;
		memcpy(head + 6, i->ia, sizeof(i->ia));
	}
	if ((i->config[18] & CFG18_PADDING) && out->len < ETHER_MIN_LEN) {
		iov[out->niov++] = (struct iovec){zeros, ETHER_MIN_LEN - out->len};
		out->len = ETHER_MIN_LEN;
	}
	return NIC_DROP_COUNT;
}

unsigned i82559_tx_send(struct i82559 *i, uint64_t now)
{
	if (!i82559_loopback(i))
		return nic_chip_send(&i->chip, i->cu.out, i->cu.nframes, mii_link(&i->phy), now);
	for (unsigned k = 0; k < i->cu.nframes; k++) {
		i->chip.tx_flow.out++;
		i->chip.tx_flow.bytes_out += i->cu.out[k].len;
		i82559_rx_loopback(i, &i->cu.out[k]);
	}
	return i->cu.nframes;
}
