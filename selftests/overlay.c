// SPDX-License-Identifier: GPL-2.0
/*
 * lwc_overlay: descriptors of another context come here under their own numbers. What
 * is not asked for, or there is no right to, must stay what it is, here and there.
 */
#include "test.h"

#define FILES(f, a, b) \
	{ .type = LWC_FILES, .mode = LWC_COW, .flags = (f), .from = (a), .to = (b) }

static uint64_t inode_of(int fd)
{
	struct stat st;

	return fstat(fd, &st) ? 0 : st.st_ino;
}

/* A file of which there is one. */
static int new_file(int fd)
{
	int made = memfd_create("overlay", MFD_CLOEXEC);

	if (made < 0 || dup2(made, fd) != fd)
		abort();
	close(made);
	return fd;
}

/*
 * A context in which 700 to 704 are open, each a file of its own, whose inodes are in
 * shm[10] to shm[14]; 702 is close-on-exec, and the offset of 703 is 5.
 */
static int context_with_files(struct __test_metadata *_metadata)
{
	int ctx;

	CONTEXT(ctx) {
		int i;

		for (i = 0; i < 5 && !in.ev.arg; i++) {
			new_file(700 + i);
			shm[10 + i] = inode_of(700 + i);
		}
		if (!in.ev.arg) {
			fcntl(702, F_SETFD, FD_CLOEXEC);
			lseek(703, 5, SEEK_SET);
		}
		for (i = 0; i < 5; i++)
			in.reply |= (shm[10 + i] == (long)inode_of(700 + i)) << i;
	}
	EXPECT_EQ(0x1f, CALL(ctx, 0));
	return ctx;
}

LWC_TEST(files)
{
	static const struct lwc_spec spec = FILES(0, 701, 704);
	int ctx = context_with_files(_metadata), seen;

	new_file(701);
	new_file(704);
	seen = open_descriptors();
	ASSERT_EQ(0, lwc_overlay(ctx, &spec, 1));
	EXPECT_FALSE(is_open(700));
	EXPECT_EQ((uint64_t)shm[11], inode_of(701));
	EXPECT_EQ((uint64_t)shm[12], inode_of(702));
	EXPECT_EQ((uint64_t)shm[13], inode_of(703));
	EXPECT_NE((uint64_t)shm[14], inode_of(704));
	EXPECT_EQ(0, fcntl(701, F_GETFD));
	EXPECT_EQ(FD_CLOEXEC, fcntl(702, F_GETFD));
	/* The same open file: its offset is that of the other. */
	EXPECT_EQ(5, lseek(703, 0, SEEK_CUR));
	EXPECT_EQ(seen + 2, open_descriptors());
	/* There it is what it was. */
	EXPECT_EQ(0x1f, CALL(ctx, 1));
	/* Again is no change, and closing here none there. */
	ASSERT_EQ(0, lwc_overlay(ctx, &spec, 1));
	EXPECT_EQ(seen + 2, open_descriptors());
	close(702);
	EXPECT_EQ(0x1f, CALL(ctx, 1));
	ASSERT_EQ(0, lwc_close(ctx));
	EXPECT_EQ((uint64_t)shm[11], inode_of(701));
}

/* Numbers that are not open there stay what they are here; lines hold in order. */
LWC_TEST(files_in_ranges)
{
	static const struct lwc_spec specs[] = {
		FILES(0, 600, 702), FILES(0, 703, 10000), FILES(LWC_INHERIT, 703, 704),
	};
	int ctx = context_with_files(_metadata);
	uint64_t mine[2];

	mine[0] = inode_of(new_file(650));
	mine[1] = inode_of(new_file(710));
	ASSERT_EQ(0, lwc_overlay(ctx, specs, ARRAY_SIZE(specs)));
	EXPECT_EQ(mine[0], inode_of(650));
	EXPECT_EQ(mine[1], inode_of(710));
	EXPECT_EQ((uint64_t)shm[10], inode_of(700));
	EXPECT_EQ((uint64_t)shm[11], inode_of(701));
	EXPECT_FALSE(is_open(702));
	EXPECT_EQ((uint64_t)shm[13], inode_of(703));
	EXPECT_EQ((uint64_t)shm[14], inode_of(704));
}

