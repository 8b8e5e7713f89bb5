/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Theory of operation.
 *
 * A worker serves its queues round and round. While there is work it neither asks for kicks nor
 * makes a system call for them. When it has found nothing for poll_us it asks every driver to kick,
 * looks once more (what came in between comes without a kick), and sleeps in epoll_wait(). Kick
 * descriptors are watched edge-triggered and never read: an event only says "look".
 *
 * Asleep it is offline (mem/quiesce.h), so the control thread does not wait for it; awake it
 * passes a quiescent point after every step. The plan is loaded anew in each.
 */
#include "base/thread.h"
#include "switch/switch_internal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define BLIND_MS 1 /* how long to sleep when a driver never kicks, or a queue is broken */

static void *zeroed(size_t size)
{
	void *p = aligned_alloc(CACHE_LINE, ALIGN_UP(size, CACHE_LINE));

	if (p)
		memset(p, 0, size);
	return p;
}

uint64_t sw_cycles_per_us(void)
{
	static _Atomic uint64_t known;
	uint64_t value = atomic_load_explicit(&known, memory_order_relaxed);

	if (unlikely(!value)) {
		uint64_t ns = clock_ns(), from = sw_cycles(), now;

		do {
			now = clock_ns();
		} while (now - ns < 2 * NSEC_PER_MSEC);
		value = MAX((sw_cycles() - from) * 1000 / (now - ns), 1u);
		atomic_store_explicit(&known, value, memory_order_relaxed);
	}
	return value;
}

static int open_fds(struct sw_worker *w, struct error *err)
{
	w->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	w->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (w->wake_fd < 0 || w->epoll_fd < 0)
		return error_set(err, -errno, "worker %u: cannot create its descriptors: %s",
				 w->index, error_name(errno));
	return sw_worker_watch(w, w->wake_fd);
}

struct sw_worker *sw_worker_create(struct sw *sw, unsigned index, int cpu, struct error *err)
{
	struct sw_worker *w = zeroed(sizeof(*w));

	if (!w) {
		error_set(err, -ENOMEM, "worker %u: out of memory", index);
		return NULL;
	}
	w->sw = sw;
	w->fdb = sw->fdb;
	w->index = index;
	w->cpu = cpu;
	w->epoll_fd = w->wake_fd = -1;
	w->frames = zeroed(BURST * sizeof(struct frame));
	w->boxes = zeroed(SW_PORTS_MAX * sizeof(struct outbox));
	w->list = zeroed((SW_PORTS_MAX + SW_MIRRORS) * sizeof(uint16_t));
	w->copy = zeroed(FRAME_BUF_LEN);
	/* Not touched until a frame port is served. */
	w->frame_bufs = aligned_alloc(4096, FRAME_BURST * FRAME_BUF_LEN);
	if (!w->frames || !w->boxes || !w->list || !w->copy || !w->frame_bufs) {
		error_set(err, -ENOMEM, "worker %u: out of memory", index);
		sw_worker_destroy(w);
		return NULL;
	}
	sw_cycles_per_us();
	if (open_fds(w, err)) {
		sw_worker_destroy(w);
		return NULL;
	}
	return w;
}

int sw_worker_watch(struct sw_worker *w, int fd)
{
	struct epoll_event ev = {.events = EPOLLIN | EPOLLET};

	return epoll_ctl(w->epoll_fd, EPOLL_CTL_ADD, fd, &ev) < 0 ? -errno : 0;
}

void sw_worker_unwatch(struct sw_worker *w, int fd)
{
	epoll_ctl(w->epoll_fd, EPOLL_CTL_DEL, fd, NULL);
}

void sw_worker_wake(struct sw_worker *w)
{
	eventfd_write(w->wake_fd, 1);
}

static void note_step(struct sw_worker *w, uint64_t cycles, unsigned frames)
{
	unsigned bucket = 64 - (unsigned)__builtin_clzll(cycles | 1);

	count(&w->stats.steps, 1);
	if (!frames) {
		count(&w->stats.idle_cycles, cycles);
		return;
	}
	count(&w->stats.busy_cycles, cycles);
	count(&w->stats.busy_steps, 1);
	count(&w->stats.frames, frames);
	count(&w->stats.loop[MIN(bucket, LOOP_BUCKETS - 1U)], 1);
}

