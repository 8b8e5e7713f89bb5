/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is asked of a machine from outside while it runs.
 *
 * Paused means: no vCPU is in the guest, and no device's thread touches guest memory. Devices stop
 * after the vCPUs and go on before them, so that none finds another at rest that should answer it.
 */
#include "vmm/machine_internal.h"
#include "base/log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/ioctl.h>

void machine_observe(struct machine *m, const struct machine_observer *observer)
{
	m->observer = observer;
}

void machine_notify(struct machine *m, const char *event, const char *id, const char *fmt, ...)
{
	char text[256];
	va_list args;

	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	if (m->observer)
		m->observer->event(m->observer->opaque, event, id, text);
}

void machine_nic_event(void *opaque, struct nic *nic, enum nic_event event, const char *text)
{
	machine_notify(opaque, nic_event_name(event), nic->pci.id, "%s", text);
}

static void pause_device(struct pci_dev *dev, void *arg)
{
	const bool *paused = arg;

	if (dev->ops->pause)
		dev->ops->pause(dev, *paused);
}

/* Guests count the time that they did not run as theirs and take it for a lockup, unless told. */
static void excuse_clock(struct machine *m)
{
	for (unsigned i = 0; i < m->vm->nvcpus; i++)
		ioctl(m->vm->vcpus[i]->fd, KVM_KVMCLOCK_CTRL, 0); /* EINVAL: it has no such clock */
}

int machine_pause(struct machine *m, struct error *err)
{
	bool paused = true;

	if (m->paused)
		return error_set(err, -EALREADY, "the machine is paused already");
	vcpus_pause(m->vm);
	vm_coalesced_drain(m->vm);
	pci_bus_for_each(m->pci, pause_device, &paused);
	m->paused = true;
	log_info("paused");
	machine_notify(m, "paused", NULL, "the machine stands still");
	return 0;
}

int machine_resume(struct machine *m, struct error *err)
{
	bool paused = false;

	if (!m->paused)
		return error_set(err, -EALREADY, "the machine is not paused");
	excuse_clock(m);
	pci_bus_for_each(m->pci, pause_device, &paused);
	m->paused = false;
	vcpus_resume(m->vm);
	log_info("resumed");
	machine_notify(m, "resumed", NULL, "the machine goes on");
	return 0;
}

void machine_get_state(const struct machine *m, struct machine_state *out)
{
	*out = (struct machine_state){
		.paused = m->paused,
		.config = m->config,
		.created_ns = m->created,
		.started_ns = m->started,
		.resets = m->resets,
		.exits = vcpus_exits(m->vm),
		.batched_writes = m->vm->batched,
		.console_lost = console_lost(m->console),
	};
}
