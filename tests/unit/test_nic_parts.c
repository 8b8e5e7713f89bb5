/* SPDX-License-Identifier: Apache-2.0 */
/* What emulated NICs share: EEPROM, MII, hashes, interrupt block, posted registers, worker. */
#include "unit.h"

#include "fake_host.h"

#include "base/thread.h"
#include "device/eeprom93.h"
#include "device/mii.h"
#include "device/nic_filter.h"
#include "device/nic_irq.h"
#include "device/nic_post.h"
#include "device/nic_worker.h"

#include <stdlib.h>
#include <unistd.h>

/* --- EEPROM */

static void ee_bit(struct eeprom93 *ee, bool bit)
{
	eeprom93_wires(ee, true, false, bit);
	eeprom93_wires(ee, true, true, bit);
	eeprom93_wires(ee, true, false, bit);
}

static void ee_command(struct eeprom93 *ee, unsigned op, unsigned address)
{
	unsigned bits = 3 + ee->addr_bits, word = (4 | op) << ee->addr_bits | address;

	eeprom93_wires(ee, false, false, false);
	eeprom93_wires(ee, true, false, false);
	while (bits--)
		ee_bit(ee, word >> bits & 1);
}

static uint16_t ee_word(struct eeprom93 *ee)
{
	uint16_t word = 0;

	for (unsigned i = 0; i < 16; i++) {
		ee_bit(ee, false);
		word = (uint16_t)(word << 1 | eeprom93_out(ee));
	}
	return word;
}

static void ee_write(struct eeprom93 *ee, unsigned address, uint16_t word)
{
	ee_command(ee, 1, address);
	for (int i = 15; i >= 0; i--)
		ee_bit(ee, word >> i & 1);
	eeprom93_wires(ee, false, false, false);
	eeprom93_wires(ee, true, false, false);
	assert_true(eeprom93_out(ee)); /* ready */
}

static uint16_t ee_read(struct eeprom93 *ee, unsigned address)
{
	ee_command(ee, 2, address);
	assert_false(eeprom93_out(ee)); /* the dummy bit */
	return ee_word(ee);
}

static void test_eeprom(void **state)
{
	static const unsigned sizes[] = {64, 128, 256};

	for (unsigned s = 0; s < ARRAY_SIZE(sizes); s++) {
		struct eeprom93 ee;
		unsigned top;

		eeprom93_init(&ee, sizes[s]);
		top = ee.addr_bits - 2;
		assert_int_equal(ee_read(&ee, 5), 0xffff);
		ee_write(&ee, 5, 0x1234);
		assert_int_equal(ee_read(&ee, 5), 0xffff); /* protected */
		ee_command(&ee, 0, 3U << top);		   /* EWEN */
		ee_write(&ee, 5, 0x1234);
		ee_write(&ee, 6, 0xabcd);
		assert_int_equal(ee_read(&ee, 5), 0x1234);
		assert_int_equal(ee_word(&ee), 0xabcd); /* goes on */
		ee_command(&ee, 3, 5);			/* ERASE */
		assert_int_equal(ee_read(&ee, 5), 0xffff);
		ee_command(&ee, 0, 1U << top); /* WRAL */
		for (int i = 15; i >= 0; i--)
			ee_bit(&ee, 0x5a5a >> i & 1);
		assert_int_equal(ee_read(&ee, sizes[s] - 1), 0x5a5a);
		ee_command(&ee, 0, 2U << top); /* ERAL */
		assert_int_equal(ee_read(&ee, 0), 0xffff);
		ee_command(&ee, 0, 0); /* EWDS */
		ee_write(&ee, 5, 0x1234);
		assert_int_equal(ee_read(&ee, 5), 0xffff);
	}
}

static void test_eeprom_checksum(void **state)
{
	struct eeprom93 ee;
	uint16_t sum = 0;

	eeprom93_init(&ee, 64);
	for (unsigned i = 0; i < 63; i++)
		ee.data[i] = (uint16_t)(i * 1237);
	eeprom93_checksum(&ee, 63, 0xbaba);
	for (unsigned i = 0; i < 64; i++)
		sum = (uint16_t)(sum + ee.data[i]);
	assert_int_equal(sum, 0xbaba);
}

/* --- MII */

