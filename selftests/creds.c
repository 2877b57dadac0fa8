// SPDX-License-Identifier: GPL-2.0
/*
 * Who a context is: user and groups, capabilities, no_new_privs, seccomp filters,
 * namespaces, and how many processes its user has. What one context becomes the
 * others must not become, in either direction, and a count must never drift.
 */
#include <grp.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/fsuid.h>
#include <sys/ptrace.h>

#include "test.h"

#define ONE_USER	54321
#define OTHER_USER	54322

LWC_TEST(user_and_groups)
{
	int ctx, i;

	NEED_ROOT();
	CONTEXT(ctx) {
		if (!shm[0]++) {
			EXPECT_EQ(0, geteuid());
			ASSERT_EQ(0, setgroups(1, (gid_t [1]){ 77 }));
			ASSERT_EQ(0, setresgid(66, 66, 66));
			ASSERT_EQ(0, setresuid(ONE_USER, ONE_USER, ONE_USER));
		}
		in.reply = geteuid();
		EXPECT_EQ(66, getegid());
		EXPECT_EQ(1, getgroups(0, NULL));
		EXPECT_NE(0, setuid(0));
	}
	ASSERT_LE(0, ctx);
	for (i = 0; i < 10; i++) {
		EXPECT_EQ(ONE_USER, CALL(ctx, 0));
		EXPECT_EQ(0, getuid());
		EXPECT_EQ(0, geteuid());
		EXPECT_NE(66, getegid());
		/* What counts is what the kernel lets one do. */
		EXPECT_EQ(0, access("/proc/kmsg", R_OK));
		EXPECT_EQ(0, seteuid(5));
		EXPECT_EQ(0, seteuid(0));
	}
}

/* The other way: a server that gives up its rights, and a vault that keeps them. */
LWC_TEST(outside_gives_up)
{
	int ctx;

	NEED_ROOT();
	CONTEXT(ctx) {
		in.reply = geteuid();
		EXPECT_EQ(0, setfsuid(-1));
	}
	ASSERT_LE(0, ctx);
	ASSERT_EQ(0, setresgid(66, 66, 66));
	ASSERT_EQ(0, setresuid(ONE_USER, ONE_USER, ONE_USER));
	EXPECT_EQ(0, CALL(ctx, 0));
	EXPECT_EQ(ONE_USER, geteuid());
	EXPECT_NE(0, setuid(0));
	EXPECT_EQ(0, CALL(ctx, 0));
	EXPECT_EQ(ONE_USER, getuid());
}

/* What other processes see of the task is who it is now. */
LWC_TEST(seen_from_outside)
{
	int ctx, status, pipes[2][2];
	pid_t target = getpid();

	NEED_ROOT();
	ASSERT_EQ(0, pipe(pipes[0]));
	ASSERT_EQ(0, pipe(pipes[1]));
	CONTEXT(ctx) {
		char c;

		ASSERT_EQ(0, setresuid(ONE_USER, ONE_USER, ONE_USER));
		EXPECT_EQ(1, write(pipes[0][1], "x", 1));
		EXPECT_EQ(1, read(pipes[1][0], &c, 1));
	}
	ASSERT_LE(0, ctx);
	status = fork();
	if (!status) {
		char path[64], text[4096] = "", c;
		int fd;

		ASSERT_EQ(1, read(pipes[0][0], &c, 1));
		snprintf(path, sizeof(path), "/proc/%d/status", target);
		fd = open(path, O_RDONLY);
		ASSERT_LT(0, read(fd, text, sizeof(text) - 1));
		EXPECT_NE(NULL, strstr(text, "Uid:\t54321\t54321\t54321\t54321"));
		EXPECT_EQ(1, write(pipes[1][1], "x", 1));
		_exit(0);
	}
	CALL(ctx, 0);
	ASSERT_LE(0, wait(&status));
	EXPECT_EQ(0, status);
}

static uint64_t effective(void)
{
	struct __user_cap_header_struct h = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct d[2] = { 0 };

	syscall(SYS_capget, &h, d);
	return d[0].effective | (uint64_t)d[1].effective << 32;
}

static int set_effective(uint64_t caps)
{
	struct __user_cap_header_struct h = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct d[2] = { 0 };

	d[0].effective = d[0].permitted = caps;
	d[1].effective = d[1].permitted = caps >> 32;
	return syscall(SYS_capset, &h, d);
}

