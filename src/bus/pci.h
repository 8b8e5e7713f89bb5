/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BUS_PCI_H
#define BUS_PCI_H

#include "bus/bus.h"

#include <pthread.h>

/*
 * PCI: one host bridge with one bus of 32 slots of 8 functions, reached through ECAM and through
 * the legacy ports 0xcf8/0xcfc. BARs are assigned here before the guest starts (stock kernels
 * accept that) and follow the guest when it moves them.
 *
 * Locks. A device's lock is taken around its config, BAR and reset calls. The order is device lock,
 * then the bus's own and the interrupt locks, which are leaves: nothing here calls a device with
 * one of those held. A vCPU never waits for the main loop with the device lock held (that is what
 * the settle op is for), so the main loop may take it.
 */
#define PCI_CONFIG_SIZE	       4096
#define PCI_LEGACY_CONFIG_SIZE 256
#define PCI_BARS	       6
#define PCI_MSIX_MAX	       2048

enum pci_bar_kind { PCI_BAR_NONE, PCI_BAR_IO, PCI_BAR_MEM32, PCI_BAR_MEM64 };

struct pci_bar {
	enum pci_bar_kind kind;
	bool prefetch;
	bool unlocked;			 /* the handlers take the device's lock themselves */
	uint64_t size;			 /* power of two; at least 16 (MEM) or 4 (IO) */
	const struct bus_range_ops *ops; /* called with the pci_dev as opaque */
	uint64_t addr;			 /* where it is now */
	bool mapped;			 /* decoding enabled and on the bus */
	uint64_t home;			 /* where it is put at reset */
};

struct pci_dev;

/* All with the device's lock held, unless said otherwise. */
struct pci_dev_ops {
	/**
	 * Config space was written: the generic part (command, BARs, MSI-X control) is done
	 * already. May be NULL.
	 */
	void (*config_written)(struct pci_dev *dev, unsigned offset, unsigned size);
	/** Overrides a config read; return false to take the generic one. May be NULL. */
	bool (*config_read)(struct pci_dev *dev, unsigned offset, unsigned size, uint32_t *value);
	/** After a config write, with the lock released: the place to wait. May be NULL. */
	void (*settle)(struct pci_dev *dev);
	/** A BAR was mapped or unmapped (e.g. to move ioeventfds). May be NULL. */
	void (*bar_moved)(struct pci_dev *dev, unsigned bar, bool mapped);
	/** MSI-X was enabled or disabled as a whole. May be NULL. */
	void (*msix_changed)(struct pci_dev *dev, bool enabled);
	/** The machine or the function is reset: back to the power-on state. May be NULL. */
	void (*reset)(struct pci_dev *dev);
	/**
	 * The machine stands still from here on, or goes on: on return with paused set nothing of
	 * the device touches guest memory. Control thread, no lock. May be NULL.
	 */
	void (*pause)(struct pci_dev *dev, bool paused);
	/** Removal or end of the machine: release everything, free the device itself. No lock. */
	void (*destroy)(struct pci_dev *dev);
};

struct pci_ids {
	uint16_t vendor, device, subsystem_vendor, subsystem;
	uint32_t class_code; /* 24 bits: class, subclass, interface */
	uint8_t revision;
};

struct msix; /* bus/msix.h */
struct pci_bus;

struct pci_dev {
	char id[32]; /* "net0": as the user named it */
	const struct pci_dev_ops *ops;
	void *opaque; /* for whoever's the ops are */
	struct pci_bus *bus;
	struct bus_host *host;
	uint8_t slot, function;
	unsigned users;	      /* config accesses under way; under the bus's lock */
	pthread_mutex_t lock; /* taken around config, BAR and reset calls */
	uint8_t config[PCI_CONFIG_SIZE];
	uint8_t writable[PCI_CONFIG_SIZE]; /* bits the guest may change */
	uint8_t write1clear[PCI_CONFIG_SIZE];
	uint8_t initial[PCI_CONFIG_SIZE]; /* config as it was when added: what reset restores */
	struct pci_bar bars[PCI_BARS];
	bool asleep; /* no BAR answers, whatever the command register says */
	struct msix *msix;
	struct msi *msi;	     /* bus/msi.h */
	unsigned next_cap, last_cap; /* capability allocation */
	unsigned intx_gsi;
	unsigned intx_index; /* in pci_windows.intx_gsi */
	bool intx_level;     /* what the device wants; under the bus's interrupt lock */
	bool intx_driven;    /* what it gets */
	bool express;	     /* config space beyond 256 bytes is there */
};

