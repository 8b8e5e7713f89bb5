/* SPDX-License-Identifier: Apache-2.0 */
/* What a person sees of a vCPU: its registers when something went wrong, its exits when asked. */
#include "vmm/vcpu.h"
#include "base/log.h"

#include <stdlib.h>
#include <sys/ioctl.h>

static const char *const exit_names[VCPU_EXIT_REASONS] = {
	[KVM_EXIT_UNKNOWN] = "KVM_EXIT_UNKNOWN",
	[KVM_EXIT_EXCEPTION] = "KVM_EXIT_EXCEPTION",
	[KVM_EXIT_IO] = "KVM_EXIT_IO",
	[KVM_EXIT_HYPERCALL] = "KVM_EXIT_HYPERCALL",
	[KVM_EXIT_DEBUG] = "KVM_EXIT_DEBUG",
	[KVM_EXIT_HLT] = "KVM_EXIT_HLT",
	[KVM_EXIT_MMIO] = "KVM_EXIT_MMIO",
	[KVM_EXIT_IRQ_WINDOW_OPEN] = "KVM_EXIT_IRQ_WINDOW_OPEN",
	[KVM_EXIT_SHUTDOWN] = "KVM_EXIT_SHUTDOWN",
	[KVM_EXIT_FAIL_ENTRY] = "KVM_EXIT_FAIL_ENTRY",
	[KVM_EXIT_INTR] = "KVM_EXIT_INTR",
	[KVM_EXIT_SET_TPR] = "KVM_EXIT_SET_TPR",
	[KVM_EXIT_TPR_ACCESS] = "KVM_EXIT_TPR_ACCESS",
	[KVM_EXIT_NMI] = "KVM_EXIT_NMI",
	[KVM_EXIT_INTERNAL_ERROR] = "KVM_EXIT_INTERNAL_ERROR",
	[KVM_EXIT_SYSTEM_EVENT] = "KVM_EXIT_SYSTEM_EVENT",
	[KVM_EXIT_IOAPIC_EOI] = "KVM_EXIT_IOAPIC_EOI",
	[KVM_EXIT_HYPERV] = "KVM_EXIT_HYPERV",
	[KVM_EXIT_X86_RDMSR] = "KVM_EXIT_X86_RDMSR",
	[KVM_EXIT_X86_WRMSR] = "KVM_EXIT_X86_WRMSR",
	[KVM_EXIT_DIRTY_RING_FULL] = "KVM_EXIT_DIRTY_RING_FULL",
	[KVM_EXIT_X86_BUS_LOCK] = "KVM_EXIT_X86_BUS_LOCK",
	[KVM_EXIT_XEN] = "KVM_EXIT_XEN",
};

const char *vcpu_exit_name(unsigned reason)
{
	if (reason < VCPU_EXIT_REASONS && exit_names[reason])
		return exit_names[reason];
	return "an exit of a reason unknown here";
}

/* The bytes at cs:rip, through the guest's own page tables. */
static void log_instruction(struct vcpu *vcpu, uint64_t linear)
{
	struct kvm_translation tr = {.linear_address = linear};
	const struct kvm_run *run = vcpu->run;
	char text[3 * 16 + 1] = "";

	/* An emulation failure brings the bytes that KVM stumbled over. */
	if (run->exit_reason == KVM_EXIT_INTERNAL_ERROR && run->emulation_failure.ndata >= 3 &&
	    run->emulation_failure.flags & KVM_INTERNAL_ERROR_EMULATION_FLAG_INSTRUCTION_BYTES) {
		unsigned n = MIN(run->emulation_failure.insn_size, 15U);

		for (unsigned i = 0; i < n; i++)
			snprintf(text + 3 * i, 4, " %02x", run->emulation_failure.insn_bytes[i]);
		log_error("  instruction:%s", text);
		return;
	}
	if (ioctl(vcpu->fd, KVM_TRANSLATE, &tr) || !tr.valid) {
		log_error("  instruction: not mapped");
		return;
	}
	for (unsigned i = 0; i < 16; i++) {
		uint8_t byte;

		if (vm_peek(vcpu->vm, tr.physical_address + i, &byte, 1))
			break;
		snprintf(text + 3 * i, 4, " %02x", byte);
	}
	log_error("  instruction:%s", *text ? text : " not in memory");
}

static void log_segment(const char *name, const struct kvm_segment *s)
{
	log_error("  %s=%04x base=%016llx limit=%08x type=%x s=%u dpl=%u p=%u l=%u db=%u", name,
		  s->selector, (unsigned long long)s->base, s->limit, s->type, s->s, s->dpl,
		  s->present, s->l, s->db);
}

