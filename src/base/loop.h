/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BASE_LOOP_H
#define BASE_LOOP_H

#include "base/error.h"

#include <sys/epoll.h>

/*
 * An event loop over epoll, run by one thread. Watches and timers are embedded in their owners
 * and belong to them; they may be removed at any time from the loop's own thread, also from inside
 * a callback (their own or another's). Only loop_post() and loop_stop() may be called from other
 * threads.
 */
struct loop;

struct loop_fd {
	int fd;
	uint32_t events;
	void (*fn)(struct loop_fd *watch, uint32_t events);
	void *opaque;
	bool active;
};

struct loop_timer {
	uint64_t deadline; /* clock_ns() time; valid while active */
	void (*fn)(struct loop_timer *timer);
	void *opaque;
	bool active;
	struct loop_timer *next;
};

struct loop *loop_create(struct error *err);
void loop_destroy(struct loop *loop);

/** Watches watch->fd for events (EPOLLIN…); the fields fd, fn and opaque are the caller's to set. */
int loop_add(struct loop *loop, struct loop_fd *watch, uint32_t events);
int loop_modify(struct loop *loop, struct loop_fd *watch, uint32_t events);
void loop_remove(struct loop *loop, struct loop_fd *watch);

/** Calls timer->fn once at deadline (clock_ns() time); setting an active timer moves it. */
void loop_timer_set(struct loop *loop, struct loop_timer *timer, uint64_t deadline);
void loop_timer_cancel(struct loop *loop, struct loop_timer *timer);

/** From any thread: calls fn(arg) in the loop's thread, in the order posted. -ENOMEM if not. */
int loop_post(struct loop *loop, void (*fn)(void *arg), void *arg);

/** From any thread: like loop_post(), then waits until fn has returned (not from the loop itself). */
int loop_call(struct loop *loop, void (*fn)(void *arg), void *arg);

/** Runs until loop_stop(). Returns 0, or a negative errno when epoll itself fails. */
int loop_run(struct loop *loop);

/** One round; waits at most timeout_ms (-1: as long as it takes). */
int loop_run_once(struct loop *loop, int timeout_ms);

/** From any thread or callback: makes loop_run() return. */
void loop_stop(struct loop *loop);

#endif
