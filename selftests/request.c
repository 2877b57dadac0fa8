// SPDX-License-Identifier: GPL-2.0
/*
 * lwc_request_run(): what is forgotten, what is handed over, and that nothing of a
 * deadline stays behind. A test must never depend on how fast the machine is: short
 * deadlines are for requests that would never end.
 */
#include "test.h"

#define QUICK	20
#define AMPLE	60000
#define UNTOUCHED	(-99)

static struct lwc_request request(uint32_t timeout_ms)
{
	return (struct lwc_request){ .size = sizeof(struct lwc_request), .timeout_ms = timeout_ms };
}

/* With the library's own descriptor, which the first call opens. */
static int descriptors(void)
{
	struct lwc_features features;

	lwc_features(&features);
	return open_descriptors();
}

static int handled_signals(void)
{
	struct sigaction sa;
	int sig, n = 0;

	for (sig = SIGRTMIN; sig <= SIGRTMAX; sig++) {
		sigaction(sig, NULL, &sa);
		n += sa.sa_handler != SIG_DFL;
	}
	return n;
}

static bool any_pending(void)
{
	sigset_t pending, none;

	sigemptyset(&none);
	sigpending(&pending);
	return memcmp(&pending, &none, 8);
}

/* The kernel's 64 bits; the C library hides two signals of its own. */
static uint64_t signal_mask(void)
{
	uint64_t mask = 0;

	syscall(SYS_rt_sigprocmask, SIG_BLOCK, NULL, &mask, sizeof(mask));
	return mask;
}

static int number = 5;
static char *heap;

static long change_all(void *arg)
{
	number += (long)arg;
	heap = malloc(100000);
	errno = EIO;
	if (open("/dev/null", O_RDONLY) < 0 || chdir("/proc"))
		return -1;
	umask(0);
	return number;
}

static long endless(void *arg)
{
	(void)arg;
	for (;;)
		shm[1]++;
	return 0;
}

static long asleep(void *arg)
{
	(void)arg;
	for (;;)
		pause();
	return 0;
}

static long minus_three(void *arg)
{
	(void)arg;
	return -3;
}

LWC_TEST(forgets_all_but_the_result)
{
	struct lwc_request rq = request(0);
	int before = descriptors(), mask = umask(022), i;
	long result = UNTOUCHED;
	char where[2][4096];

	umask(mask);
	ASSERT_TRUE(getcwd(where[0], 4096));
	for (i = 0; i < 20; i++) {
		rq.timeout_ms = i % 2 ? AMPLE : 0;
		errno = ENOMSG;
		ASSERT_EQ(0, lwc_request_run(&rq, change_all, (void *)7, &result));
		EXPECT_EQ(ENOMSG, errno);
		EXPECT_EQ(12, result);
		EXPECT_EQ(5, number);
		EXPECT_EQ(NULL, heap);
		EXPECT_EQ(before, open_descriptors());
		ASSERT_TRUE(getcwd(where[1], 4096));
		EXPECT_EQ(0, strcmp(where[0], where[1]));
		EXPECT_EQ(mask, umask(mask));
	}
	EXPECT_EQ(0, lwc_request_run(&rq, minus_three, NULL, &result));
	EXPECT_EQ(-3, result);
	EXPECT_EQ(0, lwc_request_run(&rq, minus_three, NULL, NULL));
}

LWC_TEST(size_and_reserved)
{
	struct {
		struct lwc_request rq;
		uint64_t tail[4];
	} large = { .rq = { .size = sizeof(large) } };
	struct lwc_request rq = request(0);
	long result = UNTOUCHED;

	EXPECT_EQ(0, lwc_request_run(&large.rq, minus_three, NULL, NULL));
	large.tail[3] = 1;
	EXPECT_ERR(lwc_request_run, E2BIG, lwc_request_run(&large.rq, minus_three, NULL, &result));
	rq.size--;
	EXPECT_ERR(lwc_request_run, EINVAL, lwc_request_run(&rq, minus_three, NULL, &result));
	rq = request(0);
	rq.reserved[1] = 1;
	EXPECT_ERR(lwc_request_run, EINVAL, lwc_request_run(&rq, minus_three, NULL, &result));
	EXPECT_ERR(lwc_request_run, EFAULT, lwc_request_run(NULL, minus_three, NULL, &result));
	rq = request(0);
	EXPECT_ERR(lwc_request_run, EFAULT, lwc_request_run(&rq, NULL, NULL, &result));
	EXPECT_EQ(UNTOUCHED, result);
}

