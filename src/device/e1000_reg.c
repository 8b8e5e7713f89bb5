/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The register file.
 *
 * Locks. What a driver touches for every interrupt or burst never waits for the data path: STATUS
 * is an atomic copy, ICR, ICS, IMS, IMC and ITR are the interrupt block's (its lock is held for a
 * few instructions), TDT and RDT are atomic and only announce. All others take the device's lock,
 * for which a busy worker makes way.
 *
 * Who moves the frames. A TDT write that left the kernel is work for the vCPU that made it, if
 * nobody else is at it: the frame is on its way when the write returns, and no thread had to be
 * woken. When such writes come often, TDT is posted (nic_post.h): they stay in the kernel, and the
 * worker sends in bursts.
 *
 * Most registers are storage with a mask; the table says which bits exist and who acts on writes.
 */
#include "device/e1000.h"

const struct nic_post_reg e1000_post_regs[E1000_POSTS] = {
	[E1000_POST_TDT] = {"TDT", REG_TDT, 4, NIC_POST_BUSY},
	[E1000_POST_RDT] = {"RDT", REG_RDT, 4, NIC_POST_EAGER},
	[E1000_POST_IMS] = {"IMS", REG_IMS, 4, NIC_POST_EAGER},
	[E1000_POST_OTHERS] = {"IMC", REG_IMC, 4, NIC_POST_ALWAYS},
	{"EECD", REG_EECD, 4, NIC_POST_ALWAYS},
	{"ITR", REG_ITR, 4, NIC_POST_ALWAYS},
	{"filters", REG_MTA, 0x600, NIC_POST_ALWAYS}, /* MTA, RA, VFTA */
};

struct reg {
	uint32_t offset, end; /* [offset, end) */
	uint32_t mask;	      /* bits that can be written */
	uint32_t reset;
	void (*write)(struct e1000 *e, uint32_t offset, uint32_t value); /* instead of storing */
	uint32_t (*read)(struct e1000 *e, uint32_t offset);
};

static uint32_t read_status(struct e1000 *e, uint32_t offset)
{
	return e->status;
}

static uint32_t read_eecd(struct e1000 *e, uint32_t offset)
{
	return e1000_eecd_read(e);
}

static uint32_t read_heads(struct e1000 *e, uint32_t offset)
{
	return offset == REG_TDH ? e->tdh : e->rdh;
}

static uint32_t read_tails(struct e1000 *e, uint32_t offset)
{
	return offset == REG_TDT ? e->tdt : e->rdt;
}

static void write_ctrl(struct e1000 *e, uint32_t offset, uint32_t value)
{
	if (value & CTRL_PHY_RST) {
		mii_reset(&e->phy);
		e1000_update_link(e, false);
	}
	if (value & CTRL_RST) {
		e1000_reset_mac(e);
		return;
	}
	E1000_REG(e, REG_CTRL) = value & ~(uint32_t)CTRL_RST;
	e1000_update_link(e, false);
}

static uint32_t read_ctrl(struct e1000 *e, uint32_t offset)
{
	return E1000_REG(e, REG_CTRL);
}

static void write_eecd(struct e1000 *e, uint32_t offset, uint32_t value)
{
	e1000_eecd_write(e, value);
}

static void write_eerd(struct e1000 *e, uint32_t offset, uint32_t value)
{
	e1000_eerd_write(e, value);
}

static void write_ctrl_ext(struct e1000 *e, uint32_t offset, uint32_t value)
{
	if (value & CTRL_EXT_EE_RST)
		e1000_eeprom_load(e);
	E1000_REG(e, REG_CTRL_EXT) = value & ~(uint32_t)CTRL_EXT_EE_RST;
}

static void write_mdic(struct e1000 *e, uint32_t offset, uint32_t value)
{
	e1000_mdic_write(e, value);
}

/* The receive half of the packet buffer is what remains of 64 KiB (13.4, PBA). */
static void write_pba(struct e1000 *e, uint32_t offset, uint32_t value)
{
	value &= 0x7f;
	E1000_REG(e, REG_PBA) = value | (64 - MIN(value, 64U)) << 16;
}

