/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_INPROC_BED_H
#define TESTS_INPROC_BED_H

/*
 * A guest's driver for the in-process plane: guest memory, queue pairs with the driver side of
 * their rings, kick and call eventfds, and a fake back-end. Each ring has as many slots for buffers
 * as entries, of SLOT bytes.
 */
#include "fake_hostnet.h"

#include "base/iov.h"
#include "dataplane/inprocess.h"
#include "net/ether.h"
#include "vring/driver.h"

#include <poll.h>

#define BED_PAIRS 4
#define BED_RAM	  (160 * MIB)
#define BED_SIZE  256 /* the largest ring */
#define SLOT	  (72 * 1024)

static const uint8_t bed_mac[6] = {0x52, 0x54, 0, 0xaa, 0xbb, 0xcc};

/* What is tried with every kind of ring. */
struct variant {
	const char *name;
	bool packed, event_idx, in_order, indirect;
};

static const struct variant bed_variants[] = {
	{"split", false, true, false, false},
	{"packed", true, true, false, false},
	{"split, flags, in order, indirect", false, false, true, true},
	{"packed, flags, in order, indirect", true, false, true, true},
};

struct bed_ring {
	struct plane_queue pq;
	struct vdrv *drv;
	unsigned size;
	uint64_t slots;	 /* gpa */
	uint64_t tables; /* gpa of indirect tables, 1 KiB each */
	unsigned free[BED_SIZE];
	unsigned nfree;
	uint32_t len[BED_SIZE]; /* of the buffer in each slot */
};

struct bed {
	struct variant v;
	struct guest_mem *mem;
	uint8_t *ram; /* the guest's own view of it: no table is looked at */
	uint64_t brk;
	unsigned npairs;
	struct bed_ring rings[2 * BED_PAIRS];
	struct plane_queue pqs[2 * BED_PAIRS];
	struct plane_net_config config;
	struct virtio_features features;
	struct plane_events events;
	struct loop *loop;
	struct wire *wire;
	struct fake fake;
	struct plane *plane;
	unsigned hdr_len;
	unsigned broken; /* events told */
	unsigned broken_queue;
	enum vring_fault fault;
};

static inline void *bed_at(struct bed *bed, uint64_t gpa, uint64_t len)
{
	assert_true(len <= BED_RAM && gpa <= BED_RAM - len);
	return bed->ram + gpa;
}

static inline uint64_t bed_alloc(struct bed *bed, uint64_t bytes)
{
	uint64_t gpa = bed->brk;

	bed->brk = ALIGN_UP(bed->brk + bytes, 4096);
	assert_true(bed->brk <= BED_RAM);
	return gpa;
}

static inline void bed_clear(struct bed *bed, uint64_t gpa, uint64_t len)
{
	memset(bed_at(bed, gpa, len), 0, len);
}

/* An empty ring of size entries, at most what it had the first time. */
static inline void bed_ring_init(struct bed *bed, struct bed_ring *r, unsigned size)
{
	struct vring_config *c = &r->pq.cfg;
	struct error err;

	if (!r->drv) {
		*c = (struct vring_config){.size = size};
		c->desc = bed_alloc(bed, vring_desc_bytes(c));
		c->driver = bed_alloc(bed, vring_driver_bytes(c));
		c->device = bed_alloc(bed, vring_device_bytes(c));
		r->slots = bed_alloc(bed, (uint64_t)size * SLOT);
		r->tables = bed_alloc(bed, (uint64_t)size * 1024);
		r->drv = vdrv_create();
		r->pq.kick_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
		r->pq.call_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	}
	c->size = size;
	c->packed = bed->v.packed;
	c->event_idx = bed->v.event_idx;
	c->in_order = bed->v.in_order;
	c->indirect = bed->v.indirect;
	bed_clear(bed, c->desc, vring_desc_bytes(c));
	bed_clear(bed, c->driver, vring_driver_bytes(c));
	bed_clear(bed, c->device, vring_device_bytes(c));
	assert_int_equal(vdrv_start(r->drv, c, guest_mem_table(bed->mem), &err), 0);
	r->size = size;
	r->pq.enabled = true;
	r->pq.state = VRING_STATE_INIT;
	r->nfree = size;
	for (unsigned i = 0; i < size; i++)
		r->free[i] = size - 1 - i;
}

