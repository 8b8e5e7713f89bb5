/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Theory of operation.
 *
 * A burst is: copy up to E1000_TX_DESCS descriptors from the head on, once; cut them into packets;
 * make each packet a net_frame whose iovec points into guest memory, with the headers that have to
 * change in a private copy in front; hand all of them to the back-end; then write DD back, move
 * the head and set the causes, once for the burst. All decisions are made on the copies.
 *
 * A packet is consumed whole or not at all: the head stays in front of a chain whose EOP is not
 * there yet, and in front of frames that a full back-end did not take. What a driver can do wrong
 * ends the packet, counted with its cause, and the descriptors are given back as if it had been
 * sent. A chain longer than E1000_TX_DESCS is given back as it comes, until its EOP.
 *
 * Segmentation (3.5). The context says where the headers are. If the frame's own headers agree (TCP
 * or UDP over IPv4 or IPv6, at those offsets) it is handed on as one frame with a net_offload;
 * no driver was found that segments anything else. The lengths and checksums that the chip would
 * set in each segment's headers are set here for the whole.
 */
#include "device/e1000.h"
#include "net/checksum.h"
#include "net/gso.h"

/*
 * Moderation. A driver that delays its TXDW (IDE) only wants its buffers back in time. It gets it
 * after this time at the latest, with a received frame's interrupt if one comes before, or when a
 * quarter of the ring waits: one interrupt instead of two for a request and its answer.
 */
#define MODERATE_UNITS 200 /* of 1.024 us */
#define MODERATE_PART  4

/* A packet as its descriptors say. */
struct packet {
	unsigned first, ndesc; /* in the burst */
	unsigned iov, niov;    /* its data */
	uint32_t len;
	bool extended;
	struct e1000_desc head, eop; /* its first data descriptor and its last one */
};

static unsigned ring_size(const struct e1000 *e)
{
	return E1000_REG(e, REG_TDLEN) / sizeof(struct e1000_desc);
}

static uint64_t ring_base(const struct e1000 *e)
{
	return (uint64_t)E1000_REG(e, REG_TDBAH) << 32 | E1000_REG(e, REG_TDBAL);
}

/* Descriptors between head and tail. */
static unsigned available(const struct e1000 *e)
{
	uint32_t size = ring_size(e), tail = e->tdt, head = e->tdh;

	if (tail >= size || head >= size)
		return 0;
	return tail >= head ? tail - head : tail + size - head;
}

/* Copies descriptors from the head on. Returns how many. */
static unsigned fetch(struct e1000 *e, unsigned n)
{
	unsigned size = ring_size(e), first = MIN(n, size - e->tdh);
	const uint64_t len = sizeof(struct e1000_desc);

	if (!nic_dma_read(&e->chip.dma, ring_base(e) + e->tdh * len, e->tx.descs, first * len))
		return 0;
	if (n > first &&
	    !nic_dma_read(&e->chip.dma, ring_base(e), e->tx.descs + first, (n - first) * len))
		return first;
	return n;
}

static void set_context(struct e1000 *e, const struct e1000_desc *d)
{
	struct e1000_context *ctx = d->lower & TXD_TSE ? &e->tx.tso : &e->tx.ctx;

	*ctx = (struct e1000_context){
		.ipcss = (uint8_t)d->addr,
		.ipcso = (uint8_t)(d->addr >> 8),
		.ipcse = (uint16_t)(d->addr >> 16),
		.tucss = (uint8_t)(d->addr >> 32),
		.tucso = (uint8_t)(d->addr >> 40),
		.tucse = (uint16_t)(d->addr >> 48),
		.paylen = d->lower & 0xfffff,
		.tcp = d->lower & TXD_TUCMD_TCP,
		.ipv4 = d->lower & TXD_TUCMD_IP,
		.hdrlen = (uint8_t)(d->upper >> 8),
		.mss = (uint16_t)(d->upper >> 16),
	};
}

static bool is_context(const struct e1000_desc *d)
{
	return (d->lower & TXD_DEXT) && (d->lower >> TXD_DTYP_SHIFT & 15) == TXD_DTYP_CONTEXT;
}

