// SPDX-License-Identifier: GPL-2.0
/*
 * Whose memory it is: the group that a context's pages are charged to, and whom the OOM
 * killer takes where a process has most of its memory in contexts that nobody is in.
 *
 * Each test that limits memory does so in a group of its own; none may leave a group.
 */
#include <sys/mount.h>

#include "test.h"

#define MB		(1ul << 20)
#define GROUP_LENGTH	64

/* Where the tests' own view of the groups is: nobody else has this mount. */
static const char groups[] = "/dev/shm/lwc-groups";

static int group_put(const char *group, const char *name, const char *text)
{
	char path[200];

	snprintf(path, sizeof(path), "%s/%s", group, name);
	return write_text(path, text);
}

static long group_number(const char *group, const char *name)
{
	char path[200];

	snprintf(path, sizeof(path), "%s/%s", group, name);
	return read_number(path);
}

static long group_event(const char *group, const char *name)
{
	char path[200];

	snprintf(path, sizeof(path), "%s/memory.events", group);
	return proc_field(path, name);
}

/* Return: could they be made? The kernel has to have the memory controller free for them. */
static bool groups_begin(void)
{
	if (unshare(CLONE_NEWNS) || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL))
		return false;
	if (mkdir(groups, 0700) && errno != EEXIST)
		return false;
	if (mount("cgroup2", groups, "cgroup2", 0, NULL))
		return false;
	return !group_put(groups, "cgroup.subtree_control", "+memory");
}

static void groups_end(void)
{
	umount2(groups, MNT_DETACH);
	rmdir(groups);
}

static void group_make(struct __test_metadata *_metadata, char *group, const char *name)
{
	snprintf(group, GROUP_LENGTH, "%s/lwc-%s-%d", groups, name, getpid());
	ASSERT_EQ(0, mkdir(group, 0700));
}

/* Who was in it has ended, but may still be about to leave. */
static void group_remove(struct __test_metadata *_metadata, const char *group)
{
	int i;

	for (i = 0; i < 500 && rmdir(group) && errno == EBUSY; i++)
		msleep(10);
	EXPECT_NE(0, access(group, F_OK));
}

static void enter_group(struct __test_metadata *_metadata, const char *group)
{
	ASSERT_EQ(0, group_put(group, "cgroup.procs", "0"));
}

static void touch_all(volatile char *p, size_t size)
{
	size_t i;

	for (i = 0; i < size; i += PAGE)
		p[i] = 1;
}

#define NEED_GROUPS()					\
do {							\
	NEED_ROOT();					\
	/* Where there are none these tests say nothing. */ \
	ASSERT_TRUE(groups_begin());			\
} while (0)

/* What is written in a context is charged to the group that the process is in at that time. */
LWC_TEST(charged_to_the_group)
{
	char first[GROUP_LENGTH], second[GROUP_LENGTH];
	int status;

	NEED_GROUPS();
	group_make(_metadata, first, "first");
	group_make(_metadata, second, "second");
	IN_CHILD(status) {
		volatile char *inherited = private_memory(16 * MB);
		long before, later, n = 0;
		int ctx;

		enter_group(_metadata, first);
		touch_all(inherited, 16 * MB);
		before = group_number(first, "memory.current");
		EXPECT_LE((long)(16 * MB), before);
		CONTEXT(ctx) {
			if (in.ev.arg == 1)
				touch_all(inherited, 16 * MB);
			else
				touch_all(private_memory(16 * MB), 16 * MB);
		}
		ASSERT_LE(0, ctx);
		/* Both what it writes of what it inherited, and what it makes. */
		CALL(ctx, 1);
		EXPECT_LE(before + (long)(15 * MB), group_number(first, "memory.current"));
		CALL(ctx, 2);
		EXPECT_LE(before + (long)(31 * MB), group_number(first, "memory.current"));

		enter_group(_metadata, second);
		later = group_number(second, "memory.current");
		CALL(ctx, 2);
		EXPECT_LE(later + (long)(15 * MB), group_number(second, "memory.current"));

		ASSERT_EQ(0, lwc_close(ctx));
		for (n = 0; n < 500; n++) {
			if (group_number(first, "memory.current") < before + (long)(4 * MB))
				break;
			msleep(10);
		}
		EXPECT_GT(500, n);
	}
	EXPECT_EQ(0, status);
	group_remove(_metadata, first);
	group_remove(_metadata, second);
	groups_end();
}

