/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DEVICE_NIC_IRQ_H
#define DEVICE_NIC_IRQ_H

#include "bus/pci.h"

#include <stdatomic.h>

/*
 * The interrupt half of an emulated NIC: a cause register, a mask, the INTx line they make
 * together, and throttling. Any thread; the lock is a leaf (only the bus's interrupt lock is taken
 * inside), so a vCPU that reads the cause never waits for the data path.
 *
 * Throttling delays assertions, never causes: a read of the cause register shows what there is,
 * also before the interrupt was due. While an assertion is held back, deadline says until when;
 * the NIC's worker wakes up for it and calls nic_irq_poll().
 */
#define NIC_IRQ_NEVER UINT64_MAX

struct nic_irq {
	pthread_mutex_t lock;
	struct pci_dev *dev;
	/* Called when an assertion starts to wait, for its time or for its mask: see to the worker. */
	void (*held)(void *opaque);
	/* Called with the lock held when cause or mask may have changed; NULL: nobody follows. */
	void (*changed)(void *opaque, uint32_t cause, uint32_t mask);
	void *opaque;
	uint32_t cause, mask;
	uint32_t used; /* causes that the driver has unmasked since the reset */
	bool level;
	uint64_t interval; /* ns between assertions at least; 0: none */
	uint64_t last;	   /* when the last one was */
	_Atomic uint64_t deadline;
	_Atomic uint64_t asserted, delayed; /* counters */
};

void nic_irq_init(struct nic_irq *irq, struct pci_dev *dev, void (*held)(void *opaque),
		  void *opaque);
void nic_irq_fini(struct nic_irq *irq);

/** Everything off: no cause, no mask, no throttling, line low. */
void nic_irq_reset(struct nic_irq *irq);

/** Adds causes. */
void nic_irq_raise(struct nic_irq *irq, uint32_t causes, uint64_t now);

/** Takes the causes in clear away and returns what there was before. */
uint32_t nic_irq_clear(struct nic_irq *irq, uint32_t clear, uint64_t now);

/** Sets mask to (mask & and) | or, and returns the new one. */
uint32_t nic_irq_set_mask(struct nic_irq *irq, uint32_t and, uint32_t or, uint64_t now);

/** Minimum time between two assertions, in ns. */
void nic_irq_set_interval(struct nic_irq *irq, uint64_t interval, uint64_t now);

/** Adds causes that may not wait: asserts what is held back, too. */
void nic_irq_urge(struct nic_irq *irq, uint32_t causes, uint64_t now);

uint32_t nic_irq_cause(struct nic_irq *irq);
uint32_t nic_irq_mask(struct nic_irq *irq);

/** Whether there are causes that only wait to be unmasked, of those the driver unmasks at all. */
bool nic_irq_masked_pending(struct nic_irq *irq);

/** Asserts what was held back if its time has come. Returns when the next one is due. */
uint64_t nic_irq_poll(struct nic_irq *irq, uint64_t now);

#endif