static void write_rctl(struct e1000 *e, uint32_t offset, uint32_t value)
{
	uint32_t old = E1000_REG(e, REG_RCTL);

	E1000_REG(e, REG_RCTL) = value;
	if ((old ^ value) & (RCTL_EN | RCTL_LBM))
		e1000_rx_reset(e);
	nic_worker_kick(&e->chip.worker);
}

static void write_tctl(struct e1000 *e, uint32_t offset, uint32_t value)
{
	uint32_t old = E1000_REG(e, REG_TCTL);

	E1000_REG(e, REG_TCTL) = value;
	if (old & ~value & TCTL_EN)
		e1000_tx_reset(e);
	nic_worker_kick(&e->chip.worker);
}

static void write_heads(struct e1000 *e, uint32_t offset, uint32_t value)
{
	if (offset == REG_RDH) {
		e->rdh = value;
	} else {
		e->tdh = value;
		e->tx.discard = false;
	}
}

/* FPD: what the timer delays is reported now (13.4, RDTR and TIDV). */
static void write_delay(struct e1000 *e, uint32_t offset, uint32_t value)
{
	struct e1000_delay *delay = offset == REG_RDTR ? &e->rx.delay : &e->tx.delay;

	E1000_REG(e, offset) = value & 0xffff;
	if (!(value & RDTR_FPD) || delay->packet == NIC_WORKER_NEVER)
		return;
	if (offset == REG_TIDV)
		e1000_tx_reported(e);
	e1000_delay_stop(delay);
	nic_irq_raise(&e->chip.irq, offset == REG_RDTR ? ICR_RXT0 : ICR_TXDW, e->chip.clock());
}

