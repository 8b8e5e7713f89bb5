/* SPDX-License-Identifier: Apache-2.0 */
#include "net/checksum.h"

#include <errno.h>
#if defined(__x86_64__)
#include <immintrin.h>
#endif

/* One's complement addition of 64-bit words: 2^64 is 1 modulo 2^16 - 1, so the carry comes back. */
static inline uint64_t add64(uint64_t a, uint64_t b)
{
	uint64_t sum;

	return __builtin_add_overflow(a, b, &sum) ? sum + 1 : sum;
}

static inline uint64_t load64(const uint8_t *p)
{
	uint64_t v;

	memcpy(&v, p, sizeof(v));
	return v;
}

/* Adds blocks of 32 bytes in one carry chain. */
static uint64_t sum_blocks(uint64_t sum, const uint8_t *p, size_t blocks)
{
#if defined(__x86_64__)
	unsigned long long s = sum;
	unsigned char carry = 0;

	for (; blocks; blocks--, p += 32) {
		carry = _addcarry_u64(carry, s, load64(p), &s);
		carry = _addcarry_u64(carry, s, load64(p + 8), &s);
		carry = _addcarry_u64(carry, s, load64(p + 16), &s);
		carry = _addcarry_u64(carry, s, load64(p + 24), &s);
	}
	return add64(s, carry);
#else
	for (; blocks; blocks--, p += 32) {
		sum = add64(sum, load64(p));
		sum = add64(sum, load64(p + 8));
		sum = add64(sum, load64(p + 16));
		sum = add64(sum, load64(p + 24));
	}
	return sum;
#endif
}

static uint64_t sum_bytes(const uint8_t *p, size_t len)
{
	uint64_t sum = 0, tail = 0;

	sum = sum_blocks(sum, p, len / 32);
	p += len & ~(size_t)31;
	len &= 31;
	for (; len >= 8; len -= 8, p += 8)
		sum = add64(sum, load64(p));
	memcpy(&tail, p, len);
	return add64(sum, tail);
}

void csum_add(struct csum *c, const void *data, size_t len)
{
	uint64_t sum;

	if (!len)
		return;
	sum = sum_bytes(data, len);
	/* Shifting a piece by one byte swaps the bytes of its sum: RFC 1071, 2 (B). */
	if (c->odd)
		sum = sum << 8 | sum >> 56;
	c->sum = add64(c->sum, sum);
	c->odd ^= len & 1;
}

void csum_add_iov(struct csum *c, const struct iovec *iov, unsigned niov, size_t offset, size_t len)
{
	for (unsigned i = 0; i < niov && len; i++) {
		size_t n;

		if (offset >= iov[i].iov_len) {
			offset -= iov[i].iov_len;
			continue;
		}
		n = MIN(iov[i].iov_len - offset, len);
		csum_add(c, (const char *)iov[i].iov_base + offset, n);
		len -= n;
		offset = 0;
	}
}

void csum_add_pseudo(struct csum *c, const uint8_t *frame, const struct net_headers *h,
		     uint32_t l4_len)
{
	uint8_t rest[8] = {0};

	store_be32(rest, l4_len);
	rest[7] = h->proto;
	csum_add(c, rest, sizeof(rest));
	if (h->ip_version == 4) {
		csum_add(c, frame + h->l3 + IPV4_SRC, 8);
	} else {
		csum_add(c, frame + (h->home ? h->home : h->l3 + IPV6_SRC), 16);
		csum_add(c, frame + (h->route2 ? h->route2 : h->l3 + IPV6_DST), 16);
	}
}

uint16_t csum_fold(const struct csum *c)
{
	uint64_t s = c->sum;

	s = (s & 0xffffffff) + (s >> 32);
	s = (s & 0xffff) + (s >> 16 & 0xffff) + (s >> 32);
	s = (s & 0xffff) + (s >> 16);
	return (uint16_t)(s + (s >> 16));
}

uint16_t csum_update16(uint16_t check, uint16_t old, uint16_t new)
{
	uint32_t s = (uint32_t)(uint16_t)~check + (uint16_t)~old + new;

	s = (s & 0xffff) + (s >> 16);
	return (uint16_t) ~(s + (s >> 16));
}

uint16_t csum_ipv4_header(const uint8_t *ip, unsigned hlen)
{
	struct csum c = {0};

	csum_add(&c, ip, IPV4_CHECK);
	csum_add(&c, ip + IPV4_CHECK + 2, hlen - IPV4_CHECK - 2);
	return csum_finish(&c);
}

int net_csum_value(const struct iovec *iov, unsigned niov, const struct net_offload *off,
		   uint16_t *value)
{
	size_t len = iov_len(iov, niov);
	struct csum c = {0};

	if ((size_t)off->csum_start + off->csum_offset + 2 > len)
		return -EINVAL;
	csum_add_iov(&c, iov, niov, off->csum_start, len);
	*value = csum_finish_l4(&c);
	return 0;
}

int net_csum_complete(uint8_t *frame, uint32_t len, struct net_offload *off)
{
	struct iovec iov = {frame, len};
	uint16_t value;
	int rc;

	if (!(off->flags & NET_NEEDS_CSUM))
		return 0;
	rc = net_csum_value(&iov, 1, off, &value);
	if (rc < 0)
		return rc;
	memcpy(frame + off->csum_start + off->csum_offset, &value, sizeof(value));
	off->flags &= (uint8_t)~NET_NEEDS_CSUM;
	return 0;
}

/* The l4 length by the IP header; 0 when that does not fit the frame. */
static uint32_t l4_length(const struct net_headers *h, size_t frame_len)
{
	uint32_t before = (uint32_t)h->l4 - h->l3;

	if (h->l3 + (size_t)h->l3_len > frame_len || h->l3_len <= before)
		return 0;
	return h->l3_len - before;
}

enum net_csum_state net_csum_verify(const struct iovec *iov, unsigned niov,
				    const struct net_headers *h)
{
	uint8_t hdr[NET_HEADERS_MAX];
	size_t got = iov_read(iov, niov, 0, hdr, sizeof(hdr));
	struct net_headers parsed;
	struct csum c = {0};
	uint32_t len;

	if (!h) {
		if (net_headers_parse(hdr, got, &parsed) < 0)
			return NET_CSUM_NONE;
		h = &parsed;
	}
	if (!h->payload || h->payload > got || h->fragment)
		return NET_CSUM_NONE;
	len = l4_length(h, iov_len(iov, niov));
	if (!len)
		return NET_CSUM_BAD;
	if (h->proto == IP_PROTO_UDP) {
		uint32_t udp_len = load_be16(hdr + h->l4 + UDP_LEN);

		if (!load_be16(hdr + h->l4 + UDP_CHECK))
			return h->ip_version == 4 ? NET_CSUM_NONE : NET_CSUM_BAD;
		if (udp_len < UDP_HLEN || udp_len > len)
			return NET_CSUM_BAD;
		len = udp_len;
	}
	csum_add_pseudo(&c, hdr, h, len);
	csum_add_iov(&c, iov, niov, h->l4, len);
	return csum_fold(&c) == 0xffff ? NET_CSUM_GOOD : NET_CSUM_BAD;
}

enum net_csum_state net_csum_verify_ipv4(const uint8_t *frame, const struct net_headers *h)
{
	struct csum c = {0};

	if (h->ip_version != 4)
		return NET_CSUM_NONE;
	csum_add(&c, frame + h->l3, (size_t)h->l3_payload - h->l3);
	return csum_fold(&c) == 0xffff ? NET_CSUM_GOOD : NET_CSUM_BAD;
}
