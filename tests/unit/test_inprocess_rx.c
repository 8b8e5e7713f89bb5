/* SPDX-License-Identifier: Apache-2.0 */
/* The in-process plane without threads: receive buffers of all shapes, filter, RSS, moderation. */
#include "inproc_bed.h"

static const struct variant *variant;
static struct bed *bed;
static uint8_t frame[SLOT];
static struct guest_frame got;

#define NONE PLANE_DROP_COUNT

static int setup(void **state)
{
	bed = calloc(1, sizeof(*bed));
	bed_init(bed, variant, 1, 128);
	return 0;
}

static int setup_pairs(void **state)
{
	bed = calloc(1, sizeof(*bed));
	bed_init(bed, variant, 4, 64);
	return 0;
}

static int teardown(void **state)
{
	bed_done(bed);
	free(bed);
	return 0;
}

static void put(unsigned queue, uint32_t len, uint32_t seed)
{
	make_frame(frame, len, bed_mac, seed);
	wire_put(bed->wire, queue, frame, len, NULL);
}

static void assert_got(unsigned queue, uint32_t len, uint32_t seed)
{
	assert_true(guest_recv(bed, queue, &got));
	make_frame(frame, len, bed_mac, seed);
	assert_int_equal(got.len, len);
	assert_memory_equal(got.data, frame, len);
}

/* Buffers cut anyhow, among them headers split over several descriptors. */
static void buffers_of_any_shape(void **state)
{
	static const uint32_t cuts[][16] = {
		{0},	   {12},	  {5, 7}, {1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1},
		{13, 100}, {4, 4, 4, 50},
	};

	bed_start(bed);
	for (unsigned i = 0; i < 120; i++) {
		assert_int_equal(guest_post(bed, 0, 1, 2000, cuts[i % ARRAY_SIZE(cuts)]), 1);
		put(0, 60 + i * 16, i);
		bed_step(bed);
		assert_got(0, 60 + i * 16, i);
		assert_int_equal(got.buffers, 1);
	}
	assert_counted(bed, 0, 120, 120, NONE);
}

/* A frame that was not delivered leaves the buffers as they were for the next one. */
static void rewound_buffers_are_whole(void **state)
{
	static const uint32_t cuts[] = {3, 3, 3, 3, 3, 0};
	static const uint8_t other[6] = {0x52, 0x54, 0, 1, 2, 3};

	bed->config.filter.promisc = false;
	bed_start(bed);
	for (unsigned i = 0; i < 40; i++) {
		guest_post(bed, 0, 1, 500, cuts);
		make_frame(frame, 1000, other, i);
		wire_put(bed->wire, 0, frame, 400, NULL);
		put(0, 100 + i, i);
		bed_step(bed);
		assert_got(0, 100 + i, i);
	}
	assert_counted(bed, 0, 80, 40, PLANE_DROP_RX_FILTER);
}

static void mergeable_small_buffers(void **state)
{
	bed_start(bed);
	guest_post(bed, 0, 128, 600, NULL);
	for (unsigned i = 0; i < 200; i++) {
		uint32_t len = 60 + i * 151 % 9000;

		put(0, len, i);
		bed_step(bed);
		assert_got(0, len, i);
		assert_int_equal(got.buffers, (len + 12 + 599) / 600);
		guest_post(bed, 0, 128, 600, NULL);
	}
	assert_counted(bed, 0, 200, 200, NONE);
}

/* The largest frames, after many small ones: what was ready for small ones is not enough. */
static void large_after_small(void **state)
{
	bed_start(bed);
	guest_post(bed, 0, 128, 1500, NULL);
	for (unsigned round = 0; round < 6; round++) {
		for (unsigned i = 0; i < 500; i++) {
			put(0, 60, i);
			bed_step(bed);
			assert_got(0, 60, i);
			guest_post(bed, 0, 128, 1500, NULL);
		}
		put(0, NET_FRAME_MAX - round, round);
		put(0, 77, round);
		bed_step(bed);
		assert_got(0, NET_FRAME_MAX - round, round);
		assert_int_equal(got.buffers, (NET_FRAME_MAX - round + 12 + 1499) / 1500);
		assert_got(0, 77, round);
		guest_post(bed, 0, 128, 1500, NULL);
	}
	assert_counted(bed, 0, 6 * 502, 6 * 502, NONE);
}

