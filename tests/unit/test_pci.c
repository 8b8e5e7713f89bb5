/* SPDX-License-Identifier: Apache-2.0 */
#include "unit.h"

#include "fake_host.h"

#include <errno.h>
#include <linux/pci_regs.h>
#include <stdio.h>
#include <stdlib.h>

struct toy {
	struct pci_dev pci; /* first */
	uint32_t reg;
	unsigned resets, moves;
	bool *destroyed;
};

static uint64_t toy_read(void *opaque, uint64_t offset, unsigned size)
{
	return ((struct toy *)opaque)->reg + offset;
}

static void toy_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
	((struct toy *)opaque)->reg = (uint32_t)value;
}

static const struct bus_range_ops toy_bar = {toy_read, toy_write};

static void toy_moved(struct pci_dev *dev, unsigned bar, bool mapped)
{
	((struct toy *)dev)->moves++;
}

static void toy_reset(struct pci_dev *dev)
{
	((struct toy *)dev)->resets++;
}

static void toy_destroy(struct pci_dev *dev)
{
	struct toy *toy = (struct toy *)dev;

	if (toy->destroyed)
		*toy->destroyed = true;
	pci_dev_fini(dev);
	free(dev);
}

static const struct pci_dev_ops toy_ops = {
	.bar_moved = toy_moved, .reset = toy_reset, .destroy = toy_destroy};

static struct toy *toy_new(struct fake_host *h, const char *id)
{
	static const struct pci_ids ids = {0x1234, 0x5678, 0x9abc, 0xdef0, 0x020000, 3};
	struct toy *toy = calloc(1, sizeof(*toy));

	assert_non_null(toy);
	snprintf(toy->pci.id, sizeof(toy->pci.id), "%s", id);
	toy->pci.ops = &toy_ops;
	toy->pci.host = &h->host;
	pci_dev_init(&toy->pci, &ids);
	pci_dev_bar(&toy->pci, 0, PCI_BAR_MEM32, 0x1000, &toy_bar);
	pci_dev_bar(&toy->pci, 2, PCI_BAR_MEM64, 0x10000, &toy_bar);
	pci_dev_bar(&toy->pci, 4, PCI_BAR_IO, 0x20, &toy_bar);
	pci_dev_use_intx(&toy->pci);
	return toy;
}

static struct toy *toy_add(struct fake_host *h, const char *id, int slot, unsigned function)
{
	struct toy *toy = toy_new(h, id);
	struct error err;

	assert_int_equal(pci_bus_add(h->pci, &toy->pci, slot, function, &err), 0);
	return toy;
}

static int setup(void **state)
{
	struct fake_host *h = malloc(sizeof(*h));

	fake_host_init(h);
	*state = h;
	return 0;
}

static int teardown(void **state)
{
	fake_host_fini(*state);
	free(*state);
	return 0;
}

static void test_bridge(void **state)
{
	struct fake_host *h = *state;
	uint32_t v;

	assert_int_equal(fake_config_read(h, 0, PCI_CLASS_REVISION, 4), 0x06000000);
	assert_int_not_equal(fake_config_read(h, 0, PCI_VENDOR_ID, 2), 0xffff);
	assert_int_equal(fake_config_read(h, 1, PCI_VENDOR_ID, 4), 0xffffffff);
	assert_int_equal(fake_config_read(h, 31, 0xffc, 4), 0xffffffff);
	/* Conventional: nothing beyond 256 bytes. */
	assert_int_equal(fake_config_read(h, 0, 0x100, 4), 0xffffffff);
	/* The other way in. */
	v = 0x80000000;
	bus_write(h->pio, 0xcf8, &v, 4);
	bus_read(h->pio, 0xcfc, &v, 4);
	assert_int_equal(v, fake_config_read(h, 0, 0, 4));
	v = 0;
	bus_read(h->pio, 0xcf8, &v, 4);
	assert_int_equal(v, 0x80000000);
}

static void port_select(struct fake_host *h, uint32_t address)
{
	bus_write(h->pio, 0xcf8, &address, 4);
}

