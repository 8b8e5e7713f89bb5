/* SPDX-License-Identifier: Apache-2.0 */
#ifndef VHOST_BACKEND_H
#define VHOST_BACKEND_H

#include "base/loop.h"
#include "base/parcel.h"
#include "mem/guest_mem.h"
#include "vhost/device_state.h"
#include "vhost/user_msg.h"
#include "vring/device.h"

/*
 * The back-end's side of vhost-user for a network device: one socket, at most one front-end at a
 * time, its memory and its virtqueues. The owner (a port of the switch) moves the frames; this
 * moves everything else, and calls the owner when a queue may be polled and when it must be left
 * alone. docs/vhost-user.md tells the whole story.
 *
 * Threads. All functions are for the loop's thread, which is also where the owner is called, except
 * those that say "worker". Between queue_start and the return of queue_stop a queue's vq belongs to
 * one worker of the owner's; outside it belongs to this side. Memory changes, new features, logging
 * and everything else that a worker could notice happen only while no queue is with the owner: the
 * queues concerned are stopped, changed and started again.
 */
#define VHOST_BACKEND_PAIRS_MAX	 64 /* queue pairs; the message has 8 bits for a queue's index */
#define VHOST_BACKEND_QUEUES_MAX (2 * VHOST_BACKEND_PAIRS_MAX)

struct vhost_backend;

/**
 * A queue as the owner sees it. Even indices carry frames to the guest (receiveq), odd ones from
 * it. Belongs to the back-end, lives as long as that does, and does not move.
 */
struct vhost_backend_queue {
	struct vhost_backend *backend;
	unsigned index;
	/**
	 * Started on the front-end's memory, from the right place. vq_pop() may also return -EPROTO
	 * (broken) or -EAGAIN (a translation has to be asked for): vhost_backend_attention() then,
	 * and nothing but polling it at leisure until the next queue_start.
	 */
	struct vq *vq;
	/**
	 * An eventfd to be watched edge-triggered (EPOLLET), never read: then nothing the front-end
	 * does to it can block a worker. -1: the front-end never kicks, poll.
	 */
	int kick_fd;
	void *opaque; /* the owner's, never touched here */
};

/** What the owner is told. All but queue_start and queue_stop may be NULL. */
struct vhost_backend_ops {
	/**
	 * The queue is configured, has its memory and is enabled: poll it from now on, and look at
	 * it once without waiting for a kick. Returns 0, or a negative errno with err set, which
	 * ends the connection.
	 */
	int (*queue_start)(void *opaque, struct vhost_backend_queue *q, struct error *err);
	/**
	 * Leave the queue alone. When this returns, no worker touches its vq, its kick_fd or any
	 * memory reached through it, and no chain is popped but not pushed (vq_unpop() or vq_push()
	 * all that were). Must not wait for anything that a front-end does.
	 */
	void (*queue_stop)(void *opaque, struct vhost_backend_queue *q);
	/**
	 * A front-end has introduced itself, or one is gone (connected false, all queues stopped);
	 * why is for the log then.
	 */
	void (*connection)(void *opaque, bool connected, const char *why);
	/** The features that were agreed on (virtio's bits only); no queue is running. */
	void (*features)(void *opaque, uint64_t features);
	/** NET_SET_MTU. A negative errno refuses it. */
	int (*mtu)(void *opaque, uint16_t mtu);
	/**
	 * What was seen behind the device, to go along with a guest that migrates: fills list, returns
	 * how many, at most max. No queue runs. Both this and load_state, or neither.
	 */
	unsigned (*save_state)(void *opaque, struct device_state_address *list, unsigned max);
	/** What was seen behind it where it was before; not to be trusted. */
	void (*load_state)(void *opaque, const struct device_state_address *list, unsigned n);
	/** SEND_RARP: announce this address on all other ports. */
	void (*announce)(void *opaque, const uint8_t mac[6]);
};

