/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Opening /dev/kvm and making a virtual machine, with a message for each way in which that is
 * known to fail. The interrupt controllers (PIC, IOAPIC, local APICs) and the timer (PIT) are the
 * kernel's own, so that neither costs an exit to this process.
 */
#include "vmm/vm.h"
#include "vmm/hw.h"
#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#define KVM_PATH "/dev/kvm"

static const struct {
	int cap;
	const char *name;
	const char *what;
} kvm_needs[] = {
	{KVM_CAP_IRQCHIP, "KVM_CAP_IRQCHIP", "interrupt controllers in the kernel"},
	{KVM_CAP_USER_MEMORY, "KVM_CAP_USER_MEMORY", "guest memory from this process"},
	{KVM_CAP_SET_TSS_ADDR, "KVM_CAP_SET_TSS_ADDR", "placing the real-mode task state"},
	{KVM_CAP_PIT2, "KVM_CAP_PIT2", "the interval timer in the kernel"},
	{KVM_CAP_IRQ_ROUTING, "KVM_CAP_IRQ_ROUTING", "routes for message-signalled interrupts"},
	{KVM_CAP_SIGNAL_MSI, "KVM_CAP_SIGNAL_MSI", "message-signalled interrupts"},
	{KVM_CAP_EXT_CPUID, "KVM_CAP_EXT_CPUID", "stating the guest's CPUID"},
	{KVM_CAP_MP_STATE, "KVM_CAP_MP_STATE", "starting further vCPUs"},
	{KVM_CAP_IMMEDIATE_EXIT, "KVM_CAP_IMMEDIATE_EXIT", "stopping a vCPU without a race"},
};

/* The kernel's state of the chips right after they were made: what a reset goes back to. */
struct vm_saved_chips {
	struct kvm_irqchip chips[3];
	struct kvm_pit_state2 pit;
};

static bool cpu_has_virtualization(void)
{
	char line[4096];
	bool found = false;
	FILE *f = fopen("/proc/cpuinfo", "re");

	if (!f)
		return false;
	while (!found && fgets(line, sizeof(line), f))
		found = !strncmp(line, "flags", 5) &&
			(strstr(line, " vmx") || strstr(line, " svm"));
	fclose(f);
	return found;
}

static int kvm_open(struct error *err)
{
	int fd = open(KVM_PATH, O_RDWR | O_CLOEXEC);
	int code = -errno;

	if (fd >= 0)
		return fd;
	switch (code) {
	case -ENOENT:
	case -ENXIO:
	case -ENODEV:
		if (!cpu_has_virtualization())
			return error_set(err, code,
					 KVM_PATH ": %s: this CPU shows neither vmx nor svm in "
						  "/proc/cpuinfo; enable virtualization in the "
						  "firmware setup, or nesting in the hypervisor "
						  "that this host runs in",
					 error_name(code));
		return error_set(err, code,
				 KVM_PATH ": %s: load the module: modprobe kvm_intel or "
					  "modprobe kvm_amd",
				 error_name(code));
	case -EACCES:
	case -EPERM:
		return error_set(err, code,
				 KVM_PATH ": permission denied: run as root, or as a user in the "
					  "group that owns it (usually kvm: adduser USER kvm)");
	default:
		return error_set(err, code, KVM_PATH ": cannot open: %s", error_name(code));
	}
}

static int kvm_check(int kvm, struct error *err)
{
	int version = ioctl(kvm, KVM_GET_API_VERSION, 0);

	if (version < 0)
		return error_set(err, -ENOTTY, KVM_PATH ": this is not KVM's device: %s",
				 error_name(errno));
	if (version != KVM_API_VERSION)
		return error_set(err, -ENOTSUP,
				 KVM_PATH ": it speaks API version %d, this program version %d",
				 version, KVM_API_VERSION);
	for (size_t i = 0; i < ARRAY_SIZE(kvm_needs); i++) {
		if (ioctl(kvm, KVM_CHECK_EXTENSION, kvm_needs[i].cap) > 0)
			continue;
		return error_set(err, -ENOTSUP,
				 KVM_PATH ": this KVM lacks %s (%s): a newer kernel is needed",
				 kvm_needs[i].name, kvm_needs[i].what);
	}
	return 0;
}