LWC_TEST(deadline)
{
	struct lwc_request rq = request(QUICK);
	uint64_t mask = signal_mask();
	int before = descriptors(), i;
	long result = UNTOUCHED;

	for (i = 0; i < 10; i++) {
		EXPECT_ERR(lwc_request_run, ETIME,
			   lwc_request_run(&rq, i % 2 ? endless : asleep, NULL, &result));
		EXPECT_EQ(UNTOUCHED, result);
		EXPECT_EQ(before, open_descriptors());
		EXPECT_EQ(mask, signal_mask());
		EXPECT_EQ(0, handled_signals());
		EXPECT_FALSE(any_pending());
	}
	EXPECT_NE(0, shm[1]);
	/* Nothing fires later. */
	msleep(3 * QUICK);
}

static long blocks_and_is_late(void *arg)
{
	sigset_t all;

	(void)arg;
	sigfillset(&all);
	sigprocmask(SIG_BLOCK, &all, NULL);
	msleep(3 * QUICK);
	return 1;
}

LWC_TEST(late_result)
{
	struct lwc_request rq = request(QUICK);
	long result = UNTOUCHED;

	EXPECT_ERR(lwc_request_run, ETIME, lwc_request_run(&rq, blocks_and_is_late, NULL, &result));
	EXPECT_EQ(UNTOUCHED, result);
	EXPECT_FALSE(any_pending());
}

static long tells_mask(void *arg)
{
	(void)arg;
	return (long)signal_mask();
}

static void ignore(int sig)
{
	(void)sig;
}

#define BIT(sig)	(1UL << ((sig) - 1))
#define NEVER_BLOCKED	(BIT(SIGKILL) | BIT(SIGSTOP))
#define SYNCHRONOUS	(BIT(SIGSEGV) | BIT(SIGBUS) | BIT(SIGILL) | BIT(SIGFPE) | \
			 BIT(SIGTRAP) | BIT(SIGSYS))

LWC_TEST(mask_inside)
{
	struct lwc_request rq = request(0);
	long open, deadline;
	struct sigaction sa;

	EXPECT_EQ(0, lwc_request_run(&rq, tells_mask, NULL, &open));
	EXPECT_EQ(SYNCHRONOUS, ~open & ~NEVER_BLOCKED);
	rq.timeout_ms = AMPLE;
	EXPECT_EQ(0, lwc_request_run(&rq, tells_mask, NULL, &deadline));
	EXPECT_EQ(SYNCHRONOUS | BIT(SIGRTMAX), ~deadline & ~NEVER_BLOCKED);

	/* A signal that the program uses is left to it. */
	signal(SIGRTMAX, ignore);
	EXPECT_EQ(0, lwc_request_run(&rq, tells_mask, NULL, &deadline));
	EXPECT_EQ(SYNCHRONOUS | BIT(SIGRTMAX - 1), ~deadline & ~NEVER_BLOCKED);
	sigaction(SIGRTMAX, NULL, &sa);
	EXPECT_TRUE(sa.sa_handler == ignore);
}

LWC_TEST(no_signal_left)
{
	struct lwc_request rq = request(QUICK);
	int sig;

	for (sig = SIGRTMIN; sig <= SIGRTMAX; sig++)
		signal(sig, ignore);
	EXPECT_ERR(lwc_request_run, EAGAIN, lwc_request_run(&rq, minus_three, NULL, NULL));
	/* Blocked ones are the last choice, but one. */
	for (sig = SIGRTMIN; sig <= SIGRTMAX; sig++)
		signal(sig, SIG_DFL);
	sigset_t all;

	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, NULL);
	EXPECT_ERR(lwc_request_run, ETIME, lwc_request_run(&rq, endless, NULL, NULL));
}

static void count(int sig)
{
	(void)sig;
	shm[0]++;
}

static long signals_itself(void *arg)
{
	(void)arg;
	kill(getpid(), SIGUSR1);
	return shm[0];
}

