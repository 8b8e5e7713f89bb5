/* SPDX-License-Identifier: Apache-2.0 */
#include "dataplane/vhost_planes.h"

#include "base/log.h"
#include "vhost/ring_base.h"
#include "vhost/vdpa.h"

#include <errno.h>
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

/*
 * backend=vdpa: a virtio-net in hardware, or in a VDUSE process, behind /dev/vhost-vdpa-N.
 *
 * Theory of operation. The device is a whole virtio device: it is reset, given features, rings and
 * DRIVER_OK like by any driver (virtio 1.2, 3.1.1), with guest-physical addresses, which its
 * address space maps one to one. It insists on ACCESS_PLATFORM, which says that addresses are
 * translated; the guest need not know.
 *
 * Only its data queues are used. It has a control queue of its own if it has several pairs, and
 * without that it uses one pair, so that is what this plane has.
 *
 * Stopping: a device that can be suspended says afterwards where its rings stand. One that cannot
 * may go on while it is asked; it is reset first, and the rings say it (vhost/ring_base.c).
 */
#define DEVICE_NET 1
#define QUEUES	   2

/* virtio 1.2, 2.1 */
#define STATUS_ACKNOWLEDGE 1
#define STATUS_DRIVER	   2
#define STATUS_DRIVER_OK   4
#define STATUS_FEATURES_OK 8

/* virtio 1.2, 5.1.4 */
#define CONFIG_STATUS  6
#define CONFIG_MTU     10
#define STATUS_LINK_UP 1

struct vd_plane {
	struct plane plane;
	char id[32];
	struct vhost_vdpa vdpa;
	struct loop *loop;
	const struct plane_events *events;
	struct guest_mem *mem;
	struct mem_listener listener;
	struct loop_fd config;
	struct loop_fd err[QUEUES];
	struct plane_queue q[QUEUES];
	bool set[QUEUES];
	uint64_t acked;
	uint32_t guest_offloads; /* of them, what the driver takes at the moment */
	bool started;
	bool has_status;
};

static struct vd_plane *to_vd(struct plane *plane)
{
	return container_of(plane, struct vd_plane, plane);
}

/* The link, as the config space has it; devices without VIRTIO_NET_F_STATUS are always up. */
static bool read_link(struct vd_plane *p)
{
	uint8_t status[2];

	if (!p->has_status ||
	    vhost_vdpa_get_config(&p->vdpa, CONFIG_STATUS, status, sizeof(status), NULL))
		return true;
	return status[0] & STATUS_LINK_UP;
}

static void vd_config_changed(struct loop_fd *watch, uint32_t events)
{
	struct vd_plane *p = watch->opaque;
	bool up;

	eventfd_read(watch->fd, &(eventfd_t){0});
	up = read_link(p);
	if (up == p->plane.link_up)
		return;
	p->plane.link_up = up;
	if (p->events)
		p->events->link_changed(p->events->opaque, up);
}

static void vd_ring_error(struct loop_fd *watch, uint32_t events)
{
	struct vd_plane *p = watch->opaque;
	unsigned i = (unsigned)(watch - p->err);
	enum vring_fault fault;

	eventfd_read(watch->fd, &(eventfd_t){0});
	if (!p->set[i])
		return;
	fault = vhost_ring_diagnose(&p->q[i].cfg, &p->q[i].state, guest_mem_table(p->mem));
	log_warn_limited("%s: queue %u: the vDPA device reports an error: %s", p->id, i,
			 vring_fault_name(fault));
	if (p->events)
		p->events->queue_broken(p->events->opaque, i, fault);
}

static int vd_mem_changed(struct mem_listener *listener, const struct mem_table *old,
			  const struct mem_table *table, struct error *err)
{
	struct vd_plane *p = listener->opaque;

	if (table->dirty)
		return error_set(err, -ENOTSUP, "%s: a vDPA device does not log what it writes",
				 p->id);
	return vhost_vdpa_map(&p->vdpa, old, table, err);
}

static void vd_free(struct vd_plane *p)
{
	struct loop_fd *watches[] = {&p->config, &p->err[0], &p->err[1]};

	for (unsigned i = 0; i < ARRAY_SIZE(watches); i++) {
		loop_remove(p->loop, watches[i]);
		if (watches[i]->fd >= 0)
			close(watches[i]->fd);
	}
	vhost_vdpa_close(&p->vdpa);
	free(p);
}

