/* SPDX-License-Identifier: Apache-2.0 */
/* The in-process plane without threads: transmit, receive, counters, control. */
#include "inproc_bed.h"
#include "net_packets.h"

#include <stdio.h>

static const struct variant *variant;
static struct bed *bed;
static uint8_t frame[SLOT];
static struct guest_frame got;

#define QUEUE_RX 0
#define QUEUE_TX 1
#define NONE	 PLANE_DROP_COUNT

static int setup(void **state)
{
	bed = calloc(1, sizeof(*bed));
	bed_init(bed, variant, 1, 64);
	return 0;
}

static int setup_pairs(void **state)
{
	bed = calloc(1, sizeof(*bed));
	bed_init(bed, variant, 3, 64);
	return 0;
}

static int teardown(void **state)
{
	bed_done(bed);
	free(bed);
	return 0;
}

/* What was sent is what arrives, with what offload. */
static void assert_sent(unsigned queue, const uint8_t *data, uint32_t len,
			const struct net_offload *off)
{
	struct wire_frame *f = wire_take(bed->wire, queue);

	assert_non_null(f);
	assert_int_equal(f->len, len);
	assert_memory_equal(f->data, data, len);
	if (off)
		assert_memory_equal(&f->off, off, sizeof(*off));
	free(f);
}

static void tx_header_anywhere(void **state)
{
	static const uint32_t cuts[][24] = {
		{0},
		{12},
		{5, 7},
		{13},
		{1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1},
		{12, 14, 20, 20},
		{3, 20, 1},
	};
	struct net_offload off = {.flags = NET_NEEDS_CSUM,
				  .gso_type = NET_GSO_TCPV4,
				  .hdr_len = 54,
				  .gso_size = 1448,
				  .csum_start = 34,
				  .csum_offset = 16};

	bed_start(bed);
	for (unsigned i = 0; i < ARRAY_SIZE(cuts); i++) {
		make_frame(frame, 3000, bed_mac, i);
		assert_true(guest_send(bed, QUEUE_TX, &off, frame, 3000, cuts[i]));
		bed_step(bed);
		assert_sent(0, frame, 3000, &off);
		assert_int_equal(guest_reclaim(bed, QUEUE_TX), 1);
	}
	assert_counted(bed, QUEUE_TX, ARRAY_SIZE(cuts), ARRAY_SIZE(cuts), NONE);
	assert_int_equal(bed_counters(bed, QUEUE_TX).bytes_out, 3000 * ARRAY_SIZE(cuts));
}

/* Flags that are not the driver's to set, and num_buffers, do not get through. */
static void tx_header_cleaned(void **state)
{
	struct net_offload off = {.flags = 0xfe, .num_buffers = 77}, clean = {0};

	bed_start(bed);
	make_frame(frame, 60, bed_mac, 1);
	guest_send(bed, QUEUE_TX, &off, frame, 60, NULL);
	bed_step(bed);
	assert_sent(0, frame, 60, &clean);
}

static void tx_many(void **state)
{
	unsigned sent = 0, seen = 0;

	bed_start(bed);
	for (unsigned round = 0; round < 50; round++) {
		while (make_frame(frame, 60 + sent % 1000, bed_mac, sent),
		       guest_send(bed, QUEUE_TX, NULL, frame, 60 + sent % 1000, NULL))
			sent++;
		bed_step(bed);
		guest_reclaim(bed, QUEUE_TX);
		for (; seen < sent; seen++) {
			make_frame(frame, 60 + seen % 1000, bed_mac, seen);
			assert_sent(0, frame, 60 + seen % 1000, NULL);
		}
	}
	assert_counted(bed, QUEUE_TX, sent, sent, NONE);
	assert_true(bed_counters(bed, QUEUE_TX).bursts < sent / 8);
}

