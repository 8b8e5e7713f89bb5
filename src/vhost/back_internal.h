/* SPDX-License-Identifier: Apache-2.0 */
#ifndef VHOST_BACK_INTERNAL_H
#define VHOST_BACK_INTERNAL_H

#include "vhost/back_map.h"
#include "vhost/back_postcopy.h"
#include "vhost/backend.h"
#include "vhost/user_io.h"

/*
 * The back-end from inside: see docs/vhost-user.md. back_conn.c holds the connection and hands
 * requests out, back_socket.c finds front-ends, back_mem.c has their memory, back_ring.c their
 * rings, back_inflight.c what these leave for a successor, back_log.c the dirty log, back_handover.c
 * what goes to another process, back_postcopy.c memory that is still on its way, back_state.c what
 * goes along with a guest, and back_config.c what is left.
 */
#define BACK_SLOTS_MAX	   64 /* memory regions */
#define BACK_CONFIG_BYTES  24 /* struct virtio_net_config (virtio 1.2, 5.1.4) */
#define BACK_CONFIG_STATUS 6
#define BACK_CONFIG_PAIRS  8
#define BACK_CONFIG_MTU	   10
#define BACK_CONFIG_SPEED  12
#define BACK_CONFIG_DUPLEX 16
#define BACK_MTU_MIN	   68

/** One region of the front-end's memory. */
struct back_region {
	struct back_map map;
	void *at; /* its first byte, in map */
	struct vhost_user_region wire;
	struct back_late *late; /* while post-copy lasts; otherwise NULL */
};

struct back_queue {
	struct vhost_backend_queue pub;

	/* As told; a ring keeps them while it is stopped. */
	uint32_t size; /* 0: not told */
	struct vhost_user_vring_addr addr;
	bool addr_set;
	uint32_t base;
	bool kick_set; /* SET_VRING_KICK came, with or without a descriptor: it may start */
	bool enabled;
	bool broken; /* until it is stopped and set up again */

	int call_fd; /* a number that stays while files are exchanged behind it; -1: not yet */
	int err_fd;

	struct vring_config cfg; /* while it runs */
	bool running;		 /* with the owner */

	/* The translation asked for last. */
	uint64_t asked_iova, asked_at;
	bool asked_write;
	bool waiting;	/* for it, or for a page, before the next chain can be taken */
	uint64_t lacks; /* that page's address */
	_Atomic bool attention;

	/* Signals to the front-end: see back_watch.c. */
	_Atomic uint64_t signals_begun, signals_done;
	uint64_t signals_seen; /* the watching thread's */
	_Atomic bool silenced;
};

/** The device's state on its way: see back_state.c. */
struct back_state {
	struct loop_fd pipe; /* fd -1: none */
	uint8_t *data;
	size_t len, at;
	int how;
};

struct vhost_backend {
	char *name;
	char *path;
	bool server;
	struct loop *loop;
	const struct vhost_backend_ops *ops;
	void *opaque;
	uint64_t offered; /* virtio features, with those of vhost itself */
	unsigned nqueues;
	struct back_queue *queues;
	uint8_t config[BACK_CONFIG_BYTES];
	uint16_t mtu_max;  /* what the owner gave */
	uint16_t mtu_told; /* NET_SET_MTU; 0: it did not come */

	/* Finding front-ends. */
	struct loop_fd listener;
	struct loop_timer retry;
	unsigned retry_ms;

	/* The one that is there. */
	struct loop_fd conn; /* fd -1: none */
	struct loop_fd attention;
	struct vhost_user_rx rx;
	int request_fd; /* SET_BACKEND_REQ_FD; -1: none */
	bool owned;	/* SET_OWNER came */
	uint64_t features;
	bool features_set;
	uint64_t protocol;
	uint8_t status;

	struct back_region *regions;
	unsigned nregions;
	struct mem_table *table; /* what rings are started on; NULL: none */
	struct back_map log_map;
	struct dirty_log *log;

	/* Translations, with ACCESS_PLATFORM; and the table made of them, on table's memory. */
	struct back_iotlb_entry *iotlb;
	unsigned niotlb;
	struct mem_table *iotlb_table;
	struct loop_timer iotlb_timer;

	struct back_postcopy *post; /* from ADVISE to END; otherwise NULL */

	/* Where rings leave what a successor must know; at NULL: nowhere. */
	struct back_map inflight_map;
	uint8_t *inflight;
	unsigned inflight_queues, inflight_size;

	bool frozen; /* nobody is listened to */
	struct back_state state;

	bool held; /* on its way to another process, or from one: nothing runs */

	struct vhost_backend *next_watched;
	bool is_watched;
	_Atomic bool blocked; /* the front-end has held up whoever signalled it */

	uint64_t connections;
	char last_error[256];
};

/** One request. Reads msg->payload, puts a reply (if the request has one) in its place. */
typedef int back_handler(struct vhost_backend *be, struct vhost_user_msg *msg, struct error *err);

static inline bool back_has(const struct vhost_backend *be, unsigned protocol_bit)
{
	return be->protocol >> protocol_bit & 1;
}

/** What rings are run on; NULL: nothing yet. */
static inline const struct mem_table *back_ring_table(const struct vhost_backend *be)
{
	if (back_postcopy_on(be))
		return back_postcopy_table(be);
	return be->iotlb_table ? be->iotlb_table : be->table;
}

static inline bool back_feature(const struct vhost_backend *be, unsigned bit)
{
	return be->features >> bit & 1;
}

/** Takes descriptor 0 out of a message. */
int back_take_fd(struct vhost_user_msg *msg);

/** A request of our own to the front-end, if it has given us a channel. 0 or -ENOTCONN. */
int back_request(struct vhost_backend *be, const struct vhost_user_msg *msg);

