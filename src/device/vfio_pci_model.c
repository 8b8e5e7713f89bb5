/* SPDX-License-Identifier: Apache-2.0 */
/* The two ways to ask for a passed-through device: --net model=vfio-pci, and --device. */
#include "device/vfio_pci.h"

#include "base/named_options.h"

#include <errno.h>
#include <stdio.h>

#define HOST_KEY                                                                    \
	{                                                                           \
		"host", "ADDRESS", "the device, as 0000:01:10.0, bound to vfio-pci" \
	}

static const struct option_key nic_keys[] = {HOST_KEY, {0}};
const struct option_key vfio_pci_device_keys[] = {
	HOST_KEY,
	{"id", "NAME", "its name in messages and on the control socket (dev<N>)"},
	{0},
};

static int create_from(const struct options *opts, const struct vfio_pci_params *base,
		       struct vfio_pci **out, struct error *err)
{
	const char *host = options_get(opts, "host");
	struct vfio_pci_params params = *base;
	char addr[HOSTPCI_ADDR_LEN];
	int ret;

	if (!host)
		return error_set(err, -EINVAL,
				 "host= is missing: the PCI address of the device, such as "
				 "host=0000:01:10.0");
	ret = hostpci_parse(host, addr, err);
	if (ret)
		return error_prefix(err, ret, "host=");
	params.addr = addr;
	params.sys = &vfio_sys_linux;
	ret = vfio_pci_create(&params, out, err);
	/* What the host does not give is no fault of the command line. */
	return ret == -EINVAL || ret == -ERANGE || ret == -EBADF ? -EIO : ret;
}

static int create_nic(const struct nic_params *np, struct nic **out, struct error *err)
{
	struct vfio_pci_params params = {
		.id = np->id, .host = np->host, .mem = np->mem, .loop = np->loop};
	struct vfio_pci *v;
	int ret;

	if (options_get(np->opts, "mac") || options_get(np->opts, "mtu"))
		return error_set(err, -EINVAL,
				 "mac= and mtu= are not for a device of its own: set a virtual "
				 "function's address on the host (viaductctl sriov set, or ip link "
				 "set PF vf N mac), and the MTU in the guest");
	ret = create_from(np->opts, &params, &v, err);
	if (!ret)
		*out = &v->nic;
	return ret;
}

static void counters(struct nic *nic, void (*emit)(void *arg, const char *name, uint64_t value),
		     void *arg)
{
	struct vfio_pci *v = vfio_pci_of(&nic->pci);
	struct vfio_pci_counters c;

	pthread_mutex_lock(&nic->pci.lock);
	c = v->counters;
	pthread_mutex_unlock(&nic->pci.lock);
	emit(arg, "config_reads", c.config_reads);
	emit(arg, "config_writes", c.config_writes);
	emit(arg, "bar_reads", c.bar_reads);
	emit(arg, "bar_writes", c.bar_writes);
	emit(arg, "msix_table_accesses", c.table_accesses);
	emit(arg, "resets", c.resets);
}

static void state(struct nic *nic, struct nic_state *out)
{
	struct vfio_pci *v = vfio_pci_of(&nic->pci);

	strcpy(out->backend, "none");
	strcpy(out->plane, "passthrough");
	snprintf(out->attachment, sizeof(out->attachment), "%s", v->dev.addr);
	pthread_mutex_lock(&nic->pci.lock);
	out->admin_up = !v->gone;
	out->running = !v->gone && pci_dev_bus_master(&nic->pci);
	pthread_mutex_unlock(&nic->pci.lock);
}

static void hops(struct nic *nic, nic_hop_fn *fn, void *arg)
{
	static const char unknown[] =
		"no frame passes the VMM: see the guest's own counters, and those of the "
		"physical function on the host (ip -s link)";

	for (unsigned i = NIC_TX; i <= NIC_RX; i++) {
		struct nic_hop hop = {.name = "device",
				      .what = "the hardware, by DMA in the guest's memory",
				      .direction = i,
				      .queue = -1,
				      .last_drop = -1,
				      .unknown = unknown};

		fn(arg, &hop);
	}
}

const struct nic_ops vfio_pci_nic_ops = {
	.name = "vfio-pci",
	.help = "a NIC of the host, or a virtual function of one, passed through; no back-end",
	.keys = nic_keys,
	.no_backend = true,
	.create = create_nic,
	.counters = counters,
	.state = state,
	.hops = hops,
};

int vfio_pci_from_option(const char *text, unsigned index, struct bus_host *host,
			 struct guest_mem *mem, struct loop *loop, struct pci_dev **out,
			 struct error *err)
{
	static const struct option_key *const tables[] = {vfio_pci_device_keys, NULL};
	struct vfio_pci_params params = {.host = host, .mem = mem, .loop = loop};
	struct named_options n;
	struct vfio_pci *v;
	int ret = named_options_parse(&n, "--device", "dev", index, text, err);

	params.id = n.id;
	if (!ret)
		ret = nic_check_id(params.id, err);
	if (!ret)
		ret = options_check(&n.opts, tables, n.what, err);
	if (!ret)
		ret = create_from(&n.opts, &params, &v, err);
	if (!ret)
		*out = &v->nic.pci;
	return named_options_end(&n, ret, err);
}
