// SPDX-License-Identifier: GPL-2.0
/*
 * lwc_create: what a new context has (a copy of everything, as after fork) and
 * what it has not (descriptors of contexts, ranges that are not for children).
 * Both sides are checked each time: what one writes, the other must not see.
 */
#include <sys/resource.h>

#include "test.h"

static int in_data = 1;
static int in_bss;

LWC_TEST(returns_twice)
{
	struct lwc_event ev;

	memset(&ev, 0xff, sizeof(ev));
	ASSERT_EQ(0, lwc_create(NULL, 0, 0, &ev));
	if (ev.reason == LWC_EV_SWITCH) {
		EXPECT_EQ(-1, ev.created);
		EXPECT_LE(3, ev.caller);
		EXPECT_EQ(0x123456789abcdef0ul, ev.arg);
		shm[0]++;
		lwc_switch(ev.caller, 0, 1, &ev);
		_exit(1);
	}
	EXPECT_EQ(LWC_EV_CREATED, ev.reason);
	EXPECT_EQ(-1, ev.caller);
	ASSERT_LE(3, ev.created);
	EXPECT_EQ(0, shm[0]);
	ASSERT_EQ(0, lwc_switch(ev.created, 0, 0x123456789abcdef0ul, &ev));
	EXPECT_EQ(1, shm[0]);
	EXPECT_EQ(LWC_EV_SWITCH, ev.reason);
	EXPECT_EQ(-1, ev.created);
	EXPECT_EQ(1, ev.arg);
}

LWC_TEST(descriptor_closes_on_exec)
{
	int ctx, flags;

	CONTEXT(ctx) {
	}
	ASSERT_LE(3, ctx);
	flags = fcntl(ctx, F_GETFD);
	EXPECT_EQ(FD_CLOEXEC, flags);
}

/* 0, 1 and 2 are where programs print to, even those that have closed them. */
LWC_TEST(descriptor_is_never_standard)
{
	int ctx, status;

	IN_CHILD(status) {
		close(0);
		close(1);
		close(2);
		CONTEXT(ctx) {
			shm[0] = in.ev.caller;
		}
		shm[1] = ctx;
		ASSERT_LE(0, ctx);
		CALL(ctx, 0);
		shm[2] = lwc_self();
	}
	EXPECT_EQ(0, status);
	EXPECT_LE(3, shm[0]);
	EXPECT_LE(3, shm[1]);
	EXPECT_LE(3, shm[2]);
}

LWC_TEST(memory_is_copied)
{
	volatile int on_stack = 1;
	volatile int *heap = malloc(sizeof(*heap));
	volatile int *anon = private_memory(PAGE);
	volatile int *common = shared_memory(PAGE);
	volatile char *file;
	int ctx, fd;

	fd = memfd_create("file", MFD_CLOEXEC);
	ASSERT_EQ(0, ftruncate(fd, PAGE));
	file = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
	ASSERT_NE(MAP_FAILED, (void *)file);
	*heap = 1;
	*anon = 1;
	*common = 1;
	in_data = 1;
	in_bss = 1;
	CONTEXT(ctx) {
		/* Each round: what it was here, then it is one more. */
		EXPECT_EQ(in.ev.arg, on_stack);
		EXPECT_EQ(in.ev.arg, *heap);
		EXPECT_EQ(in.ev.arg, *anon);
		EXPECT_EQ(in.ev.arg, in_data);
		EXPECT_EQ(in.ev.arg, in_bss);
		EXPECT_EQ(in.ev.arg - 1, *file);
		on_stack++;
		(*heap)++;
		(*anon)++;
		in_data++;
		in_bss++;
		(*file)++;
		(*common)++;
	}
	ASSERT_LE(0, ctx);
	/* Written here after the copy was made: not seen there. */
	on_stack = 100;
	*heap = 100;
	*anon = 100;
	in_data = 100;
	in_bss = 100;
	*file = 100;
	CALL(ctx, 1);
	CALL(ctx, 2);
	CALL(ctx, 3);
	EXPECT_EQ(100, on_stack);
	EXPECT_EQ(100, *heap);
	EXPECT_EQ(100, *anon);
	EXPECT_EQ(100, in_data);
	EXPECT_EQ(100, in_bss);
	EXPECT_EQ(100, *file);
	EXPECT_EQ(4, *common);
}

