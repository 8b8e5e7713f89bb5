// SPDX-License-Identifier: Apache-2.0
/*
 * A server that dies may forget what it acknowledged and was not yet asked to flush: its own
 * caches (qcow2's tables) die with it. The guest is not told that the server is another one now;
 * it goes on, and a later flush would tell it that everything is safe. So acknowledged writes are
 * kept, in order, until a flush that was sent after them succeeds, and are written again to a
 * server that has come back, before anything else is.
 */
#include "block/nbd.h"

#include <errno.h>
#include <stdlib.h>

void nbd_log_init(struct nbd_log *log)
{
	*log = (struct nbd_log){.last = &log->first};
}

int nbd_log_add(struct nbd_log *log, enum block_op op, bool unmap, uint64_t offset, uint64_t len,
		void *data)
{
	struct nbd_write *w = calloc(1, sizeof(*w));

	if (!w)
		return -ENOMEM;
	*w = (struct nbd_write){
		.op = op, .unmap = unmap, .offset = offset, .len = len, .data = data};
	w->number = ++log->number;
	*log->last = w;
	log->last = &w->next;
	log->bytes += sizeof(*w) + (data ? len : 0);
	return 0;
}

void nbd_log_flushed(struct nbd_log *log, uint64_t number)
{
	struct nbd_write *w;

	while ((w = log->first) && w->number <= number) {
		log->first = w->next;
		log->bytes -= sizeof(*w) + (w->data ? w->len : 0);
		free(w->data);
		free(w);
	}
	if (!log->first)
		log->last = &log->first;
}

void nbd_log_clear(struct nbd_log *log)
{
	nbd_log_flushed(log, UINT64_MAX);
}
