// SPDX-License-Identifier: GPL-2.0
/*
 * LWC_SHARE of LWC_FILES: two contexts, one file table. What either opens or closes the
 * other sees; nothing that puts a context back may take that from the other; and a
 * context that ends must leave nothing of its own behind.
 */
#include <limits.h>

#include "test.h"

#define SHARED_FILES	{ .type = LWC_FILES, .mode = LWC_SHARE, .to = UINT64_MAX }

static const struct lwc_spec shared_files = SHARED_FILES;

/* What a context of these tests is told to do. */
enum {
	OPEN = 1,	/* 700 */
	CLOSE,		/* 700 */
	LOOK,		/* is 700 open? */
	COUNT,
	UNSHARE,
};

static long act(uint64_t what)
{
	switch (what) {
	case OPEN:
		return dup2(2, 700);
	case CLOSE:
		return close(700);
	case LOOK:
		return is_open(700);
	case COUNT:
		return open_descriptors();
	case UNSHARE:
		return unshare(CLONE_FILES);
	default:
		return -1;
	}
}

/* In a context that a renew has entered: it does not return. Elsewhere nothing is done. */
static void serve(struct lwc_event *ev)
{
	while (ev->reason == LWC_EV_SWITCH)
		lwc_switch(ev->caller, 0, act(ev->arg), ev);
}

static int sharing_context(struct __test_metadata *_metadata, unsigned int flags)
{
	int ctx;

	CONTEXT_WITH(ctx, &shared_files, 1, flags) {
		in.reply = act(in.ev.arg);
	}
	return ctx;
}

/* With the one that the library opens when it is first called. */
static int known_descriptors(void)
{
	features();
	return open_descriptors();
}

LWC_TEST(both_see_it)
{
	int ctx = sharing_context(_metadata, 0), copy;

	ASSERT_LE(0, ctx);
	CONTEXT(copy) {
		in.reply = act(in.ev.arg);
	}
	ASSERT_LE(0, copy);
	EXPECT_EQ(700, CALL(ctx, OPEN));
	EXPECT_TRUE(is_open(700));
	EXPECT_FALSE(CALL(copy, LOOK));
	EXPECT_EQ(0, close(700));
	EXPECT_EQ(0, CALL(ctx, LOOK));
	ASSERT_EQ(700, dup2(2, 700));
	ASSERT_EQ(0, fcntl(700, F_SETFD, FD_CLOEXEC));
	EXPECT_EQ(1, CALL(ctx, LOOK));
	EXPECT_EQ(0, CALL(ctx, CLOSE));
	EXPECT_FALSE(is_open(700));
	/* Its own end closes nothing. */
	EXPECT_EQ(700, CALL(ctx, OPEN));
	EXPECT_EQ(0, lwc_close(ctx));
	EXPECT_TRUE(is_open(700));
}

/* Directory, root and umask are no part of the table. */
LWC_TEST(directory_is_its_own)
{
	char here[PATH_MAX], after[PATH_MAX];
	mode_t mask = umask(022);
	int ctx;

	ASSERT_TRUE(getcwd(here, sizeof(here)));
	CONTEXT_WITH(ctx, &shared_files, 1, 0) {
		in.reply = chdir("/proc") || umask(077) != 022;
	}
	ASSERT_LE(0, ctx);
	EXPECT_EQ(0, CALL(ctx, 0));
	ASSERT_TRUE(getcwd(after, sizeof(after)));
	EXPECT_EQ(0, strcmp(here, after));
	EXPECT_EQ(022, umask(mask));
}

