/* SPDX-License-Identifier: Apache-2.0 */
#include "net/pcapng.h"

#include "base/iov.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

/*
 * Theory of operation. Blocks are built in buf under the lock and written when it fills up or is
 * a quarter of a second old. The file always ends with a whole block: when a write fails part of
 * the way, the file is cut back to where that write began and the buffer's packets count as lost.
 * Where cutting back is impossible (a pipe), nothing more is written. What every reader needs, the
 * section header and the interfaces, is written at once.
 */
#define PCAPNG_BUF	(256 * 1024)
#define PCAPNG_AGE_NS	(250 * NSEC_PER_MSEC)
#define PCAPNG_COMMENT	256 /* longer comments are cut */
#define PCAPNG_IFS_MAX	256

#define BLOCK_SECTION	0x0a0d0d0a
#define BLOCK_INTERFACE 1
#define BLOCK_PACKET	6
#define BYTE_ORDER_MARK 0x1a2b3c4d
#define LINK_ETHERNET	1

#define OPT_END		0
#define OPT_COMMENT	1
#define OPT_IF_NAME	2
#define OPT_IF_TSRESOL	9
#define OPT_EPB_FLAGS	2
#define OPT_SHB_USERAPP 4

struct pcapng {
	int fd;
	bool owned;
	bool dead;
	int error; /* the first failure */
	pthread_mutex_t lock;
	unsigned interfaces;
	uint32_t snaplen[PCAPNG_IFS_MAX];
	uint64_t packets, lost;
	uint64_t pending; /* packets in buf */
	uint64_t oldest;  /* when buf was begun, clock_ns() */
	size_t used;
	uint8_t buf[PCAPNG_BUF];
};

/* Blocks are in this machine's byte order, which the section header states. */
static void put32(struct pcapng *cap, uint32_t v)
{
	memcpy(cap->buf + cap->used, &v, sizeof(v));
	cap->used += sizeof(v);
}

static void put16(struct pcapng *cap, uint16_t v)
{
	memcpy(cap->buf + cap->used, &v, sizeof(v));
	cap->used += sizeof(v);
}

static void put_padding(struct pcapng *cap)
{
	while (cap->used % 4)
		cap->buf[cap->used++] = 0;
}

static void put_option(struct pcapng *cap, uint16_t code, const void *value, size_t len)
{
	put16(cap, code);
	put16(cap, (uint16_t)len);
	memcpy(cap->buf + cap->used, value, len);
	cap->used += len;
	put_padding(cap);
}

static size_t block_begin(struct pcapng *cap, uint32_t type)
{
	size_t at = cap->used;

	if (!at)
		cap->oldest = clock_ns();
	put32(cap, type);
	put32(cap, 0);
	return at;
}

static void block_end(struct pcapng *cap, size_t at)
{
	uint32_t len = (uint32_t)(cap->used - at + 4);

	put32(cap, len);
	memcpy(cap->buf + at + 4, &len, sizeof(len));
}

/* Returns 0, or a negative errno when what was gathered is lost. */
static int flush_locked(struct pcapng *cap)
{
	size_t done = 0;
	int rc = 0;
	ssize_t n = 0;

	while (done < cap->used && !cap->dead) {
		n = write(cap->fd, cap->buf + done, cap->used - done);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			break;
		done += (size_t)n;
	}
	if (done < cap->used) {
		off_t end = cap->dead ? -1 : lseek(cap->fd, 0, SEEK_CUR);

		rc = n < 0 ? -errno : -EIO;
		if (!cap->error)
			cap->error = rc;
		if (end < (off_t)done || ftruncate(cap->fd, end - (off_t)done) < 0 ||
		    lseek(cap->fd, end - (off_t)done, SEEK_SET) < 0)
			cap->dead = true;
		cap->lost += cap->pending;
		cap->packets -= cap->pending;
	}
	cap->used = 0;
	cap->pending = 0;
	return rc;
}

static void make_room(struct pcapng *cap, size_t len)
{
	if (cap->used + len > sizeof(cap->buf))
		flush_locked(cap);
}

static void put_section(struct pcapng *cap)
{
	static const char app[] = "Viaduct " VIADUCT_VERSION;
	size_t at = block_begin(cap, BLOCK_SECTION);

	put32(cap, BYTE_ORDER_MARK);
	put16(cap, 1);
	put16(cap, 0);
	put32(cap, UINT32_MAX); /* the section's length: not stated */
	put32(cap, UINT32_MAX);
	put_option(cap, OPT_SHB_USERAPP, app, sizeof(app) - 1);
	put_option(cap, OPT_END, "", 0);
	block_end(cap, at);
}

/* A file's first block. fd is closed after an error if it is owned. */
static int begin(int fd, bool owned, const char *name, struct pcapng **out, struct error *err)
{
	struct pcapng *cap = malloc(sizeof(*cap));

	if (!cap) {
		if (owned)
			close(fd);
		return error_set(err, -ENOMEM, "%s: out of memory for a capture", name);
	}
	cap->fd = fd;
	cap->owned = owned;
	cap->dead = false;
	cap->error = 0;
	cap->interfaces = 0;
	cap->packets = cap->lost = cap->pending = 0;
	cap->used = 0;
	pthread_mutex_init(&cap->lock, NULL);
	put_section(cap);
	flush_locked(cap);
	if (cap->error) {
		int rc = error_set(err, cap->error, "%s: cannot be written to: %s: make room", name,
				   error_name(cap->error));

		pcapng_close(cap);
		return rc;
	}
	*out = cap;
	return 0;
}

