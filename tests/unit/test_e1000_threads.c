/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The 82540EM with its worker as a thread and a driver in another, over a wire that gives back what
 * it is sent: nobody may wait for ever for a doorbell, an interrupt or a descriptor. And over one
 * that always has frames: a chip that was stopped touches memory no more.
 */
#include "chip_threads.h"
#include "e1000_bed.h"

static struct bed *start(bool post)
{
	struct bed *b = calloc(1, sizeof(*b));

	bed_init_threaded(b, post);
	b->wire->queues[0].loop = true;
	bed_up_quietly(b, RCTL_UPE);
	return b;
}

/* The second half of a descriptor: as the device writes it, in one piece. */
static uint64_t *status_of(struct bed *b, unsigned i)
{
	return (uint64_t *)(void *)&rxd(b, i)->lower;
}

/* As Linux's driver does it: interrupt, cause, mask, look at the rings, unmask. */
static void exchange(struct bed *b, unsigned count, unsigned at_once, bool flush)
{
	unsigned sent = 0, got = 0;
	uint8_t f[60];

	make_frame(f, sizeof(f), bed_mac);
	wr(b, REG_IMS, ICR_RXT0 | ICR_TXDW);
	while (got < count) {
		while (sent < count && sent - got < at_once) {
			store_be16(f + 20, (uint16_t)sent++);
			put_data(b, f, sizeof(f), TXD_EOP | TXD_RS | TXD_IDE, 0);
			wr(b, REG_TDT, b->tx_tail);
		}
		if (!wait_line(b))
			fail_msg("no interrupt after %u of %u frames", got, count);
		(void)rd(b, REG_ICR);
		wr(b, REG_IMC, UINT32_MAX);
		if (flush)
			(void)rd(b, REG_STATUS);
		for (;;) {
			unsigned i = b->rx_head % BED_DESCS;
			uint64_t status = __atomic_load_n(status_of(b, i), __ATOMIC_ACQUIRE);

			if (!(status >> 32 & RXD_STAT_DD))
				break;
			assert_int_equal(load_be16(rxbuf(b, i) + 20), (uint16_t)got);
			__atomic_store_n(status_of(b, i), 0, __ATOMIC_RELAXED);
			wr(b, REG_RDT, i);
			b->rx_head++;
			got++;
		}
		wr(b, REG_IMS, ICR_RXT0 | ICR_TXDW);
		if (flush)
			(void)rd(b, REG_STATUS);
	}
}

static void run(bool post, unsigned count, unsigned at_once, bool flush)
{
	struct bed *b = start(post);

	wr(b, REG_TIDV, 8);
	wr(b, REG_TADV, 32);
	exchange(b, count, at_once, flush);
	wr(b, REG_ITR, 200);
	exchange(b, count / 4, at_once, flush);
	b->wire->queues[0].loop = false;
	bed_fini(b);
	free(b);
}

static void test_one_by_one(void **state)
{
	run(false, 2000, 1, true);
}

static void test_many(void **state)
{
	run(false, 10000, 48, true);
}

static void test_posted_one_by_one(void **state)
{
	run(true, 2000, 1, true);
}

static void test_posted_many(void **state)
{
	run(true, 10000, 48, true);
}

static void test_posted_without_flushes(void **state)
{
	run(true, 4000, 8, false);
}

/* Descriptors all around, ready to be sent; the driver only moves the tail from here on. */
static void fill_tx(struct bed *b)
{
	for (unsigned i = 0; i < BED_DESCS; i++)
		*txd(b, i) = (struct e1000_desc){BED_TXBUF + i * BED_BUF,
						 60 | TXD_EOP | TXD_RS | TXD_IDE, 0};
}

/* Link changes, resets and reconfiguration while frames move: nothing to assert but sanity. */
static void test_upheaval(void **state)
{
	struct bed *b = start(true);
	uint8_t f[60];
	pthread_t thread;

	make_frame(f, sizeof(f), bed_mac);
	for (unsigned i = 0; i < BED_DESCS; i++)
		memcpy(txbuf(b, i), f, sizeof(f));
	fill_tx(b);
	assert_int_equal(pthread_create(&thread, NULL, toggle, b), 0);
	for (unsigned i = 0; i < 3000; i++) {
		wr(b, REG_TDT, i % BED_DESCS);
		wr(b, REG_RDT, i % BED_DESCS);
		if (i % 100 == 50)
			wr(b, REG_CTRL, CTRL_RST);
		if (i % 100 == 60) {
			bed_up_quietly(b, RCTL_UPE);
			fill_tx(b);
		}
		if (i % 500 == 499)
			fake_config_write(&b->host, b->slot, PCI_BASE_ADDRESS_0, 4,
					  (uint32_t)(b->bar ^= 0x200000));
	}
	pthread_join(thread, NULL);
	b->wire->queues[0].loop = false;
	wr(b, REG_CTRL, CTRL_RST);
	bed_fini(b);
	free(b);
}

/* Each way in which a driver stops the chip before it gives back its memory. */
static void stop(struct bed *b, unsigned how)
{
	switch (how % 4) {
	case 0:
		wr(b, REG_CTRL, CTRL_RST);
		break;
	case 1:
		wr(b, REG_RCTL, 0);
		wr(b, REG_TCTL, 0);
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

static void stops(bool post)
{
	struct bed *b = start(post);
	struct flood flood;
	uint8_t f[60];

	make_frame(f, sizeof(f), bed_mac);
	wr(b, REG_CTRL, CTRL_RST); /* each round sets it up, which it must not be yet */
	flood_start(&flood, b);
	for (unsigned i = 0; flood_lasts(&flood, i, 150); i++) {
		bed_bus_master(b, true);
		bed_up_quietly(b, RCTL_UPE);
		for (unsigned k = 0; k < BED_DESCS; k++)
			memcpy(txbuf(b, k), f, sizeof(f));
		fill_tx(b);
		for (unsigned k = 0; k < 8; k++) {
			wr(b, REG_TDT, (8 * k + 7) % BED_DESCS);
			wr(b, REG_RDT, (8 * k + 7) % BED_DESCS);
			usleep(i % 8 * 5);
		}
		stop(b, i);
		expect_untouched(b, BED_TXR, BED_DESCS * 16);
		expect_untouched(b, BED_RXR, BED_DESCS * 16);
		for (unsigned k = 0; k < BED_DESCS; k++) {
			memset(rxbuf(b, k), 0xa5, 640);
			memset(txbuf(b, k), 0xa5, 60);
		}
		expect_untouched(b, BED_RXBUF, 640);
		wr(b, REG_CTRL, CTRL_RST);
	}
	flood_stop(&flood);
	bed_fini(b);
	free(b);
}

static void test_stops(void **state)
{
	stops(false);
}

static void test_stops_posted(void **state)
{
	stops(true);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_one_by_one),
		cmocka_unit_test(test_many),
		cmocka_unit_test(test_posted_one_by_one),
		cmocka_unit_test(test_posted_many),
		cmocka_unit_test(test_posted_without_flushes),
		cmocka_unit_test(test_upheaval),
		cmocka_unit_test(test_stops),
		cmocka_unit_test(test_stops_posted),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
