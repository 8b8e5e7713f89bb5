/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The RTL8139 in both its modes with its worker as a thread and a driver in another: over a wire
 * that gives back what it is sent nobody may wait for ever, and over one that always has frames a
 * chip that was stopped touches memory no more.
 */
#include "chip_threads.h"
#include "rtl8139_bed.h"

#define FSLS (DESC_FS | DESC_LS)
#define OFF  (ISR_ROK | ISR_TOK | ISR_RXOVW)

static struct bed *start(bool cplus, bool post)
{
	struct bed *b = calloc(1, sizeof(*b));

	rtl_bed_make(b, cplus, NET_OFFLOAD_CSUM | NET_OFFLOAD_GSO, post, true);
	b->wire->queues[0].loop = true;
	return b;
}

static void finish(struct bed *b)
{
	b->wire->queues[0].loop = false;
	wr8(b, RTL_CR, CR_RST);
	bed_fini(b);
	free(b);
}

static uint32_t opts1_of(struct rtl_desc *d)
{
	return __atomic_load_n(&d->opts1, __ATOMIC_ACQUIRE);
}

static void give(struct rtl_desc *d, uint32_t opts1)
{
	__atomic_store_n(&d->opts1, opts1, __ATOMIC_RELEASE);
}

/* As 8139cp does it. Returns whether the frame was sent. */
static bool send_cplus(struct bed *b, const uint8_t *f, uint32_t len)
{
	unsigned i = b->tx_tail;
	struct rtl_desc *d = txd(b, i);

	if (opts1_of(d) & DESC_OWN)
		return false;
	memcpy(ram(b, RTL_TXBUF + i % RTL_DESCS * 0x10000), f, len);
	d->opts2 = 0;
	d->addr = RTL_TXBUF + i % RTL_DESCS * 0x10000;
	give(d, DESC_OWN | FSLS | eor(i) | len);
	wr8(b, RTL_TPPOLL, TPPOLL_NPQ);
	b->tx_tail++;
	return true;
}

static unsigned receive_cplus(struct bed *b, unsigned got)
{
	for (;;) {
		unsigned i = b->rx_head;

		if (opts1_of(rxd(b, i)) & DESC_OWN)
			return got;
		assert_int_equal(load_be16(rxbuf(b, i) + 20), (uint16_t)got);
		give(rxd(b, i), DESC_OWN | eor(i) | 1536);
		b->rx_head++;
		got++;
	}
}

/* As 8139too does it. */
static bool send_slot(struct bed *b, const uint8_t *f, uint32_t len)
{
	unsigned slot = b->tx_tail % 4;

	if (!(rd32(b, RTL_TSD0 + 4 * slot) & TSD_OWN))
		return false;
	memcpy(ram(b, RTL_TXBUF + slot * RTL_BUF), f, len);
	wr32(b, RTL_TSD0 + 4 * slot, len);
	b->tx_tail++;
	return true;
}

static unsigned receive_ring(struct bed *b, unsigned got)
{
	while (!(rd8(b, RTL_CR) & CR_BUFE)) {
		unsigned at = b->rx_head % 8192;
		uint32_t len = load_le16(ram(b, RTL_RING + at + 2));

		assert_int_equal(load_le16(ram(b, RTL_RING + at)) & RXS_ROK, RXS_ROK);
		assert_int_equal(len, 64);
		assert_int_equal(load_be16(ram(b, RTL_RING + (at + 4 + 20) % 8192)), (uint16_t)got);
		b->rx_head = (at + ALIGN_UP(4 + len, 4)) % 8192;
		wr16(b, RTL_CAPR, (uint16_t)(b->rx_head - 16));
		got++;
	}
	return got;
}

static void exchange(struct bed *b, bool cplus, unsigned count, unsigned at_once)
{
	unsigned sent = 0, got = 0;
	uint8_t f[60];

	make_frame(f, sizeof(f), bed_mac);
	while (got < count) {
		while (sent < count && sent - got < at_once) {
			store_be16(f + 20, (uint16_t)sent);
			if (!(cplus ? send_cplus : send_slot)(b, f, sizeof(f)))
				break;
			sent++;
		}
		if (!wait_line(b))
			fail_msg("no interrupt after %u of %u frames", got, count);
		wr16(b, RTL_IMR, 0);
		wr16(b, RTL_ISR, rd16(b, RTL_ISR));
		got = (cplus ? receive_cplus : receive_ring)(b, got);
		wr16(b, RTL_IMR, OFF);
		/* What came between the last look and the mask has its cause set. */
	}
}

