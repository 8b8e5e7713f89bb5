/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CMD_SWITCH_TAKEOVER_H
#define CMD_SWITCH_TAKEOVER_H

#include "base/loop.h"
#include "switch/takeover.h"

/*
 * --takeover: the conversation between the switch that runs and the one that takes its place, over a
 * socket that only the same user can reach.
 */

/** The one that runs: listens. */
struct switch_heritage;
int switch_heritage_open(const char *path, struct loop *loop, struct sw *sw,
			 struct switch_heritage **out, struct error *err);
/** Whether all has been given away; then the loop was stopped, and nothing may be destroyed. */
bool switch_heritage_is_given(const struct switch_heritage *h);
/** NULL is allowed. The socket's file is removed. */
void switch_heritage_close(struct switch_heritage *h);

/**
 * The new one: takes over from who listens at path, and goes on; *heir is to be freed. 0, also if there
 * is nobody: *heir is NULL then. The other process has ended when this returns, or soon will have.
 */
int switch_take_over(const char *path, struct sw *sw, struct sw_heir **heir, struct error *err);

#endif
