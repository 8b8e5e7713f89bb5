/* SPDX-License-Identifier: Apache-2.0 */
#ifndef VHOST_RING_BASE_H
#define VHOST_RING_BASE_H

#include "vring/vring.h"

/*
 * How vhost writes down where a ring stands (VHOST_SET_VRING_BASE, VHOST_USER_SET_VRING_BASE): one
 * 32-bit number. Split rings: the next available index; the used index is in the ring itself.
 * Packed rings: the available slot in bits 0-14 with its wrap counter in bit 15, and the used slot
 * with its wrap counter in the same way above (linux/vhost.h; vhost-user.rst, "Ring states").
 */
uint32_t vhost_base_encode(const struct vring_config *cfg, const struct vring_state *state);

/**
 * The other way. A split ring's used index is taken from the ring in table's memory; 0, or -EFAULT
 * when the ring is not in memory, or -ERANGE when base says what cannot be for a ring of cfg's
 * size. *state is set also then, to the nearest thing that can be.
 */
int vhost_base_decode(const struct vring_config *cfg, const struct mem_table *table, uint32_t base,
		      struct vring_state *state);

/**
 * Where a ring stands whose owner is gone without saying so: from the ring alone. last is the last
 * state known. Split: the used index; what was taken but not used is given out again, which is
 * right for back-ends that complete in order (vhost-user.rst, "Inflight I/O tracking"). Packed: see
 * ring_base.c for what can be known. Only looks. 0 or -EFAULT.
 */
int vhost_base_recover(const struct vring_config *cfg, const struct mem_table *table,
		       const struct vring_state *last, struct vring_state *state);

/**
 * For a ring whose owner ended while it published a burst: makes used, empty, the chains that it
 * had passed over but not yet published (*mended of them), so that others can go on from *state,
 * which is moved behind them. state is as found by vhost_base_recover(); nobody else may be at the
 * ring. 0 or -EFAULT.
 */
int vhost_base_mend(const struct vring_config *cfg, const struct mem_table *table,
		    struct vring_state *state, unsigned *mended);

#endif
