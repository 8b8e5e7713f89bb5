/* SPDX-License-Identifier: Apache-2.0 */
#include "hostnet/xdp_redirect.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <linux/bpf.h>
#include <linux/if_link.h>
#include <stdlib.h>
#include <unistd.h>

#define REG(n)	   BPF_REG_##n
#define QUEUES_MAX 4096

struct xdp_redirect {
	struct xdp_redirect *next;
	unsigned ifindex, users;
	bool native;
	int map_fd, prog_fd, link_fd; /* -1: none */
};

static struct xdp_redirect *all;

static int load(struct xdp_redirect *x, struct error *err)
{
	int ret;

	x->map_fd = bpf_map_create(BPF_MAP_TYPE_XSKMAP, "viaduct_xsks", sizeof(int), sizeof(int),
				   QUEUES_MAX, NULL);
	if (x->map_fd >= 0) {
		/* return bpf_redirect_map(&xsks, ctx->rx_queue_index, XDP_PASS); */
		const struct bpf_insn insns[] = {
			{BPF_LDX | BPF_MEM | BPF_W, REG(2), REG(1),
			 offsetof(struct xdp_md, rx_queue_index), 0},
			{BPF_LD | BPF_DW /* | BPF_IMM */, REG(1), BPF_PSEUDO_MAP_FD, 0, x->map_fd},
			{0},
			{BPF_ALU64 | BPF_MOV | BPF_K, REG(3), 0, 0, XDP_PASS},
			{BPF_JMP | BPF_CALL, 0, 0, 0, BPF_FUNC_redirect_map},
			{BPF_JMP | BPF_EXIT, 0, 0, 0, 0},
		};

		x->prog_fd = bpf_prog_load(BPF_PROG_TYPE_XDP, "viaduct_xsk", "Dual BSD/GPL", insns,
					   ARRAY_SIZE(insns), NULL);
	}
	if (x->prog_fd >= 0)
		return 0;
	ret = -errno;
	return error_set(err, ret,
			 ret == -EPERM ? "may not load an XDP program: run as root, or with "
					 "CAP_BPF and CAP_NET_ADMIN%s"
				       : "cannot load an XDP program: %s",
			 ret == -EPERM ? "" : error_name(ret));
}

int xdp_redirect_open(struct xdp_redirect **out, unsigned ifindex, bool native, struct error *err)
{
	struct xdp_redirect *x = all;
	int ret;

	while (x && x->ifindex != ifindex)
		x = x->next;
	if (x && x->native != native)
		return error_set(err, -EOPNOTSUPP, "another port has it in %s XDP",
				 x->native ? "native" : "generic");
	if (x) {
		x->users++;
		*out = x;
		return 0;
	}
	x = malloc(sizeof(*x));
	if (!x)
		return error_set(err, -ENOMEM, "out of memory");
	*x = (struct xdp_redirect){all, ifindex, 1, native, -1, -1, -1};
	all = x;
	ret = load(x, err);
	if (ret)
		xdp_redirect_close(x);
	else
		*out = x;
	return ret;
}

int xdp_redirect_set(struct xdp_redirect *x, unsigned queue, int fd, struct error *err)
{
	if (bpf_map_update_elem(x->map_fd, &queue, &fd, BPF_ANY) == 0)
		return 0;
	return error_set(err, -errno, "queue %u: cannot enter its socket in the map: %s", queue,
			 error_name(errno));
}

int xdp_redirect_attach(struct xdp_redirect *x, struct error *err)
{
	LIBBPF_OPTS(bpf_link_create_opts, opts,
		    .flags = x->native ? XDP_FLAGS_DRV_MODE : XDP_FLAGS_SKB_MODE);
	int ret;

	if (x->link_fd >= 0)
		return 0;
	x->link_fd = bpf_link_create(x->prog_fd, (int)x->ifindex, BPF_XDP, &opts);
	if (x->link_fd < 0) {
		ret = -errno;
		if (ret == -EBUSY || ret == -EEXIST)
			return error_set(
				err, -EBUSY,
				"it has an XDP program already, of another process (ip link "
				"set dev … xdp off)");
		return error_set(err, ret, "cannot attach the XDP program (%s): %s",
				 x->native ? "native" : "generic", error_name(ret));
	}
	return 0;
}

void xdp_redirect_close(struct xdp_redirect *x)
{
	struct xdp_redirect **link = &all;

	if (!x || --x->users)
		return;
	while (*link != x)
		link = &(*link)->next;
	*link = x->next;
	if (x->link_fd >= 0)
		close(x->link_fd);
	if (x->prog_fd >= 0)
		close(x->prog_fd);
	if (x->map_fd >= 0)
		close(x->map_fd);
	free(x);
}
