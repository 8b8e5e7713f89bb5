/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Theory of operation: the thread around a queue pair.
 *
 * While a step finds something, the next follows; kicks are off and nobody is waited for. When one
 * finds nothing the worker may spin for a while (poll-us=), then it asks for kicks, looks once
 * more, and sleeps in epoll. System calls are what a frame costs beyond its copy, so:
 *
 *  - eventfds are watched edge-triggered and never read: each signal is an edge of its own;
 *  - the back-end's descriptor is watched level-triggered, so that it need not be read until it is
 *    empty: going to sleep finds out. What is watched changes only when the guest runs out of
 *    receive buffers or the back-end is full;
 *  - kicks on the receive queue are asked for only when it ran out of buffers.
 *
 * Spinning adapts: a sleep that was shorter than the knob doubles the time the worker spins before
 * the next, one that was longer halves it. A knob of 0, the default, never spins: on a host with
 * few cores the spinning worker takes the core from the virtual CPU it waits for.
 *
 * Parking. The control thread asks for it in `request` and signals wake_fd; the worker looks at
 * `request` between steps and before it sleeps, and rests on a condition. A worker that is asleep
 * need not be woken, which on a busy host can take long: it is claimed where it sleeps, and rests
 * if it wakes. From inproc_park() to inproc_unpark() the pair is the control thread's, ordered by
 * the mutex, or by `asleep`. The worker is offline (mem/quiesce.h) whenever it sleeps or rests.
 */
#include "dataplane/inprocess.h"

#include "base/log.h"
#include "base/thread.h"
#include "net/announce.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

enum source { FROM_WAKE, FROM_NET, FROM_RX_KICK, FROM_TX_KICK, SOURCES };

#define SPIN_STEP   64	 /* looks at the ring between two at the back-end */
#define SPIN_MIN_NS 2000 /* the first time to spin */

void inproc_wake(struct inproc_pair *pair)
{
	const uint64_t one = 1;

	if (write(pair->wake_fd, &one, sizeof(one)) < 0 && errno != EAGAIN)
		log_warn_limited("%s: waking worker %u: %s", pair->p->id, pair->index,
				 error_name(errno));
}

static int watch(struct inproc_pair *pair, int op, int fd, uint32_t events, enum source from)
{
	struct epoll_event ev = {.events = events, .data.u32 = from};

	return epoll_ctl(pair->epoll_fd, op, fd, &ev) ? -errno : 0;
}

int inproc_watch_kick(struct inproc_pair *pair, struct inproc_queue *q, bool on)
{
	enum source from = q == &pair->rx ? FROM_RX_KICK : FROM_TX_KICK;

	if (pair->epoll_fd < 0 || q->kick_fd < 0)
		return 0;
	return watch(pair, on ? EPOLL_CTL_ADD : EPOLL_CTL_DEL, q->kick_fd, EPOLLIN | EPOLLET, from);
}

/* What the back-end can be waited for now; 0: it is not watched at all, lest it report errors. */
static uint32_t net_wanted(const struct inproc_pair *pair)
{
	uint32_t events = 0;

	if (!pair->p->started || pair->index >= pair->config->active || pair->net_dead_until)
		return 0;
	if (pair->rx.running && !pair->rx_starved)
		events |= EPOLLIN;
	if (pair->tx_full_since && pair->tx_futile < 2)
		events |= EPOLLOUT;
	return events;
}

void inproc_watch_net(struct inproc_pair *pair)
{
	struct hostnet *hn = pair->p->hn;
	uint32_t events = net_wanted(pair);
	int op, ret;

	if (likely(events == pair->net_events))
		return;
	op = !pair->net_events ? EPOLL_CTL_ADD : events ? EPOLL_CTL_MOD : EPOLL_CTL_DEL;
	ret = watch(pair, op, hn->ops->poll_fd(hn, pair->index), events, FROM_NET);
	if (ret)
		log_warn_limited("%s: watching queue %u of %s: %s", pair->p->id, pair->index,
				 hn->ops->name, error_name(ret));
	pair->net_events = events;
}

