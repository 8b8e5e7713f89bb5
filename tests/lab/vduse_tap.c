/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vduse_tap TAP: a VDUSE network device whose frames come from and go to a TAP. Prints its
 * /dev/vhost-vdpa-N, serves it until its standard input ends or SIGTERM comes, and removes it.
 */
#include "unit/vduse_net.h"

#include <linux/if.h>
#include <linux/if_tun.h>
#include <signal.h>
#include <string.h>

static int open_tap(const char *name)
{
	struct ifreq ifr = {.ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR};
	int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC | O_NONBLOCK);
	int header = 12;

	snprintf(ifr.ifr_name, sizeof(ifr.ifr_name), "%s", name);
	if (fd < 0 || ioctl(fd, TUNSETIFF, &ifr) < 0 || ioctl(fd, TUNSETVNETHDRSZ, &header) < 0) {
		perror(name);
		return -1;
	}
	return fd;
}

static volatile sig_atomic_t ended;

static void end(int sig)
{
	ended = sig;
}

int main(int argc, char **argv)
{
	const struct sigaction on_term = {.sa_handler = end};
	struct vduse_net v;
	struct error err;
	char path[64], byte;
	int tap = argc == 2 ? open_tap(argv[1]) : -1;

	if (tap < 0)
		return 2;
	if (vduse_start(&v, tap, path, &err)) {
		fprintf(stderr, "vduse_tap: %s\n", err.text);
		return 1;
	}
	puts(path);
	fflush(stdout);
	/* Without SA_RESTART: the signal ends the read. */
	sigaction(SIGTERM, &on_term, NULL);
	while (!ended && read(0, &byte, 1) > 0)
		;
	vduse_end(&v);
	close(tap);
	return 0;
}
