/* SPDX-License-Identifier: Apache-2.0 */
#include "base/loop.h"

#include "base/log.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

/*
 * Theory of operation.
 *
 * One thread runs the loop; watches and timers are touched by that thread alone and need no lock.
 * The one thing other threads reach is the list of posted calls, under a mutex, with an eventfd
 * that wakes epoll_wait.
 *
 * A watch may be removed (and its owner freed) inside any callback. epoll may by then have
 * reported it already, so each round keeps its array of reported events where loop_remove() can
 * see it and strikes the watch out there. Rounds nest (a callback may run loop_run_once()), so
 * they form a list.
 *
 * Timers are a list sorted by deadline. Those that are due move to a second list before the first
 * of them is called: a timer that sets itself again for a time already past then runs in the next
 * round, after the descriptors, instead of for ever in this one. Cancelling looks in both.
 */

#define LOOP_BURST 32

struct loop_call {
	struct loop_call *next;
	void (*fn)(void *arg);
	void *arg;
	bool waited; /* lives on the stack of loop_call(), which waits for done */
	bool done;
	int result;
};

struct loop_round {
	struct epoll_event events[LOOP_BURST];
	int count;
	struct loop_round *outer;
};

struct loop {
	int epoll_fd;
	struct loop_fd wake;
	struct loop_round *round;
	struct loop_timer *timers; /* by deadline */
	struct loop_timer *due;
	_Atomic bool stop;
	bool no_pwait2;

	pthread_mutex_t lock; /* the posted calls and their done flags */
	pthread_cond_t done;
	struct loop_call *first, **last;
};

static void loop_run_posted(struct loop_fd *watch, uint32_t events);

struct loop *loop_create(struct error *err)
{
	struct loop *loop = calloc(1, sizeof(*loop));
	int rc;

	if (!loop) {
		error_set(err, -ENOMEM, "event loop: out of memory");
		return NULL;
	}
	pthread_mutex_init(&loop->lock, NULL);
	pthread_cond_init(&loop->done, NULL);
	loop->last = &loop->first;
	loop->wake = (struct loop_fd){.fd = -1, .fn = loop_run_posted, .opaque = loop};
	loop->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (loop->epoll_fd < 0)
		goto fail;
	loop->wake.fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (loop->wake.fd < 0)
		goto fail;
	rc = loop_add(loop, &loop->wake, EPOLLIN);
	if (rc == 0)
		return loop;
	errno = -rc;
fail:
	error_set(err, -errno, "event loop: cannot create its descriptors: %s", error_name(errno));
	loop_destroy(loop);
	return NULL;
}

/* Gives a call its result: wakes who waits for it, or frees it. */
static void loop_call_finish(struct loop *loop, struct loop_call *call, int result)
{
	if (!call->waited) {
		free(call);
		return;
	}
	pthread_mutex_lock(&loop->lock);
	call->result = result;
	call->done = true;
	pthread_cond_broadcast(&loop->done);
	pthread_mutex_unlock(&loop->lock);
}

static struct loop_call *loop_take_posted(struct loop *loop)
{
	struct loop_call *list;

	pthread_mutex_lock(&loop->lock);
	list = loop->first;
	loop->first = NULL;
	loop->last = &loop->first;
	pthread_mutex_unlock(&loop->lock);
	return list;
}

void loop_destroy(struct loop *loop)
{
	struct loop_call *call, *next;

	if (!loop)
		return;
	for (call = loop_take_posted(loop); call; call = next) {
		next = call->next;
		loop_call_finish(loop, call, -ECANCELED);
	}
	if (loop->wake.fd >= 0)
		close(loop->wake.fd);
	if (loop->epoll_fd >= 0)
		close(loop->epoll_fd);
	pthread_cond_destroy(&loop->done);
	pthread_mutex_destroy(&loop->lock);
	free(loop);
}

static int loop_ctl(struct loop *loop, struct loop_fd *watch, int op, uint32_t events)
{
	struct epoll_event ev = {.events = events, .data.ptr = watch};

	if (epoll_ctl(loop->epoll_fd, op, watch->fd, &ev) < 0)
		return -errno;
	watch->events = events;
	return 0;
}

int loop_add(struct loop *loop, struct loop_fd *watch, uint32_t events)
{
	int rc;

	if (watch->active)
		return -EEXIST;
	rc = loop_ctl(loop, watch, EPOLL_CTL_ADD, events);
	if (rc == 0)
		watch->active = true;
	return rc;
}

int loop_modify(struct loop *loop, struct loop_fd *watch, uint32_t events)
{
	if (!watch->active)
		return -ENOENT;
	if (watch->events == events)
		return 0;
	return loop_ctl(loop, watch, EPOLL_CTL_MOD, events);
}

void loop_remove(struct loop *loop, struct loop_fd *watch)
{
	if (!watch->active)
		return;
	epoll_ctl(loop->epoll_fd, EPOLL_CTL_DEL, watch->fd, NULL);
	watch->active = false;
	for (struct loop_round *round = loop->round; round; round = round->outer) {
		for (int i = 0; i < round->count; i++) {
			if (round->events[i].data.ptr == watch)
				round->events[i].data.ptr = NULL;
		}
	}
}

static bool loop_timer_unlink(struct loop_timer **link, struct loop_timer *timer)
{
	for (; *link; link = &(*link)->next) {
		if (*link == timer) {
			*link = timer->next;
			return true;
		}
	}
	return false;
}

