/* SPDX-License-Identifier: Apache-2.0 */
#include "hostnet/hostnet.h"
#include "hostnet/none.h"
#include "hostnet/tap.h"
#include "hostnet/user.h"

const struct hostnet_ops *const hostnet_table[] = {&user_ops, &tap_ops, &none_ops, NULL};

const struct hostnet_ops *hostnet_find(const char *name)
{
	for (const struct hostnet_ops *const *ops = hostnet_table; *ops; ops++) {
		if (!strcmp((*ops)->name, name))
			return *ops;
	}
	return NULL;
}

const char *hostnet_drop_word(enum hostnet_drop drop)
{
	static const char *const words[] = {
		[HOSTNET_DROP_DOWN] = "down",	      [HOSTNET_DROP_FULL] = "full",
		[HOSTNET_DROP_OVERSIZE] = "oversize", [HOSTNET_DROP_MALFORMED] = "malformed",
		[HOSTNET_DROP_ERROR] = "error",
	};
	_Static_assert(ARRAY_SIZE(words) == HOSTNET_DROP_COUNT, "every cause has its word");

	return (unsigned)drop < HOSTNET_DROP_COUNT ? words[drop] : "unknown";
}

const char *hostnet_drop_name(enum hostnet_drop drop)
{
	static const char *const names[] = {
		[HOSTNET_DROP_DOWN] = "the attachment point is down or gone",
		[HOSTNET_DROP_FULL] = "the queue was full",
		[HOSTNET_DROP_OVERSIZE] = "larger than could be taken",
		[HOSTNET_DROP_MALFORMED] = "too short, or offload fields that do not fit",
		[HOSTNET_DROP_ERROR] = "refused by the kernel or the library",
	};
	_Static_assert(ARRAY_SIZE(names) == HOSTNET_DROP_COUNT, "every cause has its line");

	return (unsigned)drop < HOSTNET_DROP_COUNT ? names[drop] : "unknown";
}
