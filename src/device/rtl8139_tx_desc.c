/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The C+ transmitter: two rings of descriptors, high priority first (9.2).
 *
 * A burst is: copy the descriptors that are ours from the ring's index on, once; cut them into
 * packets; make each a net_frame whose iovec points into guest memory, with the headers that have to
 * change in a private copy in front; hand all of them to the back-end; then give the descriptors
 * back and report, once for the burst. All decisions are made on the copies.
 *
 * A packet is consumed whole or not at all: the index stays in front of one whose last descriptor is
 * not ours yet, and in front of frames that a full back-end did not take. What a driver can do wrong
 * ends the packet, counted with its cause, and its descriptors are given back as if it had been sent.
 *
 * Reporting. On a wire a frame takes its time; here it is gone at once, and TOK for each would be an
 * interrupt that a driver only needs to have its buffers back. So TOK comes with the next received
 * frame's ROK, when a quarter of the largest ring waits for it, or after the time in which nic_post
 * looks at a doorbell: one interrupt instead of two for a request and its answer. In bulk
 * nic_chip_pace holds all interrupts back, and a second delay would only set TOK apart from ROK.
 */
#include "device/rtl8139.h"
#include "net/checksum.h"

#define REPORT_DESCS (RTL_RING_MAX / 4)

/* A packet as its descriptors say. */
struct packet {
	unsigned first, end; /* in the burst */
	uint32_t opts1, opts2;
};

void rtl8139_ring_reset(struct rtl_ring *ring, unsigned base)
{
	ring->base = base;
	ring->at = 0;
	ring->poll = false;
	ring->discard = false;
}

/* Copies the descriptors that are ours. */
static void fetch(struct rtl8139 *r, const struct rtl_ring *ring)
{
	uint64_t base = rtl_get64(r, ring->base) & ~255ULL;
	unsigned at = ring->at;

	for (r->tx.ndescs = 0; r->tx.ndescs < RTL_TX_DESCS; r->tx.ndescs++) {
		uint64_t where = base + at * sizeof(struct rtl_desc);
		const struct rtl_desc *p =
			nic_dma_read_ptr(&r->chip.dma, where, sizeof(struct rtl_desc));
		struct rtl_desc *d = &r->tx.descs[r->tx.ndescs];
		uint32_t opts1 = p ? le32toh(__atomic_load_n(&p->opts1, __ATOMIC_ACQUIRE)) : 0;

		if (!(opts1 & DESC_OWN))
			return;
		d->opts1 = opts1;
		d->opts2 = le32toh(READ_ONCE(p->opts2));
		d->addr = le64toh(READ_ONCE(p->addr));
		at = (opts1 & DESC_EOR) || at == RTL_RING_MAX - 1 ? 0 : at + 1;
		r->tx.where[r->tx.ndescs] = where;
		r->tx.next[r->tx.ndescs] = at;
		if (at == ring->at) {
			r->tx.ndescs++;
			return; /* once around */
		}
	}
}

/* The next packet from descriptor `at` on. False: its last descriptor is not there. */
static bool cut(const struct rtl8139 *r, unsigned at, struct packet *p)
{
	*p = (struct packet){.first = at};
	for (unsigned i = at; i < r->tx.ndescs; i++) {
		if (i == at) {
			p->opts1 = r->tx.descs[i].opts1;
			p->opts2 = r->tx.descs[i].opts2;
		}
		if (r->tx.descs[i].opts1 & DESC_LS) {
			p->end = i + 1;
			return true;
		}
	}
	return false;
}

/* Describes the packet's data where it lies. */
static enum nic_drop gather(struct rtl8139 *r, const struct packet *p, struct iovec *iov,
			    struct net_frame *out)
{
	for (unsigned i = p->first; i < p->end; i++) {
		uint32_t len = r->tx.descs[i].opts1 & TXD_LEN;

		if (!len)
			continue;
		if (out->len + len > NET_FRAME_MAX - ETHER_VLAN_HLEN)
			return NIC_DROP_OVERSIZE;
		if (!nic_dma_iov(&r->chip.dma, r->tx.descs[i].addr, len, &iov[out->niov]))
			return NIC_DROP_BAD_ADDRESS;
		out->niov++;
		out->len += len;
	}
	if (!(p->opts1 & DESC_FS))
		return NIC_DROP_BAD_RING;
	return out->len < ETHER_HLEN ? NIC_DROP_UNDERSIZE : NIC_DROP_COUNT;
}

