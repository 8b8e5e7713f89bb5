/* SPDX-License-Identifier: Apache-2.0 */
#include "back_session.h"
#include "ring_side.h"

#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <poll.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>

/*
 * Post-copy: a guest with chains in its rings comes to a back-end before its memory does. What is asked
 * for comes, late; in the end the rest does. A neighbour on the same worker, whose frames go round all
 * the time, loses none and does not wait, also where a front-end never brings a page.
 */
#define PAGE   4096ULL
#define PAGES  1024U
#define BYTES  (PAGES * PAGE)
#define GPA    0x40000000ULL
#define USER   0x7fff00000000ULL
#define SIZE   64U
#define BUF    3000U /* crosses pages */
#define FRAMES 32U
#define LATE   2000 /* us that a page takes */

struct bed {
	struct session neighbour;
	struct echo echo;
	struct vhost_user_frontend fe;
	int there, here; /* the memory's file where it came from, and where it goes */
	uint8_t *image;	 /* what was there */
	uint8_t *ram;	 /* what the driver sees */
	struct mem_table *table;
	struct side rx, tx;
	int uffd, pair[2];
	uint64_t registered; /* where the back-end has the memory */
	_Atomic bool stop;
	_Atomic unsigned served;
	pthread_t server;
	int saves;
};

static uint8_t byte_of(uint64_t seq, unsigned i)
{
	return (uint8_t)(seq * 7 + i);
}

/* Buffer n: to send, through an indirect table in a page of its own, or to receive. */
static void put(struct bed *b, struct side *s, uint64_t n, bool out)
{
	uint64_t gpa = s->bufs + n % SIZE * 2 * PAGE;
	struct vdrv_sg sg = {gpa, BUF};

	for (unsigned i = 0; i < BUF && out; i++)
		b->ram[gpa - GPA + i] = byte_of(n, i);
	assert_int_equal(vdrv_add(s->drv, &sg, out, !out, out, ALIGN_UP(gpa + BUF, 16),
				  (void *)(uintptr_t)n),
			 0);
	vdrv_publish(s->drv);
}

/* The back-end's threads wait for what this brings. */
static void *serve(void *arg)
{
	struct bed *b = arg;
	struct pollfd p = {.fd = b->uffd, .events = POLLIN};

	while (!atomic_load(&b->stop)) {
		struct uffd_msg msg;
		struct uffdio_range range = {.len = PAGE};
		uint64_t off;

		if (poll(&p, 1, 10) != 1 || read(b->uffd, &msg, sizeof(msg)) != sizeof(msg))
			continue;
		if (msg.event != UFFD_EVENT_PAGEFAULT)
			continue;
		off = ALIGN_DOWN(msg.arg.pagefault.address, PAGE) - b->registered;
		if (off >= BYTES)
			continue;
		usleep(LATE);
		if (pwrite(b->here, b->image + off, PAGE, (off_t)off) == (ssize_t)PAGE)
			atomic_fetch_add(&b->served, 1);
		range.start = b->registered + off;
		ioctl(b->uffd, UFFDIO_WAKE, &range);
	}
	return NULL;
}

static void tell(struct bed *b, uint32_t request)
{
	struct vhost_user_msg msg = vhost_user_message(request, 0);
	struct error err;

	vhost_user_within(&b->fe, PATIENCE_MS);
	if (vhost_user_tell(&b->fe, &msg, &err))
		fail_msg("%s", err.text);
}

static void attach(void *arg)
{
	struct bed *b = arg;

	assert_int_equal(vhost_backend_attach(b->echo.be, b->pair[1], &b->echo.err), 0);
}

