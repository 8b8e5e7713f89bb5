/* SPDX-License-Identifier: Apache-2.0 */
/* What a port's settings do: VLANs, pinned addresses, limits, isolation, mirrors; and offloads. */
#include "switch_bed.h"

#include "net/checksum.h"
#include "net/ether.h"
#include "net_packets.h"

#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#define ALL  0xffff
#define NONE 0 /* a tag that is not there */

static uint8_t frame[70000], got[70000];
static struct sw *sw;
static struct bed_port *ports[8];
static unsigned nports;

static struct bed_port *add(const char *options, const struct bed_setup *setup)
{
	return ports[nports++] = bed_add(sw, options, setup);
}

static int setup(void **state)
{
	sw = bed_switch(1, false);
	nports = 0;
	return 0;
}

static int teardown(void **state)
{
	bed_check_balance(sw);
	sw_destroy(sw);
	while (nports)
		bed_free(ports[--nports]);
	return 0;
}

/* A frame of 100 bytes without its tag, and its length with it. */
static unsigned tagged(unsigned dst, unsigned src, unsigned tci)
{
	bed_frame(frame, 100, dst, src, 3);
	if (!tci)
		return 100;
	memmove(frame + 16, frame + 12, 88);
	store_be16(frame + 12, ETHER_VLAN);
	store_be16(frame + 14, (uint16_t)tci);
	return 104;
}

static void send(struct bed_port *from, unsigned len)
{
	assert_int_equal(bed_send(from, 0, frame, len, NULL), 0);
	sw_step(sw);
}

/* Expects the frame with this tag at the port. */
static void expect(struct bed_port *at, unsigned dst, unsigned src, unsigned tci)
{
	unsigned len = tagged(dst, src, tci);

	assert_int_equal(bed_recv(at, 0, got, NULL), len);
	assert_memory_equal(got, frame, len);
}

static void nothing(struct bed_port *at)
{
	assert_int_equal(bed_recv(at, 0, got, NULL), 0);
}

static uint64_t dropped(const struct bed_port *at, enum sw_drop why)
{
	return at->port->in[0]->c.drops[why];
}

static void test_vlan(void **state)
{
	struct bed_port *a = add("id=a,vlan=access:5", NULL), *b = add("id=b,vlan=access:5", NULL);
	struct bed_port *c = add("id=c,vlan=access:6", NULL);
	struct bed_port *t = add("id=t,vlan=trunk:5+7-9", NULL), *n = add("id=n", NULL);

	send(a, tagged(ALL, 1, NONE));
	expect(b, ALL, 1, NONE);
	nothing(c);
	expect(t, ALL, 1, 5);
	expect(n, ALL, 1, 5);
	/* Unicast back, from the trunk: its tag goes. */
	send(t, tagged(1, 2, 5));
	expect(a, 1, 2, NONE);
	nothing(b);
	send(a, tagged(2, 1, NONE));
	expect(t, 2, 1, 5);
	/* The same address in another VLAN is another one. */
	send(c, tagged(2, 3, NONE));
	expect(n, 2, 3, 6);
	nothing(t);
	/* Tags from an access port; a VLAN that the trunk is not in; none at a trunk. */
	send(a, tagged(2, 1, 5));
	send(t, tagged(ALL, 2, 6));
	send(t, tagged(ALL, 2, NONE));
	assert_int_equal(dropped(a, SW_DROP_VLAN_IN), 1);
	assert_int_equal(dropped(t, SW_DROP_VLAN_IN), 2);
	/* A priority tag means "no VLAN". */
	send(a, tagged(2, 1, 0xa000));
	expect(t, 2, 1, 5);
	send(t, tagged(ALL, 2, 8));
	nothing(a);
	expect(n, ALL, 2, 8);
	nothing(b);
	nothing(c);
}