/* Bursts are cut where enough bytes are together; nothing is lost there. */
static void tx_large(void **state)
{
	struct net_offload off = {.flags = NET_NEEDS_CSUM,
				  .gso_type = NET_GSO_TCPV4,
				  .gso_size = 1448,
				  .csum_start = 34,
				  .csum_offset = 16};

	bed_start(bed);
	for (unsigned i = 0; i < 30; i++) {
		make_frame(frame, NET_FRAME_MAX, bed_mac, i);
		assert_true(guest_send(bed, QUEUE_TX, &off, frame, NET_FRAME_MAX, NULL));
	}
	bed_step(bed);
	assert_int_equal(guest_reclaim(bed, QUEUE_TX), 30);
	for (unsigned i = 0; i < 30; i++) {
		make_frame(frame, NET_FRAME_MAX, bed_mac, i);
		assert_sent(0, frame, NET_FRAME_MAX, &off);
	}
}

/* Every cause for which a frame is not sent: its chain comes back, and it is counted once. */
static void tx_drops(void **state)
{
	static const struct {
		struct net_offload off;
		uint32_t len; /* with the header */
		enum plane_drop why;
	} cases[] = {
		{.len = 1, .why = PLANE_DROP_MALFORMED},
		{.len = 11, .why = PLANE_DROP_MALFORMED},
		{.len = 12, .why = PLANE_DROP_MALFORMED},
		{.len = 12 + 13, .why = PLANE_DROP_MALFORMED},
		{.len = 12 + NET_FRAME_MAX + 1, .why = PLANE_DROP_OVERSIZE},
		{.off = {.gso_type = 2, .gso_size = 1}, .len = 100, .why = PLANE_DROP_MALFORMED},
		{.off = {.gso_type = 0x7f, .gso_size = 1}, .len = 100, .why = PLANE_DROP_MALFORMED},
		{.off = {.flags = 1, .gso_type = 1, .csum_start = 34, .csum_offset = 16},
		 .len = 100,
		 .why = PLANE_DROP_MALFORMED},
		/* Not negotiated. */
		{.off = {.flags = 1,
			 .gso_type = NET_GSO_TCPV6,
			 .gso_size = 1000,
			 .csum_start = 54,
			 .csum_offset = 16},
		 .len = 2000,
		 .why = PLANE_DROP_MALFORMED},
		{.off = {.flags = 1, .csum_start = 80, .csum_offset = 16},
		 .len = 100,
		 .why = PLANE_DROP_MALFORMED},
		{.off = {.flags = 1, .csum_start = 0xffff, .csum_offset = 0xffff},
		 .len = 100,
		 .why = PLANE_DROP_MALFORMED},
	};
	uint64_t count[PLANE_DROP_COUNT] = {0};

	bed_start(bed);
	for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
		struct plane_queue_counters c;

		memset(frame, 0, sizeof(frame));
		memcpy(frame, &cases[i].off, 12);
		guest_send_raw(bed, QUEUE_TX, frame, cases[i].len, NULL);
		bed_step(bed);
		assert_int_equal(guest_reclaim(bed, QUEUE_TX), 1);
		assert_null(wire_take(bed->wire, 0));
		count[cases[i].why]++;
		c = bed_counters(bed, QUEUE_TX);
		assert_int_equal(c.frames_in, i + 1);
		assert_int_equal(c.frames_out, 0);
		assert_int_equal(c.bytes_out, 0);
		assert_memory_equal(c.drops, count, sizeof(count));
	}
	/* And it goes on. */
	make_frame(frame, 60, bed_mac, 1);
	guest_send(bed, QUEUE_TX, NULL, frame, 60, NULL);
	bed_step(bed);
	assert_sent(0, frame, 60, NULL);
}

/* Good and bad ones in one burst keep their order and their chains. */
static void tx_mixed(void **state)
{
	unsigned good = 0;

	bed_start(bed);
	for (unsigned i = 0; i < 60; i++) {
		make_frame(frame, 60, bed_mac, i);
		guest_send(bed, QUEUE_TX, NULL, frame, i % 3 ? 60 : 5, NULL);
	}
	bed_step(bed);
	assert_int_equal(guest_reclaim(bed, QUEUE_TX), 60);
	for (unsigned i = 0; i < 60; i++) {
		if (i % 3 == 0)
			continue;
		make_frame(frame, 60, bed_mac, i);
		assert_sent(0, frame, 60, NULL);
		good++;
	}
	assert_counted(bed, QUEUE_TX, 60, good, PLANE_DROP_MALFORMED);
}

