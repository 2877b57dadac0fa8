// SPDX-License-Identifier: MIT
/* hello.c - create, switch, snapshot, rollback. It must never outgrow one page. */
#include <error.h>
#include <lwc.h>
#include <stdio.h>

static void must(const char *what, int ret)
{
	if (ret)
		error(1, -ret, "%s", what);
}

int main(void)
{
	unsigned long number = 1;
	struct lwc_event ev;
	int other;

	setbuf(stdout, NULL);			/* It is memory: each context has its own. */
	must("lwc_create", lwc_create(NULL, 0, 0, &ev));
	while (ev.reason == LWC_EV_SWITCH) {	/* The second return, in the new context. */
		number += ev.arg;
		printf("  other: got %lu, number is %lu here\n", ev.arg, number);
		must("lwc_switch", lwc_switch(ev.caller, 0, number, &ev));
	}
	other = ev.created;			/* The first return, in the root context. */
	for (int i = 10; i <= 30; i += 10) {
		must("lwc_switch", lwc_switch(other, 0, i, &ev));
		printf("root: sent %d, got %lu back, number is still %lu here\n", i, ev.arg, number);
	}

	must("lwc_snapshot", lwc_snapshot(-1, 0, &ev));
	if (ev.reason == LWC_EV_CREATED) {
		number = 666;
		printf("root: number is %lu now; roll back\n", number);
		must("lwc_rollback", lwc_rollback(ev.created, 42));
	}
	printf("root: rolled back with %lu, number is %lu again\n", ev.arg, number);
	return lwc_close(ev.created) || lwc_close(other);
}
