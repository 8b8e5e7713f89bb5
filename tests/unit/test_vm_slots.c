/* SPDX-License-Identifier: Apache-2.0 */
#include "unit.h"

#include "vmm/vm.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

/*
 * Memory slots, with a KVM virtual machine that has nothing else, and a guest of a few bytes. Where
 * there is no KVM the tests are skipped.
 */
#define PAGE 4096
#define CODE 0x1000
#define LENT 0x3000

struct bed {
	struct vm vm;
	uint8_t *ram, *page;
	int kvm, file;
};

static int setup(void **state)
{
	struct bed *b = calloc(1, sizeof(*b));
	struct error err;

	*state = b;
	b->kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);
	b->vm.fd = b->kvm < 0 ? -1 : ioctl(b->kvm, KVM_CREATE_VM, 0);
	if (b->vm.fd < 0)
		return 0;
	pthread_mutex_init(&b->vm.slots_lock, NULL);
	assert_int_equal(vm_slots_init(&b->vm, &err), 0);
	b->ram = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	b->file = memfd_create("lent", MFD_CLOEXEC);
	assert_int_equal(ftruncate(b->file, PAGE), 0);
	b->page = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, b->file, 0);
	assert_true(b->ram != MAP_FAILED && b->page != MAP_FAILED);
	return 0;
}

static int teardown(void **state)
{
	struct bed *b = *state;

	if (b->vm.fd >= 0) {
		vm_slots_destroy(&b->vm);
		munmap(b->ram, PAGE);
		munmap(b->page, PAGE);
		close(b->file);
		close(b->vm.fd);
	}
	if (b->kvm >= 0)
		close(b->kvm);
	free(b);
	return 0;
}

#define NEED_KVM(b)                 \
	do {                        \
		if ((b)->vm.fd < 0) \
			skip();     \
	} while (0)

static void test_take_back(void **state)
{
	struct bed *b = *state;
	uint64_t seen = 0, other = 0;

	NEED_KVM(b);
	assert_int_equal(vm_slot_set(&b->vm, CODE, PAGE, b->ram, false, VM_SLOT_DEVICE), 0);
	assert_false(vm_slots_take_back(&b->vm, &seen));
	assert_int_equal(vm_slot_set(&b->vm, LENT, PAGE, b->page, false, VM_SLOT_LENT), 0);
	assert_true(vm_slots_take_back(&b->vm, &seen));
	assert_int_equal(vm_slot_clear(&b->vm, LENT), -ENOENT);
	assert_false(vm_slots_take_back(&b->vm, &seen)); /* nothing was left to take */
	/* Another vCPU, that met the same, tries again too. */
	assert_true(vm_slots_take_back(&b->vm, &other));
	assert_false(vm_slots_take_back(&b->vm, &other));
	/* So does one that was late for what its owner took back. */
	assert_int_equal(vm_slot_set(&b->vm, LENT, PAGE, b->page, false, VM_SLOT_LENT), 0);
	assert_int_equal(vm_slot_clear(&b->vm, LENT), 0);
	assert_true(vm_slots_take_back(&b->vm, &seen));
	/* What else is mapped stays. */
	assert_int_equal(vm_slot_clear(&b->vm, CODE), 0);
}

/* The page under a guest's write is gone: once it is taken back, the write leaves the guest. */
static void test_lent_page_gone(void **state)
{
	/* mov byte [0x3000], 1; mov byte [0x3000], 2; hlt */
	static const uint8_t code[] = {0xc6, 0x06, 0, 0x30, 1, 0xc6, 0x06, 0, 0x30, 2, 0xf4};
	struct bed *b = *state;
	struct kvm_regs regs = {.rip = CODE, .rflags = 2};
	struct kvm_sregs sregs;
	struct kvm_run *run;
	uint64_t seen = 0;
	int vcpu, size;

	NEED_KVM(b);
	memcpy(b->ram, code, sizeof(code));
	assert_int_equal(vm_slot_set(&b->vm, CODE, PAGE, b->ram, false, VM_SLOT_DEVICE), 0);
	assert_int_equal(vm_slot_set(&b->vm, LENT, PAGE, b->page, false, VM_SLOT_LENT), 0);
	vcpu = ioctl(b->vm.fd, KVM_CREATE_VCPU, 0);
	assert_true(vcpu >= 0);
	size = ioctl(b->kvm, KVM_GET_VCPU_MMAP_SIZE, 0);
	run = mmap(NULL, (size_t)size, PROT_READ | PROT_WRITE, MAP_SHARED, vcpu, 0);
	assert_true(run != MAP_FAILED);
	assert_int_equal(ioctl(vcpu, KVM_GET_SREGS, &sregs), 0);
	sregs.cs.base = sregs.ds.base = 0;
	sregs.cs.selector = sregs.ds.selector = 0;
	assert_int_equal(ioctl(vcpu, KVM_SET_SREGS, &sregs), 0);
	assert_int_equal(ioctl(vcpu, KVM_SET_REGS, &regs), 0);

	assert_int_equal(ftruncate(b->file, 0), 0);
	for (unsigned value = 1; value <= 2; value++) {
		int rc = ioctl(vcpu, KVM_RUN, 0);

		/* As Linux' KVM says it; one that is itself emulated may let the write out at once. */
		if (rc < 0 && value == 1) {
			assert_int_equal(errno, EFAULT);
			assert_true(vm_slots_take_back(&b->vm, &seen));
			rc = ioctl(vcpu, KVM_RUN, 0);
		}
		assert_int_equal(rc, 0);
		assert_int_equal(run->exit_reason, KVM_EXIT_MMIO);
		assert_int_equal(run->mmio.phys_addr, LENT);
		assert_true(run->mmio.is_write);
		assert_int_equal(run->mmio.data[0], value);
	}
	assert_int_equal(ioctl(vcpu, KVM_RUN, 0), 0);
	assert_int_equal(run->exit_reason, KVM_EXIT_HLT);
	munmap(run, (size_t)size);
	close(vcpu);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_take_back, setup, teardown),
		cmocka_unit_test_setup_teardown(test_lent_page_gone, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
