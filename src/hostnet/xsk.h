/* SPDX-License-Identifier: Apache-2.0 */
#ifndef HOSTNET_XSK_H
#define HOSTNET_XSK_H

#include "hostnet/hostnet.h"

/*
 * One AF_XDP socket (linux/if_xdp.h): a queue of an interface, its own piece of memory (the UMEM)
 * and the four rings. Half of the memory's frames are the kernel's to receive into, half ours to
 * send from. afxdp.c makes an interface of them.
 */
#define XSK_FRAME_BYTES 4096U /* a frame's place in the memory; the kernel's limit is a page */
#define XSK_HEADROOM	256U  /* of it the kernel keeps when it receives (XDP_PACKET_HEADROOM) */
#define XSK_RX_MAX	(XSK_FRAME_BYTES - XSK_HEADROOM)

struct xsk;

/** Opens a socket on queue number `queue` of an interface, in the mode given or not at all. */
int xsk_open(struct xsk **out, unsigned ifindex, unsigned queue, bool zero_copy, struct error *err);
void xsk_close(struct xsk *x);

int xsk_fd(const struct xsk *x);

/**
 * Sends one small frame, addressed to the interface itself (a loopback test, EtherType 0x9000), and
 * waits until the device says that it is done with it. -ETIMEDOUT when it does not: a driver can
 * take a zero-copy socket and never serve it.
 */
int xsk_prove(struct xsk *x, const uint8_t mac[6], unsigned timeout_ms);

/**
 * The interface is up. A socket that was told otherwise by the kernel drops what it is to send until
 * this is called. Any thread.
 */
void xsk_set_up(struct xsk *x);

/*
 * Hot path: see hostnet.h's send, borrow and give_back. max_len: the longest frame to be sent; 0: the
 * interface is down.
 */
unsigned xsk_send(struct xsk *x, const struct net_frame *frames, unsigned n, uint32_t max_len);
unsigned xsk_borrow(struct xsk *x, struct iovec *iov, unsigned n);
void xsk_give_back(struct xsk *x, unsigned n);
void xsk_counters(const struct xsk *x, struct hostnet_counters *out);

/** Frames that the kernel could not put into our ring; a system call. */
uint64_t xsk_rx_lost(const struct xsk *x);

#endif
