// SPDX-License-Identifier: GPL-2.0
/*
 * The memory specs of lwc_create: what a context shares with its creator, sees
 * read-only, or does not see. Each in private, shared, file-backed, locked, huge
 * and swapped-out memory, across mappings and holes; that READ is not to be undone;
 * and that what fails changes nothing.
 */
#include "memory.h"
#include "pinned.h"
#include "test.h"
#include "zram.h"

#include <sys/auxv.h>
#include <sys/uio.h>

/* Shares @p with a context, and sees that each sees what the other writes. */
static void expect_shared(struct __test_metadata *_metadata, char *p, size_t size)
{
	struct lwc_spec spec = MEMORY(SHARE, p, size);
	int ctx;

	fill(p, size, 1);
	CONTEXT_WITH(ctx, &spec, 1, 0) {
		EXPECT_EQ(0, count_wrong(p, size, (int)in.ev.arg));
		fill(p, size, (int)in.ev.arg + 1);
	}
	ASSERT_LE(0, ctx);
	/* Nothing was lost by the way. */
	EXPECT_EQ(0, count_wrong(p, size, 1));
	fill(p, size, 10);
	CALL(ctx, 10);
	EXPECT_EQ(0, count_wrong(p, size, 11));
	fill(p, size, 20);
	CALL(ctx, 20);
	EXPECT_EQ(0, count_wrong(p, size, 21));
	EXPECT_EQ(0, lwc_close(ctx));
	/* It stays what it has become. */
	EXPECT_EQ(0, count_wrong(p, size, 21));
	fill(p, size, 30);
	EXPECT_EQ(0, count_wrong(p, size, 30));
}

LWC_TEST(share_anonymous)
{
	char *p = private_memory(64 * PAGE);

	expect_shared(_metadata, p, 64 * PAGE);
	EXPECT_TRUE(is_shared_here(p));
	/* A share of a share. */
	expect_shared(_metadata, p, 64 * PAGE);
	munmap(p, 64 * PAGE);
}

LWC_TEST(share_untouched)
{
	char *p = private_memory(64 * PAGE);
	struct lwc_spec spec = MEMORY(SHARE, p, 64 * PAGE);
	int ctx;

	CONTEXT_WITH(ctx, &spec, 1, 0) {
		EXPECT_EQ(5, p[5 * PAGE]);
		EXPECT_EQ(0, p[6 * PAGE]);
		p[7 * PAGE] = 7;
	}
	ASSERT_LE(0, ctx);
	p[5 * PAGE] = 5;
	CALL(ctx, 0);
	EXPECT_EQ(7, p[7 * PAGE]);
	lwc_close(ctx);
	munmap(p, 64 * PAGE);
}

/* Part of a mapping: what is around it stays private, with its content. */
LWC_TEST(share_in_the_middle)
{
	char *p = private_memory(8 * PAGE);
	struct lwc_spec spec = MEMORY(SHARE, p + 2 * PAGE, 3 * PAGE);
	int ctx;

	fill(p, 8 * PAGE, 1);
	CONTEXT_WITH(ctx, &spec, 1, 0) {
		EXPECT_EQ(0, count_wrong(p, 8 * PAGE, 1));
		fill(p, 8 * PAGE, 50);
	}
	ASSERT_LE(0, ctx);
	CALL(ctx, 0);
	EXPECT_EQ(0, count_wrong(p, 2 * PAGE, 1));
	EXPECT_EQ(0, count_wrong(p + 2 * PAGE, 3 * PAGE, 52));
	EXPECT_EQ(0, count_wrong(p + 5 * PAGE, 3 * PAGE, 6));
	lwc_close(ctx);
	munmap(p, 8 * PAGE);
}

/* Several mappings with different protections, and holes between. */
LWC_TEST(share_across_mappings_and_holes)
{
	char *p = private_memory(16 * PAGE);
	struct lwc_spec spec = MEMORY(SHARE, p, 16 * PAGE);
	int ctx;

	fill(p, 16 * PAGE, 1);
	ASSERT_EQ(0, munmap(p + 3 * PAGE, 2 * PAGE));
	ASSERT_EQ(0, mprotect(p + 8 * PAGE, 2 * PAGE, PROT_READ));
	ASSERT_EQ(0, mprotect(p + 12 * PAGE, PAGE, PROT_NONE));
	CONTEXT_WITH(ctx, &spec, 1, 0) {
		EXPECT_EQ(SIGSEGV, touch(p + 3 * PAGE, false));
		EXPECT_EQ(SIGSEGV, touch(p + 8 * PAGE, true));
		EXPECT_EQ(9, p[8 * PAGE]);
		EXPECT_EQ(SIGSEGV, touch(p + 12 * PAGE, false));
		EXPECT_EQ(0, mprotect(p + 12 * PAGE, PAGE, PROT_READ | PROT_WRITE));
		EXPECT_EQ(13, p[12 * PAGE]);
		p[12 * PAGE] = 77;
		p[0] = 78;
		p[15 * PAGE] = 79;
	}
	ASSERT_LE(0, ctx);
	CALL(ctx, 0);
	EXPECT_EQ(SIGSEGV, touch(p + 12 * PAGE, false));
	ASSERT_EQ(0, mprotect(p + 12 * PAGE, PAGE, PROT_READ | PROT_WRITE));
	EXPECT_EQ(77, p[12 * PAGE]);
	EXPECT_EQ(78, p[0]);
	EXPECT_EQ(79, p[15 * PAGE]);
	lwc_close(ctx);
	munmap(p, 16 * PAGE);
}

