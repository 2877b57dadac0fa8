// SPDX-License-Identifier: GPL-2.0
/*
 * lwc_pool_*: a function finds the same fresh state each time, in each thread, and
 * leaves nothing behind but its result.
 */
#include "test.h"

static int visitors = 5;

static long count(void *state, uint64_t arg)
{
	int *heap = state;

	(*heap)++;
	visitors++;
	/* What a careless one leaves behind. */
	dup2(2, 300);
	private_memory(PAGE);
	return visitors * 1000 + *heap * 100 + arg;
}

LWC_TEST(fresh_each_time)
{
	int i, fds, *heap = malloc(sizeof(*heap));
	struct lwc_pool *pool;
	long result, before;

	*heap = 1;
	before = counter("contexts");
	ASSERT_EQ(0, lwc_pool_open(NULL, 0, 1, count, heap, &pool));
	EXPECT_EQ(before, counter("contexts"));
	EXPECT_EQ(0, lwc_pool_run(pool, 0, &result));
	EXPECT_EQ(6200, result);
	fds = open_descriptors();
	for (i = 1; i < 50; i++) {
		/* What happens here since is nothing to it. */
		visitors = 50 + i;
		*heap = 50 + i;
		result = -1;
		EXPECT_EQ(0, lwc_pool_run(pool, i, &result));
		EXPECT_EQ(6200 + i, result);
		EXPECT_EQ(50 + i, visitors);
		EXPECT_EQ(50 + i, *heap);
		EXPECT_FALSE(is_open(300));
	}
	EXPECT_EQ(0, lwc_pool_run(pool, 0, NULL));
	EXPECT_EQ(fds, open_descriptors());
	EXPECT_EQ(before + 1, counter("contexts"));
	EXPECT_EQ(0, lwc_pool_close(pool));
	EXPECT_EQ(fds - 1, open_descriptors());
	EXPECT_EQ(before, contexts_settle(before));
}

static long shout(void *state, uint64_t arg)
{
	long *shared = state;

	return __atomic_add_fetch(shared, arg, __ATOMIC_RELAXED);
}

LWC_TEST(shared_memory_stays)
{
	long i, result, *shared = lwc_shared_alloc(sizeof(*shared));
	struct lwc_pool *pool;

	ASSERT_NE(NULL, shared);
	ASSERT_EQ(0, lwc_pool_open(NULL, 0, 1, shout, shared, &pool));
	for (i = 1; i < 10; i++) {
		EXPECT_EQ(0, lwc_pool_run(pool, 7, &result));
		EXPECT_EQ(7 * i, result);
	}
	EXPECT_EQ(7 * 9, *shared);
	EXPECT_EQ(0, lwc_pool_close(pool));
	lwc_shared_free(shared);
}

static long open_mask(void *state, uint64_t arg)
{
	const sigset_t *in = state;
	sigset_t set;
	long open = 0;
	int sig;

	(void)in;
	(void)arg;
	sigprocmask(SIG_SETMASK, NULL, &set);
	for (sig = 1; sig < 32; sig++)
		if (!sigismember(&set, sig))
			open |= 1 << sig;
	return open;
}

LWC_TEST(signals_are_blocked_inside)
{
	const long synchronous = 1 << SIGSEGV | 1 << SIGBUS | 1 << SIGILL | 1 << SIGFPE |
				 1 << SIGTRAP | 1 << SIGSYS;
	/* Which nobody can block. */
	const long always = 1 << SIGKILL | 1 << SIGSTOP;
	struct lwc_pool *pool;
	sigset_t before, after;
	long open;
	int sig;

	sigprocmask(SIG_SETMASK, NULL, &before);
	ASSERT_EQ(0, lwc_pool_open(NULL, 0, 1, open_mask, NULL, &pool));
	EXPECT_EQ(0, lwc_pool_run(pool, 0, &open));
	EXPECT_EQ(synchronous, open & ~always);
	sigprocmask(SIG_SETMASK, NULL, &after);
	for (sig = 1; sig < 32; sig++)
		EXPECT_EQ(sigismember(&before, sig), sigismember(&after, sig));
	EXPECT_EQ(0, lwc_pool_close(pool));
}

static struct lwc_pool *shared_pool;

static void *runs_many(void *arg)
{
	struct __test_metadata *_metadata = arg;
	long i, result, n = scaled(500);

	for (i = 0; i < n; i++) {
		result = -1;
		EXPECT_EQ(0, lwc_pool_run(shared_pool, i, &result));
		EXPECT_EQ(6200 + i, result);
	}
	return NULL;
}

