/* SPDX-License-Identifier: Apache-2.0 */
/* viaductctl sriov: the host's NICs and their virtual functions. No running viaduct is asked. */
#include "ctl.h"

#include "base/options.h"
#include "hostpci/sriov.h"

#include <errno.h>
#include <limits.h>
#include <linux/capability.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#define SYSFS "/sys"

static const char *group_text(const struct sriov_nic *nic, char buf[32])
{
	if (nic->pci.group == HOSTPCI_NO_GROUP)
		return NULL;
	if (nic->group_others)
		snprintf(buf, 32, "%d (shared with %u)", nic->pci.group, nic->group_others);
	else
		snprintf(buf, 32, "%d", nic->pci.group);
	return buf;
}

static const char *functions_text(const struct sriov_nic *nic, char buf[32])
{
	if (nic->is_vf)
		snprintf(buf, 32, "vf %u of %.16s", nic->vf_index, nic->pf);
	else if (nic->max_vfs)
		snprintf(buf, 32, "%u of %u vfs", nic->vfs, nic->max_vfs);
	else
		return nic->vdpa ? "vdpa" : NULL;
	return buf;
}

static const char *link_text(const struct sriov_nic *nic)
{
	if (!nic->ifname[0])
		return NULL;
	return nic->carrier ? "up" : nic->up ? "no carrier" : "down";
}

static int list_one(const struct sriov_nic *nic, void *arg)
{
	char buf[3][32], user[64];
	struct ctl_table *table = arg;

	sriov_user("/proc", nic, user, sizeof(user));
	snprintf(buf[2], sizeof(buf[2]), "%04x:%04x", nic->pci.vendor, nic->pci.device);
	ctl_table_row(table,
		      (const char *[]){nic->pci.addr, buf[2], nic->ifname[0] ? nic->ifname : NULL,
				       link_text(nic), nic->pci.driver[0] ? nic->pci.driver : NULL,
				       group_text(nic, buf[0]), functions_text(nic, buf[1]),
				       user[0] ? user : NULL});
	return 0;
}

static int list_json(const struct sriov_nic *nic, void *arg)
{
	char user[64];
	json_t *o;

	sriov_user("/proc", nic, user, sizeof(user));
	o = json_pack("{s:s, s:i, s:i, s:s, s:b, s:b, s:s, s:i, s:i, s:i, s:i, s:b, s:s, s:s}",
		      "address", nic->pci.addr, "vendor", (int)nic->pci.vendor, "device",
		      (int)nic->pci.device, "interface", nic->ifname, "up", (int)nic->up, "carrier",
		      (int)nic->carrier, "driver", nic->pci.driver, "iommu_group", nic->pci.group,
		      "group_others", (int)nic->group_others, "vfs", (int)nic->vfs, "max_vfs",
		      (int)nic->max_vfs, "vdpa", (int)nic->vdpa, "physical_function", nic->pf,
		      "user", user);
	return o ? json_array_append_new(arg, o) : -ENOMEM;
}

static int run_list(struct ctl *ctl, char **args, struct error *err)
{
	struct ctl_table table = {.ncolumns = 8};
	json_t *all;
	int ret;

	if (ctl->json) {
		all = json_array();
		ret = sriov_for_each(SYSFS, list_json, all, err);
		ctl_print_json(all);
		json_decref(all);
		return ret;
	}
	ctl_table_row(&table, (const char *[]){"ADDRESS", "ID", "INTERFACE", "LINK", "DRIVER",
					       "IOMMU GROUP", "FUNCTIONS", "USED BY"});
	ret = sriov_for_each(SYSFS, list_one, &table, err);
	ctl_table_print(&table);
	return ret;
}