/* The other end of a socket on which PAGEFAULT is agreed on, and what is there is listened to. */
static void meet(struct bed *b, bool packed)
{
	struct vhost_user_msg msg = vhost_user_message(VHOST_USER_SET_PROTOCOL_FEATURES, 8);
	uint64_t features = 1ULL << VIRTIO_F_VERSION_1 | 1ULL << VIRTIO_RING_F_EVENT_IDX |
			    1ULL << VIRTIO_RING_F_INDIRECT_DESC;
	struct error err;

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, b->pair), 0);
	assert_int_equal(loop_call(b->echo.loop, attach, b), 0);
	vhost_user_frontend_init(&b->fe, "test");
	vhost_user_within(&b->fe, PATIENCE_MS);
	assert_int_equal(vhost_user_greet(&b->fe, b->pair[0], &err), 0);
	b->fe.protocol |= 1ULL << VHOST_USER_PROTOCOL_F_PAGEFAULT;
	msg.payload.u64 = b->fe.protocol;
	assert_int_equal(vhost_user_transmit(&b->fe, &msg, &err), 0);
	if (packed)
		features |= 1ULL << VIRTIO_F_RING_PACKED;
	assert_int_equal(vhost_user_set_features(&b->fe, features, false, &err), 0);
	msg = vhost_user_message(VHOST_USER_POSTCOPY_ADVISE, 0);
	if (vhost_user_ask(&b->fe, &msg, &err))
		fail_msg("%s", err.text);
	assert_int_equal(msg.hdr.size, 0);
	assert_int_equal(msg.nfds, 1);
	b->uffd = msg.fds[0];
	tell(b, VHOST_USER_POSTCOPY_LISTEN);
}

/* SET_MEM_TABLE is answered with where the memory is there; that is acknowledged in turn. */
static void give_memory(struct bed *b, bool acknowledge)
{
	struct vhost_user_msg msg = vhost_user_message(VHOST_USER_SET_MEM_TABLE, 40);
	struct {
		struct vhost_user_header hdr;
		struct vhost_user_memory m;
	} __attribute__((packed)) answer;
	struct error err;

	msg.payload.memory.count = 1;
	msg.payload.memory.regions[0] = (struct vhost_user_region){GPA, BYTES, USER, 0};
	msg.fds[0] = b->here;
	msg.nfds = 1;
	msg.hdr.flags |= VHOST_USER_NEED_REPLY; /* not answered twice */
	assert_int_equal(vhost_user_transmit(&b->fe, &msg, &err), 0);
	assert_int_equal(recv(b->fe.fd, &answer, 12 + 40, MSG_WAITALL), 12 + 40);
	assert_int_equal(answer.hdr.request, VHOST_USER_SET_MEM_TABLE);
	assert_int_equal(answer.hdr.size, 40);
	assert_int_equal(answer.m.regions[0].gpa, GPA);
	b->registered = answer.m.regions[0].user_addr;
	if (!acknowledge)
		return;
	msg = vhost_user_message(VHOST_USER_SET_MEM_TABLE, 8);
	assert_int_equal(vhost_user_transmit(&b->fe, &msg, &err), 0);
}

/* The guest as it was when it left, in `image`; `here` is empty, and what the driver sees from now on. */
static void leave(struct bed *b, bool packed)
{
	struct mem_region region = {.gpa = GPA, .size = BYTES, .user_addr = USER, .fd = -1};
	struct error err;

	b->there = memfd_create("there", MFD_CLOEXEC);
	b->here = memfd_create("here", MFD_CLOEXEC);
	assert_int_equal(ftruncate(b->there, BYTES) | ftruncate(b->here, BYTES), 0);
	b->ram = mmap(NULL, BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, b->there, 0);
	assert_ptr_not_equal(b->ram, MAP_FAILED);
	region.hva = b->ram;
	assert_int_equal(mem_table_new(&region, 1, &b->table, &err), 0);
	side_open(&b->rx, b->table, GPA, SIZE, packed, false);
	side_open(&b->tx, b->table, GPA + 512 * PAGE, SIZE, packed, true);
	b->rx.bufs = b->rx.cfg.desc + 4 * PAGE + 1000;
	b->tx.bufs = b->tx.cfg.desc + 4 * PAGE + 1000;
	for (unsigned i = 0; i < FRAMES; i++) {
		put(b, &b->rx, i, false);
		put(b, &b->tx, i, true);
	}
	b->image = malloc(BYTES);
	memcpy(b->image, b->ram, BYTES);
	assert_ptr_equal(
		mmap(b->ram, BYTES, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, b->here, 0),
		b->ram);
}

