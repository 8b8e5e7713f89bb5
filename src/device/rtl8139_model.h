/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DEVICE_RTL8139_MODEL_H
#define DEVICE_RTL8139_MODEL_H

#include "device/nic_chip.h"

/**
 * Makes an RTL8139C+, or with cplus false the RTL8139C, which has no C+ mode and another revision.
 */
int rtl8139_create(const struct nic_chip_setup *setup, bool cplus, struct nic **out,
		   struct error *err);

/** One pass of the worker (device/nic_worker.h). */
void rtl8139_step(void *chip, uint64_t now, struct nic_worker_wish *wish);

extern const struct nic_ops rtl8139_nic_ops;

#endif
