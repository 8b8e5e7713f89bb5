/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An uncompressed ELF kernel by its PVH entry: a note names a 32-bit entry point, which is entered
 * in flat protected mode with the address of a struct hvm_start_info in ebx (Xen's
 * docs/misc/pvh.pandoc and xen/include/public/arch-x86/hvm/start_info.h; ELF-64, versions 1.5).
 */
#include "vmm/boot.h"

#include <elf.h>
#include <errno.h>
#include <stdio.h>

#define XEN_ELFNOTE_PHYS32_ENTRY 18
#define PVH_MAGIC		 0x336ec578u
#define PVH_VERSION		 1
#define PHDRS_MAX		 128

/* Offsets in struct hvm_start_info, version 1, and what it points to. */
enum {
	PVH_MODLIST = BOOT_PVH_INFO + 56,
	PVH_MODLIST_SIZE = 32,
	PVH_MEMMAP = PVH_MODLIST + PVH_MODLIST_SIZE,
	PVH_MEMMAP_ENTRY = 24,
	PVH_END = PVH_MEMMAP + BOOT_RANGES_MAX * PVH_MEMMAP_ENTRY,
};
_Static_assert((int)PVH_END <= BOOT_ZERO_PAGE, "start info below the zero page");

bool boot_is_elf(const struct boot_file *kernel)
{
	return kernel->size >= SELFMAG && !memcmp(kernel->data, ELFMAG, SELFMAG);
}

/* Whether [offset, offset + size) lies in the file. */
static bool in_file(const struct boot_file *kernel, uint64_t offset, uint64_t size)
{
	return offset <= kernel->size && size <= kernel->size - offset;
}

static int check_header(const struct boot_file *kernel, Elf64_Ehdr *ehdr, struct error *err)
{
	if (kernel->size < sizeof(*ehdr))
		return error_set(err, -ENOEXEC, "kernel %s: truncated in its ELF header",
				 kernel->name);
	memcpy(ehdr, kernel->data, sizeof(*ehdr));
	if (ehdr->e_ident[EI_CLASS] != ELFCLASS64 || ehdr->e_ident[EI_DATA] != ELFDATA2LSB ||
	    ehdr->e_machine != EM_X86_64)
		return error_set(err, -ENOEXEC, "kernel %s: an ELF file, but not for x86-64",
				 kernel->name);
	if (ehdr->e_phentsize != sizeof(Elf64_Phdr) || !ehdr->e_phnum || ehdr->e_phnum > PHDRS_MAX)
		return error_set(err, -ENOEXEC,
				 "kernel %s: %u ELF program headers of %u bytes make no sense",
				 kernel->name, ehdr->e_phnum, ehdr->e_phentsize);
	if (!in_file(kernel, ehdr->e_phoff, (uint64_t)ehdr->e_phnum * sizeof(Elf64_Phdr)))
		return error_set(
			err, -ENOEXEC,
			"kernel %s: truncated: its ELF program headers are outside the file",
			kernel->name);
	return 0;
}

static Elf64_Phdr program_header(const struct boot_file *kernel, const Elf64_Ehdr *ehdr, unsigned i)
{
	Elf64_Phdr phdr;

	memcpy(&phdr, kernel->data + ehdr->e_phoff + i * sizeof(phdr), sizeof(phdr));
	return phdr;
}

/* Looks through one note segment; returns whether the entry was there. */
static bool find_note(const uint8_t *notes, uint64_t size, uint64_t align, uint64_t *entry)
{
	uint64_t at = 0;

	while (size - at >= sizeof(Elf64_Nhdr)) {
		uint64_t name_size, desc_size, name, desc;
		Elf64_Nhdr note;

		memcpy(&note, notes + at, sizeof(note));
		name_size = ALIGN_UP((uint64_t)note.n_namesz, align);
		desc_size = ALIGN_UP((uint64_t)note.n_descsz, align);
		name = at + sizeof(note);
		if (name_size > size - name || note.n_descsz > size - name - name_size)
			return false;
		desc = name + name_size;
		if (note.n_type == XEN_ELFNOTE_PHYS32_ENTRY && note.n_namesz == 4 &&
		    !memcmp(notes + name, "Xen", 4) && note.n_descsz >= 4) {
			*entry = note.n_descsz >= 8 ? load_le64(notes + desc)
						    : load_le32(notes + desc);
			return true;
		}
		if (desc_size > size - desc)
			return false;
		at = desc + desc_size;
	}
	return false;
}

static int find_entry(const struct boot_file *kernel, const Elf64_Ehdr *ehdr,
		      struct boot_entry *entry, struct error *err)
{
	for (unsigned i = 0; i < ehdr->e_phnum; i++) {
		Elf64_Phdr phdr = program_header(kernel, ehdr, i);

		if (phdr.p_type != PT_NOTE)
			continue;
		if (!in_file(kernel, phdr.p_offset, phdr.p_filesz))
			return error_set(err, -ENOEXEC,
					 "kernel %s: truncated: its ELF notes are outside the file",
					 kernel->name);
		if (find_note(kernel->data + phdr.p_offset, phdr.p_filesz,
			      phdr.p_align == 8 ? 8 : 4, &entry->rip))
			break;
	}
	if (!entry->rip)
		return error_set(err, -ENOEXEC,
				 "kernel %s: an ELF file without a PVH entry (CONFIG_PVH=y makes "
				 "one): give the bzImage (vmlinuz) instead",
				 kernel->name);
	return 0;
}

/* Checks one segment and makes the kernel's range cover it. */
static int check_segment(const struct boot_params *params, const Elf64_Phdr *phdr,
			 struct boot_entry *entry, struct error *err)
{
	const struct boot_file *kernel = &params->kernel;
	uint64_t end;

