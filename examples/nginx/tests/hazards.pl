#!/usr/bin/perl
# SPDX-License-Identifier: MIT
#
# Handlers that do what cannot be taken back, or are not done when they return: each
# is contained, put right, or refused with a 500 and a line in the log. It must
# never pass a handler whose harm nobody hears of.
use strict;
use warnings;
use FindBin;
use lib $FindBin::Bin;
use Client;
use Time::HiRes qw(sleep time);

my $before = worker();
my $got;

sub refused {
	my ($path, $line, $name) = @_;
	log_mark();
	my $got = get($path);
	ok(status($got) == 500 && logged($line), $name, $got);
	ok(status(get('/hello')) == 200, '... and the next request is answered') or return;
}

# Not done when they return.
my $left = qr/was not done when it returned, it left behind/;
refused('/again', qr/$left NGX_AGAIN/, 'NGX_AGAIN: a 500 and a line in the log');
refused('/done', qr/$left a reference/, 'NGX_DONE without an end: a 500 and a line in the log');
refused('/count', qr/$left a reference/, 'a reference to the request kept: a 500 and a line in the log');
refused('/subrequest', qr/$left a subrequest/, 'a subrequest: a 500 and a line in the log');
refused('/background', qr/$left a subrequest/, 'a background subrequest: a 500 and a line in the log');
refused('/timer', qr/$left a timer/, 'a timer: a 500 and a line in the log');
refused('/posted', qr/$left a posted event/, 'a posted event: a 500 and a line in the log');
refused('/added', qr/$left an event/, 'a new event: a 500 and a line in the log');
refused('/upstream', qr/$left an upstream/, 'an upstream request: a 500 and a line in the log');
refused('/task', qr/$left a task/, 'a task for a thread pool: a 500 and a line in the log');
refused('/buffered', qr/$left buffered output/, 'buffered output: a 500 and a line in the log');
refused('/perl/later', qr/$left a timer|$left a reference/, 'Perl: $r->sleep: a 500 and a line in the log');
ok(body(get('/timer_deleted')) eq "no timer\n", 'a timer that was deleted again is no matter');
sleep 0.3;
ok(slurp(dir() . '/error.log') !~ /came to life/, 'nothing of that ever runs');

# An answer without a header would leave the client waiting.
refused('/perl/nothing', qr/is refused: a body without a header/, 'Perl: no answer at all: a 500 and a line in the log');

# The arena.
log_mark();
$got = get('/big?size=5000000');
ok(status($got) == 500 && logged(qr/does not fit into the arena: .*"lwc_arena" is 4194304/),
	'a response larger than the arena: a 500, and the log names lwc_arena', substr $got, 0, 500);
log_mark();
$got = get('/perl/big?5000000');
ok(status($got) == 500 && logged(qr/"lwc_arena" is 4194304/),
	'Perl: the same', substr $got, 0, 500);
$got = get('/file?name=/huge.bin');
ok(body($got) eq slurp(dir() . '/html/huge.bin') && length $got > 4194304, 'files do not go through the arena');
$got = get('/big?size=4000000');
ok(length(body($got)) == 4000000, 'a response nearly as large as the arena is whole');

# A slow client: the response is in the worker's own memory by then.
my $s = connect_to(8082);
print $s text('GET', '/big?size=3000000');
sysread $s, my $start, 1000;
get('/big?size=2000000&parts=3') for 1 .. 3;
sleep 0.2;
{
	local $/;
	my $rest = $start . <$s>;
	ok(same_text($rest) eq same_text(get('/big?size=3000000', port => 8081)),
		'a slow client gets what was meant for it');
}

# Connections: closed means closed, for the client too.
my $t = time;
$got = get('/hello', version => '1.0', keep => 1);
ok($got =~ /hello\n$/ && time - $t < 10, 'HTTP/1.0: the connection is closed at once');
$got = get('/close', keep => 1);
ok($got =~ /Connection: close/ && $got !~ /no end/, 'a handler that ends keep-alive ends it');
my @open = map { my $s = connect_to(8082); print $s text('GET', '/hello', keep => 1); read_response($s); $s } 1 .. 8;
get('/hello') for 1 .. 3;
close $_ for @open;
ok(wait_for(sub { slurp('/proc/net/tcp') !~ /:1F92 [0-9A-F:]+ 08 / }),
	'no connection is held open by the request context (none in CLOSE_WAIT)');

