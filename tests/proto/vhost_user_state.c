/* SPDX-License-Identifier: Apache-2.0 */
#include "unit/unit.h"

#include "switch/fdb.h"
#include "switch/switch.h"
#include "vhost/device_state.h"
#include "vhost/user_io.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

/*
 * A port's state through DEVICE_STATE, with a front-end of the test's: the addresses behind one port are
 * saved, and loaded at another, as when a guest migrates. No front-end and no state can do more than have
 * its own request refused.
 */
#define PROTOCOL \
	(1ULL << VHOST_USER_PROTOCOL_F_DEVICE_STATE | 1ULL << VHOST_USER_PROTOCOL_F_REPLY_ACK)
#define SAVE 0
#define LOAD 1
#define MANY 3000U

struct bed {
	char dir[32];
	struct loop *loop;
	struct sw *sw;
	int a, b, c; /* the ports' sockets; c is an access port, and lets one address in */
};

static const uint8_t mac[6] = {2, 0, 0, 0, 0, 7}, moved[6] = {2, 0, 0, 0, 0, 8};

static int add(struct bed *b, const char *id, const char *more)
{
	char options[160];
	struct error err;
	int fd;

	snprintf(options, sizeof(options), "id=%s,type=vhost-user,server=on,socket=%s/%s%s", id,
		 b->dir, id, more);
	if (sw_add_port(b->sw, options, NULL, &err))
		fail_msg("%s", err.text);
	snprintf(options, sizeof(options), "%s/%s", b->dir, id);
	fd = vhost_user_connect(options, &err);
	assert_true(fd >= 0);
	loop_run_once(b->loop, 0);
	return fd;
}

static void send_msg(struct bed *b, int fd, uint32_t request, const void *payload, uint32_t size,
		     int with)
{
	struct vhost_user_msg msg = {.hdr = {request, VHOST_USER_VERSION, size}};
	struct error err;

	memcpy(&msg.payload, payload, size);
	msg.fds[0] = with;
	msg.nfds = with >= 0;
	assert_int_equal(vhost_user_send(fd, &msg, 0, &err), 0);
	loop_run_once(b->loop, 0);
}

/* The answer, a number. */
static uint64_t hear(struct bed *b, int fd)
{
	struct vhost_user_rx rx = {0};
	struct error err;
	int rc = 0;

	for (unsigned i = 0; i < 100 && rc == 0; i++) {
		rc = vhost_user_rx_step(&rx, VHOST_USER_CHANNEL_FRONTEND, fd, &err);
		loop_run_once(b->loop, 0);
	}
	assert_int_equal(rc, 1);
	assert_int_equal(rx.msg.nfds, 0);
	assert_int_equal(rx.msg.hdr.size, 8);
	return rx.msg.payload.u64;
}

static void bed_open(struct bed *b)
{
	struct sw_options o;
	struct error err;
	uint64_t protocol = PROTOCOL;

	*b = (struct bed){.dir = "/tmp/vu-state-XXXXXX"};
	assert_non_null(mkdtemp(b->dir));
	b->loop = loop_create(&err);
	sw_options_init(&o);
	o.threads = false;
	b->sw = sw_create(&o, b->loop, &err);
	assert_non_null(b->sw);
	b->a = add(b, "a", "");
	b->b = add(b, "b", "");
	b->c = add(b, "c", ",vlan=access:9,allowed-mac=02:00:00:00:00:07");
	for (unsigned i = 0; i < 3; i++)
		send_msg(b,
			 i == 0	  ? b->a
			 : i == 1 ? b->b
				  : b->c,
			 VHOST_USER_SET_PROTOCOL_FEATURES, &protocol, 8, -1);
}

static void bed_close(struct bed *b)
{
	close(b->a);
	close(b->b);
	close(b->c);
	sw_destroy(b->sw);
	loop_destroy(b->loop);
	rmdir(b->dir);
}

