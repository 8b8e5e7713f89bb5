/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DEVICE_NIC_SHADOW_H
#define DEVICE_NIC_SHADOW_H

#include "bus/host.h"

#include <pthread.h>
#include <stdatomic.h>

/*
 * Registers that the guest reads without leaving. Where reading a register has no effect, the
 * register file is a page that is mapped into the guest, read-only, where its BAR is: reads are
 * loads, and writes leave as ever. A chip keeps all its readable registers in the page and changes
 * them as they change, so a handler's read and the guest's own give the same.
 *
 * Invariant: the page is never behind. What it shows may not be posted (device/nic_post.h), except
 * doorbells, which read as if they had been taken at once. For as long as a register's value is
 * made when it is read (a running timer, a latched bit), the page is hidden.
 */
#define NIC_SHADOW_SIZE 4096

struct nic_shadow {
	struct bus_host *host;
	pthread_mutex_t lock; /* around mapping; a leaf */
	uint8_t *page;
	uint64_t base;
	bool mapped; /* the BAR is at base */
	_Atomic bool usable, shown, want;
	_Atomic uint64_t switches;
};

/** Makes the page, zeroed. The host maps it only if enable. 0 or -ENOMEM. */
int nic_shadow_init(struct nic_shadow *shadow, struct bus_host *host, bool enable);
/** Hides and frees it; nothing if init failed or was not called. */
void nic_shadow_fini(struct nic_shadow *shadow);

/** The BAR is now at base, or nowhere. */
void nic_shadow_map(struct nic_shadow *shadow, bool mapped, uint64_t base);

/** From any thread, device lock held or not: takes the page away from the guest, now. */
void nic_shadow_hide(struct nic_shadow *shadow);

/** Lets the worker show it. Returns whether it has something to do for that. */
static inline bool nic_shadow_want(struct nic_shadow *shadow)
{
	atomic_store_explicit(&shadow->want, true, memory_order_relaxed);
	return shadow->usable && !shadow->shown;
}

/** From the worker, no lock held: shows the page if somebody wants it. */
void nic_shadow_tend(struct nic_shadow *shadow);

/* The registers, little-endian, naturally aligned. The guest sees each store whole, and with it what
 * was done before it: a driver that reads "sent" finds the frame read. */
static inline uint8_t nic_shadow_get8(const struct nic_shadow *s, unsigned at)
{
	return __atomic_load_n(s->page + at, __ATOMIC_ACQUIRE);
}

static inline uint16_t nic_shadow_get16(const struct nic_shadow *s, unsigned at)
{
	return le16toh(__atomic_load_n((uint16_t *)(void *)(s->page + at), __ATOMIC_ACQUIRE));
}

static inline uint32_t nic_shadow_get32(const struct nic_shadow *s, unsigned at)
{
	return le32toh(__atomic_load_n((uint32_t *)(void *)(s->page + at), __ATOMIC_ACQUIRE));
}

static inline void nic_shadow_set8(struct nic_shadow *s, unsigned at, uint8_t v)
{
	__atomic_store_n(s->page + at, v, __ATOMIC_RELEASE);
}

static inline void nic_shadow_set16(struct nic_shadow *s, unsigned at, uint16_t v)
{
	__atomic_store_n((uint16_t *)(void *)(s->page + at), htole16(v), __ATOMIC_RELEASE);
}

static inline void nic_shadow_set32(struct nic_shadow *s, unsigned at, uint32_t v)
{
	__atomic_store_n((uint32_t *)(void *)(s->page + at), htole32(v), __ATOMIC_RELEASE);
}

/** What a read of size bytes (1, 2, 4 or 8) at a multiple of size gives. */
uint64_t nic_shadow_read(const struct nic_shadow *shadow, uint64_t at, unsigned size);

#endif
