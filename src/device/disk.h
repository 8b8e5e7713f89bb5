/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DEVICE_DISK_H
#define DEVICE_DISK_H

#include "base/options.h"
#include "block/block.h"
#include "bus/pci.h"
#include "mem/guest_mem.h"

/*
 * Disk models: what `--disk model=` chooses. A model is one file and one line in disk_table[]; it
 * carries its name, its own option keys and its constructor. A disk is a PCI function of its own
 * (virtio-blk) or a unit of a controller that several share.
 */
#define DISK_SERIAL_MAX 36

struct disk;

#define DISK_CONTROLLERS_MAX 8

/* Where disks are put. The controllers are found here again by the next disk. */
struct disk_home {
	struct bus_host *host;
	struct guest_mem *mem;
	struct loop *loop;
	struct bus *pio;
	struct pci_dev *controllers[DISK_CONTROLLERS_MAX];
	unsigned ncontrollers;
};

struct disk_params {
	const char *id;
	const struct options *opts; /* everything in --disk, checked */
	struct block *block;	    /* open; the disk's from a successful create on */
	const char *serial;
	struct disk_home *home;
};

/* What a queue did. Written by its worker alone, read by anybody. */
struct disk_counters {
	uint64_t ops[BLOCK_OPS];
	uint64_t bytes[BLOCK_OPS];
	uint64_t errors;       /* requests that the guest was told failed */
	uint64_t bad_requests; /* malformed ones */
	uint64_t calls, bursts;
} __cacheline_al;

static inline void count_add(uint64_t *counter, uint64_t n)
{
	__atomic_store_n(counter, __atomic_load_n(counter, __ATOMIC_RELAXED) + n, __ATOMIC_RELAXED);
}

struct disk_ops {
	const char *name;
	const char *help;
	const struct option_key *keys; /* besides those common to all disks */

	/**
	 * Makes the disk. *pci is the function to be put on the bus, which will own it and with it
	 * the disk; NULL where the disk joined a controller that was given out before.
	 */
	int (*create)(const struct disk_params *params, struct disk **out, struct pci_dev **pci,
		      struct error *err);
	/** The image has another size: tells the guest. Main thread. */
	void (*resized)(struct disk *disk);
	/** Adds what its queues counted to *sum. */
	void (*counters)(struct disk *disk, struct disk_counters *sum);
};

struct disk {
	const struct disk_ops *ops;
	char id[32];
	char serial[DISK_SERIAL_MAX + 1];
	struct block *block;
};

extern const struct disk_ops *const disk_table[];
extern const struct option_key disk_common_keys[];
const struct disk_ops *disk_find(const char *name);

/**
 * Parses a whole --disk value, checks its keys against the model and the back-end, fills in
 * defaults (virtio-blk, id disk<index>, a serial made from the id), opens the image and makes the
 * disk. -EINVAL and -ERANGE: what was asked for makes no sense.
 */
int disk_create(const char *text, unsigned index, struct disk_home *home, struct disk **out,
		struct pci_dev **pci, struct error *err);

/** Changes the size of a disk's image, in bytes, and tells the guest. Main thread. */
int disk_resize(struct disk *disk, uint64_t size, struct error *err);

/** Adds one queue's counters to *sum. */
void disk_counters_add(struct disk_counters *sum, const struct disk_counters *c);

/** A number among options; *out is left alone where it is not given. 0 or as option_u64(). */
int disk_option(const struct options *opts, const char *key, uint64_t min, uint64_t max,
		unsigned *out, struct error *err);

/** For models: the controller of that id that an earlier disk made, or NULL; and one to be found. */
struct pci_dev *disk_home_controller(const struct disk_home *home, const char *id);
void disk_home_add(struct disk_home *home, struct pci_dev *controller);

/** For models: fills a zeroed disk in from params. */
void disk_init(struct disk *disk, const struct disk_ops *ops, const struct disk_params *params);

#endif
