/* SPDX-License-Identifier: Apache-2.0 */
#ifndef HOSTPCI_SRIOV_H
#define HOSTPCI_SRIOV_H

#include "hostpci/pci.h"

/*
 * NICs of the host and their virtual functions: making, binding and setting them, and what stands in
 * the way of giving one to a guest. Through sysfs and rtnetlink; nothing is left half done.
 */
#define SRIOV_VFS_MAX 256

/** A NIC, or a virtual function of one. */
struct sriov_nic {
	struct hostpci pci;
	char ifname[16];       /* its first interface; "" if it has none now */
	bool up, carrier;      /* of it */
	unsigned max_vfs, vfs; /* that it can have, and has; 0, 0: no SR-IOV */
	bool vdpa;	       /* a vDPA device hangs on it */
	bool is_vf;
	char pf[HOSTPCI_ADDR_LEN]; /* whose virtual function it is */
	unsigned vf_index;
	char vfio_node[16];    /* its own VFIO node, "vfio3"; "" if it has none */
	unsigned group_others; /* devices in its IOMMU group besides it, but bridges */
};

/** All that sysfs tells of the device at addr. -ENODEV. */
int sriov_read(const char *sysfs, const char *addr, struct sriov_nic *out, struct error *err);

/** Calls fn for each network device, virtual functions included, by address; until it returns not 0. */
int sriov_for_each(const char *sysfs, int (*fn)(const struct sriov_nic *nic, void *arg), void *arg,
		   struct error *err);

/**
 * Who has the device open through VFIO: "viaduct 1234", or "" if nobody this process may look at
 * (root: all). proc is where procfs is mounted.
 */
void sriov_user(const char *proc, const struct sriov_nic *nic, char *text, size_t room);

/** The address of virtual function n of pf. -ENOENT. */
int sriov_vf_addr(const char *sysfs, const char *pf, unsigned n, char addr[HOSTPCI_ADDR_LEN]);

/**
 * Makes n virtual functions, without drivers of the host's on them. -EBUSY if there are some, -ERANGE
 * for more than the device has; with a failure there are none.
 */
int sriov_create(const char *sysfs, const char *pf, unsigned n, struct error *err);
/** Takes all away. -EBUSY if a guest or the host uses one. */
int sriov_destroy(const char *sysfs, const char *pf, struct error *err);

/** Gives the device to vfio-pci; after a failure its old driver has it again. */
int sriov_bind(const char *sysfs, const char *addr, struct error *err);
/** Gives it back to the host's own driver, or to none if there is none. */
int sriov_unbind(const char *sysfs, const char *addr, struct error *err);

/** One thing that a guest needs of a device; remedy "" if it is there. */
struct sriov_finding {
	const char *what;
	bool ok;
	char text[256]; /* what is so; where it is not ok: and what to do */
};
#define SRIOV_FINDINGS_MAX 16

/**
 * Looks at everything that passing the device on needs. memlock_bytes is how much the caller may lock
 * (UINT64_MAX: no limit). Returns how many findings there are, or a negative errno.
 */
int sriov_check(const char *sysfs, const char *addr, uint64_t memlock_bytes,
		struct sriov_finding findings[SRIOV_FINDINGS_MAX], struct error *err);

/** What can be set of a virtual function through its physical one; see sriov_set(). */
struct sriov_settings {
	bool has_mac, has_vlan, has_rate, has_spoofchk, has_trust, has_state;
	uint8_t mac[6];
	unsigned vlan, qos; /* vlan 0: none */
	unsigned rate;	    /* Mb/s at most; 0: no limit */
	bool spoofchk, trust;
	unsigned state; /* IFLA_VF_LINK_STATE_* */
};

/** Sets them by rtnetlink, all or, if the kernel refuses one, as many as it took: err names it. */
int sriov_set(const char *ifname, unsigned vf, const struct sriov_settings *settings,
	      struct error *err);

/** The message that sriov_set() sends, into buf; its length, or -ENOSPC. For it and for tests. */
int sriov_set_message(int ifindex, unsigned vf, const struct sriov_settings *settings, void *buf,
		      size_t room);

#endif
