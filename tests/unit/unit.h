/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_UNIT_H
#define TESTS_UNIT_H

/* cmocka wants these before it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <sched.h>
#include <stdlib.h>
#include <string.h>

/*
 * How long a test waits for another thread, or process, before it says that what it waits for never
 * comes. It costs nothing where all is well, and a machine that has other things to do may let
 * anybody stand still for seconds.
 */
#define PATIENCE_S  60
#define PATIENCE_MS (PATIENCE_S * 1000)
#define PATIENCE_NS (PATIENCE_S * NSEC_PER_SEC)

/** How many rounds of something heavy: all of them, or fewer in ./check --quick. */
static inline unsigned rounds(unsigned all, unsigned quick)
{
	return getenv("CHECK_QUICK") ? quick : all;
}

/** From here on this process has a network of its own: nobody else has its interfaces' names. */
static inline void own_network(void)
{
	if (unshare(CLONE_NEWNET))
		print_message("not root: in the network that everybody has\n");
}

/** The error's text contains part. */
#define assert_text(err, part)                                                \
	do {                                                                  \
		if (!strstr((err).text, part))                                \
			fail_msg("'%s' does not say '%s'", (err).text, part); \
	} while (0)

#endif
