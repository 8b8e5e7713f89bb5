/* SPDX-License-Identifier: Apache-2.0 */
#include "unit.h"

#include "fake_host.h"
#include "bus/msix.h"

#include <errno.h>
#include <linux/pci_regs.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define VECTORS 70

/* A device with MSI-X in slot 1, its table and pending bits where the capability says. */
struct rig {
	struct fake_host h;
	struct pci_dev *dev;
	unsigned cap, changes;
	uint64_t table, pba;
	int fds[4];
};

static void dev_destroy(struct pci_dev *dev)
{
	pci_dev_fini(dev);
	free(dev);
}

static void dev_msix_changed(struct pci_dev *dev, bool enabled)
{
	((struct rig *)dev->opaque)->changes++;
}

static const struct pci_dev_ops dev_ops = {.destroy = dev_destroy,
					   .msix_changed = dev_msix_changed};

static void control(struct rig *r, uint16_t bits)
{
	fake_config_write(&r->h, 1, r->cap + PCI_MSIX_FLAGS, 2, bits);
}

static void vector(struct rig *r, unsigned n, uint32_t data, bool masked)
{
	uint64_t entry = r->table + 16 * n;

	fake_write(&r->h, entry, 0xfee01000, 4);
	fake_write(&r->h, entry + 4, 0, 4);
	fake_write(&r->h, entry + 8, data, 4);
	fake_write(&r->h, entry + 12, masked, 4);
}

static bool pending(struct rig *r, unsigned n)
{
	return fake_read(&r->h, r->pba + n / 64 * 8, 8) >> (n % 64) & 1;
}

