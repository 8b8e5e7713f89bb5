/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The machine's own limit for a switch between two rings in other CPUs' caches: two threads that
 * touch only the lines that any correct one must, and nothing else. No descriptor is checked, no
 * address looked at, no notification thought of.
 *
 * For each frame of 64 bytes, the client writes the frame's line (the header shares a line with
 * what is before it, as in DPDK's buffers: two lines), and a descriptor, and reads both lines of
 * what it gets. The switch reads descriptor and frame, reads the receiver's descriptor, writes the
 * receiver's two lines, and for both rings a used entry; per burst it reads and writes the indices.
 *
 *	bench_switch_bound [--seconds N] [--cpus SWITCH,CLIENT] [--burst N]
 */
#include "base/thread.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

#define SLOTS  256U
#define STRIDE 2176U
#define ROOM   116U

struct desc {
	uint64_t addr, meta;
};

/* One direction: frames from src to dst. Each index is on a line of its own. */
struct path {
	uint32_t avail __cacheline_al; /* by the client: sent */
	uint32_t used __cacheline_al;  /* by the switch: delivered */
	struct desc src_desc[SLOTS] __cacheline_al, dst_desc[SLOTS];
	uint16_t src_avail[SLOTS] __cacheline_al, dst_avail[SLOTS];
	uint64_t src_used[SLOTS] __cacheline_al, dst_used[SLOTS];
	uint8_t *src, *dst;
};

struct bound {
	struct path paths[2];
	unsigned burst;
	_Atomic bool stop;
	uint64_t frames, busy, idle;
};

static uint64_t cycles(void)
{
	return __builtin_ia32_rdtsc();
}

static uint8_t *buffer(uint8_t *base, uint32_t n)
{
	return base + (uint64_t)(n % SLOTS) * STRIDE + ROOM;
}

/* What a switch cannot do without, for n frames from number `at` on. */
static void move(struct path *p, uint32_t at, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		__builtin_prefetch(buffer(p->src, at + i));
		__builtin_prefetch(buffer(p->src, at + i) + 64);
		prefetch_write(buffer(p->dst, at + i));
		prefetch_write(buffer(p->dst, at + i) + 64);
		prefetch_write(&p->src_used[(at + i) % SLOTS]);
		prefetch_write(&p->dst_used[(at + i) % SLOTS]);
	}
	for (unsigned i = 0; i < n; i++) {
		uint32_t s = (at + i) % SLOTS;
		uint8_t *from = (uint8_t *)(uintptr_t)READ_ONCE(p->src_desc[s].addr);
		uint8_t *to = (uint8_t *)(uintptr_t)READ_ONCE(p->dst_desc[s].addr);

		if (READ_ONCE(p->src_avail[s]) == READ_ONCE(p->dst_avail[s]))
			memcpy(to, from, 76);
		WRITE_ONCE(p->src_used[s], s);
		WRITE_ONCE(p->dst_used[s], 76);
	}
	__atomic_store_n(&p->used, at + n, __ATOMIC_RELEASE);
}

static void *run_switch(void *arg)
{
	struct bound *b = arg;
	uint64_t last = cycles();
	uint32_t at[2] = {0};

	while (!b->stop) {
		unsigned moved = 0;
		uint64_t now;

		for (unsigned k = 0; k < 2; k++) {
			struct path *p = &b->paths[k];
			uint32_t n = __atomic_load_n(&p->avail, __ATOMIC_ACQUIRE) - at[k];

			n = MIN(n, b->burst);
			if (n)
				move(p, at[k], n);
			at[k] += n;
			moved += n;
		}
		now = cycles();
		*(moved ? &b->busy : &b->idle) += now - last;
		last = now;
		b->frames += moved;
	}
	return NULL;
}

/* Sends a burst as soon as it has room, and looks at what has come. */
static void *run_client(void *arg)
{
	struct bound *b = arg;
	uint32_t sent[2] = {0}, seen[2] = {0};
	uint64_t sum = 0;

	while (!b->stop) {
		for (unsigned k = 0; k < 2; k++) {
			struct path *p = &b->paths[k];
			uint32_t used = __atomic_load_n(&p->used, __ATOMIC_ACQUIRE), n;

			for (; seen[k] != used; seen[k]++) {
				uint32_t s = seen[k] % SLOTS;

				sum += READ_ONCE(p->dst_used[s]) + READ_ONCE(p->src_used[s]) +
				       load_le64(buffer(p->dst, s) + 12);
				p->dst_desc[s].meta++;
				p->dst_avail[s] = (uint16_t)s;
			}
			n = MIN(32, SLOTS - (sent[k] - seen[k]));
			for (unsigned i = 0; i < n; i++) {
				uint32_t s = (sent[k] + i) % SLOTS;

				store_le64(buffer(p->src, s) + 26, sent[k]);
				p->src_desc[s].meta = 76;
				p->src_avail[s] = (uint16_t)s;
			}
			sent[k] += n;
			__atomic_store_n(&p->avail, sent[k], __ATOMIC_RELEASE);
		}
	}
	return (void *)(uintptr_t)sum;
}

static uint8_t *memory(void)
{
	size_t size = ALIGN_UP(SLOTS * STRIDE, 2 * MIB);
	uint8_t *p = mmap(NULL, size, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);

	if (p == MAP_FAILED)
		exit(1);
	madvise(p, size, MADV_HUGEPAGE);
	memset(p, 1, size);
	return p;
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{"seconds", 1, NULL, 's'}, {"cpus", 1, NULL, 'c'}, {"burst", 1, NULL, 'b'}, {0}};
	static struct bound b = {.burst = 64};
	double seconds = 3;
	int cpus[2] = {0, 1};
	pthread_t threads[2];
	struct error err;
	uint64_t ns;

	for (int c; (c = getopt_long(argc, argv, "", options, NULL)) != -1;) {
		if (c == 's')
			seconds = atof(optarg);
		else if (c == 'b')
			b.burst = (unsigned)atoi(optarg);
		else if (c != 'c' || sscanf(optarg, "%d,%d", &cpus[0], &cpus[1]) != 2)
			return 2;
	}
	for (unsigned k = 0; k < 2; k++) {
		struct path *p = &b.paths[k];

		p->src = memory();
		p->dst = memory();
		for (unsigned i = 0; i < SLOTS; i++) {
			p->src_desc[i].addr = (uintptr_t)buffer(p->src, i);
			p->dst_desc[i].addr = (uintptr_t)buffer(p->dst, i);
		}
	}
	if (thread_start(&threads[0], "switch", cpus[0], run_switch, &b, &err) ||
	    thread_start(&threads[1], "client", cpus[1], run_client, &b, &err)) {
		fprintf(stderr, "%s\n", err.text);
		return 1;
	}
	ns = clock_ns();
	nanosleep(&(struct timespec){(time_t)seconds, (long)(seconds * 1e9) % 1000000000}, NULL);
	b.stop = true;
	pthread_join(threads[0], NULL);
	pthread_join(threads[1], NULL);
	printf("{\"mpps\": %.3f, \"cycles_per_frame\": %.1f, \"idle\": %.3f}\n",
	       (double)b.frames / (double)(clock_ns() - ns) * 1e3,
	       (double)b.busy / (double)MAX(b.frames, 1u),
	       (double)b.idle / (double)(b.busy + b.idle));
	return 0;
}
