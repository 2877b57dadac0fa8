#!/usr/bin/perl
# SPDX-License-Identifier: MIT
#
# hello prints what its README promises, to the letter.
use v5.36;
use Test::More;

open(my $f, '<', "$ENV{LWC_SOURCE}/hello/README.md") or die;
my ($block) = join('', <$f>) =~ /^```\n(.*?)^```/ms or die;
# Beside some lines stand explanations.
my $expected = $block =~ s/(\S) {3,}\S.*$/$1/gmr;
is(`$ENV{LWC_EXAMPLES}/hello/hello`, $expected, 'prints what the README says');
is($?, 0, 'and ends well');
done_testing();
