/* SPDX-License-Identifier: Apache-2.0 */
/* A passed-through device as the guest finds it: config space, BARs, interrupts, resets. */
#include "unit.h"

#include "device/vfio_pci.h"
#include "fake_host.h"
#include "fake_vfio.h"

#include <errno.h>
#include <linux/pci_regs.h>
#include <sys/eventfd.h>

#define SLOT 3
#define VF   "0000:01:10.0"
#define PF   "0000:01:00.0"

static struct fake_host host;
static struct fake_vfio_dev *fake;
static struct vfio_pci *vp;

static int setup(void **state)
{
	fake_vfio_init();
	fake_host_init(&host);
	return 0;
}

static int teardown(void **state)
{
	fake_host_fini(&host);
	fake_vfio_fini();
	return 0;
}

static int create(struct error *err)
{
	struct vfio_pci_params params = {.id = "dev0",
					 .addr = fake->addr,
					 .host = &host.host,
					 .mem = host.mem,
					 .loop = host.host.loop,
					 .sys = &fake_vfio_sys};

	return vfio_pci_create(&params, &vp, err);
}

static void plug_fake(void)
{
	struct error err = {0};

	if (create(&err))
		fail_msg("%s", err.text);
	assert_int_equal(pci_bus_add(host.pci, &vp->nic.pci, SLOT, 0, &err), 0);
}

static void plug(const char *addr, enum fake_vfio_kind kind)
{
	fake = fake_vfio_add(addr, kind, 7);
	plug_fake();
}

static uint32_t cfg(unsigned reg, unsigned size)
{
	return fake_config_read(&host, SLOT, reg, size);
}

static void set_cfg(unsigned reg, unsigned size, uint32_t value)
{
	fake_config_write(&host, SLOT, reg, size, value);
}

static uint64_t bar(unsigned i)
{
	return vp->nic.pci.bars[i].addr;
}

