/* SPDX-License-Identifier: Apache-2.0 */
/* NICs and virtual functions in sysfs: what there is, making and unmaking. */
#include "hostpci/sriov.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* Writes text to a file below sysfs. */
static int write_file(const char *sysfs, const char *name, const char *text)
{
	char path[2 * PATH_MAX];
	int fd, ret = 0;

	snprintf(path, sizeof(path), "%s/%s", sysfs, name);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	if (write(fd, text, strlen(text)) != (ssize_t)strlen(text))
		ret = -errno;
	close(fd);
	return ret;
}

/* The same, to a file of the device's folder. */
static int attr_write(const char *sysfs, const char *addr, const char *name, const char *text)
{
	char path[PATH_MAX];

	snprintf(path, sizeof(path), "bus/pci/devices/%s/%s", addr, name);
	return write_file(sysfs, path, text);
}

/* The first entry of a folder below the device's; false if there is none. */
static bool first_entry(const char *sysfs, const char *addr, const char *folder, const char *prefix,
			char *name, size_t room)
{
	char path[PATH_MAX];
	const struct dirent *entry;
	bool found = false;
	DIR *dir;

	snprintf(path, sizeof(path), "%s/bus/pci/devices/%s/%s", sysfs, addr, folder);
	dir = opendir(path);
	if (!dir)
		return false;
	while (!found && (entry = readdir(dir))) {
		if (entry->d_name[0] == '.' || strncmp(entry->d_name, prefix, strlen(prefix)) != 0)
			continue;
		if (name)
			snprintf(name, room, "%.*s", (int)room - 1, entry->d_name);
		found = true;
	}
	closedir(dir);
	return found;
}

int sriov_vf_addr(const char *sysfs, const char *pf, unsigned n, char addr[HOSTPCI_ADDR_LEN])
{
	char link[32];

	snprintf(link, sizeof(link), "virtfn%u", n);
	return hostpci_link(sysfs, pf, link, addr, HOSTPCI_ADDR_LEN);
}

struct others {
	const char *sysfs, *addr;
	unsigned count;
};

static int count_other(const char *addr, void *arg)
{
	struct others *o = arg;
	struct hostpci dev;

	if (strcmp(addr, o->addr) != 0 && !hostpci_read(o->sysfs, addr, &dev, NULL) && !dev.bridge)
		o->count++;
	return 0;
}

/* The interface's folder is the device's, or that of the virtio device which it carries. */
static void read_link(const char *sysfs, struct sriov_nic *nic)
{
	char name[96], folder[64] = "net", text[16];
	uint64_t value;

	if (!first_entry(sysfs, nic->pci.addr, folder, "", nic->ifname, sizeof(nic->ifname))) {
		if (!first_entry(sysfs, nic->pci.addr, "", "virtio", text, sizeof(text)))
			return;
		snprintf(folder, sizeof(folder), "%s/net", text);
		if (!first_entry(sysfs, nic->pci.addr, folder, "", nic->ifname,
				 sizeof(nic->ifname)))
			return;
	}
	snprintf(name, sizeof(name), "%s/%s/flags", folder, nic->ifname);
	nic->up = !hostpci_attr_u64(sysfs, nic->pci.addr, name, &value) && value & 1; /* IFF_UP */
	snprintf(name, sizeof(name), "%s/%s/carrier", folder, nic->ifname);
	nic->carrier =
		!hostpci_attr(sysfs, nic->pci.addr, name, text, sizeof(text)) && !strcmp(text, "1");
}

static void read_vf(const char *sysfs, struct sriov_nic *nic)
{
	char addr[HOSTPCI_ADDR_LEN];

	if (hostpci_link(sysfs, nic->pci.addr, "physfn", nic->pf, sizeof(nic->pf)))
		return;
	nic->is_vf = true;
	for (unsigned i = 0; i < SRIOV_VFS_MAX; i++) {
		if (sriov_vf_addr(sysfs, nic->pf, i, addr))
			break;
		if (!strcmp(addr, nic->pci.addr))
			nic->vf_index = i;
	}
}

