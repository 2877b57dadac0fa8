// SPDX-License-Identifier: GPL-2.0
/*
 * LWC_TRAP_FAULTS: a fault of a context's own instructions goes to its creator, or
 * back to a snapshot, and is no signal. What can be repaired from outside (a file that
 * was too short, a system call that was not let through) is, and the instruction is
 * tried again. A test must never repair anything inside the context that has faulted.
 */
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/ptrace.h>
#include <ucontext.h>

#include "test.h"

/* The kernel's <asm-generic/siginfo.h>, which the C library's does not go with. */
#ifndef SYS_SECCOMP
#define SYS_SECCOMP		1
#define SYS_USER_DISPATCH	2
#endif

#define PATTERN(n)	(0x1111111111111111ul * (n))

/*
 * Instructions whose addresses are known. The second label of a function is where
 * it faults, or what is behind that.
 */
void fault_read(const void *address);
void fault_invalid(void);
void fault_divide(void);
void fault_divide_at(void);
void fault_breakpoint(void);
void fault_breakpoint_behind(void);
long fault_call(long number);
void fault_call_at(void);
void fault_push(const void *stack);
void fault_push_at(void);
void fault_step(void);
void fault_registers(const void *address, unsigned long out[15]);
void fault_registers_at(void);

asm(".text\n"
    "fault_read:\n"
    "	movl	(%rdi), %eax\n"
    "	ret\n"
    "fault_invalid:\n"
    "	ud2\n"
    "fault_divide:\n"
    "	xorl	%ecx, %ecx\n"
    "	movl	$1, %eax\n"
    "	cltd\n"
    "fault_divide_at:\n"
    "	idivl	%ecx\n"
    "	ret\n"
    "fault_breakpoint:\n"
    "	int3\n"
    "fault_breakpoint_behind:\n"
    "	ret\n"
    "fault_call:\n"
    "	movq	%rdi, %rax\n"
    "fault_call_at:\n"
    "	syscall\n"
    "	ret\n"
    "fault_push:\n"
    "	movq	%rsp, %rdx\n"
    "	movq	%rdi, %rsp\n"
    "fault_push_at:\n"
    "	pushq	%rax\n"
    "	movq	%rdx, %rsp\n"
    "	ret\n"
    /* The trap flag is set after the first popfq, and gone after the second. */
    "fault_step:\n"
    "	pushfq\n"
    "	orq	$0x100, (%rsp)\n"
    "	popfq\n"
    "	nop\n"
    "	nop\n"
    "	pushfq\n"
    "	andq	$~0x100, (%rsp)\n"
    "	popfq\n"
    "	ret\n"
    "fault_registers:\n"
    "	pushq	%rbx\n"
    "	pushq	%rbp\n"
    "	pushq	%r12\n"
    "	pushq	%r13\n"
    "	pushq	%r14\n"
    "	pushq	%r15\n"
    "	pushq	%rsi\n"
    "	movabsq	$0x1111111111111111, %rax\n"
    "	movq	%rax, %rbx\n"
    "	movq	%rax, %rcx\n"
    "	movq	%rax, %rdx\n"
    "	movq	%rax, %rsi\n"
    "	movq	%rax, %rbp\n"
    "	movq	%rax, %r8\n"
    "	movq	%rax, %r9\n"
    "	movq	%rax, %r10\n"
    "	movq	%rax, %r11\n"
    "	movq	%rax, %r12\n"
    "	movq	%rax, %r13\n"
    "	movq	%rax, %r14\n"
    "	movq	%rax, %r15\n"
    "	addq	%rax, %rbx\n"
    "	movq	%rax, %xmm7\n"
    "	stc\n"
    "fault_registers_at:\n"
    "	movq	(%rdi), %rdi\n"
    "	pushq	%rdi\n"
    "	pushfq\n"
    "	movq	16(%rsp), %rdi\n"
    "	movq	%rax, (%rdi)\n"
    "	movq	%rbx, 8(%rdi)\n"
    "	movq	%rcx, 16(%rdi)\n"
    "	movq	%rdx, 24(%rdi)\n"
    "	movq	%rsi, 32(%rdi)\n"
    "	movq	%rbp, 40(%rdi)\n"
    "	movq	%r8, 48(%rdi)\n"
    "	movq	%r9, 56(%rdi)\n"
    "	movq	%r10, 64(%rdi)\n"
    "	movq	%r11, 72(%rdi)\n"
    "	movq	%r12, 80(%rdi)\n"
    "	movq	%xmm7, 88(%rdi)\n"
    "	movq	%r14, 96(%rdi)\n"
    "	popq	%rax\n"
    "	movq	%rax, 104(%rdi)\n"
    "	popq	%rax\n"
    "	movq	%rax, 112(%rdi)\n"
    "	popq	%rsi\n"
    "	popq	%r15\n"
    "	popq	%r14\n"
    "	popq	%r13\n"
    "	popq	%r12\n"
    "	popq	%rbp\n"
    "	popq	%rbx\n"
    "	ret\n");

/* A page behind which there is no file any more, until it is as long again. */
struct short_file {
	int fd;
	char *page;
};

static struct short_file short_file(void)
{
	struct short_file f = { .fd = memfd_create("short", MFD_CLOEXEC) };

	if (f.fd < 0 || ftruncate(f.fd, PAGE))
		abort();
	f.page = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, f.fd, 0);
	if (f.page == MAP_FAILED || ftruncate(f.fd, 0))
		abort();
	return f;
}

static void repair(const struct short_file *f, long value)
{
	if (ftruncate(f->fd, PAGE) || pwrite(f->fd, &value, sizeof(value), 0) != sizeof(value))
		abort();
}