struct vhost_backend_params {
	const char *name; /* for messages: the port; copied */
	const char *path; /* of the socket; copied. NULL: only vhost_backend_attach() */
	bool server;	  /* listen there; otherwise connect, again and again */
	/**
	 * Features offered, among VHOST_BACKEND_FEATURES. What the transport adds (VERSION_1, ring
	 * layouts, logging) is up to the owner too, but for VHOST_F_LOG_ALL and
	 * VHOST_USER_F_PROTOCOL_FEATURES, which are always added.
	 */
	uint64_t features;
	unsigned queue_pairs;
	uint8_t mac[6]; /* in the config space where VIRTIO_NET_F_MAC is offered */
	uint16_t mtu;	/* in the config space where VIRTIO_NET_F_MTU is offered */
	struct loop *loop;
	const struct vhost_backend_ops *ops;
	void *opaque;
	/**
	 * What vhost_backend_save() of another process put, or NULL: then the back-end is what that
	 * one was, connection and all, and held.
	 */
	struct parcel_in *inherit;
};

/** Virtio features that this side can carry for an owner: all that vring/ and virtio-net know. */
extern const uint64_t vhost_backend_features;

/**
 * Makes a back-end. With a path it listens (then a socket that cannot be made is an error) or
 * starts connecting (never an error). NULL with err set.
 */
struct vhost_backend *vhost_backend_create(const struct vhost_backend_params *params,
					   struct error *err);

/** Stops all queues, hangs up, removes its socket file. Not from inside a callback. */
void vhost_backend_destroy(struct vhost_backend *be);

/** Talks to the front-end at the other end of fd, which it takes over, also on failure. -EBUSY. */
int vhost_backend_attach(struct vhost_backend *be, int fd, struct error *err);

/** Ends the present connection, saying why in the log. The next front-end may come. */
void vhost_backend_hang_up(struct vhost_backend *be, const char *why);

/** Says in the config space whether the link is up, and tells the front-end where it can. */
void vhost_backend_set_link(struct vhost_backend *be, bool up);

struct vhost_backend_info {
	bool connected;
	uint64_t features; /* agreed on */
	uint64_t protocol; /* VHOST_USER_PROTOCOL_F_* agreed on */
	uint8_t status;	   /* SET_STATUS */
	unsigned regions;
	uint64_t memory; /* bytes */
	unsigned queues_running;
	uint64_t connections; /* so far */
	char last_error[256]; /* why the last connection ended; "" */
};
void vhost_backend_info(const struct vhost_backend *be, struct vhost_backend_info *info);

/*
 * Handing a back-end to another process, with its front-end, which notices nothing: save; hold (no
 * queue runs then); save_rings. There: create with inherit (it is held), restore_rings, resume. Here:
 * resume too, if it came to nothing at any point after save; otherwise the process ends without a word,
 * since whatever is destroyed would be told to the front-end, or taken from the file system. From save
 * to hold the queues run and the loop may, but what the front-end says is not heard: it waits. A
 * front-end of which half a message is there is hung up by save.
 */
void vhost_backend_save(struct vhost_backend *be, struct parcel_out *p);
/** 0; -EBUSY while post-copy lasts: the page faults of one process are what was agreed on. */
int vhost_backend_can_save(const struct vhost_backend *be, struct error *err);
void vhost_backend_hold(struct vhost_backend *be);
void vhost_backend_save_rings(const struct vhost_backend *be, struct parcel_out *p);
int vhost_backend_restore_rings(struct vhost_backend *be, struct parcel_in *p, struct error *err);
/** Queues run again. A front-end whose queues cannot is hung up. */
void vhost_backend_resume(struct vhost_backend *be);

/**
 * Worker: signals the driver, as vq_flush() or vq_should_call() asked. A front-end that makes this
 * block loses its connection, and 100 ms later at most it returns.
 */
void vhost_backend_call(struct vhost_backend_queue *q);

/** Worker: vq_pop() has returned -EPROTO or -EAGAIN. Cheap when it is repeated. */
void vhost_backend_attention(struct vhost_backend_queue *q);

#endif
