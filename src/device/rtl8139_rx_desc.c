/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The C+ receiver: a ring of descriptors, each a buffer (9.3).
 *
 * The descriptors are read once and their addresses translated before anything is written. The data
 * goes first, then each descriptor's second word, then the first words, last one first, each in one
 * store: a driver that sees the frame's first descriptor sees all of it.
 */
#include "device/rtl8139.h"
#include "net/checksum.h"

#include <errno.h>

/* A frame's descriptors. */
struct slots {
	unsigned n;
	uint32_t room;
	unsigned next; /* the ring's index behind them */
	uint64_t where[RTL_RING_MAX];
	uint32_t opts1[RTL_RING_MAX];
	uint64_t addr[RTL_RING_MAX];
	uint8_t *buf[RTL_RING_MAX];
};

static uint64_t where(const struct rtl8139 *r, unsigned at)
{
	return (rtl_get64(r, RTL_RDSAR) & ~255ULL) + at * sizeof(struct rtl_desc);
}

static unsigned next(unsigned at, uint32_t opts1)
{
	return (opts1 & DESC_EOR) || at == RTL_RING_MAX - 1 ? 0 : at + 1;
}

/* The first word of a descriptor that is ours, else 0. */
static uint32_t peek(struct rtl8139 *r, uint64_t at, const struct rtl_desc **out)
{
	const struct rtl_desc *d = nic_dma_read_ptr(&r->chip.dma, at, sizeof(*d));
	uint32_t opts1 = d ? le32toh(__atomic_load_n(&d->opts1, __ATOMIC_ACQUIRE)) : 0;

	*out = d;
	return opts1 & DESC_OWN ? opts1 : 0;
}

bool rtl8139_rx_desc_room(struct rtl8139 *r)
{
	unsigned at = r->rx.at;

	for (unsigned i = 0; i < r->rx.needed; i++) {
		const struct rtl_desc *d;
		uint32_t opts1 = peek(r, where(r, at), &d);

		if (!opts1)
			return false;
		at = next(at, opts1);
	}
	return true;
}

/* Takes as many descriptors as len bytes need. 0, -EAGAIN, or -EMSGSIZE: there never are enough. */
static int take(struct rtl8139 *r, uint32_t len, struct slots *s)
{
	s->n = 0;
	s->room = 0;
	s->next = r->rx.at;
	while (s->room < len) {
		const struct rtl_desc *d;
		uint32_t opts1;

		if (s->n && s->next == r->rx.at)
			return -EMSGSIZE; /* once around */
		s->where[s->n] = where(r, s->next);
		opts1 = peek(r, s->where[s->n], &d);
		if (!opts1)
			return -EAGAIN;
		s->opts1[s->n] = opts1;
		s->addr[s->n] = le64toh(READ_ONCE(d->addr));
		s->room += opts1 & RXD_SIZE;
		s->next = next(s->next, opts1);
		s->n++;
	}
	return 0;
}

static void give_back(struct rtl8139 *r, const struct slots *s, uint32_t status, uint32_t opts2)
{
	for (unsigned i = s->n; i-- > 0;) {
		struct rtl_desc *d = nic_dma_write_ptr(&r->chip.dma, s->where[i], sizeof(*d));
		uint32_t opts1 = (s->opts1[i] & DESC_EOR) | (i == 0 ? DESC_FS : 0);

		if (!d)
			continue;
		if (i == s->n - 1) {
			opts1 |= DESC_LS | status;
			WRITE_ONCE(d->opts2, htole32(opts2));
		}
		__atomic_store_n(&d->opts1, htole32(opts1), __ATOMIC_RELEASE);
		nic_dma_wrote(&r->chip.dma, s->where[i], 8);
	}
	r->rx.at = s->next;
	r->rx.needed = 1;
}

/* The driver's buffers are no good: they come back with an error. */
static int refuse(struct rtl8139 *r, const struct slots *s, enum nic_drop cause)
{
	give_back(r, s, RXD_RES | RXD_RWT, 0);
	r->chip.rx_flow.drops[cause]++;
	r->tally.rx_err++;
	r->rx.causes |= ISR_RER;
	return 0;
}

