// SPDX-License-Identifier: GPL-2.0
/*
 * The specs of lwc_create: descriptors that a context has and has not, in order,
 * the later winning; and each line that is no good, with its error. What a module
 * cannot do yet must be checked all the same, and then refused as such.
 */
#include "test.h"

#define FILES(m, a, b)	{ .type = LWC_FILES, .mode = LWC_##m, .from = (a), .to = (b) }

/* Bits of the descriptors 100 to 109 that are open. */
static unsigned int open_ones(void)
{
	unsigned int i, bits = 0;

	for (i = 0; i < 10; i++)
		bits |= is_open(100 + i) << i;
	return bits;
}

static void open_ten(struct __test_metadata *_metadata)
{
	int i;

	for (i = 0; i < 10; i++)
		ASSERT_EQ(100 + i, dup2(2, 100 + i));
}

static void expect_open(struct __test_metadata *_metadata, const struct lwc_spec *specs,
			unsigned int n, unsigned int bits)
{
	int ctx;

	CONTEXT_WITH(ctx, specs, n, 0) {
		in.reply = open_ones();
	}
	ASSERT_LE(0, ctx);
	EXPECT_EQ(bits, CALL(ctx, 0));
	/* Nothing is closed here. */
	EXPECT_EQ(0x3ff, open_ones());
	EXPECT_EQ(0, lwc_close(ctx));
}

LWC_TEST(files_unmap_a_range)
{
	static const struct lwc_spec specs[] = { FILES(UNMAP, 102, 105) };

	open_ten(_metadata);
	expect_open(_metadata, specs, 1, 0x3e3);
}

LWC_TEST(files_unmap_the_last)
{
	static const struct lwc_spec specs[] = { FILES(UNMAP, 109, 110) };

	open_ten(_metadata);
	expect_open(_metadata, specs, 1, 0x1ff);
}

LWC_TEST(files_unmap_all)
{
	static const struct lwc_spec specs[] = { FILES(UNMAP, 0, UINT64_MAX) };
	int ctx;

	open_ten(_metadata);
	CONTEXT_WITH(ctx, specs, 1, 0) {
		int fd;

		/* Nothing at all but the way back. */
		for (fd = 0; fd < 1024; fd++)
			in.reply += is_open(fd);
		in.reply += in.ev.caller * 10000;
	}
	ASSERT_LE(0, ctx);
	EXPECT_EQ(30001, CALL(ctx, 0));
	EXPECT_EQ(0x3ff, open_ones());
	/* It switches back all the same, and can be called again. */
	EXPECT_EQ(30001, CALL(ctx, 0));
}

LWC_TEST(files_later_wins)
{
	static const struct lwc_spec a[] = {
		FILES(UNMAP, 0, UINT64_MAX), FILES(COW, 105, 107),
	};
	static const struct lwc_spec b[] = {
		FILES(COW, 0, UINT64_MAX), FILES(UNMAP, 105, 107),
	};
	static const struct lwc_spec c[] = {
		FILES(UNMAP, 100, 110), FILES(COW, 102, 108), FILES(UNMAP, 104, 106),
		FILES(COW, 105, 106),
	};
	static const struct lwc_spec d[] = {
		FILES(COW, 105, 107), FILES(UNMAP, 0, UINT64_MAX),
	};

	open_ten(_metadata);
	expect_open(_metadata, a, ARRAY_SIZE(a), 0x060);
	expect_open(_metadata, b, ARRAY_SIZE(b), 0x39f);
	expect_open(_metadata, c, ARRAY_SIZE(c), 0x0ec);
	expect_open(_metadata, d, ARRAY_SIZE(d), 0);
}

/* Ranges may name descriptors that are not open. */
LWC_TEST(files_holes_are_ignored)
{
	static const struct lwc_spec specs[] = {
		FILES(UNMAP, 500, 600), FILES(COW, 2000, 3000), FILES(UNMAP, 109, 100000),
	};

	open_ten(_metadata);
	expect_open(_metadata, specs, ARRAY_SIZE(specs), 0x1ff);
}

