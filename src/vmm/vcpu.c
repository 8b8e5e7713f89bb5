/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vCPU threads.
 *
 * Theory of operation. Each vCPU has a thread that does nothing but KVM_RUN and hand what the
 * guest accessed to the buses. All signals are blocked in it but KICK_SIGNAL.
 *
 * Pausing. The gate is a count of reasons to stand still (gate_closed). Whoever closes it kicks
 * every vCPU and waits until each is parked. A kick cannot be lost: the signal's handler sets
 * run->immediate_exit of its own thread, which makes a KVM_RUN that begins after it return at
 * once; the vCPU clears immediate_exit first and looks at the gate second, so a kick is seen
 * either at the gate or by KVM_RUN.
 *
 * A vCPU that has to stop because of what the guest did in it (power-off, reset, crash) closes the
 * gate for itself only (held) and leaves the rest to the main loop.
 *
 * After an exit for a port or memory read KVM finishes the instruction only in the next KVM_RUN.
 * A vCPU therefore runs once with immediate_exit set before it parks, so that registers read or
 * written while it is parked are whole.
 */
#include "vmm/vcpu.h"
#include "base/log.h"
#include "base/thread.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#define KICK_SIGNAL SIGRTMIN

/* For the signal's handler. */
static _Thread_local struct vcpu *self;

static void kicked(int sig)
{
	if (self)
		WRITE_ONCE(self->run->immediate_exit, 1);
}

static void finish_access(struct vcpu *vcpu)
{
	WRITE_ONCE(vcpu->run->immediate_exit, 1);
	ioctl(vcpu->fd, KVM_RUN, 0); /* EINTR, with the access completed */
	WRITE_ONCE(vcpu->run->immediate_exit, 0);
}

/* Stands still while the gate is closed or the vCPU is held. False: the thread is to end. */
static bool gate_pass(struct vcpu *vcpu)
{
	struct vcpu_gate *gate = &vcpu->vm->gate;
	uint64_t opened;
	bool go_on;

	finish_access(vcpu);
	pthread_mutex_lock(&gate->lock);
	gate->running--;
	pthread_cond_broadcast(&gate->changed);
	opened = gate->opened;
	while ((gate->closed || (vcpu->held && gate->opened == opened)) && !gate->ending)
		pthread_cond_wait(&gate->changed, &gate->lock);
	vcpu->held = false;
	go_on = !gate->ending;
	if (go_on)
		gate->running++;
	pthread_mutex_unlock(&gate->lock);
	return go_on;
}

void vcpus_hold(void)
{
	if (self)
		self->held = true;
}

static void crash(struct vcpu *vcpu, const char *why)
{
	log_error("vCPU %u: %s", vcpu->index, why);
	vcpu_log_registers(vcpu);
	vcpu->held = true;
	vcpu->vm->events.crashed(vcpu->vm->events.opaque, why);
}

static void unsupported(struct vcpu *vcpu, const char *why)
{
	log_error("vCPU %u: %s", vcpu->index, why);
	vcpu_log_registers(vcpu);
	vcpu->held = true;
	vcpu->vm->events.unsupported(vcpu->vm->events.opaque, why);
}

static void do_io(struct vcpu *vcpu)
{
	struct kvm_run *run = vcpu->run;
	struct bus *bus = vcpu->vm->pio;
	uint8_t *data = (uint8_t *)run + run->io.data_offset;
	uint16_t port = run->io.port;
	bool known = true;

	for (uint32_t i = 0; i < run->io.count; i++, data += run->io.size) {
		if (run->io.direction == KVM_EXIT_IO_IN)
			known = bus_read(bus, port, data, run->io.size);
		else
			known = bus_write(bus, port, data, run->io.size);
	}
	vcpu->counters.unclaimed += !known;
	if (unlikely(vcpu->hot))
		vcpu_count_access(vcpu, false, port);
}

static void do_mmio(struct vcpu *vcpu)
{
	struct kvm_run *run = vcpu->run;
	struct bus *bus = vcpu->vm->mmio;
	unsigned len = MIN(run->mmio.len, 8U);
	bool known;

	if (run->mmio.is_write)
		known = bus_write(bus, run->mmio.phys_addr, run->mmio.data, len);
	else
		known = bus_read(bus, run->mmio.phys_addr, run->mmio.data, len);
	vcpu->counters.unclaimed += !known;
	if (unlikely(vcpu->hot))
		vcpu_count_access(vcpu, true, run->mmio.phys_addr);
}

