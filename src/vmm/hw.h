/* SPDX-License-Identifier: Apache-2.0 */
#ifndef VMM_HW_H
#define VMM_HW_H

/*
 * Where the machine's fixed hardware is. Read by the C compiler and by iasl's preprocessor
 * (dsdt.asl), hence plain numbers and nothing else. docs/architecture.md has the map.
 */

/* Guest-physical memory below 4 GiB. RAM ends at 3 GiB at the latest and goes on at 4 GiB. */
#define HW_LOW_RAM_MAX 0xC0000000
#define HW_MEM32_BASE  0xC0000000
#define HW_MEM32_SIZE  0x20000000
#define HW_MEM32_LAST  0xDFFFFFFF
#define HW_ECAM_BASE   0xE0000000
#define HW_ECAM_SIZE   0x00100000
#define HW_IOAPIC_BASE 0xFEC00000
#define HW_LAPIC_BASE  0xFEE00000
#define HW_IDENTITY_PG 0xFEFFC000
#define HW_TSS_BASE    0xFEFFD000

/* Ports. */
#define HW_COM1_PORT	0x3F8
#define HW_RTC_PORT	0x70
#define HW_KBD_PORT	0x64
#define HW_PM_PORT	0x600
#define HW_PM_SIZE	0x0C
#define HW_HOTPLUG_PORT 0x620
#define HW_HOTPLUG_SIZE 0x0C
#define HW_PVPANIC_PORT 0x505
#define HW_RESET_PORT	0xCF9
#define HW_PCI_IO_BASE	0x1000
#define HW_PCI_IO_SIZE	0xF000
#define HW_PCI_IO_LAST	0xFFFF

/* Global system interrupts. */
#define HW_COM1_GSI    4
#define HW_RTC_GSI     8
#define HW_SCI_GSI     9
#define HW_INTA_GSI    16
#define HW_INTB_GSI    17
#define HW_INTC_GSI    18
#define HW_INTD_GSI    19
#define HW_HOTPLUG_GSI 20

#endif
