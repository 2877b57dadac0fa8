#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
#
# Compares the errors that lwc.h promises with those that the selftests provoke.
#
#	errors.py [HEADER [SOURCE...]]
#
# A promise is a line " *   -EBADF   meaning" in the comment of a function, a test is
# EXPECT_ERR(function, EBADF, ...) or ASSERT_ERR(...). It fails when a promise has no
# test, and when a test wants what is not promised. It must never be content with a
# header in which it finds nothing.
"""Which errors are promised, and which are tested."""
import pathlib
import re
import sys

HERE = pathlib.Path(__file__).resolve().parent
PROMISE = re.compile(r'^ \*\s+-(E[A-Z0-9]+)(?:\s|$)')
NAME = re.compile(r'^ \* (\w+)\(\) - ')
TEST = re.compile(r'\b(?:EXPECT|ASSERT)_ERR\(\s*(\w+)\s*,\s*(E[A-Z0-9]+)\s*,')
# Not finished: the library's own tests have these.
ELSEWHERE = re.compile(r'^lwc_service_')


def promises(header):
    """Pairs (function, error) in the comments of a header."""
    found, name = set(), None
    for line in header.read_text().splitlines():
        if line.startswith('/**'):
            name = None
        match = NAME.match(line)
        if match:
            name = match[1]
        match = PROMISE.match(line)
        if match and name:
            found.add((name, match[1]))
    return found


def tests(sources):
    """Pairs (function, error) in the assertions of the sources."""
    found = set()
    for source in sources:
        found.update(TEST.findall(source.read_text()))
    return found


def main(argv):
    """Prints what is missing; the exit status says whether anything is."""
    header = pathlib.Path(argv[1]) if len(argv) > 1 else HERE / '../libLwc/include/lwc.h'
    sources = [pathlib.Path(a) for a in argv[2:]] or sorted(HERE.glob('*.c'))
    promised = promises(header)
    tested = tests(sources)
    here = {(f, e) for f, e in promised if not ELSEWHERE.match(f)}
    bad = 0
    for function, error in sorted(here - tested):
        print(f'not tested: {function} -{error}')
        bad += 1
    for function, error in sorted(tested - promised):
        print(f'tested, not promised: {function} -{error}')
        bad += 1
    if len(here) < 20:
        print(f'only {len(here)} promises found in {header}')
        bad += 1
    print(f'{len(here)} errors promised, {len(here & tested)} tested')
    return 1 if bad else 0


if __name__ == '__main__':
    sys.exit(main(sys.argv))
