/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Driver and device in a thread each, with event file descriptors between them as between a guest
 * and its VMM: for ThreadSanitizer, and for the barriers that a lost wake-up would show missing.
 * A side that sleeps for 20 seconds is one.
 */
#include "vring_bed.h"

#include "base/thread.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define BUFFERS	 (BED_TSAN ? 10000U : 60000U)
#define SLEEP_MS 20000

struct pair {
	struct bed bed;
	int kick, call;
	const char *fault; /* of the device's thread */
	uint64_t served, kicks, calls, moves;
};

static void notify(int fd)
{
	uint64_t one = 1;

	if (write(fd, &one, sizeof(one)) != sizeof(one))
		abort();
}

static bool wait_for(int fd)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};
	uint64_t count;

	if (poll(&p, 1, SLEEP_MS) != 1)
		return false;
	return read(fd, &count, sizeof(count)) == sizeof(count);
}

/* Buffer op: 8 bytes readable with a number, 16 writable into which it goes, in two parts. */
static bool serve(struct vq *vq, const struct vq_buf *buf)
{
	uint64_t number;

	if (buf->out_len != 8 || buf->in_len != 16 || buf->in_n != 2)
		return false;
	memcpy(&number, buf->iov[0].iov_base, 8);
	memcpy(buf->iov[1].iov_base, &number, 8);
	number = ~number;
	memcpy(buf->iov[2].iov_base, &number, 8);
	vq_push(vq, buf, 16);
	return true;
}

/* Sleeps until kicked, having looked once more; false when nobody ever kicks. */
static bool device_wait(struct pair *p)
{
	if (vq_enable_kicks(p->bed.vq))
		return true;
	p->kicks++;
	return wait_for(p->kick);
}

/* Serves a burst, but gives some of it back now and then. */
static bool device_burst(struct pair *p, struct vq_buf *bufs, int n, uint64_t *seed)
{
	uint32_t back = bed_below(seed, 4) ? 0 : bed_below(seed, (uint32_t)n + 1);

	vq_unpop(p->bed.vq, bufs + n - back, back);
	n -= (int)back;
	for (int i = 0; i < n; i++) {
		if (!serve(p->bed.vq, &bufs[i]))
			return false;
		p->served++;
		if (!bed_below(seed, 8) && vq_flush(p->bed.vq))
			notify(p->call);
	}
	if (vq_flush(p->bed.vq))
		notify(p->call);
	return true;
}

static void *device_fn(void *arg)
{
	struct pair *p = arg;
	struct vring_state state;
	struct vq_buf bufs[32];
	struct iovec iov[96];
	uint64_t seed = 99;

	while (p->served < BUFFERS) {
		int n = vq_pop(p->bed.vq, bufs, 1 + bed_below(&seed, 32), iov, ARRAY_SIZE(iov));

		if (n < 0) {
			p->fault = vring_fault_name(vq_fault(p->bed.vq));
			break;
		}
		if (!n && !device_wait(p)) {
			p->fault = "the device was not kicked";
			break;
		}
		if (n && !device_burst(p, bufs, n, &seed)) {
			p->fault = "the device found a wrong buffer";
			break;
		}
		if (!bed_below(&seed, 4))
			vq_disable_kicks(p->bed.vq);
		if (!bed_below(&seed, 200)) {
			vq_stop(p->bed.vq, &state);
			if (vq_start(p->bed.vq, &p->bed.cfg, &state, p->bed.table, NULL))
				abort();
			notify(p->call);
			p->moves++;
		}
	}
	notify(p->call);
	return NULL;
}

struct op {
	uint64_t number;
	bool out;
};

