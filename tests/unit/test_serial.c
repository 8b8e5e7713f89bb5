/* SPDX-License-Identifier: Apache-2.0 */
#include "unit.h"

#include "device/serial.h"
#include "fake_host.h"

#include <stdlib.h>

#define PORT 0x3f8
#define GSI  4

enum { DATA, IER, IIR, LCR, MCR, LSR, MSR, SCR };

struct rig {
	struct fake_host h;
	struct serial *serial;
	uint8_t out[2048];
	size_t len;
	unsigned outputs, drained, flushes;
	bool busy;
};

static void output(void *opaque, const uint8_t *data, size_t len)
{
	struct rig *r = opaque;

	assert_true(r->len + len <= sizeof(r->out));
	memcpy(r->out + r->len, data, len);
	r->len += len;
	r->outputs++;
}

static bool ready(void *opaque)
{
	return !((struct rig *)opaque)->busy;
}

static void drained(void *opaque)
{
	((struct rig *)opaque)->drained++;
}

static void flush_later(void *opaque)
{
	((struct rig *)opaque)->flushes++;
}

static void put(struct rig *r, unsigned reg, uint8_t value)
{
	assert_true(bus_write(r->h.pio, PORT + reg, &value, 1));
}

static uint8_t get(struct rig *r, unsigned reg)
{
	uint8_t value = 0;

	assert_true(bus_read(r->h.pio, PORT + reg, &value, 1));
	return value;
}

static void type(struct rig *r, const char *text)
{
	while (*text)
		put(r, DATA, (uint8_t)*text++);
}

static int setup(void **state)
{
	struct rig *r = calloc(1, sizeof(*r));
	const struct serial_line line = {output, ready, drained, flush_later, r};
	struct error err;

	fake_host_init(&r->h);
	assert_int_equal(serial_create(&r->h.host, r->h.pio, PORT, GSI, &line, &r->serial, &err),
			 0);
	*state = r;
	return 0;
}

static int teardown(void **state)
{
	struct rig *r = *state;

	serial_destroy(r->serial);
	fake_host_fini(&r->h);
	free(r);
	return 0;
}

/* Characters go out a line of text at a time, or when asked. */
static void lines(void **state)
{
	struct rig *r = *state;

	type(r, "hello");
	assert_int_equal(r->outputs, 0);
	assert_int_equal(r->flushes, 1);
	assert_int_equal(get(r, LSR), 0x60);
	assert_int_equal(r->outputs, 0);
	type(r, "\n");
	assert_int_equal(r->outputs, 1);
	type(r, "$ ");
	assert_int_equal(r->flushes, 2);
	serial_flush(r->serial);
	assert_int_equal(r->outputs, 2);
	type(r, "x");
	put(r, IER, 0); /* any other register flushes as well */
	assert_int_equal(r->outputs, 3);
	assert_memory_equal(r->out, "hello\n$ x", 9);
	for (unsigned i = 0; i < 600; i++)
		type(r, "a");
	assert_int_equal(r->outputs, 4);
	serial_flush(r->serial);
	assert_int_equal(r->len, 9 + 600);
	assert_int_equal(serial_sent(r->serial), 609);
}

/* What Linux's 8250 driver does to find out what it has (autoconfig). */
static void autoconfig(void **state)
{
	struct rig *r = *state;

	put(r, IER, 0);
	assert_int_equal(get(r, IER) & 0x0f, 0);
	put(r, IER, 0x0f);
	assert_int_equal(get(r, IER) & 0x0f, 0x0f);
	put(r, IER, 0xff);
	assert_int_equal(get(r, IER), 0x0f); /* no bits of later chips */
	put(r, IER, 0);
	put(r, MCR, 0x10 | 0x0a); /* loopback: RTS and OUT2 come back as CTS and DCD */
	assert_int_equal(get(r, MSR) & 0xf0, 0x90);
	put(r, MCR, 0);
	assert_int_equal(get(r, MSR) & 0xf0, 0xb0);
	assert_int_equal(get(r, IIR) & 0xc0, 0);
	put(r, IIR, 1);
	assert_int_equal(get(r, IIR) & 0xc0, 0xc0); /* 16550A */
	put(r, IIR, 0x21);
	assert_int_equal(get(r, IIR) >> 5, 6); /* no 64-byte FIFO */
	put(r, SCR, 0x5a);
	assert_int_equal(get(r, SCR), 0x5a);
	put(r, LCR, 0x80);
	put(r, DATA, 0x34);
	put(r, IER, 0x12);
	assert_int_equal(get(r, DATA), 0x34);
	assert_int_equal(get(r, IER), 0x12);
	put(r, LCR, 3);
	assert_int_equal(get(r, IER), 0);
	assert_int_equal(r->len, 0);
}