/*
 * A debugger without power over other credentials is no way to them. (To set those
 * that one has makes others, which the kernel does not compare.)
 */
LWC_TEST(under_a_debugger)
{
	int ctx, status, inner;

	IN_CHILD(status) {
		ASSERT_EQ(0, set_effective(0));
		IN_CHILD(inner) {
			struct lwc_event ev;

			CONTEXT(ctx) {
			}
			ASSERT_LE(0, ctx);
			ASSERT_EQ(0, lwc_snapshot(-1, 0, &ev));
			ASSERT_EQ(LWC_EV_CREATED, ev.reason);
			ASSERT_EQ(0, ptrace(PTRACE_TRACEME, 0, 0, 0));
			ASSERT_EQ(0, set_effective(0));
			EXPECT_ERR(lwc_rollback, EPERM, lwc_rollback(ev.created, 0));
			EXPECT_ERR(lwc_switch, EPERM, lwc_switch(ctx, 0, 0, &ev));
		}
		EXPECT_EQ(0, inner);
	}
	EXPECT_EQ(0, status);
}

LWC_TEST(capabilities)
{
	uint64_t all = effective();
	int ctx, i;

	NEED_ROOT();
	CONTEXT(ctx) {
		if (!shm[0]++)
			EXPECT_EQ(0, set_effective(1ul << CAP_CHOWN));
		in.reply = effective();
		EXPECT_NE(0, sethostname("x", 1));
	}
	ASSERT_LE(0, ctx);
	for (i = 0; i < 5; i++) {
		EXPECT_EQ(1ul << CAP_CHOWN, CALL(ctx, 0));
		EXPECT_EQ(all, effective());
	}
}

/*
 * How many processes a user has, by the only question that the kernel answers:
 * is one more than so many allowed? Asked in a process of that user.
 */
static int count_processes(uid_t uid)
{
	int status, n;

	IN_CHILD(status) {
		if (setresgid(uid, uid, uid) || setgroups(0, NULL) || setresuid(uid, uid, uid))
			_exit(255);
		for (n = 1; n < 200; n++) {
			struct rlimit limit = { .rlim_cur = n, .rlim_max = 200 };
			pid_t pid;

			if (setrlimit(RLIMIT_NPROC, &limit))
				_exit(255);
			pid = fork();
			if (!pid)
				_exit(0);
			if (pid > 0) {
				waitpid(pid, NULL, 0);
				/* With this process and its child n are allowed. */
				_exit(n - 2);
			}
		}
		_exit(254);
	}
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

LWC_TEST(process_counts)
{
	int ctx[2], i;

	NEED_ROOT();
	ASSERT_EQ(0, count_processes(ONE_USER));
	ASSERT_EQ(0, count_processes(OTHER_USER));
	for (i = 0; i < 2; i++) {
		CONTEXT(ctx[i]) {
			if (in.ev.arg)
				ASSERT_EQ(0, setresuid(ONE_USER + i, ONE_USER + i, ONE_USER + i));
		}
		ASSERT_LE(0, ctx[i]);
		CALL(ctx[i], 1);
		/* Not in it: the task is root's now. */
		EXPECT_EQ(0, count_processes(ONE_USER + i));
	}
	for (i = 0; i < 200; i++)
		CALL(ctx[i & 1], 0);
	EXPECT_EQ(0, count_processes(ONE_USER));
	EXPECT_EQ(0, count_processes(OTHER_USER));
	/* Closed while it is somebody else's. */
	EXPECT_EQ(0, lwc_close(ctx[0]));
	EXPECT_EQ(0, lwc_close(ctx[1]));
	msleep(50);
	EXPECT_EQ(0, count_processes(ONE_USER));
	EXPECT_EQ(0, count_processes(OTHER_USER));
}

/* A process that ends as somebody else, in a context, or with such contexts parked. */
LWC_TEST(process_counts_at_the_end)
{
	int ctx, status, how;

	NEED_ROOT();
	for (how = 0; how < 4; how++) {
		IN_CHILD(status) {
			CONTEXT(ctx) {
				ASSERT_EQ(0, setresuid(ONE_USER, ONE_USER, ONE_USER));
				if (how == 1)
					_exit(0);
				if (how == 2)
					kill(getpid(), SIGKILL);
			}
			ASSERT_LE(0, ctx);
			CALL(ctx, 0);
			if (how == 3)
				ASSERT_EQ(0, setresuid(OTHER_USER, OTHER_USER, OTHER_USER));
		}
		EXPECT_EQ(how == 2 ? SIGKILL : 0, status);
		EXPECT_EQ(0, count_processes(ONE_USER));
		EXPECT_EQ(0, count_processes(OTHER_USER));
	}
}

/* As above, across rollback and renew, which put a user back. */
LWC_TEST(process_counts_rolled_back)
{
	int ctx, i, snap;
	struct lwc_event ev;

	NEED_ROOT();
	CONTEXT(ctx) {
		ASSERT_EQ(0, setresuid(ONE_USER, ONE_USER, ONE_USER));
	}
	ASSERT_LE(0, ctx);
	for (i = 0; i < 50; i++) {
		CALL(ctx, 0);
		ASSERT_EQ(0, lwc_renew(ctx, 0, &ev));
		if (ev.reason == LWC_EV_SWITCH) {
			inside_context = true;
			ASSERT_EQ(0, geteuid());
			ASSERT_EQ(0, setresuid(ONE_USER, ONE_USER, ONE_USER));
			lwc_switch(ev.caller, 0, 0, &ev);
			_exit(1);
		}
	}
	EXPECT_EQ(0, count_processes(ONE_USER));
	ASSERT_EQ(0, lwc_close(ctx));
	ASSERT_EQ(0, lwc_snapshot(-1, 0, &ev));
	snap = ev.created;
	EXPECT_EQ(0, geteuid());
	if (shm[0]++ < 50) {
		ASSERT_EQ(0, setresuid(ONE_USER, ONE_USER, ONE_USER));
		lwc_rollback(snap, 0);
		_metadata->passed = 0;
	}
	EXPECT_EQ(0, count_processes(ONE_USER));
}

LWC_TEST(no_new_privs)
{
	int ctx, i;

	CONTEXT(ctx) {
		EXPECT_EQ(!!shm[0], prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0));
		EXPECT_EQ(0, prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
		shm[0] = 1;
	}
	ASSERT_LE(0, ctx);
	for (i = 0; i < 5; i++) {
		CALL(ctx, 0);
		EXPECT_EQ(0, prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0));
	}
	/* Made inside, it is there too. */
	CONTEXT(ctx) {
		in.reply = prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0);
	}
	ASSERT_LE(0, ctx);
	EXPECT_EQ(0, CALL(ctx, 0));
	ASSERT_EQ(0, prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
	CONTEXT(ctx) {
		in.reply = prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0);
	}
	ASSERT_LE(0, ctx);
	EXPECT_EQ(1, CALL(ctx, 0));
}

