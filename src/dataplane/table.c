/* SPDX-License-Identifier: Apache-2.0 */
#include "dataplane/inprocess.h"
#include "dataplane/vhost_planes.h"

const struct plane_ops *const plane_table[] = {
	&inprocess_ops, &vhost_kernel_ops, &vhost_user_ops, &vhost_vdpa_ops, NULL,
};

const struct plane_ops *plane_find(const char *name)
{
	for (const struct plane_ops *const *ops = plane_table; *ops; ops++)
		if (!strcmp((*ops)->name, name))
			return *ops;
	return NULL;
}

const struct plane_ops *plane_for_backend(const char *backend)
{
	for (const struct plane_ops *const *ops = plane_table; *ops; ops++)
		if ((*ops)->serves(backend))
			return *ops;
	return NULL;
}

void plane_counters_add(struct plane_queue_counters *to, const struct plane_queue_counters *from)
{
	uint64_t last = to->last_drop ? to->last_drop : from->last_drop;
	const uint64_t *add = (const uint64_t *)from;
	uint64_t *sum = (uint64_t *)to;

	_Static_assert(sizeof(*to) % sizeof(*sum) == 0, "nothing but uint64_t");
	for (unsigned i = 0; i < sizeof(*to) / sizeof(*sum); i++)
		sum[i] += add[i];
	to->last_drop = last;
}

const char *plane_drop_word(enum plane_drop drop)
{
	static const char *const words[] = {
		[PLANE_DROP_NO_RX_BUFFER] = "no_rx_buffer",
		[PLANE_DROP_RX_FILTER] = "rx_filter",
		[PLANE_DROP_LINK_DOWN] = "link_down",
		[PLANE_DROP_OVERSIZE] = "oversize",
		[PLANE_DROP_MALFORMED] = "malformed",
		[PLANE_DROP_BROKEN] = "ring_broken",
		[PLANE_DROP_BACKEND] = "backend_full",
		[PLANE_DROP_OFFLOAD] = "offload",
		[PLANE_DROP_STEER] = "steer",
	};

	_Static_assert(ARRAY_SIZE(words) == PLANE_DROP_COUNT, "a word for each cause");
	return (unsigned)drop < ARRAY_SIZE(words) ? words[drop] : "unknown";
}

const char *plane_drop_name(enum plane_drop drop)
{
	static const char *const names[] = {
		[PLANE_DROP_NO_RX_BUFFER] = "the guest had no receive buffer",
		[PLANE_DROP_RX_FILTER] = "not addressed to this guest (receive mode, MAC, VLAN)",
		[PLANE_DROP_LINK_DOWN] = "the NIC's link is down",
		[PLANE_DROP_OVERSIZE] = "larger than the guest's buffers or a frame can be",
		[PLANE_DROP_MALFORMED] = "no whole header, or offload fields that do not fit",
		[PLANE_DROP_BROKEN] = "the virtqueue is broken or disabled",
		[PLANE_DROP_BACKEND] = "the frame back-end stayed full",
		[PLANE_DROP_OFFLOAD] = "needs an offload that the guest has turned off",
		[PLANE_DROP_STEER] = "the queue that RSS chose is too far behind",
	};

	_Static_assert(ARRAY_SIZE(names) == PLANE_DROP_COUNT, "a name for each cause");
	return (unsigned)drop < ARRAY_SIZE(names) ? names[drop] : "unknown";
}
