/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A device that does anything, against the driver side. What comes back must be out, must not come
 * back twice, and cannot be longer than it is.
 */
#include "fuzz.h"

#include "vring/driver.h"
#include "vring/layout.h"

#define GPA   0x100000ULL
#define BYTES (16 * KIB)
#define BUFS  64U

struct buf {
	bool out;
	uint32_t in_len;
	unsigned slots;
};

struct fuzz {
	struct fuzz_input in;
	struct vring_config cfg;
	uint8_t *mem;
	struct mem_table *table;
	struct vdrv *drv;
	struct buf bufs[BUFS];
	unsigned slots; /* taken by those that are out */
};

static void do_add(struct fuzz *f)
{
	uint8_t shape = fuzz_u8(&f->in), where = fuzz_u8(&f->in);
	unsigned out_n = shape & 3, in_n = shape >> 2 & 7;
	bool indirect = shape & 0x80;
	struct vdrv_sg sg[10];
	unsigned i = 0;
	int ret;

	while (i < BUFS && f->bufs[i].out)
		i++;
	if (i == BUFS)
		return;
	f->bufs[i] = (struct buf){.slots = indirect ? 1 : out_n + in_n};
	for (unsigned n = 0; n < out_n + in_n; n++) {
		sg[n] = (struct vdrv_sg){GPA + 64 * n, 10 + where};
		if (n >= out_n)
			f->bufs[i].in_len += sg[n].len;
	}
	ret = vdrv_add(f->drv, sg, out_n, in_n, indirect, GPA + BYTES - 16 * where, &f->bufs[i]);
	if (ret)
		return;
	fuzz_assert(out_n + in_n && (!indirect || f->cfg.indirect));
	f->bufs[i].out = true;
	f->slots += f->bufs[i].slots;
}

static void do_get(struct fuzz *f)
{
	void *cookie = NULL;
	uint32_t len = 0;
	struct buf *buf;
	int ret = vdrv_get(f->drv, &cookie, &len);

	fuzz_assert(ret >= 0 || vdrv_fault(f->drv) == VRING_BAD_USED);
	if (ret <= 0)
		return;
	buf = cookie;
	fuzz_assert(buf >= f->bufs && buf < f->bufs + BUFS);
	fuzz_assert(buf->out && len <= buf->in_len);
	buf->out = false;
	f->slots -= buf->slots;
}

/* A used entry that has a chance. */
static void do_used(struct fuzz *f)
{
	uint8_t at = fuzz_u8(&f->in), id = fuzz_u8(&f->in), more = fuzz_u8(&f->in);
	uint8_t *used = f->mem + (f->cfg.device - GPA);
	uint16_t idx;

	if (f->cfg.packed) {
		uint16_t flags = packed_used_flags(more & 1) | (more & 2);

		store_le64(f->mem + at % f->cfg.size * 16 + 8, packed_meta(more, id, flags));
		return;
	}
	memcpy(&idx, used + 2, 2);
	store_le32(used + 4 + idx % f->cfg.size * 8, id % (f->cfg.size + 1));
	store_le32(used + 8 + idx % f->cfg.size * 8, more);
	store_le16(used + 2, (uint16_t)(idx + 1 + at / 64));
}

static void run(struct fuzz *f)
{
	while (f->in.left) {
		switch (fuzz_u8(&f->in) & 7) {
		case 0:
		case 1:
			do_add(f);
			break;
		case 2:
			vdrv_publish(f->drv);
			break;
		case 3:
			do_get(f);
			break;
		case 4:
			do_used(f);
			do_get(f);
			break;
		case 5:
			do_used(f);
			break;
		case 6:
			fuzz_scribble(&f->in, f->mem, BYTES);
			break;
		case 7:
			if (fuzz_u8(&f->in) & 1)
				vdrv_enable_calls(f->drv);
			else
				vdrv_disable_calls(f->drv);
			break;
		}
		fuzz_assert(vdrv_free_slots(f->drv) == f->cfg.size - f->slots);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz *f = calloc(1, sizeof(*f));
	struct mem_region region = {.gpa = GPA, .size = BYTES, .fd = -1};
	struct vring_config *c;
	uint8_t flags, entries;

	fuzz_assert(f && (f->mem = aligned_alloc(4096, BYTES)));
	memset(f->mem, 0, BYTES);
	region.hva = f->mem;
	f->in = (struct fuzz_input){data, size};
	c = &f->cfg;
	flags = fuzz_u8(&f->in);
	entries = fuzz_u8(&f->in);
	c->packed = flags & 1;
	c->event_idx = flags & 2;
	c->indirect = flags & 4;
	c->in_order = flags & 8;
	c->size = c->packed ? 1U + entries % 64 : 1U << entries % 7;
	c->desc = GPA;
	c->driver = ALIGN_UP(GPA + vring_desc_bytes(c), 4);
	c->device = ALIGN_UP(c->driver + vring_driver_bytes(c), 4);
	fuzz_assert(!mem_table_new(&region, 1, &f->table, NULL));
	fuzz_assert((f->drv = vdrv_create()));
	fuzz_assert(!vdrv_start(f->drv, c, f->table, NULL));
	run(f);
	vdrv_free(f->drv);
	mem_table_free(f->table);
	free(f->mem);
	free(f);
	return 0;
}
