/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The machine's ACPI tables (ACPI 6.4). The DSDT is compiled from dsdt.asl when Viaduct is built;
 * an SSDT with three numbers carries what it has to know about this machine; the others are
 * written here. Order in memory: RSDP, FACS, DSDT, SSDT, FADT, MADT, MCFG, XSDT.
 */
#include "vmm/acpi.h"
#include "vmm/hw.h"

#include <errno.h>

#include "dsdt.hex"

#define ACPI_HEADER 36
#define TABLES_MAX  8

struct builder {
	uint8_t *buf;
	uint64_t base;
	size_t used, room;
	bool full;
	size_t table;		     /* offset of the table being written */
	uint64_t tables[TABLES_MAX]; /* for the XSDT */
	unsigned ntables;
};

static uint8_t *put(struct builder *b, size_t len)
{
	static uint8_t nowhere[4096];
	uint8_t *at = b->buf + b->used;

	if (len > b->room - b->used || b->full) {
		b->full = true;
		return nowhere;
	}
	memset(at, 0, len);
	b->used += len;
	return at;
}

static void put8(struct builder *b, uint8_t v)
{
	*put(b, 1) = v;
}

static void put16(struct builder *b, uint16_t v)
{
	store_le16(put(b, 2), v);
}

static void put32(struct builder *b, uint32_t v)
{
	store_le32(put(b, 4), v);
}

static void put64(struct builder *b, uint64_t v)
{
	store_le64(put(b, 8), v);
}

static void align(struct builder *b, size_t to)
{
	put(b, (size_t)(ALIGN_UP(b->used, to) - b->used));
}

static uint8_t checksum(const uint8_t *p, size_t len)
{
	uint8_t sum = 0;

	while (len--)
		sum = (uint8_t)(sum + *p++);
	return (uint8_t)-sum;
}

/* The header all tables have but RSDP and FACS (5.2.6). */
static void table_begin(struct builder *b, const char *signature, uint8_t revision)
{
	uint8_t *h;

	align(b, 16);
	b->table = b->used;
	h = put(b, ACPI_HEADER);
	memcpy(h, signature, 4);
	h[8] = revision;
	memcpy(h + 10, "VIADCTVIADUCT ", 14);
	store_le32(h + 24, 1);
	memcpy(h + 28, "VIAD", 4);
	store_le32(h + 32, 1);
}

/* Returns the table's address. */
static uint64_t table_end(struct builder *b, bool in_xsdt)
{
	uint64_t addr = b->base + b->table;
	size_t len = b->used - b->table;
	uint8_t *h = b->buf + b->table;

	if (b->full)
		return 0;
	store_le32(h + 4, (uint32_t)len);
	h[9] = 0;
	h[9] = checksum(h, len);
	if (in_xsdt && b->ntables < TABLES_MAX)
		b->tables[b->ntables++] = addr;
	return addr;
}

static uint64_t put_facs(struct builder *b)
{
	uint8_t *facs;
	uint64_t addr;

	align(b, 64);
	addr = b->base + b->used;
	facs = put(b, 64);
	memcpy(facs, "FACS", 4);
	store_le32(facs + 4, 64);
	facs[32] = 2; /* version */
	return addr;
}

static uint64_t put_dsdt(struct builder *b)
{
	uint64_t addr;

	align(b, 16);
	addr = b->base + b->used;
	if (sizeof(dsdt_aml_code) > b->room - b->used) {
		b->full = true;
		return 0;
	}
	memcpy(b->buf + b->used, dsdt_aml_code, sizeof(dsdt_aml_code));
	b->used += sizeof(dsdt_aml_code);
	return addr;
}

/* Name (\XXXX, value): NameOp, NameString, QWordPrefix (20.2). */
static void put_name(struct builder *b, const char *name, uint64_t value)
{
	put8(b, 0x08);
	memcpy(put(b, 5), name, 5);
	put8(b, 0x0e);
	put64(b, value);
}

static void put_ssdt(struct builder *b, const struct acpi_config *config)
{
	table_begin(b, "SSDT", 2);
	put_name(b, "\\MEMB", config->mem64_base);
	put_name(b, "\\MEML", config->mem64_base + config->mem64_size - 1);
	put_name(b, "\\MEMS", config->mem64_size);
	table_end(b, true);
}

/* A port as a generic address (5.2.3.2). width is in bits; access 1: bytes, 2: words, 3: dwords. */
static void put_port(struct builder *b, uint8_t width, uint8_t access, uint64_t port)
{
	put8(b, port ? 1 : 0);
	put8(b, width);
	put8(b, 0);
	put8(b, access);
	put64(b, port);
}

