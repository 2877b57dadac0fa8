/* SPDX-License-Identifier: GPL-2.0 */
/*
 * memory.h - what tests of memory specs share: lines for a range, pages that can be told
 * apart, and what a touch brings.
 *
 * It must never write to a page that it was not given.
 */
#ifndef LWC_SELFTEST_MEMORY_H
#define LWC_SELFTEST_MEMORY_H

#include <setjmp.h>

#include "test.h"

#define MEMORY(m, p, n)							\
	{ .type = LWC_MEMORY, .mode = LWC_##m, .from = (uintptr_t)(p),	\
	  .to = (uintptr_t)(p) + (n) }

#ifndef MADV_PAGEOUT
#define MADV_PAGEOUT		21
#endif

static inline void fill(volatile char *p, size_t size, int first)
{
	size_t i;

	for (i = 0; i < size; i += PAGE)
		p[i] = (char)(first + i / PAGE);
}

static inline long count_wrong(volatile char *p, size_t size, int first)
{
	long wrong = 0;
	size_t i;

	for (i = 0; i < size; i += PAGE)
		wrong += p[i] != (char)(first + i / PAGE);
	return wrong;
}

static sigjmp_buf after_fault;

static inline void on_fault(int signal)
{
	siglongjmp(after_fault, signal);
}

/* Which signal a touch brings; 0: none. */
static inline int touch(volatile char *p, bool write)
{
	struct sigaction action = { .sa_handler = on_fault };
	int signal;

	sigaction(SIGSEGV, &action, NULL);
	sigaction(SIGBUS, &action, NULL);
	signal = sigsetjmp(after_fault, 1);
	if (signal)
		return signal;
	if (write)
		*p = 1;
	else
		(void)*p;
	return 0;
}

#endif /* LWC_SELFTEST_MEMORY_H */
