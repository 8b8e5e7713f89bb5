/* SPDX-License-Identifier: Apache-2.0 */
#include "back_heir.h"
#include "back_killed.h"
#include "back_session.h"

#include "mem/dirty_log.h"

#include <sys/prctl.h>

/*
 * Back-ends that take over from one another under traffic, with what a front-end can have given the
 * first one: memory that changes, a dirty log, an inflight region. Every frame is numbered; none is
 * lost, none comes twice. (IOTLB: vhost_user_back_iotlb.c.)
 */
static void traffic(unsigned pairs, bool packed, bool server)
{
	struct session s;

	session_open(&s, pairs, packed, server);
	for (unsigned i = rounds(30, 10); i; i--) {
		echo_hand_over(&s.echo);
		flow_until(&s.pb, &s.f, 300);
	}
	assert_int_equal(s.f.lost, 0);
	session_close(&s);
	assert_int_equal(s.echo.starts, s.echo.stops);
}

static void test_traffic(void **state)
{
	traffic(1, false, true);
	traffic(1, true, true);
	traffic(4, true, false);
}

/* Memory comes and goes at the heir as it did before. */
static void test_memory(void **state)
{
	const struct mem_ram_options *none = NULL;
	struct session s;
	struct error err;

	session_open(&s, 2, false, true);
	for (unsigned i = rounds(10, 4); i; i--) {
		assert_int_equal(guest_mem_add_ram(s.pb.gm, "more", GIB, 4 * MIB, none, &err), 0);
		echo_hand_over(&s.echo);
		flow_until(&s.pb, &s.f, 50);
		assert_int_equal(guest_mem_remove_ram(s.pb.gm, GIB, &err), 0);
		echo_hand_over(&s.echo);
		flow_until(&s.pb, &s.f, 50);
	}
	assert_int_equal(s.f.lost, 0);
	session_close(&s);
}

static bool is_marked(const uint64_t *bits, uint64_t gpa)
{
	uint64_t page = gpa >> DIRTY_PAGE_SHIFT;

	return bits[page / 64] >> page % 64 & 1;
}

/* What was collected, and nothing else: used rings and receive buffers. */
static void check_marks(struct session *s, bool packed, const uint64_t *bits)
{
	for (unsigned q = 0; q < 2; q++) {
		const struct vring_config *c = &s->pb.queues[q].cfg;

		assert_true(is_marked(bits, packed ? c->desc : c->device));
	}
	for (unsigned b = 0; b < 256; b++) {
		assert_true(is_marked(bits, s->pb.q[0].bufs + b * PB_BUF));
		assert_false(is_marked(bits, s->pb.q[1].bufs + b * PB_BUF));
	}
}

/* The log is on when the heir comes: it goes on marking, in the same memory. */
static void logging(bool packed)
{
	struct dirty_log *log;
	struct session s;
	struct error err;
	uint64_t *bits;

	session_open(&s, 1, packed, true);
	log = dirty_log_create(PB_RAM, &err);
	bits = calloc(dirty_log_words(log), sizeof(*bits));
	assert_non_null(bits);
	assert_int_equal(guest_mem_set_dirty_log(s.pb.gm, log, &err), 0);
	for (unsigned i = 0; i < 3; i++) {
		flow_until(&s.pb, &s.f, 100);
		echo_hand_over(&s.echo);
		dirty_log_collect(log, bits); /* what is found below, the heir has marked */
		flow_until(&s.pb, &s.f, 1000);
		assert_true(dirty_log_collect(log, bits) > 0);
		check_marks(&s, packed, bits);
	}
	assert_int_equal(guest_mem_set_dirty_log(s.pb.gm, NULL, &err), 0);
	dirty_log_collect(log, bits);
	flow_until(&s.pb, &s.f, 100);
	assert_int_equal(dirty_log_collect(log, bits), 0);
	assert_int_equal(s.f.lost, 0);
	session_close(&s);
	dirty_log_free(log);
	free(bits);
}

static void test_logging(void **state)
{
	logging(false);
	logging(true);
}

/* A process in which one back-end takes over from another, again and again. */
static pid_t spawn_heirs(const char *path)
{
	pid_t pid = fork();

	if (pid)
		return pid;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	static struct echo e;

	echo_init(&e, path, true);
	e.dawdle_us = 20;
	echo_up(&e);
	for (;;) {
		usleep(3000);
		if (atomic_load(&e.connected))
			echo_hand_over(&e);
	}
}

/*
 * Also killed in the middle of a takeover: the inflight region that heir handed to heir tells the next
 * process what was in hand.
 */
static void test_killed(void **state)
{
	back_killed(spawn_heirs, false);
	back_killed(spawn_heirs, true);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_traffic),
		cmocka_unit_test(test_memory),
		cmocka_unit_test(test_logging),
		cmocka_unit_test(test_killed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
