/* SPDX-License-Identifier: Apache-2.0 */
/* The in-process plane with its worker threads; also run under ThreadSanitizer. */
#include "inproc_bed.h"

#include "base/thread.h"

#include <stdio.h>

static const struct variant *variant;
static struct bed *bed;

#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
#define SLOWER 5
#else
#define SLOWER 1
#endif
#define NONE PLANE_DROP_COUNT

static int teardown(void **state)
{
	bed_done(bed);
	free(bed);
	return 0;
}

static int setup(void **state)
{
	bed = calloc(1, sizeof(*bed));
	bed_init(bed, variant, 1, 64);
	return 0;
}

static int setup_pairs(void **state)
{
	bed = calloc(1, sizeof(*bed));
	bed_init(bed, variant, 4, 64);
	return 0;
}

/* Waits until the device calls. On a busy machine that may take a while. */
static void wait_call(struct bed_ring *r)
{
	struct pollfd p = {.fd = r->pq.call_fd, .events = POLLIN};

	if (!poll(&p, 1, PATIENCE_MS))
		fail_msg("a kick or a call was lost");
	bed_signals(r->pq.call_fd);
}

/* Receives a frame, sleeping for it as a driver does. */
static bool recv_wait(unsigned queue, struct guest_frame *f)
{
	struct bed_ring *r = &bed->rings[queue];
	uint64_t end = clock_ns() + PATIENCE_NS;

	while (!guest_recv(bed, queue, f)) {
		if (clock_ns() > end)
			return false;
		if (!vdrv_enable_calls(r->drv))
			wait_call(r);
		vdrv_disable_calls(r->drv);
	}
	return true;
}

static void send_wait(unsigned queue, const void *data, uint32_t len)
{
	struct bed_ring *r = &bed->rings[queue];
	uint64_t end = clock_ns() + PATIENCE_NS;

	guest_reclaim(bed, queue);
	while (!guest_send(bed, queue, NULL, data, len, NULL)) {
		assert_true(clock_ns() < end);
		if (!vdrv_enable_calls(r->drv))
			wait_call(r);
		vdrv_disable_calls(r->drv);
		guest_reclaim(bed, queue);
	}
}

/* Each side sleeps until the other signals: one lost kick or call ends it. */
static void ping_pong(const char *options, unsigned rounds)
{
	static struct guest_frame got;
	uint8_t frame[100];
	struct options opts;
	struct error err;

	assert_int_equal(options_parse(&opts, options, &err), 0);
	bed->wire->queues[0].loop = true;
	bed_open(bed, &bed->fake, &opts, true, &bed->plane);
	options_free(&opts);
	bed_start_plane(bed, bed->plane);
	vdrv_disable_calls(bed->rings[0].drv);
	vdrv_disable_calls(bed->rings[1].drv);
	guest_post(bed, 0, 64, 2000, NULL);
	for (unsigned i = 0; i < rounds; i++) {
		make_frame(frame, 100, bed_mac, i);
		send_wait(1, frame, 100);
		assert_true(recv_wait(0, &got));
		assert_int_equal(got.len, 100);
		assert_memory_equal(got.data, frame, 100);
		guest_post(bed, 0, 1, 2000, NULL);
	}
	assert_counted(bed, 0, rounds, rounds, NONE);
	assert_counted(bed, 1, rounds, rounds, NONE);
}

static void no_signal_is_lost(void **state)
{
	ping_pong("", 20000 / SLOWER);
}

static void no_signal_is_lost_spinning(void **state)
{
	ping_pong("poll-us=200,worker-cpus=0", 20000 / SLOWER);
}

/* Buffers are given one at a time, so that the receive queue starves all the while. */
static void starving(void **state)
{
	static struct guest_frame got;
	uint8_t frame[200];
	unsigned put = 0;

	bed_open(bed, &bed->fake, NULL, true, &bed->plane);
	bed_start_plane(bed, bed->plane);
	vdrv_disable_calls(bed->rings[0].drv);
	for (unsigned i = 0; i < 5000 / SLOWER; i++) {
		for (; put < i + 5; put++) {
			make_frame(frame, 200, bed_mac, put);
			wire_put(bed->wire, 0, frame, 200, NULL);
		}
		guest_post(bed, 0, 1 + i % 2, 300, NULL);
		assert_true(recv_wait(0, &got));
		make_frame(frame, 200, bed_mac, i);
		assert_memory_equal(got.data, frame, 200);
	}
}

/* The network's side of the tests below: numbered frames, as many as the guest keeps up with. */
struct source {
	pthread_t thread;
	_Atomic bool stop;
	unsigned queue;
	uint32_t put;
};

