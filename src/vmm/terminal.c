/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Invariant: `raw` is set exactly while the terminal differs from `saved`. It is the last thing
 * set when entering and is cleared before restoring, so that a signal in between restores either
 * nothing or a state that was saved whole.
 */
#include "vmm/terminal.h"
#include "base/log.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <termios.h>
#include <unistd.h>

static struct termios saved;
static volatile sig_atomic_t raw;

void terminal_restore(void)
{
	int code = errno;

	if (raw) {
		raw = 0;
		tcsetattr(STDIN_FILENO, TCSANOW, &saved);
		log_set_raw_terminal(false);
	}
	errno = code;
}

static void fatal(int sig)
{
	terminal_restore();
	/* SA_RESETHAND put the default back: this time it ends the process, with its core. */
	raise(sig);
}

static void install(void)
{
	static const int signals[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGQUIT, SIGSYS};
	struct sigaction action = {.sa_handler = fatal, .sa_flags = SA_RESETHAND | SA_NODEFER};
	static bool done;

	if (done)
		return;
	done = true;
	sigemptyset(&action.sa_mask);
	for (unsigned i = 0; i < sizeof(signals) / sizeof(signals[0]); i++)
		sigaction(signals[i], &action, NULL);
	/* In the background, restoring must neither stop the process nor fail. */
	signal(SIGTTOU, SIG_IGN);
	signal(SIGTTIN, SIG_IGN);
	atexit(terminal_restore);
}

bool terminal_enter(void)
{
	struct termios t;

	if (raw)
		return true;
	if (!isatty(STDIN_FILENO) || tcgetpgrp(STDIN_FILENO) != getpgrp() ||
	    tcgetattr(STDIN_FILENO, &saved))
		return false;
	install();
	t = saved;
	cfmakeraw(&t);
	if (tcsetattr(STDIN_FILENO, TCSANOW, &t))
		return false;
	raw = 1;
	log_set_raw_terminal(true);
	return true;
}

void terminal_stop(void)
{
	bool was = raw;

	terminal_restore();
	raise(SIGSTOP);
	if (was)
		terminal_enter();
}
