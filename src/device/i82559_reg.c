/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Control and status registers.
 *
 * All are in a page (nic_shadow.h) that the guest reads as memory, so that of a driver's accesses
 * only writes leave the kernel. What a driver writes for each packet or interrupt never waits for
 * the data path: the acknowledgement and the mask are the interrupt block's, a resume only
 * announces. All others take the device's lock, for which a busy worker makes way.
 *
 * A resume that left the kernel is work for the vCPU that made it, if nobody else is at it: the
 * frame is on its way when the write returns, and no thread had to be woken. When resumes come often
 * they are posted (nic_post.h); the register then reads as accepted at once, as it always does. Other
 * commands never are: a driver that aborts the receive unit takes its memory back, and its reads do
 * not leave the kernel, so nothing would flush them.
 */
#include "device/i82559.h"

const struct nic_post_reg i82559_post_regs[I559_POST_COUNT] = {
	[I559_POST_CMD] = {.name = "SCB command",
			   .offset = CSR_CMD,
			   .len = 1,
			   .kind = NIC_POST_BUSY,
			   .by_value = true,
			   .value = CU_RESUME << 4},
};

static void write_ack(struct i82559 *i, uint8_t value)
{
	nic_chip_count_access(&i->chip, I559_ACC_ACK);
	nic_irq_clear(&i->chip.irq, value, i->chip.clock());
	nic_chip_look(&i->chip);
}

static void write_mask(struct i82559 *i, uint8_t value)
{
	uint64_t now = i->chip.clock();
	uint32_t mask = UINT8_MAX;

	nic_chip_count_access(&i->chip, I559_ACC_MASK);
	csr_set8(i, CSR_MASK, value & (uint8_t)~MASK_SI);
	if (value & MASK_ALL)
		mask = 0;
	mask &= ~(uint32_t)(value & (ACK_CX | ACK_FR | ACK_CNA | ACK_RNR));
	if (value & MASK_FCP)
		mask &= ~(uint32_t)ACK_FCP;
	nic_irq_set_mask(&i->chip.irq, 0, mask, now);
	if (value & MASK_SI)
		nic_irq_raise(&i->chip.irq, ACK_SWI, now);
	nic_chip_look(&i->chip);
}

static void resume(struct i82559 *i)
{
	bool posted = nic_post_is(&i->chip.post, I559_POST_CMD), more = true;
	uint64_t now = i->chip.clock();

	i->cu.resume = true;
	if (nic_post_written(&i->chip.post, I559_POST_CMD, now))
		posted = true; /* the worker is about to; it may as well begin */
	if (!posted && !pthread_mutex_trylock(&i->chip.lock)) {
		more = i82559_cu_run(i, NIC_CHIP_INLINE, now);
		/* Somebody has to watch the clock. */
		more |= i->chip.tx_retry || i->cu.cna_at != NIC_WORKER_NEVER;
		pthread_mutex_unlock(&i->chip.lock);
	}
	if (more)
		nic_chip_kick(&i->chip);
}

static void write_command(struct i82559 *i, uint8_t value)
{
	unsigned cu = value >> 4, ru = value & 7;
	uint32_t pointer;

	nic_chip_count_access(&i->chip, I559_ACC_CMD);
	if (ru || (cu && cu != CU_RESUME && cu != CU_STATIC_RESUME)) {
		nic_chip_lock(&i->chip);
		pointer = csr_get32(i, CSR_POINTER);
		if (cu != CU_RESUME && cu != CU_STATIC_RESUME)
			i82559_cu_command(i, cu, pointer);
		i82559_ru_command(i, ru, pointer);
		pthread_mutex_unlock(&i->chip.lock);
		nic_chip_kick(&i->chip);
	}
	if (cu == CU_RESUME || cu == CU_STATIC_RESUME)
		resume(i);
}

/* PORT (6.3.3): four functions, and an address for two of them. */
static void write_port(struct i82559 *i, uint32_t value)
{
	uint64_t at = value & ~15U;

	switch (value & 15) {
	case PORT_RESET:
		i82559_soft_reset(i, false);
		break;
	case PORT_SELECTIVE_RESET:
		i82559_soft_reset(i, true);
		break;
	case PORT_SELF_TEST:
		i82559_soft_reset(i, false);
		i82559_self_test(i, at);
		break;
	case PORT_DUMP:
		(void)i82559_dump(i, at);
		break;
	}
}

/* Everything that is not written for each packet; the lock is held. */
static void write_slow(struct i82559 *i, unsigned at, uint8_t value)
{
	switch (at) {
	case CSR_EEPROM:
		i82559_eeprom_write(i, value);
		break;
	case CSR_PMDR:
		/* Bits that are cleared by writing ones (6.3.10). */
		csr_set8(i, at, csr_get8(i, at) & (uint8_t)~value);
		break;
	case CSR_FC_THRESHOLD:
		csr_set8(i, at, value & 7);
		break;
	case CSR_PORT:
	case CSR_PORT + 1:
	case CSR_PORT + 2:
		csr_set8(i, at, value);
		break;
	case CSR_PORT + 3:
		csr_set8(i, at, value);
		write_port(i, csr_get32(i, CSR_PORT));
		break;
	case CSR_MDI:
	case CSR_MDI + 1:
	case CSR_MDI + 2:
		csr_set8(i, at, value);
		break;
	case CSR_MDI + 3:
		csr_set8(i, at, value);
		i82559_mdi_write(i, csr_get32(i, CSR_MDI));
		break;
	case CSR_POINTER ... CSR_POINTER + 3:
	case CSR_FLASH:
	case CSR_EARLY_RX:
	case CSR_FC_CMD:
	case CSR_GEN_CONTROL:
		csr_set8(i, at, value);
		break;
	}
}

static void write_byte(struct i82559 *i, unsigned at, uint8_t value)
{
	switch (at) {
	case CSR_STATUS:
		break;
	case CSR_STAT_ACK:
		write_ack(i, value);
		break;
	case CSR_CMD:
		write_command(i, value);
		break;
	case CSR_MASK:
		write_mask(i, value);
		break;
	default:
		nic_chip_lock(&i->chip);
		write_slow(i, at, value);
		pthread_mutex_unlock(&i->chip.lock);
	}
}

/*
 * A register may be written in parts or several at a time. PORT and MDI act with their last byte,
 * and a command comes behind the pointer and the mask that are written together with it.
 */
static void bar_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
	struct i82559 *i = i82559_of(opaque);
	bool command = false;
	uint8_t last = 0;

	if (offset >= CSR_POINTER)
		nic_chip_count_access(&i->chip,
				      offset < CSR_PORT ? I559_ACC_POINTER : I559_ACC_OTHER);
	for (unsigned k = 0; k < size && offset + k < CSR_END; k++) {
		uint8_t byte = (uint8_t)(value >> (8 * k));

		if (offset + k == CSR_CMD) {
			command = true;
			last = byte;
		} else {
			write_byte(i, (unsigned)offset + k, byte);
		}
	}
	if (command)
		write_command(i, last);
}

static uint64_t bar_read(void *opaque, uint64_t offset, unsigned size)
{
	struct i82559 *i = i82559_of(opaque);

	nic_chip_count_access(&i->chip, I559_ACC_READ);
	return nic_shadow_read(&i->chip.shadow, offset, size);
}

const struct bus_range_ops i82559_bar_ops = {.read = bar_read, .write = bar_write};
