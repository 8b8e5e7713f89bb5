/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The register file.
 *
 * All registers are in a page (nic_shadow.h) that the guest reads as memory, so that of a driver's
 * accesses only writes leave the kernel. What a driver writes for each packet or interrupt never
 * waits for the data path: ISR and IMR are the interrupt block's (its lock is held for a few
 * instructions), CAPR has a lock of its own, TSD and TPPoll only announce. All others take the
 * device's lock, for which a busy worker makes way.
 *
 * Who moves the frames. A doorbell that left the kernel is work for the vCPU that made it, if nobody
 * else is at it: the frame is on its way when the write returns, and no thread had to be woken. When
 * TPPoll is written often it is posted (nic_post.h), and the worker follows the descriptors.
 *
 * A register may be written in parts or several at a time: the table says where each begins, and
 * what its writable bits are.
 */
#include "device/rtl8139.h"

const struct nic_post_reg rtl8139_post_regs[RTL_POST_COUNT] = {
	[RTL_POST_TPPOLL] = {"TPPoll", RTL_TPPOLL, 1, NIC_POST_BUSY},
};

struct reg {
	uint8_t offset, size;
	bool config; /* only while 9346CR unlocks configuration */
	bool bare;   /* the handler takes no lock, and of a partial write only what was written */
	uint32_t mask;
	void (*write)(struct rtl8139 *r, unsigned offset, uint32_t value); /* instead of storing */
};

static void write_tx_now(struct rtl8139 *r, bool wait)
{
	uint64_t now = r->chip.clock(), at = NIC_WORKER_NEVER;
	bool more = true;

	if (!wait && !pthread_mutex_trylock(&r->chip.lock)) {
		more = rtl8139_tx_run(r, NIC_CHIP_INLINE, now) || r->chip.tx_retry;
		at = r->tx.report_at;
		pthread_mutex_unlock(&r->chip.lock);
	}
	if (more)
		nic_chip_kick(&r->chip);
	else if (at != NIC_WORKER_NEVER && !nic_worker_self(&r->chip.worker))
		nic_worker_alarm(&r->chip.worker, at);
}

static void write_tsd(struct rtl8139 *r, unsigned offset, uint32_t value)
{
	if (rtl_cplus_tx(r)) {
		if (offset > RTL_DTCCR + 4)
			return;
		nic_chip_lock(&r->chip);
		rtl_set32(r, offset, value);
		if (offset == RTL_DTCCR && (value & DTCCR_CMD))
			rtl8139_dump_tally(r);
		pthread_mutex_unlock(&r->chip.lock);
		return;
	}
	nic_chip_count_access(&r->chip, RTL_ACC_TSD);
	/* Size, early threshold and OWN; the rest is status (6.3). */
	rtl_set32(r, offset, value & (TSD_SIZE | TSD_OWN | 0x003f0000));
	if (!(value & TSD_OWN))
		write_tx_now(r, false);
}

/* Classic: a slot's address; C+: descriptor rings, which begin anew. */
static void write_tx_address(struct rtl8139 *r, unsigned offset, uint32_t value)
{
	rtl_set32(r, offset, value);
	if (offset >= RTL_THPDS)
		rtl8139_ring_reset(&r->tx.high, RTL_THPDS);
	else
		rtl8139_ring_reset(&r->tx.normal, RTL_TNPDS);
}

static void write_rx_address(struct rtl8139 *r, unsigned offset, uint32_t value)
{
	rtl_set32(r, offset, value);
	r->rx.at = 0;
	r->rx.needed = 1;
	nic_chip_look(&r->chip);
}

static void write_cr(struct rtl8139 *r, unsigned offset, uint32_t value)
{
	uint8_t old = rtl_get8(r, RTL_CR);

	if (value & CR_RST) {
		rtl8139_soft_reset(r);
		return;
	}
	if ((old ^ value) & CR_TE)
		rtl8139_tx_reset(r);
	rtl_set8(r, RTL_CR, (uint8_t)((old & CR_BUFE) | (value & (CR_RE | CR_TE))));
	if ((old ^ value) & CR_RE)
		rtl8139_rx_reset(r);
	rtl8139_show(r);
	nic_chip_kick(&r->chip);
}