/* Fixed ACPI Description Table (5.2.9). */
static void put_fadt(struct builder *b, uint64_t facs, uint64_t dsdt)
{
	enum {
		WBINVD = 1 << 0,
		PROC_C1 = 1 << 2,
		SLP_BUTTON = 1 << 5, /* none as a fixed feature; the power button is one */
		FIX_RTC = 1 << 6,    /* wake status is not in fixed registers */
		TMR_VAL_EXT = 1 << 8,
		RESET_REG_SUP = 1 << 10,
	};
	/* No 8042, no VGA, no ASPM control: what Linux would otherwise look for. */
	enum { VGA_NOT_PRESENT = 1 << 2, PCIE_ASPM_CONTROLS = 1 << 4 };
	size_t start;

	table_begin(b, "FACP", 6);
	start = b->table;
	put32(b, (uint32_t)facs);
	put32(b, (uint32_t)dsdt);
	put16(b, 0);	      /* (reserved), preferred profile: unspecified */
	put16(b, HW_SCI_GSI); /* 46 */
	put32(b, 0);	      /* SMI_CMD: none, ACPI is always on */
	put32(b, 0);	      /* ACPI_ENABLE, _DISABLE, S4BIOS, PSTATE */
	put32(b, HW_PM_PORT); /* 56: PM1a event */
	put32(b, 0);
	put32(b, HW_PM_PORT + 4); /* PM1a control */
	put32(b, 0);
	put32(b, 0);
	put32(b, HW_PM_PORT + 8); /* PM timer */
	put64(b, 0);		  /* GPE0, GPE1 */
	put8(b, 4);		  /* 88: lengths: PM1 event, control, PM2, timer, GPE0, GPE1 */
	put8(b, 2);
	put8(b, 0);
	put8(b, 4);
	put32(b, 0);	 /* GPE0, GPE1, GPE1 base, _CST */
	put16(b, 0xfff); /* 96: no C2 */
	put16(b, 0xfff); /* no C3 */
	put64(b, 0);	 /* cache flush, duty cycle, day and month alarm: none */
	put8(b, 0x32);	 /* 108: where CMOS has the century */
	put16(b, VGA_NOT_PRESENT | PCIE_ASPM_CONTROLS);
	put8(b, 0);
	put32(b, WBINVD | PROC_C1 | SLP_BUTTON | FIX_RTC | TMR_VAL_EXT | RESET_REG_SUP);
	put_port(b, 8, 1, HW_RESET_PORT);
	put8(b, 0x0e); /* full reset */
	put16(b, 0);
	put8(b, 4); /* 131: minor version: 6.4 */
	put64(b, facs);
	put64(b, dsdt);
	put_port(b, 32, 2, HW_PM_PORT);
	put_port(b, 0, 0, 0);
	put_port(b, 16, 2, HW_PM_PORT + 4);
	put_port(b, 0, 0, 0);
	put_port(b, 0, 0, 0);
	put_port(b, 32, 3, HW_PM_PORT + 8);
	for (unsigned i = 0; i < 4; i++)
		put_port(b, 0, 0, 0);	  /* GPE0, GPE1, sleep control and status */
	memcpy(put(b, 8), "KVMKVMKV", 8); /* hypervisor vendor */
	if (b->used - start != 276)
		b->full = true; /* not reached: a field is wrong above */
	table_end(b, true);
}

/* Multiple APIC Description Table (5.2.12). */
static void put_madt(struct builder *b, unsigned cpus)
{
	enum { ACTIVE_HIGH_LEVEL = 0x0d };

	table_begin(b, "APIC", 5);
	put32(b, HW_LAPIC_BASE);
	put32(b, 1); /* PCAT_COMPAT: there is a PIC as well */
	for (unsigned i = 0; i < cpus; i++) {
		put16(b, 0x0800); /* type 0, local APIC */
		put8(b, (uint8_t)i);
		put8(b, (uint8_t)i);
		put32(b, 1); /* enabled */
	}
	put16(b, 0x0c01); /* type 1, IOAPIC */
	put16(b, 0);
	put32(b, HW_IOAPIC_BASE);
	put32(b, 0);
	put16(b, 0x0a02); /* type 2, override: ISA interrupt 0 is GSI 2 */
	put16(b, 0);
	put32(b, 2);
	put16(b, 0);
	put16(b, 0x0a02); /* the SCI is level-triggered, active high */
	put16(b, HW_SCI_GSI << 8);
	put32(b, HW_SCI_GSI);
	put16(b, ACTIVE_HIGH_LEVEL);
	put16(b, 0x0604); /* type 4: LINT1 of all processors is the NMI */
	put8(b, 0xff);
	put16(b, 0);
	put8(b, 1);
	table_end(b, true);
}

/* PCI Firmware 3.2, 4.1.2. */
static void put_mcfg(struct builder *b)
{
	table_begin(b, "MCFG", 1);
	put64(b, 0);
	put64(b, HW_ECAM_BASE);
	put16(b, 0); /* segment */
	put8(b, 0);  /* first and last bus */
	put8(b, 0);
	put32(b, 0);
	table_end(b, true);
}

static uint64_t put_xsdt(struct builder *b)
{
	table_begin(b, "XSDT", 1);
	for (unsigned i = 0; i < b->ntables; i++)
		put64(b, b->tables[i]);
	return table_end(b, false);
}

int acpi_build(const struct acpi_config *config, uint64_t base, uint8_t *buf, size_t room)
{
	struct builder b = {.buf = buf, .base = base, .room = room};
	uint64_t facs, dsdt, xsdt;
	uint8_t *rsdp;

	rsdp = put(&b, 36);
	facs = put_facs(&b);
	dsdt = put_dsdt(&b);
	put_fadt(&b, facs, dsdt);
	put_ssdt(&b, config);
	put_madt(&b, config->cpus);
	put_mcfg(&b);
	xsdt = put_xsdt(&b);
	if (b.full)
		return -ENOSPC;
	memcpy(rsdp, "RSD PTR ", 8);
	memcpy(rsdp + 9, "VIADCT", 6);
	rsdp[15] = 2;
	store_le32(rsdp + 20, 36);
	store_le64(rsdp + 24, xsdt);
	rsdp[8] = checksum(rsdp, 20);
	rsdp[32] = checksum(rsdp, 36);
	return (int)b.used;
}
