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
