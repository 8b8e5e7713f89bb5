/* SPDX-License-Identifier: Apache-2.0 */
#include "net/gso.h"

#include "net/checksum.h"
#include "net/ether.h"

#include <errno.h>

/*
 * Theory of operation. hdr is a private copy of the frame's first bytes; h was parsed from it and
 * every decision is made on it. Each segment is hdr[0..hdr_len), rewritten for it, followed by the
 * next piece of the payload, described where it lies. next/skip walk the frame's iovec once.
 */
struct gso {
	uint8_t hdr[NET_HEADERS_MAX + IPV6_FRAG_HLEN];
	unsigned hdr_len; /* what each segment repeats */
	struct net_headers h;
	uint32_t payload; /* bytes behind the headers */

	const struct net_frame *frame;
	unsigned next; /* the iovec element the next piece starts in */
	size_t skip;   /* bytes of it already taken */

	net_gso_emit_fn emit;
	void *opaque;
	unsigned niov;
	struct iovec iov[NET_GSO_IOV_MAX + 2];
};

/* Moves on to offset in the frame. */
static void gso_seek(struct gso *g, size_t offset)
{
	g->next = 0;
	while (g->next < g->frame->niov && offset >= g->frame->iov[g->next].iov_len)
		offset -= g->frame->iov[g->next++].iov_len;
	g->skip = offset;
}

/* Appends the next len bytes of the frame to g->iov. */
static void gso_take(struct gso *g, size_t len)
{
	while (len && g->next < g->frame->niov) {
		const struct iovec *from = &g->frame->iov[g->next];
		size_t n = MIN(from->iov_len - g->skip, len);

		if (n)
			g->iov[g->niov++] = (struct iovec){(char *)from->iov_base + g->skip, n};
		len -= n;
		g->skip += n;
		if (g->skip == from->iov_len) {
			g->skip = 0;
			g->next++;
		}
	}
}

/* Starts a segment with the header copy and the payload's next n bytes. */
static void gso_begin(struct gso *g, uint32_t n)
{
	g->iov[0] = (struct iovec){g->hdr, g->hdr_len};
	g->niov = 1;
	gso_take(g, n);
}

/* Sets the IP header's length for hdr_len + n bytes of frame, and IPv4's checksum. */
static void gso_set_ip(struct gso *g, uint32_t n)
{
	uint8_t *ip = g->hdr + g->h.l3;
	uint32_t len = g->hdr_len - g->h.l3 + n;
	uint16_t check;

	if (g->h.ip_version == 6) {
		store_be16(ip + IPV6_LEN, (uint16_t)(len - IPV6_HLEN));
		return;
	}
	store_be16(ip + IPV4_LEN, (uint16_t)len);
	check = csum_ipv4_header(ip, (unsigned)g->h.l3_payload - g->h.l3);
	memcpy(ip + IPV4_CHECK, &check, sizeof(check));
}

/* Puts the TCP or UDP checksum of the segment begun in g->iov at field in the header copy. */
static void gso_set_check(struct gso *g, unsigned field, uint32_t n)
{
	uint32_t len = g->hdr_len - g->h.l4 + n;
	struct csum c = {0};
	uint16_t check = 0;

	memcpy(g->hdr + field, &check, sizeof(check));
	csum_add_pseudo(&c, g->hdr, &g->h, len);
	csum_add_iov(&c, g->iov, g->niov, g->h.l4, len);
	check = csum_finish_l4(&c);
	memcpy(g->hdr + field, &check, sizeof(check));
}

/* TSO and USO: every segment is a datagram of its own. */
static int gso_datagrams(struct gso *g)
{
	uint8_t *ip = g->hdr + g->h.l3, *l4 = g->hdr + g->h.l4;
	bool tcp = g->h.proto == IP_PROTO_TCP;
	unsigned check = g->h.l4 + (tcp ? TCP_CHECK : UDP_CHECK);
	uint8_t flags = tcp ? l4[TCP_FLAGS] : 0;
	uint32_t seq = load_be32(l4 + TCP_SEQ);
	uint16_t id = load_be16(ip + IPV4_ID);
	uint32_t done = 0;
	int count = 0;

	gso_seek(g, g->hdr_len);
	do {
		uint32_t n = MIN(g->payload - done, (uint32_t)g->frame->off.gso_size);
		bool last = done + n == g->payload;
		int rc;

		if (tcp) {
			store_be32(l4 + TCP_SEQ, seq + done);
			l4[TCP_FLAGS] = flags & (uint8_t) ~((last ? 0 : TCP_FIN | TCP_PSH) |
							    (count ? TCP_CWR : 0));
		} else {
			store_be16(l4 + UDP_LEN, (uint16_t)(UDP_HLEN + n));
		}
		if (g->h.ip_version == 4)
			store_be16(ip + IPV4_ID, (uint16_t)(id + count));
		gso_set_ip(g, n);
		gso_begin(g, n);
		gso_set_check(g, check, n);
		rc = g->emit(g->opaque, g->iov, g->niov, g->hdr_len + n);
		if (rc < 0)
			return rc;
		count++;
		done += n;
	} while (done < g->payload);
	return count;
}

/* IPv6 fragments carry a header that the datagram does not have: makes room for it before l4. */
static void gso_add_fragment_header(struct gso *g)
{
	static _Atomic uint32_t next_id;
	uint8_t *frag = g->hdr + g->h.l4;

	frag[0] = IP_PROTO_UDP;
	frag[1] = 0;
	store_be32(frag + 4, next_id++ ^ (uint32_t)(uintptr_t)&next_id);
	g->hdr[g->h.proto_at] = 44;
	g->hdr_len += IPV6_FRAG_HLEN;
}

