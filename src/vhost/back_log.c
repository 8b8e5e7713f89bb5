/* SPDX-License-Identifier: Apache-2.0 */
#include "vhost/back_internal.h"

#include "mem/dirty_log.h"

#include <errno.h>

/*
 * The dirty log: a bitmap that the front-end shares, in which the ring code marks what it writes
 * into guest memory (mem/dirty_log.h, the same layout) while VHOST_F_LOG_ALL is agreed on. It
 * comes before that feature, and again, larger, when memory is added; each change goes to the
 * queues with a new memory table.
 *
 * SET_LOG_FD would have us signal each change: front-ends that synchronise by themselves (all of
 * them) have no use for it. It is accepted, as the specification calls for no more, and closed.
 */
void back_log_apply(struct vhost_backend *be)
{
	struct dirty_log *log = back_feature(be, VHOST_USER_F_LOG_ALL) ? be->log : NULL;

	if (be->table)
		be->table->dirty = log;
	if (back_postcopy_on(be) && back_postcopy_table(be))
		back_postcopy_table(be)->dirty = log;
	if (be->iotlb_table)
		be->iotlb_table->dirty = log;
}

int back_set_log_base(struct vhost_backend *be, struct vhost_user_msg *msg, struct error *err)
{
	struct vhost_user_log wire = msg->payload.log;
	struct back_map map = {0};
	struct dirty_log *log;
	void *at = NULL;
	int rc;

	if (msg->nfds == 0)
		return error_set(err, -EINVAL, "a log that is not shared memory");
	rc = back_map_file(be, msg->fds[0], wire.offset, wire.size, &map, &at, err);
	if (rc)
		return rc;
	log = dirty_log_wrap(at, wire.size, err);
	if (!log) {
		back_unmap(&map);
		return -EINVAL;
	}
	back_rings_stop(be);
	back_log_drop(be);
	be->log = log;
	be->log_map = map;
	back_log_apply(be);
	vhost_user_close_fds(msg);
	msg->payload.u64 = 0;
	msg->hdr.size = sizeof(msg->payload.u64);
	return back_rings_resume(be, err);
}

int back_set_log_fd(struct vhost_backend *be, struct vhost_user_msg *msg, struct error *err)
{
	return 0;
}

void back_log_drop(struct vhost_backend *be)
{
	dirty_log_free(be->log);
	be->log = NULL;
	back_unmap(&be->log_map);
}
