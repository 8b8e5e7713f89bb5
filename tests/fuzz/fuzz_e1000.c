/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A driver and a network that do anything, against the 82540EM. The input is a list of commands:
 * register and port accesses, writes to guest memory (descriptors mostly), frames from the
 * network, the passing of time. Whatever it says, every frame is accounted for, the worker comes to
 * rest, and nothing outside guest memory is touched.
 */
#include "fuzz.h"

#include "../unit/fake_host.h"
#include "base/iov.h"
#include "base/thread.h"
#include "device/e1000_model.h"
#include "device/e1000_regs.h"

#include <errno.h>
#include <linux/pci_regs.h>
#include <sys/eventfd.h>

#define TXR   0x1000U
#define RXR   0x2000U
#define BUFS  0x4000U
#define AREA  0x40000U /* what commands write to; cleared for each input */
#define DESCS 32U

enum command {
	CMD_WRITE,  /* a register that matters */
	CMD_READ,   /* likewise */
	CMD_ANY,    /* any offset, any size */
	CMD_MEMORY, /* bytes into guest memory */
	CMD_TX,	    /* a transmit descriptor at the tail, and the doorbell */
	CMD_RX,	    /* a receive descriptor */
	CMD_FRAME,  /* from the network */
	CMD_TIME,   /* passes */
	CMD_UP,	    /* both rings in working order */
	CMD_LINK,   /* up or down */
	CMD_CONFIG, /* bus mastering and decoding */
	CMD_ROOM,   /* how much the network takes */
	CMD_IO,	    /* the I/O window */
	CMD_COUNT
};

struct network {
	struct hostnet hn;
	int fd;
	struct fuzz_input *in;
	unsigned frames; /* to be received */
	unsigned room;	 /* what send takes */
	uint64_t sent;
};

static struct fake_host host;
static struct network net;
static uint64_t now;
static uint8_t *area;

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
	net.sent += take;
	return take;
}

static ssize_t net_recv(struct hostnet *hn, unsigned queue, const struct iovec *iov, unsigned niov,
			struct net_offload *off)
{
	uint8_t *to = iov->iov_base, head[64];
	uint32_t len;