static uint32_t data_len(const struct e1000_desc *d)
{
	return d->lower & (d->lower & TXD_DEXT ? 0xfffff : 0xffff);
}

/* Takes the context descriptors and the data descriptors of the next packet. 0: EOP not there. */
static unsigned cut(struct e1000 *e, unsigned at, struct packet *p)
{
	unsigned i;

	*p = (struct packet){.first = at, .iov = e->tx.niov};
	for (i = at; i < e->tx.ndescs; i++) {
		const struct e1000_desc *d = &e->tx.descs[i];

		if (is_context(d))
			continue;
		if (!p->niov++)
			p->head = *d;
		if (d->lower & TXD_EOP) {
			p->eop = *d;
			p->extended = p->head.lower & TXD_DEXT;
			return p->ndesc = i + 1 - at;
		}
	}
	return 0;
}

/* Describes the packet's data where it lies. */
static enum nic_drop gather(struct e1000 *e, struct packet *p)
{
	struct iovec *iov = e->tx.iov + p->iov;

	p->niov = 0;
	for (unsigned i = p->first; i < p->first + p->ndesc; i++) {
		const struct e1000_desc *d = &e->tx.descs[i];
		uint32_t len = data_len(d);

		if (is_context(d)) {
			set_context(e, d);
			continue;
		}
		if (!len)
			continue;
		if (p->len + len > NET_FRAME_MAX - ETHER_VLAN_HLEN || p->niov == E1000_TX_PARTS)
			return NIC_DROP_OVERSIZE;
		if (!nic_dma_iov(&e->chip.dma, d->addr, len, &iov[p->niov]))
			return NIC_DROP_BAD_ADDRESS;
		p->niov++;
		p->len += len;
	}
	return p->len < ETHER_HLEN ? NIC_DROP_UNDERSIZE : NIC_DROP_COUNT;
}

/* Puts the sum of [css, end) at cso in the private headers. */
static void fill_checksum(uint8_t *head, const struct net_frame *out, unsigned css, unsigned cso,
			  unsigned end)
{
	struct csum c = {0};
	uint16_t value;

	if (cso + 2U > out->len || css > MIN(end, out->len))
		return;
	csum_add_iov(&c, out->iov, out->niov, css, MIN(end, out->len) - css);
	value = csum_finish_l4(&c);
	memcpy(head + cso, &value, sizeof(value));
}

/* Checksum insertion without segmentation: 3.3.3 (IC), 3.3.7 (IXSM, TXSM). */
static bool offload_checksums(struct e1000 *e, const struct packet *p, struct net_frame *out,
			      uint8_t *head)
{
	const struct e1000_context *ctx = &e->tx.ctx;
	unsigned popts = p->extended ? p->head.upper >> 8 & 0xff : 0;
	unsigned css = ctx->tucss, cso = ctx->tucso, cse = ctx->tucse;
	bool txsm = popts & TXD_POPTS_TXSM, ixsm = popts & TXD_POPTS_IXSM;
	unsigned need = 0;

	if (!p->extended && (p->eop.lower & TXD_IC)) {
		txsm = true;
		css = p->eop.upper >> 8 & 0xff;
		cso = p->eop.lower >> 16 & 0xff;
		cse = 0;
	}
	/* A checksum to the end that lies behind its start is what net_offload can say. */
	if (txsm && (!cse || cse + 1U == out->len) && cso >= css && css >= ETHER_HLEN &&
	    cso + 2U <= out->len) {
		out->off = (struct net_offload){.flags = NET_NEEDS_CSUM,
						.csum_start = (uint16_t)css,
						.csum_offset = (uint16_t)(cso - css)};
		txsm = false;
	}
	if (txsm)
		need = MAX(cso + 2U, ETHER_HLEN);
	if (ixsm)
		need = MAX(need, MAX(ctx->ipcso + 2U, ETHER_HLEN));
	if (!need)
		return true;
	if (!nic_head_take(out, e->tx.iov + p->iov, head, MIN(need, out->len)))
		return false;
	if (ixsm)
		fill_checksum(head, out, ctx->ipcss, ctx->ipcso,
			      ctx->ipcse ? ctx->ipcse + 1U : out->len);
	if (txsm)
		fill_checksum(head, out, css, cso, cse ? cse + 1U : out->len);
	return true;
}

