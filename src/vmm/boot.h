/* SPDX-License-Identifier: Apache-2.0 */
#ifndef VMM_BOOT_H
#define VMM_BOOT_H

#include "mem/guest_mem.h"

/*
 * Loading a kernel into guest memory, without KVM: two formats, one entry.
 *
 *   bzImage  Linux's 64-bit boot protocol (Documentation/arch/x86/boot.rst)
 *   ELF      an uncompressed kernel with a PVH entry (Xen's docs/misc/pvh.pandoc)
 *
 * The files come from whoever starts the machine and are checked as if from an enemy: every
 * offset and length is compared with the file and with guest memory before it is used. The
 * parsers see bytes in memory only (tests/fuzz/fuzz_boot.c).
 *
 * What the loader uses of the first MiB, none of it needed once the kernel runs but the tables of
 * ACPI, which the memory map keeps from it:
 */
#define BOOT_GDT	 0x0500
#define BOOT_PVH_INFO	 0x6000 /* hvm_start_info, its module list and memory map */
#define BOOT_ZERO_PAGE	 0x7000
#define BOOT_PAGE_TABLES 0x9000 /* PML4, PDPT, 4 PDs: 4 GiB, identity mapped */
#define BOOT_CMDLINE	 0x20000
#define BOOT_CMDLINE_MAX 0x10000
#define BOOT_LOW_END	 0x9fc00 /* end of usable memory below 640 KiB */
#define BOOT_ACPI	 0xe0000 /* RSDP first */
#define BOOT_ACPI_MAX	 0x20000
#define BOOT_HIGH	 0x100000

/* The memory map's types are those of e820, of ACPI, and of PVH alike. */
enum { BOOT_RAM = 1, BOOT_RESERVED = 2, BOOT_ACPI_DATA = 3 };

struct boot_range {
	uint64_t base, size;
	uint32_t type;
};
#define BOOT_RANGES_MAX 16

/** A file as the parsers see it. fd is for messages' sake none of their business. */
struct boot_file {
	const char *name; /* for messages */
	const uint8_t *data;
	size_t size;
};

struct boot_params {
	struct boot_file kernel;
	struct boot_file initrd; /* data NULL: none */
	const char *cmdline;
	uint64_t rsdp;
	struct boot_range ranges[BOOT_RANGES_MAX]; /* sorted */
	unsigned nranges;
	uint64_t low_ram; /* end of RAM below 4 GiB */
	bool unpack;	  /* unpack a bzImage here, where that can be done */
	bool kaslr;	  /* and then put it at a random address, made from seed */
	uint64_t seed[2];
};

/** Where and how the boot vCPU starts. */
struct boot_entry {
	const char *protocol; /* for messages */
	bool long_mode;	      /* else 32-bit protected mode without paging */
	uint64_t rip;
	uint64_t rsi, rbx; /* the zero page (bzImage), hvm_start_info (PVH) */
	/* What the kernel will certainly touch, to have it ready: its own image with what it
	 * needs to unpack itself, and the initrd. */
	struct boot_range image, initrd;
};

/**
 * Loads the kernel of either format, the initrd, the command line and what describes them.
 * -ENOEXEC: not a kernel that can be booted, or a broken one; -E2BIG: command line too long;
 * -ENOSPC: kernel or initrd do not fit into memory. err names file and remedy.
 */
int boot_load(const struct boot_params *params, const struct mem_table *mem,
	      struct boot_entry *entry, struct error *err);

/* The parts, each in its own file. */
bool boot_is_bzimage(const struct boot_file *kernel);
bool boot_is_elf(const struct boot_file *kernel);
int boot_bzimage(const struct boot_params *params, const struct mem_table *mem,
		 struct boot_entry *entry, struct error *err);
int boot_pvh(const struct boot_params *params, const struct mem_table *mem,
	     struct boot_entry *entry, struct error *err);

/**
 * Has the host give [gpa, gpa + size) now, in huge pages where it can: what the guest is certain
 * to touch costs it a fault for every 4 KiB otherwise, each of them an exit. A shared mapping gets
 * no huge pages by itself on most hosts (shmem_enabled is "never"). Only speed depends on it.
 */
void boot_prepare(const struct mem_table *mem, uint64_t gpa, uint64_t size);

/** Writes into guest memory. 0 or -EFAULT. */
int boot_put(const struct mem_table *mem, uint64_t gpa, const void *data, uint64_t size);
int boot_zero(const struct mem_table *mem, uint64_t gpa, uint64_t size);

/** Puts the initrd as high as it may go: below limit, above the kernel's end. */
int boot_put_initrd(const struct boot_params *params, const struct mem_table *mem, uint64_t limit,
		    struct boot_entry *entry, struct error *err);
int boot_put_cmdline(const struct boot_params *params, const struct mem_table *mem, size_t max,
		     struct error *err);
/** The segment descriptors both entries use: code 0x10, data 0x18. */
int boot_put_gdt(const struct mem_table *mem, bool long_mode);
uint64_t boot_gdt_entry(unsigned selector, bool long_mode);

/* GDT layout */
#define BOOT_CS 0x10
#define BOOT_DS 0x18
#define BOOT_TS 0x20

#endif
