/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_PLANE_BED_H
#define TESTS_PLANE_BED_H

/*
 * A guest without a virtual machine: memory, queue pairs with a driver on each, and eventfds, for
 * whatever plane a test puts behind them. Frames carry a sequence number, so that loss, doubles and
 * disorder show.
 */
#include "unit.h"

#include "base/log.h"
#include "dataplane/plane.h"
#include "vring/driver.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define PB_PAIRS  4U
#define PB_RAM	  (32 * MIB)
#define PB_BUF	  2048U
#define PB_HDR	  12U
#define PB_TYPE	  0x88b5 /* IEEE 802: for local experiments */
#define PB_FRAME  64U	 /* bytes of a test frame */
#define PB_SEQ_AT 16U	 /* where its number is */

static const uint8_t pb_guest_mac[6] = {0x52, 0x54, 0, 0x12, 0x34, 0x56};
static const uint8_t pb_host_mac[6] = {0x52, 0x54, 0, 0x65, 0x43, 0x21};

struct pb_queue {
	struct vdrv *drv;
	uint64_t bufs; /* gpa of cfg.size buffers of PB_BUF bytes */
	unsigned *free;
	unsigned nfree;
};

struct pb {
	struct loop *loop;
	struct guest_mem *gm;
	unsigned pairs;
	struct virtio_features features;
	struct plane_net_config config;
	struct plane_events events;
	struct plane_queue queues[2 * PB_PAIRS];
	struct pb_queue q[2 * PB_PAIRS];
	struct plane *plane;
	unsigned broken; /* queues told broken, a bit each */
	enum vring_fault fault;
	int link;			   /* -1: not told */
	void *_Atomic pages[2 * PB_PAIRS]; /* in doorbells' places */
	int doorbell_rc;		   /* what is said of the next ones */
};

static inline void pb_broken(void *opaque, unsigned queue, enum vring_fault fault)
{
	struct pb *pb = opaque;

	pb->broken |= 1U << queue;
	pb->fault = fault;
}

static inline void pb_link(void *opaque, bool up)
{
	struct pb *pb = opaque;

	pb->link = up;
}

static inline int pb_doorbell(void *opaque, unsigned queue, void *page)
{
	struct pb *pb = opaque;

	assert_true(queue < 2 * pb->pairs);
	if (page && pb->doorbell_rc)
		return pb->doorbell_rc;
	assert_true(!page || !pb->pages[queue]); /* the old one is taken out first */
	pb->pages[queue] = page;
	return 0;
}

static inline void *pb_host(struct pb *pb, uint64_t gpa, uint64_t len)
{
	void *p = mem_translate(guest_mem_table(pb->gm), gpa, len, MEM_WRITE);

	if (!p) {
		fail_msg("%#llx is outside memory", (unsigned long long)gpa);
		abort(); /* the compiler does not know that a failure does not return */
	}
	return p;
}

/* Makes buffer i of a receive queue available. */
static inline void pb_post(struct pb *pb, unsigned rx, unsigned i)
{
	struct vdrv_sg sg = {pb->q[rx].bufs + i * PB_BUF, PB_BUF};

	assert_int_equal(vdrv_add(pb->q[rx].drv, &sg, 0, 1, false, 0, (void *)(uintptr_t)i), 0);
}

static inline void pb_kick(struct pb *pb, unsigned i)
{
	if (vdrv_publish(pb->q[i].drv))
		assert_int_equal(eventfd_write(pb->queues[i].kick_fd, 1), 0);
}

static inline void pb_queue_init(struct pb *pb, unsigned i, unsigned size, bool packed)
{
	struct vring_config *c = &pb->queues[i].cfg;
	uint64_t at = MIB + (uint64_t)i * 2 * MIB;
	struct pb_queue *q = &pb->q[i];
	struct error err;

	*c = (struct vring_config){
		.size = size,
		.packed = packed,
		.event_idx = features_has(&pb->features, VIRTIO_RING_F_EVENT_IDX),
		.indirect = features_has(&pb->features, VIRTIO_RING_F_INDIRECT_DESC),
		.desc = at,
		.driver = at + 64 * KIB,
		.device = at + 128 * KIB,
	};
	memset(pb_host(pb, at, 256 * KIB), 0, 256 * KIB);
	q->bufs = at + 256 * KIB;
	q->drv = vdrv_create();
	q->free = calloc(size, sizeof(*q->free));
	q->nfree = 0;
	assert_int_equal(vdrv_start(q->drv, c, guest_mem_table(pb->gm), &err), 0);
	pb->queues[i].state = VRING_STATE_INIT;
	pb->queues[i].enabled = true;
	pb->queues[i].kick_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	pb->queues[i].call_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	for (unsigned b = size; b-- > 0;) {
		if (i % 2)
			q->free[q->nfree++] = b;
		else
			pb_post(pb, i, b);
	}
	if (i % 2 == 0)
		vdrv_publish(q->drv);
}