static bool driver_add(struct pair *p, struct op *ops, uint32_t op, uint64_t number, bool indirect)
{
	uint64_t gpa = bed_buf_gpa(&p->bed, op);
	struct vdrv_sg sg[3] = {{gpa, 8}, {gpa + 8, 8}, {gpa + 32, 8}};

	if (vdrv_add(p->bed.drv, sg, 1, 2, indirect, bed_table_gpa(&p->bed, op), &ops[op]))
		return false;
	memcpy(p->bed.bufs + op * p->bed.buf_bytes, &number, 8);
	ops[op] = (struct op){number, true};
	return true;
}

static void driver_check(struct pair *p, struct op *ops, struct op *op, uint32_t len)
{
	const uint8_t *at = p->bed.bufs + (size_t)(op - ops) * p->bed.buf_bytes;
	uint64_t a, b;

	memcpy(&a, at + 8, 8);
	memcpy(&b, at + 32, 8);
	assert_int_equal(len, 16);
	assert_int_equal(a, op->number);
	assert_int_equal(b, ~op->number);
	assert_true(op->out);
	op->out = false;
}

static void driver_run(struct pair *p)
{
	struct op *ops = calloc(p->bed.cfg.size, sizeof(*ops));
	uint64_t added = 0, returned = 0, seed = 7;
	uint32_t next = 0;

	assert_non_null(ops);
	while (returned < BUFFERS) {
		unsigned burst = 1 + bed_below(&seed, 40);
		void *cookie;
		uint32_t len;
		int ret;

		for (; burst && added < BUFFERS; burst--) {
			while (ops[next].out && burst) {
				next = (next + 1) % p->bed.cfg.size;
				burst--;
			}
			if (!burst || !driver_add(p, ops, next, added,
						  p->bed.cfg.indirect && bed_below(&seed, 2)))
				break;
			added++;
		}
		if (vdrv_publish(p->bed.drv))
			notify(p->kick);
		vdrv_disable_calls(p->bed.drv);
		while ((ret = vdrv_get(p->bed.drv, &cookie, &len)) > 0) {
			driver_check(p, ops, cookie, len);
			returned++;
		}
		assert_int_equal(ret, 0);
		if (returned == BUFFERS || (added < BUFFERS && vdrv_free_slots(p->bed.drv) >= 3))
			continue;
		if (vdrv_enable_calls(p->bed.drv))
			continue;
		p->calls++;
		if (!wait_for(p->call))
			fail_msg("the driver was not called: %llu of %u buffers returned",
				 (unsigned long long)returned, BUFFERS);
		if (p->fault)
			break;
	}
	free(ops);
}

static void test_threads(void **state)
{
	struct pair p = {0};
	pthread_t thread;

	bed_init(&p.bed, *state, 64);
	p.kick = eventfd(0, 0);
	p.call = eventfd(0, 0);
	assert_int_equal(thread_start(&thread, "device", THREAD_ANY_CPU, device_fn, &p, NULL), 0);
	driver_run(&p);
	pthread_join(thread, NULL);
	if (p.fault)
		fail_msg("%s", p.fault);
	print_message("slept: device %llu, driver %llu; moved %llu times\n",
		      (unsigned long long)p.kicks, (unsigned long long)p.calls,
		      (unsigned long long)p.moves);
	close(p.kick);
	close(p.call);
	bed_done(&p.bed);
}

int main(void)
{
	static const uint32_t sizes[] = {256, 64, 4, 1024};
	static struct vring_config configs[16];
	static char names[16][64];
	struct CMUnitTest tests[16];

	for (unsigned i = 0; i < 16; i++) {
		configs[i] = (struct vring_config){
			.size = sizes[(i % 4) ^ (i / 4)],
			.packed = i & 8,
			.indirect = i & 4,
			.event_idx = i & 2,
			.in_order = i & 1,
		};
		snprintf(names[i], sizeof(names[i]), "threads %s%s%s%s %u",
			 i & 8 ? "packed" : "split", i & 4 ? " indirect" : "",
			 i & 2 ? " event_idx" : "", i & 1 ? " in_order" : "", configs[i].size);
		tests[i] = (struct CMUnitTest){names[i], test_threads, NULL, NULL, &configs[i]};
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