static void test_vlan_out(void **state)
{
	struct bed_port *a = add("id=a,vlan=access:5", NULL), *n = add("id=n", NULL);
	uint8_t mac[6] = {2, 0, 0, 0, 0, 9};

	/* A static entry that leads where the VLAN does not. */
	assert_int_equal(fdb_set_static(sw_fdb(sw), fdb_key(mac, 6), a->port->index), 0);
	send(n, tagged(9, 1, 6));
	nothing(a);
	assert_int_equal(dropped(n, SW_DROP_VLAN_OUT), 1);
}

static void test_macs(void **state)
{
	struct bed_port *a = add("id=a,allowed-mac=02:00:00:00:00:01+02:00:00:00:00:07", NULL);
	struct bed_port *b = add("id=b", NULL);

	send(a, tagged(ALL, 1, NONE));
	expect(b, ALL, 1, NONE);
	send(a, tagged(ALL, 7, NONE));
	expect(b, ALL, 7, NONE);
	send(a, tagged(ALL, 2, NONE));
	nothing(b);
	assert_int_equal(dropped(a, SW_DROP_SPOOFED), 1);
	/* What it may not use it has not taught either. */
	send(b, tagged(2, 9, NONE));
	expect(a, 2, 9, NONE);
	assert_int_equal(fdb_lookup(sw_fdb(sw), fdb_key(frame, 0)), FDB_NONE);
}

static void test_isolated(void **state)
{
	struct bed_port *a = add("id=a,isolated=on", NULL), *b = add("id=b,isolated=on", NULL);
	struct bed_port *up = add("id=up", NULL), *quiet = add("id=quiet,flood=off", NULL);

	send(a, tagged(ALL, 1, NONE));
	nothing(b);
	expect(up, ALL, 1, NONE);
	expect(quiet, ALL, 1, NONE); /* to all is not unknown */
	send(b, tagged(1, 2, NONE));
	nothing(a);
	assert_int_equal(dropped(b, SW_DROP_ISOLATED), 1);
	send(up, tagged(1, 3, NONE));
	expect(a, 1, 3, NONE);
	send(a, tagged(3, 1, NONE));
	expect(up, 3, 1, NONE);
	send(up, tagged(77, 3, NONE));
	expect(a, 77, 3, NONE);
	expect(b, 77, 3, NONE);
	nothing(quiet);
	/* Nobody is left for it. */
	sw_out_stop(up->port, 0);
	send(a, tagged(78, 1, NONE));
	assert_int_equal(dropped(a, SW_DROP_UNKNOWN), 1);
}

static void test_mirror(void **state)
{
	struct bed_port *a = add("id=a,mirror-to=m", NULL), *b = add("id=b", NULL);
	struct bed_port *c = add("id=c", NULL), *m = add("id=m", NULL);

	send(a, tagged(ALL, 1, NONE));
	expect(b, ALL, 1, NONE);
	expect(c, ALL, 1, NONE);
	expect(m, ALL, 1, NONE);
	nothing(m);
	send(b, tagged(1, 2, NONE));
	expect(a, 1, 2, NONE);
	expect(m, 1, 2, NONE);
	nothing(c);
	send(a, tagged(2, 1, NONE));
	expect(b, 2, 1, NONE);
	expect(m, 2, 1, NONE);
	/* Not its business. */
	send(c, tagged(2, 3, NONE));
	expect(b, 2, 3, NONE);
	nothing(m);
}

static void test_limits(void **state)
{
	struct bed_port *a = add("id=a,rate=1M", NULL), *b = add("id=b,storm=100", NULL);
	uint64_t start = clock_ns();
	unsigned passed = 0, ms;

	/* 1 Mbit/s is 125 bytes a millisecond; at once passes what comes in 10 ms, and one more. */
	bed_frame(frame, 100, 2, 1, 0);
	for (unsigned i = 0; i < 100; i++) {
		bed_send(a, 0, frame, 100, NULL);
		sw_step(sw);
		passed += bed_recv(b, 0, got, NULL) != 0;
	}
	ms = (unsigned)((clock_ns() - start) / NSEC_PER_MSEC) + 1;
	assert_in_range(passed, 13, 14 + ms * 5 / 4);
	assert_int_equal(dropped(a, SW_DROP_RATE_IN), 100 - passed);
	usleep(20000);
	send(a, 100);
	assert_int_equal(bed_recv(b, 0, got, NULL), 100);
	passed = 0;
	start = clock_ns();
	bed_frame(frame, 100, ALL, 2, 0);
	for (unsigned i = 0; i < 100; i++) {
		bed_send(b, 0, frame, 100, NULL);
		sw_step(sw);
		passed += bed_recv(a, 0, got, NULL) != 0;
	}
	ms = (unsigned)((clock_ns() - start) / NSEC_PER_MSEC) + 1;
	assert_in_range(passed, 1, 20 + ms / 10);
	assert_int_equal(dropped(b, SW_DROP_STORM), 100 - passed);
}

