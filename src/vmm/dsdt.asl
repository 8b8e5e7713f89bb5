/*
 * SPDX-License-Identifier: Apache-2.0
 *
 * The machine's fixed devices for ACPI. What depends on how the machine was started is in a
 * table beside this one (acpi.c): the 64-bit window of the PCI host bridge as \MEMB, \MEML, \MEMS.
 */
#include "hw.h"

/* INTx of a slot: pins INTA# to INTD# are rotated by the slot's number, as pci.c wires them. */
#define SLOT(n, a, b, c, d) \
	Package () { ((n << 16) | 0xFFFF), 0, 0, a }, \
	Package () { ((n << 16) | 0xFFFF), 1, 0, b }, \
	Package () { ((n << 16) | 0xFFFF), 2, 0, c }, \
	Package () { ((n << 16) | 0xFFFF), 3, 0, d }

/* All slots but the host bridge's. */
#define EACH_SLOT(X) \
	X (S01, 1) X (S02, 2) X (S03, 3) X (S04, 4) X (S05, 5) X (S06, 6) X (S07, 7) X (S08, 8) \
	X (S09, 9) X (S10, 10) X (S11, 11) X (S12, 12) X (S13, 13) X (S14, 14) X (S15, 15) \
	X (S16, 16) X (S17, 17) X (S18, 18) X (S19, 19) X (S20, 20) X (S21, 21) X (S22, 22) \
	X (S23, 23) X (S24, 24) X (S25, 25) X (S26, 26) X (S27, 27) X (S28, 28) X (S29, 29) \
	X (S30, 30) X (S31, 31)