	if (phdr->p_filesz > phdr->p_memsz || phdr->p_paddr < BOOT_HIGH ||
	    phdr->p_memsz > UINT32_MAX || phdr->p_paddr > UINT32_MAX)
		return error_set(err, -ENOEXEC,
				 "kernel %s: an ELF segment of %#llx bytes at %#llx makes no sense",
				 kernel->name, (unsigned long long)phdr->p_memsz,
				 (unsigned long long)phdr->p_paddr);
	if (!in_file(kernel, phdr->p_offset, phdr->p_filesz))
		return error_set(
			err, -ENOEXEC,
			"kernel %s: truncated: a segment ends at byte %llu, the file at %zu",
			kernel->name, (unsigned long long)(phdr->p_offset + phdr->p_filesz),
			kernel->size);
	end = phdr->p_paddr + phdr->p_memsz;
	if (end > params->low_ram)
		return error_set(err, -ENOSPC,
				 "--memory: kernel %s needs memory up to %llu MiB, and there are "
				 "%llu MiB: raise it to at least %lluM",
				 kernel->name, (unsigned long long)((end + MIB - 1) >> 20),
				 (unsigned long long)(params->low_ram >> 20),
				 (unsigned long long)((end + MIB - 1) >> 20));
	if (!entry->image.size) {
		entry->image.base = phdr->p_paddr;
		entry->image.size = phdr->p_memsz;
	}
	end = MAX(end, entry->image.base + entry->image.size);
	entry->image.base = MIN(entry->image.base, phdr->p_paddr);
	entry->image.size = end - entry->image.base;
	return 0;
}

/* Two rounds: nothing is written before all segments are known to be good. */
static int load_segments(const struct boot_params *params, const Elf64_Ehdr *ehdr,
			 const struct mem_table *mem, struct boot_entry *entry, struct error *err)
{
	const struct boot_file *kernel = &params->kernel;
	int ret = 0;

	for (unsigned i = 0; i < ehdr->e_phnum && !ret; i++) {
		Elf64_Phdr phdr = program_header(kernel, ehdr, i);

		if (phdr.p_type == PT_LOAD && phdr.p_memsz)
			ret = check_segment(params, &phdr, entry, err);
	}
	if (!ret &&
	    (entry->rip < entry->image.base || entry->rip - entry->image.base >= entry->image.size))
		ret = error_set(err, -ENOEXEC, "kernel %s: its PVH entry %#llx is in no segment",
				kernel->name, (unsigned long long)entry->rip);
	if (!ret)
		boot_prepare(mem, entry->image.base, entry->image.size);
	for (unsigned i = 0; i < ehdr->e_phnum && !ret; i++) {
		Elf64_Phdr phdr = program_header(kernel, ehdr, i);

		if (phdr.p_type != PT_LOAD || !phdr.p_memsz)
			continue;
		if (boot_put(mem, phdr.p_paddr, kernel->data + phdr.p_offset, phdr.p_filesz) ||
		    boot_zero(mem, phdr.p_paddr + phdr.p_filesz, phdr.p_memsz - phdr.p_filesz))
			ret = error_set(err, -ENOSPC, "kernel %s: it does not fit into memory",
					kernel->name);
	}
	return ret;
}

static int put_start_info(const struct boot_params *params, const struct mem_table *mem,
			  const struct boot_entry *entry)
{
	uint8_t buf[PVH_END - BOOT_PVH_INFO] = {0};
	uint8_t *mod = buf + (PVH_MODLIST - BOOT_PVH_INFO),
		*map = buf + (PVH_MEMMAP - BOOT_PVH_INFO);
	bool has_initrd = entry->initrd.size;

	store_le32(buf, PVH_MAGIC);
	store_le32(buf + 4, PVH_VERSION);
	store_le32(buf + 12, has_initrd);
	store_le64(buf + 16, has_initrd ? PVH_MODLIST : 0);
	store_le64(buf + 24, BOOT_CMDLINE);
	store_le64(buf + 32, params->rsdp);
	store_le64(buf + 40, PVH_MEMMAP);
	store_le32(buf + 48, params->nranges);
	store_le64(mod, entry->initrd.base);
	store_le64(mod + 8, entry->initrd.size);
	for (unsigned i = 0; i < params->nranges; i++, map += PVH_MEMMAP_ENTRY) {
		store_le64(map, params->ranges[i].base);
		store_le64(map + 8, params->ranges[i].size);
		store_le32(map + 16, params->ranges[i].type);
	}
	return mem_write(mem, BOOT_PVH_INFO, buf, sizeof(buf));
}

int boot_pvh(const struct boot_params *params, const struct mem_table *mem,
	     struct boot_entry *entry, struct error *err)
{
	Elf64_Ehdr ehdr;
	int ret = check_header(&params->kernel, &ehdr, err);

	if (!ret)
		ret = find_entry(&params->kernel, &ehdr, entry, err);
	if (!ret)
		ret = load_segments(params, &ehdr, mem, entry, err);
	if (!ret)
		ret = boot_put_cmdline(params, mem, 2047, err);
	if (!ret)
		ret = boot_put_initrd(params, mem, 2 * GIB, entry, err);
	if (ret)
		return ret;
	entry->protocol = "ELF, PVH";
	entry->rbx = BOOT_PVH_INFO;
	if (boot_put_gdt(mem, false) || put_start_info(params, mem, entry))
		return error_set(err, -ENOSPC, "--memory: too small to start a kernel");
	return 0;
}
