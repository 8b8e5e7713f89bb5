/* SPDX-License-Identifier: Apache-2.0 */
#include "unit/plane_bed.h"
#include "unit/plane_relay.h"

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <sys/stat.h>
#include <sys/wait.h>

/*
 * The vhost-user plane against a back-end that is not ours: DPDK's vhost PMD in testpmd, which
 * sends back what it gets. Skipped where dpdk-testpmd is not installed (scripts/deps peers). It is
 * killed and started again under traffic; PEER_KILLS says how often (default 3).
 */
extern char **environ;

#define TESTPMD "/usr/bin/dpdk-testpmd"

struct peer {
	char dir[64];
	char sock[96];
	pid_t pid;
	int in; /* its standard input, held open */
	bool client;
	unsigned queues;
};

static int skip_unless_there(void)
{
	if (access(TESTPMD, X_OK) == 0)
		return 0;
	print_message("skip: " TESTPMD " is not installed: scripts/deps peers\n");
	return 1;
}

static void peer_start(struct peer *peer)
{
	char vdev[192], log[128];
	posix_spawn_file_actions_t fa;
	int pipefd[2];
	char *argv[] = {
		(char *)(uintptr_t) "dpdk-testpmd",
		(char *)(uintptr_t) "--no-pci",
		(char *)(uintptr_t) "--no-huge",
		(char *)(uintptr_t) "-m",
		(char *)(uintptr_t) "256",
		(char *)(uintptr_t) "-l",
		(char *)(uintptr_t) "0,1",
		(char *)(uintptr_t) "--no-telemetry",
		(char *)(uintptr_t) "--no-shconf",
		(char *)(uintptr_t) "--vdev",
		vdev,
		(char *)(uintptr_t) "--",
		(char *)(uintptr_t) "-a",
		(char *)(uintptr_t) "--no-mlockall",
		(char *)(uintptr_t) "--total-num-mbufs=4096",
		(char *)(uintptr_t)(peer->queues > 1 ? "--rxq=2" : "--rxq=1"),
		(char *)(uintptr_t)(peer->queues > 1 ? "--txq=2" : "--txq=1"),
		NULL,
	};

	snprintf(vdev, sizeof(vdev), "net_vhost0,iface=%s,queues=%u%s", peer->sock, peer->queues,
		 peer->client ? ",client=1" : "");
	snprintf(log, sizeof(log), "%s/testpmd.log", peer->dir);
	if (!peer->client)
		unlink(peer->sock);
	assert_int_equal(pipe2(pipefd, O_CLOEXEC), 0);
	posix_spawn_file_actions_init(&fa);
	posix_spawn_file_actions_adddup2(&fa, pipefd[0], 0);
	posix_spawn_file_actions_addopen(&fa, 1, log, O_WRONLY | O_CREAT | O_APPEND, 0600);
	posix_spawn_file_actions_adddup2(&fa, 1, 2);
	assert_int_equal(posix_spawn(&peer->pid, TESTPMD, &fa, NULL, argv, environ), 0);
	posix_spawn_file_actions_destroy(&fa);
	close(pipefd[0]);
	peer->in = pipefd[1];
}

static void peer_kill(struct peer *peer)
{
	kill(peer->pid, SIGKILL);
	assert_int_equal(waitpid(peer->pid, NULL, 0), peer->pid);
	close(peer->in);
}

static void peer_init(struct peer *peer, unsigned queues, bool client)
{
	*peer = (struct peer){.queues = queues, .client = client};
	snprintf(peer->dir, sizeof(peer->dir), "/tmp/vu-peer-XXXXXX");
	assert_non_null(mkdtemp(peer->dir));
	snprintf(peer->sock, sizeof(peer->sock), "%s/vhost.sock", peer->dir);
}

static void peer_done(struct peer *peer)
{
	char path[128];

	peer_kill(peer);
	unlink(peer->sock);
	snprintf(path, sizeof(path), "%s/testpmd.log", peer->dir);
	if (!getenv("PB_KEEP")) {
		unlink(path);
		rmdir(peer->dir);
	}
}

/* The frames of each pair, which come back through the same pair. */
struct flow {
	uint64_t sent[PB_PAIRS], next[PB_PAIRS]; /* next: the number after the last that came */
	uint64_t got, lost;
	unsigned extra; /* sent although what came before is still missing */
};

static void flow_pair(struct pb *pb, struct flow *f, unsigned pair)
{
	uint64_t s;

	/* Unbounded would be drops at the receive ring. */
	while (f->sent[pair] - f->next[pair] < 64 + f->extra) {
		if (!pb_send(pb, pair, f->sent[pair]))
			break;
		f->sent[pair]++;
	}
	while (pb_recv(pb, pair, &s)) {
		if (s < f->next[pair] || s >= f->sent[pair])
			fail_msg("pair %u: frame %llu after %llu (%llu sent)", pair,
				 (unsigned long long)s, (unsigned long long)f->next[pair],
				 (unsigned long long)f->sent[pair]);
		f->lost += s - f->next[pair];
		f->next[pair] = s + 1;
		f->extra = 0;
		f->got++;
	}
}

/* Sends and receives for some time. What comes must be in order; gaps are counted. */
static void flow_run(struct pb *pb, struct flow *f, unsigned ms)
{
	uint64_t end = clock_ns() + ms * NSEC_PER_MSEC;

	do {
		for (unsigned pair = 0; pair < pb->pairs; pair++)
			flow_pair(pb, f, pair);
		loop_run_once(pb->loop, 0);
		sched_yield(); /* the back-end polls, perhaps on our CPU */
	} while (clock_ns() < end);
}

