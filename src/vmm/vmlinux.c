/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The kernel inside a bzImage, made ready to run by the VMM.
 *
 * Why. A bzImage unpacks itself, in a guest that takes a fault for each page it touches, through
 * code that makes do without a C library. The same work done out here is done before the vCPU
 * starts, into huge pages, at a place that is known.
 *
 * How. The decompressed payload is an ELF file whose segments are to be at their linked physical
 * address or, all by the same distance, elsewhere; behind it is a table of the places that hold
 * virtual addresses (Linux's arch/x86/tools/relocs.c writes it): 32-bit numbers, read from the end,
 * in lists that each end with a 0: places of 32-bit addresses; until Linux 6.14 places of 32-bit
 * addresses that move the other way; places of 64-bit addresses. Each number is the low half of
 * the place's own virtual address. With it the kernel's virtual addresses are shifted by a random
 * amount, as it would have done (KASLR).
 *
 * The file is decompressed to where the image goes and its segments are moved down in place.
 * Invariant, checked before the first move: each segment goes to where it came from or lower, and
 * ends before the next one's source begins, so no move destroys what a later one reads.
 */
#include "vmm/unpack.h"

#include <elf.h>
#include <errno.h>

#define KERNEL_MAP 0xffffffff80000000ULL /* __START_KERNEL_map */
#define PHDRS_MAX  32

struct placing {
	uint8_t *image;
	size_t len, room;
	uint64_t link_base;
	uint64_t end;	  /* of what is loaded, from image */
	uint64_t elf_end; /* of the ELF file, from image: the relocations begin there */
};

static int read_headers(const struct placing *p, Elf64_Ehdr *ehdr, Elf64_Phdr *phdrs)
{
	size_t size;

	if (p->len < sizeof(*ehdr))
		return -EINVAL;
	memcpy(ehdr, p->image, sizeof(*ehdr));
	size = (size_t)ehdr->e_phnum * sizeof(*phdrs);
	if (memcmp(ehdr->e_ident, ELFMAG, SELFMAG) != 0 || ehdr->e_ident[EI_CLASS] != ELFCLASS64 ||
	    ehdr->e_machine != EM_X86_64 || ehdr->e_phentsize != sizeof(*phdrs) ||
	    ehdr->e_phnum > PHDRS_MAX || ehdr->e_phoff > p->len || size > p->len - ehdr->e_phoff)
		return -EINVAL;
	memcpy(phdrs, p->image + ehdr->e_phoff, size);
	return 0;
}

/* The section headers are the last thing in the file. */
static int find_elf_end(struct placing *p, const Elf64_Ehdr *ehdr)
{
	uint64_t size = (uint64_t)ehdr->e_shnum * ehdr->e_shentsize;

	if (ehdr->e_shoff > p->len || size > p->len - ehdr->e_shoff)
		return -EINVAL;
	p->elf_end = ehdr->e_shoff + size;
	return 0;
}

static int move_segments(struct placing *p, const Elf64_Phdr *phdrs, unsigned n)
{
	uint64_t safe = 0; /* everything below has been moved away or is in its place */

	for (unsigned i = 0; i < n; i++) {
		const Elf64_Phdr *ph = &phdrs[i];
		uint64_t to = ph->p_paddr - p->link_base;

		if (ph->p_type != PT_LOAD || !ph->p_memsz)
			continue;
		if (ph->p_paddr < p->link_base || ph->p_filesz > ph->p_memsz || to > p->room ||
		    ph->p_memsz > p->room - to || ph->p_offset > p->elf_end ||
		    ph->p_filesz > p->elf_end - ph->p_offset)
			return -EINVAL;
		if (to > ph->p_offset || ph->p_offset < safe || to < p->end)
			return -EINVAL;
		safe = ph->p_offset + ph->p_filesz;
		p->end = to + ph->p_filesz;
	}
	for (unsigned i = 0; i < n; i++) {
		const Elf64_Phdr *ph = &phdrs[i];

		if (ph->p_type == PT_LOAD && ph->p_memsz)
			memmove(p->image + (ph->p_paddr - p->link_base), p->image + ph->p_offset,
				ph->p_filesz);
	}
	return 0;
}

/* Lists in the table of n numbers: 2 or 3, by its zeros; its first number is one. Else 0. */
static unsigned count_lists(const uint8_t *table, size_t n)
{
	unsigned zeros = 0;

	if (!n || load_le32(table))
		return 0;
	for (size_t i = 0; i < n; i++)
		zeros += !load_le32(table + 4 * i);
	return zeros == 2 || zeros == 3 ? zeros : 0;
}

/* The loaded place a number of the table stands for, size bytes of it; NULL if there is none. */
static uint8_t *place_of(const struct placing *p, uint32_t number, unsigned size)
{
	uint64_t virt = (uint64_t)(int64_t)(int32_t)number;
	uint64_t at = virt - KERNEL_MAP - p->link_base;

	return at < p->end && size <= p->end - at ? p->image + at : NULL;
}

enum reloc_kind { ADD_32, SUBTRACT_32, ADD_64 };

static int relocate_one(const struct placing *p, uint32_t number, enum reloc_kind kind,
			uint64_t shift)
{
	uint8_t *at = place_of(p, number, kind == ADD_64 ? 8 : 4);

	if (!at)
		return -EINVAL;
	if (kind == ADD_64)
		store_le64(at, load_le64(at) + shift);
	else if (kind == ADD_32)
		store_le32(at, load_le32(at) + (uint32_t)shift);
	else
		store_le32(at, load_le32(at) - (uint32_t)shift);
	return 0;
}

static int relocate(const struct placing *p, uint64_t shift)
{
	/* The lists from the table's end on; there are two or three, each begun by a zero. */
	static const enum reloc_kind kinds[2][3] = {{ADD_32, ADD_64},
						    {ADD_32, SUBTRACT_32, ADD_64}};
	const uint8_t *table = p->image + p->elf_end;
	size_t n = (p->len - p->elf_end) / 4;
	unsigned lists = count_lists(table, n), list = 0;
	int ret = 0;

	/* The segments went no further than where they came from, so the table is still whole. */
	if (!lists || (p->len - p->elf_end) % 4 || p->end > p->elf_end)
		return -EINVAL;
	while (n-- && !ret && list < lists) {
		uint32_t number = load_le32(table + 4 * n);

		if (!number)
			list++;
		else
			ret = relocate_one(p, number, kinds[lists == 3][list], shift);
	}
	return ret;
}

int vmlinux_place(struct vmlinux *vmlinux, uint8_t *image, size_t len, size_t room)
{
	struct placing p = {
		.image = image, .len = len, .room = room, .link_base = vmlinux->link_base};
	Elf64_Phdr phdrs[PHDRS_MAX];
	Elf64_Ehdr ehdr;
	int ret = len <= room ? read_headers(&p, &ehdr, phdrs) : -EINVAL;

	if (!ret)
		ret = find_elf_end(&p, &ehdr);
	if (!ret)
		ret = move_segments(&p, phdrs, ehdr.e_phnum);
	if (ret)
		return ret;
	vmlinux->entry = ehdr.e_entry - vmlinux->link_base;
	if (vmlinux->entry >= p.end)
		return -EINVAL;
	return vmlinux->virt_shift ? relocate(&p, vmlinux->virt_shift) : 0;
}
