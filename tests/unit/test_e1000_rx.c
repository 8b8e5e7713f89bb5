/* SPDX-License-Identifier: Apache-2.0 */
/* The 82540EM's receiver: filters, descriptors, offloads, what it does without buffers. */
#include "e1000_bed.h"

#include "device/nic_filter.h"
#include "net/checksum.h"
#include "net/gso.h"

#define FCS 4

static const uint8_t broadcast[6] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};

static int up(void **state)
{
	struct bed *b = calloc(1, sizeof(*b));

	bed_init(b);
	bed_up(b, 0);
	*state = b;
	return 0;
}

static int down(void **state)
{
	bed_fini(*state);
	free(*state);
	return 0;
}

static uint32_t status_of(struct bed *b, unsigned i)
{
	return rxd(b, i)->upper & 0xff;
}

static uint32_t errors_of(struct bed *b, unsigned i)
{
	return rxd(b, i)->upper >> 8 & 0xff;
}

/* The next frame the driver would take, gathered over its descriptors; returns its length. */
static uint32_t take(struct bed *b, uint8_t *to)
{
	uint32_t len = 0;

	for (;;) {
		unsigned i = b->rx_head % BED_DESCS;
		uint32_t n = rxd(b, i)->lower & 0xffff;

		if (!(status_of(b, i) & RXD_STAT_DD))
			fail_msg("descriptor %u is not done", i);
		memcpy(to + len, rxbuf(b, i), n);
		len += n;
		b->rx_head++;
		if (status_of(b, i) & RXD_STAT_EOP)
			return len;
	}
}

/* Gives every descriptor that was taken back. */
static void refill(struct bed *b)
{
	for (unsigned i = 0; i < BED_DESCS; i++)
		rxd(b, i)->upper = 0;
	give_rx(b, b->rx_head + BED_DESCS - 1);
}

static bool received(struct bed *b)
{
	return status_of(b, b->rx_head % BED_DESCS) & RXD_STAT_DD;
}

/* Whether a frame to dst gets in. */
static bool gets_in(struct bed *b, const uint8_t *dst)
{
	uint8_t f[60], got[2048];
	bool in;

	make_frame(f, sizeof(f), dst);
	wire_put(b->wire, 0, f, sizeof(f), NULL);
	step(b);
	in = received(b);
	if (in)
		take(b, got);
	refill(b);
	return in;
}

static void test_plain(void **state)
{
	static uint8_t f[1514], got[4096];
	struct bed *b = *state;

	wr(b, REG_IMS, ICR_RXT0);
	for (uint32_t len = 60; len <= 1514; len += 97) {
		uint32_t n;

		make_frame(f, len, bed_mac);
		wire_put(b->wire, 0, f, len, NULL);
		step(b);
		assert_true(line(b));
		assert_int_equal(rd(b, REG_ICR) & ICR_RXT0, ICR_RXT0);
		n = take(b, got);
		assert_int_equal(n, len + FCS);
		assert_memory_equal(got, f, len);
		assert_int_equal(load_le32(got + len), ~nic_crc32(NIC_CRC_INIT, f, len));
		refill(b);
	}
	/* Without FCS. */
	wr(b, REG_RCTL, RCTL_EN | RCTL_SECRC);
	make_frame(f, 60, bed_mac);
	wire_put(b->wire, 0, f, 60, NULL);
	step(b);
	assert_int_equal(take(b, got), 60);
}

static void test_addresses(void **state)
{
	static const uint8_t other[6] = {2, 0, 0, 0, 0, 7};
	static const uint8_t group[6] = {0x01, 0, 0x5e, 1, 2, 3};
	struct bed *b = *state;

	assert_true(gets_in(b, bed_mac));
	assert_true(gets_in(b, broadcast));
	assert_false(gets_in(b, other));
	assert_false(gets_in(b, group));
	wr(b, REG_RCTL, RCTL_EN);
	assert_false(gets_in(b, broadcast));
	wr(b, REG_RCTL, RCTL_EN | RCTL_UPE);
	assert_true(gets_in(b, other));
	assert_false(gets_in(b, group));
	wr(b, REG_RCTL, RCTL_EN | RCTL_MPE);
	assert_true(gets_in(b, group));
	assert_true(gets_in(b, broadcast));
	assert_false(gets_in(b, other));
	wr(b, REG_RCTL, RCTL_EN);
	/* The last of the sixteen exact addresses, once valid. */
	wr(b, REG_RA + 120, load_le32(other));
	wr(b, REG_RA + 124, load_le16(other + 4));
	assert_false(gets_in(b, other));
	wr(b, REG_RA + 124, load_le16(other + 4) | RAH_AV);
	assert_true(gets_in(b, other));
	/* An exact multicast address. */
	wr(b, REG_RA + 120, load_le32(group));
	wr(b, REG_RA + 124, load_le16(group + 4) | RAH_AV);
	assert_true(gets_in(b, group));
	assert_int_equal(counter(b, "rx_drop_filtered"), 6);
}

