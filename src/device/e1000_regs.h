/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DEVICE_E1000_REGS_H
#define DEVICE_E1000_REGS_H

/*
 * The 82540EM's registers, bits and descriptors, by the names of Intel's "PCI/PCI-X Family of
 * Gigabit Ethernet Controllers Software Developer's Manual" (317453), chapter 13 for registers
 * and chapter 3 for descriptors.
 */
#include "base/util.h"

#define E1000_MMIO_SIZE 0x20000
#define E1000_IO_SIZE	64

#define REG_CTRL	0x0000
#define REG_CTRL_DUP	0x0004
#define REG_STATUS	0x0008
#define REG_EECD	0x0010
#define REG_EERD	0x0014
#define REG_CTRL_EXT	0x0018
#define REG_FLA		0x001c
#define REG_MDIC	0x0020
#define REG_FCAL	0x0028
#define REG_FCAH	0x002c
#define REG_FCT		0x0030
#define REG_VET		0x0038
#define REG_ICR		0x00c0
#define REG_ITR		0x00c4
#define REG_ICS		0x00c8
#define REG_IMS		0x00d0
#define REG_IMC		0x00d8
#define REG_RCTL	0x0100
#define REG_FCTTV	0x0170
#define REG_TXCW	0x0178
#define REG_RXCW	0x0180
#define REG_TCTL	0x0400
#define REG_TIPG	0x0410
#define REG_TBT		0x0448
#define REG_AIFS	0x0458
#define REG_LEDCTL	0x0e00
#define REG_PBA		0x1000
#define REG_FCRTL	0x2160
#define REG_FCRTH	0x2168
#define REG_RDFH	0x2410
#define REG_RDFT	0x2418
#define REG_RDFHS	0x2420
#define REG_RDFTS	0x2428
#define REG_RDFPC	0x2430
#define REG_RDBAL	0x2800
#define REG_RDBAH	0x2804
#define REG_RDLEN	0x2808
#define REG_RDH		0x2810
#define REG_RDT		0x2818
#define REG_RDTR	0x2820
#define REG_RXDCTL	0x2828
#define REG_RADV	0x282c
#define REG_RSRPD	0x2c00
#define REG_TXDMAC	0x3000
#define REG_TDFH	0x3410
#define REG_TDFT	0x3418
#define REG_TDFHS	0x3420
#define REG_TDFTS	0x3428
#define REG_TDFPC	0x3430
#define REG_TDBAL	0x3800
#define REG_TDBAH	0x3804
#define REG_TDLEN	0x3808
#define REG_TDH		0x3810
#define REG_TDT		0x3818
#define REG_TIDV	0x3820
#define REG_TXDCTL	0x3828
#define REG_TADV	0x382c
#define REG_TSPMT	0x3830
#define REG_STATS	0x4000
#define REG_RXCSUM	0x5000
#define REG_MTA		0x5200
#define REG_RA		0x5400
#define REG_VFTA	0x5600
#define REG_WUC		0x5800
#define REG_WUFC	0x5808
#define REG_WUS		0x5810
#define REG_MANC	0x5820
#define REG_IPAV	0x5838
#define REG_IP4AT	0x5840
#define REG_IP6AT	0x5880
#define REG_WUPL	0x5900
#define REG_WUPM	0x5a00
#define REG_FFLT	0x5f00
#define REG_FFMT	0x9000
#define REG_FFVT	0x9800
#define REG_PBM		0x10000 /* packet buffer memory, to 0x1ffff */

/* Device control */
#define CTRL_FD		 0x00000001
#define CTRL_ASDE	 0x00000020
#define CTRL_SLU	 0x00000040
#define CTRL_SPEED	 0x00000300
#define CTRL_SPEED_SHIFT 8
#define CTRL_FRCSPD	 0x00000800
#define CTRL_FRCDPX	 0x00001000
#define CTRL_RST	 0x04000000
#define CTRL_VME	 0x40000000
#define CTRL_PHY_RST	 0x80000000

/* Device status */
#define STATUS_FD	   0x00000001
#define STATUS_LU	   0x00000002
#define STATUS_SPEED_SHIFT 6
#define STATUS_PCI66	   0x00000800

/* EEPROM/flash control, and EEPROM read */
#define EECD_SK		0x00000001
#define EECD_CS		0x00000002
#define EECD_DI		0x00000004
#define EECD_DO		0x00000008
#define EECD_FWE_NONE	0x00000010
#define EECD_FWE	0x00000030
#define EECD_REQ	0x00000040
#define EECD_GNT	0x00000080
#define EECD_PRES	0x00000100
#define EERD_START	0x00000001
#define EERD_DONE	0x00000010
#define EERD_ADDR_SHIFT 8
#define EERD_DATA_SHIFT 16
#define CTRL_EXT_EE_RST 0x00002000