static inline void bed_queue_broken(void *opaque, unsigned queue, enum vring_fault fault)
{
	struct bed *bed = opaque;

	bed->broken++;
	bed->broken_queue = queue;
	bed->fault = fault;
}

static inline void bed_feature(struct bed *bed, unsigned bit, bool on)
{
	features_set(&bed->features, bit, on);
}

/* Everything but the plane: change config and features, then bed_start(). */
static inline void bed_init(struct bed *bed, const struct variant *v, unsigned npairs,
			    unsigned size)
{
	static const uint8_t bits[] = {
		VIRTIO_F_VERSION_1,	 VIRTIO_NET_F_MRG_RXBUF, VIRTIO_NET_F_CSUM,
		VIRTIO_NET_F_GUEST_CSUM, VIRTIO_NET_F_HOST_TSO4, VIRTIO_NET_F_HOST_USO,
		VIRTIO_NET_F_GUEST_TSO4,
	};
	struct error err;

	memset(bed, 0, sizeof(*bed));
	bed->v = *v;
	bed->npairs = npairs;
	bed->mem = guest_mem_create(&err);
	assert_non_null(bed->mem);
	assert_int_equal(guest_mem_add_ram(bed->mem, "ram", 0, BED_RAM, NULL, &err), 0);
	bed->ram = mem_translate(guest_mem_table(bed->mem), 0, BED_RAM, MEM_WRITE);
	bed->brk = 4096;
	bed->hdr_len = HDR_LEN;
	for (unsigned i = 0; i < 2 * npairs; i++)
		bed_ring_init(bed, &bed->rings[i], size);
	rx_filter_init(&bed->config.filter, bed_mac);
	bed->config.filter.promisc = true;
	bed->config.active_pairs = npairs;
	bed->config.link_up = true;
	bed->config.guest_offloads = NET_OFFLOAD_CSUM | NET_OFFLOAD_GSO;
	bed->events = (struct plane_events){.queue_broken = bed_queue_broken, .opaque = bed};
	for (unsigned i = 0; i < ARRAY_SIZE(bits); i++)
		bed_feature(bed, bits[i], true);
	bed->wire = wire_new();
}

static inline void bed_open(struct bed *bed, struct fake *fake, const struct options *opts,
			    bool threads, struct plane **out)
{
	struct plane_params params = {.id = "net0",
				      .queue_pairs = bed->npairs,
				      .mac = bed_mac,
				      .mem = bed->mem,
				      .loop = bed->loop,
				      .events = &bed->events};
	struct error err = {0};

	fake_init(fake, bed->wire, bed->npairs);
	if (inproc_new(&fake->hn, opts, &params, threads, out, &err))
		fail_msg("%s", err.text);
}

static inline void bed_start_plane(struct bed *bed, struct plane *plane)
{
	struct plane_start start = {.features = bed->features,
				    .queues = bed->pqs,
				    .nqueues = 2 * bed->npairs,
				    .config = &bed->config};
	struct error err = {0};

	for (unsigned i = 0; i < 2 * bed->npairs; i++)
		bed->pqs[i] = bed->rings[i].pq;
	if (features_has(&bed->features, VIRTIO_NET_F_HASH_REPORT))
		bed->hdr_len = HDR_LEN_HASH;
	if (plane->ops->start(plane, &start, &err))
		fail_msg("%s", err.text);
}

static inline void bed_stop_plane(struct bed *bed, struct plane *plane)
{
	plane->ops->stop(plane, bed->pqs, 2 * bed->npairs);
	for (unsigned i = 0; i < 2 * bed->npairs; i++)
		bed->rings[i].pq.state = bed->pqs[i].state;
}

/* A plane without threads, for bed_step(). */
static inline void bed_start(struct bed *bed)
{
	bed_open(bed, &bed->fake, NULL, false, &bed->plane);
	bed_start_plane(bed, bed->plane);
}

