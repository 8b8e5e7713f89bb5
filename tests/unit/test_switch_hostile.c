/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One port misbehaves in every way that a guest can, while two neighbours exchange frames as fast as
 * they can: they lose none, get none out of order, and get what was sent.
 */
#include "switch_bed.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define WINDOW 64U
#define ROUNDS 15U /* of every kind of misbehaviour */

struct neighbour {
	struct bed_port *bed;
	struct neighbour *peer;
	unsigned mac;
	_Atomic uint32_t sent, got;
	_Atomic bool stop;
	const char *wrong;
};

static void take_frames(struct neighbour *n)
{
	static _Thread_local uint8_t frame[2048], want[100];

	for (unsigned len; (len = bed_recv(n->bed, 0, frame, NULL));) {
		if (frame[11] != n->peer->mac)
			continue; /* the other one's */
		bed_frame(want, 100, n->mac, n->peer->mac, 9);
		store_le32(want + 20, n->got);
		if (len != 100 || memcmp(frame, want, 100) != 0)
			n->wrong = load_le32(frame + 20) != n->got ? "lost" : "changed";
		n->got++;
	}
}

static void *exchange(void *arg)
{
	struct neighbour *n = arg;
	uint8_t frame[100];

	while (!n->stop) {
		while (n->sent - n->peer->got < WINDOW) {
			bed_frame(frame, 100, n->peer->mac, n->mac, 9);
			store_le32(frame + 20, n->sent);
			if (bed_add_frame(n->bed, 0, frame, 100, NULL))
				break;
			n->sent++;
		}
		bed_publish(n->bed, 0);
		take_frames(n);
	}
	return NULL;
}

/* What the port does next; each leaves its rings in whatever state. */
static void random_bytes(struct bed_port *m)
{
	for (unsigned i = 0; i < 20000; i++)
		WRITE_ONCE(m->mem[(unsigned)rand() % 32768], (uint8_t)rand());
}

static void bad_indices(struct bed_port *m)
{
	const struct vring_config *cfg = &m->pairs[0].in_cfg;
	uint16_t *avail = (uint16_t *)(void *)(m->mem + (cfg->driver - BED_GPA));

	for (unsigned i = 0; i < 20000; i++) {
		WRITE_ONCE(avail[1], (uint16_t)rand());
		WRITE_ONCE(avail[2 + (unsigned)rand() % cfg->size], (uint16_t)rand());
	}
}

static void bad_descriptors(struct bed_port *m)
{
	struct vring_config *cfg = rand() & 1 ? &m->pairs[0].in_cfg : &m->pairs[0].out_cfg;
	uint64_t *desc = (uint64_t *)(void *)(m->mem + (cfg->desc - BED_GPA));

	for (unsigned i = 0; i < 20000; i++) {
		unsigned at = (unsigned)rand() % (2 * cfg->size);
		uint64_t value = (uint64_t)rand() << (unsigned)rand() % 48;

		WRITE_ONCE(desc[at], rand() & 1 ? value : BED_GPA + value % BED_BYTES);
	}
}

static void frames(struct bed_port *m)
{
	uint8_t frame[1500];

	for (unsigned i = 0; i < 500; i++) {
		unsigned len = 1 + (unsigned)rand() % 1500;

		bed_frame(frame, MAX(len, 20u), rand() & 1 ? 0xffff : 1 + rand() % 3,
			  1 + rand() % 4, i);
		if (bed_add_frame(m, 0, frame, len, NULL))
			break;
		bed_publish(m, 0);
	}
}

/* Changes a frame while the switch may be reading it. */
static void change_underneath(struct bed_port *m)
{
	uint8_t frame[200];

	for (unsigned i = 0; i < 300; i++) {
		bed_frame(frame, 200, 1, 3, i);
		if (bed_add_frame(m, 0, frame, 200, NULL))
			break;
		bed_publish(m, 0);
		for (unsigned k = 0; k < 200; k++)
			WRITE_ONCE(*bed_tx_frame(m, 0, (unsigned)rand() % BED_TX_BUFS), 0xff);
	}
}

