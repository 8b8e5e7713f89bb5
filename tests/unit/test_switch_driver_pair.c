/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A queue pair whose driver is the switch, with the device, which the kernel's vhost would be, in the
 * test: frames both ways through a switch, rings that are full or empty, and a device that lies.
 */
#include "switch_bed.h"

#include "switch/driver_pair.h"
#include "switch/worker.h"

#include <errno.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <cmocka.h>

#define GUEST_MAC  1
#define DEVICE_MAC 9

/* A frame port on one pair, and its device. */
struct dev {
	struct hostnet hn;
	struct driver_pair *p;
	struct vq *vq[2]; /* 0: what the switch receives */
};

static struct dev *opening;

static struct driver_pair *pair_of(struct hostnet *hn)
{
	return container_of(hn, struct dev, hn)->p;
}

static unsigned dev_send(struct hostnet *hn, unsigned queue, const struct net_frame *frames,
			 unsigned n)
{
	return driver_pair_send(pair_of(hn), frames, n);
}

static unsigned dev_borrow(struct hostnet *hn, unsigned queue, struct iovec *iov,
			   struct net_offload *off, unsigned n)
{
	return driver_pair_borrow(pair_of(hn), iov, off, n);
}

static void dev_give_back(struct hostnet *hn, unsigned queue, unsigned n)
{
	driver_pair_give_back(pair_of(hn), n);
}

static bool dev_notify(struct hostnet *hn, unsigned queue, bool on)
{
	return driver_pair_notify(pair_of(hn), on);
}

static int dev_poll_fd(struct hostnet *hn, unsigned queue)
{
	return driver_pair_call_fd(pair_of(hn));
}

static void dev_counters(struct hostnet *hn, unsigned queue, struct hostnet_counters *out)
{
	driver_pair_counters(pair_of(hn), out);
}

static const struct hostnet_ops dev_ops = {
	.name = "dev",
	.send = dev_send,
	.borrow = dev_borrow,
	.give_back = dev_give_back,
	.notify = dev_notify,
	.poll_fd = dev_poll_fd,
	.counters = dev_counters,
};

static int port_open(struct sw_port *port, const struct options *opts, struct error *err)
{
	port->hn = &opening->hn;
	port->offloads_from = port->offloads_to = NET_OFFLOAD_CSUM;
	assert_int_equal(sw_port_pairs(port, 1), 0);
	assert_int_equal(sw_out_start(port, 0, NULL), 0);
	assert_int_equal(sw_in_start(port, 0, NULL), 0);
	return 0;
}

static void port_close(struct sw_port *port)
{
}

static const struct option_key no_keys[] = {{NULL}};
static const struct port_ops dev_port = {
	.name = "dev", .help = "", .keys = no_keys, .open = port_open, .close = port_close};

struct rig {
	struct sw *sw;
	struct dev dev;
	struct bed_port *guest;
};

static void rig_open(struct rig *r, unsigned retry_us, const struct bed_setup *setup)
{
	const struct vring_state state = VRING_STATE_INIT;
	struct sw_options o;
	struct error err = {0};

	sw_options_init(&o);
	o.threads = false;
	o.retry_us = retry_us;
	r->sw = sw_create(&o, NULL, &err);
	assert_non_null(r->sw);
	r->dev = (struct dev){.hn = {.ops = &dev_ops, .queues = 1}};
	r->dev.p = driver_pair_new(&err);
	assert_non_null(r->dev.p);
	for (unsigned i = 0; i < 2; i++) {
		r->dev.vq[i] = vq_create();
		assert_int_equal(vq_start(r->dev.vq[i], driver_pair_ring(r->dev.p, i), &state,
					  driver_pair_memory(r->dev.p), &err),
				 0);
	}
	driver_pair_start(r->dev.p);
	opening = &r->dev;
	assert_int_equal(sw_add_port_of(r->sw, &dev_port, "id=d", NULL, &err), 0);
	r->guest = bed_add(r->sw, "id=g", setup);
}

static void rig_close(struct rig *r)
{
	bed_check_balance(r->sw);
	sw_destroy(r->sw);
	bed_free(r->guest);
	driver_pair_free(r->dev.p);
	for (unsigned i = 0; i < 2; i++)
		vq_free(r->dev.vq[i]);
}

