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
		nic_irq_raise(&e->irq, ICR_LSC, e->clock());
	nic_worker_kick(&e->worker);
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
	nic_irq_reset(&e->irq);
	e1000_update_link(e, false);
	/* What the link did before the driver was there is no news to it. */
	nic_irq_clear(&e->irq, ICR_ALL, e->clock());
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
	nic_irq_raise(&e->irq, causes, now);
}

/* The moving of frames; returns when something is due. */
static uint64_t work(struct e1000 *e, uint64_t now, bool *receive)
{
	uint64_t at = NIC_WORKER_NEVER;
	bool more;

	pthread_mutex_lock(&e->lock);
	more = e1000_tx_run(e, BURST, now);
	more |= e1000_rx_run(e, BURST, now);
	expire_delays(e, now);
	at = MIN(MIN(e->rx.delay.packet, e->rx.delay.absolute), e1000_tx_due(e));
	if (e->rx.stalled && e1000_rx_free(e) >= MAX(e->rx.room_needed, 1U))
		at = MIN(at, e->rx.stalled_at + E1000_RESUME_NS);
	*receive = !e->rx.stalled;
	pthread_mutex_unlock(&e->lock);
	return more ? now : at;
}

void e1000_step(void *opaque, uint64_t now, struct nic_worker_wish *wish)
{
	struct e1000 *e = opaque;

	/* Give way to a vCPU that waits at a register. */
	for (unsigned i = 0; i < 1000 && e->waiters; i++)
		cpu_relax();
	nic_post_drain(&e->post);
	wish->at = work(e, now, &wish->receive);
	wish->at = MIN(wish->at, nic_irq_poll(&e->irq, now));
	wish->at = MIN(wish->at, nic_post_tend(&e->post, E1000_POST_TDT, true, now));
	wish->at = MIN(wish->at, nic_post_tend(&e->post, E1000_POST_RDT, !wish->receive, now));
	wish->at = MIN(wish->at, nic_post_tend(&e->post, E1000_POST_IMS,
					       nic_irq_masked_pending(&e->irq), now));
}

/* An interrupt was held back: the worker must know when it is due, or that IMS is waited for. */
static void irq_held(void *opaque)
{
	struct e1000 *e = opaque;
	uint64_t due = e->irq.deadline;

	if (nic_worker_self(&e->worker))
		return;
	if (due != NIC_IRQ_NEVER)
		nic_worker_alarm(&e->worker, due);
	else
		nic_worker_kick(&e->worker);
}

static void e1000_config_written(struct pci_dev *dev, unsigned offset, unsigned size)
{
	/* Bus mastering may have been allowed just now. */
	nic_worker_kick(&e1000_of(dev)->worker);
}

static void e1000_bar_moved(struct pci_dev *dev, unsigned bar, bool mapped)
{
	if (bar == 0)
		nic_post_map(&e1000_of(dev)->post, mapped, dev->bars[0].addr);
}

static void e1000_reset(struct pci_dev *dev)
{
	struct e1000 *e = e1000_of(dev);

	pthread_mutex_lock(&e->lock);
	mii_reset(&e->phy);
	e->eeprom.write_enabled = false;
	e->ioaddr = 0;
	e1000_reset_mac(e);
	pthread_mutex_unlock(&e->lock);
}

static int memory_changed(struct mem_listener *listener, const struct mem_table *old,
			  const struct mem_table *table, struct error *err)
{
	struct e1000 *e = listener->opaque;

	pthread_mutex_lock(&e->lock);
	nic_dma_set_table(&e->dma, table);
	pthread_mutex_unlock(&e->lock);
	return 0;
}

static void e1000_destroy(struct pci_dev *dev)
{
	struct e1000 *e = e1000_of(dev);

	nic_worker_stop(&e->worker);
	if (e->listening)
		guest_mem_unlisten(e->mem, &e->mem_listener);
	nic_rx_fini(&e->rx.nic);
	if (e->hn)
		e->hn->ops->close(e->hn);
	nic_post_fini(&e->post);
	nic_irq_fini(&e->irq);
	pthread_mutex_destroy(&e->lock);
	pci_dev_fini(dev);
	free(e);
}