unsigned sw_worker_step(struct sw_worker *w)
{
	const struct sw_plan *plan = sw_plan(w->sw);
	unsigned total = 0;
	uint64_t now;

	if (!w->step_cycles)
		w->step_cycles = sw_cycles();
	w->plan = plan;
	w->now = sw_now(w->sw);
	if (likely(plan)) {
		uint64_t at = w->step_cycles;

		w->work = &plan->work[w->index];
		now = atomic_load_explicit(&w->sw->announce, memory_order_relaxed);
		if (unlikely(now))
			sw_announce(w, now);
		for (unsigned i = 0; i < w->work->nins; i++) {
			struct sw_in *in = w->work->ins[i];
			unsigned n;

			if (i + 1 < w->work->nins && w->work->ins[i + 1]->ring.vq)
				vq_prefetch(w->work->ins[i + 1]->ring.vq);
			n = sw_take(w, in);
			if (!n)
				continue;
			total += n;
			now = sw_cycles();
			count(&in->busy_cycles, now - at);
			at = now;
		}
	}
	sw_calls(w);
	now = sw_cycles();
	note_step(w, now - w->step_cycles, total);
	w->step_cycles = now;
	return total;
}

/* A frame port that can be told whether to tell of frames is told so; *more: there are some. */
static bool lender_tells(const struct sw_worker *w, struct sw_in *in, bool *more)
{
	struct hostnet *hn = w->work->dests[in->port->index].hn;

	if (!hn->ops->notify)
		return false;
	in->kicks_on = true;
	*more |= hn->ops->notify(hn, in->pair, true);
	return true;
}

/* Asks everybody for kicks. Returns whether there is work nevertheless. */
static bool ask_for_kicks(struct sw_worker *w, int *timeout_ms)
{
	const struct sw_plan *plan = sw_plan(w->sw);
	bool more = false;

	*timeout_ms = -1;
	if (!plan)
		return false;
	w->plan = plan;
	w->work = &plan->work[w->index];
	for (unsigned i = 0; i < w->work->nins; i++) {
		struct sw_in *in = w->work->ins[i];

		if (!in->ring.vq && lender_tells(w, in, &more))
			continue;
		if (!in->ring.vq) {
			in->next_look = 0;
			more |= sw_take(w, in) > 0;
			sw_calls(w);
			continue;
		}
		if (vq_fault(in->ring.vq) || in->ring.kick_fd < 0)
			*timeout_ms = BLIND_MS;
		in->kicks_on = true;
		more |= vq_enable_kicks(in->ring.vq);
	}
	return more;
}

static void rest(struct sw_worker *w)
{
	struct epoll_event events[16];
	int timeout;

	if (ask_for_kicks(w, &timeout))
		return;
	quiesce_offline(&w->reader);
	count(&w->stats.sleeps, 1);
	epoll_wait(w->epoll_fd, events, ARRAY_SIZE(events), timeout);
	quiesce_online(&w->reader);
	w->step_cycles = 0;
}

static void *run(void *arg)
{
	struct sw_worker *w = arg;
	uint64_t poll = w->sw->options.poll_us * sw_cycles_per_us(), quiet_since = 0;

	quiesce_register(&w->reader);
	while (!atomic_load_explicit(&w->stop, memory_order_acquire)) {
		bool worked = sw_worker_step(w);

		quiesce_pass(&w->reader);
		if (worked) {
			quiet_since = 0;
		} else if (!quiet_since) {
			quiet_since = w->step_cycles;
		} else if (w->step_cycles - quiet_since >= poll) {
			rest(w);
			quiet_since = 0;
		}
	}
	quiesce_unregister(&w->reader);
	return NULL;
}

int sw_worker_start(struct sw_worker *w, struct error *err)
{
	char name[16];
	int ret;

	snprintf(name, sizeof(name), "worker%u", w->index);
	ret = thread_start(&w->thread, name, w->cpu, run, w, err);
	w->has_thread = !ret;
	return ret;
}

void sw_worker_destroy(struct sw_worker *w)
{
	if (!w)
		return;
	if (w->has_thread) {
		atomic_store_explicit(&w->stop, true, memory_order_release);
		sw_worker_wake(w);
		pthread_join(w->thread, NULL);
	}
	if (w->epoll_fd >= 0)
		close(w->epoll_fd);
	if (w->wake_fd >= 0)
		close(w->wake_fd);
	free(w->frames);
	free(w->boxes);
	free(w->list);
	free(w->copy);
	free(w->frame_bufs);
	free(w);
}
