/* SPDX-License-Identifier: Apache-2.0 */
/* The 82540EM: descriptors of all kinds, and what its driver does to the registers that matter. */
#include "fuzz_chip.h"

#include "device/e1000_model.h"
#include "device/e1000_regs.h"

#define TXR   0x1000U
#define RXR   0x2000U
#define BUFS  0x4000U
#define DESCS 32U

static const uint32_t known[] = {
	REG_CTRL,  REG_STATUS, REG_EECD, REG_EERD, REG_CTRL_EXT, REG_MDIC,  REG_VET,   REG_ICR,
	REG_ITR,   REG_ICS,    REG_IMS,	 REG_IMC,  REG_RCTL,	 REG_TCTL,  REG_RDBAL, REG_RDBAH,
	REG_RDLEN, REG_RDH,    REG_RDT,	 REG_RDTR, REG_RADV,	 REG_RSRPD, REG_TDBAL, REG_TDBAH,
	REG_TDLEN, REG_TDH,    REG_TDT,	 REG_TIDV, REG_TXDCTL,	 REG_TADV,  0x4074,    0x4088,
	0x408c,	   REG_RXCSUM, REG_MTA,	 REG_RA,   REG_RA + 4,	 REG_VFTA,  REG_PBA,   REG_FCAL,
};

static unsigned tail;

static void write_reg(struct chip_run *r, uint32_t reg, uint32_t value)
{
	chip_write(r, reg, value, 4);
}

static void up(struct chip_run *r)
{
	tail = 0;
	write_reg(r, REG_TDBAL, TXR);
	write_reg(r, REG_TDBAH, 0);
	write_reg(r, REG_TDLEN, DESCS * 16);
	write_reg(r, REG_TDH, 0);
	write_reg(r, REG_TDT, 0);
	write_reg(r, REG_TCTL, TCTL_EN | TCTL_PSP);
	for (unsigned i = 0; i < DESCS; i++)
		store_le64(area + RXR + i * 16, BUFS + i * 0x800);
	write_reg(r, REG_RDBAL, RXR);
	write_reg(r, REG_RDBAH, 0);
	write_reg(r, REG_RDLEN, DESCS * 16);
	write_reg(r, REG_RDH, 0);
	write_reg(r, REG_RDT, DESCS - 1);
	write_reg(r, REG_RXCSUM, 0x300);
	write_reg(r, REG_RCTL, RCTL_EN | RCTL_BAM | RCTL_UPE | RCTL_MPE);
}

static void put_tx(struct chip_run *r)
{
	uint8_t *d = area + TXR + tail % DESCS * 16, how = fuzz_u8(&r->in);
	uint32_t lower = fuzz_u32(&r->in), upper = fuzz_u32(&r->in);
	uint64_t addr = how & 1 ? (uint64_t)fuzz_u32(&r->in) << 32 | fuzz_u32(&r->in)
				: BUFS + (fuzz_u16(&r->in) & 0x3fff);

	if (how & 2)
		lower &= 0xff000fffU;
	if (how & 4)
		lower |= TXD_EOP | TXD_RS;
	store_le64(d, addr);
	store_le32(d + 8, lower);
	store_le32(d + 12, upper);
	tail = (tail + 1) % DESCS;
	if (how & 8)
		write_reg(r, REG_TDT, tail);
}

/* The window of ports: any register, read back. */
static void window(struct chip_run *r)
{
	uint8_t bytes[4];

	store_le32(bytes, fuzz_u32(&r->in));
	bus_write(host.pio, r->io, bytes, 4);
	store_le32(bytes, fuzz_u32(&r->in));
	bus_write(host.pio, r->io + 4, bytes, 4);
	bus_read(host.pio, r->io + 4, bytes, 4);
}

static void more(struct chip_run *r)
{
	uint8_t what = fuzz_u8(&r->in);

	switch (what % 8) {
	case 0:
	case 1:
	case 2:
		put_tx(r);
		break;
	case 3:
	case 4:
		what = fuzz_u8(&r->in);
		write_reg(r, known[what % ARRAY_SIZE(known)], fuzz_u32(&r->in));
		break;
	case 5:
		(void)fake_read(&host, r->bar + known[fuzz_u8(&r->in) % ARRAY_SIZE(known)], 4);
		break;
	case 6:
		store_le64(area + RXR + what % DESCS * 16, fuzz_u32(&r->in));
		break;
	case 7:
		window(r);
		break;
	}
}

static int create(const struct nic_chip_setup *setup, struct nic **nic, struct error *err)
{
	return e1000_create(setup, true, nic, err);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct chip_target target = {
		.create = create,
		.step = e1000_step,
		.up = up,
		.more = more,
		.mem_bar = 0,
		.io_bar = 2,
		.registers = 0x20000,
		.wide = true,
	};

	return chip_fuzz(&target, data, size);
}
