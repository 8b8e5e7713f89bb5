/* SPDX-License-Identifier: Apache-2.0 */
#include "hostpci/pci.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* The value of the hexadecimal digits of exactly this length at text; -1 if they are not. */
static long hex(const char *text, unsigned digits)
{
	long value = 0;

	for (unsigned i = 0; i < digits; i++) {
		if (!isxdigit((unsigned char)text[i]))
			return -1;
		value = value * 16 + (isdigit((unsigned char)text[i])
					      ? text[i] - '0'
					      : tolower((unsigned char)text[i]) - 'a' + 10);
	}
	return value;
}

int hostpci_parse(const char *text, char addr[HOSTPCI_ADDR_LEN], struct error *err)
{
	const char *rest = text;
	long domain = 0, bus, slot, function;

	if (strlen(text) == 12 && text[4] == ':') {
		domain = hex(text, 4);
		rest = text + 5;
	}
	if (strlen(rest) != 7 || rest[2] != ':' || rest[5] != '.')
		goto bad;
	bus = hex(rest, 2);
	slot = hex(rest + 3, 2);
	function = hex(rest + 6, 1);
	if (domain < 0 || bus < 0 || slot < 0 || slot > 31 || function < 0 || function > 7)
		goto bad;
	snprintf(addr, HOSTPCI_ADDR_LEN, "%04x:%02x:%02x.%x", (unsigned)domain & 0xffff,
		 (unsigned)bus & 0xff, (unsigned)slot & 0x1f, (unsigned)function & 7);
	return 0;
bad:
	return error_set(err, -EINVAL,
			 "'%s' is no PCI address: use DDDD:BB:DD.F, such as 0000:01:10.0", text);
}

static int device_path(char *path, const char *sysfs, const char *addr, const char *name)
{
	int n = snprintf(path, PATH_MAX, "%s/bus/pci/devices/%s/%s", sysfs, addr, name);

	return n > 0 && n < PATH_MAX ? 0 : -ENAMETOOLONG;
}

int hostpci_attr(const char *sysfs, const char *addr, const char *name, char *text, size_t room)
{
	char path[PATH_MAX];
	int fd, ret = device_path(path, sysfs, addr, name);
	ssize_t n;

	if (ret)
		return ret;
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	n = read(fd, text, room - 1);
	ret = n < 0 ? -errno : 0;
	close(fd);
	if (ret)
		return ret;
	while (n > 0 && isspace((unsigned char)text[n - 1]))
		n--;
	text[n] = '\0';
	return 0;
}

int hostpci_attr_u64(const char *sysfs, const char *addr, const char *name, uint64_t *out)
{
	char text[32], *end;
	int ret = hostpci_attr(sysfs, addr, name, text, sizeof(text));
	unsigned long long value;

	if (ret)
		return ret;
	errno = 0;
	value = strtoull(text, &end, 0);
	if (errno || end == text || *end)
		return -EINVAL;
	*out = value;
	return 0;
}

int hostpci_link(const char *sysfs, const char *addr, const char *name, char *text, size_t room)
{
	char path[PATH_MAX], target[PATH_MAX];
	int ret = device_path(path, sysfs, addr, name);
	const char *last;
	ssize_t n;

	if (ret)
		return ret;
	n = readlink(path, target, sizeof(target) - 1);
	if (n < 0)
		return -errno;
	target[n] = '\0';
	last = strrchr(target, '/');
	last = last ? last + 1 : target;
	if (strlen(last) >= room)
		return -ENAMETOOLONG;
	memcpy(text, last, strlen(last) + 1);
	return 0;
}

static bool is_bridge(uint32_t class_code)
{
	return class_code >> 16 == 0x06;
}

int hostpci_read(const char *sysfs, const char *addr, struct hostpci *out, struct error *err)
{
	uint64_t vendor, device, class_code;
	char group[16] = "";

	*out = (struct hostpci){.group = HOSTPCI_NO_GROUP};
	if (hostpci_attr_u64(sysfs, addr, "vendor", &vendor) ||
	    hostpci_attr_u64(sysfs, addr, "device", &device) ||
	    hostpci_attr_u64(sysfs, addr, "class", &class_code))
		return error_set(err, -ENODEV, "this host has no PCI device %s: see lspci -D",
				 addr);
	snprintf(out->addr, sizeof(out->addr), "%s", addr);
	out->vendor = (uint16_t)vendor;
	out->device = (uint16_t)device;
	out->class_code = (uint32_t)class_code & 0xffffff;
	out->bridge = is_bridge(out->class_code);
	if (hostpci_link(sysfs, addr, "driver", out->driver, sizeof(out->driver)))
		out->driver[0] = '\0';
	if (!hostpci_link(sysfs, addr, "iommu_group", group, sizeof(group)) &&
	    isdigit((unsigned char)group[0]))
		out->group = atoi(group);
	return 0;
}

int hostpci_group_for_each(const char *sysfs, int group, int (*fn)(const char *addr, void *arg),
			   void *arg)
{
	char path[PATH_MAX];
	const struct dirent *entry;
	DIR *dir;
	int ret = 0;

	snprintf(path, sizeof(path), "%s/kernel/iommu_groups/%d/devices", sysfs, group);
	dir = opendir(path);
	if (!dir)
		return -errno;
	while (!ret && (entry = readdir(dir)))
		if (entry->d_name[0] != '.')
			ret = fn(entry->d_name, arg);
	closedir(dir);
	return ret;
}

bool hostpci_is_vfio(const char *driver)
{
	return !strcmp(driver, "vfio-pci") || strstr(driver, "vfio_pci") ||
	       strstr(driver, "vfio-pci");
}

struct blockers {
	const char *sysfs, *but;
	char *text;
	size_t room, used;
	unsigned count;
};

static int add_blocker(const char *addr, void *arg)
{
	struct blockers *b = arg;
	struct hostpci dev;
	int n;

	if ((b->but && !strcmp(addr, b->but)) || hostpci_read(b->sysfs, addr, &dev, NULL))
		return 0;
	/* A device without a driver and a bridge's port driver do no DMA of their own. */
	if (!dev.driver[0] || dev.bridge || hostpci_is_vfio(dev.driver) ||
	    !strcmp(dev.driver, "pci-stub"))
		return 0;
	b->count++;
	if (b->used + 1 >= b->room)
		return 0;
	n = snprintf(b->text + b->used, b->room - b->used, "%s%s (%s)", b->used ? ", " : "", addr,
		     dev.driver);
	b->used = MIN(b->used + (size_t)MAX(n, 0), b->room - 1);
	return 0;
}

unsigned hostpci_group_blockers(const char *sysfs, int group, const char *but, char *text,
				size_t room)
{
	struct blockers b = {.sysfs = sysfs, .but = but, .text = text, .room = room};

	text[0] = '\0';
	(void)hostpci_group_for_each(sysfs, group, add_blocker, &b);
	return b.count;
}
