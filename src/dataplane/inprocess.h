/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DATAPLANE_INPROCESS_H
#define DATAPLANE_INPROCESS_H

#include "dataplane/plane.h"
#include "hostnet/hostnet.h"
#include "hostnet/netif_watch.h"
#include "mem/quiesce.h"
#include "net/capture.h"
#include "vring/device.h"

#include <pthread.h>
#include <stdatomic.h>

/*
 * The in-process plane's own structures; private to src/dataplane/inprocess*.c and to its tests.
 *
 * Who may touch what. A pair is its worker's: nobody else reads or writes it while the worker
 * runs. The control thread parks the worker (inproc_park) before it touches the pair and lets it
 * run again afterwards. Three things cross without parking: the configuration, an immutable copy
 * behind an atomic pointer, replaced and freed by quiescence; the memory table, likewise; and
 * frames that RSS gives to another pair (inprocess_steer.c). Counters are read while they are
 * written, each on its own.
 */

#define INPROC_PAIRS_MAX 64

#define TX_BURST	 32   /* chains taken from a transmit queue at once */
#define TX_IOV		 1024 /* parts, of all of them; a chain with more breaks the queue */
#define TX_BYTES	 (512 * 1024) /* sent before completions are published */

#define RX_BURST	 32   /* frames received before they are published */
#define RX_POP		 16   /* receive chains taken at once */
#define RX_BUFS		 1024 /* chains in hand */
#define RX_IOV		 2048 /* parts, of all of them */
#define RX_CHAIN	 1024 /* a receive chain with more parts breaks the queue */
#define RX_PARTS	 512  /* parts that one frame is received into */
#define RX_WANT_MIN	 2048 /* room for a frame to have ready, at least */
#define RX_ROOM		 (NET_FRAME_MAX + 64)

#define HDR_LEN		 12  /* struct virtio_net_hdr_v1 */
#define HDR_LEN_HASH	 20  /* struct virtio_net_hdr_v1_hash */
#define LOOK_LEN	 192 /* of a frame, copied to look at its headers */

#define POLL_US_MAX	 10000
#define POLL_US_DEFAULT	 0

/* The configuration as workers see it. Immutable once published. */
struct inproc_config {
	struct plane_net_config net;
	bool link_up;
	bool filter; /* the filter rejects something */
	bool hash;   /* a hash is needed: to steer, to report, or both */
	bool steer;
	unsigned active; /* pairs whose back-end queue is attached */
};

/* One virtqueue. Aligned, so that no other queue's counters share a line with it. */
struct inproc_queue {
	struct plane_queue_counters c __cacheline_al;
	struct vq *vq;
	unsigned index; /* as in the device: 2i receiveq, 2i+1 transmitq */
	unsigned epoch; /* times started; control thread only */
	bool running;	/* started and not broken */
	bool started;
	bool broken_told;
	bool kicks_on; /* the driver was asked to kick */
	uint32_t size; /* of the ring */
	uint32_t held; /* frames published whose call is held back */
	uint64_t due;  /* when the held call is made; 0: none is held */
	int kick_fd, call_fd;
};

/* What goes into a received frame's header besides num_buffers. */
struct rx_meta {
	struct net_offload off;
	uint32_t hash;
	uint16_t report;
};

/* Chains popped from a receive queue and not used yet: bufs[head … tail). */
struct rx_pool {
	unsigned head, tail;
	unsigned iov_tail;   /* parts used in iov */
	uint64_t bytes;	     /* writable bytes in all of them, header included */
	bool prepared;	     /* the head chain's header space is cut off */
	unsigned saved_n;    /* … and these were its first parts before */
	struct iovec *first; /* where the frame starts in iov */
	struct iovec saved[HDR_LEN_HASH];
	struct vq_buf bufs[RX_BUFS];
	struct iovec iov[RX_IOV + 1]; /* one more for the spill */
};

/* A frame that is not in guest memory: its receive queue had no room, or it is on its way. */
struct rx_frame {
	struct rx_meta meta;
	uint32_t len;
	uint64_t since;	   /* it waits for receive buffers since then; 0: it does not yet */
	_Atomic bool busy; /* in another worker's hands; steering only */
	uint8_t data[RX_ROOM];
};

struct steer; /* inprocess_steer.c */
struct inproc;

enum inproc_request { INPROC_RUN, INPROC_PARK, INPROC_EXIT };

/* A worker that is asleep can be parked without waking it: it is claimed, and will rest. */
enum inproc_sleep { INPROC_AWAKE, INPROC_ASLEEP, INPROC_CLAIMED };

/* A queue pair and the worker that serves it. */
struct inproc_pair {
	struct inproc_queue rx, tx;
	struct quiesce_reader reader;
	struct inproc *p;
	unsigned index;

	/* The worker's view of what the control thread replaces; loaded once a step. */
	struct capture *capture; /* NULL: none */
	const struct inproc_config *config;
	uint64_t mem_generation;