/* So are the copies that a rollback keeps, and they go with their snapshot. */
LWC_TEST(kept_copies_are_charged)
{
	char group[GROUP_LENGTH];
	int status;

	NEED_GROUPS();
	group_make(_metadata, group, "kept");
	IN_CHILD(status) {
		volatile char *p = private_memory(16 * MB);
		int snap, i;

		enter_group(_metadata, group);
		touch_all(p, 16 * MB);
		shm[0] = group_number(group, "memory.current");
		if (SNAPSHOT(snap) < 3) {
			touch_all(p, 16 * MB);
			EXPECT_LE(shm[0] + (long)(15 * MB), group_number(group, "memory.current"));
			ROLLBACK(snap, 0);
		}
		ASSERT_EQ(0, lwc_close(snap));
		for (i = 0; i < 500; i++) {
			if (group_number(group, "memory.current") < shm[0] + (long)(4 * MB))
				break;
			msleep(10);
		}
		EXPECT_GT(500, i);
	}
	EXPECT_EQ(0, status);
	group_remove(_metadata, group);
	groups_end();
}

static long oom_score(void)
{
	return read_number("/proc/self/oom_score");
}

/* Points of oom_score for so much memory: two thirds of a thousandth of all there is. */
static long points_of(size_t size)
{
	return size / 1024 * 1000 / (meminfo("MemTotal:") + meminfo("SwapTotal:")) * 2 / 3;
}

#define CONTEXTS	8

/* An eighth of what the machine has to give, so that it makes a difference anywhere. */
static size_t large_enough(void)
{
	return (size_t)meminfo("MemAvailable:") / 8 * 1024 / PAGE * PAGE;
}

/* Each touches so much when it is called, of its own or at @p. */
static void make_contexts(struct __test_metadata *_metadata, int *ctx, volatile char *p,
			  size_t size)
{
	int i;

	for (i = 0; i < CONTEXTS; i++) {
		CONTEXT(ctx[i]) {
			touch_all(p ?: private_memory(size), size);
		}
		ASSERT_LE(0, ctx[i]);
	}
}

/* The memory of contexts that nobody is in counts, as much as it is. */
LWC_TEST(score_of_new_memory)
{
	const size_t each = large_enough() / CONTEXTS / PAGE * PAGE * 2;
	long before, gained, i;
	int ctx[CONTEXTS];

	before = oom_score();
	ASSERT_LT(0, before);
	make_contexts(_metadata, ctx, NULL, each);
	EXPECT_GE(before + 2, oom_score());
	for (i = 0; i < CONTEXTS; i++)
		CALL(ctx[i], 0);
	gained = oom_score() - before;
	ASSERT_LT(50, points_of(CONTEXTS * each));
	EXPECT_LE(points_of(CONTEXTS * each) * 9 / 10, gained);
	EXPECT_GE(points_of(CONTEXTS * each) * 11 / 10, gained);
	for (i = 0; i < CONTEXTS; i++)
		ASSERT_EQ(0, lwc_close(ctx[i]));
	EXPECT_GE(before + 2, oom_score());
}

