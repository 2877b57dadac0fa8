// SPDX-License-Identifier: GPL-2.0
/*
 * A place: what a thread has in each context that it is in. Signal mask, alternate
 * stack, robust list, thread id address, rseq, system call user dispatch and the
 * state of interrupted calls change at a switch together with the registers.
 * What is the thread's or process's (handlers, pending signals, limits) must not.
 */
#include <linux/futex.h>
#include <linux/rseq.h>
#include <sys/rseq.h>

#include "test.h"

static bool blocked(int sig)
{
	sigset_t set;

	sigprocmask(SIG_SETMASK, NULL, &set);
	return sigismember(&set, sig);
}

static void block(int how, int sig)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, sig);
	sigprocmask(how, &set, NULL);
}

LWC_TEST(signal_mask)
{
	int ctx, i;

	block(SIG_BLOCK, SIGUSR1);
	CONTEXT(ctx) {
		if (!shm[0]++) {
			EXPECT_TRUE(blocked(SIGUSR1));
			EXPECT_FALSE(blocked(SIGUSR2));
			block(SIG_BLOCK, SIGUSR2);
			block(SIG_UNBLOCK, SIGUSR1);
		}
		in.reply = blocked(SIGUSR1) | blocked(SIGUSR2) << 1;
	}
	ASSERT_LE(0, ctx);
	for (i = 0; i < 10; i++) {
		EXPECT_EQ(2, CALL(ctx, 0));
		EXPECT_TRUE(blocked(SIGUSR1));
		EXPECT_FALSE(blocked(SIGUSR2));
	}
}

static void count_signal(int sig)
{
	(void)sig;
	shm[10]++;
	/* A private page tells the context that this runs in. */
	shm[11] = inside_context;
}

/* Signals go to the thread, wherever it is; the mask is that of the place. */
LWC_TEST(signals_find_the_thread)
{
	struct sigaction sa = { .sa_handler = count_signal };
	int ctx;

	ASSERT_EQ(0, sigaction(SIGUSR1, &sa, NULL));
	CONTEXT(ctx) {
		if (in.ev.arg == 1) {
			raise(SIGUSR1);
			EXPECT_EQ(1, shm[10]);
			EXPECT_EQ(1, shm[11]);
		} else if (in.ev.arg == 2) {
			block(SIG_BLOCK, SIGUSR1);
			raise(SIGUSR1);
			EXPECT_EQ(1, shm[10]);
		} else {
			EXPECT_EQ(2, shm[10]);
			block(SIG_UNBLOCK, SIGUSR1);
		}
	}
	ASSERT_LE(0, ctx);
	CALL(ctx, 1);
	/* Blocked there and not here: it arrives at the switch back. */
	CALL(ctx, 2);
	EXPECT_EQ(2, shm[10]);
	EXPECT_EQ(0, shm[11]);
	CALL(ctx, 3);
	EXPECT_EQ(2, shm[10]);
}

/* Blocked here, sent here, and delivered in a context which has it open. */
LWC_TEST(pending_signal_goes_along)
{
	struct sigaction sa = { .sa_handler = count_signal };
	int ctx;

	ASSERT_EQ(0, sigaction(SIGUSR1, &sa, NULL));
	CONTEXT(ctx) {
		/* The handler ran before the first instruction here. */
		in.reply = shm[10];
	}
	ASSERT_LE(0, ctx);
	EXPECT_EQ(0, CALL(ctx, 0));
	block(SIG_BLOCK, SIGUSR1);
	raise(SIGUSR1);
	EXPECT_EQ(0, shm[10]);
	EXPECT_EQ(1, CALL(ctx, 0));
	EXPECT_EQ(1, shm[11]);
}

LWC_TEST(handlers_are_the_process_s)
{
	struct sigaction sa = { .sa_handler = count_signal }, old;
	int ctx;

	CONTEXT(ctx) {
		EXPECT_EQ(0, sigaction(SIGUSR2, &sa, NULL));
	}
	ASSERT_LE(0, ctx);
	CALL(ctx, 0);
	EXPECT_EQ(0, sigaction(SIGUSR2, NULL, &old));
	EXPECT_EQ(sa.sa_handler, old.sa_handler);
}

/* A switch out of a signal handler, and the return from it afterwards. */
/* Not static: raise() is a leaf, and compilers believe it. */
int handler_ctx;
uint64_t handler_saw;

static void switch_in_handler(int sig)
{
	struct lwc_event ev;

	(void)sig;
	if (!lwc_switch(handler_ctx, 0, 21, &ev))
		handler_saw = ev.arg;
}