static void bed_open(struct bed *b, bool packed)
{
	memset(b, 0, sizeof(*b));
	session_open(&b->neighbour, 1, false, true);
	echo_init_second(&b->echo, NULL, false, &b->neighbour.echo);
	echo_up(&b->echo);
	leave(b, packed);
	meet(b, packed);
}

static void bed_close(struct bed *b)
{
	vhost_user_hang_up(&b->fe);
	echo_down(&b->echo);
	pthread_mutex_lock(b->neighbour.echo.lock);
	b->neighbour.echo.second = NULL;
	pthread_mutex_unlock(b->neighbour.echo.lock);
	flow_until(&b->neighbour.pb, &b->neighbour.f, 200);
	assert_int_equal(b->neighbour.f.lost, 0);
	session_close(&b->neighbour);
	side_close(&b->rx);
	side_close(&b->tx);
	close(b->uffd);
	mem_table_free(b->table);
	munmap(b->ram, BYTES);
	free(b->image);
	close(b->here);
	close(b->there);
}

static uint64_t bytes_here(const struct bed *b)
{
	struct stat st;

	assert_int_equal(fstat(b->here, &st), 0);
	return (uint64_t)st.st_blocks * 512;
}

/* Until that many frames have gone round; the neighbour's go on meanwhile. */
static void await_frames(struct bed *b, uint64_t n)
{
	uint64_t end = clock_ns() + PATIENCE_NS;

	while (atomic_load(&b->echo.frames) < n && clock_ns() < end)
		flow_until(&b->neighbour.pb, &b->neighbour.f, 50);
	assert_int_equal(atomic_load(&b->echo.frames), n);
}

/* What is counted is published a moment later. */
static uintptr_t get(struct side *s, uint32_t *len)
{
	uint64_t end = clock_ns() + PATIENCE_NS;
	void *cookie;

	while (vdrv_get(s->drv, &cookie, len) != 1) {
		assert_true(clock_ns() < end);
		sched_yield();
	}
	return (uintptr_t)cookie;
}

static void check_frames(struct bed *b, uint64_t from)
{
	uint32_t len;

	for (uint64_t seq = from; seq < from + FRAMES; seq++) {
		const uint8_t *got =
			b->ram + (b->rx.bufs - GPA) + get(&b->rx, &len) % SIZE * 2 * PAGE;

		assert_int_equal(len, BUF);
		for (unsigned i = 0; i < BUF; i++)
			assert_int_equal(got[i], byte_of(seq, i));
		get(&b->tx, &len);
	}
}

/* What nobody asked for comes too. */
static void bring_the_rest(struct bed *b)
{
	for (uint64_t off = 0; off < BYTES; off += PAGE)
		if (lseek(b->here, (off_t)off, SEEK_DATA) != (off_t)off)
			assert_int_equal(pwrite(b->here, b->image + off, PAGE, (off_t)off), PAGE);
}

static void can_save(void *arg)
{
	struct bed *b = arg;

	b->saves = vhost_backend_can_save(b->echo.be, &b->echo.err);
}