/* From now on getppid() is SIGSYS in this context. */
static void trap_getppid(void)
{
	struct sock_filter filter[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_getppid, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_TRAP | 77),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = { .len = ARRAY_SIZE(filter), .filter = filter };

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) ||
	    syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program))
		abort();
}

/* Many die here, and one of them in a program that it has become. */
#define FAULT_AT_START	"LWC_FAULT_AT_START"

static void __attribute__((constructor)) start(void)
{
	struct rlimit none = { 0, 0 };

	setrlimit(RLIMIT_CORE, &none);
	if (getenv(FAULT_AT_START))
		fault_invalid();
}

/* One of each kind. */
static void *const nowhere = (void *)64;
static struct short_file file;

static void raise_segv(void)
{
	fault_read(nowhere);
}

static void raise_bus(void)
{
	fault_read(file.page);
}

static void raise_sys(void)
{
	trap_getppid();
	fault_call(SYS_getppid);
}

static const struct {
	const char *name;
	void (*raise)(void);
	void (*at)(void);
	uint32_t signal;
	uint32_t code;
} kinds[] = {
	{ "SEGV", raise_segv, (void (*)(void))fault_read, SIGSEGV, SEGV_MAPERR },
	{ "BUS", raise_bus, (void (*)(void))fault_read, SIGBUS, BUS_ADRERR },
	{ "ILL", fault_invalid, fault_invalid, SIGILL, ILL_ILLOPN },
	{ "FPE", fault_divide, fault_divide_at, SIGFPE, FPE_INTDIV },
	{ "TRAP", fault_breakpoint, fault_breakpoint_behind, SIGTRAP, SI_KERNEL },
	{ "SYS", raise_sys, fault_call_at, SIGSYS, SYS_SECCOMP },
};

static void prepare_kinds(void)
{
	file = short_file();
}

static uint64_t address_of_kind(unsigned int i)
{
	switch (kinds[i].signal) {
	case SIGSEGV:
		return (uintptr_t)nowhere;
	case SIGBUS:
		return (uintptr_t)file.page;
	case SIGILL:
	case SIGFPE:
		return (uintptr_t)kinds[i].at;
	case SIGSYS:
		/* What the kernel has for that: behind the call. */
		return (uintptr_t)kinds[i].at + 2;
	default:
		return 0;
	}
}

static struct lwc_event enter(int ctx, uint64_t arg)
{
	struct lwc_event ev = { 0 };
	int r = lwc_switch(ctx, 0, arg, &ev);

	/* No reason there is. */
	if (r)
		ev.reason = r;
	return ev;
}

#define EXPECT_FAULT(ctx, sig, ev)					\
do {									\
	EXPECT_EQ(LWC_EV_FAULT, (ev).reason);				\
	EXPECT_EQ(ctx, (ev).caller);					\
	EXPECT_EQ(-1, (ev).created);					\
	EXPECT_EQ(sig, (int)(ev).nr);					\
	EXPECT_EQ(0, (ev).arg);						\
	EXPECT_EQ(0, (ev).fault.reserved);				\
} while (0)

#define TRAPPING(ctx)	CONTEXT_WITH(ctx, NULL, 0, LWC_TRAP_FAULTS)

static void count_signal(int sig)
{
	shm[1] += sig;
}

static void die_of_it(int sig)
{
	_exit(sig);
}

static void on_all_faults(void (*handler)(int), int flags)
{
	struct sigaction sa = { .sa_handler = handler, .sa_flags = flags };
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(kinds); i++)
		sigaction(kinds[i].signal, &sa, NULL);
}

static void block_all_faults(void)
{
	sigset_t set;
	unsigned int i;

	sigemptyset(&set);
	for (i = 0; i < ARRAY_SIZE(kinds); i++)
		sigaddset(&set, kinds[i].signal);
	sigprocmask(SIG_BLOCK, &set, NULL);
}

LWC_TEST(each_kind)
{
	struct lwc_event ev;
	unsigned int i;
	int ctx;

	prepare_kinds();
	for (i = 0; i < ARRAY_SIZE(kinds); i++) {
		TRAPPING(ctx) {
			kinds[i].raise();
			shm[2]++;
		}
		ASSERT_LE(0, ctx);
		ev = enter(ctx, 5);
		EXPECT_FAULT(ctx, (int)kinds[i].signal, ev);
		EXPECT_EQ((uintptr_t)kinds[i].at, ev.fault.ip);
		EXPECT_EQ(kinds[i].code, ev.fault.code);
		EXPECT_EQ(address_of_kind(i), ev.fault.addr);
		EXPECT_EQ(0, lwc_close(ctx));
	}
	EXPECT_EQ(0, shm[2]);
}

/* Not one of these is asked, and none of them is changed. */
LWC_TEST(handled_blocked_or_ignored)
{
	struct sigaction sa;
	struct lwc_event ev;
	unsigned int i, way;
	sigset_t mask;
	int ctx;

	prepare_kinds();
	for (way = 0; way < 3; way++) {
		on_all_faults(way == 1 ? SIG_IGN : count_signal, 0);
		for (i = 0; i < ARRAY_SIZE(kinds); i++) {
			TRAPPING(ctx) {
				if (way == 2)
					block_all_faults();
				kinds[i].raise();
			}
			ASSERT_LE(0, ctx);
			ev = enter(ctx, 0);
			EXPECT_FAULT(ctx, (int)kinds[i].signal, ev);
			EXPECT_EQ(0, lwc_close(ctx));
			sigprocmask(SIG_BLOCK, NULL, &mask);
			EXPECT_FALSE(sigismember(&mask, kinds[i].signal));
			sigaction(kinds[i].signal, NULL, &sa);
			EXPECT_EQ(way == 1 ? SIG_IGN : count_signal, sa.sa_handler);
		}
	}
	EXPECT_EQ(0, shm[1]);
	on_all_faults(SIG_DFL, 0);
}

