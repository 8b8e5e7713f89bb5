/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DEVICE_NIC_WORKER_H
#define DEVICE_NIC_WORKER_H

#include "base/error.h"

#include <pthread.h>
#include <stdatomic.h>

/*
 * The thread of an emulated NIC. It calls one step function again and again; a step does a bounded
 * amount of work and says when it wants to be called next and whether frames from the network
 * should wake it. What else can wake it is nic_worker_kick().
 *
 * The step function takes the time as an argument and can be called by anybody who owns the device,
 * so tests and fuzz targets drive a device with a clock of their own and no thread at all.
 */
#define NIC_WORKER_NEVER UINT64_MAX

struct nic_worker_wish {
	uint64_t at;  /* clock_ns() time of the next step: now or earlier for at once, or NEVER */
	bool receive; /* wake up for frames from the network, too */
};

struct nic_worker {
	void (*step)(void *opaque, uint64_t now, struct nic_worker_wish *wish);
	void *opaque;
	pthread_t thread;
	bool running;
	int wake_fd, alarm_fd;
	_Atomic int rx_fd; /* may be exchanged while it runs: kick it then */
	_Atomic bool stop, asleep, kicked, paused;
	pthread_mutex_t pause_lock;
	pthread_cond_t pause_changed;
	bool still;		/* paused, and not in a step; under pause_lock */
	_Atomic uint64_t until; /* when this sleep ends by itself */
	pthread_mutex_t alarm_lock;
	uint64_t alarm;			/* what alarm_fd is set to; under alarm_lock */
	_Atomic uint64_t steps, sleeps; /* counters; only the worker counts */
	_Atomic uint64_t kicks;		/* and alarms: those that needed a system call */
};

/** Prepares; rx_fd (borrowed, -1: none) polls readable when there are frames to receive. */
int nic_worker_init(struct nic_worker *w,
		    void (*step)(void *opaque, uint64_t now, struct nic_worker_wish *wish),
		    void *opaque, int rx_fd, struct error *err);
/** Starts the thread. */
int nic_worker_start(struct nic_worker *w, const char *name, int cpu, struct error *err);
/** Ends the thread, if it runs, and frees what init made. May be called after a failed init. */
void nic_worker_stop(struct nic_worker *w);

/**
 * From one other thread: with paused set, returns when no step is under way, and none is begun
 * before it is called again with paused not set. Kicks are kept. Without a thread it does nothing.
 */
void nic_worker_pause(struct nic_worker *w, bool paused);

/** From any thread: has step called soon. Free of system calls while the worker is awake. */
void nic_worker_kick(struct nic_worker *w);

/**
 * From any thread: has step called at that time or before. Where a kick would wake the worker only to
 * have it sleep again until then, this lets it sleep.
 */
void nic_worker_alarm(struct nic_worker *w, uint64_t at);

/** Whether the calling thread is this worker. */
bool nic_worker_self(const struct nic_worker *w);

#endif