static inline void bed_configure(struct bed *bed)
{
	assert_int_equal(bed->plane->ops->configure(bed->plane, &bed->config), 0);
}

static inline void bed_done(struct bed *bed)
{
	if (bed->plane) {
		bed->plane->ops->close(bed->plane);
		assert_true(bed->fake.closed || bed->fake.hn.ops != &fake_ops);
	}
	for (unsigned i = 0; i < 2 * bed->npairs; i++) {
		vdrv_free(bed->rings[i].drv);
		close(bed->rings[i].pq.kick_fd);
		close(bed->rings[i].pq.call_fd);
	}
	wire_free(bed->wire);
	guest_mem_destroy(bed->mem);
}

/* Until there is nothing more to do. */
static inline void bed_step(struct bed *bed)
{
	struct inproc *p = container_of(bed->plane, struct inproc, plane);
	unsigned found, rounds = 0;

	do {
		found = 0;
		for (unsigned i = 0; i < p->npairs; i++)
			found += inproc_step(p->pairs[i]);
	} while (found && ++rounds < 10000);
	assert_true(rounds < 10000);
}

static inline struct plane_queue_counters bed_counters(struct bed *bed, unsigned queue)
{
	struct plane_queue_counters c;

	bed->plane->ops->counters(bed->plane, queue, &c);
	return c;
}

static inline uint64_t drops_of(const struct plane_queue_counters *c)
{
	uint64_t n = 0;

	for (unsigned i = 0; i < PLANE_DROP_COUNT; i++)
		n += c->drops[i];
	return n;
}

/* in = out + drops, and nothing but `why` was dropped. */
static inline void assert_counted(struct bed *bed, unsigned queue, uint64_t in, uint64_t out,
				  enum plane_drop why)
{
	struct plane_queue_counters c = bed_counters(bed, queue);

	assert_int_equal(c.frames_in, in);
	assert_int_equal(c.frames_out, out);
	assert_int_equal(drops_of(&c), in - out);
	if (why < PLANE_DROP_COUNT)
		assert_int_equal(c.drops[why], in - out);
}

static inline void bed_signal(int fd)
{
	uint64_t one = 1;

	if (write(fd, &one, sizeof(one)) < 0)
		abort();
}

/* How often an eventfd was signalled since the last time this was asked. */
static inline uint64_t bed_signals(int fd)
{
	uint64_t n = 0;

	return read(fd, &n, sizeof(n)) == sizeof(n) ? n : 0;
}

static inline void bed_kick(struct bed_ring *r)
{
	if (vdrv_publish(r->drv))
		bed_signal(r->pq.kick_fd);
}

/*
 * Adds the buffer in a slot, cut into parts of the sizes in cuts (0 ends them), the rest being
 * the last part.
 */
static inline int bed_add(struct bed *bed, struct bed_ring *r, unsigned slot, uint32_t len,
			  const uint32_t *cuts, bool in)
{
	struct vdrv_sg sg[64];
	uint64_t gpa = r->slots + (uint64_t)slot * SLOT;
	unsigned n = 0;
	uint32_t at = 0;

	for (; cuts && cuts[n] && at + cuts[n] < len; n++) {
		sg[n] = (struct vdrv_sg){gpa + at, cuts[n]};
		at += cuts[n];
	}
	sg[n++] = (struct vdrv_sg){gpa + at, len - at};
	r->len[slot] = len;
	return vdrv_add(r->drv, sg, in ? 0 : n, in ? n : 0, bed->v.indirect && n > 1,
			r->tables + slot * 1024ULL, (void *)(uintptr_t)(slot + 1));
}

/* Sends raw bytes (header included); false when the ring is full. */
static inline bool guest_send_raw(struct bed *bed, unsigned queue, const void *data, uint32_t len,
				  const uint32_t *cuts)
{
	struct bed_ring *r = &bed->rings[queue];
	unsigned slot;

	if (!r->nfree)
		return false;
	slot = r->free[r->nfree - 1];
	memcpy(bed_at(bed, r->slots + (uint64_t)slot * SLOT, SLOT), data, len);
	if (bed_add(bed, r, slot, len, cuts, false))
		return false;
	r->nfree--;
	bed_kick(r);
	return true;
}

