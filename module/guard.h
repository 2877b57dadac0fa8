/* SPDX-License-Identifier: GPL-2.0 */
/*
 * guard.h - shuts the kernel's other doors between contexts of one process.
 */
#ifndef LWC_GUARD_H
#define LWC_GUARD_H

int lwc_guard_init(void);
void lwc_guard_exit(void);

#endif /* LWC_GUARD_H */
