/* SPDX-License-Identifier: Apache-2.0 */
#include "block/nbd_library.h"

#include <stdbool.h>

#define SYMBOL(call) {#call, offsetof(struct libnbd, call)},

struct libnbd libnbd;

int libnbd_load(struct error *err)
{
	static const struct library_symbol symbols[] = {LIBNBD_CALLS(SYMBOL){NULL, 0}};
	static bool loaded;
	int ret = loaded ? 0 : library_load("libnbd.so.0", "libnbd0", symbols, &libnbd, err);

	loaded = !ret;
	return ret;
}
