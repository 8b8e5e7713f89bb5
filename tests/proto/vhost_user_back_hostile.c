/* SPDX-License-Identifier: Apache-2.0 */
#include "unit/backend_echo.h"
#include "unit/plane_bed.h"

#include "vhost/user_frontend.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/socket.h>

/*
 * Front-ends that send anything, against the vhost-user back-end. The worst that may happen to one
 * is that it loses its connection; a neighbour, served by the same worker, never notices.
 */
#define GPA   0x100000ULL
#define USER  0x7f0000000000ULL
#define BYTES (4 * MIB)

/* The neighbour: a front-end of ours, and frames going round. */
struct neighbour {
	char path[64];
	struct pb pb;
	uint64_t sent, next, lost;
};

static struct echo echo; /* its worker serves the hostile one too */
static struct echo victim;
static struct neighbour n;

static void neighbour_run(uint64_t frames)
{
	uint64_t end = clock_ns() + PATIENCE_NS, goal = n.next + frames, s;

	while (n.next < goal && clock_ns() < end) {
		while (n.sent - n.next < 64 && pb_send(&n.pb, 0, n.sent))
			n.sent++;
		while (pb_recv(&n.pb, 0, &s)) {
			assert_true(s >= n.next && s < n.sent);
			n.lost += s - n.next;
			n.next = s + 1;
		}
		loop_run_once(n.pb.loop, 0);
		sched_yield();
	}
	assert_true(n.next >= goal);
	assert_int_equal(n.lost, 0);
}

/* The hostile one: a connection of its own, to a back-end on the neighbour's loop and worker. */
struct attach {
	int fd;
	int rc;
};

static void attach(void *arg)
{
	struct attach *a = arg;
	struct error err;

	a->rc = vhost_backend_attach(victim.be, a->fd, &err);
}

static int meet(void)
{
	struct attach a;
	int pair[2];

	for (unsigned i = 0; i < PATIENCE_MS && atomic_load(&victim.connected); i++)
		usleep(1000);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	a.fd = pair[1];
	assert_int_equal(loop_call(victim.loop, attach, &a), 0);
	assert_int_equal(a.rc, 0);
	return pair[0];
}

static void wait_closed(int fd)
{
	struct pollfd p = {.fd = fd, .events = POLLRDHUP};

	if (poll(&p, 1, PATIENCE_MS) != 1)
		fail_msg("the connection is still there");
	close(fd);
	for (unsigned i = 0; i < PATIENCE_MS && atomic_load(&victim.connected); i++)
		usleep(1000);
	assert_false(atomic_load(&victim.connected));
	neighbour_run(200);
}

static void send_with(int fd, uint32_t request, const void *payload, uint32_t size, const int *fds,
		      unsigned nfds)
{
	struct vhost_user_msg msg = {.hdr = {request, VHOST_USER_VERSION, size}, .nfds = nfds};
	struct error err;

	memcpy(&msg.payload, payload, size);
	if (nfds)
		memcpy(msg.fds, fds, nfds * sizeof(int));
	vhost_user_send(fd, &msg, clock_ns() + PATIENCE_NS, &err); /* it may be gone already */
}

static void send_u64(int fd, uint32_t request, uint64_t value)
{
	send_with(fd, request, &value, sizeof(value), NULL, 0);
}

/* Acknowledged, and what is refused is not: connections that only answer no go on. */
static void expect_refusal(int fd, uint32_t request, const void *payload, uint32_t size)
{
	struct vhost_user_msg msg = {
		.hdr = {request, VHOST_USER_VERSION | VHOST_USER_NEED_REPLY, size}};
	struct vhost_user_rx rx = {0};
	struct error err;
	int rc;

	memcpy(&msg.payload, payload, size);
	assert_int_equal(vhost_user_send(fd, &msg, clock_ns() + PATIENCE_NS, &err), 0);
	rc = vhost_user_recv(&rx, VHOST_USER_CHANNEL_FRONTEND, fd, clock_ns() + PATIENCE_NS, &err);
	assert_true(rc == 1 || rc == -ENOTSUP); /* the latter: a request that nobody knows */
	assert_int_equal(rx.msg.hdr.request, request);
	assert_int_not_equal(rx.msg.payload.u64, 0);
}

