/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BUS_HOST_H
#define BUS_HOST_H

#include "base/error.h"
#include "base/loop.h"
#include "base/util.h"

/*
 * What a device model needs from the machine it sits in: interrupts, ioeventfds, and mapping host
 * memory into the guest. vmm/ implements these with KVM; tests with a recorder (tests/unit/).
 * All may be called from any thread.
 */
enum bus_space { BUS_MMIO, BUS_PIO };

struct msi_msg {
	uint64_t addr;
	uint32_t data;
};

struct bus_host;

struct bus_host_ops {
	/** Injects a message-signalled interrupt now. 0 or negative errno. */
	int (*msi_send)(struct bus_host *host, const struct msi_msg *msg);

	/**
	 * Makes each signal of eventfd inject msg without this process (KVM_IRQFD). *handle is set
	 * for the other two calls. Attaching an eventfd that is already signalled injects at once.
	 * -ENOTSUP where irqfds cannot be had: the caller then watches the eventfd itself.
	 */
	int (*irqfd_attach)(struct bus_host *host, int eventfd, const struct msi_msg *msg,
			    unsigned *handle);
	/** Changes the message of an attached eventfd. */
	int (*irqfd_update)(struct bus_host *host, unsigned handle, const struct msi_msg *msg);
	/** Detaches; signals then stay in the eventfd. */
	void (*irqfd_detach)(struct bus_host *host, int eventfd, unsigned handle);

	/** Sets the level of a global system interrupt (INTx). */
	void (*irq_line)(struct bus_host *host, unsigned gsi, bool level);

	/**
	 * Makes each signal of eventfd raise a global system interrupt's line without this process.
	 * When the guest has acknowledged the interrupt the line is lowered and resample signalled.
	 * add false ends it. NULL, or -ENOTSUP, where that cannot be had: the caller then watches
	 * eventfd and drives the line itself.
	 */
	int (*irqfd_line)(struct bus_host *host, bool add, unsigned gsi, int eventfd, int resample);

	/**
	 * Makes a guest write of any value and of len bytes (0: any length) at addr signal eventfd
	 * instead of leaving the kernel. -ENOTSUP where that cannot be had: the write then arrives
	 * at the device's handler, which must signal the eventfd itself.
	 */
	int (*ioeventfd)(struct bus_host *host, bool add, enum bus_space space, uint64_t addr,
			 unsigned len, int eventfd);
	/**
	 * The same of writes of one value only, of len bytes; others still arrive at the handler.
	 * NULL, or -ENOTSUP, where that cannot be had.
	 */
	int (*ioeventfd_value)(struct bus_host *host, bool add, enum bus_space space, uint64_t addr,
			       unsigned len, uint64_t value, int eventfd);

	/**
	 * Posts guest writes to [addr, addr + len): they stay in a ring and do not leave the kernel,
	 * until any access of that vCPU does or somebody calls coalesce_drain; then they are
	 * delivered, in order, as if they were made at that moment. add false ends it; what was
	 * posted before still has to be drained. NULL, or -ENOTSUP, where that cannot be had: every
	 * write then arrives at once. Adding and removing wait for the vCPUs: not for hot paths.
	 */
	int (*coalesce)(struct bus_host *host, bool add, enum bus_space space, uint64_t addr,
			unsigned len);
	/**
	 * Delivers posted writes, to any device's handlers, in the calling thread, which must not
	 * hold a device's lock. NULL where coalesce is.
	 */
	void (*coalesce_drain)(struct bus_host *host);

	/** Maps size bytes of host memory at guest-physical gpa (passthrough BARs), or unmaps it. */
	int (*map_memory)(struct bus_host *host, uint64_t gpa, uint64_t size, void *hva,
			  bool readonly);
	int (*unmap_memory)(struct bus_host *host, uint64_t gpa);

	/**
	 * The same of memory that somebody else can take away at any time, as by cutting its file
	 * short: an access that finds nothing there unmaps it, and arrives at the device's handler
	 * instead, with all later ones. unmap_memory() then says -ENOENT. NULL where that cannot be
	 * had.
	 */
	int (*lend_memory)(struct bus_host *host, uint64_t gpa, uint64_t size, void *hva);

	/**
	 * A VFIO file (a group or a device) comes to the machine or leaves it. KVM wants to know,
	 * because a device whose DMA is not coherent changes how guest memory may be cached. NULL
	 * where nobody does.
	 */
	void (*vfio_file)(struct bus_host *host, bool add, int fd);
};

struct bus_host {
	const struct bus_host_ops *ops;
	struct loop *loop; /* the main loop: watches, timers, posted work */
};

#endif
