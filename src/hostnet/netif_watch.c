/* SPDX-License-Identifier: Apache-2.0 */
#include "hostnet/netif_watch.h"

#include "hostnet/netif.h"

#include <errno.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

/*
 * Theory of operation. The kernel tells every change of any interface on a netlink socket. What it
 * says is thrown away: it is reason enough to ask for the flags of the one that matters, and so
 * nothing is lost when there were more messages than the socket could hold.
 */
static void look(struct netif_watch *watch)
{
	int flags = netif_flags(watch->name);
	bool up = flags >= 0 && (flags & IFF_UP);

	if (up == watch->up)
		return;
	watch->up = up;
	watch->changed(watch->opaque, up);
}

static void something_changed(struct loop_fd *events, uint32_t ready)
{
	char buf[8192];

	while (recv(events->fd, buf, sizeof(buf), MSG_DONTWAIT) > 0 || errno == ENOBUFS)
		;
	look(events->opaque);
}

int netif_watch_start(struct netif_watch *watch, struct loop *loop, const char *name,
		      void (*changed)(void *opaque, bool up), void *opaque)
{
	struct sockaddr_nl at = {.nl_family = AF_NETLINK, .nl_groups = RTMGRP_LINK};
	int flags, ret, fd;

	*watch = (struct netif_watch){
		.loop = loop, .up = true, .changed = changed, .opaque = opaque};
	snprintf(watch->name, sizeof(watch->name), "%s", name);
	fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_ROUTE);
	if (fd < 0)
		return -errno;
	ret = bind(fd, (struct sockaddr *)&at, sizeof(at)) < 0 ? -errno : 0;
	flags = netif_flags(name);
	if (!ret && flags < 0)
		ret = flags;
	watch->events = (struct loop_fd){.fd = fd, .fn = something_changed, .opaque = watch};
	if (!ret)
		ret = loop_add(loop, &watch->events, EPOLLIN);
	if (ret) {
		close(fd);
		watch->loop = NULL;
		return ret;
	}
	watch->up = flags & IFF_UP;
	return 0;
}

void netif_watch_stop(struct netif_watch *watch)
{
	if (!watch->loop)
		return;
	loop_remove(watch->loop, &watch->events);
	close(watch->events.fd);
	watch->loop = NULL;
}
