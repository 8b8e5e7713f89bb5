/* SPDX-License-Identifier: Apache-2.0 */
/* Opening devices, groups, containers and iommufd; guest memory in the IOMMU; what goes wrong. */
#include "unit.h"

#include "fake_vfio.h"
#include "vfio/iommu.h"

#include <errno.h>
#include <stdio.h>

#define VF0 "0000:01:10.0"
#define VF1 "0000:01:10.2"
#define PF  "0000:01:00.0"

static struct guest_mem *mem;
static int tracked, untracked;

static void track_file(void *opaque, bool add, int fd)
{
	*(add ? &tracked : &untracked) += 1;
}

static const struct vfio_track track = {.file = track_file};

static int setup(void **state)
{
	struct error err;

	fake_vfio_init();
	tracked = untracked = 0;
	mem = guest_mem_create(&err);
	return guest_mem_add_ram(mem, "low", 0, 4 * MIB, NULL, &err);
}

static int teardown(void **state)
{
	assert_int_equal(tracked, untracked);
	guest_mem_destroy(mem);
	fake_vfio_fini();
	return 0;
}

static int open_dev(struct vfio_device *dev, const char *addr, struct error *err)
{
	return vfio_device_open(dev, &fake_vfio_sys, addr, mem, &track, err);
}

static void refuses(const char *addr, const char *part)
{
	struct vfio_device dev;
	struct error err = {0};

	assert_true(open_dev(&dev, addr, &err) < 0);
	assert_text(err, part);
	assert_int_equal(fake_vfio.open_files, 0);
}

static void test_parse(void **state)
{
	char addr[HOSTPCI_ADDR_LEN];
	static const char *const bad[] = {
		"",	   "01:10",  "0000:01:20.0", "0000:01:10.8", "0000-01:10.0", "00000:1:10.0",
		"xx:10.0", "01:1g.0"};
	struct error err;

	assert_int_equal(hostpci_parse("0000:01:10.0", addr, &err), 0);
	assert_string_equal(addr, VF0);
	assert_int_equal(hostpci_parse("AB:1F.7", addr, &err), 0);
	assert_string_equal(addr, "0000:ab:1f.7");
	for (unsigned i = 0; i < ARRAY_SIZE(bad); i++) {
		assert_int_equal(hostpci_parse(bad[i], addr, &err), -EINVAL);
		assert_text(err, "is no PCI address");
	}
}

/* What both ways to the IOMMU do alike. */
static void lifecycle(const char *addr)
{
	struct vfio_device dev;
	struct error err = {0};
	const struct fake_vfio_map *m;

	assert_int_equal(open_dev(&dev, addr, &err), 0);
	m = fake_vfio_mapped(0);
	assert_non_null(m);
	assert_int_equal(m->size, 4 * MIB);
	assert_true(m->write);
	assert_int_equal(m->vaddr, (uintptr_t)guest_mem_table(mem)->regions[0].hva);
	/* It follows the memory. */
	assert_int_equal(guest_mem_add_ram(mem, "more", 16 * MIB, 2 * MIB, NULL, &err), 0);
	assert_non_null(fake_vfio_mapped(16 * MIB));
	assert_int_equal(guest_mem_remove_ram(mem, 16 * MIB, &err), 0);
	assert_null(fake_vfio_mapped(16 * MIB));
	/* A change that the IOMMU refuses is none. */
	fake_vfio.map_error = -ENOSPC;
	assert_int_equal(guest_mem_add_ram(mem, "more", 16 * MIB, 2 * MIB, NULL, &err), -ENOSPC);
	assert_text(err, "IOMMU");
	fake_vfio.map_error = 0;
	assert_non_null(fake_vfio_mapped(0));
	assert_int_equal(guest_mem_table(mem)->count, 1);
	vfio_device_close(&dev);
	assert_int_equal(fake_vfio.open_files, 0);
	assert_null(fake_vfio_mapped(0));
	assert_int_equal(tracked, 1);
}

static void test_type1(void **state)
{
	fake_vfio_add(VF0, FAKE_VF, 7);
	lifecycle(VF0);
}

static void test_iommufd(void **state)
{
	fake_vfio_add(VF0, FAKE_VF, 7);
	fake_vfio.iommufd = true;
	lifecycle(VF0);
}

/* The host has it, but it is not wanted. */
static void test_no_iommufd(void **state)
{
	struct vfio_device dev;
	struct error err = {0};

	fake_vfio_add(VF0, FAKE_VF, 7);
	fake_vfio.iommufd = true;
	vfio_iommufd_allow(false);
	assert_int_equal(open_dev(&dev, VF0, &err), 0);
	assert_ptr_equal(dev.iommu->ops, &vfio_type1_ops);
	assert_non_null(fake_vfio_mapped(0));
	vfio_device_close(&dev);
	vfio_iommufd_allow(true);
	assert_int_equal(open_dev(&dev, VF0, &err), 0);
	assert_ptr_equal(dev.iommu->ops, &vfio_iommufd_ops);
	vfio_device_close(&dev);
}

/* Devices of one guest share the address space, and those of one group its file. */
static void several(bool iommufd)
{
	struct vfio_device a, b, c;
	struct error err = {0};

	fake_vfio.iommufd = iommufd;
	fake_vfio_add(VF0, FAKE_VF, 7);
	fake_vfio_add(VF1, FAKE_VF, 8);
	fake_vfio_add(PF, FAKE_PF, 8);
	assert_int_equal(open_dev(&a, VF0, &err), 0);
	assert_int_equal(open_dev(&b, VF1, &err), 0);
	assert_int_equal(open_dev(&c, PF, &err), 0);
	assert_ptr_equal(a.iommu, b.iommu);
	assert_ptr_equal(a.iommu, c.iommu);
	assert_int_equal(tracked, iommufd ? 3 : 2);
	vfio_device_close(&a);
	vfio_device_close(&c);
	assert_non_null(fake_vfio_mapped(0));
	assert_int_equal(open_dev(&a, VF0, &err), 0);
	vfio_device_close(&b);
	assert_non_null(fake_vfio_mapped(0));
	vfio_device_close(&a);
	assert_null(fake_vfio_mapped(0));
}

