/* SPDX-License-Identifier: Apache-2.0 */
#include "hostnet/ovs.h"

#include "base/log.h"
#include "hostnet/netif.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define DRIVER "openvswitch"

bool ovs_owns(const char *ifname)
{
	char driver[32], bus[32];

	return netif_driver(ifname, driver, bus) == 0 && strcmp(driver, DRIVER) == 0;
}

bool ovs_has_port(const char *ifname)
{
	int master = netif_master(ifname);
	char name[IF_NAMESIZE];

	return master > 0 && if_indextoname((unsigned)master, name) && ovs_owns(name);
}

/* Reads what a program says until it closes its end; on one line, without the last line's end. */
static void listen_to(int fd, char *words, size_t size)
{
	char more[256];
	size_t have = 0;
	ssize_t n;

	while ((n = read(fd, more, sizeof(more))) > 0 || (n < 0 && errno == EINTR)) {
		for (ssize_t i = 0; i < n && have < size - 1; i++)
			words[have++] = more[i] == '\n' ? ';' : more[i];
	}
	while (have && words[have - 1] == ';')
		have--;
	words[have] = '\0';
}

#define WORDS_MAX 8 /* of a command, with the NULL behind them */

static int spawn(const char *const command[WORDS_MAX], int said, pid_t *pid)
{
	char *argv[WORDS_MAX];
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attr;
	sigset_t none;
	int rc;

	memcpy(argv, command, sizeof(argv)); /* which leaves them as they are */
	sigemptyset(&none);
	posix_spawn_file_actions_init(&actions);
	posix_spawnattr_init(&attr);
	posix_spawnattr_setsigmask(&attr, &none);
	posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSIGMASK);
	posix_spawn_file_actions_adddup2(&actions, said, 1);
	posix_spawn_file_actions_adddup2(&actions, said, 2);
	rc = posix_spawnp(pid, argv[0], &actions, &attr, argv, environ);
	posix_spawnattr_destroy(&attr);
	posix_spawn_file_actions_destroy(&actions);
	return -rc;
}

/* Runs ovs-vsctl with its words. Returns 0, -ENOENT when there is none, or -EIO with what it said. */
static int run(const char *const command[WORDS_MAX], char *words, size_t size)
{
	int said[2], status = 0, rc;
	pid_t pid, ended;

	words[0] = '\0';
	if (pipe2(said, O_CLOEXEC) < 0)
		return -errno;
	rc = spawn(command, said[1], &pid);
	close(said[1]);
	if (rc == 0) {
		listen_to(said[0], words, size);
		do {
			ended = waitpid(pid, &status, 0);
		} while (ended < 0 && errno == EINTR);
		rc = ended == pid && WIFEXITED(status) && WEXITSTATUS(status) == 0 ? 0 : -EIO;
	}
	close(said[0]);
	return rc;
}

int ovs_add_port(const char *bridge, const char *ifname, struct error *err)
{
	const char *const command[WORDS_MAX] = {"ovs-vsctl", "--timeout=10", "--may-exist",
						"add-port",  bridge,	     ifname};
	char words[256];
	int rc = run(command, words, sizeof(words));

	if (rc == -ENOENT)
		return error_set(err, rc,
				 "%s: %s is a bridge of Open vSwitch, and there is no ovs-vsctl to "
				 "join it with: install openvswitch-switch, or make it a port "
				 "yourself and leave bridge= away",
				 ifname, bridge);
	if (rc)
		return error_set(err, rc,
				 "%s: cannot be made a port of %s: ovs-vsctl: %s: see that "
				 "ovs-vswitchd runs",
				 ifname, bridge, words[0] ? words : error_name(rc));
	if (!ovs_has_port(ifname))
		return error_set(err, -EIO,
				 "%s: Open vSwitch has the port in its database and not in the "
				 "kernel: see ovs-vswitchd's log",
				 ifname);
	return 0;
}

void ovs_forget_port(const char *ifname)
{
	const char *const command[WORDS_MAX] = {"ovs-vsctl", "--timeout=10", "--if-exists",
						"del-port", ifname};
	char words[256];
	int rc = run(command, words, sizeof(words));

	if (rc)
		log_warn("%s: its record in Open vSwitch stays: ovs-vsctl: %s", ifname,
			 words[0] ? words : error_name(rc));
}
