/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Theory of operation.
 *
 * Going to sleep is: set asleep, then look at kicked once more. Kicking is: set kicked, then look at
 * asleep, and only if it is set signal the eventfd. Both have a full barrier in between, so at
 * least one side sees the other's store: a kick is never lost, and costs nothing while the worker
 * is awake. A signal that comes too late to be needed makes one step too many.
 *
 * An alarm is a kick that waits. To a worker that is awake it is a kick: it has one more step before
 * it sleeps, and in that learns the time from the device. To one that sleeps longer than until the
 * alarm it is a timer that is among the things the worker sleeps on.
 */
#include "device/nic_worker.h"
#include "base/thread.h"
#include "mem/barrier.h"

#include <errno.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/timerfd.h>
#include <unistd.h>

static _Thread_local const struct nic_worker *worker_self;

bool nic_worker_self(const struct nic_worker *w)
{
	return worker_self == w;
}

int nic_worker_init(struct nic_worker *w,
		    void (*step)(void *opaque, uint64_t now, struct nic_worker_wish *wish),
		    void *opaque, int rx_fd, struct error *err)
{
	memset(w, 0, sizeof(*w));
	w->step = step;
	w->opaque = opaque;
	w->rx_fd = rx_fd;
	w->alarm = NIC_WORKER_NEVER;
	pthread_mutex_init(&w->alarm_lock, NULL);
	pthread_mutex_init(&w->pause_lock, NULL);
	pthread_cond_init(&w->pause_changed, NULL);
	w->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	w->alarm_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	if (w->wake_fd < 0 || w->alarm_fd < 0)
		return error_set(err, -errno, "cannot create an eventfd for a NIC's worker: %s",
				 error_name(errno));
	return 0;
}

void nic_worker_kick(struct nic_worker *w)
{
	uint64_t one = 1;

	atomic_store_explicit(&w->kicked, true, memory_order_release);
	full_barrier();
	if (!atomic_load_explicit(&w->asleep, memory_order_relaxed))
		return;
	atomic_fetch_add_explicit(&w->kicks, 1, memory_order_relaxed);
	while (write(w->wake_fd, &one, sizeof(one)) < 0 && errno == EINTR)
		;
}

void nic_worker_alarm(struct nic_worker *w, uint64_t at)
{
	struct itimerspec spec = {.it_value = {.tv_sec = (time_t)(at / NSEC_PER_SEC),
					       .tv_nsec = (long)(at % NSEC_PER_SEC)}};

	if (!atomic_load(&w->asleep)) {
		atomic_store_explicit(&w->kicked, true, memory_order_release);
		full_barrier();
		if (!atomic_load_explicit(&w->asleep, memory_order_relaxed))
			return;
	}
	if (atomic_load(&w->until) <= at)
		return;
	pthread_mutex_lock(&w->alarm_lock);
	if (at < w->alarm) {
		w->alarm = at;
		timerfd_settime(w->alarm_fd, TFD_TIMER_ABSTIME, &spec, NULL);
		atomic_fetch_add_explicit(&w->kicks, 1, memory_order_relaxed);
	}
	pthread_mutex_unlock(&w->alarm_lock);
}

/* After a sleep: an alarm that rang is done with; one that did not may ring for nothing. */
static void alarm_over(struct nic_worker *w)
{
	uint64_t count;

	pthread_mutex_lock(&w->alarm_lock);
	if (read(w->alarm_fd, &count, sizeof(count)) > 0)
		w->alarm = NIC_WORKER_NEVER;
	pthread_mutex_unlock(&w->alarm_lock);
}

/* By the worker alone: others only read it. */
static void count_one(_Atomic uint64_t *counter)
{
	atomic_store_explicit(counter, atomic_load_explicit(counter, memory_order_relaxed) + 1,
			      memory_order_relaxed);
}

static void sleep_until(struct nic_worker *w, const struct nic_worker_wish *wish)
{
	struct pollfd fds[3] = {{.fd = w->wake_fd, .events = POLLIN},
				{.fd = w->alarm_fd, .events = POLLIN},
				{.fd = w->rx_fd, .events = POLLIN}};
	nfds_t n = wish->receive && fds[2].fd >= 0 ? 3 : 2;
	uint64_t now = clock_ns(), count;
	struct timespec ts;
	uint64_t ns = wish->at > now ? wish->at - now : 0;

	ts = (struct timespec){(time_t)(ns / NSEC_PER_SEC), (long)(ns % NSEC_PER_SEC)};
	atomic_store(&w->until, wish->at);
	atomic_store_explicit(&w->asleep, true, memory_order_release);
	full_barrier();
	if (!atomic_load_explicit(&w->kicked, memory_order_acquire) && ns) {
		count_one(&w->sleeps);
		ppoll(fds, n, wish->at == NIC_WORKER_NEVER ? NULL : &ts, NULL);
	}
	atomic_store_explicit(&w->asleep, false, memory_order_relaxed);
	if (fds[1].revents & POLLIN)
		alarm_over(w);
	if ((fds[0].revents & POLLIN) && read(w->wake_fd, &count, sizeof(count)) < 0)
		return; /* taken already */
}

static void stand_still(struct nic_worker *w)
{
	pthread_mutex_lock(&w->pause_lock);
	w->still = true;
	pthread_cond_broadcast(&w->pause_changed);
	while (atomic_load(&w->paused))
		pthread_cond_wait(&w->pause_changed, &w->pause_lock);
	w->still = false;
	pthread_mutex_unlock(&w->pause_lock);
}

void nic_worker_pause(struct nic_worker *w, bool paused)
{
	pthread_mutex_lock(&w->pause_lock);
	atomic_store(&w->paused, paused);
	pthread_cond_broadcast(&w->pause_changed);
	if (paused)
		nic_worker_kick(w);
	while (paused && w->running && !w->still)
		pthread_cond_wait(&w->pause_changed, &w->pause_lock);
	pthread_mutex_unlock(&w->pause_lock);
}

static void *worker_main(void *arg)
{
	struct nic_worker *w = arg;

	worker_self = w;
	/* Interrupt throttling counts in microseconds; the default slack is fifty of them. */
	prctl(PR_SET_TIMERSLACK, 1000);
	while (!atomic_load(&w->stop)) {
		struct nic_worker_wish wish = {.at = NIC_WORKER_NEVER};
		uint64_t now;

		if (unlikely(atomic_load_explicit(&w->paused, memory_order_relaxed))) {
			stand_still(w);
			continue; /* it may be because of stop */
		}
		now = clock_ns();
		atomic_exchange(&w->kicked, false);
		count_one(&w->steps);
		w->step(w->opaque, now, &wish);
		if (wish.at > now)
			sleep_until(w, &wish);
	}
	return NULL;
}

int nic_worker_start(struct nic_worker *w, const char *name, int cpu, struct error *err)
{
	int ret = thread_start(&w->thread, name, cpu, worker_main, w, err);

	w->running = !ret;
	return ret;
}

void nic_worker_stop(struct nic_worker *w)
{
	if (w->running) {
		atomic_store(&w->stop, true);
		nic_worker_pause(w, false);
		nic_worker_kick(w);
		pthread_join(w->thread, NULL);
		w->running = false;
	}
	if (!w->step)
		return;
	close(w->wake_fd);
	close(w->alarm_fd);
	pthread_mutex_destroy(&w->alarm_lock);
	pthread_mutex_destroy(&w->pause_lock);
	pthread_cond_destroy(&w->pause_changed);
	w->step = NULL;
}