static void agree(int fd)
{
	send_u64(fd, VHOST_USER_SET_PROTOCOL_FEATURES,
		 1ULL << VHOST_USER_PROTOCOL_F_REPLY_ACK | 1ULL << VHOST_USER_PROTOCOL_F_CONFIG |
			 1ULL << VHOST_USER_PROTOCOL_F_LOG_SHMFD |
			 1ULL << VHOST_USER_PROTOCOL_F_NET_MTU |
			 1ULL << VHOST_USER_PROTOCOL_F_CONFIGURE_MEM_SLOTS);
	send_u64(fd, VHOST_USER_SET_FEATURES,
		 1ULL << VIRTIO_F_VERSION_1 | 1ULL << VHOST_USER_F_PROTOCOL_FEATURES);
}

static int make_memory(uint64_t bytes)
{
	int fd = memfd_create("hostile", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, (off_t)bytes), 0);
	return fd;
}

static void give_memory(int fd, int memfd, uint64_t gpa, uint64_t size, uint64_t offset)
{
	struct vhost_user_memory m = {.count = 1};

	m.regions[0] = (struct vhost_user_region){gpa, size, USER, offset};
	send_with(fd, VHOST_USER_SET_MEM_TABLE, &m, 8 + sizeof(m.regions[0]), &memfd, 1);
}

static void test_no_messages(void **state)
{
	static const struct {
		uint32_t words[5];
		unsigned bytes;
	} bad[] = {
		{{VHOST_USER_GET_FEATURES, 0, 0}, 12}, /* version 0 */
		{{VHOST_USER_GET_FEATURES, 1, 8}, 12}, /* a payload where none is due */
		{{VHOST_USER_SET_FEATURES, 1, 7}, 12}, /* too short */
		{{VHOST_USER_SET_FEATURES, 1, 0xffffffff}, 12},
		{{VHOST_USER_SET_FEATURES, 5, 8, 0, 0}, 20}, /* a reply */
		{{9999, 1, 0x10000}, 12},		     /* unknown, and too long to skip */
		{{VHOST_USER_GET_QUEUE_NUM, 1, 0}, 12},	     /* MQ was not agreed on */
		{{VHOST_USER_SET_VRING_NUM, 1, 8, 1000, 256}, 20},
		{{VHOST_USER_SET_VRING_NUM, 1, 8, 0, 0}, 20},
		{{VHOST_USER_SET_VRING_ENABLE, 1, 8, 0, 2}, 20},
		{{VHOST_USER_SET_FEATURES, 1, 8, 0, 0x80000000}, 20}, /* not offered */
		{{VHOST_USER_SET_VRING_KICK, 1, 8, 0, 0}, 20}, /* its descriptor is missing */
	};

	for (unsigned i = 0; i < ARRAY_SIZE(bad); i++) {
		int fd = meet();

		assert_int_equal(write(fd, bad[i].words, bad[i].bytes), bad[i].bytes);
		wait_closed(fd);
	}
}

static void test_half_a_message(void **state)
{
	const uint32_t words[] = {VHOST_USER_SET_FEATURES, 1, 8, 0};
	int fd = meet();

	assert_int_equal(write(fd, words, sizeof(words)), sizeof(words));
	neighbour_run(500);
	assert_true(atomic_load(&victim.connected));
	close(fd);
	fd = meet(); /* waits until it is gone */
	close(fd);
}

/* One that asks and asks and never reads what it is told. */
static void test_never_reads(void **state)
{
	struct vhost_user_msg msg = {.hdr = {VHOST_USER_GET_FEATURES, VHOST_USER_VERSION, 0}};
	struct error err;
	int fd = meet();

	for (unsigned i = 0; i < 1000000; i++)
		if (vhost_user_send(fd, &msg, clock_ns() + PATIENCE_NS, &err))
			break;
	wait_closed(fd);
}

