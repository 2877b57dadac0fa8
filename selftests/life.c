// SPDX-License-Identifier: GPL-2.0
/*
 * All ways for a process to end, to become another program, and to multiply, from
 * inside a context and from beside it. Each must leave nothing: the count of
 * contexts is looked at after each, and run.sh looks at memory and the kernel log.
 */
#include <spawn.h>
#include <sys/ptrace.h>

#include "test.h"

extern char **environ;

/* A child with some contexts, used ones and fresh ones, one of them inside another. */
static int furnish(struct __test_metadata *_metadata)
{
	struct lwc_event ev;
	int a, b, c;

	CONTEXT(a) {
		int inner;

		CONTEXT(inner) {
			in.reply = 5;
		}
		ASSERT_LE(0, inner);
		in.reply = CALL(inner, 0);
		/* The first one stays. */
		if (in.ev.arg)
			lwc_close(inner);
	}
	ASSERT_LE(0, a);
	CONTEXT(b) {
	}
	ASSERT_LE(0, b);
	CONTEXT(c) {
	}
	ASSERT_LE(0, c);
	EXPECT_EQ(5, CALL(a, 0));
	CALL(c, 0);
	ASSERT_EQ(0, lwc_snapshot(-1, 0, &ev));
	return a;
}

LWC_TEST(exit_outside)
{
	long before = counter("contexts");
	int status;

	IN_CHILD(status) {
		furnish(_metadata);
		_exit(3);
	}
	EXPECT_EQ(3, WEXITSTATUS(status));
	EXPECT_EQ(before, contexts_settle(before));
}

LWC_TEST(exit_inside)
{
	long before = counter("contexts");
	int status, how;

	for (how = 0; how < 3; how++) {
		IN_CHILD(status) {
			int ctx;

			furnish(_metadata);
			CONTEXT(ctx) {
				if (how == 0)
					_exit(3);
				if (how == 1)
					syscall(SYS_exit, 3);
				exit(3);
			}
			CALL(ctx, 0);
			_exit(4);
		}
		EXPECT_EQ(3 << 8, status);
		EXPECT_EQ(before, contexts_settle(before));
	}
}

/* The device closed first, so that only contexts keep the module. */
LWC_TEST(exit_without_the_device)
{
	long before = counter("contexts");
	int status;

	IN_CHILD(status) {
		int a = furnish(_metadata), fd;

		for (fd = 3; fd < 1024; fd++)
			if (fd != a)
				close(fd);
		EXPECT_EQ(5, CALL(a, 0));
	}
	EXPECT_EQ(0, status);
	EXPECT_EQ(before, contexts_settle(before));
}

LWC_TEST(exit_after_unmapping)
{
	long before = counter("contexts");
	int status;

	IN_CHILD(status) {
		char *p = private_memory(1000 * PAGE);
		int ctx;

		memset(p, 1, 1000 * PAGE);
		CONTEXT(ctx) {
			memset(p, 2, 500 * PAGE);
			munmap(p, 300 * PAGE);
		}
		CALL(ctx, 0);
		munmap(p, 1000 * PAGE);
	}
	EXPECT_EQ(0, status);
	EXPECT_EQ(before, contexts_settle(before));
}

static void *leave_in_context(void *arg)
{
	struct __test_metadata *_metadata = arg;
	int ctx;

	CONTEXT(ctx) {
		shm[0]++;
		for (;;)
			pause();
	}
	CALL(ctx, 0);
	return NULL;
}

static void *run_in_context(void *arg)
{
	struct __test_metadata *_metadata = arg;
	int ctx;

	CONTEXT(ctx) {
		in.reply = in.ev.arg;
	}
	shm[0]++;
	for (;;)
		CALL(ctx, 1);
	return NULL;
}

