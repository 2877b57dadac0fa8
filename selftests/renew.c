// SPDX-License-Identifier: GPL-2.0
/*
 * lwc_renew: a used context becomes what a new one would be, here and now. What
 * it did is gone, what the creator did since is there, shared memory stays; and
 * the creator itself is never touched.
 */
#include <sys/file.h>

#include "test.h"

/*
 * RENEW(fd) { ... } renews a context, which runs the block from then on, as with
 * CONTEXT(). in.ev is the first event.
 */
static struct round renew_begin(struct __test_metadata *_metadata, int fd)
{
	struct round in = { 0 };
	int r = lwc_renew(fd, 0, &in.ev);

	ASSERT_EQ(0, r);
	if (in.ev.reason == LWC_EV_SWITCH) {
		in.inside = true;
		inside_context = true;
		EXPECT_EQ(-1, in.ev.created);
		EXPECT_LE(3, in.ev.caller);
	} else {
		EXPECT_EQ(LWC_EV_CREATED, in.ev.reason);
		EXPECT_EQ(fd, in.ev.created);
		EXPECT_EQ(-1, in.ev.caller);
	}
	return in;
}

#define RENEW(fd)							\
	for (struct round in = renew_begin(_metadata, fd);		\
	     in.inside; context_back(_metadata, &in))

LWC_TEST(returns_twice)
{
	int ctx, i;

	CONTEXT(ctx) {
		in.reply = 1;
	}
	ASSERT_LE(0, ctx);
	EXPECT_EQ(1, CALL(ctx, 0));
	for (i = 0; i < 20; i++) {
		long before = shm[0];

		RENEW(ctx) {
			shm[0]++;
			EXPECT_EQ(i * 7, in.ev.arg);
			in.reply = 100 + i;
		}
		/* Nothing runs before it is switched to. */
		EXPECT_EQ(before, shm[0]);
		EXPECT_EQ(100 + i, CALL(ctx, i * 7));
		EXPECT_EQ(before + 1, shm[0]);
		EXPECT_EQ(100 + i, CALL(ctx, i * 7));
	}
}

/* Before it ever ran, and several times in a row. */
LWC_TEST(never_used)
{
	int ctx;

	CONTEXT(ctx) {
		in.reply = 1;
	}
	ASSERT_LE(0, ctx);
	RENEW(ctx) {
		in.reply = 2;
	}
	RENEW(ctx) {
		in.reply = 3;
	}
	EXPECT_EQ(3, CALL(ctx, 0));
}

static int in_data = 5;

LWC_TEST(memory)
{
	const int n = 64;
	volatile int on_stack = 5;
	char *p = private_memory(n * PAGE);
	int ctx, i, round, *heap = malloc(sizeof(*heap));

	memset(p, 1, n * PAGE);
	*heap = 5;
	CONTEXT(ctx) {
		memset(p, 2, n * PAGE);
		in_data = on_stack = *heap = 6;
	}
	ASSERT_LE(0, ctx);
	CALL(ctx, 0);
	for (round = 0; round < 20; round++) {
		/* Some pages here, some there, some on both sides. */
		for (i = round % 3; i < n; i += 3)
			p[i * PAGE] = 10 + round;
		in_data = on_stack = *heap = 100 + round;
		RENEW(ctx) {
			for (i = 0; i < n; i++) {
				int want = 1, r;

				for (r = round; r >= 0; r--) {
					if (i % 3 == r % 3) {
						want = 10 + r;
						break;
					}
				}
				EXPECT_EQ(want, p[i * PAGE]);
				EXPECT_EQ(1, p[i * PAGE + 9]);
			}
			EXPECT_EQ(100 + round, in_data);
			EXPECT_EQ(100 + round, on_stack);
			EXPECT_EQ(100 + round, *heap);
			for (i = round % 5; i < n; i += 5)
				p[i * PAGE] = p[i * PAGE + 9] = 77;
			in_data = on_stack = *heap = 88;
		}
		CALL(ctx, 0);
		EXPECT_EQ(100 + round, in_data);
		EXPECT_EQ(100 + round, on_stack);
		EXPECT_EQ(100 + round, *heap);
		for (i = 0; i < n; i++)
			EXPECT_EQ(1, p[i * PAGE + 9]);
	}
}

