/* SPDX-License-Identifier: Apache-2.0 */
#include "vhost/back_postcopy.h"

#include "base/log.h"
#include "base/thread.h"
#include "vhost/back_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

/*
 * Post-copy: the guest runs here already while some of its memory is still where it came from. Who
 * touches a page that has not come waits in a page fault until the front-end has fetched it; the
 * front-end learns of it from a userfaultfd that is made here and given to it
 * ("VHOST_USER_POSTCOPY_ADVISE").
 *
 * A worker must not wait, since it serves other ports too, and since a front-end could let it wait for
 * ever. So each region is mapped twice. The mapping that workers use is not registered with the
 * userfaultfd: nothing can hold them up there. But a page that was missing would be made there, empty,
 * and what comes later would not be put in its place. So workers look first: a bit for each page says
 * whether it has come (mem_region.arrived), and a chain with a page that has not is left in its ring,
 * as one whose translation an IOMMU lacks. The other mapping is registered, and threads of the
 * connection's own touch in it what is missing: they wait. When such a thread has read a page it is
 * there for good; its bit is set, those of its neighbours that have come too are, and the ring goes on.
 * Whatever a front-end does with pages after that (punching holes, for one), no worker waits.
 *
 * For the threads to end, the second mapping is replaced by empty memory and those who wait there are
 * woken: they read a zero, and no page is made in the front-end's file.
 */
#define THREADS 4
#define WANTS	1024
#define AROUND	512 /* pages looked at when one has come */
#define AHEAD	256 /* chains that are looked at when a ring starts */
#define WORD	64

struct want {
	struct back_late *late;
	uint64_t page;
};

struct toucher {
	struct back_postcopy *post;
	pthread_t thread;
	struct back_late *at; /* whose page it is waiting for; NULL: none */
};

struct back_postcopy {
	struct vhost_backend *be;
	int uffd;
	bool listening;
	bool answered; /* where the regions are; the front-end has yet to say that it has registered that */
	uint64_t asked;

	/* What rings are run on, and what is used to find out what they lack. */
	struct mem_late runs, looks;
	struct mem_table *run_table, *look_table;

	pthread_mutex_t lock;
	pthread_cond_t changed;
	struct want wants[WANTS];
	unsigned first, n;
	bool ending;
	struct toucher touchers[THREADS];
	unsigned nthreads;
	_Atomic bool arrived;
};

static int open_uffd(struct uffdio_api *api)
{
	/* Only programs' own accesses are to be told of, which needs no privilege. */
	int fd = (int)syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK | UFFD_USER_MODE_ONLY);
	int rc;

	if (fd < 0 && errno == EINVAL) /* Linux before 5.11 */
		fd = (int)syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK);
	if (fd < 0)
		return -errno;
	*api = (struct uffdio_api){.api = UFFD_API};
	if (ioctl(fd, UFFDIO_API, api) == 0)
		return fd;
	rc = -errno;
	close(fd);
	return rc;
}

bool back_postcopy_possible(void)
{
	static _Atomic int known; /* 1: yes, -1: no */
	struct uffdio_api api = {0};
	int fd;

	if (atomic_load(&known))
		return atomic_load(&known) > 0;
	fd = open_uffd(&api);
	if (fd >= 0)
		close(fd);
	if (fd >= 0 && (api.features & UFFD_FEATURE_MISSING_SHMEM)) {
		atomic_store(&known, 1);
		return true;
	}
	if (atomic_exchange(&known, -1) == 0)
		log_info("post-copy is not offered: userfaultfd: %s",
			 fd < 0 ? error_name(fd) : "the kernel has it not for shared memory");
	return false;
}

bool back_postcopy_begun(const struct vhost_backend *be)
{
	return be->post;
}

bool back_postcopy_on(const struct vhost_backend *be)
{
	return be->post && be->post->listening;
}

bool back_postcopy_may_run(const struct vhost_backend *be)
{
	/* An IOMMU's translations would be a second table over the first: they wait for the end. */
	return !back_postcopy_on(be) ||
	       (be->post->run_table && !be->post->answered && !back_iotlb_on(be));
}

struct mem_table *back_postcopy_table(const struct vhost_backend *be)
{
	return be->post->run_table;
}