static void test_multicast_table(void **state)
{
	static const uint8_t group[6] = {0x01, 0, 0x5e, 0x12, 0x34, 0x56};
	static const unsigned shift[] = {4, 3, 2, 0};
	struct bed *b = *state;

	for (unsigned mo = 0; mo < 4; mo++) {
		unsigned hash = (0x34U | 0x56U << 8) >> shift[mo] & 0xfff;

		wr(b, REG_RCTL, RCTL_EN | mo << RCTL_MO_SHIFT);
		assert_false(gets_in(b, group));
		wr(b, REG_MTA + hash / 32 * 4, 1U << hash % 32);
		assert_true(gets_in(b, group));
		wr(b, REG_MTA + hash / 32 * 4, ~(1U << hash % 32));
		assert_false(gets_in(b, group));
		wr(b, REG_MTA + hash / 32 * 4, 0);
	}
}

static void put_tagged(struct bed *b, uint16_t tci)
{
	uint8_t f[100];

	make_frame(f, sizeof(f), bed_mac);
	store_be16(f + 12, ETHER_VLAN);
	store_be16(f + 14, tci);
	store_be16(f + 16, 0x88b5);
	wire_put(b->wire, 0, f, sizeof(f), NULL);
	step(b);
}

static void test_vlan(void **state)
{
	uint8_t got[2048];
	struct bed *b = *state;

	/* As it came. */
	put_tagged(b, 0x6123);
	assert_int_equal(status_of(b, 0) & RXD_STAT_VP, RXD_STAT_VP);
	assert_int_equal(take(b, got), 104);
	assert_int_equal(load_be16(got + 12), ETHER_VLAN);
	/* Stripped: the tag is in the descriptor. */
	wr(b, REG_CTRL, CTRL_VME);
	put_tagged(b, 0x6123);
	assert_int_equal(rxd(b, 1)->upper >> 16, 0x6123);
	assert_int_equal(status_of(b, 1) & RXD_STAT_VP, RXD_STAT_VP);
	assert_int_equal(take(b, got), 100);
	assert_int_equal(load_be16(got + 12), 0x88b5);
	assert_memory_equal(got, bed_mac, 6);
	/* Filtered. */
	wr(b, REG_RCTL, RCTL_EN | RCTL_VFE);
	put_tagged(b, 0x6123);
	assert_false(received(b));
	wr(b, REG_VFTA + 0x123 / 32 * 4, 1U << 0x123 % 32);
	put_tagged(b, 0x6123);
	assert_true(received(b));
	take(b, got);
	assert_true(gets_in(b, bed_mac)); /* untagged frames pass */
}

static void test_long_frames(void **state)
{
	static uint8_t f[16384], got[20000];
	struct bed *b = *state;

	make_frame(f, sizeof(f), bed_mac);
	wire_put(b->wire, 0, f, 1519, NULL);
	step(b);
	assert_false(received(b));
	assert_int_equal(rd(b, 0x40ac), 1); /* ROC */
	wr(b, REG_RCTL, RCTL_EN | RCTL_LPE);
	for (unsigned i = 0; i < 3; i++) {
		static const uint32_t lens[] = {9014, 16110, 16380};

		wire_put(b->wire, 0, f, lens[i], NULL);
		step(b);
		assert_int_equal(take(b, got), lens[i] + FCS);
		assert_memory_equal(got, f, lens[i]);
		refill(b);
	}
	wire_put(b->wire, 0, f, 16381, NULL);
	step(b);
	assert_false(received(b));
}

