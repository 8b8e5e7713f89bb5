/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Realtek RTL8139C+: creation, reset, PCI side, timer, and what its worker does.
 *
 * The worker waits for TPPoll, frames from the network and the timer. It sleeps without a time
 * limit only when TPPoll is not posted (nic_post.h) and the receiver has room (nic_chip.c).
 */
#include "device/rtl8139.h"
#include "device/rtl8139_model.h"

#include <errno.h>
#include <linux/pci_regs.h>
#include <stdlib.h>

#define TIMER_MHZ 33 /* TCTR counts PCI clocks (6.22) */

uint32_t rtl8139_timer_count(const struct rtl8139 *r, uint64_t now)
{
	return (uint32_t)((now - r->timer_zero) * TIMER_MHZ / 1000);
}

void rtl8139_timer_set(struct rtl8139 *r, uint64_t now)
{
	uint32_t at = rtl_get32(r, RTL_TIMERINT), count = rtl8139_timer_count(r, now);

	r->timer_due = NIC_WORKER_NEVER;
	/* It comes when the counter gets there, which may be once around. */
	if (at)
		r->timer_due = now + ((uint64_t)(at - count) * 1000 + TIMER_MHZ - 1) / TIMER_MHZ;
	rtl8139_show(r);
	nic_chip_kick(&r->chip);
}

void rtl8139_show(struct rtl8139 *r)
{
	bool timer = rtl_get32(r, RTL_TIMERINT) || r->timer_zero;
	bool running = rtl_get8(r, RTL_CR) & (CR_RE | CR_TE);

	/* TCTR runs, and a link that was lost shows once in BMSR: both are made when read. */
	if (timer || r->phy.lost)
		nic_shadow_hide(&r->chip.shadow);
	else if (running && nic_shadow_want(&r->chip.shadow))
		nic_chip_kick(&r->chip);
}

/* DTCCR (6.4): the counters in one piece. */
void rtl8139_dump_tally(struct rtl8139 *r)
{
	uint32_t low = rtl_get32(r, RTL_DTCCR);
	uint8_t buf[TALLY_BYTES] = {0};
	uint64_t at = (uint64_t)rtl_get32(r, RTL_DTCCR + 4) << 32 | (low & ~(TALLY_BYTES - 1U));

	store_le64(buf, r->tally.tx_ok);
	store_le64(buf + 8, r->tally.rx_ok);
	store_le64(buf + 16, r->tally.tx_err);
	store_le32(buf + 24, r->tally.rx_err);
	store_le16(buf + 28, r->tally.missed);
	store_le64(buf + 40, r->tally.rx_phys);
	store_le64(buf + 48, r->tally.rx_broadcast);
	store_le32(buf + 56, r->tally.rx_multicast);
	store_le16(buf + 60, r->tally.tx_abort);
	if (!nic_dma_allowed(&r->chip.dma) || !nic_dma_write(&r->chip.dma, at, buf, sizeof(buf)))
		nic_irq_raise(&r->chip.irq, ISR_SERR, r->chip.clock());
	rtl_set32(r, RTL_DTCCR, low & ~(uint32_t)DTCCR_CMD);
}

/* The bits of both, kept where the guest reads them. */
static void irq_changed(void *opaque, uint32_t cause, uint32_t mask)
{
	struct rtl8139 *r = opaque;

	rtl_set16(r, RTL_ISR, (uint16_t)cause);
	rtl_set16(r, RTL_IMR, (uint16_t)mask);
}

/* CR.RST (6.8): all but addresses, configuration and the PHY. */
void rtl8139_soft_reset(struct rtl8139 *r)
{
	rtl8139_tx_reset(r);
	rtl_set8(r, RTL_CR, CR_BUFE);
	rtl_set32(r, RTL_TCR, r->cplus ? TCR_8139CP : TCR_8139C);
	rtl_set32(r, RTL_RCR, 0);
	rtl_set32(r, RTL_RBSTART, 0);
	rtl_set16(r, RTL_CPCR, 0);
	rtl_set8(r, RTL_TPPOLL, 0);
	rtl_set32(r, RTL_TIMERINT, 0);
	rtl_set32(r, RTL_MPC, 0);
	rtl_set16(r, RTL_MULINT, 0);
	for (unsigned i = 0; i < 4; i++)
		rtl_set32(r, RTL_TSAD0 + 4 * i, 0);
	r->timer_zero = 0;
	r->timer_due = NIC_WORKER_NEVER;
	rtl8139_rx_reset(r);
	nic_irq_reset(&r->chip.irq);
	rtl8139_update_link(r, false);
	nic_irq_clear(&r->chip.irq, UINT32_MAX, r->chip.clock());
}

void rtl8139_power_on(struct rtl8139 *r)
{
	nic_shadow_hide(&r->chip.shadow);
	memset(r->chip.shadow.page, 0, RTL_IO_SIZE);
	mii_reset(&r->phy);
	memset(&r->tally, 0, sizeof(r->tally));
	r->eeprom.write_enabled = false;
	eeprom93_wires(&r->eeprom, false, false, false);
	rtl_set16(r, RTL_CSCR, CSCR_RESET);
	rtl8139_eeprom_load(r);
	rtl8139_soft_reset(r);
}

