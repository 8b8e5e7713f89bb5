/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_BACKEND_ECHO_H
#define TESTS_BACKEND_ECHO_H

/*
 * An owner of vhost-user back-ends: a loop in a thread of its own, and a worker that sends each
 * frame of a transmit queue back through the receive queue of the same pair.
 */
#include "unit.h"

#include "base/log.h"
#include "base/thread.h"
#include "vhost/backend.h"
#include "vring/features.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

#define ECHO_QUEUES 8U
#define ECHO_BURST  16U

struct echo {
	struct loop *loop;
	struct vhost_backend *be;
	struct vhost_backend_params params;
	struct error err;

	pthread_t loop_thread, worker;
	_Atomic bool stop;
	pthread_mutex_t *lock; /* held by the worker for a round: its quiescent point is outside */
	pthread_mutex_t own_lock;
	struct echo *second; /* served by the same worker, on the same loop */
	struct vhost_backend_queue *queues[ECHO_QUEUES]; /* those that run */

	/* What was told; under the lock. */
	uint64_t features;
	unsigned starts, stops, connections;
	uint16_t mtu;
	uint8_t announced[6];
	_Atomic uint64_t frames;
	_Atomic bool connected;
	bool refuse_start;
	bool two;	    /* one back-end is about to take over from the other */
	unsigned dawdle_us; /* between two frames: then it is killed in the middle of a burst */
};

static inline int echo_start(void *opaque, struct vhost_backend_queue *q, struct error *err)
{
	struct echo *e = opaque;

	if (e->refuse_start)
		return error_set(err, -ENOMEM, "the owner has no room");
	pthread_mutex_lock(e->lock);
	assert_null(e->queues[q->index]);
	e->queues[q->index] = q;
	e->starts++;
	pthread_mutex_unlock(e->lock);
	return 0;
}

static inline void echo_stop(void *opaque, struct vhost_backend_queue *q)
{
	struct echo *e = opaque;

	pthread_mutex_lock(e->lock);
	assert_ptr_equal(e->queues[q->index], q);
	e->queues[q->index] = NULL;
	e->stops++;
	pthread_mutex_unlock(e->lock);
}

static inline void echo_connection(void *opaque, bool connected, const char *why)
{
	struct echo *e = opaque;

	pthread_mutex_lock(e->lock);
	for (unsigned i = 0; i < ECHO_QUEUES && !e->two; i++)
		assert_null(e->queues[i]);
	e->connections += connected;
	pthread_mutex_unlock(e->lock);
	atomic_store(&e->connected, connected);
}

static inline void echo_features(void *opaque, uint64_t features)
{
	struct echo *e = opaque;

	pthread_mutex_lock(e->lock);
	e->features = features;
	pthread_mutex_unlock(e->lock);
}

static inline int echo_mtu(void *opaque, uint16_t mtu)
{
	struct echo *e = opaque;

	if (mtu > 9000)
		return -EINVAL;
	pthread_mutex_lock(e->lock);
	e->mtu = mtu;
	pthread_mutex_unlock(e->lock);
	return 0;
}

static inline void echo_announce(void *opaque, const uint8_t mac[6])
{
	struct echo *e = opaque;

	pthread_mutex_lock(e->lock);
	memcpy(e->announced, mac, 6);
	pthread_mutex_unlock(e->lock);
}

static inline uint32_t echo_copy(const struct vq_buf *to, const struct vq_buf *from)
{
	uint32_t len = from->iov[0].iov_len;

	if (to->in_n == 0 || from->out_n == 0)
		return 0;
	len = (uint32_t)MIN(len, to->iov[to->out_n].iov_len);
	memcpy(to->iov[to->out_n].iov_base, from->iov[0].iov_base, len);
	return len;
}

/* One burst from tx to rx. Frames stay in tx while rx has no room. */
static inline bool echo_pair(struct echo *e, struct vhost_backend_queue *rx,
			     struct vhost_backend_queue *tx)
{
	struct vq_buf from[ECHO_BURST], to[ECHO_BURST];
	struct iovec iov_from[64], iov_to[64];
	int n, room;

	n = vq_pop(tx->vq, from, ECHO_BURST, iov_from, 64);
	if (n < 0)
		vhost_backend_attention(tx);
	if (n <= 0)
		return false;
	room = vq_pop(rx->vq, to, (unsigned)n, iov_to, 64);
	if (room < 0)
		vhost_backend_attention(rx);
	room = MAX(room, 0);
	vq_unpop(tx->vq, from + room, (unsigned)(n - room));
	for (int i = 0; i < room; i++) {
		vq_push(rx->vq, &to[i], echo_copy(&to[i], &from[i]));
		vq_push(tx->vq, &from[i], 0);
		if (e->dawdle_us)
			usleep(e->dawdle_us);
		atomic_fetch_add(&e->frames, 1);
	}
	if (vq_flush(rx->vq))
		vhost_backend_call(rx);
	if (vq_flush(tx->vq))
		vhost_backend_call(tx);
	return room > 0;
}

