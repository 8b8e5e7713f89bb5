/* SPDX-License-Identifier: Apache-2.0 */
#include "dataplane/vhost_user.h"

#include "base/log.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

/*
 * backend=vhost-user: another process owns the rings. This file says what it is told, and
 * vhost_user_link.c sees to it that there is a process to tell.
 *
 * Theory of operation. The plane keeps what the NIC wants (features, rings, how many pairs) apart
 * from what the back-end has been told. While there is no back-end the wishes are only noted, and
 * everything is told anew to the next one. A ring's state is what the back-end said when it was
 * stopped or, when it went without a word, what the ring itself shows (vhost/ring_base.c); the
 * inflight region, where the back-end keeps one, goes to its successor.
 *
 * Requests made in the control thread have OP_MS together. A back-end that does not answer by
 * then is given up like one that is gone. It may still be there, and go on when it wakes up: that
 * cannot be helped, since its memory cannot be taken from it.
 */
#define LINK_DOWN_AFTER_MS 1000
#define SERVER_WAIT_MS	   10000

/* virtio 1.2, 5.1.4: where status is in the config space, and its bit for the link. */
#define CONFIG_STATUS  6
#define STATUS_LINK_UP 1

static struct vu_plane *to_vu(struct plane *plane)
{
	return container_of(plane, struct vu_plane, plane);
}

void vu_op_failed(struct vu_plane *p, const struct error *err)
{
	if (p->fe.broken)
		vu_link_lost(p, err->text);
	else
		log_warn("%s: %s", p->id, err->text);
}

void vu_requests(struct loop_fd *watch, uint32_t events)
{
	struct vu_plane *p = watch->opaque;
	struct error err;
	int rc = vhost_user_backend_request(&p->fe, &err);

	if (rc >= 0)
		return;
	loop_remove(p->loop, watch);
	if (rc != -ECONNRESET) /* its end is the connection's, which is watched */
		log_warn("%s: %s", p->id, err.text);
}

void vu_config_change(void *opaque)
{
	struct vu_plane *p = opaque;

	p->config_changed = true;
	if (p->state != VU_MEETING) /* else this may be the helper, and vu_up() sees to it */
		loop_timer_set(p->loop, &p->config_timer, clock_ns());
}

void vu_config_look(struct loop_timer *timer)
{
	struct vu_plane *p = timer->opaque;
	struct error err;
	uint8_t status[2];

	if (p->state != VU_UP || !p->config_changed)
		return;
	p->config_changed = false;
	vhost_user_within(&p->fe, OP_MS);
	if (vhost_user_get_config(&p->fe, CONFIG_STATUS, status, sizeof(status), &err)) {
		vu_op_failed(p, &err);
		return;
	}
	if (p->events)
		p->events->link_changed(p->events->opaque, status[0] & STATUS_LINK_UP);
}

static void vu_ring_error(struct loop_fd *watch, uint32_t events)
{
	struct vu_ring *r = watch->opaque;
	struct vu_plane *p = r->p;
	enum vring_fault fault;

	eventfd_read(watch->fd, &(eventfd_t){0});
	if (p->state != VU_UP || !r->set || r->broken)
		return;
	r->broken = true;
	fault = vhost_ring_diagnose(&r->q.cfg, &r->q.state, guest_mem_table(p->mem));
	log_warn_limited("%s: queue %u: the back-end reports an error: %s", p->id, r->index,
			 vring_fault_name(fault));
	if (p->events)
		p->events->queue_broken(p->events->opaque, r->index, fault);
}

/*
 * A back-end that cannot take the new memory is not running on the old either: it is let go, and
 * met again with what is then the memory. So the change itself never fails because of it.
 */
static int vu_mem_changed(struct mem_listener *listener, const struct mem_table *old,
			  const struct mem_table *table, struct error *err)
{
	struct vu_plane *p = listener->opaque;
	bool log = table->dirty || (old && old->dirty);
	struct error why;
	int rc;

	vu_link_settle(p);
	if (p->state != VU_UP)
		return 0;
	vhost_user_within(&p->fe, OP_MS);
	rc = vu_give_memory(p, table, &why);
	if (rc == 0 && log && p->started)
		rc = vhost_user_set_features(
			&p->fe, vhost_agreed(p->acked, p->guest_offloads) & p->fe.features,
			table->dirty, &why);
	for (unsigned i = 0; i < 2 * p->npairs && rc == 0 && log; i++) {
		struct vhost_user_ring args = vu_ring_args(&p->rings[i]);

		if (p->rings[i].set)
			rc = vhost_user_set_ring_addr(&p->fe, &args, table, &why);
	}
	if (rc == -ENOTSUP || rc == -E2BIG)
		return error_set(err, rc, "%s", why.text);
	if (rc)
		vu_link_lost(p, why.text);
	return 0;
}