static void no_buffers(void **state)
{
	bed_start(bed);
	for (unsigned i = 0; i < 10; i++)
		put(0, 100, i);
	bed_step(bed);
	/* They wait where they are. */
	assert_int_equal(wire_waiting(bed->wire, 0), 10);
	assert_counted(bed, 0, 0, 0, NONE);
	for (unsigned i = 0; i < 10; i++) {
		guest_post(bed, 0, 1, 200, NULL);
		bed_step(bed);
		assert_got(0, 100, i);
	}
	assert_counted(bed, 0, 10, 10, NONE);
}

/* More than the buffers there are, then enough of them; then never enough. */
static void too_few_buffers(void **state)
{
	uint64_t start;

	bed_start(bed);
	guest_post(bed, 0, 2, 1000, NULL);
	put(0, 5000, 1);
	put(0, 60, 2);
	bed_step(bed);
	assert_false(guest_recv(bed, 0, &got));
	assert_int_equal(wire_waiting(bed->wire, 0), 1);
	guest_post(bed, 0, 10, 1000, NULL);
	bed_step(bed);
	assert_got(0, 5000, 1);
	/* Large frames came lately: it waits a moment for more buffers. */
	assert_int_equal(wire_waiting(bed->wire, 0), 1);
	usleep(2000);
	bed_step(bed);
	assert_got(0, 60, 2);
	assert_int_equal(got.buffers, 1);
	/* Five are left. */
	put(0, 20000, 3);
	put(0, 60, 4);
	start = clock_ns();
	while (!guest_recv(bed, 0, &got)) {
		bed_step(bed);
		assert_true(clock_ns() - start < PATIENCE_NS);
	}
	assert_int_equal(got.len, 60);
	assert_counted(bed, 0, 4, 3, PLANE_DROP_NO_RX_BUFFER);
}

/* A ring that could not take it even if it were full: dropped at once. */
static void never_enough(void **state)
{
	bed_ring_init(bed, &bed->rings[0], 4);
	bed_start(bed);
	guest_post(bed, 0, 4, 1000, NULL);
	put(0, 5000, 1);
	put(0, 60, 2);
	bed_step(bed);
	assert_got(0, 60, 2);
	assert_counted(bed, 0, 2, 1, PLANE_DROP_OVERSIZE);
}

static void not_mergeable(void **state)
{
	bed_feature(bed, VIRTIO_NET_F_MRG_RXBUF, false);
	bed_start(bed);
	guest_post(bed, 0, 128, 1526, NULL);
	for (unsigned i = 0; i < 300; i++) {
		uint32_t len = 60 + i * 31 % 2000;

		put(0, len, i);
		bed_step(bed);
		if (len <= 1514) {
			assert_got(0, len, i);
			assert_int_equal(got.buffers, 1);
		} else {
			assert_false(guest_recv(bed, 0, &got));
		}
		guest_post(bed, 0, 128, 1526, NULL);
	}
	assert_counted(bed, 0, 300, bed_counters(bed, 0).frames_out, PLANE_DROP_OVERSIZE);
	assert_in_range(bed_counters(bed, 0).frames_out, 200, 260);
}

static void not_mergeable_large(void **state)
{
	static const uint32_t cuts[] = {12, 4096, 4096, 4096, 4096, 4096, 4096, 4096, 0};

	bed_feature(bed, VIRTIO_NET_F_MRG_RXBUF, false);
	bed_start(bed);
	for (unsigned i = 0; i < 20; i++) {
		guest_post(bed, 0, 2, 66000, cuts);
		put(0, NET_FRAME_MAX - i, i);
		bed_step(bed);
		assert_got(0, NET_FRAME_MAX - i, i);
	}
	assert_counted(bed, 0, 20, 20, NONE);
}

/* Buffers too short for the header go back empty, in their turn, and no frame is lost. */
static void bad_buffers(void **state)
{
	struct bed_ring *r = &bed->rings[0];
	unsigned empty = 0, frames = 0;
	void *cookie;
	uint32_t len;

	bed_start(bed);
	for (unsigned i = 0; i < 60; i++)
		guest_post(bed, 0, 1, i % 4 == 3 ? 5 : 200, NULL);
	for (unsigned i = 0; i < 45; i++)
		put(0, 100, i);
	bed_step(bed);
	while (vdrv_get(r->drv, &cookie, &len) == 1) {
		if (len)
			frames++;
		else
			empty++;
	}
	assert_int_equal(frames, 45);
	assert_in_range(empty, 14, 15);
	assert_int_equal(bed_counters(bed, 0).bad_buffers, empty);
	assert_counted(bed, 0, 45, 45, NONE);
}

