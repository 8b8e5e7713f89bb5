/* SPDX-License-Identifier: Apache-2.0 */
/* A TAP interface as a port: the host's own stack, a bridge, a container. */
#include "base/log.h"
#include "hostnet/tap.h"
#include "switch/types.h"
#include "switch/vhost_net.h"

#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#define TAP_OFFLOADS (NET_OFFLOAD_CSUM | NET_OFFLOAD_TSO4 | NET_OFFLOAD_TSO6 | NET_OFFLOAD_ECN)

static const struct option_key keys[] = {
	{"ifname", "NAME", "the TAP interface; made if it is not there (default: a new tapN)"},
	{"bridge", "NAME", "the bridge to make it a port of"},
	{"fd", "N[+N…]", "open TAP descriptors, one a queue pair, instead of ifname="},
	{"queues", "PAIRS", "queue pairs (default 1)"},
	{"vhost", "on|off",
	 "have the kernel's vhost move its frames, without system calls here (default off)"},
	{NULL},
};

/* Goes on with descriptors that another process had. */
static int inherit_tap(struct sw_port *port, const struct hostnet_params *params,
		       struct hostnet **tap, struct error *err)
{
	unsigned n = (unsigned)parcel_get_range(port->inherit, 1, SW_PAIRS_MAX);
	char text[16 * SW_PAIRS_MAX] = "fd=";
	int fds[SW_PAIRS_MAX], ret = 0;
	struct options opts = {0};

	for (unsigned i = 0; i < n; i++) {
		fds[i] = parcel_get_fd(port->inherit);
		snprintf(text + strlen(text), sizeof(text) - strlen(text), "%s%d", i ? "+" : "",
			 fds[i]);
	}
	if (port->inherit->bad)
		ret = error_set(err, -EPROTO, "its descriptors are missing");
	if (!ret)
		ret = options_parse(&opts, text, err);
	if (!ret)
		ret = tap_ops.open(&opts, params, tap, err);
	options_free(&opts);
	for (unsigned i = 0; ret && i < n; i++)
		if (fds[i] >= 0)
			close(fds[i]);
	return ret;
}

/* Opens the TAP and, with vhost, hands it to the kernel. */
static int open_hostnet(struct sw_port *port, const struct options *opts,
			const struct hostnet_params *params, bool vhost, struct error *err)
{
	struct hostnet *tap = NULL;
	int ret = vhost ? vhost_net_probe(err) : 0;

	if (!ret && port->inherit)
		ret = inherit_tap(port, params, &tap, err);
	else if (!ret)
		ret = tap_ops.open(opts, params, &tap, err);
	if (ret)
		return ret;
	if (vhost)
		return vhost_net_open(tap, port->id, port->inherit, &port->hn, err);
	port->hn = tap;
	return 0;
}

static int tap_port_open(struct sw_port *port, const struct options *opts, struct error *err)
{
	const char *queues = options_get(opts, "queues"), *with = options_get(opts, "vhost");
	uint64_t pairs = 1;
	bool vhost = false;
	struct hostnet_params params = {
		.id = port->id, .offloads = TAP_OFFLOADS, .loop = sw_port_loop(port)};
	int ret = queues ? option_u64("queues", queues, 1, SW_PAIRS_MAX, &pairs, err) : 0;

	params.queues = (unsigned)pairs;
	if (!ret && with)
		ret = option_bool("vhost", with, &vhost, err);
	if (!ret)
		ret = open_hostnet(port, opts, &params, vhost, err);
	if (ret)
		return error_prefix(err, ret, "--port %s", port->id);
	port->offloads_to = port->hn->offloads_tx;
	port->offloads_from = port->hn->offloads_rx;
	ret = sw_port_start_frames(port);
	return ret ? error_set(err, ret, "%s: %s", port->id, error_name(ret)) : 0;
}

static void tap_port_close(struct sw_port *port)
{
	hostnet_close(port->hn);
}

static void tap_port_status(struct sw_port *port, char *text, size_t size)
{
	struct hostnet *hn = port->hn;
	const char *by = "";

	if (hn->ops != &tap_ops)
		by = vhost_net_works(hn) ? ", by the kernel's vhost"
					 : ", its vhost rings are broken";
	snprintf(text, size, "%s, %s%s", hn->ops->attachment(hn),
		 hn->ops->link_up(hn) ? "up" : "down", by);
}

static int tap_port_save(struct sw_port *port, struct parcel_out *p, struct error *err)
{
	struct hostnet *tap = vhost_net_tap(port->hn);

	tap = tap ? tap : port->hn;
	parcel_put_u64(p, tap->queues);
	for (unsigned i = 0; i < tap->queues; i++)
		parcel_put_fd(p, tap_queue_fd(tap, i));
	return 0;
}

static void tap_port_hold(struct sw_port *port)
{
	if (vhost_net_tap(port->hn))
		vhost_net_hold(port->hn);
}

static void tap_port_save_rings(struct sw_port *port, struct parcel_out *p)
{
	if (vhost_net_tap(port->hn))
		vhost_net_save_rings(port->hn, p);
}

static int tap_port_restore_rings(struct sw_port *port, struct parcel_in *p, struct error *err)
{
	return vhost_net_tap(port->hn) ? vhost_net_restore_rings(port->hn, p, err) : 0;
}

static void tap_port_resume(struct sw_port *port)
{
	if (vhost_net_tap(port->hn))
		vhost_net_resume(port->hn);
	if (!port->in[0]->started && sw_port_start_frames(port))
		log_error("%s: its queues cannot be started again", port->id);
}

const struct port_ops port_tap = {
	.name = "tap",
	.help = "a TAP interface of the host",
	.keys = keys,
	.probe = tap_probe,
	.open = tap_port_open,
	.close = tap_port_close,
	.status = tap_port_status,
	.heritable = true,
	.save = tap_port_save,
	.hold = tap_port_hold,
	.save_rings = tap_port_save_rings,
	.restore_rings = tap_port_restore_rings,
	.resume = tap_port_resume,
};
