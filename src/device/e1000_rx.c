/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Theory of operation.
 *
 * Frames are taken from the back-end only while there are descriptors (nic_rx.c holds what does not
 * fit any more); without descriptors they wait where they are, `stalled` is set, and the next write
 * of RDT sets the worker going again at once. So a slow guest loses frames only where a real
 * network would drop them: in the queue in front of it.
 *
 * A burst fills as many descriptors as there are frames, then raises its causes once. Each frame is
 * written as: data into the buffers, then every descriptor's status, last one (EOP) last, each by
 * one 8-byte store. The descriptors are read once, addresses are translated before anything is
 * written, and the driver's own writes meanwhile change nothing but its data.
 */
#include "device/e1000.h"
#include "device/nic_filter.h"
#include "net/checksum.h"

#include <errno.h>

/* A jumbo frame in the smallest buffers (256 bytes), and one for the FCS. */
#define FRAME_DESCS 80
#define MAX_LEN	    1522  /* with FCS, when long packets are not enabled */
#define MAX_LONG    16384 /* when they are */
/* Resume a stalled ring when it has this part of its descriptors back, or after a while. */
#define RESUME_PART 4

static unsigned ring_size(const struct e1000 *e)
{
	return E1000_REG(e, REG_RDLEN) / sizeof(struct e1000_desc);
}

unsigned e1000_rx_free(const struct e1000 *e)
{
	uint32_t size = ring_size(e), tail = e->rdt, head = e->rdh;

	if (tail >= size || head >= size)
		return 0;
	return tail >= head ? tail - head : tail + size - head;
}

/* BSIZE and BSEX (13.4, RCTL). */
static uint32_t buffer_size(const struct e1000 *e)
{
	uint32_t rctl = E1000_REG(e, REG_RCTL);
	unsigned shift = rctl >> RCTL_BSIZE_SHIFT & 3;

	if (rctl & RCTL_BSEX)
		return shift ? 32768U >> shift : 2048;
	return 2048U >> shift;
}

bool e1000_loopback(const struct e1000 *e)
{
	return (E1000_REG(e, REG_RCTL) & RCTL_LBM) == RCTL_LBM_MAC || mii_loopback(&e->phy);
}

static bool enabled(const struct e1000 *e)
{
	return (E1000_REG(e, REG_RCTL) & RCTL_EN) && nic_dma_allowed(&e->chip.dma);
}

/* The multicast table is indexed by 12 bits of the address, MO says which (13.5, MTA). */
static bool multicast_listed(const struct e1000 *e, const uint8_t *dst)
{
	static const unsigned shifts[] = {4, 3, 2, 0};
	unsigned mo = E1000_REG(e, REG_RCTL) >> RCTL_MO_SHIFT & 3;

	return nic_bitmap_has(&E1000_REG(e, REG_MTA), load_le16(dst + 4) >> shifts[mo] & 0xfff);
}

static bool address_listed(const struct e1000 *e, const uint8_t *dst)
{
	for (unsigned i = 0; i < 16; i++) {
		uint32_t low = E1000_REG(e, REG_RA + 8 * i),
			 high = E1000_REG(e, REG_RA + 8 * i + 4);

		/* Address select (bits 17:16) other than "destination" is reserved. */
		if ((high & RAH_AV) && !(high & 0x30000) && low == load_le32(dst) &&
		    (high & 0xffff) == load_le16(dst + 4))
			return true;
	}
	return false;
}

static bool tagged(const struct e1000 *e, const uint8_t *frame, uint32_t len)
{
	return len >= ETHER_HLEN + ETHER_VLAN_HLEN &&
	       load_be16(frame + 12) == (uint16_t)E1000_REG(e, REG_VET);
}

/* 3.2.1: VLAN filter, then addresses. */
static bool wanted(const struct e1000 *e, const uint8_t *hdr, uint32_t len)
{
	uint32_t rctl = E1000_REG(e, REG_RCTL);

	if ((rctl & RCTL_VFE) && tagged(e, hdr, len)) {
		uint16_t tci = load_be16(hdr + 14);

		if (!nic_bitmap_has(&E1000_REG(e, REG_VFTA), tci & 0xfff))
			return false;
		if ((rctl & RCTL_CFIEN) && !!(tci & 0x1000) != !!(rctl & RCTL_CFI))
			return false;
	}
	if (ether_is_multicast(hdr)) {
		if ((rctl & RCTL_MPE) || multicast_listed(e, hdr))
			return true;
		if (ether_is_broadcast(hdr) && (rctl & RCTL_BAM))
			return true;
	} else if (rctl & RCTL_UPE) {
		return true;
	}
	return address_listed(e, hdr);
}

