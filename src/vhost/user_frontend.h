/* SPDX-License-Identifier: Apache-2.0 */
#ifndef VHOST_USER_FRONTEND_H
#define VHOST_USER_FRONTEND_H

#include "mem/guest_mem.h"
#include "vhost/user_io.h"
#include "vring/vring.h"

/*
 * The front-end's side of one vhost-user connection. Used by one thread at a time; every request
 * that waits for an answer does so until the deadline set last (vhost_user_within()), so that a
 * peer that hangs holds its caller up no longer than that.
 *
 * A request that fails for any other reason than the back-end saying no (-EIO) leaves the
 * connection broken: all further ones return -ENOTCONN, and only vhost_user_hang_up() remains.
 */
struct vhost_user_frontend {
	int fd;		   /* the connection; -1: none */
	int backend_fd;	   /* our end of the channel for the back-end's requests; -1: none */
	char name[128];	   /* for messages: the socket's path */
	uint64_t deadline; /* clock_ns() */
	uint64_t features; /* what the back-end offers */
	uint64_t protocol; /* VHOST_USER_PROTOCOL_F_* agreed on */
	bool protocol_ok;  /* the back-end knows protocol features */
	bool broken;
	unsigned queues_max; /* rings, 2 a pair; 2 without MQ */
	unsigned slots_max;  /* memory regions it takes */
	struct vhost_user_rx rx;
	struct vhost_user_rx backend_rx;
	bool backend_broken; /* that channel is of no use any more */

	/*
	 * What the back-end asks for; called from whatever waits for the back-end, too. config_change
	 * (or NULL): BACKEND_CONFIG_CHANGE_MSG. notifier takes (fd >= 0, borrowed) or lets go of a notifier, as BACKEND_VRING_HOST_NOTIFIER_MSG says;
	 * the message has been checked as far as it goes by itself. 0, or a negative errno with err set:
	 * the back-end is told no. NULL: all are refused.
	 */
	void (*config_change)(void *opaque);
	int (*notifier)(void *opaque, unsigned queue, int fd, const struct vhost_user_area *area,
			struct error *err);
	void *opaque;

	/* Regions it has been given, for ADD_MEM_REG and REM_MEM_REG. */
	struct mem_region *regions;
	unsigned nregions;
	bool memory_given;
};

/** One ring; descriptors are borrowed. */
struct vhost_user_ring {
	unsigned index;
	const struct vring_config *cfg;
	const struct vring_state *state;
	int kick_fd, call_fd, err_fd; /* err_fd -1: none */
};

/** The region in which a back-end keeps what it has in flight; kept across its restarts. */
struct vhost_user_inflight_region {
	int fd; /* -1: none yet */
	struct vhost_user_inflight desc;
};

/** What vhost_user_greet() may agree on: all that this front-end carries out entirely. */
#define VHOST_USER_FRONTEND_PROTOCOL                                                            \
	(1ULL << VHOST_USER_PROTOCOL_F_MQ | 1ULL << VHOST_USER_PROTOCOL_F_LOG_SHMFD |           \
	 1ULL << VHOST_USER_PROTOCOL_F_RARP | 1ULL << VHOST_USER_PROTOCOL_F_REPLY_ACK |         \
	 1ULL << VHOST_USER_PROTOCOL_F_NET_MTU | 1ULL << VHOST_USER_PROTOCOL_F_BACKEND_REQ |    \
	 1ULL << VHOST_USER_PROTOCOL_F_CONFIG | 1ULL << VHOST_USER_PROTOCOL_F_BACKEND_SEND_FD | \
	 1ULL << VHOST_USER_PROTOCOL_F_HOST_NOTIFIER |                                          \
	 1ULL << VHOST_USER_PROTOCOL_F_INFLIGHT_SHMFD |                                         \
	 1ULL << VHOST_USER_PROTOCOL_F_RESET_DEVICE |                                           \
	 1ULL << VHOST_USER_PROTOCOL_F_CONFIGURE_MEM_SLOTS | 1ULL << VHOST_USER_PROTOCOL_F_STATUS)

/** Prepares an unconnected one. name is copied. */
void vhost_user_frontend_init(struct vhost_user_frontend *fe, const char *name);

