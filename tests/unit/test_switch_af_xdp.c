/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A port of type af-xdp on one end of a veth; the other end is a packet socket of the test's. In a
 * network namespace of its own. Where that, or AF_XDP, is not to be had, the tests are skipped.
 */
#include "switch_bed.h"

#include "hostnet/afxdp.h"
#include "net/checksum.h"
#include "switch/counters.h"
#include "switch/worker.h"

#include <errno.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#define ETH_TYPE 0x88b5
#define WIRE_MAC 9

static bool usable;
static struct loop *loop;

#define NEED_AF_XDP()           \
	do {                    \
		if (!usable)    \
			skip(); \
	} while (0)

static void sh(const char *command)
{
	if (system(command))
		fail_msg("%s", command);
}

static int set_up(void **state)
{
	struct error err = {0};

	usable = unshare(CLONE_NEWNET) == 0 && afxdp_probe(&err) == 0 &&
		 system("echo 1 >/proc/sys/net/ipv6/conf/default/disable_ipv6 2>/dev/null;"
			"ip link add xa type veth peer name xb 2>/dev/null && ip link del xa") == 0;
	if (!usable)
		print_message("skipped: needs root, veth and AF_XDP\n");
	loop = loop_create(&err);
	return loop ? 0 : -1;
}

static int tear_down(void **state)
{
	loop_destroy(loop);
	return 0;
}

static void make_veth(const char *queues)
{
	char command[512];

	snprintf(command, sizeof(command),
		 "ip link del xa 2>/dev/null; ip link add xa %s type veth peer name xb %s && ip "
		 "link set xb up && "
		 "ethtool -K xb tx off >/dev/null 2>&1; ip link set xa up",
		 queues, queues);
	sh(command);
	/* The kernel opens the way through them later, in a worker of its own. */
	sh("for i in $(seq 600); do"
	   " [ $(ip link show up | grep -c 'x[ab]@.* state UP') = 2 ] && exit; sleep 0.1;"
	   "done; ip link; exit 1");
}

static int wire_open(void)
{
	const struct sockaddr_ll at = {.sll_family = AF_PACKET,
				       .sll_protocol = htobe16(ETH_TYPE),
				       .sll_ifindex = (int)if_nametoindex("xb")};
	int fd = socket(AF_PACKET, SOCK_RAW | SOCK_NONBLOCK, htobe16(ETH_TYPE)), size = 8 << 20;

	assert_true(fd >= 0);
	setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size));
	assert_int_equal(bind(fd, (const struct sockaddr *)&at, sizeof(at)), 0);
	return fd;
}

/* The next frame that came in: its length, 0 for none. */
static unsigned wire_get(int fd, uint8_t *frame, unsigned size)
{
	struct sockaddr_ll from;
	socklen_t len = sizeof(from);
	ssize_t n;

	do {
		n = recvfrom(fd, frame, size, 0, (struct sockaddr *)&from, &len);
	} while (n >= 0 && from.sll_pkttype == PACKET_OUTGOING);
	return n < 0 ? 0 : (unsigned)n;
}

struct rig {
	struct sw *sw;
	struct sw_port *port;
	struct bed_port *guest;
	int wire;
};

static void rig_open(struct rig *r, bool threads, const char *options,
		     const struct bed_setup *setup)
{
	struct sw_options o;
	struct error err = {0};

	sw_options_init(&o);
	o.threads = threads;
	r->sw = sw_create(&o, loop, &err);
	assert_non_null(r->sw);
	if (sw_add_port(r->sw, options, &r->port, &err))
		fail_msg("%s", err.text);
	r->guest = bed_add(r->sw, "id=g", setup);
	r->wire = wire_open();
}

static void rig_close(struct rig *r)
{
	bed_check_balance(r->sw);
	sw_destroy(r->sw);
	bed_free(r->guest);
	close(r->wire);
	sh("ip link show xa >/dev/null 2>&1 && ip link del xa || true");
}

/* Steps until something has come to the wire, or to the guest; 0 when nothing does. */
static unsigned come(struct rig *r, bool to_wire, uint8_t *frame)
{
	for (unsigned i = 0; i < PATIENCE_MS * 2; i++) {
		unsigned len;

		sw_step(r->sw);
		len = to_wire ? wire_get(r->wire, frame, 4096) : bed_recv(r->guest, 0, frame, NULL);
		if (len)
			return len;
		usleep(500);
	}
	return 0;
}

