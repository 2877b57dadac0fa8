// SPDX-License-Identifier: GPL-2.0
/*
 * lwc_overlay of memory: ranges of another context come here, in the place of what is
 * there. In each mode, of each kind of memory, across mappings and holes; what is not
 * asked for, or there is no right to, must stay what it is, here and there; and what
 * fails changes nothing.
 */
#include "memory.h"
#include "pinned.h"
#include "zram.h"

#include <linux/userfaultfd.h>

#ifndef SYS_mseal
#define SYS_mseal	462
#endif

static const int THERE = 50;

/* A context that fills @p when it is told to, and says how many pages are not as it left them. */
static int context_that_fills(struct __test_metadata *_metadata, char *p, size_t size)
{
	int ctx;

	CONTEXT(ctx) {
		if (in.ev.arg == 1)
			fill(p, size, THERE);
		in.reply = count_wrong(p, size, THERE);
	}
	EXPECT_LE(0, ctx);
	return ctx;
}

LWC_TEST(copy)
{
	const size_t size = 8 * PAGE;
	char *p = private_memory(size);
	struct lwc_spec spec = MEMORY(COW, p, size);
	int ctx;

	fill(p, size, 1);
	ctx = context_that_fills(_metadata, p, size);
	EXPECT_EQ(0, CALL(ctx, 1));
	EXPECT_EQ(0, count_wrong(p, size, 1));
	ASSERT_EQ(0, lwc_overlay(ctx, &spec, 1));
	EXPECT_EQ(0, count_wrong(p, size, THERE));
	/* It is a copy, for both. */
	fill(p, size, 2);
	EXPECT_EQ(0, CALL(ctx, 0));
	ASSERT_EQ(0, lwc_overlay(ctx, &spec, 1));
	EXPECT_EQ(0, CALL(ctx, 1));
	EXPECT_EQ(0, count_wrong(p, size, THERE));
	fill(p, size, 3);
	lwc_close(ctx);
	EXPECT_EQ(0, count_wrong(p, size, 3));
	/* And memory like any other: what is given back is empty afterwards. */
	ASSERT_EQ(0, madvise(p, size, MADV_DONTNEED));
	EXPECT_EQ(0, p[0]);
	EXPECT_EQ(0, munmap(p, size));
}

/* The middle of a mapping, here and there. */
LWC_TEST(copy_in_the_middle)
{
	char *p = private_memory(10 * PAGE);
	struct lwc_spec spec = MEMORY(COW, p + 3 * PAGE, 4 * PAGE);
	int ctx;

	fill(p, 10 * PAGE, 1);
	ctx = context_that_fills(_metadata, p, 10 * PAGE);
	CALL(ctx, 1);
	ASSERT_EQ(0, lwc_overlay(ctx, &spec, 1));
	EXPECT_EQ(0, count_wrong(p, 3 * PAGE, 1));
	EXPECT_EQ(0, count_wrong(p + 3 * PAGE, 4 * PAGE, THERE + 3));
	EXPECT_EQ(0, count_wrong(p + 7 * PAGE, 3 * PAGE, 8));
	fill(p, 10 * PAGE, 5);
	EXPECT_EQ(0, count_wrong(p, 10 * PAGE, 5));
	EXPECT_EQ(0, CALL(ctx, 0));
}