LWC_TEST(no_signal_is_lost)
{
	struct lwc_request rq = request(AMPLE);
	long seen = UNTOUCHED;

	signal(SIGUSR1, count);
	EXPECT_EQ(0, lwc_request_run(&rq, signals_itself, NULL, &seen));
	EXPECT_EQ(0, seen);
	EXPECT_EQ(1, shm[0]);
}

static long allocates(void *arg)
{
	char *p = lwc_shared_alloc((size_t)arg);

	memset(p, 9, (size_t)arg);
	return (long)p;
}

LWC_TEST(shared_memory_stays)
{
	struct lwc_request rq = request(0);
	long result;
	size_t size, i;

	for (size = 1; size < 100000; size *= 7) {
		char *p, *q;

		ASSERT_EQ(0, lwc_request_run(&rq, allocates, (void *)size, &result));
		p = (char *)result;
		q = lwc_shared_alloc(size);
		ASSERT_NE(NULL, q);
		EXPECT_TRUE(p + size <= q || q + size <= p);
		for (i = 0; i < size; i++)
			ASSERT_EQ(9, p[i]);
		lwc_shared_free(p);
		lwc_shared_free(q);
	}
}

struct nested {
	uint32_t inner_timeout;
	long (*fn)(void *arg);
};

/* Return: what the inner run said, and its result where there is one. */
static long nests(void *arg)
{
	const struct nested *nested = arg;
	struct lwc_request rq = request(nested->inner_timeout);
	long result = 0;
	int ret;

	number = 100;
	ret = lwc_request_run(&rq, nested->fn, (void *)1, &result);
	return number == 100 ? ret * 1000 + result : UNTOUCHED;
}

LWC_TEST(nested)
{
	struct nested in_time = { AMPLE, minus_three };
	struct nested late = { QUICK, endless };
	struct nested outer_late = { AMPLE, endless };
	struct lwc_request rq = request(AMPLE);
	int before = descriptors();
	long result = UNTOUCHED;

	EXPECT_EQ(0, lwc_request_run(&rq, nests, &in_time, &result));
	EXPECT_EQ(-3, result);
	EXPECT_EQ(0, lwc_request_run(&rq, nests, &late, &result));
	EXPECT_EQ(-ETIME * 1000, result);
	rq.timeout_ms = 0;
	EXPECT_EQ(0, lwc_request_run(&rq, nests, &late, &result));
	EXPECT_EQ(-ETIME * 1000, result);
	rq.timeout_ms = 10 * QUICK;
	EXPECT_ERR(lwc_request_run, ETIME, lwc_request_run(&rq, nests, &outer_late, &result));
	EXPECT_EQ(5, number);
	EXPECT_EQ(before, open_descriptors());
	EXPECT_EQ(0, handled_signals());
	msleep(3 * QUICK);
	EXPECT_FALSE(any_pending());
}

static long elsewhere(void *arg)
{
	struct lwc_event ev;

	(void)arg;
	if (lwc_create(NULL, 0, 0, &ev))
		return 1;
	while (ev.reason == LWC_EV_SWITCH) {
		msleep(3 * QUICK);
		lwc_switch(ev.caller, 0, 0, &ev);
	}
	lwc_switch(ev.created, 0, 0, &ev);
	return endless(NULL);
}

/* A deadline that comes while the thread is in another context comes again. */
LWC_TEST(deadline_in_another_context)
{
	struct lwc_request rq = request(QUICK);
	long before = counter("contexts");

	EXPECT_ERR(lwc_request_run, ETIME, lwc_request_run(&rq, elsewhere, NULL, NULL));
	EXPECT_EQ(before, contexts_settle(before));
	EXPECT_EQ(0, handled_signals());
}

static void *sleeping_thread(void *arg)
{
	for (;;)
		pause();
	return arg;
}

static long leaves_a_thread(void *arg)
{
	pthread_t thread;

	(void)arg;
	return pthread_create(&thread, NULL, sleeping_thread, NULL);
}

LWC_TEST(thread_left_behind)
{
	struct lwc_request rq = request(AMPLE);
	long result = UNTOUCHED;

	EXPECT_ERR(lwc_request_run, EBUSY, lwc_request_run(&rq, leaves_a_thread, NULL, &result));
	EXPECT_EQ(UNTOUCHED, result);
	EXPECT_EQ(0, handled_signals());
	EXPECT_ERR(lwc_request_run, EBUSY, lwc_request_run(&rq, minus_three, NULL, &result));
}