static void write_capr(struct rtl8139 *r, unsigned offset, uint32_t value)
{
	nic_chip_count_access(&r->chip, RTL_ACC_CAPR);
	pthread_mutex_lock(&r->ring);
	rtl_set16(r, RTL_CAPR, (uint16_t)value);
	rtl8139_rx_update(r);
	pthread_mutex_unlock(&r->ring);
	nic_chip_look(&r->chip);
}

static void write_imr(struct rtl8139 *r, unsigned offset, uint32_t value)
{
	nic_chip_count_access(&r->chip, RTL_ACC_IMR);
	nic_irq_set_mask(&r->chip.irq, 0, value, r->chip.clock());
	nic_chip_look(&r->chip);
}

static void write_isr(struct rtl8139 *r, unsigned offset, uint32_t value)
{
	nic_chip_count_access(&r->chip, RTL_ACC_ISR);
	nic_irq_clear(&r->chip.irq, value, r->chip.clock());
	if (value & ISR_PUN) {
		nic_chip_lock(&r->chip);
		rtl_set16(r, RTL_CSCR, rtl_get16(r, RTL_CSCR) & (uint16_t)~CSCR_LINK_CHANGED);
		pthread_mutex_unlock(&r->chip.lock);
	}
	nic_chip_look(&r->chip);
}

static void write_tcr(struct rtl8139 *r, unsigned offset, uint32_t value)
{
	rtl_set32(r, RTL_TCR, (rtl_get32(r, RTL_TCR) & TCR_HWVERID) | value);
	nic_chip_kick(&r->chip);
}

static void write_rcr(struct rtl8139 *r, unsigned offset, uint32_t value)
{
	uint32_t old = rtl_get32(r, RTL_RCR);

	rtl_set32(r, RTL_RCR, value);
	if ((old ^ value) >> RCR_RBLEN_SHIFT & 3)
		rtl8139_rx_reset(r);
	nic_chip_look(&r->chip);
}

/* Any value starts the counter from 0 (6.22). */
static void write_tctr(struct rtl8139 *r, unsigned offset, uint32_t value)
{
	r->timer_zero = r->chip.clock();
	rtl8139_timer_set(r, r->timer_zero);
}

static void write_timerint(struct rtl8139 *r, unsigned offset, uint32_t value)
{
	rtl_set32(r, RTL_TIMERINT, value);
	rtl8139_timer_set(r, r->chip.clock());
}

static void write_mpc(struct rtl8139 *r, unsigned offset, uint32_t value)
{
	rtl_set32(r, RTL_MPC, 0);
}

static void write_9346cr(struct rtl8139 *r, unsigned offset, uint32_t value)
{
	rtl8139_eeprom_write(r, (uint8_t)value);
}

static void write_mii(struct rtl8139 *r, unsigned offset, uint32_t value)
{
	rtl8139_mii_write(r, offset, (uint16_t)value);
}

static void write_tppoll(struct rtl8139 *r, unsigned offset, uint32_t value)
{
	bool posted = nic_post_is(&r->chip.post, RTL_POST_TPPOLL);
	uint64_t now = r->chip.clock();

	nic_chip_count_access(&r->chip, RTL_ACC_TPPOLL);
	if (!r->cplus)
		return;
	if (value & TPPOLL_SWINT)
		nic_irq_raise(&r->chip.irq, ISR_SWINT, now);
	if (value & TPPOLL_NPQ)
		r->tx.normal.poll = true;
	if (value & TPPOLL_HPQ)
		r->tx.high.poll = true;
	if (!(value & (TPPOLL_NPQ | TPPOLL_HPQ)))
		return;
	if (nic_post_written(&r->chip.post, RTL_POST_TPPOLL, now))
		posted = true; /* the worker is about to; it may as well begin */
	write_tx_now(r, posted);
}

