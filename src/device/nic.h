/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DEVICE_NIC_H
#define DEVICE_NIC_H

#include "base/options.h"
#include "bus/pci.h"
#include "mem/guest_mem.h"

/*
 * NIC models: what `--net model=` chooses. A model is one file and one line in nic_table[]; it
 * carries its name, its own option keys and its constructor.
 */
struct nic_params {
	const char *id;		    /* "net0" */
	const char *backend;	    /* "user", "tap", … */
	const struct options *opts; /* everything in --net, checked */
	uint8_t mac[6];
	unsigned mtu; /* 0: not given */
	struct bus_host *host;
	struct guest_mem *mem;
	struct loop *loop;
};

/** What happened to a NIC; text says it in a sentence. */
enum nic_event {
	NIC_EVENT_LINK,		 /* the guest's link went up or down */
	NIC_EVENT_BACKEND_LOST,	 /* nobody serves the rings: it is looked for */
	NIC_EVENT_BACKEND_FOUND, /* … and there again */
	NIC_EVENT_SWITCHED,	 /* another data plane or attachment point */
	NIC_EVENT_QUEUE_BROKEN,	 /* the guest made a ring unusable */
};
const char *nic_event_name(enum nic_event event);

struct nic;

/** Who wants to be told; called in the control thread. */
struct nic_observer {
	void (*event)(void *opaque, struct nic *nic, enum nic_event event, const char *text);
	void *opaque;
};

/** A network interface as its machine has it. */
struct nic {
	struct pci_dev pci; /* first: a NIC is a PCI function */
	const struct nic_ops *nic_ops;
	const struct nic_observer *observer; /* NULL: nobody */
	struct nic *next;		     /* for whoever keeps a list: the machine */
};

/** What a NIC is at the moment. */
struct nic_state {
	char backend[16];     /* "tap", "vhost-user", … */
	char plane[16];	      /* who moves the frames: "inprocess", "vhost-net", …; "emulated" */
	char attachment[128]; /* an interface's name, a socket's or a device's path; may be "" */
	uint8_t mac[6];
	unsigned queue_pairs;
	unsigned mtu;	  /* 0: unknown */
	bool admin_up;	  /* the host's side of the link, nic_set_link() */
	bool carrier;	  /* the attachment point's */
	bool running;	  /* the driver has set the device going */
	bool needs_reset; /* … and broke it */
	bool capturing;
};

/** What a live switch did and how long it took. */
struct nic_switch {
	struct nic_state from, to;
	bool moved;	     /* the attachment point is another one */
	bool stopped;	     /* neither plane could be started: the guest must reset the device */
	uint64_t prepare_ns; /* the old plane was still running */
	uint64_t stop_ns, start_ns; /* nobody was: the gap is their sum */
};

/*
 * A hop: one step of a frame's way, with what it took in, passed on and dropped. For one that knows
 * its frames, in = out + the sum of the drops, exactly.
 */
#define NIC_HOP_DROPS 16
#define NIC_HOP_MORE  16

enum nic_direction { NIC_TX, NIC_RX }; /* from the guest, to the guest */

struct nic_hop {
	const char *name; /* "plane", "backend", "ring", "interface" */
	const char *what; /* who does what here, in a line */
	enum nic_direction direction;
	int queue;    /* pair; -1: all of them together */
	bool counted; /* the four below are known */
	uint64_t frames_in, bytes_in, frames_out, bytes_out;
	unsigned ndrops;
	struct {
		const char *cause; /* a name: "no_rx_buffer" */
		const char *text;  /* a line */
		uint64_t count;
	} drops[NIC_HOP_DROPS];
	int last_drop; /* index into drops of the most recent one; -1: none, or not known */
	unsigned nmore;
	struct {
		const char *name; /* "kicks" */
		uint64_t value;
	} more[NIC_HOP_MORE];
	const char *unknown; /* what cannot be known of this hop, and why; NULL: nothing */
};

/** Called for one hop after the other; the hop and its strings are valid during the call. */
typedef void nic_hop_fn(void *arg, const struct nic_hop *hop);

