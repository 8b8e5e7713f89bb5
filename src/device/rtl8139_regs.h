/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DEVICE_RTL8139_REGS_H
#define DEVICE_RTL8139_REGS_H

#include "base/util.h"

/*
 * RTL8139C+ registers and descriptors. Section numbers in rtl8139*.c are those of Realtek's
 * RTL8139C+ data sheet, Rev. 1.6 (chapter 6: registers, 9: C+ descriptors), and of the RTL8139C's
 * (programming guide) for the classic transmitter and receiver.
 */
#define RTL_IO_SIZE 256
/* The chip has 256 bytes of registers; the BAR is a page so that it can be mapped as one. */
#define RTL_MMIO_SIZE 4096

enum {
	RTL_IDR0 = 0x00,
	RTL_MAR0 = 0x08,
	RTL_TSD0 = 0x10,  /* classic: status of four slots */
	RTL_DTCCR = 0x10, /* C+: dump tally counters */
	RTL_TSAD0 = 0x20, /* classic: addresses of four slots */
	RTL_TNPDS = 0x20, /* C+: normal priority descriptors */
	RTL_THPDS = 0x28, /* C+: high priority descriptors */
	RTL_RBSTART = 0x30,
	RTL_ERBCR = 0x34,
	RTL_ERSR = 0x36,
	RTL_CR = 0x37,
	RTL_CAPR = 0x38,
	RTL_CBR = 0x3a,
	RTL_IMR = 0x3c,
	RTL_ISR = 0x3e,
	RTL_TCR = 0x40,
	RTL_RCR = 0x44,
	RTL_TCTR = 0x48,
	RTL_MPC = 0x4c,
	RTL_9346CR = 0x50,
	RTL_CONFIG0 = 0x51,
	RTL_CONFIG1 = 0x52,
	RTL_TIMERINT = 0x54,
	RTL_MSR = 0x58,
	RTL_CONFIG3 = 0x59,
	RTL_CONFIG4 = 0x5a,
	RTL_MULINT = 0x5c,
	RTL_RERID = 0x5e,
	RTL_TSAD = 0x60,
	RTL_BMCR = 0x62,
	RTL_BMSR = 0x64,
	RTL_ANAR = 0x66,
	RTL_ANLPAR = 0x68,
	RTL_ANER = 0x6a,
	RTL_DIS = 0x6c,
	RTL_FCSC = 0x6e,
	RTL_NWAYTR = 0x70,
	RTL_REC = 0x72,
	RTL_CSCR = 0x74,
	RTL_PHY1_PARM = 0x78,
	RTL_TW_PARM = 0x7c,
	RTL_PHY2_PARM = 0x80,
	RTL_CRC0 = 0x84, /* wake-up frames, to 0xd3 */
	RTL_CONFIG5 = 0xd8,
	RTL_TPPOLL = 0xd9,
	RTL_CPCR = 0xe0,
	RTL_RDSAR = 0xe4,
	RTL_ETTHR = 0xec,
	RTL_FER = 0xf0, /* function event registers, to 0xff */
};

/* CR: command. */
#define CR_RST	0x10
#define CR_RE	0x08
#define CR_TE	0x04
#define CR_BUFE 0x01

/* IMR and ISR. */
#define ISR_ROK	    0x0001
#define ISR_RER	    0x0002
#define ISR_TOK	    0x0004
#define ISR_TER	    0x0008
#define ISR_RXOVW   0x0010 /* C+: receive descriptor unavailable */
#define ISR_PUN	    0x0020 /* also: the link changed */
#define ISR_FOVW    0x0040
#define ISR_TDU	    0x0080 /* C+: transmit descriptor unavailable */
#define ISR_SWINT   0x0100 /* C+ */
#define ISR_LENCHG  0x2000
#define ISR_TIMEOUT 0x4000
#define ISR_SERR    0x8000

/* TSD: transmit status of a slot. */
#define TSD_OWN	 0x2000
#define TSD_TUN	 0x4000
#define TSD_TOK	 0x8000
#define TSD_TABT 0x40000000
#define TSD_SIZE 0x1fff