/* A PCI address, or the name of an interface that is a PCI device's: the last one on its path. */
static int device_arg(const char *text, char addr[HOSTPCI_ADDR_LEN], struct error *err)
{
	char path[64], target[PATH_MAX];

	if (!text)
		return error_set(err, -EINVAL, "no device is named: its PCI address or interface");
	if (strchr(text, ':'))
		return hostpci_parse(text, addr, err);
	snprintf(path, sizeof(path), SYSFS "/class/net/%.15s/device", text);
	if (!strchr(text, '/') && realpath(path, target)) {
		for (char *slash; (slash = strrchr(target, '/')); *slash = '\0')
			if (!hostpci_parse(slash + 1, addr, NULL))
				return 0;
	}
	return error_set(err, -EINVAL,
			 "'%.40s' is neither a PCI address nor an interface that is a PCI device's",
			 text);
}

static int run_create(struct ctl *ctl, char **args, struct error *err)
{
	char addr[HOSTPCI_ADDR_LEN], vf[HOSTPCI_ADDR_LEN];
	uint64_t n;
	int ret = device_arg(args[0], addr, err);

	if (!ret)
		ret = option_u64("the number of functions", args[1], 1, SRIOV_VFS_MAX, &n, err);
	if (ret)
		return -EINVAL;
	ctl->asked = true;
	ret = sriov_create(SYSFS, addr, (unsigned)n, err);
	for (unsigned i = 0; !ret && i < n; i++)
		if (!sriov_vf_addr(SYSFS, addr, i, vf))
			printf("%s\n", vf);
	return ret;
}

static int with_device(struct ctl *ctl, const char *text,
		       int (*fn)(const char *sysfs, const char *addr, struct error *err),
		       struct error *err)
{
	char addr[HOSTPCI_ADDR_LEN];
	int ret = device_arg(text, addr, err);

	if (ret)
		return ret;
	ctl->asked = true;
	return fn(SYSFS, addr, err);
}

static int run_destroy(struct ctl *ctl, char **args, struct error *err)
{
	return with_device(ctl, args[0], sriov_destroy, err);
}

static int run_bind(struct ctl *ctl, char **args, struct error *err)
{
	return with_device(ctl, args[0], sriov_bind, err);
}

static int run_unbind(struct ctl *ctl, char **args, struct error *err)
{
	return with_device(ctl, args[0], sriov_unbind, err);
}

/* Whether this process may lock memory without limit; a container's root often may not. */
static bool may_lock_all(void)
{
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3] = {{0}};

	return !syscall(SYS_capget, &header, data) && data[0].effective >> CAP_IPC_LOCK & 1;
}

static int run_check(struct ctl *ctl, char **args, struct error *err)
{
	struct sriov_finding findings[SRIOV_FINDINGS_MAX];
	struct rlimit limit = {0};
	char addr[HOSTPCI_ADDR_LEN];
	int bad = 0, n, ret = device_arg(args[0], addr, err);

	if (ret)
		return ret;
	ctl->asked = true;
	(void)getrlimit(RLIMIT_MEMLOCK, &limit);
	n = sriov_check(SYSFS, addr,
			limit.rlim_cur == RLIM_INFINITY || may_lock_all() ? UINT64_MAX
									  : limit.rlim_cur,
			findings, err);
	for (int i = 0; i < n; i++) {
		printf("%-9s %s  %s\n", findings[i].what, findings[i].ok ? "ok  " : "MISS",
		       findings[i].text);
		bad += !findings[i].ok;
	}
	if (n < 0)
		return n;
	return bad ? error_set(err, -ENOTSUP, "%s is not ready for a guest: see above", addr) : 0;
}

static int parse_state(const char *text, unsigned *state, struct error *err)
{
	static const char *const names[] = {"auto", "enable", "disable"};

	for (unsigned i = 0; i < ARRAY_SIZE(names); i++) {
		if (!strcmp(text, names[i])) {
			*state = i; /* IFLA_VF_LINK_STATE_AUTO, _ENABLE, _DISABLE */
			return 0;
		}
	}
	return error_set(err, -EINVAL, "state=%.40s: use auto, enable or disable", text);
}

