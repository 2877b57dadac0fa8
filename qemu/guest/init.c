// SPDX-License-Identifier: GPL-2.0
/*
 * Process 1 of the test guest. Shows the host's files under a throw-away overlay,
 * loads the module, runs one command, unloads the module and says what was left.
 *
 * It is the only process that talks to the host (link.h). It must never write to
 * the host's files, and never end by itself: the relay ends the machine when it has
 * heard the result, and a machine that stops without one has crashed.
 */
#include <sys/mount.h>
#include <sys/stat.h>

#include "guest.h"

static void check_afterwards(const struct job *job)
{
	bool leaks = job->module && job->kmemleak && leaks_can_be_found();

	end_all_processes();
	if (leaks)
		leaks_before_unload();
	if (job->module)
		unload_module();
	if (leaks)
		leaks_after_unload();
	check_taint();
}

int main(void)
{
	static struct job job;
	int status;

	umask(022);
	must_mount("proc", "/proc", "proc", 0, NULL);
	must_mount("sysfs", "/sys", "sysfs", 0, NULL);
	must_mount("devtmpfs", "/dev", "devtmpfs", 0, "mode=755");
	load_drivers();
	link_open();
	link_read_job(&job);
	mount_root(&job);
	mount_the_rest();
	set_up_system();
	leaks_start();
	send_frame(LINK_READY, NULL, 0);
	if (job.module)
		load_module(&job);
	status = run_command(&job);
	check_afterwards(&job);
	done(status);
}