	/* Transmit. */
	uint64_t tx_full_since; /* the back-end takes no more since then; 0: it does */
	uint64_t tx_retry;	/* when to try again, if it is full */
	unsigned tx_futile;	/* tries in a row that it took nothing */
	struct vq_buf tx_bufs[TX_BURST];
	struct iovec tx_iov[TX_IOV];
	struct net_frame tx_frames[TX_BURST];
	unsigned tx_nframes;		       /* in tx_frames; for a capture */
	uint8_t tx_of[TX_BURST];	       /* the chain that frame n came in */
	uint8_t tx_verdict[TX_BURST];	       /* enum plane_drop, or PLANE_DROP_COUNT: sent */
	struct net_frame tx_refused[TX_BURST]; /* those with a verdict from the start */

	/* Receive. */
	bool net_ready;		  /* the back-end may have frames */
	bool rx_starved;	  /* no receive buffers for what may come */
	bool rx_refill_over;	  /* … and have waited long enough */
	bool rx_stashed;	  /* stash holds a frame */
	unsigned rx_ones;	  /* visits in a row that found exactly one frame */
	uint32_t rx_want;	  /* room for a frame to have ready */
	unsigned rx_small;	  /* frames in a row that needed less than half of it */
	uint64_t rx_refill_until; /* large frames wait for buffers till then; 0: they do not */
	uint64_t rx_wait_until;	  /* the frame that waits for buffers is dropped then; 0: none */
	unsigned rx_pushed;	  /* frames pushed, not yet published */
	uint64_t net_dead_until;  /* the back-end failed: left alone until then */
	struct rx_pool pool;
	struct rx_frame *stash;
	uint8_t *spill;

	/* The worker. */
	bool has_thread;
	pthread_t thread;
	int epoll_fd, wake_fd;
	uint32_t net_events; /* what epoll watches the back-end for; 0: it does not */
	uint64_t poll_ns;    /* how long it spins now; adapts, at most p->poll_ns */

	pthread_mutex_t lock; /* request and parked, while parking */
	pthread_cond_t cond;
	_Atomic enum inproc_request request;
	bool parked;
	_Atomic enum inproc_sleep asleep;
	_Atomic bool announce;
};

/* Where worker threads leave word for the control thread; outlives the plane while posted. */
struct inproc_mailbox {
	_Atomic unsigned refs;
	struct inproc *p; /* NULL when it is closed; control thread only */
};

struct inproc {
	struct plane plane;
	char id[32];
	struct hostnet *hn;
	struct guest_mem *mem;
	struct loop *loop;
	const struct plane_events *events;
	struct inproc_mailbox *mailbox;
	struct netif_watch watch; /* of the interface behind the back-end, if it has one */
	uint8_t mac[6];
	unsigned mtu;
	unsigned npairs;
	bool threads; /* false: inproc_step() is called by hand (tests, fuzzing) */
	bool started;
	uint64_t poll_ns;
	unsigned ncpus;
	int cpus[INPROC_PAIRS_MAX];

	/* What was negotiated. Constant while started. */
	unsigned hdr_len;
	bool mergeable;
	uint32_t tx_offloads; /* NET_OFFLOAD_* the guest may use */
	uint32_t tx_finish;   /* … and the back-end does not know: they are carried out here */
	uint32_t rx_offloads; /* … and may be given, by the features alone */

	_Atomic(struct inproc_config *) config;
	_Atomic(struct capture *) capture;
	_Atomic(struct steer *) steer; /* made when first needed, kept until close */
	struct inproc_pair **pairs;
};

/**
 * Makes a plane on an open back-end, which it owns from then on (also after an error). Without
 * threads nothing moves but by inproc_step().
 */
int inproc_new(struct hostnet *hn, const struct options *opts, const struct plane_params *params,
	       bool threads, struct plane **out, struct error *err);

extern const struct plane_ops inprocess_ops;

/* inprocess_config.c */
extern const struct option_key inproc_keys[];
int inproc_take_options(struct inproc *p, const struct options *opts, struct error *err);
void inproc_features(struct plane *plane, struct virtio_features *out);
void inproc_carries(struct plane *plane, struct virtio_features *out);
int inproc_could(struct virtio_features *out, struct error *err);

/** Takes what the driver acknowledged; -ENOTSUP with err set if the back-end cannot carry it. */
int inproc_take_features(struct inproc *p, const struct virtio_features *features,
			 struct error *err);

/** A configuration to begin with, and the end of the last one (no worker is left). */
int inproc_config_init(struct inproc *p, struct error *err);
void inproc_config_free(struct inproc *p);

/** Publishes a new configuration to the workers and to the back-end. */
int inproc_take_config(struct inproc *p, const struct plane_net_config *net);

/** Sends the announcement that was asked for (in the worker, or parked). */
void inproc_announce_now(struct inproc_pair *pair);

