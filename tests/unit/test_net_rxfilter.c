/* SPDX-License-Identifier: Apache-2.0 */
#include "unit.h"

#include "net/ether.h"
#include "net/rxfilter.h"

static const uint8_t self[6] = {0x52, 0x54, 0, 0, 0, 1};
static const uint8_t other[6] = {0x52, 0x54, 0, 0, 0, 2};
static const uint8_t listed[6] = {0x52, 0x54, 0, 0, 0, 3};
static const uint8_t group[6] = {0x01, 0, 0x5e, 0, 0, 1};
static const uint8_t group_listed[6] = {0x33, 0x33, 0, 0, 0, 1};
static const uint8_t everybody[6] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};

static bool accepts(const struct rx_filter *f, const uint8_t *dst, int vid)
{
	uint8_t hdr[18] = {0};

	memcpy(hdr, dst, 6);
	store_be16(hdr + 12, vid >= 0 ? ETHER_VLAN : ETHER_IPV4);
	store_be16(hdr + 14, vid >= 0 ? (uint16_t)(0xe000 | vid) : 0);
	return rx_filter_accepts(f, hdr, sizeof(hdr));
}

/* The answers for self, other, listed, group, group_listed, everybody, as one string. */
static const char *answers(const struct rx_filter *f)
{
	static const uint8_t *const all[] = {self, other, listed, group, group_listed, everybody};
	static char text[7];

	for (unsigned i = 0; i < 6; i++)
		text[i] = accepts(f, all[i], -1) ? 'y' : 'n';
	return text;
}

static struct rx_filter base(void)
{
	struct rx_filter f;

	rx_filter_init(&f, self);
	f.promisc = false;
	f.uni_count = f.multi_count = 1;
	memcpy(f.macs[0], listed, 6);
	memcpy(f.macs[1], group_listed, 6);
	return f;
}

/* virtio 1.2, 5.1.6.5.1: each of the modes, alone. */
static void test_modes(void **state)
{
	struct rx_filter f;

	rx_filter_init(&f, self);
	assert_string_equal(answers(&f), "yyyyyy");
	f = base();
	assert_string_equal(answers(&f), "ynynyy");
	f.allmulti = true;
	assert_string_equal(answers(&f), "ynyyyy");
	f = base();
	f.alluni = true;
	assert_string_equal(answers(&f), "yyynyy");
	f = base();
	f.nomulti = true;
	assert_string_equal(answers(&f), "ynynny");
	f = base();
	f.nouni = true;
	assert_string_equal(answers(&f), "nnnnyy");
	f = base();
	f.nobcast = true;
	assert_string_equal(answers(&f), "ynynyn");
	f = base();
	f.mac_overflow_uni = true;
	assert_string_equal(answers(&f), "yyynyy");
	f = base();
	f.mac_overflow_multi = true;
	assert_string_equal(answers(&f), "ynyyyy");
	f = base();
	f.nomulti = f.nouni = f.nobcast = f.promisc = true;
	assert_string_equal(answers(&f), "yyyyyy");
}

static void test_vlan(void **state)
{
	struct rx_filter f = base();
	uint8_t tagged[18] = {0};

	assert_true(accepts(&f, self, 5));
	f.vlan_filter = true;
	assert_false(accepts(&f, self, 5));
	assert_true(accepts(&f, self, -1));
	assert_true(accepts(&f, self, 0)); /* a priority, not a VLAN */
	f.vlans[5 / 8] |= 1 << 5 % 8;
	f.vlans[4095 / 8] |= 1 << 4095 % 8;
	assert_true(accepts(&f, self, 5));
	assert_true(accepts(&f, self, 4095));
	assert_false(accepts(&f, self, 6));
	assert_false(accepts(&f, other, 5));
	memcpy(tagged, self, 6);
	store_be16(tagged + 12, ETHER_VLAN);
	store_be16(tagged + 14, 5);
	assert_false(rx_filter_accepts(&f, tagged, 17));
	assert_true(rx_filter_accepts(&f, tagged, 18));
}

static void test_limits(void **state)
{
	struct rx_filter f = base();
	uint8_t hdr[14] = {0};

	rx_filter_init(&f, self);
	assert_false(rx_filter_accepts(&f, hdr, 13));
	f = base();
	f.uni_count = f.multi_count = 1000000; /* more than there is room for */
	assert_false(accepts(&f, other, -1));
	f.uni_count = 10;
	assert_false(accepts(&f, group, -1));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_modes),
		cmocka_unit_test(test_vlan),
		cmocka_unit_test(test_limits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
