/* SPDX-License-Identifier: GPL-2.0 */
/*
 * trap.h - faults become switches and rollbacks.
 */
#ifndef LWC_TRAP_H
#define LWC_TRAP_H

int lwc_trap_init(void);
void lwc_trap_exit(void);

#endif /* LWC_TRAP_H */