static void one_each_way(struct rig *r)
{
	uint8_t frame[1514], got[4096];

	for (unsigned len = 60; len <= 1514; len += 727) {
		bed_frame(frame, len, WIRE_MAC, 1, len);
		assert_int_equal(bed_send(r->guest, 0, frame, len, NULL), 0);
		assert_int_equal(come(r, true, got), len);
		assert_memory_equal(got, frame, len);
		bed_frame(frame, len, 1, WIRE_MAC, len + 1);
		assert_int_equal(send(r->wire, frame, len, 0), len);
		assert_int_equal(come(r, false, got), len);
		assert_memory_equal(got, frame, len);
	}
}

static void test_each_way(void **state)
{
	static const char *const modes[] = {"", ",mode=copy", ",mode=auto"};
	char options[64], text[128];
	struct rig r;

	NEED_AF_XDP();
	for (unsigned i = 0; i < ARRAY_SIZE(modes); i++) {
		make_veth("");
		snprintf(options, sizeof(options), "id=x,type=af-xdp,dev=xa%s", modes[i]);
		rig_open(&r, false, options, NULL);
		one_each_way(&r);
		r.port->ops->status(r.port, text, sizeof(text));
		assert_non_null(strstr(text, "xa, copy mode, native XDP, up"));
		rig_close(&r);
	}
}

static void fails(const char *options, int code, const char *part)
{
	struct sw *sw = bed_switch(1, false);
	struct error err = {0};

	assert_int_equal(sw_add_port(sw, options, NULL, &err), code);
	if (!strstr(err.text, part))
		fail_msg("no '%s' in: %s", part, err.text);
	sw_destroy(sw);
}

static void test_errors(void **state)
{
	struct sw *sw;
	struct error err = {0};

	NEED_AF_XDP();
	make_veth("");
	fails("id=x,type=af-xdp", -EINVAL, "--port x: dev= is missing");
	fails("id=x,type=af-xdp,dev=nosuch", -ENODEV, "dev=nosuch: there is no such interface");
	fails("id=x,type=af-xdp,dev=longer-than-any-name-is", -ENODEV, "no such interface");
	fails("id=x,type=af-xdp,dev=xa,mode=fast", -EINVAL, "use auto, copy or zero-copy");
	fails("id=x,type=af-xdp,dev=xa,mode=zero-copy", -EOPNOTSUPP,
	      "xa: its driver has no zero-copy mode");
	fails("id=x,type=af-xdp,dev=xa,queue=many", -EINVAL, "queue");
	fails("id=x,type=af-xdp,dev=xa,queue=7", -EINVAL, "there is no queue 7");
	fails("id=x,type=af-xdp,dev=xa,queues=0", -ERANGE, "queues");
	sw = bed_switch(1, false);
	assert_int_equal(sw_add_port(sw, "id=x,type=af-xdp,dev=xa", NULL, &err), 0);
	assert_int_equal(sw_add_port(sw, "id=y,type=af-xdp,dev=xa", NULL, &err), -EBUSY);
	sw_destroy(sw);
	sh("ip link del xa");
}

/* Many frames each way at once: all come, in order, or are counted. */
static void test_bulk(void **state)
{
	unsigned sent[2] = {0}, got_n[2] = {0};
	uint8_t frame[200], got[4096];
	struct sw_in_counters in;
	struct sw_out_counters out;
	struct rig r;

	NEED_AF_XDP();
	make_veth("");
	rig_open(&r, false, "id=x,type=af-xdp,dev=xa", NULL);
	one_each_way(&r); /* both addresses are learnt */
	for (unsigned round = 0; round < 100000 && (got_n[0] < 20000 || got_n[1] < 20000);
	     round++) {
		for (unsigned i = 0; i < 64 && sent[0] < 20000; i++, sent[0]++) {
			bed_frame(frame, 200, WIRE_MAC, 1, 0);
			store_le32(frame + 20, sent[0]);
			if (bed_send(r.guest, 0, frame, 200, NULL))
				break;
		}
		for (unsigned i = 0; i < 64 && sent[1] < 20000 && sent[1] < got_n[1] + 200;
		     i++, sent[1]++) {
			bed_frame(frame, 200, 1, WIRE_MAC, 0);
			store_le32(frame + 20, sent[1]);
			assert_int_equal(send(r.wire, frame, 200, 0), 200);
		}
		sw_step(r.sw);
		while (wire_get(r.wire, got, sizeof(got)))
			assert_int_equal(load_le32(got + 20), got_n[0]++);
		while (bed_recv(r.guest, 0, got, NULL))
			assert_int_equal(load_le32(got + 20), got_n[1]++);
	}
	assert_int_equal(got_n[0], 20000);
	assert_int_equal(got_n[1], 20000);
	sw_port_totals(r.port, &in, &out);
	assert_int_equal(in.frames, 20003);
	assert_int_equal(out.frames, 20003);
	assert_true(in.bytes >= 20000 * 200);
	rig_close(&r);
}

