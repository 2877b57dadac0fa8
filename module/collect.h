/* SPDX-License-Identifier: GPL-2.0 */
/*
 * collect.h - finds contexts that only keep each other alive.
 */
#ifndef LWC_COLLECT_H
#define LWC_COLLECT_H

#include <linux/list.h>

struct lwc_context;
struct lwc_process;

/**
 * lwc_collect() - end the lives of contexts that no thread can reach
 * @process: its lock is held
 * @doomed: list that they go on
 */
void lwc_collect(struct lwc_process *process, struct list_head *doomed);

/**
 * lwc_is_held_elsewhere() - is there a descriptor of a context but in tables of its own?
 * @context: no descriptor but of lwc_self() is left of it
 *
 * Those tables: its own, its kept state's, its snapshots', unless others have them too. Errs on
 * the side of life, as above.
 */
bool lwc_is_held_elsewhere(struct lwc_context *context);

#endif /* LWC_COLLECT_H */
