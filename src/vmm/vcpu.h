/* SPDX-License-Identifier: Apache-2.0 */
#ifndef VMM_VCPU_H
#define VMM_VCPU_H

#include "vmm/vm.h"
#include "vmm/boot.h"

#include <stdio.h>

#define VCPUS_MAX	  64
#define VCPU_EXIT_REASONS 48
#define VCPU_HOT_PORTS	  64

/** How often a vCPU came back to this process, by reason; written by its own thread only. */
struct vcpu_counters {
	uint64_t reasons[VCPU_EXIT_REASONS];
	uint64_t interrupted; /* kicked, or a signal */
	uint64_t unclaimed;   /* accesses that nothing answered */
};

/* Accesses by address, kept only while debug messages are wanted. */
struct vcpu_hot {
	uint64_t addr;
	uint64_t count;
	bool mmio;
};

/* The state a vCPU was made with: what a reset goes back to (vcpu_reset.c). */
struct vcpu_saved;

struct vcpu {
	struct vm *vm;
	unsigned index;
	int fd;
	struct kvm_run *run;
	pthread_t thread;
	bool started;
	uint64_t taken_back; /* vm_slots_take_back() */
	bool held;	     /* stands still until the gate is opened again; its own thread's */
	struct vcpu_counters counters;
	struct vcpu_hot *hot; /* VCPU_HOT_PORTS, or NULL */
	struct vcpu_saved *saved;
};

/**
 * Makes all vCPUs (opts.cpus of them), stopped, in the state after power-on. The reset of a vCPU
 * that runs goes back to this state.
 */
int vcpus_create(struct vm *vm, struct error *err);

/** Puts the boot vCPU at the kernel's entry; the others wait for it to start them. */
int vcpus_set_entry(struct vm *vm, const struct boot_entry *entry, struct error *err);

/** Starts the threads, paused. */
int vcpus_start(struct vm *vm, struct error *err);

/*
 * vcpus_pause() returns when no vCPU is in the guest or in a device's handler; vcpus_resume()
 * lets them go on. Both nest. To be called from one thread that is no vCPU's (the main loop's).
 */
void vcpus_pause(struct vm *vm);
void vcpus_resume(struct vm *vm);

/**
 * From a vCPU's own thread, in a handler: it will not enter the guest again before the gate is
 * next opened (vcpus_resume()). Elsewhere it does nothing.
 */
void vcpus_hold(void);

/** While paused: every vCPU back to the state after power-on. */
int vcpus_reset(struct vm *vm, struct error *err);

/** Ends and joins the threads. */
void vcpus_stop(struct vm *vm);
void vcpus_destroy(struct vm *vm);

/** Counters of all vCPUs, one line for each reason, to the log at debug level. */
void vcpus_log_counters(const struct vm *vm);
/** Sum of all exits to this process. */
uint64_t vcpus_exits(const struct vm *vm);

/* The parts, each in its own file. */
int vcpu_set_cpuid(struct vcpu *vcpu, struct error *err);
int vcpu_init_state(struct vcpu *vcpu, struct error *err);
int vcpu_restore_state(struct vcpu *vcpu, struct error *err);
int vcpu_enter(struct vcpu *vcpu, const struct boot_entry *entry, struct error *err);
void vcpu_free_state(struct vcpu *vcpu);
void vcpu_count_access(struct vcpu *vcpu, bool mmio, uint64_t addr);
/** Registers and the bytes at the instruction pointer, to the log at the given level. */
void vcpu_log_registers(struct vcpu *vcpu);
const char *vcpu_exit_name(unsigned reason);

#endif
