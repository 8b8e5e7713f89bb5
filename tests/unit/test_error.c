/* SPDX-License-Identifier: Apache-2.0 */
#include "unit.h"

#include "base/error.h"
#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

static void test_set(void **state)
{
	struct error err = {0};

	assert_int_equal(error_set(&err, -EBUSY, "tap%d: busy", 3), -EBUSY);
	assert_int_equal(err.code, -EBUSY);
	assert_string_equal(err.text, "tap3: busy");
	assert_int_equal(error_set(NULL, -EIO, "nobody listens"), -EIO);
}

static void test_prefix(void **state)
{
	char longer[600];
	struct error err = {0};

	error_set(&err, -EBUSY, "busy");
	assert_int_equal(error_prefix(&err, -EIO, "net%d", 0), -EIO);
	assert_string_equal(err.text, "net0: busy");
	assert_int_equal(err.code, -EIO);

	memset(longer, 'x', sizeof(longer) - 1);
	longer[sizeof(longer) - 1] = '\0';
	error_prefix(&err, -EIO, "%s", longer);
	assert_int_equal(strlen(err.text), sizeof(err.text) - 1);
	for (size_t n = 480; n < 520; n++) {
		error_set(&err, -EBUSY, "busy");
		error_prefix(&err, -EBUSY, "%.*s", (int)n, longer);
		assert_true(strlen(err.text) < sizeof(err.text));
	}
}

static void test_name(void **state)
{
	assert_string_equal(error_name(EBUSY), error_name(-EBUSY));
	assert_string_equal(error_name(-99999), "error 99999");
}

static void test_log_level(void **state)
{
	struct error err;
	enum log_level level = LOG_LEVEL_WARN;

	assert_int_equal(log_level_parse("debug", &level, &err), 0);
	assert_int_equal(level, LOG_LEVEL_DEBUG);
	assert_int_equal(log_level_parse("loud", &level, &err), -EINVAL);
	assert_text(err, "loud");
	assert_int_equal(level, LOG_LEVEL_DEBUG);
}

/* A full disk and a pipe that nobody empties lose lines, count them, and stop nobody. */
static void test_log_cannot_write(void **state)
{
	int saved = dup(STDERR_FILENO);
	int full = open("/dev/full", O_WRONLY);
	uint64_t lost = log_lost();
	char block[65536] = {0};
	int pipes[2];

	assert_true(full >= 0);
	dup2(full, STDERR_FILENO);
	log_error("to a full disk");
	assert_int_equal(log_lost(), lost + 1);

	assert_int_equal(pipe(pipes), 0);
	fcntl(pipes[1], F_SETFL, O_NONBLOCK);
	while (write(pipes[1], block, sizeof(block)) > 0)
		;
	fcntl(pipes[1], F_SETFL, 0);
	dup2(pipes[1], STDERR_FILENO);
	log_error("to a full pipe");
	assert_int_equal(log_lost(), lost + 2);

	dup2(saved, STDERR_FILENO);
	close(saved);
	close(full);
	close(pipes[0]);
	close(pipes[1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_set),
		cmocka_unit_test(test_prefix),
		cmocka_unit_test(test_name),
		cmocka_unit_test(test_log_level),
		cmocka_unit_test(test_log_cannot_write),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
