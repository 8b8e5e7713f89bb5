/* SPDX-License-Identifier: Apache-2.0 */
/* The 82540EM's transmitter: descriptors to frames. */
#include "e1000_bed.h"

#include "net/checksum.h"
#include "net/gso.h"

#define SEND (TXD_EOP | TXD_IFCS | TXD_RS)

static const uint8_t peer[6] = {0x02, 0, 0, 0, 0, 0x99};

static int up(void **state)
{
	struct bed *b = calloc(1, sizeof(*b));

	bed_init(b);
	bed_up(b, 0);
	*state = b;
	return 0;
}

/* A back-end that can finish nothing. */
static int up_plain(void **state)
{
	struct bed *b = calloc(1, sizeof(*b));

	bed_init_post(b, 0, false);
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

static struct wire_frame *sent(struct bed *b)
{
	struct wire_frame *f = wire_take(b->wire, 0);

	assert_non_null(f);
	return f;
}

static void expect(struct bed *b, const uint8_t *data, uint32_t len)
{
	struct wire_frame *f = sent(b);

	assert_int_equal(f->len, len);
	assert_memory_equal(f->data, data, len);
	free(f);
}

static void test_legacy(void **state)
{
	uint8_t f[1514];
	struct bed *b = *state;

	wr(b, REG_IMS, ICR_TXDW);
	make_frame(f, sizeof(f), peer);
	put_data(b, f, sizeof(f), SEND, 0);
	ring(b);
	expect(b, f, sizeof(f));
	assert_int_equal(rd(b, REG_TDH), 1);
	assert_int_equal(txd(b, 0)->upper & 0xff, TXD_STAT_DD);
	assert_true(line(b));
	assert_int_equal(rd(b, REG_ICR), ICR_TXDW | ICR_TXQE);
	/* Without RS: no status. */
	put_data(b, f, 100, TXD_EOP | TXD_IFCS, 0);
	ring(b);
	expect(b, f, 100);
	assert_int_equal(txd(b, 1)->upper, 0);
	assert_int_equal(rd(b, REG_ICR), ICR_TXQE);
}

static void test_chain_and_wrap(void **state)
{
	uint8_t f[3000];
	struct bed *b = *state;

	make_frame(f, sizeof(f), peer);
	for (unsigned round = 0; round < 100; round++) {
		put_data(b, f, 1000, TXD_IFCS, 0);
		put_data(b, f + 1000, 0, TXD_IFCS, 0); /* empty parts are fine */
		put_data(b, f + 1000, 1990, TXD_IFCS, 0);
		ring(b); /* EOP is not there yet */
		assert_null(wire_take(b->wire, 0));
		put_data(b, f + 2990, 10, SEND, 0);
		ring(b);
		expect(b, f, sizeof(f));
	}
	assert_int_equal(rd(b, REG_TDH), 400 % BED_DESCS);
}

static void test_many_at_once(void **state)
{
	uint8_t f[60];
	struct bed *b = *state;

	for (unsigned i = 0; i < BED_DESCS - 1; i++) {
		make_frame(f, 60, peer);
		f[20] = (uint8_t)i;
		put_data(b, f, 60, SEND, 0);
	}
	ring(b);
	for (unsigned i = 0; i < BED_DESCS - 1; i++) {
		struct wire_frame *w = sent(b);

		assert_int_equal(w->data[20], i);
		free(w);
		assert_int_equal(txd(b, i)->upper & 1, 1);
	}
}

static void test_padding(void **state)
{
	uint8_t f[60] = {0};
	struct bed *b = *state;

	make_frame(f, 20, peer);
	put_data(b, f, 20, SEND, 0);
	ring(b);
	expect(b, f, 60);
	wr(b, REG_TCTL, TCTL_EN);
	put_data(b, f, 20, SEND, 0);
	ring(b);
	expect(b, f, 20);
}

static void test_legacy_checksum(void **state)
{
	uint8_t f[200];
	struct bed *b = *state;
	struct wire_frame *w;

	make_frame(f, sizeof(f), peer);
	put_data(b, f, sizeof(f), SEND | TXD_IC | 50U << 16, 34U << 8);
	ring(b);
	w = sent(b);
	assert_int_equal(w->off.flags, NET_NEEDS_CSUM);
	assert_int_equal(w->off.csum_start, 34);
	assert_int_equal(w->off.csum_offset, 16);
	free(w);
}

/* What a driver leaves in the checksum field: the pseudo header's sum, here with its length. */
static void seed(uint8_t *f, uint32_t len)
{
	struct net_headers h;
	struct csum c = {0};
	uint16_t v;

	assert_int_equal(net_headers_parse(f, len, &h), 0);
	csum_add_pseudo(&c, f, &h, len - h.l4);
	v = csum_fold(&c);
	memcpy(f + h.l4 + TCP_CHECK, &v, 2);
}

static void assert_checksums(const uint8_t *f, uint32_t len)
{
	struct iovec iov = {(void *)(uintptr_t)f, len};
	struct net_headers h;

	assert_int_equal(net_headers_parse(f, len, &h), 0);
	assert_int_equal(net_csum_verify(&iov, 1, &h), NET_CSUM_GOOD);
	if (h.ip_version == 4)
		assert_int_equal(net_csum_verify_ipv4(f, &h), NET_CSUM_GOOD);
}

/* A back-end without offloads gets the frame finished. */
static void test_checksums_in_software(void **state)
{
	struct bed *b = *state;
	uint8_t f[2000];

	for (int version = 4; version <= 6; version += 2) {
		uint32_t len = make_tcp(f, version, 777);
		struct wire_frame *w;

		seed(f, len);
		put_context(b, version, 0, 0, 0);
		put_data(b, f, 100, DATA_DESC,
			 (TXD_POPTS_TXSM | (version == 4 ? TXD_POPTS_IXSM : 0)) << 8);
		put_data(b, f + 100, len - 100, DATA_DESC | SEND, 0);
		ring(b);
		w = sent(b);
		assert_int_equal(w->off.flags, 0);
		assert_int_equal(w->len, len);
		assert_checksums(w->data, len);
		free(w);
	}
}

/* TUCSE in the middle of the frame: only the chip's own rule can be meant. */
static void test_checksum_of_a_part(void **state)
{
	uint8_t f[300], want[300];
	struct bed *b = *state;
	struct csum c = {0};
	uint16_t v;

	make_frame(f, sizeof(f), peer);
	memcpy(want, f, sizeof(f));
	csum_add(&c, f + 20, 100);
	v = csum_finish_l4(&c);
	memcpy(want + 30, &v, 2);
	put_tx(b, (uint64_t)(20 | 30 << 8 | 119 << 16) << 32, TXD_DEXT, 0);
	put_data(b, f, sizeof(f), DATA_DESC | SEND, TXD_POPTS_TXSM << 8);
	ring(b);
	expect(b, want, sizeof(want));
}

static void put_tso(struct bed *b, const uint8_t *f, uint32_t len, int version, uint16_t mss)
{
	uint32_t hdr = ETHER_HLEN + (version == 4 ? IPV4_HLEN : IPV6_HLEN) + TCP_HLEN, at = hdr;

	put_context(b, version, TXD_TSE, mss, len - hdr);
	put_data(b, f, hdr, DATA_DESC | TXD_TSE,
		 (TXD_POPTS_TXSM | (version == 4 ? TXD_POPTS_IXSM : 0)) << 8);
	while (at < len) {
		uint32_t n = MIN(len - at, 4096U);

		put_data(b, f + at, n, DATA_DESC | TXD_TSE | (at + n == len ? SEND : 0), 0);
		at += n;
	}
	ring(b);
}

/* As Linux leaves the headers: no IP length, a checksum seed without length. */
static void strip_lengths(uint8_t *f, int version)
{
	if (version == 4)
		store_be16(f + ETHER_HLEN + IPV4_LEN, 0);
	else
		store_be16(f + ETHER_HLEN + IPV6_LEN, 0);
}

static void test_tso_handed_on(void **state)
{
	static uint8_t f[60000];
	struct bed *b = *state;

	for (int version = 4; version <= 6; version += 2) {
		uint32_t len = make_tcp(f, version, 50000);
		struct wire_frame *w;

		strip_lengths(f, version);
		put_tso(b, f, len, version, 1448);
		w = sent(b);
		assert_int_equal(w->len, len);
		assert_int_equal(w->off.gso_type, version == 4 ? NET_GSO_TCPV4 : NET_GSO_TCPV6);
		assert_int_equal(w->off.gso_size, 1448);
		assert_int_equal(w->off.flags, NET_NEEDS_CSUM);
		assert_int_equal(net_csum_complete(w->data, w->len, &w->off), 0);
		assert_checksums(w->data, w->len);
		assert_null(wire_take(b->wire, 0));
		free(w);
		assert_int_equal(rd(b, 0x40f8), 1);  /* TSCTC */
		assert_int_equal(rd(b, 0x4080), 35); /* GPTC: as the wire has it */
	}
}

struct reference {
	struct bed *b;
	unsigned count;
};

static int compare(void *opaque, const struct iovec *iov, unsigned niov, uint32_t len)
{
	struct reference *ref = opaque;
	struct wire_frame *w = sent(ref->b);
	static uint8_t want[NET_FRAME_MAX];

	iov_read(iov, niov, 0, want, len);
	assert_int_equal(w->len, len);
	assert_memory_equal(w->data, want, len);
	free(w);
	ref->count++;
	return 0;
}

static void test_tso_in_software(void **state)
{
	static uint8_t f[60000];
	struct bed *b = *state;

	for (int version = 4; version <= 6; version += 2) {
		uint32_t len = make_tcp(f, version, 30001);
		struct iovec iov = {f, len};
		struct net_frame whole = {.iov = &iov, .niov = 1, .len = len};
		struct reference ref = {b, 0};

		whole.off = (struct net_offload){
			.gso_type = version == 4 ? NET_GSO_TCPV4 : NET_GSO_TCPV6,
			.gso_size = 1448,
		};
		strip_lengths(f, version);
		put_tso(b, f, len, version, 1448);
		assert_int_equal(net_gso_finish(&whole, compare, &ref), 21);
		assert_int_equal(ref.count, 21);
		assert_null(wire_take(b->wire, 0));
	}
}

static void test_tso_of_one_segment(void **state)
{
	uint8_t f[2000];
	struct bed *b = *state;
	uint32_t len = make_tcp(f, 4, 500);
	struct wire_frame *w;

	strip_lengths(f, 4);
	put_tso(b, f, len, 4, 1448);
	w = sent(b);
	assert_int_equal(w->off.gso_type, 0);
	assert_int_equal(net_csum_complete(w->data, w->len, &w->off), 0);
	assert_checksums(w->data, w->len);
	free(w);
}

static void test_tso_nonsense(void **state)
{
	uint8_t f[2000];
	struct bed *b = *state;
	uint32_t len = make_tcp(f, 4, 1000);

	/* The context says IPv6. */
	put_context(b, 6, TXD_TSE, 100, 1000);
	put_data(b, f, len, DATA_DESC | TXD_TSE | SEND, 0);
	/* No MSS. */
	put_context(b, 4, TXD_TSE, 0, 1000);
	put_data(b, f, len, DATA_DESC | TXD_TSE | SEND, 0);
	/* Headers longer than the frame. */
	put_context(b, 4, TXD_TSE, 100, 1000);
	put_data(b, f, 30, DATA_DESC | TXD_TSE | SEND, 0);
	ring(b);
	assert_null(wire_take(b->wire, 0));
	assert_int_equal(counter(b, "tx_drop_bad_offload"), 3);
	assert_int_equal(rd(b, 0x40fc), 3); /* TSCTFC */
	/* Given back all the same. */
	assert_int_equal(rd(b, REG_TDH), 6);
	assert_int_equal(txd(b, 5)->upper & 1, 1);
}

static void test_vlan_insertion(void **state)
{
	static uint8_t f[9000];
	struct bed *b = *state;
	struct wire_frame *w;
	uint32_t len;

	wr(b, REG_CTRL, CTRL_VME);
	make_frame(f, 100, peer);
	put_data(b, f, 100, SEND | TXD_VLE, 0x6123U << 16);
	ring(b);
	w = sent(b);
	assert_int_equal(w->len, 104);
	assert_memory_equal(w->data, f, 12);
	assert_memory_equal(w->data + 12, "\x81\x00\x61\x23", 4);
	assert_memory_equal(w->data + 16, f + 12, 88);
	free(w);
	/* With segmentation: offsets move along. */
	len = make_tcp(f, 4, 8000);
	strip_lengths(f, 4);
	put_context(b, 4, TXD_TSE, 1448, 8000);
	put_data(b, f, len, DATA_DESC | TXD_TSE | SEND | TXD_VLE,
		 5U << 16 | (TXD_POPTS_TXSM | TXD_POPTS_IXSM) << 8);
	ring(b);
	w = sent(b);
	assert_int_equal(w->len, len + 4);
	assert_int_equal(w->off.csum_start, 38);
	assert_int_equal(w->off.hdr_len, 58);
	assert_int_equal(load_be16(w->data + 14), 5);
	assert_int_equal(net_csum_complete(w->data, w->len, &w->off), 0);
	assert_checksums(w->data, w->len);
	free(w);
	/* Not without VME. */
	wr(b, REG_CTRL, 0);
	put_data(b, f, 100, SEND | TXD_VLE, 0x6123U << 16);
	ring(b);
	expect(b, f, 100);
}

static void test_delayed_interrupt(void **state)
{
	uint8_t f[60];
	struct bed *b = *state;

	make_frame(f, 60, peer);
	wr(b, REG_TIDV, 8);  /* 8 us after the last … */
	wr(b, REG_TADV, 32); /* … 32 us after the first */
	wr(b, REG_IMS, ICR_TXDW);
	put_data(b, f, 60, SEND | TXD_IDE, 0);
	ring(b);
	assert_false(line(b));
	pass(b, 6 * NSEC_PER_USEC);
	for (unsigned i = 0; i < 4; i++) {
		put_data(b, f, 60, SEND | TXD_IDE, 0);
		ring(b);
		pass(b, 6 * NSEC_PER_USEC);
		assert_false(line(b));
	}
	put_data(b, f, 60, SEND | TXD_IDE, 0);
	ring(b);
	pass(b, 4 * NSEC_PER_USEC);
	assert_true(line(b)); /* TADV */
	(void)rd(b, REG_ICR);
	put_data(b, f, 60, SEND | TXD_IDE, 0);
	ring(b);
	pass(b, 9 * NSEC_PER_USEC);
	assert_true(line(b)); /* TIDV */
	(void)rd(b, REG_ICR);
	put_data(b, f, 60, SEND | TXD_IDE, 0);
	ring(b);
	wr(b, REG_TIDV, 8 | 0x80000000); /* flushed */
	assert_true(line(b));
}

static void test_queue_low(void **state)
{
	uint8_t f[60];
	struct bed *b = *state;

	make_frame(f, 60, peer);
	wr(b, REG_TXDCTL, 1U << TXDCTL_LWTHRESH_SHIFT);
	b->wire->queues[0].room = 4;
	for (unsigned i = 0; i < 12; i++)
		put_data(b, f, 60, TXD_EOP, 0);
	ring(b);
	assert_true(rd(b, REG_ICR) & ICR_TXD_LOW);
	b->wire->queues[0].room = UINT32_MAX;
	pass(b, NSEC_PER_MSEC);
}

static void test_back_end_full(void **state)
{
	uint8_t f[60];
	struct bed *b = *state;

	make_frame(f, 60, peer);
	b->wire->queues[0].room = 2;
	for (unsigned i = 0; i < 5; i++) {
		f[20] = (uint8_t)i;
		put_data(b, f, 60, SEND, 0);
	}
	ring(b);
	assert_int_equal(rd(b, REG_TDH), 2);
	assert_int_equal(txd(b, 2)->upper & 1, 0);
	b->wire->queues[0].room = UINT32_MAX;
	pass(b, NSEC_PER_MSEC);
	assert_int_equal(rd(b, REG_TDH), 5);
	for (unsigned i = 0; i < 5; i++) {
		struct wire_frame *w = sent(b);

		assert_int_equal(w->data[20], i);
		free(w);
	}
	assert_int_equal(counter(b, "tx_in_frames"), 5);
	assert_int_equal(counter(b, "tx_in_bytes"), 300);
}

static void test_link_down(void **state)
{
	uint8_t f[60];
	struct bed *b = *state;

	make_frame(f, 60, peer);
	b->nic->nic_ops->set_link(b->nic, false);
	put_data(b, f, 60, SEND, 0);
	ring(b);
	assert_null(wire_take(b->wire, 0));
	assert_int_equal(counter(b, "tx_drop_link_down"), 1);
	assert_int_equal(txd(b, 0)->upper & 1, 1);
}

static void test_hostile_descriptors(void **state)
{
	uint8_t f[60];
	struct bed *b = *state;

	make_frame(f, 60, peer);
	put_tx(b, BED_OUTSIDE, 60 | SEND, 0);		     /* not memory */
	put_tx(b, b->bar, 60 | SEND, 0);		     /* the device itself */
	put_tx(b, FAKE_RAM - 10, 60 | SEND, 0);		     /* half of it */
	put_tx(b, UINT64_MAX - 10, 60 | SEND, 0);	     /* wraps */
	put_tx(b, BED_TXBUF, 5 | SEND, 0);		     /* no header */
	put_tx(b, BED_TXBUF, 0xfffff | DATA_DESC | SEND, 0); /* a megabyte */
	put_tx(b, BED_TXBUF, 0 | SEND, 0);		     /* nothing */
	put_data(b, f, 60, SEND, 0);
	ring(b);
	expect(b, f, 60);
	assert_null(wire_take(b->wire, 0));
	assert_int_equal(rd(b, REG_TDH), 8);
	assert_int_equal(counter(b, "tx_drop_bad_address"), 4);
	assert_int_equal(counter(b, "tx_drop_undersize"), 2);
	assert_int_equal(counter(b, "tx_drop_oversize"), 1);
}

static void test_hostile_rings(void **state)
{
	uint8_t f[60];
	struct bed *b = *state;
	struct wire_frame *w;

	make_frame(f, 60, peer);
	/* A chain around the whole ring, again and again. */
	for (unsigned round = 0; round < 5; round++) {
		for (unsigned i = 0; i < BED_DESCS - 1; i++)
			put_data(b, f, 60, TXD_RS, 0);
		ring(b);
	}
	put_data(b, f, 60, SEND, 0); /* its end */
	put_data(b, f, 60, SEND, 0);
	ring(b);
	expect(b, f, 60);
	assert_null(wire_take(b->wire, 0));
	assert_int_equal(counter(b, "tx_drop_bad_ring"), 1);
	/* Indices and sizes out of range: nothing happens. */
	wr(b, REG_TDT, 0xffff);
	step(b);
	wr(b, REG_TDH, 0xfff0);
	wr(b, REG_TDT, 3);
	step(b);
	wr(b, REG_TDLEN, 0);
	wr(b, REG_TDH, 0);
	wr(b, REG_TDT, 0);
	step(b);
	wr(b, REG_TDLEN, 0xfff80);
	wr(b, REG_TDT, 0xfff0);
	step(b);
	/* The ring is not in memory. */
	wr(b, REG_TDBAH, 0xffffffff);
	wr(b, REG_TDH, 0);
	wr(b, REG_TDT, 10);
	step(b);
	wr(b, REG_TDBAH, 0);
	wr(b, REG_TDBAL, (uint32_t)FAKE_RAM - 16);
	wr(b, REG_TDT, 20);
	step(b);
	/* The giant ring held what the small one had left, and whatever memory was behind it. */
	while ((w = wire_take(b->wire, 0)))
		free(w);
	bed_up(b, 0);
	put_data(b, f, 60, SEND, 0);
	ring(b);
	expect(b, f, 60);
}

static void test_no_bus_master(void **state)
{
	uint8_t f[60];
	struct bed *b = *state;

	make_frame(f, 60, peer);
	fake_config_write(&b->host, b->slot, PCI_COMMAND, 2, PCI_COMMAND_MEMORY);
	put_data(b, f, 60, SEND, 0);
	ring(b);
	assert_null(wire_take(b->wire, 0));
	fake_config_write(&b->host, b->slot, PCI_COMMAND, 2,
			  PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
	step(b);
	expect(b, f, 60);
}

static void test_reset_in_the_middle(void **state)
{
	uint8_t f[60];
	struct bed *b = *state;

	make_frame(f, 60, peer);
	b->wire->queues[0].room = 1;
	wr(b, REG_IMS, ICR_ALL);
	for (unsigned i = 0; i < 10; i++)
		put_data(b, f, 60, SEND | TXD_IDE, 0);
	ring(b);
	put_context(b, 4, TXD_TSE, 100, 0);
	put_data(b, f, 60, TXD_RS, 0);
	ring(b);
	wr(b, REG_CTRL, CTRL_RST);
	step(b);
	pass(b, NSEC_PER_MSEC);
	assert_false(line(b));
	expect(b, f, 60);
	assert_null(wire_take(b->wire, 0));
	b->wire->queues[0].room = UINT32_MAX;
	bed_up(b, 0);
	put_data(b, f, 60, SEND, 0);
	ring(b);
	expect(b, f, 60);
}

#define T(name)	    cmocka_unit_test_setup_teardown(name, up, down)
#define PLAIN(name) cmocka_unit_test_setup_teardown(name, up_plain, down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_legacy),
		T(test_chain_and_wrap),
		T(test_many_at_once),
		T(test_padding),
		T(test_legacy_checksum),
		PLAIN(test_checksums_in_software),
		T(test_checksum_of_a_part),
		T(test_tso_handed_on),
		PLAIN(test_tso_in_software),
		T(test_tso_of_one_segment),
		T(test_tso_nonsense),
		T(test_vlan_insertion),
		T(test_delayed_interrupt),
		T(test_queue_low),
		T(test_back_end_full),
		T(test_link_down),
		T(test_hostile_descriptors),
		T(test_hostile_rings),
		T(test_no_bus_master),
		T(test_reset_in_the_middle),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
