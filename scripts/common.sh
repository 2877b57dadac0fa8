# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0
#
# What the shell scripts here share: where things live and how to say things.
# Sourced, never run. It must never change anything outside build/ and the cache.

LWC_ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
LWC_BUILD=$LWC_ROOT/build
LWC_CACHE=${XDG_CACHE_HOME:-~/.cache}/lwc
export LWC_ROOT LWC_BUILD LWC_CACHE

# Messages go to standard error: standard output belongs to what a script was asked for.
say() { printf '%s: %s\n' "${0##*/}" "$*" >&2; }
die() { say "$*"; exit 1; }

# locked NAME: one process at a time from here on, until this shell ends. The lock
# is on a file of its own, which is never removed (a removed lock file locks nothing).
locked() {
	mkdir -p "$(dirname "$1")"
	exec {LWC_LOCK}>"$1"
	flock "$LWC_LOCK"
}

# unlocked: the other end, for scripts which go on to do other things. Children
# must not inherit the lock either: a daemon would hold it for ever.
unlocked() { exec {LWC_LOCK}>&-; }

# hash_of WORD...: a short name for what something was made from.
hash_of() { printf '%s\n' "$@" | sha256sum | cut -c1-16; }
