/* SPDX-License-Identifier: GPL-2.0 */
/*
 * oom.h - what the kernel's OOM killer is told of contexts.
 */
#ifndef LWC_OOM_H
#define LWC_OOM_H

int lwc_oom_init(void);
void lwc_oom_exit(void);

#endif /* LWC_OOM_H */
