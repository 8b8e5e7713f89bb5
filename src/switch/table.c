/* SPDX-License-Identifier: Apache-2.0 */
#include "switch/types.h"

const struct port_ops *const port_table[] = {
	&port_vhost_user, &port_tap, &port_af_xdp, &port_vduse, NULL,
};

const struct port_ops *port_find(const char *name)
{
	for (const struct port_ops *const *ops = port_table; *ops; ops++)
		if (!strcmp((*ops)->name, name))
			return *ops;
	return NULL;
}
