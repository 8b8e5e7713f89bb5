/* SPDX-License-Identifier: Apache-2.0 */
#ifndef HOSTNET_USER_H
#define HOSTNET_USER_H

#include "hostnet/hostnet.h"

/* User networking: libslirp turns the guest's connections into sockets of this process. */
extern const struct hostnet_ops user_ops;

#endif
