/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The machine's life.
 *
 * Theory of operation. Everything here runs in the main loop's thread. A vCPU in whose thread the
 * guest asks for power-off or reset, or crashes, only notes the request, posts act() to the loop,
 * and stands still (vcpus_hold()): devices are taken down or reset by one thread, with no vCPU in
 * any handler. The first request wins; a second one before the loop has acted (two vCPUs crashing
 * at once) is dropped, unless it is a crash and the first was not.
 */
#include "vmm/machine_internal.h"
#include "base/log.h"
#include "vfio/iommu.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

enum request { NO_REQUEST, WANTS_RESET, WANTS_OFF, UNSUPPORTED, CRASHED };

static int machine_reset(struct machine *m, struct error *err)
{
	int ret;

	vcpus_pause(m->vm);
	vm_coalesced_drain(m->vm);
	machine_reset_devices(m);
	ret = vm_reset_chips(m->vm);
	if (ret)
		error_set(err, ret, "reset: KVM refuses the interrupt controllers' state: %s",
			  error_name(ret));
	if (!ret)
		ret = vcpus_reset(m->vm, err);
	if (!ret)
		ret = machine_load(m, err);
	m->started = clock_ns();
	m->resets++;
	vcpus_resume(m->vm);
	return ret;
}

static void act_reset(struct machine *m)
{
	const char *how = m->request_how;
	struct error err = {0};

	if (m->config->no_reboot) {
		log_info("the guest wants a reset (%s): ending, as --no-reboot says", how);
		machine_end(m, MACHINE_OFF);
		return;
	}
	log_info("reset by %s", how);
	if (machine_reset(m, &err)) {
		log_error("%s", err.text);
		machine_end(m, MACHINE_FAILED);
		return;
	}
	machine_notify(m, "reset", NULL, "reset by %s", how);
}

int machine_reboot(struct machine *m, struct error *err)
{
	int ret = machine_reset(m, err);

	if (ret)
		machine_end(m, MACHINE_FAILED);
	else
		machine_notify(m, "reset", NULL, "reset from outside");
	return ret;
}

static void act(void *arg)
{
	struct machine *m = arg;

	switch (atomic_exchange(&m->request, NO_REQUEST)) {
	case WANTS_RESET:
		act_reset(m);
		break;
	case WANTS_OFF:
		log_info("the guest powered off");
		machine_notify(m, "powered-off", NULL, "the guest powered off");
		machine_end(m, MACHINE_OFF);
		break;
	case UNSUPPORTED:
		machine_end(m, MACHINE_HOST);
		break;
	case CRASHED:
		log_error("the guest crashed: %s", m->request_how);
		machine_notify(m, "crashed", NULL, "%s", m->request_how);
		machine_end(m, MACHINE_CRASHED);
		break;
	}
}

static void request(struct machine *m, enum request what, const char *how)
{
	int old = NO_REQUEST;

	vcpus_hold();
	while (!atomic_compare_exchange_weak(&m->request, &old, what)) {
		if (old >= (int)what)
			return;
	}
	m->request_how = how;
	if (old == NO_REQUEST && loop_post(m->loop, act, m))
		loop_stop(m->loop);
}

static void on_power_off(void *opaque)
{
	request(opaque, WANTS_OFF, "S5");
}

static void on_reset(void *opaque, const char *how)
{
	request(opaque, WANTS_RESET, how);
}

static void on_crashed(void *opaque, const char *how)
{
	request(opaque, CRASHED, how);
}

static void on_unsupported(void *opaque, const char *how)
{
	request(opaque, UNSUPPORTED, how);
}

static void on_batch_done(void *opaque)
{
	struct machine *m = opaque;

	console_flush_soon(m->console);
}

static bool flush_batched(void *opaque)
{
	struct machine *m = opaque;

	return vm_coalesced_drain(m->vm) > 0;
}

static void on_quit(void *opaque)
{
	log_info("ended from the console");
	machine_end(opaque, MACHINE_FAILED);
}

static void on_button(void *opaque)
{
	machine_power_button(opaque);
}

static int add_memory(struct machine *m, struct error *err)
{
	const struct mem_ram_options opts = {
		.hugepages = m->config->hugepages,
		.prealloc = m->config->prealloc,
	};
	int ret;

	m->mem = guest_mem_create(err);
	if (!m->mem)
		return -ENOMEM;
	ret = guest_mem_add_ram(m->mem, "ram-low", 0, m->low_ram, &opts, err);
	if (!ret && m->high_ram)
		ret = guest_mem_add_ram(m->mem, "ram-high", 4 * GIB, m->high_ram, &opts, err);
	return ret ? ret : vm_set_memory(m->vm, m->mem, err);
}