static inline bool guest_send(struct bed *bed, unsigned queue, const struct net_offload *off,
			      const void *data, uint32_t len, const uint32_t *cuts)
{
	static _Thread_local uint8_t all[SLOT];

	memset(all, 0, bed->hdr_len);
	if (off)
		memcpy(all, off, sizeof(*off));
	memcpy(all + bed->hdr_len, data, len);
	return guest_send_raw(bed, queue, all, bed->hdr_len + len, cuts);
}

/* Takes completed transmit buffers back; how many. */
static inline unsigned guest_reclaim(struct bed *bed, unsigned queue)
{
	struct bed_ring *r = &bed->rings[queue];
	unsigned n = 0;
	uint32_t len;
	void *cookie;

	while (vdrv_get(r->drv, &cookie, &len) == 1) {
		r->free[r->nfree++] = (unsigned)(uintptr_t)cookie - 1;
		n++;
	}
	return n;
}

/* Posts up to n receive buffers; how many. */
static inline unsigned guest_post(struct bed *bed, unsigned queue, unsigned n, uint32_t len,
				  const uint32_t *cuts)
{
	struct bed_ring *r = &bed->rings[queue];
	unsigned i;

	for (i = 0; i < n && r->nfree; i++) {
		if (bed_add(bed, r, r->free[r->nfree - 1], len, cuts, true))
			break;
		r->nfree--;
	}
	if (i)
		bed_kick(r);
	return i;
}

struct guest_frame {
	struct net_offload off;
	uint32_t hash;
	uint16_t report;
	uint32_t len;
	unsigned buffers;
	uint8_t data[2 * SLOT];
};

/* One used receive buffer, appended to f; false if there is none. */
static inline bool guest_take(struct bed *bed, struct bed_ring *r, struct guest_frame *f,
			      uint32_t skip)
{
	uint32_t len;
	void *cookie;
	unsigned slot;
	uint8_t *buf;

	if (vdrv_get(r->drv, &cookie, &len) != 1)
		return false;
	slot = (unsigned)(uintptr_t)cookie - 1;
	buf = bed_at(bed, r->slots + (uint64_t)slot * SLOT, SLOT);
	if (len < skip || len > r->len[slot] || f->len + len > sizeof(f->data))
		fail_msg("%u bytes in a buffer of %u", len, r->len[slot]);
	memcpy(f->data + f->len, buf + skip, len - skip);
	if (skip)
		memcpy(&f->off, buf, sizeof(f->off));
	f->hash = skip == 20 ? load_le32(buf + 12) : f->hash;
	f->report = skip == 20 ? load_le16(buf + 16) : f->report;
	f->len += len - skip;
	r->free[r->nfree++] = slot;
	return true;
}

/* Receives one frame; false if there is none. */
static inline bool guest_recv(struct bed *bed, unsigned queue, struct guest_frame *f)
{
	struct bed_ring *r = &bed->rings[queue];

	f->len = 0;
	if (!guest_take(bed, r, f, bed->hdr_len))
		return false;
	f->buffers = le16toh(f->off.num_buffers);
	assert_true(f->buffers >= 1);
	for (unsigned i = 1; i < f->buffers; i++)
		assert_true(guest_take(bed, r, f, 0));
	return true;
}

/* A frame to mac of len bytes, whose payload is a function of seed. */
static inline void make_frame(uint8_t *frame, uint32_t len, const uint8_t mac[6], uint32_t seed)
{
	for (uint32_t i = 0; i < len; i++)
		frame[i] = (uint8_t)(seed * 31 + i * 7 + (i >> 8));
	memcpy(frame, mac, MIN(len, 6u));
	if (len >= 20) {
		store_be16(frame + 12, 0x88b5);
		store_le32(frame + 14, seed);
	}
}

#endif
