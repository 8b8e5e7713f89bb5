/* SPDX-License-Identifier: Apache-2.0 */
#ifndef VHOST_BACK_POSTCOPY_H
#define VHOST_BACK_POSTCOPY_H

#include "mem/guest_mem.h"
#include "vhost/user_msg.h"
#include "vring/vring.h"

/* Memory that is still on its way: private to src/vhost/. See back_postcopy.c. */
struct vhost_backend;
struct back_queue;
struct back_region;
struct back_postcopy;

/** What a region has besides while post-copy lasts. */
struct back_late {
	void *map; /* once more, registered with the userfaultfd; only threads that may wait touch it */
	uint64_t len;
	uint8_t *at; /* the region's first byte, in map */
	uint64_t size;
	uint64_t *arrived; /* mem_region's */
};

/** Whether pages are asked for by touching them: between LISTEN and END. */
bool back_postcopy_on(const struct vhost_backend *be);
/** Whether anything of it has begun, so that this process alone can go on with it. */
bool back_postcopy_begun(const struct vhost_backend *be);
/** Whether userfaultfd can be used here; otherwise the log has said why not. */
bool back_postcopy_possible(void);

/** For a region that has just been mapped: maps it once more, and registers that. */
int back_postcopy_add(struct vhost_backend *be, struct back_region *region, struct error *err);
/** For one that no ring uses any more; nothing happens if it has nothing. */
void back_postcopy_remove(struct vhost_backend *be, struct back_region *region);
/** The table that rings are run on, of the memory that there is now; no ring runs. */
int back_postcopy_renew(struct vhost_backend *be, struct error *err);
struct mem_table *back_postcopy_table(const struct vhost_backend *be);

/** Makes a SET_MEM_TABLE or ADD_MEM_REG the reply to itself: where the regions are registered. */
void back_postcopy_answer(struct vhost_backend *be, struct vhost_user_msg *msg);
/** Whether the message is the front-end's word that it has registered them too; if so, takes it. */
bool back_postcopy_registered(struct vhost_backend *be, const struct vhost_user_msg *msg);

/** Whether rings may be started at all. */
bool back_postcopy_may_run(const struct vhost_backend *be);
/** Whether the ring itself has arrived; what has not is asked for, and the ring is to wait. */
bool back_postcopy_has_ring(struct vhost_backend *be, struct back_queue *q,
			    const struct vring_config *cfg);
/** Asks for all that the chains that are available lack. The ring's vq is stopped then. */
void back_postcopy_look_ahead(struct vhost_backend *be, struct back_queue *q,
			      const struct vring_state *state);
/** The ring is to wait for a page. */
void back_postcopy_wait(struct vhost_backend *be, struct back_queue *q, uint64_t gpa);
/** Pages have come: rings that waited for them go on. */
int back_postcopy_arrived(struct vhost_backend *be, struct error *err);

/** All regions are gone; the front-end is too. */
void back_postcopy_drop(struct vhost_backend *be);

#endif