static void vu_free(struct vu_plane *p)
{
	for (unsigned i = 0; p->rings && i < 2 * p->npairs; i++) {
		loop_remove(p->loop, &p->rings[i].err);
		if (p->rings[i].err.fd >= 0)
			close(p->rings[i].err.fd);
	}
	vhost_user_inflight_free(&p->inflight);
	free(p->rings);
	free(p);
}

static struct vu_plane *vu_alloc(const struct plane_params *params)
{
	struct vu_plane *p = calloc(1, sizeof(*p));

	if (!p)
		return NULL;
	p->plane.ops = &vhost_user_ops;
	snprintf(p->id, sizeof(p->id), "%s", params->id);
	memcpy(p->mac, params->mac, sizeof(p->mac));
	p->mtu = params->mtu;
	p->loop = params->loop;
	p->events = params->events;
	p->mem = params->mem;
	p->npairs = params->queue_pairs;
	p->inflight.fd = -1;
	p->rings = calloc(2 * (size_t)p->npairs, sizeof(*p->rings));
	if (!p->rings) {
		vu_free(p);
		return NULL;
	}
	for (unsigned i = 0; i < 2 * p->npairs; i++)
		p->rings[i] = (struct vu_ring){
			.p = p,
			.index = i,
			.err = {.fd = -1, .fn = vu_ring_error, .opaque = &p->rings[i]},
		};
	return p;
}

static int vu_open_errors(struct vu_plane *p, struct error *err)
{
	for (unsigned i = 0; i < 2 * p->npairs; i++) {
		struct loop_fd *watch = &p->rings[i].err;
		int rc;

		watch->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		rc = watch->fd < 0 ? -errno : loop_add(p->loop, watch, EPOLLIN);
		if (rc)
			return error_set(err, rc, "%s: cannot watch a ring: %s", p->id,
					 error_name(rc));
	}
	return 0;
}

static int vu_take_options(struct vu_plane *p, const struct options *opts, unsigned patience_ms,
			   unsigned *wait_ms, struct error *err)
{
	const char *path = options_get(opts, "socket"), *server = options_get(opts, "server");
	const char *wait = options_get(opts, "wait"), *after = options_get(opts, "link-down-after");
	uint64_t ms = LINK_DOWN_AFTER_MS;
	int rc;

	if (!path || !*path)
		return error_set(err, -EINVAL, "%s: the back-end's socket is missing: socket=PATH",
				 p->id);
	if (strlen(path) >= sizeof(p->path))
		return error_set(err, -ENAMETOOLONG,
				 "%s: socket=%s: a socket's path has at most %zu characters", p->id,
				 path, sizeof(p->path) - 1);
	snprintf(p->path, sizeof(p->path), "%s", path);
	rc = server ? option_bool("server", server, &p->server, err) : 0;
	if (rc == 0 && after)
		rc = option_u64("link-down-after", after, 0, 86400000, &ms, err);
	p->link_down_after = (unsigned)ms;
	ms = p->server ? SERVER_WAIT_MS : 0;
	if (rc == 0 && wait)
		rc = option_u64("wait", wait, 0, 3600000, &ms, err);
	*wait_ms = (unsigned)(patience_ms ? MIN(ms, patience_ms) : ms);
	return rc;
}

static void vu_take_features(struct vu_plane *p)
{
	struct virtio_features *f = &p->offered;

	*f = (struct virtio_features){{p->fe.features & VU_BACKEND_BITS}};
	vhost_nic_features(f);
	features_set(f, VIRTIO_NET_F_MQ, vhost_user_has(&p->fe, VHOST_USER_PROTOCOL_F_MQ));
}

