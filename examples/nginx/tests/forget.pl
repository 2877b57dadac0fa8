#!/usr/bin/perl
# SPDX-License-Identifier: MIT
#
# What a handler did is gone when it has returned: memory, descriptors, directory,
# the state of random numbers. What is not to be forgotten is still there.
use strict;
use warnings;
use Fcntl ':flock';
use FindBin;
use lib $FindBin::Bin;
use Client;

my $before = worker();

# Without lwc_rollback the handlers leak, or these tests would show nothing. It is
# tried last, as it spoils the worker that all requests begin with.
my @on = map { body(get("/leaky?secret=first$_")) } 1 .. 5;
ok(!(grep { $_ ne "visit 1\nbefore you: \nheap: \n" } @on), 'C: .bss and heap are forgotten', "@on");

@on = map { body(get("/perl/seen?first$_")) } 1 .. 5;
ok(!(grep { /first/ } @on), 'Perl: globals are forgotten', "@on");

my $got = body(get('/fds'));
my @sockets = $got =~ /^\d+ socket:/mg;
my @own = grep { !m{^\d+ (/dev/null|\S+\.log|/dev/pts\S*|pipe:\S+|socket:\S+|anon_inode:\[lwc\S*|/\S+)$} }
	split /\n/, $got;
ok(@sockets == 1, 'no connection, no listening socket: one socket, to hand files over', $got);
ok($got !~ /eventpoll|eventfd|\[lwc\].*\[lwc\]/s && $got =~ /error\.log/,
	'no epoll, one way back, the error log', $got);

my @litter = map { body(get('/litter')) } 1 .. 3;
ok($litter[0] =~ /lock 0$/ && $litter[0] eq $litter[1] && $litter[1] eq $litter[2],
	'open files, locks, umask and working directory are forgotten', "@litter");
my $cwd = readlink '/proc/' . worker() . '/cwd';
open my $dir, '<', $cwd;
ok(flock($dir, LOCK_EX | LOCK_NB), '... at once: what was locked is free when the answer is there', $!);
close $dir;
ok($litter[0] =~ / cwd \Q$cwd\E / && $cwd ne '/tmp', 'the worker is still in its own directory', $cwd);
ok((() = glob '/proc/' . worker() . '/fd/*') < 40, 'the worker has no more descriptors than before');

# Numbers: none twice over all generators, requests and kinds.
my (%seen, @twice);
for (1 .. 40) {
	my $text = body(get('/random')) . body(get('/perl/numbers'));
	my @numbers = $text =~ /\b(\d{6,}|[0-9a-f]{32})\b/g;
	push @twice, grep { $seen{$_}++ } @numbers;
}
ok(!@twice && keys %seen >= 300, 'random numbers never repeat: C library, OpenSSL, Perl; ' . keys(%seen) .
	' of them', "@twice");
my @perl = split /\n/, slurp(dir() . '/numbers.log');
my %perl;
ok(@perl == 40 && !grep({ $perl{$_}++ } @perl), "nor do Perl's in the worker, which begin every request",
	"@perl");

# Set or looked up in the request context, and needed by the log.
my @ids = map { body(get('/variable')) =~ /^([0-9a-f]{32})$/ ? $1 : 'none' } 1 .. 3;
wait_for(sub { slurp(dir() . '/ids.log') =~ /$ids[2]/ });
ok(slurp(dir() . '/ids.log') eq join('', map { "$_\n" } @ids), 'a variable looked up inside is the same in the log');
ok(get('/variable') =~ /^X-Seen-By: the handler\r$/m, 'a variable set inside is used by header filters');

# Shared memory and what is to be done at a request's end.
@on = map { body(get('/shared')) =~ /hits (\d+)/ ? $1 : 0 } 1 .. 3;
ok($on[1] == $on[0] + 1 && $on[2] == $on[1] + 1, 'counters in shared zones go on', "@on");
my ($cleanups) = body(get('/shared')) =~ /cleanups (\d+)/;
get('/cleanup') for 1 .. 3;
my ($after) = body(get('/shared')) =~ /cleanups (\d+)/;
ok($after == $cleanups + 6, "each cleanup of a handler is run once", "$cleanups, $after");

my @limited = map { status(get('/limited')) } 1 .. 3;
ok("@limited" eq '200 503 503', 'limit_req, in a shared zone, works as ever', "@limited");

# The arena hands nothing of one answer to the next handler, whatever became of it.
for my $path ('/big?size=3000000', '/big?size=5000000', '/perl/seen?x', '/subrequest', '/hostile?lie=splitting') {
	get($path);
	ok(body(get('/peek')) eq "0 bytes\n", "the arena is empty after $path");
}

# The worker does not grow. The pages of smaps are counted there and then: VmRSS may
# be old by the 64 pages that each thread counts for itself.
sub memory {
	my $what = shift;
	return slurp('/proc/' . worker() . '/smaps_rollup') =~ /^$what:\s+(\d+)/m ? $1 : 0;
}
get('/perl/seen?x') for 1 .. 20;
my $rss = memory('Rss');
get('/perl/seen?x') for 1 .. 200;
ok(memory('Rss') <= $rss + 64, 'the worker does not grow over 200 requests', "$rss KB before, " . memory('Rss') . ' after');
for my $size (4000000, 5000000) {
	get('/hello') for 1 .. 2;
	$rss = memory('Rss');
	get("/big?size=$size");
	get('/hello') for 1 .. 2;
	ok(memory('Rss') <= $rss + 1024, "... nor keeps the arena's memory after $size bytes", "$rss KB before, " . memory('Rss') . ' after');
}

ok(worker() == $before && $before, 'the worker is the same as at the start');

my @off = map { body(get("/leaky?secret=off$_", port => 8081)) } 1 .. 2;
ok($off[1] =~ /before you: off1\nheap: off1/, 'C: without lwc_rollback the same handler leaks', "@off");
@off = map { body(get("/perl/seen?off$_", port => 8081)) } 1 .. 2;
ok($off[1] =~ /off1/, 'Perl: without lwc_rollback the same handler leaks', "@off");

exit($Client::failed != 0);
