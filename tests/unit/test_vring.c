/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Device and driver side against each other and against a model, over random schedules.
 *
 * The model knows of each buffer where it must be: with the driver, added, available, taken,
 * pushed, used; and in which order it must come out on either side. Its content says whose it is.
 * Both sides sleep, and must be woken: whenever one sleeps with no notification under way although
 * there is something for it, a wake-up was lost.
 *
 * A failing run prints its seed; VRING_SEED=… repeats it.
 */
#include "vring_bed.h"

#include <errno.h>

enum where { WITH_DRIVER, ADDED, AVAILABLE, TAKEN, PUSHED, USED };

struct op {
	enum where where;
	unsigned out_n, in_n;
	struct vdrv_sg sg[BED_PARTS];
	uint32_t out_len, in_len;
	uint32_t written;
	uint32_t stamp; /* what its content is made from */
	struct vq_buf buf;
	struct iovec iov[BED_PARTS];
};

/* A queue of op numbers that can also be put back at its front. */
struct line {
	uint32_t *op;
	uint32_t first, count, size;
};

struct model {
	struct bed bed;
	uint64_t seed;
	struct op *ops;
	struct line available, used;
	struct line taken; /* in the order taken */
	uint32_t tail;	   /* of those, the last ones that follow each other in the ring */
	uint32_t *idle;	   /* ops with the driver */
	uint32_t idle_count;
	struct line added, pushed;
	bool kicked, called;
	bool device_sleeps, driver_sleeps;
	bool kicks_off;
	bool undecided;
	uint64_t returned, kicks, calls, moves;
};

static void line_init(struct line *l, uint32_t size)
{
	*l = (struct line){.op = calloc(size, sizeof(*l->op)), .size = size};
	assert_non_null(l->op);
}

static uint32_t *line_at(struct line *l, uint32_t i)
{
	assert_true(i < l->size);
	return &l->op[(l->first + i) % l->size];
}

static void line_put(struct line *l, uint32_t op)
{
	*line_at(l, l->count) = op;
	l->count++;
}

static uint32_t line_take(struct line *l)
{
	uint32_t op;

	assert_true(l->count > 0);
	op = *line_at(l, 0);
	l->first = (l->first + 1) % l->size;
	l->count--;
	return op;
}

static void line_put_back(struct line *l, uint32_t op)
{
	assert_true(l->count < l->size);
	l->first = (l->first + l->size - 1) % l->size;
	l->count++;
	*line_at(l, 0) = op;
}

static uint32_t line_remove(struct line *l, uint32_t i)
{
	uint32_t op = *line_at(l, i);

	for (; i + 1 < l->count; i++)
		*line_at(l, i) = *line_at(l, i + 1);
	l->count--;
	return op;
}

static void model_init(struct model *m, const struct vring_config *cfg, uint64_t seed)
{
	memset(m, 0, sizeof(*m));
	m->seed = seed;
	bed_init(&m->bed, cfg, 512);
	m->ops = calloc(cfg->size, sizeof(*m->ops));
	m->idle = calloc(cfg->size, sizeof(*m->idle));
	assert_true(m->ops && m->idle);
	for (uint32_t i = 0; i < cfg->size; i++)
		m->idle[m->idle_count++] = i;
	line_init(&m->added, cfg->size);
	line_init(&m->available, cfg->size);
	line_init(&m->taken, cfg->size);
	line_init(&m->pushed, cfg->size);
	line_init(&m->used, cfg->size);
}

static void model_done(struct model *m)
{
	free(m->added.op);
	free(m->available.op);
	free(m->taken.op);
	free(m->pushed.op);
	free(m->used.op);
	free(m->idle);
	free(m->ops);
	bed_done(&m->bed);
}

static uint32_t below(struct model *m, uint32_t n)
{
	return bed_below(&m->seed, n);
}

/* Byte i of what is written under this stamp. */
static uint8_t content(uint32_t stamp, uint32_t i)
{
	return (uint8_t)(stamp * 2654435761U >> 24) ^ (uint8_t)(i * 167);
}

/* The bytes [from, to) of the parts taken together: written, or checked. */
static void op_content(struct model *m, const struct op *op, bool in, uint32_t len, bool check)
{
	unsigned i = in ? op->out_n : 0;
	uint32_t stamp = in ? ~op->stamp : op->stamp;

	for (uint32_t at = 0; at < len; i++) {
		uint8_t *p = m->bed.bufs + (op->sg[i].gpa - BED_BUF_GPA);

		for (uint32_t k = 0; k < op->sg[i].len && at < len; k++, at++) {
			if (!check)
				p[k] = content(stamp, at);
			else if (p[k] != content(stamp, at))
				fail_msg("byte %u is wrong", at);
		}
	}
}

