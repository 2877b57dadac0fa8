// SPDX-License-Identifier: GPL-2.0
/*
 * Descriptors of contexts as capabilities: lwc_self, lwc_restrict, lwc_close, and
 * how long a context lives. Rights that are gone must never come back, and a
 * context must not outlive the last that holds it.
 */
#include "test.h"

LWC_TEST(self)
{
	int fd = lwc_self(), ctx;

	ASSERT_LE(3, fd);
	EXPECT_EQ(FD_CLOEXEC, fcntl(fd, F_GETFD));
	CONTEXT(ctx) {
		int me = lwc_self(), seen = open_descriptors();

		EXPECT_LE(3, me);
		EXPECT_EQ(0, lwc_close(me));
		EXPECT_EQ(seen - 1, open_descriptors());
		in.reply = 1;
	}
	ASSERT_LE(0, ctx);
	EXPECT_EQ(1, CALL(ctx, 0));
	EXPECT_EQ(0, lwc_close(fd));
	EXPECT_FALSE(is_open(fd));
}

/* In somebody else's table it is a way in, with all rights but one. */
LWC_TEST(self_is_handed_out)
{
	int giver, taker, pair[2];

	ASSERT_EQ(0, socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
	CONTEXT(giver) {
		if (!in.ev.arg) {
			int me = lwc_self();

			ASSERT_LE(3, me);
			in.reply = send_descriptor(pair[0], me);
			lwc_close(me);
		} else {
			in.reply = in.ev.arg + 1;
		}
	}
	ASSERT_LE(0, giver);
	CONTEXT(taker) {
		int other = take_descriptor(pair[1]);
		uint64_t args[6] = { 0 };

		ASSERT_LE(0, other);
		EXPECT_EQ(8, CALL(other, 7));
		EXPECT_GT(0, lwc_syscall(other, LWC_USE_FILES, SYS_getpid, args));
		EXPECT_EQ(0, lwc_restrict(other, LWC_MAY_SWITCH, NULL, 0));
		EXPECT_EQ(9, CALL(other, 8));
		lwc_close(other);
		in.reply = 1;
	}
	ASSERT_LE(0, taker);
	EXPECT_EQ(0, CALL(giver, 0));
	EXPECT_EQ(1, CALL(taker, 0));
	EXPECT_EQ(8, CALL(giver, 7));
}

/* What may not be used to go back any more is no name for who called. */
LWC_TEST(way_back_is_restricted)
{
	const struct lwc_spec inherit = {
		LWC_FILES, LWC_COW, LWC_INHERIT, 0, UINT64_MAX,
	};
	int self = lwc_self(), ctx;

	ASSERT_LE(3, self);
	CONTEXT_WITH(ctx, &inherit, 1, 0) {
		in.reply = in.ev.caller;
	}
	ASSERT_LE(0, ctx);
	EXPECT_EQ(self, CALL(ctx, 0));
	EXPECT_EQ(self, CALL(ctx, 0));
	ASSERT_EQ(0, lwc_restrict(self, LWC_MAY_RESTRICT, NULL, 0));
	EXPECT_NE(self, CALL(ctx, 0));
	EXPECT_NE(self, CALL(ctx, 0));
	lwc_close(self);
}

/* A context that holds only itself is held by nobody. */
LWC_TEST(self_is_weak)
{
	long before;
	int ctx;

	CONTEXT(ctx) {
	}
	ASSERT_LE(0, ctx);
	before = counter("contexts");
	lwc_close(ctx);
	EXPECT_EQ(before - 1, contexts_settle(before - 1));
	CONTEXT(ctx) {
		in.reply = lwc_self();
	}
	ASSERT_LE(0, ctx);
	EXPECT_LE(3, (int)CALL(ctx, 0));
	EXPECT_EQ(before, counter("contexts"));
	lwc_close(ctx);
	EXPECT_EQ(before - 1, contexts_settle(before - 1));
}

/* But who else has that descriptor holds it, by whatever way it came there. */
LWC_TEST(self_is_strong_elsewhere)
{
	const struct lwc_spec numbers = {
		.type = LWC_FILES, .mode = LWC_COW, .flags = LWC_INHERIT, .from = 300, .to = 301,
	};
	long before = counter("contexts");
	int pair[2], ctx, self, holder, i;

	ASSERT_EQ(0, socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
	for (i = 0; i < 4; i++) {
		CONTEXT_WITH(ctx, NULL, 0, i & 1 ? LWC_KEEP : 0) {
			if (!in.ev.arg)
				in.reply = dup2(lwc_self(), 300) == 300 &&
					   !send_descriptor(pair[0], 300);
			else
				in.reply = in.ev.arg + 1;
		}
		ASSERT_LE(0, ctx);
		EXPECT_EQ(1, CALL(ctx, 0));
		self = take_descriptor(pair[1]);
		ASSERT_LE(3, self);
		if (i < 2) {
			EXPECT_EQ(0, lwc_close(ctx));
			EXPECT_EQ(8, CALL(self, 7));
			EXPECT_EQ(0, lwc_close(self));
		} else {
			/* Here by an overlay, and on by inheritance. */
			EXPECT_EQ(0, lwc_close(self));
			EXPECT_EQ(0, lwc_overlay(ctx, &numbers, 1));
			EXPECT_EQ(0, lwc_close(ctx));
			EXPECT_EQ(8, CALL(300, 7));
			CONTEXT_WITH(holder, &numbers, 1, 0) {
				in.reply = is_open(300);
			}
			ASSERT_LE(0, holder);
			EXPECT_EQ(0, lwc_close(300));
			EXPECT_EQ(1, CALL(holder, 0));
			EXPECT_EQ(before + 2, counter("contexts"));
			EXPECT_EQ(0, lwc_close(holder));
		}
		EXPECT_EQ(before, contexts_settle(before));
	}
}

/* A context has sent what lwc_self() gave it, and its creator lets go of it otherwise. */
static int only_by_self(struct __test_metadata *_metadata, int ctx, int sock)
{
	int self;

	ASSERT_LE(0, ctx);
	EXPECT_EQ(0, CALL(ctx, 0));
	self = take_descriptor(sock);
	ASSERT_LE(3, self);
	EXPECT_EQ(0, lwc_close(ctx));
	return self;
}

/* One holds the next, and so on: they go one after the other when the first does. */
LWC_TEST(chain_of_selves)
{
	const struct lwc_spec last = {
		.type = LWC_FILES, .mode = LWC_COW, .flags = LWC_INHERIT, .from = 300, .to = 301,
	};
	const long before = counter("contexts"), n = scaled(300);
	int pair[2], ctx, self, i;

	ASSERT_EQ(0, socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
	for (i = 0; i < n; i++) {
		CONTEXT_WITH(ctx, &last, 1, 0) {
			in.reply = send_descriptor(pair[0], lwc_self());
		}
		self = only_by_self(_metadata, ctx, pair[1]);
		/* Of the one before only this one has a descriptor now. */
		ASSERT_EQ(300, dup2(self, 300));
		EXPECT_EQ(0, lwc_close(self));
	}
	EXPECT_EQ(before + n, counter("contexts"));
	EXPECT_EQ(0, lwc_close(300));
	EXPECT_EQ(before, contexts_settle(before));
}

/* The end of a process, where its thread has put the context's table before. */
LWC_TEST(self_at_the_end)
{
	const long before = counter("contexts");
	int status, i;

	for (i = 0; i < 5; i++) {
		IN_CHILD(status) {
			struct lwc_event ev;
			int pair[2], ctx, self;

			ASSERT_EQ(0, socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
			CONTEXT_WITH(ctx, NULL, 0, i & 1 ? LWC_KEEP : 0) {
				if (in.ev.arg && lwc_self() >= 3 && lwc_self() >= 3)
					_exit(7);
				in.reply = send_descriptor(pair[0], lwc_self());
			}
			self = only_by_self(_metadata, ctx, pair[1]);
			lwc_switch(self, 0, 1, &ev);
		}
		EXPECT_EQ(7 << 8, status);
	}
	EXPECT_EQ(before, contexts_settle(before));
}

LWC_TEST(restrict_one_by_one)
{
	struct lwc_event ev;
	int ctx;

	CONTEXT(ctx) {
		in.reply = 1;
	}
	ASSERT_LE(0, ctx);
	EXPECT_EQ(0, lwc_restrict(ctx, ALL_RIGHTS, NULL, 0));
	ASSERT_EQ(0, lwc_renew(ctx, 0, &ev));
	if (ev.reason == LWC_EV_SWITCH) {
		for (;;)
			lwc_switch(ev.caller, 0, 2, &ev);
	}
	EXPECT_EQ(2, CALL(ctx, 0));
	EXPECT_EQ(0, lwc_restrict(ctx, ALL_RIGHTS & ~LWC_MAY_KEEP, NULL, 0));
	EXPECT_ERR(lwc_renew, EPERM, lwc_renew(ctx, 0, &ev));
	EXPECT_EQ(2, CALL(ctx, 0));
	EXPECT_EQ(0, lwc_restrict(ctx, LWC_MAY_SWITCH, NULL, 0));
	EXPECT_ERR(lwc_restrict, EPERM, lwc_restrict(ctx, LWC_MAY_SWITCH, NULL, 0));
	EXPECT_ERR(lwc_restrict, EPERM, lwc_restrict(ctx, 0, NULL, 0));
	EXPECT_EQ(2, CALL(ctx, 0));
}

LWC_TEST(rights_never_come_back)
{
	struct lwc_event ev;
	int ctx;

	CONTEXT(ctx) {
		in.reply = 1;
	}
	ASSERT_LE(0, ctx);
	ASSERT_EQ(0, lwc_restrict(ctx, LWC_MAY_RESTRICT, NULL, 0));
	EXPECT_ERR(lwc_switch, EPERM, lwc_switch(ctx, 0, 0, &ev));
	/* Asked for again: whatever the answer, they are not there. */
	lwc_restrict(ctx, ALL_RIGHTS, NULL, 0);
	EXPECT_ERR(lwc_switch, EPERM, lwc_switch(ctx, 0, 0, &ev));
	EXPECT_ERR(lwc_renew, EPERM, lwc_renew(ctx, 0, &ev));
	EXPECT_EQ(0, lwc_restrict(ctx, 0, NULL, 0));
	EXPECT_ERR(lwc_restrict, EPERM, lwc_restrict(ctx, ALL_RIGHTS, NULL, 0));
	EXPECT_EQ(0, lwc_close(ctx));
}

/* Duplicates share rights; other descriptors of the same context do not. */
LWC_TEST(duplicates_share_rights)
{
	int ctx, copy, far, status, pair[2];
	struct lwc_event ev;

	CONTEXT(ctx) {
		in.reply = 1;
	}
	ASSERT_LE(0, ctx);
	ASSERT_EQ(0, socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
	copy = dup(ctx);
	ASSERT_EQ(0, send_descriptor(pair[0], ctx));
	far = take_descriptor(pair[1]);
	ASSERT_LE(0, far);
	EXPECT_EQ(1, CALL(copy, 0));
	EXPECT_EQ(1, CALL(far, 0));
	ASSERT_EQ(0, lwc_restrict(copy, LWC_MAY_KEEP | LWC_MAY_RESTRICT, NULL, 0));
	EXPECT_ERR(lwc_switch, EPERM, lwc_switch(ctx, 0, 0, &ev));
	EXPECT_ERR(lwc_switch, EPERM, lwc_switch(copy, 0, 0, &ev));
	EXPECT_ERR(lwc_switch, EPERM, lwc_switch(far, 0, 0, &ev));
	/* The copy in a forked child is the same open descriptor, and useless. */
	IN_CHILD(status) {
		EXPECT_ERR(lwc_restrict, ESRCH, lwc_restrict(ctx, 0, NULL, 0));
	}
	EXPECT_EQ(0, status);
	EXPECT_EQ(0, lwc_restrict(ctx, LWC_MAY_RESTRICT, NULL, 0));
}

LWC_TEST(restrict_bad_arguments)
{
	struct lwc_spec spec = { LWC_MEMORY, LWC_COW, 0, 0, UINT64_MAX };
	struct lwc_spec bad = { LWC_MEMORY, LWC_COW, 0, 5, 5 };
	struct lwc_spec granted = { LWC_MEMORY, LWC_COW, LWC_GRANT, 0, UINT64_MAX };
	struct lwc_spec call = { LWC_SYSCALLS, LWC_UNMAP, 0, 1, 2 };
	struct lwc_spec creds = { LWC_CREDS, LWC_COW, 0, 0, UINT64_MAX };
	struct {
		struct lwc_restrict_args a;
		uint64_t tail[1];
	} big = { 0 };
	struct lwc_event ev;
	int ctx, i;

	CONTEXT(ctx) {
		in.reply = 1;
	}
	ASSERT_LE(0, ctx);
	for (i = 5; i < 32; i++)
		EXPECT_ERR(lwc_restrict, EINVAL, lwc_restrict(ctx, 1u << i, NULL, 0));
	EXPECT_ERR(lwc_restrict, EFAULT, lwc_restrict(ctx, ALL_RIGHTS, NULL, 1));
	EXPECT_ERR(lwc_restrict, EFAULT, lwc_restrict(ctx, ALL_RIGHTS, KERNEL_POINTER, 1));
	EXPECT_ERR(lwc_restrict, EFAULT, lwc_restrict(ctx, ALL_RIGHTS, unmapped_pointer(), 1));
	EXPECT_ERR(lwc_restrict, E2BIG, lwc_restrict(ctx, ALL_RIGHTS, &spec, LWC_MAX_SPECS + 1));
	EXPECT_ERR(lwc_restrict, EINVAL, lwc_restrict(ctx, ALL_RIGHTS, &bad, 1));
	EXPECT_ERR(lwc_restrict, EINVAL, lwc_restrict(ctx, ALL_RIGHTS, &granted, 1));
	EXPECT_ERR(lwc_restrict, EINVAL, lwc_restrict(ctx, ALL_RIGHTS, &call, 1));
	EXPECT_ERR(lwc_restrict, EOPNOTSUPP, lwc_restrict(ctx, ALL_RIGHTS, &creds, 1));
	EXPECT_ERR(lwc_restrict, EBADF, lwc_restrict(-1, ALL_RIGHTS, NULL, 0));
	EXPECT_ERR(lwc_restrict, EBADF, lwc_restrict(1, ALL_RIGHTS, NULL, 0));
	EXPECT_ERR(lwc_restrict, EBADF, lwc_restrict(800, ALL_RIGHTS, NULL, 0));
	EXPECT_EQ(-EINVAL, raw_ioctl(ctx, LWC_IOC_RESTRICT, &big));
	big.a.size = sizeof(big.a) - 8;
	EXPECT_EQ(-EINVAL, raw_ioctl(ctx, LWC_IOC_RESTRICT, &big));
	big.a.size = sizeof(big);
	big.tail[0] = 1;
	EXPECT_EQ(-E2BIG, raw_ioctl(ctx, LWC_IOC_RESTRICT, &big));
	big.a.size = sizeof(big.a);
	big.a.reserved = 1;
	EXPECT_EQ(-EINVAL, raw_ioctl(ctx, LWC_IOC_RESTRICT, &big));
	EXPECT_EQ(-EFAULT, raw_ioctl(ctx, LWC_IOC_RESTRICT, unmapped_pointer()));
	/* None of these took anything away. */
	EXPECT_EQ(1, CALL(ctx, 0));
	ASSERT_EQ(0, lwc_renew(ctx, 0, &ev));
	if (ev.reason == LWC_EV_SWITCH) {
		for (;;)
			lwc_switch(ev.caller, 0, 2, &ev);
	}
	big.a.reserved = 0;
	big.a.size = sizeof(big);
	big.tail[0] = 0;
	big.a.rights = 0;
	EXPECT_EQ(0, raw_ioctl(ctx, LWC_IOC_RESTRICT, &big));
	EXPECT_ERR(lwc_switch, EPERM, lwc_switch(ctx, 0, 0, &ev));
	ASSERT_EQ(0, lwc_snapshot(-1, 0, &ev));
	EXPECT_ERR(lwc_restrict, EINVAL, lwc_restrict(ev.created, 0, NULL, 0));
	lwc_close(ev.created);
}

#define MEMORY(m, a, b)	{ .type = LWC_MEMORY, .mode = LWC_##m, .from = (a), .to = (b) }
#define FILES(m, f, a, b) \
	{ .type = LWC_FILES, .mode = LWC_##m, .flags = (f), .from = (a), .to = (b) }

/* Is it for lack of a right that this cannot be overlaid? */
static bool is_refused(int ctx, uint16_t type, uint16_t mode, uint32_t flags, uint64_t from,
		       uint64_t to)
{
	struct lwc_spec spec = { type, mode, flags, from, to };

	return lwc_overlay(ctx, &spec, 1) == -EPERM;
}

/* Addresses where nothing is mapped, here or anywhere. */
#define FAR(n)	(0x100000000000ul + (n) * PAGE)

/* A list says what remains; the next one can only make that less. */
LWC_TEST(restrict_to_ranges)
{
	static const struct lwc_spec first[] = {
		MEMORY(SHARE, FAR(0), FAR(10)), MEMORY(READ, FAR(20), FAR(30)),
		MEMORY(UNMAP, FAR(4), FAR(5)), FILES(COW, 0, 700, 710),
	};
	static const struct lwc_spec second[] = {
		MEMORY(COW, FAR(2), FAR(25)), FILES(COW, LWC_INHERIT, 705, 720),
	};
	static const struct lwc_spec all[] = {
		MEMORY(COW, 0, UINT64_MAX), FILES(COW, LWC_INHERIT, 0, UINT64_MAX),
	};
	struct lwc_spec both[] = {
		MEMORY(COW, FAR(2), FAR(3)), MEMORY(COW, FAR(0), FAR(1)),
	};
	int ctx;

	CONTEXT(ctx) {
		in.reply = 1;
	}
	ASSERT_LE(0, ctx);
	EXPECT_FALSE(is_refused(ctx, LWC_MEMORY, LWC_COW, 0, FAR(50), FAR(60)));
	ASSERT_EQ(0, lwc_restrict(ctx, ALL_RIGHTS, first, ARRAY_SIZE(first)));
	EXPECT_FALSE(is_refused(ctx, LWC_MEMORY, LWC_COW, 0, FAR(0), FAR(4)));
	EXPECT_FALSE(is_refused(ctx, LWC_MEMORY, LWC_SHARE, 0, FAR(5), FAR(10)));
	EXPECT_FALSE(is_refused(ctx, LWC_MEMORY, LWC_READ, 0, FAR(9), FAR(10)));
	EXPECT_TRUE(is_refused(ctx, LWC_MEMORY, LWC_COW, 0, FAR(3), FAR(6)));
	EXPECT_TRUE(is_refused(ctx, LWC_MEMORY, LWC_COW, 0, FAR(4), FAR(5)));
	EXPECT_TRUE(is_refused(ctx, LWC_MEMORY, LWC_COW, 0, FAR(9), FAR(11)));
	EXPECT_TRUE(is_refused(ctx, LWC_MEMORY, LWC_COW, 0, FAR(-1), FAR(1)));
	EXPECT_TRUE(is_refused(ctx, LWC_MEMORY, LWC_READ, 0, FAR(10), FAR(11)));
	EXPECT_TRUE(is_refused(ctx, LWC_MEMORY, LWC_READ, 0, 0, UINT64_MAX));
	EXPECT_FALSE(is_refused(ctx, LWC_MEMORY, LWC_READ, 0, FAR(20), FAR(30)));
	EXPECT_TRUE(is_refused(ctx, LWC_MEMORY, LWC_COW, 0, FAR(20), FAR(30)));
	EXPECT_TRUE(is_refused(ctx, LWC_MEMORY, LWC_SHARE, 0, FAR(20), FAR(21)));
	EXPECT_FALSE(is_refused(ctx, LWC_FILES, LWC_COW, 0, 700, 710));
	EXPECT_TRUE(is_refused(ctx, LWC_FILES, LWC_COW, LWC_INHERIT, 700, 710));
	EXPECT_TRUE(is_refused(ctx, LWC_FILES, LWC_COW, 0, 699, 701));
	EXPECT_TRUE(is_refused(ctx, LWC_FILES, LWC_COW, 0, 710, 711));

	ASSERT_EQ(0, lwc_restrict(ctx, ALL_RIGHTS, second, ARRAY_SIZE(second)));
	EXPECT_TRUE(is_refused(ctx, LWC_MEMORY, LWC_COW, 0, FAR(1), FAR(2)));
	EXPECT_FALSE(is_refused(ctx, LWC_MEMORY, LWC_SHARE, 0, FAR(2), FAR(4)));
	EXPECT_TRUE(is_refused(ctx, LWC_MEMORY, LWC_SHARE, 0, FAR(4), FAR(5)));
	EXPECT_TRUE(is_refused(ctx, LWC_MEMORY, LWC_COW, 0, FAR(12), FAR(13)));
	EXPECT_FALSE(is_refused(ctx, LWC_MEMORY, LWC_READ, 0, FAR(20), FAR(25)));
	EXPECT_TRUE(is_refused(ctx, LWC_MEMORY, LWC_COW, 0, FAR(20), FAR(25)));
	EXPECT_TRUE(is_refused(ctx, LWC_MEMORY, LWC_READ, 0, FAR(24), FAR(26)));
	EXPECT_FALSE(is_refused(ctx, LWC_FILES, LWC_COW, 0, 705, 710));
	EXPECT_TRUE(is_refused(ctx, LWC_FILES, LWC_COW, 0, 704, 706));
	EXPECT_TRUE(is_refused(ctx, LWC_FILES, LWC_COW, 0, 710, 711));
	EXPECT_TRUE(is_refused(ctx, LWC_FILES, LWC_COW, LWC_INHERIT, 705, 706));
	/* One line that is not in, and nothing is. */
	EXPECT_ERR(lwc_overlay, EPERM, lwc_overlay(ctx, both, 2));

	ASSERT_EQ(0, lwc_restrict(ctx, ALL_RIGHTS, all, ARRAY_SIZE(all)));
	EXPECT_TRUE(is_refused(ctx, LWC_MEMORY, LWC_COW, 0, FAR(1), FAR(2)));
	EXPECT_FALSE(is_refused(ctx, LWC_MEMORY, LWC_SHARE, 0, FAR(2), FAR(4)));
	/* Without a list the ranges stay. */
	ASSERT_EQ(0, lwc_restrict(ctx, LWC_MAY_SWITCH | LWC_MAY_OVERLAY, NULL, 0));
	EXPECT_TRUE(is_refused(ctx, LWC_MEMORY, LWC_COW, 0, FAR(1), FAR(2)));
	EXPECT_FALSE(is_refused(ctx, LWC_MEMORY, LWC_SHARE, 0, FAR(2), FAR(4)));
	EXPECT_ERR(lwc_restrict, EPERM, lwc_restrict(ctx, ALL_RIGHTS, all, 1));
	EXPECT_EQ(1, CALL(ctx, 0));
}

/* What the list does not name of a type is gone, and so is a type that it does not name. */
LWC_TEST(restrict_to_one_type)
{
	static const struct lwc_spec files[] = { FILES(COW, LWC_INHERIT, 0, UINT64_MAX) };
	static const struct lwc_spec memory[] = { MEMORY(SHARE, 0, UINT64_MAX) };
	int ctx, copy;

	CONTEXT(ctx) {
	}
	ASSERT_LE(0, ctx);
	copy = dup(ctx);
	ASSERT_EQ(0, lwc_restrict(ctx, ALL_RIGHTS, files, 1));
	EXPECT_TRUE(is_refused(copy, LWC_MEMORY, LWC_READ, 0, FAR(0), FAR(1)));
	EXPECT_FALSE(is_refused(copy, LWC_FILES, LWC_COW, LWC_INHERIT, 700, 701));
	ASSERT_EQ(0, lwc_restrict(copy, ALL_RIGHTS, memory, 1));
	EXPECT_TRUE(is_refused(ctx, LWC_MEMORY, LWC_READ, 0, FAR(0), FAR(1)));
	EXPECT_TRUE(is_refused(ctx, LWC_FILES, LWC_COW, 0, 700, 701));
}

/* What its creator has granted a context may overlay through its caller, and no more. */
LWC_TEST(granted)
{
	const struct lwc_spec specs[] = {
		{ LWC_MEMORY, LWC_UNMAP, LWC_GRANT, FAR(0), FAR(10) },
		{ LWC_MEMORY, LWC_READ, LWC_GRANT, FAR(10), FAR(12) },
		{ LWC_MEMORY, LWC_COW, 0, FAR(4), FAR(5) },
		{ LWC_FILES, LWC_COW, LWC_GRANT, 700, 710 },
	};
	unsigned int keep, kept;
	struct lwc_event ev;
	int ctx;

	for (keep = 0; keep < 2; keep++) {
		CONTEXT_WITH(ctx, specs, ARRAY_SIZE(specs), keep ? LWC_KEEP : 0) {
			int c = in.ev.caller;

			EXPECT_FALSE(is_refused(c, LWC_MEMORY, LWC_COW, 0, FAR(0), FAR(4)));
			EXPECT_FALSE(is_refused(c, LWC_MEMORY, LWC_SHARE, 0, FAR(5), FAR(10)));
			EXPECT_FALSE(is_refused(c, LWC_MEMORY, LWC_READ, 0, FAR(5), FAR(12)));
			EXPECT_TRUE(is_refused(c, LWC_MEMORY, LWC_COW, 0, FAR(10), FAR(12)));
			EXPECT_TRUE(is_refused(c, LWC_MEMORY, LWC_READ, 0, FAR(4), FAR(5)));
			EXPECT_TRUE(is_refused(c, LWC_MEMORY, LWC_READ, 0, FAR(12), FAR(13)));
			EXPECT_FALSE(is_refused(c, LWC_FILES, LWC_COW, 0, 700, 710));
			EXPECT_TRUE(is_refused(c, LWC_FILES, LWC_COW, 0, 3, 4));
			EXPECT_TRUE(is_refused(c, LWC_FILES, LWC_COW, LWC_INHERIT, 700, 701));
			/* It is no right to more. */
			EXPECT_ERR(lwc_restrict, EPERM, lwc_restrict(c, ALL_RIGHTS, NULL, 0));
			EXPECT_ERR(lwc_renew, EPERM, lwc_renew(c, 0, &ev));
			in.reply = 1;
		}
		ASSERT_LE(0, ctx);
		EXPECT_EQ(1, CALL(ctx, 0));
		for (kept = 0; keep && kept < 3; kept++) {
			ASSERT_EQ(0, lwc_switch(ctx, LWC_FRESH, 0, &ev));
			EXPECT_EQ(1, ev.arg);
		}
		EXPECT_EQ(0, lwc_close(ctx));
	}
}

/* To the context that it was made for: not to one made inside, nor to one made beside. */
LWC_TEST(granted_to_nobody_else)
{
	const struct lwc_spec spec = { LWC_MEMORY, LWC_COW, LWC_GRANT, 0, UINT64_MAX };
	int ctx, beside, pair[2];

	ASSERT_EQ(0, socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
	CONTEXT_WITH(ctx, &spec, 1, 0) {
		int inner;

		/* The caller is the creator, or with 7 another. */
		EXPECT_EQ(in.ev.arg == 7,
			  is_refused(in.ev.caller, LWC_MEMORY, LWC_COW, 0, FAR(0), FAR(1)));
		CONTEXT(inner) {
			EXPECT_TRUE(is_refused(in.ev.caller, LWC_MEMORY, LWC_COW, 0, FAR(0),
					       FAR(1)));
			in.reply = 1;
		}
		ASSERT_LE(0, inner);
		EXPECT_EQ(1, CALL(inner, 0));
		lwc_close(inner);
		in.reply = 1;
	}
	ASSERT_LE(0, ctx);
	EXPECT_EQ(1, CALL(ctx, 0));
	CONTEXT(beside) {
		int other = take_descriptor(pair[1]);

		EXPECT_TRUE(is_refused(in.ev.caller, LWC_MEMORY, LWC_COW, 0, FAR(0), FAR(1)));
		ASSERT_LE(0, other);
		in.reply = CALL(other, 7);
		lwc_close(other);
	}
	ASSERT_LE(0, beside);
	ASSERT_EQ(0, send_descriptor(pair[0], ctx));
	EXPECT_EQ(1, CALL(beside, 0));
	EXPECT_EQ(1, CALL(ctx, 0));
}

LWC_TEST(close_ends_it)
{
	long before;
	int ctx, copy;

	CONTEXT(ctx) {
	}
	ASSERT_LE(0, ctx);
	CALL(ctx, 0);
	before = counter("contexts");
	copy = dup(ctx);
	EXPECT_EQ(0, lwc_close(ctx));
	msleep(20);
	EXPECT_EQ(before, counter("contexts"));
	CALL(copy, 0);
	EXPECT_EQ(0, close(copy));
	EXPECT_EQ(before - 1, contexts_settle(before - 1));
}

/* By whatever way a descriptor goes. */
LWC_TEST(closed_otherwise)
{
	struct lwc_event ev;
	long before;
	int ctx[3], i;

	for (i = 0; i < 3; i++) {
		CONTEXT(ctx[i]) {
		}
		ASSERT_LE(0, ctx[i]);
	}
	before = counter("contexts");
	ASSERT_EQ(ctx[0], dup2(2, ctx[0]));
	EXPECT_EQ(before - 1, contexts_settle(before - 1));
	ASSERT_EQ(0, syscall(SYS_close_range, ctx[1], ctx[1], 0));
	EXPECT_EQ(before - 2, contexts_settle(before - 2));
	EXPECT_ERR(lwc_switch, EBADF, lwc_switch(ctx[0], 0, 0, &ev));
	EXPECT_ERR(lwc_switch, EBADF, lwc_switch(ctx[1], 0, 0, &ev));
	CALL(ctx[2], 0);
}

LWC_TEST(close_bad_arguments)
{
	int ctx, dev = open("/dev/null", O_RDONLY);

	EXPECT_ERR(lwc_close, EBADF, lwc_close(-1));
	EXPECT_ERR(lwc_close, EBADF, lwc_close(900));
	EXPECT_ERR(lwc_close, EBADF, lwc_close(dev));
	EXPECT_TRUE(is_open(dev));
	EXPECT_ERR(lwc_close, EBADF, lwc_close(2));
	EXPECT_TRUE(is_open(2));
	CONTEXT(ctx) {
	}
	ASSERT_LE(0, ctx);
	EXPECT_EQ(0, lwc_close(ctx));
	EXPECT_ERR(lwc_close, EBADF, lwc_close(ctx));
}

/* Closed while a thread that was started inside is still there: it goes with that thread. */
static void *wait_inside(void *arg)
{
	(void)arg;
	shm[1] = 1;
	while (shm[1] == 1)
		msleep(1);
	/* Still in one piece. */
	shm[2] = getpid();
	shm[1] = 3;
	return NULL;
}

LWC_TEST(closed_with_a_thread_inside)
{
	long before;
	int ctx;

	CONTEXT(ctx) {
		pthread_t t;

		ASSERT_EQ(0, pthread_create(&t, NULL, wait_inside, NULL));
		pthread_detach(t);
		while (shm[1] != 1)
			msleep(1);
	}
	ASSERT_LE(0, ctx);
	CALL(ctx, 0);
	before = counter("contexts");
	ASSERT_EQ(0, lwc_close(ctx));
	msleep(50);
	EXPECT_EQ(before, counter("contexts"));
	shm[1] = 2;
	while (shm[1] != 3)
		msleep(1);
	EXPECT_EQ(before - 1, contexts_settle(before - 1));
	EXPECT_EQ(getpid(), shm[2]);
}

/* Two that hold each other, and nobody else holds either: gone at exit at the latest. */
LWC_TEST(ring)
{
	long before = counter("contexts");
	int status;

	IN_CHILD(status) {
		int pair[2], i;

		ASSERT_EQ(0, socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
		for (i = 0; i < 5; i++)
			make_ring(_metadata, pair);
	}
	EXPECT_EQ(0, status);
	EXPECT_EQ(before, contexts_settle(before));
}

/* In flight in a socket that nobody reads any more. */
LWC_TEST(lost_in_a_socket)
{
	long before = counter("contexts");
	int status, pair[2];

	IN_CHILD(status) {
		int ctx;

		ASSERT_EQ(0, socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
		CONTEXT(ctx) {
		}
		ASSERT_LE(0, ctx);
		CALL(ctx, 0);
		ASSERT_EQ(0, send_descriptor(pair[0], ctx));
		/* The socket's own end travels in itself. */
		ASSERT_EQ(0, send_descriptor(pair[0], pair[1]));
		ASSERT_EQ(0, send_descriptor(pair[1], pair[0]));
		lwc_close(ctx);
	}
	EXPECT_EQ(0, status);
	EXPECT_EQ(before, contexts_settle(before));
	/* The kernel looks for such sockets when another is closed. */
	ASSERT_EQ(0, socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
	close(pair[0]);
	close(pair[1]);
}

/* Calls that are not finished check what they are given all the same. */
LWC_TEST(unfinished_calls)
{
	struct lwc_spec spec = { LWC_MEMORY, LWC_COW, 0, 0, UINT64_MAX };
	struct lwc_spec bad = { LWC_MEMORY, LWC_COW, 0, 4096, 4096 };
	uint64_t args[6] = { 0 };
	int ctx;

	CONTEXT(ctx) {
		in.reply = 1;
	}
	ASSERT_LE(0, ctx);
	EXPECT_ERR(lwc_overlay, EBADF, lwc_overlay(-1, &spec, 1));
	EXPECT_ERR(lwc_overlay, EBADF, lwc_overlay(0, &spec, 1));
	EXPECT_ERR(lwc_overlay, EFAULT, lwc_overlay(ctx, NULL, 1));
	EXPECT_ERR(lwc_overlay, EFAULT, lwc_overlay(ctx, KERNEL_POINTER, 1));
	EXPECT_ERR(lwc_overlay, E2BIG, lwc_overlay(ctx, &spec, LWC_MAX_SPECS + 1));
	EXPECT_ERR(lwc_overlay, EINVAL, lwc_overlay(ctx, &bad, 1));
	EXPECT_ERR(lwc_syscall, EBADF, lwc_syscall(-1, 0, SYS_getpid, args));
	EXPECT_ERR(lwc_syscall, EBADF, lwc_syscall(0, 0, SYS_getpid, args));
	EXPECT_ERR(lwc_syscall, EFAULT, lwc_syscall(ctx, LWC_USE_FILES, SYS_getpid, NULL));
	EXPECT_ERR(lwc_syscall, EINVAL, lwc_syscall(ctx, 8, SYS_getpid, args));
	EXPECT_ERR(lwc_syscall, EOPNOTSUPP, lwc_syscall(ctx, LWC_USE_FILES, SYS_getpid, args));
	EXPECT_EQ(1, CALL(ctx, 0));
}

TEST_HARNESS_MAIN