static void test_ports(void **state)
{
	struct fake_host *h = *state;
	uint16_t w = 0;
	uint8_t b = 0;
	uint32_t v = 0;

	toy_add(h, "toy", 3, 0);
	port_select(h, 0x80000000 | 3 << 11);
	bus_read(h->pio, 0xcfc, &w, 2);
	assert_int_equal(w, 0x1234);
	bus_read(h->pio, 0xcfe, &w, 2);
	assert_int_equal(w, 0x5678);
	bus_read(h->pio, 0xcff, &b, 1);
	assert_int_equal(b, 0x56);
	/* Byte writes to the address port do not reach the register. */
	b = 0xff;
	bus_write(h->pio, 0xcf9, &b, 1);
	bus_read(h->pio, 0xcf8, &v, 4);
	assert_int_equal(v, 0x80000000 | 3 << 11);
	/* Byte writes to the data port reach config space. */
	port_select(h, 0x80000000 | 3 << 11 | PCI_INTERRUPT_LINE);
	b = 0x5a;
	bus_write(h->pio, 0xcfc, &b, 1);
	assert_int_equal(fake_config_read(h, 3, PCI_INTERRUPT_LINE, 1), 0x5a);
	/* Disabled, or another bus: nobody answers. */
	port_select(h, 3 << 11);
	bus_read(h->pio, 0xcfc, &v, 4);
	assert_int_equal(v, 0xffffffff);
	port_select(h, 0x80010000 | 3 << 11);
	bus_read(h->pio, 0xcfc, &v, 4);
	assert_int_equal(v, 0xffffffff);
}

static void test_header(void **state)
{
	struct fake_host *h = *state;

	toy_add(h, "toy", PCI_SLOT_ANY, 0);
	assert_int_equal(fake_config_read(h, 1, PCI_VENDOR_ID, 4), 0x56781234);
	assert_int_equal(fake_config_read(h, 1, PCI_SUBSYSTEM_VENDOR_ID, 4), 0xdef09abc);
	assert_int_equal(fake_config_read(h, 1, PCI_REVISION_ID, 1), 3);
	/* Read-only stays, and the command register has only the bits it has. */
	fake_config_write(h, 1, PCI_VENDOR_ID, 4, 0);
	assert_int_equal(fake_config_read(h, 1, PCI_VENDOR_ID, 4), 0x56781234);
	fake_config_write(h, 1, PCI_COMMAND, 2, 0xf800);
	assert_int_equal(fake_config_read(h, 1, PCI_COMMAND, 2), 0);
	/* 8-byte accesses are two of 4. */
	assert_int_equal(fake_read(h, FAKE_ECAM + (1 << 15), 8), 0x56781234ULL);
	/* INTA of slot 1 is the second line. */
	assert_int_equal(fake_config_read(h, 1, PCI_INTERRUPT_PIN, 1), 1);
	assert_int_equal(fake_config_read(h, 1, PCI_INTERRUPT_LINE, 1), 17);
}

static void test_sizing(void **state)
{
	struct fake_host *h = *state;
	uint32_t home;

	toy_add(h, "toy", 1, 0);
	home = fake_config_read(h, 1, PCI_BASE_ADDRESS_0, 4);
	assert_true(home >= FAKE_MEM32 && home % 0x1000 == 0);
	fake_config_write(h, 1, PCI_BASE_ADDRESS_0, 4, 0xffffffff);
	assert_int_equal(fake_config_read(h, 1, PCI_BASE_ADDRESS_0, 4), 0xfffff000);
	fake_config_write(h, 1, PCI_BASE_ADDRESS_0, 4, home);
	fake_config_write(h, 1, PCI_BASE_ADDRESS_2, 4, 0xffffffff);
	fake_config_write(h, 1, PCI_BASE_ADDRESS_3, 4, 0xffffffff);
	assert_int_equal(fake_config_read(h, 1, PCI_BASE_ADDRESS_2, 4), 0xffff0004);
	assert_int_equal(fake_config_read(h, 1, PCI_BASE_ADDRESS_3, 4), 0xffffffff);
	fake_config_write(h, 1, PCI_BASE_ADDRESS_4, 4, 0xffffffff);
	assert_int_equal(fake_config_read(h, 1, PCI_BASE_ADDRESS_4, 4), 0xffffffe1);
	/* No BAR, no bits. */
	fake_config_write(h, 1, PCI_BASE_ADDRESS_1, 4, 0xffffffff);
	assert_int_equal(fake_config_read(h, 1, PCI_BASE_ADDRESS_1, 4), 0);
	fake_config_write(h, 1, PCI_ROM_ADDRESS, 4, 0xffffffff);
	assert_int_equal(fake_config_read(h, 1, PCI_ROM_ADDRESS, 4), 0);
}

