/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DATAPLANE_RELAY_H
#define DATAPLANE_RELAY_H

#include "dataplane/plane.h"

/*
 * A plane in front of another: workers of this process move the guest's frames, and pass them on to
 * the plane behind, whose driver they are. So frames can be seen and recorded that otherwise go
 * straight from the guest to another process or a device. Control thread.
 */

/**
 * Makes one in front of `behind`, which may be running and is then to be handed over to what this
 * makes (plane_handover() with `to`). The relay owns it from then on. -ENOTSUP: that plane cannot be
 * behind another. On failure nothing has changed.
 */
int plane_relay_open(struct plane *behind, const struct plane_params *params, struct plane **out,
		     struct error *err);

/** The plane behind; NULL: this is no relay. */
struct plane *plane_relay_behind(struct plane *plane);

/** Ends a relay that is not running, without the plane behind, which lives on, running or not. */
void plane_relay_leave(struct plane *relay);

#endif
