// SPDX-License-Identifier: GPL-2.0
/*
 * Calls that are not finished ask for rights, and whose a context is, all the same:
 * what is refused now must not look different when they are.
 */
#include "test.h"

LWC_TEST(rights_are_asked_for)
{
	struct lwc_spec spec = { LWC_MEMORY, LWC_COW, 0, 0, UINT64_MAX };
	uint64_t args[6] = { 0 };
	int ctx;

	CONTEXT(ctx) {
		in.reply = 1;
	}
	ASSERT_LE(0, ctx);
	ASSERT_EQ(0, lwc_restrict(ctx, LWC_MAY_SWITCH, NULL, 0));
	EXPECT_ERR(lwc_overlay, EPERM, lwc_overlay(ctx, &spec, 1));
	EXPECT_ERR(lwc_syscall, EPERM, lwc_syscall(ctx, LWC_USE_FILES, SYS_getpid, args));
	EXPECT_EQ(1, CALL(ctx, 0));
}

LWC_TEST(of_another_process)
{
	struct lwc_spec spec = { LWC_MEMORY, LWC_COW, 0, 0, UINT64_MAX };
	uint64_t args[6] = { 0 };
	int ctx, status;

	CONTEXT(ctx) {
		in.reply = 1;
	}
	ASSERT_LE(0, ctx);
	IN_CHILD(status) {
		EXPECT_ERR(lwc_overlay, ESRCH, lwc_overlay(ctx, &spec, 1));
		EXPECT_ERR(lwc_syscall, ESRCH, lwc_syscall(ctx, LWC_USE_FILES, SYS_getpid, args));
	}
	EXPECT_EQ(0, status);
}

TEST_HARNESS_MAIN
