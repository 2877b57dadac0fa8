// SPDX-License-Identifier: GPL-2.0
/*
 * poker.c - another process, which writes into the subject's memory in the ways that
 * the kernel has for that, and turns the machine's knobs. One thing at a time, when
 * the subject asks, which waits until it is done.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <stdio.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "model.h"

static long by_vm_writev(void)
{
	struct iovec from = { .iov_base = (void *)&C->poke.value, .iov_len = 8 };
	struct iovec to = { .iov_base = (void *)C->poke.address, .iov_len = 8 };
	long n = process_vm_writev(C->subject, &from, 1, &to, 1, 0);

	return n < 0 ? -errno : n;
}

static long by_proc_mem(void)
{
	char path[64];
	long n;
	int fd;

	/* Opened each time: it is the memory of that moment. */
	snprintf(path, sizeof(path), "/proc/%d/mem", C->subject);
	fd = open(path, O_RDWR | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	n = pwrite(fd, (void *)&C->poke.value, 8, C->poke.address);
	n = n < 0 ? -errno : n;
	close(fd);
	return n;
}

static long by_ptrace(void)
{
	pid_t pid = C->subject;
	long result;
	int status;

	if (ptrace(PTRACE_SEIZE, pid, NULL, NULL))
		return -errno;
	ptrace(PTRACE_INTERRUPT, pid, NULL, NULL);
	if (waitpid(pid, &status, __WALL) != pid)
		return -errno;
	result = ptrace(PTRACE_POKEDATA, pid, C->poke.address, C->poke.value) ? -errno : 0;
	ptrace(PTRACE_DETACH, pid, NULL, NULL);
	return result;
}

static long poke(void)
{
	switch (C->poke.what) {
	case OP_process_vm_writev:
		return by_vm_writev();
	case OP_proc_mem_write:
		return by_proc_mem();
	case OP_ptrace_poke:
		return by_ptrace();
	default:
		machine_toggle(C->poke.what, C->poke.value);
		return 0;
	}
}

void poker_run(void)
{
	for (;;) {
		while (!__atomic_load_n(&C->poke.request, __ATOMIC_SEQ_CST))
			syscall(SYS_futex, &C->poke.request, FUTEX_WAIT, 0, NULL, NULL, 0);
		C->poke.result = poke();
		__atomic_store_n(&C->poke.request, 0, __ATOMIC_SEQ_CST);
		syscall(SYS_futex, &C->poke.request, FUTEX_WAKE, 1, NULL, NULL, 0);
	}
}
