/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_FAKE_MACHINE_H
#define TESTS_FAKE_MACHINE_H

#include "vmm/machine.h"

/*
 * A machine without KVM, for what is asked of it from outside (cmd/api*.c). It is paused, resumed
 * and ended; its NICs have names and states and do nothing, and nothing touches a file or a device.
 */
#define FAKE_NICS_MAX 4

struct machine *fake_machine_create(void);
void fake_machine_destroy(struct machine *machine);
bool fake_machine_ended(const struct machine *machine);

#endif