static char data[4 * PAGE] __attribute__((aligned(PAGE))) = { 1 };
static char bss[4 * PAGE] __attribute__((aligned(PAGE)));

/* The program's own: a private mapping of its file, and the heap. */
LWC_TEST(share_data_and_heap)
{
	char *heap = sbrk(0), *p;

	expect_shared(_metadata, data, sizeof(data));
	expect_shared(_metadata, bss, sizeof(bss));
	p = (char *)(((uintptr_t)heap + PAGE - 1) & ~(PAGE - 1));
	ASSERT_EQ(0, brk(p + 8 * PAGE));
	expect_shared(_metadata, p, 8 * PAGE);
	/* The heap goes on growing and shrinking. */
	ASSERT_EQ(0, brk(p + 32 * PAGE));
	fill(p + 8 * PAGE, 24 * PAGE, 3);
	EXPECT_EQ(0, count_wrong(p + 8 * PAGE, 24 * PAGE, 3));
	EXPECT_EQ(0, count_wrong(p, 8 * PAGE, 30));
	ASSERT_EQ(0, brk(heap));
}

static int temporary_file(size_t size)
{
	int fd = memfd_create("specs", MFD_CLOEXEC);
	char page[PAGE];
	size_t i;

	for (i = 0; i < size; i += PAGE) {
		memset(page, (int)(1 + i / PAGE), PAGE);
		if (pwrite(fd, page, PAGE, (off_t)i) != (ssize_t)PAGE)
			abort();
	}
	return fd;
}

/* Private mappings of a file: pages that were written and pages that were not. */
LWC_TEST(share_private_file)
{
	int fd = temporary_file(8 * PAGE);
	char *p = mmap(NULL, 8 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0), page[PAGE];
	struct lwc_spec spec = MEMORY(SHARE, p, 8 * PAGE);
	int ctx;

	ASSERT_NE(MAP_FAILED, p);
	p[PAGE] = 100;
	CONTEXT_WITH(ctx, &spec, 1, 0) {
		EXPECT_EQ(1, p[0]);
		EXPECT_EQ(1, p[PAGE - 1]);
		EXPECT_EQ(100, p[PAGE]);
		EXPECT_EQ(2, p[PAGE + 1]);
		p[3 * PAGE] = 101;
	}
	ASSERT_LE(0, ctx);
	CALL(ctx, 0);
	EXPECT_EQ(101, p[3 * PAGE]);
	/* The file itself is as it was. */
	ASSERT_EQ((ssize_t)PAGE, pread(fd, page, PAGE, 3 * PAGE));
	EXPECT_EQ(4, page[0]);
	ASSERT_EQ((ssize_t)PAGE, pread(fd, page, PAGE, PAGE));
	EXPECT_EQ(2, page[0]);
	lwc_close(ctx);
	munmap(p, 8 * PAGE);
	close(fd);
}

