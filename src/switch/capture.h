/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SWITCH_CAPTURE_H
#define SWITCH_CAPTURE_H

#include "switch/switch.h"

/*
 * Captures to pcapng: frames as they enter and leave ports, and those that are dropped, with the
 * cause as a comment. One at a time. What is captured of a frame's payload is read when it passes;
 * a sender that changes it at that moment may show the capture something else than the receiver.
 */
struct frame;
struct sw_capture;

struct sw_capture_options {
	const char *path; /* "-": standard output */
	const char *port; /* only this port's; NULL: all that exist now */
	const char *drop; /* only frames dropped by this cause ("any": by any); NULL: all frames */
};

/** -EBUSY if there is one, -ENOENT if there is no such port, -EINVAL if no such cause. */
int sw_capture_start(struct sw *sw, const struct sw_capture_options *options, struct error *err);

/** Ends it and closes the file; how many packets it has and lost. -ENOENT if there is none. */
int sw_capture_stop(struct sw *sw, uint64_t *packets, uint64_t *lost, struct error *err);

/** Whether there is one, and its counts so far. */
bool sw_capture_running(struct sw *sw, uint64_t *packets, uint64_t *lost);

/* For workers. */
void sw_capture_in(struct sw_capture *cap, const struct sw_port *port, const struct frame *f);
void sw_capture_out(struct sw_capture *cap, const struct sw_port *port, const struct frame *f);
void sw_capture_drop(struct sw_capture *cap, const struct sw_port *port, const struct frame *f,
		     enum sw_drop why);

#endif
