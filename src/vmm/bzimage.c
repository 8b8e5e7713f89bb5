/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Linux's bzImage by the 64-bit boot protocol (Documentation/arch/x86/boot.rst). The file is
 * setup sectors for real mode, of which only the header is used, and then the kernel proper, which
 * unpacks itself. The loader puts the latter somewhere, a "zero page" with the header and a memory
 * map somewhere else, and enters 0x200 bytes into the kernel in long mode.
 *
 * Where it can, the loader does the unpacking itself (vmlinux.c) and enters the unpacked kernel,
 * whose entry expects the same as the packed one's. Whatever is unexpected in that, from an unknown
 * compression to a missing table, leads back to the protocol as it is written.
 */
#include "vmm/boot.h"
#include "vmm/unpack.h"

#include <errno.h>
#include <stdio.h>

/* Offsets in the file's header, which are the same in the zero page. */
enum {
	HDR_SETUP_SECTS = 0x1f1,
	HDR_SYSSIZE = 0x1f4,
	HDR_BOOT_FLAG = 0x1fe,
	HDR_JUMP = 0x200, /* its second byte: where the header ends, from 0x202 */
	HDR_MAGIC = 0x202,
	HDR_VERSION = 0x206,
	HDR_TYPE_OF_LOADER = 0x210,
	HDR_LOADFLAGS = 0x211,
	HDR_RAMDISK_IMAGE = 0x218,
	HDR_RAMDISK_SIZE = 0x21c,
	HDR_CMD_LINE_PTR = 0x228,
	HDR_INITRD_ADDR_MAX = 0x22c,
	HDR_KERNEL_ALIGNMENT = 0x230,
	HDR_RELOCATABLE = 0x234,
	HDR_MIN_ALIGNMENT = 0x235,
	HDR_XLOADFLAGS = 0x236,
	HDR_CMDLINE_SIZE = 0x238,
	HDR_PAYLOAD_OFFSET = 0x248,
	HDR_PAYLOAD_LENGTH = 0x24c,
	HDR_PREF_ADDRESS = 0x258,
	HDR_INIT_SIZE = 0x260,
	HDR_END = 0x290, /* of what may be copied into the zero page */
	/* Only in the zero page. */
	ZP_RSDP_ADDR = 0x070,
	ZP_E820_ENTRIES = 0x1e8,
	ZP_E820_TABLE = 0x2d0,
	ZP_SIZE = 0x1000,
};

#define MAGIC_HDRS	0x53726448u
#define LOADED_HIGH	1u
#define KASLR_FLAG	2u
#define XLF_KERNEL_64	1u
#define VERSION_MIN	0x020c /* xloadflags, Linux 3.8 */
#define LOADER_UNKNOWN	0xff
#define ENTRY_64	0x200u
#define SECTOR		512u
#define KERNEL_SPACE	(1 * GIB) /* of virtual addresses, for a kernel with KASLR */
#define E820_ENTRY_SIZE 20u
_Static_assert(ZP_E820_TABLE + BOOT_RANGES_MAX * E820_ENTRY_SIZE <= ZP_SIZE, "e820 in zero page");
_Static_assert(BOOT_PAGE_TABLES + 6 * 0x1000 <= BOOT_CMDLINE, "page tables below the command line");

struct bzimage {
	const uint8_t *hdr;  /* the file from its first byte; at least HDR_END bytes */
	const uint8_t *code; /* what is loaded */
	uint64_t code_size;
	uint64_t init_size; /* what it needs from its load address on */
	uint64_t load;
	bool random; /* it is at random addresses */
};

bool boot_is_bzimage(const struct boot_file *kernel)
{
	return kernel->size >= HDR_VERSION + 2 &&
	       load_le16(kernel->data + HDR_BOOT_FLAG) == 0xaa55 &&
	       load_le32(kernel->data + HDR_MAGIC) == MAGIC_HDRS;
}