static long closes_all(void *arg)
{
	int fd;

	(void)arg;
	for (fd = 3; fd < 1024; fd++)
		close(fd);
	return 0;
}

LWC_TEST(snapshot_closed)
{
	struct lwc_request rq = request(AMPLE);
	int status;

	IN_CHILD(status) {
		EXPECT_ERR(lwc_request_run, EBADF, lwc_request_run(&rq, closes_all, NULL, NULL));
		EXPECT_EQ(0, handled_signals());
		EXPECT_EQ(0, lwc_request_run(&rq, minus_three, NULL, NULL));
	}
	EXPECT_EQ(0, status);
}

/* The first snapshot in the table, which is the outermost request's. */
static int first_snapshot(void)
{
	int fd;

	for (fd = 3; fd < 1024; fd++) {
		if (ioctl(fd, LWC_IOC_KIND) == LWC_KIND_SNAPSHOT)
			return fd;
	}
	return -1;
}

static long context_in_its_place(void *arg)
{
	const int fd = first_snapshot();
	struct lwc_event ev;

	(void)arg;
	lwc_close(fd);
	if (lwc_create(NULL, 0, 0, &ev))
		return 0;
	while (ev.reason == LWC_EV_SWITCH)
		lwc_switch(ev.caller, 0, 77, &ev);
	shm[1] = ev.created == fd ? fd : -1;
	return 0;
}

/* It is the program's now, and is not closed. */
LWC_TEST(snapshot_replaced)
{
	struct lwc_request rq = request(AMPLE);

	EXPECT_ERR(lwc_request_run, EINVAL,
		   lwc_request_run(&rq, context_in_its_place, NULL, NULL));
	ASSERT_LE(3, shm[1]);
	EXPECT_EQ(77, CALL(shm[1], 0));
	EXPECT_EQ(0, lwc_close(shm[1]));
	EXPECT_EQ(0, handled_signals());
}

static long loses_its_own_snapshot(void *arg)
{
	struct lwc_request rq = request(3 * QUICK);

	(void)arg;
	lwc_close(first_snapshot());
	shm[0] = lwc_request_run(&rq, endless, NULL, NULL);
	return 0;
}

/* The outer one is due as well, and cannot be rolled back: the inner one still can. */
LWC_TEST(inner_deadline_alone)
{
	struct lwc_request rq = request(QUICK);

	EXPECT_ERR(lwc_request_run, EBADF,
		   lwc_request_run(&rq, loses_its_own_snapshot, NULL, NULL));
	EXPECT_EQ(-ETIME, shm[0]);
	EXPECT_EQ(0, handled_signals());
	msleep(3 * QUICK);
	EXPECT_FALSE(any_pending());
}

static long in_a_child(void *arg)
{
	struct lwc_request rq = request(3 * QUICK);
	sigset_t all;
	pid_t pid;

	(void)arg;
	/* The parent is to come to the end of this, however late. */
	sigfillset(&all);
	sigprocmask(SIG_BLOCK, &all, NULL);
	pid = fork();
	if (!pid)
		_exit(lwc_request_run(&rq, endless, NULL, NULL) == -ETIME ? 0 : 1);
	shm[0] = pid;
	return 0;
}

/* The parent's deadline comes in its copy of the memory too, and means nothing there. */
LWC_TEST(deadline_in_a_child)
{
	struct lwc_request rq = request(QUICK);
	int status = -1;

	lwc_request_run(&rq, in_a_child, NULL, NULL);
	ASSERT_LT(0, shm[0]);
	EXPECT_EQ(shm[0], waitpid(shm[0], &status, 0));
	EXPECT_EQ(0, status);
}

static void own_timer(struct __test_metadata *_metadata, timer_t *timer)
{
	const struct itimerspec far = { .it_value.tv_sec = 1000 };
	struct sigevent sev = { .sigev_notify = SIGEV_NONE };

	ASSERT_EQ(0, timer_create(CLOCK_MONOTONIC, &sev, timer));
	ASSERT_EQ(0, timer_settime(*timer, 0, &far, NULL));
}

static timer_t childs_timer;