LWC_TEST(later_lines)
{
	struct lwc_spec specs[2] = { SHARED_FILES, { LWC_FILES, LWC_UNMAP, 0, 3, 5 } };
	struct lwc_event ev;
	int ctx;

	EXPECT_ERR(lwc_create, EINVAL, lwc_create(specs, 2, 0, &ev));
	specs[1].mode = LWC_COW;
	EXPECT_ERR(lwc_create, EINVAL, lwc_create(specs, 2, 0, &ev));
	/* A line for the whole table is the last word. */
	specs[1] = (struct lwc_spec){ LWC_FILES, LWC_COW, 0, 0, UINT64_MAX };
	CONTEXT_WITH(ctx, specs, 2, 0) {
		in.reply = act(in.ev.arg);
	}
	ASSERT_LE(0, ctx);
	EXPECT_EQ(700, CALL(ctx, OPEN));
	EXPECT_FALSE(is_open(700));
	lwc_close(ctx);
	specs[0] = (struct lwc_spec){ LWC_FILES, LWC_UNMAP, 0, 3, 500 };
	specs[1] = shared_files;
	CONTEXT_WITH(ctx, specs, 2, 0) {
		in.reply = act(in.ev.arg);
	}
	ASSERT_LE(0, ctx);
	EXPECT_EQ(700, CALL(ctx, OPEN));
	EXPECT_TRUE(is_open(700));
	EXPECT_TRUE(is_open(ctx));
	EXPECT_EQ(0, CALL(ctx, CLOSE));
	lwc_close(ctx);
}

/* To restrict a descriptor it is as good as LWC_COW, and to overlay it is refused. */
LWC_TEST(for_other_calls)
{
	struct lwc_spec spec = { LWC_FILES, LWC_COW, 0, 700, 701 };
	int ctx;

	CONTEXT(ctx) {
		in.reply = act(in.ev.arg);
	}
	ASSERT_LE(0, ctx);
	EXPECT_EQ(700, CALL(ctx, OPEN));
	EXPECT_ERR(lwc_overlay, EOPNOTSUPP, lwc_overlay(ctx, &shared_files, 1));
	ASSERT_EQ(0, lwc_restrict(ctx, ALL_RIGHTS, &shared_files, 1));
	EXPECT_EQ(0, lwc_overlay(ctx, &spec, 1));
	EXPECT_TRUE(is_open(700));
	close(700);
	lwc_close(ctx);
	/* What is here already. */
	ctx = sharing_context(_metadata, 0);
	ASSERT_LE(0, ctx);
	EXPECT_EQ(700, CALL(ctx, OPEN));
	EXPECT_EQ(0, lwc_overlay(ctx, &spec, 1));
	EXPECT_TRUE(is_open(700));
	close(700);
}

LWC_TEST(renewed)
{
	struct lwc_event ev;
	int ctx, i;

	ASSERT_EQ(0, lwc_create(&shared_files, 1, 0, &ev));
	ctx = ev.created;
	for (i = 0; i < 5; i++) {
		const int before = open_descriptors();

		ASSERT_EQ(0, lwc_renew(ctx, 0, &ev));
		serve(&ev);
		EXPECT_EQ(700 + i, dup2(2, 700 + i));
		ASSERT_EQ(0, lwc_switch(ctx, 0, CLOSE, &ev));
		EXPECT_EQ(i ? -1 : 0, (int)ev.arg);
		EXPECT_EQ(i > 0, is_open(700 + i));
		close(700 + i);
		/* The first time the caller's name is new. */
		EXPECT_EQ(before + !i, open_descriptors());
	}
	/* It shares what its creator has now. */
	ASSERT_EQ(0, unshare(CLONE_FILES));
	ASSERT_EQ(700, dup2(2, 700));
	EXPECT_EQ(0, CALL(ctx, LOOK));
	ASSERT_EQ(0, lwc_renew(ctx, 0, &ev));
	serve(&ev);
	EXPECT_EQ(0, CALL(ctx, CLOSE));
	EXPECT_FALSE(is_open(700));
	lwc_close(ctx);
}

