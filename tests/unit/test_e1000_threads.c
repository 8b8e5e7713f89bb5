/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The 82540EM with its worker as a thread and a driver in another, over a wire that gives back what
 * it is sent: nobody may wait for ever for a doorbell, an interrupt or a descriptor.
 */
#include "e1000_bed.h"

#define LIMIT (20 * NSEC_PER_SEC)

static struct bed *start(bool post)
{
	struct bed *b = calloc(1, sizeof(*b));

	bed_init_threaded(b, post);
	b->wire->queues[0].loop = true;
	bed_up_quietly(b, RCTL_UPE);
	return b;
}

static bool wait_line(struct bed *b, uint64_t end)
{
	while (!__atomic_load_n(&b->nic->pci.intx_level, __ATOMIC_ACQUIRE)) {
		if (clock_ns() > end)
			return false;
		sched_yield();
	}
	return true;
}

/* As Linux's driver does it: interrupt, cause, mask, look at the rings, unmask. */
static void exchange(struct bed *b, unsigned count, unsigned at_once, bool flush)
{
	uint64_t end = clock_ns() + LIMIT;
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
		if (!wait_line(b, end))
			fail_msg("no interrupt after %u of %u frames", got, count);
		(void)rd(b, REG_ICR);
		wr(b, REG_IMC, UINT32_MAX);
		if (flush)
			(void)rd(b, REG_STATUS);
		for (;;) {
			unsigned i = b->rx_head % BED_DESCS;
			uint32_t upper = __atomic_load_n(&rxd(b, i)->upper, __ATOMIC_ACQUIRE);

			if (!(upper & RXD_STAT_DD))
				break;
			assert_int_equal(load_be16(rxbuf(b, i) + 20), (uint16_t)got);
			rxd(b, i)->upper = 0;
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

static void *toggle(void *arg)
{
	struct bed *b = arg;

	for (unsigned i = 0; i < 300; i++) {
		b->nic->nic_ops->set_link(b->nic, i & 1);
		(void)counter(b, "tx_in_frames");
		usleep(200);
	}
	return NULL;
}

/* Link changes, resets and reconfiguration while frames move: nothing to assert but sanity. */
static void test_upheaval(void **state)
{
	struct bed *b = start(true);
	uint8_t f[60];
	pthread_t thread;

	make_frame(f, sizeof(f), bed_mac);
	assert_int_equal(pthread_create(&thread, NULL, toggle, b), 0);
	for (unsigned i = 0; i < 3000; i++) {
		put_data(b, f, sizeof(f), TXD_EOP | TXD_RS | TXD_IDE, 0);
		wr(b, REG_TDT, b->tx_tail);
		wr(b, REG_RDT, i % BED_DESCS);
		if (i % 100 == 50)
			wr(b, REG_CTRL, CTRL_RST);
		if (i % 100 == 60)
			bed_up_quietly(b, RCTL_UPE);
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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_one_by_one),
		cmocka_unit_test(test_many),
		cmocka_unit_test(test_posted_one_by_one),
		cmocka_unit_test(test_posted_many),
		cmocka_unit_test(test_posted_without_flushes),
		cmocka_unit_test(test_upheaval),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
