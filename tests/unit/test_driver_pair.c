/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A queue pair whose driver is the switch, with the device, which the kernel's vhost would be, in the
 * test: frames both ways through a switch, rings that are full or empty, and a device that lies. And
 * alone, with other rings.
 */
#include "switch_bed.h"

#include "hostnet/driver_pair.h"
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
	r->dev.p = driver_pair_new(NULL, &err);
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

/* A pair by itself, in memory of the test's, and its device. */
struct alone {
	struct mem_region memory;
	struct driver_pair *p;
	struct vq *vq[2];
};

static void alone_start(struct alone *a, const struct driver_pair_config *config)
{
	const struct vring_state state = VRING_STATE_INIT;
	struct error err = {0};

	if (driver_pair_renew(a->p, config, &err))
		fail_msg("%s", err.text);
	for (unsigned i = 0; i < 2; i++)
		assert_int_equal(vq_start(a->vq[i], driver_pair_ring(a->p, i), &state,
					  driver_pair_memory(a->p), &err),
				 0);
	driver_pair_start(a->p);
}

static void alone_open(struct alone *a, const struct driver_pair_config *config)
{
	struct error err;

	*a = (struct alone){.memory = {.gpa = 0x40000000, .size = driver_pair_bytes(), .fd = -1}};
	a->memory.hva = calloc(1, a->memory.size);
	a->p = driver_pair_new(&a->memory, &err);
	assert_non_null(a->p);
	a->vq[0] = vq_create();
	a->vq[1] = vq_create();
	alone_start(a, config);
}

static void alone_close(struct alone *a)
{
	driver_pair_free(a->p);
	vq_free(a->vq[0]);
	vq_free(a->vq[1]);
	free(a->memory.hva);
}

/* The device writes a frame of len bytes into parts of at most `part`, and says that they are `say`. */
static unsigned alone_put(struct alone *a, const uint8_t *frame, unsigned len, unsigned part,
			  unsigned say)
{
	unsigned n = (len + 12 + part - 1) / part, at = 0;
	struct net_offload off = {.num_buffers = (uint16_t)(say ? say : n)};
	struct vq_buf buf;
	struct iovec iov[4];

	for (unsigned i = 0; i < n; i++) {
		unsigned skip = i ? 0 : 12, bytes = MIN(part - skip, len - at);

		if (vq_pop(a->vq[0], &buf, 1, iov, 4) != 1)
			return i;
		memcpy(iov[0].iov_base, &off, skip);
		memcpy((uint8_t *)iov[0].iov_base + skip, frame + at, bytes);
		at += bytes;
		vq_push(a->vq[0], &buf, skip + bytes);
	}
	vq_flush(a->vq[0]);
	return n;
}

static ssize_t alone_recv(struct alone *a, uint8_t *frame, size_t room)
{
	struct iovec iov[2] = {{frame, room / 3}, {frame + room / 3, room - room / 3}};
	struct net_offload off;

	return driver_pair_recv(a->p, iov, 2, &off);
}

static void fill(uint8_t *frame, unsigned len, unsigned seed)
{
	for (unsigned i = 0; i < len; i++)
		frame[i] = (uint8_t)(i * 7 + i / 251 + seed);
}

