/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Theory of operation.
 *
 * `now` counts grace periods. A reader that is online holds in `seen` a value of `now` that it
 * read at its last quiescent point. quiesce_wait() adds one to `now` and waits until no reader
 * shows an older value.
 *
 * Why that is enough: the caller of quiesce_wait() replaced a pointer before. A reader that shows
 * the new value acquired it from the waiter's increment, so whatever it loads afterwards is the
 * new pointer, and whatever it did with the old one was released by its store to `seen`. A reader
 * that shows 0 is offline and holds nothing; one that comes online at this moment stores to
 * `seen` and then loads the pointer, while the waiter stored the pointer and then loads `seen`:
 * each has a full fence in between, so either the waiter sees the reader or the reader sees the
 * new pointer. quiesce_pass() needs no such fence, as it replaces a value that is already seen.
 *
 * The mutex guards the list and makes waiters take turns. A reader that unregisters goes offline
 * first, so that it never holds up the waiter whose mutex it wants.
 */
#include "mem/quiesce.h"

#include <pthread.h>
#include <stdatomic.h>
#include <time.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct quiesce_reader *readers;
static _Atomic uint64_t now = 1;

void quiesce_register(struct quiesce_reader *reader)
{
	atomic_store(&reader->seen, 0);
	pthread_mutex_lock(&lock);
	reader->next = readers;
	readers = reader;
	pthread_mutex_unlock(&lock);
	quiesce_online(reader);
}

void quiesce_unregister(struct quiesce_reader *reader)
{
	quiesce_offline(reader);
	pthread_mutex_lock(&lock);
	for (struct quiesce_reader **p = &readers; *p; p = &(*p)->next) {
		if (*p == reader) {
			*p = reader->next;
			break;
		}
	}
	pthread_mutex_unlock(&lock);
}

void quiesce_pass(struct quiesce_reader *reader)
{
	uint64_t value = atomic_load_explicit(&now, memory_order_acquire);

	if (atomic_load_explicit(&reader->seen, memory_order_relaxed) != value)
		atomic_store_explicit(&reader->seen, value, memory_order_release);
}

void quiesce_offline(struct quiesce_reader *reader)
{
	atomic_store_explicit(&reader->seen, 0, memory_order_release);
}

void quiesce_online(struct quiesce_reader *reader)
{
	/* An exchange is the store and the full fence after it in one. */
	atomic_exchange(&reader->seen, atomic_load(&now));
}

void quiesce_wait(void)
{
	const struct timespec pause = {0, 20 * NSEC_PER_USEC};
	uint64_t target;

	pthread_mutex_lock(&lock);
	target = atomic_fetch_add(&now, 1) + 1;
	for (struct quiesce_reader *r = readers; r; r = r->next) {
		for (unsigned spins = 0;; spins++) {
			uint64_t seen = atomic_load(&r->seen);

			if (!seen || seen >= target)
				break;
			if (spins < 100)
				cpu_relax();
			else
				nanosleep(&pause, NULL);
		}
	}
	pthread_mutex_unlock(&lock);
}