/* A shape: up to BED_PARTS parts, some of them empty, at least one not. */
static void op_shape(struct model *m, uint32_t number)
{
	struct op *op = &m->ops[number];
	uint64_t gpa = bed_buf_gpa(&m->bed, number);
	unsigned n = below(m, 4) ? 1 + below(m, 3) : 1 + below(m, BED_PARTS);

	op->out_n = below(m, 3) ? below(m, n + 1) : (below(m, 2) ? n : 0);
	op->in_n = n - op->out_n;
	op->out_len = op->in_len = 0;
	for (unsigned i = 0; i < n; i++) {
		uint32_t len = below(m, 8) ? 1 + below(m, 60) : 0;

		if (i + 1 == n && !op->out_len && !op->in_len)
			len = 1 + below(m, 60);
		op->sg[i] = (struct vdrv_sg){gpa, len};
		gpa += len;
		if (i < op->out_n)
			op->out_len += len;
		else
			op->in_len += len;
	}
	op->stamp = bed_random(&m->seed);
}

static void driver_add(struct model *m)
{
	for (unsigned n = 1 + below(m, 40); n && m->idle_count; n--) {
		uint32_t which = below(m, m->idle_count), number = m->idle[which];
		struct op *op = &m->ops[number];
		unsigned slots, parts;
		bool indirect;
		int ret;

		op_shape(m, number);
		parts = op->out_n + op->in_n;
		indirect = m->bed.cfg.indirect && below(m, 2);
		slots = vdrv_free_slots(m->bed.drv);
		ret = vdrv_add(m->bed.drv, op->sg, op->out_n, op->in_n, indirect,
			       bed_table_gpa(&m->bed, number), op);
		if ((indirect ? 1 : parts) > slots) {
			assert_int_equal(ret, -ENOSPC);
			return;
		}
		assert_int_equal(ret, 0);
		op_content(m, op, false, op->out_len, false);
		m->idle[which] = m->idle[--m->idle_count];
		op->where = ADDED;
		line_put(&m->added, number);
	}
}

static void driver_publish(struct model *m)
{
	bool kick = vdrv_publish(m->bed.drv);

	if (!m->added.count)
		assert_false(kick);
	while (m->added.count) {
		uint32_t number = line_take(&m->added);

		m->ops[number].where = AVAILABLE;
		line_put(&m->available, number);
	}
	/* Where there is a flag for it, a device that polls is not kicked. */
	if (m->kicks_off && (m->bed.cfg.packed || !m->bed.cfg.event_idx))
		assert_false(kick);
	m->kicked |= kick;
	m->kicks += kick;
}

static void driver_get(struct model *m, unsigned n)
{
	for (; n; n--) {
		void *cookie = NULL;
		uint32_t len = 0, number;
		struct op *op;
		int ret = vdrv_get(m->bed.drv, &cookie, &len);

		assert_int_equal(ret, m->used.count ? 1 : 0);
		if (!ret)
			return;
		number = line_take(&m->used);
		op = &m->ops[number];
		assert_ptr_equal(cookie, op);
		assert_int_equal(op->where, USED);
		assert_int_equal(len, op->written);
		op_content(m, op, true, len, true);
		op->where = WITH_DRIVER;
		m->idle[m->idle_count++] = number;
		m->returned++;
	}
}

/* What was popped is what the model says was next, part by part and byte by byte. */
static void check_popped(struct model *m, const struct vq_buf *buf)
{
	uint32_t number = line_take(&m->available);
	struct op *op = &m->ops[number];
	unsigned at = 0;

	assert_int_equal(op->where, AVAILABLE);
	assert_int_equal(buf->out_len, op->out_len);
	assert_int_equal(buf->in_len, op->in_len);
	for (unsigned i = 0; i < op->out_n + op->in_n; i++) {
		uint8_t *p = m->bed.bufs + (op->sg[i].gpa - BED_BUF_GPA);

		if (op->sg[i].len) {
			assert_ptr_equal(buf->iov[at].iov_base, p);
			assert_int_equal(buf->iov[at].iov_len, op->sg[i].len);
			at++;
		}
		if (i + 1 == op->out_n)
			assert_int_equal(at, buf->out_n);
	}
	assert_int_equal(at, buf->out_n + buf->in_n);
	op_content(m, op, false, op->out_len, true);
	op->where = TAKEN;
	memcpy(op->iov, buf->iov, at * sizeof(*op->iov));
	op->buf = *buf;
	op->buf.iov = op->iov;
	line_put(&m->taken, number);
	m->tail++;
}

