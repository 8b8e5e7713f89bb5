/* SPDX-License-Identifier: Apache-2.0 */
/* NICs and virtual functions in a sysfs of our own; the message that sets a virtual function. */
#include "unit.h"

#include "fake_vfio.h"
#include "hostpci/sriov.h"

#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <stdio.h>
#include <stdlib.h>

#define PF  "0000:01:00.0"
#define VF0 "0000:01:10.0"
#define VF1 "0000:01:10.2"
#define DEV "bus/pci/devices/"

/* A physical function with two virtual ones, which vfio-pci and igbvf have. */
static int setup(void **state)
{
	fake_vfio_init();
	fake_vfio_add(PF, FAKE_PF, 6);
	fake_vfio_add(VF0, FAKE_VF, 7);
	fake_vfio_add(VF1, FAKE_VF, 8);
	fake_vfio_link(DEV PF "/driver", "../../drivers/igb");
	fake_vfio_link(DEV VF1 "/driver", "../../drivers/igbvf");
	fake_vfio_file(DEV PF "/sriov_totalvfs", "7\n");
	fake_vfio_file(DEV PF "/sriov_numvfs", "2\n");
	fake_vfio_file(DEV PF "/sriov_drivers_autoprobe", "1\n");
	fake_vfio_link(DEV PF "/virtfn0", "../" VF0);
	fake_vfio_link(DEV PF "/virtfn1", "../" VF1);
	fake_vfio_link(DEV VF0 "/physfn", "../" PF);
	fake_vfio_link(DEV VF1 "/physfn", "../" PF);
	fake_vfio_file(DEV PF "/net/eth9/flags", "0x1003\n");
	fake_vfio_file(DEV PF "/net/eth9/carrier", "1\n");
	fake_vfio_file(DEV VF0 "/reset_method", "flr\n");
	fake_vfio_file("bus/pci/drivers/vfio-pci/bind", "");
	return 0;
}

static int teardown(void **state)
{
	fake_vfio_fini();
	return 0;
}

static const char *sysfs(void)
{
	return fake_vfio.root;
}

static void test_read(void **state)
{
	struct sriov_nic nic;
	struct error err;

	assert_int_equal(sriov_read(sysfs(), PF, &nic, &err), 0);
	assert_int_equal(nic.max_vfs, 7);
	assert_int_equal(nic.vfs, 2);
	assert_string_equal(nic.ifname, "eth9");
	assert_true(nic.up && nic.carrier && !nic.is_vf && !nic.vdpa);
	assert_string_equal(nic.pci.driver, "igb");
	assert_int_equal(nic.pci.group, 6);
	assert_int_equal(sriov_read(sysfs(), VF1, &nic, &err), 0);
	assert_true(nic.is_vf);
	assert_string_equal(nic.pf, PF);
	assert_int_equal(nic.vf_index, 1);
	assert_int_equal(nic.ifname[0], 0);
	fake_vfio_file(DEV VF1 "/vdpa0/dev", "x");
	assert_int_equal(sriov_read(sysfs(), VF1, &nic, &err), 0);
	assert_true(nic.vdpa);
	assert_int_equal(sriov_read(sysfs(), "0000:02:00.0", &nic, &err), -ENODEV);
	assert_text(err, "this host has no PCI device 0000:02:00.0");
}

static int collect(const struct sriov_nic *nic, void *arg)
{
	strcat(arg, nic->pci.addr);
	strcat(arg, " ");
	return 0;
}

static void test_list(void **state)
{
	char all[128] = "";
	struct error err;

	/* A disk controller is no NIC. */
	fake_vfio_file(DEV "0000:00:01.0/vendor", "0x1234\n");
	fake_vfio_file(DEV "0000:00:01.0/device", "0x1234\n");
	fake_vfio_file(DEV "0000:00:01.0/class", "0x010601\n");
	assert_int_equal(sriov_for_each(sysfs(), collect, all, &err), 0);
	assert_string_equal(all, PF " " VF0 " " VF1 " ");
	assert_true(sriov_for_each("/nowhere", collect, all, &err) < 0);
}

