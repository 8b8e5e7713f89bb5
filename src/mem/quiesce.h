/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MEM_QUIESCE_H
#define MEM_QUIESCE_H

#include "base/util.h"

/*
 * Quiescent-state-based reclamation for the few things that data-path threads read without a lock
 * and the control path replaces (memory tables, filters). Each data-path thread registers a
 * reader; between two calls of quiesce_pass() it may use any pointer it loaded; across a call it
 * must load again. A thread about to sleep goes offline first. quiesce_wait() returns when every
 * reader has passed or is offline since the call.
 */
struct quiesce_reader {
	_Atomic uint64_t seen; /* 0: offline */
	struct quiesce_reader *next;
} __cacheline_al;

/** Adds the reader, which belongs to the caller, and puts it online. */
void quiesce_register(struct quiesce_reader *reader);

/** Removes it. From the reader's own thread, or when that has ended. */
void quiesce_unregister(struct quiesce_reader *reader);

/* From the reader's own thread. Passing costs two loads while nobody waits. */
void quiesce_pass(struct quiesce_reader *reader);
void quiesce_offline(struct quiesce_reader *reader);
void quiesce_online(struct quiesce_reader *reader);

/** From a thread that is not itself an online reader. */
void quiesce_wait(void);

#endif
