/* SPDX-License-Identifier: Apache-2.0 */
#include "unit.h"

#include "device/nic.h"
#include "device/virtio_net.h"
#include "fake_host.h"

#include <errno.h>

static struct fake_host h;

static int setup(void **state)
{
	fake_host_init(&h);
	return 0;
}

static int teardown(void **state)
{
	fake_host_fini(&h);
	return 0;
}

static int create(const char *text, struct nic **nic, struct error *err)
{
	*err = (struct error){0};
	return nic_create(text, 3, &h.host, h.mem, h.host.loop, nic, err);
}

/* The MAC of a NIC made so. */
static void mac_of(const char *text, uint8_t mac[6])
{
	struct error err;
	struct nic *nic;

	assert_int_equal(create(text, &nic, &err), 0);
	memcpy(mac, ((struct virtio_net *)nic)->mac, 6);
	assert_int_equal(pci_bus_add(h.pci, &nic->pci, PCI_SLOT_ANY, 0, &err), 0);
	pci_bus_remove(h.pci, &nic->pci);
}

static void test_defaults(void **state)
{
	uint8_t a[6], b[6], c[6], given[6] = {2, 0, 0, 0xaa, 0xbb, 0xcc};
	struct error err;
	struct nic *nic;

	assert_int_equal(create("backend=none", &nic, &err), 0);
	assert_string_equal(nic->pci.id, "net3");
	assert_string_equal(nic->nic_ops->name, "virtio-net");
	assert_int_equal(pci_bus_add(h.pci, &nic->pci, PCI_SLOT_ANY, 0, &err), 0);
	assert_ptr_equal(pci_bus_find(h.pci, "net3"), &nic->pci);
	/* The same for the same, another for another, always a local unicast one. */
	mac_of("backend=none,id=x", a);
	mac_of("backend=none,id=x", b);
	mac_of("backend=none,id=y", c);
	assert_memory_equal(a, b, 6);
	assert_memory_not_equal(a, c, 6);
	assert_int_equal(a[0] & 3, 2);
	mac_of("backend=none,mac=02:00:00:aa:bb:cc", a);
	assert_memory_equal(a, given, 6);
}

static void test_errors(void **state)
{
	static const struct {
		const char *text, *says, *also;
	} bad[] = {
		{"model=virtio-nett", "virtio-net?", "--net net3"},
		{"model=zzzzzzzz", "use one of virtio-net", "model"},
		{"backend=tapp", "backend=tap?", ""},
		{"backend=none,mca=02:00:00:00:00:01", "mac", "--net net3"},
		{"backend=none,mac=02:00:00:00:00", "mac", ""},
		{"backend=none,mac=01:00:00:00:00:01", "mac", ""},
		{"backend=none,mac=00:00:00:00:00:00", "mac", ""},
		{"backend=none,mtu=67", "mtu", "68"},
		{"backend=none,mtu=65522", "mtu", "65521"},
		{"backend=none,queues=17", "queues", "16"},
		{"backend=none,queue-size=300", "power of two", "300"},
		{"backend=none,packed=perhaps", "on or off", "packed"},
		{"backend=none,id=a b", "id=", ""},
		{"backend=none,id=", "id", ""},
		{"backend=none,id=01234567890123456789012345678901", "31", ""},
		{"backend=none,ifname=tap0", "ifname", ""},
		{"backend=none,id=x,id=y", "twice", ""},
		{"backend", "backend", ""},
	};
	struct error err;
	struct nic *nic;

	for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		assert_true(create(bad[i].text, &nic, &err) < 0);
		assert_text(err, bad[i].says);
		assert_text(err, bad[i].also);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_defaults, setup, teardown),
		cmocka_unit_test_setup_teardown(test_errors, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
