/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Interrupts into the guest.
 *
 * KVM takes one table that says where each global system interrupt (GSI) goes, and takes it only
 * whole. GSIs 0..15 go to the PIC and to the IOAPIC, 16..23 to the IOAPIC only (GSI 0, the timer,
 * to IOAPIC pin 2, as the MADT's override says); from VM_GSI_FIRST_MSI on each is one message
 * that an irqfd injects. A handle given to a device is such a GSI.
 *
 * Invariant: a GSI is marked used before it is in KVM's table and until no irqfd refers to it, all
 * under routes_lock, so that two devices never share one. Freed GSIs stay in KVM's table until it
 * is next written; nothing can raise them.
 */
#include "vmm/vm.h"
#include "base/log.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/ioctl.h>

#define PIC_PINS    16
#define IOAPIC_PINS VM_GSI_FIRST_MSI

void vm_irq_destroy(struct vm *vm)
{
	free(vm->routes);
	vm->routes = NULL;
}

static void route_pin(struct kvm_irq_routing *table, unsigned gsi, unsigned chip, unsigned pin)
{
	table->entries[table->nr++] = (struct kvm_irq_routing_entry){
		.gsi = gsi,
		.type = KVM_IRQ_ROUTING_IRQCHIP,
		.u.irqchip = {.irqchip = chip, .pin = pin},
	};
}

static void route_pins(struct kvm_irq_routing *table)
{
	for (unsigned gsi = 0; gsi < PIC_PINS; gsi++) {
		/* Pin 2 of the master PIC is where the slave is connected. */
		if (gsi != 2)
			route_pin(table, gsi,
				  gsi < 8 ? KVM_IRQCHIP_PIC_MASTER : KVM_IRQCHIP_PIC_SLAVE,
				  gsi % 8);
	}
	for (unsigned gsi = 0; gsi < IOAPIC_PINS; gsi++) {
		if (gsi != 2)
			route_pin(table, gsi, KVM_IRQCHIP_IOAPIC, gsi ? gsi : 2);
	}
}

/* Writes the whole table; routes_lock is held. */
static int routes_commit(struct vm *vm)
{
	size_t max = PIC_PINS + IOAPIC_PINS + vm->nroutes;
	struct kvm_irq_routing *table = calloc(1, sizeof(*table) + max * sizeof(table->entries[0]));
	int ret;

	if (!table)
		return -ENOMEM;
	route_pins(table);
	for (unsigned i = 0; i < vm->nroutes; i++) {
		const struct vm_route *route = &vm->routes[i];

		if (!route->used)
			continue;
		table->entries[table->nr++] = (struct kvm_irq_routing_entry){
			.gsi = VM_GSI_FIRST_MSI + i,
			.type = KVM_IRQ_ROUTING_MSI,
			.u.msi = {.address_lo = (uint32_t)route->msg.addr,
				  .address_hi = (uint32_t)(route->msg.addr >> 32),
				  .data = route->msg.data},
		};
	}
	ret = ioctl(vm->fd, KVM_SET_GSI_ROUTING, table) ? -errno : 0;
	free(table);
	return ret;
}

int vm_irq_init(struct vm *vm, struct error *err)
{
	int max = ioctl(vm->fd, KVM_CHECK_EXTENSION, KVM_CAP_IRQ_ROUTING);
	int ret;

	if (max <= VM_GSI_FIRST_MSI)
		max = 1024;
	vm->max_routes = MIN((unsigned)max, VM_GSI_MAX) - VM_GSI_FIRST_MSI;
	ret = routes_commit(vm);
	if (ret)
		return error_set(err, ret, "KVM refuses the interrupt routes: %s", error_name(ret));
	return 0;
}

/* Finds or makes a free route; routes_lock is held. */
static int route_alloc(struct vm *vm)
{
	struct vm_route *routes;
	unsigned grown;

	for (unsigned i = 0; i < vm->nroutes; i++) {
		if (!vm->routes[i].used)
			return (int)i;
	}
	if (vm->nroutes == vm->max_routes)
		return -ENOSPC;
	grown = MIN(MAX(vm->nroutes * 2, 16U), vm->max_routes);
	routes = realloc(vm->routes, grown * sizeof(*routes));
	if (!routes)
		return -ENOMEM;
	memset(routes + vm->nroutes, 0, (grown - vm->nroutes) * sizeof(*routes));
	vm->routes = routes;
	vm->nroutes = grown;
	return route_alloc(vm);
}

static int irqfd_ioctl(struct vm *vm, int eventfd, unsigned gsi, unsigned flags)
{
	struct kvm_irqfd irqfd = {.fd = (uint32_t)eventfd, .gsi = gsi, .flags = flags};

	return ioctl(vm->fd, KVM_IRQFD, &irqfd) ? -errno : 0;
}

int vm_irqfd_attach(struct bus_host *host, int eventfd, const struct msi_msg *msg, unsigned *handle)
{
	struct vm *vm = vm_of(host);
	int i, ret;

	if (vm->opts.no_irqfd)
		return -ENOTSUP;
	pthread_mutex_lock(&vm->routes_lock);
	i = ret = route_alloc(vm);
	if (i >= 0) {
		vm->routes[i] = (struct vm_route){.msg = *msg, .used = true};
		ret = routes_commit(vm);
		if (!ret)
			ret = irqfd_ioctl(vm, eventfd, VM_GSI_FIRST_MSI + (unsigned)i, 0);
		vm->routes[i].used = !ret;
	}
	pthread_mutex_unlock(&vm->routes_lock);
	if (ret == -ENOTTY || ret == -ENOSYS || ret == -ENOSPC)
		return -ENOTSUP;
	if (!ret)
		*handle = VM_GSI_FIRST_MSI + (unsigned)i;
	return ret;
}

int vm_irqfd_update(struct bus_host *host, unsigned handle, const struct msi_msg *msg)
{
	struct vm *vm = vm_of(host);
	struct vm_route *route;
	int ret = -EINVAL;

	pthread_mutex_lock(&vm->routes_lock);
	if (handle >= VM_GSI_FIRST_MSI && handle - VM_GSI_FIRST_MSI < vm->nroutes) {
		route = &vm->routes[handle - VM_GSI_FIRST_MSI];
		ret = 0;
		if (route->msg.addr != msg->addr || route->msg.data != msg->data) {
			route->msg = *msg;
			ret = routes_commit(vm);
		}
	}
	pthread_mutex_unlock(&vm->routes_lock);
	return ret;
}

void vm_irqfd_detach(struct bus_host *host, int eventfd, unsigned handle)
{
	struct vm *vm = vm_of(host);
	int ret;

	pthread_mutex_lock(&vm->routes_lock);
	ret = irqfd_ioctl(vm, eventfd, handle, KVM_IRQFD_FLAG_DEASSIGN);
	if (handle >= VM_GSI_FIRST_MSI && handle - VM_GSI_FIRST_MSI < vm->nroutes)
		vm->routes[handle - VM_GSI_FIRST_MSI].used = false;
	pthread_mutex_unlock(&vm->routes_lock);
	if (ret)
		log_error("irqfd: cannot detach eventfd %d from interrupt %u: %s", eventfd, handle,
			  error_name(ret));
}

int vm_msi_send(struct bus_host *host, const struct msi_msg *msg)
{
	struct kvm_msi msi = {
		.address_lo = (uint32_t)msg->addr,
		.address_hi = (uint32_t)(msg->addr >> 32),
		.data = msg->data,
	};

	/* 0 means that the guest had it blocked: not an error of ours. */
	return ioctl(vm_of(host)->fd, KVM_SIGNAL_MSI, &msi) < 0 ? -errno : 0;
}

void vm_irq_line(struct bus_host *host, unsigned gsi, bool level)
{
	struct kvm_irq_level irq = {.irq = gsi, .level = level};

	if (ioctl(vm_of(host)->fd, KVM_IRQ_LINE, &irq))
		log_warn_limited("interrupt line %u: %s", gsi, error_name(errno));
}

int vm_irqfd_line(struct bus_host *host, bool add, unsigned gsi, int eventfd, int resample)
{
	struct vm *vm = vm_of(host);
	struct kvm_irqfd irqfd = {
		.fd = (uint32_t)eventfd,
		.gsi = gsi,
		.flags = add ? KVM_IRQFD_FLAG_RESAMPLE : KVM_IRQFD_FLAG_DEASSIGN,
		.resamplefd = (uint32_t)resample,
	};

	if (vm->opts.no_irqfd || ioctl(vm->fd, KVM_CHECK_EXTENSION, KVM_CAP_IRQFD_RESAMPLE) <= 0)
		return -ENOTSUP;
	return ioctl(vm->fd, KVM_IRQFD, &irqfd) ? -errno : 0;
}
