/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Workers in threads, drivers in others: several workers that write one port, ports that come and
 * go, queues that stop, under load. Run under ThreadSanitizer too.
 */
#include "switch_bed.h"

#include "switch/counters.h"

#include <pthread.h>
#include <stdio.h>
#include <unistd.h>

#define FRAMES 30000U

struct sender {
	struct bed_port *bed;
	unsigned mac, to;
	unsigned npairs;
	_Atomic bool stop;
	uint64_t sent;
	_Atomic uint64_t received;
	bool wrong;
};

/* Takes what has come; each sender's frames in a queue must be in order. */
static void drain(struct sender *s, uint32_t *last)
{
	static _Thread_local uint8_t got[2048];

	for (unsigned p = 0; p < s->npairs; p++) {
		for (unsigned len; (len = bed_recv(s->bed, p, got, NULL));) {
			unsigned from = got[11], seq = load_le32(got + 20), pair = got[24];
			uint32_t *l = &last[from * BED_PAIRS + pair];

			if (got[0] == 0xff || got[5] != s->mac)
				continue; /* flooded */
			s->wrong |= len != 100 || seq <= *l;
			*l = seq;
			s->received++;
		}
	}
}

static void *drive(void *arg)
{
	struct sender *s = arg;
	uint32_t last[16 * BED_PAIRS] = {0};
	uint32_t seq = 0;
	uint8_t frame[100];

	while (!s->stop) {
		for (unsigned p = 0; p < s->npairs; p++) {
			for (unsigned i = 0; i < 16; i++) {
				bed_frame(frame, 100, seq % 64 == 63 ? 0xffff : s->to, s->mac, 0);
				store_le32(frame + 20, ++seq);
				frame[24] = (uint8_t)p;
				if (bed_add_frame(s->bed, p, frame, 100, NULL))
					break;
				s->sent++;
			}
			bed_publish(s->bed, p);
		}
		drain(s, last);
	}
	usleep(100000); /* for what is on its way */
	drain(s, last);
	return NULL;
}

static void start(struct sender *s, pthread_t *thread, struct bed_port *bed, unsigned mac,
		  unsigned to, unsigned npairs)
{
	*s = (struct sender){.bed = bed, .mac = mac, .to = to, .npairs = npairs};
	assert_int_equal(pthread_create(thread, NULL, drive, s), 0);
}

static void finish(struct sender *s, pthread_t thread)
{
	s->stop = true;
	pthread_join(thread, NULL);
	assert_false(s->wrong);
}

/* Something came to it: threads that are not let run send nothing. */
static void await_frames(struct sender *s)
{
	for (unsigned i = 0; i < PATIENCE_MS && !s->received; i++)
		usleep(1000);
	assert_true(s->received > 0);
}

/* Three ports, of which two send to the third: with two workers its queue has two writers. */
static void run(unsigned workers, unsigned pairs)
{
	const struct bed_setup setup = {.pairs = pairs, .packed = pairs > 1};
	struct sw *sw = bed_switch(workers, true);
	struct sender s[3];
	pthread_t threads[3];
	struct bed_port *beds[3];
	uint64_t received = 0;

	for (unsigned i = 0; i < 3; i++) {
		char options[16];

		snprintf(options, sizeof(options), "id=p%u", i);
		beds[i] = bed_add(sw, options, &setup);
	}
	for (unsigned i = 0; i < 3; i++)
		start(&s[i], &threads[i], beds[i], i + 1, i == 2 ? 1 : 3, pairs);
	for (unsigned i = 0; i < 100 && received < FRAMES; i++) {
		usleep(20000);
		received = 0;
		for (unsigned k = 0; k < 3; k++) {
			struct sw_in_counters in;
			struct sw_out_counters out;

			sw_port_totals(beds[k]->port, &in, &out);
			received += out.frames;
		}
	}
	await_frames(&s[2]);
	for (unsigned i = 0; i < 3; i++)
		finish(&s[i], threads[i]);
	bed_check_balance(sw);
	sw_destroy(sw);
	for (unsigned i = 0; i < 3; i++)
		bed_free(beds[i]);
}

static void test_one_worker(void **state)
{
	run(1, 1);
}

static void test_shared_queue(void **state)
{
	run(2, 1);
}

static void test_own_queues(void **state)
{
	run(2, 2);
}

/* Queues stop and start, ports come and go, and settings change while others send to them. */
static void test_changes(void **state)
{
	struct sw *sw = bed_switch(2, true);
	struct bed_port *a = bed_add(sw, "id=a", NULL), *b = bed_add(sw, "id=b", NULL);
	struct sw_port_config config = *b->port->config;
	struct sender sa, sb;
	pthread_t ta, tb;

	start(&sa, &ta, a, 1, 2, 1);
	start(&sb, &tb, b, 2, 1, 1);
	for (unsigned i = 0; i < 60; i++) {
		struct sw_ring in = b->port->in[0]->ring, out = b->port->out[0]->ring;
		struct bed_port *c = bed_add(sw, "id=c", NULL);
		struct vring_state vs;

		usleep(1000);
		sw_out_stop(b->port, 0);
		vq_stop(b->pairs[0].out, &vs);
		assert_int_equal(vs.avail_idx, vs.used_idx);
		sw_in_stop(b->port, 0);
		assert_int_equal(vq_set_memory(b->pairs[0].in, b->table), 0);
		assert_int_equal(
			vq_start(b->pairs[0].out, &b->pairs[0].out_cfg, &vs, b->table, NULL), 0);
		assert_int_equal(sw_out_start(b->port, 0, &out), 0);
		assert_int_equal(sw_in_start(b->port, 0, &in), 0);
		config.isolated = i % 2;
		assert_int_equal(sw_configure_port(b->port, &config, NULL), 0);
		usleep(1000);
		bed_remove(c);
	}
	await_frames(&sa);
	await_frames(&sb);
	finish(&sa, ta);
	finish(&sb, tb);
	sw_destroy(sw);
	bed_free(a);
	bed_free(b);
}

/* With nothing to do it sleeps; one kick wakes it. */
static void test_sleep(void **state)
{
	struct bed_setup setup = {.kicks = true};
	struct sw *sw = bed_switch(1, true);
	struct bed_port *a = bed_add(sw, "id=a", &setup), *b = bed_add(sw, "id=b", &setup);
	struct sw_worker_stats before, after;
	uint8_t frame[64], got[2048];

	for (unsigned round = 0; round < 5; round++) {
		bed_check_asleep(sw);
		sw_worker_read(sw_worker_at(sw, 0), &before);
		bed_frame(frame, 64, 2, 1, 0);
		bed_send(a, 0, frame, 64, NULL);
		for (unsigned i = 0; i < PATIENCE_MS && !bed_recv(b, 0, got, NULL); i++)
			usleep(1000);
		sw_worker_read(sw_worker_at(sw, 0), &after);
		assert_true(after.sleeps > before.sleeps || after.steps > before.steps);
	}
	bed_check_balance(sw);
	assert_int_equal(b->port->out[0]->c.frames, 5);
	sw_destroy(sw);
	bed_free(a);
	bed_free(b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_one_worker), cmocka_unit_test(test_shared_queue),
		cmocka_unit_test(test_own_queues), cmocka_unit_test(test_changes),
		cmocka_unit_test(test_sleep),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