static void test_memory(void **state)
{
	static const struct {
		uint64_t gpa, size, offset;
	} bad[] = {
		{GPA, BYTES + 1, 0}, /* beyond the file's end */
		{GPA, BYTES, 1},     /* … by its offset */
		{GPA, 0, 0},
		{GPA, 1ULL << 62, 0},
		{~0ULL - 100, 4096, 0}, /* wraps */
		{GPA, 4096, ~0ULL - 100},
		{GPA, BYTES, 1ULL << 63},
	};
	int memfd = make_memory(BYTES), null = open("/dev/null", O_RDWR), pipefd[2], fd;

	for (unsigned i = 0; i < ARRAY_SIZE(bad); i++) {
		fd = meet();
		agree(fd);
		give_memory(fd, memfd, bad[i].gpa, bad[i].size, bad[i].offset);
		wait_closed(fd);
	}
	assert_int_equal(pipe(pipefd), 0);
	fd = meet();
	give_memory(fd, null, GPA, 4096, 0);
	wait_closed(fd);
	fd = meet();
	give_memory(fd, pipefd[0], GPA, 4096, 0);
	wait_closed(fd);
	/* Sealed: the guest's memory could not be written. */
	assert_int_equal(fcntl(memfd, F_ADD_SEALS, F_SEAL_WRITE), 0);
	fd = meet();
	give_memory(fd, memfd, GPA, BYTES, 0);
	wait_closed(fd);
	close(memfd);
	close(null);
	close(pipefd[0]);
	close(pipefd[1]);
}

/*
 * More memory than any machine has, in a file that is empty. ThreadSanitizer leaves a program little
 * more than 1 TiB of address space, where a mapping of all of it fits only by luck.
 */
#ifdef __SANITIZE_THREAD__
#define GIANT (1ULL << 36)
#else
#define GIANT (1ULL << 40)
#endif

static void test_giant(void **state)
{
	const struct vhost_user_vring_state none = {.index = 0};
	int memfd = make_memory(GIANT), fd = meet();

	agree(fd);
	give_memory(fd, memfd, GPA, GIANT, 0);
	expect_refusal(fd, VHOST_USER_SET_VRING_NUM, &(uint64_t[]){5ULL << 32 | 77}, 8);
	send_with(fd, VHOST_USER_GET_VRING_BASE, &none, sizeof(none), NULL, 0);
	close(fd);
	close(memfd);
	close(meet());
}

static void test_overlap(void **state)
{
	struct vhost_user_memory m = {.count = 2};
	int memfd = make_memory(BYTES), fds[3] = {memfd, memfd, memfd}, fd = meet();

	m.regions[0] = (struct vhost_user_region){GPA, BYTES, USER, 0};
	m.regions[1] = (struct vhost_user_region){GPA + 4096, BYTES - 4096, USER + GIB, 0};
	send_with(fd, VHOST_USER_SET_MEM_TABLE, &m, 8 + 2 * sizeof(m.regions[0]), fds, 2);
	wait_closed(fd);
	/* More descriptors than regions, and fewer. */
	fd = meet();
	m.regions[1].gpa = GIB;
	send_with(fd, VHOST_USER_SET_MEM_TABLE, &m, 8 + 2 * sizeof(m.regions[0]), fds, 3);
	wait_closed(fd);
	fd = meet();
	send_with(fd, VHOST_USER_SET_MEM_TABLE, &m, 8 + 2 * sizeof(m.regions[0]), fds, 1);
	wait_closed(fd);
	close(memfd);
}

static void test_slots(void **state)
{
	struct vhost_user_single_region r = {.region = {GPA, 4096, USER, 0}};
	int memfd = make_memory(BYTES), fd = meet();

	agree(fd);
	for (unsigned i = 0; i < 65; i++) {
		r.region.gpa = GPA + i * 8192ULL;
		r.region.user_addr = USER + i * 8192ULL;
		send_with(fd, VHOST_USER_ADD_MEM_REG, &r, sizeof(r), &memfd, 1);
	}
	wait_closed(fd); /* the 65th has no slot, and nobody would have heard the no */
	fd = meet();
	agree(fd);
	expect_refusal(fd, VHOST_USER_REM_MEM_REG, &r, sizeof(r));
	send_with(fd, VHOST_USER_REM_MEM_REG, &r, sizeof(r), NULL, 0);
	wait_closed(fd);
	close(memfd);
}