static void test_several_type1(void **state)
{
	several(false);
}

static void test_several_iommufd(void **state)
{
	several(true);
}

static void test_errors(void **state)
{
	char link[64];

	refuses(VF0, "this host has no PCI device " VF0);
	fake_vfio_add(VF0, FAKE_VF, 7);
	fake_vfio.busy = true;
	refuses(VF0, "is in use: another process has IOMMU group 7 open");
	fake_vfio.busy = false;
	fake_vfio.not_viable = true;
	refuses(VF0, "shares IOMMU group 7 with devices that the host uses");
	fake_vfio.iommufd = true;
	refuses(VF0, "shares IOMMU group 7 with devices that the host uses");
	fake_vfio.iommufd = fake_vfio.not_viable = false;
	fake_vfio.map_error = -EINVAL;
	refuses(VF0, "beyond its address width");
	fake_vfio.map_error = -EPERM;
	refuses(VF0, "refuses 4 MiB of guest memory");
	fake_vfio.map_error = 0;
	snprintf(link, sizeof(link), "bus/pci/devices/%s/driver", VF0);
	fake_vfio_link(link, "../../../bus/pci/drivers/igbvf");
	refuses(VF0, "is bound to igbvf: bind it to vfio-pci (viaductctl sriov bind " VF0 ")");
	fake_vfio_link(link, "../../../bus/pci/drivers/vfio-pci");
	snprintf(link, sizeof(link), "bus/pci/devices/%s/iommu_group", VF0);
	fake_vfio_link(link, "nothing");
	refuses(VF0, "is in no IOMMU group");
	fake_vfio_file("bus/pci/devices/" VF0 "/class", "0x060400\n");
	refuses(VF0, "is a bridge");
}

/* A neighbour in the group that the host's driver has is named before anything is opened. */
static void test_blockers(void **state)
{
	fake_vfio_add(VF0, FAKE_VF, 7);
	fake_vfio_add(PF, FAKE_PF, 7);
	fake_vfio_link("bus/pci/devices/" PF "/driver", "../../../bus/pci/drivers/igb");
	refuses(VF0, PF " (igb)");
	/* A bridge in the group does no harm. */
	fake_vfio_file("bus/pci/devices/" PF "/class", "0x060400\n");
	fake_vfio.busy = true;
	refuses(VF0, "is in use");
}

static void test_accesses(void **state)
{
	struct fake_vfio_dev *fake = fake_vfio_add(VF0, FAKE_VF, 7);
	struct vfio_device dev;
	struct error err;
	uint64_t value;

	assert_int_equal(open_dev(&dev, VF0, &err), 0);
	assert_int_equal(vfio_read(&dev, 7, 0, &value, 4), 0);
	assert_int_equal(value, 0x10ca8086);
	assert_int_equal(vfio_write(&dev, 0, 8, 0x1122334455667788, 8), 0);
	assert_int_equal(load_le64(fake->bars[0].memory + 8), 0x1122334455667788);
	assert_int_equal(vfio_read(&dev, 0, 0x3ffe, &value, 4), -ERANGE);
	assert_int_equal(value, UINT32_MAX);
	assert_int_equal(vfio_write(&dev, 0, UINT64_MAX, 0, 1), -ERANGE);
	assert_int_equal(vfio_read(&dev, 1, 0, &value, 1), -ERANGE);
	vfio_device_close(&dev);
	assert_int_equal(vfio_read(&dev, 0, 0, &value, 2), -ENODEV);
	assert_int_equal(value, 0xffff);
	assert_int_equal(vfio_write(&dev, 0, 0, 0, 2), -ENODEV);
}

static void test_reset(void **state)
{
	struct fake_vfio_dev *fake = fake_vfio_add(VF0, FAKE_VF, 7);
	struct vfio_device dev;
	struct error err;

	assert_int_equal(open_dev(&dev, VF0, &err), 0);
	assert_int_equal(vfio_device_reset(&dev), 0);
	assert_int_equal(fake->resets, 1);
	vfio_device_close(&dev);
	/* The bus's, where the function has none and all on it is ours. */
	fake->no_reset = true;
	assert_int_equal(open_dev(&dev, VF0, &err), 0);
	assert_int_equal(vfio_device_reset(&dev), 0);
	assert_int_equal(fake->hot_resets, 1);
	vfio_device_close(&dev);
	assert_int_equal(vfio_device_reset(&dev), -ENODEV);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_parse),
		cmocka_unit_test_setup_teardown(test_type1, setup, teardown),
		cmocka_unit_test_setup_teardown(test_iommufd, setup, teardown),
		cmocka_unit_test_setup_teardown(test_no_iommufd, setup, teardown),
		cmocka_unit_test_setup_teardown(test_several_type1, setup, teardown),
		cmocka_unit_test_setup_teardown(test_several_iommufd, setup, teardown),
		cmocka_unit_test_setup_teardown(test_errors, setup, teardown),
		cmocka_unit_test_setup_teardown(test_blockers, setup, teardown),
		cmocka_unit_test_setup_teardown(test_accesses, setup, teardown),
		cmocka_unit_test_setup_teardown(test_reset, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