static void run(bool cplus, bool post, unsigned count, unsigned at_once)
{
	struct bed *b = start(cplus, post);

	if (cplus)
		rtl_up_cplus(b, 0);
	else
		rtl_up_classic(b, 0);
	wr16(b, RTL_IMR, OFF);
	exchange(b, cplus, count, at_once);
	finish(b);
}

static void test_cplus_one_by_one(void **state)
{
	run(true, false, 2000, 1);
}

static void test_cplus_many(void **state)
{
	run(true, false, 10000, 12);
}

static void test_cplus_posted(void **state)
{
	run(true, true, 10000, 12);
}

static void test_classic_one_by_one(void **state)
{
	run(false, false, 2000, 1);
}

static void test_classic_many(void **state)
{
	run(false, true, 10000, 4);
}

/* Each way in which a driver stops the chip before it gives back its memory. */
static void stop(struct bed *b, unsigned how)
{
	switch (how % 4) {
	case 0:
		wr8(b, RTL_CR, CR_RST);
		break;
	case 1:
		wr8(b, RTL_CR, 0);
		break;
	case 2:
		bed_bus_master(b, false);
		break;
	case 3: /* the machine is reset, and finds the chip where it was */
		pci_bus_reset(b->host.pci);
		bed_bus_master(b, false);
		break;
	}
}

static void stops(bool cplus, bool post)
{
	struct bed *b = start(cplus, post);
	struct flood flood;
	uint8_t f[60];

	make_frame(f, sizeof(f), bed_mac);
	flood_start(&flood, b);
	for (unsigned i = 0; flood_lasts(&flood, i, 150); i++) {
		bed_bus_master(b, true);
		b->tx_tail = b->rx_head = 0;
		if (cplus)
			rtl_up_cplus(b, 0);
		else
			rtl_up_classic(b, 0);
		for (unsigned k = 0; k < 8; k++) {
			(void)(cplus ? send_cplus : send_slot)(b, f, sizeof(f));
			usleep(i % 8 * 5);
		}
		stop(b, i);
		expect_untouched(b, RTL_TXR, RTL_DESCS * 16);
		expect_untouched(b, RTL_RXR, RTL_DESCS * 16);
		for (unsigned k = 0; k < RTL_DESCS; k++)
			memset(rxbuf(b, k), 0xa5, 640);
		expect_untouched(b, RTL_RING, 8192 + 16 + 1500);
		wr8(b, RTL_CR, CR_RST);
	}
	flood_stop(&flood);
	finish(b);
}

static void test_cplus_stops(void **state)
{
	stops(true, true);
}

static void test_classic_stops(void **state)
{
	stops(false, false);
}

/* Link changes, resets and reconfiguration while frames move: nothing to assert but sanity. */
static void test_upheaval(void **state)
{
	struct bed *b = start(true, true);
	pthread_t thread;
	uint8_t f[60];

	make_frame(f, sizeof(f), bed_mac);
	rtl_up_cplus(b, 0);
	assert_int_equal(pthread_create(&thread, NULL, toggle, b), 0);
	for (unsigned i = 0; i < 3000; i++) {
		(void)send_cplus(b, f, sizeof(f));
		(void)rd16(b, RTL_BMSR);
		if (i % 100 == 50)
			wr8(b, RTL_CR, CR_RST);
		if (i % 100 == 60) {
			b->tx_tail = b->rx_head = 0;
			rtl_up_cplus(b, 0);
		}
		if (i % 200 == 70)
			wr32(b, RTL_TIMERINT, i % 400 == 70 ? 100 : 0);
		if (i % 500 == 499)
			fake_config_write(&b->host, b->slot, PCI_BASE_ADDRESS_1, 4,
					  (uint32_t)(b->bar ^= 0x200000));
	}
	pthread_join(thread, NULL);
	finish(b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_cplus_one_by_one), cmocka_unit_test(test_cplus_many),
		cmocka_unit_test(test_cplus_posted),	 cmocka_unit_test(test_classic_one_by_one),
		cmocka_unit_test(test_classic_many),	 cmocka_unit_test(test_cplus_stops),
		cmocka_unit_test(test_classic_stops),	 cmocka_unit_test(test_upheaval),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
