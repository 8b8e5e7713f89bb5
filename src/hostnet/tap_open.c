/* SPDX-License-Identifier: Apache-2.0 */
#include "hostnet/tap.h"

#include "hostnet/netif.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#define TUN_PATH "/dev/net/tun"

/* Opens the clone device. name is what the message is about. */
static int tun_open(const char *name, struct error *err)
{
	int fd = open(TUN_PATH, O_RDWR | O_CLOEXEC | O_NONBLOCK);
	int rc = -errno;

	if (fd >= 0)
		return fd;
	if (rc == -ENOENT || rc == -ENODEV || rc == -ENXIO)
		return error_set(err, rc,
				 "%s: there is no " TUN_PATH
				 ": load the kernel's tun module (modprobe tun)",
				 name);
	if (rc == -EACCES || rc == -EPERM)
		return error_set(err, rc,
				 "%s: permission denied opening " TUN_PATH
				 ": run as root or pass an open tap with fd=",
				 name);
	return error_set(err, rc, "%s: cannot open " TUN_PATH ": %s", name, error_name(rc));
}

int tap_probe(struct error *err)
{
	unsigned features = 0;
	int fd = tun_open("tap", err);
	int rc = 0;

	if (fd < 0)
		return fd;
	if (ioctl(fd, TUNGETFEATURES, &features) < 0 || !(features & IFF_VNET_HDR))
		rc = error_set(err, -ENOTSUP,
			       "tap: this kernel's TAP knows no offloads (IFF_VNET_HDR): use "
			       "Linux 2.6.27 or newer");
	close(fd);
	return rc;
}

/* Says why TUNSETIFF failed with rc on an interface, which may exist. */
static int tap_attach_error(const char *ifname, bool multi, int rc, struct error *err)
{
	bool exists = *ifname && !strchr(ifname, '%') && netif_flags(ifname) >= 0;
	const char *name = *ifname ? ifname : "tap";
	char driver[32] = "", bus[32] = "";

	if (exists)
		netif_driver(ifname, driver, bus);
	if (exists && strcmp(driver, "tun"))
		return error_set(err, -EINVAL,
				 "%s: is not a TAP but an interface of another kind (%s): give the "
				 "name of a TAP, or one that does not exist yet",
				 name, *driver ? driver : "unknown");
	if (exists && !strcmp(bus, "tun"))
		return error_set(
			err, -EINVAL,
			"%s: is a TUN (it carries IP packets, not Ethernet frames): make it "
			"with 'ip tuntap add dev %s mode tap'",
			name, name);
	if (rc == -EBUSY)
		return error_set(err, rc,
				 "%s: is in use by another process: end that one, or give another "
				 "ifname=",
				 name);
	if (rc == -EINVAL && exists && multi)
		return error_set(err, rc,
				 "%s: was made for a single queue: use queues=1, or make it anew "
				 "with 'ip tuntap add dev %s mode tap multi_queue'",
				 name, name);
	if (rc == -EINVAL)
		return error_set(err, rc,
				 "%s: the kernel refuses this name: give another ifname=", name);
	if ((rc == -EPERM || rc == -EACCES) && !exists)
		return error_set(err, rc,
				 "%s: does not exist, and this user may not create it: run as "
				 "root, have root make it ('ip tuntap add dev %s mode tap user "
				 "NAME'), or pass an open tap with fd=",
				 name, name);
	if (rc == -EPERM || rc == -EACCES)
		return error_set(err, rc,
				 "%s: belongs to another user: run as root, have root make it for "
				 "this one ('ip tuntap add dev %s mode tap user NAME'), or pass an "
				 "open tap with fd=",
				 name, name);
	if (rc == -E2BIG)
		return error_set(err, rc, "%s: has no room for more queues: use fewer (queues=)",
				 name);
	return error_set(err, rc, "%s: cannot be attached: %s", name, error_name(rc));
}

/* Attaches one more queue; *flags loses or gains IFF_MULTI_QUEUE where a single queue allows. */
static int tap_attach(struct tap_fds *tap, int fd, short *flags, unsigned queues)
{
	struct ifreq ifr = {.ifr_flags = *flags};

	memcpy(ifr.ifr_name, tap->ifname, IFNAMSIZ);
	if (ioctl(fd, TUNSETIFF, &ifr) < 0) {
		if (errno != EINVAL || queues > 1)
			return -errno;
		/* A persistent interface made for several queues takes one only so. */
		ifr.ifr_flags |= IFF_MULTI_QUEUE;
		if (ioctl(fd, TUNSETIFF, &ifr) < 0)
			return -errno;
		*flags |= IFF_MULTI_QUEUE;
	}
	memcpy(tap->ifname, ifr.ifr_name, IFNAMSIZ);
	tap->ifname[IFNAMSIZ - 1] = '\0';
	return 0;
}

/*
 * Whether this descriptor's interface was made by attaching it: it goes with its descriptors, and
 * nobody has brought it up. (To ask for it by name beforehand would cost a new one the time of a
 * modprobe, which the kernel runs for names that it does not know.)
 */
static bool tap_is_new(int fd, const char *ifname)
{
	struct ifreq ifr = {0};
	int flags;

	if (ioctl(fd, TUNGETIFF, &ifr) < 0 || (ifr.ifr_flags & IFF_PERSIST))
		return false;
	flags = netif_flags(ifname);
	return flags >= 0 && !(flags & IFF_UP);
}

