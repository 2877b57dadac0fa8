/* SPDX-License-Identifier: GPL-2.0 */
/*
 * broken.h - test-only builds that break one thing.
 *
 * `LWC_BREAK=no_fpu_save` builds a module in which lwc_broken(NO_FPU_SAVE) is
 * true; the tests must notice. In every other build it is the constant 0 and
 * costs nothing. It must never guard anything but such a defect.
 */
#ifndef LWC_BROKEN_H
#define LWC_BROKEN_H

#include <linux/kconfig.h>

#define lwc_broken(defect)	IS_ENABLED(LWC_BREAK_##defect)

#endif /* LWC_BROKEN_H */
