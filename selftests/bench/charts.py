#!/usr/bin/env -S python3 -B
# SPDX-License-Identifier: GPL-2.0
#
# Draws a run of the bench, by gnuplot.
#
#	charts.py RUN.json DIRECTORY	writes pages.svg, mapped.svg and switch.svg there
#
# Each chart is legible on a light page and on a dark one: it has its own background,
# and both sets of colours. It must never draw a figure that was not measured.
"""Charts of what things cost."""
import math
import pathlib
import re
import subprocess
import sys

import targets

WIDTH, HEIGHT, TOP, RIGHT, BOTTOM = 760, 440, 78, 170, 58
# What it is in: its colour on a light page, on a dark one.
COLOURS = {
    'paper': ('#ffffff', '#0d1117'),
    'ink': ('#1f2328', '#e6edf3'),
    'soft': ('#59636e', '#9198a1'),
    'grid': ('#dfe3e8', '#2a313a'),
    'rollback': ('#0969da', '#58a6ff'),
    'renew': ('#0f7b6c', '#3fd0b6'),
    'uffd': ('#8250df', '#c297ff'),
    'soft_dirty': ('#b45309', '#f0a04b'),
    'fork_request': ('#c4314b', '#ff7b86'),
    'copy_request': ('#818b98', '#7d8590'),
    'peer': ('#a8b1bb', '#545d68'),
}
LINES = [
    ('fork_request', 'a child a request'),
    ('soft_dirty', 'soft-dirty marks'),
    ('uffd', 'userfaultfd'),
    ('renew', 'lwc_renew()'),
    ('rollback', 'lwc_rollback()'),
    ('copy_request', 'memcpy() alone'),
]
BARS = [
    ('getppid', 'getppid()'), ('swapcontext', 'swapcontext()'),
    ('null_ioctl', 'an ioctl that does nothing'), ('switch', 'lwc_switch()'),
    ('switch_threads', 'the same, with threads'), ('thread', 'thread, by futex'),
    ('eventfd', 'process, by eventfd'), ('futex', 'process, by futex'),
    ('pipe', 'process, by pipe'),
]
OURS = ('switch', 'switch_threads')


def plain(text):
    """Without what gnuplot takes for markup."""
    return text.replace('_', '\\\\_')


def light(name):
    """The colour that gnuplot is told; the other is put beside it afterwards."""
    return COLOURS[name][0]


def amount(value):
    """10 k, 1 M."""
    for size, sign in ((1e9, ' G'), (1e6, ' M'), (1e3, ' k')):
        if value >= size:
            return f'{value / size:.3g}{sign}'
    return f'{value:.0f}'


def frame(title, subtitle):
    """What all charts have: paper, title, no box."""
    return f'''set terminal svg size {WIDTH},{HEIGHT} rounded font "sans-serif,13" \\
	background rgb '{light("paper")}'
set encoding utf8
set border 0
set key off
set tmargin at screen {1 - TOP / HEIGHT}
set label 1 "{{/:Bold=15 {title}}}" at screen {20 / WIDTH},{1 - 24 / HEIGHT}
set label 1 textcolor rgb '{light("ink")}'
set label 2 "{subtitle}" at screen {20 / WIDTH},{1 - 45 / HEIGHT}
set label 2 textcolor rgb '{light("soft")}'
'''


def apart(ends, least):
    """Moves labels so that none lies on another: the logarithms of where they are."""
    ends = sorted(ends, key=lambda end: end[1])
    for _ in range(100):
        moved = False
        for below, above in zip(ends, ends[1:]):
            gap = least - (above[1] - below[1])
            if gap > 1e-9:
                below[1] -= gap / 2
                above[1] += gap / 2
                moved = True
        if not moved:
            break
    return ends


def lines(run, axis, wanted, xtics, xlabel, title, subtitle):
    """One chart: cost against pages or against what is mapped, both logarithmic."""
    series = {}
    for figure in run['figures'].values():
        if figure.get('op') in dict(LINES) and wanted(figure):
            series.setdefault(figure['op'], []).append((figure[axis], figure['value']))
    if not series or any(len(points) < 2 for points in series.values()):
        raise SystemExit('charts: not enough was measured')
    values = [value for points in series.values() for _, value in points]
    low, high = 10 ** math.floor(math.log10(min(values))), 10 ** math.ceil(math.log10(max(values)))
    decades = math.log10(high / low)
    text = frame(title, subtitle)
    for op, points in series.items():
        text += f'${op} << E\n' + ''.join(f'{x} {y}\n' for x, y in sorted(points)) + 'E\n'
    names = ', '.join(f'"{name}" {x}' for name, x in xtics)
    ytics = ', '.join(f'"{amount(10 ** n)}" 1e{n}'
                      for n in range(round(math.log10(low)), round(math.log10(high)) + 1))
    text += f'''set logscale xy
set lmargin at screen {70 / WIDTH}
set rmargin at screen {1 - RIGHT / WIDTH}
set bmargin at screen {BOTTOM / HEIGHT}
set yrange [{low * 0.999}:{high * 1.001}]
set xrange [{xtics[0][1]}:{xtics[-1][1]}]
set ytics scale 0 ({ytics}) textcolor rgb '{light("soft")}'
set xtics scale 0 ({names}) textcolor rgb '{light("soft")}'
set xlabel "{xlabel}" offset 0,0.3 textcolor rgb '{light("soft")}'
set grid ytics lt 1 lw 1 lc rgb '{light("grid")}'
'''
    plot_height = HEIGHT - TOP - BOTTOM
    ends = [[op, math.log10(max(points)[1])] for op, points in series.items()]
    for number, (op, at) in enumerate(apart(ends, 17 / plot_height * decades), 10):
        text += (f'set label {number} "{plain(dict(LINES)[op])}" at {xtics[-1][1]},{10 ** at} left '
                 f'offset character 1.2,0 textcolor rgb \'{light(op)}\'\n')
    plots = []
    for op, _ in LINES:
        if op in series:
            kind = 'dashtype (4,4) lw 2' if op == 'copy_request' else 'lw 2.5'
            point = '' if op == 'copy_request' else 'points pt 7 ps 0.45 '
            plots.append(f'${op} with lines{point} lt 1 {kind} lc rgb \'{light(op)}\'')
    return text + 'plot ' + ', \\\n\t'.join(plots) + '\n'


