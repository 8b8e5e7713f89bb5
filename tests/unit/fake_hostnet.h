/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_FAKE_HOSTNET_H
#define TESTS_FAKE_HOSTNET_H

/*
 * A scripted frame back-end. A wire is what several of them may share (two data planes that take
 * turns): frames put on it with wire_put() are received, frames sent are kept for wire_take().
 */
#include "unit.h"

#include "hostnet/hostnet.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define WIRE_QUEUES 8

struct wire_frame {
	struct wire_frame *next;
	struct net_offload off;
	uint32_t len;
	uint8_t data[];
};

struct wire_list {
	struct wire_frame *first, **last;
	unsigned count;
};

struct wire_queue {
	pthread_mutex_t lock;
	struct wire_list rx, sent;
	int fd;		/* readable while rx has something */
	unsigned room;	/* how many frames send still takes */
	int recv_error; /* what recv returns instead */
	bool loop;	/* what is sent comes back on this queue */
	bool discard;	/* what is sent is only counted */
	uint64_t recv_calls;
};

struct wire {
	struct wire_queue queues[WIRE_QUEUES];
};

struct fake {
	struct hostnet hn;
	struct wire *wire;
	uint32_t offloads; /* last set */
	unsigned active;   /* last set */
	bool closed;
};

static inline void wire_list_init(struct wire_list *l)
{
	l->first = NULL;
	l->last = &l->first;
	l->count = 0;
}

static inline void wire_list_add(struct wire_list *l, struct wire_frame *f)
{
	f->next = NULL;
	*l->last = f;
	l->last = &f->next;
	l->count++;
}

static inline struct wire_frame *wire_list_pop(struct wire_list *l)
{
	struct wire_frame *f = l->first;

	if (!f)
		return NULL;
	l->first = f->next;
	if (!l->first)
		l->last = &l->first;
	l->count--;
	return f;
}

static inline struct wire *wire_new(void)
{
	struct wire *wire = calloc(1, sizeof(*wire));

	for (unsigned i = 0; i < WIRE_QUEUES; i++) {
		struct wire_queue *q = &wire->queues[i];

		pthread_mutex_init(&q->lock, NULL);
		wire_list_init(&q->rx);
		wire_list_init(&q->sent);
		q->fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
		q->room = UINT32_MAX;
	}
	return wire;
}

static inline void wire_free(struct wire *wire)
{
	struct wire_frame *f;

	for (unsigned i = 0; i < WIRE_QUEUES; i++) {
		while ((f = wire_list_pop(&wire->queues[i].rx)))
			free(f);
		while ((f = wire_list_pop(&wire->queues[i].sent)))
			free(f);
		close(wire->queues[i].fd);
	}
	free(wire);
}

static inline void wire_signal(struct wire_queue *q)
{
	uint64_t one = 1;

	if (q->rx.count == 1 && write(q->fd, &one, sizeof(one)) < 0)
		abort();
}

/* A frame from the network. */
static inline void wire_put(struct wire *wire, unsigned queue, const void *data, uint32_t len,
			    const struct net_offload *off)
{
	struct wire_queue *q = &wire->queues[queue];
	struct wire_frame *f = malloc(sizeof(*f) + len);

	f->len = len;
	f->off = off ? *off : (struct net_offload){0};
	memcpy(f->data, data, len);
	pthread_mutex_lock(&q->lock);
	wire_list_add(&q->rx, f);
	wire_signal(q);
	pthread_mutex_unlock(&q->lock);
}

/* The oldest frame that was sent, or NULL; free() it. */
static inline struct wire_frame *wire_take(struct wire *wire, unsigned queue)
{
	struct wire_queue *q = &wire->queues[queue];
	struct wire_frame *f;

	pthread_mutex_lock(&q->lock);
	f = wire_list_pop(&q->sent);
	pthread_mutex_unlock(&q->lock);
	return f;
}

static inline unsigned wire_waiting(struct wire *wire, unsigned queue)
{
	struct wire_queue *q = &wire->queues[queue];
	unsigned n;

	pthread_mutex_lock(&q->lock);
	n = q->rx.count;
	pthread_mutex_unlock(&q->lock);
	return n;
}