int sriov_read(const char *sysfs, const char *addr, struct sriov_nic *out, struct error *err)
{
	struct others others = {.sysfs = sysfs, .addr = addr};
	uint64_t value;
	int ret;

	*out = (struct sriov_nic){0};
	ret = hostpci_read(sysfs, addr, &out->pci, err);
	if (ret)
		return ret;
	read_link(sysfs, out);
	read_vf(sysfs, out);
	if (!hostpci_attr_u64(sysfs, addr, "sriov_totalvfs", &value))
		out->max_vfs = (unsigned)value;
	if (!hostpci_attr_u64(sysfs, addr, "sriov_numvfs", &value))
		out->vfs = (unsigned)value;
	(void)first_entry(sysfs, addr, "vfio-dev", "vfio", out->vfio_node, sizeof(out->vfio_node));
	out->vdpa = first_entry(sysfs, addr, "", "vdpa", NULL, 0);
	if (out->pci.group != HOSTPCI_NO_GROUP)
		(void)hostpci_group_for_each(sysfs, out->pci.group, count_other, &others);
	out->group_others = others.count;
	return 0;
}

static int by_name(const struct dirent **a, const struct dirent **b)
{
	return strcmp((*a)->d_name, (*b)->d_name);
}

int sriov_for_each(const char *sysfs, int (*fn)(const struct sriov_nic *nic, void *arg), void *arg,
		   struct error *err)
{
	char path[PATH_MAX];
	struct dirent **entries;
	struct sriov_nic nic;
	int n, ret = 0;

	snprintf(path, sizeof(path), "%s/bus/pci/devices", sysfs);
	n = scandir(path, &entries, NULL, by_name);
	if (n < 0)
		return error_set(err, -errno, "%s: %s", path, error_name(errno));
	for (int i = 0; i < n; i++) {
		if (!ret && entries[i]->d_name[0] != '.' &&
		    !sriov_read(sysfs, entries[i]->d_name, &nic, NULL) &&
		    nic.pci.class_code >> 16 == 0x02)
			ret = fn(&nic, arg);
		free(entries[i]);
	}
	free(entries);
	return ret;
}

static int read_pf(const char *sysfs, const char *pf, struct sriov_nic *nic, struct error *err)
{
	int ret = sriov_read(sysfs, pf, nic, err);

	if (ret)
		return ret;
	if (nic->is_vf)
		return error_set(err, -EINVAL, "%s is itself a virtual function, of %s", pf,
				 nic->pf);
	if (!nic->max_vfs)
		return error_set(err, -ENOTSUP,
				 "%s offers no virtual functions: the device has no SR-IOV, it is "
				 "off in the firmware, or its driver (%s) does not do it",
				 pf, nic->pci.driver[0] ? nic->pci.driver : "none is bound");
	return 0;
}

int sriov_create(const char *sysfs, const char *pf, unsigned n, struct error *err)
{
	struct sriov_nic nic;
	char text[16];
	int ret = read_pf(sysfs, pf, &nic, err);

	if (ret)
		return ret;
	if (!n || n > nic.max_vfs)
		return error_set(err, -ERANGE, "%s can have 1 to %u virtual functions, not %u", pf,
				 nic.max_vfs, n);
	if (nic.vfs)
		return error_set(err, -EBUSY,
				 "%s has %u virtual functions already: take them away first "
				 "(viaductctl sriov destroy %s)",
				 pf, nic.vfs, pf);
	/* Not for the host's own drivers: they are for guests. */
	(void)attr_write(sysfs, pf, "sriov_drivers_autoprobe", "0");
	snprintf(text, sizeof(text), "%u", n);
	ret = attr_write(sysfs, pf, "sriov_numvfs", text);
	if (!ret)
		return 0;
	(void)attr_write(sysfs, pf, "sriov_numvfs", "0");
	(void)attr_write(sysfs, pf, "sriov_drivers_autoprobe", "1");
	return error_set(err, ret, "%s: cannot make %u virtual functions: %s%s", pf, n,
			 error_name(ret),
			 ret == -ENOMEM || ret == -ENOSPC
				 ? ": the firmware left no room for their BARs: enable SR-IOV and "
				   "large BARs in its setup, or boot with pci=realloc"
				 : "");
}