/* The same signals, sent by whomever, are signals. */
LWC_TEST(sent_ones_are_signals)
{
	const union sigval value = { .sival_int = 0 };
	unsigned int i;
	long sum = 0;
	int ctx;

	on_all_faults(count_signal, 0);
	TRAPPING(ctx) {
		for (i = 0; i < ARRAY_SIZE(kinds); i++) {
			kill(getpid(), kinds[i].signal);
			syscall(SYS_tgkill, getpid(), thread_id(), kinds[i].signal);
			sigqueue(getpid(), kinds[i].signal, value);
		}
		in.reply = shm[1];
	}
	ASSERT_LE(0, ctx);
	for (i = 0; i < ARRAY_SIZE(kinds); i++)
		sum += 3 * kinds[i].signal;
	EXPECT_EQ(sum, CALL(ctx, 0));
	on_all_faults(SIG_DFL, 0);
}

/* The instruction is made again, and all it had is there. */
LWC_TEST(tried_again)
{
	struct short_file f = short_file();
	unsigned long out[15] = { 0 };
	struct lwc_event ev;
	int ctx, i, round;

	TRAPPING(ctx) {
		fault_registers(f.page, out);
		for (i = 0; i < 13; i++)
			shm[10 + i] = out[i];
		/* The carry flag, and what was read. */
		shm[10 + 13] = out[13] & 1;
		shm[10 + 14] = out[14];
		in.reply = 9;
	}
	ASSERT_LE(0, ctx);
	ev = enter(ctx, 0);
	/* As often as one likes. */
	for (round = 0; round < 5; round++) {
		EXPECT_FAULT(ctx, SIGBUS, ev);
		EXPECT_EQ((uintptr_t)fault_registers_at, ev.fault.ip);
		EXPECT_EQ((uintptr_t)f.page, ev.fault.addr);
		ev = enter(ctx, 4711);
	}
	repair(&f, 4242);
	ev = enter(ctx, 4711);
	EXPECT_EQ(LWC_EV_SWITCH, ev.reason);
	EXPECT_EQ(9, ev.arg);
	for (i = 0; i < 13; i++)
		EXPECT_EQ(PATTERN(i == 1 ? 2 : 1), (unsigned long)shm[10 + i]);
	EXPECT_EQ(1, shm[10 + 13]);
	EXPECT_EQ(4242, shm[10 + 14]);
	/* And it is none any more that stands at a fault. */
	EXPECT_EQ(9, CALL(ctx, 0));
}

/* What the processor has done already is not done again. */
LWC_TEST(traps_go_on_behind)
{
	struct lwc_event ev;
	int ctx, steps;

	TRAPPING(ctx) {
		fault_breakpoint();
		shm[1]++;
		fault_step();
		in.reply = 8;
	}
	ASSERT_LE(0, ctx);
	ev = enter(ctx, 0);
	EXPECT_FAULT(ctx, SIGTRAP, ev);
	EXPECT_EQ(0, shm[1]);
	for (steps = 0; steps < 100; steps++) {
		ev = enter(ctx, 0);
		EXPECT_EQ(1, shm[1]);
		if (ev.reason != LWC_EV_FAULT)
			break;
		EXPECT_FAULT(ctx, SIGTRAP, ev);
		EXPECT_EQ(TRAP_TRACE, (int)ev.fault.code);
	}
	/* Two nops, pushfq, andq, and the popfq that ends it. */
	EXPECT_EQ(5, steps);
	EXPECT_EQ(LWC_EV_SWITCH, ev.reason);
	EXPECT_EQ(8, ev.arg);
}

/* A call that was not let through is made again, and is let through then. */
LWC_TEST(call_made_again)
{
	volatile char *selector = (volatile char *)&shm[50];
	struct lwc_event ev;
	int ctx;

	*selector = SYSCALL_DISPATCH_FILTER_ALLOW;
	TRAPPING(ctx) {
		if (prctl(PR_SET_SYSCALL_USER_DISPATCH, PR_SYS_DISPATCH_ON, 0, 0, selector))
			abort();
		*selector = SYSCALL_DISPATCH_FILTER_BLOCK;
		in.reply = fault_call(SYS_getppid);
		prctl(PR_SET_SYSCALL_USER_DISPATCH, PR_SYS_DISPATCH_OFF, 0, 0, 0);
	}
	ASSERT_LE(0, ctx);
	ev = enter(ctx, 0);
	EXPECT_FAULT(ctx, SIGSYS, ev);
	EXPECT_EQ((uintptr_t)fault_call_at, ev.fault.ip);
	EXPECT_EQ(SYS_USER_DISPATCH, (int)ev.fault.code);
	*selector = SYSCALL_DISPATCH_FILTER_ALLOW;
	ev = enter(ctx, 99);
	EXPECT_EQ(LWC_EV_SWITCH, ev.reason);
	EXPECT_EQ(getppid(), (int)ev.arg);
}

/* Whoever else may switch there may not now. */
LWC_TEST(for_the_creator_alone)
{
	struct short_file f = short_file();
	struct lwc_event ev;
	int stopped, other, theirs = -1, sock[2];

	ASSERT_EQ(0, socketpair(AF_UNIX, SOCK_STREAM, 0, sock));
	TRAPPING(stopped) {
		in.reply = *f.page;
	}
	ASSERT_LE(0, stopped);
	ASSERT_EQ(0, send_descriptor(sock[0], stopped));
	CONTEXT(other) {
		struct lwc_event got = { 0 };

		if (theirs < 0)
			theirs = take_descriptor(sock[1]);
		in.reply = -lwc_switch(theirs, 0, 0, &got);
		if (!in.reply)
			in.reply = 1000 + got.reason;
	}
	ASSERT_LE(0, other);
	ev = enter(stopped, 0);
	EXPECT_FAULT(stopped, SIGBUS, ev);
	EXPECT_ERR(lwc_switch, EPERM, -(long)CALL(other, 0));
	EXPECT_ERR(lwc_switch, EPERM, -(long)CALL(other, 0));
	ev = enter(stopped, 0);
	EXPECT_FAULT(stopped, SIGBUS, ev);
	repair(&f, 0);
	ev = enter(stopped, 0);
	EXPECT_EQ(LWC_EV_SWITCH, ev.reason);
	EXPECT_EQ(0, ev.arg);
	EXPECT_EQ(1000 + LWC_EV_SWITCH, CALL(other, 0));
}