static void test_mii(void **state)
{
	static const struct mii_config config = {.id = 0x12345678, .specific = {[3] = 0x4242}};
	struct mii mii;

	mii_init(&mii, &config, true);
	assert_int_equal(mii_read(&mii, MII_PHYID1), 0x1234);
	assert_int_equal(mii_read(&mii, MII_PHYID2), 0x5678);
	assert_int_equal(mii_read(&mii, 19), 0x4242);
	assert_int_equal(mii_read(&mii, MII_BMSR) & 0x24, 0x24);
	assert_int_equal(mii.speed, 100);
	assert_true(mii.full_duplex);
	/* Not gigabit: those registers are not there. */
	mii_write(&mii, MII_1000CR, 0x300);
	assert_int_equal(mii_read(&mii, MII_1000CR), 0);
	/* Status is not to be written. */
	mii_write(&mii, MII_BMSR, 0);
	assert_int_equal(mii_read(&mii, MII_BMSR) & 4, 4);
	assert_true(mii_set_cable(&mii, false));
	assert_false(mii_set_cable(&mii, false));
	assert_int_equal(mii_read(&mii, MII_BMSR) & 0x24, 0);
	assert_int_equal(mii_read(&mii, MII_ANLPAR), 0);
	assert_true(mii_set_cable(&mii, true));
	assert_int_equal(mii_read(&mii, MII_BMSR) & 4, 0);
	assert_int_equal(mii_read(&mii, MII_BMSR) & 4, 4);
	/* 10 Mb/s by negotiation, 100 by force. */
	mii_write(&mii, MII_ANAR, 0x0061);
	assert_true(mii_write(&mii, MII_BMCR, MII_BMCR_ANENABLE | MII_BMCR_RESTART));
	assert_int_equal(mii.speed, 10);
	assert_int_equal(mii_read(&mii, MII_BMCR) & MII_BMCR_RESTART, 0);
	mii_write(&mii, MII_BMCR, MII_BMCR_SPEED100);
	assert_int_equal(mii.speed, 100);
	assert_false(mii.full_duplex);
	assert_int_equal(mii_read(&mii, MII_BMSR) & MII_BMSR_ANDONE, 0);
	/* Loopback has a link without a cable. */
	mii_set_cable(&mii, false);
	mii_write(&mii, MII_BMCR, MII_BMCR_LOOPBACK);
	assert_true(mii_link(&mii));
	mii_reset(&mii);
	assert_false(mii_link(&mii));
}

/* --- hashes */

static void test_hashes(void **state)
{
	/* The CRC's check value, and the hash that Linux's ether_crc() gives for the mDNS group. */
	assert_int_equal(~nic_crc32(NIC_CRC_INIT, "123456789", 9), 0xcbf43926);
	assert_int_equal(nic_crc32(nic_crc32(NIC_CRC_INIT, "1234", 4), "56789", 5), ~0xcbf43926U);
	for (unsigned i = 0; i < 256; i++) {
		uint8_t mac[6] = {1, 0, 0x5e, 0, 0, (uint8_t)i};
		uint32_t crc = UINT32_MAX;

		for (unsigned k = 0; k < 48; k++) {
			bool bit = mac[k / 8] >> k % 8 & 1;

			crc = crc << 1 ^ ((crc >> 31 ^ bit) ? 0x04c11db7 : 0);
		}
		assert_int_equal(nic_hash6(mac), crc >> 26);
	}
}

/* --- the interrupt block, on a device that is nothing else */

struct toy {
	struct pci_dev pci; /* first */
	struct nic_irq irq;
	unsigned held;
};

static void toy_destroy(struct pci_dev *dev)
{
	nic_irq_fini(&((struct toy *)dev)->irq);
	pci_dev_fini(dev);
	free(dev);
}

static void toy_held(void *opaque)
{
	((struct toy *)opaque)->held++;
}

static struct toy *toy_new(struct fake_host *h)
{
	static const struct pci_ids ids = {.vendor = 1, .device = 1};
	static const struct pci_dev_ops ops = {.destroy = toy_destroy};
	struct toy *toy = calloc(1, sizeof(*toy));

	fake_host_init(h);
	strcpy(toy->pci.id, "toy");
	toy->pci.ops = &ops;
	toy->pci.host = &h->host;
	pci_dev_init(&toy->pci, &ids);
	pci_dev_use_intx(&toy->pci);
	nic_irq_init(&toy->irq, &toy->pci, toy_held, toy);
	assert_int_equal(pci_bus_add(h->pci, &toy->pci, PCI_SLOT_ANY, 0, NULL), 0);
	return toy;
}