/* Takes its queues away, and comes back with fresh ones. */
static void restart(struct bed_port *m)
{
	struct sw_ring in = m->pairs[0].ring_in, out = m->pairs[0].ring_out;
	struct vring_state state = VRING_STATE_INIT;
	struct bed_pair *p = &m->pairs[0];

	sw_in_stop(m->port, 0);
	usleep(rand() % 500);
	sw_out_stop(m->port, 0);
	vq_stop(p->in, NULL);
	vq_stop(p->out, NULL);
	memset(m->mem, 0, p->tx_base - BED_GPA);
	assert_int_equal(vdrv_start(p->tx, &p->in_cfg, m->table, NULL), 0);
	assert_int_equal(vdrv_start(p->rx, &p->out_cfg, m->table, NULL), 0);
	p->ntx_free = 0;
	for (unsigned i = 0; i < BED_TX_BUFS; i++)
		p->tx_free[p->ntx_free++] = i;
	assert_int_equal(vq_start(p->in, &p->in_cfg, &state, m->table, NULL), 0);
	assert_int_equal(vq_start(p->out, &p->out_cfg, &state, m->table, NULL), 0);
	if (rand() & 1)
		bed_post(m, 0, 0, 1 + (unsigned)rand() % BED_RX_BUFS);
	assert_int_equal(sw_out_start(m->port, 0, &out), 0);
	assert_int_equal(sw_in_start(m->port, 0, &in), 0);
}

static void run(unsigned workers, bool packed)
{
	static void (*const tricks[])(struct bed_port *) = {
		random_bytes, bad_indices, bad_descriptors, frames, change_underneath,
	};
	const struct bed_setup setup = {.packed = packed};
	struct sw *sw = bed_switch(workers, true);
	struct neighbour a = {.bed = bed_add(sw, "id=a", &setup), .mac = 1};
	struct neighbour b = {.bed = bed_add(sw, "id=b", &setup), .mac = 2, .peer = &a};
	/* Its own fair share, as an administrator would give it. */
	struct bed_port *m =
		bed_add(sw, "id=m,allowed-mac=02:00:00:00:00:03,storm=2000,rate=20M", &setup);
	pthread_t ta, tb;
	uint32_t before;

	a.peer = &b;
	assert_int_equal(pthread_create(&ta, NULL, exchange, &a), 0);
	assert_int_equal(pthread_create(&tb, NULL, exchange, &b), 0);
	usleep(50000);
	before = a.got;
	for (unsigned i = 0; i < ROUNDS * ARRAY_SIZE(tricks); i++) {
		tricks[i % ARRAY_SIZE(tricks)](m);
		usleep(500);
		restart(m);
	}
	for (unsigned i = 0; i < PATIENCE_MS && a.got == before; i++)
		usleep(1000);
	a.stop = b.stop = true;
	pthread_join(ta, NULL);
	pthread_join(tb, NULL);
	for (unsigned i = 0; i < PATIENCE_MS && (a.got != b.sent || b.got != a.sent); i++) {
		usleep(1000);
		take_frames(&a);
		take_frames(&b);
	}
	usleep(20000); /* the worker, too, knows that they are gone */
	if (a.wrong || b.wrong)
		fail_msg("a frame of the neighbours was %s", a.wrong ? a.wrong : b.wrong);
	assert_true(a.got > before);
	assert_int_equal(a.got, b.sent);
	assert_int_equal(b.got, a.sent);
	bed_check_balance(sw);
	sw_destroy(sw);
	bed_free(a.bed);
	bed_free(b.bed);
	bed_free(m);
}

static void test_split(void **state)
{
	run(1, false);
}

static void test_packed(void **state)
{
	run(1, true);
}

static void test_two_workers(void **state)
{
	run(2, false);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_split),
		cmocka_unit_test(test_packed),
		cmocka_unit_test(test_two_workers),
	};

	srand(1);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