int vm_probe(struct error *err)
{
	int kvm = kvm_open(err);
	int ret;

	if (kvm < 0)
		return kvm;
	ret = kvm_check(kvm, err);
	close(kvm);
	return ret;
}

static int vm_check_cpus(struct vm *vm, struct error *err)
{
	int max = ioctl(vm->kvm_fd, KVM_CHECK_EXTENSION, KVM_CAP_MAX_VCPUS);
	int good = ioctl(vm->kvm_fd, KVM_CHECK_EXTENSION, KVM_CAP_NR_VCPUS);

	if (max <= 0)
		max = good > 0 ? good : 4; /* the API's stated default */
	if (vm->opts.cpus > (unsigned)max)
		return error_set(err, -ENOTSUP,
				 KVM_PATH ": %u vCPUs are more than this KVM can run (%d)",
				 vm->opts.cpus, max);
	if (good > 0 && vm->opts.cpus > (unsigned)good)
		log_info("%u vCPUs on a host that recommends %d at most: the guest will be slower",
			 vm->opts.cpus, good);
	return 0;
}

static int vm_open(struct vm *vm, struct error *err)
{
	int ret;

	vm->kvm_fd = kvm_open(err);
	if (vm->kvm_fd < 0)
		return vm->kvm_fd;
	ret = kvm_check(vm->kvm_fd, err);
	if (!ret)
		ret = vm_check_cpus(vm, err);
	if (ret)
		return ret;
	/* The call can be interrupted while the kernel allocates. */
	do {
		vm->fd = ioctl(vm->kvm_fd, KVM_CREATE_VM, 0);
	} while (vm->fd < 0 && errno == EINTR);
	if (vm->fd < 0)
		return error_set(err, -errno, KVM_PATH ": cannot create a virtual machine: %s%s",
				 error_name(errno),
				 errno == EBUSY ? " (another hypervisor has the CPU)" : "");
	ret = ioctl(vm->kvm_fd, KVM_GET_VCPU_MMAP_SIZE, 0);
	if (ret < (int)sizeof(struct kvm_run))
		return error_set(err, -EPROTO, KVM_PATH ": vCPU area of %d bytes makes no sense",
				 ret);
	vm->run_size = (size_t)ret;
	return 0;
}

static int vm_save_chips(struct vm *vm, struct error *err)
{
	struct vm_saved_chips *saved = calloc(1, sizeof(*saved));

	if (!saved)
		return error_set(err, -ENOMEM, "out of memory");
	vm->saved_chips = saved;
	for (unsigned i = 0; i < ARRAY_SIZE(saved->chips); i++) {
		saved->chips[i].chip_id = i; /* PIC master, PIC slave, IOAPIC */
		if (ioctl(vm->fd, KVM_GET_IRQCHIP, &saved->chips[i]))
			goto fail;
	}
	if (ioctl(vm->fd, KVM_GET_PIT2, &saved->pit))
		goto fail;
	return 0;
fail:
	return error_set(err, -errno, KVM_PATH ": cannot read the interrupt controllers: %s",
			 error_name(errno));
}

int vm_reset_chips(struct vm *vm)
{
	struct vm_saved_chips *saved = vm->saved_chips;

	for (unsigned i = 0; i < ARRAY_SIZE(saved->chips); i++) {
		struct kvm_irqchip chip = saved->chips[i];

		if (ioctl(vm->fd, KVM_SET_IRQCHIP, &chip))
			return -errno;
	}
	return ioctl(vm->fd, KVM_SET_PIT2, &saved->pit) ? -errno : 0;
}

