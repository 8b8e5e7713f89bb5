/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SWITCH_WORKER_H
#define SWITCH_WORKER_H

#include "mem/quiesce.h"
#include "switch/capture.h"
#include "switch/counters.h"
#include "switch/fdb.h"
#include "switch/frame.h"
#include "switch/plan.h"

#include <pthread.h>

/*
 * A worker: a thread that serves in queues, each from the pop of a burst to the last publication
 * in one step, and holds nothing between two steps. Private to src/switch/ and its tests.
 */
#define BURST	      64   /* frames taken from a queue at once */
#define BURST_IOV     1024 /* parts, of all of them; a chain with more breaks the queue */
#define FRAME_BURST   32   /* frames taken from a frame back-end at once */
#define SINK_BUFS     1024 /* receive chains in hand */
#define SINK_IOV      2048 /* parts, of all of them */
#define OUT_PARTS     1026 /* of the frames that are given to a frame port at once */
#define FLUSHED_MAX   16   /* queues published before their drivers are called */
#define SW_MIRRORS    64   /* copies of one frame for mirrors */
#define FRAME_BUF_LEN (ALIGN_UP(NET_FRAME_MAX + 64, 4096))

/** The frames of this step that go to one port, in order. */
struct outbox {
	uint16_t n;
	uint8_t idx[BURST];
};

/** A queue that something was published in, and whose driver may want to be called. */
struct flushed {
	const struct sw_ring *ring;
	uint64_t *calls; /* to be counted here; may be NULL */
};

struct sw_worker {
	struct sw *sw;
	unsigned index;
	struct fdb *fdb;
	const struct sw_plan *plan; /* of this step */
	const struct sw_work *work; /* in it */
	uint16_t now;		    /* seconds, the forwarding database's clock */
	uint64_t step_cycles;	    /* when the step began */

	/* A step's frames. */
	struct frame *frames; /* BURST */
	uint64_t dkey[BURST], skey[BURST];
	struct vq_buf bufs[BURST];
	unsigned ntouched;
	uint16_t touched[BURST];
	struct outbox *boxes; /* SW_PORTS_MAX */
	unsigned burst;	      /* frames of this burst */
	unsigned held_back;   /* of them the last ones that stay where they are */

	unsigned nflushed;
	struct flushed flushed[FLUSHED_MAX];

	/* Scratch. */
	struct iovec iov[BURST_IOV];
	struct vq_buf sink_bufs[SINK_BUFS];
	uint32_t sink_lens[SINK_BUFS]; /* written to them */
	struct iovec sink_iov[SINK_IOV];
	struct iovec parts[OUT_PARTS];
	uint16_t *list;	     /* destinations of one frame */
	uint8_t *copy;	     /* FRAME_BUF_LEN: a frame with several destinations */
	uint8_t *frame_bufs; /* FRAME_BURST of them: what frame ports give */

	struct sw_worker_stats stats __cacheline_al;

	/* The thread. */
	struct quiesce_reader reader;
	pthread_t thread;
	bool has_thread;
	int cpu;
	int epoll_fd, wake_fd;
	_Atomic bool stop;
};

/** Makes a worker without a thread: sw_worker_step() is called by hand. NULL with err set. */
struct sw_worker *sw_worker_create(struct sw *sw, unsigned index, int cpu, struct error *err);
int sw_worker_start(struct sw_worker *w, struct error *err);

/** Ends the thread, if there is one, and frees the worker. */
void sw_worker_destroy(struct sw_worker *w);

/** From any thread: wakes it up if it sleeps. */
void sw_worker_wake(struct sw_worker *w);

/** Watches a descriptor (edge-triggered) that says that there is work, or no longer does. */
int sw_worker_watch(struct sw_worker *w, int fd);
void sw_worker_unwatch(struct sw_worker *w, int fd);

/** Serves every queue once. Returns how many frames were moved. */
unsigned sw_worker_step(struct sw_worker *w);

