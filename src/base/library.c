/* SPDX-License-Identifier: Apache-2.0 */
#include "base/library.h"

#include <dlfcn.h>
#include <errno.h>
#include <string.h>

int library_load(struct library *library, struct error *err)
{
	void *handle;

	if (library->loaded)
		return 0;
	handle = dlopen(library->name, RTLD_NOW | RTLD_LOCAL);
	if (!handle)
		return error_set(err, -ENOENT, "cannot load %s: %s: install Debian's package %s",
				 library->name, dlerror(), library->package);
	for (const struct library_symbol *s = library->symbols; s->name; s++) {
		void *call = dlsym(handle, s->name);

		if (!call) {
			dlclose(handle);
			return error_set(err, -ENOENT,
					 "%s has no %s: it is older than what this was built with: "
					 "bring Debian's package %s up to date",
					 library->name, s->name, library->package);
		}
		memcpy((char *)library->table + s->offset, &call, sizeof(call));
	}
	library->loaded = true;
	return 0;
}