static inline void pb_init(struct pb *pb, unsigned pairs, unsigned size, bool packed)
{
	static const uint8_t bits[] = {VIRTIO_F_VERSION_1,     VIRTIO_RING_F_EVENT_IDX,
				       VIRTIO_NET_F_MRG_RXBUF, VIRTIO_NET_F_STATUS,
				       VIRTIO_NET_F_MAC,       VIRTIO_NET_F_CTRL_VQ};
	struct error err;

	log_set_level(getenv("PB_LOG") ? LOG_LEVEL_DEBUG : LOG_LEVEL_ERROR);
	*pb = (struct pb){.pairs = pairs, .link = -1};
	pb->events = (struct plane_events){.queue_broken = pb_broken,
					   .link_changed = pb_link,
					   .doorbell = pb_doorbell,
					   .opaque = pb};
	for (unsigned i = 0; i < ARRAY_SIZE(bits); i++)
		features_set(&pb->features, bits[i], true);
	features_set(&pb->features, VIRTIO_F_RING_PACKED, packed);
	features_set(&pb->features, VIRTIO_RING_F_INDIRECT_DESC, true);
	features_set(&pb->features, VIRTIO_NET_F_MQ, pairs > 1);
	pb->config = (struct plane_net_config){.active_pairs = pairs, .link_up = true};
	rx_filter_init(&pb->config.filter, pb_guest_mac);
	pb->loop = loop_create(&err);
	pb->gm = guest_mem_create(&err);
	assert_non_null(pb->loop);
	assert_int_equal(guest_mem_add_ram(pb->gm, "ram", 0, PB_RAM, NULL, &err), 0);
	for (unsigned i = 0; i < 2 * pairs; i++)
		pb_queue_init(pb, i, size, packed);
}

static inline struct plane_params pb_params(struct pb *pb)
{
	return (struct plane_params){
		.id = "net0",
		.queue_pairs = pb->pairs,
		.mac = pb_guest_mac,
		.mem = pb->gm,
		.loop = pb->loop,
		.events = &pb->events,
	};
}

/* How a plane is started, or stands. */
static inline struct plane_start pb_plane_start(struct pb *pb)
{
	return (struct plane_start){
		.features = pb->features,
		.queues = pb->queues,
		.nqueues = 2 * pb->pairs,
		.config = &pb->config,
	};
}

static inline int pb_open_plane(struct pb *pb, const char *backend, const char *text,
				struct plane **out, struct error *err)
{
	const struct plane_ops *ops = plane_for_backend(backend);
	const struct plane_params params = pb_params(pb);
	struct options opts;
	int rc;

	assert_non_null(ops);
	rc = options_parse(&opts, text, err);
	assert_int_equal(rc, 0);
	rc = ops->open(backend, &opts, &params, out, err);
	options_free(&opts);
	return rc;
}

static inline int pb_start(struct pb *pb, struct plane *plane, struct error *err)
{
	struct plane_start start = pb_plane_start(pb);
	int rc = plane->ops->start(plane, &start, err);

	if (rc == 0)
		pb->plane = plane;
	return rc;
}

static inline void pb_open(struct pb *pb, const char *backend, const char *text)
{
	struct error err = {0};
	struct plane *plane;

	if (pb_open_plane(pb, backend, text, &plane, &err) || pb_start(pb, plane, &err))
		fail_msg("%s", err.text);
}

static inline void pb_stop(struct pb *pb)
{
	pb->plane->ops->stop(pb->plane, pb->queues, 2 * pb->pairs);
}

static inline void pb_close(struct pb *pb)
{
	pb->plane->ops->close(pb->plane);
	pb->plane = NULL;
}

static inline void pb_done(struct pb *pb)
{
	for (unsigned i = 0; i < 2 * pb->pairs; i++) {
		vdrv_free(pb->q[i].drv);
		free(pb->q[i].free);
		close(pb->queues[i].kick_fd);
		close(pb->queues[i].call_fd);
	}
	guest_mem_destroy(pb->gm);
	loop_destroy(pb->loop);
}

