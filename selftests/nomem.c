// SPDX-License-Identifier: GPL-2.0
/*
 * Out of memory at each place where the kernel asks for some: the call fails with
 * ENOMEM and has changed nothing, or it works; a rollback that cannot be finished
 * ends the process. Only a kernel with fault injection can do this (the debug
 * kernel); elsewhere these are skipped. Must never leave injection switched on.
 */
#include "test.h"

static int nth = -1;

/* Where the kernel has that, and this user may. */
static void configure(const char *path, const char *text)
{
	const int err = write_text(path, text);

	if (err && err != -ENOENT && err != -EACCES)
		fprintf(stderr, "%s: %s\n", path, strerror(-err));
}

static bool injection(void)
{
	nth = open("/proc/thread-self/fail-nth", O_RDWR | O_CLOEXEC);
	if (nth < 0)
		return false;
	/* Also allocations that might wait, which are nearly all. */
	configure("/sys/kernel/debug/failslab/ignore-gfp-wait", "N");
	configure("/sys/kernel/debug/fail_page_alloc/ignore-gfp-wait", "N");
	configure("/sys/kernel/debug/fail_page_alloc/min-order", "0");
	configure("/sys/kernel/debug/failslab/verbose", "0");
	configure("/sys/kernel/debug/fail_page_alloc/verbose", "0");
	return true;
}

#define NEED_INJECTION()						\
do {									\
	if (!is_root() || !injection())					\
		SKIP(return, "needs fault injection, and root");	\
} while (0)

/* In a child: what injection() has opened is the parent's. */
#define INJECTION_OF_CHILD()						\
do {									\
	close(nth);							\
	ASSERT_TRUE(injection());					\
} while (0)

/* The n-th allocation of this thread from now on fails. */
static void fail(int n)
{
	char text[16];
	int len = snprintf(text, sizeof(text), "%d", n);

	if (pwrite(nth, text, len, 0) != len)
		abort();
}

/* Switched off again; did it come to that? */
static bool failed(void)
{
	char text[16] = "";

	if (pread(nth, text, sizeof(text) - 1, 0) <= 0)
		abort();
	fail(0);
	return text[0] == '0';
}

LWC_TEST(create)
{
	struct lwc_event ev;
	int n, fds, ctx, refused = 0;
	long contexts;

	NEED_INJECTION();
	CONTEXT(ctx) {
	}
	ASSERT_LE(0, ctx);
	fds = open_descriptors();
	contexts = counter("contexts");
	for (n = 1; n < 2000; n++) {
		bool hit;
		long r;

		fail(n);
		r = lwc_create(NULL, 0, 0, &ev);
		hit = failed();
		if (r) {
			EXPECT_ERR(lwc_create, ENOMEM, r) {
				TH_LOG("at allocation %d", n);
			}
			EXPECT_TRUE(hit);
			refused++;
		} else {
			if (ev.reason == LWC_EV_SWITCH) {
				for (;;)
					lwc_switch(ev.caller, 0, 5, &ev);
			}
			EXPECT_EQ(5, CALL(ev.created, 0));
			EXPECT_EQ(0, lwc_close(ev.created));
		}
		EXPECT_EQ(fds, open_descriptors());
		if (!hit)
			break;
	}
	EXPECT_LT(10, refused);
	EXPECT_GT(2000, n);
	EXPECT_EQ(contexts, contexts_settle(contexts));
}