/* More than the table here has room for. */
LWC_TEST(files_of_a_larger_table)
{
	static const struct lwc_spec spec = FILES(0, 3000, 3001);
	struct rlimit limit = { .rlim_cur = 4096, .rlim_max = 4096 };
	int ctx, high;

	if (setrlimit(RLIMIT_NOFILE, &limit))
		SKIP(return, "needs 4096 descriptors");
	CONTEXT(ctx) {
		shm[10] = inode_of(new_file(3000));
		/* This one is not to be seen, not even for a moment. */
		new_file(4000);
	}
	ASSERT_LE(0, ctx);
	CALL(ctx, 0);
	ASSERT_EQ(0, lwc_overlay(ctx, &spec, 1));
	EXPECT_EQ((uint64_t)shm[10], inode_of(3000));
	high = dup(3000);
	EXPECT_GT(3000, high);
	close(high);
	EXPECT_FALSE(is_open(4000));
	EXPECT_FALSE(is_open(3001));
}

LWC_TEST(files_beyond_the_limit)
{
	static const struct lwc_spec spec = FILES(0, 700, 3001);
	struct rlimit limit = { .rlim_cur = 4096, .rlim_max = 4096 };
	int ctx, seen;

	if (setrlimit(RLIMIT_NOFILE, &limit))
		SKIP(return, "needs 4096 descriptors");
	CONTEXT(ctx) {
		new_file(700);
		new_file(3000);
	}
	ASSERT_LE(0, ctx);
	CALL(ctx, 0);
	limit.rlim_cur = 1024;
	ASSERT_EQ(0, setrlimit(RLIMIT_NOFILE, &limit));
	seen = open_descriptors();
	EXPECT_ERR(lwc_overlay, EMFILE, lwc_overlay(ctx, &spec, 1));
	EXPECT_EQ(seen, open_descriptors());
	EXPECT_FALSE(is_open(700));
}

