/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The host's end of the guest's serial port.
 *
 * Input is read in the main loop and only as fast as the guest takes it: what the serial port has
 * no room for waits in `pending`, and standard input is not watched until the port says that it
 * was drained (`input_waits` tells the vCPU whether that is worth a word).
 *
 * The flush timer serves output that waits for the rest of its line, here and in KVM's ring of
 * batched port writes. Whoever has such output calls console_flush_soon(); it costs a wake-up of
 * the main loop only if the timer is not running yet. While there is output the timer runs every
 * FLUSH_NS; it then slows down to once in FLUSH_IDLE_NS and stays there, since a guest may write to
 * the port without any exit that would tell.
 */
#include "vmm/console.h"
#include "vmm/console_out.h"
#include "vmm/terminal.h"
#include "base/log.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define FLUSH_NS      (10 * NSEC_PER_MSEC)
#define FLUSH_IDLE_NS (500 * NSEC_PER_MSEC)
#define CTRL_A	      0x01

struct console {
	struct loop *loop;
	struct console_events events;
	enum console_kind kind;
	struct console_out out;
	struct serial *serial;

	struct loop_fd input;
	bool input_open, input_file, tty, escaped;
	uint8_t pending[256];
	size_t pending_at, pending_len;
	atomic_bool input_waits;

	bool (*flush)(void *opaque);
	void *flush_opaque;
	struct loop_timer flush_timer;
	atomic_bool flush_running;
};

static const char help[] = "\r\n"
			   "Ctrl-A h  this help\r\n"
			   "Ctrl-A x  end the guest at once\r\n"
			   "Ctrl-A p  press the guest's power button\r\n"
			   "Ctrl-A Ctrl-A  send Ctrl-A to the guest\r\n";

static void print(struct console *c, const char *text)
{
	console_out_write(&c->out, (const uint8_t *)text, strlen(text));
}

/* One byte from a terminal; returns whether it is for the guest. */
static bool escape(struct console *c, uint8_t byte)
{
	if (!c->tty)
		return true;
	if (!c->escaped) {
		c->escaped = byte == CTRL_A;
		return !c->escaped;
	}
	c->escaped = false;
	switch (byte) {
	case CTRL_A:
		return true;
	case 'x':
	case 'X':
		c->events.quit(c->events.opaque);
		return false;
	case 'p':
	case 'P':
		c->events.power_button(c->events.opaque);
		return false;
	default:
		print(c, help);
		return false;
	}
}

/* Gives the guest what waits; returns whether all of it went. */
static bool push_pending(struct console *c)
{
	while (c->pending_at < c->pending_len) {
		size_t n;

		/* Before asking, so that a drain in between is not missed. */
		atomic_store(&c->input_waits, true);
		n = serial_input(c->serial, c->pending + c->pending_at,
				 c->pending_len - c->pending_at);
		c->pending_at += n;
		if (!n)
			return false;
	}
	atomic_store(&c->input_waits, false);
	return true;
}

static void input_stop(struct console *c)
{
	loop_remove(c->loop, &c->input);
	c->input_open = false;
}

/* Reads once. Returns false when there is no more for now, or ever. */
static bool input_read(struct console *c)
{
	uint8_t buf[sizeof(c->pending)];
	ssize_t n = read(STDIN_FILENO, buf, sizeof(buf));

	if (n <= 0) {
		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			return false;
		/* End of input; EIO: in the terminal's background, until SIGCONT. */
		input_stop(c);
		return false;
	}
	c->pending_at = c->pending_len = 0;
	for (ssize_t i = 0; i < n; i++) {
		if (escape(c, buf[i]))
			c->pending[c->pending_len++] = buf[i];
	}
	return true;
}

static void input_pump(struct console *c)
{
	while (c->serial && c->input_open && push_pending(c)) {
		if (!c->input_file) {
			if (!c->input.active && loop_add(c->loop, &c->input, EPOLLIN))
				input_stop(c);
			return;
		}
		/* A regular file is always readable, and epoll does not take it. */
		if (!input_read(c))
			return;
	}
	loop_remove(c->loop, &c->input);
}

static void readable(struct loop_fd *watch, uint32_t events)
{
	struct console *c = watch->opaque;

	if (input_read(c))
		input_pump(c);
}

