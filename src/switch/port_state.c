/* SPDX-License-Identifier: Apache-2.0 */
#include "switch/port_state.h"

#include "switch/fdb.h"
#include "switch/switch.h"
#include "switch/vlan.h"

/*
 * VLANs are told as they are outside, on the port: an access port has none there, and the port that takes
 * the addresses may be in another VLAN than the one that had them.
 */
struct saving {
	const struct sw_port *port;
	struct device_state_address *list;
	unsigned n, max;
	uint16_t now;
};

static bool save_entry(const struct fdb_entry *e, void *arg)
{
	struct saving *s = arg;
	struct device_state_address *a = &s->list[s->n];
	bool access = s->port->config->vlan_mode == SW_VLAN_ACCESS;

	if (e->port != s->port->index || e->is_static)
		return true;
	if (s->n == s->max)
		return false;
	fdb_key_mac(e->key, a->mac);
	a->vlan = access ? 0 : fdb_key_vid(e->key);
	a->age = (uint16_t)(s->now - e->seen);
	s->n++;
	return true;
}

unsigned sw_port_save_addresses(struct sw_port *port, struct device_state_address *list,
				unsigned max)
{
	struct saving s = {.port = port, .list = list, .max = max, .now = sw_now(port->sw)};

	fdb_each(sw_fdb(port->sw), save_entry, &s);
	return s.n;
}

static bool is_allowed(const struct sw_port_config *c, const struct device_state_address *a)
{
	bool access = c->vlan_mode == SW_VLAN_ACCESS;

	if (access ? a->vlan != 0 : !vlan_member(c, a->vlan))
		return false;
	for (unsigned i = 0; i < c->nmacs; i++)
		if (memcmp(c->macs[i], a->mac, 6) == 0)
			return true;
	return !c->nmacs;
}

void sw_port_load_addresses(struct sw_port *port, const struct device_state_address *list,
			    unsigned n)
{
	const struct sw_port_config *c = port->config;
	uint16_t now = sw_now(port->sw);

	for (unsigned i = 0; i < n; i++) {
		const struct device_state_address *a = &list[i];
		uint16_t vid = c->vlan_mode == SW_VLAN_ACCESS ? c->access_vid : a->vlan;

		if (is_allowed(c, a))
			fdb_learn(sw_fdb(port->sw), fdb_key(a->mac, vid), port->index,
				  (uint16_t)(now - a->age));
	}
	sw_note_change(port->sw);
}