static void device_pop(struct model *m)
{
	struct vq_buf bufs[40];
	struct iovec iov[64];
	unsigned max = 1 + below(m, ARRAY_SIZE(bufs));
	unsigned room = BED_PARTS + below(m, ARRAY_SIZE(iov) - BED_PARTS + 1);
	int n;

	assert_int_equal(vq_available(m->bed.vq), m->available.count > 0);
	n = vq_pop(m->bed.vq, bufs, max, iov, room);
	if (n < 0)
		fail_msg("%s", vring_fault_name(vq_fault(m->bed.vq)));
	assert_true(n ? n <= (int)max : !m->available.count);
	for (int i = 0; i < n; i++)
		check_popped(m, &bufs[i]);
}

static void device_push_one(struct model *m, uint32_t which)
{
	uint32_t number;
	struct op *op;

	if (which >= m->taken.count - m->tail)
		m->tail = m->taken.count - which - 1;
	number = line_remove(&m->taken, which);
	op = &m->ops[number];
	op->written = below(m, 3) ? op->in_len : below(m, op->in_len + 1);
	op_content(m, op, true, op->written, false);
	vq_push(m->bed.vq, &op->buf, op->written);
	op->where = PUSHED;
	line_put(&m->pushed, number);
}

static void device_push(struct model *m)
{
	for (unsigned n = 1 + below(m, 40); n && m->taken.count; n--) {
		/* Near the front, or each removal would cost a long move. */
		uint32_t reach = MIN(m->taken.count, 16);

		device_push_one(m, m->bed.cfg.in_order || below(m, 2) ? 0 : below(m, reach));
	}
}

static void published(struct model *m)
{
	while (m->pushed.count) {
		uint32_t number = line_take(&m->pushed);

		m->ops[number].where = USED;
		line_put(&m->used, number);
		m->undecided = true;
	}
}

static void device_decide(struct model *m)
{
	bool call = vq_should_call(m->bed.vq);

	if (!m->undecided)
		assert_false(call);
	m->called |= call;
	m->calls += call;
	m->undecided = false;
}

static void device_flush(struct model *m)
{
	if (below(m, 2)) {
		bool call = vq_flush(m->bed.vq);

		published(m);
		m->called |= call;
		m->calls += call;
		m->undecided = false;
	} else {
		vq_flush_quiet(m->bed.vq);
		published(m);
		if (below(m, 2))
			device_decide(m);
	}
}

/* The model's part of giving back the last n taken. */
static void taken_back(struct model *m, uint32_t n)
{
	assert_true(n <= m->tail);
	m->tail -= n;
	while (n--) {
		uint32_t number = *line_at(&m->taken, --m->taken.count);

		m->ops[number].where = AVAILABLE;
		line_put_back(&m->available, number);
	}
}

static void device_unpop(struct model *m)
{
	struct vq_buf bufs[40];
	uint32_t n = below(m, MIN(m->tail, ARRAY_SIZE(bufs)) + 1);

	for (uint32_t i = 0; i < n; i++)
		bufs[i] = m->ops[*line_at(&m->taken, m->taken.count - n + i)].buf;
	vq_unpop(m->bed.vq, bufs, n);
	m->device_sleeps &= !n;
	taken_back(m, n);
}

/* The queue goes on in another struct vq, as it would in another plane. */
static void device_move(struct model *m)
{
	struct vq *next = vq_create();
	struct vring_state state;

	while (m->taken.count > m->tail)
		device_push_one(m, 0);
	vq_stop(m->bed.vq, &state);
	assert_int_equal(vq_pop(m->bed.vq, NULL, 1, NULL, 1), 0);
	published(m);
	taken_back(m, m->tail);
	assert_int_equal(vq_start(next, &m->bed.cfg, &state, m->bed.table, NULL), 0);
	vq_free(m->bed.vq);
	m->bed.vq = next;
	m->kicks_off = m->undecided = false;
	m->called = m->kicked = true; /* who takes over does that */
	m->moves++;
}

static void device_sleep(struct model *m)
{
	device_decide(m);
	if (vq_enable_kicks(m->bed.vq))
		assert_true(m->available.count > 0);
	else
		m->device_sleeps = true;
	m->kicks_off = false;
	if (m->device_sleeps)
		assert_int_equal(m->available.count, 0);
}