static void test_buffer_sizes(void **state)
{
	static const struct {
		uint32_t rctl, size;
	} sizes[] = {
		{0, 2048},
		{1U << RCTL_BSIZE_SHIFT, 1024},
		{2U << RCTL_BSIZE_SHIFT, 512},
		{3U << RCTL_BSIZE_SHIFT, 256},
		{RCTL_BSEX | 1U << RCTL_BSIZE_SHIFT, 16384},
		{RCTL_BSEX | 2U << RCTL_BSIZE_SHIFT, 8192},
		{RCTL_BSEX | 3U << RCTL_BSIZE_SHIFT, 4096},
	};
	static uint8_t f[9014], got[20000];
	struct bed *b = *state;

	make_frame(f, sizeof(f), bed_mac);
	for (unsigned i = 0; i < ARRAY_SIZE(sizes); i++) {
		uint32_t size = sizes[i].size, total = sizeof(f) + FCS;
		unsigned first = b->rx_head;

		wr(b, REG_RCTL, RCTL_EN | RCTL_LPE | sizes[i].rctl);
		wire_put(b->wire, 0, f, sizeof(f), NULL);
		step(b);
		assert_int_equal(take(b, got), total);
		assert_memory_equal(got, f, sizeof(f));
		assert_int_equal(b->rx_head - first, (total + size - 1) / size);
		refill(b);
	}
	/* A frame whose FCS alone spills into the next buffer. */
	wr(b, REG_RCTL, RCTL_EN | RCTL_LPE);
	wire_put(b->wire, 0, f, 2046, NULL);
	step(b);
	assert_int_equal(rxd(b, b->rx_head)->lower & 0xffff, 2048);
	assert_int_equal(rxd(b, b->rx_head + 1)->lower & 0xffff, 2);
	assert_int_equal(status_of(b, b->rx_head % BED_DESCS) & RXD_STAT_EOP, 0);
	assert_int_equal(take(b, got), 2050);
}

static void test_checksum_status(void **state)
{
	uint8_t f[2000], got[4096];
	struct net_offload off = {0};
	struct bed *b = *state;

	for (int version = 4; version <= 6; version += 2) {
		uint32_t len = make_tcp(f, version, 700);
		unsigned l4 = ETHER_HLEN + (version == 4 ? IPV4_HLEN : IPV6_HLEN), i;
		struct csum c = {0};
		struct net_headers h;
		uint16_t v;

		/* Wrong checksums. */
		i = b->rx_head;
		wire_put(b->wire, 0, f, len, NULL);
		step(b);
		assert_int_equal(errors_of(b, i), RXD_ERR_TCPE | (version == 4 ? RXD_ERR_IPE : 0));
		take(b, got);
		/* One that the host left to us. */
		net_headers_parse(f, len, &h);
		csum_add_pseudo(&c, f, &h, len - l4);
		v = csum_fold(&c);
		memcpy(f + l4 + TCP_CHECK, &v, 2);
		if (version == 4) {
			v = csum_ipv4_header(f + ETHER_HLEN, IPV4_HLEN);
			memcpy(f + ETHER_HLEN + IPV4_CHECK, &v, 2);
		}
		off = (struct net_offload){.flags = NET_NEEDS_CSUM,
					   .csum_start = (uint16_t)l4,
					   .csum_offset = TCP_CHECK};
		i = b->rx_head;
		wire_put(b->wire, 0, f, len, &off);
		step(b);
		assert_int_equal(errors_of(b, i), 0);
		assert_int_equal(status_of(b, i), RXD_STAT_DD | RXD_STAT_EOP | RXD_STAT_TCPCS |
							  (version == 4 ? RXD_STAT_IPCS : 0));
		take(b, got);
		net_csum_complete(f, len, &off);
		assert_memory_equal(got, f, len);
		/* A right one, verified here. */
		i = b->rx_head;
		wire_put(b->wire, 0, f, len, NULL);
		step(b);
		assert_int_equal(errors_of(b, i), 0);
		assert_true(status_of(b, i) & RXD_STAT_TCPCS);
		take(b, got);
	}
	/* Nothing to check, or told not to. */
	make_frame(f, 60, bed_mac);
	wire_put(b->wire, 0, f, 60, NULL);
	step(b);
	assert_true(status_of(b, b->rx_head) & RXD_STAT_IXSM);
	wr(b, REG_RXCSUM, 0);
	take(b, got);
}

