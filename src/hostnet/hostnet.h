/* SPDX-License-Identifier: Apache-2.0 */
#ifndef HOSTNET_HOSTNET_H
#define HOSTNET_HOSTNET_H

#include "base/loop.h"
#include "base/options.h"
#include "net/offload.h"

#include <sys/uio.h>

/*
 * Frame back-ends: whatever gives and takes whole Ethernet frames. They know nothing of virtio:
 * an emulated e1000 and a virtio-net use them alike. A frame travels as an iovec of its bytes
 * (from the destination address on, without FCS) and a struct net_offload beside it that says
 * what is still to be done to it (checksum to complete, segmentation).
 *
 * Threads. open, set_*, link and close are called in the control thread with the queues at rest
 * or not; a queue's send and recv are called by one thread at a time each (they may be two
 * different threads), different queues by different threads at once.
 */
struct hostnet;

/** Why a frame ended here; a closed list, hostnet_drop_name() explains each. */
enum hostnet_drop {
	HOSTNET_DROP_DOWN,	/* the attachment point is down or gone */
	HOSTNET_DROP_FULL,	/* its queue was full */
	HOSTNET_DROP_OVERSIZE,	/* larger than it can take */
	HOSTNET_DROP_MALFORMED, /* too short, or offload fields that do not fit the frame */
	HOSTNET_DROP_ERROR,	/* the kernel or library refused it: see the log */
	HOSTNET_DROP_COUNT
};
const char *hostnet_drop_name(enum hostnet_drop drop);
/** The cause as one word for names of counters: "oversize". */
const char *hostnet_drop_word(enum hostnet_drop drop);

/** One queue's counters; written by that queue's thread only, read by anybody. */
struct hostnet_counters {
	uint64_t tx_frames, tx_bytes;	       /* guest to network, accepted */
	uint64_t rx_frames, rx_bytes;	       /* network to guest, handed over */
	uint64_t drops[HOSTNET_DROP_COUNT];    /* both ways */
	uint64_t rx_drops[HOSTNET_DROP_COUNT]; /* of them, those on the way to the guest */
	uint64_t syscalls;
};

/** What the user of a back-end asks for when opening it. */
struct hostnet_params {
	const char *id;	    /* "net0", for messages and names */
	unsigned queues;    /* pairs */
	unsigned mtu;	    /* 0: as it is */
	uint32_t offloads;  /* NET_OFFLOAD_*: what the guest may be given to finish */
	const uint8_t *mac; /* the guest's, 6 bytes */
	struct loop *loop;  /* the main loop, for what needs watching outside the data path */
};

struct hostnet_ops {
	const char *name; /* "tap" */
	const char *help; /* one line */
	const struct option_key *keys;

	/** Whether this host can do it at all; if not, err says exactly why. */
	int (*probe)(struct error *err);

	/** Opens one from its options (already checked against keys). */
	int (*open)(const struct options *opts, const struct hostnet_params *params,
		    struct hostnet **out, struct error *err);

	/**
	 * Sends up to n frames from the guest; each frames[i].iov is read only during the call.
	 * Returns how many were consumed: sent, or counted as dropped. Never blocks. All of today's
	 * back-ends consume all n; one that is full may return less, and the rest is then to be
	 * offered again later.
	 */
	unsigned (*send)(struct hostnet *hn, unsigned queue, const struct net_frame *frames,
			 unsigned n);

	/**
	 * Receives one frame into iov (its total length is room bytes); sets *off. Returns its
	 * length, -EAGAIN when there is none, -EMSGSIZE when it did not fit (it is then dropped and
	 * counted), or another negative errno when the back-end is broken. With room for the
	 * largest frame (net_frame_max(offloads, mtu)) the second never happens.
	 */
	ssize_t (*recv)(struct hostnet *hn, unsigned queue, const struct iovec *iov, unsigned niov,
			struct net_offload *off);

	/**
	 * Instead of recv, where frames need not be copied: lends the first frames that there are,
	 * at most n, each in one piece, iov[i], with off[i] beside it. Nobody writes to them until
	 * give_back() returns the first n of them; those that are not given back are lent again by
	 * the next call. Both are NULL where there is only recv, and recv where there are these.
	 */
	unsigned (*borrow)(struct hostnet *hn, unsigned queue, struct iovec *iov,
			   struct net_offload *off, unsigned n);
	void (*give_back)(struct hostnet *hn, unsigned queue, unsigned n);

	/**
	 * Whether poll_fd is to tell of frames that can be borrowed, which costs the other side
	 * something. With on, returns true if there are some already. NULL: it always tells.
	 */
	bool (*notify)(struct hostnet *hn, unsigned queue, bool on);

	/** A descriptor that polls readable while recv has something, per queue. Never -1. */
	int (*poll_fd)(struct hostnet *hn, unsigned queue);

	/**
	 * Says which of NET_OFFLOAD_* the guest can now be given in received frames. 0 or negative
	 * errno with the old set still in force. May be called while queues run.
	 */
	int (*set_offloads)(struct hostnet *hn, uint32_t offloads);

	/** Uses the first n pairs from now on (multiqueue). NULL where there is only one. */
	int (*set_queues)(struct hostnet *hn, unsigned n);

	/** What it is attached to: an interface's name. NULL: nothing that has a name. */
	const char *(*attachment)(struct hostnet *hn);

	/** Whether there is a carrier. NULL: always. */
	bool (*link_up)(struct hostnet *hn);

	void (*counters)(struct hostnet *hn, unsigned queue, struct hostnet_counters *out);

	void (*close)(struct hostnet *hn);
};

/** Every back-end starts with this. */
struct hostnet {
	const struct hostnet_ops *ops;
	uint32_t offloads_tx; /* NET_OFFLOAD_* it can finish for the guest (what may be sent) */
	uint32_t offloads_rx; /* … and could hand over unfinished (what set_offloads may name) */
	unsigned queues;      /* pairs it really has */
	unsigned mtu;
	bool patient;	 /* what it does not take waits in the guest's ring, however long */
	unsigned shares; /* owners besides the first: see hostnet_share() */
};

/**
 * One more owner: a live switch keeps the attachment point while its user changes. Only one of
 * them moves frames at a time; each calls hostnet_close() in the end. Control thread.
 */
static inline struct hostnet *hostnet_share(struct hostnet *hn)
{
	hn->shares++;
	return hn;
}

static inline void hostnet_close(struct hostnet *hn)
{
	if (hn->shares)
		hn->shares--;
	else
		hn->ops->close(hn);
}

/** All of them, in the order of the usage text; NULL at the end. */
extern const struct hostnet_ops *const hostnet_table[];
const struct hostnet_ops *hostnet_find(const char *name);

#endif
