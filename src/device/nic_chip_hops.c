// SPDX-License-Identifier: Apache-2.0
/* What an emulated chip tells of itself and of its frames' way. */
#include "device/nic_chip.h"
#include "device/nic_hop.h"

#include <stdio.h>

static const char *const drop_texts[NIC_DROP_COUNT] = {
	[NIC_DROP_NO_BACKEND] = "there is no back-end",
	[NIC_DROP_LINK_DOWN] = "the cable is unplugged",
	[NIC_DROP_DISABLED] = "the driver has not enabled the receiver",
	[NIC_DROP_FILTERED] = "not addressed to this guest (address, multicast or VLAN filter)",
	[NIC_DROP_OVERSIZE] = "longer than the driver allowed, or than the chip can take",
	[NIC_DROP_UNDERSIZE] = "not even an Ethernet header",
	[NIC_DROP_BAD_ADDRESS] = "a descriptor points outside guest memory",
	[NIC_DROP_BAD_RING] = "descriptors that make no sense",
	[NIC_DROP_BAD_OFFLOAD] = "offload fields that do not fit the frame",
	[NIC_DROP_NO_BUFFER] = "looped back, and no receive descriptor for it",
	[NIC_DROP_BACKEND] = "the frame back-end was full",
};

static void chip_hop(struct nic_hop *hop, const struct nic_flow *flow, enum nic_direction direction)
{
	*hop = (struct nic_hop){
		.name = "chip",
		.what = direction == NIC_TX
				? "the emulated chip takes frames from its transmit descriptors"
				: "the emulated chip puts frames into its receive descriptors",
		.direction = direction,
		.counted = true,
		.frames_in = flow->in,
		.bytes_in = flow->bytes_in,
		.frames_out = flow->out,
		.bytes_out = flow->bytes_out,
		.last_drop = -1,
	};
	for (unsigned i = 0; i < NIC_DROP_COUNT; i++)
		nic_hop_drop(hop, nic_drop_name(i), drop_texts[i], flow->drops[i]);
}

static void backend_hop(struct nic_chip *chip, enum nic_direction direction, nic_hop_fn *fn,
			void *arg)
{
	struct hostnet_counters c = {0};
	struct nic_hop hop;

	if (!chip->hn)
		return;
	chip->hn->ops->counters(chip->hn, 0, &c);
	nic_hop_backend(&hop, "backend", direction, 0, &c);
	hop.what = chip->hn->ops->help;
	nic_hop_more(&hop, "system_calls", c.syscalls);
	fn(arg, &hop);
}

void nic_chip_hops(struct nic *nic, nic_hop_fn *fn, void *arg)
{
	struct nic_chip *chip = nic_chip_of(&nic->pci);
	struct nic_flow tx, rx;
	struct nic_hop hop;
	uint64_t held;

	pthread_mutex_lock(&chip->lock);
	tx = chip->tx_flow;
	rx = chip->rx_flow;
	held = chip->rx.held_frames;
	pthread_mutex_unlock(&chip->lock);
	chip_hop(&hop, &tx, NIC_TX);
	nic_hop_more(&hop, "interrupts", READ_ONCE(chip->irq.asserted));
	nic_hop_more(&hop, "worker_sleeps", READ_ONCE(chip->worker.sleeps));
	nic_hop_more(&hop, "worker_kicks", chip->worker.kicks);
	fn(arg, &hop);
	backend_hop(chip, NIC_TX, fn, arg);
	backend_hop(chip, NIC_RX, fn, arg);
	chip_hop(&hop, &rx, NIC_RX);
	nic_hop_more(&hop, "held_frames", held);
	nic_hop_more(&hop, "dma_faults", READ_ONCE(chip->dma.faults));
	fn(arg, &hop);
}

void nic_chip_state(struct nic *nic, struct nic_state *out)
{
	struct nic_chip *chip = nic_chip_of(&nic->pci);
	struct hostnet *hn = chip->hn;

	*out = (struct nic_state){
		.plane = "emulated",
		.queue_pairs = 1,
		.mtu = hn ? hn->mtu : 0,
		.admin_up = chip->admin_up,
		.carrier = hn && (!hn->ops->link_up || hn->ops->link_up(hn)),
		.running = pci_dev_bus_master(&nic->pci),
		.capturing = chip->capture,
	};
	memcpy(out->mac, chip->mac, sizeof(out->mac));
	snprintf(out->backend, sizeof(out->backend), "%s", hn ? hn->ops->name : "none");
	if (hn && hn->ops->attachment)
		snprintf(out->attachment, sizeof(out->attachment), "%s", hn->ops->attachment(hn));
}