/* back_handover.c */
/** Becomes what another process's back-end was, with nothing running. */
int back_restore(struct vhost_backend *be, struct parcel_in *p, struct error *err);

/* back_socket.c */
/** Takes a socket that listens; back_socket_next() watches it. */
void back_socket_take(struct vhost_backend *be, int fd);
void back_socket_init(struct vhost_backend *be);
int back_socket_open(struct vhost_backend *be, struct error *err);
/** The connection is gone: look for the next front-end. */
void back_socket_next(struct vhost_backend *be);
void back_socket_close(struct vhost_backend *be);

/* back_conn.c */
/** Carries out a request, if its form is right, and answers nobody. */
int back_carry_out(struct vhost_backend *be, struct vhost_user_msg *msg, struct error *err);
int back_conn_start(struct vhost_backend *be, int fd, struct error *err);

/* back_map.c */
/**
 * Maps bytes [offset, offset + size) of the file fd, shared and writable, after making sure that
 * it is memory, has those bytes, and that it does not hurt if it shrinks. The map has a copy of fd.
 */
int back_map_file(struct vhost_backend *be, int fd, uint64_t offset, uint64_t size,
		  struct back_map *map, void **at, struct error *err);
/* back_mem.c */
back_handler back_set_mem_table, back_add_mem_reg, back_rem_mem_reg, back_get_max_mem_slots;
void back_mem_drop(struct vhost_backend *be);
/** Post-copy is over: all memory is there, and rings go on in it. */
int back_mem_arrived(struct vhost_backend *be, struct error *err);
/** The front-end took memory away that was in use (mem/guard.h). */
bool back_mem_lost(const struct vhost_backend *be);

/* back_log.c */
back_handler back_set_log_base, back_set_log_fd;
void back_log_drop(struct vhost_backend *be);
/** What is written is marked from now on, or no longer, as the features say; no ring runs. */
void back_log_apply(struct vhost_backend *be);

/* back_iotlb.c */
back_handler back_iotlb_msg;
bool back_iotlb_on(const struct vhost_backend *be);
void back_iotlb_drop(struct vhost_backend *be);
/** Makes the table anew, of the translations and the memory there are now; no ring runs. */
int back_iotlb_renew(struct vhost_backend *be, struct error *err);
/** Asks the front-end, unless it has just been asked. */
void back_iotlb_ask(struct vhost_backend *be, struct back_queue *q, uint64_t iova, bool write);
/**
 * Asks for what the chains that are available lack. False: the first one lacks it, and the ring is
 * to wait.
 */
bool back_iotlb_look_ahead(struct vhost_backend *be, struct back_queue *q);
/** Whether a part of a ring is translated: 0; -EFAULT, and it is asked for; -EINVAL. */
int back_iotlb_locate(struct vhost_backend *be, struct back_queue *q, uint64_t iova, uint64_t len,
		      bool write, struct error *err);

/** Rings that wait for one look again, and ask again, a moment later. */
void back_iotlb_retry(struct vhost_backend *be);

/** Calls fn for each translation of memory that is there, as the message that told it. */
void back_iotlb_each(const struct vhost_backend *be,
		     void (*fn)(const struct vhost_user_iotlb *io, void *arg), void *arg);

/* back_postcopy.c: see its header */
back_handler back_postcopy_advise, back_postcopy_listen, back_postcopy_end;

/* back_state.c */
back_handler back_set_device_state_fd, back_check_device_state;
void back_state_drop(struct vhost_backend *be);

/* back_inflight.c */
back_handler back_get_inflight_fd, back_set_inflight_fd;
void back_inflight_drop(struct vhost_backend *be);
/** The ring has just been started: takes up what a predecessor left, and tracks it from now on. */
void back_inflight_start(struct vhost_backend *be, struct back_queue *q);

/* back_watch.c */
int back_watch_add(struct vhost_backend *be, struct error *err);
void back_watch_remove(struct vhost_backend *be);
/** Signals an eventfd of the front-end's, one of the queue's two. Any thread. */
void back_signal(struct back_queue *q, const int *fd);
/** Closes one of them. */
void back_close_signal(int *fd);

/* back_ring.c */
back_handler back_set_vring_num, back_set_vring_addr, back_set_vring_base, back_get_vring_base,
	back_set_vring_kick, back_set_vring_call, back_set_vring_err, back_set_vring_enable;
int back_rings_init(struct vhost_backend *be, unsigned n, struct error *err);
void back_rings_free(struct vhost_backend *be);
/** Starts or stops the queue, as what is known of it says. */
int back_ring_update(struct vhost_backend *be, struct back_queue *q, struct error *err);
void back_ring_stop(struct vhost_backend *be, struct back_queue *q);
void back_rings_stop(struct vhost_backend *be);
/** Those that can run do; one whose ring is not in memory waits for that, without an error. */
int back_rings_resume(struct vhost_backend *be, struct error *err);
/** Stops all and forgets what the front-end said of them. */
void back_rings_reset(struct vhost_backend *be);
/** A worker has met something in the queue. */
void back_ring_attention(struct vhost_backend *be, struct back_queue *q);

/* back_config.c */
back_handler back_get_features, back_set_features, back_get_protocol_features,
	back_set_protocol_features, back_set_owner, back_reset_owner, back_reset_device,
	back_get_queue_num, back_set_status, back_get_status, back_get_config, back_set_config,
	back_set_mtu, back_send_rarp, back_set_request_fd;
/** The protocol features that there is code for here. */
uint64_t back_protocol_offered(const struct vhost_backend *be);
void back_config_init(struct vhost_backend *be, const struct vhost_backend_params *params);

#endif