/* Those of the neighbourhood that are there get their bits; the page itself is. */
static void note(struct back_late *late, uint64_t page)
{
	unsigned char in[AROUND] = {0};
	uint64_t first = ALIGN_DOWN(page, AROUND), pages = late->len / MEM_PAGE_SIZE;
	uint64_t base =
		(uint64_t)(ALIGN_DOWN((uintptr_t)late->at, MEM_PAGE_SIZE) - (uintptr_t)late->map) /
		MEM_PAGE_SIZE;
	uint64_t here = MIN(AROUND, pages - base - first);

	if (mincore((uint8_t *)late->map + (base + first) * MEM_PAGE_SIZE, here * MEM_PAGE_SIZE,
		    in) < 0)
		memset(in, 0, sizeof(in));
	in[page - first] = 1;
	for (uint64_t w = 0; w < AROUND / WORD; w++) {
		uint64_t bits = 0;

		for (unsigned b = 0; b < WORD; b++)
			bits |= (uint64_t)(in[w * WORD + b] & 1) << b;
		if (bits)
			__atomic_fetch_or(&late->arrived[first / WORD + w], bits, __ATOMIC_RELEASE);
	}
}

static void *touch(void *arg)
{
	struct toucher *t = arg;
	struct back_postcopy *post = t->post;

	pthread_mutex_lock(&post->lock);
	while (!post->ending) {
		struct want w;
		const volatile uint8_t *byte;

		if (!post->n) {
			pthread_cond_wait(&post->changed, &post->lock);
			continue;
		}
		w = post->wants[post->first];
		post->first = (post->first + 1) % WANTS;
		post->n--;
		t->at = w.late;
		pthread_mutex_unlock(&post->lock);
		byte = (const uint8_t *)ALIGN_DOWN((uintptr_t)w.late->at, MEM_PAGE_SIZE) +
		       w.page * MEM_PAGE_SIZE;
		(void)*byte; /* waits, if it is missing */
		note(w.late, w.page);
		if (!atomic_exchange(&post->arrived, true))
			eventfd_write(post->be->attention.fd, 1);
		pthread_mutex_lock(&post->lock);
		t->at = NULL;
		pthread_cond_broadcast(&post->changed);
	}
	pthread_mutex_unlock(&post->lock);
	return NULL;
}

/* Asks for a page, unless so much is asked for that it will be asked for again. */
static void want(struct back_postcopy *post, struct back_late *late, uint64_t page)
{
	pthread_mutex_lock(&post->lock);
	if (post->n < WANTS) {
		post->wants[(post->first + post->n++) % WANTS] = (struct want){late, page};
		post->asked++;
		pthread_cond_broadcast(&post->changed);
	}
	pthread_mutex_unlock(&post->lock);
}

static void want_address(struct vhost_backend *be, const struct mem_region *r, uint64_t gpa)
{
	uint64_t page = ((uintptr_t)r->hva % MEM_PAGE_SIZE + (gpa - r->gpa)) / MEM_PAGE_SIZE;

	for (unsigned i = 0; i < be->nregions; i++)
		if (be->regions[i].late && be->regions[i].late->arrived == r->arrived)
			want(be->post, be->regions[i].late, page);
}

static void missing(const struct mem_late *late, const struct mem_region *r, uint64_t gpa)
{
	want_address(late->opaque, r, gpa);
}

int back_postcopy_add(struct vhost_backend *be, struct back_region *region, struct error *err)
{
	struct uffdio_register reg = {.mode = UFFDIO_REGISTER_MODE_MISSING};
	const struct back_map *map = &region->map;
	struct back_late *late;
	uint64_t skip = (uint64_t)((uint8_t *)region->at - (uint8_t *)map->at);

	if (!back_postcopy_on(be))
		return 0;
	late = calloc(1, sizeof(*late));
	if (!late)
		return error_set(err, -ENOMEM, "out of memory");
	/* Whole words, and whole neighbourhoods, for note(). */
	late->arrived = calloc(map->len / MEM_PAGE_SIZE / AROUND + 1, AROUND / 8);
	late->map = mmap(NULL, map->len, PROT_READ, MAP_SHARED | MAP_NORESERVE, map->fd,
			 (off_t)(map->offset - skip));
	if (!late->arrived || late->map == MAP_FAILED) {
		error_set(err, -ENOMEM, "cannot map %llu bytes once more",
			  (unsigned long long)map->len);
		goto fail;
	}
	late->len = map->len;
	late->at = (uint8_t *)late->map + skip;
	late->size = map->size;
	madvise(late->map, late->len, MADV_NOHUGEPAGE); /* pages come one by one */
	reg.range = (struct uffdio_range){(uintptr_t)late->map, late->len};
	if (ioctl(be->post->uffd, UFFDIO_REGISTER, &reg) < 0) {
		error_set(err, -errno, "userfaultfd: cannot register %llu bytes: %s",
			  (unsigned long long)late->len, error_name(errno));
		munmap(late->map, late->len);
		goto fail;
	}
	region->late = late;
	return 0;
fail:
	free(late->arrived);
	free(late);
	return err->code;
}