/* Nobody looks while more come than there is room for: what is lost is told, the rest comes. */
static void test_overrun(void **state)
{
	uint8_t frame[100], got[4096];
	unsigned n = 0, len;
	char text[128];
	struct rig r;

	NEED_AF_XDP();
	make_veth("");
	rig_open(&r, false, "id=x,type=af-xdp,dev=xa", NULL);
	one_each_way(&r);
	bed_frame(frame, 100, 1, WIRE_MAC, 0);
	for (unsigned i = 0; i < 3000; i++) {
		assert_int_equal(send(r.wire, frame, 100, 0), 100);
		if (i % 64 == 63) /* the veth's own queue has 256 places */
			usleep(2000);
	}
	usleep(100000);
	for (unsigned i = 0; i < 100; i++) {
		sw_step(r.sw);
		for (; (len = bed_recv(r.guest, 0, got, NULL)); n++)
			assert_int_equal(len, 100);
	}
	assert_int_equal(n, 2048);
	r.port->ops->status(r.port, text, sizeof(text));
	assert_non_null(strstr(text, "frames lost before it"));
	one_each_way(&r); /* every frame is back in the fill ring */
	rig_close(&r);
}

/* Frames for everybody, from each side; and what a veth cannot carry. */
static void test_flood_and_jumbo(void **state)
{
	static uint8_t frame[9000], got[9100];
	struct bed_port *other;
	struct rig r;

	NEED_AF_XDP();
	make_veth("");
	rig_open(&r, false, "id=x,type=af-xdp,dev=xa", NULL);
	other = bed_add(r.sw, "id=other", NULL);
	bed_frame(frame, 300, 0xffff, WIRE_MAC, 5);
	assert_int_equal(send(r.wire, frame, 300, 0), 300);
	assert_int_equal(come(&r, false, got), 300);
	assert_memory_equal(got, frame, 300);
	assert_int_equal(bed_recv(other, 0, got, NULL), 300);
	assert_memory_equal(got, frame, 300);
	bed_frame(frame, 300, 0xffff, 1, 6);
	bed_send(r.guest, 0, frame, 300, NULL);
	assert_int_equal(come(&r, true, got), 300);
	assert_memory_equal(got, frame, 300);
	assert_int_equal(bed_recv(other, 0, got, NULL), 300);

	/* 1518 with a tag is the most that an MTU of 1500 has room for. */
	bed_frame(frame, 1519, WIRE_MAC, 1, 6);
	bed_send(r.guest, 0, frame, 1519, NULL);
	sw_step(r.sw);
	assert_int_equal(counted(&r.guest->port->in[0]->c.drops[SW_DROP_BACKEND]), 1);
	one_each_way(&r);
	bed_frame(frame, 9000, WIRE_MAC, 1, 6);
	bed_send(r.guest, 0, frame, 9000, NULL);
	for (unsigned i = 0; i < 10; i++)
		sw_step(r.sw);
	assert_int_equal(counted(&r.guest->port->in[0]->c.drops[SW_DROP_BACKEND]), 2);
	rig_close(&r);
	bed_free(other);
}

/* A checksum that the guest left to be done, and a frame to be cut into segments. */
static void test_offloads(void **state)
{
	const struct bed_setup setup = {.offloads = NET_OFFLOAD_CSUM | NET_OFFLOAD_TSO4};
	const struct net_offload off = {.flags = NET_NEEDS_CSUM,
					.gso_type = NET_GSO_TCPV4,
					.hdr_len = 54,
					.gso_size = 1000,
					.csum_start = 34,
					.csum_offset = 16};
	uint8_t frame[3054] = {2, 0, 0, 0, 0, WIRE_MAC, 2, 0, 0, 0, 0, 1, 8, 0, 0x45};
	uint8_t got[4096];
	struct rig r;
	int wire;

	NEED_AF_XDP();
	make_veth("");
	rig_open(&r, false, "id=x,type=af-xdp,dev=xa", &setup);
	wire = r.wire;
	r.wire = socket(AF_PACKET, SOCK_RAW | SOCK_NONBLOCK, htobe16(0x0800));
	close(wire);
	store_be16(frame + 16, sizeof(frame) - 14);
	frame[22] = 64;
	frame[23] = 6;
	store_be32(frame + 26, 0x0a000001);
	store_be32(frame + 30, 0x0a000002);
	frame[46] = 0x50;
	for (unsigned i = 54; i < sizeof(frame); i++)
		frame[i] = (uint8_t)(i * 3);
	bed_send(r.guest, 0, frame, sizeof(frame), &off);
	for (unsigned i = 0; i < 3; i++) {
		uint32_t sum = 6 + 1020;

		assert_int_equal(come(&r, true, got), 1054);
		assert_memory_equal(got + 54, frame + 54 + i * 1000, 1000);
		for (unsigned k = 26; k < 1054; k += 2)
			sum += load_be16(got + k);
		while (sum >> 16)
			sum = (sum & 0xffff) + (sum >> 16);
		assert_int_equal(sum, 0xffff);
	}
	assert_int_equal(counted(&r.guest->port->in[0]->c.extra), 2);
	rig_close(&r);
}

