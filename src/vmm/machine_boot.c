/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The machine's memory map, and what has to be in memory before the first instruction. Done again
 * on each reset: the files stay open, but are mapped only while they are copied.
 */
#include "vmm/acpi.h"
#include "vmm/hw.h"
#include "vmm/machine_internal.h"
#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#define HIGH_BASE  (4 * GIB)
#define MEM64_SIZE (64 * GIB)

int machine_layout(struct machine *m, struct error *err)
{
	uint64_t limit = m->vm->phys_bits >= 63 ? UINT64_MAX / 2 : 1ULL << m->vm->phys_bits;

	m->low_ram = MIN(m->config->memory, (uint64_t)HW_LOW_RAM_MAX);
	m->high_ram = m->config->memory - m->low_ram;
	m->mem64_base = ALIGN_UP(HIGH_BASE + m->high_ram, 4 * GIB);
	if (m->mem64_base >= limit)
		return error_set(err, -E2BIG,
				 "--memory: %llu MiB are more than the %u address bits of this "
				 "host's CPU reach",
				 (unsigned long long)(m->config->memory / MIB), m->vm->phys_bits);
	m->mem64_size = MIN(MEM64_SIZE, limit - m->mem64_base);
	return 0;
}

static void add_range(struct boot_params *params, uint64_t base, uint64_t size, uint32_t type)
{
	if (size)
		params->ranges[params->nranges++] = (struct boot_range){base, size, type};
}

static void memory_map(const struct machine *m, struct boot_params *params)
{
	add_range(params, 0, BOOT_LOW_END, BOOT_RAM);
	add_range(params, BOOT_LOW_END, 0xa0000 - BOOT_LOW_END, BOOT_RESERVED);
	add_range(params, BOOT_ACPI, BOOT_ACPI_MAX, BOOT_RESERVED);
	add_range(params, BOOT_HIGH, m->low_ram - BOOT_HIGH, BOOT_RAM);
	add_range(params, HW_ECAM_BASE, HW_ECAM_SIZE, BOOT_RESERVED);
	add_range(params, HW_IDENTITY_PG, HW_TSS_BASE + 0x3000 - HW_IDENTITY_PG, BOOT_RESERVED);
	add_range(params, HIGH_BASE, m->high_ram, BOOT_RAM);
	params->low_ram = m->low_ram;
}

static int open_file(const char *what, const char *path, struct error *err)
{
	/* Not to wait for the writer of a named pipe, which is refused below. */
	int fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	struct stat st;

	if (fd < 0)
		return error_set(err, -errno, "%s %s: cannot open: %s", what, path,
				 error_name(errno));
	if (fstat(fd, &st) || !S_ISREG(st.st_mode)) {
		close(fd);
		return error_set(err, -EINVAL, "%s %s: not a regular file", what, path);
	}
	return fd;
}

int machine_open_files(struct machine *m, struct error *err)
{
	m->kernel_fd = open_file("kernel", m->config->kernel, err);
	if (m->kernel_fd < 0)
		return m->kernel_fd;
	if (!m->config->initrd)
		return 0;
	m->initrd_fd = open_file("initrd", m->config->initrd, err);
	return MIN(m->initrd_fd, 0);
}

static int map_file(const char *what, const char *path, int fd, struct boot_file *file,
		    struct error *err)
{
	struct stat st;
	void *at;

	file->name = path;
	if (fd < 0)
		return 0;
	if (fstat(fd, &st))
		return error_set(err, -errno, "%s %s: %s", what, path, error_name(errno));
	if (!st.st_size)
		return 0;
	at = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
	if (at == MAP_FAILED)
		return error_set(err, -errno, "%s %s: cannot map: %s", what, path,
				 error_name(errno));
	file->data = at;
	file->size = (size_t)st.st_size;
	return 0;
}

static void unmap_file(struct boot_file *file)
{
	/* The parsers' view is const; the mapping is this file's own. */
	if (file->data)
		munmap((void *)(uintptr_t)file->data, file->size);
}

static int load_acpi(struct machine *m, const struct mem_table *mem, struct error *err)
{
	struct acpi_config config = {
		.cpus = m->config->cpus,
		.mem64_base = m->mem64_base,
		.mem64_size = m->mem64_size,
	};
	uint8_t *buf = calloc(1, BOOT_ACPI_MAX);
	int n = buf ? acpi_build(&config, BOOT_ACPI, buf, BOOT_ACPI_MAX) : -ENOMEM;

	if (n > 0)
		n = mem_write(mem, BOOT_ACPI, buf, (size_t)n);
	free(buf);
	return n < 0 ? error_set(err, n, "ACPI tables: %s", error_name(n)) : 0;
}

/* Whether the kernel's command line has this word: "nokaslr" is the kernel's, and heeded here. */
static bool cmdline_has(const char *cmdline, const char *word)
{
	size_t len = strlen(word);

	for (const char *at = cmdline; (at = strstr(at, word)); at += len) {
		if ((at == cmdline || at[-1] == ' ') && (!at[len] || at[len] == ' '))
			return true;
	}
	return false;
}

/*
 * Linux takes its first memory from the end of RAM downwards (a 64th of it to describe all pages)
 * and, once it knows all, from its own end upwards, where the unpacked initramfs goes.
 */
static void prepare_early_memory(struct machine *m, const struct mem_table *mem)
{
	const struct boot_range *image = &m->entry.image, *initrd = &m->entry.initrd;
	uint64_t top = initrd->size ? initrd->base : m->low_ram;
	uint64_t end = image->base + image->size;
	uint64_t below = m->high_ram ? 0 : m->low_ram / 64 + 2 * MIB;
	uint64_t above = MIN(initrd->size, 64 * MIB) + 12 * MIB;

	if (end >= top)
		return;
	below = MIN(below, top - end);
	boot_prepare(mem, top - below, below);
	boot_prepare(mem, end, MIN(above, top - below - end));
}

int machine_load(struct machine *m, struct error *err)
{
	const struct mem_table *mem = guest_mem_table(m->mem);
	struct boot_params params = {
		.cmdline = m->config->cmdline,
		.rsdp = BOOT_ACPI,
		.unpack = m->config->unpack,
		.kaslr = !cmdline_has(m->config->cmdline, "nokaslr"),
	};
	uint64_t began = clock_ns();
	int ret;

	memory_map(m, &params);
	if (getrandom(params.seed, sizeof(params.seed), 0) != sizeof(params.seed))
		params.unpack = false; /* the kernel finds randomness of its own */
	ret = map_file("kernel", m->config->kernel, m->kernel_fd, &params.kernel, err);
	if (!ret)
		ret = map_file("initrd", m->config->initrd, m->initrd_fd, &params.initrd, err);
	if (!ret)
		ret = boot_load(&params, mem, &m->entry, err);
	if (!ret)
		ret = load_acpi(m, mem, err);
	if (!ret)
		ret = vcpus_set_entry(m->vm, &m->entry, err);
	if (!ret)
		prepare_early_memory(m, mem);
	if (!ret)
		log_info("kernel %s (%s) and %zu KiB of initrd loaded in %llu us",
			 params.kernel.name, m->entry.protocol, params.initrd.size / 1024,
			 (unsigned long long)((clock_ns() - began) / NSEC_PER_USEC));
	unmap_file(&params.kernel);
	unmap_file(&params.initrd);
	return ret;
}
