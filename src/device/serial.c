/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A 16550A (National Semiconductor PC16550D data sheet; section numbers below are its).
 *
 * The transmitter is infinitely fast: a character is on the line when it was written, so the
 * holding register is empty whenever the line takes more. Characters are gathered into lines of
 * text before they are handed on, since each hand-over is a system call: at a newline, when the
 * buffer is full, when the guest touches a register other than the two that a polling driver uses
 * (data and line status), and otherwise when flush_later() was heeded.
 *
 * Interrupts. The pin is a level made of the enabled causes; the pin is set again after everything
 * that may change one. "Holding register empty" is a cause of its own (thre_pending): it arises
 * when the register becomes empty or the interrupt is enabled, and ends when IIR is read as such or
 * a character is written (8.6.2).
 *
 * Invariant: all state is guarded by `lock`, which is held while calling the line's output() and
 * ready(), and not while calling drained() and flush_later().
 */
#include "device/serial.h"

#include <errno.h>
#include <stdlib.h>

enum { RBR_THR, IER, IIR_FCR, LCR, MCR, LSR, MSR, SCR };

enum {
	IER_RX = 1 << 0,
	IER_THRE = 1 << 1,
	IER_LINE = 1 << 2,
	IER_MODEM = 1 << 3,
	IER_ALL = 0x0f,
};

/* IIR, in order of priority. */
enum {
	IIR_NONE = 0x1,
	IIR_LINE = 0x6,
	IIR_RX = 0x4,
	IIR_RX_TIMEOUT = 0xc,
	IIR_THRE = 0x2,
	IIR_MODEM = 0x0,
	IIR_FIFOS = 0xc0,
};

enum { FCR_ENABLE = 1 << 0, FCR_CLEAR_RX = 1 << 1, FCR_CLEAR_TX = 1 << 2, FCR_TRIGGER = 0xc0 };
enum { LCR_DLAB = 1 << 7 };
enum { MCR_DTR = 1, MCR_RTS = 2, MCR_OUT1 = 4, MCR_OUT2 = 8, MCR_LOOP = 16, MCR_ALL = 0x1f };
enum { LSR_DR = 1, LSR_OE = 2, LSR_BI = 16, LSR_THRE = 32, LSR_TEMT = 64 };
enum { MSR_CTS = 16, MSR_DSR = 32, MSR_RI = 64, MSR_DCD = 128, MSR_DELTA = 0x0f };

#define FIFO_SIZE 16
/* More than the chip has, so that pasted text arrives; the guest sees a FIFO that refills. */
#define RX_SIZE 256
#define TX_SIZE 512

struct serial {
	struct bus_host *host;
	struct bus *pio;
	struct serial_line line;
	uint16_t port;
	unsigned gsi;

	pthread_mutex_t lock;
	uint8_t ier, fcr, lcr, mcr, lsr_errors, msr_delta, msr, scr;
	uint16_t divisor;
	bool thre_pending, level;
	uint8_t rx[RX_SIZE];
	unsigned rx_head, rx_count;
	uint8_t tx[TX_SIZE];
	unsigned tx_count;
	bool flush_asked;
	uint64_t sent;
};

/* What to call once the lock is released. */
enum after { AFTER_NOTHING = 0, AFTER_DRAINED = 1, AFTER_FLUSH_LATER = 2 };

static bool line_ready(const struct serial *s)
{
	return !s->line.ready || s->line.ready(s->line.opaque);
}

static unsigned rx_trigger(const struct serial *s)
{
	static const uint8_t levels[] = {1, 4, 8, 14};

	return s->fcr & FCR_ENABLE ? levels[s->fcr >> 6] : 1;
}

static uint8_t interrupt_id(const struct serial *s)
{
	if (s->ier & IER_LINE && s->lsr_errors)
		return IIR_LINE;
	if (s->ier & IER_RX && s->rx_count)
		/* Below the trigger level it is the timeout, without the wait for it. */
		return s->rx_count >= rx_trigger(s) ? IIR_RX : IIR_RX_TIMEOUT;
	if (s->ier & IER_THRE && s->thre_pending)
		return IIR_THRE;
	if (s->ier & IER_MODEM && s->msr_delta)
		return IIR_MODEM;
	return IIR_NONE;
}

static void update_irq(struct serial *s)
{
	bool level = interrupt_id(s) != IIR_NONE;

	if (level == s->level)
		return;
	s->level = level;
	s->host->ops->irq_line(s->host, s->gsi, level);
}

