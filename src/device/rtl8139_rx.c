/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Address filters, and the classic receiver: a ring of bytes into which each frame is written behind
 * a header of four (status and length), aligned to four; the driver moves CAPR behind what it has
 * read, 16 bytes short of it (6.9, 6.10).
 *
 * A frame is written only when all of it fits (nic_chip.c keeps it meanwhile), so the overflow that
 * the chip knows does not happen. CAPR, CBR and "buffer empty" make one state that the driver and
 * the worker change: `ring` guards it.
 *
 * Reminding. A driver may clear ROK for frames that it has not read: 8139too does behind each frame,
 * and when its budget is used up right there, it looks for ROK and finds none. On a wire the next
 * frame sets ROK again, or RXOVW. Here the next frames may be those that wait for the room that the
 * forgotten ones take. So ROK is set once more when the ring has not been emptied for REMIND_NS.
 */
#include "device/rtl8139.h"
#include "device/nic_filter.h"
#include "base/iov.h"

#include <errno.h>

#define RING_HEADER   4
#define CLASSIC_MAX   1792 /* of a frame without CRC */
#define CPLUS_MAX     (RXD_SIZE - NIC_CHIP_FCS)
#define CAPR_DISTANCE 16
#define REMIND_NS     NSEC_PER_MSEC
#define REMIND_MAX_NS (64 * NSEC_PER_MSEC)

/* What kind of frame it is to the driver: RXS_*; 0 and *wanted false if it is not for it. */
static uint32_t classify(const struct rtl8139 *r, const uint8_t *dst, bool *wanted)
{
	uint32_t rcr = rtl_get32(r, RTL_RCR), status = 0;
	const uint8_t *page = r->chip.shadow.page;

	*wanted = rcr & RCR_AAP;
	if (ether_is_broadcast(dst)) {
		status = RXS_BAR;
		*wanted |= !!(rcr & RCR_AB);
	} else if (ether_is_multicast(dst)) {
		unsigned hash = nic_hash6(dst);

		status = RXS_MAR;
		*wanted |= (rcr & RCR_AM) && (page[RTL_MAR0 + hash / 8] >> (hash % 8) & 1);
	} else if (ether_equal(dst, page + RTL_IDR0)) {
		status = RXS_PAM;
		*wanted |= !!(rcr & RCR_APM);
	}
	return status;
}

static bool accepts(void *opaque, const uint8_t *hdr, uint32_t len)
{
	struct rtl8139 *r = opaque;
	bool wanted;

	if (len < ETHER_HLEN) {
		r->chip.rx_flow.drops[NIC_DROP_UNDERSIZE]++;
		return false;
	}
	(void)classify(r, hdr, &wanted);
	if (!wanted)
		r->chip.rx_flow.drops[NIC_DROP_FILTERED]++;
	return wanted;
}

static uint32_t ring_size(const struct rtl8139 *r)
{
	return 8192U << (rtl_get32(r, RTL_RCR) >> RCR_RBLEN_SHIFT & 3);
}

/* Frames are written on beyond the ring's end, where the driver has room for that (6.20). */
static bool runs_over(const struct rtl8139 *r)
{
	return (rtl_get32(r, RTL_RCR) & RCR_WRAP) && ring_size(r) < 65536;
}

static uint32_t read_at(const struct rtl8139 *r)
{
	return (rtl_get16(r, RTL_CAPR) + CAPR_DISTANCE) % ring_size(r);
}

/* Bytes that can be written; the ring is never filled up, for then it would look empty. */
static uint32_t ring_room(const struct rtl8139 *r)
{
	uint32_t size = ring_size(r), used = (r->rx.at - read_at(r) + size) % size;

	return size - used - 4;
}

void rtl8139_rx_update(struct rtl8139 *r)
{
	uint8_t cr = rtl_get8(r, RTL_CR) & (uint8_t)~CR_BUFE;
	bool empty = rtl_get16(r, RTL_CBR) % ring_size(r) == read_at(r);

	rtl_set8(r, RTL_CR, cr | (empty || rtl_cplus_rx(r) ? CR_BUFE : 0));
}

