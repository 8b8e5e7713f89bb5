/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Memory slots: the guest's RAM follows the memory table (mem/guest_mem.h) through a listener;
 * devices map further host memory (passthrough BARs, doorbells) beside it. A slot's number is its
 * index here.
 */
#include "vmm/vm.h"
#include "base/log.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/ioctl.h>

#define SLOTS_MAX 512

int vm_slots_init(struct vm *vm, struct error *err)
{
	int n = ioctl(vm->fd, KVM_CHECK_EXTENSION, KVM_CAP_NR_MEMSLOTS);

	vm->nslots = n > 0 ? MIN((unsigned)n, SLOTS_MAX) : 32; /* the API's stated default */
	vm->slots = calloc(vm->nslots, sizeof(*vm->slots));
	return vm->slots ? 0 : error_set(err, -ENOMEM, "out of memory");
}

void vm_slots_destroy(struct vm *vm)
{
	free(vm->slots);
	vm->slots = NULL;
}

static int slot_tell_kvm(struct vm *vm, unsigned index, uint64_t size)
{
	const struct vm_slot *slot = &vm->slots[index];
	struct kvm_userspace_memory_region region = {
		.slot = index,
		.flags = size ? slot->flags : 0,
		.guest_phys_addr = slot->gpa,
		.memory_size = size,
		.userspace_addr = (uintptr_t)slot->hva,
	};

	return ioctl(vm->fd, KVM_SET_USER_MEMORY_REGION, &region) ? -errno : 0;
}

/* slots_lock is held. */
static int slot_drop(struct vm *vm, unsigned index)
{
	int ret = slot_tell_kvm(vm, index, 0);

	if (ret)
		return ret;
	vm->slots[index].used = false;
	vm->taken_back += vm->slots[index].kind == VM_SLOT_LENT;
	return 0;
}

int vm_slot_set(struct vm *vm, uint64_t gpa, uint64_t size, void *hva, bool readonly,
		enum vm_slot_kind kind)
{
	unsigned i;
	int ret;

	pthread_mutex_lock(&vm->slots_lock);
	for (i = 0; i < vm->nslots && vm->slots[i].used; i++)
		;
	if (i == vm->nslots) {
		ret = -ENOSPC;
	} else {
		vm->slots[i] = (struct vm_slot){
			.gpa = gpa,
			.size = size,
			.hva = hva,
			.flags = readonly ? KVM_MEM_READONLY : 0,
			.kind = kind,
		};
		ret = slot_tell_kvm(vm, i, size);
		vm->slots[i].used = !ret;
	}
	pthread_mutex_unlock(&vm->slots_lock);
	return ret;
}

int vm_slot_clear(struct vm *vm, uint64_t gpa)
{
	int ret = -ENOENT;

	pthread_mutex_lock(&vm->slots_lock);
	for (unsigned i = 0; i < vm->nslots; i++) {
		if (!vm->slots[i].used || vm->slots[i].gpa != gpa)
			continue;
		ret = slot_drop(vm, i);
		break;
	}
	pthread_mutex_unlock(&vm->slots_lock);
	return ret;
}

bool vm_slots_take_back(struct vm *vm, uint64_t *seen)
{
	bool again;

	pthread_mutex_lock(&vm->slots_lock);
	for (unsigned i = 0; i < vm->nslots; i++) {
		if (!vm->slots[i].used || vm->slots[i].kind != VM_SLOT_LENT)
			continue;
		log_warn_limited("memory that the guest was lent at %#llx is gone: it does without",
				 (unsigned long long)vm->slots[i].gpa);
		slot_drop(vm, i);
	}
	again = *seen != vm->taken_back;
	*seen = vm->taken_back;
	pthread_mutex_unlock(&vm->slots_lock);
	return again;
}

static int slots_changed(struct mem_listener *listener, const struct mem_table *old,
			 const struct mem_table *table, struct error *err)
{
	struct vm *vm = listener->opaque;
	int ret = 0;

	for (unsigned i = 0; old && i < old->count; i++) {
		if (!mem_table_has(table, &old->regions[i]))
			vm_slot_clear(vm, old->regions[i].gpa);
	}
	for (unsigned i = 0; !ret && i < table->count; i++) {
		const struct mem_region *r = &table->regions[i];

		if (mem_table_has(old, r))
			continue;
		ret = vm_slot_set(vm, r->gpa, r->size, r->hva, r->readonly, VM_SLOT_RAM);
		if (ret)
			error_set(err, ret, "KVM refuses %llu MiB of memory at %#llx: %s",
				  (unsigned long long)(r->size >> 20), (unsigned long long)r->gpa,
				  error_name(ret));
	}
	return ret;
}

int vm_set_memory(struct vm *vm, struct guest_mem *gm, struct error *err)
{
	int ret;

	vm->mem_listener.name = "kvm";
	vm->mem_listener.changed = slots_changed;
	vm->mem_listener.opaque = vm;
	ret = guest_mem_listen(gm, &vm->mem_listener, err);
	if (!ret)
		vm->mem = gm;
	return ret;
}

int vm_peek(struct vm *vm, uint64_t gpa, void *buf, size_t len)
{
	return vm->mem ? mem_read(guest_mem_table(vm->mem), gpa, buf, len) : -EFAULT;
}