/** What to capture into. */
struct nic_capture {
	const char *path; /* the file, made or emptied; NULL: fd */
	int fd;		  /* taken over, also after an error; -1: path */
	uint32_t snaplen; /* bytes kept of a frame; 0: all */
};

struct nic_capture_stats {
	uint64_t packets; /* written, or about to be */
	uint64_t lost;	  /* not: the file's medium is slower than the traffic, or full */
	bool moved;	  /* the data plane was changed for it */
};

/** All ops are called in the control thread. One that is NULL: the model cannot. */
struct nic_ops {
	const char *name;
	const char *help;
	const struct option_key *keys; /* besides those common to all NICs */
	bool no_backend;	       /* a device of its own: backend= is refused */

	int (*probe)(struct error *err);
	/** Makes the device, not yet on a bus. The bus will own it (pci.ops->destroy). */
	int (*create)(const struct nic_params *params, struct nic **out, struct error *err);
	/** Link up or down from the host. 0 or negative errno. */
	int (*set_link)(struct nic *nic, bool up);
	/** Prints its counters, one `name value` line each, through emit. */
	void (*counters)(struct nic *nic, void (*emit)(void *arg, const char *name, uint64_t value),
			 void *arg);
	void (*state)(struct nic *nic, struct nic_state *out);
	void (*hops)(struct nic *nic, nic_hop_fn *fn, void *arg);
	int (*set_backend)(struct nic *nic, const char *backend, const struct options *opts,
			   struct nic_switch *result, struct error *err);
	int (*capture_start)(struct nic *nic, const struct nic_capture *what, struct error *err);
	int (*capture_stop)(struct nic *nic, struct nic_capture_stats *stats, struct error *err);
	void (*capture_stats)(struct nic *nic, struct nic_capture_stats *stats);
};

extern const struct nic_ops *const nic_table[];
extern const struct option_key nic_common_keys[];
const struct nic_ops *nic_find(const char *name);
/** Whether id can be a device's name; -EINVAL if not. */
int nic_check_id(const char *id, struct error *err);

/**
 * Parses a whole --net value (text may be ""), checks its keys against the model, its back-end and
 * the common table, fills in defaults (virtio-net, user, id net<index>, a MAC derived from the id
 * and the process) and creates the device.
 */
int nic_create(const char *text, unsigned index, struct bus_host *host, struct guest_mem *mem,
	       struct loop *loop, struct nic **out, struct error *err);

/*
 * What the control socket asks of a NIC of any model. Control thread. Each that can fail returns 0
 * or a negative errno with err set; -ENOTSUP says what the model cannot do.
 */

/** What it is at the moment. */
void nic_get_state(struct nic *nic, struct nic_state *out);

/** Plugs the cable in or out. */
int nic_set_link(struct nic *nic, bool up, struct error *err);

/**
 * Moves the NIC to another back-end while the guest runs. text is what follows backend= in --net,
 * back-end and its keys: "backend=vhost-net,ifname=tap0". If it fails the NIC goes on as before
 * (but see result->stopped), and err says why. -EBUSY: a switch of this NIC is under way, or a
 * capture holds it.
 */
int nic_set_backend(struct nic *nic, const char *text, struct nic_switch *result,
		    struct error *err);

/**
 * Walks the hops that frames pass now, in the order in which they do: for each queue pair first
 * those from the guest, then those to it. This is both the counters and the explanation of a NIC.
 */
void nic_hops(struct nic *nic, nic_hop_fn *fn, void *arg);

/**
 * Records the frames of both directions, dropped ones with the cause, until it is stopped. Where
 * another owner of the rings would have to be asked, the NIC moves to the VMM's own workers for the
 * duration. -EBUSY: one is running.
 */
int nic_capture_start(struct nic *nic, const struct nic_capture *what, struct error *err);

/** Ends it: the file is complete. -ENOENT: none is running. An error of writing is returned. */
int nic_capture_stop(struct nic *nic, struct nic_capture_stats *stats, struct error *err);

/** How far the running capture is; all zero if there is none. */
void nic_capture_get_stats(struct nic *nic, struct nic_capture_stats *stats);

/** For models: tells the observer, if there is one. */
void nic_notify(struct nic *nic, enum nic_event event, const char *fmt, ...) __printf(3, 4);

#endif