/* The pieces of the ring that n bytes at offset `at` take. Returns how many, 0: not memory. */
static unsigned ring_pieces(struct rtl8139 *r, uint32_t at, uint32_t n, struct iovec piece[2],
			    uint64_t where[2])
{
	uint64_t base = rtl_get32(r, RTL_RBSTART);
	uint32_t first = n;
	unsigned count = 1;

	if (!runs_over(r)) {
		at %= ring_size(r);
		first = MIN(n, ring_size(r) - at);
	}
	where[0] = base + at;
	piece[0] = (struct iovec){nic_dma_write_ptr(&r->chip.dma, where[0], first), first};
	if (first < n) {
		where[1] = base;
		piece[1] =
			(struct iovec){nic_dma_write_ptr(&r->chip.dma, base, n - first), n - first};
		count = 2;
	}
	for (unsigned i = 0; i < count; i++)
		if (!piece[i].iov_base)
			return 0;
	return count;
}

/* Puts the frame at the ring's end and shows it. */
static bool ring_write(struct rtl8139 *r, const struct nic_chip_in *in, uint32_t status)
{
	uint64_t head_at = (uint64_t)rtl_get32(r, RTL_RBSTART) + r->rx.at, where[2];
	uint32_t total = in->len + NIC_CHIP_FCS, done = 0;
	uint32_t *head = nic_dma_write_ptr(&r->chip.dma, head_at, RING_HEADER);
	struct iovec piece[2];
	unsigned n = ring_pieces(r, r->rx.at + RING_HEADER, total, piece, where);

	if (!n || !head)
		return false;
	for (unsigned i = 0; i < n; i++) {
		nic_chip_copy_out(in, done, piece[i].iov_base, (uint32_t)piece[i].iov_len);
		nic_dma_wrote(&r->chip.dma, where[i], piece[i].iov_len);
		done += (uint32_t)piece[i].iov_len;
	}
	store_le32(head, status | RXS_ROK | total << 16);
	nic_dma_wrote(&r->chip.dma, head_at, RING_HEADER);
	r->rx.at = (uint32_t)(r->rx.at + ALIGN_UP(RING_HEADER + total, 4)) % ring_size(r);
	pthread_mutex_lock(&r->ring);
	rtl_set16(r, RTL_CBR, (uint16_t)r->rx.at);
	rtl8139_rx_update(r);
	pthread_mutex_unlock(&r->ring);
	return true;
}

static int ring_deliver(struct rtl8139 *r, const struct iovec *iov, unsigned niov, uint32_t len,
			uint32_t status)
{
	struct nic_flow *flow = &r->chip.rx_flow;
	struct nic_chip_in in;

	/* The smallest ring has room for the largest frame. */
	if (ALIGN_UP(RING_HEADER + len + NIC_CHIP_FCS, 4) > ring_room(r))
		return -EAGAIN;
	nic_chip_in(&r->chip, &in, iov, niov, len);
	if (!ring_write(r, &in, status)) {
		flow->drops[NIC_DROP_BAD_ADDRESS]++;
		r->tally.rx_err++;
		r->rx.causes |= ISR_RER;
		return 0;
	}
	flow->out++;
	flow->bytes_out += len;
	r->rx.causes |= ISR_ROK;
	return 0;
}

static void count(struct rtl8139 *r, uint32_t status)
{
	r->tally.rx_ok++;
	r->tally.rx_phys += !!(status & RXS_PAM);
	r->tally.rx_broadcast += !!(status & RXS_BAR);
	r->tally.rx_multicast += !!(status & RXS_MAR);
}

static int deliver(void *opaque, const struct iovec *iov, unsigned niov, uint32_t len,
		   unsigned flags)
{
	struct rtl8139 *r = opaque;
	bool cplus = rtl_cplus_rx(r), wanted;
	uint64_t before = r->chip.rx_flow.out;
	uint32_t status;
	uint8_t dst[6] = {0};
	int ret;

	if (len > (cplus ? CPLUS_MAX : CLASSIC_MAX)) {
		r->chip.rx_flow.drops[NIC_DROP_OVERSIZE]++;
		r->tally.rx_err++;
		return 0;
	}
	iov_read(iov, niov, 0, dst, sizeof(dst));
	status = classify(r, dst, &wanted);
	if (cplus)
		ret = rtl8139_rx_desc_deliver(r, iov, niov, len, flags, status);
	else
		ret = ring_deliver(r, iov, niov, len, status);
	if (r->chip.rx_flow.out != before)
		count(r, status);
	return ret;
}

