/* SPDX-License-Identifier: Apache-2.0 */
/* Queues of a NIC, or of one end of a veth, as a port: AF_XDP. */
#include "base/log.h"
#include "hostnet/afxdp.h"
#include "switch/types.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

/*
 * The interface is looked at every second. When it has gone the port's queues are stopped and its
 * sockets closed: then frames for it are dropped as "down". It is tried again until it is back.
 */
static const struct option_key keys[] = {
	{"dev", "NAME", "the interface, a NIC or one end of a veth"},
	{"queue", "N", "the first of its queues that are used (default 0)"},
	{"queues", "N", "how many are used (default 1)"},
	{"mode", "auto|copy|zero-copy",
	 "how frames get into shared memory (default auto: zero-copy if it works, else copy)"},
	{NULL},
};

struct af_xdp_port {
	struct loop_timer timer;
	unsigned queues;
};

static struct af_xdp_port *to_af_xdp(const struct sw_port *port)
{
	return port->impl;
}

static int start(struct sw_port *port, const struct options *opts, struct error *err)
{
	struct hostnet_params params = {
		.id = port->id, .queues = to_af_xdp(port)->queues, .loop = sw_port_loop(port)};
	int ret = afxdp_ops.open(opts, &params, &port->hn, err);

	if (ret)
		return ret;
	ret = sw_port_start_frames(port);
	return ret ? error_set(err, ret, "%s", error_name(ret)) : 0;
}

static void look_for_it(struct sw_port *port)
{
	struct options opts;
	struct error err = {0};
	int ret = options_parse(&opts, port->options, &err);

	if (!ret && !start(port, &opts, &err))
		log_warn("%s: its interface is back, in %s", port->id, afxdp_mode(port->hn));
	options_free(&opts);
}

static void tick(struct loop_timer *timer)
{
	struct sw_port *port = timer->opaque;

	if (!port->hn) {
		look_for_it(port);
	} else if (afxdp_refresh(port->hn)) {
		log_warn("%s: its interface is gone", port->id);
		sw_port_stop_frames(port);
	}
	loop_timer_set(sw_port_loop(port), timer, clock_ns() + NSEC_PER_SEC);
}

static int af_xdp_open(struct sw_port *port, const struct options *opts, struct error *err)
{
	const char *queues = options_get(opts, "queues");
	struct af_xdp_port *a = calloc(1, sizeof(*a));
	uint64_t n = 1;
	int ret;

	if (!a)
		return error_set(err, -ENOMEM, "--port %s: out of memory", port->id);
	port->impl = a;
	ret = queues ? option_u64("queues", queues, 1, SW_PAIRS_MAX, &n, err) : 0;
	a->queues = (unsigned)n;
	if (!ret)
		ret = start(port, opts, err);
	if (ret) {
		free(a);
		return error_prefix(err, ret, "--port %s", port->id);
	}
	a->timer = (struct loop_timer){.fn = tick, .opaque = port};
	if (sw_port_loop(port))
		loop_timer_set(sw_port_loop(port), &a->timer, clock_ns() + NSEC_PER_SEC);
	return 0;
}

static void af_xdp_close(struct sw_port *port)
{
	if (sw_port_loop(port))
		loop_timer_cancel(sw_port_loop(port), &to_af_xdp(port)->timer);
	if (port->hn)
		hostnet_close(port->hn);
	free(port->impl);
}

static void af_xdp_status(struct sw_port *port, char *text, size_t size)
{
	struct hostnet *hn = port->hn;
	uint64_t lost;

	if (!hn) {
		snprintf(text, size, "its interface is gone");
		return;
	}
	lost = afxdp_rx_lost(hn);
	snprintf(text, size, "%s, %s, %s", hn->ops->attachment(hn), afxdp_mode(hn),
		 hn->ops->link_up(hn) ? "up" : "down");
	if (lost)
		snprintf(text + strlen(text), size - strlen(text),
			 ", %" PRIu64 " frames lost before it", lost);
}

const struct port_ops port_af_xdp = {
	.name = "af-xdp",
	.help = "queues of a NIC or a veth, past the host's stack (AF_XDP)",
	.keys = keys,
	.probe = afxdp_probe,
	.open = af_xdp_open,
	.close = af_xdp_close,
	.status = af_xdp_status,
};
