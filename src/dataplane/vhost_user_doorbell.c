/* SPDX-License-Identifier: Apache-2.0 */
#include "dataplane/vhost_user.h"

#include "base/log.h"
#include "vhost/file_check.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/*
 * Pages for doorbells (VHOST_USER_PROTOCOL_F_HOST_NOTIFIER).
 *
 * Theory of operation. A back-end can give a page for a ring: a device's register, or memory that it
 * polls. It is mapped here and put into the guest where the queue's doorbell is, and from then on
 * the guest's kicks go there without anybody here seeing them. When the ring is stopped, or the
 * connection ends, the page is taken out first; a kick that is still in it by then is made up for by
 * the one that every ring gets when it is given to somebody again.
 *
 * While the ring is a relay's, the guest's kicks are not for it, and it is kicked by its eventfd alone.
 *
 * The message can come at any time after the introduction, also while we wait for an answer, and so
 * in the helper: there the page is only mapped, and vu_doorbell_put() follows when the ring is the
 * back-end's (page_new).
 *
 * Nothing here ever touches the page, but the guest does, and must never be held up by it. A
 * device's page that is gone makes KVM_RUN fail, and is taken back from the guest then (bus/host.h,
 * lend_memory). For a page of memory that is gone KVM's asynchronous page faults would have the guest
 * try for ever; so memory has to be sealed against being cut short. And a file whose faults
 * somebody else serves, as FUSE, is not memory at all.
 */
#define PAGE 4096 /* the host's, and the guest's doorbell */

static int check_area(const struct vhost_user_area *area, int fd, struct error *err)
{
	struct stat st;
	uint64_t grain;
	int rc, seals;

	if (area->size != PAGE || area->offset % PAGE)
		return error_set(err, -EINVAL, "%llu bytes at %#llx are not one page of %d",
				 (unsigned long long)area->size, (unsigned long long)area->offset,
				 PAGE);
	if (fstat(fd, &st) < 0)
		return error_set(err, -errno, "its descriptor: %s", error_name(errno));
	if (!S_ISREG(st.st_mode))
		return 0; /* a device's, or VFIO's, which is of no type: mmap() knows */
	rc = memory_file_check(fd, area->offset, area->size, &grain, err);
	if (rc)
		return rc;
	seals = fcntl(fd, F_GET_SEALS);
	if (seals < 0 || !(seals & F_SEAL_SHRINK))
		return error_set(err, -EINVAL,
				 "its memory can be taken away: seal it with F_SEAL_SHRINK");
	return 0;
}

static void forget_new(struct vu_ring *r)
{
	if (r->page_new)
		munmap(r->page_new, PAGE);
	r->page_new = NULL;
}

void vu_doorbell_drop(struct vu_ring *r)
{
	const struct plane_events *events = r->p->events;
	int rc;

	forget_new(r);
	if (!r->page)
		return;
	rc = events->doorbell(events->opaque, r->index, NULL);
	if (rc) /* while the guest has it, nothing else may come to be at this address */
		log_warn("%s: queue %u: the doorbell stays mapped: %s", r->p->id, r->index,
			 error_name(rc));
	else
		munmap(r->page, PAGE);
	r->page = NULL;
}

int vu_doorbell_put(struct vu_ring *r)
{
	const struct plane_events *events = r->p->events;
	void *page = r->page_new;
	int rc;

	if (!r->set || !page || r->p->relayed)
		return 0;
	r->page_new = NULL;
	vu_doorbell_drop(r);
	rc = events->doorbell(events->opaque, r->index, page);
	if (rc) {
		munmap(page, PAGE);
		log_warn_limited("%s: queue %u: the back-end's doorbell is not used: %s", r->p->id,
				 r->index,
				 rc == -ENOTSUP ? "this NIC's are not pages: give doorbell-pages=on"
						: error_name(rc));
		return rc;
	}
	r->page = page;
	log_info("%s: queue %u: its doorbell is a page of the back-end's", r->p->id, r->index);
	return 0;
}

int vu_notifier(void *opaque, unsigned queue, int fd, const struct vhost_user_area *area,
		struct error *err)
{
	struct vu_plane *p = opaque;
	struct vu_ring *r;
	void *page;
	int rc;

	if (queue >= 2 * p->npairs)
		return error_set(err, -EINVAL, "queue %u: there are %u", queue, 2 * p->npairs);
	if (!p->events || !p->events->doorbell)
		return error_set(err, -ENOTSUP, "queue %u: there is no guest", queue);
	r = &p->rings[queue];
	if (fd < 0) {
		forget_new(r);
		if (p->state == VU_MEETING)
			return 0; /* none is in the guest yet */
		vu_doorbell_drop(r);
		if (r->set)
			eventfd_write(r->q.kick_fd, 1);
		return 0;
	}
	rc = check_area(area, fd, err);
	if (rc)
		return error_prefix(err, rc, "queue %u", queue);
	page = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, (off_t)area->offset);
	if (page == MAP_FAILED)
		return error_set(err, -errno, "queue %u: its page cannot be mapped: %s", queue,
				 error_name(errno));
	madvise(page, PAGE, MADV_DONTDUMP);
	forget_new(r);
	r->page_new = page;
	rc = p->state == VU_MEETING ? 0 : vu_doorbell_put(r);
	return rc ? error_set(err, rc, "queue %u: %s", queue, error_name(rc)) : 0;
}
