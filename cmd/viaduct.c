/* SPDX-License-Identifier: Apache-2.0 */
/* viaduct, the virtual machine monitor: the command line, signals, exit codes. */
#include "api.h"
#include "cmdline.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "vmm/terminal.h"

struct program {
	struct machine *machine;
	struct loop_fd signals;
	bool asked_to_end;
};

/* Descriptors 0 to 2 must not become something else's because they were closed. */
static void open_standard_fds(void)
{
	for (int fd = 0; fd <= 2; fd++) {
		if (fcntl(fd, F_GETFD) < 0)
			(void)!open("/dev/null", fd ? O_WRONLY : O_RDONLY);
	}
}

static void end_signal(struct program *p, unsigned sig)
{
	if (p->asked_to_end) {
		log_warn("signal %u again: ending the guest now", sig);
		machine_end(p->machine, MACHINE_FAILED);
		return;
	}
	p->asked_to_end = true;
	machine_power_button(p->machine);
}

static void signalled(struct loop_fd *watch, uint32_t events)
{
	struct program *p = watch->opaque;
	struct signalfd_siginfo info;

	if (read(watch->fd, &info, sizeof(info)) != sizeof(info))
		return;
	switch (info.ssi_signo) {
	case SIGTERM:
	case SIGINT:
	case SIGHUP:
		end_signal(p, info.ssi_signo);
		break;
	case SIGTSTP:
		terminal_stop();
		break;
	case SIGCONT:
		machine_continued(p->machine);
		break;
	}
}

/* Before any thread is made, so that all of them block these. */
static int watch_signals(struct program *p, struct loop *loop, struct error *err)
{
	static const int numbers[] = {SIGTERM, SIGINT, SIGHUP, SIGTSTP, SIGCONT};
	sigset_t set;
	int ret;

	sigemptyset(&set);
	for (unsigned i = 0; i < ARRAY_SIZE(numbers); i++)
		sigaddset(&set, numbers[i]);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	p->signals.fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (p->signals.fd < 0)
		return error_set(err, -errno, "signalfd: %s", error_name(errno));
	p->signals.fn = signalled;
	p->signals.opaque = p;
	ret = loop_add(loop, &p->signals, EPOLLIN);
	return ret ? error_set(err, ret, "signals: %s", error_name(ret)) : 0;
}

/* With its control socket, if it is to have one. */
static enum machine_result run_machine(struct machine *machine, struct loop *loop,
				       const char *api_socket, struct error *err)
{
	enum machine_result result;
	struct api *api = NULL;

	if (api_socket && api_open(api_socket, loop, machine, &api, err))
		return MACHINE_FAILED;
	result = machine_run(machine, err);
	api_close(api);
	return result;
}

static enum machine_result run(const struct cmdline *cmdline)
{
	struct error err = {0};
	struct program program = {0};
	struct loop *loop = loop_create(&err);
	enum machine_result result = MACHINE_FAILED;

	if (loop && !watch_signals(&program, loop, &err)) {
		result = machine_create(&cmdline->config, loop, &program.machine, &err);
		if (result == MACHINE_OFF)
			result = run_machine(program.machine, loop, cmdline->api_socket, &err);
	}
	machine_destroy(program.machine);
	if (err.code)
		log_error("%s", err.text);
	if (loop)
		loop_destroy(loop);
	return result;
}

static int print_and_check(void (*print)(void))
{
	print();
	if (fflush(stdout) || ferror(stdout)) {
		log_error("standard output: %s", error_name(errno));
		return MACHINE_FAILED;
	}
	return MACHINE_OFF;
}

static void print_version(void)
{
	printf("viaduct %s\n", VIADUCT_VERSION);
}

int main(int argc, char **argv)
{
	static struct cmdline cmdline;
	struct error err = {0};

	open_standard_fds();
	/* A reader that left must not end the machine, nor hide an exit status. */
	signal(SIGPIPE, SIG_IGN);
	log_set_name("viaduct");
	if (cmdline_parse(&cmdline, argc, argv, &err)) {
		log_error("%s", err.text);
		return MACHINE_USAGE;
	}
	log_set_level(cmdline.log_level);
	switch (cmdline.what) {
	case CMDLINE_HELP:
		return print_and_check(cmdline_help);
	case CMDLINE_VERSION:
		return print_and_check(print_version);
	default:
		return (int)run(&cmdline);
	}
}
