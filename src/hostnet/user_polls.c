/* SPDX-License-Identifier: Apache-2.0 */
#include "hostnet/user_polls.h"

#include <stdlib.h>

int user_polls_add(struct user_polls *polls, int fd, short events)
{
	if (polls->count == polls->room) {
		unsigned room = polls->room ? 2 * polls->room : 16;
		struct pollfd *fds = realloc(polls->fds, room * sizeof(*fds));

		if (!fds)
			return -1;
		polls->fds = fds;
		polls->room = room;
	}
	polls->fds[polls->count] = (struct pollfd){.fd = fd, .events = events};
	return (int)polls->count++;
}

bool user_polls_same(const struct user_polls *a, const struct user_polls *b)
{
	if (a->count != b->count)
		return false;
	for (unsigned i = 0; i < a->count; i++) {
		if (a->fds[i].fd != b->fds[i].fd || a->fds[i].events != b->fds[i].events)
			return false;
	}
	return true;
}

short user_polls_wanted(int slirp_events)
{
	short e = 0;

	if (slirp_events & SLIRP_POLL_IN)
		e |= POLLIN;
	if (slirp_events & SLIRP_POLL_OUT)
		e |= POLLOUT;
	if (slirp_events & SLIRP_POLL_PRI)
		e |= POLLPRI;
	return e;
}

int user_polls_found(const struct user_polls *polls, int index)
{
	int events = 0;
	short r;

	if (index < 0 || (unsigned)index >= polls->count)
		return 0;
	r = polls->fds[index].revents;
	if (r & POLLIN)
		events |= SLIRP_POLL_IN;
	if (r & POLLOUT)
		events |= SLIRP_POLL_OUT;
	if (r & POLLPRI)
		events |= SLIRP_POLL_PRI;
	if (r & (POLLERR | POLLNVAL))
		events |= SLIRP_POLL_ERR;
	if (r & POLLHUP)
		events |= SLIRP_POLL_HUP;
	return events;
}

struct user_timer *user_timer_new(struct user_timer *timers, SlirpTimerId id, void *opaque)
{
	for (unsigned i = 0; i < USER_TIMERS; i++) {
		if (!timers[i].used) {
			timers[i] = (struct user_timer){true, USER_NO_TIME, id, opaque};
			return &timers[i];
		}
	}
	return NULL;
}

uint64_t user_timers_due(const struct user_timer *timers)
{
	uint64_t due = USER_NO_TIME;

	for (unsigned i = 0; i < USER_TIMERS; i++)
		if (timers[i].used)
			due = MIN(due, timers[i].deadline);
	return due;
}

void user_timers_run(struct user_timer *timers, Slirp *slirp)
{
	uint64_t now = clock_ns();

	for (unsigned i = 0; i < USER_TIMERS; i++) {
		struct user_timer *t = &timers[i];

		if (t->used && t->deadline <= now) {
			t->deadline = USER_NO_TIME;
			slirp_handle_timer(slirp, t->id, t->opaque);
		}
	}
}
