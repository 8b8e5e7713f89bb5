/* SPDX-License-Identifier: Apache-2.0 */
#ifndef HOSTNET_USER_SLIRP_H
#define HOSTNET_USER_SLIRP_H

#include "hostnet/user_options.h"

#include <slirp/libslirp.h>

#define USER_MTU_MAX 65521 /* libslirp's own limit */

/**
 * Makes an instance of libslirp with its forwarded ports, for a guest with the given MTU; opaque
 * is handed to the callbacks. NULL with err set when a port cannot be had.
 */
Slirp *user_slirp_create(const struct user_config *config, unsigned mtu, const SlirpCb *callbacks,
			 void *opaque, const char *id, struct error *err);

#endif
