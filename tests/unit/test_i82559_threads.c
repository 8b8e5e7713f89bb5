/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The 82559 with its worker as a thread and a driver in another: over a wire that gives back what it
 * is sent nobody may wait for ever, and over one that always has frames a chip that was stopped
 * touches memory no more.
 */
#include "chip_threads.h"
#include "i82559_bed.h"

#define TX    (OP_TX | CB_SF)
#define CAUSE (ACK_CX | ACK_FR | ACK_CNA | ACK_RNR)

static struct bed *start(bool post)
{
	struct bed *b = calloc(1, sizeof(*b));

	i559_bed_make(b, post, true);
	b->wire->queues[0].loop = true;
	return b;
}

/* Words that both sides change: status and command; a descriptor's count and size. */
static uint32_t *word(uint8_t *p, unsigned at)
{
	return (uint32_t *)(void *)(p + at);
}

static uint32_t load(uint8_t *p, unsigned at)
{
	return __atomic_load_n(word(p, at), __ATOMIC_ACQUIRE);
}

static void wait_status(uint8_t *p, uint32_t bit)
{
	uint64_t end = clock_ns() + PATIENCE_NS;

	while (!(load(p, 0) & bit))
		if (clock_ns() > end)
			fail_msg("a block is not done");
}

static void rfds_up(struct bed *b)
{
	for (unsigned i = 0; i < RFDS; i++)
		put_rfd(b, i, i == RFDS - 2 ? RFD_EL : 0, i == RFDS - 2 ? 0 : RFD_ROOM);
	wr32(b, CSR_POINTER, (uint32_t)rfd_at(0));
	wr8(b, CSR_CMD, RU_START);
	b->rx_head = 0;
}

static void chip_up(struct bed *b)
{
	wr32(b, CSR_PORT, PORT_RESET);
	for (unsigned i = 0; i < CBS; i++)
		put_cb(b, i, OP_NOP | CB_S);
	wr32(b, CSR_POINTER, (uint32_t)cb_at(0));
	wr8(b, CSR_CMD, CU_START << 4);
	wait_status(cb(b, 0), CB_C);
	b->tx_tail = 1;
	rfds_up(b);
}

/* A block behind the last one, S cleared in that, and on. False: the circle is full. */
static bool send_block(struct bed *b, const uint8_t *f, uint32_t len)
{
	unsigned i = b->tx_tail;

	if (!(load(cb(b, i), 0) & CB_C) && i >= CBS)
		return false;
	put_tx(b, i, f, len);
	__atomic_store_n(word(cb(b, i), 0), (uint32_t)(TX | CB_S | CB_I) << 16, __ATOMIC_RELEASE);
	__atomic_fetch_and(word(cb(b, i + CBS - 1), 0), ~((uint32_t)CB_S << 16), __ATOMIC_RELEASE);
	wr8(b, CSR_CMD, CU_RESUME << 4);
	b->tx_tail++;
	return true;
}

/* Moves the mark to the descriptor before the one that was read last, as e100 does. */
static void move_mark(struct bed *b, unsigned read)
{
	unsigned mark = read + RFDS - 1, old = mark + RFDS - 1;

	__atomic_store_n(word(rfd(b, mark), 12), 0, __ATOMIC_RELAXED);
	__atomic_store_n(word(rfd(b, mark), 0), (uint32_t)RFD_EL << 16, __ATOMIC_RELEASE);
	__atomic_store_n(word(rfd(b, old), 0), 0, __ATOMIC_RELEASE);
	__atomic_store_n(word(rfd(b, old), 12), (uint32_t)RFD_ROOM << 16, __ATOMIC_RELEASE);
}

static unsigned receive(struct bed *b, unsigned got)
{
	while (load(rfd(b, b->rx_head), 0) & RFD_C) {
		uint8_t *p = rfd(b, b->rx_head);

		assert_int_equal(load_be16(p + RFD_BYTES + 20), (uint16_t)got);
		__atomic_store_n(word(p, 12), (uint32_t)RFD_ROOM << 16, __ATOMIC_RELAXED);
		__atomic_store_n(word(p, 0), 0, __ATOMIC_RELEASE);
		move_mark(b, b->rx_head);
		b->rx_head++;
		got++;
	}
	return got;
}

static void exchange(struct bed *b, unsigned count, unsigned at_once)
{
	unsigned sent = 0, got = 0;
	uint8_t f[60], causes;

	make_frame(f, sizeof(f), bed_mac);
	wr8(b, CSR_MASK, 0);
	while (got < count) {
		while (sent < count && sent - got < at_once) {
			store_be16(f + 20, (uint16_t)sent);
			if (!send_block(b, f, sizeof(f)))
				break;
			sent++;
		}
		if (!wait_line(b))
			fail_msg("no interrupt after %u of %u frames", got, count);
		causes = (uint8_t)rd8(b, CSR_STAT_ACK);
		wr8(b, CSR_STAT_ACK, causes);
		wr8(b, CSR_MASK, MASK_ALL);
		got = receive(b, got);
		if (causes & ACK_RNR) {
			wr32(b, CSR_POINTER, (uint32_t)rfd_at(b->rx_head));
			wr8(b, CSR_CMD, RU_START);
		}
		wr8(b, CSR_MASK, 0);
	}
}

static void run(bool post, unsigned count, unsigned at_once)
{
	struct bed *b = start(post);

	chip_up(b);
	exchange(b, count, at_once);
	b->wire->queues[0].loop = false;
	wr32(b, CSR_PORT, PORT_RESET);
	bed_fini(b);
	free(b);
}

static void test_one_by_one(void **state)
{
	run(false, 2000, 1);
}

static void test_many(void **state)
{
	run(false, 10000, 12);
}

static void test_posted(void **state)
{
	run(true, 10000, 12);
}

/* Each way in which a driver stops the chip before it gives back its memory. */
enum { STOP_RU = 4, STOPS };

static void stop(struct bed *b, unsigned how)
{
	switch (how % STOPS) {
	case 0:
		wr32(b, CSR_PORT, PORT_RESET);
		break;
	case 1:
		wr32(b, CSR_PORT, PORT_SELECTIVE_RESET);
		break;
	case 2:
		bed_bus_master(b, false);
		break;
	case 3: /* the machine is reset, and finds the chip where it was */
		pci_bus_reset(b->host.pci);
		bed_bus_master(b, false);
		break;
	case STOP_RU: /* of the receive unit alone */
		wr8(b, CSR_CMD, RU_ABORT);
		break;
	}
}

static void stops(bool post)
{
	struct bed *b = start(post);
	struct flood flood;
	uint8_t f[60];

	make_frame(f, sizeof(f), bed_mac);
	wr32(b, CSR_PORT, PORT_RESET); /* each round sets it up, which it must not be yet */
	flood_start(&flood, b);
	for (unsigned i = 0; flood_lasts(&flood, i, 150); i++) {
		bed_bus_master(b, true);
		chip_up(b);
		for (unsigned k = 0; k < 8; k++) {
			(void)send_block(b, f, sizeof(f));
			usleep(i % 8 * 5);
		}
		stop(b, i);
		if (i % STOPS != STOP_RU)
			expect_untouched(b, CBL, 0x1000 * CBS);
		expect_untouched(b, RFA, RFD_DIST * RFDS);
		wr32(b, CSR_PORT, PORT_RESET);
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
		cmocka_unit_test(test_one_by_one),   cmocka_unit_test(test_many),
		cmocka_unit_test(test_posted),	     cmocka_unit_test(test_stops),
		cmocka_unit_test(test_stops_posted),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
