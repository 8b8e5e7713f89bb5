/* SPDX-License-Identifier: Apache-2.0 */
#ifndef VHOST_DEVICE_STATE_H
#define VHOST_DEVICE_STATE_H

#include "base/error.h"
#include "base/util.h"

/*
 * A port's state, as it travels with a guest that migrates ("Migrating back-end state"): the addresses
 * that were seen behind it. In little-endian numbers:
 *
 *	"VdPs", version (16 bits, now 1), bytes an entry (16), entries (32), 0 (32)
 *	each entry: the address (6 bytes), the VLAN as it is on the port (16; 0: none), how many seconds
 *	ago it was last seen (16)
 *
 * A later version that only adds to entries makes them longer: what is longer is read as far as it is
 * known here. Anything else is another version, and refused.
 */
#define DEVICE_STATE_MAX 4096 /* addresses */

struct device_state_address {
	uint8_t mac[6];
	uint16_t vlan;
	uint16_t age; /* seconds */
};

/** Bytes for n addresses. */
size_t device_state_size(unsigned n);

/** Writes n addresses, at most DEVICE_STATE_MAX, into device_state_size(n) bytes. */
void device_state_write(uint8_t *out, const struct device_state_address *list, unsigned n);

/**
 * Reads len bytes from whoever into list, which has room for DEVICE_STATE_MAX. The number of addresses,
 * or -EPROTO with err set.
 */
int device_state_read(const uint8_t *in, size_t len, struct device_state_address *list,
		      struct error *err);

#endif
