/* SPDX-License-Identifier: Apache-2.0 */
/* Setting virtual functions by rtnetlink: RTM_SETLINK of the physical one with IFLA_VFINFO_LIST. */
#include "hostpci/sriov.h"

#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <net/if.h>

#define MESSAGE_MAX 1024

/* One attribute of a virtual function. Returns whether it fitted. */
static bool put(struct nlmsghdr *nlh, size_t room, uint16_t type, const void *data, size_t len)
{
	return mnl_attr_put_check(nlh, room, type, len, data);
}

static bool put_settings(struct nlmsghdr *nlh, size_t room, unsigned vf,
			 const struct sriov_settings *s)
{
	struct ifla_vf_mac mac = {.vf = vf};
	struct ifla_vf_vlan vlan = {.vf = vf, .vlan = s->vlan, .qos = s->qos};
	struct ifla_vf_rate rate = {.vf = vf, .max_tx_rate = s->rate};
	struct ifla_vf_spoofchk spoofchk = {.vf = vf, .setting = s->spoofchk};
	struct ifla_vf_trust trust = {.vf = vf, .setting = s->trust};
	struct ifla_vf_link_state state = {.vf = vf, .link_state = s->state};

	memcpy(mac.mac, s->mac, sizeof(s->mac));
	return (!s->has_mac || put(nlh, room, IFLA_VF_MAC, &mac, sizeof(mac))) &&
	       (!s->has_vlan || put(nlh, room, IFLA_VF_VLAN, &vlan, sizeof(vlan))) &&
	       (!s->has_rate || put(nlh, room, IFLA_VF_RATE, &rate, sizeof(rate))) &&
	       (!s->has_spoofchk ||
		put(nlh, room, IFLA_VF_SPOOFCHK, &spoofchk, sizeof(spoofchk))) &&
	       (!s->has_trust || put(nlh, room, IFLA_VF_TRUST, &trust, sizeof(trust))) &&
	       (!s->has_state || put(nlh, room, IFLA_VF_LINK_STATE, &state, sizeof(state)));
}

int sriov_set_message(int ifindex, unsigned vf, const struct sriov_settings *settings, void *buf,
		      size_t room)
{
	struct nlattr *list, *info;
	struct ifinfomsg *ifm;
	struct nlmsghdr *nlh;

	if (room < MESSAGE_MAX / 2)
		return -ENOSPC;
	nlh = mnl_nlmsg_put_header(buf);
	nlh->nlmsg_type = RTM_SETLINK;
	nlh->nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK;
	nlh->nlmsg_seq = 1;
	ifm = mnl_nlmsg_put_extra_header(nlh, sizeof(*ifm));
	ifm->ifi_index = ifindex;
	list = mnl_attr_nest_start(nlh, IFLA_VFINFO_LIST);
	info = mnl_attr_nest_start(nlh, IFLA_VF_INFO);
	if (!put_settings(nlh, room, vf, settings))
		return -ENOSPC;
	mnl_attr_nest_end(nlh, info);
	mnl_attr_nest_end(nlh, list);
	return (int)nlh->nlmsg_len;
}

/* Sends the message and takes the kernel's answer. */
static int talk(struct mnl_socket *nl, const void *message, size_t len)
{
	char answer[MESSAGE_MAX];
	const struct nlmsghdr *nlh = (const void *)answer;
	const struct nlmsgerr *e;
	ssize_t n;

	if (mnl_socket_bind(nl, 0, MNL_SOCKET_AUTOPID) < 0 ||
	    mnl_socket_sendto(nl, message, len) < 0)
		return -errno;
	n = mnl_socket_recvfrom(nl, answer, sizeof(answer));
	if (n < 0)
		return -errno;
	if ((size_t)n < MNL_NLMSG_HDRLEN + sizeof(*e) || nlh->nlmsg_type != NLMSG_ERROR)
		return -EPROTO;
	e = mnl_nlmsg_get_payload(nlh);
	return e->error;
}

int sriov_set(const char *ifname, unsigned vf, const struct sriov_settings *settings,
	      struct error *err)
{
	unsigned ifindex = if_nametoindex(ifname);
	char message[MESSAGE_MAX];
	struct mnl_socket *nl;
	int len, ret;

	if (!ifindex)
		return error_set(err, -ENODEV, "there is no interface %s", ifname);
	len = sriov_set_message((int)ifindex, vf, settings, message, sizeof(message));
	if (len < 0)
		return error_set(err, len, "%s: the settings do not fit into a message", ifname);
	nl = mnl_socket_open(NETLINK_ROUTE);
	if (!nl)
		return error_set(err, -errno, "rtnetlink: %s", error_name(errno));
	ret = talk(nl, message, (size_t)len);
	mnl_socket_close(nl);
	switch (ret) {
	case 0:
		return 0;
	case -EPERM:
		return error_set(err, ret, "%s: not permitted: run as root", ifname);
	case -EOPNOTSUPP:
		return error_set(err, ret,
				 "%s: the driver cannot set one of these: try them one by one",
				 ifname);
	default:
		return error_set(err, ret,
				 "%s: the driver refuses to set virtual function %u: %s%s", ifname,
				 vf, error_name(ret),
				 settings->has_rate && settings->rate
					 ? ": for a rate the interface's link has to be up, and at "
					   "least as fast"
					 : "");
	}
}
