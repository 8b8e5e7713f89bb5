/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A load for a virtual switch: two vhost-user ports of it, frames in both directions, from one
 * thread. As light as it can be: the load is not to be what is measured.
 *
 *	bench_switch_load SOCKET SOCKET [--seconds N] [--size BYTES] [--window FRAMES]
 *		[--rate FRAMES_PER_SECOND] [--macs N] [--packed] [--in-order] [--mergeable] [--cpu N]
 *		[--ring N] [--one-way] [--check] [--tso] [--listen] [--verbose]
 *
 * At most --window frames are under way in each direction, so that a switch that keeps up loses
 * none. With --rate frames go out evenly spaced and latency is what is of interest. With --check
 * the whole of each frame is compared, not only its head. With --tso they are 64 KiB of TCP, whose
 * segmentation is left to do. With --listen it is the switch that connects. With --verbose it
 * says when the switch has learnt. One line of JSON is printed.
 */
#include "load.h"

#include "base/thread.h"

#include <getopt.h>
#include <inttypes.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define BURST 32U

struct load {
	struct end ends[2];
	unsigned size, window, macs;
	unsigned stride; /* of destinations; shares no factor with macs */
	unsigned at;	 /* of a frame: where its number is */
	double seconds, rate;
	bool check, one_way;
	uint64_t per_us;
	uint64_t longest; /* of all latencies, cycles; only at a rate */
};

static uint64_t cycles(void)
{
	return __builtin_ia32_rdtsc();
}

static uint64_t calibrate(void)
{
	uint64_t ns = clock_ns(), from = cycles();

	while (clock_ns() - ns < 20 * NSEC_PER_MSEC)
		;
	return (cycles() - from) / 20000;
}

static void reclaim(struct end *e)
{
	unsigned buf;
	uint32_t len;

	while (e->nfree < e->nbufs && end_get(&e->tx, &buf, &len))
		e->free[e->nfree++] = buf;
}

/* Up to n frames; how many it were. */
static unsigned send(struct load *l, unsigned which, unsigned n, uint64_t now)
{
	struct end *e = &l->ends[which];

	if (e->nfree < n)
		reclaim(e);
	n = MIN(n, e->nfree);
	for (unsigned i = 0; i < n; i++) {
		unsigned buf = e->free[--e->nfree];
		uint8_t *f = end_frame(&e->tx, buf);

		store_le32(f + l->at + FRAME_SEQ, e->next_seq);
		store_le64(f + l->at + FRAME_TIME, now);
		if (l->macs > 1) {
			/* Each is the source in turn; the order of destinations is such that no
			 * cache helps. */
			frames_put_mac(f, !which, e->to_mac);
			frames_put_mac(f + 6, which, e->from_mac);
			e->from_mac = e->from_mac + 1 < l->macs ? e->from_mac + 1 : 0;
			e->to_mac += l->stride;
			if (e->to_mac >= l->macs)
				e->to_mac -= l->macs;
		}
		e->next_seq++;
		end_put(&e->tx, buf);
	}
	if (n)
		end_publish(&e->tx);
	e->sent += n;
	return n;
}

static void look_at(struct load *l, struct end *e, const uint8_t *f, uint32_t len, uint64_t now)
{
	uint32_t seq = load_le32(f + l->at + FRAME_SEQ);
	uint64_t bucket;

	if (!frames_ours(e, f)) {
		e->stray++;
		return;
	}
	if (seq != e->want_seq) {
		if ((int32_t)(seq - e->want_seq) > 0)
			e->lost += seq - e->want_seq;
		else
			e->reordered++;
	}
	e->want_seq = seq + 1;
	e->received++;
	e->bytes += len;
	if (len != l->size)
		e->corrupt++;
	if (l->check)
		e->corrupt += !frames_whole(e, f, l->at + FRAME_HEAD, len);
	if (l->rate > 0) {
		bucket = (now - load_le64(f + l->at + FRAME_TIME)) * 1000 / MAX(l->per_us, 1ULL) /
			 LAT_BUCKET;
		e->latency[MIN(bucket, LAT_COUNT - 1U)]++;
		l->longest = MAX(l->longest, now - load_le64(f + l->at + FRAME_TIME));
	}
}

static void take(struct load *l, unsigned which, uint64_t now)
{
	struct end *e = &l->ends[which];
	unsigned bufs[BURST], n = 0;
	uint32_t lens[BURST];

	for (; n < BURST; n++) {
		if (!end_get(&e->rx, &bufs[n], &lens[n]))
			break;
		__builtin_prefetch(end_frame(&e->rx, bufs[n]));
	}
	for (unsigned i = 0; i < n; i++) {
		look_at(l, e, end_frame(&e->rx, bufs[i]), lens[i] - END_HDR, now);
		end_put(&e->rx, bufs[i]);
	}
	if (n)
		end_publish(&e->rx);
}