/* What is put back is what is its own. */
LWC_TEST(fresh_and_discard)
{
	int ctx = sharing_context(_metadata, LWC_KEEP), i;
	struct lwc_event ev;

	ASSERT_LE(0, ctx);
	ASSERT_EQ(700, dup2(2, 700));
	for (i = 0; i < 3; i++) {
		EXPECT_EQ(0, lwc_switch(ctx, LWC_FRESH, LOOK, &ev));
		EXPECT_EQ(1, ev.arg);
		EXPECT_TRUE(is_open(700));
		EXPECT_TRUE(is_open(ctx));
	}
	EXPECT_EQ(0, lwc_switch(ctx, 0, CLOSE, &ev));
	ASSERT_EQ(0, lwc_keep(ctx));
	ASSERT_EQ(700, dup2(2, 700));
	EXPECT_EQ(0, lwc_switch(ctx, LWC_FRESH, LOOK, &ev));
	EXPECT_EQ(1, ev.arg);
	EXPECT_TRUE(is_open(700));
	close(700);
	lwc_close(ctx);

	CONTEXT_WITH(ctx, &shared_files, 1, LWC_KEEP) {
		dup2(2, 700);
		lwc_switch(in.ev.caller, LWC_DISCARD, 7, &ev);
	}
	ASSERT_LE(0, ctx);
	for (i = 0; i < 3; i++) {
		EXPECT_EQ(7, CALL(ctx, 0));
		EXPECT_TRUE(is_open(700));
		close(700);
	}
}

/* A table of one's own can be got inside; what puts the context back takes it away. */
LWC_TEST(unshared_inside)
{
	int ctx = sharing_context(_metadata, LWC_KEEP);
	struct lwc_event ev;

	ASSERT_LE(0, ctx);
	EXPECT_EQ(0, CALL(ctx, UNSHARE));
	EXPECT_EQ(700, CALL(ctx, OPEN));
	EXPECT_FALSE(is_open(700));
	EXPECT_ERR(lwc_keep, EOPNOTSUPP, lwc_keep(ctx));
	ASSERT_EQ(0, lwc_switch(ctx, LWC_FRESH, LOOK, &ev));
	EXPECT_EQ(0, ev.arg);
	EXPECT_EQ(700, CALL(ctx, OPEN));
	EXPECT_TRUE(is_open(700));
	EXPECT_EQ(0, lwc_keep(ctx));
	close(700);
}

/* What was told to one that has its own table now, or has ended, is none of the next one's. */
LWC_TEST(callers_of_who_unshared)
{
	const int fds = known_descriptors();
	volatile long *page = private_memory(PAGE);
	struct lwc_spec specs[2] = { SHARED_FILES, {
		.type = LWC_MEMORY, .mode = LWC_COW, .flags = LWC_GRANT,
		.from = (uintptr_t)page, .to = (uintptr_t)page + PAGE,
	} };
	int ctx, i;

	for (i = 0; i < 20; i++) {
		ctx = sharing_context(_metadata, 0);
		ASSERT_LE(0, ctx);
		EXPECT_EQ(0, CALL(ctx, UNSHARE));
		EXPECT_EQ(fds + 1, open_descriptors());
		EXPECT_EQ(0, lwc_close(ctx));
		CONTEXT_WITH(ctx, specs, 2, 0) {
			struct lwc_spec spec = specs[1];

			spec.flags = 0;
			in.reply = lwc_overlay(in.ev.caller, &spec, 1);
		}
		EXPECT_EQ(0, CALL(ctx, 0));
		EXPECT_EQ(0, lwc_close(ctx));
		EXPECT_EQ(fds, open_descriptors());
	}
}

