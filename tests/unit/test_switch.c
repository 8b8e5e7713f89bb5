/* SPDX-License-Identifier: Apache-2.0 */
/* Forwarding between ring ports: who gets what, unchanged, and everything counted. */
#include "switch_bed.h"

#include "net/ether.h"

#include <stdio.h>

#define ALL 0xffff

static uint8_t frame[70000], got[70000];

/* Sends one frame and expects it at `to` alone of the ports given; NULL: at none. */
static void pass(struct sw *sw, struct bed_port *from, struct bed_port *to, unsigned len)
{
	assert_int_equal(bed_send(from, 0, frame, len, NULL), 0);
	sw_step(sw);
	if (!to)
		return;
	assert_int_equal(bed_recv(to, 0, got, NULL), len);
	assert_memory_equal(got, frame, len);
}

static void greet(struct sw *sw, struct bed_port *from, unsigned mac, struct bed_port **others,
		  unsigned n)
{
	bed_frame(frame, 60, ALL, mac, 1);
	pass(sw, from, NULL, 60);
	for (unsigned i = 0; i < n; i++) {
		assert_int_equal(bed_recv(others[i], 0, got, NULL), 60);
		assert_memory_equal(got, frame, 60);
	}
}

static void test_learning(void **state)
{
	struct sw *sw = bed_switch(1, false);
	struct bed_port *a = bed_add(sw, "id=a", NULL), *b = bed_add(sw, "id=b", NULL);
	struct bed_port *c = bed_add(sw, "id=c", NULL);

	/* Unknown: to all others. */
	bed_frame(frame, 64, 2, 1, 5);
	pass(sw, a, b, 64);
	assert_int_equal(bed_recv(c, 0, got, NULL), 64);
	assert_int_equal(bed_recv(a, 0, got, NULL), 0);
	/* Known by now: back to a alone. */
	bed_frame(frame, 64, 1, 2, 6);
	pass(sw, b, a, 64);
	assert_int_equal(bed_recv(c, 0, got, NULL), 0);
	bed_frame(frame, 1514, 2, 1, 7);
	pass(sw, a, b, 1514);
	assert_int_equal(bed_recv(c, 0, got, NULL), 0);
	/* It moved: to c. */
	greet(sw, c, 2, (struct bed_port *[]){a, b}, 2);
	bed_frame(frame, 100, 2, 1, 8);
	pass(sw, a, c, 100);
	assert_int_equal(bed_recv(b, 0, got, NULL), 0);
	/* To where it is. */
	bed_frame(frame, 100, 2, 3, 8);
	pass(sw, c, NULL, 100);
	assert_int_equal(c->port->in[0]->c.drops[SW_DROP_HAIRPIN], 1);
	bed_check_balance(sw);
	/* Its port is gone: unknown again. */
	bed_remove(c);
	bed_frame(frame, 100, 2, 1, 9);
	pass(sw, a, b, 100);
	bed_check_balance(sw);
	sw_destroy(sw);
	bed_free(a);
	bed_free(b);
}

static void test_bad_sources(void **state)
{
	struct sw *sw = bed_switch(1, false);
	struct bed_port *a = bed_add(sw, "id=a", NULL), *b = bed_add(sw, "id=b", NULL);
	struct net_offload off = {.flags = NET_NEEDS_CSUM, .csum_start = 60, .csum_offset = 16};

	bed_frame(frame, 64, 2, 1, 5);
	frame[6] |= 1;
	pass(sw, a, NULL, 64);
	memset(frame + 6, 0, 6);
	pass(sw, a, NULL, 64);
	assert_int_equal(a->port->in[0]->c.drops[SW_DROP_SOURCE], 2);
	bed_frame(frame, 64, 2, 1, 5);
	pass(sw, a, NULL, 13);
	assert_int_equal(a->port->in[0]->c.drops[SW_DROP_MALFORMED], 1);
	bed_send(a, 0, frame, 64, &off); /* not negotiated, and beyond the end */
	sw_step(sw);
	assert_int_equal(a->port->in[0]->c.drops[SW_DROP_MALFORMED], 2);
	memcpy(frame, "\x01\x80\xc2\x00\x00\x0e", 6);
	pass(sw, a, NULL, 64);
	assert_int_equal(a->port->in[0]->c.drops[SW_DROP_RESERVED], 1);
	assert_int_equal(bed_recv(b, 0, got, NULL), 0);
	bed_check_balance(sw);
	sw_destroy(sw);
	bed_free(a);
	bed_free(b);
}