/* The same with specs, of which sharing changes the creator as well: all or nothing. */
LWC_TEST(create_with_view)
{
	const size_t size = 16 * PAGE;
	int n, fds, refused = 0;
	struct lwc_event ev;
	long contexts;
	bool hit;

	NEED_INJECTION();
	lwc_close(lwc_self());
	fds = open_descriptors();
	contexts = counter("contexts");
	for (n = 1; n < 4000; n++) {
		char *p = private_memory(size), *q = shared_memory(2 * PAGE);
		struct lwc_spec specs[] = {
			{ LWC_MEMORY, LWC_SHARE, 0, (uintptr_t)p + PAGE, (uintptr_t)p + 8 * PAGE },
			{ LWC_MEMORY, LWC_READ, 0, (uintptr_t)p + 9 * PAGE, (uintptr_t)p + 11 * PAGE },
			{ LWC_MEMORY, LWC_UNMAP, 0, (uintptr_t)p + 12 * PAGE, (uintptr_t)p + 14 * PAGE },
			{ LWC_MEMORY, LWC_UNMAP, 0, (uintptr_t)q, (uintptr_t)q + PAGE },
			{ LWC_FILES, LWC_SHARE, 0, 0, UINT64_MAX },
		};
		size_t i;
		long r;

		for (i = 0; i < size; i += PAGE)
			p[i] = (char)(1 + i / PAGE);
		fail(n);
		r = lwc_create(specs, ARRAY_SIZE(specs), 0, &ev);
		hit = failed();
		if (!r && ev.reason == LWC_EV_SWITCH) {
			p[PAGE] = 50;
			p[8 * PAGE] = 51;
			for (;;)
				lwc_switch(ev.caller, 0, 5, &ev);
		}
		for (i = 0; i < size; i += PAGE)
			EXPECT_EQ((char)(1 + i / PAGE), p[i]);
		if (r) {
			EXPECT_ERR(lwc_create, ENOMEM, r) {
				TH_LOG("at allocation %d", n);
			}
			EXPECT_TRUE(hit);
			EXPECT_FALSE(is_shared_here(p + PAGE));
			refused++;
		} else {
			EXPECT_EQ(5, CALL(ev.created, 0));
			EXPECT_TRUE(is_shared_here(p + PAGE));
			EXPECT_EQ(50, p[PAGE]);
			EXPECT_EQ(9, p[8 * PAGE]);
			EXPECT_EQ(0, lwc_close(ev.created));
		}
		EXPECT_EQ(fds, open_descriptors());
		munmap(p, size);
		munmap(q, 2 * PAGE);
		if (!hit)
			break;
	}
	EXPECT_LT(30, refused);
	EXPECT_GT(4000, n);
	EXPECT_EQ(contexts, contexts_settle(contexts));
}

/* The first switch of a pair needs memory for the caller's descriptor. */
LWC_TEST(first_switch)
{
	struct lwc_event ev;
	int n, ctx;

	NEED_INJECTION();
	for (n = 1; n < 200; n++) {
		bool hit;
		long r;

		CONTEXT(ctx) {
			in.reply = ++shm[0];
		}
		ASSERT_LE(0, ctx);
		shm[0] = 0;
		fail(n);
		r = lwc_switch(ctx, 0, 0, &ev);
		hit = failed();
		if (r) {
			EXPECT_ERR(lwc_switch, ENOMEM, r);
			EXPECT_EQ(0, shm[0]);
			EXPECT_EQ(1, CALL(ctx, 0));
		} else {
			EXPECT_EQ(1, ev.arg);
		}
		EXPECT_EQ(2, CALL(ctx, 0));
		ASSERT_EQ(0, lwc_close(ctx));
		if (!hit)
			break;
	}
	EXPECT_GT(200, n);
}

LWC_TEST(self)
{
	int n, fds, refused = 0;

	NEED_INJECTION();
	lwc_close(lwc_self());
	fds = open_descriptors();
	for (n = 1; n < 200; n++) {
		bool hit;
		long r;

		fail(n);
		r = lwc_self();
		hit = failed();
		if (r < 0) {
			EXPECT_ERR(lwc_self, ENOMEM, r);
			refused++;
		} else {
			lwc_close(r);
		}
		EXPECT_EQ(fds, open_descriptors());
		if (!hit)
			break;
	}
	EXPECT_LT(0, refused);
}