static void do_internal_error(struct vcpu *vcpu)
{
	const struct kvm_run *run = vcpu->run;
	char why[160];

	switch (run->internal.suberror) {
	case KVM_INTERNAL_ERROR_EMULATION:
		unsupported(vcpu, "this KVM cannot emulate an instruction of this guest "
				  "(KVM_INTERNAL_ERROR_EMULATION; the instruction's bytes are "
				  "below): the guest needs a KVM with hardware virtualization");
		return;
	case KVM_INTERNAL_ERROR_SIMUL_EX:
		crash(vcpu, "exceptions nested too deeply (KVM_INTERNAL_ERROR_SIMUL_EX)");
		return;
	case KVM_INTERNAL_ERROR_DELIVERY_EV:
		unsupported(vcpu, "KVM could not deliver an exception or interrupt "
				  "(KVM_INTERNAL_ERROR_DELIVERY_EV)");
		return;
	default:
		snprintf(why, sizeof(why),
			 "KVM reports internal error %u: it cannot run this guest",
			 run->internal.suberror);
		unsupported(vcpu, why);
	}
}

static void do_failed_entry(struct vcpu *vcpu)
{
	char why[160];

	snprintf(why, sizeof(why),
		 "the CPU refuses to enter the guest (KVM_EXIT_FAIL_ENTRY, hardware reason %#llx)",
		 (unsigned long long)vcpu->run->fail_entry.hardware_entry_failure_reason);
	unsupported(vcpu, why);
}

static void do_system_event(struct vcpu *vcpu)
{
	if (vcpu->run->system_event.type == KVM_SYSTEM_EVENT_CRASH)
		crash(vcpu, "the guest reported a crash");
	else
		unsupported(vcpu, "KVM reports a system event that x86 does not have");
}

static void handle_exit(struct vcpu *vcpu)
{
	unsigned reason = vcpu->run->exit_reason;
	char why[128];

	vcpu->counters.reasons[MIN(reason, VCPU_EXIT_REASONS - 1U)]++;
	vm_coalesced_drain(vcpu->vm);
	switch (reason) {
	case KVM_EXIT_IO:
		do_io(vcpu);
		break;
	case KVM_EXIT_MMIO:
		do_mmio(vcpu);
		break;
	case KVM_EXIT_INTR:
	case KVM_EXIT_IRQ_WINDOW_OPEN:
		break;
	case KVM_EXIT_SHUTDOWN:
		crash(vcpu, "triple fault");
		break;
	case KVM_EXIT_INTERNAL_ERROR:
		do_internal_error(vcpu);
		break;
	case KVM_EXIT_FAIL_ENTRY:
		do_failed_entry(vcpu);
		break;
	case KVM_EXIT_SYSTEM_EVENT:
		do_system_event(vcpu);
		break;
	default:
		snprintf(why, sizeof(why), "KVM came back with %s (%u), which nothing here handles",
			 vcpu_exit_name(reason), reason);
		unsupported(vcpu, why);
	}
}

static void run_failed(struct vcpu *vcpu, int code)
{
	char why[160];

	if (code == -EFAULT)
		snprintf(why, sizeof(why),
			 "KVM_RUN: guest memory cannot be reached (is the host out of memory or of "
			 "huge pages?)");
	else
		snprintf(why, sizeof(why), "KVM_RUN: %s", error_name(code));
	unsupported(vcpu, why);
}

static void *vcpu_main(void *arg)
{
	struct vcpu *vcpu = arg;
	sigset_t set;
	int ret;

	self = vcpu;
	sigemptyset(&set);
	sigaddset(&set, KICK_SIGNAL);
	pthread_sigmask(SIG_UNBLOCK, &set, NULL);
	for (;;) {
		WRITE_ONCE(vcpu->run->immediate_exit, 0);
		if (unlikely(vcpu->vm->gate.closed || vcpu->held) && !gate_pass(vcpu))
			break;
		ret = ioctl(vcpu->fd, KVM_RUN, 0);
		if (likely(ret >= 0))
			handle_exit(vcpu);
		else if (errno == EINTR || errno == EAGAIN)
			vcpu->counters.interrupted++;
		else if (errno == EFAULT && vm_slots_take_back(vcpu->vm, &vcpu->taken_back))
			continue; /* the access now leaves the guest */
		else
			run_failed(vcpu, -errno);
	}
	return NULL;
}

static void kick_all(struct vm *vm)
{
	for (unsigned i = 0; i < vm->nvcpus; i++) {
		if (vm->vcpus[i]->started)
			pthread_kill(vm->vcpus[i]->thread, KICK_SIGNAL);
	}
}

void vcpus_pause(struct vm *vm)
{
	struct vcpu_gate *gate = &vm->gate;

	pthread_mutex_lock(&gate->lock);
	gate->closed++;
	kick_all(vm);
	while (gate->running)
		pthread_cond_wait(&gate->changed, &gate->lock);
	pthread_mutex_unlock(&gate->lock);
}

void vcpus_resume(struct vm *vm)
{
	struct vcpu_gate *gate = &vm->gate;

	pthread_mutex_lock(&gate->lock);
	if (--gate->closed == 0)
		gate->opened++;
	pthread_cond_broadcast(&gate->changed);
	pthread_mutex_unlock(&gate->lock);
}