/* Frames of one direction that are neither there nor lost. */
static unsigned under_way(const struct load *l, unsigned from)
{
	return l->ends[from].next_seq - l->ends[!from].want_seq;
}

static unsigned common_factor(unsigned a, unsigned b)
{
	while (b) {
		unsigned rest = a % b;

		a = b;
		b = rest;
	}
	return a;
}

/* About the golden section of all addresses. */
static unsigned choose_stride(unsigned macs)
{
	unsigned stride = (unsigned)(macs * 0.618);

	while (stride > 1 && common_factor(macs, stride) != 1)
		stride--;
	return stride;
}

static void teach(struct load *l)
{
	/* So that nothing is flooded when it counts. */
	for (unsigned round = 0; round < 2; round++) {
		for (unsigned which = 0; which < 2; which++) {
			for (unsigned n = 0; n < l->macs + BURST;) {
				n += send(l, which, BURST, cycles());
				for (unsigned i = 0; i < 50; i++) {
					take(l, 0, 0);
					take(l, 1, 0);
					usleep(n < 4 * BURST ? 100 : 0);
				}
			}
		}
	}
	for (unsigned i = 0; i < 100; i++) {
		usleep(1000);
		for (unsigned k = 0; k < 40; k++)
			take(l, k & 1, 0);
	}
	for (unsigned k = 0; k < 2; k++) {
		struct end *e = &l->ends[k];

		e->want_seq = l->ends[!k].next_seq;
		e->sent = e->received = e->bytes = e->lost = e->reordered = e->corrupt = 0;
		memset(e->latency, 0, LAT_COUNT * sizeof(*e->latency));
	}
	l->longest = 0;
}

/* As fast as it goes, no more than the window under way; what is stuck for 10 ms is lost. */
static void run_window(struct load *l, uint64_t end)
{
	uint64_t stuck_since[2] = {0};

	for (uint64_t now = cycles(); now < end; now = cycles()) {
		for (unsigned k = 0; k < 2; k++) {
			unsigned way = under_way(l, k);

			if (k && l->one_way)
				continue;
			if (way < l->window) {
				send(l, k, MIN(BURST, l->window - way), now);
				stuck_since[k] = 0;
			} else if (!stuck_since[k]) {
				stuck_since[k] = now;
			} else if (now - stuck_since[k] > 10000 * l->per_us) {
				l->ends[!k].lost += way;
				l->ends[!k].want_seq = l->ends[k].next_seq;
			}
			take(l, !k, now);
		}
	}
}

static volatile sig_atomic_t ended; /* SIGUSR1: sending is over */

static void end_now(int sig)
{
	ended = sig;
}

static void run_rate(struct load *l, uint64_t end)
{
	uint64_t gap = (uint64_t)((double)l->per_us * 1e6 / l->rate), next = cycles();

	for (uint64_t now = cycles(); now < end && !ended; now = cycles()) {
		if (now >= next) {
			for (unsigned k = 0; k < 2u - l->one_way; k++)
				send(l, k, 1, now);
			next += gap;
			if (now - next < UINT64_MAX / 2 && now - next > 1000 * l->per_us)
				next = now; /* we were not run for a while */
		}
		take(l, 0, now);
		take(l, 1, now);
	}
}

/* What is still under way when sending is over: 200 ms, more than any switch keeps a frame. */
static void drain(struct load *l)
{
	uint64_t end = cycles() + 200000 * l->per_us;

	for (uint64_t now = cycles(); now < end; now = cycles())
		for (unsigned k = 0; k < 2; k++)
			take(l, k, now);
}

static double percentile(const struct load *l, double p)
{
	uint64_t total = 0, sum = 0;

	for (unsigned i = 0; i < LAT_COUNT; i++)
		total += l->ends[0].latency[i] + l->ends[1].latency[i];
	for (unsigned i = 0; i < LAT_COUNT; i++) {
		sum += l->ends[0].latency[i] + l->ends[1].latency[i];
		if (total && (double)sum >= p * (double)total)
			return i * LAT_BUCKET / 1000.0;
	}
	return 0;
}

