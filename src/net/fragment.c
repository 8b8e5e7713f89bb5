/* SPDX-License-Identifier: Apache-2.0 */
#include "net/fragment.h"

#include "net/checksum.h"
#include "net/ether.h"

#include <errno.h>

#define IPV6_FRAGMENT 44

/* Headers that each fragment repeats, and where the rest of the datagram is cut. */
struct fragmenting {
	uint8_t hdr[NET_HEADERS_MAX + IPV6_FRAG_HLEN];
	unsigned hdr_len;
	unsigned cut;	/* the datagram's first byte that is not repeated */
	unsigned field; /* where offset and "more" stand in hdr */
	uint32_t base;	/* IPv4: the datagram is itself a fragment, from this offset on */
	bool more;	/* … and not the last */
	struct net_headers h;
};

static int prepare4(struct fragmenting *f, const uint8_t *data)
{
	f->cut = f->hdr_len = f->h.l3_payload;
	f->field = f->h.l3 + IPV4_FRAG;
	memcpy(f->hdr, data, f->hdr_len);
	f->base = (load_be16(f->hdr + f->field) & IPV4_FRAG_OFF) * 8u;
	f->more = load_be16(f->hdr + f->field) & IPV4_FRAG_MF;
	return 0;
}

/* The fragment header goes before whatever stands behind the extension headers. */
static int prepare6(struct fragmenting *f, const uint8_t *data)
{
	static _Atomic uint32_t next_id;
	uint8_t *frag;

	if (!f->h.l4 || f->h.l4 > NET_HEADERS_MAX || f->h.fragment)
		return -EINVAL;
	f->base = 0;
	f->more = false;
	f->cut = f->h.l4;
	memcpy(f->hdr, data, f->cut);
	frag = f->hdr + f->cut;
	frag[0] = f->h.proto;
	frag[1] = 0;
	store_be32(frag + 4, ++next_id);
	f->hdr[f->h.proto_at] = IPV6_FRAGMENT;
	f->field = f->cut + 2;
	f->hdr_len = f->cut + IPV6_FRAG_HLEN;
	return 0;
}

static void set_lengths(struct fragmenting *f, uint32_t offset, uint32_t n, bool last)
{
	uint8_t *ip = f->hdr + f->h.l3;
	uint32_t len = f->hdr_len - f->h.l3 + n;
	uint16_t check;

	last = last && !f->more;
	offset += f->base;
	if (f->h.ip_version == 6) {
		store_be16(f->hdr + f->field, (uint16_t)(offset | !last));
		store_be16(ip + IPV6_LEN, (uint16_t)(len - IPV6_HLEN));
		return;
	}
	store_be16(f->hdr + f->field, (uint16_t)(offset / 8 | (last ? 0 : IPV4_FRAG_MF)));
	store_be16(ip + IPV4_LEN, (uint16_t)len);
	check = csum_ipv4_header(ip, (unsigned)f->h.l3_payload - f->h.l3);
	memcpy(ip + IPV4_CHECK, &check, sizeof(check));
}

int net_fragment(const uint8_t *data, uint32_t len, unsigned mtu, net_gso_emit_fn emit,
		 void *opaque)
{
	struct iovec whole = {(void *)(uintptr_t)data, len};
	struct fragmenting f;
	uint32_t size, done = 0, total;
	int rc, count = 0;

	if (net_headers_parse(data, len, &f.h) < 0 || !f.h.ip_version ||
	    (size_t)f.h.l3 + f.h.l3_len > len)
		return -EINVAL;
	if (f.h.l3_len <= mtu) {
		rc = emit(opaque, &whole, 1, len);
		return rc < 0 ? rc : 1;
	}
	rc = f.h.ip_version == 4 ? prepare4(&f, data) : prepare6(&f, data);
	if (rc < 0 || mtu < f.hdr_len - f.h.l3 + 8)
		return -EINVAL;
	size = (mtu - (f.hdr_len - f.h.l3)) & ~7u;
	total = f.h.l3 + f.h.l3_len - f.cut;
	for (; done < total; count++) {
		uint32_t n = MIN(total - done, size);
		struct iovec iov[2] = {{f.hdr, f.hdr_len},
				       {(void *)(uintptr_t)(data + f.cut + done), n}};

		set_lengths(&f, done, n, done + n == total);
		rc = emit(opaque, iov, 2, f.hdr_len + n);
		if (rc < 0)
			return rc;
		done += n;
	}
	return count;
}