/* Return: how many were refused. */
static int restrict_each(struct __test_metadata *_metadata)
{
	const uint64_t far = 0x100000000000ul;
	int n, i, ctx, refused = 0;

	for (n = 1; n < 1000; n++) {
		struct lwc_spec specs[40], other = { LWC_MEMORY, LWC_READ, 0, far, far + PAGE };
		bool hit;
		long r;

		for (i = 0; i < 40; i++)
			specs[i] = (struct lwc_spec){
				.type = i & 1 ? LWC_FILES : LWC_MEMORY, .mode = LWC_COW,
				.from = i & 1 ? 700 + i * 2ul : far + i * 2 * PAGE,
				.to = i & 1 ? 701 + i * 2ul : far + (i * 2 + 1) * PAGE,
			};
		CONTEXT(ctx) {
		}
		ASSERT_LE(0, ctx);
		ASSERT_EQ(0, lwc_restrict(ctx, ALL_RIGHTS, &specs[1], 39));
		fail(n);
		r = lwc_restrict(ctx, ALL_RIGHTS & ~LWC_MAY_KEEP, &specs[2], 38);
		hit = failed();
		if (r) {
			EXPECT_ERR(lwc_restrict, ENOMEM, r) {
				TH_LOG("at allocation %d", n);
			}
			EXPECT_TRUE(hit);
			refused++;
		}
		EXPECT_EQ(-EPERM, lwc_overlay(ctx, &other, 1));
		EXPECT_EQ(!r, lwc_overlay(ctx, &specs[1], 1) == -EPERM);
		EXPECT_NE(-EPERM, lwc_overlay(ctx, &specs[39], 1));
		EXPECT_EQ(0, lwc_close(ctx));
		if (!hit)
			break;
	}
	EXPECT_GT(1000, n);
	return refused;
}

/* Ranges are what they were, or what was asked for. */
LWC_TEST(restrict_to_ranges)
{
	int refused = 0, i;

	NEED_INJECTION();
	/* A page fault takes one of the failures now and then. */
	for (i = 0; i < 3; i++)
		refused += restrict_each(_metadata);
	/* Two objects with ranges; a list and a tree try again. */
	EXPECT_LE(3, refused);
}

/* All descriptors come, or none. */
LWC_TEST(overlay)
{
	static const struct lwc_spec spec = {
		.type = LWC_FILES, .mode = LWC_COW, .from = 700, .to = 710,
	};
	int n, status;

	NEED_INJECTION();
	for (n = 1; n < 200; n++) {
		/* In a child the table is small again. */
		IN_CHILD(status) {
			int inner, fds, i;
			bool hit;
			long r;

			INJECTION_OF_CHILD();
			CONTEXT(inner) {
				for (i = 700; i < 710; i++)
					dup2(2, i);
			}
			ASSERT_LE(0, inner);
			CALL(inner, 0);
			fds = open_descriptors();
			fail(n);
			r = lwc_overlay(inner, &spec, 1);
			hit = failed();
			if (r) {
				EXPECT_ERR(lwc_overlay, ENOMEM, r);
				EXPECT_TRUE(hit);
			}
			EXPECT_EQ(fds + (r ? 0 : 10), open_descriptors());
			shm[0] += r != 0;
			shm[1] = hit;
		}
		EXPECT_EQ(0, status);
		if (!shm[1])
			break;
	}
	EXPECT_LT(1, shm[0]);
	EXPECT_GT(200, n);
}

/*
 * Memory of another context comes here whole, or nothing of it: @modes of 6 pages, of
 * which there is none there, and of 3 in a page table that is not there yet.
 */
