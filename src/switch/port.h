/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SWITCH_PORT_H
#define SWITCH_PORT_H

#include "base/options.h"
#include "base/parcel.h"
#include "hostnet/hostnet.h"
#include "switch/drops.h"
#include "vring/device.h"

#include <stdatomic.h>

/*
 * Ports. A port has queue pairs; each pair is an `in` queue, from which the switch takes frames (a
 * guest's transmit queue), and an `out` queue, to which it gives them (a guest's receive queue).
 *
 * There are two kinds. A ring port's queues are device-side virtqueues: the forwarding path copies
 * payload from one port's buffers straight into another's. A frame port (TAP, AF_XDP) has a frame
 * back-end, hostnet/hostnet.h, and gives and takes whole frames.
 *
 * Threads. Everything here is the control thread's except sw_in and sw_out of a queue that is
 * started: those are the workers'. sw_queue_stop() returns when no worker can touch the queue any
 * more; then its virtqueue, memory and descriptors are the control thread's again.
 */
struct sw;
struct sw_port;

#define SW_PORTS_MAX  1024
#define SW_PAIRS_MAX  128
#define SW_ID_MAX     32
#define SW_MACS_MAX   16
#define SW_HDR_LEN    12 /* struct virtio_net_hdr_v1, as struct net_offload */
#define SW_HDR_LEGACY 10 /* without num_buffers: neither VERSION_1 nor MRG_RXBUF */

/** What an in queue counted. frames + extra = forwarded + the sum of drops, exactly. */
struct sw_in_counters {
	uint64_t frames, bytes; /* taken */
	uint64_t extra;		/* frames made of them here: copies for others, segments */
	uint64_t forwarded;	/* handed to an out queue */
	uint64_t drops[SW_DROP_COUNT];
};

/** What an out queue counted; over all queues, its frames are the in queues' forwarded. */
struct sw_out_counters {
	uint64_t frames, bytes;
	uint64_t calls; /* notifications sent */
};

/**
 * A ring port's queue, as its type hands it to the workers. call and attention are called by
 * workers with opaque, and must not block.
 */
struct sw_ring {
	struct vq *vq; /* started */
	int kick_fd;   /* watched edge-triggered, never read; -1: the driver never kicks */
	void *opaque;
	void (*call)(void *opaque);	 /* signals the driver */
	void (*attention)(void *opaque); /* vq_pop() failed: the type sees to it. NULL: nothing */
};

struct sw_in {
	struct sw_in_counters c __cacheline_al;
	struct sw_port *port __cacheline_al;
	struct sw_ring ring; /* vq NULL: a frame port's */
	unsigned pair;
	unsigned worker;      /* who serves it */
	uint64_t seen_cycles; /* busy_cycles at the last look of balance.c */
	bool started;

	/* The worker's own. */
	uint64_t cached_dst, cached_src; /* keys; 0: none */
	uint16_t cached_port;
	uint16_t cached_now;
	bool spread; /* the last burst had several addresses */
	uint32_t cached_generation;
	uint64_t cached_plan;
	bool kicks_on;
	uint64_t
		contended_since; /* cycles; the receiver's queue was another worker's. 0: it was not */
	uint64_t next_look;	 /* when to look again, in cycles: frame ports, broken rings */
	uint64_t busy_cycles;	 /* spent on it */
};

struct sw_out {
	struct sw_out_counters c __cacheline_al;
	struct sw_port *port __cacheline_al;
	struct sw_ring ring;
	unsigned pair;
	bool started;
	bool kicks_off;	     /* the driver need not tell us of new buffers: it was told so */
	uint64_t full_since; /* cycles; no room since then. 0: there is */
	_Atomic bool busy;   /* a worker is at it; only where several may be */
};

enum sw_vlan_mode {
	SW_VLAN_NONE,	/* takes part in every VLAN: tagged frames keep their tag */
	SW_VLAN_ACCESS, /* untagged outside, in one VLAN inside */
	SW_VLAN_TRUNK,	/* tagged, the VLANs listed */
};

/** A port's settings: immutable while workers can see it, replaced as a whole. */
struct sw_port_config {
	enum sw_vlan_mode vlan_mode;
	uint16_t access_vid;
	uint64_t trunk[4096 / 64];
	unsigned nmacs; /* allowed source addresses; 0: any */
	uint8_t macs[SW_MACS_MAX][6];
	bool isolated;	   /* no frames from and to other isolated ports */
	bool no_flood;	   /* gets no frames for unknown destinations */
	uint64_t rate_in;  /* bits a second from the port; 0: no limit */
	uint64_t rate_out; /* … and to it */
	uint64_t storm;	   /* flooded frames a second from it; 0: no limit */
	char mirror_to[SW_ID_MAX];
};

/** A type of port. */
struct port_ops {
	const char *name; /* "tap" */
	const char *help; /* one line */
	const struct option_key *keys;

