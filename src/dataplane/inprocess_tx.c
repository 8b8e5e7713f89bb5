/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Theory of operation: guest to network.
 *
 * A visit pops a burst of chains, turns each into a frame whose parts still lie in guest memory,
 * hands the burst to the back-end and pushes the chains. Nothing is kept from one visit to the
 * next: when the back-end is full, the chains of the frames it did not take are the last ones
 * popped, and are given back to the ring as if never popped. The visit is tried again when the
 * back-end's descriptor is writable and every TX_RETRY_NS (by the latter alone when the descriptor
 * says "writable" and the back-end is full all the same); after TX_FULL_NS in which it took nothing
 * a burst is dropped and counted, so that the guest's transmit queue never hangs for good.
 *
 * A frame counts as in when it ends (is sent or dropped), not when its chain is popped, so that a
 * chain given back is not counted twice.
 */
#include "dataplane/inprocess.h"

#include "net/gso.h"

#define TX_FULL_NS  (500 * NSEC_PER_MSEC)
#define TX_RETRY_NS (250 * NSEC_PER_USEC)

/*
 * Copies len bytes of the chain's readable part from its start and cuts them off. The copy is
 * private: the barrier keeps the compiler from reading guest memory again behind it. Returns the
 * parts that are left, or -1 when there are fewer bytes.
 */
static int take_header(struct vq_buf *buf, struct iovec **iov, uint8_t *hdr, unsigned len)
{
	struct iovec *at = buf->iov;
	unsigned n = buf->out_n;

	if (unlikely(buf->out_len < len))
		return -1;
	for (unsigned done = 0;;) {
		size_t piece = MIN(at->iov_len, (size_t)(len - done));

		memcpy(hdr + done, at->iov_base, piece);
		done += (unsigned)piece;
		if (piece == at->iov_len) {
			at++;
			n--;
		} else {
			at->iov_base = (char *)at->iov_base + piece;
			at->iov_len -= piece;
		}
		if (done == len)
			break;
	}
	__asm__ volatile("" ::: "memory");
	*iov = at;
	return (int)n;
}

/* Makes a frame of a chain: PLANE_DROP_COUNT if it can be sent, else why not. */
static enum plane_drop tx_frame(struct inproc_pair *pair, struct vq_buf *buf,
				struct net_frame *frame)
{
	const struct inproc *p = pair->p;
	uint8_t hdr[HDR_LEN_HASH];
	struct iovec *iov;
	int n = take_header(buf, &iov, hdr, p->hdr_len);

	*frame = (struct net_frame){0};
	if (unlikely(n <= 0))
		return PLANE_DROP_MALFORMED;
	frame->iov = iov;
	frame->niov = (unsigned)n;
	frame->len = buf->out_len - p->hdr_len;
	if (unlikely(frame->len > NET_FRAME_MAX))
		return PLANE_DROP_OVERSIZE;
	memcpy(&frame->off, hdr, sizeof(frame->off));
	/* 5.1.6.2.1: the driver sets no other flag, and num_buffers is not used. */
	frame->off.flags &= NET_NEEDS_CSUM;
	frame->off.num_buffers = 0;
	if (unlikely(net_offload_check(&frame->off, frame->len, p->tx_offloads)))
		return PLANE_DROP_MALFORMED;
	if (unlikely(!pair->config->link_up))
		return PLANE_DROP_LINK_DOWN;
	return PLANE_DROP_COUNT;
}

static uint32_t chain_frame_len(const struct inproc *p, const struct vq_buf *buf)
{
	return buf->out_len > p->hdr_len ? buf->out_len - p->hdr_len : 0;
}

/* What is recorded of the first n chains of the burst, which are still in our hands. */
static void record(struct inproc_pair *pair, unsigned n)
{
	unsigned nf = 0;

	for (unsigned i = 0; i < n; i++) {
		enum plane_drop why = pair->tx_verdict[i];
		const struct net_frame *frame = &pair->tx_frames[nf];

		/* One that became a frame, whatever became of that, is in its turn in tx_of. */
		if (nf < pair->tx_nframes && pair->tx_of[nf] == i)
			nf++;
		else
			frame = &pair->tx_refused[i];
		inproc_record(pair, PCAPNG_OUTBOUND, frame->iov, frame->niov, why);
	}
}

/* The first n chains of the burst are done with. */
static void tx_complete(struct inproc_pair *pair, unsigned n)
{
	struct inproc_queue *q = &pair->tx;
	uint64_t in = 0, out = 0, bytes_in = 0, bytes_out = 0;

	for (unsigned i = 0; i < n; i++) {
		uint32_t len = chain_frame_len(pair->p, &pair->tx_bufs[i]);

		in++;
		bytes_in += len;
		if (likely(pair->tx_verdict[i] == PLANE_DROP_COUNT)) {
			out++;
			bytes_out += len;
		} else {
			count_drop(q, pair->tx_verdict[i]);
		}
		vq_push(q->vq, &pair->tx_bufs[i], 0);
	}
	count(&q->c.frames_in, in);
	count(&q->c.bytes_in, bytes_in);
	count(&q->c.frames_out, out);
	count(&q->c.bytes_out, bytes_out);
}

/*
 * The back-end took `sent` of the frames in the first n chains. Returns how many chains are done
 * with: all up to the first frame that it did not take, or all of them if it has been full for
 * too long.
 */