/* Sorted by offset. Statistics, and the wake-up and diagnostic areas that are mere storage, too. */
static const struct reg regs[] = {
	{REG_CTRL, REG_CTRL + 8, 0xffffffff, 0, write_ctrl, read_ctrl},
	{REG_STATUS, REG_STATUS + 4, 0, 0, NULL, read_status},
	{REG_EECD, REG_EECD + 4, 0xffffffff, EECD_FWE_NONE, write_eecd, read_eecd},
	{REG_EERD, REG_EERD + 4, 0xffffffff, 0, write_eerd, NULL},
	{REG_CTRL_EXT, REG_CTRL_EXT + 4, 0xffffffff, 0, write_ctrl_ext, NULL},
	{REG_FLA, REG_FLA + 4, 0, 0, NULL, NULL},
	{REG_MDIC, REG_MDIC + 4, 0xffffffff, MDIC_READY, write_mdic, NULL},
	{REG_FCAL, REG_FCAL + 4, 0xffffffff, 0, NULL, NULL},
	{REG_FCAH, REG_FCT + 4, 0x0000ffff, 0, NULL, NULL},
	{REG_VET, REG_VET + 4, 0x0000ffff, 0, NULL, NULL},
	{REG_RCTL, REG_RCTL + 4, 0x06dfb3fe, 0, write_rctl, NULL},
	{REG_FCTTV, REG_FCTTV + 4, 0x0000ffff, 0, NULL, NULL},
	{REG_TXCW, REG_TXCW + 4, 0xc000ffff, 0, NULL, NULL},
	{REG_RXCW, REG_RXCW + 4, 0, 0, NULL, NULL},
	{REG_TCTL, REG_TCTL + 4, 0x07fffffa, 0, write_tctl, NULL},
	{REG_TIPG, REG_TIPG + 4, 0x3fffffff, 0, NULL, NULL},
	{REG_TBT, REG_TBT + 4, 0xffffffff, 0, NULL, NULL},
	{REG_AIFS, REG_AIFS + 4, 0x0000ffff, 0, NULL, NULL},
	{REG_LEDCTL, REG_LEDCTL + 4, 0xffffffff, 0x07068302, NULL, NULL},
	{REG_PBA, REG_PBA + 4, 0xffffffff, 0x00100030, write_pba, NULL},
	{REG_FCRTL, REG_FCRTL + 4, 0x8000fff8, 0, NULL, NULL},
	{REG_FCRTH, REG_FCRTH + 4, 0x8000fff8, 0, NULL, NULL},
	{REG_RDFH, REG_RDFPC + 4, 0x00001fff, 0, NULL, NULL},
	{REG_RDBAL, REG_RDBAL + 4, 0xfffffff0, 0, NULL, NULL},
	{REG_RDBAH, REG_RDBAH + 4, 0xffffffff, 0, NULL, NULL},
	{REG_RDLEN, REG_RDLEN + 4, 0x000fff80, 0, NULL, NULL},
	{REG_RDH, REG_RDH + 4, 0x0000ffff, 0, write_heads, read_heads},
	{REG_RDT, REG_RDT + 4, 0x0000ffff, 0, NULL, read_tails},
	{REG_RDTR, REG_RDTR + 4, 0x8000ffff, 0, write_delay, NULL},
	{REG_RXDCTL, REG_RXDCTL + 4, 0x013f3f3f, 0x00010000, NULL, NULL},
	{REG_RADV, REG_RADV + 4, 0x0000ffff, 0, NULL, NULL},
	{REG_RSRPD, REG_RSRPD + 4, 0x00000fff, 0, NULL, NULL},
	{REG_TXDMAC, REG_TXDMAC + 4, 0x00000001, 0, NULL, NULL},
	{REG_TDFH, REG_TDFPC + 4, 0x00001fff, 0, NULL, NULL},
	{REG_TDBAL, REG_TDBAL + 4, 0xfffffff0, 0, NULL, NULL},
	{REG_TDBAH, REG_TDBAH + 4, 0xffffffff, 0, NULL, NULL},
	{REG_TDLEN, REG_TDLEN + 4, 0x000fff80, 0, NULL, NULL},
	{REG_TDH, REG_TDH + 4, 0x0000ffff, 0, write_heads, read_heads},
	{REG_TDT, REG_TDT + 4, 0x0000ffff, 0, NULL, read_tails},
	{REG_TIDV, REG_TIDV + 4, 0x8000ffff, 0, write_delay, NULL},
	{REG_TXDCTL, REG_TXDCTL + 4, 0xff3f3f3f, 0, NULL, NULL},
	{REG_TADV, REG_TADV + 4, 0x0000ffff, 0, NULL, NULL},
	{REG_TSPMT, REG_TSPMT + 4, 0xffffffff, 0x01000400, NULL, NULL},
	{REG_STATS, REG_STATS + 0x100, 0, 0, NULL, e1000_stats_read},
	{REG_RXCSUM, REG_RXCSUM + 4, 0x000007ff, 0, NULL, NULL},
	{REG_MTA, REG_MTA + 0x200, 0xffffffff, 0, NULL, NULL},
	{REG_RA, REG_RA + 0x80, 0xffffffff, 0, NULL, NULL},
	{REG_VFTA, REG_VFTA + 0x200, 0xffffffff, 0, NULL, NULL},
	{REG_WUC, REG_WUC + 4, 0x0000000b, 0, NULL, NULL},
	{REG_WUFC, REG_WUFC + 4, 0x000f80ff, 0, NULL, NULL},
	{REG_WUS, REG_WUS + 4, 0, 0, NULL, NULL},
	{REG_MANC, REG_MANC + 4, 0xffffffff, 0, NULL, NULL},
	{REG_IPAV, REG_IPAV + 4, 0x0001000f, 0, NULL, NULL},
	{REG_IP4AT, REG_IP4AT + 0x20, 0xffffffff, 0, NULL, NULL},
	{REG_IP6AT, REG_IP6AT + 0x10, 0xffffffff, 0, NULL, NULL},
	{REG_WUPL, REG_WUPL + 4, 0, 0, NULL, NULL},
	{REG_WUPM, REG_WUPM + 0x80, 0, 0, NULL, NULL},
	{REG_FFLT, REG_FFLT + 0x20, 0x000007ff, 0, NULL, NULL},
};

/* The 82542's places for some registers answer as well (13.2). */
static uint32_t canonical(uint32_t offset)
{
	static const struct {
		uint32_t from, end, to;
	} alias[] = {
		{0x0040, 0x00c0, REG_RA},    {0x0108, 0x010c, REG_RDTR},
		{0x0110, 0x011c, REG_RDBAL}, {0x0120, 0x0124, REG_RDH},
		{0x0128, 0x012c, REG_RDT},   {0x0160, 0x0164, REG_FCRTH},
		{0x0168, 0x016c, REG_FCRTL}, {0x0200, 0x0400, REG_MTA},
		{0x0420, 0x042c, REG_TDBAL}, {0x0430, 0x0434, REG_TDH},
		{0x0438, 0x043c, REG_TDT},   {0x0440, 0x0444, REG_TIDV},
		{0x0600, 0x0800, REG_VFTA},  {0x8010, 0x8014, REG_TDFH},
		{0x8018, 0x801c, REG_TDFT},
	};

	for (unsigned i = 0; i < ARRAY_SIZE(alias); i++)
		if (offset >= alias[i].from && offset < alias[i].end)
			return offset - alias[i].from + alias[i].to;
	return offset;
}

