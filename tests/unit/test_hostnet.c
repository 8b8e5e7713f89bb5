/* SPDX-License-Identifier: Apache-2.0 */
#include "unit.h"

#include "hostnet/frame_ring.h"
#include "hostnet/hostnet.h"
#include "hostnet/user_frames.h"
#include "net_packets.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>

/* Usage text and error messages are made of these, so none may be missing. */
static void test_table(void **state)
{
	for (const struct hostnet_ops *const *o = hostnet_table; *o; o++) {
		assert_ptr_equal(hostnet_find((*o)->name), *o);
		assert_true((*o)->help && *(*o)->help);
		for (const struct option_key *k = (*o)->keys; k->name; k++)
			assert_true(k->value && *k->value && k->help && *k->help);
		assert_true((*o)->probe && (*o)->open && (*o)->send && (*o)->recv &&
			    (*o)->poll_fd && (*o)->set_offloads && (*o)->counters && (*o)->close);
	}
	assert_null(hostnet_find("carrier-pigeon"));
	for (int i = 0; i < HOSTNET_DROP_COUNT; i++)
		assert_string_not_equal(hostnet_drop_name((enum hostnet_drop)i), "unknown");
	assert_string_equal(hostnet_drop_name(HOSTNET_DROP_COUNT), "unknown");
}

static void test_none(void **state)
{
	struct hostnet_params params = {.id = "net0", .queues = 2, .mtu = 9000};
	const struct hostnet_ops *none = hostnet_find("none");
	uint8_t bytes[60] = {0};
	struct iovec iov = {bytes, sizeof(bytes)};
	struct net_frame f[3] = {{&iov, 1, 60, {0}}, {&iov, 1, 60, {0}}, {&iov, 1, 60, {0}}};
	struct options opts = {0};
	struct hostnet_counters c;
	struct net_offload off;
	struct hostnet *hn;

	assert_int_equal(none->open(&opts, &params, &hn, NULL), 0);
	assert_int_equal(hn->queues, 2);
	assert_int_equal(hn->mtu, 9000);
	assert_int_equal(none->send(hn, 1, f, 3), 3);
	assert_int_equal(none->recv(hn, 0, &iov, 1, &off), -EAGAIN);
	assert_true(none->poll_fd(hn, 0) >= 0);
	none->counters(hn, 1, &c);
	assert_int_equal(c.drops[HOSTNET_DROP_DOWN], 3);
	assert_int_equal(c.tx_frames, 0);
	none->counters(hn, 0, &c);
	assert_int_equal(c.drops[HOSTNET_DROP_DOWN], 0);
	none->close(hn);
}

static bool readable(int fd)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};

	return poll(&p, 1, 0) == 1;
}

/* A frame of any length, whose bytes follow from its number. */
static uint32_t ring_length(uint32_t n)
{
	return (n * 2654435761u >> 7) % (n % 16 ? 300 : 9000);
}

static void ring_fill(uint8_t *p, uint32_t n)
{
	memset(p, (int)(n % 251), ring_length(n));
}

static int ring_put(struct frame_ring *ring, uint32_t n)
{
	struct net_offload off = {.gso_size = (uint16_t)n};
	uint8_t p[9000];
	struct iovec iov[2] = {{p, 5}, {p + 5, sizeof(p) - 5}};

	ring_fill(p, n);
	return frame_ring_push(ring, iov, 2, ring_length(n), &off);
}

static bool ring_get(struct frame_ring *ring, uint32_t n)
{
	uint8_t got[9000], want[9000];
	struct iovec iov[2] = {{got, 100}, {got + 100, sizeof(got) - 100}};
	struct net_offload off;
	ssize_t len = frame_ring_pop(ring, iov, 2, &off);

	if (len == -EAGAIN)
		return false;
	ring_fill(want, n);
	assert_int_equal(len, ring_length(n));
	assert_int_equal(off.gso_size, (uint16_t)n);
	assert_memory_equal(got, want, (size_t)len);
	return true;
}