static void tx_backend_full(void **state)
{
	uint64_t start;

	bed_start(bed);
	bed->wire->queues[0].room = 3;
	for (unsigned i = 0; i < 10; i++) {
		make_frame(frame, 60, bed_mac, i);
		guest_send(bed, QUEUE_TX, NULL, frame, i == 5 ? 2 : 60, NULL);
	}
	bed_step(bed);
	assert_counted(bed, QUEUE_TX, 3, 3, NONE);
	assert_int_equal(guest_reclaim(bed, QUEUE_TX), 3);
	bed->wire->queues[0].room = 2;
	bed_step(bed);
	/* The bad one stands before the next good one and goes with those before it. */
	assert_counted(bed, QUEUE_TX, 6, 5, PLANE_DROP_MALFORMED);
	/* Nothing is taken for so long that the rest is given up. */
	start = clock_ns();
	while (bed_counters(bed, QUEUE_TX).frames_in < 10) {
		bed_step(bed);
		usleep(1000);
		assert_true(clock_ns() - start < PATIENCE_NS);
	}
	assert_true(clock_ns() - start > 400 * NSEC_PER_MSEC);
	assert_int_equal(bed_counters(bed, QUEUE_TX).drops[PLANE_DROP_BACKEND], 4);
	assert_int_equal(bed_counters(bed, QUEUE_TX).frames_out, 5);
	assert_int_equal(guest_reclaim(bed, QUEUE_TX), 7);
	bed->wire->queues[0].room = UINT32_MAX;
	guest_send(bed, QUEUE_TX, NULL, frame, 60, NULL);
	bed_step(bed);
	assert_int_equal(bed_counters(bed, QUEUE_TX).frames_out, 6);
}

static void tx_stop_while_full(void **state)
{
	bed_start(bed);
	bed->wire->queues[0].room = 3;
	for (unsigned i = 0; i < 10; i++) {
		make_frame(frame, 60, bed_mac, i);
		guest_send(bed, QUEUE_TX, NULL, frame, 60, NULL);
	}
	bed_step(bed);
	bed_stop_plane(bed, bed->plane);
	bed->wire->queues[0].room = UINT32_MAX;
	bed_start_plane(bed, bed->plane);
	bed_step(bed);
	for (unsigned i = 0; i < 10; i++) {
		make_frame(frame, 60, bed_mac, i);
		assert_sent(0, frame, 60, NULL);
	}
	assert_counted(bed, QUEUE_TX, 10, 10, NONE);
}

static void link_down(void **state)
{
	bed->config.link_up = false;
	bed_start(bed);
	guest_post(bed, QUEUE_RX, 10, 2000, NULL);
	make_frame(frame, 60, bed_mac, 1);
	for (unsigned i = 0; i < 5; i++) {
		guest_send(bed, QUEUE_TX, NULL, frame, 60, NULL);
		wire_put(bed->wire, 0, frame, 60, NULL);
	}
	bed_step(bed);
	assert_int_equal(guest_reclaim(bed, QUEUE_TX), 5);
	assert_null(wire_take(bed->wire, 0));
	assert_false(guest_recv(bed, QUEUE_RX, &got));
	assert_int_equal(wire_waiting(bed->wire, 0), 0);
	assert_counted(bed, QUEUE_TX, 5, 0, PLANE_DROP_LINK_DOWN);
	assert_counted(bed, QUEUE_RX, 5, 0, PLANE_DROP_LINK_DOWN);
	bed->config.link_up = true;
	bed_configure(bed);
	guest_send(bed, QUEUE_TX, NULL, frame, 60, NULL);
	wire_put(bed->wire, 0, frame, 60, NULL);
	bed_step(bed);
	assert_sent(0, frame, 60, NULL);
	assert_true(guest_recv(bed, QUEUE_RX, &got));
}

