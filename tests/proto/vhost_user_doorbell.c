/* SPDX-License-Identifier: Apache-2.0 */
#include "scripted_backend.h"

#include <fcntl.h>
#include <sys/mman.h>

/* Back-ends that give pages for doorbells (HOST_NOTIFIER), good ones and others. */
#define PAGE 4096
#define WITH_PAGES                                                \
	(PROTOCOL | 1ULL << VHOST_USER_PROTOCOL_F_HOST_NOTIFIER | \
	 1ULL << VHOST_USER_PROTOCOL_F_BACKEND_SEND_FD)

static int file_of(size_t size, bool sealed)
{
	int fd = memfd_create("doorbells", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, (off_t)size), 0);
	if (sealed)
		assert_int_equal(fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK), 0);
	return fd;
}

static struct vhost_user_msg message(uint64_t queue, uint64_t size, uint64_t offset, int fd)
{
	struct vhost_user_msg m = {
		.hdr = {VHOST_USER_BACKEND_VRING_HOST_NOTIFIER_MSG,
			VHOST_USER_VERSION | VHOST_USER_NEED_REPLY, sizeof(m.payload.area)},
		.payload.area = {queue, size, offset},
		.fds = {fd},
		.nfds = fd >= 0,
	};

	return m;
}

static void begin(struct running *r, const struct script *script)
{
	struct script s = *script;

	s.protocol = WITH_PAGES;
	run_with(r, &s, 2);
	r->b.pb = &r->pb;
	assert_true(r->pb.plane->doorbells);
}

/* Asks from here, while the plane's loop runs; what it answered, or -1: it hung up. */
static int ask(struct running *r, uint64_t queue, uint64_t size, uint64_t offset, int fd)
{
	struct vhost_user_msg m = message(queue, size, offset, fd);
	struct vhost_user_rx rx = {0};
	struct error err;

	assert_int_equal(vhost_user_send(r->b.channel, &m, clock_ns() + PATIENCE_NS, &err), 0);
	for (unsigned i = 0; i < PATIENCE_MS / 5; i++) {
		int rc;

		pb_run(&r->pb, 5);
		rc = vhost_user_rx_step(&rx, VHOST_USER_CHANNEL_BACKEND, r->b.channel, &err);
		if (rc)
			return rc == 1 ? (int)rx.msg.payload.u64 : -1;
	}
	fail_msg("it neither answers nor hangs up");
	return -1;
}

/* What the guest writes into its doorbell is in the file, at the offset. */
static void rings_in(struct running *r, unsigned queue, int fd, off_t offset)
{
	uint32_t there = 0, value = 0x1000 + queue;

	assert_non_null(r->pb.pages[queue]);
	memcpy(r->pb.pages[queue], &value, sizeof(value));
	assert_int_equal(pread(fd, &there, sizeof(there), offset), sizeof(there));
	assert_int_equal(there, value);
}

static void test_given(void **state)
{
	int fd = file_of(2 * PAGE, true), other = file_of(PAGE, true);
	struct running r;

	begin(&r, &(struct script){0});
	assert_int_equal(ask(&r, 1, PAGE, PAGE, fd), 0);
	rings_in(&r, 1, fd, PAGE);
	assert_null(r.pb.pages[0]);
	/* Another in its place, and none. */
	assert_int_equal(ask(&r, 1, PAGE, 0, other), 0);
	rings_in(&r, 1, other, 0);
	assert_int_equal(ask(&r, 0, PAGE, 0, fd), 0);
	rings_in(&r, 0, fd, 0);
	eventfd_read(r.pb.queues[1].kick_fd, &(eventfd_t){0});
	assert_int_equal(ask(&r, 1 | VHOST_USER_NO_FD, 0, 0, -1), 0);
	assert_null(r.pb.pages[1]);
	/* Nobody saw whether the guest had kicked there last. */
	assert_int_equal(eventfd_read(r.pb.queues[1].kick_fd, &(eventfd_t){0}), 0);
	pb_stop(&r.pb);
	assert_null(r.pb.pages[0]);
	assert_false(r.b.page_at_stop);
	run_done(&r);
	close(fd);
	close(other);
}