static int vm_make_chips(struct vm *vm, struct error *err)
{
	struct kvm_pit_config pit = {.flags = KVM_PIT_SPEAKER_DUMMY};
	uint64_t identity = HW_IDENTITY_PG;

	/* Intel's real mode without "unrestricted guest" needs both; elsewhere they do nothing. */
	if (ioctl(vm->fd, KVM_SET_IDENTITY_MAP_ADDR, &identity) && errno != ENOTTY &&
	    errno != EINVAL)
		return error_set(err, -errno, KVM_PATH ": KVM_SET_IDENTITY_MAP_ADDR: %s",
				 error_name(errno));
	if (ioctl(vm->fd, KVM_SET_TSS_ADDR, HW_TSS_BASE))
		return error_set(err, -errno, KVM_PATH ": KVM_SET_TSS_ADDR: %s", error_name(errno));
	if (ioctl(vm->fd, KVM_CREATE_IRQCHIP, 0))
		return error_set(err, -errno,
				 KVM_PATH ": cannot create the interrupt controllers: %s",
				 error_name(errno));
	if (ioctl(vm->fd, KVM_CREATE_PIT2, &pit))
		return error_set(err, -errno, KVM_PATH ": cannot create the interval timer: %s",
				 error_name(errno));
	return vm_save_chips(vm, err);
}

static uint8_t cpuid_phys_bits(const struct kvm_cpuid2 *cpuid)
{
	for (unsigned i = 0; i < cpuid->nent; i++) {
		if (cpuid->entries[i].function == 0x80000008 && (cpuid->entries[i].eax & 0xff))
			return (uint8_t)cpuid->entries[i].eax;
	}
	return 36;
}

int vm_create(const struct vm_options *opts, struct loop *loop, struct vm **out, struct error *err)
{
	struct vm *vm = calloc(1, sizeof(*vm));
	int ret;

	if (!vm)
		return error_set(err, -ENOMEM, "out of memory");
	vm->host.ops = &vm_host_ops;
	vm->host.loop = loop;
	vm->opts = *opts;
	vm->kvm_fd = vm->fd = vm->vfio_fd = -1;
	pthread_mutex_init(&vm->slots_lock, NULL);
	pthread_mutex_init(&vm->routes_lock, NULL);
	pthread_mutex_init(&vm->ring_lock, NULL);
	pthread_mutex_init(&vm->gate.lock, NULL);
	pthread_cond_init(&vm->gate.changed, NULL);
	vm->gate.closed = 1;
	ret = vm_open(vm, err);
	if (!ret)
		ret = vm_make_chips(vm, err);
	if (!ret)
		ret = vm_slots_init(vm, err);
	if (!ret)
		ret = vm_irq_init(vm, err);
	if (!ret)
		ret = vm_cpuid_supported(vm->kvm_fd, &vm->cpuid, err);
	if (!ret) {
		vm->phys_bits = cpuid_phys_bits(vm->cpuid);
		vm->pio = bus_create("port", err);
		vm->mmio = vm->pio ? bus_create("memory", err) : NULL;
		ret = vm->mmio ? 0 : -ENOMEM;
	}
	if (ret) {
		vm_destroy(vm);
		return ret;
	}
	*out = vm;
	return 0;
}

void vm_destroy(struct vm *vm)
{
	if (!vm)
		return;
	if (vm->mem)
		guest_mem_unlisten(vm->mem, &vm->mem_listener);
	if (vm->mmio)
		bus_destroy(vm->mmio);
	if (vm->pio)
		bus_destroy(vm->pio);
	vm_irq_destroy(vm);
	vm_slots_destroy(vm);
	if (vm->vfio_fd >= 0)
		close(vm->vfio_fd);
	if (vm->fd >= 0)
		close(vm->fd);
	if (vm->kvm_fd >= 0)
		close(vm->kvm_fd);
	pthread_mutex_destroy(&vm->slots_lock);
	pthread_mutex_destroy(&vm->routes_lock);
	pthread_mutex_destroy(&vm->ring_lock);
	pthread_mutex_destroy(&vm->gate.lock);
	pthread_cond_destroy(&vm->gate.changed);
	free(vm->cpuid);
	free(vm->saved_chips);
	free(vm);
}
