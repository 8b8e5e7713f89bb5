/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DEVICE_I82559_MODEL_H
#define DEVICE_I82559_MODEL_H

#include "device/nic_chip.h"

int i82559_create(const struct nic_chip_setup *setup, struct nic **out, struct error *err);

/** One pass of the worker (device/nic_worker.h). */
void i82559_step(void *chip, uint64_t now, struct nic_worker_wish *wish);

extern const struct nic_ops i82559c_nic_ops;

#endif