LWC_TEST(mappings)
{
	char *keep = private_memory(4 * PAGE), *top = sbrk(0);
	char *mine = NULL, *later;
	int ctx;

	memset(keep, 1, 4 * PAGE);
	CONTEXT(ctx) {
		ASSERT_EQ(0, munmap(keep + PAGE, PAGE));
		ASSERT_EQ(0, mprotect(keep, PAGE, PROT_READ));
		ASSERT_EQ(0, madvise(keep + 2 * PAGE, PAGE, MADV_DONTNEED));
		mine = mmap((void *)0x100000000000, 8 * PAGE, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
		ASSERT_NE(MAP_FAILED, mine);
		memset(mine, 1, 8 * PAGE);
		sbrk(32 * PAGE);
		in.reply = (uintptr_t)mine;
	}
	ASSERT_LE(0, ctx);
	mine = (char *)CALL(ctx, 0);
	ASSERT_EQ(0, munmap(keep + 3 * PAGE, PAGE));
	later = private_memory(16 * PAGE);
	*later = 9;
	RENEW(ctx) {
		EXPECT_EQ(1, keep[PAGE]);
		EXPECT_EQ(1, keep[2 * PAGE]);
		keep[0] = 2;
		EXPECT_FALSE(is_mapped(keep + 3 * PAGE));
		if (mine + 4 * PAGE < later || mine + 4 * PAGE >= later + 16 * PAGE)
			EXPECT_FALSE(is_mapped(mine + 4 * PAGE));
		EXPECT_EQ(9, *later);
		EXPECT_EQ(top, sbrk(0));
		in.reply = 1;
	}
	EXPECT_EQ(1, CALL(ctx, 0));
	EXPECT_EQ(1, keep[0]);
}

LWC_TEST(shared_memory_stays)
{
	volatile int *common = shared_memory(PAGE);
	int ctx;

	CONTEXT(ctx) {
		*common = 5;
	}
	ASSERT_LE(0, ctx);
	CALL(ctx, 0);
	RENEW(ctx) {
		EXPECT_EQ(5, *common);
		*common = 6;
	}
	EXPECT_EQ(5, *common);
	CALL(ctx, 0);
	EXPECT_EQ(6, *common);
}

LWC_TEST(wipeonfork_is_wiped_again)
{
	char *p = private_memory(PAGE);
	int ctx, i;

	ASSERT_EQ(0, madvise(p, PAGE, MADV_WIPEONFORK));
	*p = 1;
	CONTEXT(ctx) {
		*p = 2;
	}
	ASSERT_LE(0, ctx);
	CALL(ctx, 0);
	for (i = 0; i < 5; i++) {
		*p = 10 + i;
		RENEW(ctx) {
			EXPECT_EQ(0, *p);
			*p = 3;
		}
		CALL(ctx, 0);
		EXPECT_EQ(10 + i, *p);
	}
}

LWC_TEST(dontfork_is_absent_again)
{
	char *p = private_memory(2 * PAGE);
	int ctx;

	p[0] = p[PAGE] = 1;
	ASSERT_EQ(0, madvise(p, PAGE, MADV_DONTFORK));
	CONTEXT(ctx) {
		in.reply = is_mapped(p) + 2 * is_mapped(p + PAGE);
	}
	ASSERT_LE(0, ctx);
	EXPECT_EQ(2, CALL(ctx, 0));
	ASSERT_EQ(0, madvise(p, PAGE, MADV_DOFORK));
	ASSERT_EQ(0, madvise(p + PAGE, PAGE, MADV_DONTFORK));
	RENEW(ctx) {
		in.reply = is_mapped(p) + 2 * is_mapped(p + PAGE);
	}
	EXPECT_EQ(1, CALL(ctx, 0));
	EXPECT_EQ(1, p[PAGE]);
}

LWC_TEST(descriptors)
{
	int ctx, i;

	for (i = 100; i < 110; i++)
		ASSERT_EQ(i, dup2(2, i));
	CONTEXT(ctx) {
		/* 100 to 102 closed, 103 another file, 104 marked, 200 to 210 new. */
		for (i = 100; i < 103; i++)
			close(i);
		i = memfd_create("mine", 0);
		ASSERT_EQ(103, dup2(i, 103));
		close(i);
		fcntl(104, F_SETFD, FD_CLOEXEC);
		for (i = 200; i < 210; i++)
			ASSERT_EQ(i, dup2(2, i));
	}
	ASSERT_LE(0, ctx);
	CALL(ctx, 0);
	/* Here 109 goes, and 300 comes. */
	close(109);
	ASSERT_EQ(300, dup2(2, 300));
	RENEW(ctx) {
		struct stat a, b;

		for (i = 100; i < 109; i++)
			EXPECT_TRUE(is_open(i));
		EXPECT_FALSE(is_open(109));
		EXPECT_TRUE(is_open(300));
		for (i = 200; i < 210; i++)
			EXPECT_FALSE(is_open(i));
		EXPECT_EQ(0, fstat(2, &a));
		EXPECT_EQ(0, fstat(103, &b));
		EXPECT_EQ(a.st_ino, b.st_ino);
		EXPECT_EQ(0, fcntl(104, F_GETFD));
		in.reply = 1;
	}
	EXPECT_EQ(1, CALL(ctx, 0));
	EXPECT_TRUE(is_open(300));
}

/* The specs are those that it was made with, applied to what is here now. */
LWC_TEST(specs_hold)
{
	static const struct lwc_spec specs[] = {
		{ .type = LWC_FILES, .mode = LWC_UNMAP, .from = 305, .to = 400 },
		{ .type = LWC_FILES, .mode = LWC_COW, .from = 307, .to = 308 },
	};
	int ctx, i;

	for (i = 300; i < 307; i++)
		ASSERT_EQ(i, dup2(2, i));
	CONTEXT_WITH(ctx, specs, ARRAY_SIZE(specs), 0) {
		in.reply = is_open(304) + 2 * is_open(305) + 4 * is_open(307) + 8 * is_open(308);
	}
	ASSERT_LE(0, ctx);
	EXPECT_EQ(1, CALL(ctx, 0));
	ASSERT_EQ(307, dup2(2, 307));
	ASSERT_EQ(308, dup2(2, 308));
	for (i = 0; i < 3; i++) {
		RENEW(ctx) {
			in.reply = is_open(304) + 2 * is_open(305) + 4 * is_open(307) +
				   8 * is_open(308);
		}
		EXPECT_EQ(5, CALL(ctx, 0));
	}
}

/* A context's own descriptors of contexts are not for what is renewed from it. */
LWC_TEST(context_descriptors_are_not_copied)
{
	int other, ctx;

	CONTEXT(ctx) {
	}
	ASSERT_LE(0, ctx);
	CONTEXT(other) {
		in.reply = 9;
	}
	ASSERT_LE(0, other);
	RENEW(ctx) {
		EXPECT_TRUE(other == in.ev.caller || !is_open(other));
	}
	CALL(ctx, 0);
	EXPECT_EQ(9, CALL(other, 0));
}

/* Of the way back one number stays, and not what the context made of it. */
LWC_TEST(duplicates_of_the_caller_go)
{
	int ctx, i;

	CONTEXT(ctx) {
		ASSERT_EQ(400, dup2(in.ev.caller, 400));
	}
	ASSERT_LE(0, ctx);
	CALL(ctx, 0);
	for (i = 0; i < 3; i++) {
		RENEW(ctx) {
			in.reply = is_open(400);
			ASSERT_EQ(400, dup2(in.ev.caller, 400));
		}
		EXPECT_EQ(0, CALL(ctx, 0));
	}
}

/* What it made itself goes with the rest. */
LWC_TEST(contexts_made_inside_go)
{
	long before;
	int ctx;

	CONTEXT(ctx) {
		int inner;

		if (in.ev.arg) {
			CONTEXT(inner) {
			}
			in.reply = inner;
		}
	}
	ASSERT_LE(0, ctx);
	CALL(ctx, 0);
	before = counter("contexts");
	EXPECT_LE(3, (int)CALL(ctx, 1));
	EXPECT_LE(3, (int)CALL(ctx, 1));
	EXPECT_EQ(before + 2, counter("contexts"));
	RENEW(ctx) {
	}
	EXPECT_EQ(before, contexts_settle(before));
	CALL(ctx, 0);
}

LWC_TEST(working_directory_and_umask)
{
	char name[4096];
	int ctx;

	ASSERT_EQ(0, chdir("/proc"));
	umask(022);
	CONTEXT(ctx) {
		ASSERT_EQ(0, chdir("/sys"));
		umask(077);
	}
	ASSERT_LE(0, ctx);
	CALL(ctx, 0);
	ASSERT_EQ(0, chdir("/dev"));
	umask(011);
	RENEW(ctx) {
		EXPECT_STREQ("/dev", getcwd(name, sizeof(name)));
		EXPECT_EQ(011, umask(0));
		in.reply = 1;
	}
	EXPECT_EQ(1, CALL(ctx, 0));
	EXPECT_EQ(011, umask(0));
}

LWC_TEST(credentials)
{
	int ctx;

	NEED_ROOT();
	CONTEXT(ctx) {
		ASSERT_EQ(0, setresuid(66, 66, 66));
	}
	ASSERT_LE(0, ctx);
	CALL(ctx, 0);
	ASSERT_EQ(0, seteuid(77));
	RENEW(ctx) {
		in.reply = getuid() * 1000 + geteuid();
	}
	EXPECT_EQ(77, CALL(ctx, 0));
	ASSERT_EQ(0, seteuid(0));
	RENEW(ctx) {
		in.reply = getuid() * 1000 + geteuid();
	}
	EXPECT_EQ(0, CALL(ctx, 0));
}

static int blocked_signals(void)
{
	sigset_t set;

	sigprocmask(SIG_SETMASK, NULL, &set);
	return sigismember(&set, SIGUSR1) + 2 * sigismember(&set, SIGUSR2);
}

LWC_TEST(signal_mask)
{
	sigset_t usr1, usr2;
	int ctx;

	sigemptyset(&usr1);
	sigaddset(&usr1, SIGUSR1);
	sigemptyset(&usr2);
	sigaddset(&usr2, SIGUSR2);
	CONTEXT(ctx) {
		sigprocmask(SIG_SETMASK, &usr2, NULL);
	}
	ASSERT_LE(0, ctx);
	CALL(ctx, 0);
	sigprocmask(SIG_SETMASK, &usr1, NULL);
	RENEW(ctx) {
		in.reply = blocked_signals();
	}
	EXPECT_EQ(1, CALL(ctx, 0));
	EXPECT_EQ(1, blocked_signals());
}

static void set_xmm(uint64_t x)
{
	asm volatile("movq %0, %%xmm9" : : "r" (x) : "xmm9");
}

/* Registers are those of the call to lwc_renew, vector registers too. */
LWC_TEST(registers)
{
	struct lwc_event ev;
	struct lwc_renew_args args = { .size = sizeof(args), .event = (uintptr_t)&ev };
	uint64_t xmm, rbx;
	long r;
	int ctx, i;

	CONTEXT(ctx) {
		set_xmm(666);
	}
	ASSERT_LE(0, ctx);
	CALL(ctx, 0);
	for (i = 0; i < 10; i++) {
		r = SYS_ioctl;
		asm volatile("movq %[x], %%xmm9\n\t"
			     "mov %[x], %%rbx\n\t"
			     "syscall\n\t"
			     "mov %%rbx, %[rbx]\n\t"
			     "movq %%xmm9, %[seen]"
			     : "+a" (r), [seen] "=r" (xmm), [rbx] "=r" (rbx)
			     : [x] "r" (0x123456789ul + i), "D" ((long)ctx), "S" (LWC_IOC_RENEW),
			       "d" (&args)
			     : "rcx", "r11", "rbx", "memory", "xmm9");
		ASSERT_EQ(0, r);
		if (ev.reason == LWC_EV_SWITCH) {
			inside_context = true;
			shm[0] = xmm;
			shm[1] = rbx;
			set_xmm(777);
			lwc_switch(ev.caller, 0, 0, &ev);
			_exit(1);
		}
		set_xmm(888);
		CALL(ctx, 0);
		EXPECT_EQ(0x123456789l + i, shm[0]);
		EXPECT_EQ(0x123456789l + i, shm[1]);
	}
}

/* The file table stays the same object: record locks taken before are held after. */
LWC_TEST(record_locks_survive)
{
	struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 0, .l_len = 10 };
	int ctx, fd = memfd_create("locked", MFD_CLOEXEC), status;

	ASSERT_LE(0, fd);
	CONTEXT(ctx) {
		ASSERT_EQ(0, fcntl(fd, F_SETLK, &lock));
	}
	ASSERT_LE(0, ctx);
	CALL(ctx, 0);
	RENEW(ctx) {
		/* Its own lock does not stand in its way. */
		lock.l_type = F_WRLCK;
		EXPECT_EQ(0, fcntl(fd, F_SETLK, &lock));
	}
	IN_CHILD(status) {
		lock.l_type = F_WRLCK;
		EXPECT_EQ(0, fcntl(fd, F_GETLK, &lock));
		EXPECT_EQ(F_WRLCK, lock.l_type);
	}
	EXPECT_EQ(0, status);
	CALL(ctx, 0);
}