/* One thread ends the process, others are in contexts, asleep and running. */
LWC_TEST(exit_group)
{
	long before = counter("contexts");
	int status, how;

	for (how = 0; how < 4; how++) {
		shm[0] = 0;
		IN_CHILD(status) {
			pthread_t t;
			int i, ctx;

			furnish(_metadata);
			for (i = 0; i < 4; i++)
				ASSERT_EQ(0, pthread_create(&t, NULL, i & 1 ? leave_in_context :
							    run_in_context, _metadata));
			while (shm[0] < 4)
				msleep(1);
			if (how == 0)
				_exit(5);
			if (how == 1)
				kill(getpid(), SIGKILL);
			CONTEXT(ctx) {
				if (how == 2)
					_exit(5);
				abort();
			}
			CALL(ctx, 0);
		}
		if (how == 1) {
			EXPECT_EQ(SIGKILL, WTERMSIG(status));
		} else if (how == 3) {
			EXPECT_EQ(SIGABRT, WTERMSIG(status));
		} else {
			EXPECT_EQ(5 << 8, status);
		}
		EXPECT_EQ(before, contexts_settle(before));
	}
}

/* The main thread ends inside a context, the process goes on without it. */
static void *go_on(void *arg)
{
	(void)arg;
	msleep(50);
	_exit(6);
}

LWC_TEST(leader_ends_inside)
{
	long before = counter("contexts");
	int status;

	IN_CHILD(status) {
		pthread_t t;
		int ctx;

		furnish(_metadata);
		ASSERT_EQ(0, pthread_create(&t, NULL, go_on, NULL));
		CONTEXT(ctx) {
			syscall(SYS_exit, 0);
		}
		CALL(ctx, 0);
	}
	EXPECT_EQ(6, WEXITSTATUS(status));
	EXPECT_EQ(before, contexts_settle(before));
}

/* Does everything in turn, until it is killed. */
static void live(struct __test_metadata *_metadata)
{
	struct lwc_event ev;
	int ctx, other;
	volatile long x;

	for (;;) {
		CONTEXT(ctx) {
			in.reply = in.ev.arg + 1;
			shm[1]++;
		}
		if (ctx < 0)
			_exit(9);
		CALL(ctx, 0);
		CALL(ctx, 1);
		CONTEXT(other) {
		}
		CALL(other, 0);
		if (lwc_renew(ctx, 0, &ev))
			_exit(8);
		if (ev.reason == LWC_EV_SWITCH) {
			for (;;)
				lwc_switch(ev.caller, 0, 0, &ev);
		}
		CALL(ctx, 2);
		lwc_close(other);
		CONTEXT_WITH(other, NULL, 0, LWC_KEEP) {
			x = 3;
		}
		if (lwc_keep(other) || lwc_switch(other, LWC_FRESH, 0, &ev) ||
		    lwc_switch(other, LWC_FRESH, 0, &ev))
			_exit(6);
		lwc_close(other);
		if (lwc_snapshot(-1, 0, &ev))
			_exit(7);
		shm[2]++;
		x = 1;
		if (ev.arg < 3 || ev.reason == LWC_EV_CREATED) {
			x = 2;
			lwc_rollback(ev.created, ev.reason == LWC_EV_CREATED ? 0 : ev.arg + 1);
		}
		lwc_close(ev.created);
		lwc_close(ctx);
		shm[3]++;
	}
	(void)x;
}

/* SIGKILL at any moment of making, switching, renewing, rolling back. */
LWC_TEST(killed_at_any_moment)
{
	long before = counter("contexts"), i, n = scaled(1000), begun = 0;
	/* Fewer of them where all is slower, but each gets as far. */
	const long longest = 8000000 / n;
	unsigned int seed = 1;
	int status;

	for (i = 0; i < n; i++) {
		pid_t pid = fork();

		ASSERT_LE(0, pid);
		if (!pid)
			live(_metadata);
		/* As far as its first context, and then some. */
		while (shm[1] == begun)
			usleep(100);
		usleep(rand_r(&seed) % longest);
		kill(pid, SIGKILL);
		ASSERT_EQ(pid, waitpid(pid, &status, 0));
		begun = shm[1];
		EXPECT_EQ(SIGKILL, status);
	}
	EXPECT_LE(n, shm[1]);
	EXPECT_LT(0, shm[2]);
	EXPECT_LT(0, shm[3]);
	EXPECT_EQ(before, contexts_settle(before));
}