LWC_TEST(threads)
{
	const int n = 4;
	long before = counter("contexts");
	int i, round, heap = 1;
	pthread_t thread[n];

	ASSERT_EQ(0, lwc_pool_open(NULL, 0, n, count, &heap, &shared_pool));
	/* More than once: those of threads that have ended are there again. */
	for (round = 0; round < 3; round++) {
		for (i = 0; i < n; i++)
			ASSERT_EQ(0, pthread_create(&thread[i], NULL, runs_many, _metadata));
		for (i = 0; i < n; i++)
			ASSERT_EQ(0, pthread_join(thread[i], NULL));
	}
	EXPECT_EQ(0, lwc_pool_close(shared_pool));
	EXPECT_EQ(before, contexts_settle(before));
	EXPECT_EQ(1, heap);
}

static void *runs_one_too_many(void *arg)
{
	(void)arg;
	shm[0] = lwc_pool_run(shared_pool, 0, NULL);
	return NULL;
}

LWC_TEST(more_threads_than_contexts)
{
	pthread_t thread;
	int heap = 1;

	ASSERT_EQ(0, lwc_pool_open(NULL, 0, 1, count, &heap, &shared_pool));
	EXPECT_EQ(0, lwc_pool_run(shared_pool, 0, NULL));
	ASSERT_EQ(0, pthread_create(&thread, NULL, runs_one_too_many, NULL));
	ASSERT_EQ(0, pthread_join(thread, NULL));
	EXPECT_ERR(lwc_pool_run, EAGAIN, shm[0]);
	EXPECT_EQ(0, lwc_pool_run(shared_pool, 0, NULL));
	EXPECT_EQ(0, lwc_pool_close(shared_pool));
}

static long recurse(void *state, uint64_t arg)
{
	struct lwc_pool **pool = state;
	long result = 0;
	int r;

	if (!arg)
		return 1;
	r = lwc_pool_run(*pool, arg - 1, &result);
	return r ? r : result + 1;
}

/* What runs inside may use the pool as well: its contexts are its own, and go with it. */
LWC_TEST(inside_of_itself)
{
	struct lwc_pool **pool = malloc(sizeof(*pool));
	long result, contexts;
	int i;

	ASSERT_EQ(0, lwc_pool_open(NULL, 0, 1, recurse, pool, pool));
	EXPECT_EQ(0, lwc_pool_run(*pool, 0, &result));
	EXPECT_EQ(1, result);
	contexts = counter("contexts");
	for (i = 0; i < 5; i++) {
		EXPECT_EQ(0, lwc_pool_run(*pool, 3, &result));
		EXPECT_EQ(4, result);
	}
	EXPECT_EQ(0, lwc_pool_run(*pool, 0, &result));
	EXPECT_EQ(contexts, contexts_settle(contexts));
	EXPECT_EQ(0, lwc_pool_close(*pool));
}

LWC_TEST(after_fork)
{
	struct lwc_pool *pool;
	int status, heap = 1;
	long result;

	ASSERT_EQ(0, lwc_pool_open(NULL, 0, 1, count, &heap, &pool));
	EXPECT_EQ(0, lwc_pool_run(pool, 1, &result));
	heap = 2;
	IN_CHILD(status) {
		EXPECT_EQ(0, lwc_pool_run(pool, 2, &result));
		EXPECT_EQ(6302, result);
		EXPECT_EQ(0, lwc_pool_run(pool, 3, &result));
		EXPECT_EQ(6303, result);
		EXPECT_EQ(0, lwc_pool_close(pool));
	}
	EXPECT_EQ(0, status);
	EXPECT_EQ(0, lwc_pool_run(pool, 4, &result));
	EXPECT_EQ(6204, result);
	EXPECT_EQ(0, lwc_pool_close(pool));
}

/* A program that closes what it does not know: another one is made. */
LWC_TEST(closed_by_others)
{
	struct lwc_pool *pool;
	int fd, heap = 1;
	long result;

	ASSERT_EQ(0, lwc_pool_open(NULL, 0, 1, count, &heap, &pool));
	EXPECT_EQ(0, lwc_pool_run(pool, 1, &result));
	for (fd = 3; fd < 1024; fd++)
		close(fd);
	heap = 2;
	EXPECT_EQ(0, lwc_pool_run(pool, 2, &result));
	EXPECT_EQ(6302, result);
	EXPECT_EQ(0, lwc_pool_close(pool));
}

static void *spins(void *arg)
{
	for (;;)
		pause();
	return arg;
}

static long leaves_a_thread(void *state, uint64_t arg)
{
	pthread_t thread;

	(void)state;
	return arg ? pthread_create(&thread, NULL, spins, NULL) : 0;
}

LWC_TEST(thread_left_inside)
{
	struct lwc_pool *pool;
	int status;

	IN_CHILD(status) {
		ASSERT_EQ(0, lwc_pool_open(NULL, 0, 1, leaves_a_thread, NULL, &pool));
		EXPECT_EQ(0, lwc_pool_run(pool, 0, NULL));
		EXPECT_EQ(0, lwc_pool_run(pool, 1, NULL));
		EXPECT_ERR(lwc_pool_run, EBUSY, lwc_pool_run(pool, 0, NULL));
		EXPECT_EQ(0, lwc_pool_close(pool));
	}
	EXPECT_EQ(0, status);
}