/* What the network hands over with the checksum left to do, to one who does not do that. */
static void rx_offloads(void **state)
{
	struct net_offload off = {.flags = NET_NEEDS_CSUM, .csum_start = 14, .csum_offset = 6},
			   gso = {.flags = NET_NEEDS_CSUM,
				  .gso_type = NET_GSO_TCPV4,
				  .gso_size = 1000,
				  .csum_start = 34,
				  .csum_offset = 16},
			   valid = {.flags = NET_DATA_VALID};
	uint32_t sum = 0;

	bed_start(bed);
	assert_int_equal(bed->fake.offloads, NET_OFFLOAD_CSUM | NET_OFFLOAD_TSO4);
	guest_post(bed, QUEUE_RX, 64, 4000, NULL);
	make_frame(frame, 3000, bed_mac, 1);
	wire_put(bed->wire, 0, frame, 3000, &gso);
	bed_step(bed);
	assert_true(guest_recv(bed, QUEUE_RX, &got));
	assert_int_equal(got.off.gso_type, NET_GSO_TCPV4);
	assert_int_equal(got.off.flags, NET_NEEDS_CSUM);

	bed->config.guest_offloads = 0;
	bed->plane->ops->configure(bed->plane, &bed->config);
	assert_int_equal(bed->fake.offloads, 0);
	wire_put(bed->wire, 0, frame, 3000, &gso);
	bed_step(bed);
	assert_false(guest_recv(bed, QUEUE_RX, &got));
	assert_counted(bed, QUEUE_RX, 2, 1, PLANE_DROP_OFFLOAD);

	make_frame(frame, 100, bed_mac, 1);
	wire_put(bed->wire, 0, frame, 100, &off);
	bed_step(bed);
	assert_true(guest_recv(bed, QUEUE_RX, &got));
	assert_int_equal(got.off.flags, 0);
	/* The field held a partial sum that goes into the whole one. */
	for (unsigned i = 14; i < 100; i += 2)
		sum += load_be16(frame + i);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	assert_int_equal(load_be16(got.data + 20), (uint16_t)~sum);

	wire_put(bed->wire, 0, frame, 100, &valid);
	bed_step(bed);
	assert_true(guest_recv(bed, QUEUE_RX, &got));
	assert_int_equal(got.off.flags, 0);
}

static void broken_is_isolated(void **state)
{
	struct vring_config *c;

	bed_start(bed);
	guest_post(bed, 0, 8, 2000, NULL);
	guest_post(bed, 2, 8, 2000, NULL);
	make_frame(frame, 60, bed_mac, 1);
	guest_send(bed, 1, NULL, frame, 60, NULL);
	bed_step(bed);
	assert_sent(0, frame, 60, NULL);
	/* A descriptor that points nowhere. */
	c = &bed->rings[1].pq.cfg;
	guest_send(bed, 1, NULL, frame, 60, NULL);
	for (unsigned i = 0; i < bed->rings[1].size; i++)
		store_le64((uint8_t *)bed_at(bed, c->desc, 16 * c->size) + 16 * i, 1ULL << 60);
	bed_step(bed);
	assert_int_equal(bed->broken, 1);
	assert_int_equal(bed->broken_queue, 1);
	assert_int_equal(bed->fault, VRING_BAD_ADDRESS);
	/* Its own receive queue and other pairs go on. */
	wire_put(bed->wire, 0, frame, 60, NULL);
	wire_put(bed->wire, 1, frame, 60, NULL);
	guest_send(bed, 3, NULL, frame, 60, NULL);
	bed_step(bed);
	assert_true(guest_recv(bed, 0, &got));
	assert_true(guest_recv(bed, 2, &got));
	assert_sent(1, frame, 60, NULL);
	assert_int_equal(bed->broken, 1);
	/* A reset of the queue mends it. */
	bed_ring_init(bed, &bed->rings[1], 64);
	assert_int_equal(bed->plane->ops->queue_set(bed->plane, 1, &bed->rings[1].pq), 0);
	guest_send(bed, 1, NULL, frame, 60, NULL);
	bed_step(bed);
	assert_sent(0, frame, 60, NULL);
}