/* A context that is made anew stands at no fault, for anyone. */
LWC_TEST(renew_clears_it)
{
	int ctx, other, i, theirs = -1, sock[2];
	struct lwc_event ev;

	ASSERT_EQ(0, socketpair(AF_UNIX, SOCK_STREAM, 0, sock));
	TRAPPING(ctx) {
		if (in.ev.arg)
			fault_read(nowhere);
		in.reply = 3;
	}
	ASSERT_LE(0, ctx);
	ASSERT_EQ(0, send_descriptor(sock[0], ctx));
	CONTEXT(other) {
		if (theirs < 0)
			theirs = take_descriptor(sock[1]);
		in.reply = CALL(theirs, 0);
	}
	ASSERT_LE(0, other);
	for (i = 0; i < 20; i++) {
		ev = enter(ctx, 1);
		EXPECT_FAULT(ctx, SIGSEGV, ev);
		ASSERT_EQ(0, lwc_renew(ctx, 0, &ev));
		if (ev.reason == LWC_EV_SWITCH) {
			/* In it, from the second return of the renew. */
			if (ev.arg)
				fault_read(nowhere);
			for (;;)
				lwc_switch(ev.caller, 0, 3, &ev);
		}
		EXPECT_EQ(LWC_EV_CREATED, ev.reason);
		EXPECT_EQ(3, CALL(i % 2 ? ctx : other, 0));
		ASSERT_EQ(0, lwc_renew(ctx, 0, &ev));
		if (ev.reason == LWC_EV_SWITCH) {
			fault_read(nowhere);
			_exit(95);
		}
	}
}

/* The signal handler's frame cannot be written. */
static void on_bad_stack(struct __test_metadata *_metadata, int sig)
{
	char *stack = private_memory(16 * PAGE);
	stack_t ss = { .ss_sp = stack, .ss_size = 16 * PAGE };
	struct sigaction sa = { .sa_handler = count_signal, .sa_flags = SA_ONSTACK };

	ASSERT_EQ(0, sigaltstack(&ss, NULL));
	ASSERT_EQ(0, sigaction(sig, &sa, NULL));
	ASSERT_EQ(0, mprotect(stack, 16 * PAGE, PROT_READ));
	kill(getpid(), sig);
}

LWC_TEST(frame_that_cannot_be_written)
{
	static const int signals[] = { SIGUSR1, SIGSEGV, SIGBUS, SIGALRM };
	struct lwc_event ev;
	unsigned int i;
	int ctx;

	for (i = 0; i < ARRAY_SIZE(signals); i++) {
		TRAPPING(ctx) {
			on_bad_stack(_metadata, signals[i]);
			in.reply = 6;
		}
		ASSERT_LE(0, ctx);
		ev = enter(ctx, 0);
		EXPECT_FAULT(ctx, SIGSEGV, ev);
		EXPECT_EQ(SI_KERNEL, (int)ev.fault.code);
		/* The signal is gone, and the program goes on where it was sent. */
		ev = enter(ctx, 0);
		EXPECT_EQ(LWC_EV_SWITCH, ev.reason);
		EXPECT_EQ(6, ev.arg);
		EXPECT_EQ(0, lwc_close(ctx));
		signal(signals[i], SIG_DFL);
	}
	EXPECT_EQ(0, shm[1]);
}

/* Frames that cannot be read back are faults as well. */
LWC_TEST(frame_that_cannot_be_read)
{
	struct lwc_event ev;
	int ctx;

	TRAPPING(ctx) {
		asm volatile("movq %0, %%rsp\n\tmovl $15, %%eax\n\tsyscall\n\tud2"
			     : : "r" (nowhere) : "rax", "rcx", "r11", "memory");
	}
	ASSERT_LE(0, ctx);
	ev = enter(ctx, 0);
	EXPECT_FAULT(ctx, SIGSEGV, ev);
}

static long recurse(volatile long n)
{
	volatile char some[256];

	some[n % 256] = 1;
	return n ? recurse(n + 1) + some[n % 256] : 0;
}

static void overflow(void)
{
	recurse(1);
}

/* A stack of 16 pages, behind 4 that may not be touched. */
static char *guarded_stack(void)
{
	char *stack = private_memory(20 * PAGE);

	if (mprotect(stack, 4 * PAGE, PROT_NONE))
		abort();
	return stack;
}

static void __attribute__((noinline)) overflow_on(char *stack)
{
	static ucontext_t deep, back;

	getcontext(&deep);
	deep.uc_stack.ss_sp = stack + 4 * PAGE;
	deep.uc_stack.ss_size = 16 * PAGE;
	deep.uc_link = &back;
	makecontext(&deep, overflow, 0);
	swapcontext(&back, &deep);
}

LWC_TEST(stack_overflow)
{
	char *stack = guarded_stack();
	stack_t ss = { .ss_sp = private_memory(16 * PAGE), .ss_size = 16 * PAGE };
	struct lwc_event ev;
	int ctx;

	/* Where a handler would have room to run it is not asked either. */
	ASSERT_EQ(0, sigaltstack(&ss, NULL));
	on_all_faults(count_signal, SA_ONSTACK);
	TRAPPING(ctx) {
		overflow_on(stack);
	}
	ASSERT_LE(0, ctx);
	ev = enter(ctx, 0);
	EXPECT_FAULT(ctx, SIGSEGV, ev);
	EXPECT_LE((uintptr_t)stack, ev.fault.addr);
	EXPECT_GT((uintptr_t)stack + 4 * PAGE, ev.fault.addr);
	EXPECT_EQ(SEGV_ACCERR, (int)ev.fault.code);
	EXPECT_EQ(0, shm[1]);
	on_all_faults(SIG_DFL, 0);
}