static void inner_snapshots(struct __test_metadata *_metadata)
{
	const int before = open_descriptors();
	struct lwc_event ev;
	int outer, i;

	ASSERT_EQ(0, lwc_snapshot(-1, 0, &ev));
	outer = ev.created;
	if (shm[1] < 4) {
		ASSERT_EQ(0, lwc_snapshot(-1, 0, &ev));
		shm[2] = ev.created;
		ASSERT_EQ(600 + shm[1], dup2(2, 600 + shm[1]));
		shm[1]++;
		ROLLBACK(outer, 0);
	}
	/* What was opened stays, and of the inner snapshots nothing. */
	EXPECT_EQ(before + 1 + 4, open_descriptors());
	EXPECT_FALSE(is_open(shm[2]));
	/* Armed again it is the same. */
	ASSERT_EQ(0, lwc_snapshot(outer, 0, &ev));
	if (ev.reason == LWC_EV_CREATED) {
		close(600);
		ROLLBACK(outer, 0);
	}
	EXPECT_FALSE(is_open(600));
	for (i = 601; i < 604; i++)
		EXPECT_EQ(0, close(i));
	/* What was in a table that it has left is not known. */
	ASSERT_EQ(0, unshare(CLONE_FILES));
	EXPECT_ERR(lwc_rollback, EOPNOTSUPP, lwc_rollback(outer, 0));
	EXPECT_ERR(lwc_snapshot, EOPNOTSUPP, lwc_snapshot(outer, 0, &ev));
	EXPECT_EQ(0, lwc_close(outer));
	EXPECT_EQ(before, open_descriptors());
}

LWC_TEST(snapshots_inside)
{
	int ctx;

	CONTEXT_WITH(ctx, &shared_files, 1, 0) {
		inner_snapshots(_metadata);
	}
	ASSERT_LE(0, ctx);
	EXPECT_EQ(0, CALL(ctx, 0));
}

/* To roll back its owner is as if that had closed and opened. */
LWC_TEST(owner_rolls_back)
{
	int ctx = sharing_context(_metadata, 0), snap;

	ASSERT_LE(0, ctx);
	ASSERT_EQ(600, dup2(2, 600));
	if (SNAPSHOT(snap) < 3) {
		close(600);
		EXPECT_EQ(700, CALL(ctx, OPEN));
		EXPECT_TRUE(is_open(700));
		ROLLBACK(snap, 0);
	}
	EXPECT_FALSE(is_open(700));
	EXPECT_EQ(0, CALL(ctx, LOOK));
	EXPECT_TRUE(is_open(600));
	close(600);
}

/* The names of callers are in the same table, and each context's allow what it was granted. */
LWC_TEST(callers)
{
	volatile long *one = private_memory(PAGE), *other = private_memory(PAGE);
	struct lwc_spec specs[2] = { SHARED_FILES, {
		.type = LWC_MEMORY, .mode = LWC_COW, .flags = LWC_GRANT,
	} };
	const int fds = known_descriptors();
	int ctx[2], i, first = -1;

	for (i = 0; i < 2; i++) {
		specs[1].from = (uintptr_t)(i ? other : one);
		specs[1].to = specs[1].from + PAGE;
		CONTEXT_WITH(ctx[i], specs, 2, 0) {
			struct lwc_spec mine = specs[1], its = specs[1];

			mine.flags = 0;
			its.flags = 0;
			its.from = (uintptr_t)(i ? one : other);
			its.to = its.from + PAGE;
			EXPECT_EQ(0, lwc_overlay(in.ev.caller, &mine, 1));
			EXPECT_ERR(lwc_overlay, EPERM, lwc_overlay(in.ev.caller, &its, 1));
			in.reply = in.ev.caller;
		}
		ASSERT_LE(0, ctx[i]);
	}
	for (i = 0; i < scaled(1000); i++) {
		const int a = CALL(ctx[0], 0), b = CALL(ctx[1], 0);

		EXPECT_NE(a, b);
		EXPECT_EQ(i ? first : a, a);
		first = a;
	}
	EXPECT_EQ(fds + 4, open_descriptors());
	lwc_close(ctx[0]);
	lwc_close(ctx[1]);
	EXPECT_EQ(fds, open_descriptors());
	for (i = 0; i < scaled(1000); i++) {
		ctx[0] = sharing_context(_metadata, i & 1 ? LWC_KEEP : 0);
		EXPECT_EQ(fds + 2, CALL(ctx[0], COUNT));
		EXPECT_EQ(0, lwc_close(ctx[0]));
	}
	EXPECT_EQ(fds, open_descriptors());
}

