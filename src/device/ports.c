/* SPDX-License-Identifier: Apache-2.0 */
#include "device/ports.h"

#include <errno.h>
#include <stdlib.h>

/* Keyboard controller: command 0xf0..0xff pulses output lines; bit 0 clear is the reset line. */
enum { KBD_PULSE = 0xf0, KBD_NOT_RESET = 1 };

/* Reset control register 0xcf9: the reset happens when bit 2 goes from 0 to 1. */
enum { RST_CPU = 1 << 2, RST_KEPT = 0x0a };

enum {
	PANIC_PANICKED = 1 << 0,
	PANIC_CRASH_LOADED = 1 << 1, /* it panicked, and a crash kernel takes over */
};

struct ports {
	struct bus *pio;
	struct ports_config config;
	struct platform_events events;
	_Atomic uint8_t reset_control;
};

static uint64_t keyboard_read(void *opaque, uint64_t offset, unsigned size)
{
	return 0; /* buffers empty, so that nobody waits for them */
}

static void keyboard_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
	struct ports *ports = opaque;

	if ((value & KBD_PULSE) == KBD_PULSE && !(value & KBD_NOT_RESET))
		ports->events.reset(ports->events.opaque, "the keyboard controller");
}

static uint64_t pvpanic_read(void *opaque, uint64_t offset, unsigned size)
{
	return PANIC_PANICKED | PANIC_CRASH_LOADED; /* the events it knows */
}

static void pvpanic_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
	struct ports *ports = opaque;

	if (value & PANIC_PANICKED)
		ports->events.crashed(ports->events.opaque, "the guest's kernel panicked");
}

static uint64_t reset_read(void *opaque, uint64_t offset, unsigned size)
{
	struct ports *ports = opaque;

	return ports->reset_control;
}

static void reset_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
	struct ports *ports = opaque;
	bool reset = value & RST_CPU;

	ports->reset_control = value & RST_KEPT;
	if (reset)
		ports->events.reset(ports->events.opaque, "port 0xcf9");
}

static const struct bus_range_ops keyboard_ops = {.read = keyboard_read, .write = keyboard_write};
static const struct bus_range_ops pvpanic_ops = {.read = pvpanic_read, .write = pvpanic_write};
const struct bus_range_ops ports_reset_ops = {.read = reset_read, .write = reset_write};

int ports_create(struct bus *pio, const struct ports_config *config,
		 const struct platform_events *events, struct ports **out, struct error *err)
{
	struct ports *ports = calloc(1, sizeof(*ports));
	struct bus_range keyboard = {.name = "keyboard controller command",
				     .base = config->keyboard,
				     .size = 1,
				     .ops = &keyboard_ops,
				     .opaque = ports};
	struct bus_range pvpanic = {.name = "pvpanic",
				    .base = config->pvpanic,
				    .size = 1,
				    .ops = &pvpanic_ops,
				    .opaque = ports};
	int ret;

	if (!ports)
		return error_set(err, -ENOMEM, "platform ports: out of memory");
	ports->pio = pio;
	ports->config = *config;
	ports->events = *events;
	ret = bus_add(pio, &keyboard, err);
	if (!ret)
		ret = bus_add(pio, &pvpanic, err);
	if (ret) {
		ports_destroy(ports);
		return ret;
	}
	*out = ports;
	return 0;
}

void ports_destroy(struct ports *ports)
{
	if (!ports)
		return;
	bus_remove(ports->pio, ports->config.keyboard, ports);
	bus_remove(ports->pio, ports->config.pvpanic, ports);
	free(ports);
}
