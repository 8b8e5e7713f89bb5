/* SPDX-License-Identifier: Apache-2.0 */
#include "vhost/back_internal.h"

#include "base/log.h"
#include "vring/features.h"

#include <errno.h>
#include <stdlib.h>

/*
 * Translations, where the device is behind an IOMMU of the guest's (VIRTIO_F_ACCESS_PLATFORM): the
 * addresses in rings and descriptors are I/O virtual ones, and mean what the front-end says they do.
 *
 * The cache is a sorted list of what it has said. A mem_table is made of it whose regions are those
 * translations, adjacent ones that lie adjacent in the same memory joined; the rings are run on that
 * table, so the hot path is the same with an IOMMU as without. A worker that lacks a translation
 * leaves the chain where it is and says so; the front-end is asked for it, once, and its answer is a
 * new table. What it takes back is gone from the rings before it is told that it is.
 *
 * Whenever a ring starts the chains that are available are looked at, and the first translation that
 * one lacks is asked for while those before it are served: so the answers run ahead of the frames.
 *
 * The list is bounded: a guest that maps and unmaps without end makes it start over.
 */
#define ENTRIES_MAX  2048
#define ASK_AGAIN_MS 100
#define PERM_WRITE   2U
#define AHEAD	     256 /* chains that are looked at when a ring starts */

struct back_iotlb_entry {
	uint64_t iova, size, user;
	bool write;
};

bool back_iotlb_on(const struct vhost_backend *be)
{
	return back_feature(be, VIRTIO_F_ACCESS_PLATFORM);
}

void back_iotlb_drop(struct vhost_backend *be)
{
	loop_timer_cancel(be->loop, &be->iotlb_timer);
	free(be->iotlb);
	be->iotlb = NULL;
	be->niotlb = 0;
	mem_table_free(be->iotlb_table);
	be->iotlb_table = NULL;
}

static bool overlap(const struct back_iotlb_entry *e, uint64_t iova, uint64_t size)
{
	return size == 0 || (e->iova <= iova + (size - 1) && iova <= e->iova + (e->size - 1));
}

/* Forgets what overlaps; a size of 0 is all of the address space. */
static unsigned forget(struct vhost_backend *be, uint64_t iova, uint64_t size)
{
	unsigned kept = 0, before = be->niotlb;

	for (unsigned i = 0; i < before; i++)
		if (!overlap(&be->iotlb[i], iova, size))
			be->iotlb[kept++] = be->iotlb[i];
	be->niotlb = kept;
	return before - kept;
}

static int by_iova(const void *a, const void *b)
{
	const struct back_iotlb_entry *x = a, *y = b;

	return x->iova < y->iova ? -1 : x->iova > y->iova;
}

static int remember(struct vhost_backend *be, const struct vhost_user_iotlb *io, struct error *err)
{
	if (!be->iotlb)
		be->iotlb = calloc(ENTRIES_MAX, sizeof(*be->iotlb));
	if (!be->iotlb)
		return error_set(err, -ENOMEM, "out of memory");
	forget(be, io->iova, io->size);
	if (be->niotlb == ENTRIES_MAX)
		be->niotlb = 0;
	be->iotlb[be->niotlb++] = (struct back_iotlb_entry){
		.iova = io->iova,
		.size = io->size,
		.user = io->user_addr,
		.write = io->perm & PERM_WRITE,
	};
	qsort(be->iotlb, be->niotlb, sizeof(*be->iotlb), by_iova);
	return 0;
}

void back_iotlb_each(const struct vhost_backend *be,
		     void (*fn)(const struct vhost_user_iotlb *io, void *arg), void *arg)
{
	for (unsigned i = 0; i < be->niotlb; i++) {
		const struct back_iotlb_entry *e = &be->iotlb[i];
		const struct vhost_user_iotlb io = {
			.iova = e->iova,
			.size = e->size,
			.user_addr = e->user,
			.perm = e->write ? VHOST_USER_IOTLB_RW : VHOST_USER_IOTLB_RO,
			.type = VHOST_USER_IOTLB_UPDATE,
		};

		if (be->table && mem_find_user(be->table, e->user, e->size))
			fn(&io, arg);
	}
}

/* Whether next can be joined to last: the same memory goes on, with the same permission. */
static bool joins(const struct mem_region *last, const struct mem_region *next)
{
	return last->gpa + last->size == next->gpa && last->hva + last->size == next->hva &&
	       last->readonly == next->readonly && last->user_addr == next->user_addr;
}

static unsigned make_regions(const struct vhost_backend *be, struct mem_region *list)
{
	unsigned n = 0;

	for (unsigned i = 0; i < be->niotlb; i++) {
		const struct back_iotlb_entry *e = &be->iotlb[i];
		const struct mem_region *r = mem_find_user(be->table, e->user, e->size);

		if (!r)
			continue; /* of memory that has been taken away since */
		list[n] = (struct mem_region){
			.gpa = e->iova,
			.size = e->size,
			.hva = r->hva + (e->user - r->user_addr),
			.fd = -1,
			.user_addr = r->user_addr, /* only to tell the regions apart */
			.readonly = !e->write,
		};
		if (n && joins(&list[n - 1], &list[n]))
			list[n - 1].size += list[n].size;
		else
			n++;
	}
	return n;
}

