/* SPDX-License-Identifier: Apache-2.0 */
/* KVM's own view of passthrough: it is told of each VFIO file (Documentation/virt/kvm/devices/vfio). */
#include "vmm/vm.h"
#include "base/log.h"

#include <errno.h>
#include <sys/ioctl.h>

void vm_vfio_file(struct bus_host *host, bool add, int fd)
{
	struct vm *vm = vm_of(host);
	struct kvm_create_device create = {.type = KVM_DEV_TYPE_VFIO};
	int32_t file = fd;
	struct kvm_device_attr attr = {
		.group = KVM_DEV_VFIO_GROUP, /* also KVM_DEV_VFIO_FILE since Linux 6.6 */
		.attr = add ? KVM_DEV_VFIO_GROUP_ADD : KVM_DEV_VFIO_GROUP_DEL,
		.addr = (uintptr_t)&file,
	};

	if (vm->vfio_fd < 0 && !ioctl(vm->fd, KVM_CREATE_DEVICE, &create))
		vm->vfio_fd = (int)create.fd;
	if (vm->vfio_fd < 0 || ioctl(vm->vfio_fd, KVM_SET_DEVICE_ATTR, &attr))
		log_info("KVM does not take note of a passed-through device: %s",
			 error_name(errno));
}