/* MDI control */
#define MDIC_REG_SHIFT 16
#define MDIC_PHY_SHIFT 21
#define MDIC_OP_WRITE  0x04000000
#define MDIC_OP_READ   0x08000000
#define MDIC_READY     0x10000000
#define MDIC_INT       0x20000000
#define MDIC_ERROR     0x40000000

/* Interrupt causes */
#define ICR_TXDW    0x00000001
#define ICR_TXQE    0x00000002
#define ICR_LSC	    0x00000004
#define ICR_RXSEQ   0x00000008
#define ICR_RXDMT0  0x00000010
#define ICR_RXO	    0x00000040
#define ICR_RXT0    0x00000080
#define ICR_MDAC    0x00000200
#define ICR_RXCFG   0x00000400
#define ICR_TXD_LOW 0x00008000
#define ICR_SRPD    0x00010000
#define ICR_ALL	    0x0001ffff

/* Receive control */
#define RCTL_EN		 0x00000002
#define RCTL_SBP	 0x00000004
#define RCTL_UPE	 0x00000008
#define RCTL_MPE	 0x00000010
#define RCTL_LPE	 0x00000020
#define RCTL_LBM	 0x000000c0
#define RCTL_LBM_MAC	 0x00000040
#define RCTL_RDMTS_SHIFT 8
#define RCTL_MO_SHIFT	 12
#define RCTL_BAM	 0x00008000
#define RCTL_BSIZE_SHIFT 16
#define RCTL_VFE	 0x00040000
#define RCTL_CFIEN	 0x00080000
#define RCTL_CFI	 0x00100000
#define RCTL_BSEX	 0x02000000
#define RCTL_SECRC	 0x04000000

/* Transmit control; descriptor control */
#define TCTL_EN		      0x00000002
#define TCTL_PSP	      0x00000008
#define TXDCTL_LWTHRESH_SHIFT 25

#define RDTR_FPD	      0x80000000
#define TIDV_FPD	      0x80000000

/* Receive checksum control */
#define RXCSUM_PCSS  0x000000ff
#define RXCSUM_IPOFL 0x00000100
#define RXCSUM_TUOFL 0x00000200

#define RAH_AV	     0x80000000

/* Receive descriptors, 3.2.3 */
#define RXD_STAT_DD    0x01
#define RXD_STAT_EOP   0x02
#define RXD_STAT_IXSM  0x04
#define RXD_STAT_VP    0x08
#define RXD_STAT_TCPCS 0x20
#define RXD_STAT_IPCS  0x40
#define RXD_STAT_PIF   0x80
#define RXD_ERR_RXE    0x80
#define RXD_ERR_IPE    0x40
#define RXD_ERR_TCPE   0x20

/* Transmit descriptors, 3.3.3 to 3.3.7; commands are in bits 31:24 of `lower` */
#define TXD_EOP		 0x01000000
#define TXD_IFCS	 0x02000000
#define TXD_IC		 0x04000000 /* legacy: insert checksum */
#define TXD_TSE		 0x04000000 /* extended: segment */
#define TXD_RS		 0x08000000
#define TXD_RPS		 0x10000000
#define TXD_DEXT	 0x20000000
#define TXD_VLE		 0x40000000
#define TXD_IDE		 0x80000000
#define TXD_DTYP_SHIFT	 20
#define TXD_DTYP_CONTEXT 0
#define TXD_DTYP_DATA	 1
#define TXD_TUCMD_TCP	 0x01000000 /* context: 1 TCP, 0 UDP */
#define TXD_TUCMD_IP	 0x02000000 /* context: 1 IPv4, 0 IPv6 */
#define TXD_STAT_DD	 0x01
#define TXD_POPTS_IXSM	 0x01
#define TXD_POPTS_TXSM	 0x02

/* Both kinds of ring hold descriptors of 16 bytes. */
struct e1000_desc {
	uint64_t addr;	/* TX context: IPCSS, IPCSO, IPCSE (16), TUCSS, TUCSO, TUCSE (16) */
	uint32_t lower; /* TX: length, command; RX: length, checksum */
	uint32_t upper; /* TX: status, options or CSS, special; RX: status, errors, special */
};
_Static_assert(sizeof(struct e1000_desc) == 16, "descriptor layout");

#endif