static void gso_set_fragment(struct gso *g, uint32_t offset, bool last)
{
	if (g->h.ip_version == 4)
		store_be16(g->hdr + g->h.l3 + IPV4_FRAG,
			   (uint16_t)(offset / 8 | (last ? 0 : IPV4_FRAG_MF)));
	else
		store_be16(g->hdr + g->h.l4 + 2, (uint16_t)(offset | !last));
}

/*
 * UFO: one UDP datagram becomes IP fragments. The UDP header is kept aside (with the checksum of
 * the whole) and put before the first fragment's payload.
 */
static int gso_fragments(struct gso *g)
{
	uint32_t size = g->frame->off.gso_size & ~7u;
	uint32_t total = UDP_HLEN + g->payload, done = 0;
	uint8_t udp[UDP_HLEN];
	int count = 0;

	store_be16(g->hdr + g->h.l4 + UDP_LEN, (uint16_t)total);
	gso_seek(g, g->hdr_len);
	gso_begin(g, g->payload);
	if (g->frame->off.flags & NET_NEEDS_CSUM)
		gso_set_check(g, g->h.l4 + UDP_CHECK, g->payload);
	memcpy(udp, g->hdr + g->h.l4, UDP_HLEN);
	gso_seek(g, g->hdr_len);
	g->hdr_len = g->h.l4;
	if (total > size && g->h.ip_version == 6)
		gso_add_fragment_header(g);
	do {
		uint32_t n = total > size ? MIN(total - done, size) : total;
		int rc;

		if (total > size)
			gso_set_fragment(g, done, done + n == total);
		gso_set_ip(g, n);
		gso_begin(g, 0);
		if (!done)
			g->iov[g->niov++] = (struct iovec){udp, UDP_HLEN};
		gso_take(g, done ? n : n - UDP_HLEN);
		rc = g->emit(g->opaque, g->iov, g->niov, g->hdr_len + n);
		if (rc < 0)
			return rc;
		count++;
		done += n;
	} while (done < total);
	return count;
}

/* No segmentation: the frame as it is, with at most the checksum field replaced. */
static int gso_plain(struct gso *g)
{
	const struct net_frame *f = g->frame;
	uint16_t value;
	size_t field;
	int rc;

	if (!(f->off.flags & NET_NEEDS_CSUM)) {
		rc = g->emit(g->opaque, f->iov, f->niov, f->len);
		return rc < 0 ? rc : 1;
	}
	rc = net_csum_value(f->iov, f->niov, &f->off, &value);
	if (rc < 0)
		return rc;
	field = (size_t)f->off.csum_start + f->off.csum_offset;
	g->niov = 0;
	gso_seek(g, 0);
	gso_take(g, field);
	g->iov[g->niov++] = (struct iovec){&value, sizeof(value)};
	gso_seek(g, field + sizeof(value));
	gso_take(g, f->len);
	rc = g->emit(g->opaque, g->iov, g->niov, f->len);
	return rc < 0 ? rc : 1;
}

static bool gso_headers_fit(const struct net_headers *h, uint8_t type)
{
	switch (type) {
	case NET_GSO_TCPV4:
		return h->proto == IP_PROTO_TCP && h->ip_version == 4;
	case NET_GSO_TCPV6:
		return h->proto == IP_PROTO_TCP && h->ip_version == 6;
	case NET_GSO_UDP:
	case NET_GSO_UDP_L4:
		return h->proto == IP_PROTO_UDP;
	default:
		return false;
	}
}

/* Whether the headers are what gso_type says, and the segments come out legal. */
static int gso_check(struct gso *g, uint8_t type)
{
	const struct net_offload *off = &g->frame->off;
	uint32_t size = MIN((uint32_t)off->gso_size, g->payload);

	if (!gso_headers_fit(&g->h, type))
		return -EINVAL;
	if ((off->flags & NET_NEEDS_CSUM) && off->csum_start != g->h.l4)
		return -EINVAL;
	if (type == NET_GSO_UDP) {
		if (off->gso_size < 8 || g->hdr_len - g->h.l3 + g->payload > 65535)
			return -EINVAL;
		size = MIN(off->gso_size & ~7u, g->payload);
	}
	if (!off->gso_size || (size && g->payload / size >= NET_GSO_SEGMENTS_MAX))
		return -EINVAL;
	/* A length field of 16 bits must hold what a segment comes to. */
	if (g->hdr_len - g->h.l3 + IPV6_FRAG_HLEN + size > 65535)
		return -EINVAL;
	return 0;
}

int net_gso_finish(const struct net_frame *frame, net_gso_emit_fn emit, void *opaque)
{
	uint8_t type = frame->off.gso_type & (uint8_t)~NET_GSO_ECN;
	struct gso g;
	size_t got;
	int rc;

	g.frame = frame;
	g.emit = emit;
	g.opaque = opaque;
	if (frame->niov > NET_GSO_IOV_MAX || frame->len > NET_FRAME_MAX ||
	    frame->len < ETHER_HLEN || iov_len(frame->iov, frame->niov) != frame->len)
		return -EINVAL;
	if (type == NET_GSO_NONE)
		return gso_plain(&g);
	got = iov_read(frame->iov, frame->niov, 0, g.hdr, NET_HEADERS_MAX);
	g.h = (struct net_headers){0};
	net_headers_parse(g.hdr, got, &g.h);
	if (!g.h.payload || g.h.fragment)
		return -EINVAL;
	g.hdr_len = g.h.payload;
	g.payload = frame->len - g.hdr_len;
	rc = gso_check(&g, type);
	if (rc < 0)
		return rc;
	return type == NET_GSO_UDP ? gso_fragments(&g) : gso_datagrams(&g);
}
