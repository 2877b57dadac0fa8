// SPDX-License-Identifier: GPL-2.0
/*
 * The kept state: LWC_KEEP, lwc_keep(), and the switches that go back to it,
 * LWC_FRESH and LWC_DISCARD. Whatever a context did meanwhile is gone, it goes on
 * where it was kept, and nothing of this happens to anyone else.
 */
#include <linux/aio_abi.h>

#include "test.h"

#define KEPT(fd)	CONTEXT_WITH(fd, NULL, 0, LWC_KEEP)

/* As CALL(), with flags. */
#define CALL_WITH(fd, flags, value)					\
({									\
	struct lwc_event __ev = { 0 };					\
	int __r = lwc_switch(fd, flags, value, &__ev);			\
	ASSERT_EQ(0, __r) {						\
		TH_LOG("cannot switch: %s", strerror(-__r));		\
	}								\
	EXPECT_EQ(LWC_EV_SWITCH, __ev.reason);				\
	EXPECT_EQ(-1, __ev.created);					\
	__ev.arg;							\
})

#define FRESH(fd, value)	CALL_WITH(fd, LWC_FRESH, value)

static int in_data = 5;

/* Without lwc_keep(): each time what it was when it was made. */
LWC_TEST(fresh_is_as_created)
{
	const int n = 64;
	volatile int on_stack = 5;
	char *p = private_memory(n * PAGE), *top = sbrk(0), *mine;
	int ctx, i, round, *heap = malloc(sizeof(*heap));

	memset(p, 1, n * PAGE);
	*heap = 5;
	KEPT(ctx) {
		for (i = 0; i < n; i++)
			EXPECT_EQ(1, p[i * PAGE]);
		EXPECT_EQ(5, in_data);
		EXPECT_EQ(5, on_stack);
		EXPECT_EQ(5, *heap);
		EXPECT_EQ(top, sbrk(0));
		EXPECT_EQ(++shm[0], (long)in.ev.arg);
		for (i = shm[0] % 7; i < n; i += 7)
			p[i * PAGE] = 2;
		in_data = on_stack = *heap = 6;
		sbrk(8 * PAGE);
		mine = mmap((void *)0x100000000000, 8 * PAGE, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
		EXPECT_NE(MAP_FAILED, mine);
		memset(mine, 1, 8 * PAGE);
		if (shm[0] % 5 == 0)
			munmap(p + 3 * PAGE, PAGE);
		if (shm[0] % 5 == 1)
			mprotect(p + 5 * PAGE, PAGE, PROT_READ);
		if (shm[0] % 5 == 2)
			madvise(p + 5 * PAGE, 9 * PAGE, MADV_DONTNEED);
		in.reply = shm[0] * 3;
	}
	ASSERT_LE(0, ctx);
	for (round = 1; round <= 40; round++) {
		/* What is written here is nothing to it. */
		p[round] = in_data = on_stack = *heap = 90;
		EXPECT_EQ(3 * round, FRESH(ctx, round));
	}
}

/* A context that has been set up, kept, and serves each call as if the first. */
LWC_TEST(fresh_is_as_kept)
{
	int ctx, round, *heap = malloc(sizeof(*heap));
	struct lwc_event ev;

	*heap = 0;
	KEPT(ctx) {
		/* The first time: set up. Then it is always the second time. */
		(*heap)++;
		in.reply = *heap * 100 + in.ev.arg;
	}
	ASSERT_LE(0, ctx);
	EXPECT_EQ(101, CALL(ctx, 1));
	EXPECT_EQ(202, CALL(ctx, 2));
	ASSERT_EQ(0, lwc_keep(ctx));
	for (round = 0; round < 20; round++)
		EXPECT_EQ(300 + round, FRESH(ctx, round));
	/* Without the flag it goes on. */
	EXPECT_EQ(405, CALL(ctx, 5));
	EXPECT_EQ(306, FRESH(ctx, 6));
	/* Kept again, twice in a row. */
	ASSERT_EQ(0, lwc_keep(ctx));
	ASSERT_EQ(0, lwc_keep(ctx));
	EXPECT_EQ(407, FRESH(ctx, 7));
	EXPECT_EQ(408, FRESH(ctx, 8));
	/* And as new from here. */
	ASSERT_EQ(0, lwc_renew(ctx, 0, &ev));
	if (ev.reason == LWC_EV_SWITCH) {
		inside_context = true;
		for (;;) {
			(*heap)++;
			lwc_switch(ev.caller, 0, *heap * 1000 + ev.arg, &ev);
		}
	}
	EXPECT_EQ(1001, CALL(ctx, 1));
	EXPECT_EQ(2002, CALL(ctx, 2));
	EXPECT_EQ(1003, FRESH(ctx, 3));
	EXPECT_EQ(0, *heap);
}

/* The context that leaves goes back by itself. */
LWC_TEST(discard)
{
	int ctx, round, *heap = malloc(sizeof(*heap));
	struct lwc_event ev;

	*heap = 5;
	ASSERT_EQ(0, lwc_create(NULL, 0, LWC_KEEP, &ev));
	if (ev.reason == LWC_EV_SWITCH) {
		inside_context = true;
		EXPECT_EQ(5, *heap);
		EXPECT_FALSE(is_open(300));
		*heap = 6;
		dup2(2, 300);
		lwc_switch(ev.caller, LWC_DISCARD, ev.arg + 1, &ev);
		TH_LOG("came back to what was discarded");
		_exit(95);
	}
	ctx = ev.created;
	for (round = 0; round < 20; round++)
		EXPECT_EQ(round + 1, CALL(ctx, round));
	EXPECT_EQ(5, *heap);
	EXPECT_FALSE(is_open(300));
	/* Both at once: it goes back twice. */
	EXPECT_EQ(8, FRESH(ctx, 7));
	EXPECT_EQ(9, CALL(ctx, 8));
}

/* From one that is discarded to one that is fresh, and home from there. */
LWC_TEST(both_flags)
{
	int a, b, round, other = -1, home = -1, pair[2];
	volatile int used = 0;
	struct lwc_event ev;

	ASSERT_EQ(0, socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
	KEPT(b) {
		EXPECT_EQ(0, used);
		if (home < 0) {
			home = in.ev.caller;
		} else {
			used = 1;
			shm[1]++;
			lwc_switch(home, 0, in.ev.arg + 1, &ev);
			TH_LOG("came back to what was to be fresh");
			_exit(95);
		}
	}
	ASSERT_LE(0, b);
	CALL(b, 0);
	ASSERT_EQ(0, lwc_keep(b));
	KEPT(a) {
		EXPECT_EQ(0, used);
		if (other < 0) {
			other = take_descriptor(pair[1]);
			EXPECT_LE(3, other);
		} else {
			used = 2;
			shm[2]++;
			lwc_switch(other, LWC_FRESH | LWC_DISCARD, in.ev.arg + 10, &ev);
			TH_LOG("came back to what was discarded");
			_exit(95);
		}
	}
	ASSERT_LE(0, a);
	ASSERT_EQ(0, send_descriptor(pair[0], b));
	CALL(a, 0);
	ASSERT_EQ(0, lwc_keep(a));
	for (round = 0; round < 20; round++) {
		ASSERT_EQ(0, lwc_switch(a, 0, round, &ev));
		EXPECT_EQ(round + 11, ev.arg);
		EXPECT_EQ(b, ev.caller);
		EXPECT_EQ(round + 1, shm[1]);
		EXPECT_EQ(round + 1, shm[2]);
	}
	EXPECT_EQ(0, used);
}

/* A table goes back whole: with descriptors of contexts, and their contexts. */
LWC_TEST(descriptors)
{
	int ctx, i, round;
	long before = counter("contexts");

	for (i = 100; i < 110; i++)
		ASSERT_EQ(i, dup2(2, i));
	KEPT(ctx) {
		static int inner = -1;

		if (in.ev.arg == 1) {
			CONTEXT(inner) {
				in.reply = 77;
			}
		} else {
			struct stat a, b;

			EXPECT_EQ(0, fstat(2, &a));
			for (i = 100; i < 110; i++) {
				EXPECT_EQ(0, fstat(i, &b));
				EXPECT_EQ(a.st_ino, b.st_ino);
				EXPECT_EQ(0, fcntl(i, F_GETFD));
			}
			EXPECT_FALSE(is_open(200));
			EXPECT_FALSE(is_open(900));
			EXPECT_EQ(77, CALL(inner, 0));
			/* 100 to 102 closed, 103 another file, 104 marked, new ones. */
			for (i = 100; i < 103; i++)
				close(i);
			i = memfd_create("mine", 0);
			ASSERT_EQ(103, dup2(i, 103));
			close(i);
			fcntl(104, F_SETFD, FD_CLOEXEC);
			ASSERT_EQ(200, dup2(2, 200));
			ASSERT_EQ(900, dup2(2, 900));
			ASSERT_EQ(901, dup2(in.ev.caller, 901));
			lwc_close(inner);
			CONTEXT(inner) {
			}
		}
		in.reply = in.ev.arg;
	}
	ASSERT_LE(0, ctx);
	EXPECT_EQ(1, CALL(ctx, 1));
	ASSERT_EQ(0, lwc_keep(ctx));
	for (round = 2; round < 20; round++)
		EXPECT_EQ(round, FRESH(ctx, round));
	EXPECT_EQ(before + 3, counter("contexts"));
	ASSERT_EQ(0, lwc_close(ctx));
	EXPECT_EQ(before, contexts_settle(before));
}

LWC_TEST(directory_and_umask)
{
	char text[100];
	int ctx, round;

	ASSERT_EQ(0, chdir("/tmp"));
	umask(022);
	KEPT(ctx) {
		EXPECT_STREQ("/tmp", getcwd(text, sizeof(text)));
		EXPECT_EQ(022, umask(0));
		ASSERT_EQ(0, chdir("/"));
		in.reply = 1;
	}
	ASSERT_LE(0, ctx);
	for (round = 0; round < 3; round++)
		EXPECT_EQ(1, FRESH(ctx, 0));
	EXPECT_EQ(022, umask(022));
}

LWC_TEST(credentials)
{
	int ctx, round;

	NEED_ROOT();
	KEPT(ctx) {
		EXPECT_EQ(0, geteuid());
		ASSERT_EQ(0, setresuid(65534, 65534, 65534));
		EXPECT_EQ(-1, setuid(0));
		ASSERT_EQ(0, prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
		in.reply = 1;
	}
	ASSERT_LE(0, ctx);
	for (round = 0; round < 5; round++) {
		EXPECT_EQ(1, FRESH(ctx, 0));
		EXPECT_EQ(0, geteuid());
		EXPECT_EQ(0, prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0));
	}
}

/* Registers, mask, alternate stack: the place goes back as well. */
LWC_TEST(places)
{
	static char stack[16384];
	stack_t alternate = { .ss_sp = stack, .ss_size = sizeof(stack) }, now;
	sigset_t mask, before;
	unsigned int control = 0x1f80, rounding = 0x7f80;
	int ctx, round;

	sigprocmask(SIG_BLOCK, NULL, &before);
	asm volatile("ldmxcsr %0" : : "m"(control));
	KEPT(ctx) {
		/* A register that calls preserve, and that goes the way of the vector ones. */
		asm volatile("stmxcsr %0" : "=m"(control));
		EXPECT_EQ(0x1f80, control & ~0x3f);
		asm volatile("ldmxcsr %0" : : "m"(rounding));
		sigprocmask(SIG_BLOCK, NULL, &mask);
		EXPECT_EQ(0, sigismember(&mask, SIGUSR1));
		ASSERT_EQ(0, sigaltstack(&alternate, &now));
		EXPECT_TRUE(now.ss_flags & SS_DISABLE);
		sigemptyset(&mask);
		sigaddset(&mask, SIGUSR1);
		sigprocmask(SIG_BLOCK, &mask, NULL);
		in.reply = in.ev.arg + 1;
	}
	ASSERT_LE(0, ctx);
	for (round = 0; round < 5; round++)
		EXPECT_EQ(round + 1, FRESH(ctx, round));
	sigprocmask(SIG_BLOCK, NULL, &mask);
	EXPECT_EQ(sigismember(&before, SIGUSR1), sigismember(&mask, SIGUSR1));
	asm volatile("stmxcsr %0" : "=m"(control));
	EXPECT_EQ(0x1f80, control & ~0x3f);
}

/* What all contexts see stays; what is wiped at a fork is wiped again. */
LWC_TEST(shared_and_wiped)
{
	volatile int *common = shared_memory(PAGE);
	char *p = private_memory(PAGE);
	int ctx, round;

	ASSERT_EQ(0, madvise(p, PAGE, MADV_WIPEONFORK));
	*p = 1;
	KEPT(ctx) {
		EXPECT_EQ(0, *p);
		*p = 2;
		in.reply = ++*common;
	}
	ASSERT_LE(0, ctx);
	for (round = 1; round < 10; round++)
		EXPECT_EQ(round, FRESH(ctx, 0));
	/* What it has there when it is kept is no part of that either. */
	ASSERT_EQ(0, lwc_keep(ctx));
	EXPECT_EQ(1, *p);
}

/* An object of the kernel that belongs to memory goes with it. */
LWC_TEST(aio_context_goes)
{
	aio_context_t id = 0;
	int ctx, round;

	KEPT(ctx) {
		EXPECT_EQ(0, id);
		if (shm[0]) {
			errno = 0;
			EXPECT_EQ(-1, syscall(SYS_io_destroy, shm[0]));
			EXPECT_EQ(EINVAL, errno);
		}
		ASSERT_EQ(0, syscall(SYS_io_setup, 4, &id));
		shm[0] = id;
		in.reply = 1;
	}
	ASSERT_LE(0, ctx);
	for (round = 0; round < 5; round++)
		EXPECT_EQ(1, FRESH(ctx, 0));
	/* While it is there it cannot be kept. */
	EXPECT_ERR(lwc_keep, EOPNOTSUPP, lwc_keep(ctx));
}

/* Its file table stays the same object: record locks of before survive. */
LWC_TEST(record_locks_survive)
{
	struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
	char name[] = "/tmp/lwc-kept-XXXXXX";
	int ctx, fd = mkstemp(name), status;

	ASSERT_LE(0, fd);
	unlink(name);
	KEPT(ctx) {
		if (in.ev.arg == 1) {
			ASSERT_EQ(0, fcntl(fd, F_SETLK, &lock));
		} else {
			int other = dup(fd);

			EXPECT_LE(0, other);
			in.reply = 2;
		}
	}
	ASSERT_LE(0, ctx);
	CALL(ctx, 1);
	ASSERT_EQ(0, lwc_keep(ctx));
	EXPECT_EQ(2, FRESH(ctx, 2));
	EXPECT_EQ(2, FRESH(ctx, 2));
	IN_CHILD(status) {
		struct flock other = lock;

		EXPECT_EQ(0, fcntl(fd, F_GETLK, &other));
		EXPECT_EQ(F_WRLCK, other.l_type);
	}
	EXPECT_EQ(0, status);
}

/* The same pair has the same number, fresh or not, and a million leak none. */
LWC_TEST(callers)
{
	long i, n = scaled(20000);
	int ctx, other, before, pair[2];

	ASSERT_EQ(0, socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
	KEPT(ctx) {
		in.reply = in.ev.caller;
		if (in.ev.arg == 1)
			dup2(in.ev.caller, 400);
		if (in.ev.arg == 2)
			in.reply = is_open(400);
	}
	ASSERT_LE(0, ctx);
	before = open_descriptors();
	shm[0] = FRESH(ctx, 0);
	EXPECT_LE(3, shm[0]);
	for (i = 0; i < n; i++)
		EXPECT_EQ(shm[0], FRESH(ctx, 0));
	EXPECT_EQ(shm[0], CALL(ctx, 0));
	EXPECT_EQ(shm[0], FRESH(ctx, 1));
	EXPECT_EQ(1, CALL(ctx, 2));
	EXPECT_EQ(0, FRESH(ctx, 2));
	EXPECT_EQ(before, open_descriptors());
	/* Another caller is another number, and the first keeps its own. */
	CONTEXT(other) {
		int target = take_descriptor(pair[1]);

		EXPECT_LE(3, target);
		for (i = 0; i < 10; i++) {
			shm[1] = FRESH(target, 0);
			EXPECT_EQ(shm[1], CALL(target, 0));
		}
		lwc_close(target);
	}
	ASSERT_LE(0, other);
	ASSERT_EQ(0, send_descriptor(pair[0], ctx));
	CALL(other, 0);
	EXPECT_NE(shm[0], shm[1]);
	EXPECT_EQ(shm[0], FRESH(ctx, 0));
	EXPECT_EQ(shm[0], CALL(ctx, 0));
}

/* Callers that come and go do not fill what is kept. */
LWC_TEST(many_callers)
{
	int ctx, other, pair[2], i, first = 0, n = 300;

	ASSERT_EQ(0, socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
	KEPT(ctx) {
		in.reply = in.ev.caller;
	}
	ASSERT_LE(0, ctx);
	for (i = 0; i < n; i++) {
		CONTEXT(other) {
			int target = take_descriptor(pair[1]);

			in.reply = FRESH(target, 0);
		}
		ASSERT_LE(0, other);
		ASSERT_EQ(0, send_descriptor(pair[0], ctx));
		shm[0] = CALL(other, 0);
		if (!i)
			first = shm[0];
		/* The number of one that is gone is given again. */
		EXPECT_LE(shm[0], first + 1);
		ASSERT_EQ(0, lwc_close(other));
	}
}

/*
 * A thread that was made inside has a place there. While it is inside nothing can
 * be put back; once it is in a context of its own, its place goes back with the rest.
 */
static volatile long private_word = 1;

static void *thread_inside(void *arg)
{
	struct __test_metadata *_metadata = arg;
	struct lwc_event ev;

	/* Its own context, in which it waits. */
	ASSERT_EQ(0, lwc_create(NULL, 0, 0, &ev));
	if (ev.reason == LWC_EV_SWITCH) {
		for (;;) {
			shm[1] = 3;
			while (shm[1] != 4)
				msleep(1);
			lwc_switch(ev.caller, 0, 0, &ev);
		}
	}
	shm[1] = 1;
	while (shm[1] != 2)
		msleep(1);
	/* Where its place is, and its word, when all is kept. */
	private_word = 7;
	ASSERT_EQ(0, lwc_switch(ev.created, 0, 0, &ev));
	shm[2] = private_word;
	shm[1] = 5;
	return NULL;
}

LWC_TEST(threads)
{
	struct lwc_event ev;
	pthread_t thread;
	int ctx;

	KEPT(ctx) {
		if (in.ev.arg == 1)
			ASSERT_EQ(0, pthread_create(&thread, NULL, thread_inside, _metadata));
		in.reply = private_word;
		if (in.ev.arg == 2)
			private_word = 8;
	}
	ASSERT_LE(0, ctx);
	EXPECT_EQ(1, CALL(ctx, 1));
	while (shm[1] != 1)
		msleep(1);
	EXPECT_ERR(lwc_switch, EBUSY, lwc_switch(ctx, LWC_FRESH, 0, &ev));
	EXPECT_ERR(lwc_keep, EBUSY, lwc_keep(ctx));
	shm[1] = 2;
	while (shm[1] != 3)
		msleep(1);
	ASSERT_EQ(0, lwc_keep(ctx));
	EXPECT_EQ(7, CALL(ctx, 2));
	EXPECT_EQ(8, CALL(ctx, 2));
	EXPECT_EQ(7, FRESH(ctx, 2));
	EXPECT_EQ(7, FRESH(ctx, 0));
	/* Now the other one goes on in it, from where it was kept. */
	shm[1] = 4;
	while (shm[1] != 5)
		msleep(1);
	EXPECT_EQ(7, shm[2]);
	/* It has ended, and has no place any more. */
	while (lwc_switch(ctx, LWC_FRESH, 0, &ev) == -EBUSY)
		msleep(1);
	EXPECT_EQ(7, ev.arg);
	EXPECT_EQ(1, private_word);
}

static void *has_no_place(void *arg)
{
	struct lwc_event ev;

	shm[3] = lwc_switch(*(int *)arg, LWC_FRESH, 0, &ev);
	return NULL;
}

LWC_TEST(errors)
{
	int ctx, plain, snap, status, pair[2];
	struct lwc_event ev;
	pthread_t thread;
	void *locked;

	ASSERT_EQ(0, socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
	CONTEXT(plain) {
		in.reply = ++shm[0];
		if (in.ev.arg) {
			/* Nothing was kept of what it would discard. */
			EXPECT_ERR(lwc_switch, EINVAL, lwc_switch(in.ev.caller, LWC_DISCARD, 0, &ev));
		}
	}
	ASSERT_LE(0, plain);
	EXPECT_ERR(lwc_keep, EINVAL, lwc_keep(plain));
	EXPECT_ERR(lwc_switch, EINVAL, lwc_switch(plain, LWC_FRESH, 0, &ev));
	EXPECT_ERR(lwc_switch, EINVAL, lwc_switch(plain, LWC_DISCARD, 0, &ev));
	EXPECT_EQ(0, shm[0]);
	EXPECT_EQ(1, CALL(plain, 1));

	KEPT(ctx) {
		in.reply = ++shm[1];
		switch (in.ev.arg) {
		case 1:
			/* By itself: it is in it. */
			snap = lwc_self();
			EXPECT_ERR(lwc_keep, EBUSY, lwc_keep(snap));
			EXPECT_ERR(lwc_switch, EDEADLK, lwc_switch(snap, LWC_FRESH, 0, &ev));
			EXPECT_ERR(lwc_switch, EDEADLK, lwc_switch(snap, LWC_DISCARD, 0, &ev));
			lwc_close(snap);
			/* The caller may be switched to, and no more. */
			EXPECT_ERR(lwc_keep, EPERM, lwc_keep(in.ev.caller));
			EXPECT_ERR(lwc_switch, EPERM, lwc_switch(in.ev.caller, LWC_FRESH, 0, &ev));
			break;
		case 2:
			ASSERT_EQ(0, lwc_snapshot(-1, 0, &ev));
			ASSERT_EQ(200, dup2(ev.created, 200));
			EXPECT_ERR(lwc_switch, EINVAL,
				   lwc_switch(in.ev.caller, LWC_DISCARD, 0, &ev));
			break;
		case 3:
			ASSERT_EQ(0, lwc_close(200));
			ASSERT_EQ(0, lwc_close(shm[5]));
			break;
		case 4:
			locked = private_memory(PAGE);
			if (mlock(locked, PAGE))
				shm[4] = 1;
			break;
		}
		if (in.ev.arg == 2)
			shm[5] = ev.created;
	}
	ASSERT_LE(0, ctx);
	EXPECT_EQ(1, CALL(ctx, 1));
	CALL(ctx, 2);
	EXPECT_ERR(lwc_keep, EINVAL, lwc_keep(ctx));
	EXPECT_ERR(lwc_switch, EINVAL, lwc_switch(ctx, LWC_FRESH, 0, &ev));
	CALL(ctx, 3);
	EXPECT_EQ(0, lwc_keep(ctx));
	CALL(ctx, 4);
	if (!shm[4])
		EXPECT_ERR(lwc_keep, EOPNOTSUPP, lwc_keep(ctx));
	EXPECT_ERR(lwc_switch, EFAULT, lwc_switch(ctx, LWC_FRESH, 0, NULL));
	shm[1] = 50;
	EXPECT_EQ(51, FRESH(ctx, 0));
	EXPECT_EQ(0, lwc_keep(ctx));

	ASSERT_EQ(0, pthread_create(&thread, NULL, has_no_place, &ctx));
	ASSERT_EQ(0, pthread_join(thread, NULL));
	EXPECT_ERR(lwc_switch, ENXIO, shm[3]);
	EXPECT_ERR(lwc_keep, EBADF, lwc_keep(-1));
	EXPECT_ERR(lwc_keep, EBADF, lwc_keep(2));
	ASSERT_EQ(0, lwc_snapshot(-1, 0, &ev));
	EXPECT_ERR(lwc_keep, EINVAL, lwc_keep(ev.created));
	ASSERT_EQ(0, lwc_close(ev.created));
	IN_CHILD(status) {
		EXPECT_ERR(lwc_keep, ESRCH, lwc_keep(ctx));
		EXPECT_ERR(lwc_switch, ESRCH, lwc_switch(ctx, LWC_FRESH, 0, &ev));
	}
	EXPECT_EQ(0, status);

	/* Whoever may only switch must not rewind it. */
	ASSERT_EQ(0, lwc_restrict(ctx, LWC_MAY_SWITCH, NULL, 0));
	EXPECT_ERR(lwc_keep, EPERM, lwc_keep(ctx));
	EXPECT_ERR(lwc_switch, EPERM, lwc_switch(ctx, LWC_FRESH, 0, &ev));
	EXPECT_EQ(52, CALL(ctx, 0));
}

LWC_TEST(without_room_for_the_caller)
{
	struct rlimit old, none;
	struct lwc_event ev;
	int ctx;

	KEPT(ctx) {
		in.reply = ++shm[0];
	}
	ASSERT_LE(0, ctx);
	ASSERT_EQ(0, getrlimit(RLIMIT_NOFILE, &old));
	none = old;
	none.rlim_cur = 3;
	ASSERT_EQ(0, setrlimit(RLIMIT_NOFILE, &none));
	EXPECT_ERR(lwc_switch, EMFILE, lwc_switch(ctx, LWC_FRESH, 0, &ev));
	ASSERT_EQ(0, setrlimit(RLIMIT_NOFILE, &old));
	EXPECT_EQ(0, shm[0]);
	EXPECT_EQ(1, FRESH(ctx, 0));
}

/* What it costs is what was written, not what is mapped. */
LWC_TEST(cost_is_what_was_written)
{
	const int n = 25600;
	long copied, compares, duplicates;
	char *p = private_memory(n * PAGE);
	int ctx, i, round;

	memset(p, 1, n * PAGE);
	KEPT(ctx) {
		for (i = 0; i < 10; i++)
			p[i * 100 * PAGE] = 2;
	}
	ASSERT_LE(0, ctx);
	for (round = 0; round < 4; round++)
		FRESH(ctx, 0);
	copied = counter("pages_copied");
	compares = counter("compares");
	duplicates = counter("duplicates");
	for (round = 0; round < 20; round++)
		FRESH(ctx, 0);
	EXPECT_LE(20 * 10, counter("pages_copied") - copied);
	EXPECT_GE(20 * 30, counter("pages_copied") - copied);
	EXPECT_EQ(compares, counter("compares"));
	EXPECT_EQ(duplicates, counter("duplicates"));
}

/* Closed while its own kept state holds it: nobody can reach it any more. */
LWC_TEST(held_by_what_it_keeps)
{
	long before = counter("contexts"), old = parameter("max_contexts");
	int status;

	NEED_ROOT();
	ASSERT_EQ(0, set_parameter("max_contexts", 10));
	IN_CHILD(status) {
		int ctx, pair[2], i;

		ASSERT_EQ(0, socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
		for (i = 0; i < 30; i++) {
			KEPT(ctx) {
				static int self = -1;

				if (in.ev.arg == 1)
					self = take_descriptor(pair[1]);
				else
					lwc_close(self);
				in.reply = self;
			}
			ASSERT_LE(0, ctx) {
				TH_LOG("round %d", i);
			}
			ASSERT_EQ(0, send_descriptor(pair[0], ctx));
			EXPECT_LE(3, (int)CALL(ctx, 1));
			ASSERT_EQ(0, lwc_keep(ctx));
			/* Its table has it no more, its kept state has. */
			CALL(ctx, 2);
			lwc_close(ctx);
		}
	}
	EXPECT_EQ(0, set_parameter("max_contexts", old));
	EXPECT_EQ(0, status);
	EXPECT_EQ(before, contexts_settle(before));
}

/* What runs inside must not choose what it goes back to, by whatever way. */
LWC_TEST(not_by_itself)
{
	int ctx, pair[2];

	ASSERT_EQ(0, socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
	KEPT(ctx) {
		static int changed;
		int inner, self = lwc_self();

		in.reply = changed;
		changed = 1;
		ASSERT_LE(3, self);
		CONTEXT(inner) {
			int taken = take_descriptor(pair[1]);

			EXPECT_LE(3, taken);
			EXPECT_ERR(lwc_keep, EPERM, lwc_keep(taken));
		}
		ASSERT_LE(0, inner);
		ASSERT_EQ(0, send_descriptor(pair[0], self));
		CALL(inner, 0);
	}
	ASSERT_LE(0, ctx);
	EXPECT_EQ(0, FRESH(ctx, 0));
	EXPECT_EQ(0, FRESH(ctx, 0));
	EXPECT_EQ(1, CALL(ctx, 0));
}

/* What is refused has left nothing in what is kept. */
LWC_TEST(refused_keeps_nothing)
{
	int ctx;

	KEPT(ctx) {
		in.reply = is_open(900);
		ASSERT_EQ(900, dup2(2, 900));
		if (mlock(private_memory(PAGE), PAGE))
			shm[0] = 1;
	}
	ASSERT_LE(0, ctx);
	EXPECT_EQ(0, CALL(ctx, 0));
	if (shm[0])
		SKIP(return, "may not lock memory");
	EXPECT_ERR(lwc_keep, EOPNOTSUPP, lwc_keep(ctx));
	EXPECT_EQ(0, FRESH(ctx, 0));
}

/* A child that shares the table would see all that is opened later. */
LWC_TEST(child_shares_the_table)
{
	static const unsigned long shared[] = { CLONE_FILES, CLONE_FS };
	struct lwc_event ev;
	unsigned int i;
	int ctx, status;

	for (i = 0; i < ARRAY_SIZE(shared); i++) {
		pid_t pid;

		KEPT(ctx) {
			if (in.ev.arg) {
				pid = syscall(SYS_clone, shared[i] | SIGCHLD, NULL, NULL, NULL, NULL);
				if (!pid) {
					for (;;)
						pause();
				}
				in.reply = pid;
			}
		}
		ASSERT_LE(0, ctx);
		EXPECT_EQ(0, FRESH(ctx, 0));
		pid = CALL(ctx, 1);
		ASSERT_LT(0, pid);
		EXPECT_ERR(lwc_switch, EBUSY, lwc_switch(ctx, LWC_FRESH, 0, &ev));
		EXPECT_ERR(lwc_keep, EBUSY, lwc_keep(ctx));
		ASSERT_EQ(0, kill(pid, SIGKILL));
		ASSERT_EQ(pid, waitpid(pid, &status, 0));
		EXPECT_EQ(0, FRESH(ctx, 0));
		EXPECT_EQ(0, lwc_close(ctx));
	}
}

/* Rollbacks of its creator are nothing to it. */
LWC_TEST(beside_a_snapshot)
{
	struct lwc_event ev;
	volatile int here = 1;
	int ctx, round;

	KEPT(ctx) {
		in.reply = here++;
	}
	ASSERT_LE(0, ctx);
	ASSERT_EQ(0, lwc_snapshot(-1, 0, &ev));
	round = ev.reason == LWC_EV_ROLLBACK ? ev.arg : 0;
	EXPECT_EQ(1, here);
	here = 5;
	EXPECT_EQ(1, FRESH(ctx, 0));
	EXPECT_EQ(2, CALL(ctx, 0));
	EXPECT_EQ(1, FRESH(ctx, 0));
	if (round < 5)
		lwc_rollback(ev.created, round + 1);
	EXPECT_EQ(5, here);
}

TEST_HARNESS_MAIN