/* Large send (9.2.1): TCP over IPv4, cut into segments of MSS bytes. */
static bool large_send(struct net_frame *out, uint8_t *head, const struct net_headers *h,
		       uint32_t opts1, unsigned *segments)
{
	uint16_t mss = opts1 >> TXD_MSS_SHIFT & TXD_MSS;
	uint32_t payload;

	if (!mss || !h->payload || h->proto != IP_PROTO_TCP || h->ip_version != 4 || h->fragment ||
	    out->len - h->l3 > UINT16_MAX)
		return false;
	nic_head_tso(head, h, out->len);
	out->off = (struct net_offload){
		.flags = NET_NEEDS_CSUM,
		.csum_start = h->l4,
		.csum_offset = TCP_CHECK,
	};
	payload = out->len - h->payload;
	if (payload <= mss)
		return true;
	out->off.gso_type = NET_GSO_TCPV4;
	out->off.gso_size = mss;
	out->off.hdr_len = h->payload;
	*segments = (payload + mss - 1) / mss;
	return true;
}

/* Checksums (9.2.2). Where the headers are not what was said the frame goes as it is. */
static void checksums(struct net_frame *out, uint8_t *head, const struct net_headers *h,
		      uint32_t opts1)
{
	uint16_t check;
	uint8_t proto = opts1 & TXD_TCPCS ? IP_PROTO_TCP : IP_PROTO_UDP;

	if (h->ip_version != 4 || !h->l3)
		return;
	if (opts1 & TXD_IPCS) {
		check = csum_ipv4_header(head + h->l3, (unsigned)h->l3_payload - h->l3);
		memcpy(head + h->l3 + IPV4_CHECK, &check, sizeof(check));
	}
	if ((opts1 & (TXD_TCPCS | TXD_UDPCS)) && h->payload && h->proto == proto && !h->fragment &&
	    h->l3 + h->l3_len <= out->len && h->l3 + h->l3_len >= h->payload)
		nic_head_csum(out, head, h);
}

static bool offload(struct net_frame *out, struct iovec *iov, struct rtl_tx_frame *f,
		    const struct packet *p)
{
	unsigned n = MIN(out->len, NIC_HEAD_MAX - ETHER_VLAN_HLEN);
	struct net_headers h;

	if (p->opts1 & (TXD_LGSEN | TXD_IPCS | TXD_TCPCS | TXD_UDPCS)) {
		/* The copy is what is looked at and sent. */
		if (!nic_head_take(out, iov, f->head, n) || net_headers_parse(f->head, n, &h) < 0)
			return false;
		if (p->opts1 & TXD_LGSEN) {
			if (!large_send(out, f->head, &h, p->opts1, &f->segments))
				return false;
		} else {
			checksums(out, f->head, &h, p->opts1);
		}
	}
	/* The tag is in the wire's order (9.2). */
	return !(p->opts2 & TXD_TAGC) ||
	       nic_head_tag(out, iov, f->head, ETHER_VLAN,
			    (uint16_t)(p->opts2 >> 8 & 0xff) | (uint16_t)(p->opts2 << 8));
}

/* Makes the packet the burst's next frame, or says why not. */
static enum nic_drop build(struct rtl8139 *r, const struct packet *p)
{
	static uint8_t zeros[ETHER_MIN_LEN];
	struct rtl_tx_frame *f = &r->tx.frames[r->tx.nframes];
	struct net_frame *out = &r->tx.out[r->tx.nframes];
	struct iovec *iov = r->tx.iov + r->tx.niov;
	enum nic_drop drop;

	*out = (struct net_frame){.iov = iov};
	f->segments = 1;
	f->end = p->end;
	drop = gather(r, p, iov, out);
	if (drop != NIC_DROP_COUNT)
		return drop;
	if (!offload(out, iov, f, p))
		return NIC_DROP_BAD_OFFLOAD;
	if (out->len < ETHER_MIN_LEN) {
		iov[out->niov++] = (struct iovec){zeros, ETHER_MIN_LEN - out->len};
		out->len = ETHER_MIN_LEN;
	}
	return NIC_DROP_COUNT;
}

/* Whether a packet that is not complete can ever be: not if it takes the whole ring. */
static bool hopeless(const struct rtl8139 *r, const struct rtl_ring *ring, unsigned at)
{
	return !at && r->tx.ndescs && r->tx.next[r->tx.ndescs - 1] == ring->at;
}

/* Cuts the burst into frames. Returns how many descriptors are dealt with if all are sent. */
static unsigned collect(struct rtl8139 *r, struct rtl_ring *ring, unsigned budget)
{
	struct nic_flow *flow = &r->chip.tx_flow;
	unsigned at = 0;

	r->tx.nframes = r->tx.niov = 0;
	while (at < r->tx.ndescs && r->tx.nframes < MIN(budget, RTL_TX_BURST)) {
		enum nic_drop drop;
		struct packet p;

		if (!cut(r, at, &p)) {
			if (!hopeless(r, ring, at))
				break;
			flow->in += !ring->discard;
			flow->drops[NIC_DROP_BAD_RING] += !ring->discard;
			ring->discard = true;
			return r->tx.ndescs;
		}
		if (ring->discard) {
			ring->discard = false;
			at = p.end;
			continue;
		}
		drop = build(r, &p);
		if (drop != NIC_DROP_COUNT && r->tx.nframes)
			break; /* next time, when those before it are gone for good */
		at = p.end;
		flow->in++;
		flow->bytes_in += r->tx.out[r->tx.nframes].len;
		if (drop != NIC_DROP_COUNT) {
			flow->drops[drop]++;
			r->tally.tx_err++;
			continue;
		}
		r->tx.niov += r->tx.out[r->tx.nframes].niov;
		r->tx.nframes++;
	}
	return at;
}

