/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DEVICE_NIC_POST_H
#define DEVICE_NIC_POST_H

#include "bus/host.h"

#include <pthread.h>
#include <stdatomic.h>

/*
 * Posted registers: those whose writes KVM keeps in a ring instead of leaving for user space
 * (bus_host's coalesce op). Some are always posted, because the device looks at the ring before
 * their effect could matter to anyone. A doorbell is switched: *posted* while the driver rings it
 * often, and the worker looks at intervals; *armed*, so that a write leaves the kernel at once,
 * when the worker wants to sleep.
 *
 * A worker that tends a doorbell keeps this invariant: it never sleeps without a bound while a
 * doorbell that it waits for is posted. To arm is to unregister and then to empty the ring once
 * more: a write that came before is in the ring, a later one exits.
 *
 * A doorbell that shares its register with commands that may not wait (a stop: the driver takes its
 * memory back) is posted by value: KVM counts writes of that value in an eventfd (bus_host's
 * ioeventfd_value op), the worker asks nic_post_took(), and any other value exits at once.
 */
#define NIC_POST_MAX   8
#define NIC_POST_NEVER UINT64_MAX

enum nic_post_kind {
	NIC_POST_ALWAYS, /* nobody ever waits for it */
	NIC_POST_EAGER,	 /* a doorbell that is rarely waited for: armed only meanwhile */
	NIC_POST_BUSY,	 /* a doorbell that is always waited for: posted only while it is busy */
};

struct nic_post_reg {
	const char *name;
	uint32_t offset, len; /* in the BAR */
	enum nic_post_kind kind;
	bool by_value; /* only writes of this value */
	uint8_t value;
};

struct nic_post_state {
	_Atomic bool posted; /* as registered with the host */
	_Atomic bool want;
	_Atomic uint64_t writes; /* that arrived at the device, however */
	/* The rate of writes that exited, for the decision to post. */
	_Atomic uint64_t burst_since;
	_Atomic unsigned burst;
	int fd; /* by_value: where KVM counts */
	/* The worker's. */
	bool may_have; /* by_value: something may be in fd */
	uint64_t seen, quiet_since;
	bool waiting;
};

struct nic_post {
	struct bus_host *host;
	pthread_mutex_t lock; /* around registration */
	const struct nic_post_reg *regs;
	unsigned count;
	uint64_t base;
	_Atomic bool mapped, usable;
	uint64_t interval; /* ns between looks at a posted doorbell; the unit of all times here */
	uint64_t switch_cost;
	_Atomic uint64_t switches;
	struct nic_post_state state[NIC_POST_MAX];
};

void nic_post_init(struct nic_post *post, struct bus_host *host, const struct nic_post_reg *regs,
		   unsigned count, bool enable);
void nic_post_fini(struct nic_post *post);

/** The BAR with the registers is now at base, or nowhere. */
void nic_post_map(struct nic_post *post, bool mapped, uint64_t base);

/** Delivers what waits in the ring, to the devices' handlers. No device lock may be held. */
void nic_post_drain(struct nic_post *post);

/** From the worker: whether register i, posted by value, was written since this was last asked. */
bool nic_post_took(struct nic_post *post, unsigned i);

/** The register was written; returns whether the worker should be told to post it. */
bool nic_post_written(struct nic_post *post, unsigned i, uint64_t now);

static inline bool nic_post_is(const struct nic_post *post, unsigned i)
{
	return post->state[i].posted;
}

/**
 * From the worker, no lock held: switches doorbell i as its traffic suggests. waiting: its next
 * write matters. Returns when to look again; `now` means that it was armed just now and the device
 * must be looked at once more.
 */
uint64_t nic_post_tend(struct nic_post *post, unsigned i, bool waiting, uint64_t now);

#endif
