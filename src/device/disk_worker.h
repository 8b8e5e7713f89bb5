/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DEVICE_DISK_WORKER_H
#define DEVICE_DISK_WORKER_H

#include "base/error.h"

#include <pthread.h>
#include <stdatomic.h>

/*
 * The thread of a disk's queue: it takes requests from the guest, hands them to block queues and
 * completes them, and sleeps when there is nothing to do. See disk_worker.c for how it is stopped.
 */
struct disk_worker;

struct disk_worker_ops {
	/**
	 * Looks for completions and, where accept, for new requests, once. Whether there were any.
	 */
	bool (*step)(struct disk_worker *w, bool accept);
	/** Before sleeping: asks to be woken. Whether something came meanwhile. May be NULL. */
	bool (*arm)(struct disk_worker *w);
	/** How many requests are with the storage. */
	unsigned (*busy)(const struct disk_worker *w);
	/** Has the storage give up those that cannot be carried out now. */
	void (*cancel)(struct disk_worker *w);
};

enum disk_worker_request { DISK_WORKER_RUN, DISK_WORKER_PARK, DISK_WORKER_EXIT };

struct disk_worker {
	const struct disk_worker_ops *ops;
	const char *id; /* the disk's */
	int epoll_fd, wake_fd;
	pthread_t thread;
	bool has_thread;
	_Atomic int request;
	pthread_mutex_t lock;
	pthread_cond_t cond;
	bool parked; /* under lock */
	uint64_t wakeups;
};

/**
 * Starts the thread, parked. ops and id are the caller's to set before, all else zero. 0 or
 * negative errno, and then disk_worker_end() undoes what was done.
 */
int disk_worker_start(struct disk_worker *w, unsigned index, int cpu, struct error *err);
/** Ends the thread, which must be parked or never have been unparked. Harmless when zeroed. */
void disk_worker_end(struct disk_worker *w);

/** Returns when the thread stands still and nothing is in flight; see disk_worker.c. */
void disk_worker_park(struct disk_worker *w);
void disk_worker_unpark(struct disk_worker *w);

/** Wakes it (edge: each signal of an eventfd is one) when fd is readable. While parked. */
int disk_worker_watch(struct disk_worker *w, int fd, bool edge);
void disk_worker_unwatch(struct disk_worker *w, int fd);

/** From any thread: makes it look once more. */
void disk_worker_wake(struct disk_worker *w);

#endif
