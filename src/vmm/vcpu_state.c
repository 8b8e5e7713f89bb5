/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A vCPU's registers: after power-on, at the kernel's entry, and back again on reset.
 *
 * What KVM reports right after a vCPU was made is the state after power-on; all of it is kept, so
 * that a reset is writing it back. Model-specific registers are read by KVM's own list of those
 * that need saving. They matter: with the guest's kvmclock or steal-time registers left in place
 * KVM would go on writing into the memory of the next kernel.
 */
#include "vmm/vcpu.h"
#include "vmm/hw.h"
#include "base/log.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/ioctl.h>

#define MSR_IA32_APICBASE	0x1b
#define MSR_IA32_MISC_ENABLE	0x1a0
#define MSR_IA32_MTRR_BASE0	0x200
#define MSR_IA32_MTRR_MASK0	0x201
#define MSR_IA32_MTRR_DEFTYPE	0x2ff
#define MSR_IA32_TSC		0x10

#define MISC_ENABLE_FAST_STRING 1ULL
#define MTRR_DEFTYPE_ENABLED	(1ULL << 11)
#define MTRR_MASK_VALID		(1ULL << 11)
#define MTRR_UC			0ULL
#define MTRR_WB			6ULL

#define LAPIC_LVT_LINT0		0x350
#define LAPIC_LVT_LINT1		0x360
#define LVT_MODE_NMI		(4u << 8)
#define LVT_MODE_EXTINT		(7u << 8)
#define LVT_MASKED		(1u << 16)

#define XSAVE_MAX		(64 * KIB)

#define CR0_PE			0x1ULL
#define CR0_ET			0x10ULL
#define CR0_NE			0x20ULL
#define CR0_WP			0x10000ULL
#define CR0_PG			0x80000000ULL
#define CR4_PAE			0x20ULL
#define EFER_LME		0x100ULL
#define EFER_LMA		0x400ULL
#define RFLAGS_FIXED		2ULL

struct vcpu_saved {
	struct kvm_regs regs;
	struct kvm_sregs sregs;
	struct kvm_lapic_state lapic;
	struct kvm_mp_state mp_state;
	struct kvm_vcpu_events events;
	struct kvm_debugregs debugregs;
	struct kvm_xcrs xcrs;
	struct kvm_xsave *xsave; /* NULL: KVM has none, fpu instead */
	struct kvm_fpu fpu;
	bool has_xcrs;
	struct kvm_msrs *msrs;
};

/* One ioctl that must work, with the message if it does not. */
#define VCPU_IOCTL(vcpu, request, arg, err)                                                        \
	(ioctl((vcpu)->fd, request, arg) < 0 ? error_set(err, -errno, "vCPU %u: " #request ": %s", \
							 (vcpu)->index, error_name(errno))         \
					     : 0)

/* What firmware would have set: memory write-back cached but for the devices' hole below 4 GiB. */
static void set_boot_msrs(struct vcpu *vcpu)
{
	uint64_t phys_mask =
		vcpu->vm->phys_bits >= 64 ? UINT64_MAX : (1ULL << vcpu->vm->phys_bits) - 1;
	struct {
		struct kvm_msrs head;
		struct kvm_msr_entry e[4];
	} msrs = {
		.head.nmsrs = 4,
		.e =
			{
				{.index = MSR_IA32_MTRR_DEFTYPE,
				 .data = MTRR_DEFTYPE_ENABLED | MTRR_WB},
				{.index = MSR_IA32_MTRR_BASE0, .data = HW_LOW_RAM_MAX | MTRR_UC},
				{.index = MSR_IA32_MTRR_MASK0,
				 .data = (phys_mask & ~(uint64_t)(4 * GIB - HW_LOW_RAM_MAX - 1)) |
					 MTRR_MASK_VALID},
				{.index = MSR_IA32_MISC_ENABLE, .data = MISC_ENABLE_FAST_STRING},
			},
	};
	int n = ioctl(vcpu->fd, KVM_SET_MSRS, &msrs);

	/* Only speed depends on them. */
	if (n != 4)
		log_debug("vCPU %u: KVM took %d of the 4 start-up MSRs", vcpu->index, n);
}

/* LINT0 takes the PIC's interrupts on the boot vCPU, LINT1 is the NMI: as firmware leaves them. */
static int set_lint(struct vcpu *vcpu, struct error *err)
{
	struct kvm_lapic_state lapic;
	int ret = VCPU_IOCTL(vcpu, KVM_GET_LAPIC, &lapic, err);

	if (ret)
		return ret;
	store_le32(lapic.regs + LAPIC_LVT_LINT0,
		   vcpu->index ? LVT_MASKED | LVT_MODE_EXTINT : LVT_MODE_EXTINT);
	store_le32(lapic.regs + LAPIC_LVT_LINT1, LVT_MODE_NMI);
	return VCPU_IOCTL(vcpu, KVM_SET_LAPIC, &lapic, err);
}