# Expect: the body is read for the handler, so the client is told to send it.
$got = get('/chunked', method => 'POST', body => 'x' x 2000, headers => ['Expect: 100-continue']);
ok($got =~ m{^HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200}, 'Expect: 100-continue is answered, though the handler does not care');

# A body that a Perl handler leaves unread is not taken for the next request.
$got = raw(8082, text('POST', '/perl/hello', keep => 1, body => "GET /x HTTP/1.1\r\nHost: x\r\n\r\n") . text('GET', '/hello'));
ok((() = $got =~ m{HTTP/1.1 200}g) == 2 && $got !~ /404/, 'a body that a handler does not read is not taken for a request', $got);

# Signals for the worker wait while a handler runs.
sub during_sleep {
	my ($signal) = @_;
	my $s = connect_to(8082);
	print $s text('GET', '/sleep?ms=700');
	sleep 0.3;
	signal($signal, worker());
	local $/;
	return scalar <$s>;
}
log_mark();
$got = during_sleep('CHLD');
ok(body($got) eq "slept 700\n" && logged(qr/signal 17 \(SIGCHLD\)/), 'SIGCHLD during a request is delivered after it', $got);
log_mark();
$got = during_sleep('USR1');
ok(body($got) eq "slept 700\n" && logged(qr/reopening logs/), 'SIGUSR1 during a request is delivered after it', $got);
ok(body(get('/hello')) eq "hello\n" && worker() == $before, '... and the worker goes on');

# Signal handlers, timers and children are the process's.
for my $signo (1, 3, 15, 17, 10, 13, 14, 26, 27, 11, 6) {
	log_mark();
	$got = get("/signal?signo=$signo");
	my $changed = $signo == 13 ? 1 : logged(qr/changed what signal $signo does; it was put back/);
	my $mask = 1 << $signo - 1;
	my ($ignored) = slurp('/proc/' . worker() . '/status') =~ /^SigIgn:\s+([0-9a-f]+)/m;
	ok(status($got) == 200 && $changed && ($signo == 13 || !(hex($ignored) & $mask)),
		"signal $signo, ignored by a handler, is as it was", "$got\n$ignored");
}
for my $which (0, 1, 2) {
	log_mark();
	$got = get("/itimer?which=$which");
	ok(status($got) == 200 && logged(qr/left interval timer $which changed; it was put back/),
		"interval timer $which, set by a handler, is stopped", $got);
}
my $spin = time;
get('/hello') while time - $spin < 1;
ok(worker() == $before, '... and never goes off');
$got = get('/pending');
ok(body($got) eq "pending 1\n" && worker() == $before, 'a timer\'s signal that a handler let wait is gone', $got);
log_mark();
$got = get('/posix_timer');
ok(body($got) eq "timer 0\n" && logged(qr/left 1 POSIX timers; they were deleted/),
	'a POSIX timer, left by a handler, is deleted', $got);
log_mark();
get('/posix_timer?delete=1');
sleep 0.5;
ok(worker() == $before && unlogged(qr/POSIX timers/), '... and never goes off; of one that was deleted nothing is said');
ok(body(get('/alarm')) eq "alarms 1\n", 'a handler may time itself with SIGALRM');
$got = get('/perl/deadline');
ok(body($got) =~ /ended: too late\n/, 'Perl: and with alarm', $got);
$got = get('/perl/command');
ok(body($got) =~ /said\n3\n/, 'Perl: system and backticks work', $got);

