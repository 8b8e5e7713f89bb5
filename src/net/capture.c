/* SPDX-License-Identifier: Apache-2.0 */
#include "net/capture.h"

#include "base/iov.h"
#include "base/thread.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

/*
 * Theory of operation. A lane is a ring of bytes with one producer and one consumer: records, each a
 * head and the frame, both possibly wrapped around its end. The producer publishes by moving head,
 * the consumer gives room back by moving tail; each only reads the other's. Nobody is woken: the
 * writer looks every few milliseconds, for which a lane has room enough at some gigabytes a second.
 */
#define LOOK_NS	 (2 * NSEC_PER_MSEC)
#define IDLE_MAX 50 /* looks that found nothing, until what is gathered is written out */

struct record {
	uint64_t ns; /* since 1970 */
	const char *comment;
	uint32_t keep; /* bytes that follow */
	uint32_t len;  /* of the frame */
	uint32_t direction;
	uint32_t unused;
};

struct lane {
	_Atomic uint64_t head __cacheline_al; /* producer's */
	uint64_t frames, lost;
	_Atomic uint64_t tail __cacheline_al; /* consumer's */
	uint8_t *ring;
};

struct capture {
	struct pcapng *file;
	uint32_t snaplen;
	int interface;
	pthread_t thread;
	bool has_thread;
	_Atomic bool stop;
	unsigned nlanes;
	struct lane lanes[];
};

static void ring_put(struct lane *lane, uint64_t at, const void *data, size_t len)
{
	size_t offset = at % CAPTURE_LANE_BYTES;
	size_t first = MIN(len, CAPTURE_LANE_BYTES - offset);

	memcpy(lane->ring + offset, data, first);
	memcpy(lane->ring, (const uint8_t *)data + first, len - first);
}

static void ring_get(const struct lane *lane, uint64_t at, void *data, size_t len)
{
	size_t offset = at % CAPTURE_LANE_BYTES;
	size_t first = MIN(len, CAPTURE_LANE_BYTES - offset);

	memcpy(data, lane->ring + offset, first);
	memcpy((uint8_t *)data + first, lane->ring, len - first);
}

static void count_one(uint64_t *counter)
{
	__atomic_store_n(counter, *counter + 1, __ATOMIC_RELAXED);
}

void capture_frame(struct capture *cap, unsigned lane_index, enum pcapng_direction direction,
		   const struct iovec *iov, unsigned niov, const char *comment)
{
	struct lane *lane = &cap->lanes[lane_index % cap->nlanes];
	uint64_t head = atomic_load_explicit(&lane->head, memory_order_relaxed);
	uint64_t tail = atomic_load_explicit(&lane->tail, memory_order_acquire), at, left;
	struct record r = {.comment = comment, .direction = direction};
	struct timespec now;

	r.len = (uint32_t)iov_len(iov, niov);
	r.keep = cap->snaplen ? MIN(r.len, cap->snaplen) : r.len;
	if (sizeof(r) + r.keep > CAPTURE_LANE_BYTES - (head - tail)) {
		count_one(&lane->lost);
		return;
	}
	clock_gettime(CLOCK_REALTIME, &now);
	r.ns = (uint64_t)now.tv_sec * NSEC_PER_SEC + (uint64_t)now.tv_nsec;
	ring_put(lane, head, &r, sizeof(r));
	at = head + sizeof(r);
	left = r.keep;
	for (unsigned i = 0; i < niov && left; i++) {
		size_t n = MIN(iov[i].iov_len, left);

		ring_put(lane, at, iov[i].iov_base, n);
		at += n;
		left -= n;
	}
	count_one(&lane->frames);
	atomic_store_explicit(&lane->head, at, memory_order_release);
}

/* The lane whose next record is the oldest, and that record; NULL: all are empty. */
static struct lane *oldest(struct capture *cap, struct record *r)
{
	struct lane *found = NULL;

	for (unsigned i = 0; i < cap->nlanes; i++) {
		struct lane *lane = &cap->lanes[i];
		uint64_t tail = atomic_load_explicit(&lane->tail, memory_order_relaxed);
		struct record one;

		if (atomic_load_explicit(&lane->head, memory_order_acquire) == tail)
			continue;
		ring_get(lane, tail, &one, sizeof(one));
		if (found && one.ns >= r->ns)
			continue;
		found = lane;
		*r = one;
	}
	return found;
}

