/* SPDX-License-Identifier: Apache-2.0 */
#ifndef VMM_MACHINE_INTERNAL_H
#define VMM_MACHINE_INTERNAL_H

/* What machine.c, machine_boot.c and machine_devices.c share. */
#include "bus/pci.h"
#include "device/disk.h"
#include "device/hotplug.h"
#include "device/nic.h"
#include "device/pm.h"
#include "device/ports.h"
#include "device/rtc.h"
#include "device/serial.h"
#include "vmm/boot.h"
#include "vmm/machine.h"
#include "vmm/vcpu.h"

#include <stdatomic.h>

struct machine {
	const struct machine_config *config;
	struct loop *loop;
	struct vm *vm;
	struct guest_mem *mem;
	struct console *console;
	struct serial *serial;
	struct rtc *rtc;
	struct pm *pm;
	struct ports *ports;
	struct hotplug *hotplug;
	_Atomic uint32_t ejected; /* slots that the guest has let go of, for the main loop */
	struct pci_bus *pci;
	struct nic *nics; /* in the order in which they were added */
	struct disk_home disk_home;
	struct disk *disks[MACHINE_DISKS_MAX];
	unsigned ndisks;

	int kernel_fd, initrd_fd;
	uint64_t low_ram, high_ram; /* bytes below and above 4 GiB */
	uint64_t mem64_base, mem64_size;
	struct boot_entry entry;

	uint64_t created, started; /* clock_ns() */
	uint64_t resets;
	bool paused;
	const struct machine_observer *observer; /* NULL: nobody */
	struct nic_observer nic_observer;	 /* what the NICs tell, passed on */
	enum machine_result result;
	struct error error;
	/* What vCPUs asked for: written by them, acted upon in the main loop. */
	atomic_int request;
	const char *_Atomic request_how;
};

/** Decides where memory and windows are. */
int machine_layout(struct machine *m, struct error *err);
/** Opens the kernel's and the initrd's files. */
int machine_open_files(struct machine *m, struct error *err);
/** Loads kernel, initrd and tables into memory and puts the boot vCPU at the entry. */
int machine_load(struct machine *m, struct error *err);

/** Whether a device has this id. */
bool machine_id_taken(const struct machine *m, const char *id);

/** Makes the NICs that the configuration asks for. */
enum machine_result machine_add_nics(struct machine *m, struct error *err);
/** hotplug_events.ejected. */
void machine_ejected(void *opaque, uint32_t slots);
/** Takes out those that the guest was asked to let go of. No vCPU runs. */
void machine_reset_nics(struct machine *m);

/** Passes on what NICs tell. */
void machine_nic_event(void *opaque, struct nic *nic, enum nic_event event, const char *text);
/** Tells the observer, if there is one. */
void machine_notify(struct machine *m, const char *event, const char *id, const char *fmt, ...)
	__printf(4, 5);

enum machine_result machine_add_devices(struct machine *m, const struct platform_events *events,
					struct error *err);
void machine_reset_devices(struct machine *m);
void machine_remove_devices(struct machine *m);

#endif
