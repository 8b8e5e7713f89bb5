/* SPDX-License-Identifier: Apache-2.0 */
#ifndef HOSTPCI_PCI_H
#define HOSTPCI_PCI_H

#include "base/error.h"

/*
 * The host's PCI devices as sysfs shows them: who they are, which driver and IOMMU group they are
 * in. All functions take the root of sysfs ("/sys"), so that tests can bring their own.
 */
#define HOSTPCI_ADDR_LEN 13 /* "0000:01:10.0" and its end */
#define HOSTPCI_NO_GROUP (-1)

struct hostpci {
	char addr[HOSTPCI_ADDR_LEN];
	uint16_t vendor, device;
	uint32_t class_code; /* 24 bits */
	char driver[32];     /* "" where none is bound */
	int group;	     /* its IOMMU group, or HOSTPCI_NO_GROUP */
	bool bridge;	     /* its header says so: not for passthrough, harmless in a group */
};

/** DDDD:BB:DD.F, or BB:DD.F of domain 0, in lower case. -EINVAL if it is not one. */
int hostpci_parse(const char *text, char addr[HOSTPCI_ADDR_LEN], struct error *err);

/** What sysfs says of the device. -ENODEV if this host has none at addr. */
int hostpci_read(const char *sysfs, const char *addr, struct hostpci *out, struct error *err);

/**
 * Calls fn with the address of each device of an IOMMU group, until it returns other than 0, which
 * is then returned. -errno if the group cannot be listed.
 */
int hostpci_group_for_each(const char *sysfs, int group, int (*fn)(const char *addr, void *arg),
			   void *arg);

/**
 * Writes into text the devices of the group that keep it from being given to a guest: those bound
 * to drivers other than vfio-pci, as "0000:01:00.0 (igb), …". The device at but (NULL: none) is left
 * out. Returns how many there are.
 */
unsigned hostpci_group_blockers(const char *sysfs, int group, const char *but, char *text,
				size_t room);

/** Whether this driver hands devices to user space through VFIO. */
bool hostpci_is_vfio(const char *driver);

/** What a file of the device's folder says, without its newline: 0 or negative errno. */
int hostpci_attr(const char *sysfs, const char *addr, const char *name, char *text, size_t room);
/** The same as a number, decimal or 0x…; -EINVAL if it is none. */
int hostpci_attr_u64(const char *sysfs, const char *addr, const char *name, uint64_t *out);
/** The last part of where a link in the device's folder leads: 0 or negative errno. */
int hostpci_link(const char *sysfs, const char *addr, const char *name, char *text, size_t room);

#endif