static void learn(struct bed *b, const uint8_t address[6], uint16_t vid, const char *port)
{
	unsigned index = sw_find_port(b->sw, port)->index;

	assert_true(fdb_learn(sw_fdb(b->sw), fdb_key(address, vid), index, sw_now(b->sw)));
}

/* "a" where a has it. */
static const char *where(struct bed *b, const uint8_t address[6], uint16_t vid)
{
	int port = fdb_lookup(sw_fdb(b->sw), fdb_key(address, vid));

	return port < 0 ? "nowhere" : sw_port_at(b->sw, (unsigned)port)->id;
}

static uint64_t begin(struct bed *b, int fd, uint32_t direction, int with)
{
	const struct vhost_user_transfer t = {direction, 0};

	send_msg(b, fd, VHOST_USER_SET_DEVICE_STATE_FD, &t, sizeof(t), with);
	return hear(b, fd);
}

static uint64_t check(struct bed *b, int fd)
{
	send_msg(b, fd, VHOST_USER_CHECK_DEVICE_STATE, "", 0, -1);
	return hear(b, fd);
}

/* All that comes, read slowly: the pipe has to be waited for. */
static size_t save(struct bed *b, int fd, uint8_t *to, size_t room)
{
	size_t len = 0;
	ssize_t n = 1;
	int p[2];

	assert_int_equal(pipe2(p, O_CLOEXEC | O_NONBLOCK), 0);
	fcntl(p[1], F_SETPIPE_SZ, 4096);
	assert_int_equal(begin(b, fd, SAVE, p[1]), 0x100); /* well, and no descriptor in return */
	close(p[1]);
	for (unsigned i = 0; i < 1000 && n; i++) {
		n = read(p[0], to + len, MIN(room - len, 1000));
		assert_true(n >= 0 || errno == EAGAIN);
		len += n > 0 ? (size_t)n : 0;
		loop_run_once(b->loop, 0);
	}
	assert_int_equal(n, 0); /* to its end */
	close(p[0]);
	return len;
}

/* What CHECK_DEVICE_STATE says of it. */
static uint64_t load(struct bed *b, int fd, const uint8_t *from, size_t len)
{
	int p[2];

	assert_int_equal(pipe2(p, O_CLOEXEC | O_NONBLOCK), 0);
	assert_int_equal(begin(b, fd, LOAD, p[0]), 0x100);
	close(p[0]);
	for (size_t at = 0; at < len;) {
		ssize_t n = write(p[1], from + at, MIN(len - at, 3001));

		if (n < 0 && errno != EAGAIN)
			break; /* it has had enough */
		at += n > 0 ? (size_t)n : 0;
		loop_run_once(b->loop, 0);
	}
	close(p[1]);
	return check(b, fd);
}

static void test_moves(void **state)
{
	static uint8_t bytes[1 << 17];
	struct bed b;
	size_t len;

	bed_open(&b);
	learn(&b, mac, 0, "a");
	learn(&b, moved, 5, "a");
	learn(&b, moved, 6, "b");
	assert_int_equal(
		fdb_set_static(sw_fdb(b.sw), fdb_key(moved, 7), sw_find_port(b.sw, "a")->index), 0);
	len = save(&b, b.a, bytes, sizeof(bytes));
	assert_int_equal(check(&b, b.a), 0);
	assert_int_equal(len, device_state_size(2));
	assert_int_equal(load(&b, b.b, bytes, len), 0);
	assert_string_equal(where(&b, mac, 0), "b");
	assert_string_equal(where(&b, moved, 5), "b");
	assert_string_equal(where(&b, moved, 7), "a"); /* static: the operator's */
	/* An access port in another VLAN, which allows one of them, and what has no tag. */
	assert_int_equal(load(&b, b.c, bytes, len), 0);
	assert_string_equal(where(&b, mac, 9), "c");
	assert_string_equal(where(&b, mac, 0), "b");
	assert_string_equal(where(&b, moved, 5), "b");
	assert_string_equal(where(&b, moved, 9), "nowhere");
	assert_int_equal(save(&b, b.c, bytes, sizeof(bytes)), device_state_size(1));
	bed_close(&b);
}

