#!/usr/bin/env -S python3 -B
# SPDX-License-Identifier: GPL-2.0
#
# Judges a run of the bench.
#
#	check.py RUN.json			prints each target, and what it is
#	check.py RUN.json COMMITTED.json [PAGE]	and fails when a figure of ours is more than
#		3 % behind the one committed or gone, or a target is missed that PAGE
#		(default: docs/performance.md) does not explain
#
# Of two runs (RUN.json,RUN.json) what counts is the better of each figure of ours.
# A target is explained by a heading of PAGE that has its id in backticks, with text
# under it; `rollback-fixed-*` is all that begin so. It must never be content with a
# quick run, which measures too little.
"""Is a run of the bench as good as it has to be?"""
import fnmatch
import pathlib
import re
import sys

import targets

PAGE = targets.HERE.parent.parent / 'docs' / 'performance.md'
BEHIND = 1.03
# A figure of a few instructions may be that of a timer's tick.
LEAST = 2


def explained(page):
    """The ids, or patterns of them, in headings that have text under them."""
    ids, heading = set(), set()
    for line in page.read_text().splitlines():
        if line.startswith('#'):
            heading = set(re.findall(r'`([^`]+)`', line))
        elif line.strip():
            ids |= heading
    return ids


def best_of(paths):
    """One run, or the better figures of several."""
    run, *others = [targets.read_run(path) for path in paths.split(',')]
    for other in others:
        if any(other[of] != run[of] for of in ('kernel', 'unit', 'quick')):
            raise SystemExit(f'{paths}: these cannot be compared')
        for name, figure in run['figures'].items():
            if figure.get('ours') and name in other['figures']:
                figure['value'] = min(figure['value'], other['figures'][name]['value'])
    return run


def behind(run, committed):
    """What is worse than it was; one line each."""
    for name, old in committed['figures'].items():
        new = run['figures'].get(name)
        if not new:
            yield f'{name}: was measured before, and is not now'
        elif old.get('ours') and new['value'] > old['value'] * BEHIND + LEAST:
            yield (f'{name}: {targets.number(new["value"])}, '
                   f'the one committed is {targets.number(old["value"])}')


def table(run):
    """All targets, for people. Those in instructions say nothing of nanoseconds."""
    print(f'\n{"target":<66} {"is":>11} {"wanted":>11}')
    for target in targets.of_kernel(targets.read_targets(), run):
        if run['unit'] == 'ns' and target.operator != '/' and target.id != 'parked-memory':
            continue
        value, good = targets.reached(target, run)
        print(f'{target.what:<66} {targets.number(value):>11} {targets.limit(target):>11}'
              f'{"" if good else "  missed: " + target.id}')


def main():
    """See above."""
    run = best_of(sys.argv[1])
    table(run)
    if len(sys.argv) == 2:
        return 0
    committed = targets.read_run(sys.argv[2])
    page = pathlib.Path(sys.argv[3]) if len(sys.argv) > 3 else PAGE
    if run['quick'] or run['unit'] != 'instructions':
        raise SystemExit(f'{sys.argv[1]}: not a whole run in instructions')
    if run['kernel'] != committed['kernel']:
        print(f'\nThis is Linux {run["kernel"]}, '
              f'the figures committed are of {committed["kernel"]}.')
    wrong = list(behind(run, committed))
    known = explained(page)
    for target in targets.of_kernel(targets.read_targets(), run):
        value, good = targets.reached(target, run)
        if good and target.id in known:
            print(f'{target.id}: reached; {page.name} still explains why it is not')
        if not good and not any(fnmatch.fnmatchcase(target.id, pattern) for pattern in known):
            wrong.append(f'{target.id}: {targets.number(value)}, not {targets.limit(target)}; '
                         f'{page.name} does not explain that')
    for line in wrong:
        print(f'WORSE {line}')
    print('all figures are good' if not wrong else f'{len(wrong)} are not good')
    return 1 if wrong else 0


if __name__ == '__main__':
    sys.exit(main())