/* Asks for the kicks that can matter. True: there is something to do at once. */
static bool arm(struct inproc_pair *pair)
{
	bool more = false;

	if (pair->tx.running && !pair->tx_full_since && !pair->tx.kicks_on) {
		pair->tx.kicks_on = true;
		more |= vq_enable_kicks(pair->tx.vq);
	}
	if (pair->rx.running && pair->rx_starved && !pair->rx.kicks_on) {
		pair->rx.kicks_on = true;
		more |= vq_enable_kicks(pair->rx.vq);
	}
	return more;
}

static void happened(struct inproc_pair *pair, const struct epoll_event *events, int n)
{
	for (int i = 0; i < n; i++) {
		switch (events[i].data.u32) {
		case FROM_NET:
			pair->net_ready = true;
			break;
		case FROM_RX_KICK:
			count(&pair->rx.c.kicks, 1);
			break;
		case FROM_TX_KICK:
			count(&pair->tx.c.kicks, 1);
			break;
		default:
			break;
		}
	}
}

/* Waits for an event until a moment (0: for ever) has come. */
static int wait_until(struct inproc_pair *pair, struct epoll_event *events, uint64_t when)
{
	struct timespec ts = {0, 0};
	uint64_t now, left;

	if (likely(!when))
		return epoll_wait(pair->epoll_fd, events, SOURCES, -1);
	now = clock_ns();
	left = when > now ? when - now : 0;
	ts.tv_sec = (time_t)(left / NSEC_PER_SEC);
	ts.tv_nsec = (long)(left % NSEC_PER_SEC);
	return epoll_pwait2(pair->epoll_fd, events, SOURCES, &ts, NULL);
}

static bool wanted_elsewhere(struct inproc_pair *pair)
{
	unsigned from;

	if (atomic_load(&pair->request) != INPROC_RUN || atomic_load(&pair->announce))
		return true;
	return !pair->rx_starved && atomic_load(&pair->p->steer) && steer_peek(pair, &from);
}

static bool rest(struct inproc_pair *pair);

/*
 * The end of a sleep. One that was claimed meanwhile rests before it touches the pair again; false:
 * the thread is to end.
 */
static bool awake(struct inproc_pair *pair)
{
	enum inproc_sleep was = INPROC_ASLEEP;
	bool go_on;

	if (atomic_compare_exchange_strong(&pair->asleep, &was, INPROC_AWAKE) ||
	    was != INPROC_CLAIMED)
		return true;
	go_on = rest(pair);
	atomic_store(&pair->asleep, INPROC_AWAKE);
	return go_on;
}

/* False: the thread is to end. */
static bool sleep_until_event(struct inproc_pair *pair)
{
	struct epoll_event events[SOURCES];
	uint64_t poll_ns = pair->p->poll_ns, start = 0, deadline;
	int n;

	inproc_watch_net(pair);
	deadline = inproc_deadline(pair);
	if (poll_ns)
		start = clock_ns();
	atomic_store(&pair->asleep, INPROC_ASLEEP);
	if (wanted_elsewhere(pair))
		return awake(pair);
	quiesce_offline(&pair->reader);
	n = wait_until(pair, events, deadline);
	quiesce_online(&pair->reader);
	if (!awake(pair))
		return false;
	happened(pair, events, n);
	if (!poll_ns)
		return true;
	if (clock_ns() - start < poll_ns)
		pair->poll_ns = MIN(poll_ns, MAX(2 * pair->poll_ns, SPIN_MIN_NS));
	else
		pair->poll_ns /= 2;
	return true;
}

/* Waits for something to do without sleeping; false: there was nothing. */
static bool spin(struct inproc_pair *pair)
{
	struct epoll_event events[SOURCES];
	uint64_t end;
	int n;

	if (likely(!pair->poll_ns))
		return false;
	inproc_watch_net(pair);
	end = clock_ns() + pair->poll_ns;
	do {
		for (unsigned i = 0; i < SPIN_STEP; i++) {
			if (pair->tx.running && vq_available(pair->tx.vq))
				return true;
			if (pair->rx_starved && pair->rx.running && vq_available(pair->rx.vq))
				return true;
			cpu_relax();
		}
		n = epoll_wait(pair->epoll_fd, events, SOURCES, 0);
		happened(pair, events, n);
		if (n > 0 || wanted_elsewhere(pair))
			return true;
	} while (clock_ns() < end);
	return false;
}

