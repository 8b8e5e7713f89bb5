/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DEVICE_SERIAL_H
#define DEVICE_SERIAL_H

#include "bus/bus.h"

/* A 16550A serial port, and where its characters go. */
#define SERIAL_SIZE 8

/** The host's end of the line. */
struct serial_line {
	/** Takes all of data, or drops what it cannot; never blocks. Any thread. */
	void (*output)(void *opaque, const uint8_t *data, size_t len);
	/** Whether the line can take more now; while not, the transmitter looks busy. NULL: always. */
	bool (*ready)(void *opaque);
	/** The guest took all input it was given: there is room for more. NULL: nobody asks. */
	void (*drained)(void *opaque);
	/** Output waits here for more of its line; call serial_flush() soon. NULL: nobody does. */
	void (*flush_later)(void *opaque);
	void *opaque;
};

struct serial;

int serial_create(struct bus_host *host, struct bus *pio, uint16_t port, unsigned gsi,
		  const struct serial_line *line, struct serial **out, struct error *err);
void serial_destroy(struct serial *serial);
void serial_reset(struct serial *serial);

/** Gives the guest input. Returns how much of it there was room for. Any thread. */
size_t serial_input(struct serial *serial, const uint8_t *data, size_t len);

/** Hands on output that waits for the rest of its line. Any thread. */
void serial_flush(struct serial *serial);

/** The line's ready() may have changed: a waiting guest is told. Any thread. */
void serial_line_ready(struct serial *serial);

/** Characters the guest has sent so far. */
uint64_t serial_sent(const struct serial *serial);

#endif