LWC_TEST(switch_from_a_handler)
{
	struct sigaction sa = { .sa_handler = switch_in_handler };
	int i;

	CONTEXT(handler_ctx) {
		EXPECT_FALSE(blocked(SIGUSR1));
		in.reply = in.ev.arg * 2;
	}
	ASSERT_LE(0, handler_ctx);
	ASSERT_EQ(0, sigaction(SIGUSR1, &sa, NULL));
	for (i = 0; i < 20; i++) {
		handler_saw = 0;
		raise(SIGUSR1);
		EXPECT_EQ(42, handler_saw);
		EXPECT_FALSE(blocked(SIGUSR1));
		EXPECT_EQ(6, CALL(handler_ctx, 3));
	}
}

LWC_TEST(alternate_stack)
{
	stack_t here = { .ss_sp = private_memory(16 * PAGE), .ss_size = 16 * PAGE };
	stack_t there = { .ss_sp = private_memory(32 * PAGE), .ss_size = 32 * PAGE };
	stack_t seen;
	int ctx, i;

	ASSERT_EQ(0, sigaltstack(&here, NULL));
	CONTEXT(ctx) {
		EXPECT_EQ(0, sigaltstack(NULL, &seen));
		EXPECT_EQ(shm[0] ? there.ss_sp : here.ss_sp, seen.ss_sp);
		EXPECT_EQ(shm[0] ? there.ss_size : here.ss_size, seen.ss_size);
		shm[0] = 1;
		EXPECT_EQ(0, sigaltstack(&there, NULL));
	}
	ASSERT_LE(0, ctx);
	for (i = 0; i < 5; i++) {
		CALL(ctx, 0);
		EXPECT_EQ(0, sigaltstack(NULL, &seen));
		EXPECT_EQ(here.ss_sp, seen.ss_sp);
		EXPECT_EQ(here.ss_size, seen.ss_size);
		EXPECT_EQ(0, seen.ss_flags);
	}
}

static void on_which_stack(int sig)
{
	(void)sig;
	shm[12] = (long)__builtin_frame_address(0);
}

/* Delivered on the stack of the place, not of the one left. */
LWC_TEST(alternate_stack_is_used)
{
	struct sigaction sa = { .sa_handler = on_which_stack, .sa_flags = SA_ONSTACK };
	stack_t here = { .ss_sp = private_memory(16 * PAGE), .ss_size = 16 * PAGE };
	stack_t there = { .ss_sp = private_memory(16 * PAGE), .ss_size = 16 * PAGE };
	int ctx, i;

	ASSERT_EQ(0, sigaction(SIGUSR1, &sa, NULL));
	ASSERT_EQ(0, sigaltstack(&here, NULL));
	CONTEXT(ctx) {
		sigaltstack(&there, NULL);
		raise(SIGUSR1);
		EXPECT_LE((long)there.ss_sp, shm[12]);
		EXPECT_GT((long)there.ss_sp + 16 * (long)PAGE, shm[12]);
	}
	ASSERT_LE(0, ctx);
	for (i = 0; i < 3; i++) {
		CALL(ctx, 0);
		raise(SIGUSR1);
		EXPECT_LE((long)here.ss_sp, shm[12]);
		EXPECT_GT((long)here.ss_sp + 16 * (long)PAGE, shm[12]);
	}
}

static void *robust_head(void)
{
	size_t len = 0;
	void *head = NULL;

	if (syscall(SYS_get_robust_list, 0, &head, &len))
		return (void *)-1;
	return head;
}

LWC_TEST(robust_list)
{
	struct robust_list_head *there = private_memory(PAGE);
	void *here = robust_head();
	int ctx, i;

	there->list.next = &there->list;
	CONTEXT(ctx) {
		EXPECT_EQ(shm[0] ? there : here, robust_head());
		shm[0] = 1;
		EXPECT_EQ(0, syscall(SYS_set_robust_list, there, sizeof(*there)));
	}
	ASSERT_LE(0, ctx);
	for (i = 0; i < 5; i++) {
		CALL(ctx, 0);
		EXPECT_EQ(here, robust_head());
	}
}

static void *tid_address(void)
{
	void *p = NULL;

	if (prctl(PR_GET_TID_ADDRESS, &p, 0, 0, 0))
		return (void *)-1;
	return p;
}