static int watch_eventfd(struct vd_plane *p, struct loop_fd *watch, struct error *err)
{
	int rc;

	watch->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	rc = watch->fd < 0 ? -errno : loop_add(p->loop, watch, EPOLLIN);
	if (rc)
		return error_set(err, rc, "%s: cannot watch the device: %s", p->id, error_name(rc));
	return 0;
}

static int check_device(struct vd_plane *p, unsigned pairs, struct error *err)
{
	const struct vhost_vdpa *v = &p->vdpa;

	if (v->device_id != DEVICE_NET)
		return error_set(err, -ENODEV,
				 "%s: is a virtio device of type %u, not a network device (1)",
				 v->vk.name, v->device_id);
	if (!(v->vk.features >> VIRTIO_F_VERSION_1 & 1))
		return error_set(err, -ENOTSUP,
				 "%s: the device is a legacy one (no VIRTIO_F_VERSION_1)",
				 v->vk.name);
	if (pairs > 1 || v->queues < QUEUES)
		return error_set(err, -ENOTSUP,
				 "%s: one queue pair of a vDPA device can be used: give queues=1",
				 v->vk.name);
	return 0;
}

static int vd_set_up(struct vd_plane *p, const char *path, unsigned pairs, struct error *err)
{
	uint8_t mtu[2] = {0};
	int rc = vhost_vdpa_open(&p->vdpa, path, err);

	if (rc == 0)
		rc = check_device(p, pairs, err);
	if (rc == 0)
		rc = vhost_vdpa_set_status(&p->vdpa, 0, err);
	if (rc == 0)
		rc = watch_eventfd(p, &p->config, err);
	for (unsigned i = 0; i < QUEUES && rc == 0; i++)
		rc = watch_eventfd(p, &p->err[i], err);
	if (rc)
		return rc;
	p->has_status = p->vdpa.vk.features >> VIRTIO_NET_F_STATUS & 1;
	p->plane.link_up = read_link(p);
	if (p->vdpa.vk.features >> VIRTIO_NET_F_MTU & 1 &&
	    vhost_vdpa_get_config(&p->vdpa, CONFIG_MTU, mtu, sizeof(mtu), NULL) == 0)
		p->plane.mtu = load_le16(mtu);
	p->listener = (struct mem_listener){
		.name = "vdpa",
		.changed = vd_mem_changed,
		.opaque = p,
	};
	return guest_mem_listen(p->mem, &p->listener, err);
}

static int vd_open(const char *backend, const struct options *opts,
		   const struct plane_params *params, struct plane **out, struct error *err)
{
	const char *path = options_get(opts, "path");
	struct vd_plane *p;
	int rc;

	if (!path || !*path)
		return error_set(err, -EINVAL,
				 "%s: backend=vdpa: the device is missing: path=/dev/vhost-vdpa-N",
				 params->id);
	p = calloc(1, sizeof(*p));
	if (!p)
		return error_set(err, -ENOMEM, "%s: out of memory", params->id);
	p->plane.ops = &vhost_vdpa_ops;
	snprintf(p->id, sizeof(p->id), "%s", params->id);
	p->vdpa.vk.fd = -1;
	p->loop = params->loop;
	p->events = params->events;
	p->mem = params->mem;
	p->config = (struct loop_fd){.fd = -1, .fn = vd_config_changed, .opaque = p};
	for (unsigned i = 0; i < QUEUES; i++)
		p->err[i] = (struct loop_fd){.fd = -1, .fn = vd_ring_error, .opaque = p};
	rc = vd_set_up(p, path, params->queue_pairs, err);
	if (rc) {
		vd_free(p);
		return error_prefix(err, rc, "backend=vdpa");
	}
	*out = &p->plane;
	return 0;
}

static void vd_close(struct plane *plane)
{
	struct vd_plane *p = to_vd(plane);

	guest_mem_unlisten(p->mem, &p->listener);
	vd_free(p);
}

static void vd_features(struct plane *plane, struct virtio_features *out)
{
	uint64_t features = to_vd(plane)->vdpa.vk.features;

	*out = (struct virtio_features){{features & (VHOST_RING_FEATURES | VHOST_FRAME_FEATURES)}};
	vhost_nic_features(out); /* a queue is reset by restarting the device, see vd_queue_set() */
}

static int vd_could(struct virtio_features *out, struct error *err)
{
	vhost_usual_features(out);
	features_set(out, VIRTIO_NET_F_MQ, false);
	return 0;
}

