/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_CHIP_BED_H
#define TESTS_CHIP_BED_H

/*
 * A NIC made of device/nic_chip.h on a machine without KVM: registers through the bus, structures
 * in the fake machine's memory, a scripted wire behind it. Either a clock that the test moves and no
 * thread, or real time and the chip's own worker.
 */
#include "fake_host.h"
#include "fake_hostnet.h"

#include "base/iov.h"
#include "base/thread.h"
#include "device/nic_chip.h"
#include "net/checksum.h"
#include "net/ether.h"
#include "net/gso.h"

#include <linux/pci_regs.h>
#include <stdio.h>

#define BED_OUTSIDE 0x40000000ULL

struct bed {
	struct fake_host host;
	struct wire *wire;
	struct fake fake;
	struct nic *nic;
	/* The worker's step; NULL: the worker is a thread. */
	void (*run)(void *chip, uint64_t now, struct nic_worker_wish *wish);
	uint64_t bar, io;
	unsigned slot;
	unsigned tx_tail, rx_head; /* the driver's */
	struct nic_worker_wish wish;
};

static uint64_t bed_now = 1000000000;
static const uint8_t bed_mac[6] = {0x52, 0x54, 0x00, 0x12, 0x34, 0x56};

static inline uint64_t bed_clock(void)
{
	return bed_now;
}

static inline uint32_t rd8(struct bed *b, uint32_t reg)
{
	return (uint8_t)fake_read(&b->host, b->bar + reg, 1);
}

static inline uint32_t rd16(struct bed *b, uint32_t reg)
{
	return (uint16_t)fake_read(&b->host, b->bar + reg, 2);
}

static inline uint32_t rd32(struct bed *b, uint32_t reg)
{
	return (uint32_t)fake_read(&b->host, b->bar + reg, 4);
}

static inline void wr8(struct bed *b, uint32_t reg, uint32_t value)
{
	fake_write(&b->host, b->bar + reg, value, 1);
}

static inline void wr16(struct bed *b, uint32_t reg, uint32_t value)
{
	fake_write(&b->host, b->bar + reg, value, 2);
}

static inline void wr32(struct bed *b, uint32_t reg, uint32_t value)
{
	fake_write(&b->host, b->bar + reg, value, 4);
}

static inline uint32_t io_in(struct bed *b, unsigned port, unsigned size)
{
	uint8_t bytes[4] = {0};

	assert_true(bus_read(b->host.pio, b->io + port, bytes, size));
	return load_le32(bytes);
}

static inline void io_out(struct bed *b, unsigned port, uint32_t value, unsigned size)
{
	uint8_t bytes[4];

	store_le32(bytes, value);
	assert_true(bus_write(b->host.pio, b->io + port, bytes, size));
}

/* The worker's pass, again and again until it has nothing to do at once; not where that
 * is a thread. */
static inline void step(struct bed *b)
{
	if (!b->run)
		return;
	for (unsigned i = 0; i < 1000; i++) {
		b->wish = (struct nic_worker_wish){.at = NIC_WORKER_NEVER};
		b->run(b->nic, bed_now, &b->wish);
		if (b->wish.at > bed_now)
			return;
	}
	fail_msg("the worker does not come to rest");
}

/* Lets time pass, as the worker would sleep. */
static inline void pass(struct bed *b, uint64_t ns)
{
	uint64_t end = bed_now + ns;

	for (unsigned i = 0; b->wish.at <= end; i++) {
		if (i > 100000)
			fail_msg("the worker does not sleep");
		bed_now = MAX(bed_now, b->wish.at);
		step(b);
	}
	bed_now = end;
	step(b);
}

static inline bool line(struct bed *b)
{
	for (unsigned i = 16; i < 20; i++)
		if (b->host.lines[i])
			return true;
	return false;
}

static inline uint8_t *ram(struct bed *b, uint64_t gpa)
{
	uint8_t *p = mem_translate(guest_mem_table(b->host.mem), gpa, 1, MEM_WRITE);

	assert_non_null(p);
	return p;
}