static void transmit_interrupt(void **state)
{
	struct rig *r = *state;

	put(r, IIR, 1);
	assert_false(r->h.lines[GSI]);
	put(r, IER, 2);
	assert_true(r->h.lines[GSI]);
	assert_int_equal(get(r, IIR) & 0x0f, 2); /* reading it is what clears it */
	assert_false(r->h.lines[GSI]);
	assert_int_equal(get(r, IIR) & 0x0f, 1);
	type(r, "a");
	assert_true(r->h.lines[GSI]);
	put(r, IER, 0);
	assert_false(r->h.lines[GSI]);
	put(r, IER, 2); /* enabled anew: told anew */
	assert_true(r->h.lines[GSI]);
}

static void receive(void **state)
{
	struct rig *r = *state;
	uint8_t lots[300];

	put(r, IIR, 0xc1); /* trigger level 14 */
	put(r, IER, 1);
	assert_int_equal(serial_input(r->serial, (const uint8_t *)"ab", 2), 2);
	assert_true(r->h.lines[GSI]);
	assert_int_equal(get(r, IIR) & 0x0f, 0x0c);
	assert_int_equal(get(r, LSR), 0x61);
	assert_int_equal(get(r, DATA), 'a');
	assert_int_equal(r->drained, 0);
	assert_int_equal(get(r, DATA), 'b');
	assert_int_equal(r->drained, 1);
	assert_false(r->h.lines[GSI]);
	assert_int_equal(get(r, DATA), 0);
	memset(lots, 'z', sizeof(lots));
	assert_int_equal(serial_input(r->serial, lots, sizeof(lots)), 256);
	assert_int_equal(serial_input(r->serial, lots, 1), 0);
	assert_int_equal(get(r, IIR) & 0x0f, 4);
	put(r, IIR, 0xc3); /* clear the receive FIFO */
	assert_int_equal(get(r, LSR) & 1, 0);
	assert_false(r->h.lines[GSI]);
}

/* A line that takes no more looks like a busy transmitter, and tells when it is ready again. */
static void busy_line(void **state)
{
	struct rig *r = *state;

	put(r, IER, 2);
	get(r, IIR);
	r->busy = true;
	assert_int_equal(get(r, LSR) & 0x60, 0);
	type(r, "x");
	assert_false(r->h.lines[GSI]);
	serial_line_ready(r->serial);
	assert_false(r->h.lines[GSI]);
	r->busy = false;
	serial_line_ready(r->serial);
	assert_true(r->h.lines[GSI]);
	assert_int_equal(get(r, LSR) & 0x60, 0x60);
}

static void loopback(void **state)
{
	struct rig *r = *state;

	put(r, MCR, 0x10);
	type(r, "q");
	assert_int_equal(get(r, DATA), 'q');
	serial_flush(r->serial);
	assert_int_equal(r->len, 0);
	for (unsigned i = 0; i < 257; i++)
		type(r, "o");
	assert_int_equal(get(r, LSR) & 2, 2); /* overrun, told once */
	assert_int_equal(get(r, LSR) & 2, 0);
}

static void modem_delta(void **state)
{
	struct rig *r = *state;

	get(r, MSR);
	put(r, IER, 8);
	put(r, MCR, 0x10);
	assert_true(r->h.lines[GSI]);
	assert_int_equal(get(r, IIR) & 0x0f, 0);
	assert_int_equal(get(r, MSR) & 0x0f, 0x0b); /* CTS, DSR and DCD went away */
	assert_false(r->h.lines[GSI]);
}

static void reset(void **state)
{
	struct rig *r = *state;

	put(r, IIR, 1);
	put(r, IER, 3);
	put(r, MCR, 0x0b);
	type(r, "half a li");
	serial_input(r->serial, (const uint8_t *)"in", 2);
	serial_reset(r->serial);
	assert_int_equal(r->len, 9);
	assert_false(r->h.lines[GSI]);
	assert_int_equal(get(r, IER), 0);
	assert_int_equal(get(r, MCR), 0);
	assert_int_equal(get(r, LSR), 0x60);
	assert_int_equal(get(r, IIR), 1);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {T(lines),	   T(autoconfig), T(transmit_interrupt),
					   T(receive),	   T(busy_line),  T(loopback),
					   T(modem_delta), T(reset)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
