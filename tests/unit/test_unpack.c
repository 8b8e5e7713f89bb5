/* SPDX-License-Identifier: Apache-2.0 */
/* A kernel unpacked and put in its place: the three compressions, segments, relocations. */
#include "unit.h"

#include "vmm/unpack.h"

#include <elf.h>
#include <errno.h>

#define LINK  0x1000000ULL
#define MAP   0xffffffff80000000ULL
#define ROOM  0x8000
#define SHIFT 0x2a00000ULL

/* Two segments: 0x100 bytes at 0x1000 in the file go to 0, 0x200 bytes at 0x2000 go to 0x800. */
enum { FIRST = 0x1000, SECOND = 0x2000, SECOND_TO = 0x800, ELF_END = 0x3000 };

struct rig {
	uint8_t image[ROOM];
	size_t len;
	struct vmlinux v;
};

static Elf64_Phdr *phdrs(struct rig *r)
{
	return (void *)(r->image + sizeof(Elf64_Ehdr));
}

static void make(struct rig *r)
{
	Elf64_Ehdr *e = (void *)r->image;

	memset(r, 0, sizeof(*r));
	memcpy(e->e_ident, ELFMAG, SELFMAG);
	e->e_ident[EI_CLASS] = ELFCLASS64;
	e->e_machine = EM_X86_64;
	e->e_entry = LINK + 0x40;
	e->e_phoff = sizeof(*e);
	e->e_phentsize = sizeof(Elf64_Phdr);
	e->e_phnum = 2;
	e->e_shoff = ELF_END - sizeof(Elf64_Shdr);
	e->e_shentsize = sizeof(Elf64_Shdr);
	e->e_shnum = 1;
	phdrs(r)[0] = (Elf64_Phdr){.p_type = PT_LOAD,
				   .p_offset = FIRST,
				   .p_paddr = LINK,
				   .p_filesz = 0x100,
				   .p_memsz = 0x100};
	phdrs(r)[1] = (Elf64_Phdr){.p_type = PT_LOAD,
				   .p_offset = SECOND,
				   .p_paddr = LINK + SECOND_TO,
				   .p_filesz = 0x200,
				   .p_memsz = 0x1000};
	memset(r->image + FIRST, 0x11, 0x100);
	memset(r->image + SECOND, 0x22, 0x200);
	r->len = ELF_END;
	r->v.link_base = LINK;
}

static void add(struct rig *r, uint64_t offset)
{
	store_le32(r->image + r->len, offset ? (uint32_t)(MAP + LINK + offset) : 0);
	r->len += 4;
}

static int place(struct rig *r)
{
	return vmlinux_place(&r->v, r->image, r->len, ROOM);
}

static void segments(void **state)
{
	static struct rig r;

	make(&r);
	assert_int_equal(place(&r), 0);
	assert_int_equal(r.v.entry, 0x40);
	assert_int_equal(r.image[0], 0x11);
	assert_int_equal(r.image[0xff], 0x11);
	assert_int_equal(r.image[SECOND_TO], 0x22);
	assert_int_equal(r.image[SECOND_TO + 0x1ff], 0x22);
}

/* Both forms of the table: Linux up to 6.14 has a list of places that move the other way. */
static void relocations(void **state)
{
	static struct rig r;

	for (int three = 0; three < 2; three++) {
		make(&r);
		store_le64(r.image + SECOND + 8, MAP + LINK + 0x10);
		store_le32(r.image + SECOND + 16, (uint32_t)(MAP + LINK + 0x20));
		store_le32(r.image + FIRST + 0x30, 0x99000000);
		add(&r, 0);
		add(&r, SECOND_TO + 8);
		add(&r, 0);
		if (three) {
			add(&r, 0x30);
			add(&r, 0);
		}
		add(&r, SECOND_TO + 16);
		r.v.virt_shift = SHIFT;
		assert_int_equal(place(&r), 0);
		assert_int_equal(load_le64(r.image + SECOND_TO + 8), MAP + LINK + 0x10 + SHIFT);
		assert_int_equal(load_le32(r.image + SECOND_TO + 16),
				 (uint32_t)(MAP + LINK + 0x20 + SHIFT));
		assert_int_equal(load_le32(r.image + 0x30), 0x99000000 - (three ? SHIFT : 0));
	}
}

static void wrong_relocations(void **state)
{
	static struct rig r;

	make(&r); /* none at all */
	r.v.virt_shift = SHIFT;
	assert_int_equal(place(&r), -EINVAL);
	make(&r);
	r.v.virt_shift = SHIFT;
	for (unsigned i = 0; i < 4; i++) /* too many lists */
		add(&r, 0);
	assert_int_equal(place(&r), -EINVAL);
	for (uint64_t bad = 0; bad < 3; bad++) {
		static const uint64_t places[] = {SECOND_TO + 0x1f9, 0x100000, -0x10ULL};

		make(&r);
		r.v.virt_shift = SHIFT;
		add(&r, 0);
		add(&r, places[bad]);
		add(&r, 0);
		assert_int_equal(place(&r), -EINVAL);
	}
	make(&r);
	r.v.virt_shift = SHIFT;
	add(&r, 0);
	add(&r, 0);
	r.len++;
	assert_int_equal(place(&r), -EINVAL);
}