static unsigned tx_full(struct inproc_pair *pair, unsigned nframes, unsigned sent, unsigned n)
{
	uint64_t now = clock_ns();

	if (!pair->tx_full_since || sent) {
		pair->tx_full_since = now;
		pair->tx_futile = 0;
	} else {
		pair->tx_futile++;
	}
	pair->tx_retry = now + (TX_RETRY_NS << MIN(pair->tx_futile / 64, 6U));
	if (pair->p->hn->patient || now - pair->tx_full_since < TX_FULL_NS)
		return pair->tx_of[sent];
	for (unsigned i = sent; i < nframes; i++)
		pair->tx_verdict[pair->tx_of[i]] = PLANE_DROP_BACKEND;
	return n;
}

/* Takes a burst of chains; stops where enough bytes are together. */
static int tx_pop(struct inproc_pair *pair, unsigned *nframes)
{
	struct inproc_queue *q = &pair->tx;
	int n = vq_pop(q->vq, pair->tx_bufs, TX_BURST, pair->tx_iov, TX_IOV);
	uint64_t bytes = 0;
	unsigned nf = 0;
	int i;

	for (i = 0; i < n && bytes < TX_BYTES; i++) {
		enum plane_drop verdict = tx_frame(pair, &pair->tx_bufs[i], &pair->tx_frames[nf]);

		pair->tx_verdict[i] = (uint8_t)verdict;
		if (unlikely(verdict != PLANE_DROP_COUNT)) {
			pair->tx_refused[i] = pair->tx_frames[nf];
			continue;
		}
		bytes += pair->tx_frames[nf].len;
		pair->tx_of[nf++] = (uint8_t)i;
	}
	if (i < n)
		vq_unpop(q->vq, &pair->tx_bufs[i], (unsigned)(n - i));
	*nframes = nf;
	return n < 0 ? n : i;
}

/* What a frame needs that the back-end may not know. */
static uint32_t frame_needs(const struct net_offload *off)
{
	uint32_t need = off->flags & NET_NEEDS_CSUM ? NET_OFFLOAD_CSUM : 0;

	switch (off->gso_type & (uint8_t)~NET_GSO_ECN) {
	case NET_GSO_TCPV4:
		need |= NET_OFFLOAD_TSO4;
		break;
	case NET_GSO_TCPV6:
		need |= NET_OFFLOAD_TSO6;
		break;
	case NET_GSO_UDP:
		need |= NET_OFFLOAD_UFO;
		break;
	case NET_GSO_UDP_L4:
		need |= NET_OFFLOAD_USO4 | NET_OFFLOAD_USO6;
		break;
	default:
		break;
	}
	return off->gso_type & NET_GSO_ECN ? need | NET_OFFLOAD_ECN : need;
}

/* A finished part of a frame; where the back-end is full it is lost, as on any wire. */
static int send_part(void *opaque, const struct iovec *iov, unsigned niov, uint32_t len)
{
	struct inproc_pair *pair = opaque;
	struct net_frame part = {.iov = iov, .niov = niov, .len = len};

	pair->p->hn->ops->send(pair->p->hn, pair->index, &part, 1);
	return 0;
}

/*
 * Sends to a back-end that does not know all that the guest may leave to be done: the guest came
 * here from another plane. The frames in question are finished one by one.
 */
static unsigned send_finishing(struct inproc_pair *pair, unsigned nframes)
{
	struct hostnet *hn = pair->p->hn;
	unsigned done = 0;

	while (done < nframes) {
		unsigned run = done, sent;

		while (run < nframes &&
		       !(frame_needs(&pair->tx_frames[run].off) & pair->p->tx_finish))
			run++;
		if (run > done) {
			sent = hn->ops->send(hn, pair->index, &pair->tx_frames[done], run - done);
			done += sent;
			if (done < run)
				break;
			continue;
		}
		if (net_gso_finish(&pair->tx_frames[done], send_part, pair) < 0)
			pair->tx_verdict[pair->tx_of[done]] = PLANE_DROP_MALFORMED;
		done++;
	}
	return done;
}

unsigned inproc_tx(struct inproc_pair *pair)
{
	struct inproc_queue *q = &pair->tx;
	struct hostnet *hn = pair->p->hn;
	unsigned nframes, sent = 0, done;
	int n;

	if (unlikely(!q->running))
		return 0;
	n = tx_pop(pair, &nframes);
	if (n <= 0) {
		if (unlikely(n < 0))
			inproc_broken(pair, q);
		count(&q->c.polls, 1);
		return 0;
	}
	if (q->kicks_on) {
		vq_disable_kicks(q->vq);
		q->kicks_on = false;
	}
	if (unlikely(pair->p->tx_finish))
		sent = send_finishing(pair, nframes);
	else if (likely(nframes))
		sent = hn->ops->send(hn, pair->index, pair->tx_frames, nframes);
	if (likely(sent == nframes)) {
		pair->tx_full_since = 0;
		done = (unsigned)n;
	} else {
		done = tx_full(pair, nframes, sent, (unsigned)n);
	}
	if (unlikely(pair->capture)) {
		pair->tx_nframes = nframes;
		record(pair, done);
	}
	tx_complete(pair, done);
	if (unlikely(done < (unsigned)n))
		vq_unpop(q->vq, &pair->tx_bufs[done], (unsigned)n - done);
	if (likely(done)) {
		count(&q->c.bursts, 1);
		inproc_publish(pair, q, &pair->config->net.tx_coalesce, done);
	}
	return done;
}
