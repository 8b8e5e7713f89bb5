/* SPDX-License-Identifier: Apache-2.0 */
/* A TAP interface as a port: the host's own stack, a bridge, a container. */
#include "hostnet/tap.h"
#include "switch/types.h"

#include <errno.h>
#include <stdio.h>

#define TAP_OFFLOADS (NET_OFFLOAD_CSUM | NET_OFFLOAD_TSO4 | NET_OFFLOAD_TSO6 | NET_OFFLOAD_ECN)

static const struct option_key keys[] = {
	{"ifname", "NAME", "the TAP interface; made if it is not there (default: a new tapN)"},
	{"bridge", "NAME", "the bridge to make it a port of"},
	{"fd", "N[+N…]", "open TAP descriptors, one a queue pair, instead of ifname="},
	{"queues", "PAIRS", "queue pairs (default 1)"},
	{NULL},
};

static int tap_port_open(struct sw_port *port, const struct options *opts, struct error *err)
{
	const char *queues = options_get(opts, "queues");
	uint64_t pairs = 1;
	struct hostnet_params params = {
		.id = port->id, .offloads = TAP_OFFLOADS, .loop = sw_port_loop(port)};
	int ret = queues ? option_u64("queues", queues, 1, SW_PAIRS_MAX, &pairs, err) : 0;

	params.queues = (unsigned)pairs;
	if (!ret)
		ret = tap_ops.open(opts, &params, &port->hn, err);
	if (ret)
		return ret;
	port->offloads_to = port->hn->offloads_tx;
	port->offloads_from = port->hn->offloads_rx;
	ret = sw_port_pairs(port, port->hn->queues);
	for (unsigned i = 0; i < port->pairs && !ret; i++) {
		ret = sw_out_start(port, i, NULL);
		if (!ret)
			ret = sw_in_start(port, i, NULL);
	}
	if (!ret)
		return 0;
	sw_port_stop(port);
	hostnet_close(port->hn);
	return error_set(err, ret, "%s: %s", port->id, error_name(ret));
}

static void tap_port_close(struct sw_port *port)
{
	hostnet_close(port->hn);
}

static void tap_port_status(struct sw_port *port, char *text, size_t size)
{
	snprintf(text, size, "%s, %s", tap_ifname(port->hn),
		 port->hn->ops->link_up(port->hn) ? "up" : "down");
}

const struct port_ops port_tap = {
	.name = "tap",
	.help = "a TAP interface of the host",
	.keys = keys,
	.probe = tap_probe,
	.open = tap_port_open,
	.close = tap_port_close,
	.status = tap_port_status,
};