static void broken_receive(void **state)
{
	struct vring_config *c = &bed->rings[0].pq.cfg;

	bed_start(bed);
	guest_post(bed, 0, 20, 2000, NULL);
	for (unsigned i = 17; i < bed->rings[0].size; i++)
		store_le64((uint8_t *)bed_at(bed, c->desc, 16 * c->size) + 16 * i, 1ULL << 60);
	for (unsigned i = 0; i < 20; i++) {
		make_frame(frame, 60 + i, bed_mac, i);
		wire_put(bed->wire, 0, frame, 60 + i, NULL);
	}
	bed_step(bed);
	assert_int_equal(bed->broken, 1);
	assert_int_equal(bed->broken_queue, 0);
	/* What was counted as delivered was. */
	for (unsigned i = 0; i < bed_counters(bed, 0).frames_out; i++)
		assert_true(guest_recv(bed, 0, &got));
	assert_false(guest_recv(bed, 0, &got));
	assert_int_equal(wire_waiting(bed->wire, 0) + bed_counters(bed, 0).frames_in, 20);
}

static void queue_reset(void **state)
{
	struct plane_queue *pq = &bed->rings[QUEUE_RX].pq;

	bed_start(bed);
	guest_post(bed, QUEUE_RX, 40, 2000, NULL);
	make_frame(frame, 60, bed_mac, 1);
	wire_put(bed->wire, 0, frame, 60, NULL);
	bed_step(bed);
	pq->enabled = false;
	assert_int_equal(bed->plane->ops->queue_set(bed->plane, 0, pq), 0);
	/* Chains in hand were given back: the device stands behind what it used. */
	assert_int_equal(pq->state.avail_idx, 1);
	assert_int_equal(pq->state.used_idx, 1);
	wire_put(bed->wire, 0, frame, 60, NULL);
	bed_step(bed);
	assert_int_equal(wire_waiting(bed->wire, 0), 1);
	bed_ring_init(bed, &bed->rings[0], 32);
	assert_int_equal(bed->plane->ops->queue_set(bed->plane, 0, pq), 0);
	guest_post(bed, QUEUE_RX, 20, 2000, NULL);
	bed_step(bed);
	assert_true(guest_recv(bed, QUEUE_RX, &got));
	assert_int_equal(bed->plane->ops->queue_set(bed->plane, 2, pq), -EINVAL);
	/* The transmit queue was not concerned. */
	guest_send(bed, QUEUE_TX, NULL, frame, 60, NULL);
	bed_step(bed);
	assert_sent(0, frame, 60, NULL);
}

/* New memory while receive chains are in hand. */
static void memory_changes(void **state)
{
	struct error err;

	bed_start(bed);
	guest_post(bed, QUEUE_RX, 40, 2000, NULL);
	for (unsigned i = 0; i < 30; i++) {
		make_frame(frame, 60 + i, bed_mac, i);
		wire_put(bed->wire, 0, frame, 60 + i, NULL);
		guest_send(bed, QUEUE_TX, NULL, frame, 60 + i, NULL);
		if (i % 3 == 0)
			assert_int_equal(
				guest_mem_add_ram(bed->mem, "more", (1 + i) * GIB, MIB, NULL, &err),
				0);
		bed_step(bed);
		assert_sent(0, frame, 60 + i, NULL);
		assert_true(guest_recv(bed, QUEUE_RX, &got));
		assert_int_equal(got.len, 60 + i);
		assert_memory_equal(got.data, frame, got.len);
	}
	assert_int_equal(bed->broken, 0);
	assert_int_equal(guest_mem_remove_ram(bed->mem, 1 * GIB, &err), 0);
	wire_put(bed->wire, 0, frame, 60, NULL);
	bed_step(bed);
	assert_true(guest_recv(bed, QUEUE_RX, &got));
}

