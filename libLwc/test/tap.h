/* SPDX-License-Identifier: MIT */
/*
 * tap.h - just enough of the Test Anything Protocol for the library's own tests.
 *
 * These tests run on any machine, without the module; whatever needs contexts
 * belongs into selftests/ and must never be tested here against a stand-in.
 */
#ifndef _LWC_TEST_TAP_H
#define _LWC_TEST_TAP_H

#include <stdio.h>

static int tap_tests, tap_failures, tap_bad;

/* Within a test: remembers and reports a failure, and goes on. */
#define CHECK(x)									\
	do {										\
		if (!(x)) {								\
			printf("# %s:%d: %s\n", __FILE__, __LINE__, #x);		\
			tap_bad = 1;							\
		}									\
	} while (0)

#define RUN(test)									\
	do {										\
		tap_bad = 0;								\
		test();									\
		tap_failures += tap_bad;						\
		printf("%sok %d %s\n", tap_bad ? "not " : "", ++tap_tests, #test);	\
		fflush(stdout);								\
	} while (0)

static inline int tap_done(void)
{
	printf("1..%d\n", tap_tests);
	return tap_failures != 0;
}

#endif /* _LWC_TEST_TAP_H */
