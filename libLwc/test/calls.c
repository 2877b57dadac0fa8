// SPDX-License-Identifier: MIT
/*
 * calls.c - what the calls answer where there is no module, and on files that
 * are none of ours. It must never need /dev/lwc, and must run where there is one.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <lwc.h>

#include "tap.h"

#define MARK	12345

static bool is_open(int fd)
{
	return fcntl(fd, F_GETFD) != -1;
}

static int count_open(void)
{
	int fd, n = 0;

	for (fd = 0; fd < 4096; fd++)
		n += is_open(fd);
	return n;
}

static void no_module(void)
{
	int before = count_open();
	struct lwc_features f;
	struct lwc_event ev;

	if (!access("/dev/lwc", F_OK)) {
		printf("# skipped: there is a /dev/lwc\n");
		return;
	}
	errno = MARK;
	CHECK(lwc_features(&f) == -ENODEV);
	CHECK(lwc_create(NULL, 0, 0, &ev) == -ENODEV);
	CHECK(lwc_snapshot(-1, 0, &ev) == -ENODEV);
	CHECK(lwc_self() == -ENODEV);
	CHECK(errno == MARK);
	CHECK(count_open() == before);
}

static void other_files(int fd)
{
	const uint64_t args[6] = { 0 };
	const struct lwc_spec spec = { LWC_MEMORY, LWC_COW, 0, 0, 4096 };
	struct lwc_event ev;

	errno = MARK;
	CHECK(lwc_switch(fd, 0, 0, &ev) == -EBADF);
	CHECK(lwc_renew(fd, 0, &ev) == -EBADF);
	CHECK(lwc_keep(fd) == -EBADF);
	CHECK(lwc_overlay(fd, &spec, 1) == -EBADF);
	CHECK(lwc_restrict(fd, LWC_MAY_SWITCH, NULL, 0) == -EBADF);
	CHECK(lwc_syscall(fd, LWC_USE_FILES, 39, args) == -EBADF);
	CHECK(lwc_rollback(fd, 0) == -EBADF);
	CHECK(lwc_close(fd) == -EBADF);
	CHECK(errno == MARK);
}

static void on_other_files(void)
{
	int pair[2], fds[9], n = 0;

	fds[n++] = open("/dev/null", O_RDWR);
	fds[n++] = open("/proc/self/exe", O_RDONLY);
	fds[n++] = open("/", O_RDONLY | O_DIRECTORY);
	fds[n++] = open("/", O_PATH);
	fds[n++] = eventfd(0, 0);
	fds[n++] = epoll_create1(0);
	fds[n++] = (int)syscall(SYS_userfaultfd, UFFD_USER_MODE_ONLY);
	CHECK(!socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
	fds[n++] = pair[0];
	fds[n++] = pair[1];

	while (n--) {
		if (fds[n] < 0)
			continue;
		other_files(fds[n]);
		CHECK(is_open(fds[n]));
		close(fds[n]);
	}
	other_files(-1);
	other_files(777);
}

static long one(void *arg)
{
	(void)arg;
	return 1;
}

static void request_arguments(void)
{
	struct {
		struct lwc_request rq;
		uint64_t tail[2];
	} big = { .rq.size = sizeof(big) };
	struct lwc_request rq = { .size = sizeof(rq) };
	long result = MARK;

	CHECK(lwc_request_run(NULL, one, NULL, &result) == -EFAULT);
	CHECK(lwc_request_run(&rq, NULL, NULL, &result) == -EFAULT);
	rq.size = sizeof(rq) - 1;
	CHECK(lwc_request_run(&rq, one, NULL, &result) == -EINVAL);
	rq.size = 0;
	CHECK(lwc_request_run(&rq, one, NULL, &result) == -EINVAL);
	rq.size = sizeof(rq);
	rq.reserved[2] = 1;
	CHECK(lwc_request_run(&rq, one, NULL, &result) == -EINVAL);
	big.tail[1] = 1;
	CHECK(lwc_request_run(&big.rq, one, NULL, &result) == -E2BIG);
	big.rq.size = 1 << 20;
	CHECK(lwc_request_run(&big.rq, one, NULL, &result) == -E2BIG);
	CHECK(result == MARK);
}

/* Whatever the outcome, a deadline leaves no handler, mask or timer behind. */
static void failed_request_leaves_nothing(void)
{
	struct lwc_request rq = { .size = sizeof(rq), .timeout_ms = 1 };
	sigset_t before, after;
	struct sigaction sa;
	long result;
	int sig;

	if (!access("/dev/lwc", F_OK)) {
		printf("# skipped: there is a /dev/lwc\n");
		return;
	}
	sigemptyset(&before);
	sigaddset(&before, SIGUSR1);
	sigprocmask(SIG_SETMASK, &before, NULL);
	CHECK(lwc_request_run(&rq, one, NULL, &result) == -ENODEV);
	usleep(50000);
	sigprocmask(SIG_SETMASK, NULL, &after);
	for (sig = 1; sig < 65; sig++)
		CHECK(sigismember(&after, sig) == (sig == SIGUSR1) || sig == 32 || sig == 33);
	for (sig = SIGRTMIN; sig <= SIGRTMAX; sig++) {
		sigaction(sig, NULL, &sa);
		CHECK(sa.sa_handler == SIG_DFL);
	}
}

