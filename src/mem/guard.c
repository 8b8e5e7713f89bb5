/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Theory of operation.
 *
 * The signal handler walks a list of guards that only grows: one that is removed stays as an empty
 * entry for the next, so a handler that is walking it in another thread never meets freed memory.
 * An entry that is being exchanged meanwhile is told from a whole one by reading its start twice,
 * around its end: it is emptied end first and filled start first. Entries that a handler is looking
 * for cannot change, since a guard is removed only when nobody touches its memory.
 *
 * The mapping is replaced by a system call, mmap() with MAP_FIXED, which is atomic to other threads
 * and takes no lock of the C library's; glibc's wrapper is a plain call. The whole mapping is
 * replaced and not the one page, since parts of a mapping of huge pages cannot be, and since several
 * threads may be at it: each then does the same.
 */
#include "mem/guard.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

struct mem_guard {
	_Atomic uintptr_t start;
	_Atomic uintptr_t end; /* 0: the entry is empty */
	_Atomic int event_fd;
	_Atomic bool hit;
	struct mem_guard *next; /* never changes once it is in the list */
};

static _Atomic(struct mem_guard *) guards;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct sigaction before;

static bool guards_address(struct mem_guard *g, uintptr_t at, uintptr_t *start, uintptr_t *end)
{
	*start = atomic_load(&g->start);
	*end = atomic_load(&g->end);
	return at >= *start && at < *end && atomic_load(&g->start) == *start;
}

static bool replace(uintptr_t at)
{
	const uint64_t one = 1;
	uintptr_t start, end;
	struct mem_guard *g;
	ssize_t n;
	void *p;

	for (g = atomic_load(&guards); g; g = g->next)
		if (guards_address(g, at, &start, &end))
			break;
	if (!g)
		return false;
	p = mmap((void *)start, end - start, PROT_READ | PROT_WRITE,
		 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0);
	if (p == MAP_FAILED)
		return false;
	atomic_store(&g->hit, true);
	n = write(atomic_load(&g->event_fd), &one, sizeof(one));
	(void)n; /* full: it is signalled already */
	return true;
}

static void pass_on(int sig, siginfo_t *info, void *context)
{
	if (before.sa_flags & SA_SIGINFO) {
		before.sa_sigaction(sig, info, context);
	} else if (before.sa_handler != SIG_DFL && before.sa_handler != SIG_IGN) {
		before.sa_handler(sig);
	} else {
		/* The access is made again when this returns, and then ends the process. */
		signal(sig, SIG_DFL);
	}
}

static void on_sigbus(int sig, siginfo_t *info, void *context)
{
	int saved = errno;

	if (!replace((uintptr_t)info->si_addr))
		pass_on(sig, info, context);
	errno = saved;
}

/* Others may have put theirs in our place since: theirs gets what is not ours. */
static int install(struct error *err)
{
	struct sigaction action = {.sa_sigaction = on_sigbus, .sa_flags = SA_SIGINFO | SA_ONSTACK};
	struct sigaction present;

	sigemptyset(&action.sa_mask);
	if (sigaction(SIGBUS, NULL, &present) < 0)
		goto fail;
	if ((present.sa_flags & SA_SIGINFO) && present.sa_sigaction == on_sigbus)
		return 0;
	before = present;
	if (sigaction(SIGBUS, &action, NULL) == 0)
		return 0;
fail:
	return error_set(err, -errno, "cannot handle SIGBUS: %s", error_name(errno));
}

static struct mem_guard *find_empty(void)
{
	struct mem_guard *g;

	for (g = atomic_load(&guards); g; g = g->next)
		if (!atomic_load(&g->end))
			return g;
	g = calloc(1, sizeof(*g));
	if (g) {
		g->next = atomic_load(&guards);
		atomic_store(&guards, g);
	}
	return g;
}

struct mem_guard *mem_guard_add(void *at, uint64_t len, int event_fd, struct error *err)
{
	struct mem_guard *g = NULL;

	pthread_mutex_lock(&lock);
	if (install(err) == 0) {
		g = find_empty();
		if (!g)
			error_set(err, -ENOMEM, "memory guard: out of memory");
	}
	if (g) {
		atomic_store(&g->hit, false);
		atomic_store(&g->event_fd, event_fd);
		atomic_store(&g->start, (uintptr_t)at);
		atomic_store(&g->end, (uintptr_t)at + len);
	}
	pthread_mutex_unlock(&lock);
	return g;
}

bool mem_guard_hit(const struct mem_guard *guard)
{
	return atomic_load(&guard->hit);
}

void mem_guard_remove(struct mem_guard *guard)
{
	if (!guard)
		return;
	pthread_mutex_lock(&lock);
	atomic_store(&guard->end, 0);
	atomic_store(&guard->start, 0);
	pthread_mutex_unlock(&lock);
}
