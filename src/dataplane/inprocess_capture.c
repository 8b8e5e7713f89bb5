/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Recording frames where workers have them in their hands. The capture is a pointer that workers
 * load once a step, like the configuration; who takes it away waits until all have passed.
 */
#include "dataplane/inprocess.h"

void inproc_record(struct inproc_pair *pair, enum pcapng_direction direction,
		   const struct iovec *iov, unsigned niov, enum plane_drop why)
{
	capture_frame(pair->capture, pair->index, direction, iov, niov,
		      why < PLANE_DROP_COUNT ? plane_drop_name(why) : NULL);
}

int inproc_capture(struct plane *plane, struct capture *capture)
{
	struct inproc *p = container_of(plane, struct inproc, plane);

	atomic_store_explicit(&p->capture, capture, memory_order_release);
	if (p->threads)
		quiesce_wait();
	return 0;
}
