/* SPDX-License-Identifier: Apache-2.0 */
#include "device/eeprom93.h"

/* Opcodes (two bits behind the start bit); 0 has four more in the address's top two bits. */
enum { OP_EXTENDED, OP_WRITE, OP_READ, OP_ERASE };
enum { EXT_WRITE_DISABLE, EXT_WRITE_ALL, EXT_ERASE_ALL, EXT_WRITE_ENABLE };

void eeprom93_init(struct eeprom93 *ee, unsigned words)
{
	memset(ee, 0, sizeof(*ee));
	ee->words = words;
	ee->addr_bits = words > 64 ? 8 : 6;
	memset(ee->data, 0xff, sizeof(ee->data));
	ee->out = true;
}

void eeprom93_checksum(struct eeprom93 *ee, unsigned at, uint16_t sum)
{
	for (unsigned i = 0; i < at; i++)
		sum = (uint16_t)(sum - ee->data[i]);
	ee->data[at] = sum;
}

static void enter(struct eeprom93 *ee, enum eeprom93_state state)
{
	ee->state = state;
	ee->bits = 0;
	ee->shift = 0;
}

static void extended(struct eeprom93 *ee)
{
	enter(ee, EEPROM93_DONE);
	switch (ee->address >> (ee->addr_bits - 2)) {
	case EXT_WRITE_DISABLE:
		ee->write_enabled = false;
		break;
	case EXT_WRITE_ENABLE:
		ee->write_enabled = true;
		break;
	case EXT_ERASE_ALL:
		if (ee->write_enabled)
			memset(ee->data, 0xff, sizeof(ee->data));
		break;
	case EXT_WRITE_ALL:
		enter(ee, EEPROM93_WRITING);
		ee->write_all = true;
		break;
	}
}

/* Opcode and address are complete. */
static void command(struct eeprom93 *ee)
{
	unsigned op = ee->shift >> ee->addr_bits & 3;

	ee->address = ee->shift & ((1U << ee->addr_bits) - 1);
	ee->write_all = false;
	switch (op) {
	case OP_READ:
		enter(ee, EEPROM93_READING);
		ee->out = false; /* the dummy bit */
		break;
	case OP_WRITE:
		enter(ee, EEPROM93_WRITING);
		break;
	case OP_ERASE:
		enter(ee, EEPROM93_DONE);
		if (ee->write_enabled)
			ee->data[ee->address % ee->words] = 0xffff;
		break;
	case OP_EXTENDED:
		extended(ee);
		break;
	}
}

static void write_word(struct eeprom93 *ee)
{
	uint16_t word = (uint16_t)ee->shift;

	enter(ee, EEPROM93_DONE);
	if (!ee->write_enabled)
		return;
	for (unsigned i = 0; i < ee->words; i++)
		if (ee->write_all || i == ee->address % ee->words)
			ee->data[i] = word;
}

static void rising_edge(struct eeprom93 *ee, bool di)
{
	switch (ee->state) {
	case EEPROM93_STANDBY:
		if (di)
			enter(ee, EEPROM93_COMMAND);
		break;
	case EEPROM93_COMMAND:
		ee->shift = ee->shift << 1 | di;
		if (++ee->bits == 2 + ee->addr_bits)
			command(ee);
		break;
	case EEPROM93_READING:
		ee->out = ee->data[ee->address % ee->words] >> (15 - ee->bits) & 1;
		if (++ee->bits == 16) {
			ee->bits = 0;
			ee->address++;
		}
		break;
	case EEPROM93_WRITING:
		ee->shift = ee->shift << 1 | di;
		if (++ee->bits == 16)
			write_word(ee);
		break;
	case EEPROM93_DONE:
		break;
	}
}

void eeprom93_wires(struct eeprom93 *ee, bool cs, bool sk, bool di)
{
	if (cs != ee->cs) {
		/* Selected: waits for a start bit, says ready. Deselected: forgets all but its words. */
		enter(ee, EEPROM93_STANDBY);
		ee->out = true;
	} else if (cs && sk && !ee->sk) {
		rising_edge(ee, di);
	}
	ee->cs = cs;
	ee->sk = sk;
}
