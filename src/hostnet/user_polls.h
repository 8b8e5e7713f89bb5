/* SPDX-License-Identifier: Apache-2.0 */
#ifndef HOSTNET_USER_POLLS_H
#define HOSTNET_USER_POLLS_H

#include "base/util.h"

#include <poll.h>
#include <slirp/libslirp.h>

/*
 * What libslirp waits for: descriptors and timers. Nothing here has a lock: user.c has one around
 * libslirp and this.
 */
#define USER_TIMERS  8
#define USER_NO_TIME UINT64_MAX

struct user_timer {
	bool used;
	uint64_t deadline; /* clock_ns(), USER_NO_TIME: not running */
	SlirpTimerId id;
	void *opaque;
};

/* What to poll, in the order in which libslirp named it. */
struct user_polls {
	struct pollfd *fds; /* the first is the wake-up */
	unsigned count, room;
	uint64_t deadline;
};

/** Adds a descriptor with the events of poll(): its index, or -1 without memory. */
int user_polls_add(struct user_polls *polls, int fd, short events);

/** Whether both wait for the same, deadlines apart. */
bool user_polls_same(const struct user_polls *a, const struct user_polls *b);

/** libslirp's events as those of poll(). */
short user_polls_wanted(int slirp_events);

/** What poll() has found for an index, as libslirp's events; none for an index that is not there. */
int user_polls_found(const struct user_polls *polls, int index);

/** A timer that is not running, of timers[USER_TIMERS]; NULL when all are in use. */
struct user_timer *user_timer_new(struct user_timer *timers, SlirpTimerId id, void *opaque);

/** When the first of timers[USER_TIMERS] is due; USER_NO_TIME: none is running. */
uint64_t user_timers_due(const struct user_timer *timers);

/** Tells libslirp of those that are due. */
void user_timers_run(struct user_timer *timers, Slirp *slirp);

#endif
