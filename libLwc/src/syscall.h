/* SPDX-License-Identifier: MIT */
/*
 * syscall.h - system calls without errno.
 *
 * The library's calls return -errno and may run in a signal handler, between
 * two instructions of anything else, in a context whose C library state is a
 * copy: nothing here may touch errno, take a lock or keep state.
 */
#ifndef _LWC_SYSCALL_H
#define _LWC_SYSCALL_H

#ifndef __x86_64__
#error "light-weight contexts are for x86-64"
#endif

#include <stdint.h>
#include <sys/syscall.h>

/*
 * "memory" matters more than usual: some of these calls return twice, and the
 * second time in another address space.
 */
static inline long sys_3(long nr, long a, long b, long c)
{
	long ret;

	asm volatile("syscall"
		     : "=a"(ret)
		     : "0"(nr), "D"(a), "S"(b), "d"(c)
		     : "rcx", "r11", "memory");
	return ret;
}

static inline long sys_4(long nr, long a, long b, long c, long d)
{
	register long r10 asm("r10") = d;
	long ret;

	asm volatile("syscall"
		     : "=a"(ret)
		     : "0"(nr), "D"(a), "S"(b), "d"(c), "r"(r10)
		     : "rcx", "r11", "memory");
	return ret;
}

static inline long sys_ioctl(int fd, unsigned long cmd, void *arg)
{
	return sys_3(__NR_ioctl, fd, (long)cmd, (long)arg);
}

static inline long sys_close(int fd)
{
	return sys_3(__NR_close, fd, 0, 0);
}

#endif /* _LWC_SYSCALL_H */
