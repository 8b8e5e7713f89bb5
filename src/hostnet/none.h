/* SPDX-License-Identifier: Apache-2.0 */
#ifndef HOSTNET_NONE_H
#define HOSTNET_NONE_H

#include "hostnet/hostnet.h"

/* A cable that goes nowhere: what is sent is counted and dropped, nothing ever arrives. */
extern const struct hostnet_ops none_ops;

#endif