LWC_TEST(share_shared_memory)
{
	int fd = temporary_file(4 * PAGE);
	char *p = mmap(NULL, 4 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	char *q = shared_memory(4 * PAGE);

	ASSERT_NE(MAP_FAILED, p);
	expect_shared(_metadata, p, 4 * PAGE);
	expect_shared(_metadata, q, 4 * PAGE);
	munmap(p, 4 * PAGE);
	munmap(q, 4 * PAGE);
	close(fd);
}

LWC_TEST(share_huge_pages)
{
	const size_t huge = 2ul << 20;
	char *area = private_memory(4 * huge), *p;

	p = (char *)(((uintptr_t)area + huge - 1) & ~(huge - 1));
	madvise(p, 2 * huge, MADV_HUGEPAGE);
	/* From the middle of one to the middle of the next. */
	fill(p, 2 * huge, 1);
	expect_shared(_metadata, p + huge / 2, huge);
	EXPECT_EQ(0, count_wrong(p, huge / 2, 1));
	munmap(area, 4 * huge);
}

LWC_TEST(share_swapped_out)
{
	char *p = private_memory(64 * PAGE);
	struct lwc_spec spec = MEMORY(SHARE, p, 64 * PAGE);
	int ctx, swap;

	if (!swap_begin(&swap))
		SKIP(return, "needs zram, and the right to swap to it");
	fill(p, 64 * PAGE, 1);
	ASSERT_EQ(0, madvise(p, 64 * PAGE, MADV_PAGEOUT));
	CONTEXT_WITH(ctx, &spec, 1, 0) {
		EXPECT_EQ(0, count_wrong(p, 64 * PAGE, 1));
		fill(p, 64 * PAGE, 2);
		madvise(p, 64 * PAGE, MADV_PAGEOUT);
	}
	ASSERT_LE(0, ctx);
	CALL(ctx, 0);
	EXPECT_EQ(0, count_wrong(p, 64 * PAGE, 2));
	lwc_close(ctx);
	munmap(p, 64 * PAGE);
	swap_end(swap);
}

LWC_TEST(share_locked)
{
	char *p = private_memory(4 * PAGE);
	unsigned char present[4];

	if (mlock(p, 4 * PAGE))
		SKIP(return, "needs the right to lock memory");
	expect_shared(_metadata, p, 4 * PAGE);
	ASSERT_EQ(0, mincore(p, 4 * PAGE, present));
	EXPECT_EQ(1, present[0] & present[1] & present[2] & present[3] & 1);
	munmap(p, 4 * PAGE);
}

/* Several contexts, one inside another, see the same. */
LWC_TEST(share_by_many)
{
	char *p = private_memory(2 * PAGE);
	struct lwc_spec spec = MEMORY(SHARE, p, 2 * PAGE);
	int ctx[4], i;

	for (i = 0; i < 4; i++) {
		CONTEXT_WITH(ctx[i], &spec, 1, 0) {
			int inner;

			CONTEXT_WITH(inner, &spec, 1, 0) {
				p[0]++;
			}
			ASSERT_LE(0, inner);
			CALL(inner, 0);
			lwc_close(inner);
			p[PAGE]++;
		}
		ASSERT_LE(0, ctx[i]);
	}
	for (i = 0; i < 4; i++)
		CALL(ctx[i], 0);
	EXPECT_EQ(4, p[0]);
	EXPECT_EQ(4, p[PAGE]);
	for (i = 0; i < 4; i++)
		lwc_close(ctx[i]);
	munmap(p, 2 * PAGE);
}

/* It stays shared, and is left alone, across a rollback to before that. */
LWC_TEST(share_survives_rollback)
{
	char *p = private_memory(8 * PAGE), *other = private_memory(PAGE);
	struct lwc_spec spec = MEMORY(SHARE, p + 2 * PAGE, 4 * PAGE);
	int snap, ctx;
	long round;

	fill(p, 8 * PAGE, 1);
	*other = 1;
	round = SNAPSHOT(snap);
	if (round < 3) {
		EXPECT_EQ(1, *other);
		EXPECT_EQ(1, p[0]);
		EXPECT_EQ(8, p[7 * PAGE]);
		EXPECT_EQ(round ? 40 + round : 3, p[2 * PAGE]);
		CONTEXT_WITH(ctx, &spec, 1, 0) {
			p[2 * PAGE] = (char)in.ev.arg;
		}
		ASSERT_LE(0, ctx);
		*other = 2;
		p[0] = 9;
		p[7 * PAGE] = 9;
		CALL(ctx, 41 + round);
		EXPECT_EQ(41 + round, p[2 * PAGE]);
		ROLLBACK(snap, 0);
	}
	EXPECT_TRUE(is_shared_here(p + 2 * PAGE));
	EXPECT_FALSE(is_shared_here(p));
	lwc_close(snap);
	munmap(p, 8 * PAGE);
}

/*
 * A kept state is not changed by what runs inside: what that has shared is private again,
 * and as it was.
 */
LWC_TEST(share_is_not_kept)
{
	char *p = private_memory(4 * PAGE);
	struct lwc_spec spec = MEMORY(SHARE, p, PAGE);
	struct lwc_event ev;
	int ctx, i;

	fill(p, 4 * PAGE, 1);
	CONTEXT_WITH(ctx, NULL, 0, LWC_KEEP) {
		int inner;

		in.reply = p[0] + 100 * is_shared_here(p);
		CONTEXT_WITH(inner, &spec, 1, 0) {
			p[0]++;
		}
		ASSERT_LE(0, inner);
		CALL(inner, 0);
		EXPECT_EQ(2, p[0]);
		EXPECT_EQ(2, p[PAGE]);
		p[PAGE] = 9;
		lwc_close(inner);
	}
	ASSERT_LE(0, ctx);
	for (i = 0; i < 4; i++) {
		ASSERT_EQ(0, lwc_switch(ctx, LWC_FRESH, 0, &ev));
		EXPECT_EQ(1, (long)ev.arg);
	}
	EXPECT_EQ(1, p[0]);
	lwc_close(ctx);
	munmap(p, 4 * PAGE);
}

/* What else was mapped at the same address when a snapshot was taken comes back. */
LWC_TEST(share_of_what_came_later)
{
	/* With holes around it: neighbours have their anonymous pages in common. */
	char *area = private_memory(4 * PAGE), *p = area + PAGE;
	struct lwc_spec spec = MEMORY(SHARE, p, 2 * PAGE);
	int snap, ctx;

	munmap(area, PAGE);
	munmap(area + 3 * PAGE, PAGE);
	fill(p, 2 * PAGE, 1);
	if (!SNAPSHOT(snap)) {
		ASSERT_EQ(0, munmap(p, 2 * PAGE));
		ASSERT_EQ(p, mmap(p, 2 * PAGE, PROT_READ | PROT_WRITE,
				  MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0));
		fill(p, 2 * PAGE, 50);
		CONTEXT_WITH(ctx, &spec, 1, 0) {
			EXPECT_EQ(0, count_wrong(p, 2 * PAGE, 50));
		}
		ASSERT_LE(0, ctx);
		CALL(ctx, 0);
		ROLLBACK(snap, 0);
	}
	EXPECT_EQ(0, count_wrong(p, 2 * PAGE, 1));
	lwc_close(snap);
	munmap(p, 2 * PAGE);
}

/* A forked child shares it too, as it shares any shared memory. */
LWC_TEST(share_and_fork)
{
	char *p = private_memory(PAGE);
	struct lwc_spec spec = MEMORY(SHARE, p, PAGE);
	int ctx, status;

	CONTEXT_WITH(ctx, &spec, 1, 0) {
	}
	ASSERT_LE(0, ctx);
	IN_CHILD(status) {
		p[0] = 5;
	}
	EXPECT_EQ(0, status);
	EXPECT_EQ(5, p[0]);
	lwc_close(ctx);
	munmap(p, PAGE);
}

/* A renew makes what a create would make now. */
LWC_TEST(renewed_view)
{
	char *p = private_memory(8 * PAGE);
	struct lwc_spec specs[] = {
		MEMORY(SHARE, p, 2 * PAGE), MEMORY(READ, p + 2 * PAGE, 2 * PAGE),
		MEMORY(UNMAP, p + 4 * PAGE, 2 * PAGE),
	};
	struct lwc_event ev;
	int ctx, round;

	fill(p, 8 * PAGE, 1);
	CONTEXT_WITH(ctx, specs, ARRAY_SIZE(specs), 0) {
	}
	ASSERT_LE(0, ctx);
	CALL(ctx, 0);
	for (round = 1; round <= 5; round++) {
		p[2 * PAGE] = (char)round;
		ASSERT_EQ(0, lwc_renew(ctx, 0, &ev));
		if (ev.reason == LWC_EV_SWITCH) {
			inside_context = true;
			for (;;) {
				EXPECT_EQ(round, p[2 * PAGE]);
				EXPECT_EQ(SIGSEGV, touch(p + 2 * PAGE, true));
				EXPECT_EQ(SIGSEGV, touch(p + 4 * PAGE, false));
				EXPECT_EQ(7, p[6 * PAGE]);
				p[6 * PAGE] = 99;
				p[PAGE]++;
				munmap(p + 3 * PAGE, PAGE);
				lwc_switch(ev.caller, 0, 0, &ev);
			}
		}
		CALL(ctx, 0);
		EXPECT_EQ(2 + round, p[PAGE]);
		EXPECT_EQ(7, p[6 * PAGE]);
	}
	lwc_close(ctx);
	munmap(p, 8 * PAGE);
}

LWC_TEST(unmap)
{
	char *p = private_memory(8 * PAGE), *q = shared_memory(2 * PAGE);
	int fd = temporary_file(2 * PAGE), ctx;
	char *f = mmap(NULL, 2 * PAGE, PROT_READ, MAP_PRIVATE, fd, 0);
	struct lwc_spec specs[] = {
		MEMORY(UNMAP, p + 2 * PAGE, 3 * PAGE), MEMORY(UNMAP, q, PAGE),
		MEMORY(UNMAP, f + PAGE, PAGE),
	};

	ASSERT_NE(MAP_FAILED, f);
	close(fd);

	fill(p, 8 * PAGE, 1);
	q[0] = 1;
	CONTEXT_WITH(ctx, specs, ARRAY_SIZE(specs), 0) {
		int i;

		for (i = 0; i < 8; i++) {
			const bool there = i < 2 || i > 4;

			EXPECT_EQ(there ? 0 : SIGSEGV, touch(p + i * PAGE, false));
		}
		EXPECT_EQ(SIGSEGV, touch(q, false));
		EXPECT_EQ(0, touch(q + PAGE, false));
		/* The object is still mapped, and is not to be seen through that. */
		EXPECT_EQ(MAP_FAILED, mremap(q + PAGE, PAGE, 2 * PAGE, MREMAP_MAYMOVE));
		EXPECT_EQ(1, f[0]);
		EXPECT_EQ(MAP_FAILED, mremap(f, PAGE, 2 * PAGE, MREMAP_MAYMOVE));
	}
	ASSERT_LE(0, ctx);
	CALL(ctx, 0);
	EXPECT_EQ(0, count_wrong(p, 8 * PAGE, 1));
	lwc_close(ctx);
	munmap(p, 8 * PAGE);
	munmap(q, 2 * PAGE);
}

/* A stack grows back over a hole in it, so what is above one does not grow any more. */
LWC_TEST(unmap_in_a_stack)
{
	volatile char array[64 * PAGE];
	char *p = (char *)(((uintptr_t)array + 24 * PAGE) & ~(PAGE - 1));
	struct lwc_spec specs[] = { MEMORY(UNMAP, p, 16 * PAGE) };
	int ctx;

	fill(array, sizeof(array), 1);
	CONTEXT_WITH(ctx, specs, 1, 0) {
		EXPECT_EQ(SIGSEGV, touch(p + 15 * PAGE, false));
		EXPECT_EQ(SIGSEGV, touch(p + 8 * PAGE, true));
		EXPECT_EQ(SIGSEGV, touch(p, false));
		EXPECT_EQ(0, touch(p - PAGE, true));
		EXPECT_EQ(0, touch(p + 16 * PAGE, true));
		in.reply = 1;
	}
	ASSERT_LE(0, ctx);
	EXPECT_EQ(1, CALL(ctx, 0));
	EXPECT_EQ(0, count_wrong(array, sizeof(array), 1));
	EXPECT_EQ(0, lwc_close(ctx));
}

/* Everything but what it runs on. */
LWC_TEST(later_wins)
{
	char *p = private_memory(8 * PAGE);
	struct lwc_spec specs[] = {
		MEMORY(UNMAP, p, 8 * PAGE), MEMORY(COW, p + PAGE, 5 * PAGE),
		MEMORY(SHARE, p + 2 * PAGE, 2 * PAGE), MEMORY(READ, p + 3 * PAGE, 4 * PAGE),
		MEMORY(UNMAP, p + 5 * PAGE, PAGE),
	};
	int ctx;

	fill(p, 8 * PAGE, 1);
	CONTEXT_WITH(ctx, specs, ARRAY_SIZE(specs), 0) {
		static const char expected[] = "uwwrruru";
		int i;

		for (i = 0; i < 8; i++) {
			const char c = touch(p + i * PAGE, false) ? 'u' :
				       touch(p + i * PAGE, true) ? 'r' : 'w';

			EXPECT_EQ(expected[i], c) {
				TH_LOG("page %d", i);
			}
		}
	}
	ASSERT_LE(0, ctx);
	CALL(ctx, 0);
	/* It wrote 1 to what it could write: of these it shares page 2 alone. */
	EXPECT_EQ(2, p[PAGE]);
	EXPECT_EQ(1, p[2 * PAGE]);
	EXPECT_EQ(4, p[3 * PAGE]);
	lwc_close(ctx);
	munmap(p, 8 * PAGE);
}

/* All memory at once. */
LWC_TEST(whole_memory_read)
{
	/* The kernel itself writes to a stack, and to what belongs to a thread (rseq). */
	const uint64_t own = (uintptr_t)pthread_self() & ~(PAGE - 1);
	const uint64_t stack = (uintptr_t)&own & ~(PAGE - 1);
	/* Not beyond its end: there may be the vdso, which cannot be cut. */
	const uint64_t top = getauxval(AT_EXECFN) & ~(PAGE - 1);
	struct lwc_spec specs[] = {
		{ LWC_MEMORY, LWC_READ, 0, 0, UINT64_MAX },
		{ LWC_MEMORY, LWC_COW, 0, stack - 8 * PAGE, top + PAGE },
		{ LWC_MEMORY, LWC_COW, 0, own - PAGE, own + 2 * PAGE },
	};
	char *p = private_memory(PAGE);
	struct lwc_event ev;
	long answer;
	int r;

	*p = 3;
	r = lwc_create(specs, ARRAY_SIZE(specs), 0, &ev);
	/* Inside, not even the harness could count. */
	if (!r && ev.reason == LWC_EV_SWITCH) {
		answer = mprotect(p, PAGE, PROT_READ | PROT_WRITE) ? *p : -1;
		for (;;)
			lwc_switch(ev.caller, 0, (uint64_t)answer, &ev);
	}
	ASSERT_EQ(0, r);
	EXPECT_EQ(3, CALL(ev.created, 0));
	lwc_close(ev.created);
	munmap(p, PAGE);
}

/* What a context may do to write to what it may only read. */
static void expect_read_only(struct __test_metadata *_metadata, char *p, size_t size, char value)
{
	struct iovec local = { (char[]){ 66 }, 1 }, remote = { p, 1 };
	char byte = 66;
	int fd, zero;
	char *q;

	EXPECT_EQ(value, *p);
	EXPECT_EQ(SIGSEGV, touch(p, true));
	EXPECT_EQ(-1, mprotect(p, size, PROT_READ | PROT_WRITE));
	EXPECT_EQ(EACCES, errno);
	EXPECT_EQ(-1, mprotect(p, size, PROT_WRITE));
	EXPECT_EQ(-1, madvise(p, size, 23 /* MADV_POPULATE_WRITE */));
	EXPECT_EQ(-1, process_vm_writev(getpid(), &local, 1, &remote, 1, 0));
	zero = open("/dev/zero", O_RDONLY | O_CLOEXEC);
	ASSERT_LE(0, zero);
	EXPECT_EQ(-1, read(zero, p, 1));
	EXPECT_EQ(EFAULT, errno);
	close(zero);
	fd = open("/proc/self/mem", O_RDWR | O_CLOEXEC);
	if (fd >= 0) {
		EXPECT_EQ(-1, pwrite(fd, &byte, 1, (off_t)(uintptr_t)p));
		close(fd);
	}
	/* Somewhere else it is what it is here; and no larger. */
	EXPECT_EQ(MAP_FAILED, mremap(p, 0, 2 * size, MREMAP_MAYMOVE));
	q = mremap(p, size, size, MREMAP_MAYMOVE | MREMAP_FIXED, p + (64ul << 20));
	if (q != MAP_FAILED) {
		EXPECT_EQ(value, *q);
		EXPECT_EQ(SIGSEGV, touch(q, true));
		EXPECT_EQ(-1, mprotect(q, size, PROT_READ | PROT_WRITE));
		EXPECT_EQ(p, mremap(q, size, size, MREMAP_MAYMOVE | MREMAP_FIXED, p));
	}
	/* Nor by another: neither a child nor what is made inside. */
	EXPECT_EQ(value, *p);
}

LWC_TEST(read_private)
{
	char *p = private_memory(8 * PAGE);
	struct lwc_spec spec = MEMORY(READ, p + 2 * PAGE, 2 * PAGE);
	int ctx, status;

	fill(p, 8 * PAGE, 1);
	CONTEXT_WITH(ctx, &spec, 1, 0) {
		expect_read_only(_metadata, p + 2 * PAGE, 2 * PAGE, 3);
		EXPECT_EQ(0, touch(p, true));
		IN_CHILD(status) {
			expect_read_only(_metadata, p + 2 * PAGE, 2 * PAGE, 3);
		}
		EXPECT_EQ(0, status);
	}
	ASSERT_LE(0, ctx);
	/* A copy, frozen at creation. */
	p[2 * PAGE] = 50;
	CALL(ctx, 0);
	EXPECT_EQ(50, p[2 * PAGE]);
	EXPECT_EQ(0, touch(p + 2 * PAGE, true));
	lwc_close(ctx);
	munmap(p, 8 * PAGE);
}

LWC_TEST(read_shared)
{
	int fd = temporary_file(4 * PAGE);
	char *p = mmap(NULL, 4 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	struct lwc_spec specs[] = {
		MEMORY(READ, p, 2 * PAGE), { LWC_FILES, LWC_UNMAP, 0, fd, fd + 1 },
	};
	int ctx, status;

	ASSERT_NE(MAP_FAILED, p);
	/* Page tables of the creator must not matter. */
	*p = 4;
	CONTEXT_WITH(ctx, specs, 2, 0) {
		expect_read_only(_metadata, p, 2 * PAGE, (char)in.ev.arg);
		/* Another part of the same object is no way to it. */
		EXPECT_EQ(0, touch(p + 2 * PAGE, true));
		EXPECT_EQ(MAP_FAILED, mremap(p + 2 * PAGE, 2 * PAGE, 4 * PAGE, MREMAP_MAYMOVE));
		EXPECT_EQ(MAP_FAILED, mremap(p + 2 * PAGE, 0, 4 * PAGE, MREMAP_MAYMOVE));
		EXPECT_EQ(-1, syscall(SYS_remap_file_pages, p + 2 * PAGE, PAGE, 0, 0, 0));
		EXPECT_EQ(-1, syscall(SYS_remap_file_pages, p + 2 * PAGE, 2 * PAGE, 0, 0, 0));
		IN_CHILD(status) {
			EXPECT_EQ(-1, syscall(SYS_remap_file_pages, p + 2 * PAGE, PAGE, 0, 0, 0));
		}
		EXPECT_EQ(0, status);
		/* Nor does it become another kind of mapping by what anyone may ask for. */
		EXPECT_EQ(0, madvise(p + 2 * PAGE, 2 * PAGE, MADV_DONTFORK));
		EXPECT_EQ(-1, syscall(SYS_remap_file_pages, p + 2 * PAGE, PAGE, 0, 0, 0));
		EXPECT_EQ(0, madvise(p + 2 * PAGE, 2 * PAGE, MADV_DOFORK));
	}
	ASSERT_LE(0, ctx);
	/* A live view. */
	*p = 5;
	CALL(ctx, 5);
	*p = 6;
	CALL(ctx, 6);
	EXPECT_EQ(0, touch(p, true));
	EXPECT_EQ(p, mremap(p, 4 * PAGE, 4 * PAGE, 0));
	lwc_close(ctx);
	/* A program that sees all may do as it likes. */
	EXPECT_EQ(0, syscall(SYS_remap_file_pages, p + 2 * PAGE, PAGE, 0, 0, 0));
	munmap(p, 4 * PAGE);
	close(fd);
}

/* What is kept, recorded or renewed of it is no way to it either. */
LWC_TEST(read_and_snapshots)
{
	char *p = private_memory(2 * PAGE);
	struct lwc_spec spec = MEMORY(READ, p, PAGE);
	struct lwc_event ev;
	int ctx, i;

	fill(p, 2 * PAGE, 1);
	CONTEXT_WITH(ctx, &spec, 1, LWC_KEEP) {
		expect_read_only(_metadata, p, PAGE, 1);
		EXPECT_EQ(2, p[PAGE]);
		p[PAGE] = 5;
		/* It may take it away from itself; that is not for ever. */
		madvise(p, PAGE, MADV_DONTNEED);
		if (in.ev.arg & 1)
			munmap(p, PAGE);
	}
	ASSERT_LE(0, ctx);
	for (i = 0; i < 6; i++)
		ASSERT_EQ(0, lwc_switch(ctx, LWC_FRESH, (uint64_t)i, &ev));
	lwc_close(ctx);
	CONTEXT_WITH(ctx, &spec, 1, 0) {
		int snap;
		long round = SNAPSHOT(snap);

		expect_read_only(_metadata, p, PAGE, 1);
		EXPECT_EQ(2, p[PAGE]);
		p[PAGE] = 5;
		if (round < 3)
			ROLLBACK(snap, 0);
		lwc_close(snap);
	}
	ASSERT_LE(0, ctx);
	CALL(ctx, 0);
	lwc_close(ctx);
	munmap(p, 2 * PAGE);
}

/* Where sharing is refused, nothing has changed. */
LWC_TEST(share_refused)
{
	char *p = private_memory(4 * PAGE), *stack = (char *)&p;
	struct lwc_spec specs[2] = {
		MEMORY(SHARE, p, 4 * PAGE),
		MEMORY(SHARE, (uintptr_t)stack & ~(PAGE - 1), PAGE),
	};
	long before = counter("contexts");
	struct lwc_event ev;

	fill(p, 4 * PAGE, 1);
	EXPECT_ERR(lwc_create, EOPNOTSUPP, lwc_create(specs, 2, 0, &ev));
	EXPECT_FALSE(is_shared_here(p));
	EXPECT_EQ(0, count_wrong(p, 4 * PAGE, 1));
	EXPECT_EQ(before, contexts_settle(before));
	munmap(p, 4 * PAGE);
}

/* Nothing becomes shared where there is no number for the new context. */
LWC_TEST(share_without_a_descriptor)
{
	char *p = private_memory(4 * PAGE);
	struct lwc_spec spec = MEMORY(SHARE, p, 4 * PAGE);
	struct lwc_event ev;
	int fds[1024], n = 0, ctx;

	features();
	fill(p, 4 * PAGE, 1);
	for (;;) {
		int fd = dup(2);

		if (fd < 0)
			break;
		ASSERT_GT(1024, n);
		fds[n++] = fd;
	}
	EXPECT_ERR(lwc_create, EMFILE, lwc_create(&spec, 1, 0, &ev));
	while (n > 0)
		close(fds[--n]);
	EXPECT_FALSE(is_shared_here(p));
	EXPECT_EQ(0, count_wrong(p, 4 * PAGE, 1));
	CONTEXT_WITH(ctx, &spec, 1, 0) {
		p[0] = 9;
	}
	ASSERT_LE(0, ctx);
	CALL(ctx, 0);
	EXPECT_TRUE(is_shared_here(p));
	EXPECT_EQ(9, p[0]);
}

/* Who has a page pinned would go on writing to the one that is no longer mapped. */
LWC_TEST(share_pinned)
{
	char *p = private_memory(4 * PAGE);
	struct lwc_spec spec = MEMORY(SHARE, p, 4 * PAGE);
	struct pinner pinner;
	struct lwc_event ev;
	int ctx;

	NEED_ROOT();
	fill(p, 4 * PAGE, 1);
	NEED_PINNER(&pinner, p + 16);
	EXPECT_EQ('p', go_on(&pinner));
	EXPECT_ERR(lwc_create, EBUSY, lwc_create(&spec, 1, 0, &ev));
	EXPECT_FALSE(is_shared_here(p));
	EXPECT_EQ('w', go_on(&pinner));
	EXPECT_EQ('w', p[16]);
	/* It has let go. */
	CONTEXT_WITH(ctx, &spec, 1, 0) {
		p[17] = 'x';
	}
	ASSERT_LE(0, ctx);
	CALL(ctx, 0);
	EXPECT_EQ('x', p[17]);
	EXPECT_EQ(0, count_wrong(p, 4 * PAGE, 1));
	lwc_close(ctx);
	pinner_end(_metadata, &pinner);
	munmap(p, 4 * PAGE);
}

/* The pages that a copy gets in place of pinned ones must not be writable either. */
LWC_TEST(read_pinned)
{
	char *p = private_memory(PAGE);
	struct lwc_spec spec = MEMORY(READ, p, PAGE);
	struct pinner pinner;
	int ctx;

	NEED_ROOT();
	*p = 7;
	NEED_PINNER(&pinner, p + 16);
	EXPECT_EQ('p', go_on(&pinner));
	CONTEXT_WITH(ctx, &spec, 1, 0) {
		expect_read_only(_metadata, p, PAGE, 7);
	}
	ASSERT_LE(0, ctx);
	CALL(ctx, 0);
	lwc_close(ctx);
	EXPECT_EQ('w', go_on(&pinner));
	pinner_end(_metadata, &pinner);
	munmap(p, PAGE);
}

/* Not there in a copy, whatever is said of it; zero, as after fork. */
LWC_TEST(share_what_is_not_inherited)
{
	char *p = private_memory(4 * PAGE);
	struct lwc_spec spec = MEMORY(SHARE, p, 4 * PAGE);
	int ctx;

	fill(p, 4 * PAGE, 1);
	ASSERT_EQ(0, madvise(p + PAGE, PAGE, MADV_DONTFORK));
	ASSERT_EQ(0, madvise(p + 2 * PAGE, PAGE, MADV_WIPEONFORK));
	CONTEXT_WITH(ctx, &spec, 1, 0) {
		EXPECT_EQ(SIGSEGV, touch(p + PAGE, false));
		EXPECT_EQ(0, p[2 * PAGE]);
		p[2 * PAGE] = 9;
		p[0] = 9;
	}
	ASSERT_LE(0, ctx);
	CALL(ctx, 0);
	EXPECT_EQ(9, p[0]);
	EXPECT_EQ(2, p[PAGE]);
	EXPECT_EQ(3, p[2 * PAGE]);
	lwc_close(ctx);
	munmap(p, 4 * PAGE);
}

struct writer {
	pthread_t thread;
	volatile long *words;
	volatile bool stop;
	long written;
};

static void *write_on(void *arg)
{
	struct writer *writer = arg;
	long n = 0;

	while (!writer->stop) {
		n++;
		writer->words[(n % 16) * (long)(PAGE / sizeof(long))] = n;
	}
	writer->written = n;
	return NULL;
}

/* Another thread writes all the time: no write is lost while memory becomes shared. */
LWC_TEST(share_under_a_writer)
{
	int round;

	for (round = 0; round < 20; round++) {
		struct writer writer = { .words = private_memory(16 * PAGE) };
		struct lwc_spec spec = MEMORY(SHARE, writer.words, 16 * PAGE);
		int ctx, i;
		long wrong = 0, n;

		ASSERT_EQ(0, pthread_create(&writer.thread, NULL, write_on, &writer));
		while (!writer.words[0])
			sched_yield();
		CONTEXT_WITH(ctx, &spec, 1, 0) {
		}
		ASSERT_LE(0, ctx);
		/* Enough to go round, or to stop at once. */
		if (round & 1)
			usleep(1000);
		writer.stop = true;
		ASSERT_EQ(0, pthread_join(writer.thread, NULL));
		n = writer.written;
		for (i = 0; i < 16; i++)
			wrong += writer.words[((n - i) % 16) * (long)(PAGE / sizeof(long))] != n - i;
		EXPECT_EQ(0, wrong);
		lwc_close(ctx);
		munmap((void *)writer.words, 16 * PAGE);
	}
}

LWC_TEST(features_say_so)
{
	struct lwc_features features;

	ASSERT_EQ(0, lwc_features(&features));
	EXPECT_EQ(1 << LWC_MEMORY, (int)(features.spec_types & (1 << LWC_MEMORY)));
	EXPECT_EQ((1 << LWC_COW) | (1 << LWC_SHARE) | (1 << LWC_READ) | (1 << LWC_UNMAP),
		  (int)features.spec_modes);
}

TEST_HARNESS_MAIN