static void write_cpcr(struct rtl8139 *r, unsigned offset, uint32_t value)
{
	uint16_t old = rtl_get16(r, RTL_CPCR);

	if (!r->cplus)
		return;
	rtl_set16(r, RTL_CPCR, (uint16_t)value);
	/* The same places mean something else now. */
	if ((old ^ value) & CPCR_TX)
		rtl8139_tx_reset(r);
	if ((old ^ value) & CPCR_RX)
		rtl8139_rx_reset(r);
	nic_chip_kick(&r->chip);
}

#define ALL UINT32_MAX

/* Sorted by offset. */
static const struct reg regs[] = {
	{RTL_IDR0, 4, false, false, ALL, NULL},
	{RTL_IDR0 + 4, 4, false, false, 0xffff, NULL},
	{RTL_MAR0, 4, false, false, ALL, NULL},
	{RTL_MAR0 + 4, 4, false, false, ALL, NULL},
	{RTL_TSD0, 4, false, true, ALL, write_tsd},
	{RTL_TSD0 + 4, 4, false, true, ALL, write_tsd},
	{RTL_TSD0 + 8, 4, false, true, ALL, write_tsd},
	{RTL_TSD0 + 12, 4, false, true, ALL, write_tsd},
	{RTL_TSAD0, 4, false, false, ALL, write_tx_address},
	{RTL_TSAD0 + 4, 4, false, false, ALL, write_tx_address},
	{RTL_TSAD0 + 8, 4, false, false, ALL, write_tx_address},
	{RTL_TSAD0 + 12, 4, false, false, ALL, write_tx_address},
	{RTL_RBSTART, 4, false, false, ALL, NULL},
	{RTL_CR, 1, false, false, 0x1c, write_cr},
	{RTL_CAPR, 2, false, true, 0xffff, write_capr},
	{RTL_IMR, 2, false, true, 0xffff, write_imr},
	{RTL_ISR, 2, false, true, 0xffff, write_isr},
	{RTL_TCR, 4, false, false, TCR_WRITABLE, write_tcr},
	{RTL_RCR, 4, false, false, RCR_WRITABLE, write_rcr},
	{RTL_TCTR, 4, false, false, ALL, write_tctr},
	{RTL_MPC, 4, false, false, ALL, write_mpc},
	{RTL_9346CR, 1, false, false, 0xff, write_9346cr},
	{RTL_CONFIG0, 1, true, false, 0x00, NULL},
	{RTL_CONFIG1, 1, true, false, 0xf3, NULL},
	{RTL_TIMERINT, 4, false, false, ALL, write_timerint},
	{RTL_MSR, 1, false, false, MSR_WRITABLE, NULL},
	{RTL_CONFIG3, 1, true, false, 0x75, NULL},
	{RTL_CONFIG4, 1, true, false, 0xff, NULL},
	{RTL_MULINT, 2, false, false, 0x0fff, NULL},
	{RTL_BMCR, 2, false, false, 0xffff, write_mii},
	{RTL_ANAR, 2, false, false, 0xffff, write_mii},
	{RTL_NWAYTR, 2, false, false, 0x00ff, NULL},
	{RTL_CSCR, 2, false, false, 0x03ff, NULL},
	{RTL_PHY1_PARM, 4, false, false, ALL, NULL},
	{RTL_TW_PARM, 4, false, false, ALL, NULL},
	{RTL_PHY2_PARM, 1, false, false, 0xff, NULL},
	{RTL_CONFIG5, 1, false, false, 0x7f, NULL},
	{RTL_TPPOLL, 1, false, true, 0xff, write_tppoll},
	{RTL_CPCR, 2, false, false, CPCR_MASK, write_cpcr},
	{RTL_RDSAR, 4, false, false, ALL, write_rx_address},
	{RTL_RDSAR + 4, 4, false, false, ALL, write_rx_address},
	{RTL_ETTHR, 1, false, false, 0x3f, NULL},
};