/* inprocess_capture.c: what is recorded. why: PLANE_DROP_COUNT, or why it goes no further. */
int inproc_capture(struct plane *plane, struct capture *capture);
void inproc_record(struct inproc_pair *pair, enum pcapng_direction direction,
		   const struct iovec *iov, unsigned niov, enum plane_drop why);

/* inprocess_step.c */

/** Serves the pair once: what was sent, what was received, what is due. How much was found. */
unsigned inproc_step(struct inproc_pair *pair);

/** Publishes what was pushed to q and calls the driver, or holds the call back (n frames). */
void inproc_publish(struct inproc_pair *pair, struct inproc_queue *q,
		    const struct plane_coalesce *coalesce, unsigned n);

/** Drops a reference to the mailbox. */
void mailbox_put(struct inproc_mailbox *mailbox);

/** Signals the driver. */
void inproc_call(struct inproc_queue *q);

/** Makes a held call now, if the driver wants one. */
void inproc_call_held(struct inproc_queue *q);

/** The ring broke: says so to the NIC, once. */
void inproc_broken(struct inproc_pair *pair, struct inproc_queue *q);

/**
 * The receive queue is about to stop (the worker is parked): delivers what is in our own memory or
 * counts it as dropped, and gives unused chains back.
 */
void inproc_rx_drain(struct inproc_pair *pair);

/** Takes the memory table and the configuration that are current now (parked, or in a step). */
void inproc_reload(struct inproc_pair *pair);

/** The next moment at which inproc_step() has something to do by itself; 0: none. */
uint64_t inproc_deadline(const struct inproc_pair *pair);

/* inprocess_tx.c, inprocess_rx.c */
unsigned inproc_tx(struct inproc_pair *pair);
unsigned inproc_rx(struct inproc_pair *pair);

/** Puts a frame that is not in guest memory into receive buffers: 1, or 0 if there are too few. */
int inproc_rx_copy(struct inproc_pair *pair, const struct rx_frame *frame);

/** Gives all unused receive chains back. */
void inproc_rx_unpop(struct inproc_pair *pair);

/* inprocess_pool.c */

/**
 * Fills the pool until it has room for want bytes of a frame. Returns the room it has: less when
 * the ring has no more; 0 when there is no chain at all.
 */
uint32_t rx_pool_fill(struct inproc_pair *pair, uint32_t want);

/** Cuts the header's room off the head chain, so that pool->first is where a frame begins. */
void rx_pool_prepare(struct inproc_pair *pair);

/**
 * One past the last part that a frame is received into: as many as are needed for what is wanted
 * ready, or all of the one chain that there is without MRG_RXBUF. *room: the bytes up to there.
 */
struct iovec *rx_pool_end(struct inproc_pair *pair, uint32_t *room);

/** A frame of len bytes lies in the pool's chains: gives them to the driver. */
void rx_pool_deliver(struct inproc_pair *pair, const struct rx_meta *meta, uint32_t len);

/* inprocess_steer.c */
struct steer *steer_new(unsigned npairs);
void steer_free(struct steer *steer);

/** A free frame of pair's, NULL if all are under way. */
struct rx_frame *steer_frame(struct inproc_pair *pair);

/** Gives a frame from steer_frame() to pair number to and wakes its worker. */
void steer_give(struct inproc_pair *pair, struct rx_frame *frame, unsigned to);

/** The oldest frame given to pair, NULL if none; steer_done() after it was dealt with. */
struct rx_frame *steer_peek(struct inproc_pair *pair, unsigned *from);
void steer_done(struct inproc_pair *pair, unsigned from);

/* inprocess_worker.c */
int inproc_worker_start(struct inproc_pair *pair, int cpu, struct error *err);
void inproc_worker_end(struct inproc_pair *pair);

/** Waits until the worker is at rest; inproc_unpark() lets it go on. */
void inproc_park(struct inproc_pair *pair);
void inproc_unpark(struct inproc_pair *pair);

/** Wakes a worker that may be asleep. */
void inproc_wake(struct inproc_pair *pair);

/** Watches the back-end for what the pair can use now. */
void inproc_watch_net(struct inproc_pair *pair);

/** Watches a queue's kick eventfd, or stops watching it. The worker is parked. */
int inproc_watch_kick(struct inproc_pair *pair, struct inproc_queue *q, bool on);

/* A counter has one writer; a reader sees each whole. */
static inline void count(uint64_t *counter, uint64_t n)
{
	__atomic_store_n(counter, *counter + n, __ATOMIC_RELAXED);
}

static inline void count_in(struct inproc_queue *q, uint32_t len)
{
	count(&q->c.frames_in, 1);
	count(&q->c.bytes_in, len);
}

static inline void count_out(struct inproc_queue *q, uint32_t len)
{
	count(&q->c.frames_out, 1);
	count(&q->c.bytes_out, len);
}

static inline void count_drop(struct inproc_queue *q, enum plane_drop why)
{
	count(&q->c.drops[why], 1);
	__atomic_store_n(&q->c.last_drop, (uint64_t)why + 1, __ATOMIC_RELAXED);
}

#endif
