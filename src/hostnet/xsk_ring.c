/* SPDX-License-Identifier: Apache-2.0 */
#include "hostnet/xsk_ring.h"

#include "hostnet/xsk.h"

#include <errno.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#define BIND_TRIES   25
#define BIND_WAIT_US 20000

/* An entry of the fill and completion rings is an address, one of the others a descriptor. */
static size_t entry_bytes(int option)
{
	return option == XDP_RX_RING || option == XDP_TX_RING ? sizeof(struct xdp_desc)
							      : sizeof(uint64_t);
}

int xsk_umem_register(struct xsk_umem *umem, int fd, struct error *err)
{
	struct xdp_umem_reg reg = {.chunk_size = XSK_FRAME_BYTES};
	int ret;

	umem->bytes = 2 * (size_t)XSK_RING * XSK_FRAME_BYTES;
	umem->at =
		mmap(NULL, umem->bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (umem->at == MAP_FAILED) {
		umem->at = NULL;
		return error_set(err, -ENOMEM, "out of memory");
	}
	madvise(umem->at, umem->bytes, MADV_HUGEPAGE); /* where there are some */
	reg.addr = (uintptr_t)umem->at;
	reg.len = umem->bytes;
	if (setsockopt(fd, SOL_XDP, XDP_UMEM_REG, &reg, sizeof(reg)) == 0)
		return 0;
	ret = -errno;
	return error_set(err, ret,
			 ret == -ENOBUFS || ret == -EPERM
				 ? "cannot pin %zu bytes of memory (XDP_UMEM_REG): %s: raise the "
				   "limit of locked memory (ulimit -l)"
				 : "cannot register %zu bytes of memory (XDP_UMEM_REG): %s",
			 umem->bytes, error_name(ret));
}

void xsk_umem_free(struct xsk_umem *umem)
{
	if (umem->at)
		munmap(umem->at, umem->bytes);
	umem->at = NULL;
}

static const struct xdp_ring_offset *offsets_of(const struct xdp_mmap_offsets *all, int option,
						off_t *page)
{
	switch (option) {
	case XDP_RX_RING:
		*page = XDP_PGOFF_RX_RING;
		return &all->rx;
	case XDP_TX_RING:
		*page = XDP_PGOFF_TX_RING;
		return &all->tx;
	case XDP_UMEM_FILL_RING:
		*page = (off_t)XDP_UMEM_PGOFF_FILL_RING;
		return &all->fr;
	default:
		*page = (off_t)XDP_UMEM_PGOFF_COMPLETION_RING;
		return &all->cr;
	}
}

int xsk_ring_map(const struct xsk_ring_spec *spec, int fd, struct error *err)
{
	struct xdp_mmap_offsets all;
	socklen_t len = sizeof(all);
	const struct xdp_ring_offset *at;
	struct xsk_ring *r = spec->ring;
	int entries = XSK_RING, ret;
	off_t page = 0;

	if (setsockopt(fd, SOL_XDP, spec->option, &entries, sizeof(entries)) < 0 ||
	    getsockopt(fd, SOL_XDP, XDP_MMAP_OFFSETS, &all, &len) < 0)
		goto fail;
	if (len != sizeof(all)) /* before Linux 5.4: without flags */
		return error_set(err, -ENOTSUP,
				 "this kernel's AF_XDP has no need_wakeup: use "
				 "Linux 5.4 or newer");
	at = offsets_of(&all, spec->option, &page);
	r->map_bytes = at->desc + XSK_RING * entry_bytes(spec->option);
	r->map = mmap(NULL, r->map_bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd,
		      page);
	if (r->map == MAP_FAILED) {
		r->map = NULL;
		goto fail;
	}
	r->producer = (uint32_t *)(void *)((char *)r->map + at->producer);
	r->consumer = (uint32_t *)(void *)((char *)r->map + at->consumer);
	r->flags = (uint32_t *)(void *)((char *)r->map + at->flags);
	r->entries = (char *)r->map + at->desc;
	return 0;
fail:
	ret = -errno;
	return error_set(err, ret, "cannot set up the %s ring: %s", spec->name, error_name(ret));
}

void xsk_ring_unmap(struct xsk_ring *ring)
{
	if (ring->map)
		munmap(ring->map, ring->map_bytes);
	ring->map = NULL;
}

int xsk_bind(int fd, unsigned ifindex, unsigned queue, bool zero_copy, struct error *err)
{
	const struct sockaddr_xdp at = {
		.sxdp_family = AF_XDP,
		.sxdp_flags = XDP_USE_NEED_WAKEUP | (zero_copy ? XDP_ZEROCOPY : XDP_COPY),
		.sxdp_ifindex = ifindex,
		.sxdp_queue_id = queue,
	};
	struct xdp_options options = {0};
	socklen_t len = sizeof(options);
	int ret = 0;

	/* A socket that was just closed leaves its queue a moment later. */
	for (unsigned i = 0; i < BIND_TRIES; i++) {
		ret = bind(fd, (const struct sockaddr *)&at, sizeof(at)) < 0 ? -errno : 0;
		if (ret != -EBUSY)
			break;
		usleep(BIND_WAIT_US);
	}
	if (ret) {
		switch (ret) {
		case -EBUSY:
			return error_set(err, ret, "queue %u has an AF_XDP socket already", queue);
		case -EINVAL:
			return error_set(err, ret, "there is no queue %u: see ethtool -l", queue);
		case -EOPNOTSUPP:
			return error_set(err, ret, "its driver has no zero-copy mode");
		default:
			return error_set(err, ret, "cannot bind to queue %u: %s", queue,
					 error_name(ret));
		}
	}
	if (zero_copy && (getsockopt(fd, SOL_XDP, XDP_OPTIONS, &options, &len) < 0 ||
			  !(options.flags & XDP_OPTIONS_ZEROCOPY)))
		return error_set(err, -EOPNOTSUPP, "the kernel did not go into zero-copy mode");
	return 0;
}