static void test_irq(void **state)
{
	static struct fake_host h;
	struct toy *toy = toy_new(&h);
	struct nic_irq *irq = &toy->irq;
	const bool *line = &h.lines[toy->pci.intx_gsi];

	nic_irq_raise(irq, 1, 10);
	assert_false(*line);
	assert_false(nic_irq_masked_pending(irq)); /* never unmasked so far */
	nic_irq_set_mask(irq, UINT32_MAX, 3, 10);
	assert_true(*line);
	nic_irq_set_mask(irq, ~1U, 0, 10);
	assert_false(*line);
	assert_true(nic_irq_masked_pending(irq));
	nic_irq_raise(irq, 1, 10);
	assert_int_equal(toy->held, 1); /* somebody has to look for the mask */
	nic_irq_set_mask(irq, UINT32_MAX, 3, 10);
	toy->held = 0;
	assert_true(*line);
	assert_false(nic_irq_masked_pending(irq));
	assert_int_equal(nic_irq_clear(irq, 1, 10), 1);
	assert_false(*line);
	/* Throttled: later, once, and told to the worker. */
	nic_irq_set_interval(irq, 100, 10);
	nic_irq_raise(irq, 1, 50);
	nic_irq_raise(irq, 2, 60);
	assert_false(*line);
	assert_int_equal(toy->held, 1);
	assert_int_equal(nic_irq_cause(irq), 3);
	assert_int_equal(nic_irq_poll(irq, 109), 110);
	assert_true(nic_irq_poll(irq, 110) == NIC_IRQ_NEVER);
	assert_true(*line);
	nic_irq_clear(irq, 3, 120);
	nic_irq_raise(irq, 1, 210); /* exactly when it may */
	assert_true(*line);
	assert_int_equal(irq->asserted, 4);
	nic_irq_reset(irq);
	assert_false(*line);
	assert_int_equal(nic_irq_mask(irq), 0);
	fake_host_fini(&h);
}

/* --- posted registers where the host cannot */

static void test_post_without_host(void **state)
{
	static const struct nic_post_reg regs[] = {{"A", 0, 4, NIC_POST_EAGER},
						   {"B", 4, 4, NIC_POST_BUSY}};
	static struct fake_host h;
	struct nic_post post;

	fake_host_init(&h);
	h.no_coalesce = true;
	nic_post_init(&post, &h.host, regs, 2, true);
	nic_post_map(&post, true, 0x1000);
	assert_false(nic_post_is(&post, 0));
	for (unsigned i = 0; i < 100; i++)
		assert_false(nic_post_written(&post, 1, 1000));
	assert_true(nic_post_tend(&post, 1, true, 1000) == NIC_POST_NEVER);
	nic_post_drain(&post);
	nic_post_map(&post, false, 0);
	nic_post_fini(&post);
	fake_host_fini(&h);
}

/* --- the worker: no kick is ever lost, and it sleeps when there is nothing to do */

struct work {
	struct nic_worker worker;
	_Atomic unsigned asked, seen;
};

static void work_step(void *opaque, uint64_t now, struct nic_worker_wish *wish)
{
	struct work *w = opaque;

	assert_true(nic_worker_self(&w->worker));
	w->seen = w->asked;
}

static void test_worker(void **state)
{
	static struct work w;
	struct error err;
	uint64_t steps = 0;

	assert_int_equal(nic_worker_init(&w.worker, work_step, &w, -1, &err), 0);
	assert_int_equal(nic_worker_start(&w.worker, "worker", THREAD_ANY_CPU, &err), 0);
	for (unsigned i = 1; i <= 20000; i++) {
		uint64_t end = clock_ns() + PATIENCE_NS;

		w.asked = i;
		nic_worker_kick(&w.worker);
		while (w.seen != i)
			if (clock_ns() > end)
				fail_msg("kick %u was lost", i);
	}
	/* An alarm is a step by then, however the worker is when it is set. */
	for (unsigned i = 20001; i <= 20200; i++) {
		uint64_t end = clock_ns() + PATIENCE_NS;

		if (i % 3)
			usleep(100);
		w.asked = i;
		nic_worker_alarm(&w.worker, clock_ns() + 50 * NSEC_PER_USEC);
		while (w.seen != i)
			if (clock_ns() > end)
				fail_msg("alarm %u was lost", i);
	}
	/* With nothing to do it stands still, as soon as it is through with the last step. */
	for (unsigned i = 0; i < PATIENCE_S * 50; i++) {
		steps = w.worker.steps;
		usleep(20000);
		if (w.worker.steps == steps)
			break;
	}
	assert_int_equal(w.worker.steps, steps);
	assert_false(nic_worker_self(&w.worker));
	/* Paused it does nothing; what it was told meanwhile it does afterwards. */
	nic_worker_pause(&w.worker, true);
	steps = w.worker.steps;
	w.asked++;
	nic_worker_kick(&w.worker);
	usleep(20000);
	assert_int_equal(w.worker.steps, steps);
	nic_worker_pause(&w.worker, false);
	for (int i = 0; i < PATIENCE_MS && w.seen != w.asked; i++)
		usleep(1000);
	assert_int_equal(w.seen, w.asked);
	nic_worker_pause(&w.worker, true);
	nic_worker_stop(&w.worker);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_eeprom), cmocka_unit_test(test_eeprom_checksum),
		cmocka_unit_test(test_mii),    cmocka_unit_test(test_hashes),
		cmocka_unit_test(test_irq),    cmocka_unit_test(test_post_without_host),
		cmocka_unit_test(test_worker),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