static void driver_sleep(struct model *m)
{
	if (vdrv_enable_calls(m->bed.drv)) {
		assert_true(m->used.count > 0);
	} else {
		assert_int_equal(m->used.count, 0);
		m->driver_sleeps = true;
	}
}

static void check_wakeups(struct model *m)
{
	if (m->kicked)
		m->device_sleeps = m->kicked = false;
	if (m->called)
		m->driver_sleeps = m->called = false;
	if (m->device_sleeps && m->available.count)
		fail_msg("lost kick: %u available", m->available.count);
	if (m->driver_sleeps && m->used.count && !m->undecided)
		fail_msg("lost call: %u used", m->used.count);
}

static void step(struct model *m)
{
	switch (below(m, 12)) {
	case 0:
	case 1:
		driver_add(m);
		if (below(m, 4))
			driver_publish(m);
		break;
	case 2:
		driver_publish(m);
		break;
	case 3:
	case 4:
		if (!m->driver_sleeps)
			driver_get(m, 1 + below(m, 50));
		break;
	case 5:
		if (below(m, 2))
			vdrv_disable_calls(m->bed.drv), m->driver_sleeps = false;
		else
			driver_sleep(m);
		break;
	case 6:
	case 7:
		if (!m->device_sleeps)
			device_pop(m);
		break;
	case 8:
		device_push(m);
		if (below(m, 4))
			device_flush(m);
		break;
	case 9:
		device_flush(m);
		break;
	case 10:
		if (!below(m, 50))
			device_move(m);
		else
			device_unpop(m);
		break;
	case 11:
		if (below(m, 2)) {
			vq_disable_kicks(m->bed.vq);
			m->kicks_off = true;
			m->device_sleeps = false;
		} else if (!m->device_sleeps) {
			device_sleep(m);
		}
		break;
	}
	check_wakeups(m);
}

static void drain(struct model *m)
{
	driver_publish(m);
	m->device_sleeps = false;
	while (m->available.count || m->taken.count || m->pushed.count) {
		device_pop(m);
		device_push(m);
		device_flush(m);
	}
	driver_get(m, UINT32_MAX);
	assert_int_equal(m->idle_count, m->bed.cfg.size);
	assert_int_equal(vdrv_free_slots(m->bed.drv), m->bed.cfg.size);
}

static void run(const struct vring_config *cfg, uint64_t seed, uint64_t until_returned)
{
	struct model m;

	print_message("size %u seed 0x%llx\n", cfg->size, (unsigned long long)seed);
	model_init(&m, cfg, seed);
	for (uint64_t steps = 0; m.returned < until_returned; steps++) {
		assert_true(steps < 100 * until_returned + 100000); /* it gets on */
		step(&m);
	}
	drain(&m);
	model_done(&m);
}

/* Every size of interest, and enough buffers that 16-bit indices come round with some. */
static void test_random(void **state)
{
	static const struct {
		uint32_t size, buffers;
	} runs[] = {
		{1, 3000},     {2, 70000},    {3, 20000},     {4, 5000},       {7, 10000},
		{8, 5000},     {64, 5000},    {100, 10000},   {256, 140000},   {1000, 10000},
		{1024, 20000}, {4096, 20000}, {32767, 80000}, {32768, 140000},
	};
	struct vring_config cfg = *(struct vring_config *)*state;
	uint64_t seed = bed_seed(0x9e3779b97f4a7c15ULL);

	for (unsigned i = 0; i < ARRAY_SIZE(runs); i++) {
		cfg.size = runs[i].size;
		if (cfg.packed || is_pow2(cfg.size))
			run(&cfg, seed + i, runs[i].buffers / (BED_TSAN ? 8 : rounds(1, 8)));
	}
}

int main(void)
{
	static struct vring_config configs[16];
	static char names[16][64];
	struct CMUnitTest tests[16];

	for (unsigned i = 0; i < 16; i++) {
		struct vring_config *c = &configs[i];

		c->packed = i & 8;
		c->indirect = i & 4;
		c->event_idx = i & 2;
		c->in_order = i & 1;
		snprintf(names[i], sizeof(names[i]), "random %s%s%s%s",
			 c->packed ? "packed" : "split", c->indirect ? " indirect" : "",
			 c->event_idx ? " event_idx" : "", c->in_order ? " in_order" : "");
		tests[i] = (struct CMUnitTest){names[i], test_random, NULL, NULL, c};
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
