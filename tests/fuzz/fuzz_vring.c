/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A driver that does anything, against the device side. The input sets the ring up and is then a
 * list of commands: writes to guest memory, and the device's own operations, used as device.h
 * allows. Guest memory is exactly as large as its allocation, so that a step beyond it is seen.
 */
#include "fuzz.h"

#include "mem/dirty_log.h"
#include "vring/device.h"
#include "vring/layout.h"

#define GPA	  0x100000ULL
#define BYTES	  (16 * KIB)
#define TAKEN	  128U
#define IOV	  48U
#define INDIRECTS (12 * KIB) /* where descriptors of tables are written */

struct taken {
	struct vq_buf buf;
	struct iovec iov[IOV];
};

struct fuzz {
	struct fuzz_input in;
	struct vring_config cfg;
	uint8_t *mem;
	struct mem_table *table;
	struct vq *vq;
	struct taken taken[TAKEN];
	unsigned count; /* of taken, in the order popped */
	unsigned tail;	/* of those, the last that are adjacent in the ring */
	bool pushed;
};

static void check_buf(struct fuzz *f, const struct vq_buf *buf)
{
	uint64_t out = 0, in = 0;
	uint8_t sum = 0;

	for (unsigned i = 0; i < buf->out_n + buf->in_n; i++) {
		uint8_t *at = buf->iov[i].iov_base;
		size_t len = buf->iov[i].iov_len;

		fuzz_assert(len && at >= f->mem && len <= (size_t)(f->mem + BYTES - at));
		if (i < buf->out_n) {
			out += len;
			for (size_t k = 0; k < len; k += 512)
				sum ^= at[k];
			sum ^= at[len - 1];
		} else {
			in += len;
		}
	}
	fuzz_assert(out == buf->out_len && in == buf->in_len);
	fuzz_assert(buf->slots && buf->slots <= f->cfg.size);
	fuzz_assert(f->cfg.packed || buf->id < f->cfg.size);
	f->pushed ^= sum & 1; /* so that the reads stay */
}

static void do_pop(struct fuzz *f)
{
	uint8_t arg = fuzz_u8(&f->in);
	struct vq_buf bufs[16];
	struct iovec iov[IOV];
	unsigned max = MIN(arg & 15, TAKEN - f->count), room = (arg >> 4) * 3 + 1;
	int n = vq_pop(f->vq, bufs, max, iov, room);
	unsigned parts = 0;

	fuzz_assert(n <= (int)max && (n >= 0 || vq_fault(f->vq)));
	for (int i = 0; i < n; i++) {
		struct taken *t = &f->taken[f->count++];

		check_buf(f, &bufs[i]);
		fuzz_assert(bufs[i].iov == iov + parts);
		parts += bufs[i].out_n + bufs[i].in_n;
		fuzz_assert(parts <= room);
		t->buf = bufs[i];
		memcpy(t->iov, bufs[i].iov, (bufs[i].out_n + bufs[i].in_n) * sizeof(struct iovec));
		t->buf.iov = t->iov;
		f->tail++;
	}
}

static void push_one(struct fuzz *f, unsigned which, uint32_t written)
{
	struct taken *t = &f->taken[which];
	uint32_t left = written;

	t->buf.iov = t->iov;
	for (unsigned i = t->buf.out_n; left && i < t->buf.out_n + t->buf.in_n; i++) {
		size_t n = MIN(left, t->iov[i].iov_len);

		memset(t->iov[i].iov_base, 0x5a, n); /* the ring, if the driver says so */
		left -= (uint32_t)n;
	}
	vq_push(f->vq, &t->buf, written);
	if (which >= f->count - f->tail)
		f->tail = f->count - which - 1;
	memmove(t, t + 1, (f->count - which - 1) * sizeof(*t));
	f->count--;
}

static void do_push(struct fuzz *f)
{
	uint8_t arg = fuzz_u8(&f->in);

	if (f->count)
		push_one(f, f->cfg.in_order ? 0 : arg % f->count, arg & 0x80 ? UINT32_MAX : arg);
}

static void do_unpop(struct fuzz *f)
{
	unsigned n = fuzz_u8(&f->in) % (f->tail + 1);
	struct vq_buf bufs[TAKEN];

	for (unsigned i = 0; i < n; i++)
		bufs[i] = f->taken[f->count - n + i].buf;
	vq_unpop(f->vq, bufs, n);
	f->count -= n;
	f->tail -= n;
}

static void restart(struct fuzz *f, const struct vring_state *state)
{
	int ret = vq_start(f->vq, &f->cfg, state, f->table, NULL);

	if (ret)
		fuzz_assert(vq_pop(f->vq, NULL, 1, NULL, 1) == 0);
	f->count = f->tail = 0;
}

static void do_move(struct fuzz *f)
{
	struct vring_state state;

	while (f->count > f->tail)
		push_one(f, 0, 0);
	vq_stop(f->vq, &state);
	if (vq_fault(f->vq))
		return;
	vq_free(f->vq);
	f->vq = vq_create();
	fuzz_assert(!f->cfg.packed ||
		    (state.avail_idx < f->cfg.size && state.used_idx < f->cfg.size));
	restart(f, &state);
}