/* From reset to features that the device has agreed to. */
static int negotiate(struct vd_plane *p, struct error *err)
{
	uint64_t own = 1ULL << VIRTIO_F_ACCESS_PLATFORM;
	uint64_t agreed = vhost_agreed(p->acked, p->guest_offloads);
	uint64_t features = ((agreed & (VHOST_RING_FEATURES | VHOST_FRAME_FEATURES)) | own) &
			    p->vdpa.vk.features;
	uint8_t status = STATUS_ACKNOWLEDGE | STATUS_DRIVER;
	int rc = vhost_vdpa_set_status(&p->vdpa, 0, err);

	if (p->has_status)
		features |= 1ULL << VIRTIO_NET_F_STATUS;
	if (rc == 0)
		rc = vhost_vdpa_set_status(&p->vdpa, status, err);
	if (rc == 0)
		rc = vhost_kernel_set_features(&p->vdpa.vk, features, err);
	if (rc == 0)
		rc = vhost_vdpa_set_status(&p->vdpa, status | STATUS_FEATURES_OK, err);
	if (rc == 0)
		rc = vhost_vdpa_get_status(&p->vdpa, &status, err);
	if (rc == 0 && !(status & STATUS_FEATURES_OK))
		rc = error_set(err, -ENOTSUP, "%s: %s does not agree to the guest's features",
			       p->id, p->vdpa.vk.name);
	return rc;
}

static struct vhost_ring ring_args(const struct vd_plane *p, unsigned i)
{
	return (struct vhost_ring){
		.index = i,
		.cfg = &p->q[i].cfg,
		.state = &p->q[i].state,
		.kick_fd = p->q[i].kick_fd,
		.call_fd = p->q[i].call_fd,
		.err_fd = p->err[i].fd,
	};
}

static int give_ring(struct vd_plane *p, unsigned i, struct error *err)
{
	struct vhost_ring args = ring_args(p, i);
	int rc;

	if (p->q[i].cfg.size > p->vdpa.ring_max)
		return error_set(err, -ENOTSUP,
				 "%s: %s takes rings of %u entries, not %u: give queue-size=%u",
				 p->id, p->vdpa.vk.name, p->vdpa.ring_max, p->q[i].cfg.size,
				 p->vdpa.ring_max);
	rc = vhost_kernel_set_ring(&p->vdpa.vk, &args, guest_mem_table(p->mem), true, err);
	if (rc == 0)
		rc = vhost_vdpa_enable_ring(&p->vdpa, i, true, err);
	if (rc == 0)
		p->set[i] = true;
	return rc;
}

/* Sets the device going with the features and rings that it is to have. */
static int set_going(struct vd_plane *p, struct error *err)
{
	int rc = negotiate(p, err);

	if (rc == 0)
		rc = vhost_vdpa_set_config_call(&p->vdpa, p->config.fd, err);
	for (unsigned i = 0; i < QUEUES && rc == 0; i++)
		if (p->q[i].enabled)
			rc = give_ring(p, i, err);
	if (rc == 0)
		rc = vhost_vdpa_set_status(&p->vdpa,
					   STATUS_ACKNOWLEDGE | STATUS_DRIVER | STATUS_FEATURES_OK |
						   STATUS_DRIVER_OK,
					   err);
	if (rc) {
		vhost_vdpa_set_status(&p->vdpa, 0, NULL);
		p->set[0] = p->set[1] = false;
		return rc;
	}
	p->started = true;
	for (unsigned i = 0; i < QUEUES; i++)
		if (p->set[i])
			eventfd_write(p->q[i].kick_fd, 1);
	return 0;
}

static int vd_start(struct plane *plane, const struct plane_start *start, struct error *err)
{
	struct vd_plane *p = to_vd(plane);
	struct virtio_features can;
	int rc;

	vd_features(plane, &can);
	rc = vhost_check_start(p->id, "the vDPA device", start, &can, QUEUES, err);
	if (rc)
		return rc;
	p->acked = start->features.w[0];
	p->guest_offloads = start->config->guest_offloads;
	for (unsigned i = 0; i < QUEUES; i++)
		p->q[i] = i < start->nqueues ? start->queues[i] : (struct plane_queue){0};
	return set_going(p, err);
}

/* Where ring i stands: from the suspended device, or from the ring after a reset. */
static void find_place(struct vd_plane *p, unsigned i, bool suspended, struct vring_state *state)
{
	const struct mem_table *table = guest_mem_table(p->mem);
	struct vhost_ring args = ring_args(p, i);
	unsigned mended = 0;

	if (suspended && vhost_kernel_get_base(&p->vdpa.vk, &args, table, state) == 0)
		return;
	if (vhost_base_recover(args.cfg, table, args.state, state) == 0)
		vhost_base_mend(args.cfg, table, state, &mended);
	if (mended)
		log_info("%s: queue %u: %u buffers that the device had not finished with are "
			 "returned empty",
			 p->id, i, mended);
}