/* A way back is there each time, also for what was called by another before. */
LWC_TEST(caller_after_renew)
{
	int ctx, i;

	CONTEXT(ctx) {
		close(in.ev.caller + 1);
	}
	ASSERT_LE(0, ctx);
	for (i = 0; i < 10; i++) {
		CALL(ctx, 0);
		RENEW(ctx) {
			in.reply = in.ev.caller;
		}
		EXPECT_LE(3, (int)CALL(ctx, 0));
	}
}

LWC_TEST(without_the_right)
{
	struct lwc_event ev;
	int ctx;

	CONTEXT(ctx) {
		in.reply = ++shm[0];
	}
	ASSERT_LE(0, ctx);
	ASSERT_EQ(0, lwc_restrict(ctx, ALL_RIGHTS & ~LWC_MAY_KEEP, NULL, 0));
	EXPECT_ERR(lwc_renew, EPERM, lwc_renew(ctx, 0, &ev));
	EXPECT_EQ(1, CALL(ctx, 0));
}

LWC_TEST(bad_arguments)
{
	struct lwc_event ev;
	int ctx, snap, i, self;

	CONTEXT(ctx) {
		in.reply = ++shm[0];
	}
	ASSERT_LE(0, ctx);
	EXPECT_EQ(1, CALL(ctx, 0));
	for (i = 0; i < 32; i++)
		EXPECT_ERR(lwc_renew, EINVAL, lwc_renew(ctx, 1u << i, &ev));
	EXPECT_ERR(lwc_renew, EBADF, lwc_renew(-1, 0, &ev));
	EXPECT_ERR(lwc_renew, EBADF, lwc_renew(0, 0, &ev));
	EXPECT_ERR(lwc_renew, EBADF, lwc_renew(777, 0, &ev));
	EXPECT_ERR(lwc_renew, EFAULT, lwc_renew(ctx, 0, KERNEL_POINTER));
	EXPECT_ERR(lwc_renew, EFAULT, lwc_renew(ctx, 0, unmapped_pointer()));
	EXPECT_ERR(lwc_renew, EFAULT, lwc_renew(ctx, 0, NULL));
	self = lwc_self();
	ASSERT_LE(0, self);
	EXPECT_ERR(lwc_renew, EINVAL, lwc_renew(self, 0, &ev));
	/* Nothing happened to it: it goes on where it was. */
	EXPECT_EQ(2, CALL(ctx, 0));
	ASSERT_EQ(0, lwc_close(ctx));
	ASSERT_EQ(0, lwc_snapshot(-1, 0, &ev));
	snap = ev.created;
	EXPECT_ERR(lwc_renew, EINVAL, lwc_renew(snap, 0, &ev));
	EXPECT_EQ(0, lwc_close(snap));
}