static void goes_ahead(bool packed)
{
	struct bed b;

	bed_open(&b, packed);
	give_memory(&b, true);
	assert_int_equal(pthread_create(&b.server, NULL, serve, &b), 0);
	side_give(&b.rx, &b.fe, 0, b.table);
	side_give(&b.tx, &b.fe, 1, b.table);
	await_frames(&b, FRAMES);
	/* The rings, and one to two pages a buffer; no page was made but those. */
	assert_true(atomic_load(&b.served) >= 2 * FRAMES + 6);
	assert_int_equal(bytes_here(&b), atomic_load(&b.served) * PAGE);
	bring_the_rest(&b);
	assert_int_equal(loop_call(b.echo.loop, can_save, &b), 0);
	assert_int_equal(b.saves, -EBUSY); /* page faults are told to one process */
	tell(&b, VHOST_USER_POSTCOPY_END);
	assert_int_equal(loop_call(b.echo.loop, can_save, &b), 0);
	assert_int_equal(b.saves, 0);
	atomic_store(&b.stop, true);
	pthread_join(b.server, NULL);
	check_frames(&b, 0);
	for (unsigned round = 1; round < 10; round++) {
		for (unsigned i = 0; i < FRAMES; i++) {
			put(&b, &b.rx, round * FRAMES + i, false);
			put(&b, &b.tx, round * FRAMES + i, true);
		}
		await_frames(&b, (uint64_t)(round + 1) * FRAMES);
		check_frames(&b, (uint64_t)round * FRAMES);
	}
	bed_close(&b);
}

static void test_split(void **state)
{
	goes_ahead(false);
}

static void test_packed(void **state)
{
	goes_ahead(true);
}

/* A front-end that brings nothing: its rings wait, nobody else does, and its memory stays empty. */
static void test_never(void **state)
{
	struct bed b;

	bed_open(&b, false);
	give_memory(&b, true);
	side_give(&b.rx, &b.fe, 0, b.table);
	side_give(&b.tx, &b.fe, 1, b.table);
	flow_until(&b.neighbour.pb, &b.neighbour.f, 1000);
	assert_int_equal(b.echo.frames, 0);
	vhost_user_hang_up(&b.fe);
	for (unsigned i = 0; i < PATIENCE_MS && atomic_load(&b.echo.connected); i++)
		flow_run(&b.neighbour.pb, &b.neighbour.f, 1);
	assert_false(atomic_load(&b.echo.connected));
	assert_int_equal(bytes_here(&b), 0);
	bed_close(&b);
}

/* Before it is said that the addresses are known nothing is touched; and the table may change. */
static void test_order(void **state)
{
	struct vhost_user_msg msg = vhost_user_message(VHOST_USER_POSTCOPY_ADVISE, 0);
	struct pollfd p;
	struct error err;
	struct bed b;

	bed_open(&b, false);
	give_memory(&b, false);
	p = (struct pollfd){.fd = b.uffd, .events = POLLIN};
	side_give(&b.rx, &b.fe, 0, b.table);
	side_give(&b.tx, &b.fe, 1, b.table);
	assert_int_equal(poll(&p, 1, 50), 0);
	give_memory(&b, true);
	assert_int_equal(poll(&p, 1, PATIENCE_MS), 1);
	give_memory(&b, true); /* while threads wait for pages of the former */
	flow_until(&b.neighbour.pb, &b.neighbour.f, 100);
	vhost_user_within(&b.fe, PATIENCE_MS);
	assert_true(vhost_user_ask(&b.fe, &msg, &err) < 0); /* twice */
	close(b.uffd);
	vhost_user_hang_up(&b.fe);
	for (unsigned i = 0; i < PATIENCE_MS && atomic_load(&b.echo.connected); i++)
		flow_run(&b.neighbour.pb, &b.neighbour.f, 1);
	assert_int_equal(bytes_here(&b), 0);
	meet(&b, false);
	bed_close(&b);
}

static int setup(void **state)
{
	struct uffdio_api api = {.api = UFFD_API};
	int fd = (int)syscall(SYS_userfaultfd, O_CLOEXEC | UFFD_USER_MODE_ONLY);

	if (fd < 0 || ioctl(fd, UFFDIO_API, &api) < 0) {
		print_message("skipped: no userfaultfd here\n");
		exit(77);
	}
	close(fd);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_split),
		cmocka_unit_test(test_packed),
		cmocka_unit_test(test_never),
		cmocka_unit_test(test_order),
	};

	return cmocka_run_group_tests(tests, setup, NULL);
}