static int vcpu_create(struct vm *vm, unsigned index, struct error *err)
{
	struct vcpu *vcpu = calloc(1, sizeof(*vcpu));
	int ret;

	if (!vcpu)
		return error_set(err, -ENOMEM, "vCPU %u: out of memory", index);
	vm->vcpus[vm->nvcpus++] = vcpu;
	vcpu->vm = vm;
	vcpu->index = index;
	vcpu->fd = ioctl(vm->fd, KVM_CREATE_VCPU, index);
	if (vcpu->fd < 0)
		return error_set(err, -errno, "vCPU %u: KVM cannot create it: %s", index,
				 error_name(errno));
	vcpu->run = mmap(NULL, vm->run_size, PROT_READ | PROT_WRITE, MAP_SHARED, vcpu->fd, 0);
	if (vcpu->run == MAP_FAILED) {
		vcpu->run = NULL;
		return error_set(err, -errno, "vCPU %u: cannot map its state: %s", index,
				 error_name(errno));
	}
	if (log_get_level() >= LOG_LEVEL_DEBUG)
		vcpu->hot = calloc(VCPU_HOT_PORTS, sizeof(*vcpu->hot));
	ret = vcpu_set_cpuid(vcpu, err);
	return ret ? ret : vcpu_init_state(vcpu, err);
}

/* The ring of batched writes is a page of any vCPU's area: KVM says which. */
static void find_ring(struct vm *vm)
{
	long page = sysconf(_SC_PAGESIZE);
	int at = ioctl(vm->kvm_fd, KVM_CHECK_EXTENSION, KVM_CAP_COALESCED_MMIO);

	if (at <= 0 || (size_t)(at + 1) * (size_t)page > vm->run_size)
		return;
	vm->ring = (void *)((uint8_t *)vm->vcpus[0]->run + at * page);
	vm->ring_entries = (unsigned)(((size_t)page - sizeof(*vm->ring)) /
				      sizeof(vm->ring->coalesced_mmio[0]));
}

int vcpus_create(struct vm *vm, struct error *err)
{
	struct sigaction action = {.sa_handler = kicked};
	int ret = 0;

	sigemptyset(&action.sa_mask);
	sigaction(KICK_SIGNAL, &action, NULL);
	vm->vcpus = calloc(vm->opts.cpus, sizeof(struct vcpu *));
	if (!vm->vcpus)
		return error_set(err, -ENOMEM, "out of memory");
	for (unsigned i = 0; i < vm->opts.cpus && !ret; i++)
		ret = vcpu_create(vm, i, err);
	if (!ret)
		find_ring(vm);
	return ret;
}

int vcpus_set_entry(struct vm *vm, const struct boot_entry *entry, struct error *err)
{
	return vcpu_enter(vm->vcpus[0], entry, err);
}

int vcpus_start(struct vm *vm, struct error *err)
{
	struct vcpu_gate *gate = &vm->gate;
	char name[16];
	int ret = 0;

	for (unsigned i = 0; i < vm->nvcpus && !ret; i++) {
		struct vcpu *vcpu = vm->vcpus[i];

		snprintf(name, sizeof(name), "vcpu%u", i);
		pthread_mutex_lock(&gate->lock);
		gate->running++;
		ret = thread_start(&vcpu->thread, name, THREAD_ANY_CPU, vcpu_main, vcpu, err);
		vcpu->started = !ret;
		gate->running -= !!ret;
		pthread_mutex_unlock(&gate->lock);
	}
	return ret;
}

int vcpus_reset(struct vm *vm, struct error *err)
{
	int ret = 0;

	/* Interrupts must not find a half-reset local APIC: from the last to the first, so that
	 * whoever could send them is stopped last. */
	for (unsigned i = vm->nvcpus; i-- > 0 && !ret;)
		ret = vcpu_restore_state(vm->vcpus[i], err);
	return ret;
}

void vcpus_stop(struct vm *vm)
{
	struct vcpu_gate *gate = &vm->gate;

	pthread_mutex_lock(&gate->lock);
	gate->ending = true;
	gate->closed++;
	kick_all(vm);
	pthread_cond_broadcast(&gate->changed);
	pthread_mutex_unlock(&gate->lock);
	for (unsigned i = 0; i < vm->nvcpus; i++) {
		if (vm->vcpus[i]->started)
			pthread_join(vm->vcpus[i]->thread, NULL);
		vm->vcpus[i]->started = false;
	}
}

void vcpus_destroy(struct vm *vm)
{
	vm->ring = NULL;
	for (unsigned i = 0; i < vm->nvcpus; i++) {
		struct vcpu *vcpu = vm->vcpus[i];

		if (vcpu->run)
			munmap(vcpu->run, vm->run_size);
		if (vcpu->fd >= 0)
			close(vcpu->fd);
		vcpu_free_state(vcpu);
		free(vcpu->hot);
		free(vcpu);
	}
	free(vm->vcpus);
	vm->vcpus = NULL;
	vm->nvcpus = 0;
}