/* A hole there is a hole here, and what has been mapped there is mapped here. */
LWC_TEST(holes_and_mappings)
{
	char *p = private_memory(8 * PAGE);
	struct lwc_spec spec = MEMORY(COW, p, 8 * PAGE);
	int ctx;

	munmap(p + 6 * PAGE, 2 * PAGE);
	fill(p, 6 * PAGE, 1);
	CONTEXT(ctx) {
		munmap(p + PAGE, PAGE);
		mprotect(p + 2 * PAGE, PAGE, PROT_NONE);
		mmap(p + 6 * PAGE, PAGE, PROT_READ | PROT_WRITE,
		     MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
		p[6 * PAGE] = 77;
	}
	ASSERT_LE(0, ctx);
	CALL(ctx, 0);
	ASSERT_EQ(0, lwc_overlay(ctx, &spec, 1));
	EXPECT_EQ(1, p[0]);
	EXPECT_EQ(SIGSEGV, touch(p + PAGE, false));
	EXPECT_EQ(SIGSEGV, touch(p + 2 * PAGE, false));
	EXPECT_EQ(0, mprotect(p + 2 * PAGE, PAGE, PROT_READ));
	EXPECT_EQ(3, p[2 * PAGE]);
	EXPECT_EQ(4, p[3 * PAGE]);
	EXPECT_EQ(77, p[6 * PAGE]);
	EXPECT_EQ(SIGSEGV, touch(p + 7 * PAGE, false));
	/* Nothing is there: nothing is here. */
	spec = (struct lwc_spec)MEMORY(COW, p + 7 * PAGE, PAGE);
	mmap(p + 7 * PAGE, PAGE, PROT_READ | PROT_WRITE,
	     MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
	ASSERT_EQ(0, lwc_overlay(ctx, &spec, 1));
	EXPECT_EQ(SIGSEGV, touch(p + 7 * PAGE, false));
}

/* What fork() leaves out, or empties. */
LWC_TEST(not_inherited)
{
	char *p = private_memory(4 * PAGE);
	struct lwc_spec spec = MEMORY(COW, p, 4 * PAGE);
	int ctx;

	fill(p, 4 * PAGE, 1);
	CONTEXT(ctx) {
		fill(p, 4 * PAGE, THERE);
		madvise(p + PAGE, PAGE, MADV_DONTFORK);
		madvise(p + 2 * PAGE, PAGE, MADV_WIPEONFORK);
		mlock(p + 3 * PAGE, PAGE);
	}
	ASSERT_LE(0, ctx);
	CALL(ctx, 0);
	ASSERT_EQ(0, lwc_overlay(ctx, &spec, 1));
	EXPECT_EQ(THERE, p[0]);
	EXPECT_EQ(SIGSEGV, touch(p + PAGE, false));
	EXPECT_EQ(0, p[2 * PAGE]);
	EXPECT_EQ(THERE + 3, p[3 * PAGE]);
	EXPECT_EQ(0, status_field("VmLck:"));
}

LWC_TEST(share)
{
	const size_t size = 6 * PAGE;
	char *p = private_memory(size);
	struct lwc_spec spec = MEMORY(SHARE, p + PAGE, 4 * PAGE);
	int ctx, child, status;

	fill(p, size, 1);
	CONTEXT(ctx) {
		if (in.ev.arg)
			fill(p, size, (int)in.ev.arg);
		in.reply = p[2 * PAGE];
	}
	ASSERT_LE(0, ctx);
	CALL(ctx, THERE);
	ASSERT_EQ(0, lwc_overlay(ctx, &spec, 1));
	EXPECT_EQ(1, p[0]);
	EXPECT_EQ(0, count_wrong(p + PAGE, 4 * PAGE, THERE + 1));
	EXPECT_EQ(6, p[5 * PAGE]);
	p[2 * PAGE] = 9;
	EXPECT_EQ(9, CALL(ctx, 0));
	CALL(ctx, 20);
	EXPECT_EQ(0, count_wrong(p + PAGE, 4 * PAGE, 21));
	EXPECT_EQ(1, p[0]);
	/* Once more, of what is shared already; and with a child. */
	ASSERT_EQ(0, lwc_overlay(ctx, &spec, 1));
	IN_CHILD(status) {
		p[2 * PAGE] = 33;
	}
	EXPECT_EQ(0, status);
	EXPECT_EQ(33, p[2 * PAGE]);
	EXPECT_EQ(33, CALL(ctx, 0));
	/* It stays when the other is gone. */
	lwc_close(ctx);
	EXPECT_EQ(33, p[2 * PAGE]);
	/* What it is for the next one. */
	CONTEXT(child) {
		p[2 * PAGE] = 34;
	}
	ASSERT_LE(0, child);
	CALL(child, 0);
	EXPECT_EQ(34, p[2 * PAGE]);
}

/* The other goes on from a snapshot, or is renewed: what is shared stays so. */
LWC_TEST(share_and_rollback_there)
{
	char *p = private_memory(2 * PAGE);
	struct lwc_spec spec = MEMORY(SHARE, p, PAGE);
	struct lwc_event ev;
	int ctx;

	p[0] = 1;
	p[PAGE] = 1;
	CONTEXT(ctx) {
		struct lwc_event inner;

		/* Until now p[] is private here, and then it is not. */
		p[0] = THERE;
		p[PAGE] = THERE;
		ASSERT_EQ(0, lwc_snapshot(-1, 0, &inner));
		if (!shm[0]++) {
			p[PAGE] = 7;
			lwc_switch(in.ev.caller, 0, 0, &in.ev);
			p[0] = 8;
			ROLLBACK(inner.created, 0);
		}
		in.reply = p[0] * 256 + p[PAGE];
	}
	ASSERT_LE(0, ctx);
	CALL(ctx, 0);
	ASSERT_EQ(0, lwc_overlay(ctx, &spec, 1));
	EXPECT_EQ(THERE, p[0]);
	EXPECT_EQ(8 * 256 + THERE, CALL(ctx, 0));
	EXPECT_EQ(8, p[0]);
	EXPECT_EQ(1, p[PAGE]);
	ASSERT_EQ(0, lwc_renew(ctx, 0, &ev));
	if (ev.reason == LWC_EV_SWITCH) {
		inside_context = true;
		p[0]++;
		lwc_switch(ev.caller, 0, p[PAGE], &ev);
	}
	EXPECT_EQ(1, CALL(ctx, 0));
	EXPECT_EQ(9, p[0]);
}

LWC_TEST(read_only)
{
	char *p = private_memory(2 * PAGE), *q = shared_memory(2 * PAGE);
	struct lwc_spec specs[] = { MEMORY(READ, p, 2 * PAGE), MEMORY(READ, q, PAGE) };
	int ctx, mem;

	fill(p, 2 * PAGE, 1);
	CONTEXT(ctx) {
		p[0] = (char)in.ev.arg;
		q[0] = (char)in.ev.arg;
		q[PAGE] = (char)in.ev.arg;
	}
	ASSERT_LE(0, ctx);
	CALL(ctx, 10);
	ASSERT_EQ(0, lwc_overlay(ctx, specs, 2));
	/* Private memory as it was; shared memory as it is. */
	EXPECT_EQ(10, p[0]);
	EXPECT_EQ(10, q[0]);
	CALL(ctx, 11);
	EXPECT_EQ(10, p[0]);
	EXPECT_EQ(11, q[0]);
	EXPECT_EQ(SIGSEGV, touch(p, true));
	EXPECT_EQ(SIGSEGV, touch(q, true));
	EXPECT_EQ(0, touch(q + PAGE, true));
	/* For good. */
	EXPECT_EQ(-1, mprotect(p, PAGE, PROT_READ | PROT_WRITE));
	EXPECT_EQ(EACCES, errno);
	EXPECT_EQ(-1, mprotect(q, PAGE, PROT_READ | PROT_WRITE));
	EXPECT_EQ(EACCES, errno);
	mem = open("/proc/self/mem", O_RDWR | O_CLOEXEC);
	ASSERT_LE(0, mem);
	EXPECT_EQ(-1, pwrite(mem, "x", 1, (off_t)(uintptr_t)p));
	EXPECT_EQ(-1, pwrite(mem, "x", 1, (off_t)(uintptr_t)q));
	close(mem);
	EXPECT_EQ(11, q[0]);
	CALL(ctx, 12);
	EXPECT_EQ(12, q[0]);
}

/* Memory of files: the program's data, a private mapping that is written to in part. */
LWC_TEST(files_and_data)
{
	static char data[4 * PAGE] __attribute__((aligned(4096))) = { 1 };
	int ctx, fd = memfd_create("overlay", 0);
	char text[PAGE] = "of the file";
	struct lwc_spec specs[2];
	char *p;

	ASSERT_EQ((ssize_t)PAGE, write(fd, text, PAGE));
	ASSERT_EQ((ssize_t)PAGE, write(fd, text, PAGE));
	p = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
	ASSERT_NE(MAP_FAILED, p);
	specs[0] = (struct lwc_spec)MEMORY(COW, data, sizeof(data));
	specs[1] = (struct lwc_spec)MEMORY(COW, p, 2 * PAGE);
	data[PAGE] = 2;
	CONTEXT(ctx) {
		data[0] = 11;
		data[3 * PAGE] = 12;
		p[PAGE] = 'O';
	}
	ASSERT_LE(0, ctx);
	CALL(ctx, 0);
	data[PAGE] = 3;
	ASSERT_EQ(0, lwc_overlay(ctx, specs, 2));
	EXPECT_EQ(11, data[0]);
	EXPECT_EQ(2, data[PAGE]);
	EXPECT_EQ(12, data[3 * PAGE]);
	EXPECT_STREQ("of the file", p);
	EXPECT_STREQ("Of the file", p + PAGE);
	/* The file is still what is below. */
	ASSERT_EQ(2, pwrite(fd, "OF", 2, 0));
	EXPECT_STREQ("OF the file", p);
}

LWC_TEST(huge_pages)
{
	const size_t huge = 2ul << 20;
	char *area = private_memory(4 * huge), *p;
	struct lwc_spec spec;
	int ctx;

	p = (char *)(((uintptr_t)area + huge - 1) & ~(huge - 1));
	madvise(p, 3 * huge, MADV_HUGEPAGE);
	fill(p, 3 * huge, 1);
	CONTEXT(ctx) {
		madvise(p, 3 * huge, MADV_DONTNEED);
		fill(p, 3 * huge, THERE);
		in.reply = count_wrong(p, 3 * huge, THERE);
	}
	ASSERT_LE(0, ctx);
	CALL(ctx, 0);
	/* From the middle of one, all of the next, to the middle of the third. */
	spec = (struct lwc_spec)MEMORY(COW, p + huge / 2, 2 * huge);
	ASSERT_EQ(0, lwc_overlay(ctx, &spec, 1));
	EXPECT_EQ(0, count_wrong(p, huge / 2, 1));
	EXPECT_EQ(0, count_wrong(p + huge / 2, 2 * huge, THERE + 256));
	EXPECT_EQ(0, count_wrong(p + 5 * huge / 2, huge / 2, 1 + 5 * 256));
	fill(p, 3 * huge, 9);
	EXPECT_EQ(0, count_wrong(p, 3 * huge, 9));
	EXPECT_EQ(0, CALL(ctx, 0));
}

LWC_TEST(swapped_out)
{
	const size_t size = 64 * PAGE;
	char *p = private_memory(size);
	struct lwc_spec spec = MEMORY(COW, p, size);
	int ctx, swap;

	if (!swap_begin(&swap))
		SKIP(return, "needs zram, and the right to swap to it");
	CONTEXT(ctx) {
		if (in.ev.arg) {
			fill(p, size, THERE);
			madvise(p, size, MADV_PAGEOUT);
		}
		in.reply = count_wrong(p, size, THERE);
	}
	ASSERT_LE(0, ctx);
	CALL(ctx, 1);
	madvise(p, size, MADV_PAGEOUT);
	ASSERT_EQ(0, lwc_overlay(ctx, &spec, 1));
	EXPECT_EQ(0, count_wrong(p, size, THERE));
	madvise(p, size, MADV_PAGEOUT);
	ASSERT_EQ(0, lwc_overlay(ctx, &spec, 1));
	EXPECT_EQ(0, count_wrong(p, size, THERE));
	EXPECT_EQ(0, CALL(ctx, 0));
	lwc_close(ctx);
	munmap(p, size);
	swap_end(swap);
}

/* What came by an overlay goes by a rollback, and the engine copies on. */
LWC_TEST(rolled_back)
{
	const size_t size = 16 * PAGE;
	char *p = private_memory(size);
	struct lwc_spec spec = MEMORY(COW, p + 4 * PAGE, 8 * PAGE);
	int ctx, snap, round;

	fill(p, size, 1);
	ctx = context_that_fills(_metadata, p, size);
	CALL(ctx, 1);
	round = SNAPSHOT(snap);
	EXPECT_EQ(0, count_wrong(p, size, 1));
	if (round < 6) {
		if (round & 1)
			fill(p, size, 2);
		ASSERT_EQ(0, lwc_overlay(ctx, &spec, 1));
		EXPECT_EQ(0, count_wrong(p + 4 * PAGE, 8 * PAGE, THERE + 4));
		if (round & 2)
			fill(p + 2 * PAGE, 4 * PAGE, 3);
		ROLLBACK(snap, 0);
	}
	lwc_close(snap);
	/* The other way round: a renew from here, with what has come. */
	for (round = 0; round < 4; round++) {
		struct lwc_event ev;

		ASSERT_EQ(0, lwc_overlay(ctx, &spec, 1));
		p[5 * PAGE] = (char)round;
		ASSERT_EQ(0, lwc_renew(ctx, 0, &ev));
		if (ev.reason == LWC_EV_SWITCH) {
			inside_context = true;
			for (;;) {
				long wrong = p[5 * PAGE] != (char)round;

				wrong += count_wrong(p + 6 * PAGE, 6 * PAGE, THERE + 6);
				wrong += count_wrong(p, 4 * PAGE, 1);
				fill(p + 4 * PAGE, 8 * PAGE, THERE + 4);
				lwc_switch(ev.caller, 0, wrong, &ev);
			}
		}
		EXPECT_EQ(0, CALL(ctx, 0));
	}
}

LWC_TEST(granted)
{
	const size_t size = 8 * PAGE;
	char *p = private_memory(size);
	struct lwc_spec specs[] = { MEMORY(COW, p, size), MEMORY(READ, p + 2 * PAGE, 2 * PAGE) };
	struct lwc_spec want = MEMORY(COW, p, 2 * PAGE);
	int ctx;

	specs[0].flags = LWC_GRANT;
	specs[1].flags = LWC_GRANT;
	fill(p, size, 1);
	CONTEXT_WITH(ctx, specs, 2, 0) {
		int creator = in.ev.caller;

		EXPECT_EQ(0, lwc_overlay(creator, &want, 1));
		in.reply = count_wrong(p, 2 * PAGE, 5);
		/* What is granted for reading is not to be had otherwise. */
		want = (struct lwc_spec)MEMORY(COW, p + 2 * PAGE, PAGE);
		EXPECT_ERR(lwc_overlay, EPERM, lwc_overlay(creator, &want, 1));
		want = (struct lwc_spec)MEMORY(SHARE, p + PAGE, 2 * PAGE);
		EXPECT_ERR(lwc_overlay, EPERM, lwc_overlay(creator, &want, 1));
		want = (struct lwc_spec)MEMORY(COW, p - PAGE, 2 * PAGE);
		EXPECT_ERR(lwc_overlay, EPERM, lwc_overlay(creator, &want, 1));
		want = (struct lwc_spec)MEMORY(READ, p + PAGE, 3 * PAGE);
		EXPECT_EQ(0, lwc_overlay(creator, &want, 1));
		in.reply += count_wrong(p + PAGE, 3 * PAGE, 6);
		EXPECT_EQ(SIGSEGV, touch(p + 2 * PAGE, true));
	}
	ASSERT_LE(0, ctx);
	fill(p, size, 5);
	EXPECT_EQ(0, CALL(ctx, 0));
	EXPECT_EQ(0, count_wrong(p, size, 5));
}

/* It sees page 1 of four, and is not to come to the others. */
static void expect_part(struct __test_metadata *_metadata, char *p, char *area)
{
	EXPECT_EQ(2, p[PAGE]);
	EXPECT_EQ(MAP_FAILED, mremap(p + PAGE, PAGE, 3 * PAGE, MREMAP_MAYMOVE));
	EXPECT_EQ(MAP_FAILED, mremap(p + PAGE, 0, 3 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, area));
	EXPECT_EQ(-1, remap_file_pages(p + PAGE, PAGE, 0, 2, 0));
	EXPECT_EQ(2, p[PAGE]);
	EXPECT_EQ(SIGSEGV, touch(p, false));
	EXPECT_EQ(SIGSEGV, touch(p + 2 * PAGE, false));
}

/* Of a shared object only the part that there is a right to: it does not grow. */
LWC_TEST(part_of_an_object)
{
	char *p = shared_memory(4 * PAGE), *area = private_memory(8 * PAGE);
	struct lwc_spec part = MEMORY(COW, p + PAGE, PAGE), all = MEMORY(COW, p, 4 * PAGE);
	const int self = lwc_self();
	struct lwc_spec nothing_but_self[] = {
		MEMORY(UNMAP, p, 4 * PAGE),
		{ LWC_FILES, LWC_COW, LWC_INHERIT, self, self + 1 },
	};
	struct lwc_spec granted[] = { MEMORY(UNMAP, p, 4 * PAGE), MEMORY(COW, p + PAGE, PAGE) };
	int ctx;

	fill(p, 4 * PAGE, 1);
	ASSERT_LE(0, self);
	ASSERT_EQ(0, lwc_restrict(self, LWC_MAY_OVERLAY, &part, 1));
	CONTEXT_WITH(ctx, nothing_but_self, 2, 0) {
		EXPECT_EQ(SIGSEGV, touch(p + PAGE, false));
		EXPECT_ERR(lwc_overlay, EPERM, lwc_overlay(self, &all, 1));
		EXPECT_EQ(0, lwc_overlay(self, &part, 1));
		expect_part(_metadata, p, area);
		p[PAGE] = 66;
	}
	ASSERT_LE(0, ctx);
	CALL(ctx, 0);
	/* Shared memory is shared also where a copy is asked for, as by fork. */
	EXPECT_EQ(66, p[PAGE]);
	lwc_close(ctx);

	/* The same of what it was given when it was made. */
	fill(p, 4 * PAGE, 1);
	CONTEXT_WITH(ctx, granted, 2, 0) {
		expect_part(_metadata, p, area);
	}
	ASSERT_LE(0, ctx);
	CALL(ctx, 0);
}

/* The stack that the call returns to, and what other threads come back to. */
LWC_TEST(in_the_way)
{
	struct lwc_spec spec = { LWC_MEMORY, LWC_COW, 0, 0, UINT64_MAX };
	volatile char frame[8 * PAGE];
	uintptr_t here = (uintptr_t)frame & ~(PAGE - 1);
	char *p = private_memory(PAGE);
	int ctx;

	frame[0] = 1;

	ctx = context_that_fills(_metadata, p, PAGE);
	CALL(ctx, 1);
	p[0] = 1;
	EXPECT_ERR(lwc_overlay, EINVAL, lwc_overlay(ctx, &spec, 1));
	EXPECT_EQ(1, p[0]);
	spec = (struct lwc_spec)MEMORY(COW, here, PAGE);
	EXPECT_ERR(lwc_overlay, EINVAL, lwc_overlay(ctx, &spec, 1));
	spec = (struct lwc_spec)MEMORY(READ, here + 4 * PAGE, PAGE);
	EXPECT_ERR(lwc_overlay, EINVAL, lwc_overlay(ctx, &spec, 1));
	/* Far below it there is nothing of ours. */
	spec = (struct lwc_spec)MEMORY(COW, here - 64 * PAGE, PAGE);
	EXPECT_EQ(0, lwc_overlay(ctx, &spec, 1));
}

/* On a stack that does not grow by itself: what lies above may be something else. */
static void *overlay_beside_stack(void *arg)
{
	struct __test_metadata *_metadata = arg;
	uintptr_t here = (uintptr_t)__builtin_frame_address(0) & ~(PAGE - 1);
	char *p = (char *)shm[0];
	struct lwc_spec spec = MEMORY(COW, p, PAGE);
	int ctx = context_that_fills(_metadata, p, PAGE);

	CALL(ctx, 1);
	p[0] = 1;
	EXPECT_EQ(0, lwc_overlay(ctx, &spec, 1));
	EXPECT_EQ(THERE, p[0]);
	spec = (struct lwc_spec)MEMORY(COW, here, PAGE);
	EXPECT_ERR(lwc_overlay, EINVAL, lwc_overlay(ctx, &spec, 1));
	return NULL;
}

LWC_TEST(beside_the_stack_of_a_thread)
{
	char *p = private_memory(17 * PAGE);
	pthread_attr_t attr;
	pthread_t thread;

	/* One mapping: the stack, and a page above it. */
	shm[0] = (long)(p + 16 * PAGE);
	pthread_attr_init(&attr);
	ASSERT_EQ(0, pthread_attr_setstack(&attr, p, 16 * PAGE));
	ASSERT_EQ(0, pthread_create(&thread, &attr, overlay_beside_stack, _metadata));
	pthread_join(thread, NULL);
}

/* A thread with a context of its own, into which it goes, and where it writes all the time. */
struct resident {
	struct __test_metadata *_metadata;
	struct lwc_event *ev;
	volatile char *p;
	int ctx;
};

static void *reside(void *arg)
{
	struct resident *resident = arg;
	struct __test_metadata *_metadata = resident->_metadata;
	volatile char *p = resident->p;

	CONTEXT(resident->ctx) {
		char value = 0;

		while (!shm[1]) {
			value = (char)(value % 100 + 1);
			p[0] = value;
			p[PAGE - 1] = value;
			p[PAGE] = value;
			shm[0]++;
		}
	}
	EXPECT_LE(0, resident->ctx);
	EXPECT_EQ(0, lwc_switch(resident->ctx, 0, 0, resident->ev));
	return NULL;
}

#define RESIDENT(resident, thread)						\
do {										\
	ASSERT_EQ(0, pthread_create(&(thread), NULL, reside, &(resident)));	\
	while (!shm[0])								\
		usleep(1000);							\
} while (0)

/* What another thread is told when it comes back is in the way. */
LWC_TEST(event_of_another_thread)
{
	char *p = private_memory(2 * PAGE);
	struct resident resident = {
		._metadata = _metadata, .ev = (void *)p, .p = private_memory(2 * PAGE),
	};
	struct lwc_spec spec = MEMORY(COW, p, PAGE);
	pthread_t thread;
	int ctx;

	CONTEXT(ctx) {
	}
	ASSERT_LE(0, ctx);
	RESIDENT(resident, thread);
	EXPECT_ERR(lwc_overlay, EINVAL, lwc_overlay(ctx, &spec, 1));
	spec = (struct lwc_spec)MEMORY(COW, p + PAGE, PAGE);
	EXPECT_EQ(0, lwc_overlay(ctx, &spec, 1));
	shm[1] = 1;
	pthread_join(thread, NULL);
}

/* From a context that a thread is in, and writes. What it writes to page 0 it writes to 1. */
LWC_TEST(from_under_a_writer)
{
	char *p = private_memory(2 * PAGE);
	struct lwc_spec copy = MEMORY(COW, p, 2 * PAGE), share = MEMORY(SHARE, p, 2 * PAGE);
	struct resident resident = { ._metadata = _metadata, .ev = &(struct lwc_event){}, .p = p };
	long rounds = scaled(300), i, seen;
	pthread_t thread;
	char before;

	RESIDENT(resident, thread);
	for (i = 0; i < rounds; i++) {
		ASSERT_EQ(0, lwc_overlay(resident.ctx, &copy, 1));
		before = p[0];
		EXPECT_LE(0, before);
		EXPECT_GE(100, before);
		seen = shm[0];
		while (shm[0] < seen + 2)
			sched_yield();
		/* Nothing more comes here. */
		EXPECT_EQ(before, p[0]);
		p[0] = -1;
		p[PAGE] = -1;
	}
	ASSERT_EQ(0, lwc_overlay(resident.ctx, &share, 1));
	before = p[0];
	while (((volatile char *)p)[0] == before)
		sched_yield();
	shm[1] = 1;
	pthread_join(thread, NULL);
	EXPECT_EQ(p[0], p[PAGE]);
	EXPECT_EQ(p[0], p[PAGE - 1]);
}

static void *read_all_the_time(void *arg)
{
	struct resident *resident = arg;
	struct __test_metadata *_metadata = resident->_metadata;
	volatile char *p = resident->p;

	while (!shm[1]) {
		/* Never anything else, and always there. */
		EXPECT_NE(0, p[0]);
		EXPECT_EQ(7, p[2 * PAGE]);
	}
	return NULL;
}

/* Into a context that another thread is in, which reads there. */
LWC_TEST(into_memory_in_use)
{
	char *p = private_memory(3 * PAGE);
	struct lwc_spec spec = MEMORY(COW, p, 2 * PAGE);
	struct resident resident = { ._metadata = _metadata, .p = p };
	long rounds = scaled(300), i;
	pthread_t thread;
	int ctx;

	fill(p, 3 * PAGE, 5);
	ctx = context_that_fills(_metadata, p, 3 * PAGE);
	CALL(ctx, 1);
	ASSERT_EQ(0, pthread_create(&thread, NULL, read_all_the_time, &resident));
	for (i = 0; i < rounds; i++) {
		p[0] = 1;
		ASSERT_EQ(0, lwc_overlay(ctx, &spec, 1));
		EXPECT_EQ(THERE, p[0]);
	}
	shm[1] = 1;
	pthread_join(thread, NULL);
	EXPECT_EQ(0, CALL(ctx, 0));
}

/* Memory and descriptors in one call: both or neither. */
LWC_TEST(with_files)
{
	char *p = private_memory(PAGE);
	struct lwc_spec specs[] = {
		{ LWC_FILES, LWC_COW, 0, 700, 701 }, MEMORY(COW, p, PAGE),
		{ LWC_MEMORY, LWC_COW, 0, 0, UINT64_MAX },
	};
	int ctx;

	CONTEXT(ctx) {
		dup2(2, 700);
		p[0] = 1;
	}
	ASSERT_LE(0, ctx);
	CALL(ctx, 0);
	EXPECT_ERR(lwc_overlay, EINVAL, lwc_overlay(ctx, specs, 3));
	EXPECT_FALSE(is_open(700));
	EXPECT_EQ(0, p[0]);
	ASSERT_EQ(0, lwc_overlay(ctx, specs, 2));
	EXPECT_TRUE(is_open(700));
	EXPECT_EQ(1, p[0]);
}

LWC_TEST(share_of_a_growing_stack)
{
	char *p = mmap(NULL, 16 * PAGE, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_GROWSDOWN, -1, 0);
	struct lwc_spec spec = MEMORY(SHARE, p + 8 * PAGE, PAGE);
	int ctx;

	ASSERT_NE(MAP_FAILED, p);
	ctx = context_that_fills(_metadata, p, 16 * PAGE);
	CALL(ctx, 1);
	fill(p, 16 * PAGE, 1);
	EXPECT_ERR(lwc_overlay, EOPNOTSUPP, lwc_overlay(ctx, &spec, 1));
	EXPECT_EQ(0, count_wrong(p, 16 * PAGE, 1));
	EXPECT_EQ(0, CALL(ctx, 0));
	spec.mode = LWC_COW;
	EXPECT_EQ(0, lwc_overlay(ctx, &spec, 1));
	EXPECT_EQ(THERE + 8, p[8 * PAGE]);
}

LWC_TEST(share_of_what_is_pinned)
{
	char *p = private_memory(4 * PAGE);
	struct lwc_spec spec = MEMORY(SHARE, p, 4 * PAGE);
	struct pinner pinner;
	int ctx, me = lwc_self();
	struct lwc_spec hand = {
		.type = LWC_FILES, .mode = LWC_COW, .flags = LWC_INHERIT, .from = me, .to = me + 1,
	};

	NEED_ROOT();
	fill(p, 4 * PAGE, 1);
	NEED_PINNER(&pinner, p + 16);
	EXPECT_EQ('p', go_on(&pinner));
	CONTEXT_WITH(ctx, &hand, 1, 0) {
		p[0] = 9;
		in.reply = lwc_overlay(me, &spec, 1);
	}
	ASSERT_LE(0, ctx);
	EXPECT_ERR(lwc_overlay, EBUSY, (int)CALL(ctx, 0));
	EXPECT_EQ('w', go_on(&pinner));
	EXPECT_EQ('w', p[16]);
	EXPECT_EQ(0, CALL(ctx, 0));
	EXPECT_EQ(1, p[0]);
	pinner_end(_metadata, &pinner);
}

/* Device memory, as the page that the kernel keeps its clocks in. */
LWC_TEST(no_ordinary_memory)
{
	unsigned long start = 0, end = 0;
	char line[256], *p;
	struct lwc_spec spec;
	FILE *maps = fopen("/proc/self/maps", "re");
	int ctx;

	ASSERT_NE(NULL, maps);
	while (fgets(line, sizeof(line), maps)) {
		if (strstr(line, "[vvar]"))
			sscanf(line, "%lx-%lx", &start, &end);
	}
	fclose(maps);
	ASSERT_NE(0, start);
	CONTEXT(ctx) {
	}
	ASSERT_LE(0, ctx);
	spec = (struct lwc_spec)MEMORY(COW, start, end - start);
	EXPECT_ERR(lwc_overlay, EOPNOTSUPP, lwc_overlay(ctx, &spec, 1));
	lwc_close(ctx);

	if (!is_root())
		return;
	ASSERT_EQ(0, write_text("/proc/sys/vm/nr_hugepages", "4"));
	p = mmap(NULL, 2 << 20, PROT_READ | PROT_WRITE,
		 MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB, -1, 0);
	ASSERT_NE(MAP_FAILED, p);
	p[0] = 1;
	CONTEXT(ctx) {
	}
	ASSERT_LE(0, ctx);
	spec = (struct lwc_spec)MEMORY(COW, p, 2 << 20);
	EXPECT_ERR(lwc_overlay, EOPNOTSUPP, lwc_overlay(ctx, &spec, 1));
	EXPECT_EQ(1, p[0]);
	lwc_close(ctx);
	/* Here they may not be cut, but replaced. */
	CONTEXT(ctx) {
		munmap(p, 2 << 20);
	}
	ASSERT_LE(0, ctx);
	CALL(ctx, 0);
	spec = (struct lwc_spec)MEMORY(COW, p, PAGE);
	EXPECT_ERR(lwc_overlay, EINVAL, lwc_overlay(ctx, &spec, 1));
	EXPECT_EQ(1, p[0]);
	spec = (struct lwc_spec)MEMORY(COW, p, 2 << 20);
	EXPECT_EQ(0, lwc_overlay(ctx, &spec, 1));
	EXPECT_EQ(SIGSEGV, touch(p, false));
	munmap(p, 2 << 20);
	write_text("/proc/sys/vm/nr_hugepages", "0");
}

/* Who watches memory here would not be told that it goes. */
LWC_TEST(watched)
{
	char *p = private_memory(2 * PAGE);
	struct lwc_spec spec = MEMORY(COW, p, PAGE);
	struct uffdio_api api = { .api = UFFD_API };
	struct uffdio_register watch = {
		.range = { (uintptr_t)p, PAGE }, .mode = UFFDIO_REGISTER_MODE_MISSING,
	};
	int ctx = context_that_fills(_metadata, p, 2 * PAGE);
	int uffd = (int)syscall(SYS_userfaultfd, O_CLOEXEC | UFFD_USER_MODE_ONLY);

	CALL(ctx, 1);
	if (uffd < 0 || ioctl(uffd, UFFDIO_API, &api) || ioctl(uffd, UFFDIO_REGISTER, &watch))
		SKIP(return, "no userfaultfd");
	EXPECT_ERR(lwc_overlay, EBUSY, lwc_overlay(ctx, &spec, 1));
	close(uffd);
	EXPECT_EQ(0, lwc_overlay(ctx, &spec, 1));
	EXPECT_EQ(THERE, p[0]);
}

/* Memory with a key that is not allocated here. */
LWC_TEST(protection_key)
{
	char *p = private_memory(PAGE);
	struct lwc_spec spec = MEMORY(COW, p, PAGE);
	int ctx, key;

	CONTEXT(ctx) {
		*p = THERE;
		key = pkey_alloc(0, 0);
		in.reply = key > 0 && !pkey_mprotect(p, PAGE, PROT_READ | PROT_WRITE, key);
	}
	ASSERT_LE(0, ctx);
	if (!CALL(ctx, 0))
		SKIP(return, "no protection keys");
	EXPECT_ERR(lwc_overlay, EOPNOTSUPP, lwc_overlay(ctx, &spec, 1));
	EXPECT_EQ(0, *p);
	key = pkey_alloc(0, 0);
	ASSERT_LT(0, key);
	EXPECT_EQ(0, lwc_overlay(ctx, &spec, 1));
	EXPECT_EQ(THERE, *p);
	EXPECT_EQ(0, pkey_set(key, PKEY_DISABLE_ACCESS));
	EXPECT_EQ(SIGSEGV, touch(p, false));
	EXPECT_EQ(0, pkey_set(key, 0));
	EXPECT_EQ(THERE, *p);
}

/* What the program has said is to stay as it is. */
LWC_TEST(sealed)
{
	char *p = private_memory(3 * PAGE);
	struct lwc_spec spec = MEMORY(COW, p, 2 * PAGE);
	int ctx;

	ctx = context_that_fills(_metadata, p, 3 * PAGE);
	CALL(ctx, 1);
	if (syscall(SYS_mseal, p + PAGE, PAGE, 0))
		SKIP(return, "no mseal");
	EXPECT_ERR(lwc_overlay, EPERM, lwc_overlay(ctx, &spec, 1));
	EXPECT_EQ(0, p[0]);
}

/* What is refused here changes nothing there either. */
LWC_TEST(refused_share_changes_nothing)
{
	const size_t size = 16 << 20;
	char *p = private_memory(size), *q = private_memory(2 * PAGE);
	struct lwc_spec specs[2] = { MEMORY(SHARE, p, size), MEMORY(COW, q, 2 * PAGE) };
	struct rlimit limit;
	int ctx;

	fill(p, size, 1);
	CONTEXT(ctx) {
		in.reply = is_shared_here(p);
	}
	ASSERT_LE(0, ctx);
	munmap(p, size);
	ASSERT_EQ(0, getrlimit(RLIMIT_AS, &limit));
	limit.rlim_cur = (rlim_t)status_field("VmSize:") * 1024 + size / 2;
	ASSERT_EQ(0, setrlimit(RLIMIT_AS, &limit));
	EXPECT_ERR(lwc_overlay, ENOMEM, lwc_overlay(ctx, specs, 2));
	limit.rlim_cur = limit.rlim_max;
	ASSERT_EQ(0, setrlimit(RLIMIT_AS, &limit));
	EXPECT_EQ(0, CALL(ctx, 0));
	EXPECT_EQ(0, lwc_overlay(ctx, specs, 2));
	EXPECT_EQ(1, CALL(ctx, 0));
	EXPECT_EQ(0, count_wrong(p, size, 1));
}

/* Limits on a process's memory, and on how many mappings it has. */
LWC_TEST(limited)
{
	static const struct {
		int resource;
		const char *field;
	} limits[] = { { RLIMIT_AS, "VmSize:" }, { RLIMIT_DATA, "VmData:" } };
	const size_t size = 64 << 20;
	char *p = private_memory(size);
	struct lwc_spec spec = MEMORY(COW, p, size);
	struct rlimit limit;
	char most[16];
	int ctx, i;

	CONTEXT(ctx) {
		for (i = 0; in.ev.arg && i < 1000; i++)
			in.reply += !mprotect(p + 2 * i * PAGE, PAGE, PROT_READ);
	}
	ASSERT_LE(0, ctx);
	CALL(ctx, 0);
	munmap(p, size);
	for (i = 0; i < (int)ARRAY_SIZE(limits); i++) {
		ASSERT_EQ(0, getrlimit(limits[i].resource, &limit));
		/* Half of what it would be more. */
		limit.rlim_cur = (rlim_t)status_field(limits[i].field) * 1024 + size / 2;
		ASSERT_EQ(0, setrlimit(limits[i].resource, &limit));
		EXPECT_ERR(lwc_overlay, ENOMEM, lwc_overlay(ctx, &spec, 1));
		EXPECT_EQ(SIGSEGV, touch(p, false));
		limit.rlim_cur = limit.rlim_max;
		ASSERT_EQ(0, setrlimit(limits[i].resource, &limit));
	}

	/* More mappings than there may be. */
	EXPECT_EQ(1000, CALL(ctx, 1));
	if (!is_root())
		return;
	ASSERT_EQ(0, read_text("/proc/sys/vm/max_map_count", most, sizeof(most)));
	ASSERT_EQ(0, write_text("/proc/sys/vm/max_map_count", "1500"));
	EXPECT_ERR(lwc_overlay, ENOMEM, lwc_overlay(ctx, &spec, 1));
	EXPECT_EQ(SIGSEGV, touch(p, false));
	ASSERT_EQ(0, write_text("/proc/sys/vm/max_map_count", most));
	EXPECT_EQ(0, lwc_overlay(ctx, &spec, 1));
	EXPECT_EQ(0, touch(p, false));
}

TEST_HARNESS_MAIN
