/* SPDX-License-Identifier: Apache-2.0 */
#include "vhost/vdpa.h"

#include <errno.h>
#include <linux/vhost.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>

/* linux/vhost_types.h calls these bits, but gives their numbers. */
#define BACKEND_MSG_V2	(1ULL << VHOST_BACKEND_F_IOTLB_MSG_V2)
#define BACKEND_BATCH	(1ULL << VHOST_BACKEND_F_IOTLB_BATCH)
#define BACKEND_SUSPEND (1ULL << 4)

static int fail(struct vhost_vdpa *vdpa, struct error *err, const char *what)
{
	return vhost_kernel_fail(&vdpa->vk, err, what);
}

static int read_limits(struct vhost_vdpa *vdpa, struct error *err)
{
	struct vhost_vdpa_iova_range range;
	uint32_t queues = 0;
	int fd = vdpa->vk.fd;

	if (ioctl(fd, VHOST_VDPA_GET_DEVICE_ID, &vdpa->device_id) < 0)
		return fail(vdpa, err, "cannot read what it is (VHOST_VDPA_GET_DEVICE_ID)");
	if (ioctl(fd, VHOST_VDPA_GET_VRING_NUM, &vdpa->ring_max) < 0)
		return fail(vdpa, err, "cannot read its ring size (VHOST_VDPA_GET_VRING_NUM)");
	if (ioctl(fd, VHOST_VDPA_GET_IOVA_RANGE, &range) < 0)
		return fail(vdpa, err, "cannot read its addresses (VHOST_VDPA_GET_IOVA_RANGE)");
	vdpa->iova_first = range.first;
	vdpa->iova_last = range.last;
	/* Kernels before 5.18 have neither of these: then a pair, and the first config fields. */
	if (ioctl(fd, VHOST_VDPA_GET_VQS_COUNT, &queues) < 0)
		queues = 2;
	if (ioctl(fd, VHOST_VDPA_GET_CONFIG_SIZE, &vdpa->config_size) < 0)
		vdpa->config_size = 12;
	vdpa->queues = queues;
	return 0;
}

int vhost_vdpa_open(struct vhost_vdpa *vdpa, const char *path, struct error *err)
{
	int rc;

	*vdpa = (struct vhost_vdpa){.vk = {.fd = -1}};
	rc = vhost_kernel_open(&vdpa->vk, path, BACKEND_MSG_V2 | BACKEND_BATCH | BACKEND_SUSPEND,
			       err);
	if (rc)
		return rc;
	vdpa->can_suspend = vdpa->vk.backend_features & BACKEND_SUSPEND;
	if (!(vdpa->vk.backend_features & BACKEND_MSG_V2))
		rc = error_set(err, -ENOTSUP,
			       "%s: this kernel's vhost-vdpa is too old (no "
			       "IOTLB_MSG_V2): use Linux 5.8 or newer",
			       path);
	if (rc == 0)
		rc = read_limits(vdpa, err);
	if (rc)
		vhost_vdpa_close(vdpa);
	return rc;
}

void vhost_vdpa_close(struct vhost_vdpa *vdpa)
{
	vhost_kernel_close(&vdpa->vk);
}

int vhost_vdpa_set_status(struct vhost_vdpa *vdpa, uint8_t status, struct error *err)
{
	if (ioctl(vdpa->vk.fd, VHOST_VDPA_SET_STATUS, &status) < 0)
		return fail(vdpa, err, "refused its new status (VHOST_VDPA_SET_STATUS)");
	return 0;
}

int vhost_vdpa_get_status(struct vhost_vdpa *vdpa, uint8_t *status, struct error *err)
{
	if (ioctl(vdpa->vk.fd, VHOST_VDPA_GET_STATUS, status) < 0)
		return fail(vdpa, err, "cannot read its status (VHOST_VDPA_GET_STATUS)");
	return 0;
}

int vhost_vdpa_get_config(struct vhost_vdpa *vdpa, uint32_t offset, void *to, uint32_t len,
			  struct error *err)
{
	struct vhost_vdpa_config *config = calloc(1, sizeof(*config) + len);
	int rc = 0;

	if (!config)
		return error_set(err, -ENOMEM, "%s: out of memory", vdpa->vk.name);
	config->off = offset;
	config->len = len;
	if (offset > vdpa->config_size || len > vdpa->config_size - offset)
		rc = error_set(err, -EINVAL, "%s: has no config bytes %u+%u", vdpa->vk.name, offset,
			       len);
	else if (ioctl(vdpa->vk.fd, VHOST_VDPA_GET_CONFIG, config) < 0)
		rc = fail(vdpa, err, "cannot read its config space (VHOST_VDPA_GET_CONFIG)");
	else
		memcpy(to, config->buf, len);
	free(config);
	return rc;
}