static inline bool echo_round(struct echo *e)
{
	bool busy = false;

	for (unsigned i = 0; i < ECHO_QUEUES; i += 2)
		if (e->queues[i] && e->queues[i + 1])
			busy |= echo_pair(e, e->queues[i], e->queues[i + 1]);
	return busy;
}

static inline void *echo_work(void *arg)
{
	struct echo *e = arg;

	while (!atomic_load(&e->stop)) {
		bool busy;

		pthread_mutex_lock(e->lock);
		busy = echo_round(e);
		if (e->second)
			busy |= echo_round(e->second);
		pthread_mutex_unlock(e->lock);
		if (busy)
			sched_yield();
		else
			usleep(100);
	}
	return NULL;
}

static inline void *echo_loop(void *arg)
{
	struct echo *e = arg;

	loop_run(e->loop);
	return NULL;
}

static inline void echo_make(void *arg)
{
	struct echo *e = arg;

	e->be = vhost_backend_create(&e->params, &e->err);
}

static inline void echo_unmake(void *arg)
{
	struct echo *e = arg;

	vhost_backend_destroy(e->be);
	e->be = NULL;
}

static const struct vhost_backend_ops echo_ops = {
	.queue_start = echo_start,
	.queue_stop = echo_stop,
	.connection = echo_connection,
	.features = echo_features,
	.mtu = echo_mtu,
	.announce = echo_announce,
};

#define ECHO_FEATURES                                                                        \
	(1ULL << VIRTIO_F_VERSION_1 | 1ULL << VIRTIO_RING_F_EVENT_IDX |                      \
	 1ULL << VIRTIO_RING_F_INDIRECT_DESC | 1ULL << VIRTIO_F_RING_PACKED |                \
	 1ULL << VIRTIO_F_IN_ORDER | 1ULL << VIRTIO_NET_F_MRG_RXBUF |                        \
	 1ULL << VIRTIO_NET_F_STATUS | 1ULL << VIRTIO_NET_F_MAC | 1ULL << VIRTIO_NET_F_MTU | \
	 1ULL << VIRTIO_NET_F_MQ)

static inline void echo_prepare(struct echo *e, const char *path, bool server)
{
	log_set_level(getenv("PB_LOG") ? LOG_LEVEL_DEBUG : LOG_LEVEL_ERROR);
	*e = (struct echo){.params = {
				   .name = "port0",
				   .path = path,
				   .server = server,
				   .features = ECHO_FEATURES,
				   .queue_pairs = ECHO_QUEUES / 2,
				   .mac = {0x52, 0x54, 0, 1, 2, 3},
				   .mtu = 1500,
				   .ops = &echo_ops,
			   }};
	e->params.opaque = e;
}

/* One that is served by first's worker and loop, to be taken down before it. */
static inline void echo_init_second(struct echo *e, const char *path, bool server,
				    struct echo *first)
{
	echo_prepare(e, path, server);
	e->loop = e->params.loop = first->loop;
	e->lock = first->lock;
	pthread_mutex_lock(e->lock);
	first->second = e;
	pthread_mutex_unlock(e->lock);
}

/* Everything but the back-end itself: params may be changed before echo_up(). */
static inline void echo_init(struct echo *e, const char *path, bool server)
{
	struct error err;

	echo_prepare(e, path, server);
	e->loop = e->params.loop = loop_create(&err);
	assert_non_null(e->loop);
	pthread_mutex_init(&e->own_lock, NULL);
	e->lock = &e->own_lock;
	assert_int_equal(thread_start(&e->loop_thread, "loop", THREAD_ANY_CPU, echo_loop, e, &err),
			 0);
	assert_int_equal(thread_start(&e->worker, "worker", THREAD_ANY_CPU, echo_work, e, &err), 0);
}

static inline void echo_up(struct echo *e)
{
	assert_int_equal(loop_call(e->loop, echo_make, e), 0);
	if (!e->be)
		fail_msg("%s", e->err.text);
}

static inline void echo_down(struct echo *e)
{
	assert_int_equal(loop_call(e->loop, echo_unmake, e), 0);
}

static inline void echo_done(struct echo *e)
{
	echo_down(e);
	atomic_store(&e->stop, true);
	loop_stop(e->loop);
	pthread_join(e->loop_thread, NULL);
	pthread_join(e->worker, NULL);
	loop_destroy(e->loop);
	pthread_mutex_destroy(&e->own_lock);
}

#endif
