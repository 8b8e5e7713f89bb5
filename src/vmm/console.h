/* SPDX-License-Identifier: Apache-2.0 */
#ifndef VMM_CONSOLE_H
#define VMM_CONSOLE_H

#include "base/loop.h"
#include "device/serial.h"

/* The host's end of the guest's serial port: what --serial chooses. */
struct console;

enum console_kind { CONSOLE_STDIO, CONSOLE_NULL, CONSOLE_FILE };

/** Keys after Ctrl-A; called in the main loop's thread. */
struct console_events {
	void (*quit)(void *opaque);
	void (*power_button)(void *opaque);
	void *opaque;
};

/** path only for CONSOLE_FILE. */
int console_create(enum console_kind kind, const char *path, struct loop *loop,
		   const struct console_events *events, struct console **out, struct error *err);
/** What the serial port is to be given. */
void console_line(struct console *console, struct serial_line *line);
/** The serial port at the other end; from here on there is input. NULL takes it away. */
void console_attach(struct console *console, struct serial *serial);

/**
 * Output waits for the rest of its line, and perhaps port writes in KVM's ring: flush() is called
 * in the main loop's thread soon (it should drain both), and again until it returns false.
 */
void console_set_flush(struct console *console, bool (*flush)(void *opaque), void *opaque);
/** From any thread: there may be something to flush soon. */
void console_flush_soon(struct console *console);

/** After the process was stopped: the terminal, and input from it, again. */
void console_continued(struct console *console);

/** Waits up to a second for output to be taken, restores the terminal, frees. */
void console_destroy(struct console *console);

/** Characters that nobody took. */
uint64_t console_lost(const struct console *console);

#endif
