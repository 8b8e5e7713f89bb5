/* SPDX-License-Identifier: Apache-2.0 */
#include "dataplane/vhost_planes.h"

#include "hostnet/tap.h"

#include <errno.h>
#include <inttypes.h>
#include <linux/if_tun.h>
#include <stdio.h>
#include <sys/ioctl.h>

/* TUNSETTXFILTER: eight addresses exactly, more multicast ones by a hash, more unicast: no filter. */
#define TUN_FILTER_MAX (2 + RX_FILTER_MACS)

static void add(struct tun_filter *tf, const uint8_t mac[6])
{
	memcpy(tf->addr[tf->count++], mac, 6);
}

static bool filters_nothing(const struct rx_filter *f)
{
	return !f || f->promisc || f->alluni || f->mac_overflow_uni;
}

int tap_set_filter(struct hostnet *tap, const struct rx_filter *filter)
{
	static const uint8_t broadcast[6] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
	union {
		struct tun_filter tf;
		uint8_t room[sizeof(struct tun_filter) + TUN_FILTER_MAX * 6];
	} u = {{0}};

	if (!filters_nothing(filter)) {
		add(&u.tf, filter->mac);
		for (unsigned i = 0; i < filter->uni_count && !filter->nouni; i++)
			add(&u.tf, filter->macs[i]);
		if (!filter->nobcast)
			add(&u.tf, broadcast);
		for (unsigned i = 0; i < filter->multi_count && !filter->nomulti; i++)
			add(&u.tf, filter->macs[filter->uni_count + i]);
		if ((filter->allmulti || filter->mac_overflow_multi) && !filter->nomulti)
			u.tf.flags = TUN_FLT_ALLMULTI;
	}
	return ioctl(tap_queue_fd(tap, 0), TUNSETTXFILTER, &u.tf) < 0 ? -errno : 0;
}

int netif_counters(const char *ifname, struct netif_counters *out)
{
	/* The thread's own network namespace, which /sys need not show. */
	FILE *f = fopen("/proc/thread-self/net/dev", "re");
	char line[512], name[64];
	int rc = -ENODEV;

	*out = (struct netif_counters){0};
	if (!f)
		return -errno;
	while (rc && fgets(line, sizeof(line), f)) {
		char *colon = strchr(line, ':');

		if (!colon || sscanf(line, " %63[^:]", name) != 1 || strcmp(name, ifname) != 0)
			continue;
		if (sscanf(colon + 1,
			   "%" SCNu64 " %" SCNu64 " %*u %" SCNu64 " %*u %*u %*u %*u %" SCNu64
			   " %" SCNu64 " %*u %" SCNu64,
			   &out->rx_bytes, &out->rx_frames, &out->rx_dropped, &out->tx_bytes,
			   &out->tx_frames, &out->tx_dropped) == 6)
			rc = 0;
	}
	fclose(f);
	return rc;
}
