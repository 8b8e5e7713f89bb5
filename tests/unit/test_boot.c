/* SPDX-License-Identifier: Apache-2.0 */
/* Both kernel formats over images made here, and every way in which they can be wrong. */
#include "unit.h"

#include "vmm/boot.h"

#include <elf.h>
#include <errno.h>
#include <stdlib.h>

#define RAM (64 * MIB)

struct rig {
	struct mem_table *mem;
	uint8_t *ram, *file;
	struct boot_params params;
	struct boot_entry entry;
	struct error err;
};

#define FILE_MAX (4 * MIB)
#define CODE	 0x3000u
#define SETUP	 (5 * 512u)

static int setup(void **state)
{
	struct rig *r = calloc(1, sizeof(*r));

	r->mem = calloc(1, sizeof(*r->mem) + sizeof(struct mem_region));
	r->ram = calloc(1, RAM);
	r->file = calloc(1, FILE_MAX);
	r->mem->count = 1;
	r->mem->regions[0] = (struct mem_region){.size = RAM, .hva = r->ram, .fd = -1};
	r->params = (struct boot_params){
		.kernel = {.name = "k", .data = r->file},
		.cmdline = "console=ttyS0",
		.rsdp = BOOT_ACPI,
		.ranges = {{0, BOOT_LOW_END, BOOT_RAM}, {BOOT_HIGH, RAM - BOOT_HIGH, BOOT_RAM}},
		.nranges = 2,
		.low_ram = RAM,
	};
	*state = r;
	return 0;
}

static int teardown(void **state)
{
	struct rig *r = *state;

	free(r->mem);
	free(r->ram);
	free(r->file);
	free(r);
	return 0;
}

static int load(struct rig *r)
{
	memset(&r->err, 0, sizeof(r->err));
	return boot_load(&r->params, r->mem, &r->entry, &r->err);
}

/* A bzImage of 4 setup sectors and CODE bytes, that wants 16 MiB at 16 MiB. */
static void make_bzimage(struct rig *r)
{
	uint8_t *f = r->file;

	f[0x1f1] = 4;
	store_le32(f + 0x1f4, CODE / 16);
	store_le16(f + 0x1fe, 0xaa55);
	f[0x200] = 0xeb;
	f[0x201] = 0x6a;
	memcpy(f + 0x202, "HdrS", 4);
	store_le16(f + 0x206, 0x020f);
	f[0x211] = 1;
	store_le32(f + 0x22c, 0x7fffffff);
	store_le32(f + 0x230, 2 * MIB);
	f[0x234] = 1;
	store_le16(f + 0x236, 1);
	store_le32(f + 0x238, 2047);
	store_le64(f + 0x258, 16 * MIB);
	store_le32(f + 0x260, 16 * MIB);
	memset(f + SETUP, 0xc3, CODE);
	r->params.kernel.size = SETUP + CODE;
}

static void bzimage(void **state)
{
	struct rig *r = *state;
	const uint8_t *zp = r->ram + BOOT_ZERO_PAGE;
	uint8_t initrd[5000];

	make_bzimage(r);
	memset(initrd, 0x77, sizeof(initrd));
	r->params.initrd = (struct boot_file){"i", initrd, sizeof(initrd)};
	assert_int_equal(load(r), 0);
	assert_true(r->entry.long_mode);
	assert_int_equal(r->entry.rip, 16 * MIB + 0x200);
	assert_int_equal(r->entry.rsi, BOOT_ZERO_PAGE);
	assert_memory_equal(r->ram + 16 * MIB, r->file + SETUP, CODE);
	assert_int_equal(r->ram[16 * MIB + CODE], 0);
	assert_int_equal(load_le32(zp + 0x202), 0x53726448);
	assert_int_equal(zp[0x210], 0xff);
	assert_int_equal(load_le32(zp + 0x228), BOOT_CMDLINE);
	assert_string_equal((char *)r->ram + BOOT_CMDLINE, "console=ttyS0");
	assert_int_equal(load_le32(zp + 0x218), ALIGN_DOWN(RAM - sizeof(initrd), 4096));
	assert_int_equal(load_le32(zp + 0x21c), sizeof(initrd));
	assert_memory_equal(r->ram + r->entry.initrd.base, initrd, sizeof(initrd));
	assert_int_equal(zp[0x1e8], 2);
	assert_int_equal(load_le64(zp + 0x2d0 + 20), BOOT_HIGH);
	assert_int_equal(load_le64(zp + 0x70), BOOT_ACPI);
	/* The page tables map the last 2 MiB below 4 GiB onto themselves. */
	assert_int_equal(load_le64(r->ram + BOOT_PAGE_TABLES), (BOOT_PAGE_TABLES + 0x1000) | 3);
	assert_int_equal(load_le64(r->ram + BOOT_PAGE_TABLES + 6 * 0x1000 - 8),
			 (4 * GIB - 2 * MIB) | 0x83);
	assert_int_equal(load_le64(r->ram + BOOT_GDT + BOOT_CS), boot_gdt_entry(BOOT_CS, true));
}