/* The device puts a frame into the next receive buffer, and says that it wrote `say` bytes. */
static void dev_put(struct rig *r, const uint8_t *frame, unsigned len, unsigned say)
{
	const struct net_offload off = {.flags = NET_DATA_VALID, .num_buffers = 77};
	struct iovec iov[4];
	struct vq_buf buf;

	assert_int_equal(vq_pop(r->dev.vq[0], &buf, 1, iov, 4), 1);
	assert_int_equal(buf.in_n, 1);
	assert_true(buf.in_len >= NET_FRAME_MAX + 12);
	memcpy(iov[0].iov_base, &off, 12);
	memcpy((uint8_t *)iov[0].iov_base + 12, frame, len);
	vq_push(r->dev.vq[0], &buf, say);
}

static void dev_publish(struct rig *r)
{
	if (vq_flush(r->dev.vq[0]))
		eventfd_write(driver_pair_call_fd(r->dev.p), 1);
}

/* The next frame that the switch sent: its length, 0 for none. */
static unsigned dev_get(struct rig *r, uint8_t *frame, struct net_offload *off)
{
	struct iovec iov[4];
	struct vq_buf buf;
	unsigned len;

	if (vq_pop(r->dev.vq[1], &buf, 1, iov, 4) != 1)
		return 0;
	assert_int_equal(buf.out_n, 1);
	len = buf.out_len - 12;
	memcpy(off, iov[0].iov_base, 12);
	memcpy(frame, (uint8_t *)iov[0].iov_base + 12, len);
	vq_push(r->dev.vq[1], &buf, 0);
	vq_flush(r->dev.vq[1]);
	return len;
}

static void one_each_way(struct rig *r)
{
	uint8_t frame[1514], got[4096];
	struct net_offload off;

	for (unsigned len = 60; len <= 1514; len += 727) {
		bed_frame(frame, len, DEVICE_MAC, GUEST_MAC, len);
		assert_int_equal(bed_send(r->guest, 0, frame, len, NULL), 0);
		sw_step(r->sw);
		assert_int_equal(dev_get(r, got, &off), len);
		assert_memory_equal(got, frame, len);
		bed_frame(frame, len, GUEST_MAC, DEVICE_MAC, len + 1);
		dev_put(r, frame, len, len + 12);
		dev_publish(r);
		sw_step(r->sw);
		assert_int_equal(bed_recv(r->guest, 0, got, &off), len);
		assert_memory_equal(got, frame, len);
		assert_int_equal(off.num_buffers, 1);
	}
}

static void test_each_way(void **state)
{
	const struct bed_setup setup = {.offloads = NET_OFFLOAD_CSUM};
	const struct net_offload off = {
		.flags = NET_NEEDS_CSUM, .csum_start = 34, .csum_offset = 6};
	struct net_offload got_off;
	uint8_t frame[200], got[4096];
	struct rig r;

	rig_open(&r, 0, &setup);
	for (unsigned i = 0; i < 600; i++) /* around the rings */
		one_each_way(&r);
	/* What is left to be done to a frame goes with it. */
	bed_frame(frame, 200, DEVICE_MAC, GUEST_MAC, 5);
	bed_send(r.guest, 0, frame, 200, &off);
	sw_step(r.sw);
	assert_int_equal(dev_get(&r, got, &got_off), 200);
	assert_memory_equal(&got_off, &off, 10);
	rig_close(&r);
}

/* The device takes nothing: what its ring has no room for stays with the sender, for a while. */
static void full(unsigned retry_us)
{
	uint8_t frame[100], got[4096];
	unsigned sent = 0, came = 0;
	struct net_offload off;
	struct rig r;

	rig_open(&r, retry_us, NULL);
	one_each_way(&r);
	while (sent < DRIVER_PAIR_RING + 100) {
		bed_frame(frame, 100, DEVICE_MAC, GUEST_MAC, 0);
		store_le32(frame + 20, sent++);
		assert_int_equal(bed_send(r.guest, 0, frame, 100, NULL), 0);
		sw_step(r.sw);
	}
	for (unsigned i = 0; i < 10; i++)
		sw_step(r.sw);
	for (unsigned i = 0; i < 10; i++) {
		while (dev_get(&r, got, &off))
			assert_int_equal(load_le32(got + 20), came++);
		sw_step(r.sw);
	}
	if (retry_us) {
		assert_int_equal(came, sent);
		assert_int_equal(bed_drops(r.guest->port->in[0]), 0);
	} else {
		assert_int_equal(came, DRIVER_PAIR_RING);
		assert_int_equal(counted(&r.guest->port->in[0]->c.drops[SW_DROP_NO_BUFFER]), 100);
	}
	one_each_way(&r);
	rig_close(&r);
}