/* Several queues: what comes in is spread by the veth, by flow; what goes out by pair. */
static void test_queues(void **state)
{
	const struct bed_setup setup = {.pairs = 2};
	uint8_t frame[100], got[4096];
	struct rig r;

	NEED_AF_XDP();
	make_veth("numrxqueues 2 numtxqueues 2");
	rig_open(&r, false, "id=x,type=af-xdp,dev=xa,queues=2", &setup);
	assert_int_equal(r.port->pairs, 2);
	one_each_way(&r);
	bed_frame(frame, 100, WIRE_MAC, 1, 3);
	for (unsigned p = 0; p < 2; p++) {
		bed_send(r.guest, p, frame, 100, NULL);
		assert_int_equal(come(&r, true, got), 100);
		assert_true(counted(&r.port->out[p]->c.frames) > 0);
	}
	rig_close(&r);
	fails("id=x,type=af-xdp,dev=xa,queues=2", -ENODEV, "there is no such interface");
}

/*
 * Two ports have a queue each of one interface. One goes, and the other's frames flow on; and it may
 * come again.
 */
static void test_two_ports(void **state)
{
	const struct bed_setup setup = {.pairs = 2};
	struct sw_port *second;
	struct error err = {0};
	struct rig r;

	NEED_AF_XDP();
	make_veth("numrxqueues 2 numtxqueues 2");
	rig_open(&r, false, "id=x,type=af-xdp,dev=xa,isolated=on", &setup);
	for (unsigned i = 0; i < 3; i++) {
		if (sw_add_port(r.sw, "id=y,type=af-xdp,dev=xa,queue=1,isolated=on,flood=off",
				&second, &err))
			fail_msg("%s", err.text);
		one_each_way(&r);
		assert_int_equal(sw_add_port(r.sw, "id=z,type=af-xdp,dev=xa,queue=1", NULL, &err),
				 -EBUSY);
		assert_non_null(strstr(err.text, "queue 1 has an AF_XDP socket already"));
		if (i < 2)
			sw_remove_port(second);
		one_each_way(&r);
	}
	/* The first goes, and the program stays for the second. */
	sw_remove_port(r.port);
	assert_int_equal(sw_add_port(r.sw, "id=x,type=af-xdp,dev=xa,isolated=on", &r.port, &err),
			 0);
	one_each_way(&r);
	rig_close(&r);
}

/* In threads from here on. */
static pthread_mutex_t wire_lock = PTHREAD_MUTEX_INITIALIZER; /* whose socket may be exchanged */

struct traffic {
	struct rig *r;
	pthread_t thread;
	_Atomic bool stop;
	uint64_t sent;
};

static void *send_on(void *arg)
{
	struct traffic *t = arg;
	uint8_t frame[100], got[2048];

	while (!t->stop) {
		bed_frame(frame, 100, WIRE_MAC, 1, 0);
		if (!bed_send(t->r->guest, 0, frame, 100, NULL))
			t->sent++;
		while (bed_recv(t->r->guest, 0, got, NULL))
			;
		bed_frame(frame, 100, 1, WIRE_MAC, 0);
		pthread_mutex_lock(&wire_lock);
		if (send(t->r->wire, frame, 100, MSG_DONTWAIT) < 0)
			usleep(100);
		pthread_mutex_unlock(&wire_lock);
	}
	return NULL;
}

static void traffic_start(struct traffic *t, struct rig *r)
{
	*t = (struct traffic){.r = r};
	assert_int_equal(pthread_create(&t->thread, NULL, send_on, t), 0);
}

static void traffic_stop(struct traffic *t)
{
	t->stop = true;
	pthread_join(t->thread, NULL);
	assert_true(t->sent > 0);
}

static bool loop_until(struct rig *r, bool (*done)(struct rig *r))
{
	for (uint64_t end = clock_ns() + PATIENCE_NS; clock_ns() < end;) {
		loop_run_once(loop, 10);
		if (done(r))
			return true;
	}
	return false;
}