/* TCR: transmit configuration. */
#define TCR_CLRABT   0x00000001
#define TCR_CRC	     0x00010000 /* no CRC is appended */
#define TCR_LBK	     0x00060000
#define TCR_HWVERID  0x7cc00000
#define TCR_WRITABLE 0x030707f0
#define TCR_8139C    0x74000000
#define TCR_8139CP   0x74800000

/* RCR: receive configuration. */
#define RCR_AAP		0x00000001
#define RCR_APM		0x00000002
#define RCR_AM		0x00000004
#define RCR_AB		0x00000008
#define RCR_AR		0x00000010
#define RCR_AER		0x00000020
#define RCR_WRAP	0x00000080
#define RCR_RBLEN_SHIFT 11
#define RCR_WRITABLE	0x0f03ffbf

/* 9346CR. */
#define EE_EEM	      0xc0
#define EE_EEM_NORMAL 0x00
#define EE_EEM_LOAD   0x40
#define EE_EEM_93C46  0x80
#define EE_EEM_CONFIG 0xc0
#define EE_CS	      0x08
#define EE_SK	      0x04
#define EE_DI	      0x02
#define EE_DO	      0x01

/* MSR: media status. */
#define MSR_LINKB    0x04
#define MSR_SPEED_10 0x08
#define MSR_AUX	     0x10
#define MSR_WRITABLE 0xc3

/* CSCR. What the data sheet calls reserved, drivers know: link good, link changed. */
#define CSCR_RESET	  0x00c8
#define CSCR_LINK_GOOD	  0x0400
#define CSCR_LINK_CHANGED 0x0800
#define CSCR_STATUS	  0xf000

/* TPPOLL. */
#define TPPOLL_HPQ   0x80
#define TPPOLL_NPQ   0x40
#define TPPOLL_SWINT 0x01

/* CPCR: C+ command. */
#define CPCR_TX	    0x0001
#define CPCR_RX	    0x0002
#define CPCR_MULRW  0x0008
#define CPCR_DAC    0x0010
#define CPCR_RXCSUM 0x0020
#define CPCR_RXVLAN 0x0040
#define CPCR_MASK   0x007b

/* DTCCR. */
#define DTCCR_CMD   0x08
#define TALLY_BYTES 64

/* The header of a frame in the receive ring, and the same bits elsewhere. */
#define RXS_ROK 0x0001
#define RXS_BAR 0x2000
#define RXS_PAM 0x4000
#define RXS_MAR 0x8000

/* C+ descriptors: two words and an address. */
struct rtl_desc {
	uint32_t opts1, opts2;
	uint64_t addr;
};
_Static_assert(sizeof(struct rtl_desc) == 16, "layout of a descriptor");
#define RTL_RING_MAX  64 /* descriptors in a ring (9.2) */

#define DESC_OWN      0x80000000
#define DESC_EOR      0x40000000
#define DESC_FS	      0x20000000
#define DESC_LS	      0x10000000
#define TXD_LGSEN     0x08000000
#define TXD_MSS_SHIFT 16
#define TXD_MSS	      0x7ff
#define TXD_IPCS      0x00040000
#define TXD_UDPCS     0x00020000
#define TXD_TCPCS     0x00010000
#define TXD_LEN	      0xffff
#define TXD_TAGC      0x00020000 /* opts2 */
#define RXD_SIZE      0x1fff	 /* given: the buffer's; returned: the frame's with CRC */
#define RXD_MAR	      0x04000000
#define RXD_PAM	      0x02000000
#define RXD_BAR	      0x01000000
#define RXD_RWT	      0x00200000
#define RXD_RES	      0x00100000
#define RXD_PID_TCP   0x00010000
#define RXD_PID_UDP   0x00020000
#define RXD_PID_IP    0x00030000
#define RXD_IPF	      0x00008000
#define RXD_UDPF      0x00004000
#define RXD_TCPF      0x00002000
#define RXD_TAVA      0x00010000 /* opts2 */

#endif