/* Whether a process has the device open: VFIO shows it in no file, but the group refuses. */
static bool in_use(const struct hostpci *dev)
{
	char path[64];
	int fd;

	if (!hostpci_is_vfio(dev->driver) || dev->group == HOSTPCI_NO_GROUP)
		return false;
	snprintf(path, sizeof(path), "/dev/vfio/%d", dev->group);
	fd = open(path, O_RDWR | O_CLOEXEC);
	if (fd < 0)
		return errno == EBUSY;
	close(fd);
	return false;
}

int sriov_destroy(const char *sysfs, const char *pf, struct error *err)
{
	char addr[HOSTPCI_ADDR_LEN];
	struct sriov_nic nic;
	int ret = read_pf(sysfs, pf, &nic, err);

	for (unsigned i = 0; !ret && i < nic.vfs; i++) {
		struct hostpci vf;

		if (sriov_vf_addr(sysfs, pf, i, addr) || hostpci_read(sysfs, addr, &vf, NULL))
			continue;
		if (in_use(&vf))
			return error_set(err, -EBUSY,
					 "%s, virtual function %u of %s, is in use by a guest: end "
					 "that first",
					 addr, i, pf);
	}
	if (ret || !nic.vfs)
		return ret;
	ret = attr_write(sysfs, pf, "sriov_numvfs", "0");
	if (ret)
		return error_set(err, ret, "%s: cannot take its virtual functions away: %s", pf,
				 error_name(ret));
	(void)attr_write(sysfs, pf, "sriov_drivers_autoprobe", "1");
	return 0;
}

/* Has the kernel give the device to driver, or to whichever wants it ("\n"). */
static int rebind(const char *sysfs, const char *addr, const char *override)
{
	char driver[32];
	int ret = attr_write(sysfs, addr, "driver_override", override);

	if (ret)
		return ret;
	if (!hostpci_link(sysfs, addr, "driver", driver, sizeof(driver)))
		ret = attr_write(sysfs, addr, "driver/unbind", addr);
	return ret ? ret : write_file(sysfs, "bus/pci/drivers_probe", addr);
}

int sriov_bind(const char *sysfs, const char *addr, struct error *err)
{
	struct hostpci before, after;
	int ret = hostpci_read(sysfs, addr, &before, err);

	if (ret)
		return ret;
	if (hostpci_is_vfio(before.driver))
		return 0;
	if (before.bridge)
		return error_set(err, -EINVAL, "%s is a bridge: only endpoints can be passed on",
				 addr);
	if (before.group == HOSTPCI_NO_GROUP)
		return error_set(
			err, -ENODEV,
			"%s is in no IOMMU group: enable VT-d or AMD-Vi in the firmware and "
			"boot with intel_iommu=on or amd_iommu=on",
			addr);
	ret = rebind(sysfs, addr, "vfio-pci");
	if (!ret)
		ret = hostpci_read(sysfs, addr, &after, err);
	if (!ret && hostpci_is_vfio(after.driver))
		return 0;
	/* As it was. A virtual function's driver would not come back by itself. */
	(void)rebind(sysfs, addr, before.driver[0] ? before.driver : "\n");
	(void)attr_write(sysfs, addr, "driver_override", "\n");
	if (ret)
		return error_set(err, ret, "%s cannot be bound to vfio-pci: %s", addr,
				 error_name(ret));
	return error_set(err, -ENODEV,
			 "%s was not taken by vfio-pci: load it with: modprobe vfio-pci", addr);
}

int sriov_unbind(const char *sysfs, const char *addr, struct error *err)
{
	struct hostpci dev;
	int ret = hostpci_read(sysfs, addr, &dev, err);

	if (ret)
		return ret;
	if (!hostpci_is_vfio(dev.driver))
		return error_set(err, -EINVAL, "%s is bound to %s, not to vfio-pci", addr,
				 dev.driver[0] ? dev.driver : "no driver");
	if (in_use(&dev))
		return error_set(err, -EBUSY, "%s is in use by a guest: end that first", addr);
	ret = rebind(sysfs, addr, "\n");
	return ret ? error_set(err, ret, "%s cannot be unbound: %s", addr, error_name(ret)) : 0;
}