static void odd_frames(void **state)
{
	bed_start(bed);
	guest_post(bed, 0, 128, 1500, NULL);
	put(0, 13, 1);
	put(0, 0, 1);
	put(0, 14, 2);
	bed_step(bed);
	assert_got(0, 14, 2);
	assert_counted(bed, 0, 2, 1, PLANE_DROP_MALFORMED);
	put(0, NET_FRAME_MAX + 1, 3);
	bed_step(bed);
	assert_false(guest_recv(bed, 0, &got));
	assert_int_equal(bed_counters(bed, 0).drops[PLANE_DROP_OVERSIZE], 1);
}

static void backend_fails(void **state)
{
	uint64_t start = clock_ns();

	bed_start(bed);
	guest_post(bed, 0, 10, 1500, NULL);
	bed->wire->queues[0].recv_error = -EIO;
	put(0, 60, 1);
	bed_step(bed);
	bed_step(bed);
	assert_int_equal(bed->wire->queues[0].recv_calls, 1); /* it is left alone for a while */
	bed->wire->queues[0].recv_error = 0;
	while (!guest_recv(bed, 0, &got)) {
		bed_step(bed);
		assert_true(clock_ns() - start < PATIENCE_NS);
	}
}

static void filters(void **state)
{
	static const uint8_t multi[6] = {0x33, 0x33, 0, 0, 0, 1},
			     all[6] = {255, 255, 255, 255, 255, 255};
	static const uint8_t other[6] = {0x52, 0x54, 0, 9, 9, 9};
	const uint8_t *to[] = {bed_mac, multi, all, other};
	unsigned n = 0;

	bed->config.filter.promisc = false;
	bed_start(bed);
	guest_post(bed, 0, 128, 1500, NULL);
	for (unsigned i = 0; i < 4; i++) {
		make_frame(frame, 60, to[i], i);
		wire_put(bed->wire, 0, frame, 60, NULL);
	}
	bed_step(bed);
	for (; guest_recv(bed, 0, &got); n++)
		assert_true(got.data[0] == bed_mac[0] || got.data[0] == 255);
	assert_int_equal(n, 2);
	assert_counted(bed, 0, 4, 2, PLANE_DROP_RX_FILTER);
	bed->config.filter.allmulti = true;
	bed_configure(bed);
	make_frame(frame, 60, multi, 1);
	wire_put(bed->wire, 0, frame, 60, NULL);
	bed_step(bed);
	assert_true(guest_recv(bed, 0, &got));
	/* Some VLAN, then that one. */
	bed->config.filter.vlan_filter = true;
	bed_configure(bed);
	for (unsigned i = 0; i < 2; i++) {
		make_frame(frame, 64, bed_mac, 1);
		store_be16(frame + 12, ETHER_VLAN);
		store_be16(frame + 14, 100);
		wire_put(bed->wire, 0, frame, 64, NULL);
		bed_step(bed);
		assert_int_equal(guest_recv(bed, 0, &got), i == 1);
		bed->config.filter.vlans[100 / 8] |= 1 << 100 % 8;
		bed_configure(bed);
	}
}

/* IPv4 UDP from 10.0.0.x port to 10.0.0.1:9. */
static void make_udp(uint32_t len, unsigned x)
{
	uint8_t *ip = frame + 14;

	make_frame(frame, len, bed_mac, x);
	store_be16(frame + 12, ETHER_IPV4);
	memset(ip, 0, 28);
	ip[0] = 0x45;
	store_be16(ip + 2, (uint16_t)(len - 14));
	ip[8] = 64;
	ip[9] = IP_PROTO_UDP;
	store_be32(ip + 12, 0x0a000000 + x);
	store_be32(ip + 16, 0x0a000001);
	store_be16(ip + 20, (uint16_t)(1000 + x));
	store_be16(ip + 22, 9);
	store_be16(ip + 24, (uint16_t)(len - 34));
}

