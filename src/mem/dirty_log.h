/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MEM_DIRTY_LOG_H
#define MEM_DIRTY_LOG_H

#include "base/error.h"
#include "base/util.h"

/*
 * Which guest pages devices have written: a bitmap with one bit for each 4 KiB of guest-physical
 * address space, in the layout that vhost's log uses (bit n % 64 of little-endian word n / 64), so
 * that a plane elsewhere can be given the same memory. Any thread marks, one collects.
 *
 * A page is marked after it was written. The collector clears a bit before it copies the page, so
 * a write that comes too late for the copy leaves its bit for the next round.
 */
#define DIRTY_PAGE_SHIFT 12
#define DIRTY_PAGE_SIZE	 (1ULL << DIRTY_PAGE_SHIFT)

struct dirty_log {
	uint64_t *words;
	uint64_t pages; /* bits; addresses beyond are not logged */
	int fd;		/* memfd the words are mapped from; -1 when they are somebody else's */
};

/** A log, all clear, for guest-physical addresses below limit. NULL with err set if not. */
struct dirty_log *dirty_log_create(uint64_t limit, struct error *err);

/** Logs into bytes of memory that somebody else owns (a front-end's); 8-byte aligned. */
struct dirty_log *dirty_log_wrap(void *bitmap, uint64_t bytes, struct error *err);
void dirty_log_free(struct dirty_log *log);

/** Words in the bitmap: the size of what dirty_log_collect() fills. */
static inline uint64_t dirty_log_words(const struct dirty_log *log)
{
	return (log->pages + 63) / 64;
}

/** Marks the pages of [gpa, gpa + len). Any thread; a len of 0 marks nothing. */
void dirty_log_mark(struct dirty_log *log, uint64_t gpa, uint64_t len);

/**
 * Takes the bits out: sets out[0 … words) to what was marked since the last time and clears it.
 * Returns how many pages that were.
 */
uint64_t dirty_log_collect(struct dirty_log *log, uint64_t *out);

#endif
