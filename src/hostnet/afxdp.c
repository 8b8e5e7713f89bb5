/* SPDX-License-Identifier: Apache-2.0 */
#include "hostnet/afxdp.h"

#include "base/log.h"
#include "hostnet/netif.h"
#include "hostnet/xdp_redirect.h"
#include "hostnet/xsk.h"
#include "net/ether.h"

#include <errno.h>
#include <linux/if_xdp.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

/*
 * Theory of operation. Each queue is an AF_XDP socket with memory of its own (xsk.c), and one XDP
 * program (xdp_redirect.c) sends their frames to them. Several of these may have queues of one interface.
 *
 * The ways of doing it are tried from the best to the most general, all queues alike. A zero-copy
 * socket must have sent a frame before it is trusted: some drivers take such a socket and serve only
 * one direction, or none.
 */
#define QUEUE_MAX  4095
#define PROVE_MS   500
#define CARRIER_MS 2000 /* how long a device may take to have its carrier again */

struct way {
	bool zero_copy, native;
	const char *name;
};

static const struct way ways[] = {
	{true, true, "zero-copy mode"},
	{false, true, "copy mode, native XDP"},
	{false, false, "copy mode, generic XDP"},
};

struct afxdp {
	struct hostnet hn;
	char dev[IFNAMSIZ];
	unsigned ifindex, first_queue;
	const struct way *way;
	struct xdp_redirect *redirect;
	int promiscuous_fd;
	_Atomic uint32_t max_len; /* of a frame to be sent; 0: down */
	struct xsk *queues[];
};

static struct afxdp *to_afxdp(struct hostnet *hn)
{
	return container_of(hn, struct afxdp, hn);
}

const char *afxdp_mode(struct hostnet *hn)
{
	return to_afxdp(hn)->way->name;
}

uint64_t afxdp_rx_lost(struct hostnet *hn)
{
	uint64_t sum = 0;

	for (unsigned i = 0; i < hn->queues; i++)
		sum += xsk_rx_lost(to_afxdp(hn)->queues[i]);
	return sum;
}

int afxdp_refresh(struct hostnet *hn)
{
	struct afxdp *a = to_afxdp(hn);
	int flags, mtu;

	if (if_nametoindex(a->dev) != a->ifindex)
		return -ENODEV;
	flags = netif_flags(a->dev);
	mtu = netif_mtu(a->dev);
	if (flags < 0 || mtu < 0)
		return -ENODEV;
	hn->mtu = (unsigned)mtu;
	atomic_store(&a->max_len, flags & IFF_UP ? MIN((unsigned)mtu + ETHER_HLEN + ETHER_VLAN_HLEN,
						       XSK_FRAME_BYTES)
						 : 0);
	for (unsigned i = 0; flags & IFF_UP && i < hn->queues; i++)
		xsk_set_up(a->queues[i]);
	return 0;
}

int afxdp_probe(struct error *err)
{
	int fd = socket(AF_XDP, SOCK_RAW | SOCK_CLOEXEC, 0), ret = -errno;

	if (fd >= 0) {
		close(fd);
		return 0;
	}
	if (ret == -EAFNOSUPPORT)
		return error_set(err, ret,
				 "af-xdp: this kernel has no AF_XDP sockets "
				 "(CONFIG_XDP_SOCKETS)");
	if (ret == -EPERM)
		return error_set(err, ret,
				 "af-xdp: permission denied: run as root, or with "
				 "CAP_NET_RAW, CAP_NET_ADMIN and CAP_BPF");
	return error_set(err, ret, "af-xdp: cannot open an AF_XDP socket: %s", error_name(ret));
}

