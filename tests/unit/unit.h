/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_UNIT_H
#define TESTS_UNIT_H

/* cmocka wants these before it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

/** The error's text contains part. */
#define assert_text(err, part)                                                \
	do {                                                                  \
		if (!strstr((err).text, part))                                \
			fail_msg("'%s' does not say '%s'", (err).text, part); \
	} while (0)

#endif