static void set_rss(bool steer)
{
	struct rss_config *rss = &bed->config.rss;

	rss->enabled = steer;
	rss->hash_report = !steer || features_has(&bed->features, VIRTIO_NET_F_HASH_REPORT);
	rss->types = RSS_IPV4 | RSS_UDPV4;
	rss->table_len = 128;
	for (unsigned i = 0; i < 128; i++)
		rss->table[i] = (uint16_t)(i % bed->npairs);
	rss->unclassified_queue = 2;
	rss->key_len = 40;
	for (unsigned i = 0; i < 40; i++)
		rss->key[i] = (uint8_t)(0x6d + 37 * i);
}

static void hash_report(void **state)
{
	static const uint32_t cuts[] = {12, 8, 0};

	bed_feature(bed, VIRTIO_NET_F_HASH_REPORT, true);
	set_rss(false);
	bed_start(bed);
	for (unsigned i = 0; i < 50; i++) {
		uint32_t hash;

		guest_post(bed, 0, 2, 1500, i % 2 ? cuts : NULL);
		make_udp(100 + i, i);
		wire_put(bed->wire, 0, frame, 100 + i, NULL);
		bed_step(bed);
		assert_true(guest_recv(bed, 0, &got));
		assert_int_equal(got.len, 100 + i);
		assert_memory_equal(got.data, frame, got.len);
		assert_int_equal(got.report, RSS_REPORT_UDPV4);
		rss_hash(&bed->config.rss, frame, 100, &hash);
		assert_int_equal(got.hash, hash);
		put(0, 60, i);
		bed_step(bed);
		assert_got(0, 60, i);
		assert_int_equal(got.report, RSS_REPORT_NONE);
		assert_int_equal(got.hash, 0);
		/* 20 bytes on the way out, too. */
		guest_send(bed, 1, NULL, frame, 60, i % 2 ? cuts : NULL);
		bed_step(bed);
		free(wire_take(bed->wire, 0));
		assert_int_equal(guest_reclaim(bed, 1), 1);
	}
	assert_counted(bed, 1, 50, 50, NONE);
}

static void rss_steers(void **state)
{
	unsigned per_queue[4] = {0};

	bed_feature(bed, VIRTIO_NET_F_HASH_REPORT, true);
	set_rss(true);
	bed_start(bed);
	for (unsigned i = 0; i < 4; i++)
		guest_post(bed, 2 * i, 64, 1500, NULL);
	for (unsigned i = 0; i < 400; i++) {
		enum rss_report report;
		uint32_t hash;
		unsigned to;

		make_udp(60 + i * 7 % 6000, i);
		report = rss_hash(&bed->config.rss, frame, 60, &hash);
		to = rss_queue(&bed->config.rss, report, hash);
		wire_put(bed->wire, i % 4, frame, 60 + i * 7 % 6000, NULL);
		bed_step(bed);
		assert_true(guest_recv(bed, 2 * to, &got));
		assert_int_equal(got.len, 60 + i * 7 % 6000);
		assert_memory_equal(got.data, frame, got.len);
		assert_int_equal(got.hash, hash);
		per_queue[to]++;
		guest_post(bed, 2 * to, 64, 1500, NULL);
	}
	for (unsigned i = 0; i < 4; i++) {
		assert_counted(bed, 2 * i, per_queue[i], per_queue[i], NONE);
		assert_in_range(per_queue[i], 50, 200);
	}
	put(0, 60, 1);
	bed_step(bed);
	assert_got(4, 60, 1);
}

/* The queue that was chosen has no buffers, or is not there: counted, nobody else waits. */
static void rss_to_nowhere(void **state)
{
	uint64_t in = 0, out = 0, dropped = 0;

	set_rss(true);
	for (unsigned i = 0; i < 128; i++)
		bed->config.rss.table[i] = 3;
	bed->config.rss.unclassified_queue = 0;
	bed_start(bed);
	guest_post(bed, 0, 64, 1500, NULL);
	for (unsigned i = 0; i < 200; i++) {
		make_udp(60, i);
		wire_put(bed->wire, 0, frame, 60, NULL);
	}
	put(0, 60, 1);
	bed_step(bed);
	assert_got(0, 60, 1);
	/* 64 are on their way, the others were dropped where they came from. */
	assert_int_equal(bed_counters(bed, 0).drops[PLANE_DROP_STEER], 200 - 64);
	bed_stop_plane(bed, bed->plane);
	assert_int_equal(bed_counters(bed, 6).drops[PLANE_DROP_NO_RX_BUFFER], 64);
	bed->rings[6].pq.enabled = false;
	bed_start_plane(bed, bed->plane);
	make_udp(60, 1);
	wire_put(bed->wire, 0, frame, 60, NULL);
	bed_step(bed);
	assert_int_equal(bed_counters(bed, 6).drops[PLANE_DROP_BROKEN], 1);
	for (unsigned i = 0; i < 8; i += 2) {
		struct plane_queue_counters c = bed_counters(bed, i);

		in += c.frames_in;
		out += c.frames_out;
		dropped += drops_of(&c);
	}
	assert_int_equal(in, 202);
	assert_int_equal(in, out + dropped);
}

