/* SPDX-License-Identifier: Apache-2.0 */
/* The client of the control sockets, against answers of every kind. */
#include "unit.h"

#include "control/client.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

static bool add_line(void *arg, const char *line)
{
	char *all = arg;

	snprintf(all + strlen(all), 256 - strlen(all), "[%s]", line);
	return strcmp(line, "enough") != 0;
}

/* Reads an answer; returns what control_client_read() does. */
static int read_answer(const char *answer, unsigned *status, char lines[256], struct error *err)
{
	int fds[2], ret;

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
	assert_int_equal(write(fds[0], answer, strlen(answer)), strlen(answer));
	close(fds[0]);
	lines[0] = '\0';
	*err = (struct error){0};
	*status = 0;
	ret = control_client_read(fds[1], 1000, status, add_line, lines, err);
	close(fds[1]);
	return ret;
}

static void assert_answer(const char *answer, unsigned expected, const char *expected_lines)
{
	struct error err;
	unsigned status;
	char lines[256];

	if (read_answer(answer, &status, lines, &err))
		fail_msg("%s", err.text);
	assert_int_equal(status, expected);
	assert_string_equal(lines, expected_lines);
}

static void test_bodies(void **state)
{
	assert_answer("HTTP/1.1 204 No Content\r\n\r\n", 204, "");
	assert_answer("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabcdef", 200, "[abc]");
	assert_answer("HTTP/1.1 200 OK\r\ncontent-length:  8\r\n\r\none\ntwo\n", 200, "[one][two]");
	assert_answer("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", 200, "");
	assert_answer("HTTP/1.0 200 OK\r\n\r\none\n\ntwo", 200, "[one][][two]");
	assert_answer("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 404 Not Found\r\n"
		      "Content-Length: 2\r\n\r\nno",
		      404, "[no]");
	assert_answer("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
		      "3\r\non\x65\r\nA\r\n\ntwo\nthree\r\n0\r\n\r\n",
		      200, "[one][two][three]");
	assert_answer("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
		      "10;x=y\r\none\nenough\nthree\r\n",
		      200, "[one][enough]");
}

static void assert_broken(const char *answer, int code, const char *why)
{
	struct error err;
	unsigned status;
	char lines[256];

	assert_int_equal(read_answer(answer, &status, lines, &err), code);
	assert_text(err, why);
}

static void test_broken(void **state)
{
	assert_broken("", -EPROTO, "ended in the middle");
	assert_broken("SSH-2.0-x\r\n", -EPROTO, "does not speak HTTP");
	assert_broken("HTTP/1.1 200 OK\r\nX: y\r\n", -EPROTO, "ended in the middle");
	assert_broken("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc", -EPROTO,
		      "ended in the middle");
	assert_broken("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n", -EPROTO,
		      "without a size");
	assert_broken("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\n",
		      -EPROTO, "without a size");
	assert_broken("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n", -EPROTO,
		      "ended in the middle");
}

/* Nobody there, or nobody who answers. */
static void test_silence(void **state)
{
	unsigned status;
	struct error err;
	json_t *reply;
	int fds[2];

	assert_int_equal(
		control_client_call("/nonexistent/sock", "GET", "/", NULL, 1, &reply, &err),
		-ENOTCONN);
	assert_text(err, "nobody listens there");
	assert_null(reply);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
	assert_int_equal(control_client_read(fds[1], 50, &status, add_line, NULL, &err),
			 -ETIMEDOUT);
	close(fds[0]);
	close(fds[1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_bodies),
		cmocka_unit_test(test_broken),
		cmocka_unit_test(test_silence),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