static bool accepts(void *opaque, const uint8_t *hdr, uint32_t len)
{
	struct e1000 *e = opaque;

	if (len < ETHER_HLEN) {
		e->chip.rx_flow.drops[NIC_DROP_UNDERSIZE]++;
		e1000_stats_add(e, STAT_RUC, 1);
		return false;
	}
	if (!wanted(e, hdr, len)) {
		e->chip.rx_flow.drops[NIC_DROP_FILTERED]++;
		return false;
	}
	return true;
}

/* A frame on its way into descriptors, and what they will say of it. */
struct incoming {
	struct nic_chip_in frame;
	uint8_t status, errors;
	uint16_t csum, special;
};

/* The packet checksum and what it says about IP, TCP and UDP (3.2.9). */
static void check(struct e1000 *e, struct incoming *in, unsigned flags)
{
	uint32_t rxcsum = E1000_REG(e, REG_RXCSUM);
	uint8_t hdr[NET_HEADERS_MAX];
	size_t got = iov_read(in->frame.iov, in->frame.niov, 0, hdr, sizeof(hdr));
	enum net_csum_state ip = NET_CSUM_NONE, l4 = NET_CSUM_NONE;
	struct net_headers h;

	if (!(rxcsum & (RXCSUM_IPOFL | RXCSUM_TUOFL)) || net_headers_parse(hdr, got, &h) < 0) {
		in->status |= RXD_STAT_IXSM;
		return;
	}
	if ((rxcsum & RXCSUM_IPOFL) && h.ip_version == 4 && h.l3)
		ip = net_csum_verify_ipv4(hdr, &h);
	if ((rxcsum & RXCSUM_TUOFL) && h.payload && !h.fragment)
		l4 = flags & NIC_RX_CSUM_GOOD ? NET_CSUM_GOOD
					      : net_csum_verify(in->frame.iov, in->frame.niov, &h);
	if (rxcsum & RXCSUM_PCSS) {
		struct csum sum = {0};

		csum_add_iov(&sum, in->frame.iov, in->frame.niov, rxcsum & RXCSUM_PCSS, UINT32_MAX);
		in->csum = csum_fold(&sum);
	}
	if (ip == NET_CSUM_NONE && l4 == NET_CSUM_NONE)
		in->status |= RXD_STAT_IXSM;
	if (ip != NET_CSUM_NONE)
		in->status |= RXD_STAT_IPCS;
	if (ip == NET_CSUM_BAD)
		in->errors |= RXD_ERR_IPE;
	if (l4 != NET_CSUM_NONE)
		in->status |= RXD_STAT_TCPCS;
	if (l4 == NET_CSUM_BAD)
		in->errors |= RXD_ERR_TCPE;
}

/* VLAN tag removal (chapter 9): the tag goes into the descriptor. */
static void strip_tag(struct e1000 *e, struct incoming *in)
{
	uint8_t hdr[ETHER_HLEN + ETHER_VLAN_HLEN];

	if (iov_read(in->frame.iov, in->frame.niov, 0, hdr, sizeof(hdr)) != sizeof(hdr) ||
	    !tagged(e, hdr, in->frame.len))
		return;
	in->status |= RXD_STAT_VP;
	if (!(E1000_REG(e, REG_CTRL) & CTRL_VME))
		return;
	in->special = load_be16(hdr + 14);
	in->frame.untagged = true;
	in->frame.len -= ETHER_VLAN_HLEN;
}

static void write_status(struct e1000 *e, uint64_t at, const struct incoming *in, uint32_t len,
			 bool last)
{
	uint64_t *word = nic_dma_write_ptr(&e->chip.dma, at + 8, 8);
	uint64_t status = RXD_STAT_DD;

	if (!word)
		return;
	/* Checksum, errors and special are valid with EOP (3.2.3). */
	if (last)
		status |= RXD_STAT_EOP | in->status | (uint64_t)in->errors << 8 |
			  (uint64_t)in->special << 16;
	__atomic_store_n(word, htole64(len | (uint64_t)in->csum << 16 | status << 32),
			 __ATOMIC_RELEASE);
	nic_dma_wrote(&e->chip.dma, at + 8, 8);
}