/* A TCP frame as a driver leaves it, in `frame`; from port 1's guest to dst's. */
static unsigned make_tcp4(unsigned payload, unsigned dst, struct net_offload *off)
{
	const struct packet_shape shape = {.proto = IP_PROTO_TCP, .payload = payload};
	struct packet k = packet_make(&shape);
	unsigned len = k.len;

	memcpy(frame, k.p, len);
	free(k.p);
	memcpy(frame, "\2\0\0\0\0\0\2\0\0\0\0\1", 12);
	frame[5] = (uint8_t)dst;
	*off = (struct net_offload){.flags = NET_NEEDS_CSUM,
				    .gso_type = NET_GSO_TCPV4,
				    .hdr_len = 54,
				    .gso_size = 1448,
				    .csum_start = 34,
				    .csum_offset = 16};
	return len;
}

/* A 9000-byte TSO frame to one that takes it, and to one that takes nothing of the kind. */
static void test_offloads(void **state)
{
	const struct bed_setup full = {.offloads = NET_OFFLOAD_CSUM | NET_OFFLOAD_TSO4,
				       .mergeable = true};
	const struct bed_setup plain = {0};
	struct bed_port *a = add("id=a", &full), *b = add("id=b", &full), *c = add("id=c", &plain);
	struct net_offload off, seen;
	unsigned len, total = 0, n = 0;

	send(b, tagged(ALL, 2, NONE));
	bed_recv(a, 0, got, NULL);
	bed_recv(c, 0, got, NULL);
	send(c, tagged(ALL, 3, NONE));
	bed_recv(a, 0, got, NULL);
	bed_recv(b, 0, got, NULL);

	len = make_tcp4(9000, 2, &off);
	assert_int_equal(bed_send(a, 0, frame, len, &off), 0);
	sw_step(sw);
	assert_int_equal(bed_recv(b, 0, got, &seen), len);
	assert_memory_equal(got, frame, len);
	assert_int_equal(seen.gso_size, off.gso_size);
	assert_int_equal(seen.flags, NET_NEEDS_CSUM);

	frame[5] = 3;
	assert_int_equal(bed_send(a, 0, frame, len, &off), 0);
	sw_step(sw);
	while ((len = bed_recv(c, 0, got, &seen))) {
		const struct iovec iov = {got, len};

		assert_true(len <= off.gso_size + 54U);
		assert_int_equal(seen.flags | seen.gso_type, 0);
		assert_int_equal(net_csum_verify(&iov, 1, NULL), NET_CSUM_GOOD);
		assert_memory_equal(got + 54, frame + 54 + total, len - 54);
		total += len - 54;
		n++;
	}
	assert_int_equal(total, 9000);
	assert_int_equal(n, (9000 + off.gso_size - 1) / off.gso_size);
	assert_int_equal(a->port->in[0]->c.extra, n - 1U);

	/* A checksum alone. */
	len = make_tcp4(500, 3, &off);
	off.gso_type = 0;
	assert_int_equal(bed_send(a, 0, frame, len, &off), 0);
	sw_step(sw);
	assert_int_equal(bed_recv(c, 0, got, &seen), len);
	assert_int_equal(net_csum_verify(&(struct iovec){got, len}, 1, NULL), NET_CSUM_GOOD);
	assert_int_equal(seen.flags, 0);
}

