/* SPDX-License-Identifier: Apache-2.0 */
#include "switch_bed.h"

#include "net/ether.h"
#include "switch/worker.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

static struct bed_port *opening; /* the one that bed_open() is about */

static void called(void *opaque)
{
	unsigned *calls = opaque;

	__atomic_fetch_add(calls, 1, __ATOMIC_RELAXED);
}

static struct vring_config start_ring(struct bed_port *bed, struct vq **vq, struct vdrv **drv,
				      uint64_t *at)
{
	const struct bed_setup *s = &bed->setup;
	struct vring_state state = VRING_STATE_INIT;
	struct vring_config cfg = {
		.size = s->ring ? s->ring : 256,
		.packed = s->packed,
		.event_idx = s->event_idx,
		.in_order = s->in_order,
		.indirect = true,
	};
	struct error err;

	cfg.desc = *at;
	cfg.driver = ALIGN_UP(cfg.desc + vring_desc_bytes(&cfg), 4096);
	cfg.device = ALIGN_UP(cfg.driver + vring_driver_bytes(&cfg), 4096);
	*at = ALIGN_UP(cfg.device + vring_device_bytes(&cfg), 4096);
	*vq = vq_create();
	*drv = vdrv_create();
	assert_int_equal(vdrv_start(*drv, &cfg, bed->table, &err), 0);
	assert_int_equal(vq_start(*vq, &cfg, &state, bed->table, &err), 0);
	return cfg;
}

static unsigned rx_len(const struct bed_port *bed)
{
	return bed->setup.rx_len ? bed->setup.rx_len : 2048;
}

static void make_pair(struct bed_port *bed, struct bed_pair *p, uint64_t *at)
{
	p->in_cfg = start_ring(bed, &p->in, &p->tx, at);
	p->out_cfg = start_ring(bed, &p->out, &p->rx, at);
	p->kick_fd = bed->setup.kicks ? eventfd(0, EFD_NONBLOCK) : -1;
	p->tx_base = *at;
	*at += (uint64_t)BED_TX_BUFS * BED_TX_LEN;
	p->rx_base = *at;
	*at = ALIGN_UP(*at + (uint64_t)BED_RX_BUFS * rx_len(bed), 4096);
	assert_true(*at <= BED_GPA + BED_BYTES);
	for (unsigned i = 0; i < BED_TX_BUFS; i++)
		p->tx_free[p->ntx_free++] = BED_TX_BUFS - 1 - i;
}

void bed_post(struct bed_port *bed, unsigned pair, unsigned first, unsigned n)
{
	unsigned parts = MAX(bed->setup.rx_parts, 1u), len = rx_len(bed) / parts;
	struct bed_pair *p = &bed->pairs[pair];

	for (unsigned i = first; i < first + n; i++) {
		struct vdrv_sg sg[16];

		for (unsigned k = 0; k < parts; k++)
			sg[k] = (struct vdrv_sg){p->rx_base + (uint64_t)i * rx_len(bed) + k * len,
						 k == parts - 1 ? rx_len(bed) - k * len : len};
		if (vdrv_add(p->rx, sg, 0, parts, false, 0, (void *)(uintptr_t)(i + 1)))
			break;
	}
	vdrv_publish(p->rx);
}

static int bed_open(struct sw_port *port, const struct options *opts, struct error *err)
{
	struct bed_port *bed = opening;
	unsigned pairs = MAX(bed->setup.pairs, 1u);

	bed->port = port;
	port->impl = bed;
	port->mergeable = bed->setup.mergeable;
	port->hdr_len = bed->setup.legacy ? SW_HDR_LEGACY : SW_HDR_LEN;
	port->offloads_from = port->offloads_to = bed->setup.offloads;
	assert_int_equal(sw_port_pairs(port, pairs), 0);
	for (unsigned i = 0; i < pairs; i++) {
		struct bed_pair *p = &bed->pairs[i];
		struct sw_ring in = {
			.vq = p->in, .kick_fd = p->kick_fd, .opaque = &p->calls_in, .call = called};
		struct sw_ring out = {
			.vq = p->out, .kick_fd = -1, .opaque = &p->calls_out, .call = called};

		p->ring_in = in;
		p->ring_out = out;
		assert_int_equal(sw_out_start(port, i, &out), 0);
		assert_int_equal(sw_in_start(port, i, &in), 0);
	}
	return 0;
}

