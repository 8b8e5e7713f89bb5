/* SPDX-License-Identifier: Apache-2.0 */
#ifndef VMM_ACPI_H
#define VMM_ACPI_H

#include "base/error.h"

struct acpi_config {
	unsigned cpus;
	uint64_t mem64_base, mem64_size; /* the PCI host bridge's 64-bit window */
};

/**
 * Writes all of the machine's ACPI tables, RSDP first, as they are to be at guest-physical base
 * (a multiple of 64) into buf. Returns the bytes used, or -ENOSPC when room is too small.
 */
int acpi_build(const struct acpi_config *config, uint64_t base, uint8_t *buf, size_t room);

#endif