static int setup(void **state)
{
	static const struct pci_ids ids = {0x1234, 0x5678, 0, 0, 0x020000, 0};
	struct rig *r = calloc(1, sizeof(*r));
	struct error err;

	fake_host_init(&r->h);
	r->dev = calloc(1, sizeof(*r->dev));
	snprintf(r->dev->id, sizeof(r->dev->id), "dev");
	r->dev->ops = &dev_ops;
	r->dev->host = &r->h.host;
	r->dev->opaque = r;
	pci_dev_init(r->dev, &ids);
	pci_dev_use_intx(r->dev);
	assert_int_equal(msix_init(r->dev, VECTORS, 1, &err), 0);
	assert_int_equal(pci_bus_add(r->h.pci, r->dev, 1, 0, &err), 0);
	fake_config_write(&r->h, 1, PCI_COMMAND, 2, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
	r->cap = fake_config_read(&r->h, 1, PCI_CAPABILITY_LIST, 1);
	assert_int_equal(fake_config_read(&r->h, 1, r->cap, 1), PCI_CAP_ID_MSIX);
	r->table = fake_config_read(&r->h, 1, PCI_BASE_ADDRESS_1, 4);
	r->pba = r->table + (fake_config_read(&r->h, 1, r->cap + PCI_MSIX_PBA, 4) & ~7u);
	for (unsigned i = 0; i < ARRAY_SIZE(r->fds); i++)
		r->fds[i] = eventfd(0, EFD_NONBLOCK);
	*state = r;
	return 0;
}

static int setup_fallback(void **state)
{
	int ret = setup(state);

	((struct rig *)*state)->h.no_irqfd = true;
	return ret;
}

static int setup_forced(void **state)
{
	msix_force_fallback(true);
	return setup(state);
}

static int teardown(void **state)
{
	struct rig *r = *state;

	fake_host_fini(&r->h);
	for (unsigned i = 0; i < ARRAY_SIZE(r->fds); i++)
		close(r->fds[i]);
	free(r);
	msix_force_fallback(false);
	return 0;
}

static void test_registers(void **state)
{
	struct rig *r = *state;

	assert_int_equal(fake_config_read(&r->h, 1, r->cap + PCI_MSIX_FLAGS, 2), VECTORS - 1);
	assert_int_equal(fake_config_read(&r->h, 1, r->cap + PCI_MSIX_TABLE, 4), 1);
	/* All vectors start masked. */
	assert_int_equal(fake_read(&r->h, r->table + 16 * (VECTORS - 1) + 12, 4), 1);
	vector(r, 3, 0x4041, false);
	assert_int_equal(fake_read(&r->h, r->table + 48, 8), 0xfee01000);
	assert_int_equal(fake_read(&r->h, r->table + 56, 4), 0x4041);
	/* Reserved bits do not stick. */
	fake_write(&r->h, r->table + 48, 0xfee01003, 4);
	assert_int_equal(fake_read(&r->h, r->table + 48, 4), 0xfee01000);
	fake_write(&r->h, r->table + 60, 0xffffffff, 4);
	assert_int_equal(fake_read(&r->h, r->table + 60, 4), 1);
	/* A whole entry by 8 bytes, as drivers may. */
	fake_write(&r->h, r->table + 56, 0x1234, 8);
	assert_int_equal(fake_read(&r->h, r->table + 56, 8), 0x1234);
	/* The table's size and the enable bits are all that the control word has. */
	control(r, 0xffff);
	assert_int_equal(fake_config_read(&r->h, 1, r->cap + PCI_MSIX_FLAGS, 2),
			 0xc000 | (VECTORS - 1));
	assert_int_equal(r->changes, 1);
}

/* The rule of masks, whichever way signals travel. */
static void test_masking(void **state)
{
	struct rig *r = *state;

	assert_int_equal(msix_bind(r->dev, 2, r->fds[0]), 0);
	vector(r, 2, 0x42, false);
	eventfd_write(r->fds[0], 1);
	fake_pump(&r->h);
	assert_int_equal(r->h.nsent, 0); /* MSI-X is off */
	control(r, PCI_MSIX_FLAGS_ENABLE);
	fake_pump(&r->h);
	assert_int_equal(fake_sent(&r->h, 0x42), 1);
	assert_false(pending(r, 2));

	/* Masked: held, shown as pending, delivered once. */
	vector(r, 2, 0x42, true);
	eventfd_write(r->fds[0], 1);
	eventfd_write(r->fds[0], 1);
	fake_pump(&r->h);
	assert_int_equal(fake_sent(&r->h, 0x42), 1);
	assert_true(pending(r, 2));
	assert_false(pending(r, 3));
	vector(r, 2, 0x43, false); /* with another message meanwhile */
	fake_pump(&r->h);
	assert_int_equal(fake_sent(&r->h, 0x42), 1);
	assert_int_equal(fake_sent(&r->h, 0x43), 1);
	assert_false(pending(r, 2));

	/* The function's mask does the same. */
	control(r, PCI_MSIX_FLAGS_ENABLE | PCI_MSIX_FLAGS_MASKALL);
	eventfd_write(r->fds[0], 1);
	fake_pump(&r->h);
	assert_true(pending(r, 2));
	assert_int_equal(fake_sent(&r->h, 0x43), 1);
	control(r, PCI_MSIX_FLAGS_ENABLE);
	fake_pump(&r->h);
	assert_int_equal(fake_sent(&r->h, 0x43), 2);

	/* The message moves without a mask. */
	fake_write(&r->h, r->table + 40, 0x44, 4);
	eventfd_write(r->fds[0], 1);
	fake_pump(&r->h);
	assert_int_equal(fake_sent(&r->h, 0x44), 1);
	msix_unbind(r->dev, r->fds[0]);
	eventfd_write(r->fds[0], 1);
	fake_pump(&r->h);
	assert_int_equal(fake_sent(&r->h, 0x44), 1);
	assert_int_equal(fake_irqfds(&r->h), 0);
}

static void test_shared(void **state)
{
	struct rig *r = *state;

	for (unsigned i = 0; i < 4; i++)
		assert_int_equal(msix_bind(r->dev, i < 3 ? 65 : 66, r->fds[i]), 0);
	vector(r, 65, 0x65, false);
	vector(r, 66, 0x66, true);
	control(r, PCI_MSIX_FLAGS_ENABLE);
	for (unsigned i = 0; i < 4; i++)
		eventfd_write(r->fds[i], 1);
	fake_pump(&r->h);
	assert_int_equal(fake_sent(&r->h, 0x65), 3);
	assert_int_equal(fake_sent(&r->h, 0x66), 0);
	assert_true(pending(r, 66));
	assert_int_equal(msix_bind(r->dev, VECTORS, r->fds[0]), -EINVAL);
	assert_int_equal(msix_bind(r->dev, 0xffff, r->fds[0]), -EINVAL);
}

static void test_notify(void **state)
{
	struct rig *r = *state;

	vector(r, 0, 0x50, false);
	msix_notify(r->dev, 0);
	control(r, PCI_MSIX_FLAGS_ENABLE);
	assert_int_equal(r->h.nsent, 0);
	msix_notify(r->dev, 0);
	assert_int_equal(fake_sent(&r->h, 0x50), 1);
	vector(r, 0, 0x50, true);
	msix_notify(r->dev, 0);
	msix_notify(r->dev, 0);
	assert_true(pending(r, 0));
	vector(r, 0, 0x50, false);
	assert_int_equal(fake_sent(&r->h, 0x50), 2);
	msix_notify(r->dev, 5000);
	/* Off and on again: what was pending is gone. */
	vector(r, 0, 0x50, true);
	msix_notify(r->dev, 0);
	control(r, 0);
	control(r, PCI_MSIX_FLAGS_ENABLE);
	vector(r, 0, 0x50, false);
	assert_int_equal(fake_sent(&r->h, 0x50), 2);
}

static void test_reset(void **state)
{
	struct rig *r = *state;

	msix_bind(r->dev, 1, r->fds[0]);
	vector(r, 1, 0x51, false);
	control(r, PCI_MSIX_FLAGS_ENABLE);
	pci_bus_reset(r->h.pci);
	assert_false(msix_enabled(r->dev));
	assert_int_equal(fake_irqfds(&r->h), 0);
	fake_config_write(&r->h, 1, PCI_COMMAND, 2, PCI_COMMAND_MEMORY);
	assert_int_equal(fake_read(&r->h, r->table + 16 + 12, 4), 1);
	assert_int_equal(fake_read(&r->h, r->table + 16, 4), 0);
}

/* MSI-X and INTx exclude each other. */
static void test_intx(void **state)
{
	struct rig *r = *state;

	pci_dev_intx(r->dev, true);
	assert_true(r->h.lines[17]);
	control(r, PCI_MSIX_FLAGS_ENABLE);
	assert_false(r->h.lines[17]);
	control(r, 0);
	assert_true(r->h.lines[17]);
}

/* The loop must not spin on a signal that a mask holds back. */
static void test_fallback_sleeps(void **state)
{
	struct rig *r = *state;
	uint64_t start;

	msix_bind(r->dev, 0, r->fds[0]);
	vector(r, 0, 0x60, true);
	control(r, PCI_MSIX_FLAGS_ENABLE);
	eventfd_write(r->fds[0], 1);
	fake_pump(&r->h);
	start = clock_ns();
	loop_run_once(r->h.host.loop, 20);
	assert_true(clock_ns() - start >= 15 * NSEC_PER_MSEC);
	assert_int_equal(r->h.nsent, 0);
}

#define T(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
#define T_FALLBACK(fn, how)                                \
	{                                                  \
#fn " (" #how ")", fn, how, teardown, NULL \
	}

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_registers),
		T(test_masking),
		T_FALLBACK(test_masking, setup_fallback),
		T_FALLBACK(test_masking, setup_forced),
		T(test_shared),
		T_FALLBACK(test_shared, setup_fallback),
		T(test_notify),
		T(test_reset),
		T_FALLBACK(test_reset, setup_forced),
		T(test_intx),
		T_FALLBACK(test_fallback_sleeps, setup_forced),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