/* Where there is little memory a kernel that can move goes lower, and one that cannot is told. */
static void bzimage_small_memory(void **state)
{
	struct rig *r = *state;

	make_bzimage(r);
	r->params.low_ram = 20 * MIB;
	assert_int_equal(load(r), 0);
	assert_int_equal(r->entry.rip, 2 * MIB + 0x200);
	r->file[0x234] = 0;
	assert_int_equal(load(r), -ENOSPC);
	assert_text(r->err, "raise it to at least 32M");
	r->file[0x234] = 1;
	r->params.low_ram = 17 * MIB;
	assert_int_equal(load(r), -ENOSPC);
	assert_text(r->err, "raise it to at least 18M");
}

static void bzimage_wrong(void **state)
{
	struct rig *r = *state;

	make_bzimage(r);
	r->params.kernel.size--;
	assert_int_equal(load(r), -ENOEXEC);
	assert_text(r->err, "truncated");
	r->params.kernel.size = 0x210;
	assert_int_equal(load(r), -ENOEXEC);
	assert_text(r->err, "truncated in its header");
	r->params.kernel.size = 0;
	assert_int_equal(load(r), -ENOEXEC);
	assert_text(r->err, "empty");
	r->params.kernel.size = SETUP + CODE;
	store_le16(r->file + 0x236, 0);
	assert_int_equal(load(r), -ENOEXEC);
	assert_text(r->err, "no 64-bit entry");
	store_le16(r->file + 0x206, 0x0204);
	assert_int_equal(load(r), -ENOEXEC);
	assert_text(r->err, "boot protocol 2.04");
	make_bzimage(r);
	store_le32(r->file + 0x1f4, UINT32_MAX);
	assert_int_equal(load(r), -ENOEXEC);
	store_le32(r->file + 0x1f4, 0);
	assert_int_equal(load(r), -ENOEXEC);
	assert_text(r->err, "empty");
	make_bzimage(r);
	store_le64(r->file + 0x258, UINT64_MAX - 100);
	assert_int_equal(load(r), -ENOEXEC);
	store_le64(r->file + 0x258, 0);
	assert_int_equal(load(r), -ENOEXEC);
	memset(r->file, 'x', 1000);
	assert_int_equal(load(r), -ENOEXEC);
	assert_text(r->err, "neither a Linux bzImage nor an ELF file");
}

static void initrd_that_does_not_fit(void **state)
{
	struct rig *r = *state;
	size_t size = RAM - 32 * MIB;
	uint8_t *initrd = calloc(1, size + 1);

	make_bzimage(r);
	r->params.initrd = (struct boot_file){"i", initrd, size};
	assert_int_equal(load(r), 0);
	assert_int_equal(r->entry.initrd.base, 32 * MIB);
	r->params.initrd.size++;
	assert_int_equal(load(r), -ENOSPC);
	assert_text(r->err, "do not fit");
	r->params.initrd.size = 2 * RAM;
	assert_int_equal(load(r), -ENOSPC);
	/* Below the address the kernel names. */
	store_le32(r->file + 0x22c, 40 * MIB - 1);
	r->params.initrd.size = 4096;
	assert_int_equal(load(r), 0);
	assert_int_equal(r->entry.initrd.base, 40 * MIB - 4096);
	free(initrd);
}

static void long_cmdline(void **state)
{
	struct rig *r = *state;
	char text[2049];

	make_bzimage(r);
	memset(text, 'a', sizeof(text));
	text[2047] = '\0';
	r->params.cmdline = text;
	assert_int_equal(load(r), 0);
	text[2047] = 'a';
	text[2048] = '\0';
	assert_int_equal(load(r), -E2BIG);
	assert_text(r->err, "2048 characters are more than");
}

struct elf {
	Elf64_Ehdr ehdr;
	Elf64_Phdr load[2], note;
	struct {
		Elf64_Nhdr other;
		char other_name[8];
		Elf64_Nhdr nhdr;
		char name[4];
		uint32_t entry;
	} notes;
};
#define ELF_CODE 0x1000

/* Two segments at 16 MiB and 17 MiB; the second has more memory than file. */
static struct elf *make_elf(struct rig *r)
{
	struct elf *e = (void *)r->file;