LWC_TEST(files_many_specs)
{
	struct lwc_spec *specs = calloc(LWC_MAX_SPECS, sizeof(*specs));
	int i;

	ASSERT_NE(NULL, specs);
	for (i = 0; i < LWC_MAX_SPECS; i++)
		specs[i] = (struct lwc_spec){
			.type = LWC_FILES, .mode = i & 1 ? LWC_UNMAP : LWC_COW,
			.from = 100 + i % 10, .to = 101 + i % 10,
		};
	open_ten(_metadata);
	/* For each descriptor the last word has the parity of its number. */
	expect_open(_metadata, specs, LWC_MAX_SPECS, 0x155);
	free(specs);
}

/* A spec may leave a context without the device: it is opened again when needed. */
LWC_TEST(files_unmapped_device)
{
	static const struct lwc_spec specs[] = { FILES(UNMAP, 3, UINT32_MAX >> 1) };
	int ctx;

	if (access(DEVICE, R_OK | W_OK))
		SKIP(return, "needs the right to open " DEVICE);
	CONTEXT_WITH(ctx, specs, 1, 0) {
		int inner;

		CONTEXT(inner) {
			in.reply = 5;
		}
		ASSERT_LE(0, inner);
		in.reply = CALL(inner, 0);
		lwc_close(inner);
	}
	ASSERT_LE(0, ctx);
	EXPECT_EQ(5, CALL(ctx, 0));
}

LWC_TEST(no_specs)
{
	struct lwc_spec spec;

	open_ten(_metadata);
	expect_open(_metadata, NULL, 0, 0x3ff);
	expect_open(_metadata, &spec, 0, 0x3ff);
}

/* Each of these is wrong in one way. */
LWC_TEST(bad_specs)
{
	static const struct {
		const char *why;
		struct lwc_spec spec;
	} bad[] = {
		{ "type 0", { 0, LWC_COW, 0, 0, UINT64_MAX } },
		{ "type 5", { 5, LWC_COW, 0, 0, UINT64_MAX } },
		{ "type 65535", { 65535, LWC_COW, 0, 0, UINT64_MAX } },
		{ "mode 0", { LWC_FILES, 0, 0, 0, UINT64_MAX } },
		{ "mode 5", { LWC_FILES, 5, 0, 0, UINT64_MAX } },
		{ "mode 65535", { LWC_FILES, 65535, 0, 0, UINT64_MAX } },
		{ "flag 4", { LWC_FILES, LWC_COW, 4, 0, UINT64_MAX } },
		{ "flag 31", { LWC_FILES, LWC_COW, 1u << 31, 0, UINT64_MAX } },
		{ "from = to", { LWC_FILES, LWC_COW, 0, 5, 5 } },
		{ "from = to = 0", { LWC_FILES, LWC_UNMAP, 0, 0, 0 } },
		{ "from > to", { LWC_FILES, LWC_UNMAP, 0, 6, 5 } },
		{ "files past the end", { LWC_FILES, LWC_COW, 0, 0, 1ul << 40 } },
		{ "files not from 0 to the end", { LWC_FILES, LWC_COW, 0, 5, UINT64_MAX } },
		{ "files read", { LWC_FILES, LWC_READ, 0, 0, UINT64_MAX } },
		{ "files shared in part", { LWC_FILES, LWC_SHARE, 0, 3, 5 } },
		{ "memory from not aligned", { LWC_MEMORY, LWC_COW, 0, 100, 8192 } },
		{ "memory to not aligned", { LWC_MEMORY, LWC_UNMAP, 0, 4096, 8191 } },
		{ "memory past the end", { LWC_MEMORY, LWC_COW, 0, 0, 1ul << 63 } },
		{ "memory not from 0 to the end", { LWC_MEMORY, LWC_COW, 0, 4096, UINT64_MAX } },
		{ "memory from = to", { LWC_MEMORY, LWC_SHARE, 0, 4096, 4096 } },
		{ "memory mode 0", { LWC_MEMORY, 0, 0, 4096, 8192 } },
		{ "memory inherited", { LWC_MEMORY, LWC_COW, LWC_INHERIT, 4096, 8192 } },
		{ "credentials unmapped", { LWC_CREDS, LWC_UNMAP, 0, 0, UINT64_MAX } },
		{ "credentials read", { LWC_CREDS, LWC_READ, 0, 0, UINT64_MAX } },
		{ "credentials in part", { LWC_CREDS, LWC_COW, 0, 0, 5 } },
		{ "credentials inherited", { LWC_CREDS, LWC_COW, LWC_INHERIT, 0, UINT64_MAX } },
		{ "calls copied", { LWC_SYSCALLS, LWC_COW, 0, 0, UINT64_MAX } },
		{ "calls read", { LWC_SYSCALLS, LWC_READ, 0, 0, UINT64_MAX } },
		{ "calls from = to", { LWC_SYSCALLS, LWC_UNMAP, 0, 3, 3 } },
		{ "calls past the end", { LWC_SYSCALLS, LWC_UNMAP, 0, 0, 1ul << 40 } },
		{ "calls not from 0 to the end", { LWC_SYSCALLS, LWC_UNMAP, 0, 1, UINT64_MAX } },
	};
	int before = open_descriptors();
	struct lwc_event ev;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(bad); i++) {
		struct lwc_spec both[2] = { FILES(COW, 0, UINT64_MAX), bad[i].spec };

		EXPECT_ERR(lwc_create, EINVAL, lwc_create(&bad[i].spec, 1, 0, &ev)) {
			TH_LOG("spec: %s", bad[i].why);
		}
		/* Behind a good one too. */
		EXPECT_ERR(lwc_create, EINVAL, lwc_create(both, 2, 0, &ev)) {
			TH_LOG("second spec: %s", bad[i].why);
		}
	}
	EXPECT_LE(open_descriptors(), before + 1);
}

