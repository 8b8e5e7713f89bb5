/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DATAPLANE_PLANE_H
#define DATAPLANE_PLANE_H

#include "base/loop.h"
#include "base/options.h"
#include "mem/guest_mem.h"
#include "net/rxfilter.h"
#include "net/rss.h"
#include "vring/features.h"
#include "vring/vring.h"

/*
 * A data plane: whoever owns a virtio-net device's data virtqueues (never the control virtqueue,
 * which stays with the VMM). One ops structure for all: in-process workers, vhost-net, vhost-user,
 * vhost-vdpa.
 *
 * The kick and call eventfds belong to the NIC and outlive every plane; ioeventfd and irqfd stay
 * registered while planes come and go. Stop gives back the ring states, from which any other plane
 * (or the same one) can go on.
 *
 * All ops are called from the control thread (the main loop's), one at a time for one plane.
 */
struct plane;
struct hostnet;
struct hostnet_counters;
struct capture;

/** One virtqueue as the plane gets it: 2i is receiveq i, 2i+1 transmitq i. */
struct plane_queue {
	struct vring_config cfg;
	struct vring_state state; /* in: where to go on; out of stop: where it stands */
	bool enabled;		  /* the driver enabled it */
	int kick_fd;		  /* guest → device, borrowed */
	int call_fd;		  /* device → guest, borrowed */
};

/** Interrupt moderation of one queue (VIRTIO_NET_F_NOTF_COAL). 0: none. */
struct plane_coalesce {
	uint32_t max_usecs;
	uint32_t max_packets;
};

/** What the guest asked of the NIC, that a plane which sees frames must respect. */
struct plane_net_config {
	struct rx_filter filter;
	struct rss_config rss;	 /* rss.enabled: steering by hash; else automatic */
	unsigned active_pairs;	 /* MQ_VQ_PAIRS_SET */
	uint32_t guest_offloads; /* NET_OFFLOAD_* the guest accepts (CTRL_GUEST_OFFLOADS) */
	bool link_up;
	struct plane_coalesce rx_coalesce, tx_coalesce;
};

/** How a plane tells its NIC something; called in the main loop's thread. */
struct plane_events {
	/** Queue broke: the device sets NEEDS_RESET. */
	void (*queue_broken)(void *opaque, unsigned queue, enum vring_fault fault);
	/** The other end's carrier changed. */
	void (*link_changed)(void *opaque, bool up);
	/** Whoever serves the rings is gone (why), or there again. May be NULL. */
	void (*backend_changed)(void *opaque, bool there, const char *why);
	/**
	 * The guest's kicks of a queue go to this page of host memory, which the plane keeps mapped,
	 * instead of to the queue's kick_fd; NULL: no longer, and nobody writes there any more. What
	 * was kicked in the page is for the plane to see to. 0, or a negative errno with nothing
	 * changed: -ENOTSUP where doorbells are not pages. May be NULL.
	 */
	int (*doorbell)(void *opaque, unsigned queue, void *page);
	void *opaque;
};

struct plane_params {
	const char *id;
	unsigned queue_pairs;
	unsigned mtu; /* 0: none given */
	const uint8_t *mac;
	struct guest_mem *mem;
	struct loop *loop;
	const struct plane_events *events;
	unsigned
		patience_ms; /* a guest runs: open waits no longer for anybody; 0: as options say */
	struct hostnet *frames; /* share this frame back-end instead of opening one; NULL: none */
};

struct plane_start {
	struct virtio_features features; /* acknowledged by the driver */
	struct plane_queue *queues;	 /* 2 * queue_pairs */
	unsigned nqueues;
	const struct plane_net_config *config;
	bool relayed; /* they are a relay's, not the guest's: no doorbell of its is for them */
};

/** Why a frame ended in the plane; a closed list, plane_drop_name() explains each. */
enum plane_drop {
	PLANE_DROP_NO_RX_BUFFER, /* the guest had no receive buffer */
	PLANE_DROP_RX_FILTER,	 /* not for this guest (RX mode, MAC table, VLAN filter) */
	PLANE_DROP_LINK_DOWN,	 /* the NIC's link is down */
	PLANE_DROP_OVERSIZE,	 /* more than the guest's buffers or the back-end can take */
	PLANE_DROP_MALFORMED,	 /* header missing, or offload fields that do not fit */
	PLANE_DROP_BROKEN,	 /* the ring is broken */
	PLANE_DROP_BACKEND,	 /* the frame back-end stayed full */
	PLANE_DROP_OFFLOAD,	 /* it needs an offload that the guest has turned off meanwhile */
	PLANE_DROP_STEER,	 /* RSS chose a queue whose worker is too far behind */
	PLANE_DROP_COUNT
};
const char *plane_drop_name(enum plane_drop drop);
/** The cause as one word for names of counters: "no_rx_buffer". */
const char *plane_drop_word(enum plane_drop drop);

/**
 * in = out + sum of drops, exactly, for each queue. Transmit queues: in from the guest, out to the
 * back-end (which then counts its own drops). Receive queues: in from the back-end, out to the
 * guest; a frame that RSS moves to another queue is counted there.
 */
struct plane_queue_counters {
	uint64_t frames_in, frames_out, bytes_in, bytes_out;
	uint64_t drops[PLANE_DROP_COUNT];
	uint64_t kicks;	      /* eventfd wake-ups taken */
	uint64_t calls;	      /* calls made */
	uint64_t bursts;      /* ring visits that found something */
	uint64_t polls;	      /* ring visits that found nothing */
	uint64_t bad_buffers; /* receive chains too short for the header, returned empty */
	uint64_t last_drop;   /* enum plane_drop + 1 of the most recent drop; 0: none */
};