static void *source_run(void *arg)
{
	struct source *s = arg;
	uint8_t frame[SLOT];

	for (; !atomic_load(&s->stop); s->put++) {
		uint32_t len = 64 + s->put % 1400;

		while (wire_waiting(bed->wire, s->queue) > 100 && !atomic_load(&s->stop))
			usleep(50);
		make_frame(frame, len, bed_mac, s->put);
		wire_put(bed->wire, s->queue, frame, len, NULL);
	}
	return NULL;
}

/* The guest's: sends numbered frames and checks those it gets. */
struct guest {
	pthread_t thread;
	_Atomic bool stop;
	_Atomic uint32_t sent, received;
	uint32_t next; /* the lowest number that may come */
	const char *wrong;
};

/* A frame's number, or UINT32_MAX when it is not as it was put on the wire. */
static uint32_t frame_number(const struct guest_frame *f)
{
	uint8_t frame[SLOT];
	uint32_t number = f->len >= 64 ? load_le32(f->data + 14) : UINT32_MAX;

	make_frame(frame, f->len, bed_mac, number);
	if (f->len != 64 + number % 1400 || memcmp(f->data, frame, f->len))
		return UINT32_MAX;
	return number;
}

static void *guest_run(void *arg)
{
	static struct guest_frame got;
	struct guest *g = arg;
	uint8_t frame[SLOT];

	while (!atomic_load(&g->stop) && !g->wrong) {
		bool idle = true;

		guest_reclaim(bed, 1);
		make_frame(frame, 64 + g->sent % 500, bed_mac, g->sent);
		if (guest_send(bed, 1, NULL, frame, 64 + g->sent % 500, NULL)) {
			g->sent++;
			idle = false;
		}
		while (guest_recv(bed, 0, &got)) {
			uint32_t number = frame_number(&got);

			if (number == UINT32_MAX || number < g->next)
				g->wrong = "a frame is changed, out of order, or there twice";
			g->next = number + 1;
			g->received++;
			idle = false;
		}
		guest_post(bed, 0, 64, 1000, NULL);
		if (idle)
			sched_yield();
	}
	return NULL;
}

/*
 * Ends both sides once the plane is done with what was put: every frame is in the guest, or dropped
 * and counted, which happens when this host does not let the guest's thread run for so long that
 * it has no buffers.
 */
static void end_traffic(struct source *source, struct guest *guest)
{
	static struct guest_frame rest;
	struct plane_queue_counters c;
	uint64_t end = clock_ns() + PATIENCE_NS;

	atomic_store(&source->stop, true);
	pthread_join(source->thread, NULL);
	do {
		usleep(10000);
		c = bed_counters(bed, 0);
	} while (c.frames_out + drops_of(&c) < source->put && clock_ns() < end);
	atomic_store(&guest->stop, true);
	pthread_join(guest->thread, NULL);
	if (guest->wrong)
		fail_msg("%s: frame %u", guest->wrong, guest->received);
	/* Those in the ring when the guest stopped to look are there still. */
	while (guest_recv(bed, 0, &rest))
		guest->received++;
	assert_int_equal(c.frames_in, source->put);
	assert_int_equal(drops_of(&c), c.drops[PLANE_DROP_NO_RX_BUFFER]);
	assert_int_equal(guest->received + drops_of(&c), source->put);
}

/* The frames that were sent, in order, each once. */
static uint32_t check_sent(uint32_t next)
{
	uint8_t frame[1000];
	struct wire_frame *f;

	while ((f = wire_take(bed->wire, 0))) {
		make_frame(frame, 64 + next % 500, bed_mac, next);
		assert_int_equal(f->len, 64 + next % 500);
		assert_memory_equal(f->data, frame, f->len);
		free(f);
		next++;
	}
	return next;
}

/* The guest has sent and received more than n frames. */
static void await_guest(struct guest *guest, uint32_t n)
{
	uint64_t end = clock_ns() + PATIENCE_NS;

	while ((guest->sent <= n || guest->received <= n) && clock_ns() < end)
		usleep(1000);
}

