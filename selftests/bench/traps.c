// SPDX-License-Identifier: GPL-2.0
/*
 * A system call of one process that another one answers: what there is for that
 * without contexts. The figure is of one call, there and back.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stddef.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench.h"

static void traced(void)
{
	if (ptrace(PTRACE_TRACEME, 0, NULL, NULL))
		die("ptrace", errno);
	raise(SIGSTOP);
	for (;;)
		syscall(SYS_getppid);
}

static void wait_for_stop(void)
{
	int status;

	if (waitpid(partner, &status, 0) != partner || !WIFSTOPPED(status))
		die("a stop of the traced process", errno ? errno : ECHILD);
}

static void trace(const struct shape *shape)
{
	(void)shape;
	start_partner(traced);
	wait_for_stop();
}

static void trace_rounds(long n)
{
	struct user_regs_struct regs;

	while (n--) {
		if (ptrace(PTRACE_SYSEMU, partner, NULL, NULL))
			die("PTRACE_SYSEMU", errno);
		wait_for_stop();
		if (ptrace(PTRACE_GETREGS, partner, NULL, &regs))
			die("PTRACE_GETREGS", errno);
		if (regs.orig_rax != SYS_getppid)
			die("another call was trapped", EPROTO);
		regs.rax = 1;
		if (ptrace(PTRACE_SETREGS, partner, NULL, &regs))
			die("PTRACE_SETREGS", errno);
	}
}

static void notifying(void)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_getppid, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_USER_NOTIF),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog filter = { sizeof(code) / sizeof(code[0]), code };
	int fd;

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
		die("no_new_privs", errno);
	fd = syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER, &filter);
	if (fd < 0)
		die("seccomp", errno);
	__atomic_store_n(&shared->fd, fd, __ATOMIC_RELEASE);
	for (;;)
		if (syscall(SYS_getppid) != 1)
			_exit(1);
}

static int listener;

static void listen_to(const struct shape *shape)
{
	int pidfd;

	(void)shape;
	shared->fd = -1;
	start_partner(notifying);
	while (__atomic_load_n(&shared->fd, __ATOMIC_ACQUIRE) < 0)
		usleep(1000);
	pidfd = syscall(SYS_pidfd_open, partner, 0);
	listener = syscall(SYS_pidfd_getfd, pidfd, shared->fd, 0);
	if (pidfd < 0 || listener < 0)
		die("pidfd_getfd", errno);
	close(pidfd);
}

static void notify_rounds(long n)
{
	while (n--) {
		struct seccomp_notif call = { 0 };
		struct seccomp_notif_resp answer = { 0 };

		if (ioctl(listener, SECCOMP_IOCTL_NOTIF_RECV, &call))
			die("SECCOMP_IOCTL_NOTIF_RECV", errno);
		answer.id = call.id;
		answer.val = 1;
		if (ioctl(listener, SECCOMP_IOCTL_NOTIF_SEND, &answer))
			die("SECCOMP_IOCTL_NOTIF_SEND", errno);
	}
}

static const struct work traps[] = {
	{ "ptrace", "ptrace, PTRACE_SYSEMU", 1, false, trace, NULL, trace_rounds, end_partner },
	{ "user_notif", "seccomp, SECCOMP_RET_USER_NOTIF", 1, false, listen_to, NULL, notify_rounds,
	  end_partner },
};

void measure_traps(void)
{
	unsigned int i;

	print_head("a system call that somebody else answers");
	for (i = 0; i < sizeof(traps) / sizeof(traps[0]); i++)
		print_figure(measure(&traps[i], NULL, quick ? 50 : 200));
}