/* Every kind of ring and of scattering, every size: the bytes arrive as they were. */
static void test_shapes(void **state)
{
	static const struct bed_setup shapes[] = {
		{0},
		{.packed = true},
		{.event_idx = true, .mergeable = true},
		{.packed = true, .mergeable = true, .rx_len = 256},
		{.in_order = true},
		{.packed = true, .in_order = true, .mergeable = true},
		{.legacy = true},
		{.tx_parts = 3, .rx_parts = 4},
		{.tx_parts = 16, .rx_parts = 3, .mergeable = true, .rx_len = 600},
		{.rx_parts = 2, .rx_len = 70000 / 2, .rx_bufs = 8},
	};
	static const unsigned sizes[] = {14, 15, 17, 31, 59, 60, 63, 64, 65, 127, 1514, 1900};

	for (unsigned i = 0; i < ARRAY_SIZE(shapes); i++) {
		for (unsigned k = 0; k < ARRAY_SIZE(shapes); k++) {
			struct sw *sw = bed_switch(1, false);
			struct bed_port *a = bed_add(sw, "id=a", &shapes[i]);
			struct bed_port *b = bed_add(sw, "id=b", &shapes[k]);

			greet(sw, b, 2, &a, 1);
			for (unsigned s = 0; s < ARRAY_SIZE(sizes); s++) {
				bed_frame(frame, sizes[s], 2, 1, s);
				pass(sw, a, b, sizes[s]);
			}
			for (unsigned n = 0; n < 300; n++) {
				bed_frame(frame, 64 + n, 2, 1, n);
				pass(sw, a, b, 64 + n);
			}
			bed_check_balance(sw);
			sw_destroy(sw);
			bed_free(a);
			bed_free(b);
		}
	}
}

static void test_bursts(void **state)
{
	struct sw *sw = bed_switch(1, false);
	struct bed_port *a = bed_add(sw, "id=a", NULL), *b = bed_add(sw, "id=b", NULL);
	struct bed_port *c = bed_add(sw, "id=c", NULL);
	unsigned seq[3] = {0}, want[3] = {0};

	greet(sw, b, 2, (struct bed_port *[]){a, c}, 2);
	greet(sw, c, 3, (struct bed_port *[]){a, b}, 2);
	/* To b, to c and to all, mixed: each sees its own in order. */
	for (unsigned round = 0; round < 200; round++) {
		for (unsigned i = 0; i < 1 + round % 100; i++) {
			unsigned which = (i * 7 + round) % 11 % 3;

			bed_frame(frame, 200, which == 2 ? ALL : which + 2, 1, 0);
			store_le32(frame + 20, seq[which]++);
			assert_int_equal(bed_add_frame(a, 0, frame, 200, NULL), 0);
		}
		bed_publish(a, 0);
		while (sw_step(sw))
			;
		for (unsigned k = 0; k < 2; k++) {
			unsigned all = want[2];

			while (bed_recv(k ? c : b, 0, got, NULL)) {
				bool many = got[0] == 0xff;

				assert_int_equal(load_le32(got + 20), many ? all : want[k]);
				*(many ? &all : &want[k]) += 1;
			}
			assert_int_equal(all, seq[2]);
			if (k)
				want[2] = all;
		}
	}
	assert_int_equal(want[0], seq[0]);
	assert_int_equal(want[1], seq[1]);
	bed_check_balance(sw);
	sw_destroy(sw);
	bed_free(a);
	bed_free(b);
	bed_free(c);
}

/* Takes what has come; each frame's number is that expected next here. How many. */
static unsigned take_in_order(struct bed_port *port, uint32_t *want)
{
	unsigned n = 0;

	for (; bed_recv(port, 0, got, NULL); n++) {
		assert_true(load_le32(got + 20) >= *want); /* of all the sender's */
		*want = load_le32(got + 20) + 1;
	}
	return n;
}

