// SPDX-License-Identifier: GPL-2.0
/*
 * Loads the module as a system would that has it installed, and unloads it as one
 * who suspects that something stays behind. It must never force it out.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <grp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "guest.h"

#define GROUP	"lwc"	/* who may open /dev/lwc, as packaging/ has it */

/*
 * What the sysusers file does where packages are installed. (No getgrnam: NSS is
 * not for static programs.)
 */
static gid_t group_id(void)
{
	FILE *f = fopen("/etc/group", "a+e");
	struct group *g;
	gid_t gid = 999;

	if (!f)
		give_up("/etc/group");
	while ((g = fgetgrent(f))) {
		if (!strcmp(g->gr_name, GROUP)) {
			gid = g->gr_gid;
			fclose(f);
			return gid;
		}
		/* A number below all that are taken among the system's own. */
		if (g->gr_gid <= gid && g->gr_gid > 900)
			gid = g->gr_gid - 1;
	}
	if (fprintf(f, GROUP ":x:%u:\n", gid) < 0 || fclose(f))
		give_up("/etc/group");
	return gid;
}
void load_module(const struct job *job)
{
	int fd = open(job->module, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		give_up("%s", job->module);
	if (syscall(SYS_finit_module, fd, job->params ? job->params : "", 0))
		give_up("the kernel refuses the module (its log says why)");
	close(fd);
	/* What the udev rule does. */
	if (chown("/dev/lwc", 0, group_id()) || chmod("/dev/lwc", 0660))
		give_up("/dev/lwc");
}

static long contexts(void)
{
	char text[64];

	if (read_text("/sys/class/misc/lwc/contexts", text, sizeof(text)) <= 0)
		return 0;
	return atol(text);
}

void unload_module(void)
{
	int i, r = 0;

	if (!exists("/sys/module/lwc"))
		return;
	/* What the last process held is given back by work that may still be queued. */
	for (i = 0; i < 100 && contexts(); i++)
		msleep(50);
	if (contexts())
		problem("leak: %ld contexts are left and no process", contexts());
	for (i = 0; i < 100; i++) {
		r = syscall(SYS_delete_module, "lwc", O_NONBLOCK);
		if (!r || (errno != EAGAIN && errno != EBUSY))
			break;
		msleep(50);
	}
	if (r)
		problem("unload: the module cannot be unloaded: %s", strerror(errno));
	else if (exists("/sys/module/lwc") || exists("/dev/lwc"))
		problem("unload: something of the module stays behind");
}

/* Bits of /proc/sys/kernel/tainted which always mean that something went wrong. */
void check_taint(void)
{
	static const struct { int bit; const char *what; } bad[] = {
		{ 5, "a bad page" }, { 7, "an oops" }, { 9, "a warning" }, { 14, "a soft lockup" },
	};
	char text[64];
	unsigned long taint;
	unsigned int i;

	read_text("/proc/sys/kernel/tainted", text, sizeof(text));
	taint = strtoul(text, NULL, 10);
	for (i = 0; i < 4; i++)
		if (taint & 1ul << bad[i].bit)
			problem("kernel: had %s (its log follows)", bad[i].what);
}