/* Makes one system call fail with an errno for the rest of this context. */
static int add_filter(int nr, int error, unsigned int flags)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, nr, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | error),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog prog = { .len = ARRAY_SIZE(code), .filter = code };

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
		return -errno;
	return syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &prog) ? -errno : 0;
}

static int try_call(int nr)
{
	return syscall(nr, 0, 0, 0, 0, 0, 0) == -1 ? -errno : 0;
}

LWC_TEST(seccomp_filters)
{
	int a, b, i;

	CONTEXT(a) {
		if (!shm[0]++)
			EXPECT_EQ(0, add_filter(SYS_getppid, 111, 0));
		EXPECT_EQ(2, prctl(PR_GET_SECCOMP));
		in.reply = -try_call(SYS_getppid) * 1000 - try_call(SYS_getuid);
	}
	ASSERT_LE(0, a);
	CONTEXT(b) {
		if (!shm[1]++)
			EXPECT_EQ(0, add_filter(SYS_getuid, 112, 0));
		in.reply = -try_call(SYS_getppid) * 1000 - try_call(SYS_getuid);
	}
	ASSERT_LE(0, b);
	for (i = 0; i < 10; i++) {
		EXPECT_EQ(111000, CALL(a, 0));
		EXPECT_EQ(112, CALL(b, 0));
		EXPECT_EQ(0, try_call(SYS_getppid));
		EXPECT_EQ(0, try_call(SYS_getuid));
		EXPECT_EQ(0, prctl(PR_GET_SECCOMP));
		EXPECT_EQ(0, prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0));
	}
}

