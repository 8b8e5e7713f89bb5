/* SPDX-License-Identifier: Apache-2.0 */
#include "control/http_library.h"

#include <stdbool.h>

#define SYMBOL(call) {#call, offsetof(struct microhttpd, call)},

struct microhttpd microhttpd;

int microhttpd_load(struct error *err)
{
	static const struct library_symbol symbols[] = {MICROHTTPD_CALLS(SYMBOL){NULL, 0}};
	static bool loaded;
	int ret = loaded ? 0
			 : library_load("libmicrohttpd.so.12", "libmicrohttpd12", symbols,
					&microhttpd, err);

	loaded = !ret;
	return ret;
}