int back_iotlb_renew(struct vhost_backend *be, struct error *err)
{
	struct mem_region *list;
	struct mem_table *table;
	int rc;

	if (!back_iotlb_on(be) || !be->table)
		return 0;
	list = calloc(be->niotlb + 1, sizeof(*list));
	if (!list)
		return error_set(err, -ENOMEM, "out of memory");
	rc = mem_table_new(list, make_regions(be, list), &table, err);
	free(list);
	if (rc)
		return rc;
	table->physical = be->table;
	table->dirty = be->table->dirty;
	mem_table_free(be->iotlb_table);
	be->iotlb_table = table;
	return 0;
}

/* All rings that wait for something look whether it is there. */
static int try_again(struct vhost_backend *be, struct error *err)
{
	for (unsigned i = 0; i < be->nqueues; i++)
		be->queues[i].waiting = false;
	return back_rings_resume(be, err);
}

/* A front-end that has no translation does not answer; there may be one later. */
static void on_timer(struct loop_timer *timer)
{
	struct vhost_backend *be = timer->opaque;
	struct error err;

	if (try_again(be, &err))
		vhost_backend_hang_up(be, err.text);
}

void back_iotlb_retry(struct vhost_backend *be)
{
	be->iotlb_timer.fn = on_timer;
	be->iotlb_timer.opaque = be;
	loop_timer_set(be->loop, &be->iotlb_timer, clock_ns() + ASK_AGAIN_MS * NSEC_PER_MSEC);
}

int back_iotlb_msg(struct vhost_backend *be, struct vhost_user_msg *msg, struct error *err)
{
	const struct vhost_user_iotlb *io = &msg->payload.iotlb;
	int rc = 0;

	if (!back_iotlb_on(be))
		return error_set(err, -EPROTO, "ACCESS_PLATFORM was not agreed on");
	if (io->type == VHOST_USER_IOTLB_UPDATE) {
		if (!io->size || !io->perm)
			return error_set(err, -EINVAL, "an update of nothing");
		if (!be->table || !mem_find_user(be->table, io->user_addr, io->size))
			return error_set(err, -EINVAL, "%#llx is not in the memory given",
					 (unsigned long long)io->user_addr);
		back_rings_stop(be);
		rc = remember(be, io, err);
	} else if (io->type == VHOST_USER_IOTLB_INVALIDATE) {
		back_rings_stop(be);
		forget(be, io->iova, io->size);
	} else {
		return error_set(err, -EPROTO, "neither an update nor an invalidation");
	}
	if (rc == 0)
		rc = back_iotlb_renew(be, err);
	return rc ? rc : try_again(be, err);
}

void back_iotlb_ask(struct vhost_backend *be, struct back_queue *q, uint64_t iova, bool write)
{
	struct vhost_user_msg msg = {
		.hdr = {VHOST_USER_BACKEND_IOTLB_MSG, VHOST_USER_VERSION,
			sizeof(struct vhost_user_iotlb)},
		.payload.iotlb = {.iova = iova,
				  .perm = write ? VHOST_USER_IOTLB_RW : VHOST_USER_IOTLB_RO,
				  .type = VHOST_USER_IOTLB_MISS},
	};
	uint64_t now = clock_ns();

	/* Once is enough, unless the answer has been taken back since; or it is lost. */
	if (q->asked_at && q->asked_iova == iova && q->asked_write == write &&
	    now - q->asked_at < ASK_AGAIN_MS * NSEC_PER_MSEC)
		return;
	q->asked_iova = iova;
	q->asked_write = write;
	q->asked_at = now;
	back_request(be, &msg);
	back_iotlb_retry(be);
}

/* The first byte of [iova, iova + len) that has no such translation. False: all have. */
static bool find_missing(const struct mem_table *table, uint64_t *iova, uint64_t len, bool write)
{
	while (len) {
		const struct mem_region *r = mem_find(table, *iova, 1);
		uint64_t here;

		if (!r || (write && r->readonly))
			return true;
		here = MIN(len, r->size - (*iova - r->gpa));
		*iova += here;
		len -= here;
	}
	return false;
}

int back_iotlb_locate(struct vhost_backend *be, struct back_queue *q, uint64_t iova, uint64_t len,
		      bool write, struct error *err)
{
	uint64_t at = iova;

	if (!be->iotlb_table || find_missing(be->iotlb_table, &at, len, write)) {
		back_iotlb_ask(be, q, at, write);
		return error_set(err, -EFAULT, "queue %u: no translation of %#llx yet",
				 q->pub.index, (unsigned long long)at);
	}
	if (!mem_find(be->iotlb_table, iova, len))
		return error_set(err, -EINVAL, "queue %u: the ring at %#llx is in several pieces",
				 q->pub.index, (unsigned long long)iova);
	return 0;
}

bool back_iotlb_look_ahead(struct vhost_backend *be, struct back_queue *q)
{
	struct vq_buf bufs[AHEAD];
	struct iovec iov[4 * AHEAD];
	int n = vq_pop(q->pub.vq, bufs, AHEAD, iov, ARRAY_SIZE(iov));
	struct vq_miss miss = vq_miss(q->pub.vq);

	if (n > 0)
		vq_unpop(q->pub.vq, bufs, (unsigned)n);
	if (n == -EAGAIN || (n > 0 && miss.addr))
		back_iotlb_ask(be, q, miss.addr, miss.write);
	q->waiting = n == -EAGAIN;
	return !q->waiting;
}