/* Interrupt moderation: lower bounds only. */
static void moderation(void **state)
{
	struct bed_ring *r = &bed->rings[0];
	uint64_t start;

	bed->config.rx_coalesce = (struct plane_coalesce){30000, 8};
	bed_start(bed);
	guest_post(bed, 0, 100, 1500, NULL);
	vdrv_enable_calls(r->drv);
	bed_step(bed);
	bed_signals(r->pq.call_fd);
	start = clock_ns();
	put(0, 60, 0);
	bed_step(bed);
	if (clock_ns() - start < 30 * NSEC_PER_MSEC)
		assert_int_equal(bed_signals(r->pq.call_fd), 0);
	assert_got(0, 60, 0); /* it is there for who looks */
	vdrv_enable_calls(r->drv);
	put(0, 60, 1);
	while (!bed_signals(r->pq.call_fd)) {
		bed_step(bed);
		assert_true(clock_ns() - start < PATIENCE_NS);
	}
	assert_true(clock_ns() - start >= 30 * NSEC_PER_MSEC);
	assert_got(0, 60, 1);
	vdrv_enable_calls(r->drv);
	/* Eight at once do not wait. */
	bed->config.rx_coalesce.max_usecs = 60000000;
	bed_configure(bed);
	for (unsigned i = 0; i < 7; i++) {
		put(0, 60, i);
		bed_step(bed);
	}
	assert_int_equal(bed_signals(r->pq.call_fd), 0);
	put(0, 60, 7);
	bed_step(bed);
	assert_int_equal(bed_signals(r->pq.call_fd), 1);
	for (unsigned i = 0; i < 8; i++)
		assert_got(0, 60, i);
	/* A held call is made when the queue stops. */
	vdrv_enable_calls(r->drv);
	put(0, 60, 1);
	bed_step(bed);
	assert_int_equal(bed_signals(r->pq.call_fd), 0);
	bed_stop_plane(bed, bed->plane);
	assert_int_equal(bed_signals(r->pq.call_fd), 1);
}

/* Stopped with chains in hand and frames waiting: everything is there afterwards, once. */
static void stop_and_start(void **state)
{
	unsigned put_n = 0, got_n = 0;

	bed_start(bed);
	for (unsigned round = 0; round < 100; round++) {
		guest_post(bed, 0, 128, 700, NULL);
		for (unsigned i = 0; i < round % 7; i++, put_n++)
			put(0, 60 + put_n % 3000, put_n);
		if (round % 3)
			bed_step(bed);
		bed_stop_plane(bed, bed->plane);
		bed_start_plane(bed, bed->plane);
		bed_step(bed);
		for (; got_n < put_n; got_n++)
			assert_got(0, 60 + got_n % 3000, got_n);
		assert_false(guest_recv(bed, 0, &got));
	}
	assert_counted(bed, 0, put_n, put_n, NONE);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
#define T(fn)  cmocka_unit_test_setup_teardown(fn, setup, teardown)
#define TP(fn) cmocka_unit_test_setup_teardown(fn, setup_pairs, teardown)
		T(buffers_of_any_shape),
		T(rewound_buffers_are_whole),
		T(mergeable_small_buffers),
		T(large_after_small),
		T(no_buffers),
		T(too_few_buffers),
		T(never_enough),
		T(not_mergeable),
		T(not_mergeable_large),
		T(bad_buffers),
		T(odd_frames),
		T(backend_fails),
		T(filters),
		T(hash_report),
		TP(rss_steers),
		TP(rss_to_nowhere),
		T(moderation),
		T(stop_and_start),
	};
	int failed = 0;

	for (unsigned i = 0; i < ARRAY_SIZE(bed_variants); i++) {
		variant = &bed_variants[i];
		failed += cmocka_run_group_tests_name(variant->name, tests, NULL, NULL);
	}
	return failed;
}