/**
 * Fills the header of a device that its owner allocated, zeroed; id, ops and host must be set
 * already.
 */
void pci_dev_init(struct pci_dev *dev, const struct pci_ids *ids);

/** Undoes pci_dev_init() and msix_init(): for destroy ops and failed constructors. */
void pci_dev_fini(struct pci_dev *dev);

/** Declares a BAR (before pci_bus_add). */
void pci_dev_bar(struct pci_dev *dev, unsigned bar, enum pci_bar_kind kind, uint64_t size,
		 const struct bus_range_ops *ops);

/** Adds a capability of len bytes (its two header bytes included). Returns its offset, 0 if full. */
unsigned pci_dev_add_cap(struct pci_dev *dev, uint8_t cap_id, unsigned len);

/**
 * Makes it a PCI Express function (root complex integrated endpoint), whose extended config space
 * can be reached. Returns the capability's offset, 0 if full.
 */
unsigned pci_dev_add_express(struct pci_dev *dev);

/** Makes the function use an interrupt pin; before pci_bus_add. */
void pci_dev_use_intx(struct pci_dev *dev);

/**
 * Drives the INTx line (level), honouring the command register's interrupt-disable bit. From any
 * thread, with or without the device's lock.
 */
void pci_dev_intx(struct pci_dev *dev, bool level);

/**
 * Takes all BARs off the bus, or lets them answer again as the command register says: for power
 * states below D0, and for a device that is gone. The device's lock is held.
 */
void pci_dev_sleep(struct pci_dev *dev, bool asleep);

/** Whether the guest lets the device be a bus master. Devices do no DMA without it. */
bool pci_dev_bus_master(const struct pci_dev *dev);

/** A config access of 1, 2 or 4 naturally aligned bytes, as a vCPU makes it. Takes the lock. */
uint32_t pci_dev_config_read(struct pci_dev *dev, unsigned offset, unsigned size);
void pci_dev_config_write(struct pci_dev *dev, unsigned offset, unsigned size, uint32_t value);

/* The windows BARs are assigned from, and where config space is. */
struct pci_windows {
	uint64_t ecam_base; /* 1 MiB a bus */
	uint64_t mem32_base, mem32_size;
	uint64_t mem64_base, mem64_size;
	uint16_t io_base, io_size;
	unsigned intx_gsi[4]; /* INTA# … INTD#: that of (slot + pin) % 4, INTA# being pin 0 */
	/* The reset control register, port 0xcf9: a byte that PCs have inside the address register.
	 * NULL: none. */
	const struct bus_range_ops *reset_ops;
	void *reset_opaque;
};

struct pci_bus *pci_bus_create(struct bus_host *host, struct bus *mmio, struct bus *pio,
			       const struct pci_windows *windows, struct error *err);
/** Destroys all devices, then the bus. No vCPU may be running. */
void pci_bus_destroy(struct pci_bus *bus);

#define PCI_SLOT_ANY (-1)
/**
 * Puts dev in a slot (function 0..7), assigns BARs, enables nothing. The bus owns dev from here;
 * after a failure the caller still does. -EBUSY: the slot or function is taken; -ENOSPC: no free
 * slot or no room for a BAR.
 */
int pci_bus_add(struct pci_bus *bus, struct pci_dev *dev, int slot, unsigned function,
		struct error *err);
/** Takes dev out and destroys it; returns when no vCPU can be in one of its handlers. */
void pci_bus_remove(struct pci_bus *bus, struct pci_dev *dev);
/** The device of that id, or NULL; valid until it is removed. */
struct pci_dev *pci_bus_find(struct pci_bus *bus, const char *id);
/** Calls fn for every device in the order of slots; fn must not add or remove. */
void pci_bus_for_each(struct pci_bus *bus, void (*fn)(struct pci_dev *dev, void *arg), void *arg);
/** Resets every function and reassigns BARs as at start. From the control thread. */
void pci_bus_reset(struct pci_bus *bus);

#endif
