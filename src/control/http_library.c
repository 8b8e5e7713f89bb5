/* SPDX-License-Identifier: Apache-2.0 */
#include "control/http_library.h"

#define SYMBOL(call) {#call, offsetof(struct microhttpd, call)},

struct microhttpd microhttpd;
static const struct library_symbol symbols[] = {MICROHTTPD_CALLS(SYMBOL){NULL, 0}};
static struct library library = {"libmicrohttpd.so.12", "libmicrohttpd12", symbols, &microhttpd};

int microhttpd_load(struct error *err)
{
	return library_load(&library, err);
}
