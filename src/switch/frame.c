/* SPDX-License-Identifier: Apache-2.0 */
#include "switch/frame.h"

#include "base/iov.h"
#include "net/ether.h"

/* Cuts the first n bytes off iov, in place. Returns how many elements are left, *iov moved. */
static unsigned cut(struct iovec **iov, unsigned niov, size_t n)
{
	while (niov && n >= (*iov)->iov_len) {
		n -= (*iov)->iov_len;
		(*iov)++;
		niov--;
	}
	if (niov) {
		(*iov)->iov_base = (char *)(*iov)->iov_base + n;
		(*iov)->iov_len -= n;
	}
	return niov;
}

/* What follows the header, which is cut off iov already. */
static bool take(struct frame *f, struct iovec *iov, unsigned niov, uint64_t len)
{
	if (len < ETHER_HLEN || len > NET_FRAME_MAX)
		return false;
	f->len = (uint32_t)len;
	f->head = f->snap;
	f->head_len = (uint16_t)iov_read(iov, niov, 0, f->snap, SNAP_LEN);
	f->nrest = (uint16_t)cut(&iov, niov, f->head_len);
	f->rest = iov;
	return true;
}

bool frame_take_any(struct frame *f, struct vq_buf *buf, unsigned hdr_len)
{
	struct iovec *iov = buf->iov;
	unsigned niov;

	if (buf->out_len < hdr_len + ETHER_HLEN)
		return false;
	f->off.num_buffers = 0;
	iov_read(iov, buf->out_n, 0, &f->off, hdr_len);
	niov = cut(&iov, buf->out_n, hdr_len);
	return take(f, iov, niov, buf->out_len - hdr_len);
}

bool frame_take_private(struct frame *f, struct iovec *iov, unsigned niov,
			const struct net_offload *off)
{
	f->off = *off;
	return take(f, iov, niov, iov_len(iov, niov));
}

void frame_make_private(struct frame *f, uint8_t *buf)
{
	size_t len = iov_read(f->rest, f->nrest, 0, buf, f->len - f->head_len);

	f->one = (struct iovec){buf, len};
	f->rest = &f->one;
	f->nrest = len ? 1 : 0;
}

static void move_csum(struct frame *f, int by)
{
	if (f->off.flags & NET_NEEDS_CSUM)
		f->off.csum_start = (uint16_t)(f->off.csum_start + by);
	if (f->off.gso_type)
		f->off.hdr_len = (uint16_t)(f->off.hdr_len + by);
}

void frame_tag(struct frame *f, uint16_t vid)
{
	f->head -= ETHER_VLAN_HLEN;
	memmove(f->head, f->head + ETHER_VLAN_HLEN, 12);
	store_be16(f->head + 12, ETHER_VLAN);
	store_be16(f->head + 14, vid);
	f->head_len += ETHER_VLAN_HLEN;
	f->len += ETHER_VLAN_HLEN;
	f->tagged = true;
	move_csum(f, ETHER_VLAN_HLEN);
}

void frame_untag(struct frame *f)
{
	memmove(f->head + ETHER_VLAN_HLEN, f->head, 12);
	f->head += ETHER_VLAN_HLEN;
	f->head_len -= ETHER_VLAN_HLEN;
	f->len -= ETHER_VLAN_HLEN;
	f->tagged = false;
	move_csum(f, -ETHER_VLAN_HLEN);
}

uint32_t frame_needs(const struct net_offload *off)
{
	uint32_t needs = off->flags & NET_NEEDS_CSUM ? NET_OFFLOAD_CSUM : 0;

	switch (off->gso_type & ~NET_GSO_ECN) {
	case NET_GSO_NONE:
		return needs;
	case NET_GSO_TCPV4:
		needs |= NET_OFFLOAD_TSO4;
		break;
	case NET_GSO_TCPV6:
		needs |= NET_OFFLOAD_TSO6;
		break;
	case NET_GSO_UDP:
		needs |= NET_OFFLOAD_UFO;
		break;
	case NET_GSO_UDP_L4:
		/* Which IP version it is stands in the headers only: ask for both. */
		needs |= NET_OFFLOAD_USO4 | NET_OFFLOAD_USO6;
		break;
	default:
		return UINT32_MAX;
	}
	return off->gso_type & NET_GSO_ECN ? needs | NET_OFFLOAD_ECN : needs;
}