/* Gives descriptors back (9.2.3): nothing went wrong. */
static void complete(struct rtl8139 *r, struct rtl_ring *ring, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		uint32_t opts1 = r->tx.descs[i].opts1 & (DESC_EOR | DESC_FS | DESC_LS);
		struct rtl_desc *d = nic_dma_write_ptr(&r->chip.dma, r->tx.where[i], sizeof(*d));

		if (!d)
			continue;
		__atomic_store_n(&d->opts1, htole32(opts1), __ATOMIC_RELEASE);
		nic_dma_wrote(&r->chip.dma, r->tx.where[i], sizeof(d->opts1));
	}
	if (n)
		ring->at = r->tx.next[n - 1];
}

/* One burst. Returns how many descriptors came back. */
static unsigned burst(struct rtl8139 *r, struct rtl_ring *ring, unsigned budget, uint64_t now)
{
	struct nic_flow *flow = &r->chip.tx_flow;
	unsigned done, sent;

	fetch(r, ring);
	done = collect(r, ring, budget);
	sent = rtl8139_send(r, now);
	for (unsigned i = 0; i < sent; i++)
		r->tally.tx_ok += r->tx.frames[i].segments;
	if (sent < r->tx.nframes) {
		/* Full: what was not taken is built again from its descriptors. */
		flow->in -= r->tx.nframes - sent;
		for (unsigned i = sent; i < r->tx.nframes; i++)
			flow->bytes_in -= r->tx.out[i].len;
		done = sent ? r->tx.frames[sent - 1].end : 0;
	}
	complete(r, ring, done);
	return done;
}

/* Whether the driver has given us the next descriptor. */
static bool ready(struct rtl8139 *r, const struct rtl_ring *ring)
{
	uint64_t where = (rtl_get64(r, ring->base) & ~255ULL) + ring->at * sizeof(struct rtl_desc);
	const uint32_t *opts1 = nic_dma_read_ptr(&r->chip.dma, where, sizeof(struct rtl_desc));

	return opts1 && (le32toh(__atomic_load_n(opts1, __ATOMIC_ACQUIRE)) & DESC_OWN);
}

uint32_t rtl8139_tx_desc_report(struct rtl8139 *r)
{
	uint32_t causes = r->tx.held;

	r->tx.held = r->tx.held_descs = 0;
	r->tx.report_at = NIC_WORKER_NEVER;
	return causes;
}

/* n descriptors came back. */
static void report(struct rtl8139 *r, uint32_t causes, unsigned n, uint64_t now)
{
	if (!n)
		return;
	if (!r->tx.held)
		r->tx.report_at = now + r->chip.post.interval;
	r->tx.held |= causes;
	r->tx.held_descs += n;
	if (r->tx.held_descs >= REPORT_DESCS || r->chip.bulk)
		nic_irq_raise(&r->chip.irq, rtl8139_tx_desc_report(r), now);
}

/* Sends from one ring. Returns the budget that is left. */
static unsigned run_ring(struct rtl8139 *r, struct rtl_ring *ring, unsigned budget, uint64_t now)
{
	bool follow = nic_post_is(&r->chip.post, RTL_POST_TPPOLL) && ring == &r->tx.normal;
	uint32_t causes = ISR_TOK;
	unsigned done = 0;

	if (!ring->poll && !(follow && ready(r, ring)))
		return budget;
	ring->poll = false;
	while (budget && now >= r->chip.tx_retry) {
		unsigned n = burst(r, ring, budget, now);

		done += n;
		if (!n) {
			causes |= ISR_TDU;
			break;
		}
		budget -= MIN(MAX(r->tx.nframes, 1U), budget);
	}
	/* Not because it is dry: somebody has to come back. */
	if (!budget || r->chip.tx_retry)
		ring->poll = true;
	report(r, causes, done, now);
	return budget;
}

bool rtl8139_tx_desc_run(struct rtl8139 *r, unsigned budget, uint64_t now)
{
	budget = run_ring(r, &r->tx.high, budget, now);
	budget = run_ring(r, &r->tx.normal, budget, now);
	return !budget && now >= r->chip.tx_retry;
}