static struct kvm_msr_list *msr_list(int kvm_fd)
{
	struct kvm_msr_list probe = {.nmsrs = 0}, *list;

	if (ioctl(kvm_fd, KVM_GET_MSR_INDEX_LIST, &probe) && errno != E2BIG)
		return NULL;
	list = calloc(1, sizeof(*list) + probe.nmsrs * sizeof(list->indices[0]));
	if (!list)
		return NULL;
	list->nmsrs = probe.nmsrs;
	if (ioctl(kvm_fd, KVM_GET_MSR_INDEX_LIST, list)) {
		free(list);
		return NULL;
	}
	return list;
}

/* KVM stops at the first MSR it does not know after all: leave that one out and go on. */
static int save_msrs(struct vcpu *vcpu, struct vcpu_saved *saved)
{
	struct kvm_msr_list *list = msr_list(vcpu->vm->kvm_fd);
	struct kvm_msrs *msrs;
	int n;

	if (!list)
		return -EIO;
	msrs = calloc(1, sizeof(*msrs) + list->nmsrs * sizeof(msrs->entries[0]));
	if (!msrs) {
		free(list);
		return -ENOMEM;
	}
	for (unsigned i = 0; i < list->nmsrs; i++)
		msrs->entries[msrs->nmsrs++].index = list->indices[i];
	free(list);
	for (;;) {
		n = ioctl(vcpu->fd, KVM_GET_MSRS, msrs);
		if (n < 0 || (unsigned)n >= msrs->nmsrs)
			break;
		memmove(&msrs->entries[n], &msrs->entries[n + 1],
			(msrs->nmsrs - (unsigned)n - 1) * sizeof(msrs->entries[0]));
		msrs->nmsrs--;
	}
	saved->msrs = msrs;
	return n < 0 ? -errno : 0;
}

/* The same the other way round. A register that cannot be written was not changed either. */
static void restore_msrs(struct vcpu *vcpu, const struct kvm_msrs *from)
{
	size_t size = sizeof(*from) + from->nmsrs * sizeof(from->entries[0]);
	struct kvm_msrs *msrs = malloc(size);
	int n;

	if (!msrs)
		return;
	memcpy(msrs, from, size);
	for (unsigned at = 0; at < from->nmsrs; at += (unsigned)n + 1) {
		msrs->nmsrs = from->nmsrs - at;
		memcpy(msrs->entries, from->entries + at, msrs->nmsrs * sizeof(msrs->entries[0]));
		n = ioctl(vcpu->fd, KVM_SET_MSRS, msrs);
		if (n < 0)
			break;
		if ((unsigned)n < msrs->nmsrs)
			log_debug("vCPU %u: MSR %#x keeps its value", vcpu->index,
				  from->entries[at + (unsigned)n].index);
	}
	free(msrs);
}

static int save_xsave(struct vcpu *vcpu, struct vcpu_saved *saved, struct error *err)
{
	int size = ioctl(vcpu->vm->fd, KVM_CHECK_EXTENSION, KVM_CAP_XSAVE2);

	if (size <= 0)
		size = sizeof(struct kvm_xsave);
	saved->xsave = calloc(1, (size_t)MIN(size, (int)XSAVE_MAX));
	if (!saved->xsave)
		return error_set(err, -ENOMEM, "vCPU %u: out of memory", vcpu->index);
	if (!ioctl(vcpu->fd, size > (int)sizeof(struct kvm_xsave) ? KVM_GET_XSAVE2 : KVM_GET_XSAVE,
		   saved->xsave)) {
		saved->has_xcrs = !ioctl(vcpu->fd, KVM_GET_XCRS, &saved->xcrs);
		return 0;
	}
	free(saved->xsave);
	saved->xsave = NULL;
	return VCPU_IOCTL(vcpu, KVM_GET_FPU, &saved->fpu, err);
}

int vcpu_init_state(struct vcpu *vcpu, struct error *err)
{
	struct vcpu_saved *s = calloc(1, sizeof(*s));
	int ret;

	if (!s)
		return error_set(err, -ENOMEM, "vCPU %u: out of memory", vcpu->index);
	vcpu->saved = s;
	set_boot_msrs(vcpu);
	ret = set_lint(vcpu, err);
	if (!ret)
		ret = VCPU_IOCTL(vcpu, KVM_GET_REGS, &s->regs, err);
	if (!ret)
		ret = VCPU_IOCTL(vcpu, KVM_GET_SREGS, &s->sregs, err);
	if (!ret)
		ret = VCPU_IOCTL(vcpu, KVM_GET_LAPIC, &s->lapic, err);
	if (!ret)
		ret = VCPU_IOCTL(vcpu, KVM_GET_MP_STATE, &s->mp_state, err);
	if (!ret)
		ret = VCPU_IOCTL(vcpu, KVM_GET_VCPU_EVENTS, &s->events, err);
	if (!ret)
		ret = VCPU_IOCTL(vcpu, KVM_GET_DEBUGREGS, &s->debugregs, err);
	if (!ret)
		ret = save_xsave(vcpu, s, err);
	if (!ret) {
		ret = save_msrs(vcpu, s);
		if (ret)
			error_set(err, ret, "vCPU %u: cannot read its MSRs: %s", vcpu->index,
				  error_name(ret));
	}
	return ret;
}

