/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Driver and device in a thread each: for ThreadSanitizer, and for the barriers that a lost wake-up
 * would show missing. Half of the runs have event file descriptors between the two, as between a
 * guest and its VMM. In the other half a side that sleeps spins on a counter, and buffers are few:
 * that makes the moment in which both sides publish and look at each other come a million times
 * over. A side that sleeps for 20 seconds was not woken.
 */
#include "vring_bed.h"

#include "base/thread.h"

#include <poll.h>
#include <sched.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define BUFFERS	     30000U
#define SPIN_BUFFERS 300000U
#define RUN_NS	     (250 * NSEC_PER_MSEC) /* at most, on a busy machine */
#define SLEEP_MS     20000

struct notifier {
	int fd; /* -1: spin */
	uint64_t seen;
	uint64_t count;
};

struct pair {
	struct bed bed;
	bool spin;
	uint64_t buffers;
	struct notifier kick, call;
	const char *fault; /* of the device's thread */
	uint64_t served, kicks, calls, moves;
};

static void notify(struct notifier *to)
{
	uint64_t one = 1;

	if (to->fd < 0)
		__atomic_fetch_add(&to->count, 1, __ATOMIC_RELEASE);
	else if (write(to->fd, &one, sizeof(one)) != sizeof(one))
		abort();
}

static bool spin_for(struct notifier *n)
{
	uint64_t end = clock_ns() + SLEEP_MS * NSEC_PER_MSEC;

	for (unsigned spins = 1;; spins++) {
		uint64_t count = __atomic_load_n(&n->count, __ATOMIC_ACQUIRE);

		if (count != n->seen) {
			n->seen = count;
			return true;
		}
		if (spins % 4096 == 0) {
			if (clock_ns() > end)
				return false;
			sched_yield();
		}
	}
}

static bool wait_for(struct notifier *n)
{
	struct pollfd p = {.fd = n->fd, .events = POLLIN};
	uint64_t count;

	if (n->fd < 0)
		return spin_for(n);
	if (poll(&p, 1, SLEEP_MS) != 1)
		return false;
	return read(n->fd, &count, sizeof(count)) == sizeof(count);
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
	return wait_for(&p->kick);
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
			notify(&p->call);
	}
	if (vq_flush(p->bed.vq))
		notify(&p->call);
	return true;
}

static void *device_fn(void *arg)
{
	struct pair *p = arg;
	struct vring_state state;
	struct vq_buf bufs[32];
	struct iovec iov[96];
	uint64_t seed = 99;

	while (p->served < __atomic_load_n(&p->buffers, __ATOMIC_RELAXED)) {
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
			notify(&p->call);
			p->moves++;
		}
	}
	notify(&p->call);
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
	uint64_t added = 0, returned = 0, seed = 7, end = clock_ns() + RUN_NS;
	uint32_t next = 0;

	assert_non_null(ops);
	while (returned < p->buffers) {
		unsigned burst = 1 + bed_below(&seed, 40);
		void *cookie;
		uint32_t len;
		int ret;

		for (; burst && added < p->buffers; burst--) {
			while (ops[next].out && burst) {
				next = (next + 1) % p->bed.cfg.size;
				burst--;
			}
			if (!burst || !driver_add(p, ops, next, added,
						  p->bed.cfg.indirect && bed_below(&seed, 2)))
				break;
			added++;
		}
		if (clock_ns() > end)
			__atomic_store_n(&p->buffers, added, __ATOMIC_RELAXED);
		if (vdrv_publish(p->bed.drv))
			notify(&p->kick);
		vdrv_disable_calls(p->bed.drv);
		while ((ret = vdrv_get(p->bed.drv, &cookie, &len)) > 0) {
			driver_check(p, ops, cookie, len);
			returned++;
		}
		assert_int_equal(ret, 0);
		if (returned == p->buffers ||
		    (added < p->buffers && vdrv_free_slots(p->bed.drv) >= 3))
			continue;
		if (vdrv_enable_calls(p->bed.drv))
			continue;
		p->calls++;
		if (!wait_for(&p->call))
			fail_msg("the driver was not called: %llu buffers returned",
				 (unsigned long long)returned);
		if (p->fault)
			break;
	}
	notify(&p->kick);
	free(ops);
}

static void run(const struct vring_config *cfg, bool spin)
{
	struct pair p = {.spin = spin, .buffers = spin ? SPIN_BUFFERS : BUFFERS};
	pthread_t thread;

	bed_init(&p.bed, cfg, 64);
	p.kick.fd = spin ? -1 : eventfd(0, 0);
	p.call.fd = spin ? -1 : eventfd(0, 0);
	assert_int_equal(thread_start(&thread, "device", THREAD_ANY_CPU, device_fn, &p, NULL), 0);
	driver_run(&p);
	pthread_join(thread, NULL);
	if (p.fault)
		fail_msg("%s", p.fault);
	print_message("slept: device %llu, driver %llu; moved %llu times\n",
		      (unsigned long long)p.kicks, (unsigned long long)p.calls,
		      (unsigned long long)p.moves);
	if (!spin) {
		close(p.kick.fd);
		close(p.call.fd);
	}
	bed_done(&p.bed);
}

static void test_threads(void **state)
{
	run(*state, false);
}

static void test_spin(void **state)
{
	struct vring_config cfg = *(struct vring_config *)*state;

	cfg.size = 4;
	run(&cfg, true);
}

int main(void)
{
	static const uint32_t sizes[] = {256, 64, 4, 1024};
	static struct vring_config configs[16];
	static char names[16][64];
	struct CMUnitTest tests[32];

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
		tests[2 * i] = (struct CMUnitTest){names[i], test_threads, NULL, NULL, &configs[i]};
		tests[2 * i + 1] =
			(struct CMUnitTest){names[i], test_spin, NULL, NULL, &configs[i]};
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
