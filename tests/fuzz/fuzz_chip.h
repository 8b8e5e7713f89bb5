/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_FUZZ_CHIP_H
#define TESTS_FUZZ_CHIP_H

/*
 * A driver and a network that do anything, against a NIC made of device/nic_chip.h. The input is a
 * list of commands: register and port accesses, writes to guest memory, frames from the network, the
 * passing of time, and what the chip's own target adds. Whatever it says, every frame is accounted
 * for, a pass of the worker is bounded, and nothing outside guest memory is touched.
 */
#include "fuzz.h"

#include "../unit/fake_host.h"
#include "base/iov.h"
#include "base/thread.h"
#include "device/nic_chip.h"

#include <errno.h>
#include <linux/pci_regs.h>
#include <sys/eventfd.h>

#define AREA 0x40000U /* of guest memory, where everything is; cleared for each input */

struct chip_run {
	struct fuzz_input in;
	struct nic *nic;
	uint64_t bar, io;
	unsigned slot;
	struct nic_worker_wish wish;
};

/* What a target says about its chip. */
struct chip_target {
	int (*create)(const struct nic_chip_setup *setup, struct nic **nic, struct error *err);
	void (*step)(void *chip, uint64_t now, struct nic_worker_wish *wish);
	void (*up)(struct chip_run *r);	  /* rings in working order */
	void (*more)(struct chip_run *r); /* one command of its own */
	unsigned mem_bar, io_bar, registers;
	bool wide; /* more registers than a byte can name */
};

static struct {
	struct hostnet hn;
	int fd;
	struct fuzz_input *in;
	unsigned frames; /* to be received */
	unsigned room;	 /* what send takes */
} net;

static struct fake_host host;
static uint64_t now;
static uint8_t *area;
static const struct chip_target *chip;

static uint64_t fuzz_clock(void)
{
	return now;
}

static uint32_t fuzz_u32(struct fuzz_input *in)
{
	return fuzz_u16(in) | (uint32_t)fuzz_u16(in) << 16;
}

static unsigned net_send(struct hostnet *hn, unsigned queue, const struct net_frame *frames,
			 unsigned n)
{
	static uint8_t copy[NET_FRAME_MAX + 64];
	unsigned take = MIN(n, net.room);

	for (unsigned i = 0; i < take; i++) {
		fuzz_assert(frames[i].len <= sizeof(copy));
		fuzz_assert(iov_len(frames[i].iov, frames[i].niov) == frames[i].len);
		iov_read(frames[i].iov, frames[i].niov, 0, copy, frames[i].len);
		if (frames[i].off.flags & NET_NEEDS_CSUM)
			fuzz_assert(frames[i].off.csum_start + frames[i].off.csum_offset + 2U <=
				    frames[i].len);
	}
	net.room -= take;
	return take;
}

static void net_frames(unsigned n)
{
	eventfd_t count;

	net.frames = n;
	if (n)
		(void)eventfd_write(net.fd, 1);
	else
		(void)eventfd_read(net.fd, &count);
}

static ssize_t net_recv(struct hostnet *hn, unsigned queue, const struct iovec *iov, unsigned niov,
			struct net_offload *off)
{
	uint8_t *to = iov->iov_base, head[64];
	uint32_t len;

	if (!net.frames)
		return -EAGAIN;
	if (!--net.frames)
		net_frames(0);
	fuzz_bytes(net.in, off, sizeof(*off));
	len = MIN((uint32_t)fuzz_u16(net.in), (uint32_t)iov->iov_len);
	if (!fuzz_u8(net.in))
		off->flags = off->gso_type = 0;
	fuzz_bytes(net.in, head, sizeof(head));
	for (uint32_t at = 0; at < len; at += sizeof(head))
		memcpy(to + at, head, MIN(sizeof(head), len - at));
	return len;
}

static int net_poll_fd(struct hostnet *hn, unsigned queue)
{
	return net.fd;
}

static void net_close(struct hostnet *hn)
{
}

static const struct hostnet_ops net_ops = {
	.name = "fuzz",
	.send = net_send,
	.recv = net_recv,
	.poll_fd = net_poll_fd,
	.close = net_close,
};

static void chip_write(struct chip_run *r, uint32_t reg, uint32_t value, unsigned size)
{
	fake_write(&host, r->bar + reg, value, size);
}

static void chip_rest(struct chip_run *r)
{
	unsigned i;

	for (i = 0; i < 1000; i++) {
		r->wish = (struct nic_worker_wish){.at = NIC_WORKER_NEVER};
		chip->step(r->nic, now, &r->wish);
		if (r->wish.at > now)
			break;
	}
	fuzz_assert(i < 1000);
}

static void chip_pass(struct chip_run *r, uint64_t ns)
{
	uint64_t end = now + ns;

	for (unsigned i = 0; r->wish.at <= end && i < 8; i++) {
		now = MAX(now, r->wish.at);
		chip_rest(r);
	}
	now = end;
	chip_rest(r);
}

