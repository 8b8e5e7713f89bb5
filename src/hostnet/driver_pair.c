/* SPDX-License-Identifier: Apache-2.0 */
#include "hostnet/driver_pair.h"

#include "base/iov.h"
#include "net/ether.h"
#include "vring/features.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

/*
 * Theory of operation. Memory is the two rings, then RING buffers to receive into and RING to send
 * from, each of BUF_BYTES; buffer i of the sending half is in `free` while it is not out.
 *
 * Received buffers that the device has used are noted in `lent`, in order, and stay there until they
 * are given back, which posts them again. A device that writes less than a header, or says more than
 * a buffer holds, gives an empty frame, which is dropped as malformed.
 *
 * Mergeable buffers are posted with MERGE_BYTES of their room, and a frame's are copied together.
 */
#define RING	    DRIVER_PAIR_RING
#define HDR_LEN	    sizeof(struct net_offload)
#define BUF_BYTES   ALIGN_UP(NET_FRAME_MAX + HDR_LEN, 4096)
#define MERGE_BYTES 4096U
#define RING_ROOM   16384U /* for one ring */

const uint64_t driver_pair_features = 1ULL << VIRTIO_F_VERSION_1 | 1ULL << VIRTIO_RING_F_EVENT_IDX;

struct lent {
	uint32_t len;
	uint16_t buf;
};

struct side {
	uint64_t frames, bytes, syscalls;
	uint64_t drops[HOSTNET_DROP_COUNT];
};

struct driver_pair {
	uint8_t *mem;
	uint64_t gpa;
	bool own; /* the memory */
	uint32_t post_bytes;
	bool mergeable;
	struct mem_table *table;
	struct vring_config cfg[2];
	int kick_fd[2], call_fd;

	struct vdrv *rx __cacheline_al;
	struct lent lent[RING];
	unsigned first, nlent; /* in it, from first on */
	struct side received;

	struct vdrv *tx __cacheline_al;
	uint16_t free[RING];
	unsigned nfree;
	struct side sent;
};

static uint64_t buffer(unsigned ring, unsigned n)
{
	return 2 * RING_ROOM + ((uint64_t)ring * RING + n) * BUF_BYTES;
}

size_t driver_pair_bytes(void)
{
	return buffer(2, 0);
}

