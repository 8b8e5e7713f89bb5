/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NET_CHECKSUM_H
#define NET_CHECKSUM_H

#include "base/iov.h"
#include "net/ether.h"
#include "net/offload.h"

/*
 * The Internet checksum (RFC 1071). A sum is kept wide and in memory order; csum_fold() brings it
 * to 16 bits. Values that are stored in headers are passed as they stand there in memory (a
 * uint16_t to memcpy), so no byte is ever swapped.
 */
struct csum {
	uint64_t sum;
	bool odd; /* an odd number of bytes so far: the next piece is shifted by one */
};

/** Adds len bytes, a piece of a longer sequence. */
void csum_add(struct csum *c, const void *data, size_t len);

/** Adds bytes from offset on, at most len. */
void csum_add_iov(struct csum *c, const struct iovec *iov, unsigned niov, size_t offset,
		  size_t len);

/**
 * Adds the pseudo header for l4_len bytes at h->l4 (RFC 9293, 3.1; RFC 8200, 8.1). frame is the
 * snapshot that h was parsed from. IPv6: a home address or type 2 routing header counts.
 */
void csum_add_pseudo(struct csum *c, const uint8_t *frame, const struct net_headers *h,
		     uint32_t l4_len);

/** The 16-bit sum, not complemented: what a driver leaves in a NET_NEEDS_CSUM frame's field. */
uint16_t csum_fold(const struct csum *c);

/** The value for a header's checksum field. */
static inline uint16_t csum_finish(const struct csum *c)
{
	return (uint16_t)~csum_fold(c);
}

/** As csum_finish(), but never 0, which UDP would read as "no checksum"; right for TCP as well. */
static inline uint16_t csum_finish_l4(const struct csum *c)
{
	uint16_t v = csum_finish(c);

	return v ? v : 0xffff;
}

/** A header's checksum after one of its 16-bit words changed (RFC 1624, eqn. 3). */
uint16_t csum_update16(uint16_t check, uint16_t old, uint16_t new);

/** The checksum of an IPv4 header of hlen bytes, its own field taken as 0. */
uint16_t csum_ipv4_header(const uint8_t *ip, unsigned hlen);

/**
 * What belongs into the checksum field of a NET_NEEDS_CSUM frame that is not to be segmented;
 * the frame is not changed. -EINVAL when off points outside it.
 */
int net_csum_value(const struct iovec *iov, unsigned niov, const struct net_offload *off,
		   uint16_t *value);

/** Does it to a frame in one piece that may be written. Clears NET_NEEDS_CSUM in *off. */
int net_csum_complete(uint8_t *frame, uint32_t len, struct net_offload *off);

enum net_csum_state {
	NET_CSUM_NONE, /* there is nothing to verify: not TCP or UDP, a fragment, UDP without */
	NET_CSUM_GOOD,
	NET_CSUM_BAD,
};

/** Verifies a whole frame's TCP or UDP checksum. h may be NULL, or the frame's parsed headers. */
enum net_csum_state net_csum_verify(const struct iovec *iov, unsigned niov,
				    const struct net_headers *h);

/** Verifies the IPv4 header's own checksum; NONE when there is no IPv4 header. */
enum net_csum_state net_csum_verify_ipv4(const uint8_t *frame, const struct net_headers *h);

#endif