/* What the receiver found out about IP, TCP and UDP (9.3.2). */
static uint32_t check(const struct rtl8139 *r, const struct iovec *iov, unsigned niov,
		      unsigned flags)
{
	uint8_t hdr[NET_HEADERS_MAX];
	size_t got = iov_read(iov, niov, 0, hdr, sizeof(hdr));
	struct net_headers h;
	uint32_t status = RXD_PID_IP;
	bool bad;

	if (!(rtl_get16(r, RTL_CPCR) & CPCR_RXCSUM) || net_headers_parse(hdr, got, &h) < 0 ||
	    h.ip_version != 4 || !h.l3)
		return 0;
	if (net_csum_verify_ipv4(hdr, &h) == NET_CSUM_BAD)
		status |= RXD_IPF;
	if (h.fragment || !h.payload || (h.proto != IP_PROTO_TCP && h.proto != IP_PROTO_UDP))
		return status;
	bad = !(flags & NIC_RX_CSUM_GOOD) && net_csum_verify(iov, niov, &h) == NET_CSUM_BAD;
	status &= ~(uint32_t)RXD_PID_IP;
	if (h.proto == IP_PROTO_TCP)
		return status | RXD_PID_TCP | (bad ? RXD_TCPF : 0);
	return status | RXD_PID_UDP | (bad ? RXD_UDPF : 0);
}

/* VLAN tag removal: the tag goes into the descriptor, in the wire's order. */
static uint32_t strip_tag(const struct rtl8139 *r, struct nic_chip_in *in)
{
	uint8_t hdr[ETHER_HLEN + ETHER_VLAN_HLEN];

	if (!(rtl_get16(r, RTL_CPCR) & CPCR_RXVLAN) ||
	    iov_read(in->iov, in->niov, 0, hdr, sizeof(hdr)) != sizeof(hdr) ||
	    load_be16(hdr + 12) != ETHER_VLAN)
		return 0;
	in->untagged = true;
	in->len -= ETHER_VLAN_HLEN;
	return RXD_TAVA | load_le16(hdr + 14);
}

static uint32_t address_bits(uint32_t status)
{
	return (status & RXS_MAR ? RXD_MAR : 0) | (status & RXS_PAM ? RXD_PAM : 0) |
	       (status & RXS_BAR ? RXD_BAR : 0);
}

int rtl8139_rx_desc_deliver(struct rtl8139 *r, const struct iovec *iov, unsigned niov, uint32_t len,
			    unsigned flags, uint32_t status)
{
	struct nic_chip_in in;
	uint32_t opts2, total, done = 0;
	struct slots s;
	int ret;

	nic_chip_in(&r->chip, &in, iov, niov, len);
	opts2 = strip_tag(r, &in);
	total = in.len + NIC_CHIP_FCS;
	ret = take(r, total, &s);
	if (ret == -EMSGSIZE)
		return refuse(r, &s, NIC_DROP_OVERSIZE);
	if (ret) {
		r->rx.needed = s.n + 1;
		return ret;
	}
	for (unsigned i = 0; i < s.n; i++) {
		uint32_t n = MIN(s.opts1[i] & RXD_SIZE, total - done);

		s.buf[i] = nic_dma_write_ptr(&r->chip.dma, s.addr[i], n);
		if (!s.buf[i])
			return refuse(r, &s, NIC_DROP_BAD_ADDRESS);
		done += n;
	}
	done = 0;
	for (unsigned i = 0; i < s.n; i++) {
		uint32_t n = MIN(s.opts1[i] & RXD_SIZE, total - done);

		nic_chip_copy_out(&in, done, s.buf[i], n);
		nic_dma_wrote(&r->chip.dma, s.addr[i], n);
		done += n;
	}
	give_back(r, &s, total | address_bits(status) | check(r, iov, niov, flags), opts2);
	r->chip.rx_flow.out++;
	r->chip.rx_flow.bytes_out += in.len;
	r->rx.causes |= ISR_ROK;
	return 0;
}
