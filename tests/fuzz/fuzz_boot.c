/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Kernel files. The input: a byte of options (1 no command line, 2 an initrd, 4 unpacked here, 8 at
 * a random address), two of memory size in KiB, then the kernel's file.
 * Whatever it says, the loader writes inside guest memory only, and what it reports as loaded lies
 * there: memory is exactly as large as stated, so that a sanitizer sees the byte beyond it.
 */
#include "fuzz.h"

#include "vmm/boot.h"

#define RAM_MAX (24 * MIB)

static void check_entry(const struct boot_params *params, const struct boot_entry *entry)
{
	const struct boot_range *image = &entry->image, *initrd = &entry->initrd;

	fuzz_assert(image->base >= BOOT_HIGH && image->size);
	fuzz_assert(image->size <= params->low_ram - image->base);
	fuzz_assert(entry->rip - image->base < image->size);
	if (!initrd->size)
		return;
	fuzz_assert(initrd->base >= image->base + image->size);
	fuzz_assert(initrd->size <= params->low_ram - initrd->base);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct mem_table *mem = calloc(1, sizeof(*mem) + sizeof(mem->regions[0]));
	static const uint8_t initrd[3 * 4096 + 5];
	struct fuzz_input in = {data, size};
	uint8_t options = fuzz_u8(&in);
	uint64_t ram = (uint64_t)fuzz_u16(&in) * KIB;
	struct boot_params params = {
		.cmdline = options & 1 ? "" : "console=ttyS0 quiet",
		.rsdp = BOOT_ACPI,
		.ranges = {{0, BOOT_LOW_END, BOOT_RAM}},
		.nranges = 1,
		.unpack = options & 4,
		.kaslr = options & 8,
		.seed = {size * 0x9e3779b97f4a7c15ULL, size * 0x2545f4914f6cdd1dULL}};
	struct boot_entry entry;
	struct error err = {0};
	uint8_t *kernel;

	ram = MIN(MAX(ram, 2 * MIB), RAM_MAX);
	/* A copy of its own, so that reading beyond the file shows. */
	kernel = malloc(in.left ? in.left : 1);
	if (!kernel || !mem)
		abort();
	mem->count = 1;
	mem->regions[0] = (struct mem_region){.size = ram, .hva = calloc(1, ram), .fd = -1};
	if (!mem->regions[0].hva)
		abort();
	params.kernel = (struct boot_file){.name = "kernel", .data = kernel, .size = in.left};
	fuzz_bytes(&in, kernel, in.left);
	params.low_ram = ram;
	if (options & 2)
		params.initrd = (struct boot_file){"initrd", initrd, sizeof(initrd)};
	if (!boot_load(&params, mem, &entry, &err))
		check_entry(&params, &entry);
	else
		fuzz_assert(err.code && err.text[0]);
	free(kernel);
	free(mem->regions[0].hva);
	free(mem);
	return 0;
}