/* What the host must give: KVM, memory, vCPUs. */
static int create_vm(struct machine *m, struct error *err)
{
	const struct vm_options opts = {
		.cpus = m->config->cpus,
		.no_irqfd = m->config->no_irqfd,
		.no_ioeventfd = m->config->no_ioeventfd,
		.no_coalesce = m->config->no_coalesce,
	};
	int ret = vm_create(&opts, m->loop, &m->vm, err);

	if (ret)
		return ret;
	vfio_iommufd_allow(!m->config->no_iommufd);
	m->vm->events = (struct vm_events){
		.crashed = on_crashed,
		.unsupported = on_unsupported,
		.batch_done = on_batch_done,
		.opaque = m,
	};
	ret = machine_layout(m, err);
	if (!ret)
		ret = add_memory(m, err);
	return ret ? ret : vcpus_create(m->vm, err);
}

static enum machine_result create(struct machine *m, struct error *err)
{
	const struct platform_events platform = {
		.power_off = on_power_off,
		.reset = on_reset,
		.crashed = on_crashed,
		.opaque = m,
	};
	const struct console_events console = {
		.quit = on_quit,
		.power_button = on_button,
		.opaque = m,
	};
	enum machine_result result;

	if (machine_open_files(m, err))
		return MACHINE_FAILED;
	if (create_vm(m, err))
		return MACHINE_HOST;
	if (console_create(m->config->serial, m->config->serial_path, m->loop, &console,
			   &m->console, err))
		return MACHINE_FAILED;
	console_set_flush(m->console, flush_batched, m);
	result = machine_add_devices(m, &platform, err);
	if (result)
		return result;
	if (machine_load(m, err))
		return MACHINE_FAILED;
	return vcpus_start(m->vm, err) ? MACHINE_HOST : MACHINE_OFF;
}

enum machine_result machine_create(const struct machine_config *config, struct loop *loop,
				   struct machine **out, struct error *err)
{
	struct machine *m = calloc(1, sizeof(*m));
	enum machine_result result;

	if (!m) {
		error_set(err, -ENOMEM, "out of memory");
		return MACHINE_FAILED;
	}
	m->config = config;
	m->loop = loop;
	m->kernel_fd = m->initrd_fd = -1;
	m->created = clock_ns();
	m->nic_observer = (struct nic_observer){.event = machine_nic_event, .opaque = m};
	result = create(m, err);
	if (result) {
		machine_destroy(m);
		return result;
	}
	*out = m;
	return MACHINE_OFF;
}

enum machine_result machine_run(struct machine *m, struct error *err)
{
	int ret;

	m->result = MACHINE_FAILED;
	m->started = clock_ns();
	log_info("starting the guest, %llu us after the machine was begun",
		 (unsigned long long)((m->started - m->created) / NSEC_PER_USEC));
	console_attach(m->console, m->serial);
	vcpus_resume(m->vm);
	ret = loop_run(m->loop);
	vcpus_pause(m->vm);
	vm_coalesced_drain(m->vm);
	serial_flush(m->serial);
	if (ret) {
		error_set(err, ret, "event loop: %s", error_name(ret));
		return MACHINE_FAILED;
	}
	log_info("ended after %llu ms: %llu exits, %llu batched port writes, %llu characters",
		 (unsigned long long)((clock_ns() - m->started) / NSEC_PER_MSEC),
		 (unsigned long long)vcpus_exits(m->vm), (unsigned long long)m->vm->batched,
		 (unsigned long long)serial_sent(m->serial));
	if (console_lost(m->console))
		log_warn("console: %llu characters were lost, because nobody took them",
			 (unsigned long long)console_lost(m->console));
	vcpus_log_counters(m->vm);
	return m->result;
}

void machine_end(struct machine *m, enum machine_result result)
{
	m->result = result;
	loop_stop(m->loop);
}

bool machine_power_button(struct machine *m)
{
	bool listens = pm_power_button(m->pm);

	log_info("power button pressed%s", listens ? "" : "; the guest does not listen to it yet");
	return listens;
}

void machine_continued(struct machine *m)
{
	console_continued(m->console);
}

void machine_destroy(struct machine *m)
{
	if (!m)
		return;
	/* Nothing is there yet when a file could not be opened or KVM is not to be had. */
	if (m->vm)
		vcpus_stop(m->vm);
	machine_remove_devices(m);
	if (m->vm)
		vcpus_destroy(m->vm);
	console_destroy(m->console);
	vm_destroy(m->vm);
	guest_mem_destroy(m->mem);
	if (m->kernel_fd >= 0)
		close(m->kernel_fd);
	if (m->initrd_fd >= 0)
		close(m->initrd_fd);
	free(m);
}
