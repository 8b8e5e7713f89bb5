/* SPDX-License-Identifier: Apache-2.0 */
#include "hostnet/user_frames.h"

#include "net/checksum.h"
#include "net/fragment.h"

#include <errno.h>

/*
 * Theory of operation. libslirp's work is per segment, so both ways carry segments as large as
 * they come:
 *
 * Guest to host, a TSO frame is not cut: with its lengths and checksums completed it is a legal
 * (if large) IP datagram, and libslirp writes all of its payload to the socket at once.
 *
 * Host to guest, libslirp is told of an MTU larger than the guest's. Some of its versions send no
 * more than the guest's SYN announced as its maximum segment size, so when the guest takes TSO
 * frames the announcement is raised on the way in. What libslirp then sends is larger than the MTU
 * and goes on as one TSO frame whose gso_size is what the guest really announced. No connection is
 * remembered for that: the smallest announcement of all is right for each of them. For a guest that
 * takes no TSO frames they are cut in software.
 */
#define USER_MSS_RAISED (USER_SEGMENT_MTU - 40)
#define USER_MSS_LEAST	500 /* smaller announcements are left as they are, and not remembered */

#define TCP_SYN		0x02
#define TCP_OPT_END	0
#define TCP_OPT_NOP	1
#define TCP_OPT_MSS	2
#define TCP_OPT_MSS_LEN 4

void user_shape_init(struct user_shape *shape, unsigned mtu)
{
	*shape = (struct user_shape){
		.mtu = mtu,
		.mss4 = (uint16_t)(mtu - IPV4_HLEN - TCP_HLEN),
		.mss6 = (uint16_t)(mtu - IPV6_HLEN - TCP_HLEN),
	};
}

/* The MSS option's value in a TCP header of hlen bytes, or NULL. */
static uint8_t *find_mss(uint8_t *tcp, unsigned hlen)
{
	unsigned at = TCP_HLEN;

	while (at < hlen && tcp[at] != TCP_OPT_END) {
		unsigned size = 1;

		if (tcp[at] != TCP_OPT_NOP) {
			if (at + 2 > hlen || tcp[at + 1] < 2 || at + tcp[at + 1] > hlen)
				return NULL;
			size = tcp[at + 1];
			if (tcp[at] == TCP_OPT_MSS && size == TCP_OPT_MSS_LEN)
				return tcp + at + 2;
		}
		at += size;
	}
	return NULL;
}

/* Notes the announcement in a SYN, and raises it; the checksum follows. */
static void take_mss(struct user_shape *shape, uint8_t *frame, const struct net_headers *h)
{
	bool v4 = h->ip_version == 4;
	uint16_t *least = v4 ? &shape->mss4 : &shape->mss6;
	uint8_t *tcp = frame + h->l4, *mss;
	uint16_t old, new, check;

	if (h->proto != IP_PROTO_TCP || !h->payload || !(tcp[TCP_FLAGS] & TCP_SYN))
		return;
	mss = find_mss(tcp, (unsigned)h->payload - h->l4);
	if (!mss || load_be16(mss) < USER_MSS_LEAST)
		return;
	*least = MIN(*least, load_be16(mss));
	if (!(shape->offloads & (v4 ? NET_OFFLOAD_TSO4 : NET_OFFLOAD_TSO6)) ||
	    load_be16(mss) >= USER_MSS_RAISED)
		return;
	memcpy(&old, mss, 2);
	store_be16(mss, USER_MSS_RAISED);
	memcpy(&new, mss, 2);
	/* At an odd offset the option's bytes are the other halves of two words of the sum. */
	if ((mss - tcp) & 1) {
		old = __builtin_bswap16(old);
		new = __builtin_bswap16(new);
	}
	memcpy(&check, tcp + TCP_CHECK, 2);
	check = csum_update16(check, old, new);
	memcpy(tcp + TCP_CHECK, &check, 2);
}

/* IP length and header checksum of a frame that a driver may have left them to us. */
static void finish_ip(uint8_t *frame, uint32_t len, const struct net_headers *h)
{
	uint8_t *ip = frame + h->l3;
	uint16_t check;

	if (h->ip_version == 6) {
		store_be16(ip + IPV6_LEN, (uint16_t)(len - h->l3 - IPV6_HLEN));
		return;
	}
	store_be16(ip + IPV4_LEN, (uint16_t)(len - h->l3));
	check = csum_ipv4_header(ip, (unsigned)h->l3_payload - h->l3);
	memcpy(ip + IPV4_CHECK, &check, 2);
}

/* Computes the whole TCP or UDP checksum anew. l4_len may end before padding does. */
static void finish_l4(uint8_t *frame, uint32_t l4_len, const struct net_headers *h)
{
	unsigned field = h->l4 + (h->proto == IP_PROTO_TCP ? TCP_CHECK : UDP_CHECK);
	struct csum c = {0};
	uint16_t check;

	memset(frame + field, 0, 2);
	csum_add_pseudo(&c, frame, h, l4_len);
	csum_add(&c, frame + h->l4, l4_len);
	check = csum_finish_l4(&c);
	memcpy(frame + field, &check, 2);
}

