#!/usr/bin/env -S python3 -B
# SPDX-License-Identifier: GPL-2.0
#
# Writes the figures of runs of the bench into a page: what lies between the two lines
# that say so is replaced.
#
#	page.py PAGE RUN.json...
#
# It must never touch what people have written outside of these lines.
"""The figures of docs/performance.md."""
import pathlib
import sys

import targets

BEGIN = '<!-- figures: written by `make bench-docs` -->'
END = '<!-- end of figures -->'
SMALLEST = ['getppid', 'null_ioctl', 'copy_page', 'swapcontext', 'switch', 'switch_threads',
            'thread', 'eventfd', 'futex', 'pipe', 'ptrace', 'user_notif']
EVENTS = ['pages_copied', 'compares', 'duplicates', 'faults']
LIVES = ['fork', 'create', 'snapshot', 'pool']
OURS = [('rollback', 'rollback'), ('rearm', 're-arm'), ('renew', 'renew'), ('fresh', 'fresh'),
        ('discard', 'discard')]
COLUMNS = [*OURS,
           ('copy_request', '`memcpy()`'), ('uffd', 'userfaultfd'), ('soft_dirty', 'soft-dirty'),
           ('fork_request', 'child')]


def value(run, name):
    """As it stands in a table."""
    figure = run['figures'].get(name)
    return f'{figure["value"]:,.0f}' if figure else '–'


def row(*cells):
    """One line of a table."""
    return '| ' + ' | '.join(cells) + ' |'


def head(*cells):
    """Its first two lines; all but the first are numbers."""
    return [row(*cells), '|---|' + '---:|' * (len(cells) - 1)]


def aims(runs):
    """Every target, and what it is on each kernel."""
    lines = head('what', *[f'Linux {run["kernel"].split("-")[0]}' for run in runs], 'wanted', 'id')
    lines[1] = lines[1][:-len('---:|')] + '---|'
    for target in targets.read_targets():
        cells = []
        for run in runs:
            if target in targets.of_kernel([target], run):
                number, good = targets.reached(target, run)
                cells.append(targets.number(number) if good else f'**{targets.number(number)}**')
            else:
                cells.append('')
        lines.append(row(target.what, *cells, targets.limit(target), f'`{target.id}`'))
    return lines


def smallest(runs):
    """System calls and switches."""
    lines = head('instructions', *[f'Linux {run["kernel"].split("-")[0]}' for run in runs])
    for name in SMALLEST:
        what = runs[0]['figures'][name]['what']
        cells = [value(run, name) for run in runs]
        if runs[0]['figures'][name].get('ours'):
            what, cells = f'**{what}**', [f'**{cell}**' for cell in cells]
        lines.append(row(what, *cells))
    return lines


def lives(run):
    """Made and ended."""
    lines = head('instructions', 'small process', '10 MB', '100 MB')
    for name in LIVES:
        lines.append(row(run['figures'][name]['what'],
                         *[value(run, name + size) for size in ('', '-10mb', '-100mb')]))
    return lines


def sweep(run, title, shapes):
    """One line a shape of the memory, one column a way to forget a request."""
    lines = head(title, *[name for _, name in COLUMNS])
    for name, shape in shapes:
        if f'rollback-{shape}' in run['figures']:
            lines.append(row(name, *[value(run, f'{op}-{shape}') for op, _ in COLUMNS]))
    return lines


def events(run):
    """What happened in one operation."""
    lines = head('100 MB mapped, 10 pages written', *[event.replace('_', ' ') for event in EVENTS])
    for op, name in OURS:
        figure = run['figures'][f'{op}-100mb-10p']
        lines.append(row(name, *[f'{figure[event]:.2f}' for event in EVENTS]))
    return lines


def section(runs):
    """All that stands between the two lines."""
    run = runs[0]
    pages = [(f'{n}', f'100mb-{n}p') for n in (0, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)]
    sizes = [(name, f'{mb}mb-10p') for name, mb in
             (('1 MB', 1), ('10 MB', 10), ('100 MB', 100), ('1 GB', 1024), ('4 GB', 4096))]
    vmas = [(f'{n} more', f'10mb-10p-{n}v') for n in (10, 1000)]
    kernel = f'Linux {run["kernel"]}'
    parts = [
        ['## Beside what is wanted', '', 'In bold: missed, for the reasons given below.', '',
         *aims(runs)],
        ['## Calls and switches', '', '![a switch beside its peers](bench/switch.svg)', '',
         *smallest(runs)],
        ['## Made and ended', '', kernel + '.', '', *lives(run)],
        ['## A request, and what forgets it', '',
         f'{kernel}: instructions of a request that writes so many pages, and of what forgets '
         'it. 100 MB mapped:', '', '![cost against written pages](bench/pages.svg)', '',
         *sweep(run, 'pages written', pages), '', '10 pages written:', '',
         '![cost against mapped size](bench/mapped.svg)', '', *sweep(run, 'mapped', sizes), '',
         '10 MB mapped, 10 pages written, and mappings of one page more:', '',
         *sweep(run, 'mappings', vmas), '', 'What is counted of one operation:', '',
         *events(run)],
    ]
    return '\n\n'.join('\n'.join(part) for part in parts)


def main():
    """See above."""
    if len(sys.argv) < 3:
        raise SystemExit('usage: page.py PAGE RUN.json...')
    page = pathlib.Path(sys.argv[1])
    runs = [targets.read_run(path) for path in sys.argv[2:]]
    text = page.read_text()
    if text.count(BEGIN) != 1 or text.count(END) != 1:
        raise SystemExit(f'{page}: there is no place for the figures')
    before, rest = text.split(BEGIN)
    after = rest.split(END)[1]
    page.write_text(f'{before}{BEGIN}\n\n{section(runs)}\n\n{END}{after}')


if __name__ == '__main__':
    main()