/* The driver gave an address that is not memory: its descriptors come back with an error. */
static bool refuse(struct e1000 *e, const uint64_t *at, unsigned n)
{
	struct incoming bad = {.errors = RXD_ERR_RXE};

	for (unsigned i = 0; i < n; i++)
		write_status(e, at[i], &bad, 0, i == n - 1);
	e->rdh = (e->rdh + n) % ring_size(e);
	e->chip.rx_flow.drops[NIC_DROP_BAD_ADDRESS]++;
	e->rx.burst_causes |= ICR_RXT0;
	return false;
}

/* Puts the frame into n descriptors from the head on; or counts it as dropped. */
static bool fill(struct e1000 *e, const struct incoming *in, uint32_t total, uint32_t bsize,
		 unsigned n)
{
	uint64_t base = (uint64_t)E1000_REG(e, REG_RDBAH) << 32 | E1000_REG(e, REG_RDBAL);
	uint64_t at[FRAME_DESCS], addr[FRAME_DESCS];
	uint8_t *buf[FRAME_DESCS];

	for (unsigned i = 0; i < n; i++) {
		uint64_t a;

		at[i] = base + (uint64_t)((e->rdh + i) % ring_size(e)) * sizeof(struct e1000_desc);
		if (!nic_dma_read(&e->chip.dma, at[i], &a, sizeof(a))) {
			e->chip.rx_flow.drops[NIC_DROP_BAD_RING]++;
			return false;
		}
		addr[i] = le64toh(a);
		buf[i] = nic_dma_write_ptr(&e->chip.dma, addr[i], MIN(bsize, total - i * bsize));
		if (!buf[i])
			return refuse(e, at, i + 1);
	}
	for (unsigned i = 0; i < n; i++) {
		uint32_t len = MIN(bsize, total - i * bsize);

		nic_chip_copy_out(&in->frame, i * bsize, buf[i], len);
		nic_dma_wrote(&e->chip.dma, addr[i], len);
	}
	for (unsigned i = 0; i < n; i++)
		write_status(e, at[i], in, MIN(bsize, total - i * bsize), i == n - 1);
	e->rdh = (e->rdh + n) % ring_size(e);
	e->rx.burst_causes |= ICR_RXT0;
	e->chip.rx_flow.out++;
	e->chip.rx_flow.bytes_out += in->frame.len;
	return true;
}

static bool too_long(const struct e1000 *e, uint32_t len)
{
	uint32_t rctl = E1000_REG(e, REG_RCTL);

	return len + NIC_CHIP_FCS > (rctl & (RCTL_LPE | RCTL_SBP) ? MAX_LONG : MAX_LEN);
}

static int deliver(void *opaque, const struct iovec *iov, unsigned niov, uint32_t len,
		   unsigned flags)
{
	struct e1000 *e = opaque;
	struct incoming in = {0};
	uint32_t bsize = buffer_size(e), total;
	uint8_t dst[6] = {0};
	unsigned n;

	if (too_long(e, len)) {
		e->chip.rx_flow.drops[NIC_DROP_OVERSIZE]++;
		e1000_stats_add(e, STAT_ROC, 1);
		return 0;
	}
	total = len + (E1000_REG(e, REG_RCTL) & RCTL_SECRC ? 0 : NIC_CHIP_FCS);
	n = (total + bsize - 1) / bsize;
	if (n > e1000_rx_free(e)) {
		if (n >= ring_size(e) && ring_size(e)) {
			e->chip.rx_flow.drops[NIC_DROP_OVERSIZE]++; /* it never will */
			return 0;
		}
		e->rx.room_needed = n;
		return -EAGAIN;
	}
	nic_chip_in(&e->chip, &in.frame, iov, niov, len);
	strip_tag(e, &in);
	check(e, &in, flags);
	total -= len - in.frame.len;
	if (total < len)
		n = (total + bsize - 1) / bsize;
	if (!fill(e, &in, total, bsize, n))
		return 0;
	iov_read(iov, niov, 0, dst, sizeof(dst));
	e1000_stats_rx(e, dst, len);
	if (len + NIC_CHIP_FCS <= E1000_REG(e, REG_RSRPD))
		e->rx.burst_causes |= ICR_SRPD;
	return 0;
}