static int parse(const struct boot_file *kernel, struct bzimage *bz, struct error *err)
{
	unsigned version = load_le16(kernel->data + HDR_VERSION);
	uint64_t setup, whole;

	if (kernel->size < HDR_END)
		return error_set(err, -ENOEXEC, "kernel %s: truncated in its header (%zu bytes)",
				 kernel->name, kernel->size);
	if (version < VERSION_MIN)
		return error_set(err, -ENOEXEC,
				 "kernel %s: it speaks boot protocol %u.%02u; 2.12 (Linux 3.8) or "
				 "newer is needed",
				 kernel->name, version >> 8, version & 0xff);
	bz->hdr = kernel->data;
	if (!(load_le16(bz->hdr + HDR_XLOADFLAGS) & XLF_KERNEL_64) ||
	    !(bz->hdr[HDR_LOADFLAGS] & LOADED_HIGH))
		return error_set(err, -ENOEXEC,
				 "kernel %s: it has no 64-bit entry: a kernel for x86-64 is needed",
				 kernel->name);
	setup = bz->hdr[HDR_SETUP_SECTS] ? bz->hdr[HDR_SETUP_SECTS] : 4; /* boot.rst: 0 means 4 */
	setup = (setup + 1) * SECTOR;
	whole = setup + (uint64_t)load_le32(bz->hdr + HDR_SYSSIZE) * 16;
	if (whole <= setup + ENTRY_64)
		return error_set(err, -ENOEXEC, "kernel %s: its header says it is empty",
				 kernel->name);
	if (whole > kernel->size)
		return error_set(
			err, -ENOEXEC,
			"kernel %s: truncated: its header says %llu bytes, the file has %zu",
			kernel->name, (unsigned long long)whole, kernel->size);
	bz->code = kernel->data + setup;
	bz->code_size = whole - setup;
	bz->init_size = MAX(load_le32(bz->hdr + HDR_INIT_SIZE), bz->code_size);
	return 0;
}

/* Where the kernel prefers to be; where memory is small and it can move, as low as it may. */
static int choose_address(const struct boot_params *params, struct bzimage *bz, struct error *err)
{
	uint64_t align = load_le32(bz->hdr + HDR_KERNEL_ALIGNMENT);
	uint64_t pref = load_le64(bz->hdr + HDR_PREF_ADDRESS);
	uint64_t limit = params->low_ram;

	if (pref < BOOT_HIGH || pref > UINT32_MAX)
		return error_set(err, -ENOEXEC, "kernel %s: it wants to be at %#llx",
				 params->kernel.name, (unsigned long long)pref);
	bz->load = pref;
	if (limit >= pref && bz->init_size <= limit - pref)
		return 0;
	if (bz->hdr[HDR_RELOCATABLE] && is_pow2(align)) {
		bz->load = ALIGN_UP(BOOT_HIGH, align);
		if (bz->load < limit && bz->init_size <= limit - bz->load)
			return 0;
	}
	return error_set(
		err, -ENOSPC,
		"--memory: kernel %s needs %llu MiB from %llu MiB on to unpack itself, and "
		"there are %llu MiB of memory: raise it to at least %lluM",
		params->kernel.name, (unsigned long long)((bz->init_size + MIB - 1) >> 20),
		(unsigned long long)(bz->load >> 20), (unsigned long long)(limit >> 20),
		(unsigned long long)((bz->load + bz->init_size + MIB - 1) >> 20));
}

static int put_page_tables(const struct mem_table *mem)
{
	enum { PRESENT_RW = 3, PAGE_2M = 0x80, PAGE = 0x1000, ENTRIES = 512 };
	uint8_t page[PAGE] = {0};
	uint64_t pdpt = BOOT_PAGE_TABLES + PAGE, pd = pdpt + PAGE;
	int ret;

	store_le64(page, pdpt | PRESENT_RW);
	ret = mem_write(mem, BOOT_PAGE_TABLES, page, PAGE);
	memset(page, 0, PAGE);
	for (unsigned i = 0; i < 4; i++)
		store_le64(page + 8 * i, (pd + i * PAGE) | PRESENT_RW);
	if (!ret)
		ret = mem_write(mem, pdpt, page, PAGE);
	for (uint64_t i = 0; i < 4 && !ret; i++) {
		for (uint64_t j = 0; j < ENTRIES; j++)
			store_le64(page + 8 * j,
				   (i * ENTRIES + j) * 2 * MIB | PRESENT_RW | PAGE_2M);
		ret = mem_write(mem, pd + i * PAGE, page, PAGE);
	}
	return ret;
}

static int put_zero_page(const struct boot_params *params, const struct mem_table *mem,
			 const struct bzimage *bz, const struct boot_entry *entry)
{
	size_t end = MIN((size_t)HDR_MAGIC + bz->hdr[HDR_JUMP + 1], (size_t)HDR_END);
	uint8_t zp[ZP_SIZE] = {0}, *e820 = zp + ZP_E820_TABLE;

	memcpy(zp + HDR_SETUP_SECTS, bz->hdr + HDR_SETUP_SECTS, end - HDR_SETUP_SECTS);
	zp[HDR_TYPE_OF_LOADER] = LOADER_UNKNOWN;
	if (bz->random)
		zp[HDR_LOADFLAGS] |= KASLR_FLAG;
	store_le32(zp + HDR_CMD_LINE_PTR, BOOT_CMDLINE);
	store_le32(zp + HDR_RAMDISK_IMAGE, (uint32_t)entry->initrd.base);
	store_le32(zp + HDR_RAMDISK_SIZE, (uint32_t)entry->initrd.size);
	store_le64(zp + ZP_RSDP_ADDR, params->rsdp);
	zp[ZP_E820_ENTRIES] = (uint8_t)params->nranges;
	for (unsigned i = 0; i < params->nranges; i++, e820 += E820_ENTRY_SIZE) {
		store_le64(e820, params->ranges[i].base);
		store_le64(e820 + 8, params->ranges[i].size);
		store_le32(e820 + 16, params->ranges[i].type);
	}
	return mem_write(mem, BOOT_ZERO_PAGE, zp, sizeof(zp));
}

