/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DEVICE_NIC_H
#define DEVICE_NIC_H

#include "base/options.h"
#include "bus/pci.h"
#include "mem/guest_mem.h"

/*
 * NIC models: what `--net model=` chooses. A model is one file and one line in nic_table[]; it
 * carries its name, its own option keys and its constructor.
 */
struct nic_params {
	const char *id;		    /* "net0" */
	const char *backend;	    /* "user", "tap", … */
	const struct options *opts; /* everything in --net, checked */
	uint8_t mac[6];
	unsigned mtu; /* 0: not given */
	struct bus_host *host;
	struct guest_mem *mem;
	struct loop *loop;
};

/** What a NIC tells about itself: for vm.info, counters, link. */
struct nic {
	struct pci_dev pci; /* first: a NIC is a PCI function */
	const struct nic_ops *nic_ops;
};

struct nic_ops {
	const char *name;
	const char *help;
	const struct option_key *keys; /* besides those common to all NICs */

	int (*probe)(struct error *err);
	/** Makes the device, not yet on a bus. The bus will own it (pci.ops->destroy). */
	int (*create)(const struct nic_params *params, struct nic **out, struct error *err);
	/** Link up or down from the host. 0 or negative errno. */
	int (*set_link)(struct nic *nic, bool up);
	/** Prints its counters, one `name value` line each, through emit. */
	void (*counters)(struct nic *nic, void (*emit)(void *arg, const char *name, uint64_t value),
			 void *arg);
};

extern const struct nic_ops *const nic_table[];
extern const struct option_key nic_common_keys[];
const struct nic_ops *nic_find(const char *name);

/**
 * Parses a whole --net value (text may be ""), checks its keys against the model, its back-end and
 * the common table, fills in defaults (virtio-net, user, id net<index>, a MAC derived from the id
 * and the process) and creates the device.
 */
int nic_create(const char *text, unsigned index, struct bus_host *host, struct guest_mem *mem,
	       struct loop *loop, struct nic **out, struct error *err);

#endif
