/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CONTROL_HTTP_LIBRARY_H
#define CONTROL_HTTP_LIBRARY_H

#include <microhttpd.h>

#include "base/library.h"

/* libmicrohttpd, loaded with the first control socket. Private to src/control/. */
#define MICROHTTPD_CALLS(X)                  \
	X(MHD_add_response_header)           \
	X(MHD_create_response_from_buffer)   \
	X(MHD_create_response_from_callback) \
	X(MHD_destroy_response)              \
	X(MHD_get_connection_info)           \
	X(MHD_lookup_connection_value)       \
	X(MHD_queue_response)                \
	X(MHD_quiesce_daemon)                \
	X(MHD_resume_connection)             \
	X(MHD_start_daemon)                  \
	X(MHD_stop_daemon)                   \
	X(MHD_suspend_connection)

struct microhttpd {
	MICROHTTPD_CALLS(LIBRARY_MEMBER)
};

extern struct microhttpd microhttpd;

/** Loads it, if it is not loaded yet: before any of its calls. Errors: see library_load(). */
int microhttpd_load(struct error *err);

#endif