void loop_timer_cancel(struct loop *loop, struct loop_timer *timer)
{
	if (!timer->active)
		return;
	if (!loop_timer_unlink(&loop->timers, timer))
		loop_timer_unlink(&loop->due, timer);
	timer->active = false;
	timer->next = NULL;
}

void loop_timer_set(struct loop *loop, struct loop_timer *timer, uint64_t deadline)
{
	struct loop_timer **link = &loop->timers;

	loop_timer_cancel(loop, timer);
	while (*link && (*link)->deadline <= deadline)
		link = &(*link)->next;
	timer->deadline = deadline;
	timer->next = *link;
	timer->active = true;
	*link = timer;
}

static void loop_run_timers(struct loop *loop)
{
	struct loop_timer **end = &loop->due;
	struct loop_timer *timer;
	uint64_t now;

	if (!loop->timers)
		return;
	now = clock_ns();
	while (*end) /* left by an outer round that is still calling them */
		end = &(*end)->next;
	while (loop->timers && loop->timers->deadline <= now) {
		timer = loop->timers;
		loop->timers = timer->next;
		timer->next = NULL;
		*end = timer;
		end = &timer->next;
	}
	while ((timer = loop->due)) {
		loop->due = timer->next;
		timer->next = NULL;
		timer->active = false;
		timer->fn(timer);
	}
}

static void loop_wake(struct loop *loop)
{
	uint64_t one = 1;

	/* EAGAIN: the counter is at its limit, so the loop is awake anyway. */
	if (write(loop->wake.fd, &one, sizeof(one)) < 0 && errno != EAGAIN)
		log_error("event loop: cannot wake it: %s", error_name(errno));
}

static void loop_enqueue(struct loop *loop, struct loop_call *call)
{
	pthread_mutex_lock(&loop->lock);
	*loop->last = call;
	loop->last = &call->next;
	/* Inside the lock: once fn has run, its poster may destroy the loop. */
	loop_wake(loop);
	pthread_mutex_unlock(&loop->lock);
}

int loop_post(struct loop *loop, void (*fn)(void *arg), void *arg)
{
	struct loop_call *call = calloc(1, sizeof(*call));

	if (!call)
		return -ENOMEM;
	call->fn = fn;
	call->arg = arg;
	loop_enqueue(loop, call);
	return 0;
}

int loop_call(struct loop *loop, void (*fn)(void *arg), void *arg)
{
	struct loop_call call = {.fn = fn, .arg = arg, .waited = true};

	loop_enqueue(loop, &call);
	pthread_mutex_lock(&loop->lock);
	while (!call.done)
		pthread_cond_wait(&loop->done, &loop->lock);
	pthread_mutex_unlock(&loop->lock);
	return call.result;
}

static void loop_run_posted(struct loop_fd *watch, uint32_t events)
{
	struct loop *loop = watch->opaque;
	struct loop_call *call, *next;
	uint64_t count;

	(void)events;
	if (read(watch->fd, &count, sizeof(count)) < 0 && errno != EAGAIN)
		log_error("event loop: cannot read its wake-up: %s", error_name(errno));
	for (call = loop_take_posted(loop); call; call = next) {
		next = call->next;
		call->fn(call->arg);
		loop_call_finish(loop, call, 0);
	}
}

/* epoll_wait() until deadline (UINT64_MAX: none) with the clock's own resolution where it can. */
static int loop_wait(struct loop *loop, struct loop_round *round, uint64_t deadline)
{
	uint64_t now = deadline == UINT64_MAX ? 0 : clock_ns();
	uint64_t ns = deadline > now ? deadline - now : 0;
	struct timespec ts = {.tv_sec = (time_t)(ns / NSEC_PER_SEC),
			      .tv_nsec = (long)(ns % NSEC_PER_SEC)};
	bool forever = deadline == UINT64_MAX;
	uint64_t ms;

	if (!loop->no_pwait2) {
		int n = epoll_pwait2(loop->epoll_fd, round->events, LOOP_BURST,
				     forever ? NULL : &ts, NULL);

		if (n >= 0 || errno != ENOSYS)
			return n;
		loop->no_pwait2 = true; /* Linux before 5.11 */
	}
	ms = MIN((ns + NSEC_PER_MSEC - 1) / NSEC_PER_MSEC, 1000U * 3600);
	return epoll_wait(loop->epoll_fd, round->events, LOOP_BURST, forever ? -1 : (int)ms);
}

int loop_run_once(struct loop *loop, int timeout_ms)
{
	struct loop_round round = {.outer = loop->round};
	uint64_t deadline = UINT64_MAX;
	int rc = 0;

	if (timeout_ms >= 0)
		deadline = timeout_ms ? clock_ns() + (uint64_t)timeout_ms * NSEC_PER_MSEC : 0;
	if (loop->timers)
		deadline = MIN(deadline, loop->timers->deadline);
	round.count = loop_wait(loop, &round, deadline);
	if (round.count < 0) {
		if (errno != EINTR)
			rc = -errno;
		round.count = 0;
	}
	loop->round = &round;
	loop_run_timers(loop);
	for (int i = 0; i < round.count; i++) {
		struct loop_fd *watch = round.events[i].data.ptr;

		if (watch)
			watch->fn(watch, round.events[i].events);
	}
	loop->round = round.outer;
	return rc;
}

int loop_run(struct loop *loop)
{
	int rc = 0;

	while (!loop->stop && rc == 0)
		rc = loop_run_once(loop, -1);
	loop->stop = false;
	return rc;
}

void loop_stop(struct loop *loop)
{
	loop->stop = true;
	loop_wake(loop);
}
