/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Intel 82559C: creation, reset, PCI side, interrupts, and what its worker does.
 *
 * The worker waits for SCB commands, frames from the network, and for the moment when a suspended
 * command unit is to be reported. It sleeps without a time limit only when the command register is
 * not posted (nic_post.h) and the receive unit has room (nic_chip.c).
 *
 * CNA. The command unit leaves the active state when it has caught up with the driver, on the wire
 * after the time that frames take there, here at once: as it is, that would be an interrupt for each
 * frame. It is raised when the unit is still suspended after CNA_NS, or with the next other cause.
 */
#include "device/i82559.h"
#include "device/i82559_model.h"

#include <errno.h>
#include <linux/pci_regs.h>
#include <stdlib.h>

#define CNA_NS NSEC_PER_MSEC

static void show_states(struct i82559 *i)
{
	csr_set8(i, CSR_STATUS, (uint8_t)(i->cu.state << 6 | i->ru.state << 2));
	if ((i->cu.state || i->ru.state) && nic_shadow_want(&i->chip.shadow))
		nic_chip_kick(&i->chip);
}

void i82559_set_cu(struct i82559 *i, enum i559_cu_state state)
{
	uint64_t now = i->chip.clock();

	if (state == CU_ACTIVE)
		i->cu.cna_at = NIC_WORKER_NEVER;
	else if (i->cu.state == CU_ACTIVE && (state == CU_IDLE || !(i->config[6] & CFG6_CI)))
		i->cu.cna_at = state == CU_IDLE ? now : now + CNA_NS;
	i->cu.state = state;
	show_states(i);
}

void i82559_set_ru(struct i82559 *i, enum i559_ru_state state)
{
	i->ru.state = state;
	show_states(i);
}

void i82559_raise(struct i82559 *i, uint32_t causes, uint64_t now)
{
	if (i->cu.cna_at != NIC_WORKER_NEVER && (causes || now >= i->cu.cna_at)) {
		i->cu.cna_at = NIC_WORKER_NEVER;
		causes |= ACK_CNA;
	}
	nic_irq_raise(&i->chip.irq, causes, now);
}

bool i82559_loopback(const struct i82559 *i)
{
	return (i->config[10] & CFG10_LOOPBACK) || mii_loopback(&i->phy);
}

static void irq_changed(void *opaque, uint32_t cause, uint32_t mask)
{
	csr_set8(opaque, CSR_STAT_ACK, (uint8_t)cause);
}

void i82559_soft_reset(struct i82559 *i, bool selective)
{
	i82559_rx_reset(i);
	i->cu.state = CU_IDLE;
	i->cu.base = i->cu.at = i->cu.run = 0;
	i->cu.resume = false;
	i->cu.cna_at = NIC_WORKER_NEVER;
	i->ru.base = i->ru.at = 0;
	i->ru.header_size = 0;
	i->chip.tx_retry = 0;
	if (!selective) {
		memset(i->stats, 0, sizeof(i->stats));
		i->dump_address = 0;
		i82559_default_config(i);
		for (unsigned k = 0; k < 3; k++)
			store_le16(i->ia + 2 * k, i->eeprom.data[k]);
		memset(i->hash, 0, sizeof(i->hash));
	}
	memset(i->chip.shadow.page, 0, CSR_END);
	csr_set32(i, CSR_MDI, MDI_READY);
	nic_irq_reset(&i->chip.irq);
	/* The chip comes up with its interrupts enabled (6.3.3). */
	nic_irq_set_mask(&i->chip.irq, 0, UINT8_MAX, i->chip.clock());
	show_states(i);
	i82559_update_link(i);
}

static uint64_t work(struct i82559 *i, uint64_t now, bool *receive)
{
	uint64_t at = NIC_WORKER_NEVER;
	bool more;

	pthread_mutex_lock(&i->chip.lock);
	more = i82559_cu_run(i, NIC_CHIP_BURST, now);
	more |= i82559_rx_run(i, NIC_CHIP_BURST, now);
	i82559_raise(i, 0, now);
	at = i->cu.cna_at;
	if (i->chip.tx_retry)
		at = MIN(at, i->chip.tx_retry);
	if (i->chip.stalled)
		at = MIN(at, i->chip.look_at);
	*receive = !i->chip.stalled;
	pthread_mutex_unlock(&i->chip.lock);
	return more ? now : at;
}

