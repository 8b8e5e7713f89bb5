/* SPDX-License-Identifier: Apache-2.0 */
#include "unit.h"

#include "base/library.h"

#include <errno.h>
#include <math.h>

#define CALLS(X)     X(floor) X(ldexp)
#define SYMBOL(call) {#call, offsetof(struct libm, call)},

struct libm {
	CALLS(LIBRARY_MEMBER)
};

static const struct library_symbol symbols[] = {CALLS(SYMBOL){NULL, 0}};

static void test_calls(void **state)
{
	struct error err = {0};
	struct libm libm = {0};
	struct library library = {"libm.so.6", "libc6", symbols, &libm};

	assert_int_equal(library_load(&library, &err), 0);
	assert_true(libm.floor(2.5) == 2.0);
	assert_true(libm.ldexp(1.5, 2) == 6.0);
}

static void test_no_library(void **state)
{
	struct error err = {0};
	struct libm libm;
	struct library library = {"libnone.so.9", "libnone9", symbols, &libm};

	assert_int_equal(library_load(&library, &err), -ENOENT);
	assert_text(err, "cannot load libnone.so.9");
	assert_text(err, "install Debian's package libnone9");
}

static void test_no_symbol(void **state)
{
	const struct library_symbol more[] = {{"floor", 0}, {"no_such_call", 0}, {NULL, 0}};
	struct error err = {0};
	struct libm libm;
	struct library library = {"libm.so.6", "libc6", more, &libm};

	assert_int_equal(library_load(&library, &err), -ENOENT);
	assert_text(err, "libm.so.6 has no no_such_call");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_calls),
		cmocka_unit_test(test_no_library),
		cmocka_unit_test(test_no_symbol),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