static void test_announce(void **state)
{
	const uint8_t mac[6] = {2, 0, 0, 0, 0, 8};
	struct bed_port *a = add("id=a", NULL), *b = add("id=b", NULL);

	sw_port_announce(a->port, mac);
	sw_step(sw);
	assert_int_equal(bed_recv(b, 0, got, NULL), 60);
	assert_memory_equal(got + 6, mac, 6);
	assert_int_equal(load_be16(got + 12), ETHER_RARP);
	assert_int_equal(fdb_lookup(sw_fdb(sw), fdb_key(mac, 0)), a->port->index);
}

/* Nothing larger than the MTU, on the short way through the switch and on the long one. */
static void test_mtu(void **state)
{
	struct bed_port *a = add("id=a", NULL), *b = add("id=b", NULL);

	bed_frame(frame, 100, 1, 2, 0);
	bed_send(b, 0, frame, 100, NULL);
	sw_step(sw);
	assert_int_equal(bed_recv(a, 0, got, NULL), 100);
	sw_port_set_mtu(b->port, 1400);
	for (unsigned i = 0; i < 8; i++) {
		unsigned len = i % 2 ? 1423 : 1422; /* with two tags it would just be that */

		bed_frame(frame, len, 2, 1, i);
		assert_int_equal(bed_send(a, 0, frame, len, NULL), 0);
		sw_step(sw);
		assert_int_equal(bed_recv(b, 0, got, NULL), i % 2 ? 0 : 1422);
	}
	assert_int_equal(a->port->in[0]->c.drops[SW_DROP_OVERSIZE], 4);
	bed_frame(frame, 1600, 1, 2, 0); /* the other way there is no limit */
	bed_send(b, 0, frame, 1600, NULL);
	sw_step(sw);
	assert_int_equal(bed_recv(a, 0, got, NULL), 1600);
	sw_port_set_mtu(b->port, 0);
	bed_frame(frame, 1600, 2, 1, 0);
	bed_send(a, 0, frame, 1600, NULL);
	sw_step(sw);
	assert_int_equal(bed_recv(b, 0, got, NULL), 1600);
	bed_check_balance(sw);
}

static void test_settings(void **state)
{
	static const struct {
		const char *options, *text;
	} bad[] = {
		{"vlan=access:0", "from 1 to 4094"},
		{"vlan=access:4095", "from 1 to 4094"},
		{"vlan=access:5+6", "one VLAN is expected"},
		{"vlan=trunk:", "from 1 to 4094"},
		{"vlan=trunk:5,6", "6"},
		{"vlan=trunk:5/6", "use '+'"},
		{"vlan=native", "access:N or trunk:N+M"},
		{"allowed-mac=nonsense", "allowed-mac"},
		{"rate=fast", "rate"},
		{"rate=10", "1000"},
		{"storm=0", "storm"},
		{"flood=maybe", "on or off"},
		{"id=a b", "letters"},
		{"colour=red", "unknown key 'colour'"},
	};
	struct error err;

	for (unsigned i = 0; i < ARRAY_SIZE(bad); i++) {
		char text[128];

		snprintf(text, sizeof(text), "type=tap,%s", bad[i].options);
		err.text[0] = '\0';
		assert_true(sw_add_port(sw, text, NULL, &err) < 0);
		if (!strstr(err.text, bad[i].text))
			fail_msg("%s: %s", bad[i].options, err.text);
	}
	assert_int_equal(sw_add_port(sw, "type=none", NULL, &err), -EINVAL);
	assert_int_equal(sw_add_port(sw, "id=x", NULL, &err), -EINVAL);
	assert_int_equal(sw_add_port(sw, "type=vhost-user", NULL, &err), -EINVAL);
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_vlan),   TEST(test_vlan_out), TEST(test_macs),     TEST(test_isolated),
		TEST(test_mirror), TEST(test_limits),	TEST(test_offloads), TEST(test_announce),
		TEST(test_mtu),	   TEST(test_settings),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