/** All requests from now on together have so long. */
void vhost_user_within(struct vhost_user_frontend *fe, unsigned msecs);

/**
 * Takes over the connected socket fd (also on failure) and introduces itself: features, protocol
 * features among VHOST_USER_FRONTEND_PROTOCOL, queue and memory limits, the back-end's channel.
 */
int vhost_user_greet(struct vhost_user_frontend *fe, int fd, struct error *err);

/** Closes the connection. */
void vhost_user_hang_up(struct vhost_user_frontend *fe);

static inline bool vhost_user_has(const struct vhost_user_frontend *fe,
				  enum vhost_user_protocol_feature bit)
{
	return fe->protocol >> bit & 1;
}

/** SET_FEATURES; log: with VHOST_F_LOG_ALL. Features must be among fe->features. */
int vhost_user_set_features(struct vhost_user_frontend *fe, uint64_t features, bool log,
			    struct error *err);

/** SET_MEM_TABLE, or what has changed since the last time by ADD_MEM_REG and REM_MEM_REG. */
int vhost_user_set_memory(struct vhost_user_frontend *fe, const struct mem_table *table,
			  struct error *err);

/** SET_LOG_BASE with the table's dirty log (a memfd); -ENOTSUP without LOG_SHMFD. */
int vhost_user_set_log(struct vhost_user_frontend *fe, const struct mem_table *table,
		       struct error *err);

/** NUM, BASE, ADDR, ERR, CALL, KICK of a ring. It runs once it is enabled. */
int vhost_user_set_ring(struct vhost_user_frontend *fe, const struct vhost_user_ring *ring,
			const struct mem_table *table, struct error *err);

/** Only the addresses again: with or without logging of the used ring. */
int vhost_user_set_ring_addr(struct vhost_user_frontend *fe, const struct vhost_user_ring *ring,
			     const struct mem_table *table, struct error *err);

int vhost_user_enable_ring(struct vhost_user_frontend *fe, unsigned index, bool on,
			   struct error *err);

/** GET_VRING_BASE: stops the ring. *state is set also on failure, from the ring itself. */
int vhost_user_stop_ring(struct vhost_user_frontend *fe, const struct vhost_user_ring *ring,
			 const struct mem_table *table, struct vring_state *state,
			 struct error *err);

/** Returns when the back-end has carried out all that was sent before. */
int vhost_user_barrier(struct vhost_user_frontend *fe, struct error *err);

/**
 * Gives the back-end its inflight region back or, if there is none yet, asks for one of that size.
 * Without INFLIGHT_SHMFD: nothing.
 */
int vhost_user_set_inflight(struct vhost_user_frontend *fe,
			    struct vhost_user_inflight_region *region, unsigned queues,
			    unsigned queue_size, struct error *err);
void vhost_user_inflight_free(struct vhost_user_inflight_region *region);

/** SET_STATUS (virtio 1.2, 2.1); RESET_DEVICE for 0 where only that is known. Else nothing. */
int vhost_user_set_status(struct vhost_user_frontend *fe, uint8_t status, struct error *err);

/** NET_SET_MTU; nothing without the feature. -EIO: the back-end does not take it. */
int vhost_user_set_mtu(struct vhost_user_frontend *fe, unsigned mtu, struct error *err);

/** SEND_RARP, or -ENOTSUP. */
int vhost_user_send_rarp(struct vhost_user_frontend *fe, const uint8_t mac[6], struct error *err);

/** GET_CONFIG; -ENOTSUP without the feature, -EIO when the back-end has no such bytes. */
int vhost_user_get_config(struct vhost_user_frontend *fe, unsigned offset, void *to, unsigned len,
			  struct error *err);

/**
 * Handles one message of the back-end's channel if a whole one is there (never waits for it).
 * Returns the request that was answered, 0 when there is none, or a negative errno when the channel
 * is of no use any more; it stays open until vhost_user_hang_up(), for whoever watches it. Whoever waits for an answer of the back-end's does this
 * meanwhile: a back-end may not answer before it has been answered.
 */
int vhost_user_backend_request(struct vhost_user_frontend *fe, struct error *err);

#endif
