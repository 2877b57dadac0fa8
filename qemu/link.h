/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the guest's init and the relay on the host say to each other: frames over
 * one virtio-serial port. One port and not one for each stream, so that order is
 * kept: when the status arrives, every byte of output has arrived before it.
 *
 * Nothing but these two programs speaks it, and both are built from one tree, so
 * it needs no version and must never grow one.
 */
#ifndef LWC_QEMU_LINK_H
#define LWC_QEMU_LINK_H

#include <stdint.h>

#define LINK_PORT	"lwc.link"
#define LINK_MAX	(16 * 1024)	/* of LINK_IN and LINK_OUT */

enum {
	LINK_RUN,	/* to the guest: what to do, see below; the first frame */
	LINK_IN,	/* to the guest: standard input of the command */
	LINK_EOF,	/* to the guest: standard input has ended */
	LINK_SIZE,	/* to the guest: the terminal is now "ROWSxCOLS" */
	LINK_READY,	/* to the host: it has booted; nothing of ours has run so far */
	LINK_OUT,	/* to the host: output of the command */
	LINK_DONE,	/* to the host: struct link_done, then what was wrong, as text */
};

struct link_head {
	uint32_t type;
	uint32_t len;	/* of what follows */
};

struct link_done {
	int32_t status;		/* of the command, as a shell counts it */
	uint32_t problems;	/* how many things were wrong besides */
};

/*
 * LINK_RUN is a list of NUL-terminated words. The first letter says what it is:
 *
 *	A	one argument of the command (in order)
 *	E	one NAME=value of its environment
 *	C	its working directory
 *	T	it gets a terminal: "ROWSxCOLS"
 *	M	the module's file, to be loaded before it
 *	P	the module's parameters
 *	L	there is a layer of guest packages (9p tag "layer")
 *	D	directory with the kernel's modules, for /lib/modules
 *	W	a directory of the host that is writable (9p tags "write0", ...)
 *	K	look for leaked memory with kmemleak
 */

#endif