static bool is_gone(struct rig *r)
{
	char text[128];

	r->port->ops->status(r->port, text, sizeof(text));
	return strstr(text, "gone");
}

static bool is_back(struct rig *r)
{
	return !is_gone(r);
}

static bool wire_gets(struct rig *r)
{
	uint8_t got[2048];

	return wire_get(r->wire, got, sizeof(got)) > 0;
}

static void test_vanish(void **state)
{
	struct traffic t;
	struct rig r;

	NEED_AF_XDP();
	make_veth("");
	rig_open(&r, true, "id=x,type=af-xdp,dev=xa", NULL);
	traffic_start(&t, &r);
	for (unsigned i = 0; i < 3; i++) {
		assert_true(loop_until(&r, wire_gets));
		sh("ip link del xa");
		assert_true(loop_until(&r, is_gone));
		make_veth("");
		pthread_mutex_lock(&wire_lock);
		close(r.wire);
		r.wire = wire_open();
		pthread_mutex_unlock(&wire_lock);
		assert_true(loop_until(&r, is_back));
	}
	assert_true(loop_until(&r, wire_gets));
	/* Down is not gone: it goes on when it is up. */
	sh("ip link set xa down");
	for (unsigned i = 0; i < 150; i++)
		loop_run_once(loop, 10);
	while (wire_gets(&r))
		;
	assert_true(is_back(&r));
	sh("ip link set xa up");
	assert_true(loop_until(&r, wire_gets));
	traffic_stop(&t);
	assert_true(counted(&r.guest->port->in[0]->c.drops[SW_DROP_DOWN]) +
			    counted(&r.guest->port->in[0]->c.drops[SW_DROP_UNKNOWN]) +
			    counted(&r.guest->port->in[0]->c.drops[SW_DROP_NO_RECEIVERS]) +
			    counted(&r.guest->port->in[0]->c.drops[SW_DROP_BACKEND]) >
		    0);
	rig_close(&r);
}

/* The kernel lets go of a socket that was closed in a worker of its own. */
static void add_again(struct rig *r)
{
	uint64_t end = clock_ns() + PATIENCE_NS;
	struct error err = {0};

	while (sw_add_port(r->sw, "id=x,type=af-xdp,dev=xa", &r->port, &err)) {
		if (err.code != -EBUSY || clock_ns() > end)
			fail_msg("%s", err.text);
		usleep(10000);
	}
}

static void test_remove(void **state)
{
	struct traffic t;
	struct rig r;

	NEED_AF_XDP();
	make_veth("");
	rig_open(&r, true, "id=x,type=af-xdp,dev=xa", NULL);
	traffic_start(&t, &r);
	for (unsigned i = 0; i < 5; i++) {
		assert_true(loop_until(&r, wire_gets));
		sw_remove_port(r.port);
		while (wire_gets(&r))
			;
		add_again(&r);
	}
	assert_true(loop_until(&r, wire_gets));
	traffic_stop(&t);
	/* Nothing of it is left behind. */
	sw_remove_port(r.port);
	sh("! ip link show xa | grep -q xdp");
	sw_destroy(r.sw);
	bed_free(r.guest);
	close(r.wire);
	sh("ip link del xa");
}

/* Without traffic the worker sleeps, and one frame from the wire wakes it. */
static void test_sleep(void **state)
{
	const struct bed_setup setup = {.kicks = true};
	uint8_t frame[100], got[2048];
	struct rig r;

	NEED_AF_XDP();
	make_veth("");
	rig_open(&r, true, "id=x,type=af-xdp,dev=xa", &setup);
	for (unsigned round = 0; round < 10; round++) {
		unsigned len = 0;

		bed_check_asleep(r.sw);
		bed_frame(frame, 100, 1, WIRE_MAC, round);
		assert_int_equal(send(r.wire, frame, 100, 0), 100);
		for (unsigned i = 0; i < PATIENCE_MS * 2 && !len; i++) {
			usleep(500);
			len = bed_recv(r.guest, 0, got, NULL);
		}
		assert_int_equal(len, 100);
	}
	rig_close(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_each_way),
		cmocka_unit_test(test_errors),
		cmocka_unit_test(test_bulk),
		cmocka_unit_test(test_overrun),
		cmocka_unit_test(test_flood_and_jumbo),
		cmocka_unit_test(test_offloads),
		cmocka_unit_test(test_queues),
		cmocka_unit_test(test_two_ports),
		cmocka_unit_test(test_vanish),
		cmocka_unit_test(test_remove),
		cmocka_unit_test(test_sleep),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