/* From many addresses to many at one port, sometimes to another: found, learnt, and in order. */
static void test_many_addresses(void **state)
{
	struct sw *sw = bed_switch(1, false);
	struct bed_port *a = bed_add(sw, "id=a", NULL), *b = bed_add(sw, "id=b", NULL);
	struct bed_port *c = bed_add(sw, "id=c", NULL);
	unsigned sent[2] = {0}, came[2] = {0};
	uint32_t seq = 0, want[2] = {0};

	for (unsigned i = 0; i < 50; i++) {
		greet(sw, b, 0x100 + i, (struct bed_port *[]){a, c}, 2);
		greet(sw, c, 0x200 + i, (struct bed_port *[]){a, b}, 2);
	}
	for (unsigned round = 0; round < 200; round++) {
		for (unsigned i = 0; i < 64; i++) {
			bool to_c = (i + round) % 23 == 22;

			bed_frame(frame, 80, (to_c ? 0x200 : 0x100) + (i * 13 + round) % 50,
				  0x300 + seq % 77, 0);
			store_le32(frame + 20, seq++);
			sent[to_c]++;
			assert_int_equal(bed_add_frame(a, 0, frame, 80, NULL), 0);
		}
		bed_publish(a, 0);
		while (sw_step(sw))
			;
		came[0] += take_in_order(b, &want[0]);
		came[1] += take_in_order(c, &want[1]);
	}
	assert_int_equal(came[0], sent[0]);
	assert_int_equal(came[1], sent[1]);
	/* Every source was learnt; an address of b's that is seen at a has moved there. */
	bed_frame(frame, 80, 0x101, 0x300, 0);
	pass(sw, a, b, 80);
	bed_frame(frame, 80, 0x101, 0x102, 0);
	pass(sw, a, b, 80);
	for (unsigned i = 0; i < 78; i++) {
		bed_frame(frame, 80, i < 77 ? 0x300 + i : 0x102, 0x101, i);
		pass(sw, b, a, 80);
		assert_int_equal(bed_recv(c, 0, got, NULL), 0);
	}
	/* To itself, in the middle of such a burst. */
	for (unsigned i = 0; i < 10; i++) {
		bed_frame(frame, 80, i == 5 ? 0x301 : 0x103 + i, 0x310 + i, 0);
		assert_int_equal(bed_add_frame(a, 0, frame, 80, NULL), 0);
	}
	bed_publish(a, 0);
	while (sw_step(sw))
		;
	for (unsigned i = 0; i < 9; i++)
		assert_int_equal(bed_recv(b, 0, got, NULL), 80);
	assert_int_equal(bed_recv(a, 0, got, NULL), 0);
	assert_int_equal(a->port->in[0]->c.drops[SW_DROP_HAIRPIN], 1);
	bed_check_balance(sw);
	sw_destroy(sw);
	bed_free(a);
	bed_free(b);
	bed_free(c);
}

static void test_no_buffers(void **state)
{
	const struct bed_setup few = {.rx_bufs = 10}, none = {.rx_bufs = BED_NO_RX};
	const struct bed_setup small = {.rx_len = 500};
	struct sw *sw = bed_switch(1, false);
	struct bed_port *a = bed_add(sw, "id=a", NULL), *b = bed_add(sw, "id=b", &few);
	struct bed_port *c = bed_add(sw, "id=c", &none), *d = bed_add(sw, "id=d", &small);
	const struct sw_in *in = a->port->in[0];

	greet(sw, b, 2, (struct bed_port *[]){a, d}, 2);
	greet(sw, d, 4, (struct bed_port *[]){a, b}, 2);
	bed_frame(frame, 64, 2, 1, 0);
	for (unsigned i = 0; i < 16; i++)
		bed_add_frame(a, 0, frame, 64, NULL);
	bed_publish(a, 0);
	sw_step(sw);
	assert_int_equal(in->c.drops[SW_DROP_NO_BUFFER], 6);
	bed_frame(frame, 1000, 4, 1, 0);
	pass(sw, a, NULL, 1000);
	assert_int_equal(in->c.drops[SW_DROP_OVERSIZE], 1);
	/* The next one fits. */
	bed_frame(frame, 100, 4, 1, 0);
	pass(sw, a, d, 100);
	bed_check_balance(sw);
	sw_out_stop(b->port, 0);
	bed_frame(frame, 100, 2, 1, 0);
	pass(sw, a, NULL, 100);
	assert_int_equal(in->c.drops[SW_DROP_DOWN], 1);
	bed_check_balance(sw);
	sw_destroy(sw);
	bed_free(a);
	bed_free(b);
	bed_free(c);
	bed_free(d);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_learning),   cmocka_unit_test(test_bad_sources),
		cmocka_unit_test(test_shapes),	   cmocka_unit_test(test_bursts),
		cmocka_unit_test(test_no_buffers), cmocka_unit_test(test_many_addresses),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
