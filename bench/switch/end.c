/* SPDX-License-Identifier: Apache-2.0 */
#include "load.h"

#include "base/thread.h"
#include "base/unix_socket.h"
#include "vring/features.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#define BIT(n)	 (1ULL << (n))

#define PATIENCE (10 * NSEC_PER_SEC)

/* Waits for the switch to connect. */
static int accept_one(const char *path, struct error *err)
{
	int fd, ret, listener = unix_listen(path, 0600, 1, err);

	if (listener < 0)
		return listener;
	ret = unix_wait(listener, POLLIN, clock_ns() + PATIENCE, "switch", err);
	fd = ret ? ret : accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	if (!ret && fd < 0)
		fd = error_set(err, -errno, "%s: %s", path, error_name(errno));
	close(listener);
	return fd;
}

static int dial(const char *path, struct error *err)
{
	uint64_t deadline = clock_ns() + PATIENCE;
	int fd;

	while ((fd = unix_connect(path, err)) < 0 && clock_ns() < deadline)
		usleep(50000);
	return fd;
}

static void place_ring(struct vring_config *cfg, const struct end_setup *setup, uint64_t *at)
{
	*cfg = (struct vring_config){
		.size = setup->ring, .packed = setup->packed, .in_order = setup->in_order};
	cfg->desc = *at;
	cfg->driver = ALIGN_UP(cfg->desc + vring_desc_bytes(cfg), 4096);
	cfg->device = ALIGN_UP(cfg->driver + vring_driver_bytes(cfg), 4096);
	*at = ALIGN_UP(cfg->device + vring_device_bytes(cfg), 4096);
}

static void place_buffers(struct end *e, struct end_queue *q, uint32_t len, uint64_t *at)
{
	q->gpa = *at;
	q->stride = e->setup.tso ? END_BIG : END_STRIDE;
	q->writable = !len;
	q->sg = (struct vdrv_sg){q->gpa + END_ROOM, len ? len : q->stride - END_ROOM};
	*at = ALIGN_UP(q->gpa + (uint64_t)e->nbufs * q->stride, 4096);
}

static int start_driver(struct end *e, struct end_queue *q, struct error *err)
{
	const struct mem_table *table = guest_mem_table(e->mem);
	int ret;

	q->base = mem_translate(table, q->gpa, 1, MEM_WRITE);
	if (!q->drv) {
		lean_start(&q->lean, &q->cfg, table, q->sg.gpa, q->stride, q->sg.len, q->writable);
		return 0;
	}
	ret = vdrv_start(q->drv, &q->cfg, table, err);
	if (!ret)
		vdrv_disable_calls(q->drv);
	return ret;
}

static int make_memory(struct end *e, struct error *err)
{
	struct mem_ram_options huge = {.hugepages = true, .prealloc = true};
	uint64_t at = 2 * MIB, size;
	int ret;

	place_ring(&e->tx.cfg, &e->setup, &at);
	place_ring(&e->rx.cfg, &e->setup, &at);
	place_buffers(e, &e->tx, END_HDR + e->setup.size, &at);
	place_buffers(e, &e->rx, 0, &at);
	size = ALIGN_UP(at, 2 * MIB) - 2 * MIB;
	e->mem = guest_mem_create(err);
	if (!e->mem)
		return err->code;
	ret = guest_mem_add_ram(e->mem, "load", 2 * MIB, size, &huge, err);
	if (ret) {
		huge.hugepages = false;
		ret = guest_mem_add_ram(e->mem, "load", 2 * MIB, size, &huge, err);
	}
	if (!ret)
		ret = start_driver(e, &e->tx, err);
	return ret ? ret : start_driver(e, &e->rx, err);
}

static int give_ring(struct end *e, unsigned index, const struct end_queue *q, struct error *err)
{
	const struct vring_state state = VRING_STATE_INIT;
	const struct vhost_user_ring ring = {index, &q->cfg, &state, q->kick, q->call, -1};

	return vhost_user_set_ring(&e->fe, &ring, guest_mem_table(e->mem), err);
}

static int give_all(struct end *e, struct error *err)
{
	uint64_t features = BIT(VIRTIO_F_VERSION_1);
	int ret;

	if (e->setup.packed)
		features |= BIT(VIRTIO_F_RING_PACKED);
	if (e->setup.in_order)
		features |= BIT(VIRTIO_F_IN_ORDER);
	if (e->setup.mergeable)
		features |= BIT(VIRTIO_NET_F_MRG_RXBUF);
	if (e->setup.tso)
		features |= BIT(VIRTIO_NET_F_CSUM) | BIT(VIRTIO_NET_F_HOST_TSO4) |
			    BIT(VIRTIO_NET_F_GUEST_CSUM) | BIT(VIRTIO_NET_F_GUEST_TSO4);
	ret = vhost_user_set_features(&e->fe, features, false, err);
	if (!ret)
		ret = vhost_user_set_memory(&e->fe, guest_mem_table(e->mem), err);
	if (!ret)
		ret = give_ring(e, 0, &e->rx, err);
	if (!ret)
		ret = give_ring(e, 1, &e->tx, err);
	for (unsigned i = 0; i < 2 && !ret; i++)
		ret = vhost_user_enable_ring(&e->fe, i, true, err);
	if (!ret) /* ACKNOWLEDGE, DRIVER, FEATURES_OK, DRIVER_OK */
		ret = vhost_user_set_status(&e->fe, 15, err);
	return ret ? ret : vhost_user_barrier(&e->fe, err);
}

static void post(struct end *e)
{
	for (unsigned i = 0; i < e->nbufs; i++) {
		end_put(&e->rx, i);
		e->free[e->nfree++] = e->nbufs - 1 - i;
	}
	end_publish(&e->rx);
}

static bool make_queue(struct end_queue *q, bool in_order)
{
	q->kick = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	q->call = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (in_order)
		q->drv = vdrv_create();
	return q->kick >= 0 && q->call >= 0 && (q->drv || !in_order);
}

int end_open(struct end *e, const struct end_setup *setup, struct error *err)
{
	int ret, fd;

	*e = (struct end){.setup = *setup, .nbufs = setup->ring};
	e->latency = calloc(LAT_COUNT, sizeof(*e->latency));
	if (!e->latency || !make_queue(&e->tx, setup->in_order) ||
	    !make_queue(&e->rx, setup->in_order))
		return error_set(err, -ENOMEM, "%s: out of memory", setup->path);
	vhost_user_frontend_init(&e->fe, setup->path);
	ret = make_memory(e, err);
	if (ret)
		return ret;
	post(e);
	fd = setup->listen ? accept_one(setup->path, err) : dial(setup->path, err);
	if (fd < 0)
		return fd;
	vhost_user_within(&e->fe, 5000);
	ret = vhost_user_greet(&e->fe, fd, err);
	return ret ? ret : give_all(e, err);
}

void end_close(struct end *e)
{
	vhost_user_hang_up(&e->fe);
	vdrv_free(e->tx.drv);
	vdrv_free(e->rx.drv);
	if (e->mem)
		guest_mem_destroy(e->mem);
	free(e->latency);
}