int pcapng_open(const char *path, struct pcapng **out, struct error *err)
{
	int fd;

	if (!strcmp(path, "-"))
		return begin(STDOUT_FILENO, false, path, out, err);
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOCTTY, 0600);
	if (fd < 0) {
		int rc = -errno;

		return error_set(err, rc, "%s: cannot be created for a capture: %s: %s", path,
				 error_name(rc),
				 rc == -EACCES ? "choose a folder you may write to"
					       : "give another path");
	}
	return begin(fd, true, path, out, err);
}

int pcapng_open_fd(int fd, const char *name, struct pcapng **out, struct error *err)
{
	return begin(fd, true, name, out, err);
}

int pcapng_add_interface(struct pcapng *cap, const char *name, uint32_t snaplen)
{
	static const uint8_t nanoseconds = 9;
	size_t at;
	int n;

	pthread_mutex_lock(&cap->lock);
	n = (int)cap->interfaces;
	if (n == PCAPNG_IFS_MAX) {
		pthread_mutex_unlock(&cap->lock);
		return -ENOSPC;
	}
	flush_locked(cap);
	at = block_begin(cap, BLOCK_INTERFACE);
	put16(cap, LINK_ETHERNET);
	put16(cap, 0);
	put32(cap, snaplen);
	put_option(cap, OPT_IF_NAME, name, strnlen(name, PCAPNG_COMMENT));
	put_option(cap, OPT_IF_TSRESOL, &nanoseconds, 1);
	put_option(cap, OPT_END, "", 0);
	block_end(cap, at);
	if (flush_locked(cap) == 0)
		cap->snaplen[cap->interfaces++] = snaplen;
	else
		n = cap->error;
	pthread_mutex_unlock(&cap->lock);
	return n;
}

static void put_packet(struct pcapng *cap, unsigned interface, uint64_t ns,
		       enum pcapng_direction direction, const struct iovec *iov, unsigned niov,
		       uint32_t len, const char *comment)
{
	uint32_t flags = (uint32_t)direction;
	size_t keep = iov_len(iov, niov), at;

	if (cap->snaplen[interface])
		keep = MIN(keep, cap->snaplen[interface]);
	keep = MIN(keep, PCAPNG_BUF / 2);
	make_room(cap, keep + PCAPNG_COMMENT + 128);
	at = block_begin(cap, BLOCK_PACKET);
	put32(cap, interface);
	put32(cap, (uint32_t)(ns >> 32));
	put32(cap, (uint32_t)ns);
	put32(cap, (uint32_t)keep);
	put32(cap, len);
	cap->used += iov_read(iov, niov, 0, cap->buf + cap->used, keep);
	put_padding(cap);
	if (comment)
		put_option(cap, OPT_COMMENT, comment, strnlen(comment, PCAPNG_COMMENT));
	put_option(cap, OPT_EPB_FLAGS, &flags, sizeof(flags));
	put_option(cap, OPT_END, "", 0);
	block_end(cap, at);
	cap->packets++;
	cap->pending++;
}

void pcapng_write(struct pcapng *cap, unsigned interface, enum pcapng_direction direction,
		  const struct iovec *iov, unsigned niov, const char *comment)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	pcapng_write_at(cap, interface, (uint64_t)now.tv_sec * NSEC_PER_SEC + (uint64_t)now.tv_nsec,
			direction, iov, niov, (uint32_t)iov_len(iov, niov), comment);
}

void pcapng_write_at(struct pcapng *cap, unsigned interface, uint64_t ns,
		     enum pcapng_direction direction, const struct iovec *iov, unsigned niov,
		     uint32_t len, const char *comment)
{
	pthread_mutex_lock(&cap->lock);
	if (interface >= cap->interfaces || cap->dead) {
		cap->lost++;
	} else {
		put_packet(cap, interface, ns, direction, iov, niov, len, comment);
		if (clock_ns() - cap->oldest > PCAPNG_AGE_NS)
			flush_locked(cap);
	}
	pthread_mutex_unlock(&cap->lock);
}

void pcapng_flush(struct pcapng *cap)
{
	pthread_mutex_lock(&cap->lock);
	flush_locked(cap);
	pthread_mutex_unlock(&cap->lock);
}

void pcapng_counters(struct pcapng *cap, uint64_t *packets, uint64_t *lost)
{
	pthread_mutex_lock(&cap->lock);
	*packets = cap->packets;
	*lost = cap->lost;
	pthread_mutex_unlock(&cap->lock);
}

int pcapng_close(struct pcapng *cap)
{
	int rc;

	if (!cap)
		return 0;
	pcapng_flush(cap);
	rc = cap->error;
	if (cap->owned && close(cap->fd) < 0 && !rc)
		rc = -errno;
	pthread_mutex_destroy(&cap->lock);
	free(cap);
	return rc;
}