/* Random fillings: order, contents, bounds, and the descriptor, at every step. */
static void test_ring(void **state)
{
	struct frame_ring *ring;
	uint32_t in = 0, out = 0;

	assert_int_equal(frame_ring_create(&ring, 32768), 0);
	srand(6);
	for (unsigned round = 0; round < 3000; round++) {
		unsigned puts = (unsigned)rand() % 40, gets = (unsigned)rand() % 40;

		while (puts-- && ring_put(ring, in) == 0)
			in++;
		assert_true(in == out || readable(frame_ring_fd(ring)));
		assert_true(frame_ring_used(ring) <= 32768);
		while (gets-- && ring_get(ring, out))
			out++;
	}
	while (ring_get(ring, out))
		out++;
	assert_int_equal(in, out);
	assert_true(in > 10000);
	assert_int_equal(frame_ring_used(ring), 0);
	assert_false(readable(frame_ring_fd(ring)));
	frame_ring_destroy(ring);
}

static void test_ring_small_room(void **state)
{
	uint8_t p[100] = {0};
	struct iovec iov = {p, 100}, room = {p, 99};
	struct net_offload off = {0};
	struct frame_ring *ring;

	assert_int_equal(frame_ring_create(&ring, 4096), 0);
	assert_int_equal(frame_ring_push(ring, &iov, 1, 100, &off), 0);
	assert_int_equal(frame_ring_pop(ring, &room, 1, &off), -EMSGSIZE);
	assert_int_equal(frame_ring_pop(ring, &room, 1, &off), -EAGAIN);
	assert_int_equal(frame_ring_push(ring, &iov, 1, 5000, &off), -ENOBUFS);
	frame_ring_destroy(ring);
}

#define RING_FRAMES 100000

static void *ring_producer(void *arg)
{
	for (uint32_t n = 0; n < RING_FRAMES;) {
		if (ring_put(arg, n) == 0)
			n++;
		else
			sched_yield();
	}
	return NULL;
}

/* The consumer sleeps on the descriptor whenever it finds nothing: no frame may be missed. */
static void test_ring_threads(void **state)
{
	struct frame_ring *ring;
	pthread_t thread;

	assert_int_equal(frame_ring_create(&ring, 65536), 0);
	pthread_create(&thread, NULL, ring_producer, ring);
	for (uint32_t n = 0; n < RING_FRAMES;) {
		struct pollfd p = {.fd = frame_ring_fd(ring), .events = POLLIN};

		if (ring_get(ring, n))
			n++;
		else
			assert_int_equal(poll(&p, 1, PATIENCE_MS), 1);
	}
	pthread_join(thread, NULL);
	frame_ring_destroy(ring);
}

/* The announcement in a SYN is raised with its checksum kept, wherever the option stands. */
static void test_mss(void **state)
{
	for (unsigned before = 0; before < 4; before++) {
		for (unsigned v6 = 0; v6 < 2; v6++) {
			struct packet_shape s = {
				.v6 = v6, .proto = IP_PROTO_TCP, .tcp_flags = 2, .tcp_options = 8};
			struct packet k = packet_make(&s), got;
			uint8_t *opt = k.p + k.l4 + 20 + before;
			static uint8_t buf[USER_FRAME_MAX];
			struct iovec iov = {k.p, k.len};
			struct net_frame f = {.iov = &iov, .niov = 1, .len = k.len};
			struct user_shape shape;
			ssize_t len;

			f.off = (struct net_offload){.flags = NET_NEEDS_CSUM,
						     .csum_start = (uint16_t)k.l4,
						     .csum_offset = 16};
			memcpy(opt, "\2\4\5\x14", 4); /* 1300 */
			user_shape_init(&shape, 1500);
			shape.offloads = NET_OFFLOAD_CSUM | NET_OFFLOAD_TSO4 | NET_OFFLOAD_TSO6;
			len = user_from_guest(&shape, &f, buf);
			assert_int_equal(len, k.len);
			got = k;
			got.p = buf;
			assert_true(naive_l4_good(&got, IP_PROTO_TCP));
			assert_true(load_be16(buf + k.l4 + 22 + before) > 1460);
			assert_int_equal(v6 ? shape.mss6 : shape.mss4, 1300);
			/* Noted, but left alone for a guest that could not take more. */
			user_shape_init(&shape, 1500);
			user_from_guest(&shape, &f, buf);
			assert_int_equal(load_be16(buf + k.l4 + 22 + before), 1300);
			assert_true(naive_l4_good(&got, IP_PROTO_TCP));
			assert_int_equal(v6 ? shape.mss6 : shape.mss4, 1300);
			free(k.p);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_table),	     cmocka_unit_test(test_none),
		cmocka_unit_test(test_ring),	     cmocka_unit_test(test_ring_small_room),
		cmocka_unit_test(test_ring_threads), cmocka_unit_test(test_mss),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
