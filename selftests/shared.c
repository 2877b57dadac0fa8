// SPDX-License-Identifier: GPL-2.0
/*
 * lwc_shared_alloc() across contexts and rollbacks. The arena by itself has tests
 * beside the library; these must never need to know how it is made.
 */
#include "test.h"

static bool apart(const char *a, const char *b, size_t size)
{
	return a + size <= b || b + size <= a;
}

static bool all(const char *p, char value, size_t size)
{
	while (size--) {
		if (*p++ != value)
			return false;
	}
	return true;
}

LWC_TEST(every_context_sees_it)
{
	volatile long *p = lwc_shared_alloc(sizeof(*p));
	int a, b;

	ASSERT_NE(NULL, p);
	CONTEXT(a) {
		in.reply = *p;
		*p = 1;
	}
	CONTEXT(b) {
		in.reply = *p;
		*p = 2;
	}
	ASSERT_LE(0, a);
	ASSERT_LE(0, b);
	EXPECT_EQ(0, CALL(a, 0));
	EXPECT_EQ(1, *p);
	EXPECT_EQ(1, CALL(b, 0));
	EXPECT_EQ(2, CALL(a, 0));
	lwc_shared_free((void *)p);
}

/* Allocated on one side, not handed out on the other; freed by who was told. */
LWC_TEST(contexts_never_get_the_same)
{
	size_t size;
	int ctx;

	CONTEXT(ctx) {
		char *p = lwc_shared_alloc(in.ev.arg);

		ASSERT_NE(NULL, p);
		memset(p, 7, in.ev.arg);
		in.reply = (uintptr_t)p;
	}
	ASSERT_LE(0, ctx);
	for (size = 1; size < 300000; size *= 3) {
		char *p = (char *)CALL(ctx, size), *q = lwc_shared_alloc(size);

		ASSERT_NE(NULL, q);
		EXPECT_TRUE(apart(p, q, size));
		EXPECT_TRUE(all(p, 7, size));
		EXPECT_TRUE(all(q, 0, size));
		lwc_shared_free(p);
		lwc_shared_free(q);
	}
}

LWC_TEST(rollback_leaves_it_alone)
{
	char *before = lwc_shared_alloc(5000), *inside, *after;
	struct lwc_event ev;

	ASSERT_NE(NULL, before);
	ASSERT_EQ(0, lwc_snapshot(-1, 0, &ev));
	if (ev.reason == LWC_EV_CREATED) {
		inside = lwc_shared_alloc(5000);
		ASSERT_NE(NULL, inside);
		memset(inside, 3, 5000);
		memset(before, 4, 5000);
		lwc_rollback(ev.created, (uintptr_t)inside);
		ASSERT_TRUE(false);
	}
	inside = (char *)ev.arg;
	EXPECT_TRUE(all(inside, 3, 5000));
	EXPECT_TRUE(all(before, 4, 5000));
	after = lwc_shared_alloc(5000);
	ASSERT_NE(NULL, after);
	EXPECT_TRUE(apart(inside, after, 5000));
	EXPECT_TRUE(apart(before, after, 5000));
	lwc_shared_free(inside);
	lwc_shared_free(after);
	lwc_shared_free(before);
}

LWC_TEST(a_forked_child_has_its_own)
{
	volatile char *p = lwc_shared_alloc(100);
	int ctx, status;

	ASSERT_NE(NULL, p);
	*p = 1;
	CONTEXT(ctx) {
		pid_t pid = fork();

		if (!pid) {
			*p += 10;
			_exit(*p != 11 || !lwc_shared_alloc(100));
		}
		waitpid(pid, &status, 0);
		in.reply = status;
	}
	ASSERT_LE(0, ctx);
	EXPECT_EQ(0, CALL(ctx, 0));
	EXPECT_EQ(1, *p);
	lwc_shared_free((void *)p);
}

TEST_HARNESS_MAIN