static void *live_in_thread(void *arg)
{
	struct __test_metadata *_metadata = arg;
	int ctx;

	for (;;) {
		CONTEXT(ctx) {
			shm[1]++;
		}
		if (ctx < 0)
			_exit(9);
		CALL(ctx, 0);
		CALL(ctx, 0);
		lwc_close(ctx);
	}
	return NULL;
}

LWC_TEST(killed_at_any_moment_with_threads)
{
	long before = counter("contexts"), i, n = scaled(300), begun = 0;
	unsigned int seed = 2;
	int status;

	for (i = 0; i < n; i++) {
		pid_t pid = fork();

		ASSERT_LE(0, pid);
		if (!pid) {
			pthread_t t;
			int j;

			for (j = 0; j < 3; j++)
				pthread_create(&t, NULL, live_in_thread, _metadata);
			live_in_thread(_metadata);
		}
		while (shm[1] == begun)
			usleep(100);
		usleep(rand_r(&seed) % 12000);
		kill(pid, SIGKILL);
		ASSERT_EQ(pid, waitpid(pid, &status, 0));
		begun = shm[1];
		EXPECT_EQ(SIGKILL, status);
	}
	EXPECT_LT(0, shm[1]);
	EXPECT_EQ(before, contexts_settle(before));
}

LWC_TEST(crash_with_core)
{
	long before = counter("contexts");
	volatile int *nothing = NULL;
	struct rlimit limit;
	int status, inside, dumped;

	ASSERT_EQ(0, chdir("/dev/shm"));
	ASSERT_EQ(0, getrlimit(RLIMIT_CORE, &limit));
	limit.rlim_cur = limit.rlim_max;
	ASSERT_EQ(0, setrlimit(RLIMIT_CORE, &limit));
	/* A kernel may be built without core dumps. */
	IN_CHILD(status) {
		*nothing = 1;
	}
	dumped = WCOREDUMP(status);
	for (inside = 0; inside < 2; inside++) {
		IN_CHILD(status) {
			int ctx;

			furnish(_metadata);
			CONTEXT(ctx) {
				*nothing = 1;
			}
			if (inside)
				CALL(ctx, 0);
			*nothing = 1;
		}
		EXPECT_TRUE(WIFSIGNALED(status));
		EXPECT_EQ(SIGSEGV, WTERMSIG(status));
		EXPECT_EQ(dumped, WCOREDUMP(status));
		EXPECT_EQ(before, contexts_settle(before));
	}
	unlink("core");
}

/* What a shell sees of the module, told through its exit status. */
static void expect_contexts(char *script, size_t size, long n, const char *also)
{
	snprintf(script, size,
		 "%s; for i in $(seq 100); do "
		 "read n </sys/class/misc/lwc/contexts; [ $n = %ld ] && exit 17; sleep 0.1; "
		 "done; exit 1", also, n);
}

LWC_TEST(exec_outside)
{
	long before = counter("contexts");
	char script[1000];
	int status;

	expect_contexts(script, sizeof(script), before, "[ -e /proc ] || exit 2");
	IN_CHILD(status) {
		furnish(_metadata);
		execl("/bin/sh", "sh", "-c", script, NULL);
		_exit(3);
	}
	EXPECT_EQ(17, WEXITSTATUS(status));
}

