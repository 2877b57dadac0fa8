// SPDX-License-Identifier: GPL-2.0
/*
 * Finds memory that the module has lost, where the kernel has kmemleak. It must
 * never blame the module for what the kernel itself has lost while it booted.
 */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "guest.h"

#define KMEMLEAK "/sys/kernel/debug/kmemleak"

static unsigned long module_loaded_at;	/* jiffies */

/* The kernel's clock as kmemleak writes it, of which nothing else tells. */
static unsigned long jiffies(void)
{
	unsigned long now = 0;
	char line[256];
	FILE *f = fopen("/proc/timer_list", "re");

	while (f && fgets(line, sizeof(line), f))
		if (sscanf(line, "jiffies: %lu", &now) == 1)
			break;
	if (f)
		fclose(f);
	return now;
}

bool leaks_can_be_found(void)
{
	return exists(KMEMLEAK);
}

void leaks_start(void)
{
	module_loaded_at = jiffies();
}

/*
 * kmemleak reports what no memory refers to at two scans, unchanged. The first
 * scan is made while the module is there, the second when it has gone, and with
 * it whatever its own variables referred to. Functions of the module have no
 * names by then, so we keep them.
 */
static struct {
	unsigned long addr;
	char name[64];
} symbols[4096];
static int nsymbols;

void leaks_before_unload(void)
{
	FILE *f = fopen("/proc/kallsyms", "re");
	char line[512], type;

	while (f && nsymbols < 4096 && fgets(line, sizeof(line), f))
		if (strstr(line, "[lwc]") &&
		    sscanf(line, "%lx %c %63s", &symbols[nsymbols].addr, &type,
			   symbols[nsymbols].name) == 3)
			nsymbols++;
	if (f)
		fclose(f);
	if (write_text(KMEMLEAK, "scan"))
		problem("leak: kmemleak does not answer: %s", strerror(errno));
}

static const char *symbol(const char *line)
{
	const char *hex = strstr(line, "] 0x");
	unsigned long addr = hex ? strtoul(hex + 2, NULL, 16) : 0;
	int i, best = -1;

	for (i = 0; i < nsymbols; i++)
		if (symbols[i].addr <= addr && addr - symbols[i].addr < 65536 &&
		    (best < 0 || symbols[i].addr > symbols[best].addr))
			best = i;
	return addr && best >= 0 ? symbols[best].name : NULL;
}

static void report_leak(char *report)
{
	char *line;

	while ((line = strsep(&report, "\n"))) {
		const char *name = symbol(line);

		if (*line)
			problem("leak: %s%s%s", line, name ? " in " : "", name ? name : "");
	}
}

/* Of what was allocated since the module was loaded: boot leaves suspects of its own. */
void leaks_after_unload(void)
{
	static char text[1 << 20];
	char *report, *next;
	int shown = 0;

	if (write_text(KMEMLEAK, "scan") || read_text(KMEMLEAK, text, sizeof(text)) < 0) {
		problem("leak: kmemleak does not answer: %s", strerror(errno));
		return;
	}
	for (report = strstr(text, "unreferenced object"); report; report = next) {
		char *born = strstr(report, ", jiffies ");

		next = strstr(report + 1, "unreferenced object");
		if (next)
			next[-1] = 0;
		if (born && strtoul(born + 10, NULL, 10) >= module_loaded_at && shown++ < 10)
			report_leak(report);
	}
	if (shown > 10)
		problem("leak: and %d more", shown - 10);
}