static void overlay_memory(struct __test_metadata *_metadata, const unsigned int modes[2])
{
	const size_t size = 8 * PAGE;
	char *p = private_memory(4 << 20), *far = p + (2 << 20);
	const struct lwc_spec specs[] = {
		{ .type = LWC_MEMORY, .mode = modes[0], .from = (uintptr_t)p + PAGE,
		  .to = (uintptr_t)p + 7 * PAGE },
		{ .type = LWC_MEMORY, .mode = modes[1], .from = (uintptr_t)far,
		  .to = (uintptr_t)far + 3 * PAGE },
		{ .type = LWC_FILES, .mode = LWC_COW, .from = 700, .to = 701 },
	};
	/* To share is hundreds of allocations, nearly all of a duplicate: see create_with_view. */
	const int step = modes[0] == LWC_SHARE ? 4 : 1;
	int n, status;

	for (n = 1; n < 1000; n += step) {
		IN_CHILD(status) {
			int inner;
			size_t i;
			bool hit;
			long r;

			INJECTION_OF_CHILD();
			memset(p, 1, size);
			CONTEXT(inner) {
				if (in.ev.arg) {
					memset(p, 2, size);
					munmap(p + 3 * PAGE, PAGE);
					memset(far, 3, 3 * PAGE);
					dup2(2, 700);
				}
				in.reply = p[2 * PAGE] + p[7 * PAGE];
			}
			ASSERT_LE(0, inner);
			EXPECT_EQ(4, CALL(inner, 1));
			fail(n);
			r = lwc_overlay(inner, specs, ARRAY_SIZE(specs));
			hit = failed();
			if (r) {
				EXPECT_ERR(lwc_overlay, ENOMEM, r);
				EXPECT_TRUE(hit);
				for (i = 0; i < size; i += PAGE)
					EXPECT_EQ(1, p[i]);
				EXPECT_EQ(0, far[0]);
				EXPECT_FALSE(is_open(700));
			} else {
				EXPECT_EQ(1, p[0]);
				EXPECT_EQ(2, p[PAGE]);
				EXPECT_EQ(-1, msync(p + 3 * PAGE, PAGE, MS_ASYNC));
				EXPECT_EQ(1, p[7 * PAGE]);
				EXPECT_EQ(3, far[2 * PAGE]);
				EXPECT_TRUE(is_open(700));
				if (modes[0] == LWC_SHARE)
					p[2 * PAGE] = 5;
			}
			EXPECT_EQ(!r && modes[0] == LWC_SHARE ? 7 : 4, CALL(inner, 0));
			shm[0] += r != 0;
			shm[1] = hit;
			shm[2] += hit && !r;
		}
		EXPECT_EQ(0, status);
		if (!shm[1])
			break;
	}
	/* Before there is no way back, and after. */
	EXPECT_LT(5, shm[0]);
	EXPECT_LT(5, shm[2]);
	EXPECT_GT(1000, n);
}

LWC_TEST(overlay_copy)
{
	NEED_INJECTION();
	overlay_memory(_metadata, (unsigned int[]){ LWC_COW, LWC_READ });
}

LWC_TEST(overlay_share)
{
	NEED_INJECTION();
	overlay_memory(_metadata, (unsigned int[]){ LWC_SHARE, LWC_COW });
}

/*
 * A renew that fails has changed nothing, or has left the context unusable until
 * one succeeds; this context is as it was in any case.
 */
LWC_TEST(renew)
{
	char *p = private_memory(64 * PAGE);
	int n, ctx, refused = 0, unusable = 0;
	struct lwc_event ev;
	volatile int here = 1;

	NEED_INJECTION();
	CONTEXT(ctx) {
		in.reply = 1;
	}
	ASSERT_LE(0, ctx);
	for (n = 1; n < 2000; n++) {
		bool hit;
		long r;

		/* Both sides have written since. */
		memset(p, n, 64 * PAGE);
		here = n;
		fail(n);
		r = lwc_renew(ctx, 0, &ev);
		hit = failed();
		if (!r && ev.reason == LWC_EV_SWITCH) {
			inside_context = true;
			for (;;) {
				uint64_t v = p[63 * PAGE] == (char)n && here == n ? 2 : 3;

				here = 0;
				memset(p, 0, 32 * PAGE);
				dup(2);
				lwc_switch(ev.caller, 0, v, &ev);
			}
		}
		EXPECT_EQ(n, here);
		EXPECT_EQ((char)n, p[0]);
		if (r) {
			EXPECT_ERR(lwc_renew, ENOMEM, r);
			refused++;
			r = lwc_switch(ctx, 0, 0, &ev);
			if (r) {
				EXPECT_EQ(-ENOTRECOVERABLE, r);
				unusable++;
			}
		} else {
			EXPECT_EQ(2, CALL(ctx, 0));
		}
		if (!hit)
			break;
	}
	EXPECT_GT(2000, n);
	EXPECT_LT(0, refused);
	TH_LOG("%d refused, %d of them half-way", refused, unusable);
	/* And one that succeeds makes it good again. */
	ASSERT_EQ(0, lwc_renew(ctx, 0, &ev));
	if (ev.reason == LWC_EV_SWITCH) {
		for (;;)
			lwc_switch(ev.caller, 0, 9, &ev);
	}
	EXPECT_EQ(9, CALL(ctx, 0));
}