static int parse_one(const struct options *opts, const char *key, struct sriov_settings *s,
		     struct error *err)
{
	const char *text = options_get(opts, key);
	uint64_t value = 0;
	int ret = 0;

	if (!text)
		return 0;
	if (!strcmp(key, "mac")) {
		s->has_mac = true;
		ret = option_mac(key, text, s->mac, err);
	} else if (!strcmp(key, "vlan")) {
		s->has_vlan = true;
		ret = option_u64(key, text, 0, 4094, &value, err);
		s->vlan = (unsigned)value;
	} else if (!strcmp(key, "rate")) {
		s->has_rate = true;
		ret = option_u64(key, text, 0, UINT32_MAX, &value, err);
		s->rate = (unsigned)value;
	} else if (!strcmp(key, "spoofchk")) {
		s->has_spoofchk = true;
		ret = option_bool(key, text, &s->spoofchk, err);
	} else if (!strcmp(key, "trust")) {
		s->has_trust = true;
		ret = option_bool(key, text, &s->trust, err);
	} else {
		s->has_state = true;
		ret = parse_state(text, &s->state, err);
	}
	return ret;
}

static int parse_settings(const char *text, struct sriov_settings *s, struct error *err)
{
	static const struct option_key keys[] = {{"mac", "MAC", ""},
						 {"vlan", "ID", ""},
						 {"rate", "MBIT", ""},
						 {"spoofchk", "on|off", ""},
						 {"trust", "on|off", ""},
						 {"state", "STATE", ""},
						 {0}};
	const struct option_key *const tables[] = {keys, NULL};
	struct options opts;
	int ret = options_parse(&opts, text, err);

	if (!ret)
		ret = options_check(&opts, tables, "sriov set", err);
	for (unsigned i = 0; keys[i].name && !ret; i++)
		ret = parse_one(&opts, keys[i].name, s, err);
	options_free(&opts);
	return ret ? -EINVAL : 0;
}

static int run_set(struct ctl *ctl, char **args, struct error *err)
{
	struct sriov_settings settings = {0};
	struct sriov_nic vf, pf;
	char addr[HOSTPCI_ADDR_LEN];
	int ret = parse_settings(args[1], &settings, err);

	if (!ret)
		ret = device_arg(args[0], addr, err);
	if (ret)
		return ret;
	ctl->asked = true;
	ret = sriov_read(SYSFS, addr, &vf, err);
	if (ret)
		return ret;
	if (!vf.is_vf)
		return error_set(err, -EINVAL, "%s is no virtual function", addr);
	ret = sriov_read(SYSFS, vf.pf, &pf, err);
	if (ret)
		return ret;
	if (!pf.ifname[0])
		return error_set(err, -ENODEV,
				 "%s, whose virtual function this is, has no interface: bind it to "
				 "its driver",
				 vf.pf);
	return sriov_set(pf.ifname, vf.vf_index, &settings, err);
}

const struct ctl_command ctl_sriov_commands[] = {
	{"sriov list", NULL, "the host's NICs: driver, IOMMU group, functions, who uses them", 0, 0,
	 run_list, .local = true},
	{"sriov check", "DEVICE", "what a guest needs of it, and what to do about what is missing",
	 1, 1, run_check, .local = true},
	{"sriov create", "PF N", "make N virtual functions, and print their addresses", 2, 2,
	 run_create, .local = true},
	{"sriov set", "VF KEY=VALUE,...",
	 "mac=, vlan=, rate= (Mb/s), spoofchk=, trust=, state=auto|enable|disable", 2, 2, run_set,
	 .local = true},
	{"sriov bind", "DEVICE", "give it to vfio-pci, for guests", 1, 1, run_bind, .local = true},
	{"sriov unbind", "DEVICE", "give it back to the host", 1, 1, run_unbind, .local = true},
	{"sriov destroy", "PF", "take all its virtual functions away", 1, 1, run_destroy,
	 .local = true},
	{0},
};
