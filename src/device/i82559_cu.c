/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The command unit: a list of command blocks in memory, linked, each with an S bit (suspend behind
 * it) or EL bit (end of list) or neither (6.4.2).
 *
 * A burst is: copy each block's header, once, from the present one on; make a net_frame of each
 * transmit block; stop at an S or EL bit, or in front of another command; hand all frames to the
 * back-end; then write the blocks' status, first to last, and take the position behind them. A block
 * is done whole or not at all: the position stays in front of frames that a full back-end did not
 * take.
 *
 * Resume. A driver appends a block, with S, clears S in the one before, and resumes. This unit may
 * have read on by itself once S was cleared, and stand suspended behind the new block when the
 * resume arrives, or several of them at once: so a resume looks at the S bit of the block that the
 * unit stands at, and goes on only if it was cleared. What lies behind a block with S is old, and
 * to execute it would send a frame again.
 *
 * A list may be a circle without end. A pass does a bounded number of commands, and no list gets more
 * than RUN_MAX of them done in REST_NS, which is more than any driver can use.
 */
#include "device/i82559.h"

#define RUN_MAX 4096 /* commands */
#define REST_NS NSEC_PER_MSEC

/* Copies a block's header. */
static bool fetch(struct i82559 *i, uint32_t offset, struct i559_cb *cb)
{
	uint64_t at = (uint64_t)i->cu.base + offset;
	const uint8_t *p = nic_dma_read_ptr(&i->chip.dma, at, CB_HEADER);
	const uint8_t *tcb;

	if (!p || at > UINT32_MAX)
		return false;
	*cb = (struct i559_cb){.at = at, .offset = offset, .drop = NIC_DROP_COUNT};
	/* S, once cleared, says that the next block is whole. */
	cb->command = (uint16_t)(i82559_load(p) >> 16);
	cb->link = i82559_load(p + 4);
	if ((cb->command & CB_OPCODE) != OP_TX)
		return true;
	tcb = nic_dma_read_ptr(&i->chip.dma, at, TCB_BYTES);
	if (!tcb)
		return false;
	cb->array = load_le32(tcb + 8);
	cb->count = load_le16(tcb + 12);
	cb->number = tcb[15];
	return true;
}

/* Writes the block's status, and goes where it says. */
static void complete(struct i82559 *i, const struct i559_cb *cb, uint16_t status, uint32_t *causes)
{
	uint16_t *p = nic_dma_write_ptr(&i->chip.dma, cb->at, sizeof(*p));

	if (p) {
		__atomic_store_n(p, htole16(CB_C | status), __ATOMIC_RELEASE);
		nic_dma_wrote(&i->chip.dma, cb->at, sizeof(*p));
	}
	if (cb->command & CB_I)
		*causes |= ACK_CX;
	i->cu.at = cb->link;
	if (cb->command & CB_EL) {
		i82559_set_cu(i, CU_IDLE);
	} else if (cb->command & CB_S) {
		i->cu.at = cb->offset;
		i82559_set_cu(i, CU_SUSPENDED);
	}
}

/* The list leads out of memory: nothing can be read or reported there. */
static void lost(struct i82559 *i)
{
	i82559_set_cu(i, CU_IDLE);
}

/* A transmit block, sent or not. */
static void complete_tx(struct i82559 *i, const struct i559_cb *cb, uint32_t len, uint32_t *causes)
{
	struct nic_flow *flow = &i->chip.tx_flow;

	flow->in++;
	flow->bytes_in += len;
	if (cb->drop == NIC_DROP_COUNT)
		i->stats[STAT_TX_GOOD]++;
	else
		flow->drops[cb->drop]++;
	complete(i, cb, cb->drop == NIC_DROP_COUNT ? CB_OK : CB_OK | CB_U, causes);
}

static bool has_room(const struct i82559 *i)
{
	/* Headers and padding take a part each. */
	return i->cu.ncbs < I559_TX_BURST && i->cu.niov + I559_TX_PARTS + 3 <= I559_TX_IOVS;
}