/* bars: which one is memory, which one ports. */
static inline void bed_add(struct bed *b, unsigned mem_bar, unsigned io_bar)
{
	struct error err = {0};

	assert_int_equal(pci_bus_add(b->host.pci, &b->nic->pci, PCI_SLOT_ANY, 0, &err), 0);
	b->slot = b->nic->pci.slot;
	fake_config_write(&b->host, b->slot, PCI_COMMAND, 2,
			  PCI_COMMAND_IO | PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
	b->bar = fake_config_read(&b->host, b->slot, PCI_BASE_ADDRESS_0 + 4 * mem_bar, 4) & ~15U;
	b->io = fake_config_read(&b->host, b->slot, PCI_BASE_ADDRESS_0 + 4 * io_bar, 4) & ~3U;
	step(b);
}

static inline struct nic_chip_setup bed_setup(struct bed *b, uint32_t offloads, bool threaded)
{
	struct nic_chip_setup setup = {
		.id = "net0",
		.clock = threaded ? NULL : bed_clock,
		.threaded = threaded,
		.real_fcs = true,
		.cpu = THREAD_ANY_CPU,
	};

	memset(b, 0, sizeof(*b));
	fake_host_init(&b->host);
	b->wire = wire_new();
	fake_init(&b->fake, b->wire, 1);
	b->fake.hn.offloads_tx = offloads;
	memcpy(setup.mac, bed_mac, 6);
	setup.host = &b->host.host;
	setup.mem = b->host.mem;
	setup.hn = &b->fake.hn;
	return setup;
}

struct bed_counter {
	const char *name;
	uint64_t value;
};

static inline void bed_counter_emit(void *arg, const char *name, uint64_t value)
{
	struct bed_counter *c = arg;

	if (!strcmp(name, c->name))
		c->value = value;
}

static inline uint64_t counter(struct bed *b, const char *name)
{
	struct bed_counter c = {name, 0};

	b->nic->nic_ops->counters(b->nic, bed_counter_emit, &c);
	return c.value;
}

static inline void bed_sum_emit(void *arg, const char *name, uint64_t value)
{
	int64_t *sums = arg; /* tx, rx */
	int64_t *sum = !strncmp(name, "tx_", 3) ? &sums[0] : &sums[1];

	if (strncmp(name, "tx_", 3) && strncmp(name, "rx_", 3))
		return;
	if (!strcmp(name + 3, "in_frames"))
		*sum += (int64_t)value;
	else if (!strcmp(name + 3, "out_frames") || !strncmp(name + 3, "drop_", 5) ||
		 !strcmp(name + 3, "held_frames"))
		*sum -= (int64_t)value;
}

/* Every frame is accounted for. */
static inline void bed_check(struct bed *b)
{
	int64_t sums[2] = {0, 0};

	b->nic->nic_ops->counters(b->nic, bed_sum_emit, sums);
	assert_int_equal(sums[0], 0);
	assert_int_equal(sums[1], 0);
}

static inline void bed_fini(struct bed *b)
{
	bed_check(b);
	fake_host_fini(&b->host);
	assert_true(b->fake.closed);
	wire_free(b->wire);
}

/* Frames to send and receive. */
static inline void make_frame(uint8_t *f, uint32_t len, const uint8_t *dst)
{
	for (uint32_t i = 0; i < len; i++)
		f[i] = (uint8_t)(i * 7 + len);
	memcpy(f, dst, 6);
	memcpy(f + 6, "\x02\x00\x00\x00\x00\x99", 6);
	store_be16(f + 12, 0x88b5);
}

/* TCP or UDP over IPv4 with payload bytes and good checksums; returns the length. */
static inline uint32_t make_ipv4(uint8_t *f, uint8_t proto, uint32_t payload)
{
	unsigned l3 = ETHER_HLEN, l4 = l3 + IPV4_HLEN;
	unsigned l4_len = proto == IP_PROTO_TCP ? TCP_HLEN : UDP_HLEN;
	uint32_t len = l4 + l4_len + payload;
	struct net_offload off = {.flags = NET_NEEDS_CSUM, .csum_start = (uint16_t)l4};
	struct net_headers h;
	struct csum c = {0};
	uint16_t sum;

	make_frame(f, len, bed_mac);
	store_be16(f + 12, ETHER_IPV4);
	memcpy(f + l3, "\x45\x00\0\0\x12\x34\x40\x00\x40\x06\0\0\x0a\0\0\x01\x0a\0\0\x02", 20);
	f[l3 + IPV4_PROTO] = proto;
	store_be16(f + l3 + IPV4_LEN, (uint16_t)(len - l3));
	sum = csum_ipv4_header(f + l3, IPV4_HLEN);
	memcpy(f + l3 + IPV4_CHECK, &sum, 2);
	if (proto == IP_PROTO_TCP)
		memcpy(f + l4, "\x12\x34\x00\x50\0\0\x10\0\0\0\x20\0\x50\x18\x10\0\0\0\0\0", 20);
	else
		memcpy(f + l4, "\x12\x34\x00\x50\0\0\0\0", 8);
	if (proto == IP_PROTO_UDP)
		store_be16(f + l4 + UDP_LEN, (uint16_t)(len - l4));
	assert_int_equal(net_headers_parse(f, len, &h), 0);
	csum_add_pseudo(&c, f, &h, len - l4);
	sum = csum_fold(&c);
	off.csum_offset = proto == IP_PROTO_TCP ? TCP_CHECK : UDP_CHECK;
	memcpy(f + l4 + off.csum_offset, &sum, 2);
	assert_int_equal(net_csum_complete(f, len, &off), 0);
	return len;
}

/* The next frame that was sent is this one, with nothing left to do to it. */
static inline void expect_sent(struct bed *b, const uint8_t *data, uint32_t len)
{
	struct wire_frame *f = wire_take(b->wire, 0);

	assert_non_null(f);
	assert_int_equal(f->len, len);
	assert_memory_equal(f->data, data, len);
	assert_int_equal(f->off.flags, 0);
	assert_int_equal(f->off.gso_type, 0);
	free(f);
}

static inline void expect_nothing_sent(struct bed *b)
{
	struct wire_frame *f = wire_take(b->wire, 0);

	assert_null(f);
}

#endif