LWC_TEST(garbage_stack_pointer)
{
	const struct {
		void *stack;
		int signal;
	} garbage[] = {
		{ unmapped_pointer(), SIGSEGV }, { (void *)8, SIGSEGV }, { NULL, SIGSEGV },
		/* No address at all: real processors say that it is the stack segment's. */
		{ KERNEL_POINTER, SIGSEGV }, { (void *)0x1234567812345678, 0 },
	};
	struct lwc_event ev;
	unsigned int i;
	int ctx;

	/* With handlers the kernel does not write to its log. */
	on_all_faults(count_signal, 0);
	for (i = 0; i < ARRAY_SIZE(garbage); i++) {
		TRAPPING(ctx) {
			fault_push(garbage[i].stack);
		}
		ASSERT_LE(0, ctx);
		ev = enter(ctx, 0);
		EXPECT_FAULT(ctx, garbage[i].signal ?: (int)ev.nr, ev);
		EXPECT_TRUE(ev.nr == SIGSEGV || ev.nr == SIGBUS);
		EXPECT_EQ((uintptr_t)fault_push_at, ev.fault.ip);
		EXPECT_EQ(0, lwc_close(ctx));
	}
	EXPECT_EQ(0, shm[1]);
	on_all_faults(SIG_DFL, 0);
}

/* Each fault goes to the creator of the context that has it, one up. */
LWC_TEST(nested)
{
	struct lwc_event ev;
	int outer;

	TRAPPING(outer) {
		struct lwc_event got;
		int inner;

		TRAPPING(inner) {
			fault_invalid();
		}
		ASSERT_LE(0, inner);
		got = enter(inner, 0);
		EXPECT_FAULT(inner, SIGILL, got);
		shm[1]++;
		fault_read(nowhere);
	}
	ASSERT_LE(0, outer);
	ev = enter(outer, 0);
	EXPECT_FAULT(outer, SIGSEGV, ev);
	EXPECT_EQ(1, shm[1]);
}

/* The event that cannot be written is a fault of the one that was to get it. */
LWC_TEST(event_that_cannot_be_written)
{
	struct short_file f = short_file();
	struct lwc_event ev;
	int outer, status;

	repair(&f, 0);
	TRAPPING(outer) {
		struct lwc_event *got = (struct lwc_event *)f.page;
		int inner;

		TRAPPING(inner) {
			if (ftruncate(f.fd, 0))
				abort();
			fault_invalid();
		}
		lwc_switch(inner, 0, 0, got);
	}
	ASSERT_LE(0, outer);
	ev = enter(outer, 0);
	EXPECT_FAULT(outer, SIGSEGV, ev);
	EXPECT_EQ(SI_KERNEL, (int)ev.fault.code);
	EXPECT_EQ(0, lwc_close(outer));

	repair(&f, 0);
	IN_CHILD(status) {
		TRAPPING(outer) {
			if (ftruncate(f.fd, 0))
				abort();
			fault_invalid();
		}
		lwc_switch(outer, 0, 0, (struct lwc_event *)f.page);
	}
	EXPECT_TRUE(WIFSIGNALED(status));
	EXPECT_EQ(SIGSEGV, WTERMSIG(status));
}

/* What does not ask for it gets signals, also inside of what does. */
LWC_TEST(only_where_asked_for)
{
	int ctx, status;

	prepare_kinds();
	IN_CHILD(status) {
		CONTEXT(ctx) {
			fault_read(nowhere);
		}
		enter(ctx, 0);
	}
	EXPECT_TRUE(WIFSIGNALED(status));
	EXPECT_EQ(SIGSEGV, WTERMSIG(status));
	IN_CHILD(status) {
		TRAPPING(ctx) {
			CONTEXT(ctx) {
				fault_invalid();
			}
			enter(ctx, 0);
		}
		enter(ctx, 0);
	}
	EXPECT_TRUE(WIFSIGNALED(status));
	EXPECT_EQ(SIGILL, WTERMSIG(status));
	/* And the creator of one that does is not one that does. */
	IN_CHILD(status) {
		TRAPPING(ctx) {
		}
		CALL(ctx, 0);
		fault_divide();
	}
	EXPECT_TRUE(WIFSIGNALED(status));
	EXPECT_EQ(SIGFPE, WTERMSIG(status));
}

/* Its creator stands at a fault itself: the ordinary signal, with its handler. */
LWC_TEST(creator_is_stopped)
{
	int outer, inner = -1, status, sock[2];

	ASSERT_EQ(0, socketpair(AF_UNIX, SOCK_STREAM, 0, sock));
	IN_CHILD(status) {
		struct lwc_event ev;

		TRAPPING(outer) {
			TRAPPING(inner) {
				fault_divide();
			}
			ASSERT_LE(0, inner);
			ASSERT_EQ(0, send_descriptor(sock[0], inner));
			fault_read(nowhere);
		}
		ASSERT_LE(0, outer);
		on_all_faults(die_of_it, 0);
		ev = enter(outer, 0);
		EXPECT_FAULT(outer, SIGSEGV, ev);
		inner = take_descriptor(sock[1]);
		ASSERT_LE(0, inner);
		enter(inner, 0);
	}
	EXPECT_TRUE(WIFEXITED(status));
	EXPECT_EQ(SIGFPE, WEXITSTATUS(status));
}