void vcpu_free_state(struct vcpu *vcpu)
{
	if (!vcpu->saved)
		return;
	free(vcpu->saved->xsave);
	free(vcpu->saved->msrs);
	free(vcpu->saved);
	vcpu->saved = NULL;
}

int vcpu_restore_state(struct vcpu *vcpu, struct error *err)
{
	struct vcpu_saved *s = vcpu->saved;
	int ret;

	/* Control registers first: some MSRs are only taken in the mode they belong to. The local
	 * APIC after the MSRs, whose base register turns it on. */
	ret = VCPU_IOCTL(vcpu, KVM_SET_SREGS, &s->sregs, err);
	if (ret)
		return ret;
	restore_msrs(vcpu, s->msrs);
	if (s->has_xcrs)
		ret = VCPU_IOCTL(vcpu, KVM_SET_XCRS, &s->xcrs, err);
	if (!ret && s->xsave)
		ret = VCPU_IOCTL(vcpu, KVM_SET_XSAVE, s->xsave, err);
	else if (!ret)
		ret = VCPU_IOCTL(vcpu, KVM_SET_FPU, &s->fpu, err);
	if (!ret)
		ret = VCPU_IOCTL(vcpu, KVM_SET_DEBUGREGS, &s->debugregs, err);
	if (!ret)
		ret = VCPU_IOCTL(vcpu, KVM_SET_LAPIC, &s->lapic, err);
	if (!ret)
		ret = VCPU_IOCTL(vcpu, KVM_SET_VCPU_EVENTS, &s->events, err);
	if (!ret)
		ret = VCPU_IOCTL(vcpu, KVM_SET_REGS, &s->regs, err);
	if (!ret)
		ret = VCPU_IOCTL(vcpu, KVM_SET_MP_STATE, &s->mp_state, err);
	return ret;
}

static struct kvm_segment segment(uint16_t selector, bool long_mode)
{
	uint64_t d = boot_gdt_entry(selector, long_mode);
	struct kvm_segment s = {
		.base = (d >> 16 & 0xffffff) | (d >> 56 & 0xff) << 24,
		.limit = (uint32_t)((d & 0xffff) | (d >> 48 & 0xf) << 16),
		.selector = selector,
		.type = d >> 40 & 0xf,
		.s = d >> 44 & 1,
		.dpl = d >> 45 & 3,
		.present = d >> 47 & 1,
		.avl = d >> 52 & 1,
		.l = d >> 53 & 1,
		.db = d >> 54 & 1,
		.g = d >> 55 & 1,
	};

	if (s.g)
		s.limit = s.limit << 12 | 0xfff;
	return s;
}

/*
 * 64-bit: paging with the loader's identity map, rsi = zero page (boot.rst, "64-bit boot
 * protocol"). PVH: flat 32-bit protected mode, ebx = hvm_start_info. Interrupts off in both.
 */
int vcpu_enter(struct vcpu *vcpu, const struct boot_entry *entry, struct error *err)
{
	struct kvm_sregs sregs = vcpu->saved->sregs;
	struct kvm_regs regs = {
		.rip = entry->rip,
		.rsi = entry->rsi,
		.rbx = entry->rbx,
		.rflags = RFLAGS_FIXED,
	};
	int ret;

	sregs.gdt.base = BOOT_GDT;
	sregs.gdt.limit = BOOT_TS + 8 - 1;
	sregs.idt.base = 0;
	sregs.idt.limit = 0;
	sregs.cs = segment(BOOT_CS, entry->long_mode);
	sregs.ds = sregs.es = sregs.fs = sregs.gs = sregs.ss = segment(BOOT_DS, entry->long_mode);
	sregs.tr = segment(BOOT_TS, entry->long_mode);
	sregs.cr0 = CR0_PE | CR0_ET;
	if (entry->long_mode) {
		sregs.cr0 |= CR0_PG | CR0_WP | CR0_NE;
		sregs.cr4 = CR4_PAE;
		sregs.cr3 = BOOT_PAGE_TABLES;
		sregs.efer = EFER_LME | EFER_LMA;
	}
	ret = VCPU_IOCTL(vcpu, KVM_SET_SREGS, &sregs, err);
	return ret ? ret : VCPU_IOCTL(vcpu, KVM_SET_REGS, &regs, err);
}