static void test_user(void **state)
{
	struct sriov_nic nic;
	char proc[128], text[64];
	struct error err;

	snprintf(proc, sizeof(proc), "%s/proc", sysfs());
	fake_vfio_file("proc/41/comm", "bash\n");
	fake_vfio_link("proc/41/fd/0", "/dev/null");
	fake_vfio_file("proc/42/comm", "viaduct\n");
	fake_vfio_link("proc/42/fd/7", "/dev/vfio/7");
	assert_int_equal(sriov_read(sysfs(), VF0, &nic, &err), 0);
	sriov_user(proc, &nic, text, sizeof(text));
	assert_string_equal(text, "viaduct 42");
	assert_int_equal(sriov_read(sysfs(), VF1, &nic, &err), 0);
	sriov_user(proc, &nic, text, sizeof(text));
	assert_string_equal(text, "");
	fake_vfio_link("proc/41/fd/1", "/dev/vfio/devices/vfio2");
	sriov_user(proc, &nic, text, sizeof(text));
	assert_string_equal(text, "bash 41");
}

static void file_says(const char *path, const char *what)
{
	char text[64];

	assert_int_equal(hostpci_attr(sysfs(), PF, path, text, sizeof(text)), 0);
	assert_string_equal(text, what);
}

static void test_create(void **state)
{
	struct error err;

	assert_int_equal(sriov_create(sysfs(), VF0, 1, &err), -EINVAL);
	assert_text(err, "is itself a virtual function, of " PF);
	assert_int_equal(sriov_create(sysfs(), PF, 2, &err), -EBUSY);
	assert_text(err, "has 2 virtual functions already");
	fake_vfio_file(DEV PF "/sriov_numvfs", "0\n");
	assert_int_equal(sriov_create(sysfs(), PF, 8, &err), -ERANGE);
	assert_text(err, "can have 1 to 7 virtual functions, not 8");
	assert_int_equal(sriov_create(sysfs(), PF, 0, &err), -ERANGE);
	assert_int_equal(sriov_create(sysfs(), PF, 3, &err), 0);
	file_says("sriov_numvfs", "3");
	file_says("sriov_drivers_autoprobe", "0");
	assert_int_equal(sriov_destroy(sysfs(), PF, &err), 0);
	fake_vfio_file(DEV PF "/sriov_totalvfs", "0\n");
	assert_int_equal(sriov_create(sysfs(), PF, 1, &err), -ENOTSUP);
	assert_text(err, "offers no virtual functions");
}

/* What the kernel would do with the files is not done: so vfio-pci never takes the device. */
static void test_bind(void **state)
{
	struct error err;
	char text[32];

	assert_int_equal(sriov_bind(sysfs(), VF0, &err), 0); /* it has it already */
	fake_vfio_file(DEV VF1 "/driver_override", "");
	fake_vfio_file("bus/pci/drivers/igbvf/unbind", "");
	fake_vfio_file("bus/pci/drivers_probe", "");
	assert_int_equal(sriov_bind(sysfs(), VF1, &err), -ENODEV);
	assert_text(err, "was not taken by vfio-pci: load it with: modprobe vfio-pci");
	/* It was put back: no override is left. */
	assert_int_equal(hostpci_attr(sysfs(), VF1, "driver_override", text, sizeof(text)), 0);
	assert_true(text[0] == '\0' || strstr(text, "vfio") == NULL);
	assert_int_equal(sriov_unbind(sysfs(), VF1, &err), -EINVAL);
	assert_text(err, "is bound to igbvf, not to vfio-pci");
	fake_vfio_link(DEV VF1 "/iommu_group", "nothing");
	assert_int_equal(sriov_bind(sysfs(), VF1, &err), -ENODEV);
	assert_text(err, "is in no IOMMU group");
}

/* The finding is there, good or not, and says so. */
static void says(const struct sriov_finding *f, int n, const char *what, bool ok, const char *part)
{
	int i = 0;

	while (i < n && strcmp(f[i].what, what) != 0)
		i++;
	if (i == n)
		fail_msg("no finding %s", what);
	assert_int_equal(f[i].ok, ok);
	assert_text(f[i], part);
}

