/* SPDX-License-Identifier: Apache-2.0 */
/* Commands of the command list other than transmit (6.4.2), self test, and statistics. */
#include "device/i82559.h"
#include "device/nic_filter.h"

/* After reset (6.4.2.3, default values). */
static const uint8_t default_config[CONFIG_BYTES] = {
	0x16, 0x08, 0x00, 0x00, 0x00, 0x00, 0x32, 0x03, 0x01, 0x00, 0x2e,
	0x00, 0x60, 0x00, 0xf2, 0x48, 0x00, 0x40, 0xf2, 0x80, 0x3f, 0x05,
};

void i82559_default_config(struct i82559 *i)
{
	memcpy(i->config, default_config, sizeof(i->config));
}

static bool individual_address(struct i82559 *i, const struct i559_cb *cb)
{
	return nic_dma_read(&i->chip.dma, cb->at + CB_HEADER, i->ia, sizeof(i->ia));
}

/* The block says how many bytes it has; the rest stays as it is. */
static bool configure(struct i82559 *i, const struct i559_cb *cb)
{
	bool loopback = i82559_loopback(i);
	uint8_t bytes[CONFIG_BYTES];
	const uint8_t *count = nic_dma_read_ptr(&i->chip.dma, cb->at + CB_HEADER, 1);
	unsigned n = count ? MIN(*count & 0x3f, CONFIG_BYTES) : 0;

	if (!n || !nic_dma_read(&i->chip.dma, cb->at + CB_HEADER, bytes, n))
		return false;
	memcpy(i->config, bytes, n);
	if (i82559_loopback(i) != loopback)
		nic_rx_flush(&i->chip.rx, NIC_DROP_DISABLED);
	nic_chip_look(&i->chip);
	return true;
}

/* A count of bytes, then the addresses. */
static bool multicast(struct i82559 *i, const struct i559_cb *cb)
{
	uint64_t list = cb->at + CB_HEADER + 2;
	const uint8_t *p = nic_dma_read_ptr(&i->chip.dma, cb->at + CB_HEADER, 2);
	unsigned n = p ? (load_le16(p) & 0x3fff) / 6 : 0;

	memset(i->hash, 0, sizeof(i->hash));
	if (!p)
		return false;
	for (unsigned k = 0; k < n; k++) {
		uint8_t mac[6];
		unsigned bit;

		if (!nic_dma_read(&i->chip.dma, list + 6 * k, mac, sizeof(mac)))
			return false;
		bit = nic_hash6(mac);
		i->hash[bit / 32] |= 1U << (bit % 32);
	}
	return true;
}

bool i82559_dump(struct i82559 *i, uint64_t at)
{
	uint8_t bytes[DUMP_BYTES] = {0};

	memcpy(bytes, i->config, sizeof(i->config));
	memcpy(bytes + 40, i->ia, sizeof(i->ia));
	return nic_dma_allowed(&i->chip.dma) &&
	       nic_dma_write(&i->chip.dma, at, bytes, sizeof(bytes));
}

static bool dump(struct i82559 *i, const struct i559_cb *cb)
{
	uint8_t at[4];

	return nic_dma_read(&i->chip.dma, cb->at + CB_HEADER, at, sizeof(at)) &&
	       i82559_dump(i, load_le32(at));
}

uint16_t i82559_execute(struct i82559 *i, const struct i559_cb *cb)
{
	bool ok = true;

	switch (cb->command & CB_OPCODE) {
	case OP_IAS:
		ok = individual_address(i, cb);
		break;
	case OP_CONFIGURE:
		ok = configure(i, cb);
		break;
	case OP_MULTICAST:
		ok = multicast(i, cb);
		break;
	case OP_DUMP:
		ok = dump(i, cb);
		break;
	case OP_NOP:
	case OP_MICROCODE: /* taken, and without effect: there is nothing to load it into */
	case OP_DIAGNOSE:  /* passes */
		break;
	}
	return ok ? CB_OK : 0;
}

void i82559_self_test(struct i82559 *i, uint64_t at)
{
	uint8_t result[8];

	/* The ROM's signature, and that nothing failed (6.3.3.2). */
	store_le32(result, 0x04f40a1d);
	store_le32(result + 4, 0);
	if (nic_dma_allowed(&i->chip.dma))
		(void)nic_dma_write(&i->chip.dma, at, result, sizeof(result));
}

/* How many counters are dumped: the 82557's, with flow control's, with TCO's (6.4.2.3, byte 6). */
static unsigned stats_dumped(const struct i82559 *i)
{
	if (i->config[6] & CFG6_TCO_STATS)
		return 20;
	return i->config[6] & CFG6_STANDARD_STAT ? 16 : 19;
}

void i82559_dump_stats(struct i82559 *i, bool reset)
{
	unsigned n = stats_dumped(i);
	uint8_t bytes[4 * (STAT_COUNT + 1)];

	for (unsigned k = 0; k < n; k++)
		store_le32(bytes + 4 * k, i->stats[k]);
	/* What the driver waits for comes last. */
	store_le32(bytes + 4 * n, reset ? 0xa007 : 0xa005);
	if (!nic_dma_allowed(&i->chip.dma) ||
	    !nic_dma_write(&i->chip.dma, i->dump_address, bytes, 4 * n + 4))
		return;
	if (reset)
		memset(i->stats, 0, sizeof(i->stats));
}