static inline struct wire_queue *fake_queue(struct hostnet *hn, unsigned queue)
{
	return &container_of(hn, struct fake, hn)->wire->queues[queue];
}

static inline unsigned fake_send(struct hostnet *hn, unsigned queue, const struct net_frame *frames,
				 unsigned n)
{
	struct wire_queue *q = fake_queue(hn, queue);
	unsigned i;

	pthread_mutex_lock(&q->lock);
	for (i = 0; i < n && q->room; i++) {
		struct wire_frame *f = malloc(sizeof(*f) + frames[i].len);
		uint32_t at = 0;

		for (unsigned j = 0; j < frames[i].niov; j++) {
			memcpy(f->data + at, frames[i].iov[j].iov_base, frames[i].iov[j].iov_len);
			at += (uint32_t)frames[i].iov[j].iov_len;
		}
		if (at != frames[i].len)
			abort();
		f->len = at;
		f->off = frames[i].off;
		if (q->discard) {
			free(f);
			q->sent.count++;
			continue;
		}
		wire_list_add(q->loop ? &q->rx : &q->sent, f);
		if (q->loop)
			wire_signal(q);
		if (q->room != UINT32_MAX)
			q->room--;
	}
	pthread_mutex_unlock(&q->lock);
	return i;
}

static inline ssize_t fake_recv(struct hostnet *hn, unsigned queue, const struct iovec *iov,
				unsigned niov, struct net_offload *off)
{
	struct wire_queue *q = fake_queue(hn, queue);
	struct wire_frame *f;
	uint32_t at = 0;
	uint64_t count;
	ssize_t ret;

	pthread_mutex_lock(&q->lock);
	q->recv_calls++;
	f = q->recv_error ? NULL : wire_list_pop(&q->rx);
	if (f && !q->rx.count && read(q->fd, &count, sizeof(count)) < 0)
		abort();
	pthread_mutex_unlock(&q->lock);
	if (!f)
		return q->recv_error ? q->recv_error : -EAGAIN;
	for (unsigned j = 0; j < niov && at < f->len; j++) {
		uint32_t piece = (uint32_t)MIN(iov[j].iov_len, (size_t)(f->len - at));

		memcpy(iov[j].iov_base, f->data + at, piece);
		at += piece;
	}
	*off = f->off;
	ret = at == f->len ? (ssize_t)at : -EMSGSIZE;
	free(f);
	return ret;
}

static inline int fake_poll_fd(struct hostnet *hn, unsigned queue)
{
	return fake_queue(hn, queue)->fd;
}

static inline int fake_set_offloads(struct hostnet *hn, uint32_t offloads)
{
	container_of(hn, struct fake, hn)->offloads = offloads;
	return 0;
}

static inline int fake_set_queues(struct hostnet *hn, unsigned n)
{
	container_of(hn, struct fake, hn)->active = n;
	return 0;
}

static inline void fake_counters(struct hostnet *hn, unsigned queue, struct hostnet_counters *out)
{
	memset(out, 0, sizeof(*out));
}

static inline void fake_close(struct hostnet *hn)
{
	container_of(hn, struct fake, hn)->closed = true;
}

static const struct hostnet_ops fake_ops = {
	.name = "fake",
	.send = fake_send,
	.recv = fake_recv,
	.poll_fd = fake_poll_fd,
	.set_offloads = fake_set_offloads,
	.set_queues = fake_set_queues,
	.counters = fake_counters,
	.close = fake_close,
};

static inline void fake_init(struct fake *fake, struct wire *wire, unsigned queues)
{
	*fake = (struct fake){
		.hn = {.ops = &fake_ops,
		       .offloads_tx = NET_OFFLOAD_CSUM | NET_OFFLOAD_GSO,
		       .offloads_rx = NET_OFFLOAD_CSUM | NET_OFFLOAD_GSO,
		       .queues = queues,
		       .mtu = 1500},
		.wire = wire,
	};
}

#endif
