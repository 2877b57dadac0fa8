/* SPDX-License-Identifier: MIT */
/*
 * mask.h - which signals code inside of a request or a pooled context may meet.
 *
 * The kernel's own mask, of all 64 signals: also the two that the C library hides.
 */
#ifndef _LWC_MASK_H
#define _LWC_MASK_H

#include <signal.h>
#include <stdint.h>

#include "syscall.h"

typedef uint64_t mask_t;

#define MASK(sig)	((mask_t)1 << ((sig) - 1))
#define ALL_SIGNALS	(~(mask_t)0)
#define SYNCHRONOUS	(MASK(SIGSEGV) | MASK(SIGBUS) | MASK(SIGILL) | MASK(SIGFPE) | \
			 MASK(SIGTRAP) | MASK(SIGSYS))

static inline mask_t set_mask(mask_t mask)
{
	mask_t old = 0;

	sys_4(__NR_rt_sigprocmask, SIG_SETMASK, (long)&mask, (long)&old, sizeof(mask));
	return old;
}

/* All but the synchronous ones that were not blocked before. */
static inline mask_t mask_inside(mask_t before)
{
	return ALL_SIGNALS & ~(SYNCHRONOUS & ~before);
}

#endif /* _LWC_MASK_H */
