// SPDX-License-Identifier: GPL-2.0
/*
 * The proof by model: one seed is many random operations on a memory, between
 * snapshots, rollbacks, renews and switches, after each of which all of it is
 * compared with what it was. model/model.h says how.
 *
 *	model SEED [OPERATIONS]		does one seed again
 *
 * As a test it takes seeds of its own, others as root than as a user. A seed must
 * mean the same operations each time; what the kernel swaps and when may differ.
 */
#include <sys/personality.h>

#include "test.h"
#include "model/model.h"

/* Ten long seeds, or three on a kernel that checks itself, take hours. */
#undef TEST_TIMEOUT_DEFAULT
#define TEST_TIMEOUT_DEFAULT	36000

/* Return: 0 if all was as it should be. */
static int run_seed(unsigned long seed, unsigned int operations, unsigned int can)
{
	int status = -1;
	pid_t pid;

	if (mmap(C, sizeof(*C), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS |
		 MAP_FIXED_NOREPLACE, -1, 0) != C) {
		perror("# model: control");
		return -1;
	}
	C->seed = seed;
	C->operations = operations;
	C->can = can;
	fflush(NULL);
	pid = fork();
	if (!pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		_exit(!!referee_run());
	}
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	munmap(C, sizeof(*C));
	return status;
}

LWC_TEST(random_operations)
{
	bool all = getenv("LWC_TEST_LONG");
	unsigned long first = is_root() ? 1 : 1001, seeds = 1, i;
	unsigned int can = machine_set_up();
	long operations = all ? 100000 : scaled(50000);

	if (all)
		seeds = 10;
	/* A kernel that checks itself takes ten times as long for each. */
	if (all && scaled(1000) < 1000) {
		seeds = 2 + is_root();
		operations = 25000;
	}
	if (operations < 1000)
		operations = 1000;
	for (i = 0; i < seeds; i++) {
		EXPECT_EQ(0, run_seed(first + i, operations, can)) {
			TH_LOG("seed %lu", first + i);
		}
	}
	machine_restore();
}

/* The harness's own main is called when there are no arguments. */
#define main harness_main
TEST_HARNESS_MAIN
#undef main

int main(int argc, char **argv)
{
	int bad;

	/* Addresses are part of what a seed means. */
	if (!(personality(0xffffffff) & ADDR_NO_RANDOMIZE)) {
		personality(ADDR_NO_RANDOMIZE);
		execv("/proc/self/exe", argv);
		perror("# model: exec");
		return 1;
	}
	if (argc < 2)
		return harness_main(argc, argv);
	bad = run_seed(strtoul(argv[1], NULL, 0),
		       argc > 2 ? strtoul(argv[2], NULL, 0) : 100000, machine_set_up());
	machine_restore();
	return !!bad;
}