static void input_start(struct console *c)
{
	int ret;

	if (c->kind != CONSOLE_STDIO || c->input_open)
		return;
	c->tty = isatty(STDIN_FILENO);
	if (c->tty && !terminal_enter())
		return; /* in the background; SIGCONT brings another try */
	c->input_open = true;
	if (c->input.active)
		return;
	ret = loop_add(c->loop, &c->input, EPOLLIN);
	c->input_file = ret == -EPERM;
	if (ret && !c->input_file)
		c->input_open = false;
	else if (c->input_file)
		input_pump(c);
}

void console_continued(struct console *c)
{
	if (c->kind == CONSOLE_STDIO && c->tty && terminal_enter() && c->serial)
		input_start(c);
}

static void pump_posted(void *arg)
{
	input_pump(arg);
}

/* Line operations, called by the serial port in any thread. */
static void line_output(void *opaque, const uint8_t *data, size_t len)
{
	struct console *c = opaque;

	console_out_write(&c->out, data, len);
}

static bool line_ready(void *opaque)
{
	struct console *c = opaque;

	return console_out_ready(&c->out);
}

static void line_drained(void *opaque)
{
	struct console *c = opaque;

	if (atomic_load(&c->input_waits))
		loop_post(c->loop, pump_posted, c);
}

static void line_flush_later(void *opaque)
{
	console_flush_soon(opaque);
}

void console_line(struct console *c, struct serial_line *line)
{
	*line = (struct serial_line){
		.output = line_output,
		.ready = line_ready,
		.drained = line_drained,
		.flush_later = line_flush_later,
		.opaque = c,
	};
}

static void out_ready(void *opaque)
{
	struct console *c = opaque;

	if (c->serial)
		serial_line_ready(c->serial);
}

static void flush_fired(struct loop_timer *timer)
{
	struct console *c = timer->opaque;
	bool busy;

	/* Cleared first: output that comes while flushing sets the timer anew. */
	atomic_store(&c->flush_running, false);
	busy = c->flush && c->flush(c->flush_opaque);
	if (c->serial)
		serial_flush(c->serial);
	if (busy)
		atomic_store(&c->flush_running, true);
	loop_timer_set(c->loop, timer, clock_ns() + (busy ? FLUSH_NS : FLUSH_IDLE_NS));
}

static void flush_posted(void *arg)
{
	struct console *c = arg;

	loop_timer_set(c->loop, &c->flush_timer, clock_ns() + FLUSH_NS);
}

void console_flush_soon(struct console *c)
{
	if (!atomic_exchange(&c->flush_running, true))
		loop_post(c->loop, flush_posted, c);
}

void console_set_flush(struct console *c, bool (*flush)(void *opaque), void *opaque)
{
	c->flush = flush;
	c->flush_opaque = opaque;
}

void console_attach(struct console *c, struct serial *serial)
{
	c->serial = serial;
	if (!serial) {
		loop_remove(c->loop, &c->input);
		loop_timer_cancel(c->loop, &c->flush_timer);
		return;
	}
	input_start(c);
	if (c->tty && c->input_open)
		print(c, "(Ctrl-A h for help)\r\n");
}

int console_create(enum console_kind kind, const char *path, struct loop *loop,
		   const struct console_events *events, struct console **out, struct error *err)
{
	struct console *c = calloc(1, sizeof(*c));
	int ret = 0;

	if (!c)
		return error_set(err, -ENOMEM, "console: out of memory");
	c->kind = kind;
	c->loop = loop;
	c->events = *events;
	c->out.ready = out_ready;
	c->out.opaque = c;
	c->input = (struct loop_fd){.fd = STDIN_FILENO, .fn = readable, .opaque = c};
	c->flush_timer = (struct loop_timer){.fn = flush_fired, .opaque = c};
	if (kind == CONSOLE_STDIO)
		ret = console_out_stdio(&c->out, loop, err);
	else if (kind == CONSOLE_FILE)
		ret = console_out_file(&c->out, path, loop, err);
	else
		console_out_null(&c->out, loop);
	if (ret) {
		free(c);
		return ret;
	}
	*out = c;
	return 0;
}

uint64_t console_lost(const struct console *c)
{
	return c->out.lost;
}

void console_destroy(struct console *c)
{
	if (!c)
		return;
	console_attach(c, NULL);
	console_out_close(&c->out, 1000);
	terminal_restore();
	free(c);
}
