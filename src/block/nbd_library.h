/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BLOCK_NBD_LIBRARY_H
#define BLOCK_NBD_LIBRARY_H

#include <libnbd.h>

#include "base/library.h"

/* libnbd, loaded with the first image that is behind an NBD server. Private to src/block/. */
#define LIBNBD_CALLS(X)                 \
	X(nbd_aio_connect_unix)         \
	X(nbd_aio_connect_uri)          \
	X(nbd_aio_flush)                \
	X(nbd_aio_get_direction)        \
	X(nbd_aio_get_fd)               \
	X(nbd_aio_is_closed)            \
	X(nbd_aio_is_dead)              \
	X(nbd_aio_is_ready)             \
	X(nbd_aio_notify_read)          \
	X(nbd_aio_notify_write)         \
	X(nbd_aio_pread)                \
	X(nbd_aio_pwrite)               \
	X(nbd_aio_trim)                 \
	X(nbd_aio_zero)                 \
	X(nbd_can_flush)                \
	X(nbd_can_fua)                  \
	X(nbd_can_trim)                 \
	X(nbd_can_zero)                 \
	X(nbd_close)                    \
	X(nbd_create)                   \
	X(nbd_get_block_size)           \
	X(nbd_get_errno)                \
	X(nbd_get_error)                \
	X(nbd_get_size)                 \
	X(nbd_is_read_only)             \
	X(nbd_set_pread_initialize)     \
	X(nbd_set_uri_allow_local_file) \
	X(nbd_shutdown)

struct libnbd {
	LIBNBD_CALLS(LIBRARY_MEMBER)
};

extern struct libnbd libnbd;

/** Loads it, if it is not loaded yet: before any of its calls. Errors: see library_load(). */
int libnbd_load(struct error *err);

#endif