static bool is_touched(const struct back_postcopy *post, const struct back_late *late)
{
	for (unsigned i = 0; i < post->nthreads; i++)
		if (post->touchers[i].at == late)
			return true;
	return false;
}

void back_postcopy_remove(struct vhost_backend *be, struct back_region *region)
{
	struct back_postcopy *post = be->post;
	struct back_late *late = region->late;
	struct uffdio_range range;
	unsigned n;

	if (!late)
		return;
	pthread_mutex_lock(&post->lock);
	n = post->n;
	post->n = 0;
	for (unsigned i = 0; i < n; i++) {
		struct want w = post->wants[(post->first + i) % WANTS];

		if (w.late != late)
			post->wants[(post->first + post->n++) % WANTS] = w;
	}
	range = (struct uffdio_range){(uintptr_t)late->map, late->len};
	if (mmap(late->map, late->len, PROT_READ,
		 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0) == MAP_FAILED)
		ioctl(post->uffd, UFFDIO_UNREGISTER, &range); /* which wakes, and may make a page */
	ioctl(post->uffd, UFFDIO_WAKE, &range);
	while (is_touched(post, late))
		pthread_cond_wait(&post->changed, &post->lock);
	pthread_mutex_unlock(&post->lock);
	munmap(late->map, late->len);
	free(late->arrived);
	free(late);
	region->late = NULL;
}

static void drop_tables(struct back_postcopy *post)
{
	mem_table_free(post->run_table);
	mem_table_free(post->look_table);
	post->run_table = post->look_table = NULL;
}

int back_postcopy_renew(struct vhost_backend *be, struct error *err)
{
	struct back_postcopy *post = be->post;
	int rc;

	if (!back_postcopy_on(be))
		return 0;
	drop_tables(post);
	rc = mem_table_new(NULL, 0, &post->run_table, err);
	if (rc == 0)
		rc = mem_table_new(NULL, 0, &post->look_table, err);
	if (rc) {
		drop_tables(post);
		return rc;
	}
	post->looks = (struct mem_late){.missing = missing, .opaque = be};
	post->run_table->late = &post->runs;
	post->look_table->late = &post->looks;
	post->run_table->physical = post->look_table->physical = be->table;
	post->run_table->dirty = be->table->dirty;
	return 0;
}

void back_postcopy_answer(struct vhost_backend *be, struct vhost_user_msg *msg)
{
	struct vhost_user_region *list = msg->payload.memory.regions;
	unsigned n = 1;

	if (msg->hdr.request == VHOST_USER_SET_MEM_TABLE)
		n = msg->payload.memory.count;
	else
		list = &msg->payload.single.region;
	/* What was told last is at the end. */
	for (unsigned i = 0; i < n; i++)
		list[i].user_addr = (uintptr_t)be->regions[be->nregions - n + i].late->at;
	vhost_user_close_fds(msg);
	be->post->answered = true;
}

bool back_postcopy_registered(struct vhost_backend *be, const struct vhost_user_msg *msg)
{
	if (!back_postcopy_on(be) || !be->post->answered || !vhost_user_is_registered(msg) ||
	    msg->payload.u64 != 0)
		return false;
	be->post->answered = false;
	return true;
}

void back_postcopy_wait(struct vhost_backend *be, struct back_queue *q, uint64_t gpa)
{
	const struct mem_region *r = mem_find(be->table, gpa, 1);

	q->waiting = true;
	q->lacks = gpa;
	if (r)
		want_address(be, r, gpa);
}

bool back_postcopy_has_ring(struct vhost_backend *be, struct back_queue *q,
			    const struct vring_config *cfg)
{
	const struct {
		uint64_t gpa, len;
	} parts[] = {
		{cfg->desc, vring_desc_bytes(cfg)},
		{cfg->driver, vring_driver_bytes(cfg)},
		{cfg->device, vring_device_bytes(cfg)},
	};
	bool all = true;

	for (unsigned i = 0; i < ARRAY_SIZE(parts); i++) {
		const struct mem_region *r = mem_find(be->table, parts[i].gpa, parts[i].len);
		uint64_t at = parts[i].gpa, end = at + parts[i].len;

		while (r && (at = mem_find_missing(r, at, end - at)) < end) {
			back_postcopy_wait(be, q, at);
			all = false;
			at = MIN(end, at + MEM_PAGE_SIZE);
		}
	}
	return all;
}