	memset(e, 0, sizeof(*e));
	memcpy(e->ehdr.e_ident, ELFMAG, SELFMAG);
	e->ehdr.e_ident[EI_CLASS] = ELFCLASS64;
	e->ehdr.e_ident[EI_DATA] = ELFDATA2LSB;
	e->ehdr.e_machine = EM_X86_64;
	e->ehdr.e_phoff = offsetof(struct elf, load);
	e->ehdr.e_phentsize = sizeof(Elf64_Phdr);
	e->ehdr.e_phnum = 3;
	for (unsigned i = 0; i < 2; i++)
		e->load[i] = (Elf64_Phdr){.p_type = PT_LOAD,
					  .p_offset = ELF_CODE,
					  .p_paddr = (16 + i) * MIB,
					  .p_filesz = 0x800,
					  .p_memsz = 0x800 + 0x1000 * i};
	e->note = (Elf64_Phdr){.p_type = PT_NOTE,
			       .p_offset = offsetof(struct elf, notes),
			       .p_filesz = sizeof(e->notes),
			       .p_align = 4};
	e->notes.other = (Elf64_Nhdr){5, 0, 1};
	memcpy(e->notes.other_name, "none", 5);
	e->notes.nhdr = (Elf64_Nhdr){4, 4, 18};
	memcpy(e->notes.name, "Xen", 4);
	e->notes.entry = 16 * MIB + 0x10;
	memset(r->file + ELF_CODE, 0x90, 0x800);
	r->params.kernel.size = ELF_CODE + 0x800;
	return e;
}

static void pvh(void **state)
{
	struct rig *r = *state;
	const uint8_t *info = r->ram + BOOT_PVH_INFO, *list;
	uint8_t initrd[100] = {9};

	make_elf(r);
	memset(r->ram + 17 * MIB, 0xff, 0x2000); /* what an earlier kernel left there */
	r->params.initrd = (struct boot_file){"i", initrd, sizeof(initrd)};
	assert_int_equal(load(r), 0);
	assert_false(r->entry.long_mode);
	assert_int_equal(r->entry.rip, 16 * MIB + 0x10);
	assert_int_equal(r->entry.rbx, BOOT_PVH_INFO);
	assert_int_equal(r->ram[17 * MIB + 0x7ff], 0x90);
	assert_int_equal(r->ram[17 * MIB + 0x800], 0);
	assert_int_equal(r->ram[17 * MIB + 0x17ff], 0);
	assert_int_equal(r->ram[17 * MIB + 0x1800], 0xff);
	assert_int_equal(load_le32(info), 0x336ec578);
	assert_int_equal(load_le32(info + 4), 1);
	assert_int_equal(load_le32(info + 12), 1);
	list = r->ram + load_le64(info + 16);
	assert_int_equal(load_le64(list), r->entry.initrd.base);
	assert_int_equal(load_le64(list + 8), sizeof(initrd));
	assert_string_equal((char *)r->ram + load_le64(info + 24), "console=ttyS0");
	assert_int_equal(load_le64(info + 32), BOOT_ACPI);
	assert_int_equal(load_le32(info + 48), 2);
	assert_int_equal(load_le64(r->ram + load_le64(info + 40) + 24), BOOT_HIGH);
}

static void pvh_wrong(void **state)
{
	struct rig *r = *state;
	struct elf *e = make_elf(r);

	r->params.kernel.size--;
	assert_int_equal(load(r), -ENOEXEC);
	assert_text(r->err, "truncated");
	r->params.kernel.size = 20;
	assert_int_equal(load(r), -ENOEXEC);
	e = make_elf(r);
	e->ehdr.e_machine = EM_386;
	assert_int_equal(load(r), -ENOEXEC);
	assert_text(r->err, "not for x86-64");
	e = make_elf(r);
	e->ehdr.e_phoff = UINT64_MAX - 8;
	assert_int_equal(load(r), -ENOEXEC);
	e = make_elf(r);
	e->notes.nhdr.n_type = 1;
	assert_int_equal(load(r), -ENOEXEC);
	assert_text(r->err, "without a PVH entry");
	e = make_elf(r);
	e->notes.other.n_namesz = UINT32_MAX;
	assert_int_equal(load(r), -ENOEXEC);
	e = make_elf(r);
	e->notes.entry = 15 * MIB;
	assert_int_equal(load(r), -ENOEXEC);
	assert_text(r->err, "in no segment");
	e = make_elf(r);
	e->load[1].p_paddr = 0x1000; /* over what the loader needs */
	assert_int_equal(load(r), -ENOEXEC);
	e = make_elf(r);
	e->load[0].p_offset = UINT64_MAX;
	assert_int_equal(load(r), -ENOEXEC);
	e = make_elf(r);
	e->load[0].p_filesz = e->load[0].p_memsz + 1;
	assert_int_equal(load(r), -ENOEXEC);
	e = make_elf(r);
	e->load[1].p_memsz = 60 * MIB;
	assert_int_equal(load(r), -ENOSPC);
	assert_text(r->err, "raise it to at least 77M");
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {T(bzimage),	     T(bzimage_small_memory),
					   T(bzimage_wrong), T(initrd_that_does_not_fit),
					   T(long_cmdline),  T(pvh),
					   T(pvh_wrong)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