static void report(const struct load *l, double seconds)
{
	uint64_t sent = 0, received = 0, lost = 0, reordered = 0, corrupt = 0, stray = 0;

	for (unsigned k = 0; k < 2; k++) {
		const struct end *e = &l->ends[k];

		sent += e->sent;
		received += e->received;
		lost += e->lost;
		reordered += e->reordered;
		corrupt += e->corrupt;
		stray += e->stray;
	}
	printf("{\"size\": %u, \"seconds\": %.2f, \"sent\": %" PRIu64 ", \"received\": %" PRIu64
	       ", \"mpps\": %.3f, \"gbps\": %.3f, \"lost\": %" PRIu64 ", \"reordered\": %" PRIu64
	       ", \"corrupt\": %" PRIu64 ", \"stray\": %" PRIu64
	       ", \"median_us\": %.2f, \"p99_us\": %.2f, \"longest_us\": %.0f}\n",
	       l->size, seconds, sent, received, (double)received / seconds / 1e6,
	       (double)received * l->size * 8 / seconds / 1e9, lost, reordered, corrupt, stray,
	       percentile(l, 0.5), percentile(l, 0.99), (double)l->longest / (double)l->per_us);
}

static void bind_to(int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET((size_t)cpu, &set);
	if (sched_setaffinity(0, sizeof(set), &set))
		perror("sched_setaffinity");
}

static void usage(void)
{
	fprintf(stderr, "usage: bench_switch_load SOCKET SOCKET [--seconds N] [--size BYTES] "
			"[--window FRAMES] [--rate N] [--macs N] [--packed] [--in-order] "
			"[--mergeable] [--ring N] [--cpu N] [--one-way] [--check] [--tso] "
			"[--listen] [--verbose]\n");
	exit(2);
}

int main(int argc, char **argv)
{
	static const struct option options[] = {{"seconds", 1, NULL, 's'},
						{"size", 1, NULL, 'l'},
						{"window", 1, NULL, 'w'},
						{"rate", 1, NULL, 'r'},
						{"macs", 1, NULL, 'm'},
						{"packed", 0, NULL, 'p'},
						{"in-order", 0, NULL, 'i'},
						{"mergeable", 0, NULL, 'M'},
						{"ring", 1, NULL, 'R'},
						{"cpu", 1, NULL, 'c'},
						{"one-way", 0, NULL, 'o'},
						{"check", 0, NULL, 'C'},
						{"tso", 0, NULL, 't'},
						{"verbose", 0, NULL, 'v'},
						{"tso", 0, NULL, 't'},
						{"listen", 0, NULL, 'L'},
						{0}};
	static struct load l = {.size = 64, .window = 256, .macs = 1, .seconds = 3};
	struct end_setup setup = {.ring = 256};
	bool verbose = false;
	struct error err;
	uint64_t ns;

	for (int c; (c = getopt_long(argc, argv, "", options, NULL)) != -1;) {
		switch (c) {
		case 's':
			l.seconds = atof(optarg);
			break;
		case 'l':
			l.size = (unsigned)atoi(optarg);
			break;
		case 'w':
			l.window = (unsigned)atoi(optarg);
			break;
		case 'r':
			l.rate = atof(optarg);
			break;
		case 'm':
			l.macs = (unsigned)atoi(optarg);
			break;
		case 'p':
			setup.packed = true;
			break;
		case 'i':
			setup.in_order = true;
			break;
		case 'M':
			setup.mergeable = true;
			break;
		case 'R':
			setup.ring = (unsigned)atoi(optarg);
			break;
		case 'c':
			bind_to(atoi(optarg));
			break;
		case 'o':
			l.one_way = true;
			break;
		case 't':
			setup.tso = true;
			l.size = FRAME_TSO;
			break;
		case 'v':
			verbose = true;
			break;
		case 'L':
			setup.listen = true;
			break;
		case 'C':
			l.check = true;
			break;
		default:
			usage();
		}
	}
	if (optind + 2 != argc ||
	    (!setup.tso && (l.size < FRAME_MIN || l.size > END_STRIDE - END_ROOM - END_HDR)) ||
	    setup.ring > END_RING || l.window > setup.ring || !l.macs || l.macs >= 1u << 24 ||
	    !l.window)
		usage();
	for (unsigned k = 0; k < 2; k++) {
		setup.path = argv[optind + (int)k];
		setup.size = l.size;
		if (end_open(&l.ends[k], &setup, &err)) {
			fprintf(stderr, "%s\n", err.text);
			return 1;
		}
		l.at = frames_fill(&l.ends[k], k);
	}
	signal(SIGUSR1, end_now);
	l.per_us = calibrate();
	l.stride = choose_stride(l.macs);
	teach(&l);
	if (verbose)
		fprintf(stderr, "the switch knows the addresses\n");
	ns = clock_ns();
	if (l.rate > 0) {
		run_rate(&l, cycles() + (uint64_t)(l.seconds * 1e6) * l.per_us);
		drain(&l);
	} else {
		run_window(&l, cycles() + (uint64_t)(l.seconds * 1e6) * l.per_us);
	}
	report(&l, (double)(clock_ns() - ns) / 1e9);
	for (unsigned k = 0; k < 2; k++)
		end_close(&l.ends[k]);
	return 0;
}