const struct nic_rx_ops e1000_rx_ops = {
	.accepts = accepts,
	.deliver = deliver,
};

/* Why frames cannot be received at all now; NIC_DROP_COUNT: they can. */
static enum nic_drop deaf(const struct e1000 *e)
{
	if (!mii_link(&e->phy))
		return NIC_DROP_LINK_DOWN;
	if (!enabled(e) || e1000_loopback(e))
		return NIC_DROP_DISABLED;
	return NIC_DROP_COUNT;
}

/* RDMTS: a half, a quarter or an eighth of the ring is free (13.4, RCTL). */
static void check_low(struct e1000 *e)
{
	unsigned shift = 1 + (E1000_REG(e, REG_RCTL) >> RCTL_RDMTS_SHIFT & 3);
	bool low = e1000_rx_free(e) <= ring_size(e) >> MIN(shift, 3U);

	if (low && !e->rx.low && (e->rx.burst_causes & ICR_RXT0))
		e->rx.burst_causes |= ICR_RXDMT0;
	e->rx.low = low;
}

/* Turns what the burst did into causes: at once, or when the delay timers say (13.4, RDTR and RADV). */
static void raise_causes(struct e1000 *e, uint64_t now)
{
	uint32_t causes, rdtr = E1000_REG(e, REG_RDTR) & 0xffff;

	check_low(e);
	causes = e->rx.burst_causes;
	e->rx.burst_causes = 0;
	if ((causes & ICR_RXT0) && rdtr) {
		causes &= ~(uint32_t)ICR_RXT0;
		e1000_delay_start(&e->rx.delay, rdtr, E1000_REG(e, REG_RADV), now);
	}
	/* An interrupt for a received frame reports what was sent as well. */
	if ((causes & ICR_RXT0) && e->tx.delay.packet != NIC_WORKER_NEVER) {
		e1000_tx_reported(e);
		causes |= ICR_TXDW;
	}
	nic_irq_raise(&e->chip.irq, causes, now);
}

void e1000_rx_loopback(struct e1000 *e, const struct net_frame *frame)
{
	enum nic_drop deaf = enabled(e) ? NIC_DROP_COUNT : NIC_DROP_DISABLED;

	if (nic_chip_loop_back(&e->chip, frame, deaf) == -EAGAIN) {
		e1000_stats_add(e, STAT_MPC, 1);
		e->rx.burst_causes |= ICR_RXO;
	}
	raise_causes(e, e->chip.clock());
}

/* Whether a stalled ring has enough descriptors back to go on. */
static bool may_resume(struct e1000 *e, uint64_t now)
{
	unsigned room = e1000_rx_free(e);

	if (!room || room < e->rx.room_needed)
		return false;
	return room >= ring_size(e) / RESUME_PART || now - e->chip.stalled_at >= E1000_RESUME_NS;
}

bool e1000_rx_run(struct e1000 *e, unsigned budget, uint64_t now)
{
	enum nic_drop cause = deaf(e);
	int ret = 1;

	if (cause != NIC_DROP_COUNT) {
		nic_rx_flush(&e->chip.rx, cause);
		e->chip.stalled = false;
		while (budget-- && ret > 0)
			ret = nic_rx_discard(&e->chip.rx, cause);
		return ret > 0;
	}
	if (e->chip.stalled && !may_resume(e, now))
		return false;
	e->chip.stalled = false;
	while (budget-- && ret > 0) {
		if (!e1000_rx_free(e)) {
			e->rx.room_needed = 1;
			ret = -EAGAIN;
		} else {
			ret = nic_rx_pull(&e->chip.rx);
		}
	}
	if (ret == -EAGAIN) {
		e->chip.stalled = true;
		e->chip.stalled_at = now;
	}
	raise_causes(e, now);
	return ret > 0;
}

void e1000_rx_reset(struct e1000 *e)
{
	nic_rx_flush(&e->chip.rx, NIC_DROP_DISABLED);
	e->chip.stalled = e->rx.low = false;
	e->rx.burst_causes = 0;
	e1000_delay_stop(&e->rx.delay);
}