/* The new program starts with what the context had. */
LWC_TEST(exec_inside)
{
	long before = counter("contexts");
	char script[1000];
	int status;

	expect_contexts(script, sizeof(script), before,
			"[ \"$(pwd -P)\" = /sys ] || exit 2; [ -e /proc/self/fd/200 ] || exit 3; "
			"[ -e /proc/self/fd/201 ] && exit 4; [ \"$(umask)\" = 0011 ] || exit 5");
	IN_CHILD(status) {
		int ctx;

		furnish(_metadata);
		ASSERT_EQ(201, dup2(2, 201));
		CONTEXT(ctx) {
			ASSERT_EQ(0, chdir("/sys"));
			umask(011);
			ASSERT_EQ(200, dup2(2, 200));
			close(201);
			execl("/bin/sh", "sh", "-c", script, NULL);
			_exit(6);
		}
		CALL(ctx, 0);
	}
	EXPECT_TRUE(WIFEXITED(status));
	EXPECT_EQ(17, WEXITSTATUS(status));
	EXPECT_EQ(before, contexts_settle(before));
}

/* No descriptor of a context is there after exec, whatever was done to its flags. */
LWC_TEST(exec_keeps_no_capability)
{
	long before = counter("contexts");
	char script[1000];
	int status;

	expect_contexts(script, sizeof(script), before, ":");
	IN_CHILD(status) {
		int ctx = furnish(_metadata);

		fcntl(ctx, F_SETFD, 0);
		execl("/bin/sh", "sh", "-c", script, NULL);
		_exit(6);
	}
	EXPECT_EQ(17, WEXITSTATUS(status));
	EXPECT_EQ(before, contexts_settle(before));
}

LWC_TEST(exec_that_fails)
{
	int ctx, a = furnish(_metadata);

	CONTEXT(ctx) {
		execl("/nonexistent", "x", NULL);
		EXPECT_EQ(ENOENT, errno);
		in.reply = 4;
	}
	ASSERT_LE(0, ctx);
	EXPECT_EQ(4, CALL(ctx, 0));
	execl("/nonexistent", "x", NULL);
	EXPECT_EQ(4, CALL(ctx, 0));
	EXPECT_EQ(5, CALL(a, 0));
}

static char exec_script[1000];

static void *exec_in_thread(void *arg)
{
	struct __test_metadata *_metadata = arg;
	int ctx;

	CONTEXT(ctx) {
		execl("/bin/sh", "sh", "-c", exec_script, NULL);
		_exit(3);
	}
	if (shm[7])
		CALL(ctx, 0);
	execl("/bin/sh", "sh", "-c", exec_script, NULL);
	_exit(4);
}

/* The leader is replaced, its contexts and its place go with it. */
LWC_TEST(exec_by_another_thread)
{
	long before = counter("contexts");
	int status, inside, leader_inside;

	expect_contexts(exec_script, sizeof(exec_script), before, ":");
	for (inside = 0; inside < 2; inside++) {
		for (leader_inside = 0; leader_inside < 2; leader_inside++) {
			shm[0] = 0;
			shm[7] = inside;
			IN_CHILD(status) {
				pthread_t t;

				furnish(_metadata);
				ASSERT_EQ(0, pthread_create(&t, NULL, leave_in_context, _metadata));
				ASSERT_EQ(0, pthread_create(&t, NULL, run_in_context, _metadata));
				while (shm[0] < 2)
					msleep(1);
				ASSERT_EQ(0, pthread_create(&t, NULL, exec_in_thread, _metadata));
				if (leader_inside)
					leave_in_context(_metadata);
				pause();
			}
			EXPECT_TRUE(WIFEXITED(status));
			EXPECT_EQ(17, WEXITSTATUS(status));
			EXPECT_EQ(before, contexts_settle(before));
		}
	}
}

/* vfork() in a function of its own: what it may clobber is nothing of the test. */
static __attribute__((noinline)) int status_of_vfork(int sig)
{
	pid_t pid = vfork();
	int status = -1;

	if (!pid) {
		if (sig)
			kill(getpid(), sig);
		_exit(8);
	}
	waitpid(pid, &status, 0);
	return status;
}

