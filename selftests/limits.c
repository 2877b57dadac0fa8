// SPDX-License-Identifier: GPL-2.0
/*
 * How many contexts there may be: per process, per user, and none at all when they
 * are switched off. The module's parameters are put back whatever happens; no test
 * may leave them changed.
 */
#include <grp.h>

#include "test.h"

static long nothing(void *arg)
{
	return (long)arg;
}

static long answer(void *state, uint64_t arg)
{
	(void)state;
	return arg;
}

static struct lwc_request plain = { .size = sizeof(plain) };

LWC_TEST(defaults)
{
	EXPECT_EQ(1024, parameter("max_contexts"));
	EXPECT_EQ(16384, parameter("max_contexts_per_user"));
}

static void fill(struct __test_metadata *_metadata, long max)
{
	struct lwc_event ev;
	int ctx[64], n = 0, r, i;

	for (;;) {
		CONTEXT(ctx[n]) {
			in.reply = 7;
		}
		if (ctx[n] < 0)
			break;
		ASSERT_GT(64, ++n);
	}
	EXPECT_ERR(lwc_create, EMFILE, ctx[n]);
	/* Whether the root counts is the module's affair. */
	EXPECT_LE(max - 1, n);
	EXPECT_GE(max, n);
	EXPECT_ERR(lwc_snapshot, EMFILE, lwc_snapshot(-1, 0, &ev));
	for (i = 0; i < n; i++)
		EXPECT_EQ(7, CALL(ctx[i], 0));
	/* One goes, one comes. */
	for (i = 0; i < 20; i++) {
		ASSERT_EQ(0, lwc_close(ctx[n - 1]));
		CONTEXT(ctx[n - 1]) {
			in.reply = 8;
		}
		ASSERT_LE(0, ctx[n - 1]);
		EXPECT_EQ(8, CALL(ctx[n - 1], 0));
	}
	r = lwc_create(NULL, 0, 0, &ev);
	EXPECT_EQ(-EMFILE, r);
}

LWC_TEST(per_process)
{
	long old = parameter("max_contexts");
	int status;

	NEED_ROOT();
	ASSERT_EQ(0, set_parameter("max_contexts", 10));
	IN_CHILD(status) {
		EXPECT_EQ(10, features().max_contexts);
		fill(_metadata, 10);
	}
	EXPECT_EQ(0, set_parameter("max_contexts", old));
	EXPECT_EQ(0, status);
	EXPECT_EQ(old, parameter("max_contexts"));
}

