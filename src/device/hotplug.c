/* SPDX-License-Identifier: Apache-2.0 */
#include "device/hotplug.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

struct hotplug {
	struct bus_host *host;
	struct bus *pio;
	struct hotplug_events events;
	uint16_t port;
	unsigned gsi;
	pthread_mutex_t lock;
	uint32_t added, remove; /* of which the guest has not taken note */
	uint32_t wanted;	/* asked for and not yet ejected */
	bool level;
};

/* The lock is held. */
static void update_level(struct hotplug *h)
{
	bool level = h->added || h->remove;

	if (level == h->level)
		return;
	h->level = level;
	h->host->ops->irq_line(h->host, h->gsi, level);
}

/* Registers are for accesses of their whole width. */
static uint64_t hotplug_read(void *opaque, uint64_t offset, unsigned size)
{
	struct hotplug *h = opaque;
	uint64_t value = 0;

	if (size != 4)
		return 0;
	pthread_mutex_lock(&h->lock);
	if (offset == HOTPLUG_ADDED)
		value = h->added;
	else if (offset == HOTPLUG_REMOVE)
		value = h->remove;
	else if (offset == HOTPLUG_EJECTED)
		value = h->wanted;
	pthread_mutex_unlock(&h->lock);
	return value;
}

static void hotplug_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
	struct hotplug *h = opaque;
	uint32_t bits = (uint32_t)value;

	if (size != 4)
		return;
	pthread_mutex_lock(&h->lock);
	if (offset == HOTPLUG_ADDED)
		h->added &= ~bits;
	else if (offset == HOTPLUG_REMOVE)
		h->remove &= ~bits;
	update_level(h);
	pthread_mutex_unlock(&h->lock);
	if (offset == HOTPLUG_EJECTED && bits)
		h->events.ejected(h->events.opaque, bits);
}

static const struct bus_range_ops range_ops = {.read = hotplug_read, .write = hotplug_write};

void hotplug_added(struct hotplug *h, unsigned slot)
{
	pthread_mutex_lock(&h->lock);
	h->added |= 1U << slot;
	update_level(h);
	pthread_mutex_unlock(&h->lock);
}

void hotplug_remove(struct hotplug *h, unsigned slot)
{
	pthread_mutex_lock(&h->lock);
	h->remove |= 1U << slot;
	h->wanted |= 1U << slot;
	update_level(h);
	pthread_mutex_unlock(&h->lock);
}

void hotplug_gone(struct hotplug *h, uint32_t slots)
{
	pthread_mutex_lock(&h->lock);
	h->added &= ~slots;
	h->remove &= ~slots;
	h->wanted &= ~slots;
	update_level(h);
	pthread_mutex_unlock(&h->lock);
}

uint32_t hotplug_reset(struct hotplug *h)
{
	uint32_t wanted;

	pthread_mutex_lock(&h->lock);
	wanted = h->wanted;
	h->added = h->remove = h->wanted = 0;
	update_level(h);
	pthread_mutex_unlock(&h->lock);
	return wanted;
}

int hotplug_create(struct bus_host *host, struct bus *pio, uint16_t port, unsigned gsi,
		   const struct hotplug_events *events, struct hotplug **out, struct error *err)
{
	struct bus_range range = {
		.name = "PCI hot-plug", .base = port, .size = HOTPLUG_SIZE, .ops = &range_ops};
	struct hotplug *h = calloc(1, sizeof(*h));
	int ret;

	if (!h)
		return error_set(err, -ENOMEM, "PCI hot-plug: out of memory");
	h->host = host;
	h->pio = pio;
	h->port = port;
	h->gsi = gsi;
	h->events = *events;
	pthread_mutex_init(&h->lock, NULL);
	range.opaque = h;
	ret = bus_add(pio, &range, err);
	if (ret) {
		pthread_mutex_destroy(&h->lock);
		free(h);
		return ret;
	}
	*out = h;
	return 0;
}

void hotplug_destroy(struct hotplug *h)
{
	if (!h)
		return;
	bus_remove(h->pio, h->port, h);
	pthread_mutex_destroy(&h->lock);
	free(h);
}
