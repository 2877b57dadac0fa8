#!/usr/bin/perl
# SPDX-License-Identifier: MIT
#
# A little of each of the other tests, for a kernel on which all of them take too
# long: handlers in Perl and C, what is forgotten, a reload, and some lies. It must
# never hold anything that the others do not.
use strict;
use warnings;
use FindBin;
use lib $FindBin::Bin;
use Client;

my $before = worker();
my $got;

for my $path ('/static.txt', '/hello', '/big?size=65536&chunked=1&parts=7', '/chunked', '/dated', '/headers',
	'/file?name=/large.bin', '/nameless', '/status?code=404', '/finalize?code=503', '/redirect?to=/hello',
	'/perl/hello', '/perl/headers', '/perl/flush', '/perl/big', '/perl/redirect?@named', '/perl/file?large.bin',
	'/perl/command', '/errors/perl?404', '/ssi/page.html', '/alarm')
{
	my ($off, $on) = map { same_text(get($path, port => $_)) } 8081, 8082;
	ok($off eq $on && length $off, "same bytes: $path", "-- off\n$off\n-- on\n$on");
}
my $post = text('POST', '/post', body => join '', map { chr $_ % 256 } 1 .. 100000);
ok(same_text(raw(8081, $post)) eq same_text(raw(8082, $post)), 'same bytes: POST, with a body in a file');
my $pipeline = join '', map { text('GET', $_, keep => 1) } '/hello', '/perl/ranged', '/status?code=503', '/dated';
$pipeline .= text('GET', '/hello');
ok(same_text(raw(8081, $pipeline)) eq same_text(raw(8082, $pipeline)), 'same bytes: many requests on one connection');

for my $how (['https://localhost', 8443, 8444], ['http://localhost', 8091, 8092]) {
	my ($host, @ports) = @$how;
	my @paths = ('/hello', '/perl/hello', '/big?size=100000', '/perl/flush', '/status?code=404', '/trailers') x 3;
	my ($off, $on) = map { http2("$host:$_", '', map { $paths[$_] . ($paths[$_] =~ /\?/ ? '&' : '?') . "n=$_" } 0 .. $#paths) } @ports;
	ok($off eq $on && (() = $off =~ /^-- stream \d+\n:status: \d+\n/mg) == @paths, "same by HTTP/2: many streams at once ($host)",
		"-- off\n$off\n-- on\n$on");
}
for my $version ('tls1_2', 'tls1_3') {
	my ($off, $on) = map { same_text(tls($_, $version, $pipeline)) } 8443, 8444;
	ok($off eq $on && (() = $off =~ m{HTTP/1.1 \d}g) == 5, "same bytes over TLS: $version", "-- off\n$off\n-- on\n$on");
}

my @on = map { body(get("/leaky?secret=short$_")) } 1 .. 3;
ok(!(grep { $_ ne "visit 1\nbefore you: \nheap: \n" } @on), 'C: .bss and heap are forgotten', "@on");
@on = map { body(get("/perl/seen?short$_")) } 1 .. 3;
ok(!(grep { /short/ } @on), 'Perl: globals are forgotten', "@on");
my @litter = map { body(get('/litter')) } 1 .. 2;
ok($litter[0] =~ /lock 0$/ && $litter[0] eq $litter[1], 'open files, locks, umask and working directory are forgotten', "@litter");
my %numbers;
$numbers{$_}++ for map { body(get('/random')) =~ /\b(\d{6,}|[0-9a-f]{32})\b/g } 1 .. 3;
ok(keys %numbers >= 15 && !(grep { $_ > 1 } values %numbers), 'random numbers do not repeat');
ok(() = get('/leaky?clone=1') =~ /visit 1\n/g, 'a cloned request is forgotten');
get('/big?size=3000000');
ok(body(get('/peek')) eq "0 bytes\n", 'the arena is empty after a large response');

for my $case (['/again', qr/NGX_AGAIN/], ['/subrequest', qr/a subrequest/], ['/timer', qr/a timer/],
	['/hostile?lie=length&n=5', qr/is refused: /], ['/hostile?lie=splitting', qr/is refused: /],
	['/hostile?lie=record_len', qr/is refused: /], ['/hostile?lie=other_file', qr/is refused: /],
	['/big?size=5000000', qr/does not fit into the arena/])
{
	my ($path, $line) = @$case;
	log_mark();
	$got = get($path);
	ok(status($got) == 500 && logged($line) && body(get('/hello')) eq "hello\n", "a 500 and a line in the log: $path", $got);
}
for my $how ('write', 'stack', 'abort', 'write&when=late') {
	log_mark();
	$got = get("/crash?how=$how");
	ok(status($got) == 500 && logged(qr/crashed: /) && body(get('/hello')) eq "hello\n" && worker() == $before,
		"a crash is a 500, and the worker goes on: $how", $got);
}
log_mark();
$got = get('/endless?how=loop');
ok(status($got) == 504 && logged(qr/not done within "lwc_timeout"/) && body(get('/hello')) eq "hello\n" && worker() == $before,
	'an endless handler is a 504, and the worker goes on', $got);
my %status;
$status{ status(get("/hostile?lie=fuzz&n=$_", timeout => 20)) || 'none' }++ for 1 .. 20;
ok($status{500} && worker() == $before, 'hostile: garbage, the worker lives');

for my $path ('/signal?signo=15', '/itimer', '/posix_timer', '/child?ms=100', '/lock') {
	log_mark();
	$got = get($path);
	ok(status($got) == 200 && logged(qr/put back|deleted|left a child|unlocked/), "put right, with a line in the log: $path", $got);
}
ok(body(get('/pending')) eq "pending 1\n" && worker() == $before, "a timer's signal is gone");

signal('HUP', pid());
ok(wait_for(sub { other_worker($before) }, 60) && wait_for(sub { !signal(0, $before) }, 60) &&
	get('/leaky?secret=1') =~ /visit 1\n/, 'reload: a new worker, which forgets as well');
$before = worker();
get('/thread');
ok(body(get('/hello')) eq "hello\n" && wait_for(sub { other_worker($before) }, 60),
	'a thread left behind: the worker is replaced, in good order');
ok(body(get('/hello')) eq "hello\n", '... and goes on');

exit($Client::failed != 0);
