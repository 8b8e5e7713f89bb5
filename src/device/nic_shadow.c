/* SPDX-License-Identifier: Apache-2.0 */
#include "device/nic_shadow.h"

#include <errno.h>
#include <stdlib.h>

int nic_shadow_init(struct nic_shadow *shadow, struct bus_host *host, bool enable)
{
	void *page = aligned_alloc(NIC_SHADOW_SIZE, NIC_SHADOW_SIZE);

	memset(shadow, 0, sizeof(*shadow));
	if (!page)
		return -ENOMEM;
	memset(page, 0, NIC_SHADOW_SIZE);
	pthread_mutex_init(&shadow->lock, NULL);
	shadow->host = host;
	shadow->page = page;
	shadow->usable = enable && host->ops->map_memory && host->ops->unmap_memory;
	return 0;
}

/* Maps or unmaps; the lock is held. */
static void apply(struct nic_shadow *shadow, bool show)
{
	const struct bus_host_ops *ops = shadow->host->ops;

	show = show && shadow->usable && shadow->mapped;
	if (show == shadow->shown)
		return;
	if (show &&
	    ops->map_memory(shadow->host, shadow->base, NIC_SHADOW_SIZE, shadow->page, true)) {
		shadow->usable = false; /* every read exits; nothing else changes */
		return;
	}
	if (!show)
		ops->unmap_memory(shadow->host, shadow->base);
	shadow->shown = show;
	shadow->switches++;
}

void nic_shadow_fini(struct nic_shadow *shadow)
{
	if (!shadow->page)
		return;
	nic_shadow_hide(shadow);
	free(shadow->page);
	pthread_mutex_destroy(&shadow->lock);
	shadow->page = NULL;
}

void nic_shadow_map(struct nic_shadow *shadow, bool mapped, uint64_t base)
{
	pthread_mutex_lock(&shadow->lock);
	apply(shadow, false);
	shadow->mapped = mapped;
	shadow->base = base;
	pthread_mutex_unlock(&shadow->lock);
}

void nic_shadow_hide(struct nic_shadow *shadow)
{
	pthread_mutex_lock(&shadow->lock);
	shadow->want = false;
	apply(shadow, false);
	pthread_mutex_unlock(&shadow->lock);
}

void nic_shadow_tend(struct nic_shadow *shadow)
{
	if (!shadow->usable || shadow->shown == atomic_load(&shadow->want))
		return;
	pthread_mutex_lock(&shadow->lock);
	apply(shadow, shadow->want);
	pthread_mutex_unlock(&shadow->lock);
}

uint64_t nic_shadow_read(const struct nic_shadow *shadow, uint64_t at, unsigned size)
{
	if (at >= NIC_SHADOW_SIZE || size > NIC_SHADOW_SIZE - at)
		return 0;
	switch (size) {
	case 1:
		return nic_shadow_get8(shadow, (unsigned)at);
	case 2:
		return nic_shadow_get16(shadow, (unsigned)at);
	case 4:
		return nic_shadow_get32(shadow, (unsigned)at);
	default:
		return nic_shadow_get32(shadow, (unsigned)at) |
		       (uint64_t)nic_shadow_get32(shadow, (unsigned)at + 4) << 32;
	}
}