void vcpu_log_registers(struct vcpu *vcpu)
{
	struct kvm_regs r;
	struct kvm_sregs s;

	if (ioctl(vcpu->fd, KVM_GET_REGS, &r) || ioctl(vcpu->fd, KVM_GET_SREGS, &s)) {
		log_error("vCPU %u: its registers cannot be read", vcpu->index);
		return;
	}
#define R(x) (unsigned long long)(x)
	log_error("vCPU %u registers:", vcpu->index);
	log_error("  rip=%016llx rflags=%016llx", R(r.rip), R(r.rflags));
	log_error("  rax=%016llx rbx=%016llx rcx=%016llx rdx=%016llx", R(r.rax), R(r.rbx), R(r.rcx),
		  R(r.rdx));
	log_error("  rsi=%016llx rdi=%016llx rbp=%016llx rsp=%016llx", R(r.rsi), R(r.rdi), R(r.rbp),
		  R(r.rsp));
	log_error("  r8 =%016llx r9 =%016llx r10=%016llx r11=%016llx", R(r.r8), R(r.r9), R(r.r10),
		  R(r.r11));
	log_error("  r12=%016llx r13=%016llx r14=%016llx r15=%016llx", R(r.r12), R(r.r13), R(r.r14),
		  R(r.r15));
	log_error("  cr0=%llx cr2=%llx cr3=%llx cr4=%llx efer=%llx", R(s.cr0), R(s.cr2), R(s.cr3),
		  R(s.cr4), R(s.efer));
	log_segment("cs", &s.cs);
	log_segment("ss", &s.ss);
	log_error("  gdt=%llx+%x idt=%llx+%x", R(s.gdt.base), s.gdt.limit, R(s.idt.base),
		  s.idt.limit);
	if (vcpu->run->exit_reason == KVM_EXIT_SHUTDOWN && r.rip == 0xfff0)
		log_error("  (this CPU resets its registers on a triple fault; what they were is "
			  "lost)");
	else
		log_instruction(vcpu, s.cs.base + r.rip);
#undef R
}

void vcpu_count_access(struct vcpu *vcpu, bool mmio, uint64_t addr)
{
	/* Open addressing; when it is full the rest is counted in the last one. */
	unsigned start = (unsigned)(addr ^ addr >> 12) % VCPU_HOT_PORTS, i = start;
	struct vcpu_hot *hot;

	do {
		hot = &vcpu->hot[i];
		if (!hot->count || (hot->addr == addr && hot->mmio == mmio))
			break;
		i = (i + 1) % VCPU_HOT_PORTS;
	} while (i != start);
	if (!hot->count) {
		hot->addr = addr;
		hot->mmio = mmio;
	}
	hot->count++;
}

static int by_count(const void *a, const void *b)
{
	const struct vcpu_hot *x = a, *y = b;

	return x->count < y->count ? 1 : x->count > y->count ? -1 : 0;
}

uint64_t vcpus_exits(const struct vm *vm)
{
	uint64_t sum = 0;

	for (unsigned i = 0; i < vm->nvcpus; i++) {
		for (unsigned r = 0; r < VCPU_EXIT_REASONS; r++)
			sum += vm->vcpus[i]->counters.reasons[r];
	}
	return sum;
}

static void log_hot(struct vcpu *vcpu)
{
	qsort(vcpu->hot, VCPU_HOT_PORTS, sizeof(*vcpu->hot), by_count);
	for (unsigned i = 0; i < VCPU_HOT_PORTS && vcpu->hot[i].count; i++)
		log_debug("vCPU %u:   %s %#llx: %llu", vcpu->index,
			  vcpu->hot[i].mmio ? "memory" : "port",
			  (unsigned long long)vcpu->hot[i].addr,
			  (unsigned long long)vcpu->hot[i].count);
}

void vcpus_log_counters(const struct vm *vm)
{
	for (unsigned i = 0; i < vm->nvcpus; i++) {
		struct vcpu *vcpu = vm->vcpus[i];
		const struct vcpu_counters *c = &vcpu->counters;

		for (unsigned r = 0; r < VCPU_EXIT_REASONS; r++) {
			if (c->reasons[r])
				log_debug("vCPU %u: %s: %llu", i, vcpu_exit_name(r),
					  (unsigned long long)c->reasons[r]);
		}
		log_debug("vCPU %u: interrupted: %llu, accesses that nothing answered: %llu", i,
			  (unsigned long long)c->interrupted, (unsigned long long)c->unclaimed);
		if (vcpu->hot)
			log_hot(vcpu);
	}
	log_debug("batched port writes: %llu", (unsigned long long)vm->batched);
}