static void bed_close(struct sw_port *port)
{
}

static const struct option_key no_keys[] = {{NULL}};
static const struct port_ops bed_ops = {
	.name = "bed", .help = "", .keys = no_keys, .open = bed_open, .close = bed_close};

struct bed_port *bed_add(struct sw *sw, const char *options, const struct bed_setup *setup)
{
	struct bed_port *bed = calloc(1, sizeof(*bed));
	struct mem_region region = {.gpa = BED_GPA, .size = BED_BYTES, .fd = -1};
	uint64_t at = BED_GPA;
	struct error err = {0};

	bed->setup = setup ? *setup : (struct bed_setup){0};
	bed->mem =
		mmap(NULL, BED_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	assert_ptr_not_equal(bed->mem, MAP_FAILED);
	region.hva = bed->mem;
	assert_int_equal(mem_table_new(&region, 1, &bed->table, &err), 0);
	for (unsigned i = 0; i < MAX(bed->setup.pairs, 1u); i++) {
		make_pair(bed, &bed->pairs[i], &at);
		if (bed->setup.rx_bufs != BED_NO_RX)
			bed_post(bed, i, 0, bed->setup.rx_bufs ? bed->setup.rx_bufs : BED_RX_BUFS);
	}
	opening = bed;
	if (sw_add_port_of(sw, &bed_ops, options, NULL, &err))
		fail_msg("%s", err.text);
	return bed;
}

void bed_free(struct bed_port *bed)
{
	for (unsigned i = 0; i < BED_PAIRS; i++) {
		if (bed->pairs[i].in && bed->pairs[i].kick_fd >= 0)
			close(bed->pairs[i].kick_fd);
		vq_free(bed->pairs[i].in);
		vq_free(bed->pairs[i].out);
		if (bed->pairs[i].tx)
			vdrv_free(bed->pairs[i].tx);
		if (bed->pairs[i].rx)
			vdrv_free(bed->pairs[i].rx);
	}
	munmap(bed->mem, BED_BYTES);
	mem_table_free(bed->table);
	free(bed);
}

void bed_remove(struct bed_port *bed)
{
	sw_remove_port(bed->port);
	bed_free(bed);
}

struct sw *bed_switch(unsigned workers, bool threads)
{
	struct sw_options options;
	struct error err = {0};
	struct sw *sw;

