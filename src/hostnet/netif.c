/* SPDX-License-Identifier: Apache-2.0 */
#include "hostnet/netif.h"

#include "hostnet/ovs.h"

#include <errno.h>
#include <linux/ethtool.h>
#include <linux/if_bridge.h>
#include <linux/if_packet.h>
#include <linux/rtnetlink.h>
#include <linux/sockios.h>
#include <net/if_arp.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

/* One ioctl on the interface called name. Returns 0 or a negative errno. */
static int netif_ioctl(const char *name, unsigned long request, struct ifreq *ifr)
{
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	int rc = 0;

	if (fd < 0)
		return -errno;
	snprintf(ifr->ifr_name, sizeof(ifr->ifr_name), "%s", name);
	if (ioctl(fd, request, ifr) < 0)
		rc = -errno;
	close(fd);
	return rc;
}

int netif_flags(const char *name)
{
	struct ifreq ifr = {0};
	int rc = netif_ioctl(name, SIOCGIFFLAGS, &ifr);

	return rc < 0 ? rc : (unsigned short)ifr.ifr_flags;
}

int netif_up(const char *name, struct error *err)
{
	int flags = netif_flags(name);
	struct ifreq ifr = {0};
	int rc = flags;

	if (flags >= 0) {
		if (flags & IFF_UP)
			return 0;
		ifr.ifr_flags = (short)(flags | IFF_UP);
		rc = netif_ioctl(name, SIOCSIFFLAGS, &ifr);
	}
	if (rc < 0)
		return error_set(err, rc,
				 "%s: cannot be brought up: %s: run as root, or have it brought "
				 "up first (ip link set %s up)",
				 name, error_name(rc), name);
	return 0;
}

int netif_mtu(const char *name)
{
	struct ifreq ifr = {0};
	int rc = netif_ioctl(name, SIOCGIFMTU, &ifr);

	return rc < 0 ? rc : ifr.ifr_mtu;
}

int netif_set_mtu(const char *name, unsigned mtu, struct error *err)
{
	struct ifreq ifr = {.ifr_mtu = (int)mtu};
	int rc;

	if (netif_mtu(name) == (int)mtu)
		return 0;
	rc = netif_ioctl(name, SIOCSIFMTU, &ifr);
	if (rc == -EINVAL || rc == -ERANGE)
		return error_set(err, rc, "%s: its MTU cannot be %u: give another mtu=", name, mtu);
	if (rc < 0)
		return error_set(err, rc,
				 "%s: cannot set its MTU to %u: %s: run as root, or have it set "
				 "first (ip link set %s mtu %u)",
				 name, mtu, error_name(rc), name, mtu);
	return 0;
}

int netif_mac(const char *name, uint8_t mac[6])
{
	struct ifreq ifr = {0};
	int rc = netif_ioctl(name, SIOCGIFHWADDR, &ifr);

	if (rc == 0)
		memcpy(mac, ifr.ifr_hwaddr.sa_data, 6);
	return rc;
}

int netif_set_mac(const char *name, const uint8_t mac[6])
{
	struct ifreq ifr = {.ifr_hwaddr.sa_family = ARPHRD_ETHER};

	memcpy(ifr.ifr_hwaddr.sa_data, mac, 6);
	return netif_ioctl(name, SIOCSIFHWADDR, &ifr);
}

int netif_promiscuous(unsigned ifindex)
{
	const struct packet_mreq mreq = {.mr_ifindex = (int)ifindex, .mr_type = PACKET_MR_PROMISC};
	int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0), rc; /* protocol 0: gets nothing */

	if (fd < 0)
		return -errno;
	if (setsockopt(fd, SOL_PACKET, PACKET_ADD_MEMBERSHIP, &mreq, sizeof(mreq)) == 0)
		return fd;
	rc = -errno;
	close(fd);
	return rc;
}

int netif_driver(const char *name, char driver[32], char bus[32])
{
	struct ethtool_drvinfo info = {.cmd = ETHTOOL_GDRVINFO};
	struct ifreq ifr = {.ifr_data = (void *)&info};
	int rc = netif_ioctl(name, SIOCETHTOOL, &ifr);

	if (rc < 0)
		return rc;
	memcpy(driver, info.driver, 32);
	memcpy(bus, info.bus_info, 32);
	driver[31] = bus[31] = '\0';
	return 0;
}

