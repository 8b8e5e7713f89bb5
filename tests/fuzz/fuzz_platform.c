/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A guest that does anything to the platform's ports (serial port, clock, ACPI registers, the
 * one-register ports), and a host at the other end of the serial line that is ready or not. The
 * input is a list of commands. Whatever it says, the interrupt lines say what the registers say,
 * no character is made up, and after a reset all is quiet.
 */
#include "fuzz.h"

#include "../unit/fake_host.h"
#include "device/pm.h"
#include "device/ports.h"
#include "device/rtc.h"
#include "device/serial.h"

#define COM	   0x3f8
#define RTC	   0x70
#define PM	   0x600
#define KEYBOARD   0x64
#define PVPANIC	   0x505
#define SERIAL_GSI 4
#define RTC_GSI	   8
#define SCI_GSI	   9

enum command {
	CMD_OUT,   /* a write to one of the ports */
	CMD_IN,	   /* a read */
	CMD_CLOCK, /* index and data of the clock */
	CMD_INPUT, /* characters from the host */
	CMD_READY, /* the line takes more, or not */
	CMD_FLUSH,
	CMD_BUTTON,
	CMD_TIME, /* the loop's timers */
	CMD_RESET,
	CMD_COUNT
};

struct platform {
	struct fake_host host;
	struct serial *serial;
	struct rtc *rtc;
	struct pm *pm;
	struct ports *ports;
	bool ready;
	uint64_t written, put_out; /* characters */
};

static void line_output(void *opaque, const uint8_t *data, size_t len)
{
	struct platform *p = opaque;

	fuzz_assert(len);
	p->put_out += len;
	fuzz_assert(p->put_out <= p->written);
}

static bool line_is_ready(void *opaque)
{
	return ((struct platform *)opaque)->ready;
}

static void line_event(void *opaque)
{
}

static void event(void *opaque)
{
}

static void named_event(void *opaque, const char *how)
{
	fuzz_assert(how);
}

static void create(struct platform *p)
{
	const struct serial_line line = {line_output, line_is_ready, line_event, line_event, p};
	const struct platform_events events = {event, named_event, named_event, p};
	const struct ports_config ports = {.keyboard = KEYBOARD, .pvpanic = PVPANIC};
	struct bus_host *host = &p->host.host;
	struct bus *pio;

	fake_host_init(&p->host);
	pio = p->host.pio;
	p->ready = true;
	fuzz_assert(!serial_create(host, pio, COM, SERIAL_GSI, &line, &p->serial, NULL));
	fuzz_assert(!rtc_create(host, pio, RTC, RTC_GSI, &p->rtc, NULL));
	fuzz_assert(!pm_create(host, pio, PM, SCI_GSI, &events, &p->pm, NULL));
	fuzz_assert(!ports_create(pio, &ports, &events, &p->ports, NULL));
}

static void destroy(struct platform *p)
{
	serial_destroy(p->serial);
	rtc_destroy(p->rtc);
	pm_destroy(p->pm);
	ports_destroy(p->ports);
	fake_host_fini(&p->host);
}

static void reset(struct platform *p)
{
	serial_reset(p->serial);
	rtc_reset(p->rtc);
	pm_reset(p->pm);
	fuzz_assert(!p->host.lines[SERIAL_GSI] && !p->host.lines[RTC_GSI] &&
		    !p->host.lines[SCI_GSI]);
}

static uint16_t port(struct fuzz_input *in)
{
	uint8_t which = fuzz_u8(in);

	switch (which % 5) {
	case 0:
	case 1:
		return (uint16_t)(COM + (which >> 3) % SERIAL_SIZE);
	case 2:
		return (uint16_t)(PM + (which >> 3) % PM_SIZE);
	case 3:
		return (uint16_t)(RTC + (which >> 3) % RTC_SIZE);
	default:
		return which & 8 ? KEYBOARD : PVPANIC;
	}
}

static unsigned width(struct fuzz_input *in)
{
	static const uint8_t widths[] = {1, 1, 2, 4};

	return widths[fuzz_u8(in) % sizeof(widths)];
}

static void out(struct platform *p, uint16_t at, const uint8_t *bytes, unsigned size)
{
	p->written += size; /* at most: each byte may be one for the transmitter */
	bus_write(p->host.pio, at, bytes, size);
}

static uint32_t in_port(struct platform *p, uint16_t at, unsigned size)
{
	uint8_t bytes[8] = {0};

	bus_read(p->host.pio, at, bytes, size);
	return load_le32(bytes);
}

static void command(struct platform *p, struct fuzz_input *in)
{
	uint8_t bytes[64];
	unsigned len;
	uint16_t at;

	switch (fuzz_u8(in) % CMD_COUNT) {
	case CMD_OUT:
		at = port(in);
		len = width(in);
		fuzz_bytes(in, bytes, len);
		out(p, at, bytes, len);
		break;
	case CMD_IN:
		at = port(in);
		in_port(p, at, width(in));
		break;
	case CMD_CLOCK:
		fuzz_bytes(in, bytes, 2);
		out(p, RTC, bytes, 1);
		if (bytes[0] & 0x80)
			in_port(p, RTC + 1, 1);
		else
			out(p, RTC + 1, bytes + 1, 1);
		break;
	case CMD_INPUT:
		len = fuzz_u8(in) % sizeof(bytes);
		fuzz_bytes(in, bytes, len);
		fuzz_assert(serial_input(p->serial, bytes, len) <= len);
		break;
	case CMD_READY:
		p->ready = !p->ready;
		serial_line_ready(p->serial);
		break;
	case CMD_FLUSH:
		serial_flush(p->serial);
		break;
	case CMD_BUTTON:
		fuzz_assert(pm_power_button(p->pm) == p->host.lines[SCI_GSI] ||
			    p->host.lines[SCI_GSI]);
		break;
	case CMD_TIME:
		fake_pump(&p->host);
		break;
	case CMD_RESET:
		reset(p);
		break;
	}
}

/* What can be read without changing it. */
static void check(struct platform *p)
{
	uint32_t events = in_port(p, PM, 4);

	fuzz_assert(p->host.lines[SCI_GSI] == !!(events & events >> 16 & 0xffff));
	fuzz_assert(in_port(p, PM + 4, 2) & 1);
	fuzz_assert(!(in_port(p, PM + 4, 2) & 1 << 13));
	fuzz_assert(serial_sent(p->serial) <= p->written);
}

/* A cause shows in the register that tells it; reading may end it. */
static void check_lines(struct platform *p)
{
	bool serial = p->host.lines[SERIAL_GSI], rtc = p->host.lines[RTC_GSI];
	uint8_t index = 0x0c;

	fuzz_assert(serial == !(in_port(p, COM + 2, 1) & 1));
	out(p, RTC, &index, 1);
	if (rtc)
		fuzz_assert(in_port(p, RTC + 1, 1) & 0x80);
	else
		in_port(p, RTC + 1, 1);
	fuzz_assert(!p->host.lines[RTC_GSI]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_input in = {data, size};
	struct platform p = {0};

	create(&p);
	for (unsigned n = 0; in.left && n < 1000; n++) {
		command(&p, &in);
		check(&p);
	}
	check_lines(&p);
	serial_flush(p.serial);
	fuzz_assert(p.put_out == serial_sent(p.serial));
	reset(&p);
	destroy(&p);
	return 0;
}