/* Whether the context's offsets are where the headers are. */
static bool tso_headers(const struct e1000_context *ctx, const uint8_t *hdr, struct net_headers *h)
{
	return net_headers_parse(hdr, ctx->hdrlen, h) == 0 && h->payload == ctx->hdrlen &&
	       h->l3 == ctx->ipcss && h->l4 == ctx->tucss && !h->fragment &&
	       h->ip_version == (ctx->ipv4 ? 4 : 6) &&
	       h->proto == (ctx->tcp ? IP_PROTO_TCP : IP_PROTO_UDP);
}

static uint8_t gso_type(const struct e1000 *e, const uint8_t *hdr, const struct net_headers *h)
{
	uint8_t type = h->ip_version == 4 ? NET_GSO_TCPV4 : NET_GSO_TCPV6;

	if (h->proto == IP_PROTO_UDP)
		return NET_GSO_UDP_L4;
	if ((hdr[h->l4 + TCP_FLAGS] & TCP_CWR) && e->chip.hn &&
	    (e->chip.hn->offloads_tx & NET_OFFLOAD_ECN))
		type |= NET_GSO_ECN;
	return type;
}

static bool offload_segments(struct e1000 *e, const struct packet *p, struct net_frame *out,
			     struct e1000_tx_frame *f)
{
	const struct e1000_context *ctx = &e->tx.tso;
	struct net_headers h;
	uint32_t payload;

	if (!ctx->mss || !nic_head_take(out, e->tx.iov + p->iov, f->head, ctx->hdrlen) ||
	    !tso_headers(ctx, f->head, &h) || out->len - h.l3 > UINT16_MAX) {
		e1000_stats_add(e, STAT_TSCTFC, 1);
		return false;
	}
	nic_head_tso(f->head, &h, out->len);
	payload = out->len - ctx->hdrlen;
	out->off = (struct net_offload){
		.flags = NET_NEEDS_CSUM,
		.csum_start = h.l4,
		.csum_offset = ctx->tcp ? TCP_CHECK : UDP_CHECK,
	};
	f->tso = true;
	if (payload <= ctx->mss)
		return true;
	out->off.gso_type = gso_type(e, f->head, &h);
	out->off.gso_size = ctx->mss;
	out->off.hdr_len = ctx->hdrlen;
	f->segments = (payload + ctx->mss - 1) / ctx->mss;
	return true;
}

/* Short frames are padded to 60 bytes (13.4, TCTL.PSP). */
static void pad(struct e1000 *e, const struct packet *p, struct net_frame *out)
{
	static uint8_t zeros[ETHER_MIN_LEN];

	if (!(E1000_REG(e, REG_TCTL) & TCTL_PSP) || out->len >= ETHER_MIN_LEN)
		return;
	e->tx.iov[p->iov + out->niov++] = (struct iovec){zeros, ETHER_MIN_LEN - out->len};
	out->len = ETHER_MIN_LEN;
}

/* Makes the packet the burst's next frame, or says why not. */
static enum nic_drop build(struct e1000 *e, struct packet *p)
{
	struct e1000_tx_frame *f = &e->tx.frames[e->tx.nframes];
	struct net_frame *out = &e->tx.out[e->tx.nframes];
	enum nic_drop drop = gather(e, p);
	bool ok;

	if (drop != NIC_DROP_COUNT)
		return drop;
	f->segments = 1;
	f->tso = false;
	f->bytes = p->len;
	*out = (struct net_frame){.iov = e->tx.iov + p->iov, .niov = p->niov, .len = p->len};
	if (p->extended && (p->head.lower & TXD_TSE))
		ok = offload_segments(e, p, out, f);
	else
		ok = offload_checksums(e, p, out, f->head);
	/* VLAN tag insertion (chapter 9). */
	if (ok && (p->eop.lower & TXD_VLE) && (E1000_REG(e, REG_CTRL) & CTRL_VME))
		ok = nic_head_tag(out, e->tx.iov + p->iov, f->head, (uint16_t)E1000_REG(e, REG_VET),
				  (uint16_t)(p->eop.upper >> 16));
	if (!ok)
		return NIC_DROP_BAD_OFFLOAD;
	pad(e, p, out);
	return NIC_DROP_COUNT;
}

