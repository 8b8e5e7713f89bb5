/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a virtqueue costs: cycles of the time stamp counter for each buffer, device side and driver
 * side, both on one CPU with everything in its cache; and buffers a second with a side on each of
 * two CPUs that poll. No data is touched but the rings.
 *
 *	bench_vring [--cpus A,B]     (default 0,1)
 */
#include "base/thread.h"
#include "vring/device.h"
#include "vring/driver.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

#define GPA    0x100000ULL
#define BYTES  (4 * MIB)
#define BUFS   (2 * MIB) /* where buffers start */
#define SIZE   256U
#define GROUP  64U /* buffers between two looks at the counter */
#define ROUNDS 10000U

struct setup {
	const char *name;
	bool packed, in_order, indirect;
	unsigned parts;
};

static const struct setup setups[] = {
	{"split", .parts = 1},
	{"split, 2 parts", .parts = 2},
	{"split, indirect, 2 parts", .indirect = true, .parts = 2},
	{"split, IN_ORDER", .in_order = true, .parts = 1},
	{"packed", .packed = true, .parts = 1},
	{"packed, 2 parts", .packed = true, .parts = 2},
	{"packed, indirect, 2 parts", .packed = true, .indirect = true, .parts = 2},
	{"packed, IN_ORDER", .packed = true, .in_order = true, .parts = 1},
};

struct bench {
	const struct setup *setup;
	struct vring_config cfg;
	struct mem_table *table;
	struct vq *vq;
	struct vdrv *drv;
	uint64_t tables;
	unsigned burst;
	uint64_t target; /* two CPUs: buffers to move */
};

static uint64_t cycles(void)
{
	return __builtin_ia32_rdtsc();
}

static void bench_init(struct bench *b, const struct setup *setup, void *mem)
{
	struct mem_region region = {.gpa = GPA, .size = BYTES, .hva = mem, .fd = -1};
	struct vring_state init = VRING_STATE_INIT;
	struct error err;

	memset(mem, 0, BUFS);
	*b = (struct bench){.setup = setup};
	b->cfg = (struct vring_config){
		.size = SIZE,
		.packed = setup->packed,
		.in_order = setup->in_order,
		.indirect = setup->indirect,
		.event_idx = true,
		.desc = GPA,
		.driver = GPA + 64 * KIB,
		.device = GPA + 128 * KIB,
	};
	b->tables = GPA + 256 * KIB;
	b->vq = vq_create();
	b->drv = vdrv_create();
	if (mem_table_new(&region, 1, &b->table, &err) ||
	    vq_start(b->vq, &b->cfg, &init, b->table, &err) ||
	    vdrv_start(b->drv, &b->cfg, b->table, &err)) {
		fprintf(stderr, "bench_vring: %s\n", err.text);
		exit(1);
	}
	vq_disable_kicks(b->vq);
	vdrv_disable_calls(b->drv);
}

static void bench_done(struct bench *b)
{
	vq_free(b->vq);
	vdrv_free(b->drv);
	mem_table_free(b->table);
}

static int give(struct bench *b, unsigned i)
{
	uint64_t gpa = GPA + BUFS + i % SIZE * 4096;
	struct vdrv_sg sg[2] = {{gpa, 1514}, {gpa + 2048, 64}};

	return vdrv_add(b->drv, sg, b->setup->parts, 0, b->setup->indirect,
			b->tables + i % SIZE * 64, b);
}

static unsigned serve(struct bench *b, unsigned max)
{
	struct vq_buf bufs[64];
	struct iovec iov[128];
	int n = vq_pop(b->vq, bufs, max, iov, ARRAY_SIZE(iov));

	if (n < 0) {
		fprintf(stderr, "bench_vring: %s\n", vring_fault_name(vq_fault(b->vq)));
		exit(1);
	}
	for (int i = 0; i < n; i++)
		vq_push(b->vq, &bufs[i], 0);
	vq_flush(b->vq);
	return (unsigned)n;
}

static int by_value(const void *a, const void *b)
{
	const uint32_t *x = a, *y = b;

	return *x < *y ? -1 : *x > *y;
}

/* The median, which what else runs on the machine does not move. */
static double median(uint32_t *samples)
{
	qsort(samples, ROUNDS, sizeof(*samples), by_value);
	return samples[ROUNDS / 2];
}

