/* SPDX-License-Identifier: Apache-2.0 */
#include "hostnet/xdp_redirect.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <linux/bpf.h>
#include <linux/if_link.h>
#include <unistd.h>

#define REG(n) BPF_REG_##n

int xdp_redirect_load(struct xdp_redirect *x, unsigned queues, struct error *err)
{
	int ret;

	*x = (struct xdp_redirect){-1, -1, -1, false};
	x->map_fd = bpf_map_create(BPF_MAP_TYPE_XSKMAP, "viaduct_xsks", sizeof(int), sizeof(int),
				   queues, NULL);
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
	xdp_redirect_close(x);
	return error_set(err, ret,
			 ret == -EPERM ? "may not load an XDP program: run as root, or with "
					 "CAP_BPF and CAP_NET_ADMIN%s"
				       : "cannot load an XDP program: %s",
			 ret == -EPERM ? "" : error_name(ret));
}

int xdp_redirect_set(struct xdp_redirect *x, unsigned queue, int fd, struct error *err)
{
	if (bpf_map_update_elem(x->map_fd, &queue, &fd, BPF_ANY) == 0)
		return 0;
	return error_set(err, -errno, "queue %u: cannot enter its socket in the map: %s", queue,
			 error_name(errno));
}

int xdp_redirect_attach(struct xdp_redirect *x, unsigned ifindex, bool native, struct error *err)
{
	LIBBPF_OPTS(bpf_link_create_opts, opts,
		    .flags = native ? XDP_FLAGS_DRV_MODE : XDP_FLAGS_SKB_MODE);
	int fd = bpf_link_create(x->prog_fd, (int)ifindex, BPF_XDP, &opts), ret;

	if (fd < 0) {
		ret = -errno;
		if (ret == -EBUSY || ret == -EEXIST)
			return error_set(err, -EBUSY,
					 "it has an XDP program already, of another port (use "
					 "queues= there) or another program (ip link set dev … xdp "
					 "off)");
		return error_set(err, ret, "cannot attach the XDP program (%s): %s",
				 native ? "native" : "generic", error_name(ret));
	}
	x->link_fd = fd;
	x->native = native;
	return 0;
}

void xdp_redirect_close(struct xdp_redirect *x)
{
	int *const fds[] = {&x->link_fd, &x->prog_fd, &x->map_fd};

	for (unsigned i = 0; i < ARRAY_SIZE(fds); i++) {
		if (*fds[i] >= 0)
			close(*fds[i]);
		*fds[i] = -1;
	}
}
