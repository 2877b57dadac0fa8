// SPDX-License-Identifier: GPL-2.0
/*
 * The smallest things there are, which everything else is compared with.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

#include <lwc.h>

#include "bench.h"

static void getppid_rounds(long n)
{
	while (n--)
		syscall(SYS_getppid);
}

static int device;

static void open_device(const struct shape *shape)
{
	(void)shape;
	device = open("/dev/lwc", O_RDWR | O_CLOEXEC);
	if (device < 0)
		die("/dev/lwc", errno);
}

/* As far as the driver, which does not know this one. */
static void ioctl_rounds(long n)
{
	while (n--)
		ioctl(device, _IO(LWC_IOC_MAGIC, 0x7f), 0);
}

static void copy_rounds(long n)
{
	static char a[4096] __attribute__((aligned(4096))), b[4096] __attribute__((aligned(4096)));

	while (n--) {
		memcpy(a, b, PAGE);
		asm volatile("" : : "r" (a) : "memory");
	}
}

static ucontext_t here, there;

static void ucontext_rounds(long n)
{
	while (n--)
		swapcontext(&here, &there);
}

static void ucontext_body(void)
{
	for (;;)
		swapcontext(&there, &here);
}

static void make_ucontext(const struct shape *shape)
{
	(void)shape;
	getcontext(&there);
	there.uc_stack.ss_sp = memory(64 * 1024, MAP_PRIVATE);
	there.uc_stack.ss_size = 64 * 1024;
	makecontext(&there, ucontext_body, 0);
}

static const struct work calls[] = {
	{ "getppid", "getppid()", 1, .rounds = getppid_rounds },
	{ "null_ioctl", "an ioctl that does nothing", 1, .before = open_device, .rounds = ioctl_rounds },
	{ "copy_page", "memcpy() of a page", 1, .rounds = copy_rounds },
	{ "swapcontext", "swapcontext(), one way", 2, .before = make_ucontext,
	  .rounds = ucontext_rounds },
};

void measure_calls(void)
{
	unsigned int i;

	print_head("the smallest things");
	for (i = 0; i < sizeof(calls) / sizeof(calls[0]); i++)
		print_figure(measure(&calls[i], NULL, 1000));
}