/* The IFLA_MASTER attribute of an RTM_NEWLINK message of len bytes, 0 when it has none. */
static int netlink_master(struct nlmsghdr *msg, size_t len)
{
	const struct nlmsgerr *error = NLMSG_DATA(msg);
	const struct rtattr *attr;
	int left, master = 0;

	if (!NLMSG_OK(msg, len))
		return -EPROTO;
	if (msg->nlmsg_type == NLMSG_ERROR)
		return msg->nlmsg_len >= NLMSG_LENGTH(sizeof(*error)) && error->error ? error->error
										      : -EPROTO;
	left = (int)IFLA_PAYLOAD(msg);
	attr = (const void *)((const char *)NLMSG_DATA(msg) +
			      NLMSG_ALIGN(sizeof(struct ifinfomsg)));
	while (left >= (int)sizeof(*attr) && attr->rta_len >= sizeof(*attr) &&
	       attr->rta_len <= left) {
		if (attr->rta_type == IFLA_MASTER && RTA_PAYLOAD(attr) >= sizeof(master))
			memcpy(&master, (const char *)attr + RTA_LENGTH(0), sizeof(master));
		left -= (int)RTA_ALIGN(attr->rta_len);
		attr = (const void *)((const char *)attr + RTA_ALIGN(attr->rta_len));
	}
	return master;
}

int netif_master(const char *name)
{
	struct {
		struct nlmsghdr msg;
		struct ifinfomsg info;
	} request = {
		.msg = {.nlmsg_len = sizeof(request),
			.nlmsg_type = RTM_GETLINK,
			.nlmsg_flags = NLM_F_REQUEST},
	};
	union {
		struct nlmsghdr msg;
		char bytes[32768];
	} reply;
	ssize_t n;
	int fd, rc;

	request.info.ifi_index = (int)if_nametoindex(name);
	if (!request.info.ifi_index)
		return -errno;
	fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
	if (fd < 0)
		return -errno;
	if (send(fd, &request, sizeof(request), 0) < 0 ||
	    (n = recv(fd, &reply, sizeof(reply), 0)) < 0)
		rc = -errno;
	else
		rc = netlink_master(&reply.msg, (size_t)n);
	close(fd);
	return rc;
}

static int netif_bridge_error(const char *name, const char *bridge, int rc, struct error *err)
{
	char other[IF_NAMESIZE] = "another bridge";
	int master;

	switch (rc) {
	case -ENODEV:
		return error_set(err, rc,
				 "%s: there is no bridge %s: create it (ip link add %s type "
				 "bridge), or give another bridge=",
				 name, bridge, bridge);
	case -EOPNOTSUPP:
	case -EINVAL:
		return error_set(err, rc, "%s: %s is not a bridge: give another bridge=", name,
				 bridge);
	case -EPERM:
		return error_set(err, rc,
				 "%s: not permitted to join %s: run as root, or have it joined "
				 "first (ip link set %s master %s)",
				 name, bridge, name, bridge);
	case -EBUSY:
		master = netif_master(name);
		if (master > 0)
			if_indextoname((unsigned)master, other);
		return error_set(err, rc,
				 "%s: is a port of %s already, cannot join %s: take it out first "
				 "(ip link set %s nomaster)",
				 name, other, bridge, name);
	default:
		return error_set(err, rc, "%s: cannot join the bridge %s: %s: see the kernel's log",
				 name, bridge, error_name(rc));
	}
}

int netif_join_bridge(const char *name, const char *bridge, struct error *err)
{
	int index = (int)if_nametoindex(bridge);
	struct ifreq ifr = {.ifr_ifindex = (int)if_nametoindex(name)};
	int rc;

	if (strlen(bridge) >= IFNAMSIZ || !index)
		return netif_bridge_error(name, bridge, -ENODEV, err);
	if (ovs_owns(bridge))
		return ovs_add_port(bridge, name, err);
	if (netif_master(name) == index)
		return 0;
	rc = netif_ioctl(bridge, SIOCBRADDIF, &ifr);
	return rc < 0 ? netif_bridge_error(name, bridge, rc, err) : 0;
}
