/* SPDX-License-Identifier: Apache-2.0 */
#include "device/nic_post.h"

#include <errno.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

/*
 * All times are multiples of the interval between two looks at a posted doorbell, and that follows
 * from how quick this host is: where a system call takes 20 us, so does the guest.
 */
#define INTERVAL_CALLS 64
#define INTERVAL_MIN   (50 * NSEC_PER_USEC)
#define INTERVAL_MAX   (500 * NSEC_PER_USEC)
/* A busy doorbell is one with BURST exits within WINDOW intervals. */
#define BURST  8
#define WINDOW 16
/* A posted doorbell is armed after so many intervals without a write. */
#define PATIENCE 40
/* Switching waits for the vCPUs; it must stay a small part of the time between two switches. */
#define SWITCH_SHARE 16

static uint64_t measure_call(void)
{
	struct pollfd fd = {.fd = -1};
	uint64_t best = UINT64_MAX;

	for (unsigned i = 0; i < 8; i++) {
		uint64_t start = clock_ns();

		poll(&fd, 1, 0);
		best = MIN(best, clock_ns() - start);
	}
	return best;
}

void nic_post_init(struct nic_post *post, struct bus_host *host, const struct nic_post_reg *regs,
		   unsigned count, bool enable)
{
	memset(post, 0, sizeof(*post));
	pthread_mutex_init(&post->lock, NULL);
	post->host = host;
	post->regs = regs;
	post->count = count;
	post->usable = enable && host->ops->coalesce && host->ops->coalesce_drain;
	post->interval = MAX(MIN(INTERVAL_CALLS * measure_call(), INTERVAL_MAX), INTERVAL_MIN);
	for (unsigned i = 0; i < count; i++) {
		post->state[i].want = regs[i].kind != NIC_POST_BUSY;
		post->state[i].fd = regs[i].by_value ? eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK) : -1;
	}
}

void nic_post_fini(struct nic_post *post)
{
	for (unsigned i = 0; i < post->count; i++)
		if (post->state[i].fd >= 0)
			close(post->state[i].fd);
	pthread_mutex_destroy(&post->lock);
}

static int tell_host(struct nic_post *post, unsigned i, bool on)
{
	const struct bus_host_ops *ops = post->host->ops;
	const struct nic_post_reg *reg = &post->regs[i];
	uint64_t addr = post->base + reg->offset;

	if (!reg->by_value)
		return ops->coalesce(post->host, on, BUS_MMIO, addr, reg->len);
	if (!ops->ioeventfd_value || post->state[i].fd < 0)
		return -ENOTSUP;
	return ops->ioeventfd_value(post->host, on, BUS_MMIO, addr, reg->len, reg->value,
				    post->state[i].fd);
}

/* Registers or unregisters one register; the lock is held. */
static void apply(struct nic_post *post, unsigned i, bool on)
{
	struct nic_post_state *state = &post->state[i];

	if (state->posted == on)
		return;
	if (tell_host(post, i, on)) {
		if (on)
			post->usable = false; /* every write exits; nothing else changes */
		return;
	}
	state->posted = on;
}

void nic_post_map(struct nic_post *post, bool mapped, uint64_t base)
{
	if (!post->usable)
		return;
	pthread_mutex_lock(&post->lock);
	for (unsigned i = 0; i < post->count; i++)
		if (post->mapped)
			apply(post, i, false);
	post->mapped = mapped;
	post->base = base;
	for (unsigned i = 0; i < post->count && post->usable; i++)
		if (mapped)
			apply(post, i, post->state[i].want);
	pthread_mutex_unlock(&post->lock);
}

void nic_post_drain(struct nic_post *post)
{
	if (post->usable)
		post->host->ops->coalesce_drain(post->host);
}

bool nic_post_took(struct nic_post *post, unsigned i)
{
	struct nic_post_state *state = &post->state[i];
	bool posted = state->posted;
	uint64_t n;

	/* Once more after it was armed: for a write that came in between. */
	if (!posted && !state->may_have)
		return false;
	state->may_have = posted;
	if (read(state->fd, &n, sizeof(n)) != sizeof(n))
		return false;
	atomic_fetch_add_explicit(&state->writes, n, memory_order_relaxed);
	return true;
}

bool nic_post_written(struct nic_post *post, unsigned i, uint64_t now)
{
	struct nic_post_state *state = &post->state[i];

	atomic_fetch_add_explicit(&state->writes, 1, memory_order_relaxed);
	if (!post->usable || state->posted || state->want)
		return false;
	if (post->regs[i].kind == NIC_POST_BUSY) {
		if (now - state->burst_since > WINDOW * post->interval) {
			state->burst_since = now;
			state->burst = 0;
		}
		if (++state->burst < BURST)
			return false;
		state->burst = 0;
	}
	state->want = true;
	return true;
}

/* Switches and measures what that takes. */
static void switch_to(struct nic_post *post, unsigned i, bool on)
{
	uint64_t start = clock_ns(), took;

	pthread_mutex_lock(&post->lock);
	post->state[i].want = on;
	if (post->mapped)
		apply(post, i, on);
	pthread_mutex_unlock(&post->lock);
	took = clock_ns() - start;
	post->switch_cost = post->switch_cost ? (3 * post->switch_cost + took) / 4 : took;
	atomic_fetch_add_explicit(&post->switches, 1, memory_order_relaxed);
}

uint64_t nic_post_tend(struct nic_post *post, unsigned i, bool waiting, uint64_t now)
{
	struct nic_post_state *state = &post->state[i];
	uint64_t writes = atomic_load_explicit(&state->writes, memory_order_relaxed);

	if (!post->usable)
		return NIC_POST_NEVER;
	if (state->want && !state->posted && post->mapped)
		switch_to(post, i, true);
	if (!state->posted || !waiting) {
		state->waiting = false;
		return NIC_POST_NEVER;
	}
	if (!state->waiting || writes != state->seen) {
		state->waiting = true;
		state->seen = writes;
		state->quiet_since = now;
	}
	if (now - state->quiet_since <
	    MAX(PATIENCE * post->interval, SWITCH_SHARE * post->switch_cost))
		return now + post->interval;
	switch_to(post, i, false);
	nic_post_drain(post);
	return now;
}