/* The first renew of a context duplicates everything. */
LWC_TEST(first_renew)
{
	int n, ctx, refused = 0;
	struct lwc_event ev;

	NEED_INJECTION();
	features();
	for (n = 1; n < 2000; n++) {
		bool hit;
		long r;

		CONTEXT(ctx) {
			in.reply = 1;
		}
		ASSERT_LE(0, ctx);
		fail(n);
		r = lwc_renew(ctx, 0, &ev);
		hit = failed();
		if (!r && ev.reason == LWC_EV_SWITCH) {
			for (;;)
				lwc_switch(ev.caller, 0, 2, &ev);
		}
		if (r) {
			EXPECT_ERR(lwc_renew, ENOMEM, r);
			refused++;
		}
		EXPECT_EQ(r ? 1 : 2, CALL(ctx, 0));
		EXPECT_EQ(0, lwc_close(ctx));
		if (!hit)
			break;
	}
	EXPECT_GT(2000, n);
	EXPECT_LT(10, refused);
}

/* With a kept state: what a create has, twice, or nothing. */
LWC_TEST(create_kept)
{
	int n, fds, refused = 0;
	struct lwc_event ev;
	long contexts;

	NEED_INJECTION();
	features();
	lwc_close(lwc_self());
	fds = open_descriptors();
	contexts = counter("contexts");
	for (n = 1; n < 4000; n++) {
		bool hit;
		long r;

		fail(n);
		r = lwc_create(NULL, 0, LWC_KEEP, &ev);
		hit = failed();
		if (!r && ev.reason == LWC_EV_SWITCH) {
			for (;;)
				lwc_switch(ev.caller, 0, 2, &ev);
		}
		if (r) {
			EXPECT_EQ(-ENOMEM, r);
			refused++;
		} else {
			EXPECT_EQ(0, lwc_switch(ev.created, LWC_FRESH, 0, &ev));
			EXPECT_EQ(2, ev.arg);
			EXPECT_EQ(0, lwc_close(ev.caller));
		}
		EXPECT_EQ(fds, open_descriptors());
		if (!hit)
			break;
	}
	EXPECT_GT(4000, n);
	EXPECT_LT(20, refused);
	EXPECT_EQ(contexts, contexts_settle(contexts));
}

/*
 * LWC_FRESH, lwc_keep() and a renew of what is kept: they work, or nothing has
 * changed, or the context cannot be entered until one of them works.
 */