/* Two planes take turns under traffic. What one popped and did not finish the other takes up. */
static void turns_under_traffic(void **state)
{
	struct source source = {.queue = 0};
	struct guest guest = {0};
	static struct guest_frame rest;
	struct plane *planes[2];
	struct fake fakes[2];
	uint64_t in = 0, out = 0, dropped = 0;
	uint32_t sent = 0;

	for (unsigned i = 0; i < 2; i++)
		bed_open(bed, &fakes[i], NULL, true, &planes[i]);
	bed_start_plane(bed, planes[0]);
	pthread_create(&guest.thread, NULL, guest_run, &guest);
	pthread_create(&source.thread, NULL, source_run, &source);
	for (unsigned i = 0; i < 300; i++) {
		usleep(i % 10 * 200);
		bed_stop_plane(bed, planes[i % 2]);
		sent = check_sent(sent);
		bed_start_plane(bed, planes[(i + 1) % 2]);
		/* As a live switch does: whoever signalled the last plane signals this one. */
		bed_signal(bed->rings[0].pq.kick_fd);
		bed_signal(bed->rings[1].pq.kick_fd);
	}
	/* Each turn may have been over before this host let the guest's thread run. */
	await_guest(&guest, 400);
	atomic_store(&source.stop, true);
	pthread_join(source.thread, NULL);
	usleep(100000);
	atomic_store(&guest.stop, true);
	pthread_join(guest.thread, NULL);
	bed_stop_plane(bed, planes[0]);
	sent = check_sent(sent);
	if (guest.wrong)
		fail_msg("%s: frame %u", guest.wrong, guest.received);
	assert_true(sent > 300 && guest.received > 300);
	/* What is in the ring still was not lost either. */
	assert_in_range(guest.sent - sent, 0, 64);
	for (unsigned i = 0; i < 2; i++) {
		struct plane_queue_counters c;

		/*
		 * A frame that waited for buffers when it was stopped may be lost, and any number
		 * while the guest's thread is not let run; they are counted.
		 */
		planes[i]->ops->counters(planes[i], 0, &c);
		assert_int_equal(drops_of(&c), c.drops[PLANE_DROP_NO_RX_BUFFER]);
		assert_int_equal(c.frames_in, c.frames_out + drops_of(&c));
		in += c.frames_in;
		dropped += drops_of(&c);
		planes[i]->ops->counters(planes[i], 1, &c);
		assert_int_equal(drops_of(&c), 0);
		out += c.frames_out;
		planes[i]->ops->close(planes[i]);
	}
	assert_int_equal(out, sent);
	assert_int_equal(in + wire_waiting(bed->wire, 0), source.put);
	/* Those in the ring when the guest stopped to look are there still. */
	while (guest_recv(bed, 0, &rest))
		guest.received++;
	assert_int_equal(guest.received + dropped, in);
}

/* Everything the control thread may do while frames flow. */
static void changes_under_traffic(void **state)
{
	struct source source = {.queue = 0};
	struct guest guest = {0};
	struct error err;

	bed_open(bed, &bed->fake, NULL, true, &bed->plane);
	bed_start_plane(bed, bed->plane);
	pthread_create(&guest.thread, NULL, guest_run, &guest);
	pthread_create(&source.thread, NULL, source_run, &source);
	for (unsigned i = 0; i < 200; i++) {
		struct plane_queue_counters c = bed_counters(bed, i % 2);

		assert_true(c.frames_in >= c.frames_out);
		usleep(500);
		switch (i % 5) {
		case 0:
			bed->config.filter.promisc = !bed->config.filter.promisc;
			break;
		case 1:
			bed->config.rx_coalesce.max_usecs = i % 100;
			bed->config.tx_coalesce.max_usecs = i % 70;
			bed->config.rx_coalesce.max_packets = i % 10;
			break;
		case 2:
			assert_int_equal(
				guest_mem_add_ram(bed->mem, "more", 1 * GIB, MIB, NULL, &err), 0);
			break;
		case 3:
			assert_int_equal(guest_mem_remove_ram(bed->mem, 1 * GIB, &err), 0);
			break;
		case 4:
			bed->plane->ops->announce(bed->plane);
			break;
		}
		bed_configure(bed);
	}
	await_guest(&guest, 200);
	end_traffic(&source, &guest);
	assert_true(guest.received > 200);
}

static void reset(unsigned queue)
{
	struct bed_ring *r = &bed->rings[queue];

	r->pq.enabled = false;
	assert_int_equal(bed->plane->ops->queue_set(bed->plane, queue, &r->pq), 0);
	bed_ring_init(bed, r, 64);
	assert_int_equal(bed->plane->ops->queue_set(bed->plane, queue, &r->pq), 0);
}

/* One queue is reset over and over while the other pairs' frames flow. */
static void queue_reset_under_traffic(void **state)
{
	struct source source = {.queue = 0};
	struct guest guest = {0};

	bed_open(bed, &bed->fake, NULL, true, &bed->plane);
	bed_start_plane(bed, bed->plane);
	pthread_create(&guest.thread, NULL, guest_run, &guest);
	pthread_create(&source.thread, NULL, source_run, &source);
	for (unsigned i = 0; i < 300; i++) {
		reset(2 + i % 6);
		usleep(300);
	}
	end_traffic(&source, &guest);
}

/* The driver makes a descriptor available that points nowhere. */
static void break_ring(unsigned queue)
{
	struct bed_ring *r = &bed->rings[queue];
	struct vring_config *c = &r->pq.cfg;
	uint8_t *desc = bed_at(bed, c->desc, vring_desc_bytes(c));

	__atomic_store_n((uint64_t *)desc, htole64(1ULL << 60), __ATOMIC_RELAXED);
	/* Length, and in a packed ring the flag that makes it available. */
	__atomic_store_n((uint64_t *)desc + 1, htole64(bed->v.packed ? 100 | 1ULL << 55 : 100),
			 __ATOMIC_RELEASE);
	if (!bed->v.packed)
		__atomic_store_n((uint16_t *)bed_at(bed, c->driver, 4) + 1, htole16(1),
				 __ATOMIC_RELEASE);
	bed_signal(r->pq.kick_fd);
}