/* take.c */

/** Serves one queue: takes a burst and forwards it. Frames moved; 0: there was nothing. */
unsigned sw_take(struct sw_worker *w, struct sw_in *in);

/**
 * A queue was published (vq_flush_quiet()): its driver is called, if it wants that, by sw_calls(),
 * at the latest at the end of the step. So one barrier does for many queues.
 */
void sw_call_later(struct sw_worker *w, const struct sw_ring *ring, uint64_t *calls);
void sw_calls(struct sw_worker *w);

/** Sends an announcement that was asked for, if it is for this worker to do. */
void sw_announce(struct sw_worker *w, uint64_t word);

/*
 * What take.c says of frames that go nowhere: their skey is 0, and dkey one of these, which no
 * address gives.
 */
#define KEY_MALFORMED (1ULL << 60)
#define KEY_BAD_VLAN  (1ULL << 61)

/**
 * fast.c: forwards the first of the n frames in w->bufs as long as they are like those before.
 * Returns how many it were; bytes are not counted.
 */
unsigned sw_fast(struct sw_worker *w, struct sw_in *in, const struct sw_dest *src, unsigned n);

/* forward.c */

/**
 * Forwards frames [0, n) of the step that came from in. Returns how many were taken; the others,
 * the last w->held_back ones, are to stay in their queue.
 */
unsigned sw_forward(struct sw_worker *w, struct sw_in *in, unsigned n, bool may_hold_back);

/* deliver.c */

/**
 * Gives frames idx[0 … n) to a port, in order; what cannot be given is dropped and counted. With
 * may_hold_back, if frames find no receive buffers, and the last ones of the burst are concerned,
 * these stay in their queue for a while.
 */
void sw_deliver(struct sw_worker *w, struct sw_in *in, const struct sw_dest *d, const uint8_t *idx,
		unsigned n, bool may_hold_back);

/* sink.c: frames into a ring's receive buffers. */
struct sink {
	struct vq *vq;
	struct sw_worker *w;
	unsigned got, next, pushed; /* chains in w->sink_bufs: popped, filled, of those completed */
	unsigned iov_used;
	uint32_t offloads;
	uint32_t max_len; /* of a frame that is not to be segmented by the receiver */
	uint8_t hdr_len;
	bool mergeable;
	bool untranslated;	/* the next chain has an address whose translation is missing */
	uint64_t frames, bytes; /* delivered */
};

void sink_open(struct sink *s, struct sw_worker *w, struct vq *vq, const struct sw_dest *d,
	       unsigned expected);

/** Gives back what was not used. The queue is to be flushed then. */
void sink_close(struct sink *s);

/**
 * Puts a frame in: 0; -ENOSPC (no buffers), -EMSGSIZE (it never fits), -EPROTO (the ring is
 * malformed), -EINVAL (offload fields). *made: frames it became, more than one if it was segmented,
 * counted also when the rest of them failed.
 */
int sink_put(struct sink *s, const struct frame *f, unsigned *made);

/* A counter has one writer; a reader sees each whole. */
static inline void count(uint64_t *counter, uint64_t n)
{
	__atomic_store_n(counter, *counter + n, __ATOMIC_RELAXED);
}

static inline uint64_t counted(const uint64_t *counter)
{
	return __atomic_load_n(counter, __ATOMIC_RELAXED);
}

static inline void count_drop(struct sw_in *in, enum sw_drop why, uint64_t n)
{
	count(&in->c.drops[why], n);
}

/** Counts a frame as dropped, and shows it to who captures such. */
static inline void drop(struct sw_worker *w, struct sw_in *in, const struct frame *f,
			enum sw_drop why)
{
	count_drop(in, why, 1);
	if (unlikely(w->plan->capture))
		sw_capture_drop(w->plan->capture, in->port, f, why);
}

static inline uint64_t sw_cycles(void)
{
	return __builtin_ia32_rdtsc();
}

#endif
