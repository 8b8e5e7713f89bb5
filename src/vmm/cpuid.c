/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The guest's CPUID: what KVM supports on this host, with the leaves that describe one vCPU's
 * place among the others set to the guest's topology: one package, one core for each vCPU, one
 * thread for each core, APIC id = vCPU number (Intel SDM 3A, 9.9; AMD APM 3, appendix E).
 */
#include "vmm/vcpu.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/ioctl.h>

#define CPUID_1_ECX_TSC_DEADLINE (1u << 24)
#define CPUID_1_ECX_HYPERVISOR	 (1u << 31)
#define CPUID_1_EDX_HTT		 (1u << 28)
#define CPUID_ENTRIES_MAX	 4096

int vm_cpuid_supported(int kvm_fd, struct kvm_cpuid2 **out, struct error *err)
{
	struct kvm_cpuid2 *cpuid;

	for (unsigned n = 128; n <= CPUID_ENTRIES_MAX; n *= 2) {
		/* Room for the topology leaf, should this host have none. */
		cpuid = calloc(1, sizeof(*cpuid) + (n + 2) * sizeof(cpuid->entries[0]));
		if (!cpuid)
			return error_set(err, -ENOMEM, "CPUID: out of memory");
		cpuid->nent = n;
		if (!ioctl(kvm_fd, KVM_GET_SUPPORTED_CPUID, cpuid)) {
			*out = cpuid;
			return 0;
		}
		free(cpuid);
		if (errno != E2BIG)
			break;
	}
	return error_set(err, -errno, "KVM does not say which CPUID it supports: %s",
			 error_name(errno));
}

/* Bits that hold the number of any of n vCPUs. */
static unsigned id_bits(unsigned n)
{
	unsigned bits = 0;

	while ((1u << bits) < n)
		bits++;
	return bits;
}

/* Leaves 0xb and 0x1f: subleaf 0 the threads of a core, 1 the cores of a package, then the end. */
static void topology_entry(struct kvm_cpuid_entry2 *e, unsigned index, unsigned cpus)
{
	enum { LEVEL_THREAD = 1, LEVEL_CORE = 2 };

	e->flags = KVM_CPUID_FLAG_SIGNIFCANT_INDEX;
	e->edx = index;
	e->eax = e->ebx = 0;
	e->ecx = e->index & 0xff;
	if (e->index == 0) {
		e->ebx = 1;
		e->ecx |= LEVEL_THREAD << 8;
	} else if (e->index == 1) {
		e->eax = id_bits(cpus);
		e->ebx = cpus;
		e->ecx |= LEVEL_CORE << 8;
	}
}

static void basic_leaf(struct kvm_cpuid_entry2 *e, unsigned index, unsigned cpus)
{
	switch (e->function) {
	case 0x1:
		e->ebx = (e->ebx & 0x0000ffff) | index << 24 | cpus << 16;
		e->ecx |= CPUID_1_ECX_HYPERVISOR;
		e->edx = cpus > 1 ? e->edx | CPUID_1_EDX_HTT : e->edx & ~CPUID_1_EDX_HTT;
		break;
	case 0x4:
		if (!(e->eax & 0x1f))
			break; /* no further cache */
		/* The last-level cache is the package's, the others a core's. */
		e->eax &= 0x3fff;
		e->eax |= (cpus - 1) << 26;
		if ((e->eax >> 5 & 7) >= 3)
			e->eax |= (cpus - 1) << 14;
		break;
	case 0xb:
	case 0x1f:
		topology_entry(e, index, cpus);
		break;
	}
}

static void extended_leaf(struct kvm_cpuid_entry2 *e, unsigned index, unsigned cpus)
{
	switch (e->function) {
	case 0x80000008: /* AMD: cores - 1, and the bits of the APIC id that tell them apart */
		e->ecx = (e->ecx & ~0xf0ffu) | (cpus - 1) | id_bits(cpus) << 12;
		break;
	case 0x8000001d: /* AMD: vCPUs that share this cache */
		if (!(e->eax & 0x1f))
			break;
		e->eax &= 0x3fff;
		if ((e->eax >> 5 & 7) >= 3)
			e->eax |= (cpus - 1) << 14;
		break;
	case 0x8000001e: /* AMD: extended APIC id; core id, one thread each; one node */
		e->eax = index;
		e->ebx = index & 0xff;
		e->ecx = 0;
		break;
	}
}

static bool has_leaf(const struct kvm_cpuid2 *cpuid, uint32_t function)
{
	for (unsigned i = 0; i < cpuid->nent; i++) {
		if (cpuid->entries[i].function == function)
			return true;
	}
	return false;
}

/* KVM's x2APIC works on any host; the leaf that tells its ids is not on every one. */
static void add_topology(struct kvm_cpuid2 *cpuid)
{
	if (has_leaf(cpuid, 0xb))
		return;
	for (unsigned i = 0; i < cpuid->nent; i++) {
		struct kvm_cpuid_entry2 *e = &cpuid->entries[i];

		if (e->function == 0 && e->eax < 0xb)
			e->eax = 0xb;
	}
	for (uint32_t sub = 0; sub < 2; sub++)
		cpuid->entries[cpuid->nent++] = (struct kvm_cpuid_entry2){
			.function = 0xb, .index = sub, .flags = KVM_CPUID_FLAG_SIGNIFCANT_INDEX};
}

/* Whether the leaves of AMD's (and Hygon's) own mean anything: leaf 0's last four letters. */
static bool is_amd(const struct kvm_cpuid2 *cpuid)
{
	for (unsigned i = 0; i < cpuid->nent; i++) {
		const struct kvm_cpuid_entry2 *e = &cpuid->entries[i];

		if (e->function == 0)
			return !memcmp(&e->ecx, "cAMD", 4) || !memcmp(&e->ecx, "uine", 4);
	}
	return false;
}

int vcpu_set_cpuid(struct vcpu *vcpu, struct error *err)
{
	const struct kvm_cpuid2 *from = vcpu->vm->cpuid;
	size_t size = sizeof(*from) + (from->nent + 2) * sizeof(from->entries[0]);
	struct kvm_cpuid2 *cpuid = calloc(1, size);
	bool amd = is_amd(from);
	bool deadline = ioctl(vcpu->vm->fd, KVM_CHECK_EXTENSION, KVM_CAP_TSC_DEADLINE_TIMER) > 0;
	int ret;

	if (!cpuid)
		return error_set(err, -ENOMEM, "CPUID: out of memory");
	memcpy(cpuid, from, sizeof(*from) + from->nent * sizeof(from->entries[0]));
	add_topology(cpuid);
	for (unsigned i = 0; i < cpuid->nent; i++) {
		struct kvm_cpuid_entry2 *e = &cpuid->entries[i];

		basic_leaf(e, vcpu->index, vcpu->vm->opts.cpus);
		if (amd)
			extended_leaf(e, vcpu->index, vcpu->vm->opts.cpus);
		/* KVM never lists it, because it depends on where the local APIC is. */
		if (e->function == 1 && deadline)
			e->ecx |= CPUID_1_ECX_TSC_DEADLINE;
	}
	ret = ioctl(vcpu->fd, KVM_SET_CPUID2, cpuid) ? -errno : 0;
	free(cpuid);
	if (ret)
		return error_set(err, ret, "vCPU %u: KVM refuses its CPUID: %s", vcpu->index,
				 error_name(ret));
	return 0;
}
