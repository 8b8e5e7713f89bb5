/* SPDX-License-Identifier: Apache-2.0 */
#ifndef VMM_TERMINAL_H
#define VMM_TERMINAL_H

#include <stdbool.h>

/*
 * The terminal on standard input, in raw mode while the guest has it. Restored at exit, also by a
 * fatal signal, and around a stop. There is one of them in a process.
 */

/** Raw mode, if standard input is a terminal and this process is in its foreground. */
bool terminal_enter(void);
/** Back to how it was. Safe in a signal handler, and when nothing was changed. */
void terminal_restore(void);
/** SIGTSTP arrived: restores the terminal, stops the process, and comes back when it goes on. */
void terminal_stop(void);

#endif
