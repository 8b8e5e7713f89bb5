/* SPDX-License-Identifier: Apache-2.0 */
#include "block/nbd_library.h"

#define SYMBOL(call) {#call, offsetof(struct libnbd, call)},

struct libnbd libnbd;
static const struct library_symbol symbols[] = {LIBNBD_CALLS(SYMBOL){NULL, 0}};
static struct library library = {"libnbd.so.0", "libnbd0", symbols, &libnbd};

int libnbd_load(struct error *err)
{
	return library_load(&library, err);
}