/* A TSO or UFO frame becomes one large datagram. */
static int finish_gso(uint8_t *frame, uint32_t len, const struct net_offload *off,
		      const struct net_headers *h)
{
	uint8_t type = off->gso_type & (uint8_t)~NET_GSO_ECN;
	bool udp = type == NET_GSO_UDP;

	if (!h->payload || h->fragment || h->proto != (udp ? IP_PROTO_UDP : IP_PROTO_TCP) ||
	    (type == NET_GSO_TCPV4 && h->ip_version != 4) ||
	    (type == NET_GSO_TCPV6 && h->ip_version != 6))
		return -EINVAL;
	finish_ip(frame, len, h);
	if (udp)
		store_be16(frame + h->l4 + UDP_LEN, (uint16_t)(len - h->l4));
	finish_l4(frame, len - h->l4, h);
	return 0;
}

ssize_t user_from_guest(struct user_shape *shape, const struct net_frame *frame, uint8_t *buf)
{
	struct net_offload off = frame->off;
	struct net_headers h;
	uint32_t len = frame->len;
	int rc = 0;

	if (len > USER_FRAME_MAX)
		return -EMSGSIZE;
	if (len < ETHER_HLEN || iov_read(frame->iov, frame->niov, 0, buf, len) != len)
		return -EINVAL;
	net_headers_parse(buf, len, &h);
	if (off.gso_type != NET_GSO_NONE)
		rc = finish_gso(buf, len, &off, &h);
	else if (off.flags & NET_NEEDS_CSUM)
		rc = net_csum_complete(buf, len, &off);
	if (rc < 0)
		return rc;
	take_mss(shape, buf, &h);
	if (len < ETHER_MIN_LEN) {
		memset(buf + len, 0, ETHER_MIN_LEN - len);
		len = ETHER_MIN_LEN;
	}
	return (ssize_t)len;
}

struct delivery {
	user_deliver_fn deliver;
	void *opaque;
	struct net_offload off;
};

/* A finished frame of the usual size: a guest that knows checksums need not look at them again. */
static int deliver_finished(void *opaque, const struct iovec *iov, unsigned niov, uint32_t len)
{
	struct delivery *d = opaque;

	return d->deliver(d->opaque, iov, niov, len, &d->off);
}

/* A large TCP segment: as a TSO frame if the guest takes it, else cut. */
static int deliver_tcp(const struct user_shape *shape, const uint8_t *data, uint32_t len,
		       const struct net_headers *h, struct delivery *d)
{
	bool v4 = h->ip_version == 4;
	uint8_t hdr[NET_HEADERS_MAX];
	struct iovec iov[2] = {{hdr, h->payload},
			       {(void *)(uintptr_t)(data + h->payload), len - h->payload}};
	struct net_frame frame = {.iov = iov, .niov = 2, .len = len};
	struct csum c = {0};
	uint16_t partial;

	frame.off = (struct net_offload){
		.flags = NET_NEEDS_CSUM,
		.gso_type = v4 ? NET_GSO_TCPV4 : NET_GSO_TCPV6,
		.hdr_len = h->payload,
		.gso_size = v4 ? shape->mss4 : shape->mss6,
		.csum_start = h->l4,
		.csum_offset = TCP_CHECK,
	};
	if (h->payload > sizeof(hdr))
		return -EMSGSIZE;
	memcpy(hdr, data, h->payload);
	if (!(shape->offloads & (v4 ? NET_OFFLOAD_TSO4 : NET_OFFLOAD_TSO6))) {
		int rc = net_gso_finish(&frame, deliver_finished, d);

		return rc < 0 ? rc : 0;
	}
	csum_add_pseudo(&c, hdr, h, len - h->l4);
	partial = csum_fold(&c);
	memcpy(hdr + h->l4 + TCP_CHECK, &partial, 2);
	return d->deliver(d->opaque, iov, 2, len, &frame.off);
}

int user_to_guest(const struct user_shape *shape, const uint8_t *data, uint32_t len,
		  user_deliver_fn deliver, void *opaque)
{
	struct iovec iov = {(void *)(uintptr_t)data, len};
	struct delivery d = {.deliver = deliver, .opaque = opaque};
	struct net_headers h;
	int rc;

	if (shape->offloads & NET_OFFLOAD_CSUM)
		d.off.flags = NET_DATA_VALID;
	if (len <= ETHER_HLEN + shape->mtu)
		return deliver_finished(&d, &iov, 1, len);
	net_headers_parse(data, len, &h);
	if (h.proto == IP_PROTO_TCP && h.payload && !h.fragment)
		return deliver_tcp(shape, data, len, &h, &d);
	d.off.flags = 0; /* a fragment's checksum cannot be vouched for by itself */
	rc = net_fragment(data, len, shape->mtu, deliver_finished, &d);
	return rc < 0 ? rc : 0;
}
