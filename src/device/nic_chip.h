/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DEVICE_NIC_CHIP_H
#define DEVICE_NIC_CHIP_H

#include "device/nic.h"
#include "device/nic_dma.h"
#include "device/nic_irq.h"
#include "device/nic_post.h"
#include "device/nic_rx.h"
#include "device/nic_shadow.h"
#include "device/nic_tx.h"
#include "device/nic_worker.h"

/*
 * What is around an emulated chip: its PCI function, lock, memory, back-end, worker, interrupts,
 * doorbells and register page, put together. The chip embeds it first and adds its registers.
 *
 * Locks. The device's lock is taken after the PCI function's, never before it, and the interrupt
 * block's after both. The bus's lock for posted writes is taken first of all (a vCPU that drains
 * holds it while it calls handlers), so a worker drains with no lock held.
 */

/* The way in for the model table, tests and fuzz targets. */
struct nic_chip_setup {
	const char *id;
	uint8_t mac[6];
	struct bus_host *host;
	struct guest_mem *mem;
	struct hostnet *hn;	 /* the device's from here on, if it is created; NULL: none */
	uint64_t (*clock)(void); /* NULL: clock_ns() */
	bool threaded;		 /* start the worker; else step is called by hand */
	bool post;		 /* post doorbells where the host can */
	bool shadow;		 /* show registers to the guest where the host can */
	bool real_fcs;
	int cpu; /* of the worker, or THREAD_ANY_CPU */
};

/* Frames of each direction that a step moves at most, and a vCPU for its own doorbell. */
#define NIC_CHIP_BURST	64
#define NIC_CHIP_INLINE 16

/* A back-end that was full is asked again after this time. */
#define NIC_CHIP_RETRY_NS (100 * NSEC_PER_USEC)

struct nic_chip_model {
	const struct nic_ops *nic_ops;
	const struct pci_dev_ops *pci_ops;
	void (*step)(void *chip, uint64_t now, struct nic_worker_wish *wish);
	const struct nic_rx_ops *rx_ops;
	const struct nic_post_reg *posts;
	unsigned nposts;
	const char *const *access_names; /* of the counters of accesses that left the kernel */
	unsigned naccesses;
	struct pci_ids ids;
};

#define NIC_CHIP_ACCESSES 16

struct nic_chip {
	struct nic nic; /* first */
	const struct nic_chip_model *model;
	struct guest_mem *mem;
	struct mem_listener mem_listener;
	bool listening;
	struct hostnet *hn;
	struct nic_worker worker;
	struct nic_irq irq;
	struct nic_post post;
	struct nic_shadow shadow;
	uint64_t (*clock)(void);
	bool real_fcs;
	bool admin_up; /* the host's side of the link; control thread */
	uint8_t mac[6];

	pthread_mutex_t lock;	  /* the chip's state and all below, except what is _Atomic */
	_Atomic unsigned waiters; /* vCPUs that want the lock: the worker gives way */
	struct nic_dma dma;
	struct nic_rx rx;
	struct nic_flow tx_flow, rx_flow;
	struct capture *capture; /* NULL: none */
	uint64_t tx_retry;	 /* the back-end was full: not before this */

	/* Receiving: frames wait and there is no room for them. */
	_Atomic bool stalled;
	_Atomic uint64_t look_at;
	uint64_t stalled_at, look_interval;

	/* Bulk traffic or single packets: how long interrupts are held back (nic_chip_pace). */
	uint64_t pace_since;
	unsigned pace_frames;
	bool bulk;

	_Atomic uint64_t accesses[NIC_CHIP_ACCESSES];
};

static inline struct nic_chip *nic_chip_of(struct pci_dev *dev)
{
	return container_of(dev, struct nic_chip, nic.pci);
}

/**
 * Prepares all of it but the PCI function's BARs and capabilities; chip is zeroed. After a failure
 * nic_chip_fini() is still to be called.
 */
int nic_chip_init(struct nic_chip *chip, const struct nic_chip_model *model,
		  const struct nic_chip_setup *setup, struct error *err);

/** The chip is ready: listens for memory, takes the back-end, starts the worker. */
int nic_chip_start(struct nic_chip *chip, const struct nic_chip_setup *setup, struct error *err);

/** Undoes both; closes the back-end if it was taken. The caller frees the device. */
void nic_chip_fini(struct nic_chip *chip);

/** A power management capability that can do what the PMC word says. */
void nic_chip_add_pm(struct nic_chip *chip, uint16_t pmc);

/** Takes the device's lock for a vCPU. Unlock with pthread_mutex_unlock(). */
void nic_chip_lock(struct nic_chip *chip);

