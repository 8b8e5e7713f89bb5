/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a switch is handed by another process: ports, settings, messages of their front-ends, addresses,
 * counters, positions, with descriptors that are what they should be, or are not. Input: how many
 * descriptors, the kind of each, then both parcels' data as one. Whatever could be taken over is run
 * for some steps; nothing may crash or be left open.
 */
#include "fuzz.h"

#include "base/log.h"
#include "switch/takeover.h"
#include "vhost/backend.h"

#include <dirent.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define FDS_MAX 40
#define RAM	(64 << 20) /* bytes of address space */

static struct loop *loop;

static int memory(void)
{
	int fd = memfd_create("ram", MFD_CLOEXEC);

	fuzz_assert(ftruncate(fd, RAM) == 0);
	return fd;
}

static int listener(void)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	const struct sockaddr_un any = {.sun_family = AF_UNIX};

	fuzz_assert(bind(fd, (const struct sockaddr *)&any, sizeof(any.sun_family)) == 0);
	fuzz_assert(listen(fd, 1) == 0);
	return fd;
}

static int connection(void)
{
	int fds[2];

	fuzz_assert(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) == 0);
	close(fds[1]);
	return fds[0];
}

static int descriptor(uint8_t kind)
{
	switch (kind % 5) {
	case 0:
		return memory();
	case 1:
		return eventfd(0, EFD_CLOEXEC);
	case 2:
		return listener();
	case 3:
		return connection();
	default:
		return dup(STDIN_FILENO);
	}
}

static unsigned open_files(void)
{
	DIR *dir = opendir("/proc/self/fd");
	unsigned n = 0;

	while (readdir(dir))
		n++;
	closedir(dir);
	return n;
}

static void start(void)
{
	/* One back-end that stays, so that the thread that all of them share does too. */
	static const struct vhost_backend_ops none;
	struct vhost_backend_params params = {.name = "stays", .queue_pairs = 1, .ops = &none};
	struct error err = {0};

	log_set_level(LOG_LEVEL_ERROR);
	loop = loop_create(&err);
	params.loop = loop;
	fuzz_assert(loop && vhost_backend_create(&params, &err));
}

static void take_over(struct parcel_in *p)
{
	struct sw_options options;
	struct error err = {0};
	struct sw_heir *heir;
	struct sw *sw;

	sw_options_init(&options);
	options.threads = false;
	options.fdb_max = 64;
	sw = sw_create(&options, loop, &err);
	fuzz_assert(sw);
	heir = sw_takeover_restore(sw, p, &err);
	fuzz_assert(heir || (err.code < 0 && *err.text));
	if (heir && !sw_takeover_restore_rings(heir, p, &err)) {
		sw_takeover_resume(heir);
		for (unsigned i = 0; i < 4; i++) {
			sw_step(sw);
			loop_run_once(loop, 0);
		}
	}
	sw_takeover_free(heir);
	sw_destroy(sw);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_input in = {data, size};
	struct parcel_in p = {0};
	unsigned before, n;

	if (!loop)
		start();
	before = open_files();
	n = fuzz_u8(&in) % (FDS_MAX + 1);
	p.fds = calloc(FDS_MAX, sizeof(*p.fds));
	for (p.nfds = 0; p.nfds < n; p.nfds++)
		p.fds[p.nfds] = descriptor(fuzz_u8(&in));
	p.data = malloc(in.left + 1);
	if (in.left)
		memcpy(p.data, in.at, in.left);
	p.len = in.left;
	take_over(&p);
	parcel_in_free(&p);
	fuzz_assert(open_files() == before);
	return 0;
}