static const struct reg *find(uint32_t offset)
{
	unsigned low = 0, high = ARRAY_SIZE(regs);

	while (low < high) {
		unsigned mid = (low + high) / 2;

		if (offset < regs[mid].offset)
			high = mid;
		else if (offset >= regs[mid].end)
			low = mid + 1;
		else
			return &regs[mid];
	}
	return NULL;
}

void e1000_reg_reset(struct e1000 *e)
{
	memset(e->reg, 0, sizeof(e->reg));
	for (unsigned i = 0; i < ARRAY_SIZE(regs); i++)
		E1000_REG(e, regs[i].offset) = regs[i].reset;
}

static void count(struct e1000 *e, enum e1000_access which)
{
	nic_chip_count_access(&e->chip, which);
}

/* Flexible filters lie beyond the array; no other register of the upper half has state. */
static bool far_storage(struct e1000 *e, uint32_t offset, uint32_t **at)
{
	if (offset >= REG_FFMT && offset < REG_FFMT + sizeof(e->ffmt))
		*at = &e->ffmt[(offset - REG_FFMT) / 4];
	else if (offset >= REG_FFVT && offset < REG_FFVT + sizeof(e->ffvt))
		*at = &e->ffvt[(offset - REG_FFVT) / 4];
	else
		return false;
	return true;
}

static uint32_t slow_read(struct e1000 *e, uint32_t offset)
{
	const struct reg *reg = find(offset);
	uint32_t value = 0, *far;

	nic_chip_lock(&e->chip);
	if (far_storage(e, offset, &far))
		value = *far;
	else if (reg)
		value = reg->read ? reg->read(e, offset) : E1000_REG(e, offset);
	pthread_mutex_unlock(&e->chip.lock);
	return value;
}

static uint32_t reg_read(struct e1000 *e, uint32_t offset)
{
	switch (offset) {
	case REG_ICR:
		count(e, E1000_ACC_ICR);
		return nic_irq_clear(&e->chip.irq, ICR_ALL, e->chip.clock());
	case REG_STATUS:
		count(e, E1000_ACC_STATUS);
		return e->status;
	case REG_ITR:
		count(e, E1000_ACC_OTHER);
		return READ_ONCE(E1000_REG(e, REG_ITR));
	case REG_ICS:
		count(e, E1000_ACC_OTHER);
		return nic_irq_cause(&e->chip.irq);
	case REG_IMS:
		count(e, E1000_ACC_OTHER);
		return nic_irq_mask(&e->chip.irq);
	default:
		count(e, E1000_ACC_OTHER);
		return slow_read(e, canonical(offset));
	}
}

static void slow_write(struct e1000 *e, uint32_t offset, uint32_t value)
{
	const struct reg *reg = find(offset);
	uint32_t *far;
	uint32_t mask = reg ? reg->mask : 0;

	/* The upper half of each receive address has fewer bits (13.5, RAH). */
	if (offset >= REG_RA && offset < REG_VFTA && (offset & 4))
		mask = 0x8003ffff;
	nic_chip_lock(&e->chip);
	if (far_storage(e, offset, &far))
		*far = value;
	else if (reg && reg->write)
		reg->write(e, offset, value & mask);
	else if (mask)
		E1000_REG(e, offset) = value & mask;
	pthread_mutex_unlock(&e->chip.lock);
}