/* Its creator is gone. */
LWC_TEST(creator_is_gone)
{
	int outer, inner = -1, status, sock[2];

	ASSERT_EQ(0, socketpair(AF_UNIX, SOCK_STREAM, 0, sock));
	IN_CHILD(status) {
		TRAPPING(outer) {
			TRAPPING(inner) {
				fault_invalid();
			}
			ASSERT_LE(0, inner);
			ASSERT_EQ(0, send_descriptor(sock[0], inner));
		}
		ASSERT_LE(0, outer);
		CALL(outer, 0);
		inner = take_descriptor(sock[1]);
		ASSERT_LE(0, inner);
		ASSERT_EQ(0, lwc_close(outer));
		enter(inner, 0);
	}
	EXPECT_TRUE(WIFSIGNALED(status));
	EXPECT_EQ(SIGILL, WTERMSIG(status));
}

/* No number is left to name the one that faults. */
LWC_TEST(full_table)
{
	int ctx, relay, status, sock[2];

	ASSERT_EQ(0, socketpair(AF_UNIX, SOCK_STREAM, 0, sock));
	IN_CHILD(status) {
		struct rlimit limit = { .rlim_cur = 64, .rlim_max = 64 };

		ASSERT_EQ(0, setrlimit(RLIMIT_NOFILE, &limit));
		TRAPPING(ctx) {
			fault_read(nowhere);
		}
		ASSERT_LE(0, ctx);
		ASSERT_EQ(0, send_descriptor(sock[0], ctx));
		CONTEXT(relay) {
			lwc_switch(take_descriptor(sock[1]), 0, 0, &in.ev);
		}
		ASSERT_LE(0, relay);
		ASSERT_EQ(0, lwc_close(ctx));
		while (dup(2) >= 0)
			;
		enter(relay, 0);
	}
	EXPECT_TRUE(WIFSIGNALED(status));
	EXPECT_EQ(SIGSEGV, WTERMSIG(status));
}

static void *faulting_thread(void *arg)
{
	fault_read(arg);
	return NULL;
}

/* A thread that has never stood in the creator cannot go there. */
LWC_TEST(thread_without_a_place)
{
	int ctx, status;

	IN_CHILD(status) {
		TRAPPING(ctx) {
			pthread_t thread;

			if (!pthread_create(&thread, NULL, faulting_thread, nowhere))
				pthread_join(thread, NULL);
		}
		enter(ctx, 0);
	}
	EXPECT_TRUE(WIFSIGNALED(status));
	EXPECT_EQ(SIGSEGV, WTERMSIG(status));
}

/* Each thread's faults are its own. Failures are counted: they are another's to tell. */
static void *fault_and_renew(void *arg)
{
	const long rounds = (long)arg;
	struct lwc_event ev;
	long i, bad = 0;
	int ctx, caller;

	if (lwc_create(NULL, 0, LWC_TRAP_FAULTS, &ev))
		return (void *)-1;
	ctx = ev.created;
	for (i = 0; i < rounds; i++) {
		if (ev.reason == LWC_EV_SWITCH) {
			caller = ev.caller;
			fault_breakpoint();
			fault_read(nowhere);
			lwc_switch(caller, 0, 0, &ev);
			_exit(94);
		}
		ev = enter(ctx, i);
		bad += ev.reason != LWC_EV_FAULT || ev.nr != SIGTRAP || ev.caller != ctx;
		ev = enter(ctx, i);
		bad += ev.reason != LWC_EV_FAULT || ev.nr != SIGSEGV || ev.caller != ctx;
		bad += !!lwc_renew(ctx, 0, &ev);
	}
	if (ev.reason == LWC_EV_SWITCH)
		_exit(93);
	bad += !!lwc_close(ctx);
	return (void *)bad;
}

LWC_TEST(several_threads)
{
	const long rounds = scaled(2000);
	pthread_t thread[4];
	unsigned int i;
	void *bad;

	for (i = 0; i < ARRAY_SIZE(thread); i++)
		ASSERT_EQ(0, pthread_create(&thread[i], NULL, fault_and_renew, (void *)rounds));
	for (i = 0; i < ARRAY_SIZE(thread); i++) {
		ASSERT_EQ(0, pthread_join(thread[i], &bad));
		EXPECT_EQ(NULL, bad);
	}
}

/* Who shares the memory, and is another process. */
static int __attribute__((noinline)) fault_in_vfork(void)
{
	int status = -1;
	pid_t pid = vfork();

	if (!pid) {
		fault_invalid();
		_exit(1);
	}
	return waitpid(pid, &status, 0) == pid ? status : -1;
}

/* A child has no creator to be told, nor has another program. */
LWC_TEST(children_get_signals)
{
	int ctx;

	TRAPPING(ctx) {
		int status;

		IN_CHILD(status) {
			fault_read(nowhere);
		}
		EXPECT_TRUE(WIFSIGNALED(status));
		EXPECT_EQ(SIGSEGV, WTERMSIG(status));
		status = fault_in_vfork();
		EXPECT_TRUE(WIFSIGNALED(status));
		EXPECT_EQ(SIGILL, WTERMSIG(status));
		IN_CHILD(status) {
			setenv(FAULT_AT_START, "1", 1);
			execl("/proc/self/exe", "faults", NULL);
		}
		EXPECT_TRUE(WIFSIGNALED(status));
		EXPECT_EQ(SIGILL, WTERMSIG(status));
		in.reply = 1;
	}
	ASSERT_LE(0, ctx);
	EXPECT_EQ(1, CALL(ctx, 0));
}

