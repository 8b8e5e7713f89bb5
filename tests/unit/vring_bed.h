/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_VRING_BED_H
#define TESTS_VRING_BED_H

/*
 * A virtqueue's two sides in one process, with guest memory of two regions that adjoin nowhere:
 * the ring and the indirect tables in one, the buffers in the other.
 */
#include "unit.h"

#include "vring/device.h"
#include "vring/driver.h"
#include "vring/layout.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

#define BED_RING_GPA 0x40000000ULL
#define BED_BUF_GPA  0x900000000ULL
#define BED_PARTS    8U /* the most parts a test's buffer has */

#if defined(__SANITIZE_THREAD__)
#define BED_TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define BED_TSAN 1
#endif
#endif
#ifndef BED_TSAN
#define BED_TSAN 0
#endif

struct bed {
	struct vring_config cfg;
	struct mem_table *table;
	uint8_t *ring;
	size_t ring_bytes;
	uint64_t tables; /* gpa of the indirect tables: BED_PARTS + 1 descriptors a buffer */
	uint8_t *bufs;
	size_t buf_bytes; /* of one buffer; there are cfg.size of them */
	struct vdrv *drv;
	struct vq *vq;
};

static inline void *bed_map(size_t bytes)
{
	void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	assert_ptr_not_equal(p, MAP_FAILED);
	return p;
}

/* Lays out a ring as cfg says (its addresses are set here) and starts both sides on it. */
static inline void bed_init(struct bed *bed, const struct vring_config *cfg, size_t buf_bytes)
{
	struct vring_config *c = &bed->cfg;
	struct vring_state state = VRING_STATE_INIT;
	struct mem_region regions[2] = {0};
	uint64_t at = BED_RING_GPA;
	struct error err = {0};

	*bed = (struct bed){.cfg = *cfg, .buf_bytes = buf_bytes};
	c->desc = at;
	at = ALIGN_UP(at + vring_desc_bytes(c), 64);
	c->driver = at;
	at = ALIGN_UP(at + vring_driver_bytes(c), 64);
	c->device = at;
	at = ALIGN_UP(at + vring_device_bytes(c), 64);
	bed->tables = at;
	at += c->size * (BED_PARTS + 1ULL) * 16;
	bed->ring_bytes = ALIGN_UP(at - BED_RING_GPA, 4096);
	bed->ring = bed_map(bed->ring_bytes);
	bed->bufs = bed_map(c->size * buf_bytes);
	regions[0] = (struct mem_region){
		.gpa = BED_BUF_GPA, .size = c->size * buf_bytes, .hva = bed->bufs, .fd = -1};
	regions[1] = (struct mem_region){
		.gpa = BED_RING_GPA, .size = bed->ring_bytes, .hva = bed->ring, .fd = -1};
	assert_int_equal(mem_table_new(regions, 2, &bed->table, &err), 0);
	bed->drv = vdrv_create();
	bed->vq = vq_create();
	assert_int_equal(vdrv_start(bed->drv, c, bed->table, &err), 0);
	assert_int_equal(vq_start(bed->vq, c, &state, bed->table, &err), 0);
}

static inline void bed_done(struct bed *bed)
{
	vdrv_free(bed->drv);
	vq_free(bed->vq);
	munmap(bed->ring, bed->ring_bytes);
	munmap(bed->bufs, bed->cfg.size * bed->buf_bytes);
	mem_table_free(bed->table);
}

static inline uint64_t bed_buf_gpa(const struct bed *bed, unsigned op)
{
	return BED_BUF_GPA + op * bed->buf_bytes;
}

/* Where buffer op's indirect table is: at any alignment. */
static inline uint64_t bed_table_gpa(const struct bed *bed, unsigned op)
{
	return bed->tables + op * (BED_PARTS + 1ULL) * 16 + op % 16;
}

/* A buffer of out readable and in writable bytes, in one part each, made available. */
static inline void bed_give(struct bed *bed, unsigned op, uint32_t out, uint32_t in)
{
	struct vdrv_sg sg[2];
	unsigned n = 0;

	if (out)
		sg[n++] = (struct vdrv_sg){bed_buf_gpa(bed, op), out};
	if (in)
		sg[n++] = (struct vdrv_sg){bed_buf_gpa(bed, op) + out, in};
	assert_int_equal(vdrv_add(bed->drv, sg, !!out, !!in, false, 0, (void *)(uintptr_t)op), 0);
	vdrv_publish(bed->drv);
}

/* xorshift64*: the same everywhere, from any seed but 0. */
static inline uint32_t bed_random(uint64_t *seed)
{
	*seed ^= *seed >> 12;
	*seed ^= *seed << 25;
	*seed ^= *seed >> 27;
	return (uint32_t)(*seed * 0x2545f4914f6cdd1dULL >> 32);
}

static inline uint32_t bed_below(uint64_t *seed, uint32_t n)
{
	return (uint32_t)((uint64_t)bed_random(seed) * n >> 32);
}

/* A run's seed: VRING_SEED in the environment repeats one. */
static inline uint64_t bed_seed(uint64_t fallback)
{
	const char *text = getenv("VRING_SEED");

	return text ? strtoull(text, NULL, 0) : fallback;
}

#endif
