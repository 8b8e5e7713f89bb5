/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_SCRIPTED_BACKEND_H
#define TESTS_SCRIPTED_BACKEND_H

#include "unit/plane_bed.h"

#include "vhost/user_io.h"

#include <pthread.h>
#include <sys/socket.h>

/*
 * A vhost-user back-end that is a thread with a script: it follows the protocol except where the
 * script says. And a plane in front of it.
 */
struct script {
	uint64_t features, protocol;
	unsigned hang_at;   /* does not answer this request, nor any after it */
	unsigned refuse;    /* answers this one with 1 */
	unsigned lie_at;    /* answers this one as if it were another */
	unsigned close_at;  /* closes instead of carrying this one out */
	uint32_t base;	    /* what GET_VRING_BASE says; 0: as it was set */
	_Atomic bool shout; /* sends a request where none is due */

	/* With this request in hand it asks this on its own channel, and waits for the answer. */
	unsigned ask_at;
	struct vhost_user_msg ask;
};

#define FEATURES                                                                \
	(1ULL << VIRTIO_F_VERSION_1 | 1ULL << VIRTIO_RING_F_EVENT_IDX |         \
	 1ULL << VIRTIO_RING_F_INDIRECT_DESC | 1ULL << VIRTIO_NET_F_MRG_RXBUF | \
	 1ULL << VHOST_USER_F_PROTOCOL_FEATURES)
#define PROTOCOL                                                                      \
	(1ULL << VHOST_USER_PROTOCOL_F_MQ | 1ULL << VHOST_USER_PROTOCOL_F_REPLY_ACK | \
	 1ULL << VHOST_USER_PROTOCOL_F_STATUS | 1ULL << VHOST_USER_PROTOCOL_F_BACKEND_REQ)

struct backend {
	struct script script;
	char dir[32], sock[64];
	int listener;
	pthread_t thread;
	_Atomic bool stop;
	_Atomic unsigned met; /* conversations that came as far as DRIVER_OK */
	uint32_t base[8];
	_Atomic int channel; /* for its own requests; -1: none */
	_Atomic int asked;   /* what was answered to script.ask; -1: nothing yet */
	struct pb *pb;	     /* to look at how things are when a ring is stopped */
	_Atomic bool page_at_stop;
};

/* Asks on the back-end's own channel; what is answered, or -1: nothing in time. */
static inline int backend_ask(struct backend *b, const struct vhost_user_msg *ask)
{
	struct vhost_user_rx rx = {0};
	struct error err;
	int rc = vhost_user_send(b->channel, ask, clock_ns() + PATIENCE_NS, &err);

	if (rc == 0)
		rc = vhost_user_recv(&rx, VHOST_USER_CHANNEL_BACKEND, b->channel,
				     clock_ns() + PATIENCE_NS, &err);
	return rc == 1 ? (int)rx.msg.payload.u64 : -1;
}

static inline void answer(struct backend *b, int fd, const struct vhost_user_msg *q)
{
	struct vhost_user_msg r = {
		.hdr = {q->hdr.request, VHOST_USER_VERSION | VHOST_USER_REPLY, sizeof(uint64_t)},
	};
	const struct script *s = &b->script;
	bool reply = q->hdr.flags & VHOST_USER_NEED_REPLY;

	switch (q->hdr.request) {
	case VHOST_USER_GET_FEATURES:
		r.payload.u64 = s->features;
		reply = true;
		break;
	case VHOST_USER_GET_PROTOCOL_FEATURES:
		r.payload.u64 = s->protocol;
		reply = true;
		break;
	case VHOST_USER_GET_QUEUE_NUM:
		r.payload.u64 = 4;
		reply = true;
		break;
	case VHOST_USER_SET_BACKEND_REQ_FD:
		b->channel = dup(q->fds[0]);
		break;
	case VHOST_USER_SET_VRING_BASE:
		b->base[q->payload.state.index % 8] = q->payload.state.num;
		break;
	case VHOST_USER_GET_VRING_BASE:
		if (b->pb && b->pb->pages[q->payload.state.index % (2 * PB_PAIRS)])
			b->page_at_stop = true;
		r.payload.state.index = q->payload.state.index;
		r.payload.state.num = s->base ? s->base : b->base[q->payload.state.index % 8];
		reply = true;
		break;
	case VHOST_USER_SET_STATUS:
		b->met += q->payload.u64 != 0;
		break;
	default:
		break;
	}
	if (q->hdr.request == s->refuse)
		r.payload.u64 = 1;
	if (q->hdr.request == s->lie_at)
		r.hdr.request++;
	if (reply)
		vhost_user_send(fd, &r, clock_ns() + PATIENCE_NS, NULL);
}

