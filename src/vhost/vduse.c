/* SPDX-License-Identifier: Apache-2.0 */
#include "vhost/vduse_internal.h"

#include "base/log.h"
#include "vring/features.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/vduse.h>
#include <linux/virtio_config.h>
#include <linux/virtio_ids.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <unistd.h>

/*
 * Theory of operation. The kernel asks three things, each with a message that it waits for the answer
 * of: the driver sets the device's status; where does a queue stand; the address space changes. All
 * are answered from the loop. A queue runs from DRIVER_OK, with the address space as it is then, to a
 * status without it. The kernel has the other half of the device: config space, features, MSI.
 */
#define VDUSE_DIR     "/dev/vduse/"
#define VDUSE_CONTROL VDUSE_DIR "control"
#define CONFIG_BYTES  24 /* struct virtio_net_config (virtio 1.2, 5.1.4), up to rss_max_key_size */
#define LET_GO_MS     2000
#define VENDOR	      0x7669 /* not a PCI vendor's: nobody looks at it */
#define BIT(n)	      (1ULL << (n))
#define ASKED	      (BIT(VIRTIO_F_VERSION_1) | BIT(VIRTIO_F_ACCESS_PLATFORM)) /* by VDUSE */

const uint64_t vduse_features =
	ASKED | BIT(VIRTIO_NET_F_CSUM) | BIT(VIRTIO_NET_F_GUEST_CSUM) | BIT(VIRTIO_NET_F_MTU) |
	BIT(VIRTIO_NET_F_MAC) | BIT(VIRTIO_NET_F_GUEST_TSO4) | BIT(VIRTIO_NET_F_GUEST_TSO6) |
	BIT(VIRTIO_NET_F_GUEST_ECN) | BIT(VIRTIO_NET_F_GUEST_UFO) | BIT(VIRTIO_NET_F_HOST_TSO4) |
	BIT(VIRTIO_NET_F_HOST_TSO6) | BIT(VIRTIO_NET_F_HOST_ECN) | BIT(VIRTIO_NET_F_HOST_UFO) |
	BIT(VIRTIO_NET_F_MRG_RXBUF) | BIT(VIRTIO_NET_F_STATUS) | BIT(VIRTIO_NET_F_GUEST_USO4) |
	BIT(VIRTIO_NET_F_GUEST_USO6) | BIT(VIRTIO_NET_F_HOST_USO) |
	BIT(VIRTIO_RING_F_INDIRECT_DESC) | BIT(VIRTIO_RING_F_EVENT_IDX) |
	BIT(VIRTIO_F_RING_PACKED) | BIT(VIRTIO_F_IN_ORDER) | BIT(VIRTIO_F_ORDER_PLATFORM);

static int open_control(struct error *err)
{
	uint64_t version = VDUSE_API_VERSION;
	int fd = open(VDUSE_CONTROL, O_RDWR | O_CLOEXEC), ret = -errno;

	if (fd < 0 && (ret == -EACCES || ret == -EPERM))
		return error_set(err, ret, VDUSE_CONTROL ": permission denied: run as root");
	if (fd < 0)
		return error_set(err, ret,
				 VDUSE_CONTROL ": %s: load the kernel's module (modprobe "
					       "vduse)",
				 error_name(ret));
	if (ioctl(fd, VDUSE_SET_API_VERSION, &version) == 0)
		return fd;
	ret = -errno;
	close(fd);
	return error_set(err, ret, VDUSE_CONTROL ": does not know this version of VDUSE");
}

int vduse_probe(struct error *err)
{
	int fd = open_control(err);

	if (fd < 0)
		return fd;
	close(fd);
	return 0;
}

static void set_status(struct vduse *v, uint8_t status)
{
	bool ran = v->status & VIRTIO_CONFIG_S_DRIVER_OK, runs = status & VIRTIO_CONFIG_S_DRIVER_OK;

	v->status = status;
	vduse_keep_status(v);
	if (!status) {
		vduse_rings_reset(v);
	} else if (ran && !runs) {
		vduse_rings_stop(v);
	} else if (!ran && runs) {
		if (ioctl(v->dev.fd, VDUSE_DEV_GET_FEATURES, &v->features) < 0)
			v->features = 0;
		v->ops->features(v->opaque, v->features);
		log_info("%s: its driver is ready, with features %#llx", v->name,
			 (unsigned long long)v->features);
		vduse_rings_start(v);
	}
	if (!runs)
		vduse_unmap(v);
}

