/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DEVICE_EEPROM93_H
#define DEVICE_EEPROM93_H

#include "base/util.h"

/*
 * Serial EEPROMs of the 93C46/56/66 family in their 16-bit organization, as NICs carry them: three
 * wires (chip select, clock, data in) and one back (data out), Microwire. The driver shifts in a
 * start bit, a two-bit opcode and the address, most significant bit first, on rising clock edges;
 * READ answers on data out with a dummy 0 bit and the words from that address on. A write takes no
 * time here: data out says ready (1) as soon as it is asked.
 */
#define EEPROM93_WORDS_MAX 256

enum eeprom93_state {
	EEPROM93_STANDBY, /* not selected, or waiting for the start bit */
	EEPROM93_COMMAND, /* opcode and address come in */
	EEPROM93_READING, /* words go out */
	EEPROM93_WRITING, /* a word comes in */
	EEPROM93_DONE,	  /* nothing more until it is deselected */
};

struct eeprom93 {
	unsigned words;	    /* 64, 128 or 256 */
	unsigned addr_bits; /* 6 or 8 */
	uint16_t data[EEPROM93_WORDS_MAX];

	enum eeprom93_state state;
	bool cs, sk; /* the wires as they were last */
	bool out;    /* data out */
	bool write_enabled;
	bool write_all; /* WRAL: to every word */
	unsigned bits;	/* shifted in or out so far in this state */
	uint32_t shift;
	unsigned address;
};

/** An erased EEPROM (all ones) of 64, 128 or 256 words. */
void eeprom93_init(struct eeprom93 *ee, unsigned words);

/** Sets the wires; acts on the edges. */
void eeprom93_wires(struct eeprom93 *ee, bool cs, bool sk, bool di);

/** The data out wire. */
static inline bool eeprom93_out(const struct eeprom93 *ee)
{
	return ee->out;
}

/** Sets word `at` so that words 0 to `at` add up to sum. */
void eeprom93_checksum(struct eeprom93 *ee, unsigned at, uint16_t sum);

#endif
