/* SPDX-License-Identifier: MIT */
/*
 * device.h - calls on /dev/lwc, whose descriptor the library keeps.
 *
 * Callers never see that descriptor, so none of them can come to rely on it.
 */
#ifndef _LWC_DEVICE_H
#define _LWC_DEVICE_H

#pragma GCC visibility push(hidden)

long lwc_device_ioctl(unsigned long cmd, void *arg);

#pragma GCC visibility pop

#endif /* _LWC_DEVICE_H */
