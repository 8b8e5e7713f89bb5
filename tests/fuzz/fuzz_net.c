/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Everything in net/ that looks at a frame, on one input: 12 bytes of offload fields, 2 of
 * choices, the frame. Checked: no offset points outside what was given, what is emitted adds up,
 * and finished frames are what the offload fields asked for.
 */
#include "fuzz.h"

#include "base/iov.h"
#include "net/checksum.h"
#include "net/ether.h"
#include "net/fragment.h"
#include "net/gso.h"
#include "net/rss.h"
#include "net/rxfilter.h"

#define FRAME_MAX 70000

static void check_headers(const struct net_headers *h, size_t len)
{
	fuzz_assert(h->vlan_count <= 2);
	fuzz_assert(!h->l3 || (size_t)h->l3 + (h->ip_version == 4 ? 20 : 40) <= len);
	fuzz_assert(!h->ip_version == !h->l3);
	fuzz_assert(h->l3_payload <= len);
	fuzz_assert(!h->l4 || (h->l4 < len && h->l4 >= h->l3_payload));
	fuzz_assert(h->payload <= len);
	fuzz_assert(!h->payload || (h->l4 && h->payload >= h->l4 + 8));
	fuzz_assert(!h->home || (size_t)h->home + 16 <= len);
	fuzz_assert(!h->route2 || (size_t)h->route2 + 16 <= len);
	fuzz_assert(h->proto_at < len);
	fuzz_assert(!h->later_fragment || (h->fragment && !h->l4));
}

struct emitted {
	uint32_t payload; /* bytes behind the headers, all frames together */
	unsigned count;
	unsigned hlen;
	bool tcp_or_udp;
};

/* Each frame that comes out is whole and, where it is TCP or UDP, right. */
static int emit(void *opaque, const struct iovec *iov, unsigned niov, uint32_t len)
{
	struct emitted *e = opaque;
	uint8_t hdr[NET_HEADERS_MAX + 8];
	struct net_headers h;

	fuzz_assert(iov_len(iov, niov) == len);
	fuzz_assert(len >= e->hlen);
	e->payload += len - e->hlen;
	e->count++;
	net_headers_parse(hdr, iov_read(iov, niov, 0, hdr, sizeof(hdr)), &h);
	fuzz_assert(h.ip_version && h.l3 + h.l3_len == len);
	if (h.ip_version == 4)
		fuzz_assert(net_csum_verify_ipv4(hdr, &h) == NET_CSUM_GOOD);
	if (e->tcp_or_udp && !h.fragment)
		fuzz_assert(net_csum_verify(iov, niov, &h) == NET_CSUM_GOOD);
	return 0;
}

static int count_only(void *opaque, const struct iovec *iov, unsigned niov, uint32_t len)
{
	fuzz_assert(iov_len(iov, niov) == len);
	(*(unsigned *)opaque)++;
	return 0;
}

/* Scatters the frame in pieces, each in memory of its own, so that over-reading is seen. */
static unsigned scatter(const uint8_t *p, uint32_t len, unsigned piece, struct iovec *iov)
{
	unsigned n = 0;

	for (uint32_t at = 0; at < len && n < 64; n++) {
		uint32_t size = n == 63 ? len - at : MIN(len - at, piece);
		uint8_t *copy = malloc(size);

		memcpy(copy, p + at, size);
		iov[n] = (struct iovec){copy, size};
		at += size;
	}
	return n;
}

static void try_gso(const uint8_t *p, uint32_t len, const struct net_offload *off, unsigned piece)
{
	struct iovec iov[64];
	struct net_frame f = {.iov = iov, .len = len, .off = *off};
	struct net_headers h;
	unsigned count = 0;
	int rc;

	f.niov = scatter(p, len, piece, iov);
	net_headers_parse(p, len, &h);
	if ((off->gso_type & ~NET_GSO_ECN) == NET_GSO_NONE) {
		rc = net_gso_finish(&f, count_only, &count);
		fuzz_assert(rc < 0 ? !count : rc == 1 && count == 1);
	} else {
		bool ufo = (off->gso_type & ~NET_GSO_ECN) == NET_GSO_UDP;
		struct emitted e = {.hlen = h.payload,
				    .tcp_or_udp = !ufo || (off->flags & NET_NEEDS_CSUM)};

		if (ufo) {
			rc = net_gso_finish(&f, count_only, &count);
			fuzz_assert(rc < 0 ? !count : (unsigned)rc == count);
		} else {
			rc = net_gso_finish(&f, emit, &e);
			fuzz_assert(rc < 0 ? !e.count : (unsigned)rc == e.count);
			fuzz_assert(rc < 0 || e.payload == len - h.payload);
		}
	}
	for (unsigned i = 0; i < f.niov; i++)
		free(iov[i].iov_base);
}

static void try_filters(const uint8_t *p, uint32_t len, const struct net_offload *off)
{
	static const uint8_t mac[6] = {0x52, 0x54, 0, 1, 2, 3};
	struct rss_config rss = {.types = off->csum_start,
				 .table_len = 1 << (off->flags % 8),
				 .key_len = off->gso_type % 41};
	struct rx_filter filter;
	uint32_t hash;
	enum rss_report report = rss_hash(&rss, p, len, &hash);

	fuzz_assert(report <= RSS_REPORT_UDPV6_EX);
	fuzz_assert(report != RSS_REPORT_NONE || hash == 0);
	fuzz_assert(rss_queue(&rss, report, hash) == 0);
	rx_filter_init(&filter, mac);
	fuzz_assert(rx_filter_accepts(&filter, p, len) == (len >= 14));
	filter.promisc = false;
	filter.vlan_filter = off->flags & 1;
	filter.uni_count = off->hdr_len;
	filter.multi_count = off->gso_size;
	rx_filter_accepts(&filter, p, len);
}

static void try_fragment(const uint8_t *p, uint32_t len, unsigned mtu)
{
	unsigned count = 0;
	int rc = net_fragment(p, len, mtu, count_only, &count);

	fuzz_assert(rc < 0 ? !count : (unsigned)rc == count);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_input in = {data, size};
	struct net_offload off;
	struct net_headers h;
	struct iovec iov;
	unsigned piece;
	uint8_t *frame;
	uint32_t len;

	fuzz_bytes(&in, &off, sizeof(off));
	piece = 1 + fuzz_u16(&in) % 2048;
	len = (uint32_t)MIN(in.left, (size_t)FRAME_MAX);
	/* The frame ends where its memory does. */
	frame = malloc(len ? len : 1);
	memcpy(frame, in.at, len);
	iov = (struct iovec){frame, len};

	if (net_headers_parse(frame, len, &h) == 0)
		check_headers(&h, len);
	net_offload_check(&off, len, NET_OFFLOAD_CSUM | NET_OFFLOAD_GSO);
	net_csum_verify(&iov, 1, NULL);
	try_filters(frame, len, &off);
	try_gso(frame, len, &off, piece);
	try_fragment(frame, len, off.hdr_len);
	off.flags |= NET_NEEDS_CSUM;
	if (net_csum_complete(frame, len, &off) == 0)
		fuzz_assert(!(off.flags & NET_NEEDS_CSUM));
	free(frame);
	return 0;
}