/* Rings of contexts that nobody can reach any more do not count when it matters. */
LWC_TEST(rings_make_room)
{
	long old = parameter("max_contexts");
	int status;

	NEED_ROOT();
	ASSERT_EQ(0, set_parameter("max_contexts", 10));
	IN_CHILD(status) {
		int pair[2], i;

		ASSERT_EQ(0, socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
		for (i = 0; i < 30; i++)
			make_ring(_metadata, pair);
	}
	EXPECT_EQ(0, set_parameter("max_contexts", old));
	EXPECT_EQ(0, status);
}

/* A thousand rings: all gone each time that the limit is met, and none that is in use. */
LWC_TEST(a_thousand_rings)
{
	long before = counter("contexts"), max = parameter("max_contexts");
	int status;

	IN_CHILD(status) {
		long now, last = 0, rings = scaled(1000), gone = 0, i;
		int pair[2], used;

		/* As many as it takes to meet the limit, at least. */
		if (rings * 2 < max)
			rings = max / 2 + 10;
		ASSERT_EQ(0, socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
		CONTEXT(used) {
			in.reply = 9;
		}
		ASSERT_LE(0, used);
		for (i = 0; i < rings; i++) {
			make_ring(_metadata, pair);
			now = counter("contexts") - before;
			EXPECT_GE(max, now);
			if (now < last) {
				/* The ring just made, perhaps half of the one before, the one used. */
				EXPECT_GE(4, now);
				gone++;
			}
			last = now;
		}
		EXPECT_LE(1, gone);
		EXPECT_EQ(9, CALL(used, 0));
		shm[0] = gone;
	}
	EXPECT_EQ(0, status);
	TH_LOG("all gone %ld times", shm[0]);
	EXPECT_EQ(before, contexts_settle(before));
}

/* Who has made it stays for a context's sake, though nobody can come there any more. */
LWC_TEST(creators_that_have_ended)
{
	const struct lwc_spec shared = { LWC_FILES, LWC_SHARE, 0, 0, UINT64_MAX };
	int status, r, i;
	struct lwc_event ev;

	IN_CHILD(status) {
		for (i = 0; i < 1100; i++) {
			r = lwc_create(&shared, 1, 0, &ev);
			if (r)
				break;
			if (ev.reason == LWC_EV_CREATED) {
				lwc_switch(ev.created, 0, ev.created, &ev);
				_exit(94);
			}
			/* The last one goes for good. */
			if (i)
				lwc_close((int)shm[1]);
			shm[1] = (int)ev.arg;
		}
		EXPECT_EQ(-EMFILE, r);
		EXPECT_LT(500, i);
		/* Here one may go on as ever. */
		EXPECT_EQ(0, lwc_snapshot(-1, 0, &ev));
	}
	EXPECT_EQ(0, status);
}

/* Several processes of one user share its share; another user has its own. */
LWC_TEST(per_user)
{
	long old = parameter("max_contexts_per_user"), i;
	int status;

	NEED_ROOT();
	ASSERT_EQ(0, set_parameter("max_contexts_per_user", 8));
	IN_CHILD(status) {
		struct lwc_event ev;
		int ctx, n = 0, other;

		features();
		ASSERT_EQ(0, setresuid(54321, 54321, 54321));
		IN_CHILD(other) {
			int j;

			for (j = 0; j < 3; j++) {
				CONTEXT(ctx) {
				}
				ASSERT_LE(0, ctx);
				CALL(ctx, 0);
			}
			shm[0] = 1;
			/* These three stay while the parent tries. */
			if (!fork()) {
				for (j = 0; j < 3; j++) {
					CONTEXT(ctx) {
					}
					if (ctx < 0)
						_exit(1);
				}
				shm[1] = 1;
				while (shm[1] == 1)
					msleep(1);
				_exit(0);
			}
			while (!shm[1])
				msleep(1);
		}
		EXPECT_EQ(0, other);
		for (;;) {
			CONTEXT(ctx) {
			}
			if (ctx < 0)
				break;
			ASSERT_GT(20, ++n);
		}
		EXPECT_ERR(lwc_create, EAGAIN, ctx);
		EXPECT_ERR(lwc_snapshot, EAGAIN, lwc_snapshot(-1, 0, &ev));
		EXPECT_ERR(lwc_request_run, EAGAIN, lwc_request_run(&plain, nothing, NULL, NULL));
		EXPECT_LE(3, n);
		EXPECT_GE(5, n);
		/* When the other process has gone there is room. */
		shm[1] = 2;
		for (i = 0; i < 500; i++) {
			CONTEXT(ctx) {
			}
			if (ctx >= 0)
				break;
			msleep(10);
		}
		EXPECT_LE(0, ctx);
	}
	EXPECT_EQ(0, status);
	/* Not this user's affair at all. */
	IN_CHILD(status) {
		int ctx;

		features();
		ASSERT_EQ(0, setresuid(54322, 54322, 54322));
		CONTEXT(ctx) {
			in.reply = 1;
		}
		ASSERT_LE(0, ctx);
		EXPECT_EQ(1, CALL(ctx, 0));
	}
	EXPECT_EQ(0, set_parameter("max_contexts_per_user", old));
	EXPECT_EQ(0, status);
	EXPECT_EQ(old, parameter("max_contexts_per_user"));
}

/* Who made a context is charged, whatever user is in it or closes it. */
LWC_TEST(charged_to_its_maker)
{
	long old = parameter("max_contexts_per_user");
	int status, i;

	NEED_ROOT();
	ASSERT_EQ(0, set_parameter("max_contexts_per_user", 8));
	IN_CHILD(status) {
		int ctx;

		features();
		ASSERT_EQ(0, seteuid(54323));
		for (i = 0; i < 50; i++) {
			CONTEXT(ctx) {
			}
			ASSERT_LE(0, ctx) {
				TH_LOG("round %d: %s", i, strerror(-ctx));
			}
			ASSERT_EQ(0, seteuid(0));
			CALL(ctx, 0);
			ASSERT_EQ(0, lwc_close(ctx));
			ASSERT_EQ(0, seteuid(54323));
		}
	}
	EXPECT_EQ(0, set_parameter("max_contexts_per_user", old));
	EXPECT_EQ(0, status);
}

/* Switched off: what is there goes on, and nothing new comes. */
LWC_TEST(disabled)
{
	long old = parameter("enabled");
	int status;

	NEED_ROOT();
	if (old < 0)
		old = 1;
	IN_CHILD(status) {
		struct lwc_pool *pool;
		struct lwc_event ev;
		int ctx, snap;

		CONTEXT(ctx) {
			in.reply = 3;
		}
		ASSERT_LE(0, ctx);
		ASSERT_EQ(0, lwc_snapshot(-1, 0, &ev));
		if (ev.reason == LWC_EV_ROLLBACK) {
			EXPECT_EQ(3, CALL(ctx, 0));
			_exit(_metadata->passed ? 0 : 1);
		}
		snap = ev.created;
		ASSERT_EQ(0, set_parameter("enabled", 0));
		EXPECT_ERR(lwc_create, EPERM, lwc_create(NULL, 0, 0, &ev));
		EXPECT_ERR(lwc_snapshot, EPERM, lwc_snapshot(-1, 0, &ev));
		EXPECT_ERR(lwc_request_run, EPERM, lwc_request_run(&plain, nothing, NULL, NULL));
		ASSERT_EQ(0, lwc_pool_open(NULL, 0, 1, answer, NULL, &pool));
		EXPECT_ERR(lwc_pool_run, EPERM, lwc_pool_run(pool, 0, NULL));
		EXPECT_EQ(3, CALL(ctx, 0));
		ASSERT_EQ(0, lwc_renew(ctx, 0, &ev));
		if (ev.reason == LWC_EV_SWITCH) {
			for (;;)
				lwc_switch(ev.caller, 0, 3, &ev);
		}
		EXPECT_EQ(3, CALL(ctx, 0));
		lwc_rollback(snap, 0);
	}
	EXPECT_EQ(0, set_parameter("enabled", 1));
	EXPECT_EQ(0, status);
	IN_CHILD(status) {
		int ctx;

		CONTEXT(ctx) {
		}
		EXPECT_LE(0, ctx);
	}
	EXPECT_EQ(0, status);
}

/* The full number, each with a place and a life of its own. */
LWC_TEST(a_thousand_at_once)
{
	struct rlimit limit = { .rlim_cur = 4096, .rlim_max = 4096 };
	long n = parameter("max_contexts") - 2, i, before = counter("contexts");
	int *ctx = calloc(n, sizeof(*ctx)), status;

	if (setrlimit(RLIMIT_NOFILE, &limit))
		n = 500;
	n = n > scaled(n) * 10 ? scaled(n) * 10 : n;
	IN_CHILD(status) {
		for (i = 0; i < n; i++) {
			CONTEXT(ctx[i]) {
				in.reply = in.ev.arg + i;
			}
			ASSERT_LE(0, ctx[i]) {
				TH_LOG("context %ld: %s", i, strerror(-ctx[i]));
			}
		}
		for (i = 0; i < n; i++)
			EXPECT_EQ((uint64_t)i + 5, CALL(ctx[i], 5));
		EXPECT_LE(n, counter("contexts"));
	}
	EXPECT_EQ(0, status);
	EXPECT_EQ(before, contexts_settle(before));
}

/* Each has been entered, and has what it wrote there. As many as there is memory for. */
LWC_TEST(ten_thousand_parked)
{
	const long most = 90, contexts = parameter("max_contexts"), before = counter("contexts");
	const struct rlimit limit = { .rlim_cur = 20000, .rlim_max = 20000 };
	long room = meminfo("MemAvailable:") / 2 / most, n = scaled(100000), i, used;
	struct utsname kernel;
	int status, *ctx;

	if (!is_root())
		SKIP(return, "only root may have so many");
	n = n < 10000 ? n : 10000;
	n = n < room ? n : room;
	ctx = shared_memory(n * sizeof(*ctx));
	ASSERT_EQ(0, set_parameter("max_contexts", n + 10));
	IN_CHILD(status) {
		ASSERT_EQ(0, setrlimit(RLIMIT_NOFILE, &limit));
		used = meminfo("MemAvailable:");
		for (i = 0; i < n; i++) {
			CONTEXT(ctx[i]) {
				in.reply = in.ev.arg + 1;
			}
			ASSERT_LE(0, ctx[i]) {
				TH_LOG("context %ld: %s", i, strerror(-ctx[i]));
			}
			ASSERT_EQ((uint64_t)i + 1, CALL(ctx[i], i));
		}
		used -= meminfo("MemAvailable:");
		printf("#: %ld parked contexts of a small process, %ld KB each\n", n, used / n);
		fflush(stdout);
		/* A kernel that checks itself needs more. */
		ASSERT_EQ(0, uname(&kernel));
		if (!strstr(kernel.release, "debug"))
			EXPECT_GE(most * n, used);
	}
	EXPECT_EQ(0, status);
	EXPECT_EQ(0, set_parameter("max_contexts", contexts));
	EXPECT_EQ(before, contexts_settle(before));
}

TEST_HARNESS_MAIN