static void do_state(struct fuzz *f)
{
	uint8_t wraps = fuzz_u8(&f->in);
	struct vring_state state = {.avail_wrap = wraps & 1, .used_wrap = wraps & 2};

	state.avail_idx = fuzz_u16(&f->in);
	state.used_idx = (uint16_t)(state.avail_idx - (wraps >> 2));
	restart(f, &state);
}

/* A descriptor that has a chance: 6 bytes, in the ring or in a table. */
static void do_desc(struct fuzz *f)
{
	uint8_t where = fuzz_u8(&f->in), flags = fuzz_u8(&f->in), link = fuzz_u8(&f->in);
	uint16_t addr = fuzz_u16(&f->in);
	uint16_t len = fuzz_u8(&f->in);
	struct ring_desc d = {.addr = GPA + addr % (BYTES + 64)};
	uint8_t *at = f->mem;

	if (where & 0x80)
		at += INDIRECTS;
	else if (f->cfg.desc == GPA)
		where = (uint8_t)(where % f->cfg.size);
	if (flags & DESC_INDIRECT) {
		d.addr = GPA + INDIRECTS + (addr & 7) * 16;
		len = (uint16_t)(len % 16 * 16);
	}
	d.meta = f->cfg.packed ? packed_meta(len, link, (flags & 7) | packed_avail_flags(flags & 8))
			       : split_meta(len, flags & 7, link % (f->cfg.size + 1));
	memcpy(at + (where & 0x7f) * 16, &d, sizeof(d));
}

static void do_avail(struct fuzz *f)
{
	uint8_t head = fuzz_u8(&f->in);
	uint64_t at = f->cfg.driver - GPA;
	uint16_t idx;

	if (f->cfg.packed || at + vring_driver_bytes(&f->cfg) > BYTES)
		return;
	memcpy(&idx, f->mem + at + 2, 2);
	store_le16(f->mem + at + 4 + idx % f->cfg.size * 2, head % (f->cfg.size + 1));
	store_le16(f->mem + at + 2, (uint16_t)(idx + 1));
}

static void do_write(struct fuzz *f)
{
	fuzz_scribble(&f->in, f->mem, BYTES);
}

static void do_memory(struct fuzz *f)
{
	unsigned count = f->table->count;

	f->table->count = fuzz_u8(&f->in) & 1;
	vq_set_memory(f->vq, f->table);
	f->table->count = count;
	vq_set_memory(f->vq, f->table);
}

static void (*const commands[])(struct fuzz *) = {
	do_pop, do_push, do_unpop, do_move, do_state, do_desc, do_avail, do_write, do_memory,
};

static void run(struct fuzz *f)
{
	while (f->in.left) {
		uint8_t c = fuzz_u8(&f->in) & 15;

		if (c < ARRAY_SIZE(commands))
			commands[c](f);
		else if (c == 9)
			vq_flush(f->vq);
		else if (c == 10)
			vq_flush_quiet(f->vq);
		else if (c == 11)
			vq_should_call(f->vq);
		else if (c == 12)
			vq_enable_kicks(f->vq);
		else if (c == 13)
			vq_disable_kicks(f->vq);
		else if (c == 14)
			do_desc(f), do_avail(f);
		else
			vq_available(f->vq);
	}
	vq_stop(f->vq, NULL);
}

static void configure(struct fuzz *f)
{
	uint8_t flags = fuzz_u8(&f->in), size = fuzz_u8(&f->in);
	struct vring_config *c = &f->cfg;

	c->packed = flags & 1;
	c->event_idx = flags & 2;
	c->indirect = flags & 4;
	c->in_order = flags & 8;
	c->size = c->packed ? 1U + size % 64 : 1U << size % 7;
	c->desc = GPA;
	c->driver = ALIGN_UP(GPA + vring_desc_bytes(c), 4);
	c->device = ALIGN_UP(c->driver + vring_driver_bytes(c), 4);
	if (flags & 0x10) { /* or anywhere, at worst not in memory */
		c->desc = GPA + fuzz_u16(&f->in);
		c->driver = GPA + fuzz_u16(&f->in);
		c->device = GPA + fuzz_u16(&f->in);
	}
	if (flags & 0x20)
		f->table->dirty = dirty_log_create(GPA + BYTES, NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct vring_state init = VRING_STATE_INIT;
	struct fuzz *f = calloc(1, sizeof(*f));
	struct mem_region region = {.gpa = GPA, .size = BYTES, .fd = -1};

	fuzz_assert(f && (f->mem = aligned_alloc(4096, BYTES)));
	memset(f->mem, 0, BYTES);
	region.hva = f->mem;
	f->in = (struct fuzz_input){data, size};
	fuzz_assert(!mem_table_new(&region, 1, &f->table, NULL));
	fuzz_assert((f->vq = vq_create()));
	configure(f);
	restart(f, &init);
	run(f);
	vq_free(f->vq);
	dirty_log_free(f->table->dirty);
	mem_table_free(f->table);
	free(f->mem);
	free(f);
	return 0;
}