/* One of the multiples of align from base on at which size bytes end by limit. */
static uint64_t random_slot(uint64_t seed, uint64_t base, uint64_t size, uint64_t limit,
			    uint64_t align)
{
	if (limit < base || limit - base < size)
		return base;
	return base + seed % ((limit - base - size) / align + 1) * align;
}

/* Unpacks the kernel to bz->load. 0, or a negative errno where the kernel has to do that. */
static int put_unpacked(const struct boot_params *params, const struct mem_table *mem,
			struct bzimage *bz, struct boot_entry *entry)
{
	uint64_t offset = load_le32(bz->hdr + HDR_PAYLOAD_OFFSET);
	uint64_t length = load_le32(bz->hdr + HDR_PAYLOAD_LENGTH);
	uint64_t pref = load_le64(bz->hdr + HDR_PREF_ADDRESS);
	uint64_t align = load_le32(bz->hdr + HDR_KERNEL_ALIGNMENT);
	uint64_t limit = entry->initrd.size ? entry->initrd.base : params->low_ram;
	struct vmlinux vmlinux = {.link_base = pref};
	uint8_t *image;
	int64_t size;
	int ret;

	/* The payload's last four bytes are its size when unpacked. */
	if (!params->unpack || bz->load != pref || length < 8 || offset > bz->code_size ||
	    length > bz->code_size - offset)
		return -ENOTSUP;
	size = load_le32(bz->code + offset + length - 4);
	if ((uint64_t)size > bz->init_size)
		return -EINVAL;
	if (params->kaslr && bz->hdr[HDR_RELOCATABLE] && is_pow2(align) && align >= 4 * KIB) {
		bz->load = random_slot(params->seed[0], pref, bz->init_size, limit, align);
		vmlinux.virt_shift =
			random_slot(params->seed[1], pref, bz->init_size, KERNEL_SPACE, align) -
			pref;
		bz->random = true;
	}
	image = mem_translate(mem, bz->load, bz->init_size, MEM_WRITE);
	if (!image)
		return -EFAULT;
	boot_prepare(mem, bz->load, (uint64_t)size);
	if (unpack(bz->code + offset, length - 4, image, bz->init_size) != size)
		return -EINVAL;
	ret = vmlinux_place(&vmlinux, image, (size_t)size, bz->init_size);
	entry->rip = bz->load + vmlinux.entry;
	return ret;
}

static int put_packed(const struct mem_table *mem, struct bzimage *bz, struct boot_entry *entry)
{
	bz->random = false;
	entry->rip = bz->load + ENTRY_64;
	boot_prepare(mem, bz->load, bz->code_size);
	return boot_put(mem, bz->load, bz->code, bz->code_size);
}

static int put_kernel(const struct boot_params *params, const struct mem_table *mem,
		      struct bzimage *bz, struct boot_entry *entry)
{
	uint64_t load = bz->load;
	int ret;

	if (!put_unpacked(params, mem, bz, entry)) {
		entry->protocol = "bzImage, unpacked by the VMM";
		ret = 0;
	} else {
		entry->protocol = "bzImage";
		bz->load = load;
		ret = put_packed(mem, bz, entry);
	}
	entry->image.base = bz->load;
	return ret;
}

int boot_bzimage(const struct boot_params *params, const struct mem_table *mem,
		 struct boot_entry *entry, struct error *err)
{
	struct bzimage bz = {0};
	int ret = parse(&params->kernel, &bz, err);

	if (!ret)
		ret = choose_address(params, &bz, err);
	if (ret)
		return ret;
	entry->long_mode = true;
	entry->rsi = BOOT_ZERO_PAGE;
	entry->image = (struct boot_range){.base = bz.load, .size = bz.init_size};
	ret = boot_put_cmdline(params, mem, load_le32(bz.hdr + HDR_CMDLINE_SIZE), err);
	if (!ret)
		ret = boot_put_initrd(params, mem,
				      (uint64_t)load_le32(bz.hdr + HDR_INITRD_ADDR_MAX) + 1, entry,
				      err);
	if (ret)
		return ret;
	if (put_kernel(params, mem, &bz, entry) || boot_put_gdt(mem, true) ||
	    put_page_tables(mem) || put_zero_page(params, mem, &bz, entry))
		return error_set(err, -ENOSPC, "kernel %s: it does not fit into memory",
				 params->kernel.name);
	return 0;
}