static const struct reg *find(unsigned offset)
{
	for (unsigned i = 0; i < ARRAY_SIZE(regs); i++)
		if (offset >= regs[i].offset && offset < (unsigned)regs[i].offset + regs[i].size)
			return &regs[i];
	return NULL;
}

static uint32_t stored(const struct rtl8139 *r, const struct reg *reg)
{
	return (uint32_t)nic_shadow_read(&r->chip.shadow, reg->offset, reg->size);
}

static void store(struct rtl8139 *r, const struct reg *reg, uint32_t value)
{
	if (reg->size == 1)
		rtl_set8(r, reg->offset, (uint8_t)value);
	else if (reg->size == 2)
		rtl_set16(r, reg->offset, (uint16_t)value);
	else
		rtl_set32(r, reg->offset, value);
}

/* Writes the bytes of a register that `written` has ones for. */
static void write_reg(struct rtl8139 *r, const struct reg *reg, uint32_t value, uint32_t written)
{
	uint32_t mask = reg->mask;

	if (reg->bare) {
		reg->write(r, reg->offset, value & mask & written);
		return;
	}
	nic_chip_count_access(&r->chip, RTL_ACC_OTHER);
	nic_chip_lock(&r->chip);
	if (reg->config && (rtl_get8(r, RTL_9346CR) & EE_EEM) != EE_EEM_CONFIG)
		mask = 0;
	value = (stored(r, reg) & ~written) | (value & written);
	if (reg->write)
		reg->write(r, reg->offset, value & mask);
	else
		store(r, reg, (stored(r, reg) & ~mask) | (value & mask));
	pthread_mutex_unlock(&r->chip.lock);
}

/* Wake-up frames and function events: storage without consequence. */
static bool plain(uint64_t offset)
{
	return (offset >= RTL_CRC0 && offset < RTL_CONFIG5 - 4) || offset >= RTL_FER;
}

static void bar_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
	struct rtl8139 *r = rtl8139_of(opaque);

	while (size && offset < RTL_IO_SIZE) {
		const struct reg *reg = find((unsigned)offset);
		unsigned shift, n = 1;

		if (reg) {
			shift = (unsigned)offset - reg->offset;
			n = MIN(size, reg->size - shift);
			write_reg(r, reg, (uint32_t)value << (8 * shift),
				  (n == 4 ? ALL : (1U << (8 * n)) - 1) << (8 * shift));
		} else if (plain(offset)) {
			rtl_set8(r, (unsigned)offset, (uint8_t)value);
		}
		offset += n;
		size -= n;
		value = n < 8 ? value >> (8 * n) : 0;
	}
}

static uint64_t bar_read(void *opaque, uint64_t offset, unsigned size)
{
	struct rtl8139 *r = rtl8139_of(opaque);
	uint64_t value;

	nic_chip_count_access(&r->chip, RTL_ACC_READ);
	if (offset >= RTL_IO_SIZE)
		return 0;
	/* What is made when it is read: the page is hidden as long as it matters. */
	nic_chip_lock(&r->chip);
	if (offset < RTL_TCTR + 4 && offset + size > RTL_TCTR)
		rtl_set32(r, RTL_TCTR, rtl8139_timer_count(r, r->chip.clock()));
	value = nic_shadow_read(&r->chip.shadow, offset, size);
	if (offset <= RTL_BMSR && offset + size > RTL_BMSR && r->phy.lost) {
		value &= ~((uint64_t)MII_BMSR_LINK << (8 * (RTL_BMSR - offset)));
		(void)mii_read(&r->phy, MII_BMSR);
		rtl8139_show(r);
	}
	pthread_mutex_unlock(&r->chip.lock);
	return value;
}

const struct bus_range_ops rtl8139_bar_ops = {.read = bar_read, .write = bar_write};