LWC_TEST(spawn_and_vfork)
{
	int ctx, i;

	CONTEXT(ctx) {
		char *argv[] = { "true", NULL };
		int status = -1;
		pid_t pid;

		ASSERT_EQ(0, posix_spawn(&pid, "/bin/true", NULL, NULL, argv, environ));
		ASSERT_EQ(pid, waitpid(pid, &status, 0));
		EXPECT_EQ(0, status);
		EXPECT_EQ(7 << 8, system("exit 7"));
		EXPECT_EQ(8 << 8, status_of_vfork(0));
		in.reply = 1;
	}
	ASSERT_LE(0, ctx);
	for (i = 0; i < 5; i++)
		EXPECT_EQ(1, CALL(ctx, 0));
}

/* Killed between vfork and exec, and aborted. */
LWC_TEST(vfork_that_dies)
{
	int ctx;

	CONTEXT(ctx) {
		EXPECT_EQ(SIGKILL, status_of_vfork(SIGKILL));
		in.reply = 1;
	}
	ASSERT_LE(0, ctx);
	EXPECT_EQ(1, CALL(ctx, 0));
	EXPECT_EQ(1, CALL(ctx, 0));
}

/* A child's root is the context that forked it. */
LWC_TEST(fork_inside)
{
	volatile int x = 1;
	int ctx, status;

	CONTEXT(ctx) {
		int caller = in.ev.caller;

		x = 2;
		ASSERT_EQ(300, dup2(2, 300));
		IN_CHILD(status) {
			struct lwc_event ev;
			int own;

			EXPECT_EQ(2, x);
			EXPECT_TRUE(is_open(300));
			EXPECT_ERR(lwc_switch, ESRCH, lwc_switch(caller, 0, 0, &ev));
			CONTEXT(own) {
				EXPECT_EQ(2, x);
				x = 5;
				in.reply = 6;
			}
			ASSERT_LE(0, own);
			EXPECT_EQ(6, CALL(own, 0));
			EXPECT_EQ(2, x);
		}
		EXPECT_EQ(0, status);
		in.reply = 1;
	}
	ASSERT_LE(0, ctx);
	EXPECT_EQ(1, CALL(ctx, 0));
	EXPECT_EQ(1, x);
	EXPECT_EQ(1, CALL(ctx, 0));
}

/* A child of a process with contexts has none, and both go on. */
LWC_TEST(fork_outside)
{
	int a = furnish(_metadata), status, i;
	long before = counter("contexts");

	for (i = 0; i < 20; i++) {
		IN_CHILD(status) {
			struct lwc_event ev;
			int snap;

			EXPECT_ERR(lwc_switch, ESRCH, lwc_switch(a, 0, 0, &ev));
			furnish(_metadata);
			ASSERT_EQ(0, lwc_snapshot(-1, 0, &ev));
			snap = ev.created;
			if (ev.reason == LWC_EV_CREATED)
				lwc_rollback(snap, 0);
			EXPECT_EQ(LWC_EV_ROLLBACK, ev.reason);
		}
		EXPECT_EQ(0, status);
		EXPECT_EQ(5, CALL(a, 1));
	}
	EXPECT_EQ(before, contexts_settle(before));
}

/* The parent ends first; the child's inherited descriptors keep nothing alive. */
LWC_TEST(child_outlives)
{
	long before = counter("contexts");
	int status, fds[2];
	char c = 0;

	ASSERT_EQ(0, pipe(fds));
	IN_CHILD(status) {
		furnish(_metadata);
		if (!fork()) {
			struct lwc_event ev;

			/* Until the parent is gone, and then some. */
			while (getppid() != 1 && c < 100) {
				msleep(10);
				c++;
			}
			shm[8] = lwc_switch(3, 0, 0, &ev);
			shm[9] = contexts_settle(before);
			c = 'x';
			EXPECT_EQ(1, write(fds[1], &c, 1));
			_exit(0);
		}
	}
	EXPECT_EQ(1, read(fds[0], &c, 1));
	EXPECT_GT(0, shm[8]);
	EXPECT_EQ(before, shm[9]);
}

