/* SPDX-License-Identifier: Apache-2.0 */
#include "vhost/kernel.h"

#include "mem/dirty_log.h"
#include "vhost/ring_base.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/vhost.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>

int vhost_kernel_fail(const struct vhost_kernel *vk, struct error *err, const char *what)
{
	int rc = -errno;

	return error_set(err, rc, "%s: %s: %s", vk->name, what, error_name(rc));
}

static int open_device(const char *path, struct error *err)
{
	int fd = open(path, O_RDWR | O_CLOEXEC);
	int rc = -errno;

	if (fd >= 0)
		return fd;
	switch (rc) {
	case -ENOENT:
	case -ENODEV:
	case -ENXIO:
		return error_set(err, rc,
				 "%s: no such device: this kernel has no vhost there; load its "
				 "module (for /dev/vhost-net: modprobe vhost_net)",
				 path);
	case -EACCES:
	case -EPERM:
		return error_set(err, rc,
				 "%s: permission denied: run as root or as a user that may open "
				 "it (group kvm on most systems)",
				 path);
	case -EBUSY:
		return error_set(err, rc, "%s: in use by another process", path);
	default:
		return error_set(err, rc, "%s: cannot open: %s", path, error_name(rc));
	}
}

int vhost_kernel_probe(const char *path, struct error *err)
{
	int fd = open_device(path, err);

	if (fd < 0)
		return fd;
	close(fd);
	return 0;
}

int vhost_kernel_open(struct vhost_kernel *vk, const char *path, uint64_t want, struct error *err)
{
	uint64_t offered = 0;
	int rc;

	*vk = (struct vhost_kernel){.fd = open_device(path, err)};
	if (vk->fd < 0)
		return vk->fd;
	snprintf(vk->name, sizeof(vk->name), "%s", path);
	if (ioctl(vk->fd, VHOST_SET_OWNER) < 0) {
		rc = vhost_kernel_fail(vk, err, "cannot take ownership (VHOST_SET_OWNER)");
		goto fail;
	}
	if (ioctl(vk->fd, VHOST_GET_FEATURES, &vk->features) < 0) {
		rc = vhost_kernel_fail(vk, err, "cannot read features (VHOST_GET_FEATURES)");
		goto fail;
	}
	/* Kernels before 4.20 have no back-end features: that is no error. */
	if (ioctl(vk->fd, VHOST_GET_BACKEND_FEATURES, &offered) < 0)
		return 0;
	offered &= want;
	if (offered && ioctl(vk->fd, VHOST_SET_BACKEND_FEATURES, &offered) < 0) {
		rc = vhost_kernel_fail(vk, err, "cannot agree on back-end features");
		goto fail;
	}
	vk->backend_features = offered;
	return 0;
fail:
	vhost_kernel_close(vk);
	return rc;
}

void vhost_kernel_close(struct vhost_kernel *vk)
{
	if (vk->fd >= 0)
		close(vk->fd);
	vk->fd = -1;
}

int vhost_kernel_set_features(struct vhost_kernel *vk, uint64_t features, struct error *err)
{
	uint64_t missing = features & ~(vk->features | 1ULL << VHOST_F_LOG_ALL);

	if (missing)
		return error_set(err, -ENOTSUP, "%s: does not offer features %#llx", vk->name,
				 (unsigned long long)missing);
	if (ioctl(vk->fd, VHOST_SET_FEATURES, &features) < 0)
		return vhost_kernel_fail(vk, err, "refused the features (VHOST_SET_FEATURES)");
	return 0;
}

int vhost_kernel_set_memory(struct vhost_kernel *vk, const struct mem_table *table,
			    struct error *err)
{
	struct vhost_memory *m;
	unsigned n = 0;
	int rc = 0;

	m = calloc(1, sizeof(*m) + table->count * sizeof(m->regions[0]));
	if (!m)
		return error_set(err, -ENOMEM, "%s: memory table: out of memory", vk->name);
	for (unsigned i = 0; i < table->count; i++) {
		const struct mem_region *r = &table->regions[i];

		if (r->readonly)
			continue;
		m->regions[n++] = (struct vhost_memory_region){
			.guest_phys_addr = r->gpa,
			.memory_size = r->size,
			.userspace_addr = (uintptr_t)r->hva,
		};
	}
	m->nregions = n;
	if (ioctl(vk->fd, VHOST_SET_MEM_TABLE, m) < 0) {
		rc = -errno;
		if (rc == -E2BIG)
			error_set(err, rc,
				  "%s: %u memory regions are more than this kernel takes: raise "
				  "vhost's module parameter max_mem_regions",
				  vk->name, n);
		else
			vhost_kernel_fail(vk, err,
					  "refused the memory table (VHOST_SET_MEM_TABLE)");
	}
	free(m);
	return rc;
}

int vhost_kernel_set_log(struct vhost_kernel *vk, const struct mem_table *table, struct error *err)
{
	uint64_t base;

	if (!table->dirty)
		return 0;
	base = (uintptr_t)table->dirty->words;
	if (ioctl(vk->fd, VHOST_SET_LOG_BASE, &base) < 0)
		return vhost_kernel_fail(vk, err,
					 "refused the dirty log, which must cover all memory "
					 "(VHOST_SET_LOG_BASE)");
	return 0;
}

/* The addresses of the ring's parts, as the kernel wants them. */
static int ring_addresses(const struct vhost_ring *ring, const struct mem_table *table, bool iova,
			  struct vhost_vring_addr *addr)
{
	const struct vring_config *cfg = ring->cfg;
	void *desc, *driver, *device;

