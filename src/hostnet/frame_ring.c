/* SPDX-License-Identifier: Apache-2.0 */
#include "hostnet/frame_ring.h"

#include "base/iov.h"
#include "base/log.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

/*
 * Theory of operation. Records lie one behind the other in buf, each whole; where the next does
 * not fit before the end, a record of length SKIP sends the reader to the beginning. head is where
 * the producer writes next, tail where the consumer reads next, used what lies between. The lock
 * guards these three and signalled; bytes are copied outside of it: the producer writes beyond
 * head before it moves head, the consumer reads at tail before it moves tail.
 *
 * When the producer finds the ring empty it starts it over at 0, so that a ring which is mostly
 * short touches few pages of buf. Nobody reads then: used falls after the copy.
 *
 * signalled says whether the eventfd is readable. The producer sets it with the first frame; the
 * consumer clears it when it finds nothing, under the lock, so that no frame is in between.
 */
#define RECORD_ALIGN 16
#define RECORD_SKIP  UINT32_MAX

struct record {
	uint32_t len;
	struct net_offload off;
};
_Static_assert(sizeof(struct record) == RECORD_ALIGN, "data follows a record");

struct frame_ring {
	pthread_mutex_t lock;
	size_t size, head, tail, used;
	bool signalled;
	int fd;
	uint64_t syscalls;
	uint8_t *buf;
};

int frame_ring_create(struct frame_ring **out, size_t bytes)
{
	struct frame_ring *ring = calloc(1, sizeof(*ring));
	int rc = -ENOMEM;

	if (!ring)
		return rc;
	ring->size = ALIGN_UP(bytes, 4096);
	pthread_mutex_init(&ring->lock, NULL);
	ring->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (ring->fd < 0) {
		rc = -errno;
		goto fail_ring;
	}
	ring->buf = mmap(NULL, ring->size, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (ring->buf == MAP_FAILED) {
		rc = -errno;
		goto fail_fd;
	}
	*out = ring;
	return 0;
fail_fd:
	close(ring->fd);
fail_ring:
	pthread_mutex_destroy(&ring->lock);
	free(ring);
	return rc;
}

void frame_ring_destroy(struct frame_ring *ring)
{
	if (!ring)
		return;
	munmap(ring->buf, ring->size);
	close(ring->fd);
	pthread_mutex_destroy(&ring->lock);
	free(ring);
}

/* Finds room for a record of need bytes; NULL when there is none. Called with the lock held. */
static struct record *ring_reserve(struct frame_ring *ring, size_t need)
{
	struct record *record;
	size_t to_end;

	if (!ring->used)
		ring->head = ring->tail = 0;
	to_end = ring->size - ring->head;
	if (ring->used + need > ring->size)
		return NULL;
	if (need > to_end) {
		/* Where head is behind tail all of [head, tail) is free: then to_end is no limit. */
		if (ring->used + to_end + need > ring->size)
			return NULL;
		record = (void *)(ring->buf + ring->head);
		record->len = RECORD_SKIP;
		ring->used += to_end;
		ring->head = 0;
	}
	return (void *)(ring->buf + ring->head);
}

static void ring_signal(struct frame_ring *ring)
{
	uint64_t one = 1;

	ring->signalled = true;
	if (write(ring->fd, &one, sizeof(one)) < 0 && errno != EAGAIN)
		log_error("frame ring: cannot signal: %s", error_name(errno));
}

int frame_ring_push(struct frame_ring *ring, const struct iovec *iov, unsigned niov, uint32_t len,
		    const struct net_offload *off)
{
	size_t need = sizeof(struct record) + ALIGN_UP(len, RECORD_ALIGN);
	struct record *record;

	pthread_mutex_lock(&ring->lock);
	record = ring_reserve(ring, need);
	pthread_mutex_unlock(&ring->lock);
	if (!record)
		return -ENOBUFS;
	record->len = len;
	record->off = *off;
	iov_read(iov, niov, 0, record + 1, len);
	pthread_mutex_lock(&ring->lock);
	ring->head += need;
	if (ring->head == ring->size)
		ring->head = 0;
	ring->used += need;
	if (!ring->signalled)
		ring_signal(ring);
	pthread_mutex_unlock(&ring->lock);
	return 0;
}

/* The first record, or NULL; clears the signal then. Called with the lock held. */
static struct record *ring_first(struct frame_ring *ring)
{
	struct record *record;
	uint64_t count;

	if (ring->used) {
		record = (void *)(ring->buf + ring->tail);
		if (record->len != RECORD_SKIP)
			return record;
		ring->used -= ring->size - ring->tail;
		ring->tail = 0;
		if (ring->used)
			return (void *)ring->buf;
	}
	if (ring->signalled) {
		ring->signalled = false;
		ring->syscalls++;
		if (read(ring->fd, &count, sizeof(count)) < 0 && errno != EAGAIN)
			log_error("frame ring: cannot clear: %s", error_name(errno));
	}
	return NULL;
}

ssize_t frame_ring_pop(struct frame_ring *ring, const struct iovec *iov, unsigned niov,
		       struct net_offload *off)
{
	struct record *record;
	size_t size, put;
	uint32_t len;

	pthread_mutex_lock(&ring->lock);
	record = ring_first(ring);
	pthread_mutex_unlock(&ring->lock);
	if (!record)
		return -EAGAIN;
	len = record->len;
	*off = record->off;
	put = iov_write(iov, niov, 0, record + 1, len);
	size = sizeof(*record) + ALIGN_UP(len, RECORD_ALIGN);
	pthread_mutex_lock(&ring->lock);
	ring->tail += size;
	if (ring->tail == ring->size)
		ring->tail = 0;
	ring->used -= size;
	pthread_mutex_unlock(&ring->lock);
	return put == len ? (ssize_t)len : -EMSGSIZE;
}

size_t frame_ring_used(struct frame_ring *ring)
{
	size_t used;

	pthread_mutex_lock(&ring->lock);
	used = ring->used;
	pthread_mutex_unlock(&ring->lock);
	return used;
}

int frame_ring_fd(const struct frame_ring *ring)
{
	return ring->fd;
}

uint64_t frame_ring_syscalls(const struct frame_ring *ring)
{
	return READ_ONCE(ring->syscalls);
}
