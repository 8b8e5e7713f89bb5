// SPDX-License-Identifier: Apache-2.0
/*
 * The virtio device core: the registers, and what the control thread makes of them.
 *
 * Theory of operation. Register writes change registers only; each that has consequences for the
 * device (status, queue enable, queue reset, bus master) also takes a ticket, dev->asked. The
 * control thread compares what the registers ask for with what the device is doing, and closes the
 * gap by ops: virtio_work(). It works on "what is wanted now", not on a list of requests, so it
 * does not matter how many writes it finds, in what order several vCPUs made them, or whether one
 * of them was made while it was busy.
 *
 * A driver expects a write to the status register to have happened when it returns, although the
 * specification has it poll for a reset's end (virtio 1.2, 4.1.4.3.2). So virtio_settle() wakes the
 * control thread through an eventfd and waits until all tickets taken so far are done. No lock is
 * held meanwhile: the control thread may take any. But the control thread may itself be waiting
 * for this vCPU (to pause it, or to remove the device), so the wait is bounded; a driver that is
 * let go early sees what the specification allows it to see: status not 0 yet, queue_reset still
 * 1, or a device that has not begun to serve its queues, whose kicks stay in the eventfds.
 *
 * Invariants. Between a reset's request and its end, register writes are ignored. A queue's
 * addresses and size do not change while it is enabled, and only the control thread ends that; so
 * it may read them, after having seen enabled under the lock, without it. running, active and
 * state are changed by the control thread only.
 */
#include "virtio/transport.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/log.h"

#define SETTLE_MAX_NS NSEC_PER_SEC

static void virtio_work(struct virtio_dev *dev);

static void work_ready(struct loop_fd *watch, uint32_t events)
{
	struct virtio_dev *dev = watch->opaque;
	eventfd_t count;

	(void)eventfd_read(watch->fd, &count);
	virtio_work(dev);
}

static void queue_forget(struct virtio_queue *q)
{
	q->size = q->size_max;
	q->enabled = false;
	q->resetting = false;
	q->desc = q->driver = q->device = 0;
	q->state = VRING_STATE_INIT;
}

static int queue_init(struct virtio_queue *q, uint16_t size_max)
{
	q->size_max = size_max;
	q->vector = VIRTIO_NO_VECTOR;
	queue_forget(q);
	q->kick_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	q->call_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	return q->kick_fd < 0 || q->call_fd < 0 ? -errno : 0;
}

static void init_wait(struct virtio_dev *dev)
{
	pthread_condattr_t attr;

	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&dev->settled, &attr);
	pthread_condattr_destroy(&attr);
}

int virtio_init(struct virtio_dev *dev, const struct virtio_params *params, struct error *err)
{
	int ret = 0;

	dev->id = params->id;
	dev->type = params->type;
	dev->ops = params->ops;
	dev->loop = params->loop;
	dev->mem = params->mem;
	dev->control = pthread_self();
	features_set(&dev->offered, VIRTIO_F_VERSION_1, true);
	pthread_mutex_init(&dev->lock, NULL);
	init_wait(dev);
	dev->work = (struct loop_fd){.fd = -1, .fn = work_ready, .opaque = dev};
	dev->queues = calloc(params->nqueues, sizeof(*dev->queues));
	if (!dev->queues) {
		ret = -ENOMEM;
		goto fail;
	}
	dev->nqueues = params->nqueues;
	for (unsigned i = 0; i < dev->nqueues; i++)
		dev->queues[i].kick_fd = dev->queues[i].call_fd = -1;
	for (unsigned i = 0; i < dev->nqueues && !ret; i++)
		ret = queue_init(&dev->queues[i], params->queue_sizes[i]);
	if (ret)
		goto fail;
	dev->work.fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	ret = dev->work.fd < 0 ? -errno : loop_add(dev->loop, &dev->work, EPOLLIN);
	if (ret)
		goto fail;
	return 0;
fail:
	error_set(err, ret, "%s: cannot make its %u queues: %s: raise the limit of open files",
		  dev->id, params->nqueues, error_name(ret));
	virtio_fini(dev);
	return ret;
}

