#!/usr/bin/perl
# SPDX-License-Identifier: MIT
#
# Handlers that crash: each is a 500 and a line in the log that tells what happened,
# nothing of it is left, and the same worker serves on. It must never take a worker
# that was started anew for the same.
use strict;
use warnings;
use FindBin;
use lib $FindBin::Bin;
use Client;
use Time::HiRes qw(sleep);

my $before = worker();
my $got;

sub counter {
	return slurp("/sys/class/misc/lwc/$_[0]") =~ /(\d+)/ ? $1 : -1;
}

# What is asked for, and what the log must say of it.
sub crashes {
	my ($path, $line, %o) = @_;
	log_mark();
	my $got = get($path, %o);
	return ok(status($got) == 500 && logged(qr/the handler of "\/crash\w*" crashed: $line/) && logged(qr/ 0 crashed before/)
			&& body(get('/hello')) eq "hello\n" && worker() == $before,
		"a 500, a line in the log, and the worker goes on: $o{method}$path", $got);
}

my %get = (method => 'GET ');
my $module = qr/in \S+ngx_http_lwc_test_module\.so at 0x[0-9a-f]+/;
crashes('/crash?how=write', qr/signal 11, code 1, $module, address 0x40\b/, %get);
crashes('/crash?how=write', qr/signal 11, code 1, $module, address 0x40\b/, %get) or last for 1 .. 20;
crashes('/crash?how=write&when=late', qr/signal 11/, %get);
crashes('/crash?how=call', qr/signal 11, code 1, at 0x40, address 0x40\b/, %get);
crashes('/crash?how=divide', qr/signal 8, code 1, $module/, %get);
crashes('/crash?how=trap', qr/signal 4, code 2, $module/, %get);
crashes('/crash?how=bus', qr/signal 7, code 2, $module/, %get);
crashes('/crash?how=stack', qr/signal 11, code 1, $module/, %get);
crashes('/crash?how=abort', qr/it called abort\(\)/, %get);
crashes('/crash?how=abort&when=late', qr/it called abort\(\)/, %get);
crashes('/crash?how=free', qr/it called abort\(\)/, %get);
crashes('/crash?how=handled', qr/signal 11, code 1, $module/, %get);
ok(logged(qr/changed what signal 11 does; it was put back/), '... also where the handler wanted to hear of it itself');
crashes('/crash?how=closed', qr/signal 11, code 1, $module/, %get);

my @bodies = map { join '', map { chr $_ % 256 } 1 .. $_ } 100, 100000;
for my $body (@bodies) {
	crashes("/crash_post?how=$_", qr/signal 11|it called abort/, method => 'POST', body => $body) for 'write', 'abort', 'write&when=late';
}
my $post = text('POST', '/post', body => $bodies[1]);
ok(same_text(raw(8081, $post)) eq same_text(raw(8082, $post)), '... and the next body in a file is the right one');

log_mark();
$got = get('/crash?how=write&when=locked');
ok(status($got) == 500 && logged(qr/left shared memory zone "lwc_test" locked; it was unlocked/) && body(get('/lock')) eq "locked\n",
	'a lock that it held is released', $got);

# Forgotten, as what other requests leave.
get('/leaky?secret=before');
get('/crash?how=write&when=late');
ok(body(get('/leaky?secret=after')) eq "visit 1\nbefore you: \nheap: \n", 'what others are told is not changed by it');
ok(body(get('/peek')) eq "0 bytes\n", '... and the arena is empty');
ok(body(get('/fds')) eq body(get('/fds')) && body(get('/masks')) eq body(get('/masks')), '... and nothing of it is open');

# One connection for many requests, and many streams.
my $crash = '/crash?how=write&when=late';
$got = raw(8082, join '', map { text('GET', $_, keep => 1) } '/hello', '/hello', $crash, '/hello');
my @status = $got =~ m{^HTTP/1.1 (\d+)}mg;
ok("@status" eq '200 200 500', 'on one connection, after others: nginx closes it after each 500', $got);

my @paths = ('/hello?', '/crash?how=write', '/perl/hello?', '/crash?how=abort&when=late', '/big?size=100000', '/crash?how=stack') x 3;
for my $how (['https://localhost:8444', ''], ['http://localhost:8092', '']) {
	$got = http2(@$how, map { "$paths[$_]&n=$_" } 0 .. $#paths);
	my @status = $got =~ /^:status: (\d+)$/mg;
	ok((grep { $_ == 200 } @status) == 9 && (grep { $_ == 500 } @status) == 9 && (() = $got =~ /^end$/mg) == 18
			&& (() = $got =~ /^content-encoding: gzip$/mg) == 6 && $got !~ /reset/,
		"by HTTP/2, in streams beside healthy ones ($how->[0])", $got);
}
ok(worker() == $before && $before, 'all by the same worker');

# Killed while a handler runs, and where one has just crashed.
my $s = connect_to(8082);
print $s text('GET', '/sleep?ms=5000');
sleep 0.3;
signal('KILL', $before);
ok(wait_for(sub { other_worker($before) }) && body(get('/hello')) eq "hello\n", 'a worker that is killed inside a handler is replaced');
$before = worker();
get('/crash?how=write');
signal('KILL', $before);
ok(wait_for(sub { other_worker($before) }) && body(get('/hello')) eq "hello\n", '... and one that is killed after a crash');
ok(wait_for(sub { counter('contexts') == 1 }), '... and of those that are gone no context is left', counter('contexts'));

# abort() that no handler calls is what it was.
$before = worker();
log_mark();
signal('ABRT', $before);
ok(logged(qr/worker process $before exited on signal 6/) && wait_for(sub { other_worker($before) }),
	'SIGABRT that somebody sends ends the worker, as ever');
$before = worker();
log_mark();
$s = connect_to(8082);
print $s text('GET', '/sleep?ms=5000');
sleep 0.3;
signal('ABRT', $before);
ok(logged(qr/worker process $before exited on signal 6/) && wait_for(sub { other_worker($before) }), '... inside a handler too');

exit($Client::failed != 0);
