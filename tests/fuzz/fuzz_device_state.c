/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A port's state from anybody. What is accepted is within bounds, and what is written of it is accepted
 * again and says the same.
 */
#include "fuzz.h"

#include "vhost/device_state.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct device_state_address list[DEVICE_STATE_MAX], again[DEVICE_STATE_MAX];
	static uint8_t bytes[1 << 16];
	int n = device_state_read(data, size, list, NULL);

	if (n < 0)
		return 0;
	fuzz_assert(n <= DEVICE_STATE_MAX);
	fuzz_assert(device_state_size((unsigned)n) <= sizeof(bytes));
	device_state_write(bytes, list, (unsigned)n);
	fuzz_assert(device_state_read(bytes, device_state_size((unsigned)n), again, NULL) == n);
	for (int i = 0; i < n; i++) {
		fuzz_assert(!(list[i].mac[0] & 1) && list[i].vlan < 4095);
		fuzz_assert(memcmp(list[i].mac, again[i].mac, 6) == 0 &&
			    list[i].vlan == again[i].vlan && list[i].age == again[i].age);
	}
	return 0;
}
