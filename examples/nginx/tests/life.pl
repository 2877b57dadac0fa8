#!/usr/bin/perl
# SPDX-License-Identifier: MIT
#
# nginx's own life with lwc_rollback: reload, log rotation, graceful shutdown, a new
# binary. Descriptors that the request context held on to would keep sockets open,
# and so workers and clients waiting. It must leave nginx running as it found it.
use strict;
use warnings;
use FindBin;
use lib $FindBin::Bin;
use Client;
use Time::HiRes qw(sleep time);

sub alive { return signal(0, $_[0]) }

# Reload, with clients waiting on open connections.
my ($old, $master) = (worker(), pid());
my @clients = map { my $s = connect_to(8082); print $s text('GET', '/hello', keep => 1); read_response($s); $s } 1 .. 6;
signal('HUP', $master);
ok(wait_for(sub { other_worker($old) }), 'reload: there is a new worker');
ok(wait_for(sub { !alive($old) }), '... the old one ends, with keep-alive clients connected');
my $closed = grep { my $s = $_; local $SIG{ALRM} = sub { die }; eval { alarm 5; !sysread $s, my $x, 1 } } @clients;
alarm 0;
ok($closed == @clients, '... which closes their connections', "$closed of " . @clients);
ok(get('/leaky?secret=1') =~ /visit 1/ && get('/leaky?secret=1') =~ /visit 1/, '... and the new one forgets as well');

# A request that is running when the worker is told to go.
$old = worker();
my $s = connect_to(8082);
print $s text('GET', '/sleep?ms=1000', keep => 1);
sleep 0.3;
signal('HUP', $master);
ok(read_response($s) =~ /slept 1000\n/, 'reload: a request that runs then is answered');
close $s;
ok(wait_for(sub { !alive($old) }), '... and then the old worker ends');

# reuseport: a copy of a listening socket would swallow connections.
my $conf = slurp(dir() . '/nginx.conf');
sub configure {
	my $text = shift;
	open my $file, '>', dir() . '/nginx.conf' or die;
	print $file $text;
	close $file;
}
(my $more = $conf) =~ s/listen 8082;/listen 8082; listen 8086 reuseport;/;
$more =~ s/worker_processes 1;/worker_processes 2;/;
configure($more);
signal('HUP', $master);
wait_for(sub { (my @w = workers()) == 2 });
wait_for(sub { get('/hello', port => 8086) =~ /hello\n$/ });
my $bad = 0;
for my $round (1 .. 3) {
	my @then = workers();
	get('/hello', port => 8086) for 1 .. 4;
	signal('HUP', $master);
	wait_for(sub { !grep { alive($_) } @then });
	for (1 .. 20) {
		$bad++ unless body(get('/hello', port => 8086, timeout => 5)) eq "hello\n";
	}
}
ok($bad == 0, 'reload with reuseport and two workers: no connection is lost', "$bad lost");
configure($conf);
my @two = workers();
signal('HUP', $master);
ok(wait_for(sub { (my @w = workers()) == 1 && !grep { alive($_) } @two }), '... and back to one worker');
wait_for(sub { get('/hello') =~ /hello\n$/ });

# Log rotation: the logs' descriptors get new numbers.
$old = worker();
for my $round (1 .. 3) {
	get('/perl/logs');
	rename dir() . "/$_", dir() . "/$_.$round" for 'error.log', 'on.log';
	signal('USR1', $master);
	wait_for(sub { -e dir() . '/on.log' && -e dir() . '/error.log' });
	sleep 0.5;
	get('/perl/logs');
	my $error = wait_for(sub { slurp(dir() . '/error.log') =~ /a word from the handler/ });
	ok($error && wait_for(sub { slurp(dir() . '/on.log') =~ m{/perl/logs} }),
		"log rotation $round: handlers and the access log write to the new files");
}
ok(worker() == $old, '... and the worker is the same');
my $fds = body(get('/fds'));
ok($fds !~ /\.log\.\d/ && (() = $fds =~ /^\d+ socket:/mg) == 1 && $fds !~ /eventpoll/, '... and holds neither old logs nor sockets', $fds);

# A new binary, beside the old one, then instead of it.
($old, $master) = (worker(), pid());
signal('USR2', $master);
ok(wait_for(sub { -s dir() . '/nginx.pid.oldbin' && pid() != $master && worker() }), 'a new binary starts beside the old one');
signal('WINCH', $master);
ok(wait_for(sub { !alive($old) }), '... the old worker ends');
ok(get('/leaky?secret=1') =~ /visit 1/ && get('/leaky?secret=1') =~ /visit 1/, '... the new one forgets as well');
signal('QUIT', $master);
ok(wait_for(sub { !alive($master) }) && body(get('/hello')) eq "hello\n", '... and goes on when the old master is gone');

# A worker that is killed.
$old = worker();
signal('KILL', $old);
ok(wait_for(sub { other_worker($old) }) && body(get('/hello')) eq "hello\n", 'a killed worker is replaced');

exit($Client::failed != 0);
