/* SPDX-License-Identifier: Apache-2.0 */
/* The options of viaduct: one line in a table and one small function each. */
#include "cmdline.h"

#include "base/options.h"
#include "vmm/vcpu.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

static int set_kernel(void *to, const char *value, struct error *err)
{
	struct cmdline *c = to;

	c->config.kernel = value;
	return 0;
}

static int set_initrd(void *to, const char *value, struct error *err)
{
	struct cmdline *c = to;

	c->config.initrd = value;
	return 0;
}

static int set_cmdline(void *to, const char *value, struct error *err)
{
	struct cmdline *c = to;

	c->config.cmdline = value;
	return 0;
}

static int set_cpus(void *to, const char *value, struct error *err)
{
	struct cmdline *c = to;
	uint64_t n;
	int ret = option_u64("--cpus", value, 1, VCPUS_MAX, &n, err);

	if (!ret)
		c->config.cpus = (unsigned)n;
	return ret;
}

/* KEY=on|off lists of a few flags. */
struct flag {
	const char *name;
	bool *value;
};

static int set_flags(const char *what, const char *text, const struct option_key *keys,
		     const struct flag *flags, unsigned nflags, struct error *err)
{
	const struct option_key *const tables[] = {keys, NULL};
	struct options opts;
	int ret = options_parse(&opts, text, err);

	if (!ret)
		ret = options_check(&opts, tables, what, err);
	for (unsigned i = 0; i < nflags && !ret; i++) {
		const char *value = options_get(&opts, flags[i].name);

		if (value)
			ret = option_bool(flags[i].name, value, flags[i].value, err);
	}
	options_free(&opts);
	/* options_check() has said what it is about. */
	if (ret && strncmp(err->text, what, strlen(what)) != 0)
		error_prefix(err, ret, "%s", what);
	return ret;
}

static int set_memory(void *to, const char *value, struct error *err)
{
	struct cmdline *c = to;
	static const struct option_key keys[] = {
		{"hugepages", "on|off", "", false}, {"prealloc", "on|off", "", false}, {0}};
	const struct flag flags[] = {{"hugepages", &c->config.hugepages},
				     {"prealloc", &c->config.prealloc}};
	const char *comma = strchrnul(value, ',');
	char size[32];
	uint64_t grain;
	int ret;

	if ((size_t)(comma - value) >= sizeof(size))
		return error_set(err, -EINVAL, "--memory: '%s' is not a size", value);
	memcpy(size, value, (size_t)(comma - value));
	size[comma - value] = '\0';
	ret = option_size("--memory", size, true, &c->config.memory, err);
	if (!ret)
		ret = set_flags("--memory", *comma ? comma + 1 : "", keys, flags, ARRAY_SIZE(flags),
				err);
	if (ret)
		return ret;
	if (c->config.memory < MACHINE_MEMORY_MIN)
		return error_set(err, -EINVAL,
				 "--memory: %s is less than the least possible, %lluM", size,
				 MACHINE_MEMORY_MIN / MIB);
	grain = c->config.hugepages ? 2 * MIB : MIB;
	if (c->config.memory % grain)
		return error_set(err, -EINVAL, "--memory: %s is not a multiple of %lluM%s", size,
				 (unsigned long long)(grain / MIB),
				 c->config.hugepages ? ", a huge page" : "");
	return 0;
}

static int set_net(void *to, const char *value, struct error *err)
{
	struct cmdline *c = to;

	if (c->config.nnets == CMDLINE_NETS_MAX)
		return error_set(err, -EINVAL, "--net: there is room for %u NICs",
				 CMDLINE_NETS_MAX);
	c->nets[c->config.nnets++] = value;
	return 0;
}

static int set_disk(void *to, const char *value, struct error *err)
{
	struct cmdline *c = to;

	if (c->config.ndisks == MACHINE_DISKS_MAX)
		return error_set(err, -EINVAL, "--disk: there is room for %u disks",
				 MACHINE_DISKS_MAX);
	c->disks[c->config.ndisks++] = value;
	return 0;
}

static int set_device(void *to, const char *value, struct error *err)
{
	struct cmdline *c = to;

	if (c->config.ndevices == CMDLINE_NETS_MAX)
		return error_set(err, -EINVAL, "--device: there is room for %u devices",
				 CMDLINE_NETS_MAX);
	c->devices[c->config.ndevices++] = value;
	return 0;
}

static int set_serial(void *to, const char *value, struct error *err)
{
	struct cmdline *c = to;

	if (!strcmp(value, "stdio")) {
		c->config.serial = CONSOLE_STDIO;
	} else if (!strcmp(value, "null")) {
		c->config.serial = CONSOLE_NULL;
	} else if (!strncmp(value, "file=", 5) && value[5]) {
		c->config.serial = CONSOLE_FILE;
		c->config.serial_path = value + 5;
	} else {
		return error_set(err, -EINVAL,
				 "--serial: '%s' is unknown: use stdio, null or file=PATH", value);
	}
	return 0;
}