static void test_check(void **state)
{
	struct sriov_finding f[SRIOV_FINDINGS_MAX];
	struct error err;
	int n = sriov_check(sysfs(), VF0, UINT64_MAX, f, &err);

	assert_true(n > 0);
	says(f, n, "iommu", true, "");
	says(f, n, "group", true, "");
	says(f, n, "driver", true, "");
	says(f, n, "pf", true, "");
	says(f, n, "reset", true, "");
	says(f, n, "memlock", true, "");

	/* Everything that can be wrong. */
	fake_vfio_file(DEV PF "/net/eth9/flags", "0x1002\n");
	n = sriov_check(sysfs(), VF1, 64 * KIB, f, &err);
	says(f, n, "driver", false, "bound to igbvf: viaductctl sriov bind");
	says(f, n, "pf", false, "ip link set eth9 up");
	says(f, n, "reset", false, "");
	says(f, n, "memlock", false, "only 64 KiB can be locked");
	fake_vfio_link("kernel/iommu_groups/7/devices/" PF, "x");
	n = sriov_check(sysfs(), VF0, UINT64_MAX, f, &err);
	says(f, n, "group", false, "");
	says(f, n, "group", false, PF " (igb)");
	fake_vfio_link(DEV VF0 "/iommu_group", "nothing");
	n = sriov_check(sysfs(), VF0, UINT64_MAX, f, &err);
	says(f, n, "iommu", false, "intel_iommu=on");
	n = sriov_check(sysfs(), PF, UINT64_MAX, f, &err);
	says(f, n, "functions", false, "viaductctl sriov destroy " PF);
	assert_int_equal(sriov_check(sysfs(), "0000:09:00.0", 0, f, &err), -ENODEV);
}

static void test_message(void **state)
{
	const struct sriov_settings s = {.has_mac = true,
					 .mac = {2, 0, 0, 0, 0, 9},
					 .has_vlan = true,
					 .vlan = 5,
					 .has_trust = true,
					 .trust = true};
	char buf[1024];
	const struct nlmsghdr *nlh = (const void *)buf;
	const struct nlattr *list, *info;
	struct nlattr *a;
	unsigned seen = 0;
	int len = sriov_set_message(3, 1, &s, buf, sizeof(buf));

	assert_true(len > 0);
	assert_int_equal(nlh->nlmsg_type, RTM_SETLINK);
	list = mnl_nlmsg_get_payload_offset(nlh, sizeof(struct ifinfomsg));
	assert_int_equal(mnl_attr_get_type(list), IFLA_VFINFO_LIST);
	info = mnl_attr_get_payload(list);
	assert_int_equal(mnl_attr_get_type(info), IFLA_VF_INFO);
	mnl_attr_for_each_nested(a, info)
	{
		const struct ifla_vf_mac *mac = mnl_attr_get_payload(a);
		const struct ifla_vf_vlan *vlan = mnl_attr_get_payload(a);

		assert_int_equal(mac->vf, 1);
		if (mnl_attr_get_type(a) == IFLA_VF_MAC)
			assert_memory_equal(mac->mac, s.mac, 6);
		if (mnl_attr_get_type(a) == IFLA_VF_VLAN)
			assert_int_equal(vlan->vlan, 5);
		seen |= 1U << mnl_attr_get_type(a);
	}
	assert_int_equal(seen, 1U << IFLA_VF_MAC | 1U << IFLA_VF_VLAN | 1U << IFLA_VF_TRUST);
	assert_int_equal(sriov_set_message(3, 1, &s, buf, 64), -ENOSPC);
}

static void test_set(void **state)
{
	const struct sriov_settings s = {.has_vlan = true, .vlan = 5};
	struct error err;

	assert_int_equal(sriov_set("no-such-nic0", 0, &s, &err), -ENODEV);
	assert_text(err, "there is no interface no-such-nic0");
	/* The loopback interface has no virtual functions: whatever the kernel says is told. */
	assert_true(sriov_set("lo", 0, &s, &err) < 0);
	assert_text(err, "lo: ");
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(test_##name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(read),  TEST(list),    TEST(create), TEST(bind),
		TEST(check), TEST(message), TEST(set),	  TEST(user),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