	sw_options_init(&options);
	options.nworkers = workers;
	options.threads = threads;
	options.retry_us = 0;
	sw = sw_create(&options, NULL, &err);
	if (!sw)
		fail_msg("%s", err.text);
	return sw;
}

uint8_t *bed_tx_frame(struct bed_port *bed, unsigned pair, unsigned n)
{
	struct bed_pair *p = &bed->pairs[pair];

	return bed->mem + (p->tx_base - BED_GPA) + n * BED_TX_LEN + bed->port->hdr_len;
}

/* What the switch has finished with is free again. */
static void reclaim(struct bed_pair *p)
{
	void *cookie;
	uint32_t len;

	while (vdrv_get(p->tx, &cookie, &len) == 1) {
		unsigned n = (unsigned)(uintptr_t)cookie - 1;

		for (unsigned k = n >> 16; k; k--)
			p->tx_free[p->ntx_free++] = (n & 0xffff) + k;
		p->tx_free[p->ntx_free++] = n & 0xffff;
	}
}

int bed_add_frame(struct bed_port *bed, unsigned pair, const void *frame, unsigned len,
		  const struct net_offload *off)
{
	static const struct net_offload nothing;
	struct bed_pair *p = &bed->pairs[pair];
	unsigned hdr = bed->port->hdr_len, parts = MAX(bed->setup.tx_parts, 1u), n = 0, buf;
	unsigned more = (hdr + len - 1) / BED_TX_LEN, total = hdr + len;
	struct vdrv_sg sg[64];
	uint8_t *at;

	reclaim(p);
	if (p->ntx_free <= more)
		return -ENOSPC;
	if (more) { /* a large frame: the buffers behind each other; for tests that send few */
		p->ntx_free = 0;
		for (unsigned i = 0; i < BED_TX_BUFS; i++)
			p->tx_free[p->ntx_free++] = BED_TX_BUFS - 1 - i;
		p->ntx_free -= more;
		buf = 0;
		p->ntx_free--;
	} else {
		buf = p->tx_free[--p->ntx_free];
	}
	at = bed->mem + (p->tx_base - BED_GPA) + buf * BED_TX_LEN;
	memcpy(at, off ? off : &nothing, hdr);
	memcpy(at + hdr, frame, len);
	for (unsigned done = 0; done < total; n++) {
		unsigned part =
			n + 1 == parts ? total - done : MIN(total - done, total / parts + 1);

		sg[n] = (struct vdrv_sg){p->tx_base + buf * BED_TX_LEN + done, part};
		done += part;
	}
	return vdrv_add(p->tx, sg, n, 0, false, 0, (void *)(uintptr_t)((more << 16 | buf) + 1));
}

void bed_publish(struct bed_port *bed, unsigned pair)
{
	if (vdrv_publish(bed->pairs[pair].tx) && bed->pairs[pair].kick_fd >= 0)
		eventfd_write(bed->pairs[pair].kick_fd, 1);
}

int bed_send(struct bed_port *bed, unsigned pair, const void *frame, unsigned len,
	     const struct net_offload *off)
{
	int ret = bed_add_frame(bed, pair, frame, len, off);

	if (!ret)
		bed_publish(bed, pair);
	return ret;
}

unsigned bed_recv(struct bed_port *bed, unsigned pair, void *frame, struct net_offload *off)
{
	struct bed_pair *p = &bed->pairs[pair];
	unsigned hdr = bed->port->hdr_len, total = 0, want = 1;
	struct net_offload h = {0};

	for (unsigned i = 0; i < want; i++) {
		const uint8_t *at;
		void *cookie;
		uint32_t len, skip = i ? 0 : hdr;
		unsigned buf;

		if (vdrv_get(p->rx, &cookie, &len) != 1) {
			assert_int_equal(i, 0); /* buffers of one frame come together */
			return 0;
		}
		buf = (unsigned)(uintptr_t)cookie - 1;
		at = bed->mem + (p->rx_base - BED_GPA) + (uint64_t)buf * rx_len(bed);
		assert_true(len >= skip);
		if (!i) {
			memcpy(&h, at, hdr);
			want = hdr == SW_HDR_LEN ? h.num_buffers : 1;
			assert_true(want >= 1);
		}
		memcpy((uint8_t *)frame + total, at + skip, len - skip);
		total += len - skip;
		bed_post(bed, pair, buf, 1);
	}
	if (off)
		*off = h;
	return total;
}

uint64_t bed_drops(const struct sw_in *in)
{
	uint64_t sum = 0;

	for (unsigned i = 0; i < SW_DROP_COUNT; i++)
		sum += counted(&in->c.drops[i]);
	return sum;
}

void bed_check_asleep(struct sw *sw)
{
	struct sw_worker_stats before, after;

	for (unsigned i = 0; i < PATIENCE_S * 10; i++) {
		sw_worker_read(sw_worker_at(sw, 0), &before);
		usleep(100000);
		sw_worker_read(sw_worker_at(sw, 0), &after);
		if (before.steps == after.steps)
			return;
	}
	fail_msg("the worker does not sleep");
}

void bed_check_balance(struct sw *sw)
{
	uint64_t forwarded = 0, out = 0;

	for (unsigned i = 0; i < SW_PORTS_MAX; i++) {
		struct sw_port *port = sw_port_at(sw, i);

		for (unsigned p = 0; port && p < port->pairs; p++) {
			const struct sw_in *in = port->in[p];

			assert_int_equal(counted(&in->c.frames) + counted(&in->c.extra),
					 counted(&in->c.forwarded) + bed_drops(in));
			forwarded += counted(&in->c.forwarded);
			out += counted(&port->out[p]->c.frames);
		}
	}
	assert_int_equal(forwarded, out);
}

void bed_frame(uint8_t *frame, unsigned len, unsigned dst, unsigned src, unsigned mark)
{
	const uint8_t macs[12] = {2, 0, 0, 0, (uint8_t)(dst >> 8), (uint8_t)dst,
				  2, 0, 0, 0, (uint8_t)(src >> 8), (uint8_t)src};

	for (unsigned i = 14; i < len; i++)
		frame[i] = (uint8_t)(mark + i * 7);
	memcpy(frame, macs, 12);
	if (dst == 0xffff)
		memset(frame, 0xff, 6);
	store_be16(frame + 12, 0x88b5);
}