/* Descriptors of contexts come along where the line says so, with the rights they have. */
LWC_TEST(descriptors_of_contexts)
{
	static const struct lwc_spec plain = FILES(0, 700, 710);
	static const struct lwc_spec inherit = FILES(LWC_INHERIT, 700, 710);
	int ctx, other, pair[2];
	struct lwc_event ev;
	long before;

	ASSERT_EQ(0, socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
	CONTEXT(other) {
		in.reply = 6;
	}
	ASSERT_LE(0, other);
	before = counter("contexts");
	CONTEXT(ctx) {
		int fd = take_descriptor(pair[1]), snap;

		dup2(fd, 700);
		close(fd);
		new_file(701);
		if (!lwc_snapshot(-1, 0, &ev) && ev.reason == LWC_EV_CREATED) {
			snap = ev.created;
			dup2(snap, 702);
		}
	}
	ASSERT_LE(0, ctx);
	ASSERT_EQ(0, lwc_restrict(other, LWC_MAY_SWITCH, NULL, 0));
	ASSERT_EQ(0, send_descriptor(pair[0], other));
	CALL(ctx, 0);
	ASSERT_EQ(0, lwc_close(other));
	ASSERT_EQ(0, lwc_overlay(ctx, &plain, 1));
	EXPECT_FALSE(is_open(700));
	EXPECT_TRUE(is_open(701));
	ASSERT_EQ(0, lwc_overlay(ctx, &inherit, 1));
	EXPECT_EQ(6, CALL(700, 0));
	EXPECT_ERR(lwc_renew, EPERM, lwc_renew(700, 0, &ev));
	/* A snapshot is of use nowhere else. */
	EXPECT_FALSE(is_open(702));
	/* It keeps the other alive here, when who had it is gone. */
	ASSERT_EQ(0, lwc_close(ctx));
	EXPECT_EQ(before, contexts_settle(before));
	EXPECT_EQ(6, CALL(700, 0));
	ASSERT_EQ(0, lwc_close(700));
	EXPECT_EQ(before - 1, contexts_settle(before - 1));
}

/* The descriptor that the call is made on may be replaced by it. */
LWC_TEST(its_own_descriptor)
{
	static const struct lwc_spec spec = FILES(LWC_INHERIT, 700, 705);
	int ctx = context_with_files(_metadata);
	long before = counter("contexts");

	ASSERT_EQ(700, dup2(ctx, 700));
	ASSERT_EQ(0, lwc_close(ctx));
	ASSERT_EQ(0, lwc_overlay(700, &spec, 1));
	EXPECT_EQ((uint64_t)shm[10], inode_of(700));
	EXPECT_EQ((uint64_t)shm[14], inode_of(704));
	EXPECT_EQ(before - 1, contexts_settle(before - 1));
}

/* What a snapshot has recorded comes back. */
LWC_TEST(rolled_back)
{
	static const struct lwc_spec spec = FILES(0, 700, 705);
	int ctx = context_with_files(_metadata), snap;
	uint64_t mine = inode_of(new_file(702));

	switch (SNAPSHOT(snap)) {
	case 0:
	case 1:
		ASSERT_EQ(0, lwc_overlay(ctx, &spec, 1));
		EXPECT_EQ((uint64_t)shm[12], inode_of(702));
		EXPECT_EQ((uint64_t)shm[10], inode_of(700));
		ROLLBACK(snap, 0);
	}
	EXPECT_EQ(mine, inode_of(702));
	EXPECT_FALSE(is_open(700));
	EXPECT_FALSE(is_open(704));
	EXPECT_EQ(0x1f, CALL(ctx, 1));
	EXPECT_EQ(0, lwc_close(snap));
}

/* Through its caller a context gets what its creator has now, of what was granted. */
LWC_TEST(granted)
{
	static const struct lwc_spec specs[] = {
		{ LWC_FILES, LWC_UNMAP, LWC_GRANT, 700, 702 },
	};
	int ctx;

	CONTEXT_WITH(ctx, specs, 1, 0) {
		struct lwc_spec two = FILES(0, 700, 702), three = FILES(0, 700, 703);

		EXPECT_ERR(lwc_overlay, EPERM, lwc_overlay(in.ev.caller, &three, 1));
		EXPECT_FALSE(is_open(700));
		EXPECT_EQ(0, lwc_overlay(in.ev.caller, &two, 1));
		EXPECT_EQ((uint64_t)shm[10], inode_of(700));
		EXPECT_EQ((uint64_t)shm[11], inode_of(701));
		EXPECT_FALSE(is_open(702));
		in.reply = 1;
	}
	ASSERT_LE(0, ctx);
	shm[10] = inode_of(new_file(700));
	shm[11] = inode_of(new_file(701));
	new_file(702);
	EXPECT_EQ(1, CALL(ctx, 0));
}

/* Of a descriptor that may do it for some numbers only. */
LWC_TEST(restricted)
{
	static const struct lwc_spec some = FILES(0, 701, 703), more = FILES(0, 701, 704);
	int ctx = context_with_files(_metadata);

	ASSERT_EQ(0, lwc_restrict(ctx, ALL_RIGHTS, &some, 1));
	EXPECT_ERR(lwc_overlay, EPERM, lwc_overlay(ctx, &more, 1));
	EXPECT_FALSE(is_open(701));
	EXPECT_EQ(0, lwc_overlay(ctx, &some, 1));
	EXPECT_EQ((uint64_t)shm[11], inode_of(701));
	EXPECT_FALSE(is_open(703));
	ASSERT_EQ(0, lwc_restrict(ctx, ALL_RIGHTS & ~LWC_MAY_OVERLAY, NULL, 0));
	EXPECT_ERR(lwc_overlay, EPERM, lwc_overlay(ctx, &some, 1));
	EXPECT_ERR(lwc_overlay, EPERM, lwc_overlay(ctx, NULL, 0));
}

/* Of itself, and of nothing: no change. */
LWC_TEST(no_change)
{
	static const struct lwc_spec all = FILES(LWC_INHERIT, 0, UINT64_MAX);
	int ctx, me = lwc_self(), seen;

	CONTEXT(ctx) {
	}
	ASSERT_LE(0, ctx);
	ASSERT_LE(0, me);
	seen = open_descriptors();
	EXPECT_EQ(0, lwc_overlay(me, &all, 1));
	EXPECT_EQ(0, lwc_overlay(ctx, NULL, 0));
	EXPECT_EQ(seen, open_descriptors());
}

static void *open_and_close(void *arg)
{
	struct __test_metadata *_metadata = arg;

	/* Whatever the other thread does meanwhile, what is opened here is what is read. */
	while (!shm[0]) {
		int fd = dup2(2, 720), low = dup(2);

		EXPECT_EQ(inode_of(2), inode_of(fd));
		EXPECT_EQ(inode_of(2), inode_of(low));
		close(low);
		close(fd);
		EXPECT_FALSE(is_open(704));
	}
	return NULL;
}

/* While another thread uses the table here. */
LWC_TEST(beside_a_thread)
{
	static const struct lwc_spec spec = FILES(0, 700, 704);
	int ctx = context_with_files(_metadata);
	long rounds = scaled(2000), i, j;
	pthread_t t;

	ASSERT_EQ(0, pthread_create(&t, NULL, open_and_close, _metadata));
	for (i = 0; i < rounds; i++) {
		ASSERT_EQ(0, lwc_overlay(ctx, &spec, 1));
		for (j = 0; j < 4; j++) {
			EXPECT_EQ((uint64_t)shm[10 + j], inode_of(700 + j));
			close(700 + j);
		}
	}
	shm[0] = 1;
	pthread_join(t, NULL);
	EXPECT_EQ(0x1f, CALL(ctx, 1));
}

LWC_TEST(bad_arguments)
{
	static const struct {
		const char *why;
		struct lwc_spec spec;
	} bad[] = {
		{ "memory unmapped", { LWC_MEMORY, LWC_UNMAP, 0, PAGE, 2 * PAGE } },
		{ "memory not aligned", { LWC_MEMORY, LWC_COW, 0, PAGE, PAGE + 1 } },
		{ "memory granted", { LWC_MEMORY, LWC_COW, LWC_GRANT, PAGE, 2 * PAGE } },
		{ "files unmapped", { LWC_FILES, LWC_UNMAP, 0, 3, 4 } },
		{ "files read", { LWC_FILES, LWC_READ, 0, 3, 4 } },
		{ "files granted", { LWC_FILES, LWC_COW, LWC_GRANT, 3, 4 } },
		{ "files shared in part", { LWC_FILES, LWC_SHARE, 0, 3, 4 } },
		{ "files from = to", { LWC_FILES, LWC_COW, 0, 4, 4 } },
		{ "credentials unmapped", { LWC_CREDS, LWC_UNMAP, 0, 0, UINT64_MAX } },
		{ "calls", { LWC_SYSCALLS, LWC_SHARE, 0, 1, 2 } },
		{ "calls unmapped", { LWC_SYSCALLS, LWC_UNMAP, 0, 1, 2 } },
		{ "type 5", { 5, LWC_COW, 0, 0, UINT64_MAX } },
		{ "flag 4", { LWC_FILES, LWC_COW, 4, 0, UINT64_MAX } },
	};
	static const struct lwc_spec later[] = {
		{ LWC_CREDS, LWC_COW, 0, 0, UINT64_MAX },
		{ LWC_FILES, LWC_SHARE, 0, 0, UINT64_MAX },
	};
	int ctx = context_with_files(_metadata);
	struct lwc_event ev;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(bad); i++) {
		struct lwc_spec both[2] = { FILES(0, 700, 701), bad[i].spec };

		EXPECT_ERR(lwc_overlay, EINVAL, lwc_overlay(ctx, both, 2)) {
			TH_LOG("spec: %s", bad[i].why);
		}
		EXPECT_FALSE(is_open(700));
	}
	for (i = 0; i < ARRAY_SIZE(later); i++) {
		struct lwc_spec both[2] = { FILES(0, 700, 701), later[i] };

		EXPECT_ERR(lwc_overlay, EOPNOTSUPP, lwc_overlay(ctx, both, 2));
		EXPECT_FALSE(is_open(700));
	}
	ASSERT_EQ(0, lwc_snapshot(-1, 0, &ev));
	EXPECT_ERR(lwc_overlay, EINVAL, lwc_overlay(ev.created, NULL, 0));
	lwc_close(ev.created);
}

TEST_HARNESS_MAIN