/* A filter that is there at creation is for the new context too, and forked children. */
LWC_TEST(seccomp_filters_are_inherited)
{
	int ctx, status;

	CONTEXT(ctx) {
		int inner;

		EXPECT_EQ(0, add_filter(SYS_getppid, 111, 0));
		CONTEXT(inner) {
			in.reply = -try_call(SYS_getppid);
			EXPECT_EQ(0, add_filter(SYS_getuid, 112, 0));
		}
		ASSERT_LE(0, inner);
		in.reply = CALL(inner, 0);
		EXPECT_EQ(-111, try_call(SYS_getppid));
		EXPECT_EQ(0, try_call(SYS_getuid));
		EXPECT_EQ(0, lwc_close(inner));
		IN_CHILD(status) {
			EXPECT_EQ(-111, try_call(SYS_getppid));
		}
		EXPECT_EQ(0, status);
	}
	ASSERT_LE(0, ctx);
	EXPECT_EQ(111, CALL(ctx, 0));
	EXPECT_EQ(0, try_call(SYS_getppid));
}

static void *filter_seen_by_thread(void *arg)
{
	(void)arg;
	shm[5] = 1;
	while (shm[5] == 1)
		msleep(1);
	shm[6] = -try_call(SYS_getppid);
	return NULL;
}

/* TSYNC reaches threads in the same context alone, or is refused. */
LWC_TEST(seccomp_tsync)
{
	pthread_t t;
	int ctx;

	ASSERT_EQ(0, pthread_create(&t, NULL, filter_seen_by_thread, NULL));
	while (!shm[5])
		msleep(1);
	CONTEXT(ctx) {
		in.reply = -add_filter(SYS_getppid, 111, SECCOMP_FILTER_FLAG_TSYNC);
		shm[7] = -try_call(SYS_getppid);
	}
	ASSERT_LE(0, ctx);
	if (CALL(ctx, 0)) {
		EXPECT_EQ(0, shm[7]);
	} else {
		EXPECT_EQ(111, shm[7]);
	}
	shm[5] = 2;
	ASSERT_EQ(0, pthread_join(t, NULL));
	EXPECT_EQ(0, shm[6]);
	EXPECT_EQ(0, try_call(SYS_getppid));
}

/* A filter, and the promise before it, go with the rest that is rolled back. */
LWC_TEST(seccomp_rolled_back)
{
	struct lwc_event ev;

	ASSERT_EQ(0, lwc_snapshot(-1, 0, &ev));
	EXPECT_EQ(0, try_call(SYS_getppid));
	EXPECT_EQ(0, prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0));
	if (shm[0]++ < 5) {
		EXPECT_EQ(0, add_filter(SYS_getppid, 111, 0));
		EXPECT_EQ(-111, try_call(SYS_getppid));
		lwc_rollback(ev.created, 0);
		_metadata->passed = 0;
	}
	EXPECT_EQ(6, shm[0]);
}

LWC_TEST(namespaces)
{
	struct utsname before, name;
	int ctx, i;

	NEED_ROOT();
	ASSERT_EQ(0, uname(&before));
	CONTEXT(ctx) {
		if (!shm[0]++) {
			ASSERT_EQ(0, unshare(CLONE_NEWUTS | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWNS));
			ASSERT_EQ(0, sethostname("elsewhere", 9));
		}
		ASSERT_EQ(0, uname(&name));
		EXPECT_STREQ("elsewhere", name.nodename);
		in.reply = open_descriptors();
	}
	ASSERT_LE(0, ctx);
	for (i = 0; i < 5; i++) {
		CALL(ctx, 0);
		ASSERT_EQ(0, uname(&name));
		EXPECT_STREQ(before.nodename, name.nodename);
	}
	EXPECT_EQ(0, lwc_close(ctx));
	ASSERT_EQ(0, uname(&name));
	EXPECT_STREQ(before.nodename, name.nodename);
}

/* An ordinary user who becomes root of a namespace, in one context alone. */
LWC_TEST(user_namespace)
{
	int ctx, i;
	uid_t uid = geteuid();

	CONTEXT(ctx) {
		if (!shm[0]++) {
			in.reply = unshare(CLONE_NEWUSER) ? errno : 0;
			if (in.reply)
				continue;
		}
		/* Nobody is mapped: all capabilities, and no name. */
		EXPECT_NE(0, effective());
		EXPECT_EQ(65534, geteuid());
	}
	ASSERT_LE(0, ctx);
	i = CALL(ctx, 0);
	if (i)
		SKIP(return, "user namespaces: %s", strerror(i));
	for (i = 0; i < 5; i++) {
		EXPECT_EQ(uid, geteuid());
		if (uid)
			EXPECT_EQ(0, effective());
		CALL(ctx, 0);
	}
}

TEST_HARNESS_MAIN