/* What many have in common is there once, however often it is read, or mapped by overlay. */
LWC_TEST(score_of_what_is_shared)
{
	const size_t size = large_enough();
	volatile char *p = private_memory(size);
	struct lwc_spec spec = {
		.type = LWC_MEMORY, .mode = LWC_COW,
		.from = (uintptr_t)p, .to = (uintptr_t)p + size,
	};
	long before, limit, i;
	int ctx[CONTEXTS];

	touch_all(p, size);
	before = oom_score();
	limit = before + points_of(size) / 4;
	ASSERT_LT(20, points_of(size));
	for (i = 0; i < CONTEXTS; i++) {
		CONTEXT(ctx[i]) {
			const size_t one = 1 * MB;
			volatile char *q = private_memory(one);
			size_t at, round;

			for (at = 0; at < size; at += PAGE)
				in.reply += p[at];
			/* What is given back does not count. */
			for (round = 0; round < 64; round++) {
				touch_all(q, one);
				madvise((void *)q, one, MADV_DONTNEED);
			}
			munmap((void *)q, one);
			if (in.ev.arg)
				in.reply = oom_score();
		}
		ASSERT_LE(0, ctx[i]);
		CALL(ctx[i], 0);
	}
	EXPECT_GE(limit, oom_score());
	/* From inside it looks the same: its creator's is not added to its own. */
	EXPECT_GE(limit, (long)CALL(ctx[0], 1));
	EXPECT_LE(before - 2, (long)CALL(ctx[0], 1));
	munmap((void *)p, size);
	EXPECT_EQ(0, lwc_overlay(ctx[0], &spec, 1));
	EXPECT_GE(limit, oom_score());
	for (i = 0; i < CONTEXTS; i++)
		ASSERT_EQ(0, lwc_close(ctx[i]));
}

/* A process is as large as the largest of its contexts, wherever its thread is. */
LWC_TEST(score_of_the_largest)
{
	const size_t size = large_enough();
	volatile char *p = private_memory(size);
	long before;
	int ctx;

	touch_all(p, size);
	before = oom_score();
	CONTEXT(ctx) {
		touch_all(p, size);
		in.reply = oom_score();
	}
	ASSERT_LE(0, ctx);
	EXPECT_LE(before - 2, (long)CALL(ctx, 0));
	munmap((void *)p, size);
	EXPECT_LE(before - 5, oom_score());
	ASSERT_EQ(0, lwc_close(ctx));
	EXPECT_GE(before - points_of(size) / 2, oom_score());
}

#define LIMIT		(96 * MB)

static void begin_neighbour(struct __test_metadata *_metadata, const char *group)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	enter_group(_metadata, group);
}

/* It has a third of the group's memory, and never asks for more. */
static void neighbour(struct __test_metadata *_metadata, const char *group)
{
	begin_neighbour(_metadata, group);
	touch_all(private_memory(LIMIT / 3), LIMIT / 3);
	shm[1] = 1;
	for (;;)
		pause();
}

/* It gives back and asks anew all the time: memory can run out in its hands as well. */
static void busy_neighbour(struct __test_metadata *_metadata, const char *group)
{
	volatile char *p = private_memory(LIMIT / 3);

	begin_neighbour(_metadata, group);
	touch_all(p, LIMIT / 3);
	shm[1] = 1;
	for (;;) {
		madvise((void *)p, 4 * MB, MADV_DONTNEED);
		touch_all(p, 4 * MB);
		shm[2]++;
	}
}

/* Contexts with as much as the group has room for, and more. */
static void fill_group(struct __test_metadata *_metadata)
{
	int ctx;

	for (;;) {
		CONTEXT(ctx) {
			touch_all(private_memory(2 * MB), 2 * MB);
		}
		ASSERT_LE(0, ctx);
		CALL(ctx, 0);
		shm[3]++;
	}
}

/* The same, after one that has half of it and inherited that from one that has it no more. */
static void inherit_and_fill_group(struct __test_metadata *_metadata)
{
	volatile char *p = private_memory(LIMIT / 2);
	int ctx;

	touch_all(p, LIMIT / 2);
	CONTEXT(ctx) {
	}
	ASSERT_LE(0, ctx);
	munmap((void *)p, LIMIT / 2);
	fill_group(_metadata);
}

/* By a thread that made no call itself: what it is in the others have left. */
static void *fill_group_in_a_thread(void *metadata)
{
	fill_group(metadata);
	return NULL;
}

static void fill_group_beside(struct __test_metadata *_metadata)
{
	pthread_t thread;

	ASSERT_EQ(0, pthread_create(&thread, NULL, fill_group_in_a_thread, _metadata));
	pthread_join(thread, NULL);
}