struct reference {
	struct bed *b;
	uint8_t *got;
};

static int compare(void *opaque, const struct iovec *iov, unsigned niov, uint32_t len)
{
	struct reference *ref = opaque;
	static uint8_t want[4096];
	unsigned i = ref->b->rx_head % BED_DESCS;

	iov_read(iov, niov, 0, want, len);
	assert_true(status_of(ref->b, i) & RXD_STAT_TCPCS);
	assert_int_equal(errors_of(ref->b, i), 0);
	assert_int_equal(take(ref->b, ref->got), len + FCS);
	assert_memory_equal(ref->got, want, len);
	return 0;
}

static void test_large_frame_from_the_host(void **state)
{
	static uint8_t f[65000], got[4096];
	struct bed *b = *state;

	for (int version = 4; version <= 6; version += 2) {
		uint32_t len = make_tcp(f, version, 64000);
		struct iovec iov = {f, len};
		struct net_frame whole = {.iov = &iov, .niov = 1, .len = len};
		struct reference ref = {b, got};

		whole.off = (struct net_offload){
			.flags = NET_NEEDS_CSUM,
			.gso_type = version == 4 ? NET_GSO_TCPV4 : NET_GSO_TCPV6,
			.gso_size = 1440,
			.csum_start = ETHER_HLEN + (version == 4 ? IPV4_HLEN : IPV6_HLEN),
			.csum_offset = TCP_CHECK,
		};
		wire_put(b->wire, 0, f, len, &whole.off);
		step(b);
		assert_int_equal(net_gso_finish(&whole, compare, &ref), 45);
		refill(b);
	}
	assert_int_equal(counter(b, "rx_in_frames"), 90);
}

/* A large frame for which there are few descriptors at a time comes through whole and in order. */
static void test_large_frame_in_pieces(void **state)
{
	static uint8_t f[65000], got[4096];
	struct net_offload off = {.flags = NET_NEEDS_CSUM,
				  .gso_type = NET_GSO_TCPV4,
				  .gso_size = 1000,
				  .csum_start = 34,
				  .csum_offset = TCP_CHECK};
	struct bed *b = *state;
	uint32_t len = make_tcp(f, 4, 64000), seq = 0x1000;

	assert_int_equal(load_be32(f + 34 + TCP_SEQ), 0x1000);
	wr(b, REG_RDT, 3);
	wire_put(b->wire, 0, f, len, &off);
	wire_put(b->wire, 0, f, 60, NULL);
	step(b);
	for (unsigned i = 0; i < 64; i++) {
		if (!received(b)) {
			assert_false(b->wish.receive);
			assert_int_equal(wire_waiting(b->wire, 0), 1);
			give_rx(b, b->rx_head + 3);
			pass(b, NSEC_PER_MSEC);
		}
		assert_int_equal(take(b, got), 54 + 1000 + FCS);
		assert_int_equal(load_be32(got + 34 + TCP_SEQ), seq);
		rxd(b, b->rx_head - 1)->upper = 0;
		seq += 1000;
	}
	assert_int_equal(take(b, got), 64);
}

/* Without descriptors frames wait in the back-end, and RDT wakes at once. */
static void test_no_stall(void **state)
{
	uint8_t f[60], got[4096];
	struct bed *b = *state;

	make_frame(f, 60, bed_mac);
	for (unsigned i = 0; i < 200; i++) {
		store_be16(f + 20, (uint16_t)i);
		wire_put(b->wire, 0, f, 60, NULL);
	}
	step(b);
	assert_int_equal(wire_waiting(b->wire, 0), 200 - (BED_DESCS - 1));
	assert_false(b->wish.receive);
	for (unsigned i = 0; i < 200; i++) {
		if (!received(b))
			refill(b);
		take(b, got);
		assert_int_equal(load_be16(got + 20), i);
	}
	assert_int_equal(counter(b, "rx_out_frames"), 200);
}

static void test_threshold_cause(void **state)
{
	uint8_t f[60];
	struct bed *b = *state;

	make_frame(f, 60, bed_mac);
	for (unsigned i = 0; i < 30; i++)
		wire_put(b->wire, 0, f, 60, NULL);
	step(b);
	assert_int_equal(rd(b, REG_ICR) & ICR_RXDMT0, 0);
	wire_put(b->wire, 0, f, 60, NULL);
	step(b);
	assert_int_equal(rd(b, REG_ICR) & ICR_RXDMT0, ICR_RXDMT0);
	wire_put(b->wire, 0, f, 60, NULL);
	step(b);
	assert_int_equal(rd(b, REG_ICR) & ICR_RXDMT0, 0);
}