static void announces(void **state)
{
	struct wire_frame *f;

	bed_open(bed, &bed->fake, NULL, false, &bed->plane);
	assert_int_equal(bed->plane->ops->announce(bed->plane), 0);
	f = wire_take(bed->wire, 0);
	assert_non_null(f);
	assert_int_equal(f->len, ETHER_MIN_LEN);
	assert_true(ether_is_broadcast(f->data));
	assert_memory_equal(f->data + 6, bed_mac, 6);
	assert_int_equal(load_be16(f->data + 12), ETHER_RARP);
	free(f);
}

static void features_of_backend(void **state)
{
	struct virtio_features f;
	struct plane_start start = {.queues = bed->pqs, .config = &bed->config};
	struct error err;

	bed_open(bed, &bed->fake, NULL, false, &bed->plane);
	bed->plane->ops->features(bed->plane, &f);
	assert_true(features_has(&f, VIRTIO_NET_F_HOST_USO));
	assert_true(features_has(&f, VIRTIO_NET_F_GUEST_TSO6));
	assert_true(features_has(&f, VIRTIO_NET_F_MQ));
	assert_true(features_has(&f, VIRTIO_F_RING_PACKED));
	assert_false(features_has(&f, VIRTIO_F_NOTIFICATION_DATA));
	bed->fake.hn.offloads_tx = NET_OFFLOAD_CSUM;
	bed->fake.hn.offloads_rx = 0;
	bed->plane->ops->features(bed->plane, &f);
	assert_true(features_has(&f, VIRTIO_NET_F_CSUM));
	assert_false(features_has(&f, VIRTIO_NET_F_HOST_TSO4));
	assert_false(features_has(&f, VIRTIO_NET_F_GUEST_CSUM));
	bed->plane->ops->carries(bed->plane, &f);
	assert_true(features_has(&f, VIRTIO_NET_F_HOST_TSO4));
	start.features = bed->features;
	features_set(&start.features, VIRTIO_F_ACCESS_PLATFORM, true);
	assert_int_equal(bed->plane->ops->start(bed->plane, &start, &err), -ENOTSUP);
	assert_text(err, "feature bit 33,");
}

/* A guest that came from a better plane: what the back-end does not know is done for it. */
static void finishes_for_backend(void **state)
{
	const struct packet_shape shape = {.proto = IP_PROTO_TCP, .payload = 3500};
	struct net_offload off = {.flags = NET_NEEDS_CSUM,
				  .gso_type = NET_GSO_TCPV4,
				  .gso_size = 1400,
				  .csum_offset = 16};
	struct packet k = packet_make(&shape);
	const uint32_t payloads[] = {1400, 1400, 700};
	uint8_t plain[100];

	off.hdr_len = (uint16_t)k.payload;
	off.csum_start = (uint16_t)k.l4;
	bed_open(bed, &bed->fake, NULL, false, &bed->plane);
	bed->fake.hn.offloads_tx = 0;
	bed_start_plane(bed, bed->plane);
	make_frame(plain, sizeof(plain), bed_mac, 1);
	assert_true(guest_send(bed, 1, NULL, plain, sizeof(plain), NULL));
	assert_true(guest_send(bed, 1, &off, k.p, k.len, NULL));
	assert_true(guest_send(bed, 1, NULL, plain, sizeof(plain), NULL));
	bed_step(bed);
	for (unsigned i = 0; i < 5; i++) {
		struct wire_frame *f = wire_take(bed->wire, 0);

		assert_non_null(f);
		assert_int_equal(f->off.flags, 0);
		assert_int_equal(f->off.gso_type, 0);
		if (i == 0 || i == 4)
			assert_int_equal(f->len, sizeof(plain));
		else
			assert_int_equal(f->len, k.payload + payloads[i - 1]);
		free(f);
	}
	assert_null(wire_take(bed->wire, 0));
	assert_counted(bed, 1, 3, 3, PLANE_DROP_MALFORMED);
	free(k.p);
}