static void flush(struct serial *s)
{
	if (s->tx_count)
		s->line.output(s->line.opaque, s->tx, s->tx_count);
	s->tx_count = 0;
	s->flush_asked = false;
}

static bool rx_push(struct serial *s, uint8_t c)
{
	if (s->rx_count == RX_SIZE)
		return false;
	s->rx[(s->rx_head + s->rx_count++) % RX_SIZE] = c;
	return true;
}

/* The modem's lines: connected and ready; in loopback they are the chip's own outputs (8.6.7). */
static void update_modem(struct serial *s)
{
	uint8_t msr = MSR_CTS | MSR_DSR | MSR_DCD, changed;

	if (s->mcr & MCR_LOOP)
		msr = (uint8_t)((s->mcr & MCR_RTS ? MSR_CTS : 0) |
				(s->mcr & MCR_DTR ? MSR_DSR : 0) |
				(s->mcr & MCR_OUT1 ? MSR_RI : 0) |
				(s->mcr & MCR_OUT2 ? MSR_DCD : 0));
	changed = (uint8_t)(msr ^ s->msr);
	/* The ring indicator's delta is its trailing edge only. */
	if (changed & MSR_RI && msr & MSR_RI)
		changed &= (uint8_t)~MSR_RI;
	s->msr = msr;
	s->msr_delta |= changed >> 4;
}

static enum after transmit(struct serial *s, uint8_t c)
{
	enum after after = AFTER_NOTHING;

	if (s->mcr & MCR_LOOP) {
		if (!rx_push(s, c))
			s->lsr_errors |= LSR_OE;
	} else {
		s->tx[s->tx_count++] = c;
		s->sent++;
		if (c == '\n' || s->tx_count == TX_SIZE) {
			flush(s);
		} else if (!s->flush_asked) {
			s->flush_asked = true;
			after = AFTER_FLUSH_LATER;
		}
	}
	s->thre_pending = line_ready(s);
	return after;
}

static uint8_t receive(struct serial *s, enum after *after)
{
	uint8_t c = 0;

	if (!s->rx_count)
		return 0;
	c = s->rx[s->rx_head];
	s->rx_head = (s->rx_head + 1) % RX_SIZE;
	if (!--s->rx_count)
		*after |= AFTER_DRAINED;
	return c;
}

static uint8_t read_lsr(struct serial *s)
{
	uint8_t lsr = s->lsr_errors;

	s->lsr_errors = 0;
	if (s->rx_count)
		lsr |= LSR_DR;
	if (line_ready(s))
		lsr |= LSR_THRE | LSR_TEMT;
	return lsr;
}

static uint8_t read_iir(struct serial *s)
{
	uint8_t id = interrupt_id(s);

	if (id == IIR_THRE)
		s->thre_pending = false;
	return id | (s->fcr & FCR_ENABLE ? IIR_FIFOS : 0);
}

static uint8_t read_register(struct serial *s, unsigned reg, enum after *after)
{
	uint8_t value;

	switch (reg) {
	case RBR_THR:
		return s->lcr & LCR_DLAB ? (uint8_t)s->divisor : receive(s, after);
	case IER:
		return s->lcr & LCR_DLAB ? (uint8_t)(s->divisor >> 8) : s->ier;
	case IIR_FCR:
		return read_iir(s);
	case LCR:
		return s->lcr;
	case MCR:
		return s->mcr;
	case LSR:
		return read_lsr(s);
	case MSR:
		value = s->msr | s->msr_delta;
		s->msr_delta = 0;
		return value;
	default:
		return s->scr;
	}
}

static void write_ier(struct serial *s, uint8_t value)
{
	bool was = s->ier & IER_THRE;

	s->ier = value & IER_ALL;
	if (!was && s->ier & IER_THRE)
		s->thre_pending = line_ready(s);
}

static void write_fcr(struct serial *s, uint8_t value)
{
	/* Turning the FIFOs on or off empties them (8.6.3). */
	if ((value ^ s->fcr) & FCR_ENABLE)
		value |= FCR_CLEAR_RX | FCR_CLEAR_TX;
	if (value & FCR_CLEAR_RX)
		s->rx_count = 0;
	if (value & FCR_CLEAR_TX && s->ier & IER_THRE)
		s->thre_pending = line_ready(s);
	s->fcr = value & FCR_ENABLE ? value & (FCR_ENABLE | FCR_TRIGGER) : 0;
}

