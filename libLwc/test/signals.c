// SPDX-License-Identifier: MIT
/*
 * signals.c - two threads that look for a deadline's signal at the same moment. The
 * other thread is played by the sigaction() below, which the linker puts before the
 * C library's; it must never do what another thread could not.
 */
#include <signal.h>
#include <stdbool.h>

#include <lwc.h>

#include "tap.h"

int __real_sigaction(int sig, const struct sigaction *act, struct sigaction *old);

/* The signal that the other thread takes just before, and gives back just after. */
static int contested;
static bool was_contested;

int __wrap_sigaction(int sig, const struct sigaction *act, struct sigaction *old)
{
	const struct sigaction unused = { .sa_handler = SIG_DFL };
	int ret;

	if (sig != contested || !act)
		return __real_sigaction(sig, act, old);
	contested = 0;
	was_contested = true;
	__real_sigaction(sig, act, NULL);
	ret = __real_sigaction(sig, act, old);
	__real_sigaction(sig, &unused, NULL);
	return ret;
}

static long nothing(void *arg)
{
	return (long)arg;
}

static void given_back_meanwhile(void)
{
	struct lwc_request rq = { .size = sizeof(rq), .timeout_ms = 60000 };
	struct sigaction sa;
	int sig;

	contested = SIGRTMAX;
	/* Whether the request can be run after that does not matter here. */
	lwc_request_run(&rq, nothing, NULL, NULL);
	CHECK(was_contested);
	for (sig = SIGRTMIN; sig <= SIGRTMAX; sig++) {
		__real_sigaction(sig, NULL, &sa);
		CHECK(!(sa.sa_flags & SA_SIGINFO) && sa.sa_handler == SIG_DFL);
	}
}

int main(void)
{
	RUN(given_back_meanwhile);
	return tap_done();
}
