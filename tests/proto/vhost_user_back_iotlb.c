/* SPDX-License-Identifier: Apache-2.0 */
#include "back_heir.h"
#include "ring_side.h"

#include "mem/dirty_log.h"
#include "vhost/user_frontend.h"

#include <poll.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/socket.h>

/*
 * The vhost-user back-end behind an IOMMU: the front-end translates page by page, no two adjacent
 * pages lie together, and takes translations back under traffic. Frames go round, in order.
 */
#define PAGE  4096ULL
#define PAGES 1024U
#define GPA   0x40000000ULL
#define USER  0x7fff00000000ULL
#define IOVA  0xfee00000000ULL
#define SIZE  64U
#define BUF   3000U /* crosses pages */

struct bed {
	struct echo echo;
	struct vhost_user_frontend fe;
	int memfd;
	uint8_t *ram;
	struct mem_table *guest; /* what the driver sees: I/O virtual addresses */
	struct side rx, tx;
	unsigned free[SIZE], nfree; /* buffers to send */
	struct vhost_user_rx requests;
	uint64_t sent, next;
	unsigned misses;
};

/* Where the page at IOVA + page * PAGE really is. */
static uint64_t scatter(unsigned page)
{
	return (page * 389U + 17) % PAGES * PAGE;
}

static void *at(struct bed *b, uint64_t iova)
{
	uint64_t off = iova - IOVA;

	return b->ram + scatter((unsigned)(off / PAGE)) + off % PAGE;
}

static void make_memory(struct bed *b)
{
	struct mem_region *list = calloc(PAGES, sizeof(*list));
	struct error err;

	b->memfd = memfd_create("guest", MFD_CLOEXEC);
	assert_int_equal(ftruncate(b->memfd, PAGES * PAGE), 0);
	b->ram = mmap(NULL, PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, b->memfd, 0);
	assert_ptr_not_equal(b->ram, MAP_FAILED);
	for (unsigned i = 0; i < PAGES; i++)
		list[i] = (struct mem_region){
			.gpa = IOVA + i * PAGE, .size = PAGE, .hva = b->ram + scatter(i), .fd = -1};
	assert_int_equal(mem_table_new(list, PAGES, &b->guest, &err), 0);
	free(list);
}

static void ask(struct bed *b, struct vhost_user_msg *msg)
{
	struct error err;

	vhost_user_within(&b->fe, PATIENCE_MS);
	if (vhost_user_tell(&b->fe, msg, &err))
		fail_msg("%s", err.text);
}

static void tell_iotlb(struct bed *b, uint64_t iova, uint64_t size, uint8_t type, uint8_t perm)
{
	struct vhost_user_msg msg = {.hdr = {VHOST_USER_IOTLB_MSG, VHOST_USER_VERSION, 32}};

	msg.payload.iotlb = (struct vhost_user_iotlb){
		.iova = iova,
		.size = size,
		.user_addr = USER + scatter((unsigned)((iova - IOVA) / PAGE % PAGES)),
		.perm = perm,
		.type = type,
	};
	ask(b, &msg);
}

/* The transmit buffers may only be read. */
static void answer_misses(struct bed *b)
{
	struct error err;

	while (vhost_user_rx_step(&b->requests, VHOST_USER_CHANNEL_BACKEND, b->fe.backend_fd,
				  &err) == 1) {
		struct vhost_user_iotlb io = b->requests.msg.payload.iotlb;
		uint64_t page = io.iova / PAGE * PAGE;
		bool readonly = page >= b->tx.bufs / PAGE * PAGE && b->tx.bufs > b->rx.bufs;

		assert_int_equal(b->requests.msg.hdr.request, VHOST_USER_BACKEND_IOTLB_MSG);
		assert_int_equal(io.type, VHOST_USER_IOTLB_MISS);
		assert_true(page >= IOVA && page < IOVA + PAGES * PAGE);
		vhost_user_rx_next(&b->requests);
		tell_iotlb(b, page, PAGE, VHOST_USER_IOTLB_UPDATE, readonly ? 1 : 3);
		b->misses++;
	}
}

static void put(struct side *s, unsigned n, bool out)
{
	struct vdrv_sg sg = {s->bufs + (uint64_t)n * BUF, BUF};

	assert_int_equal(vdrv_add(s->drv, &sg, out, !out, false, 0, (void *)(uintptr_t)n), 0);
	vdrv_publish(s->drv);
}

static void fill(struct bed *b, uint64_t iova, uint64_t seq)
{
	for (unsigned i = 0; i < BUF; i++)
		*(uint8_t *)at(b, iova + i) = (uint8_t)(seq * 7 + i);
}

static void check(struct bed *b, uint64_t iova, uint64_t seq, uint32_t len)
{
	for (unsigned i = 0; i < len; i++)
		assert_int_equal(*(uint8_t *)at(b, iova + i), (uint8_t)(seq * 7 + i));
}

