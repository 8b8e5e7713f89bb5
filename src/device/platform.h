/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DEVICE_PLATFORM_H
#define DEVICE_PLATFORM_H

#include "base/util.h"

/**
 * What the platform's devices (pm.c, reset.c, pvpanic.c) ask of the machine they sit in. Called in
 * the thread of the vCPU that wrote the register; the vCPU does not go on from there until the
 * machine has acted.
 */
struct platform_events {
	/** The guest switched the machine off (S5). */
	void (*power_off)(void *opaque);
	/** The guest wants a reset; how names the register. */
	void (*reset)(void *opaque, const char *how);
	/** The guest says that it crashed. */
	void (*crashed)(void *opaque, const char *how);
	void *opaque;
};

#endif