/* A worker finds the ring broken; the control thread's loop hears of it. */
static void broken_is_told(void **state)
{
	struct error err;
	uint64_t end = clock_ns() + PATIENCE_NS;

	bed->loop = loop_create(&err);
	bed_open(bed, &bed->fake, NULL, true, &bed->plane);
	bed_start_plane(bed, bed->plane);
	break_ring(1);
	while (!bed->broken && clock_ns() < end)
		loop_run_once(bed->loop, 100);
	assert_int_equal(bed->broken, 1);
	assert_int_equal(bed->broken_queue, 1);
	assert_int_equal(bed->fault, VRING_BAD_ADDRESS);
	/* Not told when the queue was reset meanwhile, nor when the plane is gone. */
	for (unsigned i = 0; i < 2; i++) {
		reset(1);
		break_ring(1);
		usleep(20000);
	}
	bed->plane->ops->close(bed->plane);
	bed->plane = NULL;
	loop_run_once(bed->loop, 0);
	assert_int_equal(bed->broken, 1);
	loop_destroy(bed->loop);
}

#define FLOWS 64

/* Frames of many flows come out of the wrong queues; each is received where RSS wants it. */
static void steering(void **state)
{
	static struct guest_frame got;
	struct rss_config *rss = &bed->config.rss;
	uint64_t end = clock_ns() + PATIENCE_NS, total = 20000 / SLOWER, in = 0, out = 0,
		 dropped = 0;
	uint32_t put = 0, received = 0, last[FLOWS] = {0};
	uint8_t frame[200];

	rss->enabled = true;
	rss->types = RSS_IPV4;
	rss->table_len = 16;
	for (unsigned i = 0; i < 16; i++)
		rss->table[i] = (uint16_t)(i % 4);
	rss->key_len = 40;
	for (unsigned i = 0; i < 40; i++)
		rss->key[i] = (uint8_t)(0x6d + 37 * i);
	bed_open(bed, &bed->fake, NULL, true, &bed->plane);
	bed_start_plane(bed, bed->plane);
	while (clock_ns() < end) {
		for (unsigned i = 0; i < 20 && put < total && put - received < 200; i++, put++) {
			memset(frame, 0, sizeof(frame));
			memcpy(frame, bed_mac, 6);
			store_be16(frame + 12, ETHER_IPV4);
			frame[14] = 0x45;
			store_be16(frame + 16, 186);
			frame[23] = 1;
			store_be32(frame + 26, put % FLOWS);
			store_le32(frame + 100, put);
			wire_put(bed->wire, put % FLOWS % 4, frame, 200, NULL);
		}
		for (unsigned q = 0; q < 4; q++) {
			guest_post(bed, 2 * q, 64, 400, NULL);
			while (guest_recv(bed, 2 * q, &got)) {
				uint32_t flow = load_be32(got.data + 26), hash;
				enum rss_report rep = rss_hash(rss, got.data, got.len, &hash);

				assert_int_equal(rss_queue(rss, rep, hash), q);
				assert_true(!last[flow] || load_le32(got.data + 100) > last[flow]);
				last[flow] = load_le32(got.data + 100);
				received++;
			}
		}
		in = out = dropped = 0;
		for (unsigned q = 0; q < 4; q++) {
			struct plane_queue_counters c = bed_counters(bed, 2 * q);

			in += c.frames_in;
			out += c.frames_out;
			dropped += drops_of(&c);
		}
		/* A frame is counted in before it is counted out, or dropped. */
		if (put == total && in == total && out + dropped == total && received == out)
			break;
	}
	assert_int_equal(in, total);
	assert_int_equal(out + dropped, total);
	assert_int_equal(received, out);
	assert_true(out > total / 2);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
#define T(fn)  cmocka_unit_test_setup_teardown(fn, setup, teardown)
#define TP(fn) cmocka_unit_test_setup_teardown(fn, setup_pairs, teardown)
		T(no_signal_is_lost),
		T(no_signal_is_lost_spinning),
		T(starving),
		T(turns_under_traffic),
		T(changes_under_traffic),
		TP(queue_reset_under_traffic),
		T(broken_is_told),
		TP(steering),
	};
	int failed = 0;

	for (unsigned i = 0; i < ARRAY_SIZE(bed_variants); i++) {
		variant = &bed_variants[i];
		failed += cmocka_run_group_tests_name(variant->name, tests, NULL, NULL);
	}
	return failed;
}