static void round_trip(struct bed *b)
{
	void *cookie;
	uint32_t len;

	while (b->nfree && b->sent - b->next < 32) {
		unsigned n = b->free[--b->nfree];

		fill(b, b->tx.bufs + (uint64_t)n * BUF, b->sent++);
		put(&b->tx, n, true);
	}
	answer_misses(b);
	while (vdrv_get(b->tx.drv, &cookie, &len) == 1)
		b->free[b->nfree++] = (unsigned)(uintptr_t)cookie;
	while (vdrv_get(b->rx.drv, &cookie, &len) == 1) {
		unsigned n = (unsigned)(uintptr_t)cookie;

		assert_true(len > 0);
		check(b, b->rx.bufs + (uint64_t)n * BUF, b->next++, len);
		put(&b->rx, n, false);
	}
}

static void run(struct bed *b, uint64_t frames)
{
	uint64_t end = clock_ns() + PATIENCE_NS, goal = b->next + frames;

	while (b->next < goal && clock_ns() < end) {
		round_trip(b);
		sched_yield();
	}
	if (b->next < goal)
		fail_msg("only %llu frames come back", (unsigned long long)b->next);
}

static void attach(void *arg)
{
	struct bed *b = arg;

	assert_int_equal(vhost_backend_attach(b->echo.be, b->memfd, &b->echo.err), 0);
}

static void set_features(struct bed *b, bool packed, bool log)
{
	uint64_t features = 1ULL << VIRTIO_F_VERSION_1 | 1ULL << VIRTIO_RING_F_EVENT_IDX |
			    1ULL << VIRTIO_F_ACCESS_PLATFORM;
	struct error err;

	if (packed)
		features |= 1ULL << VIRTIO_F_RING_PACKED;
	assert_int_equal(vhost_user_set_features(&b->fe, features, log, &err), 0);
}

static void give_ring(struct bed *b, unsigned index, struct side *s)
{
	struct error err;
	struct mem_region whole = {.gpa = IOVA, .size = PAGES * PAGE, .user_addr = IOVA, .fd = -1};
	struct mem_table *identity;

	/* Addresses as they are: the front-end's code would turn them into its own. */
	assert_int_equal(mem_table_new(&whole, 1, &identity, &err), 0);
	side_give(s, &b->fe, index, identity);
	mem_table_free(identity);
}

static void bed_open(struct bed *b, bool packed)
{
	struct vhost_user_msg msg = {.hdr = {VHOST_USER_SET_MEM_TABLE, VHOST_USER_VERSION, 40}};
	struct error err;
	int pair[2], keep;

	memset(b, 0, sizeof(*b));
	echo_init(&b->echo, NULL, false);
	b->echo.params.features |= 1ULL << VIRTIO_F_ACCESS_PLATFORM;
	echo_up(&b->echo);
	make_memory(b);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	keep = b->memfd;
	b->memfd = pair[1];
	assert_int_equal(loop_call(b->echo.loop, attach, b), 0);
	b->memfd = keep;
	vhost_user_frontend_init(&b->fe, "test");
	vhost_user_within(&b->fe, PATIENCE_MS);
	assert_int_equal(vhost_user_greet(&b->fe, pair[0], &err), 0);
	set_features(b, packed, false);
	msg.payload.memory.count = 1;
	msg.payload.memory.regions[0] = (struct vhost_user_region){GPA, PAGES * PAGE, USER, 0};
	msg.fds[0] = b->memfd;
	msg.nfds = 1;
	ask(b, &msg);
	side_open(&b->rx, b->guest, IOVA, SIZE, packed, false);
	side_open(&b->tx, b->guest, IOVA + 256 * PAGE, SIZE, packed, false);
	b->rx.bufs = b->rx.cfg.desc + 3 * PAGE + 1000;
	b->tx.bufs = b->tx.cfg.desc + 3 * PAGE + 1000;
	for (unsigned i = 0; i < SIZE; i++) {
		put(&b->rx, SIZE - 1 - i, false);
		b->free[b->nfree++] = i;
	}
	give_ring(b, 0, &b->rx);
	give_ring(b, 1, &b->tx);
}

static void bed_close(struct bed *b)
{
	vhost_user_hang_up(&b->fe);
	echo_done(&b->echo);
	side_close(&b->rx);
	side_close(&b->tx);
	mem_table_free(b->guest);
	munmap(b->ram, PAGES * PAGE);
	close(b->memfd);
}

static void traffic(bool packed)
{
	struct bed b;

	bed_open(&b, packed);
	run(&b, 2000);
	assert_true(b.misses > 6); /* the rings' parts at least */
	for (unsigned i = 0; i < rounds(100, 30); i++) {
		unsigned before = b.misses;

		tell_iotlb(&b, IOVA + i * 37 % 400 * PAGE, PAGE * (1 + i % 5),
			   VHOST_USER_IOTLB_INVALIDATE, 0);
		if (i % 50 == 0) /* all of it */
			tell_iotlb(&b, 0, 0, VHOST_USER_IOTLB_INVALIDATE, 0);
		run(&b, 100);
		assert_true(i % 50 || b.misses > before);
	}
	assert_int_equal(b.sent - b.next <= 32, 1);
	bed_close(&b);
}