/* Whether a frame can be sent: see above. */
static int prove(struct afxdp *a, struct error *err)
{
	uint8_t mac[6];
	int flags = 0, ret = netif_mac(a->dev, mac);

	for (unsigned ms = 0; !ret && ms < CARRIER_MS; ms += 20) {
		flags = netif_flags(a->dev);
		if (flags < 0 || flags & IFF_RUNNING)
			break;
		usleep(20000);
	}
	if (!ret && !(flags > 0 && flags & IFF_RUNNING))
		return error_set(err, -ENETDOWN, "without a carrier zero-copy cannot be tried");
	for (unsigned i = 0; i < a->hn.queues && !ret; i++)
		ret = xsk_prove(a->queues[i], mac, PROVE_MS);
	return ret ? error_set(err, ret, "its driver took a zero-copy socket and sends nothing")
		   : 0;
}

static void stop(struct afxdp *a)
{
	xdp_redirect_close(a->redirect);
	a->redirect = NULL;
	for (unsigned i = 0; i < a->hn.queues; i++) {
		if (a->queues[i])
			xsk_close(a->queues[i]);
		a->queues[i] = NULL;
	}
}

static int start(struct afxdp *a, const struct way *way, struct error *err)
{
	unsigned n = a->hn.queues;
	int ret = xdp_redirect_open(&a->redirect, a->ifindex, way->native, err);

	a->way = way;
	for (unsigned i = 0; i < n && !ret; i++) {
		ret = xsk_open(&a->queues[i], a->ifindex, a->first_queue + i, way->zero_copy, err);
		if (!ret)
			ret = xdp_redirect_set(a->redirect, a->first_queue + i,
					       xsk_fd(a->queues[i]), err);
	}
	if (!ret)
		ret = xdp_redirect_attach(a->redirect, err);
	if (!ret && way->zero_copy)
		ret = prove(a, err);
	if (ret)
		stop(a);
	return ret;
}

static int parse_mode(const char *mode, const struct way **from, const struct way **to,
		      struct error *err)
{
	*from = ways;
	*to = &ways[ARRAY_SIZE(ways)];
	if (!mode || !strcmp(mode, "auto"))
		return 0;
	if (!strcmp(mode, "zero-copy"))
		*to = &ways[1];
	else if (!strcmp(mode, "copy"))
		*from = &ways[1];
	else
		return error_set(err, -EINVAL, "mode=%s: use auto, copy or zero-copy", mode);
	return 0;
}

/* Frames that have been looked at by XDP come from the other end of a veth as they were made. */
static void warn_of_veth(const struct afxdp *a)
{
	char driver[32] = "", bus[32] = "";

	if (netif_driver(a->dev, driver, bus) == 0 && !strcmp(driver, "veth"))
		log_info("%s: frames from a host's stack behind a veth have unfinished checksums: "
			 "ethtool -K PEER tx off at its other end",
			 a->dev);
}

static int start_any(struct afxdp *a, const char *mode, struct error *err)
{
	const struct way *from, *to;
	struct error why = {0};
	int ret = parse_mode(mode, &from, &to, err);

	if (ret)
		return ret;
	for (const struct way *way = from; way < to; way++) {
		ret = start(a, way, &why);
		if (!ret) {
			log_info("%s: AF_XDP in %s", a->dev, way->name);
			warn_of_veth(a);
			return 0;
		}
		log_info("%s: no %s: %s", a->dev, way->name, why.text);
		if (ret == -EPERM || ret == -EBUSY || ret == -ENOMEM)
			break; /* no other way would change that */
	}
	return error_set(err, ret, "%s: %s", a->dev, why.text);
}

static int parse(struct afxdp *a, const struct options *opts, struct error *err)
{
	const char *dev = options_get(opts, "dev"), *queue = options_get(opts, "queue");
	uint64_t first = 0;
	int ret = 0;

	if (!dev || !*dev)
		return error_set(err, -EINVAL, "dev= is missing: name an interface");
	if (queue)
		ret = option_u64("queue", queue, 0, QUEUE_MAX, &first, err);
	if (ret)
		return ret;
	a->first_queue = (unsigned)first;
	if (strlen(dev) < sizeof(a->dev))
		memcpy(a->dev, dev, strlen(dev));
	a->ifindex = *a->dev ? if_nametoindex(a->dev) : 0;
	return a->ifindex ? 0 : error_set(err, -ENODEV, "dev=%s: there is no such interface", dev);
}