static void test_delay_timers(void **state)
{
	uint8_t f[60];
	struct bed *b = *state;

	make_frame(f, 60, bed_mac);
	wr(b, REG_IMS, ICR_RXT0);
	wr(b, REG_RDTR, 10);
	wr(b, REG_RADV, 30);
	wire_put(b->wire, 0, f, 60, NULL);
	step(b);
	pass(b, 9 * NSEC_PER_USEC);
	assert_false(line(b));
	pass(b, 2 * NSEC_PER_USEC);
	assert_true(line(b));
	(void)rd(b, REG_ICR);
	for (unsigned i = 0; i < 4; i++) {
		assert_false(line(b));
		wire_put(b->wire, 0, f, 60, NULL);
		step(b);
		pass(b, 7 * NSEC_PER_USEC);
	}
	pass(b, 3 * NSEC_PER_USEC);
	assert_true(line(b));
	(void)rd(b, REG_ICR);
	wire_put(b->wire, 0, f, 60, NULL);
	step(b);
	wr(b, REG_RDTR, 10 | RDTR_FPD);
	assert_true(line(b));
	/* Small packets are news of their own. */
	wr(b, REG_RSRPD, 64);
	(void)rd(b, REG_ICR);
	wire_put(b->wire, 0, f, 60, NULL);
	step(b);
	assert_int_equal(rd(b, REG_ICR), ICR_SRPD);
}

static void test_disabled(void **state)
{
	uint8_t f[60];
	struct bed *b = *state;

	make_frame(f, 60, bed_mac);
	wr(b, REG_RCTL, 0);
	for (unsigned i = 0; i < 10; i++)
		wire_put(b->wire, 0, f, 60, NULL);
	step(b);
	assert_int_equal(wire_waiting(b->wire, 0), 0);
	assert_int_equal(counter(b, "rx_drop_disabled"), 10);
	wr(b, REG_RCTL, RCTL_EN);
	b->nic->nic_ops->set_link(b->nic, false);
	wire_put(b->wire, 0, f, 60, NULL);
	step(b);
	assert_int_equal(counter(b, "rx_drop_link_down"), 1);
	b->nic->nic_ops->set_link(b->nic, true);
	wire_put(b->wire, 0, f, 60, NULL);
	step(b);
	assert_true(received(b));
}

static void test_loopback(void **state)
{
	uint8_t f[1024], got[2048];
	struct bed *b = *state;

	memset(f, 0xff, 512);
	memset(f + 512, 0xaa, 512);
	/* In the PHY, as Linux's self test does it. */
	wr(b, REG_MDIC, MDIC_OP_WRITE | 1U << MDIC_PHY_SHIFT | 0x4140);
	for (unsigned i = 0; i < 63; i++)
		put_data(b, f, sizeof(f), TXD_EOP | TXD_IFCS | TXD_RPS, 0);
	ring(b);
	for (unsigned i = 0; i < 63; i++) {
		assert_int_equal(take(b, got), 1028);
		assert_memory_equal(got, f, 1024);
	}
	put_data(b, f, sizeof(f), TXD_EOP, 0);
	ring(b);
	assert_int_equal(counter(b, "rx_drop_no_buffer"), 1);
	assert_int_equal(rd(b, 0x4010), 1); /* MPC */
	assert_true(rd(b, REG_ICR) & ICR_RXO);
	assert_null(wire_take(b->wire, 0));
	/* The wire is cut off meanwhile. */
	wire_put(b->wire, 0, f, 60, NULL);
	step(b);
	assert_int_equal(counter(b, "rx_drop_disabled"), 1);
	/* In the MAC. */
	wr(b, REG_MDIC, MDIC_OP_WRITE | 1U << MDIC_PHY_SHIFT | 0x1140);
	refill(b);
	wr(b, REG_RCTL, RCTL_EN | RCTL_BAM | RCTL_LBM_MAC);
	put_data(b, f, sizeof(f), TXD_EOP, 0);
	ring(b);
	assert_int_equal(take(b, got), 1028);
}

