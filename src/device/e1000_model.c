/* SPDX-License-Identifier: Apache-2.0 */
/* The model table's entry: options, the frame back-end, counters. */
#include "device/e1000.h"
#include "device/e1000_model.h"
#include "device/nic_backend.h"
#include "base/thread.h"

#include <errno.h>

static const struct option_key e1000_keys[] = {
	{"fcs", "on|off", "put real frame check sequences behind received frames (off)"},
	{"moderation", "on|off",
	 "report sent frames later than the driver asks, if it has time (on)"},
	{"post", "on|off", "let the kernel collect register writes that can wait (on)"},
	{"worker-cpu", "CPU", "the CPU of the thread that moves the frames (any)"},
	{0},
};

static int parse(const struct nic_params *params, struct e1000_setup *setup, struct error *err)
{
	const char *fcs = options_get(params->opts, "fcs");
	const char *moderation = options_get(params->opts, "moderation");
	const char *post = options_get(params->opts, "post");
	const char *cpu = options_get(params->opts, "worker-cpu");
	uint64_t value;
	int ret = 0;

	setup->post = setup->moderate = true;
	setup->cpu = THREAD_ANY_CPU;
	if (fcs)
		ret = option_bool("fcs", fcs, &setup->real_fcs, err);
	if (!ret && moderation)
		ret = option_bool("moderation", moderation, &setup->moderate, err);
	if (!ret && post)
		ret = option_bool("post", post, &setup->post, err);
	if (!ret && cpu) {
		ret = option_u64("worker-cpu", cpu, 0, 4095, &value, err);
		setup->cpu = ret ? THREAD_ANY_CPU : (int)value;
	}
	return ret;
}

static int create(const struct nic_params *params, struct nic **out, struct error *err)
{
	struct e1000_setup setup = {
		.id = params->id,
		.host = params->host,
		.mem = params->mem,
		.threaded = true,
	};
	int ret;

	memcpy(setup.mac, params->mac, 6);
	ret = parse(params, &setup, err);
	if (!ret)
		ret = nic_backend_open(params, &setup.hn, err);
	if (!ret) {
		ret = e1000_create(&setup, out, err);
		if (ret)
			setup.hn->ops->close(setup.hn);
	}
	return ret;
}

static int set_link(struct nic *nic, bool up)
{
	struct e1000 *e = e1000_of(&nic->pci);

	pthread_mutex_lock(&e->lock);
	e->host_link = up;
	e1000_update_link(e, mii_set_cable(&e->phy, up));
	pthread_mutex_unlock(&e->lock);
	return 0;
}

static void emit_accesses(struct e1000 *e,
			  void (*emit)(void *arg, const char *name, uint64_t value), void *arg)
{
	emit(arg, "accesses_icr", e->exits_icr);
	emit(arg, "accesses_status", e->exits_status);
	emit(arg, "accesses_ims", e->exits_ims);
	emit(arg, "accesses_imc", e->exits_imc);
	emit(arg, "accesses_tdt", e->exits_tdt);
	emit(arg, "accesses_rdt", e->exits_rdt);
	emit(arg, "accesses_other", e->exits_other);
}

static void counters(struct nic *nic, void (*emit)(void *arg, const char *name, uint64_t value),
		     void *arg)
{
	struct e1000 *e = e1000_of(&nic->pci);
	struct nic_flow tx, rx;
	uint64_t held;

	pthread_mutex_lock(&e->lock);
	tx = e->tx.flow;
	rx = e->rx.flow;
	held = e->rx.nic.held_frames;
	pthread_mutex_unlock(&e->lock);
	nic_flow_emit(&tx, "tx", emit, arg);
	nic_flow_emit(&rx, "rx", emit, arg);
	emit(arg, "rx_held_frames", held);
	emit(arg, "interrupts", READ_ONCE(e->irq.asserted));
	emit(arg, "interrupts_delayed", READ_ONCE(e->irq.delayed));
	emit(arg, "dma_faults", READ_ONCE(e->dma.faults));
	emit_accesses(e, emit, arg);
	emit(arg, "doorbell_switches", READ_ONCE(e->post.switches));
	emit(arg, "worker_steps", READ_ONCE(e->worker.steps));
	emit(arg, "worker_sleeps", READ_ONCE(e->worker.sleeps));
	emit(arg, "worker_kicks", e->worker.kicks);
}

const struct nic_ops e1000_nic_ops = {
	.name = "e1000",
	.help = "Intel 82540EM, emulated",
	.keys = e1000_keys,
	.create = create,
	.set_link = set_link,
	.counters = counters,
};