static void close_fd(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

void virtio_fini(struct virtio_dev *dev)
{
	if (!dev->ops)
		return;
	if (dev->work.active)
		loop_remove(dev->loop, &dev->work);
	close_fd(&dev->work.fd);
	for (unsigned i = 0; dev->queues && i < dev->nqueues; i++) {
		close_fd(&dev->queues[i].kick_fd);
		close_fd(&dev->queues[i].call_fd);
	}
	free(dev->queues);
	dev->queues = NULL;
	dev->nqueues = 0;
	pthread_cond_destroy(&dev->settled);
	pthread_mutex_destroy(&dev->lock);
	dev->ops = NULL;
}

/*
 * The control thread's side.
 */

bool virtio_queue_config(struct virtio_dev *dev, unsigned index, struct vring_config *cfg)
{
	const struct virtio_queue *q = &dev->queues[index];
	bool enabled;

	pthread_mutex_lock(&dev->lock);
	enabled = q->active && q->enabled && !q->resetting;
	*cfg = (struct vring_config){
		.size = q->size,
		.packed = virtio_has(dev, VIRTIO_F_RING_PACKED),
		.event_idx = virtio_has(dev, VIRTIO_RING_F_EVENT_IDX),
		.indirect = virtio_has(dev, VIRTIO_RING_F_INDIRECT_DESC),
		.in_order = virtio_has(dev, VIRTIO_F_IN_ORDER),
		.desc = q->desc,
		.driver = q->driver,
		.device = q->device,
	};
	pthread_mutex_unlock(&dev->lock);
	return enabled;
}

static void drain(int fd)
{
	eventfd_t count;

	(void)eventfd_read(fd, &count);
}

void virtio_needs_reset_locked(struct virtio_dev *dev)
{
	if (dev->status & VIRTIO_STATUS_NEEDS_RESET)
		return;
	dev->status |= VIRTIO_STATUS_NEEDS_RESET;
	if (dev->status & VIRTIO_STATUS_DRIVER_OK && dev->transport)
		dev->transport->config_changed(dev);
}

void virtio_needs_reset(struct virtio_dev *dev)
{
	pthread_mutex_lock(&dev->lock);
	if (!dev->reset_wanted)
		virtio_needs_reset_locked(dev);
	pthread_mutex_unlock(&dev->lock);
}

/* What the device is to do, as a step at a time. */
enum step { STEP_NONE, STEP_RESET, STEP_START, STEP_STOP, STEP_QUEUE_START, STEP_QUEUE_STOP };

static bool should_run(const struct virtio_dev *dev)
{
	return dev->status & VIRTIO_STATUS_DRIVER_OK && !(dev->status & VIRTIO_STATUS_FAILED) &&
	       dev->dma_allowed && !dev->paused && !dev->start_failed;
}

/* The lock is held. */
static enum step next_step(const struct virtio_dev *dev, unsigned *index)
{
	if (dev->reset_wanted)
		return STEP_RESET;
	for (unsigned i = 0; i < dev->nqueues; i++) {
		*index = i;
		if (dev->queues[i].resetting)
			return STEP_QUEUE_STOP;
	}
	if (should_run(dev) != dev->running)
		return dev->running ? STEP_STOP : STEP_START;
	for (unsigned i = 0; i < dev->nqueues && dev->running; i++) {
		*index = i;
		if (dev->queues[i].enabled && !dev->queues[i].active)
			return STEP_QUEUE_START;
	}
	return STEP_NONE;
}

static void set_running(struct virtio_dev *dev, bool running)
{
	pthread_mutex_lock(&dev->lock);
	dev->running = running;
	for (unsigned i = 0; i < dev->nqueues && !running; i++)
		dev->queues[i].active = false;
	pthread_mutex_unlock(&dev->lock);
}

static void step_stop(struct virtio_dev *dev)
{
	if (!dev->running)
		return;
	dev->ops->stop(dev);
	set_running(dev, false);
}

static void step_start(struct virtio_dev *dev)
{
	struct error err = {0};
	int ret;

	/* A queue enabled from here on is started by a later step; starting one twice is not. */
	pthread_mutex_lock(&dev->lock);
	for (unsigned i = 0; i < dev->nqueues; i++)
		dev->queues[i].active = dev->queues[i].enabled;
	pthread_mutex_unlock(&dev->lock);
	ret = dev->ops->start(dev, &err);
	if (!ret) {
		set_running(dev, true);
		return;
	}
	log_warn_limited("%s: cannot start: %s", dev->id, err.text[0] ? err.text : error_name(ret));
	pthread_mutex_lock(&dev->lock);
	dev->start_failed = true;
	virtio_needs_reset_locked(dev);
	pthread_mutex_unlock(&dev->lock);
	set_running(dev, false);
}

static void step_reset(struct virtio_dev *dev)
{
	step_stop(dev);
	if (dev->ops->reset)
		dev->ops->reset(dev);
	pthread_mutex_lock(&dev->lock);
	dev->status = 0;
	dev->acked = (struct virtio_features){0};
	for (unsigned i = 0; i < dev->nqueues; i++) {
		queue_forget(&dev->queues[i]);
		drain(dev->queues[i].kick_fd);
	}
	if (dev->transport)
		dev->transport->queue_forgotten(dev, dev->nqueues);
	for (unsigned i = 0; i < dev->nqueues; i++)
		drain(dev->queues[i].call_fd);
	dev->start_failed = false;
	dev->reset_wanted = false;
	pthread_mutex_unlock(&dev->lock);
}

static void step_queue_start(struct virtio_dev *dev, unsigned index)
{
	struct error err = {0};
	int ret;

	pthread_mutex_lock(&dev->lock);
	dev->queues[index].active = true;
	pthread_mutex_unlock(&dev->lock);
	ret = dev->ops->queue_start(dev, index, &err);
	if (ret == -ENOTSUP) {
		step_stop(dev);
		step_start(dev);
	} else if (ret) {
		log_warn_limited("%s: queue %u: %s", dev->id, index,
				 err.text[0] ? err.text : error_name(ret));
		virtio_needs_reset(dev);
	}
}

/* Queue reset (virtio 1.2, 2.6.1). */
static void step_queue_stop(struct virtio_dev *dev, unsigned index)
{
	struct virtio_queue *q = &dev->queues[index];
	bool restart = false;

	if (dev->running && q->active && dev->ops->queue_stop(dev, index)) {
		step_stop(dev);
		restart = true;
	}
	pthread_mutex_lock(&dev->lock);
	queue_forget(q);
	q->active = false;
	drain(q->kick_fd);
	if (dev->transport)
		dev->transport->queue_forgotten(dev, index);
	drain(q->call_fd);
	pthread_mutex_unlock(&dev->lock);
	if (restart)
		step_start(dev);
}

static void virtio_work(struct virtio_dev *dev)
{
	unsigned index = 0;
	uint64_t ticket;
	enum step step;

	if (dev->in_work) /* an op led back here: the outer call goes on */
		return;
	dev->in_work = true;
	for (;;) {
		pthread_mutex_lock(&dev->lock);
		ticket = dev->asked;
		step = next_step(dev, &index);
		if (step == STEP_NONE)
			break;
		pthread_mutex_unlock(&dev->lock);
		if (step == STEP_RESET)
			step_reset(dev);
		else if (step == STEP_START)
			step_start(dev);
		else if (step == STEP_STOP)
			step_stop(dev);
		else if (step == STEP_QUEUE_START)
			step_queue_start(dev, index);
		else
			step_queue_stop(dev, index);
	}
	dev->done = ticket;
	pthread_cond_broadcast(&dev->settled);
	pthread_mutex_unlock(&dev->lock);
	dev->in_work = false;
}

void virtio_pause(struct virtio_dev *dev, bool paused)
{
	pthread_mutex_lock(&dev->lock);
	dev->paused = paused;
	pthread_mutex_unlock(&dev->lock);
	virtio_work(dev);
}

void virtio_reset(struct virtio_dev *dev)
{
	pthread_mutex_lock(&dev->lock);
	dev->reset_wanted = true;
	pthread_mutex_unlock(&dev->lock);
	virtio_work(dev);
}

void virtio_config_update(struct virtio_dev *dev, unsigned offset, const void *data, unsigned len)
{
	pthread_mutex_lock(&dev->lock);
	if (memcmp(dev->config + offset, data, len) != 0) {
		memcpy(dev->config + offset, data, len);
		if (dev->generation_seen)
			dev->generation++;
		dev->generation_seen = false;
		if (dev->status & VIRTIO_STATUS_DRIVER_OK && dev->transport)
			dev->transport->config_changed(dev);
	}
	pthread_mutex_unlock(&dev->lock);
}

/*
 * The vCPUs' side.
 */

void virtio_settle(struct virtio_dev *dev)
{
	uint64_t until = clock_ns() + SETTLE_MAX_NS, ticket;
	struct timespec ts = {.tv_sec = (time_t)(until / NSEC_PER_SEC),
			      .tv_nsec = (long)(until % NSEC_PER_SEC)};
	int ret = 0;

	pthread_mutex_lock(&dev->lock);
	ticket = dev->asked;
	if (dev->done >= ticket) {
		pthread_mutex_unlock(&dev->lock);
		return;
	}
	if (pthread_equal(dev->control, pthread_self())) {
		pthread_mutex_unlock(&dev->lock);
		virtio_work(dev);
		return;
	}
	(void)eventfd_write(dev->work.fd, 1);
	while (dev->done < ticket && !dev->no_waiting && !ret)
		ret = pthread_cond_timedwait(&dev->settled, &dev->lock, &ts);
	pthread_mutex_unlock(&dev->lock);
}

void virtio_no_waiting(struct virtio_dev *dev, bool on)
{
	pthread_mutex_lock(&dev->lock);
	dev->no_waiting = on;
	pthread_cond_broadcast(&dev->settled);
	pthread_mutex_unlock(&dev->lock);
}