static void test_bar_moves(void **state)
{
	struct fake_host *h = *state;
	struct toy *toy = toy_add(h, "toy", 1, 0);
	uint64_t home = toy->pci.bars[0].home;
	uint32_t v = 0;

	toy->reg = 0x1000;
	assert_int_equal(fake_read(h, home, 4), 0xffffffff); /* not decoding yet */
	fake_config_write(h, 1, PCI_COMMAND, 2, PCI_COMMAND_MEMORY);
	assert_int_equal(toy->moves, 2);
	assert_int_equal(fake_read(h, home + 4, 4), 0x1004);
	assert_int_equal(fake_read(h, toy->pci.bars[2].home + 8, 4), 0x1008);
	assert_false(bus_read(h->pio, toy->pci.bars[4].home, &v, 4));
	fake_config_write(h, 1, PCI_COMMAND, 2, PCI_COMMAND_MEMORY | PCI_COMMAND_IO);
	assert_true(bus_read(h->pio, toy->pci.bars[4].home, &v, 4));
	fake_config_write(h, 1, PCI_BASE_ADDRESS_0, 4, 0xd0000000);
	assert_int_equal(fake_read(h, home + 4, 4), 0xffffffff);
	assert_int_equal(fake_read(h, 0xd0000004, 4), 0x1004);
	/* The 64-bit one, half by half. */
	fake_config_write(h, 1, PCI_BASE_ADDRESS_3, 4, 0x20);
	fake_config_write(h, 1, PCI_BASE_ADDRESS_2, 4, 0x30000000);
	assert_int_equal(fake_read(h, 0x2030000010ULL, 4), 0x1010);
	fake_config_write(h, 1, PCI_COMMAND, 2, 0);
	assert_int_equal(fake_read(h, 0xd0000004, 4), 0xffffffff);
}

/* Moved onto something else a BAR answers nowhere, and comes back when it can. */
static void test_bar_conflict(void **state)
{
	struct fake_host *h = *state;
	struct toy *a = toy_add(h, "a", 1, 0), *b = toy_add(h, "b", 2, 0);

	a->reg = 0x100;
	b->reg = 0x200;
	fake_config_write(h, 1, PCI_COMMAND, 2, PCI_COMMAND_MEMORY);
	fake_config_write(h, 2, PCI_COMMAND, 2, PCI_COMMAND_MEMORY);
	fake_config_write(h, 2, PCI_BASE_ADDRESS_0, 4, (uint32_t)a->pci.bars[0].home);
	assert_int_equal(fake_read(h, a->pci.bars[0].home, 4), 0x100);
	assert_false(b->pci.bars[0].mapped);
	fake_config_write(h, 2, PCI_BASE_ADDRESS_0, 4, FAKE_ECAM);
	assert_false(b->pci.bars[0].mapped);
	assert_int_equal(fake_config_read(h, 0, PCI_CLASS_REVISION, 4), 0x06000000);
	fake_config_write(h, 2, PCI_BASE_ADDRESS_0, 4, (uint32_t)b->pci.bars[0].home);
	assert_int_equal(fake_read(h, b->pci.bars[0].home, 4), 0x200);
}

static void test_slots(void **state)
{
	struct fake_host *h = *state;
	struct toy *extra;
	struct error err;
	char id[16];

	toy_add(h, "f0", 5, 0);
	assert_int_equal(fake_config_read(h, 5, PCI_HEADER_TYPE, 1), 0);
	toy_add(h, "f1", 5, 1);
	assert_int_equal(fake_config_read(h, 5, PCI_HEADER_TYPE, 1), 0x80);
	/* Function 1 uses INTB. */
	assert_int_equal(fake_read(h, FAKE_ECAM + (5 << 15 | 1 << 12) + PCI_INTERRUPT_PIN, 1), 2);
	extra = toy_new(h, "extra");
	assert_int_equal(pci_bus_add(h->pci, &extra->pci, 5, 1, &err), -EBUSY);
	assert_text(err, "f1");
	assert_int_equal(pci_bus_add(h->pci, &extra->pci, 32, 0, &err), -EINVAL);
	for (int i = 1; i < 32; i++) {
		snprintf(id, sizeof(id), "x%d", i);
		if (i != 5)
			toy_add(h, id, PCI_SLOT_ANY, 0);
	}
	assert_int_equal(pci_bus_add(h->pci, &extra->pci, PCI_SLOT_ANY, 0, &err), -ENOSPC);
	toy_destroy(&extra->pci);
	assert_non_null(pci_bus_find(h->pci, "f1"));
	assert_null(pci_bus_find(h->pci, "f2"));
}

static void test_no_room(void **state)
{
	struct fake_host *h = *state;
	struct toy *toy = toy_new(h, "big");
	struct error err;

	pci_dev_bar(&toy->pci, 1, PCI_BAR_MEM32, 32 * MIB, &toy_bar);
	assert_int_equal(pci_bus_add(h->pci, &toy->pci, PCI_SLOT_ANY, 0, &err), -ENOSPC);
	assert_text(err, "BAR 1");
	toy_destroy(&toy->pci);
}