static void test_many(void **state)
{
	static uint8_t bytes[1 << 17];
	unsigned there = 0;
	struct bed b;
	size_t len;

	bed_open(&b);
	for (unsigned i = 0; i < MANY; i++) {
		const uint8_t one[6] = {2, 1, 0, 0, (uint8_t)(i >> 8), (uint8_t)i};

		learn(&b, one, 0, "a");
	}
	len = save(&b, b.a, bytes, sizeof(bytes));
	assert_int_equal(len, device_state_size(MANY));
	assert_int_equal(load(&b, b.b, bytes, len), 0);
	for (unsigned i = 0; i < MANY; i++) {
		const uint8_t one[6] = {2, 1, 0, 0, (uint8_t)(i >> 8), (uint8_t)i};

		there += strcmp(where(&b, one, 0), "b") == 0;
	}
	assert_int_equal(there, MANY);
	bed_close(&b);
}

static void test_hostile(void **state)
{
	static uint8_t bytes[4096 + (1 << 20) + 4096], junk[sizeof(bytes)];
	struct device_state_address one = {.vlan = 0};
	struct bed b;
	size_t len;
	int p[2], event = eventfd(0, EFD_CLOEXEC);

	bed_open(&b);
	memcpy(one.mac, mac, 6);
	device_state_write(bytes, &one, 1);
	len = device_state_size(1);
	assert_int_equal(load(&b, b.a, bytes, 0), 1);
	for (size_t cut = 1; cut < len; cut++)
		assert_int_equal(load(&b, b.a, bytes, cut), 1);
	assert_int_equal(load(&b, b.a, bytes, len + 1), 1);
	for (unsigned at = 0; at < 16; at++) { /* every byte of the header matters */
		bytes[at] ^= 0x41;
		assert_int_equal(load(&b, b.a, bytes, len), 1);
		bytes[at] ^= 0x41;
	}
	bytes[16] |= 1; /* a group's address */
	assert_int_equal(load(&b, b.a, bytes, len), 1);
	bytes[16] ^= 1;
	assert_int_equal(load(&b, b.a, junk, sizeof(junk)), 1);
	assert_string_equal(where(&b, mac, 0), "nowhere");
	/* Not pipes; nobody at the other end; not finished; nothing asked for. */
	assert_int_equal(begin(&b, b.a, SAVE, event), 0x101);
	assert_int_equal(pipe2(p, O_CLOEXEC), 0);
	assert_int_equal(begin(&b, b.a, LOAD, p[0]), 0x100);
	assert_int_equal(check(&b, b.a), 1); /* p[1] is open, and blocks whoever waits for it */
	close(p[0]);
	assert_int_equal(begin(&b, b.a, SAVE, p[1]), 0x100);
	assert_int_equal(check(&b, b.a), 1);
	assert_int_equal(check(&b, b.a), 1);
	close(p[1]);
	/* In the middle of it the front-end goes. */
	assert_int_equal(pipe2(p, O_CLOEXEC), 0);
	assert_int_equal(begin(&b, b.b, LOAD, p[0]), 0x100);
	close(b.b);
	loop_run_once(b.loop, 0);
	loop_run_once(b.loop, 0);
	assert_int_equal(write(p[1], bytes, len), (ssize_t)len); /* p[0] is ours too */
	close(p[0]);
	close(p[1]);
	b.b = dup(event);
	/* After all that it works as before. */
	assert_int_equal(load(&b, b.a, bytes, len), 0);
	assert_string_equal(where(&b, mac, 0), "a");
	close(event);
	bed_close(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_moves),
		cmocka_unit_test(test_many),
		cmocka_unit_test(test_hostile),
	};

	signal(SIGPIPE, SIG_IGN); /* as the program does */
	return cmocka_run_group_tests(tests, NULL, NULL);
}