static int vu_open(const char *backend, const struct options *opts,
		   const struct plane_params *params, struct plane **out, struct error *err)
{
	struct vu_plane *p = vu_alloc(params);
	unsigned wait_ms = 0;
	int rc;

	if (!p)
		return error_set(err, -ENOMEM, "%s: out of memory", params->id);
	rc = vu_take_options(p, opts, params->patience_ms, &wait_ms, err);
	if (rc) {
		vu_free(p);
		return rc;
	}
	rc = vu_link_init(p, err);
	if (rc == 0)
		rc = vu_open_errors(p, err);
	if (rc == 0)
		rc = vu_link_open(p, wait_ms, err);
	if (rc)
		goto fail;
	vu_take_features(p);
	p->plane.doorbells = vhost_user_has(&p->fe, VHOST_USER_PROTOCOL_F_HOST_NOTIFIER);
	p->listener = (struct mem_listener){
		.name = "vhost-user",
		.changed = vu_mem_changed,
		.opaque = p,
	};
	rc = guest_mem_listen(p->mem, &p->listener, err);
	if (rc)
		goto fail;
	*out = &p->plane;
	return 0;
fail:
	vu_link_close(p);
	vu_free(p);
	return error_prefix(err, rc, "backend=vhost-user");
}

static void vu_close(struct plane *plane)
{
	struct vu_plane *p = to_vu(plane);

	guest_mem_unlisten(p->mem, &p->listener);
	vu_link_close(p);
	vu_free(p);
}

static void vu_features(struct plane *plane, struct virtio_features *out)
{
	*out = to_vu(plane)->offered;
}

static void take_config(struct vu_plane *p, const struct plane_net_config *config)
{
	p->active_pairs = MAX(config->active_pairs, 1U);
	p->nic_link_up = config->link_up;
	p->guest_offloads = config->guest_offloads;
}

static int vu_start(struct plane *plane, const struct plane_start *start, struct error *err)
{
	struct vu_plane *p = to_vu(plane);
	int rc = vhost_check_start(p->id, "the vhost-user back-end", start, &p->offered,
				   2 * p->npairs, err);

	if (rc)
		return rc;
	vu_link_settle(p);
	p->acked = start->features.w[0];
	take_config(p, start->config);
	for (unsigned i = 0; i < 2 * p->npairs; i++) {
		struct vu_ring *r = &p->rings[i];

		r->given = i < start->nqueues && start->queues[i].enabled;
		r->broken = false;
		if (i < start->nqueues)
			r->q = start->queues[i];
	}
	p->started = true;
	p->relayed = start->relayed;
	if (p->state != VU_UP)
		return 0; /* the next back-end gets it all */
	vhost_user_within(&p->fe, OP_MS);
	rc = vu_give_rings(p, err);
	if (rc == 0) {
		vu_nudge(p);
		return 0;
	}
	p->started = false;
	for (unsigned i = 0; i < 2 * p->npairs; i++)
		p->rings[i].given = p->rings[i].set = false;
	/* It may have been given rings already: only without a connection is it sure to stop. */
	vu_link_lost(p, err->text);
	return rc;
}

static void vu_stop(struct plane *plane, struct plane_queue *queues, unsigned nqueues)
{
	struct vu_plane *p = to_vu(plane);
	struct error err;

	vu_link_settle(p);
	vhost_user_within(&p->fe, OP_MS);
	for (unsigned i = 0; i < 2 * p->npairs; i++) {
		struct vu_ring *r = &p->rings[i];

		if (p->state == VU_UP)
			vu_stop_ring(r);
		if (r->given && i < nqueues)
			queues[i].state = r->q.state;
		r->given = false;
	}
	p->started = false;
	if (p->state == VU_UP && vhost_user_set_status(&p->fe, 0, &err))
		vu_op_failed(p, &err);
	vhost_user_inflight_free(&p->inflight);
}

void vu_sync_rings(struct vu_plane *p)
{
	struct error err;

	vhost_user_within(&p->fe, OP_MS);
	if (vu_enable_rings(p, &err))
		vu_op_failed(p, &err);
}

/* Other features: a back-end takes them only for rings that it does not have yet. */
static void give_again(struct vu_plane *p)
{
	struct error err;

	vhost_user_within(&p->fe, OP_MS);
	for (unsigned i = 0; i < 2 * p->npairs && p->state == VU_UP; i++)
		vu_stop_ring(&p->rings[i]);
	if (p->state != VU_UP)
		return;
	if (vu_give_rings(p, &err))
		vu_op_failed(p, &err);
	else
		vu_nudge(p);
}