static const struct pci_dev_ops e1000_pci_ops = {
	.config_written = e1000_config_written,
	.bar_moved = e1000_bar_moved,
	.reset = e1000_reset,
	.destroy = e1000_destroy,
};

static void pci_init(struct e1000 *e, const char *id, struct bus_host *host)
{
	static const struct pci_ids ids = {
		.vendor = 0x8086,
		.device = 0x100e,
		.subsystem_vendor = 0x8086,
		.subsystem = 0x001e, /* PRO/1000 MT Desktop Adapter */
		.class_code = 0x020000,
		.revision = 2,
	};
	struct pci_dev *dev = &e->nic.pci;
	unsigned pm;

	snprintf(dev->id, sizeof(dev->id), "%s", id);
	dev->ops = &e1000_pci_ops;
	dev->host = host;
	pci_dev_init(dev, &ids);
	dev->config[PCI_MIN_GNT] = 0xff;
	pci_dev_bar(dev, 0, PCI_BAR_MEM32, E1000_MMIO_SIZE, &e1000_mmio_ops);
	pci_dev_bar(dev, 2, PCI_BAR_IO, E1000_IO_SIZE, &e1000_io_ops);
	dev->bars[0].unlocked = dev->bars[2].unlocked = true;
	pci_dev_use_intx(dev);
	pm = pci_dev_add_cap(dev, PCI_CAP_ID_PM, PCI_PM_SIZEOF);
	store_le16(dev->config + pm + PCI_PM_PMC, 2 | PCI_PM_CAP_DSI);
	store_le16(dev->config + pm + PCI_PM_CTRL, PCI_PM_CTRL_NO_SOFT_RESET);
	store_le16(dev->writable + pm + PCI_PM_CTRL, PCI_PM_CTRL_STATE_MASK);
}

int e1000_create(const struct e1000_setup *setup, struct nic **out, struct error *err)
{
	struct e1000 *e = calloc(1, sizeof(*e));
	struct hostnet *hn = setup->hn;
	int ret;

	if (!e)
		return error_set(err, -ENOMEM, "%s: out of memory", setup->id);
	e->mem = setup->mem;
	e->clock = setup->clock ? setup->clock : clock_ns;
	e->real_fcs = setup->real_fcs;
	e->moderate = setup->moderate;
	e->host_link = true;
	memcpy(e->mac, setup->mac, 6);
	pthread_mutex_init(&e->lock, NULL);
	pci_init(e, setup->id, setup->host);
	e->nic.nic_ops = &e1000_nic_ops;
	nic_irq_init(&e->irq, &e->nic.pci, irq_held, e);
	nic_post_init(&e->post, setup->host, e1000_post_regs, e1000_post_count, setup->post);
	e->dma.dev = &e->nic.pci;
	ret = nic_worker_init(&e->worker, e1000_step, e, hn ? hn->ops->poll_fd(hn, 0) : -1, err);
	if (ret)
		goto fail;
	ret = nic_rx_init(&e->rx.nic, hn, &e1000_rx_ops, e, &e->rx.flow);
	if (ret) {
		error_set(err, ret, "%s: out of memory", setup->id);
		goto fail;
	}
	e1000_eeprom_init(e);
	e1000_phy_init(e);
	e1000_reset_mac(e);
	e->mem_listener =
		(struct mem_listener){.name = "e1000", .changed = memory_changed, .opaque = e};
	ret = guest_mem_listen(setup->mem, &e->mem_listener, err);
	if (ret)
		goto fail;
	e->listening = true;
	e->hn = hn;
	if (setup->threaded) {
		ret = nic_worker_start(&e->worker, setup->id, setup->cpu, err);
		if (ret)
			goto fail;
	}
	*out = &e->nic;
	return 0;
fail:
	e->hn = NULL; /* still the caller's */
	e1000_destroy(&e->nic.pci);
	return ret;
}
