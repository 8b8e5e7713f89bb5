/* SPDX-License-Identifier: Apache-2.0 */
/* Which queue is moved to which worker; and that a moved queue is served where it went. */
#include "switch_bed.h"

#include "switch/balance.h"
#include "switch/counters.h"

static int pick(const unsigned *workers, const unsigned *cycles, unsigned n, unsigned nworkers,
		uint64_t threshold, unsigned *to)
{
	struct sw_load loads[8];

	for (unsigned i = 0; i < n; i++)
		loads[i] = (struct sw_load){workers[i], cycles[i]};
	return sw_balance_pick(loads, n, nworkers, threshold, to);
}

static void test_pick(void **state)
{
	const unsigned on0[] = {0, 0, 0, 0}, mixed[] = {0, 1, 0, 2};
	unsigned to = 99;

	/* The one that brings the two closest. */
	assert_int_equal(pick(on0, (unsigned[]){50, 30, 10, 10}, 4, 2, 25, &to), 0);
	assert_int_equal(to, 1);
	/* No further apart than is allowed. */
	assert_int_equal(pick(on0, (unsigned[]){10, 10, 4, 1}, 4, 2, 25, &to), -1);
	/* One elephant: it would only take its load along. */
	assert_int_equal(pick(on0, (unsigned[]){90, 0, 0, 0}, 4, 2, 25, &to), -1);
	/* A mouse beside it is moved away from it, if that is worth it. */
	assert_int_equal(pick(on0, (unsigned[]){80, 20, 0, 0}, 4, 2, 25, &to), 1);
	assert_int_equal(pick(on0, (unsigned[]){90, 5, 0, 0}, 4, 2, 25, &to), -1);
	/* From the busiest to the idlest of several. */
	assert_int_equal(pick(mixed, (unsigned[]){40, 30, 40, 10}, 4, 3, 25, &to), 0);
	assert_int_equal(to, 2);
	assert_int_equal(pick(NULL, NULL, 0, 4, 0, &to), -1);
}

/* Moves until nothing is to be gained do not go back and forth. */
static void test_settles(void **state)
{
	unsigned workers[8] = {0}, cycles[8], to, moves = 0;
	uint64_t seed = 1;
	int which;

	for (unsigned round = 0; round < 500; round++) {
		for (unsigned i = 0; i < 8; i++) {
			seed = seed * 6364136223846793005ULL + 1442695040888963407ULL;
			cycles[i] = (unsigned)(seed >> 57);
		}
		for (moves = 0; (which = pick(workers, cycles, 8, 3, 5, &to)) >= 0; moves++) {
			assert_true(moves < 30);
			workers[which] = to;
		}
	}
}

static unsigned worker_of(const struct bed_port *bed)
{
	return bed->port->in[0]->worker;
}

static void exchange(struct sw *sw, struct bed_port *from, struct bed_port *to, unsigned dst,
		     unsigned src)
{
	uint8_t frame[100], got[2048];

	bed_frame(frame, sizeof(frame), dst, src, 1);
	assert_int_equal(bed_send(from, 0, frame, sizeof(frame), NULL), 0);
	sw_step(sw);
	assert_int_equal(bed_recv(to, 0, got, NULL), sizeof(frame));
	assert_memory_equal(got, frame, sizeof(frame));
}

static void test_moved(void **state)
{
	const struct bed_setup setup = {.kicks = true};
	struct sw *sw = bed_switch(2, false);
	struct bed_port *ports[4];
	struct sw_worker_stats stats;

	for (unsigned i = 0; i < 4; i++) {
		char id[8] = {'i', 'd', '=', (char)('a' + i), '\0'};

		ports[i] = bed_add(sw, id, &setup);
	}
	assert_int_equal(worker_of(ports[0]), worker_of(ports[2]));
	exchange(sw, ports[0], ports[2], 0xffff, 1);
	exchange(sw, ports[2], ports[0], 1, 3);
	assert_false(sw_balance(sw, 1000000000000)); /* what starting cost */
	/* As if these two had kept their worker busy. */
	ports[0]->port->in[0]->busy_cycles += 400000;
	ports[2]->port->in[0]->busy_cycles += 400000;
	assert_true(sw_balance(sw, 1000000));
	assert_int_not_equal(worker_of(ports[0]), worker_of(ports[2]));
	sw_worker_read(sw_worker_at(sw, 1 - worker_of(ports[2])), &stats);
	assert_int_equal(stats.moved, 1);
	/* The look after a move is not judged, and then all is well. */
	ports[1]->port->in[0]->busy_cycles += 900000;
	assert_false(sw_balance(sw, 1000000));
	for (unsigned i = 0; i < 2; i++)
		ports[2 * i]->port->in[0]->busy_cycles += 400000;
	assert_false(sw_balance(sw, 1000000));
	sw_worker_read(sw_worker_at(sw, 0), &stats);
	assert_int_equal(stats.load_percent, 40);
	exchange(sw, ports[0], ports[2], 3, 1);
	exchange(sw, ports[2], ports[0], 1, 3);
	for (unsigned i = 1; i < 4; i += 2) {
		uint8_t got[2048];

		while (bed_recv(ports[i], 0, got, NULL))
			;
	}
	bed_check_balance(sw);
	for (unsigned i = 0; i < 4; i++)
		bed_remove(ports[i]);
	sw_destroy(sw);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_pick),
		cmocka_unit_test(test_settles),
		cmocka_unit_test(test_moved),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