static bool has_room(const struct e1000 *e)
{
	/* Headers and padding take a part each. */
	return e->tx.nframes < E1000_TX_BURST && e->tx.niov + E1000_TX_PARTS + 2 <= E1000_TX_IOVS;
}

/* Cuts the burst's descriptors into frames. Returns how many descriptors are dealt with. */
static unsigned collect(struct e1000 *e, unsigned budget)
{
	struct nic_flow *flow = &e->chip.tx_flow;
	unsigned at = 0;

	e->tx.nframes = e->tx.niov = 0;
	while (has_room(e) && e->tx.nframes < budget && at < e->tx.ndescs) {
		struct e1000_tx_frame *f;
		struct packet p;
		enum nic_drop drop;

		if (!cut(e, at, &p)) {
			/* Not complete: wait, unless it can never be. */
			if (at || e->tx.ndescs < MIN(E1000_TX_DESCS, ring_size(e) - 1))
				break;
			if (!e->tx.discard) {
				flow->in++;
				flow->drops[NIC_DROP_BAD_RING]++;
			}
			e->tx.discard = true;
			return e->tx.ndescs;
		}
		at += p.ndesc;
		if (e->tx.discard) {
			e->tx.discard = false;
			continue;
		}
		f = &e->tx.frames[e->tx.nframes];
		f->first = p.first;
		f->ctx = e->tx.ctx;
		f->tso_ctx = e->tx.tso;
		drop = build(e, &p);
		if (drop != NIC_DROP_COUNT && e->tx.nframes)
			return p.first; /* next time, when those before it are gone for good */
		flow->in++;
		flow->bytes_in += p.len;
		if (drop != NIC_DROP_COUNT) {
			flow->drops[drop]++;
			continue;
		}
		e->tx.nframes++;
		e->tx.niov = p.iov + e->tx.out[e->tx.nframes - 1].niov;
	}
	return at;
}

static void count_sent(struct e1000 *e, unsigned i)
{
	const struct net_frame *out = &e->tx.out[i];
	const struct e1000_tx_frame *f = &e->tx.frames[i];
	uint32_t full = out->off.hdr_len + out->off.gso_size;
	uint8_t dst[6];

	iov_read(out->iov, out->niov, 0, dst, sizeof(dst));
	e1000_stats_tx(e, dst, full, f->segments - 1);
	e1000_stats_tx(e, dst, out->len - out->off.gso_size * (f->segments - 1), 1);
	if (f->tso)
		e1000_stats_add(e, STAT_TSCTC, 1);
}

/* Where the frames go: to the back-end, nowhere without a link, or back. */
static unsigned send(struct e1000 *e, uint64_t now)
{
	unsigned sent = e->tx.nframes;

	if (!sent)
		return 0;
	if (e1000_loopback(e)) {
		for (unsigned i = 0; i < sent; i++)
			e1000_rx_loopback(e, &e->tx.out[i]);
		e->chip.tx_flow.out += sent;
	} else if (!mii_link(&e->phy)) {
		e->chip.tx_flow.drops[NIC_DROP_LINK_DOWN] += sent;
	} else {
		sent = nic_tx_send(e->chip.hn, &e->chip.tx_flow, e->tx.out, sent);
		e->chip.tx_retry = sent < e->tx.nframes ? now + NIC_CHIP_RETRY_NS : 0;
	}
	for (unsigned i = 0; i < sent; i++)
		count_sent(e, i);
	return sent;
}

