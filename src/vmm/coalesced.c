/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Batched port writes.
 *
 * A write to a registered port (the serial port's data register, PCI's address register) does not
 * leave the kernel: KVM puts it into a ring shared by all vCPUs and lets the guest go on. The ring
 * is emptied here before anything else is done about any exit of any vCPU, and KVM puts writes
 * into it in the order they happen, so every access that is handled finds all earlier batched
 * writes of its own vCPU delivered, and order is as on hardware. When the ring is nearly full KVM
 * exits for the write as usual.
 *
 * Invariant: entries are taken and delivered under ring_lock, first to last, so that two vCPUs
 * which drain at once cannot swap two writes. Only this side moves `first`, only KVM `last`.
 *
 * What sits in the ring while no vCPU exits is delivered by whoever calls vm_coalesced_drain() at
 * intervals (the console's flush timer).
 */
#include "vmm/vm.h"
#include "vmm/vcpu.h"

#include <errno.h>
#include <sys/ioctl.h>
#include <unistd.h>

#ifndef KVM_CAP_COALESCED_PIO
#define KVM_CAP_COALESCED_PIO 162
#endif

int vm_coalesce(struct bus_host *host, bool add, enum bus_space space, uint64_t addr, unsigned len)
{
	struct vm *vm = vm_of(host);
	struct kvm_coalesced_mmio_zone zone = {
		.addr = addr,
		.size = len,
		.pio = space == BUS_PIO,
	};
	int cap = ioctl(vm->kvm_fd, KVM_CHECK_EXTENSION,
			space == BUS_PIO ? KVM_CAP_COALESCED_PIO : KVM_CAP_COALESCED_MMIO);

	if (cap <= 0 || !vm->ring || vm->opts.no_coalesce)
		return -ENOTSUP;
	if (!ioctl(vm->fd, add ? KVM_REGISTER_COALESCED_MMIO : KVM_UNREGISTER_COALESCED_MMIO,
		   &zone))
		return 0;
	return errno == ENOSPC ? -ENOTSUP : -errno;
}

void vm_host_drain(struct bus_host *host)
{
	vm_coalesced_drain(vm_of(host));
}

unsigned vm_coalesced_drain(struct vm *vm)
{
	struct kvm_coalesced_mmio_ring *ring = vm->ring;
	unsigned done = 0;
	uint32_t first;

	if (!ring || READ_ONCE(ring->first) == READ_ONCE(ring->last))
		return 0;
	pthread_mutex_lock(&vm->ring_lock);
	first = ring->first % vm->ring_entries;
	while (first != __atomic_load_n(&ring->last, __ATOMIC_ACQUIRE)) {
		const struct kvm_coalesced_mmio *entry = &ring->coalesced_mmio[first];
		struct bus *bus = entry->pio ? vm->pio : vm->mmio;

		bus_write(bus, entry->phys_addr, entry->data, MIN(entry->len, 8U));
		first = (first + 1) % vm->ring_entries;
		__atomic_store_n(&ring->first, first, __ATOMIC_RELEASE);
		done++;
	}
	vm->batched += done;
	pthread_mutex_unlock(&vm->ring_lock);
	if (done && vm->events.batch_done)
		vm->events.batch_done(vm->events.opaque);
	return done;
}