/* A clone without CLONE_VM but with the same table of files, and the like. */
LWC_TEST(strange_clones)
{
	static const unsigned long flags[] = {
		CLONE_FILES, CLONE_FS, CLONE_FILES | CLONE_FS, CLONE_NEWUTS, CLONE_PARENT_SETTID,
	};
	unsigned int i;
	int ctx;

	CONTEXT(ctx) {
		in.reply = 3;
	}
	ASSERT_LE(0, ctx);
	CALL(ctx, 0);
	for (i = 0; i < ARRAY_SIZE(flags); i++) {
		struct lwc_event ev;
		int tid, status;
		pid_t pid = syscall(SYS_clone, flags[i] | SIGCHLD, NULL, &tid, NULL, 0);

		if (!pid) {
			long r = lwc_switch(ctx, 0, 0, &ev);

			/* The library may have copied what is of the table. */
			_exit(r == -ESRCH ? 0 : 1);
		}
		if (pid < 0 && errno == EPERM)
			continue;
		ASSERT_LT(0, pid);
		ASSERT_EQ(pid, waitpid(pid, &status, 0));
		EXPECT_EQ(0, status);
		EXPECT_EQ(3, CALL(ctx, 0));
	}
}

/* A task that gets a table of its own. */
static void *unshare_files(void *arg)
{
	struct __test_metadata *_metadata = arg;
	int ctx;

	shm[20] = unshare(CLONE_FILES) ? -errno : 0;
	if (shm[20])
		return NULL;
	CONTEXT(ctx) {
		in.reply = dup(2) >= 0;
	}
	/* Adopted, or refused. */
	if (ctx < 0) {
		EXPECT_EQ(-EOPNOTSUPP, ctx);
		return NULL;
	}
	EXPECT_EQ(1, CALL(ctx, 0));
	EXPECT_EQ(0, lwc_close(ctx));
	return NULL;
}

LWC_TEST(unshared_tables)
{
	long before;
	int ctx, status;

	CONTEXT(ctx) {
		in.reply = 3;
	}
	ASSERT_LE(0, ctx);
	CALL(ctx, 0);
	before = counter("contexts");
	IN_CHILD(status) {
		pthread_t t;
		int own, i;

		CONTEXT(own) {
			in.reply = unshare(CLONE_FILES | CLONE_FS) ? errno : 0;
		}
		ASSERT_LE(0, own);
		CALL(own, 0);
		ASSERT_EQ(0, pthread_create(&t, NULL, unshare_files, _metadata));
		ASSERT_EQ(0, pthread_join(t, NULL));
		for (i = 0; i < 5; i++)
			CALL(own, 0);
		EXPECT_EQ(0, unshare(CLONE_FILES));
		for (i = 0; i < 5; i++)
			CALL(own, 0);
	}
	EXPECT_EQ(0, status);
	EXPECT_EQ(before, contexts_settle(before));
	EXPECT_EQ(3, CALL(ctx, 0));
}

/* In use: the module stays. Only contexts, not the device, may be what uses it. */
LWC_TEST(module_is_busy)
{
	int ctx, fd;

	NEED_ROOT();
	CONTEXT(ctx) {
		in.reply = 3;
	}
	ASSERT_LE(0, ctx);
	for (fd = 3; fd < 1024; fd++)
		if (fd != ctx)
			close(fd);
	EXPECT_EQ(-1, syscall(SYS_delete_module, "lwc", O_NONBLOCK));
	EXPECT_TRUE(errno == EAGAIN || errno == EBUSY);
	EXPECT_EQ(3, CALL(ctx, 0));
}

/* A debugger that stops the process inside a context and lets it go again. */
LWC_TEST(traced)
{
	int status, ctx, stops = 0;
	pid_t pid = fork();

	ASSERT_LE(0, pid);
	if (!pid) {
		ptrace(PTRACE_TRACEME, 0, 0, 0);
		CONTEXT(ctx) {
			raise(SIGUSR1);
			in.reply = 3;
		}
		raise(SIGUSR1);
		_exit(CALL(ctx, 0) == 3 && CALL(ctx, 0) == 3 ? 9 : 1);
	}
	for (;;) {
		ASSERT_EQ(pid, waitpid(pid, &status, 0));
		if (!WIFSTOPPED(status))
			break;
		EXPECT_EQ(SIGUSR1, WSTOPSIG(status));
		stops++;
		ASSERT_EQ(0, ptrace(PTRACE_CONT, pid, 0, 0));
	}
	EXPECT_EQ(9 << 8, status);
	EXPECT_EQ(3, stops);
}