	if (!net.frames)
		return -EAGAIN;
	net.frames--;
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

static const uint32_t known[] = {
	REG_CTRL,  REG_STATUS, REG_EECD, REG_EERD, REG_CTRL_EXT, REG_MDIC,  REG_VET,   REG_ICR,
	REG_ITR,   REG_ICS,    REG_IMS,	 REG_IMC,  REG_RCTL,	 REG_TCTL,  REG_RDBAL, REG_RDBAH,
	REG_RDLEN, REG_RDH,    REG_RDT,	 REG_RDTR, REG_RADV,	 REG_RSRPD, REG_TDBAL, REG_TDBAH,
	REG_TDLEN, REG_TDH,    REG_TDT,	 REG_TIDV, REG_TXDCTL,	 REG_TADV,  0x4074,    0x4088,
	0x408c,	   REG_RXCSUM, REG_MTA,	 REG_RA,   REG_RA + 4,	 REG_VFTA,  REG_PBA,   REG_FCAL,
};

struct run {
	struct fuzz_input in;
	struct nic *nic;
	uint64_t bar, io;
	unsigned slot, tail;
	struct nic_worker_wish wish;
};

static void write_reg(struct run *r, uint32_t reg, uint32_t value)
{
	fake_write(&host, r->bar + reg, value, 4);
}

static void rest(struct run *r)
{
	unsigned i;

	for (i = 0; i < 4000; i++) {
		r->wish = (struct nic_worker_wish){.at = NIC_WORKER_NEVER};
		e1000_step(r->nic, now, &r->wish);
		if (r->wish.at > now)
			break;
	}
	fuzz_assert(i < 4000);
}

static void pass(struct run *r, uint64_t ns)
{
	uint64_t end = now + ns;

	for (unsigned i = 0; r->wish.at <= end && i < 64; i++) {
		now = MAX(now, r->wish.at);
		rest(r);
	}
	now = end;
	rest(r);
}

static void up(struct run *r)
{
	r->tail = 0;
	write_reg(r, REG_TDBAL, TXR);
	write_reg(r, REG_TDBAH, 0);
	write_reg(r, REG_TDLEN, DESCS * 16);
	write_reg(r, REG_TDH, 0);
	write_reg(r, REG_TDT, 0);
	write_reg(r, REG_TCTL, TCTL_EN | TCTL_PSP);
	for (unsigned i = 0; i < DESCS; i++)
		store_le64(area + RXR + i * 16, BUFS + i * 0x800);
	write_reg(r, REG_RDBAL, RXR);
	write_reg(r, REG_RDBAH, 0);
	write_reg(r, REG_RDLEN, DESCS * 16);
	write_reg(r, REG_RDH, 0);
	write_reg(r, REG_RDT, DESCS - 1);
	write_reg(r, REG_RXCSUM, 0x300);
	write_reg(r, REG_RCTL, RCTL_EN | RCTL_BAM | RCTL_UPE | RCTL_MPE);
}

static void put_tx(struct run *r)
{
	uint8_t *d = area + TXR + r->tail % DESCS * 16, how = fuzz_u8(&r->in);
	uint32_t lower = fuzz_u32(&r->in), upper = fuzz_u32(&r->in);
	uint64_t addr = how & 1 ? (uint64_t)fuzz_u32(&r->in) << 32 | fuzz_u32(&r->in)
				: BUFS + (fuzz_u16(&r->in) & 0x3fff);

	if (how & 2)
		lower &= 0xff000fffU;
	if (how & 4)
		lower |= TXD_EOP | TXD_RS;
	store_le64(d, addr);
	store_le32(d + 8, lower);
	store_le32(d + 12, upper);
	r->tail = (r->tail + 1) % DESCS;
	if (how & 8)
		write_reg(r, REG_TDT, r->tail);
}

static void memory(struct run *r)
{
	uint32_t at = fuzz_u32(&r->in) % (AREA - 256);
	uint8_t len = fuzz_u8(&r->in);

	fuzz_bytes(&r->in, area + at, len);
}

static void command(struct run *r)
{
	uint8_t cmd = fuzz_u8(&r->in);
	uint8_t bytes[4];

	switch (cmd % CMD_COUNT) {
	case CMD_WRITE:
		cmd = fuzz_u8(&r->in);
		write_reg(r, known[cmd % ARRAY_SIZE(known)], fuzz_u32(&r->in));
		break;
	case CMD_READ:
		(void)fake_read(&host, r->bar + known[fuzz_u8(&r->in) % ARRAY_SIZE(known)], 4);
		break;
	case CMD_ANY:
		cmd = fuzz_u8(&r->in);
		if (cmd & 4)
			(void)fake_read(&host, r->bar + (fuzz_u32(&r->in) & 0x1fff8),
					1U << (cmd & 3));
		else
			fake_write(&host, r->bar + (fuzz_u32(&r->in) & 0x1fff8),
				   fuzz_u32(&r->in) * 0x100000001ULL, 1U << (cmd & 3));
		break;
	case CMD_MEMORY:
		memory(r);
		break;
	case CMD_TX:
		put_tx(r);
		break;
	case CMD_RX:
		cmd = fuzz_u8(&r->in);
		store_le64(area + RXR + cmd % DESCS * 16, fuzz_u32(&r->in));
		break;
	case CMD_FRAME:
		net.frames += 1 + fuzz_u8(&r->in) % 4;
		rest(r);
		net.frames = 0;
		break;
	case CMD_TIME:
		pass(r, (uint64_t)fuzz_u16(&r->in) * 1000);
		break;
	case CMD_UP:
		up(r);
		break;
	case CMD_LINK:
		r->nic->nic_ops->set_link(r->nic, fuzz_u8(&r->in) & 1);
		break;
	case CMD_CONFIG:
		fake_config_write(&host, r->slot, PCI_COMMAND, 2, fuzz_u8(&r->in));
		break;
	case CMD_ROOM:
		net.room = fuzz_u8(&r->in);
		break;
	case CMD_IO:
		store_le32(bytes, fuzz_u32(&r->in));
		bus_write(host.pio, r->io, bytes, 4);
		store_le32(bytes, fuzz_u32(&r->in));
		bus_write(host.pio, r->io + 4, bytes, 4);
		bus_read(host.pio, r->io + 4, bytes, 4);
		break;
	}
}

static void sum(void *arg, const char *name, uint64_t value)
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

static void machine(void)
{
	if (area)
		return;
	fake_host_init(&host);
	net.fd = eventfd(0, EFD_CLOEXEC);
	area = mem_translate(guest_mem_table(host.mem), 0, AREA, MEM_WRITE);
}

static void start(struct run *r, bool offloads)
{
	struct nic_chip_setup setup = {
		.id = "net0",
		.mac = {0x52, 0x54, 0, 1, 2, 3},
		.host = &host.host,
		.mem = host.mem,
		.hn = &net.hn,
		.clock = fuzz_clock,
		.post = true,
		.real_fcs = true,
		.cpu = THREAD_ANY_CPU,
	};
	struct error err;

	memset(area, 0, AREA);
	now = NSEC_PER_SEC;
	net.hn = (struct hostnet){.ops = &net_ops, .queues = 1, .mtu = 1500};
	net.hn.offloads_tx = offloads ? NET_OFFLOAD_CSUM | NET_OFFLOAD_GSO : 0;
	net.in = &r->in;
	net.room = UINT32_MAX;
	net.frames = 0;
	fuzz_assert(!e1000_create(&setup, true, &r->nic, &err));
	fuzz_assert(!pci_bus_add(host.pci, &r->nic->pci, PCI_SLOT_ANY, 0, &err));
	r->slot = r->nic->pci.slot;
	fake_config_write(&host, r->slot, PCI_COMMAND, 2, 7);
	r->bar = fake_config_read(&host, r->slot, PCI_BASE_ADDRESS_0, 4) & ~15U;
	r->io = fake_config_read(&host, r->slot, PCI_BASE_ADDRESS_2, 4) & ~3U;
	rest(r);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct run r = {.in = {data, size}};
	uint64_t sums[2] = {0, 0};

	machine();
	start(&r, fuzz_u8(&r.in) & 1);
	up(&r);
	for (unsigned i = 0; r.in.left && i < 500; i++)
		command(&r);
	rest(&r);
	r.nic->nic_ops->counters(r.nic, sum, sums);
	fuzz_assert(!sums[0] && !sums[1]);
	pci_bus_remove(host.pci, &r.nic->pci);
	return 0;
}
