/* SPDX-License-Identifier: Apache-2.0 */
#include "device/nic_backend.h"

#include <errno.h>

/* What is worth taking unfinished: large TCP frames, and checksums with them. */
#define WANTED (NET_OFFLOAD_CSUM | NET_OFFLOAD_TSO4 | NET_OFFLOAD_TSO6)

int nic_backend_open(const struct nic_params *params, struct hostnet **out, struct error *err)
{
	const struct hostnet_ops *ops = hostnet_find(params->backend);
	struct hostnet_params hp = {
		.id = params->id,
		.queues = 1,
		.mtu = params->mtu,
		.offloads = WANTED,
		.mac = params->mac,
		.loop = params->loop,
	};
	struct hostnet *hn;
	int ret;

	if (!ops)
		return error_set(err, -EINVAL,
				 "%s: an emulated chip cannot use backend=%s, which carries "
				 "virtqueues: use backend=tap or backend=user, or model=virtio-net",
				 params->id, params->backend);
	ret = ops->open(params->opts, &hp, &hn, err);
	if (ret)
		return ret;
	/* Without it there are merely more system calls. */
	if (ops->set_offloads(hn, WANTED & hn->offloads_rx))
		ops->set_offloads(hn, 0);
	*out = hn;
	return 0;
}