LWC_TEST(thread_id_address)
{
	int *there = private_memory(PAGE);
	void *here = tid_address();
	int ctx, i;

	if (here == (void *)-1)
		SKIP(return, "PR_GET_TID_ADDRESS is not in this kernel");
	CONTEXT(ctx) {
		EXPECT_EQ(shm[0] ? (void *)there : here, tid_address());
		shm[0] = 1;
		EXPECT_EQ(thread_id(), syscall(SYS_set_tid_address, there));
	}
	ASSERT_LE(0, ctx);
	for (i = 0; i < 5; i++) {
		CALL(ctx, 0);
		EXPECT_EQ(here, tid_address());
	}
}

static struct rseq *rseq_area(void)
{
	return (struct rseq *)((char *)__builtin_thread_pointer() + __rseq_offset);
}

static bool rseq_registered(struct rseq *area)
{
	/* Registering what is registered already is EBUSY, another EINVAL. */
	long r = syscall(SYS_rseq, area, 32, 0, RSEQ_SIG);

	if (!r)
		syscall(SYS_rseq, area, 32, RSEQ_FLAG_UNREGISTER, RSEQ_SIG);
	return r && errno == EBUSY;
}

LWC_TEST(rseq)
{
	struct rseq *here = rseq_area(), *there;
	int ctx, i;

	if (!__rseq_size)
		SKIP(return, "the C library registers no rseq");
	there = private_memory(PAGE);
	ASSERT_TRUE(rseq_registered(here));
	CONTEXT(ctx) {
		if (!shm[0]) {
			EXPECT_TRUE(rseq_registered(here));
			EXPECT_EQ(0, syscall(SYS_rseq, here, 32, RSEQ_FLAG_UNREGISTER, RSEQ_SIG));
			EXPECT_EQ(0, syscall(SYS_rseq, there, 32, 0, RSEQ_SIG));
			shm[0] = 1;
		}
		EXPECT_TRUE(rseq_registered(there));
	}
	ASSERT_LE(0, ctx);
	for (i = 0; i < 5; i++) {
		CALL(ctx, 0);
		EXPECT_TRUE(rseq_registered(here));
	}
}

/* The processor that the kernel writes there is the one that this runs on. */
LWC_TEST(rseq_after_moving)
{
	cpu_set_t set;
	int ctx, i;

	if (!__rseq_size)
		SKIP(return, "the C library registers no rseq");
	if (sysconf(_SC_NPROCESSORS_ONLN) < 2)
		SKIP(return, "one processor");
	CONTEXT(ctx) {
		unsigned int cpu = 99;

		syscall(SYS_getcpu, &cpu, NULL, NULL);
		EXPECT_EQ(cpu, *(volatile __u32 *)&rseq_area()->cpu_id);
		in.reply = cpu;
	}
	ASSERT_LE(0, ctx);
	for (i = 0; i < 20; i++) {
		CPU_ZERO(&set);
		CPU_SET(i & 1, &set);
		ASSERT_EQ(0, sched_setaffinity(0, sizeof(set), &set));
		EXPECT_EQ(i & 1, CALL(ctx, 0));
		EXPECT_EQ(i & 1, *(volatile __u32 *)&rseq_area()->cpu_id);
	}
}

#ifndef PR_SET_SYSCALL_USER_DISPATCH
#define PR_SET_SYSCALL_USER_DISPATCH	59
#define PR_SYS_DISPATCH_OFF		0
#define PR_SYS_DISPATCH_ON		1
#endif
#define DISPATCH_ALLOW	0
#define DISPATCH_BLOCK	1

volatile char selector;

static void dispatched(int sig, siginfo_t *info, void *context)
{
	(void)sig;
	(void)context;
	selector = DISPATCH_ALLOW;
	shm[13]++;
	shm[14] = info->si_syscall;
}

LWC_TEST(system_call_user_dispatch)
{
	struct sigaction sa = { .sa_sigaction = dispatched, .sa_flags = SA_SIGINFO };
	int ctx, i;

	ASSERT_EQ(0, sigaction(SIGSYS, &sa, NULL));
	CONTEXT(ctx) {
		if (!shm[0]++)
			ASSERT_EQ(0, prctl(PR_SET_SYSCALL_USER_DISPATCH, PR_SYS_DISPATCH_ON,
					   0, 0, (long)&selector));
		selector = DISPATCH_BLOCK;
		syscall(SYS_getppid);
		EXPECT_EQ(shm[0], shm[13]);
		EXPECT_EQ(SYS_getppid, shm[14]);
		selector = DISPATCH_ALLOW;
	}
	ASSERT_LE(0, ctx);
	for (i = 0; i < 5; i++) {
		CALL(ctx, 0);
		EXPECT_EQ(i + 1, shm[13]);
		/* Here nothing is dispatched, whatever this byte says. */
		selector = DISPATCH_BLOCK;
		EXPECT_EQ(getppid(), syscall(SYS_getppid));
		EXPECT_EQ(i + 1, shm[13]);
	}
}