static void whole_frames(const struct driver_pair_config *config)
{
	static uint8_t frame[NET_FRAME_MAX], got[NET_FRAME_MAX];
	unsigned part = config->mergeable ? 4096 : NET_FRAME_MAX + 12;
	struct hostnet_counters c = {0};
	struct iovec iov = {frame, 0};
	struct net_frame out = {.iov = &iov, .niov = 1};
	struct net_offload off;
	struct vq_buf buf;
	struct iovec parts[4];
	struct alone a;

	alone_open(&a, config);
	for (unsigned i = 0; i < 1000; i++) {
		unsigned len = 60 + i * 997 % (NET_FRAME_MAX - 60);

		fill(frame, len, i);
		assert_int_equal(alone_recv(&a, got, sizeof(got)), -EAGAIN);
		alone_put(&a, frame, len, part, 0);
		assert_int_equal(alone_recv(&a, got, sizeof(got)), len);
		assert_memory_equal(got, frame, len);
		out.len = len;
		iov.iov_len = len;
		assert_int_equal(driver_pair_send(a.p, &out, 1), 1);
		assert_int_equal(driver_pair_unsent(a.p), 1);
		assert_int_equal(vq_pop(a.vq[1], &buf, 1, parts, 4), 1);
		assert_int_equal(buf.out_len, len + 12);
		memcpy(&off, parts[0].iov_base, 12);
		assert_int_equal(off.num_buffers, 0);
		assert_memory_equal((uint8_t *)parts[0].iov_base + 12, frame, len);
		vq_push(a.vq[1], &buf, 0);
		vq_flush(a.vq[1]);
		assert_int_equal(driver_pair_unsent(a.p), 0);
		if (i % 100 == 99) /* what the device had is forgotten */
			alone_start(&a, config);
	}
	driver_pair_counters(a.p, &c);
	assert_int_equal(c.tx_frames, 1000);
	assert_int_equal(c.rx_frames, 1000);
	assert_int_equal(c.tx_bytes, c.rx_bytes);
	alone_close(&a);
}

static void test_alone(void **state)
{
	for (unsigned i = 0; i < 8; i++) {
		const struct driver_pair_config config = {
			.size = {i & 1 ? 100 : 256, i & 1 ? 7 : 16},
			.packed = i & 1,
			.event_idx = i & 2,
			.mergeable = i & 4,
		};

		whole_frames(&config);
	}
}

/* Frames in more buffers than there are, or fewer; in none; and larger than the reader's room. */
static void test_merge_lies(void **state)
{
	const struct driver_pair_config config = {.size = {64, 64}, .mergeable = true};
	static uint8_t frame[NET_FRAME_MAX], got[NET_FRAME_MAX];
	struct hostnet_counters c = {0};
	struct iovec iov[4];
	struct vq_buf buf;
	struct alone a;

	alone_open(&a, &config);
	fill(frame, 9000, 1);
	alone_put(&a, frame, 9000, 4096, 4); /* one more than there is */
	assert_int_equal(alone_recv(&a, got, sizeof(got)), -EAGAIN);
	alone_put(&a, frame, 100, 4096, 65535);
	assert_int_equal(alone_recv(&a, got, sizeof(got)), -EAGAIN);
	driver_pair_counters(a.p, &c);
	assert_true(c.rx_drops[HOSTNET_DROP_MALFORMED] >= 2);
	alone_put(&a, frame, 9000, 4096, 0);
	assert_int_equal(alone_recv(&a, got, 8999), -EMSGSIZE);
	alone_put(&a, frame, 9000, 4096, 0);
	assert_int_equal(alone_recv(&a, got, 9000), 9000);
	assert_memory_equal(got, frame, 9000);
	/* A buffer that comes back unused is none of that. */
	driver_pair_counters(a.p, &c);
	assert_int_equal(vq_pop(a.vq[0], &buf, 1, iov, 4), 1);
	vq_push(a.vq[0], &buf, 0);
	vq_flush(a.vq[0]);
	alone_put(&a, frame, 60, 4096, 0);
	assert_int_equal(alone_recv(&a, got, sizeof(got)), 60);
	driver_pair_counters(a.p, &c);
	assert_int_equal(c.rx_drops[HOSTNET_DROP_OVERSIZE], 1);
	assert_int_equal(c.rx_frames, 2);
	alone_close(&a);
}

/* call_fd polls readable as long as there may be something, and not for ever. */
static void test_poll(void **state)
{
	const struct driver_pair_config config = {.size = {64, 64}, .event_idx = true};
	uint8_t frame[60] = {0}, got[2048];
	struct pollfd call;
	struct alone a;

	alone_open(&a, &config);
	call = (struct pollfd){driver_pair_call_fd(a.p), POLLIN, 0};
	for (unsigned i = 0; i < 100; i++) {
		assert_int_equal(alone_recv(&a, got, sizeof(got)), -EAGAIN);
		assert_int_equal(poll(&call, 1, 0), 0);
		for (unsigned n = 0; n < 3; n++)
			alone_put(&a, frame, 60, 4096, 0);
		eventfd_write(call.fd, 1); /* for the first of them */
		for (unsigned n = 0; n < 3; n++) {
			assert_int_equal(poll(&call, 1, 0), 1);
			assert_int_equal(alone_recv(&a, got, sizeof(got)), 60);
		}
	}
	alone_close(&a);
}