/* It goes away with the process, wherever that is. */
LWC_TEST(killed_meanwhile)
{
	int i, ctx, status;
	pid_t pid;

	for (i = 0; i < 20; i++) {
		shm[1] = 0;
		pid = fork();
		ASSERT_LE(0, pid);
		if (!pid) {
			TRAPPING(ctx) {
				fault_read(nowhere);
			}
			while (enter(ctx, 0).reason == LWC_EV_FAULT)
				shm[1]++;
			_exit(1);
		}
		while (shm[1] < 1 + i * 7)
			sched_yield();
		kill(pid, SIGKILL);
		ASSERT_EQ(pid, waitpid(pid, &status, 0));
		EXPECT_TRUE(WIFSIGNALED(status));
		EXPECT_EQ(SIGKILL, WTERMSIG(status));
	}
}

/* Nothing is used up. */
LWC_TEST(many_times)
{
	const long n = scaled(100000);
	int before, ctx;
	long i, contexts = counter("contexts"), faults = counter("faults");

	TRAPPING(ctx) {
		for (;;)
			fault_breakpoint();
	}
	ASSERT_LE(0, ctx);
	before = open_descriptors();
	for (i = 0; i < n; i++) {
		struct lwc_event ev = enter(ctx, i);

		ASSERT_EQ(LWC_EV_FAULT, ev.reason);
		ASSERT_EQ(ctx, ev.caller);
	}
	EXPECT_EQ(before, open_descriptors());
	EXPECT_EQ(contexts + 1, counter("contexts"));
	EXPECT_EQ(faults + n, counter("faults"));
}

/* A debugger is not asked, but for what breakpoints are made of. */
LWC_TEST(under_a_debugger)
{
	long stops = 0, traps = 0;
	int ctx, status, go[2];
	unsigned int i;
	pid_t pid;
	char c = 0;

	prepare_kinds();
	ASSERT_EQ(0, pipe(go));
	pid = fork();
	ASSERT_LE(0, pid);
	if (!pid) {
		if (read(go[0], &c, 1) != 1)
			_exit(92);
		for (i = 0; i < ARRAY_SIZE(kinds); i++) {
			struct lwc_event ev;

			TRAPPING(ctx) {
				block_all_faults();
				if (kinds[i].signal == SIGTRAP)
					shm[1]++;
				kinds[i].raise();
				in.reply = kinds[i].signal;
			}
			ev = enter(ctx, 0);
			shm[2] += ev.reason == LWC_EV_FAULT && ev.nr == kinds[i].signal;
			shm[3] += ev.reason == LWC_EV_SWITCH && ev.arg == kinds[i].signal;
		}
		_exit(0);
	}
	ASSERT_EQ(0, ptrace(PTRACE_SEIZE, pid, 0, PTRACE_O_EXITKILL));
	ASSERT_EQ(1, write(go[1], &c, 1));
	while (waitpid(pid, &status, 0) == pid && WIFSTOPPED(status)) {
		stops++;
		traps += WSTOPSIG(status) == SIGTRAP;
		/* As debuggers do, the breakpoint's signal goes no further. */
		ASSERT_EQ(0, ptrace(PTRACE_CONT, pid, 0, 0));
	}
	EXPECT_TRUE(WIFEXITED(status));
	EXPECT_EQ(0, WEXITSTATUS(status));
	EXPECT_EQ(1, stops);
	EXPECT_EQ(1, traps);
	EXPECT_EQ((long)ARRAY_SIZE(kinds) - 1, shm[2]);
	EXPECT_EQ(1, shm[3]);
}

/* ---- snapshots ---- */

/* How the last of these came back. */
static struct lwc_event last;

/* The device is open before, so that descriptors may be counted. */
static int first_descriptors(void)
{
	features();
	return open_descriptors();
}

static int snapshot(int snap, unsigned int flags)
{
	return lwc_snapshot(snap, flags, &last);
}

LWC_TEST(snapshot_each_kind)
{
	volatile int here = 1;
	sigset_t mask;
	unsigned int i;
	int status;

	/* A filter is for good in the root context. */
	IN_CHILD(status) {
		prepare_kinds();
		trap_getppid();
		ASSERT_EQ(0, snapshot(-1, LWC_TRAP_FAULTS));
		i = shm[1];
		if (i) {
			EXPECT_EQ(LWC_EV_FAULT, last.reason);
			EXPECT_EQ(-1, last.caller);
			EXPECT_EQ(shm[2], last.created);
			EXPECT_EQ(kinds[i - 1].signal, last.nr);
			EXPECT_EQ(kinds[i - 1].code, last.fault.code);
			EXPECT_EQ((uintptr_t)kinds[i - 1].at, last.fault.ip);
			EXPECT_EQ(address_of_kind(i - 1), last.fault.addr);
		} else {
			EXPECT_EQ(LWC_EV_CREATED, last.reason);
			shm[2] = last.created;
		}
		EXPECT_EQ(1, here);
		sigprocmask(SIG_BLOCK, NULL, &mask);
		EXPECT_FALSE(sigismember(&mask, SIGSEGV));
		here = 2;
		block_all_faults();
		on_all_faults(count_signal, 0);
		shm[1]++;
		if (i < ARRAY_SIZE(kinds)) {
			if (kinds[i].signal == SIGSYS)
				fault_call(SYS_getppid);
			else
				kinds[i].raise();
			_exit(91);
		}
		EXPECT_EQ(0, lwc_close(last.created));
	}
	EXPECT_EQ(0, status);
	EXPECT_EQ((long)ARRAY_SIZE(kinds) + 1, shm[1]);
}