static void give_ring(int fd, unsigned index, uint64_t at, int kick)
{
	const struct vhost_user_vring_state num = {index, 256}, base = {index, 0}, on = {index, 1};
	struct vhost_user_vring_addr addr = {
		.index = index, .desc = at, .avail = at + 64 * KIB, .used = at + 128 * KIB};
	uint64_t value = index;

	send_with(fd, VHOST_USER_SET_VRING_NUM, &num, sizeof(num), NULL, 0);
	send_with(fd, VHOST_USER_SET_VRING_BASE, &base, sizeof(base), NULL, 0);
	send_with(fd, VHOST_USER_SET_VRING_ADDR, &addr, sizeof(addr), NULL, 0);
	send_with(fd, VHOST_USER_SET_VRING_KICK, &value, sizeof(value), &kick, 1);
	send_with(fd, VHOST_USER_SET_VRING_ENABLE, &on, sizeof(on), NULL, 0);
}

static void test_rings(void **state)
{
	int memfd = make_memory(BYTES), kick = eventfd(0, EFD_NONBLOCK), pipefd[2], fd;
	static const uint64_t bad[] = {USER - 4096, USER + BYTES - 4096, 0, ~0ULL - 4095, USER + 1};

	for (unsigned i = 0; i < ARRAY_SIZE(bad); i++) {
		fd = meet();
		agree(fd);
		give_memory(fd, memfd, GPA, BYTES, 0);
		give_ring(fd, 0, bad[i], kick);
		wait_closed(fd);
	}
	assert_int_equal(pipe(pipefd), 0);
	fd = meet();
	agree(fd);
	give_memory(fd, memfd, GPA, BYTES, 0);
	give_ring(fd, 0, USER, pipefd[0]);
	wait_closed(fd);
	close(pipefd[0]);
	close(pipefd[1]);
	close(memfd);
	close(kick);
}

static void wait_running(unsigned queues)
{
	unsigned on = 0;

	for (unsigned i = 0; i < PATIENCE_MS && on != queues; i++) {
		usleep(1000);
		pthread_mutex_lock(victim.lock);
		on = !!victim.queues[0] + !!victim.queues[1];
		pthread_mutex_unlock(victim.lock);
	}
	assert_int_equal(on, queues);
}

static void run_victim(int fd, int memfd)
{
	int kick = eventfd(0, EFD_NONBLOCK);

	agree(fd);
	give_memory(fd, memfd, GPA, BYTES, 0);
	give_ring(fd, 0, USER, kick);
	give_ring(fd, 1, USER + MIB, kick);
	wait_running(2);
	close(kick);
}

/* The file is cut short under a worker that polls the rings in it. */
static void test_shrinks(void **state)
{
	for (unsigned i = 0; i < 20; i++) {
		int memfd = make_memory(BYTES), fd = meet();

		run_victim(fd, memfd);
		assert_int_equal(ftruncate(memfd, i % 2 ? 0 : 4096), 0);
		wait_closed(fd);
		close(memfd);
	}
}

/* The dirty log's file too, and that is marked from a worker. */
static void test_log_shrinks(void **state)
{
	struct vhost_user_log log = {.size = 64 * KIB};
	int memfd = make_memory(BYTES), logfd = make_memory(64 * KIB), fd = meet();
	uint8_t *ram = mmap(NULL, BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, memfd, 0);

	assert_ptr_not_equal(ram, MAP_FAILED);
	run_victim(fd, memfd);
	send_with(fd, VHOST_USER_SET_LOG_BASE, &log, sizeof(log), &logfd, 1);
	assert_int_equal(ftruncate(logfd, 0), 0);
	send_u64(fd, VHOST_USER_SET_FEATURES,
		 1ULL << VIRTIO_F_VERSION_1 | 1ULL << VHOST_USER_F_PROTOCOL_FEATURES |
			 1ULL << VHOST_USER_F_LOG_ALL);
	wait_closed(fd);
	munmap(ram, BYTES);
	close(memfd);
	close(logfd);
}

/* One frame in each direction, straight into the rings. */
static void put_frame(uint8_t *ram)
{
	for (unsigned i = 0; i < 2; i++) {
		uint8_t *desc = ram + i * MIB, *avail = desc + 64 * KIB;

		store_le64(desc, GPA + 2 * MIB);
		store_le32(desc + 8, 100);
		store_le16(desc + 12, i ? 0 : 2);
		store_le16(avail + 2, 1);
	}
}

