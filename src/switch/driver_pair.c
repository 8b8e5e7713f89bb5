/* SPDX-License-Identifier: Apache-2.0 */
#include "switch/driver_pair.h"

#include "base/iov.h"
#include "net/ether.h"
#include "switch/port.h"
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
 */
#define RING	  DRIVER_PAIR_RING
#define BUF_BYTES ALIGN_UP(NET_FRAME_MAX + SW_HDR_LEN, 4096)
#define RING_ROOM 16384U /* for one ring */

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
	size_t bytes;
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

static int make_memory(struct driver_pair *p, struct error *err)
{
	struct mem_region region = {.gpa = DRIVER_PAIR_GPA, .fd = -1};

	p->bytes = buffer(2, 0);
	p->mem = mmap(NULL, p->bytes, PROT_READ | PROT_WRITE,
		      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (p->mem == MAP_FAILED) {
		p->mem = NULL;
		return error_set(err, -ENOMEM, "out of memory");
	}
	region.size = p->bytes;
	region.hva = p->mem;
	return mem_table_new(&region, 1, &p->table, err);
}

static int make_ring(struct driver_pair *p, unsigned ring, struct vdrv *drv, struct error *err)
{
	struct vring_config *cfg = &p->cfg[ring];

	*cfg = (struct vring_config){.size = RING, .event_idx = true};
	cfg->desc = DRIVER_PAIR_GPA + (uint64_t)ring * RING_ROOM;
	cfg->driver = ALIGN_UP(cfg->desc + vring_desc_bytes(cfg), CACHE_LINE);
	cfg->device = ALIGN_UP(cfg->driver + vring_driver_bytes(cfg), 4096);
	p->kick_fd[ring] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (!drv || p->kick_fd[ring] < 0)
		return error_set(err, -ENOMEM, "no memory for a ring");
	return vdrv_start(drv, cfg, p->table, err);
}

struct driver_pair *driver_pair_new(struct error *err)
{
	struct driver_pair *p = aligned_alloc(CACHE_LINE, ALIGN_UP(sizeof(*p), CACHE_LINE));
	int ret;

	if (!p) {
		error_set(err, -ENOMEM, "out of memory");
		return NULL;
	}
	memset(p, 0, sizeof(*p));
	p->kick_fd[0] = p->kick_fd[1] = -1;
	p->rx = vdrv_create();
	p->tx = vdrv_create();
	p->call_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	ret = p->call_fd < 0 ? error_set(err, -errno, "cannot create an eventfd")
			     : make_memory(p, err);
	if (!ret)
		ret = make_ring(p, 0, p->rx, err);
	if (!ret)
		ret = make_ring(p, 1, p->tx, err);
	if (ret) {
		driver_pair_free(p);
		return NULL;
	}
	vdrv_disable_calls(p->tx);
	for (unsigned i = 0; i < RING; i++)
		p->free[p->nfree++] = (uint16_t)(RING - 1 - i);
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
	if (p->mem)
		munmap(p->mem, p->bytes);
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

static void kick(struct driver_pair *p, unsigned ring, struct side *side)
{
	eventfd_write(p->kick_fd[ring], 1);
	WRITE_ONCE(side->syscalls, side->syscalls + 1);
}

/* There is always room: no more buffers than descriptors. */
static void post(struct driver_pair *p, unsigned buf)
{
	const struct vdrv_sg sg = {DRIVER_PAIR_GPA + buffer(0, buf), BUF_BYTES};

	vdrv_add(p->rx, &sg, 0, 1, false, 0, (void *)(uintptr_t)buf);
}

void driver_pair_start(struct driver_pair *p)
{
	for (unsigned i = 0; i < RING; i++)
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
	WRITE_ONCE(side->drops[why], side->drops[why] + 1);
}

/* Copies a frame into buffer number buf and gives it to the device. */
static int put(struct driver_pair *p, const struct net_frame *f, unsigned buf)
{
	uint8_t *at = p->mem + buffer(1, buf);
	const struct vdrv_sg sg = {DRIVER_PAIR_GPA + buffer(1, buf), f->len + SW_HDR_LEN};

	memcpy(at, &f->off, SW_HDR_LEN);
	iov_read(f->iov, f->niov, 0, at + SW_HDR_LEN, f->len);
	return vdrv_add(p->tx, &sg, 1, 0, false, 0, (void *)(uintptr_t)buf);
}

unsigned driver_pair_send(struct driver_pair *p, const struct net_frame *frames, unsigned n)
{
	uint64_t bytes = 0;
	unsigned taken, sent = 0;

	if (p->nfree < n)
		reclaim(p);
	if (unlikely(vdrv_fault(p->tx))) {
		WRITE_ONCE(p->sent.drops[HOSTNET_DROP_ERROR],
			   p->sent.drops[HOSTNET_DROP_ERROR] + n);
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
	WRITE_ONCE(p->sent.frames, p->sent.frames + sent);
	WRITE_ONCE(p->sent.bytes, p->sent.bytes + bytes);
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

unsigned driver_pair_borrow(struct driver_pair *p, struct iovec *iov, struct net_offload *off,
			    unsigned n)
{
	collect(p, n);
	n = MIN(n, p->nlent);
	for (unsigned i = 0; i < n; i++) {
		const struct lent *l = &p->lent[(p->first + i) % RING];
		uint8_t *at = p->mem + buffer(0, l->buf);
		bool whole = l->len >= SW_HDR_LEN && l->len <= BUF_BYTES;

		off[i] = (struct net_offload){0};
		if (likely(whole))
			memcpy(&off[i], at, SW_HDR_LEN);
		off[i].num_buffers = 0;
		iov[i] = (struct iovec){at + SW_HDR_LEN, whole ? l->len - SW_HDR_LEN : 0};
	}
	return n;
}

void driver_pair_give_back(struct driver_pair *p, unsigned n)
{
	uint64_t bytes = 0;

	for (unsigned i = 0; i < n; i++) {
		const struct lent *l = &p->lent[(p->first + i) % RING];

		bytes += l->len - MIN(l->len, (uint32_t)SW_HDR_LEN);
		post(p, l->buf);
	}
	p->first = (p->first + n) % RING;
	p->nlent -= n;
	if (n && vdrv_publish(p->rx))
		kick(p, 0, &p->received);
	WRITE_ONCE(p->received.frames, p->received.frames + n);
	WRITE_ONCE(p->received.bytes, p->received.bytes + bytes);
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
	out->tx_frames = READ_ONCE(p->sent.frames);
	out->tx_bytes = READ_ONCE(p->sent.bytes);
	out->rx_frames = READ_ONCE(p->received.frames);
	out->rx_bytes = READ_ONCE(p->received.bytes);
	out->syscalls = READ_ONCE(p->sent.syscalls) + READ_ONCE(p->received.syscalls);
	for (unsigned i = 0; i < HOSTNET_DROP_COUNT; i++) {
		out->rx_drops[i] = READ_ONCE(p->received.drops[i]);
		out->drops[i] = READ_ONCE(p->sent.drops[i]) + out->rx_drops[i];
	}
}

bool driver_pair_broken(const struct driver_pair *p)
{
	return vdrv_fault(p->rx) || vdrv_fault(p->tx);
}