/* Runs until something comes back, and returns how long that took in milliseconds. */
static unsigned flow_resumes(struct pb *pb, struct flow *f, unsigned limit_ms)
{
	uint64_t start = clock_ns(), got = f->got;

	while (f->got == got) {
		if (clock_ns() - start > limit_ms * NSEC_PER_MSEC)
			fail_msg("nothing comes back after %u ms", limit_ms);
		f->extra++; /* what the old one had taken never comes */
		flow_run(pb, f, 1);
	}
	return (unsigned)((clock_ns() - start) / NSEC_PER_MSEC);
}

static void await_link(struct pb *pb, struct flow *f, int link)
{
	for (unsigned i = 0; pb->link != link && i < PATIENCE_MS / 10; i++)
		flow_run(pb, f, 10);
	assert_int_equal(pb->link, link);
}

static unsigned kills(void)
{
	const char *text = getenv("PEER_KILLS");

	return text ? (unsigned)atoi(text) : rounds(3, 1);
}

static void start_plane(struct pb *pb, struct plane *plane)
{
	uint64_t end = clock_ns() + PATIENCE_NS;
	struct error err = {0};

	while (pb_start(pb, plane, &err))
		if (err.code != -ETIMEDOUT || clock_ns() > end)
			fail_msg("%s", err.text);
}

/* It polls on two processors, and answers when it gets to it: then the plane gives it up. */
static void open_plane(struct pb *pb, const char *opts)
{
	uint64_t end = clock_ns() + PATIENCE_NS;
	struct error err = {0};
	struct plane *plane;

	while (pb_open_plane(pb, "vhost-user", opts, &plane, &err))
		if (err.code != -ETIMEDOUT || clock_ns() > end)
			fail_msg("%s", err.text);
	start_plane(pb, plane);
}

/* Stop and go on the same connection. */
static void stop_and_go(struct pb *pb, struct flow *f)
{
	pb_stop(pb);
	start_plane(pb, pb->plane);
	flow_resumes(pb, f, PATIENCE_MS);
	flow_run(pb, f, 20);
}

/* There and back; and it is killed meanwhile. */
static void relay(struct pb *pb, struct flow *f, struct peer *peer, bool kill)
{
	relay_begin(pb);
	flow_resumes(pb, f, PATIENCE_MS);
	flow_run(pb, f, 20);
	if (kill) {
		peer_kill(peer);
		flow_run(pb, f, 5);
		peer_start(peer);
		flow_resumes(pb, f, PATIENCE_MS);
	}
	relay_end(pb);
	flow_resumes(pb, f, PATIENCE_MS);
	flow_run(pb, f, 20);
}

static void session(unsigned pairs, bool packed, bool server)
{
	struct peer peer;
	struct flow f = {0};
	char opts[160];
	struct pb pb;
	unsigned worst = 0, n = kills();

	peer_init(&peer, pairs, server);
	peer_start(&peer);
	pb_init(&pb, pairs, 256, packed);
	pb.config.filter.promisc = true; /* what it sends comes back as it is */
	snprintf(opts, sizeof(opts), "socket=%s,server=%s,wait=60000,link-down-after=100",
		 peer.sock, server ? "on" : "off");
	open_plane(&pb, opts);
	flow_resumes(&pb, &f, PATIENCE_MS);
	while (f.got < 2000) /* it may throw away a burst while it comes up */
		flow_resumes(&pb, &f, PATIENCE_MS);
	print_message("%u pair(s), %s, %s: %llu frames there and back\n", pairs,
		      packed ? "packed" : "split", server ? "server" : "client",
		      (unsigned long long)f.got);
	for (unsigned i = 0; i < n; i++) {
		unsigned ms;

		peer_kill(&peer);
		flow_run(&pb, &f, 5);
		/* Every second time, long enough for the guest to see its link go down. */
		if (i % 2 == 0)
			await_link(&pb, &f, 0);
		peer_start(&peer);
		ms = flow_resumes(&pb, &f, PATIENCE_MS);
		worst = MAX(worst, ms);
		flow_run(&pb, &f, 100);
		if (i % 2 == 0)
			await_link(&pb, &f, 1);
	}
	if (n)
		print_message("  killed %u times, %llu of %llu frames lost; frames again at most "
			      "%u ms after the start of the next one\n",
			      n, (unsigned long long)f.lost, (unsigned long long)(f.got + f.lost),
			      worst);
	for (unsigned i = rounds(20, 4); i; i--)
		stop_and_go(&pb, &f);
	n = rounds(20, 4);
	f.lost = 0;
	for (unsigned i = 0; i < n; i++)
		relay(&pb, &f, &peer, false);
	print_message("  relayed %u times, %llu frames lost\n", n, (unsigned long long)f.lost);
	relay(&pb, &f, &peer, true);
	pb_check_rings(&pb);
	pb_stop(&pb);
	pb_close(&pb);
	pb_done(&pb);
	peer_done(&peer);
}

static void test_split(void **state)
{
	if (skip_unless_there())
		skip();
	session(1, false, false);
}

static void test_packed(void **state)
{
	if (skip_unless_there())
		skip();
	session(1, true, false);
}

static void test_server(void **state)
{
	if (skip_unless_there())
		skip();
	session(1, false, true);
}

static void test_pairs(void **state)
{
	if (skip_unless_there())
		skip();
	session(2, false, false);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_split),
		cmocka_unit_test(test_packed),
		cmocka_unit_test(test_server),
		cmocka_unit_test(test_pairs),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
