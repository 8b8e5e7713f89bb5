/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DATAPLANE_VHOST_USER_H
#define DATAPLANE_VHOST_USER_H

#include "base/path_watch.h"
#include "dataplane/vhost_planes.h"
#include "vhost/user_frontend.h"

#include <pthread.h>
#include <sys/un.h>

/* The vhost-user plane's own structures; private to src/dataplane/vhost_user*.c. */

struct vu_plane;

struct vu_ring {
	struct vu_plane *p;
	unsigned index;
	struct plane_queue q;
	bool given;   /* the NIC wants it run */
	bool set;     /* the back-end has it */
	bool enabled; /* … and was told to run it */
	bool broken;
	struct loop_fd err;
	void *page;	/* the back-end's, for the doorbell; NULL: none */
	void *page_new; /* that is to be in its place; not in the guest yet */
};

enum vu_state {
	VU_DOWN,    /* no back-end; we try or wait for one */
	VU_MEETING, /* a helper thread has the connection and introduces us */
	VU_UP,
};

struct vu_plane {
	struct plane plane;
	char id[32];
	char path[sizeof(((struct sockaddr_un *)0)->sun_path)];
	unsigned mtu;
	unsigned npairs;
	struct loop *loop;
	const struct plane_events *events;
	struct guest_mem *mem;
	struct mem_listener listener;

	/* What the NIC asked for. */
	struct virtio_features offered; /* as on the first connection: constant */
	uint64_t acked;
	uint32_t guest_offloads; /* of them, what the driver takes at the moment */
	struct vu_ring *rings;	 /* two a pair */
	unsigned active_pairs;
	bool nic_link_up;
	bool started;
	bool relayed; /* the rings are not the guest's */
	bool server;
	uint8_t mac[6];
	struct vhost_user_inflight_region inflight;

	/* The connection. */
	enum vu_state state;
	struct vhost_user_frontend fe;
	struct loop_fd conn, requests; /* watched while VU_UP */
	struct loop_fd listener_fd;    /* server: watched while VU_DOWN */
	struct loop_timer retry;
	struct path_watch socket_watch; /* client: of p->path, while VU_DOWN */
	uint64_t lost_at, met_at; /* clock_ns() of the connection's end, and of the next one */
	bool hung_up;		  /* by us, lately: that back-end may have gone on for a while */
	unsigned retry_ms;
	bool reported;			/* its absence has been logged */
	bool config_changed;		/* the back-end says so */
	struct loop_timer config_timer; /* to look, when nothing else is under way */

	/* The helper; everything above is its own while VU_MEETING. */
	pthread_t helper;
	int meeting_fd;
	struct loop_fd helper_done;
	int helper_rc;
	struct error helper_err;

	/* The guest's link. */
	struct loop_timer link_timer;
	uint64_t reconnects;
	unsigned link_down_after; /* ms */
	bool link_told_down;
};

#define OP_MS 1000 /* for all requests of one operation in the control thread */

/* Bits that concern the back-end, and those of them that it must have if the guest uses them. */
#define VU_BACKEND_BITS (VHOST_RING_FEATURES | VHOST_FRAME_FEATURES)
#define VU_MUST_BITS	(VU_BACKEND_BITS & ~PLANE_OPTIONAL_FEATURES & ~(1ULL << VIRTIO_F_RING_RESET))

/* vhost_user_rings.c: each request may fail with the connection broken, see vu_op_failed(). */

/** Introduces us on the connected socket fd and has the back-end take what the NIC wants run. */
int vu_meet(struct vu_plane *p, int fd, struct error *err);

/** After vu_meet(): kicks and calls each ring that runs, in case somebody waits. */
void vu_nudge(struct vu_plane *p);

/** The rings have no owner any more: finds where they stand. */
void vu_rings_lost(struct vu_plane *p);

struct vhost_user_ring vu_ring_args(const struct vu_ring *r);

/** plane_ops.use_memory. */
int vu_use_memory(struct plane *plane, struct guest_mem *mem, struct error *err);

/** Memory table and dirty log. */
int vu_give_memory(struct vu_plane *p, const struct mem_table *table, struct error *err);

/** Gives the back-end a ring; it runs, or not, by vu_enable_rings(). */
int vu_give_ring(struct vu_ring *r, const struct mem_table *table, struct error *err);

/** Enables the rings that should run and disables those that should not. */
int vu_enable_rings(struct vu_plane *p, struct error *err);

/** Everything from features to running rings. */
int vu_give_rings(struct vu_plane *p, struct error *err);

/** Has the back-end stop a ring, if it has it; r->q.state says where, whatever happens. */
void vu_stop_ring(struct vu_ring *r);

/* vhost_user.c */

/** An operation in the control thread failed: with -EIO the back-end said no, and is there. */
void vu_op_failed(struct vu_plane *p, const struct error *err);

/** Has the rings that run be those that should, now. */
void vu_sync_rings(struct vu_plane *p);

/** Answers the back-end's requests. */
void vu_requests(struct loop_fd *watch, uint32_t events);

/** The back-end says that its config space has changed: looks, soon. */
void vu_config_change(void *opaque);
void vu_config_look(struct loop_timer *timer);

/* vhost_user_doorbell.c */

/** vhost_user_frontend.notifier */
int vu_notifier(void *opaque, unsigned queue, int fd, const struct vhost_user_area *area,
		struct error *err);

/** Puts a page that came for a ring into the guest, once the back-end has the ring. */
int vu_doorbell_put(struct vu_ring *r);

/** Takes the ring's doorbell back from the back-end. */
void vu_doorbell_drop(struct vu_ring *r);

/* vhost_user_link.c */

/** Makes watches and timers; 0 or negative errno with err set. */
int vu_link_init(struct vu_plane *p, struct error *err);

/** The first connection: waits up to wait_ms for the back-end. */
int vu_link_open(struct vu_plane *p, unsigned wait_ms, struct error *err);

/** Takes the connection back from the helper, if it has it: nothing of ours runs elsewhere then. */
void vu_link_settle(struct vu_plane *p);

/** The connection is no good (why): gives it up and looks for the next. */
void vu_link_lost(struct vu_plane *p, const char *why);

void vu_link_close(struct vu_plane *p);

#endif