static enum after write_register(struct serial *s, unsigned reg, uint8_t value)
{
	switch (reg) {
	case RBR_THR:
		if (!(s->lcr & LCR_DLAB))
			return transmit(s, value);
		s->divisor = (uint16_t)((s->divisor & 0xff00) | value);
		break;
	case IER:
		if (s->lcr & LCR_DLAB)
			s->divisor = (uint16_t)((s->divisor & 0xff) | value << 8);
		else
			write_ier(s, value);
		break;
	case IIR_FCR:
		write_fcr(s, value);
		break;
	case LCR:
		s->lcr = value;
		break;
	case MCR:
		s->mcr = value & MCR_ALL;
		update_modem(s);
		break;
	case SCR:
		s->scr = value;
		break;
	}
	return AFTER_NOTHING;
}

static void finish(struct serial *s, enum after after)
{
	if (after & AFTER_DRAINED && s->line.drained)
		s->line.drained(s->line.opaque);
	if (after & AFTER_FLUSH_LATER && s->line.flush_later)
		s->line.flush_later(s->line.opaque);
}

static uint64_t serial_read(void *opaque, uint64_t offset, unsigned size)
{
	struct serial *s = opaque;
	enum after after = AFTER_NOTHING;
	uint8_t value;

	pthread_mutex_lock(&s->lock);
	if (offset != LSR && offset != RBR_THR)
		flush(s);
	value = read_register(s, (unsigned)offset, &after);
	update_irq(s);
	pthread_mutex_unlock(&s->lock);
	finish(s, after);
	return value;
}

static void serial_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
	struct serial *s = opaque;
	enum after after;

	pthread_mutex_lock(&s->lock);
	if (offset != RBR_THR)
		flush(s);
	after = write_register(s, (unsigned)offset, (uint8_t)value);
	update_irq(s);
	pthread_mutex_unlock(&s->lock);
	finish(s, after);
}

static const struct bus_range_ops serial_range_ops = {.read = serial_read, .write = serial_write};

size_t serial_input(struct serial *s, const uint8_t *data, size_t len)
{
	size_t n = 0;

	pthread_mutex_lock(&s->lock);
	/* In loopback the pin is disconnected (8.6.7): as if nobody had typed. */
	if (s->mcr & MCR_LOOP)
		n = len;
	while (n < len && rx_push(s, data[n]))
		n++;
	update_irq(s);
	pthread_mutex_unlock(&s->lock);
	return n;
}

void serial_flush(struct serial *s)
{
	pthread_mutex_lock(&s->lock);
	flush(s);
	pthread_mutex_unlock(&s->lock);
}

void serial_line_ready(struct serial *s)
{
	pthread_mutex_lock(&s->lock);
	if (!s->thre_pending && line_ready(s))
		s->thre_pending = true;
	update_irq(s);
	pthread_mutex_unlock(&s->lock);
}

uint64_t serial_sent(const struct serial *s)
{
	return READ_ONCE(s->sent);
}

static void power_on(struct serial *s)
{
	s->ier = s->fcr = s->lcr = s->mcr = s->lsr_errors = s->msr_delta = s->scr = 0;
	s->divisor = 12; /* 9600 baud, as firmware leaves it */
	s->msr = MSR_CTS | MSR_DSR | MSR_DCD;
	s->thre_pending = false;
	s->rx_head = s->rx_count = 0;
}

void serial_reset(struct serial *s)
{
	pthread_mutex_lock(&s->lock);
	flush(s);
	power_on(s);
	update_irq(s);
	pthread_mutex_unlock(&s->lock);
}

int serial_create(struct bus_host *host, struct bus *pio, uint16_t port, unsigned gsi,
		  const struct serial_line *line, struct serial **out, struct error *err)
{
	struct bus_range range = {
		.name = "serial port", .base = port, .size = SERIAL_SIZE, .ops = &serial_range_ops};
	struct serial *s = calloc(1, sizeof(*s));
	int ret;

	if (!s)
		return error_set(err, -ENOMEM, "serial port: out of memory");
	s->host = host;
	s->pio = pio;
	s->port = port;
	s->gsi = gsi;
	s->line = *line;
	pthread_mutex_init(&s->lock, NULL);
	power_on(s);
	range.opaque = s;
	ret = bus_add(pio, &range, err);
	if (ret) {
		pthread_mutex_destroy(&s->lock);
		free(s);
		return ret;
	}
	*out = s;
	return 0;
}

void serial_destroy(struct serial *s)
{
	if (!s)
		return;
	bus_remove(s->pio, s->port, s);
	serial_flush(s);
	pthread_mutex_destroy(&s->lock);
	free(s);
}