void i82559_step(void *chip, uint64_t now, struct nic_worker_wish *wish)
{
	struct i82559 *i = chip;

	nic_chip_step_begin(&i->chip);
	if (nic_post_took(&i->chip.post, I559_POST_CMD))
		i->cu.resume = true;
	wish->at = work(i, now, &wish->receive);
	wish->at = MIN(wish->at, nic_irq_poll(&i->chip.irq, now));
	wish->at = MIN(wish->at, nic_post_tend(&i->chip.post, I559_POST_CMD, true, now));
	nic_shadow_tend(&i->chip.shadow);
}

static void bar_moved(struct pci_dev *dev, unsigned bar, bool mapped)
{
	struct i82559 *i = i82559_of(dev);

	if (bar != 0)
		return;
	nic_post_map(&i->chip.post, mapped, dev->bars[0].addr);
	nic_shadow_map(&i->chip.shadow, mapped, dev->bars[0].addr);
	nic_chip_kick(&i->chip);
}

static void reset(struct pci_dev *dev)
{
	struct i82559 *i = i82559_of(dev);

	pthread_mutex_lock(&i->chip.lock);
	i->chip.dma.allowed = false;
	nic_shadow_hide(&i->chip.shadow);
	mii_reset(&i->phy);
	i->eeprom.write_enabled = false;
	eeprom93_wires(&i->eeprom, false, false, false);
	i82559_soft_reset(i, false);
	pthread_mutex_unlock(&i->chip.lock);
}

static void destroy(struct pci_dev *dev)
{
	struct i82559 *i = i82559_of(dev);

	nic_chip_fini(&i->chip);
	free(i);
}

static const struct pci_dev_ops pci_ops = {
	.config_written = nic_chip_config_written,
	.bar_moved = bar_moved,
	.reset = reset,
	.pause = nic_chip_pause,
	.destroy = destroy,
};

static const char *const access_names[I559_ACC_COUNT] = {
	[I559_ACC_READ] = "read", [I559_ACC_ACK] = "stat_ack",	  [I559_ACC_CMD] = "command",
	[I559_ACC_MASK] = "mask", [I559_ACC_POINTER] = "pointer", [I559_ACC_OTHER] = "other",
};

static const struct nic_chip_model model = {
	.nic_ops = &i82559c_nic_ops,
	.pci_ops = &pci_ops,
	.step = i82559_step,
	.rx_ops = &i82559_rx_ops,
	.posts = i82559_post_regs,
	.nposts = I559_POST_COUNT,
	.access_names = access_names,
	.naccesses = I559_ACC_COUNT,
	.ids = {.vendor = 0x8086,
		.device = 0x1229,
		.subsystem_vendor = 0x8086,
		.subsystem = 0x000c, /* EtherExpress PRO/100+ Management Adapter */
		.class_code = 0x020000,
		.revision = 8},
};

static void pci_init(struct i82559 *i)
{
	struct pci_dev *dev = &i->chip.nic.pci;

	dev->config[PCI_MIN_GNT] = 0x08;
	dev->config[PCI_MAX_LAT] = 0x38;
	pci_dev_bar(dev, 0, PCI_BAR_MEM32, I559_MMIO_SIZE, &i82559_bar_ops);
	pci_dev_bar(dev, 1, PCI_BAR_IO, I559_IO_SIZE, &i82559_bar_ops);
	dev->bars[0].unlocked = dev->bars[1].unlocked = true;
	nic_chip_add_pm(&i->chip, 2 | PCI_PM_CAP_DSI | PCI_PM_CAP_D1 | PCI_PM_CAP_D2);
}

int i82559_create(const struct nic_chip_setup *setup, struct nic **out, struct error *err)
{
	struct i82559 *i = calloc(1, sizeof(*i));
	int ret;

	if (!i)
		return error_set(err, -ENOMEM, "%s: out of memory", setup->id);
	ret = nic_chip_init(&i->chip, &model, setup, err);
	if (!ret) {
		i->chip.irq.changed = irq_changed;
		pci_init(i);
		i82559_eeprom_init(i);
		i82559_phy_init(i);
		i82559_soft_reset(i, false);
		ret = nic_chip_start(&i->chip, setup, err);
	}
	if (ret) {
		destroy(&i->chip.nic.pci);
		return ret;
	}
	*out = &i->chip.nic;
	return 0;
}