static inline void serve(struct backend *b, int fd)
{
	struct vhost_user_rx rx = {0};
	bool hung = false;
	int rc = 0;

	while (!b->stop) {
		struct vhost_user_msg shout = {.hdr = {1, VHOST_USER_VERSION, 0}};

		if (b->script.shout) {
			b->script.shout = false;
			vhost_user_send(fd, &shout, clock_ns() + PATIENCE_NS, NULL);
		}
		if (!hung)
			rc = vhost_user_rx_step(&rx, VHOST_USER_CHANNEL_FRONTEND, fd, NULL);
		if (rc < 0)
			break;
		if (rc == 0 || hung) {
			poll(&(struct pollfd){fd, hung ? 0 : POLLIN, 0}, 1, 5);
			continue;
		}
		assert_int_equal(vhost_user_check_request(VHOST_USER_CHANNEL_FRONTEND, &rx.msg,
							  b->script.protocol, NULL),
				 0);
		hung = rx.msg.hdr.request == b->script.hang_at;
		if (rx.msg.hdr.request == b->script.close_at)
			break;
		if (b->script.ask_at && rx.msg.hdr.request == b->script.ask_at)
			b->asked = backend_ask(b, &b->script.ask);
		if (!hung)
			answer(b, fd, &rx.msg);
		vhost_user_rx_drop(&rx);
	}
	vhost_user_rx_drop(&rx);
	if (b->channel >= 0)
		close(b->channel);
	b->channel = -1;
	close(fd);
}

static inline void *backend_run(void *arg)
{
	struct backend *b = arg;

	while (!b->stop) {
		struct pollfd p = {b->listener, POLLIN, 0};
		int fd = poll(&p, 1, 5) > 0 ? vhost_user_accept(b->listener) : -1;

		if (fd >= 0)
			serve(b, fd);
	}
	return NULL;
}

static inline void backend_listen(struct backend *b)
{
	struct error err;

	b->stop = false;
	b->listener = vhost_user_listen(b->sock, &err);
	assert_true(b->listener >= 0);
	assert_int_equal(pthread_create(&b->thread, NULL, backend_run, b), 0);
}

static inline void backend_start(struct backend *b, const struct script *script)
{
	memset(b, 0, sizeof(*b));
	b->script = *script;
	b->channel = b->asked = -1;
	if (!b->script.features)
		b->script.features = FEATURES;
	if (!b->script.protocol)
		b->script.protocol = PROTOCOL;
	strcpy(b->dir, "/tmp/vu-hostile-XXXXXX");
	assert_non_null(mkdtemp(b->dir));
	snprintf(b->sock, sizeof(b->sock), "%s/s", b->dir);
	backend_listen(b);
}

static inline void backend_stop(struct backend *b)
{
	b->stop = true;
	pthread_join(b->thread, NULL);
	close(b->listener);
}

static inline void backend_done(struct backend *b)
{
	backend_stop(b);
	unlink(b->sock);
	rmdir(b->dir);
}

static inline int try_open(struct pb *pb, struct backend *b, struct plane **plane,
			   struct error *err)
{
	char opts[128];

	snprintf(opts, sizeof(opts), "socket=%s,link-down-after=1000", b->sock);
	return pb_open_plane(pb, "vhost-user", opts, plane, err);
}

struct running {
	struct backend b;
	struct pb pb;
};

static inline void run_with_ring(struct running *r, const struct script *script, unsigned pairs,
				 bool packed)
{
	struct error err = {0};
	struct plane *plane;

	backend_start(&r->b, script);
	pb_init(&r->pb, pairs, 64, packed);
	if (try_open(&r->pb, &r->b, &plane, &err) || pb_start(&r->pb, plane, &err))
		fail_msg("%s", err.text);
	assert_int_equal(r->b.met, 1);
}

static inline void run_with(struct running *r, const struct script *script, unsigned pairs)
{
	run_with_ring(r, script, pairs, false);
}

static inline void run_done(struct running *r)
{
	pb_stop(&r->pb);
	pb_close(&r->pb);
	pb_done(&r->pb);
	backend_done(&r->b);
}

/* Runs the main loop until the back-end was met so often, or the guest's link is so. */
static inline void run_until(struct running *r, unsigned met, int link)
{
	for (unsigned i = 0; i < PATIENCE_MS / 5 && (r->b.met != met || r->pb.link != link); i++)
		pb_run(&r->pb, 5);
	assert_int_equal(r->b.met, met);
	assert_int_equal(r->pb.link, link);
}

#endif
