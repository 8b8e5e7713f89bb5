/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vduse_tap TAP: a VDUSE network device whose frames come from and go to a TAP. Prints its
 * /dev/vhost-vdpa-N, serves it until its standard input ends, and removes it.
 */
#include "unit/vduse_net.h"

#include <linux/if.h>
#include <linux/if_tun.h>
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

int main(int argc, char **argv)
{
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
	while (read(0, &byte, 1) > 0)
		;
	vduse_end(&v);
	close(tap);
	return 0;
}