LWC_TEST(kept)
{
	char *p = private_memory(64 * PAGE);
	int n, ctx, what, refused[3] = { 0 }, unusable = 0, i;
	struct lwc_event ev;
	volatile int kept = 1;

	NEED_INJECTION();
	for (what = 0; what < 3; what++) {
		memset(p, 1, 64 * PAGE);
		kept = 1;
		CONTEXT_WITH(ctx, NULL, 0, LWC_KEEP) {
			/* In here nothing is to fail. */
			shm[9] = failed();
			/* Whether it is as it was kept, and then it is not. */
			in.reply = kept == 1 && p[0] == 1 && p[63 * PAGE] == 1 ? 2 : 3;
			if (in.ev.arg)
				in.reply = kept == 2 ? 2 : 3;
			kept = 2;
			memset(p, 2, 32 * PAGE);
			for (i = 0; i < 4; i++)
				private_memory(PAGE << (i & 1));
			munmap(p + 40 * PAGE, 5 * PAGE);
			dup(2);
		}
		ASSERT_LE(0, ctx);
		EXPECT_EQ(2, CALL(ctx, 0));
		for (n = 1; n < 2000; n++) {
			bool hit;
			long r;

			fail(n);
			switch (what) {
			case 0:
				r = lwc_switch(ctx, LWC_FRESH, 0, &ev);
				break;
			case 1:
				r = lwc_keep(ctx);
				break;
			default:
				r = lwc_renew(ctx, 0, &ev);
				break;
			}
			hit = what || r ? failed() : shm[9];
			if (what == 2 && !r && ev.reason == LWC_EV_SWITCH) {
				inside_context = true;
				for (;;) {
					memset(p, 2, 32 * PAGE);
					lwc_switch(ev.caller, 0, 2, &ev);
				}
			}
			if (r) {
				EXPECT_ERR(lwc_keep, ENOMEM, r);
				refused[what]++;
				r = lwc_switch(ctx, 0, 1, &ev);
				if (r) {
					EXPECT_ERR(lwc_switch, ENOTRECOVERABLE, r);
					unusable++;
					if (what < 2)
						EXPECT_ERR(lwc_keep, ENOTRECOVERABLE,
							   lwc_keep(ctx));
				}
				/* One that works makes it good. */
				r = what == 0 ? lwc_switch(ctx, LWC_FRESH, 0, &ev) :
				    what == 1 ? lwc_keep(ctx) : 0;
				EXPECT_EQ(0, r);
				if (what == 0)
					EXPECT_EQ(2, ev.arg);
			} else if (what == 0) {
				EXPECT_EQ(2, ev.arg);
			} else if (what == 1) {
				EXPECT_EQ(0, lwc_switch(ctx, LWC_FRESH, 1, &ev));
				EXPECT_EQ(2, ev.arg);
			} else {
				EXPECT_EQ(2, CALL(ctx, 0));
				EXPECT_EQ(0, lwc_switch(ctx, LWC_FRESH, 0, &ev));
				EXPECT_EQ(2, ev.arg);
			}
			if (!hit)
				break;
		}
		EXPECT_GT(2000, n);
		EXPECT_LT(0, refused[what]);
		EXPECT_EQ(0, lwc_close(ctx));
	}
	EXPECT_LT(0, unusable);
	TH_LOG("%d, %d, %d refused, %d of them half-way", refused[0], refused[1], refused[2],
	       unusable);
}

static long answer(void *state, uint64_t arg)
{
	(void)state;
	return arg;
}

LWC_TEST(pool)
{
	struct lwc_pool *pool;
	int n, refused = 0;
	long result;

	NEED_INJECTION();
	features();
	for (n = 1; n < 4000; n++) {
		bool hit;
		long r;

		ASSERT_EQ(0, lwc_pool_open(NULL, 0, 1, answer, NULL, &pool));
		fail(n);
		r = lwc_pool_run(pool, 5, &result);
		hit = failed();
		if (r) {
			EXPECT_ERR(lwc_pool_run, ENOMEM, r);
			refused++;
			EXPECT_EQ(0, lwc_pool_run(pool, 5, &result));
		}
		EXPECT_EQ(5, result);
		ASSERT_EQ(0, lwc_pool_close(pool));
		if (!hit)
			break;
	}
	EXPECT_GT(4000, n);
	EXPECT_LT(20, refused);
}

LWC_TEST(snapshot)
{
	int n, fds, refused = 0;
	volatile int x;
	struct lwc_event ev;
	long contexts;

	NEED_INJECTION();
	features();
	fds = open_descriptors();
	contexts = counter("contexts");
	for (n = 1; n < 2000; n++) {
		bool hit;
		long r;

		x = 1;
		fail(n);
		r = lwc_snapshot(-1, 0, &ev);
		hit = failed();
		if (r) {
			EXPECT_ERR(lwc_snapshot, ENOMEM, r);
			refused++;
		} else {
			EXPECT_EQ(1, x);
			if (ev.reason == LWC_EV_CREATED) {
				x = 2;
				shm[0] = hit;
				lwc_rollback(ev.created, 0);
				_metadata->passed = 0;
			}
			hit = shm[0];
			EXPECT_EQ(0, lwc_close(ev.created));
		}
		EXPECT_EQ(fds, open_descriptors());
		if (!hit)
			break;
	}
	EXPECT_LT(10, refused);
	EXPECT_GT(2000, n);
	EXPECT_EQ(contexts, contexts_settle(contexts));
}

static long nothing(void *arg)
{
	return (long)arg;
}

/*
 * A request is run and forgotten, or not run; a deadline leaves nothing either way.
 * In a child, because its rollback may be one that cannot be finished.
 */
