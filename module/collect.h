/* SPDX-License-Identifier: GPL-2.0 */
/*
 * collect.h - finds contexts that only keep each other alive.
 */
#ifndef LWC_COLLECT_H
#define LWC_COLLECT_H

#include <linux/list.h>

struct lwc_process;

/**
 * lwc_collect() - end the lives of contexts that no thread can reach
 * @process: its lock is held
 * @doomed: list that they go on
 */
void lwc_collect(struct lwc_process *process, struct list_head *doomed);

#endif /* LWC_COLLECT_H */