static void interrupt_and_switch(int sig)
{
	struct lwc_event ev;
	double t;

	(void)sig;
	if (shm[20])
		return;
	shm[20] = 1;
	/* A sleep of ten seconds was interrupted here, and can be restarted. */
	lwc_switch(handler_ctx, 0, 0, &ev);
	t = seconds();
	shm[23] = syscall(SYS_restart_syscall) ? -errno : 0;
	shm[24] = seconds() - t > 2;
}

/*
 * A call that was interrupted in one context is nothing that another could
 * restart, nor itself once it was left.
 */
LWC_TEST(interrupted_call_never_restarts)
{
	struct itimerval soon = { .it_value = { .tv_usec = 100000 } };
	struct sigaction sa = { .sa_handler = interrupt_and_switch };
	struct timespec ten = { .tv_sec = 10 };
	double t;

	CONTEXT(handler_ctx) {
		double start = seconds();

		shm[21] = syscall(SYS_restart_syscall) ? -errno : 0;
		shm[22] = seconds() - start > 2;
	}
	ASSERT_LE(0, handler_ctx);
	ASSERT_EQ(0, sigaction(SIGALRM, &sa, NULL));
	ASSERT_EQ(0, setitimer(ITIMER_REAL, &soon, NULL));
	t = seconds();
	EXPECT_EQ(-1, syscall(SYS_nanosleep, &ten, NULL));
	EXPECT_EQ(EINTR, errno);
	EXPECT_GT(5, seconds() - t);
	EXPECT_EQ(1, shm[20]);
	EXPECT_EQ(-EINTR, shm[21]);
	EXPECT_EQ(0, shm[22]);
	EXPECT_EQ(-EINTR, shm[23]);
	EXPECT_EQ(0, shm[24]);
}

/* A signal in the very middle of many switches: the switch itself is whole or not at all. */
static void tick(int sig)
{
	(void)sig;
	shm[30]++;
}

LWC_TEST(signals_during_switches)
{
	struct itimerval often = { .it_value = { .tv_usec = 500 }, .it_interval = { .tv_usec = 500 } };
	struct sigaction sa = { .sa_handler = tick, .sa_flags = SA_RESTART };
	long i, n = scaled(20000);
	int ctx;

	CONTEXT(ctx) {
		in.reply = in.ev.arg + 1;
	}
	ASSERT_LE(0, ctx);
	ASSERT_EQ(0, sigaction(SIGALRM, &sa, NULL));
	ASSERT_EQ(0, setitimer(ITIMER_REAL, &often, NULL));
	for (i = 0; i < n; i++)
		EXPECT_EQ((uint64_t)i + 1, CALL(ctx, i));
	for (i = 0; i < 500 && !shm[30]; i++)
		msleep(10);
	memset(&often, 0, sizeof(often));
	setitimer(ITIMER_REAL, &often, NULL);
	EXPECT_LT(0, shm[30]);
}

/* What is the process's or the thread's goes along. */
LWC_TEST(identity_and_limits)
{
	struct rlimit limit = { .rlim_cur = 333, .rlim_max = 333 };
	pid_t pid = getpid(), tid = thread_id();
	struct rlimit seen;
	char name[16];
	int ctx;

	CONTEXT(ctx) {
		EXPECT_EQ(pid, getpid());
		EXPECT_EQ(tid, thread_id());
		EXPECT_EQ(0, setrlimit(RLIMIT_NICE, &(struct rlimit){ 0, 0 }));
		EXPECT_EQ(0, setrlimit(RLIMIT_MSGQUEUE, &limit));
		EXPECT_EQ(0, prctl(PR_SET_NAME, "inside"));
		in.reply = 1;
	}
	ASSERT_LE(0, ctx);
	EXPECT_EQ(1, CALL(ctx, 0));
	EXPECT_EQ(0, getrlimit(RLIMIT_MSGQUEUE, &seen));
	EXPECT_EQ(333, seen.rlim_cur);
	EXPECT_EQ(0, prctl(PR_GET_NAME, name));
	EXPECT_STREQ("inside", name);
}

TEST_HARNESS_MAIN