/* Good lines: either they work, or they are EOPNOTSUPP; never anything else. */
LWC_TEST(specs_known_but_unfinished)
{
	static const struct lwc_spec good[] = {
		{ LWC_MEMORY, LWC_COW, 0, 0, UINT64_MAX },
		{ LWC_MEMORY, LWC_SHARE, 0, 0x10000000, 0x10001000 },
		{ LWC_MEMORY, LWC_READ, 0, 0x10000000, 0x10001000 },
		{ LWC_MEMORY, LWC_UNMAP, 0, 0x10000000, 0x10001000 },
		{ LWC_FILES, LWC_SHARE, 0, 0, UINT64_MAX },
		{ LWC_CREDS, LWC_COW, 0, 0, UINT64_MAX },
		{ LWC_SYSCALLS, LWC_UNMAP, 0, 400, 410 },
		{ LWC_SYSCALLS, LWC_SHARE, 0, 400, 410 },
		{ LWC_FILES, LWC_COW, LWC_GRANT, 0, UINT64_MAX },
	};
	static const struct lwc_spec share_creds = { LWC_CREDS, LWC_SHARE, 0, 0, UINT64_MAX };
	struct lwc_event ev;
	unsigned int i;
	int ctx;

	for (i = 0; i < ARRAY_SIZE(good); i++) {
		struct lwc_spec bad[2] = { good[i], FILES(COW, 9, 9) };

		CONTEXT_WITH(ctx, &good[i], 1, 0) {
			in.reply = 1;
		}
		if (ctx < 0) {
			EXPECT_EQ(-EOPNOTSUPP, ctx) {
				TH_LOG("spec %u", i);
			}
		} else {
			EXPECT_EQ(1, CALL(ctx, 0));
			lwc_close(ctx);
		}
		/* What is wrong is wrong, finished or not. */
		EXPECT_ERR(lwc_create, EINVAL, lwc_create(bad, 2, 0, &ev)) {
			TH_LOG("spec %u and a bad one", i);
		}
	}
	EXPECT_ERR(lwc_create, EOPNOTSUPP, lwc_create(&share_creds, 1, 0, &ev));
}

static const struct lwc_spec *inheriting(struct lwc_spec *spec, int fd)
{
	*spec = (struct lwc_spec){
		.type = LWC_FILES, .mode = LWC_COW, .flags = LWC_INHERIT, .from = fd, .to = fd + 1,
	};
	return spec;
}

