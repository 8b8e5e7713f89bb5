/* SPDX-License-Identifier: Apache-2.0 */
/* What both boot protocols need: bytes into guest memory, descriptors, command line, initrd. */
#include "vmm/boot.h"

#include <errno.h>
#include <stdio.h>
#include <sys/mman.h>

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif
#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25
#endif

#define HUGE_PAGE (2 * MIB)

/* Flat segments of 4 GiB: base 0, limit 0xfffff pages (Intel SDM 3A, 3.4.5). */
#define GDT_CODE64 0x00af9b000000ffffULL
#define GDT_CODE32 0x00cf9b000000ffffULL
#define GDT_DATA   0x00cf93000000ffffULL
#define GDT_TSS	   0x00008b0000000067ULL

/* The 2 MiB at at, as one page. Linux takes an extent with nothing in it for truncated. */
static bool make_huge(uint8_t *at)
{
	__atomic_fetch_or(at, 0, __ATOMIC_RELAXED);
	return !madvise(at, HUGE_PAGE, MADV_COLLAPSE);
}

static void prepare(const struct mem_region *r, uint64_t gpa, uint64_t end)
{
	uint64_t first = ALIGN_DOWN(gpa, HUGE_PAGE), last = ALIGN_UP(end, HUGE_PAGE);

	/* Huge pages reach over the ends of the range, as far as the region does. */
	while (first >= r->gpa && first < last && last <= r->gpa + r->size &&
	       make_huge(r->hva + (first - r->gpa)))
		first += HUGE_PAGE;
	first = MAX(first, gpa);
	if (first < end)
		madvise(r->hva + (first - r->gpa), end - first, MADV_POPULATE_WRITE);
}

void boot_prepare(const struct mem_table *mem, uint64_t gpa, uint64_t size)
{
	const struct mem_region *r = mem_find(mem, gpa, size);

	if (r && r->fd >= 0 && size >= HUGE_PAGE)
		prepare(r, ALIGN_DOWN(gpa, 4096), ALIGN_UP(gpa + size, 4096));
}

int boot_put(const struct mem_table *mem, uint64_t gpa, const void *data, uint64_t size)
{
	return size ? mem_write(mem, gpa, data, size) : 0;
}

int boot_zero(const struct mem_table *mem, uint64_t gpa, uint64_t size)
{
	void *at;

	if (!size)
		return 0;
	at = mem_translate(mem, gpa, size, MEM_WRITE);
	if (!at)
		return -EFAULT;
	memset(at, 0, size);
	return 0;
}

uint64_t boot_gdt_entry(unsigned selector, bool long_mode)
{
	switch (selector) {
	case BOOT_CS:
		return long_mode ? GDT_CODE64 : GDT_CODE32;
	case BOOT_DS:
		return GDT_DATA;
	case BOOT_TS:
		return GDT_TSS;
	default:
		return 0;
	}
}

int boot_put_gdt(const struct mem_table *mem, bool long_mode)
{
	uint8_t gdt[BOOT_TS + 8];

	for (unsigned s = 0; s < sizeof(gdt); s += 8)
		store_le64(gdt + s, boot_gdt_entry(s, long_mode));
	return mem_write(mem, BOOT_GDT, gdt, sizeof(gdt));
}

int boot_put_cmdline(const struct boot_params *params, const struct mem_table *mem, size_t max,
		     struct error *err)
{
	size_t len = strlen(params->cmdline);

	max = MIN(max, (size_t)BOOT_CMDLINE_MAX - 1);
	if (len > max)
		return error_set(
			err, -E2BIG,
			"--cmdline: %zu characters are more than the kernel %s takes (%zu): "
			"shorten it",
			len, params->kernel.name, max);
	if (mem_write(mem, BOOT_CMDLINE, params->cmdline, len + 1))
		return error_set(err, -ENOSPC, "--memory: too small for a command line");
	return 0;
}

int boot_put_initrd(const struct boot_params *params, const struct mem_table *mem, uint64_t limit,
		    struct boot_entry *entry, struct error *err)
{
	const struct boot_file *initrd = &params->initrd;
	uint64_t floor = entry->image.base + entry->image.size, base;

	if (!initrd->data || !initrd->size)
		return 0;
	limit = MIN(limit, params->low_ram);
	if (initrd->size > limit || ALIGN_DOWN(limit - initrd->size, 4096) < ALIGN_UP(floor, 4096))
		return error_set(
			err, -ENOSPC,
			"initrd %s: its %llu MiB do not fit between the kernel's end (%llu "
			"MiB) and %llu MiB: raise --memory to at least %lluM",
			initrd->name, (unsigned long long)(initrd->size >> 20),
			(unsigned long long)(floor >> 20), (unsigned long long)(limit >> 20),
			(unsigned long long)((floor + initrd->size) >> 20) + 2);
	base = ALIGN_DOWN(limit - initrd->size, 4096);
	boot_prepare(mem, base, initrd->size);
	if (boot_put(mem, base, initrd->data, initrd->size))
		return error_set(err, -ENOSPC, "initrd %s: it does not fit into memory at %#llx",
				 initrd->name, (unsigned long long)base);
	entry->initrd = (struct boot_range){.base = base, .size = initrd->size, .type = BOOT_RAM};
	return 0;
}

int boot_load(const struct boot_params *params, const struct mem_table *mem,
	      struct boot_entry *entry, struct error *err)
{
	const struct boot_file *kernel = &params->kernel;

	memset(entry, 0, sizeof(*entry));
	if (!kernel->size)
		return error_set(err, -ENOEXEC, "kernel %s: the file is empty", kernel->name);
	if (boot_is_bzimage(kernel))
		return boot_bzimage(params, mem, entry, err);
	if (boot_is_elf(kernel))
		return boot_pvh(params, mem, entry, err);
	return error_set(err, -ENOEXEC,
			 "kernel %s: neither a Linux bzImage nor an ELF file: give vmlinuz, or an "
			 "uncompressed vmlinux",
			 kernel->name);
}
