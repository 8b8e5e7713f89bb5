/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SWITCH_VLAN_H
#define SWITCH_VLAN_H

#include "net/ether.h"
#include "switch/frame.h"
#include "switch/port.h"

/*
 * VLANs (802.1Q). Inside, a frame has a VID, 0 standing for "none"; whether a tag is in it follows
 * from where it came from, and is made right for where it goes.
 */

static inline bool vlan_has_tag(const struct frame *f)
{
	return f->head_len >= ETHER_HLEN + ETHER_VLAN_HLEN && load_be16(f->head + 12) == ETHER_VLAN;
}

static inline bool vlan_in_trunk(const struct sw_port_config *c, uint16_t vid)
{
	return c->trunk[vid / 64] >> (vid % 64) & 1;
}

/** Finds a frame's VLAN at the port it came in by. False: the port may not send so. */
static inline bool vlan_enter(const struct sw_port_config *c, struct frame *f)
{
	f->vid = 0;
	f->tagged = unlikely(vlan_has_tag(f));
	if (unlikely(f->tagged))
		f->vid = load_be16(f->head + 14) & 0xfff;
	if (likely(c->vlan_mode == SW_VLAN_NONE))
		return f->vid != 0xfff;
	if (c->vlan_mode == SW_VLAN_TRUNK)
		return f->vid && vlan_in_trunk(c, f->vid);
	if (f->vid)
		return false;
	if (f->tagged) /* it carries a priority and no VLAN */
		frame_untag(f);
	f->vid = c->access_vid;
	return true;
}

static inline bool vlan_member(const struct sw_port_config *c, uint16_t vid)
{
	switch (c->vlan_mode) {
	case SW_VLAN_ACCESS:
		return vid == c->access_vid;
	case SW_VLAN_TRUNK:
		return vid && vlan_in_trunk(c, vid);
	default:
		return true;
	}
}

/** Makes the tag right for a port that is a member of the frame's VLAN. */
static inline void vlan_leave(const struct sw_port_config *c, struct frame *f)
{
	bool want = c->vlan_mode != SW_VLAN_ACCESS && f->vid;

	if (f->tagged == want || (!f->vid && c->vlan_mode == SW_VLAN_NONE))
		return;
	if (want)
		frame_tag(f, f->vid);
	else
		frame_untag(f);
}

#endif