static void test_split(void **state)
{
	traffic(false);
}

static void test_packed(void **state)
{
	traffic(true);
}

/* The log is of guest-physical pages, whatever the ring's addresses are. */
static void test_log(void **state)
{
	struct vhost_user_msg msg = {.hdr = {VHOST_USER_SET_LOG_BASE, VHOST_USER_VERSION, 16}};
	uint64_t bytes = (GPA + PAGES * PAGE) / PAGE / 8;
	struct dirty_log *log;
	struct error err;
	struct bed b;

	for (unsigned packed = 0; packed < 2; packed++) {
		bed_open(&b, packed);
		log = dirty_log_create(GPA + PAGES * PAGE, &err);
		msg.hdr.flags = VHOST_USER_VERSION;
		msg.payload.log = (struct vhost_user_log){bytes, 0};
		msg.fds[0] = log->fd;
		msg.nfds = 1;
		vhost_user_within(&b.fe, PATIENCE_MS);
		assert_int_equal(vhost_user_ask(&b.fe, &msg, &err), 0);
		msg.hdr.size = 16;
		set_features(&b, packed, true);
		run(&b, 1000);
		for (unsigned page = 0; page < PAGES; page++) {
			uint64_t iova = IOVA + page * PAGE, gpn = (GPA + scatter(page)) / PAGE;
			bool used = iova == (packed ? b.rx.cfg.desc : b.rx.cfg.device) ||
				    iova == (packed ? b.tx.cfg.desc : b.tx.cfg.device);
			bool rx = iova + PAGE > b.rx.bufs && iova <= b.rx.bufs + (SIZE - 1) * BUF;
			bool tx = iova + PAGE > b.tx.bufs && iova < b.tx.bufs + SIZE * BUF;
			bool marked = log->words[gpn / 64] >> gpn % 64 & 1;

			if (used || rx)
				assert_true(marked);
			if (tx)
				assert_false(marked);
		}
		bed_close(&b);
		dirty_log_free(log);
	}
}

/* Frames are sent, and the miss that comes of it is not answered. */
static void miss(struct bed *b)
{
	struct pollfd p = {.fd = b->fe.backend_fd, .events = POLLIN};

	tell_iotlb(b, 0, 0, VHOST_USER_IOTLB_INVALIDATE, 0);
	for (unsigned i = 0; i < 4 && b->nfree; i++) {
		unsigned n = b->free[--b->nfree];

		fill(b, b->tx.bufs + (uint64_t)n * BUF, b->sent++);
		put(&b->tx, n, true);
	}
	assert_int_equal(poll(&p, 1, PATIENCE_MS), 1);
}

/* A translation of memory that is taken away after it. */
static void stale(struct bed *b)
{
	const struct vhost_user_region more = {2 * GPA, PAGES * PAGE, USER + GIB, 0};
	struct vhost_user_msg msg = {.nfds = 1, .fds = {b->memfd}};

	msg.hdr = (struct vhost_user_header){VHOST_USER_ADD_MEM_REG, VHOST_USER_VERSION,
					     sizeof(msg.payload.single)};
	msg.payload.single.region = more;
	ask(b, &msg);
	msg = (struct vhost_user_msg){.hdr = {VHOST_USER_IOTLB_MSG, VHOST_USER_VERSION, 32}};
	msg.payload.iotlb = (struct vhost_user_iotlb){.iova = IOVA - GIB,
						      .size = PAGE,
						      .user_addr = more.user_addr,
						      .perm = VHOST_USER_IOTLB_RW,
						      .type = VHOST_USER_IOTLB_UPDATE};
	ask(b, &msg);
	msg = (struct vhost_user_msg){
		.hdr = {VHOST_USER_REM_MEM_REG, VHOST_USER_VERSION, sizeof(msg.payload.single)}};
	msg.payload.single.region = more;
	ask(b, &msg);
}

/*
 * Back-ends take over from one another: with translations; with a miss that the old one asked for and
 * the new one gets the answer to; with translations of memory that is not there any more.
 */
static void handed_over(bool packed)
{
	unsigned before;
	struct bed b;

	bed_open(&b, packed);
	run(&b, 2000);
	stale(&b);
	for (unsigned i = rounds(6, 3); i; i--) {
		before = b.misses;
		echo_hand_over(&b.echo);
		run(&b, 100);
		/* Most are known still: of those sent some may be new, two pages each; if nothing
		 * were known, all that are received would be missing. */
		assert_true(b.misses < before + 80);
		before = b.misses;
		miss(&b);
		echo_hand_over(&b.echo);
		run(&b, 100);
		assert_true(b.misses > before);
	}
	bed_close(&b);
}

static void test_handed_over(void **state)
{
	handed_over(false);
	handed_over(true);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_split),
		cmocka_unit_test(test_packed),
		cmocka_unit_test(test_log),
		cmocka_unit_test(test_handed_over),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