void back_postcopy_look_ahead(struct vhost_backend *be, struct back_queue *q,
			      const struct vring_state *state)
{
	struct vq_buf bufs[AHEAD];
	struct iovec iov[4 * AHEAD];
	struct error err;

	if (vq_start(q->pub.vq, &q->cfg, state, be->post->look_table, &err))
		return; /* whoever starts it to run it will hear of it */
	vq_pop(q->pub.vq, bufs, AHEAD, iov, ARRAY_SIZE(iov));
	vq_stop(q->pub.vq, NULL);
}

int back_postcopy_arrived(struct vhost_backend *be, struct error *err)
{
	if (!back_postcopy_on(be) || !atomic_exchange(&be->post->arrived, false))
		return 0;
	for (unsigned i = 0; i < be->nqueues; i++) {
		struct back_queue *q = &be->queues[i];
		const struct mem_region *r = be->table ? mem_find(be->table, q->lacks, 1) : NULL;

		if (!q->waiting || (r && mem_find_missing(r, q->lacks, 1) == q->lacks))
			continue;
		q->waiting = false;
	}
	return back_rings_resume(be, err);
}

/* The regions have none of it any more. */
static void end(struct back_postcopy *post)
{
	pthread_mutex_lock(&post->lock);
	post->ending = true;
	pthread_cond_broadcast(&post->changed);
	pthread_mutex_unlock(&post->lock);
	for (unsigned i = 0; i < post->nthreads; i++)
		pthread_join(post->touchers[i].thread, NULL);
	drop_tables(post);
	pthread_mutex_destroy(&post->lock);
	pthread_cond_destroy(&post->changed);
	close(post->uffd);
	free(post);
}

void back_postcopy_drop(struct vhost_backend *be)
{
	if (be->post)
		end(be->post);
	be->post = NULL;
}

int back_postcopy_advise(struct vhost_backend *be, struct vhost_user_msg *msg, struct error *err)
{
	struct back_postcopy *post;
	struct uffdio_api api;
	int fd, copy;

	if (be->post)
		return error_set(err, -EBUSY, "post-copy has begun already");
	fd = open_uffd(&api);
	if (fd < 0)
		return error_set(err, fd, "userfaultfd: %s", error_name(fd));
	copy = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	if (copy < 0) {
		close(fd);
		return error_set(err, -EMFILE, "userfaultfd: no descriptor is left");
	}
	post = calloc(1, sizeof(*post));
	if (!post) {
		close(fd);
		close(copy);
		return error_set(err, -ENOMEM, "out of memory");
	}
	post->be = be;
	post->uffd = fd;
	pthread_mutex_init(&post->lock, NULL);
	pthread_cond_init(&post->changed, NULL);
	be->post = post;
	msg->fds[0] = copy;
	msg->nfds = 1; /* closed once it is sent */
	msg->hdr.size = 0;
	return 0;
}

/* "This is always sent sometime after a VHOST_USER_POSTCOPY_ADVISE." */
int back_postcopy_listen(struct vhost_backend *be, struct vhost_user_msg *msg, struct error *err)
{
	struct back_postcopy *post = be->post;

	if (!post || post->listening)
		return error_set(err, -EPROTO, "post-copy has %s",
				 post ? "begun already" : "not been advised");
	if (be->nregions)
		return error_set(err, -EBUSY, "there is memory already");
	for (; post->nthreads < THREADS; post->nthreads++) {
		struct toucher *t = &post->touchers[post->nthreads];
		int rc;

		t->post = post;
		rc = thread_start(&t->thread, "postcopy", THREAD_ANY_CPU, touch, t, err);
		if (rc)
			return rc;
	}
	post->listening = true;
	return 0;
}

int back_postcopy_end(struct vhost_backend *be, struct vhost_user_msg *msg, struct error *err)
{
	if (!be->post)
		return error_set(err, -EPROTO, "post-copy has not been advised");
	log_info("%s: post-copy is over: %llu pages were asked for", be->name,
		 (unsigned long long)be->post->asked);
	return back_mem_arrived(be, err);
}
