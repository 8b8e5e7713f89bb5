/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SWITCH_DROPS_H
#define SWITCH_DROPS_H

#include "base/util.h"

/** Why a frame ended in the switch: a closed list, sw_drop_name() and sw_drop_help() tell them. */
enum sw_drop {
	SW_DROP_MALFORMED, /* shorter than an Ethernet header, or header fields that do not fit */
	SW_DROP_SOURCE,	   /* the source address is a group address or zero */
	SW_DROP_SPOOFED,   /* the source address is not one of the port's allowed-mac */
	SW_DROP_VLAN_IN,   /* the port is not in the frame's VLAN, or may not send tags */
	SW_DROP_RESERVED,  /* 01:80:c2:00:00:0x: never forwarded by a bridge (802.1Q, 8.6.3) */
	SW_DROP_HAIRPIN,   /* the destination is behind the port it came from */
	SW_DROP_ISOLATED,  /* both ports are isolated */
	SW_DROP_VLAN_OUT,  /* the destination's port is not in the VLAN */
	SW_DROP_UNKNOWN,   /* unknown destination, and no port takes such */
	SW_DROP_STORM,	   /* more flooding than the port's storm limit */
	SW_DROP_RATE_IN,   /* above the port's rate into the switch */
	SW_DROP_RATE_OUT,  /* above the port's rate out of the switch */
	SW_DROP_NO_BUFFER, /* the receiver had posted too few receive buffers */
	SW_DROP_OVERSIZE,  /* larger than the receiver can ever take */
	SW_DROP_DOWN,	   /* the receiver is not connected, or has not enabled its queues */
	SW_DROP_BROKEN,	   /* the receiver's ring is malformed */
	SW_DROP_CONTENDED, /* another worker held the receiver's queue for too long */
	SW_DROP_BACKEND,   /* the frame back-end refused it: its own counters say why */
	SW_DROP_NO_RECEIVERS, /* a group or unknown address, and nobody else is in the VLAN */
	SW_DROP_COUNT
};

/** "no-buffer": the name in counters and metrics. */
const char *sw_drop_name(enum sw_drop why);

/** One line for a person. */
const char *sw_drop_help(enum sw_drop why);

#endif