LWC_TEST(argument_sizes)
{
	struct {
		struct lwc_renew_args a;
		uint64_t tail[2];
	} big;
	struct lwc_event ev;
	int ctx;

	CONTEXT(ctx) {
		in.reply = ++shm[0];
	}
	ASSERT_LE(0, ctx);
	CALL(ctx, 0);
	memset(&big, 0, sizeof(big));
	big.a.event = (uintptr_t)&ev;
	EXPECT_EQ(-EINVAL, raw_ioctl(ctx, LWC_IOC_RENEW, &big));
	big.a.size = sizeof(big.a) - 4;
	EXPECT_EQ(-EINVAL, raw_ioctl(ctx, LWC_IOC_RENEW, &big));
	big.a.size = sizeof(big);
	big.tail[0] = 1ul << 63;
	EXPECT_EQ(-E2BIG, raw_ioctl(ctx, LWC_IOC_RENEW, &big));
	EXPECT_EQ(-EFAULT, raw_ioctl(ctx, LWC_IOC_RENEW, unmapped_pointer()));
	EXPECT_EQ(-EFAULT, raw_ioctl(ctx, LWC_IOC_RENEW, KERNEL_POINTER));
	EXPECT_EQ(2, CALL(ctx, 0));
	big.tail[0] = 0;
	ASSERT_EQ(0, raw_ioctl(ctx, LWC_IOC_RENEW, &big));
	if (ev.reason == LWC_EV_SWITCH) {
		lwc_switch(ev.caller, 0, 77, &ev);
		_exit(1);
	}
	EXPECT_EQ(77, CALL(ctx, 0));
}

