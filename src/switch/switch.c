/* SPDX-License-Identifier: Apache-2.0 */
#include "base/log.h"
#include "base/thread.h"
#include "switch/balance.h"
#include "switch/switch_internal.h"

#include <errno.h>
#include <stdlib.h>

#define AGE_EVERY_S 8 /* the table is gone through so often, at most */

void sw_options_init(struct sw_options *options)
{
	*options = (struct sw_options){
		.nworkers = 1,
		.poll_us = 50,
		.retry_us = 100,
		.fdb_max = 131072,
		.fdb_age_s = 300,
		.rebalance = 25,
		.threads = true,
	};
	for (unsigned i = 0; i < ARRAY_SIZE(options->cpus); i++)
		options->cpus[i] = THREAD_ANY_CPU;
}

static uint64_t seconds(void)
{
	return clock_ns() / NSEC_PER_SEC;
}

static void tick(struct loop_timer *timer)
{
	struct sw *sw = timer->opaque;
	uint64_t now = seconds(), cycles;

	atomic_store_explicit(&sw->now, (uint16_t)now, memory_order_relaxed);
	if (now >= sw->next_age) {
		unsigned age = sw->options.fdb_age_s;

		fdb_age(sw->fdb, (uint16_t)now, (uint16_t)age);
		sw->next_age = now + MAX(1u, MIN((unsigned)AGE_EVERY_S, age / 4));
	}
	cycles = sw_cycles();
	if (sw->balanced_at)
		sw_balance(sw, cycles - sw->balanced_at);
	sw->balanced_at = cycles;
	if (!sw_plan(sw)) /* there was no memory for it */
		sw_publish(sw);
	loop_timer_set(sw->loop, timer, clock_ns() + NSEC_PER_SEC);
}

static int start_workers(struct sw *sw, struct error *err)
{
	for (unsigned i = 0; i < sw->options.nworkers; i++) {
		sw->workers[i] = sw_worker_create(sw, i, sw->options.cpus[i], err);
		if (!sw->workers[i])
			return err->code;
		sw->nworkers++;
	}
	if (sw_publish(sw))
		return error_set(err, -ENOMEM, "switch: out of memory");
	for (unsigned i = 0; sw->options.threads && i < sw->nworkers; i++) {
		int ret = sw_worker_start(sw->workers[i], err);

		if (ret)
			return ret;
	}
	return 0;
}

struct sw *sw_create(const struct sw_options *options, struct loop *loop, struct error *err)
{
	struct sw *sw = calloc(1, sizeof(*sw));
	struct error local = {0};

	err = err ? err : &local;
	if (!sw) {
		error_set(err, -ENOMEM, "switch: out of memory");
		return NULL;
	}
	sw->options = *options;
	sw->loop = loop;
	sw->now = (uint16_t)seconds();
	sw->timer = (struct loop_timer){.fn = tick, .opaque = sw};
	sw->fdb = fdb_create(options->fdb_max, err);
	if (!sw->fdb || start_workers(sw, err)) {
		sw_destroy(sw);
		return NULL;
	}
	if (loop)
		tick(&sw->timer);
	return sw;
}

void sw_destroy(struct sw *sw)
{
	if (!sw)
		return;
	if (sw->loop)
		loop_timer_cancel(sw->loop, &sw->timer);
	for (unsigned i = 0; i < SW_PORTS_MAX; i++)
		if (sw->ports[i])
			sw_remove_port(sw->ports[i]);
	for (unsigned i = 0; i < sw->nworkers; i++)
		sw_worker_destroy(sw->workers[i]);
	free(sw->plan);
	fdb_free(sw->fdb);
	free(sw);
}

void sw_note_change(struct sw *sw)
{
	sw->changes++;
}

struct fdb *sw_fdb(struct sw *sw)
{
	return sw->fdb;
}

uint16_t sw_now(const struct sw *sw)
{
	return atomic_load_explicit(&sw->now, memory_order_relaxed);
}

const struct sw_plan *sw_plan(struct sw *sw)
{
	return atomic_load_explicit(&sw->plan, memory_order_acquire);
}

unsigned sw_workers(const struct sw *sw)
{
	return sw->nworkers;
}

struct sw_worker *sw_worker_at(struct sw *sw, unsigned index)
{
	return index < sw->nworkers ? sw->workers[index] : NULL;
}

unsigned sw_step(struct sw *sw)
{
	unsigned n = 0;

	for (unsigned i = 0; i < sw->nworkers; i++) {
		sw->workers[i]->step_cycles = 0; /* time has passed */
		n += sw_worker_step(sw->workers[i]);
	}
	return n;
}