/* Sets or delays TXDW: n descriptors were given back, some with RS (and IDE). */
static uint32_t report(struct e1000 *e, unsigned n, bool at_once, bool delayed, uint64_t now)
{
	uint32_t tidv = E1000_REG(e, REG_TIDV), tadv = E1000_REG(e, REG_TADV);

	e->tx.unreported += n;
	if (delayed && tidv && e->moderate) {
		at_once |= e->tx.unreported >= ring_size(e) / MODERATE_PART;
		tidv = MAX(tidv, MODERATE_UNITS);
		tadv = MAX(tadv, MODERATE_UNITS);
	}
	if (at_once || (delayed && !tidv)) {
		e1000_tx_reported(e);
		return ICR_TXDW;
	}
	if (delayed)
		e1000_delay_start(&e->tx.delay, tidv, tadv, now);
	return 0;
}

void e1000_tx_reported(struct e1000 *e)
{
	e1000_delay_stop(&e->tx.delay);
	e->tx.unreported = 0;
}

/* Gives the descriptors back: DD where it was asked for (RS, RPS), the head, the causes. */
static void complete(struct e1000 *e, unsigned n, uint64_t now)
{
	unsigned size = ring_size(e), left = available(e);
	uint32_t causes, low = E1000_REG(e, REG_TXDCTL) >> TXDCTL_LWTHRESH_SHIFT << 3;
	bool at_once = false, delayed = false;

	for (unsigned i = 0; i < n; i++) {
		const struct e1000_desc *d = &e->tx.descs[i];
		uint64_t at = ring_base(e) + (uint64_t)((e->tdh + i) % size) * sizeof(*d);
		uint8_t status = (uint8_t)(d->upper & 0xf0) | TXD_STAT_DD;

		if (!(d->lower & (TXD_RS | TXD_RPS)))
			continue;
		nic_dma_write(&e->chip.dma, at + offsetof(struct e1000_desc, upper), &status, 1);
		at_once |= (d->lower & TXD_RS) && !(d->lower & TXD_IDE);
		delayed |= (d->lower & TXD_RS) && (d->lower & TXD_IDE);
	}
	e->tdh = (e->tdh + n) % size;
	causes = report(e, n, at_once, delayed, now);
	if (n && low && left > low && left - n <= low)
		causes |= ICR_TXD_LOW;
	if (n && left == n)
		causes |= ICR_TXQE;
	nic_irq_raise(&e->chip.irq, causes, now);
}

bool e1000_tx_run(struct e1000 *e, unsigned budget, uint64_t now)
{
	if (now >= e->chip.tx_retry)
		e->chip.tx_retry = 0;
	while (budget) {
		unsigned want, done, sent;

		if (!(E1000_REG(e, REG_TCTL) & TCTL_EN) || !nic_dma_allowed(&e->chip.dma) ||
		    e->chip.tx_retry)
			return false;
		want = MIN(available(e), E1000_TX_DESCS);
		if (!want)
			return false;
		e->tx.ndescs = fetch(e, want);
		if (!e->tx.ndescs) {
			/* The ring is not in memory: nothing can be sent, given back or reported. */
			e->tdh = e->tdt;
			return false;
		}
		done = collect(e, budget);
		sent = send(e, now);
		if (sent < e->tx.nframes) {
			/* Full: what was not taken is built again from its descriptors. */
			e->chip.tx_flow.in -= e->tx.nframes - sent;
			for (unsigned i = sent; i < e->tx.nframes; i++)
				e->chip.tx_flow.bytes_in -= e->tx.frames[i].bytes;
			done = e->tx.frames[sent].first;
			e->tx.ctx = e->tx.frames[sent].ctx;
			e->tx.tso = e->tx.frames[sent].tso_ctx;
		}
		complete(e, done, now);
		if (!done)
			return false;
		budget -= MIN(MAX(e->tx.nframes, 1U), budget);
	}
	return available(e) && !e->chip.tx_retry;
}

uint64_t e1000_tx_due(const struct e1000 *e)
{
	uint64_t at = MIN(e->tx.delay.packet, e->tx.delay.absolute);

	return e->chip.tx_retry ? MIN(at, e->chip.tx_retry) : at;
}

void e1000_tx_reset(struct e1000 *e)
{
	memset(&e->tx.ctx, 0, sizeof(e->tx.ctx));
	memset(&e->tx.tso, 0, sizeof(e->tx.tso));
	e->tx.discard = false;
	e->chip.tx_retry = 0;
	e1000_tx_reported(e);
}
