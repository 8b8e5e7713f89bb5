/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NET_GSO_H
#define NET_GSO_H

#include "net/offload.h"

/*
 * Segmentation in software, for receivers that take only what the wire carries: emulated NICs,
 * user networking, a peer without the offload.
 */
#define NET_GSO_IOV_MAX	     1024 /* of a frame */
#define NET_GSO_SEGMENTS_MAX 2048

/**
 * Takes one finished frame: nothing is left to do to it, its checksums are in place. iov is valid
 * during the call only. Returns 0, or a negative errno that ends the segmentation.
 */
typedef int (*net_gso_emit_fn)(void *opaque, const struct iovec *iov, unsigned niov, uint32_t len);

/**
 * Emits frame as the wire would carry it: one or more frames, in order. TCP segments get their
 * sequence numbers, IPv4 identification counting up, FIN and PSH on the last, CWR on the first;
 * UDP (USO) a header each; UFO becomes IP fragments. The headers are copied once and only the
 * copy is looked at; the payload is read for its checksum and handed on where it lies, so what
 * changes in it meanwhile costs that frame its checksum and nothing else.
 *
 * Returns the number of frames emitted; -EINVAL when headers and offload fields do not fit each
 * other (nothing has been emitted then); or what emit returned. Needs about 20 KiB of stack.
 */
int net_gso_finish(const struct net_frame *frame, net_gso_emit_fn emit, void *opaque);

#endif
