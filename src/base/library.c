/* SPDX-License-Identifier: Apache-2.0 */
#include "base/library.h"

#include <dlfcn.h>
#include <errno.h>
#include <string.h>

int library_load(const char *name, const char *package, const struct library_symbol *symbols,
		 void *table, struct error *err)
{
	void *handle = dlopen(name, RTLD_NOW | RTLD_LOCAL);

	if (!handle)
		return error_set(err, -ENOENT, "cannot load %s: %s: install Debian's package %s",
				 name, dlerror(), package);
	for (const struct library_symbol *s = symbols; s->name; s++) {
		void *call = dlsym(handle, s->name);

		if (!call) {
			dlclose(handle);
			return error_set(err, -ENOENT,
					 "%s has no %s: it is older than what this was built with: "
					 "bring Debian's package %s up to date",
					 name, s->name, package);
		}
		memcpy((char *)table + s->offset, &call, sizeof(call));
	}
	return 0;
}