/* Made by a sibling: that one may, and nobody else. */
LWC_TEST(from_another_context)
{
	int made, maker, pair[2];
	struct lwc_event ev;

	ASSERT_EQ(0, socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
	CONTEXT(maker) {
		int inner;

		CONTEXT(inner) {
			in.reply = 4;
		}
		ASSERT_LE(0, inner);
		CALL(inner, 0);
		in.reply = send_descriptor(pair[0], inner);
	}
	ASSERT_LE(0, maker);
	EXPECT_EQ(0, CALL(maker, 0));
	made = take_descriptor(pair[1]);
	ASSERT_LE(0, made);
	EXPECT_ERR(lwc_renew, EINVAL, lwc_renew(made, 0, &ev));
	EXPECT_EQ(4, CALL(made, 0));
}

static void *sleeper(void *arg)
{
	(void)arg;
	shm[1] = 1;
	while (shm[1] != 2)
		msleep(1);
	shm[1] = 3;
	return NULL;
}

/* A thread that was started inside is there still. */
LWC_TEST(busy)
{
	struct lwc_event ev;
	int ctx;

	CONTEXT(ctx) {
		static pthread_t t;

		if (!in.ev.arg) {
			ASSERT_EQ(0, pthread_create(&t, NULL, sleeper, NULL));
			while (shm[1] != 1)
				msleep(1);
		} else {
			shm[1] = 2;
			ASSERT_EQ(0, pthread_join(t, NULL));
		}
		in.reply = 1;
	}
	ASSERT_LE(0, ctx);
	CALL(ctx, 0);
	EXPECT_ERR(lwc_renew, EBUSY, lwc_renew(ctx, 0, &ev));
	EXPECT_ERR(lwc_renew, EBUSY, lwc_renew(ctx, 0, &ev));
	EXPECT_EQ(1, CALL(ctx, 1));
	EXPECT_EQ(3, shm[1]);
	RENEW(ctx) {
		in.reply = 2;
	}
	EXPECT_EQ(2, CALL(ctx, 0));
}

/* Inside nested contexts: each is renewed by its own maker. */
LWC_TEST(nested)
{
	int outer;

	CONTEXT(outer) {
		volatile int x = 1;
		int inner, i;

		CONTEXT(inner) {
			x = 2;
		}
		ASSERT_LE(0, inner);
		for (i = 0; i < 3; i++) {
			x = 10 + i;
			RENEW(inner) {
				in.reply = x;
				x = 3;
			}
			EXPECT_EQ(10 + i, CALL(inner, 0));
		}
		lwc_close(inner);
		in.reply = 5;
	}
	ASSERT_LE(0, outer);
	EXPECT_EQ(5, CALL(outer, 0));
	RENEW(outer) {
		in.reply = 6;
	}
	EXPECT_EQ(6, CALL(outer, 0));
}

/* What is open here cannot be made open there. */
LWC_TEST(limit_of_descriptors)
{
	struct rlimit limit;
	struct lwc_event ev;
	int ctx;

	CONTEXT(ctx) {
		in.reply = ++shm[0];
	}
	ASSERT_LE(0, ctx);
	ASSERT_EQ(0, getrlimit(RLIMIT_NOFILE, &limit));
	ASSERT_EQ(600, dup2(2, 600));
	limit.rlim_cur = 500;
	ASSERT_EQ(0, setrlimit(RLIMIT_NOFILE, &limit));
	EXPECT_ERR(lwc_renew, EMFILE, lwc_renew(ctx, 0, &ev));
	EXPECT_EQ(1, CALL(ctx, 0));
	close(600);
	RENEW(ctx) {
		in.reply = 7;
	}
	EXPECT_EQ(7, CALL(ctx, 0));
}

/* As a server does it: renew, switch, answer. Nothing grows. */
LWC_TEST(thousand)
{
	long i, n = scaled(1000), before, fds, renews, slab, rss, contexts;
	char *p = private_memory(64 * PAGE);
	int ctx;

	CONTEXT(ctx) {
	}
	ASSERT_LE(0, ctx);
	before = 0;
	fds = slab = rss = contexts = renews = 0;
	for (i = 0; i < n + 20; i++) {
		if (i == 20) {
			before = meminfo("MemFree:");
			slab = meminfo("Slab:");
			fds = open_descriptors();
			rss = status_field("RssAnon:");
			contexts = counter("contexts");
			renews = counter("renews");
		}
		p[i % 64 * PAGE]++;
		RENEW(ctx) {
			int fd = memfd_create("x", 0);
			char *q = private_memory(32 * PAGE);

			memset(q, 1, 32 * PAGE);
			memset(p, 1, 64 * PAGE);
			in.reply = in.ev.arg + fd;
		}
		EXPECT_LE((uint64_t)i, CALL(ctx, i));
	}
	EXPECT_EQ(n, counter("renews") - renews);
	EXPECT_EQ(fds, open_descriptors());
	EXPECT_EQ(contexts, counter("contexts"));
	EXPECT_GE(rss + 256, status_field("RssAnon:"));
	/* Each round wrote 400 kB; a page lost with each would be 4 MB. */
	EXPECT_GE(12000, before - meminfo("MemFree:"));
	EXPECT_GE(4000, meminfo("Slab:") - slab);
}

TEST_HARNESS_MAIN