static int afxdp_open(const struct options *opts, const struct hostnet_params *params,
		      struct hostnet **out, struct error *err)
{
	unsigned queues = MAX(params->queues, 1u);
	struct afxdp *a = calloc(1, sizeof(*a) + queues * sizeof(void *));
	struct error down = {0};
	int ret;

	if (!a)
		return error_set(err, -ENOMEM, "%s: out of memory", params->id);
	a->hn = (struct hostnet){.ops = &afxdp_ops, .queues = queues};
	ret = parse(a, opts, err);
	if (!ret && netif_up(a->dev, &down) < 0)
		log_warn("%s", down.text);
	if (!ret)
		ret = start_any(a, options_get(opts, "mode"), err);
	if (ret) {
		free(a);
		return ret;
	}
	afxdp_refresh(&a->hn);
	a->promiscuous_fd = netif_promiscuous(a->ifindex);
	if (a->promiscuous_fd < 0)
		log_warn(
			"%s: cannot be made promiscuous, and may not receive frames for guests: %s",
			a->dev, error_name(a->promiscuous_fd));
	if (a->hn.mtu + ETHER_HLEN > XSK_RX_MAX)
		log_warn("%s: its MTU is %u: frames of more than %u bytes are not received", a->dev,
			 a->hn.mtu, XSK_RX_MAX);
	*out = &a->hn;
	return 0;
}

static unsigned afxdp_send(struct hostnet *hn, unsigned queue, const struct net_frame *frames,
			   unsigned n)
{
	struct afxdp *a = to_afxdp(hn);

	return xsk_send(a->queues[queue], frames, n,
			atomic_load_explicit(&a->max_len, memory_order_relaxed));
}

static unsigned afxdp_borrow(struct hostnet *hn, unsigned queue, struct iovec *iov,
			     struct net_offload *off, unsigned n)
{
	n = xsk_borrow(to_afxdp(hn)->queues[queue], iov, n);
	memset(off, 0, n * sizeof(*off));
	return n;
}

static void afxdp_give_back(struct hostnet *hn, unsigned queue, unsigned n)
{
	xsk_give_back(to_afxdp(hn)->queues[queue], n);
}

static int afxdp_poll_fd(struct hostnet *hn, unsigned queue)
{
	return xsk_fd(to_afxdp(hn)->queues[queue]);
}

static int afxdp_set_offloads(struct hostnet *hn, uint32_t offloads)
{
	return offloads ? -ENOTSUP : 0;
}

static const char *afxdp_attachment(struct hostnet *hn)
{
	return to_afxdp(hn)->dev;
}

static bool afxdp_link_up(struct hostnet *hn)
{
	return atomic_load(&to_afxdp(hn)->max_len) > 0;
}

static void afxdp_counters(struct hostnet *hn, unsigned queue, struct hostnet_counters *out)
{
	xsk_counters(to_afxdp(hn)->queues[queue], out);
}

static void afxdp_close(struct hostnet *hn)
{
	struct afxdp *a = to_afxdp(hn);

	stop(a);
	if (a->promiscuous_fd >= 0)
		close(a->promiscuous_fd);
	free(a);
}

static const struct option_key afxdp_keys[] = {
	{"dev", "NAME", "the interface, a NIC or one end of a veth"},
	{"queue", "N", "the first of its queues that are used (default 0)"},
	{"mode", "auto|copy|zero-copy",
	 "how frames get into shared memory (default auto: zero-copy if it works, else copy)"},
	{NULL},
};

const struct hostnet_ops afxdp_ops = {
	.name = "af-xdp",
	.help = "queues of an interface, by AF_XDP",
	.keys = afxdp_keys,
	.probe = afxdp_probe,
	.open = afxdp_open,
	.send = afxdp_send,
	.borrow = afxdp_borrow,
	.give_back = afxdp_give_back,
	.poll_fd = afxdp_poll_fd,
	.set_offloads = afxdp_set_offloads,
	.attachment = afxdp_attachment,
	.link_up = afxdp_link_up,
	.counters = afxdp_counters,
	.close = afxdp_close,
};
