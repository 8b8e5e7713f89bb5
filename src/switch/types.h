/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SWITCH_TYPES_H
#define SWITCH_TYPES_H

#include "switch/port.h"

/* The types of port, for table.c. */
extern const struct port_ops port_af_xdp;
extern const struct port_ops port_tap;
extern const struct port_ops port_vduse;
extern const struct port_ops port_vhost_user;

#endif
