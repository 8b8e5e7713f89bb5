/* SPDX-License-Identifier: Apache-2.0 */
#include "unit.h"

#include "vmm/acpi.h"
#include "vmm/hw.h"

#include <errno.h>

#define BASE 0xe0000
#define ROOM 0x20000

static uint8_t mem[ROOM];
static int used;

static const struct acpi_config config = {
	.cpus = 64, .mem64_base = 0x300000000, .mem64_size = 0x1000000000};

static const uint8_t *at(uint64_t addr, size_t len)
{
	assert_true(addr >= BASE && addr + len <= BASE + (uint64_t)used);
	return mem + (addr - BASE);
}

static void sums_to_zero(const uint8_t *p, size_t len)
{
	uint8_t sum = 0;

	while (len--)
		sum = (uint8_t)(sum + *p++);
	assert_int_equal(sum, 0);
}

/* A table, checked as an operating system checks it. */
static const uint8_t *table(uint64_t addr)
{
	const uint8_t *t = at(addr, 36);

	sums_to_zero(at(addr, load_le32(t + 4)), load_le32(t + 4));
	return t;
}

static const uint8_t *find(const char *signature)
{
	const uint8_t *xsdt = table(load_le64(mem + 24));
	unsigned n = (load_le32(xsdt + 4) - 36) / 8;

	for (unsigned i = 0; i < n; i++) {
		const uint8_t *t = table(load_le64(xsdt + 36 + 8 * i));

		if (!memcmp(t, signature, 4))
			return t;
	}
	return NULL;
}

static void root(void **state)
{
	static const char *const names[] = {"FACP", "SSDT", "APIC", "MCFG"};

	assert_memory_equal(mem, "RSD PTR ", 8);
	sums_to_zero(mem, 20);
	sums_to_zero(mem, 36);
	for (unsigned i = 0; i < ARRAY_SIZE(names); i++)
		assert_non_null(find(names[i]));
}

static void fadt(void **state)
{
	const uint8_t *f = find("FACP");
	const uint8_t *facs = at(load_le64(f + 132), 64);

	assert_int_equal(load_le32(f + 4), 276);
	assert_memory_equal(facs, "FACS", 4);
	assert_int_equal(load_le64(f + 132) % 64, 0);
	assert_memory_equal(table(load_le64(f + 140)), "DSDT", 4);
	assert_int_equal(load_le32(f + 40), load_le64(f + 140));
	assert_int_equal(load_le16(f + 46), HW_SCI_GSI);
	assert_int_equal(load_le32(f + 56), HW_PM_PORT);
	assert_int_equal(load_le32(f + 64), HW_PM_PORT + 4);
	assert_int_equal(load_le32(f + 76), HW_PM_PORT + 8);
	assert_int_equal(f[88], 4);
	assert_int_equal(f[89], 2);
	assert_int_equal(f[91], 4);
	assert_int_equal(load_le16(f + 109) & 2, 0); /* no 8042 */
	assert_int_equal(load_le16(f + 109) & 4, 4); /* no VGA */
	assert_int_equal(load_le32(f + 112) & 1 << 10, 1 << 10);
	assert_int_equal(load_le64(f + 120), HW_RESET_PORT);
	assert_int_equal(f[128] & 4, 4);
}

static void madt(void **state)
{
	const uint8_t *m = find("APIC"), *end = m + load_le32(m + 4);
	unsigned cpus = 0, ioapics = 0, overrides = 0;

	for (m += 44; m < end; m += m[1]) {
		assert_true(m[1] >= 2 && m + m[1] <= end);
		if (m[0] == 0) {
			assert_int_equal(m[3], cpus++);
			assert_int_equal(load_le32(m + 4), 1);
		}
		ioapics += m[0] == 1;
		overrides += m[0] == 2;
	}
	assert_ptr_equal(m, end);
	assert_int_equal(cpus, 64);
	assert_int_equal(ioapics, 1);
	assert_int_equal(overrides, 2);
}

static void windows(void **state)
{
	const uint8_t *s = find("SSDT"), *mcfg = find("MCFG");

	assert_memory_equal(s + 36, "\x08\\MEMB\x0e", 7);
	assert_int_equal(load_le64(s + 43), config.mem64_base);
	assert_int_equal(load_le64(s + 43 + 15), config.mem64_base + config.mem64_size - 1);
	assert_int_equal(load_le64(s + 43 + 30), config.mem64_size);
	assert_int_equal(load_le64(mcfg + 44), HW_ECAM_BASE);
}

static void no_room(void **state)
{
	static uint8_t small[ROOM + 1];

	for (int room = 0; room < used; room++) {
		small[room] = 0xee;
		assert_int_equal(acpi_build(&config, BASE, small, (size_t)room), -ENOSPC);
		assert_int_equal(small[room], 0xee);
	}
}

static int build(void **state)
{
	used = acpi_build(&config, BASE, mem, sizeof(mem));
	return used > 0 ? 0 : -1;
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(root), cmocka_unit_test(fadt),
					   cmocka_unit_test(madt), cmocka_unit_test(windows),
					   cmocka_unit_test(no_room)};

	return cmocka_run_group_tests(tests, build, NULL);
}