static long forks_and_has_a_timer(void *arg)
{
	pid_t pid = fork();

	if (pid)
		shm[0] = pid;
	else
		own_timer(arg, &childs_timer);
	return 0;
}

/* A child that returns is told so; what it has of its own is left to it. */
LWC_TEST(child_returns)
{
	struct lwc_request rq = request(AMPLE);
	struct itimerspec left;
	pid_t pid = getpid();
	int status = -1;
	long r;

	r = lwc_request_run(&rq, forks_and_has_a_timer, _metadata, NULL);
	if (getpid() != pid) {
		EXPECT_ERR(lwc_request_run, ESRCH, r);
		EXPECT_EQ(0, handled_signals());
		EXPECT_EQ(0, timer_gettime(childs_timer, &left));
		EXPECT_LT(0, left.it_value.tv_sec);
		_exit(0);
	}
	EXPECT_EQ(0, r);
	ASSERT_LT(0, shm[0]);
	EXPECT_EQ(shm[0], waitpid(shm[0], &status, 0));
	EXPECT_EQ(0, status);
	EXPECT_EQ(0, handled_signals());
}

static long crashes(void *arg)
{
	*(volatile int *)arg = 1;
	return 0;
}

static long sends_segv(void *arg)
{
	(void)arg;
	return kill(getpid(), SIGSEGV);
}

static long invalid(void *arg)
{
	(void)arg;
	number = 77;
	asm volatile("ud2");
	return 0;
}

static long overflows(void *arg)
{
	volatile char some[4096];

	some[0] = 1;
	return (long)arg ? overflows(arg) + some[0] : 0;
}

/* With no stack to run a handler on. */
static long crashes_in_a_handler(void *arg)
{
	struct sigaction sa = { .sa_handler = ignore, .sa_flags = SA_ONSTACK };
	stack_t ss = { .ss_sp = private_memory(16 * PAGE), .ss_size = 16 * PAGE };
	sigset_t none;

	sigaltstack(&ss, NULL);
	sigaction(SIGUSR1, &sa, NULL);
	mprotect(ss.ss_sp, ss.ss_size, PROT_NONE);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	return (long)arg + kill(getpid(), SIGUSR1);
}

LWC_TEST(crash_is_an_error)
{
	static long (*const all[])(void *) = { crashes, invalid, overflows, crashes_in_a_handler };
	struct lwc_request rq = request(0);
	int before = descriptors(), handled = handled_signals();
	uint64_t mask = signal_mask();
	long result = UNTOUCHED;
	unsigned int i;

	for (i = 0; i < 2 * ARRAY_SIZE(all); i++) {
		rq.timeout_ms = i % 2 ? AMPLE : 0;
		EXPECT_ERR(lwc_request_run, EFAULT,
			   lwc_request_run(&rq, all[i / 2], (void *)8, &result));
		EXPECT_EQ(UNTOUCHED, result);
		EXPECT_EQ(5, number);
		EXPECT_EQ(mask, signal_mask());
		EXPECT_EQ(before, open_descriptors());
		EXPECT_EQ(handled, handled_signals());
		EXPECT_FALSE(any_pending());
		/* And the next one is as good as any. */
		EXPECT_EQ(0, lwc_request_run(&rq, minus_three, NULL, &result));
		EXPECT_EQ(-3, result);
		result = UNTOUCHED;
	}
}

/* What the caller does with such signals counts for nothing, and stays. */
LWC_TEST(crash_blocked_or_ignored)
{
	struct lwc_request rq = request(0);
	struct sigaction sa;
	uint64_t mask;
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGSEGV);
	sigprocmask(SIG_BLOCK, &set, NULL);
	mask = signal_mask();
	EXPECT_ERR(lwc_request_run, EFAULT, lwc_request_run(&rq, crashes, (void *)8, NULL));
	EXPECT_EQ(mask, signal_mask());
	sigprocmask(SIG_UNBLOCK, &set, NULL);
	signal(SIGSEGV, SIG_IGN);
	EXPECT_ERR(lwc_request_run, EFAULT, lwc_request_run(&rq, crashes, (void *)8, NULL));
	sigaction(SIGSEGV, NULL, &sa);
	EXPECT_TRUE(sa.sa_handler == SIG_IGN);
	signal(SIGSEGV, ignore);
	EXPECT_ERR(lwc_request_run, EFAULT, lwc_request_run(&rq, crashes, (void *)8, NULL));
	sigaction(SIGSEGV, NULL, &sa);
	EXPECT_TRUE(sa.sa_handler == ignore);
	signal(SIGSEGV, SIG_DFL);
}