static void test_renew_refused(void **state)
{
	const struct driver_pair_config big = {.size = {64, DRIVER_PAIR_RING + 1}};
	const struct driver_pair_config config = {.size = {64, 64}}, odd = {.size = {64, 63}};
	struct error err;
	struct alone a;

	alone_open(&a, &config);
	assert_int_equal(driver_pair_renew(a.p, &big, &err), -EINVAL);
	assert_int_equal(driver_pair_renew(a.p, &odd, &err), -EINVAL);
	alone_close(&a);
}

/* What one pair has received goes to another, which gets more behind it, and then uses the buffers. */
static void test_handed_over(void **state)
{
	const struct driver_pair_config config = {.size = {8, 8}, .event_idx = true};
	uint8_t frame[60] = {0}, longest[1 << 17] = {0};
	struct net_offload off[8];
	struct alone old, heir;
	struct iovec iov[8];
	uint32_t len;

	alone_open(&old, &config);
	alone_open(&heir, &config);
	for (uint8_t i = 1; i <= 5; i++) {
		frame[20] = i;
		alone_put(&old, frame, 60, 4096, 0);
	}
	assert_int_equal(driver_pair_borrow(old.p, iov, off, 2), 2);
	driver_pair_give_back(old.p, 1); /* 2 to 5 are left, one of them was lent before */
	assert_int_equal(driver_pair_waiting(old.p), 4);

	assert_int_equal(driver_pair_renew(heir.p, &config, &(struct error){0}), 0);
	for (unsigned i = 0; i < 4; i++) {
		const void *at = driver_pair_frame(old.p, i, &len);

		assert_int_equal(len, 60 + 12);
		assert_int_equal(driver_pair_put(heir.p, at, len), 0);
	}
	assert_int_equal(driver_pair_put(heir.p, longest, sizeof(longest)), -EINVAL);
	assert_int_equal(vq_start(heir.vq[0], driver_pair_ring(heir.p, 0), &VRING_STATE_INIT,
				  driver_pair_memory(heir.p), NULL),
			 0);
	driver_pair_start(heir.p);
	frame[20] = 6;
	alone_put(&heir, frame, 60, 4096, 0);
	for (uint8_t i = 2; i <= 60; i++) {
		assert_true(driver_pair_borrow(heir.p, iov, off, 1) == 1);
		assert_int_equal(iov[0].iov_len, 60);
		assert_int_equal(((uint8_t *)iov[0].iov_base)[20], i);
		driver_pair_give_back(heir.p, 1);
		frame[20] = (uint8_t)(i + 5);
		alone_put(&heir, frame, 60, 4096, 0);
	}
	/* The old one goes on with what it had, if it came to nothing. */
	assert_int_equal(driver_pair_borrow(old.p, iov, off, 8), 4);
	assert_int_equal(((uint8_t *)iov[0].iov_base)[20], 2);
	for (unsigned i = 0; i < 8; i++)
		driver_pair_put(heir.p, frame, 60);
	assert_int_equal(driver_pair_put(heir.p, frame, 60), -ENOSPC);
	alone_close(&old);
	alone_close(&heir);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_each_way),      cmocka_unit_test(test_full),
		cmocka_unit_test(test_held_back),     cmocka_unit_test(test_notify),
		cmocka_unit_test(test_hostile),	      cmocka_unit_test(test_alone),
		cmocka_unit_test(test_merge_lies),    cmocka_unit_test(test_poll),
		cmocka_unit_test(test_renew_refused), cmocka_unit_test(test_handed_over),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
