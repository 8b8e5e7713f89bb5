/* SPDX-License-Identifier: Apache-2.0 */
#include "hostnet/none.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define NONE_OFFLOADS (NET_OFFLOAD_CSUM | NET_OFFLOAD_GSO)

struct none {
	struct hostnet hn;
	int fd; /* an eventfd that nobody ever signals */
	uint64_t dropped[];
};

static struct none *to_none(struct hostnet *hn)
{
	return container_of(hn, struct none, hn);
}

static int none_probe(struct error *err)
{
	return 0;
}

static int none_open(const struct options *opts, const struct hostnet_params *params,
		     struct hostnet **out, struct error *err)
{
	unsigned queues = MAX(params->queues, 1u);
	struct none *none = calloc(1, sizeof(*none) + queues * sizeof(none->dropped[0]));

	if (!none)
		return error_set(err, -ENOMEM, "%s: out of memory", params->id);
	none->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (none->fd < 0) {
		int rc = -errno;

		free(none);
		return error_set(err, rc, "%s: cannot create an eventfd: %s", params->id,
				 error_name(rc));
	}
	none->hn = (struct hostnet){
		.ops = &none_ops,
		.offloads_tx = NONE_OFFLOADS,
		.offloads_rx = NONE_OFFLOADS,
		.queues = queues,
		.mtu = params->mtu,
	};
	*out = &none->hn;
	return 0;
}

static unsigned none_send(struct hostnet *hn, unsigned queue, const struct net_frame *frames,
			  unsigned n)
{
	to_none(hn)->dropped[queue] += n;
	return n;
}

static ssize_t none_recv(struct hostnet *hn, unsigned queue, const struct iovec *iov, unsigned niov,
			 struct net_offload *off)
{
	return -EAGAIN;
}

static int none_poll_fd(struct hostnet *hn, unsigned queue)
{
	return to_none(hn)->fd;
}

static int none_set_offloads(struct hostnet *hn, uint32_t offloads)
{
	return offloads & ~(uint32_t)NONE_OFFLOADS ? -ENOTSUP : 0;
}

static int none_set_queues(struct hostnet *hn, unsigned n)
{
	return n >= 1 && n <= hn->queues ? 0 : -EINVAL;
}

static void none_counters(struct hostnet *hn, unsigned queue, struct hostnet_counters *out)
{
	*out = (struct hostnet_counters){0};
	out->drops[HOSTNET_DROP_DOWN] = READ_ONCE(to_none(hn)->dropped[queue]);
}

static void none_close(struct hostnet *hn)
{
	close(to_none(hn)->fd);
	free(to_none(hn));
}

static const struct option_key none_keys[] = {{NULL}};

const struct hostnet_ops none_ops = {
	.name = "none",
	.help = "nothing: what the guest sends is counted and dropped",
	.keys = none_keys,
	.probe = none_probe,
	.open = none_open,
	.send = none_send,
	.recv = none_recv,
	.poll_fd = none_poll_fd,
	.set_offloads = none_set_offloads,
	.set_queues = none_set_queues,
	.counters = none_counters,
	.close = none_close,
};