static uint32_t get_state(struct vduse *v, uint32_t index, struct vduse_vq_state *out)
{
	struct vring_state state;

	if (vduse_ring_state(v, index, &state))
		return VDUSE_REQ_RESULT_FAILED;
	out->index = index;
	if (v->rings[index].cfg.packed)
		out->packed = (struct vduse_vq_state_packed){
			.last_avail_counter = state.avail_wrap,
			.last_avail_idx = state.avail_idx,
			.last_used_counter = state.used_wrap,
			.last_used_idx = state.used_idx,
		};
	else
		out->split.avail_index = state.avail_idx;
	return VDUSE_REQ_RESULT_OK;
}

static void answer(struct vduse *v, const struct vduse_dev_request *q)
{
	struct vduse_dev_response a = {.request_id = q->request_id, .result = VDUSE_REQ_RESULT_OK};

	switch (q->type) {
	case VDUSE_SET_STATUS:
		set_status(v, q->s.status);
		break;
	case VDUSE_GET_VQ_STATE:
		a.result = get_state(v, q->vq_state.index, &a.vq_state);
		break;
	case VDUSE_UPDATE_IOTLB:
		vduse_rings_stop(v);
		vduse_unmap(v);
		vduse_rings_start(v);
		break;
	default:
		a.result = VDUSE_REQ_RESULT_FAILED;
	}
	if (write(v->dev.fd, &a, sizeof(a)) != sizeof(a))
		log_warn("%s: the kernel does not take an answer: %s", v->name, error_name(errno));
}

static void messages(struct loop_fd *watch, uint32_t events)
{
	struct vduse *v = watch->opaque;
	struct vduse_dev_request q;
	ssize_t n;

	while ((n = read(watch->fd, &q, sizeof(q))) == sizeof(q))
		answer(v, &q);
	if (n >= 0 || (errno != EAGAIN && errno != EINTR)) {
		log_error("%s: no more messages: %s", v->name, n < 0 ? error_name(errno) : "short");
		loop_remove(v->loop, watch);
	}
}

static void attention(struct loop_fd *watch, uint32_t events)
{
	eventfd_t n;

	eventfd_read(watch->fd, &n);
	vduse_rings_look(watch->opaque);
}

static void again(struct loop_timer *timer)
{
	vduse_rings_start(timer->opaque);
}

static void fill_config(uint8_t config[CONFIG_BYTES], const struct vduse_params *params)
{
	memcpy(config, params->mac, 6);
	store_le16(config + 6, 1); /* VIRTIO_NET_S_LINK_UP */
	store_le16(config + 8, 1); /* queue pairs */
	store_le16(config + 10, params->mtu);
	store_le32(config + 12, UINT32_MAX); /* speed and duplex are not known */
	config[16] = 0xff;
}

static int open_file(struct vduse *v)
{
	char path[sizeof(VDUSE_DIR) + VDUSE_NAME_MAX];

	snprintf(path, sizeof(path), VDUSE_DIR "%s", v->name);
	v->dev.fd = open(path, O_RDWR | O_CLOEXEC | O_NONBLOCK);
	return v->dev.fd < 0 ? -errno : 0;
}

/*
 * One that a switch before has left behind: off the bus it is made anew, on it there may be a driver, and
 * it goes on. One that was killed a moment ago may not have let go of it yet.
 */
static int find_or_create(struct vduse *v, struct vduse_dev_config *dev)
{
	int ret = -EBUSY;

	for (unsigned ms = 0; ret == -EBUSY && ms < LET_GO_MS; ms += 20) {
		if (ms)
			usleep(20000);
		v->found = false;
		ret = ioctl(v->control_fd, VDUSE_CREATE_DEV, dev) < 0 ? -errno : 0;
		if (ret == -EEXIST && ioctl(v->control_fd, VDUSE_DESTROY_DEV, dev->name) == 0)
			ret = ioctl(v->control_fd, VDUSE_CREATE_DEV, dev) < 0 ? -errno : 0;
		v->found = ret == -EEXIST;
		if (!ret || v->found)
			ret = open_file(v);
	}
	return ret;
}

static int create_device(struct vduse *v, const struct vduse_params *params, struct error *err)
{
	size_t size = sizeof(struct vduse_dev_config) + CONFIG_BYTES;
	struct vduse_dev_config *dev = calloc(1, size);
	int ret;

	if (!dev)
		return error_set(err, -ENOMEM, "out of memory");
	snprintf(dev->name, sizeof(dev->name), "%s", v->name);
	dev->vendor_id = VENDOR;
	dev->device_id = VIRTIO_ID_NET;
	dev->features = v->offered;
	dev->vq_num = VDUSE_QUEUES;
	dev->vq_align = 4096;
	dev->config_size = CONFIG_BYTES;
	fill_config(dev->config, params);
	ret = find_or_create(v, dev);
	free(dev);
	if (ret == -EBUSY)
		return error_set(err, ret,
				 "there is a VDUSE device %s already, and another process has it",
				 v->name);
	return ret ? error_set(err, ret, "cannot make the device (VDUSE_CREATE_DEV): %s",
			       error_name(ret))
		   : 0;
}