static void write_tdt(struct e1000 *e, uint32_t value)
{
	uint64_t now = e->chip.clock(), at = now;
	bool posted = nic_post_is(&e->chip.post, E1000_POST_TDT);

	e->tdt = value & 0xffff;
	if (nic_post_written(&e->chip.post, E1000_POST_TDT, now))
		posted = true; /* the worker is about to; it may as well begin */
	if (!posted && !pthread_mutex_trylock(&e->chip.lock)) {
		if (!e1000_tx_run(e, NIC_CHIP_INLINE, now))
			at = e1000_tx_due(e);
		pthread_mutex_unlock(&e->chip.lock);
	}
	if (nic_worker_self(&e->chip.worker))
		return;
	if (at <= now)
		nic_worker_kick(&e->chip.worker);
	else if (at != NIC_WORKER_NEVER)
		nic_worker_alarm(&e->chip.worker, at);
}

static void write_rdt(struct e1000 *e, uint32_t value)
{
	/* Announced, then looked; e1000_rx_run() does it the other way round. */
	e->rdt = value & 0xffff;
	nic_post_written(&e->chip.post, E1000_POST_RDT, 0);
	if (e->chip.stalled)
		nic_chip_kick(&e->chip);
}

static void reg_write(struct e1000 *e, uint32_t offset, uint32_t value)
{
	switch (offset) {
	case REG_ICR:
		count(e, E1000_ACC_ICR);
		nic_irq_clear(&e->chip.irq, value & ICR_ALL, e->chip.clock());
		break;
	case REG_ITR:
		/* In units of 256 ns (13.4, ITR). */
		WRITE_ONCE(E1000_REG(e, REG_ITR), value & 0xffff);
		nic_irq_set_interval(&e->chip.irq, (value & 0xffff) * 256ULL, e->chip.clock());
		break;
	case REG_ICS:
		count(e, E1000_ACC_OTHER);
		nic_irq_raise(&e->chip.irq, value & ICR_ALL, e->chip.clock());
		break;
	case REG_IMS:
		count(e, E1000_ACC_IMS);
		nic_irq_set_mask(&e->chip.irq, UINT32_MAX, value & ICR_ALL, e->chip.clock());
		nic_post_written(&e->chip.post, E1000_POST_IMS, 0);
		break;
	case REG_IMC:
		count(e, E1000_ACC_IMC);
		nic_irq_set_mask(&e->chip.irq, ~value, 0, e->chip.clock());
		break;
	default:
		offset = canonical(offset);
		if (offset == REG_TDT) {
			count(e, E1000_ACC_TDT);
			write_tdt(e, value);
		} else if (offset == REG_RDT) {
			count(e, E1000_ACC_RDT);
			write_rdt(e, value);
		} else {
			count(e, E1000_ACC_OTHER);
			slow_write(e, offset, value);
		}
	}
}

/* Registers are 32 bits wide and to be read so (13.1); parts of one are given all the same. */
static uint64_t mmio_read(void *opaque, uint64_t offset, unsigned size)
{
	struct e1000 *e = e1000_of(opaque);
	uint64_t value = reg_read(e, (uint32_t)offset & ~3U);

	if (size == 8 && !(offset & 7))
		return value | (uint64_t)reg_read(e, (uint32_t)offset + 4) << 32;
	return value >> (8 * (offset & 3));
}

static void mmio_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
	struct e1000 *e = e1000_of(opaque);

	if ((offset & 3) || size < 4)
		return; /* not defined: without effect */
	reg_write(e, (uint32_t)offset, (uint32_t)value);
	if (size == 8)
		reg_write(e, (uint32_t)offset + 4, (uint32_t)(value >> 32));
}

const struct bus_range_ops e1000_mmio_ops = {.read = mmio_read, .write = mmio_write};

/* The I/O window: an address register and a data register (13.1). */
static uint64_t io_read(void *opaque, uint64_t offset, unsigned size)
{
	struct e1000 *e = e1000_of(opaque);

	if (size != 4)
		return UINT32_MAX;
	if (offset == 0)
		return e->ioaddr;
	return offset == 4 && e->ioaddr < E1000_MMIO_SIZE ? reg_read(e, e->ioaddr & ~3U) : 0;
}

static void io_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
	struct e1000 *e = e1000_of(opaque);

	if (size != 4)
		return;
	if (offset == 0)
		WRITE_ONCE(e->ioaddr, (uint32_t)value);
	else if (offset == 4 && e->ioaddr < E1000_MMIO_SIZE)
		reg_write(e, e->ioaddr & ~3U, (uint32_t)value);
}

const struct bus_range_ops e1000_io_ops = {.read = io_read, .write = io_write};
