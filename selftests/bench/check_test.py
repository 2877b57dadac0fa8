#!/usr/bin/env -S python3 -B
# SPDX-License-Identifier: GPL-2.0
#
# Tests check.py with figures that were tampered with: each thing that it must find is
# done to the committed ones, and it must find that and nothing else.
"""Does the check of the bench fail when it has to?"""
import copy
import json
import pathlib
import subprocess
import sys
import tempfile
import unittest

import targets

DOCS = targets.HERE.parent.parent / 'docs'
RUN = DOCS / 'bench' / '6.1.json'
PAGE = DOCS / 'performance.md'


class Check(unittest.TestCase):
    """One thing each."""

    def setUp(self):
        # A test removes it when it is done.
        # pylint: disable-next=consider-using-with
        self.directory = tempfile.TemporaryDirectory()
        self.addCleanup(self.directory.cleanup)
        self.committed = json.loads(RUN.read_text())
        self.run_ = copy.deepcopy(self.committed)
        self.page = PAGE.read_text()

    def check(self, second=None):
        """Its status, and the lines in which it complains."""
        place = pathlib.Path(self.directory.name)
        run = str(place / 'run.json')
        if second:
            (place / 'second.json').write_text(json.dumps(second))
            run += f',{place / "second.json"}'
        files = {'run.json': json.dumps(self.run_), 'committed.json': json.dumps(self.committed),
                 'page.md': self.page}
        for name, text in files.items():
            (place / name).write_text(text)
        done = subprocess.run([targets.HERE / 'check.py', run, place / 'committed.json',
                               place / 'page.md'], capture_output=True, text=True, check=False)
        worse = [line.split()[1].rstrip(':') for line in done.stdout.splitlines()
                 if line.startswith('WORSE ')]
        return done.returncode, worse

    def make(self, name, factor):
        """Changes one figure."""
        self.run_['figures'][name]['value'] *= factor

    def judged(self, good):
        """All targets that are reached, or missed."""
        return [target for target in targets.of_kernel(targets.read_targets(), self.run_)
                if targets.reached(target, self.run_)[1] == good]

    def test_the_same_is_good(self):
        """Nothing was done."""
        self.assertEqual(self.check(), (0, []))

    def test_better_is_good(self):
        """A tenth less."""
        for name in ('create-100mb', 'switch_threads'):
            self.make(name, 0.9)
        self.assertEqual(self.check(), (0, []))

    def test_noise_is_good(self):
        """A hundredth more."""
        self.make('switch_threads', 1.01)
        self.assertEqual(self.check(), (0, []))

    def test_four_percent_more(self):
        """More than three."""
        self.make('switch_threads', 1.04)
        self.assertEqual(self.check(), (1, ['switch_threads']))

    def test_worse_once(self):
        """A second run is as it was."""
        self.make('switch_threads', 1.04)
        self.assertEqual(self.check(self.committed), (0, []))

    def test_worse_twice(self):
        """One of them more than the other."""
        self.make('switch_threads', 1.04)
        second = copy.deepcopy(self.run_)
        second['figures']['switch_threads']['value'] *= 1.2
        self.assertEqual(self.check(second), (1, ['switch_threads']))

    def test_runs_that_cannot_be_compared(self):
        """Of two kernels."""
        second = copy.deepcopy(self.run_)
        second['kernel'] = '6.12.0'
        self.assertEqual(self.check(second), (1, []))

    def test_a_peer_may_be_slower(self):
        """The kernel's own cost is not ours to keep."""
        self.make('eventfd', 1.2)
        self.assertEqual(self.check(), (0, []))

    def test_a_figure_that_is_gone(self):
        """What is not measured is not good."""
        del self.run_['figures']['switch_threads']
        self.assertEqual(self.check(), (1, ['switch_threads']))

    def test_missed_and_not_explained(self):
        """Targets that were reached are missed now, with figures that are no worse than before."""
        self.page = 'Nothing is explained here.'
        missed = [target.id for target in self.judged(False)]
        target = next(target for target in self.judged(True) if target.operator == '/')
        for run in (self.run_, self.committed):
            run['figures'][target.first]['value'] *= 100 if target.side == '<=' else 0.001
        status, worse = self.check()
        self.assertEqual(status, 1)
        self.assertIn(target.id, worse)
        self.assertLessEqual(set(missed), set(worse) | {target.id})

    def test_no_explanation(self):
        """What was missed with good reasons is missed without."""
        self.page = self.page.replace('### ', '')
        missed = [target.id for target in self.judged(False)]
        self.assertTrue(missed)
        self.assertEqual(self.check(), (1, missed))

    def test_a_heading_alone_explains_nothing(self):
        """There must be text under it."""
        missed = [target.id for target in self.judged(False)]
        self.page = ''.join(f'### `{name}`\n\n' for name in missed)
        self.assertEqual(self.check(), (1, missed))

    def test_a_pattern_explains(self):
        """One heading for many."""
        self.page = '### `*-*`, `pool`\n\nBecause.\n'
        self.assertEqual(self.check(), (0, []))

    def test_a_quick_run_is_refused(self):
        """It measures too little."""
        self.run_['quick'] = True
        self.assertEqual(self.check(), (1, []))

    def test_nanoseconds_are_refused(self):
        """They are of one machine."""
        self.run_['unit'] = 'ns'
        self.assertEqual(self.check(), (1, []))

    def test_a_target_that_cannot_be_read(self):
        """A line of the file with a field less."""
        path = pathlib.Path(self.directory.name) / 'targets'
        path.write_text('a\t*\tswitch / pipe\t<= 1\n')
        with self.assertRaises(SystemExit):
            targets.read_targets(path)


if __name__ == '__main__':
    sys.exit(unittest.main())