static void wrong_files(void **state)
{
	static struct rig r;
	static const struct {
		unsigned segment;
		Elf64_Phdr ph;
	} bad[] = {
		/* outside the file, outside memory, before the kernel's place */
		{0, {PT_LOAD, 0, ELF_END, 0, LINK, 1, 1, 0}},
		{0, {PT_LOAD, 0, ~0ULL, 0, LINK, 1, 1, 0}},
		{1, {PT_LOAD, 0, SECOND, 0, LINK + SECOND_TO, 0x200, ROOM, 0}},
		{1, {PT_LOAD, 0, SECOND, 0, ~0ULL, 0x200, 0x200, 0}},
		{0, {PT_LOAD, 0, FIRST, 0, LINK - 1, 0x100, 0x100, 0}},
		{0, {PT_LOAD, 0, FIRST, 0, LINK, 0x101, 0x100, 0}},
		/* moves that would run over what is still to be moved */
		{1, {PT_LOAD, 0, SECOND, 0, LINK + SECOND + 8, 0x200, 0x200, 0}},
		{1, {PT_LOAD, 0, FIRST + 0x80, 0, LINK + SECOND_TO, 0x200, 0x200, 0}},
		{1, {PT_LOAD, 0, SECOND, 0, LINK + 0x80, 0x200, 0x200, 0}},
	};

	for (unsigned i = 0; i < ARRAY_SIZE(bad); i++) {
		make(&r);
		phdrs(&r)[bad[i].segment] = bad[i].ph;
		assert_int_equal(place(&r), -EINVAL);
	}
	make(&r);
	((Elf64_Ehdr *)(void *)r.image)->e_entry = LINK - 1;
	assert_int_equal(place(&r), -EINVAL);
	make(&r);
	((Elf64_Ehdr *)(void *)r.image)->e_phoff = ~0ULL;
	assert_int_equal(place(&r), -EINVAL);
	make(&r);
	((Elf64_Ehdr *)(void *)r.image)->e_shnum = 0xffff;
	assert_int_equal(place(&r), -EINVAL);
	make(&r);
	r.len = 30;
	assert_int_equal(place(&r), -EINVAL);
}

/* 500 letters v. */
static const uint8_t gz[] = {0x1f, 0x8b, 0x08, 0x00, 0x00, 0x00, 0x00, 0x00, 0x02,
			     0x03, 0x2b, 0x2b, 0x1b, 0x05, 0x23, 0x0d, 0x00, 0x00,
			     0x64, 0xe8, 0x53, 0xfd, 0xf4, 0x01, 0x00, 0x00};
static const uint8_t xz[] = {0xfd, 0x37, 0x7a, 0x58, 0x5a, 0x00, 0x00, 0x01, 0x69, 0x22, 0xde, 0x36,
			     0x02, 0x00, 0x21, 0x01, 0x16, 0x00, 0x00, 0x00, 0x74, 0x2f, 0xe5, 0xa3,
			     0xe0, 0x01, 0xf3, 0x00, 0x08, 0x5d, 0x00, 0x3b, 0x6f, 0xfb, 0xbe, 0x49,
			     0x2b, 0xe0, 0x00, 0x00, 0x64, 0xe8, 0x53, 0xfd, 0x00, 0x01, 0x20, 0xf4,
			     0x03, 0x00, 0x00, 0x00, 0x98, 0x88, 0xf8, 0x6b, 0x3e, 0x30, 0x0d, 0x8b,
			     0x02, 0x00, 0x00, 0x00, 0x00, 0x01, 0x59, 0x5a};
static const uint8_t zst[] = {0x28, 0xb5, 0x2f, 0xfd, 0x04, 0x58, 0x4d, 0x00, 0x00, 0x10, 0x76,
			      0x76, 0x01, 0x00, 0xef, 0x2a, 0xc0, 0x02, 0x0c, 0x14, 0x35, 0xff};

static void streams(void **state)
{
	static const struct {
		const uint8_t *data;
		size_t size;
	} all[] = {{gz, sizeof(gz)}, {xz, sizeof(xz)}, {zst, sizeof(zst)}};
	uint8_t out[600];

	for (unsigned i = 0; i < ARRAY_SIZE(all); i++) {
		int64_t n = unpack(all[i].data, all[i].size, out, sizeof(out));

		if (n == -ENOTSUP)
			continue; /* this build does without */
		assert_int_equal(n, 500);
		for (unsigned j = 0; j < 500; j++)
			assert_int_equal(out[j], 'v');
		assert_int_equal(unpack(all[i].data, all[i].size, out, 499), -EINVAL);
		assert_int_equal(unpack(all[i].data, all[i].size - 9, out, sizeof(out)), -EINVAL);
	}
	assert_int_equal(unpack((const uint8_t *)"BZh91AY", 7, out, sizeof(out)), -ENOTSUP);
	assert_int_equal(unpack(NULL, 0, out, sizeof(out)), -ENOTSUP);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(segments), cmocka_unit_test(relocations),
		cmocka_unit_test(wrong_relocations), cmocka_unit_test(wrong_files),
		cmocka_unit_test(streams)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
