/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BASE_UTIL_H
#define BASE_UTIL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <endian.h>
#include <string.h>
#include <time.h>

#define ARRAY_SIZE(a)			(sizeof(a) / sizeof((a)[0]))
#define MIN(a, b)			((a) < (b) ? (a) : (b))
#define MAX(a, b)			((a) > (b) ? (a) : (b))

#define container_of(ptr, type, member) ((type *)(void *)((char *)(ptr)-offsetof(type, member)))

#define likely(x)			__builtin_expect(!!(x), 1)
#define unlikely(x)			__builtin_expect(!!(x), 0)

#define CACHE_LINE			64
#define __cacheline_al			__attribute__((aligned(CACHE_LINE)))
#define __printf(f, a)			__attribute__((format(printf, f, a)))

/* Rounds x up or down to a multiple of the power of two a. */
#define ALIGN_UP(x, a)	 (((x) + ((a)-1)) & ~((uint64_t)(a)-1))
#define ALIGN_DOWN(x, a) ((x) & ~((uint64_t)(a)-1))

#define KIB		 (1024ULL)
#define MIB		 (1024ULL * KIB)
#define GIB		 (1024ULL * MIB)

#define NSEC_PER_SEC	 1000000000ULL
#define NSEC_PER_USEC	 1000ULL
#define NSEC_PER_MSEC	 1000000ULL

/* Reads or writes one location exactly once, whole: for memory that somebody else writes at the
 * same time (a ring, a shared page). Whatever is checked is the copy. */
#define READ_ONCE(x)	 (*(const volatile __typeof__(x) *)&(x))
#define WRITE_ONCE(x, v) (*(volatile __typeof__(x) *)&(x) = (v))

static inline bool is_pow2(uint64_t x)
{
	return x && !(x & (x - 1));
}

/** Monotonic time in nanoseconds. */
static inline uint64_t clock_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * NSEC_PER_SEC + (uint64_t)ts.tv_nsec;
}

/* Unaligned loads and stores in a stated byte order. */
#define BYTES_ACCESSORS(bits, order)                                      \
	static inline uint##bits##_t load_##order##bits(const void *p)    \
	{                                                                 \
		uint##bits##_t v;                                         \
		memcpy(&v, p, sizeof(v));                                 \
		return order##bits##toh(v);                               \
	}                                                                 \
	static inline void store_##order##bits(void *p, uint##bits##_t v) \
	{                                                                 \
		v = hto##order##bits(v);                                  \
		memcpy(p, &v, sizeof(v));                                 \
	}
BYTES_ACCESSORS(16, le)
BYTES_ACCESSORS(32, le)
BYTES_ACCESSORS(64, le)
BYTES_ACCESSORS(16, be)
BYTES_ACCESSORS(32, be)
BYTES_ACCESSORS(64, be)
#undef BYTES_ACCESSORS

/** Asks for a line that is going to be written, so that it comes without other CPUs' copies. */
static inline void prefetch_write(const void *p)
{
#if defined(__x86_64__)
	__asm__ volatile("prefetchw %0" : : "m"(*(const char *)p));
#else
	__builtin_prefetch(p, 1);
#endif
}

static inline void cpu_relax(void)
{
#if defined(__x86_64__)
	__builtin_ia32_pause();
#endif
}

#endif
