/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/vm.h"

#include <errno.h>
#include <sys/ioctl.h>

static int assign(struct bus_host *host, bool add, struct kvm_ioeventfd *io, enum bus_space space)
{
	struct vm *vm = vm_of(host);

	io->flags |= (add ? 0 : KVM_IOEVENTFD_FLAG_DEASSIGN) |
		     (space == BUS_PIO ? KVM_IOEVENTFD_FLAG_PIO : 0);
	if (vm->opts.no_ioeventfd)
		return -ENOTSUP;
	if (!ioctl(vm->fd, KVM_IOEVENTFD, io))
		return 0;
	/* EINVAL: a length this KVM does not know; ENOSPC: its bus has no room for more. */
	if (add && (errno == EINVAL || errno == ENOSPC || errno == ENOTTY || errno == ENOSYS))
		return -ENOTSUP;
	return -errno;
}

int vm_ioeventfd(struct bus_host *host, bool add, enum bus_space space, uint64_t addr, unsigned len,
		 int eventfd)
{
	struct kvm_ioeventfd io = {.addr = addr, .len = len, .fd = eventfd};

	return assign(host, add, &io, space);
}

static int host_ioeventfd_value(struct bus_host *host, bool add, enum bus_space space,
				uint64_t addr, unsigned len, uint64_t value, int eventfd)
{
	struct kvm_ioeventfd io = {.addr = addr,
				   .len = len,
				   .fd = eventfd,
				   .datamatch = value,
				   .flags = KVM_IOEVENTFD_FLAG_DATAMATCH};

	return assign(host, add, &io, space);
}

static int host_map_memory(struct bus_host *host, uint64_t gpa, uint64_t size, void *hva,
			   bool readonly)
{
	return vm_slot_set(vm_of(host), gpa, size, hva, readonly, VM_SLOT_DEVICE);
}

static int host_lend_memory(struct bus_host *host, uint64_t gpa, uint64_t size, void *hva)
{
	return vm_slot_set(vm_of(host), gpa, size, hva, false, VM_SLOT_LENT);
}

static int host_unmap_memory(struct bus_host *host, uint64_t gpa)
{
	return vm_slot_clear(vm_of(host), gpa);
}

const struct bus_host_ops vm_host_ops = {
	.msi_send = vm_msi_send,
	.irqfd_attach = vm_irqfd_attach,
	.irqfd_update = vm_irqfd_update,
	.irqfd_detach = vm_irqfd_detach,
	.irq_line = vm_irq_line,
	.irqfd_line = vm_irqfd_line,
	.ioeventfd = vm_ioeventfd,
	.ioeventfd_value = host_ioeventfd_value,
	.coalesce = vm_coalesce,
	.coalesce_drain = vm_host_drain,
	.map_memory = host_map_memory,
	.unmap_memory = host_unmap_memory,
	.lend_memory = host_lend_memory,
	.vfio_file = vm_vfio_file,
};
