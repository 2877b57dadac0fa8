#!/usr/bin/perl
# SPDX-License-Identifier: MIT
#
# Handlers that never end, where "lwc_timeout" holds: each is a 504 in time and a
# line in the log, nothing of it is left, and the same worker serves on. It must never
# call late what was in time.
use strict;
use warnings;
use FindBin;
use lib $FindBin::Bin;
use Client;
use Time::HiRes qw(sleep time);

my $before = worker();
my $got;

my @endless = map { "/endless?how=$_" } 'loop', 'sleep', 'read', 'loop&when=late', 'loop&when=locked';
for my $path (@endless, '/perl/endless', '/endless?how=loop') {
	log_mark();
	my $start = time;
	$got = get($path);
	my $took = time - $start;
	ok(status($got) == 504 && $took >= 0.3 && $took < 2.2 && logged(qr/of "[^"]*" was not done within "lwc_timeout", and was ended/)
			&& body(get('/hello')) eq "hello\n" && worker() == $before,
		"a 504 in time, a line in the log, and the worker goes on: $path", "$took s\n$got");
}
ok(body(get('/lock')) eq "locked\n", 'a lock that one held is released');
get('/endless?how=loop&when=late');
ok(body(get('/leaky?secret=after')) eq "visit 1\nbefore you: \nheap: \n" && body(get('/peek')) eq "0 bytes\n", 'nothing of it is left');

# Twice as long as the deadline, in which none may come that was meant for another.
my $timely = 0;
my $start = time;
while (time - $start < 1) {
	$timely++ if get('/perl/timely') =~ /hello from Perl/ && status(get('/endless?how=none')) == 200;
}
log_mark();
sleep 3;
ok($timely > 2 && worker() == $before && body(get('/hello')) eq "hello\n", 'handlers that end in time are left alone, and so is the worker after them');
ok(status(get('/endless?how=write')) == 500 && worker() == $before, 'a crash before the deadline is a crash');
ok(status(get('/perl/timely')) == 200, '... and no deadline is left from it');

# The signal of the deadline ignored or blocked: the worker ends, a little later.
for my $how ('ignored', 'blocked') {
	$before = worker();
	log_mark();
	$start = time;
	$got = get("/endless?how=$how");
	ok(time - $start < 10 && logged(qr/worker process $before exited on signal 9/) && wait_for(sub { other_worker($before) })
			&& body(get('/hello')) eq "hello\n",
		"where the signal is $how the worker is ended and replaced", $got);
	ok(status(get('/endless?how=loop')) == 504, '... and deadlines are kept in the new one');
}

exit($Client::failed != 0);