/* The innermost one that wants faults, whatever is armed inside of it. */
LWC_TEST(snapshot_innermost)
{
	int plain, fds = first_descriptors();

	ASSERT_EQ(0, snapshot(-1, LWC_TRAP_FAULTS));
	if (last.reason == LWC_EV_CREATED) {
		shm[1] = last.created;
		ASSERT_EQ(0, snapshot(-1, LWC_TRAP_FAULTS));
		if (last.reason == LWC_EV_CREATED) {
			shm[2] = last.created;
			ASSERT_EQ(0, snapshot(-1, 0));
			EXPECT_EQ(LWC_EV_CREATED, last.reason);
			plain = last.created;
			EXPECT_TRUE(is_open(plain));
			fault_read(nowhere);
			_exit(91);
		}
		EXPECT_EQ(LWC_EV_FAULT, last.reason);
		EXPECT_EQ(shm[2], last.created);
		EXPECT_EQ(fds + 2, open_descriptors());
		/* Without it, it is the next one's. */
		EXPECT_EQ(0, lwc_close(last.created));
		fault_read(nowhere);
		_exit(91);
	}
	EXPECT_EQ(LWC_EV_FAULT, last.reason);
	EXPECT_EQ(shm[1], last.created);
	EXPECT_EQ(fds + 1, open_descriptors());
	EXPECT_EQ(0, lwc_close(last.created));
}

/* Arming it again says anew whether it wants faults. */
LWC_TEST(snapshot_armed_again)
{
	int status, snap;

	IN_CHILD(status) {
		ASSERT_EQ(0, snapshot(-1, LWC_TRAP_FAULTS));
		ASSERT_EQ(LWC_EV_CREATED, last.reason);
		ASSERT_EQ(0, snapshot(last.created, 0));
		ASSERT_EQ(LWC_EV_CREATED, last.reason);
		fault_read(nowhere);
	}
	EXPECT_TRUE(WIFSIGNALED(status));
	EXPECT_EQ(SIGSEGV, WTERMSIG(status));
	IN_CHILD(status) {
		ASSERT_EQ(0, snapshot(-1, 0));
		ASSERT_EQ(LWC_EV_CREATED, last.reason);
		snap = last.created;
		ASSERT_EQ(0, snapshot(snap, LWC_TRAP_FAULTS));
		if (last.reason == LWC_EV_CREATED)
			fault_read(nowhere);
		EXPECT_EQ(LWC_EV_FAULT, last.reason);
		EXPECT_EQ(snap, last.created);
	}
	EXPECT_EQ(0, status);
}

/* In a context that traps too, what is armed inside of it comes first. */
LWC_TEST(snapshot_in_a_context)
{
	struct lwc_event ev;
	int ctx;

	TRAPPING(ctx) {
		ASSERT_EQ(0, snapshot(-1, LWC_TRAP_FAULTS));
		if (last.reason == LWC_EV_CREATED)
			fault_read(nowhere);
		EXPECT_EQ(LWC_EV_FAULT, last.reason);
		EXPECT_EQ(0, lwc_close(last.created));
		shm[1]++;
		fault_invalid();
	}
	ASSERT_LE(0, ctx);
	ev = enter(ctx, 0);
	EXPECT_FAULT(ctx, SIGILL, ev);
	EXPECT_EQ(1, shm[1]);
}

LWC_TEST(snapshot_frame_and_overflow)
{
	char *stack = guarded_stack();

	ASSERT_EQ(0, snapshot(-1, LWC_TRAP_FAULTS));
	switch (shm[1]++) {
	case 0:
		on_bad_stack(_metadata, SIGUSR1);
		_exit(91);
	case 1:
		EXPECT_EQ(LWC_EV_FAULT, last.reason);
		EXPECT_EQ(SIGSEGV, (int)last.nr);
		on_bad_stack(_metadata, SIGSEGV);
		_exit(91);
	case 2:
		EXPECT_EQ(LWC_EV_FAULT, last.reason);
		EXPECT_EQ(SIGSEGV, (int)last.nr);
		overflow_on(stack);
		_exit(91);
	}
	EXPECT_EQ(LWC_EV_FAULT, last.reason);
	EXPECT_EQ(SIGSEGV, (int)last.nr);
	EXPECT_EQ(SEGV_ACCERR, (int)last.fault.code);
	EXPECT_EQ(0, lwc_close(last.created));
}

/* With nowhere to tell it, there is an end of it. */
LWC_TEST(snapshot_event_lost)
{
	struct short_file f = short_file();
	int status;

	repair(&f, 0);
	IN_CHILD(status) {
		ASSERT_EQ(0, lwc_snapshot(-1, LWC_TRAP_FAULTS, (struct lwc_event *)f.page));
		if (ftruncate(f.fd, 0))
			abort();
		fault_invalid();
	}
	EXPECT_TRUE(WIFSIGNALED(status));
	EXPECT_EQ(SIGSEGV, WTERMSIG(status));
}

/* Another thread in the context: it cannot be rolled back, and the signal is the signal. */
static void *asleep(void *arg)
{
	for (;;)
		pause();
	return arg;
}

LWC_TEST(snapshot_with_company)
{
	pthread_t thread;
	int status;

	IN_CHILD(status) {
		ASSERT_EQ(0, snapshot(-1, LWC_TRAP_FAULTS));
		ASSERT_EQ(LWC_EV_CREATED, last.reason);
		ASSERT_EQ(0, pthread_create(&thread, NULL, asleep, NULL));
		fault_divide();
	}
	EXPECT_TRUE(WIFSIGNALED(status));
	EXPECT_EQ(SIGFPE, WTERMSIG(status));
}

LWC_TEST(snapshot_many_times)
{
	const long n = scaled(100000);
	long contexts = counter("contexts");
	int fds = first_descriptors();

	ASSERT_EQ(0, snapshot(-1, LWC_TRAP_FAULTS));
	if (shm[1]++ < n)
		fault_read(nowhere);
	EXPECT_EQ(LWC_EV_FAULT, last.reason);
	EXPECT_EQ(fds + 1, open_descriptors());
	EXPECT_EQ(contexts + 1, counter("contexts"));
	EXPECT_EQ(0, lwc_close(last.created));
}

TEST_HARNESS_MAIN
