/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DEVICE_I82559_REGS_H
#define DEVICE_I82559_REGS_H

#include "base/util.h"

/*
 * Intel 82559's control/status registers and shared memory structures. Section numbers in
 * i82559*.c are those of the Intel 8255x 10/100 Mbps Ethernet Controller Family Open Source
 * Software Developer Manual, Rev. 1.3.
 */
#define I559_MMIO_SIZE 4096
#define I559_IO_SIZE   64

/* CSR (6.3). */
enum {
	CSR_STATUS = 0x00,   /* SCB status: CU and RU state */
	CSR_STAT_ACK = 0x01, /* SCB: interrupt causes */
	CSR_CMD = 0x02,	     /* SCB: CU and RU command */
	CSR_MASK = 0x03,     /* SCB: interrupt mask */
	CSR_POINTER = 0x04,  /* SCB: general pointer */
	CSR_PORT = 0x08,
	CSR_FLASH = 0x0c,
	CSR_EEPROM = 0x0e,
	CSR_MDI = 0x10,
	CSR_RX_DMA = 0x14,
	CSR_EARLY_RX = 0x18,
	CSR_FC_THRESHOLD = 0x19,
	CSR_FC_CMD = 0x1a,
	CSR_PMDR = 0x1b,
	CSR_GEN_CONTROL = 0x1c,
	CSR_GEN_STATUS = 0x1d,
	CSR_FUNCTION_EVENT = 0x30,
	CSR_END = 0x40,
};

/* Causes in CSR_STAT_ACK (6.3.1). */
#define ACK_CX	0x80 /* a command with the I bit is done */
#define ACK_FR	0x40 /* a frame was received */
#define ACK_CNA 0x20 /* the command unit left the active state */
#define ACK_RNR 0x10 /* the receive unit left the ready state */
#define ACK_MDI 0x08
#define ACK_SWI 0x04
#define ACK_FCP 0x01

/* CSR_MASK (6.3.2). */
#define MASK_ALL 0x01
#define MASK_SI	 0x02
#define MASK_FCP 0x04
#define MASK_ER	 0x08

enum i559_cu_command {
	CU_NOP = 0,
	CU_START = 1,
	CU_RESUME = 2,
	CU_DUMP_ADDRESS = 4,
	CU_DUMP = 5,
	CU_BASE = 6,
	CU_DUMP_RESET = 7,
	CU_STATIC_RESUME = 10,
};

enum i559_ru_command {
	RU_NOP = 0,
	RU_START = 1,
	RU_RESUME = 2,
	RU_REDIRECT = 3,
	RU_ABORT = 4,
	RU_HEADER_SIZE = 5,
	RU_BASE = 6,
};

/* States, as they stand in CSR_STATUS (6.3.1). */
enum i559_cu_state { CU_IDLE = 0, CU_SUSPENDED = 1, CU_ACTIVE = 2 };
enum i559_ru_state { RU_IDLE = 0, RU_SUSPENDED = 1, RU_NO_RESOURCES = 2, RU_READY = 4 };

/* CSR_PORT (6.3.3). */
enum { PORT_RESET = 0, PORT_SELF_TEST = 1, PORT_SELECTIVE_RESET = 2, PORT_DUMP = 3 };

/* CSR_EEPROM (6.3.4). */
#define EEPROM_SK 0x01
#define EEPROM_CS 0x02
#define EEPROM_DI 0x04
#define EEPROM_DO 0x08

/* CSR_MDI (6.3.5). */
#define MDI_DATA      0x0000ffff
#define MDI_REG_SHIFT 16
#define MDI_PHY_SHIFT 21
#define MDI_OP_SHIFT  26
#define MDI_OP_WRITE  1
#define MDI_OP_READ   2
#define MDI_READY     0x10000000
#define MDI_INTERRUPT 0x20000000

/* CSR_GEN_STATUS. */
#define GEN_LINK 0x01
#define GEN_100	 0x02
#define GEN_FULL 0x04

/* Command blocks (6.4.2). */
#define CB_EL	   0x8000
#define CB_S	   0x4000
#define CB_I	   0x2000
#define CB_NC	   0x0010
#define CB_SF	   0x0008
#define CB_OPCODE  0x0007
#define CB_C	   0x8000 /* status: complete */
#define CB_OK	   0x2000
#define CB_U	   0x1000 /* status: underrun */
#define CB_HEADER  8
#define TCB_BYTES  16 /* of a TCB in front of its data or descriptors */
#define CB_NO_ADDR 0xffffffff

enum i559_opcode {
	OP_NOP = 0,
	OP_IAS = 1,
	OP_CONFIGURE = 2,
	OP_MULTICAST = 3,
	OP_TX = 4,
	OP_MICROCODE = 5,
	OP_DUMP = 6,
	OP_DIAGNOSE = 7,
};

#define TCB_COUNT    0x3fff /* of the TCB's byte count */
#define TCB_EOF	     0x8000
#define TBD_SIZE     0x7fff
#define TBD_EL	     0x0001
#define TBD_DYNAMIC  0xff /* number of descriptors: until EL */
#define DUMP_BYTES   596
#define CONFIG_BYTES 22

/* Receive frame descriptors (6.4.3). */
#define RFD_BYTES   16
#define RFD_EL	    0x8000
#define RFD_S	    0x4000
#define RFD_H	    0x0010
#define RFD_SF	    0x0008
#define RFD_C	    0x8000 /* status */
#define RFD_OK	    0x2000
#define RFD_NO_ROOM 0x0200
#define RFD_SHORT   0x0080
#define RFD_TYPE    0x0020
#define RFD_NOMATCH 0x0004
#define RFD_NOT_IA  0x0002
#define RFD_EOF	    0x8000 /* of the actual count */
#define RFD_F	    0x4000
#define RFD_SIZE    0x3fff

#endif
