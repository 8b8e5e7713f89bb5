/* SPDX-License-Identifier: Apache-2.0 */
#include "switch/drops.h"

#include <assert.h>

static const struct {
	const char *name, *help;
} drops[] = {
	[SW_DROP_MALFORMED] = {"malformed", "too short, or offload fields that do not fit it"},
	[SW_DROP_SOURCE] = {"source", "its source address is a group address or zero"},
	[SW_DROP_SPOOFED] = {"spoofed", "its source address is not in the port's allowed-mac"},
	[SW_DROP_VLAN_IN] = {"vlan-in", "the port may not send in that VLAN, or not with a tag"},
	[SW_DROP_RESERVED] = {"reserved", "link-local group addresses are never forwarded"},
	[SW_DROP_HAIRPIN] = {"hairpin", "the destination is behind the port it came from"},
	[SW_DROP_ISOLATED] = {"isolated", "both ports are isolated"},
	[SW_DROP_VLAN_OUT] = {"vlan-out", "the destination's port is not in the frame's VLAN"},
	[SW_DROP_UNKNOWN] = {"unknown", "unknown destination, and no port takes such frames"},
	[SW_DROP_STORM] = {"storm", "more flooding than the port's storm limit"},
	[SW_DROP_RATE_IN] = {"rate-in", "above the port's rate into the switch"},
	[SW_DROP_RATE_OUT] = {"rate-out", "above the receiving port's rate"},
	[SW_DROP_NO_BUFFER] = {"no-buffer", "the receiver had too few receive buffers"},
	[SW_DROP_OVERSIZE] = {"oversize", "larger than the receiver can take"},
	[SW_DROP_DOWN] = {"down", "the receiver is not connected or its queues are off"},
	[SW_DROP_BROKEN] = {"broken", "the receiver's ring is malformed"},
	[SW_DROP_CONTENDED] = {"contended", "another worker held the receiver's queue too long"},
	[SW_DROP_BACKEND] = {"backend", "the frame back-end refused it"},
	[SW_DROP_NO_RECEIVERS] = {"no-receivers", "to be flooded, and nobody else is in the VLAN"},
};
static_assert(ARRAY_SIZE(drops) == SW_DROP_COUNT, "each cause has a name");

const char *sw_drop_name(enum sw_drop why)
{
	return why < SW_DROP_COUNT ? drops[why].name : "?";
}

const char *sw_drop_help(enum sw_drop why)
{
	return why < SW_DROP_COUNT ? drops[why].help : "?";
}