static bool destroy_device(struct vduse *v)
{
	char name[VDUSE_NAME_MAX] = "";

	snprintf(name, sizeof(name), "%s", v->name);
	if (ioctl(v->control_fd, VDUSE_DESTROY_DEV, name) == 0)
		return true;
	log_warn("%s: the device is on the vDPA bus still: vdpa dev del %s", v->name, name);
	return false;
}

/* The kernel gives a device up when a message to it is not answered in time. */
static int check_broken(const struct vduse *v, struct error *err)
{
	struct pollfd p = {.fd = v->dev.fd};

	if (poll(&p, 1, 0) <= 0 || !(p.revents & POLLERR))
		return 0;
	return error_set(
		err, -EIO,
		"the kernel has given the device up, because it was not answered for 30 s "
		"while nobody served it: take it off the bus, and put it on again (vdpa dev "
		"del %s; vdpa dev add name %s mgmtdev vduse)",
		v->name, v->name);
}

static int open_device(struct vduse *v, struct error *err)
{
	int ret = v->found ? check_broken(v, err) : 0;

	v->attention.fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (!ret && v->attention.fd < 0)
		ret = error_set(err, -errno, "eventfd: %s", error_name(errno));
	if (!ret)
		ret = vduse_rings_init(v, err);
	if (ret)
		return ret;
	vduse_keep_open(v);
	if (v->held)
		return 0;
	ret = loop_add(v->loop, &v->dev, EPOLLIN);
	if (!ret)
		ret = loop_add(v->loop, &v->attention, EPOLLIN);
	if (ret)
		return error_set(err, ret, "%s: %s", v->name, error_name(ret));
	return v->found ? vduse_go_on(v, err) : 0;
}

static void close_watch(struct vduse *v, struct loop_fd *watch)
{
	if (watch->active)
		loop_remove(v->loop, watch);
	if (watch->fd >= 0)
		close(watch->fd);
	watch->fd = -1;
}

static void close_all(struct vduse *v)
{
	vduse_rings_stop(v);
	vduse_unmap(v);
	close_watch(v, &v->dev);
	close_watch(v, &v->attention);
	vduse_rings_free(v);
}

static void free_vduse(struct vduse *v)
{
	if (v->control_fd >= 0)
		close(v->control_fd);
	free(v->name);
	free(v);
}

struct vduse *vduse_create(const struct vduse_params *params, struct error *err)
{
	struct vduse *v = calloc(1, sizeof(*v));
	int ret = 0;

	if (!v) {
		error_set(err, -ENOMEM, "out of memory");
		return NULL;
	}
	v->loop = params->loop;
	v->ops = params->ops;
	v->opaque = params->opaque;
	v->dev = (struct loop_fd){.fd = -1, .fn = messages, .opaque = v};
	v->attention = (struct loop_fd){.fd = -1, .fn = attention, .opaque = v};
	v->again = (struct loop_timer){.fn = again, .opaque = v};
	for (unsigned i = 0; i < VDUSE_QUEUES; i++)
		v->rings[i].pub = (struct vduse_queue){.dev = v, .index = i, .kick_fd = -1};
	v->offered = (params->features & vduse_features) | ASKED;
	v->control_fd = open_control(err);
	v->name = strdup(params->name);
	if (v->control_fd < 0)
		ret = v->control_fd;
	else if (!v->name)
		ret = error_set(err, -ENOMEM, "out of memory");
	if (!ret)
		ret = params->inherit ? vduse_inherit(v, params->inherit, err)
				      : create_device(v, params, err);
	if (!ret)
		ret = open_device(v, err);
	if (!ret)
		return v;
	vduse_destroy(v);
	return NULL;
}

void vduse_destroy(struct vduse *v)
{
	bool ours = v->dev.fd >= 0 && !v->held;

	close_all(v);
	vduse_keep_close(v, ours && destroy_device(v));
	free_vduse(v);
}

void vduse_info(const struct vduse *v, struct vduse_info *info)
{
	*info = (struct vduse_info){.status = v->status};
	for (unsigned i = 0; i < VDUSE_QUEUES; i++)
		info->queues_running += v->rings[i].running;
}
