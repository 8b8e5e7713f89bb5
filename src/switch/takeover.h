/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SWITCH_TAKEOVER_H
#define SWITCH_TAKEOVER_H

#include "base/parcel.h"
#include "switch/switch.h"

/*
 * One switch becomes another, in another process, while its guests run: docs/switch.md. The old one
 * saves what it is while frames go on, so that the new one can prepare; then it stops all queues and
 * says where they stand, and the new one goes on. Control thread; its loop must not run from hold on.
 */
#define SW_TAKEOVER_FORMAT 2 /* of what is saved */

/**
 * The old one: ports, addresses. -EBUSY with err set: a port cannot be given up. Queues run on, and the
 * loop may; what front-ends say waits. To be followed by hold, or roll_back, also when it fails.
 */
int sw_takeover_save(struct sw *sw, struct parcel_out *p, struct error *err);

/** Whether a port was added, removed or changed since: what was saved is of no use. */
bool sw_takeover_is_stale(const struct sw *sw);

/** Stops all queues; positions and counters. */
void sw_takeover_hold(struct sw *sw, struct parcel_out *p);

/** It came to nothing: goes on as before. */
void sw_takeover_roll_back(struct sw *sw);

/** The new one goes on: gives up those ports that it makes anew. */
void sw_takeover_leave(struct sw *sw);

/** The new one, which has no ports yet. */
struct sw_heir;

/** Becomes what the other one was, but for running. NULL with err set; then sw is to be destroyed. */
struct sw_heir *sw_takeover_restore(struct sw *sw, struct parcel_in *p, struct error *err);

/** Takes the positions and counters. */
int sw_takeover_restore_rings(struct sw_heir *heir, struct parcel_in *p, struct error *err);

/** Goes on. */
void sw_takeover_resume(struct sw_heir *heir);

/** Makes those ports anew that could not be handed over. One that fails is missing; err says why. */
int sw_takeover_remake(struct sw_heir *heir, struct error *err);

/** Whether a port with these options, as given to --port, is among those that were taken over. */
bool sw_takeover_has(const struct sw_heir *heir, const char *options);

/** heir may be NULL. */
void sw_takeover_free(struct sw_heir *heir);

#endif