static void test_refused(void **state)
{
	int fd = file_of(2 * PAGE, true), null = open("/dev/null", O_RDWR),
	    file = open("/proc/self/exe", O_RDONLY);
	int open_file = file_of(PAGE, false);
	struct running r;
	int ends[2];

	assert_int_equal(pipe(ends), 0);
	begin(&r, &(struct script){0});
	assert_int_equal(ask(&r, 4, PAGE, 0, fd), 1); /* no such queue */
	assert_int_equal(ask(&r, 1ULL << 32 | 1, PAGE, 0, fd), 1);
	assert_int_equal(ask(&r, 1, PAGE, 0, -1), 1); /* no descriptor */
	assert_int_equal(ask(&r, 1 | VHOST_USER_NO_FD, PAGE, 0, fd), 1);
	assert_int_equal(ask(&r, 1, 0, 0, fd), 1); /* not a page */
	assert_int_equal(ask(&r, 1, 2 * PAGE, 0, fd), 1);
	assert_int_equal(ask(&r, 1, PAGE, 2, fd), 1);
	assert_int_equal(ask(&r, 1, PAGE, 2 * PAGE, fd), 1); /* beyond the end */
	assert_int_equal(ask(&r, 1, PAGE, 0 - (uint64_t)PAGE, fd), 1);
	assert_int_equal(ask(&r, 1, PAGE, 1ULL << 63, fd), 1);
	assert_int_equal(ask(&r, 1, PAGE, 0, null), 1); /* not to be mapped */
	assert_int_equal(ask(&r, 1, PAGE, 0, file), 1); /* on a disk */
	assert_int_equal(ask(&r, 1, PAGE, 0, ends[0]), 1);
	assert_int_equal(ask(&r, 1, PAGE, 0, open_file), 1); /* it can be cut short */
	r.pb.doorbell_rc = -ENOTSUP;			     /* the NIC has no pages */
	assert_int_equal(ask(&r, 1, PAGE, 0, fd), 1);
	r.pb.doorbell_rc = 0;
	for (unsigned i = 0; i < 4; i++)
		assert_null(r.pb.pages[i]);
	assert_int_equal(ask(&r, 3, PAGE, 0, fd), 0); /* all the same it is still heard */
	assert_int_equal(r.b.met, 1);
	run_done(&r);
	close(fd);
	close(open_file);
	close(null);
	close(file);
	close(ends[0]);
	close(ends[1]);
}

/* Without the feature it is a breach of the protocol: the channel is closed, and all else goes on. */
static void test_not_agreed(void **state)
{
	int fd = file_of(PAGE, true);
	struct running r;

	run_with(&r, &(struct script){0}, 1);
	assert_false(r.pb.plane->doorbells);
	assert_int_equal(ask(&r, 1, PAGE, 0, fd), -1);
	assert_null(r.pb.pages[1]);
	assert_int_equal(r.b.met, 1);
	run_done(&r);
	close(fd);
}

/* It waits for its answer before it gives one: at the first start, and when it comes back. */
static void while_waited_for(unsigned at)
{
	int fd = file_of(PAGE, true);
	struct script script = {.ask_at = at, .ask = message(1, PAGE, 0, fd)};
	struct running r;

	begin(&r, &script);
	assert_int_equal(r.b.asked, 0);
	rings_in(&r, 1, fd, 0);
	backend_stop(&r.b);
	for (unsigned i = 0; i < PATIENCE_MS / 5 && r.pb.pages[1]; i++)
		pb_run(&r.pb, 5);
	assert_null(r.pb.pages[1]);
	r.b.asked = -1;
	backend_listen(&r.b);
	run_until(&r, 2, r.pb.link);
	for (unsigned i = 0; i < PATIENCE_MS / 5 && !r.pb.pages[1]; i++)
		pb_run(&r.pb, 5);
	assert_int_equal(r.b.asked, 0);
	rings_in(&r, 1, fd, 0);
	/* Stopped, it is to be given anew. */
	pb_stop(&r.pb);
	assert_null(r.pb.pages[1]);
	assert_false(r.b.page_at_stop);
	run_done(&r);
	close(fd);
}

static void test_while_waited_for(void **state)
{
	while_waited_for(VHOST_USER_SET_MEM_TABLE);
	while_waited_for(VHOST_USER_SET_STATUS);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_given),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_not_agreed),
		cmocka_unit_test(test_while_waited_for),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