static volatile long *volatile nowhere = (long *)8;

static long crashes(void *state, uint64_t arg)
{
	(void)state;
	if (arg)
		*nowhere = arg;
	return 3;
}

LWC_TEST(crash)
{
	struct lwc_pool *pool;
	int i, status;
	long result;

	ASSERT_EQ(0, lwc_pool_open(NULL, 0, 1, crashes, NULL, &pool));
	if (features().create_flags & LWC_TRAP_FAULTS) {
		for (i = 0; i < 100; i++) {
			result = 7;
			EXPECT_ERR(lwc_pool_run, EFAULT, lwc_pool_run(pool, 1, &result));
			EXPECT_EQ(7, result);
			EXPECT_EQ(0, lwc_pool_run(pool, 0, &result));
			EXPECT_EQ(3, result);
		}
	} else {
		IN_CHILD(status) {
			lwc_pool_run(pool, 1, NULL);
		}
		EXPECT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV);
	}
	EXPECT_EQ(0, lwc_pool_close(pool));
}

LWC_TEST(arguments)
{
	static const struct lwc_spec later = { LWC_MEMORY, LWC_SHARE, 0, 0, UINT64_MAX };
	static const struct lwc_spec bad = { 99, LWC_COW, 0, 0, UINT64_MAX };
	struct lwc_pool *pool;
	int status;

	EXPECT_ERR(lwc_pool_open, EFAULT, lwc_pool_open(NULL, 1, 1, crashes, NULL, &pool));
	EXPECT_ERR(lwc_pool_open, EFAULT, lwc_pool_open(NULL, 0, 1, NULL, NULL, &pool));
	EXPECT_ERR(lwc_pool_open, EFAULT, lwc_pool_open(NULL, 0, 1, crashes, NULL, NULL));
	EXPECT_ERR(lwc_pool_open, EINVAL, lwc_pool_open(NULL, 0, 0, crashes, NULL, &pool));
	EXPECT_ERR(lwc_pool_open, E2BIG, lwc_pool_open(&bad, LWC_MAX_SPECS + 1, 1, crashes, NULL,
						       &pool));
	EXPECT_ERR(lwc_pool_run, EFAULT, lwc_pool_run(NULL, 0, NULL));
	EXPECT_ERR(lwc_pool_close, EFAULT, lwc_pool_close(NULL));

	ASSERT_EQ(0, lwc_pool_open(&bad, 1, 1, crashes, NULL, &pool));
	EXPECT_ERR(lwc_pool_run, EINVAL, lwc_pool_run(pool, 0, NULL));
	EXPECT_EQ(0, lwc_pool_close(pool));
	if (!(features().spec_modes & 1 << LWC_SHARE)) {
		ASSERT_EQ(0, lwc_pool_open(&later, 1, 1, crashes, NULL, &pool));
		EXPECT_ERR(lwc_pool_run, EOPNOTSUPP, lwc_pool_run(pool, 0, NULL));
		EXPECT_EQ(0, lwc_pool_close(pool));
	}
	IN_CHILD(status) {
		struct rlimit limit = { .rlim_cur = 200, .rlim_max = 200 };

		ASSERT_EQ(0, lwc_pool_open(NULL, 0, 1, crashes, NULL, &pool));
		ASSERT_EQ(0, setrlimit(RLIMIT_NOFILE, &limit));
		while (dup(2) >= 0)
			;
		EXPECT_ERR(lwc_pool_run, EMFILE, lwc_pool_run(pool, 0, NULL));
		close(50);
		EXPECT_EQ(0, lwc_pool_run(pool, 0, NULL));
	}
	EXPECT_EQ(0, status);
	/* More memory than there are addresses. */
	IN_CHILD(status) {
		struct rlimit limit = { .rlim_cur = 1ul << 30, .rlim_max = 1ul << 30 };

		ASSERT_EQ(0, setrlimit(RLIMIT_AS, &limit));
		EXPECT_ERR(lwc_pool_open, ENOMEM, lwc_pool_open(NULL, 0, UINT32_MAX, crashes, NULL,
								&pool));
	}
	EXPECT_EQ(0, status);
	IN_CHILD(status) {
		int n = 0, r;

		do {
			r = lwc_pool_open(NULL, 0, 1, crashes, NULL, &pool);
		} while (!r && ++n < 5000);
		EXPECT_ERR(lwc_pool_open, EAGAIN, r);
	}
	EXPECT_EQ(0, status);
}

TEST_HARNESS_MAIN