static void decode(void)
{
	set_cfg(PCI_COMMAND, 2, PCI_COMMAND_IO | PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
}

static void test_identity(void **state)
{
	plug(PF, FAKE_PF);
	assert_int_equal(fake->resets, 1);
	assert_int_equal(cfg(PCI_VENDOR_ID, 4), 0x10c98086);
	assert_int_equal(cfg(PCI_CLASS_REVISION, 4), 0x02000001);
	assert_int_equal(cfg(PCI_COMMAND, 2), 0);
	assert_int_equal(cfg(PCI_ROM_ADDRESS, 4), 0);
	set_cfg(PCI_ROM_ADDRESS, 4, 0xffffffff);
	assert_int_equal(cfg(PCI_ROM_ADDRESS, 4), 0);
	assert_int_equal(cfg(PCI_INTERRUPT_PIN, 1), 1);
	/* What is the device's own changes under it. */
	store_le16(fake->config + PCI_STATUS, PCI_STATUS_CAP_LIST | PCI_STATUS_PARITY);
	assert_int_equal(cfg(PCI_STATUS, 2), PCI_STATUS_CAP_LIST | PCI_STATUS_PARITY);
	/* … and gets writes as they are. */
	set_cfg(0xa0 + PCI_EXP_DEVCTL, 2, 0x8123);
	assert_int_equal(load_le16(fake->config + 0xa0 + PCI_EXP_DEVCTL), 0x8123);
	set_cfg(PCI_COMMAND, 4, 0xf9000000 | PCI_COMMAND_MASTER);
	assert_int_equal(load_le16(fake->config + PCI_COMMAND), PCI_COMMAND_MASTER);
	assert_int_equal(load_le16(fake->config + PCI_STATUS), 0xf900);
}

static void test_capabilities(void **state)
{
	plug(PF, FAKE_PF);
	assert_int_equal(cfg(PCI_CAPABILITY_LIST, 1), 0x40);
	assert_int_equal(cfg(0x40, 2), 0x5000 | PCI_CAP_ID_PM);
	assert_int_equal(cfg(0x50, 2), 0x7000 | PCI_CAP_ID_MSI);
	/* Enhanced allocation at 0x90 is left out. */
	assert_int_equal(cfg(0x70, 2), 0xa000 | PCI_CAP_ID_MSIX);
	assert_int_equal(cfg(0xa0, 2), PCI_CAP_ID_EXP);
	assert_int_equal((cfg(0xa2, 2) & PCI_EXP_FLAGS_TYPE) >> 4, PCI_EXP_TYPE_RC_END);
	assert_int_equal(cfg(0xa0 + PCI_EXP_LNKCAP, 4), 0);
	assert_int_equal(cfg(0xa0 + PCI_EXP_DEVCAP, 4), PCI_EXP_DEVCAP_FLR);
	/* Of the extended ones AER and the serial number are left. */
	assert_int_equal(cfg(0x100, 4), PCI_EXT_CAP_ID_ERR | 1 << 16 | 0x1a0U << 20);
	assert_int_equal(cfg(0x1a0, 4), PCI_EXT_CAP_ID_DSN | 1 << 16);
	/* Links cannot be written. */
	set_cfg(0x40, 2, 0);
	set_cfg(0x100, 4, 0);
	assert_int_equal(cfg(0x40, 2), 0x5000 | PCI_CAP_ID_PM);
	assert_int_equal(cfg(0x100, 2), PCI_EXT_CAP_ID_ERR);
}

static void test_bars(void **state)
{
	uint64_t at;

	plug(PF, FAKE_PF);
	decode();
	assert_int_equal(load_le16(fake->config + PCI_COMMAND), 7);
	/* Size: writes of ones. */
	set_cfg(PCI_BASE_ADDRESS_0, 4, UINT32_MAX);
	assert_int_equal(cfg(PCI_BASE_ADDRESS_0, 4), 0xfffe0000);
	set_cfg(PCI_BASE_ADDRESS_0, 4, FAKE_MEM32 + 0x800000);
	/* BAR 0 is memory. */
	at = FAKE_MEM32 + 0x800000;
	assert_ptr_equal(fake_mapped(&host, at, 8), fake->bars[0].memory);
	assert_ptr_equal(fake_mapped(&host, at + 0x1fff8, 8), fake->bars[0].memory + 0x1fff8);
	/* BAR 1 is too small for that, BAR 2 is ports. */
	assert_null(fake_mapped(&host, bar(1), 4));
	fake_write(&host, bar(1) + 4, 0xabcd, 4);
	assert_int_equal(load_le32(fake->bars[1].memory + 4), 0xabcd);
	assert_int_equal(fake_read(&host, bar(1) + 4, 4), 0xabcd);
	bus_write(host.pio, bar(2) + 2, "\x12\x34", 2);
	assert_int_equal(load_le16(fake->bars[2].memory + 2), 0x3412);
	/* BAR 3's pages with MSI-X's table and pending bits are not. */
	assert_null(fake_mapped(&host, bar(3), 4));
	assert_ptr_equal(fake_mapped(&host, bar(3) + 0x1000, 8), fake->bars[3].memory + 0x1000);
	assert_null(fake_mapped(&host, bar(3) + 0x2000, 4));
	assert_ptr_equal(fake_mapped(&host, bar(3) + 0x3000, 8), fake->bars[3].memory + 0x3000);
	/* What else is on those pages is the device's. */
	fake_write(&host, bar(3) + 0x800, 0x77, 4);
	assert_int_equal(load_le32(fake->bars[3].memory + 0x800), 0x77);
	/* Nothing is left where decoding is off, and in D3. */
	set_cfg(0x44, 2, 3);
	assert_null(fake_mapped(&host, at, 8));
	assert_int_equal(load_le16(fake->config + 0x44), 3);
	set_cfg(0x44, 2, 0);
	assert_non_null(fake_mapped(&host, at, 8));
	set_cfg(PCI_COMMAND, 2, 0);
	assert_null(fake_mapped(&host, at, 8));
	assert_int_equal(load_le16(fake->config + PCI_COMMAND), 0);
}

static void test_sparse(void **state)
{
	fake = fake_vfio_add(VF, FAKE_VF, 7);
	fake->bars[0].sparse = 0x2000;
	plug_fake();
	decode();
	assert_non_null(fake_mapped(&host, bar(0) + 0x1000, 8));
	assert_null(fake_mapped(&host, bar(0) + 0x2000, 8));
	fake_write(&host, bar(0) + 0x2000, 5, 4);
	assert_int_equal(load_le32(fake->bars[0].memory + 0x2000), 5);
}

/* Where the machine refuses the mapping, accesses come to the handlers. */
static void test_no_map(void **state)
{
	host.no_map = true;
	plug(VF, FAKE_VF);
	decode();
	fake_write(&host, bar(0) + 0x10, 5, 4);
	assert_int_equal(load_le32(fake->bars[0].memory + 0x10), 5);
}

static void set_vector(unsigned i, uint32_t data, bool masked)
{
	uint64_t at = bar(3) + i * 16;

	fake_write(&host, at, 0xfee00000, 8);
	fake_write(&host, at + 8, data, 4);
	fake_write(&host, at + 12, masked, 4);
}

static void msix_enable(uint16_t flags)
{
	set_cfg(0x72, 2, flags);
}

static void msix(bool grow)
{
	fake = fake_vfio_add(VF, FAKE_VF, 7);
	fake->irqs_grow = grow;
	plug_fake();
	decode();
	assert_int_equal(fake->kind, -1);
	/* As Linux does: on but masked, then the vectors one by one. */
	msix_enable(PCI_MSIX_FLAGS_ENABLE | PCI_MSIX_FLAGS_MASKALL);
	assert_int_equal(fake->kind, VFIO_PCI_MSIX_IRQ_INDEX);
	assert_false(fake_vfio_raise(fake, 0));
	msix_enable(PCI_MSIX_FLAGS_ENABLE);
	set_vector(0, 0x40, false);
	assert_true(fake_vfio_raise(fake, 0));
	assert_false(fake_vfio_raise(fake, 2));
	fake_pump(&host);
	assert_int_equal(fake_sent(&host, 0x40), 1);
	set_vector(2, 0x42, false);
	assert_int_equal(fake->enabled, 3);
	fake_pump(&host);
	/* Enabled anew, they may have lost one: each is told. */
	assert_int_equal(fake_sent(&host, 0x40), grow ? 1 : 2);
	assert_true(fake_vfio_raise(fake, 2));
	fake_pump(&host);
	assert_int_equal(fake_sent(&host, 0x42), grow ? 1 : 2);
	/* Masked: pending, then delivered. */
	fake_write(&host, bar(3) + 2 * 16 + 12, 1, 4);
	host.nsent = 0;
	fake_vfio_raise(fake, 2);
	fake_pump(&host);
	assert_int_equal(host.nsent, 0);
	assert_int_equal(fake_read(&host, bar(3) + 0x2000, 8), 1 << 2);
	fake_write(&host, bar(3) + 2 * 16 + 12, 0, 4);
	fake_pump(&host);
	assert_int_equal(fake_sent(&host, 0x42), 1);
	/* Moved, without the host being asked. */
	set_vector(0, 0x50, false);
	fake_vfio_raise(fake, 0);
	fake_pump(&host);
	assert_int_equal(fake_sent(&host, 0x50), 1);
	/* The pending bits cannot be written, the device's own table is not touched. */
	fake_write(&host, bar(3) + 0x2000, UINT64_MAX, 8);
	assert_int_equal(fake_read(&host, bar(3) + 0x2000, 8), 0);
	assert_int_equal(load_le64(fake->bars[3].memory), 0);
	msix_enable(0);
	assert_int_equal(fake->kind, -1);
	assert_int_equal(fake_irqfds(&host), 0);
}

static void test_msix(void **state)
{
	msix(false);
}

static void test_msix_growing(void **state)
{
	msix(true);
}

static void test_msix_fallback(void **state)
{
	host.no_irqfd = true;
	msix(false);
}

static void test_msix_few_vectors(void **state)
{
	plug(VF, FAKE_VF);
	fake_vfio.vectors_max = 1;
	decode();
	msix_enable(PCI_MSIX_FLAGS_ENABLE);
	set_vector(0, 0x40, false);
	set_vector(1, 0x41, false); /* said in the log */
	assert_int_equal(vp->irq_mode, VFIO_PCI_MSIX);
}

static void test_msi(void **state)
{
	plug(PF, FAKE_PF);
	decode();
	assert_int_equal(fake->kind, VFIO_PCI_INTX_IRQ_INDEX);
	set_cfg(0x54, 4, 0xfee01003);
	set_cfg(0x58, 4, 0);
	set_cfg(0x5c, 2, 0x4f);
	assert_int_equal(cfg(0x54, 4), 0xfee01000);
	/* Two of four vectors. */
	set_cfg(0x52, 2, PCI_MSI_FLAGS_ENABLE | 1 << 4);
	assert_int_equal(fake->kind, VFIO_PCI_MSI_IRQ_INDEX);
	assert_int_equal(fake->enabled, 2);
	assert_true(fake_vfio_raise(fake, 0));
	assert_true(fake_vfio_raise(fake, 1));
	assert_false(fake_vfio_raise(fake, 2));
	fake_pump(&host);
	assert_int_equal(fake_sent(&host, 0x4e), 1);
	assert_int_equal(fake_sent(&host, 0x4f), 1);
	/* Masked by the guest: pending, visible, delivered. */
	set_cfg(0x60, 4, UINT32_MAX);
	assert_int_equal(cfg(0x60, 4), 0xf);
	fake_vfio_raise(fake, 1);
	fake_pump(&host);
	assert_int_equal(fake_sent(&host, 0x4f), 1);
	assert_int_equal(cfg(0x64, 4), 2);
	set_cfg(0x60, 4, 0);
	fake_pump(&host);
	assert_int_equal(fake_sent(&host, 0x4f), 2);
	/* The device's own capability is never written. */
	assert_int_equal(load_le16(fake->config + 0x52) & PCI_MSI_FLAGS_ENABLE, 0);
	/* More than there are is as many as there are. */
	set_cfg(0x52, 2, PCI_MSI_FLAGS_ENABLE | 7 << 4);
	assert_int_equal(fake->enabled, 4);
	set_cfg(0x52, 2, 0);
	assert_int_equal(fake->kind, VFIO_PCI_INTX_IRQ_INDEX);
	/* MSI-X wins over MSI. */
	set_cfg(0x52, 2, PCI_MSI_FLAGS_ENABLE);
	msix_enable(PCI_MSIX_FLAGS_ENABLE);
	assert_int_equal(fake->kind, VFIO_PCI_MSIX_IRQ_INDEX);
}

static void test_intx_kvm(void **state)
{
	host.has_irqfd_line = true;
	plug(PF, FAKE_PF);
	assert_int_equal(fake->kind, -1);
	decode();
	assert_int_equal(fake->kind, VFIO_PCI_INTX_IRQ_INDEX);
	assert_int_equal(host.line_gsi, 16 + SLOT);
	assert_int_equal(host.line_fd, fake->fds[0]);
	assert_int_equal(host.line_resample, fake->unmask_fd);
	msix_enable(PCI_MSIX_FLAGS_ENABLE);
	assert_int_equal(host.line_fd, -1);
	msix_enable(0);
	assert_int_not_equal(host.line_fd, -1);
	set_cfg(PCI_COMMAND, 2, 0);
	assert_int_equal(host.line_fd, -1);
	assert_int_equal(fake->kind, -1);
}

/* Without irqfds: one pulse of the line for each time that the device fires. */
static void test_intx_loop(void **state)
{
	unsigned changes;

	plug(PF, FAKE_PF);
	decode();
	changes = host.line_changes;
	fake_vfio_raise(fake, 0);
	fake_pump(&host);
	while (!fake->unmasks)
		loop_run_once(host.host.loop, 10);
	loop_run_once(host.host.loop, 5);
	assert_int_equal(host.line_changes - changes, 2);
	assert_false(host.lines[16 + SLOT]);
	assert_int_equal(fake->unmasks, 1);
	/* The guest did not see the pulse, or has another cause: another one until it is served. */
	fake->still_asserted = 5;
	fake_vfio_raise(fake, 0);
	while (fake->unmasks < 7)
		loop_run_once(host.host.loop, 10);
	loop_run_once(host.host.loop, 5);
	assert_int_equal(host.line_changes - changes, 2 + 6 * 2);
	assert_int_equal(fake->unmasks, 7);
	/* Off before it is unmasked. */
	fake_vfio_raise(fake, 0);
	while (host.line_changes == changes + 14)
		loop_run_once(host.host.loop, 10);
	fake->unmasks = 0;
	msix_enable(PCI_MSIX_FLAGS_ENABLE);
	loop_run_once(host.host.loop, 5);
	assert_int_equal(fake->unmasks, 0);
}

static void expect_no_intx(void)
{
	plug_fake();
	assert_int_equal(cfg(PCI_INTERRUPT_PIN, 1), 0);
	assert_int_equal(cfg(PCI_INTERRUPT_LINE, 1), 0);
	decode();
	assert_int_equal(fake->kind, -1);
	set_cfg(PCI_COMMAND, 2, PCI_COMMAND_MEMORY | PCI_COMMAND_INTX_DISABLE);
	assert_int_equal(cfg(PCI_COMMAND, 2), PCI_COMMAND_MEMORY);
	assert_int_equal(load_le16(fake->config + PCI_COMMAND), PCI_COMMAND_MEMORY);
	set_cfg(PCI_COMMAND, 2, 0);
	assert_int_equal(host.line_changes, 0);
}

/* A virtual function has no INTx, also one whose registers claim it. */
static void test_no_intx(void **state)
{
	fake = fake_vfio_add(VF, FAKE_VF, 7);
	expect_no_intx();
	/* MSI-X is all it has. */
	msix_enable(PCI_MSIX_FLAGS_ENABLE);
	assert_int_equal(fake->kind, VFIO_PCI_MSIX_IRQ_INDEX);
	msix_enable(0);
	assert_int_equal(fake->kind, -1);
}

static void test_no_intx_claimed(void **state)
{
	fake = fake_vfio_add(VF, FAKE_VF, 7);
	fake->config[PCI_INTERRUPT_PIN] = 1;
	fake->config[PCI_INTERRUPT_LINE] = 0;
	expect_no_intx();
}

static void test_no_intx_pin(void **state)
{
	fake = fake_vfio_add(PF, FAKE_PF, 7);
	fake->config[PCI_INTERRUPT_PIN] = 0;
	expect_no_intx();
}

static void test_reset(void **state)
{
	plug(PF, FAKE_PF);
	decode();
	msix_enable(PCI_MSIX_FLAGS_ENABLE);
	set_vector(4, 0x44, false);
	set_cfg(0x44, 2, 3);
	pci_bus_reset(host.pci);
	assert_int_equal(fake->resets, 2);
	assert_int_equal(fake->kind, -1);
	assert_int_equal(load_le16(fake->config + PCI_COMMAND), 0);
	assert_int_equal(load_le16(fake->config + 0x44), 0);
	assert_int_equal(cfg(PCI_COMMAND, 2), 0);
	assert_int_equal(cfg(0x72, 2), 9);
	decode();
	assert_non_null(fake_mapped(&host, bar(0), 8));
	assert_int_equal(fake_read(&host, bar(3) + 4 * 16 + 12, 4), 1);
}

static void test_taken_back(void **state)
{
	uint64_t at;

	plug(PF, FAKE_PF);
	decode();
	msix_enable(PCI_MSIX_FLAGS_ENABLE);
	set_vector(0, 0x40, false);
	at = bar(0);
	assert_int_equal(eventfd_write(fake->request_fd, 1), 0);
	fake_pump(&host);
	assert_false(fake->open);
	assert_int_equal(fake_vfio.open_files, 0);
	assert_null(fake_mapped(&host, at, 8));
	assert_int_equal(cfg(PCI_VENDOR_ID, 4), UINT32_MAX);
	assert_int_equal(fake_irqfds(&host), 0);
	/* The guest goes on as it may. */
	decode();
	msix_enable(0);
	set_cfg(0x44, 2, 3);
	set_cfg(0x44, 2, 0);
	assert_int_equal(fake_read(&host, at, 4), UINT32_MAX);
	pci_bus_reset(host.pci);
	assert_int_equal(cfg(PCI_VENDOR_ID, 4), UINT32_MAX);
}

/* Devices that say what makes no sense are refused, or shown without it. */
static void refuse(const char *part)
{
	struct error err = {0};

	assert_true(create(&err) < 0);
	assert_text(err, part);
	assert_int_equal(fake_vfio.open_files, 0);
}

static void test_nonsense(void **state)
{
	fake = fake_vfio_add(PF, FAKE_PF, 7);
	fake->bars[0].size = 0x3000;
	refuse("BAR 0 of 12288 bytes makes no sense");
	fake->bars[0].size = 0x20000;
	fake->config[PCI_HEADER_TYPE] = PCI_HEADER_TYPE_BRIDGE;
	refuse("is a bridge");
	fake->config[PCI_HEADER_TYPE] = 0x80;
	fake->config_size = 32;
	refuse("no config space");
}

static void test_odd_capabilities(void **state)
{
	fake = fake_vfio_add(PF, FAKE_PF, 7);
	store_le32(fake->config + 0x74, 0x10000 | 3); /* MSI-X's table beyond its BAR */
	fake->config[0xa1] = 0x40;		      /* a chain that has no end */
	store_le32(fake->config + 0x1a0, PCI_EXT_CAP_ID_DSN | 1 << 16 | 0x100U << 20);
	plug_fake();
	assert_null(vp->nic.pci.msix);
	decode();
	assert_non_null(fake_mapped(&host, bar(3), 8));
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(test_##name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(identity),
		TEST(capabilities),
		TEST(bars),
		TEST(sparse),
		TEST(no_map),
		TEST(msix),
		TEST(msix_growing),
		TEST(msix_fallback),
		TEST(msix_few_vectors),
		TEST(msi),
		TEST(intx_kvm),
		TEST(intx_loop),
		TEST(no_intx),
		TEST(no_intx_claimed),
		TEST(no_intx_pin),
		TEST(reset),
		TEST(taken_back),
		TEST(nonsense),
		TEST(odd_capabilities),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