static void features_and_syscall_arguments(void)
{
	CHECK(lwc_features(NULL) == -EFAULT);
	CHECK(lwc_syscall(0, LWC_USE_FILES, 39, NULL) == -EFAULT);
}

static long answer(void *state, uint64_t arg)
{
	(void)state;
	return (long)arg;
}

static void services_and_pools(void)
{
	const struct lwc_spec spec = { LWC_MEMORY, LWC_COW, 0, 0, 4096 };
	struct lwc_service *service = (struct lwc_service *)&tap_bad;
	struct lwc_pool *pool;
	long result;

	CHECK(lwc_service_open(&spec, 1, answer, NULL, &service) == -EOPNOTSUPP);
	CHECK(lwc_service_open(NULL, 1, answer, NULL, &service) == -EFAULT);
	CHECK(lwc_service_open(NULL, 0, NULL, NULL, &service) == -EFAULT);
	CHECK(lwc_service_open(NULL, 0, answer, NULL, NULL) == -EFAULT);
	CHECK(lwc_service_open(&spec, LWC_MAX_SPECS + 1, answer, NULL, &service) == -E2BIG);
	CHECK(lwc_service_call(service, 1, &result) == -EOPNOTSUPP);
	CHECK(lwc_service_call(NULL, 1, &result) == -EFAULT);
	CHECK(lwc_service_call(service, 1, NULL) == -EFAULT);
	CHECK(lwc_service_close(service) == -EOPNOTSUPP);
	CHECK(lwc_service_close(NULL) == -EFAULT);

	CHECK(lwc_pool_open(NULL, 1, 1, answer, NULL, &pool) == -EFAULT);
	CHECK(lwc_pool_open(NULL, 0, 1, NULL, NULL, &pool) == -EFAULT);
	CHECK(lwc_pool_open(NULL, 0, 1, answer, NULL, NULL) == -EFAULT);
	CHECK(lwc_pool_open(NULL, 0, 0, answer, NULL, &pool) == -EINVAL);
	CHECK(lwc_pool_open(&spec, LWC_MAX_SPECS + 1, 1, answer, NULL, &pool) == -E2BIG);
	CHECK(lwc_pool_run(NULL, 0, NULL) == -EFAULT);
	CHECK(lwc_pool_close(NULL) == -EFAULT);
	/* Without the module there are no contexts in it, and it ends all the same. */
	CHECK(lwc_pool_open(&spec, 1, 3, answer, NULL, &pool) == 0);
	CHECK(lwc_pool_run(pool, 1, &result) == -ENODEV);
	CHECK(lwc_pool_run(pool, 1, &result) == -ENODEV);
	CHECK(lwc_pool_close(pool) == 0);
}

int main(void)
{
	RUN(no_module);
	RUN(on_other_files);
	RUN(features_and_syscall_arguments);
	RUN(request_arguments);
	RUN(failed_request_leaves_nothing);
	RUN(services_and_pools);
	return tap_done();
}
