/* SPDX-License-Identifier: Apache-2.0 */
#ifndef VMM_MACHINE_H
#define VMM_MACHINE_H

#include "base/loop.h"
#include "vmm/console.h"

/*
 * The machine: a virtual machine, its memory, its devices and the kernel in it. All functions are
 * for the main loop's thread.
 */
struct machine;
struct disk;

/** How a machine ended, or why it did not start. The values are the program's exit codes. */
enum machine_result {
	MACHINE_OFF = 0,     /* the guest powered off, or wanted a reset under no_reboot */
	MACHINE_FAILED = 1,  /* anything else */
	MACHINE_USAGE = 2,   /* what was asked for makes no sense */
	MACHINE_HOST = 3,    /* this host cannot do it */
	MACHINE_CRASHED = 4, /* the guest crashed */
};

#define MACHINE_MEMORY_MIN (2 * MIB)
#define MACHINE_DISKS_MAX  64

struct machine_config {
	const char *kernel;
	const char *initrd; /* NULL: none */
	const char *cmdline;
	unsigned cpus;
	uint64_t memory; /* bytes; a multiple of 2 MiB */
	bool hugepages, prealloc;
	enum console_kind serial;
	const char *serial_path;
	bool no_reboot;
	const char *const *nets; /* --net values */
	unsigned nnets;
	const char *const *disks; /* --disk values */
	unsigned ndisks;
	const char *const *devices; /* --device values */
	unsigned ndevices;
	bool no_irqfd, no_ioeventfd, no_coalesce, no_iommufd; /* test aids */
	bool unpack; /* a bzImage is unpacked here, not in the guest */
};

/** Makes the machine and loads its kernel; nothing runs yet. config must outlive it. */
enum machine_result machine_create(const struct machine_config *config, struct loop *loop,
				   struct machine **out, struct error *err);

/** Runs it, and the loop, until it ends. */
enum machine_result machine_run(struct machine *machine, struct error *err);

void machine_destroy(struct machine *machine);

/** Presses the power button. Returns whether the guest listens. */
bool machine_power_button(struct machine *machine);

/** Makes machine_run() return result. */
void machine_end(struct machine *machine, enum machine_result result);

struct nic;

/** The NIC of that id, or NULL; valid until it is removed. */
struct nic *machine_nic(struct machine *machine, const char *id);

/** Its first NIC; the others follow in nic->next, in the order in which they were added. */
struct nic *machine_nics(struct machine *machine);

/**
 * Plugs in a NIC, described as for --net (text may be ""), while the guest runs. Errors: those of
 * nic_create(), -EEXIST if the id is taken, -ENOSPC if there is no slot or window for it.
 */
int machine_add_nic(struct machine *machine, const char *text, struct nic **out, struct error *err);

/**
 * Asks the guest to let go of a NIC; when it has, the NIC is destroyed and the observer is told
 * ("device-removed"). It may never do so. Asking again is harmless. A reset takes it out, too.
 */
int machine_remove_nic(struct machine *machine, struct nic *nic, struct error *err);

/** The disks, by number from 0; NULL past the last. */
struct disk *machine_disk(struct machine *machine, unsigned index);

/** Resets it as its reset button would. no_reboot does not hold for this. */
int machine_reboot(struct machine *machine, struct error *err);

/**
 * Stops the vCPUs, and then the devices' own threads: nothing changes guest memory any more, and no
 * frame is taken. The host's side goes on: what is asked here, the console, timers. -EALREADY.
 */
int machine_pause(struct machine *machine, struct error *err);
int machine_resume(struct machine *machine, struct error *err);

/** Who wants to be told what happens to the machine and its devices. */
struct machine_observer {
	/** id: the device's, NULL for the machine itself; text: a sentence. */
	void (*event)(void *opaque, const char *event, const char *id, const char *text);
	void *opaque;
};
void machine_observe(struct machine *machine, const struct machine_observer *observer);

struct machine_state {
	bool paused;
	const struct machine_config *config;
	uint64_t created_ns, started_ns; /* clock_ns(); started again by each reset */
	uint64_t resets;
	uint64_t exits;		 /* of all vCPUs to this process */
	uint64_t batched_writes; /* that cost none */
	uint64_t console_lost;	 /* characters */
};
void machine_get_state(const struct machine *machine, struct machine_state *out);

/** The process was stopped and goes on. */
void machine_continued(struct machine *machine);

#endif