static void run_out(struct __test_metadata *_metadata,
		    void (*beside)(struct __test_metadata *, const char *),
		    void (*run)(struct __test_metadata *))
{
	char group[GROUP_LENGTH], text[32];
	int status, state;
	pid_t other, pid;
	long busy, i;

	group_make(_metadata, group, "limit");
	snprintf(text, sizeof(text), "%lu", LIMIT);
	ASSERT_EQ(0, group_put(group, "memory.max", text));
	/* Where the kernel has no swap there is no such file. */
	group_put(group, "memory.swap.max", "0");
	other = fork();
	ASSERT_LE(0, other);
	if (!other)
		beside(_metadata, group);
	for (i = 0; i < 10000 && !shm[1]; i++)
		msleep(1);
	ASSERT_EQ(1, shm[1]);
	pid = fork();
	ASSERT_LE(0, pid);
	if (!pid) {
		enter_group(_metadata, group);
		run(_metadata);
	}
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	EXPECT_TRUE(WIFSIGNALED(status));
	EXPECT_EQ(SIGKILL, WTERMSIG(status));
	EXPECT_LE(3, shm[3]);
	EXPECT_EQ(1, group_event(group, "oom_kill"));
	/* The other one is there, and its memory is its own. */
	busy = shm[2];
	for (i = 0; i < 1000 && beside == busy_neighbour && shm[2] <= busy + 1; i++)
		msleep(10);
	EXPECT_GT(1000, i);
	EXPECT_EQ(0, waitpid(other, &state, WNOHANG));
	kill(other, SIGKILL);
	waitpid(other, &state, 0);
	group_remove(_metadata, group);
}

LWC_TEST(owner_is_killed)
{
	NEED_GROUPS();
	run_out(_metadata, neighbour, fill_group);
	groups_end();
}

LWC_TEST(owner_of_the_largest_is_killed)
{
	NEED_GROUPS();
	run_out(_metadata, neighbour, inherit_and_fill_group);
	groups_end();
}

LWC_TEST(owner_with_threads_is_killed)
{
	NEED_GROUPS();
	run_out(_metadata, neighbour, fill_group_beside);
	groups_end();
}

/*
 * Not so with threads: a process whose leader is dead and whose last thread is about to
 * give its memory back is not seen by the kernel, which looks for the next (see
 * css_task_iter_advance()), whether it has contexts or not.
 */
LWC_TEST(no_neighbour_is_killed_meanwhile)
{
	int i;

	NEED_GROUPS();
	for (i = 0; i < 5 && _metadata->passed; i++) {
		memset((void *)shm, 0, PAGE);
		run_out(_metadata, busy_neighbour, fill_group);
	}
	groups_end();
}

/* Whatever file may hold up a process that ends (here it is a pipe), its memory is back before. */
LWC_TEST(memory_comes_back_first)
{
	char group[GROUP_LENGTH], fifo[64], byte;
	long before;
	pid_t pid;
	int end;

	NEED_GROUPS();
	group_make(_metadata, group, "end");
	snprintf(fifo, sizeof(fifo), "/dev/shm/lwc-end-%d", getpid());
	ASSERT_EQ(0, mkfifo(fifo, 0600));
	end = open(fifo, O_RDONLY | O_NONBLOCK);
	ASSERT_LE(0, end);
	ASSERT_EQ(0, fcntl(end, F_SETFL, 0));
	pid = fork();
	ASSERT_LE(0, pid);
	if (!pid) {
		int ctx[CONTEXTS], i;

		enter_group(_metadata, group);
		make_contexts(_metadata, ctx, NULL, 8 * MB);
		for (i = 0; i < CONTEXTS; i++)
			CALL(ctx[i], 0);
		/* None of the contexts has this one. */
		ASSERT_LE(0, open(fifo, O_WRONLY));
		shm[1] = 1;
		for (;;)
			pause();
	}
	while (!shm[1] && !waitpid(pid, NULL, WNOHANG))
		msleep(1);
	ASSERT_EQ(1, shm[1]);
	before = group_number(group, "memory.current");
	EXPECT_LE(CONTEXTS * 8 * (long)MB, before);
	kill(pid, SIGKILL);
	EXPECT_EQ(0, read(end, &byte, 1));
	EXPECT_GE(8 * (long)MB, group_number(group, "memory.current"));
	waitpid(pid, NULL, 0);
	close(end);
	unlink(fifo);
	group_remove(_metadata, group);
	groups_end();
}

TEST_HARNESS_MAIN
