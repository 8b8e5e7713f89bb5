/* SPDX-License-Identifier: Apache-2.0 */
/* The preflight: what a guest needs of a device, each thing with its remedy. */
#include "hostpci/sriov.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

struct report {
	struct sriov_finding *findings;
	int n;
};

static void find(struct report *r, const char *what, bool ok, const char *fmt, ...) __printf(4, 5);

static void find(struct report *r, const char *what, bool ok, const char *fmt, ...)
{
	struct sriov_finding *f = &r->findings[r->n];
	va_list args;

	if (r->n == SRIOV_FINDINGS_MAX)
		return;
	r->n++;
	f->what = what;
	f->ok = ok;
	va_start(args, fmt);
	vsnprintf(f->text, sizeof(f->text), fmt, args);
	va_end(args);
}

static void check_iommu(struct report *r, const char *sysfs, const struct sriov_nic *nic)
{
	char others[160];

	if (nic->pci.group == HOSTPCI_NO_GROUP) {
		find(r, "iommu", false,
		     "in no IOMMU group: enable VT-d or AMD-Vi in the firmware, and boot with "
		     "intel_iommu=on or amd_iommu=on");
		return;
	}
	find(r, "iommu", true, "IOMMU group %d", nic->pci.group);
	if (!nic->group_others)
		find(r, "group", true, "alone in its group");
	else if (!hostpci_group_blockers(sysfs, nic->pci.group, nic->pci.addr, others,
					 sizeof(others)))
		find(r, "group", true, "shared with %u devices that the host does not use",
		     nic->group_others);
	else
		find(r, "group", false,
		     "the host uses devices of its group: %s: bind all of them to vfio-pci, or "
		     "move "
		     "the card to a slot with ACS",
		     others);
}

static void check_driver(struct report *r, const char *sysfs, const struct sriov_nic *nic)
{
	char path[128];

	snprintf(path, sizeof(path), "%s/bus/pci/drivers/vfio-pci", sysfs);
	if (!hostpci_is_vfio(nic->pci.driver) && access(path, F_OK) != 0)
		find(r, "vfio", false, "vfio-pci is not loaded: modprobe vfio-pci");
	if (hostpci_is_vfio(nic->pci.driver))
		find(r, "driver", true, "bound to %s", nic->pci.driver);
	else
		find(r, "driver", false, "bound to %s: viaductctl sriov bind %s",
		     nic->pci.driver[0] ? nic->pci.driver : "no driver", nic->pci.addr);
	if (!nic->is_vf && nic->vfs)
		find(r, "functions", false,
		     "it has %u virtual functions, which go with it: viaductctl sriov destroy %s",
		     nic->vfs, nic->pci.addr);
}

static void check_use(struct report *r, const struct sriov_nic *nic)
{
	char path[64];
	int fd;

	if (!hostpci_is_vfio(nic->pci.driver) || nic->pci.group == HOSTPCI_NO_GROUP)
		return;
	snprintf(path, sizeof(path), "/dev/vfio/%d", nic->pci.group);
	fd = open(path, O_RDWR | O_CLOEXEC);
	if (fd >= 0)
		find(r, "use", true, "%s can be opened", path);
	else if (errno == EBUSY)
		find(r, "use", false, "in use by another guest (see: fuser -v %s)", path);
	else if (errno == EACCES || errno == EPERM)
		find(r, "use", false,
		     "%s: permission denied: run as root or give the file to this user", path);
	else
		find(r, "use", false, "%s: %s", path, error_name(errno));
	if (fd >= 0)
		close(fd);
}

static void check_reset(struct report *r, const char *sysfs, const struct sriov_nic *nic)
{
	char methods[64] = "";

	if (!hostpci_attr(sysfs, nic->pci.addr, "reset_method", methods, sizeof(methods)) &&
	    methods[0])
		find(r, "reset", true, "by %s", methods);
	else
		find(r, "reset", false,
		     "the device has no reset of its own: what one guest left in it the next one "
		     "finds; use another one for guests that do not trust each other");
}

static void check_vf(struct report *r, const char *sysfs, const struct sriov_nic *nic)
{
	struct sriov_nic pf;

	if (!nic->is_vf || sriov_read(sysfs, nic->pf, &pf, NULL))
		return;
	if (!pf.ifname[0])
		find(r, "pf", false,
		     "its physical function %s has no interface, which virtual functions need: "
		     "bind "
		     "it to its driver",
		     nic->pf);
	else if (!pf.up)
		find(r, "pf", false, "its physical function's interface is down: ip link set %s up",
		     pf.ifname);
	else
		find(r, "pf", true, "virtual function %u of %s (%s)", nic->vf_index, nic->pf,
		     pf.ifname);
}

static void check_memlock(struct report *r, uint64_t bytes)
{
	if (bytes == UINT64_MAX)
		find(r, "memlock", true, "no limit of locked memory");
	else if (bytes >= GIB)
		find(r, "memlock", true, "guests of up to %llu MiB can be locked",
		     (unsigned long long)(bytes / MIB));
	else
		find(r, "memlock", false,
		     "only %llu KiB can be locked, and all of a guest's memory has to be: ulimit "
		     "-l "
		     "unlimited, or LimitMEMLOCK=infinity in its systemd unit",
		     (unsigned long long)(bytes / KIB));
}

int sriov_check(const char *sysfs, const char *addr, uint64_t memlock_bytes,
		struct sriov_finding findings[SRIOV_FINDINGS_MAX], struct error *err)
{
	struct report r = {.findings = findings};
	struct sriov_nic nic;
	int ret = sriov_read(sysfs, addr, &nic, err);

	if (ret)
		return ret;
	check_iommu(&r, sysfs, &nic);
	check_driver(&r, sysfs, &nic);
	check_use(&r, &nic);
	check_vf(&r, sysfs, &nic);
	check_reset(&r, sysfs, &nic);
	check_memlock(&r, memlock_bytes);
	return r.n;
}
