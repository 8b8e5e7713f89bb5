/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Intel 82540EM ("e1000"): creation, reset, PCI side, link, and what its worker does.
 *
 * Threads. vCPUs come in through the registers (e1000_reg.c), the control thread through set_link,
 * counters and config space, and the worker moves frames. The device's lock is taken after the PCI
 * function's, never before it, and the interrupt block's after both. The bus's lock for posted
 * writes is taken first of all (a vCPU that drains holds it while it calls our handlers), so the
 * worker drains with no lock held.
 *
 * The worker sleeps without a time limit only when nothing posted matters to it (nic_post.h):
 * it always waits for TDT; for RDT while the receive ring is empty; for IMS while there are causes
 * that are masked.
 */
#include "device/e1000.h"
#include "device/e1000_model.h"
#include "net/ether.h"

#include <errno.h>
#include <linux/pci_regs.h>
#include <stdio.h>
#include <stdlib.h>

#define BURST	      64 /* frames of each direction a step moves at most */

#define DELAY_UNIT_NS 1024 /* RDTR, RADV, TIDV, TADV */

void e1000_delay_stop(struct e1000_delay *delay)
{
	delay->packet = delay->absolute = NIC_WORKER_NEVER;
}

void e1000_delay_start(struct e1000_delay *delay, uint32_t packet, uint32_t absolute, uint64_t now)
{
	if (delay->packet == NIC_WORKER_NEVER && absolute)
		delay->absolute = now + absolute * (uint64_t)DELAY_UNIT_NS;
	delay->packet = now + packet * (uint64_t)DELAY_UNIT_NS;
}

bool e1000_delay_expired(struct e1000_delay *delay, uint64_t now)
{
	if (now < delay->packet && now < delay->absolute)
		return false;
	e1000_delay_stop(delay);
	return true;
}

void e1000_update_link(struct e1000 *e, bool event)
{
	uint32_t ctrl = E1000_REG(e, REG_CTRL), status = STATUS_PCI66, old = e->status;
	uint32_t speed = e->phy.speed == 1000 ? 2 : e->phy.speed == 100 ? 1 : 0;
	bool full = e->phy.full_duplex;

	if (ctrl & CTRL_FRCSPD)
		speed = MIN((ctrl & CTRL_SPEED) >> CTRL_SPEED_SHIFT, 2U);
	if (ctrl & CTRL_FRCDPX)
		full = ctrl & CTRL_FD;
	status |= speed << STATUS_SPEED_SHIFT;
	if (full)
		status |= STATUS_FD;
	if (mii_link(&e->phy))
		status |= STATUS_LU;
	e->status = status;
	if (event || ((old ^ status) & STATUS_LU))
		nic_irq_raise(&e->chip.irq, ICR_LSC, e->chip.clock());
	nic_worker_kick(&e->chip.worker);
}

void e1000_reset_mac(struct e1000 *e)
{
	e1000_rx_reset(e);
	e1000_tx_reset(e);
	e1000_reg_reset(e);
	e1000_stats_reset(e);
	e->tdh = e->rdh = 0;
	e->tdt = e->rdt = 0;
	E1000_REG(e, REG_CTRL) = CTRL_FD | CTRL_ASDE | CTRL_SLU;
	E1000_REG(e, REG_VET) = ETHER_VLAN;
	e1000_eeprom_load(e);
	nic_irq_reset(&e->chip.irq);
	e1000_update_link(e, false);
	/* What the link did before the driver was there is no news to it. */
	nic_irq_clear(&e->chip.irq, ICR_ALL, e->chip.clock());
}

static void expire_delays(struct e1000 *e, uint64_t now)
{
	uint32_t causes = 0;

	if (e1000_delay_expired(&e->rx.delay, now))
		causes |= ICR_RXT0;
	if (e1000_delay_expired(&e->tx.delay, now)) {
		e1000_tx_reported(e);
		causes |= ICR_TXDW;
	}
	nic_irq_raise(&e->chip.irq, causes, now);
}

/* The moving of frames; returns when something is due. */
static uint64_t work(struct e1000 *e, uint64_t now, bool *receive)
{
	uint64_t at = NIC_WORKER_NEVER;
	bool more;

	pthread_mutex_lock(&e->chip.lock);
	more = e1000_tx_run(e, NIC_CHIP_BURST, now);
	more |= e1000_rx_run(e, NIC_CHIP_BURST, now);
	expire_delays(e, now);
	at = MIN(MIN(e->rx.delay.packet, e->rx.delay.absolute), e1000_tx_due(e));
	if (e->chip.stalled && e1000_rx_free(e) >= MAX(e->rx.room_needed, 1U))
		at = MIN(at, e->chip.stalled_at + E1000_RESUME_NS);
	*receive = !e->chip.stalled;
	pthread_mutex_unlock(&e->chip.lock);
	return more ? now : at;
}