/* Many pages, none of them touched on one side before the other writes it. */
LWC_TEST(memory_is_copied_page_by_page)
{
	const int n = 1000;
	char *p = private_memory(n * PAGE);
	int ctx, i;

	for (i = 0; i < n; i += 2)
		p[i * PAGE] = 1;
	CONTEXT(ctx) {
		for (i = 0; i < n; i++)
			in.reply += p[i * PAGE] != !(i & 1);
		for (i = 0; i < n; i++)
			p[i * PAGE] = 7;
	}
	ASSERT_LE(0, ctx);
	for (i = 0; i < n; i += 3)
		p[i * PAGE] = 9;
	EXPECT_EQ(0, CALL(ctx, 0));
	for (i = 0; i < n; i++)
		EXPECT_EQ(i % 3 ? !(i & 1) : 9, p[i * PAGE]);
}

LWC_TEST(mappings_are_separate)
{
	char *p = private_memory(3 * PAGE), *q;
	int ctx;

	p[0] = 1;
	CONTEXT(ctx) {
		EXPECT_TRUE(is_mapped(p));
		EXPECT_EQ(1, p[0]);
		ASSERT_EQ(0, munmap(p + PAGE, PAGE));
		ASSERT_EQ(0, mprotect(p, PAGE, PROT_READ));
		q = mmap(p + 2 * PAGE, PAGE, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
		ASSERT_EQ(q, p + 2 * PAGE);
		/* Larger than any hole that was made above. */
		q = private_memory(8 * PAGE);
		*q = 1;
		in.reply = (uintptr_t)q;
	}
	ASSERT_LE(0, ctx);
	ASSERT_EQ(0, munmap(p + 2 * PAGE, PAGE));
	q = (char *)CALL(ctx, 0);
	EXPECT_TRUE(is_mapped(p + PAGE));
	EXPECT_FALSE(is_mapped(p + 2 * PAGE));
	EXPECT_FALSE(is_mapped(q));
	p[0] = 2;
	EXPECT_EQ(2, p[0]);
}

LWC_TEST(heap_is_separate)
{
	char *top = sbrk(0), *more;
	int ctx;

	CONTEXT(ctx) {
		EXPECT_EQ(top, sbrk(0));
		more = sbrk(16 * PAGE);
		EXPECT_EQ(top, more);
		memset(more, 1, 16 * PAGE);
	}
	ASSERT_LE(0, ctx);
	CALL(ctx, 0);
	EXPECT_EQ(top, sbrk(0));
	/* Beyond a page that the heap may end in. */
	EXPECT_FALSE(is_mapped(top + PAGE));
}

/* The kernel keeps more of an address space than its mappings. */
LWC_TEST(kernel_knows_the_copy)
{
	static const char * const names[] = { "/proc/self/auxv", "/proc/self/cmdline", "/proc/self/environ" };
	char here[3][2048] = { 0 };
	struct timespec t;
	unsigned int i;
	int ctx, fd;

	for (i = 0; i < 3; i++) {
		fd = open(names[i], O_RDONLY | O_CLOEXEC);
		ASSERT_LE(0, fd);
		ASSERT_LT(0, read(fd, here[i], sizeof(here[i])));
		close(fd);
	}
	CONTEXT(ctx) {
		char there[2048];

		for (i = 0; i < 3; i++) {
			memset(there, 0, sizeof(there));
			fd = open(names[i], O_RDONLY | O_CLOEXEC);
			ASSERT_LE(0, fd);
			ASSERT_LT(0, read(fd, there, sizeof(there)));
			close(fd);
			EXPECT_EQ(0, memcmp(here[i], there, sizeof(there)));
		}
		/* By way of the vDSO. */
		EXPECT_EQ(0, clock_gettime(CLOCK_MONOTONIC, &t));
		in.reply = private_memory(PAGE) != NULL;
	}
	ASSERT_LE(0, ctx);
	EXPECT_EQ(1, CALL(ctx, 0));
}

LWC_TEST(dontfork_is_absent)
{
	char *p = private_memory(2 * PAGE);
	int ctx;

	p[0] = p[PAGE] = 1;
	ASSERT_EQ(0, madvise(p, PAGE, MADV_DONTFORK));
	CONTEXT(ctx) {
		EXPECT_FALSE(is_mapped(p));
		EXPECT_TRUE(is_mapped(p + PAGE));
		in.reply = p[PAGE];
	}
	ASSERT_LE(0, ctx);
	EXPECT_EQ(1, CALL(ctx, 0));
	EXPECT_EQ(1, p[0]);
}

LWC_TEST(wipeonfork_is_zero)
{
	char *p = private_memory(2 * PAGE);
	int ctx;

	p[0] = p[PAGE] = 1;
	ASSERT_EQ(0, madvise(p, PAGE, MADV_WIPEONFORK));
	CONTEXT(ctx) {
		EXPECT_EQ(0, p[0]);
		EXPECT_EQ(1, p[PAGE]);
	}
	ASSERT_LE(0, ctx);
	CALL(ctx, 0);
	EXPECT_EQ(1, p[0]);
}

LWC_TEST(files_are_duplicated)
{
	int ctx, fd, other, fds[2];
	char c;

	ASSERT_EQ(0, pipe(fds));
	fd = memfd_create("file", 0);
	ASSERT_LE(0, fd);
	CONTEXT(ctx) {
		/* The same open file: offsets are common. */
		EXPECT_EQ(5, lseek(fd, 0, SEEK_CUR));
		EXPECT_EQ(1, write(fds[1], "x", 1));
		/* The table is not. */
		EXPECT_EQ(0, fcntl(fd, F_GETFD));
		EXPECT_EQ(0, fcntl(fd, F_SETFD, FD_CLOEXEC));
		EXPECT_EQ(0, close(fds[0]));
		other = dup2(fd, 200);
		EXPECT_EQ(200, other);
	}
	ASSERT_LE(0, ctx);
	EXPECT_EQ(5, lseek(fd, 5, SEEK_SET));
	CALL(ctx, 0);
	EXPECT_EQ(0, fcntl(fd, F_GETFD));
	EXPECT_EQ(1, read(fds[0], &c, 1));
	EXPECT_EQ('x', c);
	EXPECT_FALSE(is_open(200));
}

LWC_TEST(files_opened_later_are_separate)
{
	int ctx, fd, seen;

	CONTEXT(ctx) {
		EXPECT_FALSE(is_open((int)in.ev.arg));
		fd = memfd_create("there", MFD_CLOEXEC);
		ASSERT_LE(0, fd);
		in.reply = fcntl(fd, F_DUPFD, 300);
	}
	ASSERT_LE(0, ctx);
	fd = fcntl(2, F_DUPFD, 100);
	ASSERT_LE(100, fd);
	seen = CALL(ctx, fd);
	EXPECT_LE(300, seen);
	EXPECT_FALSE(is_open(seen));
	EXPECT_TRUE(is_open(fd));
}

LWC_TEST(working_directory_is_separate)
{
	char name[4096];
	int ctx;

	ASSERT_EQ(0, chdir("/proc"));
	CONTEXT(ctx) {
		EXPECT_STREQ("/proc", getcwd(name, sizeof(name)));
		EXPECT_EQ(0, chdir("/sys"));
	}
	ASSERT_LE(0, ctx);
	CALL(ctx, 0);
	EXPECT_STREQ("/proc", getcwd(name, sizeof(name)));
	/* The other way: what is left in place there is there still. */
	CONTEXT(ctx) {
		EXPECT_STREQ("/proc", getcwd(name, sizeof(name)));
	}
	ASSERT_LE(0, ctx);
	EXPECT_EQ(0, chdir("/dev"));
	CALL(ctx, 0);
	EXPECT_STREQ("/dev", getcwd(name, sizeof(name)));
}

LWC_TEST(umask_is_separate)
{
	int ctx;

	umask(077);
	CONTEXT(ctx) {
		EXPECT_EQ(077, umask(011));
		in.reply = 1;
	}
	ASSERT_LE(0, ctx);
	EXPECT_EQ(1, CALL(ctx, 0));
	EXPECT_EQ(077, umask(0));
	CONTEXT(ctx) {
		in.reply = umask(0);
	}
	ASSERT_LE(0, ctx);
	umask(022);
	EXPECT_EQ(0, CALL(ctx, 0));
}

LWC_TEST(root_directory_is_separate)
{
	int ctx;

	NEED_ROOT();
	CONTEXT(ctx) {
		EXPECT_EQ(0, access("/proc/self", F_OK));
		EXPECT_EQ(0, chroot("/proc"));
		EXPECT_EQ(0, access("/self", F_OK));
		in.reply = 1;
	}
	ASSERT_LE(0, ctx);
	EXPECT_EQ(1, CALL(ctx, 0));
	EXPECT_NE(0, access("/self/fd", F_OK));
	EXPECT_EQ(0, access("/proc/self/fd", F_OK));
}

/* What a context holds is not for those that it makes. */
LWC_TEST(context_descriptors_are_not_copied)
{
	int a, b, self, copy;

	CONTEXT(a) {
		in.reply = 1;
	}
	ASSERT_LE(0, a);
	copy = fcntl(a, F_DUPFD, 400);
	ASSERT_EQ(400, copy);
	self = lwc_self();
	ASSERT_LE(0, self);
	CONTEXT(b) {
		struct stat st;
		int fd;

		for (fd = 3; fd < 1024; fd++) {
			char path[64], target[64] = "";

			if (fd == in.ev.caller)
				continue;
			snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
			if (readlink(path, target, sizeof(target) - 1) > 0)
				EXPECT_EQ(NULL, strstr(target, "anon_inode:[lwc"));
		}
		EXPECT_NE(0, fstat(copy, &st));
		EXPECT_EQ(EBADF, errno);
	}
	ASSERT_LE(0, b);
	CALL(b, 0);
	EXPECT_EQ(1, CALL(a, 0));
}

/* A descriptor which INHERIT copied is as good as the one that it came from. */
LWC_TEST(inherited_descriptor_works)
{
	struct lwc_spec spec = {
		.type = LWC_FILES, .mode = LWC_COW, .flags = LWC_INHERIT, .from = 0, .to = UINT64_MAX,
	};
	int a, b;

	CONTEXT(a) {
		in.reply = in.ev.arg + 1;
	}
	ASSERT_LE(0, a);
	CONTEXT_WITH(b, &spec, 1, 0) {
		EXPECT_TRUE(is_open(a));
		in.reply = CALL(a, 40) + 1;
	}
	if (b == -EOPNOTSUPP)
		SKIP(return, "this module has no LWC_INHERIT");
	ASSERT_LE(0, b);
	EXPECT_EQ(42, CALL(b, 0));
	EXPECT_EQ(8, CALL(a, 7));
}

LWC_TEST(nested)
{
	int outer;

	CONTEXT(outer) {
		int inner, x = 10;

		CONTEXT(inner) {
			in.reply = in.ev.arg + x;
		}
		ASSERT_LE(0, inner);
		x = 1000;
		in.reply = CALL(inner, in.ev.arg) + 1;
		ASSERT_EQ(0, lwc_close(inner));
	}
	ASSERT_LE(0, outer);
	EXPECT_EQ(16, CALL(outer, 5));
	EXPECT_EQ(17, CALL(outer, 6));
}

/* A hundred levels, each made by the one before. */
LWC_TEST(nested_deeply)
{
	int depth = 0, parent = -1, made;
	struct lwc_event ev;

	for (;;) {
		ASSERT_EQ(0, lwc_create(NULL, 0, 0, &ev));
		if (ev.reason == LWC_EV_CREATED) {
			made = ev.created;
			ASSERT_EQ(0, lwc_switch(made, 0, depth, &ev));
			EXPECT_EQ(made, ev.caller);
			EXPECT_EQ(1000 + 99 - depth, ev.arg);
			break;
		}
		inside_context = true;
		parent = ev.caller;
		EXPECT_EQ(depth, ev.arg);
		if (++depth == 100) {
			ev.arg = 999;
			break;
		}
	}
	shm[0]++;
	if (parent >= 0) {
		lwc_switch(parent, 0, ev.arg + 1, &ev);
		_exit(1);
	}
	EXPECT_EQ(101, shm[0]);
}

LWC_TEST(full_table)
{
	struct rlimit limit;
	struct lwc_event ev;
	long before;
	int ctx, fd;

	CONTEXT(ctx) {
	}
	ASSERT_LE(0, ctx);
	before = counter("contexts");
	ASSERT_EQ(0, getrlimit(RLIMIT_NOFILE, &limit));
	limit.rlim_cur = 64;
	ASSERT_EQ(0, setrlimit(RLIMIT_NOFILE, &limit));
	do
		fd = dup(2);
	while (fd >= 0);
	EXPECT_EQ(EMFILE, errno);
	memset(&ev, 0x55, sizeof(ev));
	EXPECT_ERR(lwc_create, EMFILE, lwc_create(NULL, 0, 0, &ev));
	EXPECT_ERR(lwc_self, EMFILE, lwc_self());
	EXPECT_ERR(lwc_snapshot, EMFILE, lwc_snapshot(-1, 0, &ev));
	close(60);
	EXPECT_EQ(before, counter("contexts"));
	CALL(ctx, 0);
	EXPECT_EQ(0, lwc_close(ctx));
}

LWC_TEST(bad_arguments_change_nothing)
{
	struct lwc_event ev;
	int ctx, before;
	long contexts;

	CONTEXT(ctx) {
	}
	ASSERT_LE(0, ctx);
	contexts = counter("contexts");
	before = open_descriptors();
	EXPECT_ERR(lwc_create, EFAULT, lwc_create(NULL, 0, 0, KERNEL_POINTER));
	EXPECT_ERR(lwc_create, EFAULT, lwc_create(NULL, 0, 0, unmapped_pointer()));
	EXPECT_ERR(lwc_create, EFAULT, lwc_create(NULL, 0, 0, NULL));
	EXPECT_ERR(lwc_create, EFAULT, lwc_create(NULL, 1, 0, &ev));
	EXPECT_ERR(lwc_create, EFAULT, lwc_create(KERNEL_POINTER, 1, 0, &ev));
	EXPECT_ERR(lwc_create, EINVAL, lwc_create(NULL, 0, 1u << 31, &ev));
	EXPECT_ERR(lwc_create, EINVAL, lwc_create(NULL, 0, 1u << 5, &ev));
	EXPECT_ERR(lwc_create, E2BIG, lwc_create(NULL, LWC_MAX_SPECS + 1, 0, &ev));
	EXPECT_ERR(lwc_create, E2BIG, lwc_create(NULL, UINT32_MAX, 0, &ev));
	EXPECT_EQ(contexts, counter("contexts"));
	EXPECT_EQ(before, open_descriptors());
}

/* Flags that the contract has and this module perhaps not yet. */
LWC_TEST(flags_known_but_unfinished)
{
	static const unsigned int all[] = {
		LWC_TRAP_SYSCALLS, LWC_TRAP_FAULTS, LWC_KEEP, LWC_FORK, LWC_PRIVATE
	};
	uint64_t can = features().create_flags;
	struct lwc_event ev;
	unsigned int i, n = 0;

	for (i = 0; i < ARRAY_SIZE(all); i++) {
		if (can & all[i])
			continue;
		n++;
		EXPECT_ERR(lwc_create, EOPNOTSUPP, lwc_create(NULL, 0, all[i], &ev));
		EXPECT_ERR(lwc_create, EINVAL, lwc_create(NULL, 0, all[i] | 1u << 30, &ev));
	}
	if (!n)
		SKIP(return, "all flags work");
}

TEST_HARNESS_MAIN