	*addr = (struct vhost_vring_addr){.index = ring->index};
	if (table->dirty) {
		addr->flags = 1U << VHOST_VRING_F_LOG;
		addr->log_guest_addr = cfg->device;
	}
	desc = mem_translate(table, cfg->desc, vring_desc_bytes(cfg),
			     cfg->packed ? MEM_WRITE : MEM_READ);
	driver = mem_translate(table, cfg->driver, vring_driver_bytes(cfg), MEM_READ);
	device = mem_translate(table, cfg->device, vring_device_bytes(cfg), MEM_WRITE);
	if (!desc || !driver || !device)
		return -EFAULT;
	addr->desc_user_addr = iova ? cfg->desc : (uintptr_t)desc;
	addr->avail_user_addr = iova ? cfg->driver : (uintptr_t)driver;
	addr->used_user_addr = iova ? cfg->device : (uintptr_t)device;
	return 0;
}

int vhost_kernel_set_addresses(struct vhost_kernel *vk, const struct vhost_ring *ring,
			       const struct mem_table *table, bool iova, struct error *err)
{
	struct vhost_vring_addr addr;
	int rc = ring_addresses(ring, table, iova, &addr);

	if (rc)
		return error_set(err, rc, "%s: ring %u does not lie inside guest memory", vk->name,
				 ring->index);
	if (ioctl(vk->fd, VHOST_SET_VRING_ADDR, &addr) < 0) {
		rc = -errno;
		return error_set(err, rc, "%s: ring %u: addresses refused: %s", vk->name,
				 ring->index, error_name(rc));
	}
	return 0;
}

static int set_eventfd(struct vhost_kernel *vk, unsigned long request, const char *what,
		       unsigned index, int fd, struct error *err)
{
	struct vhost_vring_file file = {.index = index, .fd = fd};
	int rc;

	if (ioctl(vk->fd, request, &file) == 0)
		return 0;
	rc = -errno;
	return error_set(err, rc, "%s: ring %u: cannot set its %s eventfd: %s", vk->name, index,
			 what, error_name(rc));
}

int vhost_kernel_set_ring(struct vhost_kernel *vk, const struct vhost_ring *ring,
			  const struct mem_table *table, bool iova, struct error *err)
{
	struct vhost_vring_state num = {ring->index, ring->cfg->size};
	struct vhost_vring_state base = {ring->index, vhost_base_encode(ring->cfg, ring->state)};
	int rc;

	if (ioctl(vk->fd, VHOST_SET_VRING_NUM, &num) < 0) {
		rc = -errno;
		return error_set(err, rc, "%s: ring %u: %u entries refused: %s", vk->name,
				 ring->index, ring->cfg->size, error_name(rc));
	}
	if (ioctl(vk->fd, VHOST_SET_VRING_BASE, &base) < 0) {
		rc = -errno;
		return error_set(err, rc, "%s: ring %u: base %#x refused: %s", vk->name,
				 ring->index, base.num, error_name(rc));
	}
	rc = vhost_kernel_set_addresses(vk, ring, table, iova, err);
	if (rc)
		return rc;
	rc = set_eventfd(vk, VHOST_SET_VRING_ERR, "error", ring->index, ring->err_fd, err);
	if (rc == 0)
		rc = set_eventfd(vk, VHOST_SET_VRING_CALL, "call", ring->index, ring->call_fd, err);
	if (rc == 0)
		rc = set_eventfd(vk, VHOST_SET_VRING_KICK, "kick", ring->index, ring->kick_fd, err);
	return rc;
}

int vhost_kernel_get_base(struct vhost_kernel *vk, const struct vhost_ring *ring,
			  const struct mem_table *table, struct vring_state *state)
{
	struct vhost_vring_state base = {.index = ring->index};
	int rc;

	if (ioctl(vk->fd, VHOST_GET_VRING_BASE, &base) < 0) {
		rc = -errno;
		vhost_base_recover(ring->cfg, table, ring->state, state);
		return rc;
	}
	return vhost_base_decode(ring->cfg, table, base.num, state);
}

void vhost_kernel_clear_ring(struct vhost_kernel *vk, unsigned index)
{
	set_eventfd(vk, VHOST_SET_VRING_KICK, "kick", index, VHOST_FILE_UNBIND, NULL);
	set_eventfd(vk, VHOST_SET_VRING_CALL, "call", index, VHOST_FILE_UNBIND, NULL);
	set_eventfd(vk, VHOST_SET_VRING_ERR, "error", index, VHOST_FILE_UNBIND, NULL);
}

int vhost_kernel_set_busy_poll(struct vhost_kernel *vk, unsigned index, unsigned usecs,
			       struct error *err)
{
	struct vhost_vring_state timeout = {index, usecs};

	if (ioctl(vk->fd, VHOST_SET_VRING_BUSYLOOP_TIMEOUT, &timeout) < 0)
		return vhost_kernel_fail(
			vk, err, "refused busy-poll-us= (VHOST_SET_VRING_BUSYLOOP_TIMEOUT)");
	return 0;
}

int vhost_net_set_backend(struct vhost_kernel *vk, unsigned index, int fd, struct error *err)
{
	struct vhost_vring_file file = {.index = index, .fd = fd};

	if (ioctl(vk->fd, VHOST_NET_SET_BACKEND, &file) < 0)
		return vhost_kernel_fail(vk, err,
					 fd < 0 ? "cannot stop a ring (VHOST_NET_SET_BACKEND)"
						: "cannot start a ring on the TAP "
						  "(VHOST_NET_SET_BACKEND)");
	return 0;
}
