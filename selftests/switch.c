// SPDX-License-Identifier: GPL-2.0
/*
 * lwc_switch: where control goes, what comes with it, who is named as the caller,
 * each way to be refused, and that a million switches leave nothing behind.
 * Refusals are checked to have changed nothing: the next switch still works.
 */
#include "test.h"

LWC_TEST(argument_and_caller)
{
	static const uint64_t values[] = { 0, 1, UINT32_MAX, 1ul << 63, UINT64_MAX };
	struct lwc_event ev;
	unsigned int i;
	int ctx;

	CONTEXT(ctx) {
		EXPECT_EQ(LWC_EV_SWITCH, in.ev.reason);
		EXPECT_EQ(-1, in.ev.created);
		EXPECT_LE(3, in.ev.caller);
		in.reply = ~in.ev.arg;
	}
	ASSERT_LE(0, ctx);
	for (i = 0; i < ARRAY_SIZE(values); i++) {
		memset(&ev, 0x55, sizeof(ev));
		ASSERT_EQ(0, lwc_switch(ctx, 0, values[i], &ev));
		EXPECT_EQ(~values[i], ev.arg);
		EXPECT_EQ(LWC_EV_SWITCH, ev.reason);
		EXPECT_EQ(-1, ev.created);
		/* This table holds a descriptor of that context: it is that one. */
		EXPECT_EQ(ctx, ev.caller);
	}
}

LWC_TEST(caller_keeps_its_number)
{
	int a, b, i, first[2] = { -1, -1 };

	CONTEXT(a) {
		if (first[0] < 0)
			first[0] = in.ev.caller;
		EXPECT_EQ(first[0], in.ev.caller);
		EXPECT_EQ(FD_CLOEXEC, fcntl(in.ev.caller, F_GETFD));
		/* What happens to the table meanwhile does not matter. */
		close(dup(2));
		in.reply = in.ev.caller;
	}
	ASSERT_LE(0, a);
	CONTEXT(b) {
		in.reply = in.ev.caller;
	}
	ASSERT_LE(0, b);
	first[0] = CALL(a, 0);
	first[1] = CALL(b, 0);
	for (i = 0; i < 100; i++) {
		EXPECT_EQ(first[0], CALL(a, 0));
		EXPECT_EQ(first[1], CALL(b, 0));
	}
}

/* Who got it may move it elsewhere, and close it where it was. */
LWC_TEST(caller_may_be_moved)
{
	int ctx, i;

	CONTEXT(ctx) {
		int kept = fcntl(in.ev.caller, F_DUPFD_CLOEXEC, 700);

		EXPECT_LE(700, kept);
		EXPECT_EQ(0, close(in.ev.caller));
		in.ev.caller = kept;
		in.reply = kept;
	}
	ASSERT_LE(0, ctx);
	for (i = 0; i < 20; i++)
		EXPECT_LE(700, CALL(ctx, 0));
}