static void chip_access(struct chip_run *r)
{
	uint8_t how = fuzz_u8(&r->in);
	uint32_t any = chip->wide ? fuzz_u32(&r->in) : fuzz_u8(&r->in);
	unsigned size = 1U << (how & 3), at = any % chip->registers & ~(size - 1);
	uint8_t bytes[8];

	store_le64(bytes, fuzz_u32(&r->in) * 0x100000001ULL);
	if (how & 4)
		(void)fake_read(&host, r->bar + at, size);
	else if (how & 8)
		bus_write(host.pio, r->io + (at & 0xff), bytes, MIN(size, 4U));
	else if (how & 16)
		bus_read(host.pio, r->io + (at & 0xff), bytes, MIN(size, 4U));
	else
		fake_write(&host, r->bar + at, load_le64(bytes), size);
}

static void chip_memory(struct chip_run *r)
{
	uint32_t at = fuzz_u32(&r->in) % (AREA - 256);
	uint8_t len = fuzz_u8(&r->in);

	fuzz_bytes(&r->in, area + at, len);
}

static void chip_command(struct chip_run *r)
{
	switch (fuzz_u8(&r->in) % 12) {
	case 0:
	case 1:
		chip_access(r);
		break;
	case 2:
		chip_memory(r);
		break;
	case 3:
		net_frames(1 + fuzz_u8(&r->in) % 4);
		chip_rest(r);
		break;
	case 4:
		chip_pass(r, (uint64_t)fuzz_u16(&r->in) * 1000);
		break;
	case 5:
		chip->up(r);
		break;
	case 6:
		r->nic->nic_ops->set_link(r->nic, fuzz_u8(&r->in) & 1);
		break;
	case 7:
		fake_config_write(&host, r->slot, PCI_COMMAND, 2, fuzz_u8(&r->in));
		break;
	case 8:
		net.room = fuzz_u8(&r->in);
		break;
	default:
		chip->more(r);
		break;
	}
}

static void chip_sum(void *arg, const char *name, uint64_t value)
{
	uint64_t *sums = arg;
	bool rx = !strncmp(name, "rx_", 3);

	if (!rx && strncmp(name, "tx_", 3))
		return;
	if (!strcmp(name + 3, "in_frames"))
		sums[rx] += value;
	else if (!strcmp(name + 3, "out_frames") || !strncmp(name + 3, "drop_", 5) ||
		 !strcmp(name + 3, "held_frames"))
		sums[rx] -= value;
}

static void chip_machine(void)
{
	if (area)
		return;
	fake_host_init(&host);
	net.fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	area = mem_translate(guest_mem_table(host.mem), 0, AREA, MEM_WRITE);
}

static void chip_start(struct chip_run *r, uint8_t how)
{
	struct nic_chip_setup setup = {
		.id = "net0",
		.mac = {0x52, 0x54, 0, 1, 2, 3},
		.host = &host.host,
		.mem = host.mem,
		.hn = &net.hn,
		.clock = fuzz_clock,
		.post = true,
		.shadow = how & 2,
		.real_fcs = true,
		.cpu = THREAD_ANY_CPU,
	};
	struct error err;

	memset(area, 0, AREA);
	now = NSEC_PER_SEC;
	net.hn = (struct hostnet){.ops = &net_ops, .queues = 1, .mtu = 1500};
	net.hn.offloads_tx = how & 1 ? NET_OFFLOAD_CSUM | NET_OFFLOAD_GSO : 0;
	net.in = &r->in;
	net.room = UINT32_MAX;
	net_frames(0);
	fuzz_assert(!chip->create(&setup, &r->nic, &err));
	fuzz_assert(!pci_bus_add(host.pci, &r->nic->pci, PCI_SLOT_ANY, 0, &err));
	r->slot = r->nic->pci.slot;
	fake_config_write(&host, r->slot, PCI_COMMAND, 2, 7);
	r->bar = fake_config_read(&host, r->slot, PCI_BASE_ADDRESS_0 + 4 * chip->mem_bar, 4) & ~15U;
	r->io = fake_config_read(&host, r->slot, PCI_BASE_ADDRESS_0 + 4 * chip->io_bar, 4) & ~3U;
	chip_rest(r);
}

static int chip_fuzz(const struct chip_target *target, const uint8_t *data, size_t size)
{
	struct chip_run r = {.in = {data, size}};
	uint64_t sums[2] = {0, 0};

	chip = target;
	chip_machine();
	chip_start(&r, fuzz_u8(&r.in));
	chip->up(&r);
	for (unsigned i = 0; r.in.left && i < 500; i++)
		chip_command(&r);
	chip_rest(&r);
	r.nic->nic_ops->counters(r.nic, chip_sum, sums);
	fuzz_assert(!sums[0] && !sums[1]);
	pci_bus_remove(host.pci, &r.nic->pci);
	return 0;
}

#endif