int vhost_vdpa_set_config_call(struct vhost_vdpa *vdpa, int fd, struct error *err)
{
	if (ioctl(vdpa->vk.fd, VHOST_VDPA_SET_CONFIG_CALL, &fd) < 0)
		return fail(vdpa, err, "refused the config eventfd (VHOST_VDPA_SET_CONFIG_CALL)");
	return 0;
}

int vhost_vdpa_enable_ring(struct vhost_vdpa *vdpa, unsigned index, bool on, struct error *err)
{
	struct vhost_vring_state state = {index, on};

	if (ioctl(vdpa->vk.fd, VHOST_VDPA_SET_VRING_ENABLE, &state) < 0)
		return fail(vdpa, err, "cannot enable a ring (VHOST_VDPA_SET_VRING_ENABLE)");
	return 0;
}

int vhost_vdpa_suspend(struct vhost_vdpa *vdpa, struct error *err)
{
	if (ioctl(vdpa->vk.fd, VHOST_VDPA_SUSPEND) < 0)
		return fail(vdpa, err, "cannot be suspended (VHOST_VDPA_SUSPEND)");
	return 0;
}

static int send_iotlb(struct vhost_vdpa *vdpa, uint8_t type, const struct mem_region *r,
		      struct error *err)
{
	struct vhost_msg_v2 msg = {.type = VHOST_IOTLB_MSG_V2};

	msg.iotlb.type = type;
	if (r) {
		msg.iotlb.iova = r->gpa;
		msg.iotlb.size = r->size;
		msg.iotlb.uaddr = (uintptr_t)r->hva;
		msg.iotlb.perm = r->readonly ? VHOST_ACCESS_RO : VHOST_ACCESS_RW;
	}
	if (write(vdpa->vk.fd, &msg, sizeof(msg)) == sizeof(msg))
		return 0;
	if (errno == ENOMEM)
		return error_set(err, -ENOMEM,
				 "%s: cannot map %llu MiB of guest memory: the device pins it: "
				 "raise the limit of locked memory (ulimit -l, LimitMEMLOCK=)",
				 vdpa->vk.name, r ? (unsigned long long)(r->size / MIB) : 0);
	return fail(vdpa, err, "refused a mapping of guest memory (VHOST_IOTLB_UPDATE)");
}

static bool has_region(const struct mem_table *table, const struct mem_region *r)
{
	for (unsigned i = 0; table && i < table->count; i++)
		if (table->regions[i].gpa == r->gpa && table->regions[i].size == r->size &&
		    table->regions[i].hva == r->hva && table->regions[i].readonly == r->readonly)
			return true;
	return false;
}

static int check_range(struct vhost_vdpa *vdpa, const struct mem_region *r, struct error *err)
{
	if (r->gpa >= vdpa->iova_first && r->gpa + r->size - 1 <= vdpa->iova_last)
		return 0;
	return error_set(err, -ERANGE,
			 "%s: guest memory at %#llx is beyond the device's addresses, "
			 "%#llx-%#llx: give the guest less",
			 vdpa->vk.name, (unsigned long long)r->gpa,
			 (unsigned long long)vdpa->iova_first, (unsigned long long)vdpa->iova_last);
}

int vhost_vdpa_map(struct vhost_vdpa *vdpa, const struct mem_table *old,
		   const struct mem_table *table, struct error *err)
{
	bool batch = vdpa->vk.backend_features & BACKEND_BATCH;
	int rc = 0;

	for (unsigned i = 0; table && i < table->count && rc == 0; i++)
		rc = check_range(vdpa, &table->regions[i], err);
	if (rc == 0 && batch)
		rc = send_iotlb(vdpa, VHOST_IOTLB_BATCH_BEGIN, NULL, err);
	if (rc)
		return rc;
	for (unsigned i = 0; old && i < old->count && rc == 0; i++)
		if (!has_region(table, &old->regions[i]))
			rc = send_iotlb(vdpa, VHOST_IOTLB_INVALIDATE, &old->regions[i], err);
	for (unsigned i = 0; table && i < table->count && rc == 0; i++)
		if (!has_region(old, &table->regions[i]))
			rc = send_iotlb(vdpa, VHOST_IOTLB_UPDATE, &table->regions[i], err);
	if (batch && send_iotlb(vdpa, VHOST_IOTLB_BATCH_END, NULL, rc ? NULL : err) && rc == 0)
		rc = -EIO;
	return rc;
}
