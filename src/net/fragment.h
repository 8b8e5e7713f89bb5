/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NET_FRAGMENT_H
#define NET_FRAGMENT_H

#include "net/gso.h"

/**
 * Cuts a finished frame whose IP datagram is larger than mtu into fragments (RFC 791, 3.2; RFC
 * 8200, 4.5) and emits them in order; one that is not larger is emitted as it is. Returns how
 * many were emitted, -EINVAL when the frame is no IP datagram or an IPv6 fragment, or what emit
 * returned. An IPv4 fragment is cut further. IPv4's "don't fragment" is not looked at.
 */
int net_fragment(const uint8_t *data, uint32_t len, unsigned mtu, net_gso_emit_fn emit,
		 void *opaque);

#endif