static uint64_t work(struct rtl8139 *r, uint64_t now, bool *receive)
{
	uint64_t at = NIC_WORKER_NEVER;
	bool more;

	pthread_mutex_lock(&r->chip.lock);
	more = rtl8139_tx_run(r, NIC_CHIP_BURST, now);
	more |= rtl8139_rx_run(r, NIC_CHIP_BURST, now);
	if (now >= r->tx.report_at)
		nic_irq_raise(&r->chip.irq, rtl8139_tx_desc_report(r), now);
	if (now >= r->timer_due) {
		r->timer_due = NIC_WORKER_NEVER;
		nic_irq_raise(&r->chip.irq, ISR_TIMEOUT, now);
	}
	at = MIN(MIN(r->timer_due, r->rx.remind), r->tx.report_at);
	if (r->chip.tx_retry)
		at = MIN(at, r->chip.tx_retry);
	if (r->chip.stalled)
		at = MIN(at, r->chip.look_at);
	*receive = !r->chip.stalled;
	pthread_mutex_unlock(&r->chip.lock);
	return more ? now : at;
}

void rtl8139_step(void *chip, uint64_t now, struct nic_worker_wish *wish)
{
	struct rtl8139 *r = chip;

	nic_chip_step_begin(&r->chip);
	wish->at = work(r, now, &wish->receive);
	wish->at = MIN(wish->at, nic_irq_poll(&r->chip.irq, now));
	wish->at = MIN(wish->at, nic_post_tend(&r->chip.post, RTL_POST_TPPOLL, true, now));
	nic_shadow_tend(&r->chip.shadow);
}

static void bar_moved(struct pci_dev *dev, unsigned bar, bool mapped)
{
	struct rtl8139 *r = rtl8139_of(dev);

	if (bar != 1)
		return;
	nic_post_map(&r->chip.post, mapped, dev->bars[1].addr);
	nic_shadow_map(&r->chip.shadow, mapped, dev->bars[1].addr);
	nic_chip_kick(&r->chip);
}

static void reset(struct pci_dev *dev)
{
	struct rtl8139 *r = rtl8139_of(dev);

	pthread_mutex_lock(&r->chip.lock);
	r->chip.dma.allowed = false;
	rtl8139_power_on(r);
	pthread_mutex_unlock(&r->chip.lock);
}

static void destroy(struct pci_dev *dev)
{
	struct rtl8139 *r = rtl8139_of(dev);

	nic_chip_fini(&r->chip);
	pthread_mutex_destroy(&r->ring);
	free(r);
}

static const struct pci_dev_ops pci_ops = {
	.config_written = nic_chip_config_written,
	.bar_moved = bar_moved,
	.reset = reset,
	.pause = nic_chip_pause,
	.destroy = destroy,
};

static const char *const access_names[] = {
	[RTL_ACC_READ] = "read",   [RTL_ACC_ISR] = "isr", [RTL_ACC_IMR] = "imr",
	[RTL_ACC_CAPR] = "capr",   [RTL_ACC_TSD] = "tsd", [RTL_ACC_TPPOLL] = "tppoll",
	[RTL_ACC_OTHER] = "other",
};
_Static_assert(ARRAY_SIZE(access_names) == RTL_ACC_COUNT, "a name for each");

#define MODEL(rev)                                                                               \
	{                                                                                        \
		.nic_ops = &rtl8139_nic_ops, .pci_ops = &pci_ops, .step = rtl8139_step,          \
		.rx_ops = &rtl8139_rx_ops, .posts = rtl8139_post_regs, .nposts = RTL_POST_COUNT, \
		.access_names = access_names, .naccesses = RTL_ACC_COUNT,                        \
		.ids = {                                                                         \
			.vendor = 0x10ec,                                                        \
			.device = 0x8139,                                                        \
			.subsystem_vendor = 0x10ec,                                              \
			.subsystem = 0x8139,                                                     \
			.class_code = 0x020000,                                                  \
			.revision = (rev),                                                       \
		},                                                                               \
	}

/* RTL8139C and RTL8139C+. */
static const struct nic_chip_model models[] = {MODEL(0x10), MODEL(0x20)};

static void pci_init(struct rtl8139 *r)
{
	struct pci_dev *dev = &r->chip.nic.pci;

	dev->config[PCI_MIN_GNT] = 0x20;
	dev->config[PCI_MAX_LAT] = 0x40;
	pci_dev_bar(dev, 0, PCI_BAR_IO, RTL_IO_SIZE, &rtl8139_bar_ops);
	pci_dev_bar(dev, 1, PCI_BAR_MEM32, RTL_MMIO_SIZE, &rtl8139_bar_ops);
	dev->bars[0].unlocked = dev->bars[1].unlocked = true;
	/* Wakes from D1 on, as the chip's EEPROM would have it. */
	nic_chip_add_pm(&r->chip, 2 | PCI_PM_CAP_D1 | PCI_PM_CAP_D2 | 0xf000);
}

int rtl8139_create(const struct nic_chip_setup *setup, bool cplus, struct nic **out,
		   struct error *err)
{
	struct rtl8139 *r = calloc(1, sizeof(*r));
	int ret;

	if (!r)
		return error_set(err, -ENOMEM, "%s: out of memory", setup->id);
	r->cplus = cplus;
	pthread_mutex_init(&r->ring, NULL);
	ret = nic_chip_init(&r->chip, &models[cplus], setup, err);
	if (!ret) {
		r->chip.irq.changed = irq_changed;
		pci_init(r);
		rtl8139_eeprom_init(r);
		rtl8139_phy_init(r);
		rtl8139_power_on(r);
		ret = nic_chip_start(&r->chip, setup, err);
	}
	if (ret) {
		destroy(&r->chip.nic.pci);
		return ret;
	}
	*out = &r->chip.nic;
	return 0;
}