my $t_limited = time;
$got = get('/perl/limited');
ok(body($got) =~ /^124\n/m && time - $t_limited < 5, 'Perl: a command can be ended by a signal', $got);
my ($fork, $shell, $spawn) = body(get('/masks')) =~ /^SigBlk:\s+([0-9a-f]+)$/mg;
my ($own) = slurp('/proc/' . worker() . '/status') =~ /^SigBlk:\s+([0-9a-f]+)/m;
ok($fork eq $own, 'what a handler forks blocks the signals that the worker does', "$fork, $own");
ok($shell eq $own, '... and so does a command that goes through the shell', "$shell, $own");
ok(hex(substr $spawn, -8) & 1 << 14, '... but one that posix_spawn() starts is born with all blocked', "$spawn, $own");

log_mark();
$got = get('/child?ms=600');
ok(body($got) eq "child\n" && logged(qr/left a child process/), 'a child left behind: a line in the log', $got);
my @answers = map { sleep 0.1; body(get('/hello')) } 1 .. 10;
ok(!(grep { $_ ne "hello\n" } @answers), '... and what it says is in no answer', "@answers");
ok(logged(qr/unknown process \d+ exited with code 0/), '... and the worker reaps it');

# A filter that clones the request: the clone's handler is in the request context too.
for my $path ('/leaky?clone=1&secret=x', '/if_leaky?clone=1&secret=x&x=1') {
	my @visits = map { get($path) =~ /visit (\d+)/g } 1, 2;
	my ($next) = get('/leaky') =~ /visit (\d+)/;
	ok(@visits == 4 && !(grep { $_ != $next } @visits), "a cloned request is forgotten as well: $path", "@visits");
}
@answers = map { get('/leaky?secret=x', port => 8081) =~ /visit (\d+)/ } 1, 2;
ok($answers[1] == $answers[0] + 1, '... and without lwc_rollback it is remembered', "@answers");
signal('KILL', $before);
wait_for(sub { other_worker($before) });
$before = worker();

# A buffer whose end is before its start.
log_mark();
$got = get('/negative');
ok(logged(qr/sent a buffer of negative size/) && worker() == $before, 'a buffer of negative size: a line in the log, and no crash', $got);

# Locks in shared zones.
log_mark();
$got = get('/lock');
ok(status($got) == 200 && logged(qr/left shared memory zone "lwc_test" locked; it was unlocked/),
	"a shared zone's lock left held is released", $got);
ok(body(get('/lock')) eq "locked\n", '... and can be taken again');

ok(worker() == $before && $before, 'the worker is the same as at the start');

# From here on a worker ends, as it would without lwc_rollback. A signal that is sent
# is no crash, whatever its number.
log_mark();
$got = get('/lock?crash=1');
ok(logged(qr/exited on signal 11/) && logged(qr/zone "lwc_test" was locked by/),
	'a signal that kills is the worker\'s end, and the master unlocks the zone');
ok(wait_for(sub { other_worker($before) }) && body(get('/lock')) eq "locked\n", '... and a new worker goes on');

$before = worker();
log_mark();
$got = get('/closeall', timeout => 5);
ok(logged(qr/lost the way back to the worker/) && wait_for(sub { other_worker($before) }),
	'a handler that closes all descriptors: a line in the log and a new worker', $got);

$before = worker();
log_mark();
$got = get('/thread');
ok(body($got) eq "thread 0\n", 'a handler that leaves a thread is answered', $got);
$got = get('/hello');
ok(body($got) eq "hello\n" && logged(qr/left a thread behind/), '... the next request gets a new context', $got);
ok(wait_for(sub { other_worker($before) }), '... and the worker is replaced, in good order');
ok(body(get('/hello')) eq "hello\n", '... and goes on');

# A renew that fails: the task has what a context cannot have.
$before = worker();
log_mark();
$got = get('/unprotected/uring');
if ($got =~ /io_uring -1/) {
	ok(1, 'a renew that fails: not tried, there is no io_uring here');
} else {
	$got = get('/leaky?secret=x');
	ok(status($got) == 500 && logged(qr/the request context cannot be entered/),
		'a renew that fails: a 500 and a line in the log, and no handler is run', $got);
	get('/unprotected/uring?off=1');
	signal('KILL', $before);
	ok(wait_for(sub { other_worker($before) }) && body(get('/hello')) eq "hello\n",
		'... and a worker without it goes on');
}

exit($Client::failed != 0);
