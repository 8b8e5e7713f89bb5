/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DEVICE_E1000_MODEL_H
#define DEVICE_E1000_MODEL_H

#include "device/nic_chip.h"

/**
 * moderate: report sent frames later than the driver asks, see e1000_tx.c. The back-end is the
 * device's from here on, if it is created.
 */
int e1000_create(const struct nic_chip_setup *setup, bool moderate, struct nic **out,
		 struct error *err);

/** One pass of the worker (device/nic_worker.h). */
void e1000_step(void *opaque, uint64_t now, struct nic_worker_wish *wish);

extern const struct nic_ops e1000_nic_ops;

#endif