/* Takes transmit blocks from the present one on. Returns false if the list is lost. */
static bool collect(struct i82559 *i, unsigned budget)
{
	uint32_t offset = i->cu.at;

	i->cu.ncbs = i->cu.nframes = i->cu.niov = 0;
	while (has_room(i) && i->cu.ncbs < budget) {
		struct i559_cb *cb = &i->cu.cbs[i->cu.ncbs];

		if (!fetch(i, offset, cb))
			return i->cu.ncbs; /* those before it first */
		if ((cb->command & CB_OPCODE) != OP_TX)
			return true;
		i->cu.ncbs++;
		cb->drop = i82559_tx_build(i, cb);
		if (cb->drop == NIC_DROP_COUNT) {
			i->cu.niov += i->cu.out[i->cu.nframes].niov;
			i->cu.nframes++;
		}
		if (cb->command & (CB_EL | CB_S))
			return true;
		offset = cb->link;
	}
	return true;
}

/* Sends what was collected. */
static void flush(struct i82559 *i, uint64_t now, uint32_t *causes)
{
	unsigned sent = i82559_tx_send(i, now), frame = 0;

	for (unsigned k = 0; k < i->cu.ncbs; k++) {
		const struct i559_cb *cb = &i->cu.cbs[k];
		uint32_t len = 0;

		if (cb->drop == NIC_DROP_COUNT) {
			if (frame == sent)
				return; /* full: what was not taken is built again */
			len = i->cu.out[frame++].len;
		}
		complete_tx(i, cb, len, causes);
	}
}

/* One burst of frames, or one other command. Returns how many commands. */
static unsigned burst(struct i82559 *i, unsigned budget, uint64_t now, uint32_t *causes)
{
	struct i559_cb cb;

	if (!collect(i, budget)) {
		lost(i);
		return 0;
	}
	if (i->cu.ncbs) {
		flush(i, now, causes);
		return i->cu.ncbs;
	}
	if (!fetch(i, i->cu.at, &cb)) {
		lost(i);
		return 0;
	}
	complete(i, &cb, i82559_execute(i, &cb), causes);
	return 1;
}

static void try_resume(struct i82559 *i)
{
	struct i559_cb last;

	if (!atomic_exchange(&i->cu.resume, false) || i->cu.state != CU_SUSPENDED)
		return;
	if (!fetch(i, i->cu.at, &last)) {
		lost(i);
		return;
	}
	if (last.command & CB_S)
		return;
	i->cu.at = last.link;
	i82559_set_cu(i, CU_ACTIVE);
}

/* Counts commands; too many in too short a time, and the unit rests. */
static void count_run(struct i82559 *i, unsigned n, uint64_t now)
{
	uint64_t end = i->cu.run_since + REST_NS;

	i->cu.run += n;
	if (i->cu.run < RUN_MAX)
		return;
	if (now < end)
		i->chip.tx_retry = end;
	i->cu.run = 0;
	i->cu.run_since = MAX(now, i->chip.tx_retry);
}

bool i82559_cu_run(struct i82559 *i, unsigned budget, uint64_t now)
{
	uint32_t causes = 0;
	unsigned done;

	if (now < i->chip.tx_retry)
		return false;
	i->chip.tx_retry = 0;
	if (!nic_dma_allowed(&i->chip.dma))
		return false;
	try_resume(i);
	while (i->cu.state == CU_ACTIVE && budget && !i->chip.tx_retry) {
		done = burst(i, budget, now, &causes);
		budget -= MIN(done, budget);
		count_run(i, done, now);
		if (i->cu.state != CU_ACTIVE)
			try_resume(i); /* one that came meanwhile */
	}
	i82559_raise(i, causes, now);
	return i->cu.state == CU_ACTIVE && !i->chip.tx_retry;
}

void i82559_cu_command(struct i82559 *i, unsigned command, uint32_t pointer)
{
	switch (command) {
	case CU_START:
		/* Only when it is not active (6.3.2.2.1). */
		if (i->cu.state == CU_ACTIVE)
			break;
		i->cu.at = pointer;
		i->cu.resume = false;
		i82559_set_cu(i, CU_ACTIVE);
		break;
	case CU_DUMP_ADDRESS:
		i->dump_address = pointer;
		break;
	case CU_DUMP:
		i82559_dump_stats(i, false);
		break;
	case CU_BASE:
		i->cu.base = pointer;
		break;
	case CU_DUMP_RESET:
		i82559_dump_stats(i, true);
		break;
	}
}
