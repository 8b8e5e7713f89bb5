/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DEVICE_E1000_MODEL_H
#define DEVICE_E1000_MODEL_H

#include "device/nic.h"
#include "device/nic_worker.h"
#include "hostnet/hostnet.h"

/* The way in for the model table, tests and fuzz targets. */
struct e1000_setup {
	const char *id;
	uint8_t mac[6];
	struct bus_host *host;
	struct guest_mem *mem;
	struct hostnet *hn;	 /* the device's from here on, if it is created; NULL: none */
	uint64_t (*clock)(void); /* NULL: clock_ns() */
	bool threaded;		 /* start the worker; else e1000_step() is called by hand */
	bool post;		 /* post registers where the host can */
	bool real_fcs;
	bool moderate; /* stretch the delay of TXDW, see e1000_tx.c */
	int cpu;       /* of the worker, or THREAD_ANY_CPU */
};

int e1000_create(const struct e1000_setup *setup, struct nic **out, struct error *err);

/** One pass of the worker (device/nic_worker.h). */
void e1000_step(void *opaque, uint64_t now, struct nic_worker_wish *wish);

extern const struct nic_ops e1000_nic_ops;

#endif