static void test_hostile_rings(void **state)
{
	static const uint64_t bad[] = {BED_OUTSIDE, UINT64_MAX, 0xfee00000, FAKE_RAM - 1};
	uint8_t f[1000], got[4096];
	struct bed *b = *state;

	make_frame(f, sizeof(f), bed_mac);
	for (unsigned i = 0; i < ARRAY_SIZE(bad); i++)
		rxd(b, i)->addr = bad[i];
	rxd(b, 4)->addr = b->bar;
	for (unsigned i = 0; i < 6; i++)
		wire_put(b->wire, 0, f, sizeof(f), NULL);
	step(b);
	for (unsigned i = 0; i < 5; i++) {
		assert_int_equal(status_of(b, i), RXD_STAT_DD | RXD_STAT_EOP);
		assert_int_equal(errors_of(b, i), RXD_ERR_RXE);
		b->rx_head++;
	}
	assert_int_equal(take(b, got), 1004);
	assert_int_equal(counter(b, "rx_drop_bad_address"), 5);
	/* Registers out of range. */
	for (unsigned i = 0; i < 8; i++) {
		static const uint32_t values[][4] = {
			/* RDLEN, RDH, RDT, RDBAH */
			{0, 0, 5, 0},	     {1024, 0xffff, 5, 0},   {1024, 0, 0xffff, 0},
			{0xfff80, 0, 10, 1}, {128, 0, 7, 7},	     {128, 7, 0, 0xffffffff},
			{1024, 64, 64, 0},   {0xfff80, 65527, 3, 0},
		};

		wr(b, REG_RDLEN, values[i][0]);
		wr(b, REG_RDH, values[i][1]);
		wr(b, REG_RDT, values[i][2]);
		wr(b, REG_RDBAH, values[i][3]);
		wire_put(b->wire, 0, f, sizeof(f), NULL);
		step(b);
		pass(b, NSEC_PER_MSEC);
	}
	wr(b, REG_CTRL, CTRL_RST);
	step(b);
	bed_up(b, 0);
	wire_put(b->wire, 0, f, sizeof(f), NULL);
	step(b);
	assert_int_equal(take(b, got), 1004);
}

/* A frame that needs more descriptors than the ring has. */
static void test_tiny_ring(void **state)
{
	static uint8_t f[9000];
	struct bed *b = *state;

	make_frame(f, sizeof(f), bed_mac);
	wr(b, REG_RCTL, 0);
	wr(b, REG_RDLEN, 128);
	wr(b, REG_RDH, 0);
	wr(b, REG_RDT, 7);
	wr(b, REG_RCTL, RCTL_EN | RCTL_LPE | 3U << RCTL_BSIZE_SHIFT);
	wire_put(b->wire, 0, f, sizeof(f), NULL);
	wire_put(b->wire, 0, f, 60, NULL);
	step(b);
	assert_int_equal(counter(b, "rx_drop_oversize"), 1);
	assert_true(received(b));
}

static void test_malformed_from_the_host(void **state)
{
	uint8_t f[200];
	struct net_offload off = {.flags = NET_NEEDS_CSUM, .csum_start = 199, .csum_offset = 6};
	struct bed *b = *state;

	make_frame(f, sizeof(f), bed_mac);
	wire_put(b->wire, 0, f, sizeof(f), &off);
	off = (struct net_offload){.gso_type = NET_GSO_TCPV4, .gso_size = 100};
	wire_put(b->wire, 0, f, sizeof(f), &off);
	wire_put(b->wire, 0, f, 10, NULL);
	step(b);
	assert_false(received(b));
	assert_int_equal(counter(b, "rx_drop_bad_offload"), 2);
	assert_int_equal(counter(b, "rx_drop_undersize"), 1);
}

#define T(name) cmocka_unit_test_setup_teardown(name, up, down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_plain),
		T(test_addresses),
		T(test_multicast_table),
		T(test_vlan),
		T(test_long_frames),
		T(test_buffer_sizes),
		T(test_checksum_status),
		T(test_large_frame_from_the_host),
		T(test_large_frame_in_pieces),
		T(test_no_stall),
		T(test_threshold_cause),
		T(test_delay_timers),
		T(test_disabled),
		T(test_loopback),
		T(test_hostile_rings),
		T(test_tiny_ring),
		T(test_malformed_from_the_host),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