LWC_TEST(request)
{
	struct lwc_request rq = { .size = sizeof(rq), .timeout_ms = 60000 };
	int n, status;

	NEED_INJECTION();
	features();
	for (n = 1; n < 2000; n++) {
		shm[0] = shm[1] = 0;
		IN_CHILD(status) {
			struct sigaction sa;
			int fds;
			long r;

			INJECTION_OF_CHILD();
			fds = open_descriptors();
			fail(n);
			r = lwc_request_run(&rq, nothing, NULL, NULL);
			shm[1] = failed();
			/* EAGAIN is what the kernel says of a timer. */
			if (r && r != -EAGAIN) {
				EXPECT_ERR(lwc_request_run, ENOMEM, r);
				shm[0] = 1;
			}
			EXPECT_EQ(fds, open_descriptors());
			sigaction(SIGRTMAX, NULL, &sa);
			EXPECT_TRUE(sa.sa_handler == SIG_DFL);
		}
		if (WIFSIGNALED(status)) {
			EXPECT_EQ(SIGKILL, WTERMSIG(status));
			continue;
		}
		EXPECT_EQ(0, status);
		shm[2] += shm[0];
		if (!shm[1])
			break;
	}
	EXPECT_LT(10, shm[2]);
	EXPECT_GT(2000, n);
}

/* A rollback works, or is refused with nothing changed, or ends the process. */
LWC_TEST(rollback)
{
	char *p = private_memory(64 * PAGE);
	int n, status;

	NEED_INJECTION();
	memset(p, 1, 64 * PAGE);
	for (n = 1; n < 2000; n++) {
		shm[0] = shm[1] = 0;
		IN_CHILD(status) {
			struct lwc_event ev;
			long r;
			int i;

			INJECTION_OF_CHILD();
			ASSERT_EQ(0, lwc_snapshot(-1, 0, &ev));
			if (ev.reason == LWC_EV_ROLLBACK) {
				shm[1] = failed();
				for (i = 0; i < 64; i++)
					EXPECT_EQ(1, p[i * PAGE]);
				EXPECT_FALSE(is_open(400));
				_exit(_metadata->passed ? 3 : 1);
			}
			memset(p, 2, 64 * PAGE);
			dup2(2, 400);
			for (i = 0; i < 20; i++)
				private_memory(PAGE << (i & 1));
			munmap(p + 10 * PAGE, 5 * PAGE);
			fail(n);
			r = lwc_rollback(ev.created, 0);
			shm[1] = failed();
			EXPECT_ERR(lwc_rollback, ENOMEM, r);
			EXPECT_EQ(2, p[0]);
			EXPECT_TRUE(is_open(400));
			EXPECT_FALSE(is_mapped(p + 10 * PAGE));
			_exit(_metadata->passed ? 4 : 1);
		}
		if (WIFSIGNALED(status)) {
			EXPECT_EQ(SIGKILL, WTERMSIG(status));
			shm[2]++;
			continue;
		}
		EXPECT_TRUE(WEXITSTATUS(status) == 3 || WEXITSTATUS(status) == 4);
		if (!shm[1])
			break;
	}
	EXPECT_GT(2000, n);
	TH_LOG("%d places, %ld fatal", n, shm[2]);
}

/* A child, and a thread, are refused where there is no memory to know them by. */
LWC_TEST(fork_child)
{
	int n, ctx, status;

	NEED_INJECTION();
	CONTEXT(ctx) {
		in.reply = 5;
	}
	ASSERT_LE(0, ctx);
	EXPECT_EQ(5, CALL(ctx, 0));
	for (n = 1; n < 2000; n++) {
		bool hit;
		pid_t pid;

		fail(n);
		pid = syscall(SYS_fork);
		if (!pid)
			_exit(0);
		hit = failed();
		if (pid > 0)
			ASSERT_EQ(pid, waitpid(pid, &status, 0));
		EXPECT_EQ(5, CALL(ctx, 0));
		if (!hit)
			break;
	}
	EXPECT_GT(2000, n);
}

TEST_HARNESS_MAIN