/* Step by step through a switch: each is one step, on both sides. */
LWC_TEST(single_stepped)
{
	int status, ctx;
	long steps = 0;
	pid_t pid = fork();

	ASSERT_LE(0, pid);
	if (!pid) {
		CONTEXT(ctx) {
			in.reply = 3;
		}
		ptrace(PTRACE_TRACEME, 0, 0, 0);
		raise(SIGUSR1);
		_exit(CALL(ctx, 0) == 3 && CALL(ctx, 0) == 3 ? 9 : 1);
	}
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	ASSERT_TRUE(WIFSTOPPED(status));
	while (steps < 100000) {
		ASSERT_EQ(0, ptrace(PTRACE_SINGLESTEP, pid, 0, 0));
		ASSERT_EQ(pid, waitpid(pid, &status, 0));
		if (!WIFSTOPPED(status))
			break;
		EXPECT_EQ(SIGTRAP, WSTOPSIG(status));
		steps++;
	}
	EXPECT_EQ(9 << 8, status);
	EXPECT_LT(100, steps);
}

/* Stopped and continued, as by a shell. */
LWC_TEST(stopped)
{
	int status, ctx, i;
	pid_t pid = fork();

	ASSERT_LE(0, pid);
	if (!pid) {
		CONTEXT(ctx) {
			in.reply = in.ev.arg + 1;
		}
		for (i = 0; shm[0] == 0; i++) {
			if (CALL(ctx, i) != (uint64_t)i + 1)
				_exit(1);
		}
		_exit(9);
	}
	for (i = 0; i < 20; i++) {
		msleep(2);
		ASSERT_EQ(0, kill(pid, SIGSTOP));
		ASSERT_EQ(pid, waitpid(pid, &status, WUNTRACED));
		ASSERT_TRUE(WIFSTOPPED(status));
		ASSERT_EQ(0, kill(pid, SIGCONT));
	}
	shm[0] = 1;
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	EXPECT_EQ(9 << 8, status);
}

/* Out of memory in a group of its own: the whole process goes, parked memory and all. */
LWC_TEST(out_of_memory)
{
	static const char group[] = "/sys/fs/cgroup/lwc-test";
	long before = counter("contexts");
	int status, r;

	NEED_ROOT();
	write_text("/sys/fs/cgroup/cgroup.subtree_control", "+memory");
	if (mkdir(group, 0755) && errno != EEXIST)
		SKIP(return, "no control groups");
	r = write_text("/sys/fs/cgroup/lwc-test/memory.max", "33554432");
	if (r) {
		rmdir(group);
		SKIP(return, "no memory controller");
	}
	write_text("/sys/fs/cgroup/lwc-test/memory.swap.max", "0");
	write_text("/sys/fs/cgroup/lwc-test/memory.oom.group", "1");
	IN_CHILD(status) {
		int ctx, i;

		ASSERT_EQ(0, write_text("/sys/fs/cgroup/lwc-test/cgroup.procs", "0"));
		for (i = 0; i < 100; i++) {
			/* Memory that only the context has, and it is parked. */
			CONTEXT(ctx) {
				memset(private_memory(1 << 20), 1, 1 << 20);
			}
			if (ctx < 0)
				_exit(3);
			CALL(ctx, 0);
		}
	}
	EXPECT_TRUE(WIFSIGNALED(status));
	EXPECT_EQ(SIGKILL, WTERMSIG(status));
	EXPECT_EQ(before, contexts_settle(before));
	rmdir(group);
}

TEST_HARNESS_MAIN