/* Closed by who got it, it comes again. */
LWC_TEST(caller_may_be_closed)
{
	int ctx, i, a, pair[2];

	ASSERT_EQ(0, socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
	CONTEXT(ctx) {
		/* The root's is kept, the sibling's is not. */
		if (in.ev.arg) {
			int root = shm[0], sibling = in.ev.caller;

			in.ev.caller = root;
			EXPECT_NE(root, sibling);
			EXPECT_EQ(0, close(sibling));
			in.reply = 5;
		} else {
			shm[0] = in.ev.caller;
		}
	}
	ASSERT_LE(0, ctx);
	CONTEXT(a) {
		struct lwc_event ev;
		int other = take_descriptor(pair[1]);

		ASSERT_LE(0, other);
		/* It answers to the root: whoever switches here next is the root. */
		EXPECT_EQ(0, lwc_switch(other, 0, 1, &ev));
		in.ev = ev;
		lwc_close(other);
	}
	ASSERT_LE(0, a);
	CALL(ctx, 0);
	for (i = 0; i < 20; i++) {
		struct lwc_event ev;

		ASSERT_EQ(0, send_descriptor(pair[0], ctx));
		ASSERT_EQ(0, lwc_switch(a, 0, 0, &ev));
		EXPECT_EQ(ctx, ev.caller);
		EXPECT_EQ(5, ev.arg);
		ASSERT_EQ(0, lwc_switch(a, 0, 0, &ev));
		EXPECT_EQ(a, ev.caller);
	}
}

LWC_TEST(caller_may_only_switch)
{
	int ctx;

	CONTEXT(ctx) {
		struct lwc_event ev;
		uint64_t args[6] = { 0 };
		int c = in.ev.caller;

		EXPECT_ERR(lwc_renew, EPERM, lwc_renew(c, 0, &ev));
		EXPECT_ERR(lwc_restrict, EPERM, lwc_restrict(c, LWC_MAY_SWITCH, NULL, 0));
		/* These may be unfinished, but must not work. */
		EXPECT_GT(0, lwc_keep(c));
		EXPECT_GT(0, lwc_overlay(c, NULL, 0));
		EXPECT_GT(0, lwc_syscall(c, LWC_USE_FILES, SYS_getpid, args));
		EXPECT_GT(0, lwc_rollback(c, 0));
		in.reply = 1;
	}
	ASSERT_LE(0, ctx);
	EXPECT_EQ(1, CALL(ctx, 0));
}

/* Between siblings, neither of which made the other. */
LWC_TEST(between_siblings)
{
	int a, b, pair[2];

	ASSERT_EQ(0, socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
	CONTEXT(b) {
		in.reply = in.ev.arg * 2;
	}
	ASSERT_LE(0, b);
	CONTEXT(a) {
		int other = take_descriptor(pair[1]);

		ASSERT_LE(0, other);
		in.reply = CALL(other, in.ev.arg + 1);
		EXPECT_EQ(0, lwc_close(other));
	}
	ASSERT_LE(0, a);
	ASSERT_EQ(0, send_descriptor(pair[0], b));
	EXPECT_EQ(42, CALL(a, 20));
	EXPECT_EQ(14, CALL(b, 7));
}

/*
 * A made B and gave it to the root, then A went: B's caller names what is gone,
 * and did not keep it.
 */
LWC_TEST(caller_is_weak)
{
	int a, b, before, pair[2];

	ASSERT_EQ(0, socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
	CONTEXT(a) {
	}
	ASSERT_LE(0, a);
	before = counter("contexts");
	ASSERT_EQ(0, lwc_close(a));
	CONTEXT(a) {
		int made, parent = -1;

		if (in.ev.arg)
			continue;
		CONTEXT(made) {
			struct lwc_event ev;

			if (parent < 0) {
				parent = in.ev.caller;
				continue;
			}
			EXPECT_NE(parent, in.ev.caller);
			in.reply = 76;
			if (!in.ev.arg)
				continue;
			/* Called by the root again, and the parent is gone. */
			EXPECT_ERR(lwc_switch, ESRCH, lwc_switch(parent, 0, 0, &ev));
			EXPECT_GT(0, lwc_restrict(parent, 0, NULL, 0));
			in.reply = 77;
		}
		ASSERT_LE(0, made);
		CALL(made, 0);
		in.reply = send_descriptor(pair[0], made);
	}
	ASSERT_LE(0, a);
	EXPECT_EQ(0, CALL(a, 0));
	b = take_descriptor(pair[1]);
	ASSERT_LE(0, b);
	EXPECT_EQ(76, CALL(b, 0));
	ASSERT_EQ(0, lwc_close(a));
	/* B is left: as many as with A alone. */
	EXPECT_EQ(before, contexts_settle(before));
	EXPECT_EQ(77, CALL(b, 1));
	ASSERT_EQ(0, lwc_close(b));
	EXPECT_EQ(before - 1, contexts_settle(before - 1));
}

/* Numbers of dead callers are used again: a context called by 3,000 of them. */
LWC_TEST(dead_callers_numbers_come_again)
{
	int a, b, pair[2];
	long i, n = scaled(3000);

	ASSERT_EQ(0, socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
	CONTEXT(b) {
		in.reply = in.ev.caller;
	}
	ASSERT_LE(0, b);
	for (i = 0; i < n; i++) {
		CONTEXT(a) {
			int other = take_descriptor(pair[1]);

			ASSERT_LE(0, other);
			in.reply = CALL(other, 0);
			lwc_close(other);
		}
		ASSERT_LE(0, a);
		ASSERT_EQ(0, send_descriptor(pair[0], b));
		/* The table is bounded by RLIMIT_NOFILE (1024), the numbers far below. */
		EXPECT_GT(1000, CALL(a, 0));
		ASSERT_EQ(0, lwc_close(a));
	}
}

/*
 * One fills another's table with callers, contexts that it has made and that call there:
 * it meets a limit, and nobody else does.
 */
LWC_TEST(filled_by_a_family)
{
	struct lwc_spec spec = { LWC_FILES, LWC_COW, LWC_INHERIT, 700, 701 };
	int target, attacker, honest[3], i;

	CONTEXT(target) {
		in.reply = in.ev.arg + 1;
	}
	ASSERT_LE(0, target);
	ASSERT_EQ(700, dup2(target, 700));
	CONTEXT_WITH(attacker, &spec, 1, 0) {
		int inner[100], made;

		for (made = 0; made < 100; made++) {
			CONTEXT_WITH(inner[made], &spec, 1, 0) {
				struct lwc_event ev;
				int r = lwc_switch(700, 0, 7, &ev);

				/* Refused before anything is left. */
				in.reply = r ? (uint64_t)-r : 1000 + ev.arg;
			}
			ASSERT_LE(0, inner[made]);
			shm[0] = CALL(inner[made], 0);
			if (shm[0] != 1008)
				break;
		}
		shm[1] = made;
		/* Who has called before has its number. */
		EXPECT_EQ(1008, CALL(inner[0], 0));
		/* One that goes makes room for one of the same. */
		lwc_close(inner[0]);
		EXPECT_EQ(1008, CALL(inner[made], 0));
	}
	ASSERT_LE(0, attacker);
	for (i = 0; i < 3; i++) {
		CONTEXT_WITH(honest[i], &spec, 1, 0) {
			in.reply = CALL(700, 20);
		}
		ASSERT_LE(0, honest[i]);
	}
	EXPECT_EQ(21, CALL(honest[0], 0));
	CALL(attacker, 0);
	EXPECT_EQ(EMFILE, shm[0]);
	EXPECT_LT(50, shm[1]);
	EXPECT_GT(100, shm[1]);
	for (i = 0; i < 3; i++)
		EXPECT_EQ(21, CALL(honest[i], 0));
	EXPECT_EQ(31, CALL(target, 30));
}

LWC_TEST(to_oneself)
{
	struct lwc_event ev;
	int ctx, self = lwc_self();

	ASSERT_LE(0, self);
	EXPECT_ERR(lwc_switch, EDEADLK, lwc_switch(self, 0, 0, &ev));
	CONTEXT(ctx) {
		int me = lwc_self();

		EXPECT_ERR(lwc_switch, EDEADLK, lwc_switch(me, 0, 0, &ev));
		EXPECT_EQ(0, lwc_close(me));
		in.reply = 1;
	}
	ASSERT_LE(0, ctx);
	EXPECT_EQ(1, CALL(ctx, 0));
}

static struct {
	int fd;
	long result[8];
} from_thread;

static void *switch_from_thread(void *arg)
{
	struct lwc_event ev;

	(void)arg;
	from_thread.result[0] = lwc_switch(from_thread.fd, 0, 0, &ev);
	from_thread.result[1] = lwc_renew(from_thread.fd, 0, &ev);
	return NULL;
}

/* Only the thread that made it has a place in a context. */
LWC_TEST(without_a_place)
{
	pthread_t t;
	int ctx;

	CONTEXT(ctx) {
		in.reply = 1;
	}
	ASSERT_LE(0, ctx);
	from_thread.fd = ctx;
	ASSERT_EQ(0, pthread_create(&t, NULL, switch_from_thread, NULL));
	ASSERT_EQ(0, pthread_join(t, NULL));
	EXPECT_ERR(lwc_switch, ENXIO, from_thread.result[0]);
	EXPECT_ERR(lwc_renew, EINVAL, from_thread.result[1]);
	EXPECT_EQ(1, CALL(ctx, 0));
}

LWC_TEST(no_context)
{
	int ctx, pipefd[2], event;
	struct lwc_event ev;

	ASSERT_EQ(0, pipe(pipefd));
	event = eventfd(0, 0);
	CONTEXT(ctx) {
	}
	ASSERT_LE(0, ctx);
	EXPECT_ERR(lwc_switch, EBADF, lwc_switch(-1, 0, 0, &ev));
	EXPECT_ERR(lwc_switch, EBADF, lwc_switch(INT32_MAX, 0, 0, &ev));
	EXPECT_ERR(lwc_switch, EBADF, lwc_switch(999, 0, 0, &ev));
	EXPECT_ERR(lwc_switch, EBADF, lwc_switch(0, 0, 0, &ev));
	EXPECT_ERR(lwc_switch, EBADF, lwc_switch(pipefd[0], 0, 0, &ev));
	EXPECT_ERR(lwc_switch, EBADF, lwc_switch(event, 0, 0, &ev));
	EXPECT_EQ(0, lwc_close(ctx));
	EXPECT_ERR(lwc_switch, EBADF, lwc_switch(ctx, 0, 0, &ev));
	ctx = open(DEVICE, O_RDWR);
	if (ctx >= 0)
		EXPECT_ERR(lwc_switch, EBADF, lwc_switch(ctx, 0, 0, &ev));
	/* No descriptor at all, though it names the very file. */
	ctx = open("/proc/self/fd/0", O_PATH);
	EXPECT_ERR(lwc_switch, EBADF, lwc_switch(ctx, 0, 0, &ev));
}

LWC_TEST(bad_flags)
{
	static const unsigned int all[] = { LWC_FRESH, LWC_DISCARD };
	uint64_t can = features().switch_flags;
	struct lwc_event ev;
	unsigned int i;
	int ctx;

	CONTEXT(ctx) {
		in.reply = ++shm[0];
	}
	ASSERT_LE(0, ctx);
	for (i = 2; i < 32; i++)
		EXPECT_ERR(lwc_switch, EINVAL, lwc_switch(ctx, 1u << i, 0, &ev));
	EXPECT_ERR(lwc_switch, EINVAL, lwc_switch(ctx, LWC_FRESH | 1u << 9, 0, &ev));
	for (i = 0; i < 2; i++)
		if (!(can & all[i]))
			EXPECT_ERR(lwc_switch, EOPNOTSUPP, lwc_switch(ctx, all[i], 0, &ev));
	EXPECT_EQ(0, shm[0]);
	EXPECT_EQ(1, CALL(ctx, 0));
}

LWC_TEST(without_the_right)
{
	struct lwc_event ev;
	int ctx, copy;

	CONTEXT(ctx) {
		in.reply = ++shm[0];
	}
	ASSERT_LE(0, ctx);
	copy = dup(ctx);
	EXPECT_EQ(1, CALL(copy, 0));
	ASSERT_EQ(0, lwc_restrict(ctx, ALL_RIGHTS & ~LWC_MAY_SWITCH, NULL, 0));
	EXPECT_ERR(lwc_switch, EPERM, lwc_switch(ctx, 0, 0, &ev));
	EXPECT_ERR(lwc_switch, EPERM, lwc_switch(copy, 0, 0, &ev));
	EXPECT_EQ(1, shm[0]);
}

LWC_TEST(another_process)
{
	struct lwc_event ev;
	int ctx, status;

	CONTEXT(ctx) {
		in.reply = ++shm[0];
	}
	ASSERT_LE(0, ctx);
	IN_CHILD(status) {
		uint64_t args[6] = { 0 };

		EXPECT_TRUE(is_open(ctx));
		EXPECT_ERR(lwc_switch, ESRCH, lwc_switch(ctx, 0, 0, &ev));
		EXPECT_ERR(lwc_renew, ESRCH, lwc_renew(ctx, 0, &ev));
		EXPECT_ERR(lwc_restrict, ESRCH, lwc_restrict(ctx, 0, NULL, 0));
		EXPECT_GT(0, lwc_keep(ctx));
		EXPECT_GT(0, lwc_overlay(ctx, NULL, 0));
		EXPECT_GT(0, lwc_syscall(ctx, 0, SYS_getpid, args));
		EXPECT_EQ(0, lwc_close(ctx));
	}
	EXPECT_EQ(0, status);
	/* Nor did the child take any right away. */
	EXPECT_EQ(1, CALL(ctx, 0));
	EXPECT_EQ(2, CALL(ctx, 0));
}

/* The target has no number left for its caller: found out before anything is left. */
LWC_TEST(full_table_of_the_target)
{
	struct rlimit limit, full;
	struct lwc_event ev;
	int ctx, fd, last = 2;

	ASSERT_EQ(0, getrlimit(RLIMIT_NOFILE, &limit));
	/* The device is opened before there is no room. */
	features();
	full = limit;
	full.rlim_cur = 64;
	ASSERT_EQ(0, setrlimit(RLIMIT_NOFILE, &full));
	while ((fd = dup(2)) >= 0)
		last = fd;
	EXPECT_EQ(63, last);
	ASSERT_EQ(0, setrlimit(RLIMIT_NOFILE, &limit));
	CONTEXT(ctx) {
		in.reply = ++shm[0];
	}
	ASSERT_LE(64, ctx);
	/* The copy of the table is full up to this limit. */
	ASSERT_EQ(0, setrlimit(RLIMIT_NOFILE, &full));
	EXPECT_ERR(lwc_switch, EMFILE, lwc_switch(ctx, 0, 0, &ev));
	EXPECT_ERR(lwc_switch, EMFILE, lwc_switch(ctx, 0, 0, &ev));
	EXPECT_EQ(0, shm[0]);
	ASSERT_EQ(0, setrlimit(RLIMIT_NOFILE, &limit));
	EXPECT_EQ(1, CALL(ctx, 0));
	/* It has its number now, and needs no other. */
	ASSERT_EQ(0, setrlimit(RLIMIT_NOFILE, &full));
	EXPECT_EQ(2, CALL(ctx, 0));
}

LWC_TEST(bad_event)
{
	struct lwc_event ev;
	int ctx;

	CONTEXT(ctx) {
		in.reply = ++shm[0];
	}
	ASSERT_LE(0, ctx);
	EXPECT_ERR(lwc_switch, EFAULT, lwc_switch(ctx, 0, 0, KERNEL_POINTER));
	EXPECT_ERR(lwc_switch, EFAULT, lwc_switch(ctx, 0, 0, (void *)-8ul));
	EXPECT_EQ(0, shm[0]);
	ASSERT_EQ(0, lwc_switch(ctx, 0, 0, &ev));
	EXPECT_EQ(1, ev.arg);
}

/* Memory that could be written on leaving and cannot on coming back: SIGSEGV, nothing less. */
LWC_TEST(event_gone_on_return)
{
	struct lwc_event *ev;
	int ctx, status, fd;

	fd = memfd_create("event", MFD_CLOEXEC);
	ASSERT_LE(0, fd);
	ASSERT_EQ(0, ftruncate(fd, PAGE));
	IN_CHILD(status) {
		CONTEXT(ctx) {
			/* The file under the caller's event loses its page. */
			ASSERT_EQ(0, ftruncate(fd, 0));
		}
		ASSERT_LE(0, ctx);
		ev = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
		ASSERT_NE(MAP_FAILED, (void *)ev);
		memset(ev, 0, sizeof(*ev));
		shm[0] = 1;
		lwc_switch(ctx, 0, 0, ev);
		shm[0] = 2;
	}
	EXPECT_TRUE(WIFSIGNALED(status));
	EXPECT_EQ(SIGSEGV, WTERMSIG(status));
	EXPECT_EQ(1, shm[0]);
}

LWC_TEST(event_unmapped)
{
	int ctx, status;

	IN_CHILD(status) {
		long r;

		CONTEXT(ctx) {
			shm[0]++;
		}
		ASSERT_LE(0, ctx);
		r = lwc_switch(ctx, 0, 0, unmapped_pointer());
		/* Refused at once, with nothing done, is as good as SIGSEGV. */
		EXPECT_ERR(lwc_switch, EFAULT, r);
		EXPECT_EQ(0, shm[0]);
		_exit(_metadata->passed ? 7 : 1);
	}
	EXPECT_TRUE((WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV) ||
		    (WIFEXITED(status) && WEXITSTATUS(status) == 7));
}

LWC_TEST(argument_sizes)
{
	struct {
		struct lwc_switch_args a;
		uint64_t tail[2];
	} big;
	struct lwc_event ev;
	int ctx;

	CONTEXT(ctx) {
		in.reply = ++shm[0];
	}
	ASSERT_LE(0, ctx);
	memset(&big, 0, sizeof(big));
	big.a.event = (uintptr_t)&ev;
	big.a.size = 0;
	EXPECT_EQ(-EINVAL, raw_ioctl(ctx, LWC_IOC_SWITCH, &big));
	big.a.size = sizeof(big.a) - 1;
	EXPECT_EQ(-EINVAL, raw_ioctl(ctx, LWC_IOC_SWITCH, &big));
	big.a.size = sizeof(big);
	big.tail[1] = 1;
	EXPECT_EQ(-E2BIG, raw_ioctl(ctx, LWC_IOC_SWITCH, &big));
	big.a.size = UINT32_MAX;
	EXPECT_EQ(-E2BIG, raw_ioctl(ctx, LWC_IOC_SWITCH, &big));
	EXPECT_EQ(-EFAULT, raw_ioctl(ctx, LWC_IOC_SWITCH, unmapped_pointer()));
	EXPECT_EQ(-EFAULT, raw_ioctl(ctx, LWC_IOC_SWITCH, KERNEL_POINTER));
	EXPECT_EQ(0, shm[0]);
	big.a.size = sizeof(big);
	big.tail[1] = 0;
	EXPECT_EQ(0, raw_ioctl(ctx, LWC_IOC_SWITCH, &big));
	EXPECT_EQ(1, shm[0]);
}

/* A million, and neither descriptor nor byte. */
LWC_TEST(million)
{
	long i, n = scaled(1000000), free_before, slab_before, rss, switches;
	int ctx, fds;

	CONTEXT(ctx) {
		in.reply = in.ev.arg + 1;
		if (in.ev.arg == 100)
			shm[0] = open_descriptors();
		if (in.ev.arg == (uint64_t)n - 1)
			shm[1] = open_descriptors();
	}
	ASSERT_LE(0, ctx);
	for (i = 0; i < 1000; i++)
		CALL(ctx, i);
	fds = open_descriptors();
	rss = status_field("RssAnon:");
	free_before = meminfo("MemFree:");
	slab_before = meminfo("Slab:");
	switches = counter("switches");
	for (i = 0; i < n; i++) {
		if (CALL(ctx, i) != (uint64_t)i + 1) {
			_metadata->passed = 0;
			break;
		}
	}
	/* Two each, and no other test runs beside this one. */
	EXPECT_EQ(2 * n, counter("switches") - switches);
	EXPECT_EQ(fds, open_descriptors());
	EXPECT_EQ(shm[0], shm[1]);
	EXPECT_GE(rss + 256, status_field("RssAnon:"));
	/* One object of 8 bytes lost with each would be 8 MB. */
	EXPECT_GE(6000, meminfo("Slab:") - slab_before);
	EXPECT_GE(12000, free_before - meminfo("MemFree:"));
}

#define MANY 24

static uint32_t next_random(uint32_t *state)
{
	*state = *state * 1664525 + 1013904223;
	return *state >> 8;
}

/*
 * Twenty-four contexts, each with a secret in memory and in a file behind the same
 * number, called in random order.
 */
LWC_TEST(many_kept_apart)
{
	char *page = private_memory(16 * PAGE);
	volatile uint64_t secret = 0;
	uint32_t state = 4711;
	int ctx[MANY], i, round;

	for (i = 0; i < MANY; i++) {
		memset(page, i, 16 * PAGE);
		CONTEXT(ctx[i]) {
			int fd;

			if (!secret) {
				secret = in.ev.arg;
				fd = memfd_create("secret", MFD_CLOEXEC);
				ASSERT_LE(0, fd);
				ASSERT_EQ(500, dup2(fd, 500));
				close(fd);
				ASSERT_EQ(8, write(500, (void *)&secret, 8));
			}
			EXPECT_EQ(i, page[(secret % 16) * PAGE]);
			EXPECT_EQ(8, pread(500, &in.reply, 8, 0));
			EXPECT_EQ(secret, in.reply);
			page[PAGE / 2] = secret;
		}
		ASSERT_LE(0, ctx[i]);
	}
	memset(page, 99, 16 * PAGE);
	for (round = 0; round < scaled(5000); round++) {
		i = next_random(&state) % MANY;
		EXPECT_EQ(1000 + i, CALL(ctx[i], 1000 + i));
		if (!(round % 64)) {
			EXPECT_EQ(99, page[PAGE / 2]);
			EXPECT_FALSE(is_open(500));
		}
	}
}

TEST_HARNESS_MAIN
