/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A device that does anything, against a queue pair that is driven here: what is received lies in the
 * buffers and is no longer than they are, and no more is out than there is.
 */
#include "fuzz.h"

#include "hostnet/driver_pair.h"
#include "net/ether.h"
#include "vring/layout.h"

#include <errno.h>

#define RINGS (32 * KIB) /* at the beginning of the memory, for both rings */

struct fuzz {
	struct fuzz_input in;
	struct driver_pair_config config;
	struct driver_pair *p;
	uint8_t *mem;
	uint8_t room[NET_FRAME_MAX];
};

static void renew(struct fuzz *f)
{
	uint8_t flags = fuzz_u8(&f->in), size = fuzz_u8(&f->in);

	f->config = (struct driver_pair_config){
		.packed = flags & 1,
		.event_idx = flags & 2,
		.in_order = flags & 4,
		.mergeable = flags & 8,
	};
	for (unsigned i = 0; i < 2; i++)
		f->config.size[i] = f->config.packed ? 1U + size % 64 : 1U << (1 + size % 7);
	fuzz_assert(!driver_pair_renew(f->p, &f->config, NULL));
	driver_pair_start(f->p);
}

/* A used entry that has a chance, with a header in the buffer. */
static void do_used(struct fuzz *f)
{
	uint8_t ring = fuzz_u8(&f->in) & 1, id = fuzz_u8(&f->in), more = fuzz_u8(&f->in);
	uint32_t len = fuzz_u16(&f->in), at = id % f->config.size[ring];
	const struct vring_config *cfg = driver_pair_ring(f->p, ring);
	uint8_t *used = f->mem + (cfg->device - DRIVER_PAIR_GPA);
	uint8_t *desc = f->mem + (cfg->desc - DRIVER_PAIR_GPA);
	uint64_t buf = load_le64(desc + 16UL * at) - DRIVER_PAIR_GPA;
	uint16_t idx = load_le16(used + 2);

	if (buf < driver_pair_bytes() - 12)
		store_le16(f->mem + buf + 10, more);
	if (cfg->packed) {
		store_le64(desc + 16UL * at + 8,
			   packed_meta(len, id, packed_used_flags(more & 1) | (more & 2)));
		return;
	}
	store_le32(used + 4 + idx % cfg->size * 8UL, at);
	store_le32(used + 8 + idx % cfg->size * 8UL, len);
	store_le16(used + 2, (uint16_t)(idx + 1));
}

static void do_recv(struct fuzz *f)
{
	uint16_t eighth = fuzz_u16(&f->in);
	size_t room = MIN(8UL * eighth, sizeof(f->room));
	struct iovec iov[2] = {{f->room, room / 2}, {f->room + room / 2, room - room / 2}};
	struct net_offload off;
	ssize_t len = driver_pair_recv(f->p, iov, 2, &off);

	fuzz_assert(len == -EAGAIN || len == -EMSGSIZE || (len >= 0 && (size_t)len <= room));
}

static void do_borrow(struct fuzz *f)
{
	struct net_offload off[8];
	struct iovec iov[8];
	unsigned n;

	if (f->config.mergeable)
		return;
	n = driver_pair_borrow(f->p, iov, off, 8);
	fuzz_assert(n <= 8);
	for (unsigned i = 0; i < n; i++)
		fuzz_assert(iov[i].iov_len <= driver_pair_bytes() &&
			    (uint8_t *)iov[i].iov_base + iov[i].iov_len <=
				    f->mem + driver_pair_bytes());
	driver_pair_give_back(f->p, n ? fuzz_u8(&f->in) % (n + 1) : 0);
}

static void do_send(struct fuzz *f)
{
	struct iovec iov = {f->room, fuzz_u16(&f->in)};
	struct net_frame frames[4];
	unsigned n = fuzz_u8(&f->in) % 5;

	for (unsigned i = 0; i < n; i++)
		frames[i] =
			(struct net_frame){.iov = &iov, .niov = 1, .len = (uint32_t)iov.iov_len};
	fuzz_assert(driver_pair_send(f->p, frames, n) <= n);
	fuzz_assert(driver_pair_unsent(f->p) <= f->config.size[1]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz *f = calloc(1, sizeof(*f));

	fuzz_assert(f && (f->p = driver_pair_new(NULL, NULL)));
	f->in = (struct fuzz_input){data, size};
	f->mem = mem_translate(driver_pair_memory(f->p), DRIVER_PAIR_GPA, driver_pair_bytes(),
			       MEM_WRITE);
	fuzz_assert(f->mem);
	renew(f);
	while (f->in.left) {
		switch (fuzz_u8(&f->in) & 7) {
		case 0:
		case 1:
			do_used(f);
			break;
		case 2:
			do_used(f);
			do_recv(f);
			break;
		case 3:
			do_recv(f);
			break;
		case 4:
			fuzz_scribble(&f->in, f->mem, RINGS);
			break;
		case 5:
			do_borrow(f);
			break;
		case 6:
			do_send(f);
			break;
		case 7:
			if (fuzz_u8(&f->in) & 1)
				renew(f);
			else
				driver_pair_notify(f->p, fuzz_u8(&f->in) & 1);
			break;
		}
	}
	driver_pair_free(f->p);
	free(f);
	return 0;
}
