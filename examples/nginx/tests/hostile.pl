#!/usr/bin/perl
# SPDX-License-Identifier: MIT
#
# A handler that lies to the worker through the arena, in every way that the format
# has: each lie is a 500 and a line in the log, and the worker goes on.
use strict;
use warnings;
use FindBin;
use lib $FindBin::Bin;
use Client;

my $before = worker();
my $log_start = -s dir() . '/error.log';

my $got = get('/hostile?lie=none');
ok(body($got) eq "truth\n" && $got =~ /^X-Lie: yes\r$/m, 'a handler can speak to the worker by itself', $got);

my %lies = (
	outcome => ['', 'n=0', 'n=7', 'n=4294967295'], rc => ['', 'n=1000', 'n=-7', 'n=-2147483648'],
	status => ['', 'n=0', 'n=100', 'n=1000', 'n=4294967295'], length => ['', 'n=-100', 'n=5', 'n=7', 'n=9223372036854775807'],
	time => ['', 'n=-2', 'n=9223372036854775807'], rate => [''], type_len => [''], unknown => [''],
	two_heads => [''], short_head => [''], no_head => [''], splitting => [''], name => [''],
	name_len => ['', 'n=0', 'n=3', 'n=2'], role => ['', 'n=65535', 'n=99'], role_twice => [''],
	status_line => [''], content_type => [''], variable => ['', 'n=4294967295'], value => [''],
	record_len => ['', 'n=9223372036854775807', 'n=4294967295', 'n=100'], used => ['', 'n=9223372036854775807', 'n=8'],
	no_call => [''], no_header => [''], more => [''], empty => [''],
	file => ['', 'n=1', 'n=2', 'n=3'], other_file => ['', 'n=1'],
	redirect => ['', 'to=x', 'to=/../etc/passwd', 'to=/a/..'], named => ['', 'n=1'],
	# where the response ends: what comes after would be the next one's
	known_only => [''], framing => [map { "n=$_" } 0 .. 7], sum => [''],
	line => ['say=204', 'say=304', 'say=100', 'say=20', 'say=2000', 'say=abc'],
);

for my $lie (sort keys %lies) {
	for my $arg (@{ $lies{$lie} }) {
		log_mark();
		my $got = get("/hostile?lie=$lie&$arg");
		ok(status($got) == 500 && logged(qr/is refused: /) && body(get('/hello')) eq "hello\n",
			"hostile: $lie $arg", $got);
	}
}

# After lies about files the right files still come.
ok(get('/file?name=/large.bin', port => 8081) =~ /\r\n\r\n(.*)/s && body(get('/file?name=/large.bin')) eq $1,
	'a file is still the right one after all that');

for my $lie ('head_only', 'no_last') {
	my $got = get("/hostile?lie=$lie", keep => 1, timeout => 10);
	ok($got =~ /^Connection: close\r$/m && $got !~ /no end/, "hostile: $lie: the connection is closed", $got);
}
$got = get('/hostile?lie=known_only', method => 'HEAD');
ok(status($got) == 200 && body($got) eq '', 'a body that nobody asked for is not sent', $got);

# Files that no record speaks of: they are not the next request's, not even many.
for my $n (1, 100, 5000) {
	$got = get("/hostile?lie=more_files&n=$n");
	ok(body($got) eq "truth\n" && body(get('/file?name=/large.bin')) eq body(get('/file?name=/large.bin', port => 8081)),
		"$n files too many: the next request gets its own", $got);
}
ok(!(grep { (readlink // '') eq '/etc/passwd' } glob '/proc/' . worker() . '/fd/*'), '... and the worker keeps none');

my %status;
for my $n (1 .. 300) {
	my $got = get("/hostile?lie=fuzz&n=$n", timeout => 10);
	$status{ status($got) || 'none' }++;
}
my $told = join ', ', map { "$_: $status{$_}" } sort keys %status;
ok($status{500} && worker() == $before, "hostile: 300 times garbage, the worker lives ($told)");
ok(body(get('/hello')) eq "hello\n", '... and answers');
ok(substr(slurp(dir() . '/error.log'), $log_start) !~ /exited on signal|\[emerg\]/, '... and nothing died');

exit($Client::failed != 0);