/* A descriptor of a context goes along where it is named, with what it may do. */
LWC_TEST(inherited_descriptor)
{
	struct lwc_spec spec;
	struct lwc_event ev;
	int named, other, ctx, round;
	long before = counter("contexts");

	CONTEXT(named) {
		in.reply = 5;
	}
	ASSERT_LE(0, named);
	ASSERT_EQ(300, dup2(named, 300));
	CONTEXT(other) {
		in.reply = 6;
	}
	ASSERT_LE(0, other);
	ASSERT_EQ(301, dup2(other, 301));
	ASSERT_EQ(0, lwc_restrict(300, LWC_MAY_SWITCH, NULL, 0));
	CONTEXT_WITH(ctx, inheriting(&spec, 300), 1, 0) {
		EXPECT_FALSE(is_open(301));
		EXPECT_ERR(lwc_keep, EPERM, lwc_keep(300));
		EXPECT_ERR(lwc_restrict, EPERM, lwc_restrict(300, 0, NULL, 0));
		in.reply = CALL(300, 0);
	}
	ASSERT_LE(0, ctx);
	EXPECT_EQ(5, CALL(ctx, 0));
	/* It keeps the context alive there, and a renew brings what there is here. */
	ASSERT_EQ(0, lwc_close(named));
	ASSERT_EQ(0, lwc_close(300));
	EXPECT_EQ(5, CALL(ctx, 0));
	ASSERT_EQ(300, dup2(other, 300));
	for (round = 0; round < 3; round++) {
		ASSERT_EQ(0, lwc_renew(ctx, 0, &ev));
		if (ev.reason == LWC_EV_SWITCH) {
			inside_context = true;
			for (;;) {
				long reply = CALL(300, 0);

				close(300);
				lwc_switch(ev.caller, 0, reply, &ev);
			}
		}
		EXPECT_EQ(6, CALL(ctx, 0));
	}
	EXPECT_EQ(before + 2, contexts_settle(before + 2));
	ASSERT_EQ(0, lwc_close(ctx));
	EXPECT_EQ(before + 1, contexts_settle(before + 1));
}

/* Snapshots are of no use there; and the last word on a number counts. */
LWC_TEST(inherited_or_not)
{
	struct lwc_spec all = { LWC_FILES, LWC_COW, LWC_INHERIT, 0, UINT64_MAX };
	struct lwc_spec later[2] = { all, FILES(COW, 300, 301) };
	struct lwc_spec unmapped[2] = { all, FILES(UNMAP, 300, 301) };
	long before = counter("contexts");
	struct lwc_event ev;
	int named, ctx, snap;

	CONTEXT(named) {
	}
	ASSERT_LE(0, named);
	ASSERT_EQ(300, dup2(named, 300));
	ASSERT_EQ(301, dup2(named, 301));
	ASSERT_EQ(0, lwc_snapshot(-1, 0, &ev));
	snap = ev.created;
	ASSERT_EQ(302, dup2(snap, 302));
	CONTEXT_WITH(ctx, &all, 1, 0) {
		in.reply = is_open(300) + 2 * is_open(301) + 4 * is_open(302);
	}
	ASSERT_LE(0, ctx);
	EXPECT_EQ(3, CALL(ctx, 0));
	/* Nor did it get a descriptor of itself, which would keep it alive. */
	lwc_close(ctx);
	EXPECT_EQ(before + 2, contexts_settle(before + 2));
	CONTEXT_WITH(ctx, later, 2, 0) {
		in.reply = is_open(300) + 2 * is_open(301);
	}
	ASSERT_LE(0, ctx);
	EXPECT_EQ(2, CALL(ctx, 0));
	lwc_close(ctx);
	CONTEXT_WITH(ctx, unmapped, 2, 0) {
		in.reply = is_open(300) + 2 * is_open(301);
	}
	ASSERT_LE(0, ctx);
	EXPECT_EQ(2, CALL(ctx, 0));
	lwc_close(ctx);
	EXPECT_EQ(0, lwc_close(snap));
}

TEST_HARNESS_MAIN
