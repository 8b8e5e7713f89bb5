/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MEM_BARRIER_H
#define MEM_BARRIER_H

/*
 * A full barrier: no access after it is made before one in front of it, a load not even before a
 * store. Two sides that each announce something and then look for the other's announcement both
 * need it in between, or each can miss the other. Nothing here relies on it to hand over data:
 * that is done by release stores and acquire loads, which ThreadSanitizer follows. It does not
 * follow fences, and gcc says so.
 */
#pragma GCC diagnostic push
#if defined(__SANITIZE_THREAD__) && !defined(__clang__)
#pragma GCC diagnostic ignored "-Wtsan"
#endif
static inline void full_barrier(void)
{
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
}
#pragma GCC diagnostic pop

#endif