/* Rests as long as the control thread asks for it; false: the thread is to end. */
static bool rest(struct inproc_pair *pair)
{
	enum inproc_request request;

	quiesce_offline(&pair->reader);
	pthread_mutex_lock(&pair->lock);
	pair->parked = true;
	pthread_cond_broadcast(&pair->cond);
	while ((request = atomic_load(&pair->request)) == INPROC_PARK)
		pthread_cond_wait(&pair->cond, &pair->lock);
	pair->parked = false;
	pthread_mutex_unlock(&pair->lock);
	quiesce_online(&pair->reader);
	return request == INPROC_RUN;
}

static void *worker(void *arg)
{
	struct inproc_pair *pair = arg;

	quiesce_register(&pair->reader);
	for (;;) {
		if (unlikely(atomic_load_explicit(&pair->request, memory_order_acquire) !=
			     INPROC_RUN) &&
		    !rest(pair))
			break;
		quiesce_pass(&pair->reader);
		if (unlikely(atomic_load_explicit(&pair->announce, memory_order_relaxed)))
			inproc_announce_now(pair);
		if (inproc_step(pair) || spin(pair) || arm(pair))
			continue;
		if (!sleep_until_event(pair))
			break;
	}
	quiesce_unregister(&pair->reader);
	return NULL;
}

void inproc_park(struct inproc_pair *pair)
{
	enum inproc_sleep asleep = INPROC_ASLEEP;

	if (!pair->has_thread)
		return;
	atomic_store(&pair->request, INPROC_PARK);
	if (atomic_load(&pair->asleep) == INPROC_CLAIMED ||
	    atomic_compare_exchange_strong(&pair->asleep, &asleep, INPROC_CLAIMED))
		return;
	inproc_wake(pair);
	pthread_mutex_lock(&pair->lock);
	while (!pair->parked)
		pthread_cond_wait(&pair->cond, &pair->lock);
	pthread_mutex_unlock(&pair->lock);
}

static void request(struct inproc_pair *pair, enum inproc_request what)
{
	pthread_mutex_lock(&pair->lock);
	atomic_store(&pair->request, what);
	pthread_cond_broadcast(&pair->cond);
	pthread_mutex_unlock(&pair->lock);
}

void inproc_unpark(struct inproc_pair *pair)
{
	enum inproc_sleep claimed = INPROC_CLAIMED;

	if (!pair->has_thread)
		return;
	request(pair, INPROC_RUN);
	if (atomic_compare_exchange_strong(&pair->asleep, &claimed, INPROC_AWAKE))
		inproc_wake(pair);
}

int inproc_worker_start(struct inproc_pair *pair, int cpu, struct error *err)
{
	char name[32];
	int ret;

	pair->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	pair->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (pair->epoll_fd < 0 || pair->wake_fd < 0 ||
	    watch(pair, EPOLL_CTL_ADD, pair->wake_fd, EPOLLIN | EPOLLET, FROM_WAKE))
		return error_set(err, -errno, "%s: descriptors for worker %u: %s; see ulimit -n",
				 pair->p->id, pair->index, error_name(errno));
	pthread_mutex_init(&pair->lock, NULL);
	pthread_cond_init(&pair->cond, NULL);
	atomic_store(&pair->request, INPROC_PARK);
	snprintf(name, sizeof(name), "%.8s-q%u", pair->p->id, pair->index);
	ret = thread_start(&pair->thread, name, cpu, worker, pair, err);
	if (ret)
		return ret;
	pair->has_thread = true;
	return 0;
}

void inproc_worker_end(struct inproc_pair *pair)
{
	if (pair->has_thread) {
		request(pair, INPROC_EXIT);
		inproc_wake(pair);
		pthread_join(pair->thread, NULL);
		pair->has_thread = false;
	}
	if (pair->epoll_fd >= 0)
		close(pair->epoll_fd);
	if (pair->wake_fd >= 0)
		close(pair->wake_fd);
}
