/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The classic transmitter: four slots, used in turn, each an address and a status that the driver
 * writes to send (6.3). A frame is gone, and its slot the driver's again, when the write returns,
 * unless the back-end is full.
 *
 * A driver can have four frames on their way, so what it waits for most is TOK. While frames come in
 * numbers the interrupt may be held back (nic_chip_pace), but never when all slots are used up.
 */
#include "device/rtl8139.h"

#define SLOTS	4
#define LEN_MAX 1792 /* of a frame (6.3) */

bool rtl8139_loopback(const struct rtl8139 *r)
{
	return (rtl_get32(r, RTL_TCR) & TCR_LBK) == TCR_LBK || mii_loopback(&r->phy);
}

static void loop_back(struct rtl8139 *r)
{
	for (unsigned i = 0; i < r->tx.nframes; i++) {
		r->chip.tx_flow.out++;
		r->chip.tx_flow.bytes_out += r->tx.out[i].len;
		rtl8139_rx_loopback(r, &r->tx.out[i]);
	}
}

unsigned rtl8139_send(struct rtl8139 *r, uint64_t now)
{
	unsigned sent = r->tx.nframes;

	if (rtl8139_loopback(r))
		loop_back(r);
	else
		sent = nic_chip_send(&r->chip, r->tx.out, r->tx.nframes, mii_link(&r->phy), now);
	return sent;
}

/* TSAD (6.33): the slots' states in one word. */
static void update_summary(struct rtl8139 *r)
{
	uint16_t value = 0;

	for (unsigned i = 0; i < SLOTS; i++) {
		uint32_t tsd = rtl_get32(r, RTL_TSD0 + 4 * i);

		value |= (uint16_t)(!!(tsd & TSD_OWN) << i | !!(tsd & TSD_TABT) << (4 + i) |
				    !!(tsd & TSD_TUN) << (8 + i) | !!(tsd & TSD_TOK) << (12 + i));
	}
	rtl_set16(r, RTL_TSAD, value);
}

/* Makes the slot's frame the burst. */
static enum nic_drop build(struct rtl8139 *r, uint32_t tsd)
{
	uint32_t len = tsd & TSD_SIZE;
	uint64_t addr = rtl_get32(r, RTL_TSAD0 + 4 * r->tx.slot);

	if ((rtl_get32(r, RTL_TCR) & TCR_CRC) && len > NIC_CHIP_FCS)
		len -= NIC_CHIP_FCS; /* the driver's own */
	r->tx.nframes = 0;
	if (len < ETHER_HLEN)
		return NIC_DROP_UNDERSIZE;
	if (len > LEN_MAX)
		return NIC_DROP_OVERSIZE;
	if (!nic_dma_iov(&r->chip.dma, addr, len, &r->tx.iov[0]))
		return NIC_DROP_BAD_ADDRESS;
	r->tx.out[0] = (struct net_frame){.iov = r->tx.iov, .niov = 1, .len = len};
	r->tx.nframes = 1;
	return NIC_DROP_COUNT;
}

/* Reports n slots that came back. */
static void report(struct rtl8139 *r, uint32_t causes, unsigned n, uint64_t now)
{
	if (!(nic_irq_cause(&r->chip.irq) & ISR_TOK))
		r->tx.unreported = 0;
	r->tx.unreported += n;
	if (r->tx.unreported >= SLOTS)
		nic_irq_urge(&r->chip.irq, causes, now);
	else
		nic_irq_raise(&r->chip.irq, causes, now);
}

/* Sends the frame of one slot. False: there is none, or the back-end is full. */
static bool send_slot(struct rtl8139 *r, uint64_t now)
{
	unsigned at = RTL_TSD0 + 4 * r->tx.slot;
	struct nic_flow *flow = &r->chip.tx_flow;
	uint32_t tsd = rtl_get32(r, at);
	enum nic_drop drop;

	if (tsd & TSD_OWN)
		return false;
	drop = build(r, tsd);
	if (drop == NIC_DROP_COUNT && !rtl8139_send(r, now))
		return false;
	flow->in++;
	flow->bytes_in += drop == NIC_DROP_COUNT ? r->tx.out[0].len : 0;
	if (drop == NIC_DROP_COUNT) {
		r->tally.tx_ok++;
	} else {
		flow->drops[drop]++;
		r->tally.tx_err++;
	}
	rtl_set32(r, at, tsd | TSD_OWN | (drop == NIC_DROP_COUNT ? TSD_TOK : TSD_TABT));
	update_summary(r);
	r->tx.slot = (r->tx.slot + 1) % SLOTS;
	report(r, drop == NIC_DROP_COUNT ? ISR_TOK : ISR_TER, 1, now);
	return true;
}

static bool run_slots(struct rtl8139 *r, unsigned budget, uint64_t now)
{
	while (budget && send_slot(r, now))
		budget--;
	return !budget;
}

bool rtl8139_tx_run(struct rtl8139 *r, unsigned budget, uint64_t now)
{
	if (now < r->chip.tx_retry)
		return false;
	r->chip.tx_retry = 0;
	if (!(rtl_get8(r, RTL_CR) & CR_TE) || !nic_dma_allowed(&r->chip.dma))
		return false;
	return rtl_cplus_tx(r) ? rtl8139_tx_desc_run(r, budget, now) : run_slots(r, budget, now);
}

void rtl8139_tx_reset(struct rtl8139 *r)
{
	for (unsigned i = 0; i < SLOTS; i++)
		rtl_set32(r, RTL_TSD0 + 4 * i, rtl_cplus_tx(r) ? 0 : TSD_OWN);
	if (!rtl_cplus_tx(r))
		update_summary(r);
	r->tx.slot = r->tx.unreported = 0;
	rtl8139_ring_reset(&r->tx.high, RTL_THPDS);
	rtl8139_ring_reset(&r->tx.normal, RTL_TNPDS);
	(void)rtl8139_tx_desc_report(r);
	r->chip.tx_retry = 0;
}