/**
 * Features by which the guest allows frames to be left unfinished: a plane that finishes them is
 * just as good.
 */
#define PLANE_OPTIONAL_FEATURES                                              \
	(1ULL << VIRTIO_NET_F_GUEST_CSUM | 1ULL << VIRTIO_NET_F_GUEST_TSO4 | \
	 1ULL << VIRTIO_NET_F_GUEST_TSO6 | 1ULL << VIRTIO_NET_F_GUEST_ECN |  \
	 1ULL << VIRTIO_NET_F_GUEST_UFO | 1ULL << VIRTIO_NET_F_GUEST_USO4 |  \
	 1ULL << VIRTIO_NET_F_GUEST_USO6)

/** Whether a plane that can carry `can` will do for a guest that uses want. */
static inline bool plane_carries(const struct virtio_features *can,
				 const struct virtio_features *want)
{
	struct virtio_features must = *want;

	must.w[0] &= ~PLANE_OPTIONAL_FEATURES;
	return features_within(&must, can);
}

/** Adds one to the other; of the most recent drops *to keeps its own, if it has one. */
void plane_counters_add(struct plane_queue_counters *to, const struct plane_queue_counters *from);

struct plane_ops {
	const char *name; /* "inprocess" */
	const char *help;
	const struct option_key *keys; /* its own, besides the back-end's; NULL: none */

	/** Whether it serves this backend= value ("user", "tap", …). */
	bool (*serves)(const char *backend);

	/** Whether this host can do it; if not, err says exactly what is missing. */
	int (*probe)(struct error *err);

	/** Connects, creates, opens; touches no ring. backend names the frame back-end or kind. */
	int (*open)(const char *backend, const struct options *opts,
		    const struct plane_params *params, struct plane **out, struct error *err);

	/**
	 * The device features it can carry. Those that the NIC carries out by itself (MAC, STATUS,
	 * the control queue, …) are set too, unless the plane stands in their way: what the guest
	 * is offered is the NIC's own set ANDed with this.
	 */
	void (*features)(struct plane *plane, struct virtio_features *out);

	/**
	 * Those that it can carry at a cost, for a guest that has them already: a superset of
	 * features(). NULL: the same.
	 */
	void (*carries)(struct plane *plane, struct virtio_features *out);

	/**
	 * The features that one opened on this host can be expected to carry, as features() would
	 * say: for the offer to a guest that may be moved there. 0, or a negative errno with err
	 * set where there can be none. Not what a certain back-end behind it lacks.
	 */
	int (*could)(struct virtio_features *out, struct error *err);

	/** Takes the rings and moves packets from here on. On failure nothing has been touched. */
	int (*start)(struct plane *plane, const struct plane_start *start, struct error *err);

	/**
	 * Stops: on return nobody touches rings or memory any more, everything popped has been
	 * completed, and queues[i].state says where each ring stands.
	 */
	void (*stop)(struct plane *plane, struct plane_queue *queues, unsigned nqueues);

	/** The guest changed filters, steering, offloads, link or coalescing while running. */
	int (*configure)(struct plane *plane, const struct plane_net_config *config);

	/**
	 * Starts (enabled set) or stops one queue of a running plane: queue reset and re-enable
	 * (VIRTIO_F_RING_RESET). -ENOTSUP where the plane cannot.
	 */
	int (*queue_set)(struct plane *plane, unsigned index, struct plane_queue *queue);

	void (*counters)(struct plane *plane, unsigned queue, struct plane_queue_counters *out);

	/** What counters() cannot tell, and why: a line. NULL: nothing is unknown. */
	const char *unknown;

	/** What it is attached to: an interface's name, a socket's or a device's path; may be "". */
	void (*attachment)(struct plane *plane, char *out, size_t size);

	/**
	 * Whether it is attached to what these options name, and nobody could be a second time:
	 * then there is nowhere to move to. NULL: no.
	 */
	bool (*is_at)(struct plane *plane, const struct options *opts);

	/**
	 * What the attachment point counted of a queue pair, or, with *whole set, of all of them
	 * (then for pair 0 only). False: it counts nothing that could be seen from here.
	 */
	bool (*attachment_counters)(struct plane *plane, unsigned pair,
				    struct hostnet_counters *out, bool *whole);

	/**
	 * Tells the network where the guest's MAC (of plane_params) is now: broadcasts a reverse
	 * ARP request through the attachment point. NULL where the plane cannot.
	 */
	int (*announce)(struct plane *plane);

	/**
	 * Has the frames it moves recorded from here on, each in the lane of its queue pair, or,
	 * with NULL, not any more: on return nobody is in the old one. NULL where the plane sees no
	 * frames.
	 */
	int (*capture)(struct plane *plane, struct capture *capture);

	/**
	 * Has it see that memory from here on instead of the one it has, running or not. The regions
	 * that its rings are in must be in both. On failure it has the new one all the same, and
	 * can be given the old one back. NULL where the plane cannot: it cannot be behind a relay.
	 */
	int (*use_memory)(struct plane *plane, struct guest_mem *mem, struct error *err);

	/** The frame back-end that it uses, which another plane may share; NULL, or NULL: none. */
	struct hostnet *(*frames)(struct plane *plane);

	void (*close)(struct plane *plane);
};

struct plane {
	const struct plane_ops *ops;
	unsigned mtu;	/* of the attachment point; 0 unknown */
	bool link_up;	/* as far as it can be known */
	bool doorbells; /* who is behind it may give pages for plane_events.doorbell */
};

/** All of them, NULL at the end. */
extern const struct plane_ops *const plane_table[];
const struct plane_ops *plane_find(const char *name);

/** Which plane serves a backend= value ("user" and "tap" → inprocess …), NULL if none. */
const struct plane_ops *plane_for_backend(const char *backend);

#endif