const struct nic_rx_ops rtl8139_rx_ops = {
	.accepts = accepts,
	.deliver = deliver,
};

static bool enabled(const struct rtl8139 *r)
{
	return (rtl_get8(r, RTL_CR) & CR_RE) && nic_dma_allowed(&r->chip.dma);
}

/* Why frames cannot be received at all now; NIC_DROP_COUNT: they can. */
static enum nic_drop deaf(const struct rtl8139 *r)
{
	if (!mii_link(&r->phy))
		return NIC_DROP_LINK_DOWN;
	if (!enabled(r) || rtl8139_loopback(r))
		return NIC_DROP_DISABLED;
	return NIC_DROP_COUNT;
}

static bool has_room(struct nic_chip *chip)
{
	struct rtl8139 *r = container_of(chip, struct rtl8139, chip);

	if (rtl_cplus_rx(r))
		return rtl8139_rx_desc_room(r);
	return ring_room(r) >= RING_HEADER + ETHER_MIN_LEN + NIC_CHIP_FCS;
}

static void raise_causes(struct rtl8139 *r, uint64_t now)
{
	uint32_t causes = r->rx.causes;

	r->rx.causes = 0;
	/* An interrupt for a received frame reports what was sent as well. */
	if (causes)
		causes |= rtl8139_tx_desc_report(r);
	nic_irq_raise(&r->chip.irq, causes, now);
}

void rtl8139_rx_loopback(struct rtl8139 *r, const struct net_frame *frame)
{
	if (nic_chip_loop_back(&r->chip, frame, enabled(r) ? NIC_DROP_COUNT : NIC_DROP_DISABLED)) {
		r->tally.missed++;
		r->rx.causes |= ISR_RXOVW;
	}
	raise_causes(r, r->chip.clock());
}

static void remind(struct rtl8139 *r, uint64_t now)
{
	if (rtl_cplus_rx(r) || (rtl_get8(r, RTL_CR) & CR_BUFE)) {
		r->rx.remind = NIC_WORKER_NEVER;
	} else if (r->rx.causes || r->rx.remind == NIC_WORKER_NEVER) {
		r->rx.remind_interval = REMIND_NS;
		r->rx.remind = now + REMIND_NS;
	} else if (now >= r->rx.remind) {
		r->rx.remind_interval = MIN(r->rx.remind_interval * 2, REMIND_MAX_NS);
		r->rx.remind = now + r->rx.remind_interval;
		r->rx.causes |= ISR_ROK;
	}
}

bool rtl8139_rx_run(struct rtl8139 *r, unsigned budget, uint64_t now)
{
	bool stalled = r->chip.stalled, more;

	more = nic_chip_receive(&r->chip, budget, now, deaf(r), has_room);
	remind(r, now);
	/* C+: the next frame finds no descriptor (6.15, RDU). */
	if (r->chip.stalled && !stalled && rtl_cplus_rx(r))
		r->rx.causes |= ISR_RXOVW;
	raise_causes(r, now);
	return more;
}

void rtl8139_rx_reset(struct rtl8139 *r)
{
	nic_rx_flush(&r->chip.rx, NIC_DROP_DISABLED);
	r->chip.stalled = false;
	r->rx.at = 0;
	r->rx.needed = 1;
	r->rx.remind = NIC_WORKER_NEVER;
	r->rx.causes = 0;
	pthread_mutex_lock(&r->ring);
	rtl_set16(r, RTL_CBR, 0);
	rtl_set16(r, RTL_CAPR, (uint16_t)-CAPR_DISTANCE);
	rtl8139_rx_update(r);
	pthread_mutex_unlock(&r->ring);
}