static void vd_stop(struct plane *plane, struct plane_queue *queues, unsigned nqueues)
{
	struct vd_plane *p = to_vd(plane);
	struct error err;
	bool suspended;

	if (!p->started)
		return;
	suspended = p->vdpa.can_suspend && vhost_vdpa_suspend(&p->vdpa, NULL) == 0;
	for (unsigned i = 0; i < QUEUES && suspended; i++)
		if (p->set[i])
			find_place(p, i, true, &p->q[i].state);
	if (vhost_vdpa_set_status(&p->vdpa, 0, &err))
		log_error("%s: %s", p->id, err.text);
	for (unsigned i = 0; i < QUEUES; i++) {
		if (!p->set[i])
			continue;
		if (!suspended)
			find_place(p, i, false, &p->q[i].state);
		vhost_kernel_clear_ring(&p->vdpa.vk, i);
		if (i < nqueues)
			queues[i].state = p->q[i].state;
		p->set[i] = false;
	}
	p->started = false;
}

/*
 * The device has no control queue that could be told; filters are best effort anyway. Offloads are
 * features: for other ones it is restarted.
 */
static int vd_configure(struct plane *plane, const struct plane_net_config *config)
{
	struct vd_plane *p = to_vd(plane);
	struct error err;
	int rc;

	if (config->rss.enabled)
		return -ENOTSUP;
	if (p->guest_offloads == config->guest_offloads)
		return 0;
	p->guest_offloads = config->guest_offloads;
	if (!p->started)
		return 0;
	vd_stop(plane, NULL, 0);
	rc = set_going(p, &err);
	if (rc)
		log_error("%s: it does not start again: %s", p->id, err.text);
	return rc;
}

static int vd_queue_set(struct plane *plane, unsigned index, struct plane_queue *queue)
{
	return -ENOTSUP;
}

static void vd_counters(struct plane *plane, unsigned queue, struct plane_queue_counters *out)
{
	*out = (struct plane_queue_counters){0};
}

static void vd_attachment(struct plane *plane, char *out, size_t size)
{
	snprintf(out, size, "%s", to_vd(plane)->vdpa.vk.name);
}

static bool vd_is_at(struct plane *plane, const struct options *opts)
{
	const char *path = options_get(opts, "path");

	return path && !strcmp(path, to_vd(plane)->vdpa.vk.name);
}

static int vd_use_memory(struct plane *plane, struct guest_mem *mem, struct error *err)
{
	struct vd_plane *p = to_vd(plane);
	struct guest_mem *old = p->mem;

	p->mem = mem;
	return guest_mem_move_listener(old, mem, &p->listener, err);
}

static int vd_probe(struct error *err)
{
	glob_t g = {0};
	int rc = 0;

	if (glob("/dev/vhost-vdpa-*", 0, NULL, &g) != 0)
		rc = error_set(err, -ENODEV,
			       "there is no /dev/vhost-vdpa-N: load vhost_vdpa (modprobe "
			       "vhost_vdpa) and the driver of a vDPA device or vduse, and make "
			       "one (vdpa dev add name NAME mgmtdev MGMTDEV; see vdpa mgmtdev "
			       "show)");
	globfree(&g);
	return rc;
}

static bool vd_serves(const char *backend)
{
	return !strcmp(backend, "vdpa");
}

static const struct option_key vd_keys[] = {
	{"path", "PATH", "the device, /dev/vhost-vdpa-N"},
	{NULL},
};

const struct plane_ops vhost_vdpa_ops = {
	.name = "vdpa",
	.help = "a vDPA device: hardware, or a VDUSE process",
	.keys = vd_keys,
	.serves = vd_serves,
	.probe = vd_probe,
	.open = vd_open,
	.features = vd_features,
	.could = vd_could,
	.start = vd_start,
	.stop = vd_stop,
	.configure = vd_configure,
	.queue_set = vd_queue_set,
	.counters = vd_counters,
	.unknown = "frames are counted by the device, if it counts them: see vdpa dev vstats show",
	.attachment = vd_attachment,
	.is_at = vd_is_at,
	.use_memory = vd_use_memory,
	.close = vd_close,
};
