/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_FAKE_VFIO_H
#define TESTS_FAKE_VFIO_H

#include "vfio/device.h"

#include <pthread.h>

/*
 * The kernel's side of VFIO without a device: struct vfio_sys on made-up devices, and a sysfs of
 * folders and links in a temporary directory. It checks what a kernel would (a file that is not
 * open, a range that is mapped twice, interrupts of two kinds at a time) and records the rest.
 */
#define FAKE_VFIO_FD	  5000 /* its files are far from real ones */
#define FAKE_VFIO_DEVICES 3
#define FAKE_VFIO_MAPS	  16
#define FAKE_VFIO_VECTORS 64

struct fake_vfio_bar {
	uint64_t size;
	uint32_t flags; /* of its register */
	bool mappable;
	uint8_t *memory; /* size bytes, whole pages */
	uint64_t sparse; /* only [0, sparse) may be mapped; 0: all */
};

struct fake_vfio_dev {
	char addr[HOSTPCI_ADDR_LEN];
	int group;
	const char *driver;
	unsigned config_size;
	uint8_t config[4096];
	struct fake_vfio_bar bars[6];
	unsigned irqs[VFIO_PCI_NUM_IRQS];
	bool irqs_grow;
	bool no_reset;
	/* What was done to it. */
	bool open;
	unsigned resets, hot_resets, config_writes;
	int kind;			/* of the interrupts that are on; -1: none */
	unsigned enabled;		/* how many */
	int32_t fds[FAKE_VFIO_VECTORS]; /* their eventfds */
	int32_t request_fd, error_fd, unmask_fd;
	unsigned unmasks, set_irqs;
	unsigned still_asserted; /* so many more unmaskings find INTx asserted */
};

struct fake_vfio_map {
	bool used;
	uint64_t iova, size, vaddr;
	bool write;
};

struct fake_vfio {
	char root[64]; /* of sysfs */
	struct fake_vfio_dev devs[FAKE_VFIO_DEVICES];
	unsigned ndevs;
	bool iommufd;	       /* the host has it */
	bool busy, not_viable; /* what opening a group or its status say */
	int map_error;	       /* what mapping says */
	unsigned map_fails_at; /* … from this call on; 0: from the first */
	unsigned vectors_max;  /* that the host has to give; 0: enough */
	struct fake_vfio_map maps[FAKE_VFIO_MAPS];
	unsigned map_calls;
	unsigned open_files;
	bool iommu_set;
	unsigned groups_in;
};

/** The one there is; its ops know it. */
extern struct fake_vfio fake_vfio;
extern struct vfio_sys fake_vfio_sys;

/** An Intel 82576's virtual function, or the physical one, in a group of its own. */
enum fake_vfio_kind { FAKE_VF, FAKE_PF };
struct fake_vfio_dev *fake_vfio_add(const char *addr, enum fake_vfio_kind kind, int group);
void fake_vfio_init(void);
/** Aborts if a file is open or a range mapped still. */
void fake_vfio_fini(void);
/** The range at iova, or NULL. */
const struct fake_vfio_map *fake_vfio_mapped(uint64_t iova);
/** The device raises vector i of what is enabled, or the line. Returns whether it could. */
bool fake_vfio_raise(struct fake_vfio_dev *dev, unsigned i);
/** Writes text to sysfs/path, making folders. */
void fake_vfio_file(const char *path, const char *text);
void fake_vfio_link(const char *path, const char *target);

#endif
