/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_BACK_SESSION_H
#define TESTS_BACK_SESSION_H

/*
 * The vhost-user back-end and an owner of it, with our own front-end at the other end of the socket;
 * numbered frames go round.
 */
#include "unit/backend_echo.h"
#include "unit/plane_bed.h"

struct flow {
	uint64_t sent[PB_PAIRS], next[PB_PAIRS];
	uint64_t got, lost;
};

/* Sends and receives for some time; nothing may come twice or out of order. */
static inline void flow_run(struct pb *pb, struct flow *f, unsigned ms)
{
	uint64_t end = clock_ns() + ms * NSEC_PER_MSEC, s;

	do {
		for (unsigned pair = 0; pair < pb->pairs; pair++) {
			while (f->sent[pair] - f->next[pair] < 64 &&
			       pb_send(pb, pair, f->sent[pair]))
				f->sent[pair]++;
			while (pb_recv(pb, pair, &s)) {
				if (s < f->next[pair] || s >= f->sent[pair])
					fail_msg("pair %u: frame %llu after %llu", pair,
						 (unsigned long long)s,
						 (unsigned long long)f->next[pair]);
				f->lost += s - f->next[pair];
				f->next[pair] = s + 1;
				f->got++;
			}
		}
		loop_run_once(pb->loop, 0);
		sched_yield();
	} while (clock_ns() < end);
}

static inline void flow_until(struct pb *pb, struct flow *f, uint64_t more)
{
	uint64_t goal = f->got + more, end = clock_ns() + PATIENCE_NS;

	while (f->got < goal && clock_ns() < end)
		flow_run(pb, f, 2);
	if (f->got < goal)
		fail_msg("only %llu frames come back", (unsigned long long)(f->got + more - goal));
}

/* Like it, after frames were lost: more are sent until some come. */
static inline void flow_resume(struct pb *pb, struct flow *f)
{
	uint64_t end = clock_ns() + PATIENCE_NS, seen[PB_PAIRS];
	bool all;

	memcpy(seen, f->next, sizeof(seen));
	do {
		flow_run(pb, f, 2);
		all = true;
		for (unsigned pair = 0; pair < pb->pairs; pair++) {
			if (f->next[pair] != seen[pair])
				continue;
			all = false;
			if (pb_send(pb, pair, f->sent[pair]))
				f->sent[pair]++;
		}
	} while (!all && clock_ns() < end);
	assert_true(all);
}

static inline void make_socket_path(char path[64])
{
	char dir[] = "/tmp/vu-back-XXXXXX";

	assert_non_null(mkdtemp(dir));
	snprintf(path, 64, "%s/sock", dir);
}

static inline void drop_socket_path(char path[64])
{
	unlink(path);
	*strrchr(path, '/') = 0;
	rmdir(path);
}

struct session {
	char path[64];
	struct echo echo;
	struct pb pb;
	struct flow f;
};

static inline void session_open(struct session *s, unsigned pairs, bool packed, bool server)
{
	char opts[128];

	memset(&s->f, 0, sizeof(s->f));
	make_socket_path(s->path);
	echo_init(&s->echo, s->path, server);
	echo_up(&s->echo);
	pb_init(&s->pb, pairs, 256, packed);
	snprintf(opts, sizeof(opts), "socket=%s,server=%s,wait=60000,link-down-after=100", s->path,
		 server ? "off" : "on");
	pb_open(&s->pb, "vhost-user", opts);
	flow_until(&s->pb, &s->f, 200);
}

static inline void session_close(struct session *s)
{
	pb_stop(&s->pb);
	pb_close(&s->pb);
	echo_done(&s->echo);
	pb_done(&s->pb);
	drop_socket_path(s->path);
}

#endif
