/* SPDX-License-Identifier: Apache-2.0 */
#include "vhost/back_internal.h"

#include "base/log.h"
#include "base/thread.h"

#include <errno.h>
#include <poll.h>
#include <stdatomic.h>
#include <sys/eventfd.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

/*
 * Signalling eventfds that somebody else has too. A write to one blocks when its counter is full
 * and O_NONBLOCK is not set, and both are in the front-end's hands at any moment, so a write that
 * cannot block does not exist. It can be ended, though: whoever reads the counter frees the writer.
 *
 * So each signal is counted before and after, and one thread of the process looks every 50 ms
 * whether one has not come back since it looked last, and a counter is full: if none is, the worker
 * has not blocked, but this machine does not let it run. Then that queue is silenced, its eventfds
 * are read until the writer is out, and its connection is closed. A front-end can hold a worker up
 * for 100 ms, once a connection.
 *
 * The lock keeps the descriptors that are read from being closed, and others from taking their
 * numbers, meanwhile. Nobody signals while holding it.
 */
#define LOOK_MS 50

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_mutex_t life = PTHREAD_MUTEX_INITIALIZER; /* the thread's; taken before lock */
static struct vhost_backend *watched;			 /* by ->next_watched */
static pthread_t thread;
static _Atomic bool stop;

void back_signal(struct back_queue *q, const int *fd)
{
	if (atomic_load(&q->silenced))
		return;
	atomic_fetch_add(&q->signals_begun, 1);
	eventfd_write(*fd, 1);
	atomic_fetch_add(&q->signals_done, 1);
}

/* Takes what is in the counter; cannot block, whatever the flags say. */
static void empty(int fd)
{
	uint64_t value;
	struct iovec iov = {&value, sizeof(value)};

	if (fd >= 0)
		preadv2(fd, &iov, 1, -1, RWF_NOWAIT);
}

/* Whether whoever writes to this eventfd waits for somebody to read it. */
static bool is_full(int fd)
{
	struct pollfd p = {.fd = fd, .events = POLLOUT};

	return fd >= 0 && !(poll(&p, 1, 0) == 1 && (p.revents & POLLOUT));
}

static void set_free(struct back_queue *q)
{
	uint64_t end = clock_ns() + 10 * NSEC_PER_MSEC;

	atomic_store(&q->silenced, true);
	while (atomic_load(&q->signals_done) != atomic_load(&q->signals_begun) &&
	       clock_ns() < end) {
		empty(q->call_fd);
		empty(q->err_fd);
	}
	atomic_store(&q->pub.backend->blocked, true);
	vhost_backend_attention(&q->pub);
}

static void look(struct back_queue *q)
{
	uint64_t done = atomic_load(&q->signals_done), begun = atomic_load(&q->signals_begun);

	if (begun != done && done == q->signals_seen && (is_full(q->call_fd) || is_full(q->err_fd)))
		set_free(q);
	q->signals_seen = begun != done ? done : UINT64_MAX;
}

static void *watch(void *arg)
{
	const struct timespec pause = {.tv_nsec = LOOK_MS * NSEC_PER_MSEC};

	while (!atomic_load(&stop)) {
		nanosleep(&pause, NULL);
		pthread_mutex_lock(&lock);
		for (struct vhost_backend *be = watched; be; be = be->next_watched)
			for (unsigned i = 0; i < be->nqueues; i++)
				look(&be->queues[i]);
		pthread_mutex_unlock(&lock);
	}
	return NULL;
}

int back_watch_add(struct vhost_backend *be, struct error *err)
{
	int rc = 0;

	pthread_mutex_lock(&life);
	pthread_mutex_lock(&lock);
	if (!watched) {
		atomic_store(&stop, false);
		rc = thread_start(&thread, "vhost-watch", THREAD_ANY_CPU, watch, NULL, err);
	}
	if (rc == 0) {
		be->next_watched = watched;
		watched = be;
		be->is_watched = true;
	}
	pthread_mutex_unlock(&lock);
	pthread_mutex_unlock(&life);
	return rc;
}

void back_watch_remove(struct vhost_backend *be)
{
	bool last;

	if (!be->is_watched)
		return;
	pthread_mutex_lock(&life);
	pthread_mutex_lock(&lock);
	for (struct vhost_backend **p = &watched; *p; p = &(*p)->next_watched) {
		if (*p == be) {
			*p = be->next_watched;
			break;
		}
	}
	last = !watched;
	be->is_watched = false;
	pthread_mutex_unlock(&lock);
	if (last) {
		atomic_store(&stop, true);
		pthread_join(thread, NULL);
	}
	pthread_mutex_unlock(&life);
}

void back_close_signal(int *fd)
{
	pthread_mutex_lock(&lock);
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
	pthread_mutex_unlock(&lock);
}
