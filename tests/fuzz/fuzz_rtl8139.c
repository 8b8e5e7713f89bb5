/* SPDX-License-Identifier: Apache-2.0 */
/* The RTL8139C+ in both its modes. */
#include "fuzz_chip.h"

#include "device/rtl8139_model.h"
#include "device/rtl8139_regs.h"

#define TXR   0x1000U
#define TXH   0x1400U
#define RXR   0x1800U
#define RING  0x2000U
#define BUFS  0x8000U
#define DESCS 16U

static unsigned tail, slot;

static void up(struct chip_run *r)
{
	bool classic = fuzz_u8(&r->in) & 1;

	tail = slot = 0;
	memset(area + TXR, 0, 0x800);
	for (unsigned i = 0; i < DESCS; i++) {
		store_le32(area + RXR + 16 * i, DESC_OWN | 0x700 | (i == DESCS - 1 ? DESC_EOR : 0));
		store_le32(area + RXR + 16 * i + 8, BUFS + i * 0x800);
	}
	chip_write(r, RTL_CPCR, classic ? 0 : 0x6b, 2);
	chip_write(r, RTL_TNPDS, TXR, 4);
	chip_write(r, RTL_THPDS, TXH, 4);
	chip_write(r, RTL_RDSAR, RXR, 4);
	chip_write(r, RTL_RBSTART, RING, 4);
	chip_write(r, RTL_CR, CR_RE | CR_TE, 1);
	chip_write(r, RTL_RCR, 0x1f | (fuzz_u8(&r->in) & 0x18) << 8, 4);
}

static void put_tx(struct chip_run *r)
{
	uint8_t how = fuzz_u8(&r->in);
	uint8_t *d = area + (how & 1 ? TXH : TXR) + tail % DESCS * 16;
	uint32_t opts1 = fuzz_u32(&r->in), opts2 = fuzz_u32(&r->in);

	if (how & 2)
		opts1 &= ~0xf000U;
	if (how & 4)
		opts1 |= DESC_FS | DESC_LS;
	if (how & 8)
		opts1 |= DESC_OWN;
	opts1 = (opts1 & ~DESC_EOR) | (tail % DESCS == DESCS - 1 ? DESC_EOR : 0);
	store_le32(d + 4, opts2);
	store_le64(d + 8, how & 16 ? fuzz_u32(&r->in) * 0x100000001ULL
				   : BUFS + (fuzz_u16(&r->in) & 0x3fff));
	store_le32(d, opts1);
	tail++;
	if (how & 32)
		chip_write(r, RTL_TPPOLL, TPPOLL_NPQ | TPPOLL_HPQ, 1);
}

static void more(struct chip_run *r)
{
	uint8_t what = fuzz_u8(&r->in);

	switch (what % 5) {
	case 0:
	case 1:
		put_tx(r);
		break;
	case 2:
		chip_write(r, RTL_TSAD0 + 4 * (slot % 4), fuzz_u16(&r->in), 4);
		chip_write(r, RTL_TSD0 + 4 * (slot++ % 4), fuzz_u16(&r->in) & 0x7ff, 4);
		break;
	case 3:
		store_le32(area + RXR + what % DESCS * 16, DESC_OWN | fuzz_u32(&r->in));
		break;
	case 4:
		chip_write(r, RTL_CAPR, fuzz_u16(&r->in), 2);
		break;
	}
}

static int create(const struct nic_chip_setup *setup, struct nic **nic, struct error *err)
{
	return rtl8139_create(setup, true, nic, err);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct chip_target target = {
		.create = create,
		.step = rtl8139_step,
		.up = up,
		.more = more,
		.mem_bar = 1,
		.io_bar = 0,
		.registers = 256,
	};

	return chip_fuzz(&target, data, size);
}
