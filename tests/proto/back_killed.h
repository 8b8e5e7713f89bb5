/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_BACK_KILLED_H
#define TESTS_BACK_KILLED_H

#include "back_session.h"

#include <signal.h>
#include <sys/wait.h>

/*
 * A back-end that is a server in a process of its own, which spawn() starts, is killed at any
 * instruction, under traffic. Nothing comes twice or out of order, all buffers come back, and what is
 * lost is what it had in hand.
 */
static inline void back_killed(pid_t (*spawn)(const char *path), bool packed)
{
	char path[64], opts[128];
	struct flow f = {0};
	unsigned kills = rounds(15, 5);
	struct pb pb;
	pid_t pid;

	make_socket_path(path);
	pid = spawn(path);
	pb_init(&pb, 2, 256, packed);
	snprintf(opts, sizeof(opts), "socket=%s,wait=60000,link-down-after=100", path);
	pb_open(&pb, "vhost-user", opts);
	for (unsigned i = 0; i < kills; i++) {
		flow_until(&pb, &f, 500 + 37 * i);
		kill(pid, SIGKILL);
		assert_int_equal(waitpid(pid, NULL, 0), pid);
		flow_run(&pb, &f, i % 3 * 20);
		pid = spawn(path);
		/* Up to a burst of each pair is gone, and the window would never open again. */
		flow_resume(&pb, &f);
	}
	print_message("%s: killed %u times, %llu of %llu frames lost\n",
		      packed ? "packed" : "split", kills, (unsigned long long)f.lost,
		      (unsigned long long)(f.got + f.lost));
	assert_true(f.lost <= kills * 2 * 2 * ECHO_BURST);
	pb_check_rings(&pb);
	pb_stop(&pb);
	pb_close(&pb);
	pb_done(&pb);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	drop_socket_path(path);
}

#endif