static void test_full(void **state)
{
	full(0);
	full(30000000);
}

/* A receiver without buffers: lent frames stay where they are, and come in order when it has some. */
static void test_held_back(void **state)
{
	const struct bed_setup setup = {.rx_bufs = BED_NO_RX};
	uint8_t frame[100], got[4096];
	struct rig r;

	rig_open(&r, 30000000, &setup);
	bed_frame(frame, 100, DEVICE_MAC, GUEST_MAC, 0);
	bed_send(r.guest, 0, frame, 100, NULL); /* its address is learnt */
	sw_step(r.sw);
	for (unsigned i = 0; i < 150; i++) {
		bed_frame(frame, 100, GUEST_MAC, DEVICE_MAC, 0);
		frame[20] = (uint8_t)i;
		dev_put(&r, frame, 100, 112);
	}
	dev_publish(&r);
	for (unsigned i = 0; i < 20; i++)
		sw_step(r.sw);
	assert_int_equal(counted(&sw_port_at(r.sw, 0)->in[0]->c.frames), 0);
	assert_true(driver_pair_notify(r.dev.p, true)); /* nobody may sleep on them */
	for (unsigned i = 0; i < 150; i++) {
		bed_post(r.guest, 0, i, 1);
		sw_step(r.sw);
	}
	for (unsigned i = 0; i < 150; i++) {
		assert_int_equal(bed_recv(r.guest, 0, got, NULL), 100);
		assert_int_equal(got[20], i);
	}
	assert_int_equal(bed_drops(sw_port_at(r.sw, 0)->in[0]), 0);
	rig_close(&r);
}

/* Only who sleeps is told. */
static void test_notify(void **state)
{
	struct pollfd call;
	uint8_t frame[100];
	struct rig r;

	rig_open(&r, 0, NULL);
	call = (struct pollfd){driver_pair_call_fd(r.dev.p), POLLIN, 0};
	one_each_way(&r);
	while (poll(&call, 1, 0) == 1) /* from before the first step */
		eventfd_read(call.fd, &(eventfd_t){0});
	one_each_way(&r);
	assert_int_equal(poll(&call, 1, 0), 0);
	assert_false(driver_pair_notify(r.dev.p, true));
	bed_frame(frame, 100, GUEST_MAC, DEVICE_MAC, 0);
	dev_put(&r, frame, 100, 112);
	dev_publish(&r);
	assert_int_equal(poll(&call, 1, 0), 1);
	assert_true(driver_pair_notify(r.dev.p, true));
	sw_step(r.sw);
	rig_close(&r);
}

/* Lengths that cannot be, and a buffer that is not out. */
static void test_hostile(void **state)
{
	static const unsigned lies[] = {0, 5, 12, 20};
	struct net_offload off;
	uint8_t frame[100], got[4096];
	const struct vring_config *cfg;
	uint8_t *used;
	struct rig r;

	rig_open(&r, 0, NULL);
	bed_frame(frame, 100, GUEST_MAC, DEVICE_MAC, 0);
	for (unsigned i = 0; i < ARRAY_SIZE(lies); i++) {
		dev_put(&r, frame, 100, lies[i]);
		dev_publish(&r);
		sw_step(r.sw);
		assert_int_equal(counted(&sw_port_at(r.sw, 0)->in[0]->c.drops[SW_DROP_MALFORMED]),
				 i + 1);
	}
	cfg = driver_pair_ring(r.dev.p, 0);
	used = mem_translate(driver_pair_memory(r.dev.p), cfg->device, 4, MEM_WRITE);
	store_le32(used + 4 + 8UL * (load_le16(used + 2) % cfg->size), 12345);
	store_le16(used + 2, (uint16_t)(load_le16(used + 2) + 1));
	sw_step(r.sw);
	assert_true(driver_pair_broken(r.dev.p));
	sw_step(r.sw);
	/* The other ring goes on. */
	bed_frame(frame, 100, DEVICE_MAC, GUEST_MAC, 0);
	bed_send(r.guest, 0, frame, 100, NULL);
	sw_step(r.sw);
	assert_int_equal(dev_get(&r, got, &off), 100);
	rig_close(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_each_way),  cmocka_unit_test(test_full),
		cmocka_unit_test(test_held_back), cmocka_unit_test(test_notify),
		cmocka_unit_test(test_hostile),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