	/** Whether this host can do it at all; if not, err says exactly why. */
	int (*probe)(struct error *err);

	/**
	 * Opens the port (id and config are set, options checked). It sets port->hn if it is a frame
	 * port, port->impl, and the rest below as soon as it knows them; calls sw_port_pairs() and
	 * sw_queue_start() then or later. On failure it leaves nothing behind.
	 */
	int (*open)(struct sw_port *port, const struct options *opts, struct error *err);

	/** Ends it; all its queues have been stopped. */
	void (*close)(struct sw_port *port);

	/** One line on the state it is in, for a person. NULL: nothing to say. */
	void (*status)(struct sw_port *port, char *text, size_t size);

	bool heritable; /* open heeds port->inherit */
	/*
	 * Handing the port to another process (takeover.h). All may be NULL.
	 *
	 * save puts what open needs to go on from there, with port->inherit set; no queue may run
	 * then before the port is resumed. 0; -ENOTSUP, with nothing put: it is to be made anew
	 * there; another errno with err set: it cannot be given up. NULL stands for -ENOTSUP.
	 * save_rings comes when all queues are stopped, and restore_rings takes what it put.
	 */
	int (*save)(struct sw_port *port, struct parcel_out *p, struct error *err);
	void (*hold)(struct sw_port *port);
	void (*save_rings)(struct sw_port *port, struct parcel_out *p);
	int (*restore_rings)(struct sw_port *port, struct parcel_in *p, struct error *err);
	void (*resume)(struct sw_port *port); /* there; or here, when it came to nothing */
};

struct sw_port {
	const struct port_ops *ops;
	struct sw *sw;
	char id[SW_ID_MAX];
	unsigned index; /* in the forwarding database */
	void *impl;	/* the type's own */
	const struct sw_port_config *config;
	char *options; /* as it was asked for, to be shown */
	bool anew;     /* it cannot be handed to another process: it is made anew there */
	struct parcel_in *inherit; /* while open runs: what save put elsewhere; NULL: nothing */

	/* What is negotiated. Changed only while no queue of the port is started. */
	struct hostnet *hn;	/* frame ports */
	uint32_t offloads_from; /* NET_OFFLOAD_*: what its frames may leave to be done */
	uint32_t offloads_to;	/* … and what may be left to it */
	unsigned mtu;		/* nothing larger is given to it, 0: no matter; sw_port_set_mtu() */
	unsigned hdr_len;	/* ring ports: SW_HDR_LEN or SW_HDR_LEGACY */
	bool mergeable;

	unsigned pairs;
	struct sw_in *in[SW_PAIRS_MAX]; /* made when first needed, kept until the port goes */
	struct sw_out *out[SW_PAIRS_MAX];

	/* Token buckets, shared by the port's queues: see limit.h. */
	_Atomic uint64_t tat_in __cacheline_al;
	_Atomic uint64_t tat_out __cacheline_al;
	_Atomic uint64_t tat_storm __cacheline_al;
};

extern const struct option_key sw_port_keys[]; /* of every type */
extern const struct port_ops *const port_table[];
const struct port_ops *port_find(const char *name);

/** Takes what the keys in sw_port_keys say. */
int sw_port_config_parse(struct sw_port_config *config, const struct options *opts,
			 struct error *err);

/* For port types; control thread. */

/** Makes sure that the port has n pairs. 0 or -ENOMEM, -E2BIG. */
int sw_port_pairs(struct sw_port *port, unsigned n);

/** Hands a queue to the workers; ring is NULL for frame ports. 0 or -ENOMEM. */
int sw_in_start(struct sw_port *port, unsigned pair, const struct sw_ring *ring);
int sw_out_start(struct sw_port *port, unsigned pair, const struct sw_ring *ring);

/** Takes it back; waits until no worker uses it. Nothing happens if it is not started. */
void sw_in_stop(struct sw_port *port, unsigned pair);
void sw_out_stop(struct sw_port *port, unsigned pair);

/** Takes back all the port's queues at once. */
void sw_port_stop(struct sw_port *port);

/**
 * Hands all queues of a frame port's back-end, port->hn, to the workers. 0 or -ENOMEM, -E2BIG; then
 * the back-end is closed, as by sw_port_stop_frames().
 */
int sw_port_start_frames(struct sw_port *port);

/** Takes them back and closes the back-end; port->hn is NULL then. */
void sw_port_stop_frames(struct sw_port *port);

/**
 * Tells all other ports, by a RARP, that mac is at this one: as if the port had sent it, so it must
 * have an in queue started, and nothing happens if it has none.
 */
void sw_port_announce(struct sw_port *port, const uint8_t mac[6]);

/** Limits what is given to the port, also while its queues run; 0: to nothing. */
void sw_port_set_mtu(struct sw_port *port, unsigned mtu);

/** The main loop, for what a type has to watch. */
struct loop *sw_port_loop(const struct sw_port *port);

#endif
