/* SPDX-License-Identifier: Apache-2.0 */
#include "device/nic_irq.h"

void nic_irq_init(struct nic_irq *irq, struct pci_dev *dev, void (*held)(void *opaque),
		  void *opaque)
{
	memset(irq, 0, sizeof(*irq));
	pthread_mutex_init(&irq->lock, NULL);
	irq->dev = dev;
	irq->held = held;
	irq->opaque = opaque;
	irq->deadline = NIC_IRQ_NEVER;
}

void nic_irq_fini(struct nic_irq *irq)
{
	pthread_mutex_destroy(&irq->lock);
}

/*
 * Makes the line what cause, mask and throttling say. The lock is held. Returns whether an
 * assertion has just begun to wait.
 */
static bool update(struct nic_irq *irq, uint64_t now)
{
	bool want = irq->cause & irq->mask;
	bool waited = irq->deadline != NIC_IRQ_NEVER;
	uint64_t due = irq->last ? irq->last + irq->interval : 0;

	if (irq->changed)
		irq->changed(irq->opaque, irq->cause, irq->mask);
	if (want && !irq->level && now < due) {
		irq->deadline = due;
		irq->delayed += !waited;
		return !waited;
	}
	irq->deadline = NIC_IRQ_NEVER;
	if (want == irq->level)
		return false;
	if (want) {
		irq->asserted++;
		irq->last = now;
	}
	irq->level = want;
	pci_dev_intx(irq->dev, want);
	return false;
}

static void unlock(struct nic_irq *irq, bool held)
{
	pthread_mutex_unlock(&irq->lock);
	if (held && irq->held)
		irq->held(irq->opaque);
}

void nic_irq_reset(struct nic_irq *irq)
{
	pthread_mutex_lock(&irq->lock);
	irq->cause = irq->mask = irq->used = 0;
	irq->interval = irq->last = 0;
	unlock(irq, update(irq, 0));
}

void nic_irq_raise(struct nic_irq *irq, uint32_t causes, uint64_t now)
{
	if (!causes)
		return;
	pthread_mutex_lock(&irq->lock);
	irq->cause |= causes;
	unlock(irq, update(irq, now) || (causes & ~irq->mask & irq->used));
}

void nic_irq_urge(struct nic_irq *irq, uint32_t causes, uint64_t now)
{
	pthread_mutex_lock(&irq->lock);
	irq->cause |= causes;
	if (!irq->level)
		irq->last = 0;
	unlock(irq, update(irq, now));
}

uint32_t nic_irq_clear(struct nic_irq *irq, uint32_t clear, uint64_t now)
{
	uint32_t cause;

	pthread_mutex_lock(&irq->lock);
	cause = irq->cause;
	irq->cause &= ~clear;
	unlock(irq, update(irq, now));
	return cause;
}

uint32_t nic_irq_set_mask(struct nic_irq *irq, uint32_t and, uint32_t or, uint64_t now)
{
	uint32_t mask;

	pthread_mutex_lock(&irq->lock);
	irq->mask = mask = (irq->mask & and) | or ;
	irq->used |= mask;
	unlock(irq, update(irq, now));
	return mask;
}

void nic_irq_set_interval(struct nic_irq *irq, uint64_t interval, uint64_t now)
{
	pthread_mutex_lock(&irq->lock);
	irq->interval = interval;
	unlock(irq, update(irq, now));
}

uint32_t nic_irq_cause(struct nic_irq *irq)
{
	uint32_t cause;

	pthread_mutex_lock(&irq->lock);
	cause = irq->cause;
	pthread_mutex_unlock(&irq->lock);
	return cause;
}

uint32_t nic_irq_mask(struct nic_irq *irq)
{
	uint32_t mask;

	pthread_mutex_lock(&irq->lock);
	mask = irq->mask;
	pthread_mutex_unlock(&irq->lock);
	return mask;
}

bool nic_irq_masked_pending(struct nic_irq *irq)
{
	bool pending;

	pthread_mutex_lock(&irq->lock);
	pending = irq->cause & ~irq->mask & irq->used;
	pthread_mutex_unlock(&irq->lock);
	return pending;
}

uint64_t nic_irq_poll(struct nic_irq *irq, uint64_t now)
{
	uint64_t deadline = irq->deadline;

	if (now < deadline)
		return deadline;
	pthread_mutex_lock(&irq->lock);
	update(irq, now);
	deadline = irq->deadline;
	pthread_mutex_unlock(&irq->lock);
	return deadline;
}