/* A call eventfd whose counter is full, and that blocks. */
static void test_blocks(void **state)
{
	for (unsigned i = 0; i < 5; i++) {
		int call = eventfd(0, EFD_NONBLOCK), memfd = make_memory(BYTES), fd = meet();
		uint8_t *ram = mmap(NULL, BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, memfd, 0);
		uint64_t index;

		assert_ptr_not_equal(ram, MAP_FAILED);
		for (index = 0; index < 2; index++)
			send_with(fd, VHOST_USER_SET_VRING_CALL, &index, sizeof(index), &call, 1);
		run_victim(fd, memfd);
		assert_int_equal(eventfd_write(call, UINT64_MAX - 1), 0);
		assert_int_equal(fcntl(call, F_SETFL, 0), 0);
		put_frame(ram);
		wait_closed(fd);
		munmap(ram, BYTES);
		close(memfd);
		close(call);
	}
}

/* Whoever owns the rings refuses one. */
static void test_owner_refuses(void **state)
{
	int memfd = make_memory(BYTES), kick = eventfd(0, EFD_NONBLOCK), fd = meet();

	victim.refuse_start = true;
	agree(fd);
	give_memory(fd, memfd, GPA, BYTES, 0);
	give_ring(fd, 0, USER, kick);
	wait_closed(fd);
	victim.refuse_start = false;
	close(memfd);
	close(kick);
}

static void check_refusals(int fd)
{
	static const struct vhost_user_config beyond = {.offset = 20, .size = 8};
	static const struct vhost_user_config readonly = {.offset = 6, .size = 2};

	expect_refusal(fd, VHOST_USER_NET_SET_MTU, &(uint64_t){67}, 8);
	expect_refusal(fd, VHOST_USER_NET_SET_MTU, &(uint64_t){65536}, 8);
	expect_refusal(fd, VHOST_USER_NET_SET_MTU, &(uint64_t){9001}, 8);
	expect_refusal(fd, VHOST_USER_SET_FEATURES, &(uint64_t){1ULL << 63}, 8);
	expect_refusal(fd, VHOST_USER_SET_PROTOCOL_FEATURES, &(uint64_t){1ULL << 40}, 8);
	expect_refusal(fd, VHOST_USER_SET_VRING_NUM, &(uint64_t){4ULL << 32 | 99}, 8);
	expect_refusal(fd, VHOST_USER_SET_CONFIG, &beyond, VHOST_USER_CONFIG_HEADER + 8);
	expect_refusal(fd, VHOST_USER_SET_CONFIG, &readonly, VHOST_USER_CONFIG_HEADER + 2);
	expect_refusal(fd, 77, &(uint64_t){0}, 8); /* a request that nobody knows */
}

/* A no is an answer, not the end. */
static void test_refusals(void **state)
{
	int fd = meet();

	agree(fd);
	check_refusals(fd);
	assert_true(atomic_load(&victim.connected));
	close(fd);
}

static int setup(void **state)
{
	char dir[] = "/tmp/vu-back-XXXXXX", opts[128];

	assert_non_null(mkdtemp(dir));
	snprintf(n.path, sizeof(n.path), "%s/sock", dir);
	echo_init(&echo, n.path, true);
	echo_up(&echo);
	echo_init_second(&victim, NULL, false, &echo);
	echo_up(&victim);
	pb_init(&n.pb, 1, 256, false);
	snprintf(opts, sizeof(opts), "socket=%s,wait=60000", n.path);
	pb_open(&n.pb, "vhost-user", opts);
	neighbour_run(100);
	return 0;
}

static int teardown(void **state)
{
	neighbour_run(1000);
	assert_int_equal(echo.connections, 1);
	pb_stop(&n.pb);
	pb_close(&n.pb);
	echo_down(&victim);
	echo_done(&echo);
	pb_done(&n.pb);
	unlink(n.path);
	*strrchr(n.path, '/') = 0;
	rmdir(n.path);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_no_messages), cmocka_unit_test(test_half_a_message),
		cmocka_unit_test(test_never_reads), cmocka_unit_test(test_memory),
		cmocka_unit_test(test_giant),	    cmocka_unit_test(test_overlap),
		cmocka_unit_test(test_slots),	    cmocka_unit_test(test_rings),
		cmocka_unit_test(test_shrinks),	    cmocka_unit_test(test_blocks),
		cmocka_unit_test(test_log_shrinks), cmocka_unit_test(test_owner_refuses),
		cmocka_unit_test(test_refusals),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
