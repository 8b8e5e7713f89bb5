/* SPDX-License-Identifier: Apache-2.0 */
#include "unit/backend_echo.h"

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/wait.h>

/*
 * The vhost-user back-end with a front-end that is not ours: DPDK's virtio-user in testpmd, which
 * sends back what it gets, as our worker does, so that frames go round and round. Skipped where
 * dpdk-testpmd is not installed (scripts/deps peers).
 */
extern char **environ;

#define TESTPMD "/usr/bin/dpdk-testpmd"
#define MORE	20000 /* frames that must go round */

struct peer {
	char dir[64], sock[96], log[96];
	pid_t pid;
	int in;
};

static void peer_start(struct peer *peer, const char *devargs, unsigned queues)
{
	char vdev[256];
	posix_spawn_file_actions_t fa;
	int pipefd[2];
	char *argv[] = {
		(char *)(uintptr_t) "dpdk-testpmd",
		(char *)(uintptr_t) "--no-pci",
		(char *)(uintptr_t) "--no-shconf",
		(char *)(uintptr_t) "--no-huge",
		(char *)(uintptr_t) "--single-file-segments",
		(char *)(uintptr_t) "-m",
		(char *)(uintptr_t) "256",
		(char *)(uintptr_t) "--lcores",
		(char *)(uintptr_t) "0@0,1@1",
		(char *)(uintptr_t) "--no-telemetry",
		(char *)(uintptr_t) "--vdev",
		vdev,
		(char *)(uintptr_t) "--",
		(char *)(uintptr_t) "-a",
		(char *)(uintptr_t) "--tx-first",
		(char *)(uintptr_t) "--no-mlockall",
		(char *)(uintptr_t) "--total-num-mbufs=4096",
		(char *)(uintptr_t)(queues > 1 ? "--rxq=2" : "--rxq=1"),
		(char *)(uintptr_t)(queues > 1 ? "--txq=2" : "--txq=1"),
		NULL,
	};

	snprintf(vdev, sizeof(vdev), "net_virtio_user0,path=%s,queues=%u%s", peer->sock, queues,
		 devargs);
	assert_int_equal(pipe2(pipefd, O_CLOEXEC), 0);
	posix_spawn_file_actions_init(&fa);
	posix_spawn_file_actions_adddup2(&fa, pipefd[0], 0);
	posix_spawn_file_actions_addopen(&fa, 1, peer->log, O_WRONLY | O_CREAT | O_APPEND, 0600);
	posix_spawn_file_actions_adddup2(&fa, 1, 2);
	assert_int_equal(posix_spawn(&peer->pid, TESTPMD, &fa, NULL, argv, environ), 0);
	posix_spawn_file_actions_destroy(&fa);
	close(pipefd[0]);
	peer->in = pipefd[1];
}

/* In order: it stops its ports, which asks for each ring's place. */
static void peer_quit(struct peer *peer)
{
	int status;

	assert_int_equal(write(peer->in, "\n", 1), 1);
	close(peer->in);
	assert_int_equal(waitpid(peer->pid, &status, 0), peer->pid);
	assert_int_equal(status, 0);
}

static void peer_kill(struct peer *peer)
{
	kill(peer->pid, SIGKILL);
	assert_int_equal(waitpid(peer->pid, NULL, 0), peer->pid);
	close(peer->in);
}

static void peer_init(struct peer *peer)
{
	snprintf(peer->dir, sizeof(peer->dir), "/tmp/vu-peer-XXXXXX");
	assert_non_null(mkdtemp(peer->dir));
	snprintf(peer->sock, sizeof(peer->sock), "%s/sock", peer->dir);
	snprintf(peer->log, sizeof(peer->log), "%s/log", peer->dir);
}

static void peer_done(struct peer *peer)
{
	unlink(peer->sock);
	if (getenv("PB_KEEP"))
		return;
	unlink(peer->log);
	rmdir(peer->dir);
}

static void frames_go_round(struct echo *e, uint64_t more)
{
	uint64_t goal = atomic_load(&e->frames) + more, end = clock_ns() + PATIENCE_NS;

	while (atomic_load(&e->frames) < goal && clock_ns() < end)
		usleep(1000);
	if (atomic_load(&e->frames) < goal)
		fail_msg("only %llu frames go round",
			 (unsigned long long)(atomic_load(&e->frames) + more - goal));
}

static void wait_gone(struct echo *e)
{
	for (unsigned i = 0; i < PATIENCE_MS && atomic_load(&e->connected); i++)
		usleep(1000);
	assert_false(atomic_load(&e->connected));
	assert_int_equal(e->starts, e->stops);
}

static void session(const char *devargs, unsigned queues, bool server)
{
	struct peer peer;
	struct echo e;

	peer_init(&peer);
	echo_init(&e, peer.sock, server);
	echo_up(&e);
	peer_start(&peer, devargs, queues);
	frames_go_round(&e, MORE);
	assert_true(e.starts >= 2 * queues);
	peer_kill(&peer);
	wait_gone(&e);
	if (!server)
		unlink(peer.sock);
	peer_start(&peer, devargs, queues);
	frames_go_round(&e, MORE);
	peer_quit(&peer);
	wait_gone(&e);
	print_message("virtio-user%s, %u pair(s): %llu frames\n", devargs, queues,
		      (unsigned long long)atomic_load(&e.frames));
	echo_done(&e);
	peer_done(&peer);
}

static int skip_unless_there(void)
{
	if (access(TESTPMD, X_OK) == 0)
		return 0;
	print_message("skip: " TESTPMD " is not installed: scripts/deps peers\n");
	return 1;
}

static void test_rings(void **state)
{
	static const char *const variants[] = {
		"",
		",packed_vq=1",
		",in_order=0,mrg_rxbuf=0",
		",in_order=0",
		",in_order=1,mrg_rxbuf=0",
		",in_order=1,mrg_rxbuf=0,vectorized=1",
		",packed_vq=1,in_order=1,mrg_rxbuf=0,vectorized=1",
		",packed_vq=1,mrg_rxbuf=0,in_order=0",
		",queue_size=1024",
	};

	if (skip_unless_there())
		skip();
	for (unsigned i = 0; i < ARRAY_SIZE(variants); i += rounds(1, 3))
		session(variants[i], 1, true);
}

static void test_pairs(void **state)
{
	if (skip_unless_there())
		skip();
	session("", 2, true);
	session(",packed_vq=1", 2, true);
}

static void test_it_listens(void **state)
{
	if (skip_unless_there())
		skip();
	session(",server=1", 1, false);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rings),
		cmocka_unit_test(test_pairs),
		cmocka_unit_test(test_it_listens),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