/* The frame with number seq. */
static inline void pb_frame(uint8_t frame[PB_FRAME], bool to_guest, uint64_t seq)
{
	memset(frame, 0, PB_FRAME);
	memcpy(frame, to_guest ? pb_guest_mac : pb_host_mac, 6);
	memcpy(frame + 6, to_guest ? pb_host_mac : pb_guest_mac, 6);
	store_be16(frame + 12, PB_TYPE);
	store_be64(frame + PB_SEQ_AT, seq);
}

/* Takes back what was sent from pair's transmit queue. */
static inline unsigned pb_reclaim(struct pb *pb, unsigned pair)
{
	struct pb_queue *q = &pb->q[2 * pair + 1];
	unsigned n = 0;
	void *cookie;
	uint32_t len;
	int rc;

	while ((rc = vdrv_get(q->drv, &cookie, &len)) == 1) {
		q->free[q->nfree++] = (unsigned)(uintptr_t)cookie;
		n++;
	}
	assert_int_equal(rc, 0);
	return n;
}

/* Room for a frame that pair is to send, behind a header of zeros; NULL when the ring is full. */
static inline uint8_t *pb_room(struct pb *pb, unsigned pair, uint32_t len)
{
	struct pb_queue *q = &pb->q[2 * pair + 1];
	uint8_t *p;

	pb_reclaim(pb, pair);
	if (q->nfree == 0)
		return NULL;
	p = pb_host(pb, q->bufs + q->free[q->nfree - 1] * PB_BUF, PB_HDR + len);
	memset(p, 0, PB_HDR);
	return p + PB_HDR;
}

/* Sends what was written there. */
static inline void pb_send_room(struct pb *pb, unsigned pair, uint32_t len)
{
	struct pb_queue *q = &pb->q[2 * pair + 1];
	unsigned b = q->free[--q->nfree];
	struct vdrv_sg sg = {q->bufs + b * PB_BUF, PB_HDR + len};

	assert_int_equal(vdrv_add(q->drv, &sg, 1, 0, false, 0, (void *)(uintptr_t)b), 0);
	pb_kick(pb, 2 * pair + 1);
}

/* Sends a test frame; false when the ring is full. */
static inline bool pb_send(struct pb *pb, unsigned pair, uint64_t seq)
{
	uint8_t *frame = pb_room(pb, pair, PB_FRAME);

	if (!frame)
		return false;
	pb_frame(frame, false, seq);
	pb_send_room(pb, pair, PB_FRAME);
	return true;
}

/* Takes one test frame that came in for pair: 1 with its number, 0 if there is none. */
static inline int pb_recv(struct pb *pb, unsigned pair, uint64_t *seq)
{
	struct pb_queue *q = &pb->q[2 * pair];
	void *cookie;
	uint32_t len;
	int rc;

	while ((rc = vdrv_get(q->drv, &cookie, &len)) == 1) {
		unsigned b = (unsigned)(uintptr_t)cookie;
		uint8_t *p = pb_host(pb, q->bufs + b * PB_BUF, PB_BUF);
		bool ours = len >= PB_HDR + 24 && load_be16(p + PB_HDR + 12) == PB_TYPE;

		if (ours)
			*seq = load_be64(p + PB_HDR + PB_SEQ_AT);
		pb_post(pb, 2 * pair, b);
		pb_kick(pb, 2 * pair);
		if (ours)
			return 1;
	}
	assert_int_equal(rc, 0);
	return 0;
}

/* Runs the main loop for a while. */
static inline void pb_run(struct pb *pb, unsigned ms)
{
	uint64_t end = clock_ns() + ms * NSEC_PER_MSEC;

	do {
		loop_run_once(pb->loop, 1);
	} while (clock_ns() < end);
}

/* All that was sent is used, and has come back to the driver. */
static inline void pb_check_rings(struct pb *pb)
{
	for (unsigned pair = 0; pair < pb->pairs; pair++) {
		struct pb_queue *tx = &pb->q[2 * pair + 1];

		for (unsigned i = 0; i < PATIENCE_MS / 2 && tx->nfree < pb->queues[1].cfg.size;
		     i++) {
			pb_run(pb, 2);
			pb_reclaim(pb, pair);
		}
		assert_int_equal(tx->nfree, pb->queues[1].cfg.size);
		assert_int_equal(vdrv_fault(tx->drv), VRING_OK);
		assert_int_equal(vdrv_fault(pb->q[2 * pair].drv), VRING_OK);
	}
}

#endif