def bars(run):
    """One chart: a switch beside its peers, smallest first."""
    rows = sorted(((run['figures'][op]['value'], op, name) for op, name in BARS), reverse=True)
    most = rows[0][0]
    text = frame('From one to another, one way', subtitle_of(run))
    left = 230
    text += f'''set lmargin at screen {left / WIDTH}
set rmargin at screen {1 - 70 / WIDTH}
set bmargin at screen {16 / HEIGHT}
set yrange [-0.6:{len(rows) - 0.4}]
set xrange [0:{most}]
unset xtics
unset ytics
'''
    for at, (value, op, name) in enumerate(rows):
        ours = op in OURS
        ink, colour = (light('ink'), light('rollback')) if ours else (light('soft'), light('peer'))
        weight = '{/:Bold %s}' if ours else '%s'
        text += (f'set label {at + 10} "{weight % plain(name)}" at 0,{at} right '
                 f'offset character -1,0 textcolor rgb \'{ink}\'\n'
                 f'set label {at + 50} "{weight % f"{value:,.0f}"}" at {value},{at} left '
                 f'offset character 0.8,0 textcolor rgb \'{ink}\'\n'
                 f'set object {at + 1} rectangle from 0,{at - 0.33} to {value},{at + 0.33} '
                 f'fillstyle solid noborder fillcolor rgb \'{colour}\'\n')
    return text + 'plot NaN with lines\n'


def subtitle_of(run, more=''):
    """What was counted, and where."""
    what = 'nanoseconds' if run['unit'] == 'ns' else run['unit']
    return f'{what}{more}, Linux {run["kernel"]}'


def both_colours(svg):
    """Adds what a dark page needs. gnuplot writes one colour in several ways."""
    svg = re.sub(r'rgb\( *(\d+), *(\d+), *(\d+)\)',
                 lambda found: '#' + ''.join(f'{int(part):02x}' for part in found.groups()), svg)
    rules = ''.join(f'[{attribute}="{day}"]{{{attribute}:{night}}}'
                    for day, night in COLOURS.values() if day in svg
                    for attribute in ('stroke', 'fill', 'color'))
    style = '<style>@media (prefers-color-scheme: dark){' + rules + '}</style>\n'
    svg = re.sub(r'<title>.*?</title>\n<desc>.*?</desc>\n', '', svg, flags=re.S)
    svg = svg.replace('font-family="sans-serif"',
                      'font-family="system-ui, -apple-system, Segoe UI, DejaVu Sans, sans-serif"')
    return svg.replace('<g id="gnuplot_canvas">', style + '<g id="gnuplot_canvas">', 1)


def draw(script, path):
    """By way of gnuplot, which writes to its standard output."""
    done = subprocess.run(['gnuplot', '-'], input=script, capture_output=True, text=True,
                          check=False)
    # It says what it does not like and goes on.
    if done.returncode or done.stderr or '</svg>' not in done.stdout:
        raise SystemExit(f'charts: {path}: gnuplot: {done.stderr}')
    path.write_text(both_colours(done.stdout))


def main():
    """See above."""
    if len(sys.argv) != 3:
        raise SystemExit('usage: charts.py RUN.json DIRECTORY')
    run, out = targets.read_run(sys.argv[1]), pathlib.Path(sys.argv[2])
    title = 'A request, and what forgets it'
    draw(lines(run, 'pages', lambda f: f['mb'] == 100 and f.get('pages', 0) > 0 and not f['vmas'],
               [(f'{n}', n) for n in (1, 10, 100, 1000)], 'pages that the request writes',
               title, subtitle_of(run, ', 100 MB mapped')), out / 'pages.svg')
    draw(lines(run, 'mb', lambda f: f.get('pages') == 10 and f['mb'] and not f['vmas'],
               [('1 MB', 1), ('10 MB', 10), ('100 MB', 100), ('1 GB', 1024), ('4 GB', 4096)],
               'memory that the process has', title,
               subtitle_of(run, ', 10 pages written')), out / 'mapped.svg')
    draw(bars(run), out / 'switch.svg')


if __name__ == '__main__':
    main()
