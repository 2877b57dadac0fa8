// SPDX-License-Identifier: GPL-2.0
/*
 * bench - what contexts cost, beside what else does the same work.
 *
 * In a machine whose clock counts instructions (qemu/vm run --icount) one instruction
 * is one tick, so the figures do not depend on the machine below; each is the best of
 * five batches. With --time, on any machine, they are nanoseconds: the median of 21.
 * All are taken in one run, peers beside ours, on one processor. The module is loaded
 * in between, as root, and unloaded at the end.
 *
 *	bench --module FILE [--json FILE] [--time] [--quick]
 */
#include <errno.h>
#include <sched.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/personality.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "bench.h"

static int usage(void)
{
	fprintf(stderr, "usage: bench --module FILE [--json FILE] [--time] [--quick]\n");
	return 2;
}

/* Peers that are woken are then on the processor of those who wake them. */
static void stay_on_one_processor(void)
{
	cpu_set_t one;
	int cpu = sched_getcpu();

	if (cpu < 0)
		die("sched_getcpu", errno);
	CPU_ZERO(&one);
	CPU_SET(cpu, &one);
	if (sched_setaffinity(0, sizeof(one), &one))
		die("sched_setaffinity", errno);
}

/* Addresses are then the same each time, and with them how many page tables there are. */
static void be_where_we_were(char **argv)
{
	int now = personality(0xffffffff);

	if (now & ADDR_NO_RANDOMIZE)
		return;
	if (now < 0 || personality(now | ADDR_NO_RANDOMIZE) < 0)
		die("personality", errno);
	execv("/proc/self/exe", argv);
	die("/proc/self/exe", errno);
}

static void write_json(const char *file, double tick)
{
	FILE *f = fopen(file, "w");

	if (!f)
		die(file, errno);
	print_json(f, tick);
	if (fclose(f))
		die(file, errno);
}

int main(int argc, char **argv)
{
	const char *json = NULL, *module = NULL;
	struct utsname name;
	double tick;
	int i;

	for (i = 1; i < argc; i++) {
		if (!strcmp(argv[i], "--json") && i + 1 < argc)
			json = argv[++i];
		else if (!strcmp(argv[i], "--module") && i + 1 < argc)
			module = argv[++i];
		else if (!strcmp(argv[i], "--time"))
			count_time = true;
		else if (!strcmp(argv[i], "--quick"))
			quick = true;
		else
			return usage();
	}
	if (!module)
		return usage();
	be_where_we_were(argv);
	if (!access("/sys/module/lwc", F_OK)) {
		fprintf(stderr, "bench: the module is loaded already, and in use perhaps: rmmod lwc first\n");
		return 1;
	}
	stay_on_one_processor();
	shared = memory(sizeof(*shared), MAP_SHARED);
	tick = check_clock();
	uname(&name);
	if (count_time)
		printf("Linux %s, nanoseconds, median of %d\n", name.release, batches());
	else
		printf("Linux %s, instructions, best of %d (an instruction is %.4f ticks)\n",
		       name.release, batches(), tick);
	/* What a machine does that has just started is not to be measured. */
	sleep(quick ? 1 : 5);
	measure_others(false);
	load_module(module);
	measure_others(true);
	measure_calls();
	measure_switches();
	measure_traps();
	measure_lives();
	measure_requests();
	measure_parked();
	unload_module();
	if (json)
		write_json(json, tick);
	return 0;
}
