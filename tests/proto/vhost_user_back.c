/* SPDX-License-Identifier: Apache-2.0 */
#include "back_killed.h"
#include "back_session.h"

#include "mem/dirty_log.h"

#include <sys/prctl.h>

/*
 * The vhost-user back-end with our own front-end, the VMM's vhost-user plane, at the other end of
 * the socket, and a worker that moves frames: connections either way round, both kinds of ring,
 * stops and starts, changes of memory, logging, and back-ends that come and go under traffic.
 */
static void traffic(unsigned pairs, bool packed, bool server)
{
	struct session s;
	struct error err;

	session_open(&s, pairs, packed, server);
	for (unsigned i = 0; i < 20; i++) {
		pb_stop(&s.pb);
		assert_int_equal(pb_start(&s.pb, s.pb.plane, &err), 0);
		flow_until(&s.pb, &s.f, 200);
	}
	assert_int_equal(s.f.lost, 0);
	assert_int_equal(s.echo.connections, 1);
	session_close(&s);
	assert_int_equal(s.echo.starts, s.echo.stops);
}

static void test_split(void **state)
{
	traffic(1, false, true);
}

static void test_packed(void **state)
{
	traffic(1, true, true);
}

static void test_client(void **state)
{
	traffic(1, false, false);
}

static void test_pairs(void **state)
{
	traffic(4, false, true);
	traffic(4, true, true);
}

/* The back-end goes and another comes, under traffic. In order, and nothing twice. */
static void comes_and_goes(bool packed, bool server)
{
	struct session s;

	session_open(&s, 2, packed, server);
	for (unsigned i = rounds(10, 4); i; i--) {
		echo_down(&s.echo);
		flow_run(&s.pb, &s.f, i % 3 * 30);
		echo_up(&s.echo);
		flow_until(&s.pb, &s.f, 200);
	}
	assert_int_equal(s.f.lost, 0); /* it stops in order: what it took it has delivered */
	session_close(&s);
}

static void test_comes_and_goes(void **state)
{
	comes_and_goes(false, true);
	comes_and_goes(true, true);
	comes_and_goes(false, false);
	comes_and_goes(true, false);
}

/* The back-end, in a process of its own. */
static pid_t spawn_echo(const char *path)
{
	pid_t pid = fork();

	if (pid)
		return pid;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	static struct echo e;

	echo_init(&e, path, true);
	e.dawdle_us = 20;
	echo_up(&e);
	for (;;)
		pause();
}

static void test_killed(void **state)
{
	back_killed(spawn_echo, false);
	back_killed(spawn_echo, true);
}

static void test_memory(void **state)
{
	const struct mem_ram_options *none = NULL;
	struct session s;
	struct error err;

	session_open(&s, 2, false, true);
	for (unsigned i = 0; i < 20; i++) {
		assert_int_equal(guest_mem_add_ram(s.pb.gm, "more", GIB, 4 * MIB, none, &err), 0);
		flow_until(&s.pb, &s.f, 50);
		assert_int_equal(guest_mem_remove_ram(s.pb.gm, GIB, &err), 0);
		flow_until(&s.pb, &s.f, 50);
	}
	assert_int_equal(s.f.lost, 0);
	assert_int_equal(s.echo.connections, 1);
	session_close(&s);
}

static bool is_marked(const uint64_t *bits, uint64_t gpa)
{
	uint64_t page = gpa >> DIRTY_PAGE_SHIFT;

	return bits[page / 64] >> page % 64 & 1;
}

/* What the back-end writes is marked: the used rings and the receive buffers, nothing of tx. */
static void logging(bool packed)
{
	struct dirty_log *log;
	struct session s;
	struct error err;
	uint64_t *bits;

	session_open(&s, 1, packed, true);
	log = dirty_log_create(PB_RAM, &err);
	bits = calloc(dirty_log_words(log), sizeof(*bits));
	for (unsigned i = 0; i < 3; i++) {
		assert_int_equal(guest_mem_set_dirty_log(s.pb.gm, log, &err), 0);
		flow_until(&s.pb, &s.f, 1000); /* more than there are buffers: all were written */
		assert_int_equal(guest_mem_set_dirty_log(s.pb.gm, NULL, &err), 0);
		assert_true(dirty_log_collect(log, bits) > 0);
		for (unsigned q = 0; q < 2; q++) {
			const struct vring_config *c = &s.pb.queues[q].cfg;

			assert_true(is_marked(bits, packed ? c->desc : c->device));
		}
		for (unsigned b = 0; b < 256; b++) {
			assert_true(is_marked(bits, s.pb.q[0].bufs + b * PB_BUF));
			assert_false(is_marked(bits, s.pb.q[1].bufs + b * PB_BUF));
		}
		flow_until(&s.pb, &s.f, 100);
		assert_int_equal(dirty_log_collect(log, bits), 0);
	}
	session_close(&s);
	dirty_log_free(log);
	free(bits);
}

static void test_logging(void **state)
{
	logging(false);
	logging(true);
}

static void break_queue(struct session *s)
{
	struct vring_config *c = &s->pb.queues[1].cfg;
	uint8_t *avail = pb_host(&s->pb, c->driver, 4);

	store_le16(avail + 2, (uint16_t)(load_le16(avail + 2) + 1000));
	eventfd_write(s->pb.queues[1].kick_fd, 1);
}

/* A broken queue says so, and its neighbours go on. */
static void test_broken(void **state)
{
	struct session s;

	session_open(&s, 2, false, true);
	break_queue(&s);
	for (unsigned i = 0; i < PATIENCE_MS && !s.pb.broken; i++)
		pb_run(&s.pb, 1);
	assert_int_equal(s.pb.broken, 1 << 1);
	assert_int_equal(s.pb.fault, VRING_BAD_INDEX);
	s.f.next[0] = s.f.sent[0] - 64; /* pair 0 is out of the game */
	for (uint64_t i = 0, seq = 0; i < 200; i++) {
		uint64_t end = clock_ns() + PATIENCE_NS;

		assert_true(pb_send(&s.pb, 1, 1000000 + i));
		do {
			pb_run(&s.pb, 1);
			while (pb_recv(&s.pb, 1, &seq) && seq != 1000000 + i)
				;
		} while (seq != 1000000 + i && clock_ns() < end);
		assert_int_equal(seq, 1000000 + i);
	}
	session_close(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_split),	       cmocka_unit_test(test_packed),
		cmocka_unit_test(test_client),	       cmocka_unit_test(test_pairs),
		cmocka_unit_test(test_comes_and_goes), cmocka_unit_test(test_memory),
		cmocka_unit_test(test_killed),	       cmocka_unit_test(test_logging),
		cmocka_unit_test(test_broken),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