/* A table outlives the context that it was made for. */
LWC_TEST(survives_its_owner)
{
	int pair[2], outer, inner, status;

	ASSERT_EQ(0, socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
	CONTEXT(outer) {
		dup2(2, 700);
		inner = sharing_context(_metadata, 0);
		in.reply = send_descriptor(pair[1], inner);
		lwc_close(inner);
	}
	ASSERT_LE(0, outer);
	EXPECT_EQ(0, CALL(outer, 0));
	inner = take_descriptor(pair[0]);
	ASSERT_LE(0, inner);
	EXPECT_EQ(1, CALL(inner, LOOK));
	EXPECT_EQ(0, lwc_close(outer));
	EXPECT_EQ(1, CALL(inner, LOOK));
	EXPECT_EQ(0, CALL(inner, CLOSE));
	EXPECT_EQ(0, CALL(inner, LOOK));
	IN_CHILD(status) {
		EXPECT_ERR(lwc_switch, ESRCH, lwc_switch(inner, 0, 0, &(struct lwc_event){ 0 }));
	}
	EXPECT_EQ(0, status);
	EXPECT_EQ(0, lwc_close(inner));
}

/*
 * Who shares the table of one that ends, and is named in that table alone, goes with it,
 * and so does what is open there.
 */
LWC_TEST(a_ring_in_one_table)
{
	const long before = counter("contexts");
	int end[2], outer, i;
	char byte;

	for (i = 0; i < 6; i++) {
		ASSERT_EQ(0, pipe(end));
		CONTEXT(outer) {
			const int inner = sharing_context(_metadata, i % 3 ? 0 : LWC_KEEP);

			if (i & 1)
				CALL(inner, COUNT);
			in.reply = inner;
		}
		ASSERT_LE(0, outer);
		EXPECT_LE(0, (int)CALL(outer, 0));
		close(end[1]);
		EXPECT_EQ(before + 2, contexts_settle(before + 2));
		EXPECT_EQ(0, lwc_close(outer));
		EXPECT_EQ(before, contexts_settle(before));
		EXPECT_EQ(0, read(end[0], &byte, 1));
		close(end[0]);
	}
}

/* But not who can be reached, nor whom that one will name when it is put back. */
LWC_TEST(reached_by_a_record)
{
	const long before = counter("contexts");
	int pair[2], outer, kept, other = -1;
	struct lwc_event ev;

	ASSERT_EQ(0, socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
	CONTEXT(outer) {
		other = sharing_context(_metadata, 0);
		shm[1] = other;
		CONTEXT_WITH(kept, &shared_files, 1, LWC_KEEP) {
			/* In a table of its own the other is not named. */
			if (in.ev.arg == UNSHARE)
				in.reply = act(UNSHARE) || lwc_close(shm[1]);
			else
				in.reply = is_open(shm[1]);
		}
		in.reply = send_descriptor(pair[1], kept);
		lwc_close(kept);
	}
	ASSERT_LE(0, outer);
	EXPECT_EQ(0, CALL(outer, 0));
	kept = take_descriptor(pair[0]);
	ASSERT_LE(0, kept);
	EXPECT_EQ(0, CALL(kept, UNSHARE));
	EXPECT_EQ(0, lwc_close(outer));
	EXPECT_EQ(before + 2, contexts_settle(before + 2));
	EXPECT_EQ(0, lwc_switch(kept, LWC_FRESH, 0, &ev));
	EXPECT_EQ(1, ev.arg);
	EXPECT_EQ(0, lwc_close(kept));
	EXPECT_EQ(before, contexts_settle(before));
}

/* A table that only a record still names may be in use elsewhere: by a child that shares it. */
LWC_TEST(reached_by_a_child)
{
	const long before = counter("contexts");
	int pair[2], outer, kept, status;

	ASSERT_EQ(0, socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
	CONTEXT(outer) {
		CONTEXT_WITH(kept, &shared_files, 1, LWC_KEEP) {
			in.reply = act(UNSHARE) || lwc_close(in.ev.arg);
		}
		send_descriptor(pair[1], kept);
		in.reply = syscall(SYS_clone, CLONE_FILES | SIGCHLD, NULL, NULL, NULL, NULL);
		if (!in.reply) {
			while (!shm[1])
				msleep(1);
			_exit(!!send_descriptor(pair[1], kept));
		}
		shm[2] = kept;
	}
	ASSERT_LE(0, outer);
	EXPECT_LT(0, (long)CALL(outer, 0));
	kept = take_descriptor(pair[0]);
	ASSERT_LE(0, kept);
	EXPECT_EQ(0, CALL(kept, shm[2]));
	EXPECT_EQ(0, lwc_close(kept));
	EXPECT_EQ(0, lwc_close(outer));
	EXPECT_EQ(before + 1, contexts_settle(before + 1));
	shm[1] = 1;
	kept = take_descriptor(pair[0]);
	ASSERT_LE(0, kept);
	EXPECT_EQ(1, wait(&status) > 0);
	EXPECT_EQ(0, status);
	EXPECT_EQ(1, CALL(kept, -1));
	/* Its own record names it now: it stays until a limit is met. */
	EXPECT_EQ(0, lwc_close(kept));
}

/* Its creator gets another table when it is put back, and this one keeps the old. */
LWC_TEST(owner_is_put_back)
{
	int pair[2], owner, sharer = -1, i;
	struct lwc_event ev;

	ASSERT_EQ(0, socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
	for (i = 0; i < 3; i++) {
		ASSERT_EQ(0, lwc_create(NULL, 0, LWC_KEEP, &ev));
		owner = ev.created;
		while (ev.reason == LWC_EV_SWITCH) {
			if (ev.arg == COUNT) {
				sharer = sharing_context(_metadata, 0);
				send_descriptor(pair[1], sharer);
				lwc_close(sharer);
			}
			lwc_switch(ev.caller, i == 2 && ev.arg == OPEN ? LWC_DISCARD : 0,
				   act(ev.arg), &ev);
		}
		CALL(owner, COUNT);
		sharer = take_descriptor(pair[0]);
		ASSERT_LE(0, sharer);
		EXPECT_EQ(700, CALL(owner, OPEN));
		EXPECT_EQ(1, CALL(sharer, LOOK));
		if (i == 0) {
			ASSERT_EQ(0, lwc_renew(owner, 0, &ev));
			serve(&ev);
		} else if (i == 1) {
			ASSERT_EQ(0, lwc_switch(owner, LWC_FRESH, LOOK, &ev));
			EXPECT_EQ(0, ev.arg);
		}
		EXPECT_EQ(0, CALL(owner, LOOK));
		EXPECT_EQ(1, CALL(sharer, LOOK));
		EXPECT_EQ(0, CALL(sharer, CLOSE));
		if (i < 2) {
			EXPECT_EQ(700, CALL(owner, OPEN));
			EXPECT_EQ(0, CALL(sharer, LOOK));
		}
		lwc_close(sharer);
		lwc_close(owner);
	}
}

/* A context that shares this table, has been called, and answers what it knows its caller by. */
static int called_sharer(struct __test_metadata *_metadata, int flags)
{
	int ctx;

	CONTEXT_WITH(ctx, &shared_files, 1, flags) {
		in.reply = in.ev.caller;
	}
	ASSERT_LE(0, ctx);
	EXPECT_LE(0, (int)CALL(ctx, 0));
	return ctx;
}

/* One of two who share a table ends, the older or the younger: what the other was told stays. */
LWC_TEST(callers_of_who_ends)
{
	int first, second, lives, told, i;

	for (i = 0; i < 20; i++) {
		first = called_sharer(_metadata, i & 1 ? LWC_KEEP : 0);
		second = called_sharer(_metadata, i & 1 ? LWC_KEEP : 0);
		lives = i & 2 ? first : second;
		told = CALL(lives, 0);
		EXPECT_EQ(0, lwc_close(i & 2 ? second : first));
		EXPECT_TRUE(is_open(told));
		EXPECT_EQ(told, (int)CALL(lives, 0));
		EXPECT_EQ(0, lwc_close(lives));
	}
}

/* Return: @left, where what leaving it answered goes; NULL: there is no context. */
static void *goes_in(void *left)
{
	struct lwc_event ev;

	/* A place of its own: made here. */
	if (lwc_create(&shared_files, 1, 0, &ev))
		return NULL;
	if (ev.reason == LWC_EV_SWITCH) {
		shm[1] = 1;
		while (!shm[2])
			msleep(1);
		lwc_switch(ev.caller, 0, 0, &ev);
		_exit(95);
	}
	*(long *)left = lwc_switch(ev.created, 0, 0, &ev);
	return left;
}

/* Also while a thread is in it, which would never come back. */
LWC_TEST(callers_of_who_ends_beside)
{
	long left = -1;
	pthread_t thread;
	void *result;
	int ends, i;

	ASSERT_EQ(0, pthread_create(&thread, NULL, goes_in, &left));
	while (!shm[1])
		msleep(1);
	for (i = 0; i < 5; i++) {
		ends = sharing_context(_metadata, 0);
		ASSERT_LE(0, ends);
		CALL(ends, LOOK);
		EXPECT_EQ(0, lwc_close(ends));
	}
	shm[2] = 1;
	ASSERT_EQ(0, pthread_join(thread, &result));
	EXPECT_EQ((void *)&left, result);
	EXPECT_EQ(0, left);
}

static volatile bool stop;

static void *opens(void *arg)
{
	long wrong = 0;

	while (!stop)
		wrong += close(dup(2)) != 0;
	(void)arg;
	return (void *)wrong;
}

/* While a sibling opens and closes in the same table. */
LWC_TEST(beside_a_sibling)
{
	const int fds = known_descriptors();
	int ctx, i;
	pthread_t t;
	void *wrong;

	stop = false;
	ASSERT_EQ(0, pthread_create(&t, NULL, opens, NULL));
	for (i = 0; i < scaled(500); i++) {
		struct lwc_event ev;

		ctx = sharing_context(_metadata, LWC_KEEP);
		ASSERT_LE(0, ctx);
		EXPECT_LE(fds, (int)CALL(ctx, COUNT));
		EXPECT_EQ(0, lwc_switch(ctx, LWC_FRESH, LOOK, &ev));
		EXPECT_EQ(0, lwc_close(ctx));
	}
	stop = true;
	pthread_join(t, &wrong);
	EXPECT_EQ(NULL, wrong);
	EXPECT_EQ(fds, open_descriptors());
}

/* Whose end closes a pipe, however many contexts shared it. */
LWC_TEST(closed_at_exit)
{
	int end[2], status, ctx;
	char byte;

	ASSERT_EQ(0, pipe(end));
	IN_CHILD(status) {
		ctx = sharing_context(_metadata, 0);
		ASSERT_LE(0, ctx);
		EXPECT_EQ(0, CALL(ctx, LOOK));
		CONTEXT_WITH(ctx, &shared_files, 1, 0) {
			kill(getpid(), SIGKILL);
		}
		CALL(ctx, 0);
	}
	EXPECT_TRUE(WIFSIGNALED(status));
	close(end[1]);
	EXPECT_EQ(0, read(end[0], &byte, 1));
	close(end[0]);
}

TEST_HARNESS_MAIN