static void start_fails_cleanly(void **state)
{
	struct plane_start start = {.features = bed->features,
				    .queues = bed->pqs,
				    .nqueues = 6,
				    .config = &bed->config};
	struct error err;

	bed_open(bed, &bed->fake, NULL, false, &bed->plane);
	for (unsigned i = 0; i < 6; i++)
		bed->pqs[i] = bed->rings[i].pq;
	bed->pqs[4].cfg.desc = 1ULL << 50;
	assert_true(bed->plane->ops->start(bed->plane, &start, &err) < 0);
	assert_text(err, "net0: queue 4");
	bed_start_plane(bed, bed->plane);
	make_frame(frame, 60, bed_mac, 1);
	guest_send(bed, 1, NULL, frame, 60, NULL);
	bed_step(bed);
	assert_sent(0, frame, 60, NULL);
}

static void options(void **state)
{
	static const struct {
		const char *text, *says;
	} bad[] = {
		{"poll-us=x", "poll-us"},	   {"poll-us=100000000", "poll-us"},
		{"worker-cpus=9999", "CPU 9999"},  {"worker-cpus=a", "worker-cpus"},
		{"worker-cpus=0+", "worker-cpus"},
	};
	struct plane_params params = {
		.id = "net0", .queue_pairs = 1, .mac = bed_mac, .mem = bed->mem};
	struct options opts;
	struct error err;

	for (unsigned i = 0; i < ARRAY_SIZE(bad); i++) {
		assert_int_equal(options_parse(&opts, bad[i].text, &err), 0);
		fake_init(&bed->fake, bed->wire, 1);
		assert_true(inproc_new(&bed->fake.hn, &opts, &params, false, &bed->plane, &err) <
			    0);
		assert_text(err, bad[i].says);
		assert_text(err, "net0");
		assert_true(bed->fake.closed);
		options_free(&opts);
	}
	assert_int_equal(options_parse(&opts, "poll-us=7,worker-cpus=0", &err), 0);
	bed_open(bed, &bed->fake, &opts, true, &bed->plane);
	options_free(&opts);
	assert_int_equal(container_of(bed->plane, struct inproc, plane)->poll_ns, 7000);
}

static void tables(void **state)
{
	assert_ptr_equal(plane_find("inprocess"), &inprocess_ops);
	assert_null(plane_find("nonesuch"));
	assert_ptr_equal(plane_for_backend("tap"), &inprocess_ops);
	assert_ptr_equal(plane_for_backend("none"), &inprocess_ops);
	assert_null(plane_for_backend("nonesuch"));
	for (unsigned i = 0; i < PLANE_DROP_COUNT; i++)
		assert_non_null(plane_drop_name(i));
	assert_string_equal(plane_drop_name(PLANE_DROP_COUNT), "unknown");
	bed_open(bed, &bed->fake, NULL, false, &bed->plane);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
#define T(fn)  cmocka_unit_test_setup_teardown(fn, setup, teardown)
#define TP(fn) cmocka_unit_test_setup_teardown(fn, setup_pairs, teardown)
		T(tx_header_anywhere),
		T(tx_header_cleaned),
		T(tx_many),
		T(tx_large),
		T(tx_drops),
		T(tx_mixed),
		T(tx_backend_full),
		T(tx_stop_while_full),
		T(link_down),
		T(rx_offloads),
		TP(broken_is_isolated),
		T(broken_receive),
		T(queue_reset),
		T(memory_changes),
		T(announces),
		TP(features_of_backend),
		TP(finishes_for_backend),
		TP(start_fails_cleanly),
		T(options),
		T(tables),
	};
	int failed = 0;

	for (unsigned i = 0; i < ARRAY_SIZE(bed_variants); i++) {
		variant = &bed_variants[i];
		failed += cmocka_run_group_tests_name(variant->name, tests, NULL, NULL);
	}
	return failed;
}