static int set_api_socket(void *to, const char *value, struct error *err)
{
	struct cmdline *c = to;

	c->api_socket = value;
	return 0;
}

static int set_no_reboot(void *to, const char *value, struct error *err)
{
	struct cmdline *c = to;

	c->config.no_reboot = true;
	return 0;
}

/* Test aids: what this KVM has, but the machine is to do without. */
static int set_machine(void *to, const char *value, struct error *err)
{
	struct cmdline *c = to;
	static const struct option_key keys[] = {
		{"irqfd", "on|off", "", false},	 {"ioeventfd", "on|off", "", false},
		{"batch", "on|off", "", false},	 {"iommufd", "on|off", "", false},
		{"unpack", "on|off", "", false}, {0}};
	bool irqfd = true, ioeventfd = true, batch = true, iommufd = true, unpack = true;
	const struct flag flags[] = {{"irqfd", &irqfd},
				     {"ioeventfd", &ioeventfd},
				     {"batch", &batch},
				     {"iommufd", &iommufd},
				     {"unpack", &unpack}};
	int ret = set_flags("--machine", value, keys, flags, ARRAY_SIZE(flags), err);

	c->config.no_irqfd = !irqfd;
	c->config.no_ioeventfd = !ioeventfd;
	c->config.no_coalesce = !batch;
	c->config.no_iommufd = !iommufd;
	c->config.unpack = unpack;
	return ret;
}

static int set_log_level(void *to, const char *value, struct error *err)
{
	struct cmdline *c = to;

	return log_level_parse(value, &c->log_level, err);
}

static int set_help(void *to, const char *value, struct error *err)
{
	struct cmdline *c = to;

	c->what = CMDLINE_HELP;
	return 0;
}

static int set_version(void *to, const char *value, struct error *err)
{
	struct cmdline *c = to;

	c->what = CMDLINE_VERSION;
	return 0;
}

const struct arg_option cmdline_options[] = {
	{"kernel", "FILE", "a Linux bzImage, or an uncompressed ELF kernel with a PVH entry",
	 set_kernel},
	{"initrd", "FILE", "its initramfs", set_initrd},
	{"cmdline", "TEXT", "its command line (console=ttyS0)", set_cmdline},
	{"cpus", "N", "vCPUs, 1 to 64 (1)", set_cpus},
	{"memory", "SIZE[,hugepages=on][,prealloc=on]",
	 "guest memory, in MiB or with K, M, G, T (512M); hugepages: of 2 MiB each; prealloc: take "
	 "all of it from the host at start",
	 set_memory},
	{"net", "KEY=VALUE,...",
	 "a NIC, see below; --net alone is virtio-net on user networking; repeatable", set_net,
	 .alone = true},
	{"disk", "KEY=VALUE,...", "a disk, see below; path= names the image; repeatable", set_disk},
	{"device", "host=ADDRESS[,id=NAME]",
	 "a PCI device of the host that is no NIC, passed through; NICs: --net model=vfio-pci; "
	 "repeatable",
	 set_device},
	{"serial", "stdio|null|file=PATH", "where the guest's serial port goes (stdio)",
	 set_serial},
	{"api-socket", "PATH", "where viaductctl and other clients reach this machine (nowhere)",
	 set_api_socket},
	{"no-reboot", NULL, "end where the guest would reboot", set_no_reboot},
	{"machine", "KEY=on|off,...",
	 "for tests: irqfd=off, ioeventfd=off, batch=off, iommufd=off do without what the kernel "
	 "offers; unpack=off leaves it to the guest to unpack a bzImage",
	 set_machine},
	{"log-level", "LEVEL", "error, warn, info or debug (warn)", set_log_level},
	{"help", NULL, "this text", set_help},
	{"version", NULL, "the version", set_version},
	{0},
};

int cmdline_parse(struct cmdline *c, int argc, char **argv, struct error *err)
{
	int ret;

	*c = (struct cmdline){
		.config = {.cmdline = "console=ttyS0", .cpus = 1, .memory = 512 * MIB},
		.log_level = LOG_LEVEL_WARN,
	};
	c->config.nets = c->nets;
	c->config.disks = c->disks;
	c->config.devices = c->devices;
	ret = args_parse(cmdline_options, c, argc, argv, err);
	if (!ret && c->what == CMDLINE_RUN && !c->config.kernel)
		ret = error_set(err, -EINVAL, "--kernel is missing: see --help");
	return ret;
}