static long crash_inside(void *arg)
{
	struct lwc_request rq = request(AMPLE);
	int r = lwc_request_run(&rq, crashes, arg, NULL);

	if (r != -EFAULT || lwc_request_run(&rq, minus_three, NULL, NULL))
		return r;
	*(volatile int *)arg = 2;
	return 0;
}

LWC_TEST(crash_nested)
{
	struct lwc_request rq = request(AMPLE);
	long result = UNTOUCHED;

	EXPECT_EQ(0, lwc_request_run(&rq, crash_inside, &number, &result));
	/* Not a crash there: it could be written. */
	EXPECT_EQ(0, result);
	EXPECT_ERR(lwc_request_run, EFAULT, lwc_request_run(&rq, crash_inside, (void *)8, &result));
	EXPECT_EQ(5, number);
	EXPECT_EQ(0, handled_signals());
}

LWC_TEST(many_crashes)
{
	struct lwc_request rq = request(AMPLE);
	const long n = scaled(10000);
	int before = descriptors();
	long i, contexts = counter("contexts");

	for (i = 0; i < n; i++)
		ASSERT_EQ(-EFAULT, lwc_request_run(&rq, invalid, NULL, NULL));
	EXPECT_EQ(5, number);
	EXPECT_EQ(before, open_descriptors());
	EXPECT_EQ(contexts, contexts_settle(contexts));
}

/* A signal that is sent is none of these: it waits, and then does what it does. */
LWC_TEST(sent_is_no_crash)
{
	struct lwc_request rq = request(0);
	int status;

	IN_CHILD(status) {
		struct rlimit none = { 0, 0 };

		setrlimit(RLIMIT_CORE, &none);
		lwc_request_run(&rq, sends_segv, NULL, NULL);
	}
	EXPECT_TRUE(WIFSIGNALED(status));
	EXPECT_EQ(SIGSEGV, WTERMSIG(status));
}

LWC_TEST(full_table)
{
	struct lwc_request rq = request(AMPLE);
	struct rlimit limit;
	int fd;

	EXPECT_EQ(0, lwc_request_run(&rq, minus_three, NULL, NULL));
	getrlimit(RLIMIT_NOFILE, &limit);
	for (fd = 0; (rlim_t)fd < limit.rlim_cur; fd++) {
		if (!is_open(fd))
			dup2(0, fd);
	}
	EXPECT_ERR(lwc_request_run, EMFILE, lwc_request_run(&rq, minus_three, NULL, NULL));
	EXPECT_EQ(0, handled_signals());
}

/* Threads with contexts of their own, each with deadlines: handlers are shared. */
static void *serves(void *arg)
{
	struct lwc_request rq = request(0);
	struct lwc_event ev;
	long wrong = 0, i;

	if (lwc_create(NULL, 0, 0, &ev))
		return (void *)1;
	if (ev.reason == LWC_EV_SWITCH) {
		for (i = 0; i < 10; i++) {
			const bool late = (i + (long)arg) % 2;

			rq.timeout_ms = late ? QUICK : AMPLE;
			if (lwc_request_run(&rq, late ? asleep : minus_three, NULL, NULL) !=
			    (late ? -ETIME : 0))
				wrong++;
		}
		lwc_switch(ev.caller, 0, wrong, &ev);
	}
	if (lwc_switch(ev.created, 0, 0, &ev))
		return (void *)2;
	return (void *)ev.arg;
}

LWC_TEST(threads)
{
	pthread_t threads[4];
	void *wrong;
	long i;

	for (i = 0; i < 4; i++)
		ASSERT_EQ(0, pthread_create(&threads[i], NULL, serves, (void *)i));
	for (i = 0; i < 4; i++) {
		ASSERT_EQ(0, pthread_join(threads[i], &wrong));
		EXPECT_EQ(NULL, wrong);
	}
	EXPECT_EQ(0, handled_signals());
}

TEST_HARNESS_MAIN