DefinitionBlock ("dsdt.aml", "DSDT", 2, "VIADCT", "VIADUCT", 1)
{
	External (\MEMB, IntObj)
	External (\MEML, IntObj)
	External (\MEMS, IntObj)

	Name (\_S5, Package () { 5, 0, 0, 0 })

	Scope (\_SB)
	{
		Device (PCI0)
		{
			Name (_HID, EisaId ("PNP0A08"))
			Name (_CID, EisaId ("PNP0A03"))
			Name (_SEG, 0)
			Name (_BBN, 0)
			Name (_UID, 0)
			/* Devices' DMA is coherent, and all they have is here: no further bridges. */
			Name (_CCA, 1)

			Name (CRS, ResourceTemplate ()
			{
				WordBusNumber (ResourceProducer, MinFixed, MaxFixed, PosDecode,
					0, 0, 0, 0, 1)
				IO (Decode16, 0x0CF8, 0x0CF8, 1, 8)
				// The ports of old, where an IDE controller has its channels.
				WordIO (ResourceProducer, MinFixed, MaxFixed, PosDecode, EntireRange,
					0, 0x0000, 0x0CF7, 0, 0x0CF8)
				WordIO (ResourceProducer, MinFixed, MaxFixed, PosDecode, EntireRange,
					0, HW_PCI_IO_BASE, HW_PCI_IO_LAST, 0, HW_PCI_IO_SIZE)
				DWordMemory (ResourceProducer, PosDecode, MinFixed, MaxFixed,
					NonCacheable, ReadWrite,
					0, HW_MEM32_BASE, HW_MEM32_LAST, 0, HW_MEM32_SIZE)
				QWordMemory (ResourceProducer, PosDecode, MinFixed, MaxFixed,
					Cacheable, ReadWrite,
					0, 0x100000000, 0x1FFFFFFFF, 0, 0x100000000, , , W64)
			})
			Method (_CRS, 0, Serialized)
			{
				CreateQWordField (CRS, ^W64._MIN, WMIN)
				CreateQWordField (CRS, ^W64._MAX, WMAX)
				CreateQWordField (CRS, ^W64._LEN, WLEN)
				WMIN = \MEMB
				WMAX = \MEML
				WLEN = \MEMS
				Return (CRS)
			}

			/*
			 * PCI Firmware 3.2, 4.5: grant native hot-plug, power management events,
			 * error reporting, the capability structure and LTR, as far as asked for.
			 */
			Method (_OSC, 4)
			{
				CreateDWordField (Arg3, 0, STAT)
				If (Arg0 == ToUUID ("33DB4D5B-1FF7-401C-9657-7441C03DD766"))
				{
					CreateDWordField (Arg3, 8, CTRL)
					CTRL &= 0x3F
					If (Arg1 != 1)
					{
						STAT |= 0x08 /* unknown revision */
					}
				}
				Else
				{
					STAT |= 0x04 /* unknown UUID */
				}
				Return (Arg3)
			}

			Name (_PRT, Package ()
			{
#define FOUR(n) \
	SLOT (n, HW_INTA_GSI, HW_INTB_GSI, HW_INTC_GSI, HW_INTD_GSI), \
	SLOT ((n + 1), HW_INTB_GSI, HW_INTC_GSI, HW_INTD_GSI, HW_INTA_GSI), \
	SLOT ((n + 2), HW_INTC_GSI, HW_INTD_GSI, HW_INTA_GSI, HW_INTB_GSI), \
	SLOT ((n + 3), HW_INTD_GSI, HW_INTA_GSI, HW_INTB_GSI, HW_INTC_GSI)
				FOUR (0), FOUR (4), FOUR (8), FOUR (12),
				FOUR (16), FOUR (20), FOUR (24), FOUR (28)
			})

			/*
			 * Hot-plug: the registers of device/hotplug.h, a bit for each slot. The guest
			 * takes note of all that is new, looks at those slots, and lets go of the
			 * devices it is asked for.
			 */
			OperationRegion (HPR, SystemIO, HW_HOTPLUG_PORT, HW_HOTPLUG_SIZE)
			Field (HPR, DWordAcc, NoLock, WriteAsZeros)
			{
				ADDD, 32,
				REMD, 32,
				EJCT, 32
			}

#define HOTSLOT(name, n) \
	Device (name) \
	{ \
		Name (_ADR, (n << 16)) \
		Name (_SUN, n) \
		Method (_EJ0, 1) { EJCT = (1 << n) } \
	}
			EACH_SLOT (HOTSLOT)

#define TELL_ONE(name, n) \
	If (Arg0 & (1 << n)) { Notify (name, Arg1) }
			Method (TELL, 2, Serialized)
			{
				EACH_SLOT (TELL_ONE)
			}

			Method (SCAN, 0, Serialized)
			{
				Local0 = ADDD
				ADDD = Local0
				Local1 = REMD
				REMD = Local1
				TELL (Local0, 1) /* device check */
				TELL (Local1, 3) /* eject request */
			}
		}

		/* The interrupt of the hot-plug registers. */
		Device (GED)
		{
			Name (_HID, "ACPI0013")
			Name (_UID, 0)
			Name (_CRS, ResourceTemplate ()
			{
				Interrupt (ResourceConsumer, Level, ActiveHigh, Exclusive)
					{ HW_HOTPLUG_GSI }
			})
			Method (_EVT, 1, Serialized)
			{
				\_SB.PCI0.SCAN ()
			}
		}

		/* What no driver may take: config space, ports of the platform. */
		Device (MRES)
		{
			Name (_HID, EisaId ("PNP0C02"))
			Name (_UID, 1)
			Name (_CRS, ResourceTemplate ()
			{
				Memory32Fixed (ReadWrite, HW_ECAM_BASE, HW_ECAM_SIZE)
				IO (Decode16, HW_PM_PORT, HW_PM_PORT, 1, HW_PM_SIZE)
				IO (Decode16, HW_HOTPLUG_PORT, HW_HOTPLUG_PORT, 1, HW_HOTPLUG_SIZE)
			})
		}

		Device (COM1)
		{
			Name (_HID, EisaId ("PNP0501"))
			Name (_UID, 1)
			Name (_CRS, ResourceTemplate ()
			{
				IO (Decode16, HW_COM1_PORT, HW_COM1_PORT, 1, 8)
				IRQNoFlags () { HW_COM1_GSI }
			})
		}

		Device (RTC)
		{
			Name (_HID, EisaId ("PNP0B00"))
			Name (_CRS, ResourceTemplate ()
			{
				IO (Decode16, HW_RTC_PORT, HW_RTC_PORT, 1, 2)
				IRQNoFlags () { HW_RTC_GSI }
			})
		}

		/* How a panicking kernel tells (Linux's pvpanic driver). */
		Device (PEVT)
		{
			Name (_HID, "QEMU0001")
			Name (_CRS, ResourceTemplate ()
			{
				IO (Decode16, HW_PVPANIC_PORT, HW_PVPANIC_PORT, 1, 1)
			})
		}
	}
}
