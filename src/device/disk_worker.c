// SPDX-License-Identifier: Apache-2.0
/*
 * Theory of operation. While a step finds something the next follows. When one finds nothing the
 * worker asks for kicks, looks once more, and sleeps in epoll on the kick eventfds
 * (edge-triggered, never read: each signal is an edge) and on the block queues' descriptors.
 *
 * Parking. Requests in flight hold addresses in guest memory, so a worker is not at rest before
 * they are complete: on PARK it takes no more, and goes on completing until nothing is in flight.
 * A store that is away would hold it, and the control thread that waits for it, for ever; so after
 * DRAIN_PATIENCE_NS what cannot be carried out now is given up, and the guest sees I/O errors.
 * From disk_worker_park() to disk_worker_unpark() the queue is the control thread's, ordered by
 * the mutex.
 */
#include "device/disk_worker.h"

#include "base/log.h"
#include "base/thread.h"

#include <errno.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define DRAIN_PATIENCE_NS (2 * NSEC_PER_SEC)
#define DRAIN_LOOK_MS	  50
#define EVENTS		  8

void disk_worker_wake(struct disk_worker *w)
{
	(void)eventfd_write(w->wake_fd, 1);
}

/* The thread rests as long as the control thread asks for it; false: it is to end. */
static bool rest(struct disk_worker *w)
{
	int request;

	pthread_mutex_lock(&w->lock);
	w->parked = true;
	pthread_cond_broadcast(&w->cond);
	while ((request = atomic_load(&w->request)) == DISK_WORKER_PARK)
		pthread_cond_wait(&w->cond, &w->lock);
	w->parked = false;
	pthread_mutex_unlock(&w->lock);
	return request == DISK_WORKER_RUN;
}

/* Completes what is in flight, without taking more. */
static void drain(struct disk_worker *w)
{
	uint64_t patience = clock_ns() + DRAIN_PATIENCE_NS;
	struct epoll_event events[EVENTS];

	while (w->ops->busy(w)) {
		if (w->ops->step(w, false))
			continue;
		if (clock_ns() > patience)
			w->ops->cancel(w);
		(void)epoll_wait(w->epoll_fd, events, EVENTS, DRAIN_LOOK_MS);
	}
	/* Completed, but not yet made visible. */
	while (w->ops->step(w, false))
		;
}

static void sleep_until_event(struct disk_worker *w)
{
	struct epoll_event events[EVENTS];

	if (atomic_load(&w->request) != DISK_WORKER_RUN)
		return;
	(void)epoll_wait(w->epoll_fd, events, EVENTS, -1);
	w->wakeups++;
}

static void *worker(void *arg)
{
	struct disk_worker *w = arg;

	for (;;) {
		if (unlikely(atomic_load_explicit(&w->request, memory_order_acquire) !=
			     DISK_WORKER_RUN)) {
			drain(w);
			if (!rest(w))
				break;
		}
		if (w->ops->step(w, true) || (w->ops->arm && w->ops->arm(w)))
			continue;
		sleep_until_event(w);
	}
	return NULL;
}

void disk_worker_park(struct disk_worker *w)
{
	if (!w->has_thread)
		return;
	atomic_store(&w->request, DISK_WORKER_PARK);
	disk_worker_wake(w);
	pthread_mutex_lock(&w->lock);
	while (!w->parked)
		pthread_cond_wait(&w->cond, &w->lock);
	pthread_mutex_unlock(&w->lock);
}

static void ask(struct disk_worker *w, enum disk_worker_request what)
{
	pthread_mutex_lock(&w->lock);
	atomic_store(&w->request, what);
	pthread_cond_broadcast(&w->cond);
	pthread_mutex_unlock(&w->lock);
}

void disk_worker_unpark(struct disk_worker *w)
{
	if (w->has_thread)
		ask(w, DISK_WORKER_RUN);
}

int disk_worker_watch(struct disk_worker *w, int fd, bool edge)
{
	struct epoll_event ev = {.events = EPOLLIN | (edge ? (uint32_t)EPOLLET : 0)};

	return epoll_ctl(w->epoll_fd, EPOLL_CTL_ADD, fd, &ev) ? -errno : 0;
}

void disk_worker_unwatch(struct disk_worker *w, int fd)
{
	struct epoll_event ev = {0};

	(void)epoll_ctl(w->epoll_fd, EPOLL_CTL_DEL, fd, &ev);
}

int disk_worker_start(struct disk_worker *w, unsigned index, int cpu, struct error *err)
{
	char name[32];
	int ret;

	w->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	w->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	pthread_mutex_init(&w->lock, NULL);
	pthread_cond_init(&w->cond, NULL);
	if (w->epoll_fd < 0 || w->wake_fd < 0 || disk_worker_watch(w, w->wake_fd, true))
		return error_set(err, -errno, "%s: descriptors for worker %u: %s; see ulimit -n",
				 w->id, index, error_name(errno));
	atomic_store(&w->request, DISK_WORKER_PARK);
	snprintf(name, sizeof(name), "%.8s-q%u", w->id, index);
	ret = thread_start(&w->thread, name, cpu, worker, w, err);
	w->has_thread = !ret;
	if (!ret)
		disk_worker_park(w);
	return ret;
}

void disk_worker_end(struct disk_worker *w)
{
	if (!w->ops) /* never begun */
		return;
	if (w->has_thread) {
		ask(w, DISK_WORKER_EXIT);
		disk_worker_wake(w);
		pthread_join(w->thread, NULL);
		w->has_thread = false;
	}
	if (w->epoll_fd > 0)
		close(w->epoll_fd);
	if (w->wake_fd > 0)
		close(w->wake_fd);
	w->epoll_fd = w->wake_fd = 0;
}
