// SPDX-License-Identifier: GPL-2.0
/*
 * A second process to work with, for those who need one, and processes that only come
 * and go. None must ever outlive the first.
 */
#include <errno.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench.h"

pid_t partner;

pid_t start_partner(void (*body)(void))
{
	partner = fork();
	if (partner < 0)
		die("fork", errno);
	if (!partner) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		body();
		_exit(1);
	}
	return partner;
}

void end_partner(void)
{
	if (!partner)
		return;
	kill(partner, SIGKILL);
	if (waitpid(partner, NULL, 0) != partner)
		die("waitpid", errno);
	partner = 0;
}

void fork_exit_wait_rounds(long n)
{
	while (n--) {
		pid_t pid = fork();

		if (!pid)
			_exit(0);
		if (pid < 0 || waitpid(pid, NULL, 0) != pid)
			die("fork", errno);
	}
}