static int make_memory(struct driver_pair *p, const struct mem_region *memory, struct error *err)
{
	struct mem_region region = {.gpa = DRIVER_PAIR_GPA, .fd = -1};
	void *own;

	if (memory) {
		region = *memory;
	} else {
		own = mmap(NULL, driver_pair_bytes(), PROT_READ | PROT_WRITE,
			   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
		if (own == MAP_FAILED)
			return error_set(err, -ENOMEM, "out of memory");
		region.hva = own;
		p->own = true;
	}
	region.size = driver_pair_bytes();
	p->mem = region.hva;
	p->gpa = region.gpa;
	return mem_table_new(&region, 1, &p->table, err);
}

static int make_ring(struct driver_pair *p, unsigned ring, const struct driver_pair_config *config,
		     struct error *err)
{
	struct vring_config *cfg = &p->cfg[ring];

	*cfg = (struct vring_config){
		.size = config->size[ring],
		.packed = config->packed,
		.event_idx = config->event_idx,
		.in_order = config->in_order,
		.desc = p->gpa + (uint64_t)ring * RING_ROOM,
	};
	cfg->driver = ALIGN_UP(cfg->desc + vring_desc_bytes(cfg), CACHE_LINE);
	cfg->device = ALIGN_UP(cfg->driver + vring_driver_bytes(cfg), 4096);
	memset(p->mem + (size_t)ring * RING_ROOM, 0, RING_ROOM);
	return vdrv_start(ring ? p->tx : p->rx, cfg, p->table, err);
}

int driver_pair_renew(struct driver_pair *p, const struct driver_pair_config *config,
		      struct error *err)
{
	int ret = 0;

	if (config->size[0] > RING || config->size[1] > RING)
		return error_set(err, -EINVAL, "a ring has at most %u entries here", RING);
	for (unsigned i = 0; i < 2 && !ret; i++)
		ret = make_ring(p, i, config, err);
	if (ret)
		return ret;
	vdrv_disable_calls(p->tx);
	p->mergeable = config->mergeable;
	p->post_bytes = config->mergeable ? MERGE_BYTES : BUF_BYTES;
	p->first = p->nlent = p->nfree = 0;
	for (unsigned i = 0; i < config->size[1]; i++)
		p->free[p->nfree++] = (uint16_t)(config->size[1] - 1 - i);
	return 0;
}

static int make(struct driver_pair *p, const struct mem_region *memory, struct error *err)
{
	const struct driver_pair_config config = {.size = {RING, RING}, .event_idx = true};
	int ret;

	p->rx = vdrv_create();
	p->tx = vdrv_create();
	if (!p->rx || !p->tx)
		return error_set(err, -ENOMEM, "out of memory");
	p->call_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	for (unsigned i = 0; i < 2; i++)
		p->kick_fd[i] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (p->call_fd < 0 || p->kick_fd[0] < 0 || p->kick_fd[1] < 0)
		return error_set(err, -errno, "cannot create an eventfd: %s", error_name(errno));
	ret = make_memory(p, memory, err);
	return ret ? ret : driver_pair_renew(p, &config, err);
}

struct driver_pair *driver_pair_new(const struct mem_region *memory, struct error *err)
{
	struct driver_pair *p = aligned_alloc(CACHE_LINE, ALIGN_UP(sizeof(*p), CACHE_LINE));

	if (!p) {
		error_set(err, -ENOMEM, "out of memory");
		return NULL;
	}
	memset(p, 0, sizeof(*p));
	p->kick_fd[0] = p->kick_fd[1] = p->call_fd = -1;
	if (make(p, memory, err)) {
		driver_pair_free(p);
		return NULL;
	}
	return p;
}

void driver_pair_free(struct driver_pair *p)
{
	const int fds[] = {p->kick_fd[0], p->kick_fd[1], p->call_fd};

	for (unsigned i = 0; i < ARRAY_SIZE(fds); i++)
		if (fds[i] >= 0)
			close(fds[i]);
	if (p->rx)
		vdrv_free(p->rx);
	if (p->tx)
		vdrv_free(p->tx);
	mem_table_free(p->table);
	if (p->own)
		munmap(p->mem, driver_pair_bytes());
	free(p);
}

const struct mem_table *driver_pair_memory(const struct driver_pair *p)
{
	return p->table;
}

const struct vring_config *driver_pair_ring(const struct driver_pair *p, unsigned ring)
{
	return &p->cfg[ring];
}

int driver_pair_kick_fd(const struct driver_pair *p, unsigned ring)
{
	return p->kick_fd[ring];
}

int driver_pair_call_fd(const struct driver_pair *p)
{
	return p->call_fd;
}

/* A counter has one writer; a reader sees each whole. */
static void add(uint64_t *counter, uint64_t n)
{
	__atomic_store_n(counter, *counter + n, __ATOMIC_RELAXED);
}

static uint64_t load(const uint64_t *counter)
{
	return __atomic_load_n(counter, __ATOMIC_RELAXED);
}

static void kick(struct driver_pair *p, unsigned ring, struct side *side)
{
	eventfd_write(p->kick_fd[ring], 1);
	add(&side->syscalls, 1);
}

/* There is always room: no more buffers than descriptors. */
static void post(struct driver_pair *p, unsigned buf)
{
	const struct vdrv_sg sg = {p->gpa + buffer(0, buf), p->post_bytes};

	vdrv_add(p->rx, &sg, 0, 1, false, 0, (void *)(uintptr_t)buf);
}

void driver_pair_start(struct driver_pair *p)
{
	/* The first ones may have frames of a predecessor's in them. */
	for (unsigned i = p->nlent; i < p->cfg[0].size; i++)
		post(p, i);
	if (vdrv_publish(p->rx))
		kick(p, 0, &p->received);
}

static void reclaim(struct driver_pair *p)
{
	void *cookie;
	uint32_t len;

	while (vdrv_get(p->tx, &cookie, &len) == 1)
		p->free[p->nfree++] = (uint16_t)(uintptr_t)cookie;
}

static void drop(struct side *side, enum hostnet_drop why)
{
	add(&side->drops[why], 1);
}

/* Copies a frame into buffer number buf and gives it to the device. */
static int put(struct driver_pair *p, const struct net_frame *f, unsigned buf)
{
	uint8_t *at = p->mem + buffer(1, buf);
	const struct vdrv_sg sg = {p->gpa + buffer(1, buf), f->len + HDR_LEN};

	memcpy(at, &f->off, HDR_LEN);
	iov_read(f->iov, f->niov, 0, at + HDR_LEN, f->len);
	return vdrv_add(p->tx, &sg, 1, 0, false, 0, (void *)(uintptr_t)buf);
}

unsigned driver_pair_send(struct driver_pair *p, const struct net_frame *frames, unsigned n)
{
	uint64_t bytes = 0;
	unsigned taken, sent = 0;

	if (p->nfree < n)
		reclaim(p);
	if (unlikely(vdrv_fault(p->tx))) {
		add(&p->sent.drops[HOSTNET_DROP_ERROR], n);
		return n;
	}
	for (taken = 0; taken < n && p->nfree; taken++) {
		const struct net_frame *f = &frames[taken];

		if (unlikely(f->len < ETHER_HLEN || f->len > NET_FRAME_MAX)) {
			drop(&p->sent,
			     f->len < ETHER_HLEN ? HOSTNET_DROP_MALFORMED : HOSTNET_DROP_OVERSIZE);
			continue;
		}
		if (put(p, f, p->free[p->nfree - 1]))
			break;
		p->nfree--;
		bytes += f->len;
		sent++;
	}
	if (sent && vdrv_publish(p->tx))
		kick(p, 1, &p->sent);
	add(&p->sent.frames, sent);
	add(&p->sent.bytes, bytes);
	return taken;
}

/* Notes what the device has received into, until there are n. */
static void collect(struct driver_pair *p, unsigned n)
{
	void *cookie;
	uint32_t len;

	while (p->nlent < n && vdrv_get(p->rx, &cookie, &len) == 1)
		p->lent[(p->first + p->nlent++) % RING] =
			(struct lent){len, (uint16_t)(uintptr_t)cookie};
}

unsigned driver_pair_waiting(struct driver_pair *p)
{
	collect(p, RING);
	return p->nlent;
}

const void *driver_pair_frame(const struct driver_pair *p, unsigned i, uint32_t *len)
{
	const struct lent *l = &p->lent[(p->first + i) % RING];

	*len = MIN(l->len, (uint32_t)BUF_BYTES);
	return p->mem + buffer(0, l->buf);
}

int driver_pair_put(struct driver_pair *p, const void *frame, uint32_t len)
{
	unsigned n = p->nlent;

	if (len > BUF_BYTES)
		return -EINVAL;
	if (n == p->cfg[0].size)
		return -ENOSPC;
	memcpy(p->mem + buffer(0, n), frame, len);
	p->lent[n] = (struct lent){len, (uint16_t)n};
	p->nlent++;
	return 0;
}

unsigned driver_pair_borrow(struct driver_pair *p, struct iovec *iov, struct net_offload *off,
			    unsigned n)
{
	collect(p, n);
	n = MIN(n, p->nlent);
	for (unsigned i = 0; i < n; i++) {
		const struct lent *l = &p->lent[(p->first + i) % RING];
		uint8_t *at = p->mem + buffer(0, l->buf);
		bool whole = l->len >= HDR_LEN && l->len <= BUF_BYTES;

		off[i] = (struct net_offload){0};
		if (likely(whole))
			memcpy(&off[i], at, HDR_LEN);
		off[i].num_buffers = 0;
		iov[i] = (struct iovec){at + HDR_LEN, whole ? l->len - HDR_LEN : 0};
	}
	return n;
}

/* Posts the first n that are lent again; returns how many bytes of frames were in them. */
static uint64_t repost(struct driver_pair *p, unsigned n)
{
	uint64_t bytes = 0;

	for (unsigned i = 0; i < n; i++) {
		const struct lent *l = &p->lent[(p->first + i) % RING];

		bytes += l->len - MIN(l->len, (uint32_t)HDR_LEN);
		post(p, l->buf);
	}
	p->first = (p->first + n) % RING;
	p->nlent -= n;
	if (n && vdrv_publish(p->rx))
		kick(p, 0, &p->received);
	return bytes;
}

void driver_pair_give_back(struct driver_pair *p, unsigned n)
{
	uint64_t bytes = repost(p, n);

	add(&p->received.frames, n);
	add(&p->received.bytes, bytes);
}

/*
 * Whether there is a frame. Calls are never switched off here: one that came is taken from call_fd
 * only when there is nothing left, so that it polls readable as long as there may be something.
 */
static bool arrived(struct driver_pair *p)
{
	collect(p, 1);
	if (p->nlent)
		return true;
	eventfd_read(p->call_fd, &(eventfd_t){0});
	if (!vdrv_enable_calls(p->rx))
		return false;
	eventfd_write(p->call_fd, 1);
	collect(p, 1);
	return p->nlent;
}

/* The parts of the first frame, behind its header, in iov; their number, 0 if it is no frame. */
static unsigned frame_parts(struct driver_pair *p, struct iovec iov[RING], struct net_offload *off)
{
	const struct lent *l = &p->lent[p->first];
	unsigned n = 1;

	if (l->len < HDR_LEN)
		return 0;
	memcpy(off, p->mem + buffer(0, l->buf), HDR_LEN);
	if (p->mergeable)
		n = MAX(le16toh(off->num_buffers), 1); /* some say 0 */
	off->num_buffers = 0;
	if (n > p->cfg[0].size)
		return 0;
	collect(p, n);
	if (p->nlent < n)
		return 0;
	for (unsigned i = 0; i < n; i++) {
		l = &p->lent[(p->first + i) % RING];
		iov[i] = (struct iovec){p->mem + buffer(0, l->buf), l->len};
	}
	iov[0].iov_base = (uint8_t *)iov[0].iov_base + HDR_LEN;
	iov[0].iov_len -= HDR_LEN;
	return n;
}

/* A buffer that begins no frame; what the device gave back empty is not even counted. */
static void discard(struct driver_pair *p)
{
	if (p->lent[p->first].len)
		drop(&p->received, HOSTNET_DROP_MALFORMED);
	repost(p, 1);
}

ssize_t driver_pair_recv(struct driver_pair *p, const struct iovec *iov, unsigned niov,
			 struct net_offload *off)
{
	struct iovec part[RING];
	size_t len, at = 0;
	unsigned n;

	for (;;) {
		if (!arrived(p))
			return -EAGAIN;
		n = frame_parts(p, part, off);
		if (likely(n))
			break;
		discard(p);
	}
	len = iov_len(part, n);
	if (unlikely(len > iov_len(iov, niov))) {
		drop(&p->received, HOSTNET_DROP_OVERSIZE);
		repost(p, n);
		return -EMSGSIZE;
	}
	for (unsigned i = 0; i < n; i++)
		at += iov_write(iov, niov, at, part[i].iov_base, part[i].iov_len);
	repost(p, n);
	add(&p->received.frames, 1);
	add(&p->received.bytes, len);
	return (ssize_t)len;
}

unsigned driver_pair_unsent(struct driver_pair *p)
{
	reclaim(p);
	return vdrv_fault(p->tx) ? 0 : p->cfg[1].size - p->nfree;
}

bool driver_pair_notify(struct driver_pair *p, bool on)
{
	if (on)
		return vdrv_enable_calls(p->rx) || p->nlent;
	vdrv_disable_calls(p->rx);
	return false;
}

void driver_pair_counters(const struct driver_pair *p, struct hostnet_counters *out)
{
	out->tx_frames = load(&p->sent.frames);
	out->tx_bytes = load(&p->sent.bytes);
	out->rx_frames = load(&p->received.frames);
	out->rx_bytes = load(&p->received.bytes);
	out->syscalls = load(&p->sent.syscalls) + load(&p->received.syscalls);
	for (unsigned i = 0; i < HOSTNET_DROP_COUNT; i++) {
		out->rx_drops[i] = load(&p->received.drops[i]);
		out->drops[i] = load(&p->sent.drops[i]) + out->rx_drops[i];
	}
}

bool driver_pair_broken(const struct driver_pair *p)
{
	return vdrv_fault(p->rx) || vdrv_fault(p->tx);
}