static int vu_configure(struct plane *plane, const struct plane_net_config *config)
{
	struct vu_plane *p = to_vu(plane);
	uint32_t before = p->guest_offloads;

	if (config->rss.enabled)
		return -ENOTSUP;
	vu_link_settle(p);
	take_config(p, config);
	if (p->state != VU_UP || !p->started)
		return 0;
	if (p->guest_offloads != before)
		give_again(p);
	else
		vu_sync_rings(p);
	return 0;
}

static int vu_queue_set(struct plane *plane, unsigned index, struct plane_queue *queue)
{
	struct vu_plane *p = to_vu(plane);
	struct vu_ring *r;
	struct error err;
	int rc = 0;

	if (index >= 2 * p->npairs)
		return -EINVAL;
	vu_link_settle(p);
	vhost_user_within(&p->fe, OP_MS);
	r = &p->rings[index];
	if (p->state == VU_UP)
		vu_stop_ring(r);
	if (r->given && !queue->enabled)
		queue->state = r->q.state;
	r->given = queue->enabled;
	r->broken = false;
	if (!queue->enabled)
		return 0;
	r->q = *queue;
	if (p->state != VU_UP)
		return 0;
	rc = vu_give_ring(r, guest_mem_table(p->mem), &err);
	if (rc == 0)
		rc = vu_enable_rings(p, &err);
	if (rc == 0)
		rc = vhost_user_barrier(&p->fe, &err);
	if (rc)
		vu_op_failed(p, &err);
	vu_doorbell_put(r);
	eventfd_write(r->q.kick_fd, 1);
	return 0;
}

/* The frames are counted in the other process; of them nothing is known here. */
static void vu_counters(struct plane *plane, unsigned queue, struct plane_queue_counters *out)
{
	*out = (struct plane_queue_counters){0};
}

static void vu_attachment(struct plane *plane, char *out, size_t size)
{
	snprintf(out, size, "%s", to_vu(plane)->path);
}

static bool vu_is_at(struct plane *plane, const struct options *opts)
{
	const char *path = options_get(opts, "socket");

	return path && !strcmp(path, to_vu(plane)->path);
}

static int vu_announce(struct plane *plane)
{
	struct vu_plane *p = to_vu(plane);
	struct error err;
	int rc;

	vu_link_settle(p);
	if (p->state != VU_UP)
		return -ENOTCONN;
	vhost_user_within(&p->fe, OP_MS);
	rc = vhost_user_send_rarp(&p->fe, p->mac, &err);
	if (rc && rc != -ENOTSUP)
		vu_op_failed(p, &err);
	return rc;
}

static int vu_could(struct virtio_features *out, struct error *err)
{
	vhost_usual_features(out);
	return 0;
}

static int vu_probe(struct error *err)
{
	return 0; /* a Unix socket is all it takes */
}

static bool vu_serves(const char *backend)
{
	return !strcmp(backend, "vhost-user");
}

static const struct option_key vu_keys[] = {
	{"socket", "PATH", "the Unix socket on which the back-end is met"},
	{"server", "on|off", "listen there, and the back-end connects (default: off)"},
	{"wait", "MS", "milliseconds to wait for it at start (default: 0; 10000 if server=on)"},
	{"link-down-after", "MS",
	 "milliseconds without a back-end until the guest's link goes down (default: 1000)"},
	{NULL},
};

const struct plane_ops vhost_user_ops = {
	.name = "vhost-user",
	.help = "another process, over a vhost-user socket",
	.keys = vu_keys,
	.serves = vu_serves,
	.probe = vu_probe,
	.open = vu_open,
	.features = vu_features,
	.could = vu_could,
	.start = vu_start,
	.stop = vu_stop,
	.configure = vu_configure,
	.queue_set = vu_queue_set,
	.counters = vu_counters,
	.unknown = "frames are counted by the other process, if it counts them: ask it",
	.attachment = vu_attachment,
	.is_at = vu_is_at,
	.announce = vu_announce,
	.use_memory = vu_use_memory,
	.close = vu_close,
};