/*
 * A bridge without an address of its own takes the lowest among its ports. One that comes and goes
 * must not be that: the host would lose its neighbours, and they it, each time. So the addresses of
 * those that are made here begin as high as any can.
 */
static void tap_raise_address(const char *ifname)
{
	uint8_t mac[6];

	if (netif_mac(ifname, mac))
		return;
	mac[0] = 0xfe;
	netif_set_mac(ifname, mac);
}

int tap_open_named(struct tap_fds *tap, const char *ifname, unsigned queues, struct error *err)
{
	short flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR;
	int rc = 0;

	*tap = (struct tap_fds){.header = true};
	if (ifname && (!*ifname || strlen(ifname) >= IFNAMSIZ || strchr(ifname, '/')))
		return error_set(err, -EINVAL,
				 "ifname=%s: not an interface's name: use 1 to %d characters "
				 "without '/'",
				 ifname, IFNAMSIZ - 1);
	if (queues > TAP_QUEUES_MAX)
		return error_set(err, -EINVAL, "%s: %u queues are too many: use at most %d",
				 ifname ? ifname : "tap", queues, TAP_QUEUES_MAX);
	if (ifname)
		snprintf(tap->ifname, sizeof(tap->ifname), "%s", ifname);
	if (queues > 1)
		flags |= IFF_MULTI_QUEUE;
	for (unsigned i = 0; i < queues; i++) {
		int fd = tun_open(ifname ? ifname : "tap", err);

		if (fd < 0) {
			rc = fd;
			break;
		}
		tap->fd[tap->count++] = fd;
		rc = tap_attach(tap, fd, &flags, queues);
		if (rc < 0) {
			rc = tap_attach_error(tap->ifname, queues > 1, rc, err);
			break;
		}
	}
	if (rc == 0 && tap_is_new(tap->fd[0], tap->ifname))
		tap_raise_address(tap->ifname);
	tap->multiqueue = flags & IFF_MULTI_QUEUE;
	while (rc < 0 && tap->count)
		close(tap->fd[--tap->count]);
	return rc;
}

/* Looks at one given descriptor: an attached TAP queue of the same interface as the others. */
static int tap_take_fd(struct tap_fds *tap, int fd, const char *id, struct error *err)
{
	struct ifreq ifr = {0};
	struct stat st;

	if (fstat(fd, &st) < 0)
		return error_set(err, -EBADF,
				 "%s: fd=%d is not open in this process: see that it is inherited",
				 id, fd);
	if (ioctl(fd, TUNGETIFF, &ifr) < 0)
		return error_set(err, -EINVAL,
				 "%s: fd=%d is not an attached TAP: pass one on which TUNSETIFF "
				 "has been done",
				 id, fd);
	if (!(ifr.ifr_flags & IFF_TAP))
		return error_set(err, -EINVAL,
				 "%s: fd=%d is a TUN (it carries IP packets, not Ethernet frames): "
				 "open it with IFF_TAP",
				 id, fd);
	if (tap->count && strncmp(tap->ifname, ifr.ifr_name, IFNAMSIZ))
		return error_set(err, -EINVAL,
				 "%s: fd=%d belongs to %.15s but the ones before it to %s: pass "
				 "queues of one interface",
				 id, fd, ifr.ifr_name, tap->ifname);
	if (tap->count && tap->header != !!(ifr.ifr_flags & IFF_VNET_HDR))
		return error_set(err, -EINVAL,
				 "%s: fd=%d differs from the ones before it in IFF_VNET_HDR: open "
				 "all alike",
				 id, fd);
	snprintf(tap->ifname, sizeof(tap->ifname), "%.15s", ifr.ifr_name);
	tap->header = ifr.ifr_flags & IFF_VNET_HDR;
	tap->multiqueue = ifr.ifr_flags & IFF_MULTI_QUEUE;
	tap->fd[tap->count++] = fd;
	return 0;
}

int tap_open_fds(struct tap_fds *tap, const char *list, unsigned queues, const char *id,
		 struct error *err)
{
	const char *p = list;

	*tap = (struct tap_fds){0};
	for (;;) {
		char *end;
		long fd = isdigit((unsigned char)*p) ? strtol(p, &end, 10) : -1;
		int rc;

		if (fd < 0 || fd > 1 << 20 || (*end && *end != '+' && *end != ':'))
			return error_set(err, -EINVAL,
					 "%s: fd=%s: use a descriptor's number, or one a queue "
					 "separated by '+'",
					 id, list);
		if (tap->count == TAP_QUEUES_MAX)
			return error_set(err, -EINVAL, "%s: fd=: more than %d descriptors", id,
					 TAP_QUEUES_MAX);
		for (unsigned i = 0; i < tap->count; i++) {
			if (tap->fd[i] == fd)
				return error_set(err, -EINVAL, "%s: fd=%s: %ld is given twice", id,
						 list, fd);
		}
		rc = tap_take_fd(tap, (int)fd, id, err);
		if (rc < 0)
			return rc;
		if (!*end)
			break;
		p = end + 1;
	}
	if (tap->count != queues)
		return error_set(err, -EINVAL,
				 "%s: fd= gives %u queues but queues=%u: make them equal", id,
				 tap->count, queues);
	for (unsigned i = 0; i < tap->count; i++) {
		fcntl(tap->fd[i], F_SETFD, FD_CLOEXEC);
		fcntl(tap->fd[i], F_SETFL, fcntl(tap->fd[i], F_GETFL) | O_NONBLOCK);
	}
	return 0;
}
