/* SPDX-License-Identifier: Apache-2.0 */
/* What is packed comes out again, through a socket, and what is not there reads as nothing. */
#include "unit.h"

#include "base/parcel.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#define FDS   450 /* three messages' */
#define BYTES (3U << 20)

static int socks[2];

static uint64_t soon(void)
{
	return clock_ns() + 20 * NSEC_PER_SEC;
}

static void pair(void)
{
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, socks),
			 0);
}

static void *sender(void *arg)
{
	struct error err;

	return (void *)(intptr_t)parcel_send(socks[0], arg, soon(), &err);
}

static void test_through_a_socket(void **state)
{
	struct parcel_out out = {0};
	struct parcel_in in;
	uint8_t *big = calloc(1, BYTES), *got = malloc(BYTES);
	struct error err = {0};
	pthread_t thread;
	char text[16];
	void *rc;
	int fd;

	pair();
	big[BYTES - 1] = 7;
	parcel_put_u64(&out, 1ULL << 63);
	parcel_put_text(&out, "a text");
	parcel_put_fd(&out, -1);
	for (unsigned i = 0; i < FDS; i++) {
		fd = eventfd(i, EFD_CLOEXEC | EFD_NONBLOCK);
		parcel_put_fd(&out, fd);
	}
	parcel_put(&out, big, BYTES);
	assert_int_equal(pthread_create(&thread, NULL, sender, &out), 0);
	assert_int_equal(parcel_recv(socks[1], &in, soon(), &err), 0);
	pthread_join(thread, &rc);
	assert_null(rc);
	assert_int_equal(parcel_get_u64(&in), 1ULL << 63);
	parcel_get_text(&in, text, sizeof(text));
	assert_string_equal(text, "a text");
	assert_int_equal(parcel_get_fd(&in), -1);
	for (unsigned i = 0; i < FDS; i++) {
		eventfd_t value = 0;

		fd = parcel_get_fd(&in);
		assert_true(fd >= 0);
		assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
		if (i)
			assert_int_equal(eventfd_read(fd, &value), 0);
		assert_int_equal(value, i);
		close(fd);
	}
	assert_true(parcel_get(&in, got, BYTES));
	assert_memory_equal(got, big, BYTES);
	assert_false(in.bad);
	assert_int_equal(in.at, in.len);
	for (unsigned i = 0; i < FDS; i++)
		close(out.fds[i]);
	parcel_in_free(&in);
	parcel_out_free(&out);
	close(socks[0]);
	close(socks[1]);
	free(big);
	free(got);
}

static struct parcel_in as_in(struct parcel_out *out)
{
	return (struct parcel_in){.data = out->data, .len = out->len};
}

static void test_not_there(void **state)
{
	struct parcel_out out = {0};
	struct parcel_in in;
	char text[4];

	parcel_put_u64(&out, 3);
	in = as_in(&out);
	assert_int_equal(parcel_get_u64(&in), 3);
	assert_int_equal(parcel_get_u64(&in), 0);
	assert_true(in.bad);
	in = as_in(&out);
	assert_int_equal(parcel_get_range(&in, 4, 9), 4);
	assert_true(in.bad);
	in = as_in(&out);
	parcel_get_text(&in, text, sizeof(text)); /* three bytes, which are not there */
	assert_string_equal(text, "");
	assert_true(in.bad);
	assert_int_equal(parcel_get_fd(&in), -1);
	parcel_out_free(&out);

	out = (struct parcel_out){0};
	parcel_put_text(&out, "long");
	in = as_in(&out);
	parcel_get_text(&in, text, sizeof(text));
	assert_true(in.bad);
	parcel_out_free(&out);

	out = (struct parcel_out){0};
	parcel_put_u64(&out, 1); /* a descriptor, it says */
	in = as_in(&out);
	assert_int_equal(parcel_get_fd(&in), -1);
	assert_true(in.bad);
	parcel_out_free(&out);
}

static void test_hostile(void **state)
{
	const uint64_t heads[][3] = {
		{1, 0, 0},
		{0x6c65637261705649ULL, PARCEL_BYTES_MAX + 1, 0},
		{0x6c65637261705649ULL, 0, PARCEL_FDS_MAX + 1},
	};
	struct parcel_in in;
	struct error err = {0};

	for (unsigned i = 0; i < ARRAY_SIZE(heads); i++) {
		pair();
		assert_int_equal(write(socks[0], heads[i], sizeof(heads[i])), sizeof(heads[i]));
		assert_int_equal(parcel_recv(socks[1], &in, soon(), &err), -EPROTO);
		parcel_in_free(&in);
		close(socks[0]);
		close(socks[1]);
	}
	pair();
	assert_int_equal(parcel_recv(socks[1], &in, clock_ns(), &err), -ETIMEDOUT);
	parcel_in_free(&in);
	/* Descriptors are promised, and a byte comes without any. */
	assert_int_equal(write(socks[0], (uint64_t[]){heads[1][0], 0, 2}, 24), 24);
	assert_int_equal(write(socks[0], "x", 1), 1);
	assert_int_equal(parcel_recv(socks[1], &in, soon(), &err), -EMFILE);
	parcel_in_free(&in);
	close(socks[0]);
	assert_int_equal(parcel_recv(socks[1], &in, soon(), &err), -ECONNRESET);
	parcel_in_free(&in);
	close(socks[1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_through_a_socket),
		cmocka_unit_test(test_not_there),
		cmocka_unit_test(test_hostile),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