static void test_remove(void **state)
{
	struct fake_host *h = *state;
	bool destroyed = false;
	struct toy *toy = toy_add(h, "toy", 1, 0);
	uint64_t home = toy->pci.bars[0].home;

	toy->destroyed = &destroyed;
	fake_config_write(h, 1, PCI_COMMAND, 2, PCI_COMMAND_MEMORY);
	pci_dev_intx(&toy->pci, true);
	assert_true(h->lines[17]);
	pci_bus_remove(h->pci, &toy->pci);
	assert_true(destroyed);
	assert_false(h->lines[17]);
	assert_int_equal(fake_read(h, home, 4), 0xffffffff);
	assert_int_equal(fake_config_read(h, 1, 0, 4), 0xffffffff);
	/* Its room is free again. */
	assert_int_equal(toy_add(h, "toy", 1, 0)->pci.bars[0].home, home);
}

static void test_reset(void **state)
{
	struct fake_host *h = *state;
	struct toy *toy = toy_add(h, "toy", 1, 0);
	uint64_t home = toy->pci.bars[0].home;

	fake_config_write(h, 1, PCI_COMMAND, 2, PCI_COMMAND_MEMORY);
	fake_config_write(h, 1, PCI_BASE_ADDRESS_0, 4, 0xd0000000);
	fake_config_write(h, 1, PCI_INTERRUPT_LINE, 1, 99);
	pci_dev_intx(&toy->pci, true);
	pci_bus_reset(h->pci);
	assert_int_equal(toy->resets, 1);
	assert_int_equal(fake_read(h, 0xd0000000, 4), 0xffffffff);
	assert_int_equal(fake_config_read(h, 1, PCI_COMMAND, 2), 0);
	assert_int_equal(fake_config_read(h, 1, PCI_BASE_ADDRESS_0, 4), home);
	assert_int_equal(fake_config_read(h, 1, PCI_INTERRUPT_LINE, 1), 17);
	assert_false(h->lines[17]);
}

/* Slots 1 and 5 share a line, which is high while either wants it. */
static void test_intx(void **state)
{
	struct fake_host *h = *state;
	struct toy *a = toy_add(h, "a", 1, 0), *b = toy_add(h, "b", 5, 0);

	pci_dev_intx(&a->pci, true);
	pci_dev_intx(&b->pci, true);
	pci_dev_intx(&b->pci, true);
	assert_true(h->lines[17]);
	assert_true(fake_config_read(h, 1, PCI_STATUS, 2) & PCI_STATUS_INTERRUPT);
	pci_dev_intx(&a->pci, false);
	assert_true(h->lines[17]);
	assert_false(fake_config_read(h, 1, PCI_STATUS, 2) & PCI_STATUS_INTERRUPT);
	/* Disabled: the line goes, the status stays, and it comes back. */
	fake_config_write(h, 5, PCI_COMMAND, 2, PCI_COMMAND_INTX_DISABLE);
	assert_false(h->lines[17]);
	assert_true(fake_config_read(h, 5, PCI_STATUS, 2) & PCI_STATUS_INTERRUPT);
	fake_config_write(h, 5, PCI_COMMAND, 2, 0);
	assert_true(h->lines[17]);
	pci_dev_intx(&b->pci, false);
	assert_false(h->lines[17]);
	assert_int_equal(h->line_changes, 4);
}

static void test_capabilities(void **state)
{
	struct fake_host *h = *state;
	struct toy *toy = toy_new(h, "toy");
	unsigned express, vendor, at, seen = 0;
	struct error err;

	express = pci_dev_add_express(&toy->pci);
	vendor = pci_dev_add_cap(&toy->pci, PCI_CAP_ID_VNDR, 13);
	assert_int_equal(pci_dev_add_cap(&toy->pci, PCI_CAP_ID_VNDR, 200), 0);
	assert_int_equal(pci_bus_add(h->pci, &toy->pci, 1, 0, &err), 0);
	assert_true(fake_config_read(h, 1, PCI_STATUS, 2) & PCI_STATUS_CAP_LIST);
	for (at = fake_config_read(h, 1, PCI_CAPABILITY_LIST, 1); at;
	     at = fake_config_read(h, 1, at + 1, 1)) {
		assert_true(at == express || at == vendor);
		assert_int_equal(at % 4, 0);
		seen++;
	}
	assert_int_equal(seen, 2);
	/* Express: the rest of config space is there, without extended capabilities. */
	assert_int_equal(fake_config_read(h, 1, 0x100, 4), 0);
	assert_int_equal(fake_config_read(h, 1, 0xffc, 4), 0);
}

#define T(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_bridge),	   T(test_ports),	 T(test_header), T(test_sizing),
		T(test_bar_moves), T(test_bar_conflict), T(test_slots),	 T(test_no_room),
		T(test_remove),	   T(test_reset),	 T(test_intx),	 T(test_capabilities),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