static void one_cpu(const struct setup *setup, void *mem, unsigned burst)
{
	static uint32_t driver[ROUNDS], device[ROUNDS], empty[ROUNDS];
	unsigned buffers = 0;
	struct bench b;
	double none;

	bench_init(&b, setup, mem);
	for (unsigned r = 0; r < ROUNDS; r++) {
		uint64_t t0 = cycles(), t1 = cycles(), t2, t3;
		void *cookie;
		uint32_t len;

		empty[r] = (uint32_t)(t1 - t0);
		t0 = cycles();
		for (unsigned i = 0; i < GROUP; i++) {
			give(&b, buffers + i);
			if (i % burst == burst - 1)
				vdrv_publish(b.drv);
		}
		t1 = cycles();
		for (unsigned i = 0; i < GROUP; i += burst) {
			if (serve(&b, burst) != burst)
				exit(1);
		}
		t2 = cycles();
		while (vdrv_get(b.drv, &cookie, &len) > 0)
			buffers++;
		t3 = cycles();
		device[r] = (uint32_t)(t2 - t1);
		driver[r] = (uint32_t)(t1 - t0 + t3 - t2);
	}
	none = median(empty);
	printf("%-26s %5u %10.1f %10.1f\n", setup->name, burst, (median(device) - none) / GROUP,
	       (median(driver) - 2 * none) / GROUP);
	bench_done(&b);
}

static void *driver_fn(void *arg)
{
	struct bench *b = arg;
	uint64_t added = 0, returned = 0;
	void *cookie;
	uint32_t len;

	while (returned < b->target) {
		unsigned n = 0;

		while (n < b->burst && added < b->target && !give(b, (unsigned)added)) {
			added++;
			n++;
		}
		vdrv_publish(b->drv);
		while (vdrv_get(b->drv, &cookie, &len) > 0)
			returned++;
		if (!n)
			cpu_relax();
	}
	return NULL;
}

static void *device_fn(void *arg)
{
	struct bench *b = arg;
	uint64_t served = 0;

	while (served < b->target) {
		unsigned n = serve(b, b->burst);

		served += n;
		if (!n)
			cpu_relax();
	}
	return NULL;
}

static double two_cpus(const struct setup *setup, void *mem, unsigned burst, const int *cpus)
{
	pthread_t driver, device;
	struct error err;
	struct bench b;
	uint64_t t0;

	bench_init(&b, setup, mem);
	b.burst = burst;
	b.target = 2000000;
	t0 = clock_ns();
	if (thread_start(&device, "device", cpus[0], device_fn, &b, &err) ||
	    thread_start(&driver, "driver", cpus[1], driver_fn, &b, &err)) {
		fprintf(stderr, "bench_vring: %s\n", err.text);
		exit(3);
	}
	pthread_join(driver, NULL);
	pthread_join(device, NULL);
	t0 = clock_ns() - t0;
	bench_done(&b);
	return (double)b.target * 1000 / (double)t0;
}

int main(int argc, char **argv)
{
	static const unsigned bursts[] = {1, 32};
	int cpus[2] = {0, 1};
	void *mem = mmap(NULL, BYTES, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);

	if (argc > 1 && (argc != 3 || strcmp(argv[1], "--cpus") ||
			 sscanf(argv[2], "%d,%d", &cpus[0], &cpus[1]) != 2)) {
		fprintf(stderr, "usage: bench_vring [--cpus A,B]\n");
		return 2;
	}
	if (mem == MAP_FAILED)
		return 1;
	printf("one CPU                    burst     device     driver  cycles a buffer\n");
	for (unsigned i = 0; i < ARRAY_SIZE(setups); i++) {
		for (unsigned k = 0; k < ARRAY_SIZE(bursts); k++)
			one_cpu(&setups[i], mem, bursts[k]);
	}
	if (!thread_cpu_usable(cpus[0]) || !thread_cpu_usable(cpus[1]) || cpus[0] == cpus[1])
		return 0;
	printf("\ntwo CPUs                   burst  million buffers a second (best of 5)\n");
	for (unsigned i = 0; i < ARRAY_SIZE(setups); i++) {
		double best = 0;

		for (unsigned k = 0; k < 5; k++) {
			double rate = two_cpus(&setups[i], mem, 32, cpus);

			best = MAX(best, rate);
		}
		printf("%-26s %5u %10.1f\n", setups[i].name, 32, best);
	}
	return 0;
}
