# SPDX-License-Identifier: GPL-2.0
"""Reads the targets and says how far a run of the bench has reached them.

It must never take a figure that is missing for one that is good.
"""
import collections
import json
import pathlib
import re

HERE = pathlib.Path(__file__).resolve().parent
TARGETS = HERE / 'targets'
FIGURES = re.compile(r'([a-z0-9_-]+?)(?: ([/-]) ([a-z0-9_-]+))?')
LIMIT = re.compile(r'([<>]=) ([0-9.]+)(?:/([0-9.]+))?')

Target = collections.namedtuple('Target', 'id kernel first operator second side limit what')


def read_targets(path=TARGETS):
    """All lines of the file; one that cannot be understood is an error."""
    targets = []
    for number, line in enumerate(path.read_text().splitlines(), 1):
        if not line or line.startswith('#'):
            continue
        fields = re.split(r'\t+', line)
        figures = FIGURES.fullmatch(fields[2]) if len(fields) == 5 else None
        limit = LIMIT.fullmatch(fields[3]) if len(fields) == 5 else None
        if not figures or not limit:
            raise SystemExit(f'{path}:{number}: cannot be understood')
        value = float(limit[2]) / float(limit[3] or 1)
        targets.append(Target(fields[0], fields[1], *figures.groups(), limit[1], value, fields[4]))
    if len({target.id for target in targets}) != len(targets):
        raise SystemExit(f'{path}: an id is there twice')
    return targets


def read_run(path):
    """One run of the bench."""
    run = json.loads(pathlib.Path(path).read_text())
    if not run['figures']:
        raise SystemExit(f'{path}: no figures')
    return run


def of_kernel(targets, run):
    """Those that are meant for the kernel of a run."""
    series = '.'.join(run['kernel'].split('.')[:2])
    return [target for target in targets if target.kernel in ('*', series)]


def reached(target, run):
    """(what it is or None, is that good?)."""
    def value(name):
        figure = run['figures'].get(name)
        return figure and figure['value']

    first = value(target.first)
    second = value(target.second) if target.second else None
    if first is None or (target.second and second is None):
        return None, False
    if target.operator == '-':
        first -= second
    elif target.operator == '/':
        if second <= 0:
            return None, False
        first /= second
    good = first <= target.limit if target.side == '<=' else first >= target.limit
    return first, good


def number(value):
    """For people."""
    if value is None:
        return 'not there'
    # 1.004 is not 1.00 where the limit is one.
    digits = 0 if abs(value) >= 100 else 1 if abs(value) >= 10 else 3
    return f'{value:,.{digits}f}'


def limit(target):
    """For people."""
    sign = {'<=': '≤', '>=': '≥'}[target.side]
    return f'{sign} {number(target.limit)}'