/** pci_dev_ops' config_written: bus mastering. */
void nic_chip_config_written(struct pci_dev *dev, unsigned offset, unsigned size);

/** The worker's first deed in a step: lets vCPUs pass, and takes in what was posted. */
void nic_chip_step_begin(struct nic_chip *chip);

/** Wakes the worker, unless the caller is it. */
void nic_chip_kick(struct nic_chip *chip);

static inline void nic_chip_count_access(struct nic_chip *chip, unsigned which)
{
	atomic_fetch_add_explicit(&chip->accesses[which], 1, memory_order_relaxed);
}

/**
 * Counts frames that moved, and sets how long interrupts are held back: not at all while packets
 * come one by one, an interval while they come in numbers.
 */
void nic_chip_pace(struct nic_chip *chip, unsigned frames, uint64_t now);

/**
 * Receives up to budget frames with the lock held, or drops them when deaf is a cause (else
 * NIC_DROP_COUNT). has_room is asked before each frame is taken. Keeps the stalled state: a ring
 * without room is looked at again after a while, and when nic_chip_look() says so. Returns whether
 * there may be more to do now.
 */
bool nic_chip_receive(struct nic_chip *chip, unsigned budget, uint64_t now, enum nic_drop deaf,
		      bool (*has_room)(struct nic_chip *chip));

/** The driver did something after which there may be room again. */
void nic_chip_look(struct nic_chip *chip);

/** A frame that comes back to the receiver (loopback). -EAGAIN: no room, counted as a drop. */
int nic_chip_loop_back(struct nic_chip *chip, const struct net_frame *frame, enum nic_drop deaf);

/**
 * Sends frames and counts them; without a link they are dropped. Returns how many are gone; if not
 * all, tx_retry says when to try again.
 */
unsigned nic_chip_send(struct nic_chip *chip, const struct net_frame *frames, unsigned n, bool link,
		       uint64_t now);

/** A frame on its way into the guest's memory, followed by its frame check sequence. */
struct nic_chip_in {
	const struct iovec *iov;
	unsigned niov;
	uint32_t len;  /* without FCS, and without the tag where that is removed */
	bool untagged; /* the 802.1Q tag is to be left out */
	uint8_t fcs[4];
};
#define NIC_CHIP_FCS 4

/** Fills in *in; the FCS is the real one with fcs=on, else zeros. */
void nic_chip_in(const struct nic_chip *chip, struct nic_chip_in *in, const struct iovec *iov,
		 unsigned niov, uint32_t len);
/** Copies n of its len + NIC_CHIP_FCS bytes, from offset on. */
void nic_chip_copy_out(const struct nic_chip_in *in, uint32_t offset, uint8_t *to, uint32_t n);

/** The host plugs the cable in or out: notes it, and tells the observer. For set_link. */
void nic_chip_cable(struct nic_chip *chip, bool up);

/** pci_dev_ops.pause: the worker stands still, or goes on. */
void nic_chip_pause(struct pci_dev *dev, bool paused);

/* nic_ops, for all chips. */
#define NIC_CHIP_KEYS                                                                            \
	{"fcs", "on|off", "put real frame check sequences behind received frames (off)"},        \
		{"post", "on|off", "let the kernel collect register writes that can wait (on)"}, \
		{"shadow", "on|off", "let the guest read registers as memory (on)"},             \
	{                                                                                        \
		"worker-cpu", "CPU", "the CPU of the thread that moves the frames (any)"         \
	}
/** Fills setup from the options and opens the back-end. */
int nic_chip_options(const struct nic_params *params, struct nic_chip_setup *setup,
		     struct error *err);
/** Records frames that the guest sends; the lock is held and chip->capture set. */
void nic_chip_record(struct nic_chip *chip, const struct net_frame *frames, unsigned n, bool link);
int nic_chip_capture_start(struct nic *nic, const struct nic_capture *what, struct error *err);
int nic_chip_capture_stop(struct nic *nic, struct nic_capture_stats *stats, struct error *err);
void nic_chip_capture_stats(struct nic *nic, struct nic_capture_stats *stats);

/** nic_ops.set_backend: frame back-ends only. */
int nic_chip_set_backend(struct nic *nic, const char *backend, const struct options *opts,
			 struct nic_switch *result, struct error *err);

/** nic_ops.state and nic_ops.hops. */
void nic_chip_state(struct nic *nic, struct nic_state *out);
void nic_chip_hops(struct nic *nic, nic_hop_fn *fn, void *arg);
void nic_chip_counters(struct nic *nic, void (*emit)(void *arg, const char *name, uint64_t value),
		       void *arg);

#endif
