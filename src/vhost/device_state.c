/* SPDX-License-Identifier: Apache-2.0 */
#include "vhost/device_state.h"

#include <errno.h>

#define HEADER	  16U
#define ENTRY	  10U
#define ENTRY_MAX 256U
#define VERSION	  1
#define VLAN_MAX  4094
#define GROUP	  1 /* of a first byte: not an address of one */

static const uint8_t magic[4] = {'V', 'd', 'P', 's'};

size_t device_state_size(unsigned n)
{
	return HEADER + (size_t)n * ENTRY;
}

void device_state_write(uint8_t *out, const struct device_state_address *list, unsigned n)
{
	memcpy(out, magic, sizeof(magic));
	store_le16(out + 4, VERSION);
	store_le16(out + 6, ENTRY);
	store_le32(out + 8, n);
	store_le32(out + 12, 0);
	for (unsigned i = 0; i < n; i++) {
		uint8_t *e = out + HEADER + (size_t)i * ENTRY;

		memcpy(e, list[i].mac, 6);
		store_le16(e + 6, list[i].vlan);
		store_le16(e + 8, list[i].age);
	}
}

static int read_entry(const uint8_t *e, struct device_state_address *a, struct error *err)
{
	static const uint8_t none[6];

	memcpy(a->mac, e, 6);
	a->vlan = load_le16(e + 6);
	a->age = load_le16(e + 8);
	if ((a->mac[0] & GROUP) || memcmp(a->mac, none, 6) == 0)
		return error_set(err, -EPROTO, "device state: no possible address");
	if (a->vlan > VLAN_MAX)
		return error_set(err, -EPROTO, "device state: VLAN %u", a->vlan);
	return 0;
}

int device_state_read(const uint8_t *in, size_t len, struct device_state_address *list,
		      struct error *err)
{
	uint32_t n, entry;

	if (len < HEADER || memcmp(in, magic, sizeof(magic)) != 0)
		return error_set(err, -EPROTO, "device state: %zu bytes that are none", len);
	if (load_le16(in + 4) != VERSION || load_le32(in + 12) != 0)
		return error_set(err, -EPROTO, "device state: version %u, which is not known here",
				 load_le16(in + 4));
	entry = load_le16(in + 6);
	n = load_le32(in + 8);
	if (entry < ENTRY || entry > ENTRY_MAX || n > DEVICE_STATE_MAX ||
	    len != HEADER + (size_t)n * entry)
		return error_set(err, -EPROTO, "device state: %zu bytes for %u entries of %u", len,
				 n, entry);
	for (uint32_t i = 0; i < n; i++) {
		int rc = read_entry(in + HEADER + (size_t)i * entry, &list[i], err);

		if (rc)
			return rc;
	}
	return (int)n;
}