void e1000_step(void *opaque, uint64_t now, struct nic_worker_wish *wish)
{
	struct e1000 *e = opaque;

	nic_chip_step_begin(&e->chip);
	wish->at = work(e, now, &wish->receive);
	wish->at = MIN(wish->at, nic_irq_poll(&e->chip.irq, now));
	wish->at = MIN(wish->at, nic_post_tend(&e->chip.post, E1000_POST_TDT, true, now));
	wish->at = MIN(wish->at, nic_post_tend(&e->chip.post, E1000_POST_RDT, !wish->receive, now));
	wish->at = MIN(wish->at, nic_post_tend(&e->chip.post, E1000_POST_IMS,
					       nic_irq_masked_pending(&e->chip.irq), now));
}

/* An interrupt was held back: the worker must know when it is due, or that IMS is waited for. */
static void irq_held(void *opaque)
{
	struct e1000 *e = opaque;
	uint64_t due = e->chip.irq.deadline;

	if (nic_worker_self(&e->chip.worker))
		return;
	if (due != NIC_IRQ_NEVER)
		nic_worker_alarm(&e->chip.worker, due);
	else
		nic_worker_kick(&e->chip.worker);
}

static void e1000_bar_moved(struct pci_dev *dev, unsigned bar, bool mapped)
{
	if (bar == 0)
		nic_post_map(&nic_chip_of(dev)->post, mapped, dev->bars[0].addr);
}

static void e1000_reset(struct pci_dev *dev)
{
	struct e1000 *e = e1000_of(dev);

	pthread_mutex_lock(&e->chip.lock);
	e->chip.dma.allowed = false;
	mii_reset(&e->phy);
	e->eeprom.write_enabled = false;
	e->ioaddr = 0;
	e1000_reset_mac(e);
	pthread_mutex_unlock(&e->chip.lock);
}

static void e1000_destroy(struct pci_dev *dev)
{
	struct e1000 *e = e1000_of(dev);

	nic_chip_fini(&e->chip);
	free(e);
}

static const struct pci_dev_ops e1000_pci_ops = {
	.config_written = nic_chip_config_written,
	.bar_moved = e1000_bar_moved,
	.reset = e1000_reset,
	.pause = nic_chip_pause,
	.destroy = e1000_destroy,
};

static const char *const access_names[] = {
	[E1000_ACC_ICR] = "icr",     [E1000_ACC_STATUS] = "status", [E1000_ACC_IMS] = "ims",
	[E1000_ACC_IMC] = "imc",     [E1000_ACC_TDT] = "tdt",	    [E1000_ACC_RDT] = "rdt",
	[E1000_ACC_OTHER] = "other",
};
_Static_assert(ARRAY_SIZE(access_names) == E1000_ACC_COUNT, "a name for each");

static const struct nic_chip_model model = {
	.nic_ops = &e1000_nic_ops,
	.pci_ops = &e1000_pci_ops,
	.step = e1000_step,
	.rx_ops = &e1000_rx_ops,
	.posts = e1000_post_regs,
	.nposts = E1000_POSTS,
	.access_names = access_names,
	.naccesses = E1000_ACC_COUNT,
	.ids =
		{
			.vendor = 0x8086,
			.device = 0x100e,
			.subsystem_vendor = 0x8086,
			.subsystem = 0x001e, /* PRO/1000 MT Desktop Adapter */
			.class_code = 0x020000,
			.revision = 2,
		},
};

static void declare(struct e1000 *e)
{
	struct pci_dev *dev = &e->chip.nic.pci;

	dev->config[PCI_MIN_GNT] = 0xff;
	pci_dev_bar(dev, 0, PCI_BAR_MEM32, E1000_MMIO_SIZE, &e1000_mmio_ops);
	pci_dev_bar(dev, 2, PCI_BAR_IO, E1000_IO_SIZE, &e1000_io_ops);
	dev->bars[0].unlocked = dev->bars[2].unlocked = true;
	nic_chip_add_pm(&e->chip, 2 | PCI_PM_CAP_DSI);
}

int e1000_create(const struct nic_chip_setup *setup, bool moderate, struct nic **out,
		 struct error *err)
{
	struct e1000 *e = calloc(1, sizeof(*e));
	int ret;

	if (!e)
		return error_set(err, -ENOMEM, "%s: out of memory", setup->id);
	ret = nic_chip_init(&e->chip, &model, setup, err);
	if (!ret) {
		e->chip.irq.held = irq_held;
		e->moderate = moderate;
		declare(e);
		e1000_eeprom_init(e);
		e1000_phy_init(e);
		e1000_reset_mac(e);
		ret = nic_chip_start(&e->chip, setup, err);
	}
	if (ret) {
		nic_chip_fini(&e->chip);
		free(e);
		return ret;
	}
	*out = &e->chip.nic;
	return 0;
}