/* Writes all that is there; whether there was anything. */
static bool write_out(struct capture *cap)
{
	struct record r = {0};
	struct lane *lane;
	bool any = false;

	while ((lane = oldest(cap, &r))) {
		uint64_t tail = atomic_load_explicit(&lane->tail, memory_order_relaxed);
		size_t offset = (tail + sizeof(r)) % CAPTURE_LANE_BYTES;
		size_t first = MIN((size_t)r.keep, CAPTURE_LANE_BYTES - offset);
		struct iovec iov[2] = {{lane->ring + offset, first}, {lane->ring, r.keep - first}};

		pcapng_write_at(cap->file, (unsigned)cap->interface, r.ns,
				(enum pcapng_direction)r.direction, iov, 2, r.len, r.comment);
		atomic_store_explicit(&lane->tail, tail + sizeof(r) + r.keep, memory_order_release);
		any = true;
	}
	return any;
}

static void *writer(void *arg)
{
	const struct timespec look = {.tv_nsec = LOOK_NS};
	struct capture *cap = arg;
	unsigned idle = 0;

	while (!atomic_load(&cap->stop)) {
		if (write_out(cap))
			idle = 0;
		else if (++idle == IDLE_MAX)
			pcapng_flush(cap->file);
		nanosleep(&look, NULL);
	}
	write_out(cap);
	return NULL;
}

static int prepare(struct capture *cap, const struct capture_params *params, struct error *err)
{
	int ret;

	for (unsigned i = 0; i < cap->nlanes; i++) {
		cap->lanes[i].ring = malloc(CAPTURE_LANE_BYTES);
		if (!cap->lanes[i].ring)
			return error_set(err, -ENOMEM, "%s: out of memory for a capture",
					 params->name);
	}
	cap->interface = pcapng_add_interface(cap->file, params->name, params->snaplen);
	if (cap->interface < 0)
		return error_set(err, cap->interface, "%s: the capture cannot be written: %s",
				 params->name, error_name(cap->interface));
	ret = thread_start(&cap->thread, "capture", THREAD_ANY_CPU, writer, cap, err);
	cap->has_thread = !ret;
	return ret;
}

/*
 * The file's descriptor, the caller's no more. Only a regular file: a pipe whose reader stands still
 * would hold the writer, and whoever waits for it, for ever.
 */
static int file_of(const struct capture_params *params, struct error *err)
{
	const char *name = params->path ? params->path : params->name;
	struct stat st;
	int fd = params->fd;

	if (params->path)
		fd = open(params->path,
			  O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOCTTY | O_NONBLOCK, 0600);
	if (fd < 0) {
		int ret = params->path ? -errno : -EBADF;

		return error_set(err, ret,
				 "%s: cannot be created for a capture: %s: give another path", name,
				 error_name(ret));
	}
	if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode))
		return fd;
	close(fd);
	return error_set(err, -EINVAL,
			 "%s: a capture is written to a regular file, which this is "
			 "not",
			 name);
}

static struct capture *alloc(const struct capture_params *params)
{
	unsigned lanes = MAX(params->lanes, 1u);
	size_t size = ALIGN_UP(sizeof(struct capture) + lanes * sizeof(struct lane), CACHE_LINE);
	struct capture *cap = aligned_alloc(CACHE_LINE, size);

	if (!cap)
		return NULL;
	memset(cap, 0, size);
	cap->nlanes = lanes;
	cap->snaplen = params->snaplen;
	return cap;
}

int capture_start(const struct capture_params *params, struct capture **out, struct error *err)
{
	int ret = file_of(params, err);
	struct capture *cap;

	if (ret < 0)
		return ret;
	cap = alloc(params);
	if (!cap) {
		close(ret);
		return error_set(err, -ENOMEM, "%s: out of memory for a capture", params->name);
	}
	ret = pcapng_open_fd(ret, params->path ? params->path : params->name, &cap->file, err);
	if (!ret)
		ret = prepare(cap, params, err);
	if (ret) {
		capture_stop(cap);
		return ret;
	}
	*out = cap;
	return 0;
}

void capture_counters(struct capture *cap, uint64_t *frames, uint64_t *lost)
{
	uint64_t written, unwritten;

	*frames = *lost = 0;
	for (unsigned i = 0; i < cap->nlanes; i++) {
		*frames += __atomic_load_n(&cap->lanes[i].frames, __ATOMIC_RELAXED);
		*lost += __atomic_load_n(&cap->lanes[i].lost, __ATOMIC_RELAXED);
	}
	pcapng_counters(cap->file, &written, &unwritten);
	*frames -= MIN(*frames, unwritten);
	*lost += unwritten;
}

int capture_stop(struct capture *cap)
{
	int ret;

	if (!cap)
		return 0;
	if (cap->has_thread) {
		atomic_store(&cap->stop, true);
		pthread_join(cap->thread, NULL);
	}
	ret = pcapng_close(cap->file);
	for (unsigned i = 0; i < cap->nlanes; i++)
		free(cap->lanes[i].ring);
	free(cap);
	return ret;
}
